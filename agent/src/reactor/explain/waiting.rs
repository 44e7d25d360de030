//! All that waits at this moment: one of each kind, the one that waits longest.

use std::collections::BTreeMap;

use plasmon_protocol::explain::MAX_ANSWERS;
use plasmon_protocol::id::{ObjectKey, ProcessId};
use plasmon_protocol::record::TaskStatus;

use super::labels::create_key;
use super::{Core, Key};
use crate::reactor::Activity;

/// Tasks that are looked at; the rest is counted.
const MAX_LOOKED: usize = 1 << 14;

/// What tasks that wait alike have in common: status, shape, function, actor.
type Alike<'a> = (u8, u64, &'a str, Option<ObjectKey>);

impl Core {
    /// What waits, each with how many others wait alike, the longest wait first, and how many kinds are left out.
    pub(super) fn waiting(&self) -> (Vec<(Key, u64)>, u64) {
        let mut kinds = BTreeMap::<Alike<'_>, (u64, Key, u64)>::new();
        let pending = self.jobs.values().flat_map(|job| &job.pending);
        let (mut looked, mut total) = (0, 0);
        for key in pending {
            total += 1;
            if looked == MAX_LOOKED {
                continue;
            }
            looked += 1;
            let Some(task) = self.tasks.get(key) else { continue };
            if matches!(task.status, TaskStatus::SubmittedToWorker | TaskStatus::Running) {
                continue;
            }
            let kind = (task.status as u8, task.shape.number, &*task.function, task.role.actor());
            let entry = kinds.entry(kind).or_insert((task.waiting_since_ms, Key::Task(*key), 0));
            if task.waiting_since_ms < entry.0 {
                (entry.0, entry.1) = (task.waiting_since_ms, Key::Task(*key));
            }
            entry.2 += 1;
        }
        let mut waiting: Vec<(u64, Key, u64)> = kinds.into_values().map(|(since, key, count)| (since, key, count - 1)).collect();
        waiting.extend(self.creates.front().map(|create| (create.since_ms, create_key(create), self.creates.len() as u64 - 1)));
        waiting.sort_unstable();
        let processes = self.blocked_processes().into_iter().map(|process| (u64::MAX, Key::Process(process), 0));
        waiting.extend(processes);
        let more = waiting.len().saturating_sub(MAX_ANSWERS) + (total - looked);
        waiting.truncate(MAX_ANSWERS);
        (waiting.into_iter().map(|(_, key, others)| (key, others)).collect(), more as u64)
    }

    /// Processes that wait for objects, workers before drivers.
    pub(super) fn blocked_processes(&self) -> Vec<ProcessId> {
        let blocked = self.living_processes().filter(|(_, process)| process.blocked || process.activity == Activity::Free);
        let mut blocked: Vec<(bool, ProcessId)> = blocked
            .filter(|(id, process)| {
                let (gets, waits) = if process.requests.is_empty() { Default::default() } else { self.asked_by(*id) };
                !gets.is_empty() || !waits.is_empty()
            })
            .map(|(id, process)| (process.activity == Activity::Free, id))
            .collect();
        blocked.sort_unstable();
        blocked.into_iter().map(|(_, id)| id).collect()
    }
}
