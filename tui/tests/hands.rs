//! The dashboard's hands in a terminal: the mouse, a mark, what is saved, suspension, storms of sizes, a panic. The terminal is left as it was.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod system;

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use plasmon::binding::{Connection, Frame};
use plasmon_protocol::record::SiteKind;
use plasmon_tui::view::theme::Theme;
use portable_pty::CommandBuilder;
use system::place::{Daemon, Place, until};
use system::screen::{Screen, command};

/// This process is one program, of one agent at a time.
static PROGRAM: Mutex<()> = Mutex::new(());

/// A dashboard on an agent of its own, whose working directory is the test's.
fn open(place: &Place, columns: u16, rows: u16) -> (Daemon, Screen) {
    let daemon = Daemon::start(place, &[]);
    let mut here = command(place, &[]);
    here.cwd(place.path());
    let mut screen = Screen::run(columns, rows, here);
    screen.shows(&["─ Object store ─", "live"]);
    (daemon, screen)
}

#[track_caller]
fn quits(screen: &mut Screen, daemon: Daemon) {
    screen.press("q");
    assert_eq!(screen.end(), 0, "{}", screen.text());
    assert_eq!(daemon.stop(), Some(0));
}

/// Where a text stands on the screen: column and line, from 1, as mice tell them.
fn find(screen: &Screen, text: &str) -> (usize, usize) {
    let shown = screen.text();
    let (line, at) = shown.lines().enumerate().find_map(|(line, row)| Some((line, row.find(text)?))).unwrap();
    let row = shown.lines().nth(line).unwrap();
    (row[..at].chars().count() + 1, line + 1)
}

fn click(screen: &mut Screen, text: &str) {
    let (column, line) = find(screen, text);
    screen.press(&format!("\x1b[<0;{column};{line}M\x1b[<0;{column};{line}m"));
}

#[test]
fn the_mouse_goes_selects_and_sorts_while_it_is_ours() {
    let place = Place::new();
    let (daemon, mut screen) = open(&place, 120, 40);
    let mode = |screen: &Screen| screen.look(vt100::Screen::mouse_protocol_mode);
    assert_eq!(mode(&screen), vt100::MouseProtocolMode::None, "the mouse is the terminal's until it is asked for");
    screen.press_for("m", &["the mouse clicks here"]);
    until("the mouse", || (mode(&screen) != vt100::MouseProtocolMode::None).then_some(()));
    click(&mut screen, "7 Events");
    screen.shows(&["─ Events ", "ready"]);
    screen.press_for("\x1b[<65;20;10M", &["▸"]);
    click(&mut screen, "time");
    click(&mut screen, "6 Processes");
    screen.shows(&["─ Processes ", "heap▼"]);
    click(&mut screen, "rss");
    screen.shows(&["rss▼"]);
    // A row that is selected opens when it is clicked on.
    click(&mut screen, "agent");
    screen.shows(&["─ Process ─", "› agent "]);
    click(&mut screen, "6 Processes");
    // The footer offers more as soon as there is a row.
    screen.shows(&["─ Processes ", "▸"]);
    click(&mut screen, "? help");
    screen.shows(&["─ Help ─"]);
    screen.press("\x1b");
    screen.hides("─ Help ─");
    screen.press_for("m", &["the mouse is the terminal's again"]);
    until("the mouse to be given back", || (mode(&screen) == vt100::MouseProtocolMode::None).then_some(()));
    // Left with the mouse taken, it is given back too.
    screen.press_for("m", &["the mouse clicks here"]);
    quits(&mut screen, daemon);
    assert_eq!(mode(&screen), vt100::MouseProtocolMode::None);
}

