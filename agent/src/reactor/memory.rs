//! Leases are asked for, backed, granted and recalled.

use plasmon_protocol::error::Error;
use plasmon_protocol::id::{ObjectKey, ProcessId, SiteId};
use plasmon_protocol::local::{MAX_LEASES, ToClient};
use plasmon_protocol::record::{EventKind, Severity, SpillCause};
use plasmon_protocol::size::Bytes;

use super::{Core, Outbox, Violation};
use crate::store::lease::{Lease, LeaseIndex};

/// How long a create waits for room before it is refused, milliseconds (Ray's `oom_grace_period`).
pub const CREATE_GRACE_MS: u64 = 2000;
/// How long it waits without a sign of life while a file is being written, and no write has failed: a disk that many use may take seconds
/// for one write or sync, and makes room in the end.
pub const WRITE_GRACE_MS: u64 = 10_000;
/// Creates of one process that may wait for room at once: each is a thread of the process's that waits.
const MAX_CREATES: usize = 1 << 14;
/// The part of the store that is kept for objects that come back.
const KEPT: u64 = 8;
/// How far ahead of need the pool is backed, bytes.
const AHEAD: u64 = 64 << 20;

/// What memory is wanted for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Want {
    /// A client writes objects there.
    Lease {
        /// Its number for the request.
        request: u32,
        /// Many small objects, not one alone.
        chunk: bool,
        /// It writes behind the backing, and need not wait for all of it.
        ahead: bool,
    },
    /// An object comes back from external storage.
    Restore(ObjectKey),
}

/// Someone who wants memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Create {
    pub(super) process: ProcessId,
    pub(super) bytes: u64,
    pub(super) site: SiteId,
    pub(super) want: Want,
    pub(super) since_ms: u64,
    /// An event has told of its wait.
    told: bool,
    /// Set once the range is found and only memory behind it is missing.
    lease: Option<(LeaseIndex, u32)>,
}

impl Create {
    pub(super) fn new(process: ProcessId, bytes: u64, site: SiteId, want: Want, now_ms: u64) -> Self {
        Self { process, bytes, site, want, since_ms: now_ms, told: false, lease: None }
    }

    /// Why something is spilled for it.
    pub(super) fn spill_cause(&self) -> SpillCause {
        match self.want {
            Want::Lease { .. } => SpillCause::Create,
            Want::Restore(_) => SpillCause::Restore,
        }
    }
}

impl Core {
    pub(super) fn on_lease(&mut self, from: ProcessId, bytes: u64, want: Want, site: u32, out: &mut impl Outbox) -> Result<(), Violation> {
        let site = self.site_from(from, site);
        let create = Create::new(from, bytes, site, want, self.now_ms);
        if bytes > self.store.capacity() {
            self.refuse(create, out);
        } else if self.waits_too_often(from) {
            return Err(Violation(format!("{MAX_CREATES} creates that wait for room at once")));
        } else if !self.creates.is_empty() || !self.try_grant(create, out) {
            self.queue_create(create);
            if !self.spill.config.is_on() {
                self.tell_of_wait();
                self.recall(out);
            }
        }
        Ok(())
    }

    /// Lets a create, or an object that is wanted back, wait for its turn.
    pub(super) fn queue_create(&mut self, create: Create) {
        self.creates.push_back(create);
        self.spill.look = true;
    }

    /// Says that a create waits, once for each.
    pub(super) fn tell_of_wait(&mut self) {
        let Some(create) = self.creates.iter_mut().rev().take_while(|create| !create.told).last() else { return };
        create.told = true;
        let create = *create;
        if let Want::Lease { .. } = create.want {
            let site = self.sites.get(create.site).short();
            let message = format!("create of {} at {site} waits for room", Bytes(create.bytes));
            // Where objects are being spilled it is the daily way to room.
            let spills = self.spill.config.is_on() && self.spill.trouble.is_none();
            let severity = if spills { Severity::Info } else { Severity::Warning };
            self.event(EventKind::CreateQueued, severity, Some(self.pid(create.process)), message);
        }
    }

    fn waits_too_often(&self, process: ProcessId) -> bool {
        // Nearly always nobody waits.
        self.creates.len() + self.unbacked.len() >= MAX_CREATES
            && self
                .creates
                .iter()
                .chain(&self.unbacked)
                .filter(|create| create.process == process && matches!(create.want, Want::Lease { .. }))
                .count()
                >= MAX_CREATES
    }

    pub(super) fn on_return(&mut self, from: ProcessId, number: u32, out: &mut impl Outbox) -> Result<(), Violation> {
        let lease = self.lease_of(from, number)?;
        if let Err(live) = self.store.return_lease(lease) {
            return Err(Violation(format!("return of lease {number} with {live} live objects in it")));
        }
        self.forget_lease(from, number);
        // Together with idle leases it may be room for whoever waits first.
        self.spill.look |= !self.creates.is_empty();
        self.serve_creates(out);
        Ok(())
    }

