//! External storage among the surroundings: its jobs begin and end, and bytes are where they are said to be.

use plasmon_agent::spill::job::{Job, Report};
use plasmon_agent::spill::policy::SpillConfig;
use plasmon_agent::telemetry::tables::Tables;
use plasmon_protocol::local::{ToAgent, decode};
use plasmon_protocol::record::ObjectState;

use super::World;
use crate::simulator::effects::Effect;
use crate::simulator::model::Check;
use crate::simulator::random::Random;

/// Simulated seconds in which a disk that serves must be rid of what is dead.
const SECONDS_TO_DELETE: u32 = 1000;

/// External storage of any kind, or none.
pub(super) fn some_storage(random: &mut Random, capacity: u64) -> SpillConfig {
    if random.chance(33) {
        return SpillConfig::default();
    }
    SpillConfig {
        places: (0..random.between(1, 3)).map(|place| format!("place {place}").into()).collect(),
        threshold_milli: random.pick(&[0, 100, 300, 500, 800, 800, 1000, 2000]).unwrap_or(800),
        limit: if random.chance(20) { Some(capacity * random.between(1, 12) / 4) } else { None },
        writers: random.below(4) as usize,
    }
}

impl World {
    /// Some job ends, if there is one. `all`: even one that takes its time.
    pub(crate) fn complete_job(&mut self, all: bool) -> Check<bool> {
        let Some(report) = self.disk.complete(all, &mut self.random)? else { return Ok(false) };
        self.report(&report)?;
        Ok(true)
    }

    /// All jobs end, and those that come of it.
    pub(crate) fn complete_all(&mut self) -> Check {
        while self.complete_job(true)? {
            self.verify()?;
        }
        Ok(())
    }

    /// Everything that can be removed is: what could not be is tried again after a while, on a disk that serves.
    pub(crate) fn remove_all(&mut self) -> Check {
        self.complete_all()?;
        let failing = std::mem::take(&mut self.disk.failing);
        for second in 0.. {
            if !self.model.storage.has_undeleted() {
                break;
            }
            if second == SECONDS_TO_DELETE {
                return Err(format!("after {second} s there are files that nobody deletes: {:?}", self.model.storage.files));
            }
            self.tick(1000)?;
            self.verify()?;
            self.complete_all()?;
        }
        self.disk.failing = failing;
        Ok(())
    }

    pub(crate) fn tell_progress(&mut self) -> Check {
        self.report(&Report::Progress)
    }

    fn report(&mut self, report: &Report) -> Check {
        self.note(|| format!("{report:?}"));
        self.model.see_fetches(&self.subject.core);
        self.model.report(report);
        self.subject.on_io(report, &mut self.recorder);
        self.carry_out()
    }

    pub(super) fn begin_job(&mut self, job: Job) -> Check {
        let core = &self.subject.core;
        match &job {
            Job::Write(write) => {
                let row = core.spill_files().into_iter().find(|row| row.file == write.file);
                let row = row.ok_or_else(|| format!("nobody knows of file {}", write.file))?;
                self.model.observe_write(write, row.cause)?;
            }
            Job::Read(read) => self.model.observe_read(read, &core.ranges())?,
            Job::Compact(compact) => self.model.observe_compaction(compact)?,
            Job::Delete { file, place } => self.model.observe_delete(*file, *place)?,
        }
        self.disk.begin(job, &mut self.random)
    }

    /// A hostile client's message was taken: it may have written anything there.
    pub(super) fn doubt(&mut self, bytes: &[u8]) {
        match decode::<ToAgent<'_>>("a client", bytes) {
            Ok(ToAgent::Put { key, .. }) => drop(self.disk.doubtful.insert(key)),
            Ok(ToAgent::Output { task, .. }) => {
                let returns = self.model.tasks.get(&task).map(|task| task.returns.clone());
                self.disk.doubtful.extend(returns.unwrap_or_default());
            }
            _ => {}
        }
    }

    /// What is announced as an object's bytes is that; what leaves is overwritten.
    pub(super) fn check_bytes(&mut self, effect: &Effect) -> Check {
        let Effect::Publish { key, state, offset, length } = effect else { return Ok(()) };
        match state {
            Some(ObjectState::InMemory) if !self.disk.doubtful.contains(key) && !self.disk.pool.holds(*key, *offset, *length) => {
                Err(format!("{key:?} is announced at {offset}+{length}, and its bytes are not there"))
            }
            Some(ObjectState::Spilled) => {
                if let Some(entry) = self.shared.slots.get(&key.slot).filter(|entry| entry.state == Some(ObjectState::InMemory)) {
                    self.disk.pool.clear(entry.offset, entry.length);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whatever somebody reads stays where it is, and the core does not ask to be called for nothing.
    pub(super) fn check_readers(&self) -> Check {
        for client in self.clients.values() {
            for (key, offset, _) in client.table.iter().filter(|(key, _, _)| self.model.objects.contains_key(key)) {
                let entry = self.shared.slots.get(&key.slot);
                let stays = entry.is_some_and(|entry| entry.state == Some(ObjectState::InMemory) && entry.offset == *offset);
                if !stays {
                    return Err(format!("{key:?} is read at {offset} by {}, and is {entry:?}", client.id));
                }
            }
        }
        Ok(())
    }
}
