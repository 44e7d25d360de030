//! When tasks run, where, how often, and what the task table says meanwhile.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use plasmon::{Error, ObjectRef, TaskOptions};
use plasmon_protocol::record::{EventKind, ProcessType, TaskStatus};
use support::{Flag, Viewer, alone, directory, eventually, start};

#[plasmon::remote]
fn fib(number: u32) -> Result<u64, Error> {
    if number < 2 {
        return Ok(number.into());
    }
    let (one, other) = (fib.remote(number - 1)?, fib.remote(number - 2)?);
    Ok(plasmon::get(&one)? + plasmon::get(&other)?)
}

#[plasmon::remote]
fn identity(number: u64) -> u64 {
    number
}

#[plasmon::remote]
fn pid_of() -> u32 {
    std::process::id()
}

/// Tells that it is there, and how many others are; stays until it is let go.
#[plasmon::remote]
fn stay(number: u32) -> u32 {
    let inside = Flag::named(&format!("inside-{number}"));
    inside.raise();
    let most = std::fs::read_dir(directory())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("flag-inside"));
    let most = most.count() as u32;
    Flag::named(&format!("go-{number}")).wait();
    inside.lower();
    most
}

#[plasmon::remote]
fn wait_for(flag: &str) -> u64 {
    Flag::named(flag).wait();
    7
}

#[plasmon::remote]
fn die_once(name: &str) -> u32 {
    let died = Flag::named(name);
    if !died.is_raised() {
        died.say(&std::process::id().to_string());
        support::kill(std::process::id());
    }
    std::process::id()
}

#[plasmon::remote(max_retries = 1)]
fn die() -> u32 {
    support::kill(std::process::id());
    0
}

#[plasmon::remote(max_retries = 0)]
fn leave(code: i32) -> u32 {
    std::process::exit(code)
}

#[plasmon::remote]
fn ask_another(flag: &str) -> Result<u64, Error> {
    plasmon::get(&wait_for.remote(flag)?)
}

#[plasmon::remote]
fn wait_inside(one: ObjectRef<u64>, flag: &str) -> Result<u64, Error> {
    Flag::named(flag).raise();
    plasmon::get(&one)
}

#[test]
fn nested_tasks_do_not_starve_each_other_on_one_cpu() {
    alone(|| {
        start(1.0);
        assert_eq!(plasmon::get(&fib.remote(7).unwrap()), Ok(13));
        let mut viewer = Viewer::here();
        // Those that were needed while others waited have gone again.
        eventually("one worker is left", || viewer.report().store.node.workers <= 1);
        assert_eq!(viewer.report().store.node.used_cpus, 0.0);
        viewer.until_empty();
    });
}

#[test]
fn no_more_tasks_run_at_once_than_there_are_cpus() {
    alone(|| {
        start(3.0);
        let mut viewer = Viewer::here();
        let tasks: Vec<_> = (0..9).map(|number| stay.remote(number).unwrap()).collect();
        let mut most = Vec::new();
        for (number, task) in (0..).zip(&tasks) {
            // As many as fit run; the others wait for a CPU, in their order.
            eventually("the next tasks run", || (number..9.min(number + 3)).all(|next| Flag::named(&format!("inside-{next}")).is_raised()));
            // A task ends a little after its result is there.
            viewer.until("those before have finished", |report| report.store.node.tasks_finished == number);
            let rows = viewer.tasks();
            let of_status = |status| rows.iter().filter(|row| row.status == status).count();
            let running = of_status(TaskStatus::Running) + of_status(TaskStatus::SubmittedToWorker);
            assert_eq!(running, 3.min(9 - number as usize));
            assert_eq!(of_status(TaskStatus::PendingNodeAssignment), 6_usize.saturating_sub(number as usize));
            assert_eq!(of_status(TaskStatus::Finished), number as usize);
            assert_eq!(viewer.report().store.node.used_cpus, running as f64);
            Flag::named(&format!("go-{number}")).raise();
            most.push(plasmon::get(task).unwrap());
        }
        assert!(most.iter().all(|most| *most <= 3), "{most:?}");
        viewer.until("all have finished", |report| report.store.node.tasks_finished == 9);
        drop(tasks);
        viewer.until_empty();
    });
}

