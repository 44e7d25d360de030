//! The README's table of keys is the one that the dashboard uses. `SHOTS=1` writes it anew.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

#[test]
fn the_readme_lists_the_keys() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(&path).expect("README.md");
    let (before, rest) = readme.split_once("<!-- keys -->\n").expect("a mark before the keys");
    let (_, after) = rest.split_once("<!-- /keys -->").expect("a mark behind the keys");
    let wanted = format!("{before}<!-- keys -->\n{}<!-- /keys -->{after}", plasmon_tui::keys::markdown());
    if std::env::var_os("SHOTS").is_some() {
        std::fs::write(&path, wanted).expect("README.md written");
    } else {
        assert_eq!(readme, wanted, "run with SHOTS=1 to write the table anew");
    }
}

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_picture_is_shown_and_every_link_leads_somewhere() {
    let readme = read("README.md");
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets");
    let files = std::fs::read_dir(assets).expect("assets").map(|file| file.expect("a file").path());
    for path in files.filter(|path| path.extension().is_some_and(|ending| ending == "svg")) {
        let name = format!("assets/{}", path.file_name().expect("a name").to_string_lossy());
        assert!(readme.contains(&format!("({name})")), "nothing shows {name}");
    }
    let titles = readme.lines().filter_map(|line| line.strip_prefix('#'));
    let sections: Vec<String> = titles.map(|title| title.trim_start_matches('#').trim().to_lowercase().replace(' ', "-")).collect();
    for link in readme.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
        match link.strip_prefix('#') {
            Some(section) => assert!(sections.contains(&section.to_owned()), "{link} leads nowhere"),
            None => assert!(link.starts_with("http") || !read(link).is_empty(), "{link} leads nowhere"),
        }
    }
}

/// The example of a theme is one.
#[test]
fn the_theme_of_the_readme_can_be_read() {
    let readme = read("README.md");
    let (_, rest) = readme.split_once("```toml\naccent").expect("an example of a theme");
    let (example, _) = rest.split_once("```").expect("its end");
    let looks = plasmon_tui::view::theme::file::parse(&format!("accent{example}")).expect("a theme");
    assert_eq!(looks.len(), 5);
}

/// What the README counts is there: a snapshot holds one screen, or a view at several sizes, each with colours and without.
#[test]
fn the_readme_counts_the_pictures() {
    let snapshots = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let mut pictures = 0;
    for file in std::fs::read_dir(snapshots).expect("snapshots").map(|file| file.expect("a file")) {
        let name = file.file_name();
        // A run that fails leaves others beside them.
        let is_kept = name.to_string_lossy().ends_with(".snap");
        if is_kept && ["views__", "replay__"].iter().any(|kind| name.to_string_lossy().starts_with(kind)) {
            let text = std::fs::read_to_string(file.path()).expect("a snapshot");
            pictures += (2 * text.lines().filter(|line| line.starts_with("==== ")).count()).max(1);
        }
    }
    assert!(read("README.md").contains(&format!("| {pictures} pictures |")), "there are {pictures}");
}

/// The number behind `before` in a source file, as the README writes numbers.
fn number(file: &str, before: &str) -> String {
    let source = read(file);
    let (_, rest) = source.split_once(before).unwrap_or_else(|| panic!("no '{before}' in {file}"));
    let digits: String = rest.chars().take_while(|char| char.is_ascii_digit() || *char == '_').collect();
    digits.replace('_', ",")
}

/// The names of what lies in a directory.
fn names(directory: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(directory);
    let entries = std::fs::read_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

/// The figures of the table of what was tried out are those of the tests.
#[test]
fn the_readme_counts_the_tests() {
    const MODELS: &str = "protocol/memory/src/models";
    let models: usize = names(MODELS).iter().map(|name| read(&format!("{MODELS}/{name}")).matches("#[test]").count()).sum();
    let corpora = ["protocol/tests/corpus", "protocol/memory/tests/corpus", "agent/tests/corpus", "agent/client/tests/corpus"];
    let targets: usize = corpora.iter().map(|corpus| names(corpus).len()).sum();
    let seeds = number("agent/tests/simulator.rs", "if cfg!(debug_assertions) { 400 } else { ");
    let steps = number("agent/tests/simulator/run.rs", "const STEPS: u32 = ");
    let bugs = number("agent/tests/simulator/bugs.rs", "const ALL: [Self; ");
    let readme = read("README.md");
    for counted in [
        format!("| {models} models |"),
        format!("| {targets} targets |"),
        format!("| {seeds} seeds of {steps} steps; {bugs} planted bugs, "),
        format!("| {} texts, ", number("tui/tests/hostile.rs", "const TEXTS: usize = ")),
        format!("| {} mutations, ", number("agent/tests/disk/damage.rs", "const MUTATIONS: u64 = ")),
    ] {
        assert!(readme.contains(&counted), "the README does not say '{counted}'");
    }
}

/// What `plasmon` prints with these arguments: stdout and stderr.
fn plasmon(arguments: &[&str]) -> (String, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_plasmon")).args(arguments).output().expect("plasmon runs");
    let text = |bytes| String::from_utf8(bytes).expect("it is text");
    (text(done.stdout), text(done.stderr))
}

#[test]
fn a_filter_that_cannot_be_read_is_told_as_the_readme_shows() {
    let readme = read("README.md");
    let (_, rest) = readme.split_once("```text\nerror: no column").expect("an error that is shown");
    let (shown, _) = rest.split_once("```").expect("its end");
    assert_eq!(plasmon(&["memory", "--filter", "remember sise>1m"]).1, format!("error: no column{shown}"));
}

/// Options of the command line, targets of `make`, examples and places in the source.
#[test]
fn what_the_readme_names_is_there() {
    // Of other programs: cargo and pip.
    const FOREIGN: [&str; 5] = ["release", "example", "features", "config-settings", "no-default-features"];
    let readme = read("README.md");
    let words = |text: &str, beginning: &str| -> BTreeSet<String> {
        let is_of_name = |char: char| char.is_ascii_alphanumeric() || "_-".contains(char);
        let rests = text.split(beginning).skip(1);
        rests.map(|rest| rest.split(|char| !is_of_name(char)).next().unwrap_or("").to_owned()).filter(|word| !word.is_empty()).collect()
    };
    let commands = ["", "demo", "attach", "memory", "record", "replay", "explain", "doctor", "agent"];
    let helps: String = commands.iter().map(|command| plasmon(&[command, "--help"][usize::from(command.is_empty())..]).0).collect();
    let options = words(&helps, "--");
    for option in words(&readme, "--").iter().filter(|option| !FOREIGN.contains(&option.as_str())) {
        // Lines between dashes in tables and comments name nothing.
        assert!(!option.starts_with(|char: char| char.is_ascii_lowercase()) || options.contains(option), "no option --{option}");
    }
    let makefile = read("Makefile");
    for target in words(&readme, "`make ") {
        assert!(makefile.contains(&format!("\n{target}:")), "no target {target}");
    }
    for example in words(&readme, "--example ") {
        assert!(!read(&format!("agent/client/examples/{example}.rs")).is_empty());
    }
    let (_, places) = readme.split_once("## Where things are").expect("a table of places");
    let mut count = 0;
    for place in places.lines().filter(|line| line.starts_with("| ")).flat_map(|line| line.split('`').skip(1).step_by(2)) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        // After the first of a line they may be named from where that is.
        let bases = ["", "agent/src/", "agent/client/"];
        assert!(bases.iter().any(|base| path.join(base).join(place).exists()), "no {place}");
        count += 1;
    }
    assert!(count > 10, "{count} places");
}
