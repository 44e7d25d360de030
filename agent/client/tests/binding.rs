//! What packages for other languages build on: bytes as objects, places as text.
#![cfg(feature = "embedded")]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::time::Duration;

use plasmon::Error;
use plasmon::binding::{Connection, Frame, ObjectId, ObjectKey, Reference, SiteKind, TaskSettings, write_anew, writing, wrote};
use plasmon_protocol::local::{MAX_SITES, MAX_TASK_ARGUMENTS};
use support::{Viewer, alone, start};

const PAUSE: Duration = Duration::from_millis(10);

fn put(connection: &Connection, bytes: &[u8], site: u32, contains: &[Reference]) -> Reference {
    connection.put(bytes.len(), site, contains, false, |room, _| room.copy_from_slice(bytes)).unwrap()
}

#[test]
fn bytes_come_back_as_they_were_put_and_the_row_names_the_place_that_was_told() {
    alone(|| {
        start(1.0);
        let connection = Connection::current().unwrap();
        let site = connection.site(SiteKind::PutObject, "program.py", 7, "Class.method");
        assert_eq!(site, connection.site(SiteKind::PutObject, "program.py", 7, "Class.method"));
        let references: Vec<Reference> = (0..300_u32).map(|number| put(&connection, &number.to_le_bytes(), site, &[])).collect();
        let all = connection.get_all(&references.iter().collect::<Vec<_>>(), 0, None, PAUSE, &mut || false).unwrap().unwrap();
        assert!(all.iter().zip(0_u32..).all(|(content, number)| content.bytes() == number.to_le_bytes()));
        let ready = connection.wait(&references.iter().collect::<Vec<_>>(), 300, None, PAUSE, &mut || false).unwrap().unwrap();
        assert_eq!(ready, [true; 300]);
        drop(all);
        let report = Viewer::here().report();
        assert_eq!(report.references.len(), 300);
        assert!(report.references.iter().all(|row| row.call_site.to_string() == "(put object) Class.method program.py:7"));
    });
}

#[test]
fn when_there_are_too_many_stacks_the_innermost_frame_is_told() {
    alone(|| {
        start(1.0);
        let connection = Connection::current().unwrap();
        let frame = |file, line, function| Frame { file, line, function };
        for line in 1..=MAX_SITES {
            let site = connection.site_of_stack(SiteKind::PutObject, &[frame("a.py", 1, "f"), frame("main.py", line, "main")]);
            assert_ne!(site, 0);
        }
        let site = connection.site_of_stack(SiteKind::PutObject, &[frame("b.py", 7, "g"), frame("main.py", MAX_SITES + 1, "main")]);
        let _object = put(&connection, b"here", site, &[]);
        let report = Viewer::here().report();
        assert_eq!(report.references[0].call_site.stack(), "(put object) g b.py:7");
    });
}

#[test]
fn references_are_counted_while_they_are_written_and_read_and_refused_elsewhere() {
    alone(|| {
        start(1.0);
        let connection = Connection::current().unwrap();
        let inner = put(&connection, b"inner", 0, &[]);
        let id = inner.id();
        assert!(matches!(wrote(&inner), Err(Error::OutOfBand { .. })));
        let (written, contains) = writing(|| {
            wrote(&inner).unwrap();
            write_anew();
            wrote(&inner)
        });
        written.unwrap();
        assert_eq!(contains, std::slice::from_ref(&inner));
        let outer = put(&connection, b"outer", 0, &contains);
        drop((inner, contains));
        // Held by the outer one alone, and found in it.
        let around = connection.get(&outer, 0, None, PAUSE, &mut || false).unwrap().unwrap();
        assert_eq!(around.bytes(), b"outer");
        // What is not there, or was there under another generation, is told of nobody.
        let stale = ObjectKey { generation: id.key().generation + 1, ..id.key() }.on(id.node());
        let read = connection.borrow_all([id, ObjectId::default(), id, stale].into_iter(), 0).unwrap();
        let [Some(again), None, Some(twice), None] = &read[..] else { panic!("{read:?}") };
        assert_eq!(again, twice);
        let content = connection.get(again, 0, None, PAUSE, &mut || false).unwrap().unwrap();
        assert_eq!((content.bytes(), content.id()), (&b"inner"[..], id));
        assert_eq!(Viewer::here().report().references.iter().find(|row| row.object_id == id).unwrap().local, 2);
        drop(read);
        drop(outer);
    });
}

