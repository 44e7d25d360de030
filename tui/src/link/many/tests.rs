use plasmon_protocol::column::Table;
use plasmon_protocol::explain::{Answer, Edge, Explanation, Node, Subject};
use plasmon_protocol::id::ProcessId;
use plasmon_protocol::record::{PressureRow, ProcessRow, StoreRow, VictimRow};
use plasmon_protocol::stream::{Detail, GroupRow, MAX_WINDOW, Sort, Totals, Window};
use plasmon_protocol::window::Query;

use super::merge::{grouped, merged, of_agent};
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
    many.take(1, lost());
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
    // Of the other agent not all groups are here.
    let totals = |groups| Totals { rows: groups, matched: groups, groups, ..Totals::default() };
    let (one, other) = ([group(1, 10), group(2, 30), group(3, 20)], [group(1, 50), group(9, 40)]);
    let keys = |column: &str, start| {
        let parts = [(totals(3), one.iter().collect()), (totals(9), other.iter().collect())];
        let Some(Body::Snapshot { id: 4, totals, rows: Rows::Groups(rows), .. }) = grouped(parts, 4, &of(column, start)) else { panic!() };
        assert_eq!((totals.groups, totals.cut, totals.matched), (4, 7, 12));
        rows.into_iter().map(|row| (row.key, row.bytes)).collect::<Vec<_>>()
    };
    let told = |rows: [(&str, u64); 2]| rows.map(|(key, bytes)| (key.to_owned(), bytes)).to_vec();
    assert_eq!(keys("bytes", 0), told([("1", 60), ("9", 40)]));
    assert_eq!(keys("bytes", 9), told([("2", 30), ("3", 20)]));
    assert_eq!(keys("key", 0), told([("9", 40), ("3", 20)]));
    assert_eq!(keys("rows", 0)[0], ("1".to_owned(), 60));
}

/// Whatever is asked of an agent with these groups, it answers, until nothing is asked any more.
fn serve(many: &mut ManyLink, number: usize, requests: &mut Requests, seq: &mut u64, groups: &[GroupRow]) {
    while let Ok(request) = requests.try_recv() {
        let Request::Subscribe { id, view } = request else { continue };
        let mut all: Vec<_> = groups.iter().map(std::borrow::Cow::Borrowed).collect();
        let (start, rows) = Query::prepare(view).unwrap().window_of_groups(&mut all);
        let count = groups.len() as u64;
        let totals = Totals { rows: count, matched: count, groups: count, ..Totals::default() };
        *seq += 1;
        let body = Body::Snapshot { id, totals, start, rows: Rows::Groups(rows) };
        many.take(number, LinkEvent::Frame(Box::new(Frame { seq: *seq, at_ms: 1, missed: 0, body })));
    }
}

