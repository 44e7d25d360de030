//! Who waits does not wait for ever: what is kept for whom, and who is given up.

use plasmon_protocol::id::{ObjectKey, TaskKey};
use plasmon_protocol::record::{EventKind, TaskStatus};
use plasmon_protocol::resources::{Amount, Demand};

use crate::node::{Client, MIB, Node, demand};

/// Tasks that could pass another one without end.
const MANY: usize = 100;
/// So many pass before what it lacks is kept for it.
const PATIENCE: usize = 32;

fn gpus(parts: u64) -> Demand<'static> {
    Demand { gpus: Amount::of_parts(parts).unwrap(), ..Demand::default() }
}

fn submit_many(node: &mut Node, driver: &mut Client, demand: &Demand<'static>) {
    for _ in 0..MANY {
        node.submit(driver, "small", demand.clone(), &[]);
    }
}

#[test]
fn what_an_impatient_task_needs_is_kept_while_its_worker_starts() {
    let mut node = Node::new();
    let (mut many, mut other) = (node.driver(100), node.driver(101));
    submit_many(&mut node, &mut many, &demand(1, 0));
    node.connect(200);
    let (wide, _) = node.submit(&mut other, "wide", demand(2, 0), &[]);
    let ran = node.runs_all(MANY);
    // Those that ran at once, and those that passed it.
    assert!((PATIENCE..=PATIENCE + 2).contains(&ran), "{ran} ran before it");
    assert!(node.task(wide).contains("a worker that is being started"), "{}", node.task(wide));
    node.connect(300);
    assert_eq!(node.sent(), Some(wide));
    node.runs(wide);
    assert_eq!(ran + node.runs_all(MANY), MANY);
}

#[test]
fn nothing_is_kept_for_want_of_what_a_stopped_process_holds() {
    let mut node = Node::new();
    let (mut many, mut other) = (node.driver(100), node.driver(101));
    let (held, _) = node.submit(&mut other, "held", demand(1, 0), &[]);
    node.connect(200);
    assert_eq!(node.sent(), Some(held));
    let worker = node.begins(held);
    node.stand_still(&[worker.process]);
    let (wide, _) = node.submit(&mut other, "wide", demand(2, 0), &[]);
    submit_many(&mut node, &mut many, &demand(1, 0));
    node.connect(300);
    assert_eq!(node.runs_all(MANY / 2), MANY / 2, "the other CPU is kept for nobody");
    node.stand_still(&[]);
    // What runs now is the last that passes.
    assert!(node.runs_all(MANY) <= 1);
    node.ends(&worker, held);
    node.connect(400);
    assert_eq!(node.sent(), Some(wide));
}

#[test]
fn nothing_is_kept_for_want_of_gpus_that_actors_hold_in_pieces() {
    let mut node = Node::offering(2);
    let (mut many, mut other) = (node.driver(100), node.driver(101));
    for parts in [5000, 7500] {
        node.actor(&mut other, "app::Model", "", gpus(parts));
        node.connect(200 + parts as u32);
        let constructor = node.sent().unwrap();
        node.lives(constructor);
    }
    // There are 0.75 free, and no GPU has so much.
    let (large, _) = node.submit(&mut other, "large", gpus(7500), &[]);
    submit_many(&mut node, &mut many, &Demand { cpus: Amount::ONE, ..gpus(2500) });
    let mut ran = 0;
    for round in 0..MANY {
        node.connect(300 + 10 * round as u32);
        ran += node.runs_all(MANY);
    }
    assert_eq!(ran, MANY);
    assert_eq!(node.status(large), TaskStatus::PendingNodeAssignment);
}

