//! Actors of the campaign: they keep references, and hand them out.

use plasmon::{ActorHandle, ObjectId, ObjectRef};
use serde::{Deserialize, Serialize};

use crate::content::{Ids, Numbers, Series};
use crate::trouble::Trouble;

/// Entries that a vault keeps; the oldest go.
pub(crate) const KEPT: usize = 8;
/// The name of the vault that all programs of the campaign share.
pub(crate) const BOARD: &str = "board";

/// A reference, and what must be behind it.
pub(crate) type Entry = (Numbers, Series);

/// Keeps references.
pub(crate) struct Vault {
    entries: Vec<Entry>,
}

#[plasmon::actor]
impl Vault {
    pub(crate) fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// Keeps these; how many it keeps now.
    pub(crate) fn store(&mut self, entries: Vec<Entry>) -> u64 {
        self.entries.extend(entries);
        let over = self.entries.len().saturating_sub(KEPT);
        self.entries.drain(..over);
        self.entries.len() as u64
    }

    /// Puts an object of its own, and keeps it.
    pub(crate) fn make(&mut self, series: Series) -> Result<u64, String> {
        let reference = plasmon::put(&series.numbers()[..]).map_err(|error| Trouble::from(error).told())?;
        Ok(self.store(vec![(reference, series)]))
    }

    /// Hands out all that it keeps.
    pub(crate) fn give(&self) -> Vec<Entry> {
        self.entries.clone()
    }

    /// Reads all that it keeps; how many those are.
    pub(crate) fn read(&self) -> Result<u64, String> {
        let read = |(reference, series): &Entry| shared(*series, reference, &mut Ids::new());
        self.entries.iter().try_for_each(read).map_err(Trouble::told)?;
        Ok(self.entries.len() as u64)
    }
}

/// Handles that lie inside an object.
#[derive(Serialize, Deserialize)]
pub(crate) struct Shelf {
    pub(crate) vault: VaultHandle,
}

/// Stores an object of its own in the vault that it is passed.
#[plasmon::remote]
pub(crate) fn deposit(vault: VaultHandle, series: Series) -> Result<u64, String> {
    let told = |error| Trouble::from(error).told();
    let reference = plasmon::put(&series.numbers()[..]).map_err(told)?;
    plasmon::get(&vault.store(vec![(reference, series)]).map_err(told)?).map_err(told)
}

/// The object that an actor's handles refer to.
pub(crate) fn id_of(handle: &ActorHandle) -> ObjectId {
    handle.hex().parse().expect("an actor's id is that of an object")
}

/// Reads what somebody else may have made: the result of a job that ended too early is that job's end.
pub(crate) fn shared(series: Series, reference: &Numbers, ids: &mut Ids) -> Result<(), Trouble> {
    ids.insert(reference.id());
    match plasmon::get(reference) {
        Err(error @ plasmon::Error::TaskCancelled { .. }) => Err(Trouble::Typed(error)),
        other => series.check(&other?),
    }
}

/// A vault of one process's own, and what it must keep.
pub(crate) struct Own {
    held: Held,
    entries: Vec<Series>,
    /// What it handed out last: keeps that alive, whatever becomes of the vault.
    given: Option<ObjectRef<Vec<Entry>>>,
}

/// How a vault is held.
enum Held {
    Handle(VaultHandle),
    Inside(ObjectRef<Shelf>),
}

impl Own {
    pub(crate) fn new(handle: VaultHandle) -> Self {
        Self { held: Held::Handle(handle), entries: Vec::new(), given: None }
    }

    pub(crate) fn name(&self) -> String {
        match &self.held {
            Held::Handle(handle) => format!("vault {}", handle.hex()),
            Held::Inside(shelf) => format!("vault in {}", shelf.id()),
        }
    }

    /// From now on only an object holds the handle.
    pub(crate) fn shelve(&mut self) -> Result<(), Trouble> {
        if let Held::Handle(vault) = &self.held {
            self.held = Held::Inside(plasmon::put(&Shelf { vault: vault.clone() })?);
        }
        Ok(())
    }

    pub(crate) fn handle(&self, ids: &mut Ids) -> Result<VaultHandle, Trouble> {
        let handle = match &self.held {
            Held::Handle(handle) => handle.clone(),
            Held::Inside(shelf) => {
                ids.insert(shelf.id());
                plasmon::get(shelf)?.vault
            }
        };
        ids.insert(id_of(&handle));
        Ok(handle)
    }

    /// Stores one more; the call's result, and what it must be.
    pub(crate) fn store(&mut self, entry: Entry) -> Result<(ObjectRef<u64>, u64), Trouble> {
        let series = entry.1;
        let call = self.handle(&mut Ids::new())?.store(vec![entry])?;
        Ok((call, self.note(series)))
    }

    /// Lets it make one more, and waits: only then it is known whether there was room.
    pub(crate) fn make(&mut self, series: Series) -> Result<(), Trouble> {
        let kept = plasmon::get(&self.handle(&mut Ids::new())?.make(series)?)?;
        let expected = self.note(series);
        if kept == expected { Ok(()) } else { Err(Trouble::Wrong(format!("a vault keeps {kept} entries instead of {expected}"))) }
    }

    /// Lets it read all that it keeps.
    pub(crate) fn read(&self) -> Result<(ObjectRef<u64>, u64), Trouble> {
        Ok((self.handle(&mut Ids::new())?.read()?, self.entries.len() as u64))
    }

    fn note(&mut self, series: Series) -> u64 {
        self.entries.push(series);
        let over = self.entries.len().saturating_sub(KEPT);
        self.entries.drain(..over);
        self.entries.len() as u64
    }

    /// Gets all that it keeps, which must be what it was given, in that order.
    pub(crate) fn get(&mut self, ids: &mut Ids) -> Result<(), Trouble> {
        self.given = None;
        let given = self.handle(ids)?.give()?;
        let entries = plasmon::get(&given)?;
        ids.insert(given.id());
        self.given = Some(given);
        ids.extend(entries.iter().map(|(reference, _)| reference.id()));
        if !entries.iter().map(|(_, series)| series).eq(&self.entries) {
            let kept: Vec<_> = entries.iter().map(|(_, series)| series).collect();
            return Err(Trouble::Wrong(format!("a vault keeps {kept:?} instead of {:?}", self.entries)));
        }
        // One of them may be the result of a task that failed.
        for (reference, series) in &entries {
            match series.get(reference, ids) {
                Err(Trouble::Typed(_)) | Ok(()) => {}
                wrong => return wrong,
            }
        }
        Ok(())
    }
}
