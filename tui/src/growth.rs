//! Which creation sites keep more and more: a program that leaks, told from one that only works.
//!
//! The time watched has four quarters. The *floor* of a quarter is the least that the site's live objects took up at any look within it: what
//! comes and goes does not count, nor does one large allocation. A site grows when its floor rises from each quarter to the next.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use plasmon_protocol::column::Table;
use plasmon_protocol::filter::Filter;
use plasmon_protocol::id::SiteId;
use plasmon_protocol::record::{Site, SiteRow};
use plasmon_protocol::stream::{Body, MAX_WINDOW, Request, Rows, Sort, View, Window};
use tokio::time::{Instant, sleep_until};

use crate::error::Error;
use crate::link::LinkError;
use crate::link::websocket::Door;
use crate::model::clean::decode;

/// Parts of the time watched.
const QUARTERS: usize = 4;
/// Looks in each of them.
const LOOKS: u32 = 10;
/// The viewer's number for its view.
const ID: u32 = 1;

/// A site that grows.
#[derive(Clone, PartialEq, Debug)]
pub struct Grown {
    /// The site as it was last seen.
    pub row: SiteRow,
    /// Its floor in each quarter, bytes; each is above the one before.
    pub floors: [u64; QUARTERS],
}

impl Grown {
    /// What the floor gained between the first quarter and the last, bytes.
    #[must_use]
    pub fn gained_bytes(&self) -> u64 {
        self.floors.last().copied().unwrap_or(0).saturating_sub(self.floors[0])
    }

    /// The place.
    #[must_use]
    pub fn site(&self) -> &Arc<Site> {
        &self.row.site
    }
}

/// What was seen of all sites so far.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    sites: HashMap<SiteId, ([Option<u64>; QUARTERS], SiteRow)>,
    looks: [u64; QUARTERS],
}

impl Watched {
    /// Takes a look at all sites within a quarter, from 0; what is not among them holds nothing.
    pub fn look(&mut self, quarter: usize, rows: Vec<SiteRow>) {
        let Some(looks) = self.looks.get_mut(quarter) else { return };
        *looks += 1;
        let first = *looks == 1;
        let mut seen = std::collections::HashSet::new();
        for row in rows {
            let id = row.site.id;
            seen.insert(id);
            // A site that comes up later in a quarter held nothing before.
            let fresh = || ([None; QUARTERS], SiteRow::default());
            let (floors, last) = self.sites.entry(id).or_insert_with(fresh);
            if let Some(floor) = floors.get_mut(quarter) {
                let held = if first || floor.is_some() { row.held_bytes } else { 0 };
                *floor = Some(floor.map_or(held, |floor| floor.min(held)));
            }
            *last = row;
        }
        for (id, (floors, _)) in &mut self.sites {
            if let Some(floor) = floors.get_mut(quarter).filter(|_| !seen.contains(id)) {
                *floor = Some(0);
            }
        }
    }

    /// The sites that grow and that `filter` lets through, those that gained most first. None before every quarter was looked at.
    #[must_use]
    pub fn grown(&self, filter: &Filter<SiteRow>, now_ms: u64) -> Vec<Grown> {
        if self.looks.contains(&0) {
            return Vec::new();
        }
        let floors = |floors: &[Option<u64>; QUARTERS]| floors.map(Option::unwrap_or_default);
        let mut grown: Vec<Grown> = self
            .sites
            .values()
            .map(|(seen, row)| Grown { row: row.clone(), floors: floors(seen) })
            .filter(|site| site.floors.is_sorted_by(|one, next| one < next) && filter.matches(&site.row, now_ms))
            .collect();
        grown.sort_by_key(|site| (std::cmp::Reverse(site.gained_bytes()), site.row.site.id));
        grown
    }
}

/// Watches the agent's sites for `time` and says which of them grow, and pass `filter` in the end. Of more than [`MAX_WINDOW`] sites those
/// are watched that grew most within the last minute.
///
/// # Errors
/// When there is no connection, it breaks, or the agent refuses.
pub fn watch_growth(url: &str, token: Option<&str>, time: Duration, filter: &Filter<SiteRow>) -> Result<Vec<Grown>, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    let door = Door { url: url.to_owned(), token: token.map(str::to_owned) };
    runtime.block_on(watch(&door, time, filter))
}

