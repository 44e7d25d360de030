//! The dashboard as a value: messages go in, effects come out, and the screen reads. No clocks, no sockets, no terminal.

pub mod act;
pub mod alive;
pub mod attention;
pub mod freeze;
pub mod geometry;
mod joined;
pub mod jump;
pub mod mark;
pub mod mouse;
pub mod node;
pub mod page;
pub mod pick;
mod possible;
pub mod prompt;
pub mod replay;
pub mod route;
pub mod rows;
pub mod split;
pub mod subscribe;
pub mod tree;
pub mod why;

use std::collections::BTreeMap;

use plasmon_protocol::record::NodeRow;
use plasmon_protocol::stream::{Frame, Request};

use crate::keys::{Context, Key};
use crate::model::{Applied, Merged, Model};
use freeze::Frozen;
use prompt::Overlay;
use route::{Page, Place, Route};
use subscribe::{Slot, Subscriptions};

/// How long a flash line stays, milliseconds.
const FLASH_MS: u64 = 4_000;

/// Anything that arrives.
#[derive(Clone, Debug)]
pub enum Msg {
    /// A key.
    Key(Key),
    /// A pasted text.
    Paste(String),
    /// The mouse, while it is the dashboard's.
    Mouse(mouse::Mouse),
    /// What became of a file that was to be saved: its path, or why there is none.
    Saved(Result<String, String>),
    /// The terminal's size in cells: columns, rows.
    Resize(u16, u16),
    /// The agent answered a hello: a connection is there.
    Connected(Box<NodeRow>),
    /// A frame.
    Frame(Box<Frame>),
    /// Of several agents, who they are, and whether each is lost.
    Nodes(Vec<(NodeRow, bool)>),
    /// Of a subscription to several agents, what its rows don't tell.
    Merged(u32, Merged),
    /// The connection is gone.
    Lost {
        /// Why.
        cause: String,
        /// What to do about it; may be empty.
        hint: String,
        /// When the next attempt is due, milliseconds since the Unix epoch by the viewer's clock.
        retry_at_ms: u64,
    },
    /// The viewer's clock, milliseconds since the Unix epoch.
    Tick(u64),
    /// What the program behind the dashboard is doing, for the header; may be empty.
    Progress(String),
}

/// What the shell has to do.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Send it to the agent.
    Send(Request),
    /// Put it on the clipboard.
    Copy(String),
    /// Write it into a new file of the working directory; its name begins with the stem.
    Save {
        /// The name's beginning.
        stem: String,
        /// The name's ending, without its dot.
        ending: &'static str,
        /// What goes into it.
        text: String,
    },
    /// Take the mouse, or give it back to the terminal.
    Mouse(bool),
    /// Show this instant of the recording, milliseconds since the Unix epoch by the recorded agent's clock.
    Seek(u64),
    /// Draw everything anew.
    Redraw,
    /// Give the terminal back until the shell continues us.
    Suspend,
    /// Leave.
    Quit,
}

/// The state of the link.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum LinkState {
    /// The first connection is being made.
    #[default]
    Connecting,
    /// Frames come.
    Live,
    /// It broke; the last data stays.
    Lost {
        /// When, by the viewer's clock.
        at_ms: u64,
        /// When the next attempt is due, by the viewer's clock.
        retry_at_ms: u64,
        /// Why.
        cause: String,
        /// What to do about it; may be empty.
        hint: String,
    },
}

/// How bad a flash line is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mood {
    /// Something was done.
    Done,
    /// Something could not be done.
    Refused,
}

/// One line that stays for a moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flash {
    /// What it says.
    pub text: String,
    /// How bad.
    pub mood: Mood,
    until_ms: u64,
}

/// What the dashboard knows of its surroundings.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    /// The agent's address, as the header shows it.
    pub address: String,
    /// What the viewer's clock on the wall is ahead of UTC, milliseconds.
    pub utc_offset_ms: i64,
}

