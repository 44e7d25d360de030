//! A process that stands still in the middle of work: everybody else goes on, what it holds stays true and readable, and when it may go
//! on, it does as if nothing had happened.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::fs::OpenOptions;
use std::time::{Duration, Instant};

use plasmon::{Error, Info, ObjectRef};
use plasmon_protocol::record::{EventKind, ProcessRow, ReferenceType, TaskStatus};
use support::{
    Child, Expected, Flag, Viewer, alone, attach, check, content, directory, eventually, go_on, is_alive, kill, publish, role, rows_of,
    sessions, start_sized, stop,
};

type Numbers = ObjectRef<[u64]>;

/// How long a process stands still.
const STILL: Duration = Duration::from_secs(30);
/// What anybody else may take for one step meanwhile: less, so that no step waits for the end of it.
const LIMIT: Duration = Duration::from_secs(20);
const CAPACITY: u64 = 64 << 20;
/// What [`warm_up`] leaves, bytes.
const WARM: u64 = 800_000;

/// The sum of what it was given. It runs once for each number.
#[plasmon::remote(max_retries = 0)]
fn sum_once(numbers: &[u64], number: &str) -> Result<u64, String> {
    let place = directory().join(format!("once-{number}"));
    OpenOptions::new().write(true).create_new(true).open(place).map_err(|error| format!("{number} runs again: {error}"))?;
    check(numbers)?;
    Ok(sum(numbers))
}

/// Works until it may end: who it is, and that all was right.
#[plasmon::remote(max_retries = 0)]
fn work_on() -> Result<u32, Error> {
    let mut seed = 0;
    while !Flag::named("end").is_raised() {
        seed += 1;
        let put = plasmon::put(&content(seed, 20_000)[..])?;
        check(&plasmon::get(&put)?).map_err(|cause| Error::ObjectLost { object: put.id(), cause })?;
        Flag::named("works").say(&std::process::id().to_string());
    }
    Ok(std::process::id())
}

