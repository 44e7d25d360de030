use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use unicode_width::UnicodeWidthStr;

use super::*;
use crate::error::Error;
use crate::id::{JobId, NodeId, ObjectId, ObjectKey, ProcessId};
use crate::record::{Ledger, NodeRow, PostMortemRow, ProcessType, ReferenceType, Site, SiteKind, SpillRow, TaskStatus};

mod filtered;
mod storage;

const NOW: u64 = 1_700_000_000_000;
const NODE: NodeId = NodeId([0x7f, 0x3a, 0x11, 0x02, 0x9b, 0xc4, 0x00, 0x01]);
const WIDTHS: [usize; 3] = [80, 120, 200];

fn id(slot: u32) -> ObjectId {
    ObjectKey { slot, generation: 3 }.on(NODE)
}

fn site(kind: SiteKind, function: &str, file: &str, line: u32) -> Arc<Site> {
    Arc::new(Site { kind, function: function.to_owned(), file: file.to_owned(), line, ..Site::default() })
}

fn row(slot: u32, pid: u32, reference_type: ReferenceType, size: Option<u64>, call_site: Arc<Site>) -> ReferenceRow {
    ReferenceRow {
        object_id: id(slot),
        process: ProcessId(pid),
        pid,
        process_type: if pid == 4711 { ProcessType::Driver } else { ProcessType::Worker },
        node: NODE,
        node_ip: Arc::from("127.0.0.1"),
        reference_type,
        size_bytes: size,
        created_site: site(SiteKind::PutObject, "demo::remember", "src/demo.rs", 142),
        call_site,
        creator_pid: 4711,
        since_ms: NOW - 1000 * u64::from(slot),
        local: 1,
        ..ReferenceRow::default()
    }
}

fn store() -> StoreRow {
    let ledger = Ledger {
        capacity_bytes: 1 << 30,
        pinned_bytes: 8_388_862,
        argument_bytes: 0,
        referenced_bytes: 100 << 20,
        padding_bytes: 42,
        slack_bytes: 262_144,
        free_bytes: (1 << 30) - 8_388_862 - (100 << 20) - 42 - 262_144,
        unbacked_bytes: 512 << 20,
        inlined_bytes: 640,
        inlined_objects: 10,
        lineage_bytes: 8_192,
        lineage_tasks: 12,
        ..Ledger::default()
    };
    let node = NodeRow { node: NODE, node_ip: Arc::from("127.0.0.1"), ..NodeRow::default() };
    let spill = SpillRow { primary_bytes: ledger.used_bytes(), ..SpillRow::default() };
    StoreRow { node, ledger, objects: 6, spill, ..StoreRow::default() }
}

/// Rows of every shape that a real program makes, in no order.
fn references() -> Vec<ReferenceRow> {
    let put = site(SiteKind::PutObject, "demo::remember", "src/demo.rs", 142);
    let get = site(SiteKind::GetObject, "demo::work::{{closure}}", "src/demo.rs", 97);
    let call = site(SiteKind::TaskCall, "demo::stages::partition_by_region", "src/stages/partition.rs", 88);
    let mut pending = row(4, 4711, ReferenceType::UsedByPendingTask, None, call.clone());
    (pending.status, pending.attempt, pending.submitted) = (Some(TaskStatus::PendingNodeAssignment), Some(1), 1);
    let mut made = row(3, 4711, ReferenceType::LocalReference, Some(100 << 20), call);
    (made.status, made.attempt) = (Some(TaskStatus::Finished), Some(2));
    vec![
        row(1, 4711, ReferenceType::LocalReference, Some(8_388_862), put.clone()),
        row(5, 4711, ReferenceType::CapturedInObject, Some(640), put),
        pending,
        row(1, 4713, ReferenceType::PinnedInMemory, Some(8_388_862), get),
        row(6, 4713, ReferenceType::LocalReference, Some(640), Arc::default()),
        made,
    ]
}

fn report() -> Report {
    Report::new(store(), references(), NOW)
}

