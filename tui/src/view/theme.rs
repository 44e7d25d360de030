//! Roles, and how each looks: by ANSI names, so that the viewer's own palette decides, unless a theme file says otherwise.

pub mod ascii;
pub mod depth;
pub mod file;

use std::sync::Arc;

use plasmon_protocol::record::{ReferenceType, Severity, TaskStatus};
use ratatui::style::{Color, Modifier, Style};

use depth::Depth;
use file::Looks;

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
    /// What a theme file calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Dim => "dim",
            Self::Accent => "accent",
            Self::Title => "title",
            Self::Column => "column",
            Self::Sorted => "sorted",
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Disk => "disk",
            Self::Marked => "marked",
            Self::Type(kind) => match kind {
                ReferenceType::ActorHandle => "type.actor_handle",
                ReferenceType::PinnedInMemory => "type.pinned",
                ReferenceType::UsedByPendingTask => "type.pending_task",
                ReferenceType::LocalReference => "type.local",
                ReferenceType::CapturedInObject => "type.captured",
            },
            Self::Ledger(line) => LEDGER.get(line).copied().unwrap_or("dim"),
        }
    }

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

/// The ledger's lines, in their order: the last of the roles.
const LEDGER: &[&str] = file::ROLES.as_slice().split_at(file::ROLES.len() - 12).1;

/// How roles look.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Theme {
    depth: Depth,
    ascii: bool,
    looks: Arc<Looks>,
}

/// The glyphs of the ledger's lines where colour cannot tell them apart.
const SHADES: [char; 12] = ['█', '▓', '▒', '▚', '▞', '◢', '◤', '▤', '▪', '▫', '▖', '·'];

impl Default for Theme {
    /// With sixteen colours.
    fn default() -> Self {
        Self::new(true)
    }
}

impl Theme {
    /// With sixteen colours, or with modifiers alone.
    #[must_use]
    pub fn new(color: bool) -> Self {
        Self::with(if color { Depth::Ansi16 } else { Depth::None }, Looks::new())
    }

    /// With so many colours, and the looks of a theme file.
    #[must_use]
    pub fn with(depth: Depth, looks: Looks) -> Self {
        Self { depth, ascii: false, looks: Arc::new(looks) }
    }

    /// In ASCII alone, or not.
    #[must_use]
    pub fn ascii(self, ascii: bool) -> Self {
        Self { ascii, ..self }
    }

    /// Whether everything is written in ASCII.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.ascii
    }

    /// Whether there are colours.
    #[must_use]
    pub fn is_coloured(&self) -> bool {
        self.depth > Depth::None
    }

    /// The look of a role that the theme file names, in colours that can be shown.
    fn look(&self, role: &str) -> Option<Style> {
        if self.looks.is_empty() {
            return None;
        }
        let look = *self.looks.get(role)?;
        let shown = |color: Option<Color>| color.map(|color| self.depth.nearest(color));
        let style = Style { bg: shown(look.bg).filter(|_| self.is_coloured()), ..look };
        Some(style.fg(shown(look.fg).unwrap_or(Color::Reset)))
    }

    /// How a role looks.
    #[must_use]
    pub fn style(&self, role: Role) -> Style {
        if let Some(look) = self.look(role.name()) {
            return look;
        }
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
        plain.fg(self.depth.nearest(color)).add_modifier(modifier)
    }

    /// The glyph that fills a ledger line's part of a bar.
    #[must_use]
    pub fn shade(&self, line: usize) -> char {
        match (self.is_coloured(), line) {
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
        match (self.look("selection"), self.depth) {
            (Some(look), depth) if depth > Depth::None => Style { fg: look.fg.filter(|color| *color != Color::Reset), ..look },
            // With eight colours there is no grey that a text of any of them stands on.
            (_, Depth::None | Depth::Ansi8) => style.add_modifier(Modifier::REVERSED),
            _ => style.bg(Color::DarkGray),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_changes_the_roles_that_it_names_at_any_depth() {
        let looks = file::parse("accent = '#ff8700'\n[ledger]\nfree = 'bold 236'\n").unwrap();
        let accent = |depth| Theme::with(depth, looks.clone()).style(Role::Accent).fg;
        assert_eq!(accent(Depth::True), Some(Color::Rgb(255, 135, 0)));
        assert_eq!(accent(Depth::Ansi256), Some(Color::Indexed(208)));
        assert_eq!(accent(Depth::None), Some(Color::Reset));
        let theme = Theme::with(Depth::Ansi256, looks);
        assert_eq!(theme.style(Role::Ledger(11)).fg, Some(Color::Indexed(236)));
        assert_eq!(theme.style(Role::Ok), Theme::new(true).style(Role::Ok), "what it does not name stays");
    }

    #[test]
    fn every_role_can_be_named() {
        let ledger = plasmon_protocol::record::Ledger::default();
        let lines = ledger.lines().map(|(name, _)| format!("ledger.{name}"));
        assert_eq!(lines.each_ref().map(String::as_str), LEDGER, "by the names of the ledger");
        let roles = [
            Role::Text,
            Role::Dim,
            Role::Accent,
            Role::Title,
            Role::Column,
            Role::Sorted,
            Role::Ok,
            Role::Warn,
            Role::Bad,
            Role::Disk,
            Role::Marked,
        ];
        let types = ReferenceType::ALL.iter().map(|kind| Role::Type(*kind));
        for role in roles.into_iter().chain(types).chain((0..12).map(Role::Ledger)) {
            assert!(file::ROLES.contains(&role.name()), "{role:?}");
        }
    }

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
