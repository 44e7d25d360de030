//! The campaign's drivers: real processes, at work until they are killed or told to leave.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::Signal;

use crate::labour::{Order, Word};
use crate::plan::Errand;
use crate::procs;

/// Where deaths at labelled points are written down.
pub(crate) fn log_of_deaths(directory: &Path) -> PathBuf {
    directory.join("deaths")
}

/// One driver.
pub(crate) struct Driver {
    child: Child,
    orders: Option<ChildStdin>,
    words: ChildStdout,
    read: Vec<u8>,
    /// The order to die at a labelled point that it was started with.
    pub(crate) order: Option<String>,
    /// It was told to leave.
    leaving: bool,
}

/// What came of waiting for a word.
#[derive(Debug)]
pub(crate) enum Heard {
    Word(Word),
    /// It has ended.
    Ended(ExitStatus),
    /// Nothing, in all that time.
    Nothing,
}

impl Driver {
    /// Starts a driver, with an order to die if there is one. It connects, and waits for its first order.
    pub(crate) fn start(errand: &Errand, order: Option<String>, directory: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.arg("driver").args(errand.arguments());
        if let Some(order) = &order {
            command.env("PLASMON_FAILPOINT", order).env("PLASMON_FAILPOINT_LOG", log_of_deaths(directory));
        }
        let errors = File::options().append(true).create(true).open(directory.join("errors")).expect("the scratch directory is writable");
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors).spawn().expect("this program can be started again");
        let orders = child.stdin.take();
        let words = child.stdout.take().expect("its output is a pipe");
        Self { child, orders, words, read: Vec::new(), order, leaving: false }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn tell(&mut self, order: Order) {
        let line = match order {
            Order::Rest => "rest\n",
            Order::Go => "go\n",
            Order::Leave => "leave\n",
        };
        self.leaving |= order == Order::Leave;
        if let Some(orders) = &mut self.orders {
            // One that has ended is found out by its silence.
            let _ = orders.write_all(line.as_bytes());
        }
    }

    /// Its next word, or its end.
    pub(crate) fn hear(&mut self, limit: Duration) -> Heard {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return Heard::Word(Word::parse(String::from_utf8_lossy(&line).trim_end_matches('\n')));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let limit = Timespec::try_from(left).expect("a short time");
            let mut events = [PollFd::new(&self.words, PollFlags::IN)];
            if matches!(rustix::event::poll(&mut events, Some(&limit)), Ok(0)) {
                return Heard::Nothing;
            }
            let mut bytes = [0; 4096];
            match self.words.read(&mut bytes) {
                Ok(0) | Err(_) => return self.ended(deadline).map_or(Heard::Nothing, Heard::Ended),
                Ok(count) => self.read.extend_from_slice(&bytes[..count]),
            }
        }
    }

    fn ended(&mut self, deadline: Instant) -> Option<ExitStatus> {
        loop {
            match self.child.try_wait().expect("a child can be waited for") {
                Some(status) => return Some(status),
                None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
                None => return None,
            }
        }
    }

    /// Whether it has ended: killed by us, by an order, or after it was told to leave.
    ///
    /// # Errors
    /// It ended as none of these does, or it said that a promise was broken.
    pub(crate) fn has_ended(&mut self) -> Result<bool, String> {
        let Some(status) = self.child.try_wait().expect("a child can be waited for") else { return Ok(false) };
        let pid = self.pid();
        match self.hear(Duration::ZERO) {
            Heard::Word(Word::Wrong(what)) => Err(format!("driver {pid}: {what}")),
            _ if self.may_end(status) => Ok(true),
            _ => Err(format!("driver {pid} ({:?}) ended with {status}", self.order)),
        }
    }

    /// Whether this is an end that it may come to while nobody kills it.
    pub(crate) fn may_end(&self, status: ExitStatus) -> bool {
        (status.success() && self.leaving) || (status.signal() == Some(9) && self.order.is_some())
    }

    /// `kill -9`, and waits for its end. False when it had ended already.
    pub(crate) fn kill(&mut self) -> bool {
        if !procs::signal_child(self.pid(), std::process::id(), Signal::KILL) {
            return false;
        }
        let status = self.child.wait().expect("it ends");
        // From now on this end is as ordered.
        self.order.get_or_insert_default();
        status.signal() == Some(9)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
