//! One connection to an agent, used by every thread of the process. A forked child has its parent's in its memory, and none of what it
//! leads to: whoever can be there asks [`Client::alive`] or [`Client::is_here`] before any lock and before any shared word.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use plasmon_memory::biased::{Biased, Guard};
use plasmon_memory::channel::Channel;
use plasmon_memory::doorbell::Doorbell;
use plasmon_memory::fork::{Mark, Own};
use plasmon_memory::pool::Pool;
use plasmon_memory::ring::Producer;
use plasmon_memory::slot::{AgentRest, AgentState, SlotTable};
use plasmon_memory::words::ClientWords;

use plasmon_protocol::error::Error;
use plasmon_protocol::id::{ObjectKey, TaskKey};
use plasmon_protocol::local::{self, AgentHello, Farewell, MAX_INSIDE, MAX_STAGED, Short, ToAgent};
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::cancelled;
use crate::inbound::Inbound;
use crate::request::Requests;
use crate::site::Sites;
use crate::writer::Writer;

/// How long a thread whose ring is full sleeps between two looks: twice as long each time, up to a fraction of what the agent takes for a
/// full ring. It is the agent that needs the processor.
const FULL: Duration = Duration::from_micros(50);
const FULL_AT_MOST: Duration = Duration::from_millis(1);

/// The connection, of the process that made it.
pub struct Client(Own<Connection>);

/// What a connection consists of.
pub struct Connection {
    pub(crate) hello: AgentHello,
    /// The process that is connected.
    pid: u32,
    /// Tells this connection from earlier ones of the same process.
    pub(crate) serial: u64,
    pub(crate) pool: Arc<Pool>,
    pub(crate) slots: SlotTable,
    pub(crate) words: ClientWords,
    pub(crate) requests: Requests,
    /// What the agent sends.
    pub(crate) inbound: Inbound,
    /// The agent's last demand for idle leases that was heard.
    recalls: AtomicU32,
    pub(crate) sites: Sites,
    /// Numbers of tasks.
    pub(crate) tasks: AtomicU32,
    /// A worker, not a driver.
    pub(crate) worker: bool,
    outbound: Biased<Outbound>,
    agent_bell: Doorbell,
    own_bell: Doorbell,
    /// Closed when the connection ends and no view is left.
    channel: Mutex<Option<Channel>>,
    /// Set by the end of the connection: nothing is sent any more.
    closed: AtomicBool,
    /// What the agent said when it ended the connection.
    farewell: OnceLock<String>,
    /// Why it ended; there when `closed` is set.
    end: OnceLock<Error>,
    /// Views into the pool that live and have no place in the pin table, drafts, and the service thread.
    views: AtomicUsize,
}

/// What a put needs, under one lock: where it writes, and the ring that it is told through.
struct Outbound {
    writer: Writer,
    ring: Producer,
    buffer: Vec<u8>,
    /// The agent's rest that its bell was rung for last.
    rung: AgentRest,
}

/// What a connection is made of.
pub(crate) struct Parts {
    pub(crate) hello: AgentHello,
    pub(crate) pool: Pool,
    pub(crate) slots: SlotTable,
    pub(crate) words: ClientWords,
    pub(crate) ring: Producer,
    pub(crate) inbound: Inbound,
    pub(crate) agent_bell: Doorbell,
    pub(crate) own_bell: Doorbell,
    pub(crate) channel: Channel,
    pub(crate) worker: bool,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("hello", &self.hello).finish_non_exhaustive()
    }
}

impl Deref for Client {
    type Target = Connection;

