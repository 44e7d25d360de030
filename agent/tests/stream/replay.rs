//! Snapshots and deltas, applied by a viewer that knows nothing but the documented frames, make the window that they came from;
//! and that window is what filtering, sorting and counting by hand make.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use plasmon_agent::telemetry::subscription::ViewState;
use plasmon_agent::telemetry::tables::{evaluate, fetch};
use plasmon_protocol::column::{Cell, Record, Table};
use plasmon_protocol::filter::Filter;
use plasmon_protocol::id::{NodeId, TaskKey};
use plasmon_protocol::record::{ObjectRow, ReferenceRow, SiteRow, TaskRow, TaskStatus};
use plasmon_protocol::stream::{Body, Frame, MAX_FRAME, Rows, Sort, Totals, View, Window};
use plasmon_protocol::window::{self, Query};
use proptest::prelude::*;
use serde_json::Value;

use crate::fake::{self, reference};

/// A viewer's copy of one window.
#[derive(Default)]
pub(crate) struct Replica {
    filled: bool,
    start: u64,
    totals: Totals,
    order: Vec<String>,
    rows: HashMap<String, Value>,
}

fn keys(rows: &Rows) -> Vec<String> {
    match rows {
        Rows::References(rows) => rows.iter().map(Record::key).collect(),
        Rows::Objects(rows) => rows.iter().map(Record::key).collect(),
        Rows::Sites(rows) => rows.iter().map(Record::key).collect(),
        Rows::Tasks(rows) => rows.iter().map(Record::key).collect(),
        Rows::Store(rows) => rows.iter().map(Record::key).collect(),
        Rows::Groups(rows) => rows.iter().map(|row| row.key.clone()).collect(),
        other => panic!("{other:?}"),
    }
}

/// The rows of a frame or of `Rows` as JSON.
fn values(rows: &Value) -> Vec<Value> {
    rows.as_object().unwrap().values().next().unwrap().as_array().unwrap().clone()
}

impl Replica {
    pub(crate) fn apply(&mut self, body: &Body, json: &Value) {
        let (totals, start, order, rows) = match body {
            Body::Snapshot { totals, start, rows, .. } => {
                self.rows.clear();
                self.filled = true;
                (totals, start, Some(keys(rows)), rows)
            }
            Body::Delta { totals, start, order, rows, .. } => {
                assert!(self.filled, "a delta before any snapshot");
                (totals, start, order.clone(), rows)
            }
            other => panic!("{other:?}"),
        };
        (self.totals, self.start) = (*totals, *start);
        self.rows.extend(keys(rows).into_iter().zip(values(&json["rows"])));
        if let Some(order) = order {
            self.rows.retain(|key, _| order.contains(key));
            self.order = order;
        }
        assert_eq!(self.rows.len(), self.order.len());
    }

    /// Whether this is `window`, in the fields that `view` asks for.
    pub(crate) fn shows(&self, view: &View, window: &window::Window) -> bool {
        let mut expected = values(&serde_json::to_value(&window.rows).unwrap());
        if !view.columns.is_empty() && view.group.is_none() {
            let own: &[&str] = match view.table {
                Table::Sites => &["site"],
                Table::Tasks => &["task_id"],
                Table::Objects => &["object_id"],
                _ => &["process", "object_id"],
            };
            let asked = |field: &String| view.columns.contains(field) || own.contains(&field.as_str());
            expected.iter_mut().for_each(|row| row.as_object_mut().unwrap().retain(|field, _| asked(field)));
        }
        let rows: Vec<_> = self.order.iter().filter_map(|key| self.rows.get(key)).collect();
        self.filled && self.totals == window.totals && self.start == window.start && rows.iter().copied().eq(&expected)
    }
}

fn rows() -> impl Strategy<Value = Vec<ReferenceRow>> {
    let row = (0_u32..4, 0_u32..40, 0_u32..2);
    (0_u64..3, proptest::collection::vec(row, 0..60)).prop_map(|(grown, rows)| {
        let mut seen = HashSet::new();
        let fresh = rows.into_iter().filter(|(process, object, _)| seen.insert((*process, *object)));
        let rows = fresh.map(|(process, object, local)| {
            let size = (object % 3 > 0).then_some(u64::from(object % 4) * (1000 + grown));
            ReferenceRow { local, ..reference(process + 8, object, size) }
        });
        rows.collect()
    })
}