#[test]
fn options_change_what_a_call_reserves() {
    alone(|| {
        start(2.0);
        let mut viewer = Viewer::here();
        let whole = wait_for.options(TaskOptions::new().num_cpus(2.0)).remote("go").unwrap();
        viewer.until("it runs", |report| report.store.node.used_cpus == 2.0);
        let half = pid_of.options(TaskOptions::new().num_cpus(0.5)).remote().unwrap();
        let row = viewer.tasks().into_iter().find(|row| row.name.ends_with("pid_of")).unwrap();
        assert_eq!((row.status, row.resources.cpus.number()), (TaskStatus::PendingNodeAssignment, 0.5));
        assert!(matches!(plasmon::get_timeout(&half, Duration::from_millis(1)), Err(Error::GetTimeout { .. })));
        Flag::named("go").raise();
        assert_eq!(plasmon::get(&whole), Ok(7));
        plasmon::get(&half).unwrap();
        // Four halves fit beside each other.
        let quarter = TaskOptions::new().num_cpus(0.5);
        let stays: Vec<_> = (0..4).map(|number| stay.options(quarter).remote(number).unwrap()).collect();
        eventually("four run", || (0..4).all(|number| Flag::named(&format!("inside-{number}")).is_raised()));
        (0..4).for_each(|number| Flag::named(&format!("go-{number}")).raise());
        for one in &stays {
            plasmon::get(one).unwrap();
        }
        // None at all runs beside everything.
        let busy = wait_for.options(TaskOptions::new().num_cpus(2.0)).remote("end").unwrap();
        assert_eq!(plasmon::get(&identity.options(TaskOptions::new().num_cpus(0.0)).remote(5).unwrap()), Ok(5));
        Flag::named("end").raise();
        plasmon::get(&busy).unwrap();
    });
}

#[test]
fn workers_are_used_again() {
    alone(|| {
        start(1.0);
        let pids: BTreeSet<u32> = (0..20).map(|_| plasmon::get(&pid_of.remote().unwrap()).unwrap()).collect();
        assert_eq!(pids.len(), 1, "{pids:?}");
        let mut viewer = Viewer::here();
        eventually("the last task has ended, too", || {
            let row = viewer.processes().into_iter().find(|row| row.process_type == ProcessType::Worker).unwrap();
            assert!(pids.contains(&row.pid));
            (row.tasks_done, &*row.state) == (20, "idle")
        });
    });
}

#[test]
fn the_task_table_follows_a_task_through_its_life() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let gate = wait_for.remote("gate").unwrap();
        let queued = identity.remote(3).unwrap();
        let dependent = identity.remote(&gate).unwrap();
        let mut status = |name: &str, number: usize| {
            let mut rows: Vec<_> = viewer.tasks().into_iter().filter(|row| row.name.ends_with(name)).collect();
            rows.sort_by_key(|row| row.task_id);
            rows[number].clone()
        };
        eventually("the first runs", || status("wait_for", 0).status == TaskStatus::Running);
        let row = status("wait_for", 0);
        assert_eq!((row.submitter_pid, row.attempt, row.resources.cpus.number(), row.blocked), (std::process::id(), 1, 1.0, false));
        assert!(row.started_ms.is_some() && row.ended_ms.is_none() && row.worker_pid.is_some());
        assert_eq!(status("identity", 0).status, TaskStatus::PendingNodeAssignment);
        let row = status("identity", 1);
        assert_eq!((row.status, row.waits_for, row.worker_pid), (TaskStatus::PendingArgsAvail, 1, None));
        Flag::named("gate").raise();
        assert_eq!((plasmon::get(&queued), plasmon::get(&dependent)), (Ok(3), Ok(7)));
        for (name, number) in [("wait_for", 0), ("identity", 0), ("identity", 1)] {
            eventually("all have finished", || status(name, number).status == TaskStatus::Finished);
            assert!(status(name, number).ended_ms.is_some());
        }
    });
}

