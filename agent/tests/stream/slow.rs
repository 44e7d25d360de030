//! Viewers that are slow, stuck, silent or gone; and the agent's own end.

use std::time::Duration;

use plasmon_agent::telemetry::server::Limits;
use plasmon_protocol::column::Table;
use plasmon_protocol::stream::{Body, Request, Rows, View};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::Client;
use crate::fake::{Agent, TOKEN, reference};

fn brisk() -> Limits {
    Limits { tick: Duration::from_millis(10), ..Limits::default() }
}

#[tokio::test]
async fn whoever_does_not_acknowledge_gets_two_frames_and_then_the_newest() {
    let agent = Agent::with(brisk(), |server| server).await;
    let mut client = Client::connect(&agent.address).await;
    client.subscribe(1, View::of(Table::References)).await;
    assert!(matches!(client.frame().await.body, Body::Snapshot { .. }));
    agent.change(|rows| rows.references = vec![reference(1, 1, Some(1))]);
    assert!(matches!(client.frame().await.body, Body::Delta { .. }));
    let copies = agent.rows.lock().unwrap().copies.load(std::sync::atomic::Ordering::SeqCst);
    for size in 2..=30 {
        agent.change_seen(|rows| rows.references = vec![reference(1, 1, Some(size))]).await;
    }
    client.nothing_waits().await;
    let now = agent.rows.lock().unwrap().copies.load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(now, copies, "a viewer without credit costs no copies");

    client.ack().await;
    let frame = client.frame().await;
    let Body::Delta { rows: Rows::References(rows), order: None, .. } = frame.body else { panic!("{frame:?}") };
    assert_eq!(rows, [reference(1, 1, Some(30))]);
    assert_eq!(frame.missed, 28, "29 changes in one frame");
}

#[tokio::test]
async fn whoever_never_acknowledges_is_told_to_come_again() {
    let agent = Agent::with(Limits { stall: Duration::from_millis(500), ..brisk() }, |server| server).await;
    let mut client = Client::connect(&agent.address).await;
    for id in 0..3 {
        client.subscribe(id, View::of(Table::References)).await;
    }
    client.frame().await;
    client.frame().await;
    client.closed(1013).await;
    agent.viewers(0).await;
}

/// A connection that is upgraded and says hello, and then neither reads nor writes.
async fn mute(agent: &Agent, more: &str) -> TcpStream {
    let mut stream = TcpStream::connect(&agent.address).await.unwrap();
    let head = format!(
        "GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    for text in [r#"{"type":"hello","version":1}"#, more] {
        let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
        frame.extend(text.as_bytes());
        stream.write_all(&frame).await.unwrap();
    }
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 101");
    stream
}

#[tokio::test]
async fn whoever_reads_nothing_is_cut_off() {
    let agent = Agent::with(Limits { stall: Duration::from_secs(3), ..brisk() }, |server| server).await;
    // Far more than all buffers between the two hold.
    agent.change(|rows| rows.references = (0..60_000).map(|n| reference(1, n, Some(1))).collect());
    let stuck = mute(&agent, r#"{"type":"report","id":1}"#).await;
    agent.viewers(1).await;
    let mut other = Client::connect(&agent.address).await;
    other.subscribe(1, View::of(Table::References)).await;
    assert!(matches!(other.frame().await.body, Body::Snapshot { .. }), "nobody else is held up");
    agent.viewers(1).await;
    drop(stuck);
}

#[tokio::test]
async fn whoever_answers_no_ping_is_gone() {
    let limits = Limits { ping: Duration::from_millis(50), pong: Duration::from_secs(3), ..brisk() };
    let agent = Agent::with(limits, |server| server).await;
    let silent = mute(&agent, r#"{"type":"unsubscribe","id":1}"#).await;
    agent.viewers(0).await;
    drop(silent);

    // One that answers stays for longer.
    let mut client = Client::connect(&agent.address).await;
    let listening = tokio::time::timeout(Duration::from_secs(7), client.read()).await;
    assert!(listening.is_err(), "{listening:?}");
}

#[tokio::test]
async fn a_slow_reader_still_gets_everything_in_order() {
    let agent = Agent::with(brisk(), |server| server).await;
    agent.change(|rows| rows.references = (0..3_000).map(|n| reference(1, n, Some(1))).collect());
    let mut client = Client::connect(&agent.address).await;
    client.subscribe(1, View::of(Table::References)).await;
    client.send(&Request::Report { id: 2, filter: String::new() }).await;
    let (mut rows, mut last) = (0, false);
    while !last {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if let Body::Report { references, last: end, .. } = client.frame().await.body {
            rows += references.len();
            last = end;
        }
    }
    assert_eq!(rows, 3_000);
}

#[tokio::test]
async fn viewers_are_told_when_the_agent_ends() {
    let mut agent = Agent::start().await;
    let mut watching = Client::connect(&agent.address).await;
    watching.subscribe(1, View::of(Table::References)).await;
    watching.frame().await;
    let mut greeting = Client::silent(&agent.address).await;
    agent.viewers(2).await;
    agent.stop();
    watching.closed(1001).await;
    greeting.closed(1001).await;
    (&mut agent.done).await.unwrap();
    assert!(TcpStream::connect(&agent.address).await.is_err());
    agent.viewers(0).await;
}
