//! A driver that the reactor is told of, without rings, shared memory or anybody to tell.

use plasmon_agent::reactor::bystander::Bystander;
use plasmon_agent::reactor::{Core, CoreConfig, OomConfig, Violation};
use plasmon_agent::spill::policy::SpillConfig;
use plasmon_memory::ring::{Frames, TO_AGENT, max_message};
use plasmon_protocol::id::{NodeId, ObjectKey, ProcessId};
use plasmon_protocol::local::{ALIGNMENT, CHUNK, Memory, SLOT_BLOCK, ToAgent, ToClient, decode};
use plasmon_protocol::record::SiteKind;
use plasmon_protocol::resources::{Amount, Resources};

use crate::Outcome;

/// Bytes of the store. Nothing is written, so nothing of it is needed.
const CAPACITY: u64 = 1 << 36;
/// Slots of the node: enough for a million objects and what is left of blocks.
const SLOTS: u32 = 1 << 21;

/// Nobody. Remembers the answers that a client needs.
#[derive(Default)]
struct Nobody {
    slots: Option<u32>,
    lease: Option<(u32, u64)>,
    back: Option<u64>,
}

impl Bystander for Nobody {
    fn send(&mut self, _: ProcessId, message: &ToClient<'_>) {
        match message {
            ToClient::Slots { first, .. } => self.slots = Some(*first),
            ToClient::Leased { lease, offset, .. } => self.lease = Some((*lease, *offset)),
            _ => {}
        }
    }

    fn back(&mut self, end: u64) {
        self.back = Some(end);
    }
}

/// The reactor of a node with nobody in it.
pub(crate) fn core() -> Core {
    Core::new(CoreConfig {
        node: NodeId::default(),
        node_ip: "127.0.0.1".into(),
        pid: 1,
        capacity: CAPACITY,
        slots: SLOTS,
        resources: Resources { cpus: Amount::whole(2), ..Resources::default() },
        fail_infeasible: true,
        lineage_limit: 64 << 20,
        now_ms: 0,
        spill: SpillConfig::default(),
        recording: None,
        oom: OomConfig::default(),
    })
}

/// One driver: its process, and places for its objects.
pub(crate) struct Driver {
    process: ProcessId,
    /// For each object: its slot, its lease, where it lies.
    places: Vec<(u32, u32, u64)>,
    generation: u32,
    sites: u32,
}

impl Driver {
    /// Joins the node with room for so many objects, which are put at so many places of the program in turns.
    pub(crate) fn connect(core: &mut Core, objects: usize, sites: u32) -> Outcome<Self> {
        let (process, _) = core.on_driver_connected(2, "bench");
        let mut driver = Self { process, places: Vec::with_capacity(objects), generation: 0, sites };
        for site in 1..=sites {
            let site = ToAgent::Site { site, kind: SiteKind::PutObject, file: "bench.rs", line: site, function: "put", caller: 0 };
            driver.take(core, [site])?;
        }
        let mut leases = Vec::new();
        while driver.places.len() < objects {
            let mut nobody = Nobody::default();
            let wishes = [ToAgent::Slots { request: 1 }, ToAgent::Lease { request: 2, bytes: 64, chunk: true, site: 1 }];
            let lease_too = leases.is_empty();
            let wishes = wishes.into_iter().take(1 + usize::from(lease_too)).map(Ok::<_, Violation>);
            core.on_messages(process, wishes, &mut nobody).map_err(|violation| violation.0)?;
            if let Some(end) = nobody.back.take() {
                core.on_backed(end, &mut nobody);
            }
            if lease_too {
                let (lease, offset) = nobody.lease.ok_or("no lease")?;
                leases.extend((offset..offset + CHUNK).step_by(ALIGNMENT as usize).map(|offset| (lease, offset)));
            }
            let first = nobody.slots.ok_or("no slots")?;
            let block = leases.drain(..leases.len().min(SLOT_BLOCK as usize));
            driver.places.extend((first..first + SLOT_BLOCK).zip(block).map(|(slot, (lease, offset))| (slot, lease, offset)));
        }
        driver.places.truncate(objects);
        Ok(driver)
    }

    /// Bytes that this keeps itself.
    pub(crate) fn own_bytes(&self) -> usize {
        self.places.capacity() * size_of::<(u32, u32, u64)>()
    }

    fn key(&self, index: usize) -> ObjectKey {
        ObjectKey { slot: self.places[index].0, generation: self.generation }
    }

    /// Puts of all objects in their next generation, one after the other in memory.
    pub(crate) fn puts(&mut self) -> Vec<ToAgent<'static>> {
        self.generation += 1;
        let put = |(index, (_, lease, offset)): (usize, &(u32, u32, u64))| {
            let site = (index as u32).wrapping_mul(STRIDE as u32) % self.sites + 1;
            let memory = Memory { lease: *lease, offset: *offset, length: 64 };
            ToAgent::Put { key: self.key(index), memory, site, hidden: false }
        };
        self.places.iter().enumerate().map(put).collect()
    }

    /// Their drops, in the order that they were put in, or all over the place.
    pub(crate) fn drops(&self, in_order: bool) -> Vec<ToAgent<'static>> {
        let stride = if in_order { 1 } else { STRIDE };
        self.everywhere(stride).map(|key| ToAgent::DropLocal { key }).collect()
    }

    /// A view of each object in turns all over the place, taken and given back.
    pub(crate) fn pins(&self) -> Vec<ToAgent<'static>> {
        self.everywhere(STRIDE).flat_map(|key| [ToAgent::AddPin { key, site: 1 }, ToAgent::DropPin { key }]).collect()
    }

    fn everywhere(&self, stride: usize) -> impl Iterator<Item = ObjectKey> + '_ {
        let count = self.places.len();
        (0..count).map(move |index| self.key(index * stride % count))
    }

    /// Has the reactor take these, in one batch.
    pub(crate) fn take<'a>(&self, core: &mut Core, batch: impl IntoIterator<Item = ToAgent<'a>>) -> Outcome<()> {
        Ok(core.on_messages(self.process, batch.into_iter().map(Ok), &mut Nobody::default()).map_err(|violation| violation.0)?)
    }

    /// The same for what stood in a ring, as the agent takes it.
    pub(crate) fn take_from_ring(&self, core: &mut Core, bytes: &[u8]) -> Outcome<()> {
        let frames = Frames::new(bytes, max_message(TO_AGENT));
        let messages = frames.map(|frame| {
            let frame = frame.map_err(|error| Violation(error.to_string()))?;
            decode("it", frame).map_err(|error| Violation(error.to_string()))
        });
        Ok(core.on_messages(self.process, messages, &mut Nobody::default()).map_err(|violation| violation.0)?)
    }
}

/// A prime far from any structure of a table: each object once, and hardly one beside the one before.
const STRIDE: usize = 1_000_003;
