//! What the README shows of the examples is what they print, figures aside.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod system;

#[path = "../../agent/client/examples/out_of_memory.rs"]
mod out_of_memory;
#[path = "../../agent/client/examples/waiting.rs"]
mod waiting;

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use system::place::{PATIENCE, Place};

/// Far longer than an example takes that nobody disturbs.
const ONE_RUN: Duration = Duration::from_secs(30);

/// Says which example a process of this test is to run.
const EXAMPLE: &str = "PLASMON_SHOWN_EXAMPLE";

/// What `main` of an example is in a process of its own; nothing in any other.
#[test]
fn example() {
    match std::env::var(EXAMPLE).as_deref() {
        Ok("out_of_memory") => out_of_memory::main().unwrap(),
        Ok("waiting") => waiting::main().unwrap(),
        _ => {}
    }
}

/// This program again, as an example.
fn run(place: &Place, name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    // With one thread the name of the test would stand in the first line of what it prints.
    command.args(["--exact", "example", "--nocapture", "--test-threads", "2"]);
    command.env_clear().envs(place.environment()).env(EXAMPLE, name).stdin(Stdio::null());
    command
}

/// The block of the README that begins with a line that has this.
fn shown(beginning: &str) -> Vec<String> {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let lines = readme.lines().skip_while(|line| !line.contains(beginning)).take_while(|line| *line != "```");
    let lines: Vec<String> = lines.map(|line| line.trim_end().to_owned()).collect();
    assert!(lines.len() > 5, "the README shows nothing with '{beginning}'");
    lines
}

/// A line with what differs from run to run replaced: figures, units of bytes, where the memory is bounded, sessions, and the name of this
/// program where an example would have its own.
fn kind(line: &str) -> String {
    let program = std::env::current_exe().unwrap();
    let program = program.file_name().unwrap().to_str().unwrap();
    let line = line.replace(program, "out_of_memory").replace("shown::", "");
    let mut words: Vec<String> = Vec::new();
    for word in line.split_whitespace() {
        let (open, rest) = word.split_at(word.len() - word.trim_start_matches('(').len());
        let body = rest.trim_end_matches([')', ',', ':', ';']);
        let close = &rest[body.len()..];
        let is_figure = body.trim_start_matches('…').parse::<f64>().is_ok() || (body.starts_with('…') && body.len() == 13);
        let is_unit = ["B", "KiB", "MiB", "GiB", "ms", "s"].contains(&body) && words.last().is_some_and(|last| last.ends_with('#'));
        let body = match body {
            _ if is_figure => "#",
            "s" | "ms" if is_unit => "s",
            _ if is_unit => "B",
            "machine" | "cgroup" | "v1" | "v2" => "machine",
            path if path.ends_with("/recording.ndjson") => "recording.ndjson",
            other => other,
        };
        words.push(format!("{open}{body}{close}"));
    }
    let line = words.join(" ").replace("(machine machine)", "(machine)");
    // Inside a control group that binds the formula is another one.
    line.replace("# B of usage - # B of file cache", "# B in all - # B available")
}

/// What an example prints, figures aside: its lines, and the rows of its table in any order. Of one that does not come to its end, what it
/// printed until then.
fn printed(name: &str) -> (String, Vec<String>, Vec<String>) {
    let place = Place::new();
    let mut child = run(&place, name).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + ONE_RUN;
    while child.try_wait().unwrap().is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    // It may have ended.
    let _ = child.kill();
    child.wait().unwrap();
    place.wait_empty();
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    // Without what the harness says.
    let of_example = text.lines().filter(|line| !line.is_empty() && !line.starts_with("test ") && !line.starts_with("running "));
    let (lines, rows) = apart(of_example);
    (text, lines, rows)
}

/// Lines and the rows of a table, in their order and in no order.
fn apart<'a>(lines: impl Iterator<Item = &'a str>) -> (Vec<String>, Vec<String>) {
    let (mut rows, lines): (Vec<_>, Vec<_>) = lines.map(kind).partition(|line| line.starts_with("# # B "));
    rows.sort();
    (lines, rows)
}

/// Whoever else uses this machine's memory may take or give back more than the example is about; then it is run again.
#[test]
fn who_is_ended_when_memory_runs_out_is_told_as_the_readme_shows() {
    let wanted = shown("workers are ended above");
    let wanted = apart(wanted.iter().map(String::as_str));
    let deadline = Instant::now() + 3 * PATIENCE;
    loop {
        let (text, lines, rows) = printed("out_of_memory");
        let printed = (lines, rows);
        if printed != wanted && Instant::now() < deadline {
            continue;
        }
        assert_eq!(printed, wanted, "{text}");
        return;
    }
}

#[test]
fn why_a_task_waits_is_told_as_the_readme_shows() {
    let wanted = shown("deadlock: task child");
    let place = Place::new();
    let mut child = run(&place, "waiting").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let kinds = |text: &str| text.lines().map(kind).collect::<Vec<_>>();
    let wanted = kinds(&wanted.join("\n"));
    // At first not all of them wait yet.
    let deadline = Instant::now() + PATIENCE;
    let told = loop {
        let told = place.run(["explain"]).stdout;
        if kinds(&told) == wanted || Instant::now() > deadline {
            break told;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    child.kill().unwrap();
    child.wait().unwrap();
    place.wait_empty();
    assert_eq!(kinds(&told), wanted, "{told}");
}
