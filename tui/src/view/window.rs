//! A view that is one window over a table: title, column names, visible rows.

use plasmon_protocol::column::Table;
use plasmon_protocol::stream::{GroupRow, Rows, Totals};
use ratatui::layout::Rect;

use super::format::{clock, grouped, things};
use super::hit::Hit;
use super::paint::Paint;
use super::since;
use super::table::{self, Column};
use super::theme::Role;
use crate::app::App;
use crate::app::act::trouble;
use crate::app::subscribe::Slot;
use crate::model::Window;
use crate::model::window::Tabled;

/// What a table says about itself.
pub struct Words {
    /// Its name.
    pub title: &'static str,
    /// Why it has no rows when nothing filters them.
    pub empty: &'static str,
    /// How rows come to be there; may be empty.
    pub how: &'static str,
    /// Its totals, in a few words.
    pub totals: fn(&Window, &Totals) -> String,
}

/// How many rows there are; where not all pass the filter, how many of how many.
#[must_use]
pub fn matched(totals: &Totals, one: &str, many: &str) -> String {
    let all = things(totals.rows, one, many);
    if totals.matched == totals.rows { all } else { format!("{} of {all}", grouped(totals.matched)) }
}

/// What stands at the right of the title's rule: what is asked for, and what is not here. `sets` are those of columns.
#[must_use]
pub fn notes(app: &App, slot: Slot, sets: usize) -> Vec<(String, Role)> {
    let list = app.list(slot);
    let mut note: Vec<(String, Role)> = Vec::new();
    if !list.filter.is_empty() {
        note.push((format!("/{}", list.filter), Role::Accent));
    }
    if let Some(group) = list.group {
        let groups = app.window(slot).map(|window| window.totals.groups).filter(|groups| *groups > 0);
        let groups = groups.map(|groups| format!("{} ", things(groups, "group", "groups"))).unwrap_or_default();
        note.push((format!("{groups}by {group}"), Role::Text));
    }
    if (1..sets).contains(&list.columns) {
        note.push((format!("columns {}/{sets}", list.columns + 1), Role::Accent));
    }
    if let Some(left_out) = left_out(app, slot) {
        note.push((left_out, Role::Warn));
    }
    note.extend(merged(app, slot).into_iter().map(|text| (text, Role::Warn)));
    if app.reads_on(slot) {
        note.push(("reading more rows".to_owned(), Role::Warn));
    }
    if let Some(since) = since::note(app, slot) {
        note.push((since, Role::Warn));
    }
    note
}

