//! A life that ends at any call, and the next one on the same path.

use super::*;

/// How many backups there may be.
const BACKUPS: usize = 3;

/// What lies in the folder before the life that is killed.
#[derive(Clone, Copy, Debug)]
struct Scene {
    /// Lines of an earlier life, which ended well.
    earlier: u64,
    /// Numbers at which somebody else's files are.
    files: &'static [usize],
    /// A number at which somebody else's directory is.
    directory: Option<usize>,
}

const SCENES: [Scene; 6] = [
    Scene { earlier: 0, files: &[], directory: None },
    Scene { earlier: 20, files: &[], directory: None },
    Scene { earlier: 5, files: &[2], directory: None },
    Scene { earlier: 20, files: &[1, 3], directory: None },
    Scene { earlier: 5, files: &[], directory: Some(1) },
    Scene { earlier: 20, files: &[2, 4], directory: Some(1) },
];

impl Scene {
    /// Makes the folder. Somebody else's file has a line that must never be touched.
    fn set(self) -> Dir {
        let dir = Dir::new();
        self.files.iter().for_each(|number| dir.write(&format!("tasks.log.{number}"), "theirs\n"));
        self.directory.iter().for_each(|number| dir.write(&format!("tasks.log.{number}/file"), "theirs\n"));
        if self.earlier > 0 {
            let file = builder(&dir, BACKUPS).build().expect("the file can be opened");
            (1..=self.earlier).for_each(|n| write(&file, line(n)));
        }
        dir
    }

    fn is_foreign(self, number: usize) -> bool {
        self.files.contains(&number) || self.directory == Some(number)
    }

    /// The names that the log has for its backups, with the one beyond them that a rotation uses.
    fn backup_names(self) -> Vec<String> {
        let own = (1..).filter(|number| !self.is_foreign(*number)).take(BACKUPS + 1);
        own.map(|number| format!("tasks.log.{number}")).collect()
    }

    /// The log's own files, the oldest first.
    fn family(self, dir: &Dir) -> LogFamily {
        let mut names = vec!["tasks.log".to_owned()];
        names.extend(self.backup_names());
        LogFamily::files(names.iter().rev().map(|name| dir.path(name)).filter(|path| path.exists()))
    }

    fn contents(self, dir: &Dir) -> Vec<(String, Vec<u8>)> {
        let family = self.family(dir);
        let read = |path: &PathBuf| fs::read(path).expect("a file of the log can be read");
        family.names().into_iter().zip(family.paths().iter().map(read)).collect()
    }

    /// The counters of the whole lines, in the log's order.
    fn counters(self, dir: &Dir) -> Vec<u64> {
        let counter = |line: String| line.split("n=").nth(1)?.split(' ').next()?.parse().ok();
        self.family(dir).lines().into_iter().map(|line| counter(line).expect(" n=")).collect()
    }

    /// Somebody else's files are as they were, and nothing else is there.
    fn assert_nothing_foreign_is_touched(self, dir: &Dir, context: &str) {
        for number in self.files {
            assert_eq!(dir.read(&format!("tasks.log.{number}")), "theirs\n", "{context}");
        }
        if let Some(number) = self.directory {
            assert_eq!(dir.read(&format!("tasks.log.{number}/file")), "theirs\n", "{context}");
        }
        let mut known = self.family(dir).names();
        known.extend((1..=9).filter(|number| self.is_foreign(*number)).map(|n| format!("tasks.log.{n}")));
        known.sort();
        assert_eq!(dir.names(), known, "{context}");
    }
}

/// Writes lines in a life that ends at the `from`-th call. Returns the last line that was written.
fn a_life_that_is_killed(dir: &Dir, files: &FaultyFileSystem, earlier: u64) -> u64 {
    let Ok(file) = on(files, builder(dir, BACKUPS)) else { return earlier };
    let mut n = earlier;
    while files.fired() == 0 && n < earlier + LINES {
        n += 1;
        write(&file, line(n));
    }
    earlier + file.stats().written_lines
}

/// Ends a life at the `from`-th call, which is not made or half made, as is no later one, then begins another on the
/// same path. Returns whether there was such a call.
fn goes_on_after_a_kill(scene: Scene, from: u64, fault: Fault) -> bool {
    let context = format!("{scene:?}, killed at call {from} ({fault:?})");
    let (dir, files) = (scene.set(), FaultyFileSystem::new(from, u64::MAX, fault));
    let written = a_life_that_is_killed(&dir, &files, scene.earlier);
    scene.assert_nothing_foreign_is_touched(&dir, &context);
    let (before, kept) = (scene.contents(&dir), scene.counters(&dir));
    let is_all_there = kept.iter().copied().eq(written + 1 - kept.len() as u64..=written);
    assert!(is_all_there, "{context}: {kept:?} of {written}");
    let names = scene.backup_names();
    let taken: Vec<bool> = names.iter().map(|name| dir.path(name).exists()).collect();
    // The rotation that was killed is completed by the next start, and another one comes behind it.
    let is_surplus = taken.iter().all(|taken| *taken);
    let is_full = taken[..BACKUPS].iter().all(|taken| *taken);
    let due: Vec<_> = is_surplus
        .then_some(&names[BACKUPS])
        .into_iter()
        .chain(is_full.then_some(&names[BACKUPS - 1]))
        .collect();

    let second = builder(&dir, BACKUPS).build().expect("the file can be opened again");
    let mut n = written + 1; // the line that was being written may be there
    while second.stats().rotations == 0 {
        n += 1;
        write(&second, line(n));
    }
    scene.assert_nothing_foreign_is_touched(&dir, &context);
    let after = scene.contents(&dir);
    let is_gone = |content: &Vec<u8>| !after.iter().any(|(_, now)| now.starts_with(content));
    let gone: Vec<_> = before.iter().filter(|(_, content)| is_gone(content)).map(|(name, _)| name).collect();
    assert_eq!(gone, due, "{context}");
    let is_there: Vec<bool> = names[..BACKUPS].iter().map(|name| dir.path(name).exists()).collect();
    assert!(is_there.is_sorted_by_key(|is_there| !is_there), "{context}: a gap, {is_there:?}");
    let verdict = scene.family(&dir).verify(&Expect::new().allowed(0, n).bare_lines().open_fragments());
    assert!(verdict.faults.is_empty(), "{context}: {verdict}");
    files.fired() > 0
}

#[test]
fn killed_between_any_two_steps_it_loses_nothing_but_the_oldest_backup_when_all_numbers_are_taken() {
    for scene in SCENES {
        for fault in [Fault::Os(EIO), Fault::ShortThenFull] {
            let calls = (1..).take_while(|&from| goes_on_after_a_kill(scene, from, fault)).count();
            assert!(calls > 60, "only {calls} calls: full rotations were not seen");
        }
    }
}
