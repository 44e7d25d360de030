//! The WebSocket link against a server of the test's own: refusals are told apart, a lost connection comes back, a report is whole.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use plasmon_protocol::id::NodeId;
use plasmon_protocol::record::{NodeRow, PostMortemRow, ReferenceRow, Site, StoreRow};
use plasmon_protocol::stream::{Body, Frame, PostMortem, Request, VERSION};
use plasmon_tui::link::websocket::{Door, WebSocketLink};
use plasmon_tui::link::{Link, LinkError, LinkEvent};
use plasmon_tui::once;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

async fn listen() -> (TcpListener, Door) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    (listener, Door { url, token: Some("secret".to_owned()) })
}

type Socket = WebSocketStream<TcpStream>;

/// Accepts one viewer and answers its hello.
async fn welcome(listener: &TcpListener, version: u32) -> Socket {
    let (stream, _) = listener.accept().await.unwrap();
    let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
    assert_eq!(request(&mut socket).await, Some(Request::Hello { version: VERSION }));
    let node = Box::new(NodeRow { node: NodeId([3; 8]), node_ip: "1.2.3.4\u{1b}[2J".into(), ..NodeRow::default() });
    say(&mut socket, 1, Body::Hello { version, node }).await;
    socket
}

async fn say(socket: &mut Socket, seq: u64, body: Body) {
    let frame = Frame { seq, at_ms: 7, missed: 0, body };
    socket.send(Message::text(serde_json::to_string(&frame).unwrap())).await.unwrap();
}

