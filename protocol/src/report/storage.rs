//! External storage in the report: what went there and came back, what is there now, and whether it works.

use super::page::width;
use super::{Report, ReportOptions, harmless};
use crate::record::SpillRow;

/// `bytes` a second over `ms`, in MiB, cut.
fn throughput(bytes: u64, ms: u64) -> u128 {
    (u128::from(bytes) * 1000 / u128::from(ms.max(1))) >> 20
}

/// The lines below the one of the store; none for an agent that has never spilled and may.
pub(super) fn text(page: &mut String, report: &Report, options: &ReportOptions) {
    let spill = &report.store.spill;
    let moved = [
        ("Spilled", spill.spilled_bytes_total, spill.spilled_objects_total, "write", spill.spill_ms_total),
        ("Restored", spill.restored_bytes_total, spill.restored_objects_total, "read", spill.restore_ms_total),
    ];
    for (done, bytes, objects, way, ms) in moved.into_iter().filter(|(.., ms)| *ms > 0) {
        let rate = throughput(bytes, ms);
        page.push_str(&format!("{done} {} MiB, {objects} objects, avg {way} throughput {rate} MiB/s\n", bytes >> 20));
    }
    if spill.files > 0 {
        page.push_str(&format!(
            "On disk now {} objects, {} MiB live, {} MiB dead, {} MiB headers, {} files\n",
            spill.objects,
            spill.live_bytes >> 20,
            spill.dead_bytes >> 20,
            spill.header_bytes >> 20,
            spill.files,
        ));
    }
    state(page, spill, options);
    if spill.queue.iter().any(|wait| wait.object.is_some()) {
        page.push_str("Object fetches queued, waiting for available memory.\n");
    }
}

/// What is wrong, in as many lines as it needs; nothing when all is well.
fn state(page: &mut String, spill: &SpillRow, options: &ReportOptions) {
    let text = match &*spill.state {
        state if spill.failing => format!("Spilling fails: {}", harmless(state)),
        "off" => "Spilling is off.".to_owned(),
        _ => return,
    };
    let mut cells = 0;
    for word in text.split(' ') {
        let wide = width(word);
        if cells > 0 && !options.no_format && cells + 1 + wide > options.width {
            page.push_str("\n  ");
            cells = 2;
        } else if cells > 0 {
            page.push(' ');
            cells += 1;
        }
        page.push_str(word);
        cells += wide;
    }
    page.push('\n');
}
