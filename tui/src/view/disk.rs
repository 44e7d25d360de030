//! What is on disk, in a bar and a few words.

use plasmon_protocol::record::{SpillRow, StoreRow};

use super::chart::shares;
use super::format::{percent, size, things};
use super::paint::Paint;
use super::theme::Role;

/// The bar: live, dead, headers, and nothing, of `whole` bytes.
pub fn bar(paint: &mut Paint<'_>, x: u16, y: u16, max: u16, spill: &SpillRow, whole: u64) {
    let rest = whole.saturating_sub(spill.file_bytes);
    let parts = [spill.live_bytes, spill.dead_bytes, spill.header_bytes, rest];
    let looks = [("█", Role::Disk), ("▒", Role::Warn), ("▏", Role::Dim), ("·", Role::Dim)];
    let mut at = x;
    for (cells, (glyph, role)) in shares(&parts, max).into_iter().zip(looks) {
        at = paint.text(at, y, cells, &glyph.repeat(usize::from(cells)), role);
    }
}

/// What the bar is drawn to the scale of: the limit, or the store as long as it is larger than what is on disk.
#[must_use]
pub fn scale(store: &StoreRow) -> u64 {
    let spill = &store.spill;
    spill.limit_bytes.unwrap_or(store.ledger.capacity_bytes).max(spill.file_bytes)
}

/// `1.31G in 14 files, 96 % live`, or why there is nothing.
#[must_use]
pub fn summary(spill: &SpillRow) -> String {
    match (spill.files, &*spill.state) {
        (0, "" | "off") => "spilling is off".to_owned(),
        (0, _) => "nothing".to_owned(),
        (files, _) => format!(
            "{} in {}, {} live",
            size(spill.file_bytes),
            things(files.into(), "file", "files"),
            percent(spill.live_bytes, spill.file_bytes)
        ),
    }
}
