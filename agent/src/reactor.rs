//! The reactor: all truth of one node in one [`Core`], changed only by synchronous `on_*` functions. Time comes as an argument,
//! effects leave through [`Outbox`]; there are no sockets, clocks or threads here, so a simulator can drive everything.
//!
//! - [`objects`]: objects are put, held, resolved and freed.
//! - [`owed`]: answers that wait for room.
//! - [`containment`]: references inside objects.
//! - [`memory`]: leases are asked for, backed, granted, recalled.
//! - [`storage`]: what external storage is doing; [`spilling`]: objects go there; [`restoring`]: they come back; [`eviction`]: their
//!   copies leave memory; [`room`]: when each of it is due; [`places`]: what fails; [`compaction`]: files are written anew;
//!   [`thrash`]: objects that go to and fro.
//! - [`views`]: views that no message tells of.
//! - [`evacuation`]: what churn has left in memory is tidied up.
//! - [`tasks`]: tasks are submitted; [`attempts`]: run by workers; [`ends`]: ended.
//! - [`actors`]: actors are created, called, and end.
//! - [`retries`]: lost attempts are made good; [`cancel`]: what is not wanted ends; [`rebuilding`]: lost results are made again.
//! - [`dispatch`]: tasks begin; [`reservations`]: what they set aside; [`infeasible`]: what can never begin;
//!   [`arguments`]: what is kept in the store for them; [`reasons`]: what they wait for.
//! - [`workers`]: who runs tasks and calls.
//! - [`window`]: quick tasks are sent ahead, and taken back.
//! - [`stopped`]: processes stand still, and their work goes to others.
//! - [`processes`]: processes come, and go in any way.
//! - [`oom`]: memory runs out, and somebody has to go; [`learned`]: what each kind of task uses of it.
//! - [`post_mortem`]: what those held that ended as they should not have.
//! - [`tick`]: what time brings.
//! - [`drain`]: how work comes to an end.
//! - [`explain`]: why something waits, and who waits for each other.
//! - [`rows`], [`spill_rows`] and [`detail`]: what people see.
//! - [`largest`]: what recordings take of long tables.
//! - [`check`]: every invariant, by a walk over everything.

mod actors;
mod arguments;
mod attempts;
pub mod bystander;
mod cancel;
pub mod check;
mod compaction;
mod containment;
mod detail;
mod dispatch;
mod drain;
mod ends;
mod evacuation;
mod eviction;
mod explain;
mod follow;
mod generators;
mod infeasible;
mod largest;
mod learned;
mod living;
mod memory;
mod messages;
mod objects;
mod oom;
mod outbox;
mod owed;
mod places;
mod post_mortem;
mod process;
mod processes;
mod reasons;
mod rebuilding;
mod recorded;
mod refusals;
mod reservations;
mod restoring;
mod retries;
mod room;
mod rows;
mod spill_rows;
mod spilling;
mod stopped;
mod storage;
mod tasks;
mod thrash;
mod tick;
mod untold;
mod views;
mod window;
mod workers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use hashbrown::HashMap;
use plasmon_protocol::id::{JobId, NodeId, ObjectKey, ProcessId, TaskKey};
use plasmon_protocol::record::{EventKind, EventRow, Severity, TaskStatus};
use plasmon_protocol::resources::Resources;
use plasmon_protocol::stream::Target;

use crate::references::sites::Sites;
use crate::references::table::ReferenceTable;
use crate::scheduler::actors::Actors;
use crate::scheduler::learned::LearnedSizes;
use crate::scheduler::lineage::Lineage;
use crate::scheduler::names::Names;
use crate::scheduler::queue::ReadyQueue;
use crate::scheduler::resources::{Offer, Reserved};
use crate::scheduler::shape::Shapes;
use crate::scheduler::table::Tasks;
use crate::spill::policy::SpillConfig;
use crate::store::Store;
use crate::store::ledger::Class;
use crate::store::object::Objects;
use crate::store::slots::Slots;
use living::Living;