#[test]
fn a_view_is_saved_as_text_json_and_a_picture() {
    let place = Place::new();
    let (daemon, mut screen) = open(&place, 120, 40);
    screen.press_for("6", &["─ Processes ", "▸", "agent"]);
    let saved = |ending: &str| {
        let files = std::fs::read_dir(place.path()).unwrap().map(|file| file.unwrap().path());
        let mut files = files.filter(|path| path.extension().is_some_and(|found| found == ending));
        files.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("plasmon-processes-"))
    };
    for (key, ending, part) in [("t", "txt", "─ Processes "), ("j", "json", "\"heap_bytes\""), ("s", "svg", "<svg ")] {
        screen.press_for("x", &["─ Save as ─"]);
        screen.press_for(key, &["saved "]);
        let text = std::fs::read_to_string(saved(ending).unwrap()).unwrap();
        assert!(text.contains(part), "{ending}: {text}");
    }
    let json: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(saved("json").unwrap()).unwrap()).unwrap();
    assert_eq!((&json["view"], &json["tables"][0]["rows"][0]["process_type"]), (&"Processes".into(), &"agent".into()));
    screen.press_for("Yj", &["copied {\"actor\":null"]);
    quits(&mut screen, daemon);
}

#[test]
fn a_mark_shows_what_happened_since() {
    let place = Place::new();
    let (daemon, mut screen) = open(&place, 120, 40);
    screen.press_for("d", &["marked: every table shows what grew since", "grown since"]);
    screen.press_for("6", &["─ Processes ", "grown", "since "]);
    screen.press_for("7", &["─ Events ", "grown"]);
    screen.press_for("D", &["the mark is gone"]);
    screen.hides("grown");
    quits(&mut screen, daemon);
}

#[test]
fn the_node_is_told_with_what_would_make_it_better() {
    let place = Place::new();
    let (daemon, mut screen) = open(&place, 100, 40);
    screen.press_for("9", &["─ Node ─", "open files", "memory", "kernel", "spill disk"]);
    screen.press_for("8", &["─ Post-mortem ", "no process died in the last minute"]);
    quits(&mut screen, daemon);
}

#[test]
fn several_agents_are_one_dashboard_with_a_node_column() {
    let places = [Place::new(), Place::new()];
    let [first, second] = places.each_ref().map(|place| Daemon::start(place, &[]));
    let [one, two] = [&first, &second].map(|daemon| daemon.found.address.clone());
    let token = |daemon: &Daemon| daemon.token_file().to_owned();
    let (listens, tokens) = ([one.listen.to_string(), two.listen.to_string()], [token(&first), token(&second)]);
    let arguments = ["attach", &listens[0], &listens[1], "--token-file", &tokens[0], "--token-file", &tokens[1]];
    let mut screen = Screen::open(&places[0], 140, 40, &arguments);
    let (here, there) = (one.node.short(), two.node.short());
    screen.shows(&[&format!("nodes {here} {there}"), "live", "of 128M"]);
    let text = screen.press_for("6", &["─ Processes  2 processes", "node", &one.pid.to_string(), &two.pid.to_string()]);
    for (node, pid) in [(&here, one.pid), (&there, two.pid)] {
        assert!(text.lines().any(|line| line.contains(&**node) && line.contains(&pid.to_string())), "{text}");
    }
    // Ids of processes are each agent's own; the second's page is the second's.
    until("the second agent's row to be selected", || {
        // The larger heap comes first, whose that may be by now.
        let text = screen.text();
        let at = |seen: &dyn Fn(&str) -> bool| text.lines().position(seen);
        let (selected, wanted) = (at(&|line| line.starts_with('▸')), at(&|line| line.contains(&two.pid.to_string())));
        if selected != wanted {
            screen.press(if wanted < selected { "k" } else { "j" });
            std::thread::sleep(Duration::from_millis(100));
        }
        (selected.is_some() && selected == wanted).then_some(())
    });
    screen.press_for("\r", &["─ Process ─", &format!("agent {}", two.pid)]);
    screen.press_for("9", &["─ Node ─", &format!("{here} "), &format!("{there} ")]);
    screen.press_for("7", &["─ Events ", &format!("agent {here} ready"), &format!("agent {there} ready")]);
    // One that is lost leaves its rows, and is named.
    assert_eq!(second.stop(), Some(0));
    screen.shows(&[&format!("{there} lost "), ", its rows are of then", "live"]);
    // What it was never asked for is not here, and the view says so.
    screen.press_for("5", &["─ Tasks", &format!("{there} lost "), ", not all of its rows are here"]);
    quits(&mut screen, first);
    let alone = places[0].run(["attach", &listens[0], &listens[1], "--token-file", "a", "--token-file", "b", "--token-file", "c"]);
    alone.refused(&["given 3 times", "one for each"]);
}

