//! The process's one connection: made by [`init`], ended by [`shutdown`].

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError, Weak};

use plasmon_memory::fork::PerProcess;
use plasmon_protocol::error::Error;
use plasmon_protocol::id::{NodeId, ProcessId};
use plasmon_protocol::size::Bytes;

use crate::binding::Launch;
use crate::boot;
use crate::client::{Client, forked_from};
use crate::connect;

/// Where an agent is, when [`Options::address`] does not say: its session directory or the socket in it.
const ADDRESS: &str = "PLASMON_ADDRESS";

static PROCESS: PerProcess<Process> = PerProcess::new(Process::new);

/// Numbers of what [`Process::connection`] may be: a forked child has others than its parents had.
static CHANGES: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// What this thread was told last, so that it need not ask under a lock, and what the number was then. It keeps no connection alive.
    static LAST: RefCell<(u64, Weak<Client>)> = const { RefCell::new((0, Weak::new())) };
}

/// What this process has. A forked child begins with nothing: the agent that its parent started lives with the parent.
struct Process {
    connection: RwLock<Option<Arc<Client>>>,
    /// Changes whenever that does, before it does.
    change: AtomicU64,
    /// The agent that this process started, if it did. Held while connecting and disconnecting.
    started: Mutex<Option<Started>>,
    parent: Option<Parent>,
}

/// The connected process that this one was forked from, directly or not.
#[derive(Clone, Debug)]
struct Parent {
    pid: u32,
    /// Its agent's session.
    session: PathBuf,
}

impl Process {
    fn new(parents: Option<&Self>) -> Self {
        let parent = parents.and_then(|parents| {
            let connection = match parents.connection.try_read() {
                Ok(connection) => connection,
                Err(TryLockError::Poisoned(error)) => error.into_inner(),
                // A thread of the parent's was connecting or disconnecting: as good as not connected.
                Err(TryLockError::WouldBlock) => return parents.parent.clone(),
            };
            match &*connection {
                Some(client) => Some(Parent { pid: client.pid(), session: PathBuf::from(&client.hello.session) }),
                None => parents.parent.clone(),
            }
        });
        Self { connection: RwLock::new(None), change: AtomicU64::new(next_change()), started: Mutex::new(None), parent }
    }

    /// # Errors
    /// [`Error::System`] when the process has no memory left.
    fn current() -> Result<&'static Self, Error> {
        PROCESS.get().map_err(|error| Error::system("mark this process's memory", error))
    }

    fn started(&self) -> MutexGuard<'_, Option<Started>> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn client(&self) -> Option<Arc<Client>> {
        self.connection.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[inline]
    fn connection(&self) -> Result<Arc<Client>, Error> {
        let change = self.change.load(Ordering::Acquire);
        Self::known(change).map_or_else(|| self.ask_for_connection(change), Ok)
    }

    /// What this thread was told last, if that is current.
    #[inline]
    fn known(change: u64) -> Option<Arc<Client>> {
        // A thread that ends asks under the lock.
        let last = LAST.try_with(|last| last.try_borrow().ok().filter(|last| last.0 == change).and_then(|last| last.1.upgrade()));
        last.ok().flatten()
    }

    #[cold]
    fn ask_for_connection(&self, change: u64) -> Result<Arc<Client>, Error> {
        let client = self.client().ok_or_else(|| match &self.parent {
            Some(parent) => forked_from(parent.pid),
            None => Error::NotConnected { cause: "init() was not called".to_owned() },
        })?;
        let _ = LAST.try_with(|last| last.try_borrow_mut().map(|mut last| *last = (change, Arc::downgrade(&client))));
        Ok(client)
    }

    fn adopt(&self, client: &Arc<Client>) {
        let mut connection = self.connection.write().unwrap_or_else(PoisonError::into_inner);
        *connection = Some(Arc::clone(client));
        self.change.store(next_change(), Ordering::Release);
    }

    fn disconnect(&self, started: &mut Option<Started>) -> Result<(), Error> {
        let client = {
            let mut connection = self.connection.write().unwrap_or_else(PoisonError::into_inner);
            self.change.store(next_change(), Ordering::Release);
            connection.take()
        };
        if let Some(client) = client {
            client.close();
        }
        match started.take() {
            Some(own) => own.end(),
            None => Ok(()),
        }
    }
}

