//! A sample: a program that sorts a file in parallel, with a cache that never forgets.

use std::sync::Arc;

use plasmon_protocol::doctor::{Check, NodeDetail};
use plasmon_protocol::id::{JobId, NodeId, ObjectKey, ProcessId, SiteId, TaskId, TaskKey};
use plasmon_protocol::record::{
    EventKind, EventRow, Ledger, NodeRow, ObjectRow, ObjectState, PressureRow, ProcessRow, ProcessType, ReferenceRow, ReferenceTotals,
    ReferenceType, Severity, Site, SiteKind, SiteRow, StoreRow, TaskRow, TaskStatus, VictimRow,
};

use crate::agent::Agent;
use crate::{actors, storage};
use plasmon_protocol::resources::{Amount, Resources};

/// The instant: 14:03:22 of some day, by UTC.
pub(crate) const NOW_MS: u64 = 1_741_097_002_000;
/// The node.
pub(crate) const NODE: NodeId = NodeId([0x7f, 0x3a, 0x11, 0x92, 0x5c, 0x08, 0xd4, 0x6e]);

const MIB: u64 = 1 << 20;
const KIB: u64 = 1 << 10;

/// A site: kind, function, file, line, objects, bytes of each, growth, seconds since the oldest.
type Place = (SiteKind, &'static str, &'static str, u32, u64, u64, i64, u64);

const PLACES: &[Place] = &[
    (SiteKind::PutObject, "demo::cache::Cache::remember", "examples/demo.rs", 142, 360, 512 * KIB, 12 << 20, 812),
    (SiteKind::TaskCall, "demo::partition", "examples/demo.rs", 88, 74, 2 * MIB, 0, 31),
    (SiteKind::PutObject, "demo::read_chunks", "examples/demo.rs", 57, 8, 8 * MIB, 0, 24),
    (SiteKind::TaskCall, "demo::merge_runs::{closure#0}", "examples/demo.rs", 121, 3, 6 * MIB + 300 * KIB, 6 << 20, 9),
    (SiteKind::PutObject, "sorter::kernel::scratch", "src/kernel.rs", 33, 12, 350 * KIB, -(1100 << 10), 18),
    (SiteKind::TaskCall, "sorter::kernel::histogram", "src/kernel.rs", 61, 24, 4 * KIB, 0, 27),
    (SiteKind::PutObject, "sorter::plan::splitters", "src/plan.rs", 204, 1, 768, 0, 836),
    (SiteKind::PutObject, "sorter::progress::Meter::publish", "src/progress.rs", 19, 1, 64, 0, 1),
];

const PIDS: [(ProcessType, u32); 8] = [
    (ProcessType::Agent, 4700),
    (ProcessType::Driver, 4711),
    (ProcessType::Worker, 4720),
    (ProcessType::Worker, 4721),
    (ProcessType::Worker, 4722),
    (ProcessType::Worker, 4731),
    (ProcessType::Worker, 4732),
    (ProcessType::Worker, 4733),
];

pub(crate) fn site(number: usize) -> Arc<Site> {
    let (kind, function, file, line, ..) = PLACES[number];
    Arc::new(Site { id: SiteId(number as u32 + 1), kind, function: function.to_owned(), file: file.to_owned(), line, ..Site::default() })
}

fn argument_site() -> Arc<Site> {
    Arc::new(Site {
        id: SiteId(40),
        kind: SiteKind::DeserializeTaskArg,
        function: "demo::sort_chunk".to_owned(),
        file: "examples/demo.rs".to_owned(),
        line: 71,
        ..Site::default()
    })
}

fn task(number: u32) -> TaskId {
    TaskKey { process: ProcessId(1), number }.on(NODE)
}

/// All of it.
pub(crate) fn agent() -> Agent {
    let mut agent = Agent { now_ms: NOW_MS, ..Agent::default() };
    objects(&mut agent);
    actors::add(&mut agent);
    storage::spill(&mut agent);
    sites(&mut agent);
    tasks(&mut agent);
    processes(&mut agent);
    events(&mut agent);
    storage::events(&mut agent);
    store(&mut agent);
    agent.node = Some(node(&agent));
    agent.sources = vec![("examples/demo.rs".to_owned(), include_str!("program.txt").lines().map(str::to_owned).collect())];
    agent
}

