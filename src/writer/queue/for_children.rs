//! The sink of a child made by fork(2), where the parent's is a file of this crate. Those notice a fork by themselves, and a child
//! may use a clone whatever other threads of its parent were doing. So a fork waits for none of them, however slow it is.

use std::{any::Any, fmt, io::Write, sync::Arc};

use crate::writer::{InstanceFile, TaskWriter};

/// Makes a sink for a child, if the parent's can be cloned.
#[derive(Clone, Default)]
pub(super) struct ForChildren(Option<Arc<Make>>);

type Make = dyn Fn() -> Box<dyn Write + Send> + Send + Sync;

impl ForChildren {
    /// Finds out what kind of sink this is.
    pub(super) fn of(sink: &dyn Any) -> Self {
        let chosen = sink.downcast_ref::<TaskWriter>().filter(|writer| writer.is_file());
        let make = clones(sink.downcast_ref::<InstanceFile>()).or_else(|| clones(chosen));
        #[cfg(feature = "watch")]
        let make = make.or_else(|| clones(sink.downcast_ref::<crate::writer::WatchedFile>()));
        ForChildren(make)
    }

    /// Returns whether a child needs nothing of its parent's sink.
    pub(super) fn has_any(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn make(&self) -> Option<Box<dyn Write + Send>> {
        self.0.as_ref().map(|make| make())
    }
}

fn clones<W: Write + Clone + Send + Sync + 'static>(sink: Option<&W>) -> Option<Arc<Make>> {
    let writer = sink?.clone();
    Some(Arc::new(move || Box::new(writer.clone())))
}

impl fmt::Debug for ForChildren {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ForChildren").field(&self.has_any()).finish()
    }
}
