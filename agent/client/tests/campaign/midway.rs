//! An agent that dies while a value is being read: between the value's pin and the counting of a reference inside it.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use plasmon::{Error, ObjectRef};
use rustix::process::Signal;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{agents, procs};

/// How long this process may take to hear of the agent's death.
const PATIENCE: Duration = Duration::from_secs(60);

/// The agent that dies.
static VICTIM: AtomicU32 = AtomicU32::new(0);

/// A value of references, whose reading the agent does not survive.
#[derive(Serialize, Deserialize)]
struct Last {
    first: ObjectRef<u64>,
    death: Death,
    second: ObjectRef<u64>,
}

/// Read, it kills the agent, and waits until this process knows.
#[derive(Serialize)]
struct Death;

impl<'de> Deserialize<'de> for Death {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <()>::deserialize(deserializer)?;
        procs::signal_child(VICTIM.load(Ordering::Relaxed), std::process::id(), Signal::KILL);
        let deadline = Instant::now() + PATIENCE;
        while plasmon::is_initialized() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(Self)
    }
}

/// The reader is told of the agent's death, and not that the bytes are wrong.
///
/// # Errors
/// It is told anything else.
pub(crate) fn run(directory: &Path) -> Result<(), String> {
    let told = |error: Error| format!("before an agent's death midway: {error}");
    let info = agents::own(agents::storage(1), directory).init().map_err(told)?;
    VICTIM.store(info.agent_pid, Ordering::Relaxed);
    let (first, second) = (plasmon::put(&1_u64).map_err(told)?, plasmon::put(&2_u64).map_err(told)?);
    let last = plasmon::put(&Last { first, death: Death, second }).map_err(told)?;
    let end = match plasmon::get(&last) {
        Err(Error::AgentDied { .. }) => Ok(()),
        Err(error) => Err(format!("who reads while the agent dies is told {}: {error}", error.code())),
        Ok(_) => Err("a reference was counted by a dead agent".to_owned()),
    };
    drop(last);
    plasmon::shutdown().map_err(|error| format!("no end: {error}"))?;
    end
}
