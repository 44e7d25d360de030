//! What each node waits for.

use std::collections::BTreeMap;

use plasmon_protocol::id::{ObjectKey, ProcessId, TaskKey};
use plasmon_protocol::record::{ActorStatus, ObjectState, TaskStatus};
use plasmon_protocol::size::Bytes;

use super::labels::create_key;
use super::{Core, Key, Links, Rule};
use crate::reactor::Activity;
use crate::reactor::reservations::Reservation;
use crate::scheduler::resources::Lack;
use crate::scheduler::task::{Role, Task};
use crate::store::object::Residency;

/// Edges of one kind that leave one node.
const MAX_FAN: usize = 8;
/// Requests of a process, and objects of the store, that are looked at.
const MAX_LOOKED: usize = 1 << 16;

/// The first of many, and how many are left out.
fn cut<T>(mut all: Vec<T>) -> (Vec<T>, u64) {
    let more = all.len().saturating_sub(MAX_FAN);
    all.truncate(MAX_FAN);
    (all, more as u64)
}

/// All of these, each for the same reason.
fn links(keys: Vec<Key>, reason: &str, rule: impl FnOnce(Vec<Key>) -> Rule) -> Links {
    let (keys, more) = cut(keys);
    let edges = keys.iter().map(|key| (*key, reason.to_owned())).collect();
    Links { edges, more, rule: rule(keys) }
}

impl Core {
    /// What a node waits for. Of a root that waits for nothing, who holds it.
    pub(super) fn links(&self, key: Key, root: bool) -> Links {
        match key {
            Key::Task(key) => self.tasks.get(&key).map_or_else(Links::none, |task| self.task_links(task)),
            Key::Object(key) => self.object_links(key, root),
            Key::Actor(key) => self.actor_links(key),
            Key::Process(process) => self.process_links(process),
            Key::Resource(resource) => self.resource_links(resource),
            Key::Room(..) | Key::Back(_) => self.create_links(key),
            Key::Spill | Key::Start(_) | Key::Retry(_) => Links::none(),
        }
    }

    fn task_links(&self, task: &Task) -> Links {
        match task.status {
            TaskStatus::PendingArgsAvail => {
                let pending = |key: &ObjectKey| self.objects.get(*key).is_some_and(|object| object.state == Some(ObjectState::Pending));
                links(task.objects().into_iter().filter(pending).map(Key::Object).collect(), "needs", Rule::All)
            }
            TaskStatus::PendingArgsFetch => {
                let away = |key: &ObjectKey| self.objects.get(*key).is_some_and(|object| object.is_away());
                links(task.objects().into_iter().filter(away).map(Key::Object).collect(), "needs", Rule::All)
            }
            TaskStatus::PendingObjStoreMemAvail => {
                let fetched = self
                    .tasks
                    .values()
                    .take(MAX_LOOKED)
                    .filter(|other| !other.rare().fetched.is_empty() && !other.rare().fetched_lent && other.key != task.key);
                let mut others: Vec<TaskKey> = fetched.map(|other| other.key).collect();
                others.sort_unstable();
                links(others.into_iter().map(Key::Task).collect(), "waits for room that is taken by arguments of", Rule::Any)
            }
            TaskStatus::Infeasible => {
                let short = self.resources.offer().short_of(&task.shape);
                links(short.into_iter().map(Key::Resource).collect(), "asks for more than there is of", |_| Rule::Freely)
            }
            TaskStatus::PendingNodeAssignment if task.rare().retry_at_ms.is_some() => {
                links(vec![Key::Retry(task.key)], "waits for", |_| Rule::Freely)
            }
            TaskStatus::PendingNodeAssignment => match task.role {
                Role::Method(actor) => self.call_links(task, actor),
                Role::Function | Role::Constructor(_) => self.queued_links(task),
            },
            TaskStatus::SubmittedToWorker if self.is_ahead(task) => match task.role {
                Role::Method(actor) => self.call_links(task, actor),
                Role::Function | Role::Constructor(_) => Links::none(),
            },
            TaskStatus::SubmittedToWorker | TaskStatus::Running => {
                links(task.worker.map(Key::Process).into_iter().collect(), "runs in", Rule::All)
            }
            TaskStatus::Finished | TaskStatus::Failed => Links::none(),
        }
    }

    /// Whether a task was sent to its actor and comes after another one there.
    fn is_ahead(&self, task: &Task) -> bool {
        task.role.actor().and_then(|actor| self.actors.get(&actor)).is_some_and(|actor| actor.ahead.contains(&task.key))
    }

