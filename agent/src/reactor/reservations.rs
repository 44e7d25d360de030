//! What the workers' tasks and actors reserve: taken when they begin, given back exactly once, however they end.

use std::sync::Arc;

use plasmon_protocol::id::ProcessId;

use super::{Activity, Core, Process};
use crate::scheduler::resources::{Part, Reserved, What};
use crate::scheduler::shape::Shape;

/// What one worker has reserved.
#[derive(Clone, Debug)]
pub(super) struct Reservation {
    pub(super) shape: Arc<Shape>,
    /// The GPUs of it.
    pub(super) devices: Arc<[u32]>,
    /// Its CPUs are given back for the moment: its task is blocked.
    pub(super) without_cpus: bool,
    /// Counted among what nobody can say the end of.
    pub(super) lasting: bool,
}

impl Reservation {
    fn what(&self) -> What {
        if self.without_cpus { What::AllButCpus } else { What::All }
    }

    fn part(&self, what: What) -> Part<'_> {
        Part { shape: &self.shape, what, devices: &self.devices }
    }
}

impl Reserved {
    /// Counts what one process has reserved.
    pub(super) fn add(&mut self, process: &Process) {
        let Some(reservation) = &process.reservation else { return };
        self.take(reservation.part(reservation.what()));
        if reservation.lasting {
            self.set_lasting(reservation.part(reservation.what()), true);
        }
    }
}

impl Core {
    /// A worker begins something that reserves so much, with the GPUs that the worker sees.
    pub(super) fn reserve(&mut self, worker: ProcessId, shape: Arc<Shape>) {
        let Some(process) = self.process_mut(worker) else { return };
        debug_assert!(process.reservation.is_none(), "a worker reserves twice");
        let devices = if shape.gpus().is_zero() { Arc::default() } else { Arc::clone(&process.devices) };
        let reservation = Reservation { shape, devices, without_cpus: false, lasting: false };
        self.resources.take(reservation.part(What::All));
        if let Some(process) = self.process_mut(worker) {
            process.reservation = Some(reservation);
        }
        self.weigh_reservation(worker);
    }

    /// A worker needs nothing of what it has reserved any more.
    pub(super) fn give_back(&mut self, worker: ProcessId) {
        let reservation = self.process_mut(worker).and_then(|process| process.reservation.take());
        self.give_back_of(reservation);
    }

    /// The same of a worker that is out of the table.
    pub(super) fn give_back_of(&mut self, reservation: Option<Reservation>) {
        let Some(reservation) = reservation else { return };
        if reservation.lasting {
            self.resources.set_lasting(reservation.part(reservation.what()), false);
        }
        self.resources.give(reservation.part(reservation.what()));
        self.dispatch_wanted = true;
    }

    /// A worker's task blocks, or goes on: its CPUs go to others meanwhile, and come back even if none is free.
    pub(super) fn lend_cpus(&mut self, worker: ProcessId, blocked: bool) {
        self.unweigh_reservation(worker);
        if let Some(mut reservation) = self.process_mut(worker).and_then(|process| process.reservation.take()) {
            if reservation.without_cpus != blocked {
                let cpus = reservation.part(What::Cpus);
                if blocked {
                    self.resources.give(cpus)
                } else {
                    self.resources.take(cpus)
                }
                reservation.without_cpus = blocked;
            }
            if let Some(process) = self.process_mut(worker) {
                process.reservation = Some(reservation);
            }
        }
        self.weigh_reservation(worker);
        self.dispatch_wanted |= blocked;
    }

    /// A worker stands still from here on, or goes on.
    pub(super) fn reweigh_reservation(&mut self, worker: ProcessId) {
        self.unweigh_reservation(worker);
        self.weigh_reservation(worker);
    }

    /// Counts what a worker has reserved as lasting where nobody can say when it ends: actors, tasks that are blocked, and processes that
    /// stand still.
    fn weigh_reservation(&mut self, worker: ProcessId) {
        let Some(process) = self.processes.get_mut(worker) else { return };
        let lasts = process.blocked || process.stopped || matches!(process.activity, Activity::Actor(_));
        let Some(reservation) = process.reservation.as_mut().filter(|reservation| lasts && !reservation.lasting) else { return };
        reservation.lasting = true;
        self.resources.set_lasting(reservation.part(reservation.what()), true);
    }

    fn unweigh_reservation(&mut self, worker: ProcessId) {
        let Some(process) = self.processes.get_mut(worker) else { return };
        let Some(reservation) = process.reservation.as_mut().filter(|reservation| reservation.lasting) else { return };
        reservation.lasting = false;
        self.resources.set_lasting(reservation.part(reservation.what()), false);
    }
}
