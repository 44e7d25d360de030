//! Every view of the sample, as text at three sizes, as a picture, and without colours.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "support/actors.rs"]
mod actors;
#[path = "support/agent.rs"]
mod agent;
#[path = "support/full.rs"]
mod full;
#[path = "support/picture.rs"]
mod picture;
#[path = "support/sample.rs"]
mod sample;
#[path = "support/stacks.rs"]
mod stacks;
#[path = "support/stage.rs"]
mod stage;
#[path = "support/storage.rs"]
mod storage;
#[path = "support/why.rs"]
mod why;

use std::path::PathBuf;

use plasmon_protocol::record::{Ledger, NodeRow, PressureRow, SpillRow, StoreRow};
use plasmon_protocol::stream::{Body, Detail};
use plasmon_tui::app::{App, Mood, Msg};
use plasmon_tui::svg;
use plasmon_tui::view::theme::Theme;
use sample::NOW_MS;
use stage::Stage;

/// A view: its name, and the keys that lead to it.
const VIEWS: &[(&str, &str)] = &[
    ("overview", ""),
    ("references", "2"),
    ("references_by_type", "2b"),
    ("references_by_creator", "2Be"),
    ("group", "2B"),
    ("references_filtered", "2/type:pinned⏎"),
    ("references_end", "2G"),
    ("references_wide", "2W"),
    ("references_of_site", "3r"),
    ("sites", "3"),
    ("sites_folded", "3z"),
    ("spill", "4"),
    ("spill_filtered", "4/state:ready⏎"),
    ("file", "4⏎"),
    ("object_spilled", "4⏎⏎"),
    ("object_restored", "4/file=5⏎⏎⏎"),
    ("processes", "6"),
    ("tasks", "5"),
    ("tasks_below", "5o"),
    ("tasks_by_name", "5ob"),
    ("actors_filtered", "5/status:alive⏎"),
    ("events", "7"),
    ("dead", "8"),
    ("node", "9"),
    ("site", "3⏎"),
    ("object", "3⏎⏎"),
    ("object_shared", "2/type:pinned⏎⏎"),
    ("process", "6j⏎"),
    ("post_mortem", "6o⏎"),
    ("task", "5o⏎"),
    ("actor", "5⏎"),
    ("actor_dead", "5jjj⏎"),
    ("why", "5ow"),
    ("why_all", "wGk"),
    ("references_actors", "2/type:actor⏎"),
    ("help", "2?"),
    ("sort", "2s"),
    ("copy_as", "2Y"),
    ("save", "3x"),
    ("trouble", "7!"),
    ("palette", "3:ref"),
    ("filter", "2/size>1x"),
    ("completion", "4/state:ready c"),
];

/// A view at every size, with and without colours, is as it was.
fn check(name: &str, at: impl FnMut(u16, u16) -> Stage) {
    let sheet = picture::sheet(name, at);
    insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!(name, sheet) });
}

#[test]
fn every_view_at_three_sizes_with_and_without_colour() {
    for (name, keys) in VIEWS {
        check(name, |columns, rows| {
            let mut stage = Stage::new(columns, rows);
            stage.keys(keys);
            stage
        });
    }
}

/// Where programs tell whole stacks, the sites are a tree of what called what; `e` shows a chain of single calls frame by frame.
#[test]
fn stacks_are_a_tree() {
    let of = |columns, rows, keys: &str| {
        let mut stage = Stage::of(columns, rows, stacks::stacked());
        stage.keys(keys);
        stage
    };
    for (name, keys) in [
        ("stacks", "3"),
        ("stacks_expanded", "3e"),
        ("stacks_folded", "3Z"),
        ("stacks_site", "3⏎"),
        ("stacks_object", "3⏎⏎"),
        ("stacks_references", "2bb"),
        ("stacks_filtered", "3/loader.py⏎"),
    ] {
        check(name, |columns, rows| of(columns, rows, keys));
    }
    let mut stage = of(200, 60, "3");
    let chain = "Loader.__iter__ › Loader.next_batch › to_shared loader.py:77";
    assert!(stage.text().contains(chain), "{}", stage.text());
    stage.keys("e");
    assert!(
        !stage.text().contains(chain)
            && stage.text().contains("Loader.next_batch loader.py:52")
            && stage.text().contains("to_shared loader.py:77"),
        "{}",
        stage.text()
    );
    assert_eq!(stage.keys("e").text(), of(200, 60, "3").text(), "as it was");
}

