//! How full the memory is: what the out-of-memory monitor goes by.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plasmon_protocol::error::Error;

use super::{BUFFER, HeadRoom, Source, available, cgroup, kib_field, read_whole};
use crate::scheduler::pressure::{Limits, Reading};

/// Reads the machine's memory and that of every control group around this process. It shares the open
/// files of [`HeadRoom`]: descriptors are few.
#[derive(Debug)]
pub struct Gauge {
    limits: Limits,
    head_room: Arc<HeadRoom>,
    pressure: PathBuf,
}

impl Gauge {
    /// A gauge that reads the files that `head_room` has open.
    #[must_use]
    pub fn new(head_room: Arc<HeadRoom>, limits: Limits) -> Self {
        Self { limits, head_room, pressure: PathBuf::from("/proc/pressure/memory") }
    }

    /// A gauge with files of its own.
    ///
    /// # Errors
    /// [`Error::System`] when `/proc` cannot be read. A control group that cannot be read is not an error: it sets no limit.
    pub fn open(limits: Limits) -> Result<Self, Error> {
        Ok(Self::new(Arc::new(HeadRoom::open()?), limits))
    }

    #[cfg(test)]
    pub(super) fn open_under(root: &Path, limits: Limits) -> Result<Self, Error> {
        let pressure = root.join("proc/pressure/memory");
        Ok(Self { limits, head_room: Arc::new(HeadRoom::open_under(root)?), pressure })
    }

    /// Whether memory can be too full at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.limits.is_on()
    }

    /// The memory now: of the machine and the groups whose limit is less, the one that is furthest beyond its threshold; while none is,
    /// the one with the least memory in all. `None` when the kernel does not say.
    #[must_use]
    pub fn read(&self) -> Option<Reading> {
        let mut buffer = [0; BUFFER];
        let meminfo = read_whole(&self.head_room.meminfo, &mut buffer)?;
        let (total, available) = (self.head_room.total_bytes, available(meminfo)?);
        let cache = ["Active(file):", "Inactive(file):"].iter().filter_map(|name| kib_field(meminfo, name)).fold(0, u64::saturating_add);
        let machine = (self.reading(Source::Machine, total, (total.saturating_sub(available), cache), available), None);
        let groups = self.head_room.levels.iter().filter_map(|level| self.of_group(level, available));
        let (reading, group) = [machine].into_iter().chain(groups).min_by_key(|(reading, _)| {
            let beyond = reading.used_bytes.saturating_sub(reading.threshold_bytes);
            (std::cmp::Reverse(beyond), reading.total_bytes)
        })?;
        let pressure = group.and_then(read_stalled).or_else(|| read_stalled(&self.pressure));
        Some(Reading { stalled_percent: pressure, ..reading })
    }

    /// A limit that is not below the machine's memory does not bind.
    fn of_group<'a>(&self, level: &'a cgroup::Level, available: u64) -> Option<(Reading, Option<&'a Path>)> {
        let limit = level.limit().filter(|limit| *limit < self.head_room.total_bytes)?;
        let usage = level.usage()?;
        let cache = level.file_cache().min(usage);
        Some((self.reading(level.source(), limit, (usage - cache, cache), available), Some(level.pressure.as_path())))
    }

    fn reading(&self, source: Source, total: u64, (used, cache): (u64, u64), available: u64) -> Reading {
        Reading {
            total_bytes: total,
            used_bytes: used,
            threshold_bytes: self.limits.threshold(total),
            limits: self.limits,
            source: source.to_string(),
            file_cache_bytes: cache,
            available_bytes: available,
            stalled_percent: None,
        }
    }
}

fn read_stalled(file: &Path) -> Option<f32> {
    stalled(&fs::read_to_string(file).ok()?)
}

/// The first average of the line `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`.
fn stalled(pressure: &str) -> Option<f32> {
    let line = pressure.lines().find_map(|line| line.strip_prefix("some "))?;
    line.split(' ').find_map(|field| field.strip_prefix("avg10="))?.parse().ok().filter(|percent: &f32| percent.is_finite())
}

#[cfg(test)]
mod tests;
