//! A replica that was told of changes shows what evaluating the whole table does.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::id::{NodeId, ObjectKey, ProcessId, SiteId, TaskKey};
use crate::record::{ObjectState, ReferenceType, Site, TaskStatus};
use crate::stream::{Sort, Window as Range};
use crate::window::Query;

/// What an object is at one instant; all rows about it agree on that.
#[derive(Clone, Copy, Debug)]
struct Object {
    generation: u32,
    size: Option<u64>,
}

fn site(line: u32) -> Arc<Site> {
    Arc::new(Site { id: SiteId(line), function: format!("work::f{}", line % 3), file: "src/work.rs".into(), line, ..Site::default() })
}

/// A table, and what was not told of it yet.
struct Model {
    sites: Vec<Arc<Site>>,
    objects: Vec<Object>,
    /// By places: slot, process, and what else a row is made of.
    rows: BTreeMap<u32, (u32, u32, u64, u32)>,
    now_ms: u64,
}

#[derive(Clone, Debug)]
enum Deed {
    /// A row at a place about the object in a slot.
    Hold { place: u32, slot: u32, process: u32, since_ms: u64, seed: u32 },
    /// None at that place.
    Let { place: u32 },
    /// Another size of an object.
    Size { slot: u32, size: Option<u64> },
    /// Another object in a slot; the rows about the old one go.
    Reuse { slot: u32 },
    /// Many at once.
    Flood { first: u32, count: u32, size: u64 },
    /// Time goes on, or back.
    Wait { ms: i64 },
}

fn deed() -> impl Strategy<Value = Deed> {
    let size = prop_oneof![Just(None), (0_u64..5).prop_map(Some), Just(Some(u64::MAX)), any::<u64>().prop_map(Some)];
    prop_oneof![
        6 => (0_u32..40, 0_u32..12, 0_u32..4, 0_u64..5000, any::<u32>())
            .prop_map(|(place, slot, process, since_ms, seed)| Deed::Hold { place, slot, process, since_ms, seed }),
        2 => (0_u32..40).prop_map(|place| Deed::Let { place }),
        2 => (0_u32..12, size).prop_map(|(slot, size)| Deed::Size { slot, size }),
        1 => (0_u32..12).prop_map(|slot| Deed::Reuse { slot }),
        1 => (0_u32..300, 0_u32..300, 0_u64..3).prop_map(|(first, count, size)| Deed::Flood { first: 100 + first, count, size }),
        2 => (-300_i64..4000).prop_map(|ms| Deed::Wait { ms }),
    ]
}

impl Model {
    fn new() -> Self {
        let objects = vec![Object { generation: 1, size: None }; 12];
        Self { sites: (0..8).map(site).collect(), objects, rows: BTreeMap::new(), now_ms: 5000 }
    }

    fn row(&self, (slot, process, since_ms, seed): (u32, u32, u64, u32)) -> ReferenceRow {
        let object = self.objects[slot as usize];
        let pick = |of: usize, shift: u32| (seed >> shift) as usize % of;
        ReferenceRow {
            object_id: ObjectKey { slot, generation: object.generation }.on(NodeId([7; 8])),
            process: ProcessId(process),
            pid: 100 + process,
            size_bytes: object.size,
            reference_type: ReferenceType::ALL[pick(5, 0)],
            state: if object.size.is_some() { ObjectState::InMemory } else { ObjectState::Pending },
            status: [None, Some(TaskStatus::Running), Some(TaskStatus::Finished)][pick(3, 3)],
            attempt: [None, Some(1), Some(2)][pick(3, 5)],
            call_site: Arc::clone(&self.sites[pick(8, 7)]),
            created_site: Arc::clone(&self.sites[slot as usize % 8]),
            node_ip: "127.0.0.1".into(),
            since_ms,
            local: seed % 4,
            ..ReferenceRow::default()
        }
    }

