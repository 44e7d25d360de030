//! A line of a program.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::SiteKind;
use crate::id::SiteId;

/// A place in a program, or a frame of a stack: the same place called from elsewhere is another site.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Site {
    /// Its number within the agent.
    pub id: SiteId,
    /// How references come to be there.
    pub kind: SiteKind,
    /// The enclosing function's path, empty where unknown.
    pub function: String,
    /// The source file as the compiler named it.
    pub file: String,
    /// The line, from 1; 0 where unknown.
    pub line: u32,
    /// The site that it was called from, a frame; 0 where none is known, and then left out of frames.
    #[serde(skip_serializing_if = "is_none")]
    pub caller: SiteId,
    /// That site itself, where rows are of the process that has all sites. It does not travel.
    #[serde(skip)]
    pub outer: Option<Arc<Site>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_none(site: &SiteId) -> bool {
    site.0 == 0
}

impl Site {
    /// The site and those that it was called from, innermost first, as far as they are here.
    pub fn frames(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |site| site.outer.as_deref())
    }

    /// All frames as [`Site::long`], innermost first, with ` | ` between them.
    #[must_use]
    pub fn stack(&self) -> String {
        let mut text = self.long();
        for frame in self.frames().skip(1) {
            text.push_str(" | ");
            frame.write_path(&mut text);
        }
        text
    }

    /// `function file:line` with both paths whole.
    fn write_path(&self, text: &mut String) {
        if !self.function.is_empty() {
            text.push_str(&self.function);
            text.push(' ');
        }
        text.push_str(&self.file);
        if self.line != 0 {
            text.push(':');
            text.push_str(&self.line.to_string());
        }
    }

    /// `function file:line` with the last parts of both paths: what fits a row.
    #[must_use]
    pub fn short(&self) -> String {
        if self.file.is_empty() {
            return "-".to_owned();
        }
        let file = self.file.rsplit('/').next().unwrap_or(&self.file);
        match self.short_function() {
            // No place of its own.
            _ if self.line == 0 => file.to_owned(),
            "" => format!("{file}:{}", self.line),
            function => format!("{function} {file}:{}", self.line),
        }
    }

    /// `(kind) function file:line` with both paths whole; empty where the place is unknown.
    #[must_use]
    pub fn long(&self) -> String {
        let mut text = self.kind.word().to_owned();
        if !text.is_empty() {
            text.push(' ');
        }
        self.write_path(&mut text);
        text.truncate(text.trim_end_matches(' ').len());
        text
    }

    /// The last part of the function's path; closures name their function.
    #[must_use]
    pub fn short_function(&self) -> &str {
        let named = self.function.split("::").filter(|part| !part.starts_with('{')).last();
        // Reduced debug information may name a closure without its function.
        named.unwrap_or(if self.function.is_empty() { "" } else { "closure" })
    }
}

impl fmt::Display for Site {
    /// `(kind) function file:line`, as in the call site column.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = self.short();
        match self.kind.word() {
            "" => f.pad(&short),
            kind => f.pad(&format!("{kind} {short}")),
        }
    }
}
