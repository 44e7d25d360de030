//! Quick tasks are sent to workers ahead of their turn. Whatever becomes of the one before them, they run, once, and are never charged
//! for it.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::collections::BTreeMap;
use std::io::Write;

use plasmon::{ActorOptions, Error, ObjectRef};
use rustix::process::{Signal, getpid, kill_process};
use support::{Flag, Viewer, alone, directory, go_on, start};

/// How many tasks there are, and which of them is not quick.
const TASKS: u32 = 400;
const ODD: u32 = 150;
/// One that was probably sent together with that.
const LATER: u32 = ODD + 9;

struct Gate;

#[plasmon::actor]
impl Gate {
    fn new() -> Self {
        Self
    }

    fn hold(&self) {
        Flag::named("later").wait();
    }
}

/// What the odd one does.
fn step(number: u32, odd: &str) -> Result<u32, Error> {
    let mut ran = std::fs::File::options().create(true).append(true).open(directory().join("ran")).unwrap();
    // In one piece, beside those of other workers.
    ran.write_all(format!("{number}\n").as_bytes()).unwrap();
    if number == LATER {
        Flag::named("later").raise();
    }
    if number == ODD {
        Flag::named("odd").say(&std::process::id().to_string());
        match odd {
            "waits for a later one" => drop(Flag::named("later").wait()),
            "gets what a later one makes possible" => plasmon::get(&plasmon::get_actor::<Gate>("gate")?.hold()?)?,
            "dies" => support::kill(std::process::id()),
            "stands still" => kill_process(getpid(), Signal::STOP).unwrap(),
            "waits for the driver" => drop(Flag::named("go").wait()),
            "goes on for ever" => loop {
                std::hint::black_box(number);
            },
            _ => {}
        }
    }
    Ok(number)
}

#[plasmon::remote(max_retries = 0)]
fn quick(number: u32, odd: String) -> Result<u32, Error> {
    step(number, &odd)
}

fn submit(odd: &str) -> Vec<ObjectRef<u32>> {
    (0..TASKS).map(|number| quick.remote(number, odd.to_owned()).unwrap()).collect()
}

/// How often each task began.
fn ran() -> BTreeMap<u32, u32> {
    let mut ran = BTreeMap::new();
    for number in std::fs::read_to_string(directory().join("ran")).unwrap().lines() {
        *ran.entry(number.parse().unwrap()).or_default() += 1;
    }
    ran
}

/// All but these have their values, and began once.
#[track_caller]
fn check(tasks: &[ObjectRef<u32>], but: &[u32]) {
    for (number, task) in (0..).zip(tasks).filter(|(number, _)| !but.contains(number)) {
        assert_eq!(plasmon::get(task).unwrap(), number);
    }
    let twice: Vec<_> = ran().into_iter().filter(|(_, times)| *times > 1).collect();
    assert_eq!(twice, [], "tasks that ran again");
}

#[test]
fn a_task_that_takes_long_holds_up_nobody() {
    alone(|| {
        start(2.0);
        check(&submit("waits for a later one"), &[]);
    });
}

#[test]
fn a_task_that_waits_for_a_value_holds_up_nobody() {
    alone(|| {
        start(1.0);
        let _gate = Gate::options(ActorOptions::new().name("gate")).remote().unwrap();
        check(&submit("gets what a later one makes possible"), &[]);
    });
}

#[test]
fn a_task_that_ends_its_worker_takes_nobody_with_it() {
    alone(|| {
        start(1.0);
        let tasks = submit("dies");
        assert_eq!(plasmon::get(&tasks[ODD as usize]).unwrap_err().code(), "worker_crashed");
        check(&tasks, &[ODD]);
        let mut viewer = Viewer::here();
        let attempts = viewer.tasks().into_iter().map(|row| row.attempt).max();
        assert_eq!(attempts, Some(1), "what had not begun is not charged");
    });
}

#[test]
fn a_worker_that_stands_still_keeps_nothing_back() {
    alone(|| {
        start(2.0);
        let tasks = submit("stands still");
        let pid = Flag::named("odd").wait().parse().unwrap();
        check(&tasks, &[ODD]);
        support::eventually("it stands still", || {
            std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") T "))
        });
        go_on(pid);
        check(&tasks, &[]);
    });
}

#[test]
fn a_task_that_is_cancelled_by_force_takes_nobody_with_it() {
    alone(|| {
        start(1.0);
        let tasks = submit("goes on for ever");
        Flag::named("odd").wait();
        plasmon::cancel(&tasks[ODD as usize], true).unwrap();
        assert_eq!(plasmon::get(&tasks[ODD as usize]).unwrap_err().code(), "task_cancelled");
        check(&tasks, &[ODD]);
    });
}

#[test]
fn a_task_that_is_cancelled_before_its_turn_leaves_the_others_alone() {
    alone(|| {
        start(1.0);
        let tasks = submit("waits for the driver");
        Flag::named("odd").wait();
        plasmon::cancel(&tasks[LATER as usize], true).unwrap();
        plasmon::cancel(&tasks[LATER as usize + 1], false).unwrap();
        // They are gone before anybody could come to them.
        for cancelled in [LATER, LATER + 1] {
            assert_eq!(plasmon::get(&tasks[cancelled as usize]).unwrap_err().code(), "task_cancelled");
        }
        Flag::named("go").raise();
        check(&tasks, &[LATER, LATER + 1]);
        assert!(!ran().contains_key(&LATER) && !ran().contains_key(&(LATER + 1)));
    });
}
