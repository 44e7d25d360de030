//! The two lines at the top: who is shown and how fresh it is; which view, or how one got here.

use std::borrow::Cow;

use ratatui::layout::Rect;

use super::format::{clock, cpus, cut, cut_start, long_span, span, things, width};
use super::hit::Hit;
use super::paint::{MARGIN, Paint};
use super::theme::Role;
use crate::app::route::Page;
use crate::app::{App, LinkState};
use crate::model::alert::Level;

/// Draws both lines.
pub fn draw(app: &App, paint: &mut Paint<'_>, area: Rect) {
    title(app, paint, area);
    if app.crumbs().count() > 1 { crumbs(app, paint, area) } else { views(app, paint, area) }
}

fn title(app: &App, paint: &mut Paint<'_>, area: Rect) {
    let (state, role) = state(app);
    let state_width = width(&state);
    paint.right(area.x, area.y, area.width - MARGIN, &state, role);
    let end = area.right().saturating_sub(state_width + 2 * MARGIN);
    let mut x = paint.text(area.x + MARGIN, area.y, 10, "plasmon", Role::Accent) + 2;
    let mut parts = Vec::new();
    let address = &*app.settings.address;
    if let Some(node) = &app.model().node {
        let address = if address.is_empty() { &*node.listen } else { address };
        let up = long_span(app.agent_now_ms().saturating_sub(node.started_ms));
        match app.nodes() {
            [] => parts.push((Cow::Owned(format!("node {}", node.node.short())), Role::Text)),
            nodes => {
                let names: Vec<String> = nodes.iter().map(|member| member.node.node.short()).collect();
                parts.push((Cow::Owned(format!("nodes {}", names.join(" "))), Role::Text));
                for (number, member) in nodes.iter().enumerate() {
                    let Some(lost_ms) = member.lost_ms else { continue };
                    let since = clock(lost_ms, app.settings.utc_offset_ms);
                    let rows = if app.lacks(number) { "not all of its rows are here" } else { "its rows are of then" };
                    parts.push((Cow::Owned(format!("{} lost {since}, {rows}", member.node.node.short())), Role::Bad));
                }
            }
        }
        parts.extend(trouble(app).map(|text| (Cow::Owned(text), Role::Bad)));
        parts.push((Cow::Borrowed(&*app.progress), Role::Ok));
        parts.push((Cow::Borrowed(address), Role::Text));
        parts.push((Cow::Owned(format!("{} cpu", cpus(node.num_cpus))), Role::Text));
        parts.push((Cow::Owned(format!("up {up}")), Role::Text));
    } else {
        parts.push((Cow::Borrowed(address), Role::Text));
        parts.push((Cow::Borrowed(&*app.progress), Role::Ok));
    }
    parts.retain(|(part, _)| !part.is_empty());
    for (at, (part, role)) in parts.iter().enumerate() {
        let gap = if at == 0 { "" } else { " · " };
        let room = end.saturating_sub(x + width(gap));
        // What does not fit as a whole gives way to how fresh it is; of the progress and of what is wrong, its end does.
        if at > 0 && width(part) > room && (!matches!(role, Role::Ok | Role::Bad) || room == 0) {
            break;
        }
        x = paint.line(x, area.y, end.saturating_sub(x), &[(gap, Role::Dim), (&cut(part, room), *role)]);
    }
}

/// The worst of what does not work, on every screen but the one that lists all of it.
fn trouble(app: &App) -> Option<String> {
    if app.view() == Page::Overview && app.crumbs().count() == 1 {
        return None;
    }
    let (level, text) = app.alerts().into_iter().next()?;
    (level == Level::Bad).then_some(text)
}

