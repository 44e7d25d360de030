//! The life of files.

use plasmon::Error;
use plasmon_protocol::record::SpillFileState;
use plasmon_protocol::size::Bytes;

use super::store::{Known, MIB, file_rows, spill_dir, spill_files, spill_row, start};
use crate::support::{Standalone, Viewer, alone, directory, eventually};

/// The whole disk ledger: what the rows say, what the sums say, and what the file system has.
#[track_caller]
fn check_files(viewer: &mut Viewer) {
    // One may just be written, written anew or removed.
    eventually("the rows are what the file system has", || {
        let rows = file_rows(viewer);
        let rows: Vec<_> = rows.iter().filter(|row| row.state == SpillFileState::Ready).collect();
        for row in &rows {
            assert_eq!(row.live_bytes + row.dead_bytes + row.header_bytes, row.file_bytes, "{row:?}");
        }
        let mut sizes: Vec<u64> = rows.iter().map(|row| row.file_bytes).collect();
        let mut found: Vec<u64> = spill_files().iter().map(|path| path.metadata().map_or(0, |metadata| metadata.len())).collect();
        sizes.sort_unstable();
        found.sort_unstable();
        sizes == found
    });
}

#[test]
fn small_objects_share_files_and_files_go_with_their_last_object() {
    alone(|| {
        start(8 * MIB, |_| {});
        let mut viewer = Viewer::here();
        let mut objects: Vec<Known> = (0..4000).map(|seed| Known::put(seed, 10_000)).collect();
        let row = viewer.until("all is written that can be", |report| report.store.spill.writing_bytes == 0).store.spill;
        assert!(row.spilled_objects_total > 2500, "{row:?}");
        assert!(row.files_total * 50 < row.spilled_objects_total, "{} files for {} objects", row.files_total, row.spilled_objects_total);
        check_files(&mut viewer);
        // Every other one, then nearly all: sparse files are written anew.
        objects.retain(|known| known.seed % 4 == 0);
        viewer.until("sparse files are written anew", |report| {
            let spill = &report.store.spill;
            spill.dead_bytes <= spill.live_bytes && spill.writing_bytes == 0 && spill.deleted_total > 0
        });
        objects.iter().for_each(Known::check);
        check_files(&mut viewer);
        objects.clear();
        viewer.until("no file is left", |report| report.store.spill.files == 0);
        assert_eq!(spill_files().len(), 0);
        let row = spill_row(&mut viewer);
        assert_eq!((row.file_bytes, row.live_bytes, row.dead_bytes, row.header_bytes), (0, 0, 0, 0));
        assert!(row.deleted_total >= row.files_total, "{row:?}");
    });
}

#[test]
fn several_directories_take_turns() {
    alone(|| {
        let places = [spill_dir(), directory().join("second"), directory().join("third")];
        let dirs = places.to_vec();
        start(16 * MIB, move |agent| agent.spill_dir = dirs);
        let objects: Vec<Known> = (0..40).map(|seed| Known::put(seed, 4 << 20)).collect();
        let mut viewer = Viewer::here();
        let rows = file_rows(&mut viewer);
        for place in &places {
            let there = rows.iter().filter(|row| row.place.starts_with(place.to_str().unwrap())).count();
            assert!(there >= rows.len() / 6, "{} of {} files in {}", there, rows.len(), place.display());
        }
        assert!(spill_row(&mut viewer).places.len() == 3);
        objects.iter().for_each(Known::check);
    });
}

#[test]
fn a_limit_for_spilled_bytes_is_kept_and_named() {
    alone(|| {
        start(16 * MIB, |agent| agent.spill_limit = Some(Bytes(24 * MIB)));
        let mut viewer = Viewer::here();
        let mut held = Vec::new();
        let error = loop {
            match Known::try_put(held.len() as u64, 2 << 20) {
                Ok(known) => held.push(known),
                Err(error) => break error,
            }
            assert!(held.len() < 40, "the limit is not kept");
        };
        let Error::OutOfDisk { asked, cause, .. } = &error else { panic!("{error}") };
        assert_eq!(asked.0, 2 << 20);
        assert!(cause.contains("24 MiB") && cause.contains("--spill-limit"), "{cause}");
        assert!(error.hint().contains("--spill-limit"));
        let row = spill_row(&mut viewer);
        assert!(row.file_bytes <= 24 * MIB && row.failing && row.limit_bytes == Some(24 * MIB), "{row:?}");
        held.iter().for_each(Known::check);
        // Room on disk is room again.
        held.truncate(held.len() / 2);
        Known::put(99, 2 << 20).check();
        held.iter().for_each(Known::check);
    });
}

#[test]
fn nothing_is_left_of_a_dead_session() {
    alone(|| {
        if Standalone::was_here() {
            return;
        }
        let agent = Standalone::start(&format!("--spill-dir {} --object-store-memory 8MiB", spill_dir().display()));
        plasmon::Options::new().address(agent.session.clone()).init().unwrap();
        let objects: Vec<Known> = (0..20).map(|seed| Known::put(seed, 1 << 20)).collect();
        assert!(!spill_files().is_empty());
        agent.kill();
        drop(objects);
        let _ = plasmon::shutdown();
        assert!(!spill_files().is_empty(), "killed, it cannot have tidied up");
        // The next agent sweeps what a dead one has left, wherever that was.
        start(8 * MIB, |agent| agent.spill_dir = Vec::new());
        assert_eq!(spill_files().len(), 0);
    });
}