#[test]
fn of_several_agents_every_row_of_long_tables_is_reached() {
    const OBJECTS: usize = 800;
    /// Of a terminal with 40 lines.
    const ROWS: usize = 35;
    let place = Place::new();
    let daemon = Daemon::start(&place, &[]);
    let _program = PROGRAM.lock().unwrap_or_else(PoisonError::into_inner);
    plasmon::Options::new().address(&daemon.found.path).init().unwrap();
    let held: Vec<_> = (1..=OBJECTS).map(|size| plasmon::put(&vec![7_u8; size * 8][..]).unwrap()).collect();
    // One agent twice: all rows come in twos, of an order that hangs on both.
    let (listen, token) = (daemon.found.address.listen.to_string(), daemon.token_file().to_owned());
    let arguments = ["attach", &listen, &listen, "--token-file", &token, "--token-file", &token];
    let mut screen = Screen::open(&place, 200, 40, &arguments);
    screen.shows(&["live"]);
    screen.press_for("2", &["─ References  1,600 rows"]);
    // The largest come first, so that the number of an object tells the place of its two rows.
    let number = |line: &str| usize::from_str_radix(line.rsplit_once('…')?.1.get(2..)?, 16).ok();
    let mut goes = |keys: &str, place: usize| {
        screen.press(keys);
        until(&format!("row {place}"), || {
            let text = screen.text();
            let selected = text.lines().find(|line| line.starts_with('▸')).and_then(number);
            let numbers: Vec<usize> = text.lines().filter(|line| line.contains("LOCAL_REFERENCE")).filter_map(number).collect();
            let whole = numbers.len() == ROWS && !text.contains("reading more rows");
            (whole && selected == Some(OBJECTS - 1 - place / 2)).then(|| {
                let twos = numbers.windows(3).all(|of| of[0] == of[2] + 1 && of[0] >= of[1] && of[1] >= of[2]);
                assert!(twos, "a row is missing, or there twice: {text}");
            })
        });
    };
    let last = 2 * OBJECTS - 1;
    let pages = || (1..).map(|page| (page * (ROWS - 1)).min(last)).take_while(|place| *place < last);
    pages().for_each(|place| goes("\x1b[6~", place));
    goes("\x1b[6~", last);
    pages().for_each(|below| goes("\x1b[5~", last - below));
    goes("\x1b[5~", 0);
    goes("G", last);
    goes("k", last - 1);
    goes("g", 0);
    goes("j", 1);
    // Groups are more than are followed at once: they are read on, until all are here.
    let more: Vec<_> = (0..3_000_u64).map(|number| plasmon::put(&vec![number; 1][..]).unwrap()).collect();
    screen.press("Bo");
    let groups = screen.wait_for("all groups", |text| text.contains("3,800 groups by object") && !text.contains("reading "));
    assert!(!groups.contains("not read"), "{groups}");
    drop((held, more));
    plasmon::shutdown().unwrap();
    quits(&mut screen, daemon);
}

