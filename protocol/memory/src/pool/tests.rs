use super::*;
use crate::number::bytes_as_numbers;

const CAPACITY: u64 = 64 * PAGE;

fn pools() -> (Arc<Pool>, Arc<Pool>) {
    let agent = Pool::create(CAPACITY).unwrap();
    let client = Pool::open(agent.fd().unwrap().try_clone_to_owned().unwrap(), CAPACITY).unwrap();
    (Arc::new(agent), Arc::new(client))
}

#[test]
fn what_a_leaseholder_writes_others_read() {
    let (agent, client) = pools();
    agent.populate(0, 8 * PAGE).unwrap();
    let mut range = client.write_range(4 * PAGE, 2 * PAGE).unwrap();
    let (first, bytes) = range.take(5).unwrap();
    bytes.copy_from_slice(b"hello");
    let (second, bytes) = range.take(100).unwrap();
    bytes.fill(7);
    assert_eq!((first, second), (4 * PAGE, 4 * PAGE + 64));
    assert_eq!((range.used(), range.remaining()), (164, 2 * PAGE - 192));
    assert_eq!(agent.slice(first, 5).unwrap(), b"hello");
    let bytes = client.slice(second, 100).unwrap();
    drop(range);
    assert_eq!(bytes, [7; 100]);
    assert_eq!(bytes_as_numbers::<u32>(bytes).unwrap(), [0x0707_0707; 25]);
    assert!(bytes_as_numbers::<u64>(bytes).is_none());
}

#[test]
fn a_range_is_bumped_and_reset() {
    let (_, client) = pools();
    let mut range = client.write_range(0, PAGE).unwrap();
    assert!(range.take(PAGE + 1).is_none() && range.take(u64::MAX).is_none());
    assert_eq!(range.take(PAGE).unwrap().1.len() as u64, PAGE);
    assert_eq!(range.remaining(), 0);
    assert!(range.take(1).is_none());
    assert!(range.take(0).is_none(), "an empty object has a place of its own, too");
    assert!(range.reset());
    let places = [0, 0, 64, 0].map(|len| range.take(len).unwrap().0);
    assert_eq!(places, [0, 64, 128, 192], "two objects share a place");
    assert!(range.reset());
    let mut draft = range.draft(64).unwrap();
    assert!(!range.reset(), "a range was reset under a draft");
    let next = range.take(1).unwrap().0;
    assert_eq!((draft.offset(), next), (0, 64), "two writers share bytes");
    let draft = std::thread::spawn(move || {
        draft.bytes_mut().fill(3);
        draft
    });
    let draft = draft.join().unwrap();
    drop(range);
    assert!(client.write_range(0, PAGE).is_err(), "the draft's range was granted");
    assert_eq!((draft.bytes(), draft.len()), (&[3; 64][..], 64));
    drop(draft);
    client.write_range(0, PAGE).unwrap();
}

#[test]
fn one_range_has_one_writer() {
    let (_, client) = pools();
    let held = client.write_range(4 * PAGE, 4 * PAGE).unwrap();
    for (offset, len) in [(4, 4), (0, 5), (7, 1), (5, 1), (0, 64)] {
        let error = client.write_range(offset * PAGE, len * PAGE).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{offset} {len}");
        assert!(client.make_read_only(offset * PAGE, len * PAGE).is_err());
    }
    let around = [client.write_range(0, 4 * PAGE).unwrap(), client.write_range(8 * PAGE, PAGE).unwrap()];
    drop(around);
    held.release();
    client.write_range(0, CAPACITY).unwrap();
}

