//! What a task waits for, in one line.

use std::collections::BTreeMap;

use plasmon_protocol::record::{ObjectState, TaskStatus};

use super::{Activity, Core, Process};
use crate::scheduler::resources::Lack;
use crate::scheduler::task::{Role, Task};

/// Holders that one line names.
const NAMED: usize = 2;

/// What the tasks of one shape lack, by the shape's number: tasks of a shape lack the same at one instant, and looking for it walks over
/// all processes.
#[derive(Debug, Default)]
pub(super) struct Reasons {
    lacks: BTreeMap<u64, Option<String>>,
}

impl Core {
    /// Why a task does not run yet; `None` when it runs, or has ended.
    pub(super) fn reason(&self, task: &Task) -> Option<String> {
        self.reason_among(task, &mut Reasons::default())
    }

    /// The same for one of many tasks, at one instant.
    pub(super) fn reason_among(&self, task: &Task, reasons: &mut Reasons) -> Option<String> {
        match task.status {
            TaskStatus::PendingArgsAvail => Some(self.missing_arguments(task)),
            TaskStatus::Infeasible => {
                let (asked, total) = self.resources.offer().shortfall(&task.shape.asked);
                Some(format!("asks for {asked}, the node has {total}"))
            }
            TaskStatus::PendingNodeAssignment => Some(match (task.rare().retry_at_ms, task.role) {
                (Some(_), _) => "is tried again soon".to_owned(),
                (None, Role::Method(_)) => "calls before it".to_owned(),
                (None, _) => self.missing_resources(task, reasons),
            }),
            TaskStatus::PendingObjStoreMemAvail => Some("arguments of other tasks fill the store".to_owned()),
            TaskStatus::PendingArgsFetch => Some("its arguments are being read back".to_owned()),
            TaskStatus::SubmittedToWorker | TaskStatus::Running | TaskStatus::Finished | TaskStatus::Failed => None,
        }
    }

    fn missing_arguments(&self, task: &Task) -> String {
        let pending =
            |key: &plasmon_protocol::id::ObjectKey| self.objects.get(*key).is_some_and(|object| object.state == Some(ObjectState::Pending));
        let mut missing = task.objects().into_iter().filter(pending);
        let Some(first) = missing.next() else { return "its arguments".to_owned() };
        let maker = self.objects.get(first).and_then(|object| object.task()).and_then(|task| self.tasks.get(&task));
        let what = match maker {
            Some(maker) => format!("the result of {}", maker.short_function()),
            None => format!("object {}", first.on(self.config.node)),
        };
        match missing.count() {
            0 => what,
            more => format!("{what} and {more} more"),
        }
    }

    fn missing_resources(&self, task: &Task, reasons: &mut Reasons) -> String {
        let lacks = reasons.lacks.entry(task.shape.number).or_insert_with(|| self.lacks_of(task));
        lacks.clone().unwrap_or_else(|| {
            let ahead = task.queue.zip(task.order).and_then(|(queue, order)| self.ready.place(task.job, queue, order));
            match ahead {
                Some((ahead, _)) if ahead > 0 => format!("a worker, behind {ahead} others"),
                _ => "a worker".to_owned(),
            }
        })
    }

    /// What a task lacks, and who holds it.
    fn lacks_of(&self, task: &Task) -> Option<String> {
        let lacks = self.resources.lacks(&task.shape);
        let first = lacks.first()?;
        let what: Vec<String> = lacks.iter().map(Lack::describe).collect();
        let mut holders = self.holders_of(first.number);
        let more = holders.len().saturating_sub(NAMED);
        holders.truncate(NAMED);
        let mut by: Vec<String> = holders.into_iter().map(|(share, who)| format!("{who} holds {share}")).collect();
        if more > 0 {
            by.push(format!("{more} more"));
        }
        let what = what.join(", ");
        Some(if by.is_empty() { format!("{what} more") } else { format!("{what} more; {}", by.join(", ")) })
    }

    /// A worker, for people, by what it does: `task sort in process 12`.
    pub(super) fn title_of(&self, process: &Process) -> String {
        let what = match process.activity {
            Activity::Actor(actor) => self.actors.get(&actor).map(|actor| format!("actor {}", actor.title())),
            _ => self.task_of(process).map(|task| format!("task {}", task.short_function())),
        };
        match what {
            Some(what) => format!("{what} in process {}", process.pid),
            None => format!("process {}", process.pid),
        }
    }

    /// Who holds some of a resource at this moment, and how much.
    pub(super) fn holders_of(&self, resource: usize) -> Vec<(String, String)> {
        let holders = self.living_processes().filter_map(|(_, process)| {
            let reservation = process.reservation.as_ref()?;
            if resource == 0 && reservation.without_cpus {
                return None;
            }
            let share = self.resources.share(&reservation.shape, resource)?;
            Some((share, self.title_of(process)))
        });
        holders.collect()
    }
}
