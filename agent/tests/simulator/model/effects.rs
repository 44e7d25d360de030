//! Whether what the core wanted done may be done: answers are the right ones, given once; grants are free, backed and apart
//! from each other; tasks go to idle workers of their own job.

use plasmon_protocol::error::Error;
use plasmon_protocol::id::{JobId, ObjectKey, ProcessId, TaskKey};
use plasmon_protocol::local::{self, Outcome, PAGE, SLOT_BLOCK, ToClient, Work, decode};
use plasmon_protocol::record::{ObjectState, TaskStatus};
use plasmon_protocol::resources::Amount;

use plasmon_agent::scheduler::actor::AHEAD;

use super::{Activity, Answer, Argument, Ask, Check, Codes, Lease, Model, Role, Wants};
use crate::simulator::effects::Effect;

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(otherwise()) }
}

impl Model {
    pub(crate) fn observe(&mut self, effect: &Effect) -> Check {
        match effect {
            Effect::Send(to, bytes) => {
                ensure(self.processes.contains_key(to), || format!("a message to process {to}, which is gone: {effect:?}"))?;
                let message: ToClient<'_> = decode("the agent", bytes).map_err(|error| error.to_string())?;
                self.observe_message(*to, &message)
            }
            Effect::Recall(process) => {
                ensure(self.processes.contains_key(process), || format!("recall from process {process}, which is gone"))
            }
            Effect::Withdraw { from, .. } => self.observe_withdrawal(*from),
            Effect::Start(process, job, devices) => self.observe_start(*process, *job, devices),
            Effect::Kill(process) => {
                let wanted = self.kills.remove(process);
                ensure(wanted || self.killed.contains(process), || format!("process {process} is killed for nothing"))?;
                self.killed.insert(*process);
                Ok(())
            }
            Effect::Back(end) => {
                ensure(*end <= self.capacity, || format!("backing of {end} bytes, beyond the capacity"))?;
                self.backing = self.backing.max(*end);
                Ok(())
            }
            Effect::ShareProgram { of, to } => {
                let wanted = self.programs.iter().position(|wanted| *wanted == (*of, *to));
                self.programs.remove(wanted.ok_or_else(|| format!("job {to} gets the program of {of}"))?);
                Ok(())
            }
            Effect::EndJob(job) => ensure(self.ended_jobs.remove(job), || format!("job {job} is told to have ended")),
            Effect::Publish { key, state: Some(ObjectState::InMemory), .. } => {
                // Not moved after all, or moved: nobody is about to.
                self.storage.evicting.remove(key);
                Ok(())
            }
            Effect::Look(views) => {
                self.see_views(views);
                Ok(())
            }
            Effect::Relocate { .. } => Ok(()),
            Effect::Evict { asked, left } => self.observe_look(asked, left),
            Effect::Publish { key, state: Some(ObjectState::Spilled), .. } => self.observe_eviction(*key),
            // What is to be done by external storage is judged with what the core says of it.
            Effect::Io(_) | Effect::Publish { .. } | Effect::Freed { .. } | Effect::Reset { .. } => Ok(()),
        }
    }

    /// Nothing that had to be done is left undone.
    pub(crate) fn nothing_missing(&mut self) -> Check {
        ensure(self.expected.is_empty(), || format!("not answered: {:?}", self.expected))?;
        ensure(self.kills.is_empty(), || format!("not killed: {:?}", self.kills))?;
        ensure(self.exits.is_empty(), || format!("not told to end: {:?}", self.exits))?;
        ensure(self.cancels.is_empty(), || format!("not told that they are not wanted: {:?}", self.cancels))?;
        ensure(self.programs.is_empty(), || format!("jobs without a program: {:?}", self.programs))?;
        ensure(self.ended_jobs.is_empty(), || format!("jobs not told to have ended: {:?}", self.ended_jobs))?;
        self.refused = false;
        ensure(self.storage.evicting.is_empty(), || format!("marked to be moved and not moved: {:?}", self.storage.evicting))?;
        ensure(self.storage.deletes.is_empty(), || format!("files not removed: {:?}", self.storage.deletes))?;
        ensure(self.asks.iter().all(|ask| ask.memory.is_some()), || format!("slots neither lent nor refused: {:?}", self.asks))
    }

