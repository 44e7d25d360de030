//! What must be true after the messages that were delivered so far, kept in the plainest way: maps of counts, searched whole.
//! Nothing is summed up ahead, nothing is indexed twice; what the scheduler is free to choose (who runs which task, who gets
//! which range) is not predicted but watched and judged.
//!
//! - [`messages`]: what a message changes, and which messages are forbidden.
//! - [`actors`]: who lives, and who may be called.
//! - [`processes`]: who comes and goes.
//! - [`retries`]: what is tried again, made anew, cancelled, and made once more.
//! - [`window`]: what is sent to workers ahead of its turn, and taken back.
//! - [`settle`]: what follows from a change: frees, failures, answers.
//! - [`effects`]: whether what the core wanted done may be done.
//! - [`memory`]: leases and the ledger.
//! - [`pressure`]: who may have to go when memory runs out.
//! - [`storage`]: copies in external storage, and what reports of its jobs change.
//! - [`jobs`]: whether the core may have external storage do what it wants, and move what it moves.
//! - [`compare`]: model and core side by side.

mod actors;
mod compare;
mod effects;
mod generators;
mod jobs;
mod memory;
mod messages;
mod pressure;
mod processes;
mod retries;
mod settle;
mod storage;
mod views;
pub(crate) mod wants;
mod window;

use std::collections::{BTreeMap, BTreeSet};

use plasmon_agent::reactor::OomConfig;
use plasmon_agent::spill::policy::SpillConfig;
use plasmon_protocol::id::{JobId, ObjectKey, ProcessId, SpillFileId, TaskKey};
use plasmon_protocol::local::RetryExceptions;
use plasmon_protocol::record::{ObjectState, TaskStatus};

pub(crate) use actors::{Actor, End};
pub(crate) use memory::{Ask, Lease};
pub(crate) use pressure::Look;
pub(crate) use storage::{Residency, Storage};

pub(crate) use wants::Wants;
use window::Window;

/// The first thing that is not as it must be, in words.
pub(crate) type Check<T = ()> = Result<T, String>;
/// The codes that an error may have; several when two causes came at once.
pub(crate) type Codes = BTreeSet<&'static str>;

pub(crate) const AGENT: ProcessId = ProcessId(0);
pub(crate) const LOCAL: usize = 0;
pub(crate) const PINNED: usize = 1;
pub(crate) const SUBMITTED: usize = 2;
pub(crate) const CAPTURED: usize = 3;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Activity {
    Free,
    Starting,
    Idle,
    Busy(TaskKey),
    Actor(ObjectKey),
    /// It has not said yet that it knows of all that was taken back from it.
    Withdrawn,
    Leaving,
}

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) job: JobId,
    pub(crate) activity: Activity,
    /// Tasks that it has ended.
    pub(crate) done: u32,
    /// What it was sent beside the task that it runs.
    pub(crate) window: Window,
    /// The GPUs that it sees.
    pub(crate) devices: Vec<u32>,
    /// Its task waits and gave its CPU back.
    pub(crate) blocked: bool,
    /// Its end will be no surprise.
    pub(crate) dismissed: bool,
    pub(crate) staged: Vec<ObjectKey>,
    /// The call that submits what comes next.
    pub(crate) submits: Option<TaskKey>,
    pub(crate) requests: BTreeMap<u32, ObjectKey>,
    pub(crate) last_task: u32,
    /// By number: with how many frames there are of its stack.
    pub(crate) sites: Vec<usize>,
}

impl Object {
    /// Its value is in external storage only, or on its way back.
    pub(crate) fn is_away(&self) -> bool {
        self.state == ObjectState::InMemory && matches!(self.residency, Residency::Spilled | Residency::Restoring)
    }
}

