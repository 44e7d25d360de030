//! A forked child has no connection, harms nobody's, and may have one of its own.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::future::{Future, IntoFuture};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use plasmon::{Draft, Error, Get, ObjectRef, Options, Pinned};

use crate::support::{
    Child, Flag, Forked, Report, Viewer, alone, attach, check, content, eventually, is_alive, leave, publish, role, rows_of, start,
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

struct Idle;

#[plasmon::actor(num_cpus = 0)]
impl Idle {
    fn new() -> Self {
        Self
    }

    fn poke(&self) {}
}

/// Something of everything that a process can hold.
struct Held {
    idle: IdleHandle,
    text: ObjectRef<String>,
    numbers: Numbers,
    view: Pinned<[u64]>,
    draft: Draft<[u64]>,
    pending: ObjectRef<u32>,
    future: Pin<Box<Get<u32>>>,
}

impl Held {
    fn new() -> Self {
        let idle = Idle::remote().unwrap();
        idle.ready().unwrap();
        let numbers = plasmon::put(&content(1, 5000)[..]).unwrap();
        let view = plasmon::get(&numbers).unwrap();
        let pending = wait_for.remote("go").unwrap();
        let mut future = Box::pin(pending.clone().into_future());
        assert!(poll(&mut future).is_pending());
        let (text, draft) = (plasmon::put(&"text".to_owned()).unwrap(), plasmon::create(5000).unwrap());
        Self { idle, text, numbers, view, draft, pending, future }
    }
}

fn poll(future: &mut Pin<Box<Get<u32>>>) -> Poll<Result<u32, Error>> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// The error of a process that was forked from `parent`.
#[track_caller]
fn refused<T>(result: Result<T, Error>, parent: u32) {
    let Err(error) = result else { panic!("a forked child was served") };
    let Error::NotConnected { cause } = &error else { panic!("{error}") };
    assert!(cause.contains(&format!("forked from process {parent}")), "{cause}");
    assert!(error.hint().contains("init()"), "{}", error.hint());
}

/// A panic that says why, and no signal.
#[track_caller]
fn panics<T>(body: impl FnOnce() -> T, parent: u32) {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = catch_unwind(AssertUnwindSafe(body)).map(drop);
    std::panic::set_hook(hook);
    let message = result.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains(&format!("forked from process {parent}")), "{message}");
}

/// Every call of the library in a process that was forked from `parent`.
fn call_everything(held: &mut Held, parent: u32) {
    assert!(!plasmon::is_initialized());
    refused(plasmon::info(), parent);
    refused(plasmon::put(&1_u8), parent);
    refused(plasmon::put(&content(2, 100_000)[..]), parent);
    refused(plasmon::put(&vec![held.numbers.clone()]), parent);
    refused(plasmon::create::<u64>(10), parent);
    refused(pid_of.remote(), parent);
    refused(wait_for.options(plasmon::TaskOptions::new()).remote("go"), parent);
    refused(Idle::remote(), parent);
    refused(held.idle.poke(), parent);
    refused(held.idle.clone().ready(), parent);
    refused(plasmon::get_actor::<Idle>("idle"), parent);
    refused(plasmon::kill(&held.idle), parent);
    refused(plasmon::put(&vec![held.idle.clone()]), parent);
    refused(plasmon::get(&held.text), parent);
    refused(plasmon::get(&held.numbers), parent);
    refused(plasmon::get(&held.pending), parent);
    refused(plasmon::get_timeout(&held.pending, Duration::ZERO), parent);
    refused(plasmon::wait(std::slice::from_ref(&held.numbers), 1, None), parent);
    refused(plasmon::wait(std::slice::from_ref(&held.pending), 0, Some(Duration::ZERO)), parent);
    let Poll::Ready(result) = poll(&mut held.future) else { panic!("a future of the parent's waits") };
    refused(result, parent);
    let Poll::Ready(result) = poll(&mut Box::pin(held.pending.clone().into_future())) else { panic!("it waits") };
    refused(result, parent);
    panics(|| held.view[0], parent);
    panics(|| held.view.clone().len(), parent);
    panics(|| held.draft[0], parent);
    panics(|| held.draft[0] = 1, parent);
    assert_eq!(held.view.id(), held.numbers.id());
    assert_eq!(plasmon::shutdown(), Ok(()));
}

