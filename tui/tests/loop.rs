//! The loop: it draws when something changed, not more often than it should, and leaves when told to.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use plasmon_protocol::column::Table;
use plasmon_protocol::record::StoreRow;
use plasmon_protocol::stream::{Body, Frame, Request, Rows, Totals};
use plasmon_tui::app::{App, Settings};
use plasmon_tui::link::memory::{FarEnd, pair};
use plasmon_tui::link::{Link, LinkEvent};
use plasmon_tui::recording::Timeline;
use plasmon_tui::run::{ExitReason, Outside, run};
use plasmon_tui::terminal::Screen;
use tokio::sync::{mpsc, watch};

/// What happened on a screen that is only counted.
#[derive(Default)]
struct Seen {
    drawn: usize,
    /// How often it was looked whether there is input.
    looked: Arc<AtomicUsize>,
    copied: Vec<String>,
    /// The instant of a recording on the screen.
    shown_ms: Option<u64>,
}

struct Counting {
    seen: Rc<RefCell<Seen>>,
    keys: Option<mpsc::UnboundedReceiver<Event>>,
}

impl Screen for Counting {
    fn input(&mut self) -> BoxStream<'static, io::Result<Event>> {
        let (mut keys, looked) = (self.keys.take().unwrap(), Arc::clone(&self.seen.borrow().looked));
        futures_util::stream::poll_fn(move |context| {
            looked.fetch_add(1, Relaxed);
            keys.poll_recv(context).map(|event| event.map(Ok))
        })
        .boxed()
    }

    fn size(&self) -> io::Result<(u16, u16)> {
        Ok((80, 24))
    }

    fn draw(&mut self, app: &App) -> io::Result<()> {
        let mut seen = self.seen.borrow_mut();
        seen.drawn += 1;
        seen.shown_ms = app.replay().map(|replay| replay.at_ms);
        Ok(())
    }

    fn redraw(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn copy(&mut self, text: &str) -> io::Result<()> {
        self.seen.borrow_mut().copied.push(text.to_owned());
        Ok(())
    }

    fn mouse(&mut self, _on: bool) -> io::Result<()> {
        Ok(())
    }

    fn suspend(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Stand {
    seen: Rc<RefCell<Seen>>,
    keys: mpsc::UnboundedSender<Event>,
    far: FarEnd,
    progress: watch::Sender<String>,
    quit: watch::Sender<bool>,
}

impl Stand {
    fn key(&self, code: KeyCode) {
        self.keys.send(Event::Key(KeyEvent::new(code, KeyModifiers::NONE))).unwrap();
    }

    fn frame(&self, seq: u64, id: u32) {
        let rows = Rows::Store(vec![StoreRow { objects: seq, ..StoreRow::default() }]);
        let body = Body::Snapshot { id, totals: Totals::default(), start: 0, rows };
        self.far.events.send(LinkEvent::Frame(Box::new(Frame { seq, at_ms: seq, missed: 0, body }))).unwrap();
    }

    async fn store_id(&mut self) -> u32 {
        loop {
            if let Request::Subscribe { id, view } = self.far.requests.recv().await.unwrap()
                && view.table == Table::Store
            {
                return id;
            }
        }
    }
}

/// Runs the loop beside what `play` does to it.
async fn with<F: Future<Output = ()>>(play: impl FnOnce(Stand) -> F) -> ExitReason {
    let seen = Rc::new(RefCell::new(Seen::default()));
    let (keys, typed) = mpsc::unbounded_channel();
    let (mut link, far) = pair();
    let (progress, progressed) = watch::channel(String::new());
    let (quit, quitting) = watch::channel(false);
    let mut screen = Counting { seen: seen.clone(), keys: Some(typed) };
    let outside = Outside { progress: Some(progressed), quit_when: Some(quitting) };
    far.events.send(LinkEvent::Connected(Box::default())).unwrap();
    let stand = Stand { seen, keys, far, progress, quit };
    let begun = tokio::time::Instant::now();
    let clock = move || 1_000_000 + begun.elapsed().as_millis() as u64;
    let (reason, ()) = tokio::join!(run(App::new(Settings::default()), &mut link, &mut screen, outside, clock), play(stand));
    reason.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_data_is_drawn_at_the_screens_own_pace() {
    let reason = with(|mut stand| async move {
        let id = stand.store_id().await;
        let before = stand.seen.borrow().drawn;
        for seq in 1..=1000 {
            stand.frame(seq, id);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let drawn = stand.seen.borrow().drawn - before;
        assert!((25..=36).contains(&drawn), "{drawn} frames in a second of data");
        let mut acked = 0;
        while let Ok(request) = stand.far.requests.try_recv() {
            if let Request::Ack { seq } = request {
                assert!(seq > acked);
                acked = seq;
            }
        }
        assert_eq!(acked, 1000, "the last frame is drawn and acknowledged");
        stand.key(KeyCode::Char('q'));
    })
    .await;
    assert_eq!(reason, ExitReason::Quit);
}

#[tokio::test(start_paused = true)]
async fn an_idle_overview_hardly_draws() {
    with(|mut stand| async move {
        let id = stand.store_id().await;
        stand.frame(1, id);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let before = stand.seen.borrow().drawn;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let drawn = stand.seen.borrow().drawn - before;
        assert!(drawn <= 12, "{drawn} frames in an idle minute");
        stand.key(KeyCode::Char('q'));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_leaves_when_told_from_outside_or_when_the_terminal_goes() {
    let reason = with(|stand| async move {
        let Stand { seen, far, keys, progress, quit } = stand;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let before = seen.borrow().drawn;
        progress.send("sorting 43 %".to_owned()).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(seen.borrow().drawn > before, "progress is shown");
        quit.send(true).unwrap();
        quit.closed().await;
        drop((far, keys));
    })
    .await;
    assert_eq!(reason, ExitReason::Closed);
    let reason = with(|stand| async move {
        let Stand { far, keys, progress, quit, .. } = stand;
        drop(keys);
        quit.closed().await;
        drop((far, progress));
    })
    .await;
    assert_eq!(reason, ExitReason::Hangup);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_ended_leaves_the_dashboard_usable() {
    let reason = with(|stand| async move {
        let Stand { far, keys, quit, progress, .. } = stand;
        drop((far, progress));
        tokio::time::sleep(Duration::from_millis(50)).await;
        keys.send(Event::Key(KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE))).unwrap();
        quit.closed().await;
    })
    .await;
    assert_eq!(reason, ExitReason::Quit);
}

/// A recording's link that notes which instant its rows are of.
struct Sought(Rc<RefCell<Option<u64>>>);

impl Link for Sought {
    fn send(&mut self, _request: Request) {}

    async fn next(&mut self) -> Option<LinkEvent> {
        std::future::pending().await
    }

    fn ready(&mut self) -> Option<LinkEvent> {
        None
    }

    fn seek(&mut self, at_ms: u64) {
        *self.0.borrow_mut() = Some(at_ms);
    }
}

#[tokio::test(start_paused = true)]
async fn a_recording_that_is_stopped_shows_the_rows_of_the_instant_that_it_names() {
    let (seen, sought) = (Rc::new(RefCell::new(Seen::default())), Rc::new(RefCell::new(None)));
    let (keys, typed) = mpsc::unbounded_channel();
    let mut screen = Counting { seen: seen.clone(), keys: Some(typed) };
    let mut timeline = Timeline::default();
    (timeline.begin_ms, timeline.end_ms) = (1_000_000, 1_600_000);
    let begun = tokio::time::Instant::now();
    let clock = move || 9_000_000 + begun.elapsed().as_millis() as u64;
    let mut link = Sought(sought.clone());
    let app = App::new(Settings::default()).of_recording(timeline);
    let press = |code| keys.send(Event::Key(KeyEvent::new(code, KeyModifiers::NONE))).unwrap();
    let play = async {
        press(KeyCode::Home);
        press(KeyCode::Char('+'));
        press(KeyCode::Char(' '));
        // Between two of its steps.
        tokio::time::sleep(Duration::from_millis(1_055)).await;
        press(KeyCode::Char(' '));
        tokio::time::sleep(Duration::from_millis(500)).await;
        let shown = seen.borrow().shown_ms;
        assert!(shown.is_some_and(|at_ms| at_ms > 1_001_000), "it played: {shown:?}");
        assert_eq!(*sought.borrow(), shown);
        press(KeyCode::Char('q'));
    };
    let (reason, ()) = tokio::join!(run(app, &mut link, &mut screen, Outside::default(), clock), play);
    assert_eq!(reason.unwrap(), ExitReason::Quit);
}

// By a real clock: one that stands still while the loop turns is never late.
#[tokio::test]
async fn the_loop_does_not_turn_while_a_frame_is_due() {
    with(|stand| async move {
        stand.key(KeyCode::Char('2'));
        tokio::time::sleep(Duration::from_millis(100)).await;
        let drawn = || stand.seen.borrow().drawn;
        let looked = || stand.seen.borrow().looked.load(Relaxed);
        let before = (drawn(), looked());
        while drawn() < before.0 + 3 {
            // Whoever waits here has the loop looked at, too.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let (drawn, looked) = (drawn() - before.0, looked() - before.1);
        assert!(looked <= 30 * drawn, "looked {looked} times for {drawn} frames");
        stand.key(KeyCode::Char('q'));
    })
    .await;
}