/// The dashboard.
#[derive(Clone, Debug)]
pub struct App {
    /// Its surroundings.
    pub settings: Settings,
    /// The terminal's size: columns, rows.
    pub size: (u16, u16),
    /// The viewer's clock, milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// The state of the link.
    pub link: LinkState,
    /// What is open over the screen.
    pub overlay: Option<Overlay>,
    /// What the program behind the dashboard is doing; may be empty.
    pub progress: String,
    /// The live replica; the screen reads [`App::model`].
    live: Model,
    frozen: Option<Box<Frozen>>,
    /// The viewer's clock when the last frame came.
    heard_ms: u64,
    flash: Option<Flash>,
    roots: Vec<Place>,
    current: usize,
    opened: Vec<Place>,
    subscriptions: Subscriptions,
    acked: u64,
    replay: Option<replay::Replay>,
    /// Filters that were taken.
    filters: prompt::History,
    mark: Option<Box<mark::Mark>>,
    nodes: Vec<attention::Member>,
    /// The sites, where one window does not hold them.
    joined: Option<joined::Joined>,
    /// By subscription.
    merged: BTreeMap<u32, Merged>,
    has_mouse: bool,
}

impl App {
    /// A dashboard before its first message.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let roots = Page::ALL.iter().map(|page| Place::new(Route::root(*page))).collect();
        Self {
            settings,
            size: (80, 24),
            now_ms: 0,
            link: LinkState::Connecting,
            overlay: None,
            progress: String::new(),
            live: Model::default(),
            frozen: None,
            heard_ms: 0,
            flash: None,
            roots,
            current: 0,
            opened: Vec::new(),
            subscriptions: Subscriptions::default(),
            acked: 0,
            replay: None,
            filters: prompt::History::default(),
            mark: None,
            nodes: Vec::new(),
            joined: None,
            merged: BTreeMap::new(),
            has_mouse: false,
        }
    }

    /// Takes a message in.
    pub fn update(&mut self, msg: Msg) -> Vec<Effect> {
        let mut effects = Vec::new();
        match msg {
            Msg::Key(key) => self.key(key, &mut effects),
            Msg::Paste(text) => self.paste(text),
            Msg::Mouse(mouse) => self.mouse(mouse, &mut effects),
            Msg::Saved(Ok(path)) => self.flash(Mood::Done, format!("saved {path}")),
            Msg::Saved(Err(why)) => self.flash(Mood::Refused, why),
            Msg::Resize(columns, rows) => self.size = (columns, rows),
            Msg::Connected(node) => {
                self.link = LinkState::Live;
                self.heard_ms = self.now_ms;
                self.acked = 0;
                // What another agent had is no base to compare with.
                if self.live.node.as_ref().is_some_and(|known| known.node != node.node) {
                    self.mark = None;
                }
                self.live.connected(*node);
                self.subscriptions.ask_again(&mut effects);
            }
            Msg::Frame(frame) => self.frame(*frame, &mut effects),
            Msg::Nodes(nodes) => self.note_nodes(nodes),
            Msg::Merged(id, merged) => self.note_merged(id, merged),
            Msg::Lost { cause, hint, retry_at_ms } => {
                let at_ms = match self.link {
                    LinkState::Lost { at_ms, .. } => at_ms,
                    _ => self.now_ms,
                };
                self.link = LinkState::Lost { at_ms, retry_at_ms, cause, hint };
            }
            Msg::Tick(now_ms) => {
                // Before the first tick there was no clock.
                let passed = if self.now_ms == 0 { 0 } else { now_ms.saturating_sub(self.now_ms) };
                self.replay_on(passed, &mut effects);
                self.now_ms = now_ms;
                self.flash.take_if(|flash| flash.until_ms <= now_ms);
            }
            Msg::Progress(text) => self.progress = text,
        }
        self.join_sites();
        self.focus();
        self.settle();
        self.subscribe(&mut effects);
        effects
    }

    fn frame(&mut self, frame: Frame, effects: &mut Vec<Effect>) {
        self.heard_ms = self.now_ms;
        let subscriptions = &self.subscriptions;
        let applied = self.live.apply(frame, |id| subscriptions.has(id));
        self.watch_growth();
        match applied {
            Applied::Done => {}
            Applied::Answered(id) => {
                // Only what a mark waits for is copied.
                if let Some(Slot::Sheet(number)) = self.subscriptions.slot(id)
                    && let Some(window) = self.live.windows.get(&id).cloned()
                {
                    self.keep_sheet(number, &window);
                }
                if self.subscriptions.answered(id)
                    && let Some(frozen) = &mut self.frozen
                {
                    // What is opened while the picture stands still is fetched once, and then stands still with it. It is newer
                    // than the rest, and the header says so.
                    frozen.mixed = true;
                    frozen.model.windows.extend(self.live.windows.get(&id).cloned().map(|window| (id, window)));
                    frozen.model.details.extend(self.live.details.get(&id).cloned().map(|detail| (id, detail)));
                }
            }
            Applied::Misfit(id) => self.subscriptions.ask_one_again(id, effects),
            Applied::Gap => self.subscriptions.ask_again(effects),
            Applied::Refused(refusal) => {
                let text = if refusal.hint.is_empty() { refusal.message } else { format!("{} · {}", refusal.message, refusal.hint) };
                if let Some(id) = refusal.id {
                    self.subscriptions.refuse(id, &text);
                    // What was there before is not what was asked for now.
                    self.live.forget(id);
                    if let Some(frozen) = &mut self.frozen {
                        frozen.model.forget(id);
                    }
                    if let Some(Slot::Sheet(number)) = self.subscriptions.slot(id) {
                        self.drop_sheet(number);
                    }
                }
                self.flash(Mood::Refused, text);
            }
        }
    }

    fn key(&mut self, key: Key, effects: &mut Vec<Effect>) {
        self.flash = None;
        if self.overlay.is_some() {
            self.overlay_key(key, effects);
        } else if let Some(action) = crate::keys::action(&self.contexts(), key) {
            self.act(action, effects);
        }
    }

    /// The contexts that keys are looked for in.
    #[must_use]
    pub fn contexts(&self) -> Vec<Context> {
        if self.overlay.is_some() {
            return vec![Context::Prompt];
        }
        let mut contexts = self.place_contexts();
        if self.parts().len() == 1 {
            contexts.retain(|context| *context != Context::Split);
        }
        contexts
    }

    /// The contexts of the place, whatever is open over it.
    #[must_use]
    pub fn place_contexts(&self) -> Vec<Context> {
        let replay = self.replay.as_ref().map(|_| Context::Replay);
        replay.into_iter().chain(self.place().route.contexts().iter().copied()).collect()
    }

    /// The line that stays for a moment.
    #[must_use]
    pub fn flash_line(&self) -> Option<&Flash> {
        self.flash.as_ref()
    }

    fn flash(&mut self, mood: Mood, text: impl Into<String>) {
        self.flash = Some(Flash { text: text.into(), mood, until_ms: self.now_ms + FLASH_MS });
    }

    /// The place that is shown.
    #[must_use]
    pub fn place(&self) -> &Place {
        self.opened.last().unwrap_or(&self.roots[self.current])
    }

    fn place_mut(&mut self) -> &mut Place {
        self.opened.last_mut().unwrap_or(&mut self.roots[self.current])
    }

    /// The view at the root of the breadcrumbs.
    #[must_use]
    pub fn view(&self) -> Page {
        Page::ALL[self.current]
    }

    /// The breadcrumbs, the view first.
    pub fn crumbs(&self) -> impl Iterator<Item = String> + '_ {
        std::iter::once(&self.roots[self.current]).chain(&self.opened).map(|place| place.route.crumb())
    }

    fn go(&mut self, page: Page) {
        self.opened.clear();
        self.current = page.number() - 1;
    }

    fn open(&mut self, place: Place) {
        // Going round in circles (object, holder, object ...) must not grow without bound.
        if self.opened.len() >= 32 {
            self.opened.remove(0);
        }
        self.opened.push(place);
    }

    /// Everything up to the last frame is on the screen; what to tell the agent.
    pub fn drawn(&mut self) -> Option<Effect> {
        let seq = self.live.seq;
        (self.link == LinkState::Live && seq > self.acked && self.replay.is_none()).then(|| {
            self.acked = seq;
            Effect::Send(Request::Ack { seq })
        })
    }

    /// How often the clock alone changes the screen, milliseconds; the shell need not tick more often.
    #[must_use]
    pub fn clock_ms(&self) -> u64 {
        let soon = self.flash.is_some() || self.frozen.is_some() || self.link != LinkState::Live;
        if let Some(playing_ms) = self.replay_clock_ms() {
            return playing_ms;
        }
        let now = self.agent_now_ms();
        match self.place().route {
            // Marks of changed numbers go when they are no news any more.
            _ if self.model().has_news(now) => 1_000,
            _ if soon => 1_000,
            Route::View(Page::Overview) => 5_000,
            _ => 1_000,
        }
    }
}

#[cfg(test)]
mod tests;
