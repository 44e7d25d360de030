//! The page that says why something waits: its lines, which of them can be selected, and what opens from them.

use plasmon_protocol::column::RowKey;
use plasmon_protocol::explain::{Explanation, Line, Node, Subject};
use plasmon_protocol::record::{ActorRow, ProcessRow, ReferenceRow, ReferenceType, TaskRow};
use plasmon_protocol::stream::{Detail, Target};

use super::App;
use super::page::{self, task_label};
use super::route::{Page, Place, Route, short_id};
use super::subscribe::Slot;

/// Cells before a line, and behind it.
pub const INDENT: u16 = 2;

/// One line on the screen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Row {
    /// A part of a ring's sentence.
    Cycle(String),
    /// A part of a verdict.
    Verdict(String),
    /// A line of the explanation that is cut where it does not fit: a node, or what is left out.
    Line(Line),
}

/// The lines on a screen so wide. Sentences are folded between words; trees are cut.
#[must_use]
pub fn rows(explanation: &Explanation, width: u16, now_ms: u64) -> Vec<Row> {
    let room = usize::from(width.saturating_sub(2 * INDENT)).max(20);
    let mut rows = Vec::new();
    for line in explanation.lines() {
        match line {
            Line::Cycle(_) => rows.extend(folded(&line.text(explanation, now_ms), room).into_iter().map(Row::Cycle)),
            Line::Answer(_) => rows.extend(folded(&line.text(explanation, now_ms), room).into_iter().map(Row::Verdict)),
            line => rows.push(Row::Line(line)),
        }
    }
    rows
}

/// A text in lines of at most `room` characters, folded between words where that is possible.
pub(super) fn folded(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        while let Some(line) = lines.last_mut() {
            let used = line.chars().count();
            let space = usize::from(used > 0);
            if used + space + word.len() <= room {
                if space > 0 {
                    line.push(' ');
                }
                line.extend(&word);
                break;
            }
            if used == 0 {
                let rest = word.split_off(room);
                line.extend(&word);
                word = rest;
            }
            lines.push(String::new());
        }
    }
    lines
}

/// The nodes that can be selected: each line with one is a row of its own.
#[must_use]
pub fn keys(explanation: &Explanation) -> Vec<RowKey> {
    let mut seen = std::collections::HashMap::new();
    let nodes = explanation.lines().into_iter().filter_map(|line| match line {
        Line::Node { node, .. } => explanation.nodes.get(node),
        _ => None,
    });
    // A node may stand in several places.
    nodes
        .map(|node| {
            let times = seen.entry(std::sync::Arc::clone(&node.id)).and_modify(|times| *times += 1).or_insert(0_u32);
            format!("{times}-{}", node.id)
        })
        .collect()
}

/// The node in the selected row.
#[must_use]
pub fn node(explanation: &Explanation, cursor: u64) -> Option<&Node> {
    let nodes = explanation.lines().into_iter().filter_map(|line| match line {
        Line::Node { node, .. } => Some(node),
        _ => None,
    });
    let at = nodes.into_iter().nth(usize::try_from(cursor).ok()?)?;
    explanation.nodes.get(at)
}

/// The page about a node.
#[must_use]
pub fn route(node: &Node) -> Option<Route> {
    let label = page::first_word(&node.label).to_owned();
    Some(match node.opens.clone()? {
        Target::Task(id) => Route::Task { id, label },
        Target::Object(id) => Route::Object(id),
        Target::Actor(id) => Route::Actor { id, label },
        Target::Process(id) => Route::Process { id, label },
        Target::Site(_) | Target::SpillFile(_) | Target::Explain(_) | Target::Node | Target::Recording => return None,
    })
}

/// What asks about a node.
fn subject(node: &Node) -> Option<Subject> {
    Some(match node.opens.clone()? {
        Target::Task(id) => Subject::Task(id),
        Target::Object(id) => Subject::Object(id),
        Target::Actor(id) => Subject::Actor(id),
        Target::Process(id) => Subject::Process(id),
        Target::Site(_) | Target::SpillFile(_) | Target::Explain(_) | Target::Node | Target::Recording => return None,
    })
}

