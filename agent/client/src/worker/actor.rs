//! The life of a worker that has become an actor: it runs calls until it is told to end, then drops the actor's value.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use plasmon_protocol::local::{self, ToClient};

use super::{Job, Worker};
use crate::registry::State;
use crate::turn::{Turn, Turns};

/// Runs calls until the agent says that nobody can call any more.
pub(super) fn serve(worker: &Worker, state: State, max_concurrency: u32) {
    failpoint!("actor_ready");
    let next_call = || worker.client.inbound.next_task(&worker.client);
    if max_concurrency <= 1 {
        while let Some(message) = next_call() {
            if !run(&message, |job| worker.run_alone(job, State::clone(&state)).is_ok()) {
                break;
            }
        }
    } else {
        let crew = Crew { queue: Mutex::default(), changed: Condvar::new(), turns: Arc::default() };
        std::thread::scope(|scope| {
            let mut threads = 0;
            while let Some(message) = next_call() {
                // The agent sends no more calls than may run.
                if matches!(local::decode("the agent", &message), Ok(ToClient::Run { .. })) {
                    if crew.give(message) && threads < max_concurrency {
                        threads += 1;
                        let (crew, state) = (&crew, &state);
                        let started = std::thread::Builder::new().name(format!("call {threads}"));
                        let body = move || {
                            crew.work(|message, turn| run(message, |job| worker.run_beside(job, State::clone(state), turn).is_ok()))
                        };
                        // Without a thread more, the call waits for one of the others.
                        if started.spawn_scoped(scope, body).is_err() {
                            threads -= 1;
                            if threads == 0 {
                                break;
                            }
                        }
                    }
                } else {
                    break;
                }
            }
            crew.end();
        });
    }
    failpoint!("actor_over");
    // Its destructor may still put, get and drop references.
    drop(state);
}

/// Decodes a call and runs it; false when it is none, or the agent is gone.
fn run(message: &[u8], call: impl FnOnce(&Job<'_>) -> bool) -> bool {
    match local::decode("the agent", message) {
        Ok(ToClient::Run { task, work, function, arguments, .. }) => call(&Job { task, work, name: function, arguments: &arguments }),
        _ => false,
    }
}

/// Threads that run calls side by side; begun in the order in which they came.
struct Crew {
    queue: Mutex<Queue>,
    changed: Condvar,
    turns: Arc<Turns>,
}

#[derive(Default)]
struct Queue {
    calls: VecDeque<Vec<u8>>,
    /// Calls taken out so far.
    begun: u64,
    idle: usize,
    ended: bool,
}

impl Crew {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a call; true when no thread is free for it.
    fn give(&self, call: Vec<u8>) -> bool {
        let mut queue = self.lock();
        queue.calls.push_back(call);
        self.changed.notify_one();
        queue.calls.len() > queue.idle
    }

    fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    fn work(&self, mut run: impl FnMut(&[u8], Turn) -> bool) {
        loop {
            let mut queue = self.lock();
            queue.idle += 1;
            let call = loop {
                if let Some(call) = queue.calls.pop_front() {
                    break call;
                }
                if queue.ended {
                    return;
                }
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            };
            queue.idle -= 1;
            let turn = Turn::new(&self.turns, queue.begun);
            queue.begun += 1;
            drop(queue);
            if !run(&call, turn) {
                return;
            }
        }
    }
}