/// Two workers: one that was killed with more than is kept of it, and one that crashed with nothing.
fn dead() -> Vec<PostMortem> {
    let get = site(SiteKind::GetObject, "demo::work::{{closure}}", "src/demo.rs", 97);
    let mut pinned = row(1, 4714, ReferenceType::PinnedInMemory, Some(8_388_862), get);
    pinned.pinned = 2;
    let killed = PostMortemRow {
        process: ProcessId(4714),
        pid: 4714,
        process_type: ProcessType::Worker,
        job: JobId(1),
        name: "demo".into(),
        how: "signal 9 SIGKILL".into(),
        signal: Some(9),
        task: Some("demo::stages::sort_region".into()),
        heap_bytes: 36 << 20,
        references: 120,
        held_bytes: 8_400_000,
        since_ms: NOW - 60_000,
        died_ms: NOW - 21_400,
        ..PostMortemRow::default()
    };
    let crashed = PostMortemRow {
        process: ProcessId(4715),
        pid: 4715,
        how: "exit code 101".into(),
        signal: None,
        exit_code: Some(101),
        task: None,
        references: 0,
        held_bytes: 0,
        died_ms: NOW - 3_000,
        ..killed.clone()
    };
    vec![
        PostMortem { process: killed, references: vec![pinned], ..PostMortem::default() },
        PostMortem { process: crashed, ..PostMortem::default() },
    ]
}

#[test]
fn the_dead_stand_behind_everything_that_lives_and_in_no_total() {
    let with = report().with_post_mortem(dead());
    assert_eq!(with.totals(), report().totals());
    for width in WIDTHS {
        let options = ReportOptions { width, ..ReportOptions::default() };
        let text = with.text(&options);
        assert!(text.lines().all(|line| line.width() <= width), "{text}");
        let (alive, rest) = text.split_once("\n--- Post-mortem: ").unwrap();
        let (dead, stats) = rest.split_once("\n\n--- Aggregate").unwrap();
        let without = report().text(&options);
        let (alive_alone, stats_alone) = without.split_once("\n--- Aggregate").unwrap();
        assert_eq!((alive, stats), (alive_alone, stats_alone), "nothing else changes");
        insta::assert_snapshot!(format!("post_mortem_{width}"), dead);
    }
    let only = ReportOptions { stats_only: true, ..ReportOptions::default() };
    assert_eq!(with.text(&only), report().text(&only));
    let most = ReportOptions { limit: Some(0), ..ReportOptions::default() };
    assert!(with.text(&most).contains("… 120 more rows not shown"), "{}", with.text(&most));
}

#[test]
fn the_dead_in_json() {
    let json = report().with_post_mortem(dead()).json();
    assert_eq!(json["references"], report().json()["references"]);
    assert_eq!(json["totals"], report().json()["totals"]);
    let [crashed, killed] = &json["post_mortem"].as_array().unwrap()[..] else { panic!("{json}") };
    assert_eq!((&crashed["pid"], &crashed["signal"], &crashed["exit_code"]), (&4715.into(), &serde_json::Value::Null, &101.into()));
    assert_eq!((&killed["reference_count"], &killed["dead_ms"], &killed["lived_ms"]), (&120.into(), &21_400.into(), &38_600.into()));
    let names = |row: &serde_json::Value| row.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&killed["references"][0]), names(&json["references"][0]), "rows of the dead are rows");
    insta::assert_snapshot!("post_mortem_json", serde_json::to_string_pretty(&json["post_mortem"]).unwrap());
}

#[test]
fn what_the_dead_were_called_reaches_no_terminal_raw() {
    let mut dead = dead();
    dead[0].process.how = "dropped: \u{1b}]0;x\u{7}".repeat(40).into();
    dead[0].process.task = Some("a::\u{202e}b".repeat(100).into());
    let report = report().with_post_mortem(dead);
    let text = report.text(&ReportOptions { width: 80, ..ReportOptions::default() });
    assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{text:?}");
    assert!(text.lines().all(|line| line.width() <= 80), "{text}");
}

