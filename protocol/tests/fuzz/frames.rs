//! One example of every request and every frame of the stream.

use std::sync::Arc;

use plasmon_protocol::column::Table;
use plasmon_protocol::explain::Subject;
use plasmon_protocol::id::{NodeId, ObjectKey, ProcessId, SiteId, SpillFileId, TaskKey};
use plasmon_protocol::record::{ReferenceRow, Site};
use plasmon_protocol::stream::{Body, Detail, Frame, PostMortem, Request, Rows, Sort, Target, Totals, View, Window};
use serde::Serialize;

use super::messages::Examples;

fn written<T: Serialize>(examples: impl IntoIterator<Item = (&'static str, T)>) -> Examples {
    examples.into_iter().map(|(name, value)| (name.to_owned(), serde_json::to_vec(&value).unwrap())).collect()
}

const NODE: NodeId = NodeId([1, 2, 3, 4, 5, 6, 7, 8]);
const KEY: ObjectKey = ObjectKey { slot: 1025, generation: 2 };

pub(crate) fn requests() -> Examples {
    let task = TaskKey { process: ProcessId(1), number: 3 };
    let view = View {
        columns: vec!["size".into(), "pid".into()],
        filter: "size>1m | type:pinned".into(),
        sort: Some(Sort { column: "age".into(), ascending: true }),
        group: Some("site".into()),
        window: Window { start: 100, len: 500 },
        ..View::of(Table::References)
    };
    let watch = |target| Request::Watch { id: 2, target };
    written([
        ("hello", Request::Hello { version: 1 }),
        ("subscribe", Request::Subscribe { id: 1, view }),
        ("subscribe_plain", Request::Subscribe { id: 1, view: View::of(Table::Events) }),
        ("unsubscribe", Request::Unsubscribe { id: 1 }),
        ("watch_object", watch(Target::Object(KEY.on(NODE)))),
        ("watch_site", watch(Target::Site(SiteId(3)))),
        ("watch_task", watch(Target::Task(task.on(NODE)))),
        ("watch_process", watch(Target::Process(ProcessId(4)))),
        ("watch_actor", watch(Target::Actor(KEY.on(NODE).into()))),
        ("watch_spill_file", watch(Target::SpillFile(SpillFileId(5)))),
        ("explain", watch(Target::Explain(Subject::Named("pid:7".into())))),
        ("explain_task", watch(Target::Explain(Subject::Task(task.on(NODE))))),
        ("watch_node", watch(Target::Node)),
        ("watch_recording", watch(Target::Recording)),
        ("report", Request::Report { id: 3, filter: String::new() }),
        ("ack", Request::Ack { seq: 9 }),
    ])
}

pub(crate) fn frames() -> Examples {
    let site = Site { function: "app::main".into(), file: "src/app.rs".into(), line: 7, caller: SiteId(2), ..Site::default() };
    let callers = vec![Arc::new(Site { id: SiteId(2), file: "src/main.rs".into(), line: 9, ..Site::default() })];
    let reference =
        ReferenceRow { object_id: KEY.on(NODE), pid: 7, size_bytes: Some(64), call_site: site.into(), ..ReferenceRow::default() };
    let snapshot = |rows| Body::Snapshot { id: 1, totals: Totals::default(), start: 0, rows };
    let delta = Body::Delta {
        id: 1,
        totals: Totals::default(),
        start: 3,
        order: Some(vec!["a".into()]),
        rows: Rows::Events(vec![Default::default()]),
    };
    let detail = |detail| Body::Detail { id: 2, detail: Some(Box::new(detail)) };
    let report = |post_mortem, references, last| {
        let (store, frames) = (Some(Box::default()), callers.clone());
        Body::Report { id: 3, store, post_mortem, frames, references, last }
    };
    let error = Body::Error { id: Some(1), code: "invalid".into(), message: "no".into(), hint: "do".into() };
    let frame = |(name, body)| (name, Frame { seq: 1, at_ms: 1_700_000_000_000, missed: 2, body });
    written(
        [
            ("hello", Body::Hello { version: 1, node: Box::default() }),
            ("references", snapshot(Rows::References(vec![reference.clone()]))),
            ("objects", snapshot(Rows::Objects(vec![Default::default()]))),
            ("sites", snapshot(Rows::Sites(vec![Default::default()]))),
            ("processes", snapshot(Rows::Processes(vec![Default::default()]))),
            ("tasks", snapshot(Rows::Tasks(vec![Default::default()]))),
            ("store", snapshot(Rows::Store(vec![Default::default()]))),
            ("actors", snapshot(Rows::Actors(vec![Default::default()]))),
            ("post_mortem", snapshot(Rows::PostMortem(vec![Default::default()]))),
            ("spill_files", snapshot(Rows::SpillFiles(vec![Default::default()]))),
            ("groups", snapshot(Rows::Groups(vec![Default::default()]))),
            ("delta", delta),
            ("object", detail(Detail::Object(Default::default()))),
            ("site", detail(Detail::Site(Default::default()))),
            ("task", detail(Detail::Task(Default::default()))),
            ("process", detail(Detail::Process(Default::default()))),
            ("actor", detail(Detail::Actor(Default::default()))),
            ("spill_file", detail(Detail::SpillFile(Default::default()))),
            ("explanation", detail(Detail::Explain(Default::default()))),
            ("node", detail(Detail::Node(Default::default()))),
            ("recording", detail(Detail::Recording(vec![Detail::Explain(Default::default())]))),
            ("dead", detail(Detail::PostMortem(Default::default()))),
            ("gone", Body::Detail { id: 2, detail: None }),
            ("report", report(Vec::new(), vec![reference.clone(), reference.clone()], false)),
            ("report_dead", report(vec![PostMortem { references: vec![reference], ..PostMortem::default() }], Vec::new(), false)),
            ("report_end", report(Vec::new(), Vec::new(), true)),
            ("error", error),
        ]
        .map(frame),
    )
}
