//! The rows of one table, by places, as compactly as they can be kept; and which rows are about the same object.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::super::row::{Shown, digits};
use crate::id::{NodeId, ObjectId, ObjectKey, ProcessId};
use crate::record::{ActorRow, ObjectRow, ObjectState, ProcessRow, ProcessType, ReferenceRow, ReferenceType, Site, SiteRow, TaskStatus};

/// A row that replicas can be made of.
pub(super) trait Replicated: Shown {
    /// The row as it is kept.
    type Kept: PartialEq + Send + Sync;

    /// Keeps what the row shares with others in `pool`.
    fn keep(&self, pool: &mut Pool) -> Self::Kept;

    /// The row again: itself, where it is kept as it is.
    fn restore<'a>(kept: &'a Self::Kept, pool: &Pool) -> Cow<'a, Self>;

    /// See [`Shown::tie`].
    fn tie_of(kept: &Self::Kept, pool: &Pool) -> Self::Tie;

    /// The object that the row is about, where several rows may be about the same.
    fn shares(kept: &Self::Kept) -> Option<ObjectKey>;
}

/// What rows have in common, each once.
#[derive(Default)]
pub(super) struct Pool {
    sites: Vec<Arc<Site>>,
    /// By where the site lies in memory, where it stays because it is kept above.
    places: HashMap<usize, u32, foldhash::fast::RandomState>,
    /// Nodes: of the object, of the holder, and the holder's address.
    nodes: Vec<(NodeId, NodeId, Arc<str>)>,
}

impl Pool {
    pub(super) fn site(&mut self, site: &Arc<Site>) -> u32 {
        *self.places.entry(Arc::as_ptr(site).addr()).or_insert_with(|| {
            self.sites.push(Arc::clone(site));
            self.sites.len() as u32 - 1
        })
    }

    pub(super) fn site_at(&self, number: u32) -> Arc<Site> {
        self.sites.get(number as usize).cloned().unwrap_or_default()
    }

    /// The nodes with that number.
    pub(super) fn nodes_at(&self, number: u16) -> (NodeId, NodeId, Arc<str>) {
        self.nodes.get(usize::from(number)).cloned().unwrap_or_default()
    }

    pub(super) fn nodes(&mut self, object: NodeId, holder: NodeId, ip: &Arc<str>) -> u16 {
        let known = self.nodes.iter().position(|known| known.0 == object && known.1 == holder && known.2 == *ip);
        known.unwrap_or_else(|| {
            self.nodes.push((object, holder, Arc::clone(ip)));
            self.nodes.len() - 1
        }) as u16
    }
}

/// A [`ReferenceRow`] as it is kept.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct KeptReference {
    since_ms: u64,
    size_bytes: u64,
    object: ObjectKey,
    process: ProcessId,
    pid: u32,
    call_site: u32,
    created_site: u32,
    creator_pid: u32,
    attempt: u32,
    local: u32,
    pinned: u32,
    submitted: u32,
    captured: u32,
    nodes: u16,
    has_size: bool,
    has_attempt: bool,
    process_type: ProcessType,
    reference_type: ReferenceType,
    status: Option<TaskStatus>,
    state: ObjectState,
}

impl Replicated for ReferenceRow {
    type Kept = KeptReference;

    fn keep(&self, pool: &mut Pool) -> KeptReference {
        KeptReference {
            since_ms: self.since_ms,
            size_bytes: self.size_bytes.unwrap_or(0),
            object: self.object_id.key(),
            process: self.process,
            pid: self.pid,
            call_site: pool.site(&self.call_site),
            created_site: pool.site(&self.created_site),
            creator_pid: self.creator_pid,
            attempt: self.attempt.unwrap_or(0),
            local: self.local,
            pinned: self.pinned,
            submitted: self.submitted,
            captured: self.captured,
            nodes: pool.nodes(self.object_id.node(), self.node, &self.node_ip),
            has_size: self.size_bytes.is_some(),
            has_attempt: self.attempt.is_some(),
            process_type: self.process_type,
            reference_type: self.reference_type,
            status: self.status,
            state: self.state,
        }
    }

    fn restore<'a>(kept: &'a KeptReference, pool: &Pool) -> Cow<'a, Self> {
        let (object, node, node_ip) = pool.nodes_at(kept.nodes);
        Cow::Owned(Self {
            object_id: kept.object.on(object),
            process: kept.process,
            pid: kept.pid,
            process_type: kept.process_type,
            node,
            node_ip,
            reference_type: kept.reference_type,
            size_bytes: kept.has_size.then_some(kept.size_bytes),
            call_site: pool.site_at(kept.call_site),
            created_site: pool.site_at(kept.created_site),
            creator_pid: kept.creator_pid,
            status: kept.status,
            attempt: kept.has_attempt.then_some(kept.attempt),
            state: kept.state,
            since_ms: kept.since_ms,
            local: kept.local,
            pinned: kept.pinned,
            submitted: kept.submitted,
            captured: kept.captured,
        })
    }

    fn tie_of(kept: &KeptReference, pool: &Pool) -> ([u8; 10], ObjectId) {
        let node = pool.nodes.get(usize::from(kept.nodes)).map_or(NodeId::default(), |nodes| nodes.0);
        (digits(u64::from(kept.process.0)), kept.object.on(node))
    }

    fn shares(kept: &KeptReference) -> Option<ObjectKey> {
        Some(kept.object)
    }
}

