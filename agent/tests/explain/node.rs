//! A node that the tests speak to as processes do.

mod deeds;

use std::collections::BTreeMap;

use plasmon_agent::reactor::bystander::Bystander;
use plasmon_agent::reactor::{Core, CoreConfig, Machine, OomConfig};
use plasmon_agent::spill::job::{Failure, Job, Report};
use plasmon_agent::spill::policy::SpillConfig;
use plasmon_agent::telemetry::tables::Tables;
use plasmon_protocol::explain::{Explanation, MAX_EDGES, MAX_NODES, Subject};
use plasmon_protocol::id::{NodeId, ObjectKey, ProcessId, TaskKey};
use plasmon_protocol::local::{Actor, Argument, CallRetries, Ending, Memory, RetryExceptions, SLOT_BLOCK, Task, ToAgent, ToClient, Value};
use plasmon_protocol::record::{EventKind, EventRow};
use plasmon_protocol::resources::{Amount, Demand, Resources};
use plasmon_protocol::stream::{Detail, Target};

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const NODE: NodeId = NodeId([7; 8]);

/// Remembers what the clients need to go on.
#[derive(Default)]
struct Outside {
    slots: u32,
    leases: Vec<(ProcessId, u32, u64)>,
    refused: Vec<ProcessId>,
    back: Option<u64>,
    started: Vec<ProcessId>,
    ran: Vec<(ProcessId, TaskKey)>,
    /// Leases of which nothing is left, and what external storage has to do.
    freed: Vec<(ProcessId, u32)>,
    jobs: Vec<Job>,
    /// What is read back is not what was written.
    corrupt: bool,
    killed: Vec<ProcessId>,
}

impl Bystander for Outside {
    fn send(&mut self, to: ProcessId, message: &ToClient<'_>) {
        match message {
            ToClient::Slots { first, .. } => self.slots = *first,
            ToClient::Leased { lease, offset, .. } => self.leases.push((to, *lease, *offset)),
            ToClient::Refused { .. } => self.refused.push(to),
            ToClient::Run { task, .. } => self.ran.push((to, *task)),
            _ => {}
        }
    }

    fn freed(&mut self, process: ProcessId, lease: u32) {
        self.freed.push((process, lease));
    }

    fn back(&mut self, end: u64) {
        self.back = Some(end);
    }

    fn start_worker(&mut self, process: ProcessId) {
        self.started.push(process);
    }

    fn io(&mut self, job: Job) {
        self.jobs.push(job);
    }

    fn kill(&mut self, process: ProcessId) {
        self.killed.push(process);
    }
}

/// A process with slots of its own.
#[derive(Clone, Copy)]
pub(crate) struct Client {
    pub(crate) process: ProcessId,
    next_slot: u32,
    next_task: u32,
    next_request: u32,
}

pub(crate) struct Node {
    pub(crate) core: Core,
    outside: Outside,
    now_ms: u64,
    begun: usize,
    /// What workers have counted their tasks and requests to: they run one task after the other.
    counted: BTreeMap<ProcessId, (u32, u32)>,
}

/// CPUs and memory.
pub(crate) fn demand(cpus: u32, memory: u64) -> Demand<'static> {
    Demand { cpus: Amount::whole(cpus), memory, ..Demand::default() }
}

impl Node {
    /// Two CPUs, 1 GiB of memory, one `gate`, a store of 64 MiB that spills nothing.
    pub(crate) fn new() -> Self {
        Self::offering(0)
    }

    /// The same with so many GPUs.
    pub(crate) fn offering(gpus: u32) -> Self {
        Self::with(gpus, SpillConfig::default())
    }

    /// The same with external storage. Each client has one object in each lease.
    pub(crate) fn spilling() -> Self {
        Self::with(0, SpillConfig { places: vec!["spill".into()], threshold_milli: 1000, limit: None, writers: 1 })
    }

    fn with(gpus: u32, spill: SpillConfig) -> Self {
        let resources = Resources {
            cpus: Amount::whole(2),
            gpus: Amount::whole(gpus),
            memory_bytes: 1024 * MIB,
            custom: [("gate".into(), Amount::ONE)].into(),
        };
        let config = CoreConfig {
            node: NODE,
            node_ip: "127.0.0.1".into(),
            pid: 1,
            capacity: 64 * MIB,
            slots: 64 * SLOT_BLOCK,
            resources,
            fail_infeasible: false,
            now_ms: 1_000,
            spill,
            lineage_limit: MIB,
            recording: None,
            oom: OomConfig::default(),
        };
        Self { core: Core::new(config), outside: Outside::default(), now_ms: 1_000, begun: 0, counted: BTreeMap::new() }
    }

    pub(crate) fn driver(&mut self, pid: u32) -> Client {
        let process = self.core.on_driver_connected(pid, "sorter").0;
        self.equip(process)
    }

