//! Call sites, interned: each place is stored once, and knows what the live objects created there weigh.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use plasmon_protocol::id::SiteId;
use plasmon_protocol::local;
use plasmon_protocol::record::{Site, SiteKind};

/// More places than this share one entry, so that a program that makes up places cannot fill the agent's memory.
const MAX_SITES: usize = local::MAX_SITES as usize;
/// Bytes of the places' texts in all; what comes later has no text of its own, and so shares that entry too.
const MAX_TEXT: usize = 16 << 20;
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
    /// Samples of the last minute, oldest first, only where the weight changed; the first is at least as old as the window.
    samples: VecDeque<(u64, Weight)>,
    dirty: bool,
}

/// All sites of one agent. Number 0 is the unknown one.
#[derive(Debug)]
pub struct Sites {
    entries: Vec<Entry>,
    index: HashMap<(SiteKind, Box<str>, u32), SiteId, foldhash::fast::FixedState>,
    dirty: Vec<SiteId>,
    /// Bytes of all texts.
    text: usize,
}

impl Default for Sites {
    fn default() -> Self {
        let mut sites = Self { entries: Vec::new(), index: HashMap::default(), dirty: Vec::new(), text: 0 };
        sites.push(Site::default());
        sites
    }
}

impl Sites {
    /// The number of a place; the same place has the same number whichever process names it.
    pub fn intern(&mut self, kind: SiteKind, file: &str, line: u32, function: &str) -> SiteId {
        let place = (kind, Box::from(file), line);
        if let Some(&id) = self.index.get(&place) {
            self.name(id, function);
            return id;
        }
        // The file's name is kept twice.
        if self.entries.len() >= MAX_SITES || !self.take_text(2 * file.len() + function.len()) {
            return SiteId(0);
        }
        let id = self.push(Site { id: SiteId(0), kind, function: function.to_owned(), file: file.to_owned(), line });
        self.index.insert(place, id);
        id
    }

    /// Tells a place's enclosing function; the first name stays.
    pub fn name(&mut self, id: SiteId, function: &str) {
        let unnamed = self.entries.get(id.0 as usize).is_some_and(|entry| id.0 != 0 && entry.site.function.is_empty());
        if unnamed
            && self.take_text(function.len())
            && let Some(entry) = self.entries.get_mut(id.0 as usize)
        {
            entry.site = Arc::new(Site { function: function.to_owned(), ..(*entry.site).clone() });
        }
    }

    /// Whether there is room for so many bytes more of text, which are taken then.
    fn take_text(&mut self, bytes: usize) -> bool {
        let fits = self.text + bytes <= MAX_TEXT;
        if fits {
            self.text += bytes;
        }
        fits
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
        self.entries.push(Entry { site: Arc::new(Site { id, ..site }), weight: Weight::default(), samples: VecDeque::new(), dirty: false });
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_one_site_and_learns_its_name_once() {
        let mut sites = Sites::default();
        let a = sites.intern(SiteKind::PutObject, "src/a.rs", 3, "");
        assert_eq!(sites.intern(SiteKind::PutObject, "src/a.rs", 3, "app::f"), a);
        assert_eq!(sites.intern(SiteKind::PutObject, "src/a.rs", 3, "app::g"), a);
        assert_eq!(sites.get(a).short(), "f a.rs:3");
        assert_ne!(sites.intern(SiteKind::TaskCall, "src/a.rs", 3, ""), a);
    }

    #[test]
    fn growth_looks_back_one_minute() {
        let mut sites = Sites::default();
        let id = sites.intern(SiteKind::PutObject, "a", 1, "");
        for second in 0..200_u64 {
            sites.weigh(id, |weight| weight.bytes += 10);
            sites.sample(second * 1000);
        }
        assert_eq!(sites.growth(id, 199_000).0, 600);
        assert!(sites.entries[1].samples.len() <= 62);
        assert_eq!(sites.growth(id, 400_000).0, 0);
    }

    #[test]
    fn made_up_places_share_one_entry_in_the_end() {
        let mut sites = Sites::default();
        for line in 0..MAX_SITES as u32 + 10 {
            sites.intern(SiteKind::PutObject, "a", line, "");
        }
        assert_eq!(sites.intern(SiteKind::PutObject, "b", 1, ""), SiteId(0));
    }

    #[test]
    fn long_texts_do_not_fill_the_memory() {
        let mut sites = Sites::default();
        let long = "x".repeat(4096);
        let known = sites.intern(SiteKind::PutObject, "a", 1, "");
        for line in 0..2 * (MAX_TEXT / 4096) as u32 {
            sites.intern(SiteKind::PutObject, &long, line, &long);
        }
        assert!(sites.text <= MAX_TEXT && sites.entries.len() < MAX_SITES);
        assert_eq!(sites.intern(SiteKind::PutObject, "a", 1, ""), known);
        assert_eq!(sites.intern(SiteKind::PutObject, &long, u32::MAX, &long), SiteId(0));
    }
}