    /// The process is to be dropped for what it did.
    pub(crate) fn expect_kill(&mut self, process: ProcessId) {
        self.kills.insert(process);
    }

    /// The machine has no memory beyond what is backed.
    pub(crate) fn backing_failed(&mut self) {
        self.backing = self.backed;
        self.refused = true;
    }

    fn observe_message(&mut self, to: ProcessId, message: &ToClient<'_>) -> Check {
        match message {
            ToClient::Cancel { task } => {
                ensure(self.cancels.remove(&(to, *task)), || format!("process {to} is told that {task:?} is not wanted"))
            }
            ToClient::Leased { request, lease, offset, length } => self.observe_grant(to, *request, *lease, *offset, *length),
            ToClient::Slots { request, first } => {
                let ask = self.take_ask(to, *request, |ask| ask.memory.is_none())?;
                ensure(!ask.hopeless, || format!("process {to} is lent more slots than are left to others"))?;
                let block = first / SLOT_BLOCK;
                let whole = first % SLOT_BLOCK == 0 && block < self.blocks;
                ensure(whole && !self.is_block_busy(block), || format!("slots from {first} on are lent to {to} and are not free"))?;
                self.lent.insert(block, to);
                Ok(())
            }
            ToClient::Refused { request, error } => self.observe_refusal(to, *request, error),
            ToClient::Resolved { request, outcome } => self.observe_answer(to, *request, outcome),
            ToClient::Found { request, actor, class } => {
                let class_of = self.actors.get(actor).map_or("", |actor| &actor.class);
                ensure(class_of == *class, || format!("actor {actor:?} is found as a {class}"))?;
                self.take_expected(to, *request, message, |answer, _| matches!(answer, Answer::Found(key) if key == actor))
            }
            ToClient::Run { task, work, function, arguments, returns } => self.observe_run(to, *task, *work, function, arguments, *returns),
            ToClient::Exit if self.exits.remove(&to) => Ok(()),
            ToClient::Exit => {
                let worker = self.processes.get_mut(&to).filter(|worker| worker.activity == Activity::Idle);
                let worker = worker.ok_or_else(|| format!("process {to} is told to end and is not idle"))?;
                worker.activity = Activity::Leaving;
                worker.dismissed = true;
                Ok(())
            }
        }
    }

    fn take_ask(&mut self, process: ProcessId, request: u32, which: impl Fn(&Ask) -> bool) -> Check<Ask> {
        let asked = |ask: &Ask| ask.restore.is_none() && (ask.process, ask.request) == (process, request);
        let index = self.asks.iter().position(|ask| asked(ask) && which(ask));
        index
            .map(|index| self.asks.remove(index))
            .ok_or_else(|| format!("answer to request {request} of {process}, which does not wait for one"))
    }

    pub(super) fn is_block_busy(&self, block: u32) -> bool {
        self.lent.contains_key(&block) || self.objects.keys().any(|key| key.slot / SLOT_BLOCK == block)
    }

    fn observe_grant(&mut self, to: ProcessId, request: u32, number: u32, offset: u64, length: u64) -> Check {
        let ask = self.take_ask(to, request, |ask| ask.memory.is_some_and(|(bytes, _)| bytes <= length))?;
        let what = || format!("lease {number} at {offset}+{length} for {to}");
        ensure(offset.is_multiple_of(PAGE) && length.is_multiple_of(PAGE) && length > 0, || format!("{} is not made of pages", what()))?;
        ensure(offset + length <= self.capacity, || format!("{} is beyond the pool", what()))?;
        let backed = if ask.ahead { offset < self.backed } else { offset + length <= self.backed };
        ensure(backed, || format!("{} is not backed beyond {}", what(), self.backed))?;
        for lease in &self.leases {
            ensure(offset + length <= lease.offset || lease.offset + lease.length <= offset, || format!("{} overlaps {lease:?}", what()))?;
            ensure(lease.owner != Some((to, number)), || format!("{} has a number that is taken", what()))?;
        }
        let chunk = ask.memory.is_some_and(|(_, chunk)| chunk);
        self.leases.push(Lease {
            owner: Some((to, number)),
            agents: false,
            offset,
            length,
            chunk,
            bump: offset,
            creating: !chunk,
            puts: 0,
            live: Vec::new(),
        });
        Ok(())
    }

