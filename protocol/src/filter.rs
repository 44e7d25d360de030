//! The language of filters, over any table.
//!
//! ```text
//! site:remember size>1m            both must hold
//! type:pinned | age>10m            either may hold; `|` binds weaker than a space
//! !state:inlined                   must not hold
//! !(pid:7 | pid:8) size>1m         brackets hold words together; in the midst of a word they are text
//! "two words" 4f02                 a word alone is looked for in every text column (but a task's reason, which changes all the time)
//! ```
//!
//! `column:text` and bare words look for a part of the text, whatever its case; `-`, `_` and a space are the same character. Of places
//! they find the short and the whole path, and all that they were called from, of nodes the address and the number. `=` asks for the whole text. Where a column has words of
//! its own (`state`, `type`), a value that is in none of them is an error. Columns of numbers take `: = != > < >= <=` with sizes (`size>=1.5MiB`), counts (`local>10k`),
//! numbers (`cpu>50%`) and, for instants, ages (`age<1h30m`). A cell that is unknown meets no comparison.

use std::fmt;
use std::str::FromStr;

use crate::column::{Cell, Column, Kind, Record};
use crate::error::Error;
pub use complete::{Completion, complete};
pub use error::FilterError;
use value::Test;

mod complete;
mod error;
mod near;
mod parse;
mod value;

/// No filter has more words: each costs something for every row.
pub const MAX_TERMS: usize = 64;
/// No filter has more brackets within brackets.
pub const MAX_DEPTH: usize = 16;

/// A condition on rows of one table. The default one lets everything through.
#[derive(Clone)]
pub struct Filter<R: Record> {
    text: String,
    /// None at all means that everything matches.
    alternatives: Alternatives<R>,
}

/// All of one of these must hold.
type Alternatives<R> = Vec<Vec<Part<R>>>;

/// A word, or what stands in brackets.
#[derive(Clone)]
enum Part<R: Record> {
    Word(Term<R>),
    Group { negated: bool, alternatives: Alternatives<R> },
}

fn any_holds<R: Record>(alternatives: &Alternatives<R>, row: &R, now_ms: u64) -> bool {
    alternatives.iter().any(|parts| parts.iter().all(|part| part.holds(row, now_ms)))
}

impl<R: Record> Part<R> {
    fn holds(&self, row: &R, now_ms: u64) -> bool {
        match self {
            Self::Word(term) => term.holds(row, now_ms),
            Self::Group { negated, alternatives } => any_holds(alternatives, row, now_ms) != *negated,
        }
    }

    /// The least that `of` finds of any word.
    fn least(&self, of: &impl Fn(&Term<R>) -> Option<u64>) -> Option<u64> {
        match self {
            Self::Word(term) => of(term),
            Self::Group { alternatives, .. } => alternatives.iter().flatten().filter_map(|part| part.least(of)).min(),
        }
    }
}

/// One word of a filter.
#[derive(Clone)]
struct Term<R: Record> {
    negated: bool,
    want: Want<R>,
}

#[derive(Clone)]
enum Want<R: Record> {
    /// Some text column contains this, folded.
    Anywhere(String),
    /// The column's cell passes.
    Column(&'static Column<R>, Test),
}

impl<R: Record> Filter<R> {
    /// Reads a filter; an empty one lets everything through.
    ///
    /// # Errors
    /// When a word cannot be read or names no column of `R`; the error points at its place.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        Ok(Self { text: text.to_owned(), alternatives: parse::parse(text)? })
    }

    /// Whether `row` passes. `now_ms` is the clock that ages are taken by, milliseconds since the Unix epoch.
    #[must_use]
    pub fn matches(&self, row: &R, now_ms: u64) -> bool {
        self.alternatives.is_empty() || any_holds(&self.alternatives, row, now_ms)
    }

