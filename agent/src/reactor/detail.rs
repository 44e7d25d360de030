//! One thing in detail.

use plasmon_protocol::doctor::NodeDetail;
use plasmon_protocol::id::{ObjectKey, ProcessId, SiteId};
use plasmon_protocol::record::{ObjectRow, ReferenceRow, TaskRow};
use plasmon_protocol::stream::{ActorDetail, Detail, MAX_DETAIL, ObjectDetail, Output, ProcessDetail, SiteDetail, Target, TaskDetail};
use plasmon_protocol::window::TABLES;

use super::{Core, Process};
use crate::store::object::Object;
use crate::telemetry::tables::Tables;

/// Rows of one table that a viewer who records is told the details of: about as many as its windows reach.
const MAX_WATCHED: usize = 1_000;

impl Core {
    pub(super) fn detail_of(&self, target: Target) -> Option<Detail> {
        match target {
            Target::Object(id) if id.node() == self.config.node => self.object_detail(id.key()).map(Detail::Object),
            Target::Task(id) if id.node() == self.config.node => self.task_detail(id.key()).map(Detail::Task),
            Target::Actor(id) if id.node() == self.config.node => self.actor_detail(id.key()).map(Detail::Actor),
            Target::Object(_) | Target::Task(_) | Target::Actor(_) => None,
            Target::Node => Some(Detail::Node(self.node_detail())),
            Target::Recording => {
                let tables = TABLES.map(|table| self.taken(table, MAX_WATCHED));
                Some(Detail::Recording(self.recorded_details(&tables)))
            }
            Target::Explain(subject) => self.explain(&subject).map(Detail::Explain),
            Target::SpillFile(id) => self.spill_file_detail(id).map(Detail::SpillFile),
            Target::Site(id) => self.site_detail(id).map(Detail::Site),
            Target::Process(id) => {
                let alive = self.process_detail(id).map(Detail::Process);
                alive.or_else(|| self.post_mortems.get(id).map(Detail::PostMortem))
            }
        }
    }

    /// The node; what it takes files and time to find out is added outside.
    pub(super) fn node_detail(&self) -> NodeDetail {
        let store = Tables::store(self);
        NodeDetail {
            capacity_bytes: store.ledger.capacity_bytes,
            spill_places: store.spill.places.clone(),
            node: store.node,
            checks: Vec::new(),
        }
    }

    /// What opens an actor's page.
    pub(super) fn actor_target(&self, key: ObjectKey) -> Target {
        Target::Actor(key.on(self.config.node).into())
    }

    fn object_detail(&self, key: ObjectKey) -> Option<ObjectDetail> {
        let object = self.objects.get(key).filter(|object| !object.hidden)?;
        // Containers and pending tasks are not indexed by what they hold: they are looked for only while a page shows them.
        let contained_in = if object.counts.captured == 0 {
            Vec::new()
        } else {
            let containers = self.visible().filter(|(_, outer)| outer.contains().contains(&key));
            containers.take(MAX_DETAIL).map(|(outer_key, outer)| self.object_row(outer_key, outer)).collect()
        };
        let tasks = if object.counts.submitted == 0 {
            Vec::new()
        } else {
            let pending = self.jobs.values().flat_map(|job| &job.pending).filter_map(|task| self.tasks.get(task));
            pending.filter(|task| task.holds.contains(&key)).take(MAX_DETAIL).map(|task| self.task_row(task)).collect()
        };
        Some(ObjectDetail {
            object: self.object_row(key, object),
            stack: self.sites.stack(object.site),
            holders: self.holders_in_order(object),
            contained_in,
            contains: self.object_rows(object.contains()),
            tasks,
        })
    }

    /// Who holds an object, in the order of the table of references.
    fn holders_in_order(&self, object: &Object) -> Vec<ReferenceRow> {
        let mut rows: Vec<_> = self.references.holders(object.first_row).take(object.rows as usize).collect();
        rows.sort_unstable_by_key(|row| row.process);
        rows.truncate(MAX_DETAIL);
        rows.into_iter().map(|row| self.reference_row(row, object)).collect()
    }

    pub(super) fn object_rows(&self, keys: &[ObjectKey]) -> Vec<ObjectRow> {
        keys.iter().filter_map(|key| Some(self.object_row(*key, self.objects.get(*key)?))).take(MAX_DETAIL).collect()
    }

    fn site_detail(&self, id: SiteId) -> Option<SiteDetail> {
        let figures = self.sites.figures(self.now_ms).get(id.0 as usize).copied().filter(|figures| figures.held.objects > 0)?;
        let within = self.sites.within(id);
        let is_within = |site: SiteId| within.get(site.0 as usize).copied().unwrap_or(false);
        let mut objects: Vec<_> = self.visible().filter(|(_, object)| is_within(object.site)).collect();
        objects.sort_by_key(|(key, object)| (std::cmp::Reverse(object.size()), object.created_ms, *key));
        objects.truncate(MAX_DETAIL);
        Some(SiteDetail {
            site: self.site_row(id, &figures),
            stack: self.sites.stack(id),
            objects: objects.into_iter().map(|(key, object)| self.object_row(key, object)).collect(),
            source: None,
        })
    }

    fn task_detail(&self, key: plasmon_protocol::id::TaskKey) -> Option<TaskDetail> {
        let task = self.tasks.get(&key)?;
        let arguments: Vec<ObjectKey> = task.argument_objects().collect();
        Some(TaskDetail {
            task: self.task_row(task),
            stack: self.sites.stack(task.site),
            arguments: self.object_rows(&arguments),
            results: self.object_rows(&task.returns),
        })
    }

    fn process_detail(&self, id: ProcessId) -> Option<ProcessDetail> {
        let process = self.process(id)?;
        Some(ProcessDetail {
            process: self.process_row(id, process),
            references: self.largest_references(process),
            unique_bytes: None,
            executable: "".into(),
            // Files are for whoever completes it.
            output: Output::default(),
        })
    }

    /// What a process holds, largest first.
    pub(super) fn largest_references(&self, process: &Process) -> Vec<ReferenceRow> {
        let rows = self.references.of_process(process.first_reference);
        let mut rows: Vec<_> = rows.filter_map(|row| Some((row, self.objects.get(row.key).filter(|object| !object.hidden)?))).collect();
        rows.sort_by_key(|(row, object)| (std::cmp::Reverse(object.size()), row.since_ms, row.key));
        rows.truncate(MAX_DETAIL);
        rows.into_iter().map(|(row, object)| self.reference_row(row, object)).collect()
    }

    fn actor_detail(&self, key: ObjectKey) -> Option<ActorDetail> {
        let actor = self.actors.get(&key)?;
        let calls = actor.running.iter().chain(&actor.ahead).copied().chain(actor.calls.iter()).filter_map(|call| self.tasks.get(&call));
        let handle = self.objects.get(key);
        let mut calls: Vec<TaskRow> = calls.take(MAX_DETAIL).map(|call| self.task_row(call)).collect();
        calls.sort_by_key(|row| (row.started_ms.is_none(), row.submitted_ms, row.task_id));
        Some(ActorDetail {
            actor: self.actor_row(actor),
            calls,
            handles: handle.map(|object| self.holders_in_order(object)).unwrap_or_default(),
            references: actor
                .worker
                .and_then(|worker| self.process(worker))
                .map(|worker| self.largest_references(worker))
                .unwrap_or_default(),
        })
    }
}
