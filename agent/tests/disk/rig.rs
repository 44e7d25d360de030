//! A pool, a place and the threads, and what they report.

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plasmon_agent::disk::pools::Pools;
use plasmon_agent::disk::target::SpillTarget;
use plasmon_agent::spill::format::Layout;
use plasmon_agent::spill::job::{CompactItem, CompactJob, Failure, Job, ReadItem, ReadJob, Report, WriteItem, WriteJob};
use plasmon_memory::pool::Pool;
use plasmon_protocol::id::{NodeId, ObjectKey, SpillFileId};

/// Far more than anything here takes.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
pub(crate) const NODE: NodeId = NodeId([9; 8]);

/// An object of a test: which, and where in the pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Object {
    pub(crate) key: ObjectKey,
    pub(crate) from: u64,
    pub(crate) length: u64,
    pub(crate) at: u64,
}

pub(crate) struct Rig {
    pub(crate) pool: Arc<Pool>,
    pub(crate) pools: Pools,
    reports: Mutex<Receiver<Report>>,
    /// The first byte of the pool that nothing is in.
    end: u64,
    objects: u32,
    reads: u64,
}

impl Rig {
    pub(crate) fn new(places: Vec<Arc<dyn SpillTarget>>, capacity: u64, threads: u32) -> Self {
        let pool = Arc::new(Pool::create(capacity).unwrap());
        let (send, receive) = channel();
        let pools = Pools::start(places, Arc::clone(&pool), NODE, threads, move |report| {
            let _ = send.send(report);
        });
        Self { pool, pools: pools.unwrap(), reports: Mutex::new(receive), end: 0, objects: 0, reads: 0 }
    }

    pub(crate) fn room(&mut self, length: u64, align: u64) -> u64 {
        let from = self.end.next_multiple_of(align);
        self.end = from + length.max(1);
        assert!(self.end <= self.pool.capacity(), "the test's pool is full");
        from
    }

    /// Puts an object of random bytes.
    pub(crate) fn put(&mut self, length: u64, align: u64) -> Object {
        let from = self.room(length, align);
        self.objects += 1;
        let key = ObjectKey { slot: self.objects, generation: 1 };
        let bytes = content(key, length);
        assert!(self.pool.write(from, &bytes));
        Object { key, from, length, at: 0 }
    }

    /// Has the threads do it; the reports of other jobs and of room are left out.
    pub(crate) fn submit(&self, job: Job) {
        self.pools.submit(job);
    }

    pub(crate) fn report(&self, wanted: impl Fn(&Report) -> bool) -> Report {
        loop {
            let report = self.reports.lock().unwrap().recv_timeout(DEADLINE).expect("no report came");
            if wanted(&report) {
                return report;
            }
        }
    }

    pub(crate) fn write_job(file: u32, place: usize, objects: &mut [Object]) -> WriteJob {
        let mut layout = Layout::default();
        let items = objects.iter_mut().map(|object| {
            object.at = layout.place(object.length);
            WriteItem { key: object.key, from: object.from, length: object.length, at: object.at }
        });
        let items = items.collect();
        WriteJob { file: SpillFileId(file), place, items, bytes: layout.bytes() }
    }

    pub(crate) fn write(&self, file: u32, objects: &mut [Object]) -> Result<(), Failure> {
        self.submit(Job::Write(Self::write_job(file, 0, objects)));
        match self.report(|report| matches!(report, Report::Written { .. })) {
            Report::Written { file: of, result, .. } => {
                assert_eq!(of, SpillFileId(file));
                result
            }
            _ => unreachable!(),
        }
    }

    pub(crate) fn delete(&self, file: u32) -> Result<(), Failure> {
        self.submit(Job::Delete { file: SpillFileId(file), place: 0 });
        match self.report(|report| matches!(report, Report::Deleted { .. })) {
            Report::Deleted { file: of, result } => {
                assert_eq!(of, SpillFileId(file));
                result
            }
            _ => unreachable!(),
        }
    }

    /// Writes those of `objects` that `live` says to another file.
    pub(crate) fn compact(&self, from: u32, file: u32, objects: &mut [Object]) -> Result<Vec<(ObjectKey, Failure)>, Failure> {
        let mut layout = Layout::default();
        let items = objects.iter_mut().map(|object| {
            let from = object.at;
            object.at = layout.place(object.length);
            CompactItem { key: object.key, length: object.length, from, at: object.at }
        });
        let items = items.collect();
        let (from, file) = (SpillFileId(from), SpillFileId(file));
        self.submit(Job::Compact(CompactJob { from, from_place: 0, file, place: 0, items, bytes: layout.bytes() }));
        match self.report(|report| matches!(report, Report::Compacted { .. })) {
            Report::Compacted { file: of, result, .. } => {
                assert_eq!(of, file);
                result
            }
            _ => unreachable!(),
        }
    }

    /// Reads objects back to other places in the pool: for each where it is now, and how it went.
    pub(crate) fn read(&mut self, file: u32, objects: &[Object]) -> Vec<(u64, Result<(), Failure>)> {
        self.reads += 1;
        let items: Vec<ReadItem> = objects
            .iter()
            .map(|object| {
                let large = object.length >= plasmon_agent::spill::format::ALIGNED_FROM;
                let room = if large { object.length.next_multiple_of(4096) } else { object.length };
                let into = self.room(room, if large && object.from.is_multiple_of(4096) { 4096 } else { 64 });
                ReadItem { key: object.key, at: object.at, length: object.length, into }
            })
            .collect();
        let number = self.reads;
        let places: Vec<u64> = items.iter().map(|item| item.into).collect();
        self.submit(Job::Read(ReadJob { number, file: SpillFileId(file), place: 0, items }));
        match self.report(|report| matches!(report, Report::Read { .. })) {
            Report::Read { number: of, results, .. } => {
                assert_eq!((of, results.len()), (number, objects.len()));
                places.into_iter().zip(results).collect()
            }
            _ => unreachable!(),
        }
    }

    /// Reads objects back, each of which must be what was put or a failure; returns the failures.
    pub(crate) fn check(&mut self, file: u32, objects: &[Object]) -> Vec<(ObjectKey, Failure)> {
        let end = self.end;
        let results = self.read(file, objects);
        let failures = objects.iter().zip(results).filter_map(|(object, (into, result))| {
            if let Err(failure) = result {
                return Some((object.key, failure));
            }
            let put = self.pool.slice(object.from, object.length).unwrap();
            assert!(self.pool.slice(into, object.length).unwrap() == put, "wrong bytes of {object:?}");
            None
        });
        let failures = failures.collect();
        self.end = end;
        failures
    }
}

/// What an object holds: as good as random, and another thing for each.
fn content(key: ObjectKey, length: u64) -> Vec<u8> {
    let mut random = Random(u64::from(key.slot) << 32 | u64::from(key.generation));
    let mut bytes = Vec::with_capacity(length as usize + 8);
    while bytes.len() < length as usize {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(length as usize);
    bytes
}

/// Numbers that look random and are the same each time (SplitMix64).
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }
}

/// The names in a directory.
pub(crate) fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
