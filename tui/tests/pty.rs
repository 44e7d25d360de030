//! The dashboard as somebody sees it who sits before a terminal: the real program, a real agent, a real workload.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod system;

use std::io::Read;
use std::sync::mpsc;

use plasmon_tui::app::route::Page;
use plasmon_tui::keys::{Action, BINDINGS, Key};
use portable_pty::{PtyPair, PtySize, native_pty_system};
use rustix::process::Signal;
use system::place::{Daemon, PATIENCE, Place, signal, until};
use system::screen::{Screen, command};

/// What the header says of the work's end.
const DONE: &str = "done: 200000 lines, ";
/// What is printed of it behind the dashboard.
const SUMMARY: &str = "order, count and checksum are right";

/// A demo that stays, its work done, in a terminal of this size.
fn demo(place: &Place, columns: u16, rows: u16) -> Screen {
    let line = |number: u64| format!("{:020} a line of text\n", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let input = place.file("input", (0..200_000).map(line).collect::<String>().as_bytes());
    let arguments = ["demo", "--keep", "--object-store-memory", "64MiB", "--input", input.to_str().unwrap()];
    // Wide enough for the header to tell of the work's end.
    let mut screen = Screen::open(place, 160, 40, &arguments);
    screen.shows(&[" plasmon  node ", "live", "─ Object store ─", "remember demo.rs:", DONE]);
    assert!(screen.look(|screen| screen.alternate_screen() && screen.hide_cursor()));
    screen.resize(columns, rows);
    screen.wait_for("the new size", |text| text.lines().nth(1).is_some_and(|views| views.contains("9 Node")) && text.contains("remember"));
    screen
}

/// The selected row.
fn selected(text: &str) -> &str {
    text.lines().find(|line| line.starts_with('▸')).unwrap_or_default()
}

/// Presses `j` until the selected row has `part`.
fn select(screen: &mut Screen, part: &str) {
    for _ in 0..50 {
        let text = screen.wait_for("a selected row", |text| !selected(text).is_empty());
        if selected(&text).contains(part) {
            return;
        }
        let before = selected(&text).to_owned();
        screen.press("j");
        screen.wait_for("the next row", |text| !selected(text).is_empty() && selected(text) != before);
    }
    panic!("no row has '{part}':\n{}", screen.text());
}

/// Quits, and nothing is left: the terminal as it was, no process, no session.
#[track_caller]
fn quits(screen: &mut Screen, place: &Place) {
    screen.press("q");
    assert_eq!(screen.end(), 0, "{}", screen.text());
    place.assert_empty();
}

fn explore(columns: u16, rows: u16) {
    let place = Place::new();
    let mut screen = demo(&place, columns, rows);
    let mut views = 0;
    for binding in BINDINGS {
        let (Key::Char(key), Action::View(page)) = (binding.key, binding.action) else { continue };
        let title = match page {
            Page::Overview => "─ Object store ─",
            Page::References => "─ References ",
            Page::Sites => "─ Sites ",
            Page::Spill => "─ External storage ─",
            Page::Processes => "─ Processes ",
            Page::Tasks => "─ Tasks ",
            Page::Events => "─ Events ",
            Page::PostMortem => "─ Post-mortem ",
            Page::Node => "─ Limits, and what would make it better ",
        };
        let row = match page {
            Page::Overview | Page::Sites => "remember",
            Page::References => "remember demo.rs:",
            Page::Spill => "state",
            Page::Processes => "driver",
            Page::Tasks => "finished",
            Page::Events => "ready",
            Page::PostMortem => "died",
            Page::Node => "open files",
        };
        screen.press(&key.to_string());
        screen.wait_for(&format!("{page:?}"), |text| text.contains(title) && text.lines().skip(2).any(|line| line.contains(row)));
        views += 1;
    }
    assert_eq!(views, Page::ALL.len());
    screen.press_for("\t", &["─ Object store ─"]);
    screen.press_for("\x1b[Z", &["─ Limits"]);

    // From the site through its line of code to an object and its holder.
    screen.press_for("3", &["─ Sites ", "remember"]);
    select(&mut screen, "remember");
    let page = screen.press_for("\r", &["─ Creation site ─", "3 Sites › remember demo.rs:", "▶", "Objects created here"]);
    let line = page.lines().find(|line| line.contains('▶')).unwrap();
    assert!(line.contains("plasmon::put(preview)"), "{line}");
    let page = screen.wait_for("an object", |text| selected(text).contains("in memory"));
    assert!(page.contains("1.00M") || page.contains("1024K"), "{page}");
    let object = screen.press_for("\r", &["─ Why is it alive? ─", "held by 1 reference", "kept by", "driver ", "1 handle"]);
    assert!(object.lines().any(|line| line.contains("› object ")), "{object}");
    let process = screen.press_for("\r", &["─ Process ─"]);
    assert!(process.contains("› driver "), "{process}");
    // Back by the same way.
    screen.press_for("\x1b", &["─ Why is it alive? ─"]);
    screen.press_for("\x1b", &["─ Creation site ─"]);
    screen.press_for("\x1b", &["─ Sites "]);
    // The place in the list is kept.
    screen.wait_for("the site again", |text| selected(text).contains("remember"));

    // Help, and back to where it was opened.
    screen.press_for("?", &["─ Help ─", "fold or unfold what stands below"]);
    screen.press("\x1b");
    screen.hides("─ Help ─");
    screen.press_for(":freeze", &["─ Do ─", "▸ space"]);
    screen.press("\x1b");
    screen.hides("─ Do ─");

    // A filter: refused while it makes no sense, then applied, then dropped.
    screen.press_for("2/size>1x", &["─ References ", "/ size>1x", "is no size"]);
    screen.press("\x15");
    screen.press_for("site:remember\r", &["/site:remember", " rows · "]);
    screen.press_for("/\x15type:pinned\r", &["0 of ", "/type:pinned"]);
    screen.press("\x1b");
    screen.hides("/type:pinned");
    screen.press_for("b", &["by type", "LOCAL_REFERENCE"]);

    screen.press_for(" ", &["FROZEN"]);
    screen.press(" ");
    screen.hides("FROZEN");
    screen.press_for("1", &["─ Object store ─", "live"]);
    // At the root there is nowhere to go back to.
    screen.press_for("hhh7", &["─ Events "]);
    quits(&mut screen, &place);
    assert!(screen.text().contains(SUMMARY), "{}", screen.text());
}

/// The README's tour, key by key: one line still holds what the program forgot, and four keys lead from there to who holds it.
#[test]
fn the_tour_finds_the_leak_in_four_keystrokes() {
    let place = Place::new();
    let mut screen = demo(&place, 120, 40);
    let sites = screen.press_for("3", &["─ Sites ", "held", "own", "in 1 min"]);
    assert!(selected(&sites).contains("remember"), "{sites}");
    let site = screen.press_for("\r", &["─ Creation site ─", "› remember demo.rs:", "▶", "plasmon::put(preview)", "Objects created here"]);
    assert!(selected(&site).contains('├') || selected(&site).contains('└'), "{site}");
    let object = screen.press_for("\r", &["─ Why is it alive? ─", "it goes when all of this is gone", "is in ", "life created "]);
    let line = selected(&object);
    assert!(line.contains("handle") && line.contains("driver ") && line.contains("remember demo.rs:"), "{object}");
    screen.press_for("\r", &["─ Process ─", "› driver ", "─ Holds ", "remember demo.rs:"]);
    // A line of a program that tells no stacks has no frames to show.
    screen.press_for("3e", &["no frames are left out here"]);
    screen.press_for("2B", &["─ Fold by ─", "who created it"]);
    screen.press_for("e", &["by creator", " rows · "]);
    quits(&mut screen, &place);
}

#[test]
fn a_small_terminal_shows_everything() {
    explore(80, 24);
}

#[test]
fn a_larger_terminal_shows_everything() {
    explore(120, 40);
}

#[test]
fn what_was_spilled_leads_to_the_line_that_made_it() {
    let place = Place::new();
    let line = |number: u64| format!("{:063x}\n", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let input = place.file("input", (0..(96 << 20) / 64).map(line).collect::<String>().as_bytes());
    let arguments = ["demo", "--keep", "--object-store-memory", "32MiB", "--input", input.to_str().unwrap()];
    let mut screen = Screen::open(&place, 160, 40, &arguments);
    screen.shows(&["done: 1572864 lines, "]);
    // The cache alone is larger than the store.
    screen.press_for("4", &["─ External storage ─", "spills above 25.6M", "only on disk ", "restored ", "nothing waits"]);
    screen.press_for("7/kind=spilled\r", &["─ Events ", "; cause: ", ", batch cut: "]);
    screen.press("4");
    screen.wait_for("a file", |text| selected(text).contains("ready"));
    // What was written last may be in memory, too.
    let is_away = |text: &str| text.lines().any(|line| (line.contains("├ ") || line.contains("└ ")) && line.contains(" spilled "));
    for _ in 0..50 {
        screen.press_for("\r", &["─ Spill file ─", "4 Spill › file ", "Objects in it", "cause ", "ended by "]);
        if is_away(&screen.wait_for("its objects", |text| !selected(text).is_empty())) {
            break;
        }
        let file = selected(&screen.press_for("\x1b", &["─ External storage ─", "▸"])).to_owned();
        screen.press("j");
        screen.wait_for("the next file", |text| !selected(text).is_empty() && selected(text) != file);
    }
    select(&mut screen, "spilled");
    let parts = ["─ Why is it alive? ─", "is in file ", "› dropped from memory ", "held by 1 reference", "kept by", "driver ", "1 handle"];
    screen.press_for("\r", &parts);
    screen.press_for("c", &["─ Creation site ─", "remember demo.rs:", "plasmon::put(preview)"]);
    screen.press_for("\x1b", &["─ Why is it alive? ─"]);
    screen.press_for("\r", &["─ Process ─", "› driver "]);
    quits(&mut screen, &place);
}

#[test]
fn control_c_and_signals_leave_as_q_does() {
    let place = Place::new();
    let mut screen = demo(&place, 80, 24);
    screen.press("\x03");
    assert_eq!(screen.end(), 0);
    place.assert_empty();
    for which in [Signal::TERM, Signal::HUP, Signal::INT] {
        let place = Place::new();
        let mut screen = demo(&place, 80, 24);
        screen.signal(which);
        assert_eq!(screen.end(), 0, "{which:?}: {}", screen.text());
        place.assert_empty();
    }
}

#[test]
fn a_mark_set_while_the_demo_works_shows_what_it_has_kept_since() {
    let place = Place::new();
    let mut screen = Screen::open(&place, 160, 40, &["demo", "--keep", "--object-store-memory", "64MiB"]);
    screen.shows(&["─ Object store ─", "generated "]);
    screen.press_for("3", &["─ Sites "]);
    screen.press_for("d", &["grown", "since "]);
    // What the sorting itself makes comes and goes; the cache only grows.
    let grown = |text: &str| text.lines().any(|line| line.contains("remember") && line.contains('+') && line.contains('▲'));
    screen.wait_for("the cache to have grown", grown);
    screen.shows(&["done: "]);
    screen.wait_for("what it has kept", |text| grown(text) && text.contains("128M"));
    // It is at the top: below the header, the views, the title and the names of the columns.
    screen.wait_for("what it has kept, first", |text| text.lines().nth(4).is_some_and(|row| row.contains("remember") && row.contains('▲')));
    screen.press_for("D", &["the mark is gone"]);
    quits(&mut screen, &place);
}

#[test]
fn q_in_the_middle_of_the_work_leaves_nothing() {
    let place = Place::new();
    let mut screen = Screen::open(&place, 160, 30, &["demo"]);
    screen.shows(&["─ Object store ─", "generated "]);
    quits(&mut screen, &place);
    assert!(!screen.text().contains(SUMMARY), "{}", screen.text());
}

#[test]
fn without_keep_it_says_when_it_leaves_and_what_it_did() {
    let place = Place::new();
    let input = place.file("input", b"b\na\n");
    let mut screen = Screen::open(&place, 160, 24, &["demo", "--input", input.to_str().unwrap()]);
    screen.shows(&["done: 2 lines, verified · leaving in ", "remember demo.rs:"]);
    screen.press("q");
    assert_eq!(screen.end(), 0);
    until("the summary", || screen.text().contains("sorted 2 lines, 4 B: order, count and checksum are right").then_some(()));
    place.assert_empty();
}

#[test]
fn without_keep_it_leaves_by_itself() {
    let place = Place::new();
    let input = place.file("input", b"b\na\n");
    let mut screen = Screen::open(&place, 160, 24, &["demo", "--input", input.to_str().unwrap()]);
    let seconds = |text: &str| -> Option<u64> { text.split_once("leaving in ")?.1.split(' ').next()?.parse().ok() };
    let text = screen.shows(&["leaving in ", "remember demo.rs:"]);
    assert!(seconds(&text).is_some_and(|left| (1..=60).contains(&left)), "{text}");
    // The work is there to be looked at until the end.
    let text = screen.wait_for("the last seconds", |text| seconds(text).is_some_and(|left| left <= 10));
    assert!(text.contains("live") && text.contains("remember demo.rs:"), "{text}");
    assert_eq!(screen.end(), 0);
    until("the summary", || screen.text().contains(SUMMARY).then_some(()));
    place.assert_empty();
}

#[test]
fn work_that_fails_ends_the_dashboard_with_its_error() {
    for keep in [&["--keep"][..], &[]] {
        let place = Place::new();
        let input = place.file("input", b"b\na\n");
        let arguments = [&["demo", "--input", input.to_str().unwrap(), "--output", "/dev/full"], keep].concat();
        let mut screen = Screen::open(&place, 80, 24, &arguments);
        assert_eq!(screen.end(), 2);
        until("the error", || screen.text().contains("error: cannot write /dev/full").then_some(()));
        until("the hint", || screen.text().contains("hint: ").then_some(()));
        place.assert_empty();
    }
}

#[test]
fn an_agent_that_is_killed_is_told_and_q_works() {
    let place = Place::new();
    let mut screen = demo(&place, 80, 24);
    screen.press_for("2", &["─ References ", "local "]);
    let killed = place.agent();
    signal(killed.address.pid, Signal::KILL);
    // What was there stays on the screen, under a label that says so.
    screen.shows(&["lost ", "retry in", "─ References ", "local "]);
    screen.press_for("?", &["─ Help ─"]);
    screen.press("\x1b");
    screen.hides("─ Help ─");
    screen.press("q");
    assert_eq!(screen.end(), 0, "{}", screen.text());
    until("the end of the workers", || place.processes().is_empty().then_some(()));
    // Only the dead agent's directory is there, until somebody starts the next.
    assert_eq!(place.sessions(), [killed.path]);
    let input = place.file("input", b"x\n");
    assert_eq!(place.run(["demo", "--input", input.to_str().unwrap()]).code, Some(0));
    place.assert_empty();
}

#[test]
fn a_terminal_that_goes_away_ends_it() {
    let place = Place::new();
    let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
    let PtyPair { master, slave } = native_pty_system().openpty(size).unwrap();
    let mut child = slave.spawn_command(command(&place, &["demo"])).unwrap();
    drop(slave);
    let mut output = master.try_clone_reader().unwrap();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut seen, mut bytes) = (Vec::new(), [0; 4096]);
        while !String::from_utf8_lossy(&seen).contains("Object store") {
            let read = output.read(&mut bytes).unwrap();
            seen.extend(&bytes[..read]);
        }
        // The last one that has the terminal open, but for the master.
        drop(output);
        tell.send(()).unwrap();
    });
    told.recv_timeout(PATIENCE).unwrap();
    drop(master);
    until("the program's end", || child.try_wait().unwrap());
    place.wait_empty();
}

