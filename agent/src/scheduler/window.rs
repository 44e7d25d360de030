//! What a worker was sent to run: one task that runs, and quick ones that come after it, so that a worker that is done with one finds the
//! next there.
//!
//! Of all that a worker was sent, it sees this order: what was taken back before the task that runs was sent, that task, what comes after
//! it, and what was taken back of that. So the first of [`Window::declined`] is the first of which it will say that it does not run it.

use std::collections::VecDeque;
use std::sync::Arc;

use plasmon_protocol::id::TaskKey;

/// Tasks that a worker is sent ahead at most.
pub const AHEAD: usize = 32;
/// The longest that a task may take for the next ones to be sent ahead, milliseconds.
const QUICK_MS: u64 = 1;
/// What was sent ahead goes to others when the task before it takes longer, milliseconds.
pub const LONG_MS: u64 = 5;

/// A worker that has begun nothing of what was taken back is awaited so long before another is started in its place, milliseconds.
pub const SOON_MS: u64 = 50;
/// How long a worker that others wait for is sent tasks ahead, from the moment it got its place: then it gives that up, milliseconds.
pub const TURN_MS: u64 = 5;

/// What one worker was sent.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// Tasks and constructors that it was sent, ever.
    pub runs: u64,
    /// The number among those of the task that it runs.
    pub run: u64,
    /// Tasks that come after that, oldest first, with their numbers.
    pub ahead: VecDeque<(u64, TaskKey)>,
    /// Tasks that were taken back and that it has not declined yet, in the order in which it comes to them.
    pub declined: VecDeque<TaskKey>,
    /// The number up to which all was asked back: what had not begun then never will.
    pub asked: u64,
    /// It was asked, and it is not known yet what had begun.
    pub asking: bool,
    /// When it is known, the worker ends if it runs one of these.
    pub unwanted: Vec<TaskKey>,
    /// Since when it has its place, milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// Since when its task is the one that runs, or all was taken back, milliseconds since the Unix epoch.
    pub turn_ms: u64,
    /// The function that its last tasks took no time to speak of in.
    pub quick: Option<Arc<str>>,
    /// How many tasks of that may be sent ahead: more with each that is quick.
    pub most: usize,
}

impl Window {
    /// A task was sent that begins at once.
    pub fn begin(&mut self, now_ms: u64) {
        self.runs += 1;
        self.run = self.runs;
        (self.since_ms, self.turn_ms) = (now_ms, now_ms);
    }

    /// A task was sent that comes after others.
    pub fn push(&mut self, task: TaskKey) {
        self.runs += 1;
        self.ahead.push_back((self.runs, task));
    }

    /// The task that ran is done with, in any way: the one that follows it, if there is one.
    pub fn next(&mut self, now_ms: u64) -> Option<TaskKey> {
        let (run, task) = self.ahead.pop_front()?;
        self.run = run;
        self.turn_ms = now_ms;
        Some(task)
    }

    /// A task of this function has ended: whether others like it may be sent ahead.
    pub fn learn(&mut self, function: Option<&Arc<str>>, now_ms: u64) {
        let quick = now_ms.saturating_sub(self.turn_ms) <= QUICK_MS;
        let again = quick && function.is_some() && self.quick.as_ref() == function;
        self.most = if again { (2 * self.most).clamp(1, AHEAD) } else { 0 };
        if !again {
            self.quick = function.filter(|_| quick).cloned();
        }
    }

    /// Whether the task that runs was asked back.
    #[must_use]
    pub fn is_asked_back(&self) -> bool {
        self.run <= self.asked
    }

    /// All that was sent is asked back, as far as it has not begun. The number up to which, unless that was asked already.
    pub fn ask_back(&mut self) -> Option<u64> {
        if self.asking || self.asked == self.runs {
            return None;
        }
        self.asking = true;
        self.asked = self.runs;
        Some(self.asked)
    }

    /// Whether it may keep its place though others wait for one.
    #[must_use]
    pub fn has_turn(&self, now_ms: u64) -> bool {
        now_ms < self.since_ms + TURN_MS
    }

    /// Whether a task may be sent that comes after others.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.asking && self.declined.is_empty() && self.unwanted.is_empty() && self.ahead.len() < self.most
    }

    /// The worker says of this task that it does not run it. False when that is not the next to be said so of.
    pub fn decline(&mut self, task: TaskKey) -> bool {
        let is_next = self.declined.front() == Some(&task);
        if is_next {
            self.declined.pop_front();
        }
        is_next
    }
}

#[cfg(test)]
mod tests {
    use plasmon_protocol::id::ProcessId;

    use super::*;

    fn task(number: u32) -> TaskKey {
        TaskKey { process: ProcessId(1), number }
    }

    #[test]
    fn each_quick_task_of_the_same_function_doubles_what_may_be_sent_ahead() {
        let (f, g): (Arc<str>, Arc<str>) = ("f".into(), "g".into());
        let mut window = Window::default();
        let most: Vec<usize> = (0..8)
            .map(|_| {
                window.begin(10);
                window.learn(Some(&f), 11);
                window.most
            })
            .collect();
        assert_eq!(most, [0, 1, 2, 4, 8, 16, 32, 32]);
        window.begin(20);
        window.learn(Some(&g), 20);
        assert_eq!((window.most, window.quick.as_deref()), (0, Some("g")));
        window.begin(30);
        window.learn(Some(&g), 35);
        assert_eq!((window.most, window.quick.as_deref()), (0, None));
    }

    #[test]
    fn what_is_asked_back_is_all_that_was_sent_by_then_and_no_more() {
        let mut window = Window { most: 2, ..Window::default() };
        window.begin(0);
        window.push(task(2));
        assert!(window.is_open());
        assert_eq!((window.ask_back(), window.ask_back(), window.is_open()), (Some(2), None, false));
        assert!(window.is_asked_back());
        window.asking = false;
        assert_eq!(window.ask_back(), None, "it was asked for that already");
        assert_eq!(window.next(0), Some(task(2)));
        window.begin(0);
        assert!(!window.is_asked_back());
        assert_eq!(window.ask_back(), Some(3));
    }

    #[test]
    fn tasks_are_declined_in_their_order() {
        let mut window = Window { declined: VecDeque::from([task(1), task(2)]), ..Window::default() };
        assert!(!window.decline(task(2)));
        assert!(window.decline(task(1)) && window.decline(task(2)) && !window.decline(task(2)));
    }
}
