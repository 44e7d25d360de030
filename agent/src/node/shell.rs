//! The node's thread: drains rings, runs the core, sleeps. It never waits for a client.

mod arrivals;
mod departures;
mod ending;
mod rings;
mod sites;
mod telling;

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use plasmon_memory::channel::Listener;
use plasmon_memory::doorbell::Doorbell;
use plasmon_memory::slot::AgentState;
use plasmon_protocol::column::Table;
use plasmon_protocol::id::ProcessId;
use rustix::event::{Timespec, epoll};

use super::Clock;
use super::backing::Progress;
use super::effects::{Effects, Flushed};
use super::handle::Question;
use super::listener::Newcomer;
use super::news::News;
use super::peer::Peer;
use super::sampling::{Pressure, Seen, Watched};
use super::spawner::{Errand, Report};
use crate::reactor::{Core, Machine};
use crate::recorder::Notifier;
use crate::telemetry::tables::Tables as _;
use arrivals::{Introduced, Starting};
use ending::Phase;
use sites::Sites;

pub use ending::Stop;

/// How long the thread dozes after work before it really sleeps: clients without hurry need not wake it meanwhile.
const NAP: Duration = Duration::from_millis(1);
/// How long the thread goes on looking into the rings after it has sent somebody something: the answer to that often comes sooner than a
/// sleeping processor wakes.
const LOOK: Duration = Duration::from_micros(50);
/// `off`: call sites are not recorded, until `SIGUSR1` switches them on. `stack`: with all that they were called from, until `SIGUSR2` switches
/// to lines alone.
const SITES: &str = "PLASMON_SITES";
/// How soon a client with a full ring is tried again, and how seldom when it does not read at all.
const RETRY: Duration = Duration::from_millis(2);
const RETRY_AT_MOST: Duration = Duration::from_millis(64);

