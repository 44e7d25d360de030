//! Byte pipes for messages: one producer, one consumer, split ownership.
//!
//! Head and data lie in the producer's segment, the tail in the consumer's; both count bytes since the begin and never wrap.
//! A message is its length (4 bytes, little-endian) and its bytes. Each side keeps its own position in private memory and checks the
//! other's, so that a peer that writes nonsense gets an error and breaks nothing but its own ring.

use plasmon_protocol::local::{LONGEST_SHORT, Room, Short};

use crate::place::{Bytes, Place, Window};
use crate::sync::{AtomicU64, Ordering, acquire};

/// Bytes of the ring from client to agent.
pub const TO_AGENT: usize = 1 << 20;
/// Bytes of the ring from agent to client.
pub const TO_CLIENT: usize = 256 << 10;

const PREFIX: usize = 4;

/// Bytes of the ring that [`Berth::push`] may write: prefix and message, and what its last word has too many.
pub(crate) const WINDOW: usize = 64;
const _: () = assert!(PREFIX + LONGEST_SHORT + 8 <= WINDOW);

/// A message on its way into the ring.
struct Slip<'a> {
    window: Window<'a>,
    /// Behind what was written.
    end: usize,
}

impl Room for Slip<'_> {
    #[inline]
    fn append(&mut self, word: u64, count: usize) {
        self.window.write_u64(self.end, word);
        self.end += count;
    }
}

/// What is wrong with a ring: its other side is faulty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RingError {
    /// The other side's position is outside what the ring can hold.
    Position {
        /// This side's position, bytes.
        ours: u64,
        /// The other's, bytes.
        theirs: u64,
        /// The ring's size, bytes.
        capacity: usize,
    },
    /// A message is longer than any may be.
    Oversized {
        /// Its length, bytes.
        length: usize,
        /// The longest allowed, bytes.
        limit: usize,
    },
    /// The bytes end inside a message.
    Truncated {
        /// Bytes wanted.
        wanted: usize,
        /// Bytes left.
        left: usize,
    },
}

impl std::fmt::Display for RingError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::Position { ours, theirs, capacity } => {
                write!(f, "the ring's other side is at byte {theirs}, this one at {ours}, and the ring holds {capacity}")
            }
            Self::Oversized { length, limit } => write!(f, "a message of {length} bytes in the ring is longer than {limit}"),
            Self::Truncated { wanted, left } => write!(f, "a message of {wanted} bytes in the ring ends after {left}"),
        }
    }
}

impl std::error::Error for RingError {}

impl From<RingError> for std::io::Error {
    fn from(error: RingError) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, error)
    }
}

/// The longest message of a ring of `capacity` bytes: a quarter of it.
#[must_use]
pub const fn max_message(capacity: usize) -> usize {
    capacity / 4
}

/// The writing side.
pub struct Producer {
    head: Place<AtomicU64>,
    tail: Place<AtomicU64>,
    data: Bytes,
    /// The true head: what `head` says to the others.
    pushed: u64,
    /// The tail as last seen.
    drained: u64,
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("capacity", &self.capacity()).field("pushed", &self.pushed).finish_non_exhaustive()
    }
}

impl Producer {
    /// A ring at its begin. The length of `data` is a power of two; head and tail are 0.
    pub(crate) fn over(head: Place<AtomicU64>, tail: Place<AtomicU64>, data: Bytes) -> Self {
        debug_assert!(data.len().is_power_of_two());
        Self { head, tail, data, pushed: 0, drained: 0 }
    }

