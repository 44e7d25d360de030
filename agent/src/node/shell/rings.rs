//! What clients have published is read, as far as they read what they are answered.

use std::time::Duration;

use plasmon_memory::ring::{Frames, TO_AGENT, max_message};
use plasmon_protocol::id::ProcessId;
use plasmon_protocol::local::{self, Short};

use super::Shell;
use crate::reactor::Violation;

/// So long a worker has to read its answers before its tasks are taken back without that.
const PATIENCE: Duration = Duration::from_millis(250);

impl Shell {
    /// Drains every ring once; how many bytes there were. A client that does not read its answers is not heard until it does, so that
    /// what the agent keeps for it stays bounded.
    pub(super) fn drain_all(&mut self) -> usize {
        let processes: Vec<ProcessId> =
            self.effects.peers.iter().filter(|(_, peer)| !peer.dropped && peer.backlog.is_empty()).map(|(process, _)| *process).collect();
        let drained = processes.into_iter().map(|process| self.drain(process)).sum();
        if drained > 0 {
            self.heard_ms = self.clock.now_ms();
        }
        drained
    }

    /// Right after all rings were drained: what a worker had said when its task was asked back is heard by now, unless its ring waits
    /// for it to read its answers. One that does not read them for long, such as one that stands still, is heard out all the same, as long as
    /// it is kept few answers for.
    pub(super) fn settle_withdrawals(&mut self) {
        for withdrawal in std::mem::take(&mut self.effects.withdrawals) {
            let worker = withdrawal.worker;
            let reads = self.effects.peers.get(&worker).is_some_and(|peer| peer.backlog.is_empty());
            self.effects.heard_out = Some(worker).filter(|_| !reads && withdrawal.since.elapsed() >= PATIENCE);
            let heard_out = self.effects.heard_out.is_some();
            // All that it had said by then: first what was taken out of its ring before, then what is in it.
            if (reads || heard_out) && self.drain(worker) > 0 {
                self.drain(worker);
            }
            self.effects.heard_out = None;
            match self.effects.peers.get(&worker) {
                Some(peer) if peer.dropped => {}
                Some(peer) if peer.is_behind() || (!peer.backlog.is_empty() && !heard_out) => self.effects.withdrawals.push(withdrawal),
                Some(_) => self.core.on_withdrawn(worker, &mut self.effects),
                None => {}
            }
        }
    }

    /// Works off what one client has published, up to the first message whose answer its ring has no room for. What was taken out of the
    /// ring and not worked off is kept, at most a ring's size, and goes before what comes later.
    pub(super) fn drain(&mut self, process: ProcessId) -> usize {
        let Some(peer) = self.effects.peers.get_mut(&process).filter(|peer| !peer.dropped) else { return 0 };
        let (mut bytes, from) = std::mem::take(&mut peer.unread);
        let drained = if from < bytes.len() {
            Ok(bytes.len() - from)
        } else {
            bytes = std::mem::take(&mut self.buffer);
            bytes.clear();
            peer.link.consumer().drain(&mut bytes)
        };
        let from = from.min(bytes.len());
        let mut rest = 0;
        let result = match drained {
            Ok(0) => Ok(()),
            Ok(_) => {
                let mut frames = Frames::new(&bytes[from..], max_message(TO_AGENT));
                let messages = frames.by_ref().map(|frame| {
                    let frame = frame.map_err(|error| Violation(error.to_string()))?;
                    match Short::read(frame) {
                        Some(message) => Ok(message),
                        None => local::decode("it", frame).map_err(|error| Violation(error.to_string())),
                    }
                });
                let result = self.core.on_messages(process, messages, &mut self.effects);
                rest = frames.rest().len();
                result
            }
            Err(error) => Err(Violation(error.to_string())),
        };
        let read = bytes.len() - from - rest;
        if let Err(violation) = result {
            self.buffer = bytes;
            self.throw_out(process, &violation);
        } else if rest == 0 {
            self.buffer = bytes;
        } else if let Some(peer) = self.effects.peers.get_mut(&process) {
            peer.unread = (std::mem::take(&mut bytes), from + read);
        }
        read
    }

    /// A process is gone: all that it published counts, and nobody answers it.
    pub(super) fn drain_to_the_end(&mut self, process: ProcessId) {
        let Some(peer) = self.effects.peers.get_mut(&process) else { return };
        peer.gone = true;
        peer.backlog.clear();
        // First what was taken out of the ring before, then what is in it. One that only closed its socket may go on writing.
        let mut left = peer.unread.0.len() + TO_AGENT;
        while left > 0 {
            let read = self.drain(process);
            if read == 0 {
                break;
            }
            left = left.saturating_sub(read);
        }
    }
}
