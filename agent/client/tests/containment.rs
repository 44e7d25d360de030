//! References inside arguments, puts and results: who holds what lies inside.

mod support;

use plasmon::ObjectRef;
use plasmon_protocol::record::ReferenceRow;
use plasmon_protocol::record::ReferenceType::{CapturedInObject, LocalReference, UsedByPendingTask};
use plasmon_protocol::record::SiteKind::{DeserializeTaskArg, PutObject, TaskCall};
use plasmon_protocol::stream::{Detail, Target};
use support::{Expected, Flag, Place, Viewer, alone, at, line_of, start};

const NUMBERS: usize = 1000;
const BYTES: u64 = 8000;

fn numbers() -> Vec<f64> {
    (0..NUMBERS).map(|number| number as f64).collect()
}

fn is_named(row: &ReferenceRow) -> bool {
    !row.call_site.function.is_empty()
}

const HOLD_INSIDE: Place = line_of!();
#[plasmon::remote]
fn hold_inside(inside: Vec<ObjectRef<[f64]>>, flag: &str) -> u64 {
    Flag::named(flag).wait();
    inside.len() as u64
}

#[plasmon::remote]
fn sums(inside: Vec<ObjectRef<[f64]>>) -> Result<Vec<f64>, plasmon::Error> {
    inside.iter().map(|reference| Ok(plasmon::get(reference)?.iter().sum())).collect()
}

const MAKE_LINE: u32 = line!() + 3;
#[plasmon::remote]
fn make() -> Result<Vec<ObjectRef<[f64]>>, plasmon::Error> {
    (0..2).map(|_| plasmon::put(&numbers()[..])).collect()
}

#[test]
fn a_reference_inside_an_argument_is_a_local_reference_of_the_worker() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let name = "a_reference_inside_an_argument_is_a_local_reference_of_the_worker";
        let (put, put_at) = at!(plasmon::put(&numbers()[..]).unwrap());
        let (result, call_at) = at!(hold_inside.remote(vec![put.clone()], "go").unwrap());
        let worker = |id| Expected::worker(id, LocalReference, [1, 0, 0, 0]).at(DeserializeTaskArg, HOLD_INSIDE, "hold_inside");
        let id = put.id();
        let report = viewer.until_rows(&[
            Expected::driver(id, UsedByPendingTask, [1, 0, 1, 0]).at(PutObject, put_at, name).sized(BYTES),
            worker(id).sized(BYTES),
            Expected::driver(result.id(), LocalReference, [1, 0, 0, 0]).at(TaskCall, call_at, name),
        ]);
        assert_eq!(report.ledger().argument_bytes, BYTES);
        drop(put);
        viewer.until_rows(&[
            Expected::driver(id, UsedByPendingTask, [0, 0, 1, 0]).at(PutObject, put_at, name).sized(BYTES),
            worker(id).sized(BYTES),
            Expected::driver(result.id(), LocalReference, [1, 0, 0, 0]).at(TaskCall, call_at, name),
        ]);
        Flag::named("go").raise();
        assert_eq!(plasmon::get(&result).unwrap(), 1);
        drop(result);
        viewer.until_empty();
    });
}

#[test]
fn an_argument_may_be_the_only_holder_of_what_is_inside() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let result = hold_inside.remote(vec![plasmon::put(&numbers()[..]).unwrap()], "go").unwrap();
        let report = viewer.until("the worker holds it", |report| report.references.len() == 3);
        let inside: Vec<_> = report.references.iter().filter(|row| row.object_id != result.id()).collect();
        let counts: Vec<_> = inside.iter().map(|row| (row.reference_type, row.local, row.submitted)).collect();
        assert!(counts.contains(&(UsedByPendingTask, 0, 1)) && counts.contains(&(LocalReference, 1, 0)), "{counts:?}");
        Flag::named("go").raise();
        assert_eq!(plasmon::get(&result).unwrap(), 1);
        let nested = plasmon::put(&vec![plasmon::put(&numbers()[..]).unwrap()]).unwrap();
        assert_eq!(plasmon::get(&plasmon::get(&nested).unwrap()[0]).unwrap()[999], 999.0);
        drop((result, nested));
        viewer.until_empty();
    });
}

#[test]
fn many_references_inside_an_argument_that_is_not_inlined() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let puts: Vec<_> = (0..1500).map(|_| plasmon::put(&numbers()[..]).unwrap()).collect();
        let result = hold_inside.remote(puts.clone(), "go").unwrap();
        let report = viewer.until("the worker holds all", |report| report.references.len() == 3001);
        // The argument itself is nobody's object: no row, and no object of the store's.
        assert_eq!((report.store.totals.unique_objects, report.store.objects), (1501, 1501));
        assert_eq!(report.store.totals.unique_bytes, 1500 * BYTES);
        let of_type = |kind| report.references.iter().filter(|row| row.reference_type == kind).count();
        assert_eq!((of_type(UsedByPendingTask), of_type(LocalReference)), (1500, 1501));
        assert!(report.ledger().argument_bytes > 1500 * BYTES, "the argument's own bytes are in the ledger");
        Flag::named("go").raise();
        assert_eq!(plasmon::get(&result).unwrap(), 1500);
        assert_eq!(plasmon::get(&sums.remote(puts.clone()).unwrap()).unwrap()[..], [499_500.0; 1500]);
        drop((puts, result));
        viewer.until_empty();
    });
}

