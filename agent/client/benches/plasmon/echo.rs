//! Ping-pong between two processes, each asleep while the other runs, through a word of shared memory and futexes: the cheapest way that
//! the kernel has to wake a process.

use std::os::fd::AsFd;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use command_fds::{CommandFdExt, FdMapping};
use plasmon_memory::channel::inherit;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap};
use rustix::process::Signal;
use rustix::thread::futex;

use crate::{Outcome, ROLE};

/// The other process's descriptor of the word.
const TURN: i32 = 3;

/// Whose turn it is.
const OURS: u32 = 0;
const THEIRS: u32 = 1;

/// Another process that answers.
pub(crate) struct Echo {
    child: Child,
    turn: &'static AtomicU32,
}

impl Echo {
    pub(crate) fn start() -> Outcome<Self> {
        let memory = memfd_create("plasmon-bench-futex", MemfdFlags::CLOEXEC)?;
        ftruncate(&memory, size_of::<AtomicU32>() as u64)?;
        let turn = map(&memory)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.env(ROLE, "echo").stdin(Stdio::null()).fd_mappings(vec![FdMapping { parent_fd: memory, child_fd: TURN }])?;
        Ok(Self { child: command.spawn()?, turn })
    }

    /// There and back.
    pub(crate) fn call(&self) -> Outcome<()> {
        hand_over(self.turn, THEIRS)?;
        await_turn(self.turn, OURS)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the other process does, until it is killed.
pub(crate) fn answer() -> ExitCode {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let Ok(turn) = inherit(TURN).map_err(Into::into).and_then(map) else { return ExitCode::FAILURE };
    while await_turn(turn, THEIRS).and_then(|()| hand_over(turn, OURS)).is_ok() {}
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
