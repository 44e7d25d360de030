//! Each kind of wait, told with what it waits for and who holds that.

use plasmon_protocol::explain::Subject;
use plasmon_protocol::id::TaskKey;
use plasmon_protocol::resources::{Amount, Demand};

use crate::node::{MIB, NODE, Node, demand};

fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn a_task_that_waits_for_memory_names_how_much_and_who_holds_it() {
    let mut node = Node::new();
    let mut driver = node.driver(100);
    let (first, _) = node.submit(&mut driver, "app::load", demand(1, 800 * MIB), &[]);
    let (second, result) = node.submit(&mut driver, "app::sort", demand(1, 400 * MIB), &[]);
    has(&node.task(first), &["app::load".rsplit("::").next().unwrap(), "a worker that is being started"]);
    node.connect(200);
    node.begins(first);
    node.passes(12_000);
    let text = node.task(second);
    has(&text, &["task sort", "176 MiB memory", "task load in process 200 holds 800 MiB memory", "for 12 s"]);
    has(&text, &["└ lacks 176 MiB of memory · 800 MiB of 1 GiB reserved", "held by process 200 (load)"]);
    assert!(!text.contains("deadlock"), "{text}");
    // The object that it makes leads to it, and so does a driver that gets it.
    node.gets(&mut driver, result);
    has(&node.text(Subject::Object(result.on(NODE))), &["made by task sort", "lacks 176 MiB"]);
    has(&node.text(Subject::Named("pid:100".into())), &["process 100 (driver) gets object", "made by task sort"]);
}

#[test]
fn a_task_that_can_never_run_says_what_there_is() {
    let mut node = Node::new();
    let mut driver = node.driver(100);
    let (large, _) = node.submit(&mut driver, "huge", demand(5, 0), &[]);
    has(&node.task(large), &["task huge", "asks for 5 CPU, the node has 2 CPU: it never runs here", "of 2 reserved"]);
    let custom = vec![("tpu", Amount::ONE)];
    let (unknown, _) = node.submit(&mut driver, "odd", Demand { custom, ..Demand::default() }, &[]);
    has(&node.task(unknown), &["asks for 1 tpu, the node has 0 tpu: it never runs here"]);
}

#[test]
fn a_task_that_waits_for_another_shows_the_whole_chain() {
    let mut node = Node::new();
    let mut driver = node.driver(100);
    let (first, one) = node.submit(&mut driver, "read", demand(1, 0), &[]);
    let (second, two) = node.submit(&mut driver, "parse", demand(1, 0), &[one]);
    let (third, _) = node.submit(&mut driver, "merge", demand(1, 0), &[two]);
    let worker = {
        node.connect(200);
        node.begins(first)
    };
    let text = node.task(third);
    has(
        &text,
        &["waits for the result of parse", "└ needs object", "made by task parse", "made by task read", "runs in process 200 (read)"],
    );
    node.ends(&worker, first);
    let text = node.task(second);
    has(&text, &["runs"]);
    node.passes(36_000);
    let text = node.task(first);
    has(&text, &["task read", "has finished in process 200 after 0.00 s; that was 36 s ago", "· FINISHED · for 36 s"]);
    assert!(!text.contains("waits"), "{text}");
}

#[test]
fn a_call_waits_for_the_calls_before_it_and_an_actor_for_its_constructor() {
    let mut node = Node::new();
    let mut driver = node.driver(100);
    let cache = node.actor(&mut driver, "app::Cache", "cache", demand(1, 600 * MIB));
    let (early, _) = node.call(&mut driver, cache, "app::Cache::get");
    has(&node.task(early), &["waits for actor Cache 'cache'", "waits for constructor Cache::new"]);
    has(&node.text(Subject::Named("cache".into())), &["takes no calls yet"]);
    node.connect(200);
    let actor = node.lives(TaskKey { process: driver.process, number: 1 });
    let _ = node.begins(early);
    let (late, _) = node.call(&mut driver, cache, "app::Cache::put");
    has(&node.task(late), &["comes after call Cache::get", "runs in process 200 (actor Cache 'cache')"]);
    let (hungry, _) = node.submit(&mut driver, "load", demand(1, 700 * MIB), &[]);
    has(&node.task(hungry), &["actor Cache 'cache' in process 200 holds 600 MiB memory"]);
    node.ends(&actor, early);
    has(&node.text(Subject::Actor(cache.on(NODE).into())), &["actor Cache 'cache'"]);
}

