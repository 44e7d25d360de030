//! Tasks are submitted, wait for their arguments, and end.

use plasmon_protocol::error::Error;
use plasmon_protocol::id::{JobId, ObjectKey, ProcessId, SiteId, TaskId, TaskKey};
use plasmon_protocol::local::{self, Ending, INLINE, MAX_RAISED, Value};
use plasmon_protocol::record::{EventKind, ObjectState, Severity, TaskStatus};
use plasmon_protocol::resources::Demand;
use plasmon_protocol::stream::Target;
use smallvec::SmallVec;

use super::actors::End;
use super::messages::bounded;
use super::retries::Loss;
use super::{Activity, Core, MAX_ENDED_TASKS, Outbox, Violation};
use crate::references::table::Count;
use crate::scheduler::actor::Actor;
use crate::scheduler::task::{Argument, Keys, Role, Task};

/// Bytes of an encoded error that a worker may send: it goes on to whoever asks for the results.
const MAX_ERROR: usize = 16 << 10;
/// Arguments of one task.
const MAX_ARGUMENTS: usize = 1000;
/// Bytes of inlined arguments of one task: they must fit the message to its worker.
const MAX_INLINED_ARGUMENTS: usize = 16 << 10;

/// A task as its submitter describes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Submission<'a> {
    /// Counts the submitter's tasks.
    pub(super) number: u32,
    pub(super) function: &'a str,
    pub(super) arguments: &'a [local::Argument<'a>],
    pub(super) returns: &'a [ObjectKey],
    pub(super) options: &'a local::Task<'a>,
    /// The submitter's number of the place.
    pub(super) site: u32,
}

impl Core {
    /// A new task. Takes the staged references as nested in its arguments.
    pub(super) fn submit(
        &mut self,
        from: ProcessId,
        submission: Submission<'_>,
        role: Role,
        job: JobId,
        out: &mut impl Outbox,
    ) -> Result<(), Violation> {
        self.can_submit(from, &submission)?;
        let Submission { number, function, arguments, returns, options, site } = submission;
        let nested = self.take_staged(from);
        let parent = self.take_parent(from);
        let now_ms = self.now_ms;
        let Some(process) = self.process_mut(from) else { return Ok(()) };
        process.last_task = number;
        let site = process.site(site);
        let key = TaskKey { process: from, number };
        let mut holds = Keys::from(nested);
        // A handle counts as held until the calls that were made through it, and the constructor, have ended.
        holds.extend(role.actor());
        let mut kept = SmallVec::with_capacity(arguments.len());
        for argument in arguments {
            kept.push(match argument {
                local::Argument::Inline(bytes) => Argument::Inline((*bytes).into()),
                local::Argument::Object(object) => {
                    holds.push(*object);
                    Argument::Object(*object)
                }
                local::Argument::Block(object) => {
                    holds.push(*object);
                    Argument::Block(*object)
                }
                local::Argument::Value(..) => return Err(only_from_agent()),
            });
        }
        holds.sort_unstable();
        holds.dedup();
        for result in returns {
            self.create(from, *result, site, false)?;
            self.hold(from, *result, Count::Local, site)?;
            if let Some(object) = self.objects.get_mut(*result) {
                object.cold_mut().task = Some(key);
            }
            out.publish(*result, Some(ObjectState::Pending), 0, 0);
        }
        for object in &holds {
            self.hold(from, *object, Count::Submitted, site)?;
        }
        let shape = self.shapes.intern(&options.demand, self.resources.offer());
        let task = Task {
            job,
            site,
            arguments: kept,
            returns: Keys::from_slice(returns),
            holds,
            max_retries: options.max_retries,
            retries_left: options.max_retries,
            retry_exceptions: options.retry_exceptions,
            timeout_ms: options.timeout_ms,
            parent,
            ..Task::new(key, self.names.intern(function), role, shape, now_ms)
        };
        self.status_changed(None, TaskStatus::PendingArgsAvail);
        self.tasks.insert(task);
        if let Some(error) = self.refuses_task_of(from) {
            self.failing.push((key, error));
        } else if let Some(error) = self.orphaned(key) {
            self.failing.push((key, error));
        } else if let Some(job) = self.jobs.get_mut(&job) {
            job.pending.insert(key);
            let queued = match role {
                Role::Method(actor) => self.queue_call(key, actor),
                Role::Function | Role::Constructor(_) => true,
            };
            if queued {
                self.await_arguments(key);
            }
        } else {
            // Published by a worker before it learned of its driver's end.
            self.cancel_tasks(vec![key], "its driver ended");
        }
        Ok(())
    }

