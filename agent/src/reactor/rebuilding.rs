//! Lost results are made again: their task runs once more, with the arguments that it had, while a retry is left. What it takes to do so
//! is kept ([`crate::scheduler::lineage`]). Arguments that nobody holds any more are freed all the same: those that tasks have made leave a
//! trace, and are made again first, by their own tasks, and so on; those that were put are gone.

use plasmon_protocol::id::{ObjectKey, ProcessId, TaskKey};
use plasmon_protocol::local::ENDLESS;
use plasmon_protocol::record::{EventKind, ObjectState, Severity, TaskStatus};
use plasmon_protocol::stream::Target;

use super::{Core, MAX_INLINED, Outbox};
use crate::references::table::Count;
use crate::scheduler::task::{Argument, Role, Task};
use crate::store::object::Residency;

impl Core {
    /// A task has finished: what it takes to run it again is kept, when its results can be lost at all. Only what is in external storage
    /// can; what is pending again was lost after the task had sent it.
    pub(super) fn keep_lineage(&mut self, key: TaskKey) {
        let Some(task) = self.tasks.get(&key) else { return };
        if task.role != Role::Function || task.retries_left == 0 || !self.spill.config.is_on() {
            return;
        }
        let live = || task.returns.iter().filter_map(|result| self.objects.get(*result));
        if live().all(|object| !matches!(object.state, Some(ObjectState::InMemory | ObjectState::Pending))) {
            return;
        }
        let count = live().count() as u32;
        self.lineage.keep(task.clone(), count);
    }

    /// The value of an object is gone for ever: the task that made it runs again, or does so already.
    ///
    /// # Errors
    /// Why nothing can make it again, for people.
    pub(super) fn rebuild(&mut self, key: ObjectKey, cause: &str) -> Result<(), String> {
        let maker = self.objects.get(key).and_then(|object| object.task()).ok_or("it was put, and no task can make it again")?;
        if self.tasks.get(&maker).is_some_and(Task::is_pending) {
            // When it has ended, it is looked which of its results are missing.
            self.forget_value(key);
            return Ok(());
        }
        let plan = self.plan(maker)?;
        let object = Some(Target::Object(key.on(self.config.node)));
        self.forget_value(key);
        for again in plan {
            let Some(mut task) = self.lineage.take(again) else { continue };
            if task.count_retry().is_none() {
                continue;
            }
            let left = if task.retries_left == ENDLESS { String::new() } else { format!(", {} retries left", task.retries_left) };
            let why = if again == maker { "to make it" } else { "first, to make what that takes" };
            let message = format!("object {} is lost: {cause}; task {} runs again {why}{left}", key.on(self.config.node), task.function);
            self.event_about(EventKind::TaskRebuilt, Severity::Warning, None, object.clone(), message);
            self.resubmit(task);
        }
        Ok(())
    }

    /// The tasks that have to run again so that `maker` can, each after those that make what it takes.
    fn plan(&self, maker: TaskKey) -> Result<Vec<TaskKey>, String> {
        let mut plan = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        let mut stack = vec![(maker, false)];
        while let Some((key, complete)) = stack.pop() {
            if complete {
                plan.push(key);
                continue;
            }
            if !seen.insert(key) {
                continue;
            }
            let task = self.lineage.get(key).ok_or_else(|| self.no_lineage(key))?;
            if !self.jobs.contains_key(&task.job) {
                return Err(format!("job {} of its task is over", task.job));
            }
            if task.retries_left == 0 {
                return Err(format!("its task {} has no retries left", task.short_function()));
            }
            if let Some(missing) = self.missing_for(task) {
                return Err(format!("task {} cannot make it again: {missing}", task.short_function()));
            }
            stack.push((key, true));
            // One that runs already makes what it is waited for.
            let makers = task.holds.iter().filter(|held| self.is_hollow(**held)).filter_map(|held| self.objects.get(*held)?.task());
            stack.extend(makers.filter(|maker| !self.tasks.get(maker).is_some_and(Task::is_pending)).map(|maker| (maker, false)));
        }
        Ok(plan)
    }

    /// Whether an object is a trace without a value.
    pub(super) fn is_hollow(&self, key: ObjectKey) -> bool {
        self.lineage.is_trace(key) && self.objects.get(key).is_some_and(|object| object.state == Some(ObjectState::Pending))
    }

