//! The second part: agents die under load. Everybody is told at once, and nothing of it is left once the next agent has started.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use plasmon::{Info, Options};
use rustix::process::Signal;

use crate::fleet::{Driver, Heard};
use crate::labels::LABELS;
use crate::labour::{Hand, Order, Word};
use crate::plan::{Errand, Plan};
use crate::procs;
use crate::storage::{self, Faults, Storage};
use crate::support::{Random, sessions};
use crate::tally::Tally;
use crate::trouble::AGENT_IS_MORTAL;

/// Drivers at work at once, beside this process.
const DRIVERS: usize = 2;
/// The store's size, bytes: with external storage, and without.
const STORES: (u64, u64) = (2 << 20, 32 << 20);
/// Objects that this process holds for long: more bytes than fit into the smaller one.
const STOCKED: usize = 24;
/// How long anybody may take for what follows from the agent's death.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the load may take to reach a labelled point, before the agent is killed anyway.
const LABEL: Duration = Duration::from_secs(2);

/// Kills as many agents as the plan says.
///
/// # Errors
/// The broken promise.
pub(crate) fn run(plan: Plan, directory: &Path, tally: &mut Tally) -> Result<(), String> {
    AGENT_IS_MORTAL.store(true, Ordering::Relaxed);
    let mut random = Random(plan.seed ^ 0xa6e7);
    crate::midway::run(directory)?;
    let mut dead = sessions(directory).pop();
    let mut own = None::<(usize, usize)>;
    let mut faults = Faults::new(directory);
    for round in 0..plan.agents {
        let at = |what: String| format!("agent {round}: {what}");
        let info = start(storage(random.next()), directory, dead.as_deref()).map_err(at)?;
        if random.below(4) == 0 {
            faults.turn(&mut random);
        }
        // Every second agent dies at a point that a driver or one of its workers passes.
        let label = (round % 2 == 1).then(|| LABELS[(random.next() % LABELS.len() as u64) as usize]);
        let order = label.map(|label| format!("{}:{}", label.order(&mut random), info.agent_pid));
        kill(&info, order, directory, &mut random, tally).map_err(at)?;
        tally.swept += storage::files(directory).len() as u64;
        faults.end();
        // This process itself is as it was.
        let now = (procs::descriptors(std::process::id()).len(), procs::threads(std::process::id()).len());
        match own {
            None => own = Some(now),
            Some(before) => eventually(|| {
                let now = (procs::descriptors(std::process::id()).len(), procs::threads(std::process::id()).len());
                if now == before { Ok(()) } else { Err(format!("this process has {now:?} descriptors and threads instead of {before:?}")) }
            })
            .map_err(at)?,
        }
        dead = Some(info.session);
        tally.round_of_agents();
    }
    // The last one is swept by an agent that ends well.
    let last = start(storage(random.next()), directory, dead.as_deref())?;
    plasmon::shutdown().map_err(|error| format!("the last agent does not end: {error}"))?;
    if last.session.exists() {
        return Err("the last agent left its session".to_owned());
    }
    swept(directory, &storage::directories(directory))?;
    (0..plan.agents / 5).try_for_each(|round| {
        kill_starter(directory, &mut random).map_err(|what| format!("starter {round}: {what}"))?;
        tally.starters += 1;
        Ok(())
    })
}

/// An agent of one's own, for a short life.
pub(crate) fn own(storage: Storage, directory: &Path) -> Options {
    storage.agent(directory, 2.0, STORES.0, STORES.1)
}

/// External storage of one of them: one in three has none.
pub(crate) fn storage(seed: u64) -> Storage {
    Storage::any(&mut Random(seed ^ 0xd15c), 3)
}

/// A driver that started an agent dies under load: the agent ends with it, leaves nothing, and others are told.
fn kill_starter(directory: &Path, random: &mut Random) -> Result<(), String> {
    let mut starter = Driver::start(&Errand { seed: random.next(), mortal: true, session: None }, None, directory);
    at_rest(&mut starter)?;
    let session = sessions(directory).pop();
    let mut other = Driver::start(&Errand { seed: random.next(), mortal: true, session }, None, directory);
    // One that comes when the agent ends already is turned away instead.
    at_rest(&mut other)?;
    starter.tell(Order::Go);
    other.tell(Order::Go);
    std::thread::sleep(Duration::from_micros(random.below(100_000)));
    starter.kill();
    told(&mut other)?;
    eventually(|| nothing_left(directory))?;
    eventually(|| swept(directory, &storage::directories(directory)))?;
    eventually(|| if sessions(directory).is_empty() { Ok(()) } else { Err(format!("left {:?}", sessions(directory))) })
}

