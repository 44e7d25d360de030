//! An agent that is told to end while tasks run.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "../../tests/headless/guest.rs"]
mod guest;
mod support;

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use guest::Knocking;
use plasmon::{Error, ObjectRef, Options};
use plasmon_protocol::record::EventKind;
use rustix::process::Signal;
use support::{Flag, Standalone, Viewer, alone, check, content, eventually, is_alive, start, worker_pids};
use tokio::signal::unix::SignalKind;

#[plasmon::remote]
fn double(value: u32) -> u32 {
    2 * value
}

/// Submits another task, but not before the flag is raised.
#[plasmon::remote]
fn nest(flag: &str, value: u32) -> Result<u32, Error> {
    Flag::named("runs").raise();
    Flag::named(flag).wait();
    plasmon::get(&double.remote(value)?)
}

/// Says its process id, and neither ends nor lets `SIGTERM` end it.
#[plasmon::remote(max_retries = 0)]
fn resist(flag: &str) -> u32 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let _caught = tokio::signal::unix::signal(SignalKind::terminate()).unwrap();
    Flag::named(flag).say(&std::process::id().to_string());
    loop {
        std::thread::park();
    }
}

fn connect(agent: &Standalone) {
    let info = Options::new().address(&agent.session).init().unwrap();
    assert!(!info.started);
}

#[track_caller]
fn until_notice(viewer: &mut Viewer, part: &str) {
    eventually(part, || viewer.events().iter().any(|event| event.kind == EventKind::Notice && event.message.contains(part)));
}

fn poll<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

#[track_caller]
fn until_ready<F: Future>(mut future: Pin<&mut F>) -> F::Output {
    let mut output = None;
    eventually("the result is there", || {
        output = poll(future.as_mut());
        output.is_some()
    });
    output.unwrap()
}

/// The connection's end, whose cause names these.
#[track_caller]
fn ended_by(parts: &[&str]) {
    eventually("the connection has ended", || !plasmon::is_initialized());
    let Err(Error::AgentDied { cause, .. }) = plasmon::put(&1) else { panic!("it goes on") };
    assert!(parts.iter().all(|part| cause.contains(part)), "{cause}");
}

#[test]
fn running_and_queued_tasks_end_before_the_agent_does() {
    alone(|| {
        if Standalone::was_here() {
            return;
        }
        let agent = Standalone::start("--num-cpus 1 --drain-timeout 600");
        connect(&agent);
        let mut viewer = Viewer::of(&agent.session);
        let running = nest.remote("go", 4).unwrap();
        let queued = double.remote(50).unwrap();
        let put = plasmon::put(&content(3, 1000)[..]).unwrap();
        Flag::named("runs").wait();
        // Both results are asked for before they are there.
        let (mut first, mut second) = (pin!(running.into_future()), pin!(queued.into_future()));
        assert!(poll(first.as_mut()).is_none() && poll(second.as_mut()).is_none());
        agent.signal(Signal::TERM);
        until_notice(&mut viewer, "draining (SIGTERM)");
        // The rest of the program goes on, but for new tasks.
        check(&plasmon::get(&put).unwrap()).unwrap();
        let refused: ObjectRef<u32> = double.remote(1).unwrap();
        let Err(Error::Draining { cause, .. }) = plasmon::get(&refused) else { panic!("a task was taken") };
        assert_eq!(cause, "SIGTERM");
        // Nor is anybody let in.
        let error = Knocking::at(&agent.session.join("agent.sock"), "/bin/true").enter().err();
        assert!(matches!(&error, Some(Error::Draining { cause, .. }) if cause == "SIGTERM"), "{error:?}");
        let workers = worker_pids(&mut viewer);
        assert!(!workers.is_empty());
        Flag::named("go").raise();
        assert_eq!(until_ready(first), Ok(8));
        assert_eq!(until_ready(second), Ok(100));
        agent.succeed();
        ended_by(&["SIGTERM"]);
        assert!(workers.iter().all(|pid| !is_alive(*pid)));
    });
}

#[test]
fn a_task_that_does_not_end_is_killed_when_its_time_is_over() {
    alone(|| {
        if Standalone::was_here() {
            return;
        }
        let agent = Standalone::start("--num-cpus 2 --drain-timeout 1");
        connect(&agent);
        let mut viewer = Viewer::of(&agent.session);
        let task = resist.remote("resists").unwrap();
        let worker: u32 = Flag::named("resists").wait().parse().unwrap();
        assert_eq!(plasmon::get(&double.remote(2).unwrap()), Ok(4));
        agent.signal(Signal::TERM);
        until_notice(&mut viewer, "1 tasks are cut off");
        let Err(Error::AgentDied { cause, .. }) = plasmon::get(&task) else { panic!("it ended") };
        assert!(cause.contains("SIGTERM") && cause.contains("time for running tasks is over"), "{cause}");
        agent.succeed();
        assert!(!is_alive(worker));
    });
}

#[test]
fn a_second_signal_is_now() {
    alone(|| {
        if Standalone::was_here() {
            return;
        }
        // Far more time than this test has.
        let agent = Standalone::start("--num-cpus 1 --drain-timeout 100000");
        connect(&agent);
        let mut viewer = Viewer::of(&agent.session);
        let _task = resist.remote("resists").unwrap();
        let worker: u32 = Flag::named("resists").wait().parse().unwrap();
        agent.signal(Signal::TERM);
        until_notice(&mut viewer, "draining (SIGTERM)");
        agent.signal(Signal::INT);
        agent.succeed();
        assert!(!is_alive(worker));
        ended_by(&["a second signal, SIGINT"]);
    });
}

#[test]
fn an_agent_that_a_program_started_waits_for_no_task() {
    alone(|| {
        let info = start(1.0);
        let _task = resist.remote("resists").unwrap();
        let worker: u32 = Flag::named("resists").wait().parse().unwrap();
        plasmon::shutdown().unwrap();
        assert!(!is_alive(worker) && !is_alive(info.agent_pid) && !info.session.exists());
    });
}
