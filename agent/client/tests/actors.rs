//! Actors: created, called in order, found by name, ended with their last handle or without mercy.

mod support;

use std::time::Duration;

use plasmon::{ActorOptions, Error, ObjectRef};
use plasmon_protocol::record::{ActorStatus, ReferenceType};
use serde::{Deserialize, Serialize};
use support::{Flag, Viewer, alone, start};

struct Counter {
    total: u64,
}

#[plasmon::actor]
impl Counter {
    fn new(total: u64) -> Self {
        Self { total }
    }

    fn add(&mut self, amount: u64) -> u64 {
        self.total += amount;
        self.total
    }

    fn total(&self) -> u64 {
        self.total
    }

    #[method(num_returns = 2)]
    fn halves(&self) -> (u64, u64) {
        (self.total / 2, self.total - self.total / 2)
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }

    fn fail(&mut self, words: &str) -> Result<u64, String> {
        Err(words.to_owned())
    }

    fn panic(&mut self) {
        panic!("on purpose");
    }

    fn exit(&self, code: i32) {
        std::process::exit(code);
    }

    fn sum(&self, numbers: &[u64]) -> u64 {
        numbers.iter().sum()
    }

    fn hold(&self, flag: &str) {
        Flag::named(flag).wait();
    }
}

#[plasmon::remote]
fn add_through(counter: CounterHandle, amount: u64) -> Result<u64, Error> {
    plasmon::get(&counter.add(amount)?)
}

#[plasmon::remote]
fn hold_handle(counter: CounterHandle, flag: &str) {
    Flag::named("held").say(&std::process::id().to_string());
    Flag::named(flag).wait();
    drop(counter);
}

#[test]
fn an_actor_keeps_its_state_and_runs_calls_in_order() {
    alone(|| {
        start(2.0);
        let counter = Counter::remote(5).unwrap();
        let sums: Vec<_> = (1..=100).map(|amount| counter.add(amount).unwrap()).collect();
        let mut total = 5;
        for (sum, amount) in sums.iter().zip(1..) {
            total += amount;
            assert_eq!(plasmon::get(sum).unwrap(), total);
        }
        let (one, other) = counter.halves().unwrap();
        assert_eq!(plasmon::get(&one).unwrap() + plasmon::get(&other).unwrap(), total);
        let numbers = plasmon::put(&[1_u64, 2, 3][..]).unwrap();
        assert_eq!(plasmon::get(&counter.sum(&numbers).unwrap()).unwrap(), 6);
        assert_ne!(plasmon::get(&counter.pid().unwrap()).unwrap(), std::process::id());
    });
}

#[test]
fn a_call_waits_for_its_arguments_and_holds_up_those_after_it() {
    #[plasmon::remote]
    fn later(flag: &str) -> u64 {
        Flag::named(flag).wait();
        7
    }
    alone(|| {
        start(2.0);
        let counter = Counter::remote(0).unwrap();
        let flag = Flag::named("later");
        let first = counter.add(later.remote("later").unwrap()).unwrap();
        let second = counter.add(1).unwrap();
        let (ready, _) = plasmon::wait(&[first.clone(), second.clone()], 1, Some(Duration::from_millis(50))).unwrap();
        assert!(ready.is_empty());
        flag.raise();
        assert_eq!(plasmon::get(&first).unwrap(), 7);
        assert_eq!(plasmon::get(&second).unwrap(), 8);
    });
}

#[test]
fn failing_methods_fail_their_calls_alone() {
    alone(|| {
        start(1.0);
        let counter = Counter::remote(1).unwrap();
        let error = plasmon::get(&counter.fail("no").unwrap()).unwrap_err();
        assert!(matches!(&error, Error::TaskFailed { message, name, .. } if message == "no" && name.ends_with("Counter::fail")), "{error}");
        let error = plasmon::get(&counter.panic().unwrap()).unwrap_err();
        assert!(matches!(&error, Error::TaskPanicked { message, .. } if message == "on purpose"), "{error}");
        assert_eq!(plasmon::get(&counter.add(1).unwrap()).unwrap(), 2);
    });
}