/// The smallest screen that anything is drawn on.
#[test]
fn a_small_screen_is_enough() {
    for (name, keys) in VIEWS.iter().chain(&[("tasks_end", "5oG")]) {
        let mut stage = Stage::new(60, 16);
        stage.keys(keys);
        picture::shoot(name, &stage);
        insta::assert_snapshot!(format!("{name}_60x16"), stage.text());
    }
}

#[test]
fn every_view_in_colour() {
    for (name, keys) in VIEWS {
        let mut stage = Stage::new(120, 40);
        stage.keys(keys);
        insta::assert_snapshot!(format!("{name}_svg"), svg::render(&stage.buffer(&Theme::new(true)), name));
    }
}

/// The views that a number goes to, and a page.
const PLACES: &[(&str, &str)] = &[
    ("overview", ""),
    ("references", "2"),
    ("sites", "3"),
    ("spill", "4"),
    ("tasks", "5"),
    ("processes", "6"),
    ("events", "7"),
    ("dead", "8"),
    ("node", "9"),
    ("site", "3⏎"),
    ("object", "3⏎⏎"),
    ("process", "6⏎"),
    ("why", "w"),
];

/// A hostile text for whatever a program, a file or a machine names: escapes, a change of direction, wide and broken characters.
const HOSTILE: &str = "\u{1b}]0;title\u{7}\u{1b}[31mevil\u{202e}txt\u{200b}日本語 \u{9b}2J\u{0}é\u{301}👍";

/// Puts it in place of all that names something.
fn poison(value: &mut serde_json::Value, free: bool) {
    const FREE: &[&str] = &[
        "function",
        "file",
        "message",
        "name",
        "error",
        "reason",
        "class",
        "how",
        "call",
        "executable",
        "places",
        "listen",
        "fact",
        "advice",
        "lines",
    ];
    match value {
        serde_json::Value::String(text) if free => *text = HOSTILE.to_owned(),
        serde_json::Value::Array(values) => values.iter_mut().for_each(|value| poison(value, free)),
        serde_json::Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| poison(value, FREE.contains(&name.as_str()))),
        _ => {}
    }
}

#[test]
fn every_view_of_hostile_names_is_harmless_and_readable() {
    for (name, keys) in PLACES {
        check(&format!("hostile_{name}"), |columns, rows| {
            let mut stage = Stage::new(columns, rows);
            let mut change = |frame: plasmon_protocol::stream::Frame| {
                let mut value = serde_json::to_value(&frame).unwrap();
                poison(&mut value, false);
                plasmon_tui::model::clean::decode(&value.to_string()).unwrap()
            };
            stage.corrupt(&mut change, keys);
            let text = stage.text();
            assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}', '\u{200b}', '\u{9b}', '\u{0}']), "{name}: {text}");
            stage
        });
    }
}

#[test]
fn every_view_of_an_agent_that_is_full_to_the_brim() {
    for (name, keys) in PLACES {
        check(&format!("full_{name}"), |columns, rows| {
            let mut stage = Stage::of(columns, rows, full::full());
            stage.keys(keys);
            stage
        });
    }
}

/// The connection breaks.
fn lose(stage: &mut Stage) {
    stage.tell(Msg::Lost {
        cause: "the connection to ws://127.0.0.1:6480 ended: connection reset".to_owned(),
        hint: String::new(),
        retry_at_ms: NOW_MS + 2_000,
    });
}

#[test]
fn a_lost_connection_keeps_every_view_and_says_since_when() {
    for (name, keys) in PLACES {
        check(&format!("lost_{name}"), |columns, rows| {
            let mut stage = Stage::new(columns, rows);
            stage.keys(keys);
            let before = stage.text();
            lose(&mut stage);
            let text = stage.text();
            let body = |text: &str| text.lines().skip(2).take(usize::from(rows) - 3).map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(body(&text), body(&before), "{name}: the last data stays");
            assert!(text.contains("lost 14:03:22, retry in 2 s"), "{name}: {text}");
            stage
        });
    }
}

