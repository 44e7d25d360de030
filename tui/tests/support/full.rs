//! The sample, grown beyond all measure: a full store, tables that no screen holds, figures as long as figures get.

use std::sync::Arc;

use plasmon_protocol::id::{ObjectKey, ProcessId, SiteId, SpillFileId, TaskKey};
use plasmon_protocol::record::Site;

use crate::agent::Agent;
use crate::sample::{NODE, agent};

/// What everything is multiplied by.
const MORE: u64 = 3_000;

/// Rows again and again, each time with other ids.
fn again<R: Clone>(rows: &mut Vec<R>, times: u32, mut other: impl FnMut(&mut R, u32)) {
    let first = rows.clone();
    for time in 1..times {
        for (row, nth) in first.iter().zip(0_u32..) {
            let mut row = row.clone();
            other(&mut row, time * 10_000 + nth);
            rows.push(row);
        }
    }
}

/// All of it.
pub(crate) fn full() -> Agent {
    let mut agent = agent();
    let long = |site: &Arc<Site>, id: u32| {
        let function = format!("sorter::pipeline::stages::external::MultiwayExternalMerge::{}_with_spilled_runs", site.short_function());
        Arc::new(Site { id: SiteId(id), function, file: format!("crates/sorter/src/pipeline/{}", site.file), ..(**site).clone() })
    };
    agent.sites.iter_mut().for_each(|row| {
        row.held_bytes *= MORE;
        row.objects *= MORE;
        row.references *= MORE;
        row.growth_bytes *= 3_000;
        (row.own_bytes, row.own_objects) = (row.held_bytes, row.objects);
    });
    again(&mut agent.sites, 30, |row, nth| {
        row.site = long(&row.site, nth);
        row.held_bytes /= u64::from(nth / 10_000);
        row.own_bytes = row.held_bytes;
    });
    agent.references.iter_mut().for_each(|row| row.size_bytes = row.size_bytes.map(|bytes| bytes * MORE));
    again(&mut agent.references, 4, |row, nth| row.object_id = ObjectKey { slot: nth, generation: 1 }.on(NODE));
    agent.objects.iter_mut().for_each(|row| row.size_bytes = row.size_bytes.map(|bytes| bytes * MORE));
    agent.processes.iter_mut().for_each(|row| {
        (row.heap_bytes, row.rss_bytes) = (row.heap_bytes * 1_000, row.rss_bytes * 1_000);
        (row.shared_bytes, row.held_bytes) = (row.shared_bytes * 1_000, row.held_bytes * 1_000);
        (row.references, row.tasks_done) = (row.references * MORE, row.tasks_done * MORE);
        row.cpu_percent *= 16.0;
    });
    again(&mut agent.processes, 20, |row, nth| (row.process, row.pid) = (ProcessId(nth), 4_000_000 + nth));
    again(&mut agent.tasks, 20, |row, nth| row.task_id = TaskKey { process: ProcessId(1), number: nth }.on(NODE));
    again(&mut agent.actors, 20, |row, nth| row.actor_id = ObjectKey { slot: nth, generation: 3 }.on(NODE).into());
    again(&mut agent.post_mortem, 40, |row, nth| (row.process.process, row.process.pid) = (ProcessId(nth), 4_000_000 + nth));
    again(&mut agent.events, 20, |row, nth| row.number = u64::from(nth));
    again(&mut agent.files, 20, |row, nth| row.file = SpillFileId(nth));
    let store = &mut agent.store;
    store.ledger.referenced_bytes += store.ledger.free_bytes;
    (store.ledger.free_bytes, store.ledger.unbacked_bytes) = (0, 0);
    let ledger = &mut store.ledger;
    for bytes in [
        &mut ledger.capacity_bytes,
        &mut ledger.pinned_bytes,
        &mut ledger.argument_bytes,
        &mut ledger.referenced_bytes,
        &mut ledger.captured_bytes,
        &mut ledger.creating_bytes,
        &mut ledger.spilling_bytes,
        &mut ledger.restoring_bytes,
        &mut ledger.secondary_bytes,
        &mut ledger.padding_bytes,
        &mut ledger.hole_bytes,
        &mut ledger.slack_bytes,
        &mut ledger.inlined_bytes,
        &mut ledger.lineage_bytes,
    ] {
        *bytes *= MORE;
    }
    let node = &mut store.node;
    for bytes in [
        &mut node.machine_total_bytes,
        &mut node.machine_available_bytes,
        &mut node.agent_heap_bytes,
        &mut node.driver_heap_bytes,
        &mut node.worker_heap_bytes,
        &mut node.store_backed_bytes,
        &mut node.shared_read_bytes,
    ] {
        *bytes *= 400;
    }
    (node.drivers, node.workers) = (212, 1_024);
    (node.tasks_pending, node.tasks_running) = (1_204_112, 1_024);
    (node.tasks_finished, node.tasks_failed) = (88_412_004, 1_204);
    store.pressure.total_bytes *= 400;
    store.pressure.threshold_bytes *= 400;
    store.pressure.used_bytes = store.pressure.total_bytes / 1_000 * 996;
    store.pressure.available_bytes = store.pressure.total_bytes - store.pressure.used_bytes;
    (store.objects, store.deadlocks, store.creates_queued) = (1_449_000, 3, 1_204);
    let spill = &mut store.spill;
    (spill.failing, spill.failures_total, spill.thrashing_objects) = (true, 40_112, 1_204);
    spill.state = "write /mnt/fast/spill/8: No space left on device (os error 28)".into();
    for bytes in
        [&mut spill.file_bytes, &mut spill.live_bytes, &mut spill.dead_bytes, &mut spill.header_bytes, &mut spill.spilled_bytes_total]
    {
        *bytes *= MORE;
    }
    again(&mut store.spill.queue, 20, |row, nth| (row.position, row.pid) = (nth / 5_000, 4_000_000 + nth));
    agent
}
