//! How the node ends: running tasks are given time, then workers, then they are killed. The loop goes on meanwhile, so that viewers see it.

use std::time::Duration;

use plasmon_protocol::id::ProcessId;

use super::Shell;

/// How long the agent waits for another word from drivers when the last task has ended: they may want to fetch what it made.
const LINGER: Duration = Duration::from_secs(1);
/// How long workers may take to end after `SIGTERM`.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same when somebody waits for the agent's end.
const LITTLE_PATIENCE: Duration = Duration::from_millis(500);
/// How long the end of killed workers is waited for. The kernel ends them in any case when the agent is gone.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// How the node is told to end. Each goes before those above it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stop {
    /// Take no new work, end when the work is done and drivers have been silent for a second, or this time is over. Workers get 5 s after
    /// that.
    Drain {
        /// What told it, for people.
        cause: String,
        /// How long running and queued tasks may take.
        limit: Duration,
    },
    /// End at once; workers get half a second.
    Soon {
        /// What told it, for people.
        cause: String,
    },
    /// End at once; workers are killed.
    Now {
        /// What told it, for people.
        cause: String,
    },
}

/// How far the end has come.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    Serving,
    /// Until this time (milliseconds since the Unix epoch). Whether there was work to wait for.
    Draining {
        until_ms: u64,
        cause: String,
        worked: bool,
    },
    /// Workers were told to end, and are killed at this time.
    Ending {
        kill_ms: u64,
    },
    /// Workers were killed; at this time nobody waits for them any more.
    Killing {
        leave_ms: u64,
    },
    Over,
}

impl Shell {
    pub(super) fn stop(&mut self, stop: Stop) {
        let now_ms = self.clock.now_ms();
        match (stop, &self.phase) {
            (Stop::Drain { cause, limit }, Phase::Serving) => {
                tracing::info!(cause, limit = limit.as_secs(), "draining");
                // Whoever waited for what fails now may still fetch the errors.
                let worked = !self.core.is_idle();
                self.core.on_drain(&cause, limit, &mut self.effects);
                self.phase = Phase::Draining { until_ms: now_ms + limit.as_millis() as u64, cause, worked };
            }
            (Stop::Soon { cause }, Phase::Serving | Phase::Draining { .. }) => self.end(&cause, LITTLE_PATIENCE),
            (Stop::Now { cause }, Phase::Serving | Phase::Draining { .. } | Phase::Ending { .. }) => {
                self.end(&cause, Duration::ZERO);
                self.kill_workers();
            }
            _ => {}
        }
    }

    /// Takes the next steps towards the end, as far as it is time for them.
    pub(super) fn advance(&mut self) {
        let now_ms = self.clock.now_ms();
        if let Phase::Draining { until_ms, cause, worked } = &mut self.phase {
            let idle = self.core.is_idle();
            *worked |= !idle;
            let (until_ms, cause, worked) = (*until_ms, cause.clone(), *worked);
            if idle && (!worked || self.linger_until_ms() <= now_ms) {
                self.end(&cause, PATIENCE);
            } else if until_ms <= now_ms {
                self.end(&format!("{cause}, and its time for running tasks is over"), PATIENCE);
            }
        }
        if matches!(self.phase, Phase::Ending { kill_ms } if kill_ms <= now_ms) && self.has_children() {
            self.kill_workers();
        }
        match self.phase {
            Phase::Ending { .. } | Phase::Killing { .. } if !self.has_children() => self.phase = Phase::Over,
            Phase::Killing { leave_ms } if leave_ms <= now_ms => {
                tracing::error!("killed workers are still there; the agent ends without them");
                self.phase = Phase::Over;
            }
            _ => {}
        }
    }

    /// Until when drivers may fetch what the last tasks made; 0 when there is no driver.
    fn linger_until_ms(&self) -> u64 {
        let drivers = self.effects.peers.values().any(|peer| !peer.child && !peer.dropped && peer.line.is_some());
        if drivers { self.heard_ms + LINGER.as_millis() as u64 } else { 0 }
    }

    /// Whether no worker is started any more.
    pub(super) fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending { .. } | Phase::Killing { .. } | Phase::Over)
    }

    /// When [`Shell::advance`] must be called at the latest.
    pub(super) fn next_phase_ms(&self) -> Option<u64> {
        match &self.phase {
            Phase::Draining { until_ms, .. } if self.core.is_idle() => Some(self.linger_until_ms().min(*until_ms)),
            Phase::Draining { until_ms: at, .. } | Phase::Ending { kill_ms: at } | Phase::Killing { leave_ms: at } => Some(*at),
            Phase::Serving | Phase::Over => None,
        }
    }

    /// No work is done any more: drivers are told so, workers are asked to end.
    fn end(&mut self, cause: &str, patience: Duration) {
        tracing::info!(cause, workers = self.children().count(), "ending");
        self.core.on_close(cause);
        self.introduced.clear();
        for peer in self.effects.peers.values_mut().filter(|peer| !peer.child) {
            peer.hang_up(&format!("it was stopped: {cause}"));
        }
        for (worker, pidfd) in self.children() {
            tracing::debug!(worker = worker.0, "asked to end");
            let _ = pidfd.terminate();
        }
        for starting in self.starting.values_mut() {
            starting.reason.get_or_insert_with(|| "not wanted any more".to_owned());
        }
        self.phase = Phase::Ending { kill_ms: self.clock.now_ms() + patience.as_millis() as u64 };
    }

    fn kill_workers(&mut self) {
        for (worker, pidfd) in self.children() {
            tracing::warn!(worker = worker.0, "worker killed");
            let _ = pidfd.kill();
        }
        self.phase = Phase::Killing { leave_ms: self.clock.now_ms() + LAST_WAIT.as_millis() as u64 };
    }

    /// Workers that were started and have not ended.
    fn children(&self) -> impl Iterator<Item = (ProcessId, &plasmon_memory::process::Pidfd)> {
        let starting = self.starting.iter().filter_map(|(worker, starting)| Some((*worker, starting.pidfd.as_ref()?)));
        let ready = self.effects.peers.iter().filter(|(_, peer)| peer.child).map(|(worker, peer)| (*worker, &peer.pidfd));
        starting.chain(ready)
    }

    /// Whether there are workers, those included that are just being started.
    fn has_children(&self) -> bool {
        !self.starting.is_empty() || self.effects.peers.values().any(|peer| peer.child)
    }
}
