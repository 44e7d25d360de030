//! How processes go: by themselves, dead, thrown out, or all at once when the node ends.

use std::io;
use std::time::{Duration, Instant};

use plasmon_memory::process::Pidfd;
use plasmon_protocol::id::ProcessId;

use super::Shell;
use crate::node::workers;
use crate::reactor::{Departure, Violation};

/// How long workers may take to end when the node does.
const DRAIN: Duration = Duration::from_secs(2);

impl Shell {
    pub(super) fn on_channel(&mut self, process: ProcessId) {
        let Some(peer) = self.effects.peers.get_mut(&process) else { return };
        let Some(channel) = &peer.channel else { return };
        match channel.recv() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(Some(_)) => {
                let violation = Violation("a packet after its hello".to_owned());
                self.core.on_violation(process, &violation, &mut self.effects);
            }
            Ok(None) | Err(_) => {
                peer.channel = None;
                peer.hung_up_ms = Some(self.clock.now_ms());
            }
        }
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
                self.lose(process, &"disconnected".into());
            } else if let Some(peer) = self.effects.peers.get_mut(&process) {
                // A worker without a socket has no business: its end is waited for.
                peer.hung_up_ms = None;
                let _ = peer.pidfd.kill();
            }
        }
    }

    pub(super) fn on_end(&mut self, process: ProcessId) {
        let Some(peer) = self.effects.peers.get(&process) else { return };
        if peer.pidfd.has_ended() {
            let how = workers::how_it_ended(&peer.pidfd, peer.child);
            self.lose(process, &how);
        }
    }

    pub(super) fn lose(&mut self, process: ProcessId, departure: &Departure) {
        // What it published before its end counts: one look takes all of it.
        self.drain(process);
        self.effects.peers.remove(&process);
        self.core.on_process_lost(process, departure, &mut self.effects);
        self.watch();
    }

    pub(super) fn on_starting_end(&mut self, worker: ProcessId) {
        let Some(pidfd) = self.starting.get(&worker).filter(|pidfd| pidfd.has_ended()) else { return };
        let mut departure = workers::how_it_ended(pidfd, true);
        departure.how = format!("before it was ready: {}", departure.how).into();
        self.starting.remove(&worker);
        self.newcomers.retain(|_, newcomer| newcomer.worker.is_none_or(|(starting, _)| starting != worker));
        self.core.on_process_lost(worker, &departure, &mut self.effects);
    }

    /// Ends a worker; shuts a driver out, which is not ours to end. Its memory is reused only after its own end.
    pub(super) fn kill(&mut self, process: ProcessId) {
        if let Some(pidfd) = self.starting.get(&process) {
            let _ = pidfd.kill();
        }
        if let Some(peer) = self.effects.peers.get_mut(&process) {
            peer.dropped = true;
            peer.channel = None;
            if peer.child {
                let _ = peer.pidfd.kill();
            }
        }
    }

    /// Every worker sees its socket close and ends; one that does not is killed. No child is left behind.
    pub(super) fn end_workers(&mut self) {
        self.newcomers.clear();
        let mut children: Vec<Pidfd> = self.starting.drain().map(|(_, pidfd)| pidfd).collect();
        children.extend(std::mem::take(&mut self.effects.peers).into_values().filter(|peer| peer.child).map(|peer| peer.pidfd));
        let deadline = Instant::now() + DRAIN;
        for child in &children {
            while !child.has_ended() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(2));
            }
            if !child.has_ended() {
                let _ = child.kill();
                while !child.has_ended() {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            let departure = workers::how_it_ended(child, true);
            tracing::debug!(how = %departure.how, "worker ended");
        }
    }
}
