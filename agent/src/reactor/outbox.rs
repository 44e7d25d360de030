//! Effects: how the core tells what it wants done.

use plasmon_protocol::id::{JobId, ObjectKey, ProcessId};
use plasmon_protocol::local::ToClient;
use plasmon_protocol::record::ObjectState;

use crate::spill::job::Job;

/// What the core wants done. The shell does it; a simulator records it.
pub trait Outbox {
    /// Sends a message to a client.
    fn send(&mut self, to: ProcessId, message: &ToClient<'_>);
    /// Sends a message to a client that need not be woken for it: it will look by itself, or [`Outbox::wake`] follows.
    fn send_ahead(&mut self, to: ProcessId, message: &ToClient<'_>) {
        self.send(to, message);
    }
    /// Wakes a client that sleeps.
    fn wake(&mut self, process: ProcessId) {
        let _ = process;
    }
    /// Whether a client reads what it is sent, as far as can be seen: what it has not read fits its ring. What the core sends without having
    /// been asked for right now, it sends only then; [`super::Core::on_room`] tells when there is room again.
    fn has_room(&self, to: ProcessId) -> bool {
        let _ = to;
        true
    }
    /// Writes a slot's entry: the object's state (`None`: free) and, in memory, where it is.
    fn publish(&mut self, key: ObjectKey, state: Option<ObjectState>, offset: u64, length: u64);
    /// Writes the entry of an object whose encoded value the agent keeps; a small one may stand there itself.
    fn publish_value(&mut self, key: ObjectKey, value: &[u8]) {
        self.publish(key, Some(ObjectState::Inlined), 0, value.len() as u64);
    }
    /// Tells a leaseholder that one more object in its lease is gone.
    fn freed(&mut self, process: ProcessId, lease: u32, key: ObjectKey);
    /// Sets a lease's count of gone objects to 0, before the lease is granted.
    fn reset_lease(&mut self, process: ProcessId, lease: u32);
    /// Asks a client for the leases that it does not need.
    fn recall(&mut self, process: ProcessId);
    /// Puts memory behind the pool's bytes below `end`; [`super::Core::on_backed`] tells how far it came.
    fn back(&mut self, end: u64);
    /// Tells clients that the pool's bytes below `end` have memory behind them, and whether there is none for more at this moment.
    fn backed(&mut self, end: u64, stopped: bool) {
        let _ = (end, stopped);
    }
    /// Starts a worker; it will connect as `process`. It is to see these GPUs alone, when there are any.
    fn start_worker(&mut self, process: ProcessId, job: JobId, devices: &[u32]);
    /// Workers of job `to` are started from the program that those of `of` are started from.
    fn share_program(&mut self, of: JobId, to: JobId);
    /// A job has ended: no worker is started for it any more.
    fn end_job(&mut self, job: JobId);
    /// Asks a worker's `run`th task back; [`super::Core::on_withdrawn`] tells when all that it had said by then was heard.
    fn withdraw(&mut self, worker: ProcessId, run: u64);
    /// Marks these objects as about to leave their places, and looks who reads them: leaves those that nobody does, and nobody begins to
    /// until they are published again ([`plasmon_memory::pin::begin_evict_all`]).
    fn evict(&mut self, keys: &mut Vec<ObjectKey>);
    /// Leaves those of these objects that no pin table names.
    fn unread(&self, keys: &mut Vec<ObjectKey>) {
        let _ = keys;
    }
    /// Adds whose views of what are in the pin tables at this moment, one by one.
    fn views(&mut self, into: &mut Vec<(ProcessId, ObjectKey)>) {
        let _ = into;
    }
    /// Copies an object's bytes to a place of the pool where nothing is. Nobody reads either.
    fn relocate(&mut self, from: u64, to: u64, length: u64);
    /// Has external storage do something; [`super::Core::on_io`] tells how it went.
    fn io(&mut self, job: Job);
    /// Ends a process that was told to go, or may not stay.
    fn kill(&mut self, process: ProcessId);
}
