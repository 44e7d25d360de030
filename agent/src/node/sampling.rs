//! Looks at machine and processes once a second, off the node's thread. While nobody is connected it sleeps without a timer.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use plasmon_protocol::id::ProcessId;

use crate::machine::{HeadRoom, Sample, Sampler, State};
use crate::reactor::Usage;

/// How often, while somebody is there.
const INTERVAL: Duration = Duration::from_secs(1);

/// Whom to sample; the newest list counts. An empty list: nobody, until the next one.
pub type Watched = Vec<(ProcessId, u32)>;

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

/// Samples until the senders of lists are gone.
pub fn run(lists: &Receiver<Watched>, head_room: Option<&HeadRoom>, mut report: impl FnMut(Seen)) {
    let Ok(mut sampler) = Sampler::new() else { return };
    let total_bytes = crate::machine::Machine::read().map_or(0, |machine| machine.total_bytes);
    let mut watched = Watched::new();
    loop {
        let next = if watched.is_empty() { lists.recv().map_err(|_| RecvTimeoutError::Disconnected) } else { lists.recv_timeout(INTERVAL) };
        match next {
            Ok(list) => {
                watched = list;
                // A process that has just come is worth a look at once; the rest keeps its rhythm well enough.
                if watched.is_empty() {
                    continue;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
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
        report(Seen { total_bytes, available_bytes: head_room.map_or(0, HeadRoom::bytes), usages, stopped });
    }
}
