//! What viewers look at, made once for all of them: the node is looked at once a tick while it has news, a table that changed is copied
//! once, and a window that several viewers watch is written once. Tables that can be long are never copied: what changes in them is taken
//! over into a replica, which is there only while somebody looks at it. Only who asks for an order by what changes all the time gets a copy
//! of tasks.

use std::sync::Arc;
use std::time::Duration;

use plasmon_protocol::column::Table;
use plasmon_protocol::error::Error;
use plasmon_protocol::filter::Filter;
use plasmon_protocol::record::{ReferenceRow, StoreRow};
use plasmon_protocol::stream::{Detail, MAX_FRAME, PostMortem, Rows, Target};
use plasmon_protocol::window::live::{Changed, Live, live};
use plasmon_protocol::window::{Prints, Query, Rendered, TABLES, Window, count};
use tokio::sync::{Mutex, OwnedMutexGuard, watch};
use tokio::time::{Instant, sleep};

use crate::node::handle::NodeHandle;
use crate::telemetry::pace::Pace;
use crate::telemetry::tables::{Tables, fetch};

/// More rows than this are worked on off the thread that serves viewers.
const MANY_ROWS: usize = 2_000;
/// Rows that are taken over from the node at a time: about a millisecond of its time.
const SLICE: usize = 8_192;
/// After each of many slices the node has this many times as long for its work.
const SLICE_SHARE: u32 = 2;
/// What nobody has looked at for so long is dropped.
const KEEP: Duration = Duration::from_secs(5);
/// Windows of one table that are kept as they were written.
const MAX_RENDERED: usize = 64;

/// The version of every table, in the order of [`TABLES`].
pub(super) type Versions = [u64; TABLES.len()];

/// The node as it was looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// What is told of it is not older than this.
    pub(super) at: Instant,
    pub(super) now_ms: u64,
    pub(super) versions: Versions,
    /// How often the node had told news by then.
    pub(super) told: u64,
}

/// A window as it was written, and the instant that it is of.
pub(super) struct Shown {
    pub(super) rendered: Arc<Rendered>,
    /// Milliseconds since the Unix epoch.
    pub(super) at_ms: u64,
    /// What it took to make, waiting not included.
    pub(super) busy: Duration,
}

/// See the module.
pub(super) struct Desk {
    node: NodeHandle,
    pub(super) pace: Pace,
    prints: Prints,
    look: Mutex<Option<Look>>,
    shelves: [Arc<Mutex<Shelf>>; TABLES.len() + 1],
}

/// Which shelf: the table's, or that with a copy of the tasks.
#[derive(Clone, Copy)]
struct Place {
    table: Table,
    whole: bool,
}

impl Place {
    fn of(query: &Query) -> Self {
        Self { table: query.view().table, whole: query.is_volatile() }
    }

    /// Only tasks have what changes all the time, so one shelf more does for all.
    fn index(self) -> usize {
        if self.whole { TABLES.len() } else { self.table as usize }
    }
}

/// One table, as far as somebody looks at it.
#[derive(Default)]
struct Shelf {
    source: Source,
    version: u64,
    now_ms: u64,
    /// Windows of this version, with their queries' views and the times that those depend on.
    rendered: Vec<(plasmon_protocol::stream::View, u64, Arc<Rendered>)>,
    /// Somebody has looked since it was last asked whether anybody does.
    wanted: bool,
    /// Somebody asks that from time to time.
    tended: bool,
}

#[derive(Default)]
enum Source {
    #[default]
    None,
    Copy(Rows),
    Live(Box<dyn Live>),
    /// What was taken from the node never came to the replica.
    Broken,
}

/// What the node gave.
enum Taken {
    Whole(Rows, u64),
    Changed(Changed),
}

/// All references of one instant, or those of them that were asked for, and what belongs to them.
pub(super) struct Whole {
    pub(super) at_ms: u64,
    pub(super) store: StoreRow,
    pub(super) dead: Vec<PostMortem>,
    pub(super) rows: Vec<ReferenceRow>,
}

type Guard = OwnedMutexGuard<Shelf>;

/// Works with a shelf where it holds up nobody.
async fn apart<T: Send + 'static>(mut shelf: Guard, work: impl FnOnce(&mut Shelf) -> T + Send + 'static) -> Option<(Guard, T)> {
    let done = tokio::task::spawn_blocking(move || {
        let done = work(&mut shelf);
        (shelf, done)
    });
    done.await.ok()
}

/// The dead with what they held.
fn dead(tables: &dyn Tables) -> Vec<PostMortem> {
    let entries = tables.post_mortem().into_iter().filter_map(|row| match tables.detail(Target::Process(row.process)) {
        Some(Detail::PostMortem(entry)) => Some(entry),
        _ => None,
    });
    entries.collect()
}

impl Desk {
    pub(super) fn new(node: NodeHandle) -> Arc<Self> {
        let shelves = std::array::from_fn(|_| Arc::default());
        Arc::new(Self { node, pace: Pace::default(), prints: Prints::default(), look: Mutex::default(), shelves })
    }

