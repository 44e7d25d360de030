//! Stacks put together again from what travelled: every frame once, rows with the number of theirs.

use std::collections::HashMap;
use std::sync::Arc;

use super::{ReferenceRow, Site};
use crate::id::SiteId;
use crate::local::MAX_STACK;

/// The sites of one agent that are known, with what they were called from.
#[derive(Clone, Debug, Default)]
pub struct Stacks {
    /// With how many frames there are from the site on outwards.
    known: HashMap<SiteId, (Arc<Site>, usize)>,
}

impl Stacks {
    /// Sites as they came, each behind its caller.
    pub fn learn(&mut self, sites: impl IntoIterator<Item = Arc<Site>>) {
        for site in sites {
            self.linked(site);
        }
    }

    /// Gives the call sites of rows all frames that are known.
    pub fn link(&mut self, rows: &mut [ReferenceRow]) {
        for row in rows {
            for site in [&mut row.call_site, &mut row.created_site] {
                if site.caller.0 != 0 {
                    *site = self.linked(std::mem::take(site));
                }
            }
        }
    }

    /// A site and what it was called from, innermost first, as far as that is known; nothing for the unknown site.
    #[must_use]
    pub fn of(&self, site: &Arc<Site>) -> Vec<Arc<Site>> {
        let known = self.known.get(&site.id).map_or(site, |(known, _)| known);
        let frames = std::iter::successors(Some(known), |site| site.outer.as_ref());
        frames.filter(|site| site.id.0 != 0).cloned().collect()
    }

    /// The site with its frames. What is told of them never makes a ring, nor a chain that is too long to walk: a site's caller is known
    /// before it.
    fn linked(&mut self, site: Arc<Site>) -> Arc<Site> {
        if let Some((known, _)) = self.known.get(&site.id) {
            return Arc::clone(known);
        }
        let (outer, depth) = match self.known.get(&site.caller) {
            Some((outer, depth)) if *depth < MAX_STACK => (Some(Arc::clone(outer)), depth + 1),
            _ => (None, 1),
        };
        let id = site.id;
        let site = if outer.is_some() { Arc::new(Site { outer, ..Arc::unwrap_or_clone(site) }) } else { site };
        self.known.insert(id, (Arc::clone(&site), depth));
        site
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(id: u32, caller: u32) -> Arc<Site> {
        Arc::new(Site { id: SiteId(id), file: format!("{id}.rs"), line: id, caller: SiteId(caller), ..Site::default() })
    }

    fn row(site: Arc<Site>) -> ReferenceRow {
        ReferenceRow { created_site: Arc::clone(&site), call_site: site, ..ReferenceRow::default() }
    }

    #[test]
    fn rows_get_the_frames_that_were_told() {
        let mut stacks = Stacks::default();
        stacks.learn([site(1, 0), site(2, 1)]);
        let mut rows = [row(site(3, 2)), row(site(3, 2)), row(site(9, 8)), row(site(4, 0))];
        stacks.link(&mut rows);
        assert_eq!(rows[0].call_site.stack(), "3.rs:3 | 2.rs:2 | 1.rs:1");
        assert!(Arc::ptr_eq(&rows[0].call_site, &rows[1].created_site), "one for all rows");
        assert_eq!((rows[2].call_site.stack(), rows[3].call_site.stack()), ("9.rs:9".to_owned(), "4.rs:4".to_owned()));
    }

    #[test]
    fn neither_rings_nor_endless_chains_come_about() {
        let mut stacks = Stacks::default();
        stacks.learn([site(1, 2), site(2, 1), site(5, 5)]);
        stacks.learn((10..100_000).map(|id| site(id, id - 1)));
        let mut rows = [row(site(6, 2)), row(site(7, 5)), row(site(100_000, 99_999))];
        stacks.link(&mut rows);
        assert_eq!(rows[0].call_site.frames().count(), 3);
        assert_eq!(rows[1].call_site.frames().count(), 2);
        assert!(rows[2].call_site.frames().count() <= MAX_STACK);
    }
}