async fn request(socket: &mut Socket) -> Option<Request> {
    loop {
        match socket.next().await? {
            Ok(Message::Text(text)) => return Some(serde_json::from_str(text.as_str()).unwrap()),
            Ok(Message::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

#[tokio::test]
async fn refusals_are_told_apart() {
    for (status, expected) in [("401 Unauthorized", 401), ("403 Forbidden", 403), ("421 Misdirected Request", 421), ("404 Not Found", 404)]
    {
        let (listener, door) = listen().await;
        let answer = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 2048];
            let len = stream.read(&mut head).await.unwrap();
            let head = String::from_utf8_lossy(&head[..len]).to_lowercase();
            assert!(head.starts_with("get /v1/stream ") && head.contains("authorization: bearer secret"), "{head}");
            stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes()).await.unwrap();
        };
        let (result, ()) = tokio::join!(door.connect(), answer);
        let error = result.err().unwrap();
        let right = match &error {
            LinkError::TokenMissing { .. } => 401,
            LinkError::TokenRefused { .. } => 403,
            LinkError::HostRefused { .. } => 421,
            LinkError::NoAgent { status, .. } => *status,
            other => panic!("{other}"),
        };
        assert_eq!(right, expected);
        assert!(!error.hint().is_empty() && !error.to_string().contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn another_version_and_a_closed_port_are_named() {
    let (listener, door) = listen().await;
    let (result, socket) = tokio::join!(door.connect(), welcome(&listener, VERSION + 1));
    assert!(matches!(result.err().unwrap(), LinkError::Version { theirs, .. } if theirs == VERSION + 1));
    drop((socket, listener));
    assert!(matches!(door.connect().await.err().unwrap(), LinkError::Unreachable { .. }));
}

#[tokio::test]
async fn a_lost_connection_comes_back() {
    let (listener, door) = listen().await;
    let (connected, mut socket) = tokio::join!(door.connect(), welcome(&listener, VERSION));
    let (connection, node) = connected.unwrap();
    assert_eq!(&*node.node_ip, "1.2.3.4\u{fffd}[2J", "text is harmless as soon as it is decoded");
    let mut link = WebSocketLink::keep(door, connection, node);
    assert!(matches!(link.next().await, Some(LinkEvent::Connected(_))));
    link.send(Request::Ack { seq: 1 });
    assert_eq!(request(&mut socket).await, Some(Request::Ack { seq: 1 }));
    drop(socket);
    let Some(LinkEvent::Lost { error, retry_ms }) = link.next().await else { panic!() };
    assert!(matches!(error, LinkError::Ended { .. }) && retry_ms > 0, "{error}");
    let again = tokio::time::timeout(Duration::from_secs(30), welcome(&listener, VERSION)).await.unwrap();
    assert!(matches!(link.next().await, Some(LinkEvent::Connected(_))));
    drop((again, link));
}

#[tokio::test]
async fn a_frame_that_cannot_be_read_ends_the_connection_and_not_the_program() {
    let (listener, door) = listen().await;
    let (connected, mut socket) = tokio::join!(door.connect(), welcome(&listener, VERSION));
    let (connection, node) = connected.unwrap();
    let mut link = WebSocketLink::keep(door, connection, node);
    assert!(matches!(link.next().await, Some(LinkEvent::Connected(_))));
    socket.send(Message::text("{\"seq\":\"\\u001b[2J\"}")).await.unwrap();
    let Some(LinkEvent::Lost { error: LinkError::Frame { cause, .. }, .. }) = link.next().await else { panic!() };
    assert!(!cause.contains('\u{1b}'), "{cause:?}");
}

#[tokio::test]
async fn a_report_is_collected_from_its_parts() {
    let (listener, door) = listen().await;
    let site = Site { function: "f\u{1b}".into(), file: "a.rs".into(), line: 1, ..Site::default() };
    let row = |pid| ReferenceRow { pid, call_site: site.clone().into(), ..ReferenceRow::default() };
    let serve = async {
        let mut socket = welcome(&listener, VERSION).await;
        assert_eq!(request(&mut socket).await, Some(Request::Report { id: 1, filter: String::new() }));
        let store = Some(Box::new(StoreRow { objects: 3, ..StoreRow::default() }));
        let process = PostMortemRow { pid: 9, how: "signal 9\u{1b}".into(), ..PostMortemRow::default() };
        let post_mortem = vec![PostMortem { process, references: vec![row(9)], ..PostMortem::default() }];
        say(&mut socket, 2, Body::Report { id: 1, store, post_mortem, frames: Vec::new(), references: vec![row(1), row(2)], last: false })
            .await;
        assert_eq!(request(&mut socket).await, Some(Request::Ack { seq: 2 }));
        say(
            &mut socket,
            3,
            Body::Report { id: 1, store: None, post_mortem: Vec::new(), frames: Vec::new(), references: vec![row(3)], last: true },
        )
        .await;
        while request(&mut socket).await.is_some() {}
    };
    let (report, ()) = tokio::join!(once::fetch(&door, ""), serve);
    let report = report.unwrap();
    assert_eq!((report.store().objects, report.at_ms()), (3, 7));
    assert_eq!(report.references().iter().map(|row| row.pid).collect::<Vec<_>>(), [1, 2, 3]);
    let [dead] = report.post_mortem() else { panic!("{report:?}") };
    assert_eq!((dead.process.pid, &*dead.process.how), (9, "signal 9\u{fffd}"));
    assert!(report.references().iter().chain(&dead.references).all(|row| row.call_site.function == "f\u{fffd}"));
}

#[tokio::test]
async fn a_refused_report_says_why() {
    let (listener, door) = listen().await;
    let serve = async {
        let mut socket = welcome(&listener, VERSION).await;
        request(&mut socket).await;
        let body = Body::Error { id: Some(1), code: "busy".into(), message: "two reports at once".into(), hint: "wait".into() };
        say(&mut socket, 2, body).await;
        while request(&mut socket).await.is_some() {}
    };
    let (report, ()) = tokio::join!(once::fetch(&door, ""), serve);
    let error = report.unwrap_err();
    assert_eq!((error.to_string().as_str(), error.hint().as_str()), ("two reports at once", "wait"));
}

#[tokio::test]
async fn an_agent_that_gives_no_sign_of_life_is_given_up() {
    let (listener, door) = listen().await;
    let agent = async {
        let socket = welcome(&listener, VERSION).await;
        // It is there and reads nothing more.
        tokio::time::sleep(Duration::from_secs(3600)).await;
        drop(socket);
    };
    let viewer = async {
        let (mut connection, _) = door.connect().await.unwrap();
        tokio::time::pause();
        connection.text().await
    };
    let heard = tokio::select! { heard = viewer => heard, () = agent => panic!("nobody gave up") };
    assert!(matches!(heard, Err(LinkError::Silent { seconds: 15..=20, .. })), "{heard:?}");
}
