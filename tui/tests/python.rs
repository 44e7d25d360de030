//! The README's reader of the stream, run by Python with a WebSocket client that is not ours, against a real agent.
//! `make target/websockets` installs that client.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod system;

use std::path::Path;
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

#[test]
fn the_readmes_ten_lines_read_the_stream_of_an_agent() {
    let program = reader();
    assert!(program.lines().filter(|line| !line.trim().is_empty()).count() <= 10, "ten lines are promised:\n{program}");
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/websockets/bin/python");
    assert!(python.exists(), "there is no {}: `make target/websockets` installs it", python.display());

    let place = Place::new();
    let lines: String = (0..200_000).map(|number: u64| format!("{:020} a line of text\n", number.wrapping_mul(0x9e37_79b9))).collect();
    let input = place.file("input", lines.as_bytes());
    let script = place.file("sites.py", program.as_bytes());
    let arguments = ["demo", "--keep", "--object-store-memory", "64MiB", "--input", input.to_str().unwrap()];
    let mut screen = Screen::open(&place, 160, 24, &arguments);
    screen.shows(&["done: 200000 lines, "]);

    // What the report says of the one site that holds anything.
    let report: serde_json::Value = serde_json::from_str(&place.run(["memory", "--json"]).fine()).unwrap();
    let held = &report["totals"]["unique_bytes"];
    let site = report["references"][0]["created_site"].as_str().unwrap().to_owned();
    let (_, line) = site.rsplit_once(':').unwrap();

    let found = place.agent();
    let mut command = Command::new(python);
    command.arg(script).arg(format!("ws://{}", found.address.listen)).arg(&found.address.token_file);
    let mut child = command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let seen = read_until(child.stdout.as_mut().unwrap(), "\n");
    assert_eq!(seen, format!("{held} 'tui/src/demo.rs' {line}\n"));

    // Frames go on after it has acknowledged: it ends when the agent does.
    screen.press("q");
    assert_eq!(screen.end(), 0);
    system::place::ends(&mut child);
    place.wait_empty();
}
