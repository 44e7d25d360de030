//! Marks, the mouse, what is copied and saved, jumps.

use plasmon_protocol::column::Record;
use plasmon_protocol::record::ObjectRow;
use plasmon_protocol::stream::{Detail, ObjectDetail, Target as Thing, View};

use super::*;
use crate::app::act::{narrowed, trouble};
use crate::app::alive::Keeper;
use crate::app::mark::{SHEETS, Since};
use crate::app::mouse::Mouse;
use crate::app::page::Item;
use crate::app::prompt::check;
use crate::app::subscribe::Slot;
use crate::model::window::none;
use crate::view::hit::{Hit, hits};

fn sites(held: &[(u32, u64)]) -> Vec<SiteRow> {
    let site = |id: u32| Site { id: SiteId(id), file: format!("{id}.rs"), line: id, ..Site::default() };
    held.iter().map(|(id, held)| SiteRow { site: site(*id).into(), held_bytes: *held, objects: 1, ..SiteRow::default() }).collect()
}

/// Answers what of `effects` asks for a table of sites, the latest first.
fn answer(app: &mut App, seq: &mut u64, effects: &[Effect], rows: &[(u32, u64)]) {
    for effect in effects {
        let Effect::Send(Request::Subscribe { id, view }) = effect else { continue };
        if view.table == Table::Sites {
            *seq += 1;
            let totals = Totals { rows: rows.len() as u64, matched: rows.len() as u64, ..Totals::default() };
            let body = Body::Snapshot { id: *id, totals, start: 0, rows: Rows::Sites(sites(rows)) };
            app.update(Msg::Frame(Box::new(Frame { seq: *seq, at_ms: 1_000_000, missed: 0, body })));
        }
    }
}

/// Answers whatever is asked for, and what is asked for then, by `rows` of a view, else with an empty table; the views that were.
fn answer_all(app: &mut App, seq: &mut u64, effects: Vec<Effect>, rows: impl Fn(&View) -> Option<(Totals, Rows)>) -> Vec<View> {
    let (mut open, mut asked) = (effects, Vec::new());
    while !open.is_empty() {
        let together = open.iter().filter(|effect| matches!(effect, Effect::Send(Request::Subscribe { .. }))).count();
        assert!(together <= 4, "{together} tables at a time");
        for effect in std::mem::take(&mut open) {
            let Effect::Send(Request::Subscribe { id, view }) = effect else { continue };
            *seq += 1;
            let (totals, rows) = rows(&view).unwrap_or_else(|| (Totals::default(), none(view.table)));
            let body = Body::Snapshot { id, totals, start: view.window.start, rows };
            open.extend(app.update(Msg::Frame(Box::new(Frame { seq: *seq, at_ms: 1_000_000, missed: 0, body }))));
            asked.push(view);
        }
    }
    asked
}

/// A table with more rows than fit a window is read on, until all are here.
#[test]
fn a_mark_reads_long_tables_to_their_end() {
    let (mut app, _) = connected();
    let mut seq = 0;
    press(&mut app, "3");
    let asked = press(&mut app, "d");
    let sites_of = |view: &View| {
        let window = view.window.start..(view.window.start + u64::from(view.window.len)).min(1_200);
        let rows: Vec<(u32, u64)> = window.map(|id| (id as u32 + 1, 100)).collect();
        let totals = Totals { rows: 1_200, matched: 1_200, ..Totals::default() };
        (view.table == Table::Sites && view.group.is_none()).then(|| (totals, Rows::Sites(sites(&rows))))
    };
    let views = answer_all(&mut app, &mut seq, asked, sites_of);
    let starts: Vec<u64> = views.iter().filter(|view| view.table == Table::Sites).map(|view| view.window.start).collect();
    assert_eq!(starts, [0, 500, 1_000]);
    assert_eq!(app.mark().map(|mark| mark.is_read()), Some(true), "{views:?}");
    let since = |id| app.since(Slot::Main, Table::Sites, &sites(&[(id, 130)])[0]);
    assert_eq!([since(1), since(1_200), since(1_201)], [Some(Since::Bytes(30)), Some(Since::Bytes(30)), Some(Since::Bytes(130))]);
}

