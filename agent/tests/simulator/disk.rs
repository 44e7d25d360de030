//! External storage, and the pool's bytes, as far as it matters whose they are. Jobs end in any order, some of them badly.

use std::collections::{BTreeMap, BTreeSet};

use plasmon_agent::spill::job::{CompactJob, Failure, Job, ReadJob, Report, WriteJob};
use plasmon_protocol::id::{ObjectKey, SpillFileId};

use super::model::Check;
use super::random::Random;

/// Which object's bytes lie where in the pool.
#[derive(Debug, Default)]
pub(crate) struct Pool(BTreeMap<u64, (ObjectKey, u64)>);

impl Pool {
    pub(crate) fn write(&mut self, key: ObjectKey, offset: u64, length: u64) {
        self.clear(offset, length);
        if length > 0 {
            self.0.insert(offset, (key, length));
        }
    }

    /// Whatever lies there, even in part, is no more.
    pub(crate) fn clear(&mut self, offset: u64, length: u64) {
        let end = offset.saturating_add(length);
        let reaches = |(at, (_, length)): &(&u64, &(ObjectKey, u64))| **at + *length > offset;
        let hit: Vec<u64> = self.0.range(..end).rev().take_while(reaches).map(|(at, _)| *at).collect();
        for at in hit {
            self.0.remove(&at);
        }
    }

    /// Copies an object's bytes, if they are there, and overwrites where they were.
    pub(crate) fn relocate(&mut self, key: ObjectKey, from: u64, to: u64, length: u64) {
        let there = self.holds(key, from, length);
        self.clear(from, length);
        if there {
            self.write(key, to, length);
        }
    }

    pub(crate) fn holds(&self, key: ObjectKey, offset: u64, length: u64) -> bool {
        length == 0 || self.0.get(&offset) == Some(&(key, length))
    }
}

/// One record of a file.
#[derive(Clone, Copy, Debug)]
struct Stored {
    key: ObjectKey,
    length: u64,
    damaged: bool,
}

/// A job under way. Some end only when all comes to rest.
#[derive(Debug)]
struct Flight {
    job: Job,
    slow: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) pool: Pool,
    /// Objects whose bytes nobody vouches for: their makers keep no rule.
    pub(crate) doubtful: BTreeSet<ObjectKey>,
    files: BTreeMap<(usize, SpillFileId), BTreeMap<u64, Stored>>,
    /// Files that were begun and not completed, or that could not be removed.
    rubbish: BTreeSet<(usize, SpillFileId)>,
    flights: Vec<Flight>,
    /// Jobs that fail, and records that are damaged, of a hundred.
    pub(crate) failing: u64,
    /// Some job has failed.
    pub(crate) failed: bool,
    damaging: u64,
    /// Jobs that do not end for a long time, of a hundred.
    dawdling: u64,
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(otherwise()) }
}

fn failure(random: &mut Random) -> Failure {
    if random.chance(50) { Failure::Io("file: input/output error".to_owned()) } else { Failure::NoRoom("no space left".to_owned()) }
}