fn objects(agent: &mut Agent) {
    let mut slot = 0;
    for (number, (kind, _, _, _, objects, bytes, _, oldest)) in PLACES.iter().enumerate() {
        for nth in 0..*objects {
            slot += 1;
            let pending = *kind == SiteKind::TaskCall && nth + 2 > *objects && number == 3;
            let row = ObjectRow {
                object_id: ObjectKey { slot, generation: 1 + slot % 3 }.on(NODE),
                size_bytes: (!pending).then_some(bytes + nth % 7 * 16),
                state: match bytes {
                    _ if pending => ObjectState::Pending,
                    0..=1024 => ObjectState::Inlined,
                    _ => ObjectState::InMemory,
                },
                created_site: site(number),
                creator: ProcessId(1),
                creator_pid: 4711,
                created_ms: NOW_MS - (oldest * 1000) * (objects - nth) / objects,
                references: 1,
                pinned: 0,
                captured: 0,
                contains: 0,
                task: (*kind == SiteKind::TaskCall).then(|| task(slot)),
                ..ObjectRow::default()
            };
            let made = *kind == SiteKind::TaskCall;
            let held = ReferenceRow {
                object_id: row.object_id,
                process: ProcessId(1),
                pid: 4711,
                process_type: ProcessType::Driver,
                node: NODE,
                node_ip: "127.0.0.1".into(),
                reference_type: ReferenceType::LocalReference,
                size_bytes: row.size_bytes,
                call_site: site(number),
                created_site: site(number),
                creator_pid: 4711,
                status: made.then_some(if pending { TaskStatus::Running } else { TaskStatus::Finished }),
                attempt: made.then_some(1),
                state: row.state,
                since_ms: row.created_ms,
                local: 1,
                ..ReferenceRow::default()
            };
            agent.objects.push(row);
            let at = agent.objects.len() - 1;
            let mut rows = vec![held];
            match (number, nth) {
                // The chunks that are being sorted: pinned by a worker, needed by the driver's task.
                (2, 0..=1) => {
                    rows[0].reference_type = ReferenceType::UsedByPendingTask;
                    rows[0].submitted = 1;
                    rows.push(worker_row(&rows[0], 2 + nth as u32));
                    agent.objects[at].pinned = 1;
                }
                (2, 2..=4) => {
                    rows[0].reference_type = ReferenceType::UsedByPendingTask;
                    rows[0].submitted = 2;
                    rows[0].local = 2;
                }
                // An index of the cache holds some of what it remembers.
                (0, 1..=3) => {
                    rows[0].captured = 1;
                    agent.objects[at].captured = 1;
                    agent.contained.push((0, at));
                }
                (0, 0) => {
                    rows[0].local = 3;
                    agent.objects[at].contains = 3;
                }
                _ => {}
            }
            agent.objects[at].references = rows.len() as u32;
            agent.references.extend(rows);
        }
    }
    // The plan of the sort names the chunks that are being sorted.
    let plan = agent.objects.iter().position(|row| row.created_site.id.0 == 7).unwrap();
    let chunks: Vec<usize> = (0..agent.objects.len()).filter(|at| agent.objects[*at].created_site.id.0 == 3).take(2).collect();
    agent.objects[plan].contains = 2;
    for chunk in chunks {
        agent.contained.push((plan, chunk));
        agent.objects[chunk].captured = 1;
        let id = agent.objects[chunk].object_id;
        let row = agent.references.iter_mut().find(|row| row.object_id == id && row.pid == 4711).unwrap();
        row.captured = 1;
    }
}

fn worker_row(driver: &ReferenceRow, process: u32) -> ReferenceRow {
    ReferenceRow {
        process: ProcessId(process),
        pid: 4718 + process,
        process_type: ProcessType::Worker,
        reference_type: ReferenceType::PinnedInMemory,
        call_site: argument_site(),
        since_ms: NOW_MS - 3_000,
        local: 1,
        pinned: 1,
        submitted: 0,
        ..driver.clone()
    }
}

fn sites(agent: &mut Agent) {
    for (number, (.., growth, _)) in PLACES.iter().enumerate() {
        let objects: Vec<&ObjectRow> = agent.objects.iter().filter(|row| row.created_site.id.0 as usize == number + 1).collect();
        let held_bytes = objects.iter().filter_map(|row| row.size_bytes).sum();
        agent.sites.push(SiteRow {
            site: site(number),
            held_bytes,
            objects: objects.len() as u64,
            own_bytes: held_bytes,
            own_objects: objects.len() as u64,
            own_growth_bytes: *growth,
            references: objects.iter().map(|row| u64::from(row.references)).sum(),
            growth_bytes: *growth,
            growth_objects: growth / (512 << 10),
            oldest_ms: objects.iter().map(|row| row.created_ms).min().unwrap(),
        });
    }
}

