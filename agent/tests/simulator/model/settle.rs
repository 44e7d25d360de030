//! What follows from a change: objects that nobody holds go, tasks that cannot run fail, whoever waits is answered.

use std::collections::BTreeMap;

use plasmon_protocol::id::{ObjectKey, ProcessId, TaskKey};
use plasmon_protocol::record::{ObjectState, TaskStatus};

use super::{Answer, CAPTURED, Codes, End, Expected, LOCAL, Model, Object, PINNED, Residency, Role, SUBMITTED, Task};

impl Model {
    /// Nothing is kept that nobody holds.
    pub(super) fn free_unheld(&mut self) {
        loop {
            while std::mem::take(&mut self.dropped) {
                let unheld: Vec<ObjectKey> = self.objects.keys().copied().filter(|key| self.counts(*key) == [0; 4]).collect();
                for key in unheld {
                    self.free(key);
                }
            }
            let unwanted = self.objects.iter().find(|(key, object)| object.trace && !self.is_taken_again(**key)).map(|(key, _)| *key);
            let Some(unwanted) = unwanted else { break };
            self.end_trace(unwanted);
        }
    }

    /// Whether a finished task that may run again takes it.
    fn is_taken_again(&self, key: ObjectKey) -> bool {
        self.tasks.values().any(|task| self.may_run_again(task).is_some_and(|holds| holds.contains(&key)))
    }

