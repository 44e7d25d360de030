//! What hostile clients do once they are connected. Each is dropped for the reason that stands beside it; where there is none, it
//! does nothing that it may not do.

use plasmon_memory::ring::TO_AGENT;
use plasmon_protocol::error::Error;
use plasmon_protocol::id::{ObjectKey, ProcessId, TaskKey};
use plasmon_protocol::local::{Argument, Ending, Memory, Outcome, PAGE, Task, ToAgent, ToClient, Value, decode};
use plasmon_protocol::record::SiteKind;

use super::raw::{DATA, HEAD, PINS, Raw, TAIL, executable, hello};
use crate::support::Random;

/// A name, what the agent gives as its reason, and what the client does.
pub(crate) type Attack = (&'static str, Option<&'static str>, fn(&mut Raw));

pub(crate) const ATTACKS: &[Attack] = &[
    // The ring.
    ("garbage", Some("does not decode"), |raw| raw.publish(&[0xff; 40])),
    ("an empty message", Some("does not decode"), |raw| raw.publish(&[])),
    ("half a message", Some("does not decode"), |raw| {
        let message = plasmon_protocol::local::encode(&ToAgent::Stage { references: vec![ObjectKey::default(); 9] }).unwrap();
        raw.publish(&message[..5]);
    }),
    ("bytes behind a message", Some("1 bytes follow a message"), |raw| {
        let message = plasmon_protocol::local::encode(&ToAgent::Blocked).unwrap();
        raw.publish(&[message, vec![0]].concat());
    }),
    ("a message longer than any", Some("is longer than"), |raw| frame(raw, TO_AGENT as u32, 100)),
    ("a message that ends too early", Some("ends after 3"), |raw| frame(raw, 100, 7)),
    ("a length that ends too early", Some("ends after 2"), |raw| frame(raw, 100, 2)),
    ("a head beyond the ring", Some("the ring's other side is at byte"), |raw| {
        raw.scribble(HEAD, &(1_u64 << 40).to_le_bytes());
        raw.agent_bell.ring();
    }),
    ("a head that goes back", Some("the ring's other side is at byte"), |raw| {
        raw.slots();
        raw.scribble(HEAD, &1_u64.to_le_bytes());
        raw.agent_bell.ring();
    }),
    ("a tail of nowhere", Some("the ring's other side is at byte"), |raw| {
        // Nobody looks at it before the ring seems to be full.
        raw.scribble(TAIL, &(1_u64 << 40).to_le_bytes());
        let message = plasmon_protocol::local::encode(&ToAgent::Get { request: 1, key: ObjectKey::default(), site: 0 }).unwrap();
        while !raw.is_dropped() {
            raw.ring.push(&message);
            raw.agent_bell.ring();
        }
    }),
    ("random bytes all over its segment", Some(""), |raw| {
        let mut random = Random(7);
        while !raw.is_dropped() {
            let (offset, count) = (random.below(DATA), 1 + random.below(600));
            let noise: Vec<u8> = (0..count).map(|_| random.next() as u8).collect();
            raw.scribble(offset, &noise);
            raw.scribble(DATA + random.below(TO_AGENT as u64 - 600), &noise);
            raw.agent_bell.ring();
        }
    }),
    ("random messages", Some(""), |raw| {
        let mut random = Random(8);
        while !raw.is_dropped() {
            let noise: Vec<u8> = (0..random.below(30)).map(|_| random.next() as u8).collect();
            raw.publish(&noise);
        }
    }),
    ("the same put twice", Some("which is taken"), |raw| {
        let (key, memory) = raw.object();
        raw.send(&ToAgent::Put { key, memory, site: 0, hidden: false });
    }),
    // The socket.
    ("a packet behind the hello", Some("a packet after its hello"), |raw| raw.channel.send(b"more", &[]).unwrap()),
    ("the hello again", Some("a packet after its hello"), |raw| {
        let bytes = plasmon_protocol::local::encode(&hello()).unwrap();
        raw.channel.send(&bytes, &[std::os::fd::AsFd::as_fd(&executable())]).unwrap();
    }),
    // What belongs to others.
    ("drops another's reference", Some("that it does not have"), |raw| {
        let key = raw.others()[0];
        raw.send(&ToAgent::DropLocal { key });
    }),
    ("drops another's pin", Some("that it does not have"), |raw| {
        let key = raw.others()[0];
        raw.send(&ToAgent::DropPin { key });
    }),
    ("puts into another's slot", Some("which is not its own"), |raw| {
        let (lease, offset, _) = raw.lease(100, true);
        let ObjectKey { slot, generation } = raw.others()[0];
        let key = ObjectKey { slot, generation: generation + 1 };
        raw.send(&ToAgent::Put { key, memory: Memory { lease, offset, length: 9 }, site: 0, hidden: false });
    }),
    ("puts into a lease that it does not hold", Some("which it does not hold"), |raw| {
        let key = raw.slots();
        raw.send(&ToAgent::Put { key, memory: Memory { lease: 3, offset: 0, length: 9 }, site: 0, hidden: false });
    }),
    ("puts beside its lease", Some("outside of lease"), |raw| {
        let key = raw.slots();
        let (lease, offset, length) = raw.lease(100, true);
        raw.send(&ToAgent::Put { key, memory: Memory { lease, offset: offset + length, length: 9 }, site: 0, hidden: false });
    }),
    ("puts with an end beyond all numbers", Some("outside of lease"), |raw| {
        let key = raw.slots();
        let (lease, offset, _) = raw.lease(100, true);
        raw.send(&ToAgent::Put { key, memory: Memory { lease, offset, length: u64::MAX }, site: 0, hidden: false });
    }),
    ("puts over a live object", Some("over a live object"), |raw| {
        let (ObjectKey { slot, .. }, memory) = raw.object();
        let key = raw.vacant(slot + 1);
        raw.send(&ToAgent::Put { key, memory, site: 0, hidden: false });
    }),
    ("returns a lease that it does not hold", Some("which it does not hold"), |raw| raw.send(&ToAgent::Return { lease: 0 })),
    ("returns a lease with a live object", Some("1 live objects in it"), |raw| {
        let (_, memory) = raw.object();
        raw.send(&ToAgent::Return { lease: memory.lease });
    }),
    ("holds what is not there", Some("which is not there"), |raw| {
        raw.send(&ToAgent::AddLocal { key: ObjectKey { slot: u32::MAX, generation: u32::MAX }, site: 9 });
    }),
    ("stages more than there may be", Some("references staged at once"), |raw| {
        let key = raw.others()[0];
        raw.send(&ToAgent::Stage { references: vec![key; 1001] });
    }),
    ("speaks of another's task", Some("which it does not run"), |raw| {
        raw.send(&ToAgent::Started { task: TaskKey { process: ProcessId(1), number: 1 } });
    }),
    ("ends another's task", Some("which it does not run"), |raw| {
        raw.send(&ToAgent::Ended { task: TaskKey { process: ProcessId(1), number: 1 }, ending: Ending::Finished });
    }),
    ("gives another's result", Some("which it does not run"), |raw| {
        raw.send(&ToAgent::Output { task: TaskKey { process: ProcessId(1), number: 1 }, value: Value::Inline(b"evil") });
    }),
    ("an argument that only the agent may send", Some("that only the agent may send"), |raw| {
        let key = raw.others()[0];
        submit(raw, 1, vec![Argument::Value(key, b"evil")]);
    }),
    ("a task with a number from the past", Some("submitted after task"), |raw| submit(raw, 0, Vec::new())),
    ("calls what is no actor", Some("which is none"), |raw| {
        let actor = raw.others()[0];
        raw.send(&ToAgent::KillActor { actor, no_restart: true, site: 0 });
    }),
    ("a call site out of order", Some("call site 7 defined"), |raw| {
        raw.send(&ToAgent::Site { site: 7, kind: SiteKind::PutObject, file: "a", line: 1, function: "", caller: 0 });
    }),
    ("a call site called from itself", Some("call site 1 called from 1, which is not defined"), |raw| {
        raw.send(&ToAgent::Site { site: 1, kind: SiteKind::PutObject, file: "a", line: 1, function: "", caller: 1 });
    }),
    ("a call site called from one to come", Some("call site 1 called from 4000000000, which is not defined"), |raw| {
        raw.send(&ToAgent::Site { site: 1, kind: SiteKind::PutObject, file: "a", line: 1, function: "", caller: 4_000_000_000 });
    }),
    ("a stack without end", Some("call site 65 is beyond 64 frames"), |raw| {
        for site in 1..=70 {
            raw.send(&ToAgent::Site { site, kind: SiteKind::Frame, file: "a", line: 1, function: "", caller: site - 1 });
        }
    }),
    ("a text that is too long", Some("file of 5000 bytes"), |raw| {
        raw.send(&ToAgent::Site { site: 1, kind: SiteKind::PutObject, file: &"x".repeat(5000), line: 1, function: "", caller: 0 });
    }),
    // What it may write, and nobody believes.
    ("random pins", None, |raw| {
        let mut random = Random(9);
        for round in 0..200 {
            let others = raw.others();
            for index in 0..1024 {
                let key = others.get(random.below(2 * others.len() as u64 + 1) as usize).copied();
                let word = key.map_or(random.next(), |key| u64::from(key.generation) << 32 | u64::from(key.slot));
                raw.scribble(PINS + 8 * index, &word.to_le_bytes());
            }
            if round % 10 == 0 {
                raw.agent_bell.ring();
            }
        }
    }),
    ("random bytes all over its leases", None, |raw| {
        let first = raw.slots().slot;
        let leases = [raw.lease(1000, true), raw.lease(100_000, false)];
        for (slot, (lease, offset, _)) in (first..).zip(leases) {
            let memory = Memory { lease, offset, length: 900 };
            let key = raw.vacant(slot);
            raw.send(&ToAgent::Put { key, memory, site: 0, hidden: false });
        }
        let mut random = Random(10);
        for _ in 0..500 {
            for (_, offset, length) in leases {
                let noise: Vec<u8> = (0..PAGE).map(|_| random.next() as u8).collect();
                let at = random.below(length / PAGE) * PAGE;
                rustix::io::pwrite(&raw.pool, &noise, offset + at).unwrap();
            }
        }
    }),
    ("rings that stand for nothing", None, |raw| {
        for _ in 0..1000 {
            raw.agent_bell.ring();
            raw.own_bell.ring();
            raw.agent_bell.clear();
        }
        let most = (u64::MAX - 1).to_ne_bytes();
        for bell in [&raw.agent_bell, &raw.own_bell, &raw.reader_bell] {
            // Refused where the bell is rung already.
            let _ = rustix::io::write(bell, &most);
        }
        raw.scribble(384, &1_u32.to_le_bytes());
        raw.slots();
    }),
    ("asks of others' objects", None, |raw| {
        let others = raw.others();
        for key in others {
            let request = raw.number();
            raw.send(&ToAgent::Get { request, key, site: 0 });
            let message = raw.next();
            match decode::<ToClient<'_>>("the agent", &message).unwrap() {
                ToClient::Resolved { outcome: Outcome::Pinned(_), .. } => {}
                ToClient::Resolved { outcome: Outcome::Failed(error), .. } => {
                    let error = decode::<Error>("the agent", error).unwrap();
                    assert_eq!(error.code(), "object_lost", "{error}");
                }
                other => panic!("{other:?}"),
            }
        }
    }),
    ("what it was given stays as it is", None, super::descriptors::are_safe),
];

/// A message whose length is said to be `length`, of which `published` bytes are there, its length included.
fn frame(raw: &mut Raw, length: u32, published: u64) {
    raw.scribble(DATA, &length.to_le_bytes());
    raw.scribble(HEAD, &published.to_le_bytes());
    raw.agent_bell.ring();
}

fn submit(raw: &mut Raw, number: u32, arguments: Vec<Argument<'_>>) {
    raw.send(&ToAgent::Submit { number, function: "evil", arguments, returns: Vec::new(), options: Task::default(), site: 0 });
}
