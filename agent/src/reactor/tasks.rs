//! Tasks are submitted, and wait for their arguments.

use plasmon_protocol::error::Error;
use plasmon_protocol::id::{JobId, ObjectKey, ProcessId, SiteId, TaskKey};
use plasmon_protocol::local::{self, MAX_TASK_ARGUMENTS};
use plasmon_protocol::record::{ObjectState, TaskStatus};
use plasmon_protocol::resources::Demand;
use smallvec::SmallVec;

use super::messages::bounded;
use super::{Core, Outbox, Violation};
use crate::references::table::Count;
use crate::scheduler::task::{Argument, Keys, Role, Task};

/// Bytes of inlined arguments of one task: they must fit the message to its worker.
pub(super) const MAX_INLINED_ARGUMENTS: usize = 16 << 10;

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
        if inlined > MAX_INLINED_ARGUMENTS || arguments.len() > MAX_TASK_ARGUMENTS {
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

    pub(super) fn forget_dependent(&mut self, key: TaskKey) {
        let Some(task) = self.tasks.get(&key) else { return };
        for object in task.holds.clone() {
            if let Some(cold) = self.objects.get_mut(object).and_then(|object| object.cold.as_mut()) {
                cold.dependents.remove(&key);
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