    /// Does it, and tells at which places something changed.
    fn act(&mut self, deed: &Deed) -> Vec<u32> {
        let about = |rows: &BTreeMap<u32, (u32, u32, u64, u32)>, slot: u32| -> Vec<u32> {
            rows.iter().filter(|(_, row)| row.0 == slot).map(|(place, _)| *place).collect()
        };
        match *deed {
            Deed::Hold { place, slot, process, since_ms, seed } => {
                // A process has one row for an object.
                let same = self.rows.iter().find(|(_, row)| (row.0, row.1) == (slot, process)).map(|(place, _)| *place);
                self.rows.insert(same.unwrap_or(place), (slot, process, since_ms, seed));
                vec![same.unwrap_or(place)]
            }
            Deed::Let { place } => {
                self.rows.remove(&place);
                vec![place]
            }
            Deed::Size { slot, size } => {
                self.objects[slot as usize].size = size;
                about(&self.rows, slot)
            }
            Deed::Reuse { slot } => {
                let places = about(&self.rows, slot);
                self.rows.retain(|_, row| row.0 != slot);
                self.objects[slot as usize] = Object { generation: self.objects[slot as usize].generation + 1, size: Some(3) };
                places
            }
            Deed::Flood { first, count, size } => {
                let slots = self.objects.len() as u32;
                self.objects.extend((0..count).map(|_| Object { generation: 1, size: Some(size) }));
                self.rows.extend((0..count).map(|n| (first + n, (slots + n, 9, u64::from(n * 13 % 100), n))));
                (first..first + count).collect()
            }
            Deed::Wait { ms } => {
                self.now_ms = self.now_ms.saturating_add_signed(ms);
                Vec::new()
            }
        }
    }

    fn tell(&self, places: &[u32]) -> Changed {
        let (there, gone): (Vec<u32>, Vec<u32>) = places.iter().partition(|place| self.rows.contains_key(place));
        let rows = there.iter().map(|place| self.row(self.rows[place])).collect();
        Changed { now_ms: self.now_ms, gone, places: there, rows: Rows::References(rows), end: 500, complete: true }
    }

    fn all(&self) -> Rows {
        Rows::References(self.rows.values().map(|row| self.row(*row)).collect())
    }
}

fn views() -> impl Strategy<Value = Vec<View>> {
    let columns: Vec<&str> = <ReferenceRow as crate::column::Record>::columns().iter().map(|column| column.name).collect();
    let sort = proptest::option::of((proptest::sample::select(columns.clone()), any::<bool>()));
    let group = proptest::option::weighted(0.3, proptest::sample::select(columns));
    let filter = proptest::sample::select(vec![
        "",
        "",
        "size>1",
        "age<2s",
        "age>1500ms | pid=101",
        "age=2s !type:pinned",
        "f1 | state:pending",
        "age!=1s",
        "age<=2s age>=1s",
    ]);
    let range = (0_u64..60, 0_u32..30).prop_map(|(start, len)| Range { start, len });
    let view = (sort, group, filter, range).prop_map(|(sort, group, filter, window)| {
        let sort = match (&group, sort) {
            (Some(_), Some((column, ascending))) => {
                let by = ["key", "rows", "bytes", "objects", "unique_bytes"][column.len() % 5];
                Some(Sort { column: by.to_owned(), ascending })
            }
            (_, sort) => sort.map(|(column, ascending)| Sort { column: column.to_owned(), ascending }),
        };
        View { sort, group: group.map(str::to_owned), filter: filter.to_owned(), window, ..View::of(Table::References) }
    });
    proptest::collection::vec(view, 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 400 } else { 4000 }))]

    /// Whatever changes, in whatever portions it is told, whoever looks when.
    #[test]
    fn what_was_told_shows_what_the_whole_table_does(
        views in views(),
        deeds in proptest::collection::vec((deed(), any::<bool>()), 1..60),
    ) {
        let mut model = Model::new();
        let mut live = live(Table::References).unwrap();
        let mut untold = std::collections::BTreeSet::new();
        for (deed, tell) in deeds {
            untold.extend(model.act(&deed));
            if !tell {
                continue;
            }
            let places: Vec<u32> = std::mem::take(&mut untold).into_iter().collect();
            live.apply(&model.tell(&places));
            prop_assert_eq!(live.len(), model.rows.len());
            for view in &views {
                let expected = Query::prepare(view.clone()).unwrap().window(&model.all(), model.now_ms);
                prop_assert_eq!(live.window(view, model.now_ms).unwrap(), expected, "{:?}", view);
            }
        }
        live.apply(&model.tell(&untold.into_iter().collect::<Vec<_>>()));
        let (mut from, mut all) = (Some(0), Vec::new());
        while let Some(next) = from {
            let (Rows::References(rows), more) = live.rows(next, 7) else { panic!("other rows") };
            all.extend(rows);
            from = more;
        }
        prop_assert_eq!(Rows::References(all), model.all());
    }
}

