//! The tree that says why an object is alive: what keeps it, who that is, how, since when, and got at which line.

use plasmon_protocol::record::{ReferenceType, SiteKind};
use ratatui::layout::Rect;

use super::columns::{holder, site, state_word, status};
use super::format::{age, size, things};
use super::paint::{MARGIN, Paint};
use super::table::{self, Column, Text};
use super::theme::Role;
use crate::app::alive::{Keeper, Kept};
use crate::app::page::task_label;
use crate::app::route::short_id;

/// Cells that a branch takes for each object between the line and the shown object.
const BRANCH: u16 = 2;

/// With room for branches so deep.
fn columns<'a>(deepest: u8) -> [Column<Kept<'a>>; 5] {
    [
        Column::word("kept by", "", 9 + BRANCH * u16::from(deepest.min(8)), 9, |line, _| kind(line)),
        Column::wide("who", "", 15, 1, 9, |line, _| who(line)),
        Column::wide("how", "", 12, 1, 5, |line, _| how(line)),
        Column::still("age", "", 4, 6, |line, now| (age(now, since_ms(line)), Role::Text)),
        Column::wide("at", "", 14, 5, 8, |line, _| at(line)),
    ]
}

/// Room for the branch, then the root's kind.
fn kind(line: &Kept<'_>) -> Text {
    let (word, role) = match line.keeper {
        Keeper::Pin(_) => ("pin", ReferenceType::PinnedInMemory),
        Keeper::Handle(_) => ("handle", ReferenceType::LocalReference),
        Keeper::Task(_) | Keeper::Tasks(_) => ("task", ReferenceType::UsedByPendingTask),
        Keeper::Captured(_) | Keeper::Container(_) => ("container", ReferenceType::CapturedInObject),
    };
    (format!("{}{word}", " ".repeat(usize::from(BRANCH) * usize::from(line.depth))), Role::Type(role))
}

fn who(line: &Kept<'_>) -> Text {
    match line.keeper {
        Keeper::Pin(row) | Keeper::Handle(row) | Keeper::Tasks(row) | Keeper::Captured(row) => holder(row.process_type, row.pid),
        Keeper::Task(row) => (task_label(&row.name), Role::Text),
        Keeper::Container(row) => (short_id(&row.object_id.hex()), Role::Text),
    }
}

fn how(line: &Kept<'_>) -> Text {
    match line.keeper {
        Keeper::Pin(row) => (things(row.pinned.into(), "view", "views"), Role::Text),
        Keeper::Handle(row) => (things(row.local.into(), "handle", "handles"), Role::Text),
        Keeper::Tasks(row) => (things(row.submitted.into(), "task", "tasks"), Role::Text),
        Keeper::Captured(row) => (things(row.captured.into(), "object", "objects"), Role::Text),
        Keeper::Task(row) => match row.worker_pid {
            Some(pid) => (format!("{} {pid}", status(row)), Role::status(row.status)),
            None => (status(row).to_owned(), Role::status(row.status)),
        },
        Keeper::Container(_) if line.again => ("see above".to_owned(), Role::Dim),
        Keeper::Container(row) => {
            let (state, role) = state_word(row.state);
            (row.size_bytes.map_or_else(|| state.clone(), |bytes| format!("{} {state}", size(bytes))), role)
        }
    }
}

fn since_ms(line: &Kept<'_>) -> u64 {
    match line.keeper {
        Keeper::Pin(row) | Keeper::Handle(row) | Keeper::Tasks(row) | Keeper::Captured(row) => row.since_ms,
        Keeper::Task(row) => row.submitted_ms,
        Keeper::Container(row) => row.created_ms,
    }
}

fn at(line: &Kept<'_>) -> Text {
    let place = match line.keeper {
        Keeper::Pin(row) | Keeper::Handle(row) | Keeper::Tasks(row) | Keeper::Captured(row) => &row.call_site,
        Keeper::Task(row) => &row.call_site,
        Keeper::Container(row) => &row.created_site,
    };
    let mut text = site(place);
    if place.kind == SiteKind::PutObject {
        // What is most often so needs no words.
        text.0 = place.short();
    }
    text
}

/// The names of the columns.
pub fn head(paint: &mut Paint<'_>, line: Rect, deepest: u8) {
    table::head(paint, beside(line), &columns(deepest), None);
}

/// What is left beside the innermost branch.
fn beside(line: Rect) -> Rect {
    Rect { x: line.x + BRANCH, width: line.width.saturating_sub(BRANCH), ..line }
}

/// One line.
pub fn row(paint: &mut Paint<'_>, area: Rect, row: (&Kept<'_>, Option<&Kept<'_>>), deepest: u8, now_ms: u64) {
    let line = row.0;
    let inner = beside(area);
    let columns = columns(deepest);
    table::changed(paint, inner, &columns, &table::fit(&columns, inner.width), row, now_ms);
    let (last, above) = line.last;
    for depth in 0..=line.depth {
        let sign = match (depth == line.depth, last, above >> depth & 1 == 1) {
            (true, true, _) => "└",
            (true, false, _) => "├",
            (false, _, true) => " ",
            (false, _, false) => "│",
        };
        paint.text(area.x + MARGIN + BRANCH * u16::from(depth), area.y, 1, sign, Role::Dim);
    }
}
