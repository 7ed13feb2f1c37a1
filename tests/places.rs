//! In which task an event is, whatever two threads have entered, left, closed and replaced before: a layer that remembers
//! agrees with one that asks the registry each time.

mod support;

use std::sync::{
    Arc, Mutex, PoisonError,
    mpsc::{Receiver, Sender, channel},
};

use proptest::{collection::vec, prelude::*, sample::Index};
use support::capture::Capture;
use tracing::{
    Dispatch, Event, Metadata, Span, Subscriber, dispatcher,
    field::{Empty, Field, Visit},
    info, info_span,
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer, Registry,
    filter::filter_fn,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
    reload,
};
use tracing_tasklog::TaskLayer;

/// How many spans there are at once.
const SPANS: usize = 4;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Task,
    /// A task whose id comes later, or never.
    Late,
    /// No task.
    Plain,
    /// One layer's filter doesn't show it these.
    HiddenTask,
    HiddenPlain,
}

#[derive(Clone, Copy, Debug)]
enum Parent {
    /// The span that the thread is in.
    Context,
    Root,
    Other(usize),
}

#[derive(Clone, Debug)]
enum Act {
    /// Makes a span in the place of another one, which goes.
    Make(usize, Kind, Parent),
    Enter(usize),
    /// Leaves one of those that this thread has entered, perhaps not the last; or one that it hasn't.
    Leave(Index, usize),
    /// Records the id.
    Identify(usize),
    Event(Parent),
    /// Has another layer take the place of one.
    Reload(usize),
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        4 => Just(Kind::Task),
        1 => Just(Kind::Late),
        2 => Just(Kind::Plain),
        1 => Just(Kind::HiddenTask),
        1 => Just(Kind::HiddenPlain)
    ]
}

fn parent() -> impl Strategy<Value = Parent> {
    prop_oneof![4 => Just(Parent::Context), 1 => Just(Parent::Root), 1 => (0..SPANS).prop_map(Parent::Other)]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..SPANS, kind(), parent()).prop_map(|(slot, kind, parent)| Act::Make(slot, kind, parent)),
        8 => (0..SPANS).prop_map(Act::Enter),
        6 => (any::<Index>(), 0..SPANS).prop_map(|(which, slot)| Act::Leave(which, slot)),
        1 => (0..SPANS).prop_map(Act::Identify),
        8 => parent().prop_map(Act::Event),
        1 => (0..2_usize).prop_map(Act::Reload),
    ]
}

/// A layer that asks the registry at each event, and tells what it was told.
struct Asking<const N: usize>(Arc<Mutex<Vec<String>>>);

/// The id of a task, in the extensions of its span.
struct Known<const N: usize>(Option<u64>);

impl<const N: usize> Visit for Known<N> {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "task.id" {
            self.0 = self.0.or(Some(value));
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

impl<S: Subscriber + for<'s> LookupSpan<'s>, const N: usize> Layer<S> for Asking<N> {
    fn on_new_span(&self, attrs: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let mut known = Known::<N>(None);
        attrs.record(&mut known);
        ctx.span(id).expect("it was just made").extensions_mut().insert(known);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        let span = ctx.span(id).expect("it is there");
        values.record(span.extensions_mut().get_mut::<Known<N>>().expect("it was made"));
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let tag = ctx.event_span(event).and_then(|span| {
            span.scope().find_map(|span| {
                let id = span.extensions().get::<Known<N>>()?.0?;
                Some(format!("[{id}] [{}]", span.name()))
            })
        });
        let tag = tag.unwrap_or_else(|| "[-] [places]".to_owned());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{tag} event"));
    }
}

fn is_shown(meta: &Metadata<'_>) -> bool {
    meta.target() != "hidden"
}

/// Puts another layer in the place of one.
type Reload = Box<dyn Fn(TaskLayer<Capture>) + Send>;

/// A layer that may be replaced, and what replaces it.
fn replaceable<S: 'static>(layer: TaskLayer<Capture>) -> (reload::Layer<TaskLayer<Capture>, S>, Reload) {
    let (layer, handle) = reload::Layer::new(layer);
    (layer, Box::new(move |other| handle.reload(other).expect("the subscriber is there")))
}

/// What both threads act on.
struct Scene {
    dispatch: Dispatch,
    spans: [Span; SPANS],
    entered: [Vec<Span>; 2],
    captures: [Capture; 2],
    told: [Arc<Mutex<Vec<String>>>; 2],
    reload: [Reload; 2],
    lifecycle: bool,
    /// The last id of a task.
    last: u64,
}

macro_rules! span {
    ($parent:expr, $spans:expr, $target:literal, $($span:tt)*) => {
        match $parent {
            Parent::Context => info_span!(target: $target, $($span)*),
            Parent::Root => info_span!(target: $target, parent: None, $($span)*),
            Parent::Other(slot) => info_span!(target: $target, parent: &$spans[slot], $($span)*),
        }
    };
}

impl Scene {
    fn new(lifecycle: bool) -> Self {
        let captures = [Capture::default(), Capture::default()];
        let told: [Arc<Mutex<Vec<String>>>; 2] = Default::default();
        let layer = |n: usize| TaskLayer::new(captures[n].clone()).with_lifecycle(lifecycle);
        let ((all, of_all), (some, of_some)) = (replaceable(layer(0)), replaceable(layer(1)));
        let subscriber = Registry::default()
            .with(some.with_filter(filter_fn(is_shown)))
            .with(Asking::<1>(Arc::clone(&told[1])).with_filter(filter_fn(is_shown)))
            .with(all)
            .with(Asking::<0>(Arc::clone(&told[0])));
        Scene {
            dispatch: Dispatch::new(subscriber),
            spans: [const { Span::none() }; SPANS],
            entered: Default::default(),
            captures,
            told,
            reload: [of_all, of_some],
            lifecycle,
            last: 0,
        }
    }

