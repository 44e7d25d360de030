//! Where new objects are written: leases of the pool and free slots. Leases are sticky: memory of dropped objects is written anew
//! without asking, as soon as the agent's word says that nothing in it is held any more.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use plasmon_memory::pool::{Draft, WriteRange};
use plasmon_protocol::error::Error;
use plasmon_protocol::id::ObjectKey;
use plasmon_protocol::local::{Memory, SMALL, Short, ToAgent, Value};

use crate::client::{Client, Sender, can_be_inside};
use crate::request::Answer;

mod at_once;
mod slots;

pub(crate) use at_once::put_at_once;
use slots::Slots;

/// Objects from this size on are written behind the backing, where that is not there yet. Bytes.
const AHEAD_FROM: u64 = 8 << 20;
/// How long it is looked for the backing before it is waited for, and how long then between two looks: it takes a millisecond for a few
/// mebibytes.
const LOOK: Duration = Duration::from_micros(50);
const PAUSE: Duration = Duration::from_micros(200);

/// How far room for an object may be written: all of it, or what has memory behind it by now.
pub struct Reach<'a> {
    /// Where the room begins, when its end may have no memory behind it.
    behind: Option<(&'a Client, u64)>,
    /// A part has not come, and was not written: none that comes later makes up for it.
    refused: AtomicBool,
}

impl Reach<'_> {
    /// Room that has memory behind it.
    #[must_use]
    pub fn all() -> Self {
        Self::new(None)
    }

    fn new(behind: Option<(&Client, u64)>) -> Reach<'_> {
        Reach { behind, refused: AtomicBool::new(false) }
    }

    /// Whether [`Reach::comes`] is always true, at once.
    #[inline]
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.behind.is_none()
    }

    /// Waits until these bytes of the room may be written. False when there is no memory for them at this moment, or the connection has
    /// ended: then what was written does not count, and nothing more is to be; no other part comes after that.
    #[must_use]
    pub fn comes(&self, part: Range<usize>) -> bool {
        let Some((client, offset)) = self.behind else { return true };
        if self.refused.load(Ordering::Relaxed) {
            return false;
        }
        let (begin, end) = (offset + part.start as u64, offset + part.end as u64);
        let look_until = Instant::now() + LOOK;
        loop {
            let (backed, stopped) = client.slots.backed();
            if backed >= end {
                break;
            }
            if stopped || client.is_closed() {
                self.refused.store(true, Ordering::Relaxed);
                return false;
            }
            if Instant::now() < look_until { std::thread::yield_now() } else { std::thread::sleep(PAUSE) }
        }
        // What the part before has left at its end, because it was too little to be entered, is in reach by now.
        let before = offset.max(begin.saturating_sub(EDGE));
        client.pool.map_ahead(before, end - before);
        true
    }
}

/// More than what is left.
const EDGE: u64 = 64 << 10;

/// A leased range, and how many objects were published in it since it was granted.
struct Lease {
    number: u32,
    range: WriteRange,
    published: u32,
    /// A draft is being written into it.
    drafting: bool,
    /// Its end may have no memory behind it yet.
    behind: bool,
}

impl Lease {
    fn is_idle(&self, client: &Client) -> bool {
        !self.drafting && client.words.freed(self.number) == Some(self.published)
    }

    /// Whether it may be written anew. What the agent has asked for is not: it goes back, to be given out in the agent's order.
    fn is_free(&self, client: &Client) -> bool {
        self.is_idle(client) && !client.is_recalled()
    }
}

/// The process's leases and slots.
#[derive(Default)]
pub(crate) struct Writer {
    /// For small objects; the last one is written into.
    chunks: Vec<Lease>,
    /// One object each.
    singles: Vec<Lease>,
    slots: Slots,
}

/// Room for one object that is not published yet. Dropped without that, it goes back to the agent.
pub(crate) struct Room {
    client: Arc<Client>,
    /// There until it is published.
    draft: Option<Draft>,
    lease: u32,
    /// Its end has no memory behind it yet.
    behind: bool,
}

impl Room {
    /// The connection stays open for as long as there is room to write into.
    fn new(client: &Arc<Client>, draft: Draft, lease: u32, behind: bool) -> Self {
        client.view_opened();
        Self { client: Arc::clone(client), draft: Some(draft), lease, behind }
    }

    /// Bytes.
    pub(crate) fn len(&self) -> u64 {
        self.draft.as_ref().map_or(0, Draft::len)
    }

