//! How a connection begins, and how it ends on purpose.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::id::{JobId, NodeId, ProcessId};
use crate::record::ProcessType;

/// The environment variable that tells a re-executed program what it is: `agent:FD` or `worker:FD`.
pub const BOOT: &str = "PLASMON_BOOT";

/// The first packet on a connection. A driver's carries one descriptor: its executable.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClientHello {
    /// [`super::VERSION`]
    pub version: u32,
    /// The release, for people.
    pub release: String,
    /// Driver or worker.
    pub process_type: ProcessType,
    /// The process id that the client sees.
    pub pid: u32,
    /// The executable's path, for people and as `argv[0]` of its workers.
    pub executable: String,
    /// The working directory for its workers.
    pub directory: String,
    /// What its workers are started with, after `argv[0]`: where the executable is an interpreter, what to interpret. At most
    /// [`super::MAX_ARGUMENTS`] bytes.
    pub arguments: Vec<String>,
}

/// The answer. Carries descriptors in this order: pool, slot table, client segment, agent segment, the agent's doorbell,
/// the doorbell of the client's service thread, that of the thread that waits for an answer or a task.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AgentHello {
    /// [`super::VERSION`]
    pub version: u32,
    /// The node.
    pub node: NodeId,
    /// The client's number.
    pub process: ProcessId,
    /// Its job.
    pub job: JobId,
    /// The agent's process id.
    pub agent_pid: u32,
    /// Who started the agent: `process 123`, or `itself` for a standalone one.
    pub starter: String,
    /// The session's directory.
    pub session: String,
    /// The pool's size, bytes.
    pub capacity: u64,
    /// Slots in the slot table.
    pub slots: u32,
}

/// The second packet's payload.
pub type Welcome = Result<AgentHello, Error>;

/// The agent's last packet on a connection that it ends on purpose.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Farewell {
    /// Why, for people.
    pub cause: String,
}

/// The version that a [`ClientHello`] begins with: one of another version may not decode any further. `None` without one.
#[must_use]
pub fn version_of_hello(bytes: &[u8]) -> Option<u32> {
    postcard::take_from_bytes(bytes).ok().map(|(version, _)| version)
}

/// The version that a [`Welcome`] begins with; `None` without one, and for a refusal.
#[must_use]
pub fn version_of_welcome(bytes: &[u8]) -> Option<u32> {
    bytes.strip_prefix(&[0]).and_then(version_of_hello)
}
