//! A worker: runs the tasks that the agent sends, one after the other, until it is told to end or becomes an actor.
//!
//! - [`actor`]: the rest of an actor's life.

mod actor;

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, Location};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use plasmon_memory::channel::Channel;
use plasmon_protocol::error::Error;
use plasmon_protocol::id::TaskKey;
use plasmon_protocol::local::{self, Argument, Ending, INLINE, ToAgent, ToClient, Value, Work, cut};
use plasmon_protocol::record::SiteKind;

use crate::cancelled::{self, Begun};
use crate::client::{Client, Sender, can_be_inside};
use crate::connect;
use crate::failpoint::copy;
use crate::heap;
use crate::init;
use crate::object;
use crate::registry::{Call, Failure, Given, Outgoing, REMOTE_FUNCTIONS, RemoteFunction, State};
use crate::request::Answer;
use crate::turn::Turn;
use crate::value::{Fetched, keys};
use crate::writer;

thread_local! {
    /// Where and why this thread panicked last.
    static PANIC: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
}

/// What the worker's main thread runs. What the agent is told of it is sent under this lock, so that a thread that a task left behind
/// cannot speak for the next one.
static TASK: Mutex<Running> = Mutex::new(Running { epoch: 0, reserved: false });

struct Running {
    /// Raised when a task begins and when it ends.
    epoch: u64,
    /// A task runs and its CPU is reserved.
    reserved: bool,
}

fn task() -> MutexGuard<'static, Running> {
    TASK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// While it lives, the running task waits for something, and its CPU serves others.
pub(crate) struct Blocking<'a>(Option<(&'a Client, u64)>);

impl<'a> Blocking<'a> {
    /// The calling thread is about to wait. Does nothing outside of a task, and while another thread of it waits already.
    pub(crate) fn begin(client: &'a Client) -> Self {
        if !client.worker {
            return Self(None);
        }
        let mut task = task();
        if !std::mem::take(&mut task.reserved) {
            return Self(None);
        }
        let _ = client.push_urgent(&ToAgent::Blocked);
        failpoint!("blocked");
        Self(Some((client, task.epoch)))
    }
}

impl Drop for Blocking<'_> {
    fn drop(&mut self) {
        let Some((client, epoch)) = self.0 else { return };
        let mut task = task();
        if task.epoch == epoch {
            let _ = client.push(&ToAgent::Unblocked);
            task.reserved = true;
        }
    }
}

/// A task begins or ends; `message` says so to the agent.
fn turn(client: &Client, reserved: bool, message: &ToAgent<'_>) -> Result<(), Error> {
    if !client.is_here() {
        // A child that the task forked came back out of it; another thread may have held the lock at that moment.
        return Err(client.forked_away());
    }
    let mut task = task();
    task.epoch += 1;
    task.reserved = reserved;
    // Nobody waits for the news that it began.
    if reserved { client.push(message) } else { client.push_urgent(message) }
}

/// The whole life of a worker process.
pub(crate) fn main(channel: Channel) -> ExitCode {
    #[cfg(feature = "failpoints")]
    crate::failpoint::become_worker();
    failpoint!("booted");
    let client = match connect::worker(channel) {
        Ok(client) => client,
        Err(_) => return ExitCode::from(2),
    };
    init::adopt(&client);
    remember_panics();
    let functions: HashMap<&str, &'static RemoteFunction> = REMOTE_FUNCTIONS.iter().map(|function| (function.name, function)).collect();
    let worker = Worker { client: Arc::clone(&client), functions };
    let mut run = 0_u64;
    while let Some(message) = client.inbound.next_task(&client) {
        run += 1;
        let Ok(ToClient::Run { task, work, function, arguments, .. }) = local::decode("the agent", &message) else { break };
        let job = Job { task, work, name: function, arguments: &arguments };
        match (worker.run_unless_withdrawn(&job, run), work) {
            (Ok(Some(state)), Work::Constructor { max_concurrency }) => {
                actor::serve(&worker, state, max_concurrency);
                break;
            }
            (Ok(_), _) => {}
            (Err(_), _) => break,
        }
    }
    client.close();
    ExitCode::SUCCESS
}

/// Panics of tasks are told to whoever asked for their results; the worker's log has them too.
fn remember_panics() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let message = info.payload_as_str().unwrap_or("a panic without a message").to_owned();
        let place =
            info.location().map_or_else(|| "an unknown place".to_owned(), |at| format!("{}:{}:{}", at.file(), at.line(), at.column()));
        // Gone where a destructor panics while its thread ends.
        let _ = PANIC.try_with(|panic| panic.replace(Some((message, place))));
        print(info);
    }));
}