pub use memory::{CREATE_GRACE_MS, WRITE_GRACE_MS};
pub use oom::OomConfig;
pub use outbox::Outbox;
pub use post_mortem::{Departure, MAX_POST_MORTEM, POST_MORTEM_MS};
pub use process::{Activity, Job, Process, Root, Usage};

/// Events kept for viewers.
pub const MAX_EVENTS: usize = 1000;
/// Ended tasks kept for viewers.
pub const MAX_ENDED_TASKS: usize = 1000;
/// Bytes of inlined values that the agent's heap may hold; beyond it, results must go through the pool.
pub const MAX_INLINED: u64 = 256 << 20;

/// What the core is told at its start.
#[derive(Clone, Debug)]
pub struct CoreConfig {
    /// The node.
    pub node: NodeId,
    /// The node's address, for rows.
    pub node_ip: Arc<str>,
    /// The agent's process id.
    pub pid: u32,
    /// Bytes of the pool.
    pub capacity: u64,
    /// Slots of the slot table.
    pub slots: u32,
    /// What tasks and actors may reserve.
    pub resources: Resources,
    /// Whether a task that asks for more than the node has fails at once.
    pub fail_infeasible: bool,
    /// Bytes that may be kept of finished tasks, to run them again should their results be lost.
    pub lineage_limit: u64,
    /// Milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// External storage.
    pub spill: SpillConfig,
    /// The file that the node's last minutes are recorded in, for people; none when nothing is recorded.
    pub recording: Option<Arc<str>>,
    /// What happens when memory runs out.
    pub oom: OomConfig,
}

/// All truth of one node.
#[derive(Debug)]
pub struct Core {
    config: CoreConfig,
    now_ms: u64,
    store: Store,
    objects: Objects,
    slots: Slots,
    references: ReferenceTable,
    sites: Sites,
    processes: Living,
    /// What dead processes were called by the operating system, by their numbers; 0 for others.
    dead_pids: Vec<u32>,
    jobs: BTreeMap<JobId, Job>,
    tasks: Tasks,
    /// Ended tasks, oldest first.
    ended: VecDeque<TaskKey>,
    actors: Actors,
    /// Ended actors, oldest first.
    ended_actors: VecDeque<ObjectKey>,
    /// Live actors with names.
    actor_names: BTreeMap<Arc<str>, ObjectKey>,
    ready: ReadyQueue,
    jobs_begun: u32,
    /// The job whose turn was last.
    last_turn: JobId,
    /// Tasks that became ready.
    ordered: u64,
    /// Functions of tasks.
    names: Names,
    shapes: Shapes,
    resources: Reserved,
    infeasible: infeasible::Infeasible,
    /// When tasks are tried again, or have run for too long.
    timers: BTreeSet<(u64, TaskKey)>,
    /// Finished tasks that can be run again, should their results be lost.
    lineage: Lineage,
    arguments: arguments::Arguments,
    /// Creates without room, in the order of their arrival.
    creates: VecDeque<memory::Create>,
    /// Granted, but waiting for memory behind them.
    unbacked: Vec<memory::Create>,
    /// Bytes of the pool, from its begin, that have memory behind them.
    backed: u64,
    /// How far the shell was asked to go.
    backing: u64,
    /// The backing failed at some point; tried again on the next create.
    backing_failed: bool,
    spill: storage::Spill,
    tidying: evacuation::Tidying,
    /// Freed bytes that somebody may still read, with their lines, and when it is looked again.
    lingering: Vec<(storage::Held, Class)>,
    linger_ms: Option<u64>,
    views: views::Views,
    /// Processes that live, the agent included.
    living: u64,
    events: VecDeque<EventRow>,
    post_mortems: post_mortem::PostMortems,
    event_count: u64,
    counters: Counters,
    machine: Machine,
    deadlocks: explain::Deadlocks,
    /// Objects to free after the current change; empty between changes.
    doomed: Vec<ObjectKey>,
    /// Tasks to fail after the current change; empty between changes.
    failing: Vec<(TaskKey, plasmon_protocol::error::Error)>,
    /// The error that an object failed with last, and as it is encoded: of all that fail together it is kept once.
    last_error: Option<(plasmon_protocol::error::Error, Arc<[u8]>)>,
    /// Actors whose handles are all gone, to end after the current change; empty between changes.
    unreferenced: Vec<ObjectKey>,
    /// Actors that may take another call; empty between changes.
    serving: Vec<ObjectKey>,
    changes: u64,
    /// Jobs whose queue should be looked at.
    dispatch_wanted: bool,
    /// Processes told to go away, so that their end is no surprise.
    dismissed: BTreeSet<ProcessId>,
    /// Which work is taken.
    intake: drain::Intake,
    /// The process whose end is being worked off: still in the table, but nothing is held in its name any more.
    dying: Option<ProcessId>,
    /// What has just happened belongs into the recording at once, and the recording is to be kept.
    recording_wanted: bool,
    oom: oom::Monitor,
    learned: LearnedSizes,
    /// What generators failed with that are known no more, until their submitters ask.
    unheard: HashMap<TaskKey, plasmon_protocol::error::Error, foldhash::fast::FixedState>,
    /// Workers whose last tasks were quick, and some whose were so once.
    quick: Vec<ProcessId>,
    /// When it is looked next whether tasks wait behind others that take long, milliseconds since the Unix epoch.
    window_look_ms: Option<u64>,
}

