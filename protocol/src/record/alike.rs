//! What many rows in a row have in common is read without making it anew, and kept once for all of them.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

use serde::{Deserialize, Deserializer};

use super::{Site, SiteKind};
use crate::id::SiteId;

/// So many sites that were read last are compared with the next.
const SITES: usize = 64;

thread_local! {
    static LAST_SITES: RefCell<[Option<Arc<Site>>; SITES]> = const { RefCell::new([const { None }; SITES]) };
    static LAST_TEXT: RefCell<Option<Arc<str>>> = const { RefCell::new(None) };
}

/// A site where it stands.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Read<'a> {
    id: SiteId,
    kind: SiteKind,
    #[serde(borrow)]
    function: Cow<'a, str>,
    #[serde(borrow)]
    file: Cow<'a, str>,
    line: u32,
    caller: SiteId,
}

impl Read<'_> {
    fn is(&self, site: &Site) -> bool {
        let Self { id, kind, function, file, line, caller } = self;
        (*id, *kind, *line, *caller) == (site.id, site.kind, site.line, site.caller)
            && **function == *site.function
            && **file == *site.file
            && site.outer.is_none()
    }
}

/// A site; the same as that of an earlier row, where it says the same.
pub(super) fn site<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Site>, D::Error> {
    let read = Read::deserialize(deserializer)?;
    Ok(LAST_SITES.with_borrow_mut(|last| {
        let place = &mut last[read.id.0 as usize % SITES];
        if let Some(site) = place.as_ref().filter(|site| read.is(site)) {
            return Arc::clone(site);
        }
        let Read { id, kind, function, file, line, caller } = read;
        let site = Site { id, kind, function: function.into_owned(), file: file.into_owned(), line, caller, outer: None };
        Arc::clone(place.insert(Arc::new(site)))
    }))
}

/// A text; that of the row before, where it is the same.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
    /// A text where it stands.
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

    let Text(read) = Text::deserialize(deserializer)?;
    Ok(LAST_TEXT.with_borrow_mut(|last| match last {
        Some(text) if **text == *read => Arc::clone(text),
        _ => Arc::clone(last.insert(Arc::from(&*read))),
    }))
}

#[cfg(test)]
mod tests {
    use crate::record::ReferenceRow;

    use super::*;

    #[test]
    fn rows_share_what_they_have_in_common_and_nothing_else() {
        let site = |id, line| Arc::new(Site { id: SiteId(id), file: "a\n.rs".to_owned(), line, ..Site::default() });
        let row = |id, line, ip: &str| ReferenceRow { call_site: site(id, line), node_ip: ip.into(), ..ReferenceRow::default() };
        let rows = [row(1, 1, "::1"), row(1, 1, "::1"), row(1, 2, "::1"), row(65, 2, "::2"), row(1, 1, "::1"), ReferenceRow::default()];
        let read: Vec<ReferenceRow> = serde_json::from_str(&serde_json::to_string(&rows).unwrap()).unwrap();
        assert_eq!(read, rows);
        assert!(Arc::ptr_eq(&read[0].call_site, &read[1].call_site) && Arc::ptr_eq(&read[0].node_ip, &read[2].node_ip));
        let read: Vec<ReferenceRow> = serde_json::from_value(serde_json::to_value(&rows).unwrap()).unwrap();
        assert_eq!(read, rows, "also where no text stands as it is");
    }
}