#[test]
fn a_task_that_waits_gives_its_cpu_back() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let outer = ask_another.remote("go").unwrap();
        let mut rows = Vec::new();
        eventually("the inner task runs", || {
            rows = viewer.tasks();
            rows.iter().any(|row| row.name.ends_with("wait_for") && row.status == TaskStatus::Running)
        });
        let waiting = rows.iter().find(|row| row.name.ends_with("ask_another")).unwrap();
        assert_eq!((waiting.status, waiting.blocked), (TaskStatus::Running, true));
        assert_eq!(viewer.report().store.node.used_cpus, 1.0);
        let states: BTreeSet<String> =
            viewer.processes().iter().filter(|row| row.process_type == ProcessType::Worker).map(|row| row.state.to_string()).collect();
        assert_eq!(states, BTreeSet::from(["blocked".to_owned(), "running".to_owned()]));
        Flag::named("go").raise();
        assert_eq!(plasmon::get(&outer), Ok(7));
        eventually("the CPU is free", || viewer.report().store.node.used_cpus == 0.0);
        drop(outer);
        viewer.until_empty();
    });
}

#[test]
fn a_reference_that_is_passed_inside_is_got_by_the_task() {
    alone(|| {
        start(1.0);
        let gate = wait_for.options(TaskOptions::new().num_cpus(0.0)).remote("gate").unwrap();
        let asking = wait_inside.remote(gate, "asks").unwrap();
        Flag::named("asks").wait();
        Flag::named("gate").raise();
        assert_eq!(plasmon::get(&asking), Ok(7));
        drop(asking);
        Viewer::here().until_empty();
    });
}

#[test]
fn an_object_that_is_there_is_never_late() {
    alone(|| {
        start(1.0);
        let small = identity.remote(5).unwrap();
        assert_eq!(plasmon::get(&small), Ok(5));
        for _ in 0..100 {
            assert_eq!(plasmon::get_timeout(&small, Duration::ZERO), Ok(5));
            let put = plasmon::put(&"there".to_owned()).unwrap();
            assert_eq!(plasmon::get_timeout(&put, Duration::ZERO).unwrap(), "there");
        }
    });
}

#[test]
fn a_killed_worker_costs_an_attempt() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let task = die_once.remote("died").unwrap();
        let survivor = plasmon::get(&task).unwrap();
        let victim: u32 = Flag::named("died").wait().parse().unwrap();
        assert_ne!(survivor, victim);
        let report = viewer.until("the row tells the attempt", |report| report.references.iter().any(|row| row.attempt == Some(2)));
        assert_eq!(report.references.len(), 1);
        viewer.until("it has finished", |report| report.store.node.tasks_finished == 1);
        let row = viewer.tasks().into_iter().find(|row| row.name.ends_with("die_once")).unwrap();
        assert_eq!((row.status, row.attempt, row.worker_pid), (TaskStatus::Finished, 2, Some(survivor)));
        assert_eq!(viewer.events_of(EventKind::TaskRetried), 1);
        let died = viewer.events().into_iter().find(|event| event.kind == EventKind::ProcessDied).unwrap();
        assert_eq!(died.pid, Some(victim));
        assert!(died.message.contains("SIGKILL"), "{}", died.message);
        assert!(!support::is_alive(victim));
        drop(task);
        viewer.until_empty();
    });
}

#[test]
fn a_task_without_retries_left_names_the_signal() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let task = die.remote().unwrap();
        let error = plasmon::get(&task).unwrap_err();
        let Error::WorkerCrashed { name, how, attempt, pid, .. } = &error else { panic!("{error}") };
        assert_eq!((name.as_str(), *attempt), ("scheduling::die", 2));
        assert!(how.contains("SIGKILL"), "{how}");
        assert!(!support::is_alive(*pid));
        let once = die.options(TaskOptions::new().max_retries(0)).remote().unwrap();
        assert!(matches!(plasmon::get(&once).unwrap_err(), Error::WorkerCrashed { attempt: 1, .. }));
        let left = leave.remote(3).unwrap();
        let error = plasmon::get(&left).unwrap_err();
        assert!(matches!(&error, Error::WorkerCrashed { how, .. } if how.contains("exit code 3")), "{error}");
        // Others are not harmed.
        assert_eq!(plasmon::get(&identity.remote(1).unwrap()), Ok(1));
        drop((task, once, left));
        viewer.until_empty();
    });
}

