//! Suspects: creation sites whose objects take up more and more, found while one watches.
//!
//! Time is cut into quarters of [`QUARTER_MS`]. The *floor* of a quarter is the least that a site's objects took up within it: what comes and
//! goes does not count. A site is suspected when its floors rose in each of the last [`QUARTERS`] whole quarters, as `--fail-on growth`
//! decides it, but for as long as the dashboard is open.

use std::collections::{HashMap, HashSet, VecDeque};

use plasmon_protocol::id::SiteId;
use plasmon_protocol::record::SiteRow;

/// The length of a quarter, milliseconds.
pub const QUARTER_MS: u64 = 15_000;
/// Whole quarters that must rise.
pub const QUARTERS: usize = 4;
/// Looks are no nearer to each other, milliseconds.
const STEP_MS: u64 = 500;
/// After so long without a look nobody knows what was in between, milliseconds.
const GAP_MS: u64 = QUARTER_MS;

/// A site that keeps more and more.
#[derive(Clone, PartialEq, Debug)]
pub struct Suspect {
    /// The site as it was last seen.
    pub row: SiteRow,
    /// How fast its floor rises, bytes a second.
    pub rate: u64,
    /// For how long it has been rising at least, milliseconds.
    pub for_ms: u64,
}

#[derive(Clone, Debug, Default)]
struct Track {
    /// Floors of whole quarters, oldest first; `None` where nobody knows.
    floors: VecDeque<Option<u64>>,
    /// The floor of the quarter that has begun, so far.
    floor: Option<u64>,
    row: SiteRow,
}

/// What was seen of the sites that grow.
#[derive(Clone, Debug, Default)]
pub struct Leaks {
    sites: HashMap<SiteId, Track>,
    /// The last look, milliseconds since the Unix epoch by the agent's clock; 0 before the first.
    seen_ms: u64,
    quarter: u64,
}

impl Leaks {
    /// Takes a look at the sites that grew most; `all` when there are no others.
    pub fn look(&mut self, at_ms: u64, rows: &[SiteRow], all: bool) {
        if self.seen_ms > 0 && at_ms >= self.seen_ms && at_ms - self.seen_ms < STEP_MS {
            return;
        }
        if at_ms < self.seen_ms || at_ms.saturating_sub(self.seen_ms) > GAP_MS {
            *self = Self::default();
        }
        let quarter = at_ms / QUARTER_MS;
        if self.seen_ms > 0 && quarter > self.quarter {
            self.turn();
        }
        (self.seen_ms, self.quarter) = (at_ms, quarter);
        let mut seen = HashSet::with_capacity(rows.len());
        for row in rows {
            seen.insert(row.site.id);
            let track = self.sites.entry(row.site.id).or_default();
            track.floor = Some(track.floor.map_or(row.held_bytes, |floor| floor.min(row.held_bytes)));
            track.row.clone_from(row);
        }
        // A site that is not told holds nothing, or is not among those that grew most.
        self.sites.retain(|id, track| {
            if seen.contains(id) {
                return true;
            }
            track.floor = Some(0);
            all && track.floors.iter().flatten().any(|floor| *floor > 0)
        });
    }

    /// A quarter is over.
    fn turn(&mut self) {
        for track in self.sites.values_mut() {
            track.floors.push_back(track.floor.take());
            while track.floors.len() > QUARTERS {
                track.floors.pop_front();
            }
        }
    }

    /// The sites that keep more and more, the fastest first.
    #[must_use]
    pub fn suspects(&self) -> Vec<Suspect> {
        let mut suspects: Vec<Suspect> = self.sites.values().filter_map(suspect).collect();
        suspects.sort_by_key(|suspect| (std::cmp::Reverse(suspect.rate), suspect.row.site.id));
        suspects
    }

    /// How one site grows, if it is suspected.
    #[must_use]
    pub fn of(&self, id: SiteId) -> Option<Suspect> {
        self.sites.get(&id).and_then(suspect)
    }
}

fn suspect(track: &Track) -> Option<Suspect> {
    let floors: Vec<u64> = track.floors.iter().copied().collect::<Option<_>>()?;
    let rises = floors.len() == QUARTERS && floors.is_sorted_by(|one, next| one < next);
    // What has gone back since is none any more.
    let stays = track.floor.is_none_or(|floor| floors.last().is_some_and(|last| floor >= *last));
    let gained = floors.last()?.saturating_sub(*floors.first()?);
    let span_ms = (QUARTERS as u64 - 1) * QUARTER_MS;
    (rises && stays).then(|| Suspect { row: track.row.clone(), rate: gained * 1000 / span_ms, for_ms: QUARTERS as u64 * QUARTER_MS })
}

#[cfg(test)]
mod tests {
    use plasmon_protocol::record::Site;

    use super::*;

    fn row(id: u32, held_bytes: u64) -> SiteRow {
        SiteRow { site: Site { id: SiteId(id), ..Site::default() }.into(), held_bytes, ..SiteRow::default() }
    }

    /// Looks once a second for so long.
    fn watched(seconds: u64, sites: &[(u32, &dyn Fn(u64) -> u64)]) -> Leaks {
        let mut leaks = Leaks::default();
        for second in 0..seconds {
            let rows: Vec<SiteRow> = sites.iter().map(|(id, held)| row(*id, held(second))).filter(|row| row.held_bytes > 0).collect();
            leaks.look(QUARTER_MS * 1000 + second * 1000, &rows, true);
        }
        leaks
    }

    fn ids(leaks: &Leaks) -> Vec<u32> {
        leaks.suspects().iter().map(|suspect| suspect.row.site.id.0).collect()
    }

    #[test]
    fn only_what_keeps_more_and_more_is_suspected() {
        let sites: &[(u32, &dyn Fn(u64) -> u64)] = &[
            (1, &|second| (second + 1) * 100),
            (2, &|second| second * 50 + 9_000 * (second % 3)),
            (3, &|_| 1_000),
            (4, &|second| 5_000 * (second % 3)),
            (5, &|second| if second > 20 { 1_000 } else { 0 }),
            (6, &|second| if second < 63 { second * 10 } else { 1 }),
        ];
        let leaks = watched(65, sites);
        assert_eq!(ids(&leaks), [1, 2]);
        let first = leaks.of(SiteId(1)).unwrap();
        assert_eq!((first.rate, first.for_ms), (100, 60_000));
        assert!(ids(&watched(58, sites)).is_empty(), "four whole quarters are needed");
    }

    #[test]
    fn what_nobody_watched_is_forgotten() {
        let sites: &[(u32, &dyn Fn(u64) -> u64)] = &[(1, &|second| second * 100)];
        let mut leaks = watched(65, sites);
        leaks.look(QUARTER_MS * 1000 + 500_000, &[row(1, 1 << 30)], true);
        assert!(ids(&leaks).is_empty(), "after a gap");
        let mut leaks = watched(65, sites);
        leaks.look(QUARTER_MS * 1000, &[row(1, 1)], true);
        assert!(ids(&leaks).is_empty(), "a recording that went back");
        let mut leaks = watched(65, sites);
        leaks.look(QUARTER_MS * 1000 + 66_000, &[], false);
        assert!(ids(&leaks).is_empty(), "it does not grow any more");
    }
}