/// Whether the task runs, and the functions of all call sites were told, which comes a little later.
fn runs(report: &Report) -> bool {
    report.store.node.tasks_running == 1 && report.references.iter().all(|row| !row.call_site.function.is_empty())
}

#[test]
fn a_forked_child_is_told_to_connect_by_itself_and_can() {
    alone(|| {
        let info = start(1.0);
        let mut viewer = Viewer::here();
        let parent = std::process::id();
        let mut held = Some(Held::new());
        let rows = rows_of(&viewer.until("the task runs", runs).references);
        Forked::start(|| {
            let mut held = held.take().unwrap();
            call_everything(&mut held, parent);
            let Held { idle, text, numbers, view, draft, pending, future } = held;
            refused(draft.seal(), parent);
            drop((text.clone(), numbers.clone(), view.clone(), pending.clone()));
            drop((idle, text, numbers, view, pending, future));
        })
        .succeed();
        Forked::start(|| {
            let mut held = held.take().unwrap();
            call_everything(&mut held, parent);
            // Its parent's agent, as a driver of its own.
            let own = plasmon::init().unwrap();
            assert_eq!((own.node, own.started), (info.node, false));
            assert_ne!(own.process, info.process);
            assert!(plasmon::is_initialized());
            let put = plasmon::put(&content(3, 5000)[..]).unwrap();
            check(&plasmon::get(&put).unwrap()).unwrap();
            assert_eq!(plasmon::get(&plasmon::put(&7_u8).unwrap()), Ok(7));
            // What was its parent's stays its parent's.
            refused(plasmon::get(&held.numbers), parent);
            refused(plasmon::wait(std::slice::from_ref(&held.numbers), 1, None), parent);
            refused(plasmon::put(&vec![held.numbers.clone()]), parent);
            panics(|| held.view[0], parent);
            drop(held);
            check(&plasmon::get(&put).unwrap()).unwrap();
            // A child of the child is one more process.
            Forked::start(|| {
                refused(plasmon::put(&1_u8), parent_id());
                refused(plasmon::get(&put), parent_id());
                plasmon::init().unwrap();
                assert_eq!(plasmon::get(&plasmon::put(&8_u8).unwrap()), Ok(8));
                leave(0);
            })
            .succeed();
            check(&plasmon::get(&put).unwrap()).unwrap();
            drop(put);
            plasmon::shutdown().unwrap();
            refused(plasmon::put(&1_u8), parent);
        })
        .succeed();
        assert!(is_alive(info.agent_pid));
        viewer.until("the parent's rows are as before", |report| rows_of(&report.references) == rows);
        let mut held = held.take().unwrap();
        check(&held.view).unwrap();
        check(&plasmon::get(&held.numbers).unwrap()).unwrap();
        held.draft.copy_from_slice(&content(4, 5000));
        check(&plasmon::get(&held.draft.seal().unwrap()).unwrap()).unwrap();
        Flag::named("go").raise();
        assert_eq!(plasmon::get(&held.pending), plasmon::get(&pid_of.remote().unwrap()));
        let Poll::Ready(Ok(_)) = poll(&mut held.future) else { panic!("the task has ended") };
        assert_eq!(plasmon::get(&held.text).unwrap(), "text");
        drop((held.idle, held.text, held.numbers, held.view, held.pending, held.future));
        viewer.until_empty();
    });
}