#[test]
fn a_returned_range_is_read_only() {
    let (_, client) = pools();
    let protection = |client: &Pool| {
        let begin = client.slice(0, 1).unwrap().as_ptr().addr();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let here = |line: &&str| {
            let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
            (usize::from_str_radix(from, 16).unwrap()..usize::from_str_radix(to, 16).unwrap()).contains(&begin)
        };
        maps.lines().find(here).unwrap().split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(protection(&client), "r--s");
    let range = client.write_range(0, PAGE).unwrap();
    assert_eq!(protection(&client), "rw-s");
    range.release();
    assert_eq!(protection(&client), "r--s");
    client.make_writable(0, PAGE).unwrap();
    assert_eq!(protection(&client), "rw-s");
    client.make_read_only(0, PAGE).unwrap();
    assert_eq!(protection(&client), "r--s");
}

#[test]
fn the_agent_alone_writes_without_a_range() {
    let (agent, client) = pools();
    assert!(agent.write(10, b"abc"));
    assert_eq!(client.slice(9, 5).unwrap(), b"\0abc\0");
    assert!(agent.poison(10, 2));
    assert_eq!(client.slice(10, 3).unwrap(), [POISON, POISON, b'c']);
    assert!(!client.write(10, b"abc") && !client.poison(10, 1));
    assert_eq!(client.populate(0, PAGE).unwrap_err().kind(), io::ErrorKind::Unsupported);
    // The agent restores into ranges, and its map stays writable afterwards.
    agent.write_range(0, PAGE).unwrap().take(3).unwrap().1.copy_from_slice(b"xyz");
    assert!(agent.write(3, b"!"));
    assert_eq!(client.slice(0, 4).unwrap(), b"xyz!");
}

#[test]
fn ranges_are_checked() {
    let (agent, client) = pools();
    for (offset, len) in
        [(CAPACITY, PAGE), (0, CAPACITY + PAGE), (u64::MAX - PAGE + 1, PAGE), (PAGE, u64::MAX - PAGE + 1), (1, PAGE), (0, 1)]
    {
        assert_eq!(client.write_range(offset, len).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{offset} {len}");
        assert_eq!(agent.populate(offset, len).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{offset} {len}");
        assert!(client.make_writable(offset, len).is_err() && client.make_read_only(offset, len).is_err());
    }
    for (offset, len) in [(CAPACITY, 1), (0, CAPACITY + 1), (u64::MAX, 2), (2, u64::MAX)] {
        assert!(client.slice(offset, len).is_none() && !agent.poison(offset, len));
    }
    assert!(!agent.write(CAPACITY - 1, b"ab"));
    assert_eq!(client.slice(CAPACITY, 0).unwrap(), b"");
    assert!(client.write_range(CAPACITY, 0).unwrap().is_empty());
    assert!(Pool::create(0).is_err() && Pool::create(PAGE + 1).is_err());
    assert!(Pool::open(agent.fd().unwrap().try_clone_to_owned().unwrap(), CAPACITY - PAGE).is_err());
}

#[test]
fn what_is_backed_is_zero_and_is_entered_for_writing() {
    let agent = Pool::create(64 * PAGE).unwrap();
    agent.back(0, 48 * PAGE).unwrap();
    let client = Arc::new(Pool::open(agent.fd().unwrap().try_clone_to_owned().unwrap(), 64 * PAGE).unwrap());
    for _ in 0..2 {
        // Neither begin nor end is that of a part.
        let mut range = client.write_range(PAGE, 40 * PAGE).unwrap();
        let (offset, bytes) = range.take(40 * PAGE).unwrap();
        let before = bytes.iter().fold(0, |all, byte| all | byte);
        bytes.fill(7);
        assert_eq!((offset, agent.slice(PAGE, 40 * PAGE).unwrap().iter().all(|byte| *byte == 7)), (PAGE, true));
        assert!(before == 0 || before == 7);
    }
    assert_eq!(agent.slice(41 * PAGE, PAGE).unwrap(), [0; PAGE as usize]);
    assert_eq!(client.back(0, PAGE).unwrap_err().kind(), io::ErrorKind::Unsupported);
    assert_eq!(agent.back(60 * PAGE, 8 * PAGE).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn what_is_backed_in_huge_pages_is_zero_and_for_the_agent_alone() {
    let agent = Pool::create(2 * HUGE).unwrap();
    let client = Pool::open(agent.fd().unwrap().try_clone_to_owned().unwrap(), 2 * HUGE).unwrap();
    match agent.back_huge(HUGE, HUGE) {
        Ok(()) => assert!(client.slice(0, 2 * HUGE).unwrap().iter().all(|byte| *byte == 0)),
        // Whether there are any is the machine's to say.
        Err(error) => assert_ne!(error.kind(), io::ErrorKind::InvalidInput, "{error}"),
    }
    assert_eq!(client.back_huge(0, HUGE).unwrap_err().kind(), io::ErrorKind::Unsupported);
    for (offset, length) in [(PAGE, HUGE), (0, PAGE), (HUGE, 2 * HUGE)] {
        assert_eq!(agent.back_huge(offset, length).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{length} at {offset}");
    }
}

#[test]
fn a_long_range_is_entered_while_it_is_written_and_given_back() {
    const LENGTH: u64 = 64 << 20;
    let agent = Pool::create(LENGTH).unwrap();
    let client = Arc::new(Pool::open(agent.fd().unwrap().try_clone_to_owned().unwrap(), LENGTH).unwrap());
    for length in [LENGTH, PAGE, LENGTH - PART, ALONE, ALONE + PAGE, LENGTH] {
        agent.populate(0, length).unwrap();
        let mut range = client.write_range(0, length).unwrap();
        let bytes = range.take(length).unwrap().1;
        bytes.fill(length as u8 | 1);
        assert!(agent.slice(0, length).unwrap().iter().all(|byte| *byte == length as u8 | 1));
        // Given back at once, whether all is entered or not.
        drop(range);
        drop(client.write_range(0, length).unwrap());
    }
    assert_eq!(client.missing(0, LENGTH), []);
}
