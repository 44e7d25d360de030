//! Tasks and calls are cancelled, whatever they wait for or do.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::time::Duration;

use plasmon::{ActorOptions, Error, ObjectRef, TaskOptions};
use plasmon_protocol::record::{EventKind, TaskStatus};
use support::{Flag, Viewer, alone, eventually, start};

#[plasmon::remote]
fn waits_for(flag: &str) -> u32 {
    Flag::named(&format!("{flag}-began")).say(&std::process::id().to_string());
    Flag::named(flag).wait();
    7
}

#[plasmon::remote]
fn plus_one(number: u32) -> u32 {
    Flag::named("ran").raise();
    number + 1
}

#[plasmon::remote]
fn asks_whether_it_is_wanted() -> u32 {
    Flag::named("asks").raise();
    support::eventually("it is cancelled", plasmon::is_cancelled);
    Flag::named("was-told").raise();
    1
}

#[plasmon::remote]
fn gets(inner: Vec<ObjectRef<u32>>) -> Result<u32, Error> {
    Flag::named("gets").raise();
    let error = plasmon::get(&inner[0]).unwrap_err();
    Flag::named("got").say(error.code());
    Err(error)
}

#[plasmon::remote]
fn waits_in_a_thread(inner: Vec<ObjectRef<u32>>) -> Result<u32, Error> {
    Flag::named("gets").raise();
    let error = std::thread::spawn(move || plasmon::wait(&inner, 1, None).unwrap_err()).join().unwrap();
    Flag::named("got").say(error.code());
    Err(error)
}

#[plasmon::remote]
fn submits(flag: &str) -> Result<u32, Error> {
    let child = waits_for.options(TaskOptions::new().num_cpus(0.0)).remote(flag)?;
    plasmon::get(&child)
}

struct Gate;

#[plasmon::actor]
impl Gate {
    fn new() -> Self {
        Self
    }

    fn wait(&self, flag: &str) -> u32 {
        Flag::named(&format!("{flag}-began")).raise();
        Flag::named(flag).wait();
        1
    }

    fn wait_until_unwanted(&self) -> u32 {
        Flag::named("asks").raise();
        support::eventually("it is cancelled", plasmon::is_cancelled);
        Flag::named("was-told").raise();
        2
    }

    fn three(&self) -> u32 {
        3
    }

    /// Submits a task, and another one when it was told that it is not wanted.
    fn submits(&self, flag: &str) -> Result<u32, Error> {
        let none = TaskOptions::new().num_cpus(0.0);
        let child = waits_for.options(none).remote(flag)?;
        plasmon::get(&child).or_else(|_| plasmon::get(&waits_for.options(none).remote("late")?))
    }
}

/// It was cancelled by this process; the error says where.
#[track_caller]
fn cancelled<T>(object: &ObjectRef<T>)
where
    T: plasmon::Value + ?Sized,
    T::Output: std::fmt::Debug,
{
    let error = plasmon::get(object).unwrap_err();
    let Error::TaskCancelled { cause, .. } = &error else { panic!("{error}") };
    assert!(cause.contains(&std::process::id().to_string()) && cause.contains("cancelling.rs:"), "{cause}");
}

#[test]
fn what_waits_is_cancelled_at_once() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let running = waits_for.remote("gate").unwrap();
        Flag::named("gate-began").wait();
        // For a CPU, for its argument, for more than there is.
        let ready = plus_one.remote(1).unwrap();
        let pending = plus_one.remote(&running).unwrap();
        let dependent = plus_one.remote(&pending).unwrap();
        let infeasible = plus_one.options(TaskOptions::new().num_gpus(1000.0)).remote(1).unwrap();
        for task in [&ready, &pending, &infeasible] {
            plasmon::cancel(task, false).unwrap();
            cancelled(task);
            // Once more changes nothing.
            plasmon::cancel(task, true).unwrap();
            cancelled(task);
        }
        // What needed it fails with it.
        cancelled(&dependent);
        Flag::named("gate").raise();
        assert_eq!(plasmon::get(&running).unwrap(), 7);
        // One that has ended, which it does a little after its result is there, is not concerned.
        viewer.until("it has ended", |report| report.store.node.tasks_finished == 1);
        plasmon::cancel(&running, true).unwrap();
        plasmon::cancel(&plasmon::put(&5_u32).unwrap(), true).unwrap();
        assert_eq!(plasmon::get(&running).unwrap(), 7);
        assert!(!Flag::named("ran").is_raised());
        assert_eq!(viewer.events_of(EventKind::TaskCancelled), 4);
        assert_eq!(viewer.events_of(EventKind::TaskRetried), 0);
        drop((running, ready, pending, dependent, infeasible));
        viewer.until_empty();
    });
}

#[test]
fn a_running_task_is_told_and_its_results_fail_at_once() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let task = asks_whether_it_is_wanted.remote().unwrap();
        Flag::named("asks").wait();
        assert!(!Flag::named("was-told").is_raised() && !plasmon::is_cancelled());
        plasmon::cancel(&task, false).unwrap();
        cancelled(&task);
        Flag::named("was-told").wait();
        // The worker goes on, with the next task that is wanted.
        let next = plus_one.remote(1).unwrap();
        assert_eq!(plasmon::get(&next).unwrap(), 2);
        assert_eq!(viewer.events_of(EventKind::ProcessDied), 0);
        drop((task, next));
        viewer.until_empty();
    });
}

