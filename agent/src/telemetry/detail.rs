//! What a detail needs besides the node's tables: lines of source files, how much memory is a process's alone, what it printed last, what
//! the machine allows.
//! All are read from files, so never on the node's thread.

use std::collections::HashMap;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use plasmon_protocol::doctor::{Check, NodeDetail};
use plasmon_protocol::id::ProcessId;
use plasmon_protocol::stream::{Detail, Output, Source};
use rustix::fs::OFlags;

use crate::machine::doctor::{self, Facts};
use crate::session::Session;

/// Lines shown before and after the line meant.
const AROUND: u32 = 6;
/// Larger source files are not read, in bytes.
const MAX_SOURCE: u64 = 4 << 20;
/// Longer lines are cut, in bytes.
const MAX_LINE: usize = 400;
/// Lines shown of each stream of a worker, and bytes that they are looked for in.
const TAIL_LINES: usize = 20;
const MAX_TAIL: u64 = 16 << 10;
/// Excerpts and processes that are remembered.
const MAX_REMEMBERED: usize = 256;
/// How long the unique bytes of a process are good for; reading them walks its page tables.
const UNIQUE_LASTS: Duration = Duration::from_secs(2);

/// How long a look at the machine is good for.
const CHECKS_LAST: Duration = Duration::from_secs(2);

/// Reads how many bytes are a process's alone, by its id in the operating system.
pub type UniqueBytes = Box<dyn Fn(u32) -> Option<u64> + Send + Sync>;

/// Completes details.
pub struct Details {
    roots: Vec<PathBuf>,
    read_unique_bytes: UniqueBytes,
    worker_logs: Option<PathBuf>,
    excerpts: Mutex<HashMap<(String, u32), Excerpt>>,
    processes: Mutex<HashMap<u32, (Instant, Option<u64>)>>,
    checks: Mutex<Option<(Instant, Vec<Check>)>>,
}

/// An excerpt and what its file was when it was taken.
#[derive(Clone)]
struct Excerpt {
    stamp: Stamp,
    source: Option<Source>,
}

type Stamp = (PathBuf, u64, Option<SystemTime>);

impl Details {
    /// Looks for files with relative names below `roots`, in that order.
    #[must_use]
    pub fn new(roots: Vec<PathBuf>, read_unique_bytes: UniqueBytes) -> Self {
        Self {
            roots,
            read_unique_bytes,
            worker_logs: None,
            excerpts: Mutex::default(),
            processes: Mutex::default(),
            checks: Mutex::default(),
        }
    }

    /// Looks for what workers printed in this directory.
    #[must_use]
    pub fn worker_logs(mut self, directory: Option<PathBuf>) -> Self {
        self.worker_logs = directory;
        self
    }

    /// Adds the source around a site, and the unique bytes of a process and what it printed, as far as they can be read. Blocks.
    pub fn complete(&self, detail: &mut Detail, now: Instant) {
        match detail {
            Detail::Site(detail) => {
                let site = &detail.site.site;
                let built = detail.objects.first().and_then(|object| built(&site.file, object.creator_pid)).or(Some(detail.site.oldest_ms));
                detail.source = self.source(&site.file, site.line, built.filter(|_| !detail.objects.is_empty()));
            }
            Detail::Node(detail) => detail.checks = self.checks(detail, now),
            Detail::Recording(details) => {
                // What the dead printed would take the room of whatever else there is to tell.
                for detail in details.iter_mut().filter(|detail| !matches!(detail, Detail::PostMortem(_))) {
                    self.complete(detail, now);
                    // The table of objects has it: it was to tell which program the lines are of.
                    if let Detail::Site(detail) = detail {
                        detail.objects.clear();
                    }
                }
            }
            Detail::Process(detail) => {
                detail.unique_bytes = self.unique_bytes(detail.process.pid, now);
                detail.output = self.output(detail.process.process);
            }
            Detail::PostMortem(detail) => detail.output = self.output(detail.process.process),
            Detail::Object(_) | Detail::Task(_) | Detail::Actor(_) | Detail::SpillFile(_) | Detail::Explain(_) => {}
        }
    }

