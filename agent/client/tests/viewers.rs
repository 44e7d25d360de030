//! Many viewers at once, some of which read nothing; and long tables, whose windows are what evaluating the whole table gives.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use plasmon::ObjectRef;
use plasmon_protocol::column::Table;
use plasmon_protocol::record::ReferenceType;
use plasmon_protocol::stream::{Body, MAX_WINDOW, Rows, Sort, View, Window};
use plasmon_protocol::window::Query;
use support::{PATIENCE, Viewer, alone, eventually, start};

const HEALTHY: usize = 150;
const STALLED: usize = 50;
/// Updates that each healthy viewer must get, before others stall and then beside them.
const UPDATES: usize = 10;
/// What one that reads nothing may cost, in bytes.
const MOST: u64 = 256 << 10;
/// How long it is counted how often an agent wakes, and how often it may: one that looked for news ten times a second woke 170 times.
const RESTED: Duration = Duration::from_secs(4);
const MOST_RESTS: u64 = 80;

/// What a process has in memory that is its own, bytes; the pool, which is shared, does not count.
fn own_bytes(pid: u32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let anonymous = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
    anonymous.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// All of the store, and as long a window over the references as there may be.
fn views() -> [View; 2] {
    let window = Window { start: 0, len: MAX_WINDOW };
    [View::of(Table::Store), View { window, ..View::of(Table::References) }]
}

#[test]
fn viewers_that_read_nothing_cost_little_and_hold_up_nobody() {
    alone(|| {
        let info = start(2.0);
        let mut held: Vec<ObjectRef<[u8]>> = (0..1000).map(|n| plasmon::put(&[n as u8; 100][..]).unwrap()).collect();
        let over = Arc::new(AtomicBool::new(false));
        let updates: Arc<Vec<AtomicUsize>> = Arc::new((0..HEALTHY).map(|_| AtomicUsize::new(0)).collect());
        let mut threads = Vec::new();
        for nth in 0..HEALTHY {
            let mut viewer = Viewer::here();
            for (id, view) in (1..).zip(views().map(|view| View { window: Window { start: 0, len: 20 }, ..view })) {
                viewer.subscribe(id, view);
            }
            let (over, updates) = (Arc::clone(&over), Arc::clone(&updates));
            threads.push(std::thread::spawn(move || {
                let mut put = 0;
                while !over.load(Ordering::Relaxed) {
                    let (Body::Snapshot { rows, .. } | Body::Delta { rows, .. }) = viewer.next().body else { continue };
                    if let Rows::Store(rows) = rows
                        && let Some(now) = rows.first().map(|row| row.put_objects).filter(|now| *now > put)
                    {
                        put = now;
                        updates[nth].fetch_add(1, Ordering::Relaxed);
                    }
                }
            }));
        }
        // The rows that are looked at change all the time, until every viewer got so many updates more.
        let mut next = 0;
        let mut work = |what: &str| {
            let before: Vec<usize> = updates.iter().map(|count| count.load(Ordering::Relaxed)).collect();
            eventually(what, || {
                for _ in 0..50 {
                    next = (next + 7) % held.len();
                    held[next] = plasmon::put(&vec![1; 1000 + next][..]).unwrap();
                }
                updates.iter().zip(&before).all(|(now, before)| now.load(Ordering::Relaxed) >= before + UPDATES)
            });
        };
        work("every viewer is served");
        let before = own_bytes(info.agent_pid);
        let stalled: Vec<Viewer> = (0..STALLED)
            .map(|_| {
                let mut viewer = Viewer::here();
                for (id, view) in (1..).zip(views().into_iter().chain(views())) {
                    viewer.subscribe(id, view);
                }
                viewer
            })
            .collect();
        work("every viewer is served beside those that read nothing");
        let after = own_bytes(info.agent_pid);
        let each = after.saturating_sub(before) / STALLED as u64;
        assert!(each <= MOST, "{each} bytes for each that reads nothing: {before} before, {after} after");
        drop(stalled);
        work("every viewer is served after those are gone");
        over.store(true, Ordering::Relaxed);
        // They wait for a frame.
        held.push(plasmon::put(&[1_u8][..]).unwrap());
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// How often the threads of an agent that have to do with viewers have gone to sleep: as often as something woke them.
fn rests(pid: u32) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().map(|thread| thread.unwrap().path());
    let of = |thread: PathBuf| {
        let name = std::fs::read_to_string(thread.join("comm")).unwrap_or_default();
        let status = std::fs::read_to_string(thread.join("status")).unwrap_or_default();
        let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        if ["node", "stream"].contains(&name.trim()) { count.map_or(0, |count| count.trim().parse().unwrap()) } else { 0 }
    };
    threads.map(of).sum()
}

#[test]
fn an_agent_where_nothing_happens_rests_though_somebody_watches() {
    alone(|| {
        let info = start(2.0);
        drop(plasmon::put(&[1_u8; 100][..]).unwrap());
        let (put, pinned) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let seen = (Arc::clone(&put), Arc::clone(&pinned));
        let mut viewer = Viewer::here();
        for (id, view) in (1..).zip(views()) {
            viewer.subscribe(id, view);
        }
        let reader = std::thread::spawn(move || {
            while seen.0.load(Ordering::Relaxed) < 2 || !seen.1.load(Ordering::Relaxed) {
                match viewer.next().body {
                    Body::Snapshot { rows: Rows::Store(rows), .. } | Body::Delta { rows: Rows::Store(rows), .. } => {
                        rows.iter().for_each(|row| seen.0.store(row.put_objects as usize, Ordering::Relaxed));
                    }
                    Body::Snapshot { rows: Rows::References(rows), .. } | Body::Delta { rows: Rows::References(rows), .. } => {
                        let pinned = rows.iter().any(|row| row.reference_type == ReferenceType::PinnedInMemory);
                        seen.1.fetch_or(pinned, Ordering::Relaxed);
                    }
                    _ => {}
                }
            }
        });
        eventually("the viewer is served", || put.load(Ordering::Relaxed) == 1);
        // Samples are news, once a second; views are looked for only where there are references. A slow machine wakes nobody more often.
        eventually("the agent rests", || {
            let before = rests(info.agent_pid);
            std::thread::sleep(RESTED);
            rests(info.agent_pid) - before <= MOST_RESTS
        });
        let held = plasmon::put(&[1_u8; 4096][..]).unwrap();
        eventually("the viewer sees what happens after that", || put.load(Ordering::Relaxed) == 2);
        assert!(!pinned.load(Ordering::Relaxed));
        // Of this no message tells.
        let _view = plasmon::get(&held).unwrap();
        eventually("the viewer sees a view", || pinned.load(Ordering::Relaxed));
        reader.join().unwrap();
    });
}

#[test]
fn a_window_over_a_long_table_is_that_of_the_whole_table() {
    alone(|| {
        start(2.0);
        let mut held: Vec<ObjectRef<[u8]>> = (0..30_000).map(|n| plasmon::put(&vec![1; n % 700][..]).unwrap()).collect();
        let mut viewer = Viewer::here();
        let sort = |column: &str| Some(Sort { column: column.to_owned(), ascending: true });
        let references = View::of(Table::References);
        let views = [
            View { window: Window { start: 20_000, len: 50 }, ..references.clone() },
            View { sort: sort("object"), filter: "size>300 | size<7".into(), ..references.clone() },
            View { group: Some("size".into()), sort: sort("key"), ..references.clone() },
            View { filter: "size=3".into(), ..View::of(Table::Objects) },
        ];
        for round in 0..3 {
            for n in (round..held.len()).step_by(97) {
                held[n] = plasmon::put(&vec![2; n % 10][..]).unwrap();
            }
            // A new line's function is told a little later, and would be in the report alone.
            viewer.until("functions are told", |report| report.references.iter().all(|row| !row.call_site.function.is_empty()));
            for (id, view) in (10..).zip(&views) {
                viewer.subscribe(id, view.clone());
                let (totals, rows) = viewer.snapshot(id);
                let report = viewer.report();
                if view.table == Table::References {
                    let expected = Query::prepare(view.clone()).unwrap().window(&Rows::References(report.references), 0);
                    assert_eq!((totals, &rows), (expected.totals, &expected.rows), "{view:?}");
                } else {
                    let Rows::Objects(rows) = rows else { panic!("other rows") };
                    assert!(!rows.is_empty() && rows.iter().all(|row| row.size_bytes == Some(3)));
                    assert_eq!(totals.matched, report.references.iter().filter(|row| row.size_bytes == Some(3)).count() as u64);
                }
            }
        }
        let deadline = std::time::Instant::now() + PATIENCE;
        held.clear();
        loop {
            viewer.subscribe(10, views[0].clone());
            if viewer.snapshot(10).0.rows == 0 {
                break;
            }
            assert!(std::time::Instant::now() < deadline, "the table never empties");
        }
    });
}
