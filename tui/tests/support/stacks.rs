//! A Python program that trains a model, beside the sample's: its sites know what they were called from.

use std::sync::Arc;

use plasmon_protocol::id::{ObjectKey, SiteId};
use plasmon_protocol::record::{ObjectRow, ObjectState, ReferenceRow, Site, SiteKind, SiteRow};

use crate::agent::Agent;
use crate::sample::{NODE, NOW_MS, agent};

const MIB: u64 = 1 << 20;
/// The first of its sites' numbers.
const FIRST: u32 = 100;

/// A frame or a site: what called it (by its place in this list, from 1; 0 for nothing), kind, function, file, line; of a site, its
/// objects and their bytes, growth, and seconds since the oldest.
type Frame = (u32, SiteKind, &'static str, &'static str, u32, u64, u64, i64, u64);

const FRAMES: &[Frame] = &[
    (0, SiteKind::Frame, "<module>", "train.py", 118, 0, 0, 0, 0),
    (1, SiteKind::Frame, "main", "train.py", 104, 0, 0, 0, 0),
    (2, SiteKind::Frame, "fit", "train.py", 61, 0, 0, 0, 0),
    (3, SiteKind::Frame, "Loader.__iter__", "loader.py", 40, 0, 0, 0, 0),
    (4, SiteKind::Frame, "Loader.next_batch", "loader.py", 52, 0, 0, 0, 0),
    (5, SiteKind::PutObject, "to_shared", "loader.py", 77, 96, 4 * MIB, 16 * MIB as i64, 214),
    (3, SiteKind::Frame, "Model.step", "model.py", 88, 0, 0, 0, 0),
    (7, SiteKind::TaskCall, "Model.forward", "model.py", 35, 16, 2 * MIB, 0, 6),
    (7, SiteKind::TaskCall, "Model.gradients", "model.py", 52, 16, MIB, -(2 * MIB as i64), 5),
    (2, SiteKind::Frame, "evaluate", "train.py", 83, 0, 0, 0, 0),
    (10, SiteKind::PutObject, "predictions", "metrics.py", 19, 3, 700 << 10, 0, 31),
];

fn site(at: usize) -> Arc<Site> {
    let (caller, kind, function, file, line, ..) = FRAMES[at];
    let outer = caller.checked_sub(1).map(|outer| site(outer as usize));
    let caller = if caller == 0 { SiteId(0) } else { SiteId(FIRST + caller - 1) };
    let (function, file) = (function.to_owned(), file.to_owned());
    Arc::new(Site { id: SiteId(FIRST + at as u32), kind, function, file, line, caller, outer })
}

/// All of it.
pub(crate) fn stacked() -> Agent {
    let mut agent = agent();
    let mut rows: Vec<SiteRow> = (0..FRAMES.len()).map(|at| SiteRow { site: site(at), ..SiteRow::default() }).collect();
    for (at, (_, _, _, _, _, objects, bytes, growth, oldest)) in FRAMES.iter().enumerate() {
        (rows[at].own_bytes, rows[at].own_objects, rows[at].own_growth_bytes) = (objects * bytes, *objects, *growth);
        let mut holder = Some(at);
        while let Some(place) = holder {
            let row = &mut rows[place];
            row.held_bytes += objects * bytes;
            row.objects += objects;
            row.references += objects + objects / 3;
            row.growth_bytes += growth;
            row.growth_objects += growth / (2 * MIB as i64);
            let born = NOW_MS - oldest * 1_000;
            if *objects > 0 && (row.oldest_ms == 0 || born < row.oldest_ms) {
                row.oldest_ms = born;
            }
            holder = FRAMES[place].0.checked_sub(1).map(|outer| outer as usize);
        }
        for nth in 0..*objects {
            let object_id = ObjectKey { slot: 3_000 + 200 * at as u32 + nth as u32, generation: 1 }.on(NODE);
            let created_ms = NOW_MS - oldest * 1_000 * (objects - nth) / objects;
            agent.objects.push(ObjectRow {
                object_id,
                size_bytes: Some(*bytes),
                state: ObjectState::InMemory,
                created_site: site(at),
                creator_pid: 4711,
                created_ms,
                references: 1,
                ..ObjectRow::default()
            });
            let like = agent.references[0].clone();
            agent.references.push(ReferenceRow {
                object_id,
                size_bytes: Some(*bytes),
                call_site: site(at),
                created_site: site(at),
                since_ms: created_ms,
                state: ObjectState::InMemory,
                ..like
            });
        }
    }
    agent.sites.extend(rows);
    agent
}
