//! What this machine allows, and what would make it better: read from the kernel's files each time, so that it is true now.

use std::fs;
use std::path::{Path, PathBuf};

use plasmon_protocol::doctor::Check;
use plasmon_protocol::record::Severity;
use plasmon_protocol::size::Bytes;
use rustix::process::{Resource, getrlimit};

use super::Machine;
use crate::disk::directory::room_of;
use crate::session::spill::{ON_DISK, is_in_memory};
use crate::spill::job::DiskRoom;

/// The kernel that can fill shared pages ahead of need (`MADV_POPULATE_WRITE`).
const KERNEL: (u32, u32) = (5, 14);
/// The release from which on memory files get huge pages where that is asked for, unless they are denied (`MADV_COLLAPSE`).
const COLLAPSING: (u32, u32) = (6, 1);
/// Fewer descriptors are too few for a hundred programs or so.
const DESCRIPTORS: u64 = 4096;
/// The kernel's own default of maps a process may have: leases split the one map of the pool.
const MAPS: u64 = 65_530;
/// A disk this full is nearly full, percent.
const FULL: u64 = 90;

/// What is looked at besides the machine itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// The store's capacity, where there is an agent. Bytes.
    pub capacity_bytes: Option<u64>,
    /// Directories that are or would be spilled to.
    pub spill_dirs: Vec<PathBuf>,
}

/// Where an agent with its sessions under `temp_dir` spills to when nothing is said: there, or on a disk where that is kept in memory.
#[must_use]
pub fn default_spill_dirs(temp_dir: &Path) -> Vec<PathBuf> {
    [temp_dir, Path::new(ON_DISK)].into_iter().find(|path| path.is_dir() && !is_in_memory(path)).map(Path::to_owned).into_iter().collect()
}

/// Looks at the machine: the worst first.
#[must_use]
pub fn examine(facts: &Facts) -> Vec<Check> {
    examine_under(Path::new("/"), facts)
}

fn examine_under(root: &Path, facts: &Facts) -> Vec<Check> {
    let mut checks: Vec<Check> = [
        kernel(root),
        memory(facts),
        huge_pages(root),
        descriptors(root),
        processes(),
        maps(root),
        overcommit(root),
        swap(root),
        stalls(root),
        watching(root),
    ]
    .into_iter()
    .flatten()
    .collect();
    checks.extend(facts.spill_dirs.iter().map(|path| disk(path, facts.capacity_bytes)));
    if facts.spill_dirs.is_empty() {
        let advice = "a full store is an error, ObjectStoreFull: name a directory on a disk with --spill-dir";
        checks.push(Check::new("spilling", "goes nowhere").advise(Severity::Warning, advice));
    }
    checks.sort_by_key(|check| std::cmp::Reverse(check.severity));
    checks
}

fn read(root: &Path, path: &str) -> Option<String> {
    fs::read_to_string(root.join(path)).ok().map(|text| text.trim().to_owned())
}

fn number(root: &Path, path: &str) -> Option<u64> {
    read(root, path)?.parse().ok()
}

