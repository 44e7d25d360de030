//! Every decoder of the agent, fed with nonsense: it takes an input or refuses it with a typed error. `plasmon_fuzz` says how to run
//! it longer.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod fuzz {
    pub(crate) mod conversation;
    pub(crate) mod files;
    pub(crate) mod node;
}

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use plasmon_agent::config::AgentOptions;
use plasmon_agent::session::Address;
use plasmon_agent::telemetry::door::Door;
use plasmon_agent::telemetry::head::{Head, MAX_HEAD};
use plasmon_agent::telemetry::token::{self, Token};
use plasmon_fuzz::corpus;
use plasmon_protocol::column::Table;
use plasmon_protocol::record::ReferenceRow;
use plasmon_protocol::stream::{Request, Rows};
use plasmon_protocol::window::Query;

use fuzz::{conversation, files, node};

/// What a hostile driver and its worker publish, through a real core, beside an honest driver.
#[test]
fn conversation() {
    let corpus = corpus!("conversation");
    let examples = conversation::examples();
    corpus.holds(&examples);
    for (name, bytes) in examples {
        assert_eq!(node::serve(&bytes), name != "trespass", "{name}");
    }
    corpus.run(node::serve);
}

#[test]
fn view() {
    let corpus = corpus!("view").words(files::VIEW);
    corpus.holds(&files::views());
    corpus.run(|bytes| {
        let Ok(Request::Subscribe { view, .. }) = serde_json::from_slice(bytes) else { return false };
        let table = view.table;
        let Ok(query) = Query::prepare(view) else { return false };
        let rows = match table {
            Table::References => Rows::References(vec![ReferenceRow::default(); 3]),
            Table::Objects => Rows::Objects(vec![Default::default(); 2]),
            Table::Sites => Rows::Sites(vec![Default::default()]),
            Table::Processes => Rows::Processes(vec![Default::default()]),
            Table::Tasks => Rows::Tasks(vec![Default::default()]),
            Table::Events => Rows::Events(vec![Default::default()]),
            Table::Actors => Rows::Actors(vec![Default::default()]),
            Table::PostMortem => Rows::PostMortem(vec![Default::default()]),
            Table::SpillFiles => Rows::SpillFiles(vec![Default::default()]),
            Table::Store => Rows::Store(vec![Default::default()]),
        };
        let window = query.window(&rows, 1_700_000_000_000);
        assert!(window.totals.matched <= window.totals.rows && window.start <= window.totals.rows, "{:?}", window.totals);
        true
    });
}

#[test]
fn head() {
    let corpus = corpus!("head").words(files::HTTP);
    corpus.holds(&files::heads());
    let door = Door::new(&Token::parse(files::TOKEN).unwrap(), vec!["box.example".to_owned()]);
    corpus.run(|bytes| {
        let bytes = &bytes[..bytes.len().min(MAX_HEAD)];
        match Head::parse(bytes) {
            Ok(Some((head, length))) => {
                assert!(length <= bytes.len());
                let decision = door.decide(&head);
                assert!(decision.is_err() || bytes.windows(files::TOKEN.len()).any(|part| part == files::TOKEN.as_bytes()));
                decision.is_ok()
            }
            Ok(None) | Err(_) => false,
        }
    });
}

#[test]
fn address() {
    let corpus = corpus!("address").words(files::ADDRESS);
    corpus.holds(&files::addresses());
    corpus.run(|bytes| serde_json::from_slice::<Address>(bytes).is_ok());
}

#[test]
fn config() {
    let corpus = corpus!("config").words(files::TOML);
    corpus.holds(&files::configs());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("agent.toml");
    corpus.run(|bytes| {
        std::fs::write(&file, bytes).unwrap();
        match AgentOptions::from_file(&file) {
            Ok(_) => true,
            Err(error) => {
                assert!(error.to_string().contains("agent.toml"), "{error}");
                false
            }
        }
    });
}

#[test]
fn token() {
    let corpus = corpus!("token");
    corpus.holds(&files::tokens());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    corpus.run(|bytes| {
        std::fs::write(&file, bytes).unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        match token::load(&file) {
            Ok(token) => {
                assert!(token.bearer().bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '));
                true
            }
            Err(error) => {
                assert!(error.to_string().contains("token"), "{error}");
                false
            }
        }
    });
}
