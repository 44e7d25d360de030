//! The table of references, as wide as the page.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use super::harmless;
use super::options::{GroupBy, ReportOptions};
use super::page::{Side, SiteText, cut_front, end, pad, width};
use crate::record::{ReferenceRow, Site};

const TITLES: [&str; 9] = ["IP Address", "PID", "Type", "Call Site", "Status", "Attempt", "Size", "Reference Type", "Object Ref"];
const SIDES: [Side; 9] = [Side::Left, Side::Right, Side::Left, Side::Left, Side::Left, Side::Right, Side::Right, Side::Left, Side::Left];
const IP: usize = 0;
const PID: usize = 1;
const TYPE: usize = 2;
const SITE: usize = 3;
const STATUS: usize = 4;
const ATTEMPT: usize = 5;
const OBJECT: usize = 8;

/// Hex digits of an object's id: all, those that are its own on a node, and those of its slot, each with the mark of the cut.
const IDS: [usize; 3] = [32, 17, 9];

/// The cells of one row but for the call site, which is shortened on its own.
struct Line<'a> {
    cells: [Cow<'a, str>; 9],
    site: Rc<SiteText>,
}

impl<'a> Line<'a> {
    /// The lines of a group; neighbours of one call site share its text.
    fn all(rows: &[&'a ReferenceRow], options: &ReportOptions) -> Vec<Self> {
        let mut last: Option<(&Arc<Site>, Rc<SiteText>)> = None;
        let line = |row: &&'a ReferenceRow| {
            let site = match &last {
                Some((site, text)) if Arc::ptr_eq(site, &row.call_site) => Rc::clone(text),
                _ if options.no_format => Rc::new(SiteText::full(&row.call_site)),
                _ => Rc::new(SiteText::short(&row.call_site)),
            };
            last = Some((&row.call_site, Rc::clone(&site)));
            Self::of(row, site, options)
        };
        rows.iter().map(line).collect()
    }

    fn of(row: &'a ReferenceRow, site: Rc<SiteText>, options: &ReportOptions) -> Self {
        let cells = [
            if row.node_ip.is_empty() { "-".into() } else { harmless(&row.node_ip) },
            row.pid.to_string().into(),
            row.process_type.word().into(),
            "".into(),
            row.status.map_or("-", |status| status.word()).into(),
            row.attempt.map_or("-".into(), |attempt| attempt.to_string().into()),
            row.size_bytes.map_or("?".into(), |bytes| options.units.show(bytes).into()),
            row.reference_type.word().into(),
            row.object_id.hex().into(),
        ];
        Self { cells, site }
    }

    fn cell(&self, column: usize) -> &str {
        if column == SITE { self.site.whole() } else { &self.cells[column] }
    }
}

/// The rows of all groups that are shown, with one layout, so that columns stand below each other from group to group.
pub(super) struct Table<'a> {
    groups: Vec<Vec<Line<'a>>>,
    layout: Layout,
}

/// Which columns are printed and how wide.
#[derive(Clone, Debug)]
struct Layout {
    separator: &'static str,
    widths: [usize; 9],
    /// Cells of an object's id, which may be fewer than its title has.
    id: usize,
    shown: [bool; 9],
    /// Columns whose one value stands above the groups instead.
    said_once: Vec<usize>,
    /// Columns that did not fit.
    left_out: Vec<usize>,
}

impl Layout {
    /// Cells of a line without its call site.
    fn others(&self) -> usize {
        let shown = || (0..TITLES.len()).filter(|column| self.shown[*column]);
        let cells: usize = shown().filter(|column| *column != SITE).map(|column| self.widths[column]).sum();
        cells + self.separator.len() * shown().count().saturating_sub(1)
    }

    fn leave_out(&mut self, column: usize) {
        if std::mem::take(&mut self.shown[column]) {
            self.left_out.push(column);
        }
    }

    /// Shortens the call site to what is left of `page`, if at least `least` cells are.
    fn fits(&mut self, page: usize, least: usize) -> bool {
        let site = self.widths[SITE];
        let room = if self.shown[SITE] { page.checked_sub(self.others()) } else { page.checked_sub(self.others()).map(|_| site) };
        match room {
            Some(room) if room >= least.min(site) => {
                self.widths[SITE] = site.min(room);
                true
            }
            _ => false,
        }
    }
}