#[test]
fn a_handle_goes_where_references_go() {
    #[derive(Serialize, Deserialize)]
    struct Parcel {
        counters: Vec<CounterHandle>,
    }
    alone(|| {
        start(2.0);
        let counter = Counter::remote(0).unwrap();
        assert_eq!(plasmon::get(&add_through.remote(&counter, 3).unwrap()).unwrap(), 3);
        let parcel = plasmon::put(&Parcel { counters: vec![counter.clone(), counter.clone()] }).unwrap();
        let id = counter.id();
        drop(counter);
        let opened = plasmon::get(&parcel).unwrap();
        assert_eq!(opened.counters[0].id(), id);
        assert_eq!(plasmon::get(&opened.counters[1].add(1).unwrap()).unwrap(), 4);
    });
}

#[test]
fn an_actor_ends_with_its_last_handle_after_what_was_called() {
    struct Leaves {
        flag: Flag,
    }
    #[plasmon::actor]
    impl Leaves {
        fn new(flag: &str) -> Self {
            Self { flag: Flag::named(flag) }
        }

        fn hold(&self, flag: &str) -> u8 {
            Flag::named(flag).wait();
            9
        }
    }
    impl Drop for Leaves {
        fn drop(&mut self) {
            // What a destructor does is still served.
            let value = plasmon::put(&[1_u8][..]).unwrap();
            assert_eq!(*plasmon::get(&value).unwrap(), [1]);
            self.flag.raise();
        }
    }
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let (gone, go) = (Flag::named("gone"), Flag::named("go"));
        let actor = Leaves::remote("gone").unwrap();
        let call = actor.hold("go").unwrap();
        drop(actor);
        assert!(!gone.is_raised());
        go.raise();
        assert_eq!(plasmon::get(&call).unwrap(), 9);
        gone.wait();
        drop(call);
        viewer.until_empty();
        let actors = viewer.actors();
        assert_eq!(actors.len(), 1);
        assert_eq!((actors[0].status, actors[0].cause.as_deref()), (ActorStatus::Dead, Some("its last handle is gone")));
    });
}

#[test]
fn names_find_actors_until_they_end() {
    alone(|| {
        start(1.0);
        assert!(matches!(plasmon::get_actor::<Counter>("c").unwrap_err(), Error::NoActor { .. }));
        let counter = Counter::options(ActorOptions::new().name("c")).remote(1).unwrap();
        let taken = Counter::options(ActorOptions::new().name("c")).remote(1).unwrap_err();
        assert!(matches!(&taken, Error::ActorNameTaken { name, class, .. } if name == "c" && class == "Counter"), "{taken}");
        let found = plasmon::get_actor::<Counter>("c").unwrap();
        assert_eq!(found.id(), counter.id());
        assert_eq!(plasmon::get(&found.add(2).unwrap()).unwrap(), 3);
        plasmon::kill(&counter).unwrap();
        let again = Counter::options(ActorOptions::new().name("c")).remote(10).unwrap();
        assert_eq!(plasmon::get(&again.total().unwrap()).unwrap(), 10);
        assert_ne!(again.id(), counter.id());
    });
}

