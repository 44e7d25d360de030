//! Recordings of dead sessions.

use super::*;

/// A dead session with a recording of these bytes.
fn dead_with(temp: &Path, started_ms: u64, bytes: &[u8]) -> String {
    let session = Session::create_named(temp, started_ms, 1).unwrap();
    let name = session.name().to_owned();
    fs::write(session.path().join("recording.ndjson"), bytes).unwrap();
    abandon(session);
    name
}

#[test]
fn recordings_are_moved_without_following_links_or_writing_over_anything() {
    let temp = tempfile::tempdir().unwrap();
    let state = temp.path().join("a/b/plasmon");
    let victim = temp.path().join("victim");
    fs::write(&victim, "keep").unwrap();
    let moved = |temp: &Path| sweep_and_rescue(temp, Some(&state)).unwrap();

    // Good; empty; a link; a fifo; a directory.
    let good = dead_with(temp.path(), 1, b"{}\n");
    dead_with(temp.path(), 2, b"");
    for number in 3..=5 {
        let session = Session::create_named(temp.path(), number, 1).unwrap();
        let path = session.path().join("recording.ndjson");
        match number {
            3 => symlink(&victim, path).unwrap(),
            4 => rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap(),
            _ => fs::create_dir(path).unwrap(),
        }
        abandon(session);
    }
    let kept = state.join(format!("{good}.ndjson"));
    assert_eq!(moved(temp.path()), Swept { sessions: 5, recordings: vec![kept.clone()] });
    assert_eq!((fs::read_to_string(&kept).unwrap().as_str(), mode(&kept), mode(&state)), ("{}\n", 0o600, 0o700));
    assert_eq!(fs::read_dir(&state).unwrap().count(), 1, "no draft is left");

    // Something has its name already: a file, a link to nowhere.
    for number in [7, 8] {
        let name = format!("{}.ndjson", name(number, 1));
        if number == 7 {
            fs::write(state.join(&name), "mine").unwrap()
        } else {
            symlink("/nowhere", state.join(&name)).unwrap()
        }
        dead_with(temp.path(), number, b"new");
        assert_eq!(moved(temp.path()), Swept { sessions: 1, recordings: Vec::new() });
        let found = fs::symlink_metadata(state.join(&name)).unwrap();
        assert!(found.is_symlink() || fs::read_to_string(state.join(&name)).unwrap() == "mine");
    }

    // The newest five stay, and files that are no recordings.
    fs::write(state.join("notes.ndjson"), "").unwrap();
    let names: Vec<String> = (10..17).map(|number| format!("{}.ndjson", dead_with(temp.path(), number, b"x"))).collect();
    moved(temp.path());
    let mut found: Vec<String> = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    assert_eq!(found, [&names[2..], &["notes.ndjson".to_owned()]].concat());

    // Where others could put theirs, nothing is written; the session goes all the same.
    chmod(&state, 0o777);
    dead_with(temp.path(), 20, b"x");
    assert_eq!(moved(temp.path()), Swept { sessions: 1, recordings: Vec::new() });
    assert_eq!((entries(temp.path()), fs::read_to_string(victim).unwrap().as_str()), (Vec::new(), "keep"));
}

#[test]
fn many_sweepers_move_a_recording_once() {
    let temp = tempfile::tempdir().unwrap();
    let state = temp.path().join("state");
    for round in 0..20 {
        let name = dead_with(temp.path(), round, &vec![b'x'; 100_000]);
        let start = Barrier::new(4);
        let moved: usize = std::thread::scope(|scope| {
            let sweepers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        sweep_and_rescue(temp.path(), Some(&state)).unwrap().recordings.len()
                    })
                })
                .collect();
            sweepers.into_iter().map(|sweeper| sweeper.join().unwrap()).sum()
        });
        assert_eq!((moved, fs::metadata(state.join(format!("{name}.ndjson"))).unwrap().len()), (1, 100_000));
    }
}
