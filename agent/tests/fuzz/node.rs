//! A real core between an honest driver and a hostile one. After every turn of the hostile one all invariants hold and the honest
//! one has what it had; in the end nothing is left.

use std::collections::{BTreeMap, VecDeque};

use plasmon_agent::reactor::bystander::Bystander;
use plasmon_agent::reactor::check::Held;
use plasmon_agent::reactor::{Core, CoreConfig, OomConfig, Violation};
use plasmon_agent::spill::job::Job;
use plasmon_agent::spill::policy::SpillConfig;
use plasmon_memory::ring::{Frames, TO_AGENT, max_message};
use plasmon_protocol::id::{NodeId, ObjectKey, ProcessId};
use plasmon_protocol::local::{self, Memory, PAGE, SLOT_BLOCK, ToAgent, ToClient};
use plasmon_protocol::resources::{Amount, Resources};

use super::conversation::{DRIVER, LEASE, Turn, Who, turns};

const HONEST: ProcessId = ProcessId(1);
const CAPACITY: u64 = 1 << 20;
/// What the agent may say beyond one answer to each message, in one turn: tasks, exits, and answers that came due.
const UNASKED: usize = 64;

/// What the shell has to do.
enum Effect {
    Backed(u64),
    Started(ProcessId),
    Killed(ProcessId),
}

#[derive(Default)]
struct Outside {
    effects: VecDeque<Effect>,
    sent: usize,
}

impl Bystander for Outside {
    fn send(&mut self, _to: ProcessId, message: &ToClient<'_>) {
        assert!(local::encode(message).unwrap().len() <= max_message(TO_AGENT));
        self.sent += 1;
    }

    fn publish(&mut self, offset: u64, length: u64) {
        assert!(offset.checked_add(length).is_some_and(|end| end <= CAPACITY));
    }

    fn back(&mut self, end: u64) {
        self.effects.push_back(Effect::Backed(end));
    }

    fn start_worker(&mut self, process: ProcessId) {
        self.effects.push_back(Effect::Started(process));
    }

    fn io(&mut self, job: Job) {
        panic!("nothing is spilled here: {job:?}");
    }

    fn kill(&mut self, process: ProcessId) {
        self.effects.push_back(Effect::Killed(process));
    }
}

struct Node {
    core: Core,
    outside: Outside,
    now_ms: u64,
    driver: ProcessId,
    workers: Vec<ProcessId>,
    /// The honest driver's rows.
    honest: BTreeMap<(ObjectKey, ProcessId), Held>,
    taken: bool,
    heard: usize,
}

/// Turns that are looked at: all is checked after each.
const MAX_TURNS: usize = 40;
/// Messages without which a conversation is no good parent of others.
const ENOUGH: usize = 6;

/// Serves a conversation; whether it has some messages, none of which broke the protocol.
pub(crate) fn serve(bytes: &[u8]) -> bool {
    let mut node = Node::new();
    turns(bytes).iter().take(MAX_TURNS).for_each(|turn| node.turn(turn));
    node.end()
}

impl Node {
    fn new() -> Self {
        let now_ms = 1_000_000;
        let config = CoreConfig {
            node: NodeId([7; 8]),
            node_ip: "127.0.0.1".into(),
            pid: 1,
            capacity: CAPACITY,
            slots: 8 * SLOT_BLOCK,
            resources: Resources { cpus: Amount::whole(2), ..Resources::default() },
            fail_infeasible: true,
            lineage_limit: 64 << 20,
            now_ms,
            spill: SpillConfig::default(),
            recording: None,
            oom: OomConfig::default(),
        };
        let mut core = Core::new(config);
        assert_eq!(core.on_driver_connected(100, "honest").0, HONEST);
        let (outside, honest) = (Outside::default(), BTreeMap::new());
        let mut node = Self { core, outside, now_ms, driver: HONEST, workers: Vec::new(), honest, taken: true, heard: 0 };
        let key = |slot| ObjectKey { slot, generation: 1 };
        let put = |slot, lease, offset, length| {
            Ok(ToAgent::Put { key: key(slot), memory: Memory { lease, offset, length }, site: 0, hidden: false })
        };
        let chunk = ToAgent::Lease { request: 2, bytes: 100, chunk: true, site: 0 };
        let single = ToAgent::Lease { request: 3, bytes: 10_000, chunk: false, site: 0 };
        node.hear(HONEST, [Ok(ToAgent::Slots { request: 1 }), Ok(chunk), Ok(single)]);
        node.hear(HONEST, [put(0, 0, 0, 100), put(1, 1, LEASE - 4 * PAGE, 10_000)]);
        node.hear(HONEST, [Ok(ToAgent::Stage { references: vec![key(0)] }), put(2, 0, 128, 33)]);
        node.hear(HONEST, [Ok(ToAgent::AddPin { key: key(1), site: 0 })]);
        assert!(node.taken);
        node.honest = node.core.held();
        assert_eq!(node.honest.len(), 3);
        node.driver = node.core.on_driver_connected(101, "hostile").0;
        assert_eq!(node.driver, DRIVER);
        node.heard = 0;
        node
    }

