//! How programs and agents find each other, and how they part.

mod support;

use std::path::PathBuf;
use std::sync::Arc;

use plasmon::{Error, Info, ObjectRef, Options};
use support::{
    Child, Flag, Viewer, alone, attach, check, content, descriptors, directory, eventually, is_alive, kill, publish, role, sessions, start,
    worker_pids,
};

type Numbers = ObjectRef<[u64]>;

#[plasmon::remote]
fn wait_for(flag: &str) -> u32 {
    Flag::named(flag).wait();
    std::process::id()
}

#[plasmon::remote]
fn pid_of() -> u32 {
    std::process::id()
}

#[test]
fn shutdown_leaves_no_process_no_descriptor_and_no_file() {
    alone(|| {
        let mut open = Vec::new();
        for round in 0..4 {
            let info = start(2.0);
            let busy = wait_for.remote("never").unwrap();
            let idle = plasmon::get(&pid_of.remote().unwrap()).unwrap();
            let view = plasmon::get(&plasmon::put(&content(round, 100)[..]).unwrap()).unwrap();
            let workers = {
                let mut viewer = Viewer::here();
                viewer.until("it runs", |report| report.store.node.tasks_running == 1 && report.store.node.workers > 0);
                worker_pids(&mut viewer)
            };
            assert!(workers.contains(&idle) && workers.len() <= 2);
            assert!(info.session.join("agent.sock").exists());
            plasmon::shutdown().unwrap();
            assert!(!info.session.exists());
            assert!(!is_alive(info.agent_pid));
            assert!(workers.iter().all(|pid| !is_alive(*pid)));
            assert_eq!(sessions(&directory()), Vec::<PathBuf>::new());
            check(&view).unwrap();
            let error = plasmon::get(&busy).unwrap_err();
            assert!(matches!(error, Error::NotConnected { .. }), "{error}");
            drop((view, busy));
            let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
            eventually("the connection's thread ends", || threads() <= 2);
            open.push(descriptors(std::process::id()));
        }
        assert!(open.iter().all(|count| count == &open[0]), "{open:?}");
        plasmon::shutdown().unwrap();
    });
}

#[test]
fn an_agent_ends_with_its_starter() {
    alone(|| {
        if let Some(role) = role() {
            let info = start(1.0);
            let worker = plasmon::get(&pid_of.remote().unwrap()).unwrap();
            let _busy = wait_for.remote("never").unwrap();
            publish(&info);
            Flag::named("started").say(&format!("{} {worker}", info.agent_pid));
            Flag::named("leave").wait();
            match &*role {
                "exits" => std::process::exit(0),
                _ => kill(std::process::id()),
            }
        }
        for role in ["exits", "is killed"] {
            let child = Child::start(role);
            let pids: Vec<u32> = Flag::named("started").wait().split(' ').map(|pid| pid.parse().unwrap()).collect();
            let info = attach();
            let slow = wait_for.remote("never").unwrap();
            let put = plasmon::put(&content(1, 10)[..]).unwrap();
            let starter = child.pid();
            assert!(info.session.exists());
            Flag::named("leave").raise();
            // Others that use it are told who has ended it.
            let error = plasmon::get(&slow).unwrap_err();
            let Error::AgentDied { cause, .. } = &error else { panic!("{error}") };
            assert!(cause.contains(&format!("process {starter}")), "{cause}");
            drop(child);
            eventually("agent and workers are gone", || pids.iter().all(|pid| !is_alive(*pid)));
            eventually("the session is gone", || !info.session.exists());
            drop((put, slow));
            plasmon::shutdown().unwrap();
            for flag in ["started", "session", "leave"] {
                assert!(Flag::named(flag).lower());
            }
        }
    });
}

