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
use nonsense::raw::{PINS, Raw, readable, socket};
use plasmon_protocol::record::EventKind;
use support::{Child, Flag, Viewer, alone, attach, descriptors_of_agent, eventually, publish, role, start, start_sized};

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
        let before = descriptors_of_agent(&info);
        body(&honest, &mut viewer);
        honest.goes_on();
        drop(end);
        working.join().expect("the honest driver found everything as it was");
        eventually("the agent has the descriptors that it had", || descriptors_of_agent(&info) == before);
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

/// Why connections of this process were closed, in the words of the events.
fn refusals(viewer: &mut Viewer, pid: u32) -> Vec<String> {
    let events = viewer.events().into_iter().filter(|event| event.kind == EventKind::ProcessDropped && event.pid == Some(pid));
    events.map(|event| event.message).collect()
}

/// Waits for the event that this process was dropped: its words.
fn dropped(viewer: &mut Viewer, pid: u32) -> String {
    let mut words = Vec::new();
    eventually("it is dropped", || {
        words = refusals(viewer, pid);
        !words.is_empty()
    });
    words.remove(0)
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
                        assert_eq!(refusals(viewer, child.pid()), [""; 0], "{name}");
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
        beside_an_honest_driver(|honest, viewer| {
            let child = hostile("hellos");
            for reason in ["does not decode", "local protocol", "no descriptor of its executable", "more than", "no hello came"] {
                eventually(reason, || refusals(viewer, child.pid()).iter().any(|words| words.contains(reason)));
            }
            honest.goes_on();
            child.succeed();
        });
    });
}

#[test]
fn silent_connections_do_not_keep_others_out() {
    alone(|| {
        if let Some(role) = role() {
            if role == "silent" {
                let silent: Vec<_> = (0..600).map(|_| socket()).collect();
                Flag::named(&format!("done-{}", std::process::id())).raise();
                Flag::named("enough").wait();
                drop(silent);
            } else {
                attach();
                assert_eq!(plasmon::get(&plasmon::put(&7_u8).unwrap()), Ok(7));
                plasmon::shutdown().unwrap();
            }
            return;
        }
        beside_an_honest_driver(|honest, _| {
            let silent = hostile("silent");
            for _ in 0..3 {
                Child::start("late").succeed();
            }
            honest.goes_on();
            Flag::named("enough").raise();
            silent.succeed();
        });
    });
}

#[test]
fn what_a_foreign_pin_keeps_is_slack_until_its_holder_is_dead() {
    const STORE: u64 = 64 << 20;
    alone(|| {
        if role().is_some() {
            attack(|raw| {
                for (index, key) in raw.others().into_iter().enumerate() {
                    raw.scribble(PINS + 8 * index as u64, &(u64::from(key.generation) << 32 | u64::from(key.slot)).to_le_bytes());
                }
            });
        }
        publish(&start_sized(1.0, STORE));
        let mut viewer = Viewer::here();
        let pinned = plasmon::put(&[7_u8; 1 << 20][..]).unwrap();
        let child = hostile("pins");
        let free = viewer.report().ledger().free_bytes;
        drop(pinned);
        let report = viewer.until("nobody holds it", |report| report.references.is_empty());
        assert_eq!((report.ledger().slack_bytes >= 1 << 20, report.ledger().free_bytes), (true, free));
        // Its range is lent to nobody while the pin is there, not even when all memory is wanted.
        let all = vec![7_u64; (STORE - (1 << 19)) as usize / 8];
        let error = plasmon::put(&all[..]).unwrap_err();
        assert_eq!(error.code(), "object_store_full", "{error}");
        child.kill();
        let mut last = None;
        eventually("all memory is there", || {
            last = plasmon::put(&all[..]).ok();
            last.is_some()
        });
        drop(last);
        viewer.until_empty();
    });
}