    /// Whether a task may be submitted so. Asked before anything is changed: what a refused task or actor held would have no end.
    pub(super) fn can_submit(&self, from: ProcessId, submission: &Submission<'_>) -> Result<(), Violation> {
        let Submission { number, function, arguments, options, .. } = *submission;
        bounded("function", function)?;
        demanded(&options.demand)?;
        let Some(process) = self.process(from) else { return Ok(()) };
        if number <= process.last_task {
            return Err(Violation(format!("task {number} submitted after task {}", process.last_task)));
        }
        let there = |object: &ObjectKey| match self.objects.get(*object) {
            Some(_) => Ok(()),
            None => Err(Violation(format!("argument with object {} which is not there", object.on(self.config.node)))),
        };
        let mut inlined = 0;
        for argument in arguments {
            match argument {
                local::Argument::Inline(bytes) => inlined += bytes.len(),
                local::Argument::Object(object) | local::Argument::Block(object) => there(object)?,
                local::Argument::Value(..) => return Err(only_from_agent()),
            }
        }
        if inlined > MAX_INLINED_ARGUMENTS || arguments.len() > MAX_ARGUMENTS {
            return Err(Violation(format!("{} arguments with {inlined} bytes inlined", arguments.len())));
        }
        process.staged.iter().try_for_each(there)
    }

    /// Counts the arguments that have no value yet; without any, the task is ready or has failed already.
    pub(super) fn await_arguments(&mut self, key: TaskKey) {
        let Some(task) = self.tasks.get(&key) else { return };
        if !task.shape.feasible {
            self.report_infeasible(key);
            return;
        }
        let mut waits_for = 0;
        let mut error = None;
        for object in task.objects() {
            match self.objects.get_mut(object) {
                Some(object) if object.state == Some(ObjectState::Pending) => {
                    waits_for += 1;
                    object.cold_mut().dependents.insert(key);
                }
                Some(object) if object.state == Some(ObjectState::Failed) => {
                    error = object.cold.as_ref().and_then(|cold| local::decode::<Error>("the agent", &cold.value).ok());
                }
                _ => {}
            }
        }
        if let Some(error) = error {
            self.failing.push((key, error));
        } else if waits_for == 0 {
            self.make_ready(key);
        } else if let Some(task) = self.tasks.get_mut(&key) {
            task.waits_for = waits_for;
        }
    }

    /// One of a task's arguments has its value now.
    pub(super) fn argument_ready(&mut self, key: TaskKey) {
        let Some(task) = self.tasks.get_mut(&key) else { return };
        if task.status == TaskStatus::PendingArgsFetch {
            return self.argument_fetched(key);
        }
        if task.status != TaskStatus::PendingArgsAvail || task.waits_for == 0 {
            return;
        }
        task.waits_for -= 1;
        if task.waits_for == 0 {
            self.make_ready(key);
        }
    }

    /// Queues a task for a CPU and a worker, or a call for its actor.
    pub(super) fn make_ready(&mut self, key: TaskKey) {
        let Some(task) = self.tasks.get_mut(&key) else { return };
        let before = std::mem::replace(&mut task.status, TaskStatus::PendingNodeAssignment);
        task.waiting_since_ms = self.now_ms;
        match task.role {
            Role::Method(actor) => self.serving.push(actor),
            // Its arguments came before its time.
            _ if task.rare().retry_at_ms.is_some() => {}
            Role::Function | Role::Constructor(_) => self.enqueue(key),
        }
        self.status_changed(Some(before), TaskStatus::PendingNodeAssignment);
        self.dispatch_wanted = true;
    }

