//! What tasks and actors ask for, and what nodes offer: Ray's resources, in fixed point, so that no sum ever rounds.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Error;
use crate::size::Bytes;

/// The names that resources of every node have, as Ray writes them.
pub const CPU: &str = "CPU";
/// See [`CPU`].
pub const GPU: &str = "GPU";
/// Bytes of heap that are set aside; see [`CPU`].
pub const MEMORY: &str = "memory";
/// The store's capacity: an option of agents, never of tasks.
pub const OBJECT_STORE_MEMORY: &str = "object_store_memory";

/// The longest name of a custom resource, bytes.
pub const MAX_RESOURCE_NAME: usize = 64;
/// Custom resources of one task or actor.
pub const MAX_CUSTOM: usize = 64;

/// An amount of CPUs, GPUs or of a custom resource, exact to a ten-thousandth (Ray's resolution), from 0 to a million.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Amount(u64);

impl Amount {
    /// None.
    pub const ZERO: Self = Self(0);
    /// One whole.
    pub const ONE: Self = Self(Self::UNIT);
    /// The most.
    pub const MAX: Self = Self(1_000_000 * Self::UNIT);
    /// Parts of one.
    pub const UNIT: u64 = 10_000;

    /// So many ten-thousandths; `None` above a million.
    #[must_use]
    pub const fn of_parts(parts: u64) -> Option<Self> {
        if parts <= Self::MAX.0 { Some(Self(parts)) } else { None }
    }

    /// So many wholes, at most a million.
    #[must_use]
    pub const fn whole(count: u32) -> Self {
        let parts = count as u64 * Self::UNIT;
        if parts <= Self::MAX.0 { Self(parts) } else { Self::MAX }
    }

    /// Ten-thousandths.
    #[must_use]
    pub const fn parts(self) -> u64 {
        self.0
    }

    /// Whether there is nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Whether it is so many wholes and nothing more.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.0.is_multiple_of(Self::UNIT)
    }

    /// As a number, for people and for JSON.
    #[must_use]
    pub fn number(self) -> f64 {
        self.0 as f64 / Self::UNIT as f64
    }

    /// The amount nearest to `number`, held within what there can be; for what was measured, not for what was asked.
    #[must_use]
    pub fn near(number: f64) -> Self {
        Self((number * Self::UNIT as f64).round().clamp(0.0, Self::MAX.0 as f64) as u64)
    }

    /// `number`, where it is an amount.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn exact(number: f64) -> Result<Self, &'static str> {
        let parts = number * Self::UNIT as f64;
        if !parts.is_finite() || parts < 0.0 || parts > Self::MAX.0 as f64 {
            Err("it is not between 0 and 1000000")
        } else if (parts - parts.round()).abs() > 1e-6 * parts.max(1.0) {
            Err("it is finer than a ten-thousandth")
        } else {
            Ok(Self::near(number))
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.number().to_string())
    }
}

impl FromStr for Amount {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let number: f64 = text.trim().parse().map_err(|_| Error::invalid("amount", text, "it is not a number"))?;
        Self::exact(number).map_err(|cause| Error::invalid("amount", text, cause))
    }
}

impl Serialize for Amount {
    /// People's formats write a number, others the parts.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            serializer.serialize_u64(self.0)
        } else if self.is_whole() {
            serializer.serialize_u64(self.0 / Self::UNIT)
        } else {
            serializer.serialize_f64(self.number())
        }
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return Self::exact(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom);
        }
        let parts = u64::deserialize(deserializer)?;
        Self::of_parts(parts).ok_or_else(|| serde::de::Error::custom("an amount above a million"))
    }
}

/// What one task or actor reserves. Admission only: nothing is enforced while it runs.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Demand<'a> {
    /// CPUs.
    pub cpus: Amount,
    /// GPUs: whole ones, or a part of one.
    pub gpus: Amount,
    /// Heap, bytes.
    pub memory: u64,
    /// Custom resources by name, at most [`MAX_CUSTOM`], each once, sorted, none of them zero.
    #[serde(borrow)]
    pub custom: Vec<(&'a str, Amount)>,
}

/// The same, as rows and configurations have it, and what a node offers.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Resources {
    /// CPUs.
    pub cpus: Amount,
    /// GPUs.
    pub gpus: Amount,
    /// Heap, bytes.
    pub memory_bytes: u64,
    /// Custom resources by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub custom: BTreeMap<Arc<str>, Amount>,
}

impl fmt::Display for Resources {
    /// `2 CPU, 500 MiB memory, 1 db`; `nothing` when there is nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if !self.cpus.is_zero() {
            parts.push(format!("{} {CPU}", self.cpus));
        }
        if !self.gpus.is_zero() {
            parts.push(format!("{} {GPU}", self.gpus));
        }
        if self.memory_bytes > 0 {
            parts.push(format!("{} {MEMORY}", Bytes(self.memory_bytes)));
        }
        parts.extend(self.custom.iter().filter(|(_, amount)| !amount.is_zero()).map(|(name, amount)| format!("{amount} {name}")));
        f.pad(&if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") })
    }
}

