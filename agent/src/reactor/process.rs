//! A process and a job as the core knows them.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use hashbrown::HashMap;
use plasmon_protocol::id::{JobId, ObjectKey, ProcessId, SiteId, TaskKey};
use plasmon_protocol::record::ProcessType;

use super::reservations::Reservation;
use crate::references::sites::Cost;
use crate::references::table::NONE;
use crate::scheduler::window::Window;
use crate::store::lease::LeaseIndex;

/// What a process is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Activity {
    /// A driver, or the agent: it does what it likes.
    Free,
    /// A worker that has not connected.
    Starting,
    /// A worker without a task.
    Idle,
    /// A worker with a task.
    Busy(TaskKey),
    /// A worker that is an actor.
    Actor(ObjectKey),
    /// A worker without a task that has not said yet that it knows of all that was taken back from it.
    Withdrawn,
    /// A worker that was told to end.
    Leaving,
}

/// What the shell last sampled of a process.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Usage {
    /// Resident set, bytes.
    pub rss_bytes: u64,
    /// Of it, shared with others, bytes.
    pub shared_bytes: u64,
    /// Percent of one CPU.
    pub cpu_percent: f32,
}

impl Usage {
    /// Resident set minus shared: what Ray calls worker heap, bytes.
    #[must_use]
    pub fn heap_bytes(&self) -> u64 {
        self.rss_bytes.saturating_sub(self.shared_bytes)
    }
}

/// One process: a driver, a worker, or the agent itself.
#[derive(Debug)]
pub struct Process {
    /// Its id in the operating system; 0 while a worker starts.
    pub pid: u32,
    /// What it is.
    pub process_type: ProcessType,
    /// Its job.
    pub job: JobId,
    /// The executable's file name.
    pub name: Arc<str>,
    /// What it is doing.
    pub activity: Activity,
    /// What it was last seen to use.
    pub usage: Usage,
    /// What only this process has of memory, when it was last looked at closely, bytes.
    pub unique_bytes: Option<u64>,
    /// When it connected, milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// Tasks that it has ended.
    pub tasks_done: u64,
    /// Rows that it holds.
    pub rows: u64,
    /// Bytes of the objects that it holds, each once.
    pub held_bytes: u64,
    /// The first of its rows.
    pub(super) first_reference: u32,
    /// Its leases by its own numbers.
    pub(super) leases: Vec<Option<LeaseIndex>>,
    /// Numbers of leases that went back.
    pub(super) vacant_leases: Vec<u32>,
    /// The agent's numbers of its call sites, by its own.
    pub(super) sites: Vec<SiteId>,
    /// What those of them that it was the first to name take of the agent's memory.
    pub(super) sites_cost: Cost,
    /// References for the next message that takes them.
    pub(super) staged: Vec<ObjectKey>,
    /// The call of several that submits what comes next, as the client says.
    pub(super) submits: Option<TaskKey>,
    /// Answers that it waits for: the object of each request.
    pub(super) requests: HashMap<u32, ObjectKey, foldhash::fast::FixedState>,
    /// Those of them that have an answer and wait for room in its ring.
    pub(super) owed: VecDeque<super::owed::Owed>,
    /// The number of its newest task.
    pub(super) last_task: u32,
    /// What its task has reserved at this moment.
    pub(super) reservation: Option<Reservation>,
    /// The GPUs that it sees; none but those when there are some.
    pub(super) devices: Arc<[u32]>,
    /// Its task waits in a `get` and gave its CPU back.
    pub(super) blocked: bool,
    /// What it did that the protocol forbids.
    pub(super) violation: Option<String>,
    /// Tasks and constructors that it was sent.
    pub(super) window: Window,
    /// It stood still when it was last looked at.
    pub(super) stopped: bool,
}

impl Process {
    /// A process that has just connected, or a worker that is being started.
    #[must_use]
    pub fn new(pid: u32, process_type: ProcessType, job: JobId, name: Arc<str>, activity: Activity, now_ms: u64) -> Self {
        Self {
            pid,
            process_type,
            job,
            name,
            activity,
            usage: Usage::default(),
            unique_bytes: None,
            since_ms: now_ms,
            tasks_done: 0,
            rows: 0,
            held_bytes: 0,
            first_reference: NONE,
            leases: Vec::new(),
            vacant_leases: Vec::new(),
            sites: vec![SiteId(0)],
            sites_cost: Cost::default(),
            staged: Vec::new(),
            submits: None,
            requests: HashMap::default(),
            owed: VecDeque::new(),
            last_task: 0,
            reservation: None,
            devices: Arc::default(),
            blocked: false,
            violation: None,
            window: Window::default(),
            stopped: false,
        }
    }

    /// The agent, process 0: it holds what dead processes have left to others.
    #[must_use]
    pub fn agent(pid: u32, now_ms: u64) -> Self {
        Self::new(pid, ProcessType::Agent, JobId(0), "plasmon-agent".into(), Activity::Free, now_ms)
    }

    /// What its end would free, as far as it is known: what only it has, or its heap. Bytes.
    #[must_use]
    pub fn own_bytes(&self) -> u64 {
        self.unique_bytes.unwrap_or_else(|| self.usage.heap_bytes())
    }

    /// Whether it stood still when it was last looked at.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Whether it runs nothing, and is idle as soon as it has heard so.
    pub(super) fn is_withdrawn(&self) -> bool {
        self.activity == Activity::Withdrawn && !self.stopped
    }

    /// The lease that the process calls `number`.
    #[must_use]
    pub fn lease(&self, number: u32) -> Option<LeaseIndex> {
        *self.leases.get(number as usize)?
    }

    /// The agent's number of the call site that the process calls `number`.
    #[must_use]
    pub fn site(&self, number: u32) -> SiteId {
        self.sites.get(number as usize).copied().unwrap_or_default()
    }
}

/// What a job ends with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Root {
    /// A driver.
    Driver(ProcessId),
    /// A detached actor.
    Actor(ObjectKey),
}

/// A driver, or a detached actor, and all that it started.
#[derive(Debug)]
pub struct Job {
    /// What it ends with.
    pub root: Root,
    /// The executable's file name.
    pub name: Arc<str>,
    /// Workers without a task, most recently used last.
    pub idle: Vec<ProcessId>,
    /// Workers that are being started.
    pub starting: u32,
    /// Of them, those that will see GPUs of their own.
    pub starting_with: Vec<(ProcessId, Arc<[u32]>)>,
    /// Workers that run tasks, starting ones included.
    pub workers: u32,
    /// Workers that are actors.
    pub actors: u32,
    /// Of them, those whose task is blocked.
    pub blocked: u32,
    /// Tasks that have not ended.
    pub pending: BTreeSet<TaskKey>,
    /// Starts that failed in a row.
    pub failed_starts: u32,
}
