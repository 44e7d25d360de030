//! The agent's limit of open files is reached while a program runs: clients that connect wait, the program does not.

#[path = "../../tests/headless/guest.rs"]
mod guest;
mod support;

use guest::Knocking;
use plasmon::Options;
use plasmon_memory::channel::Channel;
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use support::{Standalone, Viewer, alone, check, content, descriptors, try_kill, worker_pids};

#[plasmon::remote]
fn pid_of(numbers: &[u64]) -> Result<u32, String> {
    check(numbers)?;
    Ok(std::process::id())
}

#[test]
fn workers_are_started_from_what_is_kept_for_them() {
    alone(|| {
        if Standalone::was_here() {
            return;
        }
        let agent = Standalone::start("--num-cpus 2");
        Options::new().address(&agent.session).init().unwrap();
        let mut viewer = Viewer::of(&agent.session);
        let limit = Rlimit { current: Some(96), maximum: Some(96) };
        prlimit(Pid::from_raw(agent.pid().cast_signed()), Resource::Nofile, limit).unwrap();
        let socket = agent.session.join("agent.sock");
        // Some say hello, some never do; the queue of the socket takes what is not accepted.
        let knocking: Vec<Knocking> = (0..30).map(|_| Knocking::at(&socket, "/bin/true")).collect();
        let silent: Vec<Channel> = (0..40).map(|_| Channel::connect(&socket).unwrap()).collect();
        let mut pids = Vec::new();
        for seed in 0..6 {
            // Each time with new workers.
            for worker in worker_pids(&mut viewer).into_iter().filter(|pid| *pid != 0) {
                // It may be gone by now.
                let _ = try_kill(worker);
            }
            let numbers = plasmon::put(&content(seed, 10_000)[..]).unwrap();
            let tasks: Vec<_> = (0..10).map(|_| pid_of.remote(&numbers).unwrap()).collect();
            pids.extend(tasks.iter().map(|task| plasmon::get(task).unwrap()));
        }
        pids.sort_unstable();
        pids.dedup();
        assert!(pids.len() >= 6, "{pids:?}");
        assert!(knocking.iter().any(|guest| !guest.is_answered()), "the limit was never reached");
        assert!(descriptors(agent.pid()) < 96);
        drop((knocking, silent));
        drop(Knocking::at(&socket, "/bin/true").enter().unwrap());
        plasmon::shutdown().unwrap();
        agent.signal(Signal::TERM);
        agent.succeed();
    });
}