/// Filters that there are of a table, and fields that may be asked for.
fn asked(table: Table) -> ([&'static str; 5], [Vec<&'static str>; 3]) {
    match table {
        Table::Objects => (
            ["", "size>1k", "state:pending | references>1", "!age>20ms", "make"],
            [vec![], vec!["state"], vec!["size_bytes", "references"]],
        ),
        Table::Sites => {
            (["", "held>2k", "own=0 | line:3", "!kind:frame", "make"], [vec![], vec!["held_bytes"], vec!["own_bytes", "objects"]])
        }
        Table::Tasks => {
            (["", "status:running", "reason:cpu | attempt>1", "!age>20ms", "make"], [vec![], vec!["status"], vec!["reason", "name"]])
        }
        _ => (
            ["", "type:pinned", "size>1k | pid=1009", "!age>20ms local=1", "make"],
            [vec![], vec!["pid", "local"], vec!["size_bytes", "object_id"]],
        ),
    }
}

fn columns(table: Table) -> Vec<&'static str> {
    fn names<R: Record>() -> Vec<&'static str> {
        R::columns().iter().map(|column| column.name).collect()
    }
    match table {
        Table::Objects => names::<ObjectRow>(),
        Table::Sites => names::<SiteRow>(),
        Table::Tasks => names::<TaskRow>(),
        _ => names::<ReferenceRow>(),
    }
}

fn views_of(table: Table) -> impl Strategy<Value = View> {
    let (filters, fields) = asked(table);
    let window = (0_u64..70, 0_u32..30).prop_map(|(start, len)| Window { start, len });
    let sort = proptest::option::of((proptest::sample::select(columns(table)), any::<bool>()));
    let group = proptest::option::weighted(0.3, proptest::sample::select(columns(table)));
    let filter = proptest::sample::select(filters.to_vec());
    (filter, proptest::sample::select(fields.to_vec()), sort, group, window).prop_map(move |(filter, columns, sort, group, window)| View {
        table,
        columns: columns.into_iter().map(str::to_owned).collect(),
        filter: filter.to_owned(),
        sort: sort.filter(|_| group.is_none()).map(|(column, ascending)| Sort { column: column.to_owned(), ascending }),
        group: group.map(str::to_owned),
        window,
    })
}

fn views() -> impl Strategy<Value = View> {
    proptest::sample::select(vec![Table::References, Table::Objects, Table::Sites, Table::Tasks]).prop_flat_map(views_of)
}

/// References, and of each of them a row in every other table.
fn tables(references: Vec<ReferenceRow>) -> fake::Rows {
    let (mut objects, mut sites, mut tasks) = (HashMap::new(), HashMap::new(), HashMap::new());
    for row in &references {
        let (size, number) = (row.size_bytes.unwrap_or(0), row.process.0 * 100 + row.local);
        let object = ObjectRow { object_id: row.object_id, size_bytes: row.size_bytes, created_ms: row.since_ms, ..ObjectRow::default() };
        objects.entry(row.object_id).or_insert(object).references += 1;
        let site = sites.entry(row.call_site.id).or_insert(SiteRow { site: Arc::clone(&row.call_site), ..SiteRow::default() });
        (site.held_bytes, site.own_bytes, site.objects) = (site.held_bytes + size, size, site.objects + 1);
        let task = TaskRow {
            task_id: TaskKey { process: row.process, number }.on(NodeId::default()),
            name: row.call_site.function.as_str().into(),
            status: TaskStatus::ALL[number as usize % TaskStatus::ALL.len()],
            attempt: row.local + 1,
            reason: (row.local > 0).then(|| format!("{size} CPU more")),
            submitted_ms: row.since_ms,
            call_site: Arc::clone(&row.call_site),
            ..TaskRow::default()
        };
        tasks.insert(number, task);
    }
    let (objects, sites, tasks) = (objects.into_values().collect(), sites.into_values().collect(), tasks.into_values().collect());
    fake::Rows { now_ms: 50, references, objects, sites, tasks, ..fake::Rows::default() }
}

/// The order of rows, by the letter of its description.
fn by_hand(a: &ReferenceRow, b: &ReferenceRow, sort: &Sort) -> Ordering {
    let cell = ReferenceRow::column(&sort.column).unwrap().cell;
    let order = match (cell(a), cell(b)) {
        (Cell::None, Cell::None) => Ordering::Equal,
        (Cell::None, _) => Ordering::Greater,
        (_, Cell::None) => Ordering::Less,
        (a, b) if sort.ascending => a.compare(&b),
        (a, b) => a.compare(&b).reverse(),
    };
    order.then_with(|| a.key().cmp(&b.key()))
}

fn clamp<T: Clone>(all: &[T], window: Window) -> (u64, Vec<T>) {
    let len = all.len().min(window.len as usize);
    let start = (window.start as usize).min(all.len() - len);
    (start as u64, all[start..start + len].to_vec())
}

