//! What the agent sends. A thread that waits for an answer or a task reads the ring itself, unless another one does so already; what
//! comes for others it hands on. While nobody waits, the service thread has the ring. So an answer takes one wake, not two, and none
//! while the thread that waits still looks by itself.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use plasmon_memory::doorbell::Doorbell;
use plasmon_memory::ring::{Consumer, Frames, TO_CLIENT, max_message};
use plasmon_memory::words::Sleeper;
use plasmon_protocol::error::Error;
use plasmon_protocol::local::{self, Outcome, ToAgent, ToClient};
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::cancelled;
use crate::client::Client;
use crate::object::unclaimed;
use crate::request::Answer;

/// How long a thread that waits looks by itself before it sleeps: about what two wakes of sleeping processors take.
const LOOK: Duration = Duration::from_micros(50);

/// How the wait of a thread that may read ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Led {
    /// What it waited for is there.
    Done,
    /// Its time is over.
    Late,
    /// Another thread reads, and will tell it.
    Busy,
}

/// The ring from the agent, and where tasks wait that came through it.
pub(crate) struct Inbound {
    reader: Mutex<Reader>,
    /// The agent has ended: all that it said is in the ring.
    agent_gone: AtomicBool,
    /// The service thread was rung for while another thread had the ring: it is rung for again when that one leaves.
    missed: AtomicBool,
    /// Wakes the thread that reads because it waits.
    bell: Doorbell,
    tasks: Mutex<Tasks>,
    task_came: Condvar,
}

#[derive(Default)]
struct Tasks {
    queue: VecDeque<Vec<u8>>,
    /// The main thread waits to be told.
    waiting: bool,
}

/// The right to read.
pub(crate) struct Reader {
    ring: Consumer,
    bytes: Vec<u8>,
    /// What the agent must still be told about answers that nobody took. Whoever reads must not wait for room: reading makes it.
    owed: VecDeque<ToAgent<'static>>,
}

impl Inbound {
    pub(crate) fn new(ring: Consumer, bell: Doorbell) -> Self {
        Self {
            reader: Mutex::new(Reader { ring, bytes: Vec::new(), owed: VecDeque::new() }),
            agent_gone: AtomicBool::new(false),
            missed: AtomicBool::new(false),
            bell,
            tasks: Mutex::default(),
            task_came: Condvar::new(),
        }
    }

    fn try_take(&self) -> Option<MutexGuard<'_, Reader>> {
        match self.reader.try_lock() {
            Ok(reader) => Some(reader),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// The ring, for the service thread; `None` when another thread has it, which rings when it leaves.
    pub(crate) fn take_for_service(&self) -> Option<MutexGuard<'_, Reader>> {
        self.missed.store(false, Ordering::SeqCst);
        self.try_take().or_else(|| {
            // Set first, tried second; whoever leaves does it the other way round. One of both sees the other.
            self.missed.store(true, Ordering::SeqCst);
            self.try_take()
        })
    }

    /// The agent has ended: what it said before counts, whoever has the ring.
    pub(crate) fn read_the_rest(&self, client: &Client) {
        self.agent_gone.store(true, Ordering::SeqCst);
        // Whoever has it leaves it.
        self.wake_reader();
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = reader.read(client);
    }

    /// Wakes the thread that reads because it waits: something came about that is not in the ring.
    pub(crate) fn wake_reader(&self) {
        self.bell.ring();
        let tasks = self.tasks();
        if tasks.waiting {
            self.task_came.notify_all();
        }
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_task(&self, message: Vec<u8>) {
        let mut tasks = self.tasks();
        tasks.queue.push_back(message);
        if tasks.waiting {
            self.task_came.notify_all();
        }
    }

    /// Waits for the next message to a worker's main thread, still encoded; `None` at the connection's end.
    pub(crate) fn next_task(&self, client: &Client) -> Option<Vec<u8>> {
        loop {
            if let Some(message) = self.tasks().queue.pop_front() {
                return Some(message);
            }
            if client.is_closed() {
                return None;
            }
            let there = || client.is_closed() || !self.tasks().queue.is_empty();
            if self.lead(client, None, true, there) == Led::Busy {
                let mut tasks = self.tasks();
                tasks.waiting = true;
                while tasks.queue.is_empty() && !client.is_closed() {
                    tasks = self.task_came.wait(tasks).unwrap_or_else(PoisonError::into_inner);
                }
                tasks.waiting = false;
            }
        }
    }

    /// Reads as long as nobody else does, until `is_over`; looks first, then sleeps if it `may_sleep`.
    pub(crate) fn lead(&self, client: &Client, deadline: Option<Instant>, may_sleep: bool, is_over: impl Fn() -> bool) -> Led {
        let Some(mut reader) = self.try_take() else { return Led::Busy };
        let whole = Whole(client);
        client.words.set_sleeper(Sleeper::Nobody);
        let led = reader.lead(client, self, deadline, may_sleep, is_over);
        // The service thread sleeps, or is about to look whether it may have the ring.
        client.words.set_sleeper(Sleeper::Service);
        let left = !reader.ring.is_empty() || !reader.owed.is_empty();
        drop(reader);
        if self.missed.swap(false, Ordering::SeqCst) || left || client.is_recalled() {
            client.wake_service();
        }
        whole.left();
        led
    }
}

/// What a thread reads it hands on. Should a waker of the program's panic meanwhile, what others wait for is lost, and so is the
/// connection: nobody waits for ever.
struct Whole<'a>(&'a Client);

