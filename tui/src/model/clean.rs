//! Text from the wire, made harmless once, when a frame is decoded: nothing that a terminal obeys, that has no width or that
//! turns the direction of text gets any further.

use plasmon_protocol::report::{is_harmful, is_plain};
use plasmon_protocol::stream::Frame;
use serde_json::Value;
use unicode_width::UnicodeWidthChar;

/// No string is longer, in bytes.
pub const MAX_TEXT: usize = 4 << 10;

/// Reads one frame, every string in it made harmless.
///
/// # Errors
/// When the text is no frame of this version.
pub fn decode(text: &str) -> Result<Frame, serde_json::Error> {
    let mut value: Value = serde_json::from_str(text)?;
    walk(&mut value);
    serde_json::from_value(value)
}

fn walk(value: &mut Value) {
    match value {
        Value::String(text) => clean(text),
        Value::Array(values) => values.iter_mut().for_each(walk),
        Value::Object(fields) => fields.values_mut().for_each(walk),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether a text is as [`clean`] would leave it, as far as a quick look tells.
#[must_use]
pub fn is_clean(text: &str) -> bool {
    text.len() <= MAX_TEXT && is_plain(text)
}

/// Makes a text harmless in place. A tab becomes four spaces, a line's end one, everything else that is harmful `U+FFFD`, and so a mark at
/// the beginning, which has no letter to stand on.
pub fn clean(text: &mut String) {
    if is_clean(text) {
        return;
    }
    if text.len() > MAX_TEXT {
        let end = (0..=MAX_TEXT - 3).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    // A mark without a letter before it would stand on whatever is shown before the text.
    let stray = text.chars().next().filter(|char| char.width() == Some(0));
    if stray.is_none() && !text.contains(is_harmful) {
        return;
    }
    let mut safe = String::with_capacity(text.len());
    safe.extend(stray.map(|_| char::REPLACEMENT_CHARACTER));
    for char in text.chars().skip(usize::from(stray.is_some())) {
        match char {
            '\t' => safe.push_str("    "),
            '\n' | '\r' => safe.push(' '),
            _ if is_harmful(char) => safe.push(char::REPLACEMENT_CHARACTER),
            _ => safe.push(char),
        }
    }
    *text = safe;
}

#[cfg(test)]
mod tests {
    use plasmon_protocol::record::{EventRow, Site, SiteRow, SpillFileRow, SpillRow, StoreRow, WaitRow};
    use plasmon_protocol::stream::{Body, Rows, Totals};
    use std::sync::Arc;

    use super::*;

    fn cleaned(text: &str) -> String {
        let mut text = text.to_owned();
        clean(&mut text);
        text
    }

    #[test]
    fn what_a_terminal_obeys_is_replaced() {
        assert_eq!(cleaned("\u{1b}]52;c;aGk=\u{7}"), "\u{fffd}]52;c;aGk=\u{fffd}");
        assert_eq!(cleaned("a\u{9b}31mb\u{7f}\u{0}"), "a\u{fffd}31mb\u{fffd}\u{fffd}");
        assert_eq!(
            cleaned("\u{202e}txt.exe\u{2066}\u{200b}\u{feff}\u{2028}\u{2029}"),
            "\u{fffd}txt.exe\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}"
        );
        assert_eq!(cleaned("\u{301}a\u{301}"), "\u{fffd}a\u{301}");
        assert_eq!(cleaned("👍\u{1f3fd}"), "👍\u{fffd}");
        assert_eq!(cleaned("\tlet x;\r\n"), "    let x;  ");
        assert_eq!(cleaned("größe 日本 ±4 \u{301}"), "größe 日本 ±4 \u{301}");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let long = cleaned(&"ä".repeat(MAX_TEXT));
        assert!(long.len() <= MAX_TEXT, "{}", long.len());
        assert!(long.ends_with("ä…"));
    }

    #[test]
    fn every_string_of_a_frame_is_cleaned() {
        let site = Arc::new(Site { function: "f\u{1b}[2J".into(), file: "\u{202e}x".into(), ..Site::default() });
        let wait = WaitRow { site: Arc::clone(&site), reason: "\u{9d}0;x\u{9c}".into(), ..WaitRow::default() };
        let (state, places) = ("no space\u{1b}[31m".into(), vec!["\u{9b}2J".into()]);
        let spill = SpillRow { state, places, queue: vec![wait], ..SpillRow::default() };
        for rows in [
            Rows::Sites(vec![SiteRow { site, ..SiteRow::default() }]),
            Rows::Events(vec![EventRow { message: "\u{9d}0;title\u{9c}\n".into(), ..EventRow::default() }]),
            Rows::SpillFiles(vec![SpillFileRow { place: "/x\u{1b}[2J".into(), name: "\u{202e}3".into(), ..SpillFileRow::default() }]),
            Rows::Store(vec![StoreRow { spill: spill.clone(), ..StoreRow::default() }]),
        ] {
            let body = Body::Snapshot { id: 1, totals: Totals::default(), start: 0, rows };
            let text = serde_json::to_string(&Frame { seq: 1, at_ms: 2, missed: 0, body }).unwrap();
            let frame = decode(&text).unwrap();
            let shown = format!("{frame:?}");
            assert!(shown.contains('\u{fffd}') && !shown.contains("\\u{1b}") && !shown.contains("\\u{9d}"), "{shown}");
        }
    }

    #[test]
    fn nonsense_is_an_error_and_not_a_panic() {
        for text in ["", "{", "[]", "null", "{\"seq\":1}", "{\"seq\":1,\"at_ms\":1,\"type\":\"snapshot\"}", "{\"seq\":-1}"] {
            assert!(decode(text).is_err(), "{text}");
        }
    }
}
