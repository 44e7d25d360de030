//! Readers of the stream as the documents print them, with WebSocket clients that are not ours, against a real agent: the README's in Python,
//! that of STREAM.md in Node. `make target/websockets target/ws` installs those clients. A machine without Node is spared its
//! reader, and one without `ws` as much of it; it says so.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod system;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use system::place::{Place, read_until};
use system::screen::Screen;

/// The program as the README prints it.
fn reader() -> String {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    let (_, rest) = readme.split_once("<!-- python -->\n```python\n").expect("a mark before the program");
    let (program, _) = rest.split_once("```\n<!-- /python -->").expect("a mark behind the program");
    program.to_owned()
}

/// A file of this workspace's targets.
fn target(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target").join(path)
}

/// What a test leaves out is seen even where it passes.
#[expect(clippy::explicit_write, reason = "what the macros print is captured")]
fn tell(what: &str) {
    writeln!(std::io::stderr(), "{what}").unwrap();
}

/// Each of these readers, given the address and the token file of an agent, prints what the one site holds that holds anything. `print` is
/// how it writes a file's name.
fn all_read(place: &Place, print: fn(&str) -> String, readers: Vec<Command>) {
    let lines: String = (0..200_000).map(|number: u64| format!("{:020} a line of text\n", number.wrapping_mul(0x9e37_79b9))).collect();
    let input = place.file("input", lines.as_bytes());
    let arguments = ["demo", "--keep", "--object-store-memory", "64MiB", "--input", input.to_str().unwrap()];
    let mut screen = Screen::open(place, 160, 24, &arguments);
    screen.shows(&["done: 200000 lines, "]);

    let report: serde_json::Value = serde_json::from_str(&place.run(["memory", "--json"]).fine()).unwrap();
    let held = &report["totals"]["unique_bytes"];
    let site = report["references"][0]["created_site"].as_str().unwrap().to_owned();
    let (_, line) = site.rsplit_once(':').unwrap();

    let found = place.agent();
    let mut children = Vec::new();
    for mut reader in readers {
        reader.arg(format!("ws://{}", found.address.listen)).arg(&found.address.token_file);
        let mut child = reader.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let seen = read_until(child.stdout.as_mut().unwrap(), "\n");
        assert_eq!(seen, format!("{held} {} {line}\n", print("tui/src/demo.rs")), "{reader:?}");
        children.push(child);
    }

    // Frames go on after they have acknowledged: they end when the agent does.
    screen.press("q");
    assert_eq!(screen.end(), 0);
    for child in &mut children {
        system::place::ends(child);
    }
    place.wait_empty();
}

#[test]
fn the_readmes_ten_lines_read_the_stream_of_an_agent() {
    let program = reader();
    assert!(program.lines().filter(|line| !line.trim().is_empty()).count() <= 10, "ten lines are promised:\n{program}");
    let python = target("websockets/bin/python");
    assert!(python.exists(), "there is no {}: `make target/websockets` installs it", python.display());
    let place = Place::new();
    let mut command = Command::new(python);
    command.env_clear().arg(place.file("sites.py", program.as_bytes()));
    all_read(&place, |file| format!("'{file}'"), vec![command]);
}

#[test]
fn node_reads_the_stream_of_an_agent() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/STREAM.md")).unwrap();
    let (_, rest) = page.split_once("```js\n").expect("a program");
    let (program, _) = rest.split_once("```\n").expect("its end");
    let place = Place::new();
    let script = place.file("sites.js", program.as_bytes());
    let modules = target("ws/node_modules");
    let node = |option: Option<&'static str>| {
        let mut command = Command::new("node");
        command.env("NODE_PATH", &modules).args(option);
        command
    };
    // The first of these options with which it runs a program.
    let runs = |program: &str, options: &[Option<&'static str>]| {
        let done = |option| node(option).args(["-e", program]).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        options.iter().copied().find(|option| done(*option))
    };
    if runs("", &[None]).is_none() {
        return tell("there is no Node, so its reader of the stream is not run");
    }
    let mut options = Vec::new();
    // With the package: without what newer ones have built in, which older ones cannot be told.
    if modules.join("ws").exists() {
        options.extend(runs("", &[Some("--no-experimental-websocket"), None]));
    } else {
        tell("there is no target/ws, so Node's reader of the stream is not run with the package ws");
    }
    match runs("WebSocket", &[Some("--experimental-websocket"), None]) {
        Some(option) => options.push(option),
        None => tell("this Node has no WebSocket built in, so its reader of the stream is not run with that"),
    }
    if options.is_empty() {
        return;
    }
    let readers = options.into_iter().map(|option| {
        let mut command = node(option);
        command.arg(&script);
        command
    });
    all_read(&place, |file| format!("\"{file}\""), readers.collect());
}
