//! External storage in every form of the report.

use super::*;
use crate::record::WaitRow;

/// The same after much went to disk and some came back.
fn spilled() -> StoreRow {
    let mut row = store();
    row.ledger.referenced_bytes -= 28 << 20;
    (row.ledger.spilling_bytes, row.ledger.restoring_bytes, row.ledger.secondary_bytes) = (4 << 20, 8 << 20, 16 << 20);
    let wait = WaitRow {
        position: 1,
        pid: 4713,
        bytes: 8 << 20,
        object: Some(id(5)),
        site: site(SiteKind::GetObject, "demo::work", "src/demo.rs", 97),
        since_ms: NOW - 700,
        reason: "room is being made".into(),
    };
    row.spill = SpillRow {
        state: "on".into(),
        places: vec!["/var/tmp/spill".into()],
        threshold_bytes: 858_993_459,
        primary_bytes: 84 << 20,
        files: 3,
        file_bytes: (190 << 20) + 65_536,
        live_bytes: 150 << 20,
        dead_bytes: 40 << 20,
        header_bytes: 65_536,
        objects: 19,
        spilled_objects: 17,
        spilled_bytes: 134 << 20,
        spilled_objects_total: 41,
        spilled_bytes_total: (320 << 20) + 5,
        spill_ms_total: 1_500,
        restored_objects_total: 9,
        restored_bytes_total: 72 << 20,
        restore_ms_total: 100,
        files_total: 5,
        deleted_total: 2,
        queue: vec![WaitRow { object: None, ..wait.clone() }, WaitRow { position: 2, ..wait }],
        ..SpillRow::default()
    };
    row
}

fn lines(store: StoreRow, width: usize) -> String {
    let options = ReportOptions { stats_only: true, width, ..ReportOptions::default() };
    let text = Report::new(store, Vec::new(), NOW).text(&options);
    assert!(text.lines().all(|line| line.width() <= width && harmless(line) == line), "{text}");
    text.split_once("all nodes ---\n").unwrap().1.split_once("\n\n").unwrap().0.to_owned()
}

#[test]
fn external_storage_in_text() {
    let all = "Plasma memory usage 108 MiB, 6 objects, 10.55% full, 8.20% needed
Spilled 320 MiB, 41 objects, avg write throughput 213 MiB/s
Restored 72 MiB, 9 objects, avg read throughput 720 MiB/s
On disk now 19 objects, 150 MiB live, 40 MiB dead, 0 MiB headers, 3 files
Object fetches queued, waiting for available memory.";
    assert_eq!(lines(spilled(), 80), all);
    let never = "Plasma memory usage 108 MiB, 6 objects, 10.55% full, 10.55% needed";
    assert_eq!(lines(store(), 80), never, "an agent that never spilled says nothing of it");
    let mut off = store();
    off.spill.state = "off".into();
    assert_eq!(lines(off, 80), format!("{never}\nSpilling is off."));
    let mut creates = spilled();
    creates.spill.queue.truncate(1);
    assert!(!lines(creates, 80).contains("fetches"), "creates are no fetches");
}

#[test]
fn storage_that_fails_says_why_within_the_width() {
    let mut store = spilled();
    (store.spill.failing, store.spill.queue) = (true, Vec::new());
    store.spill.state = "no space left on \u{1b}[2Jdevice, and 5 objects stay in memory: write of /var/tmp/spill/000003.spill".into();
    let text = lines(store.clone(), 80);
    let (_, state) = text.split_once("files\n").unwrap();
    let wanted = "Spilling fails: no space left on \\u{1b}[2Jdevice, and 5 objects stay in memory:\n  write of /var/tmp/spill/000003.spill";
    assert_eq!(state, wanted);
    store.spill.state = "\u{202e}".repeat(9).into();
    assert!(!lines(store, 80).contains('\u{202e}'));
}

#[test]
fn external_storage_in_the_ledger_and_in_json() {
    let report = Report::new(spilled(), references(), NOW);
    let text = report.text(&ReportOptions { width: 80, ..ReportOptions::default() });
    insta::assert_snapshot!("ledger_with_storage", text.split_once("--- Ledger").unwrap().1);
    let json = report.json();
    insta::assert_snapshot!("storage_json", serde_json::to_string_pretty(&json["store"]["spill"]).unwrap());
    assert_eq!(json["store"]["spilling_bytes"], 4 << 20);
    let figures = json["store"]["spill"].as_object().unwrap();
    assert!(figures.iter().filter(|(name, _)| name.ends_with("_total")).all(|(_, figure)| figure.is_u64()), "{figures:?}");
}