/// Behind each number that is another than in the frame before stands which way it went, for a second.
#[test]
fn numbers_that_have_just_changed_are_marked_in_every_view() {
    for (name, keys) in PLACES {
        check(&format!("changed_{name}"), |columns, rows| {
            let mut stage = Stage::new(columns, rows);
            stage.keys(keys).grow();
            let marks = |stage: &Stage| stage.text().matches(['↑', '↓']).count();
            let shown = marks(&stage);
            // What happened does not change, nor does what the dead held, why something waits, or what a machine allows.
            assert_eq!(shown > 0, !["events", "dead", "why", "node"].contains(name), "{name}: {shown}");
            stage.tell(Msg::Tick(NOW_MS + 2_000));
            assert_eq!(marks(&stage), 0, "{name}: it is no news any more");
            stage.tell(Msg::Tick(NOW_MS + 1_000));
            stage
        });
    }
}

#[test]
fn in_ascii_every_cell_is_ascii_and_the_rest_stays() {
    for (name, keys) in VIEWS {
        let mut stage = Stage::new(80, 24);
        stage.keys(keys);
        let buffer = stage.buffer(&Theme::new(false).ascii(true));
        assert!(buffer.content().iter().all(|cell| cell.symbol().is_ascii()), "{name}");
        if ["overview", "sites", "object", "node"].contains(name) {
            insta::assert_snapshot!(format!("{name}_ascii"), stage::text(&buffer));
        }
    }
}

#[test]
fn what_is_not_of_now_says_so() {
    let mut stage = Stage::new(80, 24);
    stage.keys("2 ");
    stage.tell(Msg::Tick(NOW_MS + 12_000));
    insta::assert_snapshot!("frozen_80x24", stage.text());
    let mut stage = Stage::new(80, 24);
    stage.tell(Msg::Progress("sorting 43 %".to_owned()));
    insta::assert_snapshot!("progress_80x24", stage.text());
    let mut stage = Stage::new(80, 24);
    stage.keys("3⏎⏎y");
    insta::assert_snapshot!("copied_80x24", stage.text());
}

/// Its lines may not be those that the program was built from.
#[test]
fn a_source_that_changed_since_the_build_says_so() {
    for (columns, rows, keys, note) in [(80, 24, "3j⏎", "changed since the build"), (120, 40, "3j", "file changed")] {
        let mut stage = Stage::new(columns, rows);
        stage.keys(keys);
        assert!(!stage.text().contains(note), "{}", stage.text());
        stage.corrupt(
            &mut |mut frame| {
                if let Body::Detail { detail: Some(detail), .. } = &mut frame.body
                    && let Detail::Site(site) = &mut **detail
                {
                    site.source.as_mut().expect("its source").changed_ms = Some(NOW_MS);
                }
                frame
            },
            "",
        );
        let text = stage.text();
        assert!(text.lines().any(|line| line.contains("examples/demo.rs:") && line.contains(note)), "{text}");
    }
}

#[test]
fn a_mark_shows_what_grew_since() {
    for (name, keys) in [("overview", ""), ("sites", "3"), ("references", "2"), ("by_site", "2bb"), ("processes", "6"), ("events", "7")] {
        for (columns, rows) in [(80, 24), (120, 40)] {
            let mut stage = Stage::new(columns, rows);
            stage.keys("d").keys(keys).grow();
            stage.tell(Msg::Tick(NOW_MS + 6_000));
            insta::assert_snapshot!(format!("marked_{name}_{columns}x{rows}"), stage.text());
        }
    }
}

#[test]
fn what_is_wrong_with_storage_is_told() {
    let failing = |store: &mut StoreRow| {
        store.spill.failing = true;
        store.spill.state = "write /mnt/fast/spill/8: No space left on device (os error 28)".into();
        store.spill.failures_total = 3;
    };
    let thrash = |store: &mut StoreRow| store.spill.thrashing_objects = 12;
    let full = |store: &mut StoreRow| {
        store.ledger.referenced_bytes += store.ledger.free_bytes;
        store.ledger.free_bytes = 0;
    };
    type Change = fn(&mut StoreRow);
    let cases: [(&str, Change); 3] = [("failing", failing), ("thrash", thrash), ("full", full)];
    for (name, change) in cases {
        for (view, keys) in [("overview", ""), ("spill", "4")] {
            let mut rows = sample::agent();
            change(&mut rows.store);
            let mut stage = Stage::empty(80, 24, rows);
            stage.keys(keys);
            insta::assert_snapshot!(format!("{view}_{name}_80x24"), stage.text());
        }
    }
}

