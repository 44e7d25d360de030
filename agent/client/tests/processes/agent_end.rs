//! The agent is killed while threads wait for it in every way: all of them are told at once.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use plasmon::{Error, ObjectRef};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Flag, Viewer, alone, content, eventually, kill, start, start_sized};

#[plasmon::remote]
fn wait_for(flag: &str) -> u32 {
    Flag::named(flag).wait();
    std::process::id()
}

/// Every thread that waits in the kernel, by its name; the test's own and the connection's are not among them.
fn sleeping(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let stats = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok());
    stats.filter(|stat| stat.contains(&format!("({name})")) && stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'))).count()
}

fn spawn<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> std::thread::JoinHandle<T> {
    std::thread::Builder::new().name("blocked".to_owned()).spawn(body).unwrap()
}

#[track_caller]
fn died<T: std::fmt::Debug>(result: Result<T, Error>, agent: u32) {
    let error = result.unwrap_err();
    let Error::AgentDied { cause, .. } = &error else { panic!("{error}") };
    assert!(cause.contains(&format!("process {agent} ")), "{cause}");
    assert!(cause.contains(&format!("started by process {}", std::process::id())), "{cause}");
}

#[test]
fn threads_that_wait_for_an_agent_are_told_of_its_end() {
    const EACH: usize = 4;
    alone(|| {
        let info = start_sized(1.0, 16 << 20);
        let mut viewer = Viewer::here();
        let agent = info.agent_pid;
        let slow = wait_for.remote("never").unwrap();
        // The store is full, so that creates wait: for two seconds at most, and the agent stands still before that.
        let full: Vec<ObjectRef<[u64]>> = (0..15).map(|seed| plasmon::put(&content(seed, 127 << 10)[..]).unwrap()).collect();
        viewer.until("the task runs", |report| report.store.node.tasks_running == 1);
        let pid = Pid::from_raw(agent.cast_signed()).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        let mut threads = Vec::new();
        for _ in 0..EACH {
            let one = slow.clone();
            threads.push(spawn(move || plasmon::get(&one).map(drop)));
            let one = slow.clone();
            threads.push(spawn(move || plasmon::get_timeout(&one, Duration::from_secs(3600)).map(drop)));
            let one = slow.clone();
            threads.push(spawn(move || plasmon::wait(&[one], 1, None).map(drop)));
            threads.push(spawn(|| plasmon::create::<u64>(512 << 10).map(drop)));
            threads.push(spawn(|| plasmon::put(&content(1, 512 << 10)[..]).map(drop)));
        }
        eventually("all of them wait", || sleeping("blocked") == threads.len());
        kill(agent);
        threads.into_iter().for_each(|thread| died(thread.join().unwrap(), agent));
        assert!(!plasmon::is_initialized());
        drop((full, slow));
        died(plasmon::put(&1_u8), agent);
        // The next one sweeps what the dead one has left.
        start(1.0);
    });
}

#[test]
fn threads_that_push_into_a_full_ring_are_told_of_the_agents_end() {
    const PUSHERS: usize = 4;
    static PUSHED: AtomicU64 = AtomicU64::new(0);
    alone(|| {
        let info = start(1.0);
        let agent = info.agent_pid;
        let put = plasmon::put(&content(1, 1000)[..]).unwrap();
        let list = plasmon::put(&vec![put.clone()]).unwrap();
        let held: Vec<_> = (0..500).map(|_| plasmon::get(&put).unwrap()).collect();
        // The agent knows of it: nobody has to ask.
        drop(plasmon::get(&list).unwrap());
        kill_process(Pid::from_raw(agent.cast_signed()).unwrap(), Signal::STOP).unwrap();
        let threads: Vec<_> = (0..PUSHERS)
            .map(|_| {
                let list = list.clone();
                // Each reference that is read, and each of its ends, is a message, which waits for nothing but room in the ring.
                spawn(move || {
                    loop {
                        match plasmon::get(&list) {
                            Ok(references) => drop(references),
                            Err(error) => return Err::<(), _>(error),
                        }
                        PUSHED.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        // Full: nobody gets on any more.
        let mut last = (u64::MAX, 0);
        eventually("the ring is full", || {
            let now = PUSHED.load(Ordering::Relaxed);
            last = if now == last.0 && now > 0 { (now, last.1 + 1) } else { (now, 0) };
            last.1 > 50
        });
        kill(agent);
        threads.into_iter().for_each(|thread| died(thread.join().unwrap(), agent));
        died(plasmon::put(&1_u8), agent);
        drop((held, put, list));
        start(1.0);
    });
}
