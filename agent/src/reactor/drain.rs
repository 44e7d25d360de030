//! How work comes to an end: first nothing new is taken, then nothing is begun.

use std::time::Duration;

use plasmon_protocol::error::Error;
use plasmon_protocol::id::ProcessId;
use plasmon_protocol::record::{EventKind, ProcessType, Severity};

use super::{Core, Outbox};

/// Which work is taken.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) enum Intake {
    /// All.
    #[default]
    Open,
    /// Only what running tasks need. Told by this.
    Draining(String),
    /// None, and nothing is begun that was taken before.
    Closed(String),
}

impl Core {
    /// From here on no driver is let in, and drivers' tasks are refused; what was submitted before, and what its tasks submit, goes on.
    /// What asks for more than the node has would never end: it fails. `limit` is for people.
    pub fn on_drain(&mut self, cause: &str, limit: Duration, out: &mut impl Outbox) {
        self.intake = Intake::Draining(cause.to_owned());
        let (running, pending) = (self.counters.running, self.counters.pending);
        let message = format!("draining ({cause}): no new work; {running} running and {pending} waiting tasks get {} s", limit.as_secs());
        self.event(EventKind::Notice, Severity::Warning, None, message);
        self.fail_all_infeasible();
        self.settle(out);
    }

    /// From here on no task is started, and workers are expected to end.
    pub fn on_close(&mut self, cause: &str) {
        self.intake = Intake::Closed(cause.to_owned());
        let unfinished = self.counters.running + self.counters.pending;
        let severity = if unfinished == 0 { Severity::Info } else { Severity::Error };
        self.event(EventKind::Notice, severity, None, format!("the agent ends ({cause}); {unfinished} tasks are cut off"));
        let workers: Vec<ProcessId> = self.workers().map(|(id, _)| id).collect();
        self.dismissed.extend(workers);
    }

    /// Whether no task is running or waiting, and no worker is busy with one that was cancelled.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.counters.running + self.counters.pending == 0 && self.jobs.values().all(|job| job.pending.is_empty())
    }

    /// Why no driver is let in, if so.
    #[must_use]
    pub fn refuses_drivers(&self) -> Option<Error> {
        match &self.intake {
            Intake::Open => None,
            Intake::Draining(cause) | Intake::Closed(cause) => Some(Error::Draining { node: self.config.node, cause: cause.clone() }),
        }
    }

    /// Why a task of this process is not taken, if so.
    pub(super) fn refuses_task_of(&self, process: ProcessId) -> Option<Error> {
        self.refuses_drivers().filter(|_| self.process(process).is_some_and(|process| process.process_type == ProcessType::Driver))
    }

    /// Whether work comes to an end.
    pub(super) fn is_draining(&self) -> bool {
        self.intake != Intake::Open
    }

    /// Whether nothing is begun any more.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.intake, Intake::Closed(_))
    }
}
