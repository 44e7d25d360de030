//! Memory runs out: somebody has to go before the kernel ends something, and it is told who, why, and by which numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use plasmon_protocol::error::{MAX_COMMAND, MAX_PROCESSES, MemoryReport, ProcessMemory};
use plasmon_protocol::id::{ProcessId, TaskKey};
use plasmon_protocol::record::{EventKind, PressureRow, ProcessType, Severity, VictimRow};
use plasmon_protocol::size::Bytes;

use super::retries::Loss;
use super::{Activity, Core, Departure, Outbox, Process};
use crate::scheduler::pressure::Reading;
use crate::scheduler::task::{Role, Task};
use crate::scheduler::victims::{Candidate, Demand, Standing, ranking, victims};

/// How a process ended that had to go, for people.
const HOW: &str = "killed: out of memory";

/// What the out-of-memory monitor may do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OomConfig {
    /// It only tells who would have to go.
    pub dry_run: bool,
    /// How often a task is tried again whose worker had to go; `None` for as often as it takes. Tasks without any retries are not.
    pub retries: Option<u32>,
    /// The recording of the minutes before, empty when there is none.
    pub recording: String,
}

/// What the monitor knows.
#[derive(Debug, Default)]
pub(super) struct Monitor {
    reading: Option<Reading>,
    /// Workers that were told to be killed and are not gone, each with what its task's caller is told.
    condemned: BTreeMap<ProcessId, MemoryReport>,
    /// It was told already that memory is too full, and nobody had to go since.
    told: bool,
    kills: u64,
}

impl Monitor {
    /// Whether a worker has to go and is not gone: it gets no work any more.
    pub(super) fn is_condemned(&self, worker: ProcessId) -> bool {
        self.condemned.contains_key(&worker)
    }

    pub(super) fn forget(&mut self, worker: ProcessId) {
        self.condemned.remove(&worker);
    }
}

impl Core {
    /// The shell has looked at the memory. `unique`: every process that it looked at, each with the bytes that only this one has, as far
    /// as they could be read; with nothing above the threshold, nobody needs to be looked at.
    pub fn on_pressure(&mut self, reading: Reading, unique: &[(ProcessId, Option<u64>)], out: &mut impl Outbox) {
        for (id, bytes) in unique {
            if let (Some(process), Some(bytes)) = (self.process_mut(*id), bytes) {
                process.unique_bytes = Some(*bytes);
            }
        }
        let over = reading.is_over();
        let demand = Demand { total: reading.total_bytes, used: reading.used_bytes, threshold: reading.threshold_bytes };
        self.oom.reading = Some(reading);
        self.changes += 1;
        if !over {
            self.oom.told = false;
            return;
        }
        // One that was looked at is gone: its memory was still counted. And nobody else goes while a victim is still dying.
        if !self.oom.condemned.is_empty() || unique.iter().any(|(id, _)| self.process(*id).is_none()) {
            return;
        }
        let chosen = victims(&self.candidates(), &demand);
        if chosen.is_empty() || self.config.oom.dry_run {
            self.tell_pressure(&chosen);
            return;
        }
        let reports: Vec<MemoryReport> = chosen.iter().filter_map(|victim| self.memory_report(victim)).collect();
        for (victim, report) in chosen.iter().zip(reports) {
            self.condemn(victim, report, out);
        }
        self.settle(out);
    }

    /// Tells once in an episode what is not done.
    fn tell_pressure(&mut self, would: &[Candidate]) {
        if std::mem::replace(&mut self.oom.told, true) {
            return;
        }
        let Some(summary) = would.first().map_or_else(|| self.summary(), |victim| Some(self.memory_report(victim)?.summary())) else {
            return;
        };
        let who: Vec<String> = would.iter().map(|victim| self.portrait(victim)).collect();
        let what =
            if who.is_empty() { "no worker could be ended".to_owned() } else { format!("a dry run: it would be {}", who.join(", ")) };
        let pid = would.first().map(|victim| self.pid(victim.process));
        self.event(EventKind::OutOfMemory, Severity::Warning, pid, format!("out of memory: {summary}; {what}"));
    }

    fn summary(&self) -> Option<String> {
        let reading = self.oom.reading.as_ref()?;
        let report = MemoryReport {
            used: Bytes(reading.used_bytes),
            total: Bytes(reading.total_bytes),
            threshold: Bytes(reading.threshold_bytes),
            ..MemoryReport::default()
        };
        Some(report.summary())
    }

    fn condemn(&mut self, victim: &Candidate, report: MemoryReport, out: &mut impl Outbox) {
        let worker = victim.process;
        let pid = self.pid(worker);
        let message = format!("out of memory: {}; killed {}", report.summary(), self.portrait(victim));
        self.event(EventKind::OutOfMemory, Severity::Error, Some(pid), message);
        self.oom.condemned.insert(worker, report);
        self.oom.kills += 1;
        self.oom.told = false;
        // It may not be given work between now and its end.
        if let Some(job) = self.process(worker).map(|process| process.job)
            && let Some(job) = self.jobs.get_mut(&job)
        {
            job.idle.retain(|idle| *idle != worker);
        }
        out.kill(worker);
    }

    /// Who it is and why, for people.
    fn portrait(&self, victim: &Candidate) -> String {
        let Some(process) = self.process(victim.process) else { return String::new() };
        let total = self.oom.reading.as_ref().map_or(0, |reading| reading.total_bytes);
        let work = self.work_of(process).map_or_else(String::new, |work| format!(" {work}"));
        format!("worker {}{work} with {} ({})", process.pid, Bytes(victim.bytes), victim.why(total))
    }

