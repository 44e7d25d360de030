//! Every invariant of the core, by a walk over everything: for the simulator and for tests.

use std::collections::BTreeMap;

use plasmon_protocol::id::{ObjectKey, ProcessId, SiteId};
use plasmon_protocol::record::{ActorStatus, ObjectState, ProcessType, ReferenceType, TaskStatus};

use super::rows::reference_type;
use super::{Activity, Core, Process};
use crate::references::table::NONE;
use crate::scheduler::actor::{AHEAD, Actor};
use crate::scheduler::resources::Reserved;
use crate::scheduler::task::{Role, Task};
use crate::store::lease::Lease;
use crate::store::ledger::Class;
use crate::store::object::{Counts, Object, Residency};

/// One row of truth, in a form that a model can hold too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Held {
    /// The holder.
    pub process: ProcessId,
    /// Handles, views, pending tasks, containers.
    pub counts: [u32; 4],
    /// The first reason that holds.
    pub reference_type: ReferenceType,
}

/// A leased range of the pool, in a form that a model can hold too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// Where the next object may begin, bytes from the pool's begin.
    pub bump: u64,
    /// Whether the agent itself writes into it.
    pub agents: bool,
}

impl Core {
    /// All leased ranges.
    #[must_use]
    pub fn ranges(&self) -> Vec<Range> {
        let range = |lease: &Lease| Range { offset: lease.offset, length: lease.length, bump: lease.bump, agents: lease.is_agents() };
        self.store.leases().map(|(_, lease)| range(lease)).collect()
    }

    /// All rows by object and holder, argument blocks included.
    #[must_use]
    pub fn held(&self) -> BTreeMap<(plasmon_protocol::id::ObjectKey, ProcessId), Held> {
        let mut held = BTreeMap::new();
        for (key, object) in self.objects.iter() {
            for row in self.references.holders(object.first_row).take(object.rows as usize) {
                held.insert(
                    (key, row.process),
                    Held { process: row.process, counts: row.shown(), reference_type: reference_type(row, object) },
                );
            }
        }
        held
    }

