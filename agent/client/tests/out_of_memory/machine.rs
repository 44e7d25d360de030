//! On any machine, with a threshold that is below what is in use.

use plasmon::Error;

use crate::support::alone;
use crate::*;

/// No machine uses so little.
const TINY: f64 = 1e-6;

#[test]
fn a_task_without_retries_ends_with_the_formula_of_the_machine() {
    alone(|| {
        start(1.0, 4 * MIB, limits(TINY));
        let task = fill.options(retries(0)).remote(8, "never").unwrap();
        let error = plasmon::get(&task).unwrap_err();
        assert!(matches!(&error, Error::OutOfMemory { attempt: 1, report, .. } if report.used > report.threshold), "{error}");
        assert!(error.hint().contains("--oom-threshold"));
        drop(task);
    });
}

#[test]
fn actors_are_ended_like_tasks_that_are_not_tried_again() {
    struct Large(Vec<u8>);

    #[plasmon::actor]
    impl Large {
        fn new() -> Self {
            Self(Vec::new())
        }

        fn fill(&mut self, mebibytes: u64) -> u32 {
            self.0 = std::hint::black_box(vec![1_u8; (mebibytes * MIB) as usize]);
            std::process::id()
        }

        fn wait(&mut self) -> u32 {
            hold(1, &directory().join("never"))
        }
    }
    alone(|| {
        start(1.0, 4 * MIB, limits(TINY));
        let actor = Large::remote().unwrap();
        let call = actor.wait().unwrap();
        let error = plasmon::get(&call).unwrap_err();
        let known = matches!(&error, Error::OutOfMemory { .. })
            || matches!(&error, Error::ActorDied { cause, .. } if cause.contains("out of memory"));
        assert!(known, "{error}");
        let late = actor.fill(1).unwrap();
        let error = plasmon::get(&late).unwrap_err();
        assert!(matches!(&error, Error::ActorDied { cause, .. } if cause.contains("out of memory")), "{error}");
        drop((call, late, actor));
    });
}

#[test]
fn the_newest_retriable_worker_is_the_next_victim() {
    alone(|| {
        start(3.0, 4 * MIB, AgentOptions { oom_dry_run: Some(true), ..limits(TINY) });
        let mut viewer = Viewer::here();
        let tasks: Vec<_> = [(retries(0), 40), (retries(1), 30), (retries(2), 20), (retries(0), 50)]
            .into_iter()
            .map(|(options, mebibytes)| {
                let task = fill.options(options.num_cpus(0.5)).remote(mebibytes, "end").unwrap();
                let worker = task_worker(&mut viewer, mebibytes);
                (task, worker)
            })
            .collect();
        let newest = tasks[2].1;
        let named = |row: &PressureRow| row.next_victim.as_ref().is_some_and(|next| next.pid == newest && next.why.contains("newest"));
        until_pressure(&mut viewer, "the newest retriable one is next", named);
        raise("end");
        for (task, worker) in tasks {
            assert_eq!(plasmon::get(&task), Ok(worker));
        }
        assert_eq!(viewer.report().store.pressure.kills, 0);
    });
}

fn task_worker(viewer: &mut Viewer, mebibytes: u64) -> u32 {
    let newest = viewer.tasks().into_iter().map(|row| row.task_id).max_by_key(|task| task.key().number);
    until_running(viewer, |row| Some(row.task_id) == newest, mebibytes)
}

#[test]
fn switched_off_it_ends_nobody_and_still_tells() {
    alone(|| {
        start(1.0, 4 * MIB, limits(1.0));
        let mut viewer = Viewer::here();
        let task = fill.options(retries(0)).remote(30, "end").unwrap();
        let worker = until_running(&mut viewer, |row| row.name.ends_with("fill"), 30);
        let row = until_pressure(&mut viewer, "the memory is told", |row| row.next_victim.is_some()).pressure;
        assert!(row.total_bytes > 0 && row.threshold_bytes == row.total_bytes, "{row:?}");
        raise("end");
        assert_eq!(plasmon::get(&task), Ok(worker));
        drop(task);
    });
}

#[test]
fn what_a_task_used_is_learned_after_it_is_over() {
    #[plasmon::remote]
    fn swell(mebibytes: u64) -> u32 {
        let memory = std::hint::black_box(vec![1_u8; (mebibytes * MIB) as usize]);
        // Long enough to be worth a look, and too short to be met by samples.
        std::thread::sleep(Duration::from_millis(10));
        drop(memory);
        std::process::id()
    }
    alone(|| {
        start(1.0, 4 * MIB, limits(1.0));
        let mut viewer = Viewer::here();
        for mebibytes in [200, 10] {
            plasmon::get(&swell.remote(mebibytes).unwrap()).unwrap();
        }
        // That is told a little after the result.
        let mut tasks = Vec::new();
        crate::support::eventually("both are learned of", || {
            tasks = viewer.tasks();
            tasks.iter().all(|row| row.peak_runs == 2)
        });
        let heaps: Vec<u64> = tasks.iter().map(|row| row.heap_bytes / MIB).collect();
        assert!(heaps.len() == 2 && heaps.iter().any(|heap| *heap >= 200), "{heaps:?}");
        for row in tasks {
            assert!(row.peak_bytes >= 200 * MIB, "{row:#?}");
            let suggested = row.suggested_bytes.unwrap();
            assert!(suggested >= row.peak_bytes / 5 * 6 && suggested < row.peak_bytes * 2, "{row:#?}");
        }
    });
}
