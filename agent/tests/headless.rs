//! The daemon `plasmon-agent` as the system sees it: started, asked, ended and killed.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "headless/daemon.rs"]
mod daemon;
#[path = "headless/descriptors.rs"]
mod descriptors;
#[path = "headless/guest.rs"]
mod guest;
#[path = "headless/hearing.rs"]
mod hearing;
#[path = "headless/quotas.rs"]
mod quotas;
#[path = "headless/starting.rs"]
mod starting;

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Stdio;

use daemon::{Daemon, Place, hello, until};
use plasmon_agent::session::sweep;
use plasmon_memory::channel::Channel;
use plasmon_protocol::local::{self, ToAgent};
use rustix::process::Signal;

#[test]
fn a_signal_ends_it_and_nothing_is_left() {
    for signal in [Signal::TERM, Signal::INT] {
        let place = Place::new();
        let daemon = Daemon::start(&place, &[]);
        hello(&daemon);
        let path = daemon.found.path.clone();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o700);
        assert_eq!(daemon.end(signal), Some(0));
        assert!(!path.exists());
        assert_eq!(place.sessions(), [""; 0]);
    }
}

#[test]
fn a_signal_at_any_moment_leaves_nothing() {
    for wait in (0..12).chain([50, 200]) {
        let place = Place::new();
        let mut child = place.command(&["--listen", "127.0.0.1:0"]).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(wait));
        daemon::signal(child.id(), Signal::TERM);
        // Before it listens to signals there is nothing to clean up, and the signal ends it as it ends any program.
        daemon::ends(&mut child);
        assert_eq!(place.sessions(), [""; 0], "after {wait} ms");
    }
}

#[test]
fn the_configuration_that_is_printed_is_the_one_that_is_read() {
    let place = Place::new();
    let arguments = ["--listen", "127.0.0.1:7", "--num-cpus", "1.5", "--object-store-memory", "3MiB", "--allow-host", "Box.example"];
    let text = place.run(&[&arguments[..], &["--print-config"]].concat()).fine();
    for line in ["listen = \"127.0.0.1:7\"", "num-cpus = 1.5", "object-store-memory = 3145728", "allow-host = [\"box.example\"]"] {
        assert!(text.lines().any(|found| found == line), "no {line} in {text}");
    }
    let file = place.file("agent.toml", text.as_bytes());
    let file = file.to_str().unwrap();
    assert_eq!(place.run(&["--config", file, "--print-config"]).fine(), text);
    // A flag goes before the file, and so does the environment.
    let other = place.run(&["--config", file, "--num-cpus", "7", "--print-config"]).fine();
    assert_eq!(other, text.replace("num-cpus = 1.5", "num-cpus = 7"));
    let mut command = place.command(&["--config", file, "--print-config"]);
    assert_eq!(daemon::end(command.env("PLASMON_NUM_CPUS", "7")).fine(), other);
    assert_eq!(place.sessions(), [""; 0]);
}

#[test]
fn a_configuration_file_holds() {
    let place = Place::new();
    let text = "listen = \"127.0.0.1:0\"\nnum-cpus = 3\nobject-store-memory = \"5MiB\"\ntoken-file = \"secret/token\"\n";
    let file = place.file("agent.toml", text.as_bytes());
    let daemon = Daemon::start(&place, &["--config", file.to_str().unwrap()]);
    let token = place.path().join("secret/token");
    assert_eq!(daemon.found.address.token_file, token);
    assert_eq!(fs::metadata(&token).unwrap().mode() & 0o7777, 0o600);
    let node = hello(&daemon);
    assert_eq!((node.num_cpus, node.pid), (3.0, daemon.child.id()));
    assert_eq!(daemon.end(Signal::TERM), Some(0));
    // Not the session's: it stays for the next time.
    let before = fs::read(&token).unwrap();
    let daemon = Daemon::start(&place, &["--config", file.to_str().unwrap()]);
    hello(&daemon);
    assert_eq!(fs::read(&token).unwrap(), before);
}

#[test]
fn what_is_wrong_with_options_is_named() {
    let place = Place::new();
    let file = |name: &str, text: &str| place.file(name, text.as_bytes()).to_str().unwrap().to_owned();
    let (key, value, syntax) =
        (file("key.toml", "num-cps = 3\n"), file("value.toml", "object-store-memory = \"3 horses\"\n"), file("syntax.toml", "listen = \n"));
    for (arguments, parts) in [
        (vec!["--config", &key], vec!["num-cps", "key.toml"]),
        (vec!["--config", &value], vec!["object-store-memory", "value.toml", "3 horses"]),
        (vec!["--config", &syntax], vec!["line 1", "syntax.toml"]),
        (vec!["--config", "/nonexistent/agent.toml"], vec!["/nonexistent/agent.toml"]),
        (vec!["--listen", "everywhere"], vec!["--listen", "everywhere"]),
        (vec!["--listen", "0.0.0.0:0"], vec!["--listen", "0.0.0.0:0"]),
        (vec!["--num-cpus=-1"], vec!["--num-cpus", "-1"]),
        (vec!["--object-store-memory", "1000TB"], vec!["--object-store-memory", "more than there is"]),
        (vec!["--object-store-memory", "12"], vec!["--object-store-memory", "less than 1 MiB"]),
        (vec!["--drain-timeout", "1.5"], vec!["--drain-timeout", "1.5"]),
        (vec!["--allow-host", "http://box"], vec!["--allow-host", "http://box"]),
        (vec!["--temp-dir", "/nonexistent/temp"], vec!["/nonexistent/temp"]),
        (vec!["--frobnicate"], vec!["--frobnicate"]),
        (vec!["surplus"], vec!["surplus"]),
    ] {
        place.run(&arguments).refused(&parts);
        assert_eq!(place.sessions(), [""; 0], "{arguments:?}");
    }
    let mut command = place.command(&[]);
    daemon::end(command.env("PLASMON_LOG", "plasmon=loud=very")).refused(&["PLASMON_LOG", "plasmon=loud=very"]);
}

