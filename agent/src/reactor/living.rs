//! The processes that live, by their numbers, which no two processes of a node's life share.

use plasmon_protocol::id::ProcessId;

use super::Process;
use crate::changes::Changes;

/// The processes.
#[derive(Debug)]
pub(super) struct Living {
    all: Vec<Option<Box<Process>>>,
    /// Somebody follows one of these.
    followed: bool,
    /// Numbers of processes that changed, for whoever follows the table.
    changes: Changes,
    /// The same, for whoever follows the actors: their rows tell of the process that each is.
    changes_in_actors: Changes,
}

impl Living {
    /// The first of them is the agent.
    pub(super) fn new(agent: Process) -> Self {
        Self { all: vec![Some(Box::new(agent))], followed: false, changes: Changes::default(), changes_in_actors: Changes::default() }
    }

    /// What people see of a process changes, here or elsewhere.
    #[inline]
    pub(super) fn mark(&mut self, id: ProcessId) {
        if self.followed {
            self.note(id);
        }
    }

    /// Apart, for every message marks a process.
    #[cold]
    #[inline(never)]
    fn note(&mut self, id: ProcessId) {
        self.changes.mark(id.0);
        self.changes_in_actors.mark(id.0);
    }

    /// What whoever follows the table has not been told.
    pub(super) fn changes(&mut self) -> &mut Changes {
        &mut self.changes
    }

    /// What whoever follows the actors has not been told.
    pub(super) fn changes_in_actors(&mut self) -> &mut Changes {
        &mut self.changes_in_actors
    }

    /// Somebody began to follow, or ended.
    pub(super) fn look_who_follows(&mut self) {
        self.followed = self.changes.is_followed() || self.changes_in_actors.is_followed();
    }

    /// One more than the last number that was given.
    pub(super) fn end(&self) -> u32 {
        self.all.len() as u32
    }

    pub(super) fn push(&mut self, process: Process) -> ProcessId {
        self.all.push(Some(Box::new(process)));
        ProcessId(self.end() - 1)
    }

    #[inline]
    pub(super) fn get(&self, id: ProcessId) -> Option<&Process> {
        self.all.get(id.0 as usize)?.as_deref()
    }

    /// A process, to change it.
    #[inline]
    pub(super) fn get_mut(&mut self, id: ProcessId) -> Option<&mut Process> {
        self.mark(id);
        self.quiet_mut(id)
    }

    /// A process, to change what nobody sees of it.
    #[inline]
    pub(super) fn quiet_mut(&mut self, id: ProcessId) -> Option<&mut Process> {
        self.all.get_mut(id.0 as usize)?.as_deref_mut()
    }

    /// A process goes.
    pub(super) fn take(&mut self, id: ProcessId) -> Option<Box<Process>> {
        self.mark(id);
        self.all.get_mut(id.0 as usize)?.take()
    }

    /// All with their numbers.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (ProcessId, &Process)> {
        self.all.iter().enumerate().filter_map(|(index, process)| Some((ProcessId(index as u32), process.as_deref()?)))
    }
}
