//! What clients publish, turn by turn: how a conversation is written as bytes, and conversations in which every message does what it
//! is for.
//!
//! Messages stand one behind the other, without lengths, so that a changed one leaves those behind it readable. A byte that no message
//! begins with says who speaks from there on, or that something happens.

use plasmon_protocol::error::Error;
use plasmon_protocol::id::{ObjectKey, ProcessId, TaskKey};
use plasmon_protocol::local::{
    self, Actor, Argument, CallRetries, Ending, Memory, PAGE, RetryExceptions, SLOT_BLOCK, Task, ToAgent, Value,
};
use plasmon_protocol::record::SiteKind;
use plasmon_protocol::resources::{Amount, Demand};

use super::files::Examples;

/// Who a turn is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Who {
    /// The hostile driver publishes.
    Driver,
    /// Its worker does.
    Worker,
    /// So many milliseconds pass.
    Time,
    /// Its worker dies.
    Death,
}

impl Who {
    /// The lowest byte that no message begins with.
    const FIRST: u8 = 0x80;

    fn of(tag: u8) -> Self {
        match tag - Self::FIRST {
            0..=31 => Self::Driver,
            32..=79 => Self::Worker,
            80..=103 => Self::Time,
            _ => Self::Death,
        }
    }

    fn tag(self) -> u8 {
        Self::FIRST
            + match self {
                Self::Driver => 0,
                Self::Worker => 32,
                Self::Time => 80,
                Self::Death => 104,
            }
    }
}

/// One turn.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub(crate) who: Who,
    /// Milliseconds.
    pub(crate) number: u16,
    /// What is published, as it stands in a ring.
    pub(crate) ring: Vec<u8>,
}

/// The turns in any bytes.
pub(crate) fn turns(bytes: &[u8]) -> Vec<Turn> {
    let mut turns = vec![Turn { who: Who::Driver, number: 0, ring: Vec::new() }];
    let mut rest = bytes;
    while let Some((&first, behind)) = rest.split_first() {
        if first >= Who::FIRST {
            let who = Who::of(first);
            rest = behind;
            let mut number = 0;
            if let (Who::Time, Some((low_high, behind))) = (who, rest.split_first_chunk()) {
                number = u16::from_le_bytes(*low_high);
                rest = behind;
            }
            turns.push(Turn { who, number, ring: Vec::new() });
            continue;
        }
        let message = match postcard::take_from_bytes::<ToAgent<'_>>(rest) {
            Ok((_, behind)) => &rest[..rest.len() - behind.len()],
            Err(_) => &rest[..rest.iter().position(|byte| *byte >= Who::FIRST).unwrap_or(rest.len())],
        };
        rest = &rest[message.len()..];
        if let Some(turn) = turns.last_mut() {
            turn.ring.extend((message.len() as u32).to_le_bytes());
            turn.ring.extend(message);
        }
    }
    turns
}

/// A conversation while it is written.
#[derive(Default)]
struct Draft(Vec<u8>);

impl Draft {
    fn says(mut self, who: Who, messages: &[ToAgent<'_>]) -> Self {
        self.0.push(who.tag());
        messages.iter().for_each(|message| self.0.extend(local::encode(message).unwrap()));
        self
    }

    fn passes(mut self, milliseconds: u16) -> Self {
        self.0.push(Who::Time.tag());
        self.0.extend(milliseconds.to_le_bytes());
        self
    }

    fn dies(mut self) -> Self {
        self.0.push(Who::Death.tag());
        self
    }
}

/// The hostile driver: the honest one came first.
pub(crate) const DRIVER: ProcessId = ProcessId(2);
/// Where the hostile driver's first lease lies, bytes: behind the honest one's chunk and its large object.
pub(crate) const LEASE: u64 = 8 * PAGE;

fn own(slot: u32) -> ObjectKey {
    ObjectKey { slot: SLOT_BLOCK + slot, generation: 1 }
}

fn foreign(slot: u32) -> ObjectKey {
    ObjectKey { slot, generation: 1 }
}

fn put(slot: u32, lease: u32, offset: u64, length: u64) -> ToAgent<'static> {
    ToAgent::Put { key: own(slot), memory: Memory { lease, offset, length }, site: 1, hidden: false }
}

