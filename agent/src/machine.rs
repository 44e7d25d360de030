//! What this machine has, what is left of it, and what each process takes.
//!
//! The limits that count are the kernel's: the machine's memory, and every control group (version 1 or 2) around this process.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use plasmon_protocol::error::Error;
use plasmon_protocol::size::Bytes;

mod cgroup;
pub mod doctor;
mod gauge;
pub mod gpus;
mod sampler;

pub use gauge::Gauge;
pub use sampler::{Sample, Sampler, State, unique_bytes};

/// What bounds the memory of this process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// The machine itself.
    Machine,
    /// A memory control group of version 1.
    CgroupV1,
    /// A control group of version 2.
    CgroupV2,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Machine => "machine",
            Self::CgroupV1 => "cgroup v1",
            Self::CgroupV2 => "cgroup v2",
        })
    }
}

/// The machine as this process may use it, at one instant.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Machine {
    /// Memory in all: the machine's, or the tightest control group's limit where that is less. Bytes.
    pub total_bytes: u64,
    /// What could be allocated now without pushing anything out, swap left aside. Bytes.
    pub available_bytes: u64,
    /// Where `total_bytes` comes from.
    pub source: Source,
    /// CPUs that this process may use, after affinity and CPU quota.
    pub cpus: f64,
}

impl Machine {
    /// Reads the machine this process runs on.
    ///
    /// # Errors
    /// [`Error::System`] when `/proc` cannot be read.
    pub fn read() -> Result<Self, Error> {
        Self::read_under(Path::new("/"))
    }

    fn read_under(root: &Path) -> Result<Self, Error> {
        let head_room = HeadRoom::open_under(root)?;
        let (total_bytes, source) = head_room
            .levels
            .iter()
            .filter_map(|level| Some((level.limit()?, level.source())))
            .chain([(head_room.total_bytes, Source::Machine)])
            .min_by_key(|(limit, source)| (*limit, *source != Source::Machine))
            .unwrap_or((head_room.total_bytes, Source::Machine));
        let cpus = std::thread::available_parallelism().map_or(1.0, |cpus| cpus.get() as f64);
        Ok(Self { total_bytes, available_bytes: head_room.bytes().min(total_bytes), source, cpus })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of memory in all ({}), {} available", Bytes(self.total_bytes), self.source, Bytes(self.available_bytes))
    }
}

/// How many bytes could be allocated now; its files stay open, so that asking costs a few reads and can precede every small step of
/// backing pages.
#[derive(Debug)]
pub struct HeadRoom {
    meminfo: File,
    total_bytes: u64,
    levels: Vec<cgroup::Level>,
}

impl HeadRoom {
    /// Opens the files that [`Self::bytes`] reads.
    ///
    /// # Errors
    /// [`Error::System`] when `/proc` cannot be read. A control group that cannot be read is not an error: it sets no limit.
    pub fn open() -> Result<Self, Error> {
        Self::open_under(Path::new("/"))
    }

    fn open_under(root: &Path) -> Result<Self, Error> {
        let path = root.join("proc/meminfo");
        let refused = |cause: &dyn fmt::Display| Error::system(format!("read {}", path.display()), cause);
        let meminfo = File::open(&path).map_err(|error| refused(&error))?;
        let mut buffer = [0; BUFFER];
        let text = read_whole(&meminfo, &mut buffer).ok_or_else(|| refused(&"the file is not text"))?;
        let total_bytes = kib_field(text, "MemTotal:").ok_or_else(|| refused(&"it has no line MemTotal"))?;
        Ok(Self { meminfo, total_bytes, levels: cgroup::open_levels(root) })
    }

    /// Bytes that the machine and every control group around this process still have, page cache that nobody uses counted as free.
    /// 0 when the kernel does not say.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let mut buffer = [0; BUFFER];
        let available = read_whole(&self.meminfo, &mut buffer).and_then(available).unwrap_or(0);
        self.levels.iter().fold(available, |least, level| level.room(self.total_bytes, least))
    }
}

/// Larger than any of the kernel files read here.
const BUFFER: usize = 16 * 1024;

/// The whole of a kernel file from its start, or what fits; `None` when it cannot be read. The file's own position is not used.
fn read_whole<'a>(file: &File, buffer: &'a mut [u8; BUFFER]) -> Option<&'a str> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    std::str::from_utf8(&buffer[..filled]).ok()
}

/// The kernel's estimate, or the free memory on a kernel too old to make one.
fn available(meminfo: &str) -> Option<u64> {
    kib_field(meminfo, "MemAvailable:").or_else(|| kib_field(meminfo, "MemFree:"))
}

/// A line `NAME   123 kB`, in bytes.
fn kib_field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests;
