//! The sites as a tree: files, and in each the lines that created something.

use plasmon_protocol::column::{RowKey, Table};
use plasmon_protocol::record::SiteRow;
use plasmon_protocol::stream::Sort;

use super::App;
use super::mark::Since;
use super::subscribe::Slot;

/// One row of the tree.
#[derive(Clone, PartialEq, Debug)]
pub enum TreeRow {
    /// A file, with the sums over its sites.
    File {
        /// The file as the compiler named it.
        file: String,
        /// Sums; the site in it is empty.
        sum: SiteRow,
        /// How many sites.
        sites: usize,
        /// Whether its sites are hidden.
        folded: bool,
    },
    /// A site.
    Site {
        /// Its place among the window's rows.
        index: usize,
        /// Whether it stands below its file; else it is the file's only one and names it.
        nested: bool,
        /// Whether it is the last of its file.
        last: bool,
    },
}

impl TreeRow {
    /// What tells it from all others of the tree.
    #[must_use]
    pub fn key(&self, sites: &[SiteRow]) -> RowKey {
        match self {
            Self::File { file, .. } => file_key(file),
            Self::Site { index, .. } => sites.get(*index).map_or_else(String::new, |row| row.site.id.to_string()),
        }
    }
}

/// A file's key in the tree; no site's number starts with `f`.
#[must_use]
pub fn file_key(file: &str) -> RowKey {
    format!("f:{file}")
}

fn sum(into: &mut SiteRow, row: &SiteRow) {
    into.held_bytes += row.held_bytes;
    into.objects += row.objects;
    into.references += row.references;
    into.growth_bytes = into.growth_bytes.saturating_add(row.growth_bytes);
    into.growth_objects = into.growth_objects.saturating_add(row.growth_objects);
    into.oldest_ms = if into.oldest_ms == 0 { row.oldest_ms } else { into.oldest_ms.min(row.oldest_ms) };
}

/// Builds the tree of sites that come in the order of `sort`. Files stand in the order of their sums where sums make sense,
/// else in the order of their first site.
#[must_use]
pub fn tree(sites: &[SiteRow], sort: &Sort, folded: impl Fn(&str) -> bool) -> Vec<TreeRow> {
    let mut files: Vec<(&str, SiteRow, Vec<usize>)> = Vec::new();
    for (index, row) in sites.iter().enumerate() {
        let file = match files.iter().position(|(file, ..)| *file == row.site.file) {
            Some(file) => file,
            None => {
                files.push((&row.site.file, SiteRow::default(), Vec::new()));
                files.len() - 1
            }
        };
        sum(&mut files[file].1, row);
        files[file].2.push(index);
    }
    let figure: Option<fn(&SiteRow) -> i128> = match sort.column.as_str() {
        "held" => Some(|row| row.held_bytes.into()),
        "objects" => Some(|row| row.objects.into()),
        "references" => Some(|row| row.references.into()),
        "growth" => Some(|row| row.growth_bytes.into()),
        _ => None,
    };
    if let Some(figure) = figure {
        files.sort_by_key(|(_, sum, _)| if sort.ascending { figure(sum) } else { -figure(sum) });
    }
    let mut rows = Vec::with_capacity(sites.len() + files.len());
    for (file, sum, members) in files {
        if let [only] = members[..] {
            rows.push(TreeRow::Site { index: only, nested: false, last: true });
            continue;
        }
        let hidden = folded(file);
        rows.push(TreeRow::File { file: file.to_owned(), sum, sites: members.len(), folded: hidden });
        if !hidden {
            let last = members.len() - 1;
            rows.extend(members.into_iter().enumerate().map(|(at, index)| TreeRow::Site { index, nested: true, last: at == last }));
        }
    }
    rows
}

/// The tree with what grew most first, files by their sums.
fn grown_first(sites: &[SiteRow], grown: impl Fn(&SiteRow) -> i64, folded: impl Fn(&str) -> bool) -> Vec<TreeRow> {
    let mut order: Vec<usize> = (0..sites.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(grown(&sites[*index])));
    let sorted: Vec<SiteRow> = order
        .iter()
        .map(|index| {
            // Files stand in the order of a figure: here, of this one.
            let row = &sites[*index];
            SiteRow { growth_bytes: grown(row), ..row.clone() }
        })
        .collect();
    let mut rows = tree(&sorted, &Sort { column: "growth".to_owned(), ascending: false }, folded);
    for row in &mut rows {
        match row {
            TreeRow::Site { index, .. } => *index = order[*index],
            TreeRow::File { file, sum, .. } => {
                sum.growth_bytes =
                    sites.iter().filter(|row| row.site.file == *file).map(|row| row.growth_bytes).fold(0, i64::saturating_add);
            }
        }
    }
    rows
}

impl App {
    /// The tree of the sites' view, and the rows that it points into; `None` until they have come.
    #[must_use]
    pub fn tree(&self) -> Option<(Vec<TreeRow>, &[SiteRow])> {
        let sites = self.window(Slot::Main)?.of::<SiteRow>()?;
        let sort = self.sorted_by()?;
        let folded = |file: &str| self.place().list.folded.contains(file);
        if self.mark().is_some() && self.place().list.sort.is_none() {
            // What grew since the mark is what one looks for.
            let grown = |row: &SiteRow| self.since(Slot::Main, Table::Sites, row).map_or(0, Since::growth);
            return Some((grown_first(sites, grown, folded), sites));
        }
        Some((tree(sites, &sort, folded), sites))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use plasmon_protocol::id::SiteId;
    use plasmon_protocol::record::Site;

    use super::*;

    fn site(id: u32, file: &str, held: u64) -> SiteRow {
        let site = Site { id: SiteId(id), file: file.to_owned(), ..Site::default() };
        SiteRow { site: Arc::new(site), held_bytes: held, objects: 1, oldest_ms: u64::from(id), ..SiteRow::default() }
    }

    #[test]
    fn files_stand_in_the_order_of_their_sums_and_a_lonely_site_stands_alone() {
        let sites = [site(1, "a.rs", 10), site(2, "b.rs", 9), site(3, "b.rs", 8), site(4, "c.rs", 1)];
        let held = Sort { column: "held".into(), ascending: false };
        let keys = |rows: &[TreeRow]| rows.iter().map(|row| row.key(&sites)).collect::<Vec<_>>();
        let rows = tree(&sites, &held, |_| false);
        assert_eq!(keys(&rows), ["f:b.rs", "2", "3", "1", "4"]);
        assert!(matches!(&rows[0], TreeRow::File { sum, sites: 2, .. } if sum.held_bytes == 17 && sum.oldest_ms == 2));
        assert_eq!(keys(&tree(&sites, &held, |file| file == "b.rs")), ["f:b.rs", "1", "4"]);
        let age = Sort { column: "age".into(), ascending: false };
        assert_eq!(keys(&tree(&sites, &age, |_| false)), ["1", "f:b.rs", "2", "3", "4"]);
    }
}
