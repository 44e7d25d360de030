//! Points at which a test lets a client die in the middle of a step. Compiled only with the feature `failpoints`.

use std::sync::OnceLock;

static PASS: OnceLock<fn(&str)> = OnceLock::new();

/// Calls `pass` with the label of every point that this process passes from now on. The first call counts.
pub fn install(pass: fn(&str)) {
    let _ = PASS.set(pass);
}

/// This process passes a point.
pub(crate) fn pass(label: &str) {
    if let Some(pass) = PASS.get() {
        pass(label);
    }
}
