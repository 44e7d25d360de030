mod rescue;

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::*;

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn address(session: &Session) -> Address {
    Address {
        pid: std::process::id(),
        node: NodeId([7; 8]),
        listen: "127.0.0.1:6480".parse().unwrap(),
        socket: session.socket(),
        token_file: session.token_file(),
        started_ms: session.started_ms(),
        version: "0.1.0".to_owned(),
    }
}

/// What a session leaves behind when its agent is killed: everything but the lock.
fn abandon(session: Session) -> PathBuf {
    let path = session.path();
    let copy = session.base.path().join("copy");
    fs::rename(&path, &copy).unwrap();
    drop(session);
    fs::rename(copy, &path).unwrap();
    path
}

fn entries(temp: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(base::path(temp)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_session_is_private_and_goes_when_dropped() {
    let temp = tempfile::tempdir().unwrap();
    let session = Session::create(temp.path()).unwrap();
    for directory in [session.path(), session.logs(), base::path(temp.path())] {
        assert_eq!(mode(&directory), 0o700, "{}", directory.display());
    }
    assert_eq!(mode(&session.path().join(LOCK)) & 0o077, 0);
    assert!(is_name(session.name()), "{}", session.name());
    let _listener = UnixListener::bind(session.socket()).unwrap();
    session.publish(&address(&session)).unwrap();
    assert_eq!(mode(&session.path().join(ADDRESS)), 0o600);
    drop(session);
    assert_eq!(entries(temp.path()), [""; 0]);
}

#[test]
fn only_ready_live_sessions_are_found_newest_first() {
    let temp = tempfile::tempdir().unwrap();
    assert_eq!(find_live(temp.path()).unwrap(), []);
    let old = Session::create_named(temp.path(), 1_700_000_000_000, 9).unwrap();
    let new = Session::create_named(temp.path(), 1_800_000_000_000, 1).unwrap();
    let starting = Session::create_named(temp.path(), 1_900_000_000_000, 1).unwrap();
    let dead = Session::create_named(temp.path(), 1_950_000_000_000, 1).unwrap();
    for session in [&old, &new, &dead] {
        session.publish(&address(session)).unwrap();
    }
    let dead = abandon(dead);
    let garbled = Session::create_named(temp.path(), 1_960_000_000_000, 1).unwrap();
    fs::write(garbled.path().join(ADDRESS), "{\"pid\": 1").unwrap();
    let found = find_live(temp.path()).unwrap();
    let expected = [&new, &old].map(|session| Found { path: session.path(), address: address(session) });
    assert_eq!(found, expected);

    assert_eq!(sweep(temp.path()).unwrap(), 1);
    assert!(!dead.exists());
    assert_eq!(entries(temp.path()), [&old, &new, &starting, &garbled].map(|session| session.name().to_owned()));
    drop(new);
    assert_eq!(find_live(temp.path()).unwrap().len(), 1);
}

#[test]
fn a_sweep_takes_stale_sockets_and_half_made_sessions_and_nothing_else() {
    let temp = tempfile::tempdir().unwrap();
    let killed = Session::create_named(temp.path(), 1, 1).unwrap();
    drop(UnixListener::bind(killed.socket()).unwrap());
    fs::write(killed.logs().join("agent.log"), "x").unwrap();
    let victim = temp.path().join("victim");
    fs::write(&victim, "keep").unwrap();
    symlink(temp.path(), killed.path().join("spill")).unwrap();
    abandon(killed);
    let base = base::path(temp.path());
    // Made but not locked when its starter was killed; and renamed but not removed when its sweeper was.
    fs::create_dir(base.join(name(2, 2))).unwrap();
    fs::create_dir_all(base.join(".dead-0000000000003-00000003/logs")).unwrap();
    // Not ours to judge.
    fs::create_dir(base.join("notes")).unwrap();
    assert_eq!(sweep(temp.path()).unwrap(), 2);
    assert_eq!(entries(temp.path()), ["notes"]);
    assert_eq!(fs::read_to_string(victim).unwrap(), "keep");
    assert_eq!(sweep(temp.path()).unwrap(), 0);
}

#[test]
fn sweepers_lookers_and_starters_do_not_harm_each_other() {
    const ROUNDS: u64 = 40;
    let temp = tempfile::tempdir().unwrap();
    let temp = temp.path();
    let sibling = Session::create_named(temp, 1_999_999_999_999, 1).unwrap();
    sibling.publish(&address(&sibling)).unwrap();
    let done = AtomicBool::new(false);
    let swept = std::thread::scope(|scope| {
        let sweepers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut swept = 0;
                    while !done.load(Ordering::Relaxed) {
                        swept += sweep(temp).unwrap();
                    }
                    swept
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                assert_eq!(find_live(temp).unwrap().first().map(|found| found.path.clone()), Some(sibling.path()));
            }
        });
        let starters: Vec<_> = (0..2_u32)
            .map(|starter| {
                scope.spawn(move || {
                    for round in 1..=ROUNDS {
                        let session = Session::create_named(temp, round, starter).unwrap();
                        session.publish(&address(&session)).unwrap();
                        assert!(find_live(temp).unwrap().iter().any(|found| found.path == session.path()));
                        assert!(session.path().join(LOCK).exists());
                        if round % 2 == 0 {
                            // A kill: the lock goes, the directory stays.
                            session.lock.unlock().unwrap();
                            std::mem::forget(session);
                        }
                    }
                })
            })
            .collect();
        let results: Vec<_> = starters.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        assert!(results.iter().all(Result::is_ok), "a starter failed");
        sweepers.into_iter().map(|sweeper| sweeper.join().unwrap()).sum::<usize>()
    });
    assert_eq!(swept + sweep(temp).unwrap(), 2 * ROUNDS as usize / 2);
    assert_eq!(entries(temp), [sibling.name().to_owned()]);
}

