//! `put`, `get` and `wait`.

use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plasmon_memory::pin::PinOutcome;
use plasmon_memory::slot::SlotState;
use plasmon_protocol::error::Error;
use plasmon_protocol::id::ObjectKey;
use plasmon_protocol::local::ToAgent;
use plasmon_protocol::record::SiteKind;

use crate::cancelled;
use crate::client::Client;
use crate::inbound;
use crate::init::connection;
use crate::object_ref::{Handle, ObjectRef};
use crate::pinned::Pin;
use crate::request::{Answer, Pending};
use crate::value::{Fetched, Value};
use crate::worker::Blocking;

/// How long after a time limit the agent may take to tell what became of an object that is there.
const ANSWER: Duration = Duration::from_secs(1);
/// How often the slot is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(1);

/// Stores a value as an object, and returns the first reference to it.
///
/// A slice of plain numbers (`&[f32]`, `&[u8]`, ...) is copied once into shared memory; any other value goes through serde.
///
/// # Errors
/// [`Error::ObjectStoreFull`] when there is no room and none comes free within two seconds; [`Error::Encode`] when the value does not
/// serialise; [`Error::NotConnected`] or [`Error::AgentDied`].
#[track_caller]
pub fn put<T: Value + ?Sized>(value: &T) -> Result<ObjectRef<T>, Error> {
    let client = connection()?;
    let site = client.sites.number(&client, SiteKind::PutObject, Location::caller());
    let key = value.write(&client, site)?;
    Ok(ObjectRef::adopt(&client, key))
}

/// The object that a reference refers to; waits until there is one.
///
/// For a slice of plain numbers this is a [`crate::Pinned`] view into shared memory, without any copy.
///
/// # Errors
/// The error of the task that should have made the object; [`Error::Decode`]; [`Error::AgentDied`].
#[track_caller]
pub fn get<T: Value + ?Sized>(reference: &ObjectRef<T>) -> Result<T::Output, Error> {
    T::read(fetch(&reference.handle, Location::caller(), None)?)
}

/// Like [`get`], for at most `limit`.
///
/// # Errors
/// [`Error::GetTimeout`] when there is no object by then; else as for [`get`].
#[track_caller]
pub fn get_timeout<T: Value + ?Sized>(reference: &ObjectRef<T>, limit: Duration) -> Result<T::Output, Error> {
    T::read(fetch(&reference.handle, Location::caller(), Some(limit))?)
}

/// Waits until at least `num_returns` of the objects are there (with a value or an error), or `timeout` has passed. Returns the
/// references whose objects are there, and the others, both in the order given.
///
/// # Errors
/// [`Error::Invalid`] when more are wanted than given; [`Error::AgentDied`].
#[expect(clippy::type_complexity, reason = "ready ones, and the rest")]
pub fn wait<T: ?Sized>(
    references: &[ObjectRef<T>],
    num_returns: usize,
    timeout: Option<Duration>,
) -> Result<(Vec<ObjectRef<T>>, Vec<ObjectRef<T>>), Error> {
    if num_returns > references.len() {
        let cause = format!("only {} references are given", references.len());
        return Err(Error::invalid("num_returns", num_returns.to_string(), cause));
    }
    let client = connection()?;
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let is_ready = |key: ObjectKey| {
        let entry = client.slots.read(key.slot).unwrap_or_default();
        entry.generation == key.generation && !matches!(entry.state, SlotState::Pending | SlotState::Free)
    };
    references.iter().try_for_each(|reference| reference.handle.key_on(&client).map(drop))?;
    let mut ready: Vec<bool> = references.iter().map(|reference| is_ready(reference.key())).collect();
    let mut missing = num_returns.saturating_sub(ready.iter().filter(|ready| **ready).count());
    if missing > 0 && timeout != Some(Duration::ZERO) {
        let gate = Arc::new(crate::request::Gate::default());
        cancelled::watch(&client, &gate)?;
        let mut requests = Vec::new();
        for (index, reference) in references.iter().enumerate().filter(|(index, _)| !ready[*index]) {
            let request = client.requests.open_gated(index, &gate)?;
            requests.push(request);
            client.push(&ToAgent::Wait { request, key: reference.key() })?;
        }
        client.sender()?.finish(true);
        let blocking = Blocking::begin(&client);
        while missing > 0 {
            let Some(index) = gate.next(&client, deadline) else { break };
            ready[index] = true;
            missing -= 1;
        }
        drop(blocking);
        for request in requests {
            if client.requests.close(request) {
                client.push(&ToAgent::Cancel { request })?;
            }
        }
        client.alive()?;
        if missing > 0 {
            cancelled::check(&client)?;
        }
    }
    // Those that came meanwhile count too.
    let (there, rest): (Vec<_>, Vec<_>) =
        references.iter().zip(&ready).partition(|(reference, ready)| **ready || is_ready(reference.key()));
    let clones = |pairs: Vec<(&ObjectRef<T>, &bool)>| pairs.into_iter().map(|(reference, _)| reference.clone()).collect();
    Ok((clones(there), clones(rest)))
}