#[test]
fn a_get_ends_at_its_time_limit() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let task = wait_for.remote("go").unwrap();
        for limit in [Duration::ZERO, Duration::from_millis(20)] {
            let error = plasmon::get_timeout(&task, limit).unwrap_err();
            assert_eq!(error, Error::GetTimeout { object: task.id(), after: limit });
        }
        Flag::named("go").raise();
        assert_eq!(plasmon::get_timeout(&task, support::PATIENCE), Ok(7));
        drop(task);
        viewer.until_empty();
    });
}

#[test]
fn wait_sorts_what_is_there_from_what_is_not() {
    alone(|| {
        start(4.0);
        let mut viewer = Viewer::here();
        let tasks: Vec<_> = ["a", "b", "c", "d"].iter().map(|flag| wait_for.remote(*flag).unwrap()).collect();
        let wait = |count, limit| plasmon::wait(&tasks, count, limit).unwrap();
        assert_eq!(wait(0, None), (vec![], tasks.clone()));
        assert_eq!(wait(1, Some(Duration::ZERO)), (vec![], tasks.clone()));
        assert_eq!(wait(4, Some(Duration::from_millis(5))), (vec![], tasks.clone()));
        Flag::named("c").raise();
        assert_eq!(wait(1, None), (vec![tasks[2].clone()], vec![tasks[0].clone(), tasks[1].clone(), tasks[3].clone()]));
        Flag::named("a").raise();
        let (ready, rest) = wait(2, Some(support::PATIENCE));
        assert_eq!((ready, rest), (vec![tasks[0].clone(), tasks[2].clone()], vec![tasks[1].clone(), tasks[3].clone()]));
        let error = plasmon::wait(&tasks, 5, None).unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
        Flag::named("b").raise();
        Flag::named("d").raise();
        assert_eq!(wait(4, None), (tasks.clone(), vec![]));
        assert_eq!(plasmon::wait::<u64>(&[], 0, None).unwrap(), (vec![], vec![]));
        drop(tasks);
        viewer.until_empty();
    });
}

#[test]
fn many_threads_submit_at_once() {
    alone(|| {
        start(2.0);
        let mut viewer = Viewer::here();
        std::thread::scope(|scope| {
            for thread in 0..8_u64 {
                scope.spawn(move || {
                    let tasks: Vec<_> = (0..200).map(|number| identity.remote(thread * 1000 + number).unwrap()).collect();
                    for (number, task) in (0..).zip(&tasks) {
                        assert_eq!(plasmon::get(task), Ok(thread * 1000 + number));
                    }
                });
            }
        });
        viewer.until("all have finished", |report| report.store.node.tasks_finished == 1600);
        viewer.until_empty();
    });
}

#[test]
fn references_are_awaited() {
    alone(|| {
        start(2.0);
        let mut viewer = Viewer::here();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let slow = wait_for.remote("go").unwrap();
            let quick = identity.remote(5).unwrap();
            assert_eq!((&quick).await, Ok(5));
            let numbers = plasmon::put(&[1_u8, 2, 3][..]).unwrap();
            assert_eq!((&numbers).await.unwrap()[..], [1, 2, 3]);
            let both = async {
                let raise = async { Flag::named("go").raise() };
                tokio::join!(&slow, raise).0
            };
            assert_eq!(both.await, Ok(7));
            let failed = die.options(TaskOptions::new().max_retries(0)).remote().unwrap();
            assert_eq!(failed.await.unwrap_err().code(), "worker_crashed");
            // A future that is dropped before its object is there.
            let never = wait_for.remote("never").unwrap();
            let mut get = Box::pin(std::future::IntoFuture::into_future(&never));
            let waker = std::task::Waker::noop();
            assert!(std::future::Future::poll(get.as_mut(), &mut std::task::Context::from_waker(waker)).is_pending());
            drop(get);
            Flag::named("never").raise();
            assert_eq!(never.await, Ok(7));
        });
        viewer.until_empty();
    });
}
