//! Who may have to go when memory runs out, and what becomes of their work.

use plasmon_protocol::id::{ProcessId, TaskKey};

use super::{AGENT, Activity, Check, Model, Role, Task};

/// Who lost its worker so waits so long at first, and at most.
const DELAY_MS: u64 = 1000;
const MAX_DELAY_MS: u64 = 60_000;

/// What was measured.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) over: bool,
    /// It names a process that is gone.
    pub(crate) stale: bool,
    pub(crate) used: u64,
    pub(crate) threshold: u64,
    pub(crate) total: u64,
    pub(crate) unique: Vec<(ProcessId, Option<u64>)>,
}

impl Look {
    fn bytes(&self, id: ProcessId) -> u64 {
        self.unique.iter().find(|(process, _)| *process == id).and_then(|(_, bytes)| *bytes).unwrap_or(0)
    }

    /// What is to come free.
    fn goal(&self) -> u64 {
        self.used.saturating_sub(self.threshold) + (self.total / 100 * 5).min(3 << 30)
    }
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(otherwise()) }
}

impl Model {
    /// Whether the core ends the right ones, with what was measured.
    pub(crate) fn judge_victims(&mut self, look: &Look, killed: &[ProcessId]) -> Check {
        let what = || format!("{killed:?} are ended with {look:?}");
        let dying = self.condemned.iter().any(|id| self.processes.contains_key(id));
        let may = look.over && !look.stale && !dying && !self.oom.dry_run;
        ensure(may || killed.is_empty(), || format!("{}, dying: {:?}", what(), self.condemned))?;
        if !may {
            return Ok(());
        }
        let workers = self.processes.iter().filter(|(id, process)| **id != AGENT && process.activity != Activity::Free);
        let workers: Vec<ProcessId> = workers.filter(|(_, process)| process.activity != Activity::Starting).map(|(id, _)| *id).collect();
        ensure(killed.iter().all(|id| workers.contains(id)), || format!("{}, workers are {workers:?}", what()))?;
        let sum = |those: &[ProcessId]| those.iter().map(|id| look.bytes(*id)).sum::<u64>();
        let limit = (look.total / 100 * 5).min(1 << 30);
        let ranked: Vec<ProcessId> = workers.iter().copied().filter(|id| !self.is_idle(*id) || look.bytes(*id) > limit).collect();
        ensure(killed.is_empty() == ranked.is_empty(), || format!("{}, could be: {ranked:?}", what()))?;
        ensure(killed.iter().all(|id| ranked.contains(id)), || format!("{}, could be: {ranked:?}", what()))?;
        let enough = sum(&ranked) >= look.goal();
        ensure(if enough { sum(killed) >= look.goal() } else { killed.len() <= 1 }, || format!("{}, goal {}", what(), look.goal()))?;
        let needed = killed.iter().all(|id| killed.len() == 1 || sum(killed) - look.bytes(*id) < look.goal());
        ensure(needed, || format!("{}: one of them for nothing", what()))?;
        // Work is lost only where ending all whose work is not would not do.
        let cheap: Vec<ProcessId> = ranked.iter().copied().filter(|id| !self.is_lasting(*id)).collect();
        let loses = killed.iter().any(|id| self.is_lasting(*id));
        ensure(!loses || if enough { sum(&cheap) < look.goal() } else { cheap.is_empty() }, || format!("{}: {cheap:?} would do", what()))?;
        self.kills.extend(killed);
        self.condemned.extend(killed);
        Ok(())
    }

    fn is_idle(&self, id: ProcessId) -> bool {
        self.processes
            .get(&id)
            .is_some_and(|process| matches!(process.activity, Activity::Idle | Activity::Withdrawn) && !process.dismissed)
    }

    /// Whether its work would be lost.
    fn is_lasting(&self, id: ProcessId) -> bool {
        let Some(process) = self.processes.get(&id).filter(|process| !process.dismissed) else { return false };
        match process.activity {
            Activity::Actor(_) => true,
            Activity::Busy(task) => self.tasks.get(&task).is_some_and(|task| task.is_pending() && !self.may_try_again(task)),
            _ => false,
        }
    }

    fn may_try_again(&self, task: &Task) -> bool {
        task.role == Role::Function && task.max_retries > 0 && self.oom.retries.is_none_or(|most| task.oom_retries < most)
    }

    /// Whether it has to go and is not gone.
    pub(super) fn has_to_go(&self, id: ProcessId) -> bool {
        self.condemned.contains(&id)
    }

    /// A worker that had to go ran this task: how long it waits until it is tried again, milliseconds; `None` when it is not.
    pub(super) fn wait_for_memory(&mut self, key: TaskKey) -> Option<u64> {
        if !self.may_try_again(&self.tasks[&key]) {
            return None;
        }
        let task = self.tasks.get_mut(&key)?;
        task.oom_retries += 1;
        Some((DELAY_MS << (task.oom_retries - 1).min(16)).min(MAX_DELAY_MS))
    }
}