#[test]
fn one_process_has_one_connection() {
    alone(|| {
        let infos: Vec<Info> = std::thread::scope(|scope| {
            let init = || Options::new().num_cpus(1.0).object_store_memory(8 << 20).temp_dir(directory()).init().unwrap();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(init)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(infos.iter().all(|info| *info == infos[0] && info.started));
        assert_eq!(sessions(&directory()), [infos[0].session.clone()]);
        // What a second init asks for is not looked at.
        assert_eq!(Options::new().num_cpus(7.0).init().unwrap(), infos[0]);
        assert_eq!(Options::new().address("/nowhere").init().unwrap(), infos[0]);
        assert_eq!(plasmon::info().unwrap(), infos[0]);
        assert!(plasmon::is_initialized());
    });
}

#[test]
fn programs_find_the_agent_that_runs() {
    alone(|| {
        if let Some(role) = role() {
            let info = match &*role {
                "newest" => Options::new().temp_dir(directory()).init().unwrap(),
                "socket" => Options::new().address(PathBuf::from(Flag::named("session").wait()).join("agent.sock")).init().unwrap(),
                _ => attach(),
            };
            assert!(!info.started);
            Flag::named(&role).say(&info.agent_pid.to_string());
            assert_eq!(plasmon::get(&plasmon::put(&5_u8).unwrap()), Ok(5));
            plasmon::shutdown().unwrap();
            return;
        }
        let info = start(1.0);
        publish(&info);
        for role in ["newest", "socket", "session"] {
            let child = Child::start(role);
            child.succeed();
            if role != "session" {
                assert_eq!(Flag::named(role).wait(), info.agent_pid.to_string());
            }
        }
        assert!(is_alive(info.agent_pid));
        Viewer::here().until_empty();
    });
}

#[test]
fn without_a_connection_every_call_says_so() {
    alone(|| {
        let codes = || {
            [
                plasmon::put(&1_u8).unwrap_err().code(),
                plasmon::create::<u8>(10).unwrap_err().code(),
                plasmon::wait::<u8>(&[], 0, None).unwrap_err().code(),
                pid_of.remote().unwrap_err().code(),
                plasmon::info().unwrap_err().code(),
            ]
        };
        assert!(!plasmon::is_initialized());
        assert_eq!(codes(), ["not_connected"; 5]);
        plasmon::shutdown().unwrap();
        let error = Options::new().address("/nowhere/agent.sock").init().unwrap_err();
        assert!(matches!(error, Error::Connect { .. }) && error.to_string().contains("/nowhere/agent.sock"), "{error}");
        let error = Options::new().num_cpus(-1.0).temp_dir(directory()).init().unwrap_err();
        assert!(error.to_string().contains("-1"), "{error}");
        let error = Options::new().object_store_memory(1 << 60).temp_dir(directory()).init().unwrap_err();
        assert!(error.to_string().contains("object-store-memory"), "{error}");
        assert_eq!(codes(), ["not_connected"; 5]);
        start(1.0);
        let put = plasmon::put(&1_u8).unwrap();
        plasmon::shutdown().unwrap();
        assert_eq!(codes(), ["not_connected"; 5]);
        assert_eq!(plasmon::get(&put).unwrap_err().code(), "not_connected");
    });
}

#[test]
fn a_reference_is_serialised_only_where_it_is_counted() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let put = plasmon::put(&content(1, 10)[..]).unwrap();
        let error = serde_json::to_string(&vec![Some(put.clone())]).unwrap_err();
        assert!(error.to_string().contains(&put.hex()), "{error}");
        let error = serde_json::from_str::<Numbers>(&format!("\"{}\"", put.hex())).unwrap_err();
        assert!(error.to_string().contains(&put.hex()), "{error}");
        assert_eq!(viewer.report().references.len(), 1);
        drop(put);
        viewer.until_empty();
    });
}

#[test]
fn call_sites_are_switched_while_a_program_runs() {
    alone(|| {
        let info = start(1.0);
        let mut viewer = Viewer::here();
        let agent = rustix::process::Pid::from_raw(info.agent_pid.cast_signed()).unwrap();
        for recorded in [true, false, true] {
            eventually("a put with the switch as it is", || {
                let put = plasmon::put(&[1_u8; 100][..]).unwrap();
                let rows = viewer.report().references;
                let row = rows.iter().find(|row| row.object_id == put.id()).unwrap();
                row.call_site.file.is_empty() != recorded
            });
            rustix::process::kill_process(agent, rustix::process::Signal::USR1).unwrap();
        }
    });
}

#[inline(never)]
fn keep(size: usize) -> plasmon::ObjectRef<[u8]> {
    plasmon::put(&vec![1_u8; size][..]).expect("a put")
}

#[inline(never)]
fn fill() -> plasmon::ObjectRef<[u8]> {
    keep(1_000)
}

#[test]
fn whole_stacks_are_recorded_when_they_are_asked_for() {
    alone(|| {
        let info = start(1.0);
        let mut viewer = Viewer::here();
        let agent = rustix::process::Pid::from_raw(info.agent_pid.cast_signed()).unwrap();
        // What a call site was called from, innermost first.
        let outer = |viewer: &mut Viewer, put: &plasmon::ObjectRef<[u8]>| {
            let rows = viewer.report().references;
            let site = Arc::clone(&rows.iter().find(|row| row.object_id == put.id()).unwrap().call_site);
            assert!(site.file.ends_with("connections.rs") && site.line > 0, "{site:?}");
            let frames = std::iter::successors(Some(site), |site| site.outer.clone());
            frames.map(|frame| frame.short_function().to_owned()).collect::<Vec<_>>()
        };
        eventually("a line with its function's name", || outer(&mut viewer, &keep(10)) == ["keep"]);
        rustix::process::kill_process(agent, rustix::process::Signal::USR2).unwrap();
        eventually("a whole stack", || outer(&mut viewer, &keep(10)).len() > 1);
        let (one, other) = (keep(10), fill());
        let (near, far) = (outer(&mut viewer, &one), outer(&mut viewer, &other));
        assert_eq!(near[0], "keep", "{near:?}");
        assert_eq!(far[..2], ["keep", "fill"], "{far:?}");
        assert_eq!(near[1..], far[2..], "both were called from the same test");
        let known = viewer.report().references;
        let site = |put: &plasmon::ObjectRef<[u8]>| known.iter().find(|row| row.object_id == put.id()).unwrap().call_site.id;
        assert_ne!(site(&one), site(&other), "the same line by another way");
        rustix::process::kill_process(agent, rustix::process::Signal::USR2).unwrap();
        eventually("lines alone again", || outer(&mut viewer, &fill()) == ["keep"]);
    });
}
