//! The report as people read it.

use super::options::{GroupBy, ReportOptions};
use super::page::{Side, SiteText, cut_back, end, pad, stack, width};
use super::sums::{Group, Sums, groups};
use super::table::Table;
use super::{Filtered, Report, harmless, post_mortem, storage, utc};
use crate::record::{Ledger, ReferenceType};

/// Between values of one line.
const GAP: &str = "  ";

pub(super) fn text(report: &Report, options: &ReportOptions) -> String {
    let mut page = format!("======== Object references status: {} ========\n", utc(report.now_ms));
    if let Some(filter) = &report.filter {
        filtered(&mut page, filter, options);
    }
    if report.references.is_empty() && report.filter.is_some() {
        page.push_str("No reference matches.\n");
    } else if report.references.is_empty() {
        page.push_str("No references: nothing that a program made is held by any process.\n");
    } else {
        if !options.stats_only {
            arrangement(&mut page, options);
        }
        let totals = report.totals();
        let bytes = options.units.show(totals.unique_bytes);
        let (references, objects) = (count(totals.references, "reference"), count(totals.unique_objects, "unique object"));
        let matching = if report.filter.is_some() { "filtered: " } else { "" };
        page.push_str(&format!("{matching}{references} to {objects}, {bytes}\n"));
        if !options.stats_only {
            references_by_group(&mut page, report, options);
        }
    }
    if !options.stats_only {
        post_mortem::text(&mut page, report, options);
    }
    page.push('\n');
    aggregate(&mut page, report, options);
    page.push('\n');
    ledger(&mut page, &report.store.ledger, options);
    page
}

/// By what the rows were cut down, and of how many.
fn filtered(page: &mut String, Filtered { text, of }: &Filtered, options: &ReportOptions) {
    const WORDS: &str = "Filtered by: ";
    let (references, objects) = (count(of.references, "reference"), count(of.unique_objects, "unique object"));
    let part = format!("of {references} to {objects}, {}", options.units.show(of.unique_bytes));
    let (text, room) = (harmless(text), options.width.saturating_sub(WORDS.len() + 1));
    let text = if options.no_format { text } else { cut_back(&text, room).into_owned().into() };
    list(page, WORDS, &[text.into_owned(), part], options);
}

pub(super) fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// How the rows are arranged: one line, or one each where they do not fit.
fn arrangement(page: &mut String, options: &ReportOptions) {
    let parts = [
        format!("Grouping by {}", options.group_by.phrase()),
        format!("Sorting by {}", options.sort_by.phrase(options.reverse)),
        options.limit.map_or("All rows".to_owned(), |limit| format!("At most {} of each group", count(limit as u64, "row"))),
    ];
    let line = parts.join("   ");
    page.push_str(&if width(&line) <= options.width { line } else { parts.join("\n") });
    page.push('\n');
}

fn references_by_group(page: &mut String, report: &Report, options: &ReportOptions) {
    let groups = groups(&report.references, options);
    let table = Table::new(groups.iter().map(|group| group.shown(options)), options);
    list(page, "In every row: ", &table.said_once(), options);
    for (index, group) in groups.iter().enumerate() {
        page.push('\n');
        page.push_str(&heading(group, options));
        if options.group_by == GroupBy::StackTrace && !options.no_format {
            callers(page, group, options);
        }
        sums(page, &group.sums, options);
        let shown = group.shown(options).len();
        if shown > 0 {
            page.push('\n');
            table.print(index, page, options);
        }
        if shown < group.rows.len() {
            page.push_str(&format!("… {} not shown\n", count((group.rows.len() - shown) as u64, "more row")));
        }
    }
    let left_out = table.left_out();
    if !left_out.is_empty() {
        page.push_str(&format!("\nToo narrow for {}; --no-format has them.\n", left_out.join(", ")));
    }
}

/// Values behind a few words, in as many lines as they need; nothing when there are none.
pub(super) fn list(page: &mut String, words: &str, values: &[String], options: &ReportOptions) {
    let Some((first, rest)) = values.split_first() else { return };
    let mut line = format!("{words}{first}");
    for value in rest {
        line.push(',');
        if width(&line) + width(value) + 2 > options.width {
            page.push_str(&line);
            page.push('\n');
            line = " ".repeat(width(words));
        } else {
            line.push(' ');
        }
        line.push_str(value);
    }
    page.push_str(&line);
    page.push('\n');
}

/// `--- Summary for kind: key ---`, with as much of a call site as fits.
fn heading(group: &Group<'_>, options: &ReportOptions) -> String {
    let kind = options.group_by.phrase();
    let around = width(&kind) + "--- Summary for :  ---".len();
    let key = group.rows.first().map_or_else(String::new, |row| match options.group_by {
        GroupBy::NodeAddress if row.node_ip.is_empty() => "-".to_owned(),
        GroupBy::NodeAddress => harmless(&row.node_ip).into_owned(),
        GroupBy::StackTrace => {
            let (full, room) = (SiteText::full(&row.call_site), options.width.saturating_sub(around));
            match width(full.whole()) <= room {
                _ if options.no_format => stack(&row.call_site).join(" | "),
                true => full.whole().to_owned(),
                false => SiteText::short(&row.call_site).fit(room).into_owned(),
            }
        }
        GroupBy::Pid => row.pid.to_string(),
        GroupBy::ReferenceType => row.reference_type.word().to_owned(),
    });
    format!("--- Summary for {kind}: {key} ---\n")
}

