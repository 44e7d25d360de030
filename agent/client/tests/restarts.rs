//! Actors are made anew after their workers died: with their arguments, their names, and their calls in order.

mod support;

use plasmon::{ActorOptions, ENDLESS, Error};
use plasmon_protocol::record::{ActorStatus, EventKind};
use support::{Flag, Viewer, alone, eventually, start};

struct Journal {
    lines: Vec<u32>,
}

/// How often this was reached by any process of the test.
fn times(what: &str) -> u32 {
    let before = Flag::named(what);
    let number = if before.is_raised() { before.wait().parse::<u32>().expect("a number") + 1 } else { 1 };
    before.say(&number.to_string());
    number
}

#[plasmon::actor]
impl Journal {
    fn new(lines: &[u32]) -> Self {
        times("made");
        Self { lines: lines.to_vec() }
    }

    fn write(&mut self, line: u32) -> Vec<u32> {
        self.lines.push(line);
        self.lines.clone()
    }

    /// Its worker dies the first time.
    fn write_at_last(&mut self, line: u32) -> Vec<u32> {
        if times("tried") == 1 {
            Flag::named("dies").wait();
            support::kill(std::process::id());
        }
        self.write(line)
    }

    fn die(&mut self) {
        support::kill(std::process::id());
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }

    fn wait(&self, flag: &str) -> u32 {
        Flag::named("began").raise();
        Flag::named(flag).wait();
        9
    }
}

struct Fragile;

#[plasmon::actor]
impl Fragile {
    fn new(deaths: u32) -> Self {
        if times("constructed") <= deaths {
            support::kill(std::process::id());
        }
        Self
    }

    fn seven(&self) -> u32 {
        7
    }
}

struct Shaky {
    tries: u32,
}

impl Shaky {
    fn try_once(&mut self, number: u32) -> Result<u32, std::fmt::Error> {
        self.tries += 1;
        if self.tries < number { Err(std::fmt::Error) } else { Ok(self.tries) }
    }
}

#[plasmon::actor(max_task_retries = 5)]
impl Shaky {
    fn new() -> Self {
        Self { tries: 0 }
    }

    #[method(retry_exceptions = [std::fmt::Error])]
    fn until(&mut self, number: u32) -> Result<u32, std::fmt::Error> {
        self.try_once(number)
    }

    #[method(max_task_retries = 1, retry_exceptions = true)]
    fn panics_until(&mut self, number: u32) -> u32 {
        self.try_once(number).expect("it is tried again")
    }

    #[method(retry_exceptions = [std::num::ParseIntError])]
    fn lists_others(&mut self, number: u32) -> Result<u32, std::fmt::Error> {
        self.try_once(number)
    }

    fn lists_none(&mut self, number: u32) -> Result<u32, std::fmt::Error> {
        self.try_once(number)
    }

    fn tries(&self) -> u32 {
        self.tries
    }
}

#[test]
fn methods_are_tried_again_after_errors_where_they_say_so() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let shaky = Shaky::remote().unwrap();
        let (fourth, after) = (shaky.until(4).unwrap(), shaky.tries().unwrap());
        assert_eq!((plasmon::get(&fourth).unwrap(), plasmon::get(&after).unwrap()), (4, 4), "it goes before what waited");
        let row = viewer.tasks().into_iter().find(|row| row.name.ends_with("until")).expect("the call has a row");
        assert_eq!((row.attempt, row.max_retries, row.retries_left), (4, 5, 2));
        let error = plasmon::get(&shaky.panics_until(9).unwrap()).unwrap_err();
        assert!(matches!(error, Error::TaskPanicked { .. }), "{error}");
        assert_eq!(plasmon::get(&shaky.tries().unwrap()).unwrap(), 6, "one retry of its own");
        for unlisted in [shaky.lists_others(9).unwrap(), shaky.lists_none(9).unwrap()] {
            assert!(matches!(plasmon::get(&unlisted).unwrap_err(), Error::TaskFailed { .. }));
        }
        assert_eq!(plasmon::get(&shaky.tries().unwrap()).unwrap(), 8);
        assert_eq!(viewer.events_of(EventKind::TaskRetried), 4);
        assert_eq!(viewer.events_of(EventKind::ActorRestarted), 0);
        drop(shaky);
        drop((fourth, after));
        viewer.until_empty();
    });
}