#[tokio::test(start_paused = true)]
async fn groups_are_read_to_their_end_however_many_there_are() {
    let (mut many, [mut first, mut second]) = two();
    let window = Window { start: 0, len: 3 };
    many.send(Request::Subscribe { id: 5, view: View { group: Some("created".to_owned()), window, ..View::of(Table::References) } });
    let mut seq = [0, 0];
    // The largest of all is small in both: nobody finds it among the largest of each.
    let few: Vec<GroupRow> = (0..100).map(|key| group(key, 1_000)).chain([group(9_999, 600)]).collect();
    let mut long: Vec<GroupRow> = (10_000..15_000).map(|key| group(key, 700)).chain([group(9_999, 600)]).collect();
    serve(&mut many, 0, &mut first, &mut seq[0], &few);
    serve(&mut many, 1, &mut second, &mut seq[1], &long);
    let told = |many: &mut ManyLink| {
        let (mut progress, mut pictures) = (Vec::new(), Vec::new());
        while let Some(event) = many.events.pop_front() {
            match event {
                LinkEvent::Merged { id: 5, merged } => progress.push(merged.reading),
                LinkEvent::Frame(frame) => match frame.body {
                    Body::Snapshot { id: 5, totals, rows: Rows::Groups(rows), .. } => {
                        let first = rows.first().map(|row| (row.key.clone(), row.bytes));
                        pictures.push((totals.groups, totals.cut, first.unwrap()));
                    }
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            }
        }
        (progress, pictures)
    };
    let (progress, pictures) = told(&mut many);
    assert!(matches!(progress[..], [Some((_, 5_001)), .., None]), "{progress:?}");
    assert_eq!(pictures.last(), Some(&(5_101, 0, ("9999".to_owned(), 1_200))), "{pictures:?}");
    // What is read again is told when it is new.
    let walks = async |many: &mut ManyLink, requests: &mut Requests, seq: &mut u64, groups: &[GroupRow]| {
        tokio::time::advance(pages::REST).await;
        many.walk();
        serve(many, 1, requests, seq, groups);
        told(many)
    };
    assert_eq!(walks(&mut many, &mut second, &mut seq[1], &long).await, (vec![], vec![]));
    long.last_mut().unwrap().bytes = 500;
    let (progress, pictures) = walks(&mut many, &mut second, &mut seq[1], &long).await;
    assert_eq!((progress, pictures.last()), (vec![], Some(&(5_101, 0, ("9999".to_owned(), 1_100)))));
    // Nobody looks any more.
    many.send(Request::Unsubscribe { id: 5 });
    many.part();
    assert!(many.due().is_none() && many.agents[1].replica.windows.is_empty());
}

#[test]
fn what_a_lost_agent_was_not_asked_for_is_told_as_missing() {
    let (mut many, [mut first, _]) = two();
    many.take(1, lost());
    many.events.clear();
    many.send(Request::Subscribe { id: 5, view: View { group: Some("type".to_owned()), ..View::of(Table::References) } });
    serve(&mut many, 0, &mut first, &mut 0, &[group(1, 1)]);
    let of_five = |event: LinkEvent| match event {
        LinkEvent::Merged { id: 5, merged } => Some(merged.missing),
        _ => None,
    };
    assert_eq!(many.events.drain(..).find_map(of_five), Some(vec![1]));
    // A process of the lost one is not gone for all that anybody knows; one of the other is.
    let gone = Frame { seq: 2, at_ms: 1, missed: 0, body: Body::Detail { id: 0, detail: None } };
    for (process, expected) in [(apart::APART + 3, "lost"), (3, "gone")] {
        many.events.clear();
        many.send(Request::Watch { id: 6, target: Target::Process(ProcessId(process)) });
        let number = many.number(6).unwrap();
        if expected == "gone" {
            let body = Body::Detail { id: window_id(number, 0), detail: None };
            many.take(0, LinkEvent::Frame(Box::new(Frame { body, ..gone.clone() })));
        }
        let bodies: Vec<Body> =
            many.events.drain(..).filter_map(|event| if let LinkEvent::Frame(frame) = event { Some(frame.body) } else { None }).collect();
        match (&bodies[..], expected) {
            ([Body::Error { id: Some(6), code, .. }], "lost") => assert_eq!(code, "lost"),
            ([Body::Detail { id: 6, detail: None }], "gone") => {}
            other => panic!("{other:?}"),
        }
        many.send(Request::Unsubscribe { id: 6 });
        many.part();
    }
}

/// A frame of an agent's.
fn frame(many: &mut ManyLink, number: usize, seq: &mut u64, body: Body) {
    *seq += 1;
    many.take(number, LinkEvent::Frame(Box::new(Frame { seq: *seq, at_ms: 1, missed: 0, body })));
}

/// What was told of a subscription, but for what is missing and how far reading is.
fn told(many: &mut ManyLink, of: u32) -> Vec<Body> {
    let bodies = many.events.drain(..).filter_map(|event| if let LinkEvent::Frame(frame) = event { Some(frame.body) } else { None });
    bodies
        .filter(|body| match body {
            Body::Snapshot { id, .. } | Body::Detail { id, .. } => *id == of,
            Body::Error { id, .. } => *id == Some(of),
            _ => false,
        })
        .collect()
}

fn lost() -> LinkEvent {
    LinkEvent::Lost { error: super::super::LinkError::Ended { url: String::new(), cause: String::new() }, retry_ms: 1 }
}

#[tokio::test(start_paused = true)]
async fn of_groups_that_are_read_pictures_are_apart_and_the_last_is_told() {
    let (mut many, [mut first, mut second]) = two();
    many.send(Request::Subscribe { id: 5, view: View { group: Some("created".to_owned()), ..View::of(Table::References) } });
    let mut seq = [0, 0];
    let long: Vec<GroupRow> = (0..3_000).map(|key| group(key, 700)).collect();
    serve(&mut many, 0, &mut first, &mut seq[0], &[]);
    serve(&mut many, 1, &mut second, &mut seq[1], &long);
    assert!(!told(&mut many, 5).is_empty());
    let id = window_id(many.number(5).unwrap(), 0);
    let with = |bytes| {
        let totals = Totals { rows: 3_000, matched: 3_000, groups: 3_000, ..Totals::default() };
        Body::Snapshot { id, totals, start: 0, rows: Rows::Groups((0..500).map(|key| group(key, bytes)).collect()) }
    };
    for bytes in [701, 702, 703] {
        frame(&mut many, 1, &mut seq[1], with(bytes));
    }
    assert_eq!(told(&mut many, 5), [], "they are not put together for every change");
    tokio::time::advance(many.due().unwrap() - Instant::now()).await;
    many.walk();
    let [Body::Snapshot { rows: Rows::Groups(rows), .. }] = &told(&mut many, 5)[..] else { panic!() };
    assert_eq!(rows[0].bytes, 703);
    assert!(many.due().is_some_and(|due| due > Instant::now()), "the next walk");
    // Few again: they are followed, and nothing is read.
    let few = Totals { rows: 3, matched: 3, groups: 3, ..Totals::default() };
    let rows: Vec<GroupRow> = (0..3).map(|key| group(key, 9)).collect();
    for id in many.agents[1].asked(id / NUMBERS).collect::<Vec<_>>() {
        frame(&mut many, 1, &mut seq[1], Body::Snapshot { id, totals: few, start: 0, rows: Rows::Groups(rows.clone()) });
    }
    assert!(many.agents[1].pages.is_empty() && many.due().is_none());
    assert!(matches!(told(&mut many, 5).last(), Some(Body::Snapshot { totals: Totals { groups: 3, cut: 0, .. }, .. })));
    // A page that was under way is nobody's.
    let late = id / NUMBERS * NUMBERS + WINDOWS + 1;
    frame(&mut many, 1, &mut seq[1], Body::Snapshot { id: late, totals: few, start: 0, rows: Rows::Groups(rows) });
    assert!(!many.agents[1].replica.windows.contains_key(&late));
}

#[test]
fn of_a_thing_is_told_who_was_lost_before_it_answered() {
    let target = Target::Object(plasmon_protocol::id::ObjectId::default());
    for first_is_quick in [true, false] {
        let (mut many, _requests) = two();
        many.send(Request::Watch { id: 6, target: target.clone() });
        let id = window_id(many.number(6).unwrap(), 0);
        let gone = || Body::Detail { id, detail: None };
        let mut seq = 0;
        if first_is_quick {
            frame(&mut many, 0, &mut seq, gone());
            assert_eq!(told(&mut many, 6), [], "the other may have it");
            many.take(1, lost());
        } else {
            many.take(1, lost());
            assert_eq!(told(&mut many, 6), [], "the first may have it");
            frame(&mut many, 0, &mut seq, gone());
        }
        assert!(matches!(&told(&mut many, 6)[..], [Body::Error { code, .. }] if code == "lost"));
        // It is there again, and answers.
        let node = NodeRow { node: plasmon_protocol::id::NodeId([2; 8]), ..NodeRow::default() };
        many.take(1, LinkEvent::Connected(Box::new(node)));
        frame(&mut many, 1, &mut 0, gone());
        assert_eq!(told(&mut many, 6), [Body::Detail { id: 6, detail: None }]);
        // What it said holds when it is lost again.
        many.take(1, lost());
        assert_eq!(told(&mut many, 6), []);
    }
}

fn stores(many: &mut ManyLink, stores: [StoreRow; 2]) -> (StoreRow, Merged) {
    many.send(Request::Subscribe { id: 9, view: View::of(Table::Store) });
    let id = window_id(many.number(9).unwrap(), 0);
    let mut last = (StoreRow::default(), Merged::default());
    for (number, store) in stores.into_iter().enumerate() {
        let totals = Totals { rows: 1, matched: 1, ..Totals::default() };
        frame(many, number, &mut 0, Body::Snapshot { id, totals, start: 0, rows: Rows::Store(vec![store]) });
    }
    for event in many.events.drain(..) {
        match event {
            LinkEvent::Merged { id: 9, merged } => last.1 = merged,
            LinkEvent::Frame(frame) => {
                if let Body::Snapshot { id: 9, rows: Rows::Store(rows), .. } = frame.body {
                    last.0 = rows[0].clone();
                }
            }
            _ => {}
        }
    }
    last
}

#[test]
fn a_sum_is_told_when_all_have_told_their_part() {
    let (mut many, _requests) = two();
    many.send(Request::Subscribe { id: 9, view: View::of(Table::Store) });
    let id = window_id(many.number(9).unwrap(), 0);
    let mut seq = [0, 0];
    let mut put = |many: &mut ManyLink, number: usize, put_bytes| {
        let totals = Totals { rows: 1, matched: 1, ..Totals::default() };
        let rows = Rows::Store(vec![StoreRow { put_bytes, ..StoreRow::default() }]);
        frame(many, number, &mut seq[number], Body::Snapshot { id, totals, start: 0, rows });
        let sums = told(many, 9).into_iter().filter_map(|body| match body {
            Body::Snapshot { rows: Rows::Store(rows), .. } => Some(rows[0].put_bytes),
            _ => None,
        });
        sums.collect::<Vec<_>>()
    };
    assert!(put(&mut many, 0, 5).is_empty(), "what the other has put was not put in this moment");
    assert_eq!(put(&mut many, 1, 100), [105]);
    assert_eq!(put(&mut many, 0, 6), [106]);
    // Of one that is lost, what it told last.
    many.take(1, lost());
    told(&mut many, 9);
    assert_eq!(put(&mut many, 0, 7), [107]);
}

#[test]
fn what_is_wrong_with_one_of_several_stores_is_told_with_its_name_and_is_no_sum() {
    let (mut many, _requests) = two();
    let row = |number: u8| {
        let mut row = StoreRow::default();
        row.node.node = plasmon_protocol::id::NodeId([number; 8]);
        row.ledger.capacity_bytes = 100;
        row.spill.state = "on".into();
        row
    };
    let (mut empty, mut full) = (row(1), row(2));
    empty.node.started_ms = 20;
    empty.spill.limit_bytes = Some(5);
    empty.pressure = PressureRow { total_bytes: 10, threshold_bytes: 9, used_bytes: 1, ..PressureRow::default() };
    full.node.started_ms = 10;
    full.ledger.referenced_bytes = 100;
    full.spill.failing = true;
    full.spill.state = "no room".into();
    let victim = VictimRow { pid: 7, bytes: 3, ..VictimRow::default() };
    full.pressure = PressureRow { total_bytes: 10, threshold_bytes: 9, used_bytes: 8, next_victim: Some(victim), ..PressureRow::default() };
    let mut pressure = full.pressure.clone();
    pressure.next_victim.as_mut().unwrap().process = ProcessId(apart::APART);
    let (sum, merged) = stores(&mut many, [empty, full]);
    assert_eq!((sum.ledger.capacity_bytes, sum.ledger.referenced_bytes, sum.node.started_ms), (200, 100, 10));
    assert_eq!((&*sum.spill.state, sum.spill.limit_bytes, sum.pressure), ("no room", None, pressure));
    let texts: Vec<&str> = merged.alarms.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["0202 spilling fails: no room", "0202 the store is nearly full"]);
}