fn tasks(agent: &mut Agent) {
    let places: [(&str, usize, u32); 3] = [("demo::sort_chunk", 1, 8), ("demo::merge_pair", 3, 3), ("sorter::kernel::count", 5, 12)];
    let mut number = 900;
    for (name, place, count) in places {
        for nth in 0..count {
            number += 1;
            let (status, worker) = match (place, nth) {
                (1, 0..=1) => (TaskStatus::Running, Some(4720 + nth)),
                (1, 2) => (TaskStatus::SubmittedToWorker, Some(4722)),
                (1, _) => (TaskStatus::PendingNodeAssignment, None),
                (3, _) => (TaskStatus::PendingArgsAvail, None),
                (_, 4) => (TaskStatus::Failed, Some(4719)),
                _ => (TaskStatus::Finished, Some(4720 + nth % 3)),
            };
            let started = worker.filter(|_| status != TaskStatus::SubmittedToWorker).map(|_| NOW_MS - 3_000 - u64::from(nth) * 400);
            let ended = matches!(status, TaskStatus::Finished | TaskStatus::Failed);
            agent.tasks.push(TaskRow {
                task_id: task(number),
                name: name.into(),
                status,
                actor: None,
                attempt: 1 + u32::from(status == TaskStatus::Failed) * 3,
                job: JobId(1),
                submitter_pid: 4711,
                worker_pid: worker,
                call_site: site(place),
                resources: cpus(1),
                waits_for: if place == 3 { 2 } else { 0 },
                blocked: false,
                submitted_ms: NOW_MS - 4_000 - u64::from(number) % 17 * 900,
                started_ms: started,
                ended_ms: ended.then(|| NOW_MS - 2_300 - u64::from(nth) * 210),
                heap_bytes: if worker.is_some() { u64::from(30 + nth) * MIB } else { 0 },
                peak_bytes: if place == 3 { 0 } else { 410 * MIB },
                peak_runs: 12,
                suggested_bytes: (place != 3).then_some(500 * MIB),
                error: (status == TaskStatus::Failed).then(|| "worker 4719 died (signal 9), attempt 4".to_owned()),
                reason: (worker.is_none() && !ended).then(|| match place {
                    3 => "the result of partition and 1 more".to_owned(),
                    _ => "1 CPU more; task merge in process 4715 holds 1 CPU".to_owned(),
                }),
                waiting_since_ms: (worker.is_none() && !ended).then_some(NOW_MS - 3_700),
                max_retries: 3,
                retries_left: 3,
                ..TaskRow::default()
            });
        }
    }
}

/// A reservation of CPUs alone.
pub(crate) fn cpus(count: u32) -> Arc<Resources> {
    Arc::new(Resources { cpus: Amount::whole(count), ..Resources::default() })
}

fn processes(agent: &mut Agent) {
    for (number, (kind, pid)) in PIDS.into_iter().enumerate() {
        let held: Vec<_> = agent.references.iter().filter(|row| row.process.0 == number as u32).collect();
        let heap = [9, 210, 34, 33, 29, 41, 12, 6][number] * MIB + number as u64 * 3000;
        let running = [2, 3, 5, 6].contains(&number);
        let actor = agent.actors.iter().find(|row| row.pid == Some(pid));
        let runs = actor.map_or(Some("demo::sort_chunk"), |actor| actor.call.as_deref()).filter(|_| running);
        agent.processes.push(ProcessRow {
            process: ProcessId(number as u32),
            pid,
            process_type: kind,
            job: JobId(u32::from(number > 0)),
            name: if kind == ProcessType::Agent { "plasmon-agent".into() } else { "demo".into() },
            state: if running || number < 2 { "running".into() } else { "idle".into() },
            rss_bytes: heap + [3, 190, 41, 40, 12, 9, 8, 8][number] * MIB,
            shared_bytes: [3, 190, 41, 40, 12, 9, 8, 8][number] * MIB,
            heap_bytes: heap,
            cpu_percent: [1.4, 12.0, 96.8, 94.1, 0.0, 31.0, 3.2, 0.0][number],
            task: runs.map(Into::into),
            actor: actor.map(|actor| Arc::clone(&actor.class)),
            references: held.len() as u64,
            held_bytes: held.iter().filter_map(|row| row.size_bytes).sum(),
            slack_bytes: [0, 3, 1, 1, 1, 0, 0, 0][number] * MIB / 2,
            tasks_done: [0, 0, 611, 598, 603, 1204, 88_213, 1804][number],
            since_ms: NOW_MS - [847, 846, 844, 844, 20, 840, 840, 839][number] * 1000,
        });
    }
}