impl Whole<'_> {
    /// All is handed on. Said, not found out: a thread that reads in a destructor may be panicking for a reason of its own.
    fn left(self) {
        std::mem::forget(self);
    }
}

impl Drop for Whole<'_> {
    fn drop(&mut self) {
        if !self.0.is_closed() {
            self.0.give_up("a panic while an answer was handed on");
        }
    }
}

impl Reader {
    fn lead(&mut self, client: &Client, inbound: &Inbound, deadline: Option<Instant>, may_sleep: bool, is_over: impl Fn() -> bool) -> Led {
        let look_until = look_until();
        let mut changed = true;
        loop {
            let gone = inbound.agent_gone.load(Ordering::SeqCst);
            match self.read(client) {
                Ok(read) => changed |= read > 0,
                Err(cause) => client.give_up(&cause),
            }
            if (gone || client.is_closed() || changed) && is_over() {
                return Led::Done;
            }
            if gone || client.is_closed() {
                // Everybody is about to be told why.
                return Led::Busy;
            }
            changed = false;
            let now = Instant::now();
            if deadline.is_some_and(|deadline| now >= deadline) {
                return Led::Late;
            }
            if now < look_until {
                std::thread::yield_now();
                continue;
            }
            if !may_sleep {
                return Led::Late;
            }
            client.words.set_sleeper(Sleeper::Reader);
            // Leases are the service thread's concern. Looked at after that word, as the ring is.
            if client.is_recalled() {
                client.wake_service();
            }
            if self.ring.is_empty() && !client.is_closed() && !inbound.agent_gone.load(Ordering::SeqCst) {
                let limit = deadline.map(|deadline| deadline.saturating_duration_since(now));
                let owing = (!self.owed.is_empty()).then_some(SOON);
                poll(&mut [PollFd::new(&inbound.bell, PollFlags::IN)], limit.into_iter().chain(owing).min());
                inbound.bell.clear();
            }
            client.words.set_sleeper(Sleeper::Nobody);
            changed = true;
        }
    }

    /// Reads what is there, and hands it to whoever waits for it; how many bytes there were.
    ///
    /// # Errors
    /// What the agent sent that no agent sends.
    pub(crate) fn read(&mut self, client: &Client) -> Result<usize, String> {
        let Self { ring, bytes, owed } = self;
        bytes.clear();
        let drained = ring.drain(bytes).map_err(|error| error.to_string())?;
        let read = deliver(client, bytes, owed);
        while owed.front().is_some_and(|message| client.try_push(message, false)) {
            owed.pop_front();
        }
        if drained > 0 && client.words.wants_space() {
            client.wake_agent();
        }
        read.map(|()| drained)
    }

    /// Whether the agent is still owed a word that found no room.
    pub(crate) fn owes(&self) -> bool {
        !self.owed.is_empty()
    }

    /// Whether there is nothing to read.
    pub(crate) fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }
}

/// How soon a word is tried again that the ring had no room for.
pub(crate) const SOON: Duration = Duration::from_millis(1);

/// When somebody who begins to look now should stop. It gives way at each look, so that also where there is but one processor those go
/// on who are waited for: a switch costs less there than a wake.
pub(crate) fn look_until() -> Instant {
    Instant::now() + LOOK
}

/// Sleeps until one of these is ready, or for `limit`.
pub(crate) fn poll(events: &mut [PollFd<'_>], limit: Option<Duration>) {
    let limit = limit.map(|limit| Timespec { tv_sec: limit.as_secs().cast_signed(), tv_nsec: limit.subsec_nanos().into() });
    // Interrupted: whoever slept looks at everything.
    let _ = rustix::event::poll(events, limit.as_ref());
}

fn deliver(client: &Client, bytes: &[u8], owed: &mut VecDeque<ToAgent<'static>>) -> Result<(), String> {
    let mut answer = |request, answer| {
        owed.extend(client.requests.answer(request, answer).and_then(|answer| unclaimed(&answer)));
    };
    for frame in Frames::new(bytes, max_message(TO_CLIENT)) {
        let frame = frame.map_err(|error| error.to_string())?;
        let message: ToClient<'_> = local::decode("the agent", frame).map_err(|error| error.to_string())?;
        match message {
            ToClient::Run { task, work, function, .. } => {
                cancelled::assigned(task, function, work);
                client.inbound.give_task(frame.to_vec());
            }
            ToClient::Exit => client.inbound.give_task(frame.to_vec()),
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
                    Outcome::Failed(error) => Answer::Refused(local::decode("the agent", error).unwrap_or_else(|error: Error| error)),
                };
                answer(request, resolved);
            }
            ToClient::Cancel { task } => cancelled::cancel(task),
        }
    }
    Ok(())
}
