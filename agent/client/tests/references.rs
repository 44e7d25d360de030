//! The reference table in every situation that it tells apart, row by row.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use plasmon::ObjectRef;
use plasmon_protocol::record::ReferenceType::{LocalReference, PinnedInMemory, UsedByPendingTask};
use plasmon_protocol::record::SiteKind::{DeserializeTaskArg, PutObject, TaskCall};
use plasmon_protocol::record::{ObjectState, ReferenceRow, TaskStatus};
use plasmon_protocol::stream::{Detail, Target};
use support::{Expected, Flag, Place, Viewer, alone, at, line_of, start};

const NUMBERS: usize = 1000;
const BYTES: u64 = 8000;

fn numbers() -> Vec<f64> {
    (0..NUMBERS).map(|number| number as f64).collect()
}

fn row_of<T: ?Sized>(rows: &[ReferenceRow], reference: &ObjectRef<T>) -> ReferenceRow {
    let mut found = rows.iter().filter(|row| row.object_id == reference.id());
    let row = found.next().unwrap().clone();
    assert_eq!(found.next(), None, "one row of {reference:?}");
    row
}

#[plasmon::remote]
fn double(numbers: &[f64]) -> Vec<f64> {
    numbers.iter().map(|number| number * 2.0).collect()
}

const HOLD: Place = line_of!();
#[plasmon::remote]
fn hold(numbers: &[f64], flag: &str) -> u64 {
    Flag::named(flag).wait();
    numbers.len() as u64
}

const HOLD_TEXT: Place = line_of!();
#[plasmon::remote]
fn hold_text(text: String, flag: &str) -> u64 {
    Flag::named(flag).wait();
    text.len() as u64
}

#[test]
fn a_put_and_a_result_are_local_references_of_the_driver() {
    alone(|| {
        start(2.0);
        let mut viewer = Viewer::here();
        let (put, put_at) = at!(plasmon::put(&numbers()[..]).unwrap());
        let (result, call_at) = at!(double.remote(&put).unwrap());
        assert_eq!(plasmon::get(&result).unwrap()[999], 1998.0);
        let name = "a_put_and_a_result_are_local_references_of_the_driver";
        // The task ends a little after its result is there.
        viewer.until("the task has finished", |report| report.store.node.tasks_finished == 1);
        let report = viewer.until_rows(&[
            Expected::driver(put.id(), LocalReference, [1, 0, 0, 0]).at(PutObject, put_at, name).sized(BYTES),
            Expected::driver(result.id(), LocalReference, [1, 0, 0, 0]).at(TaskCall, call_at, name).sized(BYTES),
        ]);
        assert_eq!(report.ledger().referenced_bytes, 2 * BYTES);
        let [put_row, result_row] = [&put, &result].map(|reference| row_of(&report.references, reference));
        for row in [&put_row, &result_row] {
            assert_eq!(row.pid, std::process::id());
            assert_eq!(row.state, ObjectState::InMemory);
            assert_eq!(row.call_site, row.created_site);
            assert_eq!(row.node_ip.as_ref(), "127.0.0.1");
            assert_eq!(row.creator_pid, std::process::id());
        }
        assert_eq!((put_row.status, put_row.attempt), (None, None));
        assert_eq!((result_row.status, result_row.attempt), (Some(TaskStatus::Finished), Some(1)));
        assert_eq!(put_row.object_id.hex(), put.hex());
        // Clones are counted in the process: still one row, one count.
        let clones = vec![put.clone(), put.clone()];
        drop(put);
        assert_eq!(viewer.report().references.len(), 2);
        drop(clones);
        // A report reflects all that was published before it was asked for.
        assert_eq!(viewer.report().references.len(), 1);
        drop(result);
        viewer.until_empty();
    });
}

#[test]
fn a_view_pins_its_object_when_the_reference_is_dropped() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let name = "a_view_pins_its_object_when_the_reference_is_dropped";
        let (put, put_at) = at!(plasmon::put(&numbers()[..]).unwrap());
        let view = plasmon::get(&put).unwrap();
        let row =
            |local, pinned| Expected::driver(view.id(), PinnedInMemory, [local, pinned, 0, 0]).at(PutObject, put_at, name).sized(BYTES);
        viewer.until_rows(&[row(1, 1)]);
        let second = plasmon::get(&put).unwrap();
        viewer.until_rows(&[row(1, 2)]);
        drop(put);
        let report = viewer.until_rows(&[row(0, 2)]);
        assert_eq!((report.ledger().pinned_bytes, report.ledger().referenced_bytes), (BYTES, 0));
        drop(second);
        let copy = view.clone();
        viewer.until_rows(&[row(0, 1)]);
        assert_eq!(copy[999], 999.0);
        drop(copy);
        viewer.until_rows(&[row(0, 1)]);
        drop(view);
        viewer.until_empty();
    });
}

