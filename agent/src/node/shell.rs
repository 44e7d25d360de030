//! The node's thread: drains rings, runs the core, sleeps. It never waits for a client.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use plasmon_memory::channel::Listener;
use plasmon_memory::doorbell::Doorbell;
use plasmon_memory::process::Pidfd;
use plasmon_memory::ring::{Frames, TO_AGENT, max_message};
use plasmon_memory::slot::AgentState;
use plasmon_protocol::id::{JobId, ProcessId};
use plasmon_protocol::local::{self, AgentHello, ToAgent, VERSION};
use plasmon_protocol::record::ProcessType;
use rustix::event::{Timespec, epoll};

use super::Clock;
use super::backing::Progress;
use super::effects::Effects;
use super::handle::Question;
use super::listener::{self, Equipment, Newcomer};
use super::peer::{Peer, Program};
use super::sampling::{Seen, Watched};
use super::workers;
use crate::reactor::{Core, Machine, Violation};

/// How long the thread dozes after work before it really sleeps: clients without hurry need not wake it meanwhile.
const NAP: Duration = Duration::from_millis(1);
/// How often a client with a full ring is tried again.
const RETRY: Duration = Duration::from_millis(2);
/// How long accepting rests after the system refused a descriptor, milliseconds.
const ACCEPT_REST_MS: u64 = 100;
/// Connections that have not said hello; more are turned away.
const MAX_NEWCOMERS: usize = 256;
/// How long workers may take to end when the node does.
const DRAIN: Duration = Duration::from_secs(2);

/// What other threads tell the node's thread.
pub enum Command {
    /// Run this over the tables.
    Question(Question),
    /// The pool's backing came this far.
    Backing(Progress),
    /// Machine and processes look like this.
    Seen(Seen),
    /// End.
    Stop,
}

/// Tells the node's thread, and wakes it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Remote {
    sender: Sender<Command>,
    doorbell: Arc<Doorbell>,
}

impl Remote {
    /// A remote over this queue and doorbell.
    #[must_use]
    pub fn new(sender: Sender<Command>, doorbell: Arc<Doorbell>) -> Self {
        Self { sender, doorbell }
    }

    /// Tells. A node that has ended drops what it is told.
    pub fn tell(&self, command: Command) {
        let _ = self.sender.send(command);
        self.doorbell.ring();
    }
}

/// What never changes in a node's life.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Who started the agent, for people.
    pub starter: String,
    /// The session's directory.
    pub session: PathBuf,
    /// Where workers' output goes.
    pub logs: PathBuf,
    /// The stream's address.
    pub listen: Arc<str>,
    /// Viewers attached.
    pub viewers: Arc<std::sync::atomic::AtomicU32>,
}

/// The node's thread.
pub struct Shell {
    core: Core,
    effects: Effects,
    identity: Identity,
    clock: Clock,
    epoll: std::os::fd::OwnedFd,
    listener: Listener,
    /// Rung by clients.
    bell: Doorbell,
    /// Rung by other threads of the agent.
    control: Arc<Doorbell>,
    commands: Receiver<Command>,
    newcomers: HashMap<u32, Newcomer>,
    next_newcomer: u32,
    /// When accepting goes on, while it rests.
    listen_again_ms: Option<u64>,
    /// Workers that were started and have not said hello.
    starting: HashMap<ProcessId, Pidfd>,
    programs: HashMap<JobId, Program>,
    watched: Sender<Watched>,
    viewers: u32,
    stopping: bool,
    buffer: Vec<u8>,
}

/// What an event is about; the high half of its number, the low half says which.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
enum Kind {
    Listener = 1,
    Bell = 2,
    Control = 3,
    Newcomer = 4,
    Channel = 5,
    End = 6,
    StartingEnd = 7,
}

fn token(kind: Kind, which: u32) -> epoll::EventData {
    epoll::EventData::new_u64(u64::from(kind as u32) << 32 | u64::from(which))
}

