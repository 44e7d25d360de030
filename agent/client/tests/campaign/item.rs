//! One thing that a process holds, and what it must be.

use plasmon::ObjectRef;

use crate::content::{Ids, Numbers, Series, Tree};
use crate::trouble::{Trouble, passes};
use crate::vault::{KEPT, Own};

/// The fate of a result that there was no room for, as far as anybody can tell.
const FULL: &str = "full";

/// A reference, with what is behind it.
pub(crate) enum What {
    Numbers(Numbers, Series),
    Number(ObjectRef<u64>, u64),
    /// How many entries a vault had that others use too.
    Count(ObjectRef<u64>),
    Tree(ObjectRef<Tree>, u64, u32),
    /// A reference to a tree that a worker put.
    Grown(ObjectRef<ObjectRef<Tree>>, u64, u32),
    /// References that went through a worker.
    Passed(ObjectRef<Vec<Numbers>>, Vec<Series>),
    /// A reference to the result of a worker's task.
    Relayed(ObjectRef<Numbers>, Series),
    /// An actor that keeps references.
    Vault(Own),
}

/// A thing that is held. What it turned out to be the first time, it stays; but actors die.
pub(crate) struct Item {
    pub(crate) what: What,
    fate: Option<Fate>,
    /// When it was looked at last there was no room for it, or the disk failed.
    refused: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Value,
    /// The error with this code.
    Failed(&'static str),
}

impl Item {
    /// A value that was put: it is there, and stays.
    pub(crate) fn put(what: What) -> Self {
        Self { what, fate: Some(Fate::Value), refused: false }
    }

    /// The result of a task, which may fail.
    pub(crate) fn pending(what: What) -> Self {
        Self { what, fate: None, refused: false }
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.fate.is_none()
    }

    /// It turned out to be an error.
    pub(crate) fn is_failed(&self) -> bool {
        matches!(self.fate, Some(Fate::Failed(_)))
    }

    /// It was there when it was looked at last.
    pub(crate) fn is_value(&self) -> bool {
        self.fate == Some(Fate::Value)
    }

    /// When it was looked at last there was no room for it, or the disk failed.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused
    }

    /// It was refused for as long as there was any reason to: the task itself got no room for its result.
    ///
    /// # Errors
    /// It was there before, so that it must be there.
    pub(crate) fn give_up(&mut self) -> Result<(), Trouble> {
        if self.fate == Some(Fate::Value) {
            return Err(Trouble::Wrong(format!("{} was there, and nobody can get it", self.name())));
        }
        self.fate = Some(Fate::Failed(FULL));
        Ok(())
    }

    /// Gets it, down to the last byte of the last object inside; waits until it is there. Adds the ids of all these objects.
    ///
    /// # Errors
    /// What broke a promise; the agent's death.
    pub(crate) fn verify(&mut self, ids: &mut Ids) -> Result<(), Trouble> {
        let got = self.get(ids);
        self.refused = matches!(&got, Err(Trouble::Typed(error)) if passes(error));
        if self.refused {
            return Ok(());
        }
        let fate = match got {
            Ok(()) => Fate::Value,
            Err(Trouble::Typed(error)) if error.code() == "agent_died" => return Err(Trouble::Typed(error)),
            Err(Trouble::Typed(error)) => Fate::Failed(error.code()),
            Err(Trouble::Wrong(what)) => return Err(Trouble::Wrong(format!("{what}, in {}", self.name()))),
        };
        let mortal = matches!(self.what, What::Vault(_)) && fate == Fate::Failed("actor_died");
        match self.fate.replace(fate) {
            Some(Fate::Value) if mortal => Ok(()),
            Some(Fate::Failed(FULL)) => Ok(()),
            Some(before) if before != fate => Err(Trouble::Wrong(format!("{} was {before:?} and is {fate:?}", self.name()))),
            _ => Ok(()),
        }
    }

    fn get(&mut self, ids: &mut Ids) -> Result<(), Trouble> {
        match &mut self.what {
            What::Vault(own) => own.get(ids),
            What::Numbers(reference, series) => series.get(reference, ids),
            What::Number(reference, expected) => {
                ids.insert(reference.id());
                let number = plasmon::get(reference)?;
                if number == *expected { Ok(()) } else { Err(Trouble::Wrong(format!("wrong bytes: {number:x} instead of {expected:x}"))) }
            }
            What::Count(reference) => {
                ids.insert(reference.id());
                let number = plasmon::get(reference)?;
                if (1..=KEPT as u64).contains(&number) { Ok(()) } else { Err(Trouble::Wrong(format!("wrong bytes: {number:x} entries"))) }
            }
            What::Tree(reference, seed, depth) => Tree::get(reference, *seed, *depth, ids),
            What::Grown(reference, seed, depth) => {
                ids.insert(reference.id());
                Tree::get(&plasmon::get(reference)?, *seed, *depth, ids)
            }
            What::Passed(reference, parts) => {
                ids.insert(reference.id());
                let inside = plasmon::get(reference)?;
                if inside.len() != parts.len() {
                    return Err(Trouble::Wrong(format!("wrong bytes: {} references instead of {}", inside.len(), parts.len())));
                }
                ids.extend(inside.iter().map(ObjectRef::id));
                inside.iter().zip(parts.iter()).try_for_each(|(reference, series)| series.get(reference, ids))
            }
            What::Relayed(reference, series) => {
                ids.insert(reference.id());
                series.get(&plasmon::get(reference)?, ids)
            }
        }
    }

    fn name(&self) -> String {
        match &self.what {
            What::Numbers(reference, series) => format!("numbers {} of {series:x?}", reference.id()),
            What::Number(reference, _) | What::Count(reference) => format!("number {}", reference.id()),
            What::Vault(own) => own.name(),
            What::Tree(reference, seed, _) => format!("tree {} of seed {seed:x}", reference.id()),
            What::Grown(reference, seed, _) => format!("grown tree {} of seed {seed:x}", reference.id()),
            What::Passed(reference, _) => format!("passed references {}", reference.id()),
            What::Relayed(reference, series) => format!("relayed {} of {series:x?}", reference.id()),
        }
    }
}