/// What a worker needs to run a task.
struct Worker {
    client: Arc<Client>,
    functions: HashMap<&'static str, &'static RemoteFunction>,
}

/// One task as it was sent.
struct Job<'a> {
    task: TaskKey,
    work: Work,
    name: &'a str,
    arguments: &'a [Argument<'a>],
}

impl Worker {
    /// Runs a task or a constructor, unless the agent has taken it back: then it runs elsewhere.
    fn run_unless_withdrawn(&self, job: &Job<'_>, run: u64) -> Result<Option<State>, Error> {
        let _begun = Begun::new(job.task, job.name, true);
        turn(&self.client, true, &ToAgent::Started { task: job.task })?;
        failpoint!("task_started");
        let withdrawn = self.client.words.is_withdrawn(run);
        let begin = Instant::now();
        let (ending, made) = if withdrawn { (Ending::Withdrawn, None) } else { self.call(job, None, None) };
        self.tell_heap(job, begin)?;
        failpoint!("before_ended");
        turn(&self.client, false, &ToAgent::Ended { task: job.task, ending })?;
        Ok(made)
    }

    /// Runs a call that has the worker for itself: while it waits for something, its CPU serves others.
    fn run_alone(&self, job: &Job<'_>, actor: State) -> Result<(), Error> {
        let _begun = Begun::new(job.task, job.name, true);
        turn(&self.client, true, &ToAgent::Started { task: job.task })?;
        let begin = Instant::now();
        let (ending, _) = self.call(job, Some(actor), None);
        self.tell_heap(job, begin)?;
        failpoint!("before_ended");
        turn(&self.client, false, &ToAgent::Ended { task: job.task, ending })
    }

    /// Tells what a task used of memory that took its time. Called by the thread that ran it, which nobody else's task runs beside.
    fn tell_heap(&self, job: &Job<'_>, begin: Instant) -> Result<(), Error> {
        if begin.elapsed() < heap::WORTH_A_LOOK || !self.client.is_here() {
            return Ok(());
        }
        heap::take_peak().map_or(Ok(()), |bytes| self.client.push(&ToAgent::HeapPeak { task: job.task, bytes }))
    }

    /// Runs a call beside others of the same actor.
    fn run_beside(&self, job: &Job<'_>, actor: State, turn: Turn) -> Result<(), Error> {
        let _begun = Begun::new(job.task, job.name, false);
        self.client.push(&ToAgent::Started { task: job.task })?;
        let (ending, _) = self.call(job, Some(actor), Some(turn));
        failpoint!("before_ended");
        self.client.push_urgent(&ToAgent::Ended { task: job.task, ending })
    }

    fn call(&self, job: &Job<'_>, actor: Option<State>, turn: Option<Turn>) -> (Ending, Option<State>) {
        let client = &self.client;
        if let Err(cancelled) = cancelled::check(client) {
            return (Ending::Refused(cancelled), None);
        }
        let function = self.functions.get(job.name).copied();
        let runner = crate::binding::runner();
        if function.is_none() && runner.is_none() {
            let executable = connect::program_name().unwrap_or_default();
            return (Ending::Refused(Error::UnknownFunction { name: job.name.to_owned(), executable }), None);
        }
        let kind = if job.work == Work::Task { SiteKind::DeserializeTaskArg } else { SiteKind::DeserializeActorTaskArg };
        // Another language's functions say themselves where they are.
        let site = function.map_or(0, |function| client.sites.define_function(client, kind, function));
        // What the call holds is dropped after its results were sent: the references inside them are counted by then.
        let called = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let arguments: Vec<Given> = job.arguments.iter().map(|argument| given(client, argument, site)).collect::<Result<_, _>>()?;
            let mut call = Call {
                client: Arc::clone(client),
                task: job.task,
                site,
                arguments: arguments.into_iter(),
                results: Vec::new(),
                yielded: None,
                held: Vec::new(),
                actor,
                turn,
            };
            match (function, runner) {
                (Some(function), _) => (function.run)(&mut call)?,
                (None, Some(runner)) => runner.run(job.work, job.name, &mut call)?,
                (None, None) => {}
            }
            failpoint!("before_output");
            for result in std::mem::take(&mut call.results) {
                send(client, job.task, result, site)?;
                failpoint!("output_sent");
            }
            let ending = if call.yielded.is_some() { Ending::Exhausted } else { Ending::Finished };
            Ok((ending, call.actor.take()))
        }));
        match called {
            Ok(Ok(ended)) => ended,
            Ok(Err(Failure::Value { message, listed, value })) => {
                (Ending::Failed { message: cut(&message).to_owned(), listed, value }, None)
            }
            Ok(Err(Failure::Error(error))) => (Ending::Refused(error), None),
            Err(_) => {
                let (message, place) = PANIC.take().unwrap_or_default();
                (Ending::Panicked { message: cut(&message).to_owned(), place }, None)
            }
        }
    }
}