#[test]
fn an_actor_is_made_anew_with_its_arguments_and_its_calls_in_order() {
    alone(|| {
        start(2.0);
        let mut viewer = Viewer::here();
        let options = ActorOptions::new().max_restarts(1).max_task_retries(1).name("journal");
        let lines = plasmon::put(&(0..1000).collect::<Vec<u32>>()[..]).unwrap();
        let journal = Journal::options(options).remote(&lines).unwrap();
        // Nobody but the actor keeps them from here on.
        drop(lines);
        assert_eq!(plasmon::get(&journal.write(1000).unwrap()).unwrap().len(), 1001);
        let before = plasmon::get(&journal.pid().unwrap()).unwrap();
        let again = journal.write_at_last(2000).unwrap();
        let later: Vec<_> = (1..=20).map(|line| journal.write(2000 + line).unwrap()).collect();
        Flag::named("dies").raise();
        // It begins anew, without what it was told before; the call that ran is sent again, before those that waited.
        let mut written: Vec<u32> = (0..1000).collect();
        written.push(2000);
        assert_eq!(plasmon::get(&again).unwrap()[..], written[..]);
        for (line, answer) in (2001..).zip(&later) {
            written.push(line);
            assert_eq!(plasmon::get(answer).unwrap()[..], written[..]);
        }
        assert_ne!(plasmon::get(&journal.pid().unwrap()).unwrap(), before);
        let row = viewer.actors().remove(0);
        assert_eq!((row.status, row.restarts, row.max_restarts), (ActorStatus::Alive, 1, 1));
        assert_eq!(viewer.events_of(EventKind::ActorRestarted), 1);
        assert_eq!(plasmon::get_actor::<Journal>("journal").unwrap().as_ref(), journal.as_ref());
        let call = viewer.tasks().into_iter().find(|row| row.name.ends_with("write_at_last")).unwrap();
        assert_eq!((call.attempt, call.retries_left, call.max_retries), (2, 0, 1));
        // The next death is its last.
        let death = journal.die().unwrap();
        let error = plasmon::get(&death).unwrap_err();
        assert!(matches!(&error, Error::ActorDied { cause, .. } if cause.contains("after 1 restart")), "{error}");
        assert!(matches!(plasmon::get_actor::<Journal>("journal"), Err(Error::NoActor { .. })));
        drop((journal, again, later, death));
        viewer.until_empty();
    });
}

#[test]
fn calls_without_retries_fail_and_those_that_waited_do_not() {
    alone(|| {
        start(2.0);
        let mut viewer = Viewer::here();
        let journal = Journal::options(ActorOptions::new().max_restarts(ENDLESS)).remote(&[][..]).unwrap();
        for round in 1..=4 {
            let death = journal.die().unwrap();
            let after = journal.write(round).unwrap();
            let error = plasmon::get(&death).unwrap_err();
            assert!(matches!(&error, Error::ActorDied { cause, .. } if cause.contains("made anew")), "{error}");
            assert_eq!(plasmon::get(&after).unwrap()[..], [round]);
        }
        let row = viewer.actors().remove(0);
        assert_eq!((row.status, row.restarts, row.max_restarts), (ActorStatus::Alive, 4, ENDLESS));
        assert_eq!(Flag::named("made").wait(), "5");
        drop(journal);
        viewer.until_empty();
    });
}

#[test]
fn a_kill_may_be_for_a_restart_or_for_good() {
    alone(|| {
        start(2.0);
        let mut viewer = Viewer::here();
        let options = ActorOptions::new().max_restarts(2).detached(true).name("journal");
        let journal = Journal::options(options).remote(&[1][..]).unwrap();
        let before = plasmon::get(&journal.pid().unwrap()).unwrap();
        let running = journal.wait("never").unwrap();
        Flag::named("began").wait();
        plasmon::kill_with(&journal, false).unwrap();
        assert!(matches!(plasmon::get(&running).unwrap_err(), Error::ActorDied { .. }));
        assert_ne!(plasmon::get(&journal.pid().unwrap()).unwrap(), before);
        assert_eq!(viewer.actors()[0].restarts, 1);
        // Handles are only handles: it is detached, and found by its name.
        drop((journal, running));
        let journal = plasmon::get_actor::<Journal>("journal").unwrap();
        assert_eq!(plasmon::get(&journal.write(2).unwrap()).unwrap()[..], [1, 2]);
        plasmon::kill(&journal).unwrap();
        assert!(matches!(plasmon::get(&journal.write(3).unwrap()).unwrap_err(), Error::ActorDied { .. }));
        eventually("it has ended", || viewer.actors()[0].status == ActorStatus::Dead);
        assert_eq!(viewer.actors()[0].restarts, 1);
        drop(journal);
        viewer.until_empty();
    });
}

#[test]
fn a_constructor_that_crashes_is_run_again_and_one_that_panics_is_not() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let fragile = Fragile::options(ActorOptions::new().max_restarts(3)).remote(2).unwrap();
        assert_eq!(plasmon::get(&fragile.seven().unwrap()).unwrap(), 7);
        assert_eq!(viewer.actors()[0].restarts, 2);
        assert!(Flag::named("constructed").lower());
        let lost = Fragile::options(ActorOptions::new().max_restarts(1)).remote(9).unwrap();
        assert!(matches!(plasmon::get(&lost.seven().unwrap()).unwrap_err(), Error::ActorDied { .. }));
        assert!(Flag::named("constructed").lower());
        let unsaid = Fragile::remote(1).unwrap();
        assert!(matches!(unsaid.ready().unwrap_err(), Error::ActorDied { .. }));
        drop((fragile, lost, unsaid));
        viewer.until_empty();
    });
}
