//! Processes that died as they should not have, behind everything that lives.

use super::options::ReportOptions;
use super::page::{cut_front, width};
use super::table::Table;
use super::text::{count, list};
use super::{Report, harmless};
use crate::record::{PostMortemRow, ReferenceRow};
use crate::stream::PostMortem;

/// Appends a section for each of them; nothing when nobody died.
pub(super) fn text(page: &mut String, report: &Report, options: &ReportOptions) {
    let most = options.limit.unwrap_or(usize::MAX);
    let rows: Vec<Vec<&ReferenceRow>> = report.post_mortem.iter().map(|dead| dead.references.iter().take(most).collect()).collect();
    let table = Table::new(rows.iter().map(Vec::as_slice), options);
    for (index, PostMortem { process, .. }) in report.post_mortem.iter().enumerate() {
        page.push('\n');
        page.push_str(&heading(process, options));
        list(page, "", &facts(process, report.now_ms, options), options);
        let shown = rows[index].len() as u64;
        if shown > 0 {
            table.print(index, page, options);
        }
        if shown < process.references {
            page.push_str(&format!("… {} not shown\n", count(process.references - shown, "more row")));
        }
    }
}

/// `--- Post-mortem: worker 1234 (signal 9 SIGKILL) ---`, with as much of how it ended as fits.
fn heading(process: &PostMortemRow, options: &ReportOptions) -> String {
    let who = format!("--- Post-mortem: {} {} (", process.process_type, process.pid);
    let room = options.width.saturating_sub(width(&who) + ") ---".len());
    let how = harmless(&process.how);
    let how = if options.no_format { how } else { cut_front(&how, room).into_owned().into() };
    format!("{who}{how}) ---\n")
}

fn facts(process: &PostMortemRow, now_ms: u64, options: &ReportOptions) -> Vec<String> {
    let mut facts = vec![format!("died {} s ago", now_ms.saturating_sub(process.died_ms) / 1000)];
    if let Some(task) = &process.task {
        let task = format!("running {}", harmless(task));
        facts.push(if options.no_format { task } else { cut_front(&task, options.width.saturating_sub(1)).into_owned() });
    }
    facts.push(format!("heap {}", options.units.show(process.heap_bytes)));
    facts.push(format!("held {} to {}", count(process.references, "reference"), options.units.show(process.held_bytes)));
    facts.push("all released, in no total".to_owned());
    facts
}