    /// Publishes one message; false, and nothing done, when there is no room for it now, or it is longer than [`Producer::max_message`]
    /// and never will be.
    #[inline]
    pub fn push(&mut self, message: &[u8]) -> bool {
        let need = (PREFIX + message.len()) as u64;
        if message.len() > self.max_message() || (self.known_free() < need && self.free() < need) {
            return false;
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most a quarter of the ring")]
        let prefix = (message.len() as u32).to_le_bytes();
        let from = index(self.pushed, self.data.len());
        if need <= (self.data.len() - from) as u64 {
            // In one piece, as nearly all are: a prefix of known length needs no call.
            self.data.write(from, &prefix);
            failpoint!("mid_ring_write");
            self.data.write(from + PREFIX, message);
        } else {
            self.write(self.pushed, &prefix);
            failpoint!("mid_ring_write");
            self.write(self.pushed.wrapping_add(PREFIX as u64), message);
        }
        failpoint!("before_publication");
        self.pushed = self.pushed.wrapping_add(need);
        self.head.store(self.pushed, Ordering::Release);
        true
    }

    /// Publishes a message as [`Producer::push`] does. It is encoded where it is to stand: to copy it there would be to wait until all
    /// that was written before it has reached the cache.
    #[inline]
    pub fn push_short(&mut self, short: &Short) -> bool {
        match self.berth() {
            Some(berth) => {
                berth.push(short);
                true
            }
            None => self.push_encoded(short),
        }
    }

    /// Room for one message that [`Producer::push_short`] would publish. `None` where the ring comes round, or may be full.
    #[inline]
    pub fn berth(&mut self) -> Option<Berth<'_>> {
        if self.known_free() < WINDOW as u64 {
            return None;
        }
        let window = self.data.window(index(self.pushed, self.data.len()))?;
        Some(Berth { window, head: &self.head, pushed: &mut self.pushed })
    }

    /// Where the ring comes round, or may be full.
    #[cold]
    fn push_encoded(&mut self, short: &Short) -> bool {
        let mut bytes = Vec::with_capacity(LONGEST_SHORT);
        short.write(&mut bytes);
        self.push(&bytes)
    }

    #[inline]
    fn write(&self, position: u64, bytes: &[u8]) {
        let from = index(position, self.data.len());
        let first = bytes.len().min(self.data.len() - from);
        self.data.write(from, &bytes[..first]);
        if first < bytes.len() {
            self.data.write(0, &bytes[first..]);
        }
    }

    #[inline]
    fn known_free(&self) -> u64 {
        // 0 for a tail that cannot be: a consumer that writes nonsense gets nothing more.
        (self.data.len() as u64).saturating_sub(self.pushed.wrapping_sub(self.drained))
    }

    /// Bytes that fit now, of which each message takes 4 more than it has. 0 when the consumer wrote nonsense.
    #[inline]
    pub fn free(&mut self) -> u64 {
        self.drained = acquire(&self.tail);
        self.known_free()
    }

    /// Whether more than half of it waits for the consumer. While less was pushed since the last look there is no need for another one.
    #[inline]
    pub fn is_half_full(&mut self) -> bool {
        let half = self.data.len() as u64 / 2;
        self.known_free() < half && self.free() < half
    }

    /// Whether the consumer has taken everything.
    ///
    /// # Errors
    /// [`RingError::Position`] when it wrote nonsense.
    pub fn is_drained(&mut self) -> Result<bool, RingError> {
        self.drained = acquire(&self.tail);
        if self.pushed.wrapping_sub(self.drained) > self.data.len() as u64 {
            return Err(RingError::Position { ours: self.pushed, theirs: self.drained, capacity: self.data.len() });
        }
        Ok(self.pushed == self.drained)
    }

    /// The ring's size, bytes.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.data.len()
    }

    /// The longest message, bytes.
    pub fn max_message(&self) -> usize {
        max_message(self.data.len())
    }

    /// Bytes published since the begin.
    pub fn pushed(&self) -> u64 {
        self.pushed
    }
}

/// Room for one short message.
pub struct Berth<'a> {
    window: Window<'a>,
    head: &'a AtomicU64,
    pushed: &'a mut u64,
}