    pub(super) fn on_started(&mut self, from: ProcessId, key: TaskKey) -> Result<(), Violation> {
        let now_ms = self.now_ms;
        let Some(task) = self.running(from, key)?.filter(|task| task.is_pending()) else { return Ok(()) };
        let before = std::mem::replace(&mut task.status, TaskStatus::Running);
        task.started_ms = Some(now_ms);
        self.status_changed(Some(before), TaskStatus::Running);
        self.limit_attempt(key);
        Ok(())
    }

    pub(super) fn on_output(&mut self, from: ProcessId, key: TaskKey, value: Value<'_>, out: &mut impl Outbox) -> Result<(), Violation> {
        if let Value::Inline(bytes) = value
            && bytes.len() > INLINE
        {
            return Err(Violation(format!("inlined result of {} bytes", bytes.len())));
        }
        let contains = self.take_staged(from);
        let Some(task) = self.running(from, key)? else {
            // Cancelled meanwhile: the bytes go back to where they came from.
            return self.resolve(from, ObjectKey::default(), value, contains, out);
        };
        let Some(result) = task.result(task.outputs) else {
            return Err(Violation(format!("result {} of a task that has {}", task.outputs + 1, task.results())));
        };
        // Only a trace is left of what was let go meanwhile.
        let is_seen = !self.lineage.is_trace(result);
        self.resolve(from, result, value, contains, out)?;
        if let Some(task) = self.tasks.get_mut(&key) {
            task.outputs += 1;
            task.yielded = task.yielded.max(task.outputs);
        }
        if is_seen {
            self.reveal(result);
        }
        Ok(())
    }

    pub(super) fn on_ended(&mut self, from: ProcessId, key: TaskKey, ending: Ending, out: &mut impl Outbox) -> Result<(), Violation> {
        match &ending {
            Ending::Finished | Ending::Withdrawn | Ending::Exhausted => {}
            Ending::Failed { message, value, .. } => {
                bounded("error", message)?;
                if value.len() > MAX_RAISED {
                    return Err(Violation(format!("error value of {} bytes", value.len())));
                }
            }
            Ending::Panicked { message, place } => {
                bounded("panic", message)?;
                bounded("place", place)?;
            }
            Ending::Refused(error) => {
                let length = local::encode(error).map_or(usize::MAX, |bytes| bytes.len());
                if length > MAX_ERROR {
                    return Err(Violation(format!("error of {length} bytes")));
                }
            }
        }
        if ending == Ending::Withdrawn {
            return self.on_task_declined(from, key, out);
        }
        let Some(task) = self.running(from, key)? else {
            self.leave_actor(from, key);
            return Ok(());
        };
        // Its submitter made room for results of what is no generator.
        let ending = match ending {
            Ending::Finished if task.streams => Ending::Exhausted,
            ending => ending,
        };
        if ending == Ending::Finished && task.outputs < task.results() {
            return Err(Violation(format!("task ended with {} of {} results", task.outputs, task.results())));
        }
        let (pending, role) = (task.is_pending(), task.role);
        match role {
            Role::Constructor(actor) if pending && ending == Ending::Finished => self.actor_ready(actor, from, out),
            Role::Constructor(_) if ending == Ending::Exhausted => return Err(Violation("a constructor that yields".to_owned())),
            Role::Function | Role::Constructor(_) => self.leave_worker(key, out),
            Role::Method(_) => self.leave_actor(from, key),
        }
        if !pending {
            return Ok(());
        }
        match ending {
            Ending::Finished | Ending::Exhausted => {
                if ending == Ending::Exhausted {
                    self.exhaust(key, out);
                }
                self.end_task(key, TaskStatus::Finished);
                self.make_what_is_missing(key, out);
            }
            Ending::Failed { message, listed, value } => {
                let (task, name, pid, site) = self.told_as(key, from);
                let loss = Loss::Exception { error: Error::TaskFailed { task, name, pid, site, message, value: value.into() }, listed };
                if let Some(error) = self.lose_attempt(key, &loss) {
                    self.fail_task(key, error, out);
                }
            }
            Ending::Panicked { message, place } => {
                let (task, name, pid, site) = self.told_as(key, from);
                let error = Error::TaskPanicked { task, name, pid, site, message, place };
                let loss = Loss::Exception { error, listed: false };
                if let Some(error) = self.lose_attempt(key, &loss) {
                    self.fail_task(key, error, out);
                }
            }
            Ending::Refused(error) => self.fail_task(key, error, out),
            Ending::Withdrawn => {}
        }
        Ok(())
    }

