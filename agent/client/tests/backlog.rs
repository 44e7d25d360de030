//! A client that does not read while very many answers become due: it costs the agent little, and gets all of them in the end.

#[path = "../../tests/headless/guest.rs"]
mod guest;
mod support;

use guest::{Guest, own_bytes};
use plasmon_protocol::local::{Outcome, ToAgent, ToClient};
use support::{Flag, Viewer, alone, eventually, start};

const QUESTIONS: u32 = 20_000;

/// Just small enough to travel inside of messages.
#[plasmon::remote]
fn reply(flag: &str) -> String {
    Flag::named(flag).wait();
    "x".repeat(1000)
}

#[plasmon::remote]
fn double(value: u32) -> u32 {
    2 * value
}

#[test]
fn answers_wait_until_there_is_room_for_them() {
    alone(|| {
        let info = start(1.0);
        let task = reply.remote("go").unwrap();
        let mut mute = Guest::at(&info.session.join("agent.sock"), "/bin/true");
        let key = task.id().key();
        mute.push(&ToAgent::AddLocal { key, site: 0 });
        for request in 0..QUESTIONS {
            mute.push(&ToAgent::Get { request, key, site: 0 });
        }
        // Answered when all before it was read.
        mute.slots(QUESTIONS).unwrap();
        let before = own_bytes(info.agent_pid);
        Flag::named("go").raise();
        assert_eq!(plasmon::get(&task).unwrap().len(), 1000);
        assert_eq!(plasmon::get(&double.remote(4).unwrap()), Ok(8));
        let grown = own_bytes(info.agent_pid).saturating_sub(before);
        assert!(grown < 8 << 20, "{grown} bytes for {QUESTIONS} answers of 1000 bytes");
        let mut expected = 0;
        while expected < QUESTIONS {
            mute.next(|message| match message {
                ToClient::Resolved { request, outcome: Outcome::Inline(bytes) } => {
                    assert!(request == expected && bytes.len() >= 1000, "{request} instead of {expected}, {} bytes", bytes.len());
                    expected += 1;
                }
                message => panic!("{message:?}"),
            });
        }
        mute.slots(QUESTIONS + 1).unwrap();
        drop((task, mute));
        let mut viewer = Viewer::here();
        eventually("it is gone", || viewer.processes().iter().all(|row| &*row.name != "true"));
        viewer.until_empty();
    });
}