impl<'a> Table<'a> {
    pub(super) fn new(groups: impl Iterator<Item = &'a [&'a ReferenceRow]>, options: &ReportOptions) -> Self {
        let groups: Vec<Vec<_>> = groups.map(|rows| Line::all(rows, options)).collect();
        let layout = layout(&groups, options);
        Self { groups, layout }
    }

    /// What all rows have in common and the table therefore leaves out, as `Status -`.
    pub(super) fn said_once(&self) -> Vec<String> {
        let Some(line) = self.groups.iter().flatten().next() else { return Vec::new() };
        self.layout.said_once.iter().map(|column| format!("{} {}", TITLES[*column], line.cell(*column))).collect()
    }

    /// The names of the columns that the page has no room for.
    pub(super) fn left_out(&self) -> Vec<&'static str> {
        self.layout.left_out.iter().map(|column| TITLES[*column]).collect()
    }

    /// Appends the rows of one group below their titles.
    pub(super) fn print(&self, group: usize, page: &mut String, options: &ReportOptions) {
        self.line(page, options, |column| Cow::Borrowed(TITLES[column]));
        for line in &self.groups[group] {
            self.line(page, options, |column| match column {
                SITE => line.site.fit(self.layout.widths[SITE]),
                OBJECT => cut_front(line.cell(OBJECT), self.layout.id),
                _ => Cow::Borrowed(line.cell(column)),
            });
        }
    }

    fn line<'b>(&self, page: &mut String, options: &ReportOptions, cell: impl Fn(usize) -> Cow<'b, str>) {
        let mut separator = "";
        for column in (0..TITLES.len()).filter(|column| self.layout.shown[*column]) {
            page.push_str(separator);
            separator = self.layout.separator;
            let cells = if options.no_format { 0 } else { self.layout.widths[column] };
            pad(page, &cell(column), cells, SIDES[column]);
        }
        end(page);
    }
}

/// The widest layout that fits the page. What scripts and people look for first is never left out: size, reference type, pid,
/// call site and object; of these only the last two get shorter.
fn layout(groups: &[Vec<Line<'_>>], options: &ReportOptions) -> Layout {
    let lines = || groups.iter().flatten();
    let mut widths = TITLES.map(str::len);
    for line in lines() {
        widths.iter_mut().enumerate().for_each(|(column, widest)| *widest = width(line.cell(column)).max(*widest));
    }
    let mut layout = Layout { separator: " | ", widths, id: IDS[0], shown: [true; 9], said_once: Vec::new(), left_out: Vec::new() };
    let page = options.width;
    let natural = layout.widths[SITE];
    if options.no_format || layout.fits(page, natural) {
        return layout;
    }
    layout.separator = "  ";
    match options.group_by {
        GroupBy::NodeAddress => layout.shown[IP] = false,
        GroupBy::StackTrace => layout.shown[SITE] = false,
        GroupBy::Pid => layout.shown[PID] = false,
        GroupBy::ReferenceType => {}
    }
    for column in [IP, TYPE, STATUS, ATTEMPT] {
        let mut values = lines().map(|line| line.cell(column));
        let first = values.next();
        if layout.shown[column] && values.all(|value| Some(value) == first) {
            layout.shown[column] = false;
            layout.said_once.push(column);
        }
    }
    let bare = lines().map(|line| width(line.site.bare())).max().unwrap_or(0).max(TITLES[SITE].len());
    let steps: [(usize, Option<usize>, usize); 10] = [
        (IDS[0], None, natural),
        (IDS[1], None, natural),
        (IDS[1], None, bare),
        (IDS[1], Some(ATTEMPT), bare.min(28)),
        (IDS[2], None, bare.min(28)),
        (IDS[2], Some(IP), bare.min(28)),
        (IDS[2], Some(STATUS), bare.min(24)),
        (IDS[2], None, bare.min(18)),
        (IDS[2], Some(TYPE), bare.min(18)),
        (IDS[2], None, 12),
    ];
    for (id, column, least) in steps {
        layout.id = id;
        layout.widths[OBJECT] = id.max(TITLES[OBJECT].len());
        if let Some(column) = column {
            layout.leave_out(column);
        }
        if layout.fits(page, least) {
            return layout;
        }
    }
    // Narrower than any table: lines get longer than the page rather than say less.
    layout.widths[SITE] = layout.widths[SITE].min(12);
    layout
}
