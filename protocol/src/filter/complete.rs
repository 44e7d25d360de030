//! What the word at the end of a filter may become.

use super::{column, fold};
use crate::column::{Column, Kind, Record};

/// What may stand in place of the end of a filter.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Completion {
    /// Where the part begins that is replaced, in bytes.
    pub at: usize,
    /// What may stand there: names of columns, or words of one column.
    pub words: Vec<String>,
    /// What follows when it is only one: an operator behind a column, a space behind a value.
    pub end: &'static str,
}

impl Completion {
    /// `text` completed as far as all words go on alike; the same when there is nothing to add.
    #[must_use]
    pub fn apply(&self, text: &str) -> String {
        let Some((first, rest)) = self.words.split_first() else { return text.to_owned() };
        let alike = |word: &String| first.char_indices().zip(word.chars()).find(|((_, a), b)| a != b).map_or(word.len(), |((at, _), _)| at);
        let shared = rest.iter().map(alike).min().unwrap_or(first.len());
        let (before, typed) = text.split_at_checked(self.at).unwrap_or((text, ""));
        let shared = first.get(..shared).unwrap_or(first);
        // What was typed may lie within the words, not only at their beginning.
        let word = if shared.len() < typed.len() { typed } else { shared };
        format!("{before}{word}{}", if rest.is_empty() { self.end } else { "" })
    }
}

/// What the word at the end of `text`, a filter over the table of `R`, may become. Quoted texts become nothing.
#[must_use]
pub fn complete<R: Record>(text: &str) -> Completion {
    let at = text
        .rfind(|char: char| char.is_whitespace() || char == '|')
        .map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
    let word = text[at..].trim_start_matches(['!', '(']);
    let at = text.len() - word.len();
    if text.contains('"') && text.matches('"').count() % 2 == 1 || word.contains('"') {
        return Completion::default();
    }
    let Some(operator) = word.find([':', '=']) else { return columns::<R>(at, word) };
    let (name, value) = word.split_at(operator);
    match column::<R>(name.trim_end_matches('!')) {
        Some(column) => words(text.len() - value.len() + 1, column, value.starts_with('='), &value[1..]),
        None => Completion::default(),
    }
}

fn columns<R: Record>(at: usize, typed: &str) -> Completion {
    let typed = typed.to_ascii_lowercase();
    let found: Vec<&Column<R>> = match typed.as_str() {
        "" => Vec::new(),
        typed => R::columns().iter().filter(|column| column.name.starts_with(typed)).collect(),
    };
    let end = match found.first().map(|column| column.kind) {
        None | Some(Kind::Text | Kind::Count) => ":",
        Some(Kind::Bytes | Kind::Growth | Kind::Number | Kind::Since) => ">",
    };
    Completion { at, words: found.into_iter().map(|column| column.name.to_owned()).collect(), end }
}

/// Words as filters are best typed: small letters, no spaces, and no brackets where a part is enough.
fn words<R: Record>(at: usize, column: &Column<R>, whole: bool, typed: &str) -> Completion {
    let typed = fold(typed);
    let written = column.words.iter().map(|word| match whole {
        true => fold(word),
        false => fold(word).trim_matches(['(', ')']).to_owned(),
    });
    let found: Vec<String> = written.filter(|word| !word.is_empty() && word.starts_with(&typed)).collect();
    Completion { at, words: found, end: " " }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::filter::Filter;
    use crate::record::{EventRow, ReferenceRow, SiteRow};

    #[test]
    fn columns_and_their_words_are_completed() {
        let completed = |text: &str| complete::<ReferenceRow>(text).apply(text);
        for (text, expected) in [
            ("siz", "size>"),
            ("s", "s"),
            ("st", "sta"),
            ("a SIZ", "a size>"),
            ("!crea", "!creat"),
            ("a|si", "a|si"),
            ("type:p", "type:pinned_in_memory "),
            ("kind:cap", "kind:captured_in_object "),
            ("state=spi", "state=spill"),
            ("!state=in_", "!state=in_memory"),
            ("state!=restor", "state!=restoring "),
            ("site:x", "site:x"),
            ("\"two si", "\"two si"),
            ("size>", "size>"),
            ("nothing:x", "nothing:x"),
            ("", ""),
            ("größe", "größe"),
        ] {
            assert_eq!(completed(text), expected, "{text}");
        }
        assert_eq!(complete::<SiteRow>("kind:put").apply("kind:put"), "kind:put_object ");
        assert_eq!(complete::<ReferenceRow>("si").words, ["size", "site"]);
        assert_eq!(complete::<EventRow>("severity:").words, ["info", "warning", "error"]);
    }

    #[test]
    fn every_word_that_is_offered_can_be_read() {
        fn check<R: Record>() {
            for column in R::columns() {
                for operator in [":", "=", "!="] {
                    let begun = format!("x !{}{operator}", column.name);
                    let found = complete::<R>(&begun);
                    assert_eq!(found.words.is_empty(), column.words.is_empty(), "{begun}");
                    for word in found.words {
                        let text = format!("{begun}{word}");
                        assert!(Filter::<R>::parse(&text).is_ok(), "{text}");
                    }
                }
            }
        }
        check::<ReferenceRow>();
        check::<SiteRow>();
        check::<EventRow>();
    }

    proptest! {
        #[test]
        fn nothing_typed_is_lost(text in ".{0,12}", tail in "[!a-z:=|\" ]{0,8}") {
            let text = format!("{text}{tail}");
            let completion = complete::<ReferenceRow>(&text);
            let completed = completion.apply(&text);
            prop_assert!(completed.chars().count() >= text.chars().count());
            prop_assert!(completed.starts_with(&text[..completion.at.min(text.len())]));
        }
    }
}
