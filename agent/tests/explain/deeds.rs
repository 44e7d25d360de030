//! What the node and its processes do beside what they wait for.

use std::time::Duration;

use plasmon_agent::telemetry::tables::Tables;
use plasmon_protocol::id::{ObjectKey, ProcessId, TaskKey};
use plasmon_protocol::local::{Ending, Memory, ToAgent, Value};
use plasmon_protocol::record::TaskStatus;

use super::{Client, Node};

impl Node {
    /// The worker that was sent that task runs it to its end.
    pub(crate) fn runs(&mut self, task: TaskKey) {
        let (worker, _) = *self.outside.ran.iter().rev().find(|(_, ran)| *ran == task).unwrap();
        for message in [
            ToAgent::Started { task },
            ToAgent::Output { task, value: Value::Inline(&[1]) },
            ToAgent::Ended { task, ending: Ending::Finished },
        ] {
            self.says(worker, message);
        }
    }

    /// What is sent to workers is run, until nothing is sent any more or `most` tasks were run. Tells how many.
    pub(crate) fn runs_all(&mut self, most: usize) -> usize {
        (0..most).take_while(|_| self.sent().map(|task| self.runs(task)).is_some()).count()
    }

    /// These processes stand still, and no others.
    pub(crate) fn stand_still(&mut self, stopped: &[ProcessId]) {
        self.core.on_stopped(stopped, &mut self.outside);
    }

    pub(crate) fn crashes(&mut self, client: &Client) {
        self.core.on_process_lost(client.process, "killed", &mut self.outside);
    }

    /// No new work is taken.
    pub(crate) fn drains(&mut self) {
        self.core.on_drain("SIGTERM", Duration::from_secs(9), &mut self.outside);
    }

    pub(crate) fn cancels(&mut self, client: &Client, key: ObjectKey) {
        self.says(client.process, ToAgent::CancelTask { key, force: false, site: 0 });
    }

    pub(crate) fn status(&self, task: TaskKey) -> TaskStatus {
        self.core.tasks().into_iter().find(|row| row.task_id.key() == task).unwrap().status
    }

    /// The error that it ended with, empty for none.
    pub(crate) fn error(&self, task: TaskKey) -> String {
        self.core.tasks().into_iter().find(|row| row.task_id.key() == task).and_then(|row| row.error).unwrap_or_default()
    }

    /// So much time passes in steps, in which everything that is due happens.
    pub(crate) fn lives_for(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(100) {
            self.now_ms += 100;
            self.core.on_tick(self.now_ms, &mut self.outside);
            self.serves();
        }
    }

    pub(crate) fn drops_pin(&mut self, client: &Client, key: ObjectKey) {
        self.says(client.process, ToAgent::DropPin { key });
    }

    /// The result of a running task is in the store, and the task goes on.
    pub(crate) fn stores_result(&mut self, client: &mut Client, task: TaskKey, bytes: u64) {
        assert!(self.wants_room(client, bytes), "there is room");
        let (_, lease, offset) = *self.outside.leases.last().unwrap();
        self.says(client.process, ToAgent::Output { task, value: Value::Memory(Memory { lease, offset, length: bytes }) });
    }

    pub(crate) fn finishes(&mut self, client: &Client, task: TaskKey) {
        self.says(client.process, ToAgent::Ended { task, ending: Ending::Finished });
    }

    /// From here on what is read back is damaged, or is not.
    pub(crate) fn damages(&mut self, corrupt: bool) {
        self.outside.corrupt = corrupt;
    }

    /// Processes that were to be ended.
    pub(crate) fn killed(&self) -> &[ProcessId] {
        &self.outside.killed
    }

    pub(crate) fn cancels_by_force(&mut self, client: &Client, key: ObjectKey) {
        self.says(client.process, ToAgent::CancelTask { key, force: true, site: 0 });
    }

    /// All that a worker had said when its tasks were asked back was heard.
    pub(crate) fn is_heard_out(&mut self, worker: ProcessId) {
        self.core.on_withdrawn(worker, &mut self.outside);
    }

    /// The worker that a task was sent to.
    pub(crate) fn worker_of(&self, task: TaskKey) -> ProcessId {
        self.outside.ran.iter().rev().find(|(_, ran)| *ran == task).unwrap().0
    }

    /// A worker comes to a task that was taken back from it.
    pub(crate) fn declines(&mut self, worker: ProcessId, task: TaskKey) {
        self.says(worker, ToAgent::Ended { task, ending: Ending::Withdrawn });
    }
}