/// A driver is connected, and has come to rest.
fn at_rest(driver: &mut Driver) -> Result<(), String> {
    driver.tell(Order::Rest);
    match driver.hear(PATIENCE) {
        Heard::Word(Word::Holds(..)) => Ok(()),
        other => Err(format!("driver {} does not start: {other:?}", driver.pid())),
    }
}

/// A driver says that the agent is gone, and ends.
fn told(driver: &mut Driver) -> Result<(), String> {
    let pid = driver.pid();
    match driver.hear(PATIENCE) {
        Heard::Word(Word::AgentDied) => {}
        other => return Err(format!("driver {pid} was told {other:?} instead of the agent's death")),
    }
    match driver.hear(PATIENCE) {
        Heard::Ended(status) if status.success() => Ok(()),
        other => Err(format!("driver {pid} did not end well: {other:?}")),
    }
}

/// No process of the campaign but this one and its guard.
fn nothing_left(directory: &Path) -> Result<(), String> {
    let own = std::process::id();
    let left: Vec<_> = procs::all()
        .into_iter()
        .filter(|process| process.pid != own && (process.parent == own || procs::is_marked(process.pid, directory)))
        .collect();
    if left.is_empty() { Ok(()) } else { Err(format!("left {left:?}")) }
}

/// Starts an agent, which sweeps what the one before has left.
fn start(storage: Storage, directory: &Path, dead: Option<&Path>) -> Result<Info, String> {
    if dead.is_some_and(|dead| !dead.exists()) {
        return Err("the dead agent's session went by itself".to_owned());
    }
    let before = storage::directories(directory);
    let info = own(storage, directory).init().map_err(|error| format!("no agent: {error}"))?;
    swept(directory, &before)?;
    let found = sessions(directory);
    if found == [info.session.clone()] { Ok(info) } else { Err(format!("sessions {found:?} instead of {:?}", info.session)) }
}

/// Nothing is left of the spill files of dead agents.
fn swept(directory: &Path, dead: &[PathBuf]) -> Result<(), String> {
    let left: Vec<_> = dead.iter().filter(|path| path.exists()).collect();
    if left.is_empty() { Ok(()) } else { Err(format!("spill files in {left:?} outlived the next start: {:?}", storage::files(directory))) }
}

fn kill(info: &Info, order: Option<String>, directory: &Path, random: &mut Random, tally: &mut Tally) -> Result<(), String> {
    let hand = Hand::start(random.next(), STOCKED);
    hand.tell(Order::Go);
    let mut drivers: Vec<Driver> = (0..DRIVERS)
        .map(|_| {
            let errand = Errand { seed: random.next(), mortal: true, session: Some(info.session.clone()) };
            let mut driver = Driver::start(&errand, order.clone(), directory);
            driver.tell(Order::Go);
            driver
        })
        .collect();
    let moment = match order {
        Some(_) => LABEL,
        None => Duration::from_micros(random.below(150_000)),
    };
    let deadline = Instant::now() + moment;
    let lives = |pid| procs::read(pid).is_some_and(|process| !process.zombie);
    while lives(info.agent_pid) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1).min(moment));
    }
    tally.agents += 1;
    tally.agents_at_points += u64::from(!lives(info.agent_pid));
    procs::signal_child(info.agent_pid, std::process::id(), Signal::KILL);
    match hand.word(PATIENCE) {
        Some(Word::AgentDied) => hand.leave(),
        other => return Err(format!("this process was told {other:?} instead of the agent's death")),
    }
    drivers.iter_mut().try_for_each(told)?;
    drop(drivers);
    plasmon::shutdown().map_err(|error| format!("no end: {error}"))?;
    // Workers end by themselves; nobody tells them to.
    eventually(|| nothing_left(directory))
}

fn eventually(mut holds: impl FnMut() -> Result<(), String>) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match holds() {
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
            done => return done,
        }
    }
}
