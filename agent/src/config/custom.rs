//! What `--resources` says: amounts by name, custom ones and those that every node has.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use plasmon_protocol::error::Error;
use plasmon_protocol::resources::{Amount, CPU, GPU, MEMORY, check_name};
use plasmon_protocol::size::Bytes;
use serde::Deserialize;

/// Resources by name.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(try_from = "BTreeMap<String, f64>")]
pub struct Custom {
    /// As `--num-cpus`.
    pub cpus: Option<Amount>,
    /// As `--num-gpus`.
    pub gpus: Option<Amount>,
    /// As `--memory`.
    pub memory: Option<Bytes>,
    /// All others.
    pub others: BTreeMap<Arc<str>, Amount>,
}

impl TryFrom<BTreeMap<String, f64>> for Custom {
    type Error = String;

    fn try_from(amounts: BTreeMap<String, f64>) -> Result<Self, String> {
        let mut custom = Self::default();
        for (name, number) in amounts {
            let amount = || Amount::exact(number).map_err(|cause| format!("of {name}, {number} is not valid: {cause}"));
            let is = |own: &str| own.eq_ignore_ascii_case(&name);
            let twice = if is(CPU) {
                custom.cpus.replace(amount()?).is_some()
            } else if is(GPU) {
                custom.gpus.replace(amount()?).is_some()
            } else if is(MEMORY) {
                if !(0.0..=(1_u64 << 60) as f64).contains(&number) || number.fract() != 0.0 {
                    return Err(format!("of {name}, {number} is not valid: it is not a number of bytes"));
                }
                custom.memory.replace(Bytes(number as u64)).is_some()
            } else {
                check_name(&name).map_err(|error| error.to_string())?;
                custom.others.insert(name.as_str().into(), amount()?).is_some()
            };
            if twice {
                return Err(format!("{name} is given twice"));
            }
        }
        Ok(custom)
    }
}

impl FromStr for Custom {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        serde_json::from_str(text).map_err(|error| {
            // What serde says of the text's place helps nobody with one line.
            let cause = error.to_string();
            let cause = cause.rsplit_once(" at line").map_or(cause.as_str(), |(cause, _)| cause);
            Error::invalid("resources", text, format!("{cause}; it is JSON such as {{\"db\": 4}}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_every_node_has_are_no_custom_ones() {
        let custom: Custom = r#"{"gpu": 1, "CPU": 2.5, "memory": 1000000, "db": 0.5}"#.parse().unwrap();
        assert_eq!((custom.gpus, custom.cpus, custom.memory), (Some(Amount::ONE), Some(Amount::near(2.5)), Some(Bytes(1_000_000))));
        assert_eq!(custom.others, [(Arc::from("db"), Amount::near(0.5))].into());
    }

    #[test]
    fn nonsense_is_refused_with_its_name() {
        for (text, word) in [
            ("db", "JSON"),
            ("[1]", "JSON"),
            (r#"{"db": "x"}"#, "JSON"),
            (r#"{"db": -1}"#, "db"),
            (r#"{"db": 0.00001}"#, "ten-thousandth"),
            (r#"{"GPU": 1, "gpu": 1}"#, "twice"),
            (r#"{"memory": 0.5}"#, "bytes"),
            (r#"{"object_store_memory": 5}"#, "object_store_memory"),
            (r#"{"": 5}"#, "name"),
        ] {
            let error = text.parse::<Custom>().unwrap_err().to_string();
            assert!(error.contains(word) && error.contains(text), "{error}");
        }
    }
}