/// The kernel's release, and the first two numbers in it.
fn release(root: &Path) -> Option<(String, (u32, u32))> {
    let release = read(root, "proc/sys/kernel/osrelease")?;
    let mut parts = release.split(|char: char| !char.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    let version = (parts.next()?, parts.next()?);
    Some((release, version))
}

fn kernel(root: &Path) -> Option<Check> {
    let (release, version) = release(root)?;
    let check = Check::new("kernel", release);
    if version >= KERNEL {
        return Some(check);
    }
    let (major, minor) = KERNEL;
    Some(check.advise(Severity::Warning, format!("from Linux {major}.{minor} on shared pages are filled ahead of need: puts are faster")))
}

fn memory(facts: &Facts) -> Option<Check> {
    let machine = Machine::read().ok()?;
    let used = machine.total_bytes.saturating_sub(machine.available_bytes);
    let fact = format!("{} in all ({}), {} available", Bytes(machine.total_bytes), machine.source, Bytes(machine.available_bytes));
    let check = Check { bytes: true, ..Check::new("memory", fact).of(used, machine.total_bytes) };
    Some(match facts.capacity_bytes {
        Some(capacity) if capacity > machine.total_bytes / 10 * 9 => {
            let advice = format!(
                "the store may take {}: with --object-store-memory {} programs have room beside it",
                Bytes(capacity),
                Bytes(machine.total_bytes / 10 * 3)
            );
            check.advise(Severity::Warning, advice)
        }
        _ => check,
    })
}

/// The word in brackets of `always within_size [advise] never`.
fn chosen(text: &str) -> &str {
    text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map_or(text, |(word, _)| word)
}

fn huge_pages(root: &Path) -> Option<Check> {
    const SWITCH: &str = "sys/kernel/mm/transparent_hugepage/shmem_enabled";
    let Some(text) = read(root, SWITCH) else {
        return Some(Check::new("huge pages", "this kernel has none for shared memory"));
    };
    let word = chosen(&text);
    if word == "never" && release(root).is_some_and(|(_, version)| version >= COLLAPSING) {
        return Some(Check::new("huge pages", "never for shared memory but where asked for, as the agent does"));
    }
    let check = Check::new("huge pages", format!("{word} for shared memory"));
    Some(match word {
        "never" | "deny" => check
            .advise(Severity::Warning, format!("as root: echo advise > /{SWITCH}; large objects are put and read faster, at fewer faults")),
        _ => check,
    })
}

fn descriptors(root: &Path) -> Option<Check> {
    let limits = getrlimit(Resource::Nofile);
    let (soft, hard) = (limits.current.unwrap_or(u64::MAX), limits.maximum.unwrap_or(u64::MAX));
    let open = fs::read_dir(root.join("proc/self/fd")).map_or(0, |open| open.count() as u64);
    let check = Check::new("open files", format!("{open} of {soft} in use, at most {hard}")).of(open, soft);
    Some(if soft >= DESCRIPTORS {
        check
    } else if hard > soft {
        check.advise(Severity::Warning, format!("ulimit -n {}: every client takes 6", hard.min(65_536)))
    } else {
        check.advise(Severity::Warning, "LimitNOFILE= of the unit, or limits.conf: every client takes 6")
    })
}

fn processes() -> Option<Check> {
    let limit = getrlimit(Resource::Nproc).current;
    let check = Check::new("processes", limit.map_or_else(|| "no limit".to_owned(), |limit| format!("at most {limit} of this user")));
    Some(match limit {
        Some(limit) if limit < 512 => check.advise(Severity::Warning, "ulimit -u: every worker is a process with some threads"),
        _ => check,
    })
}

fn maps(root: &Path) -> Option<Check> {
    let limit = number(root, "proc/sys/vm/max_map_count")?;
    let used = read(root, "proc/self/maps").map_or(0, |text| text.lines().count() as u64);
    let check = Check::new("memory maps", format!("{used} of {limit} in use by this process")).of(used, limit);
    if limit >= MAPS {
        return Some(check);
    }
    Some(check.advise(Severity::Warning, format!("as root: sysctl vm.max_map_count={MAPS}; ranges that are written split the store's map")))
}

fn overcommit(root: &Path) -> Option<Check> {
    let check = |fact: &str| Check::new("overcommit", fact);
    Some(match number(root, "proc/sys/vm/overcommit_memory")? {
        0 => check("by the kernel's guess"),
        1 => check("always"),
        _ => check("never: memory is reserved when it is mapped")
            .advise(Severity::Warning, "as root: sysctl vm.overcommit_memory=0; the store's whole size counts as used in every program"),
    })
}

fn swap(root: &Path) -> Option<Check> {
    let text = read(root, "proc/meminfo")?;
    let (total, free) = (super::kib_field(&text, "SwapTotal:")?, super::kib_field(&text, "SwapFree:")?);
    if total == 0 {
        return Some(Check::new("swap", "none: what does not fit is spilled, or ended"));
    }
    let used = total.saturating_sub(free);
    let check = Check { bytes: true, ..Check::new("swap", format!("{} of {} in use", Bytes(used), Bytes(total))).of(used, total) };
    Some(if used > total / 2 {
        check.advise(Severity::Warning, "the machine swaps: less --object-store-memory, or less of something else")
    } else {
        check
    })
}

fn stalls(root: &Path) -> Option<Check> {
    let Some(text) = read(root, "proc/pressure/memory") else {
        return Some(Check::new("stalls", "this kernel does not tell how long programs wait for memory (CONFIG_PSI)"));
    };
    let line = text.lines().next()?;
    let share: f64 = line.split_whitespace().find_map(|part| part.strip_prefix("avg60=")).and_then(|text| text.parse().ok())?;
    let check = Check::new("stalls", format!("some program waited for memory {share:.1} % of the last minute"));
    Some(if share > 10.0 {
        check.advise(Severity::Warning, "memory is short: a lower --oom-threshold ends workers before everything is slow")
    } else {
        check
    })
}

fn watching(root: &Path) -> Option<Check> {
    // Only what is in the way is told.
    let scope = number(root, "proc/sys/kernel/yama/ptrace_scope")?;
    (scope > 2).then(|| {
        Check::new("proc files", "no process may look at another (yama ptrace_scope 3)")
            .advise(Severity::Warning, "as root: sysctl kernel.yama.ptrace_scope=1; unique memory of processes is unknown until then")
    })
}

fn disk(path: &Path, capacity_bytes: Option<u64>) -> Check {
    let subject = "spill disk";
    // A directory that spilling has yet to make is on its parent's file system.
    let there = path.ancestors().find(|path| path.exists()).unwrap_or(path);
    let found = match rustix::fs::statvfs(there) {
        Ok(found) => found,
        Err(error) => {
            return Check::new(subject, format!("{}: {error}", path.display()))
                .advise(Severity::Error, "name another directory with --spill-dir");
        }
    };
    let DiskRoom { free, total, .. } = room_of(&found);
    if total == 0 {
        return Check::new(subject, format!("no files can be kept in {}", path.display()))
            .advise(Severity::Error, "name a directory on a disk with --spill-dir");
    }
    let used = total.saturating_sub(free);
    let fact = format!("{} of {} free in {}", Bytes(free), Bytes(total), path.display());
    let check = Check { bytes: true, ..Check::new(subject, fact).of(used, total) };
    if is_in_memory(there) {
        return check.advise(Severity::Warning, "it is kept in memory (tmpfs): spilling there frees none; name a disk with --spill-dir");
    }
    if rustix::fs::access(there, rustix::fs::Access::WRITE_OK).is_err() {
        return check.advise(Severity::Error, "it cannot be written to: name another directory with --spill-dir");
    }
    if used / FULL > total / 100 {
        return check.advise(Severity::Warning, format!("it is more than {FULL} % full; spilling stops at 95 %"));
    }
    match capacity_bytes {
        Some(capacity) if free < capacity => check
            .advise(Severity::Warning, format!("less than the store's {} is free: name a larger one with --spill-dir", Bytes(capacity))),
        _ => check,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn of<'a>(checks: &'a [Check], subject: &str) -> &'a Check {
        checks.iter().find(|check| check.subject == subject).unwrap_or_else(|| panic!("no {subject}: {checks:#?}"))
    }

    #[test]
    fn a_machine_that_is_in_the_way_is_told_what_to_do() {
        let root = root(&[
            ("proc/sys/kernel/osrelease", "5.4.0-generic\n"),
            ("sys/kernel/mm/transparent_hugepage/shmem_enabled", "always within_size advise [never] deny force\n"),
            ("proc/sys/vm/max_map_count", "100\n"),
            ("proc/sys/vm/overcommit_memory", "2\n"),
            ("proc/meminfo", "SwapTotal: 1000 kB\nSwapFree: 100 kB\n"),
            ("proc/pressure/memory", "some avg10=0.00 avg60=31.50 avg300=1.00 total=1\n"),
            ("proc/sys/kernel/yama/ptrace_scope", "3\n"),
        ]);
        let spill = root.path().join("spill/not/yet");
        let facts = Facts { capacity_bytes: Some(u64::MAX / 2), spill_dirs: vec![spill.clone()] };
        let checks = examine_under(root.path(), &facts);
        for subject in ["kernel", "memory", "huge pages", "memory maps", "overcommit", "swap", "stalls", "proc files"] {
            let check = of(&checks, subject);
            assert!(check.severity == Severity::Warning && !check.advice.is_empty(), "{check:?}");
        }
        let disk = of(&checks, "spill disk");
        assert!(disk.fact.contains(&spill.display().to_string()), "{disk:?}");
        assert!(disk.severity >= Severity::Warning && disk.limit.is_some_and(|limit| limit > 0), "{disk:?}");
        assert!(checks.is_sorted_by_key(|check| std::cmp::Reverse(check.severity)));
    }

    #[test]
    fn a_machine_that_is_as_it_should_be_gets_no_advice() {
        let root = root(&[
            ("proc/sys/kernel/osrelease", "6.1.0"),
            ("sys/kernel/mm/transparent_hugepage/shmem_enabled", "always within_size [advise] never deny force"),
            ("proc/sys/vm/max_map_count", "65530"),
            ("proc/sys/vm/overcommit_memory", "0"),
            ("proc/meminfo", "SwapTotal: 0 kB\nSwapFree: 0 kB\n"),
            ("proc/pressure/memory", "some avg10=0.00 avg60=0.10 avg300=0.00 total=1"),
        ]);
        let checks = examine_under(root.path(), &Facts { capacity_bytes: Some(1 << 20), spill_dirs: Vec::new() });
        for subject in ["kernel", "memory", "huge pages", "memory maps", "overcommit", "swap", "stalls"] {
            let check = of(&checks, subject);
            assert!(check.severity == Severity::Info && check.advice.is_empty(), "{check:?}");
        }
        for (mode, severity) in [("[never] deny", Severity::Info), ("never [deny]", Severity::Warning)] {
            fs::write(root.path().join("sys/kernel/mm/transparent_hugepage/shmem_enabled"), mode).unwrap();
            let checks = examine_under(root.path(), &Facts { capacity_bytes: None, spill_dirs: Vec::new() });
            assert_eq!(of(&checks, "huge pages").severity, severity, "{mode}");
        }
        assert_eq!(of(&checks, "spilling").severity, Severity::Warning, "there is nowhere to spill to");
    }

    #[test]
    fn this_machine_can_be_looked_at() {
        let checks = examine(&Facts { capacity_bytes: None, spill_dirs: vec![std::env::temp_dir()] });
        assert!(checks.len() >= 6, "{checks:#?}");
        assert!(of(&checks, "open files").used.is_some_and(|open| open > 2));
    }
}
