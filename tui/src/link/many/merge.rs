//! What several agents answer as one: totals and stores add up, rows stand in the order that was asked for, groups of one key are one.

use std::borrow::Cow;
use std::collections::HashMap;

use plasmon_protocol::column::Table;
use plasmon_protocol::record::{NodeRow, PressureRow, StoreRow};
use plasmon_protocol::stream::{Body, Detail, GroupRow, MAX_WINDOW, Rows, Totals, View, Window};
use plasmon_protocol::window::Query;

use crate::model::alert::Alert;
use crate::model::apart::{self, APART, agent_of};
use crate::model::sliding::{Part, Picture, Sliding};
use crate::model::window::Tabled;

/// What is shown of what agents have of a view, if it is here; what the agents are to be asked for next is in `sliding` then.
pub(super) fn merged(parts: &[Part<'_>], id: u32, view: &View, sliding: &mut Sliding, all: bool) -> Option<Body> {
    let mut totals = Totals::default();
    for part in parts {
        add(&mut totals, &part.window.totals);
        totals.matched -= part.left_out();
        totals.cut += part.left_out();
    }
    let (start, rows) = match parts.first()?.rows {
        Rows::Store(_) => {
            let stores: Vec<StoreRow> = parts.iter().filter_map(|part| StoreRow::of(part.rows)).flatten().cloned().collect();
            (0, Rows::Store(vec![sum(&stores)?]))
        }
        _ => {
            // They passed the filter where they are; here they are put in order.
            let query = Query::prepare(View { filter: String::new(), columns: Vec::new(), ..view.clone() }).ok()?;
            let Picture { start, rows } = sliding.slide(view, &query, parts, all)?;
            (start, rows)
        }
    };
    Some(Body::Snapshot { id, totals, start, rows })
}

/// The groups of all agents as one table, of each agent with the totals of its own and how many groups of it are not here.
pub(super) fn grouped<'a>(parts: impl IntoIterator<Item = (Totals, Vec<&'a GroupRow>)>, id: u32, view: &View) -> Option<Body> {
    let (mut totals, mut all) = (Totals::default(), Vec::new());
    for (of, groups) in parts {
        add(&mut totals, &of);
        totals.cut += of.groups.saturating_sub(groups.len() as u64);
        all.extend(groups);
    }
    let mut groups = folded(all);
    totals.groups = groups.len() as u64;
    // They passed the filter where they are.
    let (start, rows) = Query::prepare(View { filter: String::new(), ..view.clone() }).ok()?.window_of_groups(&mut groups);
    Some(Body::Snapshot { id, totals, start, rows: Rows::Groups(rows) })
}

/// The checks of a machine are told with the node that they are of.
pub(super) fn named(detail: Detail, node: Option<&NodeRow>) -> Detail {
    match (detail, node) {
        (Detail::Node(mut detail), Some(node)) => {
            for check in &mut detail.checks {
                check.subject = format!("{} {}", node.node.short(), check.subject);
            }
            Detail::Node(detail)
        }
        (detail, _) => detail,
    }
}

/// What one agent is asked for, so that the merged window is whole: the rows around it; of groups, one window after the other.
pub(super) fn of_agent(view: &View, sliding: &Sliding, number: usize, window: u32) -> View {
    let groups = Window { start: u64::from(window) * u64::from(MAX_WINDOW), len: MAX_WINDOW };
    let window = if view.group.is_some() { groups } else { sliding.asked(number) };
    let mut view = View { window, ..view.clone() };
    if view.table == Table::SpillFiles
        && let Some(file) = view.filter.strip_prefix("file=").and_then(|file| file.parse::<u32>().ok())
    {
        // The number that no file has is another agent's.
        let own = if agent_of(file) == number { file % APART } else { u32::MAX };
        view.filter = format!("file={own}");
    }
    view
}

fn add(sum: &mut Totals, more: &Totals) {
    sum.rows += more.rows;
    sum.matched += more.matched;
    sum.bytes += more.bytes;
    sum.unique.references += more.unique.references;
    sum.unique.unique_objects += more.unique.unique_objects;
    sum.unique.unique_bytes += more.unique.unique_bytes;
}

/// Groups of one key are one group. There may be very many of them: only those that several agents have are made anew.
fn folded(groups: Vec<&GroupRow>) -> Vec<Cow<'_, GroupRow>> {
    let mut all: Vec<Cow<'_, GroupRow>> = Vec::with_capacity(groups.len());
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(groups.len());
    for group in groups {
        let place = *places.entry(&group.key).or_insert(all.len());
        let Some(same) = all.get_mut(place) else {
            all.push(Cow::Borrowed(group));
            continue;
        };
        let same = same.to_mut();
        same.rows += group.rows;
        same.bytes += group.bytes;
        same.unique.references += group.unique.references;
        same.unique.unique_objects += group.unique.unique_objects;
        same.unique.unique_bytes += group.unique.unique_bytes;
        same.by_type.iter_mut().zip(group.by_type).for_each(|(sum, more)| *sum += more);
    }
    all
}

/// What is wrong with the store of each agent that is there, with its node's name.
pub(super) fn told_by(parts: &[Part<'_>], of: impl Fn(&StoreRow) -> Vec<Alert>) -> Vec<Alert> {
    let stores = parts.iter().filter(|part| part.is_live).filter_map(|part| StoreRow::of(part.rows)?.first());
    stores.flat_map(|store| of(store).into_iter().map(|(level, text)| (level, format!("{} {text}", store.node.node.short())))).collect()
}

/// All stores as one: bytes and counts add up, of shares the largest. What is no sum is that of one of them: the memory that is nearest
/// to its end, the state of external storage that fails, the oldest start.
fn sum(stores: &[StoreRow]) -> Option<StoreRow> {
    let mut values = stores.iter().filter_map(|store| serde_json::to_value(store).ok());
    let mut sum = values.next()?;
    values.for_each(|more| apart::add("", &mut sum, more));
    let mut sum: StoreRow = serde_json::from_value(sum).ok()?;
    sum.node.started_ms = stores.iter().map(|store| store.node.started_ms).min()?;
    if let Some(failing) = stores.iter().find(|store| store.spill.failing) {
        sum.spill.state = failing.spill.state.clone();
    }
    // Where one has no limit, all together have none.
    let bounded = |of: fn(&StoreRow) -> Option<u64>| stores.iter().all(|store| of(store).is_some());
    sum.spill.limit_bytes = sum.spill.limit_bytes.filter(|_| bounded(|store| store.spill.limit_bytes));
    sum.spill.disk_free_bytes = sum.spill.disk_free_bytes.filter(|_| bounded(|store| store.spill.disk_free_bytes));
    let near = |store: &&StoreRow| {
        let pressure = &store.pressure;
        u128::from(pressure.used_bytes) * 1000 / u128::from(pressure.threshold_bytes.max(1))
    };
    sum.pressure = PressureRow { kills: sum.pressure.kills, dying: sum.pressure.dying, ..stores.iter().max_by_key(near)?.pressure.clone() };
    Some(sum)
}
