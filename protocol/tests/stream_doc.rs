//! `STREAM.md` documents every request and every frame by an example that is written here. `UPDATE_STREAM_MD=1` writes them anew.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "stream_doc/examples.rs"]
mod examples;

use std::collections::BTreeSet;
use std::path::Path;

use plasmon_protocol::column::{Kind, Record};
use plasmon_protocol::record::{
    ActorRow, EventRow, ObjectRow, PostMortemRow, ProcessRow, ReferenceRow, SiteRow, SpillFileRow, StoreRow, TaskRow,
};
use plasmon_protocol::stream::{Frame, Request};

/// What stands in the page under a name.
struct Part {
    name: String,
    text: String,
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Bytes => "bytes",
        Kind::Growth => "bytes, signed",
        Kind::Count => "count",
        Kind::Number => "number",
        Kind::Since => "age",
    }
}

/// The columns of a table and the fields of its rows.
fn table<R: Record + Default + serde::Serialize>(name: &str) -> Part {
    let mut text = "| column | is | holds |\n|---|---|---|\n".to_owned();
    for column in R::columns() {
        let words: Vec<String> = column.words.iter().filter(|word| !word.is_empty()).map(|word| format!("`{word}`")).collect();
        let words = if words.is_empty() { String::new() } else { format!(": {}", words.join(" ")) };
        let default = if column.name == R::DEFAULT_SORT { ", sorts when nothing else is asked for" } else { "" };
        text.push_str(&format!("| `{}` | {} | {}{words}{default} |\n", column.name, kind(column.kind), column.about));
    }
    let row = serde_json::to_value(R::default()).unwrap();
    let fields: Vec<String> = row.as_object().unwrap().keys().map(|field| format!("`{field}`")).collect();
    text.push_str(&format!("\nFields of a row: {}.\n", fields.join(" ")));
    Part { name: format!("table {name}"), text }
}

fn parts() -> Vec<Part> {
    let block = |name: String, json: String| Part { name, text: format!("```json\n{json}\n```\n") };
    let requests = examples::requests();
    let frames = examples::frames();
    let mut parts: Vec<Part> = Vec::new();
    for (name, request) in &requests {
        parts.push(block(format!("request {name}"), serde_json::to_string(request).unwrap()));
    }
    for (name, frame) in &frames {
        parts.push(block(format!("frame {name}"), serde_json::to_string_pretty(frame).unwrap()));
    }
    parts.extend([
        table::<ReferenceRow>("references"),
        table::<ObjectRow>("objects"),
        table::<SiteRow>("sites"),
        table::<ProcessRow>("processes"),
        table::<TaskRow>("tasks"),
        table::<ActorRow>("actors"),
        table::<PostMortemRow>("post_mortem"),
        table::<EventRow>("events"),
        table::<SpillFileRow>("spill_files"),
        table::<StoreRow>("store"),
    ]);
    parts
}

fn begin(name: &str) -> String {
    format!("<!-- {name} -->\n")
}

const END: &str = "<!-- / -->\n";

/// The page with its parts as they should be; each must stand in it once.
fn page(mut text: String, parts: &[Part]) -> String {
    for Part { name, text: part } in parts {
        let begin = begin(name);
        assert_eq!(text.matches(&begin).count(), 1, "STREAM.md has a mark '{}' and '{}' behind it", begin.trim(), END.trim());
        let at = text.find(&begin).unwrap() + begin.len();
        let end = at + text[at..].find(END).unwrap_or_else(|| panic!("no end behind '{name}'"));
        text.replace_range(at..end, part);
    }
    text
}

#[test]
fn the_page_shows_every_request_frame_and_table_as_it_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("STREAM.md");
    let found = std::fs::read_to_string(&path).unwrap();
    let parts = parts();
    let wanted = page(found.clone(), &parts);
    if std::env::var_os("UPDATE_STREAM_MD").is_some() {
        std::fs::write(&path, wanted).unwrap();
    } else {
        assert_eq!(found, wanted, "run with UPDATE_STREAM_MD=1 to write the examples anew");
    }
    // No mark without its part.
    let marks = found.lines().filter(|line| line.starts_with("<!-- ") && *line != END.trim());
    let names: BTreeSet<&str> = marks.map(|line| line.trim_start_matches("<!-- ").trim_end_matches(" -->")).collect();
    assert_eq!(names, parts.iter().map(|part| part.name.as_str()).collect());
}

#[test]
fn every_example_is_read_as_what_it_was_written_from() {
    for (name, request) in examples::requests() {
        assert_eq!(serde_json::from_str::<Request>(&serde_json::to_string(&request).unwrap()).unwrap(), request, "{name}");
    }
    for (name, frame) in examples::frames() {
        assert_eq!(serde_json::from_str::<Frame>(&serde_json::to_string_pretty(&frame).unwrap()).unwrap(), frame, "{name}");
    }
}

#[test]
fn there_is_an_example_of_every_variant() {
    let requests: BTreeSet<&str> = examples::requests().iter().map(|(_, request)| examples::request_variant(request)).collect();
    assert_eq!(requests, examples::REQUESTS.into_iter().collect());
    let targets: BTreeSet<&str> = examples::requests().iter().filter_map(|(_, request)| examples::target_variant(request)).collect();
    assert_eq!(targets, examples::TARGETS.into_iter().collect());
    let bodies: BTreeSet<&str> = examples::frames().iter().map(|(_, frame)| examples::body_variant(&frame.body)).collect();
    assert_eq!(bodies, examples::BODIES.into_iter().collect());
    let details: BTreeSet<&str> = examples::frames().iter().filter_map(|(_, frame)| examples::detail_variant(&frame.body)).collect();
    assert_eq!(details, examples::TARGETS.into_iter().chain(["post_mortem"]).collect());
}