    /// A task that waits for resources, for its turn or for a worker.
    fn queued_links(&self, task: &Task) -> Links {
        let lacks = self.resources.lacks(&task.shape);
        if !lacks.is_empty() {
            let needs = lacks.iter().map(|lack| (lack.number, lack.missing)).collect();
            let edges = lacks.iter().map(|lack| (Key::Resource(lack.number), format!("lacks {} of", amount(lack)))).collect();
            return Links { edges, more: 0, rule: Rule::Free(needs) };
        }
        let kept = self.kept().filter(|kept| kept.head.task != task.key);
        if let Some(kept) = kept.filter(|kept| !self.resources.leaves(&task.shape, &kept.head.shape)) {
            return links(vec![Key::Task(kept.head.task)], "lets pass, after its long wait,", Rule::All);
        }
        match self.jobs.get(&task.job) {
            Some(job) if job.starting > 0 => links(vec![Key::Start(task.job)], "waits for", |_| Rule::Freely),
            _ => Links::none(),
        }
    }

    fn call_links(&self, call: &Task, key: ObjectKey) -> Links {
        let Some(actor) = self.actors.get(&key) else { return Links::none() };
        if actor.status != ActorStatus::Alive {
            return links(vec![Key::Actor(key)], "waits for", Rule::All);
        }
        if !actor.has_place() {
            return links(actor.running.iter().copied().map(Key::Task).collect(), "comes after", Rule::Any);
        }
        match actor.calls.first_of(call.key.process).filter(|first| *first != call.key) {
            Some(first) => links(vec![Key::Task(first)], "comes after", Rule::All),
            None => Links::none(),
        }
    }

    fn actor_links(&self, key: ObjectKey) -> Links {
        let Some(actor) = self.actors.get(&key) else { return Links::none() };
        match actor.status {
            ActorStatus::PendingCreation | ActorStatus::Restarting => links(vec![Key::Task(actor.constructor)], "waits for", Rule::All),
            ActorStatus::Alive if actor.running.is_empty() => {
                links(actor.worker.map(Key::Process).into_iter().collect(), "lives in", |_| Rule::Freely)
            }
            ActorStatus::Alive => links(actor.running.iter().copied().map(Key::Task).collect(), "runs", Rule::Any),
            ActorStatus::Dead => Links::none(),
        }
    }

    fn object_links(&self, key: ObjectKey, root: bool) -> Links {
        let Some(object) = self.objects.get(key) else { return Links::none() };
        match (object.state, object.residency) {
            (Some(ObjectState::Pending), _) if object.actor => links(vec![Key::Actor(key)], "the handle of", Rule::All),
            (Some(ObjectState::Pending), _) => links(object.task().map(Key::Task).into_iter().collect(), "made by", Rule::All),
            (Some(ObjectState::InMemory), Residency::Spilled) if self.spill.wanted.contains(&key) => {
                links(vec![Key::Back(key)], "waits for", Rule::All)
            }
            (Some(ObjectState::InMemory), Residency::Restoring) => links(vec![Key::Spill], "read back by", |_| Rule::Freely),
            _ if root => {
                let holders = self.references.holders(object.first_row).take(object.rows as usize).take(MAX_LOOKED);
                links(holders.map(|row| Key::Process(row.process)).collect(), "held by", |_| Rule::Freely)
            }
            _ => Links::none(),
        }
    }

    /// The objects that a process gets, and those that it only waits to hear of.
    pub(super) fn asked_by(&self, id: ProcessId) -> (Vec<Key>, Vec<Key>) {
        let Some(process) = self.process(id) else { return Default::default() };
        let (mut gets, mut waits) = (Vec::new(), Vec::new());
        for (request, key) in process.requests.iter().take(MAX_LOOKED) {
            let Some(object) = self.objects.get(*key) else { continue };
            let Some(wants) = object.cold.as_ref().and_then(|cold| cold.awaited_by(id, *request)) else { continue };
            let list = if wants.is_some() { &mut gets } else { &mut waits };
            list.push(Key::Object(*key));
        }
        for list in [&mut gets, &mut waits] {
            list.sort_unstable();
            list.dedup();
        }
        waits.retain(|key| gets.binary_search(key).is_err());
        (gets, waits)
    }

