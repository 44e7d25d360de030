//! The sample's external storage: what the cache never forgets has gone to disk, most of it for good.

use std::ops::Range;

use plasmon_protocol::id::SpillFileId;
use plasmon_protocol::record::{
    EventKind, EventRow, ObjectState, Severity, SpillCause, SpillCut, SpillFileRow, SpillFileState, SpillRow, StoreRow, WaitRow,
};
use plasmon_protocol::stream::{MAX_DETAIL, SpillFileDetail};

use crate::agent::Agent;
use crate::sample::{NOW_MS, site};

const MIB: u64 = 1 << 20;
const HEADER: u64 = 64;

/// A file: number, state, the cache's objects in it, dead bytes, cause, cut, seconds since its writing began, and the state of its
/// objects.
type File = (u32, SpillFileState, Range<usize>, u64, SpillCause, SpillCut, u64, ObjectState);

const FILES: &[File] = &[
    (2, SpillFileState::Ready, 10..130, 3 * MIB, SpillCause::Threshold, SpillCut::Enough, 412, ObjectState::Spilled),
    (4, SpillFileState::Ready, 130..190, 0, SpillCause::Create, SpillCut::Objects, 95, ObjectState::Spilled),
    (5, SpillFileState::Ready, 190..220, 9 * MIB, SpillCause::Restore, SpillCut::Exhausted, 61, ObjectState::InMemoryCopy),
    (6, SpillFileState::Compacting, 220..224, 7 * MIB, SpillCause::Compaction, SpillCut::Size, 40, ObjectState::Restoring),
    (7, SpillFileState::Writing, 224..240, 0, SpillCause::Threshold, SpillCut::Enough, 1, ObjectState::Spilling),
];

const PLACES: [&str; 2] = ["/var/tmp/plasmon-1000/s-20250304/spill", "/mnt/fast/spill"];

/// Spills; the cache's objects are the first of all.
pub(crate) fn spill(agent: &mut Agent) {
    for (number, state, objects, dead, cause, cut, ago, of_objects) in FILES {
        let file = SpillFileId(*number);
        let began = NOW_MS - ago * 1000;
        let mut row = SpillFileRow {
            file,
            place: PLACES[*number as usize % 2].into(),
            name: number.to_string().into(),
            state: *state,
            dead_bytes: *dead,
            header_bytes: HEADER,
            objects: objects.len() as u32,
            written: objects.len() as u32 + (dead >> 19) as u32,
            cause: *cause,
            cut: *cut,
            created_ms: began,
            write_ms: if *state == SpillFileState::Writing { 0 } else { 180 },
            ..SpillFileRow::default()
        };
        for at in objects.clone() {
            let object = &mut agent.objects[at];
            let size = object.size_bytes.unwrap();
            object.state = *of_objects;
            if *state != SpillFileState::Writing {
                object.file = Some(file);
                object.file_offset = Some(row.live_bytes + row.header_bytes);
                object.spilled_ms = Some(began + 180);
                object.evicted_ms = Some(began + 200);
            }
            if *of_objects == ObjectState::InMemoryCopy {
                object.restored_ms = Some(NOW_MS - 9_000);
                object.restores = 2;
                row.restored += 2;
            }
            row.live_bytes += size;
            row.header_bytes += HEADER;
            let id = object.object_id;
            agent.references.iter_mut().filter(|row| row.object_id == id).for_each(|row| row.state = *of_objects);
        }
        row.file_bytes = row.live_bytes + row.dead_bytes + row.header_bytes;
        agent.files.push(row);
    }
}

