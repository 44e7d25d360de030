use plasmon_protocol::column::Table;
use plasmon_protocol::id::{NodeId, ObjectKey, ProcessId, SiteId, TaskKey};
use plasmon_protocol::record::{ActorRow, EventKind, EventRow, NodeRow, PostMortemRow, ReferenceRow, Site, SiteRow, TaskRow};
use plasmon_protocol::stream::{Body, GroupRow, Request, Rows, Target, Totals};

use super::*;
use crate::app::act::narrowed;
use crate::app::prompt::check;
use crate::app::route::default_sort;

mod hands;
mod storage;

fn connected() -> (App, Vec<Effect>) {
    let mut app = App::new(Settings::default());
    let mut effects = app.update(Msg::Tick(1_000_000));
    effects.extend(app.update(Msg::Connected(Box::new(NodeRow { node: NodeId([7; 8]), ..NodeRow::default() }))));
    (app, effects)
}

fn press(app: &mut App, keys: &str) -> Vec<Effect> {
    keys.chars()
        .flat_map(|char| {
            app.update(Msg::Key(match char {
                '⏎' => Key::Enter,
                '⎋' => Key::Esc,
                char => Key::Char(char),
            }))
        })
        .collect()
}

fn id_of(effects: &[Effect], table: Table) -> u32 {
    let of = |effect: &Effect| match effect {
        Effect::Send(Request::Subscribe { id, view }) if view.table == table => Some(*id),
        _ => None,
    };
    effects.iter().rev().find_map(of).unwrap()
}

fn reference(slot: u32) -> ReferenceRow {
    ReferenceRow {
        object_id: ObjectKey { slot, generation: 1 }.on(NodeId([7; 8])),
        size_bytes: Some(slot.into()),
        ..ReferenceRow::default()
    }
}

fn references(seq: u64, id: u32, start: u64, total: u64, slots: &[u32]) -> Msg {
    let totals = Totals { rows: total, matched: total, ..Totals::default() };
    let rows = Rows::References(slots.iter().map(|slot| reference(*slot)).collect());
    Msg::Frame(Box::new(Frame { seq, at_ms: 5_000, missed: 0, body: Body::Snapshot { id, totals, start, rows } }))
}

#[test]
fn only_what_the_place_needs_is_asked_for() {
    let (mut app, effects) = connected();
    let tables: Vec<Table> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Send(Request::Subscribe { view, .. }) => Some(view.table),
            _ => None,
        })
        .collect();
    assert_eq!(tables, [Table::Store, Table::Sites, Table::Events, Table::Sites], "and, always, the sites that grow most");
    let effects = press(&mut app, "2");
    let ended = effects.iter().filter(|effect| matches!(effect, Effect::Send(Request::Unsubscribe { .. }))).count();
    assert_eq!(ended, 2, "{effects:?}");
    assert_eq!(effects.len(), 3, "{effects:?}");
    id_of(&effects, Table::References);
    assert_eq!(app.update(Msg::Tick(1_000_100)), [], "nothing is asked for twice");
}

#[test]
fn a_new_connection_asks_for_everything_and_a_lost_one_for_nothing() {
    let (mut app, _) = connected();
    press(&mut app, "2");
    app.update(Msg::Lost { cause: "reset".into(), hint: String::new(), retry_at_ms: 1_002_000 });
    assert_eq!(press(&mut app, "6"), []);
    let effects = app.update(Msg::Connected(Box::new(NodeRow { node: NodeId([7; 8]), ..NodeRow::default() })));
    id_of(&effects, Table::Processes);
    id_of(&effects, Table::PostMortem);
    id_of(&effects, Table::Store);
    id_of(&effects, Table::Sites);
    assert_eq!(effects.len(), 4, "{effects:?}");
}

#[test]
fn the_selection_follows_its_row_and_not_its_place() {
    let (mut app, _) = connected();
    let id = id_of(&press(&mut app, "2"), Table::References);
    app.update(references(1, id, 0, 4, &[40, 30, 20, 10]));
    press(&mut app, "jj");
    assert_eq!(app.place().list.selected, Some(plasmon_protocol::column::Record::key(&reference(20))));
    app.update(references(2, id, 0, 5, &[50, 40, 30, 20, 10]));
    assert_eq!(app.place().list.cursor, 3);
    app.update(references(3, id, 0, 4, &[50, 40, 30, 10]));
    assert_eq!(app.place().list.cursor, 3, "a row that has gone leaves its place to the next");
    press(&mut app, "g");
    app.update(references(4, id, 0, 5, &[60, 50, 40, 30, 10]));
    assert_eq!(app.place().list.cursor, 0, "at the top, the largest is followed");
}

