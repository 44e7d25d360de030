//! How the screen is divided, in cells: the one place that both the moving of the selection and the drawing ask.

use super::node::FACTS;
use super::route::{Page, Route};

/// Nothing smaller is drawn on, columns and rows.
pub const SMALLEST: (u16, u16) = (60, 16);
/// From here on, there is room for a second column.
pub const WIDE: u16 = 110;

/// Lines above the body: the title, and the views or breadcrumbs.
pub const HEADER: u16 = 2;
/// Lines below it.
pub const FOOTER: u16 = 1;

/// Where a source excerpt goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Excerpt {
    /// Nowhere.
    None,
    /// Above the rows, this many lines high with its title.
    Above(u16),
    /// At the right, this many columns wide.
    Beside(u16),
}

/// How a place is divided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// Lines of facts at the top, their title included.
    pub facts: u16,
    /// The source excerpt.
    pub excerpt: Excerpt,
    /// Lines for rows, titles and column headers excluded for tables, included for pages.
    pub rows: u16,
}

/// Lines between header and footer.
#[must_use]
pub fn body(size: (u16, u16)) -> u16 {
    size.1.saturating_sub(HEADER + FOOTER)
}

/// Lines above the processes that say how full the memory is; nothing where there is no room.
#[must_use]
pub fn pressure_lines(size: (u16, u16)) -> u16 {
    if body(size) < 18 { 0 } else { 4 }
}

/// Lines for the tables of a view.
#[must_use]
pub fn tables(route: &Route, size: (u16, u16)) -> u16 {
    let above = if *route == Route::View(Page::Processes) { pressure_lines(size) } else { 0 };
    body(size).saturating_sub(above)
}

/// How a place is divided on a screen of this size.
#[must_use]
pub fn shape(route: &Route, size: (u16, u16)) -> Shape {
    let body = body(size);
    let beside = if size.0 >= WIDE { Excerpt::Beside((size.0 * 2 / 5).min(90)) } else { Excerpt::None };
    // Trees are wider than the line that made something.
    let narrow = if let Excerpt::Beside(_) = beside { Excerpt::Beside((size.0 / 3).min(90)) } else { beside };
    match route {
        Route::View(Page::Overview) => Shape { facts: 0, excerpt: Excerpt::None, rows: overview(size, 0).sites.saturating_sub(1) },
        Route::View(Page::Sites) => Shape { facts: 0, excerpt: narrow, rows: body.saturating_sub(2) },
        Route::View(Page::Spill) => Shape { facts: 0, excerpt: Excerpt::None, rows: spill(size).files.saturating_sub(2) },
        Route::View(Page::PostMortem) => Shape { facts: 0, excerpt: Excerpt::None, rows: body.saturating_sub(dead(size) + 2) },
        Route::View(Page::Node) => Shape { facts: FACTS, excerpt: Excerpt::None, rows: body.saturating_sub(FACTS) },
        Route::View(_) | Route::References { .. } => {
            Shape { facts: 0, excerpt: Excerpt::None, rows: tables(route, size).saturating_sub(2) }
        }
        Route::Site { .. } => {
            let facts = 4;
            let excerpt = match beside {
                Excerpt::None => Excerpt::Above((body / 2).clamp(6, 14)),
                beside => beside,
            };
            let above = if let Excerpt::Above(lines) = excerpt { lines } else { 0 };
            Shape { facts, excerpt, rows: body.saturating_sub(facts + above) }
        }
        Route::Object(_) => Shape { facts: 6, excerpt: narrow, rows: body.saturating_sub(6) },
        Route::Why { .. } => Shape { facts: 1, excerpt: Excerpt::None, rows: body.saturating_sub(1) },
        Route::Task { .. } | Route::Process { .. } | Route::Actor { .. } | Route::File(_) => {
            Shape { facts: 5, excerpt: Excerpt::None, rows: body.saturating_sub(5) }
        }
    }
}

/// Lines for what the selected of those who died held.
#[must_use]
pub fn dead(size: (u16, u16)) -> u16 {
    body(size) * 3 / 5
}

