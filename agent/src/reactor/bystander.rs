//! An outbox of one who hears what the core wants done, and does nothing of it: for measurements and tests, which say only what they
//! look at.

use plasmon_protocol::id::{JobId, ObjectKey, ProcessId};
use plasmon_protocol::local::ToClient;
use plasmon_protocol::record::ObjectState;

use super::Outbox;
use crate::spill::job::Job;

/// See the module and [`Outbox`].
#[expect(unused_variables, reason = "names for whoever hears")]
pub trait Bystander {
    /// A message was sent.
    fn send(&mut self, to: ProcessId, message: &ToClient<'_>) {}
    /// An object has its place in the pool.
    fn publish(&mut self, offset: u64, length: u64) {}
    /// An object of that lease is gone.
    fn freed(&mut self, process: ProcessId, lease: u32) {}
    /// Memory is wanted behind the pool's bytes below `end`.
    fn back(&mut self, end: u64) {}
    /// A worker is wanted.
    fn start_worker(&mut self, process: ProcessId) {}
    /// External storage is to do something.
    fn io(&mut self, job: Job) {}
    /// A process is to end.
    fn kill(&mut self, process: ProcessId) {}
}

impl<T: Bystander> Outbox for T {
    fn send(&mut self, to: ProcessId, message: &ToClient<'_>) {
        Bystander::send(self, to, message);
    }

    fn publish(&mut self, _: ObjectKey, _: Option<ObjectState>, offset: u64, length: u64) {
        Bystander::publish(self, offset, length);
    }

    fn freed(&mut self, process: ProcessId, lease: u32, _: ObjectKey) {
        Bystander::freed(self, process, lease);
    }

    fn reset_lease(&mut self, _: ProcessId, _: u32) {}

    fn recall(&mut self, _: ProcessId) {}

    fn back(&mut self, end: u64) {
        Bystander::back(self, end);
    }

    fn start_worker(&mut self, process: ProcessId, _: JobId, _: &[u32]) {
        Bystander::start_worker(self, process);
    }

    fn share_program(&mut self, _: JobId, _: JobId) {}

    fn end_job(&mut self, _: JobId) {}

    fn withdraw(&mut self, _: ProcessId, _: u64) {}

    fn evict(&mut self, _: &mut Vec<ObjectKey>) {}

    fn relocate(&mut self, _: u64, _: u64, _: u64) {}

    fn io(&mut self, job: Job) {
        Bystander::io(self, job);
    }

    fn kill(&mut self, process: ProcessId) {
        Bystander::kill(self, process);
    }
}
