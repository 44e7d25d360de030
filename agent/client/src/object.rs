//! `put`, `get` and `wait`.

use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plasmon_memory::pin::{PinIndex, PinOutcome};
use plasmon_memory::slot::SlotState;
use plasmon_protocol::error::Error;
use plasmon_protocol::id::ObjectKey;
use plasmon_protocol::local::ToAgent;
use plasmon_protocol::record::SiteKind;

use crate::cancelled;
use crate::client::Client;
use crate::failpoint::copy;
use crate::inbound;
use crate::init::{connection, known_connection};
use crate::object_ref::{Held, ObjectRef};
use crate::pinned::Pin;
use crate::request::{Answer, Pending};
use crate::value::{Fetched, Value};
use crate::worker::Blocking;
use crate::writer;

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
    let location = Location::caller();
    if let Some(handle) = value.plain().and_then(|bytes| put_at_once(bytes, location)) {
        return Ok(ObjectRef::of(handle));
    }
    let client = connection()?;
    let site = client.sites.number(&client, SiteKind::PutObject, location);
    let key = value.write(&client, site)?;
    Ok(ObjectRef::of(Held::new(client, key)))
}

/// The shortest way, which is most puts': `None` when something is not at hand, and nothing was done.
fn put_at_once(bytes: &[u8], location: &'static Location<'static>) -> Option<Held> {
    let client = known_connection()?;
    let site = client.sites.number(&client, SiteKind::PutObject, location);
    let key = writer::put_at_once(&client, bytes.len() as u64, site, |room| copy(room, bytes))?;
    Some(Held::new(client, key))
}

/// The object that a reference refers to; waits until there is one.
///
/// For a slice of plain numbers this is a [`crate::Pinned`] view into shared memory, without any copy.
///
/// # Errors
/// The error of the task that should have made the object; [`Error::Decode`]; [`Error::AgentDied`].
#[track_caller]
pub fn get<T: Value + ?Sized>(reference: &ObjectRef<T>) -> Result<T::Output, Error> {
    let (handle, location) = (&reference.handle, Location::caller());
    // What is in memory is pinned without any further ado.
    match view(handle) {
        Some(pin) => T::read(Fetched::pinned(pin, location)),
        None => T::read(fetch(handle, location, None)?),
    }
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
    let handles: Vec<&Held> = references.iter().map(|reference| &reference.handle).collect();
    let ready = wait_for(&client, &handles, num_returns, timeout, None)?.unwrap_or_default();
    let (there, rest): (Vec<_>, Vec<_>) = references.iter().zip(ready).partition(|(_, ready)| *ready);
    let clones = |pairs: Vec<(&ObjectRef<T>, bool)>| pairs.into_iter().map(|(reference, _)| reference.clone()).collect();
    Ok((clones(there), clones(rest)))
}

/// How often somebody who waits is asked whether to stop, and who says so.
pub(crate) type Watch<'a> = (Duration, &'a mut dyn FnMut() -> bool);

/// Waits as long as `next` has no answer by its deadline and nobody stops it; `Err` when somebody does.
fn watched<T>(
    watch: &mut Option<Watch<'_>>,
    deadline: Option<Instant>,
    next: impl Fn(Option<Instant>) -> Option<T>,
) -> Result<Option<T>, ()> {
    let Some((pause, stop)) = watch else { return Ok(next(deadline)) };
    loop {
        let look = Instant::now() + *pause;
        let until = deadline.map_or(look, |deadline| deadline.min(look));
        if let Some(answer) = next(Some(until)) {
            return Ok(Some(answer));
        }
        if stop() {
            return Err(());
        }
        // Before its time: the task that waits was cancelled.
        if until != look || Instant::now() < look {
            return Ok(None);
        }
    }
}

