//! A dashboard as the agent sees one: it shows the references and the store, reads every frame and says so.

use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use plasmon_agent::session::Address;
use plasmon_protocol::column::Table;
use plasmon_protocol::record::StoreRow;
use plasmon_protocol::stream::{Body, Frame, Request, Rows, VERSION, View, Window};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

use crate::Outcome;

/// Rows that a large terminal shows.
const ROWS: u32 = 50;
/// Longer than a first frame takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// The store as a dashboard is told of it, once.
pub(crate) fn store_row(session: &Path) -> Outcome<StoreRow> {
    let (_stream, mut socket) = connect(session)?;
    send(&mut socket, &Request::Subscribe { id: 1, view: View::of(Table::Store) })?;
    loop {
        let Message::Text(text) = socket.read()? else { continue };
        if let Body::Snapshot { rows: Rows::Store(rows), .. } = serde_json::from_str::<Frame>(&text)?.body {
            return rows.into_iter().next().ok_or_else(|| "a store without a row".into());
        }
    }
}

/// A connection that has said hello.
fn connect(session: &Path) -> Outcome<(TcpStream, WebSocket<TcpStream>)> {
    let address: Address = serde_json::from_slice(&std::fs::read(session.join("address"))?)?;
    let token = std::fs::read_to_string(&address.token_file)?;
    let mut request = format!("ws://{}/v1/stream", address.listen).into_client_request()?;
    request.headers_mut().insert("Authorization", format!("Bearer {}", token.trim()).parse()?);
    let stream = TcpStream::connect(address.listen)?;
    stream.set_nodelay(true)?;
    let (mut socket, _) = client(request, stream.try_clone()?).map_err(|error| error.to_string())?;
    send(&mut socket, &Request::Hello { version: VERSION })?;
    Ok((stream, socket))
}

pub(crate) struct Viewer {
    stream: TcpStream,
    thread: JoinHandle<()>,
}

impl Viewer {
    /// Connects, and returns when both tables are shown.
    pub(crate) fn attach(session: &Path) -> Outcome<Self> {
        let (stream, mut socket) = connect(session)?;
        for (id, table) in [(1, Table::Store), (2, Table::References)] {
            let view = View { window: Window { start: 0, len: ROWS }, ..View::of(table) };
            send(&mut socket, &Request::Subscribe { id, view })?;
        }
        let (shown, first) = channel();
        let thread = std::thread::Builder::new().name("viewer".to_owned()).spawn(move || read(socket, &shown))?;
        let viewer = Self { stream, thread };
        for _ in 0..2 {
            first.recv_timeout(PATIENCE).map_err(|_| "the agent shows no table")?;
        }
        Ok(viewer)
    }

    pub(crate) fn detach(self) -> Outcome<()> {
        self.stream.shutdown(Shutdown::Both)?;
        self.thread.join().map_err(|_| "the viewer failed".into())
    }
}

fn send(socket: &mut WebSocket<TcpStream>, request: &Request) -> Outcome<()> {
    Ok(socket.send(Message::text(serde_json::to_string(request)?))?)
}

/// Reads until the connection ends; tells of every snapshot.
fn read(mut socket: WebSocket<TcpStream>, shown: &Sender<()>) {
    while let Ok(message) = socket.read() {
        let Message::Text(text) = message else { continue };
        let Ok(frame) = serde_json::from_str::<Frame>(&text) else { break };
        match frame.body {
            Body::Hello { .. } => continue,
            Body::Snapshot { .. } => drop(shown.send(())),
            _ => {}
        }
        if send(&mut socket, &Request::Ack { seq: frame.seq }).is_err() {
            break;
        }
    }
}
