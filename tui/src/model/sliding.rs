//! A long table of several agents as one. Of each agent a window is here, and windows slide with what is looked at, so that every row can
//! be reached though no window has more than [`MAX_WINDOW`].
//!
//! What is here is exact from the last first row of a window that does not begin with its agent's first, up to the first last row of a
//! window that does not end with its agent's last: nobody has a row in between that is not here. What lies before is counted, and so the
//! places of rows in the whole are exact as well.
//!
//! An agent that is lost cannot be asked for more: what is here of its rows stays, and is all that it has as long as it is lost.

use std::ops::Range;

use plasmon_protocol::stream::{MAX_WINDOW, Rows, View, Window as Asked};
use plasmon_protocol::window::Query;

use super::window::{self, Window};

/// What is here of one agent's rows.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The agent's number.
    pub agent: usize,
    /// Whether it can be asked for more.
    pub is_live: bool,
    /// Its window.
    pub window: &'a Window,
    /// The window's rows with ids that no other agent's rows have.
    pub rows: &'a Rows,
}

impl Part<'_> {
    fn len(&self) -> usize {
        window::len(self.rows)
    }

    fn begins(&self) -> bool {
        !self.is_live || self.window.start == 0
    }

    fn ends(&self) -> bool {
        !self.is_live || self.window.start + self.len() as u64 >= self.window.totals.matched
    }

    /// Rows of it that come before those that are here.
    fn before(&self) -> u64 {
        if self.is_live { self.window.start } else { 0 }
    }

    /// Rows of it that can be looked at.
    fn count(&self) -> u64 {
        self.window.totals.matched - self.left_out()
    }

    /// Rows that it had when it was lost and that are not here.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        if self.is_live { 0 } else { self.window.totals.matched.saturating_sub(self.len() as u64) }
    }
}

/// What is here of all.
#[derive(Clone, PartialEq, Debug)]
struct Joined {
    /// Of which part each row is, in order.
    order: Vec<usize>,
    /// Which of them are exact.
    exact: Range<usize>,
    /// Rows before the first of them.
    before: u64,
    /// Rows of all.
    total: u64,
}

impl Joined {
    fn of(query: &Query, parts: &[Part<'_>]) -> Self {
        let rows: Vec<&Rows> = parts.iter().map(|part| part.rows).collect();
        let order = query.interleave(&rows);
        let mut exact = 0..order.len();
        for (number, part) in parts.iter().enumerate() {
            if !part.begins() {
                exact.start = exact.start.max(order.iter().position(|of| *of == number).unwrap_or(order.len()));
            }
            if !part.ends() {
                exact.end = exact.end.min(order.iter().rposition(|of| *of == number).map_or(0, |last| last + 1));
            }
        }
        exact.end = exact.end.max(exact.start);
        let before = parts.iter().map(Part::before).sum();
        let total = parts.iter().map(Part::count).sum();
        Self { order, exact, before, total }
    }

    /// Places in the whole that are exact.
    fn places(&self) -> Range<u64> {
        self.before + self.exact.start as u64..self.before + self.exact.end as u64
    }

    fn at(&self, place: u64) -> usize {
        usize::try_from(place.saturating_sub(self.before)).unwrap_or(usize::MAX).min(self.order.len())
    }

    /// What is looked at, as far as there are rows.
    fn looked_at(&self, view: &View) -> Range<u64> {
        let start = view.window.start.min(self.total.saturating_sub(view.window.len.into()));
        start..(start + u64::from(view.window.len)).min(self.total)
    }

    fn covers(&self, view: &View) -> bool {
        let (here, looked_at) = (self.places(), self.looked_at(view));
        looked_at.is_empty() || (here.start <= looked_at.start && looked_at.end <= here.end)
    }
}

/// What is shown.
#[derive(Clone, PartialEq, Debug)]
pub struct Picture {
    /// The first row's place in the whole.
    pub start: u64,
    /// The rows in order.
    pub rows: Rows,
}

/// What each agent is asked for of one view.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sliding {
    asked: Vec<Asked>,
    /// How many rows a frame of an agent holds, as far as is known.
    most: Vec<u32>,
}

impl Sliding {
    /// Before anything is known.
    #[must_use]
    pub fn new(agents: usize, view: &View) -> Self {
        let mut new = Self { asked: vec![Asked { start: 0, len: MAX_WINDOW }; agents], most: vec![MAX_WINDOW; agents] };
        new.top(view);
        new
    }

    /// What an agent is asked for.
    #[must_use]
    pub fn asked(&self, agent: usize) -> Asked {
        self.asked.get(agent).copied().unwrap_or(Asked { start: 0, len: MAX_WINDOW })
    }

    /// All windows begin with the first row and reach as far as is looked, if they can; whether they do.
    pub fn top(&mut self, view: &View) -> bool {
        let end = view.window.start.saturating_add(view.window.len.into());
        let Some(len) = u32::try_from(end).ok().filter(|len| *len <= self.least()) else { return false };
        self.asked.fill(Asked { start: 0, len });
        true
    }

