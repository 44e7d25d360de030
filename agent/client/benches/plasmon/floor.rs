//! What a put takes at the least: the barest program that does what the design demands of one, beside a reader that takes it in.

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::JoinHandle;

use std::sync::Arc;

use plasmon_memory::pool::WriteRange;

use crate::Outcome;
use crate::daemon::rest;
use crate::sample::each;
use crate::shared::{copy, resident};

/// A record: length and kind, slot and generation, place, length. As long as the message of a put.
const WORDS: usize = 4;

/// What both sides share; nothing of one is in the other's cache lines.
struct Shared {
    head: Line,
    tail: Line,
    /// Bell and end.
    busy: AtomicBool,
    ended: AtomicBool,
    records: Vec<[AtomicU64; WORDS]>,
    /// A generation for each object, which the reader raises when it has entered it.
    slots: Vec<AtomicU32>,
}

#[derive(Default)]
#[repr(align(128))]
struct Line(AtomicU64);

/// Puts of the barest kind: bump, copy, a look at the slot's generation, a record of 32 bytes, a release store. The reader, on another processor,
/// reads each record and enters the object in its slot, as the agent must; it keeps no tables, knows no references, and checks nothing.
pub(crate) struct Barest {
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
    memory: WriteRange,
    pushed: u64,
}

impl Barest {
    /// Room for so many objects of `length` bytes at once.
    pub(crate) fn start(length: usize, count: usize) -> Outcome<Self> {
        let records = (0..count.next_power_of_two()).map(|_| [const { AtomicU64::new(0) }; WORDS]).collect();
        let slots = (0..count.next_power_of_two()).map(|_| AtomicU32::new(0)).collect();
        let shared = Shared {
            head: Line::default(),
            tail: Line::default(),
            busy: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            records,
            slots,
        };
        let shared = Arc::new(shared);
        let of = Arc::clone(&shared);
        let reader = std::thread::Builder::new().name("reader".to_owned()).spawn(move || read(&of))?;
        Ok(Self { shared, reader: Some(reader), memory: resident((length * count) as u64)?, pushed: 0 })
    }

    /// Nanoseconds for one of a burst.
    pub(crate) fn burst(&mut self, source: &[u8], count: usize) -> Outcome<f64> {
        rest();
        // It looks at the ring by itself, as an agent does that is awake.
        self.shared.busy.store(true, Ordering::Release);
        self.reader.iter().for_each(|reader| reader.thread().unpark());
        let took = each(count, || (0..count).try_for_each(|_| self.put(black_box(source))));
        while self.shared.tail.0.load(Ordering::Acquire) != self.pushed {
            spin_loop();
        }
        self.shared.busy.store(false, Ordering::Release);
        took
    }

    #[inline]
    fn put(&mut self, source: &[u8]) -> Outcome<()> {
        let place = self.pushed as usize & (self.shared.records.len() - 1);
        copy(&mut self.memory, source)?;
        let generation = self.shared.slots[place].load(Ordering::Acquire) + 1;
        let record = &self.shared.records[place];
        record[0].store(source.len() as u64, Ordering::Relaxed);
        record[1].store(place as u64 | u64::from(generation) << 32, Ordering::Relaxed);
        record[2].store(self.memory.used(), Ordering::Relaxed);
        record[3].store(self.memory.offset(), Ordering::Relaxed);
        self.pushed += 1;
        self.shared.head.0.store(self.pushed, Ordering::Release);
        Ok(())
    }
}

fn read(shared: &Shared) {
    let mut drained = 0;
    while !shared.ended.load(Ordering::Acquire) {
        let head = shared.head.0.load(Ordering::Acquire);
        while drained < head {
            let record = &shared.records[drained as usize & (shared.records.len() - 1)];
            let [_, key, ..] = record.each_ref().map(|word| black_box(word.load(Ordering::Relaxed)));
            shared.slots[key as u32 as usize].store((key >> 32) as u32, Ordering::Release);
            drained += 1;
        }
        shared.tail.0.store(drained, Ordering::Release);
        if shared.busy.load(Ordering::Acquire) { std::thread::yield_now() } else { std::thread::park() }
    }
}

impl Drop for Barest {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        if let Some(reader) = self.reader.take() {
            reader.thread().unpark();
            let _ = reader.join();
        }
    }
}
