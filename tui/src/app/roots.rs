//! What an object's page needs beyond the object: who holds what it lies inside of, outwards, down to the processes at the roots.

use plasmon_protocol::id::ObjectId;
use plasmon_protocol::record::ReferenceRow;
use plasmon_protocol::stream::{Detail, ObjectDetail};

use super::App;
use super::page::{Item, Section, sections};
use super::route::Route;
use super::subscribe::Slot;

/// Objects around it that are looked at.
const OUTER: u8 = 8;

impl App {
    fn outer(&self, number: u8) -> Option<&ObjectDetail> {
        match self.detail(Slot::Outer(number))? {
            Detail::Object(detail) => Some(detail),
            _ => None,
        }
    }

    /// One of the objects around, once it has come.
    fn known_outer(&self, id: ObjectId) -> Option<&ObjectDetail> {
        (0..OUTER).filter_map(|number| self.outer(number)).find(|outer| outer.object.object_id == id)
    }

    /// The objects around the shown one, the nearest first: what contains it, what contains that, as far as it is known yet.
    pub(super) fn around(&self) -> Vec<ObjectId> {
        let (Route::Object(_), Some(Detail::Object(detail))) = (&self.place().route, self.detail(Slot::Main)) else { return Vec::new() };
        let shown = detail.object.object_id;
        let mut found: Vec<ObjectId> = Vec::new();
        let more = |found: &mut Vec<ObjectId>, detail: &ObjectDetail| {
            for row in &detail.contained_in {
                // Objects cannot contain each other, but a frame may say so.
                if row.object_id != shown && !found.contains(&row.object_id) && found.len() < usize::from(OUTER) {
                    found.push(row.object_id);
                }
            }
        };
        more(&mut found, detail);
        let mut at = 0;
        while let Some(id) = found.get(at).copied() {
            if let Some(outer) = self.known_outer(id) {
                more(&mut found, outer);
            }
            at += 1;
        }
        found
    }

    /// Who holds what is around the shown object.
    fn roots(&self) -> Vec<&ReferenceRow> {
        self.around().into_iter().filter_map(|id| self.known_outer(id)).flat_map(|outer| &outer.holders).collect()
    }

    /// The sections of the page that is shown, once its thing has come.
    #[must_use]
    pub fn sections(&self) -> Option<Vec<Section<'_>>> {
        let mut sections = sections(self.detail(Slot::Main)?);
        let roots = self.roots();
        if !roots.is_empty() {
            let items: Vec<Item<'_>> = roots.into_iter().map(Item::Holder).collect();
            let at = sections.iter().position(|section| section.title == "Inside of").map_or(sections.len(), |at| at + 1);
            let total = items.len() as u64;
            sections.insert(at, Section { title: "Held by, around it, down to the roots", total, items, empty: "" });
        }
        Some(sections)
    }
}
