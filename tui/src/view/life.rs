//! Where an object's value is, and what became of it: two lines of the object's page.

use plasmon_protocol::record::{ObjectRow, ObjectState, SpillFileRow};

use super::format::{age, cut_start, grouped, things, width};
use crate::app::act::path_of;

/// Where there is less room than this for a path it says nothing.
const LEAST_PATH: u16 = 6;

/// `file 3 at byte 4096 in /x/y`, as much of it as is known and has room: the path, which may be long, comes last, and of that the end.
fn place(row: &ObjectRow, file: Option<&SpillFileRow>, room: u16) -> String {
    let Some(number) = row.file else { return "external storage".to_owned() };
    let offset = row.file_offset.map(|offset| format!(" at byte {offset}")).unwrap_or_default();
    let file = file.filter(|file| !file.place.is_empty());
    let start = format!("file {number}{offset}");
    let left = room.saturating_sub(width(&start) + 4);
    match file {
        Some(file) if left >= LEAST_PATH => format!("{start} in {}", cut_start(&file.place, left)),
        _ => start,
    }
}

/// Where the value is, in `room` cells. `file` is the spill file that has a copy, once it has come.
#[must_use]
pub fn location(row: &ObjectRow, file: Option<&SpillFileRow>, room: u16) -> String {
    let after = |words: &str| {
        format!("{words} {}", place(row, file.filter(|file| Some(file.file) == row.file), room.saturating_sub(width(words) + 1)))
    };
    match row.state {
        ObjectState::Pending => "not made yet".to_owned(),
        ObjectState::InMemory => "in memory".to_owned(),
        ObjectState::Spilling => "in memory, being written to external storage".to_owned(),
        ObjectState::InMemoryCopy => after("in memory and in"),
        ObjectState::Spilled => after("in"),
        ObjectState::Restoring => after("being read back from"),
        ObjectState::Inlined => "in the agent's memory: it is small".to_owned(),
        ObjectState::Actor => "an actor's".to_owned(),
        ObjectState::Failed => "nowhere: it failed".to_owned(),
    }
}

/// What became of it, in the order in which it happened: each step and how long ago.
#[must_use]
pub fn steps(row: &ObjectRow, now_ms: u64) -> Vec<(String, String)> {
    let read = match row.restores {
        0 | 1 => "read back".to_owned(),
        more => format!("read back ×{}", grouped(more.into())),
    };
    let mut steps: Vec<(u64, String)> = vec![(row.created_ms, "created".to_owned())];
    steps.extend(row.spilled_ms.map(|at| (at, "spilled".to_owned())));
    steps.extend(row.evicted_ms.map(|at| (at, "dropped from memory".to_owned())));
    steps.extend(row.restored_ms.map(|at| (at, read)));
    // What happened at the same instant stays in the order in which it must have happened.
    steps.sort_by_key(|(at, _)| *at);
    steps.into_iter().map(|(at, what)| (what, age(now_ms, at))).collect()
}

/// What became of it, in one line of at most `room` cells: in fewer words where there is little room, and at last without the
/// oldest steps.
#[must_use]
pub fn line(row: &ObjectRow, now_ms: u64, room: u16) -> String {
    let mut steps: Vec<String> = steps(row, now_ms).into_iter().map(|(what, ago)| format!("{what} {ago}")).collect();
    let whole = |steps: &[String]| format!("{} ago", steps.join(" › "));
    if width(&whole(&steps)) > room {
        steps.iter_mut().for_each(|step| *step = step.replace(" from memory", ""));
    }
    while width(&whole(&steps)) > room && steps.len() > 2 {
        // The mark of what was left out before goes with it.
        steps.drain(..1 + usize::from(steps[0] == "…"));
        steps.insert(0, "…".to_owned());
    }
    whole(&steps)
}

/// How much of a file lives: `312 of 400 objects`.
#[must_use]
pub fn lives(file: &SpillFileRow) -> String {
    match file.objects == file.written {
        true => things(file.objects.into(), "object", "objects"),
        false => format!("{} of {}", grouped(file.objects.into()), things(file.written.into(), "object", "objects")),
    }
}

/// Where a file lies.
#[must_use]
pub fn path(file: &SpillFileRow) -> String {
    if file.place.is_empty() { file.name.to_string() } else { path_of(file) }
}

#[cfg(test)]
mod tests {
    use plasmon_protocol::id::SpillFileId;

    use super::*;

    fn spilled() -> ObjectRow {
        ObjectRow {
            state: ObjectState::Spilled,
            file: Some(SpillFileId(3)),
            file_offset: Some(4096),
            created_ms: 1_000,
            spilled_ms: Some(11_000),
            evicted_ms: Some(11_000),
            ..ObjectRow::default()
        }
    }

    #[test]
    fn a_location_says_as_much_as_is_known() {
        let file = SpillFileRow { file: SpillFileId(3), place: "/x/y".into(), ..SpillFileRow::default() };
        assert_eq!(location(&spilled(), Some(&file), 80), "in file 3 at byte 4096 in /x/y");
        assert_eq!(location(&spilled(), None, 80), "in file 3 at byte 4096");
        assert_eq!(location(&spilled(), Some(&file), 28), "in file 3 at byte 4096", "a path of two letters says nothing");
        let long = SpillFileRow { place: "/a/long/way/down".into(), ..file.clone() };
        assert_eq!(location(&spilled(), Some(&long), 36), "in file 3 at byte 4096 in …/way/down");
        let other = SpillFileRow { file: SpillFileId(4), ..file.clone() };
        assert_eq!(location(&spilled(), Some(&other), 80), "in file 3 at byte 4096", "the file of the object before");
        let both = ObjectRow { state: ObjectState::InMemoryCopy, ..spilled() };
        assert_eq!(location(&both, None, 80), "in memory and in file 3 at byte 4096");
        let reading = ObjectRow { state: ObjectState::Restoring, ..spilled() };
        assert_eq!(location(&reading, Some(&file), 80), "being read back from file 3 at byte 4096 in /x/y");
        let unknown = ObjectRow { file: None, ..spilled() };
        assert_eq!(location(&unknown, Some(&file), 80), "in external storage");
    }

    #[test]
    fn a_life_is_told_in_its_order() {
        let told = |row: &ObjectRow| steps(row, 61_000).into_iter().map(|(what, ago)| format!("{what} {ago}")).collect::<Vec<_>>();
        assert_eq!(told(&spilled()), ["created 1m", "spilled 50s", "dropped from memory 50s"]);
        let back = ObjectRow { restored_ms: Some(31_000), restores: 4, state: ObjectState::InMemoryCopy, ..spilled() };
        assert_eq!(told(&back), ["created 1m", "spilled 50s", "dropped from memory 50s", "read back ×4 30s"]);
        let again = ObjectRow { evicted_ms: Some(51_000), state: ObjectState::Spilled, ..back };
        assert_eq!(told(&again), ["created 1m", "spilled 50s", "read back ×4 30s", "dropped from memory 10s"]);
        let lines = [80, 60, 50, 40, 5].map(|room| line(&again, 61_000, room));
        assert_eq!(
            lines,
            [
                "created 1m › spilled 50s › read back ×4 30s › dropped from memory 10s ago",
                "… › spilled 50s › read back ×4 30s › dropped 10s ago",
                "… › read back ×4 30s › dropped 10s ago",
                "… › read back ×4 30s › dropped 10s ago",
                "… › dropped 10s ago",
            ]
        );
        assert_eq!(told(&ObjectRow { created_ms: 61_000, ..ObjectRow::default() }), ["created 0s"]);
    }
}
