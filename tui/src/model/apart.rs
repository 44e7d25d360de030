//! Narrow ids of several agents, moved apart: of the agent number *n* every one is [`APART`] times *n* larger. Wide ids have their node in
//! them and stay.

use plasmon_protocol::stream::Target;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// How far ids of one agent are from those of the next. No agent's life has as many processes, sites or files.
pub const APART: u32 = 10_000_000;

/// The number of the agent that a narrow id is of.
#[must_use]
pub fn agent_of(id: u32) -> usize {
    (id / APART) as usize
}

/// Fields of rows and details that are narrow ids, of processes, sites and files.
const NARROW: [&str; 6] = ["process", "creator", "file", "spill_file", "site", "victim"];

/// The same with its narrow ids moved, of the agent with this number; as it is when it cannot be, which no row brings about.
#[must_use]
pub fn moved<T: Serialize + DeserializeOwned + Clone>(value: &T, number: usize) -> T {
    let by = u64::from(APART) * number as u64;
    if by == 0 {
        return value.clone();
    }
    let walked = serde_json::to_value(value).map(|mut json| {
        walk(&mut json, by);
        json
    });
    walked.and_then(serde_json::from_value).unwrap_or_else(|_| value.clone())
}

fn walk(value: &mut Value, by: u64) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| walk(value, by)),
        Value::Object(fields) => object(fields, by),
        _ => {}
    }
}

fn object(fields: &mut Map<String, Value>, by: u64) {
    // A place in a program; the one that is not known has the number 0 everywhere.
    let is_site = fields.contains_key("function") && fields.contains_key("line");
    let is_event = fields.contains_key("number") && fields.contains_key("severity");
    for (name, value) in fields.iter_mut() {
        // Resources have the names that people gave them.
        if name == "custom" {
            continue;
        }
        let narrow = NARROW.contains(&name.as_str()) || (is_site && (name == "id" || name == "caller"));
        match value.as_u64() {
            Some(0) if name == "site" || (is_site && (name == "id" || name == "caller")) => {}
            Some(id) if narrow => *value = (id + by).into(),
            // Events are counted by every agent.
            Some(count) if is_event && name == "number" => *value = (count + by * 1_000_000).into(),
            Some(_) => {}
            None => walk(value, by),
        }
    }
}

/// What is asked of agent `number` about a thing; `None` when it is another's.
#[must_use]
pub fn target(target: &Target, number: usize) -> Option<Target> {
    use plasmon_protocol::explain::Subject;
    use plasmon_protocol::id::{ProcessId, SiteId, SpillFileId};
    let own = |id: u32| (agent_of(id) == number).then_some(id % APART);
    Some(match target {
        Target::Site(id) => Target::Site(SiteId(own(id.0)?)),
        Target::Process(id) => Target::Process(ProcessId(own(id.0)?)),
        Target::SpillFile(id) => Target::SpillFile(SpillFileId(own(id.0)?)),
        Target::Explain(Subject::Process(id)) => Target::Explain(Subject::Process(ProcessId(own(id.0)?))),
        // An agent knows its own; of another's it says that it is gone, which is left out when somebody has it.
        Target::Object(_) | Target::Task(_) | Target::Actor(_) | Target::Explain(_) | Target::Node | Target::Recording => target.clone(),
    })
}

/// Adds a row's figures to another's.
pub fn add(name: &str, sum: &mut Value, more: Value) {
    match (sum, more) {
        (Value::Object(fields), Value::Object(others)) => {
            for (name, value) in others {
                match fields.get_mut(&name) {
                    Some(known) => add(&name, known, value),
                    None => drop(fields.insert(name, value)),
                }
            }
        }
        (Value::Array(all), Value::Array(more)) => all.extend(more),
        (Value::Bool(one), Value::Bool(other)) => *one |= other,
        (Value::Number(_), Value::Number(_)) if matches!(name, "pid" | "started_ms") => {}
        (sum @ Value::Number(_), more @ Value::Number(_)) => {
            let figures = (sum.as_f64().unwrap_or(0.0), more.as_f64().unwrap_or(0.0));
            *sum = match (sum.as_i64(), more.as_i64()) {
                _ if name.contains("percent") => figures.0.max(figures.1).into(),
                (Some(one), Some(other)) => one.saturating_add(other).into(),
                _ => (figures.0 + figures.1).into(),
            };
        }
        (sum @ Value::Null, more) => *sum = more,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use plasmon_protocol::id::{ProcessId, SiteId};
    use plasmon_protocol::record::{EventRow, ObjectRow, ReferenceRow, Site, StoreRow, TaskRow};
    use plasmon_protocol::resources::{Amount, Resources};
    use plasmon_protocol::stream::Rows;

    use super::*;

    #[test]
    fn rows_of_two_agents_have_different_keys_and_lead_back() {
        let site = Site { id: SiteId(5), file: "a.rs".into(), ..Site::default() };
        let row = ReferenceRow { process: ProcessId(3), call_site: site.into(), ..ReferenceRow::default() };
        let Rows::References(rows) = moved(&Rows::References(vec![row.clone()]), 2) else { panic!("other rows") };
        assert_eq!(rows[0].process, ProcessId(2 * APART + 3));
        assert_eq!((rows[0].call_site.id.0, &*rows[0].call_site.file), (2 * APART + 5, "a.rs"));
        assert_eq!(rows[0].created_site.id, SiteId(0), "a place that is not known has no number");
        assert_eq!(target(&Target::Process(rows[0].process), 2), Some(Target::Process(ProcessId(3))));
        assert_eq!(target(&Target::Process(rows[0].process), 1), None);
        let event = moved(&EventRow { number: 7, opens: Some(Target::Site(SiteId(5))), ..EventRow::default() }, 1);
        assert!(event.number > 7 && event.opens == Some(Target::Site(SiteId(APART + 5))), "{event:?}");
        let object = moved(&ObjectRow { file: Some(plasmon_protocol::id::SpillFileId(4)), ..ObjectRow::default() }, 1);
        assert_eq!(object.file.map(|file| file.0), Some(APART + 4));
        assert_eq!(moved(&row, 0), row);
        let unknown = EventRow { opens: Some(Target::Site(SiteId(0))), ..EventRow::default() };
        assert_eq!(moved(&unknown, 1).opens, unknown.opens, "a place that is not known is nobody's");
        let agent = ReferenceRow { process: ProcessId(0), ..ReferenceRow::default() };
        assert_eq!(moved(&agent, 1).process, ProcessId(APART), "0 is the agent's own process, of each another");
    }

    #[test]
    fn resources_that_are_called_as_ids_are_stay_as_they_are() {
        let custom = ["process", "site", "file", "victim", "creator"].map(|name| (name.into(), Amount::ONE)).into();
        let task = TaskRow { resources: Resources { custom, ..Resources::default() }.into(), ..TaskRow::default() };
        assert_eq!(moved(&task, 3).resources, task.resources);
    }

    #[test]
    fn stores_add_up() {
        let mut store = StoreRow { objects: 3, ..StoreRow::default() };
        store.ledger.capacity_bytes = 100;
        (store.node.pid, store.node.started_ms, store.node.num_cpus) = (7, 5_000, 2.0);
        let mut sum = serde_json::to_value(&store).unwrap();
        add("", &mut sum, serde_json::to_value(&store).unwrap());
        let sum: StoreRow = serde_json::from_value(sum).unwrap();
        assert_eq!((sum.objects, sum.ledger.capacity_bytes, sum.node.num_cpus), (6, 200, 4.0));
        assert_eq!((sum.node.pid, sum.node.started_ms), (7, 5_000), "those of the first");
    }
}
