//! What the node offers to tasks and actors: its defaults, and what cannot be.

use plasmon_protocol::error::Error;
use plasmon_protocol::resources::{Amount, Resources, check_name};
use plasmon_protocol::size::Bytes;

use super::Config;
use crate::machine::{Machine, gpus};

/// What a flag and `--resources` say of the same resource.
pub(super) fn one<T: PartialEq + std::fmt::Display>(flag: &str, own: Option<T>, custom: Option<T>) -> Result<Option<T>, Error> {
    match (own, custom) {
        (Some(own), Some(custom)) if own != custom => {
            Err(Error::invalid(flag, own.to_string(), format!("--resources says {custom} of the same")))
        }
        (own, custom) => Ok(own.or(custom)),
    }
}

/// As many as this process may use.
pub(super) fn default_gpus() -> Amount {
    Amount::whole(gpus::visible().len() as u32)
}

/// What the store leaves of what was available at the start.
pub(super) fn default_memory(machine: &Machine, store: Bytes) -> Bytes {
    Bytes(machine.available_bytes.saturating_sub(store.0))
}

impl Config {
    /// What tasks and actors may reserve.
    #[must_use]
    pub fn offered(&self) -> Resources {
        Resources { cpus: self.num_cpus, gpus: self.num_gpus, memory_bytes: self.memory.0, custom: self.resources.clone() }
    }

    pub(super) fn validate_offer(&self, machine: &Machine) -> Result<(), Error> {
        let (store, memory) = (self.object_store_memory, self.memory);
        let sum = Bytes(store.0.saturating_add(memory.0));
        if sum.0 > machine.total_bytes {
            let over = Bytes(sum.0 - machine.total_bytes);
            let cause = format!("with the object store's {store} that makes {sum}, {over} more than there is: {machine}");
            return Err(Error::invalid("--memory", memory.to_string(), cause));
        }
        if self.num_gpus > Amount::whole(1024) {
            return Err(Error::invalid("--num-gpus", self.num_gpus.to_string(), "it is more than 1024"));
        }
        self.resources.keys().try_for_each(|name| check_name(name))
    }
}
