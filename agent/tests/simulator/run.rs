//! One seed from begin to end.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use plasmon_agent::telemetry::tables::Tables;
use plasmon_protocol::id::{JobId, ObjectKey, ProcessId, TaskKey};
use plasmon_protocol::local::ToAgent;
use plasmon_protocol::record::{ActorStatus, TaskStatus};

use super::bugs::Bug;
use super::client::{Client, Phase, Reading};
use super::model::{Actor, Check, Wants};
use super::world::World;

/// Steps of chance in one seed; the way to rest and to the end come on top.
pub(crate) const STEPS: u32 = 200;
/// After so many rounds without new work, everything must have ended.
const MAX_ROUNDS: u32 = 1000;
/// After so many, actors may have to go, so that others can run.
const PATIENCE: u32 = 12;

/// Runs a seed. What happened is told only if `traced`.
pub(crate) fn run(seed: u64, bug: Option<Bug>, traced: bool) -> (Check, Vec<String>) {
    let mut world = World::new(seed, bug, traced);
    // A panic of the core is a failure like any other.
    let result = catch_unwind(AssertUnwindSafe(|| world.live())).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("panicked: {}", text.unwrap_or_default()))
    });
    (result, world.take_trace())
}

pub(crate) fn is_alive(client: &Client) -> bool {
    client.phase == Phase::Alive
}

fn goes_on(client: &Client) -> bool {
    is_alive(client) && !client.stopped
}

impl World {
    fn live(&mut self) -> Check {
        for _ in 0..self.random.between(1, 3) {
            self.connect_driver();
        }
        for step in 0..STEPS {
            self.note(|| format!("step {step}"));
            self.step()?;
            self.verify()?;
        }
        if self.random.chance(80) {
            self.note(|| "come to rest".to_owned());
            self.rest()?;
            if self.random.chance(50) {
                self.note(|| "let go of everything".to_owned());
                self.let_go()?;
            }
        }
        self.note(|| "end".to_owned());
        self.end()
    }

    /// Some programs go on, some of what they published arrives, some of what they were told is read; and sometimes more.
    fn step(&mut self) -> Check {
        for _ in 0..self.random.between(1, 3) {
            let busy = |client: &Client| goes_on(client) && (!client.worker || !client.tasks.is_empty() || client.leaving);
            let picked = if self.random.chance(90) { self.pick(busy) } else { self.pick(goes_on) };
            let Some(id) = picked else { continue };
            for _ in 0..self.random.between(1, 4) {
                self.with(
                    id,
                    |client, view, random| if client.hostile { client.misbehave(view, random) } else { client.act(view, random) },
                );
            }
        }
        for _ in 0..3 {
            if !self.random.chance(self.haste) {
                continue;
            }
            if let Some(id) = self.pick(|client| !client.ring.is_empty()) {
                let hostile = self.clients[&id].hostile;
                let most = if hostile { 1 } else { self.random.between(1, 8) as usize };
                self.deliver(id, most, false)?;
            }
            if let Some(id) = self.pick(|client| goes_on(client) && !client.inbox.is_empty()) {
                for _ in 0..self.random.between(1, 4) {
                    self.with(id, |client, view, _| client.read(view)).unwrap_or(Ok(()))?;
                }
            }
        }
        if !self.withdrawals.is_empty() && self.random.chance(self.haste) {
            let asked: Vec<ProcessId> = self.withdrawals.iter().copied().collect();
            self.random.pick(&asked).map_or(Ok(()), |id| self.settle_withdrawal(id))?;
        }
        for _ in 0..2 {
            if self.random.chance(self.diligence) {
                self.complete_job(false)?;
            }
        }
        if self.disk.writes() && self.random.chance(10) {
            self.tell_progress()?;
        }
        if self.random.chance(40) { self.surprise() } else { Ok(()) }
    }

