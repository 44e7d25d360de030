//! The last line: what can be pressed here, what is being typed, or what just happened.

use ratatui::layout::Rect;
use ratatui::style::Modifier;
use tui_input::Input;

use super::format::width;
use super::paint::{MARGIN, Paint};
use super::theme::Role;
use crate::app::prompt::Overlay;
use crate::app::{App, LinkState, Mood};
use crate::keys;

/// Draws it.
pub fn draw(app: &App, paint: &mut Paint<'_>, area: Rect) {
    let room = area.width.saturating_sub(2 * MARGIN);
    let x = area.x + MARGIN;
    match (&app.overlay, app.flash_line(), &app.link) {
        (Some(Overlay::Filter(input)), ..) => {
            let wrong = app.filter_error().filter(|_| !input.value().trim().is_empty());
            let note = match wrong {
                Some(error) => (format!("{}; {}", error.message, error.hint), Role::Bad),
                None => match &app.completions()[..] {
                    [] => ("Enter takes it · Esc changes nothing".to_owned(), Role::Dim),
                    names => (format!("Tab: {}", names.join(" ")), Role::Dim),
                },
            };
            let end = prompt(paint, x, area.y, room, "/", input);
            paint.right(end + 2, area.y, (x + room).saturating_sub(end + 2), &note.0, note.1);
        }
        (Some(Overlay::Palette(input, _)), ..) => {
            prompt(paint, x, area.y, room, ":", input);
        }
        (Some(Overlay::Sort(_)), ..) => {
            paint.text(x, area.y, room, "a letter or Enter takes the column, again reverses it · Esc changes nothing", Role::Dim);
        }
        (Some(Overlay::Help(_)), ..) => {
            paint.text(x, area.y, room, "j k scroll · any other key closes the help", Role::Dim);
        }
        (None, Some(flash), _) => {
            let role = match flash.mood {
                Mood::Done => Role::Ok,
                Mood::Refused => Role::Bad,
            };
            paint.text(x, area.y, room, &flash.text, role);
        }
        (None, None, LinkState::Lost { cause, hint, .. }) => {
            let text = if hint.is_empty() { cause.clone() } else { format!("{cause} · {hint}") };
            paint.text(x, area.y, room, &text, Role::Bad);
        }
        _ => hints(app, paint, x, area.y, room),
    }
}

/// Pairs of key and word, as many as fit; help and the way out always do.
fn hints(app: &App, paint: &mut Paint<'_>, mut x: u16, y: u16, room: u16) {
    let end = x + room;
    let contexts = app.contexts();
    let pairs: Vec<(String, &str)> = keys::footer(&contexts).map(|(key, label)| (key.to_string(), label)).collect();
    let wide = |pair: &(String, &str)| width(&pair.0) + 1 + width(pair.1) + 3;
    let reserved: u16 = pairs.iter().rev().take(2).map(wide).sum();
    let tail = pairs.len().saturating_sub(2);
    for (at, pair) in pairs.iter().enumerate() {
        let must = at >= tail;
        let needed = wide(pair) + if must { 0 } else { reserved };
        if !must && x + needed > end + 3 {
            continue;
        }
        x = paint.line(x, y, end.saturating_sub(x), &[(&pair.0, Role::Accent), (" ", Role::Text), (pair.1, Role::Dim)]) + 3;
    }
}

/// A line that is being typed into; where it ends.
fn prompt(paint: &mut Paint<'_>, x: u16, y: u16, room: u16, sign: &str, input: &Input) -> u16 {
    let x = paint.text(x, y, 2, sign, Role::Accent) + 1;
    let room = room.saturating_sub(2).max(1);
    let scroll = input.visual_scroll(usize::from(room) - 1);
    let mut skipped = 0;
    let shown: String = input
        .value()
        .chars()
        .skip_while(|char| {
            let skip = skipped < scroll;
            skipped += unicode_width::UnicodeWidthChar::width(*char).unwrap_or(0);
            skip
        })
        .collect();
    let end = paint.text(x, y, room, &shown, Role::Text);
    let at = x + u16::try_from(input.visual_cursor().saturating_sub(scroll)).unwrap_or(0);
    let cursor = paint.theme.style(Role::Text).add_modifier(Modifier::REVERSED);
    paint.over(Rect { x: at, y, width: 1, height: 1 }, cursor);
    end.max(at + 1)
}
