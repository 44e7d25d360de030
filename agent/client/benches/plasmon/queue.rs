//! Long queues. The reactor alone, with tasks: a driver that submits, workers that end at once what they are sent, no rings and no
//! processes. And the same from end to end, with an agent and its workers.

use std::collections::VecDeque;

use plasmon::ObjectRef;
use plasmon_agent::reactor::bystander::Bystander;
use plasmon_agent::reactor::{Core, CoreConfig, OomConfig, Violation};
use plasmon_agent::spill::policy::SpillConfig;
use plasmon_protocol::id::{NodeId, ObjectKey, ProcessId, TaskKey};
use plasmon_protocol::local::{Argument, Ending, SLOT_BLOCK, Task, ToAgent, ToClient, Value};
use plasmon_protocol::record::SiteKind;
use plasmon_protocol::resources::{Amount, Demand, Resources};

use crate::daemon::{Daemon, rest};
use crate::sample::{Sample, each, in_turns};
use crate::table::{Goal, Unit};
use crate::{Bench, Outcome};

/// Tasks that are queued at once: many, and few.
const MANY: u32 = 1_000_000;
const FEW: u32 = 10_000;
/// Each task but the first so many takes the result of the one so many before it.
const CHAINS: u32 = 100;
/// Measurements of many: each takes seconds.
const ROUNDS: usize = 5;
/// Messages in one call, about what a ring holds after a nap.
const BATCH: usize = 512;
/// Distinct demands.
const SHAPES: u64 = 64;
const CPUS: u32 = 2;

/// Remembers what workers are sent, and the answers that the driver needs.
#[derive(Default)]
struct Sent {
    slots: Option<u32>,
    started: Vec<ProcessId>,
    runs: VecDeque<(ProcessId, TaskKey)>,
}

impl Bystander for Sent {
    fn send(&mut self, to: ProcessId, message: &ToClient<'_>) {
        match message {
            ToClient::Slots { first, .. } => self.slots = Some(*first),
            ToClient::Run { task, .. } => self.runs.push_back((to, *task)),
            _ => {}
        }
    }

    fn start_worker(&mut self, process: ProcessId) {
        self.started.push(process);
    }
}

/// A node with one driver.
struct Node {
    core: Core,
    driver: ProcessId,
    sent: Sent,
    /// The driver's slots, and the generation that they are in.
    slots: Vec<u32>,
    generation: u32,
    tasks: u32,
}

impl Node {
    fn connect() -> Outcome<Self> {
        let mut core = Core::new(CoreConfig {
            node: NodeId::default(),
            node_ip: "127.0.0.1".into(),
            pid: 1,
            capacity: 1 << 30,
            slots: 1 << 21,
            resources: Resources { cpus: Amount::whole(CPUS), memory_bytes: 1 << 40, ..Resources::default() },
            fail_infeasible: true,
            lineage_limit: 64 << 20,
            now_ms: 0,
            spill: SpillConfig::default(),
            recording: None,
            oom: OomConfig::default(),
        });
        let (driver, _) = core.on_driver_connected(2, "bench");
        let mut node = Self { core, driver, sent: Sent::default(), slots: Vec::new(), generation: 0, tasks: 0 };
        let site = ToAgent::Site { site: 1, kind: SiteKind::TaskCall, file: "bench.rs", line: 1, function: "submit", caller: 0 };
        node.say(driver, [site])?;
        Ok(node)
    }

    fn say<'a>(&mut self, from: ProcessId, messages: impl IntoIterator<Item = ToAgent<'a>>) -> Outcome<()> {
        let messages = messages.into_iter().map(Ok::<_, Violation>);
        Ok(self.core.on_messages(from, messages, &mut self.sent).map_err(|violation| violation.0)?)
    }

    /// Sees to it that the driver has slots for so many results.
    fn grow(&mut self, count: u32) -> Outcome<()> {
        while self.slots.len() < count as usize {
            self.say(self.driver, [ToAgent::Slots { request: 1 }])?;
            let first = self.sent.slots.take().ok_or("no slots")?;
            self.slots.extend(first..first + SLOT_BLOCK);
        }
        Ok(())
    }

    /// Submits so many tasks, each of which `task` describes by its number and the results so far; runs them all; drops their results.
    fn work<'a>(&mut self, count: u32, task: impl Fn(u32, &[ObjectKey]) -> (Vec<Argument<'a>>, Demand<'a>)) -> Outcome<()> {
        self.generation += 1;
        let results: Vec<ObjectKey> =
            self.slots.iter().take(count as usize).map(|slot| ObjectKey { slot: *slot, generation: self.generation }).collect();
        for batch in (0..count).collect::<Vec<_>>().chunks(BATCH) {
            let first = self.tasks + 1;
            self.tasks += batch.len() as u32;
            let submissions = batch.iter().zip(first..).map(|(index, number)| {
                let (arguments, demand) = task(*index, &results);
                let options = Task { demand, max_retries: 3, ..Task::default() };
                let returns = vec![results[*index as usize]];
                ToAgent::Submit { number, function: "bench::nothing", arguments, returns, options, site: 1 }
            });
            self.say(self.driver, submissions.collect::<Vec<_>>())?;
        }
        loop {
            for worker in std::mem::take(&mut self.sent.started) {
                self.core.on_worker_connected(worker, 100 + worker.0, &mut self.sent);
            }
            let Some((worker, task)) = self.sent.runs.pop_front() else { break };
            let output = ToAgent::Output { task, value: Value::Inline(&[0]) };
            self.say(worker, [ToAgent::Started { task }, output, ToAgent::Ended { task, ending: Ending::Finished }])?;
        }
        for batch in results.chunks(BATCH) {
            self.say(self.driver, batch.iter().map(|key| ToAgent::DropLocal { key: *key }))?;
        }
        let left = self.core.totals().references;
        if left == 0 { Ok(()) } else { Err(format!("{left} results are left").into()) }
    }

    /// Nanoseconds of each of so many tasks with dependencies, all of them queued before the first ends.
    fn chains(&mut self, count: u32) -> Outcome<f64> {
        self.grow(count)?;
        each(count as usize, || {
            self.work(count, |index, results| {
                let before = index.checked_sub(CHAINS).and_then(|before| results.get(before as usize));
                (before.map(|before| Argument::Object(*before)).into_iter().collect(), one_cpu(0))
            })
        })
    }

    /// The same without dependencies, with so many distinct demands in turns.
    fn shapes(&mut self, shapes: u64) -> Outcome<f64> {
        self.grow(FEW)?;
        each(FEW as usize, || self.work(FEW, |index, _| (Vec::new(), one_cpu(u64::from(index) % shapes))))
    }
}

