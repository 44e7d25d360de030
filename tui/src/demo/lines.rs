//! Lines in blocks of bytes.

/// Lines without their newlines, which do not take part in the order: `LC_ALL=C sort` puts a line before those that go on.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\n").unwrap_or(line))
}

/// Writes a line with its newline; returns what is behind it.
pub(super) fn write_line<'a>(room: &'a mut [u8], line: &[u8]) -> &'a mut [u8] {
    let (place, behind) = room.split_at_mut(line.len() + 1);
    place[..line.len()].copy_from_slice(line);
    place[line.len()] = b'\n';
    behind
}

/// The begin of the line that `offset` lies in.
pub(super) fn line_start(bytes: &[u8], offset: usize) -> usize {
    bytes[..offset].iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1)
}
