//! What a recording needs beside the rows that it takes: what lies in what, which task takes what, who waits for whom. It costs a walk over
//! the objects and what belongs to the rows, not the square of anything.

use std::cmp::Reverse;
use std::collections::HashMap;

use plasmon_protocol::explain::Subject;
use plasmon_protocol::id::{ObjectKey, SiteId, TaskKey};
use plasmon_protocol::record::{ActorRow, ActorStatus, ObjectRow, ObjectState, ProcessType, SiteRow, TaskRow, TaskStatus};
use plasmon_protocol::recording::Taken;
use plasmon_protocol::stream::{Detail, MAX_DETAIL, ObjectDetail, Rows, SiteDetail, Target};

use super::Core;

/// Things of which it is recorded why they wait, or what they do.
const MAX_EXPLAINED: usize = 100;
/// Sites whose source is looked for.
const MAX_SITES: usize = 200;

/// The keys of a table's things, of all that are recorded.
struct Recorded<'a> {
    objects: &'a [ObjectRow],
    tasks: &'a [TaskRow],
    actors: &'a [ActorRow],
}

/// Whether somebody may wait for an object.
fn is_away(row: &ObjectRow) -> bool {
    matches!(row.state, ObjectState::Pending | ObjectState::Spilled | ObjectState::Restoring | ObjectState::Failed)
}

/// The largest object of each site, the oldest of equals.
fn largest_by_site(objects: &[ObjectRow]) -> HashMap<SiteId, &ObjectRow> {
    let mut largest = HashMap::<SiteId, &ObjectRow>::new();
    let order = |row: &ObjectRow| (Reverse(row.size_bytes), row.created_ms, row.object_id);
    for row in objects {
        let first = largest.entry(row.created_site.id).or_insert(row);
        if order(row) < order(first) {
            *first = row;
        }
    }
    largest
}

impl Core {
    /// See [`crate::telemetry::tables::Tables::recorded`].
    pub(super) fn recorded_details(&self, tables: &[Taken]) -> Vec<Detail> {
        let mut recorded = Recorded { objects: &[], tasks: &[], actors: &[] };
        let mut details = vec![Detail::Node(self.node_detail())];
        let (mut sites, mut dead) = (Vec::new(), Vec::new());
        for taken in tables {
            match &taken.rows {
                Rows::Objects(rows) => recorded.objects = rows,
                Rows::Tasks(rows) => recorded.tasks = rows,
                Rows::Actors(rows) => recorded.actors = rows,
                Rows::Sites(rows) => sites.extend(rows.iter().cloned()),
                Rows::PostMortem(rows) => dead.extend(rows.iter().filter_map(|row| self.post_mortems.get(row.process))),
                _ => {}
            }
        }
        sites.sort_unstable_by_key(|row: &SiteRow| (Reverse(row.held_bytes), row.site.id));
        sites.truncate(MAX_SITES);
        details.extend(self.recorded_reasons(&recorded));
        details.extend(dead.into_iter().map(Detail::PostMortem));
        details.extend(self.recorded_arguments(&recorded));
        details.extend(self.recorded_links(&recorded));
        // Its largest object says which program the lines are of.
        let largest = largest_by_site(recorded.objects);
        details.extend(sites.into_iter().map(|site| {
            let objects = largest.get(&site.site.id).map(|row| (*row).clone()).into_iter().collect();
            Detail::Site(SiteDetail { site, objects, ..SiteDetail::default() })
        }));
        details
    }

