//! Actors are created, called, and end. A handle is a reference to an object without a value, which lives as long as anybody holds
//! it; so an actor's end, after its queued calls, is the end of that object.

use std::collections::VecDeque;
use std::sync::Arc;

use plasmon_protocol::error::Error;
use plasmon_protocol::id::{ObjectKey, ProcessId, TaskKey};
use plasmon_protocol::local::{self, CallRetries, MAX_CONCURRENCY, MAX_NAME, Outcome, ToClient, Work};
use plasmon_protocol::record::{ActorStatus, EventKind, ObjectState, Severity};

use super::process::Root;
use super::tasks::{Submission, demanded};
use super::{Activity, Core, Outbox, Violation};
use crate::references::table::Count;
use crate::scheduler::actor::Actor;
use crate::scheduler::calls::Calls;
use crate::scheduler::task::{Role, Task};

/// Bytes of the cause of an actor's end.
const MAX_CAUSE: usize = 1024;
/// Ended actors kept for viewers.
const MAX_ENDED_ACTORS: usize = 1000;

/// How an actor is to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// Nobody can call it any more: its worker runs its destructor and exits.
    Unreferenced,
    /// At once.
    Killed,
    /// At once, because its job is over: no misfortune.
    Over,
    /// At once, because its own code wants it so.
    Left,
}

impl End {
    fn event(self) -> (EventKind, Severity, &'static str) {
        match self {
            Self::Killed => (EventKind::ActorDied, Severity::Warning, "died"),
            Self::Unreferenced | Self::Over | Self::Left => (EventKind::ActorEnded, Severity::Info, "ended"),
        }
    }
}

impl Core {
    pub(super) fn on_create_actor(
        &mut self,
        from: ProcessId,
        request: u32,
        key: ObjectKey,
        options: local::Actor<'_>,
        constructor: Submission<'_>,
        out: &mut impl Outbox,
    ) -> Result<(), Violation> {
        if options.name.len() > MAX_NAME || !(1..=MAX_CONCURRENCY).contains(&options.max_concurrency) {
            let (name, calls) = (options.name.len(), options.max_concurrency);
            return Err(Violation(format!("actor with a name of {name} bytes that runs {calls} calls side by side")));
        }
        demanded(&options.placed)?;
        demanded(&options.held)?;
        let placed = self.shapes.intern(&options.placed, self.resources.offer());
        let held = self.shapes.intern(&options.held, self.resources.offer());
        if !placed.covers(&held) || placed.gpus() != held.gpus() {
            return Err(Violation(format!("actor that reserves {} in a place of {}", held.asked, placed.asked)));
        }
        let Some(creator) = self.process(from) else { return Ok(()) };
        let (creator_pid, parent) = (creator.pid, creator.job);
        let site = self.site_from(from, constructor.site);
        if let Some(taken) = self.actor_names.get(options.name).and_then(|actor| self.actors.get(actor)) {
            let error = Error::ActorNameTaken {
                name: options.name.to_owned(),
                class: taken.short_class().to_owned(),
                site: self.sites.get(taken.site).short(),
            };
            self.take_staged(from);
            self.take_parent(from);
            out.send(from, &ToClient::Refused { request, error });
            return Ok(());
        }
        self.can_submit(from, &constructor)?;
        self.create(from, key, site, false)?;
        let number = TaskKey { process: from, number: constructor.number };
        if let Some(object) = self.objects.get_mut(key) {
            object.actor = true;
            object.cold_mut().task = Some(number);
        }
        out.publish(key, Some(ObjectState::Pending), 0, 0);
        self.hold(from, key, Count::Local, site)?;
        let mut job = parent;
        if let Some(name) = self.jobs.get(&parent).filter(|_| options.detached).map(|job| Arc::clone(&job.name)) {
            // What a detached actor starts lives as long as it does, whatever becomes of its creator's job.
            job = self.begin_job(Root::Actor(key), name);
            out.share_program(parent, job);
            self.hold(ProcessId(0), key, Count::Local, site)?;
        }
        let name: Option<Arc<str>> = (!options.name.is_empty()).then(|| options.name.into());
        if let Some(name) = &name {
            self.actor_names.insert(Arc::clone(name), key);
            out.send(from, &ToClient::Resolved { request, outcome: Outcome::Ready });
        }
        let actor = Actor {
            key,
            class: constructor.function.rsplit_once("::").map_or(constructor.function, |(class, _)| class).into(),
            name,
            detached: job != parent,
            job,
            creator: from,
            creator_pid,
            site,
            constructor: number,
            status: ActorStatus::PendingCreation,
            worker: None,
            worker_pid: None,
            held,
            max_restarts: options.max_restarts,
            restarts: 0,
            max_task_retries: options.max_task_retries,
            max_concurrency: options.max_concurrency,
            calls: Calls::default(),
            preparing: Vec::new(),
            running: Vec::new(),
            ahead: VecDeque::new(),
            turn_ms: 0,
            quick: None,
            most_ahead: 0,
            calls_done: 0,
            keeps_constructor: false,
            created_ms: self.now_ms,
            ended_ms: None,
            cause: None,
        };
        self.actors.insert(actor);
        self.submit(from, constructor, Role::Constructor(key), job, out)
    }