/// Of a table that changed while it was read, and of one that was not told whole, nobody knows whether what is not here is new.
#[test]
fn a_mark_takes_no_row_for_new_that_it_may_have_missed() {
    // The first three rows go after the first window: those at 500 to 502 move to places that were read. They come back before the last.
    for (left_out, moved) in [(1, 0), (0, 3)] {
        let (mut app, _) = connected();
        let mut seq = 0;
        press(&mut app, "3");
        let asked = press(&mut app, "d");
        let sites_of = |view: &View| {
            let start = view.window.start;
            let gone = if start == 500 { moved } else { 0 };
            let window = start + gone..(start + gone + u64::from(view.window.len)).min(1_200);
            let rows: Vec<(u32, u64)> = window.map(|id| (id as u32 + 1, 100)).collect();
            let totals = Totals { rows: 1_200 - gone, matched: 1_200 - gone, cut: left_out, ..Totals::default() };
            (view.table == Table::Sites && view.group.is_none()).then(|| (totals, Rows::Sites(sites(&rows))))
        };
        answer_all(&mut app, &mut seq, asked, sites_of);
        assert_eq!(app.mark().map(|mark| mark.is_read()), Some(true));
        let since = |id| app.since(Slot::Main, Table::Sites, &sites(&[(id, 130)])[0]);
        assert_eq!([since(1), since(1_200), since(1_201)], [Some(Since::Bytes(30)), Some(Since::Bytes(30)), Some(Since::Unknown)]);
    }
}

/// What an agent does not serve is not waited for.
#[test]
fn a_table_that_is_refused_holds_up_no_mark() {
    let (mut app, _) = connected();
    let (mut seq, mut open) = (0, press(&mut app, "d"));
    while !open.is_empty() {
        for effect in std::mem::take(&mut open) {
            let Effect::Send(Request::Subscribe { id, .. }) = effect else { continue };
            seq += 1;
            let body = Body::Error { id: Some(id), code: "invalid".into(), message: "no".into(), hint: String::new() };
            open.extend(app.update(Msg::Frame(Box::new(Frame { seq, at_ms: 1_000_000, missed: 0, body }))));
        }
    }
    assert_eq!(app.mark().map(|mark| mark.is_read()), Some(true));
    assert_eq!(app.since(Slot::Main, Table::Sites, &sites(&[(1, 130)])[0]), Some(Since::Unknown));
}

#[test]
fn a_mark_reads_every_table_once_and_tells_what_grew() {
    let (mut app, _) = connected();
    let mut seq = 0;
    let opened = press(&mut app, "3");
    answer(&mut app, &mut seq, &opened, &[(1, 100), (2, 50)]);
    let asked = press(&mut app, "d");
    assert_eq!(id_of(&asked[..1], Table::Sites), id_of(&asked, Table::Sites), "what is looked at comes first");
    let known = |view: &View| {
        let totals = Totals { rows: 2, matched: 2, ..Totals::default() };
        (view.table == Table::Sites).then(|| (totals, Rows::Sites(sites(&[(1, 100), (2, 50)]))))
    };
    assert_eq!(answer_all(&mut app, &mut seq, asked, known).len(), SHEETS.len(), "each once");
    // Site 3 is new, 1 has grown, 2 has shrunk.
    let again = press(&mut app, "23");
    answer(&mut app, &mut seq, &again, &[(1, 130), (2, 20), (3, 7)]);
    let rows = sites(&[(1, 130), (2, 20), (3, 7)]);
    let since: Vec<_> = rows.iter().map(|row| app.since(Slot::Main, Table::Sites, row)).collect();
    assert_eq!(since, [Some(Since::Bytes(30)), Some(Since::Bytes(-30)), Some(Since::Bytes(7))]);
    let (tree, _) = app.tree().unwrap();
    let order: Vec<String> = tree.iter().map(|row| row.key(app.window(Slot::Main).unwrap().of::<SiteRow>().unwrap())).collect();
    assert_eq!(order, ["1", "3", "2"], "what grew most stands first");
    // A reference is new or not.
    let (old, new) = (ReferenceRow { since_ms: 5, ..reference(1) }, ReferenceRow { since_ms: u64::MAX, ..reference(2) });
    assert_eq!(app.since(Slot::Main, Table::References, &old), Some(Since::Old));
    assert_eq!(app.since(Slot::Main, Table::References, &new), Some(Since::New(Some(2))));
    press(&mut app, "D");
    assert_eq!(app.since(Slot::Main, Table::Sites, &rows[0]), None);
    assert!(app.mark().is_none());
}

