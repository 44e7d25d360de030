use std::cmp::Reverse;

use plasmon_protocol::column::{Record, RowKey, Table};
use plasmon_protocol::id::ProcessId;
use plasmon_protocol::record::ProcessRow;
use plasmon_protocol::stream::Sort;

use super::*;
use crate::model::apart;

/// Terminal rows that are looked at.
const LEN: u32 = 40;

/// One agent: its table, and its window as it was last answered.
struct Agent {
    rows: Vec<ProcessRow>,
    asked: Asked,
    window: Option<(Window, Rows)>,
    is_lost: bool,
}

/// Several agents and the one who looks at their rows.
struct Scene {
    agents: Vec<Agent>,
    view: View,
    sliding: Sliding,
    /// Rows that a frame holds.
    frame: usize,
    /// Windows that agents were asked for.
    asks: usize,
    /// The rows of all agents that are of use, in order.
    whole: Vec<RowKey>,
}

fn row(id: u32, heap_bytes: u64) -> ProcessRow {
    ProcessRow { process: ProcessId(id), heap_bytes, ..ProcessRow::default() }
}

/// Numbers that look like chance.
fn next(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

/// Three agents with 2,000 rows each, whose weights lie between each other's, and many of which are equal.
fn interleaved() -> Scene {
    let mut seed = 7;
    scene((0..3).map(|_| (0..2_000).map(|id| row(id, next(&mut seed) % 900)).collect()).collect())
}

fn scene(tables: Vec<Vec<ProcessRow>>) -> Scene {
    let sort = Some(Sort { column: "heap".to_owned(), ascending: false });
    let view = View { sort, window: Asked { start: 0, len: LEN }, ..View::of(Table::Processes) };
    let sliding = Sliding::new(tables.len(), &view);
    let agent = |(number, rows)| Agent { rows, asked: sliding.asked(number), window: None, is_lost: false };
    let agents: Vec<Agent> = tables.into_iter().enumerate().map(agent).collect();
    let mut scene = Scene { agents, view, sliding, frame: 500, asks: 0, whole: Vec::new() };
    scene.answer_all();
    scene
}

impl Scene {
    /// An agent tells what its window has now.
    fn answer(&mut self, number: usize) {
        let agent = &mut self.agents[number];
        let view = View { window: agent.asked, ..self.view.clone() };
        let mut shown = Query::prepare(view).unwrap().window(&Rows::Processes(agent.rows.clone()), 0);
        let Rows::Processes(rows) = &mut shown.rows else { panic!("other rows") };
        shown.totals.cut = rows.len().saturating_sub(self.frame) as u64;
        rows.truncate(self.frame);
        let rows = apart::moved(&shown.rows, number);
        agent.window = Some((Window::new(shown.totals, shown.start, shown.rows), rows));
    }

    fn parts(&self) -> Vec<Part<'_>> {
        let parts = self.agents.iter().enumerate().filter_map(|(agent, of)| {
            let (window, rows) = of.window.as_ref()?;
            Some(Part { agent, is_live: !of.is_lost, window, rows })
        });
        parts.collect()
    }

    fn all(&self) -> bool {
        self.agents.iter().all(|agent| agent.is_lost || agent.window.is_some())
    }

    /// What is shown now, if it is right.
    fn shown(&self) -> Option<(u64, Vec<RowKey>)> {
        let query = Query::prepare(self.view.clone()).unwrap();
        let Picture { start, rows } = self.sliding.picture(&self.view, &self.parts(), &Joined::of(&query, &self.parts()), self.all())?;
        let keys = Window::new(Default::default(), start, rows).keys;
        assert_eq!(self.whole.get(start as usize..start as usize + keys.len()), Some(&keys[..]), "from {start} on");
        Some((start, keys))
    }

    /// What is shown after the windows slid.
    fn look(&mut self) -> Option<(u64, Vec<RowKey>)> {
        let query = Query::prepare(self.view.clone()).unwrap();
        let mut sliding = self.sliding.clone();
        let _ = sliding.slide(&self.view, &query, &self.parts(), self.all());
        self.sliding = sliding;
        self.shown()
    }

    /// Everything that is asked for is answered, until nothing more is asked for; whatever is shown on the way is right.
    fn settle(&mut self) -> (u64, Vec<RowKey>) {
        for _ in 0..200 {
            let shown = self.look();
            let is_late = |number: &usize| {
                let agent = &self.agents[*number];
                !agent.is_lost && (agent.window.is_none() || agent.asked != self.sliding.asked(*number))
            };
            let late: Vec<usize> = (0..self.agents.len()).filter(is_late).collect();
            if late.is_empty() {
                return shown.expect("nothing is on its way");
            }
            self.asks += late.len();
            for number in late {
                self.agents[number].asked = self.sliding.asked(number);
                self.answer(number);
                self.shown();
            }
        }
        panic!("the windows never come to rest");
    }

    /// The tables have changed, or who is there: all windows show what their tables have now, but for those of agents that are lost.
    fn answer_all(&mut self) {
        (0..self.agents.len())
            .filter(|number| !self.agents[*number].is_lost)
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|number| self.answer(number));
        let mut all: Vec<(Reverse<u64>, usize, String, u32)> = Vec::new();
        for part in self.parts() {
            let here = |row: &&ProcessRow| part.is_live || part.window.keys.contains(&row.key());
            let rows = self.agents[part.agent].rows.iter().filter(here);
            all.extend(rows.map(|row| (Reverse(row.heap_bytes), part.agent, row.process.0.to_string(), row.process.0)));
        }
        all.sort();
        self.whole = all.into_iter().map(|(_, agent, _, id)| (id + apart::APART * agent as u32).to_string()).collect();
    }

    /// Looks at rows from a place on, and sees them.
    fn goes_to(&mut self, start: u64) {
        self.view.window.start = start;
        let (from, keys) = self.settle();
        let whole = self.whole.len() as u64;
        let expected = start.min(whole.saturating_sub(LEN.into()));
        assert_eq!((from, keys.len() as u64), (expected, u64::from(LEN).min(whole)), "looked at {start}");
    }
}

