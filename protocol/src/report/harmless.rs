//! Text from programs, made safe to print.

use std::borrow::Cow;
use std::fmt::Write;

/// Text that comes from a program (names, paths, messages), safe to print: what a terminal obeys, what has no width and what
/// turns the direction of text is written out as `\u{1b}`. Nothing else changes.
#[must_use]
pub fn harmless(text: &str) -> Cow<'_, str> {
    if is_plain(text) {
        return Cow::Borrowed(text);
    }
    let Some(first) = text.find(is_harmful) else { return Cow::Borrowed(text) };
    let mut safe = text[..first].to_owned();
    for char in text[first..].chars() {
        if is_harmful(char) {
            // Writing to a string does not fail.
            let _ = write!(safe, "\\u{{{:x}}}", u32::from(char));
        } else {
            safe.push(char);
        }
    }
    Cow::Owned(safe)
}

/// Whether a text is of ASCII's letters, digits, signs and spaces alone, as most are: nothing in it is harmful, and each takes a cell.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Whether a character does something to a terminal or to the text around it instead of standing in a cell of its own or on the letter
/// before it: controls, what has no width, what turns the direction of text, and what makes one sign of several, which terminals count
/// differently. The one list for everything that is shown.
#[must_use]
pub fn is_harmful(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}' | '\u{1160}'
            | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{13430}'..='\u{1345f}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{1f3fb}'..='\u{1f3ff}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthChar;

    use super::*;

    #[test]
    fn nothing_plain_is_harmful() {
        for char in '\0'..='\u{ff}' {
            let plain = is_plain(&char.to_string());
            assert!(!plain || (!is_harmful(char) && char.width() == Some(1)), "{char:?}");
            assert!(plain || !char.is_ascii() || is_harmful(char), "{char:?}");
        }
    }

    #[test]
    fn what_a_terminal_obeys_is_written_out() {
        for (text, safe) in [
            ("plain Größe 大小 e\u{301}", "plain Größe 大小 e\u{301}"),
            ("a\u{1b}[31mb", "a\\u{1b}[31mb"),
            ("\r\n\t\0\u{7f}", "\\u{d}\\u{a}\\u{9}\\u{0}\\u{7f}"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("\u{202e}fdp.exe\u{2069}", "\\u{202e}fdp.exe\\u{2069}"),
            ("a\u{200b}b\u{feff}", "a\\u{200b}b\\u{feff}"),
            ("", ""),
        ] {
            assert_eq!(harmless(text), safe);
        }
        assert!(matches!(harmless("plain"), Cow::Borrowed("plain")));
    }

    #[test]
    fn nothing_harmful_is_left_and_nothing_is_escaped_twice() {
        for char in (0..=0x0010_ffff).filter_map(char::from_u32) {
            let text = String::from(char);
            let safe = harmless(&text);
            let bad = |char: char| {
                char.is_control() || matches!(char, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            };
            assert!(!safe.chars().any(bad), "{:x}", u32::from(char));
            assert_eq!(harmless(&safe), safe);
        }
    }
}
