//! Programs beside the benchmark: processes of their own, each with a connection of its own, that do what they are told line by line.

use std::fmt;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::str::FromStr;

use plasmon::{ObjectRef, get, put};
use plasmon_memory::process::Pidfd;
use rustix::time::{ClockId, clock_gettime};

use crate::daemon::Daemon;
use crate::shared::{copy, resident, source};
use crate::tasks::nothing;
use crate::{Outcome, ROLE};

/// What a program can be told to do so many times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// Put, and hold.
    Hold,
    /// Put, and hold until it has answered.
    Put,
    /// Put and drop.
    PutDrop,
    /// Get an object that it holds, and drop the view.
    Get,
    /// Let go of something that it holds, and hold something else.
    Change,
    /// Submit a task; then get all the results.
    Task,
    /// Copy as a put does, and no more: for the floor of what others do at once.
    Copy,
}

const WORDS: [(&str, Order); 7] = [
    ("hold", Order::Hold),
    ("put", Order::Put),
    ("put-drop", Order::PutDrop),
    ("get", Order::Get),
    ("change", Order::Change),
    ("task", Order::Task),
    ("copy", Order::Copy),
];

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(WORDS.iter().find(|(_, order)| order == self).map_or("", |(word, _)| word))
    }
}

impl FromStr for Order {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        WORDS.iter().find(|(known, _)| *known == word).map(|(_, order)| *order).ok_or_else(|| format!("no order '{word}'"))
    }
}

/// One program, which ends when this is dropped.
pub(crate) struct Program {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Program {
    /// One that is connected.
    pub(crate) fn start(daemon: &Daemon) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.env(ROLE, "program").env("PLASMON_ADDRESS", daemon.session());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let answers = BufReader::new(child.stdout.take().ok_or("a program without output")?);
        let mut program = Self { child, answers };
        program.answer()?;
        Ok(program)
    }

    /// One that holds so many references.
    pub(crate) fn holding(daemon: &Daemon, count: usize) -> Outcome<Self> {
        let mut program = Self::start(daemon)?;
        program.work(Order::Hold, count)?;
        Ok(program)
    }

    /// Has it do something so many times.
    pub(crate) fn work(&mut self, order: Order, count: usize) -> Outcome<()> {
        self.tell(order, count)?;
        self.answer()?;
        Ok(())
    }

    fn tell(&mut self, order: Order, count: usize) -> Outcome<()> {
        Ok(writeln!(self.child.stdin.as_ref().ok_or("a program without input")?, "{order} {count}")?)
    }

    /// When it began and when it had done, nanoseconds of the monotonic clock.
    fn answer(&mut self) -> Outcome<(u64, u64)> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err("a program ended".into());
        }
        let (begin, end) = line.trim().split_once(' ').ok_or("half an answer")?;
        Ok((begin.parse()?, end.parse()?))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it; what tells when it is gone.
    pub(crate) fn kill(&mut self) -> Outcome<Pidfd> {
        let process = Pidfd::open(self.child.id())?;
        self.child.kill()?;
        Ok(process)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It ends with its input.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Has all of them do something so many times, at once. Nanoseconds from the first one's begin to the last one's end, for each time.
pub(crate) fn together(programs: &mut [Program], order: Order, count: usize) -> Outcome<f64> {
    programs.iter_mut().try_for_each(|program| program.tell(order, count))?;
    let answers: Vec<(u64, u64)> = programs.iter_mut().map(Program::answer).collect::<Outcome<_>>()?;
    let begin = answers.iter().map(|(begin, _)| *begin).min().ok_or("no programs")?;
    let end = answers.iter().map(|(_, end)| *end).max().ok_or("no programs")?;
    Ok(end.saturating_sub(begin) as f64 / (count * programs.len()) as f64)
}

/// The same of the first programs alone, while the last one copies so many times.
pub(crate) fn together_beside(programs: &mut [Program], order: Order, count: usize, beside: usize) -> Outcome<f64> {
    let (last, programs) = programs.split_last_mut().ok_or("no programs")?;
    last.tell(Order::Copy, beside)?;
    let took = together(programs, order, count);
    last.answer()?;
    took
}

/// What a re-executed benchmark does as a program.
pub(crate) fn run() -> ExitCode {
    match obey() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn obey() -> Outcome<()> {
    plasmon::init()?;
    let source = source(64);
    let mut memory = resident(64 << 12)?;
    let mut held: Vec<ObjectRef<[u8]>> = Vec::new();
    let mut next = 0;
    println!("0 0");
    for line in std::io::stdin().lines() {
        let line = line?;
        let (order, count) = line.split_once(' ').ok_or("an order without a count")?;
        let (order, count): (Order, usize) = (order.parse()?, count.parse()?);
        let mut until_answered = Vec::with_capacity(if order == Order::Put { count } else { 0 });
        let begin = now_ns();
        match order {
            Order::Hold => {
                for _ in 0..count {
                    held.push(put(&source[..])?);
                }
            }
            Order::Put => {
                for _ in 0..count {
                    until_answered.push(put(black_box(&source[..]))?);
                }
            }
            Order::PutDrop => (0..count).try_for_each(|_| put(black_box(&source[..])).map(drop))?,
            Order::Get => {
                for reference in held.iter().cycle().take(count) {
                    black_box(get(black_box(reference))?[0]);
                }
            }
            Order::Change => {
                for _ in 0..count {
                    next = (next + 7919) % held.len();
                    held[next] = put(&source[..])?;
                }
            }
            Order::Task => {
                let results = (0..count).map(|_| nothing.remote()).collect::<Result<Vec<_>, _>>()?;
                results.iter().try_for_each(|result| get(result).map(drop))?;
            }
            Order::Copy => (0..count).try_for_each(|_| copy(&mut memory, black_box(&source)))?,
        }
        println!("{begin} {}", now_ns());
        drop(until_answered);
    }
    // What is left goes with the process.
    std::mem::forget(held);
    Ok(())
}

fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}
