//! One verification: reads line by line, then asks what is missing.

use std::collections::HashMap;
use std::io;

use super::line::{Body, Tagged, text_of};
use super::verdict::{Place, clip};
use super::{Expect, Kind, Verdict};

/// "Disregard what precedes": ends a fragment that a later writer closed.
pub(super) const CAN: u8 = 0x18;

/// A verification under way.
pub(super) struct Check<'a> {
    expect: &'a Expect,
    verdict: Verdict,
    seen: HashMap<u32, Seen>,
    place: Place,
}

/// Which lines of a worker were found.
#[derive(Default)]
struct Seen {
    places: HashMap<u64, Place>,
    highest: u64,
}

impl<'a> Check<'a> {
    pub(super) fn new(expect: &'a Expect) -> Self {
        Self { expect, verdict: Verdict::default(), seen: HashMap::new(), place: Place::default() }
    }

    /// Checks the next file of the family.
    pub(super) fn file(&mut self, name: &str, content: io::Result<Vec<u8>>) {
        self.place = Place::start_of(name);
        let bytes = match content {
            Ok(bytes) => bytes,
            Err(error) => return self.fault(Kind::Unreadable, error.to_string()),
        };
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.place.line += 1;
            match piece.strip_suffix(b"\n") {
                Some(line) => self.line(line),
                None => self.fragment(piece),
            }
        }
    }

    /// The verdict, once all files are read.
    pub(super) fn finish(mut self) -> Verdict {
        for (worker, counters) in &self.expect.workers {
            let seen = self.seen.remove(worker).unwrap_or_default();
            let missing: Vec<u64> =
                (1..=counters.required).filter(|n| !seen.places.contains_key(n)).collect();
            let found_allowed = seen.places.keys().filter(|n| **n > counters.required).count() as u64;
            self.verdict.missing += missing.len() as u64;
            self.verdict.missing_allowed += counters.allowed.saturating_sub(found_allowed);
            if !self.expect.announced_losses {
                self.lost(*worker, &missing, &seen);
            }
        }
        if self.expect.announced_losses {
            self.compare_announced();
        }
        self.verdict
    }

    /// The rest of a file that doesn't end in LF.
    fn fragment(&mut self, piece: &[u8]) {
        self.verdict.fragments += 1;
        if !self.expect.open_fragments {
            self.fault(Kind::Fragment, format!("no LF at the end: {}", clip(piece)));
        }
    }

    /// A line without its LF.
    fn line(&mut self, line: &[u8]) {
        if line.ends_with(&[CAN]) {
            self.verdict.closed_fragments += 1;
            return;
        }
        self.verdict.lines += 1;
        match text_of(line) {
            Err(why) => self.fault(Kind::Control, format!("{why}: {}", clip(line))),
            Ok(text) if self.expect.bare_lines && text.starts_with("w=") => self.body(text, text, None),
            Ok(text) => match Tagged::split(text) {
                Some(tagged) => self.body(text, tagged.rest, Some(&tagged)),
                None => self.fault(Kind::Shape, format!("not `[id] [name] …`: {}", clip(line))),
            },
        }
    }

    /// What a line says behind its tag; `line` is the whole of it, to be shown.
    fn body(&mut self, line: &str, rest: &str, tag: Option<&Tagged<'_>>) {
        let own = tag.is_some_and(Tagged::is_own);
        self.verdict.announced_dropped += tag.map_or(0, Tagged::announced_dropped);
        match Body::read(rest) {
            Body::Numbered { worker, counter } => self.numbered(worker, counter, line, tag),
            Body::Torn(why) => self.fault(Kind::Torn, format!("{why}: {}", clip(line.as_bytes()))),
            Body::Other(_) if !own && !self.expect.other_lines => {
                self.fault(Kind::Foreign, format!("not of this test: {}", clip(line.as_bytes())));
            }
            Body::Running | Body::Closing(_) | Body::Retry(_) | Body::Other(_) => {}
        }
    }

    /// A whole numbered line: is it expected, here, for the first time, with this tag?
    fn numbered(&mut self, worker: u32, n: u64, line: &str, tag: Option<&Tagged<'_>>) {
        let last = self.expect.workers.get(&worker).map_or(0, |counters| counters.last());
        if !(1..=last).contains(&n) {
            let why = format!("w={worker} n={n} was never written: {}", clip(line.as_bytes()));
            return self.fault(Kind::Foreign, why);
        }
        let seen = self.seen.entry(worker).or_default();
        if let Some(first) = seen.places.get(&n).cloned() {
            self.verdict.duplicates += 1;
            return self.fault(Kind::Duplicate, format!("w={worker} n={n} again, first at {first}"));
        }
        seen.places.insert(n, self.place.clone());
        let highest = seen.highest;
        seen.highest = highest.max(n);
        self.verdict.found += 1;
        if n < highest {
            self.fault(Kind::Order, format!("w={worker} n={n} after n={highest}"));
        }
        self.tag(worker, n, line, tag);
    }

    fn tag(&mut self, worker: u32, n: u64, line: &str, tag: Option<&Tagged<'_>>) {
        let (Some(tag), Some(tag_of)) = (tag, &self.expect.tag) else { return };
        let (id, name) = tag_of(worker, n);
        if (tag.id, tag.name) != (id.as_str(), name.as_str()) {
            let why = format!("w={worker} n={n} should bear [{id}] [{name}]: {}", clip(line.as_bytes()));
            self.fault(Kind::Tag, why);
        }
    }

    /// Reports missing lines, neighbours as one fault, at the place of the line before them.
    fn lost(&mut self, worker: u32, missing: &[u64], seen: &Seen) {
        for run in missing.chunk_by(|one, next| one + 1 == *next) {
            let (first, last) = (run[0], run[run.len() - 1]);
            let which =
                if first == last { format!("n={first} is") } else { format!("n={first}..={last} are") };
            let before = (first.checked_sub(1)).and_then(|n| seen.places.get(&n).cloned());
            self.place = before.unwrap_or_default();
            self.fault(Kind::Lost, format!("w={worker} {which} missing"));
        }
    }

    /// Lines that are missing must be announced, and no others.
    fn compare_announced(&mut self) {
        let Verdict { missing, missing_allowed, announced_dropped, .. } = self.verdict;
        let most = missing.saturating_add(missing_allowed);
        if !(missing..=most).contains(&announced_dropped) {
            self.place = Place::default();
            let but = if most == missing { format!("{missing}") } else { format!("{missing} to {most}") };
            self.fault(
                Kind::Announced,
                format!("{announced_dropped} lines announced as dropped, but {but} are missing"),
            );
        }
    }

    fn fault(&mut self, kind: Kind, text: String) {
        self.verdict.add(kind, &self.place, text);
    }
}