    /// Walks over everything.
    ///
    /// # Errors
    /// The first invariant that does not hold, in words.
    pub fn check(&self) -> Result<(), String> {
        let mut rows = 0;
        let mut visible = (0, 0);
        let mut inlined = (0, 0);
        let mut lease_live: BTreeMap<u32, (u32, u64)> = BTreeMap::new();
        let mut copies: BTreeMap<u32, (u32, u32)> = BTreeMap::new();
        let mut classes = [0; 7];
        let mut spill = super::storage::Spill::default();
        let mut oldest: BTreeMap<SiteId, u64> = BTreeMap::new();
        for (key, object) in self.objects.iter() {
            let mut sum = Counts::default();
            let mut holders = 0;
            for row in self.references.holders(object.first_row).take(object.rows as usize) {
                holders += 1;
                ensure(row.key == key, || format!("{key:?} has a row of {:?}", row.key))?;
                ensure(self.process(row.process).is_some(), || format!("{key:?} is held by dead process {}", row.process))?;
                let [local, pinned, submitted, captured] = row.shown();
                sum.local += local;
                sum.pinned += pinned;
                sum.submitted += submitted;
                sum.captured += captured;
            }
            ensure(holders == object.rows, || format!("{key:?} counts {} rows and has {holders}", object.rows))?;
            ensure(sum == object.counts, || format!("{key:?} sums to {:?} and has {sum:?}", object.counts))?;
            ensure(!sum.is_zero(), || format!("{key:?} is kept though nobody holds it"))?;
            if !object.hidden {
                let oldest = oldest.entry(object.site).or_insert(object.created_ms);
                *oldest = object.created_ms.min(*oldest);
                rows += u64::from(holders);
                visible = (visible.0 + 1, visible.1 + object.length);
            }
            match object.state {
                Some(ObjectState::Inlined) => inlined = (inlined.0 + 1, inlined.1 + object.length),
                Some(ObjectState::InMemory) => {
                    spill.count(object.residency, object.length, true);
                    self.check_record(key, object)?;
                    let Some(place) = object.place else { continue };
                    let lease = self.store.lease(place.lease).ok_or_else(|| format!("{key:?} lies in a lease that is gone"))?;
                    ensure(place.offset >= lease.offset && place.offset + object.length <= lease.end(), || {
                        format!("{key:?} lies outside of its lease")
                    })?;
                    let copies = copies.entry(place.lease.0).or_default();
                    copies.0 += u32::from(object.residency == Residency::Primary);
                    copies.1 += u32::from(object.residency == Residency::Secondary);
                    let entry = lease_live.entry(place.lease.0).or_default();
                    *entry = (entry.0 + 1, entry.1 + lease.extent(place.offset, object.length));
                    classes[object.class() as usize] += object.length;
                }
                _ => ensure(object.place.is_none(), || format!("{key:?} has a place without a value"))?,
            }
            ensure(object.state != Some(ObjectState::Actor) || object.actor, || format!("{key:?} is no actor's"))?;
        }
        for (held, class) in self.abandoned() {
            let lease = self.store.lease(held.place.lease).ok_or_else(|| format!("{:?} is still used and its lease is gone", held.key))?;
            let entry = lease_live.entry(held.place.lease.0).or_default();
            *entry = (entry.0 + 1, entry.1 + lease.extent(held.place.offset, held.length));
            classes[class as usize] += held.length;
        }
        let counted = (self.spill.primary, self.spill.secondary, self.spill.away);
        ensure(counted == (spill.primary, spill.secondary, spill.away), || {
            format!("primary, secondary and spilled bytes are counted as {counted:?} and are {spill:?}")
        })?;
        self.spill.files.check()?;
        for (site, ..) in self.sites.iter() {
            let (counted, oldest) = (self.sites.oldest(site), oldest.get(&site).copied());
            ensure(counted == oldest, || format!("the oldest object of site {site} is of {oldest:?}, not of {counted:?}"))?;
        }
        let mut leased = 0;
        for (index, lease) in self.store.leases() {
            leased += lease.length;
            let (live, extent) = lease_live.get(&index.0).copied().unwrap_or_default();
            ensure((live, extent) == (lease.live, lease.live_extent), || {
                format!("lease {index:?} counts {} objects and has {live}", lease.live)
            })?;
            let copies = copies.get(&index.0).copied().unwrap_or_default();
            ensure((lease.primary, lease.secondary) == copies, || format!("lease {index:?} counts other copies than {copies:?}"))?;
            ensure(lease.owner.is_some() || lease.live > 0, || format!("lease {index:?} has neither owner nor objects"))?;
        }
        let ledger = self.ledger();
        ensure(ledger.unattributed_bytes == 0, || format!("{} bytes unattributed", ledger.unattributed_bytes))?;
        ensure(leased + ledger.free_bytes == ledger.capacity_bytes, || "leases and free ranges don't fill the pool".to_owned())?;
        let lines = [
            ledger.pinned_bytes,
            ledger.spilling_bytes,
            ledger.restoring_bytes,
            ledger.secondary_bytes,
            ledger.argument_bytes,
            ledger.referenced_bytes,
            ledger.captured_bytes,
        ];
        ensure(lines == classes, || format!("ledger {lines:?}, objects {classes:?}"))?;
        let totals = self.totals();
        ensure(totals.references == rows, || format!("{} references counted, {rows} there", totals.references))?;
        ensure((totals.unique_objects, totals.unique_bytes) == visible, || format!("totals {totals:?}, objects {visible:?}"))?;
        ensure((ledger.inlined_objects, ledger.inlined_bytes) == inlined, || format!("inlined {inlined:?}"))?;
        for trace in self.lineage.traces() {
            let whole = self.objects.get(trace).is_some_and(|object| object.hidden && object.counts.captured > 0);
            ensure(whole && self.lineage.wants(trace), || format!("{trace:?} is a trace that nobody needs"))?;
        }
        ensure(self.lineage.bytes() == self.lineage.count(), || "lineage is counted wrong".to_owned())?;
        ensure(self.lineage.bytes() <= self.config.lineage_limit, || format!("{} bytes of lineage", self.lineage.bytes()))?;
        self.check_timers()?;
        self.check_processes()?;
        self.check_oom()?;
        self.check_actors()
    }

