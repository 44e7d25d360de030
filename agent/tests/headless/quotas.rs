//! What one client may take, and what the agent keeps for one that does not read.

use plasmon_protocol::error::Error;
use plasmon_protocol::id::ObjectKey;
use plasmon_protocol::local::{self, Outcome, SLOT_BLOCK, Task, ToAgent, ToClient};
use plasmon_protocol::resources::{Amount, Demand};
use rustix::process::Signal;

use super::daemon::{Daemon, Place, until};
use super::guest::{Guest, own_bytes};

/// Ends at once when it is started as a worker.
const PROGRAM: &str = "/bin/true";

fn guest(daemon: &Daemon) -> Guest {
    Guest::at(&daemon.found.address.socket, PROGRAM)
}

#[test]
fn one_client_leaves_half_of_the_slots_to_others() {
    let place = Place::new();
    let daemon = Daemon::start(&place, &[]);
    let (mut greedy, mut modest) = (guest(&daemon), guest(&daemon));
    let all = greedy.hello.slots;
    let mut own = 0;
    let error = loop {
        match greedy.slots(own) {
            Ok(_) => own += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(own * SLOT_BLOCK, all / 2);
    assert!(error.to_string().contains(&format!("{} objects of {all}", all / 2)), "{error}");
    assert!((0..100).all(|request| modest.slots(request).is_ok()));
    // What it had is everybody's when it is gone.
    drop(greedy);
    until("its slots to be free", || modest.slots(1000).is_ok().then_some(()));
    assert!((0..1500).all(|request| modest.slots(request).is_ok()));
}

#[test]
fn a_client_that_never_reads_costs_little_and_loses_nothing() {
    let place = Place::new();
    let daemon = Daemon::start(&place, &["--fail-infeasible"]);
    let (mut mute, mut other) = (guest(&daemon), guest(&daemon));
    let first = mute.slots(0).unwrap();
    let key = ObjectKey { slot: first, generation: 1 };
    // More CPUs than there are: an object that has an error instead of a value.
    let task = |number, returns| ToAgent::Submit {
        number,
        function: "f",
        arguments: Vec::new(),
        returns,
        options: Task { demand: Demand::of_cpus(Amount::MAX), ..Task::default() },
        site: 0,
    };
    mute.push(&task(1, vec![key]));
    mute.push(&ToAgent::Get { request: 0, key, site: 0 });
    let value = mute.next(|message| match message {
        ToClient::Resolved { request: 0, outcome: Outcome::Failed(value) } => value.to_vec(),
        message => panic!("{message:?}"),
    });
    assert_eq!(local::decode::<Error>("the agent", &value).unwrap().code(), "infeasible");
    let before = own_bytes(daemon.child.id());
    let mut asked = 0;
    let mut rounds = 0;
    while rounds < 20 {
        if mute.try_push(&ToAgent::Get { request: asked + 1, key, site: 0 }) {
            asked += 1;
            rounds = 0;
        } else {
            // The agent has gone round once more, and has not read of it.
            other.slots(rounds).unwrap();
            rounds += 1;
        }
    }
    // One of its rings is full, and one more is in the agent.
    assert!(asked > 100_000, "{asked}");
    let grown = own_bytes(daemon.child.id()).saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes for {asked} questions");
    for request in 1..=asked {
        mute.next(|message| match message {
            ToClient::Resolved { request: answered, outcome: Outcome::Failed(bytes) } => {
                assert_eq!((answered, bytes), (request, &value[..]));
            }
            message => panic!("{message:?}"),
        });
    }
    mute.slots(7).unwrap();
    assert!(mute.has_read_all());
    drop((mute, other));
    assert_eq!(daemon.end(Signal::TERM), Some(0));
}

#[test]
fn a_driver_is_told_why_it_is_dropped_and_that_the_agent_ends() {
    let place = Place::new();
    let daemon = Daemon::start(&place, &[]);
    let (mut bad, good) = (guest(&daemon), guest(&daemon));
    bad.push(&ToAgent::DropLocal { key: ObjectKey { slot: 5, generation: 5 } });
    let why = bad.farewell().unwrap();
    assert!(why.starts_with("dropped: ") && why.contains("Local count"), "{why}");
    assert_eq!(daemon.end(Signal::TERM), Some(0));
    assert_eq!(good.farewell().as_deref(), Some("it was stopped: SIGTERM"));
}
