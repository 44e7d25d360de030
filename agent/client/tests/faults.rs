//! Processes that end in any way: what others see, and what is left.

mod support;

use std::time::Duration;

use plasmon::{Error, ObjectRef, TaskOptions};
use plasmon_protocol::record::ReferenceType::{CapturedInObject, LocalReference, PinnedInMemory, UsedByPendingTask};
use plasmon_protocol::record::{EventKind, ProcessType};
use support::{
    Child, Flag, Viewer, alone, attach, check, content, descriptors_of_agent, directory, eventually, is_alive, kill, publish, role,
    sessions, start, worker_pids,
};

type Numbers = ObjectRef<[u64]>;

#[plasmon::remote]
fn wait_for(flag: &str) -> u32 {
    Flag::named(flag).wait();
    std::process::id()
}

#[plasmon::remote]
fn pid_of() -> u32 {
    std::process::id()
}

/// Holds references of every kind until it is let go.
#[plasmon::remote(max_retries = 0)]
fn hoard(argument: &[u64], inside: Vec<Numbers>, flag: &str) -> Result<u64, Error> {
    let own = plasmon::put(&content(1, 1000)[..])?;
    let view = plasmon::get(&plasmon::put(&content(2, 1000)[..])?)?;
    let outer = plasmon::put(&vec![plasmon::put(&content(3, 1000)[..])?])?;
    let draft = plasmon::create::<u64>(10_000)?;
    Flag::named("hoards").say(&std::process::id().to_string());
    Flag::named(flag).wait();
    drop((own, outer));
    Ok(argument[0] + view[0] + draft[0] + inside.len() as u64)
}

/// An object inside an object, both made here.
#[plasmon::remote]
fn nest() -> Result<(u32, ObjectRef<Vec<Numbers>>), Error> {
    let inner = plasmon::put(&content(5, 1000)[..])?;
    Ok((std::process::id(), plasmon::put(&vec![inner])?))
}

#[plasmon::remote(max_retries = 0)]
fn submit_and_wait(argument: Numbers, flag: &str) -> Result<u32, Error> {
    let inner = read_slowly.remote(argument, flag)?;
    Flag::named("submitted").say(&std::process::id().to_string());
    plasmon::get(&inner)
}

#[plasmon::remote]
fn read_slowly(numbers: &[u64], flag: &str) -> Result<u32, String> {
    Flag::named("reads").raise();
    Flag::named(flag).wait();
    check(numbers).map(|()| 3)
}

fn forever() -> ! {
    loop {
        std::thread::park();
    }
}

#[test]
fn a_killed_driver_takes_its_rows_and_workers_along() {
    alone(|| {
        if role().is_some() {
            attach();
            let put = plasmon::put(&content(1, 5000)[..]).unwrap();
            let view = plasmon::get(&plasmon::put(&content(2, 5000)[..]).unwrap()).unwrap();
            let captured = plasmon::put(&vec![put.clone()]).unwrap();
            let draft = plasmon::create::<u64>(50_000).unwrap();
            let task = hoard.remote(&put, vec![put.clone()], "never").unwrap();
            let queued: Vec<_> = (0..20).map(|_| wait_for.remote("never").unwrap()).collect();
            Flag::named("hoards").wait();
            Flag::named("ready").raise();
            let _held = (put, view, captured, draft, task, queued);
            forever();
        }
        let info = start(1.0);
        publish(&info);
        let mut viewer = Viewer::here();
        let mine = plasmon::put(&content(7, 5000)[..]).unwrap();
        let held = descriptors_of_agent(&info);
        let child = Child::start("driver");
        Flag::named("ready").wait();
        let victim = child.pid();
        let report = viewer.until("its rows are there", |report| report.references.len() == 1 + 24 + 5);
        assert_eq!(report.references.iter().filter(|row| row.pid == victim).count(), 24);
        let workers = worker_pids(&mut viewer);
        assert!(!workers.is_empty());
        child.kill();
        let report = viewer.until("only ours are left", |report| report.references.len() == 1);
        assert_eq!((report.references[0].pid, report.references[0].object_id), (std::process::id(), mine.id()));
        eventually("its workers are gone", || workers.iter().all(|pid| !is_alive(*pid)));
        eventually("its processes are gone", || viewer.processes().len() == 2);
        let events = viewer.events();
        let ended = events.iter().find(|event| event.kind == EventKind::DriverEnded).unwrap();
        assert_eq!(ended.pid, Some(victim));
        assert!(ended.message.contains("without shutdown"), "{}", ended.message);
        // Nobody else has noticed; nothing of it is left in the agent.
        check(&plasmon::get(&mine).unwrap()).unwrap();
        assert_eq!(viewer.report().store.node.tasks_pending, 0);
        assert_eq!(viewer.report().store.node.used_cpus, 0.0);
        eventually("its descriptors are closed", || descriptors_of_agent(&info) <= held);
        plasmon::get(&pid_of.remote().unwrap()).unwrap();
        drop(mine);
        viewer.until_empty();
    });
}

