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