    fn equip(&mut self, process: ProcessId) -> Client {
        self.says(process, ToAgent::Slots { request: 1 });
        let (next_task, next_request) = self.counted.get(&process).copied().unwrap_or((1, 2));
        Client { process, next_slot: self.outside.slots, next_task, next_request }
    }

    fn says(&mut self, from: ProcessId, message: ToAgent<'_>) {
        self.core.on_messages(from, [Ok(message)], &mut self.outside).unwrap();
        self.serves();
    }

    /// The pool is backed, and external storage does what it is told; empty leases go back.
    fn serves(&mut self) {
        loop {
            if let Some(end) = self.outside.back.take() {
                self.core.on_backed(end, &mut self.outside);
            } else if let Some(job) = self.outside.jobs.pop() {
                let report = match job {
                    Job::Write(write) => Report::Written { file: write.file, result: Ok(()), took_ms: 1 },
                    Job::Read(read) => {
                        let result = || if self.outside.corrupt { Err(Failure::Corrupt("what?".to_owned())) } else { Ok(()) };
                        Report::Read { number: read.number, results: read.items.iter().map(|_| result()).collect(), took_ms: 1 }
                    }
                    Job::Compact(compact) => Report::Compacted { file: compact.file, result: Ok(Vec::new()), took_ms: 1 },
                    Job::Delete { file, .. } => Report::Deleted { file, result: Ok(()) },
                };
                self.core.on_io(report, &mut self.outside);
            } else if let Some((process, lease)) = self.outside.freed.pop() {
                self.core.on_messages(process, [Ok(ToAgent::Return { lease })], &mut self.outside).unwrap();
            } else {
                return;
            }
        }
    }

    fn key(client: &mut Client) -> ObjectKey {
        client.next_slot += 1;
        ObjectKey { slot: client.next_slot - 1, generation: 1 }
    }

    pub(crate) fn submit(&mut self, client: &mut Client, function: &str, demand: Demand<'_>, needs: &[ObjectKey]) -> (TaskKey, ObjectKey) {
        self.submit_to_retry(client, function, demand, needs, 0)
    }

    /// A task that may be tried again so often.
    pub(crate) fn submit_to_retry(
        &mut self,
        client: &mut Client,
        function: &str,
        demand: Demand<'_>,
        needs: &[ObjectKey],
        max_retries: u32,
    ) -> (TaskKey, ObjectKey) {
        let (number, result) = (client.next_task, Self::key(client));
        client.next_task += 1;
        let arguments = needs.iter().map(|key| Argument::Object(*key)).collect();
        let options = Task { demand, max_retries, retry_exceptions: RetryExceptions::Never, timeout_ms: 0 };
        self.says(client.process, ToAgent::Submit { number, function, arguments, returns: vec![result], options, site: 0 });
        (TaskKey { process: client.process, number }, result)
    }

    pub(crate) fn actor(&mut self, client: &mut Client, class: &str, name: &str, held: Demand<'_>) -> ObjectKey {
        let (number, actor) = (client.next_task, Self::key(client));
        client.next_task += 1;
        let options = Actor { name, detached: false, max_concurrency: 1, placed: held.clone(), held, max_restarts: 0, max_task_retries: 0 };
        let function = format!("{class}::new");
        let arguments = Vec::new();
        self.says(client.process, ToAgent::CreateActor { number, request: 0, actor, function: &function, arguments, options, site: 0 });
        actor
    }

    pub(crate) fn call(&mut self, client: &mut Client, actor: ObjectKey, function: &str) -> (TaskKey, ObjectKey) {
        let (number, result) = (client.next_task, Self::key(client));
        client.next_task += 1;
        let message = ToAgent::Call {
            number,
            actor,
            function,
            arguments: Vec::new(),
            returns: vec![result],
            retries: CallRetries::default(),
            site: 0,
        };
        self.says(client.process, message);
        (TaskKey { process: client.process, number }, result)
    }

    /// Workers that were asked for come, each with the next process id.
    pub(crate) fn connect(&mut self, pid: u32) {
        let mut pid = pid;
        while !self.outside.started.is_empty() {
            for worker in std::mem::take(&mut self.outside.started) {
                assert!(self.core.on_worker_connected(worker, pid, &mut self.outside));
                pid += 1;
            }
        }
    }

    /// The next task that was sent to a worker and not begun.
    pub(crate) fn sent(&mut self) -> Option<TaskKey> {
        let (_, task) = self.outside.ran.get(self.begun).copied()?;
        self.begun += 1;
        Some(task)
    }