fn next_change() -> u64 {
    CHANGES.fetch_add(1, Ordering::Relaxed) + 1
}

/// How to connect.
///
/// With an address, or `PLASMON_ADDRESS`, to that agent. With any option of an agent, to one of its own, which it starts. Else a process
/// that was forked from a connected one to the same agent, and any other to this user's newest live agent, or to one that it starts.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Options {
    address: Option<PathBuf>,
    num_cpus: Option<f64>,
    memory: Option<Bytes>,
    object_store_memory: Option<Bytes>,
    temp_dir: Option<PathBuf>,
    launch: Option<Launch>,
    local: bool,
    #[cfg(feature = "embedded")]
    agent: Option<plasmon_agent::config::AgentOptions>,
}

impl Options {
    /// Nothing said.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The agent's session directory, or the socket in it.
    #[must_use]
    pub fn address(mut self, address: impl Into<PathBuf>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// An agent of its own, whatever `PLASMON_ADDRESS` says.
    #[must_use]
    pub fn local(mut self) -> Self {
        self.local = true;
        self
    }

    /// CPUs that an agent of its own offers to tasks.
    #[must_use]
    pub fn num_cpus(mut self, cpus: f64) -> Self {
        self.num_cpus = Some(cpus);
        self
    }

    /// Bytes of heap that an agent of its own offers to tasks that ask for some.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = Some(Bytes(bytes));
        self
    }

    /// Bytes of the object store of an agent of its own.
    #[must_use]
    pub fn object_store_memory(mut self, bytes: u64) -> Self {
        self.object_store_memory = Some(Bytes(bytes));
        self
    }

    /// Where sessions are.
    #[must_use]
    pub fn temp_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.temp_dir = Some(directory.into());
        self
    }

    /// How workers and an agent of its own are started, where this program's executable is an interpreter.
    #[must_use]
    pub fn launch(mut self, launch: Launch) -> Self {
        self.launch = Some(launch);
        self
    }

    /// Everything that the command line of an agent takes, for an agent of its own.
    #[cfg(feature = "embedded")]
    #[must_use]
    pub fn agent(mut self, options: plasmon_agent::config::AgentOptions) -> Self {
        self.agent = Some(options);
        self
    }

    fn wants_own(&self) -> bool {
        #[cfg(feature = "embedded")]
        let agent = self.agent.is_some();
        #[cfg(not(feature = "embedded"))]
        let agent = false;
        agent || self.local || self.num_cpus.is_some() || self.memory.is_some() || self.object_store_memory.is_some()
    }

    /// Where the agent is that was named, here or by the environment.
    fn told_address(&self) -> Result<Option<PathBuf>, Error> {
        let variable = || std::env::var_os(ADDRESS).filter(|address| !address.is_empty() && !self.local).map(PathBuf::from);
        let (named, address) = match &self.address {
            Some(address) => ("Options::address", Some(address.clone())),
            None => (ADDRESS, variable()),
        };
        match address {
            Some(address) if self.wants_own() => Err(Error::invalid(
                named,
                address.display().to_string(),
                "it names an agent that runs, but options of one to start are given, too: leave out one of the two, or ask for a local one",
            )),
            address => Ok(address),
        }
    }

    /// Connects. In a worker, and in a process that is connected, this changes nothing; a connection whose agent is gone is replaced.
    ///
    /// # Errors
    /// [`Error::Invalid`] for options of an agent of its own beside the address of another; [`Error::Connect`] when there is no such
    /// agent; what kept an agent of its own from starting; [`Error::Version`].
    pub fn init(self) -> Result<Info, Error> {
        boot::took_care();
        let process = Process::current()?;
        let mut started = process.started();
        if let Some(client) = process.client() {
            if client.alive().is_ok() {
                return Ok(Info::of(&client, started.as_ref()));
            }
            process.disconnect(&mut started)?;
        }
        let wants_own = self.wants_own();
        let launch = self.launch.as_ref();
        let client = match self.told_address()? {
            Some(address) => connect::driver(&socket_of(&address), launch)?,
            None => {
                let parents = process.parent.as_ref().filter(|_| !wants_own && self.temp_dir.is_none());
                let parents = parents.and_then(|parent| connect::driver(&socket_of(&parent.session), launch).ok());
                let newest = if wants_own || parents.is_some() { None } else { newest(self.temp_dir.as_deref())? };
                // One that ends just now is as good as none.
                match parents.or_else(|| newest.and_then(|socket| connect::driver(&socket, launch).ok())) {
                    Some(client) => client,
                    None => {
                        let own = Started::start(&self)?;
                        match connect::driver(&own.socket, launch) {
                            Ok(client) => {
                                *started = Some(own);
                                client
                            }
                            Err(error) => {
                                let _ = own.end();
                                return Err(error);
                            }
                        }
                    }
                }
            }
        };
        let info = Info::of(&client, started.as_ref());
        process.adopt(&client);
        Ok(info)
    }
}