proptest! {
    /// Whatever changes, whatever the viewer looks at, and however much he was too slow for.
    #[test]
    fn replayed_frames_make_the_window(
        steps in proptest::collection::vec((rows(), proptest::option::weighted(0.2, views()), proptest::bool::weighted(0.3)), 1..12),
        first in views(),
    ) {
        let mut view = first;
        let mut state = ViewState::new(Query::prepare(view.clone()).unwrap());
        let mut replica = Replica::default();
        for (rows, change, gap) in steps {
            if let Some(change) = change {
                view = change;
                state = ViewState::new(Query::prepare(view.clone()).unwrap());
                replica = Replica::default();
            }
            let tables = tables(rows);
            let window = evaluate(&view, &tables).unwrap();
            let rows = fetch(&tables, view.table);
            prop_assert_eq!(&window, &state.query().window(&rows, 50));
            if gap {
                continue;
            }
            let had = replica.shows(&view, &window);
            let payload = state.update(3, &window).unwrap();
            prop_assert_eq!(payload.is_none(), had, "a frame comes exactly when something is new");
            if let Some(payload) = payload {
                let text = payload.frame(9, 8, 7);
                prop_assert!(text.len() <= MAX_FRAME);
                let frame: Frame = serde_json::from_str(&text).unwrap();
                prop_assert_eq!((frame.seq, frame.at_ms, frame.missed), (9, 8, 7));
                replica.apply(&frame.body, &serde_json::from_str(&text).unwrap());
            }
            prop_assert!(replica.shows(&view, &window));
        }
    }

    #[test]
    fn windows_are_what_sorting_and_counting_by_hand_make(rows in rows(), view in views_of(Table::References)) {
        let filter = Filter::<ReferenceRow>::parse(&view.filter).unwrap();
        let mut matched: Vec<_> = rows.iter().filter(|row| filter.matches(row, 50)).cloned().collect();
        let window = evaluate(&view, &tables(rows.clone())).unwrap();

        let objects: HashMap<_, _> = matched.iter().map(|row| (row.object_id, row.size_bytes.unwrap_or(0))).collect();
        let totals = window.totals;
        prop_assert_eq!((totals.rows, totals.matched, totals.cut), (rows.len() as u64, matched.len() as u64, 0));
        prop_assert_eq!(totals.bytes, matched.iter().filter_map(|row| row.size_bytes).sum::<u64>());
        prop_assert_eq!(totals.unique.references, matched.len() as u64);
        prop_assert_eq!(totals.unique.unique_objects, objects.len() as u64);
        prop_assert_eq!(totals.unique.unique_bytes, objects.values().sum::<u64>());

        if let Some(column) = &view.group {
            let cell = ReferenceRow::column(column).unwrap().cell;
            let name = |row: &ReferenceRow| match cell(row) {
                Cell::Text(text) => text.into_owned(),
                Cell::Count(number) | Cell::Bytes(number) | Cell::Since(number) => number.to_string(),
                Cell::None => "-".to_owned(),
                other => panic!("{other:?}"),
            };
            let mut groups: HashMap<String, Vec<&ReferenceRow>> = HashMap::new();
            matched.iter().for_each(|row| groups.entry(name(row)).or_default().push(row));
            prop_assert_eq!(totals.groups, groups.len() as u64);
            let Rows::Groups(shown) = &window.rows else { panic!("no groups") };
            let (start, _) = clamp(&vec![(); groups.len()], view.window);
            prop_assert_eq!((window.start, shown.len()), (start, groups.len().min(view.window.len as usize)));
            for group in shown {
                let rows = &groups[&group.key];
                let unique: HashMap<_, _> = rows.iter().map(|row| (row.object_id, row.size_bytes.unwrap_or(0))).collect();
                prop_assert_eq!(group.rows, rows.len() as u64);
                prop_assert_eq!(group.bytes, rows.iter().filter_map(|row| row.size_bytes).sum::<u64>());
                prop_assert_eq!(group.unique.unique_objects, unique.len() as u64);
                prop_assert_eq!(group.unique.unique_bytes, unique.values().sum::<u64>());
                for (place, count) in group.by_type.into_iter().enumerate() {
                    prop_assert_eq!(count, rows.iter().filter(|row| row.reference_type as usize == place).count() as u64);
                }
            }
            prop_assert!(shown.windows(2).all(|pair| pair[0].bytes >= pair[1].bytes), "most bytes first");
        } else {
            let sort = view.sort.clone().unwrap_or(Sort { column: "size".to_owned(), ascending: false });
            matched.sort_by(|a, b| by_hand(a, b, &sort));
            let (start, expected) = clamp(&matched, view.window);
            prop_assert_eq!(window.start, start);
            prop_assert_eq!(window.rows, Rows::References(expected));
            prop_assert_eq!(totals.groups, 0);
        }
    }
}
