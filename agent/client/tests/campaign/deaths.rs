//! The first part: workers and drivers die under load, and after every round nothing may be lost and nothing left.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use plasmon::Info;
use rustix::process::Signal;

use crate::board::Board;
use crate::census::Census;
use crate::content::Ids;
use crate::fleet::{Driver, Heard, log_of_deaths};
use crate::labels::{LABELS, Label};
use crate::labour::{Hand, Order, Word};
use crate::load::Counts;
use crate::plan::{Errand, Plan};
use crate::procs;
use crate::storage::{Faults, Storage};
use crate::support::Random;
use crate::tally::Tally;
use crate::tasks::{mix, mixed};

/// Drivers at work at once, beside this process.
const DRIVERS: usize = 4;
/// Threads at work in this process, which is never killed.
const HANDS: usize = 2;
/// Objects that each of these holds for long: more bytes than fit into the store.
const STOCKED: usize = 36;
/// Kills in a round, at least: long campaigns have longer ones.
const ROUND: u64 = 40;
/// Rounds of a campaign, at most, beside those for single points.
const ROUNDS: u64 = 200;
/// The store's size, bytes: so small that much of what is held is in no memory; without external storage, that memory is short now and
/// then.
const STORES: (u64, u64) = (6 << 20, 64 << 20);
/// How long anybody may take to come to rest.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much processor time drivers get to come to a point at which they were told to die, and how long they may take to get it: on a machine
/// that has others to serve, a minute may be too little for what takes a second.
const WORK: Duration = Duration::from_secs(10);
const MOST: Duration = Duration::from_secs(600);

/// The first part of a campaign, under way.
struct Deaths<'a> {
    random: Random,
    directory: PathBuf,
    info: Info,
    storage: Storage,
    faults: Faults,
    drivers: Vec<Driver>,
    hands: Vec<Hand>,
    tally: &'a mut Tally,
    /// Labels that were ordered, in turn.
    turn: usize,
    /// This process's descriptors and threads.
    own: Option<(usize, Vec<String>)>,
}

/// Kills until the plan is fulfilled.
///
/// # Errors
/// The broken promise.
pub(crate) fn run(plan: Plan, directory: PathBuf, tally: &mut Tally) -> Result<(), String> {
    let storage = Storage::any(&mut Random(plan.seed), 4);
    println!("campaign: {storage:?}");
    let info = storage.agent(&directory, 3.0, STORES.0, STORES.1).init().map_err(|error| format!("no agent: {error}"))?;
    let mut idle = None;
    let add_worker = || assert_eq!(plasmon::get(&mix.remote(1).expect("a task")), Ok(mixed(1)));
    let errand = Errand { seed: 0, mortal: false, session: Some(info.session.clone()) };
    let add_driver = || {
        let mut driver = Driver::start(&errand, None, &directory);
        driver.tell(Order::Rest);
        assert!(matches!(driver.hear(PATIENCE), Heard::Word(Word::Holds(..))), "a driver answers");
        idle = Some(driver);
    };
    let mut census = Census::begin(&info, storage, &directory, add_worker, add_driver);
    drop(idle);
    census.check(&BTreeSet::new(), &Ids::new())?;
    tally.heap_before = census.agent_heap();
    let mut random = Random(plan.seed);
    let hands = (0..HANDS).map(|_| Hand::start(random.next(), STOCKED)).collect();
    let faults = Faults::new(&directory);
    let mut deaths = Deaths { random, directory, info, storage, faults, drivers: Vec::new(), hands, tally, turn: 0, own: None };
    deaths.hands.iter().for_each(|hand| hand.tell(Order::Go));
    let (mut board, mut goal) = (Board::new()?, 0);
    // The last round is for the points where nobody has died by chance.
    while goal < plan.kills || !deaths.missed().is_empty() {
        if goal < plan.kills {
            goal = plan.kills.min(goal + ROUND.max(plan.kills / ROUNDS));
            deaths.round(goal)?;
        } else {
            deaths.die_everywhere()?;
        }
        deaths.faults.end();
        let began = Instant::now();
        let held = loop {
            let (mut held, alive) = deaths.rest().map_err(|wrong| format!("{wrong}\n{}", census.picture()))?;
            census.calm()?;
            held.extend(board.settle()?);
            if census.check(&alive, &held).map_err(|wrong| format!("after {} kills: {wrong}", deaths.tally.kills()))? {
                break held;
            }
        };
        deaths.check_self()?;
        let moved = census.moved;
        if storage.is_on() && (moved.0 <= deaths.tally.spilled || moved.1 <= deaths.tally.restored) {
            return Err(format!("a round passed in which nothing was spilled or nothing restored: {moved:?} bytes"));
        }
        (deaths.tally.spilled, deaths.tally.restored) = moved;
        deaths.tally.resting += began.elapsed();
        deaths.tally.round(held.len(), deaths.labelled());
        deaths.go_on();
    }
    let Deaths { drivers, hands, faults, tally, .. } = deaths;
    tally.faults = faults.times;
    drop(drivers);
    hands.into_iter().for_each(Hand::leave);
    board.end()?;
    census.check(&BTreeSet::new(), &Ids::new()).map_err(|wrong| format!("at the end: {wrong}"))?;
    tally.heap_after = census.agent_heap();
    drop(census);
    plasmon::shutdown().map_err(|error| format!("the agent does not end: {error}"))
}

