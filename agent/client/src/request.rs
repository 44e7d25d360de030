//! Answers that this process waits for.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use plasmon_protocol::error::Error;
use plasmon_protocol::id::ObjectKey;
use plasmon_protocol::local::MAX_REQUESTS;

use crate::cancelled::Interrupt;
use crate::client::Client;
use crate::inbound::Led;

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
    /// Threads that wait to be told, because another one reads.
    told: u32,
}

impl State {
    fn is_over(&self) -> bool {
        self.answer.is_some() || self.interrupted
    }
}

/// Waits until `is_over`, or until the deadline.
fn wait_until<'a, T>(
    changed: &Condvar,
    state: MutexGuard<'a, T>,
    deadline: Option<Instant>,
    is_over: impl Fn(&T) -> bool,
) -> MutexGuard<'a, T> {
    let waits = |state: &mut T| !is_over(state);
    match deadline {
        None => changed.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner),
        Some(deadline) => {
            let left = deadline.saturating_duration_since(Instant::now());
            changed.wait_timeout_while(state, left, waits).unwrap_or_else(PoisonError::into_inner).0
        }
    }
}

/// One request that is under way.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    state: Mutex<State>,
    answered: Condvar,
}

impl Pending {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the answer; `None` when `deadline` passes first, or the waiting task is cancelled.
    pub(crate) fn wait(&self, client: &Client, deadline: Option<Instant>) -> Option<Answer> {
        match client.inbound.lead(client, deadline, true, || self.is_over()) {
            Led::Busy => self.wait_to_be_told(deadline),
            Led::Done | Led::Late => self.lock().answer.clone(),
        }
    }

    /// The answer if it comes while it is looked for, without sleeping.
    pub(crate) fn look(&self, client: &Client) -> Option<Answer> {
        client.inbound.lead(client, None, false, || self.is_over());
        self.lock().answer.clone()
    }

    fn is_over(&self) -> bool {
        self.lock().is_over()
    }

    fn wait_to_be_told(&self, deadline: Option<Instant>) -> Option<Answer> {
        let mut state = self.lock();
        state.told += 1;
        let mut state = wait_until(&self.answered, state, deadline, State::is_over);
        state.told -= 1;
        state.answer.clone()
    }

    /// The answer if it is there; else `waker` is woken when it comes.
    pub(crate) fn poll(&self, waker: &Waker) -> Option<Answer> {
        let mut state = self.lock();
        if state.answer.is_none() {
            state.waker = Some(waker.clone());
        }
        state.answer.clone()
    }

    /// From here on nobody waits: the answer, if it was there already.
    pub(crate) fn abandon(&self) -> Option<Answer> {
        let mut state = self.lock();
        state.abandoned = true;
        state.answer.take()
    }

    /// Hands the answer over; gives it back when nobody waits for it.
    fn answer(&self, answer: Answer) -> Option<Answer> {
        let mut state = self.lock();
        if state.abandoned {
            return Some(answer);
        }
        state.answer = Some(answer);
        if state.told > 0 {
            self.answered.notify_all();
        }
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
        let mut state = self.lock();
        state.interrupted = true;
        if state.told > 0 {
            self.answered.notify_all();
        }
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
    /// The agent is gone; [`Error::Invalid`] when too many are under way.
    pub(crate) fn open(&self) -> Result<(u32, Arc<Pending>), Error> {
        let mut inner = self.lock();
        if let Some(error) = &inner.dead {
            return Err(error.clone());
        }
        if inner.pending.len() >= MAX_REQUESTS {
            let cause = format!("a process waits for at most {MAX_REQUESTS} answers at once; wait for fewer references at a time");
            return Err(Error::invalid("requests under way", inner.pending.len().to_string(), cause));
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
    /// As for [`Requests::open`].
    pub(crate) fn open_gated(&self, index: usize, gate: &Arc<Gate>) -> Result<u32, Error> {
        let (number, pending) = self.open()?;
        let mut state = pending.lock();
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

    fn lock(&self) -> MutexGuard<'_, Inner> {
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
    /// Threads that wait to be told, because another one reads.
    told: u32,
}

impl Arrived {
    fn is_over(&self) -> bool {
        !self.indices.is_empty() || self.interrupted
    }
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, Arrived> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next request that was answered, by its index; `None` when `deadline` passes first, or the waiting task is cancelled.
    pub(crate) fn next(&self, client: &Client, deadline: Option<Instant>) -> Option<usize> {
        if let Some(index) = self.lock().indices.pop_front() {
            return Some(index);
        }
        match client.inbound.lead(client, deadline, true, || self.lock().is_over()) {
            Led::Busy => self.wait_to_be_told(deadline),
            Led::Done | Led::Late => self.lock().indices.pop_front(),
        }
    }

    fn wait_to_be_told(&self, deadline: Option<Instant>) -> Option<usize> {
        let mut arrived = self.lock();
        arrived.told += 1;
        let mut arrived = wait_until(&self.changed, arrived, deadline, Arrived::is_over);
        arrived.told -= 1;
        arrived.indices.pop_front()
    }

    fn arrive(&self, index: usize) {
        let mut arrived = self.lock();
        arrived.indices.push_back(index);
        if arrived.told > 0 {
            self.changed.notify_one();
        }
    }
}

impl Interrupt for Gate {
    fn interrupt(&self) {
        let mut arrived = self.lock();
        arrived.interrupted = true;
        if arrived.told > 0 {
            self.changed.notify_all();
        }
    }
}
