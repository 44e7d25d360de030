//! In a control group of this test's own.

use std::io::Write;

use plasmon::Error;

use crate::confined::group::Group;
use crate::support::alone;
use crate::*;

/// The group's memory, MiB.
const GROUP: u64 = 512;

#[test]
fn the_newest_retriable_worker_goes_and_its_task_runs_again() {
    alone(|| {
        let Some(group) = Group::enter(GROUP * MIB) else { return };
        start(4.0, 64 * MIB, limits(0.7));
        let mut viewer = Viewer::here();
        let lasting = fill.options(retries(0)).remote(60, "end").unwrap();
        let first = until_running(&mut viewer, |row| row.name.ends_with("fill"), 60);
        let older = fill.options(retries(3)).remote(100, "end").unwrap();
        let second = until_running(&mut viewer, |row| row.name.ends_with("fill") && row.worker_pid != Some(first), 100);
        assert_eq!(told(&mut viewer), []);
        // With what it fills, 260 MiB and the store's pages are too many for 358, and not too many for the group.
        let newest = fill_once.options(retries(3)).remote(220, "end").unwrap();
        assert!(![first, second].contains(&plasmon::get(&newest).unwrap()));
        let told = told(&mut viewer);
        let [event] = told.as_slice() else { panic!("{told:#?}") };
        assert!(event.message.contains("fill_once") && event.message.contains("the newest whose work is tried again"), "{}", event.message);
        // A task ends a little after its result is there.
        viewer.until("it has finished", |report| report.store.node.tasks_finished == 1);
        let row = viewer.tasks().into_iter().find(|row| row.name.ends_with("fill_once")).unwrap();
        assert_eq!((row.status, row.attempt), (TaskStatus::Finished, 2));
        // What the first attempt used is remembered, though the second used nothing. It may have been met while it was still filling.
        assert!(row.peak_bytes >= 100 * MIB && row.suggested_bytes.is_some_and(|suggested| suggested > row.peak_bytes), "{row:#?}");
        assert_eq!((viewer.events_of(EventKind::TaskRetried), viewer.report().store.pressure.kills), (1, 1));
        raise("end");
        assert_eq!((plasmon::get(&lasting), plasmon::get(&older)), (Ok(first), Ok(second)));
        assert_eq!(group.kills(), 0, "the kernel killed somebody");
        drop((lasting, older, newest));
        viewer.until_empty();
        drop(viewer);
        plasmon::shutdown().unwrap();
    });
}

#[test]
fn the_caller_of_a_victim_is_told_the_numbers() {
    alone(|| {
        let Some(group) = Group::enter(GROUP * MIB) else { return };
        start(2.0, 64 * MIB, limits(0.5));
        let agent = plasmon::info().unwrap().agent_pid;
        let mut viewer = Viewer::here();
        // Every page of the store is backed, and read by a worker.
        let held: Vec<_> = (0..12_u64).map(|seed| plasmon::put(&vec![seed; (4 * MIB / 8) as usize][..]).unwrap()).collect();
        let task = fill.options(retries(0)).remote(250, "never").unwrap();
        let error = plasmon::get(&task).unwrap_err();
        let Error::OutOfMemory { name, pid, attempt, site, report, .. } = &error else { panic!("{error}") };
        assert_eq!((name.as_str(), *attempt), ("out_of_memory::fill", 1));
        assert!(site.contains("group.rs:"), "{site}");
        assert!(report.used > report.threshold && report.threshold < report.total && report.total.0 == GROUP * MIB, "{error}");
        assert!(report.formula.contains("of usage - ") && report.formula.contains("cgroup"), "{error}");
        assert!(report.store.0 >= 48 * MIB && report.rule.contains("50 % of 512 MiB"), "{error}");
        // Each once, the victim first; the store is nobody's own.
        let pids: Vec<u32> = report.processes.iter().map(|process| process.pid).collect();
        assert!(pids.first() == Some(pid) && pids.contains(&agent) && pids.contains(&std::process::id()), "{error}");
        // It may have been met while it was still filling.
        assert!(report.processes[0].bytes.0 >= 100 * MIB && report.processes[0].command.contains("out_of_memory::fill"), "{error}");
        let others: u64 = report.processes[1..].iter().map(|process| process.bytes.0).sum();
        assert!(others < 40 * MIB, "the store is counted as somebody's own: {error}");
        let sum = others + report.freed.0 + report.store.0;
        assert!(sum.abs_diff(report.used.0) < 100 * MIB, "{sum} bytes are told of: {error}");
        let text = error.to_string();
        assert!(text.len() < 16 << 10 && text.contains("MEMORY") && error.line().lines().count() == 1, "{text}");
        let row = viewer.tasks().into_iter().next().unwrap();
        assert_eq!((row.status, row.error), (TaskStatus::Failed, Some(error.line())));
        let report = viewer.until("its end is listed", |report| !report.post_mortem.is_empty());
        let died = &report.post_mortem[0].process;
        assert_eq!((died.pid, &*died.how, died.signal), (*pid, "killed: out of memory", Some(9)));
        assert!(crate::support::is_alive(agent) && !crate::support::is_alive(*pid));
        assert_eq!(group.kills(), 0, "the kernel killed somebody");
        drop((held, task));
        viewer.until_empty();
        drop(viewer);
        plasmon::shutdown().unwrap();
    });
}