/// Connects this process: to the agent that `PLASMON_ADDRESS` names, else to this user's newest live agent, else to one that it
/// starts. See [`Options`].
///
/// # Errors
/// As for [`Options::init`].
pub fn init() -> Result<Info, Error> {
    Options::new().init()
}

/// Whether this process is connected.
#[must_use]
pub fn is_initialized() -> bool {
    connection().is_ok_and(|client| client.alive().is_ok())
}

/// The connection's facts.
///
/// # Errors
/// [`Error::NotConnected`].
pub fn info() -> Result<Info, Error> {
    let process = Process::current()?;
    let started = process.started();
    Ok(Info::of(&*process.connection()?, started.as_ref()))
}

/// Ends the connection. An agent that this process started ends with it: when this returns, the agent, its workers, its socket and
/// its session directory are gone. In a forked child this does nothing to its parent's connection and agent.
///
/// # Errors
/// [`Error::System`] when the agent's end cannot be seen.
pub fn shutdown() -> Result<(), Error> {
    let process = Process::current()?;
    process.disconnect(&mut process.started())
}

/// Makes `client` the process's connection.
pub(crate) fn adopt(client: &Arc<Client>) {
    // It was marked already when it connected.
    if let Ok(process) = Process::current() {
        process.adopt(client);
    }
}

/// The process's connection, where this thread knows it already.
#[inline]
pub(crate) fn known_connection() -> Option<Arc<Client>> {
    Process::known(PROCESS.get().ok()?.change.load(Ordering::Acquire))
}

/// The process's connection.
///
/// # Errors
/// [`Error::NotConnected`] without one.
pub(crate) fn connection() -> Result<Arc<Client>, Error> {
    Process::current()?.connection()
}

/// Facts about the connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Info {
    /// The agent's node.
    pub node: NodeId,
    /// This process as the agent knows it.
    pub process: ProcessId,
    /// The agent's process id.
    pub agent_pid: u32,
    /// The session's directory.
    pub session: PathBuf,
    /// The pool's size, bytes.
    pub capacity: u64,
    /// Whether this process started the agent.
    pub started: bool,
}

impl Info {
    fn of(client: &Client, started: Option<&Started>) -> Self {
        let hello = &client.hello;
        Self {
            node: hello.node,
            process: hello.process,
            agent_pid: hello.agent_pid,
            session: PathBuf::from(&hello.session),
            capacity: hello.capacity,
            started: started.is_some(),
        }
    }
}

fn socket_of(address: &Path) -> PathBuf {
    if address.is_dir() { address.join("agent.sock") } else { address.to_owned() }
}

/// The socket of this user's newest live agent.
#[cfg(feature = "embedded")]
fn newest(temp_dir: Option<&Path>) -> Result<Option<PathBuf>, Error> {
    let temp_dir = temp_dir.map_or_else(plasmon_agent::session::temp_dir, Path::to_owned);
    Ok(plasmon_agent::session::find_live(&temp_dir)?.into_iter().next().map(|found| found.address.socket))
}

#[cfg(not(feature = "embedded"))]
fn newest(_temp_dir: Option<&Path>) -> Result<Option<PathBuf>, Error> {
    Ok(None)
}

#[cfg(feature = "embedded")]
use started::Started;

/// An agent that this process started.
#[cfg(feature = "embedded")]
mod started {
    use std::os::unix::process::CommandExt;
    use std::path::PathBuf;
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    use command_fds::{CommandFdExt, FdMapping};
    use plasmon_agent::config::{AgentOptions, Config, Kind};
    use plasmon_agent::embedded::{Order, Ready};
    use plasmon_agent::machine::Machine;
    use plasmon_memory::channel::Channel;
    use plasmon_protocol::error::Error;
    use plasmon_protocol::local::{self, BOOT};

