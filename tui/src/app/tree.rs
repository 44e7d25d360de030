//! The sites as a tree: by what called what, where programs tell whole stacks; where they tell a line alone, by file.

use std::collections::HashMap;

use plasmon_protocol::column::{RowKey, Table};
use plasmon_protocol::id::SiteId;
use plasmon_protocol::record::SiteRow;
use plasmon_protocol::stream::Sort;

use super::App;
use super::mark::Since;
use super::route::List;
use super::subscribe::Slot;

/// One row of the tree.
#[derive(Clone, PartialEq, Debug)]
pub enum TreeRow {
    /// A file, with the sums over its sites that stand alone.
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
    /// A site, or a frame that sites were called from.
    Site {
        /// Its place among the window's rows.
        index: usize,
        /// How many rows it stands below: its file, or what it was called from.
        depth: u16,
        /// For each of those and for itself, from the lowest bit on, whether it is the last below its parent.
        last: u64,
        /// Whether its file stands above it.
        in_file: bool,
        /// The frames around it that hold just what it holds and are not shown one by one, outermost first: places among the rows.
        chain: Vec<usize>,
        /// Whether it is the end of such a chain that is shown frame by frame.
        opened: bool,
        /// How many lines that created something stand below it, hidden ones included.
        below: usize,
        /// Whether those are hidden.
        folded: bool,
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
    into.own_bytes += row.own_bytes;
    into.objects += row.objects;
    into.own_objects += row.own_objects;
    into.references += row.references;
    into.growth_bytes = into.growth_bytes.saturating_add(row.growth_bytes);
    into.own_growth_bytes = into.own_growth_bytes.saturating_add(row.own_growth_bytes);
    into.growth_objects = into.growth_objects.saturating_add(row.growth_objects);
    into.oldest_ms = if into.oldest_ms == 0 { row.oldest_ms } else { into.oldest_ms.min(row.oldest_ms) };
}

/// What is folded, and which chains are shown frame by frame.
#[derive(Clone, Copy)]
pub struct Folds<'a> {
    /// Keys of rows whose sites are hidden.
    pub folded: &'a dyn Fn(&str) -> bool,
    /// Keys of the innermost sites of such chains.
    pub opened: &'a dyn Fn(&str) -> bool,
}

/// What stands at the top of the tree.
enum Top {
    /// Sites of one file.
    File(SiteRow, Vec<usize>),
    /// A frame with all that was called from it.
    Frame(usize),
}

struct Forest<'a> {
    sites: &'a [SiteRow],
    children: Vec<Vec<usize>>,
    folds: Folds<'a>,
    rows: Vec<TreeRow>,
}

/// Builds the tree of sites that come in the order of `sort`. What stands at the top is in the order of its sums where sums make sense,
/// else in the order of its first site.
#[must_use]
pub fn tree(sites: &[SiteRow], sort: &Sort, folds: Folds<'_>) -> Vec<TreeRow> {
    let places: HashMap<SiteId, usize> = sites.iter().enumerate().map(|(index, row)| (row.site.id, index)).collect();
    let mut children = vec![Vec::new(); sites.len()];
    let mut roots = Vec::new();
    for (index, row) in sites.iter().enumerate() {
        match places.get(&row.site.caller).filter(|_| row.site.caller.0 != 0 && is_rooted(sites, &places, index)) {
            Some(parent) => children[*parent].push(index),
            None => roots.push(index),
        }
    }
    let mut tops: Vec<Top> = Vec::new();
    // Where each file is among them.
    let mut files: HashMap<&str, usize> = HashMap::new();
    for index in roots {
        let row = &sites[index];
        if !children[index].is_empty() {
            tops.push(Top::Frame(index));
            continue;
        }
        let at = *files.entry(&row.site.file).or_insert(tops.len());
        if at == tops.len() {
            tops.push(Top::File(SiteRow::default(), Vec::new()));
        }
        if let Top::File(into, members) = &mut tops[at] {
            sum(into, row);
            members.push(index);
        }
    }
    let figure: Option<fn(&SiteRow) -> i128> = match sort.column.as_str() {
        "held" => Some(|row| row.held_bytes.into()),
        "own" => Some(|row| row.own_bytes.into()),
        "objects" => Some(|row| row.objects.into()),
        "references" => Some(|row| row.references.into()),
        "growth" => Some(|row| row.growth_bytes.into()),
        "own_growth" => Some(|row| row.own_growth_bytes.into()),
        _ => None,
    };
    if let Some(figure) = figure {
        tops.sort_by_key(|top| {
            let of = match top {
                Top::File(sum, _) => figure(sum),
                Top::Frame(index) => figure(&sites[*index]),
            };
            if sort.ascending { of } else { -of }
        });
    }
    let mut forest = Forest { sites, children, folds, rows: Vec::with_capacity(sites.len()) };
    for top in tops {
        match top {
            Top::Frame(index) => forest.site(index, 0, 1, false),
            Top::File(_, members) if members.len() == 1 => forest.site(members[0], 0, 1, false),
            Top::File(sum, members) => {
                let file = sites[members[0]].site.file.clone();
                let hidden = (folds.folded)(&file_key(&file));
                forest.rows.push(TreeRow::File { file, sum, sites: members.len(), folded: hidden });
                if !hidden {
                    let last = members.len() - 1;
                    for (at, index) in members.into_iter().enumerate() {
                        forest.site(index, 1, 1 | u64::from(at == last) << 1, true);
                    }
                }
            }
        }
    }
    forest.rows
}

