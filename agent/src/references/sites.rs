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
mod tests;
