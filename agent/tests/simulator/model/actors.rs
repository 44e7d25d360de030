//! Actors: who lives, who may be called, and what their ends bring.

use std::collections::BTreeSet;

use plasmon_protocol::id::{JobId, ObjectKey, ProcessId, TaskKey};
use plasmon_protocol::local::{self, CallRetries, MAX_CONCURRENCY, MAX_NAME};
use plasmon_protocol::record::{ActorStatus, ObjectState, TaskStatus};

use super::messages::{Options, Submission, Verdict, allowed, demanded};
use super::{AGENT, Activity, Answer, Codes, Expected, LOCAL, Model, Role, SUBMITTED, Task, Wants};

#[derive(Debug)]
pub(crate) struct Actor {
    pub(crate) job: JobId,
    pub(crate) class: String,
    pub(crate) name: Option<String>,
    pub(crate) detached: bool,
    pub(crate) status: ActorStatus,
    pub(crate) constructor: TaskKey,
    pub(crate) worker: Option<ProcessId>,
    pub(crate) worker_pid: Option<u32>,
    /// Thousandths of a CPU that it reserves once its constructor has ended.
    pub(crate) wants: Wants,
    pub(crate) max_concurrency: usize,
    /// Calls that were sent and have not ended, in the order of sending.
    pub(crate) running: Vec<TaskKey>,
    /// Calls that were sent and come after the one that runs.
    pub(crate) ahead: Vec<TaskKey>,
    /// Calls that had been sent to a worker that died: sent again before all others.
    pub(crate) again: Vec<TaskKey>,
    pub(crate) restarts: u32,
    pub(crate) max_restarts: u32,
    pub(crate) max_task_retries: u32,
    /// Whose call was sent last.
    pub(crate) last_caller: ProcessId,
    pub(crate) calls_done: u64,
}

impl Actor {
    pub(crate) fn lives(&self) -> bool {
        self.status != ActorStatus::Dead
    }
}

/// How an actor ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// Its worker is told to end by itself.
    Unreferenced,
    /// Its worker is killed.
    AtOnce,
}

impl Model {
    pub(super) fn create_actor(
        &mut self,
        from: ProcessId,
        request: u32,
        key: ObjectKey,
        options: &local::Actor<'_>,
        constructor: &Submission<'_>,
    ) -> Verdict {
        allowed(options.name.len() <= MAX_NAME, "an actor's name that is too long")?;
        allowed((1..=MAX_CONCURRENCY).contains(&options.max_concurrency), "too few or too many calls side by side")?;
        let (placed, held) = (demanded(&options.placed)?, demanded(&options.held)?);
        let grows = (0..5).any(|resource| held.0[resource] > placed.0[resource]) || held.0[1] != placed.0[1];
        allowed(!grows, "an actor that grows after it was placed")?;
        if self.named(options.name).is_some() {
            self.take_staged(from);
            self.take_parent(from);
            self.expect_now(from, request, Answer::Refused("actor_name_taken"));
            return Ok(());
        }
        self.may_create(from, key)?;
        self.may_submit(from, constructor)?;
        self.create(from, key, false);
        if let Some(object) = self.objects.get_mut(&key) {
            object.actor = true;
        }
        let parent = self.sender(from).job;
        let detached = options.detached && self.jobs.contains_key(&parent);
        let job = if detached { self.begin_job(self.last_job.0 + 1) } else { parent };
        if detached {
            self.add(key, AGENT, LOCAL);
            self.programs.push((parent, job));
        }
        if !options.name.is_empty() {
            self.expect_now(from, request, Answer::Ready);
        }
        let actor = Actor {
            job,
            class: constructor.function.rsplit_once("::").map_or(constructor.function, |(class, _)| class).to_owned(),
            name: Some(options.name.to_owned()).filter(|name| !name.is_empty()),
            detached,
            status: ActorStatus::PendingCreation,
            constructor: TaskKey { process: from, number: constructor.number },
            worker: None,
            worker_pid: None,
            wants: held,
            max_concurrency: options.max_concurrency as usize,
            running: Vec::new(),
            ahead: Vec::new(),
            again: Vec::new(),
            restarts: 0,
            max_restarts: options.max_restarts,
            max_task_retries: options.max_task_retries,
            last_caller: AGENT,
            calls_done: 0,
        };
        self.actors.insert(key, actor);
        self.submit(from, constructor, Role::Constructor(key), job)
    }

    /// The living actor with that name.
    fn named(&self, name: &str) -> Option<ObjectKey> {
        let named = |actor: &Actor| actor.lives() && actor.name.as_deref() == Some(name);
        self.actors.iter().find(|(_, actor)| named(actor)).map(|(key, _)| *key)
    }

