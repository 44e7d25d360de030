//! What a viewer may ask, and what happens when it asks something else.

use std::sync::Arc;

use futures_util::SinkExt;
use plasmon_protocol::column::Table;
use plasmon_protocol::id::{ObjectId, ProcessId, SiteId};
use plasmon_protocol::record::{ObjectRow, PostMortemRow, ProcessRow, Site, SiteRow};
use plasmon_protocol::stream::{
    Body, Detail, MAX_REQUEST, MAX_WINDOW, ObjectDetail, PostMortem, ProcessDetail, Request, Rows, SiteDetail, Sort, Target, VERSION, View,
    Window,
};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::client::Client;
use crate::fake::{Agent, reference};
use plasmon_agent::telemetry::server::Limits;

#[tokio::test]
async fn another_version_is_refused_and_both_are_named() {
    let agent = Agent::start().await;
    let mut client = Client::silent(&agent.address).await;
    client.send(&Request::Hello { version: 77 }).await;
    let (code, message) = client.refused(1002).await;
    assert_eq!(code, "version");
    assert!(message.contains("version 77") && message.contains(&format!("version {VERSION}")), "{message}");
}

#[tokio::test]
async fn hello_comes_first_and_once() {
    let agent = Agent::start().await;
    let mut client = Client::silent(&agent.address).await;
    client.subscribe(1, View::of(Table::References)).await;
    assert_eq!(client.refused(1002).await.0, "protocol");

    let mut client = Client::connect(&agent.address).await;
    client.send(&Request::Hello { version: VERSION }).await;
    assert_eq!(client.refused(1002).await.0, "protocol");
}

#[tokio::test]
async fn whoever_says_nothing_is_closed() {
    let agent = Agent::with(Limits { handshake: std::time::Duration::from_secs(3), ..Limits::default() }, |server| server).await;
    let mut client = Client::silent(&agent.address).await;
    assert_eq!(client.refused(1002).await.0, "protocol");
    agent.viewers(0).await;
}