    fn observe_refusal(&mut self, to: ProcessId, request: u32, error: &Error) -> Check {
        let wrong = |why: &str| Err(format!("request {request} of {to} is refused ({error}), {why}"));
        match error {
            Error::ObjectStoreFull { asked, .. } => {
                let ask = self.take_ask(to, request, |ask| ask.memory.is_some_and(|(bytes, _)| bytes == asked.0))?;
                let early = self.deadline(ask.since_ms) > self.now_ms;
                if early && asked.0 <= self.capacity { wrong("but did not wait") } else { Ok(()) }
            }
            Error::OutOfDisk { asked, .. } => {
                let ask = self.take_ask(to, request, |ask| ask.memory.is_some_and(|(bytes, _)| bytes == asked.0))?;
                let has_cause = self.storage.totals.failures > 0 || self.storage.config.limit.is_some();
                if self.deadline(ask.since_ms) > self.now_ms {
                    wrong("but did not wait")
                } else if !has_cause || asked.0 > self.capacity {
                    wrong("but the disk is not to blame")
                } else {
                    Ok(())
                }
            }
            Error::System { .. } if self.refused => self.take_ask(to, request, |ask| ask.memory.is_some()).map(drop),
            Error::System { .. } => {
                let ask = self.take_ask(to, request, |ask| ask.memory.is_none())?;
                if ask.hopeless { Ok(()) } else { wrong("but there are blocks enough") }
            }
            Error::NoActor { .. } | Error::ActorNameTaken { .. } | Error::NoMoreResults { .. } => {
                self.take_expected(to, request, error, |answer, _| matches!(answer, Answer::Refused(code) if *code == error.code()))
            }
            _ => wrong("for a reason that is none"),
        }
    }

    fn observe_answer(&mut self, to: ProcessId, request: u32, outcome: &Outcome<'_>) -> Check {
        let right = |answer: &Answer, wants_value: bool| match (answer, outcome) {
            (Answer::Ready, Outcome::Ready) => true,
            (Answer::Pinned(key), Outcome::Pinned(given)) => key == given,
            (Answer::Inline(value), Outcome::Inline(bytes)) => {
                if wants_value {
                    value == bytes
                } else {
                    bytes.is_empty()
                }
            }
            (Answer::Failed(codes), Outcome::Failed(bytes)) => (!wants_value && bytes.is_empty()) || is_error(bytes, codes),
            _ => false,
        };
        if let Outcome::Failed(bytes) = outcome
            && let Ok(error) = decode::<Error>("the agent", bytes)
        {
            self.observe_unrestored(to, request, &error)?;
        }
        self.take_expected(to, request, outcome, right)
    }

    /// Who waits for an object to come back may be told that there is no room for it.
    fn observe_unrestored(&mut self, to: ProcessId, request: u32, error: &Error) -> Check {
        let waits = |object: &super::Object| {
            object.is_away() && object.waiters.iter().any(|(waiter, number, _)| (*waiter, *number) == (to, request))
        };
        let Some(key) = self.objects.iter().find(|(_, object)| waits(object)).map(|(key, _)| *key) else { return Ok(()) };
        let Some(ask) = self.asks.iter().find(|ask| ask.restore == Some(key)) else { return Ok(()) };
        // A client that breaks the rules may have asked for another object by the same number.
        if matches!(error, Error::ObjectLost { object, .. } if object.key() != key) {
            return Ok(());
        }
        // It may have been asked for already for a task, and be refused with that.
        let late = self.deadline(ask.since_ms) <= self.now_ms || self.may_be_fetched(key);
        let may = match error {
            Error::ObjectStoreFull { .. } => late,
            Error::OutOfDisk { .. } => late && (self.storage.totals.failures > 0 || self.storage.config.limit.is_some()),
            Error::System { .. } => self.refused,
            _ => false,
        };
        ensure(may, || format!("{key:?} does not come back for {to} ({error}), it is wanted since {}", ask.since_ms))?;
        self.refuse_waiters(key, error.code());
        Ok(())
    }