#[test]
fn every_grouping_at_every_width() {
    for group_by in GroupBy::ALL {
        for width in WIDTHS {
            let text = report().text(&ReportOptions { group_by: *group_by, width, ..ReportOptions::default() });
            insta::assert_snapshot!(format!("{group_by}_{width}"), text);
        }
    }
}

#[test]
fn every_other_option() {
    let options = ReportOptions { width: 120, ..ReportOptions::default() };
    let snapshots = [
        ("without_a_terminal", ReportOptions::default()),
        ("no_format", ReportOptions { no_format: true, ..options.clone() }),
        ("stats_only", ReportOptions { stats_only: true, ..options.clone() }),
        ("limit_one_in_auto_units", ReportOptions { limit: Some(1), units: Units::Auto, group_by: GroupBy::Pid, ..options }),
    ];
    for (name, options) in snapshots {
        insta::assert_snapshot!(name, report().text(&options));
    }
    insta::assert_snapshot!("empty", Report::new(StoreRow::default(), Vec::new(), 0).text(&ReportOptions::default()));
}

#[test]
fn json() {
    let json = report().json();
    insta::assert_snapshot!("json", serde_json::to_string_pretty(&json).unwrap());
    assert_eq!(serde_json::to_value(report()).unwrap(), json);
    assert_eq!(json["references"][0]["object_id"], id(3).hex());
    let empty = Report::new(StoreRow::default(), Vec::new(), 0).json();
    assert_eq!((&empty["references"], &empty["post_mortem"]), (&serde_json::json!([]), &serde_json::json!([])));
}

/// The slots of the rows as the text has them, whole ids being the last value of a row.
fn order(sort_by: SortBy, reverse: bool) -> Vec<(u32, u32)> {
    let text = report().text(&ReportOptions { sort_by, reverse, no_format: true, ..ReportOptions::default() });
    let values = |line: &str| {
        let values: Vec<_> = line.split(" | ").collect();
        Some((values.get(1)?.parse().ok()?, values.last()?.parse::<ObjectId>().ok()?.key().slot))
    };
    text.lines().filter_map(values).collect()
}

#[test]
fn rows_are_in_the_order_asked_for() {
    let largest = [(4711, 3), (4711, 1), (4713, 1), (4711, 5), (4713, 6), (4711, 4)];
    let smallest = [(4711, 5), (4713, 6), (4711, 1), (4713, 1), (4711, 3), (4711, 4)];
    assert_eq!(order(SortBy::ObjectSize, false), largest, "an unknown size comes last");
    assert_eq!(order(SortBy::ObjectSize, true), smallest, "either way");
    assert_eq!(order(SortBy::Pid, false), [(4713, 1), (4713, 6), (4711, 1), (4711, 3), (4711, 4), (4711, 5)]);
    assert_eq!(order(SortBy::Pid, true), [(4711, 1), (4711, 3), (4711, 4), (4711, 5), (4713, 1), (4713, 6)]);
    assert_eq!(order(SortBy::Age, false), [(4713, 6), (4711, 5), (4711, 4), (4711, 3), (4711, 1), (4713, 1)]);
    assert_eq!(order(SortBy::Age, true), [(4711, 1), (4713, 1), (4711, 3), (4711, 4), (4711, 5), (4713, 6)]);
    assert_eq!(order(SortBy::ReferenceType, false), [(4713, 1), (4711, 4), (4711, 1), (4711, 3), (4713, 6), (4711, 5)]);
    assert_eq!(order(SortBy::ReferenceType, true), [(4711, 5), (4711, 1), (4711, 3), (4713, 6), (4711, 4), (4713, 1)]);
}

