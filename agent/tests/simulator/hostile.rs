//! What a client sends that is broken or evil: any message about anything, honest messages twice or bent, bytes that are none.

use plasmon_protocol::error::Error;
use plasmon_protocol::id::{ObjectKey, ProcessId, TaskKey};
use plasmon_protocol::local::{
    self, Argument, CallRetries, Ending, INLINE, MAX_STAGED, MAX_TEXT, Memory, RetryExceptions, SLOT_BLOCK, ToAgent, Value,
};
use plasmon_protocol::record::SiteKind;
use plasmon_protocol::resources::{Amount, Demand};

use super::client::{Client, View};
use super::random::Random;

impl Client {
    /// One step of a client that keeps no rule; most of its steps are honest, or it would not live long.
    pub(crate) fn misbehave(&mut self, view: View<'_>, random: &mut Random) {
        match random.weighted(&[75, 15, 10]) {
            0 => self.act(view, random),
            1 => self.make_up(view, random),
            _ => self.bend(random),
        }
        self.publish();
    }

    /// Repeats or damages what it has published.
    fn bend(&mut self, random: &mut Random) {
        let Some(last) = self.ring.back().cloned() else { return };
        let mut bytes = last;
        match random.below(4) {
            0 => {}
            1 => bytes.truncate(random.below(bytes.len() as u64 + 1) as usize),
            2 => bytes.push(random.next() as u8),
            _ => {
                let index = random.below(bytes.len().max(1) as u64) as usize;
                if let Some(byte) = bytes.get_mut(index) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
        self.ring.push_back(bytes);
    }

    /// Any message, its fields drawn from what is there and what is beside it.
    fn make_up(&mut self, view: View<'_>, random: &mut Random) {
        let keys: Vec<ObjectKey> = view.model.objects.keys().copied().collect();
        let mut key = || match random.below(10) {
            0 => ObjectKey { slot: random.below(u64::from(view.model.blocks * SLOT_BLOCK) + 2) as u32, generation: random.below(3) as u32 },
            1 => ObjectKey { slot: u32::MAX, generation: u32::MAX },
            _ => random.pick(&keys).unwrap_or_default(),
        };
        let (a, b, c) = (key(), key(), key());
        let number = random.below(6) as u32;
        let request = if random.chance(50) { number } else { self.last_request + 1 };
        let own = random.pick(&self.leases.iter().map(|(number, lease)| (*number, lease.bump)).collect::<Vec<_>>());
        let (lease, bump) = own.filter(|_| random.chance(70)).unwrap_or((number, 0));
        let offset = match random.below(4) {
            0 => u64::MAX - 63,
            1 => random.below(view.model.capacity / 64) * 64,
            2 => random.below(view.model.capacity),
            _ => bump,
        };
        let memory = Memory { lease, offset, length: random.pick(&[0, 1, 64, 5000, u64::MAX]).unwrap_or(0) };
        let name = if random.chance(50) { self.name(view, random) } else { None }.unwrap_or(a);
        let tasks: Vec<TaskKey> = view.model.tasks.keys().copied().collect();
        let task = match self.tasks.first() {
            Some(running) if random.chance(60) => running.key,
            _ => random.pick(&tasks).unwrap_or(TaskKey { process: ProcessId(1), number: 1 }),
        };
        let long = "x".repeat(MAX_TEXT + 1);
        let text = if random.chance(10) { &long } else { "evil" };
        let bytes = vec![1; random.pick(&[0, 9, INLINE, INLINE + 1]).unwrap_or(0)];
        let bytes = &bytes[..];
        let site = number;
        let actors: Vec<ObjectKey> = view.model.actors.keys().copied().collect();
        let actor = random.pick(&actors).filter(|_| random.chance(80)).unwrap_or(a);
        let message = match random.below(26) {
            0 => ToAgent::Put { key: name, memory, site, hidden: random.chance(50) },
            1 => ToAgent::AddLocal { key: a, site },
            2 => ToAgent::DropLocal { key: a },
            3 => ToAgent::AddPin { key: a, site },
            4 => ToAgent::DropPin { key: a },
            24 => ToAgent::KeepViews { key: a },
            25 => ToAgent::DropViews { key: a },
            5 => ToAgent::Stage { references: vec![a; if random.chance(20) { MAX_STAGED + 1 } else { 2 }] },
            6 => {
                let bytes = random.pick(&[0, 1, view.model.capacity, view.model.capacity + 1, u64::MAX]).unwrap_or(0);
                match random.below(3) {
                    0 => ToAgent::LeaseAhead { request, bytes, site },
                    chunk => ToAgent::Lease { request, bytes, chunk: chunk == 1, site },
                }
            }
            7 => ToAgent::Return { lease },
            8 => ToAgent::Slots { request },
            9 => ToAgent::Get { request, key: a, site },
            10 => ToAgent::Wait { request, key: a },
            11 => ToAgent::Cancel { request },
            12 | 13 => {
                let argument = match random.below(4) {
                    0 => Argument::Value(a, bytes),
                    1 => Argument::Block(a),
                    2 => Argument::Object(name),
                    _ => Argument::Inline(bytes),
                };
                let returns = if random.chance(70) { vec![name] } else { vec![name, name, c] };
                let number = self.some_number(random);
                let demand = some_hostile_demand(random, text);
                ToAgent::Submit {
                    number,
                    function: text,
                    arguments: vec![Argument::Object(b), argument],
                    returns,
                    options: local::Task {
                        demand,
                        max_retries: number,
                        retry_exceptions: RetryExceptions::Always,
                        timeout_ms: u64::from(number),
                    },
                    site,
                }
            }
            20 => {
                let options = local::Actor {
                    name: random.pick(&["", "counter", "zoe", &long]).unwrap_or_default(),
                    detached: random.chance(50),
                    max_concurrency: random.pick(&[0, 1, 1, 2, u32::MAX]).unwrap_or(0),
                    placed: some_hostile_demand(random, text),
                    held: some_hostile_demand(random, text),
                    max_restarts: number,
                    max_task_retries: number,
                };
                let arguments = vec![if random.chance(70) { Argument::Inline(bytes) } else { Argument::Object(name) }];
                let number = self.some_number(random);
                ToAgent::CreateActor { number, request, actor: name, function: text, arguments, options, site }
            }
            21 => {
                let number = self.some_number(random);
                let retries = CallRetries { max_task_retries: Some(number).filter(|_| random.chance(50)), ..CallRetries::default() };
                ToAgent::Call { number, actor, function: text, arguments: vec![Argument::Object(b)], returns: vec![name], retries, site }
            }
            22 => ToAgent::KillActor { actor, no_restart: random.chance(50), site },
            23 => ToAgent::FindActor { request, name: if random.chance(50) { text } else { "counter" }, site },
            14 => {
                if random.chance(50) {
                    ToAgent::Started { task }
                } else {
                    ToAgent::Submits { task }
                }
            }
            15 => ToAgent::Output { task, value: if random.chance(50) { Value::Inline(bytes) } else { Value::Memory(memory) } },
            16 => {
                let ending = match random.below(3) {
                    0 => Ending::Finished,
                    1 => Ending::Failed { message: long.clone(), listed: true, value: Vec::new() },
                    _ => Ending::Refused(Error::invalid("task", "evil", "so")),
                };
                ToAgent::Ended { task, ending }
            }
            17 => random.pick(&[0, 1]).map_or(ToAgent::Bye, |which| if which == 0 { ToAgent::Blocked } else { ToAgent::Unblocked }),
            _ => match random.below(3) {
                0 => {
                    let caller = random.pick(&[0, self.sites, site, u32::MAX]).unwrap_or(0);
                    ToAgent::Site { site: self.sites + 1, kind: SiteKind::PutObject, file: text, line: 1, function: text, caller }
                }
                1 => ToAgent::SiteName { site, function: text },
                _ => ToAgent::Bye,
            },
        };
        if random.chance(30) {
            self.write(&ToAgent::Stage { references: vec![b, c] });
        }
        self.write(&message);
    }

    /// A task's number, mostly the next.
    fn some_number(&mut self, random: &mut Random) -> u32 {
        self.last_task += 1;
        if random.chance(80) { self.last_task } else { random.below(6) as u32 }
    }
}

fn some_hostile_demand<'a>(random: &mut Random, text: &'a str) -> Demand<'a> {
    let amount = |random: &mut Random| {
        Amount::of_parts(random.pick(&[0, 0, 1, 10_000, 25_000, Amount::MAX.parts()]).unwrap_or(0)).unwrap_or_default()
    };
    let custom = match random.below(5) {
        0 => vec![(text, amount(random))],
        1 => vec![("db", amount(random)), ("db", amount(random))],
        2 => vec![("GPU", amount(random))],
        _ => Vec::new(),
    };
    Demand { cpus: amount(random), gpus: amount(random), memory: random.pick(&[0, 0, 1, u64::MAX]).unwrap_or(0), custom }
}
