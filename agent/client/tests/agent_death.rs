//! The agent is killed, or stands still: what becomes of its workers, of its clients and of what it leaves.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use plasmon::{Error, Options};
use rustix::process::{Pid, Signal, kill_process};
use support::{Flag, Standalone, Viewer, alone, check, content, directory, eventually, is_alive, sessions};

/// Says its process id and then burns its CPU, without ever looking at anything.
#[plasmon::remote(max_retries = 0)]
fn spin(flag: &str) -> u64 {
    Flag::named(flag).say(&std::process::id().to_string());
    let mut rounds = 0_u64;
    loop {
        rounds = std::hint::black_box(rounds.wrapping_add(1));
    }
}

#[plasmon::remote(max_retries = 0)]
fn sleep(flag: &str) -> u64 {
    Flag::named(flag).say(&std::process::id().to_string());
    loop {
        std::thread::park();
    }
}

/// Every bit of them counts.
fn digest(numbers: &[u64]) -> u64 {
    numbers.iter().fold(0, |digest, number| digest ^ number)
}

#[plasmon::remote]
fn read(numbers: &[u64]) -> Result<u64, String> {
    check(numbers)?;
    Ok(digest(numbers))
}

fn worker(flag: &str) -> u32 {
    Flag::named(flag).wait().parse().unwrap()
}

fn stop(pid: u32) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::STOP).unwrap();
}

#[test]
fn no_worker_outlives_a_killed_agent_and_the_next_start_sweeps() {
    alone(|| {
        if Standalone::was_here() {
            return;
        }
        let sibling = Standalone::start("--num-cpus 1");
        let agent = Standalone::start("--num-cpus 4");
        let session = agent.session.clone();
        let recording = session.join("recording.ndjson");
        eventually("it records", || recording.exists());
        Options::new().address(&session).init().unwrap();
        let tasks = [spin.remote("spins").unwrap(), sleep.remote("sleeps").unwrap(), sleep.remote("stopped").unwrap()];
        let workers = [worker("spins"), worker("sleeps"), worker("stopped")];
        // Stopped: none of its threads can see anything.
        stop(workers[2]);
        agent.kill();
        for task in &tasks {
            let Err(Error::AgentDied { cause, .. }) = plasmon::get(task) else { panic!("a task of a dead agent ended") };
            assert!(recording.exists() && cause.ends_with(&format!("plasmon replay {}", recording.display())), "{cause}");
        }
        eventually("its workers are gone", || !workers.iter().any(|pid| is_alive(*pid)));
        // Nobody could clean up; the sibling is not touched by who does.
        assert!(session.exists());
        plasmon::shutdown().unwrap();
        let next = Standalone::start("--num-cpus 1");
        assert!(!session.exists());
        assert_eq!(sessions(&directory()).len(), 2);
        for agent in [sibling, next] {
            Options::new().address(&agent.session).init().unwrap();
            check(&plasmon::get(&plasmon::put(&content(1, 100)[..]).unwrap()).unwrap()).unwrap();
            plasmon::shutdown().unwrap();
            agent.signal(Signal::TERM);
            agent.succeed();
        }
    });
}

#[test]
fn an_agent_that_stands_still_loses_nothing() {
    alone(|| {
        if Standalone::was_here() {
            return;
        }
        let agent = Standalone::start("--num-cpus 2");
        Options::new().address(&agent.session).init().unwrap();
        let mut viewer = Viewer::of(&agent.session);
        let numbers = content(1, 5000);
        let expected = digest(&numbers);
        let before = plasmon::put(&numbers[..]).unwrap();
        let running: Vec<_> = (0..20).map(|_| read.remote(&before).unwrap()).collect();
        // It has heard of all that.
        viewer.report();
        agent.signal(Signal::STOP);
        eventually("it stands still", || std::fs::read_to_string(format!("/proc/{}/stat", agent.pid())).unwrap().contains(") T "));
        // What needs no word of the agent's goes on; the rest is written down for it.
        check(&plasmon::get(&before).unwrap()).unwrap();
        let small: Vec<_> = (0..100_u64).map(|seed| plasmon::put(&content(seed, 4)[..]).unwrap()).collect();
        let queued: Vec<_> = small.iter().map(|numbers| read.remote(numbers).unwrap()).collect();
        drop(small);
        assert!(plasmon::is_initialized());
        agent.signal(Signal::CONT);
        for task in &running {
            assert_eq!(plasmon::get(task), Ok(expected));
        }
        for (seed, task) in (0..).zip(&queued) {
            assert_eq!(plasmon::get(task), Ok(digest(&content(seed, 4))));
        }
        drop((before, running, queued));
        viewer.until_empty();
        plasmon::shutdown().unwrap();
        agent.signal(Signal::TERM);
        agent.succeed();
    });
}
