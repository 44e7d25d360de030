//! What the figures were measured on, and whether it was left in peace.

use std::fs::read_to_string;
use std::process::Command;
use std::time::Duration;

use crate::Outcome;

/// How long the machine is watched before anything is measured.
const WATCH: Duration = Duration::from_secs(1);

/// One fact a line.
pub(crate) fn fingerprint() -> Outcome<Vec<String>> {
    let first = |path: &str| read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_else(|_| "unknown".to_owned());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let processor = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor =
        processor.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("unknown", |(_, name)| name);
    let huge = first("/sys/kernel/mm/transparent_hugepage/shmem_enabled");
    let huge = huge.split(['[', ']']).nth(1).unwrap_or("unknown");
    let own = first("/sys/kernel/mm/transparent_hugepage/enabled");
    let own = own.split(['[', ']']).nth(1).unwrap_or("unknown");
    let steal = Steal::begin()?;
    std::thread::sleep(WATCH);
    let facts = [
        ("cores", cores.to_string()),
        ("processor", processor.to_owned()),
        ("kernel", first("/proc/sys/kernel/osrelease")),
        ("memory", format!("{} MiB available", available_bytes() >> 20)),
        ("shmem huge pages", huge.to_owned()),
        ("own huge pages", own.to_owned()),
        ("huge pages", format!("{} reserved", first("/proc/sys/vm/nr_hugepages"))),
        ("load", first("/proc/loadavg")),
        ("steal", format!("{:.2} % in the second before", steal.percent()?)),
    ];
    Ok(facts.into_iter().map(|(name, fact)| format!("{name:<17}{fact}")).collect())
}

/// The same in a sentence, with the date.
pub(crate) fn sentence() -> Outcome<String> {
    let facts = fingerprint()?;
    let fact = |name: &str| facts.iter().find_map(|line| line.strip_prefix(name)).unwrap_or("unknown").trim().to_owned();
    let date = Command::new("date").args(["-u", "+%-d %B %Y"]).output()?;
    let date = String::from_utf8_lossy(&date.stdout);
    Ok(format!(
        "{} cores of {}, Linux {}, huge pages for shared memory: {}, for programs' own: {}; {}; medians of interleaved rounds.",
        fact("cores"),
        fact("processor"),
        fact("kernel"),
        fact("shmem huge pages"),
        fact("own huge pages"),
        date.trim()
    ))
}

/// Memory that programs can have, bytes.
pub(crate) fn available_bytes() -> u64 {
    let info = read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) << 10
}

/// Processor time since some moment that the machine's host gave to others.
pub(crate) struct Steal {
    begin: (u64, u64),
}

impl Steal {
    pub(crate) fn begin() -> Outcome<Self> {
        Ok(Self { begin: ticks()? })
    }

    pub(crate) fn percent(&self) -> Outcome<f64> {
        let (stolen, all) = ticks()?;
        let (stolen, all) = (stolen.saturating_sub(self.begin.0), all.saturating_sub(self.begin.1));
        Ok(stolen as f64 * 100.0 / all.max(1) as f64)
    }
}

/// Stolen, and all.
fn ticks() -> Outcome<(u64, u64)> {
    let stat = read_to_string("/proc/stat")?;
    let line = stat.lines().next().unwrap_or_default();
    // user nice system idle iowait irq softirq steal; guests are counted in user.
    let ticks: Vec<u64> = line.split_whitespace().skip(1).take(8).map(str::parse).collect::<Result<_, _>>()?;
    Ok((ticks.get(7).copied().unwrap_or(0), ticks.iter().sum()))
}
