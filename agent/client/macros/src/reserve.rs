//! Options that tasks and actors share: what they reserve.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Expr, Ident};

/// Names of the options, for messages.
pub(crate) const NAMES: &str = "num_cpus, num_gpus, memory, resources";

/// The call that sets one of them; `None` for another option.
pub(crate) fn call(name: &Ident, value: &Expr) -> Option<TokenStream> {
    Some(match name.to_string().as_str() {
        "num_cpus" | "num_gpus" => quote!(.#name((#value) as f64)),
        "memory" => quote!(.memory(#value)),
        "resources" => quote!(.resources(&#value)),
        _ => return None,
    })
}
