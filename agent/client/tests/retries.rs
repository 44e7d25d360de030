//! Tasks are tried again: after crashes, after errors where that was asked for, with waits between, and not for ever.

mod support;

use std::time::Duration;

use plasmon::{ENDLESS, Error, TaskOptions};
use plasmon_protocol::record::{EventKind, TaskRow, TaskStatus};
use support::{Flag, Viewer, alone, start};

/// How many attempts were begun, counted in a file; the number of this one.
fn attempt() -> u32 {
    let before = Flag::named("attempts");
    let number = if before.is_raised() { before.wait().parse::<u32>().expect("a number") + 1 } else { 1 };
    before.say(&number.to_string());
    number
}

#[plasmon::remote]
fn dies_until(number: u32) -> u32 {
    let attempt = attempt();
    if attempt < number {
        support::kill(std::process::id());
    }
    attempt
}

#[plasmon::remote]
fn fails_until(number: u32) -> Result<u32, String> {
    let attempt = attempt();
    if attempt < number { Err(format!("not attempt {attempt}")) } else { Ok(attempt) }
}

#[plasmon::remote]
fn panics_until(number: u32) -> u32 {
    let attempt = attempt();
    assert!(attempt >= number, "not attempt {attempt}");
    attempt
}

#[plasmon::remote]
fn dies_between_results(gate: &str) -> Result<u64, Error> {
    if attempt() == 1 {
        support::kill(std::process::id());
    }
    Flag::named(gate).wait();
    Ok(1)
}

fn row(viewer: &mut Viewer, name: &str) -> TaskRow {
    viewer.tasks().into_iter().find(|row| row.name.ends_with(name)).expect("the task has a row")
}

#[test]
fn crashes_are_made_good_with_longer_and_longer_waits() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let task = dies_until.options(TaskOptions::new().max_retries(5)).remote(4).unwrap();
        assert_eq!(plasmon::get(&task).unwrap(), 4);
        // It ends a little after its result is there.
        viewer.until("it has finished", |report| report.store.node.tasks_finished == 1);
        let row = row(&mut viewer, "dies_until");
        assert_eq!((row.status, row.attempt, row.max_retries, row.retries_left), (TaskStatus::Finished, 4, 5, 2));
        assert_eq!(row.retry_at_ms, None);
        let told: Vec<String> =
            viewer.events().into_iter().filter(|event| event.kind == EventKind::TaskRetried).map(|event| event.message).collect();
        let waits = ["tried again after attempt 1", "tried again in 50 ms after attempt 2", "tried again in 100 ms after attempt 3"];
        assert_eq!(told.len(), waits.len(), "{told:?}");
        assert!(waits.iter().all(|wait| told.iter().any(|message| message.contains(wait))), "{told:?}");
        assert!(told.iter().all(|message| message.contains("SIGKILL") && message.contains("left")), "{told:?}");
        drop(task);
        viewer.until_empty();
    });
}

#[test]
fn a_row_tells_when_its_task_is_tried_again() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let task = dies_until.options(TaskOptions::new().max_retries(ENDLESS)).remote(u32::MAX).unwrap();
        let mut seen = None;
        support::eventually("it waits for its next attempt", || {
            seen = viewer.tasks().into_iter().find(|row| row.retry_at_ms.is_some());
            seen.is_some()
        });
        let row = seen.unwrap();
        assert_eq!((row.status, row.retries_left), (TaskStatus::PendingNodeAssignment, ENDLESS));
        assert!(row.reason.as_deref().is_some_and(|reason| reason.contains("again")), "{row:?}");
        // The CPU is free meanwhile, and a task that waits for its next attempt can be cancelled like any other.
        plasmon::cancel(&task, false).unwrap();
        assert!(matches!(plasmon::get(&task).unwrap_err(), Error::TaskCancelled { .. }));
        drop(task);
        viewer.until_empty();
    });
}

#[test]
fn errors_and_panics_are_made_good_where_that_was_asked_for() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let again = TaskOptions::new().max_retries(2).retry_exceptions(true);
        assert_eq!(plasmon::get(&fails_until.options(again).remote(3).unwrap()).unwrap(), 3);
        assert!(Flag::named("attempts").lower());
        assert_eq!(plasmon::get(&panics_until.options(again).remote(2).unwrap()).unwrap(), 2);
        assert!(Flag::named("attempts").lower());
        let error = plasmon::get(&fails_until.options(again).remote(9).unwrap()).unwrap_err();
        assert!(matches!(&error, Error::TaskFailed { message, .. } if message == "not attempt 3"), "{error}");
        assert!(Flag::named("attempts").lower());
        // Unasked, the first error is the last.
        let error = plasmon::get(&fails_until.remote(2).unwrap()).unwrap_err();
        assert!(matches!(&error, Error::TaskFailed { message, .. } if message == "not attempt 1"), "{error}");
        assert_eq!(viewer.events_of(EventKind::TaskRetried), 5);
        // No worker died for any of it.
        assert_eq!(viewer.events_of(EventKind::ProcessDied), 0);
        viewer.until_empty();
    });
}

/// An error that may go by itself, or not.
#[derive(Debug)]
enum Trouble {
    Passing(std::num::ParseIntError),
    Lasting,
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::Passing(_)) { "passing" } else { "lasting" })
    }
}

impl std::error::Error for Trouble {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Passing(cause) => Some(cause),
            Self::Lasting => None,
        }
    }
}

