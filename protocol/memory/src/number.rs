//! Numbers seen as bytes, and bytes seen as numbers, without a copy. In the machine's own byte order: the bytes never leave the machine.

#![expect(unsafe_code, reason = "reinterprets slices between types for which every bit pattern is a value")]

use std::mem::{align_of, size_of};

mod sealed {
    pub trait Sealed {}
}

/// A number without padding for which every bit pattern is a value. Aligned to at most 16 bytes, so any object's begin fits.
///
/// # Safety
/// As said; implemented here alone.
pub unsafe trait Number: sealed::Sealed + Copy + Default + Send + Sync + 'static {}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl sealed::Sealed for $number {}
        // SAFETY: a primitive number: no padding, and every bit pattern is a value.
        unsafe impl Number for $number {}
        const _: () = assert!(align_of::<$number>() <= 16);
    )*};
}

numbers! { u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 }

/// The bytes of `numbers`.
#[must_use]
pub fn numbers_as_bytes<T: Number>(numbers: &[T]) -> &[u8] {
    // SAFETY: same memory, same lifetime, same size; a `Number` has no padding, and a byte needs no alignment.
    unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast(), size_of_val(numbers)) }
}

/// The bytes of `numbers`, to write.
#[must_use]
pub fn numbers_as_bytes_mut<T: Number>(numbers: &mut [T]) -> &mut [u8] {
    // SAFETY: as in `numbers_as_bytes`; any bytes written are numbers; the borrow stays exclusive.
    unsafe { std::slice::from_raw_parts_mut(numbers.as_mut_ptr().cast(), size_of_val(numbers)) }
}

/// `bytes` as numbers; `None` when they are not aligned for `T` or don't end with a number.
#[must_use]
pub fn bytes_as_numbers<T: Number>(bytes: &[u8]) -> Option<&[T]> {
    fits::<T>(bytes).then(|| {
        // SAFETY: aligned and of whole length as just checked; every bit pattern is a `T`; same memory, same lifetime.
        unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len() / size_of::<T>()) }
    })
}

/// `bytes` as numbers to write; `None` as for [`bytes_as_numbers`].
#[must_use]
pub fn bytes_as_numbers_mut<T: Number>(bytes: &mut [u8]) -> Option<&mut [T]> {
    fits::<T>(bytes).then(|| {
        // SAFETY: as in `bytes_as_numbers`; whatever is written are bytes too; the borrow stays exclusive.
        unsafe { std::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), bytes.len() / size_of::<T>()) }
    })
}

fn fits<T>(bytes: &[u8]) -> bool {
    bytes.as_ptr().addr().is_multiple_of(align_of::<T>()) && bytes.len().is_multiple_of(size_of::<T>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_and_misfits_are_refused() {
        let numbers = [1.5_f64, -0.0, f64::INFINITY];
        let bytes = numbers_as_bytes(&numbers);
        assert_eq!(bytes.len(), 24);
        assert_eq!(bytes_as_numbers::<f64>(bytes).unwrap(), numbers);
        assert!(bytes_as_numbers::<f64>(&bytes[..23]).is_none(), "half a number");
        assert!(bytes_as_numbers::<f64>(&bytes[4..20]).is_none(), "misaligned");
        assert_eq!(bytes_as_numbers::<u8>(&bytes[1..]).unwrap().len(), 23);
        assert_eq!(bytes_as_numbers::<u64>(&bytes[..0]).unwrap(), [0; 0]);
    }

    #[test]
    fn bytes_are_written_as_numbers() {
        let mut room = [0_u64; 2];
        let bytes = numbers_as_bytes_mut(&mut room);
        bytes_as_numbers_mut::<u32>(bytes).unwrap().copy_from_slice(&[1, 2, 3, 4]);
        assert_eq!(numbers_as_bytes(&room), numbers_as_bytes(&[1_u32, 2, 3, 4]));
    }
}
