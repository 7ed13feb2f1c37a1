//! A reader of JSON that knows whole objects from torn ones.

/// Reads `{"a":1,"b":{"c":"d"}}` and nothing less strict: what follows the value, if it is one.
fn after_json(text: &str) -> Option<&str> {
    match text.chars().next()? {
        '{' => after_items(&text[1..], '}', |item| after_json(after_string(item)?.strip_prefix(':')?)),
        '[' => after_items(&text[1..], ']', after_json),
        '"' => after_string(text),
        _ => {
            let end = text.find([',', '}', ']']).unwrap_or(text.len());
            let (word, rest) = text.split_at(end);
            let is_value = ["true", "false", "null"].contains(&word) || word.parse::<f64>().is_ok();
            is_value.then_some(rest)
        }
    }
}

fn after_items(mut text: &str, end: char, after_item: impl Fn(&str) -> Option<&str>) -> Option<&str> {
    if let Some(rest) = text.strip_prefix(end) {
        return Some(rest);
    }
    loop {
        text = after_item(text)?;
        if let Some(rest) = text.strip_prefix(end) {
            return Some(rest);
        }
        text = text.strip_prefix(',')?;
    }
}

fn after_string(text: &str) -> Option<&str> {
    let mut chars = text.strip_prefix('"')?.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some(&text[at + 2..]),
            '\\' => drop(chars.next()?),
            '\u{0}'..='\u{1f}' => return None,
            _ => {}
        }
    }
    None
}

/// Whether a line is a JSON object and nothing else.
pub fn is_object(line: &str) -> bool {
    line.starts_with('{') && after_json(line) == Some("")
}