/// Running sums.
#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    messages: u64,
    put_bytes: u64,
    put_objects: u64,
    finished: u64,
    failed: u64,
    pending: u64,
    running: u64,
    rows: u64,
    objects: u64,
    object_bytes: u64,
    inlined_bytes: u64,
    inlined_objects: u64,
}

/// What the shell last sampled of the machine.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// The machine's memory, or the control group's limit, bytes.
    pub total_bytes: u64,
    /// What is available of it, bytes.
    pub available_bytes: u64,
    /// The stream's address, empty when there is none.
    pub listen: Arc<str>,
    /// Viewers attached.
    pub viewers: u32,
}

/// A client did what the protocol forbids: it is dropped, with this as the reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation(pub String);

impl Core {
    /// A node without objects, processes or tasks.
    #[must_use]
    pub fn new(config: CoreConfig) -> Self {
        let agent = Process::agent(config.pid, config.now_ms);
        let offer = Offer::new(&config.resources);
        let mut core = Self {
            now_ms: config.now_ms,
            store: Store::new(config.capacity),
            objects: Objects::new(config.slots),
            slots: Slots::new(config.slots),
            references: ReferenceTable::new(config.slots),
            sites: Sites::default(),
            processes: Living::new(agent),
            dead_pids: Vec::new(),
            jobs: BTreeMap::new(),
            tasks: Tasks::default(),
            ended: VecDeque::new(),
            actors: Actors::default(),
            ended_actors: VecDeque::new(),
            actor_names: BTreeMap::new(),
            ready: ReadyQueue::default(),
            jobs_begun: 0,
            last_turn: JobId(0),
            ordered: 0,
            names: Names::default(),
            shapes: Shapes::new(&offer),
            resources: Reserved::new(offer),
            infeasible: infeasible::Infeasible::default(),
            timers: BTreeSet::new(),
            lineage: Lineage::new(config.lineage_limit),
            arguments: arguments::Arguments::default(),
            creates: VecDeque::new(),
            unbacked: Vec::new(),
            backed: 0,
            backing: 0,
            backing_failed: false,
            spill: storage::Spill::new(config.spill.clone()),
            tidying: evacuation::Tidying::default(),
            lingering: Vec::new(),
            linger_ms: None,
            views: views::Views::default(),
            living: 1,
            events: VecDeque::new(),
            post_mortems: post_mortem::PostMortems::default(),
            event_count: 0,
            counters: Counters::default(),
            machine: Machine::default(),
            deadlocks: explain::Deadlocks::default(),
            doomed: Vec::new(),
            failing: Vec::new(),
            last_error: None,
            unreferenced: Vec::new(),
            serving: Vec::new(),
            changes: 0,
            dispatch_wanted: false,
            dismissed: BTreeSet::new(),
            intake: drain::Intake::default(),
            dying: None,
            recording_wanted: false,
            oom: oom::Monitor::default(),
            learned: LearnedSizes::default(),
            unheard: HashMap::default(),
            quick: Vec::new(),
            window_look_ms: None,
            config,
        };
        core.event(EventKind::AgentStarted, Severity::Info, None, format!("agent {} ready", core.config.node.short()));
        core
    }

