//! Answers that this process waits for.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::Waker;
use std::time::Instant;

use plasmon_protocol::error::Error;
use plasmon_protocol::id::ObjectKey;

use crate::cancelled::Interrupt;

/// The agent's answer to one request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// A range of the pool.
    Leased { lease: u32, offset: u64, length: u64 },
    /// A block of slots.
    Slots { first: u32 },
    /// The object has a value.
    Ready,
    /// The object is in the pool and pinned by count, for whoever gets this.
    Pinned(ObjectKey),
    /// A handle to an actor.
    Found { actor: ObjectKey, class: String },
    /// The object's encoded value.
    Inline(Arc<[u8]>),
    /// No.
    Refused(Error),
}

#[derive(Debug, Default)]
struct State {
    answer: Option<Answer>,
    waker: Option<Waker>,
    /// Told of the answer too, under this index.
    gate: Option<(usize, Arc<Gate>)>,
    /// Nobody waits for the answer any more.
    abandoned: bool,
    /// The task that waits was cancelled.
    interrupted: bool,
}

/// One request that is under way.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    state: Mutex<State>,
    answered: Condvar,
}

impl Pending {
    /// Waits for the answer; `None` when `deadline` passes first, or the waiting task is cancelled.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> Option<Answer> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(answer) = state.answer.clone() {
                return Some(answer);
            }
            if state.interrupted {
                return None;
            }
            state = match deadline {
                None => self.answered.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.checked_duration_since(Instant::now())?;
                    self.answered.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// The answer if it is there; else `waker` is woken when it comes.
    pub(crate) fn poll(&self, waker: &Waker) -> Option<Answer> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.answer.is_none() {
            state.waker = Some(waker.clone());
        }
        state.answer.clone()
    }

    /// From here on nobody waits: the answer, if it was there already.
    pub(crate) fn abandon(&self) -> Option<Answer> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.abandoned = true;
        state.answer.take()
    }

    /// Hands the answer over; gives it back when nobody waits for it.
    fn answer(&self, answer: Answer) -> Option<Answer> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.abandoned {
            return Some(answer);
        }
        state.answer = Some(answer);
        self.answered.notify_all();
        let (waker, gate) = (state.waker.take(), state.gate.take());
        drop(state);
        // Without any lock: a waker may run the asker's own code, which may ask again.
        if let Some(waker) = waker {
            waker.wake();
        }
        if let Some((index, gate)) = gate {
            gate.arrive(index);
        }
        None
    }
}

impl Interrupt for Pending {
    fn interrupt(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.interrupted = true;
        self.answered.notify_all();
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// All requests under way, by number.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    next: u32,
    pending: HashMap<u32, Arc<Pending>>,
    /// Set once the agent is gone: what every request is answered with from then on.
    dead: Option<Error>,
}

impl Requests {
    /// A new request's number and where its answer arrives.
    ///
    /// # Errors
    /// The agent is gone.
    pub(crate) fn open(&self) -> Result<(u32, Arc<Pending>), Error> {
        let mut inner = self.lock();
        if let Some(error) = &inner.dead {
            return Err(error.clone());
        }
        inner.next = inner.next.wrapping_add(1);
        let number = inner.next;
        let pending = Arc::new(Pending::default());
        inner.pending.insert(number, Arc::clone(&pending));
        Ok((number, pending))
    }

    /// A new request whose answer is told to `gate` under `index`.
    ///
    /// # Errors
    /// The agent is gone.
    pub(crate) fn open_gated(&self, index: usize, gate: &Arc<Gate>) -> Result<u32, Error> {
        let (number, pending) = self.open()?;
        let mut state = pending.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.answer {
            // The agent was lost in between.
            Some(_) => gate.arrive(index),
            None => state.gate = Some((index, Arc::clone(gate))),
        }
        drop(state);
        Ok(number)
    }

    /// Forgets a request; true when it was still under way.
    pub(crate) fn close(&self, number: u32) -> bool {
        self.lock().pending.remove(&number).is_some()
    }

    /// Delivers an answer; gives it back when nobody waits for it.
    pub(crate) fn answer(&self, number: u32, answer: Answer) -> Option<Answer> {
        let pending = self.lock().pending.remove(&number);
        match pending {
            Some(pending) => pending.answer(answer),
            None => Some(answer),
        }
    }

    /// Answers everything, now and later, with `error`.
    pub(crate) fn fail_all(&self, error: &Error) {
        let pending = {
            let mut inner = self.lock();
            inner.dead.get_or_insert_with(|| error.clone());
            std::mem::take(&mut inner.pending)
        };
        for request in pending.into_values() {
            request.answer(Answer::Refused(error.clone()));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the answers of several requests arrive, in the order that they come.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    arrived: Mutex<Arrived>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Arrived {
    indices: VecDeque<usize>,
    interrupted: bool,
}

impl Gate {
    /// The next request that was answered, by its index; `None` when `deadline` passes first, or the waiting task is cancelled.
    pub(crate) fn next(&self, deadline: Option<Instant>) -> Option<usize> {
        let mut arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(index) = arrived.indices.pop_front() {
                return Some(index);
            }
            if arrived.interrupted {
                return None;
            }
            arrived = match deadline {
                None => self.changed.wait(arrived).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.checked_duration_since(Instant::now())?;
                    self.changed.wait_timeout(arrived, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn arrive(&self, index: usize) {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner).indices.push_back(index);
        self.changed.notify_one();
    }
}

impl Interrupt for Gate {
    fn interrupt(&self) {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner).interrupted = true;
        self.changed.notify_all();
    }
}
