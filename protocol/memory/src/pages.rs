//! Room for tables that grow large, in the process's own memory.

#![expect(unsafe_code, reason = "advises the kernel about memory that a vector owns")]

use std::mem::MaybeUninit;

use rustix::mm::Advice;

/// What the kernel enters into a page table at once where it may, bytes.
const HUGE: usize = 2 << 20;

/// Room that is larger is the kernel's own map, which no allocator gives to anybody else afterwards (`M_MMAP_THRESHOLD` in mallopt(3)).
const MAPPED: usize = 32 << 20;

/// Makes room for `count` more elements where they will stay, in huge pages where the system allows them for its programs
/// (`transparent_hugepage/enabled`): then a look at any place of a large table seldom waits for page tables too. Memory is taken only
/// as elements come, by whole huge pages behind the first. Where there is not that much of it the vector grows as vectors do.
///
/// A forked child has none of it where it is large: to start a process costs no copy of its page tables, and no fault at each page that
/// is written afterwards.
pub fn reserve<T>(table: &mut Vec<T>, count: usize) {
    if table.try_reserve_exact(count).is_ok() {
        prefer_huge(table.spare_capacity_mut());
    }
}

fn prefer_huge<T>(room: &mut [MaybeUninit<T>]) {
    let bytes = size_of_val(room);
    let at: *mut u8 = room.as_mut_ptr().cast();
    let before = at.addr().next_multiple_of(HUGE) - at.addr();
    let length = bytes.saturating_sub(before) / HUGE * HUGE;
    if length > 0 {
        // SAFETY: whole pages within `room`, which is borrowed alone; the advice changes nothing of what they hold. A kernel without huge
        // pages refuses it, which does no harm.
        let _ = unsafe { rustix::mm::madvise(at.wrapping_add(before).cast(), length, Advice::LinuxHugepage) };
    }
    if bytes > MAPPED {
        // SAFETY: as above; the pages go back to the kernel with the vector, so that no child misses what others have there later.
        let _ = unsafe { rustix::mm::madvise(at.wrapping_add(before).cast(), length, Advice::LinuxDontFork) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_and_elements_stay() {
        for count in [0, 1, 1000, 3 << 20] {
            let mut table: Vec<u64> = vec![7];
            reserve(&mut table, count);
            assert!(table.capacity() > count);
            let at = table.as_ptr();
            table.resize(count, 3);
            assert_eq!((table.as_ptr(), table.first().copied()), (at, (count > 0).then_some(7)));
        }
        let mut table: Vec<u64> = vec![7];
        reserve(&mut table, usize::MAX / 16);
        assert_eq!(table, [7], "room that there is not");
    }

    #[test]
    fn only_whole_huge_pages_are_asked_for() {
        let mut table: Vec<u8> = Vec::new();
        reserve(&mut table, 9 << 20);
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let place = table.as_ptr().addr() + (5 << 20);
        let head = |line: &str| {
            let (from, to) = line.split_once(' ')?.0.split_once('-')?;
            Some((usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?))
        };
        let mut lines = smaps.lines().skip_while(|line| !head(line).is_some_and(|(from, to)| (from..to).contains(&place)));
        let (from, to) = head(lines.next().unwrap()).unwrap();
        let flags = lines.find_map(|line| line.strip_prefix("VmFlags:")).unwrap();
        // A kernel without them knows no such flag.
        if flags.split(' ').any(|flag| flag == "hg") {
            assert!(from.is_multiple_of(HUGE) && to.is_multiple_of(HUGE), "{from:x} {to:x}");
        }
    }
}