#[test]
fn scrolling_beyond_the_window_moves_it() {
    let (mut app, _) = connected();
    let id = id_of(&press(&mut app, "2"), Table::References);
    let first: Vec<u32> = (0..40).map(|at| 1000 - at).collect();
    app.update(references(1, id, 0, 900, &first));
    assert_eq!(press(&mut app, "j"), [], "within the window nothing is asked for");
    let effects = press(&mut app, "G");
    let Some(Effect::Send(Request::Subscribe { id: moved, view })) = effects.last() else { panic!("{effects:?}") };
    assert_ne!(*moved, id);
    assert!(view.window.start <= 881 && view.window.start + u64::from(view.window.len) >= 900, "{view:?}");
    assert_eq!(app.place().list.cursor, 899);
    let rows: Vec<u32> = (0..30).map(|at| 130 - at).collect();
    app.update(references(2, *moved, 870, 900, &rows));
    assert_eq!(app.place().list.selected, Some(plasmon_protocol::column::Record::key(&reference(101))));
}

#[test]
fn a_frozen_picture_stands_still_while_changes_are_counted() {
    let (mut app, _) = connected();
    let id = id_of(&press(&mut app, "2"), Table::References);
    app.update(references(1, id, 0, 1, &[10]));
    press(&mut app, " ");
    app.update(Msg::Tick(1_012_000));
    app.update(references(2, id, 0, 3, &[30, 20, 10]));
    assert_eq!(app.frozen(), Some((12_000, 3)));
    let shown = |app: &App| app.model().windows[&id].keys.len();
    assert_eq!(shown(&app), 1);
    let id = id_of(&press(&mut app, "6"), Table::Processes);
    let body = Body::Snapshot { id, totals: Totals::default(), start: 0, rows: Rows::Processes(Vec::new()) };
    app.update(Msg::Frame(Box::new(Frame { seq: 3, at_ms: 5_000, missed: 0, body })));
    assert!(app.model().windows.contains_key(&id), "what is opened while frozen is fetched once");
    assert!(app.is_mixed());
    press(&mut app, " ");
    assert_eq!(app.frozen(), None);
}

#[test]
fn every_drawn_frame_is_acknowledged_once() {
    let (mut app, effects) = connected();
    assert_eq!(app.drawn(), None);
    let id = id_of(&effects, Table::Sites);
    let body = Body::Snapshot { id, totals: Totals::default(), start: 0, rows: Rows::Sites(Vec::new()) };
    app.update(Msg::Frame(Box::new(Frame { seq: 9, at_ms: 5_000, missed: 0, body })));
    assert_eq!(app.drawn(), Some(Effect::Send(Request::Ack { seq: 9 })));
    assert_eq!(app.drawn(), None);
}

#[test]
fn a_missing_frame_makes_everything_be_asked_for_again() {
    let (mut app, effects) = connected();
    let id = id_of(&effects, Table::Sites);
    let frame = |seq| {
        let body = Body::Snapshot { id, totals: Totals::default(), start: 0, rows: Rows::Sites(Vec::new()) };
        Msg::Frame(Box::new(Frame { seq, at_ms: 5_000, missed: 0, body }))
    };
    assert_eq!(app.update(frame(1)), []);
    let effects = app.update(frame(3));
    assert_eq!(effects.iter().filter(|effect| matches!(effect, Effect::Send(Request::Subscribe { .. }))).count(), 4);
}

#[test]
fn a_site_opens_within_two_keys_and_escape_leads_back() {
    let (mut app, _) = connected();
    let id = id_of(&press(&mut app, "3"), Table::Sites);
    let site = |number: u32, file: &str| SiteRow {
        site: Site { id: SiteId(number), file: file.into(), function: "f".into(), line: 3, ..Site::default() }.into(),
        held_bytes: 9,
        ..SiteRow::default()
    };
    let totals = Totals { rows: 2, matched: 2, ..Totals::default() };
    let body = Body::Snapshot { id, totals, start: 0, rows: Rows::Sites(vec![site(4, "a.rs"), site(5, "a.rs")]) };
    app.update(Msg::Frame(Box::new(Frame { seq: 1, at_ms: 5_000, missed: 0, body })));
    let effects = press(&mut app, "⏎");
    assert!(
        effects.iter().any(|effect| matches!(effect, Effect::Send(Request::Watch { target: Target::Site(SiteId(4)), .. }))),
        "{effects:?}"
    );
    assert_eq!(app.crumbs().collect::<Vec<_>>(), ["Sites", "f a.rs:3"]);
    press(&mut app, "⎋");
    assert_eq!(app.place().route, Route::View(Page::Sites));
}

