//! The core as it is, or with one planted bug: something between the core and its surroundings is lost, doubled, swapped or
//! bent, as a mistake in the core or in its shell would do it. The simulator must notice each.

mod io;
mod pressure;
mod tries;

use std::borrow::Cow;
use std::collections::BTreeMap;

use plasmon_agent::reactor::{Core, Violation};
use plasmon_agent::telemetry::tables::Tables;
use plasmon_protocol::error::Error;
use plasmon_protocol::id::{ObjectKey, ProcessId, TaskKey};
use plasmon_protocol::local::{ENDLESS, Ending, Outcome, RetryExceptions, ToAgent, ToClient, Work, decode_to_agent, encode};
use plasmon_protocol::record::{ActorStatus, ObjectState};

use super::effects::{Effect, Recorder};
use super::random::Random;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bug {
    LosesDropLocal,
    DoublesAddPin,
    SwapsTwoMessages,
    ForgetsStage,
    TakesWrongKey,
    MisplacesObject,
    LosesOutput,
    IgnoresBlocked,
    ForgetsTailOfTheDead,
    KeepsWhatTheDeadHeld,
    BelievesTooMuchIsBacked,
    SkipsPublish,
    PublishesAfterAnswer,
    LosesFreed,
    ForgetsLeaseReset,
    LosesAnswer,
    DoublesAnswer,
    AnswersWithWrongOutcome,
    GrantsRangeTwice,
    RunsTaskTwice,
    SparesWorkersOfEndedJob,
    SendsCallsOutOfOrder,
    ReleasesCalledHandle,
    ForgetsDetachment,
    EndsDetachedWithDriver,
    KeepsNameOfTheDead,
    SwallowsCallsOfTheDead,
    RunsTooManyCalls,
    KeepsCpuOfConstructor,
    ForgetsEndOfJob,
    ForgetsProgramOfJob,
    SparesUnreferencedActors,
    KillsAnotherActor,
    LosesEndOfConstructor,
    RunsMethodAsTask,
    FindsWithoutCounting,
    EvictsWhatIsRead,
    ReleasesBeforeWritten,
    PublishesOldPlace,
    KeepsDeadFile,
    RemovesLiveFile,
    WritesWrittenAgain,
    WritesTwice,
    TakesFailedForWritten,
    ReleasesWhatIsWritten,
    ForgetsPinOfCancelled,
    ForgetsProgress,
    RenewsGraceForEver,
    MovesFreedRecord,
    OverlooksDamage,
    BelievesDamaged,
    LosesRead,
    ForgetsWhoWaitedForRestore,
    TakesReadForFailed,
    ReadsToWrongPlace,
    WritesFromWrongPlace,
    LosesDeleted,
    HidesEviction,
    PinsForWait,
    EndsDrivers,
    SparesVictims,
    EndsMoreWhileVictimsDie,
    HidesWantOfMemory,
    GivesVictimsWork,
    ForgetsRetries,
    CountsEndlessDown,
    RetriesErrorsUnasked,
    ForgetsTimeout,
    ForgetsRestarts,
    ForgetsCallRetries,
    RestartsWhatIsKilled,
    ForgetsCancel,
    ForgetsParent,
    CancelsByForce,
    SwallowsWordOfCancel,
    HurriesRetries,
    TakesDeathForExit,
    SwapsCallsAfterRestart,
    RetriesCancelled,
    GivesBackTwice,
    SettlesWithdrawalsEarly,
    ForgetsToAskBack,
    LosesWordOfWithdrawal,
    OverlooksViews,
    LosesWordOfViews,
    KeepsViewsForEver,
}