/// A get on its way, driven by a blocked thread or by a future.
pub(crate) struct Fetch {
    handle: Arc<Handle>,
    location: &'static Location<'static>,
    pending: Option<(u32, Arc<Pending>)>,
    inline: Option<Arc<[u8]>>,
    pinned: Option<Pin>,
}

/// What a get does next.
pub(crate) enum Step {
    /// The object is there.
    Done(Fetched),
    /// The agent was asked.
    Wait(Arc<Pending>),
}

impl Fetch {
    pub(crate) fn new(handle: &Arc<Handle>, location: &'static Location<'static>) -> Self {
        Self { handle: Arc::clone(handle), location, pending: None, inline: None, pinned: None }
    }

    /// Looks whether the object can be read; asks the agent when it cannot.
    pub(crate) fn step(&mut self) -> Result<Step, Error> {
        let client = &self.handle.client;
        if !client.is_here() {
            return Err(client.forked_away());
        }
        if let Some(bytes) = self.inline.take() {
            return Ok(Step::Done(Fetched::inline(client, self.handle.key, bytes, self.location)));
        }
        if let Some(pin) = self.pinned.take() {
            return Ok(Step::Done(Fetched::pinned(pin, self.location)));
        }
        if let Some((_, pending)) = &self.pending {
            return Ok(Step::Wait(Arc::clone(pending)));
        }
        client.alive()?;
        if let Some(bytes) = in_entry(&self.handle) {
            return Ok(Step::Done(Fetched::inline(client, self.handle.key, bytes, self.location)));
        }
        match pin(client, self.handle.key) {
            Some(pin) => Ok(Step::Done(Fetched::pinned(pin, self.location))),
            None => {
                let site = client.sites.number(client, SiteKind::GetObject, self.location);
                let (request, pending) = client.requests.open()?;
                if let Err(error) = cancelled::watch(client, &pending) {
                    client.requests.close(request);
                    return Err(error);
                }
                client.push_urgent(&ToAgent::Get { request, key: self.handle.key, site })?;
                failpoint!("get_asked");
                self.pending = Some((request, Arc::clone(&pending)));
                Ok(Step::Wait(pending))
            }
        }
    }

    /// Whether the task that waits is still wanted.
    pub(crate) fn check(&self) -> Result<(), Error> {
        cancelled::check(&self.handle.client)
    }

    /// The agent has answered: what to do is for the next step.
    pub(crate) fn answered(&mut self, answer: Answer) -> Result<(), Error> {
        self.pending = None;
        match answer {
            Answer::Ready => Ok(()),
            Answer::Pinned(key) => {
                failpoint!("pin_answered");
                self.pinned = Some(counted(&self.handle.client, key)?);
                Ok(())
            }
            Answer::Inline(bytes) => {
                self.inline = Some(bytes);
                Ok(())
            }
            Answer::Refused(error) => Err(error),
            Answer::Leased { .. } | Answer::Slots { .. } | Answer::Found { .. } => {
                Err(Error::Protocol { who: "the agent".to_owned(), cause: "another answer than was asked for".to_owned() })
            }
        }
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        let client = &self.handle.client;
        let Some((request, pending)) = self.pending.take().filter(|_| client.is_here()) else { return };
        give_up(client, request, &pending);
    }
}

/// An answer is not wanted any more.
pub(crate) fn give_up(client: &Client, request: u32, pending: &Pending) {
    match pending.abandon() {
        Some(answer) => drop(unclaimed(&answer).map(|release| client.push(&release))),
        // Should the answer be under way, the service thread lets go of what it brings.
        None if client.requests.close(request) => drop(client.push(&ToAgent::Cancel { request })),
        None => {}
    }
}

