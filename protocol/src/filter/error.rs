//! What is wrong with a filter, and where.

use std::fmt;

use unicode_width::UnicodeWidthChar;

use crate::error::Error;
use crate::report::harmless;

/// Characters that are shown of the filter on either side of the fault.
const AROUND: usize = 50;

/// A filter that cannot be read. Prints in three lines: what is wrong, the filter, and a caret below the fault.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FilterError {
    /// The filter.
    pub text: String,
    /// The character that it fails at, counted from 0 in characters; always one of the text.
    pub offset: usize,
    /// What is wrong there, with the value.
    pub message: String,
    /// What to write instead.
    pub hint: String,
}

impl std::error::Error for FilterError {}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.offset.saturating_sub(AROUND);
        let mut shown = String::new();
        let mut caret = 0;
        for (index, letter) in self.text.chars().enumerate().skip(first).take(2 * AROUND) {
            let cell = harmless(letter.encode_utf8(&mut [0; 4])).into_owned();
            if index < self.offset {
                caret += cell.chars().map(|letter| letter.width().unwrap_or(0)).sum::<usize>();
            }
            shown.push_str(&cell);
        }
        write!(f, "{}\n  {shown}\n  {:caret$}^", harmless(&self.message), "")
    }
}

impl From<FilterError> for Error {
    fn from(error: FilterError) -> Self {
        let cause = format!("{} at character {}; {}", error.message, error.offset + 1, error.hint);
        Self::invalid("filter", error.text, cause)
    }
}
