//! A viewer: what the agent says, over the same stream that the dashboard reads.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use plasmon_protocol::column::Table;
use plasmon_protocol::record::{ActorRow, EventKind, EventRow, Ledger, ObjectRow, ProcessRow, ReferenceRow, Stacks, StoreRow, TaskRow};
use plasmon_protocol::stream::{Body, Detail, Frame, MAX_WINDOW, PostMortem, Request, Rows, Target, Totals, VERSION, View, Window};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

use super::PATIENCE;
use super::rows::{Expected, rows_of};

/// The agent drops a viewer that has answered nothing for 15 s. One that has not listened for so long connects anew before that.
const SILENCE: Duration = Duration::from_secs(12);

/// One connection to the live stream.
pub(crate) struct Viewer {
    session: PathBuf,
    socket: WebSocket<TcpStream>,
    /// When it last heard anything.
    heard: Instant,
    /// It has windows, which another connection would not have.
    stays: bool,
    last: u32,
}

/// All references and the store at one instant.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) store: StoreRow,
    pub(crate) post_mortem: Vec<PostMortem>,
    pub(crate) references: Vec<ReferenceRow>,
}

impl Report {
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.store.ledger
    }

    /// Nothing is held, and every byte is free or lent without an object.
    pub(crate) fn is_empty(&self) -> bool {
        let ledger = self.ledger();
        self.references.is_empty()
            && self.store.objects == 0
            && self.store.totals == Default::default()
            && ledger.free_bytes + ledger.slack_bytes == ledger.capacity_bytes
            && ledger.unattributed_bytes == 0
            && (ledger.inlined_bytes, ledger.inlined_objects) == (0, 0)
    }
}

impl Viewer {
    /// Connects to the agent of that session and is greeted.
    pub(crate) fn of(session: &Path) -> Self {
        let mut viewer = Self { session: session.to_owned(), socket: Self::connect(session), heard: Instant::now(), stays: false, last: 0 };
        viewer.greet();
        viewer
    }

    fn connect(session: &Path) -> WebSocket<TcpStream> {
        let address = std::fs::read(session.join("address")).expect("a session has an address");
        let address: serde_json::Value = serde_json::from_slice(&address).expect("the address is JSON");
        let text = |name: &str| address[name].as_str().expect("a text").to_owned();
        let token = std::fs::read_to_string(text("token_file")).expect("a token");
        let mut request = format!("ws://{}/v1/stream", text("listen")).into_client_request().expect("an address");
        request.headers_mut().insert("Authorization", format!("Bearer {}", token.trim()).parse().expect("a header"));
        let stream = TcpStream::connect(text("listen")).expect("the stream is served");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        stream.set_nodelay(true).expect("no delay");
        client(request, stream).expect("the token opens the stream").0
    }

    fn greet(&mut self) {
        self.send(&Request::Hello { version: VERSION });
        assert!(matches!(self.next().body, Body::Hello { version: VERSION, .. }));
    }

    /// Asks for something, over a new connection when the old one may not be heard any more.
    fn ask(&mut self, request: &Request) {
        if !self.stays && self.heard.elapsed() > SILENCE {
            self.socket = Self::connect(&self.session);
            self.greet();
        }
        self.send(request);
    }

    /// A viewer of this process's agent.
    pub(crate) fn here() -> Self {
        Self::of(&plasmon::info().expect("a connection").session)
    }

    fn send(&mut self, request: &Request) {
        let text = serde_json::to_string(request).expect("a request is JSON");
        self.socket.send(Message::text(text)).expect("the agent reads");
    }

    /// Shows a window under this number from now on.
    pub(crate) fn subscribe(&mut self, id: u32, view: View) {
        self.stays = true;
        self.send(&Request::Subscribe { id, view });
    }

    /// The first that is shown of a new window.
    pub(crate) fn snapshot(&mut self, ours: u32) -> (Totals, Rows) {
        loop {
            match self.next().body {
                Body::Snapshot { id, totals, rows, .. } if id == ours => return (totals, rows),
                Body::Error { message, .. } => panic!("{message}"),
                _ => {}
            }
        }
    }