/// The title's rule: totals at the left, what is asked for at the right.
pub fn title(app: &App, slot: Slot, paint: &mut Paint<'_>, area: Rect, words: &Words) {
    let totals = app.window(slot).map(|window| (words.totals)(window, &window.totals)).unwrap_or_default();
    let were = app.window(slot).and_then(|window| Some((words.totals)(window, window.totals_were(app.agent_now_ms())?)));
    let gap = if totals.is_empty() { "" } else { "  " };
    let mut note = notes(app, slot, paint.sets);
    note.iter_mut().skip(1).for_each(|(text, _)| text.insert_str(0, "  "));
    let title = [(words.title, Role::Title), (gap, Role::Text), (totals.as_str(), Role::Dim)];
    let note: Vec<(&str, Role)> = note.iter().map(|(text, role)| (text.as_str(), *role)).collect();
    // A long filter is cut: the table's own totals matter more.
    let used: u16 = title.iter().map(|(text, _)| super::format::width(text)).sum::<u16>() + 9;
    let room = area.width.saturating_sub(used);
    let mut left = room;
    let cut: Vec<(std::borrow::Cow<'_, str>, Role)> = note
        .iter()
        .map(|(text, role)| {
            // A mark that something was cut says nothing alone.
            let text = super::format::cut(text, if left < 4 { 0 } else { left });
            left = left.saturating_sub(super::format::width(&text));
            (text, *role)
        })
        .collect();
    let note: Vec<(&str, Role)> = cut.iter().map(|(text, role)| (text.as_ref(), *role)).collect();
    paint.rule_of(Rect { height: 1, ..area }, &title, &note);
    let end = area.x + super::paint::MARGIN + title.iter().map(|(text, _)| super::format::width(text)).sum::<u16>();
    if end < area.right() {
        paint.trend(end, area.y, &totals, were.as_deref());
    }
}

/// Of several agents, who is not in what is shown, and how far groups are read.
fn merged(app: &App, slot: Slot) -> Vec<String> {
    let Some(merged) = app.merged(slot) else { return Vec::new() };
    let missing = merged.missing.iter().filter_map(|number| {
        let member = app.nodes().get(*number)?;
        let since = member.lost_ms.map(|ms| format!(", lost {}", clock(ms, app.settings.utc_offset_ms))).unwrap_or_default();
        Some(format!("without {}{since}", member.node.node.short()))
    });
    let reading = merged.reading.map(|(read, all)| format!("reading {} of {}", grouped(read), things(all, "group", "groups")));
    missing.chain(reading).collect()
}

/// What nobody can reach: what a recording left out, rows of an agent that is lost, groups beyond those that are read of each agent.
fn left_out(app: &App, slot: Slot) -> Option<String> {
    let window = app.window(slot)?;
    // What is being read is told by how far that is.
    let cut = if app.merged(slot).is_some_and(|merged| merged.reading.is_some()) { 0 } else { window.totals.cut };
    let (one, many, why) = match (app.replay().is_some(), &window.rows) {
        (true, _) => return (cut > 0).then(|| recorded(app, slot, &window.totals)),
        (false, _) if app.nodes().is_empty() => return None,
        (false, Rows::Groups(_)) => ("group", "groups", "not read"),
        (false, _) => ("row", "rows", "of lost agents not here"),
    };
    (cut > 0).then(|| format!("{} {why}", things(cut, one, many)))
}

/// Of a table that was too long for a recording, which of its rows are in it. Totals without a filter are of all rows nonetheless.
fn recorded(app: &App, slot: Slot, totals: &Totals) -> String {
    let which = match app.table(slot) {
        Some(Table::Tasks) => "oldest",
        Some(Table::Events | Table::PostMortem) => "newest",
        _ => "largest",
    };
    let list = app.list(slot);
    let of = if list.filter.is_empty() && list.group.is_none() { "" } else { "of " };
    let here = totals.rows.saturating_sub(totals.cut);
    format!("{of}the {} {which} of {}", grouped(here), things(totals.rows, "row", "rows"))
}

/// Says in place of rows why there are none, and how to get some.
pub fn why_empty(app: &App, slot: Slot, paint: &mut Paint<'_>, area: Rect, words: &Words) {
    let list = app.list(slot);
    match app.window(slot) {
        None => paint.sentence(area, &app.why_not(slot)),
        Some(_) if app.table(slot).and_then(trouble).is_some_and(|trouble| trouble == list.filter) => {
            paint.sentences(area, &["nothing here asks for attention", "! shows everything again"]);
        }
        Some(_) if !list.filter.is_empty() => {
            let why = format!("no row passes the filter `{}`", list.filter);
            let back = if app.crumbs().count() > 1 { "Esc goes back" } else { "Esc drops it" };
            paint.sentences(area, &[&why, &format!("/ changes the filter, {back}")]);
        }
        Some(_) => paint.sentences(area, &[words.empty, words.how]),
    }
}

/// Whether the rows are folded, or still are until the others come.
#[must_use]
pub fn is_folded(app: &App, slot: Slot) -> bool {
    app.list(slot).group.is_some() || app.window(slot).is_some_and(|window| window.of::<GroupRow>().is_some())
}

/// Draws the whole view. `R` is the kind of rows that it expects; rows of another kind are of the place before.
pub fn table<R: Tabled + 'static>(app: &App, slot: Slot, paint: &mut Paint<'_>, area: Rect, columns: &[Column<R>], words: &Words) {
    let inner = since::beside(app, area, R::GROUPED);
    let fitted = table::fit_set(app, slot, paint, columns, inner.width);
    title(app, slot, paint, area, words);
    let head = Rect { y: area.y + 1, height: 1, ..area };
    let rows = Rect { y: area.y + 2, height: area.height.saturating_sub(2), ..area };
    let found = app.window(slot).and_then(|window| window.of::<R>().map(|rows| (window, rows)));
    let Some((window, found)) = found.filter(|(window, _)| window.count() > 0) else {
        return why_empty(app, slot, paint, Rect { y: head.y, height: area.height.saturating_sub(1), ..area }, words);
    };
    paint.slot = slot;
    since::head(app, paint, head, R::GROUPED);
    table::names(paint, Rect { x: inner.x, width: inner.width, ..head }, columns, &fitted, app.sort_of(slot).as_ref());
    let of = app.table(slot);
    let list = app.list(slot);
    let now = app.agent_now_ms();
    for row in 0..rows.height {
        let place = list.offset + u64::from(row);
        if place >= window.count() {
            break;
        }
        let line = Rect { y: rows.y + row, height: 1, ..rows };
        let at = place.checked_sub(window.start).and_then(|at| usize::try_from(at).ok());
        match at.and_then(|at| found.get(at)) {
            Some(value) => {
                if let Some(of) = of {
                    since::cell(app, slot, of, paint, line, value);
                }
                let row = (value, window.was(value, now));
                table::changed(paint, Rect { x: inner.x, width: inner.width, ..line }, columns, &fitted, row, now);
                paint.hit(line, Hit::Row(slot, place));
            }
            // The agent has it and was asked for it.
            None => {
                paint.text(line.x + super::paint::MARGIN, line.y, 1, "…", Role::Dim);
            }
        }
        if place == list.cursor && slot == Slot::Main {
            table::select(paint, line);
        }
    }
}
