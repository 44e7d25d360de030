//! Every decoder of the vocabulary, fed with nonsense: it takes an input or refuses it with a typed error, and what it takes means the
//! same when it is written and read again. `plasmon_fuzz` says how to run it longer.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod fuzz {
    pub(crate) mod frames;
    pub(crate) mod messages;
    pub(crate) mod texts;
}

use plasmon_fuzz::corpus;
use plasmon_protocol::error::Error;
use plasmon_protocol::id::{ActorId, NodeId, ObjectId, TaskId};
use plasmon_protocol::local::{self, ClientHello, ToAgent, ToClient, Welcome};
use plasmon_protocol::record::{
    ActorRow, EventRow, ObjectRow, PostMortemRow, ProcessRow, ReferenceRow, SiteRow, SpillFileRow, Stacks, StoreRow, TaskRow,
};
use plasmon_protocol::report::{GroupBy, Report, ReportOptions, SortBy, Units};
use plasmon_protocol::size::{Bytes, cells};
use plasmon_protocol::stream::{Body, Frame, Request};

use fuzz::{frames, messages, texts};

/// Decodes a message; one that is taken survives being written and read again.
macro_rules! message {
    ($kind:ty) => {
        |bytes: &[u8]| match local::decode::<$kind>("it", bytes) {
            Ok(message) => {
                let again = local::encode(&message).unwrap();
                assert_eq!(local::decode::<$kind>("it", &again).unwrap(), message);
                true
            }
            Err(error) => {
                assert_eq!(error.code(), "protocol");
                false
            }
        }
    };
}

#[test]
fn client_hello() {
    let corpus = corpus!("client_hello");
    corpus.holds(&messages::client_hellos());
    corpus.run(message!(ClientHello));
}

#[test]
fn welcome() {
    let corpus = corpus!("welcome");
    corpus.holds(&messages::welcomes());
    corpus.run(message!(Welcome));
}

#[test]
fn to_agent() {
    let corpus = corpus!("to_agent");
    corpus.holds(&messages::all_known::<ToAgent<'_>>(messages::to_agent()));
    corpus.run(message!(ToAgent<'_>));
}

#[test]
fn to_client() {
    let corpus = corpus!("to_client");
    corpus.holds(&messages::all_known::<ToClient<'_>>(messages::to_client()));
    corpus.run(message!(ToClient<'_>));
}

#[test]
fn error() {
    let corpus = corpus!("error");
    corpus.holds(&messages::all_known::<Error>(messages::errors()));
    corpus.run(|bytes| {
        if let Ok(error) = local::decode::<Error>("it", bytes) {
            assert!(!error.to_string().is_empty() && !error.hint().is_empty());
        }
        message!(Error)(bytes)
    });
}

#[test]
fn request() {
    let corpus = corpus!("request").words(texts::JSON);
    corpus.holds(&frames::requests());
    corpus.run(|bytes| {
        let Ok(request) = serde_json::from_slice::<Request>(bytes) else { return false };
        let again = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<Request>(&again).unwrap(), request);
        true
    });
}

#[test]
fn frame() {
    let corpus = corpus!("frame").words(texts::JSON);
    corpus.holds(&frames::frames());
    corpus.run(|bytes| {
        let Ok(frame) = serde_json::from_slice::<Frame>(bytes) else { return false };
        let again = serde_json::to_string(&frame).unwrap();
        assert_eq!(serde_json::from_str::<Frame>(&again).unwrap(), frame);
        if let Body::Report { store, post_mortem, frames, mut references, .. } = frame.body {
            let mut stacks = Stacks::default();
            stacks.learn(frames);
            stacks.link(&mut references);
            report(&Report::new(*store.unwrap_or_default(), references, frame.at_ms).with_post_mortem(post_mortem));
        }
        true
    });
}

/// A report of any rows can be printed in every way, and nothing in it speaks to a terminal.
fn report(report: &Report) {
    for (group_by, sort_by) in [(GroupBy::NodeAddress, SortBy::ObjectSize), (GroupBy::StackTrace, SortBy::Age), (GroupBy::Pid, SortBy::Pid)]
    {
        for (no_format, width) in [(false, 80), (true, usize::MAX)] {
            let options = ReportOptions { group_by, sort_by, no_format, width, units: Units::Auto, ..ReportOptions::default() };
            let text = report.text(&options);
            assert!(!text.chars().any(|letter| letter.is_control() && letter != '\n'), "{text:?}");
        }
    }
    assert!(report.json().is_object());
}

#[test]
fn filter() {
    let corpus = corpus!("filter").words(texts::FILTER);
    corpus.holds(&texts::filters());
    corpus.run(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        let taken = [
            texts::filtered(&text, &ReferenceRow::default()),
            texts::filtered(&text, &ObjectRow::default()),
            texts::filtered(&text, &SiteRow::default()),
            texts::filtered(&text, &ProcessRow::default()),
            texts::filtered(&text, &TaskRow::default()),
            texts::filtered(&text, &EventRow::default()),
            texts::filtered(&text, &StoreRow::default()),
            texts::filtered(&text, &ActorRow::default()),
            texts::filtered(&text, &PostMortemRow::default()),
            texts::filtered(&text, &SpillFileRow::default()),
        ];
        taken.contains(&true)
    });
}

#[test]
fn option() {
    let corpus = corpus!("option").words(texts::SIZES);
    corpus.holds(&texts::options());
    corpus.run(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        let size = text.parse::<Bytes>();
        if let Ok(bytes) = size {
            assert!(bytes.0 <= 1 << 60, "{text}");
            assert_eq!(cells(bytes.0).len(), 5, "{text}");
        }
        let words = [text.parse::<GroupBy>().is_ok(), text.parse::<SortBy>().is_ok(), text.parse::<Units>().is_ok()];
        size.is_ok() || words.contains(&true)
    });
}

#[test]
fn id() {
    let corpus = corpus!("id").words(texts::HEX);
    corpus.holds(&texts::ids());
    corpus.run(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        let read = [
            text.parse::<ObjectId>().map(|id| id.hex()),
            text.parse::<TaskId>().map(|id| id.hex()),
            text.parse::<ActorId>().map(|id| id.hex()),
            text.parse::<NodeId>().map(|id| id.hex()),
        ];
        let again = read.iter().flatten().all(|again| *again == text);
        assert!(again, "{text} reads as {read:?}");
        read.iter().any(Result::is_ok)
    });
}
