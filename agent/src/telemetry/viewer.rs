//! One viewer: its requests, its credit and its clocks.
//!
//! There is never a queue of updates. A viewer that has not acknowledged what it was sent is sent nothing more; when it has, it
//! gets what is true then, and is told how many updates that replaces.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use plasmon_protocol::error::Error;
use plasmon_protocol::stream::{Body, Detail, Frame, MAX_FRAME, MAX_REQUEST, MAX_SUBSCRIPTIONS, MAX_VIEWED, Request, Target, VERSION};
use plasmon_protocol::window::{Payload, Query, SENT_ROW};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};

use crate::telemetry::desk::Look;
use crate::telemetry::frame::{error_body, write_frame};
use crate::telemetry::report::Reports;
use crate::telemetry::round::{Subject, Subscription};
use crate::telemetry::server::Shared;
use crate::telemetry::subscription::{ViewState, WatchState};
use crate::telemetry::wire::{BUFFERS, End, Incoming, Outgoing, Socket};

/// Frames with data that may be unacknowledged.
const CREDIT: usize = 2;
/// Requests that were read and not yet served; a viewer that sends more waits.
const MAX_REQUESTS: usize = 2;
/// What the views, watches and reports of one viewer may take of the agent's memory, bytes ([`Subscription::cost`], [`Reports::cost`]).
const MAX_COST: usize = 24 << 10;
/// What serving a viewer takes besides, bytes.
const STATE: usize = 8 << 10;
/// What a viewer may cost the agent that reads nothing, whatever it asked for, bytes.
const MAX_STALLED: usize = 256 << 10;

// One frame is on its way; requests wait in the queue, before it, and where they are read.
const _: () = assert!(MAX_FRAME + BUFFERS + (MAX_REQUESTS + 1) * MAX_REQUEST + MAX_COST + MAX_VIEWED * SENT_ROW + STATE <= MAX_STALLED);
/// How often a filter that depends on ages is looked at when nothing else changes.
const AGEING: Duration = Duration::from_secs(1);

/// Serves one viewer until either side ends it.
pub(super) async fn serve(socket: Socket, written: Arc<AtomicU64>, shared: Arc<Shared>, away: watch::Receiver<bool>) {
    let (sink, mut incoming) = socket.split();
    let (sender, requests) = mpsc::channel(MAX_REQUESTS);
    let heard = AtomicU64::new(0);
    let now = Instant::now();
    let news = shared.desk.hear();
    let mut viewer = Viewer {
        outgoing: Outgoing::new(sink, written, shared.limits.stall),
        shared,
        requests,
        away,
        heard: &heard,
        seq: 0,
        clock: None,
        missed: 0,
        unacked: VecDeque::new(),
        starved: None,
        subscriptions: BTreeMap::new(),
        reports: Reports::default(),
        news,
        told: 0,
        polled: now,
        rest_until: now,
        ping_at: now,
        unanswered: None,
    };
    // Listens first: whatever has arrived while everything stood still counts before any deadline.
    let end = tokio::select! {
        biased;
        never = listen(&mut incoming, sender, &heard) => match never {},
        end = viewer.talk() => match end { Err(end) => end },
    };
    tracing::debug!(?end, frames = viewer.seq, missed = viewer.missed, "viewer ends");
    let last = match &end {
        End::Refused(_, error) => viewer.number(error_body(None, error)).ok(),
        _ => None,
    };
    viewer.outgoing.close(incoming, last, &end).await;
}

/// What came from a viewer: a request as it was written, or the reason why there will be none.
type Inbound = Result<Utf8Bytes, End>;

/// Reads while the other half may wait to write, so that a viewer can always be heard.
async fn listen(incoming: &mut Incoming, sender: mpsc::Sender<Inbound>, heard: &AtomicU64) -> Infallible {
    loop {
        let message = incoming.next().await;
        heard.fetch_add(1, Ordering::Relaxed);
        let inbound = match message {
            Some(Ok(Message::Text(text))) => Ok(text),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
            Some(Ok(Message::Binary(_))) => Err(End::Refused(CloseCode::Unsupported, unreadable("...", "requests are text"))),
            Some(Err(tungstenite::Error::Capacity(cause))) => {
                Err(End::Refused(CloseCode::Size, unreadable("...", &format!("it is too large: {cause}"))))
            }
            Some(Err(tungstenite::Error::Utf8(_))) => Err(End::Refused(CloseCode::Invalid, unreadable("...", "it is not UTF-8"))),
            Some(Err(tungstenite::Error::Protocol(cause))) => Err(End::protocol(cause.to_string())),
            Some(Ok(Message::Close(_)) | Err(_)) | None => Err(End::Gone),
        };
        let last = inbound.is_err();
        if sender.send(inbound).await.is_err() || last {
            return std::future::pending().await;
        }
    }
}

