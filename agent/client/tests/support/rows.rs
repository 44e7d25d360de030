//! Rows of the reference table as a test expects them.

use plasmon::ObjectId;
use plasmon_protocol::record::{ProcessType, ReferenceRow, ReferenceType, SiteKind};

/// A place in a test file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) file: &'static str,
    pub(crate) line: u32,
}

/// The line of a remote function, whose attribute has one line before it.
macro_rules! line_of {
    () => {
        $crate::support::Place { file: file!(), line: line!() + 2 }
    };
}
pub(crate) use line_of;

/// One row, in what a test says about it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Expected {
    process: &'static str,
    object: ObjectId,
    reference_type: &'static str,
    /// `(kind) file:line function`
    site: String,
    size: Option<u64>,
    /// local, pinned, submitted, captured
    counts: [u32; 4],
}

impl Expected {
    /// A row of the driver's.
    pub(crate) fn driver(object: ObjectId, reference_type: ReferenceType, counts: [u32; 4]) -> Self {
        let (process, reference_type) = (ProcessType::Driver.word(), reference_type.word());
        Self { process, object, reference_type, site: String::new(), size: None, counts }
    }

    /// A row of a worker's.
    pub(crate) fn worker(object: ObjectId, reference_type: ReferenceType, counts: [u32; 4]) -> Self {
        Self { process: ProcessType::Worker.word(), ..Self::driver(object, reference_type, counts) }
    }

    /// A row of the agent's.
    pub(crate) fn agent(object: ObjectId, reference_type: ReferenceType, counts: [u32; 4]) -> Self {
        Self { process: ProcessType::Agent.word(), ..Self::driver(object, reference_type, counts) }
    }

    /// The call site, with the enclosing function's name.
    pub(crate) fn at(self, kind: SiteKind, place: Place, function: &str) -> Self {
        Self { site: site(kind.word(), place.file, place.line, function), ..self }
    }

    /// Other counts.
    pub(crate) fn counted(self, counts: [u32; 4]) -> Self {
        Self { counts, ..self }
    }

    /// The size; pending when it is not told.
    pub(crate) fn sized(self, bytes: u64) -> Self {
        Self { size: Some(bytes), ..self }
    }
}

/// Rows as expectations, sorted.
pub(crate) fn rows_of(references: &[ReferenceRow]) -> Vec<Expected> {
    let mut rows: Vec<Expected> = references
        .iter()
        .map(|row| Expected {
            process: row.process_type.word(),
            object: row.object_id,
            reference_type: row.reference_type.word(),
            site: site(row.call_site.kind.word(), &row.call_site.file, row.call_site.line, row.call_site.short_function()),
            size: row.size_bytes,
            counts: [row.local, row.pinned, row.submitted, row.captured],
        })
        .collect();
    rows.sort();
    rows
}

fn site(kind: &str, file: &str, line: u32, function: &str) -> String {
    format!("{kind} {file}:{line} {function}")
}
