//! What may go wrong in a campaign, and what never may.

use std::sync::atomic::{AtomicBool, Ordering};

use plasmon::Error;

/// What a task that panics on purpose says.
pub(crate) const STUMBLED: &str = "stumbled on purpose";
/// How the message of a task begins that failed because of somebody's death.
const DEATH: &str = "because of a death: ";

/// Set where the agent is killed too.
pub(crate) static AGENT_IS_MORTAL: AtomicBool = AtomicBool::new(false);

/// Why something did not give what it should.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// A typed error that a death explains.
    Typed(Error),
    /// A broken promise: wrong bytes, a lost object, an error that nothing explains.
    Wrong(String),
}

/// Whether this is for want of room or of a disk that works: another time the same may go well.
pub(crate) fn passes(error: &Error) -> bool {
    match error {
        Error::ObjectStoreFull { .. } | Error::OutOfDisk { .. } => true,
        Error::ObjectLost { cause, .. } => cause.contains("it cannot be read back now"),
        _ => false,
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        let explained = match &error {
            Error::WorkerCrashed { how, .. } => how.contains("SIGKILL"),
            Error::TaskFailed { message, .. } => message.starts_with(DEATH),
            Error::TaskPanicked { message, .. } => message == STUMBLED,
            // Three of a job's workers in a row were killed before they were ready.
            Error::System { action, .. } => action.starts_with("start a worker for job"),
            Error::ActorDied { cause, .. } => {
                ["SIGKILL", "killed by process", "start a worker for job"].iter().any(|why| cause.contains(why))
            }
            // The one that everybody shares dies too.
            Error::NoActor { .. } => true,
            error if passes(error) => true,
            Error::AgentDied { .. } => AGENT_IS_MORTAL.load(Ordering::Relaxed),
            _ => false,
        };
        if explained { Self::Typed(error) } else { Self::Wrong(format!("{}: {error}", error.code())) }
    }
}

impl Trouble {
    /// As the error of a task that met it.
    pub(crate) fn told(self) -> String {
        match self {
            Self::Typed(error) => format!("{DEATH}{error}"),
            Self::Wrong(what) => what,
        }
    }
}