#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) state: ObjectState,
    pub(crate) creator: ProcessId,
    pub(crate) hidden: bool,
    /// Nobody but a finished task that may run again wants it; without a value unless that is inlined.
    pub(crate) trace: bool,
    /// What an actor's handles refer to.
    pub(crate) actor: bool,
    /// Bytes from the pool's begin, when it is in memory.
    pub(crate) offset: u64,
    /// Meaningful when its value was put into the pool.
    pub(crate) residency: Residency,
    /// Its file, and where it begins there.
    pub(crate) record: Option<(SpillFileId, u64)>,
    pub(crate) length: u64,
    pub(crate) contains: Vec<ObjectKey>,
    pub(crate) captor: ProcessId,
    /// Who waits: process, request, whether it wants the value.
    pub(crate) waiters: Vec<(ProcessId, u32, bool)>,
    /// An inlined value.
    pub(crate) value: Vec<u8>,
    /// What the error may be.
    pub(crate) codes: Codes,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Argument {
    Inline(Vec<u8>),
    Object(ObjectKey),
    Block(ObjectKey),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    Function,
    Constructor(ObjectKey),
    Method(ObjectKey),
}

impl Role {
    pub(crate) fn actor(self) -> Option<ObjectKey> {
        match self {
            Self::Function => None,
            Self::Constructor(actor) | Self::Method(actor) => Some(actor),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) role: Role,
    pub(crate) job: JobId,
    pub(crate) function: String,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) returns: Vec<ObjectKey>,
    pub(crate) holds: BTreeSet<ObjectKey>,
    /// Handles among its arguments whose actors took calls while it waited: it does not fail when they end.
    pub(crate) met: BTreeSet<ObjectKey>,
    pub(crate) holder: ProcessId,
    pub(crate) wants: Wants,
    /// Its worker has said that it begins.
    pub(crate) begun: bool,
    /// The step in which it had its arguments for the first time.
    pub(crate) ready_at: Option<u64>,
    /// How many others were started while it could not be.
    pub(crate) passed: u64,
    pub(crate) max_retries: u32,
    pub(crate) retries: u32,
    /// How often it lost its worker for want of memory.
    pub(crate) oom_retries: u32,
    pub(crate) retry_exceptions: RetryExceptions,
    pub(crate) timeout_ms: u64,
    /// How often it was tried again.
    pub(crate) retried: u32,
    /// It is a call that ended with an error of its own and was tried again: that is out of turn.
    pub(crate) erred: bool,
    /// When it is tried again, and when its attempt has run for too long.
    pub(crate) retry_at_ms: Option<u64>,
    pub(crate) limit_at_ms: Option<u64>,
    /// It was cancelled and still runs: it holds what it held.
    pub(crate) lingers: bool,
    /// The task that submitted it.
    pub(crate) parent: Option<TaskKey>,
    /// It has finished, and can be run again: what it held.
    pub(crate) kept: Option<BTreeSet<ObjectKey>>,
    pub(crate) attempt: u32,
    pub(crate) status: TaskStatus,
    pub(crate) worker: Option<ProcessId>,
    pub(crate) worker_pid: Option<u32>,
    pub(crate) outputs: usize,
    pub(crate) blocked: bool,
    /// The most results that an attempt has sent.
    pub(crate) yielded: usize,
    /// No more results of a generator are wanted.
    pub(crate) closed: bool,
    /// Room for results was made after it was submitted.
    pub(crate) streams: bool,
    /// Its worker waits for room: the request, and for how many results.
    pub(crate) room: Option<(u32, usize)>,
    /// What its error may be, when it has failed.
    pub(crate) codes: Codes,
}

impl Task {
    pub(crate) fn is_pending(&self) -> bool {
        !matches!(self.status, TaskStatus::Finished | TaskStatus::Failed)
    }

    /// It needs a CPU and a worker, which a call does not.
    pub(crate) fn waits_for_worker(&self) -> bool {
        self.status == TaskStatus::PendingNodeAssignment && !matches!(self.role, Role::Method(_)) && self.retry_at_ms.is_none()
    }

    /// The objects whose values it needs, each once.
    pub(crate) fn needs(&self) -> BTreeSet<ObjectKey> {
        let objects = self.arguments.iter().filter_map(|argument| match argument {
            Argument::Inline(_) => None,
            Argument::Object(key) | Argument::Block(key) => Some(*key),
        });
        objects.collect()
    }
}