impl Bug {
    pub(crate) const ALL: [Self; 86] = [
        Self::LosesDropLocal,
        Self::DoublesAddPin,
        Self::SwapsTwoMessages,
        Self::ForgetsStage,
        Self::TakesWrongKey,
        Self::MisplacesObject,
        Self::LosesOutput,
        Self::IgnoresBlocked,
        Self::ForgetsTailOfTheDead,
        Self::KeepsWhatTheDeadHeld,
        Self::BelievesTooMuchIsBacked,
        Self::SkipsPublish,
        Self::PublishesAfterAnswer,
        Self::LosesFreed,
        Self::ForgetsLeaseReset,
        Self::LosesAnswer,
        Self::DoublesAnswer,
        Self::AnswersWithWrongOutcome,
        Self::GrantsRangeTwice,
        Self::RunsTaskTwice,
        Self::SparesWorkersOfEndedJob,
        Self::SendsCallsOutOfOrder,
        Self::ReleasesCalledHandle,
        Self::ForgetsDetachment,
        Self::EndsDetachedWithDriver,
        Self::KeepsNameOfTheDead,
        Self::SwallowsCallsOfTheDead,
        Self::RunsTooManyCalls,
        Self::KeepsCpuOfConstructor,
        Self::ForgetsEndOfJob,
        Self::ForgetsProgramOfJob,
        Self::SparesUnreferencedActors,
        Self::KillsAnotherActor,
        Self::LosesEndOfConstructor,
        Self::RunsMethodAsTask,
        Self::FindsWithoutCounting,
        Self::EvictsWhatIsRead,
        Self::ReleasesBeforeWritten,
        Self::PublishesOldPlace,
        Self::KeepsDeadFile,
        Self::RemovesLiveFile,
        Self::WritesWrittenAgain,
        Self::WritesTwice,
        Self::TakesFailedForWritten,
        Self::ReleasesWhatIsWritten,
        Self::ForgetsPinOfCancelled,
        Self::ForgetsProgress,
        Self::RenewsGraceForEver,
        Self::MovesFreedRecord,
        Self::OverlooksDamage,
        Self::BelievesDamaged,
        Self::LosesRead,
        Self::ForgetsWhoWaitedForRestore,
        Self::TakesReadForFailed,
        Self::ReadsToWrongPlace,
        Self::WritesFromWrongPlace,
        Self::LosesDeleted,
        Self::HidesEviction,
        Self::PinsForWait,
        Self::EndsDrivers,
        Self::SparesVictims,
        Self::EndsMoreWhileVictimsDie,
        Self::HidesWantOfMemory,
        Self::GivesVictimsWork,
        Self::ForgetsRetries,
        Self::CountsEndlessDown,
        Self::RetriesErrorsUnasked,
        Self::ForgetsTimeout,
        Self::ForgetsRestarts,
        Self::ForgetsCallRetries,
        Self::RestartsWhatIsKilled,
        Self::ForgetsCancel,
        Self::ForgetsParent,
        Self::CancelsByForce,
        Self::SwallowsWordOfCancel,
        Self::HurriesRetries,
        Self::TakesDeathForExit,
        Self::SwapsCallsAfterRestart,
        Self::RetriesCancelled,
        Self::GivesBackTwice,
        Self::SettlesWithdrawalsEarly,
        Self::ForgetsToAskBack,
        Self::LosesWordOfWithdrawal,
        Self::OverlooksViews,
        Self::LosesWordOfViews,
        Self::KeepsViewsForEver,
    ];
}

/// The core, reached only through what may be bent.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) core: Core,
    bug: Option<Bug>,
    /// Its own chance, so that a bug does not change what the programs do until it strikes.
    random: Random,
    last_key: Option<ObjectKey>,
    last_range: Option<u64>,
    /// A call that is kept back until another is sent.
    kept_back: Option<Effect>,
    /// Actors by the names that they were given, and who created detached ones.
    named: BTreeMap<String, ObjectKey>,
    detached: Vec<(ProcessId, ObjectKey)>,
    watched: io::Watched,
    /// Who was killed for want of memory.
    dying: Vec<ProcessId>,
    /// What workers were sent to run.
    runs: BTreeMap<TaskKey, Effect>,
}

impl Subject {
    pub(crate) fn new(core: Core, bug: Option<Bug>, seed: u64) -> Self {
        Self {
            core,
            bug,
            random: Random::new(!seed),
            last_key: None,
            last_range: None,
            kept_back: None,
            named: BTreeMap::new(),
            detached: Vec::new(),
            watched: io::Watched::default(),
            dying: Vec::new(),
            runs: BTreeMap::new(),
        }
    }

    /// Whether the bug strikes, now that it could.
    pub(crate) fn strikes(&mut self, bug: Bug) -> bool {
        self.bug == Some(bug) && self.random.chance(30)
    }

    /// Delivers a batch; also tells how many of its messages were looked at. `last`: nothing of this client follows.
    pub(crate) fn on_messages(
        &mut self,
        from: ProcessId,
        batch: &[Vec<u8>],
        last: bool,
        out: &mut Recorder,
    ) -> (Result<(), Violation>, usize) {
        if last && self.bug == Some(Bug::ForgetsTailOfTheDead) {
            return (Ok(()), batch.len());
        }
        let ended = self.ended_in(batch);
        let batch = self.bend(from, batch);
        let mut read = 0;
        let messages = batch.iter().map(|bytes| {
            read += 1;
            decode_to_agent("a client", bytes).map_err(|error| Violation(error.to_string()))
        });
        let result = self.core.on_messages(from, messages, out);
        self.bend_ends(from, ended, out);
        (result, read)
    }