    /// What the error of a task in this worker calls it: its id, its function, its process, its site.
    fn told_as(&self, key: TaskKey, worker: ProcessId) -> (TaskId, String, u32, String) {
        let (name, site) = self.tasks.get(&key).map(|task| (task.function.to_string(), self.site_of(task))).unwrap_or_default();
        (key.on(self.config.node), name, self.pid(worker), site)
    }

    pub(super) fn on_blocked(&mut self, from: ProcessId, blocked: bool, out: &mut impl Outbox) -> Result<(), Violation> {
        let Some(process) = self.process_mut(from) else { return Ok(()) };
        let (activity, job) = (process.activity, process.job);
        if !matches!(activity, Activity::Busy(_) | Activity::Actor(_)) {
            return Ok(());
        }
        if process.blocked == blocked {
            return Err(Violation("blocked or unblocked twice".to_owned()));
        }
        process.blocked = blocked;
        let task = match activity {
            Activity::Actor(actor) => self.actors.get(&actor).and_then(|actor| actor.running.first().copied()),
            Activity::Busy(key) => {
                if let Some(job) = self.jobs.get_mut(&job) {
                    if blocked { job.blocked += 1 } else { job.blocked -= 1 }
                }
                Some(key)
            }
            _ => None,
        };
        if let Some(task) = task.and_then(|task| self.tasks.get_mut(&task)) {
            task.blocked = blocked;
        }
        self.lend_cpus(from, blocked);
        match activity {
            Activity::Busy(key) => self.lend_argument_room(key, blocked),
            Activity::Actor(actor) => {
                let calls = self.actors.get(&actor).map(|actor| actor.running.clone()).unwrap_or_default();
                calls.into_iter().for_each(|call| self.lend_argument_room(call, blocked));
            }
            _ => {}
        }
        if blocked && self.process(from).is_some_and(|process| !process.window.ahead.is_empty()) {
            self.ask_back(from, out);
        }
        Ok(())
    }

    fn is_declining(&self, from: ProcessId, key: TaskKey) -> bool {
        self.process(from).is_some_and(|process| process.window.declined.front() == Some(&key))
    }

    /// The task that a worker speaks of, if it still has it. A task that was cancelled meanwhile is none.
    pub(super) fn running(&mut self, from: ProcessId, key: TaskKey) -> Result<Option<&mut Task>, Violation> {
        let runs = |actor| self.actors.get(&actor).is_some_and(|actor: &Actor| actor.running.contains(&key));
        match self.process(from).map(|process| process.activity) {
            Some(Activity::Busy(current)) if current == key => Ok(self.tasks.get_mut(&key).filter(|task| task.worker == Some(from))),
            Some(Activity::Actor(actor)) if runs(actor) => Ok(self.tasks.get_mut(&key).filter(|task| task.worker == Some(from))),
            // It was told to end before it could know of that.
            Some(Activity::Leaving) => Ok(None),
            // It comes to what was taken back from it.
            Some(Activity::Busy(_) | Activity::Withdrawn) if self.is_declining(from, key) => Ok(None),
            Some(_) => Err(Violation(format!("word of task {} which it does not run", key.on(self.config.node)))),
            None => Ok(None),
        }
    }

    /// Ends a task with an error, which becomes the value of all its results.
    pub(super) fn fail_task(&mut self, key: TaskKey, error: Error, out: &mut impl Outbox) {
        let Some(task) = self.tasks.get_mut(&key).filter(|task| task.is_pending()) else { return };
        task.rare_mut().error = Some(error.clone());
        let (role, status, returns, pid) = (task.role, task.status, task.returns.clone(), task.worker_pid);
        if let Role::Method(actor) = role
            && let Some(actor) = self.actors.get_mut(&actor)
        {
            actor.calls.remove(key);
            // It may have stood before others that are ready.
            self.serving.push(actor.key);
        }
        match status {
            TaskStatus::PendingNodeAssignment | TaskStatus::PendingObjStoreMemAvail => {
                self.stop_timers(key);
                self.dequeue(key);
            }
            TaskStatus::Infeasible => self.forget_infeasible(key),
            TaskStatus::PendingArgsAvail | TaskStatus::PendingArgsFetch => self.forget_dependent(key),
            _ => {}
        }
        self.reveal_first_missing(key);
        let message = error.line();
        self.end_task(key, TaskStatus::Failed);
        let (kind, severity) = match &error {
            Error::TaskCancelled { .. } => (EventKind::TaskCancelled, Severity::Warning),
            _ => (EventKind::TaskFailed, Severity::Error),
        };
        self.event_about(kind, severity, pid, Some(Target::Task(key.on(self.config.node))), message);
        for result in returns {
            self.fail_object(result, &error, out);
        }
        if let Role::Constructor(actor) = role {
            self.end_actor(actor, &format!("its constructor did not end well: {}", error.line()), End::Killed, out);
        }
    }