    pub(super) fn begin_job(&mut self, number: u32) -> JobId {
        self.last_job = JobId(number);
        self.jobs.insert(self.last_job, 0);
        self.last_job
    }

    fn expect_now(&mut self, process: ProcessId, request: u32, answer: Answer) {
        self.expected.push(Expected { process, request, wants_value: true, answer });
    }

    pub(super) fn must_be_handle(&self, key: ObjectKey) -> Verdict {
        allowed(self.objects.get(&key).is_some_and(|object| object.actor), "a handle that is none")
    }

    pub(super) fn call(&mut self, from: ProcessId, actor: ObjectKey, call: &Submission<'_>) -> Verdict {
        self.must_be_handle(actor)?;
        let job = self.sender(from).job;
        self.submit(from, call, Role::Method(actor), job)
    }

    pub(super) fn call_options(&self, actor: ObjectKey, retries: CallRetries) -> Options {
        let of_all = self.actors.get(&actor).map_or(0, |actor| actor.max_task_retries);
        Options { retries: retries.max_task_retries.unwrap_or(of_all), retry_exceptions: retries.retry_exceptions, ..Options::default() }
    }

    /// A call ended with an error, and is tried again before all others.
    pub(super) fn call_again(&mut self, call: TaskKey, actor: ObjectKey) {
        self.actors.get_mut(&actor).expect("it ran the call").again.insert(0, call);
        self.tasks.get_mut(&call).expect("it ran").erred = true;
    }

    pub(super) fn kill_actor(&mut self, actor: ObjectKey, no_restart: bool) -> Verdict {
        self.must_be_handle(actor)?;
        if let Some(living) = self.actors.get(&actor).filter(|actor| actor.lives() && !no_restart) {
            let constructor = &self.tasks[&living.constructor];
            if constructor.retries > 0 {
                self.kills.extend(living.worker.or(constructor.worker));
                return Ok(());
            }
        }
        self.end_actor(actor, End::AtOnce);
        Ok(())
    }

    pub(super) fn find_actor(&mut self, from: ProcessId, request: u32, name: &str) -> Verdict {
        allowed(name.len() <= MAX_NAME, "a name that is too long")?;
        let found = self.named(name);
        if let Some(key) = found {
            self.add(key, from, LOCAL);
        }
        self.expect_now(from, request, found.map_or(Answer::Refused("no_actor"), Answer::Found));
        Ok(())
    }

    /// A constructor has ended well.
    pub(super) fn actor_ready(&mut self, key: ObjectKey, worker: ProcessId) {
        let process = self.sender(worker);
        (process.activity, process.blocked) = (Activity::Actor(key), false);
        let pid = process.pid;
        let actor = self.actors.get_mut(&key).expect("its constructor ran");
        (actor.status, actor.worker, actor.worker_pid) = (ActorStatus::Alive, Some(worker), Some(pid));
        if let Some(object) = self.objects.get_mut(&key) {
            object.state = ObjectState::Actor;
        }
        for task in self.tasks.values_mut().filter(|task| task.status == TaskStatus::PendingArgsAvail && task.needs().contains(&key)) {
            task.met.insert(key);
        }
        self.answer_waiters(key);
    }

    /// A call has ended in the actor that it ran in.
    pub(super) fn leave_actor(&mut self, key: ObjectKey, call: TaskKey, worker: ProcessId) {
        self.sender(worker).blocked = false;
        if let Some(actor) = self.actors.get_mut(&key) {
            actor.running.retain(|running| *running != call);
            actor.calls_done += 1;
            if !actor.ahead.is_empty() && actor.running.is_empty() {
                actor.running.push(actor.ahead.remove(0));
            }
        }
    }

    /// An actor ends: its calls fail, its worker goes, and with a detached one all that it started.
    pub(super) fn end_actor(&mut self, key: ObjectKey, end: End) {
        let Some(actor) = self.actors.get_mut(&key).filter(|actor| actor.lives()) else { return };
        actor.status = ActorStatus::Dead;
        let mut running = std::mem::take(&mut actor.running);
        running.append(&mut actor.ahead);
        actor.again.clear();
        let (detached, job, constructor) = (actor.detached, actor.job, actor.constructor);
        let mut worker = actor.worker;
        running.into_iter().for_each(|call| self.end_lingering(call));
        let constructed = self.tasks.get_mut(&constructor).filter(|task| task.status == TaskStatus::Finished);
        if let Some(task) = constructed {
            let (holder, holds) = (task.holder, std::mem::take(&mut task.holds));
            for object in holds {
                assert!(self.take(object, holder, SUBMITTED), "the model lost a constructor's argument");
            }
        }
        let constructs = self.tasks.get(&constructor).filter(|task| task.is_pending());
        if let Some(task) = constructs {
            worker = worker.or(task.worker);
            self.failing.push((constructor, "actor_died"));
        }
        let calls: Vec<TaskKey> = self.calls_of(key).map(|(call, _)| *call).collect();
        self.failing.extend(calls.into_iter().map(|call| (call, "actor_died")));
        self.causes.insert("actor_died");
        if let Some((worker, process)) = worker.and_then(|worker| Some((worker, self.processes.get_mut(&worker)?))) {
            (process.activity, process.blocked, process.dismissed) = (Activity::Leaving, false, true);
            match end {
                End::Unreferenced => self.exits.insert(worker),
                End::AtOnce => self.kills.insert(worker),
            };
        }
        self.fail_object(key, &Codes::from(["actor_died"]));
        if detached {
            assert!(self.take(key, AGENT, LOCAL), "the model lost a detached actor's handle");
            self.end_job(job);
        }
    }