#[test]
fn the_waits_of_a_cancelled_task_end() {
    alone(|| {
        start(1.0);
        let never = waits_for.options(TaskOptions::new().num_gpus(1000.0)).remote("never").unwrap();
        for in_a_thread in [false, true] {
            let task = match in_a_thread {
                false => gets.remote(vec![never.clone()]).unwrap(),
                true => waits_in_a_thread.remote(vec![never.clone()]).unwrap(),
            };
            Flag::named("gets").wait();
            plasmon::cancel(&task, false).unwrap();
            cancelled(&task);
            assert_eq!(Flag::named("got").wait(), "task_cancelled");
            assert!(Flag::named("got").lower() && Flag::named("gets").lower());
        }
        drop(never);
        Viewer::here().until_empty();
    });
}

#[test]
fn force_ends_the_worker() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let task = waits_for.remote("never").unwrap();
        let worker: u32 = Flag::named("never-began").wait().parse().unwrap();
        plasmon::cancel(&task, true).unwrap();
        cancelled(&task);
        eventually("its worker is gone", || !support::is_alive(worker));
        // That is no death, and costs no attempt; the CPU is free.
        assert_eq!(plasmon::get(&plus_one.remote(1).unwrap()).unwrap(), 2);
        assert_eq!((viewer.events_of(EventKind::ProcessDied), viewer.events_of(EventKind::TaskRetried)), (0, 0));
        // One that was told, and does not listen, can still be ended.
        assert!(Flag::named("never-began").lower());
        let deaf = waits_for.remote("never").unwrap();
        let worker: u32 = Flag::named("never-began").wait().parse().unwrap();
        plasmon::cancel(&deaf, false).unwrap();
        cancelled(&deaf);
        assert!(support::is_alive(worker));
        plasmon::cancel(&deaf, true).unwrap();
        eventually("its worker is gone", || !support::is_alive(worker));
        drop((task, deaf));
        viewer.until_empty();
    });
}

#[test]
fn what_a_cancelled_task_has_submitted_is_cancelled_too() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let parent = submits.remote("never").unwrap();
        let worker: u32 = Flag::named("never-began").wait().parse().unwrap();
        plasmon::cancel(&parent, true).unwrap();
        cancelled(&parent);
        eventually("the child's worker is gone", || !support::is_alive(worker));
        let child = viewer.tasks().into_iter().find(|row| row.name.ends_with("waits_for")).unwrap();
        assert_eq!(child.status, TaskStatus::Failed);
        assert!(child.error.as_deref().is_some_and(|error| error.contains("submits")), "{child:?}");
        drop(parent);
        viewer.until_empty();
    });
}

#[test]
fn calls_are_cancelled_and_their_actor_goes_on() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let gate = Gate::options(ActorOptions::new().max_restarts(2)).remote().unwrap();
        let first = gate.wait("gate").unwrap();
        Flag::named("gate-began").wait();
        let (second, third) = (gate.three().unwrap(), gate.three().unwrap());
        plasmon::cancel(&second, false).unwrap();
        cancelled(&second);
        Flag::named("gate").raise();
        assert_eq!((plasmon::get(&first).unwrap(), plasmon::get(&third).unwrap()), (1, 3));
        // A running one is told; force does not end its actor.
        let told = gate.wait_until_unwanted().unwrap();
        Flag::named("asks").wait();
        plasmon::cancel(&told, true).unwrap();
        cancelled(&told);
        Flag::named("was-told").wait();
        assert_eq!(plasmon::get(&gate.three().unwrap()).unwrap(), 3);
        assert!(viewer.events().iter().any(|event| event.message.contains("cancelled without force")));
        assert_eq!(viewer.actors()[0].restarts, 0);
        drop((first, second, third, told));
        let (ready, _) = plasmon::wait(&[gate.wait("later").unwrap()], 1, Some(Duration::from_millis(20))).unwrap();
        assert!(ready.is_empty());
        Flag::named("later").raise();
        drop(gate);
        viewer.until_empty();
    });
}

#[test]
fn what_a_call_has_submitted_is_cancelled_with_it_whatever_runs_beside_it() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let gate = Gate::options(ActorOptions::new().max_concurrency(3)).remote().unwrap();
        let (unwanted, wanted) = (gate.submits("never").unwrap(), gate.submits("gate").unwrap());
        let worker: u32 = Flag::named("never-began").wait().parse().unwrap();
        Flag::named("gate-began").wait();
        plasmon::cancel(&unwanted, true).unwrap();
        cancelled(&unwanted);
        eventually("the child's worker is gone", || !support::is_alive(worker));
        // What it submits from then on is not begun at all.
        let children = |viewer: &mut Viewer, status| {
            let rows = viewer.tasks().into_iter().filter(|row| row.name.ends_with("waits_for") && row.status == status);
            rows.filter(|row| row.error.as_deref().is_none_or(|error| error.contains("submits"))).count()
        };
        eventually("two of its children have failed", || children(&mut viewer, TaskStatus::Failed) == 2);
        assert!(!Flag::named("late-began").is_raised());
        assert_eq!(children(&mut viewer, TaskStatus::Running), 1);
        Flag::named("gate").raise();
        assert_eq!(plasmon::get(&wanted).unwrap(), 7);
        drop((unwanted, wanted, gate));
        viewer.until_empty();
    });
}
