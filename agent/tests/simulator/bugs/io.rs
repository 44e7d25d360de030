//! What may be bent between the core and external storage.

use std::collections::BTreeMap;

use plasmon_agent::spill::job::{CompactItem, Failure, Job, Report, WriteJob};
use plasmon_agent::telemetry::tables::Tables;
use plasmon_protocol::id::{ObjectKey, ProcessId, SpillFileId};
use plasmon_protocol::record::ObjectState;

use super::{Bug, Subject};
use crate::simulator::effects::{Effect, Recorder};

/// What a planted bug must know to strike where it hurts.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// Files that were written, or are.
    files: BTreeMap<SpillFileId, WriteJob>,
    writing: Vec<SpillFileId>,
    /// Where objects were published first.
    places: BTreeMap<ObjectKey, u64>,
    /// Who put which object, into which lease.
    pub(super) leases: BTreeMap<ObjectKey, (ProcessId, u32)>,
    /// What was answered with a pin.
    pub(super) answered: BTreeMap<(ProcessId, u32), ObjectKey>,
    /// The core has just been told of a job's end.
    told: bool,
}

impl Subject {
    /// Always, not only now and then.
    pub(super) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    pub(crate) fn on_tick(&mut self, now_ms: u64, out: &mut Recorder) {
        if self.has(Bug::RenewsGraceForEver) {
            self.core.set_now(now_ms);
            self.core.on_io(Report::Progress, out);
        }
        let early_ms = if self.strikes(Bug::HurriesRetries) { 40 } else { 0 };
        self.core.on_tick(now_ms + early_ms, out);
    }

    pub(crate) fn on_io(&mut self, report: &Report, out: &mut Recorder) {
        if let Some(report) = self.bend_report(report.clone()) {
            self.core.on_io(report, out);
        }
        self.watched.told = true;
    }

    fn bend_report(&mut self, report: Report) -> Option<Report> {
        match report {
            Report::Progress if self.has(Bug::ForgetsProgress) => None,
            Report::Progress => {
                let file = self.watched.writing.first().copied().filter(|_| self.has(Bug::ReleasesBeforeWritten));
                Some(file.map_or(report, |file| Report::Written { file, result: Ok(()), took_ms: 1 }))
            }
            Report::Written { file, result, took_ms } => {
                self.watched.writing.retain(|writing| *writing != file);
                let result = match result {
                    Ok(()) if self.strikes(Bug::WritesWrittenAgain) => Err(Failure::Io("what?".to_owned())),
                    Err(_) if self.strikes(Bug::TakesFailedForWritten) => Ok(()),
                    result => result,
                };
                Some(Report::Written { file, result, took_ms })
            }
            Report::Read { .. } if self.strikes(Bug::LosesRead) => None,
            Report::Read { number, mut results, took_ms } => {
                for result in &mut results {
                    match result {
                        Ok(()) if self.strikes(Bug::TakesReadForFailed) => *result = Err(Failure::Io("what?".to_owned())),
                        Err(Failure::Corrupt(_)) if self.strikes(Bug::BelievesDamaged) => *result = Ok(()),
                        _ => {}
                    }
                }
                Some(Report::Read { number, results, took_ms })
            }
            Report::Compacted { file, result: Ok(damaged), took_ms } if !damaged.is_empty() && self.has(Bug::OverlooksDamage) => {
                Some(Report::Compacted { file, result: Ok(Vec::new()), took_ms })
            }
            Report::Deleted { .. } if self.strikes(Bug::LosesDeleted) => None,
            report => Some(report),
        }
    }

    /// What the core wants of external storage, or publishes of its objects' places.
    pub(super) fn bend_storage(&mut self, effect: Effect, bent: &mut Vec<Effect>) {
        match effect {
            Effect::Io(Job::Write(mut write)) => {
                self.watched.files.insert(write.file, write.clone());
                self.watched.writing.push(write.file);
                if let Some(item) = write.items.first_mut()
                    && self.strikes(Bug::WritesFromWrongPlace)
                {
                    item.from += 64;
                }
                if self.strikes(Bug::WritesTwice) {
                    bent.push(Effect::Io(Job::Write(write.clone())));
                }
                bent.push(Effect::Io(Job::Write(write)));
            }
            Effect::Io(Job::Read(mut read)) => {
                if let Some(item) = read.items.last_mut()
                    && self.strikes(Bug::ReadsToWrongPlace)
                {
                    item.into = item.into.checked_sub(64).unwrap_or(item.into + 64);
                }
                bent.push(Effect::Io(Job::Read(read)));
            }
            Effect::Io(Job::Compact(mut compact)) => {
                if let Some(old) = self.watched.files.get(&compact.from)
                    && let Some(dead) = old.items.iter().find(|item| compact.items.iter().all(|live| live.key != item.key)).copied()
                    && self.strikes(Bug::MovesFreedRecord)
                {
                    let CompactItem { at, .. } = compact.items.pop().unwrap_or(CompactItem { key: dead.key, length: 0, from: 0, at: 0 });
                    compact.items.push(CompactItem { key: dead.key, length: dead.length, from: dead.at, at });
                }
                bent.push(Effect::Io(Job::Compact(compact)));
            }
            Effect::Io(Job::Delete { .. }) if self.strikes(Bug::KeepsDeadFile) => {}
            Effect::Publish { state: Some(ObjectState::Spilled), .. } if self.strikes(Bug::HidesEviction) => {}
            Effect::Publish { state: Some(ObjectState::Spilled), .. } => {
                let live = self.live_file().filter(|_| self.strikes(Bug::RemovesLiveFile));
                bent.push(effect);
                bent.extend(live.map(|(file, place)| Effect::Io(Job::Delete { file, place })));
            }
            Effect::Publish { key, state: Some(ObjectState::InMemory), offset, length } => {
                let before = *self.watched.places.entry(key).or_insert(offset);
                let offset = if before != offset && self.strikes(Bug::PublishesOldPlace) { before } else { offset };
                bent.push(Effect::Publish { key, state: Some(ObjectState::InMemory), offset, length });
            }
            Effect::Publish { key, state: None, .. } => {
                bent.push(effect);
                let watched = &self.watched;
                let is_written = watched.writing.iter().any(|file| watched.files[file].items.iter().any(|item| item.key == key));
                let lease = watched.leases.get(&key).copied().filter(|_| is_written);
                if let Some((process, lease)) = lease
                    && self.strikes(Bug::ReleasesWhatIsWritten)
                {
                    bent.push(Effect::Freed { process, lease });
                }
            }
            effect => bent.push(effect),
        }
    }

    /// A file with live objects, and its place.
    fn live_file(&self) -> Option<(SpillFileId, usize)> {
        let row = self.core.spill_files().into_iter().find(|row| row.live_bytes > 0)?;
        Some((row.file, self.watched.files.get(&row.file)?.place))
    }

    /// Whether the answer is that to somebody who waited for an object to come back, and is lost.
    pub(super) fn forgets_restored(&mut self) -> bool {
        self.watched.told && self.strikes(Bug::ForgetsWhoWaitedForRestore)
    }

    pub(super) fn end_of_effects(&mut self) {
        self.watched.told = false;
    }
}
