//! What must be true after the messages that were delivered so far, kept in the plainest way: maps of counts, searched whole.
//! Nothing is summed up ahead, nothing is indexed twice; what the scheduler is free to choose (who runs which task, who gets
//! which range) is not predicted but watched and judged.
//!
//! - [`messages`]: what a message changes, and which messages are forbidden.
//! - [`processes`]: who comes and goes.
//! - [`effects`]: whether what the core wanted done may be done.
//! - [`memory`]: leases and the ledger.
//! - [`compare`]: model and core side by side.

mod compare;
mod effects;
mod memory;
mod messages;
mod processes;

use std::collections::{BTreeMap, BTreeSet};

use plasmon_protocol::id::{JobId, ObjectKey, ProcessId, TaskKey};
use plasmon_protocol::record::{ObjectState, TaskStatus};

pub(crate) use memory::{Ask, Lease};

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
    Leaving,
}

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) job: JobId,
    pub(crate) activity: Activity,
    /// Its task waits and gave its CPU back.
    pub(crate) blocked: bool,
    /// Its end will be no surprise.
    pub(crate) dismissed: bool,
    pub(crate) staged: Vec<ObjectKey>,
    pub(crate) requests: BTreeMap<u32, ObjectKey>,
    pub(crate) last_task: u32,
    pub(crate) sites: u32,
}

#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) state: ObjectState,
    pub(crate) creator: ProcessId,
    pub(crate) hidden: bool,
    /// Bytes from the pool's begin, when it is in memory.
    pub(crate) offset: u64,
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

#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) job: JobId,
    pub(crate) function: String,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) returns: Vec<ObjectKey>,
    pub(crate) holds: BTreeSet<ObjectKey>,
    pub(crate) holder: ProcessId,
    pub(crate) milli: u32,
    pub(crate) retries: u32,
    pub(crate) attempt: u32,
    pub(crate) status: TaskStatus,
    pub(crate) worker: Option<ProcessId>,
    pub(crate) worker_pid: Option<u32>,
    pub(crate) outputs: usize,
    pub(crate) blocked: bool,
}

