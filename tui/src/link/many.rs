//! Several agents as one: what is asked for is asked of each, and what they answer is put together. Ids that are unique within one agent's
//! life alone are moved apart, so that rows of different agents have different keys; see [`crate::model::apart`]. Of long tables each agent
//! has a window read that slides with what is looked at; see [`crate::model::sliding`]. Groups can only be put in order when all of them are
//! here, for one agent's largest may be another's smallest: the largest are followed, and where that is not all the rest is read in
//! [`pages`], by [`walk`]. [`merge`] is how answers become one, [`agent`] each of the agents.

mod agent;
mod merge;
mod pages;
mod things;
mod walk;

use std::collections::{BTreeMap, VecDeque};

use futures_util::FutureExt;
use futures_util::future::select_all;
use plasmon_protocol::column::Table;
use plasmon_protocol::record::NodeRow;
use plasmon_protocol::stream::{Body, Frame, Request, Rows, Target, View};
use tokio::time::{Instant, sleep_until};

use super::websocket::WebSocketLink;
use super::{Link, LinkEvent};
use crate::model::alert::{alarms, alert};
use crate::model::apart;
use crate::model::sliding::{Part, Sliding};
use crate::model::{Applied, Merged};

use agent::{Agent, NUMBERS, WINDOWS, window_id};
use merge::{grouped, merged, of_agent, told_by};
use pages::Pages;

/// Views that were left of which it is known where their windows were.
const LEFT: usize = 16;

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
    /// What was told of it beside its rows.
    told: Merged,
    /// The last picture of groups that are read, and when it was told: what is read anew seldom is anything new.
    picture: Option<Body>,
    shown: Option<Instant>,
    /// Something has come since then that is not told yet.
    has_news: bool,
}

impl Wanted {
    fn new(id: u32, want: Want) -> Self {
        Self { id, want, refused: Vec::new(), told: Merged::default(), picture: None, shown: None, has_news: false }
    }
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

impl ManyLink {
    /// Over connections that keep themselves, in the order in which they are shown.
    #[must_use]
    pub fn new(links: Vec<WebSocketLink>) -> Self {
        Self {
            agents: links.into_iter().map(Agent::new).collect(),
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
                agent.turn(id, view);
            }
            Want::Thing(target) => {
                if let Some(target) = apart::target(target, number) {
                    agent.link.send(Request::Watch { id: window_id(id, 0), target });
                }
            }
        }
    }

    fn take(&mut self, number: usize, event: LinkEvent) {
        match event {
            LinkEvent::Connected(node) => {
                let agent = &mut self.agents[number];
                agent.replica.connected((*node).clone());
                agent.rows.retain(|id, _| agent.replica.windows.contains_key(id));
                agent.pages.values_mut().for_each(Pages::begin);
                (agent.node, agent.lost) = (Some(*node), false);
                let ids: Vec<u32> = self.wants.keys().copied().collect();
                ids.into_iter().for_each(|id| self.ask(number, id));
                // The dashboard knows one node; more stand beside it.
                if let Some(first) = self.tell_nodes() {
                    self.seq = 0;
                    self.events.push_back(LinkEvent::Connected(Box::new(first)));
                }
            }
            LinkEvent::Lost { error, retry_ms } => {
                let was_there = !std::mem::replace(&mut self.agents[number].lost, true);
                if was_there {
                    self.tell_nodes();
                }
                if self.agents.iter().all(|agent| agent.lost) {
                    self.events.push_back(LinkEvent::Lost { error, retry_ms });
                } else if was_there {
                    // What it has not sent nobody can wait for.
                    let is_view = |id: &u32| matches!(self.wants[id].want, Want::View(..));
                    let ids: Vec<u32> =
                        self.wants.keys().copied().filter(|id| is_view(id) || self.missing(*id).contains(&number)).collect();
                    ids.into_iter().for_each(|id| self.show(id));
                }
            }
            LinkEvent::Frame(frame) => self.frame(number, *frame),
            LinkEvent::Nodes(_) | LinkEvent::Merged { .. } => {}
        }
    }

    /// Tells who is there and who is lost, once all of them have been there; the first one's node then.
    fn tell_nodes(&mut self) -> Option<NodeRow> {
        let nodes: Vec<(NodeRow, bool)> = self.agents.iter().filter_map(|agent| Some((agent.node.clone()?, agent.lost))).collect();
        let first = nodes.first().filter(|_| nodes.len() == self.agents.len())?.0.clone();
        self.events.push_back(LinkEvent::Nodes(nodes));
        Some(first)
    }