    fn turn(&mut self, turn: &Turn) {
        let from = match turn.who {
            Who::Driver => Some(self.driver),
            Who::Worker => self.workers.last().copied(),
            Who::Time => {
                self.now_ms += u64::from(turn.number);
                self.core.on_tick(self.now_ms, &mut self.outside);
                None
            }
            Who::Death => {
                if let Some(worker) = self.workers.pop() {
                    self.core.on_process_lost(worker, "signal 9", &mut self.outside);
                }
                None
            }
        };
        if let Some(from) = from {
            let frames = Frames::new(&turn.ring, max_message(TO_AGENT)).map(|frame| {
                let frame = frame.map_err(|error| Violation(error.to_string()))?;
                local::decode_to_agent("it", frame).map_err(|error| Violation(error.to_string()))
            });
            self.hear(from, frames);
        }
        self.carry_out();
        self.check();
        if self.core.process(self.driver).is_none() {
            self.driver = self.core.on_driver_connected(101, "hostile").0;
        }
    }

    fn hear<'a>(&mut self, from: ProcessId, messages: impl IntoIterator<Item = Result<ToAgent<'a>, Violation>>) {
        let mut count = 0;
        let messages = messages.into_iter().inspect(|_| count += 1);
        self.outside.sent = 0;
        let heard = self.core.on_messages(from, messages, &mut self.outside);
        assert!(self.outside.sent <= count + UNASKED, "{} answers to {count} messages", self.outside.sent);
        self.heard += count;
        if let Err(violation) = heard {
            self.taken = false;
            assert!(!violation.0.is_empty());
            self.core.on_violation(from, &violation, &mut self.outside);
        }
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.outside.effects.pop_front() {
            match effect {
                Effect::Backed(end) => self.core.on_backed(end, &mut self.outside),
                Effect::Started(worker) => {
                    self.workers.push(worker);
                    self.core.on_worker_connected(worker, 1000 + worker.0, &mut self.outside);
                }
                Effect::Killed(process) => {
                    self.workers.retain(|worker| *worker != process);
                    self.core.on_process_lost(process, "dropped", &mut self.outside);
                }
            }
        }
    }

    #[track_caller]
    fn check(&self) {
        self.core.check().unwrap();
        let mut held = self.core.held();
        held.retain(|(_, process), _| *process == HONEST);
        assert_eq!(held, self.honest, "the honest driver's rows");
    }

    fn end(mut self) -> bool {
        let taken = self.taken && self.heard >= ENOUGH;
        // What is detached outlives its driver; anybody who knows it can end it.
        let detached = self.core.held().into_iter().filter(|((_, holder), held)| holder.0 == 0 && held.counts[0] > 0);
        for ((actor, _), _) in detached.collect::<Vec<_>>() {
            self.hear(HONEST, [Ok(ToAgent::KillActor { actor, no_restart: true, site: 0 })]);
        }
        self.core.on_process_lost(self.driver, "killed", &mut self.outside);
        self.carry_out();
        while let Some(worker) = self.workers.pop() {
            self.core.on_process_lost(worker, "killed", &mut self.outside);
            self.carry_out();
        }
        self.check();
        assert_eq!(self.core.held(), self.honest, "something of the hostile driver's is left");
        self.core.on_process_lost(HONEST, "exit", &mut self.outside);
        self.core.check().unwrap();
        let ledger = self.core.ledger();
        assert_eq!((self.core.held().len(), ledger.free_bytes, ledger.inlined_bytes), (0, CAPACITY, 0));
        assert!(self.taken || !taken, "the honest driver was refused");
        taken
    }
}
