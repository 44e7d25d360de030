//! Copies of memory that is longer than caches.

#![expect(unsafe_code, reason = "stores past the caches")]

/// Bytes that a processor's caches have at once.
const LINE: usize = 64;
/// Bytes of which a reader finds little in the caches afterwards, in whichever way they are written.
pub const FAR: usize = 32 << 20;

/// Copies `bytes` to `room`, which is as long: past the caches, as a part of [`FAR`] bytes and more.
///
/// # Panics
/// As for [`slice::copy_from_slice`].
pub fn copy_slice_past_caches(room: &mut [u8], bytes: &[u8]) {
    assert_eq!(room.len(), bytes.len(), "the room is as long as what is copied");
    // SAFETY: both are of that length, and apart, for one of them is borrowed alone.
    unsafe { copy_past_caches(bytes.as_ptr(), room.as_mut_ptr(), bytes.len()) };
}

/// Copies `count` bytes as [`std::ptr::copy_nonoverlapping`] does, past the caches where the processor can: what is written there would only
/// be read first, and push out what is in use. For memory of which nobody reads much soon, because it is longer than the caches: by a tenth
/// to a quarter faster than the C library's copy, which goes past what it takes for the caches' size, on a virtual machine the whole host's.
///
/// # Safety
/// As for [`std::ptr::copy_nonoverlapping`].
#[cfg(target_arch = "x86_64")]
pub unsafe fn copy_past_caches(from: *const u8, to: *mut u8, count: usize) {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_sfence, _mm_stream_si128};

    let head = to.align_offset(LINE).min(count);
    let end = head + (count - head) / LINE * LINE;
    // SAFETY: all is within both ranges, which the caller vouches for; what is streamed to is aligned. Every processor of this architecture
    // has these instructions.
    unsafe {
        to.copy_from_nonoverlapping(from, head);
        for at in (head..end).step_by(LINE) {
            let (source, target) = (from.add(at).cast::<__m128i>(), to.add(at).cast::<__m128i>());
            let line =
                [_mm_loadu_si128(source), _mm_loadu_si128(source.add(1)), _mm_loadu_si128(source.add(2)), _mm_loadu_si128(source.add(3))];
            _mm_stream_si128(target, line[0]);
            _mm_stream_si128(target.add(1), line[1]);
            _mm_stream_si128(target.add(2), line[2]);
            _mm_stream_si128(target.add(3), line[3]);
        }
        // Whoever finds out that it is there finds all of it.
        _mm_sfence();
        to.add(end).copy_from_nonoverlapping(from.add(end), count - end);
    }
}

/// Copies `count` bytes.
///
/// # Safety
/// As for [`std::ptr::copy_nonoverlapping`].
#[cfg(not(target_arch = "x86_64"))]
pub unsafe fn copy_past_caches(from: *const u8, to: *mut u8, count: usize) {
    // SAFETY: the caller vouches for it.
    unsafe { to.copy_from_nonoverlapping(from, count) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_copied_and_nothing_else() {
        let source: Vec<u8> = (0..1000_u32).map(|number| (number % 251) as u8).collect();
        for from in [0, 1, 15, 16, 33] {
            for to in [0, 1, 16, 63, 64] {
                for count in [0, 1, 15, 63, 64, 65, 128, 200, 511, 900] {
                    let mut target = vec![255; 1000];
                    // SAFETY: within both vectors, which are apart.
                    unsafe { copy_past_caches(source.as_ptr().add(from), target.as_mut_ptr().add(to), count) };
                    let mut other = vec![255; 1000];
                    copy_slice_past_caches(&mut other[to..to + count], &source[from..from + count]);
                    assert_eq!(other, target);
                    assert_eq!(target[to..to + count], source[from..from + count], "{count} from {from} to {to}");
                    assert!(target[..to].iter().chain(&target[to + count..]).all(|byte| *byte == 255), "{count} from {from} to {to}");
                }
            }
        }
    }
}
