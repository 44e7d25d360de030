//! The connection's own thread: reads what the agent sends, gives idle memory back when asked, names call sites, and notices the
//! agent's end.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use plasmon_memory::ring::{Consumer, Frames, TO_CLIENT, max_message};
use plasmon_protocol::error::Error;
use plasmon_protocol::local::{self, Outcome, ToAgent, ToClient};
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::cancelled;
use crate::client::Client;
use crate::connect::{Inbox, is_task};
use crate::object::unclaimed;
use crate::request::Answer;
use crate::writer;

/// How soon a word is tried again that the ring had no room for.
const SOON: Timespec = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };

/// Starts the thread.
pub(crate) fn start(client: &Arc<Client>, inbound: Consumer, inbox: Option<Inbox>) -> Result<(), Error> {
    let refused = |error: std::io::Error| Error::system("start the thread plasmon", error);
    let socket = client.watch_channel().map_err(refused)?;
    // The thread reads shared words to its end: the connection closes after that.
    client.view_opened();
    let serve = {
        let client = Arc::clone(client);
        move || run(&client, inbound, inbox.as_ref(), socket)
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
            self.0.die();
        }
        // The last to go: its end tells the agent that this process looks at nothing any more.
        self.0.view_closed();
    }
}

fn run(client: &Client, inbound: Consumer, inbox: Option<&Inbox>, socket: OwnedFd) {
    let _serving = Serving(client);
    // Dropped before that: nothing is read and watched when the connection closes.
    let (mut inbound, socket) = (inbound, socket);
    let mut bytes = Vec::new();
    let mut recalls = 0;
    // What the agent must still be told about answers that nobody took. This thread must not wait for room: it makes it.
    let mut owed = VecDeque::new();
    loop {
        bytes.clear();
        let drained = inbound.drain(&mut bytes);
        let read = drained.map_err(|error| error.to_string()).and_then(|_| deliver(client, &bytes, inbox, &mut owed));
        while owed.front().is_some_and(|message| client.try_push(message)) {
            owed.pop_front();
        }
        if read.is_err() || client.is_closed() {
            break;
        }
        if !bytes.is_empty() && client.words.wants_space() {
            client.wake_agent();
        }
        let recall = client.words.recall();
        if recall != recalls {
            recalls = recall;
            failpoint!("recalled");
            writer::return_idle(client);
        }
        client.sites.name_functions(client);
        client.words.set_sleeping(true);
        if inbound.is_empty() && client.words.recall() == recall && !sleep(client, &socket, !owed.is_empty()) {
            // What the agent said before it ended counts.
            bytes.clear();
            if inbound.drain(&mut bytes).is_ok() {
                let _ = deliver(client, &bytes, inbox, &mut owed);
            }
            break;
        }
        client.words.set_sleeping(false);
    }
}

/// Sleeps until the agent rings, or a moment when it `owes` the agent a word; false when it is gone.
fn sleep(client: &Client, socket: &OwnedFd, owes: bool) -> bool {
    let mut events = [PollFd::new(client.own_bell(), PollFlags::IN), PollFd::new(socket, PollFlags::IN)];
    // Interrupted: look at everything.
    let _ = rustix::event::poll(&mut events, owes.then_some(&SOON));
    let gone = !events[1].revents().is_empty();
    client.own_bell().clear();
    !gone
}

fn deliver(client: &Client, bytes: &[u8], inbox: Option<&Inbox>, owed: &mut VecDeque<ToAgent<'static>>) -> Result<(), String> {
    let mut answer = |request, answer| {
        owed.extend(client.requests.answer(request, answer).and_then(|answer| unclaimed(&answer)));
    };
    for frame in Frames::new(bytes, max_message(TO_CLIENT)) {
        let frame = frame.map_err(|error| error.to_string())?;
        let message: ToClient<'_> = local::decode("the agent", frame).map_err(|error| error.to_string())?;
        if is_task(&message) {
            if let ToClient::Run { task, function, .. } = message {
                cancelled::assigned(task, function);
            }
            if let Some(inbox) = inbox {
                // The main thread ends only with the process.
                let _ = inbox.send(frame.to_vec());
            }
            continue;
        }
        match message {
            ToClient::Leased { request, lease, offset, length } => {
                answer(request, Answer::Leased { lease, offset, length });
            }
            ToClient::Slots { request, first } => answer(request, Answer::Slots { first }),
            ToClient::Found { request, actor, class } => answer(request, Answer::Found { actor, class: class.to_owned() }),
            ToClient::Refused { request, error } => answer(request, Answer::Refused(error)),
            ToClient::Resolved { request, outcome } => {
                let resolved = match outcome {
                    Outcome::Ready => Answer::Ready,
                    Outcome::Pinned(key) => Answer::Pinned(key),
                    Outcome::Inline(value) => Answer::Inline(value.into()),
                    // A wait is not told the error, only that there is one.
                    Outcome::Failed([]) => Answer::Ready,
                    Outcome::Failed(error) => Answer::Refused(local::decode("the agent", error).unwrap_or_else(|error| error)),
                };
                answer(request, resolved);
            }
            ToClient::Cancel { task } => cancelled::cancel(task),
            ToClient::Run { .. } | ToClient::Exit => {}
        }
    }
    Ok(())
}
