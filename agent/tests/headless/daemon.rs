//! A real `plasmon-agent` in a directory of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use plasmon_agent::session::{Found, find_live};
use plasmon_protocol::record::NodeRow;
use plasmon_protocol::stream::{Body, Frame, Request, VERSION};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// Far longer than anything takes: reached only by what never comes.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until `found` finds something.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

/// What a program that ended has left.
#[derive(Debug)]
pub(crate) struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    #[track_caller]
    pub(crate) fn fine(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        self.stdout
    }

    /// An error: nothing on stdout, `parts` in the message, and a hint.
    #[track_caller]
    pub(crate) fn refused(&self, parts: &[&str]) {
        assert_eq!((self.code, self.stdout.as_str()), (Some(2), ""), "{self:?}");
        let message = self.stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or_else(|| panic!("no error line: {self:?}"));
        for part in parts {
            assert!(message.contains(part), "'{part}' is not in: {message}");
        }
        let hint = self.stderr.lines().last().unwrap_or_default();
        assert!(hint.starts_with("hint: ") && hint.len() > 8, "no hint at the end: {self:?}");
    }
}

/// A command's end; both its outputs are read meanwhile.
#[track_caller]
pub(crate) fn end(command: &mut Command) -> Ended {
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Where one test's sessions are.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// A file with these bytes.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// `plasmon-agent` with these arguments, and sessions here.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plasmon-agent"));
        command.args(arguments).env_clear().env("PLASMON_TEMP_DIR", self.path()).stdin(Stdio::null());
        command
    }

    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        end(&mut self.command(arguments))
    }

    /// The directory of this user's sessions.
    pub(crate) fn base(&self) -> PathBuf {
        self.path().join(format!("plasmon-{}", rustix::process::getuid().as_raw()))
    }

    /// Names of what lies there.
    pub(crate) fn sessions(&self) -> Vec<String> {
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        fs::read_dir(self.base()).map(|entries| entries.map(name).collect()).unwrap_or_default()
    }

    /// The live agents, newest first.
    pub(crate) fn live(&self) -> Vec<Found> {
        find_live(self.path()).unwrap()
    }
}

/// An agent that runs; killed with the test.
pub(crate) struct Daemon {
    pub child: Child,
    pub found: Found,
}

impl Daemon {
    /// On a free port unless the arguments say otherwise; returns when it is ready.
    pub(crate) fn start(place: &Place, arguments: &[&str]) -> Self {
        let mut command = place.command(arguments);
        if !arguments.contains(&"--config") {
            command.args(["--listen", "127.0.0.1:0", "--object-store-memory", "16MiB"]);
        }
        Self::adopt(place, command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    pub(crate) fn adopt(place: &Place, child: Child) -> Self {
        let found = until("the agent", || place.live().into_iter().find(|found| found.address.pid == child.id()));
        Self { child, found }
    }

    pub(crate) fn token(&self) -> String {
        fs::read_to_string(&self.found.address.token_file).unwrap().trim().to_owned()
    }

    /// How many descriptors it has open, from the moment on in which it records.
    pub(crate) fn descriptors(&self) -> usize {
        let recording = self.found.path.join(plasmon_protocol::recording::FILE);
        until("the recording", || recording.exists().then_some(()));
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Sends a signal and waits for the end: exit code, or none when the signal killed it.
    #[track_caller]
    pub(crate) fn end(mut self, which: Signal) -> Option<i32> {
        signal(self.child.id(), which);
        ends(&mut self.child).code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a program's end.
#[track_caller]
pub(crate) fn ends(child: &mut Child) -> ExitStatus {
    until("the program's end", || child.try_wait().unwrap())
}

/// Asks the agent's stream who it is.
pub(crate) fn hello(daemon: &Daemon) -> NodeRow {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ask = async {
        let mut request = format!("ws://{}/v1/stream", daemon.found.address.listen).into_client_request().unwrap();
        request.headers_mut().insert("Authorization", format!("Bearer {}", daemon.token()).parse().unwrap());
        let (mut socket, _) = connect_async(request).await.unwrap();
        let hello = serde_json::to_string(&Request::Hello { version: VERSION }).unwrap();
        socket.send(Message::text(hello)).await.unwrap();
        let Message::Text(text) = socket.next().await.unwrap().unwrap() else { panic!("no text") };
        let frame: Frame = serde_json::from_str(&text).unwrap();
        let Body::Hello { node, .. } = frame.body else { panic!("no hello: {text}") };
        *node
    };
    runtime.block_on(async { tokio::time::timeout(PATIENCE, ask).await.unwrap() })
}
