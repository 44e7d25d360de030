//! Several agents as one: what is asked for is asked of each, and what they answer is put together. Ids that are unique within one agent's
//! life alone are moved apart, so that rows of different agents have different keys; see [`crate::model::apart`]. Of long tables each agent
//! has a window read that slides with what is looked at; see [`crate::model::sliding`]. Groups can only be put in order when all of them are
//! here, for one agent's largest may be another's smallest: of those as many are read as a viewer may have, and what is left out is told.

use std::collections::{BTreeMap, HashSet, VecDeque};

use futures_util::FutureExt;
use futures_util::future::select_all;
use plasmon_protocol::column::Table;
use plasmon_protocol::record::{NodeRow, StoreRow};
use plasmon_protocol::stream::{Body, Detail, Frame, GroupRow, MAX_WINDOW, Request, Rows, Target, Totals, View, Window};
use plasmon_protocol::window::Query;

use super::websocket::WebSocketLink;
use super::{Link, LinkEvent};
use crate::model::apart::{self, APART, agent_of};
use crate::model::sliding::{Part, Picture, Sliding};
use crate::model::window::Tabled;
use crate::model::{Applied, Model, Watched};

/// Views that were left of which it is known where their windows were.
const LEFT: usize = 16;
/// Windows of groups that are read of each agent: with what else a dashboard asks for, a viewer may have no more rows.
const WINDOWS: u32 = 4;

/// One of the agents.
#[derive(Debug)]
struct Agent {
    link: WebSocketLink,
    replica: Model,
    /// The rows of the replica's windows with their ids moved apart.
    rows: BTreeMap<u32, Rows>,
    /// Windows that it was asked for, of groups that don't fit one.
    windows: BTreeMap<u32, u32>,
    node: Option<NodeRow>,
    lost: bool,
}

/// What the dashboard wants.
#[derive(Clone, Debug)]
enum Want {
    View(View, Sliding),
    Thing(Target),
}

/// Something that is wanted.
#[derive(Clone, Debug)]
struct Wanted {
    /// The dashboard's number for it.
    id: u32,
    want: Want,
    /// Agents that do not serve it.
    refused: Vec<usize>,
}

/// The dashboard's end of several agents.
#[derive(Debug)]
pub struct ManyLink {
    agents: Vec<Agent>,
    /// By a number that stays when the dashboard looks at other rows of the same view; agents know the windows of it by [`window_id`].
    wants: BTreeMap<u32, Wanted>,
    last: u32,
    /// Ended just now; what is asked for next may be of the same view.
    parted: BTreeMap<u32, Wanted>,
    left: VecDeque<(View, Sliding)>,
    events: VecDeque<LinkEvent>,
    seq: u64,
}

/// What agents know a window of what is wanted by.
fn window_id(number: u32, window: u32) -> u32 {
    number * WINDOWS + window
}

impl Agent {
    /// Windows of what is wanted that it was asked for.
    fn asked(&self, number: u32) -> impl Iterator<Item = u32> + use<> {
        let windows = self.windows.get(&number).copied().unwrap_or(1);
        (0..windows).map(move |window| window_id(number, window))
    }

    /// Its totals, the groups that are here of its, each once: windows of different instants may have one twice. And how many it has beside
    /// them.
    fn groups(&self, number: u32) -> Option<(Totals, Vec<GroupRow>, u64)> {
        let first = self.replica.windows.get(&window_id(number, 0))?;
        let (mut all, mut seen) = (Vec::new(), HashSet::new());
        for id in self.asked(number) {
            let groups = self.replica.windows.get(&id).and_then(|window| window.of::<GroupRow>()).unwrap_or_default();
            all.extend(groups.iter().filter(|group| seen.insert(group.key.as_str())).cloned());
        }
        let left_out = first.totals.groups.saturating_sub(all.len() as u64);
        Some((first.totals, all, left_out))
    }

    /// Whether every window of its that it was asked for is here.
    fn has_all(&self, number: u32) -> bool {
        self.asked(number).all(|id| self.replica.windows.contains_key(&id))
    }
}