#[test]
fn help_and_version_are_no_errors() {
    let place = Place::new();
    assert_eq!(place.run(&["--version"]).fine(), format!("plasmon-agent {}\n", env!("CARGO_PKG_VERSION")));
    let help = place.run(&["--help"]).fine();
    assert!(help.starts_with("Run the agent of this node") && help.contains("--object-store-memory <SIZE>"), "{help}");
    let mut child = place.command(&["--help"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0), "a closed pipe");
}

#[test]
fn a_port_in_use_is_refused_and_its_user_goes_on() {
    let place = Place::new();
    let first = Daemon::start(&place, &[]);
    let listen = first.found.address.listen.to_string();
    place.run(&["--listen", &listen]).refused(&[&listen]);
    assert_eq!(place.live(), std::slice::from_ref(&first.found));
    assert_eq!(place.sessions().len(), 1);
    hello(&first);
}

#[test]
fn two_agents_do_not_disturb_each_other() {
    let place = Place::new();
    let (old, new) = (Daemon::start(&place, &["--num-cpus", "1"]), Daemon::start(&place, &["--num-cpus", "2"]));
    assert_eq!(place.live(), [new.found.clone(), old.found.clone()], "newest first");
    assert_eq!((hello(&old).num_cpus, hello(&new).num_cpus), (1.0, 2.0));
    assert_ne!(old.token(), new.token());
    assert_eq!(old.end(Signal::TERM), Some(0));
    assert_eq!(place.live(), std::slice::from_ref(&new.found));
    assert_eq!(hello(&new).pid, new.child.id());
}

#[test]
fn the_next_start_sweeps_what_a_kill_has_left() {
    let place = Place::new();
    let killed = Daemon::start(&place, &[]);
    let path = killed.found.path.clone();
    assert_eq!(killed.end(Signal::KILL), None);
    // Nobody could clean up; nobody takes it for alive.
    assert!(path.join("agent.sock").exists() && path.join("address").exists());
    assert_eq!(place.live(), []);
    let next = Daemon::start(&place, &[]);
    assert!(!path.exists());
    assert_eq!(place.live(), std::slice::from_ref(&next.found));
    hello(&next);
}

/// Names in the directory of kept recordings, oldest first.
fn kept(place: &Place) -> Vec<String> {
    let names = fs::read_dir(place.path().join("state/plasmon")).unwrap();
    let mut names: Vec<String> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_last_minutes_of_killed_agents_are_kept_and_those_of_others_are_not() {
    let place = Place::new();
    let start = || {
        let mut command = place.command(&["--listen", "127.0.0.1:0", "--object-store-memory", "16MiB"]);
        command.env("XDG_STATE_HOME", place.path().join("state"));
        Daemon::adopt(&place, command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
    };
    let mut killed = Vec::new();
    for _ in 0..7 {
        let daemon = start();
        let recording = daemon.found.path.join("recording.ndjson");
        // It says hello and what has happened: that it is ready.
        until("the first minutes", || fs::read_to_string(&recording).is_ok_and(|text| text.contains("agent_started")).then_some(()));
        assert_eq!(fs::metadata(&recording).unwrap().mode() & 0o7777, 0o600);
        killed.push((daemon.found.path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&recording).unwrap()));
        assert_eq!(daemon.end(Signal::KILL), None);
    }
    let mut last = start();
    // The newest five; what the first of them has written about the ones before it is its own.
    let expected: Vec<String> = killed[2..].iter().map(|(name, _)| format!("{name}.ndjson")).collect();
    assert_eq!(kept(&place), expected);
    let directory = place.path().join("state/plasmon");
    assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o7777, 0o700);
    for ((name, before), file) in killed[2..].iter().zip(&expected) {
        let path = directory.join(file);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert!(fs::read(&path).unwrap().starts_with(before), "{name}");
    }
    // The log and the events of who moved it say where it is.
    let told = format!("plasmon replay {}", directory.join(&expected[4]).display());
    let recording = last.found.path.join("recording.ndjson");
    until("the event", || fs::read_to_string(&recording).is_ok_and(|text| text.contains(&told)).then_some(()));
    let stderr = last.child.stderr.take().unwrap();
    let mut log = BufReader::new(stderr).lines();
    until("the log's line", || log.next().unwrap().unwrap().contains(&told).then_some(()));
    // This one ends in order: nothing is kept of it.
    assert_eq!(last.end(Signal::TERM), Some(0));
    assert_eq!(kept(&place), expected);
    assert_eq!(place.sessions(), [""; 0]);
}

