//! The limit of open files is reached: clients that connect wait, everybody else goes on.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};

use super::daemon::{Daemon, Place, hello, until};
use super::guest::{Guest, Knocking};

#[test]
fn clients_wait_for_descriptors_and_the_agent_does_not_spin() {
    for limit in [64, 128] {
        let place = Place::new();
        let log = place.path().join("log");
        let mut command = place.command(&["--listen", "127.0.0.1:0", "--object-store-memory", "16MiB"]);
        command.env("PLASMON_LOG", "info,plasmon_agent::node::shell=trace").stderr(File::create(&log).unwrap());
        let daemon = Daemon::adopt(&place, command.stdout(Stdio::null()).spawn().unwrap());
        let lines = |part: &str| std::fs::read_to_string(&log).unwrap().lines().filter(|line| line.contains(part)).count();
        let pid = Pid::from_raw(daemon.child.id().cast_signed());
        prlimit(pid, Resource::Nofile, Rlimit { current: Some(limit), maximum: Some(limit) }).unwrap();
        let socket = &daemon.found.address.socket;
        let mut first = Guest::at(socket, "/bin/true");
        // Not so many that the system counts too many descriptors that are under way in sockets.
        let mut waiting: Vec<Knocking> = (0..limit / 3).map(|_| Knocking::at(socket, "/bin/true")).collect();
        // What the agent opens for a moment may tip the balance, too: it rests, goes on, and rests again.
        until("accepting to rest", || (lines("clients that connect wait") > lines("clients that connect are taken again")).then_some(()));
        // Those that are in go on, and viewers come.
        first.slots(1).unwrap();
        hello(&daemon);
        assert!(daemon.descriptors() < limit as usize);
        let (rests, wakes) = (lines("clients that connect wait"), lines("awake"));
        std::thread::sleep(Duration::from_millis(500));
        let wakes = lines("awake") - wakes;
        assert!(wakes < 100, "{wakes} rounds with nothing to do");
        assert!(lines("clients that connect wait") <= rests + 1, "it does not rest");
        // Nobody is turned away: one after the other comes in, as others go.
        let mut served = 0;
        while !waiting.is_empty() {
            let at = until("the next to be let in", || waiting.iter().position(Knocking::is_answered));
            let mut guest = waiting.swap_remove(at).enter().unwrap();
            guest.slots(1).unwrap();
            served += 1;
        }
        assert_eq!(served, limit / 3);
        until("accepting to go on", || (lines("clients that connect are taken again") == lines("clients that connect wait")).then_some(()));
        let log_text = std::fs::read_to_string(&log).unwrap();
        // One line for each change, of which a guest may cost two.
        let (wait, again) = ("clients that connect wait", "clients that connect are taken again");
        let changes: Vec<&str> = log_text.lines().filter(|line| line.contains(wait) || line.contains(again)).collect();
        let alternate = changes.iter().enumerate().all(|(place, line)| line.contains(if place % 2 == 0 { wait } else { again }));
        assert!(alternate, "one line for each change: {changes:?}");
        assert!(changes.len() as u64 <= 4 * (1 + limit / 3), "changes when nothing changed: {changes:?}");
        first.slots(2).unwrap();
        assert_eq!(daemon.end(Signal::TERM), Some(0));
    }
}
