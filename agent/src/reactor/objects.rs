//! Objects are put, held, resolved and freed.

use std::sync::Arc;

use plasmon_protocol::error::Error;
use plasmon_protocol::id::{ObjectKey, ProcessId, SiteId};
use plasmon_protocol::local::{MAX_REQUESTS, Memory, Outcome, ToClient, Value};
use plasmon_protocol::record::ObjectState;

use super::{Core, MAX_INLINED, Outbox, Violation};
use crate::references::table::{Added, Count, Removed};
use crate::store::BadMemory;
use crate::store::encoded::Encoded;
use crate::store::lease::LeaseIndex;
use crate::store::ledger::Class;
use crate::store::object::{Counts, Object, Place, Residency, Waiter};

/// Answers that one client may be owed at once: those that it has given up a moment ago are among them.
const MAX_OWED: usize = 2 * MAX_REQUESTS;

impl Core {
    pub(super) fn on_put(
        &mut self,
        from: ProcessId,
        key: ObjectKey,
        memory: Memory,
        site: u32,
        hidden: bool,
        out: &mut impl Outbox,
    ) -> Result<(), Violation> {
        let contains = self.take_staged(from);
        let site = self.site_from(from, site);
        self.can_capture(&contains)?;
        self.create(from, key, site, hidden)?;
        self.hold(from, key, Count::Local, site)?;
        self.place(from, key, memory, out)?;
        self.capture(from, key, contains);
        Ok(())
    }

    /// Makes an object without a value in a free slot of the client's.
    pub(super) fn create(&mut self, from: ProcessId, key: ObjectKey, site: SiteId, hidden: bool) -> Result<(), Violation> {
        if !self.slots.is_lent_to(key.slot, from) {
            return Err(Violation(format!("object in slot {} which is not its own", key.slot)));
        }
        let now_ms = self.now_ms;
        let Some(object) = self.objects.vacant(key) else {
            return Err(Violation(format!("object in slot {} which is taken, or of generation {}", key.slot, key.generation)));
        };
        object.generation = key.generation;
        object.state = Some(ObjectState::Pending);
        object.hidden = hidden;
        object.actor = false;
        object.length = 0;
        object.place = None;
        object.residency = Residency::Primary;
        object.record = None;
        object.creator = from;
        object.site = site;
        object.created_ms = now_ms;
        object.counts = Counts::default();
        object.rows = 0;
        object.kept = 0;
        object.cold = None;
        self.slots.enter(key.slot);
        if !hidden {
            self.counters.objects += 1;
            self.sites.enter(site, now_ms);
        }
        Ok(())
    }

    /// Enters the bytes that `writer` has written as the object's value.
    fn place(&mut self, writer: ProcessId, key: ObjectKey, memory: Memory, out: &mut impl Outbox) -> Result<(), Violation> {
        let lease = self.written_lease(writer, memory)?;
        let Some(object) = self.objects.get_mut(key) else { return Ok(()) };
        let class = object.class();
        self.store.enter_object(lease, memory, key.slot, class).map_err(|bad| bad_memory(bad, memory))?;
        object.place = Some(Place { lease, offset: memory.offset });
        self.set_value(key, ObjectState::InMemory, memory.length);
        self.counters.put_objects += 1;
        self.counters.put_bytes += memory.length;
        self.spill.count(Residency::Primary, memory.length, true);
        self.store.tally(lease, Residency::Primary, true);
        self.spill.exhausted = false;
        out.publish(key, Some(ObjectState::InMemory), memory.offset, memory.length);
        Ok(())
    }

    /// A task's result: the object has its value now, unless nobody wants it any more.
    pub(super) fn resolve(
        &mut self,
        writer: ProcessId,
        key: ObjectKey,
        value: Value<'_>,
        contains: Vec<ObjectKey>,
        out: &mut impl Outbox,
    ) -> Result<(), Violation> {
        let wanted = self.objects.get(key).is_some_and(|object| object.state == Some(ObjectState::Pending));
        if !wanted || self.lineage.is_trace(key) {
            if let Value::Memory(memory) = value {
                self.discard(writer, memory, out)?;
            }
            return Ok(());
        }
        self.can_capture(&contains)?;
        if self.closes_cycle(key, &contains) {
            if let Value::Memory(memory) = value {
                self.discard(writer, memory, out)?;
            }
            let cause = "it would contain itself, directly or through other objects, and never be freed".to_owned();
            self.fail_object(key, &Error::Encode { kind: "task result".to_owned(), cause }, out);
            return Ok(());
        }
        match value {
            Value::Memory(memory) => self.place(writer, key, memory, out)?,
            Value::Inline(bytes) => {
                if self.counters.inlined_bytes + bytes.len() as u64 > MAX_INLINED {
                    let error = self.store_full(bytes.len() as u64, SiteId(0));
                    self.fail_object(key, &error, out);
                    return Ok(());
                }
                self.counters.inlined_bytes += bytes.len() as u64;
                self.counters.inlined_objects += 1;
                if let Some(object) = self.objects.get_mut(key) {
                    object.cold_mut().value = bytes.into();
                }
                self.set_value(key, ObjectState::Inlined, bytes.len() as u64);
                out.publish_value(key, bytes);
            }
        }
        let captor = self.objects.get(key).map_or(ProcessId(0), |object| object.creator);
        self.capture(self.living(captor), key, contains);
        self.notify(key, out);
        Ok(())
    }