#[test]
fn a_create_without_room_names_who_pins_the_bytes() {
    let mut node = Node::new();
    let (mut holder, mut other) = (node.driver(100), node.driver(101));
    let pinned = node.puts_and_pins(&mut holder, 50 * MIB);
    assert!(!node.wants_room(&mut other, 40 * MIB));
    assert!(!node.wants_room(&mut holder, 30 * MIB));
    let text = node.text(Subject::Process(other.process));
    has(&text, &["needs room for 40 MiB", "first in the queue", "waits for 50 MiB pinned by process 100 (driver)"]);
    has(&node.text(Subject::Process(holder.process)), &["room for 30 MiB", "comes after room for 40 MiB"]);
    has(&node.text(Subject::Object(pinned.on(NODE))), &["is there: nothing has to wait for it", "held by process 100"]);
}

#[test]
fn everything_that_waits_is_told_once_for_each_kind_the_longest_first() {
    let mut node = Node::new();
    let mut driver = node.driver(100);
    assert_eq!(node.explain(Subject::Everything).unwrap().answers, []);
    for _ in 0..2 {
        node.submit(&mut driver, "spin", demand(1, 0), &[]);
    }
    node.connect(200);
    node.passes(1_000);
    let (oldest, key) = node.submit(&mut driver, "wide", demand(2, 0), &[]);
    node.passes(1_000);
    for _ in 0..500 {
        node.submit(&mut driver, "late", demand(1, 0), &[key]);
    }
    let all = node.explain(Subject::Everything).unwrap();
    assert_eq!(&*all.answers[0].node, format!("task:{}", oldest.on(NODE)));
    let late = all.answers.iter().find(|answer| answer.verdict.contains("task late")).unwrap();
    assert_eq!((all.answers.len(), late.others), (2, 499));
}

#[test]
fn things_are_found_by_what_people_call_them() {
    let mut node = Node::new();
    let mut driver = node.driver(100);
    let (task, result) = node.submit(&mut driver, "f", demand(1, 0), &[]);
    node.actor(&mut driver, "Counter", "counter", demand(0, 0));
    let (hex, object) = (task.on(NODE).hex(), result.on(NODE).hex());
    let found = |name: &str| {
        let explanation = node.explain(Subject::Named(name.into()));
        explanation.map_or(Vec::new(), |told| told.answers.iter().map(|answer| answer.node.to_string()).collect())
    };
    let task = format!("task:{hex}");
    assert_eq!(found(&format!("task:{hex}")), std::slice::from_ref(&task));
    assert_eq!(found(&format!("object:{object}")), [format!("object:{object}")]);
    assert_eq!(
        found(&format!("task:{}", &hex[..30])),
        [format!("task:{}2", &hex[..31]), task.clone()].into_iter().rev().collect::<Vec<_>>()
    );
    assert_eq!(found(&format!("task:…{}", &hex[24..])), std::slice::from_ref(&task));
    assert_eq!(found(&format!("task:{}…{}", &hex[..4], &hex[24..])), std::slice::from_ref(&task));
    assert_eq!(found(&format!("task:{}", &hex[22..])), [task]);
    assert_eq!(found("counter").len(), 1);
    assert_eq!(found("pid:100"), [format!("process:{}", driver.process)]);
    for nothing in ["", "…", "zz", "0", "pid:", "pid:0", "pid:99", "task:", "room:1", "task:ffffffff", "ffff…", &"a".repeat(5000), "ü…é"]
    {
        assert_eq!(found(nothing), Vec::<String>::new(), "{nothing}");
    }
}

#[test]
fn a_large_graph_is_bounded_and_says_what_it_leaves_out() {
    let mut node = Node::new();
    let mut driver = node.driver(100);
    let (_, gate) = node.submit(&mut driver, "gate", demand(2, 0), &[]);
    node.connect(200);
    let mut results = vec![gate];
    for _ in 0..400 {
        let last = *results.last().unwrap();
        let (_, result) = node.submit(&mut driver, "link", demand(1, 0), &[last]);
        results.push(result);
    }
    let (wide, _) = node.submit(&mut driver, "wide", demand(1, 0), &results[1..]);
    let told = node.explain(Subject::Task(wide.on(NODE))).unwrap();
    assert_eq!(told.nodes[0].more, 392);
    let end = node.explain(Subject::Object(results[400].on(NODE))).unwrap();
    assert_eq!(end.nodes.len(), plasmon_protocol::explain::MAX_NODES);
    assert!(end.nodes.iter().map(|node| node.more).sum::<u64>() > 0 && end.text(0).contains("and 1 more"));
    assert_eq!(told.cycles, []);
}