fn submit(number: u32, arguments: Vec<Argument<'static>>, returns: Vec<ObjectKey>) -> ToAgent<'static> {
    ToAgent::Submit {
        number,
        function: "app::f",
        arguments,
        returns,
        options: Task { demand: Demand::of_cpus(Amount::ONE), max_retries: 1, ..Task::default() },
        site: 1,
    }
}

pub(crate) fn examples() -> Examples {
    let site = ToAgent::Site { site: 1, kind: SiteKind::PutObject, file: "app.rs", line: 7, function: "", caller: 0 };
    let begin = || {
        Draft::default().says(
            Who::Driver,
            &[site.clone(), ToAgent::Slots { request: 1 }, ToAgent::Lease { request: 2, bytes: 100, chunk: true, site: 1 }],
        )
    };
    let task = |number| TaskKey { process: DRIVER, number };
    let objects = begin().says(
        Who::Driver,
        &[
            put(0, 0, LEASE, 100),
            put(1, 0, LEASE + 128, 10),
            ToAgent::AddLocal { key: own(0), site: 1 },
            ToAgent::AddPin { key: own(0), site: 1 },
            ToAgent::Stage { references: vec![own(0), own(1)] },
            put(2, 0, LEASE + 192, 33),
            ToAgent::DropPin { key: own(0) },
            ToAgent::KeepViews { key: own(0) },
            ToAgent::DropViews { key: own(0) },
            ToAgent::AddLocal { key: own(0), site: 1 },
            ToAgent::DropLocal { key: own(0) },
            ToAgent::DropLocal { key: own(0) },
            ToAgent::Get { request: 3, key: own(1), site: 1 },
            ToAgent::Wait { request: 4, key: own(2) },
            ToAgent::SiteName { site: 1, function: "app::main" },
            ToAgent::DropLocal { key: own(2) },
        ],
    );
    let memory = begin()
        .says(
            Who::Driver,
            &[
                ToAgent::Lease { request: 3, bytes: 20_000, chunk: false, site: 1 },
                ToAgent::Lease { request: 4, bytes: 10 << 20, chunk: false, site: 1 },
                ToAgent::Lease { request: 5, bytes: 900 << 10, chunk: false, site: 1 },
                ToAgent::Return { lease: 1 },
            ],
        )
        .passes(3000)
        .says(Who::Driver, &[put(0, 0, LEASE, 0), ToAgent::DropLocal { key: own(0) }, ToAgent::Return { lease: 0 }]);
    let tasks = begin()
        .says(
            Who::Driver,
            &[
                put(0, 0, LEASE, 100),
                submit(1, vec![Argument::Inline(b"abc"), Argument::Object(own(0)), Argument::Block(own(0))], vec![own(1), own(2)]),
                submit(2, vec![Argument::Object(own(1))], vec![own(3)]),
                ToAgent::Get { request: 3, key: own(3), site: 1 },
                ToAgent::Wait { request: 4, key: own(1) },
                ToAgent::Cancel { request: 4 },
            ],
        )
        .says(Who::Worker, &[ToAgent::Started { task: task(1) }, ToAgent::Blocked, ToAgent::Unblocked])
        .says(
            Who::Worker,
            &[
                ToAgent::Output { task: task(1), value: Value::Inline(b"abc") },
                ToAgent::Stage { references: vec![own(0)] },
                ToAgent::Output { task: task(1), value: Value::Inline(b"d") },
                ToAgent::Ended { task: task(1), ending: Ending::Finished },
            ],
        )
        .says(Who::Worker, &[ToAgent::Started { task: task(2) }])
        .dies()
        .passes(10)
        .says(
            Who::Worker,
            &[ToAgent::Ended { task: task(2), ending: Ending::Failed { message: "so".into(), listed: true, value: vec![1] } }],
        );
    let actor = |number, slot, name, detached| {
        let options = Actor { name, detached, max_concurrency: 2, placed: Demand::of_cpus(Amount::ONE), ..Actor::default() };
        let (function, arguments) = ("app::Counter::new", vec![Argument::Inline(b"abc")]);
        ToAgent::CreateActor { number, request: 8, actor: own(slot), function, arguments, options, site: 1 }
    };
    let call = |number, slot, result| {
        let arguments = vec![Argument::Object(own(1))];
        let retries = CallRetries { max_task_retries: Some(2), retry_exceptions: RetryExceptions::Listed };
        ToAgent::Call { number, actor: own(slot), function: "app::Counter::add", arguments, returns: vec![own(result)], retries, site: 1 }
    };
    let finished = |number| ToAgent::Ended { task: task(number), ending: Ending::Finished };
    let actors = begin()
        .says(Who::Driver, &[put(1, 0, LEASE, 10), actor(1, 0, "counter", false), call(2, 0, 2), call(3, 0, 3)])
        .says(Who::Worker, &[ToAgent::Started { task: task(1) }, finished(1)])
        .says(
            Who::Worker,
            &[
                ToAgent::Started { task: task(2) },
                ToAgent::Blocked,
                ToAgent::Unblocked,
                ToAgent::Output { task: task(2), value: Value::Inline(b"d") },
                finished(2),
                ToAgent::FindActor { request: 1, name: "counter", site: 0 },
            ],
        )
        .says(
            Who::Driver,
            &[ToAgent::FindActor { request: 9, name: "nobody", site: 1 }, ToAgent::KillActor { actor: own(0), no_restart: true, site: 1 }],
        )
        .says(Who::Driver, &[actor(4, 4, "detached", true), ToAgent::DropLocal { key: own(4) }, actor(5, 5, "detached", false)])
        .says(
            Who::Worker,
            &[ToAgent::Ended { task: task(4), ending: Ending::Failed { message: "so".into(), listed: true, value: vec![1] } }],
        );
    let endings = [
        Ending::Refused(Error::invalid("task", "f", "so")),
        Ending::Panicked { message: "no".into(), place: "app.rs:1:2".into() },
        Ending::Failed { message: "so".into(), listed: true, value: vec![1] },
    ];
    let mut failing = begin();
    for (number, ending) in (1..).zip(endings) {
        failing = failing
            .says(Who::Driver, &[submit(number, Vec::new(), vec![own(number)])])
            .says(Who::Worker, &[ToAgent::Slots { request: 1 }, ToAgent::Lease { request: 2, bytes: 9, chunk: true, site: 0 }])
            .says(Who::Worker, &[ToAgent::Ended { task: task(number), ending }]);
    }
    let trespass = [
        vec![ToAgent::AddLocal { key: foreign(0), site: 1 }, ToAgent::AddPin { key: foreign(1), site: 1 }],
        vec![ToAgent::DropLocal { key: foreign(0) }],
        vec![ToAgent::Put { key: foreign(9), memory: Memory { lease: 0, offset: LEASE, length: 1 }, site: 0, hidden: true }],
        vec![put(0, 7, LEASE, 1)],
        vec![put(0, 0, 0, 1)],
        vec![ToAgent::Return { lease: 9 }],
        vec![ToAgent::Stage { references: vec![foreign(0), foreign(1)] }, put(0, 0, LEASE, 1)],
        vec![ToAgent::Get { request: 1, key: foreign(3), site: 1 }, ToAgent::Wait { request: 2, key: foreign(3) }],
        vec![ToAgent::Bye],
    ];
    let mut trespassing = Draft::default();
    for messages in trespass {
        trespassing = Draft([trespassing.0, begin().says(Who::Driver, &messages).0].concat());
    }
    [("objects", objects), ("memory", memory), ("tasks", tasks), ("actors", actors), ("failing", failing), ("trespass", trespassing)]
        .map(|(name, draft)| (name.to_owned(), draft.0))
        .to_vec()
}
