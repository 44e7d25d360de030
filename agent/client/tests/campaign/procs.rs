//! Processes as the system knows them.

use std::path::Path;
use std::time::Duration;

use plasmon_protocol::record::ProcessType;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The variable that marks every process of a campaign with its scratch directory.
pub(crate) const DIRECTORY: &str = "PLASMON_TEST_DIRECTORY";

/// One process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Proc {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    pub(crate) name: String,
    /// Ended, and not reaped.
    pub(crate) zombie: bool,
}

/// A process; `None` when there is none.
pub(crate) fn read(pid: u32) -> Option<Proc> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (begin, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let (state, parent) = (fields.next()?, fields.next()?.parse().ok()?);
    let name = begin.split_once('(')?.1.to_owned();
    Some(Proc { pid, parent, name, zombie: matches!(state, "Z" | "X") })
}

/// The processor time that a process has had, all its threads together; none when it is gone.
pub(crate) fn processor_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ');
    // In hundredths of a second, whatever the kernel itself counts in: in user mode, and in the kernel.
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(10 * ticks)
}

/// Every process that there is.
pub(crate) fn all() -> Vec<Proc> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).filter_map(read).collect()
}

/// Children of a process, those that ended included.
pub(crate) fn children(parent: u32) -> Vec<Proc> {
    all().into_iter().filter(|process| process.parent == parent).collect()
}

/// Whether a process carries the campaign's mark.
pub(crate) fn is_marked(pid: u32, directory: &Path) -> bool {
    let mark = format!("{DIRECTORY}={}\0", directory.display());
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.windows(mark.len()).any(|window| window == mark.as_bytes())
}

/// Reaps children of this process that have ended, but for `but`.
pub(crate) fn reap(but: u32) {
    for zombie in children(std::process::id()).into_iter().filter(|child| child.zombie && child.pid != but) {
        let pid = Pid::from_raw(zombie.pid.cast_signed());
        let _ = rustix::process::waitpid(pid, rustix::process::WaitOptions::NOHANG);
    }
}

/// Sends a signal, if the process is a living child of `parent` at this moment.
pub(crate) fn signal_child(pid: u32, parent: u32, signal: Signal) -> bool {
    // Looked at while its number cannot go to another.
    let Some(fd) = Pid::from_raw(pid.cast_signed()).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else { return false };
    let lives = read(pid).is_some_and(|process| process.parent == parent && !process.zombie);
    lives && pidfd_send_signal(&fd, signal).is_ok()
}

/// Open descriptors of a process, by what they are: shared memory, sockets, doorbells and the like, executables. Without what the
/// agent opens and closes all the time to read what the system says.
pub(crate) fn descriptors(pid: u32) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let target = |path: std::path::PathBuf| Some(std::fs::read_link(path).ok()?.display().to_string());
    let mut list: Vec<String> = entries.filter_map(|entry| target(entry.ok()?.path())).collect();
    list.retain(|entry| !["/proc/", "/sys/"].iter().any(|place| entry.starts_with(place)));
    for entry in &mut list {
        if let Some((kind, _)) = entry.split_once(":[") {
            *entry = kind.to_owned();
        }
    }
    list.sort_unstable();
    list
}

/// Names of a process's threads.
pub(crate) fn threads(pid: u32) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let name = |path: std::path::PathBuf| Some(std::fs::read_to_string(path.join("comm")).ok()?.trim().to_owned());
    let mut names: Vec<String> = entries.filter_map(|entry| name(entry.ok()?.path())).collect();
    names.sort_unstable();
    names
}

/// Maps of shared memory of a process.
pub(crate) fn shared_maps(pid: u32) -> usize {
    std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default().lines().filter(|line| line.contains("memfd:plasmon")).count()
}

/// All that can be seen of a campaign's processes, for people who look for a fault.
pub(crate) fn picture(directory: &Path) -> String {
    let mut text = String::new();
    for process in all().into_iter().filter(|process| process.zombie || is_marked(process.pid, directory)) {
        let pid = process.pid;
        text.push_str(&format!("process {pid} of {} ({}){}\n", process.parent, process.name, if process.zombie { " zombie" } else { "" }));
        let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for task in tasks.flatten() {
            let read = |name: &str| std::fs::read_to_string(task.path().join(name)).unwrap_or_default().trim().to_owned();
            text.push_str(&format!("    {}: {} {}\n", read("comm"), read("wchan"), read("syscall")));
        }
    }
    text
}

/// Whether a row's process is one of a kind.
pub(crate) fn of(kind: ProcessType) -> impl Fn(&&plasmon_protocol::record::ProcessRow) -> bool {
    move |row| row.process_type == kind
}
