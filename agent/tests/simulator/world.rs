//! The surroundings of one core: shared memory, clients, and the order in which things reach it. Every call of the core is
//! mirrored in the model, every effect is judged before it is carried out.

mod pressure;
mod storage;

use std::collections::{BTreeMap, BTreeSet};

use plasmon_agent::reactor::{Core, CoreConfig, Machine, Usage};
use plasmon_agent::telemetry::tables::Tables;
use plasmon_protocol::id::{NodeId, ObjectKey, ProcessId};
use plasmon_protocol::local::{Outcome, SLOT_BLOCK, ToClient, decode_to_agent};
use plasmon_protocol::record::ObjectState;
use plasmon_protocol::resources::{Amount, Resources};

use super::bugs::{Bug, Subject};
use super::client::{Client, Phase, Reading, View};
use super::disk::Disk;
use super::effects::{Effect, Recorder};
use super::follower::Follower;
use super::model::wants::CUSTOM;
use super::model::{Activity, Check, Model, Wants};
use super::random::Random;

/// One slot of the slot table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) generation: u32,
    pub(crate) state: Option<ObjectState>,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// What the agent writes and clients read.
#[derive(Debug, Default)]
pub(crate) struct SharedMemory {
    pub(crate) slots: BTreeMap<u32, Entry>,
    /// Objects gone from each lease.
    pub(crate) freed: BTreeMap<(ProcessId, u32), u32>,
}

pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) subject: Subject,
    pub(crate) model: Model,
    pub(crate) shared: SharedMemory,
    pub(crate) disk: Disk,
    pub(crate) clients: BTreeMap<ProcessId, Client>,
    /// Processes that the shell is about to kill.
    pub(crate) condemned: BTreeSet<ProcessId>,
    /// Processes that are gone, and the last that each sent.
    pub(crate) gone: BTreeMap<ProcessId, Vec<u8>>,
    /// Workers that were asked for their tasks, and whose words of before have not all arrived.
    pub(crate) withdrawals: BTreeSet<ProcessId>,
    pub(crate) recorder: Recorder,
    follower: Follower,
    /// How often a client keeps no rule, percent.
    hostility: u64,
    /// How fast what was published arrives, percent.
    pub(crate) haste: u64,
    /// How fast jobs end, percent.
    pub(crate) diligence: u64,
    /// How many clients keep most of what they have, percent.
    hoarding: u64,
    /// All tasks ask for the same.
    plain: bool,
    /// What happened, if somebody wants to read it.
    trace: Option<Vec<String>>,
}