#[test]
fn a_suspended_dashboard_gives_the_terminal_back_and_goes_on() {
    let place = Place::new();
    let daemon = Daemon::start(&place, &[]);
    // Only a shell with job control lets its children stop.
    let script = format!("'{}'; echo STOPPED; read answer; fg >/dev/null; echo ENDED $?", env!("CARGO_BIN_EXE_plasmon"));
    let mut shell = CommandBuilder::new("bash");
    shell.args(["--norc", "-mc", &script]);
    shell.env_clear();
    for (name, value) in place.environment() {
        shell.env(name, value);
    }
    let mut screen = Screen::run(100, 30, shell);
    screen.shows(&["─ Object store ─", "live"]);
    screen.press_for("m", &["the mouse clicks here"]);
    screen.press("\x1a");
    screen.shows(&["STOPPED"]);
    screen.look(|screen| {
        assert!(!screen.alternate_screen() && !screen.hide_cursor() && !screen.bracketed_paste());
        assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
    });
    screen.press("\r");
    screen.shows(&["─ Object store ─", "live"]);
    assert!(screen.look(vt100::Screen::alternate_screen));
    screen.press_for("7", &["─ Events "]);
    screen.press("q");
    assert_eq!(screen.end(), 0);
    until("the shell's word", || screen.text().contains("ENDED 0").then_some(()));
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_storm_of_sizes_leaves_a_whole_picture() {
    let place = Place::new();
    let (daemon, mut screen) = open(&place, 100, 30);
    let mut state = 0x9e37_79b9_u32;
    for round in 0..150_u32 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        screen.resize((state >> 8) as u16 % 220 + 1, (state >> 24) as u16 % 70 + 1);
        if round % 10 == 0 {
            screen.press(&format!("{}", round / 10 % 9 + 1));
        }
    }
    screen.resize(90, 30);
    screen.press_for("6", &["─ Processes ", "▸", "agent"]);
    screen.press_for(" ", &["FROZEN"]);
    let before = |text: String| text.lines().skip(1).collect::<Vec<_>>().join("\n");
    // Drawn anew, it is the same; what was on its way when it froze may still have come once.
    until("the same picture", || {
        let shown = before(screen.text());
        screen.press("\x0c");
        std::thread::sleep(Duration::from_millis(300));
        (before(screen.text()) == shown).then_some(())
    });
    screen.press(" ");
    quits(&mut screen, daemon);
}

/// Takes a terminal over and panics: what the test below runs in one.
#[test]
fn somebody_panics() {
    if std::env::var_os("PLASMON_TEST_PANICS").is_none() {
        return;
    }
    let (_screen, _guard) = plasmon_tui::terminal::take_over(Theme::new(true)).unwrap();
    panic!("a fault of the program's own");
}

#[test]
fn a_panic_gives_the_terminal_back_and_says_what_happened() {
    let mut command = CommandBuilder::new(std::env::current_exe().unwrap());
    command.args(["--exact", "somebody_panics", "--nocapture"]);
    command.env("PLASMON_TEST_PANICS", "1");
    let mut screen = Screen::run(100, 30, command);
    assert_ne!(screen.end(), 0);
    until("the panic's message", || screen.text().contains("a fault of the program's own").then_some(()));
}

/// Takes a terminal over, panics in another thread and goes on: what the test below runs in one.
#[test]
fn somebody_else_panics() {
    if std::env::var_os("PLASMON_TEST_PANICS").is_none() {
        return;
    }
    let (mut screen, _guard) = plasmon_tui::terminal::take_over(Theme::new(true)).unwrap();
    let app = plasmon_tui::app::App::new(plasmon_tui::app::Settings::default());
    plasmon_tui::terminal::Screen::draw(&mut screen, &app).unwrap();
    std::thread::spawn(|| panic!("a fault of another thread")).join().unwrap_err();
    let refused = plasmon_tui::terminal::Screen::draw(&mut screen, &app).unwrap_err();
    writeln!(std::io::stdout(), "then: {refused}").unwrap();
}

#[test]
fn after_a_panic_in_another_thread_nothing_is_drawn_over_its_message() {
    let mut command = CommandBuilder::new(std::env::current_exe().unwrap());
    command.args(["--exact", "somebody_else_panics", "--nocapture"]);
    command.env("PLASMON_TEST_PANICS", "1");
    let mut screen = Screen::run(100, 30, command);
    assert_eq!(screen.end(), 0, "{}", screen.text());
    let both = |text: &str| text.contains("a fault of another thread") && text.contains("then: the terminal was given back");
    until("both messages", || both(&screen.text()).then_some(()));
    assert!(!screen.look(vt100::Screen::alternate_screen) && !screen.text().contains("─ Object store ─"), "{}", screen.text());
}

