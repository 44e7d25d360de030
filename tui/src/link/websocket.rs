//! The link over a WebSocket: one task that connects, says hello, passes on, and connects again.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use plasmon_protocol::record::NodeRow;
use plasmon_protocol::stream::{Body, Frame, MAX_FRAME, PATH, Request, VERSION};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, header, uri::Uri};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::{Link, LinkError, LinkEvent};
use crate::model::clean::{clean, decode};

/// Frames that may wait for the screen; beyond them the agent is kept waiting, which it counts and tells.
const QUEUE: usize = 64;
/// The first wait between attempts; doubled up to the longest.
const FIRST_RETRY: Duration = Duration::from_millis(250);
/// The longest wait between attempts.
const LAST_RETRY: Duration = Duration::from_secs(5);
/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// How often a silent agent is asked for a sign of life.
const PING: Duration = Duration::from_secs(5);
/// How often one that says nothing is asked before it is gone. Asked, not waited for: this process may have been stopped meanwhile.
const UNANSWERED: u32 = 3;

/// Where an agent is, and what it is shown to be let in.
#[derive(Clone, PartialEq, Eq)]
pub struct Door {
    /// `ws://host:port`; the path is the stream's whatever is given.
    pub url: String,
    /// The token.
    pub token: Option<String>,
}

impl std::fmt::Debug for Door {
    /// The token is nobody's business.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("url", &self.url).field("token", &self.token.as_ref().map(|_| "...")).finish()
    }
}

/// A connection that said hello.
pub struct Connection {
    url: String,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// When the agent was heard last.
    heard: Instant,
    /// How often it was asked for a sign of life since.
    unanswered: u32,
    ping: Interval,
}

fn say(error: &impl ToString) -> String {
    let mut text = error.to_string();
    clean(&mut text);
    text
}

impl Door {
    /// `host:port`, for headers.
    #[must_use]
    pub fn address(&self) -> String {
        self.url.parse::<Uri>().ok().and_then(|uri| uri.authority().map(|authority| authority.as_str().to_owned())).unwrap_or_default()
    }