    use super::Options;

    /// How long an agent may take to be ready.
    const READY: Duration = Duration::from_secs(60);
    /// The number that the agent finds its socket under.
    const AGENT_FD: i32 = 3;

    pub(super) struct Started {
        child: Child,
        /// As long as it is open the agent runs.
        life: Channel,
        pub(super) socket: PathBuf,
    }

    impl Started {
        pub(super) fn start(options: &Options) -> Result<Self, Error> {
            let refused = |error: &dyn std::fmt::Display| Error::system("start an agent", error);
            let (life, theirs) = Channel::pair().map_err(|error| refused(&error))?;
            let mut asked = AgentOptions {
                memory: options.memory,
                object_store_memory: options.object_store_memory,
                temp_dir: options.temp_dir.clone(),
                ..AgentOptions::default()
            };
            asked.num_cpus = options.num_cpus.map(|cpus| cpus.to_string().parse()).transpose()?;
            if let Some(agent) = &options.agent {
                asked = asked.over(agent.clone());
            }
            let config = Config::resolve(asked.over(AgentOptions::from_environment()?), Kind::Embedded, &Machine::read()?)?;
            let name = crate::connect::program_name().unwrap_or_default();
            let name = name.rsplit('/').next().unwrap_or("program").to_owned();
            let order = Order { config: config.to_json()?, starter: format!("process {} ({name})", std::process::id()) };
            let mut command = match &options.launch {
                Some(launch) => {
                    let mut command = Command::new(&launch.executable);
                    command.args(&launch.agent);
                    command
                }
                None => {
                    let mut command = Command::new("/proc/self/exe");
                    command.arg0("plasmon-agent");
                    command
                }
            };
            let child = command
                .env(BOOT, format!("agent:{AGENT_FD}"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                // Signals of the terminal are for the program; the agent ends with it, not before.
                .process_group(0)
                .fd_mappings(vec![FdMapping { parent_fd: theirs.into_fd(), child_fd: AGENT_FD }])
                .map_err(|error| refused(&error))?
                .spawn()
                .map_err(|error| refused(&error))?;
            // It has the agent's end of the socket: as long as that is open here, the end of an agent that dies at once is not seen.
            drop(command);
            let mut started = Self { child, life, socket: PathBuf::new() };
            match started.meet(&order) {
                Ok(ready) => {
                    started.socket = ready.socket.into();
                    Ok(started)
                }
                Err(error) => {
                    // It failed to start and says why; its own end follows, unless it stands still.
                    let _ = started.child.kill();
                    let _ = started.end();
                    Err(error)
                }
            }
        }

        fn meet(&self, order: &Order) -> Result<Ready, Error> {
            let lost = |cause: String| Error::Connect { action: "start an agent".to_owned(), cause };
            self.life.send(&local::encode(order)?, &[]).map_err(|error| lost(error.to_string()))?;
            self.life.set_patience(READY).map_err(|error| lost(error.to_string()))?;
            let answer = self.life.recv().map_err(|error| match error.kind() {
                std::io::ErrorKind::WouldBlock => lost(format!("it was not ready within {READY:?}")),
                _ => lost(error.to_string()),
            })?;
            let (bytes, _) = answer.ok_or_else(|| lost("it ended before it was ready".to_owned()))?;
            local::decode::<Result<Ready, Error>>("the agent", &bytes)?
        }

        /// Lets the agent end, and waits until it has.
        pub(super) fn end(mut self) -> Result<(), Error> {
            // A forked child may have the descriptor too.
            self.life.hang_up();
            match self.child.wait() {
                // Reaped by somebody else, or by the system for a program that ignores its children's ends: gone, too.
                Err(error) if error.raw_os_error() != Some(rustix::io::Errno::CHILD.raw_os_error()) => {
                    Err(Error::system("wait for the agent's end", error))
                }
                _ => Ok(()),
            }
        }
    }
}

/// Without the feature `embedded` no agent can be started.
#[cfg(not(feature = "embedded"))]
struct Started {
    socket: PathBuf,
}

#[cfg(not(feature = "embedded"))]
impl Started {
    fn start(_options: &Options) -> Result<Self, Error> {
        Err(Error::Connect { action: "start an agent".to_owned(), cause: "this program was built without the feature embedded".to_owned() })
    }

    fn end(self) -> Result<(), Error> {
        Ok(())
    }
}