/// A row with this number that is as `seed` says.
trait Made: Replicated {
    const FILTERS: [&'static str; 5];

    fn made(number: u32, seed: u32) -> Self;
}

impl Made for TaskRow {
    const FILTERS: [&'static str; 5] = ["", "status:running", "attempt>1 | f1", "age<2s", "!pid:3 heap>0"];

    fn made(number: u32, seed: u32) -> Self {
        Self {
            task_id: TaskKey { process: ProcessId(seed % 2), number }.on(NodeId([7; 8])),
            name: format!("work::f{}", seed % 3).into(),
            status: TaskStatus::ALL[seed as usize % TaskStatus::ALL.len()],
            attempt: seed % 5,
            worker_pid: (!seed.is_multiple_of(4)).then_some(seed % 4),
            actor: (seed % 7 == 1).then(|| ObjectKey { slot: seed, generation: 1 }.on(NodeId([7; 8])).into()),
            call_site: site(seed % 8),
            submitted_ms: u64::from(seed % 5000),
            heap_bytes: u64::from(seed % 3) << 20,
            error: (seed % 6 == 2).then(|| "no".to_owned()),
            ..Self::default()
        }
    }
}

impl Made for SiteRow {
    const FILTERS: [&'static str; 5] = ["", "held>100", "own=0 | f1", "age<2s", "!line:3 caller:0"];

    fn made(number: u32, seed: u32) -> Self {
        let site = Site { id: SiteId(number), caller: SiteId(seed % 3), ..Site::clone(&site(number)) };
        let (held_bytes, own_bytes, oldest_ms) = (u64::from(seed % 300), u64::from(seed % 2) * 50, u64::from(seed % 5000));
        Self { site: site.into(), held_bytes, own_bytes, objects: 1, growth_bytes: i64::from(seed % 9) - 4, oldest_ms, ..Self::default() }
    }
}

/// As [`what_was_told_shows_what_the_whole_table_does`], of rows that share nothing.
fn follows<R: Made + PartialEq + std::fmt::Debug>(
    deeds: Vec<(u32, Option<u32>, bool)>,
    views: Vec<(usize, bool, bool, usize, Range)>,
) -> Result<(), TestCaseError> {
    let columns: Vec<&str> = R::columns().iter().map(|column| column.name).filter(|name| !R::VOLATILE.contains(name)).collect();
    let views = views.into_iter().map(|(column, ascending, grouped, filter, window)| {
        let column = columns[column % columns.len()].to_owned();
        let filter = R::FILTERS[filter % R::FILTERS.len()].to_owned();
        match grouped {
            true => View { group: Some(column), filter, window, ..View::of(R::TABLE) },
            false => View { sort: Some(Sort { column, ascending }), filter, window, ..View::of(R::TABLE) },
        }
    });
    let views: Vec<View> = views.collect();
    let (mut live, mut rows, mut untold) = (live(R::TABLE).unwrap(), BTreeMap::<u32, R>::new(), std::collections::BTreeSet::new());
    for (step, (place, seed, tell)) in (0_u64..).zip(deeds) {
        match seed {
            Some(seed) => rows.insert(place, R::made(place, seed)),
            None => rows.remove(&place),
        };
        untold.insert(place);
        if !tell {
            continue;
        }
        let now_ms = 3000 + step * 90;
        let (places, gone): (Vec<u32>, Vec<u32>) = std::mem::take(&mut untold).into_iter().partition(|place| rows.contains_key(place));
        let told = R::rows(places.iter().map(|place| rows[place].clone()).collect());
        live.apply(&Changed { now_ms, gone, places, rows: told, end: 40, complete: true });
        let all = R::rows(rows.values().cloned().collect());
        prop_assert_eq!(&live.rows(0, usize::MAX).0, &all);
        for view in &views {
            let query = Query::prepare(view.clone()).unwrap();
            prop_assert!(!query.is_volatile());
            prop_assert_eq!(live.window(view, now_ms).unwrap(), query.window(&all, now_ms), "{:?}", view);
        }
    }
    Ok(())
}

fn sights() -> impl Strategy<Value = Vec<(usize, bool, bool, usize, Range)>> {
    let range = (0_u64..40, 0_u32..30).prop_map(|(start, len)| Range { start, len });
    proptest::collection::vec((any::<usize>(), any::<bool>(), any::<bool>(), any::<usize>(), range), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 100 } else { 1000 }))]

