//! The examples of `STREAM.md`.

use std::sync::Arc;

use plasmon_protocol::column::Table;
use plasmon_protocol::doctor::{Check, NodeDetail};
use plasmon_protocol::error::Error;
use plasmon_protocol::explain::{Explanation, Subject};
use plasmon_protocol::filter::Filter;
use plasmon_protocol::id::{NodeId, ObjectId, ObjectKey, ProcessId, SiteId, SpillFileId, TaskId, TaskKey};
use plasmon_protocol::record::{
    ActorRow, NodeRow, ObjectRow, ObjectState, PostMortemRow, ProcessRow, ProcessType, ReferenceRow, ReferenceTotals, ReferenceType,
    Severity, Site, SiteKind, SiteRow, SpillFileRow, StoreRow, TaskRow, TaskStatus,
};
use plasmon_protocol::stream::{
    ActorDetail, Body, Detail, Frame, GroupRow, ObjectDetail, Output, PostMortem, ProcessDetail, Request, Rows, SiteDetail, Sort, Source,
    SpillFileDetail, Target, TaskDetail, Totals, View, Window,
};

const NODE: NodeId = NodeId([0x7f, 0x3a, 0x11, 0x02, 0x9b, 0xc4, 0x00, 0x01]);
const AT_MS: u64 = 1_767_225_600_000;

fn object() -> ObjectId {
    ObjectKey { slot: 1025, generation: 2 }.on(NODE)
}

fn task() -> TaskId {
    TaskKey { process: ProcessId(2), number: 3 }.on(NODE)
}

pub(super) const REQUESTS: [&str; 6] = ["hello", "subscribe", "unsubscribe", "watch", "report", "ack"];

/// A new request does not compile without a name, and the name needs an example.
pub(super) fn request_variant(request: &Request) -> &'static str {
    match request {
        Request::Hello { .. } => "hello",
        Request::Subscribe { .. } => "subscribe",
        Request::Unsubscribe { .. } => "unsubscribe",
        Request::Watch { .. } => "watch",
        Request::Report { .. } => "report",
        Request::Ack { .. } => "ack",
    }
}

pub(super) const TARGETS: [&str; 9] = ["object", "site", "task", "process", "actor", "spill_file", "explain", "node", "recording"];

pub(super) fn target_variant(request: &Request) -> Option<&'static str> {
    let Request::Watch { target, .. } = request else { return None };
    Some(match target {
        Target::Object(_) => "object",
        Target::Site(_) => "site",
        Target::Task(_) => "task",
        Target::Process(_) => "process",
        Target::Actor(_) => "actor",
        Target::SpillFile(_) => "spill_file",
        Target::Explain(_) => "explain",
        Target::Node => "node",
        Target::Recording => "recording",
    })
}

pub(super) const BODIES: [&str; 6] = ["hello", "snapshot", "delta", "detail", "report", "error"];

pub(super) fn body_variant(body: &Body) -> &'static str {
    match body {
        Body::Hello { .. } => "hello",
        Body::Snapshot { .. } => "snapshot",
        Body::Delta { .. } => "delta",
        Body::Detail { .. } => "detail",
        Body::Report { .. } => "report",
        Body::Error { .. } => "error",
    }
}

pub(super) fn detail_variant(body: &Body) -> Option<&'static str> {
    let Body::Detail { detail: Some(detail), .. } = body else { return None };
    Some(match **detail {
        Detail::Object(_) => "object",
        Detail::Site(_) => "site",
        Detail::Task(_) => "task",
        Detail::Process(_) => "process",
        Detail::PostMortem(_) => "post_mortem",
        Detail::Actor(_) => "actor",
        Detail::SpillFile(_) => "spill_file",
        Detail::Explain(_) => "explain",
        Detail::Node(_) => "node",
        Detail::Recording(_) => "recording",
    })
}

pub(super) fn requests() -> Vec<(&'static str, Request)> {
    let sites = View {
        filter: "site:cache.rs held>1m".to_owned(),
        sort: Some(Sort { column: "growth".to_owned(), ascending: false }),
        window: Window { start: 0, len: 20 },
        ..View::of(Table::Sites)
    };
    let few = View {
        columns: vec!["size_bytes".to_owned(), "call_site".to_owned()],
        filter: "type:pinned | age>10m".to_owned(),
        window: Window { start: 100, len: 50 },
        ..View::of(Table::References)
    };
    let groups = View { group: Some("site".to_owned()), ..View::of(Table::References) };
    let watch = |target| Request::Watch { id: 9, target };
    vec![
        ("hello", Request::Hello { version: plasmon_protocol::stream::VERSION }),
        ("subscribe", Request::Subscribe { id: 1, view: sites }),
        ("subscribe columns", Request::Subscribe { id: 2, view: few }),
        ("subscribe groups", Request::Subscribe { id: 3, view: groups }),
        ("unsubscribe", Request::Unsubscribe { id: 1 }),
        ("watch object", watch(Target::Object(object()))),
        ("watch site", watch(Target::Site(SiteId(8)))),
        ("watch task", watch(Target::Task(task()))),
        ("watch process", watch(Target::Process(ProcessId(2)))),
        ("watch actor", watch(Target::Actor(ObjectKey { slot: 4, generation: 1 }.on(NODE).into()))),
        ("watch spill_file", watch(Target::SpillFile(SpillFileId(5)))),
        ("watch explain", watch(Target::Explain(Subject::Named("pid:4711".to_owned())))),
        ("watch node", watch(Target::Node)),
        ("watch recording", watch(Target::Recording)),
        ("report", Request::Report { id: 4, filter: String::new() }),
        ("report filter", Request::Report { id: 4, filter: "site:cache.rs size>1m".to_owned() }),
        ("ack", Request::Ack { seq: 12 }),
    ]
}

