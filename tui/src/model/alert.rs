//! What asks for attention in external storage and the store, and when they are full if it goes on like this.

use plasmon_protocol::record::StoreRow;
use plasmon_protocol::size::cells;

use super::History;

/// The time that growth is measured over, milliseconds.
const SPAN_MS: u64 = 60_000;
/// What did not grow for so long does not grow any more, milliseconds.
const LATELY_MS: u64 = 15_000;
/// A forecast beyond a day is none.
const FAR_MS: u64 = 86_400_000;
/// From here on the store is nearly full, percent of its capacity.
const NEARLY: u64 = 95;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// It costs speed, or soon will cost more.
    Warning,
    /// Something does not work.
    Bad,
}

/// The worst that is wrong, if anything is.
#[must_use]
pub fn alert(row: &StoreRow) -> Option<(Level, String)> {
    let spill = &row.spill;
    if spill.failing {
        return Some((Level::Bad, format!("spilling fails: {}", trouble(&spill.state))));
    }
    match row.deadlocks {
        0 => {}
        1 => return Some((Level::Bad, "deadlock: some wait for each other".to_owned())),
        more => return Some((Level::Bad, format!("{more} deadlocks: some wait for each other"))),
    }
    let (ledger, capacity) = (&row.ledger, row.ledger.capacity_bytes);
    let held = ledger.used_bytes().saturating_sub(ledger.secondary_bytes).saturating_add(ledger.creating_bytes);
    if capacity > 0 && u128::from(held) * 100 >= u128::from(capacity) * u128::from(NEARLY) {
        let waits = match row.creates_queued {
            0 => String::new(),
            1 => ", 1 waits for room".to_owned(),
            more => format!(", {more} wait for room"),
        };
        return Some((Level::Bad, format!("the store is nearly full{waits}")));
    }
    thrash(row).map(|text| (Level::Warning, text))
}

/// What is wrong with external storage. `write /a/long/path: No space left on device` begins with its cause, for the path may be cut.
#[must_use]
pub fn trouble(state: &str) -> String {
    match state.split_once(": ") {
        Some((what, cause)) if what.contains('/') => {
            let cause = cause.split_once(" (os error").map_or(cause, |(words, _)| words);
            format!("{cause}: {what}")
        }
        _ => state.to_owned(),
    }
}

/// Says that the same objects come back again and again, if they do.
fn thrash(row: &StoreRow) -> Option<String> {
    match row.spill.thrashing_objects {
        0 => None,
        1 => Some("thrash: 1 object keeps coming back".to_owned()),
        more => Some(format!("thrash: {more} objects keep coming back")),
    }
}

/// What is full first, and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Forecast {
    /// What, and what becomes of it: `the disk is full`.
    pub what: &'static str,
    /// In how long, milliseconds.
    pub after_ms: u64,
    /// How fast it grows, bytes a second.
    pub rate: u64,
}

/// When external storage is full, or the store where nothing spills; `None` when neither grows, or not within a day.
#[must_use]
pub fn forecast(history: &History, row: &StoreRow, now_ms: u64) -> Option<Forecast> {
    let spill = &row.spill;
    let limit = spill.limit_bytes.map(|limit| ("the spill limit is reached", limit.saturating_sub(spill.file_bytes)));
    let disk = spill.disk_free_bytes.map(|free| ("the disk is full", free));
    let spills = !spill.failing && !matches!(&*spill.state, "" | "off");
    let store = (!spills).then_some(("the store is full", row.ledger.free_bytes));
    let rise = |figure| match history.rise(now_ms, LATELY_MS, figure) {
        None | Some(0) => 0,
        Some(_) => history.rise(now_ms, SPAN_MS, figure).unwrap_or(0),
    };
    let (files, used) = (rise(|sample| sample.file_bytes), rise(|sample| sample.used_bytes));
    let growing = [limit.map(|room| (room, files)), disk.map(|room| (room, files)), store.map(|room| (room, used))];
    growing
        .into_iter()
        .flatten()
        .filter_map(|((what, room), rate)| {
            let after = u128::from(room) * 1000 / u128::from((rate > 0).then_some(rate)?);
            let after_ms = u64::try_from(after).ok().filter(|after| *after <= FAR_MS)?;
            Some(Forecast { what, after_ms, rate })
        })
        .min_by_key(|forecast| forecast.after_ms)
}