#[test]
fn by_lines_and_by_pages_every_row_is_seen_down_and_up() {
    for step in [1_usize, 17, 39, 150] {
        let mut scene = interleaved();
        // By single lines, where windows slide for the first few times.
        let end = if step == 1 { 1_300 } else { 6_000 };
        (0..=end).step_by(step).for_each(|start| scene.goes_to(start));
        (0..=end).rev().step_by(step).for_each(|start| scene.goes_to(start));
        scene.goes_to(0);
        assert!(scene.asks < 20 * 6 * end as usize / step.max(10), "{} windows by steps of {step}", scene.asks);
    }
}

#[test]
fn the_end_and_the_top_are_one_step_away() {
    let mut scene = interleaved();
    scene.goes_to(0);
    scene.asks = 0;
    scene.goes_to(u64::MAX);
    assert_eq!(scene.asks, 3, "each agent is asked once");
    (0..6_000).rev().step_by(37).take(40).for_each(|start| scene.goes_to(start));
    scene.asks = 0;
    scene.goes_to(0);
    assert_eq!(scene.asks, 3);
}

#[test]
fn any_place_is_found_from_any_other() {
    let mut scene = interleaved();
    for start in [3_000, 5_900, 1_500, 10, 4_400, 480, 461, 460, 5_100] {
        scene.goes_to(start);
    }
}

#[test]
fn of_tables_that_lie_one_behind_the_other_nothing_is_missed() {
    let table = |from: u64| (0..2_000).map(|id| row(id, from)).collect();
    let mut scene = scene(vec![table(10), table(5), table(20), vec![row(1, 7)], Vec::new()]);
    (0..6_100).step_by(39).for_each(|start| scene.goes_to(start));
    (0..6_100).rev().step_by(39).for_each(|start| scene.goes_to(start));
    scene.goes_to(u64::MAX);
}

#[test]
fn frames_that_hold_few_rows_are_asked_for_more_often() {
    for frame in [45, 120] {
        let mut scene = interleaved();
        scene.frame = frame;
        (0..3_000).step_by(39).for_each(|start| scene.goes_to(start));
        scene.goes_to(u64::MAX);
        (2_000..6_000).rev().step_by(39).for_each(|start| scene.goes_to(start));
    }
}

#[test]
fn rows_that_come_and_go_are_never_seen_twice_nor_out_of_order() {
    let mut scene = interleaved();
    let mut seed = 11;
    let (mut fresh, mut place) = (10_000, 0_u64);
    for turn in 0..400_u64 {
        for _ in 0..next(&mut seed) % 40 {
            let agent = &mut scene.agents[(next(&mut seed) % 3) as usize];
            let at = (next(&mut seed) as usize) % agent.rows.len();
            match next(&mut seed) % 3 {
                0 => drop(agent.rows.swap_remove(at)),
                1 => agent.rows[at].heap_bytes = next(&mut seed) % 900,
                _ => {
                    fresh += 1;
                    agent.rows.push(row(fresh, next(&mut seed) % 900));
                }
            }
        }
        scene.answer_all();
        place = if turn % 100 == 99 {
            u64::MAX / 2
        } else if turn / 100 % 2 == 0 {
            place + 30
        } else {
            place.min(6_000).saturating_sub(30)
        };
        scene.goes_to(place);
    }
}

#[test]
fn of_an_agent_that_is_lost_the_rows_that_are_here_stay() {
    let mut scene = interleaved();
    scene.goes_to(0);
    scene.agents[1].is_lost = true;
    scene.answer_all();
    assert_eq!(scene.whole.len(), 4_000 + LEN as usize, "what was here of it");
    (0..4_040).step_by(39).for_each(|start| scene.goes_to(start));
    scene.agents[1].is_lost = false;
    scene.answer_all();
    assert_eq!(scene.whole.len(), 6_000);
    (0..3_000).step_by(39).for_each(|start| scene.goes_to(start));
    // Its window lies in the middle of its rows.
    scene.agents[1].is_lost = true;
    let left_out: u64 = scene.parts().iter().map(Part::left_out).sum();
    scene.answer_all();
    assert_eq!(scene.whole.len() as u64, 6_000 - left_out);
    assert!((1_400..2_000).contains(&left_out), "{left_out}");
    (0..4_500).rev().step_by(39).for_each(|start| scene.goes_to(start));
    scene.goes_to(u64::MAX);
    // It is back, with its window where it was.
    scene.agents[1].is_lost = false;
    scene.answer_all();
    scene.goes_to(3_100);
    // Of a short table all rows are here.
    scene.agents[2].rows.truncate(30);
    scene.answer_all();
    scene.goes_to(0);
    scene.agents[2].is_lost = true;
    scene.answer_all();
    assert_eq!((scene.whole.len(), scene.parts()[2].left_out()), (4_030, 0));
    (0..4_030).step_by(39).for_each(|start| scene.goes_to(start));
}

#[test]
fn further_down_nothing_is_shown_before_all_have_answered() {
    let mut scene = interleaved();
    scene.view.window.start = 700;
    (1..3).for_each(|number| scene.agents[number].window = None);
    scene.whole.retain(|key| key.parse::<u32>().is_ok_and(|id| id < apart::APART));
    assert_eq!(scene.look(), None);
    scene.view.window.start = 0;
    assert!(scene.look().is_some(), "the top is shown as it comes");
}