fn events(agent: &mut Agent) {
    let told: [(u64, EventKind, Severity, &str, Option<u32>); 11] = [
        (847, EventKind::AgentStarted, Severity::Info, "agent 0.1.0 ready, store 1.00 GiB, 2 cpus", Some(4700)),
        (846, EventKind::DriverConnected, Severity::Info, "driver 4711 (demo) connected", Some(4711)),
        (844, EventKind::WorkerStarted, Severity::Info, "worker 4719 ready in 41 ms", Some(4719)),
        (844, EventKind::WorkerStarted, Severity::Info, "worker 4720 ready in 43 ms", Some(4720)),
        (840, EventKind::ActorCreated, Severity::Info, "actor Index 'index' lives in worker 4731", Some(4731)),
        (34, EventKind::ProcessDied, Severity::Error, "worker 4730 died (exit code 101)", Some(4730)),
        (34, EventKind::ActorDied, Severity::Error, "actor Probe died: worker 4730 died (exit code 101)", Some(4730)),
        (21, EventKind::ProcessDied, Severity::Error, "worker 4719 died (signal 9 SIGKILL)", Some(4719)),
        (21, EventKind::TaskRetried, Severity::Warning, "sort_chunk is tried again, attempt 2 of 4", Some(4719)),
        (20, EventKind::WorkerStarted, Severity::Info, "worker 4722 ready in 39 ms", Some(4722)),
        (12, EventKind::LeasesRecalled, Severity::Info, "called back 3.00 MiB of idle leases from 2 processes", None),
    ];
    for (number, (ago, kind, severity, message, pid)) in told.into_iter().enumerate() {
        agent.events.push(EventRow {
            number: number as u64 + 1,
            at_ms: NOW_MS - ago * 1000,
            kind,
            severity,
            message: message.to_owned(),
            pid,
            opens: None,
        });
    }
}

fn count(agent: &Agent, of: impl Fn(TaskStatus) -> bool) -> u64 {
    agent.tasks.iter().filter(|row| of(row.status)).count() as u64
}

fn store(agent: &mut Agent) {
    let bytes = |keep: fn(&ObjectRow) -> bool| agent.objects.iter().filter(|row| keep(row)).filter_map(|row| row.size_bytes).sum::<u64>();
    let chunk = |row: &ObjectRow| row.created_site.id.0 == 3;
    let pinned = bytes(|row| row.pinned > 0);
    let argument = 3 * 8 * MIB;
    let inlined = bytes(|row| row.state == ObjectState::Inlined);
    let spilling = bytes(|row| row.state == ObjectState::Spilling);
    let restoring = bytes(|row| row.state == ObjectState::Restoring);
    let secondary = bytes(|row| row.state == ObjectState::InMemoryCopy);
    let spilled = bytes(|row| row.state == ObjectState::Spilled);
    let all = bytes(|_| true) - inlined - spilled;
    assert!(agent.objects.iter().any(chunk));
    let mut ledger = Ledger {
        capacity_bytes: 1 << 30,
        pinned_bytes: pinned,
        argument_bytes: argument,
        captured_bytes: 3 * 512 * KIB,
        referenced_bytes: all - pinned - argument - 3 * 512 * KIB - spilling - restoring - secondary,
        spilling_bytes: spilling,
        restoring_bytes: restoring,
        secondary_bytes: secondary,
        creating_bytes: 6 * MIB,
        padding_bytes: 91 * KIB,
        hole_bytes: 1900 * KIB,
        slack_bytes: 3 * MIB,
        unbacked_bytes: 520 * MIB,
        inlined_bytes: inlined,
        lineage_bytes: 48 * KIB,
        lineage_tasks: 120,
        inlined_objects: 2,
        ..Ledger::default()
    };
    let used: u64 = ledger.lines().iter().map(|(_, bytes)| bytes).sum();
    ledger.free_bytes = ledger.capacity_bytes - used;
    agent.store = StoreRow {
        node: NodeRow {
            node: NODE,
            node_ip: "127.0.0.1".into(),
            listen: "127.0.0.1:6480".into(),
            pid: 4700,
            version: "0.1.0".into(),
            started_ms: NOW_MS - 847_000,
            num_cpus: 2.0,
            used_cpus: 2.0,
            resources: Arc::new(Resources { cpus: Amount::whole(2), memory_bytes: 4 << 30, ..Resources::default() }),
            reserved: Arc::new(Resources { cpus: Amount::whole(2), memory_bytes: 1536 << 20, ..Resources::default() }),
            machine_total_bytes: 16_500_000_000,
            machine_available_bytes: 8_200_000_000,
            agent_heap_bytes: 9 * MIB,
            driver_heap_bytes: 210 * MIB,
            worker_heap_bytes: 155 * MIB,
            store_backed_bytes: 504 * MIB,
            shared_read_bytes: pinned,
            drivers: 1,
            workers: 6,
            // As the agent counts them: what was sent to a worker runs.
            tasks_pending: count(agent, |status| status < TaskStatus::SubmittedToWorker),
            tasks_running: count(agent, |status| [TaskStatus::SubmittedToWorker, TaskStatus::Running].contains(&status)),
            tasks_finished: 1812,
            tasks_failed: 1,
            actors: 3,
        },
        ledger,
        objects: agent.objects.len() as u64,
        totals: ReferenceTotals {
            references: agent.references.len() as u64,
            unique_objects: agent.objects.len() as u64,
            unique_bytes: all + inlined + spilled,
        },
        messages: 48_120,
        put_bytes: 9_800 * MIB,
        put_objects: 22_412,
        creates_queued: 3,
        deadlocks: 0,
        spill: storage::row(agent),
        pressure: pressure(),
        viewers: 1,
    };
}

