//! Spill files in object storage: in a directory and in memory behind the same client, and in a real server of the S3 protocol
//! (`make test` installs it).
#![cfg(feature = "object-storage")]
#![allow(missing_docs, clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use plasmon_agent::config::{AgentOptions, Config, Kind};
use plasmon_agent::disk::failing::{Failing, Faults};
use plasmon_agent::disk::object_storage::ObjectStorage;
use plasmon_agent::disk::places::places;
use plasmon_agent::disk::target::SpillTarget;
use plasmon_agent::machine::Machine;
use plasmon_agent::session::{Session, sweep};
use plasmon_agent::spill::job::Failure;

use rig::{Object, Rig, names};

#[path = "disk/rig.rs"]
mod rig;

const MIB: u64 = 1 << 20;

/// Sizes of one part, of several, and of none.
const LENGTHS: [u64; 8] = [0, 1, 100, 70_000, MIB + 77, 17 * MIB, 5000, 40 * MIB];

/// Writes, reads, compacts, removes.
fn round_trip(rig: &mut Rig) {
    let mut objects: Vec<Object> = LENGTHS.iter().map(|length| rig.put(*length, 4096)).collect();
    rig.write(1, &mut objects).unwrap();
    assert_eq!(rig.check(1, &objects), []);
    let mut few = objects[..4].to_vec();
    rig.write(3, &mut few).unwrap();
    assert_eq!(rig.check(3, &few), []);
    let mut live: Vec<Object> = objects.iter().copied().step_by(2).collect();
    assert_eq!(rig.compact(1, 2, &mut live).unwrap(), []);
    assert_eq!(rig.check(2, &live), []);
    for file in [1, 1] {
        rig.delete(file).unwrap();
    }
    assert_eq!(rig.check(2, &live), []);
    let missing = rig.check(1, &objects);
    assert!(missing.len() == objects.len() && missing.iter().all(|(_, failure)| matches!(failure, Failure::Corrupt(_))), "{missing:?}");
    rig.delete(2).unwrap();
    rig.delete(3).unwrap();
}

#[test]
fn a_directory_by_url() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("file://{}/files", directory.path().display());
    let place = ObjectStorage::open(&url, "s").unwrap();
    let mut rig = Rig::new(vec![Arc::new(place)], 192 * MIB, 2);
    round_trip(&mut rig);
    let mut objects = [rig.put(100, 64)];
    rig.write(7, &mut objects).unwrap();
    assert_eq!(names(&directory.path().join("files/plasmon-s")), ["7"]);
    // Cut short behind its back.
    std::fs::File::options().write(true).open(directory.path().join("files/plasmon-s/7")).unwrap().set_len(100).unwrap();
    assert!(matches!(&rig.check(7, &objects)[..], [(_, Failure::Corrupt(cause))] if cause.contains("ends after 100 bytes")));
}

#[test]
fn memory_by_url() {
    let place = ObjectStorage::open("memory:///prefix", "s").unwrap();
    assert_eq!(place.room().unwrap(), None);
    round_trip(&mut Rig::new(vec![Arc::new(place)], 192 * MIB, 1));
}

#[test]
fn what_is_refused_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("file://{}/files", directory.path().display());
    let faults = Faults::default();
    let inner = Arc::new(ObjectStorage::open(&url, "s").unwrap());
    let mut rig = Rig::new(vec![Arc::new(Failing::new(inner, faults.clone()))], 192 * MIB, 1);
    let mut objects = [rig.put(40 * MIB, 4096)];
    for fault in ["write:8:EIO:once", "sync:1:ENOSPC:once"] {
        faults.switch(fault).unwrap();
        assert!(rig.write(1, &mut objects).is_err());
        assert_eq!(left(directory.path()), Vec::<PathBuf>::new(), "{fault}");
    }
    faults.switch("off").unwrap();
    rig.write(1, &mut objects).unwrap();
    assert_eq!(rig.check(1, &objects), []);
}

/// All files below a directory.
fn left(path: &Path) -> Vec<PathBuf> {
    let entries: Vec<PathBuf> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.into_iter().flat_map(|path| if path.is_dir() { left(&path) } else { vec![path] }).collect()
}

