//! A whole report, or why something waits, once, without a screen.

use std::sync::Arc;

use plasmon_protocol::doctor::NodeDetail;
use plasmon_protocol::explain::{Explanation, Subject};
use plasmon_protocol::record::{ReferenceRow, Site, Stacks, StoreRow};
use plasmon_protocol::report::Report;
use plasmon_protocol::stream::{Body, Detail, Frame, Request, Target};

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::app::route::Page;
use crate::app::{App, Effect, Msg, Settings};
use crate::error::Error;
use crate::keys::Key;
use crate::link::websocket::{Door, WebSocketLink};
use crate::link::{Link, LinkError, LinkEvent};
use crate::model::clean::{clean, decode, is_clean};
use crate::view::hit::screen_text;
use crate::view::theme::Theme;

/// The viewer's number for its one request.
const ID: u32 = 1;

/// The store, all references and the dead of the last minute, as of the moment when the agent got the request.
///
/// # Errors
/// When there is no connection, it breaks, or the agent refuses.
pub fn fetch_report(url: &str, token: Option<&str>) -> Result<Report, Error> {
    fetch_matching(url, token, "")
}

/// The same with the references only that match a filter; all match an empty one.
///
/// # Errors
/// As [`fetch_report`], and when the filter cannot be read.
pub fn fetch_matching(url: &str, token: Option<&str>, filter: &str) -> Result<Report, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    let door = Door { url: url.to_owned(), token: token.map(str::to_owned) };
    runtime.block_on(fetch(&door, filter))
}

/// Why something waits, and the agent's clock in milliseconds since the Unix epoch; `None` when there is no such thing.
///
/// # Errors
/// When there is no connection, it breaks, or the agent refuses.
pub fn fetch_explanation(url: &str, token: Option<&str>, subject: &Subject) -> Result<(Option<Explanation>, u64), Error> {
    let (detail, at_ms) = fetch_detail(url, token, Target::Explain(subject.clone()))?;
    let explanation = detail.and_then(|detail| match detail {
        Detail::Explain(explanation) => Some(explanation),
        _ => None,
    });
    Ok((explanation, at_ms))
}

/// What an agent says of its machine.
///
/// # Errors
/// When there is no connection, it breaks, or the agent refuses.
pub fn fetch_node(url: &str, token: Option<&str>) -> Result<NodeDetail, Error> {
    match fetch_detail(url, token, Target::Node)?.0 {
        Some(Detail::Node(node)) => Ok(node),
        _ => Ok(NodeDetail::default()),
    }
}

/// A view as the dashboard draws it, in lines of text; `size` in columns and lines.
///
/// # Errors
/// When there is no connection, or it breaks before all has come.
pub fn fetch_view(url: &str, token: Option<&str>, page: Page, size: (u16, u16)) -> Result<String, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    let door = Door { url: url.to_owned(), token: token.map(str::to_owned) };
    let text = runtime.block_on(drawn(door, page, size));
    runtime.shutdown_background();
    text
}

async fn drawn(door: Door, page: Page, size: (u16, u16)) -> Result<String, Error> {
    let settings = Settings { address: door.address(), utc_offset_ms: crate::dashboard::utc_offset_ms() };
    let (connection, node) = door.connect().await?;
    let mut link = WebSocketLink::keep(door, connection, node);
    let mut app = App::new(settings);
    app.update(Msg::Resize(size.0, size.1));
    app.update(Msg::Key(Key::Char(char::from_digit(page.number() as u32, 10).unwrap_or('1'))));
    while !app.is_answered() {
        let msg = match link.next().await {
            Some(LinkEvent::Connected(node)) => Msg::Connected(node),
            Some(LinkEvent::Frame(frame)) => Msg::Frame(frame),
            Some(LinkEvent::Nodes(nodes)) => Msg::Nodes(nodes),
            Some(LinkEvent::Merged { id, merged }) => Msg::Merged(id, merged),
            Some(LinkEvent::Lost { error, .. }) => return Err(error.into()),
            None => break,
        };
        let mut effects = app.update(Msg::Tick(crate::dashboard::now_ms()));
        effects.extend(app.update(msg));
        effects.extend(app.drawn());
        for effect in effects {
            if let Effect::Send(request) = effect {
                link.send(request);
            }
        }
    }
    let mut buffer = Buffer::empty(Rect::new(0, 0, size.0, size.1));
    crate::view::draw(&app, &Theme::new(false), &mut buffer);
    Ok(screen_text(&buffer))
}

