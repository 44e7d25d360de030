//! The view of external storage, and the way from a file to who holds what is in it.

use plasmon_protocol::id::{ObjectId, SpillFileId};
use plasmon_protocol::record::{ObjectRow, ObjectState, SpillFileRow};
use plasmon_protocol::stream::{Detail, ObjectDetail, SpillFileDetail};

use super::*;
use crate::app::act::path_of;
use crate::app::subscribe::Slot;

fn file(number: u32) -> SpillFileRow {
    let file = SpillFileId(number);
    SpillFileRow {
        file,
        place: "/x/y/".into(),
        name: format!("{number}.spill").into(),
        live_bytes: number.into(),
        ..SpillFileRow::default()
    }
}

fn object(slot: u32) -> ObjectRow {
    ObjectRow {
        object_id: ObjectKey { slot, generation: 1 }.on(NodeId([7; 8])),
        state: ObjectState::Spilled,
        file: Some(SpillFileId(9)),
        file_offset: Some(4096),
        created_site: Site { id: SiteId(6), ..Site::default() }.into(),
        ..ObjectRow::default()
    }
}

fn watched(effects: &[Effect]) -> Option<(u32, Target)> {
    effects.iter().rev().find_map(|effect| match effect {
        Effect::Send(Request::Watch { id, target }) => Some((*id, target.clone())),
        _ => None,
    })
}

fn detail(seq: u64, id: u32, detail: Detail) -> Msg {
    Msg::Frame(Box::new(Frame { seq, at_ms: 5_000, missed: 0, body: Body::Detail { id, detail: Some(Box::new(detail)) } }))
}

/// A dashboard on the view of two files, the larger one first.
fn storage() -> App {
    let (mut app, _) = connected();
    let effects = press(&mut app, "4");
    app.update(rows(&app, &effects, 1, Table::SpillFiles, Rows::SpillFiles(vec![file(9), file(4)])));
    app
}

#[test]
fn the_view_asks_for_files_and_for_events_of_storage_alone() {
    let (mut app, _) = connected();
    let effects = press(&mut app, "4");
    id_of(&effects, Table::SpillFiles);
    let events = effects.iter().find_map(|effect| match effect {
        Effect::Send(Request::Subscribe { view, .. }) if view.table == Table::Events => Some(view.filter.clone()),
        _ => None,
    });
    let filter = plasmon_protocol::filter::Filter::<EventRow>::parse(&events.unwrap()).unwrap();
    let passes = |kind| filter.matches(&EventRow { kind, ..EventRow::default() }, 0);
    use EventKind::{ObjectLost, Restored, SpillFile, SpillState, Spilled, StoreFull, Thrash};
    for kind in [Spilled, Restored, SpillState, SpillFile, Thrash, ObjectLost, StoreFull] {
        assert!(passes(kind), "{kind}");
    }
    assert!(!passes(EventKind::WorkerStarted) && !passes(EventKind::ActorDied));
}

#[test]
fn a_file_opens_into_its_objects_and_those_into_who_holds_them() {
    let mut app = storage();
    let (id, target) = watched(&press(&mut app, "⏎")).unwrap();
    assert_eq!(target, Target::SpillFile(SpillFileId(9)));
    assert_eq!(app.crumbs().collect::<Vec<_>>(), ["Spill", "file 9"]);
    app.update(detail(2, id, Detail::SpillFile(SpillFileDetail { file: file(9), objects: vec![object(1), object(2)] })));
    let (id, target) = watched(&press(&mut app, "j⏎")).unwrap();
    let wanted: ObjectId = object(2).object_id;
    assert_eq!(target, Target::Object(wanted));
    let effects = app.update(detail(3, id, Detail::Object(ObjectDetail { object: object(2), ..ObjectDetail::default() })));
    let Some(Effect::Send(Request::Subscribe { id, view })) = effects.first() else { panic!("{effects:?}") };
    assert_eq!((view.table, view.filter.as_str(), view.window.len), (Table::SpillFiles, "file=9", 1), "where its file lies");
    let (id, totals) = (*id, Totals { rows: 2, matched: 1, ..Totals::default() });
    let body = Body::Snapshot { id, totals, start: 0, rows: Rows::SpillFiles(vec![file(9)]) };
    assert_eq!(app.update(Msg::Frame(Box::new(Frame { seq: 4, at_ms: 5_000, missed: 0, body }))), []);
    assert!(app.window(Slot::File).is_some());
    let back = press(&mut app, "⎋");
    assert!(back.contains(&Effect::Send(Request::Unsubscribe { id })), "{back:?}");
    press(&mut app, "⎋");
    assert_eq!(app.place().route, Route::View(Page::Spill));
    assert_eq!(app.flash_line(), None);
}

