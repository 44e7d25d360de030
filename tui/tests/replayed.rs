//! Every page of a replay is the live one: a real program holds, nests and waits, and what its agent shows of each thing is what both
//! recordings of it show, the agent's own and a viewer's.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "system/place.rs"]
#[allow(dead_code, reason = "every test file uses a part of it")]
mod place;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use place::{Daemon, Place, ends, signal};
use plasmon::ObjectRef;
use plasmon_protocol::column::Table;
use plasmon_protocol::doctor::NodeDetail;
use plasmon_protocol::explain::Subject;
use plasmon_protocol::record::NodeRow;
use plasmon_protocol::stream::{Body, Detail, Request, Rows, Target, View, Window};
use plasmon_tui::link::websocket::{Connection, Door};
use plasmon_tui::model::clean::decode;
use plasmon_tui::recording::Recording;
use rustix::process::Signal;

#[plasmon::remote(num_cpus = 0, memory = 60 << 20)]
fn child(bytes: &[u64]) -> u64 {
    bytes.iter().sum()
}

/// Holds what its child needs, and waits for it for ever.
#[plasmon::remote(num_cpus = 1, memory = 60 << 20)]
fn parent(bytes: ObjectRef<[u64]>) -> u64 {
    let one = child.remote(&bytes).unwrap();
    plasmon::get(&one).unwrap_or(0)
}

fn read(path: &Path) -> Option<Recording> {
    let mut found = Recording::read(fs::read(path).ok()?).ok()?;
    found.seek(found.timeline().end_ms);
    Some(found)
}

/// Everything that has a page and that a recording knows.
fn targets(found: &Recording) -> Vec<Target> {
    let rows = |table| {
        let view = View { window: Window { start: 0, len: 500 }, ..View::of(table) };
        found.show(&view, found.timeline().end_ms).unwrap().rows
    };
    let mut targets = vec![Target::Node, Target::Explain(Subject::Everything)];
    if let Rows::Objects(rows) = rows(Table::Objects) {
        targets.extend(rows.iter().flat_map(|row| [Target::Object(row.object_id), Target::Explain(Subject::Object(row.object_id))]));
    }
    if let Rows::Tasks(rows) = rows(Table::Tasks) {
        targets.extend(rows.iter().flat_map(|row| [Target::Task(row.task_id), Target::Explain(Subject::Task(row.task_id))]));
    }
    if let Rows::Sites(rows) = rows(Table::Sites) {
        targets.extend(rows.iter().map(|row| Target::Site(row.site.id)));
    }
    targets
}

/// What the agent shows of a thing now.
async fn live(connection: &mut Connection, target: &Target) -> Option<Detail> {
    connection.send(&Request::Watch { id: 1, target: target.clone() }).await.unwrap();
    loop {
        let frame = tokio::time::timeout(place::PATIENCE, connection.text()).await.expect("frames come").unwrap();
        let frame = decode(&frame).unwrap();
        connection.send(&Request::Ack { seq: frame.seq }).await.unwrap();
        if let Body::Detail { detail, .. } = frame.body {
            connection.send(&Request::Unsubscribe { id: 1 }).await.unwrap();
            return detail.map(|detail| *detail);
        }
    }
}

/// Without the samples of memory and CPU, which go on by themselves.
fn still(detail: Option<Detail>) -> Option<Detail> {
    detail.map(|detail| match detail {
        Detail::Node(detail) => Detail::Node(NodeDetail { node: NodeRow::default(), checks: Vec::new(), ..detail }),
        detail => detail,
    })
}

/// Whether all pages are what `live` tells, and there is one of every kind.
fn alike(path: &Path, mut live: impl FnMut(&Target) -> Option<Detail>) -> Result<(), String> {
    let found = read(path).ok_or("nothing is recorded")?;
    let (mut links, mut cycles) = ([0; 4], 0);
    for target in targets(&found) {
        let (then, now) = (still(found.detail(&target)), still(live(&target)));
        if then != now {
            return Err(format!("{target:?}: {then:#?} instead of {now:#?}"));
        }
        match then {
            Some(Detail::Object(detail)) => {
                links[0] += detail.contained_in.len();
                links[1] += detail.contains.len();
                links[2] += detail.tasks.len();
            }
            Some(Detail::Task(detail)) => links[3] += detail.arguments.len(),
            Some(Detail::Explain(detail)) => cycles += detail.cycles.len(),
            _ => {}
        }
    }
    let whole = links.iter().all(|count| *count > 0) && cycles > 0;
    if whole { Ok(()) } else { Err(format!("links {links:?} and {cycles} rings")) }
}

#[test]
fn every_page_of_a_replay_is_the_live_one() {
    let place = Place::new();
    let agent = Daemon::start(&place, &["--num-cpus", "1", "--memory", "100MiB"]);
    let recording = agent.found.path.join("recording.ndjson");
    let recorded = place.path().join("viewer.ndjson");
    let mut viewer = agent.record(&place, &recorded);
    plasmon::Options::new().address(&agent.found.path).init().unwrap();
    let bytes = plasmon::put(&vec![7_u64; 1000][..]).unwrap();
    let container = plasmon::put(&vec![bytes.clone(), bytes.clone()]).unwrap();
    let result = parent.remote(bytes.clone()).unwrap();

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let token = fs::read_to_string(agent.token_file()).unwrap();
    let (mut connection, _) = runtime.block_on(Door { url: agent.url(), token: Some(token) }.connect()).unwrap();
    for path in [&recording, &recorded] {
        // Nothing happens once the ring has closed: from then on they are alike.
        let deadline = Instant::now() + place::PATIENCE;
        while let Err(unlike) = alike(path, |target| runtime.block_on(live(&mut connection, target))) {
            assert!(Instant::now() < deadline, "{}: {unlike}", path.display());
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    signal(viewer.id(), Signal::INT);
    assert_eq!(ends(&mut viewer).code(), Some(0));
    drop((bytes, container, result));
    plasmon::shutdown().unwrap();
    assert_eq!(agent.stop(), Some(0));
    place.assert_empty();
}