    pub(super) fn forget_dependent(&mut self, key: TaskKey) {
        let Some(task) = self.tasks.get(&key) else { return };
        for object in task.holds.clone() {
            if let Some(cold) = self.objects.get_mut(object).and_then(|object| object.cold.as_mut()) {
                cold.dependents.remove(&key);
            }
        }
    }

    /// Ends a task: what it held is released, what it shows is kept for a while.
    fn end_task(&mut self, key: TaskKey, status: TaskStatus) {
        let lingers = self.tasks.get(&key).is_some_and(|task| task.lingers);
        if !lingers {
            self.unfetch(key);
        }
        let now_ms = self.now_ms;
        self.stop_timers(key);
        let Some(task) = self.tasks.get_mut(&key) else { return };
        let before = std::mem::replace(&mut task.status, status);
        task.ended_ms = Some(now_ms);
        let (attempt, job, returns) = (task.attempt, task.job, task.returns.clone());
        self.status_changed(Some(before), status);
        self.learn_heap(key);
        for result in returns {
            if let Some(object) = self.objects.get_mut(result) {
                object.cold_mut().attempt = attempt;
            }
        }
        if lingers {
            return;
        }
        if let Some(job) = self.jobs.get_mut(&job) {
            job.pending.remove(&key);
        }
        if status == TaskStatus::Finished {
            if let Some(released) = self.keep_constructor(key) {
                let holder = self.tasks.get(&key).map_or(ProcessId(0), |task| task.holder);
                for object in released {
                    self.release(holder, object, Count::Submitted);
                }
                return;
            }
            self.keep_lineage(key);
        }
        self.release_held(key);
        self.remember_ended(key);
    }

    /// The worker of a cancelled task is done with it.
    pub(super) fn end_lingering(&mut self, key: TaskKey) {
        let Some(task) = self.tasks.get_mut(&key).filter(|task| task.lingers) else { return };
        task.lingers = false;
        let job = task.job;
        self.unfetch(key);
        if let Some(job) = self.jobs.get_mut(&job) {
            job.pending.remove(&key);
        }
        self.release_held(key);
        self.remember_ended(key);
    }

    /// What a task held is free of it.
    pub(super) fn release_held(&mut self, key: TaskKey) {
        let Some(task) = self.tasks.get_mut(&key) else { return };
        task.arguments = SmallVec::new();
        let (holder, holds) = (task.holder, std::mem::take(&mut task.holds));
        for object in holds {
            self.release(holder, object, Count::Submitted);
        }
    }

    /// An ended task is shown for a while.
    pub(super) fn remember_ended(&mut self, key: TaskKey) {
        self.ended.push_back(key);
        while self.ended.len() > MAX_ENDED_TASKS {
            if let Some(oldest) = self.ended.pop_front() {
                let forgotten = self.tasks.remove(&oldest);
                forgotten.iter().for_each(|task| self.keep_unheard(task));
            }
        }
    }

    /// The site of a task, for messages.
    pub(super) fn site_of(&self, task: &Task) -> String {
        let site: SiteId = task.site;
        self.sites.get(site).short()
    }
}

/// Refuses a demand that no honest client sends.
pub(super) fn demanded(demand: &Demand<'_>) -> Result<(), Violation> {
    demand.check().map_err(|error| Violation(format!("demand that cannot be: {error}")))
}

fn only_from_agent() -> Violation {
    Violation("argument that only the agent may send".to_owned())
}