    /// The node's thread answers.
    pub(super) async fn ask<T: Send + 'static>(&self, question: impl FnOnce(&mut dyn Tables) -> T + Send + 'static) -> Option<T> {
        self.node.ask(question).await
    }

    /// How often the node has told that something is new.
    pub(super) fn hear(&self) -> watch::Receiver<u64> {
        self.node.news().hear()
    }

    /// A look at the node that is not older than `since`; `None` when the node has ended.
    pub(super) async fn look(&self, since: Instant) -> Option<Look> {
        let mut last = self.look.lock().await;
        if let Some(look) = last.filter(|look| look.at >= since) {
            return Some(look);
        }
        let at = Instant::now();
        let news = Arc::clone(self.node.news());
        let asked = self.ask(move |tables| (tables.now_ms(), TABLES.map(|table| tables.version(table)), news.look(tables)));
        let (now_ms, versions, told) = asked.await?;
        *last = Some(Look { at, now_ms, versions, told });
        *last
    }

    /// What `query` shows, not older than the look; `None` when the node has ended.
    pub(super) async fn show(self: &Arc<Self>, query: &Query, look: &Look) -> Option<Result<Shown, Error>> {
        let place = Place::of(query);
        let shelf = self.shelf(place).await;
        let began = Instant::now();
        let mut shelf = if shelf.version == look.versions[place.table as usize] && !shelf.source.is_missing() {
            shelf
        } else {
            self.bring_up(shelf, place).await?
        };
        shelf.now_ms = shelf.now_ms.max(look.now_ms);
        let time = if query.depends_on_time() { shelf.now_ms } else { 0 };
        let known = shelf.rendered.iter().find(|(view, at, _)| view == query.view() && *at == time);
        let at_ms = shelf.now_ms;
        if let Some((.., rendered)) = known {
            return Some(Ok(Shown { rendered: Arc::clone(rendered), at_ms, busy: Duration::ZERO }));
        }
        let made = if shelf.is_heavy(query) {
            let query = Query::prepare(query.view().clone());
            let (same, made) = apart(shelf, move |shelf| query.and_then(|query| shelf.window(&query))).await?;
            shelf = same;
            made
        } else {
            shelf.window(query)
        };
        let mut window = match made {
            Ok(window) => window,
            Err(error) => return Some(Err(error)),
        };
        let busy = began.elapsed();
        if let (Source::Live(_), Rows::Tasks(_)) = (&shelf.source, &window.rows) {
            window.rows = self.completed(window.rows).await?;
        }
        let began = Instant::now();
        Some(Rendered::of(&window, query, MAX_FRAME, &self.prints).map(|rendered| {
            let rendered = Arc::new(rendered);
            if shelf.rendered.len() >= MAX_RENDERED {
                shelf.rendered.clear();
            }
            shelf.rendered.push((query.view().clone(), time, Arc::clone(&rendered)));
            Shown { rendered, at_ms, busy: busy + began.elapsed() }
        }))
    }

    /// Rows of a replica with what no replica keeps.
    async fn completed(&self, mut rows: Rows) -> Option<Rows> {
        let asked = self.ask(|tables| {
            let began = Instant::now();
            tables.complete(&mut rows);
            (rows, began.elapsed())
        });
        let (rows, took) = asked.await?;
        self.pace.took(took);
        Some(rows)
    }

    /// All references that match as they are now; `None` when the node has ended.
    pub(super) async fn whole(self: &Arc<Self>, filter: Filter<ReferenceRow>) -> Option<Whole> {
        let place = Place { table: Table::References, whole: false };
        let mut shelf = self.shelf(place).await;
        loop {
            let begin = !matches!(shelf.source, Source::Live(_));
            let end = |tables: &dyn Tables| (tables.now_ms(), tables.store(), dead(tables));
            let taken = self.take(&mut shelf, place, begin, move |tables, complete| complete.then(|| end(tables))).await?;
            let (taken, last) = taken;
            if let Some((at_ms, store, dead)) = last {
                let chosen = apart(shelf, move |shelf| {
                    let whole = match taken {
                        Taken::Whole(rows, _) => Source::Copy(rows),
                        Taken::Changed(changed) => {
                            shelf.apply(changed);
                            return shelf.source.references(&filter, at_ms);
                        }
                    };
                    whole.references(&filter, at_ms)
                });
                let (_, rows) = chosen.await?;
                return Some(Whole { at_ms, store, dead, rows });
            }
            if let Taken::Changed(changed) = taken {
                (shelf, ()) = apart(shelf, |shelf| shelf.apply(changed)).await?;
            }
        }
    }

    async fn shelf(self: &Arc<Self>, place: Place) -> Guard {
        let mut shelf = Arc::clone(&self.shelves[place.index()]).lock_owned().await;
        shelf.wanted = true;
        if !std::mem::replace(&mut shelf.tended, true) {
            tokio::spawn(Arc::clone(self).tend(place));
        }
        shelf
    }

    /// Drops what nobody looks at any more.
    async fn tend(self: Arc<Self>, place: Place) {
        loop {
            sleep(KEEP).await;
            let mut shelf = Arc::clone(&self.shelves[place.index()]).lock_owned().await;
            if !std::mem::take(&mut shelf.wanted) {
                if matches!(shelf.source, Source::Live(_) | Source::Broken) && !place.whole {
                    // A node that has ended tells nobody anything anyway.
                    let _ = self.ask(move |tables| tables.unfollow(place.table)).await;
                }
                *shelf = Shelf::default();
                return;
            }
            if let Source::Live(live) = &mut shelf.source {
                live.drop_unused();
            }
        }
    }

    /// Takes over what is new in a table.
    async fn bring_up(&self, mut shelf: Guard, place: Place) -> Option<Guard> {
        loop {
            let begin = !matches!(shelf.source, Source::Live(_));
            let (taken, version) = self.take(&mut shelf, place, begin, move |tables, _| tables.version(place.table)).await?;
            match taken {
                Taken::Whole(rows, now_ms) => {
                    (shelf.source, shelf.now_ms) = (Source::Copy(rows), now_ms);
                    shelf.rendered.clear();
                    shelf.version = version;
                    return Some(shelf);
                }
                Taken::Changed(changed) => {
                    let complete = changed.complete;
                    if changed.places.len() + changed.gone.len() > MANY_ROWS {
                        (shelf, ()) = apart(shelf, |shelf| shelf.apply(changed)).await?;
                    } else {
                        shelf.apply(changed);
                    }
                    if complete {
                        shelf.version = version;
                        return Some(shelf);
                    }
                }
            }
        }
    }

    /// Asks the node for a table, or for what is new in it; and for more at the same instant.
    async fn take<T: Send + 'static>(
        &self,
        shelf: &mut Shelf,
        place: Place,
        begin: bool,
        more: impl FnOnce(&dyn Tables, bool) -> T + Send + 'static,
    ) -> Option<(Taken, T)> {
        // Whoever is cut off here leaves a replica behind that lacks what he took.
        let source = std::mem::replace(&mut shelf.source, Source::Broken);
        let asked = self.ask(move |tables| {
            let began = Instant::now();
            let followed = if place.whole { None } else { tables.follow(place.table, begin, SLICE) };
            let taken = match followed {
                Some(changed) => Taken::Changed(changed),
                None => Taken::Whole(fetch(tables, place.table), tables.now_ms()),
            };
            let complete = match &taken {
                Taken::Changed(changed) => changed.complete,
                Taken::Whole(..) => true,
            };
            (taken, complete, more(tables, complete), began.elapsed())
        });
        let (taken, complete, more, took) = asked.await?;
        if complete {
            self.pace.took(took);
        } else {
            sleep(took * SLICE_SHARE).await;
        }
        // Nothing is awaited between this and what takes the slice in: a replica is there with all that the node has told, or not at all.
        shelf.source = match (&taken, begin) {
            (Taken::Whole(..), _) => Source::None,
            (Taken::Changed(_), true) => live(place.table).map_or(Source::None, Source::Live),
            (Taken::Changed(_), false) => source,
        };
        Some((taken, more))
    }
}