    /// Where an object's copies are agrees with what is written down about them.
    fn check_record(&self, key: ObjectKey, object: &Object) -> Result<(), String> {
        let record = object.record.and_then(|record| self.spill.files.record(record));
        let written = matches!(object.residency, Residency::Secondary | Residency::Spilled | Residency::Restoring);
        ensure(record.is_some_and(|record| (record.key, record.length) == (key, object.length)) == written, || {
            format!("{key:?} is {:?} with the record {record:?}", object.residency)
        })?;
        ensure((object.residency == Residency::Spilled) == object.place.is_none(), || {
            format!("{key:?} is {:?} at {:?}", object.residency, object.place)
        })?;
        ensure(object.residency == Residency::Primary || self.spill.config.is_on(), || format!("{key:?} was spilled, which is off"))
    }

    /// Bytes of objects that were freed while a job read or wrote them.
    fn abandoned(&self) -> impl Iterator<Item = (super::storage::Held, Class)> {
        let writes = self.spill.writes.values().flat_map(|write| write.iter().map(|(held, _)| (*held, Class::Spilling)));
        let reads = self.spill.reads.values().flat_map(|read| read.held.iter().map(|held| (*held, Class::Restoring)));
        writes.chain(reads).filter(|(held, _)| self.objects.get(held.key).is_none()).chain(self.lingering.iter().copied())
    }

    /// Each task that waits for its time has one entry, and no other has any.
    fn check_timers(&self) -> Result<(), String> {
        let of = |task: &Task| {
            [task.rare().retry_at_ms, task.rare().limit_at_ms].into_iter().flatten().map(|at_ms| (at_ms, task.key)).collect::<Vec<_>>()
        };
        let timed = self.tasks.values().flat_map(of).collect();
        ensure(self.timers == timed, || format!("timers {:?}, tasks {timed:?}", self.timers))?;
        let early = self.tasks.values().find(|task| task.rare().retry_at_ms.is_some() && task.queue.is_some());
        ensure(early.is_none(), || format!("{early:?} is queued before its time"))
    }

    fn check_actors(&self) -> Result<(), String> {
        for actor in self.actors.values() {
            let key = &actor.key;
            let handle = self.objects.get(*key);
            ensure(actor.lives() == handle.is_some_and(|handle| handle.state != Some(ObjectState::Failed)), || {
                format!("{key:?} is {} as an actor", actor.status)
            })?;
            ensure(actor.running.len() <= actor.max_concurrency as usize, || format!("{key:?} runs {} calls", actor.running.len()))?;
            for call in actor.calls.iter() {
                let waits = |task: &Task| task.role == Role::Method(*key) && task.is_pending() && task.worker.is_none();
                ensure(self.tasks.get(&call).is_some_and(waits), || format!("call {call:?} does not wait for {key:?}"))?;
            }
            ensure(actor.ahead.len() <= AHEAD && (actor.ahead.is_empty() || !actor.has_place()), || {
                format!("{key:?} was sent {} calls ahead and runs {}", actor.ahead.len(), actor.running.len())
            })?;
            for call in &actor.ahead {
                let sent = |task: &Task| task.status == TaskStatus::SubmittedToWorker || !task.is_pending();
                ensure(self.tasks.get(call).is_some_and(|task| sent(task) && task.worker == actor.worker), || {
                    format!("call {call:?} was sent ahead to {key:?} and is not there")
                })?;
            }
            let busy = actor.has_place() && actor.status == ActorStatus::Alive;
            let is_ready = |call: &Task| call.status == TaskStatus::PendingNodeAssignment && call.is_ready_call();
            let ready = |call| self.tasks.get(&call).is_some_and(is_ready);
            let could_run = |call| ready(call) && !self.has_stored_arguments(call);
            let served = !busy || actor.calls.clone().next(could_run).is_none();
            ensure(served, || format!("{key:?} could run a call and does not"))?;
            if let Some(worker) = actor.worker.filter(|_| actor.lives()) {
                ensure(self.process(worker).is_some_and(|process| process.activity == Activity::Actor(*key)), || {
                    format!("{key:?} is not its worker's actor")
                })?;
            }
            let constructor = self.tasks.get(&actor.constructor);
            let kept = constructor.is_some_and(|task| task.status == TaskStatus::Finished && task.retries_left > 0);
            ensure(actor.keeps_constructor == (kept && actor.status == ActorStatus::Alive), || {
                format!("{key:?} is {} and keeps its constructor: {}", actor.status, actor.keeps_constructor)
            })?;
            if actor.lives() {
                ensure(self.jobs.contains_key(&actor.job), || format!("{key:?} outlived its job"))?;
                ensure(actor.name.iter().all(|name| self.actor_names.get(name) == Some(key)), || format!("{key:?} lost its name"))?;
            } else {
                ensure(actor.calls.is_empty() && actor.running.is_empty() && actor.ahead.is_empty(), || {
                    format!("{key:?} is dead and has calls")
                })?;
            }
        }
        let living = self.actors.values().filter(|actor| actor.lives()).count() as u32;
        ensure(living == self.living_actors(), || format!("{living} actors live, and {} are counted", self.living_actors()))?;
        let named = self.actor_names.values().filter(|key| self.actors.get(key).is_some_and(Actor::lives)).count();
        ensure(named == self.actor_names.len(), || "a dead actor has a name".to_owned())?;
        for (id, job) in &self.jobs {
            let workers = |actors: bool| {
                let of_job =
                    self.living_processes().filter(|(_, process)| process.process_type == ProcessType::Worker && process.job == *id);
                of_job.filter(|(_, process)| matches!(process.activity, Activity::Actor(_)) == actors).count()
            };
            ensure((workers(true), workers(false)) == (job.actors as usize, job.workers as usize), || {
                format!("job {id} counts {} actors and {} workers", job.actors, job.workers)
            })?;
        }
        Ok(())
    }

