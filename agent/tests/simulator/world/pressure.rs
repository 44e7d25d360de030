//! Memory fills up among the surroundings, and what was measured of it arrives: late, or twice.

use plasmon_agent::reactor::OomConfig;
use plasmon_agent::scheduler::pressure::{Limits, Reading};
use plasmon_protocol::id::ProcessId;

use super::World;
use crate::simulator::client::Phase;
use crate::simulator::model::{Check, Look};
use crate::simulator::random::Random;

const TOTAL: u64 = 1 << 30;

/// A monitor of any kind.
pub(super) fn some_config(random: &mut Random) -> OomConfig {
    OomConfig {
        dry_run: random.chance(10),
        retries: random.pick(&[None, None, Some(0), Some(1), Some(2)]).unwrap_or(None),
        recording: String::new(),
    }
}

impl World {
    /// Somebody has looked at the memory, and at the processes that there are, or were.
    pub(crate) fn press(&mut self) -> Check {
        let share = self.random.pick(&[0.5, 0.8, 0.95, 1.0]).unwrap_or(0.95);
        let limits = Limits { share, min_free: if self.random.chance(20) { Some(self.random.below(TOTAL)) } else { None } };
        let used = if self.random.chance(70) { TOTAL - self.random.below(TOTAL / 4) } else { self.random.below(TOTAL) };
        let reading = Reading {
            total_bytes: TOTAL,
            used_bytes: used,
            threshold_bytes: limits.threshold(TOTAL),
            limits,
            source: "machine".to_owned(),
            file_cache_bytes: 0,
            available_bytes: TOTAL - used,
            stalled_percent: None,
        };
        let most = self.random.pick(&[TOTAL / 100, TOTAL / 10, TOTAL]).unwrap_or(TOTAL);
        let ids: Vec<ProcessId> = self.those(|client| client.phase != Phase::Starting);
        let mut unique = vec![(ProcessId(0), Some(self.random.below(most)))];
        unique.extend(ids.into_iter().map(|id| (id, Some(self.random.below(most)))));
        let gone: Vec<ProcessId> = self.gone.keys().copied().filter(|id| !self.clients.contains_key(id)).collect();
        let stale = self.random.chance(10) && !gone.is_empty();
        if stale {
            unique.extend(self.random.pick(&gone).map(|id| (id, None)));
        }
        self.note(|| format!("{used} of {TOTAL} bytes are in use, with {limits:?}: {unique:?}"));
        let look = Look { over: reading.is_over(), stale, used, threshold: reading.threshold_bytes, total: TOTAL, unique: unique.clone() };
        let killed = self.subject.on_pressure(reading, &unique, &mut self.recorder);
        self.model.judge_victims(&look, &killed)?;
        self.carry_out()
    }
}