    fn make(&mut self, kind: Kind, parent: Parent) -> Span {
        self.last += 1;
        let (id, spans) = (self.last, &self.spans);
        match kind {
            Kind::Task => span!(parent, spans, "shown", "task", task.id = id),
            Kind::Late => span!(parent, spans, "shown", "late", task.id = Empty),
            Kind::Plain => span!(parent, spans, "shown", "plain", n = id),
            Kind::HiddenTask => span!(parent, spans, "hidden", "hidden task", task.id = id),
            Kind::HiddenPlain => span!(parent, spans, "hidden", "hidden"),
        }
    }

    /// Does something on the thread with this number.
    fn act(&mut self, thread: usize, act: &Act) {
        match act {
            Act::Make(slot, kind, parent) => self.spans[*slot] = self.make(*kind, *parent),
            Act::Enter(slot) => {
                let span = self.spans[*slot].clone(); // it lives until it is left, as it does in a program
                span.with_subscriber(|(id, dispatch)| dispatch.enter(id));
                self.entered[thread].push(span);
            }
            Act::Leave(which, slot) => {
                let entered = &mut self.entered[thread];
                let span = match entered.len() {
                    0 => self.spans[*slot].clone(),
                    len => entered.remove(which.index(len)),
                };
                span.with_subscriber(|(id, dispatch)| dispatch.exit(id));
            }
            Act::Identify(slot) => {
                self.last += 1;
                self.spans[*slot].record("task.id", self.last);
            }
            Act::Event(Parent::Context) => info!("event"),
            Act::Event(Parent::Root) => info!(parent: None, "event"),
            Act::Event(Parent::Other(slot)) => info!(parent: &self.spans[*slot], "event"),
            Act::Reload(n) => {
                let layer = TaskLayer::new(self.captures[*n].clone());
                (self.reload[*n])(layer.with_lifecycle(self.lifecycle));
            }
        }
    }
}

/// Does what it is told to, on a thread of its own.
fn follow(scene: &Mutex<Scene>, dispatch: &Dispatch, acts: &Receiver<Act>, done: &Sender<()>) {
    dispatcher::with_default(dispatch, || {
        for act in acts {
            scene.lock().unwrap_or_else(PoisonError::into_inner).act(1, &act);
            let _ = done.send(()); // nobody waits any more when a check has failed
        }
    });
}

/// Does all on two threads, one after the other. Returns what the layers have written, and what they should have.
fn outcome(lifecycle: bool, acts: Vec<(bool, Act)>) -> [(Vec<String>, Vec<String>); 2] {
    let scene = Scene::new(lifecycle);
    let dispatch = scene.dispatch.clone();
    let scene = Mutex::new(scene);
    let ((orders, to_follow), (done, is_done)) = (channel(), channel());
    std::thread::scope(|scope| {
        let (scene, dispatch) = (&scene, &dispatch);
        scope.spawn(move || follow(scene, dispatch, &to_follow, &done));
        dispatcher::with_default(dispatch, || {
            for (is_other, act) in acts {
                if is_other {
                    orders.send(act).expect("it has not panicked");
                    is_done.recv().expect("it has not panicked");
                } else {
                    scene.lock().unwrap_or_else(PoisonError::into_inner).act(0, &act);
                }
            }
        });
        drop(orders);
    });
    let scene = scene.into_inner().unwrap_or_else(PoisonError::into_inner);
    [0, 1].map(|n| {
        let lines = scene.captures[n].lines().into_iter().filter(|line| line.ends_with(" event")).collect();
        (lines, scene.told[n].lock().unwrap_or_else(PoisonError::into_inner).clone())
    })
}

proptest! {
    #[test]
    fn every_event_is_in_the_task_that_the_registry_says(
        lifecycle in any::<bool>(),
        acts in vec((prop::bool::weighted(0.2), act()), 1..60)
    ) {
        for (written, told) in outcome(lifecycle, acts) {
            prop_assert_eq!(written, told);
        }
    }
}
