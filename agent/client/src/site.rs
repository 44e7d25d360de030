//! Call sites: each place of the program gets a number once, and its function's name a little later, off the calling thread.

use std::cell::Cell;
use std::collections::HashMap;
use std::panic::Location;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, TryLockError};

use plasmon_memory::fork::PerProcess;
use plasmon_memory::words::CallSites;
use plasmon_protocol::local::{MAX_SITES, MAX_STACK, ToAgent, cut};
use plasmon_protocol::record::SiteKind;

use crate::client::Client;
use crate::registry::{REMOTE_FUNCTIONS, RemoteFunction};
use crate::stack::{Called, Calls, Known};

/// The numbers that only places get which are told without what they were called from, so that there is one for the innermost frame of a
/// stack when there are too many stacks.
const ALONE: u32 = MAX_SITES / 8;

/// A place of the program's: the address of its constant location or of its remote function, and how references come to be there.
type Place = (usize, SiteKind);

/// Places that a thread remembers: a power of two.
const REMEMBERED: usize = 256;

thread_local! {
    /// What this thread has used last: for each remainder of an address a connection's serial number, a place and its number there.
    static KNOWN: [Cell<(u64, Place, u32)>; REMEMBERED] = const { [const { Cell::new((0, (0, SiteKind::PutObject), 0)) }; REMEMBERED] };
}

/// Stacks are read under a lock of the whole program. A process that was forked while a thread of its parent held it would wait for
/// ever, so its sites have no names.
static STACKS: PerProcess<Stacks> = PerProcess::new(|parents| Stacks {
    readers: AtomicUsize::new(0),
    readable: parents.is_none_or(|parents| parents.readable && parents.readers.load(Ordering::SeqCst) == 0),
});

#[derive(Debug)]
struct Stacks {
    /// Threads that hold the lock, or wait for it.
    readers: AtomicUsize,
    readable: bool,
}

impl Stacks {
    /// Runs `read`, which reads stacks or symbols; `None` when it would never end.
    fn read<T>(read: impl FnOnce() -> T) -> Option<T> {
        let stacks = STACKS.get().ok().filter(|stacks| stacks.readable)?;
        stacks.readers.fetch_add(1, Ordering::SeqCst);
        let result = read();
        stacks.readers.fetch_sub(1, Ordering::SeqCst);
        Some(result)
    }
}

/// The sites of one connection.
#[derive(Debug, Default)]
pub(crate) struct Sites {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    numbers: HashMap<Place, u32, foldhash::fast::FixedState>,
    /// Places that are told by text, of another language or with a whole stack, each with the number of what it was called from.
    texts: HashMap<(SiteKind, Box<str>, u32, u32), u32, foldhash::fast::FixedState>,
    /// Stacks of this program's, where they are wanted.
    stacks: Known,
    unnamed: Vec<Unnamed>,
    last: u32,
}

/// One frame of a stack as another language tells it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Frame<'a> {
    /// The source file.
    pub file: &'a str,
    /// The line that it is at, from 1.
    pub line: u32,
    /// The function's qualified name.
    pub function: &'a str,
}

/// A place whose function is to be named.
#[derive(Debug)]
struct Unnamed {
    number: u32,
    location: &'static Location<'static>,
    /// The addresses of the calls that led there, innermost first.
    calls: Vec<usize>,
}

impl Inner {
    /// The number of the next place; `None` when the agent takes no more of this process.
    fn next(&self) -> Option<u32> {
        (self.last < MAX_SITES).then_some(self.last + 1)
    }
}

impl Sites {
    /// The number of the caller's place. The agent is told on first use, before the number is used.
    #[inline]
    pub(crate) fn number(&self, client: &Client, kind: SiteKind, location: &'static Location<'static>) -> u32 {
        match client.words.sites() {
            CallSites::Lines => {}
            CallSites::Off => return 0,
            CallSites::Stacks => {
                if let Some(number) = self.number_of_stack(client, kind, location) {
                    return number;
                }
            }
        }
        let place = (std::ptr::from_ref(location) as usize, kind);
        // Locations are 24 bytes or more apart.
        let remainder = (place.0 / 8 + kind as usize) % REMEMBERED;
        KNOWN.with(|known| {
            let (serial, known_place, number) = known[remainder].get();
            if serial == client.serial && known_place == place {
                return number;
            }
            let number = self.define(client, place, location);
            known[remainder].set((client.serial, place, number));
            number
        })
    }