fn put() -> Arc<Site> {
    let (function, file) = ("app::cache::remember".to_owned(), "src/cache.rs".to_owned());
    Arc::new(Site { id: SiteId(8), kind: SiteKind::PutObject, function, file, line: 142, caller: SiteId(7), outer: None })
}

/// What that was called from.
fn frame() -> Arc<Site> {
    let (function, file) = ("app::main".to_owned(), "src/main.rs".to_owned());
    Arc::new(Site { id: SiteId(7), kind: SiteKind::Frame, function, file, line: 20, ..Site::default() })
}

fn reference() -> ReferenceRow {
    ReferenceRow {
        object_id: object(),
        process: ProcessId(1),
        pid: 4711,
        process_type: ProcessType::Driver,
        node: NODE,
        node_ip: "127.0.0.1".into(),
        reference_type: ReferenceType::LocalReference,
        size_bytes: Some(8_388_862),
        call_site: put(),
        created_site: put(),
        creator_pid: 4711,
        state: ObjectState::InMemory,
        since_ms: AT_MS - 65_000,
        local: 1,
        ..ReferenceRow::default()
    }
}

fn object_row() -> ObjectRow {
    ObjectRow {
        object_id: object(),
        size_bytes: Some(8_388_862),
        state: ObjectState::InMemory,
        created_site: put(),
        creator: ProcessId(1),
        creator_pid: 4711,
        created_ms: AT_MS - 65_000,
        references: 1,
        ..ObjectRow::default()
    }
}

fn site_row(held_bytes: u64, objects: u64) -> SiteRow {
    let oldest_ms = AT_MS - 65_000;
    SiteRow {
        site: put(),
        held_bytes,
        objects,
        references: objects,
        own_bytes: held_bytes,
        own_objects: objects,
        oldest_ms,
        ..SiteRow::default()
    }
}

fn task_row() -> TaskRow {
    TaskRow {
        task_id: task(),
        name: "app::sum".into(),
        status: TaskStatus::Running,
        attempt: 1,
        submitter_pid: 4711,
        worker_pid: Some(4720),
        submitted_ms: AT_MS - 900,
        started_ms: Some(AT_MS - 850),
        ..TaskRow::default()
    }
}

fn dead() -> PostMortemRow {
    PostMortemRow {
        process: ProcessId(3),
        pid: 4721,
        process_type: ProcessType::Worker,
        name: "app".into(),
        how: "killed by SIGKILL".into(),
        signal: Some(9),
        references: 1,
        held_bytes: 8_388_862,
        since_ms: AT_MS - 60_000,
        died_ms: AT_MS - 5_000,
        ..PostMortemRow::default()
    }
}

fn node() -> NodeRow {
    NodeRow {
        node: NODE,
        node_ip: "127.0.0.1".into(),
        listen: "127.0.0.1:6480".into(),
        pid: 4700,
        version: "0.1.0".into(),
        started_ms: AT_MS - 847_000,
        num_cpus: 2.0,
        ..NodeRow::default()
    }
}

fn totals(held_bytes: u64, objects: u64) -> Totals {
    let unique = ReferenceTotals { references: objects, unique_objects: objects, unique_bytes: held_bytes };
    Totals { rows: objects, matched: objects, bytes: held_bytes, unique, ..Totals::default() }
}

/// What an agent answers to a filter that it cannot read.
fn refused() -> Body {
    let error = Error::from(Filter::<SiteRow>::parse("sise>1m").unwrap_err());
    Body::Error { id: Some(1), code: error.code().to_owned(), message: error.to_string(), hint: error.hint().to_owned() }
}