    /// The lines around a place in a program that was built at `built_ms`.
    fn source(&self, file: &str, line: u32, built_ms: Option<u64>) -> Option<Source> {
        if file.is_empty() || line == 0 {
            return None;
        }
        let (mut opened, stamp) = self.open(Path::new(file))?;
        let key = (file.to_owned(), line);
        let changed_ms = milliseconds(stamp.2).filter(|changed| built_ms.is_some_and(|built| *changed > built));
        let told = |source: &Option<Source>| source.clone().map(|source| Source { changed_ms, ..source });
        if let Some(known) = lock(&self.excerpts).get(&key).filter(|known| known.stamp == stamp) {
            return told(&known.source);
        }
        let mut text = String::new();
        let read = opened.by_ref().take(MAX_SOURCE).read_to_string(&mut text);
        let source = read.ok().and_then(|_| excerpt(file, &text, line));
        let mut excerpts = lock(&self.excerpts);
        if excerpts.len() >= MAX_REMEMBERED {
            excerpts.clear();
        }
        let answer = told(&source);
        excerpts.insert(key, Excerpt { stamp, source });
        answer
    }

    fn checks(&self, node: &NodeDetail, now: Instant) -> Vec<Check> {
        if let Some((looked, checks)) = &*lock(&self.checks)
            && now.saturating_duration_since(*looked) < CHECKS_LAST
        {
            return checks.clone();
        }
        // Object storage has a URL, and no limit that could be looked at from here.
        let directories = node.spill_places.iter().filter(|place| place.starts_with('/'));
        let facts =
            Facts { capacity_bytes: Some(node.capacity_bytes), spill_dirs: directories.map(|place| PathBuf::from(&**place)).collect() };
        let checks = doctor::examine(&facts);
        *lock(&self.checks) = Some((now, checks.clone()));
        checks
    }

    /// The first regular file of that name that is not too large.
    fn open(&self, file: &Path) -> Option<(File, Stamp)> {
        let places = if file.is_absolute() { vec![file.to_owned()] } else { self.roots.iter().map(|root| root.join(file)).collect() };
        places.into_iter().find_map(|path| {
            // Names come from programs.
            let (opened, facts) = regular(&path).ok().filter(|(_, facts)| facts.len() < MAX_SOURCE)?;
            Some((opened, (path, facts.len(), facts.modified().ok())))
        })
    }

    /// What a worker printed last. Of other processes there are no logs.
    fn output(&self, process: ProcessId) -> Output {
        let Some(logs) = &self.worker_logs else { return Output::default() };
        let [stdout, stderr] = Session::worker_logs(logs, process).map(|log| last_lines(&log).unwrap_or_default());
        Output { stdout, stderr }
    }

    fn unique_bytes(&self, pid: u32, now: Instant) -> Option<u64> {
        if let Some((read, bytes)) = lock(&self.processes).get(&pid)
            && now.saturating_duration_since(*read) < UNIQUE_LASTS
        {
            return *bytes;
        }
        let bytes = (self.read_unique_bytes)(pid);
        let mut processes = lock(&self.processes);
        if processes.len() >= MAX_REMEMBERED {
            processes.clear();
        }
        processes.insert(pid, (now, bytes));
        bytes
    }
}

/// A file that is an ordinary one: a fifo in its place must not hold the reader up.
fn regular(path: &Path) -> std::io::Result<(File, Metadata)> {
    let flags = (OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY).bits() as i32;
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let facts = opened.metadata()?;
    if facts.is_file() { Ok((opened, facts)) } else { Err(std::io::ErrorKind::InvalidInput.into()) }
}

/// The last whole lines of a file, and what follows them: no more than is shown.
fn last_lines(path: &Path) -> std::io::Result<Vec<String>> {
    let (mut file, facts) = regular(path)?;
    let from = facts.len().saturating_sub(MAX_TAIL);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(MAX_TAIL).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    // The first one is cut, unless it is the file's first.
    let whole = if from == 0 { &text[..] } else { text.split_once(['\n', '\r']).map_or("", |(_, rest)| rest) };
    let lines: Vec<&str> = whole.lines().collect();
    // What a carriage return goes back over is not seen any more: of a progress bar its last state is.
    let seen = |line: &&str| cut(line.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default());
    Ok(lines[lines.len().saturating_sub(TAIL_LINES)..].iter().map(seen).collect())
}

fn cut(line: &str) -> String {
    line[..line.floor_char_boundary(MAX_LINE)].to_owned()
}