    /// The number of the caller's place with all that it was called from; `None` when that cannot be known.
    #[cold]
    fn number_of_stack(&self, client: &Client, kind: SiteKind, location: &'static Location<'static>) -> Option<u32> {
        let mut calls = Calls::new(kind, location);
        Stacks::read(|| calls.walk())?;
        let known = {
            let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.stacks.number(&calls)
        };
        if let Some(known) = known {
            return known;
        }
        let frames = Stacks::read(|| calls.frames(location))?;
        let told: Vec<Frame<'_>> = frames.iter().map(Called::frame).collect();
        let number = Some(self.define_stack(client, kind, &told)).filter(|number| *number != 0);
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).stacks.add(calls, number);
        number
    }

    #[cold]
    fn define(&self, client: &Client, place: Place, location: &'static Location<'static>) -> u32 {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = inner.numbers.get(&place) {
            return *number;
        }
        let Some(number) = inner.next() else { return 0 };
        let message =
            ToAgent::Site { site: number, kind: place.1, file: cut(location.file()), line: location.line(), function: "", caller: 0 };
        // Under the lock, so that numbers are defined in order.
        if client.push(&message).is_err() {
            return 0;
        }
        inner.last = number;
        inner.numbers.insert(place, number);
        let mut calls = Vec::new();
        let read = Stacks::read(|| {
            backtrace::trace(|frame| {
                calls.push(frame.ip() as usize);
                calls.len() < 64
            });
        });
        if read.is_some() {
            inner.unnamed.push(Unnamed { number, location, calls });
            client.wake_service();
        }
        number
    }

    /// A place that is known with its function: a remote function's own.
    pub(crate) fn define_function(&self, client: &Client, kind: SiteKind, function: &'static RemoteFunction) -> u32 {
        if client.words.sites() == CallSites::Off {
            return 0;
        }
        let place = (std::ptr::from_ref(function) as usize, kind);
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = inner.numbers.get(&place) {
            return *number;
        }
        let Some(number) = inner.next() else { return 0 };
        let (file, name) = (cut(function.file), cut(function.name));
        let message = ToAgent::Site { site: number, kind, file, line: function.line, function: name, caller: 0 };
        if client.push(&message).is_err() {
            return 0;
        }
        inner.last = number;
        inner.numbers.insert(place, number);
        number
    }

    /// A place that is told by text, called from the site with that number, or from 0: nobody knows where. `None` when it gets no number.
    fn define_text(&self, client: &Client, kind: SiteKind, frame: &Frame<'_>, caller: u32) -> Option<u32> {
        if client.words.sites() == CallSites::Off {
            return None;
        }
        // Where no line is known, functions are told apart.
        let text = if frame.line == 0 { frame.function } else { frame.file };
        let place = (kind, Box::from(text), frame.line, caller);
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = inner.texts.get(&place) {
            return Some(*number);
        }
        let alone = caller == 0 && kind != SiteKind::Frame;
        let number = inner.next().filter(|number| alone || *number <= MAX_SITES - ALONE)?;
        let (file, function) = (cut(frame.file), cut(frame.function));
        client.push(&ToAgent::Site { site: number, kind, file, line: frame.line, function, caller }).ok()?;
        inner.last = number;
        inner.texts.insert(place, number);
        Some(number)
    }

    /// A stack that is told by text, innermost frame first: the number of the innermost one, which is of that kind. The outermost of more
    /// than [`MAX_STACK`] frames are left out; all but the innermost one, when there are too many stacks.
    pub(crate) fn define_stack(&self, client: &Client, kind: SiteKind, frames: &[Frame<'_>]) -> u32 {
        let Some((innermost, callers)) = frames[..frames.len().min(MAX_STACK)].split_first() else { return 0 };
        let caller = callers.iter().rev().try_fold(0, |caller, frame| self.define_text(client, SiteKind::Frame, frame, caller));
        let number = caller.and_then(|caller| self.define_text(client, kind, innermost, caller));
        number.or_else(|| self.define_text(client, kind, innermost, 0)).unwrap_or(0)
    }

    /// Names the functions of new places: for the service thread, since reading symbols takes a while. It waits neither for a thread that
    /// has the places nor for room in the ring; false when something is left for a better moment.
    pub(crate) fn name_functions(&self, client: &Client, named: &mut Option<(u32, String)>) -> bool {
        loop {
            if let Some((site, function)) = named {
                if !client.try_push(&ToAgent::SiteName { site: *site, function: cut(function) }, false) {
                    return false;
                }
                *named = None;
            }
            let place = match self.inner.try_lock() {
                Ok(mut inner) => inner.unnamed.pop(),
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().unnamed.pop(),
                Err(TryLockError::WouldBlock) => return false,
            };
            let Some(place) = place else { return true };
            *named = Stacks::read(|| function_of(&place)).flatten().map(|function| (place.number, function));
        }
    }
}