async fn watch(door: &Door, time: Duration, filter: &Filter<SiteRow>) -> Result<Vec<Grown>, Error> {
    let (mut connection, _) = door.connect().await?;
    let sort = Some(Sort { column: "growth".to_owned(), ascending: false });
    let created = "!kind:frame".to_owned();
    let view = View { sort, filter: created, window: Window { start: 0, len: MAX_WINDOW }, ..View::of(Table::Sites) };
    let (mut watched, mut at_ms, start) = (Watched::default(), 0, Instant::now());
    let looks = QUARTERS as u32 * LOOKS;
    for look in 0..looks {
        // A look is a fresh snapshot: of a view that is replaced.
        connection.send(&Request::Subscribe { id: ID, view: view.clone() }).await?;
        loop {
            let text = connection.text().await?;
            let frame = decode(&text).map_err(|error| connection.unreadable(&error))?;
            at_ms = frame.at_ms;
            connection.send(&Request::Ack { seq: frame.seq }).await?;
            match frame.body {
                Body::Snapshot { id: ID, rows: Rows::Sites(rows), .. } => {
                    watched.look((look / LOOKS) as usize, rows);
                    break;
                }
                Body::Error { message, hint, .. } => return Err(LinkError::Refused { message, hint }.into()),
                _ => {}
            }
        }
        if look + 1 < looks {
            sleep_until(start + time * (look + 1) / looks).await;
        }
    }
    connection.close().await;
    Ok(watched.grown(filter, at_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: u32, held_bytes: u64) -> SiteRow {
        let site = Site { id: SiteId(id), file: format!("{id}.rs"), line: 1, ..Site::default() };
        SiteRow { site: site.into(), held_bytes, ..SiteRow::default() }
    }

    /// Sites by what they held at each look, ten to a quarter; 0 is left out, as the agent may.
    fn grown(sites: &[(u32, &dyn Fn(u64) -> u64)], filter: &str) -> Vec<(u32, u64)> {
        let mut watched = Watched::default();
        for look in 0..40 {
            let rows = sites.iter().map(|(id, held)| row(*id, held(look))).filter(|row| row.held_bytes > 0).collect();
            watched.look(look as usize / 10, rows);
        }
        watched.grown(&filter.parse().unwrap(), 0).iter().map(|site| (site.site().id.0, site.gained_bytes())).collect()
    }

    #[test]
    fn only_what_keeps_more_and_more_grows() {
        let sites: &[(u32, &dyn Fn(u64) -> u64)] = &[
            (1, &|look| look * 10),
            // As much, with large temporary objects on it.
            (2, &|look| look * 20 + 5_000 * (look % 3)),
            (3, &|_| 1_000),
            (4, &|look| 5_000 * (look % 3)),
            (5, &|look| if look > 15 { 1_000 } else { 0 }),
            (6, &|look| 1_000 - look * 10),
            // Grew, then went back.
            (7, &|look| if look < 35 { look * 10 } else { 1 }),
            // Known only late in the first quarter.
            (8, &|look| look.saturating_sub(5) * 30),
            (9, &|look| look.min(20) * 10),
        ];
        assert_eq!(grown(sites, ""), [(8, 750), (2, 600), (1, 300)]);
        assert_eq!(grown(sites, "site:1.rs"), [(1, 300)]);
        assert_eq!(grown(sites, "held>1m"), []);
    }

    #[test]
    fn nothing_is_said_before_the_end() {
        let mut watched = Watched::default();
        for quarter in 0..3 {
            watched.look(quarter, vec![row(1, 10 + quarter as u64)]);
        }
        assert_eq!(watched.grown(&Filter::default(), 0), []);
        watched.look(3, vec![row(1, 14)]);
        assert_eq!(watched.grown(&Filter::default(), 0)[0].floors, [10, 11, 12, 14]);
    }
}
