//! Two drivers at once, actors that outlive their drivers, and references that outlive their messengers.

mod support;

use plasmon::{ActorOptions, Error, ObjectRef};
use plasmon_protocol::record::{EventKind, ProcessType, ReferenceType};
use support::{Child, Flag, Viewer, alone, attach, check, content, eventually, is_alive, kill, publish, role, start};

type Numbers = ObjectRef<[u64]>;

/// Where drivers leave references for each other.
struct Board {
    pinned_up: Vec<Numbers>,
}

#[plasmon::actor]
impl Board {
    fn new() -> Self {
        Self { pinned_up: Vec::new() }
    }

    fn post(&mut self, references: Vec<Numbers>) {
        self.pinned_up.extend(references);
    }

    fn take(&mut self) -> Vec<Numbers> {
        std::mem::take(&mut self.pinned_up)
    }

    fn check(&self) -> Result<usize, String> {
        let read = |numbers: &Numbers| check(&plasmon::get(numbers).map_err(|error| error.to_string())?);
        self.pinned_up.iter().try_for_each(read).map(|()| self.pinned_up.len())
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }

    /// Runs a task, which takes a worker of this actor's job.
    fn delegate(&self, seed: u64) -> Result<Numbers, Error> {
        make.remote(seed)
    }
}

#[plasmon::remote]
fn make(seed: u64) -> Vec<u64> {
    content(seed, 3000)
}

#[plasmon::remote]
fn hang(flag: &str) -> Vec<u64> {
    Flag::named(flag).wait();
    content(5, 10)
}

/// Passes references on to a board; those of its own making too.
#[plasmon::remote]
fn relay(board: BoardHandle, references: Vec<Numbers>, flag: &str) -> Result<u32, Error> {
    let own = plasmon::put(&content(77, 4000)[..])?;
    board.post(references)?;
    plasmon::get(&board.post(vec![own])?)?;
    Flag::named(flag).say(&std::process::id().to_string());
    Flag::named("never").wait();
    Ok(0)
}

#[test]
fn one_drivers_death_leaves_the_others_job_alone() {
    alone(|| {
        if role().is_some() {
            attach();
            let board = plasmon::get_actor::<Board>("board").unwrap();
            let put = plasmon::put(&content(1, 5000)[..]).unwrap();
            let done = make.remote(2).unwrap();
            check(&plasmon::get(&done).unwrap()).unwrap();
            let running = hang.remote("never").unwrap();
            let queued: Vec<_> = (0..5).map(|_| hang.remote("never").unwrap()).collect();
            plasmon::get(&board.post(vec![put, done, running, queued[4].clone()]).unwrap()).unwrap();
            Flag::named("posted").raise();
            Flag::named("never").wait();
        }
        let info = start(2.0);
        publish(&info);
        let mut viewer = Viewer::here();
        let board = Board::options(ActorOptions::new().name("board")).remote().unwrap();
        let (mine, own) = (plasmon::put(&content(9, 1000)[..]).unwrap(), hang.remote("go").unwrap());
        let child = Child::start("driver");
        Flag::named("posted").wait();
        let theirs: Vec<u32> = viewer.processes().iter().filter(|row| row.job.0 == 2).map(|row| row.pid).collect();
        assert!(theirs.len() >= 2, "{theirs:?}");
        child.kill();
        eventually("the other job's processes are gone", || theirs.iter().all(|pid| !is_alive(*pid)));
        let references = plasmon::get(&board.take().unwrap()).unwrap();
        check(&plasmon::get(&references[0]).unwrap()).unwrap();
        check(&plasmon::get(&references[1]).unwrap()).unwrap();
        for reference in &references[2..] {
            let error = plasmon::get(reference).unwrap_err();
            assert!(matches!(&error, Error::TaskCancelled { job: 2, cause, .. } if cause.contains("its driver")), "{error}");
        }
        check(&plasmon::get(&mine).unwrap()).unwrap();
        Flag::named("go").raise();
        check(&plasmon::get(&own).unwrap()).unwrap();
        drop((references, mine, own, board));
        viewer.until_empty();
    });
}

#[test]
fn a_drivers_actors_end_with_it() {
    alone(|| {
        if role().is_some() {
            attach();
            let board = Board::options(ActorOptions::new().name("short")).remote().unwrap();
            board.ready().unwrap();
            Flag::named("there").raise();
            Flag::named("leave").wait();
            plasmon::shutdown().unwrap();
            return;
        }
        let info = start(2.0);
        publish(&info);
        let mut viewer = Viewer::here();
        let child = Child::start("driver");
        Flag::named("there").wait();
        let board = plasmon::get_actor::<Board>("short").unwrap();
        let pid = plasmon::get(&board.pid().unwrap()).unwrap();
        Flag::named("leave").raise();
        let driver = child.pid();
        child.succeed();
        eventually("its actor's process is gone", || !is_alive(pid));
        eventually("calls say so", || plasmon::get(&board.pid().unwrap()).is_err());
        let error = plasmon::get(&board.check().unwrap()).unwrap_err();
        let cause = format!("job 2 is over: its driver {driver} ended");
        assert!(matches!(&error, Error::ActorDied { cause: said, pid: died, .. } if *said == cause && *died == pid), "{error}");
        assert!(matches!(plasmon::get_actor::<Board>("short").unwrap_err(), Error::NoActor { .. }));
        drop(board);
        viewer.until_empty();
    });
}