    /// Nobody holds an object any more. When a task that may have to run again takes it, and it can be had again for that, a trace of it
    /// stays: an inlined value as it is, of others nothing but that they are to be made again. False when it is to be freed.
    pub(super) fn leave_trace(&mut self, key: ObjectKey, out: &mut impl Outbox) -> bool {
        if !self.lineage.wants(key) || self.lineage.is_trace(key) {
            return false;
        }
        let Some(object) = self.objects.get(key).filter(|object| !object.actor) else { return false };
        let made_again = || object.task().is_some_and(|maker| self.lineage.get(maker).is_some());
        let stays = match object.state {
            // Traces leave the agent's memory for values to the program's.
            Some(ObjectState::Inlined) => object.contains().is_empty() && self.counters.inlined_bytes < MAX_INLINED / 2,
            // What a job reads or writes just now goes with that.
            Some(ObjectState::InMemory) => made_again() && !matches!(object.residency, Residency::Spilling | Residency::Restoring),
            _ => false,
        };
        if !stays {
            return false;
        }
        if object.state == Some(ObjectState::InMemory) {
            self.drop_value(key, out);
        }
        self.hide(key);
        self.lineage.leave_trace(key);
        let site = self.objects.get(key).map_or(plasmon_protocol::id::SiteId(0), |object| object.site);
        let held = self.hold(ProcessId(0), key, Count::Captured, site);
        debug_assert_eq!(held, Ok(()), "it is there");
        true
    }

    /// An object is none of the program's any more.
    fn hide(&mut self, key: ObjectKey) {
        let Some(object) = self.objects.get_mut(key).filter(|object| !object.hidden) else { return };
        object.hidden = true;
        let (length, site, created_ms) = (object.length, object.site, object.created_ms);
        self.counters.objects -= 1;
        self.counters.object_bytes -= length;
        self.sites.leave(site, created_ms, length);
    }

    /// The memory and the record of a value that nobody holds are free.
    fn drop_value(&mut self, key: ObjectKey, out: &mut impl Outbox) {
        let Some(object) = self.objects.get_mut(key) else { return };
        let (length, class, residency, record, place) =
            (object.length, object.class(), object.residency, object.record.take(), object.place.take());
        let (site, hidden) = (object.site, object.hidden);
        object.state = Some(ObjectState::Pending);
        object.residency = Residency::Primary;
        object.length = 0;
        let (captor, contains) =
            object.cold.as_mut().map_or((ProcessId(0), Box::default()), |cold| (cold.captor, std::mem::take(&mut cold.contains)));
        out.publish(key, Some(ObjectState::Pending), 0, 0);
        if !hidden {
            self.counters.object_bytes -= length;
            self.sites.weigh(site, |weight| weight.bytes -= length);
        }
        self.spill.count(residency, length, false);
        self.spill.wanted.remove(&key);
        if let Some(place) = place {
            self.store.tally(place.lease, residency, false);
            self.vacate(key, place, length, class, out);
        }
        if let Some(record) = record.and_then(|record| self.spill.files.leave(record)) {
            self.spill.sparse = true;
            self.retire_file(record.file, out);
        }
        let captor = self.living(captor);
        for inner in contains {
            self.release(captor, inner, Count::Captured);
        }
    }

    /// A trace is not needed any more, or an object as others again.
    pub(super) fn end_trace(&mut self, key: ObjectKey) {
        if self.lineage.remove_trace(key) {
            self.release(ProcessId(0), key, Count::Captured);
        }
    }

    fn no_lineage(&self, maker: TaskKey) -> String {
        match self.tasks.get(&maker) {
            Some(task) if task.max_retries == 0 => format!("its task {} has max_retries = 0", task.short_function()),
            Some(task) if task.retries_left == 0 => format!("its task {} has no retries left", task.short_function()),
            Some(task) if task.role != Role::Function => format!("{} is a call of an actor, which is not run again", task.short_function()),
            Some(task) => format!("what it takes to run its task {} again was dropped for --lineage-limit", task.short_function()),
            None => "what it takes to run its task again was not kept, or dropped for --lineage-limit".to_owned(),
        }
    }

    /// What of a task's arguments is gone.
    fn missing_for(&self, task: &Task) -> Option<String> {
        for (index, argument) in task.arguments.iter().enumerate() {
            let (key, what) = match argument {
                Argument::Inline(_) => continue,
                Argument::Object(key) => (*key, format!("its argument {} (object {})", index + 1, key.on(self.config.node))),
                Argument::Block(key) => (*key, format!("its argument {}, a value that was passed to it alone,", index + 1)),
            };
            match self.objects.get(key).map(|object| object.state) {
                None => return Some(format!("{what} is gone, nobody held it")),
                Some(Some(ObjectState::Failed)) => return Some(format!("{what} has no value itself")),
                Some(_) => {}
            }
        }
        let gone = task.holds.iter().find(|key| self.objects.get(**key).is_none())?;
        Some(format!("object {} inside of its arguments is gone, nobody held it", gone.on(self.config.node)))
    }