    fn request(&self) -> Result<tokio_tungstenite::tungstenite::handshake::client::Request, LinkError> {
        let bad = |cause: String| LinkError::Url { url: self.url.clone(), cause };
        let full = if self.url.contains("://") { self.url.clone() } else { format!("ws://{}", self.url) };
        let uri: Uri = full.parse().map_err(|error: tokio_tungstenite::tungstenite::http::uri::InvalidUri| bad(error.to_string()))?;
        match uri.scheme_str() {
            Some("ws" | "http") => {}
            Some("wss" | "https") => return Err(bad("TLS is not built in; an ssh tunnel does the same".to_owned())),
            scheme => return Err(bad(format!("its scheme is '{}', not 'ws'", scheme.unwrap_or_default()))),
        }
        let authority = uri.authority().ok_or_else(|| bad("it names no host".to_owned()))?;
        if authority.as_str().contains('@') {
            return Err(bad("a token does not belong into a URL".to_owned()));
        }
        if authority.as_str() != authority.host() && authority.port_u16().is_none() {
            return Err(bad("its port is no number up to 65535".to_owned()));
        }
        let mut request = format!("ws://{authority}{PATH}").into_client_request().map_err(|error| bad(say(&error)))?;
        if let Some(token) = &self.token {
            let value = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
            let mut value = value.map_err(|_| bad("the token has characters that no token has".to_owned()))?;
            value.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        Ok(request)
    }

    /// Connects and says hello.
    ///
    /// # Errors
    /// Why there is no connection.
    pub async fn connect(&self) -> Result<(Connection, NodeRow), LinkError> {
        let url = self.url.clone();
        let request = self.request()?;
        let config = WebSocketConfig::default().max_message_size(Some(2 * MAX_FRAME)).max_frame_size(Some(2 * MAX_FRAME));
        let slow = |url: &str| LinkError::Unreachable { url: url.to_owned(), cause: format!("no answer within {} s", CONNECT.as_secs()) };
        let answer = timeout(CONNECT, connect_async_with_config(request, Some(config), true)).await.map_err(|_| slow(&url))?;
        let (socket, _) = answer.map_err(|error| refusal(&url, error))?;
        let heard = Instant::now();
        let mut ping = interval_at(heard + PING, PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut connection = Connection { url: url.clone(), socket, heard, unanswered: 0, ping };
        connection.send(&Request::Hello { version: VERSION }).await?;
        let text = timeout(CONNECT, connection.text()).await.map_err(|_| slow(&url))??;
        let frame = connection.read(&text)?;
        match frame.body {
            Body::Hello { version: VERSION, node } => Ok((connection, *node)),
            Body::Hello { version: theirs, .. } => Err(LinkError::Version { url, theirs }),
            Body::Error { message, hint, .. } => Err(LinkError::Refused { message, hint }),
            _ => Err(LinkError::Frame { url, cause: "it does not begin with a hello".to_owned() }),
        }
    }
}

fn refusal(url: &str, error: WsError) -> LinkError {
    let url = url.to_owned();
    match error {
        WsError::Http(response) => match response.status().as_u16() {
            401 => LinkError::TokenMissing { url },
            403 => LinkError::TokenRefused { url },
            421 => LinkError::HostRefused { url },
            status => LinkError::NoAgent { url, status },
        },
        WsError::Io(error) => LinkError::Unreachable { url, cause: say(&error) },
        error => LinkError::Unreachable { url, cause: say(&error) },
    }
}

impl Connection {
    /// Sends a request.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send(&mut self, request: &Request) -> Result<(), LinkError> {
        let text = serde_json::to_string(request).map_err(|error| self.ended(&error))?;
        self.socket.send(Message::text(text)).await.map_err(|error| self.ended(&error))
    }

    /// The next frame's text; what else travels on a WebSocket is left to the library. Dropping this loses nothing.
    ///
    /// # Errors
    /// When the connection is gone, or the agent gives no sign of life although it is asked for one.
    pub async fn text(&mut self) -> Result<String, LinkError> {
        loop {
            tokio::select! {
                biased;
                // First what has come: after a stop of this process it lies there, and the agent was not silent.
                message = self.socket.next() => {
                    (self.heard, self.unanswered) = (Instant::now(), 0);
                    match message {
                        Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
                        Some(Ok(Message::Close(reason))) => {
                            let cause = reason.map_or_else(|| "the agent closed it".to_owned(), |reason| say(&reason));
                            return Err(LinkError::Ended { url: self.url.clone(), cause });
                        }
                        Some(Ok(_)) => {}
                        Some(Err(error)) => return Err(self.ended(&error)),
                        None => return Err(self.ended(&"the agent closed it")),
                    }
                }
                _ = self.ping.tick() => {
                    if self.unanswered == UNANSWERED {
                        return Err(LinkError::Silent { url: self.url.clone(), seconds: self.heard.elapsed().as_secs() });
                    }
                    self.unanswered += 1;
                    self.socket.send(Message::Ping(Vec::new().into())).await.map_err(|error| self.ended(&error))?;
                }
            }
        }
    }

    fn read(&self, text: &str) -> Result<Frame, LinkError> {
        decode(text).map_err(|error| self.unreadable(&error))
    }

    /// A frame of this connection's that cannot be read.
    #[must_use]
    pub fn unreadable(&self, error: &serde_json::Error) -> LinkError {
        LinkError::Frame { url: self.url.clone(), cause: say(error) }
    }

    fn ended(&self, error: &impl ToString) -> LinkError {
        LinkError::Ended { url: self.url.clone(), cause: say(error) }
    }

    /// Says good-bye; an agent that does not listen any more is not waited for.
    pub async fn close(mut self) {
        let _ = timeout(Duration::from_millis(200), self.socket.close(None)).await;
    }
}

/// The viewer's end of the task.
#[derive(Debug)]
pub struct WebSocketLink {
    events: mpsc::Receiver<LinkEvent>,
    requests: mpsc::UnboundedSender<Request>,
}

impl WebSocketLink {
    /// Goes on from a connection that is there; restores it when it breaks. Must be called within a runtime.
    #[must_use]
    pub fn keep(door: Door, connection: Connection, node: NodeRow) -> Self {
        let (tell, events) = mpsc::channel(QUEUE);
        let (requests, asked) = mpsc::unbounded_channel();
        tokio::spawn(keep(door, connection, node, tell, asked));
        Self { events, requests }
    }

