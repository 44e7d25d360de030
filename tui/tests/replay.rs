//! Recordings: read, damaged, moved in and drawn.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "support/actors.rs"]
mod actors;
#[path = "support/agent.rs"]
mod agent;
#[path = "support/recorded.rs"]
mod recorded;
#[path = "support/sample.rs"]
mod sample;
#[path = "support/stage.rs"]
#[allow(dead_code, reason = "every test file uses a part of it")]
mod stage;
#[path = "support/storage.rs"]
mod storage;
#[path = "support/why.rs"]
mod why;

use std::sync::{Arc, LazyLock};

use plasmon_protocol::column::Table;
use plasmon_protocol::doctor::NodeDetail;
use plasmon_protocol::explain::Subject;
use plasmon_protocol::id::{NodeId, ObjectKey, SiteId};
use plasmon_protocol::record::{NodeRow, ObjectRow, Site, SiteRow};
use plasmon_protocol::recording::details::target_of;
use plasmon_protocol::recording::{DETAILS, Encoder, Picture, Taken};
use plasmon_protocol::stream::{ActorDetail, Body, Detail, Frame, Output, ProcessDetail, Rows, Sort, Target, Totals, View, Window};
use plasmon_protocol::window::{Query, TABLES};
use plasmon_tui::keys::Key;
use plasmon_tui::recording::{Damage, Recording, Weight};
use plasmon_tui::svg;
use plasmon_tui::view::theme::Theme;
use proptest::prelude::*;
use ratatui::style::Color;
use recorded::{Replayed, at, instants, picture, rows, targets};
use sample::NOW_MS;

static TEXT: LazyLock<String> = LazyLock::new(recorded::text);

fn read(text: &str) -> Result<Recording, Damage> {
    Recording::read(text.as_bytes().to_vec())
}

/// Views of every kind over every table.
fn views() -> Vec<View> {
    let mut views: Vec<View> = TABLES.into_iter().map(View::of).collect();
    let of = |table, filter: &str, sort: Option<(&str, bool)>, group: Option<&str>, start, len| View {
        filter: filter.to_owned(),
        sort: sort.map(|(column, ascending)| Sort { column: column.to_owned(), ascending }),
        group: group.map(str::to_owned),
        window: Window { start, len },
        ..View::of(table)
    };
    views.extend([
        of(Table::References, "type:pinned", None, None, 0, 50),
        of(Table::References, "size>1m age<30s", Some(("age", true)), None, 3, 7),
        of(Table::References, "", Some(("rows", true)), Some("type"), 0, 100),
        of(Table::Objects, "", Some(("age", false)), None, 10, 20),
        of(Table::Sites, "", Some(("growth", false)), None, 0, 100),
        of(Table::Tasks, "", None, Some("name"), 0, 100),
        of(Table::Events, "severity:error | severity:warning", None, None, 0, 5),
        of(Table::Processes, "", Some(("cpu", true)), None, 1, 2),
    ]);
    views
}

/// Whatever order the instants are visited in, what is shown of each is what the agent's own evaluation shows of its rows then.
#[test]
fn every_instant_is_what_it_was_live() {
    let mut recording = read(&TEXT).unwrap();
    assert_eq!(recording.instants().collect::<Vec<_>>(), instants().collect::<Vec<_>>());
    let there_and_back = instants().chain(instants().rev().step_by(7)).chain(instants().step_by(13));
    for at_ms in there_and_back {
        let live = at(at_ms);
        // Half a second later nothing else is known; only ages go on.
        for now_ms in [at_ms, at_ms + 500] {
            recording.seek(now_ms);
            for view in views() {
                let expected = Query::prepare(view.clone()).unwrap().window(&rows(&live, view.table), now_ms);
                assert_eq!(recording.show(&view, now_ms).unwrap(), expected, "{view:?} at {now_ms}");
            }
        }
    }
}

/// What is told of a live thing, but for what is read for an open page alone.
fn comparable(detail: Option<Detail>) -> Option<Detail> {
    detail.map(|detail| match detail {
        Detail::Process(detail) => {
            Detail::Process(ProcessDetail { unique_bytes: None, executable: "".into(), output: Output::default(), ..detail })
        }
        // The sample's calls are in no table.
        Detail::Actor(detail) => Detail::Actor(ActorDetail { calls: Vec::new(), references: Vec::new(), ..detail }),
        // The sample's node stands still on this page.
        Detail::Node(detail) => Detail::Node(NodeDetail { node: NodeRow::default(), ..detail }),
        detail => detail,
    })
}

