//! Several agents as one: what is asked for is asked of each, and what they answer is put together. Ids that are unique within one agent's
//! life alone are moved apart, so that rows of different agents have different keys; see [`crate::model::apart`].

use std::collections::{BTreeMap, VecDeque};

use futures_util::FutureExt;
use futures_util::future::select_all;
use plasmon_protocol::column::Table;
use plasmon_protocol::record::{NodeRow, StoreRow};
use plasmon_protocol::stream::{Body, Detail, Frame, GroupRow, MAX_WINDOW, Request, Rows, Target, Totals, View, Window};
use plasmon_protocol::window::Query;

use super::websocket::WebSocketLink;
use super::{Link, LinkEvent};
use crate::model::apart::{self, APART, agent_of};
use crate::model::{self, Applied, Model, Watched, window};

/// One of the agents.
#[derive(Debug)]
struct Agent {
    link: WebSocketLink,
    replica: Model,
    node: Option<NodeRow>,
    lost: bool,
}

/// What the dashboard wants.
#[derive(Clone, Debug)]
enum Want {
    View(View),
    Thing(Target),
}

/// The dashboard's end of several agents.
#[derive(Debug)]
pub struct ManyLink {
    agents: Vec<Agent>,
    wants: BTreeMap<u32, Want>,
    events: VecDeque<LinkEvent>,
    seq: u64,
}

impl ManyLink {
    /// Over connections that keep themselves, in the order in which they are shown.
    #[must_use]
    pub fn new(links: Vec<WebSocketLink>) -> Self {
        let agents = links.into_iter().map(|link| Agent { link, replica: Model::default(), node: None, lost: true }).collect();
        Self { agents, wants: BTreeMap::new(), events: VecDeque::new(), seq: 0 }
    }

    fn tell(&mut self, body: Body) {
        self.seq += 1;
        let at_ms = self.agents.iter().map(|agent| agent.replica.at_ms).max().unwrap_or(0);
        let missed = self.agents.iter().map(|agent| agent.replica.missed).sum();
        self.events.push_back(LinkEvent::Frame(Box::new(Frame { seq: self.seq, at_ms, missed, body })));
    }

    /// Asks one agent for what is wanted.
    fn ask(&mut self, number: usize, id: u32) {
        let Some(want) = self.wants.get(&id) else { return };
        let request = match want {
            Want::View(view) => Request::Subscribe { id, view: of_agent(view, number) },
            Want::Thing(target) => match apart::target(target, number) {
                Some(target) => Request::Watch { id, target },
                None => return,
            },
        };
        self.agents[number].link.send(request);
    }

    fn take(&mut self, number: usize, event: LinkEvent) {
        match event {
            LinkEvent::Connected(node) => {
                let agent = &mut self.agents[number];
                agent.replica.connected((*node).clone());
                (agent.node, agent.lost) = (Some(*node), false);
                let ids: Vec<u32> = self.wants.keys().copied().collect();
                ids.into_iter().for_each(|id| self.ask(number, id));
                self.changed();
            }
            LinkEvent::Lost { error, retry_ms } => {
                self.agents[number].lost = true;
                if self.agents.iter().all(|agent| agent.lost) {
                    self.events.push_back(LinkEvent::Lost { error, retry_ms });
                } else {
                    self.changed();
                }
            }
            LinkEvent::Frame(frame) => self.frame(number, *frame),
            LinkEvent::Nodes(_) => {}
        }
    }

    /// Tells who is there.
    fn changed(&mut self) {
        let nodes: Vec<(NodeRow, bool)> = self.agents.iter().filter_map(|agent| Some((agent.node.clone()?, agent.lost))).collect();
        // The dashboard knows one node; more stand beside it.
        if let Some((first, _)) = nodes.first().filter(|_| nodes.len() == self.agents.len()) {
            let first = Box::new(first.clone());
            self.events.push_back(LinkEvent::Nodes(nodes));
            self.seq = 0;
            self.events.push_back(LinkEvent::Connected(first));
        }
    }