fn one_cpu(memory: u64) -> Demand<'static> {
    Demand { cpus: Amount::ONE, memory, ..Demand::default() }
}

pub(crate) fn queue(bench: &mut Bench) -> Outcome<()> {
    let (mut one, mut distinct) = (Node::connect()?, Node::connect()?);
    let [distinct, one] = in_turns([&mut || distinct.shapes(SHAPES), &mut || one.shapes(1)])?;
    let floor = Some(("one demand", &one));
    bench.table.row("reactor alone, a task among 64 demands", &distinct, Unit::Nanoseconds, floor, Goal::Ratio(2.0));
    let (mut few, mut many) = (Node::connect()?, Node::connect()?);
    let mut costs = (Vec::new(), Vec::new());
    for _ in 0..=ROUNDS {
        let rounds: Vec<f64> = (0..MANY / FEW / 4).map(|_| few.chains(FEW)).collect::<Outcome<_>>()?;
        costs.0.push(Sample::of(rounds).median());
        costs.1.push(many.chains(MANY)?);
    }
    // The first round warms everything up.
    let [few, many] = [costs.0, costs.1].map(|costs| Sample::of(costs.into_iter().skip(1).collect()));
    let floor = Some(("10,000 queued", &few));
    bench.table.row("reactor alone, a task of 1,000,000 queued", &many, Unit::Nanoseconds, floor, Goal::Ratio(1.5));
    end_to_end(bench)
}

/// Bytes of the agent's store: all results are inlined.
const CAPACITY: u64 = 256 << 20;
/// Measurements of many from end to end, which count.
const ROUNDS_WITH_PROCESSES: usize = 3;
/// Measurements of few, for one of many.
const ROUNDS_OF_FEW: usize = 9;

/// A task that needs what the one before it in its chain has made.
#[plasmon::remote]
fn next(before: u32) -> u32 {
    before + 1
}

/// Nanoseconds of each of so many tasks in chains, from the first submission to the last result; all references are held until then.
fn real_chains(count: u32) -> Outcome<f64> {
    let took = each(count as usize, || {
        let mut results: Vec<ObjectRef<u32>> = Vec::with_capacity(count as usize);
        for index in 0..count as usize {
            let result = match index.checked_sub(CHAINS as usize).and_then(|before| results.get(before)) {
                Some(before) => next.remote(before)?,
                None => next.remote(0)?,
            };
            results.push(result);
        }
        for last in results.iter().rev().take(CHAINS as usize) {
            let length = plasmon::get(last)?;
            if length != count / CHAINS {
                return Err(format!("a chain of {} tasks counted {length}", count / CHAINS).into());
            }
        }
        Ok(results)
    });
    rest();
    took
}

fn end_to_end(bench: &mut Bench) -> Outcome<()> {
    let daemon = Daemon::start(&bench.scratch, CAPACITY, &[])?;
    daemon.connect()?;
    let mut costs = (Vec::new(), Vec::new());
    for _ in 0..=ROUNDS_WITH_PROCESSES {
        let rounds: Vec<f64> = (0..ROUNDS_OF_FEW).map(|_| real_chains(FEW)).collect::<Outcome<_>>()?;
        costs.0.push(Sample::of(rounds).median());
        costs.1.push(real_chains(MANY)?);
    }
    // As above: the first round starts the workers, too.
    let [few, many] = [costs.0, costs.1].map(|costs| Sample::of(costs.into_iter().skip(1).collect()));
    let floor = Some(("10,000 queued", &few));
    bench.table.row("task of 1,000,000 queued, with processes", &many, Unit::Microseconds, floor, Goal::Ratio(1.5));
    Ok(plasmon::shutdown()?)
}
