//! Tasks whose results are as many as a generator yields. The submitter makes room for some more of them again and again, as it takes what
//! there is; the worker asks for room before it goes on. So a task runs as far ahead of whoever wants its results as that lets it.
//!
//! A result is hidden until the task has yielded it: nobody's program has made it before, and the last ones it never makes.

use plasmon_protocol::error::Error;
use plasmon_protocol::id::{ObjectKey, ProcessId, TaskKey};
use plasmon_protocol::local::{GENERATOR_BATCH, Outcome, ToClient};
use plasmon_protocol::record::ObjectState;

use super::{Activity, Core, Outbox, Violation};
use crate::references::table::Count;
use crate::scheduler::task::{Role, Room, Task};

impl Core {
    /// The submitter makes room for more results; with none, there will be no more. Those of a task that has ended never have a value.
    pub(super) fn on_extend(
        &mut self,
        from: ProcessId,
        number: u32,
        returns: &[ObjectKey],
        site: u32,
        out: &mut impl Outbox,
    ) -> Result<(), Violation> {
        if returns.len() > GENERATOR_BATCH as usize {
            return Err(Violation(format!("room for {} results at once", returns.len())));
        }
        let key = TaskKey { process: from, number };
        let site = self.site_from(from, site);
        let task = self.tasks.get(&key);
        if task.is_some_and(|task| matches!(task.role, Role::Constructor(_))) {
            return Err(Violation("more results of a constructor".to_owned()));
        }
        if task.is_some_and(|task| !task.streams && !task.returns.is_empty()) {
            return Err(Violation("more results of a task that is no generator".to_owned()));
        }
        let goes_on = task.is_some_and(|task| task.is_pending() && !task.closed);
        let failed = task.and_then(|task| task.rare().error.clone());
        let error = self.unheard.remove(&key).or(failed).unwrap_or_else(|| self.no_more(key));
        for result in returns {
            self.create(from, *result, site, true)?;
            self.hold(from, *result, Count::Local, site)?;
            out.publish(*result, Some(ObjectState::Pending), 0, 0);
            if !goes_on {
                self.fail_object(*result, &error, out);
            } else if let Some(object) = self.objects.get_mut(*result) {
                object.cold_mut().task = Some(key);
            }
        }
        if returns.is_empty() {
            self.close_results(key, out);
        } else if let Some(task) = self.tasks.get_mut(&key).filter(|_| goes_on) {
            task.streams = true;
            task.returns.extend_from_slice(returns);
            self.forget_gone_results(key);
            self.answer_room(key, out);
        }
        Ok(())
    }

    /// What was taken and let go of a stream is not kept in mind: it may yield for ever.
    fn forget_gone_results(&mut self, key: TaskKey) {
        let Some(task) = self.tasks.get(&key) else { return };
        let gone = task.returns.iter().take_while(|result| self.objects.get(**result).is_none()).count();
        // Half of them at once, so that each is moved once.
        if 2 * gone >= task.returns.len()
            && let Some(task) = self.tasks.get_mut(&key)
        {
            task.forget_results(gone);
        }
    }

    /// A worker asks whether its task may go on to so many results.
    pub(super) fn on_room_asked(
        &mut self,
        from: ProcessId,
        request: u32,
        key: TaskKey,
        results: u32,
        out: &mut impl Outbox,
    ) -> Result<(), Violation> {
        let Some(task) = self.running(from, key)?.filter(|task| task.is_pending()) else {
            out.send(from, &ToClient::Refused { request, error: self.no_more(key) });
            return Ok(());
        };
        if task.rare().room.is_some() {
            return Err(Violation("room for results asked for twice".to_owned()));
        }
        task.rare_mut().room = Some(Room { request, results });
        self.answer_room(key, out);
        Ok(())
    }