/// A row that is kept as it is.
macro_rules! kept_whole {
    ($($row:ty),+) => {$(
        impl Replicated for $row {
            type Kept = Self;

            fn keep(&self, _: &mut Pool) -> Self {
                self.clone()
            }

            fn restore<'a>(kept: &'a Self, _: &Pool) -> Cow<'a, Self> {
                Cow::Borrowed(kept)
            }

            fn tie_of(kept: &Self, _: &Pool) -> Self::Tie {
                kept.tie()
            }

            fn shares(_: &Self) -> Option<ObjectKey> {
                None
            }
        }
    )+};
}

kept_whole!(ObjectRow, SiteRow, ActorRow, ProcessRow);

/// No place.
const NONE: u32 = u32::MAX;

/// See the module.
pub(super) struct Store<R: Replicated> {
    pool: Pool,
    kept: Vec<Option<R::Kept>>,
    len: usize,
    /// By slots of objects: the place of the first row about it; by places: that of the next. A slot's rows may be about the objects that
    /// it had one after the other, for as long as not all of a change is told.
    first: Vec<u32>,
    next: Vec<u32>,
}

impl<R: Replicated> Default for Store<R> {
    fn default() -> Self {
        Self { pool: Pool::default(), kept: Vec::new(), len: 0, first: Vec::new(), next: Vec::new() }
    }
}

impl<R: Replicated> Store<R> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Places that there ever was a row at lie below this.
    pub(super) fn end(&self) -> u32 {
        self.kept.len() as u32
    }

    /// There will be places below `end`. Room that is made little by little is made several times over.
    pub(super) fn reserve(&mut self, end: u32) {
        let end = end as usize;
        self.kept.reserve_exact(end.saturating_sub(self.kept.len()));
        if !R::ONE_ROW_PER_OBJECT {
            self.next.reserve_exact(end.saturating_sub(self.next.len()));
        }
    }

    pub(super) fn keep(&mut self, row: &R) -> R::Kept {
        row.keep(&mut self.pool)
    }

    pub(super) fn kept(&self, place: u32) -> Option<&R::Kept> {
        self.kept.get(place as usize)?.as_ref()
    }

    pub(super) fn row(&self, place: u32) -> Option<Cow<'_, R>> {
        self.kept(place).map(|kept| R::restore(kept, &self.pool))
    }

    pub(super) fn tie(&self, place: u32) -> Option<R::Tie> {
        self.kept(place).map(|kept| R::tie_of(kept, &self.pool))
    }

    /// All rows with their places.
    pub(super) fn rows(&self) -> impl Iterator<Item = (u32, Cow<'_, R>)> {
        let kept = self.kept.iter().enumerate().filter_map(|(place, kept)| Some((place as u32, kept.as_ref()?)));
        kept.map(|(place, kept)| (place, R::restore(kept, &self.pool)))
    }

    pub(super) fn insert(&mut self, place: u32, kept: R::Kept) {
        self.remove(place);
        if self.kept.len() <= place as usize {
            self.kept.resize_with(place as usize + 1, || None);
        }
        if let Some(object) = R::shares(&kept) {
            grow(&mut self.first, object.slot);
            grow(&mut self.next, place);
            self.next[place as usize] = std::mem::replace(&mut self.first[object.slot as usize], place);
        }
        self.kept[place as usize] = Some(kept);
        self.len += 1;
    }

    pub(super) fn remove(&mut self, place: u32) {
        let Some(kept) = self.kept.get_mut(place as usize).and_then(Option::take) else { return };
        self.len -= 1;
        let Some(object) = R::shares(&kept) else { return };
        let behind = self.next[place as usize];
        let mut at = self.first[object.slot as usize];
        if at == place {
            self.first[object.slot as usize] = behind;
            return;
        }
        while at != NONE {
            let next = &mut self.next[at as usize];
            if *next == place {
                *next = behind;
                return;
            }
            at = *next;
        }
    }

    /// Whether a row at another place is about the same object, and `counts`.
    pub(super) fn shared(&self, place: u32, counts: impl Fn(u32) -> bool) -> bool {
        let object = |place| self.kept(place).and_then(R::shares);
        let Some(same) = object(place) else { return false };
        let mut at = self.first.get(same.slot as usize).copied().unwrap_or(NONE);
        while at != NONE {
            if at != place && object(at) == Some(same) && counts(at) {
                return true;
            }
            at = self.next.get(at as usize).copied().unwrap_or(NONE);
        }
        false
    }

    /// Bytes that it takes of memory, what is shared not included.
    pub(super) fn bytes(&self) -> usize {
        self.kept.capacity() * size_of::<Option<R::Kept>>() + (self.first.capacity() + self.next.capacity()) * size_of::<u32>()
    }
}

fn grow(places: &mut Vec<u32>, place: u32) {
    if places.len() <= place as usize {
        places.resize(place as usize + 1, NONE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_kept_in_72_bytes() {
        assert_eq!(size_of::<Option<KeptReference>>(), 72);
    }
}
