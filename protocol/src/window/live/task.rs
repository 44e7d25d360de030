//! A task's row as it is kept: without what is worked out when it is shown ([`crate::column::Record::VOLATILE`]).

use std::borrow::Cow;
use std::sync::Arc;

use super::store::{Pool, Replicated};
use crate::id::{JobId, ObjectKey, TaskId, TaskKey};
use crate::record::{TaskRow, TaskStatus};
use crate::resources::Resources;

/// No instant.
const NEVER: u64 = u64::MAX;

/// See the module. What is the same in many rows is shared with whoever made them.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct KeptTask {
    submitted_ms: u64,
    waiting_since_ms: u64,
    retry_at_ms: u64,
    started_ms: u64,
    ended_ms: u64,
    heap_bytes: u64,
    name: Arc<str>,
    error: Option<Box<str>>,
    resources: Arc<Resources>,
    key: TaskKey,
    actor: ObjectKey,
    job: JobId,
    call_site: u32,
    submitter_pid: u32,
    worker_pid: Option<u32>,
    attempt: u32,
    waits_for: u32,
    max_retries: u32,
    retries_left: u32,
    nodes: u16,
    status: TaskStatus,
    has_actor: bool,
    blocked: bool,
}

impl Replicated for TaskRow {
    type Kept = KeptTask;

    fn keep(&self, pool: &mut Pool) -> KeptTask {
        let node = self.task_id.node();
        KeptTask {
            submitted_ms: self.submitted_ms,
            waiting_since_ms: self.waiting_since_ms.unwrap_or(NEVER),
            retry_at_ms: self.retry_at_ms.unwrap_or(NEVER),
            started_ms: self.started_ms.unwrap_or(NEVER),
            ended_ms: self.ended_ms.unwrap_or(NEVER),
            heap_bytes: self.heap_bytes,
            name: Arc::clone(&self.name),
            error: self.error.as_deref().map(Box::from),
            resources: Arc::clone(&self.resources),
            key: self.task_id.key(),
            actor: self.actor.map(|actor| actor.key()).unwrap_or_default(),
            job: self.job,
            call_site: pool.site(&self.call_site),
            submitter_pid: self.submitter_pid,
            worker_pid: self.worker_pid,
            attempt: self.attempt,
            waits_for: self.waits_for,
            max_retries: self.max_retries,
            retries_left: self.retries_left,
            nodes: pool.nodes(node, self.actor.map_or(node, |actor| actor.node()), &Arc::default()),
            status: self.status,
            has_actor: self.actor.is_some(),
            blocked: self.blocked,
        }
    }

    fn restore<'a>(kept: &'a KeptTask, pool: &Pool) -> Cow<'a, Self> {
        let (node, actor_node, _) = pool.nodes_at(kept.nodes);
        let instant = |ms: u64| (ms != NEVER).then_some(ms);
        Cow::Owned(Self {
            task_id: kept.key.on(node),
            name: Arc::clone(&kept.name),
            status: kept.status,
            attempt: kept.attempt,
            job: kept.job,
            actor: kept.has_actor.then(|| kept.actor.on(actor_node).into()),
            submitter_pid: kept.submitter_pid,
            worker_pid: kept.worker_pid,
            call_site: pool.site_at(kept.call_site),
            resources: Arc::clone(&kept.resources),
            waits_for: kept.waits_for,
            reason: None,
            waiting_since_ms: instant(kept.waiting_since_ms),
            max_retries: kept.max_retries,
            retries_left: kept.retries_left,
            retry_at_ms: instant(kept.retry_at_ms),
            blocked: kept.blocked,
            submitted_ms: kept.submitted_ms,
            started_ms: instant(kept.started_ms),
            ended_ms: instant(kept.ended_ms),
            heap_bytes: kept.heap_bytes,
            peak_bytes: 0,
            peak_runs: 0,
            suggested_bytes: None,
            error: kept.error.as_deref().map(str::to_owned),
        })
    }

    fn tie_of(kept: &KeptTask, pool: &Pool) -> TaskId {
        kept.key.on(pool.nodes_at(kept.nodes).0)
    }

    fn shares(_: &KeptTask) -> Option<ObjectKey> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::NodeId;

    #[test]
    fn a_task_is_kept_in_152_bytes() {
        assert_eq!(size_of::<Option<KeptTask>>(), 152);
    }

    #[test]
    fn a_row_is_what_was_kept() {
        let node = NodeId([7; 8]);
        let row = TaskRow {
            task_id: TaskKey { number: 3, ..TaskKey::default() }.on(node),
            name: "app::f".into(),
            status: TaskStatus::Running,
            attempt: 2,
            job: JobId(4),
            actor: Some(ObjectKey { slot: 5, generation: 6 }.on(node).into()),
            submitter_pid: 7,
            worker_pid: Some(8),
            call_site: Arc::default(),
            resources: Arc::default(),
            waits_for: 9,
            reason: None,
            waiting_since_ms: None,
            max_retries: 10,
            retries_left: 11,
            retry_at_ms: Some(12),
            blocked: true,
            submitted_ms: 13,
            started_ms: Some(0),
            ended_ms: None,
            heap_bytes: 14,
            peak_bytes: 0,
            peak_runs: 0,
            suggested_bytes: None,
            error: Some("no".to_owned()),
        };
        let mut pool = Pool::default();
        let kept = row.keep(&mut pool);
        assert_eq!(*TaskRow::restore(&kept, &pool), row);
        assert_eq!(TaskRow::tie_of(&kept, &pool), row.task_id);
    }
}