    /// A worker that waited for room does so no more.
    pub(super) fn forget_room(&mut self, from: ProcessId, request: u32) {
        let running = match self.process(from).map(|process| process.activity) {
            Some(Activity::Busy(key)) => vec![key],
            Some(Activity::Actor(actor)) => self.actors.get(&actor).map_or_else(Vec::new, |actor| actor.running.to_vec()),
            _ => return,
        };
        for key in running {
            if let Some(rare) = self.tasks.get_mut(&key).and_then(Task::rare_if_any) {
                rare.room.take_if(|room| room.request == request);
            }
        }
    }

    /// Nobody wants more results than there is room for.
    pub(super) fn close_results(&mut self, key: TaskKey, out: &mut impl Outbox) {
        let Some(task) = self.tasks.get_mut(&key).filter(|task| task.is_pending()) else { return };
        task.closed = true;
        self.answer_room(key, out);
    }

    /// Answers a worker that waits for room, when there is some or will be none.
    fn answer_room(&mut self, key: TaskKey, out: &mut impl Outbox) {
        let Some(task) = self.tasks.get_mut(&key) else { return };
        let (Some(room), Some(worker)) = (task.rare().room, task.worker) else { return };
        let (request, there) = (room.request, task.results() >= room.results);
        if there || task.closed {
            task.rare_mut().room = None;
            let ready = ToClient::Resolved { request, outcome: Outcome::Ready };
            let answer = if there { ready } else { ToClient::Refused { request, error: self.no_more(key) } };
            // A worker that calls itself may be the submitter that has died.
            if self.living(worker) == worker {
                out.send(worker, &answer);
            }
        }
    }

    /// A generator has yielded all its values: the results that are left never have one.
    pub(super) fn exhaust(&mut self, key: TaskKey, out: &mut impl Outbox) {
        let Some(task) = self.tasks.get_mut(&key) else { return };
        task.closed = true;
        let returns = task.returns.clone();
        let error = self.no_more(key);
        for result in returns {
            // What is seen was yielded by an earlier attempt; should it be lost, it is made again.
            if self.objects.get(result).is_some_and(|object| object.hidden) && !self.lineage.is_trace(result) {
                self.fail_object(result, &error, out);
            }
        }
    }

    /// Of a generator that has failed, people see the first result that no attempt has yielded: there its error is found.
    pub(super) fn reveal_first_missing(&mut self, key: TaskKey) {
        let first = self.tasks.get(&key).and_then(|task| task.result(task.yielded));
        if let Some(first) = first {
            self.reveal(first);
        }
    }

    /// People see an object from now on that they have not seen before.
    pub(super) fn reveal(&mut self, key: ObjectKey) {
        let now_ms = self.now_ms;
        let Some(object) = self.objects.get_mut(key).filter(|object| object.hidden) else { return };
        object.hidden = false;
        object.created_ms = now_ms;
        let (site, first, rows, length) = (object.site, object.first_row, object.rows, object.length);
        self.counters.objects += 1;
        self.counters.object_bytes += length;
        self.counters.rows += u64::from(rows);
        self.sites.enter(site, now_ms);
        self.sites.weigh(site, |weight| {
            weight.references += u64::from(rows);
            weight.bytes += length;
        });
        for row in self.references.holders(first).take(rows as usize) {
            if let Some(holder) = self.processes.get_mut(row.process) {
                holder.rows += 1;
                holder.held_bytes += length;
            }
        }
    }

    /// An ended task is known no more. What a generator failed with is kept until its submitter asks for more results: those that it has
    /// may all have values, and it would take the end of them for the end of all.
    pub(super) fn keep_unheard(&mut self, task: &Task) {
        let error = task.rare().error.as_ref().filter(|_| task.streams && !task.closed && self.process(task.key.process).is_some());
        if let Some(error) = error {
            self.unheard.insert(task.key, error.clone());
        }
    }

    pub(super) fn no_more(&self, key: TaskKey) -> Error {
        Error::NoMoreResults { task: key.on(self.config.node) }
    }
}
