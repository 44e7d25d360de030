//! The real thing between real processes. Each test runs itself a second time as the other process.
#![cfg(not(loom))]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plasmon_memory::channel::{Channel, inherit};
use plasmon_memory::doorbell::Doorbell;
use plasmon_memory::link::{AGENT_SEGMENT, AgentLink, ClientLink};
use plasmon_memory::pin::{PinOutcome, begin_evict};
use plasmon_memory::pool::Pool;
use plasmon_memory::process::Pidfd;
use plasmon_memory::segment::Segment;
use plasmon_memory::slot::{AgentState, SlotState, SlotTable};
use plasmon_memory::words::{CallSites, Sleeper};
use plasmon_protocol::id::ObjectKey;
use rustix::event::{PollFd, PollFlags, Timespec};

const CHILD: &str = "PLASMON_MEMORY_TEST_CHILD";
/// Longer than anything here takes on any machine.
const DEADLINE: Duration = Duration::from_secs(60);
const CAPACITY: u64 = 1 << 20;
const SLOTS: u32 = 64;

/// What the parent gives the child, as the agent gives it to a client.
struct Agent {
    link: AgentLink,
    slots: SlotTable,
    pool: Arc<Pool>,
    bell: Doorbell,
    client_bell: Doorbell,
    channel: Channel,
    child: Child,
    process: Pidfd,
}

impl Agent {
    fn start(test: &str) -> Self {
        // Held so that no other child gets this one's end as well.
        static START: Mutex<()> = Mutex::new(());
        let (channel, theirs) = Channel::pair().unwrap();
        let child = {
            let _one = START.lock().unwrap();
            rustix::io::fcntl_setfd(theirs.fd(), rustix::io::FdFlags::empty()).unwrap();
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", test, "--nocapture"])
                .env(CHILD, theirs.fd().as_raw_fd().to_string())
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            drop(theirs);
            child
        };
        let process = Pidfd::open(child.id()).unwrap();
        Self {
            link: AgentLink::create().unwrap(),
            slots: SlotTable::create(SLOTS).unwrap(),
            pool: Arc::new(Pool::create(CAPACITY).unwrap()),
            bell: Doorbell::create().unwrap(),
            client_bell: Doorbell::create().unwrap(),
            channel,
            child,
            process,
        }
    }

    /// Lets the child begin.
    fn welcome(&self) {
        let link = &self.link;
        let fds = [
            self.pool.fd().unwrap(),
            self.slots.fd().unwrap(),
            link.client_fd(),
            link.agent_fd().unwrap(),
            self.bell.fd(),
            self.client_bell.fd(),
        ];
        self.channel.send(b"welcome", &fds).unwrap();
    }

    fn wake_if_asleep(&self) {
        if self.link.words().sleeper() == Sleeper::Service {
            self.client_bell.ring();
        }
    }

    fn joined(mut self) {
        assert!(self.child.wait().unwrap().success(), "the other process failed");
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.child.wait();
    }
}

/// The child's end, in the child.
fn inherited() -> Option<(Channel, [OwnedFd; 6])> {
    let number = std::env::var(CHILD).ok()?.parse().unwrap();
    let channel = Channel::from_fd(inherit(number).unwrap());
    let (bytes, fds) = channel.recv().unwrap().unwrap();
    assert_eq!(bytes, b"welcome");
    Some((channel, fds.try_into().unwrap()))
}

/// Waits for one of them to be readable; nobody waits that long unless a wake was lost.
fn poll(fds: &[&dyn AsFd]) {
    let mut polled = fds.iter().map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)).collect::<Vec<_>>();
    let limit = Timespec::try_from(DEADLINE).unwrap();
    assert!(rustix::event::poll(&mut polled, Some(&limit)).unwrap() > 0, "asleep, and nobody rang");
}

/// The same numbers in both processes.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Mostly short messages, and sometimes one that fills a good part of the ring.
    fn message(&mut self) -> Vec<u8> {
        let number = self.next();
        let length = if number.is_multiple_of(512) { number / 512 % 60_000 } else { number / 512 % 120 };
        (0..length).map(|index| (number >> (index % 57)) as u8 ^ index as u8).collect()
    }
}

const MESSAGES: usize = 60_000;

