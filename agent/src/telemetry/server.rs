//! Accepts viewers. Nothing here waits for one of them: every connection is a task of its own from its first byte on.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::machine::unique_bytes;
use crate::node::descriptors;
use crate::node::handle::NodeHandle;
use crate::telemetry::desk::Desk;
use crate::telemetry::detail::{Details, UniqueBytes};
use crate::telemetry::door::{Door, Refusal};
use crate::telemetry::spool::Ledger;
use crate::telemetry::{head, viewer, wire};

/// How long a refused peer may take to read why.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long viewers may take to be told that the agent ends.
const GRACE: Duration = Duration::from_secs(1);

/// How much viewers may ask of the agent, and how long they may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Between two looks at the node, at least.
    pub tick: Duration,
    /// Between a viewer's last sign of life and a ping.
    pub ping: Duration,
    /// Between a ping and its answer.
    pub pong: Duration,
    /// Without progress before a viewer is closed.
    pub stall: Duration,
    /// From the connection to the upgrade, and from there to the hello.
    pub handshake: Duration,
    /// Viewers at a time.
    pub viewers: u32,
    /// Connections at a time that are not upgraded yet.
    pub handshakes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tick: Duration::from_millis(100),
            ping: Duration::from_secs(5),
            pong: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            handshake: Duration::from_secs(5),
            viewers: 256,
            handshakes: 512,
        }
    }
}

/// The stream's server, before it runs.
pub struct Server {
    node: NodeHandle,
    door: Door,
    limits: Limits,
    source_roots: Vec<PathBuf>,
    unique_bytes: UniqueBytes,
    worker_logs: Option<PathBuf>,
    viewers: Arc<AtomicU32>,
    directory: PathBuf,
}

/// What all viewers share.
pub(super) struct Shared {
    pub(super) desk: Arc<Desk>,
    pub(super) details: Arc<Details>,
    pub(super) limits: Limits,
    /// Where reports are kept until they are read.
    pub(super) directory: PathBuf,
    /// What they take there.
    pub(super) kept: Ledger,
    /// Held while a report is made.
    pub(super) reports: Arc<tokio::sync::Mutex<()>>,
    door: Door,
    viewers: Arc<AtomicU32>,
}

impl Server {
    /// A server that asks `node` for whomever `door` lets in.
    #[must_use]
    pub fn new(node: NodeHandle, door: Door) -> Self {
        Self {
            node,
            door,
            limits: Limits::default(),
            source_roots: Vec::new(),
            unique_bytes: Box::new(unique_bytes),
            worker_logs: None,
            viewers: Arc::default(),
            directory: std::env::temp_dir(),
        }
    }

    /// Keeps reports in files without names in this directory until they are read; in the system's temporary one otherwise.
    #[must_use]
    pub fn keep_reports_in(mut self, directory: PathBuf) -> Self {
        self.directory = directory;
        self
    }

    /// Other limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Directories that sources with relative names are looked for in.
    #[must_use]
    pub fn source_roots(mut self, roots: Vec<PathBuf>) -> Self {
        self.source_roots = roots;
        self
    }

    /// Another way to read how many bytes are a process's alone.
    #[must_use]
    pub fn unique_bytes(mut self, read: impl Fn(u32) -> Option<u64> + Send + Sync + 'static) -> Self {
        self.unique_bytes = Box::new(read);
        self
    }

    /// The directory of workers' logs: what they printed is shown.
    #[must_use]
    pub fn worker_logs(mut self, directory: PathBuf) -> Self {
        self.worker_logs = Some(directory);
        self
    }

    /// Counts attached viewers in `viewers`, which the node may have been given before.
    #[must_use]
    pub fn count_viewers_in(mut self, viewers: Arc<AtomicU32>) -> Self {
        self.viewers = viewers;
        self
    }