    /// An answer is given, which must be one of those to be given.
    fn take_expected(&mut self, to: ProcessId, request: u32, given: &impl std::fmt::Debug, right: impl Fn(&Answer, bool) -> bool) -> Check {
        let index = self
            .expected
            .iter()
            .position(|expected| (expected.process, expected.request) == (to, request) && right(&expected.answer, expected.wants_value));
        match index {
            Some(index) => {
                self.expected.remove(index);
                Ok(())
            }
            None => Err(format!("request {request} of {to} is answered {given:?}; to be answered: {:?}", self.expected)),
        }
    }

    fn observe_start(&mut self, process: ProcessId, job: JobId, devices: &[u32]) -> Check {
        ensure(self.jobs.contains_key(&job), || format!("worker {process} is started for job {job}, which has ended"))?;
        ensure(!self.processes.contains_key(&process), || format!("worker {process} is started twice"))?;
        let starting = self.processes.values().filter(|worker| worker.job == job && worker.activity == Activity::Starting).count();
        let queued = self.tasks.values().filter(|task| task.job == job && task.waits_for_worker()).count();
        ensure(starting < queued, || format!("worker {process} is started for {queued} tasks, with {starting} on their way"))?;
        self.worker_starts(process, job, devices);
        Ok(())
    }

    fn observe_run(
        &mut self,
        to: ProcessId,
        key: TaskKey,
        work: Work,
        function: &str,
        arguments: &[local::Argument<'_>],
        returns: u32,
    ) -> Check {
        let what = || format!("task {key:?} is sent to {to}");
        let used = self.used();
        let task = self.tasks.get(&key).ok_or_else(|| format!("{} and is unknown", what()))?;
        ensure(task.status == TaskStatus::PendingNodeAssignment, || format!("{} and is {}", what(), task.status))?;
        ensure(task.retry_at_ms.is_none(), || format!("{} before its time, {:?}", what(), task.retry_at_ms))?;
        let (role, wants) = (task.role, task.wants);
        let worker = &self.processes[&to];
        let wanted = match role {
            Role::Function => Work::Task,
            Role::Constructor(actor) => Work::Constructor { max_concurrency: self.actors[&actor].max_concurrency as u32 },
            Role::Method(_) => Work::Method,
        };
        ensure(work == wanted, || format!("{} as {work:?} instead of {wanted:?}", what()))?;
        if let Role::Method(actor) = role {
            self.observe_call(to, key, actor)?;
        } else {
            match worker.activity {
                Activity::Busy(current) => self.observe_ahead(to, key, current)?,
                _ => ensure(worker.activity == Activity::Idle && worker.job == task.job, || format!("{}: {worker:?}", what()))?,
            }
            ensure(!self.has_to_go(to), || format!("{}, which has to go", what()))?;
            ensure(task.retry_at_ms.is_none(), || format!("{} before its time: {task:?}", what()))?;
        }
        if wants.needs_gpu() {
            self.observe_devices(to, wants)?;
        }
        let ahead = matches!(worker.activity, Activity::Busy(_));
        ensure(ahead || wants.fits(used, self.total), || format!("{} and asks for {wants:?} beside {used:?} of {:?}", what(), self.total))?;
        ensure(task.function == function && task.returns.len() == returns as usize, || {
            format!("{} as {function} with {returns} results", what())
        })?;
        let same = |ours: &Argument, theirs: &local::Argument<'_>| match (ours, theirs) {
            (Argument::Inline(value), local::Argument::Inline(bytes)) => value == bytes,
            (Argument::Object(ours), local::Argument::Object(theirs)) | (Argument::Block(ours), local::Argument::Block(theirs)) => {
                ours == theirs
            }
            (Argument::Object(ours), local::Argument::Value(theirs, bytes)) => {
                ours == theirs
                    && self.objects.get(ours).is_some_and(|object| object.state == ObjectState::Inlined && object.value == *bytes)
            }
            _ => false,
        };
        let away = task.needs().into_iter().find(|need| self.objects.get(need).is_some_and(super::Object::is_away));
        ensure(away.is_none(), || format!("{} while {away:?} is not in the store", what()))?;
        let all = task.arguments.len() == arguments.len() && task.arguments.iter().zip(arguments).all(|(ours, theirs)| same(ours, theirs));
        ensure(all, || format!("{} with {arguments:?} instead of {:?}", what(), task.arguments))?;
        let pid = worker.pid;
        if !matches!(role, Role::Method(_)) {
            self.pass_waiting(key);
        }
        let task = self.tasks.get_mut(&key).expect("it was there before");
        (task.worker, task.worker_pid, task.status) = (Some(to), Some(pid), TaskStatus::SubmittedToWorker);
        task.attempt += 1;
        (task.outputs, task.begun) = (0, false);
        if let Role::Method(actor) = role {
            let actor = self.actors.get_mut(&actor).expect("it was there before");
            if actor.running.len() < actor.max_concurrency {
                actor.running.push(key)
            } else {
                actor.ahead.push(key)
            }
            if actor.again.first() == Some(&key) {
                actor.again.remove(0);
            } else {
                actor.last_caller = key.process;
            }
        } else {
            let worker = self.processes.get_mut(&to).expect("it was there before");
            if ahead {
                worker.window.ahead.push(key);
            } else {
                (worker.activity, worker.blocked) = (Activity::Busy(key), false);
                worker.window.since_ms = self.now_ms;
                // It is done with all that it was asked for.
                worker.window.asked.clear();
            }
        }
        Ok(())
    }