#[test]
fn two_processes_exchange_millions_of_bytes() {
    if let Some((_channel, fds)) = inherited() {
        return exchange(fds);
    }
    let mut agent = Agent::start("two_processes_exchange_millions_of_bytes");
    agent.welcome();
    let (mut bytes, mut backlog, mut expected) = (Vec::new(), VecDeque::new(), Numbers(7));
    let (mut received, mut answered, mut total, mut slept) = (0, 0, 0, 0);
    while answered < MESSAGES {
        bytes.clear();
        let drained = agent.link.consumer().drain(&mut bytes).unwrap();
        for frame in agent.link.consumer().frames(&bytes) {
            let frame = frame.unwrap();
            assert!(frame == expected.message(), "message {received} differs");
            received += 1;
            total += frame.len();
            backlog.push_back(frame.iter().map(|byte| !byte).collect::<Vec<_>>());
        }
        let before = answered;
        while let Some(answer) = backlog.front() {
            if !agent.link.producer().push(answer) {
                break;
            }
            answered += 1;
            backlog.pop_front();
        }
        // Room that came back matters to a client that found its ring full, so it wakes too.
        if drained > 0 || answered > before {
            agent.wake_if_asleep();
            continue;
        }
        agent.slots.set_agent_state(AgentState::Sleeping);
        // Nothing to do but wait: for messages, or, with answers left, for room.
        if agent.link.is_empty() && (backlog.is_empty() || agent.link.producer().free() < 4 + backlog[0].len() as u64) {
            slept += 1;
            poll(&[&agent.bell, &agent.process]);
            agent.bell.clear();
        }
        agent.slots.set_agent_state(AgentState::Awake);
        assert!(!agent.process.has_ended() || !agent.link.is_empty() || received == MESSAGES, "the other process ended early");
    }
    assert!(total > 5_000_000, "{total} bytes, slept {slept} times");
    agent.joined();
}

fn exchange([_pool, slots, client, agent, bell, client_bell]: [OwnedFd; 6]) {
    let slots = SlotTable::open(slots, SLOTS).unwrap();
    let (bell, client_bell) = (Doorbell::from_fd(bell), Doorbell::from_fd(client_bell));
    let (mut producer, mut consumer, words) = ClientLink::open(client, agent).unwrap().split();
    assert_eq!(words.sites(), CallSites::Lines);
    let (mut sent, mut answers) = (Numbers(7), Numbers(7));
    let (mut pushed, mut answered, mut bytes) = (0, 0, Vec::new());
    let mut next = sent.message();
    while answered < MESSAGES {
        let before = (pushed, answered);
        while pushed < MESSAGES && producer.push(&next) {
            pushed += 1;
            next = sent.message();
        }
        bytes.clear();
        consumer.drain(&mut bytes).unwrap();
        for frame in consumer.frames(&bytes) {
            let expected = answers.message().iter().map(|byte| !byte).collect::<Vec<_>>();
            assert!(frame.unwrap() == expected, "answer {answered} differs");
            answered += 1;
        }
        if (pushed, answered) != before {
            // Messages are there, or room for answers is.
            // Every other time as where nobody waits: this agent sleeps, and never naps.
            let rest = if pushed % 2 == 0 { slots.agent_sleep_after_push() } else { slots.agent_rest_after_push() };
            if rest.state() != AgentState::Awake {
                bell.ring();
            }
            continue;
        }
        words.set_sleeper(Sleeper::Service);
        let full = pushed < MESSAGES && producer.free() < 4 + next.len() as u64;
        if consumer.is_empty() && (pushed == MESSAGES || full) {
            poll(&[&client_bell]);
            client_bell.clear();
        }
        words.set_sleeper(Sleeper::Nobody);
    }
}

#[test]
fn a_kill_loses_only_what_was_not_published() {
    if let Some((_channel, [_, _, client, agent, _, _])) = inherited() {
        let (mut producer, _consumer, words) = ClientLink::open(client, agent).unwrap().split();
        let _pinned = words.pins().pin(ObjectKey { slot: 5, generation: 6 }).unwrap();
        for number in 0_u64.. {
            let message = number.to_le_bytes().repeat(1 + number as usize % 40);
            while !producer.push(&message) {
                std::thread::yield_now();
            }
        }
    }
    let mut agent = Agent::start("a_kill_loses_only_what_was_not_published");
    agent.welcome();
    let (mut expected, mut bytes, mut ended) = (0_u64, Vec::new(), false);
    loop {
        bytes.clear();
        let drained = agent.link.consumer().drain(&mut bytes).unwrap();
        for frame in agent.link.consumer().frames(&bytes) {
            assert!(frame.unwrap() == expected.to_le_bytes().repeat(1 + expected as usize % 40), "message {expected} differs");
            expected += 1;
        }
        if ended && drained == 0 {
            break;
        }
        if expected > 20_000 && !ended {
            agent.process.kill().unwrap();
            poll(&[&agent.process]);
            ended = true;
        }
    }
    assert!(agent.process.has_ended() && agent.link.is_empty());
    assert_eq!(agent.link.pins().keys().collect::<Vec<_>>(), [ObjectKey { slot: 5, generation: 6 }], "the dead process's pin is lost");
}