#[test]
fn two_sweepers_share_one_dead_session() {
    for round in 0..20 {
        let temp = tempfile::tempdir().unwrap();
        let dead = Session::create_named(temp.path(), round, 0).unwrap();
        for index in 0..50 {
            fs::write(dead.logs().join(index.to_string()), "x").unwrap();
        }
        abandon(dead);
        let barrier = Barrier::new(2);
        let swept: usize = std::thread::scope(|scope| {
            let sweepers = [(); 2].map(|()| {
                scope.spawn(|| {
                    barrier.wait();
                    sweep(temp.path()).unwrap()
                })
            });
            sweepers.into_iter().map(|sweeper| sweeper.join().unwrap()).sum()
        });
        assert_eq!(swept, 1);
        assert_eq!(entries(temp.path()), [""; 0]);
    }
}

#[test]
fn a_place_that_others_can_change_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    drop(Session::create(temp.path()).unwrap());
    let base = base::path(temp.path());
    for (bits, good) in [(0o700, true), (0o750, true), (0o770, false), (0o702, false), (0o1777, false)] {
        chmod(&base, bits);
        assert_eq!(Session::create(temp.path()).is_ok(), good, "{bits:o}");
        assert_eq!(find_live(temp.path()).is_ok(), good, "{bits:o}");
        assert_eq!(sweep(temp.path()).is_ok(), good, "{bits:o}");
    }
    let error = Session::create(temp.path()).unwrap_err();
    assert_eq!(error.code(), "invalid");
    assert!(error.to_string().contains("--temp-dir") && error.to_string().contains("1777"), "{error}");

    fs::remove_dir(&base).unwrap();
    let elsewhere = temp.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, &base).unwrap();
    assert_eq!(Session::create(temp.path()).unwrap_err().code(), "invalid");
    fs::remove_file(&base).unwrap();
    fs::write(&base, "").unwrap();
    assert_eq!(Session::create(temp.path()).unwrap_err().code(), "invalid");
    fs::remove_file(&base).unwrap();

    for (bits, good) in [(0o777, false), (0o1777, true), (0o755, true), (0o775, false)] {
        chmod(temp.path(), bits);
        assert_eq!(Session::create(temp.path()).is_ok(), good, "{bits:o}");
    }
    assert_eq!(Session::create(&temp.path().join("missing")).unwrap_err().code(), "system");
}

#[test]
fn foreign_owners_are_refused() {
    let temp = tempfile::tempdir().unwrap();
    let found = fs::metadata(temp.path()).unwrap();
    let own = found.uid();
    assert_eq!(base::own_fault(&found, own), None);
    assert!(base::own_fault(&found, own + 1).unwrap().contains("belongs to user"));
    // The system's directories are everybody's to use; another user's are not.
    assert_eq!(base::temp_fault(&fs::metadata("/").unwrap(), own + 1), None);
    assert_eq!(base::temp_fault(&found, own + 1).is_some(), own != 0);
}

#[test]
fn a_path_too_long_for_a_socket_is_refused_before_anything_is_made() {
    let temp = tempfile::tempdir().unwrap();
    let fixed = base::path(temp.path()).join(name(1, 1)).join(SOCKET).as_os_str().len() + 1;
    let fits = temp.path().join("x".repeat(SOCKET_PATH_MAX - fixed));
    fs::create_dir(&fits).unwrap();
    let session = Session::create(&fits).unwrap();
    assert_eq!(session.socket().as_os_str().len(), SOCKET_PATH_MAX);
    UnixListener::bind(session.socket()).unwrap();

    let long = temp.path().join("x".repeat(SOCKET_PATH_MAX - fixed + 1));
    fs::create_dir(&long).unwrap();
    let error = Session::create(&long).unwrap_err();
    assert!(error.code() == "invalid" && error.to_string().contains("--temp-dir"), "{error}");
    assert_eq!(fs::read_dir(&long).unwrap().count(), 0);
}