/// Passing trouble on the first attempt, lasting trouble on the second, the third one's number.
fn trouble() -> Result<u32, Trouble> {
    match attempt() {
        1 => Err(Trouble::Passing("x".parse::<u32>().expect_err("x is no number"))),
        2 => Err(Trouble::Lasting),
        number => Ok(number),
    }
}

#[plasmon::remote(max_retries = 5, retry_exceptions = [std::fmt::Error, std::num::ParseIntError])]
fn lists_a_cause() -> Result<u32, Trouble> {
    trouble()
}

#[plasmon::remote(max_retries = 5, retry_exceptions = [Trouble])]
fn lists_a_boxed_type() -> Result<u32, Box<dyn std::error::Error + Send + Sync>> {
    if attempt() == 2 {
        return Err("a text is no trouble".into());
    }
    Err(Trouble::Lasting.into())
}

#[plasmon::remote(max_retries = 5, retry_exceptions = |trouble| matches!(trouble, Trouble::Passing(_)))]
fn judges() -> Result<u32, Trouble> {
    trouble()
}

#[plasmon::remote(max_retries = 5, retry_exceptions = [std::fmt::Error])]
fn panics_in_spite_of_a_list() -> Result<u32, std::fmt::Error> {
    panic!("attempt {}", attempt());
}

#[test]
fn the_errors_that_are_made_good_can_be_listed() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let mut fails = |task: plasmon::ObjectRef<u32>, expected: &str, attempts: u32| {
            let error = plasmon::get(&task).unwrap_err();
            assert!(error.line().contains(expected), "{error}");
            let last = viewer.tasks().into_iter().max_by_key(|row| row.task_id.key().number).map(|row| row.attempt);
            assert_eq!(last, Some(attempts), "{error}");
            assert!(Flag::named("attempts").lower());
        };
        fails(lists_a_cause.remote().unwrap(), "lasting", 2);
        fails(judges.remote().unwrap(), "lasting", 2);
        fails(lists_a_boxed_type.remote().unwrap(), "a text is no trouble", 2);
        fails(panics_in_spite_of_a_list.remote().unwrap(), "attempt 1", 1);
        // One call may want all of them, or none.
        fails(judges.options(TaskOptions::new().retry_exceptions(false)).remote().unwrap(), "passing", 1);
        let all = TaskOptions::new().retry_exceptions(true);
        assert_eq!(plasmon::get(&judges.options(all).remote().unwrap()).unwrap(), 3);
        assert!(Flag::named("attempts").lower());
        // Or list some itself.
        let other = TaskOptions::new().retry_errors(plasmon::errors![std::fmt::Error]);
        fails(judges.options(other).remote().unwrap(), "passing", 1);
        let caused = TaskOptions::new().retry_errors(plasmon::errors![std::fmt::Error, std::num::ParseIntError]);
        fails(judges.options(caused).remote().unwrap(), "lasting", 2);
        let text = TaskOptions::new().max_retries(5).retry_errors(plasmon::errors![Trouble]);
        fails(lists_a_boxed_type.options(text).remote().unwrap(), "a text is no trouble", 2);
        assert!(plasmon::get(&fails_until.options(text).remote(3).unwrap()).unwrap_err().line().contains("not attempt 1"));
        assert!(Flag::named("attempts").lower());
        // A function without a list has all its errors on it.
        let listed = TaskOptions::new().retry_listed_exceptions();
        assert_eq!(plasmon::get(&fails_until.options(listed).remote(3).unwrap()).unwrap(), 3);
        viewer.until_empty();
    });
}

#[test]
fn an_endless_count_does_not_count_down() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let again = TaskOptions::new().max_retries(ENDLESS).retry_exceptions(true);
        assert_eq!(plasmon::get(&fails_until.options(again).remote(7).unwrap()).unwrap(), 7);
        let row = row(&mut viewer, "fails_until");
        assert_eq!((row.attempt, row.retries_left, row.max_retries), (7, ENDLESS, ENDLESS));
    });
}

#[test]
fn a_retried_task_still_has_its_arguments() {
    #[plasmon::remote]
    fn sums_at_last(numbers: &[u64]) -> u64 {
        if attempt() < 3 {
            support::kill(std::process::id());
        }
        numbers.iter().sum()
    }
    alone(|| {
        start(1.0);
        let numbers = plasmon::put(&(0..100_000).collect::<Vec<u64>>()[..]).unwrap();
        let task = sums_at_last.remote(&numbers).unwrap();
        drop(numbers);
        assert_eq!(plasmon::get(&task).unwrap(), (0..100_000).sum::<u64>());
        drop(task);
        Viewer::here().until_empty();
    });
}

#[test]
fn an_attempt_that_takes_too_long_is_ended_and_not_tried_again() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        // Far more than the first attempt needs to die.
        let limited = TaskOptions::new().timeout(Duration::from_secs(3));
        let task = dies_between_results.options(limited).remote("never").unwrap();
        let error = plasmon::get(&task).unwrap_err();
        let Error::TaskCancelled { cause, name, .. } = &error else { panic!("{error}") };
        assert!(cause.contains("attempt 2") && cause.contains("of 3s"), "{cause}");
        assert!(name.ends_with("dies_between_results"), "{name}");
        assert_eq!(row(&mut viewer, "dies_between_results").attempt, 2);
        // The one death was the first attempt's own.
        assert_eq!(viewer.events_of(EventKind::ProcessDied), 1);
        // One that is quick enough is not concerned, and the CPU is free again.
        let quick = TaskOptions::new().timeout(Duration::from_secs(600));
        assert_eq!(plasmon::get(&fails_until.options(quick).remote(1).unwrap()).unwrap(), 3);
        drop(task);
        viewer.until_empty();
    });
}
