//! Clients that talk nonsense or mean harm, beside an honest one: each of them is dropped alone, with its process id and the reason in
//! the events; the honest one keeps every byte, and nothing leaks.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

mod nonsense {
    pub(crate) mod attacks;
    pub(crate) mod descriptors;
    pub(crate) mod hellos;
    pub(crate) mod honest;
    pub(crate) mod raw;
}

use nonsense::attacks::ATTACKS;
use nonsense::hellos;
use nonsense::honest::Honest;
use nonsense::raw::{Raw, readable, socket};
use plasmon_protocol::record::EventKind;
use support::{Child, Flag, Viewer, alone, descriptors, eventually, publish, role, start};

/// Runs `body` while an honest driver works; in the end nothing of what `body` did is left.
fn beside_an_honest_driver(body: impl FnOnce(&Honest, &mut Viewer)) {
    let info = start(1.0);
    let mut viewer = Viewer::here();
    let honest = Honest::default();
    std::thread::scope(|scope| {
        let working = scope.spawn(|| honest.work());
        let end = honest.until_dropped();
        honest.goes_on();
        eventually("its worker is there", || !support::worker_pids(&mut viewer).is_empty());
        publish(&info);
        let before = descriptors(info.agent_pid);
        body(&honest, &mut viewer);
        honest.goes_on();
        drop(end);
        working.join().expect("the honest driver found everything as it was");
        eventually("the agent has the descriptors that it had", || descriptors(info.agent_pid) == before);
    });
    viewer.until_empty();
}

/// What a hostile process does with its connection; then it waits for its end.
fn attack(run: fn(&mut Raw)) -> ! {
    let mut raw = Raw::connect();
    run(&mut raw);
    Flag::named(&format!("done-{}", std::process::id())).raise();
    loop {
        std::thread::park();
    }
}

/// The hostile process runs; its end is up to the caller.
fn hostile(name: &str) -> Child {
    let child = Child::start(name);
    Flag::named(&format!("done-{}", child.pid())).wait();
    child
}

/// Waits for the event that this process was dropped: its words.
fn dropped(viewer: &mut Viewer, pid: u32) -> String {
    let mut words = None;
    eventually("it is dropped", || {
        let event = viewer.events().into_iter().find(|event| event.kind == EventKind::ProcessDropped && event.pid == Some(pid));
        words = event.map(|event| event.message);
        words.is_some()
    });
    words.unwrap()
}

#[test]
fn whoever_breaks_the_protocol_is_dropped_alone() {
    alone(|| {
        if let Some(role) = role() {
            let (_, _, run) = ATTACKS.iter().find(|(name, ..)| *name == role).unwrap();
            attack(*run);
        }
        beside_an_honest_driver(|honest, viewer| {
            for (name, reason, _) in ATTACKS {
                let child = hostile(name);
                match reason {
                    Some(reason) => {
                        let words = dropped(viewer, child.pid());
                        assert!(words.contains(&child.pid().to_string()) && words.contains(reason), "{name}: {words}");
                    }
                    None => {
                        honest.goes_on();
                        let events = viewer.events();
                        let event = events.iter().find(|event| event.kind == EventKind::ProcessDropped && event.pid == Some(child.pid()));
                        assert_eq!(event, None, "{name}");
                    }
                }
                viewer.report();
                child.kill();
                honest.goes_on();
            }
        });
    });
}

#[test]
fn whoever_says_no_proper_hello_is_not_let_in() {
    alone(|| {
        if role().is_some() {
            let silent = socket();
            hellos::all();
            Flag::named(&format!("done-{}", std::process::id())).raise();
            // The agent's patience ends.
            assert!(readable(silent.fd()) && silent.recv().unwrap().is_none());
            return;
        }
        beside_an_honest_driver(|honest, _| {
            let child = hostile("hellos");
            honest.goes_on();
            child.succeed();
        });
    });
}
