//! The vault that all programs share, from the side of the process that is never killed.

use std::time::{Duration, Instant};

use plasmon::{ActorOptions, Error, ObjectRef};

use crate::content::Ids;
use crate::trouble::{Trouble, passes};
use crate::vault::{BOARD, Entry, Vault, VaultHandle, id_of, shared};

/// How long it may be refused room, once everybody is at rest.
const PATIENCE: Duration = Duration::from_secs(20);

/// A detached actor, found by its name; made anew when it was killed.
pub(crate) struct Board {
    handle: VaultHandle,
    /// What it handed out last: keeps that alive, whatever becomes of the board.
    given: Option<ObjectRef<Vec<Entry>>>,
}

impl Board {
    /// Makes one.
    pub(crate) fn new() -> Result<Self, String> {
        let options = ActorOptions::new().name(BOARD).detached(true).max_concurrency(4);
        let handle = Vault::options(options).remote().map_err(|error| format!("no board: {error}"))?;
        Ok(Self { handle, given: None })
    }

    /// Everything that it keeps alive, read and verified, while nobody else uses it. A dead one is replaced.
    pub(crate) fn settle(&mut self) -> Result<Ids, String> {
        self.given = None;
        let mut ids = Ids::new();
        let deadline = Instant::now() + PATIENCE;
        let (given, got) = loop {
            let given = self.handle.give().map_err(|error| format!("the board is gone: {error}"))?;
            let got = plasmon::get(&given);
            match &got {
                Err(error) if passes(error) && Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
                _ => break (given, got),
            }
        };
        match got {
            Ok(entries) => {
                for (reference, series) in &entries {
                    if let Err(Trouble::Wrong(what)) = shared(*series, reference, &mut ids) {
                        return Err(format!("{what}, on the board"));
                    }
                }
                ids.insert(given.id());
                self.given = Some(given);
            }
            Err(error @ Error::ActorDied { .. }) => {
                if let Trouble::Wrong(what) = Trouble::from(error) {
                    return Err(what);
                }
                *self = Self::new()?;
            }
            Err(error) => return Err(format!("the board says {error}")),
        }
        ids.insert(id_of(&self.handle));
        Ok(ids)
    }

    /// Ends it.
    pub(crate) fn end(self) -> Result<(), String> {
        plasmon::kill(&self.handle).map_err(|error| format!("the board cannot be killed: {error}"))
    }
}