    /// A worker sees the GPUs that its task has, and no two have the same beyond a whole one.
    fn observe_devices(&self, to: ProcessId, wants: Wants) -> Check {
        let mine = &self.processes[&to].devices;
        ensure(mine.len() as u64 == wants.each_gpu().0, || format!("{to} sees GPUs {mine:?} for {wants:?}"))?;
        for device in mine {
            let others =
                self.processes.values().filter(|process| process.devices.contains(device)).filter_map(|process| self.wants_of(process));
            let used: u64 = others.map(|wants| wants.each_gpu().1).sum();
            ensure(used + wants.each_gpu().1 <= Amount::UNIT, || format!("GPU {device} is given beyond a whole one to {to}"))?;
        }
        Ok(())
    }

    /// A task is started, and all that wait for what is not free let it pass.
    fn pass_waiting(&mut self, started: TaskKey) {
        // The core counts from the first time on that one did not fit, which is not seen here: never from before it was ready.
        let waiting = self.tasks.iter_mut().filter(|(key, task)| **key != started && task.waits_for_worker());
        waiting.for_each(|(_, task)| task.passed += 1);
    }

    /// A call goes to its actor, in its caller's order, in its caller's turn, and beside no more than the actor wants.
    fn observe_call(&self, to: ProcessId, key: TaskKey, called: ObjectKey) -> Check {
        let actor = self.actors.get(&called).ok_or_else(|| format!("{key:?} is sent to actor {called:?}, which is none"))?;
        ensure(self.processes[&to].activity == Activity::Actor(called), || format!("call {key:?} is sent to {to}, not to {actor:?}"))?;
        let may_wait_there = actor.max_concurrency == 1 && actor.ahead.len() < AHEAD;
        ensure(actor.running.len() < actor.max_concurrency || may_wait_there, || {
            format!("call {key:?} is sent to {actor:?}, which has no place for it")
        })?;
        let next = self.next_calls(called);
        ensure(next.contains(&key), || format!("call {key:?} is sent to {actor:?} before {next:?}"))
    }
}

/// Whether these bytes are an error of one of the kinds; one that tells of an actor's death says which, and why.
fn is_error(bytes: &[u8], codes: &Codes) -> bool {
    let Ok(error) = decode::<Error>("the agent", bytes) else { return false };
    let told = match &error {
        Error::ActorDied { class, cause, .. } => !class.is_empty() && !cause.is_empty(),
        _ => true,
    };
    told && codes.contains(error.code())
}