/// What is so on its machine.
fn node(agent: &Agent) -> NodeDetail {
    let advice =
        "as root: echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled; large objects are put and read faster, at fewer faults";
    NodeDetail {
        node: agent.store.node.clone(),
        capacity_bytes: agent.store.ledger.capacity_bytes,
        spill_places: agent.store.spill.places.clone(),
        checks: vec![
            Check::new("huge pages", "never for shared memory").advise(Severity::Warning, advice),
            Check::new("open files", "87 of 1024 in use, at most 1048576")
                .of(87, 1024)
                .advise(Severity::Warning, "ulimit -n 65536: every client takes 6"),
            Check::new("kernel", "6.1.0-18-amd64"),
            Check { bytes: true, ..Check::new("memory", "15.4 GiB in all (machine), 7.6 GiB available").of(8_300_000_000, 16_500_000_000) },
            Check::new("processes", "at most 62851 of this user"),
            Check::new("memory maps", "212 of 65530 in use by this process").of(212, 65_530),
            Check::new("overcommit", "by the kernel's guess"),
            Check::new("swap", "none: what does not fit is spilled, or ended"),
            Check::new("stalls", "some program waited for memory 0.4 % of the last minute"),
            Check {
                bytes: true,
                ..Check::new("spill disk", "85 GiB of 112 GiB free in /mnt/fast/spill").of(28_600_000_000, 120_000_000_000)
            },
        ],
    }
}

/// Nothing is wrong with the memory.
fn pressure() -> PressureRow {
    PressureRow {
        total_bytes: 16_500_000_000,
        used_bytes: 8_300_000_000,
        threshold_bytes: 15_675_000_000,
        source: "machine".into(),
        file_cache_bytes: 2_900 * MIB,
        available_bytes: 8_200_000_000,
        stalled_percent: Some(0.4),
        dry_run: false,
        kills: 1,
        dying: 0,
        next_victim: Some(VictimRow {
            process: ProcessId(3),
            pid: 4721,
            task: Some("demo::sort_chunk".into()),
            bytes: 33 * MIB,
            why: "the newest whose work is tried again".to_owned(),
        }),
    }
}

/// The store as it was `ago_ms` before, for the curves: a saw-tooth of sorting on top of a cache that only grows.
pub(crate) fn store_before(agent: &Agent, ago_ms: u64) -> StoreRow {
    let mut row = agent.store.clone();
    let seconds = ago_ms / 1000;
    let cache = 200_000 * seconds;
    let wave = (seconds % 48).min(48 - seconds % 48) * 4 * MIB;
    let less = (cache + wave).min(row.ledger.referenced_bytes);
    row.ledger.referenced_bytes -= less;
    row.ledger.free_bytes += less;
    row.objects -= (less / (512 * KIB)).min(row.objects);
    row.put_bytes -= (seconds * 11 + (seconds % 48).min(48 - seconds % 48) * 4) * MIB;
    storage::before(&mut row, seconds);
    row.node.tasks_finished -= seconds * 2 + (seconds % 30).min(30 - seconds % 30);
    row
}