    #[inline]
    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl Client {
    pub(crate) fn new(mark: Mark, parts: Parts) -> Self {
        #[cfg(feature = "failpoints")]
        crate::failpoint::install();
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        let connection = Connection {
            pid: std::process::id(),
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            requests: Requests::default(),
            inbound: parts.inbound,
            recalls: AtomicU32::new(0),
            sites: Sites::default(),
            tasks: AtomicU32::new(0),
            worker: parts.worker,
            outbound: Biased::new(Outbound { writer: Writer::default(), ring: parts.ring, buffer: Vec::new(), rung: AgentRest::default() }),
            agent_bell: parts.agent_bell,
            own_bell: parts.own_bell,
            channel: Mutex::new(Some(parts.channel)),
            closed: AtomicBool::new(false),
            farewell: OnceLock::new(),
            end: OnceLock::new(),
            views: AtomicUsize::new(0),
            pool: Arc::new(parts.pool),
            slots: parts.slots,
            words: parts.words,
            hello: parts.hello,
        };
        Self(Own::new(mark, connection))
    }

    /// Whether this is the process that is connected, and not one that was forked from it. Costs a load.
    #[inline]
    pub(crate) fn is_here(&self) -> bool {
        self.0.is_here()
    }

    /// The id of the process that is connected.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// What a forked child is told instead of being served.
    pub(crate) fn forked_away(&self) -> Error {
        forked_from(self.pid)
    }

    /// Sends a message that nobody waits for.
    #[inline]
    pub(crate) fn push(&self, message: &ToAgent<'_>) -> Result<(), Error> {
        let mut sender = self.sender()?;
        sender.push(message)?;
        sender.finish(false);
        Ok(())
    }

    /// The same for a message that is encoded already.
    #[inline]
    pub(crate) fn push_short(&self, short: &Short) -> Result<(), Error> {
        let mut sender = self.sender()?;
        sender.push_short(short)?;
        sender.finish(false);
        Ok(())
    }

    /// Sends a message whose effect somebody waits for.
    pub(crate) fn push_urgent(&self, message: &ToAgent<'_>) -> Result<(), Error> {
        let mut sender = self.sender()?;
        sender.push(message)?;
        sender.finish(true);
        Ok(())
    }

    /// Sends a message if there is room for it at this moment; true as well when nothing can be sent any more. For threads that make
    /// room: they must never wait for it.
    pub(crate) fn try_push(&self, message: &ToAgent<'_>, urgent: bool) -> bool {
        if self.alive().is_err() {
            return true;
        }
        // Whoever has the lock may be waiting for the same room.
        let Some(outbound) = self.outbound.try_lock() else { return false };
        let mut sender = Sender { client: self, outbound };
        let pushed = sender.try_push(message).unwrap_or(true);
        sender.finish(urgent);
        pushed
    }

    /// The right to send several messages that no other thread's come between.
    #[inline]
    pub(crate) fn sender(&self) -> Result<Sender<'_>, Error> {
        // Before the lock too: who is woken by the connection's end may be called by a thread that holds it.
        self.alive()?;
        let outbound = self.outbound.lock();
        self.alive()?;
        Ok(Sender { client: self, outbound })
    }

    /// Runs `with` on the leases and slots and the ring, if this thread has a seat there, and sees to it that the agent reads what it has sent.
    /// `None` as well when the connection does not serve.
    #[inline(always)]
    pub(crate) fn by_seat<T>(&self, with: impl FnOnce(&mut Writer, &mut Producer) -> Option<T>) -> Option<T> {
        // Before and after, as above.
        if !self.is_alive() {
            return None;
        }
        self.outbound.by_seat(|outbound| {
            if self.closed.load(Ordering::SeqCst) {
                return None;
            }
            let done = with(&mut outbound.writer, &mut outbound.ring)?;
            outbound.finish(self, false);
            Some(done)
        })
    }

