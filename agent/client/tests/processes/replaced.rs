//! A process whose program is replaced by `exec`: it lives on, and has no connection.

use std::os::unix::process::CommandExt;
use std::process::Command;

use plasmon_protocol::record::EventKind;

use crate::support::{Child, Flag, Viewer, alone, attach, check, content, eventually, is_alive, publish, role, start};

#[plasmon::remote]
fn wait_for(flag: &str) -> u32 {
    Flag::named(flag).wait();
    std::process::id()
}

#[test]
fn what_a_replaced_program_held_is_free_while_its_process_lives() {
    alone(|| {
        if role().is_some() {
            attach();
            let put = plasmon::put(&content(1, 5000)[..]).unwrap();
            let view = plasmon::get(&plasmon::put(&content(2, 5000)[..]).unwrap()).unwrap();
            let draft = plasmon::create::<u64>(50_000).unwrap();
            let task = wait_for.remote("never").unwrap();
            Flag::named("ready").raise();
            Flag::named("go").wait();
            let error = Command::new("sleep").arg("600").exec();
            drop((put, view, draft, task));
            panic!("{error}");
        }
        let info = start(1.0);
        publish(&info);
        let mut viewer = Viewer::here();
        let mine = plasmon::put(&content(3, 5000)[..]).unwrap();
        let driver = Child::start("driver");
        Flag::named("ready").wait();
        viewer.until("its rows and task", |report| report.references.len() == 4 && report.store.node.tasks_running == 1);
        Flag::named("go").raise();
        let report = viewer.until("only ours is left", |report| report.references.len() == 1 && report.store.node.tasks_running == 0);
        assert_eq!(report.references[0].object_id, mine.id());
        assert_eq!(report.ledger().creating_bytes, 0);
        eventually("its processes are gone", || viewer.processes().len() == 2);
        assert_eq!(viewer.events_of(EventKind::DriverEnded), 1);
        assert!(is_alive(driver.pid()), "the process was to live on");
        check(&plasmon::get(&mine).unwrap()).unwrap();
        drop(mine);
        viewer.until_empty();
        driver.kill();
    });
}

#[test]
fn an_agent_ends_with_its_starters_program() {
    alone(|| {
        if role().is_some() {
            let info = start(1.0);
            Flag::named("ready").say(&format!("{} {}", info.agent_pid, info.session.display()));
            panic!("{}", Command::new("sleep").arg("600").exec());
        }
        let starter = Child::start("starter");
        let ready = Flag::named("ready").wait();
        let (agent, session) = ready.split_once(' ').unwrap();
        let agent = agent.parse().unwrap();
        eventually("the agent ends", || !is_alive(agent));
        eventually("its session is gone", || !std::path::Path::new(session).exists());
        assert!(is_alive(starter.pid()), "the process was to live on");
        starter.kill();
    });
}