/// One thing in detail, once, and the agent's clock.
fn fetch_detail(url: &str, token: Option<&str>, target: Target) -> Result<(Option<Detail>, u64), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    let door = Door { url: url.to_owned(), token: token.map(str::to_owned) };
    runtime.block_on(async {
        let (mut connection, _) = door.connect().await?;
        connection.send(&Request::Watch { id: ID, target }).await?;
        loop {
            let text = connection.text().await?;
            let frame = decode(&text).map_err(|error| connection.unreadable(&error))?;
            match frame.body {
                Body::Detail { id: ID, detail } => {
                    connection.close().await;
                    return Ok((detail.map(|detail| *detail), frame.at_ms));
                }
                Body::Error { message, hint, .. } => return Err(LinkError::Refused { message, hint }.into()),
                _ => {}
            }
        }
    })
}

/// As [`fetch_report`], within a runtime.
///
/// # Errors
/// When there is no connection, it breaks, or the agent refuses.
pub async fn fetch(door: &Door, filter: &str) -> Result<Report, Error> {
    let (mut connection, node) = door.connect().await?;
    connection.send(&Request::Report { id: ID, filter: filter.to_owned() }).await?;
    let mut store = StoreRow { node, ..StoreRow::default() };
    let (mut references, mut post_mortem, mut stacks) = (Vec::new(), Vec::new(), Stacks::default());
    let mut last = Arc::default();
    loop {
        let text = connection.text().await?;
        let frame: Frame = serde_json::from_str(&text).map_err(|error| connection.unreadable(&error))?;
        connection.send(&Request::Ack { seq: frame.seq }).await?;
        let (told, dead, frames, mut rows, is_last) = match frame.body {
            Body::Report { store, post_mortem, frames, references, last, .. } => (store, post_mortem, frames, references, last),
            Body::Error { mut message, mut hint, .. } => {
                clean(&mut message);
                clean(&mut hint);
                return Err(LinkError::Refused { message, hint }.into());
            }
            _ => continue,
        };
        if let Some(mut row) = told {
            harmless(&mut row.node.node_ip);
            harmless(&mut row.node.listen);
            harmless(&mut row.node.version);
            store = *row;
        }
        post_mortem.extend(dead.into_iter().map(|mut dead| {
            let texts = [&mut dead.process.name, &mut dead.process.how].into_iter().chain(&mut dead.process.task);
            texts.for_each(harmless);
            dead.references.iter_mut().for_each(|row| harmless_row(row, &mut last));
            dead
        }));
        stacks.learn(frames.into_iter().map(|mut frame| {
            harmless_site(&mut frame);
            frame
        }));
        rows.iter_mut().for_each(|row| harmless_row(row, &mut last));
        stacks.link(&mut rows);
        references.append(&mut rows);
        if is_last {
            connection.close().await;
            let report = Report::new(store, references, frame.at_ms).with_post_mortem(post_mortem);
            return Ok(if filter.is_empty() { report } else { report.partial() });
        }
    }
}

/// Many rows in a row are of one site, which they share: `last` is the one before.
fn harmless_row(row: &mut ReferenceRow, last: &mut Arc<Site>) {
    harmless(&mut row.node_ip);
    for site in [&mut row.call_site, &mut row.created_site] {
        if Arc::ptr_eq(site, last) {
            continue;
        }
        harmless_site(site);
        if **site == **last {
            *site = Arc::clone(last);
        } else {
            *last = Arc::clone(site);
        }
    }
}

fn harmless(text: &mut Arc<str>) {
    if is_clean(text) {
        return;
    }
    let mut safe = text.to_string();
    clean(&mut safe);
    if *safe != **text {
        *text = safe.into();
    }
}

fn harmless_site(site: &mut Arc<Site>) {
    if is_clean(&site.function) && is_clean(&site.file) {
        return;
    }
    let site = Arc::make_mut(site);
    clean(&mut site.function);
    clean(&mut site.file);
}
