//! What the agent is asked for: only what the visible place needs, and the store's row always.

use std::collections::BTreeMap;

use plasmon_protocol::column::Table;
use plasmon_protocol::record::StoreRow;
use plasmon_protocol::stream::{Detail, MAX_WINDOW, Request, Sort, Target, View, Window};

use super::geometry::{Excerpt, shape};
use super::route::{Page, Route};
use super::tree::TreeRow;
use super::{App, Effect, LinkState};
use crate::model::{self, Watched};

/// Rows of sites that are asked for at once: the tree is built from them. Whoever goes to their end gets as many as a window holds.
pub const SITES: u32 = 200;
/// So near the end of the tree more of it is asked for, in rows.
const NEAR: u64 = 50;
/// Sites that are watched for growth: those that grew most within the last minute.
const GROWING: u32 = 50;
/// Rows of the overview's lists that are asked for.
const FEW: u32 = 30;
/// Events of external storage, and of what comes of it.
const STORAGE: &str = "kind:spill | kind=restored | kind=thrash | kind=object_lost | kind=store_full";
/// Sites where something was created, without what they were called from.
const CREATED: &str = "!kind:frame";
/// Processes that died lately: all that an agent keeps.
const DEAD: u32 = 100;

/// What a subscription is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Slot {
    /// The store's row, always.
    Store,
    /// The rows or the thing that the place is about.
    Main,
    /// More of the sites, in the order of the numbers.
    More(u8),
    /// The other table of a view of two.
    Rest,
    /// Processes that died lately, for the events of their deaths.
    Dead,
    /// The site whose source stands beside it, or what is shown of the selected row.
    Aside,
    /// The overview's sites.
    Sites,
    /// The overview's events; those of external storage on its own view.
    Events,
    /// The spill file that has a copy of the object.
    File,
    /// An object around the shown one, the nearest first.
    Outer(u8),
    /// The sites that grow most, always: who keeps more and more is found while one looks elsewhere.
    Growth,
    /// What a table has when a mark is set.
    Sheet(u8),
}

#[derive(Clone, PartialEq, Debug)]
enum Want {
    View(View),
    Thing(Target),
}

impl Want {
    fn request(&self, id: u32) -> Request {
        match self {
            Self::View(view) => Request::Subscribe { id, view: view.clone() },
            Self::Thing(target) => Request::Watch { id, target: target.clone() },
        }
    }

    /// Whether the rows of one are still true, if late, for the other.
    fn resembles(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::View(a), Self::View(b)) => a.table == b.table && a.filter == b.filter && a.group == b.group,
            (Self::Thing(a), Self::Thing(b)) => a == b,
            _ => false,
        }
    }
}

#[derive(Clone, Debug)]
struct Subscription {
    id: u32,
    want: Want,
    answered: bool,
    /// Why the agent does not serve it.
    refused: Option<String>,
}

/// What was asked for. Numbers are never used again, so that a late frame cannot be taken for another's.
#[derive(Clone, Debug, Default)]
pub struct Subscriptions {
    last: u32,
    slots: BTreeMap<Slot, Subscription>,
}

impl Subscriptions {
    pub(super) fn has(&self, id: u32) -> bool {
        self.slots.values().any(|known| known.id == id)
    }

    /// Notes an answer; whether it was the first.
    pub(super) fn answered(&mut self, id: u32) -> bool {
        self.slots.values_mut().find(|known| known.id == id).is_some_and(|known| {
            known.refused = None;
            !std::mem::replace(&mut known.answered, true)
        })
    }

    /// Asks for everything anew: a connection began, or a frame is missing.
    pub(super) fn ask_again(&mut self, effects: &mut Vec<Effect>) {
        for known in self.slots.values() {
            effects.push(Effect::Send(known.want.request(known.id)));
        }
    }

    pub(super) fn ask_one_again(&mut self, id: u32, effects: &mut Vec<Effect>) {
        effects.extend(self.slots.values().find(|known| known.id == id).map(|known| Effect::Send(known.want.request(id))));
    }

    pub(super) fn refuse(&mut self, id: u32, why: &str) {
        if let Some(known) = self.slots.values_mut().find(|known| known.id == id) {
            known.refused = Some(why.to_owned());
        }
    }

    pub(super) fn swap(&mut self, one: Slot, other: Slot) {
        let (first, second) = (self.slots.remove(&one), self.slots.remove(&other));
        self.slots.extend(first.map(|known| (other, known)));
        self.slots.extend(second.map(|known| (one, known)));
    }

    pub(super) fn slot(&self, id: u32) -> Option<Slot> {
        self.slots.iter().find(|(_, known)| known.id == id).map(|(slot, _)| *slot)
    }

    pub(super) fn id(&self, slot: Slot) -> Option<u32> {
        self.slots.get(&slot).map(|known| known.id)
    }
}

impl App {
    /// The window in a slot, once it has come.
    #[must_use]
    pub fn window(&self, slot: Slot) -> Option<&model::Window> {
        match &self.joined {
            Some(joined) if slot == Slot::Main => Some(&joined.window),
            _ => self.window_alone(slot),
        }
    }

