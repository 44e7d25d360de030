//! One of several agents: the connection to it, what it was asked for, and what is here of that.

use std::collections::{BTreeMap, HashSet};

use plasmon_protocol::record::NodeRow;
use plasmon_protocol::stream::{GroupRow, Request, Rows, Totals, View};

use super::pages::Pages;
use crate::link::Link;
use crate::link::websocket::WebSocketLink;
use crate::model::Model;

/// Windows of groups that are followed of each agent: with what else a dashboard asks for, a viewer may have no more rows.
pub(super) const WINDOWS: u32 = 4;
/// Numbers of what is wanted are apart by this: windows come first, pages have the rest in turn.
pub(super) const NUMBERS: u32 = 16;

/// One of the agents.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) link: WebSocketLink,
    pub(super) replica: Model,
    /// The rows of the replica's windows with their ids moved apart.
    pub(super) rows: BTreeMap<u32, Rows>,
    /// Windows that it was asked for, of groups that don't fit one.
    pub(super) windows: BTreeMap<u32, u32>,
    /// The rest of such groups, where those windows do not hold them.
    pub(super) pages: BTreeMap<u32, Pages>,
    pub(super) node: Option<NodeRow>,
    pub(super) lost: bool,
}

/// What agents know a window of what is wanted by.
pub(super) fn window_id(number: u32, window: u32) -> u32 {
    number * NUMBERS + window
}

/// What it knows a page by.
pub(super) fn page_id(number: u32, page: u32) -> u32 {
    window_id(number, WINDOWS + page % (NUMBERS - WINDOWS))
}

impl Agent {
    /// Nothing is known of it yet.
    pub(super) fn new(link: WebSocketLink) -> Self {
        Self {
            link,
            replica: Model::default(),
            rows: BTreeMap::new(),
            windows: BTreeMap::new(),
            pages: BTreeMap::new(),
            node: None,
            lost: true,
        }
    }

    /// Windows of what is wanted that it was asked for.
    pub(super) fn asked(&self, number: u32) -> impl Iterator<Item = u32> + use<> {
        let windows = self.windows.get(&number).copied().unwrap_or(1);
        (0..windows).map(move |window| window_id(number, window))
    }

    /// Its totals, and the groups that are here of its, each once: windows of different instants may have one twice.
    pub(super) fn groups(&self, number: u32) -> Option<(Totals, Vec<&GroupRow>)> {
        let first = self.replica.windows.get(&window_id(number, 0))?;
        if let Some(pages) = self.pages.get(&number) {
            return Some((first.totals, pages.groups().collect()));
        }
        let mut seen = HashSet::new();
        let windows = self.asked(number).filter_map(|id| self.replica.windows.get(&id)?.of::<GroupRow>());
        Some((first.totals, windows.flatten().filter(|group| seen.insert(group.key.as_str())).collect()))
    }

    /// How many groups of how many were read of what is wanted, while that is under way.
    pub(super) fn reading(&self, number: u32) -> Option<(u64, u64)> {
        let read = self.pages.get(&number)?.read().filter(|_| !self.lost)?;
        Some((read, self.replica.windows.get(&window_id(number, 0))?.totals.groups))
    }

    /// Asks for the next page.
    pub(super) fn turn(&mut self, number: u32, view: &View) {
        let Some(pages) = self.pages.get_mut(&number) else { return };
        let old = page_id(number, pages.number());
        self.replica.forget(old);
        self.link.send(Request::Unsubscribe { id: old });
        let (page, view) = pages.ask(view);
        self.link.send(Request::Subscribe { id: page_id(number, page), view });
    }

    /// Takes what is newer of the groups that are followed over to those that were read.
    pub(super) fn follow(&mut self, number: u32) {
        let asked = self.asked(number);
        let Some(pages) = self.pages.get_mut(&number) else { return };
        let windows = asked.filter_map(|id| self.replica.windows.get(&id)?.of::<GroupRow>());
        windows.for_each(|rows| pages.update(rows));
    }

    /// Reads no more pages.
    pub(super) fn end_pages(&mut self, number: u32) {
        let Some(pages) = self.pages.remove(&number) else { return };
        let id = page_id(number, pages.number());
        self.replica.forget(id);
        self.link.send(Request::Unsubscribe { id });
    }

    /// Whether every window of its that it was asked for is here.
    pub(super) fn has_all(&self, number: u32) -> bool {
        self.asked(number).all(|id| self.replica.windows.contains_key(&id))
    }
}
