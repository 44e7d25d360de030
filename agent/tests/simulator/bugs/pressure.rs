//! Bugs of the out-of-memory monitor.

use plasmon_agent::scheduler::pressure::Reading;
use plasmon_agent::telemetry::tables::Tables;
use plasmon_protocol::error::Error;
use plasmon_protocol::id::ProcessId;
use plasmon_protocol::local::{Outcome, ToClient, decode, encode};
use plasmon_protocol::record::ProcessType;

use super::{Bug, Subject};
use crate::simulator::effects::{Effect, Recorder};

impl Subject {
    /// Tells how full the memory is; and who is to be killed because of that.
    pub(crate) fn on_pressure(&mut self, reading: Reading, unique: &[(ProcessId, Option<u64>)], out: &mut Recorder) -> Vec<ProcessId> {
        let was_dying = self.core.store().pressure.dying > 0;
        self.core.on_pressure(reading, unique, out);
        let rows = self.core.processes();
        let one_of = |wanted: ProcessType| rows.iter().find(|row| row.process_type == wanted && row.pid != 0).map(|row| row.process);
        let is_kill = |effect: &Effect| matches!(effect, Effect::Kill(_));
        let kills = out.effects.iter().any(is_kill);
        if let Some(driver) = one_of(ProcessType::Driver).filter(|_| kills)
            && self.strikes(Bug::EndsDrivers)
        {
            out.effects.iter_mut().filter(|effect| is_kill(effect)).for_each(|effect| *effect = Effect::Kill(driver));
        }
        if kills && self.strikes(Bug::SparesVictims) {
            out.effects.retain(|effect| !is_kill(effect));
        }
        if let Some(worker) = one_of(ProcessType::Worker).filter(|_| was_dying)
            && self.strikes(Bug::EndsMoreWhileVictimsDie)
        {
            out.effects.push(Effect::Kill(worker));
        }
        let killed: Vec<ProcessId> =
            out.effects.iter().filter_map(|effect| if let Effect::Kill(process) = effect { Some(*process) } else { None }).collect();
        self.dying.extend(&killed);
        killed
    }

    /// What is said of those who had to go, as the bug lets it be said.
    pub(super) fn bend_memory(&mut self, effect: &Effect) -> Option<Effect> {
        let Effect::Send(to, bytes) = effect else { return None };
        match effect.message()? {
            ToClient::Resolved { request, outcome: Outcome::Failed(error) } => {
                let Ok(Error::OutOfMemory { task, name, pid, site, attempt, .. }) = decode("the agent", error) else { return None };
                if !self.has(Bug::HidesWantOfMemory) {
                    return None;
                }
                let error = encode(&Error::WorkerCrashed { task, name, pid, site, how: "signal 9".to_owned(), attempt }).ok()?;
                let message = encode(&ToClient::Resolved { request, outcome: Outcome::Failed(&error) }).ok()?;
                Some(Effect::Send(*to, message))
            }
            ToClient::Run { .. } => {
                let dying = self.dying.iter().copied().find(|dying| dying != to && self.core.process(*dying).is_some())?;
                self.strikes(Bug::GivesVictimsWork).then(|| Effect::Send(dying, bytes.clone()))
            }
            _ => None,
        }
    }
}
