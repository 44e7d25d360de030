//! A key of a keyboard, as terminals tell it.

use std::fmt;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// A key as it is bound: shift is part of the character.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Key {
    /// A character, shifted or not.
    Char(char),
    /// A character with control held.
    Ctrl(char),
    /// Return.
    Enter,
    /// Escape.
    Esc,
    /// Tabulator.
    Tab,
    /// Tabulator with shift held.
    BackTab,
    /// Arrow.
    Up,
    /// Arrow.
    Down,
    /// Arrow.
    Left,
    /// Arrow.
    Right,
    /// Arrow with shift held.
    ShiftLeft,
    /// Arrow with shift held.
    ShiftRight,
    /// A page back.
    PageUp,
    /// A page on.
    PageDown,
    /// The beginning.
    Home,
    /// The end.
    End,
    /// Deletes to the left.
    Backspace,
    /// Deletes to the right.
    Delete,
}

impl Key {
    /// The key of a terminal's event; `None` for releases and for what nothing is bound to.
    #[must_use]
    pub fn from_event(event: KeyEvent) -> Option<Self> {
        if event.kind == KeyEventKind::Release {
            return None;
        }
        Some(match event.code {
            KeyCode::Char(char) if event.modifiers.contains(KeyModifiers::CONTROL) => Self::Ctrl(char.to_ascii_lowercase()),
            KeyCode::Char(_) if event.modifiers.contains(KeyModifiers::ALT) => return None,
            KeyCode::Char(char) => Self::Char(char),
            KeyCode::Enter => Self::Enter,
            KeyCode::Esc => Self::Esc,
            KeyCode::Tab => Self::Tab,
            KeyCode::BackTab => Self::BackTab,
            KeyCode::Up => Self::Up,
            KeyCode::Down => Self::Down,
            KeyCode::Left if event.modifiers.contains(KeyModifiers::SHIFT) => Self::ShiftLeft,
            KeyCode::Right if event.modifiers.contains(KeyModifiers::SHIFT) => Self::ShiftRight,
            KeyCode::Left => Self::Left,
            KeyCode::Right => Self::Right,
            KeyCode::PageUp => Self::PageUp,
            KeyCode::PageDown => Self::PageDown,
            KeyCode::Home => Self::Home,
            KeyCode::End => Self::End,
            KeyCode::Backspace => Self::Backspace,
            KeyCode::Delete => Self::Delete,
            _ => return None,
        })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Char(' ') => f.write_str("space"),
            Self::Char(char) => write!(f, "{char}"),
            Self::Ctrl(char) => write!(f, "^{char}"),
            Self::Enter => f.write_str("Enter"),
            Self::Esc => f.write_str("Esc"),
            Self::Tab => f.write_str("Tab"),
            Self::BackTab => f.write_str("S-Tab"),
            Self::Up => f.write_str("↑"),
            Self::Down => f.write_str("↓"),
            Self::Left => f.write_str("←"),
            Self::Right => f.write_str("→"),
            Self::ShiftLeft => f.write_str("S-←"),
            Self::ShiftRight => f.write_str("S-→"),
            Self::PageUp => f.write_str("PgUp"),
            Self::PageDown => f.write_str("PgDn"),
            Self::Home => f.write_str("Home"),
            Self::End => f.write_str("End"),
            Self::Backspace => f.write_str("Backspace"),
            Self::Delete => f.write_str("Del"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_releases_are_told_apart() {
        assert_eq!(Key::from_event(KeyEvent::new(KeyCode::Char('C'), KeyModifiers::CONTROL)), Some(Key::Ctrl('c')));
        assert_eq!(Key::from_event(KeyEvent::new(KeyCode::Char('S'), KeyModifiers::SHIFT)), Some(Key::Char('S')));
        let release = KeyEvent::new_with_kind(KeyCode::Enter, KeyModifiers::NONE, KeyEventKind::Release);
        assert_eq!(Key::from_event(release), None);
        assert_eq!(Key::from_event(KeyEvent::new(KeyCode::Left, KeyModifiers::SHIFT)), Some(Key::ShiftLeft));
        assert_eq!(Key::from_event(KeyEvent::new(KeyCode::Right, KeyModifiers::NONE)), Some(Key::Right));
    }
}