    /// The node's id.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.config.node
    }

    /// The file that the last minutes are recorded in. Errors that it helps to understand name it.
    #[must_use]
    pub fn recording(&self) -> Option<&Arc<str>> {
        self.config.recording.as_ref()
    }

    /// Writes what has just happened into the recording at once, and keeps the recording when the agent ends in order, too.
    pub fn keep_recording(&mut self) {
        self.recording_wanted = true;
    }

    /// Whether [`Core::keep_recording`] was called since the last time.
    pub fn take_recording_wanted(&mut self) -> bool {
        std::mem::take(&mut self.recording_wanted)
    }

    /// A process that lives.
    #[must_use]
    pub fn process(&self, process: ProcessId) -> Option<&Process> {
        self.processes.get(process)
    }

    fn process_mut(&mut self, process: ProcessId) -> Option<&mut Process> {
        self.processes.get_mut(process)
    }

    fn pid(&self, process: ProcessId) -> u32 {
        self.process(process).map_or(0, |process| process.pid)
    }

    /// The same, of one that may be dead by now.
    fn pid_ever(&self, process: ProcessId) -> u32 {
        self.process(process).map_or_else(|| self.dead_pids.get(process.0 as usize).copied().unwrap_or(0), |process| process.pid)
    }

    /// Tells what happened; of an event with a pid, that process can be opened.
    fn event(&mut self, kind: EventKind, severity: Severity, pid: Option<u32>, message: String) {
        let process = pid.and_then(|pid| self.processes.iter().rfind(|(_, known)| known.pid == pid));
        let opens = process.map(|(id, _)| Target::Process(id));
        self.event_about(kind, severity, pid, opens, message);
    }

    /// Tells what happened, and what can be opened for it.
    fn event_about(&mut self, kind: EventKind, severity: Severity, pid: Option<u32>, opens: Option<Target>, message: String) {
        self.event_count += 1;
        if self.events.len() == MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(EventRow { number: self.event_count, at_ms: self.now_ms, kind, severity, message, pid, opens });
        self.changes += 1;
    }

    /// Does what the last change left to do: frees objects that nobody holds, fails tasks, starts others. Every `on_*` function
    /// ends with it.
    fn settle(&mut self, out: &mut impl Outbox) {
        loop {
            if let Some(key) = self.doomed.pop() {
                self.free(key, out);
            } else if let Some((task, error)) = self.failing.pop() {
                self.fail_task(task, error, out);
            } else if let Some(actor) = self.unreferenced.pop() {
                self.end_unreferenced(actor, out);
            } else if let Some(trace) = self.lineage.next_unwanted() {
                self.end_trace(trace);
            } else if let Some(actor) = self.serving.pop() {
                self.serve_actor(actor, out);
            } else if self.dispatch_wanted {
                self.dispatch_wanted = false;
                self.serve_waiting_calls();
                self.dispatch(out);
            } else {
                break;
            }
        }
        self.let_go(out);
        // Freed objects may have given their leases back.
        self.serve_creates(out);
        self.manage_room(out);
        self.notice_slack();
        self.changes += 1;
    }

    fn status_changed(&mut self, from: Option<TaskStatus>, to: TaskStatus) {
        let line = |status: TaskStatus| match status {
            TaskStatus::PendingArgsAvail
            | TaskStatus::PendingNodeAssignment
            | TaskStatus::Infeasible
            | TaskStatus::PendingObjStoreMemAvail
            | TaskStatus::PendingArgsFetch => 0,
            TaskStatus::SubmittedToWorker | TaskStatus::Running => 1,
            TaskStatus::Finished => 2,
            TaskStatus::Failed => 3,
        };
        let counters = &mut self.counters;
        let lines = [&mut counters.pending, &mut counters.running, &mut counters.finished, &mut counters.failed];
        if let Some(from) = from {
            *lines[line(from)] -= 1;
        }
        *lines[line(to)] += 1;
    }
}