#[test]
fn however_a_forked_child_ends_its_parent_goes_on() {
    alone(|| {
        let info = start(1.0);
        let mut viewer = Viewer::here();
        let ends: [fn(Held); 6] = [
            |held| {
                std::mem::forget(held);
                leave(0)
            },
            |held| {
                drop(held);
                std::process::exit(0)
            },
            |held| {
                plasmon::shutdown().unwrap();
                drop(held);
            },
            |held| panic!("{}", held.text.hex()),
            |held| {
                std::mem::forget(held);
                crate::support::kill(std::process::id());
            },
            |held| {
                plasmon::init().unwrap();
                let put = plasmon::put(&content(9, 1000)[..]).unwrap();
                let view = plasmon::get(&put).unwrap();
                std::mem::forget((put, view, held));
                leave(0)
            },
        ];
        for (round, end) in ends.into_iter().enumerate() {
            let mut held = Some(Held::new());
            let rows = rows_of(&viewer.until("all rows are there", runs).references);
            let panics = round == 3;
            let child = Forked::start(|| {
                if panics {
                    std::panic::set_hook(Box::new(|_| {}));
                }
                end(held.take().unwrap());
            });
            let expected = if panics { Some(101) } else { Some(0) };
            let status = child.wait();
            assert_eq!(
                status.exit_status().or(status.terminating_signal().filter(|_| round == 4).map(|_| 0)),
                expected,
                "{round}: {status:?}"
            );
            viewer.until("only the parent's rows", |report| rows_of(&report.references) == rows);
            assert!(is_alive(info.agent_pid) && plasmon::is_initialized());
            let held = held.take().unwrap();
            check(&held.view).unwrap();
            Flag::named("go").raise();
            assert_ne!(plasmon::get(&held.pending), Ok(0));
            assert!(Flag::named("go").lower());
            drop(held);
            viewer.until_empty();
        }
        assert_eq!(viewer.processes().iter().filter(|row| row.process_type == plasmon_protocol::record::ProcessType::Driver).count(), 1);
    });
}

/// Forks in a worker. The child goes on as `how` says; the parent waits for it.
#[plasmon::remote(max_retries = 0)]
fn fork_inside(numbers: &[u64], inside: Vec<Numbers>, how: &str) -> Result<u32, Error> {
    let parent = std::process::id();
    let put = plasmon::put(&content(5, 1000)[..])?;
    let view = plasmon::get(&inside[0])?;
    let Some(child) = Forked::split() else {
        refused(plasmon::put(&1_u8), parent);
        refused(plasmon::get(&inside[0]), parent);
        panics(|| view[0], parent);
        match how {
            "returns" => return Ok(0),
            "fails" => return Err(plasmon::put(&1_u8).unwrap_err()),
            "panics" => panic!("in the child"),
            "connects" => {
                plasmon::init()?;
                let own = plasmon::put(&content(6, 1000)[..])?;
                check(&plasmon::get(&own)?).unwrap();
                plasmon::shutdown()?;
                leave(0)
            }
            _ => leave(0),
        }
    };
    let status = child.wait();
    assert!(status.exited(), "{status:?}");
    check(numbers).unwrap();
    check(&view).unwrap();
    check(&plasmon::get(&put)?).unwrap();
    Ok(std::process::id())
}

#[test]
fn a_task_may_fork_and_its_child_says_nothing_in_its_name() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let put = plasmon::put(&content(1, 5000)[..]).unwrap();
        let worker = plasmon::get(&pid_of.remote().unwrap()).unwrap();
        for how in ["leaves", "returns", "fails", "panics", "connects"] {
            let result = fork_inside.remote(&put, vec![put.clone()], how).unwrap();
            assert_eq!(plasmon::get(&result), Ok(worker), "{how}");
        }
        assert_eq!(plasmon::get(&pid_of.remote().unwrap()), Ok(worker));
        let report = viewer.until("only ours", |report| report.references.len() == 1);
        assert_eq!(report.store.node.tasks_failed, 0);
        drop(put);
        viewer.until_empty();
    });
}

/// Forks a child that lives until the flag "child" is raised; its process id.
fn lingering_child() -> u32 {
    match Forked::split() {
        Some(child) => child.pid(),
        None => {
            Flag::named("child").wait();
            leave(0)
        }
    }
}

