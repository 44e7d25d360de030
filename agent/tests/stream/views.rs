//! What a viewer sees while tables change.

use std::sync::atomic::Ordering;
use std::time::Duration;

use plasmon_agent::telemetry::server::Limits;
use plasmon_agent::telemetry::tables::evaluate;
use plasmon_protocol::column::Table;
use plasmon_protocol::record::EventRow;
use plasmon_protocol::stream::{Body, Request, Rows, Sort, View, Window};

use crate::client::{Client, Read};
use crate::fake::{Agent, reference, until};
use crate::replay::Replica;

fn brisk() -> Limits {
    Limits { tick: Duration::from_millis(10), ..Limits::default() }
}

#[tokio::test]
async fn many_views_follow_a_changing_table() {
    let agent = Agent::with(brisk(), |server| server).await;
    let references = View::of(Table::References);
    let sort = |column: &str, ascending| Some(Sort { column: column.to_owned(), ascending });
    let views = [
        references.clone(),
        View { window: Window { start: 15, len: 10 }, ..references.clone() },
        View { sort: sort("age", true), filter: "size>20".into(), ..references.clone() },
        View { group: Some("site".into()), ..references.clone() },
        View { columns: vec!["pid".into(), "size_bytes".into()], sort: sort("pid", true), ..references.clone() },
        View { window: Window { start: 0, len: 0 }, ..references.clone() },
        View::of(Table::Store),
    ];
    let mut client = Client::connect(&agent.address).await;
    let mut replicas: Vec<Replica> = views.iter().map(|_| Replica::default()).collect();
    for (id, view) in views.iter().enumerate() {
        client.subscribe(id as u32, view.clone()).await;
    }
    for step in 0..40_u32 {
        agent.change(|rows| {
            rows.now_ms = u64::from(step);
            rows.references.retain(|row| row.since_ms % 5 != u64::from(step) % 5);
            rows.references.extend((0..7).map(|n| reference(n % 3, step * 7 + n, (n > 0).then_some(u64::from(step * 31 % 60 + n)))));
        });
        let expected: Vec<_> = views.iter().map(|view| evaluate(view, &*agent.rows.lock().unwrap()).unwrap()).collect();
        // Frames may show steps in between; each view must come to show this one.
        while views.iter().zip(&replicas).zip(&expected).any(|((view, replica), window)| !replica.shows(view, window)) {
            let Read::Frame(frame, json) = client.read().await else { panic!("closed") };
            assert!(frame.at_ms <= u64::from(step));
            let id = json["id"].as_u64().unwrap() as usize;
            replicas[id].apply(&frame.body, &json);
            client.ack().await;
        }
    }
    client.nothing_waits().await;
}

#[tokio::test]
async fn a_node_that_does_not_change_is_not_looked_at() {
    let agent = Agent::with(brisk(), |server| server).await;
    agent.change(|rows| rows.references = vec![reference(1, 1, Some(1))]);
    let mut client = Client::connect(&agent.address).await;
    client.subscribe(1, View::of(Table::References)).await;
    client.frame().await;
    client.ack().await;
    let quiet = async || {
        let before = agent.looks();
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(agent.looks(), before);
    };
    quiet().await;
    let copies = || agent.rows.lock().unwrap().copies.load(Ordering::SeqCst);
    assert_eq!(copies(), 1);
    // A new version with the same rows is looked at, and nothing is sent.
    agent.change_seen(|_| ()).await;
    until("the table is copied", || copies() == 2).await;
    client.nothing_waits().await;
    quiet().await;
    assert_eq!(copies(), 2);
    // Without views changes are not looked at either.
    client.send(&Request::Unsubscribe { id: 1 }).await;
    client.nothing_waits().await;
    agent.change(|_| ());
    quiet().await;
}

#[tokio::test]
async fn rows_come_into_a_view_only_by_growing_older() {
    let agent = Agent::with(brisk(), |server| server).await;
    agent.change(|rows| {
        rows.now_ms = 10_000;
        rows.references = vec![reference(1, 5_000, Some(1))];
    });
    let mut client = Client::connect(&agent.address).await;
    client.subscribe(1, View { filter: "age>1m".into(), ..View::of(Table::References) }).await;
    let Body::Snapshot { totals, .. } = client.frame().await.body else { panic!("no snapshot") };
    assert_eq!((totals.rows, totals.matched), (1, 0));
    client.ack().await;
    agent.rows.lock().unwrap().now_ms = 100_000;
    let Body::Delta { totals, order: Some(order), .. } = client.frame().await.body else { panic!("no delta") };
    assert_eq!((totals.matched, order.len()), (1, 1));
}

#[tokio::test]
async fn a_window_that_fits_no_frame_is_cut_and_says_so() {
    let agent = Agent::with(brisk(), |server| server).await;
    agent.change(|rows| {
        rows.events = (1..=500).map(|number| EventRow { number, message: "m".repeat(1000), ..EventRow::default() }).collect();
    });
    let view = View { window: Window { start: 0, len: 500 }, ..View::of(Table::Events) };
    let mut client = Client::connect(&agent.address).await;
    client.subscribe(1, view).await;
    let Body::Snapshot { totals, rows: Rows::Events(rows), .. } = client.frame().await.body else { panic!("no snapshot") };
    assert!(rows.len() > 100, "{}", rows.len());
    assert_eq!((totals.matched, totals.cut), (500, 500 - rows.len() as u64));
    assert_eq!((rows[0].number, rows[1].number), (500, 499));
    client.ack().await;

    agent.change(|rows| rows.events.push(EventRow { number: 501, message: "x".repeat(200_000), ..EventRow::default() }));
    let Body::Delta { order: Some(order), rows: Rows::Events(rows), .. } = client.frame().await.body else { panic!("no delta") };
    assert_eq!((order[0].as_str(), rows.len(), rows[0].number), ("501", 1, 501));
    assert!(rows[0].message.ends_with('…') && rows[0].message.len() < 2_000, "one row never takes all the room");
}
