//! Call sites, interned: each place is stored once, and knows what the live objects created there weigh.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use plasmon_protocol::id::SiteId;
use plasmon_protocol::local;
use plasmon_protocol::record::{Site, SiteKind};

use super::births::Births;

/// More places than this share one entry, so that a program that makes up places cannot fill the agent's memory.
const MAX_SITES: usize = local::MAX_SITES as usize;
/// What the sites of all clients, and those that one client was the first to name, may take of the agent's memory, bytes. What is beyond
/// shares the site `(other)`.
const ALL_COST: usize = 48 << 20;
const CLIENT_COST: usize = 12 << 20;
/// A site without its texts, bytes.
const ENTRY_COST: usize = 256;
/// The file of the sites for which there was no place.
const OTHER: &str = "(other)";
/// How far back growth looks, milliseconds.
pub const GROWTH_MS: u64 = 60_000;

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

#[derive(Debug)]
struct Entry {
    site: Arc<Site>,
    weight: Weight,
    births: Births,
    /// Samples of the last minute, oldest first, only where the weight changed; the first is at least as old as the window.
    samples: VecDeque<(u64, Weight)>,
    dirty: bool,
}

/// What the sites that one client was the first to name take of the agent's memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cost(usize);

/// All sites of one agent. Number 0 is the unknown one.
#[derive(Debug)]
pub struct Sites {
    cost: usize,
    entries: Vec<Entry>,
    index: HashMap<(SiteKind, Box<str>, u32), SiteId, foldhash::fast::FixedState>,
    dirty: Vec<SiteId>,
    renamed: bool,
}

impl Default for Sites {
    fn default() -> Self {
        let mut sites = Self { cost: 0, entries: Vec::new(), index: HashMap::default(), dirty: Vec::new(), renamed: false };
        sites.push(Site::default());
        sites
    }
}

impl Sites {
    /// The number of a place; the same place has the same number whichever client names it. A place that is new is on the client's cost.
    pub fn intern(&mut self, kind: SiteKind, file: &str, line: u32, function: &str, client: &mut Cost) -> SiteId {
        let place = (kind, Box::from(file), line);
        if let Some(&id) = self.index.get(&place) {
            self.name(id, function, client);
            return id;
        }
        // The file's name is in the index too.
        if self.entries.len() >= MAX_SITES || !self.afford(ENTRY_COST + 2 * file.len() + function.len(), client) {
            return self.other(kind);
        }
        let id = self.push(Site { id: SiteId(0), kind, function: function.to_owned(), file: file.to_owned(), line });
        self.index.insert(place, id);
        id
    }

    /// The site of all places of this kind for which there is no place.
    fn other(&mut self, kind: SiteKind) -> SiteId {
        let place = (kind, Box::from(OTHER), 0);
        if let Some(&id) = self.index.get(&place) {
            return id;
        }
        let id = self.push(Site { id: SiteId(0), kind, function: String::new(), file: OTHER.to_owned(), line: 0 });
        self.index.insert(place, id);
        id
    }

    fn afford(&mut self, cost: usize, client: &mut Cost) -> bool {
        if self.cost + cost > ALL_COST || client.0 + cost > CLIENT_COST {
            return false;
        }
        self.cost += cost;
        client.0 += cost;
        true
    }

    /// Tells a place's enclosing function; the first name stays. A name that is too much is left out.
    pub fn name(&mut self, id: SiteId, function: &str, client: &mut Cost) {
        let unnamed = self.entries.get(id.0 as usize).is_some_and(|entry| entry.site.function.is_empty() && entry.site.file != OTHER);
        if !unnamed || function.is_empty() || !self.afford(function.len(), client) {
            return;
        }
        if let Some(entry) = self.entries.get_mut(id.0 as usize)
            && id.0 != 0
        {
            entry.site = Arc::new(Site { function: function.to_owned(), ..(*entry.site).clone() });
            self.renamed = true;
        }
    }

    /// Whether a place that may be named in rows got its function's name since the last call.
    pub fn take_renamed(&mut self) -> bool {
        std::mem::take(&mut self.renamed)
    }

    /// The place with that number; the unknown one for a number that is none.
    #[must_use]
    pub fn get(&self, id: SiteId) -> &Arc<Site> {
        &self.entries[if (id.0 as usize) < self.entries.len() { id.0 as usize } else { 0 }].site
    }

    /// What the site's objects weigh.
    #[must_use]
    pub fn weight(&self, id: SiteId) -> Weight {
        self.entries.get(id.0 as usize).map_or(Weight::default(), |entry| entry.weight)
    }

    /// Changes what the site's objects weigh.
    pub fn weigh(&mut self, id: SiteId, change: impl FnOnce(&mut Weight)) {
        let Some(entry) = self.entries.get_mut(id.0 as usize) else { return };
        change(&mut entry.weight);
        if !entry.dirty {
            entry.dirty = true;
            self.dirty.push(id);
        }
    }

    /// An object was created there, milliseconds since the Unix epoch.
    pub fn enter(&mut self, id: SiteId, created_ms: u64) {
        self.weigh(id, |weight| weight.objects += 1);
        if let Some(entry) = self.entries.get_mut(id.0 as usize) {
            entry.births.add(created_ms);
        }
    }

    /// An object that was created there then, of so many bytes, is gone.
    pub fn leave(&mut self, id: SiteId, created_ms: u64, bytes: u64) {
        self.weigh(id, |weight| {
            weight.objects -= 1;
            weight.bytes -= bytes;
        });
        if let Some(entry) = self.entries.get_mut(id.0 as usize) {
            entry.births.remove(created_ms);
        }
    }

