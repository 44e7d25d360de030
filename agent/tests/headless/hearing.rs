//! A worker that does not read what it is answered is not heard, until it does. When its tasks are asked back it is heard out all the same.

use std::fs;

use plasmon_protocol::id::ObjectKey;
use plasmon_protocol::local::{BOOT, Ending, Outcome, Task, ToAgent, ToClient, Value};
use plasmon_protocol::resources::{Amount, Demand};
use rustix::process::{Signal, getpid, kill_process};

use crate::daemon::{Daemon, Place, until};
use crate::guest::{Guest, Knocking};

/// Who is deaf writes its process id there. A task that was taken from it finds the file.
const DEAF: &str = "deaf";

/// The life of a worker. The first that gets a task asks so much that the answers don't fit its ring, and reads none of them; in the end it
/// stands still.
fn work(boot: &str) -> ! {
    let mut worker = Knocking::as_worker(boot).enter().unwrap();
    loop {
        let (task, function) = worker.next(|message| match message {
            ToClient::Run { task, function, .. } => (task, function.to_owned()),
            other => panic!("{other:?}"),
        });
        let name = std::process::id().to_string();
        if !fs::exists(DEAF).unwrap() {
            let question = "x".repeat(200);
            for request in 0.. {
                // One after the other: the agent hears few that it cannot answer.
                worker.push(&ToAgent::FindActor { request, name: &question, site: 0 });
                while !worker.is_heard() && !worker.is_awaited() {
                    std::thread::yield_now();
                }
                if worker.is_awaited() {
                    break;
                }
            }
            if function == "begins" {
                worker.push(&ToAgent::Started { task });
            }
            fs::write("named", &name).unwrap();
            fs::rename("named", DEAF).unwrap();
            kill_process(getpid(), Signal::STOP).unwrap();
            loop {
                // It may take a moment.
                std::thread::park();
            }
        }
        worker.push(&ToAgent::Started { task });
        worker.push(&ToAgent::Output { task, value: Value::Inline(name.as_bytes()) });
        worker.push(&ToAgent::Ended { task, ending: Ending::Finished });
    }
}

/// A driver whose workers are this test once more, and the result of the task that it submits.
fn submit(place: &Place, daemon: &Daemon, test: &str, function: &str) -> (Guest, ObjectKey) {
    let (program, directory) = (std::env::current_exe().unwrap(), place.path().to_str().unwrap());
    let test = format!("hearing::{test}");
    let arguments = [&test, "--exact", "--nocapture"];
    let socket = daemon.found.path.join("agent.sock");
    let mut driver = Knocking::starting(&socket, program.to_str().unwrap(), directory, &arguments).enter().unwrap();
    let result = ObjectKey { slot: driver.slots(0).unwrap(), generation: 1 };
    let options = Task { demand: Demand { cpus: Amount::ONE, ..Demand::default() }, ..Task::default() };
    driver.push(&ToAgent::Submit { number: 1, function, arguments: Vec::new(), returns: vec![result], options, site: 0 });
    (driver, result)
}

/// The worker that does not read stands still.
fn deaf(place: &Place) -> u32 {
    let pid = until("a worker that is deaf", || fs::read_to_string(place.path().join(DEAF)).ok()?.parse().ok());
    until("it stands still", || state(pid).filter(|state| state == "T"));
    pid
}

/// What the system says of a process: running, sleeping, standing still; `None` when it is gone.
fn state(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit_once(") ")?.1.split(' ').next()?.to_owned())
}

#[test]
fn the_task_of_a_worker_that_does_not_read_goes_to_another() {
    if let Ok(boot) = std::env::var(BOOT) {
        work(&boot);
    }
    let place = Place::new();
    let daemon = Daemon::start(&place, &["--num-cpus", "1"]);
    let test = "the_task_of_a_worker_that_does_not_read_goes_to_another";
    let (mut driver, result) = submit(&place, &daemon, test, "waits");
    let deaf = deaf(&place);
    driver.push(&ToAgent::Get { request: 1, key: result, site: 0 });
    let other: u32 = driver.next(|message| match message {
        ToClient::Resolved { outcome: Outcome::Inline(pid), .. } => String::from_utf8(pid.to_vec()).unwrap().parse().unwrap(),
        other => panic!("{other:?}"),
    });
    assert_ne!(other, deaf);
    assert_eq!(state(deaf).as_deref(), Some("T"), "it was not harmed");
    drop(driver);
    assert_eq!(daemon.end(Signal::TERM), Some(0));
}

#[test]
fn what_a_worker_that_does_not_read_has_said_counts() {
    if let Ok(boot) = std::env::var(BOOT) {
        work(&boot);
    }
    let place = Place::new();
    let daemon = Daemon::start(&place, &["--num-cpus", "1"]);
    let (mut driver, result) = submit(&place, &daemon, "what_a_worker_that_does_not_read_has_said_counts", "begins");
    let deaf = deaf(&place);
    // It is ended only when the task has begun, which it has said and nobody has heard.
    driver.push(&ToAgent::CancelTask { key: result, force: true, site: 0 });
    until("its end", || state(deaf).is_none_or(|state| state == "Z").then_some(()));
    drop(driver);
    assert_eq!(daemon.end(Signal::TERM), Some(0));
}
