//! What tasks and actors ask for: each distinct demand once, so that a queue can be kept for each and none is looked at twice.

use std::sync::Arc;

use hashbrown::HashMap;
use plasmon_protocol::resources::{Amount, Demand, Resources};

use super::resources::Offer;

/// One demand, in the terms of the node.
#[derive(Debug, PartialEq, Eq)]
pub struct Shape {
    /// Tells it apart from all others; 0 asks for nothing.
    pub number: u64,
    /// For people.
    pub asked: Arc<Resources>,
    /// By the node's number of the resource, rising; none is zero.
    pub(super) amounts: Box<[(usize, u64)]>,
    /// The node has so much of everything.
    pub feasible: bool,
}

impl Shape {
    fn new(number: u64, demand: &Demand<'_>, offer: &Offer) -> Self {
        let asked = Resources::from(demand);
        let amounts = offer.amounts(&asked);
        let feasible = amounts.as_ref().is_some_and(|amounts| offer.has(amounts));
        Self { number, asked: Arc::new(asked), amounts: amounts.unwrap_or_default(), feasible }
    }

    /// CPUs.
    #[must_use]
    pub fn cpus(&self) -> Amount {
        self.asked.cpus
    }

    /// GPUs.
    #[must_use]
    pub fn gpus(&self) -> Amount {
        self.asked.gpus
    }

    /// Whether it asks for what another one asks for, or more, of every resource.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let (more, less) = (&self.asked, &other.asked);
        more.cpus >= less.cpus
            && more.gpus >= less.gpus
            && more.memory_bytes >= less.memory_bytes
            && less.custom.iter().all(|(name, amount)| more.custom.get(name).is_some_and(|more| more >= amount))
    }

    fn is(&self, demand: &Demand<'_>) -> bool {
        let custom = self.asked.custom.iter();
        custom.len() == demand.custom.len()
            && custom.zip(&demand.custom).all(|((ours, amount), (name, asked))| **ours == **name && amount == asked)
    }
}

/// All that somebody may still ask for.
#[derive(Debug)]
pub struct Shapes {
    by_common: HashMap<(Amount, Amount, u64), Vec<Arc<Shape>>, foldhash::fast::FixedState>,
    nothing: Arc<Shape>,
    count: usize,
    /// At how many it is looked which of them are still in use.
    sweep_at: usize,
    last: u64,
}

/// Shapes that are kept without looking whether anybody uses them.
const KEPT: usize = 256;

impl Shapes {
    /// None yet.
    #[must_use]
    pub fn new(offer: &Offer) -> Self {
        let nothing = Arc::new(Shape::new(0, &Demand::default(), offer));
        Self { by_common: HashMap::default(), nothing, count: 0, sweep_at: KEPT, last: 0 }
    }

    /// What calls of actors ask for.
    #[must_use]
    pub fn nothing(&self) -> Arc<Shape> {
        Arc::clone(&self.nothing)
    }

    /// The shape of a demand.
    pub fn intern(&mut self, demand: &Demand<'_>, offer: &Offer) -> Arc<Shape> {
        if demand.is_empty() {
            return self.nothing();
        }
        let key = (demand.cpus, demand.gpus, demand.memory);
        if let Some(known) = self.by_common.get(&key).and_then(|known| known.iter().find(|shape| shape.is(demand))) {
            return Arc::clone(known);
        }
        if self.count >= self.sweep_at {
            self.sweep();
        }
        self.last += 1;
        let shape = Arc::new(Shape::new(self.last, demand, offer));
        self.by_common.entry(key).or_default().push(Arc::clone(&shape));
        self.count += 1;
        shape
    }

    fn sweep(&mut self) {
        self.by_common.retain(|_, shapes| {
            shapes.retain(|shape| Arc::strong_count(shape) > 1);
            !shapes.is_empty()
        });
        self.count = self.by_common.values().map(Vec::len).sum();
        self.sweep_at = KEPT.max(2 * self.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_demands_have_one_shape_and_unused_ones_go() {
        let offer = Offer::new(&Resources { cpus: Amount::whole(2), custom: [("db".into(), Amount::ONE)].into(), ..Resources::default() });
        let mut shapes = Shapes::new(&offer);
        let demand = |memory, custom: &[(&'static str, Amount)]| Demand { memory, custom: custom.to_vec(), ..Demand::default() };
        let one = shapes.intern(&demand(0, &[("db", Amount::ONE)]), &offer);
        assert!(one.feasible && Arc::ptr_eq(&one, &shapes.intern(&demand(0, &[("db", Amount::ONE)]), &offer)));
        assert!(!shapes.intern(&demand(0, &[("gate", Amount::ONE)]), &offer).feasible);
        assert!(!shapes.intern(&demand(0, &[("db", Amount::whole(2))]), &offer).feasible);
        for memory in 1..10_000 {
            shapes.intern(&demand(memory, &[]), &offer);
        }
        assert!(shapes.count <= 2 * KEPT, "{}", shapes.count);
        assert!(Arc::ptr_eq(&one, &shapes.intern(&demand(0, &[("db", Amount::ONE)]), &offer)));
        assert!(Arc::ptr_eq(&shapes.nothing(), &shapes.intern(&Demand::default(), &offer)));
    }
}