/// What the agent must be told when nobody takes an answer.
pub(crate) fn unclaimed(answer: &Answer) -> Option<ToAgent<'static>> {
    match answer {
        Answer::Pinned(key) => {
            failpoint!("pin_unclaimed");
            Some(ToAgent::DropPin { key: *key })
        }
        _ => None,
    }
}

/// A view of an object that the agent has pinned by count for this process.
pub(crate) fn counted(client: &Arc<Client>, key: ObjectKey) -> Result<Pin, Error> {
    let _inside = client.enter()?;
    let entry = client.slots.read(key.slot).filter(|entry| entry.generation == key.generation && entry.state == SlotState::InMemory);
    let view = entry.and_then(|entry| client.pool.view(entry.offset, entry.length));
    match view {
        Some(view) => Ok(Pin::counted(client, key, view)),
        None => Err(Error::Protocol { who: "the agent".to_owned(), cause: format!("object {} is not where it is pinned", client.id(key)) }),
    }
}

/// Pins an object in memory through this process's own table; `None` when it takes the agent to do it.
pub(crate) fn pin(client: &Arc<Client>, key: ObjectKey) -> Option<Pin> {
    // Without a connection the agent may have lent the object's memory to others.
    let _inside = client.enter().ok()?;
    match client.words.pins().pin_and_read(&client.slots, key) {
        PinOutcome::Pinned { pin, offset, length } => Some(Pin::new(client, key, pin, client.pool.view(offset, length)?)),
        PinOutcome::NotInMemory(_) | PinOutcome::TableFull => None,
    }
}

/// The object's encoded value, where the slot table has it.
fn in_entry(handle: &Handle) -> Option<Arc<[u8]>> {
    let entry = handle.client.slots.read(handle.key.slot).filter(|entry| entry.generation == handle.key.generation)?;
    let (bytes, length) = entry.value()?;
    bytes.get(..length).map(Arc::from)
}

/// Looks for a moment whether the object gets a value: then nobody need be asked.
fn look(handle: &Handle, deadline: Option<Instant>) {
    let Some(until) = inbound::look_until() else { return };
    let until = deadline.map_or(until, |deadline| deadline.min(until));
    let is_coming = || {
        let entry = handle.client.slots.read(handle.key.slot).unwrap_or_default();
        entry.generation != handle.key.generation || entry.state == SlotState::Pending
    };
    while is_coming() && Instant::now() < until && !handle.client.is_closed() {
        std::thread::yield_now();
    }
}

/// Whether the agent says that the object is not made yet, or not in memory. One that it has not heard of is on its way to it.
fn is_late(handle: &Handle) -> bool {
    let entry = handle.client.slots.read(handle.key.slot).unwrap_or_default();
    entry.generation == handle.key.generation && matches!(entry.state, SlotState::Pending | SlotState::Spilled)
}

pub(crate) fn fetch(handle: &Arc<Handle>, location: &'static Location<'static>, limit: Option<Duration>) -> Result<Fetched, Error> {
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    let mut fetch = Fetch::new(handle, location);
    if handle.client.is_here() {
        look(handle, deadline);
    }
    loop {
        let pending = match fetch.step()? {
            Step::Done(fetched) => return Ok(fetched),
            Step::Wait(pending) => pending,
        };
        let client = &handle.client;
        let mut answer = pending.look(client);
        // What takes longer than a look is waited for, and the task's CPU serves others meanwhile.
        let blocking = answer.is_none().then(|| Blocking::begin(client));
        answer = answer.or_else(|| pending.wait(client, deadline));
        if let Some(deadline) = deadline {
            // Only an object that is not there is late: the answer about any other is on its way.
            let mut until = deadline;
            while answer.is_none() && until < deadline + ANSWER && !is_late(handle) && cancelled::check(&handle.client).is_ok() {
                until += LOOK;
                answer = pending.wait(client, Some(until));
            }
        }
        drop(blocking);
        if answer.is_none() {
            cancelled::check(&handle.client)?;
        }
        match (answer, limit) {
            (Some(answer), _) => fetch.answered(answer)?,
            (None, Some(after)) => return Err(Error::GetTimeout { object: handle.client.id(handle.key), after }),
            (None, None) => {}
        }
    }
}