    /// Whether an agent's answer to what it was last asked for has not come.
    fn waits_for(&self, part: &Part<'_>) -> bool {
        let (asked, matched) = (self.asked(part.agent), part.window.totals.matched);
        let latest = matched.saturating_sub(asked.len.into());
        let all = matched.saturating_sub(part.window.start).min(asked.len.into());
        let len = part.len() as u64;
        part.window.start != asked.start.min(latest) || (len != all && (len > all || part.window.totals.cut == 0))
    }

    fn waits(&self, parts: &[Part<'_>]) -> bool {
        parts.iter().any(|part| part.is_live && self.waits_for(part))
    }

    /// The most rows that every agent's frame holds.
    fn least(&self) -> u32 {
        self.most.iter().copied().min().unwrap_or(MAX_WINDOW)
    }

    /// See [`Sliding::slide`].
    fn picture(&self, view: &View, parts: &[Part<'_>], joined: &Joined, all: bool) -> Option<Picture> {
        // The top is shown as agents answer, one after the other; further down nobody knows the places before all have.
        if !(all || view.window.start == 0) || (self.waits(parts) && !joined.covers(view)) {
            return None;
        }
        let (here, looked_at) = (joined.places(), joined.looked_at(view));
        let start = looked_at.start.clamp(here.start, here.end);
        let end = looked_at.end.clamp(start, here.end);
        let mut met = vec![0_usize; parts.len()];
        let mut places = Vec::new();
        for (at, part) in joined.order.iter().enumerate().take(joined.at(end)) {
            if at >= joined.at(start) {
                places.push((*part, met[*part]));
            }
            met[*part] += 1;
        }
        let rows: Vec<&Rows> = parts.iter().map(|part| part.rows).collect();
        Some(Picture { start, rows: window::gather(&rows, &places)? })
    }

    /// Moves the windows to what is looked at. What is shown of it then, `None` while its rows are on their way. `all` tells whether every
    /// agent that is there has answered.
    #[must_use]
    pub fn slide(&mut self, view: &View, query: &Query, parts: &[Part<'_>], all: bool) -> Option<Picture> {
        let joined = Joined::of(query, parts);
        self.learn(parts);
        // A window that is on its way says nothing yet, and nor does an agent.
        if !self.top(view) && all && !self.waits(parts) {
            self.aim(view, parts, &joined);
        }
        self.picture(view, parts, &joined, all)
    }

    /// Rows may be too long for a frame to hold as many as were asked for.
    fn learn(&mut self, parts: &[Part<'_>]) {
        for part in parts.iter().filter(|part| part.window.totals.cut > 0 && part.len() > 0) {
            if let Some(most) = self.most.get_mut(part.agent) {
                *most = (*most).min(u32::try_from(part.len()).unwrap_or(MAX_WINDOW));
            }
        }
    }

    fn aim(&mut self, view: &View, parts: &[Part<'_>], joined: &Joined) {
        let (here, looked_at) = (joined.places(), joined.looked_at(view));
        let least = self.least();
        let margin = u64::from(least.saturating_sub(view.window.len) / 4);
        let lead = (least.saturating_sub(view.window.len) / 2).max(1);
        let (to_top, to_end) = (looked_at.start, joined.total - looked_at.end);
        if here.is_empty() {
            // The tables have changed so much that the windows have nothing in common: the walk begins at the nearer end.
            if to_top < to_end { self.first() } else { self.last(parts) }
        } else if here.end < joined.total && looked_at.end + margin > here.end {
            if looked_at.start < here.end {
                self.turn(parts, joined, looked_at.start.max(here.start), lead);
            } else if to_end < looked_at.start - here.end {
                self.last(parts);
            } else {
                self.turn(parts, joined, here.end, (least / 4).max(1));
            }
        } else if here.start > 0 && looked_at.start < here.start + margin {
            if looked_at.start >= here.start {
                self.turn(parts, joined, looked_at.start, lead);
            } else if to_top < here.start - looked_at.start {
                self.first();
            } else {
                self.turn(parts, joined, here.start, (least - least / 4).max(1));
            }
        }
    }

    /// All windows begin so many rows before what they have at a place. With at least one row before it, each has what says that nothing
    /// is missing there.
    fn turn(&mut self, parts: &[Part<'_>], joined: &Joined, place: u64, lead: u32) {
        let mut rows = vec![0_u64; parts.len()];
        joined.order.iter().take(joined.at(place)).for_each(|part| rows[*part] += 1);
        for (part, rows) in parts.iter().zip(rows) {
            self.ask(part.agent, (part.window.start + rows).saturating_sub(lead.into()));
        }
    }

    fn first(&mut self) {
        (0..self.asked.len()).for_each(|agent| self.ask(agent, 0));
    }

    fn last(&mut self, parts: &[Part<'_>]) {
        for part in parts {
            let most = self.most.get(part.agent).copied().unwrap_or(MAX_WINDOW);
            self.ask(part.agent, part.window.totals.matched.saturating_sub(most.into()));
        }
    }

    fn ask(&mut self, agent: usize, start: u64) {
        if let (Some(asked), Some(most)) = (self.asked.get_mut(agent), self.most.get(agent)) {
            *asked = Asked { start, len: *most };
        }
    }
}

#[cfg(test)]
mod tests;