impl Forecast {
    /// Its rate: `4.10M/s`.
    #[must_use]
    pub fn pace(&self) -> String {
        format!("{}/s", cells(self.rate).trim_start())
    }
}

#[cfg(test)]
mod tests {
    use plasmon_protocol::record::{Ledger, SpillRow};

    use super::*;

    fn row(used: u64, files: u64) -> StoreRow {
        let ledger = Ledger { capacity_bytes: 1000, referenced_bytes: used, free_bytes: 1000 - used, ..Ledger::default() };
        let spill = SpillRow { state: "on".into(), places: vec!["/x".into()], file_bytes: files, ..SpillRow::default() };
        StoreRow { ledger, spill, ..StoreRow::default() }
    }

    fn grown(last: &StoreRow, from: &StoreRow) -> History {
        let mut history = History::default();
        history.push(100_000, from);
        history.push(110_000, last);
        history
    }

    #[test]
    fn a_deadlock_is_told_until_it_is_over() {
        let some = |deadlocks| alert(&StoreRow { deadlocks, ..row(100, 0) });
        assert_eq!(some(0), None);
        assert_eq!(some(1), Some((Level::Bad, "deadlock: some wait for each other".to_owned())));
        assert_eq!(some(2), Some((Level::Bad, "2 deadlocks: some wait for each other".to_owned())));
    }

    #[test]
    fn what_is_full_first_is_told() {
        let now = row(500, 300);
        let history = grown(&now, &row(400, 200));
        assert_eq!(forecast(&history, &now, 110_000), None, "nobody can tell how much fits, and the store spills");
        let mut limited = now.clone();
        limited.spill.limit_bytes = Some(400);
        limited.spill.disk_free_bytes = Some(5_000);
        let first = forecast(&history, &limited, 110_000).unwrap();
        assert_eq!((first.what, first.after_ms, first.rate), ("the spill limit is reached", 10_000, 10));
        limited.spill.disk_free_bytes = Some(50);
        assert_eq!(forecast(&history, &limited, 110_000).unwrap().what, "the disk is full");
        limited.spill = SpillRow { state: "off".into(), ..SpillRow::default() };
        let first = forecast(&history, &limited, 110_000).unwrap();
        assert_eq!((first.what, first.after_ms), ("the store is full", 50_000));
    }

    #[test]
    fn nothing_is_foretold_of_what_does_not_grow_or_was_just_seen() {
        let mut now = row(500, 300);
        now.spill.limit_bytes = Some(400);
        assert_eq!(forecast(&grown(&now, &row(500, 300)), &now, 110_000), None);
        assert_eq!(forecast(&grown(&now, &row(500, 350)), &now, 110_000), None, "it shrinks");
        let mut history = History::default();
        history.push(110_000, &now);
        assert_eq!(forecast(&history, &now, 110_000), None);
        let mut history = grown(&now, &row(500, 200));
        history.push(130_000, &now);
        assert_eq!(forecast(&history, &now, 124_000).unwrap().what, "the spill limit is reached");
        assert_eq!(forecast(&history, &now, 130_000), None, "it grew until a while ago");
    }

    #[test]
    fn the_worst_is_told() {
        let mut row = row(100, 0);
        assert_eq!(alert(&row), None);
        row.spill.thrashing_objects = 3;
        assert_eq!(alert(&row).unwrap().0, Level::Warning);
        row.ledger.pinned_bytes = 850;
        row.creates_queued = 2;
        assert_eq!(alert(&row), Some((Level::Bad, "the store is nearly full, 2 wait for room".to_owned())));
        (row.spill.failing, row.spill.state) = (true, "write /x/16: No space left on device (os error 28)".into());
        assert_eq!(alert(&row), Some((Level::Bad, "spilling fails: No space left on device: write /x/16".to_owned())));
        assert_eq!(trouble("8 MiB more would make the disk 95.4 % full"), "8 MiB more would make the disk 95.4 % full");
        assert_eq!(alert(&StoreRow::default()), None, "a store that is not known yet");
    }
}