    /// Who waits for what can never be, or for what is never given back, would wait for ever.
    fn give_up_on_hopeless(&mut self) -> Check {
        let hopeless = self.model.tasks.values().filter(|task| task.status == TaskStatus::Infeasible);
        let jobs: BTreeSet<JobId> = hopeless.map(|task| task.job).collect();
        // Who does not write what he asked room for keeps it from arguments that are to come back.
        let owners = self.model.leases.iter().filter(|lease| lease.creating && self.model.fetches()).filter_map(|lease| lease.owner);
        let owners: BTreeSet<ProcessId> = owners.map(|(owner, _)| owner).collect();
        let of_job = |id: &ProcessId| self.model.processes.get(id).is_some_and(|process| jobs.contains(&process.job));
        let theirs = |id: &ProcessId| owners.contains(id) || of_job(id);
        let theirs: Vec<ProcessId> = self.clients.keys().copied().filter(theirs).collect();
        for id in theirs {
            self.die(id)?;
        }
        Ok(())
    }

    /// No new work: all tasks end, all that was asked for is answered.
    fn rest(&mut self) -> Check {
        for id in self.those(|client| client.hostile && is_alive(client)) {
            self.die(id)?;
        }
        self.clients.values_mut().for_each(|client| client.stopped = false);
        if self.random.chance(70) {
            self.disk.failing = 0;
        }
        for round in 0..MAX_ROUNDS {
            if round % PATIENCE == PATIENCE - 1 {
                // They may reserve what others wait for, as long as they live.
                self.end_actors(|actor| actor.wants != Wants::default() || actor.status != ActorStatus::Alive)?;
                self.give_up_on_hopeless()?;
            }
            for id in self.those(|_| true) {
                self.rest_one(id)?;
                self.verify()?;
            }
            if self.model.backed < self.model.backing {
                self.back(self.model.backing)?;
            }
            self.complete_all()?;
            self.tick(700)?;
            self.verify()?;
            let resting = self.model.asks.is_empty()
                && self.disk.is_idle()
                && !self.model.awaits_copies()
                && self.model.tasks.values().all(|task| !task.is_pending())
                && self.condemned.is_empty()
                && self.clients.values().all(|client| client.phase == Phase::Alive && client.ring.is_empty() && client.inbox.is_empty());
            if resting {
                // After a failure it waits a while.
                return if self.disk.failing == 0 && !self.disk.failed { self.model.check_sparse() } else { Ok(()) };
            }
        }
        let pending: Vec<_> = self.model.tasks.iter().filter(|(_, task)| task.is_pending()).collect();
        let core = &self.subject.core;
        let reasons: Vec<_> = core.tasks().into_iter().filter_map(|row| Some((row.task_id, row.status, row.reason?))).collect();
        let clients = &self.clients;
        Err(format!("never came to rest: {:?}, {pending:?}, {reasons:?}, {:?}, {clients:?}", self.model.asks, core.store()))
    }

    fn rest_one(&mut self, id: ProcessId) -> Check {
        let Some(client) = self.clients.get(&id) else { return Ok(()) };
        match client.phase {
            Phase::Starting => return self.connect_worker(id),
            Phase::Dead => return self.reap(id),
            Phase::Alive if self.condemned.contains(&id) || client.leaving => return self.die(id),
            Phase::Alive => {}
        }
        let read: Option<Check> = self.with(id, |client, view, random| {
            while !client.inbox.is_empty() {
                client.read(view)?;
            }
            if std::mem::take(&mut client.recalled) {
                for lease in client.idle_leases(view) {
                    client.give_back(lease);
                }
            }
            for _ in 0..client.tasks.len() {
                let Some(running) = client.tasks.first_mut() else { break };
                if !running.started {
                    let begun = running.key;
                    client.begin();
                    // Unless the agent had taken it back.
                    if client.tasks.first().is_none_or(|running| running.key != begun) {
                        continue;
                    }
                } else if std::mem::take(&mut running.blocked) {
                    client.write(&ToAgent::Unblocked);
                }
                client.go_on(view, random);
                if !client.tasks.is_empty() && client.actor.is_some_and(|calls| calls > 1) {
                    client.tasks.rotate_left(1);
                }
            }
            client.publish();
            Ok(())
        });
        read.unwrap_or(Ok(()))?;
        self.settle_withdrawal(id)?;
        while self.clients.get(&id).is_some_and(|client| !client.ring.is_empty()) {
            self.deliver(id, 6, false)?;
        }
        Ok(())
    }

