//! One thing in detail, put together from the tables of one instant and what was recorded beside them.

use std::cmp::Reverse;
use std::sync::Arc;

use plasmon_protocol::column::Table;
use plasmon_protocol::doctor::NodeDetail;
use plasmon_protocol::explain::{Explanation, Subject};
use plasmon_protocol::id::{ObjectId, ProcessId};
use plasmon_protocol::record::{ActorRow, ObjectRow, PostMortemRow, ProcessRow, ReferenceRow, Site, SiteRow, SpillFileRow, TaskRow};
use plasmon_protocol::stream::{
    ActorDetail, Detail, MAX_DETAIL, ObjectDetail, PostMortem, ProcessDetail, SiteDetail, SpillFileDetail, Target, TaskDetail,
};

use super::Recording;
use crate::model::window::Tabled;

/// See [`Recording::detail`].
pub(super) fn of(recording: &Recording, target: &Target) -> Option<Detail> {
    match target {
        Target::Object(id) => {
            let object = find(recording.rows::<ObjectRow>(Table::Objects), |row| row.object_id == *id)?;
            let holders = holders(recording, *id);
            let stack = recording.stacks().of(&object.created_site);
            let links = match recording.state.details.get(target) {
                Some(Detail::Object(links)) => links.clone(),
                _ => ObjectDetail::default(),
            };
            Some(Detail::Object(ObjectDetail {
                object,
                stack,
                holders,
                contained_in: known_objects(recording, links.contained_in),
                contains: known_objects(recording, links.contains),
                tasks: known(recording, Table::Tasks, links.tasks, |row: &TaskRow| row.task_id),
            }))
        }
        Target::Site(id) => {
            let site = find(recording.rows::<SiteRow>(Table::Sites), |row| row.site.id == *id)?;
            let stacks = recording.stacks();
            // The unknown site is in no stack.
            let is_within = |site: &Arc<Site>| site.id == *id || stacks.of(site).iter().any(|frame| frame.id == *id);
            let objects = objects(recording, |row| is_within(&row.created_site));
            let source = match recording.state.details.get(target) {
                Some(Detail::Site(detail)) => detail.source.clone(),
                _ => None,
            };
            Some(Detail::Site(SiteDetail { stack: stacks.of(&site.site), site, objects, source }))
        }
        Target::Task(id) => {
            let task = find(recording.rows::<TaskRow>(Table::Tasks), |row| row.task_id == *id)?;
            let mut results = objects(recording, |row| row.task == Some(*id));
            results.sort_by_key(|row| row.object_id);
            let stack = recording.stacks().of(&task.call_site);
            let arguments = match recording.state.details.get(target) {
                Some(Detail::Task(detail)) => known_objects(recording, detail.arguments.clone()),
                _ => Vec::new(),
            };
            Some(Detail::Task(TaskDetail { task, stack, arguments, results }))
        }
        Target::Process(id) => {
            let Some(process) = find(recording.rows::<ProcessRow>(Table::Processes), |row| row.process == *id) else {
                let process = find(recording.rows::<PostMortemRow>(Table::PostMortem), |row| row.process == *id)?;
                return Some(Detail::PostMortem(post_mortem(recording, &process)));
            };
            let references = held(recording, |row| row.process == *id);
            Some(Detail::Process(ProcessDetail { process, references, ..ProcessDetail::default() }))
        }
        Target::Actor(id) => {
            let actor = find(recording.rows::<ActorRow>(Table::Actors), |row| row.actor_id == *id)?;
            let mut calls: Vec<TaskRow> = recording
                .rows::<TaskRow>(Table::Tasks)
                .iter()
                .filter(|row| row.actor == Some(*id) && row.ended_ms.is_none())
                .cloned()
                .collect();
            calls.sort_by_key(|row| (row.started_ms.is_none(), row.submitted_ms, row.task_id));
            calls.truncate(MAX_DETAIL);
            let handles = holders(recording, ObjectId(id.0));
            let worker = worker(recording, actor.pid);
            let references = worker.map(|worker| held(recording, |row| row.process == worker)).unwrap_or_default();
            Some(Detail::Actor(ActorDetail { actor, calls, handles, references }))
        }
        // An explanation without answers says that nothing of it is recorded any more, unless it is the one of all that waits.
        Target::Explain(subject) => match recording.state.details.get(target) {
            Some(Detail::Explain(detail)) if *subject == Subject::Everything || !detail.answers.is_empty() => {
                Some(Detail::Explain(Explanation { subject: None, ..detail.clone() }))
            }
            _ => None,
        },
        Target::Node => match recording.state.details.get(target) {
            Some(Detail::Node(detail)) => Some(Detail::Node(NodeDetail { node: recording.node().clone(), ..detail.clone() })),
            _ => None,
        },
        Target::Recording => None,
        Target::SpillFile(id) => {
            let file = find(recording.rows::<SpillFileRow>(Table::SpillFiles), |row| row.file == *id)?;
            let objects = objects(recording, |row| row.file == Some(*id));
            Some(Detail::SpillFile(SpillFileDetail { file, objects }))
        }
    }
}

