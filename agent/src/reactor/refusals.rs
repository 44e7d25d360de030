//! What a create is told for which there is no room: what was asked, what is free, and who holds most.

use plasmon_protocol::error::{Error, Holder};
use plasmon_protocol::id::SiteId;
use plasmon_protocol::local::ToClient;
use plasmon_protocol::record::{EventKind, Severity};
use plasmon_protocol::size::Bytes;

use super::memory::{Create, Want};
use super::{Core, Outbox};

/// Sites that an error names as those that hold most.
const MAX_HOLDERS: usize = 3;
/// Bytes that an error shows of a call site.
const MAX_SITE: usize = 200;

impl Core {
    pub(super) fn refuse(&mut self, create: Create, out: &mut impl Outbox) {
        let error = match &self.spill.trouble {
            Some(cause) if create.bytes <= self.store.capacity() => {
                Error::OutOfDisk { asked: Bytes(create.bytes), site: self.shown_site(create.site), cause: cause.clone() }
            }
            _ => self.store_full(create.bytes, create.site),
        };
        // A task that asks again for its arguments is told of once.
        let is_news = !matches!(create.want, Want::Restore(key) if !self.is_news_to_anybody(key));
        if is_news {
            self.event(EventKind::StoreFull, Severity::Error, Some(self.pid(create.process)), error.to_string());
        }
        self.say_no(create, error, out);
    }

    /// Tells whoever wanted the memory why there is none.
    pub(super) fn say_no(&mut self, create: Create, error: Error, out: &mut impl Outbox) {
        match create.want {
            Want::Lease { request, .. } => out.send(create.process, &ToClient::Refused { request, error }),
            Want::Restore(key) => self.refuse_restore(key, &error, out),
        }
    }

    /// The error of a create without room: what was asked, what is free, and who holds most.
    pub(super) fn store_full(&self, asked: u64, site: SiteId) -> Error {
        let mut holders: Vec<(u64, SiteId, u64)> = Vec::with_capacity(MAX_HOLDERS + 1);
        for (id, _, weight) in self.sites.iter().filter(|(_, _, weight)| weight.bytes > 0) {
            if holders.len() < MAX_HOLDERS || holders.last().is_some_and(|(least, ..)| *least < weight.bytes) {
                let place = holders.partition_point(|(bytes, ..)| *bytes >= weight.bytes);
                holders.insert(place, (weight.bytes, id, weight.objects));
                holders.truncate(MAX_HOLDERS);
            }
        }
        let holders =
            holders.into_iter().map(|(bytes, id, objects)| Holder { site: self.shown_site(id), bytes: Bytes(bytes), objects }).collect();
        Error::ObjectStoreFull {
            asked: Bytes(asked),
            free: Bytes(self.store.free_bytes()),
            longest: Bytes(self.store.longest_free()),
            capacity: Bytes(self.store.capacity()),
            site: self.shown_site(site),
            holders,
        }
    }

    /// A call site as errors show it.
    fn shown_site(&self, id: SiteId) -> String {
        let mut text = self.sites.get(id).short();
        text.truncate(text.floor_char_boundary(MAX_SITE));
        text
    }
}
