//! Roles, and how each looks: by ANSI names only, so that the viewer's own palette decides.

use plasmon_protocol::record::{ReferenceType, Severity, TaskStatus};
use ratatui::style::{Color, Modifier, Style};

/// What a piece of the screen means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Plain.
    Text,
    /// Of less interest.
    Dim,
    /// The one accent.
    Accent,
    /// A region's name, a table's subject.
    Title,
    /// The name of a column.
    Column,
    /// The name of the column that sorts.
    Sorted,
    /// As it should be.
    Ok,
    /// Asks for some attention.
    Warn,
    /// Asks for attention at once.
    Bad,
    /// Why something is held.
    Type(ReferenceType),
    /// What is in external storage.
    Disk,
    /// A line of the ledger, in its order.
    Ledger(usize),
    /// The line of source that is meant.
    Marked,
}

impl Role {
    /// The role of an event.
    #[must_use]
    pub fn severity(severity: Severity) -> Self {
        match severity {
            Severity::Info => Self::Text,
            Severity::Warning => Self::Warn,
            Severity::Error => Self::Bad,
        }
    }

    /// The role of a task's status.
    #[must_use]
    pub fn status(status: TaskStatus) -> Self {
        match status {
            TaskStatus::Running => Self::Ok,
            TaskStatus::Failed => Self::Bad,
            TaskStatus::Finished => Self::Dim,
            TaskStatus::Infeasible => Self::Warn,
            TaskStatus::PendingArgsAvail
            | TaskStatus::PendingNodeAssignment
            | TaskStatus::PendingObjStoreMemAvail
            | TaskStatus::PendingArgsFetch
            | TaskStatus::SubmittedToWorker => Self::Text,
        }
    }
}

/// How roles look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Theme {
    color: bool,
}

/// The glyphs of the ledger's lines where colour cannot tell them apart.
const SHADES: [char; 12] = ['█', '▓', '▒', '▚', '▞', '◢', '◤', '▤', '▪', '▫', '▖', '·'];

impl Theme {
    /// With colours, or with modifiers alone.
    #[must_use]
    pub fn new(color: bool) -> Self {
        Self { color }
    }

    /// As the environment asks: without colours where `NO_COLOR` has a value.
    #[must_use]
    pub fn of_environment() -> Self {
        Self::new(std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
    }

    /// How a role looks.
    #[must_use]
    pub fn style(&self, role: Role) -> Style {
        let plain = Style::new();
        let (color, modifier) = match role {
            Role::Text => (Color::Reset, Modifier::empty()),
            Role::Dim | Role::Column => (Color::Reset, Modifier::DIM),
            Role::Accent => (Color::Cyan, Modifier::empty()),
            Role::Title => (Color::Reset, Modifier::BOLD),
            Role::Sorted => (Color::Cyan, Modifier::UNDERLINED),
            Role::Ok => (Color::Green, Modifier::empty()),
            Role::Warn => (Color::Yellow, Modifier::empty()),
            Role::Bad => (Color::Red, Modifier::BOLD),
            Role::Type(kind) => match kind {
                ReferenceType::ActorHandle => (Color::Yellow, Modifier::empty()),
                ReferenceType::PinnedInMemory => (Color::Magenta, Modifier::empty()),
                ReferenceType::UsedByPendingTask => (Color::Blue, Modifier::empty()),
                ReferenceType::LocalReference => (Color::Cyan, Modifier::empty()),
                ReferenceType::CapturedInObject => (Color::Green, Modifier::empty()),
            },
            Role::Disk => (Color::Blue, Modifier::empty()),
            Role::Ledger(line) => match line {
                0 => (Color::Magenta, Modifier::empty()),
                1 => (Color::Blue, Modifier::empty()),
                2 => (Color::Cyan, Modifier::empty()),
                3 => (Color::Green, Modifier::empty()),
                4 | 5 => (Color::Yellow, Modifier::empty()),
                6 => (Color::Red, Modifier::empty()),
                7 => (Color::Blue, Modifier::empty()),
                _ => (Color::Reset, Modifier::DIM),
            },
            Role::Marked => (Color::Reset, Modifier::BOLD),
        };
        let color = if self.color { color } else { Color::Reset };
        plain.fg(color).add_modifier(modifier)
    }

    /// The glyph that fills a ledger line's part of a bar.
    #[must_use]
    pub fn shade(&self, line: usize) -> char {
        match (self.color, line) {
            (true, 0..=4) => '█',
            (true, 5..=7) => '▓',
            (true, 8..=10) => '▒',
            (true, _) => '░',
            (false, line) => SHADES.get(line).copied().unwrap_or('·'),
        }
    }

    /// How a selected row is set off, on top of what its cells look like.
    #[must_use]
    pub fn selection(&self) -> Style {
        let style = Style::new().add_modifier(Modifier::BOLD).remove_modifier(Modifier::DIM);
        if self.color { style.bg(Color::DarkGray) } else { style.add_modifier(Modifier::REVERSED) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colour_every_role_is_reset_and_the_ledger_differs_by_glyph() {
        let theme = Theme::new(false);
        for role in [Role::Accent, Role::Ok, Role::Warn, Role::Bad, Role::Ledger(0), Role::Type(ReferenceType::PinnedInMemory)] {
            assert_eq!(theme.style(role).fg, Some(Color::Reset), "{role:?}");
        }
        assert_eq!(theme.selection().bg, None);
        let glyphs: std::collections::BTreeSet<char> = (0..12).map(|line| theme.shade(line)).collect();
        assert_eq!(glyphs.len(), 12);
    }
}
