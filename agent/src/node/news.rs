//! News for viewers. The node's thread tells them, once, that something has changed since one of them looked; so they need not ask again and
//! again, and nothing wakes while nothing happens. While nobody waits it costs the node's thread one load in each of its rounds.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use plasmon_protocol::column::Table;
use tokio::sync::watch;

use crate::telemetry::tables::Tables;

/// See the module. All but [`News::hear`] is for the node's thread, or for whoever keeps others from the tables meanwhile: so a change is
/// either in what was seen, or it is told.
#[derive(Debug)]
pub struct News {
    /// Somebody has looked, and was told of nothing since.
    wanted: AtomicBool,
    /// The versions that were seen then: that of the events, and that of all other tables.
    events: AtomicU64,
    others: AtomicU64,
    /// How often it was told.
    told: watch::Sender<u64>,
}

impl Default for News {
    fn default() -> Self {
        Self { wanted: AtomicBool::new(false), events: AtomicU64::new(0), others: AtomicU64::new(0), told: watch::Sender::new(0) }
    }
}

impl News {
    /// Somebody looks at the tables now. Once it was told more often than is returned, there is something new to him.
    pub fn look(&self, tables: &dyn Tables) -> u64 {
        // Who looked before, and has not seen this yet.
        self.tell(tables);
        self.events.store(tables.version(Table::Events), Ordering::Relaxed);
        self.others.store(tables.version(Table::Store), Ordering::Relaxed);
        self.wanted.store(true, Ordering::Relaxed);
        *self.told.borrow()
    }

    /// Whether somebody waits for news.
    #[inline]
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// Tells those who wait, if there is anything new.
    #[inline]
    pub fn tell(&self, tables: &dyn Tables) {
        if !self.is_wanted() {
            return;
        }
        let same = |seen: &AtomicU64, table| seen.load(Ordering::Relaxed) == tables.version(table);
        if !same(&self.events, Table::Events) || !same(&self.others, Table::Store) {
            self.wanted.store(false, Ordering::Relaxed);
            self.told.send_modify(|told| *told += 1);
        }
    }

    /// How often it was told, from now on.
    #[must_use]
    pub fn hear(&self) -> watch::Receiver<u64> {
        self.told.subscribe()
    }
}