fn unreadable(text: &str, cause: &str) -> Error {
    Error::invalid("request", text, cause)
}

/// What is read takes more memory than what was written, so it is read when its turn comes.
fn read(text: &str) -> Result<Request, End> {
    serde_json::from_str(text).map_err(|cause| malformed(text, &cause))
}

fn malformed(text: &str, cause: &serde_json::Error) -> End {
    let shown = text.get(..text.floor_char_boundary(200)).unwrap_or_default();
    End::Refused(CloseCode::Invalid, unreadable(shown, &cause.to_string()))
}

struct Viewer<'a> {
    outgoing: Outgoing,
    shared: Arc<Shared>,
    requests: mpsc::Receiver<Inbound>,
    away: watch::Receiver<bool>,
    /// Counts messages of any kind.
    heard: &'a AtomicU64,
    /// The last frame's number.
    seq: u64,
    /// The agent's clock when the node was last asked, milliseconds since the Unix epoch, and when that was.
    clock: Option<(u64, Instant)>,
    missed: u64,
    /// Numbers of frames with data, oldest first.
    unacked: VecDeque<u64>,
    /// Since when the viewer lacks something and there is no leave to send it.
    starved: Option<Instant>,
    subscriptions: BTreeMap<u32, Subscription>,
    reports: Reports,
    /// How often the node has told news.
    news: watch::Receiver<u64>,
    /// How often it had when it was last looked at.
    told: u64,
    /// When the node was last looked at.
    polled: Instant,
    /// Frames of large tables take time to make; then as much again is rested.
    rest_until: Instant,
    ping_at: Instant,
    unanswered: Option<Ping>,
}

/// A ping that was sent. Anything heard since answers it, and so do bytes that still go out.
struct Ping {
    until: Instant,
    heard: u64,
    written: u64,
}

/// Returns when the agent ends.
async fn told(away: &mut watch::Receiver<bool>) {
    // An error means that nobody is left to tell, which is the same.
    let _ = away.wait_for(|away| *away).await;
}

/// Returns when the node has told news more than `told` times, and not before an instant: until then it is not worth a look.
async fn hear(news: &mut watch::Receiver<u64>, told: u64, at: Instant) {
    sleep_until(at).await;
    // Who tells lives as long as whoever shows.
    let _ = news.wait_for(|now| *now > told).await;
}

