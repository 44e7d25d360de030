//! An agent played from fixed rows: answers what a dashboard asks, by the same columns and filters as a real one.

use plasmon_protocol::column::{Cell, Record, RowKey, Table};
use plasmon_protocol::filter::Filter;
use plasmon_protocol::record::{
    ActorRow, EventRow, ObjectRow, PostMortemRow, ProcessRow, ReferenceRow, ReferenceTotals, ReferenceType, SiteRow, StoreRow, TaskRow,
};
use plasmon_protocol::stream::{
    Body, Detail, GroupRow, ObjectDetail, ProcessDetail, Request, Rows, SiteDetail, Source, Target, TaskDetail, Totals, View,
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
    pub(crate) post_mortem: Vec<PostMortemRow>,
    pub(crate) events: Vec<EventRow>,
    /// Source lines of the program, from line 1, by file.
    pub(crate) sources: Vec<(String, Vec<String>)>,
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
    let (column, ascending) = match &view.sort {
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

fn groups(rows: &[ReferenceRow], column: &str) -> Vec<GroupRow> {
    let column = ReferenceRow::column(column).unwrap();
    let key = |row: &ReferenceRow| match (column.cell)(row) {
        Cell::Text(text) => text.into_owned(),
        Cell::Count(number) => number.to_string(),
        cell => format!("{cell:?}"),
    };
    let mut names: Vec<RowKey> = rows.iter().map(key).collect();
    names.sort();
    names.dedup();
    let mut groups: Vec<GroupRow> = names
        .into_iter()
        .map(|name| {
            let rows: Vec<ReferenceRow> = rows.iter().filter(|row| key(row) == name).cloned().collect();
            let bytes = rows.iter().filter_map(|row| row.size_bytes).sum();
            let mut by_type = [0; 5];
            for row in &rows {
                by_type[ReferenceType::ALL.iter().position(|kind| *kind == row.reference_type).unwrap()] += 1;
            }
            GroupRow { key: name, rows: rows.len() as u64, bytes, unique: unique(&rows), by_type }
        })
        .collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.bytes));
    groups
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
        let (totals, start, rows) = match view.table {
            Table::References => {
                let mut found = matching(&self.references, view, self.now_ms);
                found.totals.unique = unique(&found.rows);
                found.totals.bytes = found.rows.iter().filter_map(|row| row.size_bytes).sum();
                match &view.group {
                    Some(column) => {
                        let groups = groups(&found.rows, column);
                        found.totals.groups = groups.len() as u64;
                        let (start, rows) = windowed(&groups, view);
                        (found.totals, start, Rows::Groups(rows))
                    }
                    None => {
                        let (start, rows) = windowed(&found.rows, view);
                        (found.totals, start, Rows::References(rows))
                    }
                }
            }
            Table::Sites => {
                let mut found = matching(&self.sites, view, self.now_ms);
                found.totals.bytes = found.rows.iter().map(|row| row.held_bytes).sum();
                let (start, rows) = windowed(&found.rows, view);
                (found.totals, start, Rows::Sites(rows))
            }
            Table::Processes => {
                let found = matching(&self.processes, view, self.now_ms);
                let (start, rows) = windowed(&found.rows, view);
                (found.totals, start, Rows::Processes(rows))
            }
            Table::Tasks => {
                let found = matching(&self.tasks, view, self.now_ms);
                let (start, rows) = windowed(&found.rows, view);
                (found.totals, start, Rows::Tasks(rows))
            }
            Table::Actors => {
                let found = matching(&self.actors, view, self.now_ms);
                let (start, rows) = windowed(&found.rows, view);
                (found.totals, start, Rows::Actors(rows))
            }
            Table::PostMortem => {
                let found = matching(&self.post_mortem, view, self.now_ms);
                let (start, rows) = windowed(&found.rows, view);
                (found.totals, start, Rows::PostMortem(rows))
            }
            Table::Events => {
                let found = matching(&self.events, view, self.now_ms);
                let (start, rows) = windowed(&found.rows, view);
                (found.totals, start, Rows::Events(rows))
            }
            Table::Objects => {
                let found = matching(&self.objects, view, self.now_ms);
                let (start, rows) = windowed(&found.rows, view);
                (found.totals, start, Rows::Objects(rows))
            }
            Table::Store => (Totals { rows: 1, matched: 1, ..Totals::default() }, 0, Rows::Store(vec![self.store.clone()])),
        };
        Body::Snapshot { id, totals, start, rows }
    }

    fn detail(&self, target: &Target) -> Option<Detail> {
        let largest = |mut objects: Vec<ObjectRow>| {
            objects.sort_by_key(|row| std::cmp::Reverse(row.size_bytes));
            objects.truncate(plasmon_protocol::stream::MAX_DETAIL);
            objects
        };
        Some(match target {
            Target::Object(id) => {
                let at = self.objects.iter().position(|row| row.object_id == *id)?;
                let pick = |index: &usize| self.objects[*index].clone();
                Detail::Object(ObjectDetail {
                    object: self.objects[at].clone(),
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
                let objects = self.objects.iter().filter(|row| row.created_site.id == *id).cloned().collect();
                let source = self.sources.iter().find(|(file, _)| *file == site.site.file).map(|(file, lines)| {
                    let first = site.site.line.saturating_sub(10).max(1);
                    Source {
                        file: file.clone(),
                        first_line: first,
                        lines: lines.iter().skip(first as usize - 1).take(21).cloned().collect(),
                        marked_line: site.site.line,
                    }
                });
                Detail::Site(SiteDetail { site, objects: largest(objects), source })
            }
            Target::Task(id) => {
                let task = self.tasks.iter().find(|row| row.task_id == *id)?.clone();
                let results = self.objects.iter().filter(|row| row.task == Some(*id)).cloned().collect();
                let arguments = self.objects.iter().filter(|row| row.created_site.id.0 == 3).take(2).cloned().collect();
                Detail::Task(TaskDetail { task, arguments, results })
            }
            Target::Actor(_) => return None,
            Target::Process(id) => {
                let process = self.processes.iter().find(|row| row.process == *id)?.clone();
                let mut references: Vec<_> = self.references.iter().filter(|row| row.process == *id).cloned().collect();
                references.sort_by_key(|row| std::cmp::Reverse(row.size_bytes));
                references.truncate(plasmon_protocol::stream::MAX_DETAIL);
                Detail::Process(ProcessDetail {
                    process,
                    references,
                    unique_bytes: Some(31 << 20),
                    executable: "/home/ada/sorter/target/release/demo".into(),
                })
            }
        })
    }
}