impl Deaths<'_> {
    /// Kills at random moments until there were `goal` kills in all.
    fn round(&mut self, goal: u64) -> Result<(), String> {
        let mut workers: Vec<u32> = Vec::new();
        let faulty = self.storage.is_on() && self.random.below(3) == 0;
        let (mut looked, mut killed) = (None::<Instant>, BTreeSet::new());
        while self.tally.at_random() < goal {
            self.replace_the_dead()?;
            if faulty {
                self.faults.turn(&mut self.random);
            }
            std::thread::sleep(Duration::from_micros(self.random.below(self.tally.pace_us)));
            if looked.is_none_or(|at| at.elapsed() > Duration::from_millis(20)) {
                workers = procs::children(self.info.agent_pid).iter().map(|process| process.pid).collect();
                workers.retain(|pid| !killed.contains(pid));
                looked = Some(Instant::now());
            }
            let of_worker = self.random.below(3) > 0 && !workers.is_empty();
            let victims = if of_worker { workers.len() } else { self.drivers.len() };
            let victim = self.random.below(victims as u64) as usize;
            let (pid, parent) = match of_worker {
                true => (workers.swap_remove(victim), self.info.agent_pid),
                false => (self.drivers[victim].pid(), std::process::id()),
            };
            // Some stand still before they die.
            if self.random.below(10) == 0 && procs::signal_child(pid, parent, Signal::STOP) {
                std::thread::sleep(Duration::from_micros(self.random.below(10_000)));
            }
            if !of_worker {
                self.tally.drivers += u64::from(self.drivers[victim].kill());
            } else if procs::signal_child(pid, parent, Signal::KILL) {
                killed.insert(pid);
                self.tally.workers += 1;
            }
        }
        self.replace_the_dead()
    }

    /// Somebody dies at every point where nobody has died yet.
    fn die_everywhere(&mut self) -> Result<(), String> {
        for label in LABELS {
            let began = Instant::now();
            let mut driver = None;
            // What those had that were told to die here, and what the present one has.
            let (mut before, mut had) = (Duration::ZERO, Duration::ZERO);
            while !lines(&self.directory).contains(&label.line()) {
                if before + had >= WORK || began.elapsed() >= MOST {
                    let (line, took) = (label.line(), began.elapsed());
                    return Err(format!("nobody died at the point {line} in {:?} of processor time, within {took:?}", before + had));
                }
                self.replace_the_dead()?;
                let one = driver.get_or_insert_with(|| self.ordered(Some(label.at_once())));
                if label.line() == "driver bye_said" {
                    one.tell(Order::Leave);
                }
                had = had.max(procs::processor_time(one.pid()));
                if one.has_ended()? {
                    driver = None;
                    before += std::mem::take(&mut had);
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        Ok(())
    }

    /// There are always as many drivers; those that died at a point, or were killed, are replaced.
    fn replace_the_dead(&mut self) -> Result<(), String> {
        while self.drivers.len() < DRIVERS {
            let driver = self.start();
            self.drivers.push(driver);
        }
        for index in 0..self.drivers.len() {
            if self.drivers[index].has_ended()? {
                self.drivers[index] = self.start();
            }
        }
        Ok(())
    }

    /// A driver; every second one with an order to die at a point, or to let its workers die there.
    fn start(&mut self) -> Driver {
        let order = (self.random.below(2) == 0).then(|| {
            self.turn += 1;
            LABELS[self.turn % LABELS.len()].order(&mut self.random)
        });
        self.ordered(order)
    }

    /// A driver at work, with this order.
    fn ordered(&mut self, order: Option<String>) -> Driver {
        let errand = Errand { seed: self.random.next(), mortal: false, session: Some(self.info.session.clone()) };
        let mut driver = Driver::start(&errand, order, &self.directory);
        driver.tell(Order::Go);
        driver
    }

    /// Everybody comes to rest: all objects that are held, and the drivers that live.
    fn rest(&mut self) -> Result<(Ids, BTreeSet<u32>), String> {
        self.hands.iter().for_each(|hand| hand.tell(Order::Rest));
        self.drivers.iter_mut().for_each(|driver| driver.tell(Order::Rest));
        let (mut held, mut alive) = (Ids::new(), BTreeSet::new());
        let mut note = |tally: &mut Tally, ids: Ids, counts: Counts| {
            tally.verified += counts.verified;
            tally.refused += counts.refused;
            tally.full += counts.full;
            held.extend(ids);
        };
        for hand in &self.hands {
            match hand.word(PATIENCE) {
                Some(Word::Holds(ids, counts)) => note(self.tally, ids, counts),
                other => return Err(format!("the keeper did not come to rest: {other:?}")),
            }
        }
        for driver in &mut self.drivers {
            let pid = driver.pid();
            match driver.hear(PATIENCE) {
                Heard::Word(Word::Holds(ids, counts)) => {
                    note(self.tally, ids, counts);
                    alive.insert(pid);
                }
                Heard::Ended(status) if driver.may_end(status) => {}
                other => return Err(format!("driver {pid} ({:?}) did not come to rest: {other:?}", driver.order)),
            }
        }
        Ok((held, alive))
    }

    /// This process has as many descriptors and threads as after the first round.
    fn check_self(&mut self) -> Result<(), String> {
        let own = std::process::id();
        let now = (procs::descriptors(own).len(), procs::threads(own));
        let before = self.own.get_or_insert_with(|| now.clone());
        if now == *before { Ok(()) } else { Err(format!("this process has {now:?} descriptors and threads instead of {before:?}")) }
    }

    fn go_on(&mut self) {
        self.hands.iter().for_each(|hand| hand.tell(Order::Go));
        for driver in &mut self.drivers {
            // Some leave as programs should: that is where one point is, and it must leave as little.
            let leaves = driver.order.is_some() && self.random.below(2) == 0;
            driver.tell(if leaves { Order::Leave } else { Order::Go });
        }
    }

    /// Deaths at labelled points so far.
    fn labelled(&self) -> u64 {
        lines(&self.directory).len() as u64
    }

    /// Points where nobody has died.
    fn missed(&self) -> Vec<String> {
        let died = lines(&self.directory);
        LABELS.iter().map(|label| Label::line(*label)).filter(|line| !died.contains(line)).collect()
    }
}

fn lines(directory: &std::path::Path) -> Vec<String> {
    let log = std::fs::read_to_string(log_of_deaths(directory)).unwrap_or_default();
    log.lines().map(str::to_owned).collect()
}