#[test]
fn a_client_cannot_write_what_is_the_agents() {
    if let Some((channel, [_pool, slots, client, agent, _, _])) = inherited() {
        let (again, slots_again) = (agent.try_clone().unwrap(), slots.try_clone().unwrap());
        let slots_length = u64::try_from(rustix::fs::fstat(&slots).unwrap().st_size).unwrap();
        assert!(Segment::open(again, AGENT_SEGMENT, true).is_err(), "the agent segment is writable");
        assert!(Segment::open(slots_again, slots_length, true).is_err(), "the slot table is writable");
        assert!(rustix::io::pwrite(&agent, &[1], 200).is_err(), "the agent segment is writable through its descriptor");
        let swapped = ClientLink::open(agent.try_clone().unwrap(), client.try_clone().unwrap());
        assert_eq!(swapped.unwrap_err().kind(), std::io::ErrorKind::InvalidData);
        let (mut producer, consumer, words) = ClientLink::open(client, agent).unwrap().split();
        assert_eq!((words.freed(7), words.freed(8), words.freed(u32::MAX)), (Some(2), Some(9), None));
        assert_eq!((words.recall(), words.wants_space(), words.sites()), (1, true, CallSites::Stacks));
        assert!(consumer.is_empty() && producer.push(b"done"));
        channel.send(b"done", &[]).unwrap();
        return;
    }
    let mut agent = Agent::start("a_client_cannot_write_what_is_the_agents");
    let link = &agent.link;
    assert!(link.words().add_freed(7) && link.words().add_freed(7) && link.words().set_freed(8, 9) && !link.words().add_freed(1 << 20));
    link.words().raise_recall();
    link.words().set_wants_space(true);
    link.words().set_sites(CallSites::Stacks);
    agent.welcome();
    let done = agent.channel.recv().unwrap();
    assert_eq!(done.expect("the child checked everything").0, b"done");
    let mut bytes = Vec::new();
    agent.link.consumer().drain(&mut bytes).unwrap();
    assert_eq!(bytes, b"\x04\0\0\0done");
    agent.joined();
}

const OBJECTS: u32 = 8;
const OBJECT: u64 = 512;
const READS: u32 = 200_000;

fn object(slot: u32) -> [u8; OBJECT as usize] {
    std::array::from_fn(|index| (index as u8).wrapping_mul(31) ^ slot as u8)
}

#[test]
fn a_pinned_object_is_never_moved() {
    if let Some((channel, [pool, slots, client, agent, _, _])) = inherited() {
        let pool = Arc::new(Pool::open(pool, CAPACITY).unwrap());
        let slots = SlotTable::open(slots, SLOTS).unwrap();
        let (_producer, _consumer, words) = ClientLink::open(client, agent).unwrap().split();
        let (mut read, mut numbers) = (0, Numbers(11));
        while read < READS {
            let slot = (numbers.next() % u64::from(OBJECTS)) as u32;
            match words.pins().pin_and_read(&slots, ObjectKey { slot, generation: 1 }) {
                PinOutcome::Pinned { pin, offset, length } => {
                    assert!(pool.slice(offset, length).unwrap() == object(slot), "object {slot} changed under its pin");
                    words.pins().unpin(pin);
                    read += 1;
                }
                PinOutcome::NotInMemory(_) => std::hint::spin_loop(),
                PinOutcome::TableFull => panic!("one pin at a time fills the table"),
            }
        }
        channel.send(b"done", &[]).unwrap();
        return;
    }
    let agent = Agent::start("a_pinned_object_is_never_moved");
    // Two places for each object; the one that it is not in is poisoned.
    let place = |slot: u32, second: bool| OBJECT * u64::from(2 * slot + u32::from(second));
    let mut second = [false; OBJECTS as usize];
    for slot in 0..OBJECTS {
        assert!(agent.pool.write(place(slot, false), &object(slot)) && agent.pool.poison(place(slot, true), OBJECT));
        agent.slots.publish(slot, 1, SlotState::InMemory, place(slot, false), OBJECT);
    }
    agent.welcome();
    let (mut moved, mut kept) = (0, 0);
    agent.channel.set_nonblocking(true).unwrap();
    let done = loop {
        for slot in 0..OBJECTS {
            if !begin_evict(&agent.slots, ObjectKey { slot, generation: 1 }, [agent.link.pins()]) {
                kept += 1;
                continue;
            }
            let at = &mut second[slot as usize];
            assert!(agent.pool.write(place(slot, !*at), &object(slot)) && agent.pool.poison(place(slot, *at), OBJECT));
            *at = !*at;
            agent.slots.publish(slot, 1, SlotState::InMemory, place(slot, *at), OBJECT);
            moved += 1;
        }
        match agent.channel.recv() {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            other => break other.unwrap(),
        }
    };
    assert_eq!(done.expect("the reader found wrong bytes").0, b"done");
    assert!(moved > 0, "nothing moved, {kept} attempts were vain");
    agent.joined();
}