    fn frame(&mut self, number: usize, frame: Frame) {
        let id = match &frame.body {
            Body::Snapshot { id, .. } | Body::Delta { id, .. } | Body::Detail { id, .. } => Some(*id),
            Body::Hello { .. } | Body::Report { .. } | Body::Error { .. } => None,
        };
        let seq = frame.seq;
        let wants = &self.wants;
        let agent = &mut self.agents[number];
        let applied = agent.replica.apply(frame, |id| wants.contains_key(&(id / NUMBERS)));
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
                if let Some(id) = id {
                    if id % NUMBERS < WINDOWS {
                        self.ask_on(number, id / NUMBERS);
                        self.show_soon(id / NUMBERS);
                    } else {
                        self.paged(number, id);
                    }
                }
            }
            // Of a page that was ended.
            Applied::Misfit(id) if id % NUMBERS >= WINDOWS => {}
            Applied::Misfit(id) => self.ask(number, id / NUMBERS),
            Applied::Gap => {
                let ids: Vec<u32> = self.wants.keys().copied().collect();
                ids.into_iter().for_each(|id| self.ask(number, id));
            }
            Applied::Refused(refusal) => {
                let refused = refusal.id.map(|id| id / NUMBERS);
                let wanted = refused.and_then(|id| self.wants.get_mut(&id));
                let id = wanted.map(|wanted| {
                    wanted.refused.push(number);
                    // Who is told of a refusal shows nothing, and is to have what the others tell again.
                    wanted.picture = None;
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
        let missing = self.missing(id);
        let Some(wanted) = self.wants.get_mut(&id) else { return };
        let (number, refused) = (wanted.id, &wanted.refused);
        let is_live = |agent: usize, of: &Agent| !of.lost && !refused.contains(&agent);
        let all = self.agents.iter().enumerate().all(|(agent, of)| !is_live(agent, of) || of.has_all(id));
        let mut merge = Merged { missing, ..Merged::default() };
        let body = match &mut wanted.want {
            Want::View(view, _) if view.group.is_some() => {
                // A part of the groups looks like all of them: before all are here that is told, or nothing.
                let parts: Vec<_> = self.agents.iter().filter(|_| all).filter_map(|agent| agent.groups(id)).collect();
                let reading = self.agents.iter().filter_map(|agent| agent.reading(id));
                merge.reading = reading.reduce(|sum, more| (sum.0 + more.0, sum.1 + more.1)).filter(|_| all);
                let body = if parts.is_empty() { None } else { grouped(parts, number, view) };
                wanted.has_news = false;
                if body.is_some() {
                    wanted.shown = Some(Instant::now());
                }
                if self.agents.iter().any(|agent| agent.pages.contains_key(&id)) {
                    let before = std::mem::replace(&mut wanted.picture, body);
                    wanted.picture.clone().filter(|body| before.as_ref() != Some(body))
                } else {
                    body
                }
            }
            Want::View(view, sliding) => {
                let parts = self.agents.iter().enumerate().filter_map(|(agent, of)| {
                    let (window, rows) = (of.replica.windows.get(&window_id(id, 0))?, of.rows.get(&window_id(id, 0))?);
                    Some(Part { agent, is_live: is_live(agent, of), window, rows })
                });
                let parts: Vec<Part<'_>> = parts.collect();
                merge.alarms = told_by(&parts, alarms);
                merge.storage = told_by(&parts, |store| alert(store).into_iter().collect()).into_iter().max_by_key(|(level, _)| *level);
                let before = sliding.clone();
                // What was summed up so far grows by all that an agent has when that comes: it would look like its work of a moment.
                let body = merged(&parts, number, view, sliding, all).filter(|_| all || view.table != Table::Store);
                let moved: Vec<usize> = (0..self.agents.len()).filter(|agent| before.asked(*agent) != sliding.asked(*agent)).collect();
                moved.into_iter().for_each(|agent| self.ask(agent, id));
                body
            }
            Want::Thing(target) => {
                // One that has been asked and has not answered may have it.
                let is_asked = |agent: usize, of: &Agent| is_live(agent, of) && apart::target(target, agent).is_some();
                let mut agents = self.agents.iter().enumerate();
                let waits = agents.any(|(agent, of)| is_asked(agent, of) && !of.replica.details.contains_key(&window_id(id, 0)));
                match self.detail(id) {
                    None if waits => None,
                    None if !merge.missing.is_empty() => Some(self.unknown(number, &merge.missing)),
                    detail => Some(Body::Detail { id: number, detail: detail.map(Box::new) }),
                }
            }
        };
        if let Some(wanted) = self.wants.get_mut(&id)
            && wanted.told != merge
        {
            wanted.told = merge.clone();
            self.events.push_back(LinkEvent::Merged { id: number, merged: merge });
        }
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
        let target = match &want {
            Want::Thing(target) => Some(target.clone()),
            Want::View(..) => None,
        };
        self.wants.insert(number, Wanted::new(id, want));
        (0..self.agents.len()).for_each(|agent| self.ask(agent, number));
        // Nobody who could answer is there.
        let is_asked =
            |(number, agent): (usize, &Agent)| !agent.lost && target.as_ref().is_none_or(|target| apart::target(target, number).is_some());
        if !self.agents.iter().enumerate().any(is_asked) {
            self.show(number);
        }
    }

    /// Takes on a view, with what is here of it if another part of it was looked at until now.
    fn look(&mut self, id: u32, view: View) {
        let is_known = |known: &View| View { window: view.window, ..known.clone() } == view;
        let same = |wanted: &Wanted| wanted.refused.is_empty() && matches!(&wanted.want, Want::View(known, _) if is_known(known));
        let parted = self.parted.iter().find(|(_, wanted)| same(wanted));
        if let Some((number, mut wanted)) = parted.map(|(number, _)| *number).and_then(|number| self.parted.remove_entry(&number)) {
            // All is told anew by the new number.
            (wanted.id, wanted.told, wanted.picture) = (id, Merged::default(), None);
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
                agent.end_pages(number);
            }
            if let Want::View(view, sliding) = wanted.want {
                self.left.push_back((view, sliding));
                self.left.drain(..self.left.len().saturating_sub(LEFT));
            }
        }
    }
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
            let due = self.due();
            let waiting = self.agents.iter_mut().map(|agent| agent.link.next().boxed_local());
            let event = tokio::select! {
                (event, number, _) = select_all(waiting) => Some((number, event?)),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => None,
            };
            match event {
                Some((number, event)) => self.take(number, event),
                None => self.walk(),
            }
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
mod tests;
