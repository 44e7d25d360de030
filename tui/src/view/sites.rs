//! The sites as a tree of what called what, or of files and lines, the selected one's source beside it.

use plasmon_protocol::column::Table;
use plasmon_protocol::record::{Site, SiteKind, SiteRow};
use plasmon_protocol::size::cells;
use plasmon_protocol::stream::{Detail, Totals};
use ratatui::layout::Rect;

use super::columns::{OBJECTS, growth_cell};
use super::format::{age, count, cut, cut_start, fitted, grouped, size, things, width};
use super::hit::Hit;
use super::paint::{MARGIN, Paint};
use super::since;
use super::source;
use super::table::{self, Column, Fitted};
use super::theme::Role;
use super::window::{Words, matched, title, why_empty};
use crate::app::App;
use crate::app::geometry::{Excerpt, shape};
use crate::app::mark::Since;
use crate::app::subscribe::Slot;
use crate::app::tree::TreeRow;
use crate::model::Window;

/// Why there is no site.
pub(super) const NO_SITES: &str = "no object is alive: no line of code holds memory";
/// How there come to be objects.
pub(super) const NO_OBJECTS: &str = "put() and calls of tasks make some; plasmon demo shows it";

/// The figures of a site or of a file's sum; the place is drawn as a tree.
const FIGURES: &[Column<SiteRow>] = &[
    Column::figure("held", "held", 5, 9, |row, _| (cells(row.held_bytes), Role::Text)),
    Column::figure("own", "own", 5, 8, |row, _| (cells(row.own_bytes), if row.own_bytes == 0 { Role::Dim } else { Role::Text })),
    Column::still("in 1 min", "growth", 8, 9, |row, _| growth_cell(row.growth_bytes)),
    Column::figure("objects", "objects", 7, 8, |row, _| (count(row.objects), Role::Text)),
    Column::figure("refs", "references", 5, 5, |row, _| (count(row.references), Role::Text)),
    Column::still("oldest", "age", 6, 6, |row, now| (age(now, row.oldest_ms), Role::Text)),
    Column::word("kind", "kind", 11, 4, |row, _| (kind(&row.site).to_owned(), Role::Dim)),
    Column::wide("site", "site", 32, 1, 9, |_, _| (String::new(), Role::Text)),
];

/// How objects come to be there, without brackets and in few letters.
fn kind(site: &Site) -> &str {
    let word = site.kind.word().trim_start_matches('(').trim_end_matches(')');
    word.strip_prefix("deserialize ").unwrap_or(word)
}

/// Of more sites than are here, how many those are: below the last of them there may be no line that says so.
fn totals(window: &Window, totals: &Totals) -> String {
    let (here, all) = (window.keys.len() as u64, totals.matched);
    let sites = if here < all {
        format!("the first {} of {}", grouped(here), things(all, "site", "sites"))
    } else {
        matched(totals, "site", "sites")
    };
    format!("{sites} · {}", size(totals.bytes))
}

/// Draws it.
pub fn draw(app: &App, paint: &mut Paint<'_>, area: Rect) {
    let left = match shape(&app.place().route, app.canvas()).excerpt {
        Excerpt::Beside(columns) => {
            let left = Rect { width: area.width - columns, ..area };
            beside(app, paint, Rect { x: left.right(), width: columns, ..area });
            left
        }
        Excerpt::None | Excerpt::Above(_) => area,
    };
    let inner = since::beside(app, left, false);
    let places = table::fit_set(app, Slot::Main, paint, FIGURES, inner.width);
    let words = Words { title: "Sites", empty: NO_SITES, how: NO_OBJECTS, totals };
    title(app, Slot::Main, paint, left, &words);
    let Some((rows, sites)) = app.tree().filter(|(rows, _)| !rows.is_empty()) else {
        return why_empty(app, Slot::Main, paint, Rect { y: left.y + 1, height: left.height.saturating_sub(1), ..left }, &words);
    };
    since::head(app, paint, Rect { y: left.y + 1, height: 1, ..left }, false);
    let sort = app.sorted_by().filter(|_| app.mark().is_none() || list_is_sorted(app));
    let own = plasmon_protocol::stream::Sort { column: String::new(), ascending: false };
    table::names(paint, Rect { y: left.y + 1, height: 1, ..inner }, FIGURES, &places, Some(sort.as_ref().unwrap_or(&own)));
    let body = Rect { y: left.y + 2, height: left.height.saturating_sub(2), ..left };
    let list = &app.place().list;
    let first = usize::try_from(list.offset).unwrap_or(0);
    for (row, at) in (first..rows.len()).take(usize::from(body.height)).enumerate() {
        let line = Rect { y: body.y + row as u16, height: 1, ..body };
        tree_line(app, paint, line, &places, &rows[at], sites);
        paint.hit(line, Hit::Row(Slot::Main, at as u64));
        if at as u64 == list.cursor {
            table::select(paint, line);
        }
    }
    let y = body.y + (rows.len() - first.min(rows.len())).min(usize::from(body.height)) as u16;
    elided(app, paint, Rect { y, height: 1, ..body }, body.bottom(), sites);
}