/// An answer that must be given before the core returns.
#[derive(Debug)]
pub(crate) enum Answer {
    /// It has a value.
    Ready,
    /// It is in the pool, and pinned for whoever asked.
    Pinned(ObjectKey),
    Inline(Vec<u8>),
    Failed(Codes),
    /// A handle to the actor that was looked for.
    Found(ObjectKey),
    /// No actor, for this reason.
    Refused(&'static str),
}

#[derive(Debug)]
pub(crate) struct Expected {
    process: ProcessId,
    request: u32,
    wants_value: bool,
    answer: Answer,
}

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) now_ms: u64,
    /// Batches of messages, ticks and so on, so far.
    pub(crate) steps: u64,
    pub(crate) capacity: u64,
    /// Blocks of the slot table.
    pub(crate) blocks: u32,
    pub(crate) total: Wants,
    pub(crate) fail_infeasible: bool,
    /// No new work is taken, and nobody waits for what can never be.
    pub(crate) draining: bool,
    /// Tasks whose arguments were being read back when it was last looked.
    pub(crate) fetching: BTreeSet<TaskKey>,
    /// What waits first for room is an object that comes back for a task.
    pub(crate) unseen_first: bool,
    pub(crate) processes: BTreeMap<ProcessId, Process>,
    /// Starts that failed in a row, by living job.
    pub(crate) jobs: BTreeMap<JobId, u32>,
    pub(crate) objects: BTreeMap<ObjectKey, Object>,
    pub(crate) rows: BTreeMap<(ObjectKey, ProcessId), [u32; 4]>,
    /// Views by the last look into the pin tables, and pins that stand for views whose handle is gone.
    pub(crate) viewed: BTreeMap<(ObjectKey, ProcessId), u32>,
    pub(crate) kept: BTreeMap<(ObjectKey, ProcessId), u32>,
    /// When the core last looked into them.
    pub(crate) looked_ms: u64,
    pub(crate) tasks: BTreeMap<TaskKey, Task>,
    /// All that ever were.
    pub(crate) actors: BTreeMap<ObjectKey, Actor>,
    last_job: JobId,
    pub(crate) leases: Vec<Lease>,
    pub(crate) storage: Storage,
    /// Who waits first for memory; since when something could be done for it, and since when
    /// idle leases would do.
    head: Option<(ProcessId, u32, Option<ObjectKey>, u64)>,
    neglect: (u64, u64),
    /// Idle leases would have done when it was last looked.
    idle_did: bool,
    /// Memory and slots that were asked for and not answered, in the order of arrival.
    pub(crate) asks: Vec<Ask>,
    /// The last generation of every slot that ever had an object.
    pub(crate) generations: BTreeMap<u32, u32>,
    /// Who may name objects in which block.
    pub(crate) lent: BTreeMap<u32, ProcessId>,
    /// Bytes of the pool that have memory behind them, and how far the core asked for it.
    pub(crate) backed: u64,
    pub(crate) backing: u64,
    expected: Vec<Expected>,
    kills: BTreeSet<ProcessId>,
    /// Told to be killed and not gone.
    killed: BTreeSet<ProcessId>,
    /// Workers that have to go for want of memory, and are not gone.
    condemned: BTreeSet<ProcessId>,
    pub(crate) oom: OomConfig,
    /// Actors' workers to be told to end.
    exits: BTreeSet<ProcessId>,
    /// Workers to be told that a task of theirs is not wanted any more.
    cancels: BTreeSet<(ProcessId, TaskKey)>,
    /// Whether finished tasks can be run again.
    pub(crate) lineage: bool,
    /// Jobs that begin with the program of another, and jobs that end, with this change.
    programs: Vec<(JobId, JobId)>,
    ended_jobs: BTreeSet<JobId>,
    /// Actors whose handles are all gone, to end with this change.
    unreferenced: Vec<ObjectKey>,
    /// Tasks that fail with this change.
    failing: Vec<(TaskKey, &'static str)>,
    /// Why they fail.
    causes: Codes,
    /// The machine refused memory with this change.
    refused: bool,
    /// A row went, so an object may have to go too.
    dropped: bool,
}

