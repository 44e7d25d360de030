//! Recording and replaying real agents: what was live, what a kill has left, and the command line.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod system;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use plasmon_protocol::column::Table;
use plasmon_protocol::stream::{Body, Request, Rows, Sort, Totals, View};
use plasmon_tui::link::websocket::{Connection, Door};
use plasmon_tui::model::Window;
use plasmon_tui::model::clean::decode;
use plasmon_tui::recording::Recording;
use rustix::process::Signal;
use system::place::{Daemon, Place, end, ends, signal, until};
use system::screen::Screen;

fn read(path: &Path) -> Option<Recording> {
    Recording::read(fs::read(path).ok()?).ok()
}

/// Views whose rows change only when the program does something: no samples of memory and CPU.
fn views() -> Vec<View> {
    let sorted = |table, column: &str, ascending| View { sort: Some(Sort { column: column.to_owned(), ascending }), ..View::of(table) };
    let mut views = vec![
        View::of(Table::References),
        View::of(Table::Objects),
        View::of(Table::Tasks),
        View::of(Table::Actors),
        View::of(Table::PostMortem),
        View::of(Table::Events),
        View::of(Table::SpillFiles),
        sorted(Table::References, "age", true),
        sorted(Table::Objects, "created", true),
        View { filter: "size>100k".to_owned(), ..View::of(Table::References) },
        View { group: Some("created".to_owned()), ..View::of(Table::References) },
        View { group: Some("type".to_owned()), ..View::of(Table::References) },
    ];
    views[0].window.len = 3;
    views
}

/// A live viewer's replica of those.
struct Live {
    connection: Connection,
    windows: BTreeMap<u32, Window>,
}

type Shown = (Totals, u64, Rows);

impl Live {
    async fn start(agent: &Daemon) -> Self {
        let token = fs::read_to_string(agent.token_file()).unwrap();
        let (mut connection, _) = Door { url: agent.url(), token: Some(token) }.connect().await.unwrap();
        for (id, view) in (0..).zip(views()) {
            connection.send(&Request::Subscribe { id, view }).await.unwrap();
        }
        Self { connection, windows: BTreeMap::new() }
    }

    /// Takes frames until `seen` is content.
    async fn until(&mut self, seen: impl Fn(&BTreeMap<u32, Window>) -> bool) -> Vec<Shown> {
        while !seen(&self.windows) {
            let frame = tokio::time::timeout(system::place::PATIENCE, self.connection.text()).await.expect("frames come").unwrap();
            let frame = decode(&frame).unwrap();
            match frame.body {
                Body::Snapshot { id, totals, start, rows } => drop(self.windows.insert(id, Window::new(totals, start, rows))),
                Body::Delta { id, totals, start, order, rows } => {
                    self.windows.get_mut(&id).unwrap().apply(totals, start, order, rows, 0).unwrap()
                }
                body => panic!("{body:?}"),
            }
            self.connection.send(&Request::Ack { seq: frame.seq }).await.unwrap();
        }
        self.windows.values().map(|window| (window.totals, window.start, window.rows.clone())).collect()
    }
}

fn total(windows: &BTreeMap<u32, Window>, id: u32) -> Option<u64> {
    Some(windows.get(&id)?.totals.rows)
}