/// The function that encloses a place: the call on the stack that was made from just there. In a program without line tables: the
/// innermost function that belongs to neither this library nor Rust's own.
fn function_of(place: &Unnamed) -> Option<String> {
    let (mut exact, mut likely): (Option<String>, Option<String>) = (None, None);
    for call in &place.calls {
        backtrace::resolve(*call as *mut std::ffi::c_void, |symbol| {
            let Some(name) = symbol.name().map(|name| format!("{name:#}")) else { return };
            let here = symbol.lineno() == Some(place.location.line())
                && symbol.filename().is_some_and(|file| file.ends_with(place.location.file()));
            match &mut exact {
                // Reduced debug information names a closure without its function; its caller has both among its type arguments.
                Some(closure) if is_bare_closure(closure) => {
                    let owner = path_before(&name, &format!("::{}", closure.replacen("closure#", "closure_env#", 1)));
                    if let Some(owner) = owner {
                        *closure = format!("{owner}::{closure}");
                    }
                }
                Some(_) => {}
                None if here => exact = Some(name),
                None if symbol.filename().is_none() && likely.is_none() && !is_library(&name) => likely = Some(name),
                None => {}
            }
        });
        if exact.as_ref().is_some_and(|name| !is_bare_closure(name)) {
            break;
        }
    }
    exact.or(likely).as_deref().map(path_of)
}

pub(crate) fn is_bare_closure(name: &str) -> bool {
    name.starts_with("{closure#")
}

/// The path in front of the first `end` in `name`.
pub(crate) fn path_before(name: &str, end: &str) -> Option<String> {
    let before = &name[..name.find(end)?];
    let begin = before.rfind(|c: char| !(c.is_alphanumeric() || "_:{}#".contains(c))).map_or(0, |at| at + 1);
    Some(before[begin..].to_owned())
}

/// A function's path without type arguments; a method's by its type: `app::Store::keep` of `<app::Store<T> as app::Keep>::keep`.
pub(crate) fn path_of(name: &str) -> String {
    if let Some(rest) = name.strip_prefix('<') {
        let mut depth = 1;
        let end = rest.find(|c| {
            depth += i32::from(c == '<') - i32::from(c == '>');
            depth == 0
        });
        if let Some(end) = end {
            let (inner, method) = (&rest[..end], &rest[end + 1..]);
            return format!("{}{}", path_of(inner.split(" as ").next().unwrap_or(inner)), path_of(method));
        }
    }
    let (mut path, mut depth) = (String::new(), 0);
    for c in name.replace("::<", "<").chars() {
        depth += i32::from(c == '<');
        if depth == 0 {
            path.push(c);
        }
        depth -= i32::from(c == '>');
    }
    path
}

/// Rust's own code, this library's, and what its macro writes around a remote function.
pub(crate) fn is_library(name: &str) -> bool {
    let path = name.trim_start_matches(['<', '&']);
    const OWN: [&str; 7] = ["plasmon::", "plasmon_memory::", "plasmon_protocol::", "backtrace::", "core::", "std::", "alloc::"];
    let written = name.contains("::__plasmon_run_") || (name.contains("::__plasmon_remote_") && name.ends_with("::remote"));
    OWN.iter().any(|own| path.starts_with(own)) || written || is_actor_call(name) || !name.contains("::")
}

/// What the macro writes for an actor: `Type::remote`, `TypeCreation::remote`, and the methods of `TypeHandle`.
fn is_actor_call(name: &str) -> bool {
    let path = path_of(name);
    let Some((class, method)) = path.rsplit_once("::") else { return false };
    let class = class.rsplit("::").next().unwrap_or(class);
    let calls = match method {
        "remote" => (class.strip_suffix("Creation").unwrap_or(class), "new"),
        _ => (class.strip_suffix("Handle").unwrap_or_default(), method),
    };
    REMOTE_FUNCTIONS.iter().any(|function| {
        let mut parts = function.name.rsplit("::");
        (parts.next(), parts.next()) == (Some(calls.1), Some(calls.0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_no_type_arguments() {
        for (name, path) in [
            ("app::run", "app::run"),
            ("app::run::{closure#0}", "app::run::{closure#0}"),
            ("app::keep::<alloc::vec::Vec<u8>>", "app::keep"),
            ("keep<alloc::vec::Vec<u8>>", "keep"),
            ("<app::Store>::keep", "app::Store::keep"),
            ("<app::Store<core::option::Option<u8>> as app::Keep<u8>>::keep::<u32>", "app::Store::keep"),
        ] {
            assert_eq!(path_of(name), path);
        }
    }

    #[test]
    fn no_place_is_defined_beyond_what_the_agent_takes() {
        let mut inner = Inner::default();
        while let Some(number) = inner.next() {
            assert_eq!(number, inner.last + 1);
            inner.last = number;
        }
        assert_eq!(inner.last, MAX_SITES);
    }

    #[test]
    fn a_closures_path_is_found_in_its_callers_type() {
        let name = "call_once<fn(u8), (app::part::main::{closure_env#1}, u8)>";
        assert_eq!(path_before(name, "::{closure_env#1}").as_deref(), Some("app::part::main"));
        assert_eq!(path_before(name, "::{closure_env#2}"), None);
    }
}
