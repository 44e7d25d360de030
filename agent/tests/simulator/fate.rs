//! What comes neither from a program nor from the core: time, memory, deaths, stops, and notices that come late or twice.

use std::time::Duration;

use plasmon_protocol::id::ProcessId;
use plasmon_protocol::local::{ToAgent, decode};

use super::client::{Client, Phase};
use super::model::Check;
use super::run::is_alive;
use super::world::World;

impl World {
    pub(crate) fn surprise(&mut self) -> Check {
        match self.random.weighted(&[200, 300, 20, 400, 120, 40, 8, 150, 12, 20, 40, 25, 120, 2, 60]) {
            0 => {
                // A slow job shows that it lives.
                if self.disk.writes() && self.random.chance(60) {
                    self.tell_progress()?;
                }
                let passed_ms = self.random.pick(&[1, 50, 600, 1500, 2500]).unwrap_or(1);
                self.tick(passed_ms)
            }
            1 if self.model.backed < self.model.backing => {
                let step = self.model.capacity / self.random.between(1, 8);
                self.back((self.model.backed + step).min(self.model.backing))
            }
            2 if self.model.backed < self.model.backing => self.fail_backing(),
            3 => match self.pick(|client| client.phase == Phase::Starting) {
                Some(id) if self.random.chance(15) => self.lose(id),
                Some(id) => self.connect_worker(id),
                None => Ok(()),
            },
            4 => self.pick_condemned().map_or(Ok(()), |id| self.die(id)),
            5 => {
                let actors_only = self.random.chance(30);
                let those = |client: &Client| is_alive(client) && client.worker && (!actors_only || client.actor.is_some());
                self.pick(those).map_or(Ok(()), |id| self.die(id))
            }
            6 => self.pick(|client| is_alive(client) && !client.worker).map_or(Ok(()), |id| self.die(id)),
            7 => match self.pick(|client| client.phase == Phase::Dead) {
                Some(id) if self.random.chance(40) => self.drain_some(id),
                Some(id) => self.reap(id),
                None => Ok(()),
            },
            8 => {
                self.connect_driver();
                Ok(())
            }
            10 => {
                self.stop_or_go_on();
                Ok(())
            }
            11 => self.repeat_notice(),
            12 => self.press(),
            13 => self.drain(),
            14 => self.look(),
            _ => {
                if self.random.chance(50) {
                    self.look()?;
                    self.sample();
                } else if self.random.chance(30)
                    && let Some(id) = self.pick(|client| is_alive(client) && !client.worker)
                {
                    self.with(id, |client, _, _| client.leaving = true);
                }
                Ok(())
            }
        }
    }

    /// The node is to end: it takes no new work.
    fn drain(&mut self) -> Check {
        self.note(|| "drain".to_owned());
        self.model.drain();
        self.subject.core.on_drain("SIGTERM", Duration::from_secs(9), &mut self.recorder);
        self.carry_out()
    }

    fn pick_condemned(&mut self) -> Option<ProcessId> {
        let mut those: Vec<ProcessId> = self.condemned.iter().copied().collect();
        those.extend(self.those(|client| client.said_bye && is_alive(client)));
        self.random.pick(&those)
    }

    /// A process ends at this very point.
    pub(crate) fn die(&mut self, id: ProcessId) -> Check {
        self.note(|| format!("process {id} dies"));
        let shut_out = self.condemned.remove(&id) && self.random.chance(50);
        let Some(client) = self.clients.get_mut(&id) else { return Ok(()) };
        if client.phase == Phase::Starting {
            return self.lose(id);
        }
        client.die();
        if shut_out {
            // Nothing was read any more from the moment when it was to be killed.
            client.ring.clear();
        }
        Ok(())
    }

    /// Some of what a dead process has left arrives, or all of it; its end is noticed later.
    fn drain_some(&mut self, id: ProcessId) -> Check {
        let left = self.clients.get(&id).map_or(0, |client| client.ring.len()) as u64;
        if left == 0 {
            return Ok(());
        }
        let most = match self.clients[&id].hostile {
            true => 1,
            false if self.random.chance(50) => left,
            false => self.random.between(1, left),
        };
        self.deliver(id, most as usize, most == left)
    }

    /// Somebody does nothing for a while, as after `SIGSTOP`; or goes on.
    fn stop_or_go_on(&mut self) {
        let stops = self.random.chance(40);
        if let Some(id) = self.pick(|client| is_alive(client) && client.stopped != stops) {
            self.note(|| format!("process {id} {}", if stops { "stops" } else { "goes on" }));
            self.with(id, |client, _, _| client.stopped = stops);
        }
    }

    /// Notices of what is known already, and messages of those that are gone, change nothing.
    fn repeat_notice(&mut self) -> Check {
        let gone: Vec<ProcessId> = self.gone.keys().copied().filter(|id| !self.clients.contains_key(id)).collect();
        let Some(id) = self.random.pick(&gone) else { return Ok(()) };
        let core = &mut self.subject.core;
        let what = self.random.below(4);
        match what {
            0 => core.on_process_lost(id, "again", &mut self.recorder),
            1 => {
                let living =
                    self.random.pick(&self.clients.values().filter(|client| is_alive(client)).map(|client| client.id).collect::<Vec<_>>());
                let id = if self.random.chance(50) { living.unwrap_or(id) } else { id };
                if core.on_worker_connected(id, 1, &mut self.recorder) {
                    return Err(format!("process {id} connects again, and is wanted"));
                }
            }
            2 => core.on_backed(self.model.backed / 2, &mut self.recorder),
            _ => {
                let Ok(message) = decode::<ToAgent<'_>>("a client", &self.gone[&id]) else { return Ok(()) };
                drop(core.on_messages(id, [Ok(message)], &mut self.recorder));
            }
        }
        self.note(|| format!("notice {what} of {id} again"));
        // With external storage there may be something to do by now, whoever calls.
        if what == 2 && !self.model.storage.config.places.is_empty() {
            return self.carry_out();
        }
        match self.recorder.effects.first() {
            Some(effect) => Err(format!("a notice of process {id} that came twice had an effect: {effect:?}")),
            None => Ok(()),
        }
    }
}