#[test]
fn what_waits_is_told_of_all_agents() {
    let (mut many, _requests) = two();
    many.send(Request::Watch { id: 6, target: Target::Explain(Subject::Everything) });
    let id = window_id(many.number(6).unwrap(), 0);
    let explained = |since_ms| {
        let nodes = ["task:1", "resource:CPU"].map(|id| Node { id: id.into(), ..Node::default() }).to_vec();
        let edges = vec![Edge { from: "task:1".into(), to: "resource:CPU".into(), reason: "needs".to_owned() }];
        let answers = vec![Answer { node: "task:1".into(), since_ms: Some(since_ms), ..Answer::default() }];
        Explanation { answers, nodes, edges, more: 1, ..Explanation::default() }
    };
    for (number, since_ms) in [(0, 50), (1, 20)] {
        let body = Body::Detail { id, detail: Some(Box::new(Detail::Explain(explained(since_ms)))) };
        frame(&mut many, number, &mut 0, body);
    }
    let Some(Body::Detail { detail: Some(detail), .. }) = told(&mut many, 6).pop() else { panic!() };
    let Detail::Explain(all) = *detail else { panic!() };
    let answers: Vec<_> = all.answers.iter().map(|answer| (&*answer.node, answer.since_ms)).collect();
    assert_eq!(answers, [("1/task:1", Some(20)), ("0/task:1", Some(50))], "the longest first");
    assert_eq!((all.nodes.len(), all.edges.len(), all.more), (4, 2, 2));
    assert!(all.edges.iter().all(|edge| all.node(&edge.from).is_some() && all.node(&edge.to).is_some()));
    // A process is one agent's, whatever it is asked about.
    let process = Target::Explain(Subject::Process(ProcessId(apart::APART + 3)));
    assert_eq!(apart::target(&process, 1), Some(Target::Explain(Subject::Process(ProcessId(3)))));
    assert_eq!(apart::target(&process, 0), None);
}

#[test]
fn an_agent_that_stays_lost_is_told_once() {
    let (mut many, _requests) = two();
    many.take(1, lost());
    let is_nodes = |event: &LinkEvent| matches!(event, LinkEvent::Nodes(nodes) if nodes[1].1);
    assert!(many.events.drain(..).any(|event| is_nodes(&event)));
    many.take(1, lost());
    assert!(many.events.is_empty(), "nothing is asked for anew: {:?}", many.events);
    // When the last one goes, since when is told with it.
    many.take(0, lost());
    assert!(matches!(&many.events.make_contiguous()[..], [LinkEvent::Nodes(nodes), LinkEvent::Lost { .. }] if nodes[0].1));
}
