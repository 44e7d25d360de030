use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use plasmon_memory::doorbell::Doorbell;
use plasmon_protocol::id::NodeId;
use plasmon_protocol::record::{EventKind, EventRow};
use plasmon_protocol::resources::{Amount, Resources};
use plasmon_protocol::stream::{Body, Frame, Rows};

use super::*;
use crate::reactor::{Core, CoreConfig, OomConfig};
use crate::spill::policy::SpillConfig;

/// Far longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node's thread, played step by step.
struct Node {
    core: Core,
    commands: Receiver<Command>,
    notifier: Notifier,
}

impl Node {
    /// With a recorder that writes below `place`.
    fn recorded(place: &Path) -> (Self, Recorder) {
        let core = Core::new(CoreConfig {
            node: NodeId([7; 8]),
            node_ip: "127.0.0.1".into(),
            pid: 1,
            capacity: 1 << 20,
            slots: 1 << 10,
            resources: Resources { cpus: Amount::ONE, ..Resources::default() },
            fail_infeasible: false,
            lineage_limit: 0,
            oom: OomConfig::default(),
            now_ms: 1_000,
            spill: SpillConfig::default(),
            recording: None,
        });
        let (sender, commands) = mpsc::channel();
        let remote = Remote::new(sender, Arc::new(Doorbell::create().unwrap()));
        let draft = Draft::of(place);
        assert_eq!(*draft.path(), *place.join(FILE).display().to_string());
        let notifier = draft.notifier();
        (Self { core, commands, notifier }, draft.start(remote, Details::new(Vec::new(), Box::new(|_| None))).unwrap())
    }

    /// A round of its loop.
    fn round(&mut self) {
        if self.core.take_recording_wanted() {
            self.notifier.keep();
        }
        self.notifier.notice(self.core.version(Table::Store));
    }

    /// Waits for the recorder's question, and answers it.
    fn asked(&mut self) {
        match self.commands.recv_timeout(PATIENCE).unwrap() {
            Command::Record(question) => question(&mut self.core),
            Command::Warning(text) => panic!("{text}"),
            _ => panic!("another command"),
        }
        self.notifier.taken(self.core.version(Table::Store));
    }
}

/// The events in a recording, each line of it read.
fn events(path: &Path) -> Vec<EventRow> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let frames = text.lines().map(|line| serde_json::from_str::<Frame>(line).unwrap());
    let rows = frames.filter_map(|frame| match frame.body {
        Body::Snapshot { rows: Rows::Events(rows), .. } | Body::Delta { rows: Rows::Events(rows), .. } => Some(rows),
        _ => None,
    });
    rows.flatten().collect()
}

#[track_caller]
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn what_changes_is_recorded_and_gone_with_an_end_in_order() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join(FILE);
    let (mut node, mut recorder) = Node::recorded(place.path());
    node.round();
    node.asked();
    eventually("the first event", || events(&path).len() == 1);
    for round in 0..3 {
        // Any number of rounds in which nothing changes ask for nothing.
        (0..100).for_each(|_| node.round());
        assert!(node.commands.try_recv().is_err());
        node.core.on_warning(&format!("warning {round}"));
        node.round();
        node.asked();
        eventually("the warning", || events(&path).len() == round + 2);
    }
    assert_eq!(events(&path)[0].kind, EventKind::AgentStarted);
    drop(node);
    assert!(!recorder.end(), "there is nothing to look back for");
    assert!(!path.exists());
}

#[test]
fn what_is_to_be_kept_is_written_at_once_and_stays() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join(FILE);
    let (mut node, mut recorder) = Node::recorded(place.path());
    node.round();
    node.asked();
    eventually("the first event", || events(&path).len() == 1);
    // Much sooner than the next picture would be due.
    for round in 0..5 {
        node.core.on_warning("a worker was stopped");
        node.core.keep_recording();
        node.round();
        node.asked();
        eventually("the event", || events(&path).len() == round + 2);
    }
    drop(node);
    assert!(recorder.end());
    assert_eq!(events(&path).len(), 6);
}

#[test]
fn a_file_that_cannot_be_written_is_told_once_and_harms_nobody() {
    let (mut node, mut recorder) = Node::recorded(&PathBuf::from("/nonexistent/session"));
    let Command::Warning(text) = node.commands.recv_timeout(PATIENCE).unwrap() else { panic!("no warning") };
    assert!(text.contains("/nonexistent/session/recording.ndjson") && text.contains("not recorded any more"), "{text}");
    for round in 0..10 {
        node.core.on_warning(&format!("warning {round}"));
        node.core.keep_recording();
        node.round();
    }
    drop(node.notifier);
    assert!(recorder.end(), "that it should be kept was heard");
    assert!(node.commands.try_recv().is_err(), "once");
}
