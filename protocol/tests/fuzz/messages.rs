//! One example of every message.

use std::collections::BTreeSet;
use std::time::Duration;

use plasmon_protocol::error::{Error, Holder, MemoryReport, ProcessMemory};
use plasmon_protocol::id::{JobId, NodeId, ObjectKey, ProcessId, TaskKey};
use plasmon_protocol::local::{
    self, Actor, AgentHello, Argument, CallRetries, ClientHello, Ending, Memory, Outcome, RetryExceptions, Task, ToAgent, ToClient,
    VERSION, Value, Welcome, Work,
};
use plasmon_protocol::record::{ProcessType, SiteKind};
use plasmon_protocol::resources::{Amount, Demand};
use plasmon_protocol::size::Bytes;
use serde::{Deserialize, Serialize};

/// Named inputs of a corpus.
pub(crate) type Examples = Vec<(String, Vec<u8>)>;

fn encoded<T: Serialize>(examples: impl IntoIterator<Item = (&'static str, T)>) -> Examples {
    examples.into_iter().map(|(name, message)| (name.to_owned(), local::encode(&message).unwrap())).collect()
}

/// The examples, when every variant of `T` that decodes has one: a new variant needs a new example.
pub(crate) fn all_known<'a, T: Deserialize<'a>>(examples: Examples) -> Examples {
    let known = |tag: &u8| !matches!(postcard::from_bytes::<T>(vec![*tag].leak()), Err(postcard::Error::SerdeDeCustom));
    let known: BTreeSet<u8> = (0..0x80).filter(known).collect();
    let shown: BTreeSet<u8> = examples.iter().filter_map(|(_, bytes)| bytes.first().copied()).collect();
    assert_eq!(known.difference(&shown).collect::<Vec<_>>(), [&0_u8; 0], "variants without an example");
    examples
}

const NODE: NodeId = NodeId([1, 2, 3, 4, 5, 6, 7, 8]);
const KEY: ObjectKey = ObjectKey { slot: 1025, generation: 2 };
const TASK: TaskKey = TaskKey { process: ProcessId(1), number: 3 };
const MEMORY: Memory = Memory { lease: 2, offset: 8192, length: 100 };

pub(crate) fn client_hellos() -> Examples {
    let hello = |process_type, executable: &str| ClientHello {
        version: VERSION,
        release: "0.1.0".into(),
        process_type,
        pid: 4711,
        executable: executable.into(),
        directory: "/srv/somewhere".into(),
        arguments: vec!["-c".into(), "pass".into()],
    };
    encoded([("driver", hello(ProcessType::Driver, "target/program")), ("worker", hello(ProcessType::Worker, ""))])
}

pub(crate) fn welcomes() -> Examples {
    let hello = AgentHello {
        version: VERSION,
        node: NODE,
        process: ProcessId(1),
        job: JobId(1),
        agent_pid: 4711,
        starter: "itself".into(),
        session: "/tmp/plasmon-1000/session".into(),
        capacity: 64 << 20,
        slots: 65_536,
    };
    let refused = Error::Version { ours: "agent 0.1.0".into(), theirs: "client 0.2.0".into() };
    encoded::<Welcome>([("welcome", Ok(hello)), ("refused", Err(refused))])
}

pub(crate) fn to_agent() -> Examples {
    let ended = |ending| ToAgent::Ended { task: TASK, ending };
    let arguments = vec![Argument::Inline(b"abc"), Argument::Object(KEY), Argument::Block(KEY), Argument::Value(KEY, b"de")];
    let demand = Demand { cpus: Amount::ONE, gpus: Amount::ONE, memory: 1 << 20, custom: vec![("db", Amount::ONE)] };
    let submit = ToAgent::Submit {
        number: 1,
        function: "app::f",
        arguments: arguments.clone(),
        returns: vec![KEY],
        options: Task { demand: demand.clone(), max_retries: 3, retry_exceptions: RetryExceptions::Listed, timeout_ms: 1000 },
        site: 1,
    };
    let panicked = Ending::Panicked { message: "no".into(), place: "app.rs:1:2".into() };
    let function = "app::Counter::new";
    let options = Actor {
        name: "counter",
        detached: true,
        max_concurrency: 4,
        placed: demand.clone(),
        held: demand,
        max_restarts: 1,
        max_task_retries: 2,
    };
    let create = ToAgent::CreateActor { number: 1, request: 1, actor: KEY, function, arguments: arguments.clone(), options, site: 1 };
    let retries = CallRetries { max_task_retries: Some(2), retry_exceptions: RetryExceptions::Always };
    let call = ToAgent::Call { number: 2, actor: KEY, function, arguments: arguments.clone(), returns: vec![KEY], retries, site: 1 };
    encoded([
        ("create_actor", create),
        ("call", call),
        ("kill_actor", ToAgent::KillActor { actor: KEY, no_restart: true, site: 1 }),
        ("cancel_task", ToAgent::CancelTask { key: KEY, force: true, site: 1 }),
        ("find_actor", ToAgent::FindActor { request: 1, name: "counter", site: 1 }),
        ("put", ToAgent::Put { key: KEY, memory: MEMORY, site: 1, hidden: false }),
        ("add_local", ToAgent::AddLocal { key: KEY, site: 1 }),
        ("drop_local", ToAgent::DropLocal { key: KEY }),
        ("add_pin", ToAgent::AddPin { key: KEY, site: 1 }),
        ("drop_pin", ToAgent::DropPin { key: KEY }),
        ("stage", ToAgent::Stage { references: vec![KEY; 3] }),
        ("lease", ToAgent::Lease { request: 1, bytes: 1 << 20, chunk: false, site: 1 }),
        ("return", ToAgent::Return { lease: 2 }),
        ("slots", ToAgent::Slots { request: 1 }),
        ("get", ToAgent::Get { request: 1, key: KEY, site: 1 }),
        ("wait", ToAgent::Wait { request: 1, key: KEY }),
        ("cancel", ToAgent::Cancel { request: 1 }),
        ("submit", submit),
        ("started", ToAgent::Started { task: TASK }),
        ("output_inline", ToAgent::Output { task: TASK, value: Value::Inline(b"abc") }),
        ("output_memory", ToAgent::Output { task: TASK, value: Value::Memory(MEMORY) }),
        ("ended_finished", ended(Ending::Finished)),
        ("ended_failed", ended(Ending::Failed { message: "so".into(), listed: true, value: vec![128, 5, 78, 46] })),
        ("ended_panicked", ended(panicked)),
        ("ended_refused", ended(Ending::Refused(Error::invalid("task", "f", "so")))),
        ("blocked", ToAgent::Blocked),
        ("unblocked", ToAgent::Unblocked),
        ("site", ToAgent::Site { site: 1, kind: SiteKind::PutObject, file: "src/app.rs", line: 7, function: "", caller: 0 }),
        ("site_of_stack", ToAgent::Site { site: 2, kind: SiteKind::Frame, file: "main.py", line: 9, function: "main", caller: 1 }),
        ("site_name", ToAgent::SiteName { site: 1, function: "app::main" }),
        ("bye", ToAgent::Bye),
        ("submits", ToAgent::Submits { task: TASK }),
        ("ended_exhausted", ended(Ending::Exhausted)),
        ("extend", ToAgent::Extend { number: 3, returns: vec![KEY; 2], site: 1 }),
        ("room", ToAgent::Room { request: 1, task: TASK, results: 9 }),
        ("lease_ahead", ToAgent::LeaseAhead { request: 1, bytes: 64 << 20, site: 1 }),
        ("heap_peak", ToAgent::HeapPeak { task: TASK, bytes: 64 << 20 }),
        ("keep_views", ToAgent::KeepViews { key: KEY }),
        ("drop_views", ToAgent::DropViews { key: KEY }),
    ])
}

pub(crate) fn to_client() -> Examples {
    let resolved = |outcome| ToClient::Resolved { request: 1, outcome };
    let arguments = vec![Argument::Inline(b"abc"), Argument::Value(KEY, b"de"), Argument::Block(KEY)];
    let run = |work| ToClient::Run { task: TASK, work, function: "app::f", arguments: arguments.clone(), returns: 1 };
    encoded([
        ("leased", ToClient::Leased { request: 1, lease: 2, offset: 8192, length: 4096 }),
        ("refused", ToClient::Refused { request: 1, error: Error::system("lease", "no") }),
        ("slots", ToClient::Slots { request: 1, first: 1024 }),
        ("resolved_ready", resolved(Outcome::Ready)),
        ("resolved_pinned", resolved(Outcome::Pinned(KEY))),
        ("resolved_inline", resolved(Outcome::Inline(b"abc"))),
        ("resolved_failed", resolved(Outcome::Failed(b"\x02"))),
        ("found", ToClient::Found { request: 1, actor: KEY, class: "app::Counter" }),
        ("run", run(Work::Task)),
        ("run_constructor", run(Work::Constructor { max_concurrency: 4 })),
        ("run_method", run(Work::Method)),
        ("cancel_task", ToClient::Cancel { task: TASK }),
        ("exit", ToClient::Exit),
    ])
}

pub(crate) fn errors() -> Examples {
    let (object, task) = (KEY.on(NODE), TASK.on(NODE));
    let (name, site, cause) = ("app::f".to_owned(), "main app.rs:7".to_owned(), "so".to_owned());
    let holders = vec![Holder { site: site.clone(), bytes: Bytes(1 << 20), objects: 3 }];
    let message = cause.clone();
    let full = Error::ObjectStoreFull {
        asked: Bytes(1),
        free: Bytes(0),
        longest: Bytes(0),
        capacity: Bytes(1 << 20),
        site: site.clone(),
        holders,
    };
    let out_of_disk = Error::OutOfDisk { asked: Bytes(1 << 20), site: site.clone(), cause: cause.clone() };
    let failed = Error::TaskFailed { task, name: name.clone(), pid: 7, site: site.clone(), message: message.clone(), value: [1].into() };
    let panicked = Error::TaskPanicked { task, name: name.clone(), pid: 7, site: site.clone(), message, place: "a.rs:1:2".into() };
    let crashed = Error::WorkerCrashed { task, name: name.clone(), pid: 7, site: site.clone(), how: "signal 9".into(), attempt: 2 };
    let process = ProcessMemory { pid: 7, bytes: Bytes(3 << 30), command: "worker app::f".into() };
    let report = MemoryReport {
        used: Bytes(4 << 30),
        total: Bytes(4 << 30),
        threshold: Bytes(3 << 30),
        formula: "so".into(),
        rule: "so".into(),
        store: Bytes(1 << 30),
        freed: Bytes(3 << 30),
        why: cause.clone(),
        processes: vec![process],
        recording: String::new(),
    };
    let out_of_memory = Error::OutOfMemory { task, name: name.clone(), pid: 7, site, attempt: 2, report: Box::new(report) };
    let (actor, class) = (object.into(), "app::Counter".to_owned());
    let died = Error::ActorDied {
        actor,
        class: class.clone(),
        name: "counter".into(),
        pid: 7,
        site: "main app.rs:7".into(),
        cause: cause.clone(),
    };
    encoded([
        ("object_store_full", full),
        ("out_of_disk", out_of_disk),
        ("get_timeout", Error::GetTimeout { object, after: Duration::from_millis(1500) }),
        ("object_lost", Error::ObjectLost { object, cause: cause.clone() }),
        ("decode", Error::Decode { object, wanted: "u8".into(), cause: cause.clone() }),
        ("encode", Error::Encode { kind: "u8".into(), cause: cause.clone() }),
        ("task_failed", failed),
        ("task_panicked", panicked),
        ("worker_crashed", crashed),
        ("out_of_memory", out_of_memory),
        ("no_more_results", Error::NoMoreResults { task }),
        ("task_cancelled", Error::TaskCancelled { task, name: name.clone(), job: 1, cause: cause.clone() }),
        ("unknown_function", Error::UnknownFunction { name: name.clone(), executable: "program".into() }),
        ("infeasible", Error::Infeasible { name, site: "main app.rs:3".into(), asked: "9 CPU".into(), total: "2 CPU".into() }),
        ("actor_died", died),
        ("no_actor", Error::NoActor { name: "counter".into() }),
        ("actor_name_taken", Error::ActorNameTaken { name: "counter".into(), class, site: "main app.rs:7".into() }),
        ("agent_died", Error::AgentDied { node: NODE, cause: cause.clone() }),
        ("draining", Error::Draining { node: NODE, cause: cause.clone() }),
        ("not_connected", Error::NotConnected { cause: cause.clone() }),
        ("connect", Error::Connect { action: "connect".into(), cause: cause.clone() }),
        ("version", Error::Version { ours: "1".into(), theirs: "2".into() }),
        ("out_of_band", Error::OutOfBand { object }),
        ("invalid", Error::invalid("size", "x", "so")),
        ("protocol", Error::Protocol { who: "it".into(), cause }),
        ("system", Error::system("open", "no")),
    ])
}