#[test]
fn whoever_waits_is_asked_whether_to_stop() {
    #[plasmon::remote]
    fn forever() {
        std::thread::sleep(Duration::from_secs(1000));
    }
    alone(|| {
        start(1.0);
        let connection = Connection::current().unwrap();
        let content = connection.put(1, 0, &[], false, |room, _| room.fill(7)).unwrap();
        let _forever = forever.remote().unwrap();
        let task = connection.submit("binding::no_such_function", &Default::default(), &[], 1, 0).unwrap().remove(0);
        let mut asked = 0;
        let mut stop = || {
            asked += 1;
            asked == 3
        };
        // The one CPU is taken: it does not begin.
        let waits = connection.wait(&[&content, &task], 2, None, PAUSE, &mut stop).unwrap();
        assert_eq!((waits, asked), (None, 3));
        assert!(connection.get(&task, 0, None, PAUSE, &mut || true).unwrap().is_none());
        assert!(connection.get_all(&[&content, &task], 0, None, PAUSE, &mut || true).unwrap().is_none());
        let late = connection.get(&task, 0, Some(PAUSE), PAUSE, &mut || false).unwrap_err();
        assert_eq!(late.code(), "get_timeout");
        connection.cancel(&task, false, 0).unwrap();
        assert_eq!(connection.get(&task, 0, None, PAUSE, &mut || false).unwrap_err().code(), "task_cancelled");
    });
}

#[plasmon::remote]
fn first(value: &str) -> String {
    value.to_owned()
}

#[test]
fn a_call_has_thousands_of_arguments_and_one_with_too_many_is_an_error_that_the_driver_outlives() {
    alone(|| {
        start(1.0);
        let connection = Connection::current().unwrap();
        let settings = TaskSettings::default();
        // Inlined by the agent for the worker, as far as its message has room; and what is inlined already.
        let bytes = postcard::to_allocvec(&"a".repeat(900)).unwrap();
        let value = || connection.argument(bytes.len(), 0, Vec::new(), |room, _| room.copy_from_slice(&bytes)).unwrap();
        let made: Vec<Reference> =
            (0..50).flat_map(|_| connection.submit("binding::first", &settings, &[value()], 1, 0).unwrap()).collect();
        connection.wait(&made.iter().collect::<Vec<_>>(), made.len(), None, PAUSE, &mut || false).unwrap().unwrap();
        let arguments = |count: usize| -> Vec<_> {
            let objects = made.iter().cycle().map(|reference| connection.object_argument(reference));
            (0..20).map(|_| value()).chain(objects).take(count).collect()
        };
        let result = connection.submit("binding::first", &settings, &arguments(MAX_TASK_ARGUMENTS), 1, 0).unwrap().remove(0);
        let given = connection.get_all(&[&result], 0, None, PAUSE, &mut || false).unwrap().unwrap();
        assert_eq!(given[0].bytes(), bytes);
        for count in [MAX_TASK_ARGUMENTS + 1, 5000] {
            let error = connection.submit("binding::first", &settings, &arguments(count), 1, 0).unwrap_err();
            assert!(matches!(&error, Error::Invalid { value, .. } if *value == count.to_string()), "{error}");
            assert!(error.to_string().contains("in a list"), "{error}");
        }
        let alive = connection.submit("binding::first", &settings, &[value()], 1, 0).unwrap().remove(0);
        assert_eq!(connection.get_all(&[&alive], 0, None, PAUSE, &mut || false).unwrap().unwrap()[0].bytes(), bytes);
    });
}