    /// When the oldest of the site's live objects was created, milliseconds since the Unix epoch.
    #[must_use]
    pub fn oldest(&self, id: SiteId) -> Option<u64> {
        self.entries.get(id.0 as usize)?.births.oldest()
    }

    /// Takes a sample of every site that changed since the last one.
    pub fn sample(&mut self, now_ms: u64) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for id in dirty.drain(..) {
            let entry = &mut self.entries[id.0 as usize];
            entry.dirty = false;
            entry.samples.push_back((now_ms, entry.weight));
            while entry.samples.get(1).is_some_and(|(at, _)| at + GROWTH_MS <= now_ms) {
                entry.samples.pop_front();
            }
        }
        self.dirty = dirty;
    }

    /// How much the site's objects gained over the last minute: `(bytes, objects)`.
    #[must_use]
    pub fn growth(&self, id: SiteId, now_ms: u64) -> (i64, i64) {
        let Some(entry) = self.entries.get(id.0 as usize) else { return (0, 0) };
        let then =
            entry.samples.iter().take_while(|(at, _)| at + GROWTH_MS <= now_ms).last().map_or(Weight::default(), |(_, weight)| *weight);
        (entry.weight.bytes.cast_signed() - then.bytes.cast_signed(), entry.weight.objects.cast_signed() - then.objects.cast_signed())
    }

    /// All numbers but the unknown one's, with weights.
    pub fn iter(&self) -> impl Iterator<Item = (SiteId, &Arc<Site>, Weight)> {
        self.entries.iter().enumerate().map(|(index, entry)| (SiteId(index as u32), &entry.site, entry.weight))
    }

    fn push(&mut self, site: Site) -> SiteId {
        let id = SiteId(self.entries.len() as u32);
        self.entries.push(Entry {
            site: Arc::new(Site { id, ..site }),
            weight: Weight::default(),
            births: Births::default(),
            samples: VecDeque::new(),
            dirty: false,
        });
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_one_site_and_learns_its_name_once() {
        let (mut sites, mut client) = (Sites::default(), Cost::default());
        let a = sites.intern(SiteKind::PutObject, "src/a.rs", 3, "", &mut client);
        assert_eq!(sites.intern(SiteKind::PutObject, "src/a.rs", 3, "app::f", &mut client), a);
        let cost = client;
        assert_eq!(sites.intern(SiteKind::PutObject, "src/a.rs", 3, "app::g", &mut client), a);
        assert_eq!(client, cost);
        assert_eq!(sites.get(a).short(), "f a.rs:3");
        assert_ne!(sites.intern(SiteKind::TaskCall, "src/a.rs", 3, "", &mut client), a);
    }

    #[test]
    fn growth_looks_back_one_minute() {
        let mut sites = Sites::default();
        let id = sites.intern(SiteKind::PutObject, "a", 1, "", &mut Cost::default());
        for second in 0..200_u64 {
            sites.weigh(id, |weight| weight.bytes += 10);
            sites.sample(second * 1000);
        }
        assert_eq!(sites.growth(id, 199_000).0, 600);
        assert!(sites.entries[1].samples.len() <= 62);
        assert_eq!(sites.growth(id, 400_000).0, 0);
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
            sites.intern(SiteKind::PutObject, "a", line, "", &mut Cost::default());
        }
        let (put, task) = (SiteKind::PutObject, SiteKind::TaskCall);
        let other = sites.intern(put, "b", 1, "", &mut Cost::default());
        assert_eq!(sites.get(other).to_string(), "(put object) (other)");
        assert_eq!(sites.intern(put, "c", 7, "f", &mut Cost::default()), other);
        assert_eq!(sites.get(other).function, "");
        assert_eq!(sites.get(sites.index[&(put, Box::from(OTHER), 0)]).kind, put);
        let tasks = sites.intern(task, "b", 1, "", &mut Cost::default());
        assert_eq!((sites.get(tasks).kind, sites.get(tasks).short()), (task, "(other)".to_owned()));
    }

    #[test]
    fn long_texts_of_one_client_leave_room_for_others() {
        let (mut sites, mut hog) = (Sites::default(), Cost::default());
        let long = "x".repeat(4096);
        let mut shared = 0;
        for line in 0..MAX_SITES as u32 {
            let id = sites.intern(SiteKind::PutObject, &long, line, &long, &mut hog);
            shared += usize::from(sites.get(id).file == OTHER);
        }
        assert!(shared > 60_000, "{shared}");
        assert!(texts(&sites) <= CLIENT_COST + ENTRY_COST);
        let honest = sites.intern(SiteKind::PutObject, "src/a.rs", 3, "app::f", &mut Cost::default());
        assert_eq!(sites.get(honest).short(), "f a.rs:3");
        // Names that come later are on the same account.
        let mut late = Cost::default();
        for line in 0..20_000 {
            let id = sites.intern(SiteKind::TaskCall, "b", line, "", &mut late);
            sites.name(id, &long, &mut late);
        }
        assert!(texts(&sites) <= 2 * CLIENT_COST + ENTRY_COST, "{}", texts(&sites));
        // Nor is it any better with many of them.
        for client in 0..20_u32 {
            let mut cost = Cost::default();
            for line in 0..2000 {
                sites.intern(SiteKind::PutObject, &format!("{client}{long}"), line, "", &mut cost);
            }
        }
        assert!(texts(&sites) <= ALL_COST, "{}", texts(&sites));
    }
}