/// A program tells where its sites are at once, and what the functions are called a moment later; a group of them has only the text.
fn sites_are_named(rows: &Rows) -> bool {
    let text = serde_json::to_string(rows).unwrap();
    let unnamed = |rest: &str| !rest.starts_with('"');
    let by_site = matches!(rows, Rows::Groups(_)) && text.contains("look_back.rs");
    !text.split(r#""function":"","file":""#).skip(1).any(unnamed) && (!by_site || text.contains("a_replay_equals"))
}

/// A program puts and drops; after each step, what a live viewer has is kept with the instant at which the recording has it too. In the end
/// the one file shows all of these again.
#[test]
fn a_replay_equals_the_live_view_frame_by_frame() {
    let place = Place::new();
    let agent = Daemon::start(&place, &[]);
    let recording = agent.found.path.join("recording.ndjson");
    let recorded = place.path().join("viewer.ndjson");
    let mut viewer = agent.record(&place, &recorded);
    plasmon::Options::new().address(&agent.found.path).init().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut live = runtime.block_on(Live::start(&agent));
    let mut held = Vec::new();
    let mut kept: Vec<(u64, u64, Vec<Shown>)> = Vec::new();
    for step in 0..6_u64 {
        if step == 4 {
            held.drain(..2);
        } else {
            held.push(plasmon::put(&vec![step; 30_000 * (step as usize + 1)][..]).unwrap());
            held.push(plasmon::put(&vec![step; 10][..]).unwrap());
        }
        let objects = held.len() as u64;
        let events = live.windows.get(&5).map_or(0, |window| window.totals.rows);
        let settled = |windows: &BTreeMap<u32, Window>| {
            windows.len() == views().len()
                && total(windows, 0) == Some(objects)
                && total(windows, 1) == Some(objects)
                && (0..12).filter(|id| [0, 7, 9, 10, 11].contains(id)).all(|id| total(windows, id) == Some(objects))
                && total(windows, 8) == Some(objects)
                && total(windows, 5).is_some_and(|now| now >= events.max(1))
                && windows.values().all(|window| sites_are_named(&window.rows))
        };
        let shown = runtime.block_on(live.until(settled));
        // Nothing else happens now: the first instant that has it, and all after it up to the next step, are like this one.
        let mut instants = Vec::new();
        for path in [&recording, &recorded] {
            instants.push(until("the step in the recording", || {
                let mut found = read(path)?;
                let at_ms = found.timeline().end_ms;
                found.seek(at_ms);
                let named = |table| found.show(&View::of(table), at_ms).ok().filter(|window| sites_are_named(&window.rows));
                let same = |table, rows| named(table).is_some_and(|window| window.totals.rows == rows);
                let whole = same(Table::References, objects) && same(Table::Objects, objects) && same(Table::Events, shown[5].0.rows);
                whole.then_some(at_ms)
            }));
        }
        kept.push((instants[0], instants[1], shown));
    }
    signal(viewer.id(), Signal::INT);
    assert_eq!(ends(&mut viewer).code(), Some(0));
    // The agent's own is read while it is still being written; it has gone through all of that.
    for (path, which) in [(&recording, 0), (&recorded, 1)] {
        let mut found = read(path).unwrap();
        for (step, (first, second, shown)) in kept.iter().enumerate().rev() {
            let at_ms = if which == 0 { *first } else { *second };
            found.seek(at_ms);
            for (view, (totals, start, rows)) in views().iter().zip(shown) {
                let replayed = found.show(view, at_ms).unwrap();
                assert_eq!(
                    (&replayed.totals, replayed.start, &replayed.rows),
                    (totals, *start, rows),
                    "step {step} of {}: {view:?}",
                    path.display()
                );
            }
        }
    }
    // Of a long table as much is recorded on demand as there is room for, with the totals of all.
    held.extend((0..3_000_u64).map(|number| plasmon::put(&vec![number; 1][..]).unwrap()));
    let long = place.path().join("long.ndjson");
    let mut viewer = agent.record(&place, &long);
    until("many rows", || {
        let mut found = read(&long)?;
        let at_ms = found.timeline().end_ms;
        found.seek(at_ms);
        let totals = found.show(&View::of(Table::References), at_ms).ok()?.totals;
        (totals.rows == held.len() as u64 && totals.matched > 1_000 && totals.cut == totals.rows - totals.matched).then_some(())
    });
    signal(viewer.id(), Signal::INT);
    assert_eq!(ends(&mut viewer).code(), Some(0));
    drop(held);
    plasmon::shutdown().unwrap();
    assert_eq!(agent.stop(), Some(0));
    place.assert_empty();
    assert!(!place.path().join("state").exists(), "nothing is kept of an agent that ends in order");
}

#[test]
fn what_a_kill_has_left_is_found_by_the_name_that_it_had() {
    let place = Place::new();
    let mut agent = Daemon::start(&place, &[]);
    let path = agent.found.path.join("recording.ndjson");
    // While somebody looks, samples are taken, and recorded.
    let other = place.path().join("other");
    let mut viewer = agent.record(&place, &other);
    until("the first seconds", || read(&path).filter(|found| found.timeline().end_ms >= found.timeline().begin_ms + 1_000));
    signal(agent.child.id(), Signal::KILL);
    ends(&mut agent.child);
    assert_eq!(ends(&mut viewer).code(), Some(0), "the agent's end is the recording's");
    let replay = || place.run(["replay", path.to_str().unwrap()]).fine();
    let before = replay();
    assert!(before.starts_with("======== Object references status: ") && before.ends_with("unattributed 0 B\n"), "{before}");
    let next = Daemon::start(&place, &[]);
    assert!(!path.exists());
    assert_eq!(replay(), before, "by its old name");
    let name = agent.found.path.file_name().unwrap().to_str().unwrap();
    let kept = place.path().join("state/plasmon").join(format!("{name}.ndjson"));
    assert_eq!(place.run(["replay", kept.to_str().unwrap()]).fine(), before);

    // In a terminal.
    let mut screen = Screen::open(&place, 120, 40, &["replay", kept.to_str().unwrap()]);
    screen.shows(&["REPLAY of ", "not live", "at the end"]);
    screen.press_for("7", &["agent"]);
    screen.press_for("\x1b[H", &["to the end"]);
    screen.press_for("\x1b[F", &["at the end"]);
    screen.press("q");
    assert_eq!(screen.end(), 0);
    assert_eq!(next.stop(), Some(0));
    place.assert_empty();
}

#[test]
fn a_recording_is_made_on_demand_and_written_over_only_when_told() {
    let place = Place::new();
    let agent = Daemon::start(&place, &[]);
    let file = place.path().join("minutes");
    let name = file.to_str().unwrap();
    let (url, token) = (agent.url(), agent.token_file().to_owned());
    let record = |more: &[&str]| place.run([&["record", name, "--address", &url, "--token-file", &token][..], more].concat());
    // Far more than the first picture takes.
    let ended = record(&["--seconds", "3"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{ended:?}");
    assert!(ended.stderr.starts_with("recorded ") && ended.stderr.contains(&format!("plasmon replay {name}")), "{ended:?}");
    assert!(place.run(["replay", name]).fine().ends_with("unattributed 0 B\n"));
    let before = fs::read(&file).unwrap();
    record(&["--seconds", "1"]).refused(&[name, "exists"]);
    record(&["--seconds", "0", "--force"]).refused(&["'0'", "--seconds"]);
    assert_eq!(fs::read(&file).unwrap(), before);
    assert_eq!(record(&["--seconds", "3", "--force"]).code, Some(0));
    assert_ne!(fs::read(&file).unwrap(), before);

    let full = place.run(["record", "/dev/full", "--force", "--address", &url, "--token-file", &token]);
    full.refused(&["cannot record", "No space left"]);

    // SIGTERM ends it as Ctrl-C does, and so does the agent's end.
    let start = |name: &str| {
        let path = place.path().join(name);
        let mut command = place.plasmon(["record", path.to_str().unwrap(), "--address", &url, "--token-file", &token]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        until("the first picture", || read(&path));
        (child, path)
    };
    let (mut told, path) = start("told");
    signal(told.id(), Signal::TERM);
    assert_eq!(ends(&mut told).code(), Some(0));
    assert!(read(&path).is_some());
    let (mut left, path) = start("left");
    assert_eq!(agent.stop(), Some(0));
    assert_eq!(ends(&mut left).code(), Some(0));
    assert!(read(&path).is_some());
    // Without an agent there is no file.
    let nothing = place.path().join("nothing");
    place.run(["record", nothing.to_str().unwrap(), "--address", &url]).refused(&["cannot connect"]);
    assert!(!nothing.exists());
    place.assert_empty();
}

#[test]
fn what_cannot_be_replayed_is_named() {
    let place = Place::new();
    let damaged = place.file("damaged", b"{\"seq\":1}\n");
    let foreign = place.file("foreign", b"\x7fELF\x02\x01\x01\n\n");
    let empty = place.file("empty", b"");
    for (path, parts) in [
        (damaged.as_path(), &["damaged", "line 1: it is no frame"][..]),
        (&foreign, &["foreign", "line 1: "]),
        (&empty, &["empty", "no whole line"]),
        (place.path(), &["it is a directory"]),
        (&place.path().join("missing"), &["missing"]),
    ] {
        let mut command = place.plasmon(["replay"]);
        command.arg(path);
        end(command).refused(parts);
    }
    place.assert_empty();
}
