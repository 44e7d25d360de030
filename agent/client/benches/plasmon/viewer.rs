//! A dashboard as the agent sees one: it shows the references and the store, reads every frame and says so. And a crowd of them.

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use plasmon_agent::session::Address;
use plasmon_protocol::column::Table;
use plasmon_protocol::record::StoreRow;
use plasmon_protocol::stream::{Body, Frame, Request, Rows, Totals, VERSION, View, Window};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

use crate::{Outcome, ROLE};

/// Rows that a large terminal shows.
const ROWS: u32 = 50;
/// Longer than a first frame takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// The store as a dashboard is told of it, once.
pub(crate) fn store_row(session: &Path) -> Outcome<StoreRow> {
    match snapshot(session, View::of(Table::Store))? {
        (Rows::Store(rows), _) => rows.into_iter().next().ok_or_else(|| "a store without a row".into()),
        _ => Err("rows of another table".into()),
    }
}

/// How many events match a filter.
pub(crate) fn events(session: &Path, filter: &str) -> Outcome<u64> {
    let (_, totals) = snapshot(session, View { filter: filter.to_owned(), ..View::of(Table::Events) })?;
    Ok(totals.matched)
}

/// A view as a dashboard is told of it first.
fn snapshot(session: &Path, view: View) -> Outcome<(Rows, Totals)> {
    let (_stream, mut socket) = connect(session)?;
    send(&mut socket, &Request::Subscribe { id: 1, view })?;
    loop {
        let Message::Text(text) = socket.read()? else { continue };
        match serde_json::from_str::<Frame>(&text)?.body {
            Body::Snapshot { rows, totals, .. } => return Ok((rows, totals)),
            Body::Error { message, .. } => return Err(message.into()),
            _ => {}
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

/// A viewer that is told what to do.
pub(crate) struct Connection {
    socket: WebSocket<TcpStream>,
}

impl Connection {
    pub(crate) fn open(session: &Path) -> Outcome<Self> {
        let (_, socket) = connect(session)?;
        let mut connection = Self { socket };
        match connection.frame()?.body {
            Body::Hello { .. } => Ok(connection),
            other => Err(format!("no hello: {other:?}").into()),
        }
    }

    pub(crate) fn send(&mut self, request: &Request) -> Outcome<()> {
        send(&mut self.socket, request)
    }

    /// The next frame, which is acknowledged.
    pub(crate) fn frame(&mut self) -> Outcome<Frame> {
        loop {
            let Message::Text(text) = self.socket.read()? else { continue };
            let frame: Frame = serde_json::from_str(&text)?;
            send(&mut self.socket, &Request::Ack { seq: frame.seq })?;
            return Ok(frame);
        }
    }
}

/// Viewers in a process of their own.
pub(crate) struct Crowd {
    child: Child,
    asks: PipeWriter,
    answers: PipeReader,
}

impl Crowd {
    /// So many that read, and so many that only ask; returns when all have asked.
    pub(crate) fn attach(session: &Path, reading: usize, stalled: usize) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.env(ROLE, "crowd").arg(session).args([reading.to_string(), stalled.to_string()]);
        let ((asked, asks), (answers, answering)) = (std::io::pipe()?, std::io::pipe()?);
        let child = command.stdin(asked).stdout(answering).spawn()?;
        drop(command);
        let crowd = Self { child, asks, answers };
        crowd.frames().map_err(|_| "the crowd did not come together")?;
        Ok(crowd)
    }

    /// How many frames those that read have got.
    pub(crate) fn frames(&self) -> Outcome<u64> {
        let (mut asks, mut answers) = (&self.asks, &self.answers);
        asks.write_all(b"\n")?;
        let mut line = String::new();
        BufReader::with_capacity(1, &mut answers).read_line(&mut line)?;
        Ok(line.trim().parse()?)
    }

    /// All go.
    pub(crate) fn detach(self) -> Outcome<()> {
        let Self { mut child, asks, .. } = self;
        drop(asks);
        child.wait()?;
        Ok(())
    }
}

/// What a re-executed benchmark does as a crowd.
pub(crate) fn gather() -> ExitCode {
    match gathering() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn gathering() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [session, reading, stalled] = arguments.as_slice() else { return Err("which crowd?".into()) };
    // They stand for other machines.
    rustix::process::nice(19)?;
    let frames = Arc::new(AtomicU64::new(0));
    let mut quiet = Vec::new();
    for nth in 0..reading.parse::<usize>()? + stalled.parse::<usize>()? {
        let mut socket = join(Path::new(session))?;
        subscribe(&mut socket)?;
        if nth < reading.parse::<usize>()? {
            let frames = Arc::clone(&frames);
            std::thread::Builder::new().stack_size(64 << 10).spawn(move || count(socket, &frames))?;
        } else {
            quiet.push(socket);
        }
    }
    for _ in std::io::stdin().lines() {
        println!("{}", frames.load(Ordering::Relaxed));
    }
    Ok(())
}

/// Connects as soon as there is room: those of the crowd before may still be on their way out.
fn join(session: &Path) -> Outcome<WebSocket<TcpStream>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match connect(session) {
            Ok((_, socket)) => return Ok(socket),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Reads and acknowledges without looking at the rows.
fn count(mut socket: WebSocket<TcpStream>, frames: &AtomicU64) {
    while let Ok(message) = socket.read() {
        let Message::Text(text) = message else { continue };
        let seq = text.trim_start_matches("{\"seq\":").split(',').next().unwrap_or_default();
        frames.fetch_add(1, Ordering::Relaxed);
        if socket.send(Message::text(format!("{{\"type\":\"ack\",\"seq\":{seq}}}"))).is_err() {
            break;
        }
    }
}

fn subscribe(socket: &mut WebSocket<TcpStream>) -> Outcome<()> {
    for (id, table) in [(1, Table::Store), (2, Table::References)] {
        let view = View { window: Window { start: 0, len: ROWS }, ..View::of(table) };
        send(socket, &Request::Subscribe { id, view })?;
    }
    Ok(())
}

pub(crate) struct Viewer {
    stream: TcpStream,
    thread: JoinHandle<()>,
}

impl Viewer {
    /// Connects, and returns when both tables are shown.
    pub(crate) fn attach(session: &Path) -> Outcome<Self> {
        let (stream, mut socket) = connect(session)?;
        subscribe(&mut socket)?;
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
