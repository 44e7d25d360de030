//! Ping-pong between two processes, each asleep while the other runs: what waking a process costs here. Through a word of shared memory
//! and futexes, the cheapest way that the kernel has; and through two eventfds, which can be waited for beside other things.

use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use command_fds::{CommandFdExt, FdMapping};
use plasmon_memory::channel::inherit;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap};
use rustix::process::Signal;
use rustix::thread::futex;

use crate::{Outcome, ROLE};

/// What the other process is to be told with.
const FIRST: i32 = 3;
const SECOND: i32 = 4;

/// Whose turn it is.
const OURS: u32 = 0;
const THEIRS: u32 = 1;

/// How both sides wake each other.
enum Bell {
    Futex(&'static AtomicU32),
    Eventfds { ping: OwnedFd, pong: OwnedFd },
}

/// Another process that answers.
pub(crate) struct Echo {
    child: Child,
    bell: Bell,
}

impl Echo {
    /// Through futexes.
    pub(crate) fn by_futex() -> Outcome<Self> {
        let memory = memfd_create("plasmon-bench-futex", MemfdFlags::CLOEXEC)?;
        ftruncate(&memory, size_of::<AtomicU32>() as u64)?;
        let child = start("futex", [memory.try_clone()?, memory.try_clone()?])?;
        Ok(Self { child, bell: Bell::Futex(map(&memory)?) })
    }

    /// Through eventfds.
    pub(crate) fn by_eventfd() -> Outcome<Self> {
        let [ping, pong] = [eventfd(0, EventfdFlags::CLOEXEC)?, eventfd(0, EventfdFlags::CLOEXEC)?];
        let child = start("eventfd", [ping.try_clone()?, pong.try_clone()?])?;
        Ok(Self { child, bell: Bell::Eventfds { ping, pong } })
    }

    /// There and back.
    pub(crate) fn call(&self) -> Outcome<()> {
        match &self.bell {
            Bell::Futex(turn) => {
                hand_over(turn, THEIRS)?;
                await_turn(turn, OURS)
            }
            Bell::Eventfds { ping, pong } => {
                signal(ping)?;
                await_signal(pong)
            }
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(how: &str, [first, second]: [OwnedFd; 2]) -> Outcome<Child> {
    let theirs = vec![FdMapping { parent_fd: first, child_fd: FIRST }, FdMapping { parent_fd: second, child_fd: SECOND }];
    let mut command = Command::new(std::env::current_exe()?);
    command.env(ROLE, "echo").env(HOW, how).stdin(Stdio::null()).fd_mappings(theirs)?;
    Ok(command.spawn()?)
}

/// The environment variable that tells the other process how.
const HOW: &str = "PLASMON_BENCH_ECHO";

/// What the other process does, until it is killed.
pub(crate) fn answer() -> ExitCode {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let (Ok(first), Ok(second)) = (inherit(FIRST), inherit(SECOND)) else { return ExitCode::FAILURE };
    if std::env::var(HOW).is_ok_and(|how| how == "futex") {
        let Ok(turn) = map(&first) else { return ExitCode::FAILURE };
        while await_turn(turn, THEIRS).and_then(|()| hand_over(turn, OURS)).is_ok() {}
    } else {
        while await_signal(&first).and_then(|()| signal(&second)).is_ok() {}
    }
    ExitCode::FAILURE
}

/// The word in this memory, mapped for as long as the process lives.
#[expect(unsafe_code, reason = "a word that two processes share, for a floor that owes nothing to what is measured")]
fn map(memory: impl AsFd) -> Outcome<&'static AtomicU32> {
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: the kernel chooses a free place, and nothing unmaps it.
    let at = unsafe { mmap(std::ptr::null_mut(), size_of::<AtomicU32>(), protection, MapFlags::SHARED, memory, 0)? };
    // SAFETY: as large as the file, aligned to a page, mapped for ever, and atomic on both sides.
    Ok(unsafe { &*at.cast::<AtomicU32>() })
}

fn hand_over(turn: &AtomicU32, to: u32) -> Outcome<()> {
    turn.store(to, Ordering::Release);
    futex::wake(turn, futex::Flags::empty(), 1)?;
    Ok(())
}

fn await_turn(turn: &AtomicU32, whose: u32) -> Outcome<()> {
    loop {
        let now = turn.load(Ordering::Acquire);
        if now == whose {
            return Ok(());
        }
        match futex::wait(turn, futex::Flags::empty(), now, None) {
            Ok(()) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn signal(event: &OwnedFd) -> Outcome<()> {
    rustix::io::write(event, &1_u64.to_ne_bytes())?;
    Ok(())
}

fn await_signal(event: &OwnedFd) -> Outcome<()> {
    rustix::io::read(event, &mut [0; 8])?;
    Ok(())
}
