//! The node's GPUs one by one: a task that asks for whole ones has them alone, one that asks for a part shares.

use std::sync::Arc;

use plasmon_protocol::resources::Amount;

/// What is taken of each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Devices {
    /// Ten-thousandths of each; the last one may be a part of a GPU.
    total: Vec<u64>,
    used: Vec<u64>,
}

impl Devices {
    /// So many, none of them used.
    #[must_use]
    pub fn new(gpus: Amount) -> Self {
        let count = gpus.parts().div_ceil(Amount::UNIT);
        let total: Vec<u64> = (0..count).map(|device| (gpus.parts() - device * Amount::UNIT).min(Amount::UNIT)).collect();
        Self { used: vec![0; total.len()], total }
    }

    fn free(&self, device: usize) -> u64 {
        self.total[device] - self.used[device]
    }

    /// Which would be given: the first whole ones that nobody uses, or the fullest that still has room for a part.
    #[must_use]
    pub fn pick(&self, gpus: Amount) -> Option<Arc<[u32]>> {
        self.pick_where(gpus, |_| true)
    }

    /// The same, of those that `allowed` lets be used.
    #[must_use]
    pub fn pick_where(&self, gpus: Amount, allowed: impl Fn(u32) -> bool) -> Option<Arc<[u32]>> {
        let devices = (0..self.total.len()).filter(|device| allowed(*device as u32));
        if gpus < Amount::ONE {
            let fits = devices.filter(|device| self.free(*device) >= gpus.parts());
            return fits.min_by_key(|device| (self.free(*device), *device)).map(|device| Arc::from([device as u32]));
        }
        let wanted = (gpus.parts() / Amount::UNIT) as usize;
        let whole: Vec<u32> =
            devices.filter(|device| self.free(*device) == Amount::UNIT).take(wanted).map(|device| device as u32).collect();
        (whole.len() == wanted).then(|| whole.into())
    }

    /// Whether just these could be given.
    #[must_use]
    pub fn could_be(&self, devices: &[u32], gpus: Amount) -> bool {
        let wanted = if gpus < Amount::ONE { 1 } else { gpus.parts() / Amount::UNIT };
        devices.len() as u64 == wanted && self.pick_where(gpus, |device| devices.contains(&device)).is_some()
    }

    /// What each of several devices carries of a demand.
    fn each(gpus: Amount) -> u64 {
        gpus.parts().min(Amount::UNIT)
    }

    pub(super) fn take(&mut self, devices: &[u32], gpus: Amount) {
        for device in devices {
            self.used[*device as usize] += Self::each(gpus);
            debug_assert!(self.used[*device as usize] <= self.total[*device as usize], "a GPU is over-committed");
        }
    }

    pub(super) fn give(&mut self, devices: &[u32], gpus: Amount) {
        for device in devices {
            let used = &mut self.used[*device as usize];
            debug_assert!(*used >= Self::each(gpus), "more of a GPU given back than taken");
            *used = used.saturating_sub(Self::each(gpus));
        }
    }

    pub(super) fn is_unused(&self) -> bool {
        self.used.iter().all(|used| *used == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str) -> Amount {
        text.parse().unwrap()
    }

    #[test]
    fn parts_are_packed_and_wholes_are_alone() {
        let mut devices = Devices::new(Amount::whole(3));
        let half = devices.pick(amount("0.5")).unwrap();
        devices.take(&half, amount("0.5"));
        assert_eq!(*half, [0]);
        assert_eq!(*devices.pick(amount("0.25")).unwrap(), [0]);
        assert_eq!(*devices.pick(amount("0.75")).unwrap(), [1]);
        assert_eq!(*devices.pick(Amount::whole(2)).unwrap(), [1, 2]);
        assert_eq!(devices.pick(Amount::whole(3)), None);
        assert!(devices.could_be(&[2], Amount::ONE) && !devices.could_be(&[0], Amount::ONE) && !devices.could_be(&[1, 2], Amount::ONE));
        devices.give(&half, amount("0.5"));
        assert!(devices.is_unused());
        assert_eq!(*devices.pick(Amount::whole(3)).unwrap(), [0, 1, 2]);
    }

    #[test]
    fn a_node_may_offer_a_part_of_a_gpu() {
        let devices = Devices::new(amount("1.5"));
        assert_eq!(*devices.pick(Amount::ONE).unwrap(), [0]);
        assert_eq!(*devices.pick(amount("0.5")).unwrap(), [1]);
        assert_eq!(devices.pick(Amount::whole(2)), None);
    }
}
