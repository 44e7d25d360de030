//! Call sites: each place of the program gets a number once, and its function's name a little later, off the calling thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::Location;
use std::sync::{Mutex, PoisonError};

use plasmon_protocol::local::{MAX_TEXT, ToAgent};
use plasmon_protocol::record::SiteKind;

use crate::client::Client;

/// A place of the program's: the address of its constant location, and how references come to be there.
type Place = (usize, SiteKind);

thread_local! {
    /// What this thread has used before: the connection's serial number, and its numbers.
    static KNOWN: RefCell<(u64, HashMap<Place, u32, foldhash::fast::FixedState>)> = RefCell::default();
}

/// The sites of one connection.
#[derive(Debug, Default)]
pub(crate) struct Sites {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    numbers: HashMap<Place, u32, foldhash::fast::FixedState>,
    unnamed: Vec<Unnamed>,
    last: u32,
}

/// A place whose function is to be named.
#[derive(Debug)]
struct Unnamed {
    number: u32,
    location: &'static Location<'static>,
    /// The addresses of the calls that led there, innermost first.
    calls: Vec<usize>,
}

impl Sites {
    /// The number of the caller's place. The agent is told on first use, before the number is used.
    pub(crate) fn number(&self, client: &Client, kind: SiteKind, location: &'static Location<'static>) -> u32 {
        if !client.words.sites() {
            return 0;
        }
        let place = (std::ptr::from_ref(location) as usize, kind);
        KNOWN.with_borrow_mut(|(serial, known)| {
            if *serial != client.serial {
                *serial = client.serial;
                known.clear();
            }
            *known.entry(place).or_insert_with(|| self.define(client, place, location))
        })
    }

    fn define(&self, client: &Client, place: Place, location: &'static Location<'static>) -> u32 {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = inner.numbers.get(&place) {
            return *number;
        }
        let number = inner.last + 1;
        let message = ToAgent::Site { site: number, kind: place.1, file: cut(location.file()), line: location.line(), function: "" };
        // Under the lock, so that numbers are defined in order.
        if client.push(&message).is_err() {
            return 0;
        }
        inner.last = number;
        inner.numbers.insert(place, number);
        let mut calls = Vec::new();
        backtrace::trace(|frame| {
            calls.push(frame.ip() as usize);
            calls.len() < 64
        });
        inner.unnamed.push(Unnamed { number, location, calls });
        client.wake_service();
        number
    }

    /// A place that is known with its function: a remote function's own.
    pub(crate) fn define_named(&self, client: &Client, kind: SiteKind, file: &'static str, line: u32, function: &str) -> u32 {
        if !client.words.sites() {
            return 0;
        }
        let place = (file.as_ptr() as usize ^ (line as usize) << 1, kind);
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = inner.numbers.get(&place) {
            return *number;
        }
        let number = inner.last + 1;
        if client.push(&ToAgent::Site { site: number, kind, file: cut(file), line, function: cut(function) }).is_err() {
            return 0;
        }
        inner.last = number;
        inner.numbers.insert(place, number);
        number
    }

    /// Names the functions of new places: for the service thread, since reading symbols takes a while.
    pub(crate) fn name_functions(&self, client: &Client) {
        loop {
            let Some(place) = self.inner.lock().unwrap_or_else(PoisonError::into_inner).unnamed.pop() else { return };
            if let Some(function) = function_of(&place) {
                // Without an agent nobody asks for the name.
                let _ = client.push(&ToAgent::SiteName { site: place.number, function: cut(&function) });
            }
        }
    }
}

/// The function that encloses a place: the call on the stack that was made from just there. In a program without line tables: the
/// innermost function that belongs to neither this library nor Rust's own.
fn function_of(place: &Unnamed) -> Option<String> {
    let (mut exact, mut likely) = (None, None);
    for call in &place.calls {
        backtrace::resolve(*call as *mut std::ffi::c_void, |symbol| {
            let Some(name) = symbol.name().map(|name| format!("{name:#}")) else { return };
            let here = symbol.lineno() == Some(place.location.line())
                && symbol.filename().is_some_and(|file| file.ends_with(place.location.file()));
            if here && exact.is_none() {
                exact = Some(name);
            } else if symbol.filename().is_none() && likely.is_none() && !is_library(&name) {
                likely = Some(name);
            }
        });
        if exact.is_some() {
            break;
        }
    }
    exact.or(likely)
}

/// Rust's own code, this library's, and what its macro writes around a remote function.
fn is_library(name: &str) -> bool {
    let path = name.trim_start_matches(['<', '&']);
    const OWN: [&str; 7] = ["plasmon::", "plasmon_memory::", "plasmon_protocol::", "backtrace::", "core::", "std::", "alloc::"];
    let written = name.contains("::__plasmon_run_") || (name.contains("::__plasmon_remote_") && name.ends_with("::remote"));
    OWN.iter().any(|own| path.starts_with(own)) || written || !name.contains("::")
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
