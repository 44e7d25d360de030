//! What a hostile process may write into shared memory, and what each side makes of it: an error or less, never a fault.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd};

use plasmon_fuzz::corpus;
use plasmon_memory::link::{AGENT_SEGMENT, AgentLink, CLIENT_SEGMENT, ClientLink};
use plasmon_memory::pin::begin_evict_all;
use plasmon_memory::ring::{Frames, RingError, TO_AGENT, TO_CLIENT, max_message};
use plasmon_memory::segment::Segment;
use plasmon_memory::slot::{SlotState, SlotTable};
use plasmon_protocol::id::ObjectKey;
use plasmon_protocol::local::PAGE;

/// Where the head of either ring lies in its segment, bytes.
const HEAD: u64 = 128;
/// Where the client's tail of the other ring lies, bytes.
const TAIL: u64 = 256;
/// Where the pins begin in the client's segment, bytes.
const PIN_WORDS: u64 = 512;
const LIMIT: usize = max_message(TO_AGENT);

/// Where a patch may begin: at the words of either segment and at their rings' data, a little behind them, or anywhere.
const PLACES: [u64; 8] = [0, HEAD, HEAD, TAIL, TAIL, PIN_WORDS, CLIENT_SEGMENT - TO_AGENT as u64, AGENT_SEGMENT - TO_CLIENT as u64];

/// A part of a segment's bytes: which place, how far behind it, and what stands there from now on.
fn patch(offset: u64, bytes: &[u8]) -> Vec<u8> {
    let place = PLACES.iter().rposition(|place| *place == offset);
    let behind = if place.is_some() { 0 } else { offset as u32 };
    [&[place.unwrap_or(0) as u8][..], &behind.to_le_bytes(), &(bytes.len() as u16).to_le_bytes(), bytes].concat()
}

/// Carries out the patches in any bytes.
fn apply(mut bytes: &[u8], length: u64, mut write: impl FnMut(u64, &[u8])) {
    while let Some((head, rest)) = bytes.split_first_chunk::<7>() {
        let [place, a, b, c, d, low, high] = *head;
        let behind = u64::from(u32::from_le_bytes([a, b, c, d]));
        let far = if place == 0 { behind } else { behind % 64 };
        let offset = (PLACES[usize::from(place) % PLACES.len()] + far) % length;
        let count = rest.len().min(u16::from_le_bytes([low, high]).into()).min((length - offset) as usize);
        write(offset, &rest[..count]);
        bytes = &rest[count..];
    }
}

fn frame(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u32).to_le_bytes()[..], message].concat()
}