    /// The next frame, which is acknowledged.
    pub(crate) fn next(&mut self) -> Frame {
        loop {
            let message = self.socket.read().expect("a frame in time");
            self.heard = Instant::now();
            match message {
                Message::Text(text) => {
                    let frame: Frame = serde_json::from_str(&text).expect("a frame");
                    if !matches!(frame.body, Body::Hello { .. }) {
                        self.send(&Request::Ack { seq: frame.seq });
                    }
                    return frame;
                }
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?} from the agent"),
            }
        }
    }

    /// All that any process had published before this call.
    pub(crate) fn report(&mut self) -> Report {
        self.last += 1;
        let ours = self.last;
        self.ask(&Request::Report { id: ours, filter: String::new() });
        let (mut store, mut post_mortem, mut references, mut stacks) = (None, Vec::new(), Vec::new(), Stacks::default());
        loop {
            match self.next().body {
                Body::Report { id, store: head, post_mortem: died, frames, references: mut rows, last } if id == ours => {
                    store = store.or(head);
                    post_mortem.extend(died);
                    stacks.learn(frames);
                    stacks.link(&mut rows);
                    references.append(&mut rows);
                    if last {
                        let store = *store.expect("the first part has the store");
                        let report = Report { store, post_mortem, references };
                        report.check();
                        return report;
                    }
                }
                Body::Error { message, .. } => panic!("{message}"),
                _ => {}
            }
        }
    }

    /// The first report that `holds` likes.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, mut holds: impl FnMut(&Report) -> bool) -> Report {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let report = self.report();
            if holds(&report) {
                return report;
            }
            if Instant::now() >= deadline {
                let rows = rows_of(&report.references);
                panic!("not in time: {what}\nledger {:#?}\nobjects {}, rows {rows:#?}", report.ledger(), report.store.objects);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until the rows are exactly these, in any order.
    #[track_caller]
    pub(crate) fn until_rows(&mut self, expected: &[Expected]) -> Report {
        let mut expected = expected.to_vec();
        expected.sort();
        let what = format!("rows {expected:#?}");
        self.until(&what, |report| rows_of(&report.references) == expected)
    }

    /// Waits until nothing is held and all memory is back.
    #[track_caller]
    pub(crate) fn until_empty(&mut self) -> Report {
        self.until("an empty store", Report::is_empty)
    }

    /// The first rows of a table in its own order.
    pub(crate) fn table(&mut self, table: Table) -> Rows {
        self.last += 1;
        let ours = self.last;
        let view = View { window: Window { start: 0, len: MAX_WINDOW }, ..View::of(table) };
        self.ask(&Request::Subscribe { id: ours, view });
        loop {
            match self.next().body {
                Body::Snapshot { id, rows, .. } if id == ours => {
                    self.send(&Request::Unsubscribe { id: ours });
                    return rows;
                }
                Body::Error { message, .. } => panic!("{message}"),
                _ => {}
            }
        }
    }

    pub(crate) fn tasks(&mut self) -> Vec<TaskRow> {
        let Rows::Tasks(rows) = self.table(Table::Tasks) else { panic!("no tasks") };
        rows
    }

    /// Every actor.
    pub(crate) fn actors(&mut self) -> Vec<ActorRow> {
        let Rows::Actors(rows) = self.table(Table::Actors) else { panic!("no actors") };
        rows
    }

    /// Every object.
    pub(crate) fn objects(&mut self) -> Vec<ObjectRow> {
        let Rows::Objects(rows) = self.table(Table::Objects) else { panic!("no objects") };
        rows
    }

    pub(crate) fn processes(&mut self) -> Vec<ProcessRow> {
        let Rows::Processes(rows) = self.table(Table::Processes) else { panic!("no processes") };
        rows
    }

    pub(crate) fn events(&mut self) -> Vec<EventRow> {
        let Rows::Events(rows) = self.table(Table::Events) else { panic!("no events") };
        rows
    }

    /// How many events of a kind there were.
    pub(crate) fn events_of(&mut self, kind: EventKind) -> usize {
        self.events().iter().filter(|event| event.kind == kind).count()
    }

    /// One thing in detail.
    pub(crate) fn detail(&mut self, target: Target) -> Option<Detail> {
        self.last += 1;
        let ours = self.last;
        self.ask(&Request::Watch { id: ours, target });
        loop {
            match self.next().body {
                Body::Detail { id, detail } if id == ours => {
                    self.send(&Request::Unsubscribe { id: ours });
                    return detail.map(|detail| *detail);
                }
                Body::Error { message, .. } => panic!("{message}"),
                _ => {}
            }
        }
    }
}

impl Report {
    /// What holds for every report: the lines fill the capacity, and both totals are those of the rows.
    #[track_caller]
    fn check(&self) {
        let ledger = self.ledger();
        let lines: u64 = ledger.lines().iter().map(|(_, bytes)| bytes).sum();
        assert_eq!((lines, ledger.unattributed_bytes), (ledger.capacity_bytes, 0), "{ledger:#?}");
        let mut objects: Vec<_> = self.references.iter().map(|row| (row.object_id, row.size_bytes.unwrap_or(0))).collect();
        objects.sort_unstable();
        objects.dedup();
        let totals = self.store.totals;
        assert_eq!(totals.references, self.references.len() as u64);
        assert_eq!(totals.unique_objects, objects.len() as u64);
        assert_eq!(totals.unique_bytes, objects.iter().map(|(_, bytes)| bytes).sum::<u64>());
        assert_eq!(self.store.objects, totals.unique_objects);
    }
}