    pub(super) fn on_slots(&mut self, from: ProcessId, request: u32, out: &mut impl Outbox) {
        match self.slots.lend(from) {
            Ok(first) => {
                self.objects.grow(first + plasmon_protocol::local::SLOT_BLOCK);
                out.send(from, &ToClient::Slots { request, first });
            }
            Err(own) => {
                let cause =
                    format!("this process has names for {own} objects of {}, and as many must be left for others", self.config.slots);
                let error = Error::system("name another object", cause);
                out.send(from, &ToClient::Refused { request, error });
            }
        }
    }

    /// The pool's bytes below `end` have memory behind them.
    pub fn on_backed(&mut self, end: u64, out: &mut impl Outbox) {
        self.backed = self.backed.max(end.min(self.store.capacity()));
        out.backed(self.backed, false);
        // Where nothing can leave, the lowest place leaves the longest range.
        self.store.place_large_high(self.spill.config.is_on() && self.backed >= self.store.capacity());
        self.grant_backed(out);
        self.settle(out);
    }

    /// The machine had no memory for more than the bytes below `end`.
    pub fn on_backing_failed(&mut self, end: u64, cause: &str, out: &mut impl Outbox) {
        self.backed = self.backed.max(end.min(self.store.capacity()));
        self.backing = self.backed;
        out.backed(self.backed, true);
        self.grant_backed(out);
        if !self.backing_failed {
            self.backing_failed = true;
            self.event(
                EventKind::Notice,
                Severity::Error,
                None,
                format!("no memory behind the pool beyond {}: {cause}", Bytes(self.backed)),
            );
        }
        for create in std::mem::take(&mut self.unbacked) {
            if let Some((lease, number)) = create.lease {
                self.take_back(create.process, lease, number);
            }
            let error = Error::system(format!("back {} of shared memory", Bytes(create.bytes)), cause);
            self.say_no(create, error, out);
        }
        self.serve_creates(out);
        self.settle(out);
    }

    /// The lease that a process calls `number`. One that still waits for memory behind it is not the process's to use.
    pub(super) fn lease_of(&self, process: ProcessId, number: u32) -> Result<LeaseIndex, Violation> {
        let lease = self.process(process).and_then(|process| process.lease(number));
        let waits = |lease: &LeaseIndex| self.unbacked.iter().any(|create| create.lease.is_some_and(|(unbacked, _)| unbacked == *lease));
        lease.filter(|lease| !waits(lease)).ok_or_else(|| Violation(format!("word of lease {number} which it does not hold")))
    }

    /// Grants what waited only for memory.
    fn grant_backed(&mut self, out: &mut impl Outbox) {
        let waiting = std::mem::take(&mut self.unbacked);
        for create in waiting {
            match create.want {
                Want::Lease { .. } => self.finish_grant(create, out),
                Want::Restore(key) => self.finish_restore(create, key, out),
            }
        }
    }

    /// Finds a range and grants it, now or when it is backed. False when there is no room.
    fn try_grant(&mut self, create: Create, out: &mut impl Outbox) -> bool {
        let Create { process: from, bytes, .. } = create;
        let (request, chunk) = match create.want {
            Want::Lease { request, chunk, .. } => (request, chunk),
            Want::Restore(key) => return self.try_restore(create, key, out),
        };
        let wanted = if chunk { self.store.chunk_for(bytes) } else { bytes };
        if self.is_kept_for_restores(bytes) {
            return false;
        }
        let Some(process) = self.process(from) else { return true };
        let number = process.vacant_leases.last().copied().unwrap_or(process.leases.len() as u32);
        if number as usize >= MAX_LEASES {
            // Its own limit is nobody else's wait.
            let error = Error::system(
                format!("lease {} of the object store", Bytes(bytes)),
                format!("this process holds {MAX_LEASES} leases already"),
            );
            out.send(from, &ToClient::Refused { request, error });
            return true;
        }
        let lease = self.store.grant(wanted, chunk, (from, number)).or_else(|| {
            // A smaller chunk serves as well when the fair one does not fit.
            (chunk && wanted > bytes).then(|| self.store.grant(bytes, chunk, (from, number))).flatten()
        });
        let Some(lease) = lease else { return false };
        if let Some(process) = self.process_mut(from) {
            if process.vacant_leases.pop().is_none() {
                process.leases.push(None);
            }
            process.leases[number as usize] = Some(lease);
        }
        self.finish_grant(Create { lease: Some((lease, number)), ..create }, out);
        true
    }

    /// Has the pool backed ahead of what is leased.
    pub(super) fn back_ahead(&mut self, out: &mut impl Outbox) {
        let ahead = (self.store.high_water() + AHEAD).min(self.store.capacity());
        if ahead > self.backing {
            self.backing = ahead;
            out.back(ahead);
        }
    }