    fn process_links(&self, id: ProcessId) -> Links {
        let Some(process) = self.process(id) else { return Links::none() };
        let (gets, waits) = self.asked_by(id);
        let rooms = self.creates.iter().map(create_key).filter(|key| matches!(key, Key::Room(process, _) if *process == id));
        let rooms: Vec<Key> = rooms.take(MAX_LOOKED).collect();
        // A worker may ask ahead of need; a driver has no word for its being blocked.
        let blocks = process.blocked || process.activity == Activity::Free;
        // Of several calls side by side nobody knows which of them waits.
        let side_by_side = match process.activity {
            Activity::Actor(actor) => self.actors.get(&actor).map_or(0, |actor| actor.running.len()),
            _ => 1,
        };
        let asked = gets.len() + rooms.len();
        let rule = if (asked == 0 || !blocks) && rooms.is_empty() {
            if waits.is_empty() || !blocks || side_by_side > 1 { Rule::Freely } else { Rule::Any(waits.clone()) }
        } else if side_by_side <= 1 {
            Rule::All(gets.iter().chain(&rooms).copied().collect())
        } else if asked >= side_by_side {
            Rule::Any(gets.iter().chain(&rooms).copied().collect())
        } else {
            Rule::Freely
        };
        let mut all = Links { edges: Vec::new(), more: 0, rule };
        for (keys, reason) in [(rooms, "needs"), (gets, "gets"), (waits, "waits for any of")] {
            let some = links(keys, reason, |_| Rule::Freely);
            all.edges.extend(some.edges);
            all.more += some.more;
        }
        all
    }

    /// Who holds some of a resource at this moment, most first.
    pub(super) fn holders(&self, resource: usize) -> Vec<(ProcessId, u64)> {
        let holders = self.living_processes().filter_map(|(id, process)| {
            let reservation = process.reservation.as_ref().filter(|held| resource != 0 || !held.without_cpus)?;
            Some((id, self.resources.amount(&reservation.shape, resource))).filter(|(_, amount)| *amount > 0)
        });
        let mut holders: Vec<(ProcessId, u64)> = holders.collect();
        holders.sort_by_key(|(id, amount)| (std::cmp::Reverse(*amount), *id));
        holders
    }

    fn resource_links(&self, resource: usize) -> Links {
        let keys = self.holders(resource).into_iter().map(|(id, _)| Key::Process(id)).collect();
        links(keys, "held by", |_| Rule::Freely)
    }

    /// What a reservation has at this moment, for people.
    pub(super) fn reserved_words(&self, held: &Reservation) -> String {
        if !held.without_cpus {
            return held.shape.asked.to_string();
        }
        let mut rest = plasmon_protocol::resources::Resources::clone(&held.shape.asked);
        rest.cpus = plasmon_protocol::resources::Amount::ZERO;
        rest.to_string()
    }

    /// A create, or an object on its way back, without room.
    fn create_links(&self, key: Key) -> Links {
        let Some((place, _)) = self.create_of(key) else { return Links::none() };
        if let Some(before) = place.checked_sub(1).and_then(|before| self.creates.get(before)) {
            return links(vec![create_key(before)], "comes after", Rule::All);
        }
        let mut holders = BTreeMap::<ProcessId, u64>::new();
        for (_, object) in self.objects.iter().take(MAX_LOOKED).filter(|(_, object)| object.counts.pinned > 0 && object.place.is_some()) {
            for row in self.references.holders(object.first_row).take(object.rows as usize) {
                if row.pins() > 0 {
                    *holders.entry(row.process).or_default() += object.length;
                }
            }
        }
        let mut holders: Vec<(ProcessId, u64)> = holders.into_iter().collect();
        holders.sort_by_key(|(id, bytes)| (std::cmp::Reverse(*bytes), *id));
        let all: Vec<Key> = holders.iter().map(|(id, _)| Key::Process(*id)).collect();
        let (holders, more) = cut(holders);
        let mut edges: Vec<(Key, String)> =
            holders.into_iter().map(|(id, bytes)| (Key::Process(id), format!("waits for {} pinned by", Bytes(bytes)))).collect();
        // What is being written or called back makes room by itself, and so does what can still be written.
        let moves = self.spill.writing.bytes + self.spill.reading.bytes > 0;
        if moves {
            edges.insert(0, (Key::Spill, "waits for".to_owned()));
        }
        let rule = if moves || more > 0 || !self.spill.exhausted && self.spill.config.is_on() { Rule::Freely } else { Rule::Any(all) };
        Links { edges, more, rule }
    }
}

fn amount(lack: &Lack) -> String {
    let text = lack.describe();
    text.strip_suffix(&*lack.resource).map_or_else(|| text.clone(), |number| number.trim_end().to_owned())
}