/// Which of the objects are there, once at least `num_returns` are or `timeout` has passed; `None` when the watch stopped it.
pub(crate) fn wait_for(
    client: &Arc<Client>,
    handles: &[&Held],
    num_returns: usize,
    timeout: Option<Duration>,
    mut watch: Option<Watch<'_>>,
) -> Result<Option<Vec<bool>>, Error> {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let is_ready = |key| is_ready(client, key);
    let keys = handles.iter().map(|handle| handle.key_on(client)).collect::<Result<Vec<_>, _>>()?;
    let mut ready: Vec<bool> = keys.iter().map(|key| is_ready(*key)).collect();
    let mut missing = num_returns.saturating_sub(ready.iter().filter(|ready| **ready).count());
    if timeout != Some(Duration::ZERO) {
        // What comes in a moment is seen in the slot table, and the agent need not be asked for each of them.
        let look_until = inbound::look_until();
        let until = deadline.map_or(look_until, |deadline| deadline.min(look_until));
        while missing > 0 && !client.is_closed() && Instant::now() < until {
            std::thread::yield_now();
            for (key, ready) in keys.iter().zip(&mut ready).filter(|(_, ready)| !**ready) {
                *ready = is_ready(*key);
                missing = missing.saturating_sub(usize::from(*ready));
            }
        }
    }
    if missing > 0 && timeout != Some(Duration::ZERO) {
        let gate = Arc::new(crate::request::Gate::default());
        cancelled::watch(client, &gate)?;
        let mut requests = Vec::new();
        let asked = keys.iter().enumerate().filter(|(index, _)| !ready[*index]).try_for_each(|(index, key)| {
            let request = client.requests.open_gated(index, &gate)?;
            requests.push(request);
            client.push(&ToAgent::Wait { request, key: *key })
        });
        client.sender()?.finish(true);
        let blocking = Blocking::begin(client);
        let mut stopped = false;
        while missing > 0 && asked.is_ok() {
            match watched(&mut watch, deadline, |until| gate.next(client, until)) {
                Ok(Some(index)) => {
                    ready[index] = true;
                    missing -= 1;
                }
                Ok(None) => break,
                Err(()) => {
                    stopped = true;
                    break;
                }
            }
        }
        drop(blocking);
        for request in requests {
            if client.requests.close(request) {
                client.push(&ToAgent::Cancel { request })?;
            }
        }
        client.alive()?;
        asked?;
        if missing > 0 {
            cancelled::check(client)?;
        }
        if stopped {
            return Ok(None);
        }
    }
    // Those that came meanwhile count too.
    Ok(Some(keys.iter().zip(ready).map(|(key, ready)| ready || is_ready(*key)).collect()))
}

/// Whether the slot table has the object's value, or that there will be none.
#[inline]
pub(crate) fn is_ready(client: &Client, key: ObjectKey) -> bool {
    let (generation, state) = client.slots.state(key.slot).unwrap_or_default();
    generation == key.generation && !matches!(state, SlotState::Pending | SlotState::Free)
}

/// A get on its way, driven by a blocked thread or by a future.
pub(crate) struct Fetch {
    handle: Held,
    location: &'static Location<'static>,
    /// Another site than the one of `location`.
    site: Option<u32>,
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
    pub(crate) fn new(handle: &Held, location: &'static Location<'static>) -> Self {
        Self { handle: handle.clone(), location, site: None, pending: None, inline: None, pinned: None }
    }