    fn frame(&mut self, number: usize, frame: Frame) {
        let id = match &frame.body {
            Body::Snapshot { id, .. } | Body::Delta { id, .. } | Body::Detail { id, .. } => Some(*id),
            Body::Hello { .. } | Body::Report { .. } | Body::Error { .. } => None,
        };
        let seq = frame.seq;
        let wants = &self.wants;
        let applied = self.agents[number].replica.apply(frame, |id| wants.contains_key(&id));
        // What comes is put together at once: the next may be sent.
        self.agents[number].link.send(Request::Ack { seq });
        match applied {
            Applied::Done | Applied::Answered(_) => id.into_iter().for_each(|id| self.show(id)),
            Applied::Misfit(id) => self.ask(number, id),
            Applied::Gap => {
                let ids: Vec<u32> = self.wants.keys().copied().collect();
                ids.into_iter().for_each(|id| self.ask(number, id));
            }
            Applied::Refused(refusal) => {
                self.tell(Body::Error { id: refusal.id, code: "refused".to_owned(), message: refusal.message, hint: refusal.hint });
            }
        }
    }

    /// Tells what all of them have of a subscription.
    fn show(&mut self, id: u32) {
        let body = match self.wants.get(&id) {
            Some(Want::View(view)) => {
                let now_ms = self.agents.iter().map(|agent| agent.replica.at_ms).max().unwrap_or(0);
                let windows = self.agents.iter().enumerate().filter_map(|(number, agent)| Some((number, agent.replica.windows.get(&id)?)));
                merged(windows, id, view, now_ms)
            }
            Some(Want::Thing(_)) => Some(Body::Detail { id, detail: self.detail(id).map(Box::new) }),
            None => None,
        };
        if let Some(body) = body {
            self.tell(body);
        }
    }

    fn detail(&self, id: u32) -> Option<Detail> {
        let mut found: Option<Detail> = None;
        for (number, agent) in self.agents.iter().enumerate() {
            let Some(Watched::Here(detail)) = agent.replica.details.get(&id) else { continue };
            let detail = apart::moved(&**detail, number);
            found = match (found, detail) {
                (None, detail) => Some(named(detail, agent.node.as_ref())),
                (Some(Detail::Node(mut all)), Detail::Node(one)) => {
                    if let Detail::Node(one) = named(Detail::Node(one), agent.node.as_ref()) {
                        all.checks.extend(one.checks);
                        all.capacity_bytes += one.capacity_bytes;
                        all.spill_places.extend(one.spill_places);
                        all.checks.sort_by_key(|check| std::cmp::Reverse(check.severity));
                    }
                    Some(Detail::Node(all))
                }
                // Who waits is told by the one where somebody does.
                (Some(Detail::Explain(first)), Detail::Explain(other)) if first.answers.is_empty() => Some(Detail::Explain(other)),
                (found, _) => found,
            };
        }
        found
    }
}

/// What is shown of the windows that agents have of a view, each with its agent's number.
fn merged<'a>(windows: impl Iterator<Item = (usize, &'a model::Window)>, id: u32, view: &View, now_ms: u64) -> Option<Body> {
    let (mut totals, mut rows, mut here) = (Totals::default(), None::<Rows>, 0);
    for (number, window) in windows {
        add(&mut totals, &window.totals);
        here += reach(window);
        let more = apart::moved(&window.rows, number);
        match &mut rows {
            None => rows = Some(more),
            Some(rows) => window::append(rows, more),
        }
    }
    // The totals are of all rows; those that no window can be moved to are told apart.
    totals.cut = totals.matched.saturating_sub(here);
    let (start, rows) = match rows? {
        Rows::Store(stores) => (0, Rows::Store(vec![sum(&stores)?])),
        Rows::Groups(groups) => {
            let groups = folded(groups, view);
            (totals.groups, totals.cut) = (groups.len() as u64, 0);
            let start = view.window.start.min((groups.len() as u64).saturating_sub(view.window.len.into()));
            (start, Rows::Groups(groups.into_iter().skip(start as usize).take(view.window.len as usize).collect()))
        }
        rows => {
            // They passed the filter where they are; here they are put in order.
            let order = View { filter: String::new(), columns: Vec::new(), ..view.clone() };
            let shown = Query::prepare(order).ok()?.window(&rows, now_ms);
            (shown.start, shown.rows)
        }
    };
    Some(Body::Snapshot { id, totals, start, rows })
}

