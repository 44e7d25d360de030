//! The command line without a terminal: what it takes, what it prints, how it fails.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod system;

use std::process::Stdio;

use serde_json::Value;
use system::place::{Daemon, Place, end, read_until, until};
use system::screen::Screen;

/// An agent with a driver that holds a few objects, for one test.
struct Live {
    place: Place,
    screen: Screen,
}

impl Live {
    fn start() -> Self {
        let place = Place::new();
        let lines: String = (0..200_000).map(|number: u64| format!("{:020} a line of text\n", number.wrapping_mul(0x9e37_79b9))).collect();
        let input = place.file("input", lines.as_bytes());
        let arguments = ["demo", "--keep", "--object-store-memory", "64MiB", "--input", input.to_str().unwrap()];
        let mut screen = Screen::open(&place, 160, 24, &arguments);
        screen.shows(&["done: 200000 lines, "]);
        let live = Self { place, screen };
        // A worker lets go of its last argument, and functions are named, a little after that.
        let lasts = |row: &Value| row["pid"] == live.screen.pid() && row["call_site"].as_str().unwrap().contains("remember");
        until("what it keeps", || live.json()["references"].as_array().unwrap().iter().all(lasts).then_some(()));
        live
    }

    #[track_caller]
    fn memory(&self, arguments: &[&str]) -> String {
        self.place.run([&["memory"], arguments].concat()).fine()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.memory(&["--json"])).unwrap()
    }
}

/// The cells of a report's rows.
fn rows(report: &str) -> Vec<Vec<&str>> {
    let rows = report.lines().filter(|line| line.starts_with("127.0.0.1 "));
    rows.map(|line| line.split('|').map(str::trim).collect()).collect()
}

fn number(text: &str) -> f64 {
    text.split(' ').next().unwrap().parse().unwrap()
}

/// What two reports of the same objects have in common: all but the time, and the ledger, where what a process
/// leases beside its objects may just have gone back.
fn lasting(report: &str) -> &str {
    report.split_once('\n').unwrap().1.split_once("--- Ledger").unwrap().0
}

fn groups(report: &str) -> Vec<&str> {
    report.lines().filter(|line| line.starts_with("--- Summary for ")).collect()
}