impl Disk {
    /// Storage of any quality.
    pub(crate) fn any(random: &mut Random) -> Self {
        Self {
            failing: random.pick(&[0, 0, 10, 30]).unwrap_or(0),
            damaging: random.pick(&[0, 0, 10, 40]).unwrap_or(0),
            dawdling: random.pick(&[0, 20, 70]).unwrap_or(0),
            ..Self::default()
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.flights.is_empty()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// A job that writes is under way.
    pub(crate) fn writes(&self) -> bool {
        self.flights.iter().any(|flight| matches!(flight.job, Job::Write(_) | Job::Compact(_)))
    }

    /// The core has handed out a job.
    pub(crate) fn begin(&mut self, job: Job, random: &mut Random) -> Check {
        match &job {
            Job::Write(write) => {
                self.check_source(write)?;
                ensure(!self.knows((write.place, write.file)), || format!("a file is written over: {job:?}"))?;
            }
            Job::Read(read) => {
                self.check_read(read)?;
                for item in &read.items {
                    let busy = self.ranges().find(|(from, length)| item.into < from + length && *from < item.into + item.length);
                    ensure(busy.is_none(), || format!("{item:?} goes where another job is at work: {busy:?}"))?;
                }
            }
            Job::Compact(compact) => {
                self.check_old(compact)?;
                ensure(!self.knows((compact.place, compact.file)), || format!("a file is written over: {job:?}"))?;
            }
            Job::Delete { file, place } => {
                let user = self.flights.iter().find(|flight| match &flight.job {
                    Job::Write(write) => write.file == *file,
                    Job::Read(read) => read.file == *file,
                    Job::Compact(compact) => compact.file == *file || compact.from == *file,
                    Job::Delete { file: other, .. } => other == file,
                });
                ensure(user.is_none(), || format!("file {file} is removed beside {user:?}"))?;
                ensure(self.knows((*place, *file)), || format!("file {file} is removed from place {place} and is not there"))?;
            }
        }
        let slow = random.chance(self.dawdling);
        self.flights.push(Flight { job, slow });
        Ok(())
    }

    fn knows(&self, file: (usize, SpillFileId)) -> bool {
        self.files.contains_key(&file) || self.rubbish.contains(&file)
    }

    /// Parts of the pool that jobs read or write.
    fn ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        self.flights.iter().flat_map(|flight| -> Vec<(u64, u64)> {
            match &flight.job {
                Job::Write(write) => write.items.iter().map(|item| (item.from, item.length)).collect(),
                Job::Read(read) => read.items.iter().map(|item| (item.into, item.length)).collect(),
                Job::Compact(_) | Job::Delete { .. } => Vec::new(),
            }
        })
    }

    fn check_source(&self, write: &WriteJob) -> Check {
        for item in write.items.iter().filter(|item| !self.doubtful.contains(&item.key)) {
            ensure(self.pool.holds(item.key, item.from, item.length), || format!("other bytes are written than those of {item:?}"))?;
        }
        Ok(())
    }

    fn check_read(&self, read: &ReadJob) -> Check {
        let file = self.files.get(&(read.place, read.file)).ok_or_else(|| format!("a file that is not there is read: {read:?}"))?;
        for item in &read.items {
            let stored = file.get(&item.at);
            ensure(stored.is_some_and(|stored| (stored.key, stored.length) == (item.key, item.length)), || {
                format!("{item:?} is read where {stored:?} is")
            })?;
        }
        Ok(())
    }

    fn check_old(&self, compact: &CompactJob) -> Check {
        let old = self.files.get(&(compact.from_place, compact.from));
        let old = old.ok_or_else(|| format!("a file that is not there is written anew: {compact:?}"))?;
        for item in &compact.items {
            let stored = old.get(&item.from);
            ensure(stored.is_some_and(|stored| (stored.key, stored.length) == (item.key, item.length)), || {
                format!("{item:?} is moved where {stored:?} is")
            })?;
        }
        Ok(())
    }

    /// Ends one of the jobs: what is reported of it. `all`: also those that take their time.
    pub(crate) fn complete(&mut self, all: bool, random: &mut Random) -> Check<Option<Report>> {
        let those: Vec<usize> = (0..self.flights.len()).filter(|index| all || !self.flights[*index].slow).collect();
        let Some(index) = random.pick(&those) else { return Ok(None) };
        let fails = random.chance(self.failing);
        self.failed |= fails;
        let took_ms = random.below(3000);
        let report = match self.flights.remove(index).job {
            Job::Write(write) => {
                self.check_source(&write)?;
                let place = (write.place, write.file);
                if fails {
                    self.rubbish.insert(place);
                    Report::Written { file: write.file, result: Err(failure(random)), took_ms }
                } else {
                    let stored = |key, length| Stored { key, length, damaged: false };
                    let records = write.items.iter().map(|item| (item.at, stored(item.key, item.length))).collect();
                    self.files.insert(place, records);
                    Report::Written { file: write.file, result: Ok(()), took_ms }
                }
            }
            Job::Read(read) => {
                self.check_read(&read)?;
                let mut results = Vec::new();
                for item in &read.items {
                    let file = self.files.get_mut(&(read.place, read.file));
                    let stored = file.and_then(|file| file.get_mut(&item.at));
                    let damaged = stored.is_some_and(|stored| {
                        stored.damaged |= random.chance(self.damaging);
                        stored.damaged
                    });
                    let result = match (damaged, fails && random.chance(70)) {
                        (true, _) => Err(Failure::Corrupt("file: another checksum".to_owned())),
                        (false, true) => Err(failure(random)),
                        (false, false) => Ok(()),
                    };
                    match result {
                        Ok(()) => self.pool.write(item.key, item.into, item.length),
                        Err(_) => self.pool.clear(item.into, item.length),
                    }
                    results.push(result);
                }
                Report::Read { number: read.number, results, took_ms }
            }
            Job::Compact(compact) => {
                self.check_old(&compact)?;
                let place = (compact.place, compact.file);
                if fails {
                    self.rubbish.insert(place);
                    Report::Compacted { file: compact.file, result: Err(failure(random)), took_ms }
                } else {
                    let (mut records, mut damaged) = (BTreeMap::new(), Vec::new());
                    for item in &compact.items {
                        let old = self.files.get_mut(&(compact.from_place, compact.from));
                        let Some(stored) = old.and_then(|old| old.get_mut(&item.from)) else { continue };
                        stored.damaged |= random.chance(self.damaging);
                        if stored.damaged {
                            damaged.push((item.key, Failure::Corrupt("file: another checksum".to_owned())));
                        } else {
                            records.insert(item.at, *stored);
                        }
                    }
                    self.files.insert(place, records);
                    Report::Compacted { file: compact.file, result: Ok(damaged), took_ms }
                }
            }
            Job::Delete { file, place } => {
                self.files.remove(&(place, file));
                let result = if fails { Err(failure(random)) } else { Ok(()) };
                if fails {
                    self.rubbish.insert((place, file));
                } else {
                    self.rubbish.remove(&(place, file));
                }
                Report::Deleted { file, result }
            }
        };
        Ok(Some(report))
    }
}