/// Whether a site's callers lead to an end, and not round in a ring, as only a faulty agent would say.
fn is_rooted(sites: &[SiteRow], places: &HashMap<SiteId, usize>, index: usize) -> bool {
    let mut at = index;
    for _ in 0..=plasmon_protocol::local::MAX_STACK {
        match places.get(&sites[at].site.caller).filter(|_| sites[at].site.caller.0 != 0) {
            Some(parent) => at = *parent,
            None => return true,
        }
    }
    false
}

impl Forest<'_> {
    fn key(&self, index: usize) -> RowKey {
        self.sites[index].site.id.to_string()
    }

    /// The only site that was called from a frame and holds all that it holds.
    fn only(&self, index: usize) -> Option<usize> {
        let [child] = self.children[index][..] else { return None };
        let (outer, inner) = (&self.sites[index], &self.sites[child]);
        (outer.own_objects == 0 && (outer.held_bytes, outer.objects) == (inner.held_bytes, inner.objects)).then_some(child)
    }

    /// A site and what stands below it.
    fn site(&mut self, index: usize, depth: u16, last: u64, in_file: bool) {
        let mut chain = vec![index];
        while let Some(inner) = chain.last().and_then(|outer| self.only(*outer)) {
            chain.push(inner);
        }
        let Some(end) = chain.pop() else { return };
        if !chain.is_empty() && (self.folds.opened)(&self.key(end)) {
            // Frame by frame, each the only one below the one before.
            for (step, frame) in (0..).zip(&chain) {
                let last = last | bits_above(depth, step);
                let row = TreeRow::Site {
                    index: *frame,
                    depth: depth + step,
                    last,
                    in_file,
                    chain: Vec::new(),
                    opened: true,
                    below: 1,
                    folded: false,
                };
                self.rows.push(row);
            }
            let step = u16::try_from(chain.len()).unwrap_or(u16::MAX);
            return self.end(end, depth + step, last | bits_above(depth, step), in_file, Vec::new(), true);
        }
        self.end(end, depth, last, in_file, chain, false);
    }

    fn end(&mut self, index: usize, depth: u16, last: u64, in_file: bool, chain: Vec<usize>, opened: bool) {
        let below = self.children[index].clone();
        let folded = !below.is_empty() && (self.folds.folded)(&self.key(index));
        self.rows.push(TreeRow::Site { index, depth, last, in_file, chain, opened, below: self.count(index), folded });
        if folded {
            return;
        }
        let count = below.len();
        for (at, child) in below.into_iter().enumerate() {
            let bit = u32::from(depth) + 1;
            self.site(child, depth + 1, last | u64::from(at + 1 == count).checked_shl(bit).unwrap_or(0), false);
        }
    }

    /// How many lines that created something were called from one, however far; of a frame that something was called from, at least one.
    fn count(&self, index: usize) -> usize {
        let of = |child: &usize| usize::from(self.sites[*child].own_objects > 0) + self.count(*child);
        let created: usize = self.children[index].iter().map(of).sum();
        created.max(usize::from(!self.children[index].is_empty()))
    }
}

/// The bits that say of `steps` rows below a depth that each is the last.
fn bits_above(depth: u16, steps: u16) -> u64 {
    (1..=steps).map(|step| 1_u64.checked_shl(u32::from(depth + step)).unwrap_or(0)).sum()
}