/// How many rows one agent's part of a merged window can come to: it begins with the first, and has no more than a window may have, or a
/// frame holds.
fn reach(window: &model::Window) -> u64 {
    if window.totals.cut > 0 { window.keys.len() as u64 } else { window.totals.matched.min(MAX_WINDOW.into()) }
}

/// The checks of a machine are told with the node that they are of.
fn named(detail: Detail, node: Option<&NodeRow>) -> Detail {
    match (detail, node) {
        (Detail::Node(mut detail), Some(node)) => {
            for check in &mut detail.checks {
                check.subject = format!("{} {}", node.node.short(), check.subject);
            }
            Detail::Node(detail)
        }
        (detail, _) => detail,
    }
}

/// What one agent is asked for, so that the merged window is whole: all rows up to its end, and all groups, for one agent's largest may be
/// another's smallest.
fn of_agent(view: &View, number: usize) -> View {
    let rows = view.window.start.saturating_add(view.window.len.into()).min(MAX_WINDOW.into());
    let end = if view.group.is_some() { MAX_WINDOW.into() } else { rows };
    let mut view = View { window: Window { start: 0, len: u32::try_from(end).unwrap_or(MAX_WINDOW) }, ..view.clone() };
    if view.table == Table::SpillFiles
        && let Some(file) = view.filter.strip_prefix("file=").and_then(|file| file.parse::<u32>().ok())
    {
        // The number that no file has is another agent's.
        let own = if agent_of(file) == number { file % APART } else { u32::MAX };
        view.filter = format!("file={own}");
    }
    view
}

fn add(sum: &mut Totals, more: &Totals) {
    sum.rows += more.rows;
    sum.matched += more.matched;
    sum.bytes += more.bytes;
    sum.unique.references += more.unique.references;
    sum.unique.unique_objects += more.unique.unique_objects;
    sum.unique.unique_bytes += more.unique.unique_bytes;
}

/// Groups of one key are one group; the heaviest first, or as the view asks.
fn folded(groups: Vec<GroupRow>, view: &View) -> Vec<GroupRow> {
    let mut all: Vec<GroupRow> = Vec::new();
    for group in groups {
        let Some(same) = all.iter_mut().find(|known| known.key == group.key) else {
            all.push(group);
            continue;
        };
        same.rows += group.rows;
        same.bytes += group.bytes;
        same.unique.references += group.unique.references;
        same.unique.unique_objects += group.unique.unique_objects;
        same.unique.unique_bytes += group.unique.unique_bytes;
        same.by_type.iter_mut().zip(group.by_type).for_each(|(sum, more)| *sum += more);
    }
    let ascending = view.sort.as_ref().is_some_and(|sort| sort.ascending);
    all.sort_by(|one, other| (other.bytes, other.rows).cmp(&(one.bytes, one.rows)).then_with(|| one.key.cmp(&other.key)));
    if ascending {
        all.reverse();
    }
    all
}

/// All stores as one: bytes and counts add up, the oldest start counts, of shares the largest.
fn sum(stores: &[StoreRow]) -> Option<StoreRow> {
    let mut values = stores.iter().filter_map(|store| serde_json::to_value(store).ok());
    let mut sum = values.next()?;
    values.for_each(|more| apart::add("", &mut sum, more));
    serde_json::from_value(sum).ok()
}

