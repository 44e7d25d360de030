//! What tasks and actors reserve: the situations of Ray's memory page, with real processes.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::time::Duration;

use plasmon::{ActorOptions, Error, Options, TaskOptions};
use plasmon_agent::config::AgentOptions;
use plasmon_protocol::record::{ActorStatus, EventKind, TaskStatus};
use support::{Flag, Viewer, alone, eventually};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Ray's page: a task that reserves 500 MiB.
#[plasmon::remote(memory = 500 * 1024 * 1024)]
fn some_function(flag: &str) -> u32 {
    Flag::named(flag).wait();
    std::process::id()
}

#[plasmon::remote]
fn visible(flag: &str) -> String {
    Flag::named(flag).wait();
    std::env::var("CUDA_VISIBLE_DEVICES").unwrap_or_default()
}

#[plasmon::remote(resources = [("db", 1.0)])]
fn query(flag: &str) -> u32 {
    Flag::named(flag).wait();
    1
}

/// Ray's page: an actor that reserves 2.5 GiB.
struct SomeActor;

#[plasmon::actor(memory = 2560 * 1024 * 1024)]
impl SomeActor {
    pub(crate) fn new() -> Self {
        Self
    }

    pub(crate) fn pid(&self) -> u32 {
        std::process::id()
    }

    pub(crate) fn visible(&self) -> String {
        std::env::var("CUDA_VISIBLE_DEVICES").unwrap_or_default()
    }
}

fn offer(options: AgentOptions) {
    let options = AgentOptions { num_cpus: options.num_cpus.or_else(|| "4".parse().ok()), spill: Some(false), ..options };
    Options::new().temp_dir(support::directory()).object_store_memory(16 * MIB).agent(options).init().unwrap();
}

fn memory(bytes: u64) -> AgentOptions {
    AgentOptions { memory: Some(plasmon::Bytes(bytes)), ..AgentOptions::default() }
}

#[test]
fn static_memory_is_reserved_and_options_override_it() {
    alone(|| {
        offer(memory(4 * GIB));
        let mut viewer = Viewer::here();
        let task = some_function.remote("one").unwrap();
        viewer.until("it reserves 500 MiB", |report| report.store.node.reserved.memory_bytes == 500 * MIB);
        let smaller = some_function.options(TaskOptions::new().memory(100 * MIB)).remote("two").unwrap();
        viewer.until("and 100 MiB", |report| report.store.node.reserved.memory_bytes == 600 * MIB);
        // What `options` says nothing of stays: one CPU.
        viewer.until("with one CPU each", |report| report.store.node.used_cpus == 2.0);
        ["one", "two"].into_iter().for_each(|flag| Flag::named(flag).raise());
        plasmon::get(&task).unwrap();
        plasmon::get(&smaller).unwrap();

        let actor = SomeActor::remote().unwrap();
        actor.ready().unwrap();
        viewer.until("it reserves 2.5 GiB, and no CPU", |report| {
            let node = &report.store.node;
            node.reserved.memory_bytes == 2560 * MIB && node.used_cpus == 0.0
        });
        let smaller = SomeActor::options(ActorOptions::new().memory(GIB)).remote().unwrap();
        smaller.ready().unwrap();
        viewer.until("and 1 GiB", |report| report.store.node.reserved.memory_bytes == 3584 * MIB);
        drop((actor, smaller));
        viewer.until("all is given back", |report| report.store.node.reserved.memory_bytes == 0);
    });
}

