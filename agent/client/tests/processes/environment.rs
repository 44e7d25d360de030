//! Programs in bad surroundings: no standard streams, no working directory, another executable at its path, children that nobody reaps.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::Write;
use std::path::PathBuf;

use crate::support::{Child, alone, check, close_standard, content, directory, eventually, is_alive, kill, role, start};

#[plasmon::remote]
fn total(numbers: &[u64]) -> (u32, u64) {
    (std::process::id(), numbers.iter().fold(0, |sum, number| sum.wrapping_add(*number)))
}

/// Everything works; the worker's process id.
fn exercise() -> u32 {
    let numbers = content(1, 10_000);
    let put = plasmon::put(&numbers[..]).unwrap();
    check(&plasmon::get(&put).unwrap()).unwrap();
    let (worker, sum) = plasmon::get(&total.remote(&put).unwrap()).unwrap();
    assert_eq!(sum, numbers.iter().fold(0, |sum: u64, number| sum.wrapping_add(*number)));
    worker
}

/// What the standard streams of a process are.
fn streams(pid: u32) -> Vec<Option<PathBuf>> {
    (0..3).map(|stream| std::fs::read_link(format!("/proc/{pid}/fd/{stream}")).ok()).collect()
}

#[test]
fn a_program_without_standard_streams_is_served() {
    alone(|| {
        if let Some(role) = role() {
            if role == "closes" {
                close_standard();
            }
            let info = start(1.0);
            writeln!(std::io::stdout(), "this goes nowhere").unwrap();
            eprintln!("nor does this");
            let worker = exercise();
            let null = || vec![Some(PathBuf::from("/dev/null")); 3];
            assert_eq!(streams(info.agent_pid), null());
            assert_eq!(streams(worker)[0], null()[0]);
            // None of the library's files is where the program prints.
            let own = streams(std::process::id());
            let is_plain = |path: &PathBuf| path.starts_with("/dev") || path.starts_with(directory());
            assert!(own.iter().flatten().all(is_plain), "{own:?}");
            plasmon::shutdown().unwrap();
            return;
        }
        let program = std::env::current_exe().unwrap();
        for closed in ["exec <&- >&- 2>&-", "exec <&-", "exec >&-", "exec 2>&-", "exec <&- 2>&-"] {
            Child::start_after(closed, &program, "begins without").succeed();
        }
        Child::start("closes").succeed();
    });
}

#[test]
fn a_program_whose_working_directory_is_gone_is_served() {
    alone(|| {
        let gone = directory().join("gone");
        std::fs::create_dir(&gone).unwrap();
        std::env::set_current_dir(&gone).unwrap();
        std::fs::remove_dir(&gone).unwrap();
        start(1.0);
        let worker = exercise();
        kill(worker);
        eventually("the worker is gone", || !is_alive(worker));
        assert_ne!(exercise(), worker);
    });
}

#[test]
fn a_program_that_ignores_its_children_is_served() {
    alone(|| {
        if role().is_some() {
            let info = start(1.0);
            exercise();
            plasmon::shutdown().unwrap();
            assert!(!is_alive(info.agent_pid) && !info.session.exists());
            return;
        }
        Child::start_after("trap '' CHLD", &std::env::current_exe().unwrap(), "ignores").succeed();
    });
}

#[test]
fn workers_run_the_program_that_was_started_whatever_lies_at_its_path_now() {
    alone(|| {
        let program = directory().join("program");
        if let Some(role) = role() {
            let replace = |content: Option<&str>| {
                std::fs::remove_file(&program).unwrap();
                if let Some(content) = content {
                    std::fs::write(&program, content).unwrap();
                }
            };
            let new = role.starts_with("replaced").then_some("#!/bin/sh\nexit 7\n");
            let early = role.ends_with("early");
            if early {
                replace(new);
            }
            start(1.0);
            if !early {
                replace(new);
            }
            let worker = exercise();
            kill(worker);
            eventually("the worker is gone", || !is_alive(worker));
            assert_ne!(exercise(), worker);
            plasmon::shutdown().unwrap();
            return;
        }
        for role in ["replaced early", "replaced late", "deleted early", "deleted late"] {
            std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
            Child::start_after(":", &program, role).succeed();
            let _ = std::fs::remove_file(&program);
        }
    });
}