    pub(crate) fn on_process_lost(&mut self, process: ProcessId, out: &mut Recorder) {
        let theirs: Vec<ObjectKey> = self.detached.iter().filter(|(creator, _)| *creator == process).map(|(_, actor)| *actor).collect();
        for actor in theirs {
            if self.strikes(Bug::EndsDetachedWithDriver) {
                drop(self.core.on_messages(process, [Ok(ToAgent::KillActor { actor, no_restart: true, site: 0 })], out));
            }
        }
        if self.strikes(Bug::TakesDeathForExit) {
            drop(self.core.on_messages(process, [Ok(ToAgent::Bye)], out));
        }
        if !self.strikes(Bug::KeepsWhatTheDeadHeld) {
            self.core.on_process_lost(process, "killed", out);
        }
    }

    pub(crate) fn on_backed(&mut self, end: u64, out: &mut Recorder) {
        let end = if self.strikes(Bug::BelievesTooMuchIsBacked) { u64::MAX } else { end };
        self.core.on_backed(end, out);
    }

    fn bend<'a>(&mut self, from: ProcessId, batch: &'a [Vec<u8>]) -> Cow<'a, [Vec<u8>]> {
        if self.bug.is_none() {
            return Cow::Borrowed(batch);
        }
        let mut bent = Vec::new();
        for bytes in batch {
            let Ok(message) = decode_to_agent("a client", bytes) else {
                bent.push(bytes.clone());
                continue;
            };
            match message {
                ToAgent::DropLocal { .. } if self.strikes(Bug::LosesDropLocal) => {}
                ToAgent::KeepViews { .. } if self.strikes(Bug::LosesWordOfViews) => {}
                ToAgent::DropViews { .. } if self.strikes(Bug::KeepsViewsForEver) => {}
                ToAgent::AddPin { .. } if self.strikes(Bug::DoublesAddPin) => bent.extend([bytes.clone(), bytes.clone()]),
                ToAgent::Stage { references } if !references.is_empty() && self.strikes(Bug::ForgetsStage) => {}
                ToAgent::Output { .. } if self.strikes(Bug::LosesOutput) => {}
                ToAgent::Blocked | ToAgent::Unblocked if self.strikes(Bug::IgnoresBlocked) => {}
                ToAgent::Put { key, memory, .. } if self.watched.leases.insert(key, (from, memory.lease)).is_some() => {
                    bent.push(bytes.clone())
                }
                ToAgent::Wait { request, key } if self.strikes(Bug::PinsForWait) => {
                    bent.push(encode(&ToAgent::Get { request, key, site: 0 }).expect("it is a message"));
                }
                ToAgent::Cancel { request } => {
                    bent.push(bytes.clone());
                    if let Some(key) = self.watched.answered.remove(&(from, request))
                        && self.strikes(Bug::ForgetsPinOfCancelled)
                    {
                        bent.push(encode(&ToAgent::DropPin { key }).expect("it is a message"));
                    }
                }
                ToAgent::Put { key, memory, site, hidden } if self.strikes(Bug::MisplacesObject) => {
                    let memory = plasmon_protocol::local::Memory { offset: memory.offset + 64, ..memory };
                    bent.push(encode(&ToAgent::Put { key, memory, site, hidden }).expect("it was decoded before"));
                }
                ToAgent::Submit { number, function, arguments, returns, mut options, site } => {
                    if options.max_retries > 0 && self.strikes(Bug::ForgetsRetries) {
                        options.max_retries = 0;
                    }
                    if options.max_retries == ENDLESS && self.strikes(Bug::CountsEndlessDown) {
                        options.max_retries -= 1;
                    }
                    if options.retry_exceptions == RetryExceptions::Never && self.strikes(Bug::RetriesErrorsUnasked) {
                        options.retry_exceptions = RetryExceptions::Always;
                    }
                    if self.strikes(Bug::ForgetsTimeout) {
                        options.timeout_ms = 0;
                    }
                    let message = ToAgent::Submit { number, function, arguments, returns, options, site };
                    bent.push(encode(&message).expect("it was decoded before"));
                }
                ToAgent::CancelTask { .. } if self.strikes(Bug::ForgetsCancel) => {}
                ToAgent::Submits { .. } if self.strikes(Bug::ForgetsParent) => {}
                ToAgent::CancelTask { key, force: false, site } if self.strikes(Bug::CancelsByForce) => {
                    bent.push(encode(&ToAgent::CancelTask { key, force: true, site }).expect("it was decoded before"));
                }
                ToAgent::KillActor { actor, no_restart: true, site } if self.strikes(Bug::RestartsWhatIsKilled) => {
                    bent.push(encode(&ToAgent::KillActor { actor, no_restart: false, site }).expect("it was decoded before"));
                }
                ToAgent::CreateActor { number, request, actor, function, arguments, mut options, site } => {
                    if self.strikes(Bug::ForgetsRestarts) {
                        options.max_restarts = 0;
                    }
                    if self.strikes(Bug::ForgetsCallRetries) {
                        options.max_task_retries = 0;
                    }
                    self.named.insert(options.name.to_owned(), actor);
                    if options.detached {
                        self.detached.push((from, actor));
                    }
                    if self.strikes(Bug::ForgetsDetachment) {
                        options.detached = false;
                    }
                    if self.strikes(Bug::RunsTooManyCalls) {
                        options.max_concurrency += 1;
                    }
                    if self.strikes(Bug::KeepsCpuOfConstructor) {
                        options.held = options.placed.clone();
                    }
                    let message = ToAgent::CreateActor { number, request, actor, function, arguments, options, site };
                    bent.push(encode(&message).expect("it was decoded before"));
                }
                ToAgent::Call { actor, .. } if self.is_dead(actor) && self.strikes(Bug::SwallowsCallsOfTheDead) => {}
                ToAgent::Call { actor, .. } => {
                    bent.push(bytes.clone());
                    if self.strikes(Bug::ReleasesCalledHandle) {
                        bent.push(encode(&ToAgent::DropLocal { key: actor }).expect("it is a message"));
                    }
                }
                ToAgent::KillActor { actor, no_restart, site } if self.strikes(Bug::KillsAnotherActor) => {
                    let other = self.named.values().find(|other| **other != actor).copied().unwrap_or(actor);
                    bent.push(encode(&ToAgent::KillActor { actor: other, no_restart, site }).expect("it was decoded before"));
                }
                ToAgent::FindActor { name, .. } => {
                    bent.push(bytes.clone());
                    if let Some(key) = self.named.get(name).copied().filter(|key| !self.is_dead(*key))
                        && self.strikes(Bug::FindsWithoutCounting)
                    {
                        bent.push(encode(&ToAgent::DropLocal { key }).expect("it is a message"));
                    }
                }
                ToAgent::Ended { task, ending: Ending::Finished } if self.constructs(task) && self.strikes(Bug::LosesEndOfConstructor) => {}
                ToAgent::AddLocal { key, site } => {
                    let other = self.last_key.replace(key).filter(|other| *other != key);
                    let key = other.filter(|_| self.strikes(Bug::TakesWrongKey)).unwrap_or(key);
                    bent.push(encode(&ToAgent::AddLocal { key, site }).expect("it was decoded before"));
                }
                _ => bent.push(bytes.clone()),
            }
            if let [.., before, last] = bent.as_mut_slice()
                && before != last
                && self.strikes(Bug::SwapsTwoMessages)
            {
                std::mem::swap(before, last);
            }
        }
        Cow::Owned(bent)
    }

    fn is_dead(&self, actor: ObjectKey) -> bool {
        let row = self.core.actors().into_iter().find(|row| row.actor_id.key() == actor);
        row.is_none_or(|row| row.status == ActorStatus::Dead)
    }

    fn constructs(&self, task: TaskKey) -> bool {
        let row = self.core.tasks().into_iter().find(|row| row.task_id.key() == task);
        row.is_some_and(|row| row.actor.is_some() && row.name.ends_with("::new"))
    }

    /// What the core wanted done, as the bug lets it happen.
    pub(crate) fn effects(&mut self, mut effects: Vec<Effect>) -> Vec<Effect> {
        if self.bug.is_none() {
            return effects;
        }
        self.bend_runs(&mut effects);
        let mut bent: Vec<Effect> = Vec::new();
        for effect in effects {
            let effect = self.bend_memory(&effect).unwrap_or(effect);
            match (&effect, effect.message()) {
                (Effect::Publish { .. }, _) if self.strikes(Bug::SkipsPublish) => {}
                (Effect::Freed { .. }, _) if self.strikes(Bug::LosesFreed) => {}
                (Effect::Withdraw { .. }, _) if self.strikes(Bug::ForgetsToAskBack) => {}
                (Effect::Withdraw { from, .. }, _) if self.strikes(Bug::LosesWordOfWithdrawal) => {
                    bent.push(Effect::Withdraw { from: *from, run: 0 });
                }
                (Effect::Reset { .. }, _) if self.strikes(Bug::ForgetsLeaseReset) => {}
                (_, Some(ToClient::Cancel { .. })) if self.strikes(Bug::SwallowsWordOfCancel) => {}
                (Effect::Kill(_), _) if self.strikes(Bug::SparesWorkersOfEndedJob) => {}
                (Effect::EndJob(_), _) if self.strikes(Bug::ForgetsEndOfJob) => {}
                (Effect::ShareProgram { .. }, _) if self.strikes(Bug::ForgetsProgramOfJob) => {}
                (_, Some(ToClient::Exit)) if self.strikes(Bug::SparesUnreferencedActors) => {}
                (Effect::Send(to, _), Some(ToClient::Run { task, work: Work::Method, function, arguments, returns }))
                    if self.strikes(Bug::RunsMethodAsTask) =>
                {
                    let message = ToClient::Run { task, work: Work::Task, function, arguments, returns };
                    bent.push(Effect::Send(*to, encode(&message).expect("it was decoded before")));
                }
                (Effect::Send(..), Some(ToClient::Run { work: Work::Method, .. }))
                    if self.kept_back.is_none() && self.strikes(Bug::SendsCallsOutOfOrder) =>
                {
                    self.kept_back = Some(effect);
                }
                (Effect::Send(..), Some(ToClient::Run { work: Work::Method, .. })) => {
                    bent.push(effect);
                    bent.extend(self.kept_back.take());
                }
                (Effect::Send(to, _), Some(ToClient::Refused { request, error: Error::NoActor { name } })) => {
                    let before = self.named.get(&name).copied().filter(|_| self.strikes(Bug::KeepsNameOfTheDead));
                    let message = before.map(|actor| ToClient::Found { request, actor, class: "app::Counter" });
                    let bytes = message.map(|message| encode(&message).expect("it is a message"));
                    bent.push(bytes.map_or_else(|| effect.clone(), |bytes| Effect::Send(*to, bytes)));
                }
                (Effect::Send(..), Some(ToClient::Resolved { outcome: Outcome::Pinned(_), .. })) if self.forgets_restored() => {}
                (_, Some(ToClient::Resolved { .. })) if self.strikes(Bug::LosesAnswer) => {}
                (_, Some(ToClient::Resolved { .. })) if self.strikes(Bug::DoublesAnswer) => bent.extend([effect.clone(), effect]),
                (_, Some(ToClient::Run { .. })) if self.strikes(Bug::RunsTaskTwice) => bent.extend([effect.clone(), effect]),
                (Effect::Send(to, _), Some(ToClient::Resolved { request, outcome: Outcome::Pinned(key) })) => {
                    self.watched.answered.insert((*to, request), key);
                    let published =
                        bent.iter().position(|before| matches!(before, Effect::Publish { state: Some(ObjectState::InMemory), .. }));
                    if self.strikes(Bug::AnswersWithWrongOutcome) {
                        let message = ToClient::Resolved { request, outcome: Outcome::Inline(b"what?") };
                        bent.push(Effect::Send(*to, encode(&message).expect("it was decoded before")));
                        continue;
                    }
                    let late = published.filter(|_| self.strikes(Bug::PublishesAfterAnswer)).map(|index| bent.remove(index));
                    bent.push(effect);
                    bent.extend(late);
                }
                (Effect::Send(to, _), Some(ToClient::Leased { request, lease, offset, length })) => {
                    let other = self.last_range.replace(offset).filter(|other| *other != offset);
                    let offset = other.filter(|_| self.strikes(Bug::GrantsRangeTwice)).unwrap_or(offset);
                    let message = ToClient::Leased { request, lease, offset, length };
                    bent.push(Effect::Send(*to, encode(&message).expect("it was decoded before")));
                }
                _ => self.bend_storage(effect, &mut bent),
            }
        }
        self.end_of_effects();
        bent
    }
}
