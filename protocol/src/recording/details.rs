//! What a recording has beside the tables: things in detail, as far as the tables don't tell. Rows in them that a table has are written as
//! their ids alone, so that a detail is written again only when what it links together is something else.

use std::collections::{HashMap, HashSet};
use std::fmt;

use foldhash::fast::RandomState;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{DETAILS, Picture};
use crate::id::{ObjectId, TaskId};
use crate::record::{ObjectRow, TaskRow};
use crate::stream::{Detail, Rows, Target};
use crate::window::{Print, Prints, write_row};

/// What details may take of a segment's beginning, and of any picture, in bytes.
pub const SHARE: usize = 288 << 10;

/// What a detail of a recording is about; `None` for what the tables tell whole.
#[must_use]
pub fn target_of(detail: &Detail) -> Option<Target> {
    match detail {
        Detail::Object(detail) => Some(Target::Object(detail.object.object_id)),
        Detail::Site(detail) => Some(Target::Site(detail.site.site.id)),
        Detail::Task(detail) => Some(Target::Task(detail.task.task_id)),
        Detail::PostMortem(detail) => Some(Target::Process(detail.process.process)),
        Detail::Explain(detail) => detail.subject.clone().map(Target::Explain),
        Detail::Node(_) => Some(Target::Node),
        Detail::Process(_) | Detail::Actor(_) | Detail::SpillFile(_) | Detail::Recording(_) => None,
    }
}

/// How details are named in a frame ([`Detail`]).
const NAMES: [&str; 10] = ["object", "site", "task", "process", "post_mortem", "actor", "spill_file", "explain", "node", "recording"];