#[test]
fn choices_are_read_in_any_case_and_named_when_unknown() {
    assert_eq!("stack_trace".parse::<GroupBy>().unwrap(), GroupBy::StackTrace);
    assert_eq!("Object-Size".parse::<SortBy>().unwrap(), SortBy::ObjectSize);
    assert_eq!("auto".parse::<Units>().unwrap(), Units::Auto);
    let Error::Invalid { what, value, cause } = "nodes".parse::<GroupBy>().unwrap_err() else { panic!("not an invalid value") };
    assert_eq!((what.as_str(), value.as_str()), ("--group-by", "nodes"));
    assert_eq!(cause, "choose one of NODE_ADDRESS, STACK_TRACE, PID, REFERENCE_TYPE");
    for text in ["", "size", "kib"] {
        assert!(text.parse::<Units>().is_err() && text.parse::<SortBy>().is_err(), "{text}");
    }
}

#[test]
fn units_are_powers_of_a_thousand() {
    for (units, bytes, text) in [
        (Units::B, 8_388_862, "8388862.0 B"),
        (Units::KB, 8_388_862, "8388.862 KB"),
        (Units::MB, 8_388_862, "8.389 MB"),
        (Units::GB, 8_388_862, "0.008 GB"),
        (Units::GB, 999_999_999, "1.000 GB"),
        (Units::KB, u64::MAX, "18446744073709551.615 KB"),
        (Units::Auto, 8_388_862, "8.00 MiB"),
        (Units::MB, 0, "0.000 MB"),
    ] {
        assert_eq!(units.show(bytes), text);
    }
}

#[test]
fn figures_beyond_all_bounds_do_not_overflow() {
    let huge = || row(1, u32::MAX, ReferenceType::LocalReference, Some(u64::MAX), Arc::default());
    let ledger = Ledger { pinned_bytes: u64::MAX, referenced_bytes: u64::MAX, unattributed_bytes: i64::MIN, ..Ledger::default() };
    let report = Report::new(StoreRow { ledger, ..StoreRow::default() }, vec![huge(), huge()], 0);
    assert!(report.text(&ReportOptions { width: 0, ..ReportOptions::default() }).contains("LOCAL_REFERENCE"));
    assert_eq!(report.json()["totals"]["unique_bytes"], u64::MAX);
}

fn any_site() -> impl Strategy<Value = Arc<Site>> {
    let kind = prop::sample::select(SiteKind::ALL);
    let hostile = prop_oneof!["[a-z_:大ß]{0,40}", ".{0,12}"];
    (kind, hostile.clone(), hostile, any::<u32>()).prop_map(|(kind, function, file, line)| site(kind, &function, &file, line))
}

fn any_row() -> impl Strategy<Value = ReferenceRow> {
    let status = prop::option::of(prop::sample::select(TaskStatus::ALL));
    let size = prop::option::of(0_u64..1 << 40);
    let kind = prop::sample::select(ReferenceType::ALL);
    let ip = prop::sample::select(vec!["127.0.0.1", "192.168.100.200", ""]);
    (0_u32..6, 1_u32..5, kind, size, any_site(), status, prop::option::of(0_u32..200), ip).prop_map(
        |(slot, pid, kind, size, call_site, status, attempt, ip)| ReferenceRow {
            status,
            attempt,
            node_ip: Arc::from(ip),
            ..row(slot, 4_194_300 + pid, kind, size, call_site)
        },
    )
}

fn any_options() -> impl Strategy<Value = ReportOptions> {
    let choices = (prop::sample::select(GroupBy::ALL), prop::sample::select(SortBy::ALL), prop::sample::select(Units::ALL));
    (choices, any::<(bool, bool)>(), prop::option::of(0_usize..4), 80_usize..220).prop_map(
        |((group_by, sort_by, units), (reverse, no_format), limit, width)| ReportOptions {
            group_by,
            sort_by,
            units,
            reverse,
            no_format,
            limit,
            width,
            stats_only: false,
        },
    )
}

/// A group's key as its heading has it.
fn key(group_by: GroupBy, row: &ReferenceRow) -> String {
    match group_by {
        GroupBy::NodeAddress => {
            if row.node_ip.is_empty() {
                "-".to_owned()
            } else {
                row.node_ip.to_string()
            }
        }
        GroupBy::StackTrace => unreachable!("headings of sites are shortened"),
        GroupBy::Pid => row.pid.to_string(),
        GroupBy::ReferenceType => row.reference_type.to_string(),
    }
}

