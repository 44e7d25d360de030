//! Threads at work: a load that goes on until somebody wants to know, in a driver of its own or in the keeper.

use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use plasmon::Options;

use crate::content::Ids;
use crate::load::{Counts, Load};
use crate::plan::Errand;
use crate::trouble::{AGENT_IS_MORTAL, Trouble};

/// Objects of some size that a driver holds for long.
const STOCKED: usize = 4;

/// What somebody at work is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// Come to rest, and tell what is held.
    Rest,
    /// Go on.
    Go,
    /// Let everything go, and end.
    Leave,
}

/// What somebody at work tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Word {
    /// At rest, with these objects; what happened since the last rest.
    Holds(Ids, Counts),
    /// Found the agent dead, and everything as it must be then.
    AgentDied,
    /// A promise was broken.
    Wrong(String),
}

/// Works, from its first order until it is told to leave or the other side is gone.
fn labour(mut load: Load, orders: &Receiver<Order>, mut tell: impl FnMut(Word)) {
    let mut order = orders.recv().map_err(|_| TryRecvError::Disconnected);
    loop {
        let done = match order {
            Ok(Order::Leave) | Err(TryRecvError::Disconnected) => return,
            Ok(Order::Rest) => load.settle().map(|ids| {
                tell(Word::Holds(ids, std::mem::take(&mut load.counts)));
                order = orders.recv().map_err(|_| TryRecvError::Disconnected);
                load.sell();
            }),
            Ok(Order::Go) | Err(TryRecvError::Empty) => load.step().map(|()| order = orders.try_recv()),
        };
        match done {
            Ok(()) => {}
            Err(Trouble::Typed(_)) => {
                return tell(match load.without_agent() {
                    Ok(()) => Word::AgentDied,
                    Err(what) => Word::Wrong(what),
                });
            }
            Err(Trouble::Wrong(what)) => return tell(Word::Wrong(what)),
        }
    }
}

/// A thread at work in this process.
pub(crate) struct Hand {
    orders: Sender<Order>,
    words: Receiver<Word>,
    thread: Option<JoinHandle<()>>,
}

impl Hand {
    pub(crate) fn start(seed: u64, stocked: usize) -> Self {
        let ((orders, inbox), (outbox, words)) = (channel(), channel());
        let thread = std::thread::spawn(move || {
            labour(Load::new(seed, stocked), &inbox, |word| {
                // The other side has failed already when it does not listen.
                let _ = outbox.send(word);
            });
        });
        Self { orders, words, thread: Some(thread) }
    }

    pub(crate) fn tell(&self, order: Order) {
        // One that has ended said why.
        let _ = self.orders.send(order);
    }

    /// Its next word; `None` when it takes longer than `limit`, or has ended without one.
    pub(crate) fn word(&self, limit: Duration) -> Option<Word> {
        self.words.recv_timeout(limit).ok()
    }

    /// Waits until it has let everything go.
    pub(crate) fn leave(mut self) {
        self.tell(Order::Leave);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the load does not panic");
        }
    }
}

/// The whole life of a driver. Orders are lines on its standard input, words lines on its standard output.
pub(crate) fn driver(errand: &Errand) -> ExitCode {
    AGENT_IS_MORTAL.store(errand.mortal, std::sync::atomic::Ordering::Relaxed);
    let (orders, inbox) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let order = match line.as_deref() {
                Ok("rest") => Order::Rest,
                Ok("go") => Order::Go,
                _ => Order::Leave,
            };
            if orders.send(order).is_err() {
                break;
            }
        }
    });
    let mut wrong = false;
    let mut tell = |word: Word| {
        wrong |= matches!(word, Word::Wrong(_));
        let mut output = std::io::stdout().lock();
        // Nobody listens any more: then the end is near anyway.
        let _ = writeln!(output, "{}", word.line()).and_then(|()| output.flush());
    };
    let options = match &errand.session {
        Some(session) => Options::new().address(session),
        None => crate::agents::own(crate::agents::storage(errand.seed), &crate::support::directory()),
    };
    match options.init() {
        Ok(_) => labour(Load::new(errand.seed, STOCKED), &inbox, &mut tell),
        Err(plasmon::Error::Connect { .. } | plasmon::Error::AgentDied { .. }) if errand.mortal => tell(Word::AgentDied),
        Err(error) => tell(Word::Wrong(format!("cannot connect: {error}"))),
    }
    if let Err(error) = plasmon::shutdown() {
        tell(Word::Wrong(format!("cannot disconnect: {error}")));
    }
    if wrong { ExitCode::from(3) } else { ExitCode::SUCCESS }
}

impl Word {
    /// As a driver's line.
    fn line(&self) -> String {
        match self {
            Self::Holds(ids, Counts { verified, refused, full }) => {
                let ids: Vec<String> = ids.iter().map(plasmon::ObjectId::hex).collect();
                format!("holds {verified} {refused} {full} {}", ids.join(","))
            }
            Self::AgentDied => "agent died".to_owned(),
            Self::Wrong(what) => format!("wrong {}", what.replace('\n', " ")),
        }
    }

    /// What a driver's line says.
    pub(crate) fn parse(line: &str) -> Self {
        let holds = || {
            let mut parts = line.strip_prefix("holds ")?.split(' ');
            let mut count = || parts.next()?.parse().ok();
            let counts = Counts { verified: count()?, refused: count()?, full: count()? };
            let ids = parts.next()?.split(',').filter(|id| !id.is_empty()).map(|id| id.parse().ok()).collect::<Option<_>>()?;
            Some(Self::Holds(ids, counts))
        };
        match line {
            "agent died" => Self::AgentDied,
            _ => holds().unwrap_or_else(|| Self::Wrong(line.strip_prefix("wrong ").unwrap_or(line).to_owned())),
        }
    }
}