#[test]
fn prompts_swallow_keys_and_pastes_lose_their_lines() {
    let (mut app, _) = connected();
    press(&mut app, "2/q");
    assert!(app.overlay.is_some(), "q does not quit from within a prompt");
    app.update(Msg::Paste("site:a\nb\u{1b}[2J".into()));
    let Some(Overlay::Filter(input)) = &app.overlay else { panic!() };
    assert_eq!(input.value(), "qsite:a b\u{fffd}[2J");
    press(&mut app, "⎋");
    assert_eq!(app.place().list.filter, "");
    press(&mut app, "/size>1x⏎");
    assert!(app.overlay.is_some(), "a filter that cannot be read is not taken");
    press(&mut app, "⎋");
    let effects = press(&mut app, "/size>1m⏎");
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Send(Request::Subscribe { view, .. }) if view.filter == "size>1m")));
    assert_eq!(press(&mut app, "q"), [Effect::Quit]);
}

#[test]
fn a_filter_is_completed_and_those_of_before_come_back() {
    let (mut app, _) = connected();
    let typed = |app: &App| match &app.overlay {
        Some(Overlay::Filter(input)) => input.value().to_owned(),
        other => panic!("{other:?}"),
    };
    press(&mut app, "2/siz");
    app.update(Msg::Key(Key::Tab));
    assert_eq!(typed(&app), "size>");
    press(&mut app, "1m typ");
    app.update(Msg::Key(Key::Tab));
    press(&mut app, "p");
    app.update(Msg::Key(Key::Tab));
    assert_eq!(typed(&app), "size>1m type:pinned_in_memory ");
    press(&mut app, "⏎");
    assert_eq!(app.place().list.filter, "size>1m type:pinned_in_memory");
    // Another table, another filter; then back to the first by Up.
    press(&mut app, "3/a.rs⏎");
    press(&mut app, "2/");
    app.update(Msg::Key(Key::Ctrl('u')));
    press(&mut app, "new");
    app.update(Msg::Key(Key::Up));
    assert_eq!(typed(&app), "a.rs");
    app.update(Msg::Key(Key::Up));
    assert_eq!(typed(&app), "size>1m type:pinned_in_memory");
    app.update(Msg::Key(Key::Up));
    assert_eq!(typed(&app), "size>1m type:pinned_in_memory", "there is none before");
    app.update(Msg::Key(Key::Down));
    app.update(Msg::Key(Key::Down));
    assert_eq!(typed(&app), "new");
    press(&mut app, "⎋");
    assert_eq!(app.place().list.filter, "size>1m type:pinned_in_memory", "Esc changes nothing");
}

#[test]
fn a_filter_is_narrowed_in_each_of_its_alternatives() {
    assert_eq!(narrowed("", "pid", "12"), "pid=\"12\"");
    assert_eq!(narrowed("a | b", "created", "x \"y\" \\"), "a created=\"x \\\"y\\\" \\\\\" | b created=\"x \\\"y\\\" \\\\\"");
    assert_eq!(narrowed("\"a|b\"", "pid", "1"), "\"a|b\" pid=\"1\"");
    for (column, value) in
        [("pid", "4711"), ("created", "(put object) f \"a\" | b.rs:3"), ("type", "LOCAL_REFERENCE"), ("node", "127.0.0.1")]
    {
        let text = narrowed("size>1m | !type:pinned", column, value);
        assert!(check(Table::References, &text).is_ok(), "{text}");
    }
}

#[test]
fn the_sort_is_chosen_by_letter_and_reversed_by_the_same() {
    let (mut app, _) = connected();
    press(&mut app, "2sa");
    let sort = app.sorted_by().unwrap();
    assert_eq!((sort.column.as_str(), sort.ascending), ("age", false));
    press(&mut app, "sa");
    assert!(app.sorted_by().unwrap().ascending);
    press(&mut app, "S");
    assert!(!app.sorted_by().unwrap().ascending);
}

fn rows(app: &App, effects: &[Effect], seq: u64, table: Table, rows: Rows) -> Msg {
    let id = id_of(effects, table);
    let count = crate::model::window::len(&rows) as u64;
    let totals = Totals { rows: count, matched: count, ..Totals::default() };
    assert!(app.link == LinkState::Live);
    Msg::Frame(Box::new(Frame { seq, at_ms: 5_000, missed: 0, body: Body::Snapshot { id, totals, start: 0, rows } }))
}