impl World {
    pub(crate) fn new(seed: u64, bug: Option<Bug>, traced: bool) -> Self {
        let mut random = Random::new(seed);
        let capacity = random.pick(&[64 << 10, 64 << 10, 128 << 10, 256 << 10, 1 << 20, 4 << 20]).unwrap_or(1 << 20);
        let blocks = random.between(2, 6) as u32;
        let resources = some_node(&mut random);
        let fail_infeasible = random.chance(50);
        let now_ms = 1_000_000;
        let spill = storage::some_storage(&mut random, capacity);
        let oom = pressure::some_config(&mut random);
        let lineage = random.chance(80);
        let config = CoreConfig {
            node: NodeId([7; 8]),
            node_ip: "127.0.0.1".into(),
            pid: 1,
            capacity,
            slots: blocks * SLOT_BLOCK,
            resources: resources.clone(),
            fail_infeasible,
            lineage_limit: if lineage { 64 << 20 } else { 0 },
            now_ms,
            spill: spill.clone(),
            recording: None,
            oom: oom.clone(),
        };
        let mut model = Model::new(now_ms, capacity, blocks, Wants::row(&resources), fail_infeasible, spill, oom.clone());
        model.lineage = lineage;
        let haste = random.pick(&[25, 50, 80, 100]).unwrap_or(50);
        let hostility = if random.chance(25) { 40 } else { 0 };
        let diligence = random.pick(&[5, 25, 50, 90]).unwrap_or(50);
        let hoarding = random.pick(&[0, 50, 100]).unwrap_or(50);
        let disk = Disk::any(&mut random);
        let plain = random.chance(40);
        Self {
            random,
            subject: Subject::new(Core::new(config), bug, seed),
            model,
            shared: SharedMemory::default(),
            disk,
            clients: BTreeMap::new(),
            condemned: BTreeSet::new(),
            gone: BTreeMap::new(),
            withdrawals: BTreeSet::new(),
            recorder: Recorder { blind: bug == Some(Bug::EvictsWhatIsRead), dim: bug == Some(Bug::OverlooksViews), ..Recorder::default() },
            follower: Follower::default(),
            hostility,
            haste,
            diligence,
            hoarding,
            plain,
            trace: traced.then(Vec::new),
        }
    }

    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(what());
        }
    }

    pub(crate) fn take_trace(&mut self) -> Vec<String> {
        self.trace.take().unwrap_or_default()
    }

    /// Clients of which `which` holds.
    pub(crate) fn those(&self, which: impl Fn(&Client) -> bool) -> Vec<ProcessId> {
        self.clients.values().filter(|client| which(client)).map(|client| client.id).collect()
    }

    pub(crate) fn pick(&mut self, which: impl Fn(&Client) -> bool) -> Option<ProcessId> {
        let those = self.those(which);
        self.random.pick(&those)
    }

    /// A client and all that it can see.
    pub(crate) fn with<T>(&mut self, id: ProcessId, act: impl FnOnce(&mut Client, View<'_>, &mut Random) -> T) -> Option<T> {
        let view = View { shared: &self.shared, model: &self.model };
        let client = self.clients.get_mut(&id)?;
        let done = act(client, view, &mut self.random);
        for (key, memory) in client.written.drain(..).filter(|_| !client.hostile) {
            self.disk.pool.write(key, memory.offset, memory.length);
        }
        self.see_pins();
        Some(done)
    }

    /// The core can look into all pin tables at any time.
    fn see_pins(&mut self) {
        let pins = self.clients.values().flat_map(|client| client.table.iter().map(|(key, _, reading)| (client.id, *key, *reading)));
        self.recorder.pinned = pins.clone().map(|(_, key, _)| key).collect();
        self.recorder.views = pins.filter(|(_, _, reading)| *reading == Reading::View).map(|(id, key, _)| (id, key)).collect();
    }

    pub(crate) fn connect_driver(&mut self) -> ProcessId {
        let pid = 100 + self.clients.len() as u32;
        let (process, job) = self.subject.core.on_driver_connected(pid, "app");
        self.model.driver_connected(process, job, pid);
        let hostile = self.random.chance(self.hostility);
        self.note(|| format!("driver {process} connects as job {job}, hostile: {hostile}"));
        let hoards = self.random.chance(self.hoarding);
        self.clients.insert(process, Client { hoards, plain: self.plain, ..Client::new(process, false, hostile) });
        process
    }

    pub(crate) fn connect_worker(&mut self, id: ProcessId) -> Check {
        let Some(client) = self.clients.get_mut(&id) else { return Ok(()) };
        client.phase = Phase::Alive;
        let pid = client.pid;
        self.note(|| format!("worker {id} connects"));
        let expected = self.model.worker_connected(id, pid);
        let wanted = self.subject.core.on_worker_connected(id, pid, &mut self.recorder);
        self.carry_out()?;
        if wanted != expected {
            return Err(format!("worker {id} is wanted: {wanted}, to be wanted: {expected}"));
        }
        if !wanted {
            self.lose(id)?;
        }
        Ok(())
    }

    /// Delivers up to `most` messages of a client. `last`: it is dead and these are all.
    pub(crate) fn deliver(&mut self, id: ProcessId, most: usize, last: bool) -> Check {
        let Some(client) = self.clients.get_mut(&id) else { return Ok(()) };
        let count = most.min(client.ring.len());
        if count == 0 {
            return Ok(());
        }
        let batch: Vec<Vec<u8>> = client.ring.drain(..count).collect();
        if let Some(last) = batch.last() {
            self.gone.insert(id, last.clone());
        }
        let hostile = client.hostile;
        let mut verdict = Ok(());
        let mut read = 0;
        for bytes in &batch {
            read += 1;
            let message = decode_to_agent("a client", bytes);
            self.note(|| format!("from {id}: {message:?}"));
            verdict = message.map_or(Err("bytes that are no message"), |message| self.model.deliver(id, &message));
            if verdict.is_err() {
                break;
            }
            if hostile {
                self.doubt(bytes);
            }
        }
        self.model.end_of_batch();
        let (result, looked_at) = self.subject.on_messages(id, &batch, last, &mut self.recorder);
        self.carry_out()?;
        match (&result, verdict) {
            (Ok(()), Ok(())) => Ok(()),
            (Err(violation), Err(_)) if looked_at == read => {
                // Who was told to end may speak of what was taken from it.
                let ending = self
                    .model
                    .processes
                    .get(&id)
                    .is_some_and(|process| process.activity == Activity::Leaving || !self.model.jobs.contains_key(&process.job));
                if !hostile && !ending {
                    return Err(format!("honest process {id} is blamed: {}", violation.0));
                }
                self.note(|| format!("process {id} is dropped: {}", violation.0));
                self.model.expect_kill(id);
                self.subject.core.on_violation(id, violation, &mut self.recorder);
                self.carry_out()?;
                self.lose(id)
            }
            _ => Err(format!("message {looked_at} of {id}: {result:?}; message {read} should be: {verdict:?}")),
        }
    }

    /// A worker was asked for its tasks: all that it has said by now arrives, and then the core knows what had begun.
    pub(crate) fn settle_withdrawal(&mut self, id: ProcessId) -> Check {
        if !self.withdrawals.remove(&id) {
            return Ok(());
        }
        if !self.subject.strikes(Bug::SettlesWithdrawalsEarly) {
            while let Some(left) = self.clients.get(&id).map(|client| client.ring.len()).filter(|left| *left > 0) {
                let most = if self.clients[&id].hostile { 1 } else { left };
                self.deliver(id, most, false)?;
            }
        }
        if !self.clients.contains_key(&id) {
            return Ok(());
        }
        self.note(|| format!("what {id} had begun is known"));
        self.model.withdrawn(id);
        self.subject.core.on_withdrawn(id, &mut self.recorder);
        self.carry_out()
    }

    /// A dead client's ring is drained, then the core learns of its end.
    pub(crate) fn reap(&mut self, id: ProcessId) -> Check {
        while let Some(client) = self.clients.get(&id) {
            let left = client.ring.len();
            if left == 0 {
                return self.lose(id);
            }
            let most = if client.hostile { 1 } else { self.random.between(1, left as u64) as usize };
            self.deliver(id, most, most >= left)?;
        }
        Ok(())
    }

    /// The core learns of a process's end; whatever is left in its ring was not looked at.
    pub(crate) fn lose(&mut self, id: ProcessId) -> Check {
        // What the dead viewed is looked at once more.
        self.look()?;
        self.note(|| format!("process {id} is lost"));
        self.clients.remove(&id);
        self.condemned.remove(&id);
        self.withdrawals.remove(&id);
        self.gone.entry(id).or_default();
        self.see_pins();
        let blocks: Vec<u32> = self.model.lent.iter().filter(|(_, owner)| **owner == id).map(|(block, _)| *block).collect();
        self.model.process_lost(id);
        self.subject.on_process_lost(id, &mut self.recorder);
        self.carry_out()?;
        self.shared.freed.retain(|(owner, _), _| *owner != id);
        // A forbidden message may have used up names before it was refused.
        for (slot, entry) in self.shared.slots.iter().filter(|(slot, _)| blocks.contains(&(**slot / SLOT_BLOCK))) {
            self.model.generations.insert(*slot, entry.generation);
        }
        Ok(())
    }

    pub(crate) fn tick(&mut self, passed_ms: u64) -> Check {
        self.model.now_ms += passed_ms;
        let now_ms = self.model.now_ms;
        self.note(|| format!("it is {now_ms}"));
        self.model.see_fetches(&self.subject.core);
        self.model.tick();
        self.subject.on_tick(now_ms, &mut self.recorder);
        self.model.see_hopeless(&self.subject.core)?;
        self.carry_out()?;
        if let Some(at_ms) = self.subject.core.next_deadline().filter(|at_ms| *at_ms <= now_ms) {
            return Err(format!("it is {now_ms}, and the core wants to be called at {at_ms}"));
        }
        self.model.check_deadlines()
    }

    pub(crate) fn back(&mut self, end: u64) -> Check {
        self.model.backed = self.model.backed.max(end);
        self.note(|| format!("backed up to {end}"));
        self.subject.on_backed(end, &mut self.recorder);
        self.carry_out()
    }

    pub(crate) fn fail_backing(&mut self) -> Check {
        self.note(|| "no more memory".to_owned());
        self.model.see_fetches(&self.subject.core);
        self.model.backing_failed();
        self.subject.core.on_backing_failed(self.model.backed, "no memory", &mut self.recorder);
        self.model.see_hopeless(&self.subject.core)?;
        self.carry_out()
    }

    /// Somebody looks at rows.
    pub(crate) fn look(&mut self) -> Check {
        self.note(|| "somebody looks".to_owned());
        self.subject.core.look(&mut self.recorder);
        self.carry_out()
    }

    pub(crate) fn sample(&mut self) {
        let usage = Usage { rss_bytes: self.random.below(1 << 30), shared_bytes: self.random.below(1 << 30), cpu_percent: 3.0 };
        let processes: Vec<_> = self.clients.keys().map(|id| (*id, usage)).collect();
        self.subject.core.on_sample(Machine::default(), processes);
    }

    /// Judges what the core wanted done, and does it.
    pub(crate) fn carry_out(&mut self) -> Check {
        let effects = self.subject.effects(std::mem::take(&mut self.recorder.effects));
        self.model.steps += 1;
        for effect in effects {
            self.note(|| format!("    {effect:?}"));
            self.model.observe(&effect)?;
            self.check_order(&effect)?;
            self.check_bytes(&effect)?;
            match effect {
                Effect::Send(to, bytes) => {
                    if let Some(client) = self.clients.get_mut(&to).filter(|client| client.phase == Phase::Alive) {
                        client.inbox.push_back(bytes);
                    }
                }
                Effect::Publish { key: ObjectKey { slot, generation }, state, offset, length } => {
                    self.shared.slots.insert(slot, Entry { generation, state, offset, length });
                }
                Effect::Freed { process, lease } => *self.shared.freed.entry((process, lease)).or_default() += 1,
                Effect::Reset { process, lease } => drop(self.shared.freed.insert((process, lease), 0)),
                Effect::Recall(process) => drop(self.clients.get_mut(&process).map(|client| client.recalled = true)),
                Effect::Back(_) | Effect::ShareProgram { .. } | Effect::EndJob(_) => {}
                Effect::Start(process, ..) => {
                    let hostile = self.random.chance(self.hostility / 2);
                    let hoards = self.random.chance(self.hoarding);
                    self.clients.insert(process, Client { hoards, plain: self.plain, ..Client::new(process, true, hostile) });
                }
                Effect::Kill(process) => drop(self.condemned.insert(process)),
                Effect::Withdraw { from, run } => {
                    if let Some(client) = self.clients.get_mut(&from).filter(|client| client.phase == Phase::Alive) {
                        client.withdrawn = run;
                        self.withdrawals.insert(from);
                    }
                }
                Effect::Evict { .. } | Effect::Look(_) => {}
                Effect::Relocate { from, to, length } => {
                    let key = self.model.observe_relocation((from, to, length), &self.subject.core.ranges())?;
                    self.disk.pool.relocate(key, from, to, length);
                }
                Effect::Io(job) => self.begin_job(job)?,
            }
        }
        self.model.end_of_change();
        Ok(())
    }

    /// Shared memory is written before the message that sends somebody there.
    fn check_order(&self, effect: &Effect) -> Check {
        let (Effect::Send(to, _), Some(message)) = (effect, effect.message()) else { return Ok(()) };
        match message {
            ToClient::Leased { lease, .. } => match self.shared.freed.get(&(*to, lease)) {
                Some(0) => Ok(()),
                word => Err(format!("lease {lease} of {to} is granted with a count of {word:?} freed")),
            },
            ToClient::Resolved { outcome: Outcome::Pinned(key), .. } => {
                let entry = self.shared.slots.get(&key.slot);
                let there = entry.is_some_and(|entry| entry.generation == key.generation && entry.state == Some(ObjectState::InMemory));
                if there { Ok(()) } else { Err(format!("{key:?} is announced to {to} before the slot table has it: {entry:?}")) }
            }
            _ => Ok(()),
        }
    }

    /// Everything that can be checked.
    pub(crate) fn verify(&mut self) -> Check {
        self.model.nothing_missing()?;
        if let Some(client) = self.clients.values().find(|client| client.is_flooded()) {
            return Err(format!("{} messages wait for process {}: {:?}", client.inbox.len(), client.id, client.requests));
        }
        self.check_readers()?;
        self.follower.look(&mut self.subject.core)?;
        self.model.see_bumps(&self.subject.core.ranges());
        self.model.see_fetches(&self.subject.core);
        let core = &self.subject.core;
        self.model.compare(core, &self.shared).map_err(|error| {
            let waiting: Vec<_> = core.tasks().into_iter().filter_map(|row| Some((row.task_id.key(), row.status, row.reason?))).collect();
            format!("{error}; for room wait {:?}; tasks wait {waiting:?}", core.store().spill.queue)
        })?;
        for (key, object) in self.model.objects.iter().filter(|(key, _)| !self.disk.doubtful.contains(key)) {
            let readable = object.state == ObjectState::InMemory && !object.is_away();
            if readable && !self.disk.pool.holds(*key, object.offset, object.length) {
                return Err(format!("{key:?} is not at {}+{}", object.offset, object.length));
            }
        }
        Ok(())
    }
}

fn some_node(random: &mut Random) -> Resources {
    let cpus = Amount::of_parts(random.between(1, 8) * 5000).unwrap_or_default();
    let gpus = Amount::whole(random.pick(&[0, 0, 1, 2]).unwrap_or(0));
    let custom = if random.chance(50) { [(CUSTOM.into(), Amount::whole(random.between(1, 2) as u32))].into() } else { BTreeMap::default() };
    Resources { cpus, gpus, memory_bytes: random.pick(&[0, 500, 1000]).unwrap_or(0), custom }
}