impl Link for ManyLink {
    fn send(&mut self, request: Request) {
        match request {
            Request::Subscribe { id, view } => {
                self.wants.insert(id, Want::View(view));
                (0..self.agents.len()).for_each(|number| self.ask(number, id));
            }
            Request::Watch { id, target } => {
                self.wants.insert(id, Want::Thing(target));
                (0..self.agents.len()).for_each(|number| self.ask(number, id));
            }
            Request::Unsubscribe { id } => {
                self.wants.remove(&id);
                for agent in &mut self.agents {
                    agent.replica.forget(id);
                    agent.link.send(Request::Unsubscribe { id });
                }
            }
            // Each agent is told when its frames are taken in.
            Request::Ack { .. } | Request::Hello { .. } | Request::Report { .. } => {}
        }
    }

    async fn next(&mut self) -> Option<LinkEvent> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            // Waiting on a channel loses nothing when it is dropped.
            let waiting = self.agents.iter_mut().map(|agent| agent.link.next().boxed_local());
            let (event, number, _) = select_all(waiting).await;
            self.take(number, event?);
        }
    }

    fn ready(&mut self) -> Option<LinkEvent> {
        for number in 0..self.agents.len() {
            if let Some(event) = self.agents[number].link.ready() {
                self.take(number, event);
            }
        }
        self.events.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use plasmon_protocol::id::ProcessId;
    use plasmon_protocol::record::ProcessRow;
    use plasmon_protocol::stream::Sort;

    use super::*;

    /// What an agent with so many processes answers to its part of a view.
    fn answer(view: &View, number: usize, processes: u32) -> model::Window {
        let row = |id| ProcessRow { process: ProcessId(id), pid: id, heap_bytes: u64::from(processes - id), ..ProcessRow::default() };
        let query = Query::prepare(of_agent(view, number)).unwrap();
        let shown = query.window(&Rows::Processes((0..processes).map(row).collect()), 0);
        model::Window::new(shown.totals, shown.start, shown.rows)
    }

    #[test]
    fn of_long_tables_the_first_rows_of_each_agent_can_be_reached_and_the_totals_tell_all() {
        let sort = Some(Sort { column: "heap".to_owned(), ascending: false });
        for (start, expected) in [(0, 0), (400, 400), (460, 460), (5_000, 480)] {
            let view = View { sort: sort.clone(), window: Window { start, len: 40 }, ..View::of(Table::Processes) };
            let windows = [answer(&view, 0, 900), answer(&view, 1, 20)];
            let Some(Body::Snapshot { totals, start, rows, .. }) = merged(windows.iter().enumerate(), 1, &view, 0) else { panic!() };
            assert_eq!((totals.rows, totals.matched, totals.cut), (920, 920, 400));
            assert_eq!((start, window::len(&rows)), (expected, 40), "no row is missing");
        }
    }

    #[test]
    fn of_short_tables_nothing_is_out_of_reach() {
        let view = View { window: Window { start: 0, len: 40 }, ..View::of(Table::Processes) };
        let windows = [answer(&view, 0, 300), answer(&view, 1, 500)];
        let Some(Body::Snapshot { totals, .. }) = merged(windows.iter().enumerate(), 1, &view, 0) else { panic!() };
        assert_eq!((totals.matched, totals.cut), (800, 0));
    }

    #[test]
    fn rows_that_no_frame_holds_are_out_of_reach() {
        let view = View { window: Window { start: 0, len: 400 }, ..View::of(Table::Processes) };
        let mut large = answer(&view, 0, 450);
        large.totals.cut = 250;
        large.keys.truncate(150);
        if let Rows::Processes(rows) = &mut large.rows {
            rows.truncate(150);
        }
        let windows = [large, answer(&view, 1, 30)];
        let Some(Body::Snapshot { totals, rows, .. }) = merged(windows.iter().enumerate(), 1, &view, 0) else { panic!() };
        assert_eq!((totals.matched, totals.cut, window::len(&rows)), (480, 300, 180), "of one its 150, of the other all");
    }

    #[test]
    fn of_groups_each_agent_is_asked_for_all() {
        let view = View { group: Some("type".to_owned()), window: Window { start: 0, len: 40 }, ..View::of(Table::References) };
        assert_eq!(of_agent(&view, 1).window, Window { start: 0, len: MAX_WINDOW });
    }
}