    /// What has been written so far.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.check();
        self.draft.as_ref().map_or(&[], Draft::bytes)
    }

    /// The bytes to write.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.check();
        self.draft.as_mut().map_or(&mut [], Draft::bytes_mut)
    }

    /// Has `fill` write all of it. False when there is no memory for all of it at this moment.
    fn fill(&mut self, fill: &mut impl FnMut(&mut [u8], &Reach<'_>)) -> bool {
        if !self.behind {
            fill(self.bytes_mut(), &Reach::all());
            return true;
        }
        let client = Arc::clone(&self.client);
        let reach = Reach::new(self.draft.as_ref().map(|draft| (&*client, draft.offset())));
        fill(self.bytes_mut(), &reach);
        reach.comes(0..self.len() as usize)
    }

    /// The memory is where it was when the draft began.
    #[inline]
    fn check(&self) {
        if !self.client.is_here() {
            self.refuse();
        }
    }

    /// There is nothing to return: the pages of the draft are not there.
    #[cold]
    fn refuse(&self) -> ! {
        panic!("a draft of {} bytes was used in a forked child: {}", self.len(), self.client.forked_away());
    }

    /// Ends the writing: what follows is the message that publishes it.
    fn finish(mut self) -> Memory {
        let Some(draft) = self.draft.take() else { return Memory::default() };
        let memory = Memory { lease: self.lease, offset: draft.offset(), length: draft.len() };
        drop(draft);
        let mut writer = self.client.writer();
        if let Some(lease) = writer.singles.iter_mut().find(|single| single.number == self.lease) {
            lease.published = lease.published.wrapping_add(1);
            lease.drafting = false;
        }
        drop(writer);
        memory
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let draft = self.draft.take();
        if !self.client.is_here() {
            // The parent's lease, and its lock.
            std::mem::forget(draft);
            return;
        }
        if draft.is_some() {
            drop(draft);
            // The agent takes the lease for one that an object is being written into. Without an agent nobody wants it back, and whoever
            // is woken by the connection's end may be called by a thread that has the lock.
            let lease = self.client.alive().ok().and_then(|()| self.client.writer().take_single(self.lease));
            if let Some(lease) = lease {
                give_back(&self.client, lease);
            }
        }
        self.client.view_closed();
    }
}