    /// Why things wait: all that does first, then what else may be asked about.
    fn recorded_reasons(&self, recorded: &Recorded<'_>) -> Vec<Detail> {
        let waits = |row: &&TaskRow| row.ended_ms.is_none() && row.status != TaskStatus::Running;
        let runs = |row: &&TaskRow| row.status == TaskStatus::Running;
        let of_tasks = |wanted: fn(&&TaskRow) -> bool| recorded.tasks.iter().filter(wanted).map(|row| Subject::Task(row.task_id));
        let of_objects = |away: bool| {
            let wanted = recorded.objects.iter().filter(move |row| is_away(row) == away && row.state != ObjectState::Actor);
            wanted.map(|row| Subject::Object(row.object_id))
        };
        let actors = recorded.actors.iter().filter(|row| row.status != ActorStatus::Dead).map(|row| Subject::Actor(row.actor_id));
        let processes = self.living_processes().filter(|(_, process)| process.process_type != ProcessType::Agent);
        let subjects = std::iter::once(Subject::Everything)
            .chain(of_tasks(waits))
            .chain(actors)
            .chain(processes.map(|(id, _)| Subject::Process(id)))
            .chain(of_tasks(runs))
            .chain(of_objects(true))
            .chain(of_objects(false))
            .chain(of_tasks(|row| row.ended_ms.is_some()));
        subjects
            .take(MAX_EXPLAINED)
            .filter_map(|subject| {
                let mut explanation = self.explain(&subject)?;
                explanation.subject = Some(subject);
                Some(Detail::Explain(explanation))
            })
            .collect()
    }

    fn recorded_arguments(&self, recorded: &Recorded<'_>) -> Vec<Detail> {
        let has_arguments =
            |row: &&TaskRow| self.tasks.get(&row.task_id.key()).is_some_and(|task| task.argument_objects().next().is_some());
        let pending = recorded.tasks.iter().filter(|row| row.ended_ms.is_none()).filter(has_arguments);
        let details = pending.filter_map(|row| match self.detail_of(Target::Task(row.task_id)) {
            Some(Detail::Task(detail)) if !detail.arguments.is_empty() => Some(Detail::Task(detail)),
            _ => None,
        });
        details.collect()
    }

    /// What lies in what, and which of the recorded tasks need it.
    fn recorded_links(&self, recorded: &Recorded<'_>) -> Vec<Detail> {
        let mut details: Vec<ObjectDetail> = Vec::new();
        let mut places = HashMap::<ObjectKey, usize>::new();
        for row in recorded.objects {
            let key = row.object_id.key();
            let Some(object) = self.objects.get(key) else { continue };
            if object.contains().is_empty() && object.counts.captured == 0 && object.counts.submitted == 0 {
                continue;
            }
            places.insert(key, details.len());
            details.push(ObjectDetail { object: row.clone(), contains: self.object_rows(object.contains()), ..ObjectDetail::default() });
        }
        if details.is_empty() {
            return Vec::new();
        }
        for (outer_key, outer) in self.visible() {
            for inner in outer.contains() {
                if let Some(detail) = places.get(inner).and_then(|place| details.get_mut(*place))
                    && detail.contained_in.len() < MAX_DETAIL
                {
                    detail.contained_in.push(self.object_row(outer_key, outer));
                }
            }
        }
        let mut tasks: Vec<(TaskKey, &TaskRow)> =
            recorded.tasks.iter().filter(|row| row.ended_ms.is_none()).map(|row| (row.task_id.key(), row)).collect();
        tasks.sort_unstable_by_key(|(key, _)| *key);
        for (key, row) in tasks {
            for held in self.tasks.get(&key).map_or(&[][..], |task| &task.holds) {
                if let Some(detail) = places.get(held).and_then(|place| details.get_mut(*place))
                    && detail.tasks.len() < MAX_DETAIL
                {
                    detail.tasks.push(row.clone());
                }
            }
        }
        details.into_iter().map(Detail::Object).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use plasmon_protocol::record::Site;

    use super::*;

    #[test]
    fn the_largest_object_of_a_site_is_found_in_any_order() {
        let object = |site: u32, size_bytes: Option<u64>, created_ms: u64| ObjectRow {
            size_bytes,
            created_ms,
            created_site: Arc::new(Site { id: SiteId(site), ..Site::default() }),
            ..ObjectRow::default()
        };
        let mut objects = vec![object(1, None, 1), object(1, Some(3), 3), object(2, None, 2), object(1, Some(9), 5), object(1, Some(9), 4)];
        for _ in 0..objects.len() {
            objects.rotate_left(1);
            let largest = largest_by_site(&objects);
            assert_eq!((largest[&SiteId(1)].created_ms, largest[&SiteId(2)].created_ms), (4, 2));
        }
    }
}