    /// The object will never have a value, or its actor is no more: the error is what `get` returns.
    pub(super) fn fail_object(&mut self, key: ObjectKey, error: &Error, out: &mut impl Outbox) {
        let fails = |object: &&mut Object| matches!(object.state, Some(ObjectState::Pending | ObjectState::Actor));
        let Some(object) = self.objects.get_mut(key).filter(fails) else { return };
        object.state = Some(ObjectState::Failed);
        let encoded = match &self.last_error {
            Some((last, encoded)) if last == error => Arc::clone(encoded),
            _ => plasmon_protocol::local::encode(error).unwrap_or_default().into(),
        };
        object.cold_mut().value = Encoded::Shared(Arc::clone(&encoded));
        // Whatever needs the result fails with the same.
        self.last_error = Some((error.clone(), encoded));
        out.publish(key, Some(ObjectState::Failed), 0, 0);
        self.notify(key, out);
    }

    /// The lease that an object was written into. Where it has no memory yet nothing was written.
    fn written_lease(&self, writer: ProcessId, memory: Memory) -> Result<LeaseIndex, Violation> {
        let lease = self.lease_of(writer, memory.lease)?;
        let Memory { offset, length, .. } = memory;
        // What is outside of the lease is said in other words.
        let end = self.store.lease(lease).map_or(0, |lease| lease.offset + lease.length);
        if offset.checked_add(length).is_some_and(|written| written <= end && written > self.backed) {
            return Err(Violation(format!("{length} bytes at {offset} of the pool, which has memory below {} only", self.backed)));
        }
        Ok(lease)
    }

    /// Bytes that were written for an object that nobody wants: the leaseholder may have them back at once.
    fn discard(&mut self, writer: ProcessId, memory: Memory, out: &mut impl Outbox) -> Result<(), Violation> {
        let lease = self.written_lease(writer, memory)?;
        let class = Counts::default().class();
        self.store.enter_object(lease, memory, ObjectKey::default().slot, class).map_err(|bad| bad_memory(bad, memory))?;
        let idle = self.store.leave_object(lease, memory.offset, memory.length, class);
        out.freed(writer, memory.lease, ObjectKey::default());
        if idle {
            self.bound_slack(writer, out);
        }
        Ok(())
    }

    fn set_value(&mut self, key: ObjectKey, state: ObjectState, length: u64) {
        let Some(object) = self.objects.get_mut(key) else { return };
        object.state = Some(state);
        object.length = length;
        if object.hidden {
            return;
        }
        self.counters.object_bytes += length;
        self.sites.weigh(object.site, |weight| weight.bytes += length);
        self.weigh_holders(key, |bytes| bytes + length);
    }

    /// Changes the bytes that each holder of an object holds.
    pub(super) fn weigh_holders(&mut self, key: ObjectKey, change: impl Fn(u64) -> u64) {
        let Some(object) = self.objects.get(key) else { return };
        for row in self.references.holders(object.first_row).take(object.rows as usize) {
            if let Some(holder) = self.processes.get_mut(row.process) {
                holder.held_bytes = change(holder.held_bytes);
            }
        }
    }

    pub(super) fn on_add(&mut self, from: ProcessId, key: ObjectKey, count: Count, site: u32) -> Result<(), Violation> {
        let site = self.site_from(from, site);
        self.hold(from, key, count, site)
    }

    pub(super) fn on_drop(&mut self, from: ProcessId, key: ObjectKey, count: Count) -> Result<(), Violation> {
        if self.release(from, key, count) {
            Ok(())
        } else {
            Err(Violation(format!("{count:?} count of object {} dropped that it does not have", key.on(self.config.node))))
        }
    }