    /// The task or the actor that a process runs.
    fn work_of(&self, process: &Process) -> Option<Arc<str>> {
        let actor = match process.activity {
            Activity::Actor(key) => self.actors.get(&key).map(|actor| Arc::clone(&actor.class)),
            _ => None,
        };
        self.task_of(process).map(|task| Arc::clone(&task.function)).or(actor)
    }

    /// Every worker that could be ended. Drivers and the agent never can.
    fn candidates(&self) -> Vec<Candidate> {
        let there = self.workers().filter(|(id, process)| process.activity != Activity::Starting && !self.oom.is_condemned(*id));
        there.map(|(id, process)| self.candidate(id, process)).collect()
    }

    fn candidate(&self, id: ProcessId, process: &Process) -> Candidate {
        let (standing, since_ms) = match process.activity {
            _ if self.dismissed.contains(&id) => (Standing::Leaving, process.since_ms),
            Activity::Busy(key) => {
                let task = self.tasks.get(&key).filter(|task| task.is_pending());
                let standing = match task {
                    Some(task) if self.may_retry_after_oom(task) => Standing::Retriable,
                    Some(_) => Standing::Lasting,
                    // It was cancelled: what the worker still does is for nobody.
                    None => Standing::Leaving,
                };
                (standing, task.map_or(process.since_ms, |task| task.started_ms.unwrap_or(self.now_ms)))
            }
            Activity::Actor(_) => (Standing::Lasting, process.since_ms),
            Activity::Leaving => (Standing::Leaving, process.since_ms),
            Activity::Free | Activity::Starting | Activity::Idle | Activity::Withdrawn => (Standing::Idle, process.since_ms),
        };
        Candidate { process: id, standing, since_ms, bytes: process.own_bytes() }
    }

    fn memory_report(&self, victim: &Candidate) -> Option<MemoryReport> {
        let reading = self.oom.reading.as_ref()?;
        let mut processes: Vec<(u64, &Process)> = self.living_processes().map(|(_, process)| (process.own_bytes(), process)).collect();
        processes.sort_by_key(|(bytes, process)| (std::cmp::Reverse(*bytes), process.pid));
        let row = |(bytes, process): &(u64, &Process)| {
            let work = self.work_of(process).map_or_else(|| process.name.to_string(), |work| work.to_string());
            let command = format!("{} {work}", process.process_type);
            let command = command[..command.floor_char_boundary(MAX_COMMAND)].to_owned();
            ProcessMemory { pid: process.pid, bytes: Bytes(*bytes), command }
        };
        Some(MemoryReport {
            used: Bytes(reading.used_bytes),
            total: Bytes(reading.total_bytes),
            threshold: Bytes(reading.threshold_bytes),
            formula: reading.formula(),
            rule: reading.limits.rule(reading.total_bytes),
            store: Bytes(self.backed),
            freed: Bytes(victim.bytes),
            why: victim.why(reading.total_bytes),
            processes: processes.iter().take(MAX_PROCESSES).map(row).collect(),
            recording: self.config.oom.recording.clone(),
        })
    }

    /// How a process went: whoever had to go did not just die.
    pub(super) fn true_departure(&self, id: ProcessId, departure: Departure) -> Departure {
        if self.oom.is_condemned(id) { Departure { how: HOW.into(), ..departure } } else { departure }
    }

    /// Whether a task whose worker has to go is tried again.
    fn may_retry_after_oom(&self, task: &Task) -> bool {
        task.role == Role::Function && task.may_retry_after_oom(self.config.oom.retries)
    }

    /// What a worker is lost to that had to go; `None` when it did not have to.
    pub(super) fn lost_to_oom(&mut self, worker: ProcessId, pid: u32, key: Option<TaskKey>) -> Option<Loss> {
        let report = self.oom.condemned.get(&worker)?.clone();
        if let Some(task) = key.and_then(|key| self.tasks.get_mut(&key)) {
            task.heap_bytes = task.heap_bytes.max(report.freed.0);
        }
        if let Some(key) = key {
            self.learn_heap(key);
        }
        Some(Loss::OutOfMemory { pid, report: Box::new(report) })
    }

    /// What people see of it.
    pub(super) fn pressure_row(&self) -> PressureRow {
        let Some(reading) = &self.oom.reading else { return PressureRow { dry_run: self.config.oom.dry_run, ..PressureRow::default() } };
        let next = ranking(&self.candidates(), reading.total_bytes).into_iter().next();
        PressureRow {
            total_bytes: reading.total_bytes,
            used_bytes: reading.used_bytes,
            threshold_bytes: if reading.limits.is_on() { reading.threshold_bytes } else { reading.total_bytes },
            source: reading.source.as_str().into(),
            file_cache_bytes: reading.file_cache_bytes,
            available_bytes: reading.available_bytes,
            stalled_percent: reading.stalled_percent,
            dry_run: self.config.oom.dry_run,
            kills: self.oom.kills,
            dying: self.oom.condemned.len() as u32,
            next_victim: next.and_then(|victim| {
                let process = self.process(victim.process)?;
                Some(VictimRow {
                    process: victim.process,
                    pid: process.pid,
                    task: self.work_of(process),
                    bytes: victim.bytes,
                    why: victim.why(reading.total_bytes),
                })
            }),
        }
    }

    /// What the monitor holds agrees with the rest.
    pub(super) fn check_oom(&self) -> Result<(), String> {
        for id in self.oom.condemned.keys() {
            let worker = self.process(*id).ok_or_else(|| format!("process {id} has to go and is gone"))?;
            if worker.process_type != ProcessType::Worker {
                return Err(format!("process {id} has to go and is no worker"));
            }
            if self.jobs.get(&worker.job).is_some_and(|job| job.idle.contains(id)) {
                return Err(format!("process {id} has to go and waits for work"));
            }
        }
        Ok(())
    }
}