    /// What its viewers share.
    pub(super) fn shared(self) -> Arc<Shared> {
        Arc::new(Shared {
            desk: Desk::new(self.node),
            details: Arc::new(Details::new(self.source_roots, self.unique_bytes).worker_logs(self.worker_logs)),
            limits: self.limits,
            directory: self.directory,
            kept: Ledger::default(),
            reports: Arc::default(),
            door: self.door,
            viewers: self.viewers,
        })
    }

    /// Serves viewers from `listener` until `shutdown` is done; then tells them that the agent ends.
    pub async fn run(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let shared = self.shared();
        let handshakes = Arc::new(Semaphore::new(shared.limits.handshakes));
        let (tell, away) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        let mut refused = false;
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(_) = tasks.join_next(), if !tasks.is_empty() => continue,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => match Arc::clone(&handshakes).try_acquire_owned() {
                    Ok(permit) if descriptors::suffice_for_viewer() => {
                        refused = false;
                        let (shared, away) = (Arc::clone(&shared), away.clone());
                        tasks.spawn(async move {
                            if let Some((stream, rest, seat)) = arrive(stream, peer, &shared).await {
                                drop(permit);
                                let (socket, written) = wire::upgrade(stream, rest).await;
                                viewer::serve(socket, written, shared, away).await;
                                drop(seat);
                            }
                        });
                    }
                    // Not worth a task, or there would be as many of those.
                    _ => drop(stream.try_write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")),
                },
                Err(cause) => {
                    // Descriptors have run out, most likely; trying again at once would only burn time.
                    if !std::mem::replace(&mut refused, true) {
                        tracing::warn!(%cause, "viewers wait");
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        drop(listener);
        tell.send_replace(true);
        // Whoever is not done by then is cut off by the drop of `tasks`.
        let _ = timeout(GRACE, async { while tasks.join_next().await.is_some() {} }).await;
    }
}

/// Serves viewers from `listener` with the usual limits; see [`Server::run`].
pub async fn serve(listener: TcpListener, node: NodeHandle, door: Door, shutdown: impl Future<Output = ()>) {
    Server::new(node, door).run(listener, shutdown).await;
}

/// From the first byte to the upgrade: the stream, what was read behind the request, and the viewer's seat.
async fn arrive(mut stream: TcpStream, peer: SocketAddr, shared: &Shared) -> Option<(TcpStream, Vec<u8>, Seat)> {
    wire::prepare(&stream);
    let deadline = Instant::now() + shared.limits.handshake;
    let refusal = match tokio::time::timeout_at(deadline, head::read(&mut stream)).await {
        Err(_) => Refusal::TooSlow,
        Ok(Err(None)) => return None,
        Ok(Err(Some(refusal))) => refusal,
        Ok(Ok((head, rest))) => match decide(&head, peer, shared) {
            Ok((key, seat)) => {
                let answered = tokio::time::timeout_at(deadline, head::accept(&mut stream, key)).await;
                return matches!(answered, Ok(Ok(()))).then_some((stream, rest, seat));
            }
            Err(refusal) => refusal,
        },
    };
    tracing::debug!(%peer, ?refusal, "viewer refused");
    head::refuse(&mut stream, refusal, PATIENCE).await;
    None
}

fn decide<'a>(head: &'a head::Head, peer: SocketAddr, shared: &Shared) -> Result<(&'a [u8], Seat), Refusal> {
    shared.door.admit(head, peer.ip(), std::time::Instant::now())?;
    let seat = Seat::take(&shared.viewers, shared.limits.viewers).ok_or(Refusal::Full)?;
    Ok((head.websocket_key()?, seat))
}

/// One of the places for viewers; free again when dropped.
struct Seat(Arc<AtomicU32>);

impl Seat {
    fn take(viewers: &Arc<AtomicU32>, places: u32) -> Option<Self> {
        let taken = viewers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| (taken < places).then_some(taken + 1));
        taken.ok().map(|_| Self(Arc::clone(viewers)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
