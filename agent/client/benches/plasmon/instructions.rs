//! Instructions of the hot paths, counted by callgrind: a figure that no busy machine changes, so a test can ask for it. `make
//! instructions` compares each with what is written in `instructions.txt` for this compiler, C library and kind of processor, and fails
//! when one is more than 5 % off: slower is a regression, faster wants to be kept. `BLESS=1` writes the file anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use plasmon::{ObjectRef, Pinned, get, put};
use plasmon_memory::link::{AgentLink, ClientLink};
use plasmon_memory::ring::{Consumer, Producer};
use plasmon_protocol::local::ToAgent;

use rustix::process::{Pid, Signal, kill_process};

use crate::daemon::{Daemon, rest};
use crate::driver::{Driver, core};
use crate::shared::source;
use crate::{Outcome, ROLE};

/// Of each path, so many: few enough that nothing is asked of the agent and no ring comes round.
const TIMES: usize = 500;
/// So many before, which are not counted.
const WARM: usize = 100;
/// More than it takes to have the lock that puts take, after it was taken away some times.
const TURNS: usize = 2048;
/// How often a path is counted until it is as expected: where the machine kept the agent from its work for long, a put goes another way.
const TRIES: usize = 3;
/// How far a count may be from what is written, percent.
const MARGIN: f64 = 5.0;
const CAPACITY: u64 = 64 << 20;
/// Where a re-executed benchmark finds the agent's process.
const AGENT: &str = "PLASMON_BENCH_AGENT";