impl Task {
    pub(crate) fn is_pending(&self) -> bool {
        !matches!(self.status, TaskStatus::Finished | TaskStatus::Failed)
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
    InMemory,
    Inline(Vec<u8>),
    Failed(Codes),
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
    pub(crate) capacity: u64,
    /// Blocks of the slot table.
    pub(crate) blocks: u32,
    pub(crate) milli_cpus: u64,
    pub(crate) processes: BTreeMap<ProcessId, Process>,
    /// Starts that failed in a row, by living job.
    pub(crate) jobs: BTreeMap<JobId, u32>,
    pub(crate) objects: BTreeMap<ObjectKey, Object>,
    pub(crate) rows: BTreeMap<(ObjectKey, ProcessId), [u32; 4]>,
    pub(crate) tasks: BTreeMap<TaskKey, Task>,
    pub(crate) leases: Vec<Lease>,
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
    pub(crate) fn new(now_ms: u64, capacity: u64, blocks: u32, milli_cpus: u64) -> Self {
        let agent = Process::new(1, JobId(0), Activity::Free);
        Self {
            now_ms,
            capacity,
            blocks,
            milli_cpus,
            processes: BTreeMap::from([(AGENT, agent)]),
            jobs: BTreeMap::new(),
            objects: BTreeMap::new(),
            rows: BTreeMap::new(),
            tasks: BTreeMap::new(),
            leases: Vec::new(),
            asks: Vec::new(),
            generations: BTreeMap::new(),
            lent: BTreeMap::new(),
            backed: 0,
            backing: 0,
            expected: Vec::new(),
            kills: BTreeSet::new(),
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
            self.dropped = true;
        }
        true
    }

    /// The counts of an object over all its holders.
    pub(crate) fn counts(&self, key: ObjectKey) -> [u32; 4] {
        let rows = self.rows.range((key, AGENT)..=(key, ProcessId(u32::MAX)));
        rows.fold([0; 4], |sum, (_, counts)| std::array::from_fn(|index| sum[index] + counts[index]))
    }

    /// The process, or the agent when it is gone.
    pub(crate) fn living(&self, process: ProcessId) -> ProcessId {
        if self.processes.contains_key(&process) { process } else { AGENT }
    }

    /// Nothing is kept that nobody holds.
    fn free_unheld(&mut self) {
        while std::mem::take(&mut self.dropped) {
            let unheld: Vec<ObjectKey> = self.objects.keys().copied().filter(|key| self.counts(*key) == [0; 4]).collect();
            for key in unheld {
                self.free(key);
            }
        }
    }

    fn free(&mut self, key: ObjectKey) {
        let Some(object) = self.objects.remove(&key) else { return };
        let captor = self.living(object.captor);
        for inner in object.contains {
            assert!(self.take(inner, captor, CAPTURED), "the model lost a captured count");
        }
        self.leave_leases(key);
        // While tasks fail, the one that makes it may fail before or after its last holder lets go.
        let mut codes = self.causes.clone();
        codes.insert("object_lost");
        for (process, request, wants_value) in object.waiters {
            self.expect(process, request, wants_value, Answer::Failed(codes.clone()));
        }
    }

    fn expect(&mut self, process: ProcessId, request: u32, wants_value: bool, answer: Answer) {
        if let Some(asker) = self.processes.get_mut(&process) {
            asker.requests.remove(&request);
            self.expected.push(Expected { process, request, wants_value, answer });
        }
    }

    /// An object has its value, or never will: all that wait for it are told.
    fn answer_waiters(&mut self, key: ObjectKey) {
        let Some(object) = self.objects.get_mut(&key) else { return };
        for (process, request, wants_value) in std::mem::take(&mut object.waiters) {
            let mut answer = self.answer(key);
            if let Answer::Failed(codes) = &mut answer
                && self.rows.get(&(key, process)).is_none_or(|counts| counts[LOCAL] + counts[PINNED] == 0)
            {
                // It let go of the object itself: when all that held it ends at once, either may come first.
                codes.insert("object_lost");
            }
            self.expect(process, request, wants_value, answer);
        }
    }

    fn answer(&self, key: ObjectKey) -> Answer {
        let object = &self.objects[&key];
        match object.state {
            ObjectState::Inlined => Answer::Inline(object.value.clone()),
            ObjectState::Failed => Answer::Failed(object.codes.clone()),
            ObjectState::InMemory | ObjectState::Pending | ObjectState::Actor => Answer::InMemory,
        }
    }

    /// A task has ended in any way: what it held is free of it.
    fn end(&mut self, key: TaskKey, status: TaskStatus) {
        let Some(task) = self.tasks.get_mut(&key) else { return };
        task.status = status;
        let (holder, holds) = (task.holder, std::mem::take(&mut task.holds));
        for object in holds {
            assert!(self.take(object, holder, SUBMITTED), "the model lost a submitted count");
        }
    }

    /// A task has ended with an error, which is the value of all its results.
    fn fail(&mut self, key: TaskKey, codes: &Codes) {
        let Some(task) = self.tasks.get(&key).filter(|task| task.is_pending()) else { return };
        let returns = task.returns.clone();
        self.end(key, TaskStatus::Failed);
        for result in returns {
            self.fail_object(result, codes);
        }
    }

    fn fail_object(&mut self, key: ObjectKey, codes: &Codes) {
        if let Some(object) = self.objects.get_mut(&key).filter(|object| object.state == ObjectState::Pending) {
            object.state = ObjectState::Failed;
            object.codes.clone_from(codes);
            self.answer_waiters(key);
        }
    }

    /// What follows from the last change: frees, failures, and failures of those that needed what failed.
    fn settle(&mut self) {
        self.causes = self.failing.iter().map(|(_, code)| *code).collect();
        let mut first = true;
        loop {
            self.free_unheld();
            let mut failing: BTreeMap<TaskKey, Codes> = BTreeMap::new();
            for (key, code) in &self.failing {
                failing.entry(*key).or_default().insert(code);
            }
            for (key, task) in self.tasks.iter().filter(|(_, task)| task.status == TaskStatus::PendingArgsAvail) {
                if u64::from(task.milli) > self.milli_cpus {
                    failing.entry(*key).or_default().insert("infeasible");
                    continue;
                }
                for object in
                    task.needs().iter().filter_map(|need| self.objects.get(need)).filter(|object| object.state == ObjectState::Failed)
                {
                    failing.entry(*key).or_default().extend(object.codes.iter());
                }
            }
            failing.retain(|key, _| self.tasks[key].is_pending());
            if failing.is_empty() {
                break;
            }
            // Of several causes at once, any may come first to a task further down.
            if std::mem::take(&mut first) {
                self.causes = failing.values().flatten().copied().collect();
            } else {
                failing.values_mut().for_each(|codes| codes.extend(&self.causes));
            }
            for (key, codes) in failing {
                self.fail(key, &codes);
            }
        }
        self.failing.clear();
        self.causes.clear();
        let ready: Vec<TaskKey> = self
            .tasks
            .iter()
            .filter(|(_, task)| task.status == TaskStatus::PendingArgsAvail && self.waits_for(task) == 0)
            .map(|(key, _)| *key)
            .collect();
        for key in ready {
            if let Some(task) = self.tasks.get_mut(&key) {
                task.status = TaskStatus::PendingNodeAssignment;
            }
        }
    }

    /// How many of a task's arguments have no value yet.
    fn waits_for(&self, task: &Task) -> usize {
        let needs = task.needs();
        needs.iter().filter(|need| self.objects.get(need).is_none_or(|object| object.state == ObjectState::Pending)).count()
    }

    /// Thousandths of a CPU that running tasks have reserved.
    pub(crate) fn used_cpus(&self) -> u64 {
        let busy = self.processes.values().filter(|process| !process.blocked).filter_map(|process| match process.activity {
            Activity::Busy(task) => self.tasks.get(&task).map(|task| u64::from(task.milli)),
            _ => None,
        });
        busy.sum()
    }
}

impl Process {
    fn new(pid: u32, job: JobId, activity: Activity) -> Self {
        Self { pid, job, activity, blocked: false, dismissed: false, staged: Vec::new(), requests: BTreeMap::new(), last_task: 0, sites: 0 }
    }
}
