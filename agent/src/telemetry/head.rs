//! The head of an HTTP request, as far as the door needs it, and the answer to it.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::telemetry::door::Refusal;

/// No request's head is longer, in bytes.
pub const MAX_HEAD: usize = 8 << 10;
/// No request has more headers.
const MAX_HEADERS: usize = 64;

/// The head of a request. Header values are bytes because nothing has vouched for them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Head {
    /// The method as written.
    pub method: String,
    /// The target as written.
    pub target: String,
    headers: Vec<(String, Vec<u8>)>,
}

impl Head {
    /// A head with these headers.
    #[must_use]
    pub fn new(method: &str, target: &str, headers: &[(&str, &str)]) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        Self { method: method.to_owned(), target: target.to_owned(), headers }
    }

    /// The head at the beginning of `bytes` and its length; `None` while it is incomplete.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] when this is no HTTP/1.1 request.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Refusal> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(bytes) {
            Ok(httparse::Status::Partial) => Ok(None),
            Ok(httparse::Status::Complete(len)) => {
                if request.version != Some(1) {
                    return Err(Refusal::Malformed);
                }
                let headers = request.headers.iter().map(|header| (header.name.to_owned(), header.value.to_vec())).collect();
                let text = |part: Option<&str>| part.unwrap_or_default().to_owned();
                Ok(Some((Self { method: text(request.method), target: text(request.path), headers }, len)))
            }
            Err(httparse::Error::TooManyHeaders) => Err(Refusal::TooLarge),
            Err(_) => Err(Refusal::Malformed),
        }
    }

    /// All values of a header, whatever the case of its name.
    pub fn all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.headers.iter().filter(move |(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
    }

    /// The only value of a header; `Err` when there are several, which no two readers would understand alike.
    ///
    /// # Errors
    /// [`Refusal::Malformed`]
    pub fn one(&self, name: &str) -> Result<Option<&[u8]>, Refusal> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (first, None) => Ok(first),
            _ => Err(Refusal::Malformed),
        }
    }

    /// The key that the upgrade must answer.
    ///
    /// # Errors
    /// [`Refusal::NoUpgrade`] when this asks for no WebSocket of version 13.
    pub fn websocket_key(&self) -> Result<&[u8], Refusal> {
        let has = |name: &str, token: &str| {
            self.all(name)
                .any(|value| value.split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes())))
        };
        let key = self.one("sec-websocket-key")?.unwrap_or_default();
        // 16 bytes in base64.
        let valid =
            key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(byte));
        let upgrades = has("connection", "upgrade") && has("upgrade", "websocket") && has("sec-websocket-version", "13");
        if valid && upgrades { Ok(key) } else { Err(Refusal::NoUpgrade) }
    }
}

/// Reads a head, and not a byte past it that could not be handed on.
///
/// # Errors
/// A refusal, or `None` when the peer went away. The caller limits the time.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<(Head, Vec<u8>), Option<Refusal>> {
    let mut bytes = Vec::with_capacity(1 << 10);
    loop {
        let mut part = [0; 1 << 10];
        let room = (MAX_HEAD - bytes.len()).min(part.len());
        if room == 0 {
            return Err(Some(Refusal::TooLarge));
        }
        let read = stream.read(&mut part[..room]).await.map_err(|_| None)?;
        if read == 0 {
            return Err(None);
        }
        bytes.extend_from_slice(&part[..read]);
        if let Some((head, len)) = Head::parse(&bytes)? {
            return Ok((head, bytes.split_off(len)));
        }
    }
}

/// Answers the upgrade.
///
/// # Errors
/// When the peer went away.
pub async fn accept(stream: &mut (impl AsyncWrite + Unpin), key: &[u8]) -> std::io::Result<()> {
    let answer = derive_accept_key(key);
    let text =
        format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {answer}\r\n\r\n");
    stream.write_all(text.as_bytes()).await
}

/// Tells the peer why it may not come in, and lets it read that.
pub async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, refusal: Refusal, patience: Duration) {
    let body = format!("{}\n", refusal.reason());
    let status = refusal.status();
    let extra = refusal.header().map_or_else(String::new, |header| format!("{header}\r\n"));
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n{extra}\r\n{body}",
        body.len()
    );
    // Whoever does not take its answer in time does without it.
    let _ = tokio::time::timeout(patience, async {
        stream.write_all(text.as_bytes()).await?;
        linger(stream).await
    })
    .await;
}

/// Ends our side and reads what the peer still sends: closing a socket with unread bytes would destroy what we sent last.
///
/// # Errors
/// When the peer went away. The caller limits the time.
pub async fn linger<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> std::io::Result<()> {
    stream.shutdown().await?;
    let mut rest = [0; 1 << 10];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}
