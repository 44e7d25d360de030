//! How processes go: by themselves, dead, or thrown out.

use std::io;

use plasmon_protocol::id::ProcessId;

use super::Shell;
use crate::node::workers;
use crate::reactor::{Departure, Violation};

impl Shell {
    pub(super) fn on_channel(&mut self, process: ProcessId) {
        let Some(peer) = self.effects.peers.get_mut(&process) else { return };
        let Some(line) = &peer.line else { return };
        match line.recv() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(Some(_)) => self.throw_out(process, &Violation("a packet after its hello".to_owned())),
            Ok(None) | Err(_) => {
                peer.line = None;
                peer.hung_up_ms = Some(self.clock.now_ms());
            }
        }
    }

    /// Drops a client for what it did.
    pub(super) fn throw_out(&mut self, process: ProcessId, violation: &Violation) {
        tracing::warn!(process = process.0, reason = violation.0, "client dropped");
        if let Some(peer) = self.effects.peers.get_mut(&process) {
            peer.reason.get_or_insert_with(|| format!("dropped: {}", violation.0));
        }
        self.core.on_violation(process, violation, &mut self.effects);
    }

    /// Processes whose sockets closed: drivers at once when they said that they end, else when their end was not seen in time; workers
    /// when they had their time to end. A process that closes its socket has no view into the pool any more; that is the client
    /// library's promise.
    pub(super) fn lose_hung_up(&mut self) {
        let now_ms = self.clock.now_ms();
        let hung_up: Vec<ProcessId> = self
            .effects
            .peers
            .iter()
            .filter(|(process, peer)| {
                let done = !peer.child && self.core.is_leaving(**process);
                !peer.dropped && peer.overdue_ms().is_some_and(|at| done || at <= now_ms)
            })
            .map(|(process, _)| *process)
            .collect();
        for process in hung_up {
            let child = self.effects.peers.get(&process).is_some_and(|peer| peer.child);
            if !child {
                self.lose(process, "disconnected");
            } else if let Some(peer) = self.effects.peers.get_mut(&process) {
                // A worker without a socket has no business: its end is waited for.
                peer.hung_up_ms = None;
                peer.reason.get_or_insert_with(|| "killed: it closed its socket and did not end".to_owned());
                let _ = peer.pidfd.kill();
            }
        }
    }

    /// Clients whose rings have no room because they wrote nonsense about what they have read.
    pub(super) fn lose_garbled(&mut self) {
        let waiting = self.effects.peers.iter_mut().filter(|(_, peer)| !peer.dropped && !peer.backlog.is_empty());
        let garbled: Vec<(ProcessId, Violation)> = waiting
            .filter_map(|(process, peer)| Some((*process, Violation(peer.link.producer().is_drained().err()?.to_string()))))
            .collect();
        for (process, violation) in garbled {
            self.throw_out(process, &violation);
        }
    }

    pub(super) fn on_end(&mut self, process: ProcessId) {
        let Some(peer) = self.effects.peers.get(&process).filter(|peer| peer.pidfd.has_ended()) else { return };
        let mut departure = workers::how_it_ended(&peer.pidfd, peer.child);
        if let Some(reason) = peer.reason.clone() {
            departure.how = reason.into();
        }
        self.lose(process, departure);
    }

    /// A process is gone, and reaped if it was a child.
    pub(super) fn lose(&mut self, process: ProcessId, departure: impl Into<Departure>) {
        // What it published before its end counts.
        self.drain_to_the_end(process);
        self.core.look(&mut self.effects);
        if self.effects.peers.remove(&process).is_some_and(|peer| peer.child) {
            workers::forget(process, &self.identity.logs);
        }
        self.core.on_process_lost(process, departure, &mut self.effects);
        self.descriptors_came_free();
        self.watch();
    }

    pub(super) fn on_starting_end(&mut self, worker: ProcessId) {
        let Some(pidfd) = self.starting.get(&worker).and_then(|starting| starting.pidfd.as_ref()).filter(|pidfd| pidfd.has_ended()) else {
            return;
        };
        let mut departure = workers::how_it_ended(pidfd, true);
        let reason = self.starting.remove(&worker).and_then(|starting| starting.reason).map(Into::into);
        departure.how = format!("before it was ready: {}", reason.unwrap_or(departure.how)).into();
        workers::forget(worker, &self.identity.logs);
        self.newcomers.retain(|_, newcomer| newcomer.worker.is_none_or(|(starting, _)| starting != worker));
        self.core.on_process_lost(worker, departure, &mut self.effects);
        self.descriptors_came_free();
    }

    /// Ends a worker; shuts a driver out, which is not ours to end. Its memory is reused only after its own end.
    pub(super) fn kill(&mut self, process: ProcessId) {
        self.condemn(process, "not wanted any more");
        if let Some(peer) = self.effects.peers.get_mut(&process) {
            peer.hang_up("it may not stay");
            if peer.child {
                let _ = peer.pidfd.kill();
            }
        }
    }
}