    /// A get at a site that is told by its number.
    #[track_caller]
    pub(crate) fn at(handle: &Held, site: u32) -> Self {
        let mut fetch = Self::new(handle, Location::caller());
        fetch.site = Some(site);
        fetch
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
        match view(&self.handle) {
            Some(pin) => Ok(Step::Done(Fetched::pinned(pin, self.location))),
            None => {
                let site = self.site.unwrap_or_else(|| client.sites.number(client, SiteKind::GetObject, self.location));
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
    let inside = client.enter()?;
    let entry = client.slots.read(key.slot).filter(|entry| entry.generation == key.generation && entry.state == SlotState::InMemory);
    match entry.filter(|entry| client.pool.slice(entry.offset, entry.length).is_some()) {
        Some(entry) => Ok(Pin::counted(client, inside, key, (entry.offset, entry.length))),
        None => Err(Error::Protocol { who: "the agent".to_owned(), cause: format!("object {} is not where it is pinned", client.id(key)) }),
    }
}

/// Pins an object in memory through this process's own table, and keeps the handle: the agent need not be told. `None` when it takes the
/// agent to do it.
#[inline]
pub(crate) fn view(handle: &Held) -> Option<Pin> {
    pin_with(&handle.client, handle.key, |index, place| Pin::by(handle, index, place))
}

/// The same of what something else keeps, or the agent is to be told of.
pub(crate) fn pin(client: &Arc<Client>, key: ObjectKey) -> Option<Pin> {
    pin_with(client, key, |index, place| Pin::new(client, key, index, place))
}

#[inline]
fn pin_with(client: &Client, key: ObjectKey, make: impl FnOnce(PinIndex, (u64, u64)) -> Pin) -> Option<Pin> {
    // The shared words are not there in a forked child.
    if !client.is_here() {
        return None;
    }
    match client.words.pins().pin_and_read(&client.slots, key) {
        PinOutcome::Pinned { pin, offset, length } => {
            let pin = make(pin, (offset, length));
            // Pinned first, looked second; the connection's end does it the other way round. One of both sees the other: without a
            // connection the agent may have lent the object's memory to others.
            client.alive().ok().and_then(|()| client.pool.slice(offset, length)).is_some().then_some(pin)
        }
        PinOutcome::NotInMemory(_) | PinOutcome::TableFull => None,
    }
}

/// The object's encoded value, where the slot table has it.
fn in_entry(handle: &Held) -> Option<Arc<[u8]>> {
    let entry = handle.client.slots.read(handle.key.slot).filter(|entry| entry.generation == handle.key.generation)?;
    let (bytes, length) = entry.value()?;
    bytes.get(..length).map(Arc::from)
}

/// Looks for a moment whether the object gets a value: then nobody need be asked.
fn look(handle: &Held, deadline: Option<Instant>) {
    let is_coming = || {
        let entry = handle.client.slots.read(handle.key.slot).unwrap_or_default();
        entry.generation != handle.key.generation || entry.state == SlotState::Pending
    };
    // First: to ask for the time costs more than all the rest of a get.
    if !is_coming() {
        return;
    }
    let until = inbound::look_until();
    let until = deadline.map_or(until, |deadline| deadline.min(until));
    while is_coming() && Instant::now() < until && !handle.client.is_closed() {
        std::thread::yield_now();
    }
}

/// Whether the agent says that the object is not made yet, or not in memory. One that it has not heard of is on its way to it.
fn is_late(handle: &Held) -> bool {
    let entry = handle.client.slots.read(handle.key.slot).unwrap_or_default();
    entry.generation == handle.key.generation && matches!(entry.state, SlotState::Pending | SlotState::Spilled)
}

pub(crate) fn fetch(handle: &Held, location: &'static Location<'static>, limit: Option<Duration>) -> Result<Fetched, Error> {
    let stopped = || Error::Protocol { who: "this process".to_owned(), cause: "a wait that nobody watches was stopped".to_owned() };
    fetch_until(Fetch::new(handle, location), limit, None)?.ok_or_else(stopped)
}

/// What several references refer to, asked for at once; `None` when the watch stopped it.
pub(crate) fn fetch_all(
    handles: &[&Held],
    site: u32,
    limit: Option<Duration>,
    (pause, stop): Watch<'_>,
) -> Result<Option<Vec<Fetched>>, Error> {
    let deadline = limit.and_then(|limit| Some((Instant::now().checked_add(limit)?, limit)));
    let mut begun = Vec::with_capacity(handles.len());
    for handle in handles {
        let mut fetch = Fetch::at(handle, site);
        begun.push(match fetch.step()? {
            Step::Done(fetched) => Err(fetched),
            Step::Wait(_) => Ok(fetch),
        });
    }
    let mut all = Vec::with_capacity(begun.len());
    for begun in begun {
        let fetched = match begun {
            Err(fetched) => Some(fetched),
            Ok(fetch) => fetch_by(fetch, deadline, Some((pause, &mut || stop())))?,
        };
        let Some(fetched) = fetched else { return Ok(None) };
        all.push(fetched);
    }
    Ok(Some(all))
}

/// What is to be got, once it is there; `None` when the watch stopped it.
pub(crate) fn fetch_until(fetch: Fetch, limit: Option<Duration>, watch: Option<Watch<'_>>) -> Result<Option<Fetched>, Error> {
    fetch_by(fetch, limit.and_then(|limit| Some((Instant::now().checked_add(limit)?, limit))), watch)
}

/// The same by a deadline, which came of the limit beside it.
fn fetch_by(mut fetch: Fetch, by: Option<(Instant, Duration)>, mut watch: Option<Watch<'_>>) -> Result<Option<Fetched>, Error> {
    let handle = fetch.handle.clone();
    let (deadline, limit) = (by.map(|(deadline, _)| deadline), by.map(|(_, limit)| limit));
    if handle.client.is_here() {
        look(&handle, deadline);
    }
    loop {
        let pending = match fetch.step()? {
            Step::Done(fetched) => return Ok(Some(fetched)),
            Step::Wait(pending) => pending,
        };
        let client = &handle.client;
        let mut answer = pending.look(client);
        // What takes longer than a look is waited for, and the task's CPU serves others meanwhile.
        let blocking = answer.is_none().then(|| Blocking::begin(client));
        if answer.is_none() {
            let Ok(waited) = watched(&mut watch, deadline, |until| pending.wait(client, until)) else { return Ok(None) };
            answer = waited;
        }
        if let Some(deadline) = deadline {
            // Only an object that is not there is late: the answer about any other is on its way.
            let mut until = deadline;
            let end = deadline.checked_add(ANSWER).unwrap_or(deadline);
            while answer.is_none() && until < end && !is_late(&handle) && cancelled::check(&handle.client).is_ok() {
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
