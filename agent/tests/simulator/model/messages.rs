//! What each message changes. A forbidden message changes nothing.

use std::collections::BTreeSet;

use plasmon_protocol::id::{JobId, ObjectKey, ProcessId, TaskKey};
use plasmon_protocol::local::{
    self, Ending, INLINE, MAX_RAISED, MAX_STACK, MAX_STAGED, MAX_TEXT, Memory, RetryExceptions, SLOT_BLOCK, ToAgent, Value,
};
use plasmon_protocol::record::{ObjectState, TaskStatus};
use plasmon_protocol::resources::Demand;

use super::Wants;
use super::retries::Loss;
use super::{
    Activity, Answer, Argument, Ask, CAPTURED, Codes, End, LOCAL, Model, Object, PINNED, Process, Residency, Role, SUBMITTED, Task,
};

/// Why a message is forbidden.
pub(crate) type Verdict = Result<(), &'static str>;

/// A task as its submitter describes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Submission<'a> {
    pub(super) number: u32,
    pub(super) function: &'a str,
    pub(super) arguments: &'a [local::Argument<'a>],
    pub(super) returns: &'a [ObjectKey],
    pub(super) wants: Wants,
    pub(super) options: Options,
}

/// How often a task is tried again, and how long it may take.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options {
    pub(super) retries: u32,
    pub(super) retry_exceptions: RetryExceptions,
    pub(super) timeout_ms: u64,
}