/// What other threads tell the node's thread.
pub enum Command {
    /// Run this over the tables.
    Question(Question),
    /// Run this over the tables, for the recording.
    Record(Question),
    /// Tell people this, once.
    Warning(String),
    /// The pool's backing came this far.
    Backing(Progress),
    /// Machine and processes look like this.
    Seen(Seen),
    /// The memory is this full.
    Pressure(Pressure),
    /// Record call sites if they are not, and the other way round.
    SwitchSites,
    /// Record whole stacks where lines were recorded, and the other way round.
    SwitchStacks,
    /// The spawner did this.
    Done(Report),
    /// External storage did this.
    Io(crate::spill::job::Report),
    /// End.
    Stop(Stop),
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
    introduced: HashMap<u32, Introduced>,
    /// When accepting goes on, while it rests.
    listen_again_ms: Option<u64>,
    starting: HashMap<ProcessId, Starting>,
    errands: Sender<Errand>,
    watched: Sender<Watched>,
    viewers: u32,
    /// Clients record call sites, and with what.
    sites: Sites,
    phase: Phase,
    /// When a client last said something, milliseconds since the Unix epoch.
    heard_ms: u64,
    buffer: Vec<u8>,
    /// Who records, if somebody does.
    recorder: Option<Notifier>,
    /// What viewers are told.
    news: Arc<News>,
    /// When it last looked at views, milliseconds since the Unix epoch.
    looked_ms: u64,
    looks: u32,
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

/// How the thread rests for so long. To sleep it has all clients' processors pass a barrier, which a thread that tries something again every few
/// milliseconds would pay each time: what ends so soon by itself is a nap.
fn rest(limit: Option<Duration>) -> AgentState {
    if limit.is_some_and(|limit| limit <= RETRY) { AgentState::Napping } else { AgentState::Sleeping }
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
        mut core: Core,
        effects: Effects,
        identity: Identity,
        clock: Clock,
        listener: Listener,
        (commands, control): (Receiver<Command>, Arc<Doorbell>),
        (watched, errands): (Sender<Watched>, Sender<Errand>),
    ) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let bell = Doorbell::create()?;
        listener.set_nonblocking(true)?;
        epoll::add(&epoll, listener.fd(), token(Kind::Listener, 0), epoll::EventFlags::IN)?;
        epoll::add(&epoll, bell.fd(), token(Kind::Bell, 0), epoll::EventFlags::IN)?;
        epoll::add(&epoll, control.fd(), token(Kind::Control, 0), epoll::EventFlags::IN)?;
        let (sites, unknown) = Sites::told(std::env::var_os(SITES).as_deref());
        if let Some(warning) = unknown {
            core.on_warning(&warning);
        }
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
            introduced: HashMap::new(),
            listen_again_ms: None,
            starting: HashMap::new(),
            errands,
            watched,
            viewers: 0,
            sites,
            phase: Phase::Serving,
            heard_ms: 0,
            buffer: Vec::new(),
            recorder: None,
            news: Arc::default(),
            looked_ms: 0,
            looks: 0,
        })
    }

    /// The same, recorded.
    #[must_use]
    pub fn recorded_by(mut self, recorder: Notifier) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// The same, with viewers who hear of this.
    #[must_use]
    pub fn telling(mut self, news: Arc<News>) -> Self {
        self.news = news;
        self
    }

    /// Serves until told to stop; then ends the workers, each of which is reaped, and returns.
    pub fn run(mut self) {
        let mut quiet = 0_u32;
        let mut retry = RETRY;
        let mut events = Vec::with_capacity(64);
        loop {
            self.core.set_now(self.clock.now_ms());
            let drained = self.drain_all();
            self.settle_withdrawals();
            self.take_commands();
            self.core.on_tick(self.clock.now_ms(), &mut self.effects);
            self.lose_hung_up();
            self.lose_silent();
            self.lose_garbled();
            self.advance();
            if matches!(self.phase, Phase::Over) {
                break;
            }
            let flushed = self.settle();
            self.tell_viewers();
            self.tell_recorder();
            retry = if flushed.moved || !flushed.full { RETRY } else { (retry * 2).min(RETRY_AT_MOST) };
            quiet = if drained > 0 { 0 } else { quiet.saturating_add(1) };
            if flushed.spoke && self.look() {
                continue;
            }
            let again = if flushed.soon { Some(RETRY) } else { flushed.full.then_some(retry) };
            let limit = if quiet <= 1 { Some(NAP) } else { self.deadline() };
            let limit = [limit, again].into_iter().flatten().min();
            self.effects.slots().set_agent_state(rest(limit));
            let limit = if self.has_work() { Some(Duration::ZERO) } else { limit };
            self.wait(limit, &mut events);
            self.effects.slots().set_agent_state(AgentState::Awake);
            tracing::trace!(events = events.len(), "awake");
            for event in events.drain(..) {
                self.on_event(event);
            }
        }
    }

    fn wait(&self, limit: Option<Duration>, events: &mut Vec<u64>) {
        let limit = limit.map(|limit| Timespec { tv_sec: limit.as_secs().cast_signed(), tv_nsec: limit.subsec_nanos().into() });
        let mut ready = Vec::with_capacity(64);
        // Interrupted by a signal: the loop looks at everything anyway.
        let _ = epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut ready), limit.as_ref());
        events.extend(ready.iter().map(|event| event.data.u64()));
    }

    /// Looks into the rings until somebody has published something, and gives way at each look; false after a while.
    fn look(&mut self) -> bool {
        // Other news is not to wait for a pause between the clients' words.
        self.looks = self.looks.wrapping_add(1);
        if self.looks.is_multiple_of(64) {
            return false;
        }
        let begin = Instant::now();
        loop {
            if self.has_work() {
                return true;
            }
            if begin.elapsed() >= LOOK {
                return false;
            }
            std::thread::yield_now();
        }
    }

    fn has_work(&self) -> bool {
        self.effects.peers.values().any(|peer| peer.has_unread())
    }

    fn deadline(&self) -> Option<Duration> {
        let now_ms = self.clock.now_ms();
        let hung_up = self.effects.peers.values().filter(|peer| !peer.dropped).filter_map(Peer::overdue_ms).min();
        let silent = self.newcomers.values().filter_map(Newcomer::overdue_ms).min();
        let waits = [self.core.next_deadline(), hung_up, silent, self.listen_again_ms, self.next_phase_ms(), self.next_glance_ms()];
        let next = waits.into_iter().flatten().min()?;
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

    fn take_commands(&mut self) {
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Question(question) => {
                    // What was published before the question arrived is in the answer.
                    self.drain_all();
                    self.look_at_views();
                    self.notice_viewers();
                    question(&mut self.core);
                }
                Command::Record(question) => {
                    self.look_at_views();
                    question(&mut self.core);
                    if let Some(recorder) = &mut self.recorder {
                        recorder.taken(self.core.version(Table::Store));
                    }
                }
                Command::Warning(text) => self.core.on_warning(&text),
                Command::Backing(Progress::Backed(end)) => self.core.on_backed(end, &mut self.effects),
                Command::Backing(Progress::Failed(end, cause)) => self.core.on_backing_failed(end, &cause, &mut self.effects),
                Command::Seen(seen) => {
                    self.look_at_views();
                    self.notice_viewers();
                    let machine = Machine {
                        total_bytes: seen.total_bytes,
                        available_bytes: seen.available_bytes,
                        listen: Arc::clone(&self.identity.listen),
                        viewers: self.viewers,
                    };
                    self.core.on_sample(machine, seen.usages);
                    self.core.on_stopped(&seen.stopped, &mut self.effects);
                }
                Command::Pressure(Pressure { reading, unique }) => self.core.on_pressure(reading, &unique, &mut self.effects),
                Command::SwitchSites => self.switch_sites(Sites { on: !self.sites.on, ..self.sites }),
                Command::SwitchStacks => self.switch_sites(self.sites.other_stacks()),
                Command::Done(Report::Environment { newcomer, environment }) => self.on_environment(newcomer, environment),
                Command::Done(Report::Worker { worker, started }) => self.on_started(worker, started),
                Command::Io(report) => self.core.on_io(report, &mut self.effects),
                Command::Stop(stop) => self.stop(stop),
            }
        }
    }

    /// Does what the last changes left to do outside of the core.
    fn settle(&mut self) -> Flushed {
        let (mut moved, mut spoke) = (false, false);
        loop {
            for (worker, job, devices) in std::mem::take(&mut self.effects.starts) {
                self.start_worker(worker, job, devices);
            }
            for process in std::mem::take(&mut self.effects.kills) {
                self.kill(process);
            }
            let mut flushed = self.effects.flush();
            moved |= flushed.moved;
            spoke |= flushed.spoke;
            let roomy = std::mem::take(&mut flushed.roomy);
            for process in &roomy {
                self.core.on_room(*process, &mut self.effects);
            }
            if roomy.is_empty() && self.effects.starts.is_empty() && self.effects.kills.is_empty() {
                return Flushed { moved, spoke, ..flushed };
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_does_not_wake_soon_by_himself_sleeps() {
        for soon in [Duration::ZERO, NAP, RETRY] {
            assert_eq!(rest(Some(soon)), AgentState::Napping);
        }
        for long in [Some(2 * RETRY), Some(RETRY_AT_MOST), None] {
            assert_eq!(rest(long), AgentState::Sleeping);
        }
    }
}
