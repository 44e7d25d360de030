//! Ping-pong between two processes, each asleep while the other runs: what waking a process costs here.

use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitCode, Stdio};

use command_fds::{CommandFdExt, FdMapping};
use plasmon_memory::channel::inherit;
use rustix::event::{EventfdFlags, eventfd};
use rustix::process::Signal;

use crate::{Outcome, ROLE};

const PING: i32 = 3;
const PONG: i32 = 4;

/// Another process that answers.
pub(crate) struct Echo {
    child: Child,
    ping: OwnedFd,
    pong: OwnedFd,
}

impl Echo {
    pub(crate) fn start() -> Outcome<Self> {
        let [ping, pong] = [eventfd(0, EventfdFlags::CLOEXEC)?, eventfd(0, EventfdFlags::CLOEXEC)?];
        let theirs =
            vec![FdMapping { parent_fd: ping.try_clone()?, child_fd: PING }, FdMapping { parent_fd: pong.try_clone()?, child_fd: PONG }];
        let mut command = Command::new(std::env::current_exe()?);
        command.env(ROLE, "echo").stdin(Stdio::null()).fd_mappings(theirs)?;
        Ok(Self { child: command.spawn()?, ping, pong })
    }

    /// There and back.
    pub(crate) fn call(&self) -> Outcome<()> {
        signal(&self.ping)?;
        await_signal(&self.pong)
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
    let (Ok(ping), Ok(pong)) = (inherit(PING), inherit(PONG)) else { return ExitCode::FAILURE };
    while await_signal(&ping).and_then(|()| signal(&pong)).is_ok() {}
    ExitCode::FAILURE
}

fn signal(event: &OwnedFd) -> Outcome<()> {
    rustix::io::write(event, &1_u64.to_ne_bytes())?;
    Ok(())
}

fn await_signal(event: &OwnedFd) -> Outcome<()> {
    rustix::io::read(event, &mut [0; 8])?;
    Ok(())
}
