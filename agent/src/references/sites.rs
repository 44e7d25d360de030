//! Call sites, interned: each place is stored once for each place that it was called from, and knows what the live objects created there
//! weigh. So whole stacks share their frames, and a frame's number is above its caller's.

mod growth;

use std::sync::Arc;

use hashbrown::HashMap;
use plasmon_memory::pages::reserve;
use plasmon_protocol::id::SiteId;
use plasmon_protocol::local::{self, MAX_STACK};
use plasmon_protocol::record::{Site, SiteKind};

use super::births::Births;
pub use growth::GROWTH_MS;
use growth::Growth;

/// More places than this share one entry, so that a program that makes up places cannot fill the agent's memory.
const MAX_SITES: usize = local::MAX_SITES as usize;
/// What the sites of all clients, and those that one client was the first to name, may take of the agent's memory, bytes. What is beyond
/// shares the site `(other)`.
const ALL_COST: usize = 48 << 20;
const CLIENT_COST: usize = 12 << 20;
/// What stacks leave of each limit for places without what they were called from: one part in so many. So when there are too many stacks
/// the innermost frame of each is known still.
const ALONE: usize = 8;
/// A site without its texts, bytes.
const ENTRY_COST: usize = 256;
/// The file of the sites for which there was no place.
const OTHER: &str = "(other)";

/// What the live objects of one site weigh.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Weight {
    /// Bytes.
    pub bytes: u64,
    /// Objects.
    pub objects: u64,
    /// Rows that hold them.
    pub references: u64,
}

/// What is told of a site: of the objects created in just this place, and of all that were created there or in what was called from there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Figures {
    /// In just this place.
    pub own: Weight,
    /// All.
    pub held: Weight,
    /// What `held` gained over the last minute: bytes and objects.
    pub growth: (i64, i64),
    /// What `own` gained over the last minute, bytes.
    pub own_growth: i64,
    /// When the oldest of all was created, milliseconds since the Unix epoch.
    pub oldest_ms: Option<u64>,
}

#[derive(Debug)]
struct Entry {
    site: Arc<Site>,
    /// Frames from here on outwards.
    depth: usize,
    growth: Growth,
}

/// What changes with every object of a site. One cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Load {
    weight: Weight,
    births: Births,
    dirty: bool,
}

const _: () = assert!(size_of::<Load>() == 64);

/// What the sites that one client was the first to name take of the agent's memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cost(usize);

/// A place, and what it was called from.
type Place = (SiteKind, Box<str>, u32, SiteId);

/// How much of a limit a place may use.
fn most(limit: usize, stacked: bool) -> usize {
    if stacked { limit - limit / ALONE } else { limit }
}

/// All sites of one agent. Number 0 is the unknown one.
#[derive(Debug)]
pub struct Sites {
    cost: usize,
    entries: Vec<Entry>,
    /// For each entry, by the same numbers.
    loads: Vec<Load>,
    index: HashMap<Place, SiteId, foldhash::fast::FixedState>,
    dirty: Vec<SiteId>,
    renamed: bool,
    /// Some site was called from another one.
    stacked: bool,
    /// What the follower of their table was told, by their numbers; none before there is one.
    told: Option<Vec<Figures>>,
}

impl Default for Sites {
    fn default() -> Self {
        let mut sites = Self {
            cost: 0,
            entries: Vec::new(),
            loads: Vec::new(),
            index: HashMap::default(),
            dirty: Vec::new(),
            renamed: false,
            stacked: false,
            told: None,
        };
        // They are looked at all over the place.
        reserve(&mut sites.loads, MAX_SITES);
        sites.push(Site::default());
        sites
    }
}

