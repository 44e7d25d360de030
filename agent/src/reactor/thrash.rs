//! Objects that are spilled and read back again and again.

use std::collections::{HashMap, VecDeque};

use plasmon_protocol::id::ObjectKey;

/// An object that comes back so often within [`THRASH_MS`] thrashes.
const THRASH: u32 = 3;
/// Milliseconds.
const THRASH_MS: u64 = 60_000;
/// Restores that are remembered.
const MAX_REMEMBERED: usize = 10_000;

/// Which objects came back within the last minute.
#[derive(Debug, Default)]
pub(super) struct Thrash {
    restores: VecDeque<(u64, ObjectKey)>,
    times: HashMap<ObjectKey, u32, foldhash::fast::FixedState>,
    /// Objects that came back again and again.
    pub(super) objects: u64,
    told_ms: u64,
}

impl Thrash {
    pub(super) fn note(&mut self, key: ObjectKey, now_ms: u64) {
        self.restores.push_back((now_ms, key));
        let times = self.times.entry(key).or_default();
        *times += 1;
        self.objects += u64::from(*times == THRASH);
        self.forget(now_ms);
    }

    /// Forgets what is older than a minute.
    pub(super) fn forget(&mut self, now_ms: u64) {
        while let Some((at_ms, key)) = self.restores.front().copied() {
            if at_ms + THRASH_MS > now_ms && self.restores.len() <= MAX_REMEMBERED {
                break;
            }
            self.restores.pop_front();
            if let Some(times) = self.times.get_mut(&key) {
                self.objects -= u64::from(*times == THRASH);
                *times -= 1;
                if *times == 0 {
                    self.times.remove(&key);
                }
            }
        }
    }

    /// When something is forgotten next.
    pub(super) fn next_ms(&self) -> Option<u64> {
        if self.objects == 0 { None } else { self.restores.front().map(|(at_ms, _)| at_ms + THRASH_MS) }
    }

    /// Whether it is to be told now: once a minute as long as it goes on.
    pub(super) fn take_news(&mut self, now_ms: u64) -> bool {
        let news = self.objects > 0 && self.told_ms + THRASH_MS <= now_ms;
        if news {
            self.told_ms = now_ms;
        }
        news
    }
}
