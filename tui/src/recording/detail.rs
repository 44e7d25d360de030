//! One thing in detail, put together from the tables of one instant.

use std::cmp::Reverse;

use plasmon_protocol::column::Table;
use plasmon_protocol::id::{ObjectId, ProcessId};
use plasmon_protocol::record::{
    ActorRow, ObjectRow, PostMortemRow, ProcessRow, ReferenceRow, ReferenceType, SiteRow, SpillFileRow, TaskRow,
};
use plasmon_protocol::stream::{
    ActorDetail, Detail, MAX_DETAIL, ObjectDetail, PostMortem, ProcessDetail, SiteDetail, SpillFileDetail, Target, TaskDetail,
};

use super::Recording;

/// See [`Recording::detail`].
pub(super) fn of(recording: &Recording, target: &Target) -> Option<Detail> {
    match target {
        Target::Object(id) => {
            let object = find(recording.rows::<ObjectRow>(Table::Objects), |row| row.object_id == *id)?;
            let holders = holders(recording, *id);
            let stack = recording.stacks().of(&object.created_site);
            Some(Detail::Object(ObjectDetail { object, stack, holders, ..ObjectDetail::default() }))
        }
        Target::Site(id) => {
            let site = find(recording.rows::<SiteRow>(Table::Sites), |row| row.site.id == *id)?;
            let stacks = recording.stacks();
            let objects = objects(recording, |row| stacks.of(&row.created_site).iter().any(|frame| frame.id == *id));
            Some(Detail::Site(SiteDetail { stack: stacks.of(&site.site), site, objects, source: None }))
        }
        Target::Task(id) => {
            let task = find(recording.rows::<TaskRow>(Table::Tasks), |row| row.task_id == *id)?;
            let results = objects(recording, |row| row.task == Some(*id));
            let stack = recording.stacks().of(&task.call_site);
            Some(Detail::Task(TaskDetail { task, stack, arguments: Vec::new(), results }))
        }
        Target::Process(id) => {
            let Some(process) = find(recording.rows::<ProcessRow>(Table::Processes), |row| row.process == *id) else {
                let process = find(recording.rows::<PostMortemRow>(Table::PostMortem), |row| row.process == *id)?;
                return Some(Detail::PostMortem(PostMortem { process, references: Vec::new() }));
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
            let handle = |row: &&ReferenceRow| row.reference_type == ReferenceType::ActorHandle && row.object_id.0 == id.0;
            let handles = recording.rows(Table::References).iter().filter(handle).take(MAX_DETAIL).cloned().collect();
            let worker = worker(recording, actor.pid);
            let references = worker.map(|worker| held(recording, |row| row.process == worker)).unwrap_or_default();
            Some(Detail::Actor(ActorDetail { actor, calls, handles, references }))
        }
        // Who waits for whom, and what the machine allows, is told by a live agent alone; the rows have the reasons in one line each.
        Target::Explain(_) | Target::Node => None,
        Target::SpillFile(id) => {
            let file = find(recording.rows::<SpillFileRow>(Table::SpillFiles), |row| row.file == *id)?;
            let objects = objects(recording, |row| row.file == Some(*id));
            Some(Detail::SpillFile(SpillFileDetail { file, objects }))
        }
    }
}

fn find<R: Clone>(rows: &[R], is: impl Fn(&R) -> bool) -> Option<R> {
    rows.iter().find(|row| is(row)).cloned()
}

fn holders(recording: &Recording, id: ObjectId) -> Vec<ReferenceRow> {
    recording.rows::<ReferenceRow>(Table::References).iter().filter(|row| row.object_id == id).take(MAX_DETAIL).cloned().collect()
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