impl Sites {
    /// The number of a place; the same place, called from the same, has the same number whichever client names it. A place that is new is on
    /// the client's cost. One for whose stack there is no room is told without it. `None` when it would be a frame too many.
    pub fn intern(&mut self, kind: SiteKind, file: &str, line: u32, function: &str, caller: SiteId, client: &mut Cost) -> Option<SiteId> {
        if self.depth(caller) >= MAX_STACK {
            return None;
        }
        let place = (kind, Box::from(file), line, caller);
        if let Some(&id) = self.index.get(&place) {
            self.name(id, function, client);
            return Some(id);
        }
        let stacked = caller.0 != 0 || kind == SiteKind::Frame;
        // The file's name is in the index too.
        let cost = ENTRY_COST + 2 * file.len() + function.len();
        let lost = self.get(caller).file == OTHER || self.entries.len() >= most(MAX_SITES, stacked);
        if lost || !self.afford(cost, stacked, client) {
            let alone = stacked && kind != SiteKind::Frame;
            return if alone { self.intern(kind, file, line, function, SiteId(0), client) } else { Some(self.other(kind)) };
        }
        let (function, file) = (function.to_owned(), file.to_owned());
        let id = self.push(Site { id: SiteId(0), kind, function, file, line, caller, outer: None });
        self.index.insert(place, id);
        Some(id)
    }

    /// The site of all places of this kind for which there is no place.
    fn other(&mut self, kind: SiteKind) -> SiteId {
        let place = (kind, Box::from(OTHER), 0, SiteId(0));
        if let Some(&id) = self.index.get(&place) {
            return id;
        }
        let id = self.push(Site { kind, file: OTHER.to_owned(), ..Site::default() });
        self.index.insert(place, id);
        id
    }

    fn afford(&mut self, cost: usize, stacked: bool, client: &mut Cost) -> bool {
        if self.cost + cost > most(ALL_COST, stacked) || client.0 + cost > most(CLIENT_COST, stacked) {
            return false;
        }
        self.cost += cost;
        client.0 += cost;
        true
    }

    /// Tells a place's enclosing function; the first name stays. A name that is too much is left out.
    pub fn name(&mut self, id: SiteId, function: &str, client: &mut Cost) {
        let unnamed = self.entries.get(id.0 as usize).is_some_and(|entry| entry.site.function.is_empty() && entry.site.file != OTHER);
        if !unnamed || function.is_empty() || !self.afford(function.len(), false, client) {
            return;
        }
        if let Some(entry) = self.entries.get_mut(id.0 as usize)
            && id.0 != 0
        {
            entry.site = Arc::new(Site { function: function.to_owned(), ..(*entry.site).clone() });
            self.renamed = true;
        }
    }

    /// Whether a place that may be named in rows got its function's name since the last call; sites that were called from there know it
    /// from then on.
    pub fn take_renamed(&mut self) -> bool {
        if !std::mem::take(&mut self.renamed) {
            return false;
        }
        if let Some(told) = &mut self.told {
            told.clear();
        }
        for id in 1..self.entries.len() {
            let site = &self.entries[id].site;
            let caller = &self.entries[site.caller.0 as usize].site;
            if site.outer.as_ref().is_some_and(|outer| !Arc::ptr_eq(outer, caller)) {
                self.entries[id].site = Arc::new(Site { outer: Some(Arc::clone(caller)), ..(**site).clone() });
            }
        }
        true
    }

    /// The place with that number; the unknown one for a number that is none.
    #[must_use]
    pub fn get(&self, id: SiteId) -> &Arc<Site> {
        &self.entries[if (id.0 as usize) < self.entries.len() { id.0 as usize } else { 0 }].site
    }

    /// How many frames there are from a site on outwards; none of the unknown one.
    fn depth(&self, id: SiteId) -> usize {
        self.entries.get(id.0 as usize).map_or(0, |entry| entry.depth)
    }

    /// The place with that number and those that it was called from, innermost first; nothing for the unknown one.
    #[must_use]
    pub fn stack(&self, id: SiteId) -> Vec<Arc<Site>> {
        let known = |id: SiteId| (id.0 != 0).then(|| self.get(id)).filter(|site| site.id == id);
        std::iter::successors(known(id), |site| known(site.caller)).cloned().collect()
    }

    /// Which sites are this one, or were called from there, by their numbers.
    #[must_use]
    pub fn within(&self, id: SiteId) -> Vec<bool> {
        let mut within = vec![false; self.entries.len()];
        for (number, entry) in self.entries.iter().enumerate() {
            // The unknown one called nothing: that a caller is not known makes no frame of it.
            let caller = entry.site.caller.0 as usize;
            within[number] = number == id.0 as usize || caller != 0 && within[caller];
        }
        within
    }

