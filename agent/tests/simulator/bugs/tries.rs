//! Bugs of ends, of what is tried again, and of the order in which.

use plasmon_agent::reactor::Activity;
use plasmon_agent::telemetry::tables::Tables;
use plasmon_protocol::id::{ProcessId, TaskKey};
use plasmon_protocol::local::{ToAgent, ToClient, Work, decode};
use plasmon_protocol::record::{TaskRow, TaskStatus};

use super::{Bug, Subject};
use crate::simulator::effects::{Effect, Recorder};

impl Subject {
    fn row(&self, task: TaskKey) -> Option<TaskRow> {
        self.core.tasks().into_iter().find(|row| row.task_id.key() == task)
    }

    /// Tasks that a batch tells the end of, and whether they have failed before that: cancelled, and run to their end.
    pub(super) fn ended_in(&self, batch: &[Vec<u8>]) -> Vec<(TaskKey, bool)> {
        if !self.has(Bug::RetriesCancelled) && !self.has(Bug::GivesBackTwice) {
            return Vec::new();
        }
        let ended = batch.iter().filter_map(|bytes| match decode::<ToAgent<'_>>("a client", bytes) {
            Ok(ToAgent::Ended { task, .. }) => Some(task),
            _ => None,
        });
        ended.map(|task| (task, self.row(task).is_some_and(|row| row.status == TaskStatus::Failed))).collect()
    }

    /// What the core makes of ends.
    pub(super) fn bend_ends(&mut self, from: ProcessId, ended: Vec<(TaskKey, bool)>, out: &mut Recorder) {
        for (task, cancelled) in ended {
            if cancelled
                && let Some(run) = self.runs.get(&task).cloned()
                && self.strikes(Bug::RetriesCancelled)
            {
                out.effects.push(run);
            }
            if let Some(other) = self.busy_beside(from)
                && self.strikes(Bug::GivesBackTwice)
            {
                // What this one gave back is given back once more, at the cost of another.
                drop(self.core.on_messages(other, [Ok(ToAgent::Blocked)], out));
            }
        }
    }

    /// Another worker that runs a task and is not blocked.
    fn busy_beside(&self, process: ProcessId) -> Option<ProcessId> {
        let others = self.core.processes().into_iter().map(|row| row.process).filter(|other| *other != process);
        let mut busy = others.filter_map(|other| match self.core.process(other)?.activity {
            Activity::Busy(task) => Some((other, self.row(task)?)),
            _ => None,
        });
        busy.find(|(_, row)| !row.blocked).map(|(other, _)| other)
    }

    /// What workers are sent, and in which order.
    pub(super) fn bend_runs(&mut self, effects: &mut [Effect]) {
        if !self.has(Bug::RetriesCancelled) && !self.has(Bug::SwapsCallsAfterRestart) {
            return;
        }
        // A call that had been sent to a worker that died, and the next one that goes to the same actor.
        let mut again: Option<(usize, ProcessId)> = None;
        for index in 0..effects.len() {
            let (Effect::Send(to, _), Some(ToClient::Run { task, work, .. })) = (&effects[index], effects[index].message()) else {
                continue;
            };
            let to = *to;
            if let Some((first, _)) = again.take_if(|(_, worker)| *worker == to)
                && self.strikes(Bug::SwapsCallsAfterRestart)
            {
                effects.swap(first, index);
                return;
            }
            if work == Work::Method && self.row(task).is_some_and(|row| row.attempt > 1) {
                again = Some((index, to));
            }
            if work == Work::Task {
                self.runs.insert(task, effects[index].clone());
            }
        }
    }
}