/// Every page shows at every instant what the live one showed: what lies in what, arguments, reasons, lines of source, the dead's references.
#[test]
fn every_page_is_what_it_was_live() {
    let mut recording = read(&TEXT).unwrap();
    let all = recorded::targets(&at(NOW_MS));
    let mut kinds = std::collections::BTreeSet::new();
    for at_ms in instants().rev().step_by(9).chain(instants().step_by(7)) {
        recording.seek(at_ms);
        let live = at(at_ms);
        for target in &all {
            // The sample explains nothing before there are tasks.
            let nothing = |detail: &Detail| matches!(detail, Detail::Explain(detail) if detail.answers.is_empty() && *target != Target::Explain(Subject::Everything));
            let expected = comparable(live.detail(target)).filter(|detail| !nothing(detail));
            // Why something waits is told of what was there.
            if matches!(target, Target::Explain(_)) && !recorded::targets(&live).contains(target) {
                continue;
            }
            let replayed = comparable(recording.detail(target));
            assert_eq!(replayed, expected, "{target:?} at {at_ms}");
            kinds.extend(replayed.map(|detail| match detail {
                Detail::Object(detail) if !detail.tasks.is_empty() => "needed",
                Detail::Object(detail) if !detail.contained_in.is_empty() => "contained",
                Detail::Object(detail) if !detail.contains.is_empty() => "container",
                Detail::Task(detail) if !detail.arguments.is_empty() => "arguments",
                Detail::Site(detail) if detail.source.is_some() => "source",
                Detail::PostMortem(detail) if !detail.references.is_empty() => "post-mortem",
                Detail::Explain(detail) if !detail.cycles.is_empty() => "explanation",
                Detail::Actor(_) => "actor",
                Detail::SpillFile(_) => "file",
                Detail::Process(_) => "process",
                Detail::Node(_) => "node",
                _ => "other",
            }));
        }
    }
    let wanted = ["actor", "arguments", "contained", "explanation", "file", "needed", "node", "process", "source"];
    assert!(wanted.iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
    recording.seek(0);
    assert_eq!(recording.detail(&Target::Task(at(NOW_MS).tasks[0].task_id)).is_some(), !at(instants().next().unwrap()).tasks.is_empty());
}

/// Rows that a table has are recorded as their ids, so that a detail is written again only when what it links is something else.
#[test]
fn a_detail_is_written_when_its_links_change() {
    let mut last = std::collections::HashMap::new();
    let mut linked = 0;
    for line in TEXT.lines() {
        match serde_json::from_str::<Frame>(line).unwrap().body {
            Body::Hello { .. } => last.clear(),
            Body::Detail { detail: Some(detail), .. } => {
                let target = target_of(&detail).unwrap();
                assert_ne!(last.insert(target.clone(), detail.clone()), Some(detail), "{target:?} is written twice");
                linked += usize::from(line.contains(r#""contains":[{"object_id":"#) && line.len() < 400);
            }
            _ => {}
        }
    }
    assert!(linked > 0, "containers are written without the rows that a table has");
}

#[test]
fn what_was_left_out_is_told() {
    let mut all = picture(&at(NOW_MS));
    let Some(Taken { rows: Rows::References(rows), totals, .. }) = all.tables.iter_mut().find(|taken| taken.table == Table::References)
    else {
        panic!("no references")
    };
    let whole = Totals { rows: 1_000_000, matched: 1_000_000, bytes: 5 << 30, ..Totals::default() };
    *totals = Some(whole);
    let known = rows.len() as u64;
    let text = Encoder::new().unwrap().write(&all).unwrap().text;
    let mut recording = read(&text).unwrap();
    recording.seek(NOW_MS);
    let shown = recording.show(&View::of(Table::References), NOW_MS).unwrap().totals;
    assert_eq!((shown.rows, shown.matched, shown.bytes, shown.cut), (1_000_000, known, 5 << 30, 1_000_000 - known));
    let filtered = recording.show(&View { filter: "type:pinned".to_owned(), ..View::of(Table::References) }, NOW_MS).unwrap().totals;
    assert!(filtered.matched < known && filtered.rows == 1_000_000 && filtered.cut == 1_000_000 - known, "{filtered:?}");
    let mut stage = Replayed::new(120, 40, &text);
    assert!(stage.keys("2").text().contains(" largest of "), "{}", stage.text());
}

#[test]
fn a_torn_line_is_left_out_and_every_other_damage_is_named() {
    let whole = read(&TEXT).unwrap();
    let instants = whole.instants().count();
    // Cut anywhere in its last line, even within a character.
    let last = TEXT.trim_end().rfind('\n').unwrap() + 1;
    for cut in [last + 1, last + 40, TEXT.len() - 1] {
        let cut = read(&TEXT[..cut]).unwrap();
        assert!(instants - cut.instants().count() <= 1);
    }
    let mut torn = TEXT.as_bytes().to_vec();
    torn.extend_from_slice(b"{\"seq\":9,\"x\":\"\xe2\x82");
    assert_eq!(Recording::read(torn).unwrap().instants().count(), instants);

    let lines: Vec<&str> = TEXT.lines().collect();
    let with = |at: usize, line: &str| {
        let mut lines = lines.clone();
        lines[at] = line;
        lines.join("\n") + "\n"
    };
    let without: Vec<&str> = lines.iter().enumerate().filter(|(at, _)| *at != 7).map(|(_, line)| *line).collect();
    let later = lines[1].replacen("\"seq\":2,", "\"seq\":20,", 1);
    for (text, expected) in [
        (String::new(), "no whole line"),
        ("hello".to_owned(), "no whole line"),
        ("#!/bin/sh\necho\n".to_owned(), "line 1: it is no frame"),
        (lines[1..].join("\n") + "\n", "line 1: a recording begins with a hello"),
        (with(4, "{}"), "line 5: it is no frame"),
        (with(4, "\u{1b}[2J"), "line 5: it is no frame"),
        (with(4, &lines[4][..lines[4].len() - 1]), "line 5: it is no frame"),
        (with(1, &later), "line 2: frame 20 stands where frame 2 is due"),
        (without.join("\n") + "\n", "line 8: frame 9 stands where frame 8 is due"),
        (with(0, &lines[0].replacen("\"version\":2", "\"version\":9", 1)), "line 1: it is of version 9"),
        (
            with(3, &lines[3].replacen("\"at_ms\":1", "\"at_ms\":0", 1).replacen("\"at_ms\":0", "\"at_ms\":", 1)),
            "line 4: it is of an earlier time",
        ),
        (with(2, r#"{"seq":3,"at_ms":1741097002000,"type":"detail","id":1,"detail":null}"#), "line 3: a frame that no recording has"),
        (
            with(2, r#"{"seq":3,"at_ms":1741097002000,"type":"snapshot","id":2,"totals":{},"start":0,"rows":{"sites":[]}}"#),
            "line 3: its rows are none",
        ),
        (
            with(1, r#"{"seq":2,"at_ms":1741097002000,"type":"delta","id":2,"totals":{},"start":0,"rows":{"objects":[]}}"#),
            "line 2: a change of a table",
        ),
        (with(2, &"x".repeat(3 << 20)), "line 3: it is longer than any frame"),
    ] {
        let damage = read(&text).unwrap_err();
        assert!(damage.to_string().contains(expected), "{damage} instead of {expected}");
        assert!(!damage.hint().is_empty() && !damage.to_string().contains('\x1b'));
    }
    let mut bytes = TEXT.as_bytes().to_vec();
    bytes[lines[0].len() + 3] = 0xff;
    assert_eq!(Recording::read(bytes).unwrap_err().to_string(), "line 2: it is no text");
}

#[test]
fn details_that_only_a_later_release_knows_are_skipped() {
    let last: Frame = serde_json::from_str(TEXT.lines().last().unwrap()).unwrap();
    let with = |details: &[&str]| {
        let mut text = TEXT.clone();
        for (number, detail) in (1..).zip(details) {
            let (seq, at_ms) = (last.seq + number, last.at_ms);
            text += &format!(r#"{{"seq":{seq},"at_ms":{at_ms},"type":"detail","id":{DETAILS},"detail":{detail}}}"#);
            text.push('\n');
        }
        read(&text)
    };
    let mut later = with(&[r#"{"forecast":{"of":[1,{}]}}"#, r#"{"process":{}}"#, "null"]).unwrap();
    let mut known = read(&TEXT).unwrap();
    assert_eq!(later.instants().count(), known.instants().count());
    for recording in [&mut later, &mut known] {
        recording.seek(NOW_MS);
    }
    for target in targets(&at(NOW_MS)) {
        assert_eq!(later.detail(&target), known.detail(&target), "{target:?}");
    }
    // One that is known and broken is damage.
    let lines = TEXT.lines().count();
    assert!(with(&[r#"{"site":7}"#]).unwrap_err().to_string().starts_with(&format!("line {}: it is no frame", lines + 1)));
}

#[test]
fn the_page_of_the_unknown_site_has_its_objects_alone() {
    let object = |slot: u32, site: u32| ObjectRow {
        object_id: ObjectKey { slot, generation: 1 }.on(NodeId::default()),
        created_site: Arc::new(Site { id: SiteId(site), ..Site::default() }),
        ..ObjectRow::default()
    };
    let tables = vec![
        Taken { table: Table::Sites, rows: Rows::Sites(vec![SiteRow::default()]), totals: None },
        Taken { table: Table::Objects, rows: Rows::Objects(vec![object(1, 0), object(2, 7)]), totals: None },
    ];
    let picture = Picture { at_ms: 1, node: NodeRow::default(), tables, details: Vec::new() };
    let mut recording = read(&Encoder::new().unwrap().write(&picture).unwrap().text).unwrap();
    recording.seek(1);
    let Some(Detail::Site(page)) = recording.detail(&Target::Site(SiteId(0))) else { panic!("no page") };
    assert_eq!(page.objects.iter().map(|row| row.object_id).collect::<Vec<_>>(), [object(1, 0).object_id]);
}

#[test]
fn what_a_terminal_obeys_goes_no_further() {
    let mut evil = at(NOW_MS);
    evil.events[0].message = "\u{1b}]0;title\u{7}\u{202e}evil".to_owned();
    evil.events[10].message = "\u{1b}[2Jdied".to_owned();
    evil.events[10].severity = plasmon_protocol::record::Severity::Error;
    evil.events[10].at_ms = NOW_MS;
    let text = Encoder::new().unwrap().write(&picture(&evil)).unwrap().text;
    let mut stage = Replayed::new(120, 40, &text);
    let shown = stage.keys("7").text();
    assert!(shown.contains("evil") && !shown.contains(['\u{1b}', '\u{202e}', '\u{7}']), "{shown}");
    let recording = read(&text).unwrap();
    assert!(recording.timeline().marks.iter().any(|mark| mark.text.contains("died") && !mark.text.contains('\u{1b}')));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Whatever becomes of a file, it is read or refused with a line's number; and what was read can be moved in and looked at.
    #[test]
    fn no_damage_is_a_panic(
        steps in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..5, any::<prop::sample::Index>()), 1..6),
        places in proptest::collection::vec(0_u64..130_000, 1..4),
    ) {
        let mut bytes = TEXT.as_bytes().to_vec();
        for (at, byte, what, other) in steps {
            if bytes.is_empty() {
                break;
            }
            let (at, other) = (at.index(bytes.len()), other.index(bytes.len()));
            match what {
                0 => bytes[at] = byte,
                1 => bytes.truncate(at.max(other)),
                2 => bytes.insert(at, byte),
                3 => drop(bytes.drain(at.min(other)..at.min(other) + at.abs_diff(other).min(2_000))),
                // A digit for a digit: it may well be read.
                _ => if let Some(digit) = bytes[at..].iter_mut().find(|byte| byte.is_ascii_digit()) {
                    *digit = b'0' + byte % 10;
                }
            }
        }
        match Recording::read(bytes) {
            Ok(mut recording) => {
                for place in places {
                    recording.seek(NOW_MS - place);
                    for view in views() {
                        prop_assert!(recording.show(&view, NOW_MS - place).is_ok());
                    }
                    let detail = at(NOW_MS).objects.first().map(|row| Target::Object(row.object_id)).unwrap();
                    let _ = recording.detail(&detail);
                    let _ = recording.report(NOW_MS - place);
                }
            }
            Err(damage) => {
                let said = damage.to_string();
                prop_assert!(said.starts_with("line ") || damage == Damage::Empty, "{}", said);
            }
        }
    }
}

#[test]
fn the_keys_move_in_time() {
    let mut stage = Replayed::new(80, 24, &TEXT);
    assert_eq!(stage.before_end(), 0, "it opens at the end");
    assert_eq!(stage.keys("←←").before_end(), 2_000);
    assert_eq!(stage.keys("→").before_end(), 1_000);
    stage.press(Key::ShiftLeft);
    assert_eq!(stage.before_end(), 11_000);
    stage.press(Key::ShiftRight);
    assert_eq!(stage.keys("→→").before_end(), 0, "and no further");
    assert_eq!(stage.keys("⇤").before_end(), 120_000);
    assert_eq!(stage.keys("←").before_end(), 120_000);
    // Marks: one after the other, warnings and worse; several of one instant are one stop.
    let stops: Vec<u64> = (0..4).map(|_| stage.keys("n").before_end()).collect();
    assert_eq!(stops, [34_000, 21_000, 21_000, 21_000], "the last one is the last");
    assert!(stage.text().contains("no mark lies there"), "{}", stage.text());
    assert_eq!(stage.keys("N").before_end(), 34_000);
    assert!(stage.text().contains("worker 4730 died") || stage.text().contains("actor Probe died"), "{}", stage.text());
    assert_eq!(stage.keys("⇥").before_end(), 0);
    // The other meanings of these keys are still there, under their other keys.
    assert_eq!(stage.keys("2l").app.crumbs().count(), 2);
    assert_eq!(stage.keys("h").app.crumbs().count(), 1);
}

#[test]
fn it_plays_as_fast_as_asked_and_stops_at_the_end() {
    let mut stage = Replayed::new(80, 24, &TEXT);
    stage.wait(5_000);
    assert_eq!(stage.before_end(), 0, "it does not play by itself");
    assert_eq!(stage.keys(" ").before_end(), 120_000, "from the end it plays from the beginning");
    stage.wait(1_500);
    assert_eq!(stage.before_end(), 118_500);
    stage.keys("++");
    stage.wait(2_000);
    assert_eq!(stage.before_end(), 108_500);
    assert!(stage.text().contains("playing 5x"), "{}", stage.text());
    assert!(stage.app.clock_ms() <= 100);
    stage.keys("-");
    stage.wait(1_000);
    assert_eq!(stage.before_end(), 106_500);
    stage.keys(" ");
    stage.wait(60_000);
    assert_eq!(stage.before_end(), 106_500);
    stage.keys(" ++++++");
    stage.wait(1_000);
    assert_eq!(stage.before_end(), 46_500, "sixty times is the most");
    stage.wait(10_000);
    assert_eq!(stage.before_end(), 0);
    stage.wait(10_000);
    assert!(!stage.app.replay().unwrap().playing && stage.app.clock_ms() >= 1_000, "at the end it stands still");
}

/// What stands on the screen at an instant is what a live dashboard shows of the same rows, but for the header and the time line.
#[test]
fn the_screen_is_the_live_one_of_that_instant() {
    let places = [
        ("references", "2"),
        ("object", "2⏎"),
        ("sites", "3"),
        ("site", "3⏎"),
        ("tasks", "5"),
        ("task", "5⏎"),
        ("why a task waits", "5w"),
        ("what waits", "1w"),
        ("processes", "6"),
        ("events", "7"),
    ];
    for (name, keys) in places {
        let mut live = stage::Stage::empty(120, 39, at(NOW_MS));
        live.keys(keys);
        let mut replayed = Replayed::new(120, 40, &TEXT);
        replayed.keys(keys).keys("⇤⇥");
        let body = |text: &str, header: usize| text.lines().skip(header).take(36).map(str::to_owned).collect::<Vec<_>>();
        let (live, replayed) = (body(&live.text(), 2), body(&replayed.text(), 3));
        assert_eq!(live, replayed, "{name}");
    }
}

#[test]
fn the_time_line_at_three_sizes() {
    for (columns, rows) in [(80, 24), (120, 40), (200, 60)] {
        for (name, keys) in
            [("end", ""), ("mark", "⇤nn"), ("playing", "⇤ "), ("events", "7N"), ("site", "3⏎"), ("object", "2⏎"), ("help", "?")]
        {
            let mut stage = Replayed::new(columns, rows, &TEXT);
            stage.keys(keys);
            insta::assert_snapshot!(format!("replay_{name}_{columns}x{rows}"), stage.text());
        }
    }
    let mut stage = Replayed::new(60, 17, &TEXT);
    insta::assert_snapshot!("replay_60x17", stage.keys("⇤n").text());
    assert!(Replayed::new(60, 16, &TEXT).text().contains("60 × 17 needed"));
    for (columns, rows) in [(1, 1), (61, 17), (300, 18)] {
        Replayed::new(columns, rows, &TEXT).buffer(&Theme::new(true));
    }
}

#[test]
fn the_time_line_with_and_without_colour() {
    let mut stage = Replayed::new(120, 40, &TEXT);
    stage.keys("⇤nn");
    insta::assert_snapshot!("replay_svg", svg::render(&stage.buffer(&Theme::new(true)), "replay"));
    let plain = stage.buffer(&Theme::new(false));
    for cell in plain.content() {
        assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset), "{cell:?}");
    }
    insta::assert_snapshot!("replay_no_colour", stage::text(&plain));
    // What one stands at is told without colours, too.
    let reversed = plain.content().iter().skip(2 * 120).take(120).filter(|cell| cell.modifier.contains(ratatui::style::Modifier::REVERSED));
    assert_eq!(reversed.count(), 1);
    assert!(read(&TEXT).unwrap().timeline().marks.iter().any(|mark| mark.weight == Weight::Error));
}