impl Model {
    pub(crate) fn new(
        now_ms: u64,
        capacity: u64,
        blocks: u32,
        total: Wants,
        fail_infeasible: bool,
        spill: SpillConfig,
        oom: OomConfig,
    ) -> Self {
        let agent = Process::new(1, JobId(0), Activity::Free);
        Self {
            now_ms,
            steps: 0,
            capacity,
            blocks,
            total,
            fail_infeasible,
            draining: false,
            fetching: BTreeSet::new(),
            unseen_first: false,
            processes: BTreeMap::from([(AGENT, agent)]),
            jobs: BTreeMap::new(),
            objects: BTreeMap::new(),
            rows: BTreeMap::new(),
            viewed: BTreeMap::new(),
            kept: BTreeMap::new(),
            looked_ms: now_ms,
            tasks: BTreeMap::new(),
            actors: BTreeMap::new(),
            last_job: JobId(0),
            leases: Vec::new(),
            head: None,
            neglect: (0, 0),
            idle_did: false,
            storage: Storage { config: spill, ..Storage::default() },
            asks: Vec::new(),
            generations: BTreeMap::new(),
            lent: BTreeMap::new(),
            backed: 0,
            backing: 0,
            expected: Vec::new(),
            kills: BTreeSet::new(),
            killed: BTreeSet::new(),
            condemned: BTreeSet::new(),
            oom,
            exits: BTreeSet::new(),
            cancels: BTreeSet::new(),
            lineage: true,
            programs: Vec::new(),
            ended_jobs: BTreeSet::new(),
            unreferenced: Vec::new(),
            failing: Vec::new(),
            causes: Codes::new(),
            refused: false,
            dropped: false,
        }
    }

    pub(crate) fn add(&mut self, key: ObjectKey, process: ProcessId, count: usize) {
        self.rows.entry((key, process)).or_default()[count] += 1;
    }

    /// False when there is no such count.
    pub(crate) fn take(&mut self, key: ObjectKey, process: ProcessId, count: usize) -> bool {
        let Some(counts) = self.rows.get_mut(&(key, process)).filter(|counts| counts[count] > 0) else { return false };
        counts[count] -= 1;
        if *counts == [0; 4] {
            self.rows.remove(&(key, process));
            self.kept.remove(&(key, process));
            self.dropped = true;
        }
        self.forget_views(key, process);
        true
    }

    /// The counts of an object over all its holders.
    pub(crate) fn counts(&self, key: ObjectKey) -> [u32; 4] {
        let rows = self.rows.range((key, AGENT)..=(key, ProcessId(u32::MAX)));
        rows.fold([0; 4], |sum, (row, _)| {
            let counts = self.shown(row);
            std::array::from_fn(|index| sum[index] + counts[index])
        })
    }

    /// The process, or the agent when it is gone.
    pub(crate) fn living(&self, process: ProcessId) -> ProcessId {
        if self.processes.contains_key(&process) { process } else { AGENT }
    }

    /// What running tasks and living actors have reserved.
    pub(crate) fn used(&self) -> Wants {
        self.processes.values().filter_map(|process| self.wants_of(process)).fold(Wants::default(), Wants::plus)
    }

    /// What a process has reserved.
    pub(crate) fn wants_of(&self, process: &Process) -> Option<Wants> {
        let wants = match process.activity {
            Activity::Busy(task) => self.tasks.get(&task)?.wants,
            Activity::Actor(actor) => self.actors.get(&actor)?.wants,
            _ => return None,
        };
        Some(if process.blocked { wants.without_cpus() } else { wants })
    }
}

impl Process {
    fn new(pid: u32, job: JobId, activity: Activity) -> Self {
        Self {
            pid,
            job,
            activity,
            done: 0,
            window: Window::default(),
            devices: Vec::new(),
            blocked: false,
            dismissed: false,
            staged: Vec::new(),
            submits: None,
            requests: BTreeMap::new(),
            last_task: 0,
            sites: Vec::new(),
        }
    }
}