/// The tree with what grew most first, files by their sums.
fn grown_first(sites: &[SiteRow], grown: impl Fn(&SiteRow) -> i64, folds: Folds<'_>) -> Vec<TreeRow> {
    let mut order: Vec<usize> = (0..sites.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(grown(&sites[*index])));
    let sorted: Vec<SiteRow> = order
        .iter()
        .map(|index| {
            // What stands at the top is in the order of a figure: here, of this one.
            let row = &sites[*index];
            SiteRow { growth_bytes: grown(row), ..row.clone() }
        })
        .collect();
    let mut of_files: HashMap<&str, i64> = HashMap::new();
    for row in sites {
        let sum = of_files.entry(&row.site.file).or_default();
        *sum = sum.saturating_add(row.own_growth_bytes);
    }
    let mut rows = tree(&sorted, &Sort { column: "growth".to_owned(), ascending: false }, folds);
    for row in &mut rows {
        match row {
            TreeRow::Site { index, chain, .. } => {
                *index = order[*index];
                chain.iter_mut().for_each(|frame| *frame = order[*frame]);
            }
            TreeRow::File { file, sum, .. } => sum.growth_bytes = of_files.get(file.as_str()).copied().unwrap_or(0),
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
        let List { folded, opened, .. } = &self.place().list;
        let folds = Folds { folded: &|key| folded.contains(key), opened: &|key| opened.contains(key) };
        if self.mark().is_some() && self.place().list.sort.is_none() {
            // What grew since the mark is what one looks for.
            let grown = |row: &SiteRow| self.since(Slot::Main, Table::Sites, row).map_or(0, Since::growth);
            return Some((grown_first(sites, grown, folds), sites));
        }
        Some((tree(sites, &sort, folds), sites))
    }

    /// Hides or shows what stands below the selected row; of a row with nothing below, below the one above.
    pub(super) fn fold(&mut self) {
        let Some((rows, sites)) = self.tree() else { return };
        let at = usize::try_from(self.place().list.cursor).unwrap_or(usize::MAX);
        let Some(key) = folding(&rows, sites, at) else { return };
        let list = &mut self.place_mut().list;
        if !list.folded.remove(&key) {
            list.folded.insert(key.clone());
        }
        // A site that is hidden leaves the selection to what it stands below.
        (list.selected, list.touched) = (Some(key), true);
    }

    /// Hides all that stands below anything at the top, or shows all.
    pub(super) fn fold_all(&mut self) {
        let Some((rows, sites)) = self.tree() else { return };
        let at = usize::try_from(self.place().list.cursor).unwrap_or(usize::MAX);
        let top = rows.iter().take(at.saturating_add(1)).rev().find(|row| is_top(row)).map(|row| row.key(sites));
        let open = |row: &&TreeRow| match row {
            TreeRow::File { folded, .. } => !folded,
            TreeRow::Site { depth, below, folded, opened, .. } => *depth == 0 && *below > 0 && !folded && !opened,
        };
        let open: Vec<RowKey> = rows.iter().filter(open).map(|row| row.key(sites)).collect();
        let list = &mut self.place_mut().list;
        if open.is_empty() {
            list.folded.clear();
        } else {
            list.folded.extend(open);
        }
        if let Some(top) = top {
            (list.selected, list.touched) = (Some(top), true);
        }
    }

    /// Shows the frames of the selected row's chain one by one, or as one row again; whether there is one.
    pub(super) fn chain(&mut self) -> bool {
        let Some((rows, sites)) = self.tree() else { return false };
        let at = usize::try_from(self.place().list.cursor).unwrap_or(usize::MAX);
        let key = match rows.get(at) {
            Some(row @ TreeRow::Site { chain, .. }) if !chain.is_empty() => row.key(sites),
            // Of an open chain, whichever frame is selected, the innermost one names it.
            Some(TreeRow::Site { opened: true, .. }) => {
                let opened = &self.place().list.opened;
                let ends = rows[at..].iter().map(|row| row.key(sites));
                match ends.into_iter().find(|key| opened.contains(key)) {
                    Some(key) => key,
                    None => return false,
                }
            }
            _ => return false,
        };
        let list = &mut self.place_mut().list;
        if !list.opened.remove(&key) {
            list.opened.insert(key.clone());
        }
        (list.selected, list.touched) = (Some(key), true);
        true
    }
}

fn is_top(row: &TreeRow) -> bool {
    matches!(row, TreeRow::File { .. } | TreeRow::Site { depth: 0, .. })
}

/// The key of the row that folds when this one is selected.
fn folding(rows: &[TreeRow], sites: &[SiteRow], at: usize) -> Option<RowKey> {
    match rows.get(at)? {
        TreeRow::Site { below: 0, depth, .. } => {
            let above = rows[..at].iter().rev().find(|row| match row {
                TreeRow::File { .. } => true,
                TreeRow::Site { depth: outer, .. } => outer < depth,
            });
            above.filter(|_| *depth > 0).map(|row| row.key(sites))
        }
        row => Some(row.key(sites)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use plasmon_protocol::record::Site;

    use super::*;

    fn site(id: u32, file: &str, held: u64) -> SiteRow {
        let site = Site { id: SiteId(id), file: file.to_owned(), ..Site::default() };
        SiteRow {
            site: Arc::new(site),
            held_bytes: held,
            own_bytes: held,
            objects: 1,
            own_objects: 1,
            oldest_ms: u64::from(id),
            ..SiteRow::default()
        }
    }

    /// A site that was called from another one; frames have nothing of their own.
    fn called(id: u32, caller: u32, held: u64, own: u64) -> SiteRow {
        let row = site(id, "a.py", held);
        let site = Site { caller: SiteId(caller), ..(*row.site).clone() };
        SiteRow { site: site.into(), own_bytes: own, own_objects: u64::from(own > 0), ..row }
    }

    const HELD: fn() -> Sort = || Sort { column: "held".into(), ascending: false };

    fn built(sites: &[SiteRow], folded: &[&str], opened: &[&str]) -> Vec<TreeRow> {
        tree(sites, &HELD(), Folds { folded: &|key| folded.contains(&key), opened: &|key| opened.contains(&key) })
    }

    /// Rows as `depth key`, with the keys of a folded chain before it.
    fn told(sites: &[SiteRow], rows: &[TreeRow]) -> Vec<String> {
        let of = |row: &TreeRow| match row {
            TreeRow::File { .. } => row.key(sites),
            TreeRow::Site { depth, chain, below, .. } => {
                let chain: String = chain.iter().map(|frame| format!("{}>", sites[*frame].site.id)).collect();
                format!("{depth} {chain}{} +{below}", row.key(sites))
            }
        };
        rows.iter().map(of).collect()
    }

    #[test]
    fn files_stand_in_the_order_of_their_sums_and_a_lonely_site_stands_alone() {
        let sites = [site(1, "a.rs", 10), site(2, "b.rs", 9), site(3, "b.rs", 8), site(4, "c.rs", 1)];
        let keys = |rows: &[TreeRow]| rows.iter().map(|row| row.key(&sites)).collect::<Vec<_>>();
        let rows = built(&sites, &[], &[]);
        assert_eq!(keys(&rows), ["f:b.rs", "2", "3", "1", "4"]);
        assert!(matches!(&rows[0], TreeRow::File { sum, sites: 2, .. } if sum.held_bytes == 17 && sum.oldest_ms == 2));
        assert_eq!(keys(&built(&sites, &["f:b.rs"], &[])), ["f:b.rs", "1", "4"]);
        let age = Sort { column: "age".into(), ascending: false };
        assert_eq!(keys(&tree(&sites, &age, Folds { folded: &|_| false, opened: &|_| false })), ["1", "f:b.rs", "2", "3", "4"]);
    }

    #[test]
    fn stacks_are_a_tree_whose_single_children_stand_in_one_row() {
        // 1 called 2, that called 3, from which 4 and 5 were; 9 is of a program that tells lines alone.
        let sites =
            [called(1, 0, 30, 0), called(2, 1, 30, 0), called(3, 2, 30, 0), called(4, 3, 20, 20), called(5, 3, 10, 10), site(9, "b.rs", 5)];
        let sites: Vec<SiteRow> = sites.into_iter().map(|row| SiteRow { objects: row.held_bytes, ..row }).collect();
        assert_eq!(told(&sites, &built(&sites, &[], &[])), ["0 1>2>3 +2", "1 4 +0", "1 5 +0", "0 9 +0"]);
        assert_eq!(told(&sites, &built(&sites, &["3"], &[])), ["0 1>2>3 +2", "0 9 +0"]);
        assert_eq!(told(&sites, &built(&sites, &[], &["3"])), ["0 1 +1", "1 2 +1", "2 3 +2", "3 4 +0", "3 5 +0", "0 9 +0"]);
        let last = |row: &TreeRow| if let TreeRow::Site { last, depth, .. } = row { last >> depth & 1 == 1 } else { false };
        assert_eq!(built(&sites, &[], &["3"]).iter().map(last).collect::<Vec<_>>(), [true, true, true, false, true, true]);
    }

    #[test]
    fn what_holds_more_than_the_one_below_it_stands_alone() {
        // Of what 1 holds, a part was created elsewhere, beyond the rows that are here.
        let sites = [called(1, 0, 30, 0), called(2, 1, 20, 20)];
        assert_eq!(told(&sites, &built(&sites, &[], &[])), ["0 1 +1", "1 2 +0"]);
        // Whoever called it is not among the rows.
        let sites = [called(2, 1, 20, 20)];
        assert_eq!(told(&sites, &built(&sites, &[], &[])), ["0 2 +0"]);
    }

    #[test]
    fn a_ring_of_callers_hides_no_site() {
        let sites = [called(1, 2, 30, 1), called(2, 1, 20, 1), called(3, 3, 10, 1), called(4, 3, 5, 5)];
        let mut keys: Vec<RowKey> = built(&sites, &[], &[]).iter().map(|row| row.key(&sites)).collect();
        keys.retain(|key| !key.starts_with('f'));
        keys.sort();
        assert_eq!(keys, ["1", "2", "3", "4"]);
    }
}
