//! A recording of the sample's last two minutes, and a dashboard on it: keys go in, screens come out.

use plasmon_protocol::column::Table;
use plasmon_protocol::explain::{Explanation, Subject};
use plasmon_protocol::record::{EventRow, PostMortemRow, ReferenceRow};
use plasmon_protocol::recording::details::target_of;
use plasmon_protocol::recording::{Encoder, Picture, Taken};
use plasmon_protocol::stream::{Detail, Rows, Target};
use plasmon_protocol::window::TABLES;
use plasmon_tui::app::{App, Effect, Msg, Settings};
use plasmon_tui::keys::Key;
use plasmon_tui::link::replay::ReplayLink;
use plasmon_tui::link::{Link, LinkEvent};
use plasmon_tui::recording::Recording;
use plasmon_tui::view;
use plasmon_tui::view::theme::Theme;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::agent::Agent;
use crate::sample::{self, NOW_MS, store_before};

/// Two pictures are so far apart, milliseconds.
pub(crate) const STEP_MS: u64 = 2_000;
/// Pictures in the recording.
pub(crate) const PICTURES: u64 = 61;

/// All rows of a table.
pub(crate) fn rows(agent: &Agent, table: Table) -> Rows {
    match table {
        Table::References => Rows::References(agent.references.clone()),
        Table::Objects => Rows::Objects(agent.objects.clone()),
        Table::Sites => Rows::Sites(agent.sites.clone()),
        Table::Processes => Rows::Processes(agent.processes.clone()),
        Table::Tasks => Rows::Tasks(agent.tasks.clone()),
        Table::Actors => Rows::Actors(agent.actors.clone()),
        Table::PostMortem => Rows::PostMortem(agent.post_mortem.iter().map(|dead| dead.process.clone()).collect()),
        Table::Events => Rows::Events(agent.events.clone()),
        Table::SpillFiles => Rows::SpillFiles(agent.files.clone()),
        Table::Store => Rows::Store(vec![agent.store.clone()]),
    }
}

/// The sample as it was at an instant: what had not happened by then is not there.
pub(crate) fn at(at_ms: u64) -> Agent {
    let mut agent = sample::agent();
    agent.store = store_before(&agent, NOW_MS - at_ms);
    agent.events.retain(|row: &EventRow| row.at_ms <= at_ms);
    agent.post_mortem.retain(|dead| {
        let row: &PostMortemRow = &dead.process;
        row.died_ms <= at_ms
    });
    agent.references.retain(|row: &ReferenceRow| row.since_ms <= at_ms);
    let ids: Vec<_> = agent.objects.iter().map(|row| row.object_id).collect();
    agent.objects.retain(|row| row.created_ms <= at_ms);
    let place = |at: usize| agent.objects.iter().position(|row| row.object_id == ids[at]);
    agent.contained = agent.contained.iter().filter_map(|(outer, inner)| Some((place(*outer)?, place(*inner)?))).collect();
    agent.tasks.retain(|row| row.submitted_ms <= at_ms);
    agent.now_ms = at_ms;
    agent
}

pub(crate) fn picture(agent: &Agent) -> Picture {
    let tables = TABLES.into_iter().map(|table| Taken { table, rows: rows(agent, table), totals: None }).collect();
    Picture { at_ms: agent.now_ms, node: agent.store.node.clone(), tables, details: details(agent) }
}

/// What the tables don't tell.
fn details(agent: &Agent) -> Vec<Detail> {
    targets(agent)
        .into_iter()
        .filter_map(|target| match (agent.detail(&target)?, target) {
            (Detail::Explain(detail), Target::Explain(subject)) => Some(Detail::Explain(Explanation { subject: Some(subject), ..detail })),
            (detail, _) => target_of(&detail).map(|_| detail),
        })
        .collect()
}