impl Berth<'_> {
    /// Publishes the message there.
    #[inline(always)]
    pub fn push(self, short: &Short) {
        let mut room = Slip { window: self.window, end: PREFIX };
        short.write(&mut room);
        failpoint!("mid_ring_write");
        let Slip { window, end } = room;
        #[expect(clippy::cast_possible_truncation, reason = "at most the window")]
        window.write_u32(0, (end - PREFIX) as u32);
        failpoint!("before_publication");
        *self.pushed = self.pushed.wrapping_add(end as u64);
        self.head.store(*self.pushed, Ordering::Release);
    }
}

impl std::fmt::Debug for Berth<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Berth").field("pushed", &self.pushed).finish_non_exhaustive()
    }
}

/// The reading side.
pub struct Consumer {
    head: Place<AtomicU64>,
    tail: Place<AtomicU64>,
    data: Bytes,
    /// The true tail: what `tail` says to the others.
    drained: u64,
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer").field("capacity", &self.data.len()).field("drained", &self.drained).finish_non_exhaustive()
    }
}

impl Consumer {
    /// A ring at its begin. The length of `data` is a power of two; head and tail are 0.
    pub(crate) fn over(head: Place<AtomicU64>, tail: Place<AtomicU64>, data: Bytes) -> Self {
        debug_assert!(data.len().is_power_of_two());
        Self { head, tail, data, drained: 0 }
    }

    /// Appends all bytes published so far to `into`, once, and gives their room back. Says how many there were. [`Frames`] splits them.
    ///
    /// # Errors
    /// [`RingError::Position`] when the producer wrote nonsense; nothing is taken then.
    pub fn drain(&mut self, into: &mut Vec<u8>) -> Result<usize, RingError> {
        let head = acquire(&self.head);
        let count = head.wrapping_sub(self.drained);
        let capacity = self.data.len();
        let Some(count) = usize::try_from(count).ok().filter(|&count| count <= capacity) else {
            return Err(RingError::Position { ours: self.drained, theirs: head, capacity });
        };
        if count == 0 {
            return Ok(0);
        }
        let from = index(self.drained, capacity);
        let first = count.min(capacity - from);
        self.data.read(from, first, into);
        self.data.read(0, count - first, into);
        self.drained = head;
        self.tail.store(head, Ordering::Release);
        Ok(count)
    }

    /// Whether there is nothing to drain. Before sleeping: ask again after having said that one sleeps.
    pub fn is_empty(&self) -> bool {
        acquire(&self.head) == self.drained
    }

    /// Bytes taken since the begin.
    pub fn drained(&self) -> u64 {
        self.drained
    }

    /// The ring's size, bytes.
    pub fn capacity(&self) -> usize {
        self.data.len()
    }

    /// The messages in bytes that came from this ring.
    pub fn frames<'a>(&self, bytes: &'a [u8]) -> Frames<'a> {
        Frames::new(bytes, max_message(self.data.len()))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "below the capacity, which is a usize")]
#[inline]
fn index(position: u64, capacity: usize) -> usize {
    (position & (capacity as u64 - 1)) as usize
}

/// The messages in bytes drained from a ring. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    bytes: &'a [u8],
    limit: usize,
}

impl<'a> Frames<'a> {
    /// Splits `bytes`; no message is longer than `limit` bytes.
    #[must_use]
    pub fn new(bytes: &'a [u8], limit: usize) -> Self {
        Self { bytes, limit }
    }

    /// The bytes behind the messages that were taken.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<&'a [u8], RingError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes.is_empty() {
            return None;
        }
        let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX>() else {
            return Some(Err(RingError::Truncated { wanted: PREFIX, left: bytes.len() }));
        };
        let length = u32::from_le_bytes(*prefix) as usize;
        if length > self.limit {
            return Some(Err(RingError::Oversized { length, limit: self.limit }));
        }
        let Some((message, rest)) = rest.split_at_checked(length) else {
            return Some(Err(RingError::Truncated { wanted: length, left: rest.len() }));
        };
        self.bytes = rest;
        Some(Ok(message))
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