fn details() -> [(&'static str, Detail); 10] {
    let lines = ["    // Kept until it is asked for.", "    let page = plasmon::put(&bytes)?;", "    self.pages.push(page);"];
    let source = Source {
        file: "src/cache.rs".to_owned(),
        first_line: 141,
        lines: lines.map(str::to_owned).to_vec(),
        marked_line: 142,
        changed_ms: None,
    };
    let stack = || vec![put(), frame()];
    let site = SiteDetail { site: site_row(8_388_862, 1), stack: stack(), objects: vec![object_row()], source: Some(source) };
    let object = ObjectDetail { object: object_row(), stack: stack(), holders: vec![reference()], ..ObjectDetail::default() };
    let worker =
        ProcessRow { process: ProcessId(3), pid: 4721, process_type: ProcessType::Worker, name: "app".into(), ..ProcessRow::default() };
    let held = || vec![ReferenceRow { process: ProcessId(3), pid: 4721, process_type: ProcessType::Worker, ..reference() }];
    let output = || Output { stdout: vec!["page 142 of 200".to_owned()], stderr: Vec::new() };
    let process = ProcessDetail {
        process: ProcessRow { heap_bytes: 12 << 20, ..worker },
        references: held(),
        unique_bytes: Some(9 << 20),
        executable: "/opt/app".into(),
        output: output(),
    };
    let file = SpillFileRow { file: SpillFileId(5), live_bytes: 8_388_862, objects: 1, ..SpillFileRow::default() };
    let post_mortem = PostMortem { process: dead(), references: held(), output: output() };
    let actor = ActorRow { class: "app::Mean".into(), pid: Some(4720), ..ActorRow::default() };
    let everything = Detail::Explain(Explanation { subject: Some(Subject::Everything), ..Explanation::default() });
    let advice = "as root: echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled";
    let checks = vec![
        Check::new("huge pages", "never for shared memory").advise(Severity::Warning, advice),
        Check::new("open files", "41 of 65536 in use").of(41, 65_536),
    ];
    [
        ("object", Detail::Object(object)),
        ("site", Detail::Site(site)),
        ("task", Detail::Task(TaskDetail { task: task_row(), arguments: vec![object_row()], ..TaskDetail::default() })),
        ("process", Detail::Process(process)),
        ("post_mortem", Detail::PostMortem(post_mortem)),
        ("actor", Detail::Actor(ActorDetail { actor, ..ActorDetail::default() })),
        ("spill_file", Detail::SpillFile(SpillFileDetail { file, objects: vec![object_row()] })),
        ("explain", Detail::Explain(Explanation::default())),
        (
            "node",
            Detail::Node(NodeDetail { capacity_bytes: 1 << 30, spill_places: vec!["/var/spill".into()], checks, ..NodeDetail::default() }),
        ),
        ("recording", Detail::Recording(vec![everything])),
    ]
}

pub(super) fn frames() -> Vec<(String, Frame)> {
    let group = GroupRow {
        key: put().to_string(),
        rows: 1,
        bytes: 8_388_862,
        unique: ReferenceTotals { references: 1, unique_objects: 1, unique_bytes: 8_388_862 },
        by_type: [0, 0, 0, 1, 0],
    };
    let (first, second) = (site_row(8_388_862, 1), site_row(16_777_724, 2));
    let snapshot = |id, totals, rows| Body::Snapshot { id, totals, start: 0, rows };
    let delta = Body::Delta { id: 1, totals: totals(16_777_724, 2), start: 0, order: None, rows: Rows::Sites(vec![second]) };
    let store = StoreRow { node: node(), objects: 1, ..StoreRow::default() };
    let report = Body::Report {
        id: 4,
        store: Some(Box::new(store)),
        post_mortem: vec![PostMortem { process: dead(), ..PostMortem::default() }],
        frames: vec![frame()],
        references: vec![reference()],
        last: true,
    };
    let grouped = Totals { groups: 1, ..totals(8_388_862, 1) };
    let mut bodies = vec![
        ("hello".to_owned(), Body::Hello { version: plasmon_protocol::stream::VERSION, node: Box::new(node()) }),
        ("snapshot".to_owned(), snapshot(1, totals(8_388_862, 1), Rows::Sites(vec![first]))),
        ("snapshot references".to_owned(), snapshot(2, totals(8_388_862, 1), Rows::References(vec![reference()]))),
        ("snapshot groups".to_owned(), snapshot(3, grouped, Rows::Groups(vec![group]))),
        ("delta".to_owned(), delta),
    ];
    for (name, detail) in details() {
        bodies.push((format!("detail {name}"), Body::Detail { id: 9, detail: Some(Box::new(detail)) }));
    }
    bodies.push(("detail gone".to_owned(), Body::Detail { id: 9, detail: None }));
    bodies.push(("report".to_owned(), report));
    bodies.push(("error".to_owned(), refused()));
    let numbered = bodies.into_iter().zip(1..);
    numbered.map(|((name, body), seq)| (name, Frame { seq, at_ms: AT_MS, missed: 0, body })).collect()
}