#[test]
fn a_driver_that_ends_well_leaves_nothing_either() {
    alone(|| {
        if role().is_some() {
            attach();
            let put = plasmon::put(&content(1, 5000)[..]).unwrap();
            let view = plasmon::get(&put).unwrap();
            assert_ne!(plasmon::get(&pid_of.remote().unwrap()), Ok(0));
            Flag::named("ready").raise();
            Flag::named("end").wait();
            plasmon::shutdown().unwrap();
            // A view outlives the connection, and keeps what it shows.
            check(&view).unwrap();
            Flag::named("shut").raise();
            Flag::named("drop").wait();
            check(&view).unwrap();
            drop(view);
            Flag::named("dropped").raise();
            Flag::named("exit").wait();
            return;
        }
        let info = start(1.0);
        publish(&info);
        let mut viewer = Viewer::here();
        let child = Child::start("driver");
        Flag::named("ready").wait();
        viewer.until("a row", |report| report.references.len() == 1);
        Flag::named("end").raise();
        Flag::named("shut").wait();
        // What is put now is put elsewhere.
        for seed in 0..100 {
            drop(plasmon::put(&content(seed, 5000)[..]).unwrap());
        }
        Flag::named("drop").raise();
        Flag::named("dropped").wait();
        viewer.until_empty();
        eventually("it is gone for the agent", || viewer.processes().len() == 2);
        let ended = viewer.events().into_iter().find(|event| event.kind == EventKind::DriverEnded).unwrap();
        assert!(!ended.message.contains("without shutdown"), "{}", ended.message);
        Flag::named("exit").raise();
        child.succeed();
    });
}

#[test]
fn a_killed_workers_rows_vanish_and_what_others_hold_stays() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let put = plasmon::put(&content(9, 1000)[..]).unwrap();
        let task = hoard.remote(&put, vec![put.clone()], "never").unwrap();
        let worker: u32 = Flag::named("hoards").wait().parse().unwrap();
        let report = viewer.until("the hoard", |report| report.references.iter().filter(|row| row.pid == worker).count() == 5);
        let of_type = |kind| report.references.iter().filter(|row| row.pid == worker && row.reference_type == kind).count();
        assert_eq!([PinnedInMemory, LocalReference, CapturedInObject].map(of_type), [2, 2, 1]);
        kill(worker);
        let error = plasmon::get(&task).unwrap_err();
        assert!(matches!(&error, Error::WorkerCrashed { pid, how, .. } if *pid == worker && how.contains("SIGKILL")), "{error}");
        let report = viewer.until("the worker's rows are gone", |report| report.references.len() == 2);
        assert_eq!(report.store.totals.unique_bytes, 8000);
        assert_eq!(report.ledger().creating_bytes, 0);
        check(&plasmon::get(&put).unwrap()).unwrap();
        drop((put, task));
        viewer.until_empty();
    });
}

#[test]
fn objects_outlive_the_worker_that_made_them() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let (worker, outer) = plasmon::get(&nest.remote().unwrap()).unwrap();
        viewer.until("worker holds the inner one as captured", |report| {
            report.references.len() == 2 && report.references.iter().any(|row| row.pid == worker && row.reference_type == CapturedInObject)
        });
        kill(worker);
        let report = viewer.until("the agent holds it", |report| {
            report.references.iter().any(|row| row.process_type == ProcessType::Agent && row.reference_type == CapturedInObject)
        });
        assert_eq!(report.references.len(), 2);
        eventually("the worker's place is free", || !is_alive(worker));
        // Memory that others write now is not that of the dead one's objects.
        let others: Vec<_> = (0..200).map(|seed| plasmon::put(&content(seed, 900)[..]).unwrap()).collect();
        let again = plasmon::get(&nest.remote().unwrap()).unwrap();
        for outer in [&outer, &again.1] {
            let inner = plasmon::get(outer).unwrap();
            check(&plasmon::get(&inner[0]).unwrap()).unwrap();
        }
        others.iter().for_each(|other| check(&plasmon::get(other).unwrap()).unwrap());
        drop((outer, again, others));
        viewer.until_empty();
    });
}

#[test]
fn a_task_goes_on_when_the_worker_that_submitted_it_is_killed() {
    alone(|| {
        start(2.0);
        let mut viewer = Viewer::here();
        let put = plasmon::put(&content(4, 1000)[..]).unwrap();
        let id = put.id();
        let outer = submit_and_wait.remote(put, "go").unwrap();
        let worker: u32 = Flag::named("submitted").wait().parse().unwrap();
        Flag::named("reads").wait();
        kill(worker);
        assert!(matches!(plasmon::get(&outer), Err(Error::WorkerCrashed { .. })));
        drop(outer);
        // Its argument is held in the agent's name, and by its reader.
        let report = viewer.until("the agent and the reader hold it", |report| {
            let holds = |kind, process| {
                report.references.iter().any(|row| row.object_id == id && (row.reference_type, row.process_type) == (kind, process))
            };
            report.references.len() == 2 && holds(UsedByPendingTask, ProcessType::Agent) && holds(PinnedInMemory, ProcessType::Worker)
        });
        assert_eq!(report.store.node.tasks_running, 1);
        Flag::named("go").raise();
        viewer.until_empty();
        viewer.until("the reader has finished", |report| report.store.node.tasks_finished == 1);
    });
}