#[test]
fn out_of_memory_retries_have_a_budget_of_their_own() {
    alone(|| {
        let Some(_group) = Group::enter(GROUP * MIB) else { return };
        start(1.0, 16 * MIB, AgentOptions { oom_retries: Some(1), ..limits(0.5) });
        let mut viewer = Viewer::here();
        let task = fill.options(retries(5)).remote(300, "never").unwrap();
        let error = plasmon::get(&task).unwrap_err();
        assert!(matches!(&error, Error::OutOfMemory { attempt: 2, .. }), "{error}");
        assert_eq!((viewer.events_of(EventKind::TaskRetried), viewer.report().store.pressure.kills), (1, 2));
        // A task without any retries has none of these either.
        let task = fill.options(retries(0)).remote(300, "never").unwrap();
        assert!(matches!(plasmon::get(&task), Err(Error::OutOfMemory { attempt: 1, .. })));
        drop(task);
        drop(viewer);
        plasmon::shutdown().unwrap();
    });
}

#[test]
fn an_idle_worker_with_much_memory_goes_first() {
    #[plasmon::remote]
    fn keep(mebibytes: u64) -> u32 {
        std::mem::forget(std::hint::black_box(vec![1_u8; (mebibytes * MIB) as usize]));
        std::process::id()
    }

    #[plasmon::remote]
    fn fill_later(begin: &str, mebibytes: u64, end: &str) -> u32 {
        hold(0, &directory().join(begin));
        hold(mebibytes, &directory().join(end))
    }
    alone(|| {
        let Some(_group) = Group::enter(GROUP * MIB) else { return };
        start(2.0, 16 * MIB, limits(0.6));
        let mut viewer = Viewer::here();
        let busy = fill_later.options(retries(3)).remote("begin", 150, "end").unwrap();
        let worker = until_running(&mut viewer, |row| row.name.ends_with("fill_later"), 0);
        let idle = plasmon::get(&keep.remote(160).unwrap()).unwrap();
        raise("begin");
        viewer.until("the idle one is gone", |report| report.store.pressure.kills == 1 && report.store.node.workers == 1);
        assert!(told(&mut viewer)[0].message.contains("idle with more than"), "{:?}", told(&mut viewer));
        assert!(crate::support::is_alive(worker) && !crate::support::is_alive(idle));
        raise("end");
        assert_eq!(plasmon::get(&busy), Ok(worker));
        drop(busy);
        drop(viewer);
        plasmon::shutdown().unwrap();
    });
}

#[test]
fn a_dry_run_tells_and_ends_nobody() {
    alone(|| {
        let Some(group) = Group::enter(GROUP * MIB) else { return };
        start(1.0, 16 * MIB, AgentOptions { oom_dry_run: Some(true), ..limits(0.5) });
        let mut viewer = Viewer::here();
        let task = fill.options(retries(0)).remote(300, "end").unwrap();
        let worker = until_running(&mut viewer, |row| row.name.ends_with("fill"), 300);
        let over = |row: &PressureRow| {
            let victim = row.next_victim.as_ref();
            row.used_bytes > row.threshold_bytes && victim.is_some_and(|next| next.pid == worker && next.bytes >= 300 * MIB)
        };
        let row = until_pressure(&mut viewer, "too full, and the victim is named", over).pressure;
        assert!(row.dry_run && row.next_victim.is_some_and(|next| next.task.is_some()));
        raise("end");
        assert_eq!(plasmon::get(&task), Ok(worker));
        let row = until_pressure(&mut viewer, "no longer too full", |row| row.used_bytes < row.threshold_bytes).pressure;
        assert_eq!((row.kills, row.dying, group.kills()), (0, 0, 0));
        // Once, however long it lasted.
        let told = told(&mut viewer);
        let [event] = told.as_slice() else { panic!("{told:#?}") };
        assert!(event.message.contains("a dry run: it would be worker") && event.pid == Some(worker), "{}", event.message);
        drop(task);
        drop(viewer);
        plasmon::shutdown().unwrap();
    });
}

#[test]
fn the_cache_of_files_ends_nobody() {
    alone(|| {
        let Some(group) = Group::enter(GROUP * MIB) else { return };
        let cached = directory().join("cached");
        let mut file = std::fs::File::create(&cached).unwrap();
        if rustix::fs::fstatfs(&file).unwrap().f_type == 0x0102_1994 {
            return eprintln!("NOT TESTED: the temporary directory is in memory, where files are no cache");
        }
        start(1.0, 16 * MIB, limits(0.5));
        let mut viewer = Viewer::here();
        let task = fill.options(retries(3)).remote(60, "end").unwrap();
        let worker = until_running(&mut viewer, |row| row.name.ends_with("fill"), 60);
        let block = vec![7_u8; MIB as usize];
        for number in 0..GROUP {
            file.write_all(&block).unwrap();
            if number % 32 == 31 {
                // Dirty pages are no cache that could be dropped.
                file.sync_data().unwrap();
            }
        }
        // Counted with the cache, the group is nearly full.
        let full = |row: &PressureRow| {
            // Who else works on this machine may need the memory: what was let go is read again.
            std::io::copy(&mut std::fs::File::open(&cached).unwrap(), &mut std::io::sink()).unwrap();
            row.file_cache_bytes > 250 * MIB && row.used_bytes + row.file_cache_bytes > row.threshold_bytes
        };
        let row = until_pressure(&mut viewer, "the cache is full", full).pressure;
        assert!(row.used_bytes < row.threshold_bytes, "{row:?}");
        assert!(row.total_bytes == GROUP * MIB && row.source.starts_with("cgroup"), "{row:?}");
        raise("end");
        assert_eq!(plasmon::get(&task), Ok(worker));
        assert_eq!((viewer.report().store.pressure.kills, told(&mut viewer), group.kills()), (0, Vec::new(), 0));
        drop(task);
        drop(viewer);
        plasmon::shutdown().unwrap();
    });
}
