//! `#[plasmon::remote]`: makes a function one that runs as a task in a worker process.

use proc_macro::TokenStream;

mod remote;

/// Makes a function remote. `f.remote(..)` submits a task and returns references to its results; `f.options(..)` changes how it
/// runs; `f.call(..)` calls it here.
///
/// ```text
/// #[plasmon::remote(num_cpus = 0.5, max_retries = 1)]
/// fn smooth(signal: &[f32], width: usize) -> Vec<f32> { .. }
///
/// let result: ObjectRef<[f32]> = smooth.remote(&signal, 8)?;
/// ```
///
/// - A parameter `&[N]` of plain numbers is a view into shared memory; `&T` and `T` are decoded values. Each takes a value or an
///   `ObjectRef` to one. A parameter that is an `ObjectRef` itself takes a reference, without waiting for its object.
/// - A result `Vec<N>` of plain numbers, and a `plasmon::Draft<[N]>`, become an `ObjectRef<[N]>`; any other `T` an `ObjectRef<T>`.
/// - A result `Result<T, E>` is a `T`, or an error at every `get`; `E` must be `Display`.
/// - `num_returns = N` makes a tuple of `N` results `N` objects.
#[proc_macro_attribute]
pub fn remote(attribute: TokenStream, item: TokenStream) -> TokenStream {
    remote::expand(attribute.into(), item.into()).unwrap_or_else(|error| error.into_compile_error()).into()
}
