//! Groups of rows with their sums, in an order.

use std::cmp::Ordering;

use hashbrown::HashMap;

use super::super::group::Grouping;
use super::super::row::Shown;
use super::sorted::{Entry, Sorted};
use super::sums::Sums;
use crate::stream::GroupRow;

/// In no group.
const NONE: u32 = u32::MAX;
/// So many changed groups are put in one by one.
const FEW: usize = 64;

#[derive(Debug)]
struct Group {
    /// As it was when it was put in order.
    row: GroupRow,
    sums: Sums,
    touched: bool,
}

/// See the module.
pub(super) struct Groups {
    grouping: Grouping,
    /// By places of rows.
    of: Vec<u32>,
    by_key: HashMap<Box<str>, u32, foldhash::fast::RandomState>,
    all: Vec<Group>,
    vacant: Vec<u32>,
    sorted: Sorted,
    /// Groups that are not in order, because they are changing.
    touched: Vec<u32>,
}

impl Groups {
    pub(super) fn new(grouping: Grouping) -> Self {
        Self {
            grouping,
            of: Vec::new(),
            by_key: HashMap::default(),
            all: Vec::new(),
            vacant: Vec::new(),
            sorted: Sorted::default(),
            touched: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// The group that the row at a place is in.
    fn group_of(&self, place: u32) -> Option<u32> {
        self.of.get(place as usize).copied().filter(|group| *group != NONE)
    }

    /// Puts the row at `place` into the group called `key`. `shared` tells whether another row about the same object counts at a place.
    pub(super) fn add<R: Shown>(&mut self, place: u32, row: &R, key: &str, shared: impl FnOnce(&dyn Fn(u32) -> bool) -> bool) {
        let group = match self.by_key.get(key) {
            Some(group) => *group,
            None => self.open(key),
        };
        self.touch(group);
        let first = R::ONE_ROW_PER_OBJECT || !shared(&|other| self.group_of(other) == Some(group));
        self.all[group as usize].sums.add(row, first);
        if self.of.len() <= place as usize {
            self.of.resize(place as usize + 1, NONE);
        }
        self.of[place as usize] = group;
    }

    /// Takes the row at `place` out of its group.
    pub(super) fn remove<R: Shown>(&mut self, place: u32, row: &R, shared: impl FnOnce(&dyn Fn(u32) -> bool) -> bool) {
        let Some(group) = self.group_of(place) else { return };
        self.touch(group);
        let last = R::ONE_ROW_PER_OBJECT || !shared(&|other| self.group_of(other) == Some(group));
        self.all[group as usize].sums.remove(row, last);
        self.of[place as usize] = NONE;
    }

    fn open(&mut self, key: &str) -> u32 {
        let group = Group { row: GroupRow { key: key.to_owned(), ..GroupRow::default() }, sums: Sums::default(), touched: false };
        let number = match self.vacant.pop() {
            Some(number) => {
                self.all[number as usize] = group;
                number
            }
            None => {
                self.all.push(group);
                self.all.len() as u32 - 1
            }
        };
        self.by_key.insert(key.into(), number);
        number
    }

    fn entry(&self, group: u32) -> Entry {
        Entry { key: self.grouping.rank(&self.all[group as usize].row), place: group }
    }

    fn order(grouping: Grouping, all: &[Group]) -> impl Fn(Entry, Entry) -> Ordering {
        move |a, b| {
            let row = |entry: Entry| &all[entry.place as usize].row;
            let (key, other) = (a.key, b.key);
            key.cmp(&other).then_with(|| grouping.compare(row(a), row(b)))
        }
    }

    fn touch(&mut self, group: u32) {
        if std::mem::replace(&mut self.all[group as usize].touched, true) {
            return;
        }
        self.touched.push(group);
        // Many are taken out together.
        if self.all[group as usize].row.rows > 0 && self.touched.len() <= FEW {
            let entry = self.entry(group);
            self.sorted.remove(entry, Self::order(self.grouping, &self.all));
        }
    }

    /// Puts what has changed back in order.
    pub(super) fn finish(&mut self) {
        let touched = std::mem::take(&mut self.touched);
        let many = touched.len() > FEW;
        if many {
            let all = &self.all;
            let changed = |group: u32| all[group as usize].touched;
            self.sorted.exchange(changed, &[], |_, _| Ordering::Equal);
        }
        let mut back = Vec::with_capacity(touched.len());
        for number in touched {
            let group = &mut self.all[number as usize];
            group.touched = false;
            group.sums.write(&mut group.row);
            if group.row.rows == 0 {
                self.by_key.remove(group.row.key.as_str());
                self.vacant.push(number);
            } else {
                back.push(self.entry(number));
            }
        }
        let order = Self::order(self.grouping, &self.all);
        if many {
            back.sort_unstable_by(|a, b| order(*a, *b));
            self.sorted.exchange(|_| false, &back, order);
        } else {
            back.into_iter().for_each(|entry| self.sorted.insert(entry, &order));
        }
    }

    /// Groups from the `start`th on.
    pub(super) fn rows(&self, start: usize) -> impl Iterator<Item = &GroupRow> {
        self.sorted.places(start).map(|group| &self.all[group as usize].row)
    }

    pub(super) fn bytes(&self) -> usize {
        let keys: usize = self.all.iter().map(|group| 2 * group.row.key.capacity()).sum();
        let groups = self.all.capacity() * size_of::<Group>() + self.by_key.capacity() * size_of::<(Box<str>, u32)>();
        self.of.capacity() * size_of::<u32>() + self.sorted.bytes() + groups + keys
    }
}