/// Whether the viewer chose the order; without, a mark decides it.
fn list_is_sorted(app: &App) -> bool {
    app.place().list.sort.is_some()
}

/// What grew since the mark of a row of the tree: of a file, of all its sites.
fn grown(app: &App, row: &TreeRow, sites: &[SiteRow]) -> Option<Since> {
    let of = |row: &SiteRow| app.since(Slot::Main, Table::Sites, row);
    match row {
        TreeRow::Site { index, .. } => of(sites.get(*index)?),
        TreeRow::File { file, .. } => {
            let sum = sites
                .iter()
                .filter(|row| row.site.file == *file && row.site.kind != SiteKind::Frame)
                .filter_map(of)
                .map(Since::growth)
                .fold(0, i64::saturating_add);
            app.mark().map(|_| Since::Bytes(sum))
        }
    }
}

fn tree_line(app: &App, paint: &mut Paint<'_>, line: Rect, places: &[Fitted], row: &TreeRow, sites: &[SiteRow]) {
    if let Some(since) = grown(app, row, sites) {
        since::word(app, paint, line, since, false);
    }
    if let TreeRow::Site { index, .. } = row
        && let Some(row) = sites.get(*index)
    {
        since::node(app, paint, line, row);
    }
    let line = since::beside(app, line, false);
    let now = app.agent_now_ms();
    let Some(place) = places.last() else { return };
    let (x, room) = (line.x + place.x, place.width.min(line.right().saturating_sub(line.x + place.x)));
    match row {
        TreeRow::File { file, sum, sites, folded } => {
            table::row(paint, line, FIGURES, places, sum, now);
            let mark = if *folded { "+ " } else { "- " };
            let tail = if *folded { format!("  {}", things(*sites as u64, "site", "sites")) } else { String::new() };
            let name = if file.is_empty() { "unknown" } else { file };
            let name = cut_start(name, room.saturating_sub(2 + width(&tail)));
            paint.line(x, line.y, room, &[(mark, Role::Dim), (&name, Role::Title), (&tail, Role::Dim)]);
        }
        TreeRow::Site { index, depth, last, in_file, chain, below, folded, .. } => {
            let Some(row) = sites.get(*index) else { return };
            let was = app.window(Slot::Main).and_then(|window| window.was(row, now));
            table::changed(paint, line, FIGURES, places, (row, was), now);
            if app.model().leaks.of(row.site.id).is_some() {
                paint.text(x.saturating_sub(1), line.y, 1, "!", Role::Bad);
            }
            let end = branch(paint, x, line.y, room, *depth, *last);
            let sign = match (*below, *folded) {
                (0, _) if *depth > 0 => "",
                (0, _) => "  ",
                (_, true) => "+ ",
                (_, false) => "- ",
            };
            let x = paint.text(end, line.y, room.saturating_sub(end - x), sign, Role::Dim);
            let room = line.right().saturating_sub(x + MARGIN);
            let tail = if *folded { format!("  {}", things(*below as u64, "site", "sites")) } else { String::new() };
            name(paint, x, line.y, room, (&row.site, *in_file), chain.iter().filter_map(|frame| sites.get(*frame)), &tail);
        }
    }
}

