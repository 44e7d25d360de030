//! The README's table of keys is the one that the dashboard uses. `SHOTS=1` writes it anew.

use std::path::Path;

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
