//! Answers to requests that waited. One whose client has no room for it stays a request: it costs the agent no more than the question
//! did, however long the client does not read.

use plasmon_protocol::id::{ObjectKey, ProcessId};

use super::{Core, Outbox};
use crate::store::object::Waiter;

/// An answer that waits for room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Owed {
    waiter: Waiter,
    key: ObjectKey,
}

impl Core {
    /// Answers one who waited for the object, now or when there is room.
    pub(super) fn tell(&mut self, waiter: Waiter, key: ObjectKey, out: &mut impl Outbox) {
        let Some(process) = self.process_mut(waiter.process) else { return };
        if !out.has_room(waiter.process) {
            process.owed.push_back(Owed { waiter, key });
            return;
        }
        if let Some(site) = waiter.wants
            && let Some(object) = self.objects.get_mut(key).filter(|object| object.is_away())
        {
            // It left memory again before it could be handed over.
            object.cold_mut().await_value(waiter);
            return self.want_restored(key, waiter.process, site);
        }
        if let Some(process) = self.process_mut(waiter.process) {
            process.requests.remove(&waiter.request);
        }
        if self.objects.get(key).is_some() {
            self.answer(waiter, key, out);
        } else {
            self.answer_lost(waiter.process, waiter.request, key, out);
        }
    }

    /// A client has read what it was sent, and there is room for more.
    pub fn on_room(&mut self, process: ProcessId, out: &mut impl Outbox) {
        while out.has_room(process) {
            let Some(client) = self.process_mut(process) else { return };
            let Some(owed) = client.owed.pop_front() else { break };
            // Not one that was cancelled meanwhile.
            if client.requests.get(&owed.waiter.request) == Some(&owed.key) {
                self.tell(owed.waiter, owed.key, out);
            }
        }
        if let Some(super::Activity::Actor(actor)) = self.process(process).map(|process| process.activity) {
            self.serving.push(actor);
        }
        self.settle(out);
    }
}