#[test]
fn references_inside_puts_are_captured_three_deep() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let name = "references_inside_puts_are_captured_three_deep";
        let (inner, inner_at) = at!(plasmon::put(&numbers()[..]).unwrap());
        let (middle, middle_at) = at!(plasmon::put(&vec![inner.clone(), inner.clone()]).unwrap());
        let (outer, outer_at) = at!(plasmon::put(&Some(middle.clone())).unwrap());
        let inner_row = |kind, counts| Expected::driver(inner.id(), kind, counts).at(PutObject, inner_at, name).sized(BYTES);
        let middle_row = |kind, counts| Expected::driver(middle.id(), kind, counts).at(PutObject, middle_at, name).sized(33);
        let outer_row = Expected::driver(outer.id(), LocalReference, [1, 0, 0, 0]).at(PutObject, outer_at, name).sized(17);
        viewer.until_rows(&[inner_row(LocalReference, [1, 0, 0, 1]), middle_row(LocalReference, [1, 0, 0, 1]), outer_row.clone()]);
        let (inner_captured, middle_captured) = (inner_row(CapturedInObject, [0, 0, 0, 1]), middle_row(CapturedInObject, [0, 0, 0, 1]));
        let (inner_held, inner_id) = (inner_row(LocalReference, [1, 0, 0, 1]), inner.id());
        drop((inner, middle));
        let report = viewer.until_rows(&[inner_captured.clone(), middle_captured.clone(), outer_row.clone()]);
        assert_eq!((report.ledger().captured_bytes, report.ledger().referenced_bytes), (BYTES + 33, 17));
        let Some(Detail::Object(detail)) = viewer.detail(Target::Object(inner_id)) else { panic!("no detail") };
        assert_eq!(detail.contained_in.len(), 1);
        assert_eq!((detail.holders.len(), detail.object.captured), (1, 1));
        // Down again, by reading.
        let middle = plasmon::get(&outer).unwrap().unwrap();
        let found = plasmon::get(&middle).unwrap();
        assert_eq!(found[0], found[1]);
        drop(middle);
        assert_eq!(plasmon::get(&found[1]).unwrap()[999], 999.0);
        viewer.until("the inner one is local again", |report| {
            support::rows_of(&report.references).contains(&{
                let mut row = inner_held.clone();
                row = row.counted([2, 0, 0, 1]);
                row
            })
        });
        // The inner one outlives what contained it.
        drop(outer);
        let report = viewer.report();
        assert_eq!((report.references.len(), report.ledger().referenced_bytes), (1, BYTES));
        drop(found);
        viewer.until_empty();
    });
}

#[test]
fn dropping_the_outermost_frees_everything_inside() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let outer = {
            let inner: Vec<_> = (0..50).map(|_| plasmon::put(&numbers()[..]).unwrap()).collect();
            let middle: Vec<_> = inner.chunks(5).map(|part| plasmon::put(&part.to_vec()).unwrap()).collect();
            plasmon::put(&middle).unwrap()
        };
        let report = viewer.report();
        assert_eq!(report.references.iter().filter(|row| row.reference_type == CapturedInObject).count(), 60);
        assert_eq!(report.references.len(), 61);
        drop(outer);
        viewer.until_empty();
    });
}

#[test]
fn references_returned_from_a_task_are_captured_by_its_submitter() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let name = "references_returned_from_a_task_are_captured_by_its_submitter";
        let (outer, call_at) = at!(make.remote().unwrap());
        plasmon::wait(std::slice::from_ref(&outer), 1, None).unwrap();
        let report = viewer.until("two captured rows", |report| {
            report.references.len() == 3 && report.references.iter().all(|row| is_named(row) && !row.created_site.function.is_empty())
        });
        let captured: Vec<_> = report.references.iter().filter(|row| row.reference_type == CapturedInObject).collect();
        assert_eq!(captured.len(), 2);
        for row in captured {
            assert_eq!((row.pid, row.size_bytes), (std::process::id(), Some(BYTES)));
            assert_eq!([row.local, row.pinned, row.submitted, row.captured], [0, 0, 0, 1]);
            assert_eq!((row.call_site.kind, row.call_site.line, row.call_site.short_function()), (TaskCall, call_at.line, name));
            let created = &row.created_site;
            assert_eq!((created.kind, created.line, created.short_function()), (PutObject, MAKE_LINE, "make"));
            assert_ne!(row.creator_pid, std::process::id());
        }
        assert_eq!(report.ledger().captured_bytes, 2 * BYTES);
        let inside = plasmon::get(&outer).unwrap();
        drop(outer);
        let report = viewer.until("the submitter's own", |report| report.references.len() == 2);
        assert!(report.references.iter().all(|row| row.reference_type == LocalReference && row.captured == 0));
        for reference in &inside {
            assert_eq!(*plasmon::get(reference).unwrap(), numbers()[..]);
        }
        drop(inside);
        viewer.until_empty();
    });
}