#[test]
fn an_object_leads_to_the_line_of_code_that_created_it() {
    let (mut app, effects) = connected();
    app.update(rows(&app, &effects, 1, Table::Sites, Rows::Sites(Vec::new())));
    let id = id_of(&press(&mut app, "2"), Table::References);
    app.update(references(2, id, 0, 1, &[1]));
    let (id, _) = watched(&press(&mut app, "⏎")).unwrap();
    let nowhere = ObjectRow { created_site: Site::default().into(), ..object(1) };
    app.update(detail(3, id, Detail::Object(ObjectDetail { object: nowhere, ..ObjectDetail::default() })));
    press(&mut app, "c");
    assert_eq!(app.flash_line().map(|flash| flash.mood), Some(Mood::Refused));
    app.update(detail(4, id, Detail::Object(ObjectDetail { object: object(1), ..ObjectDetail::default() })));
    let (_, target) = watched(&press(&mut app, "c")).unwrap();
    assert_eq!(target, Target::Site(SiteId(6)));
    assert_eq!(app.crumbs().count(), 3);
}

#[test]
fn files_are_sorted_filtered_and_copied_like_all_rows() {
    let mut app = storage();
    assert_eq!(app.sorted_by().unwrap().column, "live");
    press(&mut app, "jy");
    assert_eq!(press(&mut app, "y"), [Effect::Copy("/x/y/4.spill".to_owned())]);
    assert_eq!(path_of(&file(9)), "/x/y/9.spill");
    press(&mut app, "sd");
    assert_eq!(app.sorted_by().unwrap().column, "dead");
    press(&mut app, "/pid=4⏎");
    assert!(app.overlay.is_some(), "files have no pid");
    press(&mut app, "⎋");
    let effects = press(&mut app, "/state:ready cause=threshold⏎");
    let Some(Effect::Send(Request::Subscribe { view, .. })) = effects.last() else { panic!("{effects:?}") };
    assert_eq!((view.table, view.filter.as_str()), (Table::SpillFiles, "state:ready cause=threshold"));
}

#[test]
fn the_names_of_columns_are_completed() {
    let mut app = storage();
    let typed = |app: &App| match &app.overlay {
        Some(Overlay::Filter(input)) => input.value().to_owned(),
        other => panic!("{other:?}"),
    };
    press(&mut app, "/cause:create !he");
    assert_eq!(app.completions(), ["headers"]);
    app.update(Msg::Key(Key::Tab));
    assert_eq!(typed(&app), "cause:create !headers>");
    press(&mut app, "1k res");
    app.update(Msg::Key(Key::Tab));
    press(&mut app, ">1 c");
    assert_eq!(app.completions(), ["cause", "cut"]);
    app.update(Msg::Key(Key::Tab));
    assert_eq!(typed(&app), "cause:create !headers>1k restored:>1 c", "as far as only one way leads");
    press(&mut app, "u");
    app.update(Msg::Key(Key::Tab));
    assert_eq!(typed(&app), "cause:create !headers>1k restored:>1 cut:");
    press(&mut app, "en");
    assert_eq!(app.completions(), ["enough"], "a value is one of the column's words");
    app.update(Msg::Key(Key::Tab));
    assert_eq!(typed(&app), "cause:create !headers>1k restored:>1 cut:enough ");
    press(&mut app, "\"c");
    assert_eq!(app.completions(), [""; 0], "nothing is made of a quoted text");
    press(&mut app, "⎋/pid=4");
    let error = app.filter_error().unwrap();
    assert!(error.message.contains("no column 'pid'") && error.message.contains("live, dead, headers"), "{}", error.message);
}

#[test]
fn nothing_is_asked_for_while_storage_does_not_change() {
    let mut app = storage();
    let draw = |app: &App| {
        let mut buffer = ratatui::buffer::Buffer::empty(ratatui::layout::Rect::new(0, 0, app.size.0, app.size.1));
        crate::view::draw(app, &crate::view::theme::Theme::new(true), &mut buffer);
        buffer
    };
    assert_eq!(app.update(Msg::Tick(1_000_000)), []);
    let before = draw(&app);
    assert_eq!(app.update(Msg::Tick(1_000_100)), []);
    assert_eq!(draw(&app), before);
}
