//! What the node offers and what running tasks and living actors reserve of it. Fixed point, so that no sum ever rounds; CPUs, GPUs and
//! custom resources in ten-thousandths, memory in bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use plasmon_protocol::resources::{Amount, CPU, GPU, MEMORY, Resources};

use super::devices::Devices;
use super::shape::Shape;

const CPUS: usize = 0;
const GPUS: usize = 1;
const BYTES: usize = 2;

/// What a node has in all. Never changes.
#[derive(Clone, Debug)]
pub struct Offer {
    total: Arc<Resources>,
    amounts: Vec<u64>,
    names: Vec<Arc<str>>,
    custom: BTreeMap<Arc<str>, usize>,
}

impl Offer {
    /// Of these resources.
    #[must_use]
    pub fn new(total: &Resources) -> Self {
        let mut names: Vec<Arc<str>> = [CPU, GPU, MEMORY].map(Arc::from).to_vec();
        let mut amounts = vec![total.cpus.parts(), total.gpus.parts(), total.memory_bytes];
        let mut custom = BTreeMap::new();
        for (name, amount) in &total.custom {
            custom.insert(Arc::clone(name), amounts.len());
            names.push(Arc::clone(name));
            amounts.push(amount.parts());
        }
        Self { total: Arc::new(total.clone()), amounts, names, custom }
    }

    /// What it has in all.
    #[must_use]
    pub fn total(&self) -> &Arc<Resources> {
        &self.total
    }

    /// Whole CPUs, a part of one counting as one; at least 1.
    #[must_use]
    pub fn whole_cpus(&self) -> u64 {
        self.amounts[CPUS].div_ceil(Amount::UNIT).max(1)
    }

    /// By the node's numbers of the resources, rising, without zeros; `None` where it has no such resource.
    pub(super) fn amounts(&self, asked: &Resources) -> Option<Box<[(usize, u64)]>> {
        let common = [(CPUS, asked.cpus.parts()), (GPUS, asked.gpus.parts()), (BYTES, asked.memory_bytes)];
        let mut amounts: Vec<(usize, u64)> = common.into_iter().filter(|(_, amount)| *amount > 0).collect();
        for (name, amount) in asked.custom.iter().filter(|(_, amount)| !amount.is_zero()) {
            amounts.push((*self.custom.get(name)?, amount.parts()));
        }
        Some(amounts.into())
    }

    /// The name of the node's resource of that number.
    #[must_use]
    pub fn name(&self, resource: usize) -> Option<&Arc<str>> {
        self.names.get(resource)
    }

    /// The node's numbers of the resources that a demand can never have enough of. Those that the node does not know have none.
    #[must_use]
    pub fn short_of(&self, shape: &Shape) -> Vec<usize> {
        shape.amounts.iter().filter(|(resource, amount)| self.amounts[*resource] < *amount).map(|(resource, _)| *resource).collect()
    }

    pub(super) fn has(&self, amounts: &[(usize, u64)]) -> bool {
        amounts.iter().all(|(resource, amount)| self.amounts[*resource] >= *amount)
    }

    /// What of a demand the node will never have, and how much of that it has: `4 CPU, 1 gate` and `2 CPU, no gate`.
    #[must_use]
    pub fn shortfall(&self, asked: &Resources) -> (String, String) {
        let (mut wanted, mut had) = (Resources::default(), Vec::new());
        let total = &self.total;
        if asked.cpus > total.cpus {
            wanted.cpus = asked.cpus;
            had.push(format!("{} {CPU}", total.cpus));
        }
        if asked.gpus > total.gpus {
            wanted.gpus = asked.gpus;
            had.push(format!("{} {GPU}", total.gpus));
        }
        if asked.memory_bytes > total.memory_bytes {
            wanted.memory_bytes = asked.memory_bytes;
            had.push(format!("{} {MEMORY}", plasmon_protocol::size::Bytes(total.memory_bytes)));
        }
        for (name, amount) in &asked.custom {
            let offered = total.custom.get(name).copied().unwrap_or_default();
            if *amount > offered {
                wanted.custom.insert(Arc::clone(name), *amount);
                had.push(format!("{offered} {name}"));
            }
        }
        (wanted.to_string(), had.join(", "))
    }
}

/// The node's number of a resource, and how much of it something needs to begin: bytes of memory, ten-thousandths of others.
pub type Need = (usize, u64);

/// One resource that something waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lack {
    /// Its name.
    pub resource: Arc<str>,
    /// The node's number for it.
    pub number: usize,
    /// How much more would have to be free: bytes of memory, ten-thousandths of others.
    pub missing: u64,
}

