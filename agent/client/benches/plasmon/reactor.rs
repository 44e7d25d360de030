//! The reactor alone: messages of one driver, no rings, no shared memory, nobody to tell.

use plasmon_agent::reactor::{Core, CoreConfig, Outbox, Violation};
use plasmon_protocol::id::{JobId, NodeId, ObjectKey, ProcessId};
use plasmon_protocol::local::{ALIGNMENT, Memory, SLOT_BLOCK, ToAgent, ToClient, decode, encode};
use plasmon_protocol::record::{ObjectState, SiteKind};
use plasmon_protocol::resources::{Amount, Resources};

use crate::sample::{each, in_turns};
use crate::table::{Goal, Unit};
use crate::{Bench, Outcome};

/// Objects that live at once: put one after the other, then dropped one after the other.
const LIVE: u32 = SLOT_BLOCK;
/// Messages in one call, about what a ring holds after a nap.
const BATCH: usize = 512;
/// Puts and drops of all objects, in one round.
const TIMES: usize = 100;

/// Nobody. Remembers the answers that a client needs.
#[derive(Default)]
struct Nobody {
    slots: Option<u32>,
    lease: Option<(u32, u64)>,
    back: Option<u64>,
}

impl Outbox for Nobody {
    fn send(&mut self, _: ProcessId, message: &ToClient<'_>) {
        match message {
            ToClient::Slots { first, .. } => self.slots = Some(*first),
            ToClient::Leased { lease, offset, .. } => self.lease = Some((*lease, *offset)),
            _ => {}
        }
    }

    fn publish(&mut self, _: ObjectKey, _: Option<ObjectState>, _: u64, _: u64) {}

    fn freed(&mut self, _: ProcessId, _: u32, _: ObjectKey) {}

    fn reset_lease(&mut self, _: ProcessId, _: u32) {}

    fn recall(&mut self, _: ProcessId) {}

    fn back(&mut self, end: u64) {
        self.back = Some(end);
    }

    fn start_worker(&mut self, _: ProcessId, _: JobId, _: &[u32]) {}

    fn share_program(&mut self, _: JobId, _: JobId) {}

    fn end_job(&mut self, _: JobId) {}

    fn withdraw(&mut self, _: ProcessId, _: u64) {}

    fn evict(&mut self, _keys: &mut Vec<ObjectKey>) {}

    fn relocate(&mut self, _from: u64, _to: u64, _length: u64) {}

    fn io(&mut self, _job: plasmon_agent::spill::job::Job) {}

    fn kill(&mut self, _: ProcessId) {}
}

struct Driver {
    core: Core,
    process: ProcessId,
    slots: u32,
    lease: (u32, u64),
    generation: u32,
}

impl Driver {
    fn connect() -> Outcome<Self> {
        let mut core = Core::new(CoreConfig {
            node: NodeId::default(),
            node_ip: "127.0.0.1".into(),
            pid: 1,
            capacity: 1 << 30,
            slots: 1 << 20,
            resources: Resources { cpus: Amount::whole(2), ..Resources::default() },
            fail_infeasible: true,
            lineage_limit: 64 << 20,
            now_ms: 0,
            spill: plasmon_agent::spill::policy::SpillConfig::default(),
            recording: None,
            oom: plasmon_agent::reactor::OomConfig::default(),
        });
        let mut nobody = Nobody::default();
        let (process, _) = core.on_driver_connected(2, "bench");
        let site = ToAgent::Site { site: 1, kind: SiteKind::PutObject, file: "bench.rs", line: 1, function: "put", caller: 0 };
        let wishes = [site, ToAgent::Slots { request: 1 }, ToAgent::Lease { request: 2, bytes: 64, chunk: true, site: 1 }];
        core.on_messages(process, wishes.into_iter().map(Ok), &mut nobody).map_err(|violation| violation.0)?;
        if let Some(end) = nobody.back {
            core.on_backed(end, &mut nobody);
        }
        let slots = nobody.slots.ok_or("no slots")?;
        let lease = nobody.lease.ok_or("no lease")?;
        Ok(Self { core, process, slots, lease, generation: 0 })
    }

    /// Puts of all objects in their next generation, then their drops.
    fn messages(&mut self) -> Vec<ToAgent<'static>> {
        self.generation += 1;
        let (generation, first, (lease, offset)) = (self.generation, self.slots, self.lease);
        let key = move |index| ObjectKey { slot: first + index, generation };
        let put = move |index: u32| {
            let memory = Memory { lease, offset: offset + u64::from(index) * ALIGNMENT, length: 64 };
            ToAgent::Put { key: key(index), memory, site: 1, hidden: false }
        };
        let drop = move |index| ToAgent::DropLocal { key: key(index) };
        (0..LIVE).map(put).chain((0..LIVE).map(drop)).collect()
    }

    fn take<'a>(&mut self, batch: impl Iterator<Item = Result<ToAgent<'a>, Violation>>) -> Outcome<()> {
        Ok(self.core.on_messages(self.process, batch, &mut Nobody::default()).map_err(|violation| violation.0)?)
    }
}

pub(crate) fn messages(bench: &mut Bench) -> Outcome<()> {
    let (mut plain, mut encoded) = (Driver::connect()?, Driver::connect()?);
    let count = TIMES * 2 * LIVE as usize;
    let [alone, decoding] = in_turns([
        &mut || {
            let messages: Vec<Vec<ToAgent<'_>>> = (0..TIMES).map(|_| plain.messages()).collect();
            each(count, || {
                for message in messages {
                    let mut message = message.into_iter().map(Ok).peekable();
                    while message.peek().is_some() {
                        plain.take(message.by_ref().take(BATCH))?;
                    }
                }
                Ok(())
            })
        },
        &mut || {
            let messages: Vec<ToAgent<'_>> = (0..TIMES).flat_map(|_| encoded.messages()).collect();
            let messages: Vec<Vec<u8>> = messages.iter().map(encode).collect::<Result<_, _>>()?;
            each(count, || {
                for batch in messages.chunks(BATCH) {
                    encoded.take(batch.iter().map(|bytes| decode("it", bytes).map_err(|error| Violation(error.to_string()))))?;
                }
                Ok(())
            })
        },
    ])?;
    bench.table.row("reactor alone, messages", &alone, Unit::PerSecond, None, Goal::AtLeast(4e6));
    bench.table.row("reactor with decoding, messages", &decoding, Unit::PerSecond, None, Goal::Open);
    Ok(())
}