#[test]
fn groups_grow_by_bytes_and_those_of_tasks_by_rows() {
    let (mut app, _) = connected();
    let mut seq = 0;
    let asked = press(&mut app, "d");
    let group = |view: &View| {
        let group = GroupRow { key: "a".into(), rows: 3, bytes: 0, ..GroupRow::default() };
        let totals = Totals { rows: 3, matched: 3, groups: 1, ..Totals::default() };
        view.group.is_some().then(|| (totals, Rows::Groups(vec![group])))
    };
    answer_all(&mut app, &mut seq, asked, group);
    for (view, keys, table, expected) in [
        ("2", "b", Table::References, Since::Bytes(100)),
        ("5", "b", Table::Tasks, Since::Rows(2)),
        ("5", "ob", Table::Actors, Since::Bytes(100)),
    ] {
        let mut app = app.clone();
        let asked = press(&mut app, view);
        if table == Table::Actors {
            let (id, totals) = (id_of(&asked, table), Totals { rows: 1, matched: 1, ..Totals::default() });
            let body = Body::Snapshot { id, totals, start: 0, rows: Rows::Actors(vec![ActorRow::default()]) };
            app.update(Msg::Frame(Box::new(Frame { seq: 100, at_ms: 1_000_000, missed: 0, body })));
        }
        press(&mut app, keys);
        assert_eq!(app.place().table(), Some(table));
        let row = GroupRow { key: "a".into(), rows: 5, bytes: 100, ..GroupRow::default() };
        assert_eq!(app.since(Slot::Main, table, &row), Some(expected), "{table:?}");
        let row = GroupRow { key: "new".into(), ..row };
        let expected = if table == Table::Tasks { Since::Rows(5) } else { Since::Bytes(100) };
        assert_eq!(app.since(Slot::Main, table, &row), Some(expected), "{table:?}");
    }
}

#[test]
fn of_several_agents_one_goes_to_the_last_row_and_is_told_while_more_is_read() {
    let (mut app, _) = connected();
    let node = |number| (NodeRow { node: NodeId([number; 8]), ..NodeRow::default() }, false);
    app.update(Msg::Nodes(vec![node(7), node(8)]));
    let id = id_of(&press(&mut app, "2"), Table::References);
    let totals = Totals { rows: 1_200, matched: 1_200, ..Totals::default() };
    let shown = |id, start, seq| {
        let rows = Rows::References((0..40).map(|row| reference(row + start as u32)).collect());
        Msg::Frame(Box::new(Frame { seq, at_ms: 5_000, missed: 0, body: Body::Snapshot { id, totals, start, rows } }))
    };
    app.update(Msg::Resize(140, 24));
    let text = |app: &mut App| {
        let [Effect::Save { text, .. }] = &press(app, "xt")[..] else { panic!("nothing is saved") };
        text.clone()
    };
    app.update(shown(id, 0, 1));
    assert!(!text(&mut app).contains("reading more rows"));
    let id = id_of(&press(&mut app, "G"), Table::References);
    assert_eq!(app.place().list.cursor, 1_199, "the last row of all");
    assert!(text(&mut app).contains("reading more rows"), "the rows are on their way");
    assert_eq!(app.update(shown(id, 1_160, 2)), [], "nothing more is asked for");
    let text = text(&mut app);
    assert!(text.contains("1,200") && !text.contains("reading more rows"), "{text}");
    assert!(text.lines().all(|line| !matches!(line.trim(), "…" | "▸…")), "{text}");
    let selected = app.place().list.selected.clone();
    app.update(shown(id, 1_161, 3));
    assert_eq!(app.place().list.selected, selected, "it stays selected when a row comes before it");
}

