//! Reports that were cut down.

use super::*;

#[test]
fn a_filtered_report_says_so_and_keeps_its_width() {
    let whole = report();
    let filtered = |text: &str| report().filtered(&text.parse().unwrap());
    assert_eq!(filtered(" "), whole, "an empty filter changes nothing");
    let pinned = filtered("type:pinned");
    assert!(pinned.references().iter().all(|row| row.reference_type == ReferenceType::PinnedInMemory) && !pinned.references().is_empty());
    assert!(pinned.totals().references < whole.totals().references);
    assert_eq!(pinned.json()["filter"], serde_json::json!({ "text": "type:pinned", "of": whole.totals() }));
    assert_eq!(whole.json().get("filter"), None);
    // An agent that is asked for what matches sends no more than that, and the store's totals.
    let mut known = report();
    known.store.totals = whole.totals();
    let sent = Report::new(known.store, pinned.references().to_vec(), known.now_ms).partial().filtered(&"type:pinned".parse().unwrap());
    assert_eq!(sent.json()["filter"], pinned.json()["filter"]);
    assert_eq!(sent.references(), pinned.references());
    let text = pinned.text(&ReportOptions::default());
    let of = whole.totals();
    let line = format!(
        "Filtered by: type:pinned, of {} references to {} unique objects, {}.0 B",
        of.references, of.unique_objects, of.unique_bytes
    );
    assert!(text.lines().any(|found| found == line), "{text}");
    assert!(text.lines().any(|found| found.starts_with("filtered: ")), "{text}");
    for text in [format!("type:pinned | {}", "x大".repeat(200)), "\"\u{1b}[2J\"".to_owned()] {
        let page = filtered(&text).text(&ReportOptions { width: 80, ..ReportOptions::default() });
        assert!(page.lines().all(|line| line.width() <= 80) && !page.contains('\u{1b}'), "{page}");
    }
    assert!(filtered("\"\u{1b}[2J\"").text(&ReportOptions::default()).contains("No reference matches.\n"));
}
