//! One whole agent: session, node, stream. Started, then stopped; nothing is left behind.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, mpsc};
use std::thread::{Builder, JoinHandle};

use plasmon_memory::channel::Listener;
use plasmon_memory::doorbell::Doorbell;
use plasmon_memory::pool::Pool;
use plasmon_memory::slot::SlotTable;
use plasmon_protocol::error::Error;
use plasmon_protocol::id::NodeId;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::config::Config;
use crate::disk::places::{Places, places};
use crate::disk::pools::Pools;
use crate::machine::unique_bytes;
use crate::machine::{Gauge, HeadRoom};
use crate::node::descriptors;
use crate::node::effects::Effects;
use crate::node::handle::NodeHandle;
use crate::node::news::News;
use crate::node::sampling::Found;
use crate::node::shell::{Command, Identity, Remote, Shell, Stop};
use crate::node::{Clock, backing, sampling, spawner};
use crate::reactor::{Core, CoreConfig, OomConfig};
use crate::recorder::{Draft, Recorder};
use crate::scheduler::pressure::Limits;
use crate::session::{Address, Session, state_dir};
use crate::spill::job::Job;
use crate::spill::policy::SpillConfig;
use crate::telemetry::detail::Details;
use crate::telemetry::door::Door;
use crate::telemetry::server::Server;
use crate::telemetry::token::load_or_create;

/// Slots in the slot table: objects that can live at once. Memory is behind only those that were ever used.
const SLOTS: u32 = 4 << 20;

/// Overwrites every reclaimed object, so that whoever still reads one is found out. For tests.
const POISON: &str = "PLASMON_POISON";

/// An agent that runs.
pub struct Agent {
    session: Session,
    address: Address,
    starter: String,
    remote: Remote,
    node: Option<JoinHandle<()>>,
    /// Done when the node has ended.
    ended: oneshot::Receiver<()>,
    end_stream: Option<oneshot::Sender<()>>,
    stream: Option<JoinHandle<()>>,
    recorder: Recorder,
}

