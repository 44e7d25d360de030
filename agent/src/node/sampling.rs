//! Looks at the machine and the processes once a second, and at how full the memory is four times as often; off the node's thread. While
//! nobody is connected it sleeps without a timer.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use plasmon_protocol::id::ProcessId;

use crate::machine::{Gauge, HeadRoom, Sample, Sampler, State, unique_bytes};
use crate::reactor::Usage;
use crate::scheduler::pressure::Reading;

/// How often, while somebody is there.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often the memory is looked at, while there are drivers or workers.
const PRESSURE_INTERVAL: Duration = Duration::from_millis(250);

/// Whom to sample; the newest list counts. An empty list: nobody, until the next one.
pub type Watched = Vec<(ProcessId, u32)>;

/// What is told.
#[derive(Clone, Debug)]
pub enum Found {
    /// Once a second.
    Seen(Seen),
    /// With it, and in between when the memory is too full, or is no more.
    Pressure(Pressure),
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The machine's memory, or the control group's limit, bytes.
    pub total_bytes: u64,
    /// Available of it, bytes.
    pub available_bytes: u64,
    /// What each process uses.
    pub usages: Vec<(ProcessId, Usage)>,
    /// Those that stand still, stopped by a signal or a debugger.
    pub stopped: Vec<ProcessId>,
}

/// How full the memory is.
#[derive(Clone, Debug)]
pub struct Pressure {
    /// The memory.
    pub reading: Reading,
    /// Where it is too full: everybody who was there before it was read, with the bytes that only this process has. That is dear to
    /// find out.
    pub unique: Vec<(ProcessId, Option<u64>)>,
}

/// The machine alone, of no process.
#[must_use]
pub fn machine(head_room: Option<&HeadRoom>) -> Seen {
    seen(total_bytes(), head_room)
}

fn total_bytes() -> u64 {
    crate::machine::Machine::read().map_or(0, |machine| machine.total_bytes)
}

fn seen(total_bytes: u64, head_room: Option<&HeadRoom>) -> Seen {
    Seen { total_bytes, available_bytes: head_room.map_or(0, HeadRoom::bytes), ..Seen::default() }
}

/// Samples until the senders of lists are gone.
pub fn run(lists: &Receiver<Watched>, head_room: Option<&HeadRoom>, gauge: Option<&Gauge>, mut report: impl FnMut(Found)) {
    let Ok(mut sampler) = Sampler::new() else { return };
    let total_bytes = total_bytes();
    let mut watched = Watched::new();
    let gauge_on = gauge.filter(|gauge| gauge.is_on());
    let steps = INTERVAL.as_millis() / PRESSURE_INTERVAL.as_millis();
    let mut step = 0;
    let mut was_over = false;
    loop {
        // The agent itself is on every list.
        let interval = if watched.len() > 1 && gauge_on.is_some() { PRESSURE_INTERVAL } else { INTERVAL };
        let next = if watched.is_empty() { lists.recv().map_err(|_| RecvTimeoutError::Disconnected) } else { lists.recv_timeout(interval) };
        match next {
            Ok(list) => {
                watched = list;
                step = 0;
                // A process that has just come is worth a look at once; the rest keeps its rhythm well enough.
                if watched.is_empty() {
                    continue;
                }
            }
            Err(RecvTimeoutError::Timeout) => step = if interval == INTERVAL { 0 } else { (step + 1) % steps },
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if step == 0 {
            report(Found::Seen(look(&mut sampler, &watched, total_bytes, head_room)));
        }
        let Some(reading) = gauge.and_then(Gauge::read) else { continue };
        let over = reading.is_over();
        if step == 0 || over || was_over {
            let unique = if over { watched.iter().map(|(process, pid)| (*process, unique_bytes(*pid))).collect() } else { Vec::new() };
            report(Found::Pressure(Pressure { reading, unique }));
        }
        was_over = over;
    }
}

fn look(sampler: &mut Sampler, watched: &Watched, total_bytes: u64, head_room: Option<&HeadRoom>) -> Seen {
    let pids: Vec<u32> = watched.iter().map(|(_, pid)| *pid).collect();
    let (mut usages, mut stopped) = (Vec::new(), Vec::new());
    for sample in sampler.sample(&pids) {
        let Some((process, _)) = watched.iter().find(|(_, pid)| *pid == sample.pid) else { continue };
        let Sample { rss_bytes, shared_bytes, cpu_percent, state, .. } = sample;
        usages.push((*process, Usage { rss_bytes, shared_bytes, cpu_percent }));
        if state == State::Stopped {
            stopped.push(*process);
        }
    }
    Seen { usages, stopped, ..seen(total_bytes, head_room) }
}