proptest! {
    #[test]
    fn any_report_keeps_its_width_and_is_harmless(rows in prop::collection::vec(any_row(), 0..12), options in any_options()) {
        let shown = rows.len();
        let text = Report::new(store(), rows, NOW).text(&options);
        for line in text.lines() {
            prop_assert!(options.no_format || line.width() <= options.width, "{} > {}: {line}", line.width(), options.width);
            prop_assert_eq!(harmless(line), line);
            prop_assert_eq!(line.trim_end_matches(' '), line);
        }
        if options.limit.is_none() {
            let kinds = ReferenceType::ALL.iter().map(|kind| kind.word());
            let rows = text.lines().filter(|line| !line.starts_with("---") && kinds.clone().any(|kind| line.contains(kind))).count();
            prop_assert_eq!(rows, shown, "a row has one line, and its type is never shortened\n{}", text);
        }
    }

    #[test]
    fn sums_agree_with_adding_up_by_hand(
        rows in prop::collection::vec(any_row(), 1..20),
        group_by in prop::sample::select(vec![GroupBy::NodeAddress, GroupBy::Pid, GroupBy::ReferenceType]),
        limit in prop::option::of(0_usize..3),
    ) {
        // As in life, an object has one size; in rows of pending ones none is known.
        let sizes: BTreeMap<ObjectId, u64> = rows.iter().filter_map(|row| Some((row.object_id, row.size_bytes?))).collect();
        let rows: Vec<_> = rows.into_iter()
            .map(|row| ReferenceRow { size_bytes: row.size_bytes.and(sizes.get(&row.object_id).copied()), ..row })
            .collect();
        let report = Report::new(store(), rows.clone(), NOW);
        let text = report.text(&ReportOptions { group_by, limit, no_format: true, ..ReportOptions::default() });
        let known = |rows: &[&ReferenceRow]| -> (usize, u64) {
            let objects: BTreeSet<_> = rows.iter().map(|row| row.object_id).collect();
            let bytes = objects.iter().filter(|id| rows.iter().any(|row| row.object_id == **id && row.size_bytes.is_some()));
            (objects.len(), bytes.map(|id| sizes[id]).sum())
        };
        let mut keys: Vec<_> = rows.iter().map(|row| key(group_by, row)).collect();
        keys.sort();
        keys.dedup();
        for wanted in &keys {
            let group: Vec<_> = rows.iter().filter(|row| key(group_by, row) == *wanted).collect();
            let bytes = |rows: &[&ReferenceRow]| -> u64 { rows.iter().filter_map(|row| row.size_bytes).sum() };
            let of = |kind: ReferenceType| {
                let rows: Vec<_> = group.iter().copied().filter(|row| row.reference_type == kind).collect();
                format!("{}, ({}.0 B)", rows.len(), bytes(&rows))
            };
            let (unique, unique_bytes) = known(&group);
            let expected = [
                format!("{}.0 B", bytes(&group)),
                of(ReferenceType::LocalReference),
                of(ReferenceType::PinnedInMemory),
                of(ReferenceType::UsedByPendingTask),
                of(ReferenceType::CapturedInObject),
                of(ReferenceType::ActorHandle),
                format!("{unique}, ({unique_bytes}.0 B)"),
            ].join(" | ");
            let heading = format!("--- Summary for {}: {wanted} ---", group_by.phrase());
            let line = text.lines().skip_while(|line| *line != heading).nth(2);
            prop_assert_eq!(line, Some(expected.as_str()), "{}", text);
        }
        prop_assert_eq!(text.matches("--- Summary for").count(), keys.len());
        let (unique_objects, unique_bytes) = known(&rows.iter().collect::<Vec<_>>());
        let totals = ReferenceTotals { references: rows.len() as u64, unique_objects: unique_objects as u64, unique_bytes };
        prop_assert_eq!(report.totals(), totals);
        prop_assert_eq!(&report.json()["totals"], &serde_json::to_value(totals).unwrap());
    }
}