#[test]
fn an_argument_is_used_by_a_pending_task_and_pinned_in_the_worker() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let name = "an_argument_is_used_by_a_pending_task_and_pinned_in_the_worker";
        let (put, put_at) = at!(plasmon::put(&numbers()[..]).unwrap());
        let (result, call_at) = at!(hold.remote(&put, "go").unwrap());
        let report = viewer.until_rows(&[
            Expected::driver(put.id(), UsedByPendingTask, [1, 0, 1, 0]).at(PutObject, put_at, name).sized(BYTES),
            Expected::worker(put.id(), PinnedInMemory, [0, 1, 0, 0]).at(DeserializeTaskArg, HOLD, "hold").sized(BYTES),
            Expected::driver(result.id(), LocalReference, [1, 0, 0, 0]).at(TaskCall, call_at, name),
        ]);
        assert_eq!(report.ledger().pinned_bytes, BYTES);
        assert_eq!((report.store.totals.references, report.store.totals.unique_objects), (3, 2));
        let pending = row_of(&report.references, &result);
        assert_eq!((pending.status, pending.state), (Some(TaskStatus::Running), ObjectState::Pending));
        let worker = report.references.iter().find(|row| row.pid != std::process::id()).unwrap();
        assert_eq!(worker.created_site.kind, PutObject);
        assert_eq!(worker.creator_pid, std::process::id());
        // The task holds its argument even when its submitter lets go.
        let id = put.id();
        drop(put);
        viewer.until_rows(&[
            Expected::driver(id, UsedByPendingTask, [0, 0, 1, 0]).at(PutObject, put_at, name).sized(BYTES),
            Expected::worker(id, PinnedInMemory, [0, 1, 0, 0]).at(DeserializeTaskArg, HOLD, "hold").sized(BYTES),
            Expected::driver(result.id(), LocalReference, [1, 0, 0, 0]).at(TaskCall, call_at, name),
        ]);
        Flag::named("go").raise();
        assert_eq!(plasmon::get(&result).unwrap(), NUMBERS as u64);
        let report = viewer.until_rows(&[Expected::driver(result.id(), LocalReference, [1, 0, 0, 0]).at(TaskCall, call_at, name).sized(2)]);
        assert_eq!((report.ledger().inlined_bytes, report.ledger().inlined_objects), (2, 1));
        assert_eq!(report.ledger().used_bytes(), 0);
        drop(result);
        viewer.until_empty();
    });
}

#[test]
fn a_queued_task_holds_its_argument_in_the_ledgers_line_for_arguments() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let name = "a_queued_task_holds_its_argument_in_the_ledgers_line_for_arguments";
        let first = hold.remote(vec![1.0], "go").unwrap();
        let (put, put_at) = at!(plasmon::put(&numbers()[..]).unwrap());
        let (queued, call_at) = at!(hold.remote(&put, "go").unwrap());
        let report = viewer.until("the first task runs", |report| {
            row_of(&report.references, &first).status == Some(TaskStatus::Running) && report.references.iter().all(is_named)
        });
        let row = row_of(&report.references, &queued);
        assert_eq!(row.status, Some(TaskStatus::PendingNodeAssignment));
        assert_eq!(report.ledger().argument_bytes, BYTES);
        drop(first);
        viewer.until_rows(&[
            Expected::driver(put.id(), UsedByPendingTask, [1, 0, 1, 0]).at(PutObject, put_at, name).sized(BYTES),
            Expected::driver(queued.id(), LocalReference, [1, 0, 0, 0]).at(TaskCall, call_at, name),
        ]);
        Flag::named("go").raise();
        assert_eq!(plasmon::get(&queued).unwrap(), NUMBERS as u64);
        drop((put, queued));
        viewer.until_empty();
    });
}

fn is_named(row: &ReferenceRow) -> bool {
    !row.call_site.function.is_empty()
}

#[test]
fn a_value_argument_is_pinned_while_the_task_runs() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let name = "a_value_argument_is_pinned_while_the_task_runs";
        let (put, put_at) = at!(plasmon::put(&"x".repeat(5000)).unwrap());
        let (result, call_at) = at!(hold_text.remote(&put, "go").unwrap());
        viewer.until_rows(&[
            Expected::driver(put.id(), UsedByPendingTask, [1, 0, 1, 0]).at(PutObject, put_at, name).sized(5002),
            Expected::worker(put.id(), PinnedInMemory, [0, 1, 0, 0]).at(DeserializeTaskArg, HOLD_TEXT, "hold_text").sized(5002),
            Expected::driver(result.id(), LocalReference, [1, 0, 0, 0]).at(TaskCall, call_at, name),
        ]);
        Flag::named("go").raise();
        assert_eq!(plasmon::get(&result).unwrap(), 5000);
        drop((put, result));
        viewer.until_empty();
    });
}

#[test]
fn an_object_held_by_many_processes_has_many_rows_and_one_weight() {
    alone(|| {
        start(4.0);
        let mut viewer = Viewer::here();
        let put = plasmon::put(&numbers()[..]).unwrap();
        let results: Vec<_> = (0..4).map(|_| hold.remote(&put, "go").unwrap()).collect();
        let report = viewer.until("four workers hold it", |report| report.references.len() == 9);
        let totals = report.store.totals;
        assert_eq!((totals.references, totals.unique_objects, totals.unique_bytes), (9, 5, BYTES));
        let holders: std::collections::BTreeSet<_> =
            report.references.iter().filter(|row| row.object_id == put.id()).map(|row| row.pid).collect();
        assert_eq!(holders.len(), 5);
        let driver = report.references.iter().find(|row| row.object_id == put.id() && row.pid == std::process::id()).unwrap();
        assert_eq!([driver.local, driver.pinned, driver.submitted, driver.captured], [1, 0, 4, 0]);
        assert_eq!(report.ledger().pinned_bytes, BYTES);
        let held: Vec<_> = viewer.processes().into_iter().filter(|process| process.references > 0).map(|row| row.held_bytes).collect();
        assert_eq!(held, [BYTES; 5]);
        let Some(Detail::Object(detail)) = viewer.detail(Target::Object(put.id())) else { panic!("no detail") };
        assert_eq!((detail.holders.len(), detail.tasks.len(), detail.object.references), (5, 4, 5));
        Flag::named("go").raise();
        for result in &results {
            assert_eq!(plasmon::get(result).unwrap(), NUMBERS as u64);
        }
        drop((put, results));
        viewer.until_empty();
    });
}