#[test]
fn a_session_removes_what_it_stored() {
    let temp = tempfile::tempdir().unwrap();
    let files = tempfile::tempdir().unwrap();
    let options = AgentOptions {
        spill_url: Some(format!("file://{}", files.path().display())),
        temp_dir: Some(temp.path().to_owned()),
        ..AgentOptions::default()
    };
    let config = Config::resolve(options, Kind::Embedded, &Machine::read().unwrap()).unwrap();
    let write = |session: &Session| {
        let places = places(&config, session).unwrap();
        assert_eq!((places.targets.len(), places.warnings.len()), (1, 0));
        let mut rig = Rig::new(places.targets, 64 * MIB, 1);
        let mut objects = [rig.put(100, 64)];
        rig.write(1, &mut objects).unwrap();
    };
    let session = Session::create(temp.path()).unwrap();
    write(&session);
    assert_eq!(left(files.path()).len(), 1);
    drop(session);
    assert_eq!(left(files.path()).len(), 0);
    assert_eq!(sweep(temp.path()).unwrap(), 0);
}

/// A server of the S3 protocol, on a port of its own choice, killed when dropped.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start() -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/moto/bin/moto_server");
        assert!(program.exists(), "there is no {}: `make target/moto` installs it", program.display());
        let mut process = Command::new(program)
            .args(["--host", "127.0.0.1", "--port", "0"])
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = lines.by_ref().find_map(|line| {
            let line = line.ok()?;
            line.split_once("Running on ").map(|(_, address)| address.trim().to_owned())
        });
        // Nobody reads on: it must not wait for that.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, address: address.expect("the server did not start") }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const IN_CHILD: &str = "PLASMON_TEST_CHILD";

/// The test again, in a process of its own, for the sake of its environment.
fn with_server(test: &str, address: &str) {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .envs([(IN_CHILD, "1"), ("AWS_ENDPOINT", address), ("AWS_ALLOW_HTTP", "true"), ("AWS_REGION", "us-east-1")])
        .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "secret-canary")])
        .status();
    assert!(status.unwrap().success());
}

/// Asks the server, as any client can.
fn request(address: &str, method: &str, path: &str) -> String {
    use std::io::{Read, Write};
    let host = address.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
    answer
}

#[test]
fn a_server_of_the_s3_protocol() {
    if std::env::var_os(IN_CHILD).is_none() {
        let server = Server::start();
        request(&server.address, "PUT", "/bucket");
        return with_server("a_server_of_the_s3_protocol", &server.address);
    }
    let address = std::env::var("AWS_ENDPOINT").unwrap();
    let place = ObjectStorage::open("s3://bucket/some/prefix", "s").unwrap();
    assert_eq!(place.name(plasmon_protocol::id::SpillFileId(5)), "s3://bucket/some/prefix/plasmon-s/5");
    let mut rig = Rig::new(vec![Arc::new(place)], 192 * MIB, 2);
    round_trip(&mut rig);
    let mut objects = [rig.put(40 * MIB, 4096)];
    rig.write(9, &mut objects).unwrap();
    assert!(request(&address, "GET", "/bucket?list-type=2").contains("some/prefix/plasmon-s/9"));
    // Another agent's are not seen, and its own go at once.
    assert!(!ObjectStorage::open("s3://bucket/some/prefix", "other").unwrap().clear().unwrap());
    let place = ObjectStorage::open("s3://bucket/some/prefix", "s").unwrap();
    assert!(place.clear().unwrap() && !place.clear().unwrap());
    // What breaks off leaves neither a file nor parts.
    let faults = Faults::new("write:8:EIO:once").unwrap();
    let mut rig = Rig::new(vec![Arc::new(Failing::new(Arc::new(place), faults))], 192 * MIB, 1);
    let mut objects = [rig.put(40 * MIB, 4096)];
    assert!(matches!(rig.write(1, &mut objects), Err(Failure::Io(_))));
    assert!(!request(&address, "GET", "/bucket?list-type=2").contains("<Key>"));
    assert!(!request(&address, "GET", "/bucket?uploads").contains("<Upload>"));
    // No such bucket: the storage's trouble, not the object's.
    let place = ObjectStorage::open("s3://nowhere/prefix", "s").unwrap();
    let mut rig = Rig::new(vec![Arc::new(place)], 64 * MIB, 1);
    let mut objects = [rig.put(100, 64)];
    let Err(Failure::Io(cause)) = rig.write(1, &mut objects) else { panic!("written to nowhere") };
    assert!(cause.contains("s3://nowhere/prefix") && !cause.contains("secret-canary"), "{cause}");
}