    /// The leases and slots, unless another thread has them: it may wait for room in the ring. For the thread that makes it.
    pub(crate) fn try_writer(&self) -> Option<Leases<'_>> {
        self.outbound.try_lock().map(Leases)
    }

    /// The leases and slots. Nothing is sent while they are held, but through [`Sender::writer`].
    pub(crate) fn writer(&self) -> Leases<'_> {
        Leases(self.outbound.lock())
    }

    /// Whether the connection still serves.
    ///
    /// # Errors
    /// Why not.
    #[inline]
    pub(crate) fn alive(&self) -> Result<(), Error> {
        if self.is_alive() { Ok(()) } else { Err(self.cause_of_death()) }
    }

    #[inline]
    fn is_alive(&self) -> bool {
        self.is_here() && !self.closed.load(Ordering::SeqCst)
    }

    #[cold]
    fn cause_of_death(&self) -> Error {
        if !self.is_here() {
            return self.forked_away();
        }
        self.end.get().cloned().unwrap_or_else(shut_down)
    }

    /// Waits until no thread is at the leases any more. Whoever comes later finds the connection closed: it looks once it has them.
    pub(crate) fn await_writers(&self) {
        drop(self.writer());
    }

    /// The agent is gone, or has dropped this process.
    pub(crate) fn die(&self) {
        // Asked for first: the end of the connection may close the socket.
        let said = self.farewell();
        let cause = said.unwrap_or_else(|| {
            let (pid, starter) = (self.hello.agent_pid, &self.hello.starter);
            format!("process {pid} closed the connection; it was started by {starter}{}", self.recording())
        });
        self.die_of(cause);
    }

    /// This process cannot go on with the connection, for this reason.
    pub(crate) fn give_up(&self, why: &str) {
        let (pid, agent) = (self.pid, self.hello.agent_pid);
        let cause = format!("process {pid} gave up its connection to the agent, process {agent}: {why}");
        if self.worker {
            // Which is its log: it has nobody to return an error to.
            eprintln!("{cause}");
        }
        self.die_of(cause);
    }

    fn die_of(&self, cause: String) {
        if self.end_with(Error::AgentDied { node: self.hello.node, cause }) && self.worker {
            // Whatever the task is doing, nobody wants it any more; nor anything that would run at an orderly exit beside it.
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
    }

    /// Where the last minutes of an agent are that ended without a word, for people. The next start of an agent moves the file, and
    /// `plasmon replay` finds it by this name all the same.
    fn recording(&self) -> String {
        let path = std::path::Path::new(&self.hello.session).join(plasmon_protocol::recording::FILE);
        if path.exists() { format!("; its last minutes: plasmon replay {}", path.display()) } else { String::new() }
    }

    /// Why the agent ended the connection, if it said so.
    fn farewell(&self) -> Option<String> {
        let channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        // It comes once, and more than one thread may notice the end.
        if let Some(said) = self.farewell.get() {
            return Some(said.clone());
        }
        let channel = channel.as_ref()?;
        let mut events = [PollFd::new(channel, PollFlags::IN)];
        if !rustix::event::poll(&mut events, Some(&Timespec::default())).is_ok_and(|ready| ready > 0) {
            return None;
        }
        let (bytes, _) = channel.recv().ok()??;
        let said = local::decode::<Farewell>("the agent", &bytes).ok()?.cause;
        Some(self.farewell.get_or_init(|| said).clone())
    }

    /// Ends the connection on purpose.
    pub(crate) fn close(&self) {
        if !self.is_here() {
            return;
        }
        // The last word; an agent that is gone needs none.
        let _ = self.push_urgent(&ToAgent::Bye);
        failpoint!("bye_said");
        self.end_with(shut_down());
        self.wake_service();
        self.close_if_unused();
    }

    /// Nothing is sent from here on, and everybody who waits is told why. False when the connection had ended already.
    fn end_with(&self, error: Error) -> bool {
        let first = self.end.set(error.clone()).is_ok();
        if first {
            self.closed.store(true, Ordering::SeqCst);
            self.requests.fail_all(&error);
            self.inbound.wake_reader();
        }
        first
    }

    /// The socket closes when nothing of this process looks into the pool any more: then the agent may use all its memory anew.
    fn close_if_unused(&self) {
        if self.closed.load(Ordering::SeqCst)
            && self.views.load(Ordering::SeqCst) == 0
            && !self.words.pins().is_used()
            && let Some(channel) = self.channel.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            // Closing would not do while a forked child has the descriptor too.
            channel.hang_up();
        }
    }

    #[inline]
    pub(crate) fn view_opened(&self) {
        self.views.fetch_add(1, Ordering::SeqCst);
    }

    #[inline]
    pub(crate) fn view_closed(&self) {
        if self.is_here() && self.views.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.close_if_unused();
        }
    }

    /// A view through the pin table was given back.
    #[inline]
    pub(crate) fn pin_closed(&self) {
        if self.closed.load(Ordering::SeqCst) {
            self.close_if_unused();
        }
    }

    /// The right to touch the pool: while it is held, the socket stays open, and the agent lends this process's memory to nobody.
    ///
    /// # Errors
    /// The connection has ended.
    pub(crate) fn enter(&self) -> Result<InPool<'_>, Error> {
        if !self.is_here() {
            return Err(self.forked_away());
        }
        // Counted first, looked second; `close` does it the other way round. One of both sees the other.
        self.view_opened();
        let guard = InPool(self);
        self.alive()?;
        Ok(guard)
    }

    /// Whether the agent's end of the socket is closed. For threads that wait and cannot rely on the service thread to tell them.
    fn hung_up(&self) -> bool {
        let channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(channel) = &*channel else { return true };
        let mut events = [PollFd::new(channel, PollFlags::IN)];
        rustix::event::poll(&mut events, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn wake_agent(&self) {
        self.agent_bell.ring();
    }

    pub(crate) fn wake_service(&self) {
        self.own_bell.ring();
    }

    /// Whether the agent has asked for idle leases since the service thread last looked.
    pub(crate) fn is_recalled(&self) -> bool {
        self.words.recall() != self.recalls.load(Ordering::Relaxed)
    }

    /// The service thread has met this demand.
    pub(crate) fn note_recall(&self, recall: u32) {
        self.recalls.store(recall, Ordering::Relaxed);
    }

    pub(crate) fn own_bell(&self) -> &Doorbell {
        &self.own_bell
    }

    /// A second descriptor of the socket, for the service thread to watch.
    pub(crate) fn watch_channel(&self) -> std::io::Result<std::os::fd::OwnedFd> {
        let channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        match &*channel {
            Some(channel) => channel.fd().try_clone_to_owned(),
            None => Err(std::io::ErrorKind::NotConnected.into()),
        }
    }

    /// The object's id.
    pub(crate) fn id(&self, key: ObjectKey) -> plasmon_protocol::id::ObjectId {
        key.on(self.hello.node)
    }
}

fn shut_down() -> Error {
    Error::NotConnected { cause: "it was shut down".to_owned() }
}

/// What a process is told that was forked from a connected one.
pub(crate) fn forked_from(pid: u32) -> Error {
    let cause =
        format!("it was forked from process {pid}, whose connection, references and views it cannot use; it needs an init() of its own");
    Error::NotConnected { cause }
}

/// Whether a value, or a task's arguments, can have so many references inside.
///
/// # Errors
/// [`Error::Invalid`]: the agent would drop this process for more.
pub(crate) fn can_be_inside(references: usize) -> Result<(), Error> {
    if references <= MAX_INSIDE {
        return Ok(());
    }
    let cause =
        format!("a value, or a task's arguments, have at most {MAX_INSIDE} references inside; put some of them in an object of their own");
    Err(Error::invalid("references inside", references.to_string(), cause))
}

/// See [`Client::enter`].
pub(crate) struct InPool<'a>(&'a Client);

