//! Tables: columns that fit, the visible rows, the selected one set off.

use plasmon_protocol::stream::Sort;
use ratatui::layout::Rect;

use super::format::{fitted as fitted_text, width};
use super::hit::Hit;
use super::paint::{MARGIN, Paint};
use super::theme::Role;
use crate::app::App;
use crate::app::subscribe::Slot;

/// Cells between columns.
const GAP: u16 = 2;

/// One cell's text and what it means.
pub type Text = (String, Role);

/// One column over rows `R`.
pub struct Column<R> {
    /// What stands above it.
    pub title: &'static str,
    /// The column of the agent's that it sorts by; empty when it does not.
    pub sort: &'static str,
    /// Cells that it takes at least.
    pub width: u16,
    /// Its share of the cells that are left; 0 keeps it as narrow as it is.
    pub flex: u16,
    /// Whether it is set flush right.
    pub right: bool,
    /// Whether it is news that a figure rose or fell.
    pub news: bool,
    /// Columns with smaller numbers go first when there is not enough room; 9 never goes. Those with 0 go all together.
    pub keep: u8,
    /// A row's cell; the second argument is the agent's clock.
    pub cell: fn(&R, u64) -> Text,
}

impl<R> Column<R> {
    /// A figure, flush right.
    pub const fn figure(title: &'static str, sort: &'static str, width: u16, keep: u8, cell: fn(&R, u64) -> Text) -> Self {
        Self { title, sort, width, flex: 0, right: true, news: true, keep, cell }
    }

    /// A figure of which a change is no news: an id, an age, or what tells a change itself.
    pub const fn still(title: &'static str, sort: &'static str, width: u16, keep: u8, cell: fn(&R, u64) -> Text) -> Self {
        Self { title, sort, width, flex: 0, right: true, news: false, keep, cell }
    }

    /// A word of limited length.
    pub const fn word(title: &'static str, sort: &'static str, width: u16, keep: u8, cell: fn(&R, u64) -> Text) -> Self {
        Self { title, sort, width, flex: 0, right: false, news: false, keep, cell }
    }

    /// A text that takes what room there is.
    pub const fn wide(title: &'static str, sort: &'static str, width: u16, flex: u16, keep: u8, cell: fn(&R, u64) -> Text) -> Self {
        Self { title, sort, width, flex, right: false, news: false, keep, cell }
    }
}

/// A column's place: its number, first cell and width.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fitted {
    /// Its number among all columns.
    pub column: usize,
    /// The first cell, from the left of the table.
    pub x: u16,
    /// Cells.
    pub width: u16,
}

/// Cells that columns take at least.
fn need<R>(columns: &[Column<R>], chosen: &[usize]) -> u16 {
    chosen.iter().map(|at| columns[*at].width).sum::<u16>() + GAP * u16::try_from(chosen.len().saturating_sub(1)).unwrap_or(0)
}

/// Those of some columns that fit into so many cells.
fn choose<R>(columns: &[Column<R>], mut chosen: Vec<usize>, room: u16) -> Vec<usize> {
    while need(columns, &chosen) > room {
        let least = chosen
            .iter()
            .enumerate()
            .filter(|(_, at)| columns[**at].keep < 9)
            .min_by_key(|(place, at)| (columns[**at].keep, std::cmp::Reverse(*place)));
        let Some((place, _)) = least else { break };
        chosen.remove(place);
    }
    chosen
}

/// The columns that fit and matter most.
fn most<R>(columns: &[Column<R>], room: u16) -> Vec<usize> {
    let all: Vec<usize> = (0..columns.len()).collect();
    if need(columns, &all) <= room {
        return all;
    }
    choose(columns, all.into_iter().filter(|at| columns[*at].keep > 0).collect(), room)
}

/// All columns in sets that fit: first those that matter most; then, beside what never goes, those that had no room before.
fn sets<R>(columns: &[Column<R>], room: u16) -> Vec<Vec<usize>> {
    let first = most(columns, room);
    let stays =
        |others: &[usize]| -> Vec<usize> { (0..columns.len()).filter(|at| columns[*at].keep == 9 || others.contains(at)).collect() };
    // Some may have no room beside what never goes.
    let fits = |at: &usize| need(columns, &stays(&[*at])) <= room;
    let mut unseen: Vec<usize> = (0..columns.len()).filter(|at| !first.contains(at) && fits(at)).collect();
    unseen.sort_by_key(|at| std::cmp::Reverse(columns[*at].keep));
    let mut sets = vec![first];
    while !unseen.is_empty() {
        let mut next = Vec::new();
        for at in &unseen {
            next.push(*at);
            if need(columns, &stays(&next)) > room {
                next.pop();
            }
        }
        unseen.retain(|at| !next.contains(at));
        sets.push(stays(&next));
    }
    sets
}

/// The columns that fit, left to right.
#[must_use]
pub fn fit<R>(columns: &[Column<R>], room: u16) -> Vec<Fitted> {
    spread(columns, most(columns, room.saturating_sub(2 * MARGIN)), room)
}

/// The columns of the set that is to be shown; how many sets there are is noted.
pub fn fit_set<R>(app: &App, slot: Slot, paint: &mut Paint<'_>, columns: &[Column<R>], room: u16) -> Vec<Fitted> {
    let mut sets = sets(columns, room.saturating_sub(2 * MARGIN));
    paint.sets = sets.len();
    if slot == Slot::Main {
        paint.main_sets = paint.sets;
    }
    let set = Some(app.list(slot).columns).filter(|set| *set < sets.len()).unwrap_or(0);
    spread(columns, sets.swap_remove(set), room)
}