    /// A link on which nothing happens, and what is asked for on it.
    #[cfg(test)]
    pub(super) fn apart() -> (Self, mpsc::UnboundedReceiver<Request>) {
        let (requests, asked) = mpsc::unbounded_channel();
        (Self { events: mpsc::channel(1).1, requests }, asked)
    }
}

impl Link for WebSocketLink {
    fn send(&mut self, request: Request) {
        // When the task is gone, `next` says so.
        let _ = self.requests.send(request);
    }

    async fn next(&mut self) -> Option<LinkEvent> {
        self.events.recv().await
    }

    fn ready(&mut self) -> Option<LinkEvent> {
        self.events.try_recv().ok()
    }
}

/// The task: ends when the viewer's end is dropped.
async fn keep(
    door: Door,
    connection: Connection,
    node: NodeRow,
    tell: mpsc::Sender<LinkEvent>,
    mut asked: mpsc::UnboundedReceiver<Request>,
) {
    let mut current = Some((connection, node));
    let mut wait = FIRST_RETRY;
    loop {
        let attempt = match current.take() {
            Some(there) => Ok(there),
            None => tokio::select! {
                attempt = door.connect() => attempt,
                () = tell.closed() => return,
            },
        };
        let error = match attempt {
            Ok((mut connection, node)) => {
                wait = FIRST_RETRY;
                // What was asked for meanwhile is asked for again by the viewer.
                while asked.try_recv().is_ok() {}
                if tell.send(LinkEvent::Connected(Box::new(node))).await.is_err() {
                    return connection.close().await;
                }
                match pass(&mut connection, &tell, &mut asked).await {
                    Some(error) => error,
                    None => return connection.close().await,
                }
            }
            Err(error) => error,
        };
        let this = if error.passes() { wait } else { LAST_RETRY };
        let retry_ms = this.as_millis() as u64;
        if tell.send(LinkEvent::Lost { error, retry_ms }).await.is_err() {
            return;
        }
        wait = (wait * 2).min(LAST_RETRY);
        tokio::select! {
            () = tokio::time::sleep(this) => {}
            () = tell.closed() => return,
        }
    }
}

/// Passes requests and frames on until the connection is gone, or the viewer: then `None`.
async fn pass(
    connection: &mut Connection,
    tell: &mpsc::Sender<LinkEvent>,
    asked: &mut mpsc::UnboundedReceiver<Request>,
) -> Option<LinkError> {
    loop {
        tokio::select! {
            biased;
            request = asked.recv() => {
                if let Err(error) = connection.send(&request?).await {
                    return Some(error);
                }
            }
            text = connection.text() => match text.and_then(|text| connection.read(&text)) {
                Ok(frame) => tell.send(LinkEvent::Frame(Box::new(frame))).await.ok()?,
                Err(error) => return Some(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(url: &str) -> Door {
        Door { url: url.to_owned(), token: Some("secret\n".to_owned()) }
    }

    #[test]
    fn any_spelling_of_an_agent_leads_to_its_stream() {
        for url in ["ws://127.0.0.1:6480", "ws://127.0.0.1:6480/", "127.0.0.1:6480", "http://127.0.0.1:6480/v1/stream"] {
            let request = door(url).request().unwrap();
            assert_eq!(request.uri(), "ws://127.0.0.1:6480/v1/stream", "{url}");
            assert_eq!(request.headers()[header::AUTHORIZATION], "Bearer secret");
        }
        for url in ["wss://host", "ftp://host", "ws://", "", "ws://token@host:1", "ws://a b"] {
            assert!(matches!(door(url).request(), Err(LinkError::Url { .. })), "{url}");
        }
        assert_eq!(door("ws://127.0.0.1:6480/").address(), "127.0.0.1:6480");
    }

    #[test]
    fn a_token_is_never_printed() {
        assert!(!format!("{:?}", door("ws://host")).contains("secret"));
    }
}