impl ManyLink {
    /// Over connections that keep themselves, in the order in which they are shown.
    #[must_use]
    pub fn new(links: Vec<WebSocketLink>) -> Self {
        let agent =
            |link| Agent { link, replica: Model::default(), rows: BTreeMap::new(), windows: BTreeMap::new(), node: None, lost: true };
        Self {
            agents: links.into_iter().map(agent).collect(),
            wants: BTreeMap::new(),
            last: 0,
            parted: BTreeMap::new(),
            left: VecDeque::new(),
            events: VecDeque::new(),
            seq: 0,
        }
    }

    fn tell(&mut self, body: Body) {
        self.seq += 1;
        let at_ms = self.agents.iter().map(|agent| agent.replica.at_ms).max().unwrap_or(0);
        let missed = self.agents.iter().map(|agent| agent.replica.missed).sum();
        self.events.push_back(LinkEvent::Frame(Box::new(Frame { seq: self.seq, at_ms, missed, body })));
    }

    /// Asks one agent for what is wanted.
    fn ask(&mut self, number: usize, id: u32) {
        let Some(wanted) = self.wants.get_mut(&id) else { return };
        wanted.refused.retain(|refused| *refused != number);
        let agent = &mut self.agents[number];
        match &wanted.want {
            Want::View(view, sliding) => {
                for (window, id) in (0..).zip(agent.asked(id)) {
                    agent.link.send(Request::Subscribe { id, view: of_agent(view, sliding, number, window) });
                }
            }
            Want::Thing(target) => {
                if let Some(target) = apart::target(target, number) {
                    agent.link.send(Request::Watch { id: window_id(id, 0), target });
                }
            }
        }
    }

    /// Asks an agent for more windows when its groups don't fit those that it was asked for.
    fn ask_on(&mut self, number: usize, id: u32) {
        let Some(Wanted { want: Want::View(view, sliding), .. }) = self.wants.get(&id) else { return };
        let agent = &mut self.agents[number];
        let first = agent.replica.windows.get(&window_id(id, 0));
        let Some(groups) = first.filter(|_| view.group.is_some()).map(|window| window.totals.groups) else { return };
        let needed = u32::try_from(groups.div_ceil(MAX_WINDOW.into())).unwrap_or(WINDOWS).min(WINDOWS);
        let asked = agent.windows.entry(id).or_insert(1);
        for window in *asked..needed {
            agent.link.send(Request::Subscribe { id: window_id(id, window), view: of_agent(view, sliding, number, window) });
        }
        *asked = needed.max(*asked);
    }

