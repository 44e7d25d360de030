//! One look at the node for one viewer: what changed is copied on the node's thread, and made into frames elsewhere.

use std::time::{Duration, Instant};

use plasmon_protocol::column::Table;
use plasmon_protocol::error::Error;
use plasmon_protocol::stream::{Detail, Rows, Target};
use plasmon_protocol::window::{Payload, TABLES, count};

use crate::telemetry::detail::Details;
use crate::telemetry::subscription::{ViewState, WatchState};
use crate::telemetry::tables::{Tables, fetch};

/// More rows than this are made into frames off the thread that serves viewers.
const MANY_ROWS: usize = 5_000;

/// The version of every table, in the order of [`TABLES`].
pub(super) type Versions = [u64; TABLES.len()];

/// What one of a viewer's numbers stands for.
pub(super) enum Subject {
    /// A window over a table.
    View(ViewState),
    /// One thing in detail.
    Watch(Target, WatchState),
}

/// One of a viewer's numbers.
pub(super) struct Subscription {
    pub(super) subject: Subject,
    /// The versions last seen; none at first.
    pub(super) seen: Option<Versions>,
    /// Whether the viewer may lack something.
    pub(super) stale: bool,
    /// Not looked at again before this.
    pub(super) not_before: Instant,
    /// When it was last made into a frame or found to be the same.
    pub(super) looked: Instant,
    /// The last frame that it was sent in; the longest-waiting comes first.
    pub(super) last_sent: u64,
}

impl Subscription {
    pub(super) fn new(subject: Subject, now: Instant) -> Self {
        Self { subject, seen: None, stale: true, not_before: now, looked: now, last_sent: 0 }
    }

    /// What the node is asked for it.
    pub(super) fn wanted(&self, id: u32, take: bool) -> Wanted {
        let what = match &self.subject {
            Subject::View(view) => What::Table(view.query().view().table),
            Subject::Watch(target, _) => What::Target(target.clone()),
        };
        Wanted { id, what, seen: self.seen, stale: self.stale, take }
    }

    /// Whether time alone can change what it shows.
    pub(super) fn depends_on_time(&self) -> bool {
        match &self.subject {
            Subject::View(view) => view.query().depends_on_time(),
            Subject::Watch(..) => false,
        }
    }
}

/// What is asked of the node for one subscription.
pub(super) struct Wanted {
    id: u32,
    what: What,
    seen: Option<Versions>,
    stale: bool,
    /// Whether there is leave to send it.
    take: bool,
}

enum What {
    Table(Table),
    Target(Target),
}

impl What {
    fn changed(&self, seen: &Versions, now: &Versions) -> bool {
        match self {
            Self::Table(table) => seen.get(*table as usize) != now.get(*table as usize),
            // Details draw on every table but that of events.
            Self::Target(_) => TABLES.iter().any(|table| *table != Table::Events && seen[*table as usize] != now[*table as usize]),
        }
    }
}

/// What the node holds at one instant, of what was wanted.
pub(super) struct Answer {
    pub(super) now_ms: u64,
    pub(super) versions: Versions,
    /// Subscriptions whose tables changed since they were last seen.
    pub(super) changed: Vec<u32>,
    /// Subscriptions that there are rows or details for.
    pub(super) taken: Vec<u32>,
    rows: [Option<Rows>; TABLES.len()],
    details: Vec<(u32, Option<Detail>)>,
    /// What the copies took of the node's time.
    pub(super) took: Duration,
}

impl Answer {
    /// Looks at the tables; runs on the node's thread. Each table is copied at most once.
    pub(super) fn of(tables: &dyn Tables, wanted: Vec<Wanted>) -> Self {
        let began = Instant::now();
        let versions = TABLES.map(|table| tables.version(table));
        let mut answer = Self {
            now_ms: tables.now_ms(),
            versions,
            changed: Vec::new(),
            taken: Vec::new(),
            rows: [const { None }; TABLES.len()],
            details: Vec::new(),
            took: Duration::ZERO,
        };
        for Wanted { id, what, seen, stale, take } in wanted {
            let changed = seen.is_some_and(|seen| what.changed(&seen, &versions));
            if changed {
                answer.changed.push(id);
            }
            if !take || !(changed || stale) {
                continue;
            }
            answer.taken.push(id);
            match what {
                What::Table(table) => {
                    answer.rows[table as usize].get_or_insert_with(|| fetch(tables, table));
                }
                What::Target(target) => answer.details.push((id, tables.detail(target))),
            }
        }
        answer.took = began.elapsed();
        answer
    }

    /// Whether making frames of it should not hold up other viewers.
    pub(super) fn is_heavy(&self) -> bool {
        !self.details.is_empty() || self.rows.iter().flatten().map(count).sum::<usize>() > MANY_ROWS
    }
}

/// Subscriptions with the viewer's numbers for them.
pub(super) type Work = Vec<(u32, Subscription)>;

/// Brings as many of `work` as `credit` allows up to the answer, first things first. Those that it did not get to stay stale.
pub(super) fn bring_up(mut work: Work, mut answer: Answer, credit: usize, details: &Details) -> Result<(Work, Vec<(u32, Payload)>), Error> {
    let now = Instant::now();
    let mut payloads = Vec::new();
    for (id, subscription) in &mut work {
        if payloads.len() == credit {
            break;
        }
        let payload = match &mut subscription.subject {
            Subject::View(view) => match answer.rows.get(view.query().view().table as usize) {
                Some(Some(rows)) => {
                    let window = view.query().window(rows, answer.now_ms);
                    view.update(*id, &window)?
                }
                _ => continue,
            },
            Subject::Watch(_, watch) => {
                let Some((_, detail)) = answer.details.iter_mut().find(|(other, _)| other == id) else { continue };
                if let Some(detail) = detail {
                    details.complete(detail, now);
                }
                watch.update(*id, detail.as_ref())?
            }
        };
        subscription.stale = false;
        subscription.looked = now;
        payloads.extend(payload.map(|payload| (*id, payload)));
    }
    Ok((work, payloads))
}