    /// A driver comes that ends actors, whoever has handles to them.
    fn end_actors(&mut self, which: impl Fn(&Actor) -> bool) -> Check {
        let actors: Vec<ObjectKey> =
            self.model.actors.iter().filter(|(_, actor)| actor.lives() && which(actor)).map(|(key, _)| *key).collect();
        if actors.is_empty() {
            return Ok(());
        }
        let id = self.connect_driver();
        for actor in actors {
            // The one before may have held its last handle.
            if !self.model.actors.get(&actor).is_some_and(Actor::lives) {
                continue;
            }
            self.with(id, |client, _, _| {
                client.hostile = false;
                client.write(&ToAgent::KillActor { actor, no_restart: true, site: 0 });
                client.publish();
            });
            self.deliver(id, 1, false)?;
            self.verify()?;
        }
        self.with(id, |client, _, _| {
            client.write(&ToAgent::Bye);
            client.publish();
        });
        self.deliver(id, 1, false)?;
        self.die(id)?;
        self.reap(id)?;
        self.verify()
    }

    /// Everybody drops all it has: nothing may be left, though everybody lives.
    fn let_go(&mut self) -> Check {
        self.disk.failing = 0;
        let keeps_itself = |(key, actor): (&ObjectKey, &Actor)| self.model.keeps_itself(*key).then_some(actor.constructor);
        let rings: BTreeSet<TaskKey> = self.model.actors.iter().filter_map(keeps_itself).collect();
        self.end_actors(|actor| actor.detached || rings.contains(&actor.constructor))?;
        for round in 0..3 {
            self.complete_all()?;
            for id in self.those(is_alive) {
                self.with(id, |client, view, random| {
                    if round == 0 {
                        client.table.retain(|(_, _, reading)| *reading != Reading::Moment);
                        let pins: Vec<(ObjectKey, u32)> = client.pins.iter().map(|(key, count)| (*key, *count)).collect();
                        pins.iter().for_each(|(key, count)| (0..*count).for_each(|_| client.drop_pin(*key)));
                        let handles: Vec<(ObjectKey, u32)> = client.handles.iter().map(|(key, count)| (*key, *count)).collect();
                        handles.iter().for_each(|(key, count)| (0..*count).for_each(|_| client.drop_handle(*key, random)));
                        client.viewed().into_iter().for_each(|key| client.drop_view(key, random));
                    } else {
                        for lease in client.idle_leases(view) {
                            client.give_back(lease);
                        }
                    }
                    client.publish();
                });
                while self.clients.get(&id).is_some_and(|client| !client.ring.is_empty()) {
                    let most = self.random.between(1, 9) as usize;
                    self.deliver(id, most, false)?;
                }
                self.verify()?;
            }
        }
        self.remove_all()?;
        let ledger = self.subject.core.ledger();
        if self.disk.is_empty()
            && self.model.storage.files.is_empty()
            && self.model.objects.is_empty()
            && ledger.free_bytes == ledger.capacity_bytes
        {
            Ok(())
        } else {
            Err(format!("all let go, but this is left: {:?} {:?} {ledger:?}", self.model.rows, self.model.leases))
        }
    }

    /// Everybody dies, in any order.
    fn end(&mut self) -> Check {
        loop {
            // An actor may still be about to begin, as soon as its arguments are there.
            let Some(id) = self.pick(|_| true) else {
                // They may be made anew for ever.
                self.end_actors(|actor| actor.detached)?;
                self.remove_all()?;
                if self.clients.is_empty() && !self.model.tasks.values().any(|task| task.waits_for_worker()) {
                    break;
                }
                if self.clients.is_empty() {
                    self.tick(700)?;
                    self.verify()?;
                }
                continue;
            };
            if self.clients[&id].phase == Phase::Dead || self.random.chance(70) {
                self.die(id)?;
                self.reap(id)?;
            } else {
                self.die(id)?;
            }
            if self.random.chance(30) {
                self.complete_job(true)?;
            }
            self.verify()?;
        }
        if !self.disk.is_empty() {
            return Err(format!("files are left: {:?}", self.disk));
        }
        self.model.check_empty(&self.subject.core)
    }
}