#[test]
fn a_killed_starter_is_missed_although_its_forked_child_lives() {
    alone(|| {
        if role().is_some() {
            let info = start(1.0);
            let worker = plasmon::get(&pid_of.remote().unwrap()).unwrap();
            let child = lingering_child();
            publish(&info);
            Flag::named("ready").say(&format!("{} {worker} {child}", info.agent_pid));
            loop {
                std::thread::park();
            }
        }
        let starter = Child::start("starter");
        let pids: Vec<u32> = Flag::named("ready").wait().split(' ').map(|pid| pid.parse().unwrap()).collect();
        let [agent, worker, child] = pids[..] else { panic!("{pids:?}") };
        let info = attach();
        let slow = wait_for.remote("never").unwrap();
        starter.kill();
        let error = plasmon::get(&slow).unwrap_err();
        assert!(matches!(error, Error::AgentDied { .. }), "{error}");
        eventually("the agent ends", || !is_alive(agent) && !is_alive(worker));
        eventually("the session is gone", || !info.session.exists());
        assert!(is_alive(child), "the child was to live on");
        Flag::named("child").raise();
        eventually("the child ends", || !is_alive(child));
    });
}

#[test]
fn a_drivers_end_is_seen_although_its_forked_child_lives() {
    alone(|| {
        if let Some(role) = role() {
            attach();
            let put = plasmon::put(&content(1, 5000)[..]).unwrap();
            let view = plasmon::get(&put).unwrap();
            let child = lingering_child();
            Flag::named("ready").say(&child.to_string());
            Flag::named("end").wait();
            drop((put, view));
            if role == "shuts down" {
                plasmon::shutdown().unwrap();
                Flag::named("shut").raise();
                Flag::named("exit").wait();
            }
            crate::support::kill(std::process::id());
        }
        let info = start(1.0);
        publish(&info);
        let mut viewer = Viewer::here();
        for role in ["shuts down", "is killed"] {
            let driver = Child::start(role);
            let child: u32 = Flag::named("ready").wait().parse().unwrap();
            viewer.until("its rows", |report| !report.references.is_empty());
            Flag::named("end").raise();
            // In the first round both parent and child live on.
            viewer.until_empty();
            eventually("it is gone for the agent", || viewer.processes().iter().all(|row| row.pid != driver.pid()));
            assert!(is_alive(child), "the child was to live on");
            assert_eq!(is_alive(driver.pid()), role == "shuts down");
            Flag::named("exit").raise();
            Flag::named("child").raise();
            eventually("the child ends", || !is_alive(child));
            eventually("the driver ends", || !is_alive(driver.pid()));
            for flag in ["ready", "end", "exit", "child"] {
                assert!(Flag::named(flag).lower());
            }
        }
        assert!(is_alive(info.agent_pid));
    });
}

#[test]
fn shutdown_ends_the_agent_although_a_forked_child_lives() {
    alone(|| {
        let info = start(1.0);
        let worker = plasmon::get(&pid_of.remote().unwrap()).unwrap();
        let child = lingering_child();
        plasmon::shutdown().unwrap();
        assert!(!is_alive(info.agent_pid) && !is_alive(worker));
        assert!(!info.session.exists());
        assert!(is_alive(child));
        // Nothing of the dead agent's memory stays with the child.
        let held = std::fs::read_dir(format!("/proc/{child}/fd")).unwrap().filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        let held: Vec<_> = held.filter(|path| path.to_string_lossy().contains("memfd:")).collect();
        assert_eq!(held, Vec::<std::path::PathBuf>::new());
        Flag::named("child").raise();
        eventually("the child ends", || !is_alive(child));
        let again = Options::new().num_cpus(1.0).temp_dir(crate::support::directory()).init().unwrap();
        assert!(again.started);
    });
}

/// The process that this one was forked from.
fn parent_id() -> u32 {
    rustix::process::getppid().unwrap().as_raw_pid().cast_unsigned()
}
