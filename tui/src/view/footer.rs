//! The last line: what can be pressed here, what is being typed, or what just happened.

use ratatui::layout::Rect;
use ratatui::style::Modifier;
use tui_input::Input;

use super::format::width;
use super::hit::Hit;
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
        (Some(Overlay::Filter(input)), ..) => filter(app, paint, Rect { x, width: room, ..area }, input),
        (Some(Overlay::Palette(input, _)), ..) => {
            prompt(paint, x, area.y, room, ":", input, None);
        }
        (Some(Overlay::Sort(_)), ..) => {
            paint.text(x, area.y, room, "a letter or Enter takes the column, again reverses it · Esc changes nothing", Role::Dim);
        }
        (Some(Overlay::Group(_)), ..) => {
            paint.text(x, area.y, room, "a letter or Enter folds by the column · Esc changes nothing", Role::Dim);
        }
        (Some(Overlay::Pick(..)), ..) => {
            paint.text(x, area.y, room, "a letter or Enter takes it · Esc changes nothing", Role::Dim);
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

/// The line that a filter is typed into, and below it what is wrong with it, with a caret at the character, or what it may become.
fn filter(app: &App, paint: &mut Paint<'_>, area: Rect, input: &Input) {
    let typed = area.y.saturating_sub(1);
    paint.clear(Rect { x: 0, y: typed, width: area.x + area.width + MARGIN, height: 2 });
    let wrong = app.filter_error().filter(|_| !input.value().trim().is_empty());
    let at = prompt(paint, area.x, typed, area.width, "/", input, wrong.as_ref().map(|error| error.offset));
    let Some(error) = wrong else {
        let note = match &app.completions()[..] {
            [] => "Enter takes it · ↑ one of before · Esc changes nothing".to_owned(),
            words => format!("Tab: {}", words.join(" ")),
        };
        paint.text(area.x, area.y, area.width, &note, Role::Dim);
        return;
    };
    let note = format!("{}; {}", error.message, error.hint);
    // Where there is no room for all of it, what to write instead comes first.
    let short = format!("{}; {}", error.hint, error.message);
    let (wide, end) = (width(&note), area.x + area.width);
    match at {
        Some(at) if at + 2 + wide <= end => paint.text(at, area.y, end - at, &format!("^ {note}"), Role::Bad),
        Some(at) if area.x + wide < at => paint.text(at - wide - 1, area.y, wide + 2, &format!("{note} ^"), Role::Bad),
        Some(at) if end.saturating_sub(at) >= at.saturating_sub(area.x) => {
            paint.text(at, area.y, end.saturating_sub(at), &format!("^ {short}"), Role::Bad)
        }
        Some(at) => {
            paint.text(area.x, area.y, at.saturating_sub(area.x + 1), &short, Role::Bad);
            paint.text(at, area.y, 1, "^", Role::Bad)
        }
        None => paint.text(area.x, area.y, area.width, &short, Role::Bad),
    };
}

/// Pairs of key and word, as many as fit; help and the way out always do.
fn hints(app: &App, paint: &mut Paint<'_>, mut x: u16, y: u16, room: u16) {
    let end = x + room;
    let contexts = app.contexts();
    let bound: Vec<(keys::Key, &str)> = keys::footer(&contexts, |action| app.can(action)).collect();
    let pairs: Vec<(String, &str)> = bound.iter().map(|(key, label)| (key.to_string(), *label)).collect();
    let wide = |pair: &(String, &str)| width(&pair.0) + 1 + width(pair.1) + 3;
    let reserved: u16 = pairs.iter().rev().take(2).map(wide).sum();
    let tail = pairs.len().saturating_sub(2);
    for (at, pair) in pairs.iter().enumerate() {
        let must = at >= tail;
        let needed = wide(pair) + if must { 0 } else { reserved };
        if !must && x + needed > end + 3 {
            continue;
        }
        let from = x;
        x = paint.line(x, y, end.saturating_sub(x), &[(&pair.0, Role::Accent), (" ", Role::Text), (pair.1, Role::Dim)]) + 3;
        paint.hit(Rect { x: from, y, width: (x - 3).saturating_sub(from), height: 1 }, Hit::Key(bound[at].0));
    }
}

/// A line that is being typed into; where the character number `wrong` stands, which is marked, if it can be seen.
fn prompt(paint: &mut Paint<'_>, x: u16, y: u16, room: u16, sign: &str, input: &Input, wrong: Option<usize>) -> Option<u16> {
    let x = paint.text(x, y, 2, sign, Role::Accent) + 1;
    let room = room.saturating_sub(2).max(1);
    let scroll = input.visual_scroll(usize::from(room) - 1);
    let cells = |char: char| unicode_width::UnicodeWidthChar::width(char).unwrap_or(0);
    let mut skipped = 0;
    let shown: String = input
        .value()
        .chars()
        .skip_while(|char| {
            let skip = skipped < scroll;
            skipped += cells(*char);
            skip
        })
        .collect();
    paint.text(x, y, room, &shown, Role::Text);
    let marked = wrong.and_then(|wrong| {
        let before: usize = input.value().chars().take(wrong).map(cells).sum();
        let wide = input.value().chars().nth(wrong).map_or(1, cells).max(1);
        let cell = u16::try_from(before.checked_sub(scroll)?).ok().filter(|cell| *cell < room)?;
        let style = paint.theme.style(Role::Bad).add_modifier(Modifier::UNDERLINED);
        paint.over(Rect { x: x + cell, y, width: wide as u16, height: 1 }, style);
        Some(x + cell)
    });
    let at = x + u16::try_from(input.visual_cursor().saturating_sub(scroll)).unwrap_or(0);
    let cursor = paint.theme.style(Role::Text).add_modifier(Modifier::REVERSED);
    paint.over(Rect { x: at, y, width: 1, height: 1 }, cursor);
    marked
}