/// What is known of it as a whole.
pub(crate) fn row(agent: &Agent) -> SpillRow {
    let files = agent.files.iter();
    let sum = |figure: fn(&SpillFileRow) -> u64| files.clone().map(figure).sum::<u64>();
    let objects = |states: &[ObjectState]| agent.objects.iter().filter(|row| states.contains(&row.state)).collect::<Vec<_>>();
    let bytes = |states: &[ObjectState]| objects(states).iter().filter_map(|row| row.size_bytes).sum::<u64>();
    let (out, reading, writing) = ([ObjectState::Spilled, ObjectState::Restoring], [ObjectState::Restoring], [ObjectState::Spilling]);
    SpillRow {
        state: "on".into(),
        failing: false,
        places: PLACES.map(Into::into).to_vec(),
        threshold_bytes: (1 << 30) / 5 * 4,
        limit_bytes: Some(512 * MIB),
        primary_bytes: bytes(&[ObjectState::InMemory, ObjectState::Spilling]),
        files: agent.files.len() as u32,
        file_bytes: sum(|row| row.file_bytes),
        live_bytes: sum(|row| row.live_bytes),
        dead_bytes: sum(|row| row.dead_bytes),
        header_bytes: sum(|row| row.header_bytes),
        objects: agent.objects.iter().filter(|row| row.file.is_some()).count() as u64,
        spilled_objects: objects(&out).len() as u64,
        spilled_bytes: bytes(&out),
        spilled_objects_total: 5_480,
        spilled_bytes_total: 2_740 * MIB,
        spill_ms_total: 6_700,
        restored_objects_total: 1_212,
        restored_bytes_total: 606 * MIB,
        restore_ms_total: 1_100,
        files_total: 31,
        deleted_total: 26,
        file_bytes_total: 2_810 * MIB,
        dead_bytes_total: 2_600 * MIB,
        header_bytes_total: MIB,
        failures_total: 0,
        writing_objects: objects(&writing).len() as u64,
        writing_bytes: bytes(&writing),
        reading_objects: objects(&reading).len() as u64,
        reading_bytes: bytes(&reading),
        disk_free_bytes: Some(91_400_000_000),
        disk_total_bytes: Some(120_000_000_000),
        thrashing_objects: 0,
        queue: queue(agent),
    }
}

fn queue(agent: &Agent) -> Vec<WaitRow> {
    let wait = |position, pid, bytes, place, ago: u64| WaitRow {
        position,
        pid,
        bytes,
        object: None,
        site: site(place),
        since_ms: NOW_MS - ago,
        reason: match position {
            1 => "8 MiB being spilled".into(),
            2 => "its turn, behind 1 other".into(),
            _ => format!("its turn, behind {} others", position - 1).into(),
        },
    };
    let get = WaitRow { object: Some(agent.objects[12].object_id), ..wait(2, 4721, 512 << 10, 0, 900) };
    vec![wait(1, 4720, 8 * MIB, 2, 1_400), get, wait(3, 4711, 64 * MIB, 4, 300)]
}

pub(crate) fn events(agent: &mut Agent) {
    let told: [(u64, EventKind, Severity, &str); 4] = [
        (95, EventKind::Spilled, Severity::Info, "spilled 60 objects, 30 MiB in 0.18 s; cause: create, batch cut: object limit"),
        (61, EventKind::Spilled, Severity::Info, "spilled 48 objects, 24 MiB in 0.18 s; cause: restore, batch cut: nothing more to spill"),
        (40, EventKind::SpillFile, Severity::Info, "1 file, mostly dead, was written anew: 4 objects, 2 MiB"),
        (9, EventKind::Restored, Severity::Info, "restored 30 objects, 15 MiB"),
    ];
    for (ago, kind, severity, message) in told {
        let number = agent.events.len() as u64 + 1;
        let message = message.to_owned();
        agent.events.push(EventRow { number, at_ms: NOW_MS - ago * 1000, kind, severity, message, pid: None, opens: None });
    }
    agent.events.sort_by_key(|row| row.at_ms);
    agent.events.iter_mut().zip(1..).for_each(|(row, number)| row.number = number);
}

/// What the page of a file shows.
pub(crate) fn detail(agent: &Agent, id: SpillFileId) -> Option<SpillFileDetail> {
    let file = agent.files.iter().find(|row| row.file == id)?.clone();
    let mut objects: Vec<_> = agent.objects.iter().filter(|row| row.file == Some(id)).cloned().collect();
    objects.sort_by_key(|row| std::cmp::Reverse(row.size_bytes));
    objects.truncate(MAX_DETAIL);
    Some(SpillFileDetail { file, objects })
}

/// Storage as it was before: bursts of spilling, and now and then some reading.
pub(crate) fn before(row: &mut StoreRow, seconds: u64) {
    let spill = &mut row.spill;
    let bursts = seconds / 24 * 60 * MIB + (seconds % 24).min(6) * 10 * MIB;
    spill.spilled_bytes_total -= bursts.min(spill.spilled_bytes_total);
    spill.restored_bytes_total -= (seconds / 40 * 15 + (seconds % 40).min(3) * 5).min(606) * MIB;
    spill.file_bytes -= (seconds * MIB / 2).min(spill.file_bytes);
}
