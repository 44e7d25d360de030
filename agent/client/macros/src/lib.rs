//! `#[plasmon::remote]`: makes a function one that runs as a task in a worker process. `#[plasmon::actor]`: makes a type one whose
//! values live in a worker process of their own.

use proc_macro::TokenStream;

mod actor;
mod remote;
mod reserve;
mod retried;
mod signature;

/// Makes a function remote. `f.remote(..)` submits a task and returns references to its results; `f.options(..)` changes how it
/// runs; `f.call(..)` calls it here.
///
/// ```text
/// #[plasmon::remote(num_cpus = 0.5, memory = 500 * 1024 * 1024, max_retries = 1)]
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
/// - `num_cpus = .., num_gpus = .., memory = .. (bytes), resources = [("name", ..)], max_retries = .., timeout = ..`: see
///   `plasmon::TaskOptions`; `.options(..)` overrides what it says.
/// - `retry_exceptions = true` tries it again after every error and panic, `[std::io::Error, MyError]` after errors of these types, or
///   caused by one, and `|error| error.is_transient()` after those of which that holds. `E` is an error there, or a box of one.
#[proc_macro_attribute]
pub fn remote(attribute: TokenStream, item: TokenStream) -> TokenStream {
    remote::expand(attribute.into(), item.into()).unwrap_or_else(|error| error.into_compile_error()).into()
}

/// Makes a type an actor, by an attribute on its `impl` block. `Type::remote(..)` creates one in a worker of its own and returns a
/// handle; `Type::options(..)` changes how it lives; the handle's methods call the actor's, and return references to the results.
///
/// ```text
/// struct Counter { total: u64 }
///
/// #[plasmon::actor]
/// impl Counter {
///     pub fn new(total: u64) -> Self { Self { total } }
///     pub fn add(&mut self, amount: u64) -> u64 { self.total += amount; self.total }
///     pub fn total(&self) -> u64 { self.total }
/// }
///
/// let counter: CounterHandle = Counter::remote(5)?;
/// counter.add(2)?;
/// assert_eq!(plasmon::get(&counter.total()?)?, 7);
/// ```
///
/// - `new` is the constructor; it returns `Self` or a `Result<Self, E>`. Every method with `&self` or `&mut self` can be called;
///   helpers belong in another `impl` block. Parameters and results are those of [`macro@remote`].
/// - The calls of one process run in the order in which they were made. `#[plasmon::actor(max_concurrency = N)]` runs up to `N` calls
///   side by side: those with `&self`; one with `&mut self` runs alone. The type is `Send + Sync`.
/// - A method that panics or returns an error fails its call; the actor goes on.
/// - `#[plasmon::actor(num_cpus = .., num_gpus = .., memory = .., resources = [..], max_restarts = .., max_task_retries = .., name = ..,
///   detached = ..)]`: see `plasmon::ActorOptions`.
/// - `#[method(num_returns = N)]` on a method makes a tuple of `N` results `N` objects. `max_task_retries = N` there is for that method
///   alone, and `retry_exceptions = ..` tries its calls again after errors as well, as [`macro@remote`] says: such a call goes before those
///   that the actor has not been sent yet.
#[proc_macro_attribute]
pub fn actor(attribute: TokenStream, item: TokenStream) -> TokenStream {
    actor::expand(attribute.into(), item.into()).unwrap_or_else(|error| error.into_compile_error()).into()
}
