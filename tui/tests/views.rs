//! Every view of the sample, as text at three sizes, as a picture, and without colours.
#![allow(clippy::unwrap_used)]

#[path = "support/agent.rs"]
mod agent;
#[path = "support/sample.rs"]
mod sample;
#[path = "support/stage.rs"]
mod stage;

use stage::Stage;

/// A view: its name, and the keys that lead to it.
const VIEWS: &[(&str, &str)] = &[
    ("overview", ""),
    ("references", "2"),
    ("references_by_type", "2b"),
    ("references_filtered", "2/type:pinned⏎"),
    ("sites", "3"),
    ("processes", "4"),
    ("tasks", "5"),
    ("events", "6"),
    ("site", "3⏎"),
    ("object", "3⏎⏎"),
    ("object_shared", "2⏎"),
    ("process", "4j⏎"),
    ("task", "5⏎"),
    ("help", "2?"),
    ("sort", "2s"),
    ("palette", "3:ref"),
    ("filter", "2/size>1x"),
];

#[test]
fn every_view_at_three_sizes() {
    for (columns, rows) in [(80, 24), (120, 40), (200, 60)] {
        for (name, keys) in VIEWS {
            let mut stage = Stage::new(columns, rows);
            stage.keys(keys);
            insta::assert_snapshot!(format!("{name}_{columns}x{rows}"), stage.text());
        }
    }
}
