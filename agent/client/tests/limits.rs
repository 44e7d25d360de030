//! The largest things that programs do: many references in one message, deep nesting, many objects, few descriptors, little memory.

mod support;

use plasmon::{Error, ObjectRef};
use plasmon_protocol::record::ReferenceType;
use plasmon_protocol::record::ReferenceType::{CapturedInObject, LocalReference, UsedByPendingTask};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{Child, Flag, Report, Viewer, alone, attach, check, content, publish, role, start};

/// References in one message.
const MANY: u64 = 10_000;
/// Objects in one process.
const OBJECTS: u64 = 100_000;
/// Objects inside one another.
const DEEP: u64 = 200;
/// More of them than a thread's stack has room for calls.
const BOTTOMLESS: u64 = 20_000;

fn rows_of_type(report: &Report, kind: ReferenceType) -> usize {
    report.references.iter().filter(|row| row.reference_type == kind).count()
}

/// Whether each says its own place.
fn all_right(references: &[ObjectRef<u64>]) -> bool {
    references.iter().enumerate().all(|(index, reference)| plasmon::get(reference) == Ok(index as u64))
}

#[plasmon::remote]
fn are_right(inside: Vec<ObjectRef<u64>>, flag: &str) -> bool {
    Flag::named(flag).wait();
    all_right(&inside)
}

#[plasmon::remote]
fn make(count: u64) -> Result<Vec<ObjectRef<u64>>, Error> {
    (0..count).map(|number| plasmon::put(&number)).collect()
}

#[test]
fn ten_thousand_references_in_one_argument() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let puts: Vec<_> = (0..MANY).map(|number| plasmon::put(&number).unwrap()).collect();
        let result = are_right.remote(puts, "go").unwrap();
        let report = viewer.until("the worker holds all", |report| report.references.len() as u64 == 2 * MANY + 1);
        assert_eq!(rows_of_type(&report, UsedByPendingTask) as u64, MANY);
        assert_eq!(rows_of_type(&report, LocalReference) as u64, MANY + 1);
        assert_eq!(report.store.totals.unique_objects, MANY + 1);
        Flag::named("go").raise();
        assert_eq!(plasmon::get(&result), Ok(true));
        drop(result);
        viewer.until_empty();
    });
}

#[test]
fn ten_thousand_references_in_one_object_and_in_one_result() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let puts: Vec<_> = (0..MANY).map(|number| plasmon::put(&number).unwrap()).collect();
        let outer = plasmon::put(&puts).unwrap();
        drop(puts);
        let report = viewer.until("all are captured", |report| rows_of_type(report, CapturedInObject) as u64 == MANY);
        assert_eq!(report.references.len() as u64, MANY + 1);
        let inside = plasmon::get(&outer).unwrap();
        drop(outer);
        assert!(all_right(&inside));
        drop(inside);
        viewer.until_empty();

        let result = make.remote(MANY).unwrap();
        plasmon::wait(std::slice::from_ref(&result), 1, None).unwrap();
        let report = viewer.until("the result captures all", |report| report.references.len() as u64 == MANY + 1);
        assert_eq!(rows_of_type(&report, CapturedInObject) as u64, MANY);
        assert!(report.references.iter().all(|row| row.pid == std::process::id()), "a worker holds some");
        let inside = plasmon::get(&result).unwrap();
        assert!(inside.len() as u64 == MANY && all_right(&inside));
        drop((result, inside));
        viewer.until_empty();
    });
}

/// An object that holds another one, or none.
type Nested = Vec<ObjectRef<Shell>>;

#[derive(serde::Serialize, serde::Deserialize)]
struct Shell {
    depth: u64,
    inside: Nested,
}

#[test]
fn objects_two_hundred_deep_are_freed_with_the_outermost() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let nest = |levels: u64| {
            let innermost = plasmon::put(&Shell { depth: 0, inside: Vec::new() }).unwrap();
            (1..levels).fold(innermost, |inner, depth| plasmon::put(&Shell { depth, inside: vec![inner] }).unwrap())
        };
        let outermost = nest(DEEP);
        let report = viewer.until("all but one are captured", |report| rows_of_type(report, CapturedInObject) as u64 == DEEP - 1);
        assert_eq!(report.references.len() as u64, DEEP);
        let mut shell = plasmon::get(&outermost).unwrap();
        for depth in (0..DEEP - 1).rev() {
            shell = plasmon::get(&shell.inside[0]).unwrap();
            assert_eq!(shell.depth, depth);
        }
        drop(shell);
        drop(outermost);
        viewer.until_empty();
        // Nothing in the agent goes down by calling itself.
        let outermost = nest(BOTTOMLESS);
        viewer.until("all are there", |report| report.references.len() as u64 == BOTTOMLESS);
        drop(outermost);
        viewer.until_empty();
    });
}

#[test]
fn a_hundred_thousand_objects_in_one_process_that_dies() {
    alone(|| {
        if role().is_some() {
            attach();
            let held: Vec<_> = (0..OBJECTS).map(|number| plasmon::put(&number).unwrap()).collect();
            for index in (0..OBJECTS).step_by(997) {
                assert_eq!(plasmon::get(&held[index as usize]), Ok(index));
            }
            Flag::named("held").raise();
            Flag::named("never").wait();
        }
        publish(&start(1.0));
        let mut viewer = Viewer::here();
        let own = plasmon::put(&content(5, 1000)[..]).unwrap();
        let child = Child::start("holder");
        Flag::named("held").wait();
        // Every report checks its own sums: rows, unique objects, bytes and the ledger's lines.
        let report = viewer.report();
        assert_eq!(report.references.len() as u64, OBJECTS + 1);
        assert_eq!(report.store.totals.unique_objects, OBJECTS + 1);
        assert_eq!(report.references.iter().filter(|row| row.pid == child.pid()).count() as u64, OBJECTS);
        child.kill();
        viewer.until("its rows are gone", |report| report.references.len() == 1);
        check(&plasmon::get(&own).unwrap()).unwrap();
        drop(own);
        viewer.until_empty();
    });
}

#[test]
fn a_process_without_descriptors_goes_on() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        assert!(plasmon::get(&make.remote(1).unwrap()).is_ok(), "a worker is there");
        let before = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(1), ..before }).unwrap();
        assert!(std::fs::File::open("/dev/null").is_err(), "descriptors are left");
        let mut held = Vec::new();
        for round in 0..200_u64 {
            let length = if round % 20 == 0 { 50_000 } else { 100 };
            held.push(plasmon::put(&content(round, length)[..]).unwrap());
            check(&plasmon::get(&held[round as usize / 2]).unwrap()).unwrap();
            if held.len() > 20 && round % 20 == 0 {
                let made = plasmon::get(&make.remote(10).unwrap()).unwrap();
                assert!(all_right(&made));
            }
        }
        setrlimit(Resource::Nofile, before).unwrap();
        drop(held);
        viewer.until_empty();
    });
}
