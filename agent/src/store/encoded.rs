//! A value that the agent keeps itself. The smallest take no memory of their own, large ones may be many objects'.

use std::ops::Deref;
use std::sync::Arc;

/// The longest that lies where its object is, bytes.
const HERE: usize = 22;

/// An encoded value, or an encoded error.
#[derive(Clone, Debug)]
pub enum Encoded {
    /// So many of these bytes.
    Here(u8, [u8; HERE]),
    /// All of these.
    Shared(Arc<[u8]>),
}

impl Default for Encoded {
    fn default() -> Self {
        Self::Here(0, [0; HERE])
    }
}

impl From<&[u8]> for Encoded {
    fn from(bytes: &[u8]) -> Self {
        let mut here = [0; HERE];
        match here.get_mut(..bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                Self::Here(bytes.len() as u8, here)
            }
            None => Self::Shared(bytes.into()),
        }
    }
}

impl Deref for Encoded {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Here(length, bytes) => &bytes[..*length as usize],
            Self::Shared(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lengths_are_what_they_were() {
        let bytes: Vec<u8> = (0..100).collect();
        for length in 0..bytes.len() {
            let encoded = Encoded::from(&bytes[..length]);
            assert_eq!(*encoded, bytes[..length]);
            assert_eq!(matches!(encoded, Encoded::Here(..)), length <= HERE);
        }
        assert!(Encoded::default().is_empty());
        assert_eq!(size_of::<Encoded>(), 24);
    }
}