    fn check_processes(&self) -> Result<(), String> {
        let mut reserved = Reserved::new(self.resources.offer().clone());
        for (id, process) in self.living_processes() {
            reserved.add(process);
            let rows = self.references.of_process(process.first_reference);
            let mine: Vec<_> = rows.filter_map(|row| self.objects.get(row.key)).filter(|object| !object.hidden).collect();
            ensure(mine.len() as u64 == process.rows, || format!("process {id} counts {} rows and has {}", process.rows, mine.len()))?;
            let bytes: u64 = mine.iter().map(|object| object.length).sum();
            ensure(bytes == process.held_bytes, || format!("process {id} counts {} bytes and holds {bytes}", process.held_bytes))?;
            if let Activity::Busy(task) = process.activity {
                ensure(self.tasks.get(&task).is_none_or(|task| task.worker.is_none_or(|worker| worker == id)), || {
                    format!("task {task:?} runs elsewhere")
                })?;
            }
            self.check_window(id, process)?;
            ensure(process.first_reference != NONE || mine.is_empty(), || format!("process {id} lost its rows"))?;
        }
        self.check_arguments()?;
        ensure(reserved.sums() == self.resources.sums(), || {
            format!("{:?} reserved in all and for long, {:?} by workers", self.resources.sums(), reserved.sums())
        })?;
        ensure(reserved.each_device() == self.resources.each_device(), || {
            format!("GPUs {:?}, by workers {:?}", self.resources.each_device(), reserved.each_device())
        })?;
        ensure(self.doomed.is_empty() && self.failing.is_empty() && self.serving.is_empty() && self.unreferenced.is_empty(), || {
            "a change was not settled".to_owned()
        })
    }

    /// What was sent to a worker ahead of its turn is there, and asked back when it has to wait.
    fn check_window(&self, id: ProcessId, process: &Process) -> Result<(), String> {
        let window = &process.window;
        let what = || format!("process {id} is {:?} with {window:?}", process.activity);
        ensure(window.ahead.len() <= AHEAD, what)?;
        ensure(window.ahead.is_empty() || matches!(process.activity, Activity::Busy(_)), what)?;
        ensure(window.ahead.is_empty() || window.asking || !process.blocked, what)?;
        ensure(process.activity != Activity::Withdrawn || !window.declined.is_empty(), what)?;
        ensure(process.activity != Activity::Idle || window.declined.is_empty(), what)?;
        for (_, key) in &window.ahead {
            let shape = |task: &Task| process.reservation.as_ref().is_some_and(|reservation| reservation.shape.number == task.shape.number);
            let sent = |task: &Task| task.status == TaskStatus::SubmittedToWorker || !task.is_pending();
            ensure(self.tasks.get(key).is_some_and(|task| sent(task) && task.worker == Some(id) && shape(task)), what)?;
        }
        Ok(())
    }
}

/// Words are made only for what does not hold: this runs after every step of a simulation.
fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}