#[test]
fn calls_of_a_dead_actor_name_it_and_what_ended_it() {
    alone(|| {
        start(1.0);
        let counter = Counter::options(ActorOptions::new().name("doomed")).remote(1).unwrap();
        let pid = plasmon::get(&counter.pid().unwrap()).unwrap();
        let died = |error: Error, why: &str| match &error {
            Error::ActorDied { class, name, pid: died, site, cause, .. } => {
                assert_eq!((class.as_str(), name.as_str(), *died), ("Counter", "doomed", pid), "{error}");
                assert!(site.contains("actors.rs"), "{error}");
                assert!(cause.contains(why), "{error}");
            }
            other => panic!("{other}"),
        };
        let (running, queued) = (counter.hold("never").unwrap(), counter.add(1).unwrap());
        plasmon::kill(&counter).unwrap();
        died(plasmon::get(&running).unwrap_err(), "killed by process");
        died(plasmon::get(&queued).unwrap_err(), "killed by process");
        died(plasmon::get(&counter.add(1).unwrap()).unwrap_err(), "killed by process");
        died(counter.ready().unwrap_err(), "killed by process");

        let counter = Counter::remote(1).unwrap();
        let error = plasmon::get(&counter.exit(3).unwrap()).unwrap_err();
        assert!(matches!(&error, Error::ActorDied { cause, .. } if cause.contains("exit code 3")), "{error}");

        let counter = Counter::remote(1).unwrap();
        let pid = plasmon::get(&counter.pid().unwrap()).unwrap();
        let running = counter.hold("never").unwrap();
        support::kill(pid);
        for call in [plasmon::get(&running).unwrap_err(), plasmon::get(&counter.panic().unwrap()).unwrap_err()] {
            assert!(matches!(&call, Error::ActorDied { cause, pid: died, .. } if cause.contains("SIGKILL") && *died == pid), "{call}");
        }
    });
}

#[test]
fn a_constructor_that_fails_is_the_cause() {
    struct Never;
    #[plasmon::actor]
    impl Never {
        fn new(panics: bool) -> Result<Self, String> {
            if panics { panic!("in the constructor") } else { Err("not today".to_owned()) }
        }

        fn call(&self) {}
    }
    alone(|| {
        start(1.0);
        for (panics, why) in [(true, "in the constructor"), (false, "not today")] {
            let never = Never::remote(panics).unwrap();
            let error = plasmon::get(&never.call().unwrap()).unwrap_err();
            assert!(matches!(&error, Error::ActorDied { cause, .. } if cause.contains(why)), "{error}");
            assert!(never.ready().is_err());
        }
    });
}

#[test]
fn calls_run_side_by_side_where_they_may() {
    struct Meeting {
        met: std::sync::Barrier,
    }
    #[plasmon::actor(max_concurrency = 3)]
    impl Meeting {
        fn new() -> Self {
            Self { met: std::sync::Barrier::new(3) }
        }

        fn meet(&self) -> u32 {
            self.met.wait();
            std::process::id()
        }
    }
    alone(|| {
        start(1.0);
        let meeting = Meeting::remote().unwrap();
        let calls: Vec<_> = (0..6).map(|_| meeting.meet().unwrap()).collect();
        let pids: Vec<u32> = calls.iter().map(|call| plasmon::get(call).unwrap()).collect();
        assert!(pids.iter().all(|pid| *pid == pids[0]));
    });
}

#[test]
fn calls_that_may_run_side_by_side_keep_their_order_where_it_shows() {
    struct Diary {
        pages: Vec<u64>,
    }
    #[plasmon::actor(max_concurrency = 8)]
    impl Diary {
        fn new() -> Self {
            Self { pages: Vec::new() }
        }

        fn write(&mut self, page: u64) {
            self.pages.push(page);
        }

        fn length(&self) -> u64 {
            self.pages.len() as u64
        }

        fn read(&self) -> Vec<u64> {
            self.pages.clone()
        }
    }
    alone(|| {
        start(2.0);
        let diary = Diary::remote().unwrap();
        let mut lengths = Vec::new();
        for page in 0..2000 {
            diary.write(page).unwrap();
            lengths.push(diary.length().unwrap());
        }
        assert!(plasmon::get(&diary.read().unwrap()).unwrap().iter().copied().eq(0..2000));
        for (page, length) in lengths.iter().enumerate() {
            assert_eq!(plasmon::get(length).unwrap(), page as u64 + 1);
        }
    });
}