impl Lack {
    /// How much is missing of what, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        amount_of(self.number, self.missing, &self.resource)
    }
}

fn amount_of(number: usize, amount: u64, name: &str) -> String {
    match number {
        BYTES => format!("{} {name}", plasmon_protocol::size::Bytes(amount)),
        _ => format!("{} {name}", Amount::of_parts(amount).unwrap_or(Amount::MAX)),
    }
}

/// What is reserved at this moment. A task that blocks in a `get` gives its CPUs back and takes them again when it goes on, even if none
/// is free then: for that moment CPUs are over-committed, and nothing that needs one is started. Nothing else ever is.
#[derive(Debug)]
pub struct Reserved {
    offer: Offer,
    used: Vec<u64>,
    /// Of it, what nobody can say the end of: what actors hold, and tasks that are blocked.
    lasting: Vec<u64>,
    devices: Devices,
    /// The GPUs with the lasting part alone.
    lasting_devices: Devices,
    /// Of that something has come free since it was last asked.
    relieved: bool,
}

impl Reserved {
    /// Nothing of `offer`.
    #[must_use]
    pub fn new(offer: Offer) -> Self {
        let devices = Devices::new(offer.total.gpus);
        let none = vec![0; offer.amounts.len()];
        Self { used: none.clone(), lasting: none, lasting_devices: devices.clone(), devices, relieved: false, offer }
    }

    /// What there is in all.
    #[must_use]
    pub fn offer(&self) -> &Offer {
        &self.offer
    }

    /// The GPUs one by one.
    #[must_use]
    pub fn devices(&self) -> &Devices {
        &self.devices
    }

    /// What is reserved.
    #[must_use]
    pub fn sum(&self) -> Resources {
        // Over-commitment of CPUs is bounded by the tasks that run, far below a million.
        let amount = |resource: usize| Amount::of_parts(self.used[resource]).unwrap_or(Amount::MAX);
        let custom = self.offer.custom.iter().map(|(name, resource)| (Arc::clone(name), amount(*resource)));
        Resources { cpus: amount(CPUS), gpus: amount(GPUS), memory_bytes: self.used[BYTES], custom: custom.collect() }
    }

    /// How much of a resource nobody has reserved: bytes of memory, ten-thousandths of others.
    #[must_use]
    pub fn free(&self, resource: usize) -> u64 {
        self.offer.amounts[resource].saturating_sub(self.used[resource])
    }

    /// The first resource of which a shape needs more than is free. One that fits needs none, nor does one whose GPUs are free in pieces.
    #[must_use]
    pub fn lacks_first(&self, shape: &Shape) -> Option<Need> {
        shape.amounts.iter().copied().find(|(resource, amount)| self.free(*resource) < *amount)
    }

    /// Whether so much is free.
    #[must_use]
    pub fn fits(&self, shape: &Shape) -> bool {
        shape.amounts.iter().all(|(resource, amount)| self.used[*resource] + amount <= self.offer.amounts[*resource])
            && (shape.gpus().is_zero() || self.devices.pick(shape.gpus()).is_some())
    }

    /// How many of that shape fit beside each other; `u64::MAX` where it asks for nothing.
    #[must_use]
    pub fn how_many(&self, shape: &Shape) -> u64 {
        shape.amounts.iter().map(|(resource, amount)| self.free(*resource) / amount).min().unwrap_or(u64::MAX)
    }

    /// Whether so much would be free if all that runs ended, but for what may last.
    #[must_use]
    pub fn could_fit(&self, shape: &Shape) -> bool {
        shape.feasible
            && shape.amounts.iter().all(|(resource, amount)| self.lasting[*resource] + amount <= self.offer.amounts[*resource])
            && (shape.gpus().is_zero() || self.lasting_devices.pick(shape.gpus()).is_some())
    }

    /// What is missing for a shape.
    #[must_use]
    pub fn lacks(&self, shape: &Shape) -> Vec<Lack> {
        let lacks = shape.amounts.iter().filter_map(|(resource, amount)| {
            let missing = (self.used[*resource] + amount).saturating_sub(self.offer.amounts[*resource]);
            // GPUs may be free in pieces of which none is large enough.
            let in_pieces = *resource == GPUS && missing == 0 && self.devices.pick(shape.gpus()).is_none();
            let missing = if in_pieces { *amount } else { missing };
            (missing > 0).then(|| Lack { resource: Arc::clone(&self.offer.names[*resource]), number: *resource, missing })
        });
        lacks.collect()
    }

    /// What a shape takes of one resource, for people; `None` when it takes nothing.
    #[must_use]
    pub fn share(&self, shape: &Shape, resource: usize) -> Option<String> {
        let amount = shape.amounts.iter().find(|(number, _)| *number == resource)?.1;
        Some(amount_of(resource, amount, &self.offer.names[resource]))
    }