impl Shelf {
    fn apply(&mut self, changed: Changed) {
        self.now_ms = self.now_ms.max(changed.now_ms);
        if let Source::Live(live) = &mut self.source {
            live.apply(&changed);
        }
        self.rendered.clear();
    }

    /// Whether a window should not be made where viewers are served.
    fn is_heavy(&self, query: &Query) -> bool {
        match &self.source {
            Source::Copy(rows) => count(rows) > MANY_ROWS,
            Source::Live(live) => live.len() > MANY_ROWS && !live.has_order(query.view()),
            Source::None | Source::Broken => false,
        }
    }

    fn window(&mut self, query: &Query) -> Result<Window, Error> {
        match &mut self.source {
            Source::Copy(rows) => Ok(query.window(rows, self.now_ms)),
            Source::Live(live) => live.window(query.view(), self.now_ms),
            Source::None | Source::Broken => Err(Error::invalid("table", format!("{:?}", query.view().table), "it is not there")),
        }
    }
}

impl Source {
    fn is_missing(&self) -> bool {
        matches!(self, Self::None | Self::Broken)
    }

    /// The references that match.
    fn references(&self, filter: &Filter<ReferenceRow>, now_ms: u64) -> Vec<ReferenceRow> {
        let matching = |rows: &Rows| -> Vec<ReferenceRow> {
            let Rows::References(rows) = rows else { return Vec::new() };
            rows.iter().filter(|row| filter.matches(row, now_ms)).cloned().collect()
        };
        let live = match self {
            Self::Live(live) => live,
            Self::Copy(rows) => return matching(rows),
            Self::None | Self::Broken => return Vec::new(),
        };
        let (mut from, mut all) = (Some(0), Vec::new());
        while let Some(next) = from {
            let (rows, more) = live.rows(next, SLICE);
            all.extend(matching(&rows));
            from = more;
        }
        all
    }
}

#[cfg(test)]
mod tests;