/// Everything that has a page.
pub(crate) fn targets(agent: &Agent) -> Vec<Target> {
    let mut targets = vec![Target::Node, Target::Explain(Subject::Everything)];
    targets.extend(agent.objects.iter().map(|row| Target::Object(row.object_id)));
    targets.extend(agent.sites.iter().map(|row| Target::Site(row.site.id)));
    targets.extend(agent.processes.iter().map(|row| Target::Process(row.process)));
    targets.extend(agent.post_mortem.iter().map(|dead| Target::Process(dead.process.process)));
    for row in &agent.actors {
        targets.extend([Target::Actor(row.actor_id), Target::Explain(Subject::Actor(row.actor_id))]);
    }
    targets.extend(agent.files.iter().map(|row| Target::SpillFile(row.file)));
    for row in &agent.tasks {
        targets.extend([Target::Task(row.task_id), Target::Explain(Subject::Task(row.task_id))]);
    }
    targets
}

/// The instants that were recorded.
pub(crate) fn instants() -> impl DoubleEndedIterator<Item = u64> {
    (0..PICTURES).map(|number| NOW_MS - (PICTURES - 1 - number) * STEP_MS)
}

/// The file's text.
pub(crate) fn text() -> String {
    let mut encoder = Encoder::new().unwrap();
    instants().map(|at_ms| encoder.write(&picture(&at(at_ms))).unwrap().text).collect()
}

/// A dashboard on a recording.
pub(crate) struct Replayed {
    pub(crate) app: App,
    link: ReplayLink,
    now_ms: u64,
}

impl Replayed {
    pub(crate) fn new(columns: u16, rows: u16, text: &str) -> Self {
        let recording = Recording::read(text.as_bytes().to_vec()).unwrap();
        let settings = Settings { address: "recording.ndjson".to_owned(), utc_offset_ms: 0 };
        let app = App::new(settings).of_recording(recording.timeline().clone());
        // The viewer looks at it a day later.
        let mut replayed = Self { app, link: ReplayLink::new(recording), now_ms: NOW_MS + 86_400_000 };
        replayed.tell(Msg::Tick(replayed.now_ms));
        replayed.tell(Msg::Resize(columns, rows));
        replayed
    }

    fn tell(&mut self, msg: Msg) {
        let mut effects = self.app.update(msg);
        loop {
            for effect in effects.drain(..) {
                match effect {
                    Effect::Send(request) => self.link.send(request),
                    Effect::Seek(at_ms) => self.link.seek(at_ms),
                    other => panic!("{other:?}"),
                }
            }
            effects = match self.link.ready() {
                Some(LinkEvent::Connected(node)) => self.app.update(Msg::Connected(node)),
                Some(LinkEvent::Frame(frame)) => self.app.update(Msg::Frame(frame)),
                Some(LinkEvent::Nodes(_) | LinkEvent::Merged { .. }) => panic!("a recording is of one agent"),
                Some(LinkEvent::Lost { error, .. }) => panic!("{error}"),
                None => break,
            };
        }
        assert_eq!(self.app.drawn(), None, "nobody waits for what was drawn");
    }

    /// The viewer's time goes on.
    pub(crate) fn wait(&mut self, ms: u64) {
        self.now_ms += ms;
        self.tell(Msg::Tick(self.now_ms));
    }

    pub(crate) fn press(&mut self, key: Key) {
        self.tell(Msg::Key(key));
    }

    /// Keys as one types them; `⏎ ← → ⇤ ⇥` stand for Enter, the arrows, Home and End.
    pub(crate) fn keys(&mut self, text: &str) -> &mut Self {
        for char in text.chars() {
            self.press(match char {
                '⏎' => Key::Enter,
                '←' => Key::Left,
                '→' => Key::Right,
                '⇤' => Key::Home,
                '⇥' => Key::End,
                char => Key::Char(char),
            });
        }
        self
    }

    /// The instant that is shown, before the end, milliseconds.
    pub(crate) fn before_end(&self) -> u64 {
        NOW_MS - self.app.replay().unwrap().at_ms
    }

    pub(crate) fn buffer(&self, theme: &Theme) -> Buffer {
        let (columns, rows) = self.app.size;
        let mut buffer = Buffer::empty(Rect::new(0, 0, columns, rows));
        view::draw(&self.app, theme, &mut buffer);
        buffer
    }

    pub(crate) fn text(&self) -> String {
        crate::stage::text(&self.buffer(&Theme::new(true)))
    }
}