#[test]
fn draining_waits_neither_for_what_can_never_run_nor_forgets_what_was_cancelled() {
    let mut node = Node::new();
    let mut driver = node.driver(100);
    let (infeasible, _) = node.submit(&mut driver, "huge", demand(5, 0), &[]);
    let (cancelled, result) = node.submit(&mut driver, "stubborn", demand(1, 0), &[]);
    node.connect(200);
    let mut worker = node.begins(cancelled);
    node.cancels(&driver, result);
    assert_eq!((node.status(infeasible), node.status(cancelled)), (TaskStatus::Infeasible, TaskStatus::Failed));
    node.drains();
    assert!(node.error(infeasible).contains("5 CPU"), "{}", node.error(infeasible));
    assert!(!node.core.is_idle(), "its worker is still busy with it");
    // What a running task submits is taken, but not to wait for ever.
    let (late, _) = node.submit(&mut worker, "huge", demand(6, 0), &[]);
    assert_eq!(node.status(late), TaskStatus::Failed);
    let (refused, _) = node.submit(&mut driver, "small", demand(1, 0), &[]);
    assert_eq!(node.status(refused), TaskStatus::Failed);
    node.ends(&worker, cancelled);
    assert!(node.core.is_idle());
}

/// A store that is nearly full with what somebody looks at, and a task whose argument is in external storage.
fn crowded() -> (Node, Client, ObjectKey, TaskKey) {
    let mut node = Node::spilling();
    let mut driver = node.driver(100);
    let away = node.puts(&mut driver, 30 * MIB);
    let pinned = node.puts_and_pins(&mut driver, 50 * MIB);
    let (task, _) = node.submit(&mut driver, "late", demand(1, 0), &[away]);
    assert_eq!(node.status(task), TaskStatus::PendingArgsFetch);
    (node, driver, pinned, task)
}

#[test]
fn a_task_that_nobody_can_make_room_for_fails_and_is_told_of_once() {
    let (mut node, _, _, task) = crowded();
    node.lives_for(10_000);
    assert_eq!(node.status(task), TaskStatus::Failed);
    assert!(node.error(task).contains("30"), "{}", node.error(task));
    assert_eq!(node.events(EventKind::StoreFull).len(), 1);
}

#[test]
fn a_task_waits_for_room_while_anybody_runs_on() {
    let (mut node, mut driver, pinned, task) = crowded();
    let (running, _) = node.submit(&mut driver, "long", demand(1, 0), &[]);
    node.connect(200);
    assert_eq!(node.sent(), Some(running));
    let worker = node.begins(running);
    node.lives_for(60_000);
    assert!([TaskStatus::PendingArgsFetch, TaskStatus::PendingObjStoreMemAvail].contains(&node.status(task)), "{}", node.status(task));
    assert_eq!(node.events(EventKind::StoreFull).len(), 1);
    node.drops_pin(&driver, pinned);
    node.lives_for(5_000);
    node.ends(&worker, running);
    assert_eq!(node.sent(), Some(task));
}

#[test]
fn a_result_that_is_lost_before_its_task_ends_is_made_again() {
    let mut node = Node::spilling();
    let mut driver = node.driver(100);
    let (task, result) = node.submit_to_retry(&mut driver, "make", demand(1, 0), &[], 2);
    node.connect(200);
    assert_eq!(node.sent(), Some(task));
    let mut worker = node.begins(task);
    node.stores_result(&mut worker, task, 30 * MIB);
    let pinned = node.puts_and_pins(&mut driver, 50 * MIB);
    node.damages(true);
    node.gets(&mut driver, result);
    node.drops_pin(&driver, pinned);
    node.lives_for(500);
    node.damages(false);
    assert_eq!(node.status(task), TaskStatus::Running);
    node.finishes(&worker, task);
    assert_eq!(node.events(EventKind::TaskRebuilt).len(), 1);
    assert_eq!(node.sent(), Some(task), "{}", node.error(task));
    node.runs(task);
    assert_eq!(node.status(task), TaskStatus::Finished);
}