/// The number and the instant of a line whose detail a later release has named, which readers skip; `None` of any other line.
#[must_use]
pub fn unknown(line: &str) -> Option<(u64, u64)> {
    #[derive(Deserialize)]
    struct Line {
        seq: u64,
        at_ms: u64,
        r#type: String,
        id: u32,
        detail: HashMap<String, IgnoredAny>,
    }
    let line: Line = serde_json::from_str(line).ok()?;
    let is_unknown = line.detail.len() == 1 && line.detail.keys().all(|name| !NAMES.contains(&name.as_str()));
    (line.r#type == "detail" && line.id == DETAILS && is_unknown).then_some((line.seq, line.at_ms))
}

/// Rows that the tables of a picture have.
#[derive(Default)]
struct Known {
    objects: HashSet<ObjectId, RandomState>,
    tasks: HashSet<TaskId, RandomState>,
}

impl Known {
    fn of(picture: &Picture) -> Self {
        let mut known = Self::default();
        for taken in &picture.tables {
            match &taken.rows {
                Rows::Objects(rows) => known.objects.extend(rows.iter().map(|row| row.object_id)),
                Rows::Tasks(rows) => known.tasks.extend(rows.iter().map(|row| row.task_id)),
                _ => {}
            }
        }
        known
    }

    fn objects(&self, rows: &[ObjectRow]) -> serde_json::Result<String> {
        list(rows, |row| self.objects.contains(&row.object_id).then(|| id_alone("object_id", &row.object_id)))
    }

    fn tasks(&self, rows: &[TaskRow]) -> serde_json::Result<String> {
        list(rows, |row| self.tasks.contains(&row.task_id).then(|| id_alone("task_id", &row.task_id)))
    }

    /// A detail as it is written. There may be thousands in a picture, and few are new: no tree of values is made of them.
    fn write(&self, detail: &Detail) -> serde_json::Result<String> {
        Ok(match detail {
            Detail::Object(detail) => format!(
                r#"{{"object":{{"object":{},"contained_in":{},"contains":{},"tasks":{}}}}}"#,
                id_alone("object_id", &detail.object.object_id),
                self.objects(&detail.contained_in)?,
                self.objects(&detail.contains)?,
                self.tasks(&detail.tasks)?,
            ),
            Detail::Task(detail) => format!(
                r#"{{"task":{{"task":{},"arguments":{}}}}}"#,
                id_alone("task_id", &detail.task.task_id),
                self.objects(&detail.arguments)?
            ),
            Detail::Site(detail) => json!({"site": {"site": {"site": {"id": detail.site.site.id}}, "source": detail.source}}).to_string(),
            // Its figures are those of the table.
            Detail::Node(detail) => json!({"node": {
                "capacity_bytes": detail.capacity_bytes,
                "spill_places": detail.spill_places,
                "checks": detail.checks,
            }})
            .to_string(),
            whole => write_row(whole, &[])?,
        })
    }
}

/// A row's id in place of the row.
fn id_alone(field: &str, id: &impl fmt::Display) -> String {
    format!(r#"{{"{field}":"{id}"}}"#)
}

/// Rows, each in short where that is enough.
fn list<R: Serialize>(rows: &[R], short: impl Fn(&R) -> Option<String>) -> serde_json::Result<String> {
    let rows = rows.iter().map(|row| short(row).map_or_else(|| write_row(row, &[]), Ok));
    Ok(format!("[{}]", rows.collect::<serde_json::Result<Vec<_>>>()?.join(",")))
}

/// That nothing is told of a thing any more beside what the tables tell.
fn nothing(target: &Target) -> Option<Value> {
    match target {
        Target::Object(id) => Some(json!({"object": {"object": {"object_id": id}}})),
        Target::Task(id) => Some(json!({"task": {"task": {"task_id": id}}})),
        Target::Explain(subject) => Some(json!({"explain": {"subject": subject}})),
        _ => None,
    }
}

/// Details that were written in a segment.
#[derive(Default)]
pub(super) struct Written {
    prints: Prints,
    last: HashMap<Target, Print, RandomState>,
}

impl Written {
    /// Nothing counts as written any more.
    pub(super) fn forget(&mut self) {
        self.last.clear();
    }

    /// The details that have to be written for a picture, as JSON; what has no place in it is left out.
    ///
    /// # Errors
    /// None that a value could bring about.
    pub(super) fn news(&mut self, picture: &Picture) -> serde_json::Result<Vec<String>> {
        let known = Known::of(picture);
        let (mut news, mut bytes, mut told) = (Vec::new(), 0, HashSet::<Target, RandomState>::default());
        for detail in &picture.details {
            let Some(target) = target_of(detail) else { continue };
            let text = known.write(detail)?;
            let print = self.prints.of(&text);
            if self.last.get(&target) == Some(&print) {
                told.insert(target);
            } else if bytes + text.len() <= SHARE {
                bytes += text.len();
                self.last.insert(target.clone(), print);
                told.insert(target);
                news.push(text);
            }
        }
        let gone: Vec<Target> = self.last.keys().filter(|target| !told.contains(*target)).cloned().collect();
        for target in gone {
            self.last.remove(&target);
            news.extend(nothing(&target).map(|value| value.to_string()));
        }
        Ok(news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_details_of_other_names_are_unknown() {
        // What a decoder says of a name that is none tells all that are.
        let said = serde_json::from_str::<Detail>(r#"{"none":{}}"#).unwrap_err().to_string();
        let names: Vec<&str> = said.split('`').skip(3).step_by(2).collect();
        assert_eq!(names, NAMES, "{said}");

        let line = |id: u32, detail: &str| format!(r#"{{"seq":7,"at_ms":9,"type":"detail","id":{id},"detail":{detail}}}"#);
        assert_eq!(unknown(&line(DETAILS, r#"{"new":{"x":[1]}}"#)), Some((7, 9)));
        for known in
            [line(1, r#"{"new":{}}"#), line(DETAILS, r#"{"site":{"x":1}}"#), line(DETAILS, "null"), line(DETAILS, r#"{"a":1,"b":1}"#)]
        {
            assert_eq!(unknown(&known), None, "{known}");
        }
    }
}
