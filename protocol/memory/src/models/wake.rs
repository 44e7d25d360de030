//! Who sleeps is woken by what it must see; a task that did not begin is taken back from whoever does not wake.

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

use super::{Bell, ring, with_preemptions, words};
use crate::place::Place;
use crate::ring::Consumer;
use crate::slot::{AgentState, SlotTable};
use crate::words::{ClientWords, Sleeper};

/// Either the sleeper's second look finds the message, or the producer finds it asleep.
#[test]
fn no_wake_is_lost() {
    loom::model(|| {
        let (mut producer, consumer) = ring(16);
        let slots: Place<SlotTable> = Place::new(SlotTable::modelled(0));
        let state = slots.clone();
        let client = thread::spawn(move || {
            assert!(producer.push(b"m"));
            state.agent_rest_after_push().state() != AgentState::Awake
        });
        assert!(slots.set_agent_state(AgentState::Sleeping));
        let seen = !consumer.is_empty();
        let rung = client.join().unwrap();
        assert!(seen || rung, "a message, and nobody awake");
    });
}

/// A client that rings once for each rest of the agent's is heard: what the agent's last look missed was rung for.
#[test]
fn one_ring_a_rest_is_enough() {
    loom::model(|| {
        let (mut producer, mut consumer) = ring(16);
        let slots: Place<SlotTable> = Place::new(SlotTable::modelled(0));
        let state = slots.clone();
        let client = thread::spawn(move || {
            let mut rung = None;
            for message in [b"a", b"b"] {
                assert!(producer.push(message));
                let rest = state.agent_rest_after_push();
                if rest.state() != AgentState::Awake && rung != Some(rest) {
                    rung = Some(rest);
                }
            }
            rung
        });
        let mut drained = Vec::new();
        assert!(slots.set_agent_state(AgentState::Sleeping));
        assert!(slots.set_agent_state(AgentState::Awake));
        consumer.drain(&mut drained).unwrap();
        assert!(slots.set_agent_state(AgentState::Sleeping));
        let last = slots.agent_rest_after_push();
        let missed = consumer.is_empty() && consumer.frames(&drained).count() < 2;
        let rung = client.join().unwrap();
        assert!(!missed || rung == Some(last), "a message, and nobody awake");
    });
}

/// The agent's loop: it dozes after work, then sleeps; a client without hurry rings only for sleep, and once for each.
#[test]
fn the_agent_hears_everything() {
    loom::model(|| {
        let (mut producer, mut consumer) = ring(16);
        let slots: Place<SlotTable> = Place::new(SlotTable::modelled(0));
        let bell = Arc::new(Bell::default());
        let (state, their_bell) = (slots.clone(), Arc::clone(&bell));
        let client = thread::spawn(move || {
            let mut rung = None;
            for message in [b"a", b"b"] {
                assert!(producer.push(message));
                let rest = state.agent_rest_after_push();
                if rest.state() == AgentState::Sleeping && rung != Some(rest) {
                    rung = Some(rest);
                    their_bell.ring();
                }
            }
        });
        let mut bytes = Vec::new();
        loop {
            let worked = consumer.drain(&mut bytes).unwrap() > 0;
            if consumer.frames(&bytes).count() == 2 {
                break;
            }
            slots.set_agent_state(if worked { AgentState::Napping } else { AgentState::Sleeping });
            if !worked && consumer.is_empty() {
                bell.wait();
            }
            slots.set_agent_state(AgentState::Awake);
            bell.clear();
        }
        client.join().unwrap();
    });
}

/// Either the client's second look finds the message and the word, or the agent finds it asleep.
#[test]
fn no_wake_of_a_client_is_lost() {
    loom::model(|| {
        let (mut producer, consumer) = ring(16);
        let (agent, _, client) = words();
        let agent = thread::spawn(move || {
            assert!(producer.push(b"m"));
            agent.raise_recall();
            agent.sleeper() == Sleeper::Service
        });
        client.set_sleeper(Sleeper::Service);
        let seen = !consumer.is_empty() && client.recall() == 1;
        let rung = agent.join().unwrap();
        assert!(seen || rung, "a message, and nobody awake");
    });
}