#[test]
fn a_stale_socket_is_no_obstacle() {
    let place = Place::new();
    drop(Daemon::start(&place, &[]));
    sweep(place.path()).unwrap();
    let base = place.base();
    let dead = base.join("1700000000000-00000001");
    fs::create_dir(&dead).unwrap();
    drop(UnixListener::bind(dead.join("agent.sock")).unwrap());
    fs::write(dead.join("address"), "{").unwrap();
    fs::write(dead.join("lock"), "").unwrap();
    let daemon = Daemon::start(&place, &[]);
    assert!(!dead.exists());
    hello(&daemon);
}

#[test]
fn a_token_file_that_others_could_use_is_refused() {
    let place = Place::new();
    let refused = |path: &PathBuf| {
        let name = path.to_str().unwrap();
        let ended = place.run(&["--listen", "127.0.0.1:0", "--token-file", name]);
        ended.refused(&[name]);
        assert_eq!(place.sessions(), [""; 0]);
        ended
    };
    for mode in [0o644, 0o640, 0o604, 0o660, 0o602] {
        let path = place.file(&format!("open-{mode:o}"), b"hush-hush\n");
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let ended = refused(&path);
        assert!(!ended.stderr.contains("hush"), "the secret is told: {ended:?}");
    }
    let private = |name: &str, bytes: &[u8]| {
        let path = place.file(name, bytes);
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    };
    refused(&private("empty", b""));
    refused(&private("blank", b" \n"));
    refused(&private("two-words", b"hush hush"));
    refused(&private("no-text", b"\xff\xfe"));
    refused(&private("long", &[b'x'; 5000]));
    let good = private("good", b"hush-hush\n");
    let link = place.path().join("link");
    symlink(&good, &link).unwrap();
    refused(&link);
    let directory = place.path().join("directory");
    fs::create_dir(&directory).unwrap();
    refused(&directory);

    let daemon = Daemon::start(&place, &["--token-file", good.to_str().unwrap()]);
    assert_eq!(daemon.token(), "hush-hush");
    hello(&daemon);
}

#[test]
fn clients_that_talk_nonsense_do_no_harm() {
    let place = Place::new();
    let daemon = Daemon::start(&place, &[]);
    let socket = &daemon.found.address.socket;
    let connect = || Channel::connect(socket).unwrap();
    let before = daemon.descriptors();
    // Kept: clients that say nothing at all.
    let silent: Vec<Channel> = (0..8).map(|_| connect()).collect();
    for round in 0..50_u8 {
        drop(connect());
        for garbage in [vec![round], vec![0xff; 17], (0..=255).collect::<Vec<u8>>(), vec![round; 60 << 10]] {
            let client = connect();
            client.send(&garbage, &[]).unwrap();
            // Many more than anybody takes; the agent may have hung up meanwhile.
            let _ = (0..4).try_for_each(|_| client.send(&garbage, &[]));
        }
    }
    // A message that is right, and comes at the wrong time, with descriptors that nobody asked for.
    let client = connect();
    let early = local::encode(&ToAgent::Slots { request: 1 }).unwrap();
    let file = fs::File::open("/dev/null").unwrap();
    use std::os::fd::AsFd;
    client.send(&early, &[file.as_fd(), file.as_fd()]).unwrap();
    until("the agent to hang up", || matches!(client.recv(), Ok(None) | Err(_)).then_some(()));

    // The same on the stream's port.
    for garbage in
        [&b"\x00\xff\x00"[..], b"GET / HTTP/1.1\r\n\r\n", b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n", &[b'A'; 100_000]]
    {
        let mut stream = TcpStream::connect(daemon.found.address.listen).unwrap();
        let _ = stream.write_all(garbage);
        drop(TcpStream::connect(daemon.found.address.listen).unwrap());
    }
    assert_eq!(hello(&daemon).pid, daemon.child.id());
    drop(silent);
    until("what they held to be given back", || (daemon.descriptors() <= before).then_some(()));
    hello(&daemon);
    assert_eq!(daemon.end(Signal::TERM), Some(0));
    assert_eq!(place.sessions(), [""; 0]);
}

#[test]
fn a_log_that_nobody_reads_does_no_harm() {
    let place = Place::new();
    let mut child = place.command(&["--listen", "127.0.0.1:0"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("agent ready"), "{first}");
    // From here on the pipe is closed.
    let daemon = Daemon::adopt(&place, child);
    Channel::connect(&daemon.found.address.socket).unwrap().send(b"nonsense", &[]).unwrap();
    hello(&daemon);
    assert_eq!(daemon.end(Signal::TERM), Some(0));
    assert_eq!(place.sessions(), [""; 0]);
}