fn named(examples: Vec<(&str, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    examples.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect()
}

#[test]
fn frames() {
    let corpus = corpus!("frames");
    corpus.holds(&named(vec![
        ("empty", Vec::new()),
        ("three", [frame(b"one"), frame(b""), frame(&[7; 300])].concat()),
        ("oversized", (LIMIT as u32 + 1).to_le_bytes().to_vec()),
        ("longest", (LIMIT as u32).to_le_bytes().to_vec()),
    ]));
    corpus.run(|bytes| {
        let mut seen = 0;
        let mut frames = Frames::new(bytes, LIMIT);
        for message in frames.by_ref() {
            match message {
                Ok(message) => seen += 4 + message.len(),
                Err(error) => {
                    assert!(matches!(error, RingError::Truncated { .. } | RingError::Oversized { .. }));
                    assert_eq!(frames.next(), None, "something follows an error");
                    return false;
                }
            }
        }
        assert_eq!(seen, bytes.len());
        true
    });
}

/// The agent's end of a client that writes into its segment what it likes.
#[test]
fn client_segment() {
    let corpus = corpus!("client_segment");
    let data = CLIENT_SEGMENT - TO_AGENT as u64;
    let published = |head: u64| patch(HEAD, &head.to_le_bytes());
    let pin = |slot: u64| patch(PIN_WORDS + 8 * slot, &(slot | 1 << 32).to_le_bytes());
    corpus.holds(&named(vec![
        ("message", [patch(data, &frame(b"hello")), published(9)].concat()),
        ("beyond", published(TO_AGENT as u64 + 1)),
        ("behind", published(u64::MAX)),
        ("all", published(TO_AGENT as u64)),
        ("tail", patch(TAIL, &(1_u64 << 40).to_le_bytes())),
        ("pins", [pin(0), pin(5), pin(1023)].concat()),
        ("magic", patch(0, &[0; 16])),
    ]));
    let slots = SlotTable::create(1024).unwrap();
    corpus.run(|bytes| {
        let mut link = AgentLink::create().unwrap();
        let fd = link.client_fd().try_clone_to_owned().unwrap();
        for slot in 0..1024 {
            slots.publish(slot, 1, SlotState::InMemory, 0, 1);
        }
        apply(bytes, CLIENT_SEGMENT, |offset, part| {
            assert_eq!(rustix::io::pwrite(&fd, part, offset).unwrap(), part.len());
        });
        let mut taken = Vec::new();
        let drained = link.consumer().drain(&mut taken);
        assert!(taken.len() <= TO_AGENT && drained.unwrap_or(0) == taken.len());
        let whole = link.consumer().frames(&taken).all(|frame| frame.is_ok());
        // What was taken once is not taken again.
        let mut again = Vec::new();
        assert!(!matches!(link.consumer().drain(&mut again), Ok(1..)), "drained twice");
        let pinned: HashSet<ObjectKey> = link.pins().keys().collect();
        let mut keys = (0..1024).map(|slot| ObjectKey { slot, generation: 1 }).collect();
        begin_evict_all(&slots, &mut keys, [link.pins()]);
        assert!(keys.iter().all(|key| !pinned.contains(key)), "a pinned object was evicted");
        while link.producer().push(&[1; 60_000]) {}
        assert!(link.producer().free() <= TO_CLIENT as u64);
        let drained_by_client = link.producer().is_drained();
        let _ = (link.is_empty(), link.words().sleeper(), link.words().last_sleeper());
        drained.is_ok() && drained_by_client.is_ok() && whole
    });
}

fn filled(length: u64, bytes: &[u8]) -> OwnedFd {
    let segment = Segment::create("plasmon-nonsense", length).unwrap();
    apply(bytes, length, |offset, part| {
        rustix::io::pwrite(segment.fd().unwrap(), part, offset).unwrap();
    });
    segment.fd().unwrap().try_clone_to_owned().unwrap()
}

/// A client's look at a slot table that anybody wrote.
#[test]
fn slot_table() {
    const SLOTS: u32 = 300;
    const BYTES: u64 = (256 + SLOTS as u64 * 32).next_multiple_of(PAGE);
    let corpus = corpus!("slot_table");
    let table = SlotTable::create(SLOTS).unwrap();
    table.publish(0, 1, SlotState::InMemory, 64, 100);
    table.publish(7, 3, SlotState::Failed, 0, 0);
    let mut bytes = vec![0; 1024];
    rustix::io::pread(table.fd().unwrap(), &mut bytes, 0).unwrap();
    corpus.holds(&named(vec![("table", patch(0, &bytes)), ("empty", Vec::new())]));
    corpus.run(|bytes| {
        let Ok(table) = SlotTable::open(filled(BYTES, bytes), SLOTS) else { return false };
        for slot in (0..SLOTS).chain([SLOTS, u32::MAX]) {
            assert_eq!(table.read(slot).is_some(), slot < SLOTS);
        }
        let _ = (table.agent_state(), table.agent_rest_after_push(), table.agent_sleep_after_push());
        assert!(!table.publish(0, 1, SlotState::Free, 0, 0));
        true
    });
}

/// A client's end of an agent that writes into its segment what it likes.
#[test]
fn agent_segment() {
    let corpus = corpus!("agent_segment");
    let link = AgentLink::create().unwrap();
    let mut magic = [0; 8];
    rustix::io::pread(link.agent_fd().unwrap(), &mut magic, 0).unwrap();
    let data = AGENT_SEGMENT - TO_CLIENT as u64;
    let published = |head: u64| [patch(0, &magic), patch(HEAD, &head.to_le_bytes())].concat();
    corpus.holds(&named(vec![
        ("message", [published(9), patch(data, &frame(b"hello"))].concat()),
        ("beyond", published(TO_CLIENT as u64 + 1)),
        ("tail", [published(0), patch(TAIL, &u64::MAX.to_le_bytes())].concat()),
        ("another", patch(0, b"PLSMagnt")),
    ]));
    corpus.run(|bytes| {
        let client = link.client_fd().as_fd().try_clone_to_owned().unwrap();
        let Ok(opened) = ClientLink::open(client, filled(AGENT_SEGMENT, bytes)) else { return false };
        let (mut producer, mut consumer, words) = opened.split();
        let mut taken = Vec::new();
        let drained = consumer.drain(&mut taken);
        let whole = consumer.frames(&taken).all(|frame| frame.is_ok());
        while producer.push(&[1; 250_000]) {}
        let _ = (words.freed(0), words.freed(u32::MAX), words.recall(), words.wants_space(), words.sites());
        drained.is_ok() && whole
    });
}
