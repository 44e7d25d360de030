//! Who may come in, decided on the request's head before anything is upgraded.
//!
//! Names are allowed, not recognised as bad: a page in a browser can make it send requests here, under a name that resolves
//! here, but it cannot leave out where it comes from (`Origin`) or what name it asked for (`Host`).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use plasmon_protocol::stream::PATH;

use crate::telemetry::head::Head;
use crate::telemetry::token::{Token, TokenDigest};

/// Wrong tokens that one address may send in a [`MINUTE`] before it is told to wait.
pub const MAX_WRONG: u32 = 20;
const MINUTE: Duration = Duration::from_secs(60);
/// Addresses whose wrong tokens are counted; more at once count as one that has sent too many.
const MAX_ADDRESSES: usize = 1024;

/// Why a request is not let in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refusal {
    /// It is no HTTP/1.1 request, or has two of a header that must be one.
    Malformed,
    /// Its head is too large.
    TooLarge,
    /// It did not come in time.
    TooSlow,
    /// Its method is not `GET`.
    Method,
    /// There is only one path.
    Path,
    /// It names a host that this agent does not go by.
    Host,
    /// It comes from a page of another origin.
    Origin,
    /// It has no token.
    NoToken,
    /// It has a wrong token.
    WrongToken,
    /// Its address has sent too many wrong tokens.
    TooMany,
    /// It asks for no WebSocket.
    NoUpgrade,
    /// As many are in as there may be.
    Full,
}

impl Refusal {
    /// The status line's code and phrase.
    #[must_use]
    pub fn status(self) -> &'static str {
        match self {
            Self::Malformed => "400 Bad Request",
            Self::NoToken => "401 Unauthorized",
            Self::WrongToken | Self::Origin => "403 Forbidden",
            Self::Path => "404 Not Found",
            Self::Method => "405 Method Not Allowed",
            Self::TooSlow => "408 Request Timeout",
            Self::Host => "421 Misdirected Request",
            Self::NoUpgrade => "426 Upgrade Required",
            Self::TooMany => "429 Too Many Requests",
            Self::TooLarge => "431 Request Header Fields Too Large",
            Self::Full => "503 Service Unavailable",
        }
    }

    /// A header that the answer should have.
    #[must_use]
    pub fn header(self) -> Option<&'static str> {
        match self {
            Self::NoToken => Some("WWW-Authenticate: Bearer"),
            Self::Method => Some("Allow: GET"),
            Self::NoUpgrade => Some("Upgrade: websocket\r\nSec-WebSocket-Version: 13"),
            Self::TooMany => Some("Retry-After: 60"),
            Self::Full => Some("Retry-After: 1"),
            _ => None,
        }
    }

    /// What is wrong and what to do, in one line.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "this is not one plain HTTP/1.1 request",
            Self::TooLarge => "the request's head is larger than 8 KiB",
            Self::TooSlow => "the request did not come within the time allowed",
            Self::Method => "the stream is opened with GET",
            Self::Path => "there is only /v1/stream",
            Self::Host => "the agent does not go by this host name; use its IP address or localhost, or start it with --allow-host NAME",
            Self::Origin => "pages of other origins may not open the stream",
            Self::NoToken => "send the token from the agent's token file: Authorization: Bearer TOKEN",
            Self::WrongToken => "the token is not this agent's; read its token file again",
            Self::TooMany => "too many wrong tokens from this address; wait a minute",
            Self::NoUpgrade => "the stream is a WebSocket, version 13",
            Self::Full => "too many viewers are attached; close one",
        }
    }
}

/// Decides who may come in.
#[derive(Debug)]
pub struct Door {
    digest: TokenDigest,
    hosts: Vec<String>,
    wrong: Mutex<HashMap<IpAddr, (Instant, u32)>>,
}

impl std::fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenDigest(..)")
    }
}

impl Door {
    /// A door that `token` opens, under any IP address, `localhost` and the names in `hosts`.
    #[must_use]
    pub fn new(token: &Token, hosts: Vec<String>) -> Self {
        Self { digest: token.digest(), hosts, wrong: Mutex::default() }
    }

