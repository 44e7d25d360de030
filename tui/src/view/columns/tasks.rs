//! The columns of tasks.

use plasmon_protocol::local::ENDLESS;
use plasmon_protocol::record::{TaskRow, TaskStatus};

use plasmon_protocol::size::cells;

use super::{call_label, memory, plain, site, some};
use crate::view::format::{age, took};
use crate::view::table::Column;
use crate::view::theme::Role;

/// The attempt and how many there may be: `2/4`; without retries, the attempt alone.
fn tries(row: &TaskRow) -> String {
    match row.max_retries {
        0 => row.attempt.to_string(),
        ENDLESS => format!("{}/∞", row.attempt),
        retries => format!("{}/{}", row.attempt, u64::from(retries) + 1),
    }
}

/// Where a task is in its life, in a word.
#[must_use]
pub fn status(row: &TaskRow) -> &'static str {
    match row.status {
        TaskStatus::PendingArgsAvail => "args",
        TaskStatus::PendingNodeAssignment => "queued",
        TaskStatus::Infeasible => "infeasible",
        TaskStatus::PendingObjStoreMemAvail => "room",
        TaskStatus::PendingArgsFetch => "fetch",
        TaskStatus::SubmittedToWorker => "sent",
        TaskStatus::Running if row.blocked => "blocked",
        TaskStatus::Running => "running",
        TaskStatus::Finished => "finished",
        TaskStatus::Failed => "failed",
    }
}

/// Tasks.
pub const TASKS: &[Column<TaskRow>] = &[
    Column::word("status", "status", 10, 9, |row, _| {
        (status(row).to_owned(), if row.blocked { Role::Warn } else { Role::status(row.status) })
    }),
    Column::wide("task", "name", 14, 1, 9, |row, _| plain(call_label(&row.name, row.actor.is_some()))),
    Column::still("worker", "pid", 7, 8, |row, _| row.worker_pid.map_or(("-".to_owned(), Role::Dim), |pid| plain(pid.to_string()))),
    Column::figure("waits", "waits", 5, 2, |row, _| some(row.waits_for.into())),
    Column::figure("try", "attempt", 5, 4, |row, _| (tries(row), if row.attempt > 1 { Role::Warn } else { Role::Dim })),
    Column::wide("reserves", "resources", 8, 1, 3, |row, _| (row.resources.to_string(), Role::Dim)),
    Column::figure("heap", "heap", 5, 2, |row, _| memory(row.heap_bytes)),
    Column::figure("peak", "peak", 5, 4, |row, _| memory(row.peak_bytes)),
    Column::figure("ask for", "suggested", 7, 4, |row, _| {
        row.suggested_bytes.map_or_else(|| ("-".to_owned(), Role::Dim), |bytes| (cells(bytes).trim_start().to_owned(), Role::Warn))
    }),
    Column::still("age", "age", 4, 6, |row, now| plain(age(now, row.submitted_ms))),
    Column::still("took", "", 5, 5, |row, now| match (row.started_ms, row.ended_ms) {
        (Some(start), Some(end)) => plain(took(end.saturating_sub(start))),
        (Some(start), None) => (age(now, start), Role::Dim),
        (None, _) => ("-".to_owned(), Role::Dim),
    }),
    Column::still("since", "", 5, 6, |row, now| match row.waiting_since_ms {
        Some(since) => (age(now, since), Role::Warn),
        None => (String::new(), Role::Dim),
    }),
    Column::wide("waits for", "reason", 18, 3, 9, |row, _| match (&row.error, &row.reason) {
        (Some(error), _) => (error.clone(), Role::Bad),
        (None, Some(reason)) => plain(reason.as_str()),
        (None, None) => ("-".to_owned(), Role::Dim),
    }),
    Column::wide("submitted at", "site", 18, 1, 5, |row, _| site(&row.call_site)),
    Column::still("by", "submitter", 7, 1, |row, _| plain(row.submitter_pid.to_string())),
];