fn actor(slot: u32) -> ActorRow {
    ActorRow { actor_id: ObjectKey { slot, generation: 1 }.on(NodeId([7; 8])).into(), class: "a::B".into(), ..ActorRow::default() }
}

fn task(number: u32) -> TaskRow {
    TaskRow { task_id: TaskKey { process: ProcessId(1), number }.on(NodeId([7; 8])), ..TaskRow::default() }
}

/// A dashboard on the view of two actors above three tasks.
fn actors_and_tasks() -> App {
    let (mut app, _) = connected();
    let effects = press(&mut app, "5");
    app.update(rows(&app, &effects, 1, Table::Tasks, Rows::Tasks(vec![task(1), task(2), task(3)])));
    app.update(rows(&app, &effects, 2, Table::Actors, Rows::Actors(vec![actor(1), actor(2)])));
    app
}

#[test]
fn steps_beyond_the_end_of_a_table_lead_to_the_other() {
    let mut app = actors_and_tasks();
    assert_eq!(app.place().table(), Some(Table::Actors), "the upper one has the keys at first");
    assert_eq!(press(&mut app, "jj"), [], "nothing is asked for again");
    assert_eq!((app.place().table(), app.place().list.cursor), (Some(Table::Tasks), 0));
    press(&mut app, "j");
    assert_eq!(app.place().list.selected, Some(task(2).task_id.hex()));
    press(&mut app, "kk");
    assert_eq!((app.place().table(), app.place().list.cursor), (Some(Table::Actors), 1));
    press(&mut app, "o");
    assert_eq!((app.place().table(), app.place().list.cursor), (Some(Table::Tasks), 0));
    press(&mut app, "jjjj");
    assert_eq!((app.place().table(), app.place().list.cursor), (Some(Table::Tasks), 2), "there is nothing below the lower one");
    press(&mut app, "⏎");
    assert_eq!(app.place().route.target(), Some(Target::Task(task(3).task_id)));
    press(&mut app, "⎋");
    assert_eq!((app.place().table(), app.parts().len()), (Some(Table::Tasks), 2), "as it was left, while the rows are on their way");
    let mut app = actors_and_tasks();
    press(&mut app, "j⏎");
    assert_eq!(app.place().route.target(), Some(Target::Actor(actor(2).actor_id)));
}

#[test]
fn each_table_of_a_view_has_its_own_filter_sort_and_folds() {
    let mut app = actors_and_tasks();
    let effects = press(&mut app, "/status:alive⏎");
    let asked = |effects: &[Effect]| match effects.last() {
        Some(Effect::Send(Request::Subscribe { view, .. })) => (view.table, view.filter.clone(), view.group.clone()),
        other => panic!("{other:?}"),
    };
    assert_eq!(asked(&effects), (Table::Actors, "status:alive".to_owned(), None));
    let effects = press(&mut app, "ob");
    assert_eq!(asked(&effects), (Table::Tasks, String::new(), Some("name".to_owned())));
    let sort = |app: &App| app.sorted_by().unwrap().column;
    press(&mut app, "sr");
    assert_eq!(sort(&app), "rows", "groups have an order of their own");
    press(&mut app, "bbb");
    assert_eq!(sort(&app), "age", "and the rows still theirs");
    press(&mut app, "o");
    assert_eq!((sort(&app).as_str(), app.place().list.filter.as_str()), (default_sort(Table::Actors), "status:alive"));
}

#[test]
fn a_group_of_tasks_opens_into_its_tasks() {
    let mut app = actors_and_tasks();
    let effects = press(&mut app, "ob");
    let group = GroupRow { key: "a::f".into(), rows: 2, ..GroupRow::default() };
    let id = id_of(&effects, Table::Tasks);
    let totals = Totals { rows: 3, matched: 3, groups: 1, ..Totals::default() };
    let body = Body::Snapshot { id, totals, start: 0, rows: Rows::Groups(vec![group]) };
    app.update(Msg::Frame(Box::new(Frame { seq: 3, at_ms: 5_000, missed: 0, body })));
    press(&mut app, "⏎");
    assert_eq!((app.place().list.filter.as_str(), app.place().list.group), ("name=\"a::f\"", None));
    assert!(app.crumbs().count() == 1, "in the same place");
    press(&mut app, "⎋");
    assert_eq!(app.place().list.filter, "");
}

