//! Whether an error value is one of those types that a function, or a call of it, lists as worth a retry. What an error was caused by counts as well:
//! `[std::io::Error]` is met by an error whose [`source`](Error::source) is one.
//!
//! How an error is seen as a `dyn Error` depends on its type, which only the code that the macro writes knows: of the traits here, the
//! first that its type has is taken (the one with the most references).

use std::error::Error;
use std::fmt;
use std::ops::Deref;

use linkme::distributed_slice;
use plasmon_protocol::local::RetryExceptions;

/// Types of errors that are worth a retry, for [`TaskOptions::retry_errors`](crate::TaskOptions::retry_errors). Made by
/// [`errors!`](crate::errors).
#[derive(Debug)]
pub struct Errors {
    /// Where it is made, by which workers know it.
    name: &'static str,
    hold: fn(&(dyn Error + 'static)) -> bool,
}

impl PartialEq for Errors {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// Every list of the program.
#[doc(hidden)]
#[distributed_slice]
pub static ERROR_LISTS: [Errors];

impl Errors {
    #[doc(hidden)]
    #[must_use]
    pub const fn new(name: &'static str, hold: fn(&(dyn Error + 'static)) -> bool) -> Self {
        Self { name, hold }
    }

    /// Where it is made.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// The list of that name.
    pub(crate) fn named(name: &[u8]) -> Option<&'static Self> {
        ERROR_LISTS.iter().find(|errors| errors.name.as_bytes() == name)
    }

    #[doc(hidden)]
    #[must_use]
    pub fn hold(&self, error: &(dyn Error + 'static)) -> bool {
        (self.hold)(error)
    }
}

/// Lists types of errors for one call: `f.options(TaskOptions::new().retry_errors(errors![std::io::Error, Timeout]))`. What an error was
/// caused by counts as well.
#[macro_export]
macro_rules! errors {
    ($($kind:ty),+ $(,)?) => {{
        fn hold(error: &(dyn ::std::error::Error + 'static)) -> bool {
            $crate::macros::is_any(error, &[$($crate::macros::is::<$kind>),+])
        }
        #[$crate::macros::linkme::distributed_slice($crate::macros::ERROR_LISTS)]
        #[linkme(crate = $crate::macros::linkme)]
        static LIST: $crate::Errors =
            $crate::Errors::new(::std::concat!(::std::file!(), ":", ::std::line!(), ":", ::std::column!()), hold);
        &LIST
    }};
}

/// Whether all errors are worth a retry, or none.
#[doc(hidden)]
#[must_use]
pub const fn all_or_none(all: bool) -> RetryExceptions {
    if all { RetryExceptions::Always } else { RetryExceptions::Never }
}

/// An error value, to be seen as what it is.
#[doc(hidden)]
#[derive(Debug)]
pub struct Seen<'a, E>(pub &'a E);

/// A type that is an error.
#[doc(hidden)]
pub trait ByError<'a> {
    /// The error.
    fn seen(&self) -> &'a (dyn Error + 'static);
}

impl<'a, E: Error + 'static> ByError<'a> for &&Seen<'a, E> {
    fn seen(&self) -> &'a (dyn Error + 'static) {
        self.0
    }
}

/// A type that holds one, as `Box<dyn Error + Send + Sync>` does.
#[doc(hidden)]
pub trait ByReference<'a> {
    /// The error.
    fn seen(&self) -> &'a (dyn Error + 'static);
}

impl<'a, E: AsRef<dyn Error + Send + Sync + 'static>> ByReference<'a> for &Seen<'a, E> {
    fn seen(&self) -> &'a (dyn Error + 'static) {
        self.0.as_ref()
    }
}

/// A type that holds one, as `Box<dyn Error>` does.
#[doc(hidden)]
pub trait ByLocalReference<'a> {
    /// The error.
    fn seen(&self) -> &'a (dyn Error + 'static);
}

impl<'a, E: AsRef<dyn Error + 'static>> ByLocalReference<'a> for Seen<'a, E> {
    fn seen(&self) -> &'a (dyn Error + 'static) {
        self.0.as_ref()
    }
}

/// Any other value: it is seen as an error that no list names.
#[doc(hidden)]
pub trait ByAny {
    /// That error.
    fn seen(&self) -> &'static (dyn Error + 'static);
}

/// What is no error as far as anybody can see.
#[doc(hidden)]
#[derive(Debug)]
pub struct Unseen;

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no error")
    }
}

impl Error for Unseen {}

impl ByAny for Unseen {
    fn seen(&self) -> &'static (dyn Error + 'static) {
        &Unseen
    }
}

impl<E> Deref for Seen<'_, E> {
    type Target = Unseen;

    fn deref(&self) -> &Unseen {
        &Unseen
    }
}

/// Whether an error is of type `T`.
#[doc(hidden)]
#[must_use]
pub fn is<T: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    error.is::<T>()
}

/// Whether an error, or what caused it, is of one of these types.
#[doc(hidden)]
#[must_use]
pub fn is_any(error: &(dyn Error + 'static), types: &[fn(&(dyn Error + 'static)) -> bool]) -> bool {
    std::iter::successors(Some(error), |error| (*error).source()).any(|error| types.iter().any(|is| is(error)))
}

/// What a function's own judge says of an error.
#[doc(hidden)]
pub fn says<E>(error: &E, judge: impl FnOnce(&E) -> bool) -> bool {
    judge(error)
}

#[cfg(test)]
mod tests {
    use std::fmt::{Display, Formatter, Result};
    use std::io;

    use super::*;

    #[derive(Debug)]
    struct Wrapped(io::Error);

    impl Display for Wrapped {
        fn fmt(&self, f: &mut Formatter<'_>) -> Result {
            f.write_str("wrapped")
        }
    }

    impl Error for Wrapped {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    fn io() -> io::Error {
        io::ErrorKind::TimedOut.into()
    }

    #[test]
    #[expect(clippy::needless_borrow, reason = "the references choose the trait")]
    fn errors_are_seen_whatever_holds_them() {
        let (own, boxed, local) = (io(), Box::<dyn Error + Send + Sync>::from(io()), Box::<dyn Error>::from(io()));
        let seen = [(&&&Seen(&own)).seen(), (&&&Seen(&boxed)).seen(), (&&&Seen(&local)).seen()];
        assert!(seen.iter().all(|error| is_any(*error, &[is::<io::Error>])));
        assert!(!seen.iter().any(|error| is_any(*error, &[is::<Wrapped>, is::<std::fmt::Error>])));
    }

    #[test]
    #[expect(clippy::needless_borrow, reason = "the references choose the trait")]
    fn what_is_no_error_is_on_no_list() {
        let (text, boxed) = ("text".to_owned(), Box::<dyn Error>::from(io()));
        let list = Errors::new("here", |error| is_any(error, &[is::<io::Error>, is::<Wrapped>]));
        assert!(!list.hold((&&&Seen(&text)).seen()) && list.hold((&&&Seen(&boxed)).seen()));
        assert!(Errors::named(b"nowhere").is_none());
    }

    #[test]
    fn what_caused_an_error_counts() {
        let error = Wrapped(io());
        assert!(is_any(&error, &[is::<io::Error>]) && is_any(&error, &[is::<std::fmt::Error>, is::<Wrapped>]));
        assert!(!is_any(&error, &[]));
    }
}
