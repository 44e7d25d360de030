//! An agent played from fixed rows: answers what a dashboard asks, by the same columns and filters as a real one.

use std::sync::Arc;

use plasmon_protocol::column::{Cell, Record, RowKey, Table};
use plasmon_protocol::doctor::NodeDetail;
use plasmon_protocol::filter::Filter;
use plasmon_protocol::record::{
    ActorRow, EventRow, ObjectRow, PostMortemRow, ProcessRow, ProcessType, ReferenceRow, ReferenceTotals, ReferenceType, Site, SiteRow,
    SpillFileRow, StoreRow, TaskRow,
};
use plasmon_protocol::stream::{
    Body, Detail, GroupRow, ObjectDetail, Output, PostMortem, ProcessDetail, Request, Rows, SiteDetail, Source, Target, TaskDetail, Totals,
    View,
};

/// All rows of one instant.
#[derive(Clone, Default)]
pub(crate) struct Agent {
    pub(crate) now_ms: u64,
    pub(crate) store: StoreRow,
    pub(crate) references: Vec<ReferenceRow>,
    pub(crate) objects: Vec<ObjectRow>,
    pub(crate) sites: Vec<SiteRow>,
    pub(crate) processes: Vec<ProcessRow>,
    pub(crate) tasks: Vec<TaskRow>,
    pub(crate) actors: Vec<ActorRow>,
    /// Calls of actors, for their pages.
    pub(crate) calls: Vec<TaskRow>,
    pub(crate) post_mortem: Vec<PostMortem>,
    pub(crate) events: Vec<EventRow>,
    pub(crate) files: Vec<SpillFileRow>,
    /// Source lines of the program, from line 1, by file.
    pub(crate) sources: Vec<(String, Vec<String>)>,
    /// What was looked at on its machine.
    pub(crate) node: Option<NodeDetail>,
    /// Objects inside of objects: outer, inner.
    pub(crate) contained: Vec<(usize, usize)>,
}

struct Found<R> {
    rows: Vec<R>,
    totals: Totals,
}

fn matching<R: Record>(all: &[R], view: &View, now_ms: u64) -> Found<R> {
    let filter = Filter::<R>::parse(&view.filter).unwrap();
    let mut rows: Vec<R> = all.iter().filter(|row| filter.matches(row, now_ms)).cloned().collect();
    // Groups are in an order of their own.
    let (column, ascending) = match view.sort.as_ref().filter(|_| view.group.is_none()) {
        Some(sort) => (R::column(&sort.column).unwrap(), sort.ascending),
        None => (R::column(R::DEFAULT_SORT).unwrap(), false),
    };
    rows.sort_by(|a, b| {
        let order = (column.cell)(a).compare(&(column.cell)(b));
        (if ascending { order } else { order.reverse() }).then_with(|| a.key().cmp(&b.key()))
    });
    let totals = Totals { rows: all.len() as u64, matched: rows.len() as u64, ..Totals::default() };
    Found { rows, totals }
}

fn windowed<R: Clone>(rows: &[R], view: &View) -> (u64, Vec<R>) {
    let len = u64::from(view.window.len);
    let start = view.window.start.min((rows.len() as u64).saturating_sub(len));
    (start, rows.iter().skip(start as usize).take(len as usize).cloned().collect())
}

fn unique(rows: &[ReferenceRow]) -> ReferenceTotals {
    let mut ids: Vec<_> = rows.iter().map(|row| (row.object_id, row.size_bytes.unwrap_or(0))).collect();
    ids.sort_unstable();
    ids.dedup_by_key(|(id, _)| *id);
    ReferenceTotals {
        references: rows.len() as u64,
        unique_objects: ids.len() as u64,
        unique_bytes: ids.iter().map(|(_, bytes)| bytes).sum(),
    }
}

fn text<R: Record>(cell: Cell<'_>, row: &R) -> String {
    match cell {
        Cell::Text(text) => text.into_owned(),
        Cell::Count(number) => number.to_string(),
        Cell::None => "-".to_owned(),
        cell => panic!("{cell:?} of {}", row.key()),
    }
}

