//! A report on its way: all references of one instant, sent in parts, each read from where they are kept when the one before is with the
//! kernel. It is made beside everything else that its viewer is served, and the first parts go out while the last ones are written.

use std::collections::{HashSet, VecDeque};
use std::path::Path;
use std::sync::Arc;

use plasmon_protocol::error::Error;
use plasmon_protocol::filter::Filter;
use plasmon_protocol::window::Payload;
use tokio::task::{AbortHandle, JoinSet};

use crate::telemetry::desk::Whole;
use crate::telemetry::frame::report_part;
use crate::telemetry::round::filter_cost;
use crate::telemetry::server::Shared;
use crate::telemetry::spool::{Ledger, Spool, spool};
use crate::telemetry::wire::End;

/// Reports of one viewer that are being made or on their way.
const MAX_REPORTS: usize = 2;

/// See the module.
pub(super) struct Report {
    id: u32,
    /// The clock of the report's instant, milliseconds since the Unix epoch.
    pub(super) at_ms: u64,
    parts: Spool,
}

impl Report {
    /// What is to be sent under the viewer's number, and what writes it in a directory until it is sent, which blocks.
    fn of(id: u32, whole: Whole) -> (Self, impl FnOnce(&Path, &Ledger) + Send) {
        let (writing, parts) = spool();
        let report = Self { id, at_ms: whole.at_ms, parts };
        let write = move |directory: &Path, ledger: &Ledger| {
            writing.run(directory, ledger, |parts| {
                let (mut store, mut told, mut sent) = (Some(&whole.store), HashSet::new(), (0, 0));
                while !parts.is_unwanted() {
                    let (dead, rows) = (&whole.dead[sent.0..], &whole.rows[sent.1..]);
                    let (payload, taken) = report_part(id, store.take(), dead, rows, &mut told)?;
                    parts.push(payload.fields());
                    sent = (sent.0 + taken.0, sent.1 + taken.1);
                    if sent == (whole.dead.len(), whole.rows.len()) {
                        break;
                    }
                }
                Ok(())
            });
        };
        (report, write)
    }

    /// Whether all of it was taken.
    pub(super) fn is_sent(&self) -> bool {
        self.parts.is_sent()
    }

    /// The next part; `None` after the last.
    ///
    /// # Errors
    /// The viewer's number, and [`Error::Encode`], which no row can bring about by its values, or [`Error::System`] when it can be kept
    /// nowhere, others leave no room, or it cannot be read back.
    pub(super) async fn next(&mut self) -> Result<Option<Payload>, (u32, Error)> {
        let part = self.parts.next().await.map_err(|error| (self.id, error))?;
        Ok(part.map(Payload::of))
    }
}

/// A report that is being made.
struct Asked {
    id: u32,
    /// What its filter takes of the agent's memory, bytes.
    cost: usize,
    task: AbortHandle,
}

/// Returns when there may be more of a report to be sent; never without one.
async fn grown(report: Option<&mut Report>) {
    match report {
        Some(report) => report.parts.grown().await,
        None => std::future::pending().await,
    }
}

/// The reports of one viewer.
#[derive(Default)]
pub(super) struct Reports {
    making: JoinSet<Result<Report, End>>,
    asked: Vec<Asked>,
    made: VecDeque<Report>,
}

impl Reports {
    /// Begins to make one of what matches.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the filter is malformed, there are too many of them already, or the filter takes more than `room` bytes.
    pub(super) fn ask(&mut self, id: u32, filter: &str, room: usize, shared: &Arc<Shared>) -> Result<(), Error> {
        if self.asked.len() + self.made.len() >= MAX_REPORTS {
            let cause = format!("{MAX_REPORTS} reports are on their way already");
            return Err(Error::invalid("report", id.to_string(), cause));
        }
        let cost = filter_cost(filter);
        if cost > room {
            let cause = "the filters of the viewer's views leave no room for its filter";
            return Err(Error::invalid("report", id.to_string(), cause));
        }
        let filter = Filter::parse(filter).map_err(Error::from)?;
        let shared = Arc::clone(shared);
        let task = self.making.spawn(async move {
            // One copy of all rows at a time, however many ask for one.
            let one = Arc::clone(&shared.reports).lock_owned().await;
            // On its own from here: the node makes the copy even when nobody wants it any more, and until then it is the one.
            let made = tokio::spawn(async move {
                let whole = shared.desk.whole(filter).await.ok_or(End::Away)?;
                let (report, write) = Report::of(id, whole);
                tokio::task::spawn_blocking(move || {
                    write(&shared.directory, &shared.kept);
                    drop(one);
                });
                Ok(report)
            });
            made.await.map_err(|_| End::Gone)?
        });
        self.asked.push(Asked { id, cost, task });
        Ok(())
    }