/// The places of columns that fit: what room is left is shared out.
fn spread<R>(columns: &[Column<R>], chosen: Vec<usize>, room: u16) -> Vec<Fitted> {
    let room = room.saturating_sub(2 * MARGIN);
    let mut spare = room.saturating_sub(need(columns, &chosen));
    let mut flex: u16 = chosen.iter().map(|at| columns[*at].flex).sum();
    let mut x = MARGIN;
    chosen
        .into_iter()
        .map(|column| {
            let share = columns[column].flex;
            let extra = if share == 0 { 0 } else { (u32::from(spare) * u32::from(share) / u32::from(flex.max(1))) as u16 };
            (spare, flex) = (spare - extra, flex - share);
            let width = columns[column].width + extra;
            let fitted = Fitted { column, x, width };
            x += width + GAP;
            fitted
        })
        .collect()
}

/// The names of the columns, the sorting one marked.
pub fn head<R>(paint: &mut Paint<'_>, area: Rect, columns: &[Column<R>], sort: Option<&Sort>) {
    names(paint, area, columns, &fit(columns, area.width), sort);
}

/// The names of these columns.
pub fn names<R>(paint: &mut Paint<'_>, area: Rect, columns: &[Column<R>], fitted: &[Fitted], sort: Option<&Sort>) {
    for fitted in fitted {
        let column = &columns[fitted.column];
        let sorted = sort.filter(|sort| !column.sort.is_empty() && sort.column == column.sort);
        let x = area.x + fitted.x;
        let room = fitted.width.min(area.right().saturating_sub(x));
        let mark = match sorted {
            Some(sort) if sort.ascending => "▲",
            Some(_) => "▼",
            None => "",
        };
        let name = width(column.title) + width(mark);
        // The mark hangs into the gap, so that sorting moves no title.
        let at = if column.right { (x + room + u16::from(!mark.is_empty())).saturating_sub(name) } else { x };
        let role = if sorted.is_some() { Role::Sorted } else { Role::Column };
        if !column.sort.is_empty() && sort.is_some() {
            paint.hit(Rect { x, y: area.y, width: room, height: 1 }, Hit::Column(paint.slot, column.sort));
        }
        let end = paint.text(at, area.y, width(column.title).min(room + 1), column.title, role);
        paint.text(end, area.y, 1, mark, Role::Accent);
    }
}

/// One row.
pub fn row<R>(paint: &mut Paint<'_>, area: Rect, columns: &[Column<R>], fitted: &[Fitted], value: &R, now_ms: u64) {
    changed(paint, area, columns, fitted, (value, None), now_ms);
}

/// One row, and what it was a moment ago: figures that rose or fell since are marked.
pub fn changed<R>(paint: &mut Paint<'_>, area: Rect, columns: &[Column<R>], fitted: &[Fitted], row: (&R, Option<&R>), now_ms: u64) {
    let (value, was) = row;
    for fit in fitted {
        let column = &columns[fit.column];
        let (text, role) = (column.cell)(value, now_ms);
        let x = area.x + fit.x;
        let room = fit.width.min(area.right().saturating_sub(x));
        if column.right {
            let before = was.filter(|_| column.news).map(|was| (column.cell)(was, now_ms).0);
            paint.trend(x + room, area.y, &text, before.as_deref());
            paint.right(x, area.y, room, &text, role);
        } else {
            paint.text(x, area.y, room, &fitted_text(&text, room), role);
        }
    }
}

/// Sets a row off as the selected one.
pub fn select(paint: &mut Paint<'_>, area: Rect) {
    paint.over(area, paint.theme.selection());
    paint.styled(area.x, area.y, 1, "▸", paint.theme.style(Role::Accent).patch(paint.theme.selection()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(width: u16, flex: u16, keep: u8) -> Column<()> {
        Column { title: "", sort: "", width, flex, right: false, news: false, keep, cell: |(), _| (String::new(), Role::Text) }
    }

    #[test]
    fn the_least_important_columns_go_and_the_rest_fills_the_width() {
        let columns = [column(5, 0, 9), column(10, 0, 1), column(8, 1, 9), column(4, 0, 2), column(6, 2, 5)];
        let fitted = fit(&columns, 60);
        assert_eq!(fitted.len(), 5);
        let last = fitted.last().unwrap();
        assert_eq!(last.x + last.width, 60 - MARGIN);
        let narrow: Vec<usize> = fit(&columns, 32).iter().map(|fitted| fitted.column).collect();
        assert_eq!(narrow, [0, 2, 4]);
        assert_eq!(fit(&columns, 3).len(), 2, "what must stay stays, and is cut when drawn");
    }

    #[test]
    fn what_has_no_room_is_shown_in_sets_beside_what_must_stay() {
        let columns = [column(5, 0, 9), column(10, 0, 1), column(8, 1, 9), column(4, 0, 2), column(6, 2, 5)];
        assert_eq!(sets(&columns, 100), [vec![0, 1, 2, 3, 4]]);
        assert_eq!(sets(&columns, 28), [vec![0, 2, 4], vec![0, 2, 3], vec![0, 1, 2]]);
        assert_eq!(sets(&columns, 34), [vec![0, 2, 3, 4], vec![0, 1, 2]]);
        assert_eq!(sets(&columns, 22), [vec![0, 2], vec![0, 2, 3]], "there is no room for the others at all");
        assert_eq!(sets(&columns, 0), [vec![0, 2]]);
        assert_eq!(sets::<()>(&[], 10), [Vec::<usize>::new()]);
        let columns = [column(5, 0, 9), column(10, 0, 1), column(8, 1, 0), column(4, 0, 0)];
        assert_eq!(sets(&columns, 33), [vec![0, 1, 2, 3]]);
        assert_eq!(sets(&columns, 32), [vec![0, 1], vec![0, 2, 3]], "some go all together");
    }
}