    fn take(&mut self, number: usize, event: LinkEvent) {
        match event {
            LinkEvent::Connected(node) => {
                let agent = &mut self.agents[number];
                agent.replica.connected((*node).clone());
                agent.rows.retain(|id, _| agent.replica.windows.contains_key(id));
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
                    // What it has not sent nobody can wait for.
                    let views = self.wants.iter().filter(|(_, wanted)| matches!(wanted.want, Want::View(..)));
                    let ids: Vec<u32> = views.map(|(id, _)| *id).collect();
                    ids.into_iter().for_each(|id| self.show(id));
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
        let agent = &mut self.agents[number];
        let applied = agent.replica.apply(frame, |id| wants.contains_key(&(id / WINDOWS)));
        // Groups have no ids to move.
        if let Some((id, window)) = id.and_then(|id| Some((id, agent.replica.windows.get(&id)?)))
            && !matches!(window.rows, Rows::Groups(_))
        {
            agent.rows.insert(id, apart::moved(&window.rows, number));
        }
        // What comes is put together at once: the next may be sent.
        agent.link.send(Request::Ack { seq });
        match applied {
            Applied::Done | Applied::Answered(_) => {
                if let Some(id) = id.map(|id| id / WINDOWS) {
                    self.ask_on(number, id);
                    self.show(id);
                }
            }
            Applied::Misfit(id) => self.ask(number, id / WINDOWS),
            Applied::Gap => {
                let ids: Vec<u32> = self.wants.keys().copied().collect();
                ids.into_iter().for_each(|id| self.ask(number, id));
            }
            Applied::Refused(refusal) => {
                let refused = refusal.id.map(|id| id / WINDOWS);
                let wanted = refused.and_then(|id| self.wants.get_mut(&id));
                let id = wanted.map(|wanted| {
                    wanted.refused.push(number);
                    wanted.id
                });
                self.tell(Body::Error { id, code: "refused".to_owned(), message: refusal.message, hint: refusal.hint });
                // The others need not wait for it any more.
                refused.filter(|_| id.is_some()).into_iter().for_each(|id| self.show(id));
            }
        }
    }

    /// Tells what all of them have of a subscription, and asks for what is missing.
    fn show(&mut self, id: u32) {
        let Some(wanted) = self.wants.get_mut(&id) else { return };
        let (number, refused) = (wanted.id, &wanted.refused);
        let is_live = |agent: usize, of: &Agent| !of.lost && !refused.contains(&agent);
        let all = self.agents.iter().enumerate().all(|(agent, of)| !is_live(agent, of) || of.has_all(id));
        let body = match &mut wanted.want {
            Want::View(view, _) if view.group.is_some() => {
                // A part of the groups looks like all of them, so nothing is told before all are here.
                let parts: Vec<_> = self.agents.iter().filter(|_| all).filter_map(|agent| agent.groups(id)).collect();
                (!parts.is_empty()).then(|| grouped(parts, number, view))
            }
            Want::View(view, sliding) => {
                let parts = self.agents.iter().enumerate().filter_map(|(agent, of)| {
                    let (window, rows) = (of.replica.windows.get(&window_id(id, 0))?, of.rows.get(&window_id(id, 0))?);
                    Some(Part { agent, is_live: is_live(agent, of), window, rows })
                });
                let parts: Vec<Part<'_>> = parts.collect();
                let before = sliding.clone();
                let body = merged(&parts, number, view, sliding, all);
                let moved: Vec<usize> = (0..self.agents.len()).filter(|agent| before.asked(*agent) != sliding.asked(*agent)).collect();
                moved.into_iter().for_each(|agent| self.ask(agent, id));
                body
            }
            Want::Thing(_) => Some(Body::Detail { id: number, detail: self.detail(id).map(Box::new) }),
        };
        if let Some(body) = body {
            self.tell(body);
        }
    }

    /// The number that agents know something by.
    fn number(&self, id: u32) -> Option<u32> {
        self.wants.iter().find(|(_, wanted)| wanted.id == id).map(|(number, _)| *number)
    }

    fn want(&mut self, id: u32, want: Want) {
        self.last += 1;
        let number = self.last;
        self.wants.insert(number, Wanted { id, want, refused: Vec::new() });
        (0..self.agents.len()).for_each(|agent| self.ask(agent, number));
    }

    /// Takes on a view, with what is here of it if another part of it was looked at until now.
    fn look(&mut self, id: u32, view: View) {
        let is_known = |known: &View| View { window: view.window, ..known.clone() } == view;
        let same = |wanted: &Wanted| wanted.refused.is_empty() && matches!(&wanted.want, Want::View(known, _) if is_known(known));
        let parted = self.parted.iter().find(|(_, wanted)| same(wanted));
        if let Some((number, mut wanted)) = parted.map(|(number, _)| *number).and_then(|number| self.parted.remove_entry(&number)) {
            wanted.id = id;
            if let Want::View(known, _) = &mut wanted.want {
                *known = view;
            }
            self.wants.insert(number, wanted);
            return self.show(number);
        }
        let left = self.left.iter().position(|(known, _)| is_known(known)).and_then(|at| self.left.remove(at));
        let sliding = match left {
            Some((_, mut sliding)) => {
                sliding.top(&view);
                sliding
            }
            None => Sliding::new(self.agents.len(), &view),
        };
        self.want(id, Want::View(view, sliding));
    }

    /// Ends what nobody took on.
    fn part(&mut self) {
        for (number, wanted) in std::mem::take(&mut self.parted) {
            for agent in &mut self.agents {
                for id in agent.asked(number) {
                    agent.replica.forget(id);
                    agent.rows.remove(&id);
                    agent.link.send(Request::Unsubscribe { id });
                }
                agent.windows.remove(&number);
            }
            if let Want::View(view, sliding) = wanted.want {
                self.left.push_back((view, sliding));
                self.left.drain(..self.left.len().saturating_sub(LEFT));
            }
        }
    }

    fn detail(&self, id: u32) -> Option<Detail> {
        let mut found: Option<Detail> = None;
        for (number, agent) in self.agents.iter().enumerate() {
            let Some(Watched::Here(detail)) = agent.replica.details.get(&window_id(id, 0)) else { continue };
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

/// What is shown of what agents have of a view, if it is here; what the agents are to be asked for next is in `sliding` then.
fn merged(parts: &[Part<'_>], id: u32, view: &View, sliding: &mut Sliding, all: bool) -> Option<Body> {
    let mut totals = Totals::default();
    for part in parts {
        add(&mut totals, &part.window.totals);
        totals.matched -= part.left_out();
        totals.cut += part.left_out();
    }
    let (start, rows) = match parts.first()?.rows {
        Rows::Store(_) => {
            let stores: Vec<StoreRow> = parts.iter().filter_map(|part| StoreRow::of(part.rows)).flatten().cloned().collect();
            (0, Rows::Store(vec![sum(&stores)?]))
        }
        _ => {
            // They passed the filter where they are; here they are put in order.
            let query = Query::prepare(View { filter: String::new(), columns: Vec::new(), ..view.clone() }).ok()?;
            let Picture { start, rows } = sliding.slide(view, &query, parts, all)?;
            (start, rows)
        }
    };
    Some(Body::Snapshot { id, totals, start, rows })
}

/// The groups of all agents as one table, of each with the totals of its own.
fn grouped(parts: Vec<(Totals, Vec<GroupRow>, u64)>, id: u32, view: &View) -> Body {
    let (mut totals, mut all) = (Totals::default(), Vec::new());
    for (of, groups, left_out) in parts {
        add(&mut totals, &of);
        totals.cut += left_out;
        all.extend(groups);
    }
    let groups = folded(all, view);
    totals.groups = groups.len() as u64;
    let start = view.window.start.min(totals.groups.saturating_sub(view.window.len.into()));
    let rows = Rows::Groups(groups.into_iter().skip(start as usize).take(view.window.len as usize).collect());
    Body::Snapshot { id, totals, start, rows }
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

/// What one agent is asked for, so that the merged window is whole: the rows around it; of groups, one window after the other.
fn of_agent(view: &View, sliding: &Sliding, number: usize, window: u32) -> View {
    let groups = Window { start: u64::from(window) * u64::from(MAX_WINDOW), len: MAX_WINDOW };
    let window = if view.group.is_some() { groups } else { sliding.asked(number) };
    let mut view = View { window, ..view.clone() };
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

/// Groups of one key are one group; in the order that the view asks for.
fn folded(groups: Vec<GroupRow>, view: &View) -> Vec<GroupRow> {
    let mut all: BTreeMap<String, GroupRow> = BTreeMap::new();
    for group in groups {
        let Some(same) = all.get_mut(&group.key) else {
            all.insert(group.key.clone(), group);
            continue;
        };
        same.rows += group.rows;
        same.bytes += group.bytes;
        same.unique.references += group.unique.references;
        same.unique.unique_objects += group.unique.unique_objects;
        same.unique.unique_bytes += group.unique.unique_bytes;
        same.by_type.iter_mut().zip(group.by_type).for_each(|(sum, more)| *sum += more);
    }
    let mut all: Vec<GroupRow> = all.into_values().collect();
    // They were made by the same order.
    if let Ok(query) = Query::prepare(view.clone()) {
        query.sort_groups(&mut all);
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
            Request::Subscribe { id, view } => match self.number(id) {
                // The same again: what is here may not be what it was.
                Some(number) => (0..self.agents.len()).for_each(|agent| self.ask(agent, number)),
                None => self.look(id, view),
            },
            Request::Watch { id, target } => match self.number(id) {
                Some(number) => (0..self.agents.len()).for_each(|agent| self.ask(agent, number)),
                None => self.want(id, Want::Thing(target)),
            },
            Request::Unsubscribe { id } => {
                if let Some((number, wanted)) = self.number(id).and_then(|number| self.wants.remove_entry(&number)) {
                    self.parted.insert(number, wanted);
                }
            }
            // Each agent is told when its frames are taken in.
            Request::Ack { .. } | Request::Hello { .. } | Request::Report { .. } => {}
        }
    }

    async fn next(&mut self) -> Option<LinkEvent> {
        self.part();
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
        self.part();
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
    fn answer(view: &View, sliding: &Sliding, number: usize, processes: u32) -> crate::model::Window {
        let row = |id| ProcessRow { process: ProcessId(id), pid: id, heap_bytes: u64::from(processes - id), ..ProcessRow::default() };
        let query = Query::prepare(of_agent(view, sliding, number, 0)).unwrap();
        let shown = query.window(&Rows::Processes((0..processes).map(row).collect()), 0);
        crate::model::Window::new(shown.totals, shown.start, shown.rows)
    }

    #[test]
    fn of_long_tables_every_row_can_be_reached_and_the_totals_tell_all() {
        let sort = Some(Sort { column: "heap".to_owned(), ascending: false });
        for (start, expected) in [(0, 0), (400, 400), (460, 460), (5_000, 880)] {
            let view = View { sort: sort.clone(), window: Window { start, len: 40 }, ..View::of(Table::Processes) };
            let mut sliding = Sliding::new(2, &view);
            let body = (0..10).find_map(|_| {
                let windows = [answer(&view, &sliding, 0, 900), answer(&view, &sliding, 1, 20)];
                let rows: Vec<Rows> = windows.iter().enumerate().map(|(number, window)| apart::moved(&window.rows, number)).collect();
                let part = |(agent, window)| Part { agent, is_live: true, window, rows: &rows[agent] };
                merged(&windows.iter().enumerate().map(part).collect::<Vec<_>>(), 1, &view, &mut sliding, true)
            });
            let Some(Body::Snapshot { id: 1, totals, start, rows }) = body else { panic!() };
            assert_eq!((totals.rows, totals.matched, totals.cut), (920, 920, 0));
            assert_eq!((start, crate::model::window::len(&rows)), (expected, 40), "no row is missing");
        }
    }

    /// Two agents as one, each with its link's other end.
    fn two() -> (ManyLink, [Requests; 2]) {
        let (links, ends): (Vec<_>, Vec<_>) = (0..2).map(|_| WebSocketLink::apart()).unzip();
        let mut many = ManyLink::new(links);
        for number in 0..2 {
            let node = NodeRow { node: plasmon_protocol::id::NodeId([number as u8 + 1; 8]), ..NodeRow::default() };
            many.take(number, LinkEvent::Connected(Box::new(node)));
        }
        many.events.clear();
        (many, ends.try_into().ok().unwrap())
    }

    type Requests = tokio::sync::mpsc::UnboundedReceiver<Request>;

    /// What an agent was asked for.
    fn asked(requests: &mut Requests) -> Vec<(u32, u64)> {
        std::iter::from_fn(|| requests.try_recv().ok())
            .filter_map(|request| match request {
                Request::Subscribe { id, view } => Some((id, view.window.start)),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn groups_are_told_when_those_of_all_agents_are_here() {
        let (mut many, [mut first, mut second]) = two();
        many.send(Request::Subscribe { id: 5, view: View { group: Some("type".to_owned()), ..View::of(Table::References) } });
        let (first_asked, second_asked) = (asked(&mut first)[0], asked(&mut second)[0]);
        let mut seq = [0, 0];
        // An agent with so many groups answers for one of its windows.
        let mut answer = |many: &mut ManyLink, number: usize, (id, start): (u32, u64), groups: u64| {
            seq[number] += 1;
            let rows = (start..groups.min(start + u64::from(MAX_WINDOW))).map(|key| group(key as u32, 1)).collect();
            let totals = Totals { rows: groups, matched: groups, groups, ..Totals::default() };
            let body = Body::Snapshot { id, totals, start, rows: Rows::Groups(rows) };
            many.take(number, LinkEvent::Frame(Box::new(Frame { seq: seq[number], at_ms: 1, missed: 0, body })));
            let told: Vec<(u64, u64)> = std::iter::from_fn(|| many.events.pop_front())
                .filter_map(|event| match event {
                    LinkEvent::Frame(frame) => match frame.body {
                        Body::Snapshot { id: 5, totals, .. } => Some((totals.groups, totals.cut)),
                        _ => None,
                    },
                    _ => None,
                })
                .collect();
            told
        };
        assert_eq!(answer(&mut many, 0, first_asked, 3), [], "the other's may be other ones");
        assert_eq!(answer(&mut many, 1, second_asked, 1_200), [], "that is not all of them");
        let [one, two] = asked(&mut second)[..] else { panic!() };
        assert_eq!((one.1, two.1), (500, 1_000));
        assert_eq!(answer(&mut many, 1, one, 1_200), []);
        assert_eq!(answer(&mut many, 1, two, 1_200), [(1_200, 0)]);
        // One that goes is not waited for.
        many.send(Request::Subscribe { id: 6, view: View { group: Some("created".to_owned()), ..View::of(Table::References) } });
        let id = asked(&mut first).pop().unwrap();
        answer(&mut many, 0, id, 3);
        assert!(many.events.is_empty());
        many.take(1, LinkEvent::Lost { error: super::super::LinkError::Ended { url: String::new(), cause: String::new() }, retry_ms: 1 });
        let is_six = |event: &LinkEvent| matches!(event, LinkEvent::Frame(frame) if matches!(frame.body, Body::Snapshot { id: 6, .. }));
        assert!(many.events.iter().any(is_six), "{:?}", many.events);
    }

    fn group(key: u32, bytes: u64) -> GroupRow {
        GroupRow { key: key.to_string(), rows: 1, bytes, ..GroupRow::default() }
    }

    #[test]
    fn of_groups_each_agent_is_asked_for_all() {
        let view = View { group: Some("type".to_owned()), window: Window { start: 0, len: 40 }, ..View::of(Table::References) };
        let asked = |window| of_agent(&view, &Sliding::new(2, &view), 1, window).window;
        assert_eq!(asked(0), Window { start: 0, len: MAX_WINDOW });
        assert_eq!(asked(3), Window { start: 3 * u64::from(MAX_WINDOW), len: MAX_WINDOW });
    }

    #[test]
    fn groups_of_all_agents_are_one_table_in_the_order_that_is_asked_for() {
        let of = |column: &str, start| {
            let sort = Some(Sort { column: column.to_owned(), ascending: false });
            View { group: Some("created".into()), sort, window: Window { start, len: 2 }, ..View::of(Table::References) }
        };
        // The other agent has more groups than are read of it.
        let parts = || {
            let totals = |groups| Totals { rows: groups, matched: groups, groups, ..Totals::default() };
            vec![(totals(3), vec![group(1, 10), group(2, 30), group(3, 20)], 0), (totals(9), vec![group(1, 50), group(9, 40)], 7)]
        };
        let keys = |column: &str, start| {
            let Body::Snapshot { id: 4, totals, rows: Rows::Groups(rows), .. } = grouped(parts(), 4, &of(column, start)) else { panic!() };
            assert_eq!((totals.groups, totals.cut, totals.matched), (4, 7, 12));
            rows.into_iter().map(|row| (row.key, row.bytes)).collect::<Vec<_>>()
        };
        let told = |rows: [(&str, u64); 2]| rows.map(|(key, bytes)| (key.to_owned(), bytes)).to_vec();
        assert_eq!(keys("bytes", 0), told([("1", 60), ("9", 40)]));
        assert_eq!(keys("bytes", 9), told([("2", 30), ("3", 20)]));
        assert_eq!(keys("key", 0), told([("9", 40), ("3", 20)]));
        assert_eq!(keys("rows", 0)[0], ("1".to_owned(), 60));
    }
}