#[test]
fn the_third_actor_waits_until_one_dies() {
    alone(|| {
        offer(memory(200_000_000));
        let options = ActorOptions::new().memory(100_000_000);
        let actors: Vec<_> = (0..3).map(|_| SomeActor::options(options.clone()).remote().unwrap()).collect();
        actors[0].ready().unwrap();
        actors[1].ready().unwrap();
        let mut viewer = Viewer::here();
        let row = viewer.actors().into_iter().find(|row| row.status == ActorStatus::PendingCreation).unwrap();
        assert_eq!(row.actor_id, actors[2].id());
        let task = viewer.tasks().into_iter().find(|row| row.status == TaskStatus::PendingNodeAssignment).unwrap();
        let reason = task.reason.unwrap();
        assert!(reason.contains("95.37 MiB") && reason.contains("memory") && reason.contains("SomeActor"), "{reason}");
        assert!(task.waiting_since_ms.is_some());
        plasmon::kill(&actors[0]).unwrap();
        actors[2].ready().unwrap();
        assert_ne!(plasmon::get(&actors[2].pid().unwrap()), plasmon::get(&actors[1].pid().unwrap()));
        assert!(matches!(plasmon::get(&actors[0].pid().unwrap()), Err(Error::ActorDied { .. })));
    });
}

#[test]
fn what_the_node_will_never_have_is_told_at_once_and_can_be_cancelled() {
    alone(|| {
        offer(memory(GIB));
        let task = some_function.options(TaskOptions::new().memory(2 * GIB)).remote("never").unwrap();
        let mut viewer = Viewer::here();
        eventually("it is told", || viewer.events_of(EventKind::Infeasible) == 1);
        let row = viewer.tasks().into_iter().next().unwrap();
        assert_eq!(row.status, TaskStatus::Infeasible);
        assert_eq!(row.reason.as_deref(), Some("asks for 2 GiB memory, the node has 1 GiB memory"));
        assert!(matches!(plasmon::get_timeout(&task, Duration::from_millis(1)), Err(Error::GetTimeout { .. })));
        // Others are not held up.
        Flag::named("now").raise();
        plasmon::get(&some_function.remote("now").unwrap()).unwrap();
        plasmon::cancel(&task, false).unwrap();
        assert!(matches!(plasmon::get(&task), Err(Error::TaskCancelled { .. })));
    });
}

#[test]
fn infeasible_tasks_fail_where_that_is_asked_for() {
    alone(|| {
        offer(AgentOptions { fail_infeasible: Some(true), ..memory(GIB) });
        let task = some_function.options(TaskOptions::new().memory(2 * GIB).num_gpus(1.0)).remote("never").unwrap();
        let error = plasmon::get(&task).unwrap_err();
        let Error::Infeasible { name, asked, total, .. } = &error else { panic!("{error}") };
        assert_eq!((name.as_str(), asked.as_str()), ("resources::some_function", "1 GPU, 2 GiB memory"));
        assert_eq!(total, "0 GPU, 1 GiB memory");
        let actor = SomeActor::remote().unwrap();
        assert!(matches!(actor.ready(), Err(Error::ActorDied { .. })));
    });
}

