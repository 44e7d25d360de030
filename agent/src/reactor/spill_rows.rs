//! What people see of external storage.

use std::sync::Arc;

use plasmon_protocol::id::SpillFileId;
use plasmon_protocol::record::{MAX_QUEUE, SpillFileRow, SpillRow, WaitRow};
use plasmon_protocol::size::Bytes;
use plasmon_protocol::stream::{MAX_DETAIL, SpillFileDetail};

use super::Core;
use super::memory::{Create, Want};
use crate::spill::files::File;
use crate::spill::job::DiskRoom;

impl Core {
    pub(super) fn spill_row(&self) -> SpillRow {
        let spill = &self.spill;
        let (sums, totals) = (spill.files.sums(), spill.files.totals());
        let state = match &spill.trouble {
            _ if !spill.config.is_on() => "off".into(),
            Some(cause) => cause.as_str().into(),
            None => "on".into(),
        };
        // Two directories on one file system share its room.
        let mut rooms: Vec<Option<DiskRoom>> = Vec::new();
        for room in spill.places.iter().map(|place| place.room) {
            let is_known = |other: &Option<DiskRoom>| matches!((room, other), (Some(one), Some(other)) if one.is_of(other));
            if !rooms.iter().any(is_known) {
                rooms.push(room);
            }
        }
        SpillRow {
            state,
            failing: spill.trouble.is_some(),
            places: spill.config.places.clone(),
            threshold_bytes: spill.config.threshold(self.store.capacity()),
            limit_bytes: spill.config.limit,
            primary_bytes: spill.primary,
            files: sums.files,
            file_bytes: sums.bytes,
            live_bytes: sums.live,
            dead_bytes: sums.dead,
            header_bytes: sums.bytes - sums.live - sums.dead,
            objects: sums.records,
            spilled_objects: spill.away.0,
            spilled_bytes: spill.away.1,
            spilled_objects_total: spill.spilled.0,
            spilled_bytes_total: spill.spilled.1,
            spill_ms_total: spill.writing.total_ms(self.now_ms),
            restored_objects_total: spill.restored.0,
            restored_bytes_total: spill.restored.1,
            restore_ms_total: spill.reading.total_ms(self.now_ms),
            files_total: totals.files,
            deleted_total: totals.deleted,
            file_bytes_total: totals.bytes,
            dead_bytes_total: totals.dead,
            header_bytes_total: totals.headers,
            failures_total: spill.failures,
            writing_objects: spill.writing.objects,
            writing_bytes: spill.writing.bytes,
            reading_objects: spill.reading.objects,
            reading_bytes: spill.reading.bytes,
            disk_free_bytes: rooms.iter().map(|room| room.map(|room| room.free)).sum(),
            disk_total_bytes: rooms.iter().map(|room| room.map(|room| room.total)).sum(),
            thrashing_objects: spill.thrash.objects,
            queue: self.creates.iter().take(MAX_QUEUE).enumerate().map(|(index, create)| self.wait_row(index, create)).collect(),
        }
    }

    fn wait_row(&self, index: usize, create: &Create) -> WaitRow {
        let reason = match (index, &self.spill.trouble) {
            (1, _) => "its turn, behind 1 other".to_owned(),
            (2.., _) => format!("its turn, behind {index} others"),
            (0, Some(cause)) => format!("nothing can be spilled: {cause}"),
            (0, None) if self.store.would_fit(create.bytes) => "idle memory, called back".to_owned(),
            (0, None) if self.spill.writing.bytes > 0 => format!("{} being spilled", Bytes(self.spill.writing.bytes)),
            (0, None) => {
                let ledger = self.ledger();
                let lines =
                    [(ledger.pinned_bytes, "pinned"), (ledger.creating_bytes, "being created"), (ledger.restoring_bytes, "being restored")];
                // The first of equals: what the user's program has most to do with.
                let most = lines.into_iter().rev().max_by_key(|(bytes, _)| *bytes);
                most.map(|(bytes, how)| format!("{} {how}", Bytes(bytes))).unwrap_or_default()
            }
        };
        WaitRow {
            position: index as u32 + 1,
            pid: self.pid(create.process),
            bytes: create.bytes,
            object: match create.want {
                Want::Lease { .. } => None,
                Want::Restore(key) => Some(key.on(self.config.node)),
            },
            site: Arc::clone(self.sites.get(create.site)),
            since_ms: create.since_ms,
            reason: reason.into(),
        }
    }

    pub(super) fn spill_file_rows(&self) -> Vec<SpillFileRow> {
        self.spill.files.iter().map(|(id, file)| self.spill_file_row(id, file)).collect()
    }

    fn spill_file_row(&self, id: SpillFileId, file: &File) -> SpillFileRow {
        let writing = self.spill.writes.get(&id).map_or(0, Vec::len);
        SpillFileRow {
            file: id,
            place: self.spill.config.places.get(file.place).cloned().unwrap_or_default(),
            name: id.to_string().into(),
            state: file.state,
            file_bytes: file.bytes,
            live_bytes: file.live,
            dead_bytes: file.dead,
            header_bytes: file.headers(),
            objects: (file.records.len() + writing) as u32,
            written: file.written,
            restored: file.restored,
            cause: file.cause,
            cut: file.cut,
            created_ms: file.created_ms,
            write_ms: file.write_ms,
        }
    }

    pub(super) fn spill_file_detail(&self, id: SpillFileId) -> Option<SpillFileDetail> {
        let file = self.spill.files.get(id)?;
        let mut objects: Vec<_> = file
            .records
            .values()
            .filter_map(|number| {
                let key = self.spill.files.record(*number)?.key;
                Some((key, self.objects.get(key).filter(|object| !object.hidden)?))
            })
            .collect();
        objects.sort_by_key(|(key, object)| (std::cmp::Reverse(object.length), object.created_ms, *key));
        objects.truncate(MAX_DETAIL);
        let objects = objects.into_iter().map(|(key, object)| self.object_row(key, object)).collect();
        Some(SpillFileDetail { file: self.spill_file_row(id, file), objects })
    }
}