impl Shell {
    /// A node that listens; [`Shell::run`] serves it.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(
        core: Core,
        effects: Effects,
        identity: Identity,
        clock: Clock,
        listener: Listener,
        (commands, control): (Receiver<Command>, Arc<Doorbell>),
        watched: Sender<Watched>,
    ) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let bell = Doorbell::create()?;
        listener.set_nonblocking(true)?;
        epoll::add(&epoll, listener.fd(), token(Kind::Listener, 0), epoll::EventFlags::IN)?;
        epoll::add(&epoll, bell.fd(), token(Kind::Bell, 0), epoll::EventFlags::IN)?;
        epoll::add(&epoll, control.fd(), token(Kind::Control, 0), epoll::EventFlags::IN)?;
        Ok(Self {
            core,
            effects,
            identity,
            clock,
            epoll,
            listener,
            bell,
            control,
            commands,
            newcomers: HashMap::new(),
            next_newcomer: 0,
            listen_again_ms: None,
            starting: HashMap::new(),
            programs: HashMap::new(),
            watched,
            viewers: 0,
            stopping: false,
            buffer: Vec::new(),
        })
    }

    /// Serves until told to stop; then ends the workers and returns.
    pub fn run(mut self) {
        let mut quiet = 0_u32;
        let mut events = Vec::with_capacity(64);
        loop {
            self.core.set_now(self.clock.now_ms());
            let drained = self.drain_all();
            self.take_commands();
            if self.stopping {
                break;
            }
            self.core.on_tick(self.clock.now_ms(), &mut self.effects);
            self.lose_hung_up();
            self.lose_silent();
            let stuck = self.settle();
            quiet = if drained > 0 { 0 } else { quiet.saturating_add(1) };
            let (state, limit) = if quiet <= 1 { (AgentState::Napping, Some(NAP)) } else { (AgentState::Sleeping, self.deadline()) };
            let limit = if stuck { Some(limit.map_or(RETRY, |limit| limit.min(RETRY))) } else { limit };
            self.effects.slots().set_agent_state(state);
            let limit = if self.has_work() { Some(Duration::ZERO) } else { limit };
            self.wait(limit, &mut events);
            self.effects.slots().set_agent_state(AgentState::Awake);
            for event in events.drain(..) {
                self.on_event(event);
            }
        }
        self.end_workers();
    }

    fn wait(&self, limit: Option<Duration>, events: &mut Vec<u64>) {
        let limit = limit.map(|limit| Timespec { tv_sec: limit.as_secs().cast_signed(), tv_nsec: limit.subsec_nanos().into() });
        let mut ready = Vec::with_capacity(64);
        // Interrupted by a signal: the loop looks at everything anyway.
        let _ = epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut ready), limit.as_ref());
        events.extend(ready.iter().map(|event| event.data.u64()));
    }

    fn has_work(&self) -> bool {
        self.effects.peers.values().any(|peer| !peer.dropped && peer.backlog.is_empty() && !peer.link.is_empty())
    }

    fn deadline(&self) -> Option<Duration> {
        let now_ms = self.clock.now_ms();
        let hung_up = self.effects.peers.values().filter(|peer| !peer.dropped).filter_map(Peer::overdue_ms).min();
        let silent = self.newcomers.values().filter_map(Newcomer::overdue_ms).min();
        let next = [self.core.next_deadline(), hung_up, silent, self.listen_again_ms].into_iter().flatten().min()?;
        Some(Duration::from_millis(next.saturating_sub(now_ms).max(1)))
    }

    fn on_event(&mut self, event: u64) {
        let which = event as u32;
        match event >> 32 {
            kind if kind == Kind::Listener as u64 => self.accept(),
            kind if kind == Kind::Bell as u64 => drop(self.bell.clear()),
            kind if kind == Kind::Control as u64 => drop(self.control.clear()),
            kind if kind == Kind::Newcomer as u64 => self.on_newcomer(which),
            kind if kind == Kind::Channel as u64 => self.on_channel(ProcessId(which)),
            kind if kind == Kind::End as u64 => self.on_end(ProcessId(which)),
            _ => self.on_starting_end(ProcessId(which)),
        }
    }

    /// Drains every ring once; how many bytes there were. A client that does not read its answers is not heard until it does, so that
    /// what the agent keeps for it stays bounded.
    fn drain_all(&mut self) -> usize {
        let processes: Vec<ProcessId> =
            self.effects.peers.iter().filter(|(_, peer)| !peer.dropped && peer.backlog.is_empty()).map(|(process, _)| *process).collect();
        processes.into_iter().map(|process| self.drain(process)).sum()
    }

    fn drain(&mut self, process: ProcessId) -> usize {
        let Some(peer) = self.effects.peers.get_mut(&process).filter(|peer| !peer.dropped) else { return 0 };
        let mut bytes = std::mem::take(&mut self.buffer);
        bytes.clear();
        let drained = peer.link.consumer().drain(&mut bytes);
        let result = match drained {
            Ok(0) => Ok(()),
            Ok(_) => {
                let messages = Frames::new(&bytes, max_message(TO_AGENT)).map(|frame| {
                    let frame = frame.map_err(|error| Violation(error.to_string()))?;
                    local::decode::<ToAgent<'_>>("it", frame).map_err(|error| Violation(error.to_string()))
                });
                self.core.on_messages(process, messages, &mut self.effects)
            }
            Err(error) => Err(Violation(error.to_string())),
        };
        let length = bytes.len();
        self.buffer = bytes;
        if let Err(violation) = result {
            tracing::warn!(process = process.0, reason = violation.0, "client dropped");
            self.core.on_violation(process, &violation, &mut self.effects);
        }
        length
    }

    fn take_commands(&mut self) {
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Question(question) => {
                    // What was published before the question arrived is in the answer.
                    self.drain_all();
                    self.notice_viewers();
                    question(&self.core);
                }
                Command::Backing(Progress::Backed(end)) => self.core.on_backed(end, &mut self.effects),
                Command::Backing(Progress::Failed(end, cause)) => self.core.on_backing_failed(end, &cause, &mut self.effects),
                Command::Seen(seen) => {
                    self.notice_viewers();
                    let machine = Machine {
                        total_bytes: seen.total_bytes,
                        available_bytes: seen.available_bytes,
                        listen: Arc::clone(&self.identity.listen),
                        viewers: self.viewers,
                    };
                    self.core.on_sample(machine, seen.usages);
                }
                Command::Stop => self.stopping = true,
            }
        }
    }

    /// Does what the last changes left to do outside of the core. True when a client's ring is full.
    fn settle(&mut self) -> bool {
        loop {
            for (worker, job) in std::mem::take(&mut self.effects.starts) {
                self.start_worker(worker, job);
            }
            for process in std::mem::take(&mut self.effects.kills) {
                self.kill(process);
            }
            if self.effects.starts.is_empty() && self.effects.kills.is_empty() {
                return self.effects.flush();
            }
        }
    }

    fn start_worker(&mut self, worker: ProcessId, job: JobId) {
        let started = match self.programs.get(&job) {
            Some(program) => workers::start(program, worker, &self.identity.logs).and_then(|(channel, pid)| {
                let pidfd = Pidfd::open(pid)?;
                channel.set_nonblocking(true)?;
                let newcomer = Newcomer { channel, worker: Some((worker, pid)), since_ms: self.clock.now_ms() };
                epoll::add(&self.epoll, pidfd.fd(), token(Kind::StartingEnd, worker.0), epoll::EventFlags::IN)?;
                self.starting.insert(worker, pidfd);
                self.await_hello(newcomer)
            }),
            None => Err(io::Error::other("its driver is gone")),
        };
        if let Err(error) = started {
            tracing::warn!(worker = worker.0, %error, "a worker does not start");
            self.starting.remove(&worker);
            self.core.on_process_lost(worker, &format!("not started: {error}"), &mut self.effects);
        }
    }

    fn await_hello(&mut self, newcomer: Newcomer) -> io::Result<()> {
        let number = self.next_newcomer;
        self.next_newcomer = self.next_newcomer.wrapping_add(1);
        epoll::add(&self.epoll, newcomer.channel.fd(), token(Kind::Newcomer, number), epoll::EventFlags::IN)?;
        self.newcomers.insert(number, newcomer);
        Ok(())
    }

    fn accept(&mut self) {
        loop {
            let channel = match self.listener.accept() {
                Ok(channel) => channel,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    // Out of descriptors, most likely: it would be reported again at once, and for ever.
                    tracing::warn!(%error, "connections wait");
                    let _ = epoll::delete(&self.epoll, self.listener.fd());
                    self.listen_again_ms = Some(self.clock.now_ms() + ACCEPT_REST_MS);
                    return;
                }
            };
            if self.newcomers.len() >= MAX_NEWCOMERS {
                continue;
            }
            let newcomer = Newcomer { channel, worker: None, since_ms: self.clock.now_ms() };
            if newcomer.channel.set_nonblocking(true).is_ok()
                && let Err(error) = self.await_hello(newcomer)
            {
                tracing::warn!(%error, "a connection is not served");
            }
        }
    }

    /// Connections that never said hello are closed; accepting goes on after its rest.
    fn lose_silent(&mut self) {
        let now_ms = self.clock.now_ms();
        self.newcomers.retain(|_, newcomer| newcomer.overdue_ms().is_none_or(|at| at > now_ms));
        if self.listen_again_ms.is_some_and(|at| at <= now_ms) {
            let added = epoll::add(&self.epoll, self.listener.fd(), token(Kind::Listener, 0), epoll::EventFlags::IN);
            self.listen_again_ms = added.is_err().then_some(now_ms + ACCEPT_REST_MS);
        }
    }

    fn on_newcomer(&mut self, number: u32) {
        let Some(newcomer) = self.newcomers.remove(&number) else { return };
        let packet = match newcomer.channel.recv() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.newcomers.insert(number, newcomer);
                return;
            }
            Ok(Some(packet)) => packet,
            // Gone without a word; a started worker's end is seen by its pidfd.
            Ok(None) | Err(_) => return,
        };
        let _ = epoll::delete(&self.epoll, newcomer.channel.fd());
        let (bytes, descriptors) = packet;
        match listener::introduce(&newcomer, &bytes, descriptors) {
            Ok(introduction) => {
                if let Err(error) = self.admit(newcomer, introduction) {
                    tracing::warn!(%error, "a client is not let in");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a client is turned away");
                listener::turn_away(&newcomer.channel, error);
            }
        }
    }

    fn admit(&mut self, newcomer: Newcomer, introduction: listener::Introduction) -> io::Result<()> {
        let equipment = Equipment::make()?;
        let hello = introduction.hello;
        let name = hello.executable.rsplit('/').next().unwrap_or("program").to_owned();
        let (process, job) = match newcomer.worker {
            Some((worker, _)) => {
                let job = self.core.process(worker).map(|worker| worker.job);
                let Some(job) = job.filter(|job| self.core.has_job(*job)) else { return Ok(()) };
                (worker, job)
            }
            None => self.core.on_driver_connected(hello.pid, &name),
        };
        let answer = AgentHello {
            version: VERSION,
            node: self.core.node_id(),
            process,
            job,
            agent_pid: std::process::id(),
            starter: self.identity.starter.clone(),
            session: self.identity.session.display().to_string(),
            capacity: self.effects.pool().capacity(),
            slots: self.effects.slots().len(),
        };
        epoll::add(&self.epoll, introduction.pidfd.fd(), token(Kind::End, process.0), epoll::EventFlags::IN)?;
        epoll::add(&self.epoll, newcomer.channel.fd(), token(Kind::Channel, process.0), epoll::EventFlags::IN)?;
        let handed = equipment.hand_over(&newcomer.channel, answer, self.effects.pool().fd(), self.effects.slots().fd(), &self.bell);
        let peer = Peer {
            job,
            link: equipment.link,
            channel: Some(newcomer.channel),
            pidfd: introduction.pidfd,
            doorbell: equipment.doorbell,
            backlog: std::collections::VecDeque::new(),
            touched: false,
            dropped: false,
            hung_up_ms: None,
            child: newcomer.worker.is_some(),
        };
        self.effects.peers.insert(process, peer);
        if let Some(program) = introduction.program {
            self.programs.insert(job, program);
        }
        if newcomer.worker.is_some() {
            self.starting.remove(&process);
            self.core.on_worker_connected(process, hello.pid, &mut self.effects);
        }
        self.watch();
        if handed.is_err() {
            self.lose(process, "gone before it was let in");
        }
        Ok(())
    }

    fn on_channel(&mut self, process: ProcessId) {
        let Some(peer) = self.effects.peers.get_mut(&process) else { return };
        let Some(channel) = &peer.channel else { return };
        match channel.recv() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(Some(_)) => {
                let violation = Violation("a packet after its hello".to_owned());
                self.core.on_violation(process, &violation, &mut self.effects);
            }
            Ok(None) | Err(_) => {
                peer.channel = None;
                peer.hung_up_ms = Some(self.clock.now_ms());
            }
        }
    }

    /// Processes whose sockets closed: drivers at once when they said that they end, else when their end was not seen in time; workers
    /// when they had their time to end. A process that closes its socket has no view into the pool any more; that is the client
    /// library's promise.
    fn lose_hung_up(&mut self) {
        let now_ms = self.clock.now_ms();
        let hung_up: Vec<ProcessId> = self
            .effects
            .peers
            .iter()
            .filter(|(process, peer)| {
                let done = !peer.child && self.core.is_leaving(**process);
                !peer.dropped && peer.overdue_ms().is_some_and(|at| done || at <= now_ms)
            })
            .map(|(process, _)| *process)
            .collect();
        for process in hung_up {
            let child = self.effects.peers.get(&process).is_some_and(|peer| peer.child);
            if !child {
                self.lose(process, "disconnected");
            } else if let Some(peer) = self.effects.peers.get_mut(&process) {
                // A worker without a socket has no business: its end is waited for.
                peer.hung_up_ms = None;
                let _ = peer.pidfd.kill();
            }
        }
    }

    fn on_end(&mut self, process: ProcessId) {
        let Some(peer) = self.effects.peers.get(&process) else { return };
        if peer.pidfd.has_ended() {
            let how = workers::how_it_ended(&peer.pidfd, peer.child);
            self.lose(process, &how);
        }
    }

    fn lose(&mut self, process: ProcessId, how: &str) {
        // What it published before its end counts: one look takes all of it.
        self.drain(process);
        if let Some(peer) = self.effects.peers.remove(&process)
            && self.core.process(process).is_some_and(|process| process.process_type == ProcessType::Driver)
        {
            self.programs.remove(&peer.job);
        }
        self.core.on_process_lost(process, how, &mut self.effects);
        self.watch();
    }

    fn on_starting_end(&mut self, worker: ProcessId) {
        let Some(pidfd) = self.starting.get(&worker).filter(|pidfd| pidfd.has_ended()) else { return };
        let how = workers::how_it_ended(pidfd, true);
        self.starting.remove(&worker);
        self.newcomers.retain(|_, newcomer| newcomer.worker.is_none_or(|(starting, _)| starting != worker));
        self.core.on_process_lost(worker, &format!("before it was ready: {how}"), &mut self.effects);
    }

    /// Ends a worker; shuts a driver out, which is not ours to end. Its memory is reused only after its own end.
    fn kill(&mut self, process: ProcessId) {
        if let Some(pidfd) = self.starting.get(&process) {
            let _ = pidfd.kill();
        }
        if let Some(peer) = self.effects.peers.get_mut(&process) {
            peer.dropped = true;
            peer.channel = None;
            if peer.child {
                let _ = peer.pidfd.kill();
            }
        }
    }

    fn watch(&self) {
        let anybody = !self.effects.peers.is_empty() || self.viewers > 0;
        // The sampling thread ends only with the agent.
        let _ = self.watched.send(if anybody { self.core.pids().collect() } else { Vec::new() });
    }

    fn notice_viewers(&mut self) {
        let viewers = self.identity.viewers.load(std::sync::atomic::Ordering::Relaxed);
        if viewers != self.viewers {
            self.viewers = viewers;
            self.watch();
        }
    }

    /// Every worker sees its socket close and ends; one that does not is killed. No child is left behind.
    fn end_workers(&mut self) {
        self.newcomers.clear();
        let mut children: Vec<Pidfd> = self.starting.drain().map(|(_, pidfd)| pidfd).collect();
        children.extend(std::mem::take(&mut self.effects.peers).into_values().filter(|peer| peer.child).map(|peer| peer.pidfd));
        let deadline = Instant::now() + DRAIN;
        for child in &children {
            while !child.has_ended() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(2));
            }
            if !child.has_ended() {
                let _ = child.kill();
                while !child.has_ended() {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            let how = workers::how_it_ended(child, true);
            tracing::debug!(how, "worker ended");
        }
    }
}