/// The loop of a client's service thread: it ends when it has seen a message and a recall, which come one after the other.
#[test]
fn a_client_hears_everything() {
    loom::model(|| {
        let (mut producer, mut consumer) = ring(16);
        let (agent, _, client) = words();
        let bell = Arc::new(Bell::default());
        let their_bell = Arc::clone(&bell);
        let agent = thread::spawn(move || {
            let wake = || (agent.sleeper() == Sleeper::Service).then(|| their_bell.ring());
            assert!(producer.push(b"m"));
            wake();
            agent.raise_recall();
            wake();
        });
        let (mut bytes, mut recalls) = (Vec::new(), 0);
        loop {
            consumer.drain(&mut bytes).unwrap();
            recalls = client.recall().max(recalls);
            if !bytes.is_empty() && recalls == 1 {
                break;
            }
            client.set_sleeper(Sleeper::Service);
            if consumer.is_empty() && client.recall() == recalls {
                bell.wait();
                bell.clear();
            }
            client.set_sleeper(Sleeper::Nobody);
        }
        agent.join().unwrap();
    });
}

/// What threads of a client that read take turns at: the ring, and how many messages came out of it.
struct Turns {
    ring: Mutex<(Consumer, usize)>,
    missed: AtomicBool,
}

impl Turns {
    fn read(ring: &mut (Consumer, usize)) -> usize {
        let mut bytes = Vec::new();
        ring.0.drain(&mut bytes).unwrap();
        ring.1 += ring.0.frames(&bytes).count();
        ring.1
    }

    /// The steps of a thread that waits for the first message.
    fn lead(&self, words: &ClientWords, bell: &Bell, service: &Bell) {
        let Ok(mut ring) = self.ring.try_lock() else { return };
        words.set_sleeper(Sleeper::Nobody);
        while Self::read(&mut ring) == 0 {
            words.set_sleeper(Sleeper::Reader);
            if ring.0.is_empty() {
                bell.wait();
                bell.clear();
            }
            words.set_sleeper(Sleeper::Nobody);
        }
        words.set_sleeper(Sleeper::Service);
        // The model's service thread must end too.
        let left = !ring.0.is_empty() || ring.1 == 2;
        drop(ring);
        if self.missed.swap(false, Ordering::SeqCst) || left {
            service.ring();
        }
    }

    /// The steps of the service thread.
    fn serve(&self, words: &ClientWords, bell: &Bell) {
        loop {
            self.missed.store(false, Ordering::SeqCst);
            let first = self.ring.try_lock();
            let ring = first.or_else(|_| {
                self.missed.store(true, Ordering::SeqCst);
                self.ring.try_lock()
            });
            let mut idle = true;
            if let Ok(mut ring) = ring {
                words.set_sleeper(Sleeper::Nobody);
                if Self::read(&mut ring) == 2 {
                    return;
                }
                words.set_sleeper(Sleeper::Service);
                idle = ring.0.is_empty();
            }
            if idle {
                bell.wait();
                bell.clear();
            }
        }
    }
}

/// A thread that waits reads the ring, and leaves it to the service thread: no message stays unread, whoever is rung for at that moment.
#[test]
fn whoever_reads_leaves_nothing_unheard() {
    with_preemptions(3, || {
        let (mut producer, consumer) = ring(16);
        let (agent, _, client) = words();
        let bells = Arc::new((Bell::default(), Bell::default()));
        let turns = Arc::new(Turns { ring: Mutex::new((consumer, 0)), missed: AtomicBool::new(false) });
        let client = Arc::new(client);
        let theirs = Arc::clone(&bells);
        let agent = thread::spawn(move || {
            for message in [b"a", b"b"] {
                assert!(producer.push(message));
                match agent.sleeper() {
                    Sleeper::Nobody => {}
                    Sleeper::Service => theirs.0.ring(),
                    Sleeper::Reader => theirs.1.ring(),
                }
            }
        });
        let (theirs, shared, words) = (Arc::clone(&bells), Arc::clone(&turns), Arc::clone(&client));
        let reader = thread::spawn(move || shared.lead(&words, &theirs.1, &theirs.0));
        turns.serve(&client, &bells.0);
        agent.join().unwrap();
        reader.join().unwrap();
    });
}

/// A task that the agent takes back runs at one place: the worker's or another one.
#[test]
fn a_task_runs_here_or_there() {
    loom::model(|| {
        let (mut producer, mut consumer) = ring(16);
        let (agent, _, client) = words();
        let worker = thread::spawn(move || {
            assert!(producer.push(b"s"));
            !client.is_withdrawn(1)
        });
        agent.withdraw(1);
        let begun = consumer.drain(&mut Vec::new()).unwrap() > 0;
        let runs = worker.join().unwrap();
        assert!(begun || !runs, "taken back, and it runs");
    });
}