/// What a group's call site was called from, innermost first.
fn callers(page: &mut String, group: &Group<'_>, options: &ReportOptions) {
    const WORDS: &str = "Called from: ";
    let room = options.width.saturating_sub(WORDS.len() + 1);
    let frames = group.rows.first().into_iter().flat_map(|row| row.call_site.frames().skip(1));
    list(page, WORDS, &frames.map(|frame| SiteText::short(frame).bare_within(room)).collect::<Vec<_>>(), options);
}

/// The sums of a group below their titles, in as many pairs of lines as the page needs.
fn sums(page: &mut String, sums: &Sums, options: &ReportOptions) {
    let pair = |(rows, bytes): (u64, u64)| format!("{rows}, ({})", options.units.show(bytes));
    let totals = sums.totals();
    let columns = [
        ("Mem Used by Objects", options.units.show(sums.bytes)),
        ("Local References", pair(sums.of_type(ReferenceType::LocalReference))),
        ("Pinned", pair(sums.of_type(ReferenceType::PinnedInMemory))),
        ("Used by task", pair(sums.of_type(ReferenceType::UsedByPendingTask))),
        ("Captured in Objects", pair(sums.of_type(ReferenceType::CapturedInObject))),
        ("Actor Handles", pair(sums.of_type(ReferenceType::ActorHandle))),
        ("Unique Objects", pair((totals.unique_objects, totals.unique_bytes))),
    ];
    if options.no_format {
        page.push_str(&columns.each_ref().map(|(title, _)| *title).join(" | "));
        page.push('\n');
        page.push_str(&columns.map(|(_, value)| value).join(" | "));
        page.push('\n');
        return;
    }
    let (mut titles, mut values) = (String::new(), String::new());
    for (title, value) in &columns {
        let cells = width(title).max(width(value));
        if !titles.is_empty() && width(&titles) + cells > options.width {
            end(&mut titles);
            end(&mut values);
            page.push_str(&std::mem::take(&mut titles));
            page.push_str(&std::mem::take(&mut values));
        }
        pad(&mut titles, title, cells, Side::Left);
        pad(&mut values, value, cells, Side::Left);
        titles.push_str(GAP);
        values.push_str(GAP);
    }
    end(&mut titles);
    end(&mut values);
    page.push_str(&titles);
    page.push_str(&values);
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 }
}

fn aggregate(page: &mut String, report: &Report, options: &ReportOptions) {
    let ledger = &report.store.ledger;
    let (used, capacity) = (ledger.used_bytes(), ledger.capacity_bytes);
    page.push_str("--- Aggregate object store stats across all nodes ---\n");
    page.push_str(&format!(
        "Plasma memory usage {} MiB, {} objects, {:.2}% full, {:.2}% needed\n",
        used >> 20,
        report.store.objects,
        percent(used, capacity),
        percent(report.store.spill.primary_bytes, capacity),
    ));
    storage::text(page, report, options);
}

/// Where every byte of the capacity is: the lines that are not zero, and the check.
fn ledger(page: &mut String, ledger: &Ledger, options: &ReportOptions) {
    let capacity = ledger.capacity_bytes;
    page.push_str(&format!("--- Ledger of {} ---\n", options.units.show(capacity)));
    let lines: Vec<_> = ledger
        .lines()
        .into_iter()
        .filter(|(_, bytes)| *bytes > 0)
        .map(|(name, bytes)| (name, options.units.show(bytes), percent(bytes, capacity)))
        .collect();
    let numbers = lines.iter().map(|(_, bytes, _)| width(bytes)).max().unwrap_or(0);
    for (name, bytes, share) in lines {
        let unbacked = match name {
            "free" if ledger.unbacked_bytes > 0 => format!("  of it {} without memory", options.units.show(ledger.unbacked_bytes)),
            _ => String::new(),
        };
        page.push_str(&match options.no_format {
            true => format!("{name} | {bytes} | {share:.2}%{unbacked}\n"),
            false => format!("{name:<12} {bytes:>numbers$}  {share:>6.2}%{unbacked}\n"),
        });
    }
    page.push_str(&format!("unattributed {} B\n", ledger.unattributed_bytes));
    if ledger.inlined_objects > 0 {
        let (values, bytes) = (count(ledger.inlined_objects, "small value"), options.units.show(ledger.inlined_bytes));
        page.push_str(&format!("beside it, {values} with {bytes} in the agent's heap\n"));
    }
    if ledger.lineage_tasks > 0 {
        let (tasks, bytes) = (count(ledger.lineage_tasks, "finished task"), options.units.show(ledger.lineage_bytes));
        page.push_str(&format!("beside it, the lineage of {tasks} with {bytes} in the agent's heap\n"));
    }
}