impl Viewer<'_> {
    async fn talk(&mut self) -> Result<Infallible, End> {
        self.hello().await?;
        loop {
            let (news_at, round_at) = (self.not_before(self.polled + self.shared.limits.tick), self.round_at());
            let ping_at = self.ping_at;
            let starved_at = self.starved.map(|since| since + self.shared.limits.stall);
            tokio::select! {
                biased;
                () = told(&mut self.away) => return Err(End::Away),
                inbound = self.requests.recv() => self.on_request(read(&inbound.ok_or(End::Gone)??)?).await?,
                () = sleep_until(starved_at.unwrap_or(ping_at)), if starved_at.is_some() => return Err(End::Stalled),
                () = sleep_until(ping_at) => self.on_ping_due().await?,
                () = sleep_until(round_at.unwrap_or(ping_at)), if round_at.is_some() => self.round().await?,
                () = hear(&mut self.news, self.told, news_at), if !self.subscriptions.is_empty() => self.round().await?,
                made = self.reports.made() => made?,
                () = std::future::ready(()), if self.reports.is_ready() => self.report().await?,
            }
        }
    }

    /// The viewer's hello must be the first request.
    async fn hello(&mut self) -> Result<(), End> {
        let first = tokio::select! {
            biased;
            () = told(&mut self.away) => return Err(End::Away),
            first = tokio::time::timeout(self.shared.limits.handshake, self.requests.recv()) => first,
        };
        let version = match first {
            Err(_) => return Err(End::protocol("it sent no hello in time")),
            Ok(None) => return Err(End::Gone),
            Ok(Some(first)) => match read(&first?)? {
                Request::Hello { version } => version,
                _ => return Err(End::protocol("its first request is not hello")),
            },
        };
        if version != VERSION {
            let name = |version| format!("stream version {version}");
            return Err(End::Refused(CloseCode::Protocol, Error::Version { ours: name(VERSION), theirs: name(version) }));
        }
        let (node, now_ms) = self.shared.desk.ask(|tables| (Box::new(tables.node()), tables.now_ms())).await.ok_or(End::Away)?;
        self.clock = Some((now_ms, Instant::now()));
        self.ping_at = Instant::now() + self.shared.limits.ping;
        self.tell(Body::Hello { version: VERSION, node }).await
    }

    async fn on_request(&mut self, request: Request) -> Result<(), End> {
        match request {
            Request::Hello { .. } => return Err(End::protocol("it said hello twice")),
            Request::Subscribe { id, view } => match Query::prepare(view) {
                Ok(query) => return self.subscribe(id, Subject::View(ViewState::new(query))).await,
                Err(error) => {
                    self.remove(id);
                    return self.tell(error_body(Some(id), &error)).await;
                }
            },
            Request::Watch { id, target } => return self.subscribe(id, Subject::Watch(target, WatchState::default())).await,
            Request::Unsubscribe { id } => {
                self.remove(id);
                self.reports.end(id);
            }
            Request::Report { id, filter } => {
                let room = MAX_COST.saturating_sub(self.cost());
                if let Err(error) = self.reports.ask(id, &filter, room, &self.shared) {
                    return self.tell(error_body(Some(id), &error)).await;
                }
            }
            Request::Ack { seq } if seq > self.seq => {
                return Err(End::protocol(format!("it acknowledges frame {seq}, the last one is {}", self.seq)));
            }
            Request::Ack { seq } => {
                self.unacked.retain(|sent| *sent > seq);
                if self.unacked.len() < CREDIT {
                    self.starved = None;
                }
            }
        }
        Ok(())
    }

    async fn subscribe(&mut self, id: u32, subject: Subject) -> Result<(), End> {
        if self.subscriptions.len() >= MAX_SUBSCRIPTIONS && !self.subscriptions.contains_key(&id) {
            let cause = format!("a viewer has at most {MAX_SUBSCRIPTIONS} views and watches");
            return self.tell(error_body(Some(id), &Error::invalid("subscription", id.to_string(), cause))).await;
        }
        self.remove(id);
        let subscription = Subscription::new(subject, Instant::now());
        if self.cost() + subscription.cost() > MAX_COST {
            let cause = "the filters of the viewer's other views leave no room for it";
            return self.tell(error_body(Some(id), &Error::invalid("subscription", id.to_string(), cause))).await;
        }
        self.subscriptions.insert(id, subscription);
        Ok(())
    }

    /// What is kept of what the viewer asked for, bytes.
    fn cost(&self) -> usize {
        self.subscriptions.values().map(Subscription::cost).sum::<usize>() + self.reports.cost()
    }

    fn remove(&mut self, id: u32) {
        if self.subscriptions.remove(&id).is_some_and(|subscription| subscription.rows() > 0) {
            self.offer_room();
        }
    }

    /// There is room for rows that views had to do without.
    fn offer_room(&mut self) {
        self.subscriptions.values_mut().filter(|one| one.lacks_rows()).for_each(|one| one.stale = true);
    }

    fn credit(&self) -> usize {
        CREDIT.saturating_sub(self.unacked.len())
    }

    /// When to look at the node though it tells no news: when something waits that there is leave to send, and when ages may have changed
    /// what a filter shows.
    fn round_at(&self) -> Option<Instant> {
        let credit = self.credit() > 0;
        let due = self.subscriptions.values().filter_map(|subscription| {
            if subscription.stale {
                credit.then_some(subscription.not_before)
            } else {
                subscription.depends_on_time().then_some(subscription.looked + AGEING)
            }
        });
        due.min().map(|at| self.not_before(at))
    }

    /// Not before this, and not before it is this viewer's turn again.
    fn not_before(&self, at: Instant) -> Instant {
        at.max(self.rest_until).max(self.shared.desk.pace.next())
    }

    /// Looks at the node and sends what is new, as far as there is credit.
    async fn round(&mut self) -> Result<(), End> {
        let began = Instant::now();
        let credit = self.credit();
        // What another viewer has just seen is as good, but for what was asked for since then; so all come to look together.
        let since = began.checked_sub(self.shared.limits.tick / 2).unwrap_or(began);
        let born = self.subscriptions.values().filter(|subscription| subscription.seen.is_none()).map(|subscription| subscription.born);
        let look = self.shared.desk.look(born.fold(since, Instant::max)).await.ok_or(End::Away)?;
        (self.polled, self.told) = (look.at, look.told);
        self.clock = Some((look.now_ms, Instant::now()));
        for subscription in self.subscriptions.values_mut() {
            let changed = subscription.sees_change(&look.versions);
            self.missed += u64::from(changed && subscription.stale && credit == 0);
            subscription.stale |= changed || subscription.depends_on_time() && subscription.looked + AGEING <= began;
        }
        if credit > 0 {
            let due = |subscription: &Subscription| subscription.stale && subscription.not_before <= began;
            let mut work: Vec<(u64, u32)> =
                self.subscriptions.iter().filter(|(_, one)| due(one)).map(|(id, one)| (one.last_sent, *id)).collect();
            work.sort_unstable();
            let mut busy = Duration::ZERO;
            for (_, id) in work {
                if self.credit() == 0 {
                    break;
                }
                busy += self.bring_up(id, &look).await?;
            }
            self.rest_until = Instant::now() + busy;
        }
        if self.credit() == 0 && self.subscriptions.values().any(|subscription| subscription.stale) {
            self.starved.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    /// Sends what is new of one subscription; what that took to make.
    async fn bring_up(&mut self, id: u32, look: &Look) -> Result<Duration, End> {
        let Some(mut subscription) = self.subscriptions.remove(&id) else { return Ok(Duration::ZERO) };
        let others: usize = self.subscriptions.values().map(Subscription::rows).sum();
        let (most, had) = (MAX_VIEWED.saturating_sub(others), subscription.rows());
        let made = match &mut subscription.subject {
            Subject::View(view) => {
                let shown = self.shared.desk.show(view.query(), look).await.ok_or(End::Away)?;
                shown.and_then(|shown| Ok((view.bring_up(id, &shown.rendered, most)?, shown.at_ms, shown.busy)))
            }
            Subject::Watch(target, watch) => {
                let (detail, at_ms, took) = self.detail(target.clone()).await?;
                watch.update(id, detail.as_ref()).map(|payload| (payload, at_ms, took))
            }
        };
        let (payload, at_ms, busy) = made.map_err(|error| End::Refused(CloseCode::Error, error))?;
        subscription.stale = false;
        if subscription.rows() < had {
            self.offer_room();
        }
        subscription.looked = self.polled;
        subscription.not_before = self.polled + self.shared.limits.tick;
        if let Some(payload) = payload {
            self.send(payload, at_ms).await?;
            self.unacked.push_back(self.seq);
            subscription.last_sent = self.seq;
        }
        self.subscriptions.insert(id, subscription);
        Ok(busy)
    }

    /// One thing in detail, of this instant, and what that took.
    async fn detail(&self, target: Target) -> Result<(Option<Detail>, u64, Duration), End> {
        let answer = self.shared.desk.ask(move |tables| {
            let began = Instant::now();
            (tables.detail(target), tables.now_ms(), began.elapsed())
        });
        let (detail, at_ms, took) = answer.await.ok_or(End::Away)?;
        self.shared.desk.pace.took(took);
        let Some(mut detail) = detail else { return Ok((None, at_ms, took)) };
        let details = Arc::clone(&self.shared.details);
        // It reads files.
        let whole = tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            details.complete(&mut detail, began.into_std());
            (detail, began.elapsed())
        });
        let (detail, more) = whole.await.map_err(|_| End::Gone)?;
        Ok((Some(detail), at_ms, took + more))
    }

    /// Sends the next part of the oldest report. The kernel's buffer limits these, not credit: a reader of reports alone need
    /// not acknowledge.
    async fn report(&mut self) -> Result<(), End> {
        let Some(report) = self.reports.first() else { return Ok(()) };
        let at_ms = report.at_ms;
        let next = report.next().await;
        // One that fails behind a part that it had goes on to its error: without that its reader would wait for the last part for ever.
        if !matches!(next, Ok(Some(_))) || report.is_sent() {
            self.reports.sent();
        }
        match next {
            Ok(Some(payload)) => self.send(payload, at_ms).await,
            Ok(None) => Ok(()),
            Err((id, error)) => self.tell(error_body(Some(id), &error)).await,
        }
    }

    async fn on_ping_due(&mut self) -> Result<(), End> {
        let heard = self.heard.load(Ordering::Relaxed);
        if let Some(ping) = self.unanswered.take_if(|ping| ping.heard == heard && ping.written == self.outgoing.written()) {
            if ping.until <= Instant::now() {
                return Err(End::Gone);
            }
            self.ping_at = ping.until;
            self.unanswered = Some(ping);
            return Ok(());
        }
        self.outgoing.send(Message::Ping(Vec::new().into())).await?;
        let now = Instant::now();
        self.ping_at = now + self.shared.limits.ping;
        self.unanswered = Some(Ping { until: now + self.shared.limits.pong, heard, written: self.outgoing.written() });
        Ok(())
    }

    async fn send(&mut self, payload: Payload, at_ms: u64) -> Result<(), End> {
        self.seq += 1;
        let text = payload.frame(self.seq, at_ms, self.missed);
        // The viewer may take its time.
        drop(payload);
        self.outgoing.send_text(text).await
    }

    /// Sends what costs no credit.
    async fn tell(&mut self, body: Body) -> Result<(), End> {
        let text = self.number(body).map_err(|error| End::Refused(CloseCode::Error, error))?;
        self.outgoing.send_text(text).await
    }

    fn number(&mut self, body: Body) -> Result<String, Error> {
        self.seq += 1;
        let at_ms = match self.clock {
            Some((ms, then)) => ms + then.elapsed().as_millis() as u64,
            None => SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64),
        };
        write_frame(&Frame { seq: self.seq, at_ms, missed: self.missed, body })
    }
}
