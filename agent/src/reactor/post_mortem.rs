//! What processes held that ended as they should not have, for a minute: taken at the moment of the end, before any of it is
//! released. It is history: in no other row, in no total, and it keeps nothing alive.

use std::borrow::Cow;
use std::collections::VecDeque;

use plasmon_protocol::id::ProcessId;
use plasmon_protocol::record::{PostMortemRow, ProcessType};
use plasmon_protocol::stream::PostMortem;

use super::{Activity, Core, Process};

/// How long a dead process is listed, milliseconds.
pub const POST_MORTEM_MS: u64 = 60_000;
/// Dead processes that are listed at most; beyond it, those that died first go early.
pub const MAX_POST_MORTEM: usize = 100;

/// How a process went, as far as the shell can tell.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Departure {
    /// In a few words, for people.
    pub how: Cow<'static, str>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// The code that it exited with.
    pub exit_code: Option<i32>,
}

impl From<&'static str> for Departure {
    fn from(how: &'static str) -> Self {
        Self { how: Cow::Borrowed(how), ..Self::default() }
    }
}

impl From<String> for Departure {
    fn from(how: String) -> Self {
        Self { how: Cow::Owned(how), ..Self::default() }
    }
}

/// The dead of the last minute, oldest first.
#[derive(Debug, Default)]
pub(super) struct PostMortems(VecDeque<PostMortem>);

impl PostMortems {
    fn add(&mut self, entry: PostMortem) {
        if self.0.len() == MAX_POST_MORTEM {
            self.0.pop_front();
        }
        self.0.push_back(entry);
    }

    /// When the oldest is to go.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.0.front().map(|oldest| oldest.process.died_ms + POST_MORTEM_MS)
    }

    /// Whether any had their time.
    pub(super) fn expire(&mut self, now_ms: u64) -> bool {
        let before = self.0.len();
        while self.next_deadline().is_some_and(|at| at <= now_ms) {
            self.0.pop_front();
        }
        self.0.len() < before
    }

    pub(super) fn rows(&self) -> Vec<PostMortemRow> {
        self.0.iter().map(|entry| entry.process.clone()).collect()
    }

    pub(super) fn get(&self, id: ProcessId) -> Option<PostMortem> {
        self.0.iter().find(|entry| entry.process.process == id).cloned()
    }
}

impl Core {
    /// Takes down what a process holds that is about to be forgotten. One that was told to go, said that it goes, or never came
    /// is no case.
    pub(super) fn examine(&mut self, id: ProcessId, departure: &Departure) {
        let Some(process) = self.process(id) else { return };
        if self.dismissed.contains(&id) || process.activity == Activity::Starting || id.0 == 0 {
            return;
        }
        let task = self.task_of(process);
        let actor = match process.activity {
            Activity::Actor(actor) => Some(actor),
            _ => task.and_then(|task| task.role.actor()),
        };
        let process_row = PostMortemRow {
            process: id,
            pid: process.pid,
            process_type: process.process_type,
            job: process.job,
            name: process.name.clone(),
            how: how(process, departure).into(),
            signal: departure.signal,
            exit_code: departure.exit_code,
            task: task.map(|task| task.function.clone()),
            actor: actor.map(|actor| actor.on(self.config.node).into()),
            heap_bytes: process.usage.heap_bytes(),
            references: process.rows,
            held_bytes: process.held_bytes,
            since_ms: process.since_ms,
            died_ms: self.now_ms,
        };
        let entry = PostMortem { process: process_row, references: self.largest_references(process), ..PostMortem::default() };
        self.post_mortems.add(entry);
    }
}

/// How a process ended: a violation says more than the signal that followed it.
fn how(process: &Process, departure: &Departure) -> String {
    match (&process.violation, process.process_type) {
        (Some(violation), _) => format!("dropped: {violation}"),
        // Not the agent's child: nobody tells whether it failed.
        (None, ProcessType::Driver) if departure.signal.is_none() && departure.exit_code.is_none() => "ended without shutdown".to_owned(),
        (None, _) => departure.how.to_string(),
    }
}

#[cfg(test)]
mod tests;