#[test]
fn of_several_agents_the_lost_one_says_since_when_and_what_of_it_is_not_here() {
    let (mut app, _) = connected();
    let nodes = |lost| [7, 8].map(|number| (NodeRow { node: NodeId([number; 8]), ..NodeRow::default() }, lost && number == 8)).to_vec();
    app.update(Msg::Resize(140, 24));
    app.update(Msg::Nodes(nodes(false)));
    let id = id_of(&press(&mut app, "2"), Table::References);
    let totals = Totals { rows: 50, matched: 40, cut: 10, ..Totals::default() };
    let rows = Rows::References((0..40).map(reference).collect());
    app.update(Msg::Frame(Box::new(Frame { seq: 1, at_ms: 5_000, missed: 0, body: Body::Snapshot { id, totals, start: 0, rows } })));
    app.update(Msg::Tick(47_000_000));
    app.update(Msg::Nodes(nodes(true)));
    app.update(Msg::Tick(48_000_000));
    app.update(Msg::Nodes(nodes(true)));
    let [Effect::Save { text, .. }] = &press(&mut app, "xt")[..] else { panic!("nothing is saved") };
    assert!(text.contains("lost 13:03:20, its rows are of then") && text.contains("10 rows of lost agents not here"), "{text}");
    app.update(Msg::Nodes(nodes(false)));
    let [Effect::Save { text, .. }] = &press(&mut app, "xt")[..] else { panic!("nothing is saved") };
    assert!(!text.contains("its rows are of then"), "{text}");
}

#[test]
fn a_mark_of_another_agent_is_dropped() {
    let (mut app, _) = connected();
    press(&mut app, "d");
    app.update(Msg::Connected(Box::new(NodeRow { node: NodeId([7; 8]), ..NodeRow::default() })));
    assert!(app.mark().is_some(), "the same agent answers again");
    app.update(Msg::Connected(Box::new(NodeRow { node: NodeId([8; 8]), ..NodeRow::default() })));
    assert!(app.mark().is_none());
    press(&mut app, " d");
    assert!(app.mark().is_none(), "a picture that stands still has no now");
}

/// Few sites are all that most programs have; of more, more are read when one goes to their end, and what is not read is told.
#[test]
fn whoever_goes_to_the_end_of_the_sites_gets_more_of_them() {
    let (mut app, _) = connected();
    app.update(Msg::Resize(120, 40));
    let mut seq = 0;
    let all = |view: &View| {
        let window = view.window.start..(view.window.start + u64::from(view.window.len)).min(2_600);
        let rows: Vec<(u32, u64)> = window.map(|id| (id as u32 + 1, 10_000 - id)).collect();
        let totals = Totals { rows: 2_600, matched: 2_600, ..Totals::default() };
        (view.table == Table::Sites && view.filter.is_empty()).then(|| (totals, Rows::Sites(sites(&rows))))
    };
    let asked = press(&mut app, "3");
    let asked_of = |views: Vec<View>| {
        let views = views.into_iter().filter(|view| view.table == Table::Sites && view.filter.is_empty());
        views.map(|view| (view.window.start, view.window.len)).collect::<Vec<_>>()
    };
    assert_eq!(asked_of(answer_all(&mut app, &mut seq, asked, all)), [(0, 200)], "the first screen takes few");
    let tables = |asked: &[Effect]| asked.iter().filter(|effect| matches!(effect, Effect::Send(Request::Subscribe { .. }))).count();
    assert_eq!(tables(&press(&mut app, "jjj")), 0);
    let asked = press(&mut app, "G");
    assert_eq!(asked_of(answer_all(&mut app, &mut seq, asked, all)), [(0, 500), (500, 500), (1_000, 500), (1_500, 500)]);
    assert_eq!(app.tree().map(|(rows, _)| rows.len()), Some(2_000));
    press(&mut app, "G");
    assert_eq!(app.place().list.cursor, 1_999);
    let [Effect::Save { text, .. }] = &press(&mut app, "xt")[..] else { panic!("nothing is saved") };
    assert!(text.contains("the first 2,000 of 2,600 sites"), "{text}");
    assert_eq!(tables(&press(&mut app, "gG")), 0, "what is here stays");

    // Put together once, not for every message: again when one of them has changed.
    let first_row = |app: &App| app.window(Slot::Main).unwrap().of::<SiteRow>().unwrap().as_ptr();
    let before = first_row(&app);
    app.update(Msg::Tick(1_000_100));
    press(&mut app, "k");
    assert_eq!(first_row(&app), before);
    let totals = Totals { rows: 2_600, matched: 2_600, ..Totals::default() };
    let id = app.subscriptions.id(Slot::More(2)).unwrap();
    let changed = Body::Delta { id, totals, start: 1_000, order: None, rows: Rows::Sites(sites(&[(1_001, 77)])) };
    app.update(Msg::Frame(Box::new(Frame { seq: seq + 1, at_ms: 1_000_000, missed: 0, body: changed })));
    let of = |app: &App, at: usize| app.window(Slot::Main).unwrap().of::<SiteRow>().unwrap()[at].held_bytes;
    assert_eq!((of(&app, 1_000), of(&app, 1_001)), (77, 8_999));
    // What stands still stays what it is, and what is live again is not taken for it.
    press(&mut app, " ");
    let changed = Body::Delta { id, totals, start: 1_000, order: None, rows: Rows::Sites(sites(&[(1_001, 78)])) };
    app.update(Msg::Frame(Box::new(Frame { seq: seq + 2, at_ms: 1_000_000, missed: 0, body: changed })));
    assert_eq!(of(&app, 1_000), 77);
    press(&mut app, " ");
    assert_eq!(of(&app, 1_000), 78);
}