#[test]
fn a_table_that_empties_gives_its_room_and_the_keys_away() {
    let mut app = actors_and_tasks();
    assert_eq!(app.parts().iter().map(|part| part.rows).collect::<Vec<_>>(), [2, 15]);
    let id = *app.model().windows.iter().find(|(_, window)| matches!(window.rows, Rows::Actors(_))).unwrap().0;
    let body = Body::Snapshot { id, totals: Totals::default(), start: 0, rows: Rows::Actors(Vec::new()) };
    app.update(Msg::Frame(Box::new(Frame { seq: 3, at_ms: 5_000, missed: 0, body })));
    assert_eq!((app.place().table(), app.parts().len(), app.height()), (Some(Table::Tasks), 1, 19));
    press(&mut app, "o");
    assert_eq!(app.place().table(), Some(Table::Tasks), "there is no other table to go to");
    assert!(!app.contexts().contains(&crate::keys::Context::Split));
}

#[test]
fn a_death_opens_what_the_dead_held_while_it_is_listed() {
    let (mut app, _) = connected();
    let effects = press(&mut app, "7");
    let died = |number, pid| EventRow { number, kind: EventKind::ProcessDied, pid: Some(pid), ..EventRow::default() };
    app.update(rows(&app, &effects, 1, Table::Events, Rows::Events(vec![died(2, 11), died(1, 10)])));
    let dead = PostMortemRow { process: ProcessId(4), pid: 11, ..PostMortemRow::default() };
    app.update(rows(&app, &effects, 2, Table::PostMortem, Rows::PostMortem(vec![dead])));
    press(&mut app, "⏎");
    assert_eq!(app.place().route.target(), Some(Target::Process(ProcessId(4))));
    press(&mut app, "⎋j⏎");
    assert_eq!(app.place().route, Route::View(Page::Events));
    assert_eq!(app.flash_line().map(|flash| flash.mood), Some(Mood::Refused));
}

#[test]
fn a_refusal_stays_where_its_rows_would_be() {
    let (mut app, _) = connected();
    let id = id_of(&press(&mut app, "2"), Table::References);
    assert_eq!(app.why_not(subscribe::Slot::Main), "waiting for the agent's answer");
    let body = Body::Error { id: Some(id), code: "busy".into(), message: "too many views".into(), hint: "close one".into() };
    app.update(Msg::Frame(Box::new(Frame { seq: 1, at_ms: 5_000, missed: 0, body })));
    assert_eq!(app.why_not(subscribe::Slot::Main), "too many views · close one");
    // One that is answered later is refused no more, and one that had rows shows those of then no more.
    let rows = Rows::References(vec![ReferenceRow::default()]);
    let body = Body::Snapshot { id, totals: Totals { rows: 1, matched: 1, ..Totals::default() }, start: 0, rows };
    app.update(Msg::Frame(Box::new(Frame { seq: 2, at_ms: 6_000, missed: 0, body })));
    assert_ne!(app.why_not(subscribe::Slot::Main), "too many views · close one");
    assert!(app.window(subscribe::Slot::Main).is_some());
    let body = Body::Error { id: Some(id), code: "gone".into(), message: "it is not recorded".into(), hint: String::new() };
    app.update(Msg::Frame(Box::new(Frame { seq: 3, at_ms: 7_000, missed: 0, body })));
    assert!(app.window(subscribe::Slot::Main).is_none());
    assert_eq!(app.why_not(subscribe::Slot::Main), "it is not recorded");
    // Nor does a picture that stands still show rows of before under a filter that was refused.
    let effects = press(&mut app, "1 2");
    let id = id_of(&effects, Table::References);
    let rows = Rows::References(vec![ReferenceRow::default()]);
    let body = Body::Snapshot { id, totals: Totals { rows: 1, matched: 1, ..Totals::default() }, start: 0, rows };
    app.update(Msg::Frame(Box::new(Frame { seq: 4, at_ms: 8_000, missed: 0, body })));
    assert!(app.window(subscribe::Slot::Main).is_some());
    let body = Body::Error { id: Some(id), code: "busy".into(), message: "too many views".into(), hint: String::new() };
    app.update(Msg::Frame(Box::new(Frame { seq: 5, at_ms: 9_000, missed: 0, body })));
    assert!(app.window(subscribe::Slot::Main).is_none());
    assert_eq!(app.flash_line().map(|flash| flash.mood), Some(Mood::Refused));
}
