//! The door, on the wire.

use std::time::Duration;

use plasmon_agent::telemetry::server::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Client, PATIENCE};
use crate::fake::{Agent, TOKEN};

const UPGRADE: &str =
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// The status of the answer to `request`, 0 when there is none, and the connection.
async fn answer(address: &str, request: &[u8]) -> (u16, String, TcpStream) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    read_answer(stream).await
}

async fn read_answer(mut stream: TcpStream) -> (u16, String, TcpStream) {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        // One by one: what follows the head may be a frame, which is not ours to take.
        let mut part = [0; 1];
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut part)).await.expect("an answer in time").unwrap_or(0);
        if read == 0 {
            break;
        }
        text.extend_from_slice(&part[..read]);
    }
    let mut text = String::from_utf8_lossy(&text).into_owned();
    let length =
        text.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").and_then(|length| length.parse().ok()));
    let mut body = vec![0; length.unwrap_or(0)];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut body)).await.expect("a body in time").unwrap();
    text.push_str(&String::from_utf8_lossy(&body));
    (text.split(' ').nth(1).map_or(0, |status| status.parse().unwrap()), text, stream)
}

fn request(line: &str, host: Option<&str>, origin: Option<&str>, token: Option<&str>) -> String {
    let mut text = format!("{line} HTTP/1.1\r\n{UPGRADE}");
    for (name, value) in [("Host", host), ("Origin", origin), ("Authorization", token)] {
        text.extend(value.map(|value| format!("{name}: {value}\r\n")));
    }
    text + "\r\n"
}

#[tokio::test]
async fn only_the_right_token_on_the_right_path_from_no_foreign_page_is_upgraded() {
    let agent = Agent::start().await;
    let right = format!("Bearer {TOKEN}");
    let own = format!("http://{}", agent.address);
    let lines = [("GET /v1/stream", None), ("GET /", Some(404)), ("GET /v1/stream/", Some(404)), ("PUT /v1/stream", Some(405))];
    let hosts = [(agent.address.as_str(), None), ("node7.example", None), ("evil.test", Some(421)), ("localhost.evil.test", Some(421))];
    let origins = [(None, None), (Some("null"), Some(403)), (Some("http://evil.test"), Some(403)), (Some(own.as_str()), None)];
    let tokens = [(None, Some(401)), (Some("Bearer 0123456789abcdee"), Some(403)), (Some(right.as_str()), None)];
    for (line, bad_line) in lines {
        for (host, bad_host) in hosts {
            for (origin, mut bad_origin) in origins {
                if origin == Some(own.as_str()) && host != agent.address {
                    bad_origin = Some(403);
                }
                for (token, bad_token) in tokens {
                    let expected = bad_line.or(bad_host).or(bad_origin).or(bad_token).unwrap_or(101);
                    let text = request(line, Some(host), origin, token);
                    let (status, answer, _) = answer(&agent.address, text.as_bytes()).await;
                    assert_eq!(status, expected, "{text}{answer}");
                    assert_eq!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), expected == 101, "{answer}");
                }
            }
        }
    }
    agent.viewers(0).await;
}

#[tokio::test]
async fn wrong_tokens_are_slowed_down_and_do_not_lock_the_owner_out() {
    let agent = Agent::start().await;
    let wrong = request("GET /v1/stream", Some("localhost"), None, Some("Bearer wrong"));
    let mut statuses = Vec::new();
    for _ in 0..25 {
        statuses.push(answer(&agent.address, wrong.as_bytes()).await.0);
    }
    assert_eq!(statuses, [vec![403; 20], vec![429; 5]].concat());
    Client::connect(&agent.address).await;
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let agent = Agent::start().await;
    let large = format!("GET /v1/stream HTTP/1.1\r\nCookie: {}\r\n\r\n", "x".repeat(9000));
    let right = format!("Bearer {TOKEN}");
    let plain = format!("GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: {right}\r\n\r\n");
    let no_host = request("GET /v1/stream", None, None, Some(&right));
    let two_hosts = no_host.replace("\r\n\r\n", "\r\nHost: localhost\r\nHost: evil.test\r\n\r\n");
    for (text, expected) in [
        (large.as_str(), 431),
        (plain.as_str(), 426),
        (no_host.as_str(), 400),
        (two_hosts.as_str(), 400),
        ("hello\r\n\r\n", 400),
        ("GET /v1/stream HTTP/1.0\r\n\r\n", 400),
    ] {
        let (status, answer, _) = answer(&agent.address, text.as_bytes()).await;
        assert_eq!(status, expected, "{text:.60} {answer}");
    }
    Client::connect(&agent.address).await;
}

#[tokio::test]
async fn slow_handshakes_hold_nobody_up_and_are_ended() {
    let agent = Agent::with(Limits { handshake: Duration::from_secs(3), ..Limits::default() }, |server| server).await;
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(&agent.address).await.unwrap();
        stream.write_all(b"GET /v1/stream HT").await.unwrap();
        slow.push(stream);
    }
    Client::connect(&agent.address).await;
    for stream in slow {
        let (status, ..) = read_answer(stream).await;
        assert_eq!(status, 408);
    }
}

#[tokio::test]
async fn handshakes_and_viewers_are_limited() {
    let agent = Agent::with(Limits { handshakes: 2, viewers: 2, ..Limits::default() }, |server| server).await;
    let pending = [TcpStream::connect(&agent.address).await.unwrap(), TcpStream::connect(&agent.address).await.unwrap()];
    // Silent, because what is refused without being read loses its answer when something was sent.
    let (status, ..) = read_answer(TcpStream::connect(&agent.address).await.unwrap()).await;
    assert_eq!(status, 503);
    drop(pending);

    let right = request("GET /v1/stream", Some("localhost"), None, Some(&format!("Bearer {TOKEN}")));
    let deadline = std::time::Instant::now() + PATIENCE;
    let (mut taken, mut refused) = (Vec::new(), false);
    while !refused {
        assert!(std::time::Instant::now() < deadline, "the third viewer was not refused");
        match answer(&agent.address, right.as_bytes()).await {
            (101, _, stream) => taken.push(stream),
            // The two that went away may still be counted.
            (status, text, _) => refused = taken.len() == 2 && status == 503 && text.contains("viewers"),
        }
        assert!(taken.len() <= 2);
    }
    agent.viewers(2).await;
    drop(taken);
    agent.viewers(0).await;
    Client::connect(&agent.address).await;
}

#[tokio::test]
async fn frames_sent_right_behind_the_request_are_not_lost() {
    let agent = Agent::start().await;
    let mut bytes = request("GET /v1/stream", Some("localhost"), None, Some(&format!("Bearer {TOKEN}"))).into_bytes();
    let hello = br#"{"type":"hello","version":1}"#;
    bytes.extend([0x81, 0x80 | hello.len() as u8, 0, 0, 0, 0]);
    bytes.extend(hello);
    let (status, _, mut stream) = answer(&agent.address, &bytes).await;
    assert_eq!(status, 101);
    let mut first = [0; 2];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut first)).await.expect("a frame in time").unwrap();
    assert_eq!(first[0], 0x81, "a text frame");
}