impl Agent {
    /// Starts an agent, and returns when programs and viewers can connect. What dead sessions have left is swept first; recordings of those
    /// that did not end in order are kept.
    ///
    /// # Errors
    /// A port in use, a directory that is not safe, a token file that is refused, or what the system says, each with its value.
    pub fn start(config: &Config, starter: &str) -> Result<Self, Error> {
        let swept = crate::session::sweep_and_rescue(&config.temp_dir, state_dir().as_deref())?;
        let session = Session::create(&config.temp_dir)?;
        let token_file = config.token_file.clone().unwrap_or_else(|| session.token_file());
        let token = load_or_create(&token_file)?;
        let stream =
            std::net::TcpListener::bind(config.listen).map_err(|error| Error::system(format!("listen on {}", config.listen), error))?;
        let listen = stream.local_addr().map_err(|error| Error::system("read the stream's address", error))?;
        let node_id = random_node()?;
        let viewers = Arc::new(AtomicU32::new(0));
        let watching = (Arc::clone(&viewers), Arc::<News>::default());
        let news = Arc::clone(&watching.1);
        let (remote, node, ended, recorder) = start_node(config, &session, starter, node_id, listen, watching)?;
        for path in &swept.recordings {
            let said = format!("an agent of yours did not end in order; its last minutes: plasmon replay {}", path.display());
            tracing::warn!("{said}");
            remote.tell(Command::Warning(said));
        }
        let questions = remote.clone();
        let handle = NodeHandle::new(move |question| questions.tell(Command::Question(question))).with_news(news);
        let server = Server::new(handle, Door::new(&token, config.allow_host.clone()))
            .source_roots(source_roots())
            .worker_logs(session.logs())
            .count_viewers_in(viewers)
            .keep_reports_in(session.path());
        let (end_stream, told) = oneshot::channel();
        let stream = start_stream(stream, server, remote.clone(), told)?;
        let address = Address {
            pid: std::process::id(),
            node: node_id,
            listen,
            socket: session.socket(),
            token_file,
            started_ms: session.started_ms(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        session.publish(&address)?;
        tracing::info!(node = %node_id, %listen, session = %session.path().display(), "agent ready");
        let starter = starter.to_owned();
        let agent = Self {
            session,
            address,
            starter,
            remote,
            node: Some(node),
            ended,
            end_stream: Some(end_stream),
            stream: Some(stream),
            recorder,
        };
        // Who connects would wait for one to leave, and nobody is there.
        if !descriptors::suffice(64, 0) {
            let cause = "its limit of open files (ulimit -n) leaves none for a client";
            return Err(Error::system("start an agent", cause));
        }
        Ok(agent)
    }

    /// How to reach it.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Its session's directory.
    #[must_use]
    pub fn session(&self) -> PathBuf {
        self.session.path()
    }

    /// Lets the node end like this; [`Agent::ended`] tells when it has. The stream and the session last until the agent is dropped.
    pub fn stop(&self, stop: Stop) {
        self.remote.tell(Command::Stop(stop));
    }

    /// Returns when the node has ended. To be asked once.
    pub async fn ended(&mut self) {
        // Dropped without a word: ended as well.
        let _ = (&mut self.ended).await;
    }
}

impl Drop for Agent {
    /// Ends workers, stream and session, in this order and without waiting for tasks; returns when they are gone.
    fn drop(&mut self) {
        // First, so that nobody finds an agent that is about to go.
        self.session.withdraw();
        self.stop(Stop::Soon { cause: format!("its starter, {}, ended", self.starter) });
        for thread in [self.node.take(), self.stream.take()].into_iter().flatten() {
            if let Some(end) = self.end_stream.take() {
                // The stream may have ended by itself.
                let _ = end.send(());
            }
            if thread.join().is_err() {
                tracing::error!("a thread of the agent panicked");
            }
        }
        if self.recorder.end() {
            match state_dir().map(|state| self.session.rescue_recording(&state)).transpose().map(Option::flatten) {
                Ok(Some(path)) => tracing::info!("the recording is kept: plasmon replay {}", path.display()),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "the recording is lost"),
            }
            // Else a sweep at this moment would take the session for one that did not end in order.
            let _ = std::fs::remove_file(self.recorder.path());
        }
        tracing::info!(node = %self.address.node, "agent ended");
    }
}

fn start_node(
    config: &Config,
    session: &Session,
    starter: &str,
    node: NodeId,
    listen: SocketAddr,
    (viewers, news): (Arc<AtomicU32>, Arc<News>),
) -> Result<(Remote, JoinHandle<()>, oneshot::Receiver<()>, Recorder), Error> {
    let capacity = config.object_store_memory.0;
    let pool = Arc::new(
        Pool::create(capacity).map_err(|error| Error::system(format!("make an object store of {}", config.object_store_memory), error))?,
    );
    let slots = SlotTable::create(SLOTS).map_err(|error| Error::system("make the slot table", error))?;
    let listener =
        Listener::bind(&session.socket()).map_err(|error| Error::system(format!("listen on {}", session.socket().display()), error))?;
    let clock = Clock::start();
    let Places { targets, names, warnings } = places(config, session)?;
    let spill = SpillConfig {
        places: names,
        threshold_milli: (config.spill_threshold * 1000.0).round() as u32,
        limit: config.spill_limit.map(|limit| limit.0),
        writers: config.spill_threads as usize,
    };
    let draft = Draft::of(&session.path());
    let mut core = Core::new(CoreConfig {
        node,
        node_ip: listen.ip().to_string().into(),
        pid: std::process::id(),
        capacity,
        slots: SLOTS,
        resources: config.offered(),
        fail_infeasible: config.fail_infeasible,
        lineage_limit: config.lineage_limit.0,
        now_ms: clock.now_ms(),
        spill,
        oom: OomConfig { dry_run: config.oom_dry_run, retries: config.oom_retries, recording: draft.path().to_string() },
        recording: Some(draft.path()),
    });
    warnings.iter().for_each(|warning| core.on_warning(warning));
    let control = Arc::new(Doorbell::create().map_err(|error| Error::system("make a doorbell", error))?);
    let (commands, queue) = mpsc::channel();
    let remote = Remote::new(commands, Arc::clone(&control));
    let (back, backing_requests) = mpsc::channel();
    let (watched, watched_lists) = mpsc::channel();
    let (errands, errand_queue) = mpsc::channel();
    let (alive, ended) = oneshot::channel();
    let teller = remote.clone();
    let disk: Box<dyn Fn(Job) + Send> = if targets.is_empty() {
        Box::new(|_| {})
    } else {
        let pools = Pools::start(targets, Arc::clone(&pool), node, config.spill_threads, move |report| teller.tell(Command::Io(report)))?;
        Box::new(move |job| pools.submit(job))
    };
    let effects = Effects::new(slots, Arc::clone(&pool), back, disk, std::env::var_os(POISON).is_some());
    let identity =
        Identity { starter: starter.to_owned(), session: session.path(), logs: session.logs(), listen: listen.to_string().into(), viewers };
    let shell = Shell::new(core, effects, identity, clock, listener, (queue, control), (watched, errands))
        .map_err(|error| Error::system("wait for clients", error))?
        .recorded_by(draft.notifier())
        .telling(news);
    let recording = draft.path();
    let recorder = draft.start(remote.clone(), Details::new(source_roots(), Box::new(unique_bytes)).worker_logs(Some(session.logs())))?;
    let teller = remote.clone();
    // Without it nothing is known of the memory: nobody is ended, and backing takes what it gets.
    let head_room = HeadRoom::open().ok().map(Arc::new);
    // Whoever connects first finds it known.
    remote.tell(Command::Seen(sampling::machine(head_room.as_deref())));
    let shared = head_room.clone();
    spawn("backing", move || {
        backing::run(&pool, shared.as_deref(), &backing_requests, |progress| teller.tell(Command::Backing(progress)))
    })?;
    let teller = remote.clone();
    let limits = Limits { share: config.oom_threshold, min_free: config.oom_min_free.map(|free| free.0) };
    spawn("sampling", move || {
        let gauge = head_room.clone().map(|head_room| Gauge::new(head_room, limits));
        sampling::run(&watched_lists, head_room.as_deref(), gauge.as_ref(), |found| {
            teller.tell(match found {
                Found::Seen(seen) => Command::Seen(seen),
                Found::Pressure(pressure) => Command::Pressure(pressure),
            });
        });
    })?;
    let teller = remote.clone();
    let logs = session.logs();
    spawn("spawner", move || spawner::run(&errand_queue, &logs, |report| teller.tell(Command::Done(report))))?;
    let node = spawn("node", move || {
        let alarm = Alarm { recording };
        shell.run();
        std::mem::forget(alarm);
        // Nobody may wait for it.
        let _ = alive.send(());
    })?;
    Ok((remote, node, ended, recorder))
}

/// Without its node an agent only looks alive: better none. Its clients notice, and the next start sweeps.
struct Alarm {
    recording: Arc<str>,
}

impl Drop for Alarm {
    fn drop(&mut self) {
        tracing::error!("the node's thread panicked; its last minutes: plasmon replay {}", self.recording);
        std::process::abort();
    }
}

fn start_stream(
    listener: std::net::TcpListener,
    server: Server,
    remote: Remote,
    ended: oneshot::Receiver<()>,
) -> Result<JoinHandle<()>, Error> {
    let refused = |error: std::io::Error| Error::system("serve the live stream", error);
    listener.set_nonblocking(true).map_err(refused)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(2).build().map_err(refused)?;
    let listener = {
        let _inside = runtime.enter();
        TcpListener::from_std(listener).map_err(refused)?
    };
    spawn("stream", move || {
        runtime.block_on(async {
            // Without the signals the switch stays where it is.
            let signals = signal(SignalKind::user_defined1()).and_then(|sites| Ok((sites, signal(SignalKind::user_defined2())?)));
            let switch = signals.map(|(mut sites, mut stacks)| async move {
                loop {
                    let (asked, command) = tokio::select! {
                        asked = sites.recv() => (asked, Command::SwitchSites),
                        asked = stacks.recv() => (asked, Command::SwitchStacks),
                    };
                    if asked.is_none() {
                        return;
                    }
                    remote.tell(command);
                }
            });
            let serve = server.run(listener, async {
                // Told, or the agent is gone: the same.
                let _ = ended.await;
            });
            match switch {
                Ok(switch) => tokio::select! {
                    () = serve => {}
                    () = switch => {}
                },
                Err(_) => serve.await,
            }
        });
    })
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    Builder::new().name(name.to_owned()).spawn(body).map_err(|error| Error::system(format!("start the thread {name}"), error))
}

/// Where source files with relative names may lie: below the working directory, and above the executable.
fn source_roots() -> Vec<PathBuf> {
    let mut roots: Vec<PathBuf> = std::env::current_dir().into_iter().collect();
    if let Ok(executable) = std::env::current_exe() {
        roots.extend(executable.ancestors().skip(1).take(4).filter(|path| path.parent().is_some()).map(PathBuf::from));
    }
    roots
}

fn random_node() -> Result<NodeId, Error> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| Error::system("draw a node id", error))?;
    Ok(NodeId(bytes))
}
