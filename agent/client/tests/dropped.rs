//! A client that breaks the protocol: it is dropped, and everybody who has to do with it is told why.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use plasmon::Error;
use plasmon_protocol::record::EventKind;
use rustix::net::SendFlags;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use support::{Child, Flag, Viewer, alone, attach, is_alive, publish, role, start};

/// The number that a worker finds its socket under.
const WORKER_FD: i32 = 3;

/// Sends a packet that nobody asked for over this worker's own socket, and waits for what comes of it.
#[plasmon::remote(max_retries = 0)]
fn misbehave() -> u32 {
    Flag::named("worker").say(&std::process::id().to_string());
    let own = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    let socket = pidfd_getfd(&own, WORKER_FD, PidfdGetfdFlags::empty()).unwrap();
    rustix::net::send(&socket, b"nonsense", SendFlags::empty()).unwrap();
    loop {
        std::thread::park();
    }
}

#[plasmon::remote]
fn double(value: u32) -> u32 {
    2 * value
}

#[test]
fn the_task_of_a_worker_that_is_dropped_says_why() {
    alone(|| {
        start(1.0);
        let mut viewer = Viewer::here();
        let task = misbehave.remote().unwrap();
        let Err(Error::WorkerCrashed { how, pid, .. }) = plasmon::get(&task) else { panic!("it was not dropped") };
        assert_eq!(how, "dropped: a packet after its hello");
        assert_eq!(pid.to_string(), Flag::named("worker").wait());
        let events = viewer.events();
        let said = |kind| events.iter().any(|event| event.kind == kind && event.message.contains("a packet after its hello"));
        assert!(said(EventKind::ProcessDropped) && said(EventKind::ProcessDied) && said(EventKind::TaskFailed), "{events:#?}");
        assert!(!is_alive(pid));
        assert_eq!(plasmon::get(&double.remote(4).unwrap()), Ok(8));
    });
}

#[test]
fn a_driver_that_is_dropped_is_told_why() {
    alone(|| {
        if role().is_some() {
            attach();
            let info = plasmon::info().unwrap();
            // Its own socket to the agent: the only one whose other end is the agent's.
            let own = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
            let mut spoken = 0;
            for fd in 3..64 {
                let Ok(socket) = pidfd_getfd(&own, fd, PidfdGetfdFlags::empty()) else { continue };
                let Ok(other) = rustix::net::sockopt::socket_peercred(&socket) else { continue };
                if other.pid.as_raw_nonzero().get().cast_unsigned() == info.agent_pid {
                    spoken += usize::from(rustix::net::send(&socket, b"nonsense", SendFlags::empty()).is_ok());
                    break;
                }
            }
            assert_eq!(spoken, 1);
            support::eventually("it is dropped", || !plasmon::is_initialized());
            let Err(Error::AgentDied { cause, .. }) = plasmon::put(&1) else { panic!("it goes on") };
            assert_eq!(cause, "dropped: a packet after its hello");
            Flag::named("told").raise();
            return;
        }
        let info = start(1.0);
        publish(&info);
        let child = Child::start("driver");
        Flag::named("told").wait();
        child.succeed();
        assert_eq!(plasmon::get(&double.remote(4).unwrap()), Ok(8));
    });
}