/// What a process held when it died.
pub(super) fn post_mortem(recording: &Recording, row: &PostMortemRow) -> PostMortem {
    match recording.state.details.get(&Target::Process(row.process)) {
        Some(Detail::PostMortem(detail)) => detail.clone(),
        _ => PostMortem { process: row.clone(), ..PostMortem::default() },
    }
}

/// Rows that were recorded by their ids, as the table has them; the others were recorded whole.
fn known<R: Tabled + Clone, K: PartialEq>(recording: &Recording, table: Table, rows: Vec<R>, id: impl Fn(&R) -> K) -> Vec<R> {
    let all = recording.rows::<R>(table);
    rows.into_iter().map(|row| all.iter().find(|known| id(known) == id(&row)).cloned().unwrap_or(row)).collect()
}

fn known_objects(recording: &Recording, rows: Vec<ObjectRow>) -> Vec<ObjectRow> {
    known(recording, Table::Objects, rows, |row| row.object_id)
}

fn find<R: Clone>(rows: &[R], is: impl Fn(&R) -> bool) -> Option<R> {
    rows.iter().find(|row| is(row)).cloned()
}

fn holders(recording: &Recording, id: ObjectId) -> Vec<ReferenceRow> {
    let rows = recording.rows::<ReferenceRow>(Table::References);
    let mut rows: Vec<ReferenceRow> = rows.iter().filter(|row| row.object_id == id).cloned().collect();
    rows.sort_by_key(|row| row.process);
    rows.truncate(MAX_DETAIL);
    rows
}

/// The largest first, the older of equals first.
fn objects(recording: &Recording, is: impl Fn(&ObjectRow) -> bool) -> Vec<ObjectRow> {
    let mut rows: Vec<ObjectRow> = recording.rows::<ObjectRow>(Table::Objects).iter().filter(|row| is(row)).cloned().collect();
    rows.sort_by_key(|row| (Reverse(row.size_bytes), row.created_ms, row.object_id));
    rows.truncate(MAX_DETAIL);
    rows
}

/// The largest first, the older of equals first.
fn held(recording: &Recording, is: impl Fn(&ReferenceRow) -> bool) -> Vec<ReferenceRow> {
    let mut rows: Vec<ReferenceRow> = recording.rows::<ReferenceRow>(Table::References).iter().filter(|row| is(row)).cloned().collect();
    rows.sort_by_key(|row| (Reverse(row.size_bytes), row.since_ms, row.object_id));
    rows.truncate(MAX_DETAIL);
    rows
}

/// The live process with this process id.
fn worker(recording: &Recording, pid: Option<u32>) -> Option<ProcessId> {
    let processes = recording.rows::<ProcessRow>(Table::Processes);
    processes.iter().find(|row| Some(row.pid) == pid).map(|row| row.process)
}
