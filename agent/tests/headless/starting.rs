//! Workers that cannot be started: a typed error, and nothing left of the attempts.

use plasmon_protocol::error::Error;
use plasmon_protocol::id::ObjectKey;
use plasmon_protocol::local::{self, Outcome, Task, ToAgent, ToClient};
use plasmon_protocol::resources::{Amount, Demand};
use rustix::process::Signal;

use super::daemon::{Daemon, Place, until};
use super::guest::Guest;

/// Children of a process, ended ones that nobody has reaped too.
fn children(pid: u32) -> usize {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("children")).unwrap().split_whitespace().count()).sum()
}

#[test]
fn what_is_no_worker_is_named_and_reaped() {
    let place = Place::new();
    let text = place.file("no-program", b"neither a program nor a script");
    for (program, cause) in [(text.to_str().unwrap(), "not started: "), ("/bin/true", "before it was ready: exit code 0")] {
        let daemon = Daemon::start(&place, &["--num-cpus", "2"]);
        let before = daemon.descriptors();
        let mut guest = Guest::at(&daemon.found.address.socket, program);
        let key = ObjectKey { slot: guest.slots(0).unwrap(), generation: 1 };
        let returns = vec![key];
        guest.push(&ToAgent::Submit {
            number: 1,
            function: "f",
            arguments: vec![],
            returns,
            options: Task { demand: Demand::of_cpus(Amount::ONE), ..Task::default() },
            site: 0,
        });
        guest.push(&ToAgent::Get { request: 1, key, site: 0 });
        let error = guest.next(|message| match message {
            ToClient::Resolved { request: 1, outcome: Outcome::Failed(value) } => local::decode::<Error>("the agent", value).unwrap(),
            message => panic!("{message:?}"),
        });
        assert_eq!(error.code(), "system");
        assert!(error.to_string().contains(cause), "{error}");
        until("every attempt to be reaped", || (children(daemon.child.id()) == 0).then_some(()));
        drop(guest);
        until("what it held to be given back", || (daemon.descriptors() <= before).then_some(()));
        assert_eq!(daemon.end(Signal::TERM), Some(0));
    }
}