#[test]
fn memory_that_runs_out_is_told() {
    let full = |store: &mut StoreRow| {
        store.node.machine_available_bytes = 500_000_000;
        store.pressure.available_bytes = 500_000_000;
        store.pressure.used_bytes = 16_000_000_000;
    };
    let dying = |store: &mut StoreRow| {
        store.pressure.used_bytes = 16_000_000_000;
        (store.pressure.dying, store.pressure.next_victim) = (2, None);
    };
    let group = |store: &mut StoreRow| {
        store.pressure.source = "cgroup v2".into();
        store.pressure.used_bytes = 15_000_000_000;
        store.pressure.dry_run = true;
    };
    let off = |store: &mut StoreRow| {
        store.pressure.threshold_bytes = store.pressure.total_bytes;
        store.pressure.next_victim = None;
    };
    type Change = fn(&mut StoreRow);
    let cases: [(&str, Change); 4] = [("full", full), ("dying", dying), ("group", group), ("off", off)];
    for (name, change) in cases {
        for (view, keys, columns) in [("overview", "", 80), ("processes", "6", 80), ("processes", "6", 60)] {
            let mut rows = sample::agent();
            change(&mut rows.store);
            let mut stage = Stage::empty(columns, 24, rows);
            stage.keys(keys);
            insta::assert_snapshot!(format!("{view}_memory_{name}_{columns}x24"), stage.text());
        }
    }
}

/// An agent that has just started: a driver has connected, and put nothing.
fn nothing() -> agent::Agent {
    let sample = sample::agent();
    let free = sample.store.ledger.capacity_bytes;
    let store = StoreRow {
        node: NodeRow {
            reserved: Default::default(),
            worker_heap_bytes: 0,
            store_backed_bytes: 64 << 20,
            shared_read_bytes: 0,
            workers: 0,
            tasks_pending: 0,
            tasks_running: 0,
            tasks_finished: 0,
            tasks_failed: 0,
            actors: 0,
            ..sample.store.node
        },
        ledger: Ledger { capacity_bytes: free, free_bytes: free, unbacked_bytes: free - (64 << 20), ..Ledger::default() },
        spill: SpillRow { state: "on".into(), places: sample.store.spill.places, threshold_bytes: free / 5 * 4, ..SpillRow::default() },
        pressure: PressureRow { next_victim: None, kills: 0, ..sample.store.pressure },
        viewers: 1,
        ..StoreRow::default()
    };
    agent::Agent { now_ms: NOW_MS, store, node: sample.node, ..agent::Agent::default() }
}

#[test]
fn an_empty_agent_is_explained_in_every_view() {
    let more = [("nothing", "2/pid=1⏎")];
    for (name, keys) in PLACES.iter().chain(&more).filter(|(name, _)| !["site", "object", "process"].contains(name)) {
        check(&format!("empty_{name}"), |columns, rows| {
            let mut stage = Stage::empty(columns, rows, nothing());
            stage.keys(keys);
            stage
        });
    }
}

