//! All actors that are known, by their keys. Each lies in a place of its own for as long as it is known.

use hashbrown::HashMap;
use plasmon_protocol::id::ObjectKey;

use super::actor::Actor;
use crate::changes::Changes;

/// The actors.
#[derive(Debug, Default)]
pub struct Actors {
    found: HashMap<ObjectKey, u32, foldhash::fast::FixedState>,
    places: Vec<Option<Box<Actor>>>,
    vacant: Vec<u32>,
    /// Places of actors that changed, for whoever follows the table.
    pub changes: Changes,
    /// The same, for whoever follows the processes: their rows tell which calls are run.
    pub changes_in_processes: Changes,
}

impl Actors {
    /// What people see of the actor at this place changes, here or elsewhere.
    fn mark_place(&mut self, place: u32) {
        self.changes.mark(place);
        self.changes_in_processes.mark(place);
    }

    /// What people see of an actor changes elsewhere.
    pub fn mark(&mut self, key: &ObjectKey) {
        if let Some(place) = self.found.get(key) {
            self.mark_place(*place);
        }
    }

    /// Adds an actor, in place of one that had the same key.
    pub fn insert(&mut self, actor: Actor) {
        let place = *self.found.entry(actor.key).or_insert_with(|| {
            self.vacant.pop().unwrap_or_else(|| {
                self.places.push(None);
                self.places.len() as u32 - 1
            })
        });
        self.places[place as usize] = Some(Box::new(actor));
        self.mark_place(place);
    }

    /// Forgets an actor.
    pub fn remove(&mut self, key: &ObjectKey) {
        let Some(place) = self.found.remove(key) else { return };
        self.places[place as usize] = None;
        self.mark_place(place);
        self.vacant.push(place);
    }

    /// The actor at a place, unless it is vacant.
    #[must_use]
    pub fn at(&self, place: u32) -> Option<&Actor> {
        self.places.get(place as usize)?.as_deref()
    }

    /// There are no actors at places from here on.
    #[must_use]
    pub fn end(&self) -> u32 {
        self.places.len() as u32
    }

    /// An actor.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<&Actor> {
        self.at(*self.found.get(key)?)
    }

    /// An actor, to change it.
    pub fn get_mut(&mut self, key: &ObjectKey) -> Option<&mut Actor> {
        let place = *self.found.get(key)?;
        self.mark_place(place);
        self.places.get_mut(place as usize)?.as_deref_mut()
    }

    /// Whether there is one of this key.
    #[must_use]
    pub fn contains_key(&self, key: &ObjectKey) -> bool {
        self.found.contains_key(key)
    }

    /// How many actors are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// All actors, in no order.
    pub fn values(&self) -> impl Iterator<Item = &Actor> {
        self.places.iter().filter_map(Option::as_deref)
    }
}