    /// Whether so much memory must be left for objects that come back: a store full of primary copies, on the day that nothing can be
    /// written any more, could serve no get of what was written before.
    pub(super) fn is_kept_for_restores(&self, wanted: u64) -> bool {
        let capacity = self.store.capacity();
        let unwritten = self.spill.primary + self.spill.writing.bytes;
        // Waiting helps only while something can be written, or could be once the disk serves again.
        let helps = self.spill.trouble.is_some() || !self.spill.exhausted || !self.spill.writes.is_empty();
        helps && self.spill.away.0 > 0 && unwritten > 0 && unwritten.saturating_add(wanted) > capacity - capacity / KEPT
    }

    fn finish_grant(&mut self, create: Create, out: &mut impl Outbox) {
        let (Some((index, number)), Want::Lease { request, ahead, .. }) = (create.lease, create.want) else { return };
        let Some(lease) = self.store.lease(index) else { return };
        let (offset, length) = (lease.offset, lease.length);
        self.back_ahead(out);
        if offset + length > self.backed && !(ahead && offset < self.backed) {
            self.unbacked.push(create);
        } else {
            self.backing_failed &= offset + length > self.backed;
            out.reset_lease(create.process, number);
            out.send(create.process, &ToClient::Leased { request, lease: number, offset, length });
        }
    }

    fn forget_lease(&mut self, process: ProcessId, number: u32) {
        let Some(process) = self.process_mut(process) else { return };
        if let Some(entry) = process.leases.get_mut(number as usize)
            && entry.take().is_some()
        {
            process.vacant_leases.push(number);
        }
    }

    fn take_back(&mut self, process: ProcessId, lease: LeaseIndex, number: u32) {
        self.forget_lease(process, number);
        let empty = self.store.return_lease(lease);
        debug_assert_eq!(empty, Ok(()), "a lease that was never granted has no objects");
    }

    /// Serves the queue in order, as far as there is room. The head is never overtaken, so that large creates do not starve.
    pub(super) fn serve_creates(&mut self, out: &mut impl Outbox) {
        while let Some(create) = self.creates.front().copied() {
            if !self.try_grant(create, out) {
                break;
            }
            self.creates.pop_front();
            // Room is to be made for the next one.
            self.spill.recalled_ms = None;
            self.spill.look |= !self.creates.is_empty();
        }
    }

    /// Refuses the creates that waited too long; the rest is tried again.
    pub(super) fn expire_creates(&mut self, out: &mut impl Outbox) {
        self.serve_creates(out);
        while self.next_create_deadline().is_some_and(|at_ms| at_ms <= self.now_ms) {
            let Some(create) = self.creates.pop_front() else { return };
            self.refuse(create, out);
            self.spill.recalled_ms = None;
            self.spill.look = true;
            self.serve_creates(out);
            self.make_room(out);
        }
    }

    /// When the first in the queue has waited long enough: a grace after its arrival, or after the last sign that room is being made.
    pub(super) fn next_create_deadline(&self) -> Option<u64> {
        let create = self.creates.front()?;
        let is_writing = !self.spill.writes.is_empty() && self.spill.failed == 0;
        let grace_ms = if is_writing { WRITE_GRACE_MS } else { CREATE_GRACE_MS };
        Some(create.since_ms.max(self.spill.progress_ms) + grace_ms)
    }

    /// Forgets the creates of a process that is gone.
    pub(super) fn drop_creates(&mut self, process: ProcessId) {
        let stays = |create: &Create| create.process != process || matches!(create.want, Want::Restore(_));
        if self.creates.front().is_some_and(|create| !stays(create)) {
            self.spill.recalled_ms = None;
        }
        self.creates.retain(stays);
        self.unbacked.retain(stays);
        self.spill.look = true;
    }

    /// A process has a lease without objects. It is called back when somebody waits for room, or when the process keeps more of them
    /// warm than its share.
    pub(super) fn bound_slack(&self, process: ProcessId, out: &mut impl Outbox) {
        // What is kept for objects that come back must not be written into without a word.
        let most = if self.spill.away.0 > 0 { self.store.slack_limit() } else { self.store.warm_limit() };
        let wanted = !self.creates.is_empty() || self.store.slack_of(process) > most;
        if wanted && self.dying != Some(process) {
            out.recall(process);
        }
    }

    /// Asks everybody for the leases that they do not need.
    pub(super) fn recall(&mut self, out: &mut impl Outbox) {
        let mut asked = 0;
        for (id, process) in self.processes.iter() {
            if process.leases.iter().flatten().any(|lease| self.store.lease(*lease).is_some_and(Lease::is_idle)) {
                asked += 1;
                out.recall(id);
            }
        }
        // With spilling on it is the daily way to room.
        if asked > 0 && !self.spill.config.is_on() {
            self.event(EventKind::LeasesRecalled, Severity::Info, None, format!("idle leases of {asked} processes recalled"));
        }
    }
}
