//! What a log with the lines of a token must hold.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

/// Panics unless the log holds `count` lines of the token in their order, the lines of each thread that makes noise in theirs, and
/// nothing else. Returns how many lines make noise.
pub fn assert_in_order(log: &Path, count: u64) -> u64 {
    let mut reader = BufReader::new(File::open(log).expect("the log is there"));
    let (mut token, mut noise) = (0, BTreeMap::<u64, u64>::new());
    let (mut line, mut before) = (String::new(), String::new());
    for at in 1_u64.. {
        line.clear();
        if reader.read_line(&mut line).expect("the log is UTF-8") == 0 {
            break;
        }
        let place = || format!("line {at}, {:?}, behind {:?}", head(&line), head(&before));
        let text = line.strip_suffix('\n').unwrap_or_else(|| panic!("not whole: {}", place()));
        if let Some(number) = number_behind("token=", text) {
            assert_eq!(number, token, "out of order: {}", place());
            token += 1;
        } else if let Some(thread) = number_behind("noise=", text) {
            let expected = noise.entry(thread).or_default();
            assert_eq!(number_behind(&format!("noise={thread}:"), text), Some(*expected), "{}", place());
            *expected += 1;
        } else {
            panic!("nothing that was logged: {}", place());
        }
        std::mem::swap(&mut line, &mut before);
    }
    assert_eq!(token, count, "lines are missing at the end");
    noise.values().sum()
}

/// The number behind a key. Behind it there must be nothing but padding, which may be cut.
fn number_behind(key: &str, text: &str) -> Option<u64> {
    let (_, rest) = text.split_once(key)?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let is_padding = |rest: &str| rest.trim_start_matches([' ', 'x']).is_empty() || rest.contains(" [cut ");
    let is_whole = is_padding(&rest[digits..]) || rest[digits..].starts_with(':');
    if is_whole { rest[..digits].parse().ok() } else { None }
}

fn head(line: &str) -> &str {
    &line[..line.len().min(80)]
}