    /// What the objects created in just this place weigh.
    #[must_use]
    pub fn weight(&self, id: SiteId) -> Weight {
        self.loads.get(id.0 as usize).map_or(Weight::default(), |load| load.weight)
    }

    /// Changes what the site's objects weigh.
    pub fn weigh(&mut self, id: SiteId, change: impl FnOnce(&mut Weight)) {
        let Some(load) = self.loads.get_mut(id.0 as usize) else { return };
        change(&mut load.weight);
        if !load.dirty {
            load.dirty = true;
            self.dirty.push(id);
        }
    }

    /// An object was created there, milliseconds since the Unix epoch.
    pub fn enter(&mut self, id: SiteId, created_ms: u64) {
        self.weigh(id, |weight| weight.objects += 1);
        if let Some(load) = self.loads.get_mut(id.0 as usize) {
            load.births.add(created_ms);
        }
    }

    /// An object that was created there then, of so many bytes, is gone.
    pub fn leave(&mut self, id: SiteId, created_ms: u64, bytes: u64) {
        self.weigh(id, |weight| {
            weight.objects -= 1;
            weight.bytes -= bytes;
        });
        if let Some(load) = self.loads.get_mut(id.0 as usize) {
            load.births.remove(created_ms);
        }
    }

    /// When the oldest of the live objects created in just this place was, milliseconds since the Unix epoch.
    #[must_use]
    pub fn oldest(&self, id: SiteId) -> Option<u64> {
        self.loads.get(id.0 as usize)?.births.oldest()
    }

    /// What weighs on each site, by their numbers: in all, and when the oldest was created. Objects weigh on their own site alone while they
    /// come and go; who looks adds up, once for all sites, from the innermost ones outwards.
    fn sums(&self) -> Vec<(Weight, Option<u64>)> {
        let mut sums: Vec<_> = self.loads.iter().map(|load| (load.weight, load.births.oldest())).collect();
        for id in (1..if self.stacked { sums.len() } else { 0 }).rev() {
            let (weight, oldest) = sums[id];
            let caller = self.entries[id].site.caller.0 as usize;
            if caller != 0 {
                let (sum, earliest) = &mut sums[caller];
                sum.bytes += weight.bytes;
                sum.objects += weight.objects;
                sum.references += weight.references;
                *earliest = earliest.iter().copied().chain(oldest).min();
            }
        }
        sums
    }

    /// What is to be told of each site, by their numbers.
    #[must_use]
    pub fn figures(&self, now_ms: u64) -> Vec<Figures> {
        let told = |((entry, load), (held, oldest_ms)): ((&Entry, &Load), (Weight, Option<u64>))| {
            let (bytes, objects, own_growth) = entry.growth.since(&held, &load.weight, now_ms);
            Figures { own: load.weight, held, growth: (bytes, objects), own_growth, oldest_ms }
        };
        self.entries.iter().zip(&self.loads).zip(self.sums()).map(told).collect()
    }

    /// Takes a sample of every site that changed since the last one.
    pub fn sample(&mut self, now_ms: u64) {
        if self.dirty.is_empty() {
            return;
        }
        let sums = self.sums();
        for id in std::mem::take(&mut self.dirty) {
            // With it changed what it was called from, up to where that was noticed before.
            let mut at = id.0 as usize;
            self.loads[at].dirty = false;
            loop {
                let entry = &mut self.entries[at];
                let fresh = entry.growth.sample(now_ms, &sums[at].0, &self.loads[at].weight);
                at = entry.site.caller.0 as usize;
                if !fresh || at == 0 {
                    break;
                }
            }
        }
    }