/// Nothing in the footer is for nothing: each of its keys changes the screen, or tells the shell to do something; and where there is nothing
/// at all, none is refused.
#[test]
fn whatever_the_footer_offers_does_something() {
    let screen = |app: &App| {
        let mut buffer = ratatui::buffer::Buffer::empty(ratatui::layout::Rect::new(0, 0, 120, 40));
        plasmon_tui::view::draw(app, &Theme::new(true), &mut buffer);
        buffer
    };
    let mut tried = 0;
    for (name, keys) in VIEWS.iter().chain(PLACES) {
        let stages = [Stage::new(120, 40), Stage::of(120, 40, stacks::stacked()), Stage::empty(120, 40, nothing())];
        for (mut stage, is_empty) in stages.into_iter().zip([false, false, true]) {
            stage.keys(keys);
            let app = &stage.app;
            if app.overlay.is_some() {
                continue;
            }
            let before = screen(app);
            for (key, label) in plasmon_tui::keys::footer(&app.contexts(), |action| app.can(action)) {
                let mut after = app.clone();
                let effects = after.update(Msg::Key(key));
                assert!(!effects.is_empty() || screen(&after) != before, "{name}: {key} {label}:\n{}", stage.text());
                let refused = after.flash_line().filter(|flash| is_empty && flash.mood == Mood::Refused);
                assert_eq!(refused.map(|flash| &flash.text), None, "{name}: {key} {label}:\n{}", stage.text());
                tried += 1;
            }
        }
    }
    assert!(tried > 500, "{tried}");
}

/// A terminal may have another size than it said a moment ago.
#[test]
fn a_terminal_of_another_size_gets_what_fits() {
    for (_, keys) in VIEWS {
        let mut stage = Stage::new(200, 60);
        stage.keys(keys);
        let whole = stage.buffer(&Theme::new(true));
        for (columns, rows) in [(80, 24), (61, 70), (250, 16), (1, 1)] {
            let mut buffer = ratatui::buffer::Buffer::empty(ratatui::layout::Rect::new(0, 0, columns, rows));
            plasmon_tui::view::draw(&stage.app, &Theme::new(true), &mut buffer);
            for position in buffer.area.intersection(whole.area).positions() {
                assert_eq!(buffer[position], whole[position]);
            }
        }
    }
}

#[test]
fn no_size_panics() {
    for (columns, rows) in [(1, 1), (59, 16), (60, 15), (60, 16), (61, 17), (109, 20), (110, 16), (300, 20), (64, 100)] {
        for (_, keys) in VIEWS {
            let mut stage = Stage::new(columns, rows);
            stage.keys(keys);
            stage.buffer(&Theme::new(true));
        }
    }
    // Wide and low: every region is still there.
    let mut low = Stage::new(160, 24);
    insta::assert_snapshot!("overview_160x24", low.text());
    insta::assert_snapshot!("spill_160x24", low.keys("4").text());
    insta::assert_snapshot!("small_50x10", Stage::new(50, 10).text());
}

/// The pictures of the README, drawn by the same code.
#[test]
fn the_pictures_are_of_this_version() {
    let assets = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../assets");
    for (name, title, keys, marked) in [
        ("overview.svg", "plasmon: where the memory goes", "", false),
        ("references.svg", "plasmon: who holds which object, folded by the site that made it", "2bb", false),
        ("sites.svg", "plasmon: which line of code holds it", "3", false),
        ("stacks.svg", "plasmon: what called the lines that hold it", "3", false),
        ("mark.svg", "plasmon: what grew since it was marked", "3", true),
        ("spill.svg", "plasmon: what is on disk, and why", "4", false),
        ("tasks.svg", "plasmon: what runs, what waits and for what", "5", false),
        ("why.svg", "plasmon: why a task waits", "5ow", false),
        ("processes.svg", "plasmon: how full the memory is, and who is next", "6", false),
        ("events.svg", "plasmon: what happened", "7", false),
        ("post_mortem.svg", "plasmon: who died, and what it held", "8", false),
        ("node.svg", "plasmon: the limits of a node, and what would make it better", "9", false),
        ("object.svg", "plasmon: why an object is alive", "2/type:pinned⏎⏎", false),
    ] {
        let of = if name == "stacks.svg" { stacks::stacked() } else { sample::agent() };
        let mut stage = Stage::of(120, 32, of);
        if marked {
            stage.keys("d").keys(keys).grow();
            stage.tell(Msg::Tick(NOW_MS + 6_000));
        } else {
            stage.keys(keys);
        }
        let picture = svg::render(&stage.buffer(&Theme::new(true)), title);
        let path = assets.join(name);
        if std::env::var_os("SHOTS").is_some_and(|value| value == "1") {
            std::fs::create_dir_all(&assets).unwrap();
            std::fs::write(&path, picture).unwrap();
        } else {
            let drawn = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(drawn == picture, "{name} is of another version; draw it anew with SHOTS=1");
        }
    }
}
