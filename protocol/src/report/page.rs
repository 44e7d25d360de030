//! Lines of text in cells of a terminal.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::harmless;
use crate::record::Site;

/// Where a cell stands in its column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Left,
    Right,
}

pub(super) fn width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.width() }
}

/// Many spaces at once.
const BLANK: &str = "                                                                ";

/// Appends `text` in `cells` cells and takes away nothing.
pub(super) fn pad(line: &mut String, text: &str, cells: usize, side: Side) {
    let mut gap = cells.saturating_sub(width(text));
    if side == Side::Left {
        line.push_str(text);
    }
    while gap > 0 {
        let part = gap.min(BLANK.len());
        line.push_str(&BLANK[..part]);
        gap -= part;
    }
    if side == Side::Right {
        line.push_str(text);
    }
}

/// Ends a line, without spaces at its end.
pub(super) fn end(line: &mut String) {
    line.truncate(line.trim_end_matches(' ').len());
    line.push('\n');
}

/// The first characters that fit `cells`.
fn head(text: &str, cells: usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().find_map(|(at, char)| {
        used += char.width().unwrap_or(0);
        (used > cells).then_some(at)
    });
    &text[..end.unwrap_or(text.len())]
}

/// The last characters that fit `cells`.
fn tail(text: &str, cells: usize) -> &str {
    let mut used = 0;
    let start = text.char_indices().rev().find_map(|(at, char)| {
        used += char.width().unwrap_or(0);
        (used > cells).then_some(at + char.len_utf8())
    });
    &text[start.unwrap_or(0)..]
}

/// The last characters, with a mark for those before, in at most `cells` cells.
pub(super) fn cut_front(text: &str, cells: usize) -> Cow<'_, str> {
    if width(text) <= cells { Cow::Borrowed(text) } else { Cow::Owned(format!("…{}", tail(text, cells.saturating_sub(1)))) }
}

/// The first characters, with a mark for those behind, in at most `cells` cells.
pub(super) fn cut_back(text: &str, cells: usize) -> Cow<'_, str> {
    if width(text) <= cells { Cow::Borrowed(text) } else { Cow::Owned(format!("{}…", head(text, cells.saturating_sub(1)))) }
}

/// A site and what it was called from, innermost first, with whole paths; only the first with its kind.
pub(super) fn stack(site: &Site) -> Vec<String> {
    let mut frames = vec![SiteText::full(site).whole];
    frames.extend(site.frames().skip(1).map(|frame| SiteText::full(frame).bare().to_owned()));
    frames
}

/// A call site that can be shortened: what goes first is the kind, then the end of the function, then the start of the place.
pub(super) struct SiteText {
    /// `(kind) function file:line`
    whole: String,
    /// Where the function starts in it.
    bare: usize,
    /// Where the place starts in it.
    place: usize,
}

impl SiteText {
    /// With the last parts of both paths.
    pub(super) fn short(site: &Site) -> Self {
        let file = site.file.rsplit('/').next().unwrap_or(&site.file);
        Self::join(site, site.short_function(), file)
    }

    /// With both paths whole.
    pub(super) fn full(site: &Site) -> Self {
        Self::join(site, &site.function, &site.file)
    }

    fn join(site: &Site, function: &str, file: &str) -> Self {
        let mut whole = String::new();
        let mut part = |part: &str| {
            if !part.is_empty() {
                whole.push_str(&harmless(part));
                whole.push(' ');
            }
            whole.len()
        };
        let bare = part(site.kind.word());
        // A function without a place is no site.
        let place = part(if site.file.is_empty() { "" } else { function });
        if site.file.is_empty() {
            whole.push('-');
        } else {
            whole.push_str(&harmless(file));
            whole.push_str(&format!(":{}", site.line));
        }
        Self { whole, bare, place }
    }

    pub(super) fn whole(&self) -> &str {
        &self.whole
    }

    /// Without the kind.
    pub(super) fn bare(&self) -> &str {
        &self.whole[self.bare..]
    }

    /// Without the kind, as much as fits `cells`.
    pub(super) fn bare_within(&self, cells: usize) -> String {
        cut_front(self.bare(), cells).into_owned()
    }

    /// As much as fits `cells`.
    pub(super) fn fit(&self, cells: usize) -> Cow<'_, str> {
        let (bare, place) = (self.bare(), &self.whole[self.place..]);
        if width(&self.whole) <= cells {
            return Cow::Borrowed(&self.whole);
        }
        if width(bare) <= cells {
            return Cow::Borrowed(bare);
        }
        // Room for one letter of the function, the mark and a space.
        match cells.checked_sub(width(place) + 3) {
            Some(room) => Cow::Owned(format!("{}… {place}", head(bare, room + 1))),
            None => cut_front(place, cells),
        }
    }
}
