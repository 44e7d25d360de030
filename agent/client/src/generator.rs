//! Tasks whose results are as many as a generator yields: the submitter's end, which takes them one after the other and makes room for more
//! as it does; and the worker's, which asks for room before it goes on.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use plasmon_memory::slot::SlotState;
use plasmon_protocol::error::Error;
use plasmon_protocol::id::TaskKey;
use plasmon_protocol::local::{GENERATOR_BATCH, ToAgent};

use crate::cancelled;
use crate::client::Client;
use crate::object::{self, Fetch, fetch_until, wait_for};
use crate::object_ref::ObjectRef;
use crate::request::Answer;
use crate::worker::Blocking;
use crate::writer;

/// The results of a generator, for its submitter. When it is dropped, the generator stops at its next value.
pub struct Results<T: ?Sized> {
    client: Arc<Client>,
    /// The task's or call's number.
    number: u32,
    site: u32,
    ahead: Mutex<Ahead<T>>,
}

struct Ahead<T: ?Sized> {
    /// Results that nobody has taken yet; the first ones may be there.
    references: VecDeque<ObjectRef<T>>,
    /// The last one was taken.
    ended: bool,
}

/// What comes next of a generator.
#[derive(Debug)]
pub enum Next<T: ?Sized> {
    /// A value, or the error that the task ended with.
    Result(ObjectRef<T>),
    /// It has yielded all its values.
    End,
    /// The wait was stopped, or its time is over.
    NotYet,
}

impl<T: ?Sized> std::fmt::Debug for Results<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Results(of task {})", self.number)
    }
}