/// An argument's value, or the object it is; objects are there by now, since the agent waited for them.
fn given(client: &Arc<Client>, argument: &Argument<'_>, site: u32) -> Result<Given, Error> {
    let (key, block) = match argument {
        Argument::Inline(bytes) => return Ok(Given::Bytes((*bytes).into())),
        Argument::Value(key, bytes) => {
            return Ok(Given::Object(Fetched::inline(client, *key, (*bytes).into(), Location::caller()).at(site)));
        }
        Argument::Object(key) => (*key, false),
        Argument::Block(key) => (*key, true),
    };
    if let Some(pin) = object::pin(client, key) {
        return Ok(Given::Object(Fetched::pinned(pin, Location::caller()).at(site).block(block)));
    }
    // Inlined, and too much for the task's message; or spilled.
    let (request, pending) = client.requests.open()?;
    if let Err(error) = cancelled::watch(client, &pending) {
        client.requests.close(request);
        return Err(error);
    }
    client.push_urgent(&ToAgent::Get { request, key, site })?;
    // It may have to be made again, by a task that needs the CPU.
    let blocking = Blocking::begin(client);
    let answer = pending.wait(client, None);
    drop(blocking);
    match answer {
        Some(Answer::Inline(bytes)) => Ok(Given::Object(Fetched::inline(client, key, bytes, Location::caller()).at(site))),
        Some(Answer::Pinned(key)) => {
            Ok(Given::Object(Fetched::pinned(object::counted(client, key)?, Location::caller()).at(site).block(block)))
        }
        Some(Answer::Refused(error)) => Err(error),
        None => {
            object::give_up(client, request, &pending);
            cancelled::check(client).and(Err(Error::ObjectLost { object: client.id(key), cause: "the wait for it ended".to_owned() }))
        }
        _ => Err(Error::ObjectLost { object: client.id(key), cause: "the argument is neither in memory nor inlined".to_owned() }),
    }
}

pub(crate) fn send(client: &Arc<Client>, task: TaskKey, result: Outgoing, site: u32) -> Result<(), Error> {
    let publish = |sender: &mut Sender<'_>, contains: &[_], value: Value<'_>| {
        sender.stage(contains)?;
        sender.push(&ToAgent::Output { task, value })
    };
    // Before the value is written: what has been is published, or it is lost room.
    let keys = |contains: &[_]| can_be_inside(contains.len()).and_then(|()| keys(client, contains));
    let inline = |contains: &[_], bytes: &[u8]| {
        let mut sender = client.sender()?;
        publish(&mut sender, contains, Value::Inline(bytes))?;
        sender.finish(false);
        Ok(())
    };
    match result {
        Outgoing::Encoded { bytes, contains } if bytes.len() <= INLINE => inline(&keys(&contains)?, &bytes),
        Outgoing::Encoded { bytes, contains } => {
            let contains = keys(&contains)?;
            writer::output(client, bytes.len() as u64, site, |room| copy(room, &bytes), |sender, value| publish(sender, &contains, value))
        }
        Outgoing::Numbers(numbers) => {
            let bytes = (*numbers).as_ref();
            writer::output(client, bytes.len() as u64, site, |room| copy(room, bytes), |sender, value| publish(sender, &[], value))
        }
        Outgoing::Filled { length, contains, fill } if length <= INLINE => {
            let mut bytes = vec![0; length];
            fill(&mut bytes);
            inline(&keys(&contains)?, &bytes)
        }
        Outgoing::Filled { length, contains, fill } => {
            let contains = keys(&contains)?;
            writer::output(client, length as u64, site, |room| fill(room), |sender, value| publish(sender, &contains, value))
        }
        Outgoing::Draft(room) => writer::output_draft(client, room, |sender, value| publish(sender, &[], value)),
    }
}