    /// The window in a slot as it came.
    pub(super) fn window_alone(&self, slot: Slot) -> Option<&model::Window> {
        self.model().windows.get(&self.subscriptions.id(slot)?)
    }

    /// Whether rows of several agents are looked at that are not all here yet: their windows are still sliding there.
    #[must_use]
    pub fn reads_on(&self, slot: Slot) -> bool {
        // The tree of sites has lines of its own.
        let is_table = !self.nodes().is_empty() && self.place().route != Route::View(Page::Sites);
        let Some(window) = self.window(slot).filter(|_| is_table) else { return false };
        let first = self.list(slot).offset;
        let height = u64::from(shape(&self.place().route, self.canvas()).rows);
        let end = (first + height).min(window.count());
        first < end && (first < window.start || window.start + (window.keys.len() as u64) < end)
    }

    /// Why there is nothing in a slot yet.
    #[must_use]
    pub fn why_not(&self, slot: Slot) -> String {
        let refused = self.subscriptions.slots.get(&slot).and_then(|known| known.refused.clone());
        refused.unwrap_or_else(|| {
            let why = match self.link {
                LinkState::Lost { .. } => "the connection was lost before this came; it is asked for again",
                LinkState::Connecting | LinkState::Live => "waiting for the agent's answer",
            };
            why.to_owned()
        })
    }

    /// The thing in a slot, once it has come.
    #[must_use]
    pub fn watched(&self, slot: Slot) -> Option<&Watched> {
        self.model().details.get(&self.subscriptions.id(slot)?)
    }

    /// The detail in a slot, if it has come and the thing is still there.
    #[must_use]
    pub fn detail(&self, slot: Slot) -> Option<&Detail> {
        match self.watched(slot)? {
            Watched::Here(detail) => Some(detail),
            Watched::Gone => None,
        }
    }

    /// What the thing in a slot was before its last change, while that is news.
    #[must_use]
    pub fn detail_was(&self, slot: Slot) -> Option<&Detail> {
        self.model().detail_was(self.subscriptions.id(slot)?, self.agent_now_ms())
    }

    /// What the store's row was before its last change, while that is news.
    #[must_use]
    pub fn store_was(&self) -> Option<&StoreRow> {
        self.window(Slot::Store)?.was(self.model().store.as_ref()?, self.agent_now_ms())
    }