    /// Whether an actor may be sent a call that runs at once.
    pub(super) fn has_place(&self, actor: ObjectKey) -> bool {
        let takes = |actor: &Actor| actor.status == ActorStatus::Alive && actor.running.len() < actor.max_concurrency;
        self.actors.get(&actor).is_some_and(takes)
    }

    /// An actor's calls that have not ended.
    pub(super) fn calls_of(&self, actor: ObjectKey) -> impl Iterator<Item = (&TaskKey, &Task)> {
        self.tasks.iter().filter(move |(_, task)| task.role == Role::Method(actor) && task.is_pending())
    }

    /// Whether an actor keeps itself: what its constructor took, and keeps for when it is made anew, leads to a handle of it. Counting
    /// references does not see that nobody else has one.
    pub(crate) fn keeps_itself(&self, actor: ObjectKey) -> bool {
        let (mut seen, mut next) = (BTreeSet::new(), vec![actor]);
        while let Some(key) = next.pop() {
            let inside = self.objects.get(&key).into_iter().flat_map(|object| &object.contains);
            let constructor = self.actors.get(&key).filter(|actor| actor.lives()).and_then(|actor| self.tasks.get(&actor.constructor));
            for held in inside.chain(constructor.into_iter().flat_map(|task| &task.holds)) {
                if *held == actor {
                    return true;
                }
                if seen.insert(*held) {
                    next.push(*held);
                }
            }
        }
        false
    }

    /// The callers whose next call of an actor could be sent to it, with that call. A call without its arguments holds up those
    /// behind it.
    pub(super) fn ready_calls(&self, actor: ObjectKey) -> Vec<TaskKey> {
        let mut first: Vec<(TaskKey, TaskStatus)> = Vec::new();
        let again = self.actors.get(&actor).map_or(&[][..], |actor| &actor.again);
        for (key, call) in self.calls_of(actor).filter(|(key, call)| call.worker.is_none() && !again.contains(key)) {
            if first.last().is_none_or(|(before, _)| before.process != key.process) {
                first.push((*key, call.status));
            }
        }
        first.into_iter().filter(|(_, status)| *status == TaskStatus::PendingNodeAssignment).map(|(key, _)| key).collect()
    }

    /// The calls that an actor may be sent next: callers take turns by their numbers, and one whose call waits for its arguments, or rather
    /// for room for them, is passed over.
    pub(super) fn next_calls(&self, actor: ObjectKey) -> Vec<TaskKey> {
        let Some(called) = self.actors.get(&actor) else { return Vec::new() };
        if let Some(first) = called.again.iter().find(|call| self.tasks[call].is_pending()) {
            return Some(*first).into_iter().filter(|first| self.tasks[first].status == TaskStatus::PendingNodeAssignment).collect();
        }
        let ready = self.ready_calls(actor);
        let (earlier, later): (Vec<TaskKey>, Vec<TaskKey>) = ready.into_iter().partition(|call| call.process <= called.last_caller);
        let mut turns = later;
        turns.extend(earlier);
        let first = turns.iter().position(|call| !self.has_stored_arguments(&self.tasks[call]));
        turns.truncate(first.map_or(usize::MAX, |first| first + 1));
        turns
    }

    /// Whether a call may still fail with its actor's end, by what happens at this very moment.
    pub(super) fn may_die(&self, actor: ObjectKey, failing: impl Fn(TaskKey) -> bool) -> bool {
        self.actors.get(&actor).is_some_and(|actor| match actor.status {
            ActorStatus::Dead => true,
            ActorStatus::Alive => false,
            ActorStatus::PendingCreation | ActorStatus::Restarting => {
                let constructor = &self.tasks[&actor.constructor];
                constructor.status == TaskStatus::PendingArgsAvail || failing(actor.constructor)
            }
        })
    }
}