#[test]
fn columns_without_room_are_shown_on_demand() {
    let (mut app, _) = connected();
    app.update(Msg::Resize(80, 24));
    let id = id_of(&press(&mut app, "2"), Table::References);
    app.update(references(1, id, 0, 4, &[40, 30, 20, 10]));
    let head = |app: &mut App| {
        let [Effect::Save { text, .. }] = &press(app, "xt")[..] else { panic!("nothing is saved") };
        text.lines().skip(2).take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    let usual = head(&mut app);
    press(&mut app, "W");
    let other = head(&mut app);
    assert!(other[0].contains(" columns 2/") && other[1] != usual[1] && other[1].contains("size"), "{other:?}");
    let mut rounds = 1;
    while head(&mut app) != usual {
        press(&mut app, "W");
        rounds += 1;
        assert!(rounds < 10, "the usual ones come again");
    }
    app.update(Msg::Resize(250, 24));
    press(&mut app, "W");
    assert_eq!(app.flash_line().map(|flash| flash.text.as_str()), Some("all columns are shown"));
}

#[test]
fn a_click_selects_sorts_goes_and_opens() {
    let (mut app, _) = connected();
    let id = id_of(&press(&mut app, "2"), Table::References);
    app.update(references(1, id, 0, 4, &[40, 30, 20, 10]));
    assert_eq!(press(&mut app, "m"), [Effect::Mouse(true)]);
    let at = |app: &App, wanted: Hit| {
        let (area, _) = hits(app).into_iter().find(|(_, hit)| *hit == wanted).unwrap();
        Msg::Mouse(Mouse::Click(area.x, area.y))
    };
    let click = at(&app, Hit::Row(Slot::Main, 2));
    app.update(click.clone());
    assert_eq!(app.place().list.cursor, 2);
    let opened = app.update(click);
    assert!(opened.iter().any(|effect| matches!(effect, Effect::Send(Request::Watch { target: Thing::Object(_), .. }))), "{opened:?}");
    let back = at(&app, Hit::Crumb(0));
    let id = id_of(&app.update(back), Table::References);
    app.update(references(2, id, 0, 4, &[40, 30, 20, 10]));
    assert_eq!(app.place().route, Route::View(Page::References));
    let head = at(&app, Hit::Column(Slot::Main, "age"));
    app.update(head);
    assert_eq!(app.sorted_by().map(|sort| sort.column), Some("age".to_owned()));
    app.update(Msg::Mouse(Mouse::WheelUp));
    assert_eq!(app.place().list.cursor, 0);
    let events = at(&app, Hit::View(Page::Events));
    app.update(events);
    assert_eq!(app.view(), Page::Events);
    let help = at(&app, Hit::Key(Key::Char('?')));
    app.update(help);
    assert!(matches!(app.overlay, Some(Overlay::Help(_))));
    assert_eq!(press(&mut app, "⎋m"), [Effect::Mouse(false)]);
}

#[test]
fn a_row_is_copied_as_what_one_chooses_and_a_view_is_saved() {
    let (mut app, _) = connected();
    let mut seq = 0;
    let opened = press(&mut app, "3");
    answer(&mut app, &mut seq, &opened, &[(7, 100)]);
    assert_eq!(press(&mut app, "Ys"), [Effect::Copy("7.rs:7".to_owned())]);
    let [Effect::Copy(json)] = &press(&mut app, "Yj")[..] else { panic!("nothing is copied") };
    let row: SiteRow = serde_json::from_str(json).unwrap();
    assert_eq!((row.held_bytes, row.site.id), (100, SiteId(7)));
    let [Effect::Copy(text)] = &press(&mut app, "Yt")[..] else { panic!("nothing is copied") };
    assert!(text.contains("100B") && text.ends_with("7.rs:7"), "{text}");
    for (letter, ending, part) in [('t', "txt", "─ Sites "), ('j', "json", "\"held_bytes\": 100"), ('s', "svg", "<svg ")] {
        let effects = press(&mut app, &format!("x{letter}"));
        let [Effect::Save { stem, ending: given, text }] = &effects[..] else { panic!("{effects:?}") };
        assert!(stem.starts_with("plasmon-sites-") && *given == ending && text.contains(part), "{stem}.{given}: {text}");
    }
    app.update(Msg::Saved(Err("cannot save it: no room".to_owned())));
    assert_eq!(app.flash_line().unwrap().mood, Mood::Refused);
}

#[test]
fn trouble_is_a_filter_of_every_table() {
    for table in [Table::References, Table::Sites, Table::SpillFiles, Table::Tasks, Table::Actors, Table::Processes, Table::Events] {
        check(table, trouble(table).unwrap()).unwrap();
    }
    let (mut app, _) = connected();
    press(&mut app, "7!");
    assert_eq!(app.place().list.filter, "severity:warning | severity:error");
    press(&mut app, "!");
    assert_eq!(app.place().list.filter, "");
    // What the viewer asked for comes back.
    press(&mut app, "2b/size>1m⏎");
    let group = app.place().list.group;
    assert_eq!((app.place().list.filter.as_str(), group.is_some()), ("size>1m", true));
    press(&mut app, "!");
    assert_eq!((app.place().list.filter.as_str(), app.place().list.group), (trouble(Table::References).unwrap(), None));
    press(&mut app, "!");
    assert_eq!((app.place().list.filter.as_str(), app.place().list.group), ("size>1m", group));
    // Esc drops the filter, and folds again, unless that was done already.
    press(&mut app, "!⎋");
    assert_eq!((app.place().list.filter.as_str(), app.place().list.group), ("", group));
    press(&mut app, "!bb");
    let other = app.place().list.group;
    assert!(other.is_some() && other != group);
    press(&mut app, "⎋");
    assert_eq!((app.place().list.filter.as_str(), app.place().list.group), ("", other));
    press(&mut app, "8!");
    assert_eq!(app.flash_line().unwrap().text, "all of it asks for attention");
}

#[test]
fn a_reference_leads_to_its_holder_and_to_the_site_that_made_it() {
    let (mut app, _) = connected();
    let id = id_of(&press(&mut app, "2"), Table::References);
    let site = Site { id: SiteId(5), file: "a.rs".into(), ..Site::default() };
    let row = ReferenceRow { process: ProcessId(3), pid: 77, created_site: site.into(), ..reference(9) };
    let totals = Totals { rows: 1, matched: 1, ..Totals::default() };
    let body = Body::Snapshot { id, totals, start: 0, rows: Rows::References(vec![row]) };
    app.update(Msg::Frame(Box::new(Frame { seq: 1, at_ms: 5_000, missed: 0, body })));
    let mut other = app.clone();
    press(&mut other, "p");
    assert!(matches!(&other.place().route, Route::Process { id: ProcessId(3), .. }), "{:?}", other.place().route);
    press(&mut app, "c");
    assert!(matches!(&app.place().route, Route::Site { id: SiteId(5), .. }), "{:?}", app.place().route);
}

#[test]
fn an_object_is_followed_outwards_to_who_holds_it() {
    let id = |slot| ObjectKey { slot, generation: 1 }.on(NodeId([7; 8]));
    let row = |slot| ObjectRow { object_id: id(slot), captured: 1, ..ObjectRow::default() };
    let detail = |slot, outer: Option<u32>, holders: &[u32]| {
        let holders = holders.iter().map(|pid| ReferenceRow { pid: *pid, process: ProcessId(*pid), ..reference(slot) }).collect();
        Detail::Object(ObjectDetail {
            object: row(slot),
            holders,
            contained_in: outer.map(row).into_iter().collect(),
            ..ObjectDetail::default()
        })
    };
    // 1 lies in 2, which lies in 3, which lies in 2 again, as only a faulty agent would say.
    let answers = [(1, detail(1, Some(2), &[])), (2, detail(2, Some(3), &[])), (3, detail(3, Some(2), &[77]))];
    let (mut app, _) = connected();
    let found = id_of(&press(&mut app, "2"), Table::References);
    app.update(references(1, found, 0, 1, &[1]));
    let mut asked = press(&mut app, "⏎");
    let mut seq = 1;
    while !asked.is_empty() {
        let mut next = Vec::new();
        for effect in asked {
            let Effect::Send(Request::Watch { id: number, target: Thing::Object(wanted) }) = effect else { continue };
            let (_, found) = answers.iter().find(|(slot, _)| id(*slot) == wanted).unwrap();
            seq += 1;
            let body = Body::Detail { id: number, detail: Some(Box::new(found.clone())) };
            next.extend(app.update(Msg::Frame(Box::new(Frame { seq, at_ms: 5_000, missed: 0, body }))));
        }
        asked = next;
    }
    let sections = app.sections().unwrap();
    let lines: Vec<(u8, bool)> = sections[0]
        .items
        .iter()
        .map(|item| match item {
            Item::Kept(line) => (line.depth, matches!(line.keeper, Keeper::Container(_))),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(lines, [(0, true), (1, true), (2, false), (2, true)], "outwards to who holds the outermost, and no further");
    assert!(matches!(sections[0].items[2].plain(), Item::Holder(row) if row.pid == 77));
    assert!(matches!(sections[0].items[3], Item::Kept(line) if line.again), "it stands above already");
    press(&mut app, "p");
    assert!(matches!(&app.place().route, Route::Process { id, .. } if id.0 == 77), "{:?}", app.place().route);
}

#[test]
fn an_event_opens_what_it_is_about() {
    let (mut app, _) = connected();
    let id = id_of(&press(&mut app, "7"), Table::Events);
    let task = TaskKey { process: ProcessId(1), number: 4 }.on(NodeId([7; 8]));
    // Its worker died lately; what failed is the task.
    let event = EventRow { number: 1, kind: EventKind::TaskFailed, pid: Some(11), opens: Some(Thing::Task(task)), ..EventRow::default() };
    let rows = Rows::Events(vec![event]);
    let body = Body::Snapshot { id, totals: Totals { rows: 1, matched: 1, ..Totals::default() }, start: 0, rows };
    app.update(Msg::Frame(Box::new(Frame { seq: 1, at_ms: 5_000, missed: 0, body })));
    press(&mut app, "⏎");
    assert!(matches!(&app.place().route, Route::Task { id, .. } if *id == task), "{:?}", app.place().route);
}

#[test]
fn every_grouping_opens_its_rows_by_a_filter_that_can_be_read() {
    for (keys, kinds) in [("2", Table::References), ("5", Table::Tasks)] {
        let (mut app, _) = connected();
        press(&mut app, keys);
        assert_eq!(app.place().table(), Some(kinds));
        let columns = app.groupables();
        assert!(columns.len() > 8, "{columns:?}");
        for column in columns {
            press(&mut app, "B");
            let asked = press(&mut app, &column.letter.to_string());
            let asks = |effect: &Effect| matches!(effect, Effect::Send(Request::Subscribe { view, .. }) if view.table == kinds && view.group.as_deref() == Some(column.name) && view.sort.is_none());
            assert!(asked.iter().any(asks), "{}: {asked:?}", column.name);
            let words = |table| match table {
                Table::References => ReferenceRow::column(column.name).unwrap().words,
                _ => TaskRow::column(column.name).unwrap().words,
            };
            let filter = narrowed("", column.name, words(kinds).first().unwrap_or(&"7"));
            assert!(check(kinds, &filter).is_ok(), "{filter}");
            // Back to rows, whatever the column.
            while app.place().list.group.is_some() {
                press(&mut app, "b");
            }
        }
    }
}
