//! The daemon with nothing to do: how soon it is ready, what it weighs, what it burns.

use std::fs::{read_dir, read_to_string};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::sample::{Sample, each, in_turns};
use crate::table::{Goal, Unit};
use crate::viewer::Crowd;
use crate::{Bench, Outcome};

const CAPACITY: u64 = 1 << 30;
/// The pool's name among a process's maps.
const POOL: &str = "plasmon-pool";
/// How long nothing happens.
const IDLE: Duration = Duration::from_secs(60);
/// How long nothing happens while somebody watches.
const WATCHED: Duration = Duration::from_secs(20);
/// What its start took of the processor is not idling.
const SETTLED: Duration = Duration::from_secs(2);

pub(crate) fn agent(bench: &mut Bench) -> Outcome<()> {
    let Some(path) = Daemon::installed() else {
        bench.table.leave_out("idle agent", "the daemon plasmon-agent was not built beside this program; `make bench` builds it");
        return Ok(());
    };
    let start = || Daemon::spawn(Command::new(&path), &bench.scratch, CAPACITY);
    let mut weights = Vec::new();
    let [ready] = in_turns([&mut || {
        let mut daemon = None;
        let took = each(1, || {
            daemon = Some(start()?);
            Ok(())
        });
        if let Some(daemon) = &daemon {
            weights.push(weight(daemon.pid())?);
        }
        took
    }])?;
    bench.table.row("agent, start to ready", &ready, Unit::Milliseconds, None, Goal::AtMost(50.0));
    let daemon = start()?;
    std::thread::sleep(SETTLED);
    weights.push(weight(daemon.pid())?);
    bench.table.row("idle agent, PSS without the pool", &Sample::of(weights), Unit::Mebibytes, None, Goal::AtMost(12.0));
    let (begin, before, woken) = (Instant::now(), processor_ns(daemon.pid())?, wake_ups(daemon.pid())?);
    std::thread::sleep(IDLE);
    let burnt = processor_ns(daemon.pid())?.saturating_sub(before) as f64;
    let woken = wake_ups(daemon.pid())?.saturating_sub(woken) as f64;
    let share = burnt * 100.0 / begin.elapsed().as_nanos() as f64;
    bench.table.row("idle agent, CPU over 60 s", &Sample::of(vec![share]), Unit::Percent, None, Goal::AtMost(0.1));
    bench.table.row("idle agent, how often a thread of it woke in 60 s", &Sample::of(vec![woken]), Unit::Times, None, Goal::AtMost(0.0));
    watched(bench, &daemon)
}

/// The same daemon with a viewer who reads whatever it is sent: samples are news, once a second.
fn watched(bench: &mut Bench, daemon: &Daemon) -> Outcome<()> {
    let crowd = Crowd::attach(daemon.session(), 1, 0)?;
    std::thread::sleep(SETTLED);
    let before = wake_ups(daemon.pid())?;
    std::thread::sleep(WATCHED);
    let woken = wake_ups(daemon.pid())?.saturating_sub(before) as f64;
    bench.table.row(
        "idle agent with a viewer, how often a thread of it woke in 20 s",
        &Sample::of(vec![woken]),
        Unit::Times,
        None,
        Goal::Open,
    );
    crowd.detach()
}

/// How often threads of a process have gone to sleep, or were made to wait.
fn wake_ups(pid: u32) -> Outcome<u64> {
    let mut sum = 0;
    for thread in read_dir(format!("/proc/{pid}/task"))? {
        let Ok(status) = read_to_string(thread?.path().join("status")) else { continue };
        let switches = status.lines().filter(|line| line.contains("ctxt_switches"));
        for count in switches.filter_map(|line| line.split_once(':')) {
            sum += count.1.trim().parse::<u64>()?;
        }
    }
    Ok(sum)
}

/// A process's share of the memory that it maps, without the pool, MiB.
pub(crate) fn weight(pid: u32) -> Outcome<f64> {
    let maps = read_to_string(format!("/proc/{pid}/smaps"))?;
    let (mut kib, mut counts) = (0, true);
    for line in maps.lines() {
        match line.strip_prefix("Pss:") {
            Some(pss) if counts => kib += pss.trim().trim_end_matches(" kB").parse::<u64>()?,
            Some(_) => {}
            // The head of a map begins with its addresses; facts about it with a word and a colon.
            None if !line.split(' ').next().unwrap_or_default().ends_with(':') => counts = !line.contains(POOL),
            None => {}
        }
    }
    Ok(kib as f64 / 1024.0)
}

/// Nanoseconds that all threads of a process have run for.
pub(crate) fn processor_ns(pid: u32) -> Outcome<u64> {
    let mut sum = 0;
    for thread in read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end meanwhile.
        let Ok(ran) = read_to_string(thread?.path().join("schedstat")) else { continue };
        sum += ran.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(sum)
}
