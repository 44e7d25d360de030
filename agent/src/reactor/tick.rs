//! What time brings.

use plasmon_protocol::id::ProcessId;
use plasmon_protocol::record::{EventKind, Severity};

use super::{Core, Machine, Outbox, Usage};

impl Core {
    /// Sets the clock: milliseconds since the Unix epoch. It never goes back.
    pub fn set_now(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
    }

    /// Time has passed.
    pub fn on_tick(&mut self, now_ms: u64, out: &mut impl Outbox) {
        self.set_now(now_ms);
        if self.post_mortems.expire(self.now_ms) {
            self.changes += 1;
        }
        if self.next_work_ms().is_some_and(|at_ms| at_ms <= self.now_ms) {
            self.tick_timers(out);
            self.tick_windows(out);
            self.tick_fetches();
            // What nobody holds any more is not to be moved.
            self.drain_doomed(out);
            self.tick_spilling(out);
            self.expire_creates(out);
            self.tidy(out);
            self.settle(out);
        }
    }

    /// When [`Core::on_tick`] should be called at the latest, milliseconds since the Unix epoch; `None` when nothing waits.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        self.next_work_ms().into_iter().chain(self.post_mortems.next_deadline()).min()
    }

    /// When somebody's wait is over, or something is to be tried again.
    fn next_work_ms(&self) -> Option<u64> {
        let timer_ms = self.timers.first().map(|(at_ms, _)| *at_ms);
        [
            self.next_create_deadline(),
            self.next_spill_ms(),
            self.next_tidy_ms(),
            self.linger_ms,
            self.next_look_ms(),
            timer_ms,
            self.next_fetch_ms(),
            self.window_look_ms,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The shell has sampled the machine and the processes; sites are sampled with it.
    pub fn on_sample(&mut self, machine: Machine, usages: impl IntoIterator<Item = (ProcessId, Usage)>) {
        self.machine = machine;
        for (id, usage) in usages {
            let Some(process) = self.processes.quiet_mut(id) else { continue };
            // Read seldom, and stale by now.
            process.unique_bytes = None;
            if std::mem::replace(&mut process.usage, usage) != usage {
                self.processes.mark(id);
            }
            self.notice_heap(id, usage.heap_bytes());
        }
        self.sites.sample(self.now_ms);
        self.look_for_deadlocks();
        self.changes += 1;
    }

    /// What clients record of call sites was switched: `on`, `off`.
    pub fn on_sites_switched(&mut self, state: &str) {
        self.event(EventKind::Notice, Severity::Info, None, format!("recording of call sites switched {state}"));
    }

    /// Something that the user should know, once.
    pub fn on_warning(&mut self, message: &str) {
        self.event(EventKind::Notice, Severity::Warning, None, message.to_owned());
    }

    /// Processes with their ids in the operating system, to be sampled.
    pub fn pids(&self) -> impl Iterator<Item = (ProcessId, u32)> {
        self.processes.iter().map(|(id, process)| (id, process.pid)).filter(|(_, pid)| *pid != 0)
    }
}
