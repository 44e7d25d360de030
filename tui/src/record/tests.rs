use futures_util::{SinkExt, StreamExt};
use plasmon_protocol::stream::{MAX_SUBSCRIPTIONS, MAX_VIEWED, VERSION};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

use super::*;

#[test]
fn its_windows_are_what_one_viewer_may_have() {
    let (mut rows, mut views) = (0, 1);
    for table in TABLES {
        let (len, most) = windows(table);
        rows += (len * most) as usize;
        views += most as usize;
    }
    assert!(rows <= MAX_VIEWED && views <= MAX_SUBSCRIPTIONS, "{rows} rows, {views} subscriptions");
    for table in TABLES.into_iter().filter(|table| is_long(*table)) {
        let (len, base) = windows(table);
        assert!((len * MORE) as usize <= MAX_VIEWED && MORE as usize <= MAX_SUBSCRIPTIONS && base + MORE < NUMBERS, "{table:?}");
    }
}

/// An agent that says hello on every connection but `broken`, counted from 0, which it closes; and nothing else.
async fn agent(broken: Option<usize>) -> Door {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let door = Door { url: format!("ws://{}", listener.local_addr().unwrap()), token: None };
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            if Some(number) == broken {
                continue;
            }
            tokio::spawn(async move {
                let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
                let body = Body::Hello { version: VERSION, node: Box::default() };
                let hello = serde_json::to_string(&Frame { seq: 1, at_ms: 1, missed: 0, body }).unwrap();
                socket.send(Message::text(hello)).await.unwrap();
                while let Some(Ok(_)) = socket.next().await {}
            });
        }
    });
    door
}

/// A viewer of references alone.
async fn viewer(door: &Door) -> Viewer<'_> {
    let (connection, node) = door.connect().await.unwrap();
    let mut viewer = Viewer::new(door, connection, node);
    viewer.tables.insert(id(Table::References, 0), Part::new(Table::References, 0));
    viewer
}

/// How many windows there are of so many references, and whether they have a connection of their own.
async fn reached(viewer: &mut Viewer<'_>, matched: u64) -> (usize, bool) {
    viewer.reach(id(Table::References, 0), Totals { matched, ..Totals::default() }).await.unwrap();
    (viewer.tables.len(), viewer.lanes.contains_key(&Table::References))
}

#[tokio::test]
async fn a_table_without_its_own_connection_has_no_windows_on_it() {
    let door = agent(Some(1)).await;
    let mut viewer = viewer(&door).await;
    assert_eq!(reached(&mut viewer, 2_000).await, (4, false), "it is not tried again for the next window");
    assert_eq!(reached(&mut viewer, 2_000).await, (4, false));
    assert_eq!(reached(&mut viewer, 100).await, (1, false));
}

#[tokio::test]
async fn a_table_keeps_its_own_connection_until_it_is_much_shorter() {
    let door = agent(None).await;
    let mut viewer = viewer(&door).await;
    for (matched, expected) in
        [(600, (4, false)), (601, (5, true)), (599, (4, true)), (900, (6, true)), (301, (3, true)), (300, (2, false))]
    {
        assert_eq!(reached(&mut viewer, matched).await, expected, "{matched} references");
    }
}