    #[test]
    fn of_tasks_as_well(deeds in proptest::collection::vec((0_u32..40, any::<Option<u32>>(), any::<bool>()), 1..80), views in sights()) {
        follows::<TaskRow>(deeds, views)?;
    }

    #[test]
    fn and_of_sites(deeds in proptest::collection::vec((0_u32..40, any::<Option<u32>>(), any::<bool>()), 1..80), views in sights()) {
        follows::<SiteRow>(deeds, views)?;
    }
}

#[test]
fn what_changes_all_the_time_is_no_good_for_an_order_that_is_kept() {
    let volatile = |filter: &str, column: Option<&str>, group: Option<&str>| {
        let sort = column.map(|column| Sort { column: column.to_owned(), ascending: false });
        let view = View { filter: filter.to_owned(), sort, group: group.map(str::to_owned), ..View::of(Table::Tasks) };
        Query::prepare(view).unwrap().is_volatile()
    };
    assert!(volatile("reason:cpu", None, None) && volatile("x | (peak>1 y)", None, None));
    assert!(volatile("", Some("peak"), None) && volatile("", None, Some("reason")));
    assert!(!volatile("cpu status:running", Some("age"), None) && !volatile("", None, Some("name")));
}

#[test]
fn a_column_of_too_many_texts_for_numbers_is_in_order_as_well() {
    let mut live = live(Table::References).unwrap();
    let row =
        |n: u32| ReferenceRow { object_id: ObjectKey { slot: n, generation: n % 7 + 1 }.on(NodeId::default()), ..ReferenceRow::default() };
    let mut rows: Vec<ReferenceRow> = (0..70_000).map(row).collect();
    let tell = |places: Vec<u32>, rows: Vec<ReferenceRow>| Changed {
        now_ms: 0,
        gone: Vec::new(),
        places,
        rows: Rows::References(rows),
        end: 70_000,
        complete: true,
    };
    live.apply(&tell((0..70_000).collect(), rows.clone()));
    for ascending in [true, false] {
        let sort = Some(Sort { column: "object".into(), ascending });
        let view = View { sort, window: Range { start: 33_000, len: 20 }, ..View::of(Table::References) };
        let whole = |rows: &[ReferenceRow]| Query::prepare(view.clone()).unwrap().window(&Rows::References(rows.to_vec()), 0);
        assert_eq!(live.window(&view, 0).unwrap(), whole(&rows));
        for place in (0..70_000).step_by(9973) {
            rows[place] = row(place as u32 + 100_000);
            live.apply(&tell(vec![place as u32], vec![rows[place].clone()]));
        }
        assert_eq!(live.window(&view, 0).unwrap(), whole(&rows));
        for place in (0..70_000).step_by(9973) {
            rows[place] = row(place as u32);
            live.apply(&tell(vec![place as u32], vec![rows[place].clone()]));
        }
    }
}

#[test]
fn orders_that_nobody_looks_at_go_and_no_more_are_kept_than_allowed() {
    let mut replica = Replica::<ReferenceRow>::default();
    for n in 0..MAX_INDEXES + 5 {
        let view = View { filter: format!("pid={n}"), ..View::of(Table::References) };
        replica.window(&view, 0).unwrap();
    }
    assert_eq!(replica.indexes.len(), MAX_INDEXES);
    replica.drop_unused();
    assert_eq!(replica.indexes.len(), MAX_INDEXES);
    replica.window(&View { filter: "pid=20".into(), ..View::of(Table::References) }, 0).unwrap();
    replica.drop_unused();
    assert_eq!(replica.indexes.len(), 1);
    assert!(replica.window(&View { filter: "nonsense:1".into(), ..View::of(Table::References) }, 0).is_err());
}