    /// Ends those with the viewer's number.
    pub(super) fn end(&mut self, id: u32) {
        self.made.retain(|report| report.id != id);
        self.asked.retain(|asked| {
            if asked.id == id {
                asked.task.abort();
            }
            asked.id != id
        });
    }

    /// What those that are being made take of the agent's memory beside their rows, bytes.
    pub(super) fn cost(&self) -> usize {
        self.asked.iter().map(|asked| asked.cost).sum()
    }

    /// Returns when there may be more to be sent.
    pub(super) async fn made(&mut self) -> Result<(), End> {
        let waits = !self.is_ready();
        let Self { making, asked, made } = self;
        loop {
            let ended = tokio::select! {
                biased;
                Some(ended) = making.join_next_with_id() => ended,
                () = grown(made.front_mut()), if waits => return Ok(()),
                else => return std::future::pending().await,
            };
            let task = match &ended {
                Ok((task, _)) => *task,
                Err(failed) => failed.id(),
            };
            // Nobody waits any more for those that were ended.
            let Some(at) = asked.iter().position(|asked| asked.task.id() == task) else { continue };
            asked.remove(at);
            let (_, report) = ended.map_err(|_| End::Gone)?;
            made.push_back(report?);
            return Ok(());
        }
    }

    /// The one to be sent.
    pub(super) fn first(&mut self) -> Option<&mut Report> {
        self.made.front_mut()
    }

    /// Whether a part can be sent.
    pub(super) fn is_ready(&self) -> bool {
        self.made.front().is_some_and(|report| report.parts.is_ready())
    }

    /// It was sent.
    pub(super) fn sent(&mut self) {
        self.made.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::handle::NodeHandle;
    use crate::telemetry::door::Door;
    use crate::telemetry::server::Server;
    use crate::telemetry::token::Token;

    const ROOM: usize = 24 << 10;

    /// A server whose node has ended.
    fn shared() -> Arc<Shared> {
        let door = Door::new(&Token::parse("0123456789abcdef").unwrap(), Vec::new());
        Server::new(NodeHandle::new(drop), door).shared()
    }

    #[tokio::test]
    async fn who_waits_for_a_report_waits_for_nothing_else() {
        let shared = shared();
        // Another viewer's is being made.
        let other = Arc::clone(&shared.reports).lock_owned().await;
        let mut reports = Reports::default();
        reports.ask(1, "size>1m", ROOM, &shared).unwrap();
        reports.ask(2, "", ROOM, &shared).unwrap();
        assert!(reports.cost() > 0 && !reports.is_ready());
        let refused = reports.ask(3, "", ROOM, &shared).unwrap_err();
        assert!(refused.to_string().contains("2 reports are on their way already"), "{refused}");
        reports.end(1);
        reports.ask(3, "", ROOM, &shared).unwrap();
        tokio::select! {
            biased;
            made = reports.made() => panic!("{made:?}"),
            () = tokio::task::yield_now() => {}
        }
        drop(other);
        // Of those that were not ended, the first tells that there is no node.
        assert!(matches!(reports.made().await, Err(End::Away)));
    }

    #[tokio::test]
    async fn a_copy_that_nobody_wants_any_more_is_the_one_until_it_is_made() {
        let (sender, questions) = std::sync::mpsc::channel();
        let door = Door::new(&Token::parse("0123456789abcdef").unwrap(), Vec::new());
        let shared = Server::new(NodeHandle::new(move |question| drop(sender.send(question))), door).shared();
        let mut reports = Reports::default();
        reports.ask(1, "", ROOM, &shared).unwrap();
        let asked = loop {
            tokio::task::yield_now().await;
            if let Ok(question) = questions.try_recv() {
                break question;
            }
        };
        reports.end(1);
        drop(reports);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(shared.reports.try_lock().is_err());
        drop(asked);
        drop(shared.reports.lock().await);
    }

    #[tokio::test]
    async fn a_filter_is_read_before_anything_is_made() {
        let (mut reports, shared) = (Reports::default(), shared());
        assert_eq!(reports.ask(1, "size<40 (pid:1003", ROOM, &shared).unwrap_err().code(), "invalid");
        assert!(reports.ask(1, &"x ".repeat(2_000), ROOM, &shared).is_err());
        assert!(reports.ask(1, "size>1m", 100, &shared).unwrap_err().to_string().contains("no room"));
        assert_eq!(reports.cost(), 0);
    }
}