/// The branches that lead to a row of the tree; where they end. Below eight, only how deep it stands.
fn branch(paint: &mut Paint<'_>, x: u16, y: u16, room: u16, depth: u16, last: u64) -> u16 {
    const DEEPEST: u16 = 8;
    let shown = depth.min(DEEPEST);
    let mut at = x;
    for level in depth + 1 - shown..=depth {
        let is_last = last.checked_shr(u32::from(level)).unwrap_or(0) & 1 == 1;
        let sign = match (level == depth, is_last) {
            (true, true) => "└ ",
            (true, false) => "├ ",
            (false, true) => "  ",
            (false, false) => "│ ",
        };
        at = paint.text(at, y, room.saturating_sub(at - x), sign, Role::Dim);
    }
    if depth > DEEPEST {
        at = paint.text(at, y, room.saturating_sub(at - x), &format!("{depth} "), Role::Dim);
    }
    at
}

/// The frames of a chain, outermost first, as far as there is room for their names; then the site itself.
fn name<'a>(
    paint: &mut Paint<'_>,
    x: u16,
    y: u16,
    room: u16,
    (site, in_file): (&Site, bool),
    chain: impl Iterator<Item = &'a SiteRow>,
    tail: &str,
) {
    let own = match (in_file, site.short_function()) {
        (true, function) => vec![(function.to_owned(), Role::Text), (format!(":{}", site.line), Role::Dim)],
        (false, _) => vec![(site.short(), Role::Text)],
    };
    let chain: Vec<String> = chain.map(|row| row.site.short_function().to_owned()).collect();
    let before = chain.iter().map(|name| format!("{name} › ")).collect::<String>();
    let wide = own.iter().map(|(text, _)| width(text)).sum::<u16>() + width(tail);
    let left = room.saturating_sub(wide);
    // Of many frames only how many there are.
    let before = match &chain[..] {
        [] => String::new(),
        _ if width(&before) <= left => before,
        frames => format!("{} › ", frames.len()),
    };
    let x = paint.text(x, y, room, &before, Role::Dim);
    let room = room.saturating_sub(width(&before) + width(tail));
    let end = match &own[..] {
        [(function, role), (line, dim)] => {
            let function = cut(function, room.saturating_sub(width(line)));
            paint.line(x, y, room, &[(&function, *role), (line, *dim)])
        }
        _ => paint.text(x, y, room, &fitted(&own[0].0, room), own[0].1),
    };
    paint.text(end, y, width(tail), tail, Role::Dim);
}

/// What the tree leaves out, in one line.
fn elided(app: &App, paint: &mut Paint<'_>, line: Rect, bottom: u16, sites: &[SiteRow]) {
    let Some(window) = app.window(Slot::Main) else { return };
    let left = window.totals.matched.saturating_sub(sites.len() as u64);
    if left > 0 && line.y < bottom {
        let bytes = window.totals.bytes.saturating_sub(sites.iter().map(|row| row.own_bytes).fold(0, u64::saturating_add));
        let text = format!("… {}, {}", things(left, "more site", "more sites"), size(bytes));
        paint.text(line.x + MARGIN, line.y, line.width, &text, Role::Dim);
    }
}

/// The selected site's line in its source, and below it the largest of what it holds.
fn beside(app: &App, paint: &mut Paint<'_>, area: Rect) {
    let Some(Detail::Site(detail)) = app.detail(Slot::Aside) else {
        paint.rule(Rect { height: 1, ..area }, "Source", "");
        return paint.sentence(Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area }, "select a site to see its line");
    };
    let lines = detail.source.as_ref().map_or(3, |source| source.lines.len() as u16);
    let height = (lines + 1).min(area.height * 2 / 3);
    source::draw(paint, Rect { height, ..area }, &detail.site.site, detail.source.as_ref());
    let rest = Rect { y: area.y + height, height: area.height - height, ..area };
    if rest.height < 4 || detail.objects.is_empty() {
        return;
    }
    paint.rule(Rect { height: 1, ..rest }, "Objects", &grouped(detail.site.objects));
    table::head(paint, Rect { y: rest.y + 1, height: 1, ..rest }, OBJECTS, None);
    let places = table::fit(OBJECTS, rest.width);
    let now = app.agent_now_ms();
    for (row, object) in detail.objects.iter().take(usize::from(rest.height - 2)).enumerate() {
        let line = Rect { y: rest.y + 2 + row as u16, height: 1, ..rest };
        table::row(paint, line, OBJECTS, &places, object, now);
    }
}
