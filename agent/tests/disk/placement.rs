//! Where an agent's spill files go, and that nothing stays there.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use plasmon_agent::config::{AgentOptions, Config, Kind};
use plasmon_agent::disk::places::{Places, places};
use plasmon_agent::machine::Machine;
use plasmon_agent::session::{Session, sweep};
use plasmon_protocol::error::Error;
use plasmon_protocol::id::SpillFileId;

use crate::rig::{Rig, names};

fn made(session: &Session, spill: Option<bool>, dirs: &[&Path]) -> Result<Places, Error> {
    let dirs = dirs.iter().map(|path| path.to_path_buf()).collect();
    let options = AgentOptions { spill, spill_dir: dirs, ..AgentOptions::default() };
    places(&Config::resolve(options, Kind::Embedded, &Machine::read()?)?, session)
}

fn path(places: &Places, index: usize) -> PathBuf {
    let file = PathBuf::from(places.targets[index].name(SpillFileId(1)));
    file.parent().unwrap().to_owned()
}

#[test]
fn spill_files_go_to_the_session_unless_told_otherwise() {
    let temp = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let session = Session::create(temp.path()).unwrap();
    let places = made(&session, None, &[]).unwrap();
    assert_eq!(path(&places, 0), session.path().join("spill"));
    assert_eq!(std::fs::metadata(path(&places, 0)).unwrap().mode() & 0o777, 0o700);
    assert!(places.targets.len() == 1 && places.warnings.is_empty());
    let off = made(&session, Some(false), &[Path::new("/nowhere")]).unwrap();
    assert!(off.targets.is_empty() && !Path::new("/nowhere").exists());
}

#[test]
fn named_directories_are_made_and_hold_nothing_in_the_end() {
    let temp = tempfile::tempdir().unwrap();
    let dirs = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (one, two) = (dirs.path().join("missing/one"), dirs.path().join("two"));
    let session = Session::create(temp.path()).unwrap();
    let places = made(&session, None, &[&one, &two]).unwrap();
    let name = format!("plasmon-spill-{}", session.name());
    assert_eq!([path(&places, 0), path(&places, 1)], [one.join(&name), two.join(&name)]);
    let mut rig = Rig::new(places.targets, 1 << 20, 1);
    let mut objects = [rig.put(100, 64)];
    rig.write(1, &mut objects).unwrap();
    drop(rig);
    assert_eq!(names(&one), [name]);
    drop(session);
    assert_eq!((names(&one), names(&two)), (Vec::new(), Vec::new()));
    assert_eq!(sweep(temp.path()).unwrap(), 0);
}

#[test]
fn directories_that_are_none_or_not_safe_are_refused() {
    let temp = tempfile::tempdir().unwrap();
    let dirs = tempfile::tempdir().unwrap();
    let session = Session::create(temp.path()).unwrap();
    let file = dirs.path().join("file");
    std::fs::write(&file, "").unwrap();
    let open = dirs.path().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).unwrap();
    for (path, cause) in [(&file, "File exists"), (&file.join("below"), "directory"), (&open, "others may write")] {
        let Err(error) = made(&session, None, &[path]) else { panic!("{} is taken", path.display()) };
        let text = error.to_string();
        assert!(error.code() == "invalid" && text.contains("--spill-dir") && text.contains(&path.display().to_string()), "{text}");
        assert!(text.contains(cause), "{text}");
    }
    assert_eq!(names(&open), [""; 0]);
}

#[test]
fn memory_is_no_place_for_spill_files() {
    let memory = Path::new("/dev/shm");
    let Ok(temp) = tempfile::tempdir_in(memory) else {
        return println!("NOTE: there is no {} to write to; places in memory were not tried", memory.display());
    };
    let session = Session::create(temp.path()).unwrap();
    let places = made(&session, None, &[]).unwrap();
    if let Some(target) = places.targets.first() {
        let place = PathBuf::from(target.name(SpillFileId(1)));
        assert!(!place.starts_with(memory) && place.to_string_lossy().contains(session.name()), "{}", place.display());
        drop(session);
        assert!(!place.parent().unwrap().exists());
    } else {
        assert!(places.warnings[0].contains("--spill-dir"), "{:?}", places.warnings);
    }
    let session = Session::create(temp.path()).unwrap();
    let named = made(&session, None, &[temp.path()]).unwrap();
    assert!(named.targets.len() == 1 && named.warnings[0].contains("tmpfs"), "{:?}", named.warnings);
}