    pub(super) fn on_call(
        &mut self,
        from: ProcessId,
        actor: ObjectKey,
        call: Submission<'_>,
        out: &mut impl Outbox,
    ) -> Result<(), Violation> {
        self.must_be_handle(actor)?;
        let Some(process) = self.process(from) else { return Ok(()) };
        let job = process.job;
        self.submit(from, call, Role::Method(actor), job, out)
    }

    /// How a call runs that is to be tried again so.
    pub(super) fn call_options(&self, actor: ObjectKey, retries: CallRetries) -> local::Task<'static> {
        let of_all = || self.actors.get(&actor).map_or(0, |actor| actor.max_task_retries);
        let max_retries = retries.max_task_retries.unwrap_or_else(of_all);
        local::Task { max_retries, retry_exceptions: retries.retry_exceptions, ..local::Task::default() }
    }

    /// A call ended with an error and is tried again: it goes before all that its actor was not sent yet, which wait for it meanwhile.
    pub(super) fn call_again(&mut self, call: TaskKey, actor: ObjectKey) {
        if let Some(actor) = self.actors.get_mut(&actor) {
            actor.calls.push_again(call);
            self.serving.push(actor.key);
        }
    }

    fn must_be_handle(&self, key: ObjectKey) -> Result<(), Violation> {
        match self.objects.get(key) {
            Some(object) if object.actor => Ok(()),
            _ => Err(Violation(format!("word of actor {} which is none", key.on(self.config.node)))),
        }
    }

    /// A call has been submitted: it takes its place in the actor's queue, or fails with what ended the actor.
    ///
    /// Returns false when the actor is dead.
    pub(super) fn queue_call(&mut self, call: TaskKey, key: ObjectKey) -> bool {
        if let Some(actor) = self.actors.get_mut(&key).filter(|actor| actor.lives()) {
            actor.calls.push(call);
            return true;
        }
        let value = self.objects.get(key).and_then(|object| object.cold.as_ref()).map(|cold| &cold.value);
        let error = value.and_then(|value| local::decode::<Error>("the agent", value).ok());
        self.failing.push((call, error.unwrap_or_else(|| self.actor_died(key, "it ended long ago"))));
        false
    }

    /// Sends an actor as many calls as it may run, and quick ones ahead. A call goes when its arguments are in the store and kept there
    /// for it; calls of other callers do not wait for that. None with much of such arguments is sent ahead: those whom the call before it
    /// waits for may need the room.
    pub(super) fn serve_actor(&mut self, key: ObjectKey, out: &mut impl Outbox) {
        let now_ms = self.now_ms;
        if let Some(worker) = self.actors.get(&key).filter(|actor| !actor.running.is_empty()).and_then(|actor| actor.worker) {
            // It may have gone to sleep before it saw what it was sent ahead.
            out.wake(worker);
        }
        let mut waits: Vec<TaskKey> = Vec::new();
        let mut crowded = false;
        while let Some(actor) = self.actors.get(&key).filter(|actor| actor.status == ActorStatus::Alive) {
            let has_place = actor.has_place();
            let Some(worker) = actor.worker.filter(|_| has_place || actor.may_be_sent_ahead()) else { break };
            let ready = |call| !waits.contains(&call) && self.tasks.get(&call).is_some_and(Task::is_ready_call);
            crowded = !out.has_room(worker);
            if crowded {
                break;
            }
            let Some(call) = actor.calls.first(ready) else { break };
            let quick = || self.tasks.get(&call).is_some_and(|call| actor.quick.as_ref() == Some(&call.function));
            let stored = self.has_stored_arguments(call);
            // Nobody goes before the one whose turn it is.
            if !has_place && (!quick() || (stored && !self.has_few_arguments(call))) {
                break;
            }
            if stored && !self.prepare_call(key, call) {
                waits.push(call);
                continue;
            }
            let Some(actor) = self.actors.get_mut(&key) else { break };
            actor.calls.next(|ready| ready == call);
            actor.preparing.retain(|preparing| *preparing != call);
            if has_place {
                if actor.running.is_empty() {
                    actor.turn_ms = now_ms;
                }
                actor.running.push(call);
            } else {
                actor.ahead.push_back(call);
            }
            self.run(call, worker, Work::Method, !has_place, out);
        }
        let may_run_more = |actor: &Actor| actor.has_place() && actor.worker.is_some();
        if self.actors.get(&key).is_some_and(|actor| !actor.preparing.is_empty() && (crowded || !may_run_more(actor))) {
            self.let_calls_wait(key);
        }
    }

    /// A call has ended in its actor, whatever it came to.
    pub(super) fn leave_actor(&mut self, worker: ProcessId, call: TaskKey) {
        let now_ms = self.now_ms;
        let Some(process) = self.process_mut(worker) else { return };
        let Activity::Actor(key) = process.activity else { return };
        process.tasks_done += 1;
        let was_blocked = std::mem::take(&mut process.blocked);
        let Some(actor) = self.actors.get_mut(&key) else { return };
        let method = self.tasks.get(&call).map(|task| &task.function);
        actor.end_call(call, method, now_ms);
        if let Some(task) = self.tasks.get_mut(&call) {
            task.blocked = false;
            task.worker = None;
        }
        self.end_lingering(call);
        if was_blocked {
            self.lend_cpus(worker, false);
        }
        self.serving.push(key);
    }

    /// An actor's constructor has ended well: its worker takes calls from here on, and no other tasks.
    pub(super) fn actor_ready(&mut self, key: ObjectKey, worker: ProcessId, out: &mut impl Outbox) {
        self.unblock(worker);
        self.give_back(worker);
        let Some(actor) = self.actors.get_mut(&key) else { return };
        actor.status = ActorStatus::Alive;
        actor.worker = Some(worker);
        let (held, title) = (Arc::clone(&actor.held), actor.title());
        let Some(process) = self.process_mut(worker) else { return };
        process.activity = Activity::Actor(key);
        process.tasks_done += 1;
        let (pid, job) = (process.pid, process.job);
        self.reserve(worker, held);
        if let Some(job) = self.jobs.get_mut(&job) {
            job.workers -= 1;
            job.actors += 1;
        }
        if let Some(actor) = self.actors.get_mut(&key) {
            actor.worker_pid = Some(pid);
        }
        if let Some(object) = self.objects.get_mut(key) {
            object.state = Some(ObjectState::Actor);
            out.publish(key, Some(ObjectState::Actor), 0, 0);
        }
        self.notify(key, out);
        let message = format!("actor {title} takes calls in worker {pid}");
        self.event_about(EventKind::ActorCreated, Severity::Info, Some(pid), Some(self.actor_target(key)), message);
        self.serving.push(key);
        self.dispatch_wanted = true;
    }

    pub(super) fn on_kill_actor(
        &mut self,
        from: ProcessId,
        key: ObjectKey,
        no_restart: bool,
        site: u32,
        out: &mut impl Outbox,
    ) -> Result<(), Violation> {
        self.must_be_handle(key)?;
        let place = self.sites.get(self.site_from(from, site)).short();
        if no_restart && self.worker_of(key) == Some(from) {
            self.end_actor(key, &format!("it exited by itself at {place}"), End::Left, out);
            return Ok(());
        }
        let cause = format!("killed by process {} at {place}", self.pid(from));
        if !no_restart && self.can_restart(key) {
            self.kill_worker_of(key, &cause, out);
            return Ok(());
        }
        self.end_actor(key, &cause, End::Killed, out);
        Ok(())
    }

    pub(super) fn on_find_actor(
        &mut self,
        from: ProcessId,
        request: u32,
        name: &str,
        site: u32,
        out: &mut impl Outbox,
    ) -> Result<(), Violation> {
        if name.len() > MAX_NAME {
            return Err(Violation(format!("name of {} bytes", name.len())));
        }
        let Some(key) = self.actor_names.get(name).copied() else {
            out.send(from, &ToClient::Refused { request, error: Error::NoActor { name: name.to_owned() } });
            return Ok(());
        };
        let site = self.site_from(from, site);
        self.hold(from, key, Count::Local, site)?;
        let class = self.actors.get(&key).map_or("", |actor| &actor.class);
        out.send(from, &ToClient::Found { request, actor: key, class });
        Ok(())
    }

    /// Nobody holds a handle any more, and no call is under way.
    pub(super) fn end_unreferenced(&mut self, key: ObjectKey, out: &mut impl Outbox) {
        self.end_actor(key, "its last handle is gone", End::Unreferenced, out);
    }

    /// Ends an actor: its calls fail, its worker goes, and so does all that a detached one started.
    pub(super) fn end_actor(&mut self, key: ObjectKey, cause: &str, end: End, out: &mut impl Outbox) {
        let now_ms = self.now_ms;
        let Some(actor) = self.actors.get_mut(&key).filter(|actor| actor.lives()) else { return };
        actor.status = ActorStatus::Dead;
        actor.ended_ms = Some(now_ms);
        // Each actor of a chain may have died of the one before: what they say of it must not grow.
        let cause = &cause[..cause.floor_char_boundary(MAX_CAUSE)];
        actor.cause = Some(cause.to_owned());
        let mut calls = std::mem::take(&mut actor.running);
        calls.extend(actor.ahead.drain(..));
        calls.extend(actor.calls.take());
        let (title, pid, detached, job, constructor) = (actor.title(), actor.worker_pid, actor.detached, actor.job, actor.constructor);
        let mut worker = actor.worker;
        if let Some(name) = actor.name.clone() {
            self.actor_names.remove(&name);
        }
        if let Some(task) = self.tasks.get(&constructor).filter(|task| task.is_pending()) {
            worker = worker.or(task.worker);
            calls.push(constructor);
        }
        self.release_constructor(key);
        calls.iter().for_each(|call| self.end_lingering(*call));
        let error = self.actor_died(key, cause);
        // The last to be pushed fails first.
        self.failing.extend(calls.into_iter().rev().map(|call| (call, error.clone())));
        if let Some(worker) = worker {
            self.retire(worker, end, out);
        }
        self.fail_object(key, &error, out);
        let (kind, severity, what) = end.event();
        self.event_about(kind, severity, pid, Some(self.actor_target(key)), format!("actor {title} {what}: {cause}"));
        if detached {
            self.release(ProcessId(0), key, Count::Local);
            self.end_job(job, &format!("its actor {title} {what}"), out);
        }
        self.ended_actors.push_back(key);
        if self.ended_actors.len() > MAX_ENDED_ACTORS
            && let Some(oldest) = self.ended_actors.pop_front()
        {
            self.actors.remove(&oldest);
        }
    }

    /// Ends the worker that is, or was to be, an actor.
    pub(super) fn retire(&mut self, worker: ProcessId, end: End, out: &mut impl Outbox) {
        self.unblock(worker);
        self.give_back(worker);
        self.dispatch_wanted = true;
        let Some(process) = self.process_mut(worker) else { return };
        let (was, job) = (std::mem::replace(&mut process.activity, Activity::Leaving), process.job);
        if let (Activity::Actor(_), Some(job)) = (was, self.jobs.get_mut(&job)) {
            job.actors -= 1;
            job.workers += 1;
        }
        self.dismissed.insert(worker);
        match end {
            End::Unreferenced => out.send(worker, &ToClient::Exit),
            End::Killed | End::Over | End::Left => out.kill(worker),
        }
    }

    /// What calls of an actor come to that it can not run, because of `cause`.
    pub(super) fn actor_died(&self, key: ObjectKey, cause: &str) -> Error {
        let actor = self.actors.get(&key);
        Error::ActorDied {
            actor: key.on(self.config.node).into(),
            class: actor.map_or("", Actor::short_class).to_owned(),
            name: actor.and_then(|actor| actor.name.as_deref()).unwrap_or_default().to_owned(),
            pid: actor.and_then(|actor| actor.worker_pid).unwrap_or(0),
            site: actor.map_or_else(String::new, |actor| self.sites.get(actor.site).short()),
            cause: cause.to_owned(),
        }
    }
}