    /// Raises one of a process's counts.
    pub(super) fn hold(&mut self, process: ProcessId, key: ObjectKey, count: Count, site: SiteId) -> Result<(), Violation> {
        let Some(object) = self.objects.get_mut(key) else {
            return Err(Violation(format!("reference to object {} which is not there", key.on(self.config.node))));
        };
        if *count_mut(&mut object.counts, count) == u32::MAX {
            return Err(Violation(format!("object {} held more often than can be counted", key.on(self.config.node))));
        }
        let Some(holder) = self.processes.quiet_mut(process) else { return Ok(()) };
        let mut first_holder = if object.rows == 0 { crate::references::table::NONE } else { object.first_row };
        let added = self.references.add(&mut first_holder, &mut holder.first_reference, key, process, count, site, self.now_ms);
        object.first_row = first_holder;
        if added == Added::NewRow {
            object.rows += 1;
            if object.actor {
                self.actors.mark(&key);
            }
            if !object.hidden {
                holder.rows += 1;
                holder.held_bytes += object.length;
                self.processes.mark(process);
                self.counters.rows += 1;
                self.sites.weigh(object.site, |weight| weight.references += 1);
            }
        }
        let before = object.class();
        *count_mut(&mut object.counts, count) += 1;
        let after = object.class();
        if before != after && object.place.is_some() {
            self.store.reclassify(object.length, before, after);
        }
        Ok(())
    }

    /// Lowers one of a process's counts; the object goes with its last one. False when the process has no such count.
    pub(super) fn release(&mut self, process: ProcessId, key: ObjectKey, count: Count) -> bool {
        let Some(object) = self.objects.get_mut(key) else { return false };
        let Some(holder) = self.processes.quiet_mut(process) else { return true };
        if object.rows == 0 {
            return false;
        }
        let (removed, pins) = self.references.remove(&mut object.first_row, &mut holder.first_reference, key, process, count);
        match removed {
            Removed::NotHeld => return false,
            Removed::RowStays => {}
            Removed::RowGone => {
                object.rows -= 1;
                if object.actor {
                    self.actors.mark(&key);
                }
                if !object.hidden {
                    holder.rows -= 1;
                    holder.held_bytes -= object.length;
                    self.processes.mark(process);
                    self.counters.rows -= 1;
                    self.sites.weigh(object.site, |weight| weight.references -= 1);
                }
            }
        }
        let before = object.class();
        object.counts.pinned -= pins;
        if count != Count::Pinned {
            *count_mut(&mut object.counts, count) -= 1;
        }
        let after = object.class();
        if before == Class::Pinned && after != before {
            self.spill.exhausted = false;
            self.spill.look |= !self.creates.is_empty();
        }
        if object.counts.is_zero() {
            // Its bytes stay in the line that an object without holders has, until it is freed with this change.
            self.doomed.push(key);
        }
        if before != after && object.place.is_some() {
            self.store.reclassify(object.length, before, after);
        }
        true
    }

    pub(super) fn drain_doomed(&mut self, out: &mut impl Outbox) {
        while let Some(key) = self.doomed.pop() {
            self.free(key, out);
        }
    }

    /// Frees an object that nobody holds, and releases what it contains.
    pub(super) fn free(&mut self, key: ObjectKey, out: &mut impl Outbox) {
        if !self.lineage.is_empty() && self.objects.get(key).is_some_and(|object| object.counts.is_zero()) && self.leave_trace(key, out) {
            return;
        }
        let Some(object) = self.objects.get_mut(key).filter(|object| object.counts.is_zero()) else { return };
        let state = object.state.take();
        let cold = object.cold.take();
        let (length, site, created_ms, hidden) = (object.length, object.site, object.created_ms, object.hidden);
        let (class, residency, record) = (object.class(), object.residency, object.record.take());
        if object.actor {
            self.unreferenced.push(key);
        }
        let place = object.place.take();
        out.publish(key, None, 0, 0);
        if state == Some(ObjectState::InMemory) {
            self.spill.count(residency, length, false);
        }
        if let Some(place) = place {
            self.store.tally(place.lease, residency, false);
        }
        if let Some(place) = place.filter(|_| !self.leave_to_job(key, residency)) {
            self.vacate(key, place, length, class, out);
        }
        if let Some(record) = record.and_then(|record| self.spill.files.leave(record)) {
            self.spill.sparse = true;
            self.retire_file(record.file, out);
        }
        if !hidden {
            self.counters.objects -= 1;
            self.counters.object_bytes -= length;
            self.sites.leave(site, created_ms, length);
        }
        self.slots.leave(key.slot);
        let Some(mut cold) = cold else { return };
        if let Some(task) = cold.task.filter(|_| !self.lineage.is_empty()) {
            self.lineage.result_gone(task);
        }
        if state == Some(ObjectState::Inlined) {
            self.counters.inlined_bytes -= length;
            self.counters.inlined_objects -= 1;
        }
        let captor = self.living(cold.captor);
        for inner in std::mem::take(&mut cold.contains) {
            self.release(captor, inner, Count::Captured);
        }
        for waiter in cold.take_waiters() {
            self.tell(waiter, key, out);
        }
    }