pub(super) fn demanded(demand: &Demand<'_>) -> Result<Wants, &'static str> {
    demand.check().map(|()| Wants::of(demand)).map_err(|_| "a demand that cannot be")
}

pub(super) fn allowed(holds: bool, otherwise: &'static str) -> Verdict {
    if holds { Ok(()) } else { Err(otherwise) }
}

impl Model {
    /// One message has arrived. What follows for others waits for the end of the batch: [`Model::end_of_batch`].
    pub(crate) fn deliver(&mut self, from: ProcessId, message: &ToAgent<'_>) -> Verdict {
        let verdict = self.apply(from, message);
        self.free_unheld();
        while let Some(actor) = self.unreferenced.pop() {
            self.end_actor(actor, End::Unreferenced);
        }
        verdict
    }

    pub(crate) fn end_of_batch(&mut self) {
        self.settle();
    }

    pub(super) fn sender(&mut self, from: ProcessId) -> &mut Process {
        self.processes.get_mut(&from).expect("only the living send")
    }

    fn apply(&mut self, from: ProcessId, message: &ToAgent<'_>) -> Verdict {
        match message {
            ToAgent::Put { key, memory, hidden, .. } => self.put(from, *key, *memory, *hidden),
            ToAgent::AddLocal { key, .. } => self.hold(from, *key, LOCAL),
            ToAgent::AddPin { key, .. } => self.hold(from, *key, PINNED),
            ToAgent::DropLocal { key } => allowed(self.take(*key, from, LOCAL), "no such handle"),
            ToAgent::DropPin { key } => allowed(self.take(*key, from, PINNED), "no such pin"),
            ToAgent::KeepViews { key } => allowed(self.keep_views(*key, from), "no such handle"),
            ToAgent::DropViews { key } => allowed(self.end_views(*key, from), "no such views"),
            ToAgent::Stage { references } => {
                allowed(references.len() <= MAX_STAGED, "too many staged at once")?;
                self.sender(from).staged.extend(references);
                Ok(())
            }
            ToAgent::Submits { task } => {
                let parent = self.run_by(from, *task)?.map(|_| *task);
                self.sender(from).submits = parent;
                Ok(())
            }
            ToAgent::Lease { request, bytes, chunk, .. } => {
                self.ask(from, *request, Some((*bytes, *chunk)), false);
                Ok(())
            }
            ToAgent::LeaseAhead { request, bytes, .. } => {
                self.ask(from, *request, Some((*bytes, false)), true);
                Ok(())
            }
            ToAgent::Slots { request } => {
                self.ask(from, *request, None, false);
                Ok(())
            }
            ToAgent::Return { lease } => {
                let index = self.leases.iter().position(|held| held.owner == Some((from, *lease)) && held.live.is_empty());
                self.leases.remove(index.ok_or("no such lease, or objects in it")?);
                Ok(())
            }
            ToAgent::Get { request, key, .. } => self.get(from, *request, *key, true),
            ToAgent::Wait { request, key } => self.get(from, *request, *key, false),
            ToAgent::Extend { number, returns, .. } => self.extend(from, *number, returns),
            ToAgent::Room { request, task, results } => self.ask_room(from, *request, *task, *results),
            ToAgent::Cancel { request } => {
                self.forget_room(from, *request);
                if let Some(key) = self.sender(from).requests.remove(request)
                    && let Some(object) = self.objects.get_mut(&key)
                {
                    object.waiters.retain(|(process, waiting, _)| (*process, *waiting) != (from, *request));
                }
                Ok(())
            }
            ToAgent::Submit { number, function, arguments, returns, options, .. } => {
                let wants = demanded(&options.demand)?;
                let (retries, retry_exceptions, timeout_ms) = (options.max_retries, options.retry_exceptions, options.timeout_ms);
                let options = Options { retries, retry_exceptions, timeout_ms };
                let task = Submission { number: *number, function, arguments, returns, wants, options };
                let job = self.sender(from).job;
                self.submit(from, &task, Role::Function, job)
            }
            ToAgent::CreateActor { number, request, actor, function, arguments, options, .. } => {
                let wants = demanded(&options.placed)?;
                let retries = Options { retries: options.max_restarts, ..Options::default() };
                let constructor = Submission { number: *number, function, arguments, returns: &[], wants, options: retries };
                self.create_actor(from, *request, *actor, options, &constructor)
            }
            ToAgent::Call { number, actor, function, arguments, returns, retries, .. } => {
                let options = self.call_options(*actor, *retries);
                let call = Submission { number: *number, function, arguments, returns, wants: Wants::default(), options };
                self.call(from, *actor, &call)
            }
            ToAgent::CancelTask { key, force, .. } => {
                self.cancel(*key, *force);
                Ok(())
            }
            ToAgent::KillActor { actor, no_restart, .. } => self.kill_actor(*actor, *no_restart),
            ToAgent::FindActor { request, name, .. } => self.find_actor(from, *request, name),
            ToAgent::Started { task } => {
                if let Some(of) = self.run_by(from, *task)? {
                    of.begun = true;
                    if of.is_pending() {
                        self.begin_attempt(*task);
                    }
                }
                Ok(())
            }
            ToAgent::Output { task, value } => self.output(from, *task, value),
            ToAgent::Ended { task, ending } => {
                let longest = match ending {
                    Ending::Finished | Ending::Exhausted | Ending::Refused(_) | Ending::Withdrawn => 0,
                    Ending::Failed { message, value, .. } => {
                        allowed(value.len() <= MAX_RAISED, "an error value is too long")?;
                        message.len()
                    }
                    Ending::Panicked { message, place } => message.len().max(place.len()),
                };
                allowed(longest <= MAX_TEXT, "a text is too long")?;
                self.ended(from, *task, ending)
            }
            ToAgent::Blocked => self.block(from, true),
            ToAgent::Unblocked => self.block(from, false),
            ToAgent::Site { site, file, function, caller, .. } => {
                allowed(file.len() <= MAX_TEXT && function.len() <= MAX_TEXT, "a text is too long")?;
                let sender = self.sender(from);
                allowed(caller < site, "a site that was called from a later one")?;
                let depth = caller.checked_sub(1).and_then(|at| sender.sites.get(at as usize)).map_or(0, |depth| *depth);
                allowed(depth < MAX_STACK, "a frame too many")?;
                allowed(*site as usize == sender.sites.len() + 1, "a site out of turn")?;
                sender.sites.push(depth + 1);
                Ok(())
            }
            ToAgent::SiteName { function, .. } => allowed(function.len() <= MAX_TEXT, "a function's name is too long"),
            ToAgent::HeapPeak { task, .. } => self.run_by(from, *task).map(drop),
            ToAgent::Bye => {
                self.sender(from).dismissed = true;
                Ok(())
            }
        }
    }

    fn ask(&mut self, process: ProcessId, request: u32, memory: Option<(u64, bool)>, ahead: bool) {
        let before = self.asks.iter().filter(|ask| ask.memory.is_none()).count();
        let free = (0..self.blocks).filter(|block| !self.is_block_busy(*block)).count();
        let own = self.lent.values().filter(|owner| **owner == process).count();
        let hopeless = memory.is_none() && free <= own + 2 * before;
        let now_ms = self.now_ms;
        self.asks.push(Ask { process, request, memory, ahead, restore: None, since_ms: now_ms, again_ms: None, hopeless });
    }

    fn hold(&mut self, from: ProcessId, key: ObjectKey, count: usize) -> Verdict {
        allowed(self.objects.contains_key(&key), "a reference to nothing")?;
        self.add(key, from, count);
        Ok(())
    }

    pub(super) fn take_staged(&mut self, from: ProcessId) -> Vec<ObjectKey> {
        let mut staged = std::mem::take(&mut self.sender(from).staged);
        staged.sort_unstable();
        staged.dedup();
        staged
    }

    pub(super) fn may_create(&self, from: ProcessId, key: ObjectKey) -> Verdict {
        allowed(self.lent.get(&(key.slot / SLOT_BLOCK)) == Some(&from), "a slot of somebody else")?;
        let slot = ObjectKey { slot: key.slot, generation: 0 }..=ObjectKey { slot: key.slot, generation: u32::MAX };
        allowed(self.objects.range(slot).next().is_none(), "a slot that is taken")?;
        let last = self.generations.get(&key.slot).copied().unwrap_or(0);
        allowed(key.generation == last.wrapping_add(1).max(1), "a wrong generation")
    }

    pub(super) fn create(&mut self, from: ProcessId, key: ObjectKey, hidden: bool) {
        self.generations.insert(key.slot, key.generation);
        let object = Object {
            state: ObjectState::Pending,
            creator: from,
            hidden,
            trace: false,
            actor: false,
            offset: 0,
            residency: Residency::Primary,
            record: None,
            length: 0,
            contains: Vec::new(),
            captor: from,
            waiters: Vec::new(),
            value: Vec::new(),
            codes: Codes::new(),
        };
        self.objects.insert(key, object);
        self.add(key, from, LOCAL);
    }

    /// An object has its value.
    fn place(&mut self, key: ObjectKey, state: ObjectState, offset: u64, length: u64, contains: Vec<ObjectKey>) {
        let captor = self.living(self.objects[&key].creator);
        for inner in &contains {
            self.add(*inner, captor, CAPTURED);
        }
        let object = self.objects.get_mut(&key).expect("the caller has looked");
        (object.state, object.offset, object.length) = (state, offset, length);
        (object.contains, object.captor) = (contains, captor);
        self.answer_waiters(key);
    }

    fn put(&mut self, from: ProcessId, key: ObjectKey, memory: Memory, hidden: bool) -> Verdict {
        let contains = self.take_staged(from);
        self.may_create(from, key)?;
        let lease = self.writable(from, memory).ok_or("memory that it may not write")?;
        allowed(contains.iter().all(|inner| self.objects.contains_key(inner)), "a reference to nothing inside")?;
        self.create(from, key, hidden);
        self.write(lease, Some(key), memory);
        self.place(key, ObjectState::InMemory, memory.offset, memory.length, contains);
        Ok(())
    }

    fn get(&mut self, from: ProcessId, request: u32, key: ObjectKey, wants_value: bool) -> Verdict {
        let expected = match self.objects.get(&key) {
            None => Answer::Failed(Codes::from(["object_lost"])),
            Some(object) if object.state != ObjectState::Pending && !(wants_value && object.is_away()) => {
                self.answer(key, from, wants_value)
            }
            Some(object) => {
                let away = object.residency == Residency::Spilled;
                allowed(!self.sender(from).requests.contains_key(&request), "a request twice")?;
                self.sender(from).requests.insert(request, key);
                if let Some(object) = self.objects.get_mut(&key) {
                    object.waiters.push((from, request, wants_value));
                }
                if away {
                    self.want_back(from, key);
                }
                return Ok(());
            }
        };
        self.expected.push(super::Expected { process: from, request, wants_value, answer: expected });
        Ok(())
    }

    /// Whether a task may be submitted so, its results aside.
    pub(super) fn may_submit(&self, from: ProcessId, task: &Submission<'_>) -> Verdict {
        allowed(task.function.len() <= MAX_TEXT, "a function's name is too long")?;
        allowed(task.number > self.processes[&from].last_task, "a task's number out of turn")?;
        for argument in task.arguments {
            match argument {
                local::Argument::Inline(_) => {}
                local::Argument::Object(key) | local::Argument::Block(key) => {
                    allowed(self.objects.contains_key(key), "an argument that is not there")?;
                }
                local::Argument::Value(..) => return Err("an argument that only the agent sends"),
            }
        }
        let nested = &self.processes[&from].staged;
        allowed(nested.iter().all(|object| self.objects.contains_key(object)), "a reference to nothing in an argument")
    }

    pub(super) fn submit(&mut self, from: ProcessId, submission: &Submission<'_>, role: Role, job: JobId) -> Verdict {
        self.may_submit(from, submission)?;
        for (index, result) in submission.returns.iter().enumerate() {
            self.may_create(from, *result)?;
            allowed(!submission.returns[..index].contains(result), "a result twice")?;
        }
        let arguments = submission.arguments.iter().filter_map(|argument| match argument {
            local::Argument::Inline(bytes) => Some(Argument::Inline(bytes.to_vec())),
            local::Argument::Object(key) => Some(Argument::Object(*key)),
            local::Argument::Block(key) => Some(Argument::Block(*key)),
            local::Argument::Value(..) => None,
        });
        let mut task = Task {
            role,
            job,
            function: submission.function.to_owned(),
            arguments: arguments.collect(),
            returns: submission.returns.to_vec(),
            holds: self.take_staged(from).into_iter().collect(),
            met: BTreeSet::new(),
            holder: from,
            wants: submission.wants,
            ready_at: None,
            begun: false,
            passed: 0,
            max_retries: submission.options.retries,
            retries: submission.options.retries,
            retry_exceptions: submission.options.retry_exceptions,
            timeout_ms: submission.options.timeout_ms,
            retried: 0,
            erred: false,
            retry_at_ms: None,
            limit_at_ms: None,
            lingers: false,
            parent: self.take_parent(from),
            kept: None,
            oom_retries: 0,
            attempt: 0,
            status: TaskStatus::PendingArgsAvail,
            worker: None,
            worker_pid: None,
            outputs: 0,
            blocked: false,
            yielded: 0,
            closed: false,
            streams: false,
            room: None,
            codes: Codes::new(),
        };
        task.holds.extend(task.needs());
        task.met = task.needs();
        task.met.retain(|need| self.objects[need].state == ObjectState::Actor);
        // Whoever is called, or is being made, is kept until the call has ended.
        task.holds.extend(role.actor());
        self.sender(from).last_task = submission.number;
        for result in &task.returns {
            self.create(from, *result, false);
        }
        for object in &task.holds {
            self.add(*object, from, SUBMITTED);
        }
        let key = TaskKey { process: from, number: submission.number };
        self.tasks.insert(key, task);
        if self.draining && self.processes[&from].activity == Activity::Free {
            self.failing.push((key, "draining"));
        } else if self.is_orphaned(key) || !self.jobs.contains_key(&job) {
            self.failing.push((key, "task_cancelled"));
        } else if let Role::Method(actor) = role
            && !self.actors[&actor].lives()
        {
            self.failing.push((key, "actor_died"));
        }
        Ok(())
    }

    /// The task that a worker speaks of; `None` when it is not its any more.
    pub(super) fn run_by(&mut self, from: ProcessId, key: TaskKey) -> Result<Option<&mut Task>, &'static str> {
        let runs = match self.processes[&from].activity {
            Activity::Leaving => return Ok(None),
            Activity::Busy(_) | Activity::Withdrawn if self.processes[&from].window.declined.first() == Some(&key) => return Ok(None),
            Activity::Busy(task) => task == key,
            Activity::Actor(actor) => self.actors[&actor].running.contains(&key),
            _ => false,
        };
        allowed(runs, "word of a task that it does not run")?;
        Ok(self.tasks.get_mut(&key).filter(|task| task.worker == Some(from)))
    }

    fn output(&mut self, from: ProcessId, key: TaskKey, value: &Value<'_>) -> Verdict {
        if let Value::Inline(bytes) = value {
            allowed(bytes.len() <= INLINE, "an inlined value that is too long")?;
        }
        let contains = self.take_staged(from);
        let Some(task) = self.run_by(from, key)? else {
            if let Value::Memory(memory) = value {
                let lease = self.writable(from, *memory).ok_or("memory that it may not write")?;
                self.write(lease, None, *memory);
            }
            return Ok(());
        };
        let result = *task.returns.get(task.outputs).ok_or("more results than the task has")?;
        let wanted = self.objects.get(&result).is_some_and(|object| object.state == ObjectState::Pending && !object.trace);
        allowed(!wanted || contains.iter().all(|inner| self.objects.contains_key(inner)), "a reference to nothing inside")?;
        let is_seen = self.objects.get(&result).is_some_and(|object| !object.trace);
        let stored = wanted && !self.reaches(&contains, result);
        match value {
            Value::Memory(memory) => {
                let lease = self.writable(from, *memory).ok_or("memory that it may not write")?;
                self.write(lease, stored.then_some(result), *memory);
                if stored {
                    self.place(result, ObjectState::InMemory, memory.offset, memory.length, contains);
                }
            }
            Value::Inline(bytes) if stored => {
                if let Some(object) = self.objects.get_mut(&result) {
                    object.value = bytes.to_vec();
                }
                self.place(result, ObjectState::Inlined, 0, bytes.len() as u64, contains);
            }
            Value::Inline(_) => {}
        }
        if wanted && !stored {
            self.fail_object(result, &Codes::from(["encode"]));
        }
        if is_seen {
            self.reveal(result);
        }
        if let Some(task) = self.tasks.get_mut(&key) {
            task.outputs += 1;
            task.yielded = task.yielded.max(task.outputs);
        }
        Ok(())
    }

    /// Whether `target` is among the objects, or inside of them however deep.
    fn reaches(&self, from: &[ObjectKey], target: ObjectKey) -> bool {
        from.iter().any(|key| *key == target || self.objects.get(key).is_some_and(|object| self.reaches(&object.contains, target)))
    }

    fn ended(&mut self, from: ProcessId, key: TaskKey, ending: &Ending) -> Verdict {
        if *ending == Ending::Withdrawn {
            return self.decline(from, key);
        }
        let Some(task) = self.run_by(from, key)? else { return Ok(()) };
        let ending = if *ending == Ending::Finished && task.streams { &Ending::Exhausted } else { ending };
        allowed(*ending != Ending::Finished || task.outputs >= task.returns.len(), "an end without all results")?;
        allowed(
            *ending != Ending::Exhausted || !matches!(task.role, Role::Constructor(_)) || !task.is_pending(),
            "a constructor that yields",
        )?;
        (task.worker, task.room) = (None, None);
        task.blocked = false;
        let (pending, role) = (task.is_pending(), task.role);
        self.sender(from).done += 1;
        self.end_lingering(key);
        match role {
            Role::Constructor(actor) if pending && *ending == Ending::Finished => self.actor_ready(actor, from),
            Role::Method(actor) => self.leave_actor(actor, key, from),
            Role::Function | Role::Constructor(_) => self.run_next(from),
        }
        if pending {
            match ending {
                Ending::Finished | Ending::Exhausted => {
                    if *ending == Ending::Exhausted {
                        self.exhaust(key);
                    }
                    self.end(key, TaskStatus::Finished);
                    self.make_what_is_missing(key);
                }
                Ending::Failed { .. } | Ending::Panicked { .. } => {
                    let (code, listed) = match ending {
                        Ending::Failed { listed, .. } => ("task_failed", *listed),
                        _ => ("task_panicked", false),
                    };
                    if !self.lose_attempt(key, Loss::Exception { listed }) {
                        self.fail(key, &Codes::from([code]));
                    } else if let Role::Method(actor) = role {
                        self.call_again(key, actor);
                    }
                }
                Ending::Refused(error) => self.fail(key, &Codes::from([error.code()])),
                Ending::Withdrawn => {}
            }
        }
        Ok(())
    }

    fn block(&mut self, from: ProcessId, blocked: bool) -> Verdict {
        let key = match self.processes[&from].activity {
            Activity::Busy(key) => Some(key),
            Activity::Actor(actor) => self.actors[&actor].running.first().copied(),
            _ => return Ok(()),
        };
        let sender = self.sender(from);
        allowed(sender.blocked != blocked, "blocked or unblocked twice")?;
        sender.blocked = blocked;
        if let Some(task) = key.and_then(|key| self.tasks.get_mut(&key)) {
            task.blocked = blocked;
        }
        Ok(())
    }
}