    /// How much a shape takes of one resource: bytes of memory, ten-thousandths of others.
    #[must_use]
    pub fn amount(&self, shape: &Shape, resource: usize) -> u64 {
        shape.amounts.iter().find(|(number, _)| *number == resource).map_or(0, |(_, amount)| *amount)
    }

    /// How much of one resource is reserved, for people: `512 MiB of 1 GiB reserved`. Empty for one that the node does not have.
    #[must_use]
    pub fn describe(&self, resource: usize) -> String {
        let Some(((used, total), name)) = self.used.get(resource).zip(self.offer.amounts.get(resource)).zip(self.offer.names.get(resource))
        else {
            return String::new();
        };
        let amount = |amount| amount_of(resource, amount, name).trim_end_matches(&**name).trim_end().to_owned();
        format!("{} of {} reserved", amount(*used), amount(*total))
    }

    /// Whether a shape beside what is reserved would leave what is `kept` for another one, as far as there is so much. Any GPU may be one
    /// that a worker is being started for.
    #[must_use]
    pub fn leaves(&self, shape: &Shape, kept: &Shape) -> bool {
        shape.amounts.iter().all(|(resource, amount)| match self.amount(kept, *resource) {
            0 => true,
            kept => *resource != GPUS && self.used[*resource] + amount + kept <= self.offer.amounts[*resource],
        })
    }

    /// Reserves, with the GPUs of `devices`. CPUs fit or not; of anything else the caller has seen that it fits.
    pub fn take(&mut self, part: Part<'_>) {
        self.change(part, |used, amount| *used += amount);
        if part.what != What::Cpus {
            self.devices.take(part.devices, part.shape.gpus());
        }
        debug_assert!((GPUS..self.used.len()).all(|resource| self.used[resource] <= self.offer.amounts[resource]), "over-committed");
    }

    /// Gives back what was taken.
    pub fn give(&mut self, part: Part<'_>) {
        self.change(part, |used, amount| {
            debug_assert!(*used >= amount, "more given back than taken");
            *used = used.saturating_sub(amount);
        });
        if part.what != What::Cpus {
            self.devices.give(part.devices, part.shape.gpus());
        }
    }

    fn change(&mut self, part: Part<'_>, change: impl Fn(&mut u64, u64)) {
        for (resource, amount) in part.shape.amounts.iter().filter(|(resource, _)| part.what.includes(*resource)) {
            change(&mut self.used[*resource], *amount);
        }
    }

    /// Counts what is reserved as lasting from here on, or no more.
    pub fn set_lasting(&mut self, part: Part<'_>, lasting: bool) {
        self.relieved |= !lasting;
        for (resource, amount) in part.shape.amounts.iter().filter(|(resource, _)| part.what.includes(*resource)) {
            let sum = &mut self.lasting[*resource];
            *sum = if lasting { *sum + amount } else { sum.saturating_sub(*amount) };
        }
        if part.what != What::Cpus {
            let change = if lasting { Devices::take } else { Devices::give };
            change(&mut self.lasting_devices, part.devices, part.shape.gpus());
        }
    }

    /// Whether something that counted as lasting has come free since the last call.
    pub fn take_relieved(&mut self) -> bool {
        std::mem::take(&mut self.relieved)
    }

    /// Of which nothing is used, GPUs one by one included.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        self.used.iter().chain(&self.lasting).all(|used| *used == 0) && self.devices.is_unused() && self.lasting_devices.is_unused()
    }

    /// Sums to compare with: used and lasting, by the node's numbers of the resources.
    #[must_use]
    pub fn sums(&self) -> (&[u64], &[u64]) {
        (&self.used, &self.lasting)
    }

    /// The same GPU by GPU: used and lasting.
    #[must_use]
    pub fn each_device(&self) -> (&Devices, &Devices) {
        (&self.devices, &self.lasting_devices)
    }
}

/// Which part of a shape.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// All of it.
    All,
    /// Its CPUs alone.
    Cpus,
    /// All but its CPUs.
    AllButCpus,
}

impl What {
    fn includes(self, resource: usize) -> bool {
        match self {
            Self::All => true,
            Self::Cpus => resource == CPUS,
            Self::AllButCpus => resource != CPUS,
        }
    }
}

/// A part of a shape, with the GPUs that go with it.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Of this.
    pub shape: &'a Shape,
    /// What of it.
    pub what: What,
    /// The numbers of its GPUs.
    pub devices: &'a [u32],
}

#[cfg(test)]
mod tests;
