//! A dashboard before the sample: keys go in, screens come out.

use plasmon_protocol::record::StoreRow;
use plasmon_protocol::stream::{Body, Frame, Request, Rows, Totals};
use plasmon_tui::app::{App, Effect, Msg, Settings};
use plasmon_tui::keys::Key;
use plasmon_tui::view;
use plasmon_tui::view::theme::Theme;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::agent::Agent;
use crate::sample::{NOW_MS, agent, store_before};

/// The dashboard and the agent at the other end.
pub(crate) struct Stage {
    pub(crate) app: App,
    pub(crate) agent: Agent,
    pub(crate) seq: u64,
    /// Everything that was asked for, in order.
    pub(crate) asked: Vec<Request>,
    /// Everything else that the shell was told to do.
    pub(crate) effects: Vec<Effect>,
}

impl Stage {
    /// A dashboard that has watched the sample for some minutes.
    pub(crate) fn new(columns: u16, rows: u16) -> Self {
        Self::of(columns, rows, agent())
    }

    /// A dashboard that has watched an agent with these rows for some minutes.
    pub(crate) fn of(columns: u16, rows: u16, agent: Agent) -> Self {
        let mut stage = Self::empty(columns, rows, agent);
        let store = stage.asked.iter().find_map(|request| match request {
            Request::Subscribe { id, view } if view.table == plasmon_protocol::column::Table::Store => Some(*id),
            _ => None,
        });
        let growth = stage.asked.iter().find_map(|request| match request {
            Request::Subscribe { id, view } if view.sort.as_ref().is_some_and(|sort| sort.column == "growth") => Some(*id),
            _ => None,
        });
        for back in (1..140).rev() {
            // The cache has been growing all the time.
            let mut cache = stage.agent.sites[..1].to_vec();
            cache[0].held_bytes -= (200_000 * back * 2).min(cache[0].held_bytes);
            let totals = Totals { rows: 1, matched: 1, ..Totals::default() };
            let body = Body::Snapshot { id: growth.unwrap(), totals, start: 0, rows: Rows::Sites(cache) };
            stage.frame_at(NOW_MS - back * 2000, body);
            let row: StoreRow = store_before(&stage.agent, back * 2000);
            let totals = Totals { rows: 1, matched: 1, ..Totals::default() };
            let body = Body::Snapshot { id: store.unwrap(), totals, start: 0, rows: Rows::Store(vec![row]) };
            stage.frame_at(NOW_MS - back * 2000, body);
        }
        let grown = stage.asked.iter().find(|request| matches!(request, Request::Subscribe { id, .. } if Some(*id) == growth)).cloned();
        let all = stage.agent.answer(&grown.unwrap()).unwrap();
        stage.frame_at(NOW_MS, all);
        let last = Body::Snapshot {
            id: store.unwrap(),
            totals: Totals { rows: 1, matched: 1, ..Totals::default() },
            start: 0,
            rows: Rows::Store(vec![stage.agent.store.clone()]),
        };
        stage.frame_at(NOW_MS, last);
        stage
    }

    /// A dashboard that has just connected to an agent with these rows.
    pub(crate) fn empty(columns: u16, rows: u16, agent: Agent) -> Self {
        let settings = Settings { address: "127.0.0.1:6480".to_owned(), utc_offset_ms: 0 };
        let mut stage = Self { app: App::new(settings), agent, seq: 0, asked: Vec::new(), effects: Vec::new() };
        stage.tell(Msg::Tick(NOW_MS));
        stage.tell(Msg::Resize(columns, rows));
        let node = stage.agent.store.node.clone();
        stage.tell(Msg::Connected(Box::new(node)));
        stage
    }

    /// A message, and the agent's answers to what it leads to.
    pub(crate) fn tell(&mut self, msg: Msg) {
        let mut effects = self.app.update(msg);
        while !effects.is_empty() {
            let mut next = Vec::new();
            for effect in effects {
                match effect {
                    Effect::Send(request) => {
                        if let Some(body) = self.agent.answer(&request) {
                            self.seq += 1;
                            let frame = Frame { seq: self.seq, at_ms: NOW_MS, missed: 0, body };
                            next.extend(self.app.update(Msg::Frame(Box::new(frame))));
                        }
                        self.asked.push(request);
                    }
                    other => self.effects.push(other),
                }
            }
            effects = next;
        }
    }

    /// As [`Stage::keys`], with every frame of the agent's changed, those before too: the dashboard connects anew.
    #[allow(dead_code, reason = "every test file uses a part of it")]
    pub(crate) fn corrupt(&mut self, change: &mut dyn FnMut(Frame) -> Frame, keys: &str) {
        let node = self.agent.store.node.clone();
        let mut messages = vec![Msg::Connected(Box::new(node))];
        let letters = keys.chars().map(|char| if char == '⏎' { Key::Enter } else { Key::Char(char) });
        messages.extend(letters.map(Msg::Key));
        self.seq = 0;
        for msg in messages {
            let mut effects = self.app.update(msg);
            while !effects.is_empty() {
                let mut next = Vec::new();
                for effect in effects {
                    if let Effect::Send(request) = effect
                        && let Some(body) = self.agent.answer(&request)
                    {
                        self.seq += 1;
                        let frame = change(Frame { seq: self.seq, at_ms: NOW_MS, missed: 0, body });
                        next.extend(self.app.update(Msg::Frame(Box::new(frame))));
                    }
                }
                effects = next;
            }
        }
    }