/// When the program that a process runs was built; `None` for files that are not compiled, and for processes that are gone.
fn built(file: &str, pid: u32) -> Option<u64> {
    if !file.ends_with(".rs") {
        return None;
    }
    milliseconds(std::fs::metadata(format!("/proc/{pid}/exe")).ok()?.modified().ok())
}

fn milliseconds(time: Option<SystemTime>) -> Option<u64> {
    time?.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| since.as_millis() as u64)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lines around `line`; `None` when the text has no such line.
fn excerpt(file: &str, text: &str, line: u32) -> Option<Source> {
    let first_line = line.saturating_sub(AROUND).max(1);
    let wanted = (line - first_line + 1 + AROUND) as usize;
    let lines: Vec<String> = text.lines().skip(first_line as usize - 1).take(wanted).map(cut).collect();
    (lines.len() > (line - first_line) as usize).then(|| Source {
        file: file.to_owned(),
        first_line,
        lines,
        marked_line: line,
        changed_ms: None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use plasmon_protocol::record::{ObjectRow, PostMortemRow, ProcessRow, Site, SiteRow};
    use plasmon_protocol::stream::{PostMortem, ProcessDetail, SiteDetail};

    use super::*;

    fn details(root: &Path) -> Details {
        Details::new(vec![root.join("nowhere"), root.to_owned()], Box::new(|_| None))
    }

    fn source(details: &Details, file: &str, line: u32) -> Option<Source> {
        let site = Arc::new(Site { file: file.to_owned(), line, ..Site::default() });
        let mut detail = Detail::Site(SiteDetail { site: SiteRow { site, ..SiteRow::default() }, ..SiteDetail::default() });
        details.complete(&mut detail, Instant::now());
        let Detail::Site(detail) = detail else { panic!("another detail") };
        detail.source
    }

    #[test]
    fn the_lines_around_a_site_are_found_below_the_roots() {
        let root = tempfile::tempdir().unwrap();
        let text: String = (1..=20).map(|line| format!("line {line}\n")).collect();
        std::fs::write(root.path().join("a.rs"), &text).unwrap();
        let details = details(root.path());

        let middle = source(&details, "a.rs", 10).unwrap();
        assert_eq!((middle.first_line, middle.marked_line, middle.lines.len()), (4, 10, 13));
        assert_eq!((middle.lines[0].as_str(), middle.lines[6].as_str()), ("line 4", "line 10"));
        assert_eq!(source(&details, "a.rs", 1).unwrap().lines.len(), 7);
        assert_eq!(source(&details, "a.rs", 20).unwrap().lines.last().unwrap(), "line 20");
        assert_eq!(source(&details, root.path().join("a.rs").to_str().unwrap(), 2).unwrap().lines.len(), 8);
        for (file, line) in [("a.rs", 21), ("a.rs", 0), ("a.rs", u32::MAX), ("b.rs", 1), ("", 1), (".", 1)] {
            assert_eq!(source(&details, file, line), None, "{file}:{line}");
        }

        std::fs::write(root.path().join("a.rs"), "one\ntwo and more\n").unwrap();
        assert_eq!(source(&details, "a.rs", 1).unwrap().lines, ["one", "two and more"], "a changed file is read again");
    }

    #[test]
    fn a_file_that_changed_since_the_program_ran_says_so() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("a.py"), "one\ntwo\n").unwrap();
        let details = details(root.path());
        let asked = |file: &str, pid: u32, oldest_ms: u64| {
            let site = Arc::new(Site { file: file.to_owned(), line: 1, ..Site::default() });
            let objects = vec![ObjectRow { creator_pid: pid, ..ObjectRow::default() }];
            let mut detail =
                Detail::Site(SiteDetail { site: SiteRow { site, oldest_ms, ..SiteRow::default() }, objects, ..SiteDetail::default() });
            details.complete(&mut detail, Instant::now());
            let Detail::Site(detail) = detail else { panic!("another detail") };
            detail.source.unwrap().changed_ms
        };
        assert!(asked("a.py", 0, 1).is_some(), "it changed after the first object was made");
        assert_eq!(asked("a.py", 0, u64::MAX), None);
        // This test's executable is older than the file that it has just written.
        std::fs::write(root.path().join("a.rs"), "one\n").unwrap();
        assert!(asked("a.rs", std::process::id(), u64::MAX).is_some());
        assert_eq!(asked("a.rs", 0, u64::MAX), None, "nobody knows when a program was built that is gone");
    }

    #[test]
    fn what_is_no_ordinary_source_file_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let details = details(root.path());
        rustix::fs::mknodat(rustix::fs::CWD, root.path().join("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        std::fs::write(root.path().join("binary"), [0xff, 0xfe, b'\n']).unwrap();
        File::create(root.path().join("large")).unwrap().set_len(MAX_SOURCE).unwrap();
        std::fs::write(root.path().join("long"), "ä".repeat(1000)).unwrap();
        for file in ["fifo", "binary", "large"] {
            assert_eq!(source(&details, file, 1), None, "{file}");
        }
        assert_eq!(source(&details, "long", 1).unwrap().lines[0].len(), MAX_LINE);
    }

    #[test]
    fn what_a_worker_printed_last_is_told() {
        let logs = tempfile::tempdir().unwrap();
        let details = Details::new(Vec::new(), Box::new(|_| None)).worker_logs(Some(logs.path().to_owned()));
        let output = || {
            let process = ProcessRow { process: ProcessId(7), ..ProcessRow::default() };
            let mut detail = Detail::Process(ProcessDetail { process, ..ProcessDetail::default() });
            details.complete(&mut detail, Instant::now());
            let Detail::Process(detail) = detail else { panic!("another detail") };
            detail.output
        };
        assert!(output().is_empty(), "a driver has no logs");
        let [out, err] = Session::worker_logs(logs.path(), ProcessId(7));
        std::fs::write(&out, "one\ntwo\n\nwithout an end").unwrap();
        std::fs::write(&err, b"\xff\n").unwrap();
        let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        assert_eq!(output(), Output { stdout: lines(&["one", "two", "", "without an end"]), stderr: lines(&["\u{fffd}"]) });
        // Of much the last, and no line that was cut at its begin.
        std::fs::write(&out, (0..100_000).map(|number| format!("line {number}\n")).collect::<String>()).unwrap();
        let stdout = output().stdout;
        assert_eq!((stdout.len(), stdout[0].as_str(), stdout[19].as_str()), (TAIL_LINES, "line 99980", "line 99999"));
        let mut dead = Detail::PostMortem(PostMortem {
            process: PostMortemRow { process: ProcessId(7), ..PostMortemRow::default() },
            ..PostMortem::default()
        });
        // A recording has more to tell.
        let mut recorded = Detail::Recording(vec![dead.clone()]);
        details.complete(&mut recorded, Instant::now());
        assert_eq!(recorded, Detail::Recording(vec![dead.clone()]));
        details.complete(&mut dead, Instant::now());
        assert!(matches!(dead, Detail::PostMortem(PostMortem { output, .. }) if output.stdout.len() == TAIL_LINES));
        // One line that never ends.
        std::fs::write(&out, "x".repeat(100_000)).unwrap();
        assert_eq!(output().stdout, lines(&[""; 0]));
        std::fs::write(&out, "begin\r\n 10 %\r 20 %\r").unwrap();
        assert_eq!(output().stdout, lines(&["begin", " 20 %"]));
        std::fs::write(&out, "ä".repeat(1000)).unwrap();
        assert_eq!(output().stdout[0].len(), MAX_LINE);
        // What a worker puts in the place of its log.
        std::fs::remove_file(&out).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &out, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert_eq!(output().stdout, lines(&[""; 0]));
    }

    #[test]
    fn unique_bytes_are_read_seldom() {
        let reads = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&reads);
        let details = Details::new(Vec::new(), Box::new(move |pid| Some(u64::from(pid) + counted.fetch_add(1, Ordering::Relaxed))));
        let read = |now| {
            let process = ProcessRow { pid: 7, ..ProcessRow::default() };
            let mut detail = Detail::Process(ProcessDetail { process, ..ProcessDetail::default() });
            details.complete(&mut detail, now);
            let Detail::Process(detail) = detail else { panic!("another detail") };
            detail.unique_bytes
        };
        let now = Instant::now();
        assert_eq!([read(now), read(now + UNIQUE_LASTS / 2), read(now + UNIQUE_LASTS)], [Some(7), Some(7), Some(8)]);
    }
}
