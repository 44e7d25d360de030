//! What the core wanted done, in its order.

use std::collections::BTreeSet;

use plasmon_agent::reactor::Outbox;
use plasmon_agent::spill::job::Job;
use plasmon_protocol::id::{JobId, ObjectKey, ProcessId};
use plasmon_protocol::local::{ToClient, decode, encode};
use plasmon_protocol::record::ObjectState;

/// One call of the outbox.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    Send(ProcessId, Vec<u8>),
    Publish {
        key: ObjectKey,
        state: Option<ObjectState>,
        offset: u64,
        length: u64,
    },
    Freed {
        process: ProcessId,
        lease: u32,
    },
    Reset {
        process: ProcessId,
        lease: u32,
    },
    Recall(ProcessId),
    Back(u64),
    Start(ProcessId, JobId, Vec<u32>),
    ShareProgram {
        of: JobId,
        to: JobId,
    },
    EndJob(JobId),
    Kill(ProcessId),
    /// A worker is asked for what it was sent up to this run and has not begun.
    Withdraw {
        from: ProcessId,
        run: u64,
    },
    /// Objects that the core wants to move, and those that nobody reads.
    Evict {
        asked: Vec<ObjectKey>,
        left: Vec<ObjectKey>,
    },
    /// Whose views of what were found in the pin tables.
    Look(Vec<(ProcessId, ObjectKey)>),
    Relocate {
        from: u64,
        to: u64,
        length: u64,
    },
    Io(Job),
}

impl Effect {
    /// The message, if it is one.
    pub(crate) fn message(&self) -> Option<ToClient<'_>> {
        match self {
            Self::Send(_, bytes) => decode("the agent", bytes).ok(),
            _ => None,
        }
    }
}

impl std::fmt::Debug for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Send(to, _) => write!(f, "to {to}: {:?}", self.message()),
            Self::Publish { key, state, offset, length } => {
                write!(f, "publish {}.{} {state:?} {offset}+{length}", key.slot, key.generation)
            }
            Self::Freed { process, lease } => write!(f, "freed in lease {lease} of {process}"),
            Self::Reset { process, lease } => write!(f, "reset lease {lease} of {process}"),
            Self::Recall(process) => write!(f, "recall {process}"),
            Self::Back(end) => write!(f, "back up to {end}"),
            Self::Start(process, job, _) => write!(f, "start worker {process} of job {job}"),
            Self::ShareProgram { of, to } => write!(f, "job {to} runs the program of {of}"),
            Self::EndJob(job) => write!(f, "job {job} ended"),
            Self::Kill(process) => write!(f, "kill {process}"),
            Self::Withdraw { from, run } => write!(f, "ask {from} back for its runs up to {run}"),
            Self::Evict { asked, left } => write!(f, "evict {asked:?}, of which nobody reads {left:?}"),
            Self::Relocate { from, to, length } => write!(f, "move {length} bytes from {from} to {to}"),
            Self::Look(views) => write!(f, "views are {views:?}"),
            Self::Io(job) => write!(f, "{job:?}"),
        }
    }
}

/// Keeps all calls for the world to carry out.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    pub(crate) effects: Vec<Effect>,
    /// What clients have in their pin tables.
    pub(crate) pinned: BTreeSet<ObjectKey>,
    /// Views among it that no message tells of.
    pub(crate) views: Vec<(ProcessId, ObjectKey)>,
    /// It finds one view fewer than there are: a planted bug.
    pub(crate) dim: bool,
    /// It does not look into the pin tables: a planted bug.
    pub(crate) blind: bool,
}

impl Outbox for Recorder {
    fn send(&mut self, to: ProcessId, message: &ToClient<'_>) {
        self.effects.push(Effect::Send(to, encode(message).expect("the agent's messages encode")));
    }

    fn publish(&mut self, key: ObjectKey, state: Option<ObjectState>, offset: u64, length: u64) {
        self.effects.push(Effect::Publish { key, state, offset, length });
    }

    fn freed(&mut self, process: ProcessId, lease: u32, _key: ObjectKey) {
        self.effects.push(Effect::Freed { process, lease });
    }

    fn reset_lease(&mut self, process: ProcessId, lease: u32) {
        self.effects.push(Effect::Reset { process, lease });
    }

    fn recall(&mut self, process: ProcessId) {
        self.effects.push(Effect::Recall(process));
    }

    fn back(&mut self, end: u64) {
        self.effects.push(Effect::Back(end));
    }

    fn start_worker(&mut self, process: ProcessId, job: JobId, devices: &[u32]) {
        self.effects.push(Effect::Start(process, job, devices.to_vec()));
    }

    fn share_program(&mut self, of: JobId, to: JobId) {
        self.effects.push(Effect::ShareProgram { of, to });
    }

    fn end_job(&mut self, job: JobId) {
        self.effects.push(Effect::EndJob(job));
    }

    fn withdraw(&mut self, worker: ProcessId, run: u64) {
        self.effects.push(Effect::Withdraw { from: worker, run });
    }

    fn relocate(&mut self, from: u64, to: u64, length: u64) {
        self.effects.push(Effect::Relocate { from, to, length });
    }

    fn evict(&mut self, keys: &mut Vec<ObjectKey>) {
        let asked = keys.clone();
        keys.retain(|key| self.blind || !self.pinned.contains(key));
        self.effects.push(Effect::Evict { asked, left: keys.clone() });
    }

    fn views(&mut self, into: &mut Vec<(ProcessId, ObjectKey)>) {
        into.extend(self.views.iter().skip(self.dim.into()));
        self.effects.push(Effect::Look(self.views.clone()));
    }

    fn io(&mut self, job: Job) {
        self.effects.push(Effect::Io(job));
    }

    fn kill(&mut self, process: ProcessId) {
        self.effects.push(Effect::Kill(process));
    }
}