    /// Whether a request may come in, by its head alone.
    ///
    /// # Errors
    /// The first reason against it.
    pub fn decide(&self, head: &Head) -> Result<(), Refusal> {
        if head.method != "GET" {
            return Err(Refusal::Method);
        }
        if head.target != PATH {
            return Err(Refusal::Path);
        }
        let host = head.one("host")?.ok_or(Refusal::Malformed)?;
        let host = Authority::parse(host).filter(|host| self.goes_by(host)).ok_or(Refusal::Host)?;
        if let Some(origin) = head.one("origin")?
            && !same_origin(origin, &host)
        {
            return Err(Refusal::Origin);
        }
        let guess = bearer(head.one("authorization")?.ok_or(Refusal::NoToken)?).ok_or(Refusal::NoToken)?;
        if !self.digest.matches(&TokenDigest::of(guess)) {
            return Err(Refusal::WrongToken);
        }
        head.websocket_key().map(|_| ())
    }

    /// As [`Door::decide`], and counts wrong tokens by address. The right token is always let in: it cannot be guessed, and
    /// whoever shares an address with its owner must not be able to lock the owner out.
    ///
    /// # Errors
    /// The first reason against it.
    pub fn admit(&self, head: &Head, from: IpAddr, now: Instant) -> Result<(), Refusal> {
        match self.decide(head) {
            Err(Refusal::WrongToken) if self.count_wrong(from, now) > MAX_WRONG => Err(Refusal::TooMany),
            decision => decision,
        }
    }

    fn count_wrong(&self, from: IpAddr, now: Instant) -> u32 {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        let address = network(from);
        if wrong.len() >= MAX_ADDRESSES && !wrong.contains_key(&address) {
            wrong.retain(|_, (since, _)| now.saturating_duration_since(*since) < MINUTE);
            if wrong.len() >= MAX_ADDRESSES {
                return MAX_WRONG + 1;
            }
        }
        let (since, count) = wrong.entry(address).or_insert((now, 0));
        if now.saturating_duration_since(*since) >= MINUTE {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count
    }

    fn goes_by(&self, host: &Authority<'_>) -> bool {
        match host.name {
            Name::Address(_) => true,
            Name::Word(word) => {
                word.eq_ignore_ascii_case("localhost") || self.hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(word))
            }
        }
    }
}

/// What one party controls at least: an address, or a /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(6)?;
    let token = token.strip_prefix(b" ")?.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer") && !token.is_empty()).then_some(token)
}

/// A host and a port as `Host` and `Origin` write them.
struct Authority<'a> {
    name: Name<'a>,
    port: u16,
}

enum Name<'a> {
    Address(IpAddr),
    Word(&'a str),
}

impl<'a> Authority<'a> {
    fn parse(value: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?.trim_ascii();
        let (name, port) = if let Some(rest) = text.strip_prefix('[') {
            let (address, port) = rest.split_once(']')?;
            (Name::Address(IpAddr::V6(address.parse::<Ipv6Addr>().ok()?)), port)
        } else {
            let (word, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            if word.is_empty() || !word.bytes().all(plain) {
                return None;
            }
            (word.parse::<Ipv4Addr>().map_or(Name::Word(word), |address| Name::Address(IpAddr::V4(address))), port)
        };
        let port = match port.strip_prefix(':') {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
            None if port.is_empty() => 80,
            _ => return None,
        };
        Some(Self { name, port })
    }
}

/// Whether a page of `origin` is of the host that the request names. The agent serves none, but libraries that are no browsers
/// send such an origin.
fn same_origin(origin: &[u8], host: &Authority<'_>) -> bool {
    let Some(other) = origin.strip_prefix(b"http://").and_then(Authority::parse) else { return false };
    let same_name = match (&other.name, &host.name) {
        (Name::Address(a), Name::Address(b)) => a == b,
        (Name::Word(a), Name::Word(b)) => a.eq_ignore_ascii_case(b),
        _ => false,
    };
    same_name && other.port == host.port
}

#[cfg(test)]
mod tests;
