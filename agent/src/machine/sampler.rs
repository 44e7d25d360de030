//! What each process takes of memory and CPU.

use std::fs;
use std::path::PathBuf;

use plasmon_protocol::error::Error;
use sysinfo::{Pid, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System};

/// What one process takes, at one instant.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sample {
    /// The process.
    pub pid: u32,
    /// Resident set size, bytes.
    pub rss_bytes: u64,
    /// The part of the resident set that is backed by files or shared memory, bytes.
    pub shared_bytes: u64,
    /// Share of one CPU since the sample before, percent; 0 in the first sample.
    pub cpu_percent: f32,
    /// What the process does.
    pub state: State,
}

/// What a process does, by the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// On a CPU, or ready for one.
    Running,
    /// Waits for an event.
    Sleeping,
    /// Waits for a device and cannot be interrupted.
    Blocked,
    /// Stopped by a signal or a debugger.
    Stopped,
    /// Ended; its parent has not taken notice.
    Ended,
}

/// Samples processes. Keeps what it needs from one sample to the next to compute shares of CPU.
#[derive(Debug)]
pub struct Sampler {
    system: System,
    known: Vec<Pid>,
    page: u64,
}

impl Sampler {
    /// A sampler that knows no process yet.
    ///
    /// # Errors
    /// [`Error::System`] when the system does not let itself be read.
    pub fn new() -> Result<Self, Error> {
        let system = System::new().map_err(|error| Error::system("read the processes of this machine", error))?;
        Ok(Self { system, known: Vec::new(), page: rustix::param::page_size() as u64 })
    }

    /// One sample of each of `pids` that still exists, in that order. Meant for intervals of a quarter second or longer: within a
    /// shorter one, shares of CPU come out too low.
    pub fn sample(&mut self, pids: &[u32]) -> Vec<Sample> {
        let asked: Vec<Pid> = pids.iter().copied().map(Pid::from_u32).collect();
        // A process that is no longer asked for is looked at once more, or its record would stay for ever if it has ended.
        let mut refresh = std::mem::take(&mut self.known);
        refresh.extend(&asked);
        refresh.sort_unstable();
        refresh.dedup();
        let kind = ProcessRefreshKind::nothing().with_cpu().without_tasks();
        self.system.refresh_processes_specifics(ProcessesToUpdate::Some(&refresh), true, kind);
        refresh.retain(|pid| self.system.process(*pid).is_some());
        self.known = refresh;
        asked.iter().filter_map(|pid| self.one(*pid)).collect()
    }

    fn one(&self, pid: Pid) -> Option<Sample> {
        let process = self.system.process(pid)?;
        let text = fs::read_to_string(proc_file(pid.as_u32(), "statm")).ok()?;
        let (rss_bytes, shared_bytes) = statm(&text, self.page)?;
        Some(Sample { pid: pid.as_u32(), rss_bytes, shared_bytes, cpu_percent: process.cpu_usage(), state: state(process.status()) })
    }
}

/// Bytes of memory that only this process has, which is what its end would give back; the object store's are never among them.
/// `None` when the process is gone or not ours. Walks the whole address space of the process: not for every tick.
#[must_use]
pub fn unique_bytes(pid: u32) -> Option<u64> {
    private(&fs::read_to_string(proc_file(pid, "smaps_rollup")).ok()?)
}

fn proc_file(pid: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{name}"))
}

fn state(status: ProcessStatus) -> State {
    match status {
        ProcessStatus::Run | ProcessStatus::Waking => State::Running,
        ProcessStatus::UninterruptibleDiskSleep | ProcessStatus::Wakekill => State::Blocked,
        ProcessStatus::Stop | ProcessStatus::Tracing => State::Stopped,
        ProcessStatus::Zombie | ProcessStatus::Dead => State::Ended,
        _ => State::Sleeping,
    }
}

/// Resident and shared bytes: the second and third number, in pages.
fn statm(text: &str, page: u64) -> Option<(u64, u64)> {
    let mut pages = text.split_ascii_whitespace().skip(1).map(|pages| pages.parse::<u64>().ok()?.checked_mul(page));
    Some((pages.next()??, pages.next()??))
}

/// The sum of the lines that name private memory; `None` when there is none. A page of shared memory that only this process has mapped
/// is called private too, and outlives it, as do clean pages of files: so no more than what belongs to no file.
fn private(rollup: &str) -> Option<u64> {
    let field = |name| super::kib_field(rollup, name);
    let own = [field("Private_Clean:"), field("Private_Dirty:")].into_iter().flatten().reduce(u64::saturating_add);
    let own = own.map(|own| own.min(field("Anonymous:").unwrap_or(u64::MAX)));
    [own, field("Private_Hugetlb:")].into_iter().flatten().reduce(u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn kernel_texts_are_read() {
        assert_eq!(statm("1000 30 12 1 0 200 0\n", 4096), Some((30 * 4096, 12 * 4096)));
        assert_eq!(statm("1000 30", 4096), None);
        assert_eq!(statm("", 4096), None);
        let rollup = "7f00-7fff ---p 00000000 00:00 0 [rollup]\nRss: 90 kB\nPrivate_Clean:       4 kB\nPrivate_Dirty:   8 kB\n";
        assert_eq!(private(rollup), Some(12 * 1024));
        assert_eq!(private(&format!("{rollup}Anonymous:       5 kB\nPrivate_Hugetlb: 2 kB\n")), Some(7 * 1024));
        assert_eq!(private("Rss: 90 kB\n"), None);
    }

    #[test]
    fn a_process_is_seen_while_it_lives() {
        let mut sampler = Sampler::new().unwrap();
        let own = std::process::id();
        let mut child = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        let both = sampler.sample(&[own, child.id()]);
        assert_eq!(both.iter().map(|sample| sample.pid).collect::<Vec<_>>(), [own, child.id()]);
        assert!(both.iter().all(|sample| sample.rss_bytes > 0 && sample.shared_bytes <= sample.rss_bytes), "{both:?}");
        assert!(unique_bytes(own).unwrap() > 0);

        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(sampler.sample(&[own, child.id()]).len(), 1);
        assert_eq!(sampler.sample(&[]), []);
        assert!(!sampler.known.contains(&Pid::from_u32(child.id())));
        assert_eq!(unique_bytes(child.id()), None);
    }

    #[test]
    fn an_unreaped_process_has_ended() {
        let mut sampler = Sampler::new().unwrap();
        let mut child = Command::new("true").spawn().unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while sampler.sample(&[child.id()]).first().is_none_or(|sample| sample.state != State::Ended) {
            assert!(std::time::Instant::now() < deadline, "the child never ended");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        child.wait().unwrap();
    }

    #[test]
    fn a_busy_process_shows_its_share() {
        let mut sampler = Sampler::new().unwrap();
        let own = std::process::id();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        let mut next = std::time::Instant::now();
        loop {
            if std::time::Instant::now() >= next {
                if sampler.sample(&[own])[0].cpu_percent > 1.0 {
                    break;
                }
                next += std::time::Duration::from_millis(300);
            }
            assert!(std::time::Instant::now() < deadline, "the share stayed at 0");
        }
    }
}