impl<T: ?Sized> Results<T> {
    /// Those of the task or call that was submitted with this number, and without results of its own.
    pub(crate) fn of(client: &Arc<Client>, number: u32, site: u32) -> Result<Self, Error> {
        let ahead = Ahead { references: VecDeque::new(), ended: false };
        let results = Self { client: Arc::clone(client), number, site, ahead: Mutex::new(ahead) };
        for _ in 0..2 {
            results.extend(&mut results.lock())?;
        }
        Ok(results)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Ahead<T>> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes room for some more.
    fn extend(&self, ahead: &mut Ahead<T>) -> Result<(), Error> {
        let mut keys = Vec::with_capacity(GENERATOR_BATCH as usize);
        let settle = |keys: &[_], used| keys.iter().for_each(|key| writer::settle_slot(&self.client, *key, used));
        for _ in 0..GENERATOR_BATCH {
            match writer::slot(&self.client) {
                Ok(key) => keys.push(key),
                Err(error) => {
                    settle(&keys, false);
                    return Err(error);
                }
            }
        }
        let sent = self.client.push_urgent(&ToAgent::Extend { number: self.number, returns: keys.clone(), site: self.site });
        settle(&keys, sent.is_ok());
        sent?;
        ahead.references.extend(keys.into_iter().map(|key| ObjectRef::adopt(&self.client, key)));
        Ok(())
    }

    /// Asked before the lock: in a forked child somebody who is gone may have it.
    fn is_here(&self) -> Result<(), Error> {
        if self.client.is_here() { Ok(()) } else { Err(self.client.forked_away()) }
    }

    /// The reference that comes next, whether its object is there or not; `None` after the last one, and in a forked child.
    #[must_use]
    pub fn front(&self) -> Option<ObjectRef<T>> {
        self.is_here().ok()?;
        let ahead = self.lock();
        ahead.references.front().filter(|_| !ahead.ended).cloned()
    }

    /// Whether the last one was taken, and the agent has told that there are no more.
    ///
    /// # Errors
    /// As for [`Results::next`].
    pub fn is_finished(&self) -> Result<bool, Error> {
        self.is_here()?;
        let Some(front) = self.front() else { return Ok(true) };
        front.handle.key_on(&self.client)?;
        Ok(matches!(self.error_of(&front)?, Some(Error::NoMoreResults { .. })))
    }

    /// What comes next; waits for it, for `limit` at most. Every `pause`, `stop` is asked whether to go on.
    ///
    /// # Errors
    /// The connection has ended; the task that waits was cancelled.
    pub fn next(&self, limit: Option<Duration>, pause: Duration, stop: &mut dyn FnMut() -> bool) -> Result<Next<T>, Error> {
        self.is_here()?;
        loop {
            let Some(front) = self.front() else { return Ok(Next::End) };
            front.handle.key_on(&self.client)?;
            let ready = wait_for(&self.client, &[&front.handle], 1, limit, Some((pause, &mut || stop())))?;
            if ready.is_none_or(|ready| !ready.contains(&true)) {
                return Ok(Next::NotYet);
            }
            let error = self.error_of(&front)?;
            let exhausted = matches!(error, Some(Error::NoMoreResults { .. }));
            let ends = match &error {
                Some(error) => exhausted || self.ends_with(error)?,
                None => false,
            };
            let mut ahead = self.lock();
            if ahead.references.front() != Some(&front) {
                // Another thread took it.
                continue;
            }
            if ends {
                ahead.ended = true;
                ahead.references.clear();
                if exhausted {
                    return Ok(Next::End);
                }
                self.close();
                return Ok(Next::Result(front));
            }
            if ahead.references.len() <= GENERATOR_BATCH as usize + 1 {
                let extended = self.extend(&mut ahead);
                // There is another chance as long as others are left; the last one stays for it.
                if ahead.references.len() == 1 {
                    extended?;
                }
            }
            ahead.references.pop_front();
            return Ok(Next::Result(front));
        }
    }

    fn has_failed(&self, reference: &ObjectRef<T>) -> bool {
        let key = reference.key();
        let entry = self.client.slots.read(key.slot).unwrap_or_default();
        (entry.state, entry.generation) == (SlotState::Failed, key.generation)
    }

    /// The error that an object has instead of a value.
    fn error_of(&self, reference: &ObjectRef<T>) -> Result<Option<Error>, Error> {
        if !self.has_failed(reference) {
            return Ok(None);
        }
        let error = fetch_until(Fetch::at(&reference.handle, self.site), None, None).err();
        // The end of the connection, or of the task that asks, says nothing of the object.
        self.client.alive()?;
        cancelled::check(&self.client)?;
        Ok(error)
    }

    /// Whether the error of the first result is the task's own. That is the error of all that follow, and by the time that the agent has
    /// told of the first they have it; what a running task has yielded may fail or be lost alone, and others come after it.
    fn ends_with(&self, error: &Error) -> Result<bool, Error> {
        let (following, last) = {
            let ahead = self.lock();
            (ahead.references.get(1).cloned(), ahead.references.back().cloned())
        };
        let (Some(following), Some(last)) = (following, last) else { return Ok(false) };
        Ok(self.has_failed(&last) && self.error_of(&following)?.as_ref() == Some(error))
    }

    /// Says that no more are wanted.
    fn close(&self) {
        // Without a connection there is nobody to tell.
        let _ = self.client.push_urgent(&ToAgent::Extend { number: self.number, returns: Vec::new(), site: self.site });
    }
}

impl<T: ?Sized> Drop for Results<T> {
    fn drop(&mut self) {
        if self.is_here().is_ok() && !self.lock().ended {
            self.close();
        }
    }
}

/// Waits until the task that runs here has room for one more result after `sent` ones; false when no more are wanted.
pub(crate) fn room(client: &Arc<Client>, task: TaskKey, sent: u32) -> Result<bool, Error> {
    // Room is made for so many at once.
    if !sent.is_multiple_of(GENERATOR_BATCH) {
        return Ok(true);
    }
    let (request, pending) = client.requests.open()?;
    if let Err(error) = cancelled::watch(client, &pending) {
        client.requests.close(request);
        return Err(error);
    }
    client.push_urgent(&ToAgent::Room { request, task, results: sent + 1 })?;
    let mut answer = pending.look(client);
    let blocking = answer.is_none().then(|| Blocking::begin(client));
    if answer.is_none() {
        answer = pending.wait(client, None);
    }
    drop(blocking);
    match answer {
        Some(Answer::Ready) => Ok(true),
        Some(_) => Ok(false),
        None => {
            object::give_up(client, request, &pending);
            cancelled::check(client).map(|()| false)
        }
    }
}