    /// The worker that was sent that task begins it.
    pub(crate) fn begins(&mut self, task: TaskKey) -> Client {
        let (worker, _) = *self.outside.ran.iter().rev().find(|(_, ran)| *ran == task).unwrap();
        self.says(worker, ToAgent::Started { task });
        self.equip(worker)
    }

    pub(crate) fn ends(&mut self, client: &Client, task: TaskKey) {
        self.counted.insert(client.process, (client.next_task, client.next_request));
        self.says(client.process, ToAgent::Output { task, value: Value::Inline(&[1]) });
        self.says(client.process, ToAgent::Ended { task, ending: Ending::Finished });
    }

    /// The constructor of an actor runs to its end.
    pub(crate) fn lives(&mut self, constructor: TaskKey) -> Client {
        let client = self.begins(constructor);
        self.says(client.process, ToAgent::Ended { task: constructor, ending: Ending::Finished });
        client
    }

    /// Asks for a value and blocks, if it is a worker.
    pub(crate) fn gets(&mut self, client: &mut Client, key: ObjectKey) {
        self.says(client.process, ToAgent::AddLocal { key, site: 0 });
        self.says(client.process, ToAgent::Get { request: client.next_request, key, site: 0 });
        client.next_request += 1;
    }

    pub(crate) fn hears_of(&mut self, client: &mut Client, key: ObjectKey) {
        self.says(client.process, ToAgent::Wait { request: client.next_request, key });
        client.next_request += 1;
    }

    pub(crate) fn blocks(&mut self, client: &Client) {
        self.says(client.process, ToAgent::Blocked);
    }

    /// An object of its own of so many bytes, looked at by whoever put it.
    pub(crate) fn puts_and_pins(&mut self, client: &mut Client, bytes: u64) -> ObjectKey {
        let key = self.puts(client, bytes);
        self.says(client.process, ToAgent::AddPin { key, site: 0 });
        key
    }

    /// The same, and nobody looks at it.
    pub(crate) fn puts(&mut self, client: &mut Client, bytes: u64) -> ObjectKey {
        assert!(self.wants_room(client, bytes), "there is room");
        let (_, lease, offset) = *self.outside.leases.last().unwrap();
        let key = Self::key(client);
        self.says(client.process, ToAgent::Put { key, memory: Memory { lease, offset, length: bytes }, site: 0, hidden: false });
        key
    }

    /// Whether it got it at once.
    pub(crate) fn wants_room(&mut self, client: &mut Client, bytes: u64) -> bool {
        let granted = self.outside.leases.len();
        self.says(client.process, ToAgent::Lease { request: client.next_request, bytes, chunk: false, site: 0 });
        client.next_request += 1;
        self.outside.leases.len() > granted
    }

    pub(crate) fn passes(&mut self, ms: u64) {
        self.now_ms += ms;
        self.core.set_now(self.now_ms);
    }

    /// The beat on which the machine is sampled.
    pub(crate) fn samples(&mut self) {
        self.core.on_sample(Machine::default(), []);
    }

    pub(crate) fn deadlocks(&self) -> Vec<EventRow> {
        self.events(EventKind::Deadlock)
    }

    pub(crate) fn events(&self, kind: EventKind) -> Vec<EventRow> {
        let mut events = Tables::events(&self.core);
        events.retain(|event| event.kind == kind);
        events
    }

    /// What is told, after a look at what must hold of every explanation.
    pub(crate) fn explain(&self, subject: Subject) -> Option<Explanation> {
        let target = Target::Explain(subject);
        let Some(Detail::Explain(explanation)) = self.core.detail(target.clone()) else {
            assert_eq!(self.core.detail(target), None);
            return None;
        };
        assert_eq!(self.core.detail(target), Some(Detail::Explain(explanation.clone())), "it is the same twice");
        assert!(explanation.nodes.len() <= MAX_NODES && explanation.edges.len() <= MAX_EDGES);
        for edge in &explanation.edges {
            assert!(explanation.node(&edge.from).is_some() && explanation.node(&edge.to).is_some(), "{edge:?}");
        }
        for cycle in &explanation.cycles {
            assert!(cycle.nodes.iter().all(|node| explanation.node(node).is_some()), "{cycle:?}");
        }
        assert_eq!(explanation.text(self.now_ms).is_empty(), explanation.answers.is_empty());
        Some(explanation)
    }

    pub(crate) fn text(&self, subject: Subject) -> String {
        self.explain(subject).map_or_else(String::new, |explanation| explanation.text(self.now_ms))
    }

    pub(crate) fn task(&self, task: TaskKey) -> String {
        self.text(Subject::Task(task.on(NODE)))
    }

    pub(crate) fn cycles(&self, task: TaskKey) -> Vec<String> {
        let explanation = self.explain(Subject::Task(task.on(NODE))).unwrap();
        explanation.cycles.into_iter().map(|cycle| cycle.sentence).collect()
    }
}
