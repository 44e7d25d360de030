//! What the dead held is listed, with how they died, and counts nowhere any more.

mod support;

use plasmon::{Error, ObjectRef};
use plasmon_protocol::column::Table;
use plasmon_protocol::record::ReferenceType::{LocalReference, PinnedInMemory};
use plasmon_protocol::record::{ProcessType, ReferenceRow};
use plasmon_protocol::report::{Report, ReportOptions};
use plasmon_protocol::stream::{Detail, PostMortem, Rows, Target};
use support::{Child, Flag, Viewer, alone, attach, content, kill, publish, role, start};

/// Holds a view of its argument and two objects of its own, until it is let go.
#[plasmon::remote(max_retries = 0)]
fn hoard(argument: &[u64], flag: &str) -> Result<u64, Error> {
    let kept = plasmon::put(&content(1, 1000)[..])?;
    let seen = plasmon::put(&content(2, 2000)[..])?;
    let view = plasmon::get(&seen)?;
    Flag::named("hoards").say(&std::process::id().to_string());
    Flag::named(flag).wait();
    drop(kept);
    Ok(argument[0] + view[0])
}

#[plasmon::remote(max_retries = 0)]
fn leave(code: i32) -> u32 {
    std::process::exit(code)
}

fn of(rows: &[ReferenceRow], pid: u32) -> Vec<ReferenceRow> {
    let mut rows: Vec<_> = rows.iter().filter(|row| row.pid == pid).cloned().collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.size_bytes));
    rows
}

/// Functions are told a little after the lines.
fn is_told(row: &ReferenceRow) -> bool {
    !row.call_site.function.is_empty() && !row.created_site.function.is_empty()
}

#[track_caller]
fn only(mut entries: Vec<PostMortem>) -> PostMortem {
    assert_eq!(entries.len(), 1, "{entries:#?}");
    entries.remove(0)
}

#[test]
fn a_killed_worker_leaves_its_rows_and_how_it_died_and_nothing_else() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        assert_eq!(viewer.report().post_mortem, []);
        let put = plasmon::put(&content(9, 4000)[..]).unwrap();
        let task = hoard.remote(&put, "never").unwrap();
        let worker: u32 = Flag::named("hoards").wait().parse().unwrap();
        let before = viewer.until("the hoard", |report| {
            let rows = of(&report.references, worker);
            rows.len() == 3 && rows.iter().all(is_told)
        });
        let held = of(&before.references, worker);
        kill(worker);
        plasmon::get(&task).unwrap_err();
        let report = viewer.until("its rows are gone", |report| of(&report.references, worker).is_empty());
        assert_eq!(report.references.len(), 2, "what the driver holds");
        assert_eq!(report.store.totals.unique_bytes, 4000 * 8);

        let PostMortem { process, references, .. } = only(report.post_mortem.clone());
        assert_eq!((process.pid, process.process_type, process.signal, process.exit_code), (worker, ProcessType::Worker, Some(9), None));
        assert!(process.how.contains("SIGKILL"), "{process:?}");
        assert!(process.task.as_deref().is_some_and(|task| task.ends_with("hoard")), "{process:?}");
        assert_eq!((process.references, process.held_bytes), (3, (1000 + 2000 + 4000) * 8));
        assert!(process.since_ms <= process.died_ms, "{process:?}");
        assert_eq!(references, held, "the rows as they last were");
        assert_eq!(references.iter().map(|row| row.reference_type).collect::<Vec<_>>(), [PinnedInMemory, PinnedInMemory, LocalReference]);
        assert!(references.iter().all(|row| row.call_site.function.ends_with("hoard") && row.call_site.line > 0), "{references:#?}");

        let Rows::PostMortem(rows) = viewer.table(Table::PostMortem) else { panic!("no post-mortem") };
        assert_eq!(rows, std::slice::from_ref(&process));
        let detail = viewer.detail(Target::Process(process.process));
        assert_eq!(detail, Some(Detail::PostMortem(PostMortem { process: process.clone(), references, ..PostMortem::default() })));
        let text = Report::new(report.store, report.references, process.died_ms)
            .with_post_mortem(report.post_mortem)
            .text(&ReportOptions::default());
        assert!(text.contains(&format!("--- Post-mortem: worker {worker} (signal 9 SIGKILL) ---")), "{text}");

        drop((put, task));
        // The list keeps nothing alive.
        assert_eq!(viewer.until_empty().post_mortem.len(), 1);
    });
}

#[test]
fn an_exit_code_is_told() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        plasmon::get(&leave.remote(3).unwrap()).unwrap_err();
        let PostMortem { process, references, .. } = only(viewer.until("its end", |report| !report.post_mortem.is_empty()).post_mortem);
        assert_eq!((process.signal, process.exit_code, &*process.how), (None, Some(3), "exit code 3"));
        assert!(process.task.as_deref().is_some_and(|task| task.ends_with("leave")), "{process:?}");
        assert_eq!(references, []);
    });
}

#[test]
fn a_driver_is_listed_unless_it_says_that_it_goes_and_its_workers_are_not() {
    alone(|| {
        if let Some(role) = role() {
            attach();
            let put: ObjectRef<[u64]> = plasmon::put(&content(3, 500)[..]).unwrap();
            let task = hoard.remote(&put, "never").unwrap();
            Flag::named("hoards").wait();
            Flag::named(&role).say(&std::process::id().to_string());
            Flag::named(&format!("{role} may end")).wait();
            drop((put, task));
            return plasmon::shutdown().unwrap();
        }
        publish(&start(2.0));
        let mut viewer = Viewer::here();
        let polite = Child::start("polite");
        Flag::named("polite").wait();
        Flag::named("polite may end").raise();
        polite.succeed();
        let gone = |report: &support::Report| report.references.is_empty() && report.store.node.drivers == 1;
        assert_eq!(viewer.until("the polite one is gone", gone).post_mortem, []);
        viewer.until("its worker is gone", |report| report.store.node.workers == 0);
        assert_eq!(viewer.report().post_mortem, []);

        assert!(Flag::named("hoards").lower());
        let rude = Child::start("rude");
        let pid: u32 = Flag::named("rude").wait().parse().unwrap();
        let held = of(&viewer.until("its sites are told", |report| report.references.iter().all(is_told)).references, pid);
        rude.kill();
        viewer.until("the rude one is gone", gone);
        let report = viewer.until("its worker is gone", |report| report.store.node.workers == 0);
        let PostMortem { process, references, .. } = only(report.post_mortem);
        assert_eq!((process.pid, process.process_type, &*process.how), (pid, ProcessType::Driver, "ended without shutdown"));
        assert_eq!((process.references, &references), (2, &held));
    });
}