/// Rows folded by a column, the heaviest group first.
fn groups<R: Record>(rows: &[R], column: &str, bytes: fn(&R) -> u64, more: fn(&[&R], &mut GroupRow)) -> Vec<GroupRow> {
    let column = R::column(column).unwrap();
    let mut members: std::collections::BTreeMap<RowKey, Vec<&R>> = std::collections::BTreeMap::new();
    for row in rows {
        members.entry(text((column.cell)(row), row)).or_default().push(row);
    }
    let group = |(key, rows): (RowKey, Vec<&R>)| {
        let sum = rows.iter().map(|row| bytes(row)).sum();
        let mut group = GroupRow { key, rows: rows.len() as u64, bytes: sum, ..GroupRow::default() };
        more(&rows, &mut group);
        group
    };
    let mut groups: Vec<GroupRow> = members.into_iter().map(group).collect();
    groups.sort_by_key(|group| std::cmp::Reverse((group.bytes, group.rows)));
    groups
}

/// The window over a table that `view` asks for.
fn shown<R: Record>(
    all: &[R],
    view: &View,
    now_ms: u64,
    bytes: fn(&R) -> u64,
    more: fn(&[&R], &mut GroupRow),
    rows: fn(Vec<R>) -> Rows,
) -> (Totals, u64, Rows) {
    let mut found = matching(all, view, now_ms);
    found.totals.bytes = found.rows.iter().map(bytes).sum();
    if let Some(column) = &view.group {
        let by = view.sort.as_ref().map_or("size", |sort| sort.column.as_str());
        assert!(["key", "rows", "size", "objects", "unique_bytes"].contains(&by), "groups do not sort by {by}");
        let groups = groups(&found.rows, column, bytes, more);
        found.totals.groups = groups.len() as u64;
        let (start, groups) = windowed(&groups, view);
        return (found.totals, start, Rows::Groups(groups));
    }
    let (start, shown) = windowed(&found.rows, view);
    (found.totals, start, rows(shown))
}

fn by_type(rows: &[&ReferenceRow], group: &mut GroupRow) {
    let rows: Vec<ReferenceRow> = rows.iter().map(|row| (*row).clone()).collect();
    for row in &rows {
        group.by_type[ReferenceType::ALL.iter().position(|kind| *kind == row.reference_type).unwrap()] += 1;
    }
    group.unique = unique(&rows);
}

/// A site and what it was called from.
fn stack(site: &Arc<Site>) -> Vec<Arc<Site>> {
    std::iter::successors(Some(site), |site| site.outer.as_ref()).cloned().collect()
}

impl Agent {
    /// What answers a request, if anything.
    pub(crate) fn answer(&self, request: &Request) -> Option<Body> {
        match request {
            Request::Subscribe { id, view } => Some(self.snapshot(*id, view)),
            Request::Watch { id, target } => Some(Body::Detail { id: *id, detail: self.detail(target).map(Box::new) }),
            Request::Hello { .. } | Request::Unsubscribe { .. } | Request::Report { .. } | Request::Ack { .. } => None,
        }
    }

    fn snapshot(&self, id: u32, view: &View) -> Body {
        let now = self.now_ms;
        let (totals, start, rows) = match view.table {
            Table::References => {
                let (mut totals, start, rows) =
                    shown(&self.references, view, now, |row| row.size_bytes.unwrap_or(0), by_type, Rows::References);
                totals.unique = unique(&matching(&self.references, view, now).rows);
                (totals, start, rows)
            }
            Table::Sites => shown(&self.sites, view, now, |row| row.own_bytes, |_, _| {}, Rows::Sites),
            Table::Processes => shown(&self.processes, view, now, |row| row.held_bytes, |_, _| {}, Rows::Processes),
            Table::Tasks => shown(&self.tasks, view, now, |_| 0, |_, _| {}, Rows::Tasks),
            Table::Actors => shown(&self.actors, view, now, |row| row.held_bytes, |_, _| {}, Rows::Actors),
            Table::PostMortem => {
                let rows: Vec<PostMortemRow> = self.post_mortem.iter().map(|dead| dead.process.clone()).collect();
                shown(&rows, view, now, |row| row.held_bytes, |_, _| {}, Rows::PostMortem)
            }
            Table::Events => shown(&self.events, view, now, |_| 0, |_, _| {}, Rows::Events),
            Table::SpillFiles => shown(&self.files, view, now, |row| row.live_bytes, |_, _| {}, Rows::SpillFiles),
            Table::Objects => shown(&self.objects, view, now, |row| row.size_bytes.unwrap_or(0), |_, _| {}, Rows::Objects),
            Table::Store => (Totals { rows: 1, matched: 1, ..Totals::default() }, 0, Rows::Store(vec![self.store.clone()])),
        };
        Body::Snapshot { id, totals, start, rows }
    }