    /// The text that it was read from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it lets everything through because it asks for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.alternatives.is_empty()
    }

    /// When the outcome may next change with time alone, milliseconds since the Unix epoch: not before it.
    #[must_use]
    pub fn changes_at(&self, row: &R, now_ms: u64) -> Option<u64> {
        self.least(|term| match &term.want {
            Want::Column(column, test) => test.changes_at(&(column.cell)(row), now_ms),
            Want::Anywhere(_) => None,
        })
    }

    fn least(&self, of: impl Fn(&Term<R>) -> Option<u64>) -> Option<u64> {
        self.alternatives.iter().flatten().filter_map(|part| part.least(&of)).min()
    }

    /// Whether the outcome can change while nothing about a row does.
    #[must_use]
    pub fn is_volatile(&self) -> bool {
        self.least(|term| matches!(&term.want, Want::Column(column, _) if is_volatile(column)).then_some(0)).is_some()
    }

    /// Whether the outcome can change with time alone.
    #[must_use]
    pub fn depends_on_age(&self) -> bool {
        self.least(|term| matches!(&term.want, Want::Column(_, Test::Age(..))).then_some(0)).is_some()
    }
}

impl<R: Record> Term<R> {
    fn holds(&self, row: &R, now_ms: u64) -> bool {
        let found = match &self.want {
            Want::Anywhere(needle) => {
                R::columns().iter().filter(|column| column.kind == Kind::Text && !is_volatile(column)).any(|column| {
                    let has = |cell: Cell<'_>| matches!(cell, Cell::Text(text) if contains(&text, needle));
                    has((column.cell)(row)) || column.also.is_some_and(|also| has(also(row)))
                })
            }
            Want::Column(Column { cell, also: None, .. }, test) => test.holds(&cell(row), now_ms),
            Want::Column(Column { cell, also: Some(also), .. }, test) => {
                let (short, long) = (test.holds(&cell(row), now_ms), test.holds(&also(row), now_ms));
                if test.is_refusal() { short && long } else { short || long }
            }
        };
        found != self.negated
    }
}

impl<R: Record> Default for Filter<R> {
    fn default() -> Self {
        Self { text: String::new(), alternatives: Vec::new() }
    }
}

impl<R: Record> fmt::Debug for Filter<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filter({:?})", self.text)
    }
}

impl<R: Record> FromStr for Filter<R> {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        Self::parse(text)
    }
}

/// Milliseconds of a duration as filters take it: `500ms`, `5s`, `10m`, `1h30m`, `2d`.
///
/// # Errors
/// [`Error::Invalid`] when it is none.
pub fn milliseconds(text: &str) -> Result<u64, Error> {
    value::duration(text).map(|(time, _)| time).ok_or_else(|| Error::invalid("duration", text, value::Test::example(Kind::Since)))
}

/// See [`Record::VOLATILE`].
pub(crate) fn is_volatile<R: Record>(column: &Column<R>) -> bool {
    R::VOLATILE.contains(&column.name)
}

/// The column called `name`; `kind` and `type` stand for each other in tables that have only one of them.
fn column<R: Record>(name: &str) -> Option<&'static Column<R>> {
    R::column(name).or_else(|| match name.to_ascii_lowercase().as_str() {
        "kind" => R::column("type"),
        "type" => R::column("kind"),
        _ => None,
    })
}

/// What `text` is compared as: lower case, with one character for what joins words.
fn fold(text: &str) -> String {
    text.to_lowercase().replace(['-', ' '], "_")
}

fn fold_byte(byte: u8) -> u8 {
    match byte {
        b'-' | b' ' => b'_',
        byte => byte.to_ascii_lowercase(),
    }
}

/// Whether `text`, folded, contains `needle`, which is. Runs for every row, so plain needles are looked for without a copy.
fn contains(text: &str, needle: &str) -> bool {
    let Some(first) = needle.bytes().next() else { return true };
    if !needle.is_ascii() {
        return fold(text).contains(needle);
    }
    let same = |window: &[u8]| window.iter().zip(needle.bytes()).all(|(byte, want)| fold_byte(*byte) == want);
    text.as_bytes().windows(needle.len()).any(|window| window.first().is_some_and(|byte| fold_byte(*byte) == first) && same(window))
}

/// Whether `text`, folded, is `wanted`, which is.
fn equals(text: &str, wanted: &str) -> bool {
    if wanted.is_ascii() { text.len() == wanted.len() && contains(text, wanted) } else { fold(text) == wanted }
}

#[cfg(test)]
mod tests;
