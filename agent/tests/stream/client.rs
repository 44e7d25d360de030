//! A viewer that checks what holds for every frame.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use plasmon_protocol::stream::{Body, Frame, MAX_FRAME, Request, VERSION, View};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::fake::TOKEN;

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Client {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    seq: u64,
    pub missed: u64,
}

/// What a viewer reads.
#[derive(Debug)]
pub(crate) enum Read {
    Frame(Box<Frame>, Value),
    Closed(Option<CloseFrame>),
}

impl Client {
    /// Connects and says nothing.
    pub(crate) async fn silent(address: &str) -> Self {
        let mut request = format!("ws://{address}/v1/stream").into_client_request().unwrap();
        request.headers_mut().insert("Authorization", format!("Bearer {TOKEN}").parse().unwrap());
        let (socket, _) = connect_async(request).await.unwrap();
        Self { socket, seq: 0, missed: 0 }
    }

    /// Connects and has been greeted.
    pub(crate) async fn connect(address: &str) -> Self {
        let mut client = Self::silent(address).await;
        client.send(&Request::Hello { version: VERSION }).await;
        let Body::Hello { version, node } = client.frame().await.body else { panic!("no hello") };
        assert_eq!((version, node.pid), (VERSION, 4711));
        client
    }

    pub(crate) async fn send(&mut self, request: &Request) {
        self.send_text(serde_json::to_string(request).unwrap()).await;
    }

    pub(crate) async fn send_text(&mut self, text: String) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn subscribe(&mut self, id: u32, view: View) {
        self.send(&Request::Subscribe { id, view }).await;
    }

    pub(crate) async fn ack(&mut self) {
        let seq = self.seq;
        self.send(&Request::Ack { seq }).await;
    }

    /// The next frame or the end. Frames count up by one, fit the limit, and never forget what was missed.
    pub(crate) async fn read(&mut self) -> Read {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("a frame in time");
            match message {
                Some(Ok(Message::Text(text))) => {
                    assert!(text.len() <= MAX_FRAME, "{} bytes", text.len());
                    let frame: Frame = serde_json::from_str(&text).unwrap();
                    assert_eq!(frame.seq, self.seq + 1);
                    assert!(frame.missed >= self.missed);
                    (self.seq, self.missed) = (frame.seq, frame.missed);
                    return Read::Frame(Box::new(frame), serde_json::from_str(&text).unwrap());
                }
                Some(Ok(Message::Close(close))) => return Read::Closed(close),
                Some(Ok(Message::Ping(_))) => {}
                None | Some(Err(Error::ConnectionClosed | Error::Io(_) | Error::Protocol(_))) => return Read::Closed(None),
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) async fn frame(&mut self) -> Frame {
        match self.read().await {
            Read::Frame(frame, _) => *frame,
            Read::Closed(close) => panic!("closed: {close:?}"),
        }
    }

    /// The next frame must be an error and the connection must end with `code`.
    pub(crate) async fn refused(&mut self, code: u16) -> (String, String) {
        let Body::Error { id: None, code: name, message, hint } = self.frame().await.body else { panic!("no error") };
        assert!(!hint.is_empty());
        self.closed(code).await;
        (name, message)
    }

    pub(crate) async fn closed(&mut self, code: u16) {
        match self.read().await {
            Read::Closed(Some(close)) => assert_eq!(u16::from(close.code), code, "{close:?}"),
            other => panic!("{other:?}"),
        }
    }

    /// That nothing is sent is shown by the answer to a ping, which comes after all that was sent before.
    pub(crate) async fn nothing_waits(&mut self) {
        self.socket.send(Message::Ping(b"?".to_vec().into())).await.unwrap();
        loop {
            match tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("a pong in time") {
                Some(Ok(Message::Pong(_))) => return,
                Some(Ok(Message::Ping(_))) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}
