//! Counts of CPUs, in thousandths.

use std::fmt;
use std::str::FromStr;

use plasmon_protocol::error::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of CPUs, exact to a thousandth, from 0 (a node that runs no task which needs one) to a million.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Cpus(u32);

/// A million CPUs.
const MAX: u32 = 1_000_000_000;

impl Cpus {
    /// Thousandths of a CPU.
    #[must_use]
    pub fn milli(self) -> u32 {
        self.0
    }

    /// The nearest count to `cpus`.
    #[must_use]
    pub(super) fn from_cpus(cpus: f64) -> Self {
        Self((cpus * 1000.0).round().clamp(0.0, f64::from(MAX)) as u32)
    }

    /// `cpus`, where it is a count.
    fn exact(cpus: f64) -> Result<Self, &'static str> {
        let milli = cpus * 1000.0;
        if !milli.is_finite() || milli < 0.0 || milli > f64::from(MAX) {
            Err("it is not between 0 and 1000000")
        } else if (milli - milli.round()).abs() > 1e-6 * milli.max(1.0) {
            Err("it is finer than a thousandth of a CPU")
        } else {
            Ok(Self::from_cpus(cpus))
        }
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&(f64::from(self.0) / 1000.0).to_string())
    }
}

impl FromStr for Cpus {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let cpus: f64 = text.trim().parse().map_err(|_| Error::invalid("count of CPUs", text, "it is not a number"))?;
        Self::exact(cpus).map_err(|cause| Error::invalid("count of CPUs", text, cause))
    }
}

impl Serialize for Cpus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_multiple_of(1000) {
            serializer.serialize_u32(self.0 / 1000)
        } else {
            serializer.serialize_f64(f64::from(self.0) / 1000.0)
        }
    }
}

impl<'de> Deserialize<'de> for Cpus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::exact(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_exact_to_a_thousandth() {
        for (text, milli) in [("2", 2000), ("0", 0), ("0.5", 500), ("1.001", 1001), ("0.001", 1), ("1e6", MAX), (" 3 ", 3000)] {
            let cpus: Cpus = text.parse().unwrap();
            assert_eq!(cpus.milli(), milli, "{text}");
            assert_eq!(serde_json::from_str::<Cpus>(&serde_json::to_string(&cpus).unwrap()).unwrap(), cpus);
        }
        for text in ["", "two", "-1", "NaN", "inf", "0.0005", "1.00049", "1000001", "0x2"] {
            assert!(text.parse::<Cpus>().is_err(), "{text}");
        }
        assert_eq!("1.50".parse::<Cpus>().unwrap().to_string(), "1.5");
        assert_eq!(serde_json::to_string(&"2.0".parse::<Cpus>().unwrap()).unwrap(), "2");
    }
}