    /// Another second of the program's life, in which its cache has grown by 24 objects: what is subscribed is told anew.
    #[allow(dead_code, reason = "every test file uses a part of it")]
    pub(crate) fn grow(&mut self) {
        let now_ms = NOW_MS + 1_000;
        self.tell(Msg::Tick(now_ms));
        let cached: Vec<_> = self.agent.references.iter().filter(|row| row.created_site.id.0 == 1).take(24).cloned().collect();
        for (mut row, slot) in cached.into_iter().zip(9_000..) {
            row.object_id = plasmon_protocol::id::ObjectKey { slot, generation: 1 }.on(crate::sample::NODE);
            row.since_ms = now_ms;
            self.agent.references.push(row);
        }
        let site = &mut self.agent.sites[0];
        (site.held_bytes, site.objects, site.references) = (site.held_bytes + (12 << 20), site.objects + 24, site.references + 24);
        (site.own_bytes, site.own_objects) = (site.held_bytes, site.objects);
        let site = &mut self.agent.sites[2];
        (site.held_bytes, site.objects, site.references) = (site.held_bytes - (8 << 20), site.objects - 1, site.references - 1);
        (site.own_bytes, site.own_objects) = (site.held_bytes, site.objects);
        self.agent.processes[1].heap_bytes += 3 << 20;
        (self.agent.processes[1].held_bytes, self.agent.processes[1].references) = (421 << 20, 510);
        self.agent.objects.iter_mut().for_each(|row| row.references += 1);
        self.agent.references.iter_mut().filter(|row| row.created_site.id.0 == 1).for_each(|row| row.local += 1);
        (self.agent.tasks[0].heap_bytes, self.agent.tasks[0].peak_bytes) = (90 << 20, 470 << 20);
        self.agent.actors[0].calls_done += 7;
        self.agent.files[0].live_bytes -= 2 << 20;
        self.agent.files[0].dead_bytes += 2 << 20;
        let store = &mut self.agent.store;
        store.ledger.referenced_bytes += 12 << 20;
        store.ledger.free_bytes -= 12 << 20;
        store.objects += 24;
        store.node.driver_heap_bytes += 3 << 20;
        (store.spill.live_bytes, store.spill.dead_bytes) = (store.spill.live_bytes - (2 << 20), store.spill.dead_bytes + (2 << 20));
        (store.spill.restored_objects_total, store.spill.restored_bytes_total) = (1_216, 608 << 20);
        store.pressure.used_bytes += 90_000_000;
        store.pressure.available_bytes -= 90_000_000;
        let again: Vec<Request> = self.asked.clone();
        for request in again {
            let Some(body) = self.agent.answer(&request) else { continue };
            let same = |other: &&Request| matches!((&request, other), (Request::Subscribe { id, .. }, Request::Unsubscribe { id: ended }) if id == ended);
            if self.asked.iter().any(|other| same(&other)) {
                continue;
            }
            // What has been here is told as what changed.
            let body = match body {
                Body::Snapshot { id, totals, start, rows }
                    if self.app.model().windows.get(&id).is_some_and(|window| window.start == start) =>
                {
                    let order = plasmon_tui::model::Window::new(totals, start, rows.clone()).keys;
                    Body::Delta { id, totals, start, order: Some(order), rows }
                }
                body => body,
            };
            self.frame_at(now_ms, body);
        }
    }

    /// A frame of the agent's own accord.
    pub(crate) fn frame_at(&mut self, at_ms: u64, body: Body) {
        self.seq += 1;
        self.tell(Msg::Frame(Box::new(Frame { seq: self.seq, at_ms, missed: 0, body })));
    }

    /// Keys as one types them; `⏎ ⎋ ⇥ ↓ ↑` stand for the keys without a letter.
    pub(crate) fn keys(&mut self, text: &str) -> &mut Self {
        for char in text.chars() {
            self.tell(Msg::Key(match char {
                '⏎' => Key::Enter,
                '⎋' => Key::Esc,
                '⇥' => Key::Tab,
                '↓' => Key::Down,
                '↑' => Key::Up,
                char => Key::Char(char),
            }));
        }
        self
    }

    /// The screen.
    pub(crate) fn buffer(&self, theme: &Theme) -> Buffer {
        let (columns, rows) = self.app.size;
        let mut buffer = Buffer::empty(Rect::new(0, 0, columns, rows));
        view::draw(&self.app, theme, &mut buffer);
        buffer
    }

    /// The screen as text.
    pub(crate) fn text(&self) -> String {
        text(&self.buffer(&Theme::new(true)))
    }
}

/// A buffer's symbols, lines without their trailing spaces.
pub(crate) fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in 0..buffer.area.height {
        let mut line = String::new();
        let mut x = 0;
        while x < buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            x += view::format::width(symbol).max(1);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