    /// Sites of which something is new to the follower of their table, and whether those are all: of those that he was told nothing of yet,
    /// which with `begin` are all, at most so many.
    pub fn take_changed(&mut self, begin: bool, most: usize, now_ms: u64) -> (Vec<(SiteId, Figures)>, bool) {
        let mut told = if begin { Vec::new() } else { self.told.take().unwrap_or_default() };
        let figures = self.figures(now_ms);
        let mut changed = Vec::new();
        for (number, (told, figures)) in told.iter_mut().zip(&figures).enumerate() {
            if std::mem::replace(told, *figures) != *figures {
                changed.push((SiteId(number as u32), *figures));
            }
        }
        for (number, figures) in figures.iter().enumerate().skip(told.len()).take(most).collect::<Vec<_>>() {
            changed.push((SiteId(number as u32), *figures));
            told.push(*figures);
        }
        let complete = told.len() == figures.len();
        self.told = Some(told);
        (changed, complete)
    }

    /// Nobody follows their table any more.
    pub fn forget_told(&mut self) {
        self.told = None;
    }

    /// How many numbers there are, the unknown one's included.
    #[must_use]
    pub fn end(&self) -> u32 {
        self.entries.len() as u32
    }

    /// All numbers but the unknown one's, with what the objects created in just these places weigh.
    pub fn iter(&self) -> impl Iterator<Item = (SiteId, &Arc<Site>, Weight)> {
        let all = self.entries.iter().zip(&self.loads).enumerate();
        all.map(|(index, (entry, load))| (SiteId(index as u32), &entry.site, load.weight))
    }