#[test]
fn a_killed_agent_is_a_typed_error_everywhere_and_can_be_replaced() {
    alone(|| {
        let info = start(2.0);
        let put = plasmon::put(&content(1, 5000)[..]).unwrap();
        let view = plasmon::get(&put).unwrap();
        let slow = wait_for.remote("never").unwrap();
        let workers = {
            let mut viewer = Viewer::here();
            viewer.until("it runs", |report| report.store.node.tasks_running == 1 && report.store.node.workers > 0);
            worker_pids(&mut viewer)
        };
        assert!(!workers.is_empty());
        let blocked = [
            std::thread::spawn({
                let slow = slow.clone();
                move || plasmon::get(&slow).unwrap_err()
            }),
            std::thread::spawn({
                let slow = slow.clone();
                move || plasmon::wait(&[slow], 1, None).unwrap_err()
            }),
            std::thread::spawn({
                let slow = slow.clone();
                move || tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async { slow.await.unwrap_err() })
            }),
        ];
        kill(info.agent_pid);
        for thread in blocked {
            let error = thread.join().unwrap();
            let Error::AgentDied { node, cause } = &error else { panic!("{error}") };
            assert_eq!(*node, info.node);
            assert!(cause.contains(&format!("process {}", info.agent_pid)) && cause.contains(&std::process::id().to_string()), "{cause}");
        }
        assert!(!plasmon::is_initialized());
        for code in [
            plasmon::put(&1_u8).unwrap_err().code(),
            plasmon::put(&content(0, 100_000)[..]).unwrap_err().code(),
            plasmon::create::<u8>(10).unwrap_err().code(),
            plasmon::get(&slow).unwrap_err().code(),
            plasmon::get(&put).unwrap_err().code(),
            plasmon::get_timeout(&slow, Duration::from_secs(60)).unwrap_err().code(),
            plasmon::wait(std::slice::from_ref(&slow), 1, None).unwrap_err().code(),
            pid_of.remote().unwrap_err().code(),
        ] {
            assert_eq!(code, "agent_died");
        }
        check(&view).unwrap();
        eventually("workers end by themselves", || workers.iter().all(|pid| !is_alive(*pid)));
        // The dead session is swept by the next agent; references of before are of no use to it.
        assert!(info.session.exists());
        let second = start(1.0);
        assert_ne!(second.node, info.node);
        assert!(!info.session.exists());
        assert_eq!(sessions(&directory()), std::slice::from_ref(&second.session));
        assert_eq!(plasmon::get(&slow).unwrap_err().code(), "agent_died");
        assert!(matches!(plasmon::put(&vec![put.clone()]), Err(Error::ObjectLost { .. })));
        assert!(matches!(read_slowly.remote(&put, "never"), Err(Error::ObjectLost { .. })));
        assert!(matches!(plasmon::wait(&[slow], 1, None), Err(Error::ObjectLost { .. })));
        assert_ne!(plasmon::get(&pid_of.remote().unwrap()), Ok(0));
        drop((put, view));
        Viewer::here().until_empty();
    });
}

#[test]
fn an_agent_that_stands_still_delays_no_time_limit() {
    alone(|| {
        let info = start(1.0);
        let mut viewer = Viewer::here();
        let slow = wait_for.options(TaskOptions::new().max_retries(0)).remote("go").unwrap();
        viewer.until("it runs", |report| report.store.node.tasks_running == 1 && report.store.node.workers == 1);
        let agent = rustix::process::Pid::from_raw(info.agent_pid.cast_signed()).unwrap();
        rustix::process::kill_process(agent, rustix::process::Signal::STOP).unwrap();
        let error = plasmon::get_timeout(&slow, Duration::from_millis(10)).unwrap_err();
        assert_eq!(error.code(), "get_timeout");
        let (ready, rest) = plasmon::wait(std::slice::from_ref(&slow), 1, Some(Duration::from_millis(10))).unwrap();
        assert_eq!((ready.len(), rest.len()), (0, 1));
        drop(rest);
        // What the agent has not heard of yet ends in time, too.
        let unheard = pid_of.remote().unwrap();
        assert_eq!(plasmon::get_timeout(&unheard, Duration::from_millis(10)).unwrap_err().code(), "get_timeout");
        rustix::process::kill_process(agent, rustix::process::Signal::CONT).unwrap();
        Flag::named("go").raise();
        assert_ne!(plasmon::get(&slow), Ok(0));
        assert_ne!(plasmon::get(&unheard), Ok(0));
        drop((slow, unheard));
        viewer.until_empty();
    });
}
