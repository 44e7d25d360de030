//! Does what takes the kernel long, off the node's thread: starts workers, reads environments, waits for the last of children that were
//! given up. The thread lives as long as the agent: workers are told to end by the kernel when their parent thread does.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use plasmon_memory::process::Pidfd;
use plasmon_protocol::id::ProcessId;

use super::program::{self, Program};
use super::workers::{self, Started};

/// What is to be done.
#[derive(Debug)]
pub enum Errand {
    /// Read the environment of a driver that said hello.
    Environment {
        /// The shell's number of the connection.
        newcomer: u32,
        /// The driver.
        pid: u32,
    },
    /// Start a worker.
    Worker {
        /// What it will be called.
        worker: ProcessId,
        /// What it is started from.
        program: Arc<Program>,
        /// The node's GPUs that it is to see; none when it may see all.
        devices: Box<[u32]>,
    },
    /// Kill a child and reap it.
    Bury(Pidfd),
}

/// What became of an errand.
#[derive(Debug)]
pub enum Report {
    /// The environment that a driver was started with.
    Environment {
        /// The shell's number of the connection.
        newcomer: u32,
        /// Names and values.
        environment: Vec<(OsString, OsString)>,
    },
    /// A worker was started, or not.
    Worker {
        /// What it is called.
        worker: ProcessId,
        /// The process, or what the system says.
        started: io::Result<Started>,
    },
}

/// Runs errands, one after the other, until nobody can send any more. Workers' output goes to files in `logs`.
pub fn run(errands: &Receiver<Errand>, logs: &Path, mut report: impl FnMut(Report)) {
    while let Ok(errand) = errands.recv() {
        match errand {
            Errand::Environment { newcomer, pid } => {
                report(Report::Environment { newcomer, environment: program::environment(pid) });
            }
            Errand::Worker { worker, program, devices } => {
                report(Report::Worker { worker, started: workers::start(&program, worker, &devices, logs) });
            }
            Errand::Bury(child) => workers::bury(&child),
        }
    }
}