#[test]
fn the_only_worker_that_sees_a_gpu_is_kept_among_idle_ones() {
    let mut node = Node::offering(1);
    let mut driver = node.driver(100);
    let (first, _) = node.submit(&mut driver, "infer", gpus(10_000), &[]);
    node.connect(200);
    assert_eq!(node.sent(), Some(first));
    node.runs(first);
    for _ in 0..2 {
        node.submit(&mut driver, "small", demand(1, 0), &[]);
    }
    node.connect(300);
    let plain: Vec<(TaskKey, Client)> = std::iter::from_fn(|| node.sent().map(|task| (task, node.begins(task)))).collect();
    assert_eq!(plain.len(), 2);
    plain.iter().for_each(|(task, worker)| node.ends(worker, *task));
    // Three are idle, and two CPUs are not worth more than two of them.
    let (second, _) = node.submit(&mut driver, "infer", gpus(10_000), &[]);
    assert_eq!(node.sent(), Some(second), "no other worker has to be started");
}

#[test]
fn a_retry_waits_for_its_time_though_its_argument_was_made_again() {
    let mut node = Node::spilling();
    let mut driver = node.driver(100);
    let (maker, made) = node.submit_to_retry(&mut driver, "make", demand(1, 0), &[], 2);
    node.connect(200);
    assert_eq!(node.sent(), Some(maker));
    let mut worker = node.begins(maker);
    node.stores_result(&mut worker, maker, 30 * MIB);
    node.finishes(&worker, maker);
    let (task, _) = node.submit_to_retry(&mut driver, "unlucky", demand(1, 0), &[made], 20);
    for attempt in 1..=7 {
        // The waits so far: 50 ms to 800 ms.
        node.lives_for(1000);
        node.connect(300 + attempt);
        assert_eq!(node.sent(), Some(task));
        let worker = node.begins(task);
        node.crashes(&worker);
    }
    // It is tried again in 1.6 s. Meanwhile its argument is lost, and made again.
    let pinned = node.puts_and_pins(&mut driver, 50 * MIB);
    node.damages(true);
    node.gets(&mut driver, made);
    node.drops_pin(&driver, pinned);
    node.lives_for(300);
    node.damages(false);
    assert_eq!(node.events(EventKind::TaskRebuilt).len(), 1);
    node.connect(400);
    assert_eq!(node.sent(), Some(maker));
    assert_eq!(node.status(task), TaskStatus::PendingArgsAvail);
    node.runs(maker);
    assert_eq!((node.sent(), node.status(task)), (None, TaskStatus::PendingNodeAssignment));
    node.lives_for(1500);
    assert_eq!(node.sent(), Some(task));
}

#[test]
fn a_task_that_is_cancelled_again_before_it_began_does_not_end_its_worker() {
    for first_by_force in [true, false] {
        let mut node = Node::new();
        let mut driver = node.driver(100);
        let (task, result) = node.submit(&mut driver, "late", demand(1, 0), &[]);
        node.connect(200);
        assert_eq!(node.sent(), Some(task));
        let worker = node.worker_of(task);
        if first_by_force {
            node.cancels_by_force(&driver, result)
        } else {
            node.cancels(&driver, result)
        }
        node.cancels_by_force(&driver, result);
        node.cancels_by_force(&driver, result);
        assert!(node.error(task).contains("cancelled"), "{}", node.error(task));
        assert_eq!(node.killed(), [], "it has not begun");
        // It had not, as is known by now: the worker serves the next task.
        node.is_heard_out(worker);
        node.declines(worker, task);
        let (next, _) = node.submit(&mut driver, "next", demand(1, 0), &[]);
        assert_eq!((node.sent(), node.worker_of(next)), (Some(next), worker));
        node.runs(next);
        assert_eq!(node.killed(), []);
    }
}

#[test]
fn a_task_that_began_before_it_was_cancelled_again_ends_with_its_worker() {
    let mut node = Node::new();
    let mut driver = node.driver(100);
    let (task, result) = node.submit(&mut driver, "late", demand(1, 0), &[]);
    node.connect(200);
    assert_eq!(node.sent(), Some(task));
    node.cancels_by_force(&driver, result);
    // The word that it began was on its way.
    let worker = node.begins(task);
    node.is_heard_out(worker.process);
    assert_eq!(node.killed(), [worker.process]);
}
