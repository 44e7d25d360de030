//! An agent in a process of its own, as `plasmon-agent` runs it: it is no child of a program's connection, and is told to end by signals.

use std::path::PathBuf;
use std::process::ExitCode;

use rustix::process::{Pid, Signal, kill_process};

use super::{Child, directory, eventually, role};

/// How the role of such a process begins; its arguments follow.
const ROLE: &str = "agent";

/// The agent, as its starter sees it. Killed when dropped.
pub(crate) struct Standalone {
    child: Child,
    pub(crate) session: PathBuf,
}

impl Standalone {
    /// Whether this process is to be such an agent. Then it was one: it has ended.
    pub(crate) fn was_here() -> bool {
        let Some(arguments) = role().and_then(|role| role.strip_prefix(ROLE).map(str::to_owned)) else { return false };
        let directory = directory().display().to_string();
        let fixed = ["plasmon-agent", "--listen", "127.0.0.1:0", "--temp-dir", &directory];
        let store = if arguments.contains("--object-store-memory") { &[][..] } else { &["--object-store-memory", "64MiB"] };
        let arguments = fixed.into_iter().chain(store.iter().copied()).chain(arguments.split_whitespace()).map(Into::into);
        assert_eq!(plasmon_agent::command::main(arguments), ExitCode::SUCCESS);
        true
    }

    /// Starts one with these arguments and waits until it is ready.
    pub(crate) fn start(arguments: &str) -> Self {
        let child = Child::start(&format!("{ROLE} {arguments}"));
        let mut session = None;
        eventually("the agent is ready", || {
            let live = plasmon_agent::session::find_live(&directory()).expect("the scratch directory is readable");
            session = live.into_iter().find(|found| found.address.pid == child.pid()).map(|found| found.path);
            session.is_some()
        });
        Self { child, session: session.unwrap_or_default() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.pid()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().cast_signed()).expect("a process id");
        kill_process(pid, signal).expect("it can be signalled");
    }

    /// Waits for an end without an error; nothing of its session is left.
    pub(crate) fn succeed(self) {
        let session = self.session.clone();
        self.child.succeed();
        assert!(!session.exists(), "{} is left", session.display());
    }

    /// `kill -9`, and waits for its end.
    pub(crate) fn kill(self) {
        self.child.kill();
    }
}
