//! What a campaign is asked to do.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// A campaign, in numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Plan {
    /// SIGKILLs of workers and drivers at random moments; those at labelled points come on top.
    pub(crate) kills: u64,
    /// SIGKILLs of agents.
    pub(crate) agents: u64,
    /// What all random choices follow from. Moments do not: the system's scheduler has a say in them.
    pub(crate) seed: u64,
}

/// What a driver of the campaign is asked to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Errand {
    pub(crate) seed: u64,
    /// The agent may die.
    pub(crate) mortal: bool,
    /// The agent's session; without one, it starts an agent of its own.
    pub(crate) session: Option<PathBuf>,
}

impl Plan {
    /// From `--kills N --agents N --seed N`, each of which may be missing.
    ///
    /// # Errors
    /// A word that is none of these.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as u64);
        let mut plan = Self { kills: 2000, agents: 50, seed: now };
        for pair in arguments.chunks(2) {
            let [name, number] = pair else { return Err(format!("{} wants a number", pair[0])) };
            let number = number.parse().map_err(|_| format!("{name} wants a number, not '{number}'"))?;
            match name.as_str() {
                "--kills" => plan.kills = number,
                "--agents" => plan.agents = number,
                "--seed" => plan.seed = number,
                other => return Err(format!("'{other}' is none of --kills, --agents, --seed")),
            }
        }
        Ok(plan)
    }

    pub(crate) fn arguments(self) -> [String; 6] {
        let Self { kills, agents, seed } = self;
        ["--kills".to_owned(), kills.to_string(), "--agents".to_owned(), agents.to_string(), "--seed".to_owned(), seed.to_string()]
    }
}

impl Errand {
    pub(crate) fn parse(arguments: &[String]) -> Option<Self> {
        let [seed, mortal, session @ ..] = arguments else { return None };
        Some(Self { seed: seed.parse().ok()?, mortal: mortal == "mortal", session: session.first().map(PathBuf::from) })
    }

    pub(crate) fn arguments(&self) -> Vec<String> {
        let mortal = if self.mortal { "mortal" } else { "immortal" };
        let session = self.session.iter().map(|session| session.display().to_string());
        [self.seed.to_string(), mortal.to_owned()].into_iter().chain(session).collect()
    }
}
