//! Calls that wait for their actor: in order for each caller, callers in turn. Those that are tried again come first, in the order in
//! which they were sent.

use std::collections::{BTreeMap, VecDeque};

use plasmon_protocol::id::{ProcessId, TaskKey};

/// The queues. A caller without waiting calls has none.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    callers: BTreeMap<ProcessId, VecDeque<TaskKey>>,
    again: VecDeque<TaskKey>,
    last: ProcessId,
    length: usize,
}

impl Calls {
    /// Puts a call behind its caller's others.
    pub fn push(&mut self, call: TaskKey) {
        self.callers.entry(call.process).or_default().push_back(call);
        self.length += 1;
    }

    /// Puts a call before all others but those of its caller that had been sent before it.
    pub fn push_first(&mut self, call: TaskKey) {
        let sent_before = |again: &TaskKey| again.process == call.process && again.number < call.number;
        let place = self.again.iter().rposition(sent_before).map_or(0, |before| before + 1);
        self.again.insert(place, call);
        self.length += 1;
    }

    /// Puts a call that is tried again before all that was not sent yet, behind those of its caller that had been sent before it.
    pub fn push_again(&mut self, call: TaskKey) {
        let later = |again: &TaskKey| again.process == call.process && again.number > call.number;
        let place = self.again.iter().position(later).unwrap_or(self.again.len());
        self.again.insert(place, call);
        self.length += 1;
    }

    /// The next call that is `ready`. A caller whose first call is not waits with all that follow it.
    #[must_use]
    pub fn first(&self, ready: impl Fn(TaskKey) -> bool) -> Option<TaskKey> {
        if let Some(first) = self.again.front() {
            // None overtakes a call that had been sent before it.
            return Some(*first).filter(|first| ready(*first));
        }
        let later = self.callers.range(ProcessId(self.last.0.saturating_add(1))..);
        let earlier = self.callers.range(..=self.last);
        later.chain(earlier).filter_map(|(_, queue)| queue.front().copied()).find(|call| ready(*call))
    }

    /// Takes the call that [`Calls::first`] tells.
    pub fn next(&mut self, ready: impl Fn(TaskKey) -> bool) -> Option<TaskKey> {
        let call = self.first(ready)?;
        if self.again.front() != Some(&call) {
            self.last = call.process;
        }
        self.remove(call);
        Some(call)
    }

    /// Takes a call out from wherever it stands.
    pub fn remove(&mut self, call: TaskKey) {
        if let Some(index) = self.again.iter().position(|again| *again == call) {
            self.again.remove(index);
            self.length -= 1;
            return;
        }
        let Some(queue) = self.callers.get_mut(&call.process) else { return };
        // Nearly always the first: calls are numbered in their order.
        if let Ok(index) = queue.binary_search(&call) {
            queue.remove(index);
            self.length -= 1;
        }
        if queue.is_empty() {
            self.callers.remove(&call.process);
        }
    }

    /// Takes everything: what comes first, then callers one after the other.
    pub fn take(&mut self) -> Vec<TaskKey> {
        let all = self.iter().collect();
        *self = Self { last: self.last, ..Self::default() };
        all
    }

    /// The first call of a caller.
    #[must_use]
    pub fn first_of(&self, caller: ProcessId) -> Option<TaskKey> {
        self.callers.get(&caller)?.front().copied()
    }

    /// All of them: what comes first, then callers one after the other.
    pub fn iter(&self) -> impl Iterator<Item = TaskKey> + '_ {
        self.again.iter().chain(self.callers.values().flatten()).copied()
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(process: u32, number: u32) -> TaskKey {
        TaskKey { process: ProcessId(process), number }
    }

    #[test]
    fn callers_take_turns_and_each_keeps_its_order() {
        let mut calls = Calls::default();
        for (process, number) in [(1, 1), (1, 2), (1, 4), (2, 1), (3, 7)] {
            calls.push(call(process, number));
        }
        let order: Vec<TaskKey> = std::iter::from_fn(|| calls.next(|_| true)).collect();
        assert_eq!(order, [call(1, 1), call(2, 1), call(3, 7), call(1, 2), call(1, 4)]);
        assert!(calls.is_empty());
    }

    #[test]
    fn a_call_that_is_not_ready_holds_up_its_caller_alone() {
        let mut calls = Calls::default();
        for (process, number) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
            calls.push(call(process, number));
        }
        let ready = |key: TaskKey| key != call(1, 1);
        assert_eq!(calls.next(ready), Some(call(2, 1)));
        assert_eq!(calls.next(ready), Some(call(2, 2)));
        assert_eq!(calls.next(ready), None);
        calls.remove(call(1, 1));
        assert_eq!(calls.next(ready), Some(call(1, 2)));
        assert_eq!(calls.len(), 0);
    }

    #[test]
    fn calls_that_had_been_sent_come_first_and_in_their_order() {
        let mut calls = Calls::default();
        for (process, number) in [(1, 3), (2, 2)] {
            calls.push(call(process, number));
        }
        [call(2, 1), call(1, 2), call(1, 1)].into_iter().for_each(|sent| calls.push_first(sent));
        assert_eq!((calls.len(), calls.iter().count()), (5, 5));
        assert_eq!(calls.next(|key| key != call(1, 1)), None);
        calls.remove(call(1, 2));
        let order: Vec<TaskKey> = std::iter::from_fn(|| calls.next(|_| true)).collect();
        assert_eq!(order, [call(1, 1), call(2, 1), call(1, 3), call(2, 2)]);
        assert!(calls.is_empty());
    }

    #[test]
    fn calls_that_are_tried_again_keep_their_callers_order() {
        let mut calls = Calls::default();
        [call(1, 6), call(2, 5)].into_iter().for_each(|later| calls.push(later));
        [call(1, 2), call(2, 2), call(1, 3), call(1, 1), call(2, 1)].into_iter().for_each(|failed| calls.push_again(failed));
        // Their worker dies meanwhile, to which others had been sent.
        [call(2, 4), call(1, 5)].into_iter().for_each(|sent| calls.push_first(sent));
        let order: Vec<TaskKey> = std::iter::from_fn(|| calls.next(|_| true)).collect();
        let again = [call(1, 1), call(1, 2), call(2, 1), call(2, 2), call(2, 4), call(1, 3), call(1, 5)];
        assert_eq!(order[..7], again);
        assert_eq!(order[7..], [call(1, 6), call(2, 5)]);
        assert!(calls.is_empty());
    }
}