#[tokio::test]
async fn malformed_requests_are_answered_and_end_the_connection() {
    let agent = Agent::start().await;
    let deep = "[".repeat(MAX_REQUEST - 1);
    for text in ["", "{", "null", "[]", r#"{"type":"reboot"}"#, r#"{"type":"ack"}"#, r#"{"type":"ack","seq":-1}"#, &deep] {
        let mut client = Client::connect(&agent.address).await;
        client.send_text(text.to_owned()).await;
        let (code, message) = client.refused(1007).await;
        assert_eq!(code, "invalid", "{message}");
    }
    let mut client = Client::connect(&agent.address).await;
    client.send_text(r#"{"type":"subscribe","id":1,"view":{"table":"references","colour":1}}"#.to_owned()).await;
    assert!(client.refused(1007).await.1.contains("colour"));

    let mut client = Client::connect(&agent.address).await;
    client.socket.send(Message::binary(b"{}".to_vec())).await.unwrap();
    client.refused(1003).await;

    let mut client = Client::connect(&agent.address).await;
    client.send(&Request::Ack { seq: 99 }).await;
    assert!(client.refused(1002).await.1.contains("99"));
    agent.viewers(0).await;
}

#[tokio::test]
async fn oversized_requests_are_refused() {
    let agent = Agent::start().await;
    let mut client = Client::connect(&agent.address).await;
    client.send_text(format!("{{\"type\":\"ack\",\"seq\":1}}{}", " ".repeat(MAX_REQUEST - 30))).await;
    client.nothing_waits().await;
    client.send_text("x".repeat(MAX_REQUEST + 1)).await;
    let (code, message) = client.refused(1009).await;
    assert_eq!(code, "invalid", "{message}");
    agent.viewers(0).await;
}

#[tokio::test]
async fn a_view_that_cannot_be_shown_is_an_error_and_no_more() {
    let agent = Agent::start().await;
    agent.change(|rows| rows.references = vec![reference(1, 1, Some(8))]);
    let mut client = Client::connect(&agent.address).await;
    let view = View::of(Table::References);
    let sort = |column: &str| Some(Sort { column: column.to_owned(), ascending: false });
    for (view, named) in [
        (View { filter: "colour:red".into(), ..view.clone() }, "colour"),
        (View { filter: "size>>".into(), ..view.clone() }, "size>>"),
        (View { sort: sort("colour"), ..view.clone() }, "colour"),
        (View { group: Some("colour".into()), ..view.clone() }, "colour"),
        (View { group: Some("pid".into()), sort: sort("age"), ..view.clone() }, "age"),
        (View { columns: vec!["colour".into()], ..view.clone() }, "colour"),
        (View { window: Window { start: 0, len: 501 }, ..view.clone() }, "501"),
    ] {
        client.subscribe(7, view).await;
        let Body::Error { id: Some(7), code, message, .. } = client.frame().await.body else { panic!("no error") };
        assert!(code == "invalid" && message.contains(named), "{message}");
    }
    client.subscribe(7, view.clone()).await;
    assert!(matches!(client.frame().await.body, Body::Snapshot { id: 7, .. }));
    client.ack().await;
    // A view that replaces another and fails leaves neither.
    client.subscribe(7, View { filter: "colour:red".into(), ..view.clone() }).await;
    assert!(matches!(client.frame().await.body, Body::Error { id: Some(7), .. }));
    agent.change(|rows| rows.references.clear());
    client.subscribe(8, view).await;
    assert!(matches!(client.frame().await.body, Body::Snapshot { id: 8, .. }));
}

#[tokio::test]
async fn a_viewer_has_a_bounded_number_of_views() {
    let agent = Agent::start().await;
    let mut client = Client::connect(&agent.address).await;
    for id in 0..33 {
        client.send(&Request::Watch { id, target: Target::Site(SiteId(id)) }).await;
    }
    let mut seen = 0;
    loop {
        match client.frame().await.body {
            Body::Detail { detail: None, .. } => {
                seen += 1;
                client.ack().await;
            }
            Body::Error { id: Some(32), message, .. } => break assert!(message.contains("32"), "{message}"),
            other => panic!("{other:?}"),
        }
        assert!(seen <= 32);
    }
}

#[tokio::test]
async fn what_a_viewer_has_is_bounded_in_all_and_it_is_told() {
    let agent = Agent::start().await;
    agent.change(|rows| rows.references = (0..600).map(|n| reference(1, n, Some(1))).collect());
    let mut client = Client::connect(&agent.address).await;
    let mut shown = async |id: u32, len: u32, filter: &str| {
        let columns = vec!["size_bytes".to_owned()];
        let view = View { window: Window { start: 0, len }, filter: filter.to_owned(), columns, ..View::of(Table::References) };
        client.subscribe(id, view).await;
        let body = client.frame().await.body;
        client.ack().await;
        match body {
            Body::Snapshot { id: of, rows: Rows::References(rows), totals, .. } if of == id => Ok((rows.len(), totals.cut)),
            Body::Error { id: Some(of), message, .. } if of == id => Err(message),
            other => panic!("{other:?}"),
        }
    };
    let mut all = 0;
    for id in 0..12 {
        let (rows, cut) = shown(id, MAX_WINDOW, "").await.unwrap();
        assert_eq!(rows as u64 + cut, u64::from(MAX_WINDOW));
        all += rows;
        assert!(cut == 0 || all == 2_560, "{all}");
    }
    assert_eq!(all, 2_560);
    // When one lets go of its rows, there is room for others.
    for id in (5..12).rev() {
        shown(id, 0, "").await.unwrap();
    }
    assert_eq!(shown(3, 10, "").await.unwrap(), (10, 0));
    assert_eq!(shown(20, 490, "").await.unwrap(), (490, 0));
    // What is read of long filters takes room too.
    let words = "1 ".repeat(64);
    shown(50, 0, &words).await.unwrap();
    assert!(shown(51, 0, &words).await.unwrap_err().contains("leave no room"));
}

#[tokio::test]
async fn rows_that_one_view_lets_go_of_come_to_those_that_had_to_do_without() {
    let agent = Agent::start().await;
    agent.change(|rows| rows.references = (0..600).map(|n| reference(1, n, Some(1))).collect());
    let mut client = Client::connect(&agent.address).await;
    let view = |len| {
        let columns = vec!["size_bytes".to_owned()];
        View { window: Window { start: 0, len }, columns, ..View::of(Table::References) }
    };
    let mut next = async |request: Option<Request>| {
        if let Some(request) = request {
            client.send(&request).await;
        }
        let (id, rows, cut) = match client.frame().await.body {
            Body::Snapshot { id, rows: Rows::References(rows), totals, .. } => (id, rows.len(), totals.cut),
            Body::Delta { id, order: Some(order), totals, .. } => (id, order.len(), totals.cut),
            other => panic!("{other:?}"),
        };
        client.ack().await;
        (id, rows, cut)
    };
    let mut had = Vec::new();
    for id in 0..7 {
        had.push(next(Some(Request::Subscribe { id, view: view(MAX_WINDOW) })).await);
    }
    assert_eq!(had[4..], [(4, 500, 0), (5, 60, 440), (6, 0, 500)]);
    assert_eq!(next(Some(Request::Unsubscribe { id: 0 })).await, (5, 500, 0));
    assert_eq!(next(None).await, (6, 60, 440));
    // A window that is replaced by a shorter one has let go of rows too.
    assert_eq!(next(Some(Request::Subscribe { id: 1, view: view(100) })).await, (1, 100, 0));
    assert_eq!(next(None).await, (6, 460, 40));
}

#[tokio::test]
async fn a_report_comes_in_parts_without_acknowledgements() {
    let agent = Agent::start().await;
    let all: Vec<_> = (0..5_000).map(|n| reference(n % 9, n, Some(u64::from(n)))).collect();
    agent.change(|rows| rows.references = all.clone());
    let mut client = Client::connect(&agent.address).await;
    client.send(&Request::Report { id: 3, filter: String::new() }).await;
    client.send(&Request::Report { id: 4, filter: String::new() }).await;
    // What changes behind the request is not in the report.
    for wanted in [3, 4] {
        let mut got = Vec::new();
        for part in 0.. {
            let Body::Report { id, store, references, last, .. } = client.frame().await.body else { panic!("no report") };
            assert_eq!((id, store.is_some()), (wanted, part == 0));
            assert!(!references.is_empty());
            got.extend(references);
            if last {
                assert!(part > 4, "{part}");
                break;
            }
        }
        assert_eq!(got, all);
    }
    agent.change(|rows| rows.references.clear());
    client.send(&Request::Report { id: 5, filter: String::new() }).await;
    let Body::Report { id: 5, store: Some(_), references, last: true, .. } = client.frame().await.body else { panic!("no report") };
    assert!(references.is_empty());
}

#[tokio::test]
async fn a_report_of_what_matches_has_no_more_than_that_and_the_whole_store() {
    let agent = Agent::start().await;
    let all: Vec<_> = (0..5_000).map(|n| reference(n % 9, n, Some(u64::from(n)))).collect();
    agent.change(|rows| rows.references = all.clone());
    let mut client = Client::connect(&agent.address).await;
    let report = |id, filter: &str| Request::Report { id, filter: filter.to_owned() };
    client.send(&report(1, "size<40 (pid:1003 | pid:1004)")).await;
    let Body::Report { id: 1, store: Some(_), references, last: true, .. } = client.frame().await.body else { panic!("no report") };
    let expected: Vec<_> = all.into_iter().filter(|row| row.size_bytes < Some(40) && matches!(row.pid, 1003 | 1004)).collect();
    assert_eq!(references, expected);
    client.send(&report(2, "size<40 (pid:1003")).await;
    let Body::Error { id: Some(2), message, .. } = client.frame().await.body else { panic!("no error") };
    assert!(message.contains("this bracket is not closed at character 9"), "{message}");
    client.send(&report(3, "nobody")).await;
    let Body::Report { id: 3, references, last: true, .. } = client.frame().await.body else { panic!("no report") };
    assert!(references.is_empty());
}

#[tokio::test]
async fn a_goodbye_is_answered() {
    let agent = Agent::start().await;
    let mut client = Client::connect(&agent.address).await;
    let goodbye = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    client.socket.send(Message::Close(Some(goodbye))).await.unwrap();
    client.closed(1000).await;
    agent.viewers(0).await;
}

/// A process that died with so many references, with so much to say of each.
fn dead(process: u32, references: u32, text: usize) -> PostMortem {
    let rows = (0..references).map(|n| {
        let mut row = reference(process, n, Some(u64::from(references - n)));
        row.call_site = Arc::new(Site { function: "f".repeat(text), ..Site::default() });
        row
    });
    let how = "signal 9".into();
    let row = PostMortemRow { process: ProcessId(process), how, references: u64::from(references), ..PostMortemRow::default() };
    PostMortem { process: row, references: rows.collect(), ..PostMortem::default() }
}

#[tokio::test]
async fn the_dead_come_first_and_every_part_fits_a_frame() {
    let agent = Agent::start().await;
    let all: Vec<_> = (0..1_000).map(|n| reference(n % 9, n, Some(u64::from(n)))).collect();
    // As many as an agent keeps, with as much as it keeps of each: too much for a frame; of the last one, even alone.
    let mut entries: Vec<PostMortem> = (100..199).map(|process| dead(process, 100, 40)).collect();
    entries.push(dead(199, 100, 900));
    agent.change(|rows| {
        rows.references = all.clone();
        rows.details.extend(entries.iter().map(|entry| (Target::Process(entry.process.process), Detail::PostMortem(entry.clone()))));
    });
    let mut client = Client::connect(&agent.address).await;
    client.send(&Request::Report { id: 3, filter: String::new() }).await;
    let (mut got, mut died) = (Vec::new(), Vec::new());
    for part in 0.. {
        let Body::Report { store, post_mortem, references, last, .. } = client.frame().await.body else { panic!("no report") };
        assert_eq!(store.is_some(), part == 0);
        assert!(!post_mortem.is_empty() || !references.is_empty(), "every part brings the report on");
        assert!(post_mortem.is_empty() || got.is_empty(), "the dead come first");
        died.extend(post_mortem);
        got.extend(references);
        if last {
            break;
        }
    }
    assert_eq!(got, all);
    died.sort_by_key(|entry| entry.process.process);
    let cut = died.pop().unwrap();
    let whole = entries.pop().unwrap();
    assert_eq!(died, entries);
    assert_eq!(cut.process, whole.process, "the count of what it held is exact");
    assert!((25..100).contains(&cut.references.len()), "{}", cut.references.len());
    assert_eq!(cut.references, whole.references[..cut.references.len()], "the largest are kept");
}

#[tokio::test]
async fn a_watch_shows_what_only_files_know_and_the_end() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("work.rs"), "fn make() {\n    put(1);\n}\n").unwrap();
    let roots = vec![root.path().to_owned()];
    let agent = Agent::with(Limits::default(), |server| server.source_roots(roots).unique_bytes(|pid| Some(u64::from(pid) * 10))).await;
    let object = ObjectId([7; 16]);
    agent.change(|rows| {
        let site = Site { file: "work.rs".into(), line: 2, ..Site::default() }.into();
        let site = SiteDetail { site: SiteRow { site, ..SiteRow::default() }, ..SiteDetail::default() };
        rows.details.insert(Target::Site(SiteId(1)), Detail::Site(site));
        let process = ProcessDetail { process: ProcessRow { pid: 5, ..ProcessRow::default() }, ..ProcessDetail::default() };
        rows.details.insert(Target::Process(ProcessId(5)), Detail::Process(process));
        // More than a frame holds, were it not cut.
        let holders = (0..100).map(|n| {
            let mut row = reference(n, n, None);
            row.call_site = Site { file: "x".repeat(5_000), ..Site::default() }.into();
            row
        });
        let detail = ObjectDetail {
            object: ObjectRow { object_id: object, ..ObjectRow::default() },
            holders: holders.collect(),
            ..ObjectDetail::default()
        };
        rows.details.insert(Target::Object(object), Detail::Object(detail));
    });
    let mut client = Client::connect(&agent.address).await;
    client.send(&Request::Watch { id: 1, target: Target::Site(SiteId(1)) }).await;
    let Body::Detail { id: 1, detail: Some(detail) } = client.frame().await.body else { panic!("no detail") };
    let Detail::Site(SiteDetail { source: Some(source), .. }) = *detail else { panic!("no source") };
    assert_eq!((source.lines[1].as_str(), source.first_line, source.marked_line), ("    put(1);", 1, 2));

    client.ack().await;
    client.send(&Request::Watch { id: 2, target: Target::Process(ProcessId(5)) }).await;
    let Body::Detail { id: 2, detail: Some(detail) } = client.frame().await.body else { panic!("no detail") };
    assert!(matches!(*detail, Detail::Process(ProcessDetail { unique_bytes: Some(50), .. })));

    client.ack().await;
    client.send(&Request::Watch { id: 3, target: Target::Object(object) }).await;
    let Body::Detail { id: 3, detail: Some(detail) } = client.frame().await.body else { panic!("no detail") };
    let Detail::Object(detail) = *detail else { panic!("another detail") };
    assert!(detail.object.object_id == object && !detail.holders.is_empty());

    client.ack().await;
    client.send(&Request::Unsubscribe { id: 1 }).await;
    client.nothing_waits().await;
    agent.change(|rows| {
        rows.details.remove(&Target::Site(SiteId(1)));
        rows.details.remove(&Target::Object(object));
    });
    assert!(matches!(client.frame().await.body, Body::Detail { id: 3, detail: None }));
}