#[test]
fn an_actor_holds_its_cpu_only_when_it_says_so() {
    alone(|| {
        start(1.0);
        let idle: Vec<_> = (0..3).map(|_| Counter::remote(0).unwrap()).collect();
        idle.iter().for_each(|counter| counter.ready().unwrap());
        let busy = Counter::options(ActorOptions::new().num_cpus(1.0)).remote(0).unwrap();
        busy.ready().unwrap();
        let mut viewer = Viewer::here();
        assert_eq!(viewer.report().store.node.used_cpus, 1.0);
        let next = Counter::remote(0).unwrap();
        drop(busy);
        next.ready().unwrap();
        viewer.until("the CPU is given back", |report| report.store.node.used_cpus == 0.0);
    });
}

#[test]
fn every_process_with_a_handle_has_one_row() {
    alone(|| {
        start(2.0);
        let mut viewer = Viewer::here();
        let counter = Counter::remote(0).unwrap();
        counter.ready().unwrap();
        let copies = vec![counter.clone(); 3];
        let report = viewer.report();
        let rows: Vec<_> = report.references.iter().filter(|row| row.object_id.0 == counter.id().0).collect();
        assert_eq!(rows.len(), 1, "{rows:?}");
        assert_eq!((rows[0].reference_type, rows[0].pid), (ReferenceType::ActorHandle, std::process::id()));
        assert_eq!(rows[0].call_site.kind.word(), "(actor call)");
        let inside = plasmon::put(&copies).unwrap();
        let holder = hold_handle.remote(&counter, "go").unwrap();
        let worker: u32 = Flag::named("held").wait().parse().unwrap();
        drop(copies);
        let report = viewer.report();
        let mut rows: Vec<_> = report.references.iter().filter(|row| row.object_id.0 == counter.id().0).collect();
        rows.sort_by_key(|row| row.pid == worker);
        let counts: Vec<_> = rows.iter().map(|row| (row.reference_type, row.pid, row.local, row.submitted, row.captured)).collect();
        let handle = ReferenceType::ActorHandle;
        assert_eq!(counts, [(handle, std::process::id(), 1, 1, 1), (handle, worker, 1, 0, 0)]);
        assert_eq!(rows[1].call_site.kind.word(), "(deserialize task arg)");
        Flag::named("go").raise();
        plasmon::get(&holder).unwrap();
        drop((counter, inside, holder));
        viewer.until_empty();
    });
}

struct Hoard {
    kept: Vec<ObjectRef<[u64]>>,
}

#[plasmon::actor]
impl Hoard {
    fn new() -> Self {
        Self { kept: Vec::new() }
    }

    fn keep(&mut self, references: Vec<ObjectRef<[u64]>>) -> usize {
        self.kept.extend(references);
        self.kept.len()
    }

    fn sum(&self) -> Result<u64, Error> {
        self.kept.iter().map(|kept| Ok(plasmon::get(kept)?.iter().sum::<u64>())).sum()
    }
}

#[test]
fn references_that_an_actor_stored_stay_its_own() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let hoard = Hoard::remote().unwrap();
        for round in 1..=5 {
            let object = plasmon::put(&[round; 100][..]).unwrap();
            assert_eq!(plasmon::get(&hoard.keep(vec![object]).unwrap()).unwrap(), round as usize);
        }
        let report = viewer.until("five rows are the actor's", |report| {
            report.references.iter().filter(|row| row.reference_type == ReferenceType::LocalReference).count() == 5
        });
        for row in report.references.iter().filter(|row| row.reference_type == ReferenceType::LocalReference) {
            assert_ne!(row.pid, std::process::id());
            assert_eq!(row.call_site.kind.word(), "(deserialize actor task arg)");
            assert_eq!(row.created_site.kind.word(), "(put object)");
            assert_eq!(row.size_bytes, Some(800));
        }
        assert_eq!(plasmon::get(&hoard.sum().unwrap()).unwrap(), 1500);
        // A call ends a little after its result is there.
        support::eventually("all six calls are done", || viewer.actors()[0].calls_done == 6);
        let actors = viewer.actors();
        assert_eq!((actors[0].references, actors[0].held_bytes), (5, 4000));
        drop(hoard);
        viewer.until_empty();
    });
}