#[test]
fn ascii_and_themes_reach_the_terminal() {
    let place = Place::new();
    let daemon = Daemon::start(&place, &[]);
    let theme = place.file("theme.toml", b"accent = '#ff8700'\n");
    let mut screen = Screen::open(&place, 80, 24, &["--ascii", "--color", "truecolor", "--theme", theme.to_str().unwrap()]);
    let text = screen.shows(&["- Object store -", "live"]);
    assert!(text.is_ascii(), "{text}");
    let accent = screen.look(|screen| screen.cell(0, 2).map(vt100::Cell::fgcolor));
    assert_eq!(accent, Some(vt100::Color::Rgb(255, 135, 0)), "the name of the program is in the accent's colour");
    quits(&mut screen, daemon);
}

/// What a program in Python tells: a line with all that it was called from. The sites are a tree by it, and so are the pages' frames.
#[test]
fn the_sites_of_a_program_that_tells_stacks_are_a_tree_by_what_called_what() {
    let place = Place::new();
    let (daemon, mut screen) = open(&place, 200, 40);
    let _program = PROGRAM.lock().unwrap_or_else(PoisonError::into_inner);
    plasmon::Options::new().address(&daemon.found.path).init().unwrap();
    let connection = Connection::current().unwrap();
    let frame = |function, line| Frame { file: "train.py", line, function };
    let outer = [frame("fit", 61), frame("main", 104)];
    let load = [frame("to_shared", 77), frame("next_batch", 52), frame("batches", 40), outer[0], outer[1]];
    let step = [frame("forward", 35), outer[0], outer[1]];
    let put = |frames: &[Frame<'_>], bytes| {
        let site = connection.site_of_stack(SiteKind::PutObject, frames);
        connection.put(bytes, site, &[], false, |to, _| to.fill(7)).unwrap()
    };
    let held = [put(&load, 3 << 20), put(&load, 3 << 20), put(&step, 1 << 20)];
    screen.press_for("3", &["- main › fit train.py:61", "├ batches › next_batch › to_shared train.py:77", "└ forward train.py:35"]);
    let line = |text: &str, part: &str| text.lines().find(|line| line.contains(part)).unwrap_or_default().to_owned();
    screen.wait_for("held and own", |tree| {
        line(tree, "fit train.py:61").contains("7.00M     0B") && line(tree, "to_shared").contains("6.00M  6.00M")
    });
    screen.press_for("e", &["├ - batches train.py:40", "└ - next_batch train.py:52", "└ to_shared train.py:77"]);
    screen.press_for("e", &["├ batches › next_batch › to_shared"]);
    screen.press_for("z", &["+ main › fit train.py:61  2 sites"]);
    screen.press_for("z", &["└ forward train.py:35"]);
    screen.press_for("/site:main held>5m\r", &["/site:main held>5m", "to_shared"]);
    screen.press("\x1b");
    screen.hides("/site:main");
    // From an object to the frames that it was created below, and to what else was.
    screen.wait_for("the line that created something", |text| line(text, "▸").contains("to_shared"));
    screen.press_for("\r", &["─ Creation site ─", "called from next_batch train.py:52 ‹ batches"]);
    let object = screen.press_for("\r", &["─ Why is it alive? ─", "─ Called from, the innermost first", "train.py:104"]);
    assert!(line(&object, "▸").contains("handle"), "{object}");
    screen.press_for("G", &["▸ └ main"]);
    screen.press_for("\r", &["─ Frame ─", "Objects created in what it called", "in 3 objects"]);
    drop(held);
    plasmon::shutdown().unwrap();
    quits(&mut screen, daemon);
}