/// Lines for the rows of two tables, one above the other, each below its title and the names of its columns. The upper one has
/// what it needs as long as the lower one has too, and never more than half beyond that.
#[must_use]
pub fn halves(body: u16, upper: u64, lower: u64) -> (u16, u16) {
    let lines = |rows: u64| u16::try_from(rows.max(1)).unwrap_or(u16::MAX);
    let room = body.saturating_sub(4);
    let above = lines(upper).min((room / 2).max(room.saturating_sub(lines(lower))));
    (above, room - above)
}

/// Lines of the overview's regions, their titles included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overview {
    /// Whether the store and the node stand side by side.
    pub wide: bool,
    /// The store.
    pub store: u16,
    /// The node's memory; nothing where there is no room for it.
    pub node: u16,
    /// What asks for attention; a single line has no title.
    pub alerts: u16,
    /// The last minutes.
    pub history: u16,
    /// Sites.
    pub sites: u16,
    /// Events.
    pub events: u16,
}

/// How the overview is divided on a screen of this size, with so many alerts.
#[must_use]
pub fn overview(size: (u16, u16), alerts: usize) -> Overview {
    let body = body(size);
    let alerts = match (u16::try_from(alerts).unwrap_or(u16::MAX), body) {
        (0, _) => 0,
        (_, 0..28) => 1,
        (more, _) => more.min(5) + 1,
    };
    let wide = size.0 >= WIDE;
    if wide {
        let (top, history) = match body {
            44.. => (10, 8),
            26.. => (10, 6),
            20.. => (7, 5),
            _ => (5, 3),
        };
        let left = body.saturating_sub(top + alerts + history);
        let events = (left / 3).clamp(2, 16);
        Overview { wide, store: top, node: top, alerts, history, sites: left.saturating_sub(events), events }
    } else {
        let (store, node, history) = match body {
            30.. => (5, 4, 7),
            18.. => (5, 4, 4),
            // What can be opened comes before the node's memory, which the view of processes tells too.
            _ => (4, 0, 3),
        };
        let left = body.saturating_sub(store + node + alerts + history);
        let events = (left / 3).clamp(2, 12);
        Overview { wide, store, node, alerts, history, sites: left.saturating_sub(events), events }
    }
}

/// Lines of the spill view's regions, their titles included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spill {
    /// Whether the facts and the last minutes stand side by side.
    pub wide: bool,
    /// Whether who waits and what happened do.
    pub abreast: bool,
    /// State, what is on disk, totals, what comes.
    pub facts: u16,
    /// Who waits for room.
    pub queue: u16,
    /// What happened.
    pub events: u16,
    /// The table of files.
    pub files: u16,
}

/// How the spill view is divided on a screen of this size.
#[must_use]
pub fn spill(size: (u16, u16)) -> Spill {
    let body = body(size);
    let (wide, abreast) = (size.0 >= WIDE, size.0 >= 160);
    let middle = (body.saturating_sub(7) / 3).clamp(4, 14);
    let (facts, queue, events) = match body {
        0..18 if abreast => (5, 4, 4),
        _ if abreast => (7, middle, middle),
        30.. => (7, middle / 2, middle - middle / 2),
        18.. => (7, 3, 4),
        _ => (5, 2, 2),
    };
    let middle = if abreast { queue } else { queue + events };
    Spill { wide, abreast, facts, queue, events, files: body.saturating_sub(facts + middle) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_screen_has_room_for_some_rows() {
        for columns in [60, 80, 109, 110, 159, 160, 300] {
            for rows in 16..80 {
                let size = (columns, rows);
                for alerts in [0, 1, 9] {
                    assert!(overview(size, alerts).sites >= 2, "{size:?}");
                }
                let spill = spill(size);
                let middle = if spill.abreast { spill.queue } else { spill.queue + spill.events };
                assert!(spill.files >= 4, "{size:?} {spill:?}");
                assert_eq!(spill.facts + middle + spill.files, body(size), "{size:?} {spill:?}");
                let routes = Page::ALL.iter().filter(|page| **page != Page::Overview).map(|page| Route::root(*page));
                for route in routes.chain([Route::File(Default::default()), Route::Object(Default::default())]) {
                    assert!(shape(&route, size).rows >= 2, "{route:?} {size:?}");
                }
            }
        }
    }
}