#[test]
fn a_detached_actor_outlives_its_driver_with_all_that_it_starts() {
    alone(|| {
        if role().is_some() {
            attach();
            let options = ActorOptions::new().name("long").detached(true);
            let board = Board::options(options).remote().unwrap();
            let own = plasmon::put(&content(3, 6000)[..]).unwrap();
            plasmon::get(&board.post(vec![own]).unwrap()).unwrap();
            Flag::named("there").raise();
            Flag::named("never").wait();
        }
        let info = start(2.0);
        publish(&info);
        let mut viewer = Viewer::here();
        let child = Child::start("driver");
        Flag::named("there").wait();
        child.kill();
        eventually("its driver's end is known", || viewer.events_of(EventKind::DriverEnded) == 1);
        let report = viewer.report();
        let handles: Vec<_> = report.references.iter().filter(|row| row.reference_type == ReferenceType::ActorHandle).collect();
        assert_eq!((handles.len(), handles[0].process_type), (1, ProcessType::Agent), "{handles:?}");
        let board = plasmon::get_actor::<Board>("long").unwrap();
        assert_eq!(plasmon::get(&board.check().unwrap()).unwrap(), 1);
        // Its driver is dead; the program that workers are started from is not.
        let made = plasmon::get(&board.delegate(8).unwrap()).unwrap();
        check(&plasmon::get(&made).unwrap()).unwrap();
        drop(made);
        let actors = viewer.actors();
        assert!(actors[0].detached && actors[0].name.as_deref() == Some("long"), "{actors:?}");
        plasmon::kill(&board).unwrap();
        drop(board);
        viewer.until_empty();
        eventually("its job's workers are gone", || viewer.processes().len() == 2);
    });
}

#[test]
fn references_outlive_the_process_that_passed_them_on() {
    alone(|| {
        start(2.0);
        let mut viewer = Viewer::here();
        let board = Board::remote().unwrap();
        let object = plasmon::put(&content(1, 5000)[..]).unwrap();
        let result = make.remote(2).unwrap();
        let options = plasmon::TaskOptions::new().max_retries(0);
        let relayed = relay.options(options).remote(&board, vec![object.clone(), result.clone()], "relayed").unwrap();
        let messenger = Flag::named("relayed").wait().parse().unwrap();
        drop((object, result));
        kill(messenger);
        assert!(matches!(plasmon::get(&relayed).unwrap_err(), Error::WorkerCrashed { .. }));
        assert_eq!(plasmon::get(&board.check().unwrap()).unwrap(), 3);
        // From there to another process again.
        let taken = plasmon::get(&board.take().unwrap()).unwrap();
        plasmon::kill(&board).unwrap();
        taken.iter().for_each(|numbers| check(&plasmon::get(numbers).unwrap()).unwrap());
        drop((taken, relayed, board));
        viewer.until_empty();
    });
}

#[test]
fn calls_of_a_caller_that_died_are_run_all_the_same() {
    struct Tally(u64);
    #[plasmon::actor]
    impl Tally {
        fn new() -> Self {
            Self(0)
        }

        fn add(&mut self, gate: &str) {
            Flag::named(gate).wait();
            self.0 += 1;
        }

        fn total(&self) -> u64 {
            self.0
        }
    }
    #[plasmon::remote(max_retries = 0)]
    fn call_and_wait(tally: TallyHandle) -> Result<u32, Error> {
        let calls: Vec<_> = (0..4).map(|_| tally.add("gate")).collect::<Result<_, _>>()?;
        Flag::named("called").say(&std::process::id().to_string());
        calls.iter().try_for_each(plasmon::get)?;
        Ok(0)
    }
    alone(|| {
        start(2.0);
        let mut viewer = Viewer::here();
        let tally = Tally::remote().unwrap();
        let caller = call_and_wait.remote(&tally).unwrap();
        let pid = Flag::named("called").wait().parse().unwrap();
        eventually("all calls have arrived", || viewer.actors().iter().any(|row| row.queued + row.running == 4));
        kill(pid);
        plasmon::get(&caller).unwrap_err();
        Flag::named("gate").raise();
        eventually("all four were run", || plasmon::get(&tally.total().unwrap()).unwrap() == 4);
        drop((caller, tally));
        viewer.until_empty();
    });
}