/// Holds references of every kind, and memory without objects, until it may end.
#[plasmon::remote(max_retries = 0)]
fn hold(argument: &[u64], inside: Vec<Numbers>) -> Result<u64, Error> {
    let (seen, held) = hoard()?;
    Flag::named("holds").say(&std::process::id().to_string());
    // It stands still for a part of this time, which counts.
    while !Flag::named("end").is_raised() {
        if Flag::named("warm").lower() {
            warm_up()?;
            Flag::named("warmed").raise();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    check(argument).map_err(|cause| Error::ObjectLost { object: inside[0].id(), cause })?;
    drop(held);
    Ok(seen + argument[0] + inside.len() as u64)
}

#[plasmon::remote(max_retries = 0)]
fn wait_for_the_end(numbers: &[u64]) -> Result<u64, String> {
    Flag::named("end").wait();
    check(numbers)?;
    Ok(sum(numbers))
}

fn sum(numbers: &[u64]) -> u64 {
    numbers.iter().fold(0, |sum, number| sum.wrapping_add(*number))
}

/// Leaves memory that carries nothing, at least [`WARM`] bytes of it.
fn warm_up() -> Result<(), Error> {
    (0..4).try_for_each(|seed| plasmon::put(&content(seed, 100_000)[..]).map(drop))
}

/// Four rows: a reference, a view, an object inside an object; and a draft, and warm memory that carries nothing.
#[expect(clippy::type_complexity, reason = "it is only held")]
fn hoard() -> Result<(u64, (Numbers, plasmon::Pinned<[u64]>, ObjectRef<Vec<Numbers>>, plasmon::Draft<[u64]>)), Error> {
    warm_up()?;
    let own = plasmon::put(&content(1, 1000)[..])?;
    let view = plasmon::get(&plasmon::put(&content(2, 1000)[..])?)?;
    let outer = plasmon::put(&vec![plasmon::put(&content(3, 1000)[..])?])?;
    let draft = plasmon::create::<u64>(10_000)?;
    Ok((view[0], (own, view, outer, draft)))
}

/// What a program does: objects of both sizes, views, an object inside an object, tasks. Each step ends.
fn round(name: &str, number: u64) {
    let seed = number * 10;
    let small = plasmon::put(&content(seed, 50)[..]).unwrap();
    let large = plasmon::put(&content(seed + 1, 20_000)[..]).unwrap();
    let sums = [(&small, "small"), (&large, "large")].map(|(object, size)| {
        let task = sum_once.remote(object, format!("{name}-{number}-{size}").as_str()).unwrap();
        let view = plasmon::get_timeout(object, LIMIT).unwrap();
        check(&view).unwrap();
        (task, sum(&view))
    });
    let outer = plasmon::put(&vec![small.clone(), large.clone()]).unwrap();
    drop((small, large));
    let inner = plasmon::get_timeout(&outer, LIMIT).unwrap();
    inner.iter().for_each(|object| check(&plasmon::get_timeout(object, LIMIT).unwrap()).unwrap());
    for (task, expected) in sums {
        assert_eq!(plasmon::get_timeout(&task, LIMIT).unwrap(), expected);
    }
}

fn rows_of_process(viewer: &mut Viewer, pid: u32) -> Vec<Expected> {
    let mut report = viewer.report();
    report.references.retain(|row| row.pid == pid);
    rows_of(&report.references)
}

fn process(viewer: &mut Viewer, pid: u32) -> ProcessRow {
    viewer.processes().into_iter().find(|row| row.pid == pid).expect("a process that lives has a row")
}

/// Stops a process for half a minute. Everybody else works, and everything can be seen all the time.
fn stand_still(viewer: &mut Viewer, pid: u32) {
    stop(pid);
    let deadline = Instant::now() + STILL;
    let held = rows_of_process(viewer, pid);
    let mut number = 0;
    while Instant::now() < deadline {
        number += 1;
        round("still", number);
        assert_eq!(rows_of_process(viewer, pid), held, "rows of a process that stands still");
        assert_eq!(process(viewer, pid).references, held.len() as u64);
        assert!(!viewer.tasks().is_empty() && !viewer.events().is_empty());
    }
    assert!(is_alive(pid));
    eventually("it is seen to stand still", || process(viewer, pid).state.as_ref() == "stopped");
    go_on(pid);
    eventually("it is seen to go on", || process(viewer, pid).state.as_ref() != "stopped");
}

/// An agent of this scenario's own, and another program that works beside this one until the flag `end`.
fn begin(cpus: f64) -> (Info, Viewer, Child) {
    let info = start_sized(cpus, CAPACITY);
    publish(&info);
    let neighbour = Child::start("neighbour");
    round("begin", 0);
    (info, Viewer::here(), neighbour)
}

/// Everybody has ended well and left nothing.
fn end(mut viewer: Viewer, neighbour: Child) {
    round("end", 0);
    neighbour.succeed();
    viewer.until_empty();
    let bad = [EventKind::ProcessDied, EventKind::ProcessDropped, EventKind::TaskFailed].map(|kind| viewer.events_of(kind));
    assert_eq!(bad, [0; 3], "{:?}", viewer.events());
    drop(viewer);
    plasmon::shutdown().unwrap();
    assert_eq!(sessions(&directory()), Vec::<std::path::PathBuf>::new());
}

fn a_neighbour() {
    attach();
    let mut number = 0;
    while !Flag::named("end").is_raised() {
        number += 1;
        round("neighbour", number);
    }
    assert!(number > 0);
    plasmon::shutdown().unwrap();
}

fn a_driver_stands_still() {
    let (_, mut viewer, neighbour) = begin(3.0);
    let victim = Child::start("victim");
    Flag::named("holds").wait();
    viewer.until("its task runs", |report| report.store.node.tasks_running > 0);
    stand_still(&mut viewer, victim.pid());
    Flag::named("end").raise();
    victim.succeed();
    end(viewer, neighbour);
}

fn the_driver() {
    attach();
    let argument = plasmon::put(&content(7, 5000)[..]).unwrap();
    let task = wait_for_the_end.remote(&argument).unwrap();
    let (_, held) = hoard().unwrap();
    Flag::named("holds").raise();
    Flag::named("end").wait();
    assert_eq!(plasmon::get_timeout(&task, LIMIT).unwrap(), sum(&content(7, 5000)));
    let (own, view, outer, mut draft) = held;
    check(&plasmon::get(&own).unwrap()).unwrap();
    check(&view).unwrap();
    check(&plasmon::get(&plasmon::get(&outer).unwrap()[0]).unwrap()).unwrap();
    draft.copy_from_slice(&content(4, 10_000));
    check(&plasmon::get(&draft.seal().unwrap()).unwrap()).unwrap();
    round("victim", 0);
    drop((own, view, outer));
    plasmon::shutdown().unwrap();
}

fn an_idle_worker_stands_still() {
    let (_, mut viewer, neighbour) = begin(3.0);
    let driver = std::process::id();
    let job = process(&mut viewer, driver).job;
    let mut idle = None;
    eventually("a worker of this program idles", || {
        idle = viewer.processes().into_iter().find(|row| row.job == job && row.state.as_ref() == "idle");
        idle.is_some()
    });
    stand_still(&mut viewer, idle.unwrap().pid);
    Flag::named("end").raise();
    end(viewer, neighbour);
}

fn a_busy_worker_stands_still() {
    let (_, mut viewer, neighbour) = begin(3.0);
    let task = work_on.remote().unwrap();
    let worker: u32 = Flag::named("works").wait().parse().unwrap();
    stand_still(&mut viewer, worker);
    // It works on.
    Flag::named("works").lower();
    Flag::named("works").wait();
    Flag::named("end").raise();
    assert_eq!(plasmon::get(&task).unwrap(), worker);
    drop(task);
    end(viewer, neighbour);
}

fn a_worker_that_holds_much_stands_still() {
    let (info, mut viewer, neighbour) = begin(3.0);
    let argument = plasmon::put(&content(5, 1000)[..]).unwrap();
    let task = hold.remote(&argument, vec![argument.clone()]).unwrap();
    let worker: u32 = Flag::named("holds").wait().parse().unwrap();
    assert_eq!(rows_of_process(&mut viewer, worker).len(), 5);
    let mut slack = 0;
    // The agent tidies up at times: then it gives what it keeps warm back before it stands still.
    eventually("it stands still with memory that it keeps warm", || {
        Flag::named("warm").raise();
        Flag::named("warmed").wait();
        Flag::named("warmed").lower();
        stop(worker);
        slack = process(&mut viewer, worker).slack_bytes;
        if slack < WARM {
            go_on(worker);
        }
        slack >= WARM
    });
    // It is wanted, and it does not answer.
    let most = (info.capacity - slack) as usize;
    let error = plasmon::create::<u8>(most).map(drop).unwrap_err();
    assert!(matches!(error, Error::ObjectStoreFull { .. }), "{error}");
    assert_eq!(process(&mut viewer, worker).slack_bytes, slack, "slack stays under its name");
    assert!(viewer.report().ledger().slack_bytes >= slack);
    go_on(worker);
    eventually("idle memory comes back", || process(&mut viewer, worker).slack_bytes < slack);

    stand_still(&mut viewer, worker);
    Flag::named("end").raise();
    let seeds = [2, 5, 1];
    assert_eq!(plasmon::get(&task).unwrap(), seeds.iter().sum::<u64>());
    drop((task, argument));
    end(viewer, neighbour);
}

fn a_dashboard_stands_still() {
    let (_, mut viewer, neighbour) = begin(2.0);
    let dashboard = Child::start("dashboard");
    Flag::named("looks").wait();
    let pid = dashboard.pid();
    stop(pid);
    let deadline = Instant::now() + STILL;
    let mut number = 0;
    while Instant::now() < deadline {
        number += 1;
        round("still", number);
        assert!(!viewer.processes().is_empty());
    }
    dashboard.kill();
    Flag::named("end").raise();
    end(viewer, neighbour);
}

fn the_dashboard() -> ! {
    let session = Flag::named("session").wait();
    let mut viewer = Viewer::of(session.as_ref());
    loop {
        viewer.report();
        Flag::named("looks").raise();
    }
}

/// Every scenario has an agent and programs of its own, and all of them stand still in the same half minute.
#[test]
fn a_process_that_stands_still_holds_up_nobody() {
    alone(|| {
        let scenarios: [(&str, fn()); 5] = [
            ("driver", a_driver_stands_still),
            ("idle", an_idle_worker_stands_still),
            ("busy", a_busy_worker_stands_still),
            ("holder", a_worker_that_holds_much_stands_still),
            ("viewer", a_dashboard_stands_still),
        ];
        match role().as_deref() {
            None => scenarios.map(|(name, _)| Child::start_apart(name)).into_iter().for_each(Child::succeed),
            Some("neighbour") => a_neighbour(),
            Some("victim") => the_driver(),
            Some("dashboard") => the_dashboard(),
            Some(name) => scenarios.into_iter().find(|(scenario, _)| *scenario == name).unwrap().1(),
        }
    });
}

#[test]
fn a_process_that_is_killed_while_it_stands_still_leaves_nothing() {
    alone(|| {
        if role().is_some() {
            attach();
            let argument = plasmon::put(&content(7, 5000)[..]).unwrap();
            let _task = hold.remote(&argument, vec![argument.clone()]).unwrap();
            let _held = hoard().unwrap();
            Flag::named("holds").wait();
            Flag::named("ready").raise();
            loop {
                std::thread::park();
            }
        }
        let info = start_sized(2.0, CAPACITY);
        publish(&info);
        let mut viewer = Viewer::here();
        let driver = Child::start("driver");
        Flag::named("ready").wait();
        let worker: u32 = Flag::named("holds").wait().parse().unwrap();
        stop(worker);
        let of = |report: &support::Report, pid| report.references.iter().filter(|row| row.pid == pid).count();
        assert_eq!(of(&viewer.report(), worker), 5);
        kill(worker);
        let report = viewer.until("the worker's rows are gone", |report| of(report, worker) == 0);
        let pending = report.references.iter().filter(|row| row.reference_type == ReferenceType::UsedByPendingTask).count();
        assert_eq!((pending, viewer.tasks()[0].status), (0, TaskStatus::Failed));
        stop(driver.pid());
        assert!(of(&viewer.report(), driver.pid()) > 0);
        driver.kill();
        let report = viewer.until_empty();
        assert_eq!(report.ledger().slack_bytes, 0, "memory of the dead");
    });
}
