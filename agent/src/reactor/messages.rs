//! One message from a client: what may be in it, and where it goes.

use plasmon_protocol::id::{ObjectKey, ProcessId, SiteId};
use plasmon_protocol::local::{MAX_INSIDE, MAX_SITES, MAX_STACK, MAX_STAGED, MAX_TEXT, Task, ToAgent};

use super::memory::Want;
use super::tasks::Submission;
use super::{Core, Outbox, Violation};
use crate::references::sites::{Cost, Sites};
use crate::references::table::Count;
use crate::scheduler::task::Role;

impl Core {
    /// A batch of messages from one client, in their order, up to the first whose answer the client has no room for.
    ///
    /// # Errors
    /// [`Violation`] at the first message that breaks the protocol; those before it hold, those after it are not looked at.
    /// The caller then drops the client.
    pub fn on_messages<'a>(
        &mut self,
        from: ProcessId,
        messages: impl IntoIterator<Item = Result<ToAgent<'a>, Violation>>,
        out: &mut impl Outbox,
    ) -> Result<(), Violation> {
        if self.process(from).is_none() {
            // Nobody is there to be answered, and nothing may be held or lent in its name.
            return Ok(());
        }
        let mut result = Ok(());
        let mut messages = messages.into_iter();
        while out.has_room(from) {
            let Some(message) = messages.next() else { break };
            self.counters.messages += 1;
            result = message.and_then(|message| self.on_message(from, message, out));
            self.drain_doomed(out);
            // Before the next message, which may ask for their names.
            while let Some(actor) = self.unreferenced.pop() {
                self.end_unreferenced(actor, out);
            }
            if result.is_err() {
                break;
            }
        }
        self.settle(out);
        result
    }

    fn on_message(&mut self, from: ProcessId, message: ToAgent<'_>, out: &mut impl Outbox) -> Result<(), Violation> {
        match message {
            ToAgent::Put { key, memory, site, hidden } => self.on_put(from, key, memory, site, hidden, out),
            ToAgent::AddLocal { key, site } => self.on_add(from, key, Count::Local, site),
            ToAgent::DropLocal { key } => self.on_drop(from, key, Count::Local),
            ToAgent::AddPin { key, site } => self.on_add(from, key, Count::Pinned, site),
            ToAgent::DropPin { key } => self.on_drop(from, key, Count::Pinned),
            ToAgent::KeepViews { key } => self.on_keep_views(from, key),
            ToAgent::DropViews { key } => self.on_drop_views(from, key),
            ToAgent::Stage { references } => self.on_stage(from, &references),
            ToAgent::Lease { request, bytes, chunk, site } => {
                self.on_lease(from, bytes, Want::Lease { request, chunk, ahead: false }, site, out)
            }
            ToAgent::LeaseAhead { request, bytes, site } => {
                self.on_lease(from, bytes, Want::Lease { request, chunk: false, ahead: true }, site, out)
            }
            ToAgent::Return { lease } => self.on_return(from, lease, out),
            ToAgent::Slots { request } => {
                self.on_slots(from, request, out);
                Ok(())
            }
            ToAgent::Get { request, key, site } => self.on_get(from, request, key, Some(site), out),
            ToAgent::Wait { request, key } => self.on_get(from, request, key, None, out),
            ToAgent::Cancel { request } => {
                self.on_cancel(from, request);
                Ok(())
            }
            ToAgent::Submit { number, function, arguments, returns, options, site } => {
                let Some(job) = self.process(from).map(|process| process.job) else { return Ok(()) };
                let task = Submission { number, function, arguments: &arguments, returns: &returns, options: &options, site };
                self.submit(from, task, Role::Function, job, out)
            }
            ToAgent::CreateActor { number, request, actor, function, arguments, options, site } => {
                let task = Task { demand: options.placed.clone(), max_retries: options.max_restarts, ..Task::default() };
                let constructor = Submission { number, function, arguments: &arguments, returns: &[], options: &task, site };
                self.on_create_actor(from, request, actor, options, constructor, out)
            }
            ToAgent::Call { number, actor, function, arguments, returns, retries, site } => {
                let task = self.call_options(actor, retries);
                let call = Submission { number, function, arguments: &arguments, returns: &returns, options: &task, site };
                self.on_call(from, actor, call, out)
            }
            ToAgent::CancelTask { key, force, site } => self.on_cancel_task(from, key, force, site, out),
            ToAgent::KillActor { actor, no_restart, site } => self.on_kill_actor(from, actor, no_restart, site, out),
            ToAgent::FindActor { request, name, site } => self.on_find_actor(from, request, name, site, out),
            ToAgent::Started { task } => self.on_started(from, task),
            ToAgent::Output { task, value } => self.on_output(from, task, value, out),
            ToAgent::Ended { task, ending } => self.on_ended(from, task, ending, out),
            ToAgent::Blocked => self.on_blocked(from, true, out),
            ToAgent::Unblocked => self.on_blocked(from, false, out),
            ToAgent::Site { site, kind, file, line, function, caller } => {
                bounded("file", file)?;
                bounded("function", function)?;
                if caller >= site {
                    return Err(Violation(format!("call site {site} called from {caller}, which is not defined before it")));
                }
                let caller = self.site_from(from, caller);
                let id = self.charge_sites(from, |sites, cost| sites.intern(kind, file, line, function, caller, cost));
                let id = id.ok_or_else(|| Violation(format!("call site {site} is beyond {MAX_STACK} frames of a stack")))?;
                self.define_site(from, site, id)
            }
            ToAgent::SiteName { site, function } => {
                bounded("function", function)?;
                let id = self.site_from(from, site);
                self.charge_sites(from, |sites, cost| sites.name(id, function, cost));
                Ok(())
            }
            ToAgent::HeapPeak { task, bytes } => self.on_heap_peak(from, task, bytes),
            ToAgent::Submits { task } => self.on_submits(from, task),
            ToAgent::Extend { number, returns, site } => self.on_extend(from, number, &returns, site, out),
            ToAgent::Room { request, task, results } => self.on_room_asked(from, request, task, results, out),
            ToAgent::Bye => {
                self.dismissed.insert(from);
                Ok(())
            }
        }
    }

    /// Changes the sites at a client's expense.
    fn charge_sites<T>(&mut self, from: ProcessId, change: impl FnOnce(&mut Sites, &mut Cost) -> T) -> T {
        let mut cost = self.process(from).map_or_else(Cost::default, |process| process.sites_cost);
        let changed = change(&mut self.sites, &mut cost);
        if let Some(process) = self.process_mut(from) {
            process.sites_cost = cost;
        }
        changed
    }

    fn define_site(&mut self, from: ProcessId, number: u32, id: SiteId) -> Result<(), Violation> {
        let Some(process) = self.process_mut(from) else { return Ok(()) };
        if number as usize != process.sites.len() || number > MAX_SITES {
            return Err(Violation(format!("call site {number} defined after {}", process.sites.len() - 1)));
        }
        process.sites.push(id);
        Ok(())
    }

    fn on_stage(&mut self, from: ProcessId, references: &[ObjectKey]) -> Result<(), Violation> {
        let Some(process) = self.process_mut(from) else { return Ok(()) };
        if references.len() > MAX_STAGED || process.staged.len() + references.len() > MAX_INSIDE {
            return Err(Violation(format!("{} references staged at once", process.staged.len() + references.len())));
        }
        process.staged.extend_from_slice(references);
        Ok(())
    }

    /// The agent's number of the call site that a client calls `number`.
    pub(super) fn site_from(&self, from: ProcessId, number: u32) -> SiteId {
        self.process(from).map_or(SiteId(0), |process| process.site(number))
    }

    /// The references that the client staged for this message.
    pub(super) fn take_staged(&mut self, from: ProcessId) -> Vec<ObjectKey> {
        let mut staged = self.processes.quiet_mut(from).map(|process| std::mem::take(&mut process.staged)).unwrap_or_default();
        staged.sort_unstable();
        staged.dedup();
        staged
    }
}

/// Refuses a text that no honest client sends.
pub(super) fn bounded(what: &str, text: &str) -> Result<(), Violation> {
    if text.len() > MAX_TEXT { Err(Violation(format!("{what} of {} bytes", text.len()))) } else { Ok(()) }
}
