//! Generators: room for results, and the end of what they yield.

use std::collections::BTreeSet;

use plasmon_protocol::id::{ObjectKey, ProcessId, TaskKey};
use plasmon_protocol::local::GENERATOR_BATCH;

use super::messages::{Verdict, allowed};
use super::{Answer, Codes, Expected, Model, Role};

/// What a result that is never yielded fails with.
const NO_MORE: &str = "no_more_results";

impl Model {
    pub(super) fn extend(&mut self, from: ProcessId, number: u32, returns: &[ObjectKey]) -> Verdict {
        allowed(returns.len() <= GENERATOR_BATCH as usize, "room for too many results at once")?;
        for (index, result) in returns.iter().enumerate() {
            self.may_create(from, *result)?;
            allowed(!returns[..index].contains(result), "a result twice")?;
        }
        let key = TaskKey { process: from, number };
        let task = self.tasks.get(&key);
        allowed(task.is_none_or(|task| !matches!(task.role, Role::Constructor(_))), "more results of a constructor")?;
        allowed(task.is_none_or(|task| task.streams || task.returns.is_empty()), "more results of a task that is no generator")?;
        let goes_on = task.is_some_and(|task| task.is_pending() && !task.closed);
        // An error is remembered for a while.
        let codes: Codes = task.map(|task| task.codes.clone()).unwrap_or_default().into_iter().chain([NO_MORE]).collect();
        for result in returns {
            self.create(from, *result, true);
            if !goes_on {
                self.fail_object(*result, &codes);
            }
        }
        if let Some(task) = self.tasks.get_mut(&key).filter(|task| task.is_pending()) {
            task.closed |= returns.is_empty();
            if goes_on {
                task.returns.extend_from_slice(returns);
                task.streams |= !returns.is_empty();
            }
        }
        self.answer_room(key);
        Ok(())
    }

    pub(super) fn ask_room(&mut self, from: ProcessId, request: u32, key: TaskKey, results: u32) -> Verdict {
        let Some(task) = self.run_by(from, key)?.filter(|task| task.is_pending()) else {
            self.expected.push(Expected { process: from, request, wants_value: true, answer: Answer::Refused(NO_MORE) });
            return Ok(());
        };
        allowed(task.room.is_none(), "room asked for twice")?;
        if let Some(task) = self.tasks.get_mut(&key) {
            task.room = Some((request, results as usize));
        }
        self.answer_room(key);
        Ok(())
    }

    pub(super) fn forget_room(&mut self, from: ProcessId, request: u32) {
        for task in self.tasks.values_mut().filter(|task| task.worker == Some(from)) {
            task.room = task.room.filter(|(asked, _)| *asked != request);
        }
    }

    /// A submitter that has died wants nothing more.
    pub(super) fn close_all_of(&mut self, submitter: ProcessId) {
        let keys: Vec<TaskKey> =
            self.tasks.iter().filter(|(key, task)| key.process == submitter && task.is_pending()).map(|(key, _)| *key).collect();
        for key in keys {
            if let Some(task) = self.tasks.get_mut(&key) {
                task.closed = true;
            }
            self.answer_room(key);
        }
    }

    fn answer_room(&mut self, key: TaskKey) {
        let Some(task) = self.tasks.get_mut(&key).filter(|task| task.is_pending()) else { return };
        let (Some((request, results)), Some(process)) = (task.room, task.worker) else { return };
        let there = task.returns.len() >= results;
        if there || task.closed {
            task.room = None;
            let answer = if there { Answer::Ready } else { Answer::Refused(NO_MORE) };
            if self.processes.contains_key(&process) {
                self.expected.push(Expected { process, request, wants_value: true, answer });
            }
        }
    }

    /// What a generator has not yielded never has a value.
    pub(super) fn exhaust(&mut self, key: TaskKey) {
        let Some(task) = self.tasks.get_mut(&key) else { return };
        task.closed = true;
        let unseen: Vec<ObjectKey> = task
            .returns
            .iter()
            .copied()
            .filter(|result| self.objects.get(result).is_some_and(|object| object.hidden && !object.trace))
            .collect();
        for result in unseen {
            self.fail_object(result, &BTreeSet::from([NO_MORE]));
        }
    }

    pub(super) fn reveal(&mut self, key: ObjectKey) {
        if let Some(object) = self.objects.get_mut(&key) {
            object.hidden = false;
        }
    }

    /// The error of a generator is seen in the place of the first result that no attempt has yielded.
    pub(super) fn reveal_first_missing(&mut self, key: TaskKey) {
        if let Some(first) = self.tasks.get(&key).and_then(|task| task.returns.get(task.yielded)).copied() {
            self.reveal(first);
        }
    }
}
