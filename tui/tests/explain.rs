//! Real processes that wait for each other: `plasmon explain` names the ring, and the agent tells of it by itself.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod system;

use serde_json::Value;
use system::place::{Place, until};

const MIB: u64 = 1 << 20;

#[plasmon::remote(num_cpus = 0, memory = 60 << 20)]
fn child() -> u32 {
    1
}

/// Holds what its child needs, and waits for it.
#[plasmon::remote(num_cpus = 1, memory = 60 << 20)]
fn parent() -> u32 {
    let one = child.remote().unwrap();
    plasmon::get(&one).unwrap_or(0)
}

#[test]
fn a_ring_of_real_processes_is_named() {
    let place = Place::new();
    let options = plasmon::Options::new().num_cpus(1.0).memory(100 * MIB).object_store_memory(8 * MIB);
    options.temp_dir(place.path()).init().unwrap();
    // Nothing waits yet.
    assert_eq!(place.run(["explain"]).fine(), "nothing waits: every task runs, and every get has its value\n");

    let result = parent.remote().unwrap();
    let told = until("a ring that is named", || {
        let text = place.run(["explain"]).fine();
        text.starts_with("deadlock: ").then_some(text)
    });
    let first = told.lines().next().unwrap();
    for part in ["memory", "held by process", "(parent)", "gets object", "made by", "task child"] {
        assert!(first.contains(part), "{part:?} is not in {first}");
    }
    for part in ["lacks 20 MiB of memory · 60 MiB of 100 MiB reserved", "blocked, reserves 60 MiB memory", "it will not go on by itself"] {
        assert!(told.contains(part), "{part:?} is not in\n{told}");
    }

    // From any of those in it, by whatever they are called.
    let hex = result.hex();
    let pid = first.split_once("held by process ").unwrap().1.split(' ').next().unwrap();
    for name in [format!("object:{hex}"), format!("object:…{}", &hex[22..]), format!("pid:{pid}")] {
        let text = place.run(["explain", &name]).fine();
        assert!(text.starts_with("deadlock: "), "{name}: {text}");
    }
    let json: Value = serde_json::from_str(&place.run(["explain", &format!("object:{hex}"), "--json"]).fine()).unwrap();
    let nodes = json["nodes"].as_array().unwrap();
    let cycle = json["cycles"][0]["nodes"].as_array().unwrap();
    assert!(
        cycle.len() >= 4
            && cycle.iter().all(|id| nodes.iter().any(|node| node["id"] == *id && (node["stuck"] == true || node["kind"] == "resource"))),
        "{json:#}"
    );

    // What is not there is refused, with a way on.
    for name in ["nobody", "ffffffffffffffff", "pid:1"] {
        place.run(["explain", name]).refused(&["there is no task, object, actor or process", name]);
    }
    drop(result);
    plasmon::shutdown().unwrap();
}
