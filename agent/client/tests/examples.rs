//! The examples that judge themselves, as tests.

mod support;

#[path = "../examples/memory_admission.rs"]
#[expect(dead_code, reason = "its main is the example's")]
mod memory_admission;

use support::alone;

#[test]
fn memory_admission_is_as_it_says() {
    alone(|| assert!(memory_admission::run().expect("it runs to its end")));
}
