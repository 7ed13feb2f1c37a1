//! The escapes and the short ids once more, character by character, from the contract and not from the crate.

use regex::Regex;

fn control(c: char) -> Option<String> {
    let code = u32::from(c);
    let forbidden = (code < 0x20 && c != '\t')
        || (0x7f..0xa0).contains(&code)
        || [0x2028, 0x2029].contains(&code)
        || (0x202a..=0x202e).contains(&code)
        || (0x2066..=0x2069).contains(&code);
    forbidden.then(|| match c {
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        _ => format!("\\u{{{code:x}}}"),
    })
}

fn without_controls(text: &str) -> String {
    text.chars().map(|c| control(c).unwrap_or_else(|| c.to_string())).collect()
}

/// Whether a body that begins so could be taken for a lifecycle line or a separator.
pub(crate) fn poses(text: &str) -> bool {
    text.starts_with("-- ") || text.starts_with("--- ") || text == "--" || text == "---"
}

fn without_first_dash(text: &str) -> String {
    if poses(text) { format!("\\u{{2d}}{}", &text[1..]) } else { text.to_owned() }
}

/// A text as a line shows it.
pub(crate) fn text(raw: &str) -> String {
    without_controls(&without_first_dash(raw))
}

/// A target as a line shows it after its timestamp.
pub(crate) fn target(raw: &str) -> String {
    text(&raw.replace(": ", "\\u{3a} "))
}

/// An id or a name as a line shows it.
pub(crate) fn tag(raw: &str) -> String {
    let raw = if raw.is_empty() { "-" } else { raw };
    without_controls(raw).replace('[', "\\u{5b}").replace(']', "\\u{5d}")
}

/// What `IdFormat::Short` shows of an id.
pub(crate) fn short_id(id: &str) -> String {
    let is = |pattern: &str| Regex::new(pattern).expect("a pattern of this file").is_match(id);
    let uuid = |version: &str| {
        let hyphenated =
            format!(r"^[\da-f]{{8}}-[\da-f]{{4}}-{version}[\da-f]{{3}}-[89ab][\da-f]{{3}}-[\da-f]{{12}}$");
        let simple = format!(r"^[\da-f]{{12}}{version}[\da-f]{{3}}[89ab][\da-f]{{15}}$");
        is(&format!("(?i-u:{hyphenated}|{simple})")) && !is(r"^[0-9]+$")
    };
    let ulid = is(r"^(?i-u:[0-7][0-9a-hjkmnp-tv-z]{25})$") && !is(r"^[0-9]+$");
    match id {
        _ if uuid("[1-58]") => id[..8].to_owned(),
        _ if uuid("7") || ulid => id[id.len() - 8..].to_owned(),
        _ if uuid("6") => id.to_owned(),
        _ => id.chars().take(64).collect(),
    }
}