    /// A client asks for an object's value, at its own call site `site`, or only whether it has one.
    pub(super) fn on_get(
        &mut self,
        from: ProcessId,
        request: u32,
        key: ObjectKey,
        site: Option<u32>,
        out: &mut impl Outbox,
    ) -> Result<(), Violation> {
        let waiter = Waiter { process: from, request, wants: site.map(|site| self.site_from(from, site)) };
        let Some(object) = self.objects.get_mut(key) else {
            self.answer_lost(from, request, key, out);
            return Ok(());
        };
        let away = waiter.wants.is_some() && object.is_away();
        if object.state != Some(ObjectState::Pending) && !away {
            self.answer(waiter, key, out);
            return Ok(());
        }
        let Some(process) = self.processes.quiet_mut(from) else { return Ok(()) };
        if process.requests.len() >= MAX_OWED || process.requests.insert(request, key).is_some() {
            return Err(Violation(format!("request {request} made twice, or one of too many")));
        }
        object.cold_mut().await_value(waiter);
        if let Some(site) = waiter.wants.filter(|_| away) {
            self.want_restored(key, from, site);
        }
        Ok(())
    }

    pub(super) fn on_cancel(&mut self, from: ProcessId, request: u32) {
        let Some(key) = self.processes.quiet_mut(from).and_then(|process| process.requests.remove(&request)) else {
            return self.forget_room(from, request);
        };
        if let Some(cold) = self.objects.get_mut(key).and_then(|object| object.cold.as_mut()) {
            cold.forget(from, request);
        }
    }

    /// Tells everybody who waits for the object that it has a value, or never will.
    pub(super) fn notify(&mut self, key: ObjectKey, out: &mut impl Outbox) {
        let Some(object) = self.objects.get_mut(key) else { return };
        let failed = object.state == Some(ObjectState::Failed);
        let Some(cold) = object.cold.as_mut() else { return };
        let waiters = cold.take_waiters();
        let dependents = cold.dependents.take();
        let error = failed.then(|| plasmon_protocol::local::decode::<Error>("the agent", &cold.value).ok()).flatten();
        for waiter in waiters {
            self.tell(waiter, key, out);
        }
        for task in dependents {
            match &error {
                Some(error) => self.failing.push((task, error.clone())),
                None => self.argument_ready(task),
            }
        }
    }

    pub(super) fn answer(&mut self, waiter: Waiter, key: ObjectKey, out: &mut impl Outbox) {
        let Waiter { process, request, wants } = waiter;
        let Some(object) = self.objects.get(key) else { return };
        let value: &[u8] = match (&object.cold, wants) {
            (Some(cold), Some(_)) => &cold.value,
            _ => &[],
        };
        let outcome = match (object.state, wants) {
            (Some(ObjectState::Inlined | ObjectState::Actor), _) => Outcome::Inline(value),
            (Some(ObjectState::Failed), _) => Outcome::Failed(value),
            (_, None) => Outcome::Ready,
            (_, Some(site)) => {
                if self.hold(process, key, Count::Pinned, site).is_err() {
                    return self.answer_lost(process, request, key, out);
                }
                Outcome::Pinned(key)
            }
        };
        out.send(process, &ToClient::Resolved { request, outcome });
    }

    pub(super) fn answer_lost(&self, process: ProcessId, request: u32, key: ObjectKey, out: &mut impl Outbox) {
        let error = Error::ObjectLost { object: key.on(self.config.node), cause: "nobody holds a reference to it".to_owned() };
        let value = plasmon_protocol::local::encode(&error).unwrap_or_default();
        out.send(process, &ToClient::Resolved { request, outcome: Outcome::Failed(&value) });
    }
}

fn count_mut(counts: &mut Counts, count: Count) -> &mut u32 {
    match count {
        Count::Local => &mut counts.local,
        Count::Pinned => &mut counts.pinned,
        Count::Submitted => &mut counts.submitted,
        Count::Captured => &mut counts.captured,
    }
}

fn bad_memory(bad: BadMemory, memory: Memory) -> Violation {
    let Memory { lease, offset, length } = memory;
    let what = match bad {
        BadMemory::OutsideOfLease => "outside of",
        BadMemory::Overlap => "over a live object in",
    };
    Violation(format!("object of {length} bytes at {offset} {what} lease {lease}"))
}