/// A path's name, and what walks it; `counted_...` within is what callgrind counts.
type Walk = (&'static str, fn() -> Outcome<()>);

const PATHS: [Walk; 5] =
    [("put 64 B", puts), ("get", gets), ("ring record, written", records), ("ring record, read", frames), ("reactor message", batch)];

/// Counts each path, and compares.
pub(crate) fn check() -> Outcome<ExitCode> {
    let mut probe = Command::new("valgrind");
    probe.args(["--tool=callgrind", "--quiet", "--callgrind-out-file=/dev/null", "true"]);
    if !probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        println!("instructions: not counted, for there is no valgrind with callgrind that works here");
        return Ok(ExitCode::SUCCESS);
    }
    let Some(platform) = platform() else {
        println!("instructions: not counted, for it cannot be told what else they depend on: compiler, C library, processor, RUSTFLAGS");
        return Ok(ExitCode::SUCCESS);
    };
    let scratch = tempfile::Builder::new().prefix("plasmon-bench").tempdir()?;
    let daemon = Daemon::start(scratch.path(), CAPACITY, &[])?;
    let mut counts = BTreeMap::new();
    for (name, _) in PATHS {
        counts.insert(name.to_owned(), count(name, &daemon, scratch.path())?);
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/plasmon/instructions.txt");
    let mut known = read(&std::fs::read_to_string(&file).unwrap_or_default());
    if std::env::var_os("BLESS").is_some() {
        known.insert(platform, counts);
        std::fs::write(&file, write(&known))?;
        return Ok(ExitCode::SUCCESS);
    }
    let Some(expected) = known.get(&platform) else {
        println!("instructions: {counts:?}; not judged, for nothing is written for {platform}; BLESS=1 writes it");
        return Ok(ExitCode::SUCCESS);
    };
    let mut code = ExitCode::SUCCESS;
    for (name, &(mut count)) in &counts {
        let wanted = expected.get(name).copied().unwrap_or(0.0);
        let off = |count: f64| (count / wanted - 1.0) * 100.0;
        for _ in 1..TRIES {
            if off(count).abs() > MARGIN {
                count = self::count(name, &daemon, scratch.path())?;
            }
        }
        let off = off(count);
        println!("instructions: {name:<22}{count:>8.1}, expected {wanted:>8.1}, {off:+.1} %");
        if off.is_nan() || off.abs() > MARGIN {
            code = ExitCode::FAILURE;
        }
    }
    if code == ExitCode::FAILURE {
        eprintln!(
            "error: a hot path is more than {MARGIN} % off\nhint: make instructions BLESS=1 writes the counts anew, if they are to be so"
        );
    }
    Ok(code)
}

/// Instructions of one time.
fn count(name: &str, daemon: &Daemon, scratch: &Path) -> Outcome<f64> {
    let out = scratch.join("callgrind");
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--toggle-collect=*counted_*", "--quiet"]).arg(format!("--callgrind-out-file={}", out.display()));
    command.arg(std::env::current_exe()?).arg(name).env(ROLE, "counted").env("PLASMON_ADDRESS", daemon.session());
    command.env(AGENT, daemon.pid().to_string());
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        return Err(format!("{name}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into());
    }
    let counted = std::fs::read_to_string(out)?;
    let total = counted.lines().find_map(|line| line.strip_prefix("totals:")).ok_or("callgrind has counted nothing")?;
    Ok(total.trim().parse::<f64>()? / TIMES as f64)
}

/// What else the counts depend on; `None` where that cannot be told. The C library chooses its copies by what the processor can do.
fn platform() -> Option<String> {
    if std::env::var("RUSTFLAGS").is_ok_and(|flags| !flags.trim().is_empty()) {
        return None;
    }
    let first = |command: &mut Command| -> Option<String> {
        let output = command.output().ok().filter(|output| output.status.success())?;
        String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
    };
    let compiler = first(Command::new("rustc").arg("--version"))?;
    let library = first(Command::new("getconf").arg("GNU_LIBC_VERSION"))?;
    let compiler = compiler.split_once(" (").map_or(compiler.as_str(), |(version, _)| version);
    let processor = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = |name: &str| processor.lines().find(|line| line.starts_with(name)).and_then(|line| line.split_once(": "));
    let (_, vendor) = line("vendor_id").unwrap_or(("", "unknown"));
    let (_, flags) = line("flags").unwrap_or_default();
    let can: Vec<&str> = ["avx2", "avx512vl", "erms", "fsrm"].into_iter().filter(|flag| flags.split(' ').any(|had| had == *flag)).collect();
    Some(format!("{compiler}, {library}, {}, {vendor} {}", std::env::consts::ARCH, can.join(" ")))
}

/// For each platform its counts: a line with its name in brackets, and one for each path.
fn read(text: &str) -> BTreeMap<String, BTreeMap<String, f64>> {
    let mut all: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
    let mut platform = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            platform = name.to_owned();
        } else if let Some((name, count)) = line.split_once(": ")
            && let Ok(count) = count.trim().parse()
        {
            all.entry(platform.clone()).or_default().insert(name.to_owned(), count);
        }
    }
    all
}

fn write(all: &BTreeMap<String, BTreeMap<String, f64>>) -> String {
    let mut text = String::new();
    for (platform, counts) in all {
        let _ = writeln!(text, "[{platform}]");
        for (name, count) in counts {
            let _ = writeln!(text, "{name}: {count:.1}");
        }
    }
    text
}

/// What a re-executed benchmark does under callgrind.
pub(crate) fn run() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    let Some((_, path)) = PATHS.iter().find(|(known, _)| *known == name) else { return ExitCode::FAILURE };
    match path() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Objects for which chunk and slots are there already.
fn warm(source: &[u8]) -> Outcome<Vec<ObjectRef<[u8]>>> {
    plasmon::init()?;
    let mut warm = Vec::with_capacity(WARM);
    (0..WARM).try_for_each(|_| one_put(source, &mut warm))?;
    rest();
    Ok(warm)
}

/// One place of the program, which the agent is told of once.
fn one_put(source: &[u8], held: &mut Vec<ObjectRef<[u8]>>) -> Outcome<()> {
    held.push(put(black_box(source))?);
    Ok(())
}

fn one_get(reference: &ObjectRef<[u8]>, held: &mut Vec<Pinned<[u8]>>) -> Outcome<()> {
    held.push(get(black_box(reference))?);
    Ok(())
}