impl Drop for InPool<'_> {
    fn drop(&mut self) {
        self.0.view_closed();
    }
}

/// See [`Client::writer`].
pub(crate) struct Leases<'a>(Guard<'a, Outbound>);

impl Deref for Leases<'_> {
    type Target = Writer;

    fn deref(&self) -> &Writer {
        &self.0.writer
    }
}

impl DerefMut for Leases<'_> {
    fn deref_mut(&mut self) -> &mut Writer {
        &mut self.0.writer
    }
}

/// The ring to the agent, for as long as one thread sends.
pub(crate) struct Sender<'a> {
    client: &'a Client,
    outbound: Guard<'a, Outbound>,
}

impl Sender<'_> {
    /// The leases and slots, whose objects are told of in the order of their places.
    #[inline]
    pub(crate) fn writer(&mut self) -> &mut Writer {
        &mut self.outbound.writer
    }

    /// Appends a message if the ring has room for it.
    #[inline]
    fn try_push(&mut self, message: &ToAgent<'_>) -> Result<bool, Error> {
        if let Some(short) = Short::of(message) {
            return Ok(self.try_push_short(&short));
        }
        self.encode(message)?;
        let outbound = &mut *self.outbound;
        Ok(outbound.ring.push(&outbound.buffer))
    }

    #[inline]
    fn try_push_short(&mut self, short: &Short) -> bool {
        self.outbound.ring.push_short(short)
    }

    fn encode(&mut self, message: &ToAgent<'_>) -> Result<(), Error> {
        let outbound = &mut *self.outbound;
        outbound.buffer.clear();
        outbound.buffer = local::encode_into(message, std::mem::take(&mut outbound.buffer))?;
        let size = outbound.buffer.len();
        if size > outbound.ring.max_message() {
            return Err(Error::Protocol {
                who: "this process".to_owned(),
                cause: format!("a message of {size} bytes is too large to send"),
            });
        }
        Ok(())
    }

    /// Appends a message; waits while the ring is full.
    #[inline]
    pub(crate) fn push(&mut self, message: &ToAgent<'_>) -> Result<(), Error> {
        if self.try_push(message)? { Ok(()) } else { self.when_there_is_room(|sender| sender.try_push(message)) }
    }

    /// The same for a message that is encoded already.
    #[inline]
    pub(crate) fn push_short(&mut self, short: &Short) -> Result<(), Error> {
        if self.try_push_short(short) { Ok(()) } else { self.when_there_is_room(|sender| Ok(sender.try_push_short(short))) }
    }

    #[cold]
    fn when_there_is_room(&mut self, mut push: impl FnMut(&mut Self) -> Result<bool, Error>) -> Result<(), Error> {
        let (mut rounds, mut pause) = (0_u32, FULL);
        while !push(self)? {
            self.client.alive()?;
            rounds += 1;
            // The service thread may wait here too: somebody must notice that nobody drains any more.
            if rounds.is_multiple_of(64) && self.client.hung_up() {
                self.client.die();
            }
            // The agent drains by itself once it is awake; it never waits for anybody.
            self.client.agent_bell.ring();
            std::thread::sleep(pause);
            pause = (pause * 2).min(FULL_AT_MOST);
        }
        Ok(())
    }

    /// Submits a task whose arguments have these references inside. Whether it can be sent is known before anything is: what was staged
    /// for it would be taken by the next one.
    pub(crate) fn submit(&mut self, nested: &[ObjectKey], task: &ToAgent<'_>) -> Result<(), Error> {
        let parent = self.parent();
        if !nested.is_empty() || parent.is_some() {
            self.encode(task)?;
        }
        self.stage(nested)?;
        if let Some(task) = parent {
            self.push(&ToAgent::Submits { task })?;
        }
        self.push(task)
    }

    /// The call that submits what comes next, where the agent cannot know.
    fn parent(&self) -> Option<TaskKey> {
        if self.client.worker { cancelled::call_beside_others() } else { None }
    }

    /// Stages references for the next message.
    #[inline]
    pub(crate) fn stage(&mut self, references: &[ObjectKey]) -> Result<(), Error> {
        if references.is_empty() { Ok(()) } else { self.stage_some(references) }
    }

    fn stage_some(&mut self, references: &[ObjectKey]) -> Result<(), Error> {
        can_be_inside(references.len())?;
        references.chunks(MAX_STAGED).try_for_each(|part| self.push(&ToAgent::Stage { references: part.to_vec() }))?;
        failpoint!("staged");
        Ok(())
    }

    /// Sees to it that the agent reads what was sent: soon, or at once.
    #[inline]
    pub(crate) fn finish(mut self, urgent: bool) {
        self.outbound.finish(self.client, urgent);
    }
}

impl Outbound {
    /// See [`Sender::finish`].
    #[inline]
    fn finish(&mut self, client: &Client, urgent: bool) {
        failpoint!("before_wake");
        let slots = &client.slots;
        let rest = if urgent { slots.agent_rest_after_push() } else { slots.agent_sleep_after_push() };
        let ring = match rest.state() {
            AgentState::Awake => false,
            AgentState::Napping => urgent || self.ring.is_half_full(),
            AgentState::Sleeping => true,
        };
        let ring = ring && self.rung != rest;
        if ring {
            self.rung = rest;
            client.agent_bell.ring();
        }
    }
}