    fn push(&mut self, site: Site) -> SiteId {
        let id = SiteId(self.entries.len() as u32);
        let outer = (site.caller.0 != 0).then(|| Arc::clone(self.get(site.caller)));
        self.stacked |= outer.is_some();
        let depth = if id.0 == 0 { 0 } else { self.depth(site.caller) + 1 };
        self.entries.push(Entry { site: Arc::new(Site { id, outer, ..site }), depth, growth: Growth::default() });
        self.loads.push(Load::default());
        id
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NONE: SiteId = SiteId(0);

    /// A place that nothing is known of the callers of.
    fn intern(sites: &mut Sites, kind: SiteKind, file: &str, line: u32, function: &str, client: &mut Cost) -> SiteId {
        sites.intern(kind, file, line, function, NONE, client).unwrap()
    }

    #[test]
    fn a_place_is_one_site_and_learns_its_name_once() {
        let (mut sites, mut client) = (Sites::default(), Cost::default());
        let a = intern(&mut sites, SiteKind::PutObject, "src/a.rs", 3, "", &mut client);
        assert_eq!(intern(&mut sites, SiteKind::PutObject, "src/a.rs", 3, "app::f", &mut client), a);
        let cost = client;
        assert_eq!(intern(&mut sites, SiteKind::PutObject, "src/a.rs", 3, "app::g", &mut client), a);
        assert_eq!(client, cost);
        assert_eq!(sites.get(a).short(), "f a.rs:3");
        assert_ne!(intern(&mut sites, SiteKind::TaskCall, "src/a.rs", 3, "", &mut client), a);
    }

    #[test]
    fn a_site_has_within_it_what_was_called_from_there_and_the_unknown_one_nothing() {
        let (mut sites, mut client) = (Sites::default(), Cost::default());
        let outer = intern(&mut sites, SiteKind::PutObject, "a", 1, "", &mut client);
        sites.intern(SiteKind::PutObject, "b", 1, "", outer, &mut client).unwrap();
        intern(&mut sites, SiteKind::PutObject, "c", 1, "", &mut client);
        assert_eq!(sites.within(outer), [false, true, true, false]);
        assert_eq!(sites.within(NONE), [true, false, false, false]);
    }

    #[test]
    fn growth_looks_back_one_minute() {
        let mut sites = Sites::default();
        let id = intern(&mut sites, SiteKind::PutObject, "a", 1, "", &mut Cost::default());
        for second in 0..200_u64 {
            sites.weigh(id, |weight| weight.bytes += 10);
            sites.sample(second * 1000);
        }
        assert_eq!(sites.figures(199_000)[1].growth.0, 600);
        assert_eq!(sites.figures(400_000)[1].growth.0, 0);
    }

    /// What everything interned takes, as [`Sites::afford`] counts it.
    fn texts(sites: &Sites) -> usize {
        sites.entries.iter().map(|entry| 2 * entry.site.file.len() + entry.site.function.len()).sum()
    }

    #[test]
    fn made_up_places_share_one_entry_of_their_kind_in_the_end() {
        let mut sites = Sites::default();
        for line in 0..MAX_SITES as u32 + 10 {
            // Each from a client of its own: no client's share is the limit.
            intern(&mut sites, SiteKind::PutObject, "a", line, "", &mut Cost::default());
        }
        let (put, task) = (SiteKind::PutObject, SiteKind::TaskCall);
        let other = intern(&mut sites, put, "b", 1, "", &mut Cost::default());
        assert_eq!(sites.get(other).to_string(), "(put object) (other)");
        assert_eq!(intern(&mut sites, put, "c", 7, "f", &mut Cost::default()), other);
        assert_eq!(sites.get(other).function, "");
        assert_eq!(sites.get(sites.index[&(put, Box::from(OTHER), 0, NONE)]).kind, put);
        let tasks = intern(&mut sites, task, "b", 1, "", &mut Cost::default());
        assert_eq!((sites.get(tasks).kind, sites.get(tasks).short()), (task, "(other)".to_owned()));
    }

    #[test]
    fn long_texts_of_one_client_leave_room_for_others() {
        let (mut sites, mut hog) = (Sites::default(), Cost::default());
        let long = "x".repeat(4096);
        let mut shared = 0;
        for line in 0..MAX_SITES as u32 {
            let id = intern(&mut sites, SiteKind::PutObject, &long, line, &long, &mut hog);
            shared += usize::from(sites.get(id).file == OTHER);
        }
        assert!(shared > 60_000, "{shared}");
        assert!(texts(&sites) <= CLIENT_COST + ENTRY_COST);
        let honest = intern(&mut sites, SiteKind::PutObject, "src/a.rs", 3, "app::f", &mut Cost::default());
        assert_eq!(sites.get(honest).short(), "f a.rs:3");
        // Names that come later are on the same account.
        let mut late = Cost::default();
        for line in 0..20_000 {
            let id = intern(&mut sites, SiteKind::TaskCall, "b", line, "", &mut late);
            sites.name(id, &long, &mut late);
        }
        assert!(texts(&sites) <= 2 * CLIENT_COST + ENTRY_COST, "{}", texts(&sites));
        // Nor is it any better with many of them.
        for client in 0..20_u32 {
            let mut cost = Cost::default();
            for line in 0..2000 {
                intern(&mut sites, SiteKind::PutObject, &format!("{client}{long}"), line, "", &mut cost);
            }
        }
        assert!(texts(&sites) <= ALL_COST, "{}", texts(&sites));
    }

    #[test]
    fn a_stack_shares_its_frames_and_has_an_end() {
        let (mut sites, mut cost) = (Sites::default(), Cost::default());
        let main = sites.intern(SiteKind::Frame, "main.py", 9, "main", NONE, &mut cost).unwrap();
        let left = sites.intern(SiteKind::PutObject, "a.py", 1, "f", main, &mut cost).unwrap();
        let right = sites.intern(SiteKind::PutObject, "a.py", 1, "f", NONE, &mut cost).unwrap();
        assert_ne!(left, right, "the same place, called from elsewhere");
        assert_eq!(sites.intern(SiteKind::Frame, "main.py", 9, "main", NONE, &mut cost), Some(main));
        assert_eq!(sites.get(left).stack(), "(put object) f a.py:1 | main main.py:9");
        assert_eq!(sites.stack(left).iter().map(|site| site.id).collect::<Vec<_>>(), [left, main]);
        assert!(sites.stack(NONE).is_empty());
        let mut caller = NONE;
        for _ in 0..MAX_STACK {
            caller = sites.intern(SiteKind::Frame, "deep.py", 1, "deep", caller, &mut cost).unwrap();
        }
        assert_eq!(sites.get(caller).frames().count(), MAX_STACK);
        assert_eq!(sites.intern(SiteKind::Frame, "deep.py", 1, "deep", caller, &mut cost), None);
    }

    #[test]
    fn too_many_stacks_leave_their_innermost_frames_a_place() {
        let (mut sites, mut cost) = (Sites::default(), Cost::default());
        for line in 0..MAX_SITES as u32 {
            let main = sites.intern(SiteKind::Frame, "main.py", line, "main", NONE, &mut cost).unwrap();
            sites.intern(SiteKind::PutObject, "a.py", 1, "f", main, &mut cost).unwrap();
        }
        assert!(sites.entries.len() < MAX_SITES);
        for line in 1..=3000 {
            let main = sites.intern(SiteKind::Frame, "main.py", MAX_SITES as u32, "main", NONE, &mut cost).unwrap();
            let inner = sites.intern(SiteKind::Frame, "inner.py", line, "g", main, &mut cost).unwrap();
            let put = sites.intern(SiteKind::PutObject, "b.py", line, "f", inner, &mut cost).unwrap();
            assert_eq!(sites.get(put).stack(), format!("(put object) f b.py:{line}"));
            assert_eq!(sites.intern(SiteKind::PutObject, "b.py", line, "f", NONE, &mut cost), Some(put));
        }
    }

    #[test]
    fn a_name_that_comes_late_is_in_every_stack() {
        let (mut sites, mut cost) = (Sites::default(), Cost::default());
        let main = sites.intern(SiteKind::Frame, "main.rs", 9, "", NONE, &mut cost).unwrap();
        let middle = sites.intern(SiteKind::Frame, "main.rs", 5, "app::middle", main, &mut cost).unwrap();
        let put = sites.intern(SiteKind::PutObject, "main.rs", 2, "app::put", middle, &mut cost).unwrap();
        sites.name(main, "app::main", &mut cost);
        assert!(sites.take_renamed() && !sites.take_renamed());
        assert_eq!(sites.get(put).stack(), "(put object) app::put main.rs:2 | app::middle main.rs:5 | app::main main.rs:9");
    }

    proptest! {
        /// Figures are what a walk over every object and its stack finds; and whoever follows has them.
        #[test]
        fn a_frame_holds_what_was_called_from_there(deeds in proptest::collection::vec((0_usize..12, 0_usize..12, 0_u64..100, 1_usize..5), 1..200)) {
            let (mut sites, mut cost) = (Sites::default(), Cost::default());
            let (mut ids, mut objects, mut replica) = (vec![NONE], Vec::<(SiteId, u64, u64)>::new(), Vec::<Figures>::new());
            for (step, (deed, which, bytes, most)) in deeds.into_iter().enumerate() {
                let now_ms = 1_000 + step as u64 * 700;
                match deed {
                    0..3 => ids.extend(sites.intern(SiteKind::Frame, "a", step as u32, "", ids[which % ids.len()], &mut cost)),
                    3..7 => {
                        let site = ids[which % ids.len()];
                        sites.enter(site, now_ms);
                        sites.weigh(site, |weight| weight.bytes += bytes);
                        objects.push((site, bytes, now_ms));
                    }
                    7..9 if !objects.is_empty() => {
                        let (site, bytes, born) = objects.swap_remove(which % objects.len());
                        sites.leave(site, born, bytes);
                    }
                    9 => sites.sample(now_ms),
                    _ => {
                        let (changed, complete) = sites.take_changed(replica.is_empty(), most, now_ms);
                        replica.resize(replica.len().max(sites.end() as usize), Figures::default());
                        changed.iter().for_each(|(id, figures)| replica[id.0 as usize] = *figures);
                        prop_assert!(!complete || replica == sites.figures(now_ms));
                    }
                }
                let figures = sites.figures(now_ms);
                for id in &ids {
                    let own = objects.iter().filter(|(site, ..)| site == id);
                    let held: Vec<_> = objects.iter().filter(|(site, ..)| site == id || sites.stack(*site).iter().any(|frame| frame.id == *id)).collect();
                    let told = figures[id.0 as usize];
                    prop_assert_eq!(told.own.bytes, own.map(|(_, bytes, _)| bytes).sum::<u64>());
                    prop_assert_eq!((told.held.objects, told.held.bytes), (held.len() as u64, held.iter().map(|(_, bytes, _)| bytes).sum()));
                    prop_assert_eq!(told.oldest_ms, held.iter().map(|(_, _, born)| *born).min());
                }
            }
        }
    }
}