    /// An object has no value any more, until its task makes it again.
    fn forget_value(&mut self, key: ObjectKey) {
        let Some(object) = self.objects.get_mut(key) else { return };
        object.state = Some(ObjectState::Pending);
        object.residency = Residency::Primary;
        let length = std::mem::take(&mut object.length);
        let (hidden, site, submitted) = (object.hidden, object.site, object.counts.submitted);
        let (captor, contains) =
            object.cold.as_mut().map_or((ProcessId(0), Box::default()), |cold| (cold.captor, std::mem::take(&mut cold.contains)));
        if !hidden {
            self.counters.object_bytes -= length;
            self.sites.weigh(site, |weight| weight.bytes -= length);
            self.weigh_holders(key, |bytes| bytes - length);
        }
        let captor = self.living(captor);
        for inner in contains {
            self.release(captor, inner, Count::Captured);
        }
        self.spill.wanted.remove(&key);
        if submitted > 0 {
            self.await_again(key);
        }
    }

    /// Tasks that have not begun wait for an argument again.
    fn await_again(&mut self, argument: ObjectKey) {
        let needs = |task: &Task| {
            task.worker.is_none()
                && task.is_pending()
                && task.status != TaskStatus::Infeasible
                && task.arguments.iter().any(|given| matches!(given, Argument::Object(key) | Argument::Block(key) if *key == argument))
        };
        let pending = self.jobs.values().flat_map(|job| &job.pending);
        let waiting: Vec<TaskKey> = pending.copied().filter(|key| self.tasks.get(key).is_some_and(needs)).collect();
        for key in waiting {
            // One that waits for its next attempt waits for that as well.
            self.dequeue(key);
            self.forget_dependent(key);
            self.unfetch(key);
            let waits_for = self.await_missing(key);
            let now_ms = self.now_ms;
            let Some(task) = self.tasks.get_mut(&key) else { continue };
            let before = std::mem::replace(&mut task.status, TaskStatus::PendingArgsAvail);
            (task.waits_for, task.waiting_since_ms) = (waits_for, now_ms);
            self.status_changed(Some(before), TaskStatus::PendingArgsAvail);
        }
    }

    /// A finished task is pending again. It holds what it held before.
    fn resubmit(&mut self, mut task: Task) {
        let (key, job) = (task.key, task.job);
        let holder = self.living(key.process);
        for object in &task.holds {
            let held = self.hold(holder, *object, Count::Submitted, task.site);
            debug_assert_eq!(held, Ok(()), "it was asked whether all of them are there");
            if self.is_hollow(*object) {
                self.end_trace(*object);
            }
        }
        self.ended.retain(|ended| *ended != key);
        if let Some(job) = self.jobs.get_mut(&job) {
            job.pending.insert(key);
        }
        task.holder = holder;
        task.status = TaskStatus::PendingArgsAvail;
        task.waits_for = 0;
        task.worker = None;
        task.blocked = false;
        task.parent = None;
        task.outputs = 0;
        task.waiting_since_ms = self.now_ms;
        (task.started_ms, task.ended_ms) = (None, None);
        task.forget_rare();
        self.tasks.insert(task);
        self.status_changed(Some(TaskStatus::Finished), TaskStatus::PendingArgsAvail);
        self.await_arguments(key);
    }

    /// A task has finished: results that were lost while it ran, after it had sent them, are made by running it once more.
    pub(super) fn make_what_is_missing(&mut self, key: TaskKey, out: &mut impl Outbox) {
        let Some(task) = self.tasks.get(&key).filter(|task| !task.returns.is_empty()) else { return };
        let pending = |result: &ObjectKey| self.objects.get(*result).is_some_and(|object| object.state == Some(ObjectState::Pending));
        let missing: Vec<ObjectKey> = task.returns.iter().copied().filter(pending).filter(|result| !self.is_hollow(*result)).collect();
        for result in missing {
            if let Err(why) = self.rebuild(result, "it was lost while its task ran") {
                let error = self.lost(result, &format!("it was lost while its task ran; {why}"));
                self.fail_object(result, &error, out);
            }
        }
    }
}