    pub(crate) fn detail(&self, target: &Target) -> Option<Detail> {
        let largest = |mut objects: Vec<ObjectRow>| {
            objects.sort_by_key(|row| std::cmp::Reverse(row.size_bytes));
            objects.truncate(plasmon_protocol::stream::MAX_DETAIL);
            objects
        };
        Some(match target {
            Target::Explain(subject) => Detail::Explain(crate::why::explain(self, subject)?),
            Target::Object(id) => {
                let at = self.objects.iter().position(|row| row.object_id == *id)?;
                let pick = |index: &usize| self.objects[*index].clone();
                Detail::Object(ObjectDetail {
                    object: self.objects[at].clone(),
                    stack: stack(&self.objects[at].created_site),
                    holders: self.references.iter().filter(|row| row.object_id == *id).cloned().collect(),
                    contained_in: self.contained.iter().filter(|(_, inner)| *inner == at).map(|(outer, _)| pick(outer)).collect(),
                    contains: self.contained.iter().filter(|(outer, _)| *outer == at).map(|(_, inner)| pick(inner)).collect(),
                    tasks: self
                        .tasks
                        .iter()
                        .filter(|row| self.objects[at].pinned > 0 && row.worker_pid == Some(4720))
                        .take(1)
                        .cloned()
                        .collect(),
                })
            }
            Target::Site(id) => {
                let site = self.sites.iter().find(|row| row.site.id == *id)?.clone();
                let within = |row: &&ObjectRow| row.created_site.frames().any(|frame| frame.id == *id);
                let objects = self.objects.iter().filter(within).cloned().collect();
                let source = self.sources.iter().find(|(file, _)| *file == site.site.file).map(|(file, lines)| {
                    let first = site.site.line.saturating_sub(10).max(1);
                    Source {
                        file: file.clone(),
                        first_line: first,
                        lines: lines.iter().skip(first as usize - 1).take(21).cloned().collect(),
                        marked_line: site.site.line,
                        changed_ms: None,
                    }
                });
                Detail::Site(SiteDetail { stack: stack(&site.site), site, objects: largest(objects), source })
            }
            Target::Task(id) => {
                let task = self.tasks.iter().find(|row| row.task_id == *id)?.clone();
                let results = self.objects.iter().filter(|row| row.task == Some(*id)).cloned().collect();
                let arguments = self.objects.iter().filter(|row| row.created_site.id.0 == 3).take(2).cloned().collect();
                Detail::Task(TaskDetail { stack: stack(&task.call_site), task, arguments, results })
            }
            Target::Node => Detail::Node(self.node.clone()?),
            Target::Recording => return None,
            Target::SpillFile(id) => Detail::SpillFile(crate::storage::detail(self, *id)?),
            Target::Actor(id) => Detail::Actor(crate::actors::detail(self, *id)?),
            Target::Process(id) if self.post_mortem.iter().any(|dead| dead.process.process == *id) => {
                Detail::PostMortem(self.post_mortem.iter().find(|dead| dead.process.process == *id)?.clone())
            }
            Target::Process(id) => {
                let process = self.processes.iter().find(|row| row.process == *id)?.clone();
                let mut references: Vec<_> = self.references.iter().filter(|row| row.process == *id).cloned().collect();
                references.sort_by_key(|row| std::cmp::Reverse(row.size_bytes));
                references.truncate(plasmon_protocol::stream::MAX_DETAIL);
                let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
                let output = if process.process_type == ProcessType::Worker {
                    let stdout = lines(&["chunk 14 of 64 sorted in 41 ms", "chunk 15 of 64 sorted in 39 ms"]);
                    Output { stdout, stderr: lines(&["warning: chunk 15 had 3 lines without an end"]) }
                } else {
                    Output::default()
                };
                Detail::Process(ProcessDetail {
                    process,
                    references,
                    unique_bytes: Some(31 << 20),
                    executable: "/srv/sorter/target/release/demo".into(),
                    output,
                })
            }
        })
    }
}
