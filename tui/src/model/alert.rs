//! What asks for attention in external storage and the store, and when they are full if it goes on like this.

use plasmon_protocol::record::StoreRow;
use plasmon_protocol::size::cells;

use super::History;
use super::leaks::{Leaks, Suspect};

/// The time that growth is measured over, milliseconds.
const SPAN_MS: u64 = 60_000;
/// What did not grow for so long does not grow any more, milliseconds.
const LATELY_MS: u64 = 15_000;
/// A forecast beyond a day is none.
const FAR_MS: u64 = 86_400_000;
/// Sites that are told of at once.
const LEAKS: usize = 3;
/// From here on the store is nearly full, percent of its capacity.
const NEARLY: u64 = 95;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// It is worth knowing.
    Notice,
    /// It costs speed, or soon will cost more.
    Warning,
    /// Something does not work.
    Bad,
}

/// One thing that asks for attention.
pub type Alert = (Level, String);

/// The worst that is wrong with the store and external storage, if anything is.
#[must_use]
pub fn alert(row: &StoreRow) -> Option<Alert> {
    storage(row).into_iter().next()
}

/// All that is wrong with the store and external storage, the worst first.
fn storage(row: &StoreRow) -> Vec<Alert> {
    let mut alerts = Vec::new();
    let spill = &row.spill;
    if spill.failing {
        alerts.push((Level::Bad, format!("spilling fails: {}", trouble(&spill.state))));
    }
    match row.deadlocks {
        0 => {}
        1 => alerts.push((Level::Bad, "deadlock: some wait for each other · w says why".to_owned())),
        more => alerts.push((Level::Bad, format!("{more} deadlocks: some wait for each other · w says why"))),
    }
    if nearly_full(row) {
        let waits = match row.creates_queued {
            0 => String::new(),
            1 => ", 1 waits for room".to_owned(),
            more => format!(", {more} wait for room"),
        };
        alerts.push((Level::Bad, format!("the store is nearly full{waits}")));
    }
    alerts.extend(thrash(row).map(|text| (Level::Warning, text)));
    alerts
}

fn nearly_full(row: &StoreRow) -> bool {
    let (ledger, capacity) = (&row.ledger, row.ledger.capacity_bytes);
    let held = ledger.used_bytes().saturating_sub(ledger.secondary_bytes).saturating_add(ledger.creating_bytes);
    capacity > 0 && u128::from(held) * 100 >= u128::from(capacity) * u128::from(NEARLY)
}

/// What is wrong with one node's storage and memory.
#[must_use]
pub fn alarms(row: &StoreRow) -> Vec<Alert> {
    let mut alerts = storage(row);
    let pressure = &row.pressure;
    match pressure.dying {
        0 if pressure.is_over() => {
            let what = match (pressure.dry_run, &pressure.next_victim) {
                (true, _) => "a dry run ends no worker",
                (false, None) => "no worker is there to be ended",
                (false, Some(_)) => "workers are ended",
            };
            alerts.push((Level::Bad, format!("memory has run out: {what}")));
        }
        0 => {}
        1 => alerts.push((Level::Bad, "memory has run out: 1 worker is being ended".to_owned())),
        more => alerts.push((Level::Bad, format!("memory has run out: {more} workers are being ended"))),
    }
    alerts
}

/// All that asks for attention, the worst first: storage and memory, of each node its own, sites that keep more and more, what waits.
#[must_use]
pub fn alerts(row: &StoreRow, leaks: &Leaks, alarms: Vec<Alert>) -> Vec<Alert> {
    let mut alerts = alarms;
    alerts.extend(leaks.suspects().iter().take(LEAKS).map(|suspect| {
        let words = leak(suspect, row);
        (Level::Warning, format!("leak? {} {words}", suspect.row.site.short()))
    }));
    let mut waits = Vec::new();
    if row.ledger.spilling_bytes > 0 {
        waits.push(format!("spilling {}", cells(row.ledger.spilling_bytes).trim_start()));
    }
    match row.node.tasks_pending {
        0 => {}
        1 => waits.push("1 task waits".to_owned()),
        more => waits.push(format!("{more} tasks wait")),
    }
    match row.creates_queued {
        0 => {}
        _ if nearly_full(row) => {}
        1 => waits.push("1 waits for room".to_owned()),
        more => waits.push(format!("{more} wait for room")),
    }
    if !waits.is_empty() {
        alerts.push((Level::Notice, format!("{} · w says why", waits.join(", "))));
    }
    alerts.sort_by_key(|(level, _)| std::cmp::Reverse(*level));
    alerts
}

/// How a site grows, and what that alone fills when if it goes on: `+2.10M/s fills the store in 4 min`.
#[must_use]
pub fn leak(suspect: &Suspect, row: &StoreRow) -> String {
    let rate = format!("+{}/s", cells(suspect.rate).trim_start());
    let spill = &row.spill;
    let spills = !spill.failing && !matches!(&*spill.state, "" | "off");
    let store = row.ledger.free_bytes.saturating_add(row.ledger.secondary_bytes);
    let limit = spill.limit_bytes.map(|limit| ("the spill limit", limit.saturating_sub(spill.file_bytes)));
    let disk = spill.disk_free_bytes.map(|free| ("the disk", free));
    let (what, room) = match [limit, disk].into_iter().flatten().min_by_key(|(_, room)| *room) {
        Some((what, room)) if spills => (what, room.saturating_add(store)),
        // Nobody knows where object storage ends.
        None if spills => return rate,
        _ => ("the store", store),
    };
    match room.checked_div(suspect.rate) {
        Some(seconds) if seconds < FAR_MS / 1000 && suspect.rate > 0 => format!("{rate} fills {what} in {}", length(seconds)),
        _ => rate,
    }
}

/// So many seconds, roughly.
fn length(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
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
        assert_eq!(some(1), Some((Level::Bad, "deadlock: some wait for each other · w says why".to_owned())));
        assert_eq!(some(2), Some((Level::Bad, "2 deadlocks: some wait for each other · w says why".to_owned())));
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
    fn a_leak_is_told_with_its_rate_and_the_time_to_full() {
        let site = plasmon_protocol::record::Site { file: "a.rs".into(), line: 3, ..Default::default() };
        let row_of = |held| plasmon_protocol::record::SiteRow { site: site.clone().into(), held_bytes: held, ..Default::default() };
        let mut leaks = Leaks::default();
        (0..80).for_each(|second| leaks.look(15_000_000 + second * 1000, &[row_of(100 + second * 2)], true));
        let mut store = row(400, 0);
        store.spill = SpillRow::default();
        store.node.tasks_pending = 4;
        let told = alerts(&store, &leaks, alarms(&store));
        assert_eq!(told[0], (Level::Warning, "leak? a.rs:3 +2B/s fills the store in 5 min".to_owned()));
        assert_eq!(told[1], (Level::Notice, "4 tasks wait · w says why".to_owned()));
        store.spill = SpillRow { state: "on".into(), disk_free_bytes: Some(20_000), ..SpillRow::default() };
        assert!(
            alerts(&store, &leaks, alarms(&store))[0].1.ends_with("fills the disk in 2 h"),
            "{:?}",
            alerts(&store, &leaks, alarms(&store))
        );
        store.deadlocks = 1;
        assert_eq!(alerts(&store, &leaks, alarms(&store))[0].0, Level::Bad);
        assert_eq!(alerts(&StoreRow::default(), &Leaks::default(), Vec::new()), []);
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