#[test]
fn the_report_says_in_text_what_it_says_in_json() {
    let mut live = Live::start();
    let json = live.json();
    let references = json["references"].as_array().unwrap();
    assert!(references.len() >= 4, "{json:#}");
    let driver = u64::from(live.screen.pid());
    let mut bytes = 0;
    for row in references {
        assert_eq!((row["pid"].as_u64(), row["creator_pid"].as_u64()), (Some(driver), Some(driver)), "{row}");
        assert_eq!(
            (&row["process_type"], &row["reference_type"], &row["node_ip"]),
            (&"driver".into(), &"LOCAL_REFERENCE".into(), &"127.0.0.1".into())
        );
        let site = row["call_site"].as_str().unwrap();
        assert!(site.starts_with("(put object) ") && site.contains("remember") && site.contains("tui/src/demo.rs:"), "{site}");
        assert_eq!(row["created_site"], row["call_site"]);
        assert_eq!((&row["status"], &row["attempt"]), (&Value::Null, &Value::Null));
        assert_eq!(["local", "pinned", "submitted", "captured"].map(|count| row[count].as_u64()), [Some(1), Some(0), Some(0), Some(0)]);
        let id = row["object_id"].as_str().unwrap();
        assert!(id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{id}");
        assert!(row["age_ms"].is_u64());
        bytes += row["size_bytes"].as_u64().unwrap();
    }
    let count = references.len() as u64;
    assert_eq!(json["totals"], serde_json::json!({ "references": count, "unique_objects": count, "unique_bytes": bytes }));
    let store = &json["store"];
    assert_eq!((&store["capacity_bytes"], &store["unattributed_bytes"], &store["objects"]), (&(64 << 20).into(), &0.into(), &count.into()));
    assert!(store["used_bytes"].as_u64().unwrap() >= bytes, "{store}");
    assert_eq!((&json["version"], &json["post_mortem"]), (&1.into(), &serde_json::json!([])));
    assert_eq!(json["node"].as_str().unwrap().len(), 16);

    let text = live.memory(&[]);
    let printed: Vec<(String, f64, String)> =
        rows(&text).iter().map(|row| (row[1].to_owned(), number(row[6]), row[8].to_owned())).collect();
    let expected: Vec<(String, f64, String)> = references
        .iter()
        .map(|row| (row["pid"].to_string(), row["size_bytes"].as_f64().unwrap(), row["object_id"].as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(printed, expected);
    assert!(printed.is_sorted_by(|one, other| one.1 >= other.1), "largest first");
    for line in [
        "IP Address |",
        &format!("{count} references to {count} unique objects, {bytes}.0 B"),
        "--- Summary for node address: 127.0.0.1 ---",
        "--- Aggregate object store stats across all nodes ---",
        "Plasma memory usage ",
        "unattributed 0 B",
    ] {
        assert!(text.lines().any(|found| found.starts_with(line)), "no '{line}' in {text}");
    }
    assert!(!text.contains('\x1b'), "escape sequences where no terminal is");
    // Without a terminal `plasmon` is the same report.
    assert_eq!(lasting(&live.place.run([""; 0]).fine()), lasting(&text));
    live.screen.press("q");
    assert_eq!(live.screen.end(), 0);
    live.place.assert_empty();
}

#[test]
fn options_shape_the_report() {
    let live = Live::start();
    let all = live.memory(&[]);
    let count = rows(&all).len();
    let driver = live.screen.pid().to_string();

    // Words in any case, `-` for `_`, one sign or two.
    for same in [["--group-by", "node_address"], ["--group-by", "Node-Address"], ["--sort-by", "object_SIZE"], ["--units", "b"]] {
        assert_eq!(lasting(&live.memory(&same)), lasting(&all), "{same:?}");
    }
    for (key, group) in [
        ("stack_trace", "--- Summary for stack trace: (put object) remember ".to_owned()),
        ("PID", format!("--- Summary for pid: {driver}")),
        ("reference-type", "--- Summary for reference type: LOCAL_REFERENCE".to_owned()),
    ] {
        let text = live.memory(&["--group-by", key]);
        let groups = groups(&text);
        assert!(!groups.is_empty() && groups.iter().all(|found| found.to_lowercase().starts_with(&group.to_lowercase())), "{key}: {text}");
        assert_eq!(rows(&text).len(), count);
    }

    let sizes = |text: &str| rows(text).iter().map(|row| number(row[6])).collect::<Vec<_>>();
    let (down, up) = (sizes(&all), sizes(&live.memory(&["--reverse"])));
    assert!(down.is_sorted_by(|one, other| one >= other) && up.is_sorted() && down.len() == up.len());
    let ids = |text: &str| rows(text).iter().map(|row| row[8].to_owned()).collect::<Vec<_>>();
    // Nothing is added any more, so differences of ages stay; those of one millisecond are ordered by id either way.
    let json = live.json();
    let age = |id: &String| json["references"].as_array().unwrap().iter().find(|row| row["object_id"] == **id).unwrap()["age_ms"].as_u64();
    let (old, young) = (ids(&live.memory(&["--sort-by", "age"])), ids(&live.memory(&["--sort-by", "AGE", "--reverse"])));
    assert!(old.is_sorted_by_key(|id| std::cmp::Reverse(age(id))) && young.is_sorted_by_key(age), "{old:?} {young:?} {json:#}");
    assert_eq!((old.len(), young.len()), (count, count));

    let kilo = sizes(&live.memory(&["--units", "kb"]));
    assert!(kilo.iter().zip(&down).all(|(kilo, bytes)| (kilo * 1000.0 - bytes).abs() < 1000.0), "{kilo:?} {down:?}");
    assert!(rows(&live.memory(&["--units", "auto"])).iter().all(|row| row[6].ends_with(" KiB") || row[6].ends_with(" MiB")));

    let first = live.memory(&["-n", "1"]);
    assert_eq!(ids(&first), ids(&all)[..1]);
    assert!(first.contains(&format!("{count} references")), "the sums are of all: {first}");
    assert_eq!(rows(&live.memory(&["--num-entries", "0"])).len(), 0);
    assert_eq!(rows(&live.memory(&["-n", "99999"])).len(), count);
    let sums = live.memory(&["--stats-only"]);
    assert_eq!((groups(&sums).len(), rows(&sums).len()), (0, 0), "{sums}");
    assert!(sums.contains("Plasma memory usage ") && sums.contains("unattributed 0 B"), "{sums}");

    let plain = live.memory(&["--no-format"]);
    let lines: Vec<&str> = plain.lines().filter(|line| line.starts_with("127.0.0.1 | ")).collect();
    assert_eq!(lines.len(), count);
    assert!(lines.iter().all(|line| line.split(" | ").count() == 9 && !line.contains("  ")), "{plain}");
}

#[test]
fn readers_that_leave_are_no_error() {
    let live = Live::start();
    for arguments in [&["memory"][..], &["memory", "--json"], &["memory", "--watch"], &[], &["--help"], &["memory", "--help"]] {
        let mut child = live.place.plasmon(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{arguments:?}");
    }
    // One that reads a while first.
    let mut child = live.place.plasmon(["memory", "--watch"]).stdout(Stdio::piped()).spawn().unwrap();
    for _ in 0..2 {
        read_until(child.stdout.as_mut().unwrap(), "unattributed 0 B\n");
    }
    drop(child.stdout.take());
    assert_eq!(system::place::ends(&mut child).code(), Some(0));
    // And a shell that asks for one line.
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", "set -o pipefail; \"$0\" memory | head -1", env!("CARGO_BIN_EXE_plasmon")]);
    shell.env_clear().envs(live.place.environment()).stdin(Stdio::null());
    let ended = end(shell).fine();
    assert!(ended.starts_with("======== Object references status: ") && ended.lines().count() == 1, "{ended}");
}

#[test]
fn an_output_that_takes_nothing_is_an_error() {
    let place = Place::new();
    let _daemon = Daemon::start(&place, &[]);
    for arguments in [&["memory"][..], &["memory", "--json"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let child = place.plasmon(arguments).stdout(full).stderr(Stdio::piped()).spawn().unwrap();
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.starts_with("error: cannot write the report: ") && stderr.contains("\nhint: "), "{stderr}");
    }
}

#[test]
fn a_terminal_gets_lines_that_fit() {
    let place = Place::new();
    let daemon = Daemon::start(&place, &[]);
    let mut screen = Screen::open(&place, 80, 40, &["memory"]);
    assert_eq!(screen.end(), 0);
    system::place::until("the report", || screen.text().contains("unattributed 0 B").then_some(()));
    let wrapped = screen.look(|screen| (0..40).any(|row| screen.row_wrapped(row)));
    assert!(!wrapped, "{}", screen.text());
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn without_an_agent_it_says_how_to_start_one() {
    let place = Place::new();
    for arguments in [&[][..], &["memory"], &["memory", "--json"], &["memory", "--watch"]] {
        let ended = place.run(arguments);
        ended.refused(&["no agent", place.path().to_str().unwrap()]);
        assert!(ended.stderr.contains("`plasmon agent`") && ended.stderr.contains("`plasmon demo`"), "{ended:?}");
    }
    // Neither does one that was killed count.
    let daemon = Daemon::start(&place, &[]);
    system::place::signal(daemon.child.id(), rustix::process::Signal::KILL);
    drop(daemon);
    place.run(["memory"]).refused(&["no agent"]);
    // Looking makes nothing.
    let untouched = Place::new();
    untouched.run(["memory"]).refused(&["no agent"]);
    assert_eq!(std::fs::read_dir(untouched.path()).unwrap().count(), 0);
}

#[test]
fn the_newest_agent_is_the_one() {
    let place = Place::new();
    let old = Daemon::start(&place, &["--num-cpus", "1"]);
    let new = Daemon::start(&place, &["--num-cpus", "2"]);
    let node = |arguments: &[&str]| {
        let json: Value = serde_json::from_str(&place.run([&["memory", "--json"], arguments].concat()).fine()).unwrap();
        json["node"].as_str().unwrap().to_owned()
    };
    assert_eq!(node(&[]), new.found.address.node.to_string());
    let listen = old.found.address.listen.to_string();
    for address in [&listen, &old.url(), &format!("{}/", old.url())] {
        assert_eq!(node(&["--address", address, "--token-file", old.token_file()]), old.found.address.node.to_string());
    }
    assert_eq!(new.stop(), Some(0));
    assert_eq!(node(&[]), old.found.address.node.to_string());
}

#[test]
fn wrong_words_are_named() {
    let place = Place::new();
    for (arguments, parts) in [
        (&["memory", "--group-by", "colour"][..], &["--group-by", "'colour'", "STACK_TRACE"][..]),
        (&["memory", "--sort-by", "colour"], &["--sort-by", "'colour'", "OBJECT_SIZE"]),
        (&["memory", "--units", "stone"], &["--units", "'stone'", "AUTO"]),
        (&["memory", "-n", "many"], &["-n", "'many'"]),
        (&["memory", "-n=-1"], &["'-1'"]),
        (&["memory", "--json", "--stats-only"], &["--json", "--stats-only"]),
        (&["memory", "--frobnicate"], &["--frobnicate"]),
        (&["memory", "surplus"], &["surplus"]),
        (&["frobnicate"], &["frobnicate"]),
        (&["attach"], &["not provided"]),
        (&["attach", "127.0.0.1:1", "127.0.0.1:2", "--watch"], &["--watch prints one agent", "2 are given"]),
        (&["agent", "--object-store-memory", "12 parsecs"], &["--object-store-memory", "12 parsecs"]),
        (&["agent", "--listen", "here"], &["--listen", "'here'"]),
        (&["demo", "--num-cpus", "two"], &["--num-cpus", "'two'"]),
    ] {
        let ended = place.run(arguments);
        if arguments.contains(&"-n") {
            assert_eq!(ended.code, Some(2));
            assert!(ended.stderr.contains("many") && ended.stderr.contains("hint: "), "{ended:?}");
        } else {
            ended.refused(parts);
        }
    }
}

#[test]
fn wrong_addresses_are_named() {
    let place = Place::new();
    let daemon = Daemon::start(&place, &[]);
    for (address, parts) in [
        // No port of those that are given to whoever asks for any.
        ("127.0.0.1:1", vec!["cannot connect to", "127.0.0.1:1"]),
        ("127.0.0.1:99999", vec!["127.0.0.1:99999", "65535"]),
        ("127.0.0.1:", vec!["127.0.0.1:"]),
        ("ftp://127.0.0.1:1", vec!["ftp://127.0.0.1:1", "scheme"]),
        ("wss://127.0.0.1:1", vec!["wss://127.0.0.1:1", "TLS"]),
        ("ws://user@127.0.0.1:1", vec!["user@"]),
        ("ws://", vec!["ws://"]),
        ("no where", vec!["no where"]),
    ] {
        for arguments in [["memory", "--address", address], ["--token-file", daemon.token_file(), "--address"]] {
            let arguments: Vec<&str> = if arguments[2] == "--address" { [&arguments[..], &[address]].concat() } else { arguments.to_vec() };
            place.run(&arguments).refused(&parts);
        }
        place.run(["attach", address]).refused(&parts);
    }
}

#[test]
fn something_else_at_the_address_is_told() {
    let place = Place::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for mut stream in listener.incoming().map(Result::unwrap) {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        }
    });
    place.run(["memory", "--address", &address]).refused(&[&address, "404"]);
}

#[test]
fn tokens_are_asked_for_and_not_made() {
    let place = Place::new();
    let daemon = Daemon::start(&place, &[]);
    let url = daemon.url();
    place.run(["memory", "--address", &url]).refused(&["asks for a token"]);
    place.run(["attach", &url]).refused(&["asks for a token"]);
    let missing = place.path().join("missing");
    for (path, part) in [
        (place.file("wrong", b"wrong\n"), "does not accept this token"),
        (place.file("empty", b""), "empty"),
        (place.file("blank", b" \n\t"), "empty"),
        (place.file("bytes", b"\xff\xfe"), "bytes"),
        (place.file("control", b"a\x07b"), "token"),
        (place.path().to_owned(), "directory"),
        (missing.clone(), "missing"),
    ] {
        let name = path.to_str().unwrap();
        for arguments in [
            &["memory", "--address", &url, "--token-file", name][..],
            &["memory", "--token-file", name],
            &["attach", &url, "--token-file", name],
        ] {
            place.run(arguments).refused(&[part]);
        }
        let mut command = place.plasmon(["memory", "--address", &url]);
        command.env("PLASMON_TOKEN_FILE", &path);
        end(command).refused(&[part]);
    }
    assert!(!missing.exists());
    let report = place.run(["memory", "--address", &url, "--token-file", daemon.token_file()]).fine();
    assert!(report.contains("unattributed 0 B"), "{report}");
}

#[test]
fn a_dashboard_without_a_terminal_is_the_report() {
    let place = Place::new();
    let daemon = Daemon::start(&place, &[]);
    let address = daemon.found.address.listen.to_string();
    let report = place.run(["attach", &address, "--token-file", daemon.token_file()]).fine();
    assert!(report.starts_with("======== Object references status: ") && report.ends_with("unattributed 0 B\n"), "{report}");
}

/// Help as somebody sees it whose environment says nothing.
fn help(arguments: &[&str]) -> String {
    let place = Place::new();
    let mut command = place.plasmon(arguments);
    command.env_remove("PLASMON_TEMP_DIR").env("COLUMNS", "100");
    end(command).fine()
}

/// The first lines of what a command prints until it is told to stop.
fn lines_of(place: &Place, arguments: &[&str], count: usize) -> Vec<String> {
    let mut child = place.plasmon(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let reader = std::io::BufReader::new(child.stdout.take().unwrap());
    let lines: Vec<String> = std::io::BufRead::lines(reader).take(count).map(Result::unwrap).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    lines
}

#[test]
fn plasmon_prints_the_same_model_once_as_lines_and_as_views() {
    let mut live = Live::start();
    assert_eq!(lasting(&live.place.run(["--once"]).fine()), lasting(&live.memory(&[])));
    let once: Value = serde_json::from_str(&live.place.run(["--once", "--json"]).fine()).unwrap();
    assert_eq!(once["totals"], live.json()["totals"]);
    for arguments in [&["--watch", "--json"][..], &["memory", "--watch", "--json"]] {
        for line in lines_of(&live.place, arguments, 2) {
            let report: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(report["totals"], once["totals"], "one line is one report");
        }
    }
    for (view, part) in
        [("overview", "─ Object store ─"), ("sites", "remember"), ("node", "open files"), ("Post-mortem", "no process died")]
    {
        let text = live.place.run(["--view", view]).fine();
        assert!(text.contains(part) && !text.contains('\x1b') && text.lines().count() == 40, "{view}: {text}");
    }
    let wrong = live.place.run(["--view", "nothing"]);
    assert!(wrong.code == Some(2) && wrong.stderr.contains("there are overview, references, sites"), "{wrong:?}");
    live.screen.press("q");
    assert_eq!(live.screen.end(), 0);
}

#[test]
fn the_doctor_looks_at_this_machine_or_asks_an_agent() {
    let place = Place::new();
    let here = place.run(["doctor"]).fine();
    for part in ["kernel ", "memory ", "open files ", "spill disk "] {
        assert!(here.lines().any(|line| line.get(3..).is_some_and(|line| line.starts_with(part))), "no '{part}' in {here}");
    }
    let json: Value = serde_json::from_str(&place.run(["doctor", "--json"]).fine()).unwrap();
    assert!(json.as_array().unwrap().iter().any(|check| check["subject"] == "memory" && check["limit"].as_u64().unwrap() > 0), "{json:#}");
    let nowhere = place.run(["doctor", "--spill-dir", "/proc/nowhere"]).fine();
    assert!(nowhere.contains("will not work") && nowhere.contains("hint: "), "{nowhere}");
    let daemon = Daemon::start(&place, &[]);
    let address = daemon.found.address.listen.to_string();
    let token = daemon.found.address.token_file.to_str().unwrap().to_owned();
    let asked = place.run(["doctor", "--address", &address, "--token-file", &token]).fine();
    assert!(asked.contains("open files"), "{asked}");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_theme_that_cannot_be_read_says_what_can() {
    let place = Place::new();
    let daemon = Daemon::start(&place, &[]);
    let theme = place.file("theme.toml", b"acent = 'red'\n");
    let wrong = place.run(["--theme", theme.to_str().unwrap()]);
    assert!(wrong.code == Some(2) && wrong.stderr.contains("no role 'acent'") && wrong.stderr.contains("accent"), "{wrong:?}");
    let wrong = place.run(["--color", "many"]);
    assert!(wrong.code == Some(2) && wrong.stderr.contains("truecolor"), "{wrong:?}");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn help_and_version_read_well() {
    insta::assert_snapshot!("help", help(&["--help"]));
    for command in ["demo", "attach", "memory", "record", "replay", "doctor", "agent"] {
        insta::assert_snapshot!(format!("help_{command}"), help(&[command, "--help"]));
        assert_eq!(help(&["help", command]), help(&[command, "--help"]));
    }
    assert_eq!(help(&["--version"]), format!("plasmon {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(help(&["-h"]), help(&["--help"]));
}