/// Runs `name`, a test of this module, in a process of its own under `umask`, with `PLACE` set; it ends when its input does.
fn in_process(name: &str, umask: &str, place: &Path) -> std::process::Child {
    let executable = std::env::current_exe().unwrap();
    Command::new("sh")
        .args(["-c", "umask \"$1\"; shift; exec \"$@\"", "sh", umask])
        .arg(executable)
        .args(["--exact", &format!("session::tests::{name}"), "--nocapture"])
        .env("PLACE", place)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_killed_process_leaves_a_dead_session_and_no_umask_opens_it() {
    if let Some(place) = std::env::var_os("PLACE") {
        let session = Session::create(Path::new(&place)).unwrap();
        session.publish(&address(&session)).unwrap();
        std::io::Read::read_to_end(&mut std::io::stdin(), &mut Vec::new()).unwrap();
        return;
    }
    for umask in ["000", "777"] {
        let temp = tempfile::tempdir().unwrap();
        let mut child = in_process("a_killed_process_leaves_a_dead_session_and_no_umask_opens_it", umask, temp.path());
        let deadline = Instant::now() + Duration::from_secs(60);
        let found = loop {
            if let Some(found) = find_live(temp.path()).unwrap().pop() {
                break found;
            }
            assert!(Instant::now() < deadline, "the child never published");
            std::thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(found.address.pid, child.id());
        for path in [base::path(temp.path()), found.path.clone(), found.path.join(LOGS), found.path.join(LOCK), found.path.join(ADDRESS)] {
            assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
        }
        assert_eq!(sweep(temp.path()).unwrap(), 0);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(find_live(temp.path()).unwrap(), []);
        assert_eq!(sweep(temp.path()).unwrap(), 1);
        assert_eq!(entries(temp.path()), [""; 0]);
    }
}

/// A session's places for spill files: its own, one elsewhere, and what a list must not lead to.
#[test]
fn spill_places_go_with_their_session_and_nothing_else_does() {
    let temp = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let make = |session: &Session| {
        let path = elsewhere.path().join(spill::directory_name(session.name()));
        session.record_spill(&[session.path().join("spill"), path.clone()], None).unwrap();
        for directory in [&session.path().join("spill"), &path] {
            make_private(directory).unwrap();
            fs::write(directory.join("1"), "object").unwrap();
        }
        path
    };
    let ended = Session::create(temp.path()).unwrap();
    let path = make(&ended);
    drop(ended);
    assert!(!path.exists());
    // Killed: swept by the next, while a live one keeps its own.
    let live = Session::create(temp.path()).unwrap();
    let kept = make(&live);
    let killed = Session::create(temp.path()).unwrap();
    let path = make(&killed);
    abandon(killed);
    assert_eq!(sweep(temp.path()).unwrap(), 1);
    assert!(!path.exists() && kept.join("1").exists());
    // What is not called like the session's, or is a link, is left alone.
    let victim = elsewhere.path().join("victim");
    make_private(&victim).unwrap();
    fs::write(victim.join("precious"), "").unwrap();
    let killed = Session::create(temp.path()).unwrap();
    let name = killed.name().to_owned();
    let link = elsewhere.path().join(spill::directory_name(&name));
    let up = link.join("..").join("victim");
    killed.record_spill(&[victim.clone(), link.clone(), up, kept.clone()], None).unwrap();
    symlink(&victim, &link).unwrap();
    abandon(killed);
    assert_eq!(sweep(temp.path()).unwrap(), 1);
    assert!(victim.join("precious").exists() && kept.join("1").exists());
    drop(live);
    assert!(!kept.exists());
}

#[test]
fn a_place_that_cannot_be_removed_is_tried_again() {
    let temp = tempfile::tempdir().unwrap();
    let killed = Session::create(temp.path()).unwrap();
    let name = killed.name().to_owned();
    // Too long for the system: an error that is not "missing".
    let path = temp.path().join("x".repeat(300)).join(spill::directory_name(&name));
    killed.record_spill(&[path], None).unwrap();
    abandon(killed);
    assert_eq!(sweep(temp.path()).unwrap(), 1);
    assert!(entries(temp.path()).contains(&format!(".dead-{name}")), "its list is gone");
}