    /// Whether everything that was asked for has come.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        let answered = |known: &Subscription| known.answered || known.refused.is_some();
        self.link == LinkState::Live && self.subscriptions.slots.values().all(answered)
    }

    /// Brings what was asked for in line with what the place needs.
    pub(super) fn subscribe(&mut self, effects: &mut Vec<Effect>) {
        let wants = self.wants();
        let mut requests = Vec::new();
        let ended: Vec<Slot> = self.subscriptions.slots.keys().copied().filter(|slot| !wants.contains_key(slot)).collect();
        for slot in ended {
            if let Some(old) = self.subscriptions.slots.remove(&slot) {
                self.forget(old.id);
                requests.push(Request::Unsubscribe { id: old.id });
            }
        }
        for (slot, want) in wants {
            let old = self.subscriptions.slots.get(&slot);
            if old.is_some_and(|old| old.want == want) {
                continue;
            }
            let old = old.map(|old| (old.id, old.want.resembles(&want)));
            self.subscriptions.last += 1;
            let id = self.subscriptions.last;
            if let Some((old, resembles)) = old {
                requests.push(Request::Unsubscribe { id: old });
                if resembles {
                    self.merged.remove(&old);
                    self.live.rename(old, id);
                    if let Some(frozen) = &mut self.frozen {
                        frozen.model.rename(old, id);
                    }
                } else {
                    self.forget(old);
                }
            }
            requests.push(want.request(id));
            self.subscriptions.slots.insert(slot, Subscription { id, want, answered: false, refused: None });
        }
        // While there is no connection nothing is sent: the next one begins by asking for everything.
        if self.link == LinkState::Live {
            effects.extend(requests.into_iter().map(Effect::Send));
        }
    }

    fn forget(&mut self, id: u32) {
        self.merged.remove(&id);
        self.live.forget(id);
        if let Some(frozen) = &mut self.frozen {
            frozen.model.forget(id);
        }
    }

    fn wants(&self) -> BTreeMap<Slot, Want> {
        let mut wants = BTreeMap::new();
        let some = |table, len, filter| Want::View(View { window: Window { start: 0, len }, filter, ..View::of(table) });
        let few = |table, len| some(table, len, String::new());
        wants.insert(Slot::Store, few(Table::Store, 1));
        let sort = Some(Sort { column: "growth".to_owned(), ascending: false });
        wants.insert(
            Slot::Growth,
            Want::View(View { sort, filter: CREATED.to_owned(), window: Window { start: 0, len: GROWING }, ..View::of(Table::Sites) }),
        );
        wants.extend(self.pending_sheets().map(|(number, view)| (Slot::Sheet(number), Want::View(view))));
        let route = &self.place().route;
        if let Some(target) = route.target() {
            wants.insert(Slot::Main, Want::Thing(target));
        } else if !route.tables().is_empty() {
            for slot in [Slot::Main, Slot::Rest] {
                let Some(table) = self.table(slot) else { continue };
                let view = self.table_view(slot, table);
                wants.extend(self.more_sites(&view).into_iter().map(|(slot, view)| (slot, Want::View(view))));
                wants.insert(slot, Want::View(view));
            }
            if *route == Route::View(Page::Events) {
                wants.insert(Slot::Dead, few(Table::PostMortem, DEAD));
            }
            if *route == Route::View(Page::Spill) {
                wants.insert(Slot::Events, some(Table::Events, FEW, STORAGE.to_owned()));
            }
        } else {
            wants.insert(Slot::Sites, some(Table::Sites, FEW, CREATED.to_owned()));
            wants.insert(Slot::Events, few(Table::Events, FEW));
        }
        if matches!(route, Route::Object(_))
            && let Some(Detail::Object(detail)) = self.detail(Slot::Main)
            && let Some(file) = detail.object.file
        {
            wants.insert(Slot::File, some(Table::SpillFiles, 1, format!("file={file}")));
        }
        for (number, id) in (0..).zip(self.around()) {
            wants.insert(Slot::Outer(number), Want::Thing(Target::Object(id)));
        }
        let beside = matches!(shape(route, self.canvas()).excerpt, Excerpt::Beside(_));
        if (beside || *route == Route::View(Page::PostMortem))
            && let Some(site) = self.aside()
        {
            wants.insert(Slot::Aside, Want::Thing(site));
        }
        wants
    }

    /// The site whose source stands beside the rows; of those who died, the selected one.
    fn aside(&self) -> Option<Target> {
        let id = match &self.place().route {
            Route::View(Page::PostMortem) => {
                return self.selected::<plasmon_protocol::record::PostMortemRow>(Slot::Main).map(|row| Target::Process(row.process));
            }
            Route::View(Page::Sites) => {
                let (rows, sites) = self.tree()?;
                match rows.get(usize::try_from(self.place().list.cursor).ok()?)? {
                    TreeRow::Site { index, .. } => sites.get(*index)?.site.id,
                    TreeRow::File { .. } => return None,
                }
            }
            Route::Object(_) => match self.detail(Slot::Main)? {
                Detail::Object(detail) => detail.object.created_site.id,
                _ => return None,
            },
            _ => return None,
        };
        (id.0 != 0).then_some(Target::Site(id))
    }

    fn table_view(&self, slot: Slot, table: Table) -> View {
        let list = self.list(slot);
        let mut view = View {
            table,
            columns: Vec::new(),
            filter: list.filter.clone(),
            sort: self.asked_sort(slot),
            group: list.group.map(str::to_owned),
            window: Window { start: 0, len: SITES },
        };
        if table == Table::Sites {
            let is_cut = self.window(slot).is_some_and(|window| (window.keys.len() as u64) < window.count());
            let is_near = || self.tree().is_some_and(|(rows, _)| list.cursor + NEAR >= rows.len() as u64);
            // What was asked for stays: what is at the end of the tree must not go when one leaves it.
            let long = match self.subscriptions.slots.get(&slot) {
                Some(Subscription { want: Want::View(old), .. }) => old.window.len > SITES && old.filter == view.filter,
                _ => false,
            };
            // What grew most since a mark may hold little.
            if long || (is_cut && (self.mark().is_some() || is_near())) {
                view.window.len = MAX_WINDOW;
            }
            return view;
        }
        // A table that shares the screen is asked for as if it had all of it: its part changes with the other's.
        let height = u64::from(shape(&self.place().route, self.canvas()).rows.max(1));
        let (first, end) = (list.offset, list.offset + height);
        let margin = (height / 2).clamp(4, 30);
        let fresh = Window { start: first.saturating_sub(margin), len: u32::try_from(height + 2 * margin).unwrap_or(u32::MAX).min(500) };
        view.window = match self.subscriptions.slots.get(&slot) {
            Some(Subscription { want: Want::View(old), answered, .. }) => {
                view.window = old.window;
                let covers = old.window.start <= first && end <= old.window.start + u64::from(old.window.len);
                // An agent may cut a window whose rows do not fit a frame; then only what is visible is asked for.
                let ends = |shown: &model::Window| shown.start + (shown.keys.len() as u64) < end.min(shown.count());
                let cut = *answered && self.window(slot).is_some_and(ends);
                match (*old == view && covers, cut) {
                    (true, false) => old.window,
                    (true, true) => Window { start: first, len: height as u32 },
                    (false, _) => fresh,
                }
            }
            _ => fresh,
        };
        view
    }

    /// The column that sorts the table of this place, and whether the smallest come first.
    #[must_use]
    pub fn sorted_by(&self) -> Option<Sort> {
        self.sort_of(Slot::Main)
    }
}
