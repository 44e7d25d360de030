//! One viewer's socket: what is written is counted, so that slow can be told from stuck.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::SinkExt;
use futures_util::stream::{SplitSink, SplitStream};
use plasmon_protocol::error::Error;
use plasmon_protocol::stream::MAX_REQUEST;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::telemetry::head::linger;

/// Most that waits in memory for a viewer to read it, in bytes.
const MAX_WAITING: usize = 256 << 10;
/// A long text goes out in fragments of so many bytes, each when the one before is with the kernel: what waits is not copied.
const FRAGMENT: usize = 8 << 10;
/// What is read at a time, in bytes.
const READ: usize = 8 << 10;
/// What the WebSocket itself keeps for a viewer, in bytes: buffers grow by doubling.
pub(super) const BUFFERS: usize = 2 * FRAGMENT + 2 * READ;
/// What the kernel may keep for a viewer, in bytes; small, so that what is written is soon read.
const KERNEL_BUFFER: usize = 64 << 10;
/// How long a viewer may take to read why it is closed.
const FAREWELL: Duration = Duration::from_millis(700);

/// Why a connection ends.
#[derive(Debug)]
pub(super) enum End {
    /// The viewer went away, or answers no pings.
    Gone,
    /// The agent ends.
    Away,
    /// The viewer took nothing for too long.
    Stalled,
    /// The viewer did something wrong.
    Refused(CloseCode, Error),
}

impl End {
    /// A viewer that broke the protocol.
    pub(super) fn protocol(cause: impl Into<String>) -> Self {
        Self::Refused(CloseCode::Protocol, Error::Protocol { who: "the viewer".to_owned(), cause: cause.into() })
    }

    /// How the WebSocket is closed; `None` when nobody is left to be told.
    fn close(&self) -> Option<CloseFrame> {
        let (code, reason) = match self {
            Self::Gone => return None,
            Self::Away => (CloseCode::Away, "the agent ends"),
            Self::Stalled => (CloseCode::Again, "the viewer made no progress; connect again"),
            Self::Refused(code, error) => (*code, error.code()),
        };
        Some(CloseFrame { code, reason: reason.into() })
    }
}

/// A stream that counts the bytes that the kernel took.
pub(super) struct Metered {
    inner: TcpStream,
    written: Arc<AtomicU64>,
}

impl AsyncRead for Metered {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        if let Poll::Ready(Ok(bytes)) = &written {
            self.written.fetch_add(*bytes as u64, Ordering::Relaxed);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

pub(super) type Socket = WebSocketStream<Metered>;
/// What the viewer sends.
pub(super) type Incoming = SplitStream<Socket>;

/// Prepares an accepted connection. Failures leave it as it was, which is only less frugal.
pub(super) fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(stream, KERNEL_BUFFER);
}

/// The WebSocket on an upgraded connection; `part` was read behind the request's head.
pub(super) async fn upgrade(stream: TcpStream, part: Vec<u8>) -> (Socket, Arc<AtomicU64>) {
    let written = Arc::new(AtomicU64::new(0));
    let config = WebSocketConfig::default()
        .read_buffer_size(READ)
        .write_buffer_size(FRAGMENT)
        .max_write_buffer_size(MAX_WAITING)
        .max_message_size(Some(MAX_REQUEST))
        .max_frame_size(Some(MAX_REQUEST));
    let metered = Metered { inner: stream, written: Arc::clone(&written) };
    (WebSocketStream::from_partially_read(metered, part, Role::Server, Some(config)).await, written)
}

/// The sending half.
pub(super) struct Outgoing {
    sink: SplitSink<Socket, Message>,
    written: Arc<AtomicU64>,
    patience: Duration,
}

impl Outgoing {
    /// `patience`: how long the viewer may take nothing at all while something waits for it.
    pub(super) fn new(sink: SplitSink<Socket, Message>, written: Arc<AtomicU64>, patience: Duration) -> Self {
        Self { sink, written, patience }
    }

    /// Bytes that the kernel took, ever.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Returns when the kernel has all of the text.
    pub(super) async fn send_text(&mut self, text: String) -> Result<(), End> {
        if text.len() <= FRAGMENT {
            return self.send(Message::text(text)).await;
        }
        let mut rest = Bytes::from(text);
        let mut kind = Data::Text;
        while !rest.is_empty() {
            let fragment = rest.split_to(FRAGMENT.min(rest.len()));
            self.send(Message::Frame(Frame::message(fragment, OpCode::Data(kind), rest.is_empty()))).await?;
            kind = Data::Continue;
        }
        Ok(())
    }

    /// Returns when the kernel has all of it.
    pub(super) async fn send(&mut self, message: Message) -> Result<(), End> {
        let mut before = self.written();
        let mut sending = self.sink.send(message);
        loop {
            match tokio::time::timeout(self.patience, &mut sending).await {
                Ok(sent) => return sent.map_err(|_| End::Gone),
                Err(_) => {
                    let now = self.written.load(Ordering::Relaxed);
                    if std::mem::replace(&mut before, now) == now {
                        return Err(End::Stalled);
                    }
                }
            }
        }
    }

    /// Tells the viewer why its connection ends, if it still listens, and ends it.
    pub(super) async fn close(mut self, incoming: Incoming, last: Option<String>, end: &End) {
        let Some(close) = end.close() else {
            // One that said goodbye is answered: the answer lies ready.
            let _ = tokio::time::timeout(FAREWELL, self.sink.flush()).await;
            return;
        };
        // Whoever does not take this in time does without it.
        let _ = tokio::time::timeout(FAREWELL, async {
            if let Some(last) = last {
                self.sink.send(Message::text(last)).await.ok()?;
            }
            self.sink.send(Message::Close(Some(close))).await.ok()?;
            linger(&mut self.sink.reunite(incoming).ok()?.into_inner()).await.ok()
        })
        .await;
    }
}
