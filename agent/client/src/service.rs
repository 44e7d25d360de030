//! The connection's own thread: reads what the agent sends, gives idle memory back when asked, names call sites, and notices the
//! agent's end.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use plasmon_memory::words::Sleeper;
use plasmon_protocol::error::Error;
use rustix::event::{PollFd, PollFlags};

use crate::client::Client;
use crate::inbound::{self, SOON};
use crate::writer;

/// Starts the thread.
pub(crate) fn start(client: &Arc<Client>) -> Result<(), Error> {
    let refused = |error: std::io::Error| Error::system("start the thread plasmon", error);
    let socket = client.watch_channel().map_err(refused)?;
    // The thread reads shared words to its end: the connection closes after that.
    client.view_opened();
    let serve = {
        let client = Arc::clone(client);
        move || run(&client, socket)
    };
    match std::thread::Builder::new().name("plasmon".to_owned()).spawn(serve) {
        Ok(_) => Ok(()),
        Err(error) => {
            client.view_closed();
            client.close();
            Err(refused(error))
        }
    }
}

/// The thread's share of the connection. Whatever ends the thread, nobody waits for answers that nobody would deliver.
struct Serving<'a>(&'a Client);

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        if !self.0.is_closed() {
            if std::thread::panicking() { self.0.give_up("its service thread panicked") } else { self.0.die() }
        }
        self.0.await_writers();
        // The last to go: its end tells the agent that this process looks at nothing any more.
        self.0.view_closed();
    }
}

fn run(client: &Client, socket: OwnedFd) {
    let _serving = Serving(client);
    // Dropped before that: nothing is read and watched when the connection closes.
    let socket = socket;
    // This thread makes room in the rings, so it waits for nobody who may wait for that: what cannot be done now is tried again soon.
    let (mut returns, mut named) = (VecDeque::new(), None);
    loop {
        let recall = client.words.recall();
        let mut put_off = false;
        if client.is_recalled() {
            failpoint!("recalled");
            match writer::release_idle(client) {
                Some(released) => {
                    returns.extend(released);
                    // Afterwards: until then none of them is written anew.
                    client.note_recall(recall);
                }
                None => put_off = true,
            }
        }
        while returns.front().is_some_and(|message| client.try_push(message, true)) {
            returns.pop_front();
        }
        put_off |= !client.sites.name_functions(client, &mut named) || !returns.is_empty();
        let (mut idle, mut owes) = (true, put_off);
        // Another thread that has the ring reads it, and rings when it leaves.
        if let Some(mut reader) = client.inbound.take_for_service() {
            client.words.set_sleeper(Sleeper::Nobody);
            if let Err(cause) = reader.read(client) {
                client.give_up(&cause);
                break;
            }
            client.words.set_sleeper(Sleeper::Service);
            idle = reader.is_empty();
            owes |= reader.owes();
        }
        if client.is_closed() {
            break;
        }
        if idle && client.words.recall() == recall && !sleep(client, &socket, owes.then_some(SOON)) {
            // What the agent said before it ended counts.
            client.inbound.read_the_rest(client);
            break;
        }
    }
}

/// Sleeps until the agent or another thread rings, or for `limit`; false when the agent is gone.
fn sleep(client: &Client, socket: &OwnedFd, limit: Option<Duration>) -> bool {
    let mut events = [PollFd::new(client.own_bell(), PollFlags::IN), PollFd::new(socket, PollFlags::IN)];
    inbound::poll(&mut events, limit);
    let gone = !events[1].revents().is_empty();
    client.own_bell().clear();
    !gone
}
