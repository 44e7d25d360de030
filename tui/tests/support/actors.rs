//! The sample's actors, and its processes that died lately.

use std::sync::Arc;

use plasmon_protocol::id::{ActorId, JobId, ObjectKey, ProcessId, SiteId, TaskId, TaskKey};
use plasmon_protocol::record::{
    ActorRow, ActorStatus, ObjectState, PostMortemRow, ProcessType, ReferenceRow, ReferenceType, Site, SiteKind, TaskRow, TaskStatus,
};
use plasmon_protocol::stream::{ActorDetail, MAX_DETAIL, PostMortem};

use crate::agent::Agent;
use crate::sample::{NODE, NOW_MS, cpus};

const MIB: u64 = 1 << 20;

/// The actors by the slot of the object that their handles refer to.
pub(crate) fn actor(slot: u32) -> ActorId {
    ObjectKey { slot: 2000 + slot, generation: 1 }.on(NODE).into()
}

fn site(id: u32, kind: SiteKind, function: &str, line: u32) -> Arc<Site> {
    Arc::new(Site { id: SiteId(id), kind, function: function.to_owned(), file: "examples/demo.rs".to_owned(), line, ..Site::default() })
}

/// A call of the sample, by its number.
fn call(number: u32) -> TaskId {
    TaskKey { process: ProcessId(1), number: 5000 + number }.on(NODE)
}

/// All of it. The processes of the actors are there already.
pub(crate) fn add(agent: &mut Agent) {
    kept(agent);
    actors(agent);
    dead(agent);
}

/// What the index keeps between its calls.
fn kept(agent: &mut Agent) {
    let objects: Vec<usize> = (0..agent.objects.len()).filter(|at| agent.objects[*at].created_site.id.0 == 2).take(5).collect();
    for (nth, at) in objects.into_iter().enumerate() {
        let id = agent.objects[at].object_id;
        let driver = agent.references.iter().find(|row| row.object_id == id).unwrap().clone();
        agent.objects[at].references += 1;
        agent.references.push(ReferenceRow {
            process: ProcessId(5),
            pid: 4731,
            process_type: ProcessType::Worker,
            reference_type: ReferenceType::LocalReference,
            call_site: site(41, SiteKind::DeserializeActorTaskArg, "demo::index::Index::insert", 164),
            since_ms: NOW_MS - 9_000 + nth as u64 * 1_100,
            local: 1,
            ..driver
        });
    }
}

fn actors(agent: &mut Agent) {
    let held: u64 = agent.references.iter().filter(|row| row.process.0 == 5).filter_map(|row| row.size_bytes).sum();
    let common = ActorRow { job: JobId(1), creator_pid: 4711, max_concurrency: 1, ..ActorRow::default() };
    let created = |line: u32| site(42 + line, SiteKind::ActorCall, "demo::main", 200 + line);
    let index = ActorRow {
        actor_id: actor(1),
        class: "demo::index::Index".into(),
        name: Some("index".into()),
        detached: true,
        status: ActorStatus::Alive,
        pid: Some(4731),
        call_site: created(1),
        handles: 2,
        queued: 14,
        running: 1,
        calls_done: 1204,
        call: Some("demo::index::Index::insert".into()),
        call_since_ms: Some(NOW_MS - 4_000),
        heap_bytes: 41 * MIB,
        references: 5,
        held_bytes: held,
        created_ms: NOW_MS - 840_000,
        ..common.clone()
    };
    let spool = ActorRow {
        actor_id: actor(2),
        class: "sorter::spool::Spool".into(),
        status: ActorStatus::Alive,
        pid: Some(4732),
        call_site: created(2),
        resources: cpus(1),
        max_concurrency: 4,
        handles: 1,
        queued: 212,
        running: 4,
        calls_done: 88_213,
        call: Some("sorter::spool::Spool::flush".into()),
        call_since_ms: Some(NOW_MS - 96_000),
        heap_bytes: 12 * MIB,
        created_ms: NOW_MS - 840_000,
        ..common.clone()
    };
    let meter = ActorRow {
        actor_id: actor(3),
        class: "sorter::progress::Meter".into(),
        name: Some("progress".into()),
        status: ActorStatus::Alive,
        pid: Some(4733),
        call_site: created(3),
        handles: 2,
        calls_done: 1_804,
        heap_bytes: 6 * MIB,
        created_ms: NOW_MS - 839_000,
        ..common.clone()
    };
    let probe = ActorRow {
        actor_id: actor(4),
        class: "demo::Probe".into(),
        status: ActorStatus::Dead,
        pid: Some(4730),
        call_site: created(4),
        calls_done: 61,
        created_ms: NOW_MS - 838_000,
        ended_ms: Some(NOW_MS - 34_000),
        cause: Some("worker 4730 died (exit code 101)".to_owned()),
        ..common
    };
    for (actor, holders) in [(&index, &[1, 2][..]), (&spool, &[1]), (&meter, &[1, 3])] {
        for process in holders {
            agent.references.push(handle(actor, *process));
        }
    }
    agent.calls = vec![
        method(1, &index, "demo::index::Index::insert", true),
        method(2, &index, "demo::index::Index::insert", false),
        method(3, &index, "demo::index::Index::lookup", false),
    ];
    agent.tasks.extend(agent.calls.iter().cloned());
    agent.actors = vec![index, spool, meter, probe];
}