/// Publishes what `fill` writes as a new object: calls `fill` with exactly `length` bytes, then tells the agent. Nobody else of this
/// process sends meanwhile: `fill` copies, as far as it may reach, and does nothing else. It is called again where it could not reach all.
pub(crate) fn put(
    client: &Arc<Client>,
    length: u64,
    site: u32,
    contains: &[ObjectKey],
    hidden: bool,
    mut fill: impl FnMut(&mut [u8], &Reach<'_>),
) -> Result<ObjectKey, Error> {
    if length > SMALL {
        let _inside = client.enter()?;
        let mut room = single(client, length, site, true)?;
        if !room.fill(&mut fill) {
            // The agent says why, or finds memory.
            drop(room);
            room = single(client, length, site, false)?;
            room.fill(&mut fill);
        }
        return publish(client, room, site, contains, hidden);
    }
    if contains.is_empty()
        && !hidden
        && let Some(key) = put_at_once(client, length, site, |room| fill(room, &Reach::all()))
    {
        return Ok(key);
    }
    loop {
        let lacks_slots = {
            // While somebody has the leases the connection stays open, if it is open now.
            let mut sender = client.sender()?;
            let writer = sender.writer();
            if !writer.has_chunk(client, length) {
                false
            } else if let Some(key) = writer.slots.free(client) {
                let put = writer.write(length, |room| fill(room, &Reach::all())).and_then(|memory| {
                    sender.stage(contains)?;
                    sender.push_short(&Short::put(key, memory, site, hidden))
                });
                let writer = sender.writer();
                if put.is_ok() {
                    writer.count_published();
                }
                writer.slots.settle(key, put.is_ok());
                sender.finish(false);
                return put.map(|()| key);
            } else {
                true
            }
        };
        if lacks_slots { ask_for_slots(client)? } else { ask_for_chunk(client, length, site)? }
    }
}

/// Writes a small object into a chunk and publishes it.
fn small(
    client: &Client,
    length: u64,
    site: u32,
    fill: impl FnOnce(&mut [u8]),
    publish: impl FnOnce(&mut Sender<'_>, Memory) -> Result<(), Error>,
) -> Result<(), Error> {
    loop {
        {
            let mut sender = client.sender()?;
            let writer = sender.writer();
            if writer.has_chunk(client, length) {
                let memory = writer.write(length, fill)?;
                publish(&mut sender, memory)?;
                sender.writer().count_published();
                sender.finish(false);
                return Ok(());
            }
        }
        ask_for_chunk(client, length, site)?;
    }
}

/// Publishes a draft as a new object.
pub(crate) fn publish(client: &Client, room: Room, site: u32, contains: &[ObjectKey], hidden: bool) -> Result<ObjectKey, Error> {
    can_be_inside(contains.len())?;
    let _inside = client.enter()?;
    let key = slot(client)?;
    let memory = room.finish();
    failpoint!("sealed");
    let mut sender = client.sender()?;
    sender.stage(contains)?;
    sender.push_short(&Short::put(key, memory, site, hidden))?;
    sender.finish(false);
    settle_slot(client, key, true);
    Ok(key)
}

/// A slot that was taken waits behind the others: for its object's end, or to be taken again when it got no object.
pub(crate) fn settle_slot(client: &Client, key: ObjectKey, used: bool) {
    // As above: whoever is woken by the connection's end.
    if client.alive().is_ok() {
        client.writer().slots.settle(key, used);
    }
}

/// A task's result: written into this worker's own memory, and published through `send`. As for [`put`], `fill` copies a small one, and
/// does nothing else.
pub(crate) fn output(
    client: &Arc<Client>,
    length: u64,
    site: u32,
    fill: impl FnOnce(&mut [u8]),
    send: impl FnOnce(&mut Sender<'_>, Value<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let _inside = client.enter()?;
    if length <= SMALL {
        return small(client, length, site, fill, |sender, memory| send(sender, Value::Memory(memory)));
    }
    let mut room = single(client, length, site, false)?;
    fill(room.bytes_mut());
    output_draft(client, room, send)
}

/// A task's result that was written as a draft.
pub(crate) fn output_draft(
    client: &Client,
    room: Room,
    send: impl FnOnce(&mut Sender<'_>, Value<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let _inside = client.enter()?;
    let memory = room.finish();
    let mut sender = client.sender()?;
    send(&mut sender, Value::Memory(memory))?;
    sender.finish(false);
    Ok(())
}

/// Room for one object in a lease of its own. The end of long room may have no memory behind it yet, if it may be `behind`.
pub(crate) fn single(client: &Arc<Client>, length: u64, site: u32, behind: bool) -> Result<Room, Error> {
    let _inside = client.enter()?;
    {
        let mut writer = client.writer();
        // The smallest idle one that fits, and is not far too large.
        let limit = length.saturating_mul(2).max(1 << 16);
        let idle = writer.singles.iter_mut().filter(|single| (length..=limit).contains(&single.range.len()) && single.is_free(client));
        if let Some(room) = idle.min_by_key(|single| single.range.len()).and_then(|single| begin(client, single, length)) {
            return Ok(room);
        }
    }
    let behind = behind && length >= AHEAD_FROM;
    let mut lease = request(client, length, if behind { Kind::Behind } else { Kind::Single }, site)?;
    let room = begin(client, &mut lease, length);
    client.writer().singles.push(lease);
    room.ok_or_else(|| Error::Protocol { who: "the agent".to_owned(), cause: format!("a lease too short for {length} bytes") })
}

fn begin(client: &Arc<Client>, lease: &mut Lease, length: u64) -> Option<Room> {
    if !lease.range.reset() {
        return None;
    }
    let draft = lease.range.draft(length)?;
    lease.drafting = true;
    Some(Room::new(client, draft, lease.number, std::mem::take(&mut lease.behind)))
}

/// What a lease is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Small objects.
    Chunk,
    /// One object.
    Single,
    /// One object that is written behind the backing.
    Behind,
}

/// Asks the agent for a lease, and waits.
fn request(client: &Client, bytes: u64, kind: Kind, site: u32) -> Result<Lease, Error> {
    let (request, pending) = client.requests.open()?;
    client.push_urgent(&match kind {
        Kind::Behind => ToAgent::LeaseAhead { request, bytes, site },
        _ => ToAgent::Lease { request, bytes, chunk: kind == Kind::Chunk, site },
    })?;
    match pending.wait(client, None) {
        Some(Answer::Leased { lease, offset, length }) => {
            failpoint!("leased");
            let behind = kind == Kind::Behind && offset.saturating_add(length) > client.slots.backed().0;
            let range = if behind { client.pool.write_range_behind(offset, length) } else { client.pool.write_range(offset, length) };
            match range {
                Ok(range) => {
                    failpoint!("writable");
                    Ok(Lease { number: lease, range, published: 0, drafting: false, behind })
                }
                Err(error) => {
                    // Without an agent nobody wants it back.
                    let _ = client.push_urgent(&ToAgent::Return { lease });
                    Err(Error::system(format!("write into {length} bytes of the object store"), error))
                }
            }
        }
        Some(Answer::Refused(error)) => Err(error),
        _ => Err(Error::Protocol { who: "the agent".to_owned(), cause: "no lease in answer to a request for one".to_owned() }),
    }
}

/// Lets go of every lease without live objects: the agent is to be told so. `None` when another thread has the leases at this moment.
pub(crate) fn release_idle(client: &Client) -> Option<Vec<ToAgent<'static>>> {
    let mut gone: Vec<Lease> = Vec::new();
    {
        let mut writer = client.try_writer()?;
        let writer = &mut *writer;
        for leases in [&mut writer.chunks, &mut writer.singles] {
            gone.extend(leases.extract_if(.., |lease| lease.is_idle(client)));
        }
    }
    // System calls: meanwhile others go on.
    Some(gone.into_iter().map(release).collect())
}

/// Ends the writing into a lease; what the agent is to be told.
fn release(lease: Lease) -> ToAgent<'static> {
    let number = lease.number;
    // Read-only again before the agent may lend it to others.
    lease.range.release();
    failpoint!("released");
    ToAgent::Return { lease: number }
}

fn give_back(client: &Client, lease: Lease) {
    // Without an agent nobody wants it back.
    let _ = client.push_urgent(&release(lease));
}

/// A free slot and its next generation.
pub(crate) fn slot(client: &Client) -> Result<ObjectKey, Error> {
    loop {
        {
            let mut writer = client.writer();
            if let Some(key) = writer.slots.free(client) {
                return Ok(key);
            }
        }
        ask_for_slots(client)?;
    }
}

#[cold]
fn ask_for_slots(client: &Client) -> Result<(), Error> {
    let (request, pending) = client.requests.open()?;
    client.push_urgent(&ToAgent::Slots { request })?;
    match pending.wait(client, None) {
        Some(Answer::Slots { first }) => {
            failpoint!("slots_given");
            client.writer().slots.add(client, first);
            Ok(())
        }
        Some(Answer::Refused(error)) => Err(error),
        _ => Err(Error::Protocol { who: "the agent".to_owned(), cause: "no slots in answer to a request for some".to_owned() }),
    }
}

#[cold]
fn ask_for_chunk(client: &Client, length: u64, site: u32) -> Result<(), Error> {
    let _inside = client.enter()?;
    let lease = request(client, length, Kind::Chunk, site)?;
    client.writer().chunks.push(lease);
    Ok(())
}

impl Writer {
    /// Finds the chunk to write `length` bytes into: the current one, or an older one whose objects are all gone.
    /// False when there is none.
    #[inline]
    fn has_chunk(&mut self, client: &Client, length: u64) -> bool {
        let fits = |lease: &Lease| lease.range.remaining() >= length.max(1);
        self.chunks.last().is_some_and(fits) || self.takes_an_older_chunk(client, length)
    }

    #[cold]
    fn takes_an_older_chunk(&mut self, client: &Client, length: u64) -> bool {
        let is_usable = |chunk: &mut Lease| chunk.is_free(client) && chunk.range.len() >= length && chunk.range.reset();
        let Some(index) = self.chunks.iter_mut().position(is_usable) else { return false };
        let chunk = self.chunks.remove(index);
        self.chunks.push(chunk);
        true
    }

    /// Writes into the chunk that [`Writer::has_chunk`] has found. What follows under the same lock is the message that publishes it, so that
    /// the objects of a chunk are published in the order of their places; and [`Writer::count_published`].
    #[inline]
    fn write(&mut self, length: u64, fill: impl FnOnce(&mut [u8])) -> Result<Memory, Error> {
        let short = || Error::Protocol { who: "the agent".to_owned(), cause: format!("a lease too short for {length} bytes") };
        let chunk = self.chunks.last_mut().ok_or_else(short)?;
        let (offset, bytes) = chunk.range.take(length).ok_or_else(short)?;
        fill(bytes);
        failpoint!("copied");
        Ok(Memory { lease: chunk.number, offset, length })
    }

    /// What was written last is published.
    #[inline]
    fn count_published(&mut self) {
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.published = chunk.published.wrapping_add(1);
        }
    }

    fn take_single(&mut self, number: u32) -> Option<Lease> {
        let index = self.singles.iter().position(|single| single.number == number)?;
        Some(self.singles.swap_remove(index))
    }
}