/// How fresh what is shown is.
fn state(app: &App) -> (String, Role) {
    if let Some((since_ms, changes)) = app.frozen() {
        let mixed = if app.is_mixed() { ", parts are newer" } else { "" };
        return (format!("FROZEN {}, {} behind{mixed}", span(since_ms), things(changes, "change", "changes")), Role::Warn);
    }
    if let Some(replay) = app.replay() {
        let pace = format!("{} {}x", if replay.playing { "playing" } else { "paused" }, replay.speed());
        return (format!("REPLAY of {}, not live · {pace}", clock(replay.at_ms, app.settings.utc_offset_ms)), Role::Warn);
    }
    match &app.link {
        LinkState::Connecting => ("connecting".to_owned(), Role::Dim),
        LinkState::Live if app.model().skips(app.agent_now_ms()) => {
            (format!("live, {} skipped", things(app.model().missed, "update", "updates")), Role::Warn)
        }
        LinkState::Live => ("live".to_owned(), Role::Ok),
        LinkState::Lost { at_ms, retry_at_ms, .. } => {
            let since = clock(*at_ms, app.settings.utc_offset_ms);
            let left = retry_at_ms.saturating_sub(app.now_ms).div_ceil(1000);
            let next = if left == 0 { "connecting".to_owned() } else { format!("retry in {left} s") };
            (format!("lost {since}, {next}"), Role::Bad)
        }
    }
}

fn views(app: &App, paint: &mut Paint<'_>, area: Rect) {
    let y = area.y + 1;
    let mut x = area.x + MARGIN;
    let wide = |title: fn(Page) -> &'static str| Page::ALL.iter().map(|page| width(title(*page)) + 4).sum::<u16>();
    let fits = |title: fn(Page) -> &'static str| MARGIN + wide(title) <= area.width + 2;
    let names: [fn(Page) -> &'static str; 2] = [Page::title, Page::medium];
    let name = names.into_iter().find(|name| fits(*name)).unwrap_or(Page::short);
    let gap = if fits(name) { 2 } else { 1 };
    // On the narrowest screens the numbers stand for the views that one is not at.
    let numbers = wide(name) - (2 - gap) * Page::ALL.len() as u16 > area.width;
    for page in Page::ALL {
        let current = *page == app.view();
        let number = if current { Role::Accent } else { Role::Dim };
        let from = x;
        x = paint.line(x, y, area.right().saturating_sub(x), &[(&page.number().to_string(), number), (" ", Role::Text)]);
        let mut style = paint.theme.style(if current { Role::Title } else { Role::Text });
        if current {
            style = style.underlined();
        }
        if current || !numbers {
            x = paint.styled(x, y, area.right().saturating_sub(x), name(*page), style) + gap;
        }
        paint.hit(Rect { x: from, y, width: x.saturating_sub(from), height: 1 }, Hit::View(*page));
    }
}

fn crumbs(app: &App, paint: &mut Paint<'_>, area: Rect) {
    let y = area.y + 1;
    let room = area.width.saturating_sub(2 * MARGIN);
    let crumbs: Vec<String> = app.crumbs().collect();
    let (first, last) = (format!("{} {}", app.view().number(), crumbs[0]), crumbs.len() - 1);
    // The end of the way is where one is: the middle gives way.
    let mut shown: Vec<&str> = crumbs[1..].iter().map(String::as_str).collect();
    let wide = |shown: &[&str]| width(&first) + shown.iter().map(|crumb| width(crumb) + 3).sum::<u16>();
    let mut cut = false;
    while wide(&shown) + if cut { 4 } else { 0 } > room && shown.len() > 1 {
        shown.remove(0);
        cut = true;
    }
    let mut x = paint.text(area.x + MARGIN, y, room, &first, Role::Text);
    paint.hit(Rect { x: area.x, y, width: x.saturating_sub(area.x), height: 1 }, Hit::Crumb(0));
    if cut {
        x = paint.text(x, y, 4, " › …", Role::Dim);
    }
    for (at, crumb) in shown.iter().enumerate() {
        x = paint.text(x, y, 3, " › ", Role::Dim);
        let left = (area.x + MARGIN + room).saturating_sub(x);
        let role = if at + 1 == shown.len() && last > 0 { Role::Title } else { Role::Text };
        let from = x;
        x = paint.text(x, y, left, &cut_start(crumb, left), role);
        paint.hit(Rect { x: from, y, width: x - from, height: 1 }, Hit::Crumb(last - (shown.len() - 1 - at)));
    }
}