#[test]
fn custom_resources_are_counted_by_name() {
    alone(|| {
        offer(AgentOptions { resources: Some(r#"{"db": 1}"#.parse().unwrap()), ..AgentOptions::default() });
        let (one, two) = (query.remote("one").unwrap(), query.remote("two").unwrap());
        let mut viewer = Viewer::here();
        viewer.until("one runs", |report| report.store.node.tasks_running == 1);
        let row = viewer.tasks().into_iter().find(|row| row.status == TaskStatus::PendingNodeAssignment).unwrap();
        assert!(row.reason.unwrap().contains("1 db more"));
        // Half of one does not fit either; none does.
        let free = query.options(TaskOptions::new().resources(&[])).remote("one").unwrap();
        Flag::named("one").raise();
        Flag::named("two").raise();
        assert_eq!((plasmon::get(&one), plasmon::get(&two), plasmon::get(&free)), (Ok(1), Ok(1), Ok(1)));
    });
}

#[test]
fn workers_see_the_gpus_that_they_have() {
    alone(|| {
        offer(AgentOptions { num_gpus: Some("2".parse().unwrap()), ..AgentOptions::default() });
        let gpus = |gpus| TaskOptions::new().num_gpus(gpus);
        let one = visible.options(gpus(1.0)).remote("go").unwrap();
        let other = visible.options(gpus(1.0)).remote("go").unwrap();
        let both = visible.options(gpus(2.0)).remote("go").unwrap();
        let mut viewer = Viewer::here();
        viewer.until("two run", |report| report.store.node.reserved.gpus.number() == 2.0);
        Flag::named("go").raise();
        let mut seen = [plasmon::get(&one).unwrap(), plasmon::get(&other).unwrap()];
        seen.sort();
        assert_eq!(seen, ["0", "1"]);
        assert_eq!(plasmon::get(&both).unwrap(), "0,1");
        assert_eq!(plasmon::get(&visible.remote("go").unwrap()).unwrap(), "");
        // Two halves share one.
        let half = ActorOptions::new().num_gpus(0.5).memory(0);
        let halves: Vec<_> = (0..2).map(|_| SomeActor::options(half.clone()).remote().unwrap()).collect();
        let seen: Vec<String> = halves.iter().map(|actor| plasmon::get(&actor.visible().unwrap()).unwrap()).collect();
        assert_eq!(seen, ["0", "0"]);
    });
}

#[test]
fn resources_come_back_whatever_ends_their_holder() {
    alone(|| {
        offer(memory(500 * MIB));
        let mut viewer = Viewer::here();
        let mut round = |end: &dyn Fn(&plasmon::ObjectRef<u32>, u32)| {
            let task = some_function.options(TaskOptions::new().max_retries(0)).remote("never").unwrap();
            viewer.until("it runs", |report| report.store.node.tasks_running == 1 && report.store.node.reserved.memory_bytes == 500 * MIB);
            let mut pid = None;
            eventually("its worker is known", || {
                pid = viewer.tasks().iter().find(|row| row.status == TaskStatus::Running).and_then(|row| row.worker_pid);
                pid.is_some()
            });
            end(&task, pid.unwrap());
            assert!(plasmon::get(&task).is_err());
            viewer.until("all is given back", |report| report.store.node.reserved.memory_bytes == 0 && report.store.node.used_cpus == 0.0);
        };
        round(&|_, pid| support::kill(pid));
        round(&|task, _| plasmon::cancel(task, true).unwrap());
    });
}

#[test]
fn a_large_request_gets_its_turn_under_a_stream_of_small_ones() {
    alone(|| {
        offer(AgentOptions { num_cpus: "2".parse().ok(), ..AgentOptions::default() });
        Flag::named("small").raise();
        let small = || visible.remote("small").unwrap();
        let mut stream: std::collections::VecDeque<_> = (0..6).map(|_| small()).collect();
        let large = visible.options(TaskOptions::new().num_cpus(2.0)).remote("small").unwrap();
        // As one ends the next begins: never are both CPUs free by themselves.
        for _ in 0..2000 {
            stream.push_back(small());
            plasmon::get(&stream.pop_front().unwrap()).unwrap();
            if plasmon::get_timeout(&large, Duration::ZERO).is_ok() {
                return;
            }
        }
        panic!("it never ran");
    });
}

#[test]
fn options_that_cannot_be_are_refused() {
    alone(|| {
        offer(AgentOptions::default());
        for (options, words) in [
            (TaskOptions::new().num_cpus(-1.0), ["num_cpus", "-1"]),
            (TaskOptions::new().num_cpus(f64::NAN), ["num_cpus", "NaN"]),
            (TaskOptions::new().num_gpus(1.5), ["num_gpus", "1.5"]),
            (TaskOptions::new().memory(u64::MAX), ["memory", "EiB"]),
            (TaskOptions::new().resources(&[("CPU", 1.0)]), ["CPU", "num_cpus"]),
            (TaskOptions::new().resources(&[("db", 0.000_01)]), ["db", "ten-thousandth"]),
        ] {
            let error = visible.options(options).remote("go").unwrap_err();
            assert!(matches!(error, Error::Invalid { .. }) && words.iter().all(|word| error.to_string().contains(word)), "{error}");
        }
        // Nothing of it is left.
        Flag::named("go").raise();
        plasmon::get(&visible.remote("go").unwrap()).unwrap();
    });
}