#[test]
fn a_terminal_that_is_too_small_says_so() {
    let place = Place::new();
    let daemon = Daemon::start(&place, &[]);
    let mut screen = Screen::open(&place, 50, 10, &[]);
    screen.shows(&["needs a little more room", "50 × 10 here"]);
    screen.resize(80, 24);
    screen.shows(&["─ Object store ─", "live"]);
    screen.resize(20, 3);
    screen.hides("Object store");
    screen.resize(200, 60);
    screen.shows(&["─ Object store ─", "live"]);
    screen.resize(50, 10);
    screen.shows(&["needs a little more room"]);
    screen.press("q");
    assert_eq!(screen.end(), 0);
    // The agent belongs to somebody else.
    assert_eq!(place.live().len(), 1);
    assert_eq!(daemon.stop(), Some(0));
    place.assert_empty();
}

#[test]
fn a_key_that_comes_with_a_new_size_is_not_lost() {
    let place = Place::new();
    let daemon = Daemon::start(&place, &[]);
    let mut screen = Screen::open(&place, 100, 30, &[]);
    screen.shows(&["─ Object store ─"]);
    for round in 0..40 {
        let (key, title) = if round % 2 == 0 { ("6", "─ Processes ") } else { ("7", "─ Events ") };
        screen.resize(100 + round % 3, 30);
        screen.press_for(key, &[title]);
    }
    screen.press("q");
    assert_eq!(screen.end(), 0);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn an_agent_that_comes_back_is_found_again() {
    let place = Place::new();
    let token = place.path().join("token");
    let token = token.to_str().unwrap();
    let daemon = Daemon::start(&place, &["--token-file", token]);
    let listen = daemon.found.address.listen.to_string();
    let mut screen = Screen::open(&place, 100, 30, &["attach", &listen, "--token-file", token]);
    screen.shows(&[&listen, "live"]);
    assert_eq!(daemon.stop(), Some(0));
    screen.shows(&["lost ", "retry in"]);
    let mut command = place.plasmon(["agent", "--object-store-memory", "32MiB", "--listen", &listen, "--token-file", token]);
    let mut again = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    screen.shows(&["live", "of 32.0M"]);
    screen.press("q");
    assert_eq!(screen.end(), 0);
    signal(again.id(), Signal::TERM);
    assert_eq!(system::place::ends(&mut again).code(), Some(0));
    place.assert_empty();
}

#[test]
fn no_color_draws_without_colour() {
    let place = Place::new();
    let daemon = Daemon::start(&place, &[]);
    for (no_color, coloured) in [(None, true), (Some("1"), false)] {
        let mut command = command(&place, &[]);
        if let Some(value) = no_color {
            command.env("NO_COLOR", value);
        }
        let mut screen = Screen::run(80, 24, command);
        screen.shows(&["─ Object store ─", "live", "q quit"]);
        let seen = screen.look(|screen| {
            let cells = (0..24).flat_map(|row| (0..80).map(move |column| (row, column)));
            let colours = |(row, column)| screen.cell(row, column).map(|cell| (cell.fgcolor(), cell.bgcolor()));
            cells.filter_map(colours).any(|colours| colours != (vt100::Color::Default, vt100::Color::Default))
        });
        assert_eq!(seen, coloured, "NO_COLOR: {no_color:?}");
        screen.press("q");
        assert_eq!(screen.end(), 0);
    }
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_terminal_that_only_prints_gets_the_report() {
    let place = Place::new();
    let daemon = Daemon::start(&place, &[]);
    let mut command = command(&place, &[]);
    command.env("TERM", "dumb");
    let mut screen = Screen::run(80, 30, command);
    assert_eq!(screen.end(), 0);
    until("the report", || screen.text().contains("unattributed 0 B").then_some(()));
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_terminal_without_an_agent_gets_the_error_and_is_not_touched() {
    let place = Place::new();
    let mut screen = Screen::open(&place, 80, 24, &[]);
    assert_eq!(screen.end(), 2);
    until("the error", || screen.text().contains("error: no agent").then_some(()));
    until("the hint", || screen.text().contains("plasmon agent").then_some(()));
    let mut screen = Screen::open(&place, 80, 24, &["attach", "127.0.0.1:1"]);
    assert_eq!(screen.end(), 2);
    until("the error", || screen.text().contains("cannot connect to ws://127.0.0.1:1").then_some(()));
}
