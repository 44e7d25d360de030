//! While a value is written or read, the references inside it are counted: they join the thread's open scope. Outside of any scope
//! a reference cannot be serialised, because nobody would know who holds it.

use std::cell::RefCell;
use std::sync::Arc;
use std::thread::LocalKey;

use plasmon_memory::slot::SlotState;
use plasmon_protocol::error::Error;
use plasmon_protocol::id::{ObjectId, ObjectKey};
use plasmon_protocol::local::Short;

use crate::client::Client;
use crate::object_ref::{Held, ObjectRef};

thread_local! {
    static WRITING: RefCell<Option<Vec<Held>>> = const { RefCell::new(None) };
    static READING: RefCell<Option<(Reading, Option<Error>)>> = const { RefCell::new(None) };
}

/// Where references that are read belong.
#[derive(Clone)]
pub(crate) struct Reading {
    /// Who holds them from now on.
    pub(crate) client: Arc<Client>,
    /// The client's number of the site that reads them.
    pub(crate) site: u32,
}

/// Puts another scope in the place of this one, which is returned. While a thread ends, and its values are dropped, there may be none any
/// more: a reference is outside of every scope then.
fn swap<T>(scope: &'static LocalKey<RefCell<Option<T>>>, other: Option<T>) -> Option<T> {
    scope.try_with(|scope| scope.replace(other)).ok().flatten()
}

/// Looks at a scope; `None` where there is none.
fn inside<T, R>(scope: &'static LocalKey<RefCell<Option<T>>>, look: impl FnOnce(&mut T) -> R) -> Option<R> {
    scope.try_with(|scope| scope.borrow_mut().as_mut().map(look)).ok().flatten()
}

/// Runs `write`, and returns the references that it wrote: held, because the value that they are in may be dropped before the agent
/// knows who contains them.
pub(crate) fn writing<T>(write: impl FnOnce() -> T) -> (T, Vec<Held>) {
    /// Puts the outer scope back, whatever the value's own code does: a scope that stays open would let references out uncounted.
    struct Restore(Option<Vec<Held>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            swap(&WRITING, self.0.take());
        }
    }
    let restore = Restore(swap(&WRITING, Some(Vec::new())));
    let result = write();
    let inner = swap(&WRITING, None).unwrap_or_default();
    drop(restore);
    (result, inner)
}

/// A reference is being written; false outside of a scope.
pub(crate) fn wrote(handle: &Held) -> bool {
    inside(&WRITING, |handles| handles.push(handle.clone())).is_some()
}

/// What this scope has of references was written in vain: it is written anew.
pub(crate) fn write_anew() {
    inside(&WRITING, Vec::clear);
}

/// Runs `read` with references going to `reading`. Beside its result: why the agent could not be told of a reference, if so. A format
/// keeps no error but its own.
pub(crate) fn reading<T>(reading: Reading, read: impl FnOnce() -> T) -> (T, Option<Error>) {
    /// As for writing.
    struct Restore(Option<(Reading, Option<Error>)>);
    impl Drop for Restore {
        fn drop(&mut self) {
            swap(&READING, self.0.take());
        }
    }
    let restore = Restore(swap(&READING, Some((reading, None))));
    let result = read();
    let refused = swap(&READING, None).and_then(|(_, refused)| refused);
    drop(restore);
    (result, refused)
}

/// Where a reference that is being read belongs; `None` outside of a scope.
fn reader() -> Option<Reading> {
    inside(&READING, |(reading, _)| reading.clone())
}

/// A reference that is read: this process's from here on.
///
/// # Errors
/// [`Error::OutOfBand`] outside of a scope; [`Error::ObjectLost`] when it is not of this node, or there is no such object; the agent could
/// not be told.
pub(crate) fn borrow<T: ?Sized>(id: ObjectId) -> Result<ObjectRef<T>, Error> {
    // Its count of the connection becomes the reference's.
    let Reading { client, site } = reader().ok_or(Error::OutOfBand { object: id })?;
    if id.node() != client.hello.node {
        return Err(Error::ObjectLost { object: id, cause: "it belongs to another node".to_owned() });
    }
    let key = id.key();
    if !is_there(&client, key) {
        return Err(Error::ObjectLost { object: id, cause: "nothing that holds it was found with it".to_owned() });
    }
    client.push_short(&Short::add_local(key, site)).map_err(refused)?;
    failpoint!("borrowed");
    Ok(ObjectRef::of(Held::new(client, key)))
}

/// Whether there is such an object. Whatever is inside an object lives as long as it; the agent would drop this process for a word of
/// anything else, and bytes that somebody made up must not bring that about.
fn is_there(client: &Client, key: ObjectKey) -> bool {
    client.slots.state(key.slot).is_some_and(|(generation, state)| generation == key.generation && state != SlotState::Free)
}

/// Many references that are read, told to the agent in one go; `None` for those that are not there.
///
/// # Errors
/// The connection has ended.
pub(crate) fn borrow_all<T: ?Sized>(
    client: &Arc<Client>,
    ids: impl ExactSizeIterator<Item = ObjectId>,
    site: u32,
) -> Result<Vec<Option<ObjectRef<T>>>, Error> {
    let mut references = Vec::with_capacity(ids.len());
    // What is dropped early is told of, too: after this.
    let mut sender = client.sender()?;
    for id in ids {
        let key = id.key();
        let there = id.node() == client.hello.node && is_there(client, key);
        if there && let Err(error) = sender.push_short(&Short::add_local(key, site)) {
            drop(sender);
            return Err(error);
        }
        references.push(there.then(|| ObjectRef::adopt(client, key)));
    }
    sender.finish(false);
    failpoint!("borrowed");
    Ok(references)
}

/// The agent could not be told of a reference that was read: the first such error is the scope's.
fn refused(error: Error) -> Error {
    inside(&READING, |(_, first)| {
        first.get_or_insert_with(|| error.clone());
    });
    error
}
