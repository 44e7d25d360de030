//! `plasmon memory --filter` and `--fail-on` with a program that holds, and one that leaks: this one.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod system;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use system::place::{Ended, Place, until};

/// A few of one size, for as long as they are kept.
fn keep(count: usize) -> Vec<plasmon::ObjectRef<[u8]>> {
    (0..count).map(|_| plasmon::put(&[7_u8; 100_000][..]).unwrap()).collect()
}

/// More and more, until it is told to stop, or nobody can wait for it any more.
fn leak(stop: &AtomicBool) {
    let mut kept = Vec::new();
    while !stop.load(Ordering::Relaxed) && kept.len() < 20_000 {
        kept.push(plasmon::put(&[7_u8; 10_000][..]).unwrap());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn filters_cut_the_report_down_and_conditions_fail() {
    let place = Place::new();
    plasmon::Options::new().num_cpus(1.0).object_store_memory(256 << 20).temp_dir(place.path()).init().unwrap();
    let kept = keep(3);
    let memory = |arguments: &[&str]| place.run([&["memory"], arguments].concat());
    let json = |arguments: &[&str]| -> Value { serde_json::from_str(&memory(&[&["--json"], arguments].concat()).fine()).unwrap() };

    // The report: what matches, and that it is not all.
    let all = json(&[]);
    let (count, bytes) = (all["totals"]["references"].as_u64().unwrap(), all["totals"]["unique_bytes"].as_u64().unwrap());
    assert_eq!((count, all.get("filter")), (3, None), "{all:#}");
    let one = kept[0].hex();
    let found = json(&["--filter", &format!("object:{one} size>99k")]);
    assert_eq!((found["totals"]["references"].as_u64(), found["references"].as_array().unwrap().len()), (Some(1), 1));
    assert_eq!(found["references"][0]["object_id"].as_str(), Some(&*one));
    assert_eq!(found["filter"], serde_json::json!({ "text": format!("object:{one} size>99k"), "of": all["totals"] }));
    // A site's function is told a little after its line.
    until("the function's name", || json(&[])["references"][0]["call_site"].as_str().unwrap().contains("keep").then_some(()));
    let text = memory(&["--filter", "site:tui/tests/filter.rs KEEP !size<1k"]).fine();
    let filtered = format!("Filtered by: site:tui/tests/filter.rs KEEP !size<1k, of 3 references to 3 unique objects, {bytes}.0 B");
    assert!(text.lines().any(|line| line == filtered), "{text}");
    assert!(text.lines().any(|line| line == format!("filtered: 3 references to 3 unique objects, {bytes}.0 B")), "{text}");
    let none = memory(&["--filter", "state:spilled"]).fine();
    assert!(none.contains("No reference matches.\n") && none.contains("unattributed 0 B"), "{none}");

    // Conditions: the report all the same, and which references, how many, how many bytes.
    let whole = |ended: &Ended| ended.stdout.contains("unattributed 0 B\n");
    let held = memory(&["--fail-on", "state:spilled", "--fail-on", "site:filter.rs size>99k"]);
    assert_eq!((held.code, whole(&held)), (Some(1), true), "{held:?}");
    let first = held.stderr.lines().next().unwrap();
    assert!(first.starts_with("fail-on: 3 references to 3 unique objects, ") && first.contains(&format!("({bytes} B)")), "{first}");
    assert_eq!(held.stderr.lines().count(), 4, "{held:?}");
    for object in &kept {
        assert!(held.stderr.contains(&object.hex()), "{held:?}");
    }
    assert!(whole(&Ended { stdout: memory(&["--fail-on", "size>1g", "--filter", "nothing"]).fine(), ..held }));

    // What cannot be read is shown where it is, before anything else is done.
    for (arguments, line, caret) in
        [(["--filter", "keep sise>1k"], "  keep sise>1k", "       ^"), (["--fail-on", "growth hedl>1k"], "         hedl>1k", "         ^")]
    {
        let ended = memory(&arguments);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
        let lines: Vec<&str> = ended.stderr.lines().collect();
        assert!(lines[0].starts_with("error: no column '"), "{ended:?}");
        assert_eq!((lines[1], lines[2]), (line, caret), "{ended:?}");
        assert!(lines[3].starts_with("hint: did you mean '"), "{ended:?}");
    }
    memory(&["--fail-on", " "]).refused(&["--fail-on", "empty"]);
    memory(&["--growth-time", "1ms"]).refused(&["--growth-time", "1ms"]);

    // What only holds does not grow; what leaks does, and is named.
    assert!(whole(&Ended { stdout: memory(&["--fail-on", "growth", "--growth-time", "400ms"]).fine(), code: None, stderr: String::new() }));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| leak(&stop));
        let grown = until("growth", || Some(memory(&["--fail-on", "growth", "--growth-time", "1s"])).filter(|ended| ended.code == Some(1)));
        stop.store(true, Ordering::Relaxed);
        assert!(grown.stderr.starts_with("fail-on: 1 site grew all through 1s, by "), "{grown:?}");
        assert!(grown.stderr.contains("(put object) leak filter.rs:"), "{grown:?}");
    });
    drop(kept);
    plasmon::shutdown().unwrap();
}
