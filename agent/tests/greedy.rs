//! Clients that ask for more than anybody needs: what they cost the agent is bounded, in memory and in work, and others are served.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use plasmon_agent::reactor::bystander::Bystander;
use plasmon_agent::reactor::{Core, CoreConfig, OomConfig, Violation};
use plasmon_agent::spill::job::Job;
use plasmon_agent::spill::policy::SpillConfig;
use plasmon_protocol::id::{NodeId, ObjectKey, ProcessId};
use plasmon_protocol::local::{Argument, Memory, SLOT_BLOCK, Task, ToAgent, ToClient, encode};
use plasmon_protocol::record::SiteKind;
use plasmon_protocol::resources::{Amount, Demand, Resources};

const CAPACITY: u64 = 64 << 20;

/// Counts what is said.
#[derive(Default)]
struct Outside {
    answers: Vec<ProcessId>,
    longest: usize,
    backed: Option<u64>,
}

impl Bystander for Outside {
    fn send(&mut self, to: ProcessId, message: &ToClient<'_>) {
        self.answers.push(to);
        self.longest = self.longest.max(encode(message).unwrap().len());
    }

    fn back(&mut self, end: u64) {
        self.backed = Some(end);
    }

    fn io(&mut self, job: Job) {
        panic!("nothing is spilled here: {job:?}");
    }
}

struct Node {
    core: Core,
    outside: Outside,
    /// Blocks of slots that were lent.
    blocks: u32,
}

impl Node {
    fn new() -> Self {
        let config = CoreConfig {
            node: NodeId([7; 8]),
            node_ip: "127.0.0.1".into(),
            pid: 1,
            capacity: CAPACITY,
            slots: 64 * SLOT_BLOCK,
            resources: Resources { cpus: Amount::whole(1), ..Resources::default() },
            fail_infeasible: true,
            lineage_limit: 64 << 20,
            now_ms: 0,
            spill: SpillConfig::default(),
            recording: None,
            oom: OomConfig::default(),
        };
        Self { core: Core::new(config), outside: Outside::default(), blocks: 0 }
    }

    /// A driver with a block of slots and one object without a value, which a task that never runs would make.
    fn driver(&mut self) -> (ProcessId, ObjectKey) {
        let driver = self.core.on_driver_connected(100, "greedy").0;
        let pending = ObjectKey { slot: self.blocks * SLOT_BLOCK, generation: 1 };
        self.blocks += 1;
        let submit = ToAgent::Submit {
            number: 1,
            function: "f",
            arguments: Vec::new(),
            returns: vec![pending],
            options: Task { demand: Demand::of_cpus(Amount::ONE), ..Task::default() },
            site: 0,
        };
        self.says(driver, [ToAgent::Slots { request: 1 }, submit]).unwrap();
        (driver, pending)
    }

    fn says<'a>(&mut self, from: ProcessId, messages: impl IntoIterator<Item = ToAgent<'a>>) -> Result<(), Violation> {
        let said = self.core.on_messages(from, messages.into_iter().map(Ok), &mut self.outside);
        if let Some(end) = self.outside.backed.take() {
            self.core.on_backed(end, &mut self.outside);
        }
        said
    }
}

#[test]
fn a_million_answers_wanted_of_one_object_are_forgotten_one_by_one_and_all_at_once() {
    const REQUESTS: u32 = 300_000;
    let mut node = Node::new();
    let (driver, key) = node.driver();
    let (other, _) = node.driver();
    node.says(driver, [ToAgent::AddLocal { key, site: 0 }]).unwrap();
    node.says(other, [ToAgent::AddLocal { key, site: 0 }, ToAgent::Get { request: 7, key, site: 0 }]).unwrap();
    for _ in 0..2 {
        node.says(driver, (10..REQUESTS).map(|request| ToAgent::Get { request, key, site: 0 })).unwrap();
        node.says(driver, (10..REQUESTS).rev().map(|request| ToAgent::Cancel { request })).unwrap();
    }
    node.says(driver, (10..REQUESTS).map(|request| ToAgent::Wait { request, key })).unwrap();
    node.outside.answers.clear();
    node.core.on_process_lost(driver, "killed", &mut node.outside);
    // The task ended with its driver, and who still waits is told.
    assert_eq!(node.outside.answers, [other]);
    node.core.check().unwrap();
}

#[test]
fn many_tasks_that_wait_for_one_object_end_with_their_driver() {
    const TASKS: u32 = 100_000;
    let mut node = Node::new();
    let (driver, key) = node.driver();
    let submit = |number| ToAgent::Submit {
        number,
        function: "f",
        arguments: vec![Argument::Object(key)],
        returns: Vec::new(),
        options: Task { demand: Demand::of_cpus(Amount::ONE), ..Task::default() },
        site: 0,
    };
    node.says(driver, (2..TASKS).map(submit)).unwrap();
    node.core.on_process_lost(driver, "killed", &mut node.outside);
    node.core.check().unwrap();
    assert_eq!(node.core.held().len(), 0);
}

#[test]
fn creates_without_room_are_bounded() {
    let mut node = Node::new();
    let (driver, _) = node.driver();
    let (other, _) = node.driver();
    let lease = |request, bytes| ToAgent::Lease { request, bytes, chunk: false, site: 0 };
    node.says(driver, [lease(2, CAPACITY)]).unwrap();
    let violation = node.says(driver, (3..100_000).map(|request| lease(request, CAPACITY))).unwrap_err();
    assert!(violation.0.contains("creates that wait"), "{violation:?}");
    // Others' creates wait as before, and are served once the memory is back.
    node.says(other, [lease(2, 4096)]).unwrap();
    node.outside.answers.clear();
    node.core.on_process_lost(driver, "dropped", &mut node.outside);
    assert_eq!(node.outside.answers, [other]);
    node.core.check().unwrap();
}

#[test]
fn a_refusal_is_short_however_long_the_names_of_places_are() {
    let mut node = Node::new();
    let (driver, first) = node.driver();
    let long = "é".repeat(2000);
    let mut messages = vec![ToAgent::Lease { request: 2, bytes: 4096, chunk: true, site: 0 }];
    for site in 1..=10 {
        messages.push(ToAgent::Site { site, kind: SiteKind::PutObject, file: &long, line: site, function: &long, caller: site - 1 });
        let key = ObjectKey { slot: first.slot + site, generation: 1 };
        let memory = Memory { lease: 0, offset: 64 * u64::from(site), length: u64::from(site) };
        messages.push(ToAgent::Put { key, memory, site, hidden: false });
    }
    let (lease, rest) = messages.split_at(1);
    node.says(driver, lease.to_vec()).unwrap();
    node.says(driver, rest.to_vec()).unwrap();
    node.says(driver, [ToAgent::Lease { request: 3, bytes: u64::MAX, chunk: false, site: 1 }]).unwrap();
    assert!((100..2000).contains(&node.outside.longest), "{} bytes", node.outside.longest);
}