fn handle(actor: &ActorRow, process: u32) -> ReferenceRow {
    let driver = process == 1;
    ReferenceRow {
        object_id: actor.actor_id.key().on(NODE),
        process: ProcessId(process),
        pid: if driver { 4711 } else { 4718 + process },
        process_type: if driver { ProcessType::Driver } else { ProcessType::Worker },
        node: NODE,
        node_ip: "127.0.0.1".into(),
        reference_type: ReferenceType::ActorHandle,
        call_site: if driver { Arc::clone(&actor.call_site) } else { site(40, SiteKind::DeserializeTaskArg, "demo::sort_chunk", 71) },
        created_site: Arc::clone(&actor.call_site),
        creator_pid: 4711,
        state: ObjectState::Actor,
        since_ms: if driver { actor.created_ms } else { NOW_MS - 3_000 },
        local: if driver { 2 } else { 1 },
        ..ReferenceRow::default()
    }
}

fn method(number: u32, actor: &ActorRow, name: &str, runs: bool) -> TaskRow {
    TaskRow {
        task_id: call(number),
        name: name.into(),
        status: if runs { TaskStatus::Running } else { TaskStatus::PendingNodeAssignment },
        attempt: 1,
        job: JobId(1),
        actor: Some(actor.actor_id),
        submitter_pid: 4711,
        worker_pid: runs.then_some(4731),
        call_site: site(50 + number, SiteKind::ActorCall, "demo::partition", 90 + number),
        submitted_ms: NOW_MS - 5_000 + u64::from(number) * 700,
        started_ms: runs.then_some(NOW_MS - 4_000),
        ..TaskRow::default()
    }
}

fn dead(agent: &mut Agent) {
    let chunks: Vec<ReferenceRow> =
        agent.references.iter().filter(|row| row.created_site.id.0 == 3 && row.pid == 4711).take(2).cloned().collect();
    let held = |process: u32, pid: u32, pinned: u32, row: &ReferenceRow| ReferenceRow {
        process: ProcessId(process),
        pid,
        process_type: ProcessType::Worker,
        reference_type: if pinned > 0 { ReferenceType::PinnedInMemory } else { ReferenceType::LocalReference },
        call_site: site(40, SiteKind::DeserializeTaskArg, "demo::sort_chunk", 71),
        since_ms: NOW_MS - 25_000,
        local: 1,
        pinned,
        submitted: 0,
        captured: 0,
        ..row.clone()
    };
    let worker = PostMortemRow {
        process: ProcessId(20),
        pid: 4719,
        process_type: ProcessType::Worker,
        job: JobId(1),
        name: "demo".into(),
        how: "signal 9 SIGKILL".into(),
        signal: Some(9),
        task: Some("demo::sort_chunk".into()),
        heap_bytes: 36 * MIB,
        references: 2,
        held_bytes: chunks.iter().filter_map(|row| row.size_bytes).sum(),
        since_ms: NOW_MS - 844_000,
        died_ms: NOW_MS - 21_000,
        ..PostMortemRow::default()
    };
    let probe = PostMortemRow {
        process: ProcessId(21),
        pid: 4730,
        how: "exit code 101".into(),
        signal: None,
        exit_code: Some(101),
        task: Some("demo::Probe::measure".into()),
        actor: Some(actor(4)),
        heap_bytes: 7 * MIB,
        references: 0,
        held_bytes: 0,
        since_ms: NOW_MS - 838_000,
        died_ms: NOW_MS - 34_000,
        ..worker.clone()
    };
    let references = vec![held(20, 4719, 1, &chunks[0]), held(20, 4719, 0, &chunks[1])];
    agent.post_mortem =
        vec![PostMortem { process: worker, references, ..PostMortem::default() }, PostMortem { process: probe, ..PostMortem::default() }];
}

/// What the page of an actor shows.
pub(crate) fn detail(agent: &Agent, id: ActorId) -> Option<ActorDetail> {
    let actor = agent.actors.iter().find(|row| row.actor_id == id)?.clone();
    let mut references: Vec<_> = agent.references.iter().filter(|row| Some(row.pid) == actor.pid).cloned().collect();
    references.sort_by_key(|row| std::cmp::Reverse(row.size_bytes));
    references.truncate(MAX_DETAIL);
    Some(ActorDetail {
        calls: agent.calls.iter().filter(|row| row.actor == Some(id)).cloned().collect(),
        handles: agent.references.iter().filter(|row| ActorId::from(row.object_id) == id).cloned().collect(),
        references,
        actor,
    })
}