impl App {
    /// The explanation that this place shows, once it has come.
    #[must_use]
    pub fn explanation(&self) -> Option<&Explanation> {
        match self.detail(Slot::Main)? {
            Detail::Explain(explanation) => Some(explanation),
            _ => None,
        }
    }

    /// The page that says why what is selected, or what this page is about, waits; of a place about nothing that waits, all that does.
    pub(super) fn asking_why(&self) -> Option<Place> {
        let of = |subject, label: String| Some((subject, format!("why {label}")));
        let asked = match &self.place().route {
            Route::View(Page::Tasks) => match (self.selected::<ActorRow>(Slot::Main), self.selected::<TaskRow>(Slot::Main)) {
                (Some(row), _) => of(Subject::Actor(row.actor_id), task_label(&row.class)),
                (None, Some(row)) => of(Subject::Task(row.task_id), task_label(&row.name)),
                (None, None) => None,
            },
            Route::View(Page::Processes) => {
                let row = self.selected::<ProcessRow>(Slot::Main);
                row.and_then(|row| of(Subject::Process(row.process), format!("{} {}", row.process_type, row.pid)))
            }
            Route::View(Page::References) | Route::References { .. } => self.selected::<ReferenceRow>(Slot::Main).and_then(|row| {
                let label = short_id(&row.object_id.hex());
                match row.reference_type {
                    ReferenceType::ActorHandle => of(Subject::Actor(row.object_id.into()), label),
                    _ => of(Subject::Object(row.object_id), label),
                }
            }),
            Route::Object(id) => of(Subject::Object(*id), "it waits".to_owned()),
            Route::Task { id, .. } => of(Subject::Task(*id), "it waits".to_owned()),
            Route::Actor { id, .. } => of(Subject::Actor(*id), "it waits".to_owned()),
            Route::Process { id, .. } => of(Subject::Process(*id), "it waits".to_owned()),
            Route::Why { subject: shown, .. } => {
                let node = node(self.explanation()?, self.place().list.cursor)?;
                let subject = subject(node)?;
                let same = *shown == subject;
                return (!same).then(|| Place::new(Route::Why { subject, label: format!("why {}", page::first_word(&node.label)) }));
            }
            Route::View(_) | Route::Site { .. } | Route::File(_) => None,
        };
        let (subject, label) = asked.unwrap_or((Subject::Everything, "what waits".to_owned()));
        Some(Place::new(Route::Why { subject, label }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_folded_between_words() {
        assert_eq!(folded("one two three", 7), ["one two", "three"]);
        assert_eq!(folded("abcdefghij k", 4), ["abcd", "efgh", "ij k"]);
        assert_eq!(folded("", 4), [""]);
        assert!(folded("größe 日本 …", 4).iter().all(|line| line.chars().count() <= 4));
    }

    #[test]
    fn a_node_that_stands_twice_has_two_rows() {
        use plasmon_protocol::explain::{Answer, Edge};
        let node = |id: &str| Node { id: id.into(), label: id.to_owned(), ..Node::default() };
        let edge = |from: &str, to: &str| Edge { from: from.into(), to: to.into(), reason: "waits for".to_owned() };
        let explanation = Explanation {
            answers: vec![Answer { node: "a".into(), verdict: "a waits".to_owned(), ..Answer::default() }],
            nodes: vec![node("a"), node("b")],
            edges: vec![edge("a", "b"), edge("b", "a")],
            ..Explanation::default()
        };
        assert_eq!(keys(&explanation), ["0-a", "0-b", "1-a"]);
        assert_eq!(super::node(&explanation, 2).map(|node| &*node.id), Some("a"));
        assert_eq!(super::node(&explanation, 3), None);
        assert_eq!(rows(&explanation, 80, 0).len(), 4);
    }
}
