//! Ten thousand hostile texts, as programs may name their functions and files, from the wire to the cells of a terminal. The judge is a
//! terminal of somebody else's making: nothing but plain cells arrives, each where it was meant to be, and nothing else of it changes.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "support/actors.rs"]
mod actors;
#[path = "support/agent.rs"]
mod agent;
#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/judge.rs"]
mod judge;
#[path = "support/sample.rs"]
mod sample;
#[path = "support/stage.rs"]
#[allow(dead_code, reason = "every test file uses a part of it")]
mod stage;
#[path = "support/storage.rs"]
mod storage;
#[path = "support/why.rs"]
mod why;

use std::sync::Arc;

use plasmon_protocol::record::{ReferenceRow, Site, StoreRow};
use plasmon_protocol::report::{GroupBy, Report, ReportOptions};
use plasmon_protocol::stream::{Body, Frame, PostMortem};
use plasmon_tui::app::Msg;
use plasmon_tui::model::clean::decode;
use serde_json::Value;
use stage::Stage;

/// How many texts there are.
const TEXTS: usize = 10_000;
/// The corpus is the same each time.
const SEED: u64 = 0x5eed;
/// Fields whose text comes from programs, machines or files.
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
    "place",
    "places",
    "node_ip",
    "listen",
    "version",
    "label",
    "lines",
];

/// Puts hostile texts in place of all that come from programs; whether there were any.
fn poison(value: &mut Value, free: bool, texts: &mut dyn FnMut() -> String) -> bool {
    match value {
        Value::String(text) if free => {
            *text = texts();
            true
        }
        Value::Array(values) => values.iter_mut().fold(false, |any, value| poison(value, free, texts) | any),
        Value::Object(fields) => {
            fields.iter_mut().fold(false, |any, (name, value)| poison(value, FREE.contains(&name.as_str()), texts) | any)
        }
        _ => false,
    }
}

/// A frame as a hostile agent, or an honest one of a hostile program, would send it, read as the dashboard reads it.
fn hostile(frame: &Frame, texts: &mut dyn FnMut() -> String) -> Frame {
    let mut value = serde_json::to_value(frame).unwrap();
    poison(&mut value, false, texts);
    decode(&value.to_string()).unwrap()
}

/// Leads a dashboard by these keys through frames that are full of the next texts, and judges what it draws.
fn draws(columns: u16, rows: u16, keys: &str, texts: &mut dyn FnMut() -> String) {
    let mut stage = Stage::new(columns, rows);
    stage.corrupt(&mut |frame| hostile(&frame, texts), keys);
    judge::screen(&stage.app, columns, rows, keys);
}

#[test]
fn no_text_does_more_than_stand_in_cells() {
    let mut corpus = corpus::Corpus::new(SEED);
    let mut used = 0;
    let mut texts = || {
        used += 1;
        corpus.next()
    };
    let places = ["", "2", "2⏎", "3", "3⏎", "3z", "4", "4⏎", "5", "5⏎", "5o⏎", "5ow", "6", "6j⏎", "6o⏎", "7"];
    let mut rounds = 0;
    loop {
        for keys in places {
            let (columns, rows) = [(120, 40), (80, 24), (200, 60)][rounds % 3];
            draws(columns, rows, keys, &mut texts);
            rounds += 1;
        }
        if rounds >= 4 * places.len() {
            break;
        }
    }
    assert!(used >= TEXTS, "only {used} texts were shown");
}

#[test]
fn every_text_is_harmless_as_an_event() {
    let mut corpus = corpus::Corpus::new(SEED);
    let texts: Vec<String> = (0..TEXTS).map(|_| corpus.next()).collect();
    for part in texts.chunks(30) {
        let mut stage = Stage::new(120, 40);
        stage.agent.events.truncate(part.len());
        let mut left = part.iter().cycle().cloned();
        stage.corrupt(&mut |frame| hostile(&frame, &mut || left.next().unwrap()), "7");
        judge::screen(&stage.app, 120, 40, "7");
    }
}

#[test]
fn the_header_s_text_is_harmless_too() {
    let mut corpus = corpus::Corpus::new(SEED);
    for _ in 0..200 {
        let mut stage = Stage::new(120, 40);
        let node = Body::Hello { version: 1, node: Box::new(stage.agent.store.node.clone()) };
        let frame = hostile(&Frame { seq: 1, at_ms: sample::NOW_MS, missed: 0, body: node }, &mut || corpus.next());
        let Body::Hello { node, .. } = frame.body else { panic!("{frame:?}") };
        stage.app.update(Msg::Connected(node));
        judge::screen(&stage.app, 120, 40, "hello");
    }
}

#[test]
fn a_report_of_hostile_texts_is_lines_of_plain_text() {
    let mut corpus = corpus::Corpus::new(SEED);
    let sample = sample::agent();
    let mut used = 0;
    while used < TEXTS {
        let mut next = || {
            used += 1;
            corpus.next()
        };
        let site =
            |next: &mut dyn FnMut() -> String| Arc::new(Site { function: next(), file: next(), line: 7, ..(*sample::site(0)).clone() });
        let rows = sample.references.iter().take(20);
        let references: Vec<ReferenceRow> = rows
            .map(|row| ReferenceRow { call_site: site(&mut next), created_site: site(&mut next), node_ip: next().into(), ..row.clone() })
            .collect();
        let mut store: StoreRow = sample.store.clone();
        store.spill.failing = true;
        store.spill.state = next().into();
        let dead = sample.post_mortem.iter().take(1).map(|dead| {
            let mut process = dead.process.clone();
            (process.name, process.how, process.task) = (next().into(), next().into(), Some(next().into()));
            PostMortem { process, ..PostMortem::default() }
        });
        let dead: Vec<PostMortem> = dead.collect();
        let report = Report::new(store, references, sample::NOW_MS).with_post_mortem(dead);
        for group_by in [GroupBy::NodeAddress, GroupBy::StackTrace] {
            for (width, no_format) in [(100, false), (usize::MAX, true)] {
                let options = ReportOptions { group_by, width, no_format, ..ReportOptions::default() };
                judge::lines(&report.text(&options));
            }
        }
        // JSON escapes what a terminal obeys by itself, and the rest is no different from the text's.
        judge::lines(&serde_json::to_string_pretty(&report).unwrap());
    }
}
