//! What tasks and actors reserve, as programs say it.

use plasmon_protocol::error::Error;
use plasmon_protocol::resources::{Amount, Demand};

/// What is reserved; what is not said is open.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Reserve<'a> {
    pub(crate) cpus: Option<f64>,
    pub(crate) gpus: Option<f64>,
    pub(crate) memory: Option<u64>,
    pub(crate) custom: Option<&'a [(&'a str, f64)]>,
}

impl<'a> Reserve<'a> {
    pub(crate) const OPEN: Self = Self { cpus: None, gpus: None, memory: None, custom: None };

    /// What this says, and where it says nothing, what `below` says.
    pub(crate) const fn over(self, below: Self) -> Self {
        Self {
            cpus: if self.cpus.is_some() { self.cpus } else { below.cpus },
            gpus: if self.gpus.is_some() { self.gpus } else { below.gpus },
            memory: if self.memory.is_some() { self.memory } else { below.memory },
            custom: if self.custom.is_some() { self.custom } else { below.custom },
        }
    }

    /// As the agent takes it, with so many CPUs where nothing is said of them.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the option, its value, and what is wrong with it.
    pub(crate) fn demand(self, cpus: Amount) -> Result<Demand<'a>, Error> {
        let amount = |name: &str, number: f64| Amount::exact(number).map_err(|cause| Error::invalid(name, number.to_string(), cause));
        let mut demand = Demand {
            cpus: self.cpus.map_or(Ok(cpus), |cpus| amount("num_cpus", cpus))?,
            gpus: self.gpus.map_or(Ok(Amount::ZERO), |gpus| amount("num_gpus", gpus))?,
            memory: self.memory.unwrap_or(0),
            custom: Vec::new(),
        };
        for (name, number) in self.custom.unwrap_or_default() {
            let amount = amount(&format!("resource {name}"), *number)?;
            if !amount.is_zero() {
                demand.custom.push((name, amount));
            }
        }
        demand.custom.sort_unstable();
        demand.check()?;
        Ok(demand)
    }
}
