//! A node that is nothing but tables.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use plasmon_agent::node::handle::{NodeHandle, Question};
use plasmon_agent::node::news::News;
use plasmon_agent::telemetry::door::Door;
use plasmon_agent::telemetry::server::{Limits, Server};
use plasmon_agent::telemetry::tables::Tables;
use plasmon_agent::telemetry::token::Token;
use plasmon_protocol::column::Table;
use plasmon_protocol::id::{ObjectId, ProcessId, SiteId};
use plasmon_protocol::record::{
    ActorRow, EventRow, NodeRow, ObjectRow, PostMortemRow, ProcessRow, ReferenceRow, ReferenceType, Site, SiteRow, SpillFileRow, StoreRow,
    TaskRow,
};
use plasmon_protocol::stream::{Detail, Target};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub(crate) const TOKEN: &str = "0123456789abcdef";

/// Rows, as a test sets them.
#[derive(Default)]
pub(crate) struct Rows {
    pub now_ms: u64,
    pub version: u64,
    pub references: Vec<ReferenceRow>,
    pub objects: Vec<ObjectRow>,
    pub sites: Vec<SiteRow>,
    pub tasks: Vec<TaskRow>,
    pub events: Vec<EventRow>,
    pub details: HashMap<Target, Detail>,
    /// Times that the versions were asked for and that rows of references were copied.
    pub looks: AtomicU64,
    pub copies: AtomicU64,
}

impl Tables for Rows {
    fn now_ms(&self) -> u64 {
        self.now_ms
    }

    fn version(&self, table: Table) -> u64 {
        self.looks.fetch_add(u64::from(table == Table::References), Ordering::SeqCst);
        self.version
    }

    fn node(&self) -> NodeRow {
        NodeRow { pid: 4711, ..NodeRow::default() }
    }

    fn store(&self) -> StoreRow {
        StoreRow { objects: self.objects.len() as u64, ..StoreRow::default() }
    }

    fn references(&self) -> Vec<ReferenceRow> {
        self.copies.fetch_add(1, Ordering::SeqCst);
        self.references.clone()
    }

    fn objects(&self) -> Vec<ObjectRow> {
        self.objects.clone()
    }

    fn sites(&self) -> Vec<SiteRow> {
        self.sites.clone()
    }

    fn processes(&self) -> Vec<ProcessRow> {
        Vec::new()
    }

    fn actors(&self) -> Vec<ActorRow> {
        Vec::new()
    }

    fn post_mortem(&self) -> Vec<PostMortemRow> {
        let entries = self.details.values().filter_map(|detail| match detail {
            Detail::PostMortem(entry) => Some(entry.process.clone()),
            _ => None,
        });
        entries.collect()
    }

    fn spill_files(&self) -> Vec<SpillFileRow> {
        Vec::new()
    }

    fn tasks(&self) -> Vec<TaskRow> {
        self.tasks.clone()
    }

    fn events(&self) -> Vec<EventRow> {
        self.events.clone()
    }

    fn detail(&self, target: Target) -> Option<Detail> {
        self.details.get(&target).cloned()
    }
}

/// A reference of process `process` to object `object`.
pub(crate) fn reference(process: u32, object: u32, size: Option<u64>) -> ReferenceRow {
    let mut id = [0; 16];
    id[12..].copy_from_slice(&object.to_be_bytes());
    let line = object % 7;
    let site = Arc::new(Site { id: SiteId(line), file: "src/work.rs".into(), function: "work::make".into(), line, ..Site::default() });
    ReferenceRow {
        object_id: ObjectId(id),
        process: ProcessId(process),
        pid: 1000 + process,
        size_bytes: size,
        reference_type: ReferenceType::ALL[object as usize % 5],
        call_site: Arc::clone(&site),
        created_site: site,
        since_ms: u64::from(object),
        ..ReferenceRow::default()
    }
}

/// A server and the node behind it.
pub(crate) struct Agent {
    pub address: String,
    pub rows: Arc<Mutex<Rows>>,
    pub viewers: Arc<AtomicU32>,
    news: Arc<News>,
    stop: Option<oneshot::Sender<()>>,
    pub done: tokio::task::JoinHandle<()>,
}

impl Agent {
    pub(crate) async fn start() -> Self {
        Self::with(Limits::default(), |server| server).await
    }

    pub(crate) async fn with(limits: Limits, more: impl FnOnce(Server) -> Server) -> Self {
        let rows: Arc<Mutex<Rows>> = Arc::default();
        let (sender, questions) = mpsc::channel::<Question>();
        let tables = Arc::clone(&rows);
        std::thread::spawn(move || questions.into_iter().for_each(|question| question(&mut *tables.lock().unwrap())));
        let node = NodeHandle::new(move |question| sender.send(question).unwrap_or_default());
        let news = Arc::clone(node.news());

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let viewers: Arc<AtomicU32> = Arc::default();
        let door = Door::new(&Token::parse(TOKEN).unwrap(), vec!["node7.example".to_owned()]);
        let server = more(Server::new(node, door).limits(limits).count_viewers_in(Arc::clone(&viewers)));
        let (stop, stopped) = oneshot::channel();
        let done = tokio::spawn(server.run(listener, async { stopped.await.unwrap_or_default() }));
        Self { address, rows, viewers, news, stop: Some(stop), done }
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Rows)) {
        let mut rows = self.rows.lock().unwrap();
        rows.version += 1;
        change(&mut rows);
        // A question would have to wait for the tables, so this is as good as the node's own thread.
        self.news.tell(&*rows);
    }

    pub(crate) fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Times that the node was looked at.
    pub(crate) fn looks(&self) -> u64 {
        self.rows.lock().unwrap().looks.load(Ordering::SeqCst)
    }

    /// Changes rows, and returns when the node was looked at because of that.
    pub(crate) async fn change_seen(&self, change: impl FnOnce(&mut Rows)) {
        let before = self.looks();
        self.change(change);
        until("the node is looked at", || self.looks() > before).await;
    }

    pub(crate) async fn viewers(&self, count: u32) {
        until("the viewers are counted", || self.viewers.load(Ordering::SeqCst) == count).await;
    }
}

/// Waits for a condition, for as long as a slow machine may need.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