impl From<&Demand<'_>> for Resources {
    fn from(demand: &Demand<'_>) -> Self {
        let custom = demand.custom.iter().map(|(name, amount)| (Arc::from(*name), *amount)).collect();
        Self { cpus: demand.cpus, gpus: demand.gpus, memory_bytes: demand.memory, custom }
    }
}

impl Demand<'_> {
    /// Of CPUs alone.
    #[must_use]
    pub fn of_cpus(cpus: Amount) -> Self {
        Self { cpus, ..Self::default() }
    }

    /// Whether it asks for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cpus.is_zero() && self.gpus.is_zero() && self.memory == 0 && self.custom.is_empty()
    }

    /// Whether it is as the fields say.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming what is wrong.
    pub fn check(&self) -> Result<(), Error> {
        if self.gpus > Amount::ONE && !self.gpus.is_whole() {
            return Err(Error::invalid("num_gpus", self.gpus.to_string(), "more than one GPU can only be had in wholes"));
        }
        if self.memory > 1 << 60 {
            return Err(Error::invalid("memory", self.memory.to_string(), "it is larger than 1 EiB"));
        }
        if self.custom.len() > MAX_CUSTOM {
            let cause = format!("a task names at most {MAX_CUSTOM} custom resources");
            return Err(Error::invalid("resources", self.custom.len().to_string(), cause));
        }
        let mut before = "";
        for (name, amount) in &self.custom {
            check_name(name)?;
            if *name <= before {
                return Err(Error::invalid("resource", *name, "it is given twice, or out of order"));
            }
            if amount.is_zero() {
                return Err(Error::invalid("resource", *name, "nothing is asked of it"));
            }
            before = name;
        }
        Ok(())
    }
}

/// Whether a custom resource can be called so.
///
/// # Errors
/// [`Error::Invalid`] naming what is wrong.
pub fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > MAX_RESOURCE_NAME {
        return Err(Error::invalid("resource", name, format!("a name has 1 to {MAX_RESOURCE_NAME} bytes")));
    }
    if name.chars().any(char::is_control) {
        return Err(Error::invalid("resource", name.escape_debug().to_string(), "a name has no control characters"));
    }
    match [CPU, GPU, MEMORY, OBJECT_STORE_MEMORY].into_iter().find(|own| own.eq_ignore_ascii_case(name)) {
        Some(CPU) => Err(Error::invalid("resource", name, "ask for CPUs with num_cpus")),
        Some(GPU) => Err(Error::invalid("resource", name, "ask for GPUs with num_gpus")),
        Some(MEMORY) => Err(Error::invalid("resource", name, "ask for it with memory, in bytes")),
        Some(_) => Err(Error::invalid("resource", name, "the store is shared: nothing of it can be set aside")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_to_a_ten_thousandth() {
        for (text, parts) in [("2", 20_000), ("0", 0), ("0.5", 5000), ("1.0001", 10_001), ("1e6", Amount::MAX.0), (" 3 ", 30_000)] {
            let amount: Amount = text.parse().unwrap();
            assert_eq!(amount.parts(), parts, "{text}");
            assert_eq!(serde_json::from_str::<Amount>(&serde_json::to_string(&amount).unwrap()).unwrap(), amount);
            assert_eq!(postcard::from_bytes::<Amount>(&postcard::to_allocvec(&amount).unwrap()).unwrap(), amount);
        }
        for text in ["", "two", "-1", "NaN", "inf", "0.00005", "1.00014999", "1000001", "0x2"] {
            assert!(text.parse::<Amount>().is_err(), "{text}");
        }
        assert_eq!("1.50".parse::<Amount>().unwrap().to_string(), "1.5");
        assert_eq!(serde_json::to_string(&"2.0".parse::<Amount>().unwrap()).unwrap(), "2");
        assert!(postcard::from_bytes::<Amount>(&postcard::to_allocvec(&u64::MAX).unwrap()).is_err());
    }

    #[test]
    fn demands_that_cannot_be_are_refused() {
        let custom = |custom| Demand { custom, ..Demand::default() };
        let one = Amount::ONE;
        assert!(custom(vec![("db", one), ("tpu", one)]).check().is_ok());
        for (demand, word) in [
            (custom(vec![("tpu", one), ("db", one)]), "order"),
            (custom(vec![("db", one), ("db", one)]), "twice"),
            (custom(vec![("db", Amount::ZERO)]), "nothing"),
            (custom(vec![("", one)]), "bytes"),
            (custom(vec![("a\u{1b}[2J", one)]), "control"),
            (custom(vec![("gpu", one)]), "num_gpus"),
            (custom(vec![("Memory", one)]), "memory"),
            (custom(vec![("object_store_memory", one)]), "shared"),
            (Demand { gpus: Amount::near(1.5), ..Demand::default() }, "wholes"),
            (Demand { memory: u64::MAX, ..Demand::default() }, "EiB"),
        ] {
            let error = demand.check().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        assert!(Demand { gpus: Amount::near(0.5), ..Demand::default() }.check().is_ok());
    }
}