    /// What a finished task takes that may run again: one of its results is there, and its job.
    pub(super) fn may_run_again<'a>(&self, task: &'a Task) -> Option<&'a std::collections::BTreeSet<ObjectKey>> {
        let lives = || self.jobs.contains_key(&task.job) && task.returns.iter().any(|result| self.objects.contains_key(result));
        task.kept.as_ref().filter(|_| lives())
    }

    /// Nobody holds an object: whether a trace of it stays, because it is taken again and can be made again, or is as good as nothing.
    fn leaves_trace(&self, key: ObjectKey) -> bool {
        let object = &self.objects[&key];
        let remade = || self.maker(key).is_some_and(|maker| self.may_run_again(&self.tasks[&maker]).is_some());
        let stays = match object.state {
            _ if object.actor || object.trace => false,
            ObjectState::Inlined => object.contains.is_empty(),
            ObjectState::InMemory => !matches!(object.residency, Residency::Spilling | Residency::Restoring) && remade(),
            _ => false,
        };
        stays && self.is_taken_again(key)
    }

    fn leave_trace(&mut self, key: ObjectKey) {
        if self.objects[&key].state == ObjectState::InMemory {
            self.leave_leases(key);
            let object = self.objects.get_mut(&key).expect("the caller has looked");
            let record = object.record.take();
            (object.state, object.residency, object.length, object.offset) = (ObjectState::Pending, Residency::Primary, 0, 0);
            let (captor, contains) = (object.captor, std::mem::take(&mut object.contains));
            let captor = self.living(captor);
            for inner in contains {
                assert!(self.take(inner, captor, CAPTURED), "the model lost a captured count");
            }
            if let Some((file, at)) = record {
                self.leave_file(file, at);
            }
        }
        let object = self.objects.get_mut(&key).expect("the caller has looked");
        (object.hidden, object.trace) = (true, true);
        self.add(key, super::AGENT, CAPTURED);
    }

    pub(super) fn end_trace(&mut self, key: ObjectKey) {
        if let Some(object) = self.objects.get_mut(&key).filter(|object| object.trace) {
            object.trace = false;
            assert!(self.take(key, super::AGENT, CAPTURED), "the model lost a trace");
        }
    }

    pub(super) fn free(&mut self, key: ObjectKey) {
        if self.objects.contains_key(&key) && self.leaves_trace(key) {
            return self.leave_trace(key);
        }
        let Some(object) = self.objects.remove(&key) else { return };
        if object.actor {
            self.unreferenced.push(key);
        }
        let captor = self.living(object.captor);
        for inner in object.contains {
            assert!(self.take(inner, captor, CAPTURED), "the model lost a captured count");
        }
        // What a job reads or writes stays where it is until the job has ended.
        if let (ObjectState::InMemory, Residency::Spilling | Residency::Restoring) = (object.state, object.residency) {
            self.storage.ghosts.insert(key, (object.residency == Residency::Spilling, object.length));
        } else {
            self.leave_leases(key);
        }
        if let Some((file, at)) = object.record {
            self.leave_file(file, at);
        }
        // While tasks fail, the one that makes it may fail before or after its last holder lets go.
        let mut codes = self.causes.clone();
        codes.insert("object_lost");
        for (process, request, wants_value) in object.waiters {
            self.expect(process, request, wants_value, Answer::Failed(codes.clone()));
        }
    }

    pub(super) fn expect(&mut self, process: ProcessId, request: u32, wants_value: bool, answer: Answer) {
        if let Some(asker) = self.processes.get_mut(&process) {
            asker.requests.remove(&request);
            self.expected.push(Expected { process, request, wants_value, answer });
        }
    }

    /// An object has its value, or never will: all that wait for it are told.
    pub(super) fn answer_waiters(&mut self, key: ObjectKey) {
        let Some(object) = self.objects.get_mut(&key) else { return };
        for (process, request, wants_value) in std::mem::take(&mut object.waiters) {
            if !self.processes.contains_key(&process) {
                continue;
            }
            let mut answer = self.answer(key, process, wants_value);
            if let Answer::Failed(codes) = &mut answer
                && self.rows.get(&(key, process)).is_none_or(|counts| counts[LOCAL] + counts[PINNED] == 0)
            {
                // It let go of the object itself: when all that held it ends at once, either may come first.
                codes.insert("object_lost");
            }
            self.expect(process, request, wants_value, answer);
        }
    }

    /// What is answered about an object that has a value or never will; who gets one in the pool holds a pin from here on.
    pub(super) fn answer(&mut self, key: ObjectKey, process: ProcessId, wants_value: bool) -> Answer {
        let object = &self.objects[&key];
        match object.state {
            ObjectState::Inlined => Answer::Inline(object.value.clone()),
            ObjectState::Failed => Answer::Failed(object.codes.clone()),
            ObjectState::Actor => Answer::Inline(Vec::new()),
            _ if wants_value => {
                self.add(key, process, PINNED);
                Answer::Pinned(key)
            }
            _ => Answer::Ready,
        }
    }

    /// Whether somebody waits for an object that is not in the pool.
    pub(crate) fn awaits_copies(&self) -> bool {
        self.objects.values().any(|object| object.is_away() && !object.waiters.is_empty())
    }

    /// A task has ended in any way: what it held is free of it.
    pub(super) fn end(&mut self, key: TaskKey, status: TaskStatus) {
        if status == TaskStatus::Finished {
            self.keep(key);
        }
        let Some(task) = self.tasks.get_mut(&key) else { return };
        task.status = status;
        (task.retry_at_ms, task.limit_at_ms) = (None, None);
        if task.lingers {
            return;
        }
        let (holder, mut holds) = (task.holder, std::mem::take(&mut task.holds));
        // An actor that may be made anew keeps what its constructor takes, but no handle to itself.
        if let Role::Constructor(actor) = task.role
            && status == TaskStatus::Finished
            && task.retries > 0
            && self.actors[&actor].lives()
        {
            let itself = holds.remove(&actor);
            task.holds = std::mem::take(&mut holds);
            holds.extend(itself.then_some(actor));
        }
        for object in holds {
            assert!(self.take(object, holder, SUBMITTED), "the model lost a submitted count");
        }
    }

    /// A task has ended with an error, which is the value of all its results.
    pub(super) fn fail(&mut self, key: TaskKey, codes: &Codes) {
        let Some(task) = self.tasks.get(&key).filter(|task| task.is_pending()) else { return };
        let (role, returns) = (task.role, task.returns.clone());
        if let Role::Method(actor) = role
            && let Some(actor) = self.actors.get_mut(&actor)
        {
            actor.again.retain(|again| *again != key);
        }
        self.reveal_first_missing(key);
        if let Some(task) = self.tasks.get_mut(&key) {
            task.codes.clone_from(codes);
        }
        self.end(key, TaskStatus::Failed);
        for result in returns {
            self.fail_object(result, codes);
        }
        if let Role::Constructor(actor) = role {
            self.end_actor(actor, End::AtOnce);
        }
    }

    pub(super) fn fail_object(&mut self, key: ObjectKey, codes: &Codes) {
        let fails = |object: &&mut Object| matches!(object.state, ObjectState::Pending | ObjectState::Actor);
        if let Some(object) = self.objects.get_mut(&key).filter(fails) {
            object.state = ObjectState::Failed;
            object.codes.clone_from(codes);
            self.answer_waiters(key);
        }
    }

    /// What follows from the last change: frees, failures, and failures of those that needed what failed.
    pub(super) fn settle(&mut self) {
        self.causes.extend(self.failing.iter().map(|(_, code)| *code));
        let mut first = true;
        loop {
            self.free_unheld();
            let mut failing: BTreeMap<TaskKey, Codes> = BTreeMap::new();
            for (key, code) in &self.failing {
                failing.entry(*key).or_default().insert(code);
            }
            for (key, task) in self.tasks.iter().filter(|(_, task)| task.status == TaskStatus::PendingArgsAvail) {
                if !task.wants.is_within(self.total) {
                    if !self.fail_infeasible && !self.draining {
                        continue;
                    }
                    failing.entry(*key).or_default().insert("infeasible");
                    continue;
                }
                let needs = task.needs();
                let wanting = needs.difference(&task.met).filter_map(|need| self.objects.get(need));
                for object in wanting.filter(|object| object.state == ObjectState::Failed) {
                    failing.entry(*key).or_default().extend(object.codes.iter());
                }
            }
            failing.retain(|key, _| self.tasks[key].is_pending());
            if failing.is_empty() {
                let Some(actor) = self.unreferenced.pop() else { break };
                self.end_actor(actor, End::Unreferenced);
                continue;
            }
            let dying: Vec<TaskKey> = failing.keys().copied().filter(|key| self.may_fail_with_actor(*key, &failing)).collect();
            for key in dying {
                failing.entry(key).or_default().insert("actor_died");
            }
            if failing.keys().any(|key| matches!(self.tasks[key].role, Role::Constructor(_))) {
                // Its actor ends with it, and what that was called for.
                self.causes.insert("actor_died");
            }
            // Of several causes at once, any may come first to a task further down.
            if std::mem::take(&mut first) {
                self.causes.extend(failing.values().flatten());
                let waits = |key: &TaskKey| self.tasks[key].status == TaskStatus::PendingArgsAvail;
                failing.iter_mut().filter(|(key, _)| waits(key)).for_each(|(_, codes)| codes.extend(&self.causes));
            } else {
                failing.values_mut().for_each(|codes| codes.extend(&self.causes));
            }
            for (key, codes) in failing {
                self.fail(key, &codes);
            }
        }
        self.failing.clear();
        self.causes.clear();
        self.retire();
        let ready: Vec<TaskKey> = self
            .tasks
            .iter()
            .filter(|(_, task)| {
                task.status == TaskStatus::PendingArgsAvail && task.wants.is_within(self.total) && self.waits_for(task) == 0
            })
            .map(|(key, _)| *key)
            .collect();
        for key in ready {
            if let Some(task) = self.tasks.get_mut(&key) {
                task.status = TaskStatus::PendingNodeAssignment;
                task.ready_at.get_or_insert(self.steps);
            }
        }
        let total = self.total;
        let new = self.tasks.values_mut().filter(|task| task.status == TaskStatus::PendingArgsAvail);
        new.filter(|task| !task.wants.is_within(total)).for_each(|task| task.status = TaskStatus::Infeasible);
    }

    pub(super) fn may_fail_with_actor(&self, call: TaskKey, failing: &BTreeMap<TaskKey, Codes>) -> bool {
        matches!(self.tasks[&call].role, Role::Method(actor) if self.may_die(actor, |constructor| failing.contains_key(&constructor)))
    }

    /// How many of a task's arguments have no value yet.
    pub(super) fn waits_for(&self, task: &Task) -> usize {
        let needs = task.needs();
        needs.iter().filter(|need| self.objects.get(need).is_none_or(|object| object.state == ObjectState::Pending)).count()
    }
}
