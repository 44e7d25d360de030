use plasmon_protocol::column::Table;
use plasmon_protocol::id::{NodeId, ObjectKey, TaskKey};
use plasmon_protocol::local::{ALIGNMENT, Memory, Task, ToAgent, ToClient};
use plasmon_protocol::record::{ReferenceType, SiteKind};
use plasmon_protocol::resources::{Amount, Demand, Resources};
use plasmon_protocol::stream::{Detail, MAX_DETAIL, Target};

use super::*;
use crate::reactor::bystander::Bystander;
use crate::reactor::{CoreConfig, OomConfig, Usage, Violation};
use crate::spill::job::Job;
use crate::spill::policy::SpillConfig;
use crate::telemetry::tables::Tables;

/// Remembers what the clients need to go on.
#[derive(Default)]
struct Told {
    slots: u32,
    lease: (u32, u64),
    back: Option<u64>,
    started: Vec<ProcessId>,
    killed: Vec<ProcessId>,
}

impl Bystander for Told {
    fn send(&mut self, _: ProcessId, message: &ToClient<'_>) {
        match message {
            ToClient::Slots { first, .. } => self.slots = *first,
            ToClient::Leased { lease, offset, .. } => self.lease = (*lease, *offset),
            _ => {}
        }
    }

    fn back(&mut self, end: u64) {
        self.back = Some(end);
    }

    fn start_worker(&mut self, process: ProcessId) {
        self.started.push(process);
    }

    fn io(&mut self, job: Job) {
        panic!("nothing is spilled here: {job:?}");
    }

    fn kill(&mut self, process: ProcessId) {
        self.killed.push(process);
    }
}

struct Node {
    core: Core,
    told: Told,
}

const SITE: u32 = 1;

impl Node {
    fn new() -> Self {
        let config = CoreConfig {
            node: NodeId([7; 8]),
            node_ip: "127.0.0.1".into(),
            pid: 1,
            capacity: 64 << 20,
            slots: 1 << 16,
            resources: Resources { cpus: Amount::whole(2), ..Resources::default() },
            fail_infeasible: true,
            lineage_limit: 64 << 20,
            now_ms: 1_000,
            spill: SpillConfig::default(),
            recording: None,
            oom: OomConfig::default(),
        };
        Self { core: Core::new(config), told: Told::default() }
    }

    fn say(&mut self, from: ProcessId, messages: Vec<ToAgent<'_>>) {
        self.core.on_messages(from, messages.into_iter().map(Ok), &mut self.told).unwrap();
    }

    /// A driver with its first call site, slots and a lease.
    fn driver(&mut self, pid: u32) -> ProcessId {
        let (driver, _) = self.core.on_driver_connected(pid, "sorter");
        self.equip(driver);
        driver
    }

    fn equip(&mut self, process: ProcessId) {
        let site =
            ToAgent::Site { site: SITE, kind: SiteKind::PutObject, file: "src/main.rs", line: 7, function: "sorter::main", caller: 0 };
        self.say(process, vec![site, ToAgent::Slots { request: 1 }, ToAgent::Lease { request: 2, bytes: 64, chunk: true, site: SITE }]);
        if let Some(end) = self.told.back.take() {
            self.core.on_backed(end, &mut self.told);
        }
    }

    /// Objects of 64, 128, 192 ... bytes; from the 41st on, of 64 again: one lease has room for some hundred.
    fn put(&mut self, process: ProcessId, count: u32) -> Vec<ObjectKey> {
        let (first, (lease, mut offset)) = (self.told.slots, self.told.lease);
        let keys: Vec<ObjectKey> = (0..count).map(|index| ObjectKey { slot: first + index, generation: 1 }).collect();
        for (index, key) in keys.iter().enumerate() {
            let length = (index as u64 % 40 + 1) * ALIGNMENT;
            let memory = Memory { lease, offset, length };
            self.say(process, vec![ToAgent::Put { key: *key, memory, site: SITE, hidden: false }]);
            offset += length;
        }
        keys
    }

    /// A worker that runs a task of that driver's, and holds a handle to and a view into `object`.
    fn worker(&mut self, driver: ProcessId, pid: u32, object: ObjectKey) -> ProcessId {
        let submit = ToAgent::Submit {
            number: 1,
            function: "sorter::merge",
            arguments: Vec::new(),
            returns: Vec::new(),
            options: Task { demand: Demand::of_cpus(Amount::ONE), ..Task::default() },
            site: SITE,
        };
        self.say(driver, vec![submit]);
        let worker = self.told.started.pop().unwrap();
        assert!(self.core.on_worker_connected(worker, pid, &mut self.told));
        self.say(worker, vec![ToAgent::Started { task: TaskKey { process: driver, number: 1 } }]);
        let site = ToAgent::Site {
            site: SITE,
            kind: SiteKind::DeserializeTaskArg,
            file: "src/main.rs",
            line: 9,
            function: "sorter::merge",
            caller: 0,
        };
        self.say(worker, vec![site, ToAgent::AddLocal { key: object, site: SITE }, ToAgent::AddPin { key: object, site: SITE }]);
        worker
    }

    fn lose(&mut self, process: ProcessId, departure: Departure) {
        self.core.on_process_lost(process, departure, &mut self.told);
        assert_eq!(self.core.check(), Ok(()));
    }

    fn entry(&self, process: ProcessId) -> Option<PostMortem> {
        match self.core.detail(Target::Process(process)) {
            Some(Detail::PostMortem(entry)) => Some(entry),
            _ => None,
        }
    }
}

fn killed() -> Departure {
    Departure { signal: Some(9), ..Departure::from("signal 9 SIGKILL") }
}

