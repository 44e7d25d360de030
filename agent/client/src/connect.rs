//! Hello and welcome: from a socket to a connection.

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use plasmon_memory::channel::Channel;
use plasmon_memory::doorbell::Doorbell;
use plasmon_memory::fork::Mark;
use plasmon_memory::link::ClientLink;
use plasmon_memory::pool::Pool;
use plasmon_memory::slot::SlotTable;
use plasmon_protocol::error::Error;
use plasmon_protocol::local::{self, ClientHello, VERSION, Welcome};
use plasmon_protocol::record::ProcessType;

use crate::binding::Launch;
use crate::client::{Client, Parts};
use crate::inbound::Inbound;
use crate::service;

/// How long an agent may take to let a client in. One that stands still, or has no descriptor left, would take for ever.
const WELCOME: Duration = Duration::from_secs(10);

/// Connects as a driver to the agent that listens at `socket`. Its workers are started as `launch` says, else from this executable.
pub(crate) fn driver(socket: &Path, launch: Option<&Launch>) -> Result<Arc<Client>, Error> {
    let action = || format!("connect to the agent at {}", socket.display());
    let channel = Channel::connect_within(socket, WELCOME).map_err(|error| Error::Connect { action: action(), cause: told(&error) })?;
    let path = launch.map_or(Path::new("/proc/self/exe"), |launch| launch.executable.as_path());
    let executable = File::open(path).map_err(|error| Error::system("open the executable of this program's workers", error))?;
    meet(channel, ProcessType::Driver, Some((executable, launch))).map_err(|error| match error {
        Error::Connect { cause, .. } => Error::Connect { action: action(), cause },
        other => other,
    })
}

/// Connects as a worker over the inherited socket.
pub(crate) fn worker(channel: Channel) -> Result<Arc<Client>, Error> {
    meet(channel, ProcessType::Worker, None)
}

fn meet(channel: Channel, process_type: ProcessType, program: Option<(File, Option<&Launch>)>) -> Result<Arc<Client>, Error> {
    let lost = |cause: String| Error::Connect { action: "connect to the agent".to_owned(), cause };
    let launch = program.as_ref().and_then(|(_, launch)| *launch);
    let hello = ClientHello {
        version: VERSION,
        release: env!("CARGO_PKG_VERSION").to_owned(),
        process_type,
        pid: std::process::id(),
        executable: launch
            .map(|launch| launch.executable.display().to_string())
            .or_else(program_name)
            .unwrap_or_else(|| "program".to_owned()),
        directory: std::env::current_dir().map(|path| path.display().to_string()).unwrap_or_default(),
        arguments: launch.map(|launch| launch.worker.clone()).unwrap_or_default(),
    };
    let descriptors: Vec<_> = program.iter().map(|(executable, _)| executable.as_fd()).collect();
    let mark = Mark::of_this_process().map_err(|error| Error::system("mark this process's memory", error))?;
    channel.send(&local::encode(&hello)?, &descriptors).map_err(|error| lost(told(&error)))?;
    failpoint!("hello_sent");
    let (bytes, descriptors) =
        channel.recv().map_err(|error| lost(told(&error)))?.ok_or_else(|| lost("it closed the connection without a word".to_owned()))?;
    if let Some(version) = local::version_of_welcome(&bytes).filter(|version| *version != VERSION) {
        let ours = format!("client {} (local protocol {VERSION})", env!("CARGO_PKG_VERSION"));
        return Err(Error::Version { ours, theirs: format!("agent (local protocol {version})") });
    }
    let hello = local::decode::<Welcome>("the agent", &bytes)??;
    let [pool, slots, client_segment, agent_segment, agent_bell, own_bell, reader_bell] =
        <[_; 7]>::try_from(descriptors).map_err(|got| lost(format!("{} descriptors came with its welcome instead of 7", got.len())))?;
    failpoint!("welcomed");
    let mapped = |error: std::io::Error| Error::system("map the object store", error);
    let (ring, inbound, words) = ClientLink::open(client_segment, agent_segment).map_err(mapped)?.split();
    let parts = Parts {
        pool: Pool::open(pool, hello.capacity).map_err(mapped)?,
        slots: SlotTable::open(slots, hello.slots).map_err(mapped)?,
        words,
        ring,
        inbound: Inbound::new(inbound, Doorbell::from_fd(reader_bell)),
        agent_bell: Doorbell::from_fd(agent_bell),
        own_bell: Doorbell::from_fd(own_bell),
        channel,
        worker: process_type == ProcessType::Worker,
        hello,
    };
    let client = Arc::new(Client::new(mark, parts));
    failpoint!("mapped");
    service::start(&client)?;
    Ok(client)
}

/// What this process was started as, for people: whatever bytes that are no text are shown as such.
pub(crate) fn program_name() -> Option<String> {
    std::env::args_os().next().map(|name| name.to_string_lossy().into_owned())
}

/// The system's words, or what they stand for here.
fn told(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::WouldBlock => format!("it does not answer within {WELCOME:?}: it stands still, or may not open more files"),
        _ => error.to_string(),
    }
}
