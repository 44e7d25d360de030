//! What a client is told, taken in as the library does it.

use plasmon_agent::scheduler::actor::AHEAD;
use plasmon_agent::scheduler::window;
use plasmon_protocol::local::{Outcome, ToAgent, ToClient, Work, decode};

use super::{Client, OwnLease, Request, Running, View, YIELDS, is_in_memory};

impl Client {
    /// The next message of its inbox, taken in as the library does it.
    pub(crate) fn read(&mut self, view: View<'_>) -> Result<(), String> {
        let Some(bytes) = self.inbox.pop_front() else { return Ok(()) };
        let message: ToClient<'_> = decode("the agent", &bytes).map_err(|error| error.to_string())?;
        let unasked = || format!("process {} is told what it did not ask for: {message:?}", self.id);
        match message {
            ToClient::Cancel { .. } => {}
            ToClient::Leased { request, lease, offset, length } => {
                let Some(Request::Lease { chunk }) = self.requests.remove(&request) else { return self.tolerate(unasked()) };
                self.leases.insert(lease, OwnLease { offset, length, chunk, bump: offset, puts: 0 });
            }
            ToClient::Slots { request, first } => {
                let Some(Request::Slots) = self.requests.remove(&request) else { return self.tolerate(unasked()) };
                self.blocks.push(first);
            }
            ToClient::Refused { request, .. } => match self.requests.remove(&request) {
                // No message has used the slot.
                Some(Request::Name(key)) => {
                    self.used.remove(&key.slot);
                    self.created.remove(&key);
                }
                Some(Request::Room(key)) => {
                    self.tasks.iter_mut().filter(|running| running.key == key).for_each(|running| running.closed = true)
                }
                Some(_) => {}
                None => return self.tolerate(unasked()),
            },
            ToClient::Resolved { request, ref outcome } => match (self.requests.remove(&request), outcome) {
                (Some(_), Outcome::Pinned(key)) if !self.hostile && !is_in_memory(view, *key) => {
                    return Err(format!("{key:?} is not where process {} has it pinned: {:?}", self.id, view.shared.slots.get(&key.slot)));
                }
                (Some(Request::Name(key)), _) => drop(self.handles.insert(key, 1)),
                (Some(Request::Value(_)), Outcome::Pinned(key)) if !self.worker || !self.tasks.is_empty() => {
                    *self.pins.entry(*key).or_default() += 1;
                }
                // Whoever gets a pin owes its end, wanted or not.
                (Some(_), Outcome::Pinned(key)) => self.write(&ToAgent::DropPin { key: *key }),
                (Some(Request::Room(key)), Outcome::Ready) => {
                    self.tasks.iter_mut().filter(|running| running.key == key).for_each(|running| running.returns = running.outputs + 1);
                }
                (Some(_), _) => {}
                (None, _) => return self.tolerate(unasked()),
            },
            ToClient::Found { request, actor, .. } => {
                let Some(Request::Find) = self.requests.remove(&request) else { return self.tolerate(unasked()) };
                *self.handles.entry(actor).or_default() += 1;
            }
            ToClient::Run { task, work, function, returns, .. } => {
                self.runs += 1;
                let (run, yields, closed) = (self.runs, function == YIELDS, false);
                self.tasks.push(Running { key: task, run, work, returns, outputs: 0, yields, closed, started: false, blocked: false });
                let most = self.most_calls();
                if self.tasks.len() > most {
                    return self.tolerate(format!("process {} gets a task beside {most} that it runs", self.id));
                }
                if (work == Work::Method) != self.actor.is_some() {
                    return self.tolerate(format!("process {} is to run {work:?}: it is an actor for {:?} calls", self.id, self.actor));
                }
                let in_turn = work == Work::Method && view.model.tasks.get(&task).is_none_or(|task| !task.erred);
                let before = if in_turn { self.heard.insert(task.process, task.number) } else { None };
                if before.is_some_and(|before| before >= task.number) {
                    return self.tolerate(format!("actor {} is called by {task:?} after {before:?}", self.id));
                }
            }
            ToClient::Exit => self.leaving = true,
        }
        Ok(())
    }

    /// Tasks that it can have been sent and not ended.
    pub(super) fn most_calls(&self) -> usize {
        match self.actor {
            None => 1 + window::AHEAD,
            Some(1) => 1 + AHEAD,
            Some(calls) => calls as usize,
        }
    }

    /// A hostile client asks for anything under any number.
    fn tolerate(&self, fault: String) -> Result<(), String> {
        if self.hostile { Ok(()) } else { Err(fault) }
    }
}
