//! Groups beyond those that are followed: asking for them page by page, and again from time to time.

use std::time::Duration;

use plasmon_protocol::stream::{GroupRow, MAX_WINDOW, Request};
use tokio::time::Instant;

use super::agent::{NUMBERS, WINDOWS, page_id, window_id};
use super::merge::of_agent;
use super::pages::{MOST, Pages};
use super::{ManyLink, Want, Wanted};
use crate::link::Link;

/// While groups are read, pictures of them are so far apart.
const PICTURE: Duration = Duration::from_millis(200);

/// When what is new of groups that are read is to be told.
fn picture_due(wanted: &Wanted) -> Option<Instant> {
    wanted.shown.filter(|_| wanted.has_news).map(|shown| shown + PICTURE)
}

impl ManyLink {
    /// Asks an agent for more windows when its groups don't fit those that it was asked for, and for the rest page by page.
    pub(super) fn ask_on(&mut self, number: usize, id: u32) {
        let Some(Wanted { want: Want::View(view, sliding), .. }) = self.wants.get(&id) else { return };
        let agent = &mut self.agents[number];
        let first = agent.replica.windows.get(&window_id(id, 0));
        let Some(groups) = first.filter(|_| view.group.is_some()).map(|window| window.totals.groups) else { return };
        let needed = u32::try_from(groups.div_ceil(MAX_WINDOW.into())).unwrap_or(u32::MAX);
        // Keys may be so long that a frame does not hold a window.
        let is_cut = agent.asked(id).any(|id| agent.replica.windows.get(&id).is_some_and(|window| window.totals.cut > 0));
        // A page has the rows of the last window: pages end when the other windows hold all.
        let is_long = needed > WINDOWS || is_cut || (needed == WINDOWS && agent.pages.contains_key(&id));
        let most = if is_long { WINDOWS - 1 } else { WINDOWS };
        let asked = agent.windows.get(&id).copied().unwrap_or(1);
        let windows = needed.max(asked).min(most);
        for window in asked..windows {
            agent.link.send(Request::Subscribe { id: window_id(id, window), view: of_agent(view, sliding, number, window) });
        }
        for window in windows..asked {
            agent.replica.forget(window_id(id, window));
            agent.link.send(Request::Unsubscribe { id: window_id(id, window) });
        }
        agent.windows.insert(id, windows);
        if is_long && !agent.pages.contains_key(&id) {
            agent.pages.insert(id, Pages::new(MOST));
            agent.turn(id, view);
        }
        if !is_long {
            agent.end_pages(id);
        }
        agent.follow(id);
    }

    /// Takes in a page, if it is the one that was asked for.
    pub(super) fn paged(&mut self, number: usize, id: u32) {
        let Some(Wanted { want: Want::View(view, _), .. }) = self.wants.get(&(id / NUMBERS)) else { return };
        let agent = &mut self.agents[number];
        let Some(pages) = agent.pages.get_mut(&(id / NUMBERS)).filter(|pages| page_id(id / NUMBERS, pages.number()) == id) else {
            // Of a page that was ended.
            return agent.replica.forget(id);
        };
        // What changes of a page later is read with the next walk.
        let Some(page) = agent.replica.windows.get(&id).filter(|_| pages.due().is_none()) else { return };
        let now = Instant::now();
        let goes_on = pages.take(page.start, &page.totals, page.of::<GroupRow>().unwrap_or_default(), now);
        if goes_on {
            agent.turn(id / NUMBERS, view);
            self.show_soon(id / NUMBERS);
        } else {
            agent.replica.forget(id);
            agent.link.send(Request::Unsubscribe { id });
            // Where the walk ended before the last of them, those that are followed stay.
            agent.follow(id / NUMBERS);
            self.show(id / NUMBERS);
        }
    }

    /// Tells what is new of a subscription: now, or when its next picture is due. All groups that are read are put together for each
    /// picture, which takes longer than a page or a change of some.
    pub(super) fn show_soon(&mut self, id: u32) {
        let is_read = self.agents.iter().any(|agent| agent.pages.contains_key(&id));
        match self.wants.get_mut(&id).filter(|_| is_read) {
            Some(wanted) if wanted.shown.is_some_and(|shown| Instant::now() < shown + PICTURE) => wanted.has_news = true,
            _ => self.show(id),
        }
    }

    /// When the next walk through groups is due, or a picture of them.
    pub(super) fn due(&self) -> Option<Instant> {
        let walks = self.agents.iter().filter(|agent| !agent.lost).flat_map(|agent| agent.pages.values().filter_map(Pages::due));
        walks.chain(self.wants.values().filter_map(picture_due)).min()
    }

    /// Begins the walks that are due, and tells the pictures that are.
    pub(super) fn walk(&mut self) {
        let now = Instant::now();
        let due = self.wants.iter().filter(|(_, wanted)| picture_due(wanted).is_some_and(|due| due <= now));
        let due: Vec<u32> = due.map(|(id, _)| *id).collect();
        due.into_iter().for_each(|id| self.show(id));
        for agent in self.agents.iter_mut().filter(|agent| !agent.lost) {
            let due: Vec<u32> =
                agent.pages.iter().filter(|(_, pages)| pages.due().is_some_and(|due| due <= now)).map(|(id, _)| *id).collect();
            for id in due {
                if let Some(Wanted { want: Want::View(view, _), .. }) = self.wants.get(&id) {
                    agent.turn(id, view);
                }
            }
        }
    }
}
