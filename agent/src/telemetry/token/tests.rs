use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_missing_file_is_made_by_the_agent_and_read_by_clients() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/er/token");
    assert_eq!(load(&path).unwrap_err().code(), "connect");
    assert!(!path.exists(), "a client made a token file");

    let made = load_or_create(&path).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.trim().len(), 64);
    assert!(text.trim().bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "a draft was left behind");
    for again in [load(&path).unwrap(), load_or_create(&path).unwrap()] {
        assert!(again.digest().matches(&made.digest()));
    }
}

#[test]
fn agents_that_start_together_agree_on_one_token() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    let tokens: Vec<_> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| load_or_create(&path).unwrap())).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    assert!(tokens.iter().all(|token| token.digest().matches(&tokens[0].digest())));
}

#[test]
fn a_file_that_cannot_be_trusted_is_refused_with_its_name_and_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    let refused = |reason: &str| {
        for error in [load(&path).unwrap_err(), load_or_create(&path).unwrap_err()] {
            assert_eq!(error.code(), "invalid", "{error}");
            assert!(error.to_string().contains(reason) && error.to_string().contains(path.to_str().unwrap()), "{error}");
        }
    };
    fs::write(&path, "secret").unwrap();
    for open in [0o640, 0o604, 0o620, 0o610] {
        mode(&path, open);
        refused("others can access it");
    }
    mode(&path, 0o600);
    assert!(load(&path).unwrap().digest().matches(&TokenDigest::of(b"secret")));
    for empty in ["", " \n\t "] {
        fs::write(&path, empty).unwrap();
        refused("it is empty");
    }
    fs::write(&path, "two words").unwrap();
    refused("cannot stand in a header");
    fs::write(&path, "x".repeat(5000)).unwrap();
    refused("no token");

    fs::remove_file(&path).unwrap();
    fs::write(directory.path().join("other"), "secret").unwrap();
    mode(&directory.path().join("other"), 0o600);
    symlink(directory.path().join("other"), &path).unwrap();
    refused("symbolic link");

    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    refused("not a regular file");
    fs::remove_dir(&path).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    refused("not a regular file");
}

#[test]
fn another_users_file_is_refused() {
    // Only root can make a file that belongs to somebody else; for others a file of root serves.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    fs::write(&path, "secret").unwrap();
    mode(&path, 0o600);
    let foreign = if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
        path
    } else {
        std::path::PathBuf::from("/etc/hostname")
    };
    let error = load(&foreign).unwrap_err();
    assert!(error.to_string().contains("belongs to user"), "{error}");
}

#[test]
fn a_token_is_not_printed() {
    assert_eq!(format!("{:?}", Token::parse("secret").unwrap()), "Token(..)");
    assert!(!Token::parse("sec ret").unwrap_err().to_string().contains("sec"));
    assert!(!TokenDigest::of(b"secret").matches(&TokenDigest::of(b"secret ")));
}
