//! Whether an error value is one of those types that a function lists as worth a retry. What an error was caused by counts as well:
//! `[std::io::Error]` is met by an error whose [`source`](Error::source) is one.
//!
//! How an error is seen as a `dyn Error` depends on its type, which only the code that the macro writes knows: of the traits here, the
//! first that its type has is taken (the one with the most references).

use std::error::Error;

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
    fn what_caused_an_error_counts() {
        let error = Wrapped(io());
        assert!(is_any(&error, &[is::<io::Error>]) && is_any(&error, &[is::<std::fmt::Error>, is::<Wrapped>]));
        assert!(!is_any(&error, &[]));
    }
}
