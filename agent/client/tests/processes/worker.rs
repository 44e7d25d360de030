//! What tasks find in their process, and what they leave there.

use plasmon::{Draft, Error};
use serde::{Deserialize, Serialize};

use crate::support::{Viewer, alone, start, start_sized};

/// The environment of a task, and of a child that it starts.
#[plasmon::remote]
fn environments() -> Result<(Vec<String>, String), String> {
    let own = std::env::vars().map(|(name, _)| name).collect();
    let child = std::process::Command::new("env").output().map_err(|error| error.to_string())?;
    Ok((own, String::from_utf8_lossy(&child.stdout).into_owned()))
}

#[test]
fn how_a_worker_was_started_is_nobodys_business() {
    alone(|| {
        start(1.0);
        let (own, child) = plasmon::get(&environments.remote().unwrap()).unwrap();
        assert!(own.iter().any(|name| name == "PLASMON_TEST"), "{own:?}");
        assert!(!own.iter().any(|name| name == "PLASMON_BOOT"), "{own:?}");
        assert!(child.contains("PLASMON_TEST=") && !child.contains("PLASMON_BOOT"), "{child}");
    });
}

/// A result that cannot be written.
#[derive(Debug, Deserialize)]
struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it cannot be written"))
    }
}

#[plasmon::remote(num_returns = 2, max_retries = 0)]
fn unsent(length: u64) -> Result<(Draft<[u64]>, Unwritable), Error> {
    Ok((plasmon::create(length as usize)?, Unwritable))
}

#[test]
fn a_draft_that_is_not_sent_is_given_back() {
    alone(|| {
        start_sized(1.0, 16 << 20);
        let mut viewer = Viewer::here();
        // Far more than the store has.
        for _ in 0..20 {
            let (draft, unwritable) = unsent.remote((4_u64 << 20) / 8).unwrap();
            assert!(matches!(plasmon::get(&draft), Err(Error::Encode { .. })));
            assert!(matches!(plasmon::get(&unwritable), Err(Error::Encode { .. })));
        }
        viewer.until("no row, and no draft", |report| report.references.is_empty() && report.ledger().creating_bytes == 0);
        viewer.until_empty();
    });
}