fn puts() -> Outcome<()> {
    #[inline(never)]
    fn counted_puts(source: &[u8], held: &mut Vec<ObjectRef<[u8]>>) -> Outcome<()> {
        (0..TIMES).try_for_each(|_| one_put(source, held))
    }
    let source = source(64);
    let mut held = warm(&source)?;
    // As in a loop that puts and drops: what was dropped has left memory for as many references. All of them together are of one block of
    // slots.
    (WARM..TIMES).try_for_each(|_| one_put(&source, &mut held))?;
    held.clear();
    rest();
    // While this thread rested another one may have taken the lock, which becomes this one's again when it takes it so often in a row. What
    // was dropped goes with the next put, and the agent has let go of the oldest by then: there is nothing to take the lock for.
    for turn in 0..TURNS {
        held.clear();
        one_put(&source, &mut held)?;
        if turn % WARM == 0 {
            rest();
        }
    }
    // Whether the agent sleeps, naps or looks by itself is asked in each put. It sleeps, and nothing wakes it.
    rest();
    let agent = agent()?;
    kill_process(agent, Signal::STOP)?;
    let done = counted_puts(&source, &mut held);
    kill_process(agent, Signal::CONT)?;
    done
}

/// The agent's process.
fn agent() -> Outcome<Pid> {
    std::env::var(AGENT)?.parse().ok().and_then(Pid::from_raw).ok_or_else(|| "no agent".into())
}

fn gets() -> Outcome<()> {
    #[inline(never)]
    fn counted_gets(reference: &ObjectRef<[u8]>, held: &mut Vec<Pinned<[u8]>>) -> Outcome<()> {
        (0..TIMES).try_for_each(|_| one_get(reference, held))
    }
    let held = warm(&source(64))?;
    let mut views = Vec::with_capacity(WARM + TIMES);
    (0..WARM).try_for_each(|_| one_get(&held[0], &mut views))?;
    counted_gets(&held[0], &mut views)
}

fn records() -> Outcome<()> {
    #[inline(never)]
    fn counted_records(ring: &mut Producer, record: &[u8]) -> bool {
        (0..TIMES).all(|_| ring.push(black_box(record)))
    }
    let (mut producer, _agent) = ring()?;
    if counted_records(&mut producer, &[7; 16]) { Ok(()) } else { Err("the ring is full".into()) }
}

fn ring() -> Outcome<(Producer, AgentLink)> {
    let agent = AgentLink::create()?;
    let client = ClientLink::open(agent.client_fd().try_clone_to_owned()?, agent.agent_fd()?.try_clone_to_owned()?)?;
    Ok((client.split().0, agent))
}

fn frames() -> Outcome<()> {
    #[inline(never)]
    fn counted_frames(ring: &mut Consumer, buffer: &mut Vec<u8>) -> Outcome<usize> {
        ring.drain(buffer)?;
        let mut bytes = 0;
        for frame in ring.frames(buffer) {
            bytes += black_box(frame?).len();
        }
        Ok(bytes)
    }
    let (mut producer, mut agent) = ring()?;
    let pushed = (0..TIMES).all(|_| producer.push(&[7; 16]));
    let mut buffer = Vec::with_capacity(1 << 20);
    if pushed && counted_frames(agent.consumer(), &mut buffer)? == 16 * TIMES { Ok(()) } else { Err("records are lost".into()) }
}

/// As many puts as drops, in one batch.
fn batch() -> Outcome<()> {
    #[inline(never)]
    fn counted_batch(core: &mut plasmon_agent::reactor::Core, driver: &Driver, messages: Vec<ToAgent<'static>>) -> Outcome<()> {
        driver.take(core, messages)
    }
    let mut core = core();
    let mut driver = Driver::connect(&mut core, TIMES / 2, 1)?;
    let mut messages = || driver.puts().into_iter().chain(driver.drops(true)).collect::<Vec<_>>();
    let (first, second) = (messages(), messages());
    driver.take(&mut core, first)?;
    counted_batch(&mut core, &driver, second)
}
