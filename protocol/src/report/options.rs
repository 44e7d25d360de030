//! How a report is arranged.

use std::str::FromStr;

use crate::error::Error;
use crate::record::words::words;
use crate::size::Bytes;

/// A closed set of words that a flag takes, in any case.
macro_rules! choices {
    ($(#[$doc:meta])* $name:ident, $flag:literal { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        words!(
            $(#[$doc])*
            #[derive(Default)]
            $name { $($(#[$vdoc])* $variant = $word),+ }
        );

        impl FromStr for $name {
            type Err = Error;

            /// Case does not matter, and `-` stands for `_`.
            fn from_str(text: &str) -> Result<Self, Error> {
                let word = text.trim().replace('-', "_");
                Self::ALL.iter().copied().find(|choice| choice.word().eq_ignore_ascii_case(&word)).ok_or_else(|| {
                    let words: Vec<_> = Self::ALL.iter().map(|choice| choice.word()).collect();
                    Error::invalid($flag, text, format!("choose one of {}", words.join(", ")))
                })
            }
        }
    };
}

choices!(
    /// What the rows of one group have in common.
    GroupBy, "--group-by" {
        /// The holder's node.
        #[default]
        NodeAddress = "NODE_ADDRESS",
        /// The call site.
        StackTrace = "STACK_TRACE",
        /// The holder's process id.
        Pid = "PID",
        /// The reason that keeps the object.
        ReferenceType = "REFERENCE_TYPE",
    }
);

choices!(
    /// The order of rows within a group.
    SortBy, "--sort-by" {
        /// The object's size, largest first.
        #[default]
        ObjectSize = "OBJECT_SIZE",
        /// The holder's process id, largest first.
        Pid = "PID",
        /// The reason, in the order in which reasons take precedence.
        ReferenceType = "REFERENCE_TYPE",
        /// How long the holder has had it, oldest first.
        Age = "AGE",
    }
);

choices!(
    /// How sizes are written.
    Units, "--units" {
        /// Bytes, `8388862.0 B`.
        #[default]
        B = "B",
        /// Thousands of bytes.
        KB = "KB",
        /// Millions of bytes.
        MB = "MB",
        /// Thousands of millions of bytes.
        GB = "GB",
        /// The unit that suits each, powers of 1024.
        Auto = "AUTO",
    }
);

impl GroupBy {
    /// Its name in a sentence.
    pub(super) fn phrase(self) -> String {
        self.word().to_lowercase().replace('_', " ")
    }
}

impl SortBy {
    /// Its name and direction in a sentence.
    pub(super) fn phrase(self, reverse: bool) -> String {
        let direction = match (self, reverse) {
            (Self::ObjectSize | Self::Pid, false) => "largest first",
            (Self::ObjectSize | Self::Pid, true) => "smallest first",
            (Self::ReferenceType, false) => "strongest first",
            (Self::ReferenceType, true) => "weakest first",
            (Self::Age, false) => "oldest first",
            (Self::Age, true) => "newest first",
        };
        format!("{}, {direction}", self.word().to_lowercase().replace('_', " "))
    }
}

impl Units {
    /// A size with its unit.
    pub(super) fn show(self, bytes: u64) -> String {
        let scale: u64 = match self {
            Self::B => return format!("{bytes}.0 B"),
            Self::Auto => return Bytes(bytes).to_string(),
            Self::KB => 1_000,
            Self::MB => 1_000_000,
            Self::GB => 1_000_000_000,
        };
        let thousandth = u128::from(scale / 1000);
        let rounded = (u128::from(bytes) + thousandth / 2) / thousandth;
        format!("{}.{:03} {self}", rounded / 1000, rounded % 1000)
    }
}

/// How a report is arranged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReportOptions {
    /// What the rows of one group have in common.
    pub group_by: GroupBy,
    /// The order of rows within a group; by size, groups are in the order of their bytes too.
    pub sort_by: SortBy,
    /// The other way round.
    pub reverse: bool,
    /// How sizes are written.
    pub units: Units,
    /// Rows shown of each group; all when absent. Sums are over all rows either way.
    pub limit: Option<usize>,
    /// Leave out the groups.
    pub stats_only: bool,
    /// Whole values between bars, for scripts: neither aligned nor cut to the width.
    pub no_format: bool,
    /// Cells in a line; `usize::MAX` where there is no terminal, which leaves nothing out.
    pub width: usize,
}

impl Default for ReportOptions {
    fn default() -> Self {
        Self {
            group_by: GroupBy::default(),
            sort_by: SortBy::default(),
            reverse: false,
            units: Units::default(),
            limit: None,
            stats_only: false,
            no_format: false,
            width: usize::MAX,
        }
    }
}