#[test]
fn what_a_killed_worker_held_is_listed_and_no_longer_held() {
    let mut node = Node::new();
    let driver = node.driver(10);
    let keys = node.put(driver, 3);
    let worker = node.worker(driver, 11, keys[2]);
    let usage = Usage { rss_bytes: 9_000, shared_bytes: 4_000, cpu_percent: 1.0 };
    node.core.on_sample(Default::default(), [(worker, usage)]);
    node.core.set_now(5_000);
    let rows = node.core.totals().references;
    node.lose(worker, killed());
    assert_eq!(node.core.totals().references, rows - 1);
    assert!(node.core.references().iter().all(|row| row.pid != 11));
    let PostMortem { process, references, .. } = node.entry(worker).unwrap();
    assert_eq!(node.core.post_mortem(), std::slice::from_ref(&process));
    assert_eq!((process.pid, process.process_type, process.signal, process.exit_code), (11, ProcessType::Worker, Some(9), None));
    assert_eq!((&*process.how, process.task.as_deref(), &*process.name), ("signal 9 SIGKILL", Some("sorter::merge"), "sorter"));
    assert_eq!((process.references, process.held_bytes, process.heap_bytes), (1, 3 * ALIGNMENT, 5_000));
    assert_eq!((process.since_ms, process.died_ms), (1_000, 5_000));
    let [row] = &references[..] else { panic!("{references:?}") };
    assert_eq!((row.object_id.key(), row.pid, row.local, row.pinned), (keys[2], 11, 1, 1));
    assert_eq!(row.reference_type, ReferenceType::PinnedInMemory);
    assert_eq!((&*row.call_site.function, row.call_site.line, row.created_site.line), ("sorter::merge", 9, 7));
    assert!(node.entry(driver).is_none(), "it lives");
}

#[test]
fn a_minute_later_by_the_cores_clock_it_is_gone() {
    let mut node = Node::new();
    let (one, other) = (node.driver(10), node.driver(11));
    node.lose(one, "disconnected".into());
    node.core.set_now(2_000);
    node.lose(other, "disconnected".into());
    assert_eq!(&*node.entry(one).unwrap().process.how, "ended without shutdown");
    assert_eq!(node.core.next_deadline(), Some(1_000 + POST_MORTEM_MS));
    let seen = node.core.version(Table::PostMortem);
    node.core.on_tick(999 + POST_MORTEM_MS, &mut node.told);
    assert_eq!((node.core.post_mortem().len(), node.core.version(Table::PostMortem)), (2, seen));
    node.core.on_tick(1_000 + POST_MORTEM_MS, &mut node.told);
    assert!(node.entry(one).is_none());
    assert!(node.core.version(Table::PostMortem) > seen, "viewers must look again");
    assert_eq!(node.core.next_deadline(), Some(2_000 + POST_MORTEM_MS));
    node.core.on_tick(2_000 + POST_MORTEM_MS, &mut node.told);
    assert_eq!((node.core.post_mortem(), node.core.next_deadline()), (Vec::new(), None));
}

#[test]
fn whoever_goes_as_it_should_is_no_case() {
    let mut node = Node::new();
    let driver = node.driver(10);
    let keys = node.put(driver, 1);
    let worker = node.worker(driver, 11, keys[0]);
    node.say(driver, vec![ToAgent::Bye]);
    node.lose(driver, "ended".into());
    // Its worker was told to go with it.
    assert_eq!(node.told.killed, [worker]);
    node.lose(worker, killed());
    assert_eq!(node.core.post_mortem(), []);
    let other = node.driver(12);
    let submit = ToAgent::Submit {
        number: 1,
        function: "sorter::merge",
        arguments: Vec::new(),
        returns: Vec::new(),
        options: Task { demand: Demand::of_cpus(Amount::ONE), ..Task::default() },
        site: SITE,
    };
    node.say(other, vec![submit]);
    let never = node.told.started.pop().unwrap();
    node.lose(never, "before it was ready: exit code 1".into());
    assert_eq!(node.core.post_mortem(), [], "it never came");
}

#[test]
fn a_violation_says_more_than_the_signal_that_followed() {
    let mut node = Node::new();
    let driver = node.driver(10);
    node.core.on_violation(driver, &Violation("a put into a slot that is not its own".to_owned()), &mut node.told);
    node.core.on_violation(driver, &Violation("something later".to_owned()), &mut node.told);
    node.lose(driver, killed());
    let process = node.entry(driver).unwrap().process;
    assert_eq!((&*process.how, process.signal), ("dropped: a put into a slot that is not its own", Some(9)));
}

#[test]
fn lists_are_bounded_and_counts_are_exact() {
    let mut node = Node::new();
    let driver = node.driver(10);
    let count = 120;
    node.put(driver, count);
    node.lose(driver, killed());
    let PostMortem { process, references, .. } = node.entry(driver).unwrap();
    assert_eq!((process.references, references.len()), (u64::from(count), MAX_DETAIL));
    assert_eq!(process.held_bytes, 3 * (1..=40).sum::<u64>() * ALIGNMENT);
    let sizes: Vec<_> = references.iter().map(|row| row.size_bytes.unwrap() / ALIGNMENT).collect();
    assert!(sizes.is_sorted_by(|a, b| a >= b));
    // The twenty that are left out are the smallest: three of each size from 1 to 6, and two of size 7.
    assert_eq!((sizes[0], sizes[MAX_DETAIL - 1], sizes[MAX_DETAIL - 2]), (40, 7, 8));
    for pid in 0..MAX_POST_MORTEM as u32 {
        let (next, _) = node.core.on_driver_connected(100 + pid, "x");
        node.lose(next, killed());
    }
    let rows = node.core.post_mortem();
    assert_eq!((rows.len(), rows[0].pid), (MAX_POST_MORTEM, 100), "the oldest went first");
    assert!(node.entry(driver).is_none());
}
