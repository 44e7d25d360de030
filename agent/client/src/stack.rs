//! Whole stacks of this program as call sites, where the agent asks for them. To walk a stack takes microseconds, and to name the frames of
//! a new one milliseconds: so it is done only for who wants it.

use std::collections::HashMap;
use std::ffi::c_void;
use std::panic::Location;

use plasmon_protocol::local::MAX_STACK;
use plasmon_protocol::record::SiteKind;

use crate::site::{Frame, is_bare_closure, is_library, path_before, path_of};

/// Calls that are looked at, innermost first; this library's own and Rust's are among them.
const CALLS: usize = 2 * MAX_STACK;
/// Stacks that are remembered; of a program with more, the lines of further ones are told alone.
const MOST: usize = 1 << 16;

/// A stack as it is walked: where the program called this library and how, and the addresses of the calls that led there.
#[derive(PartialEq, Eq, Hash, Debug)]
pub(crate) struct Calls(Vec<usize>);

impl Calls {
    /// Before it is walked.
    pub(crate) fn new(kind: SiteKind, location: &'static Location<'static>) -> Self {
        let mut calls = Vec::with_capacity(CALLS + 2);
        calls.extend([kind as usize, std::ptr::from_ref(location) as usize]);
        Self(calls)
    }

    /// Walks the stack of the calling thread.
    pub(crate) fn walk(&mut self) {
        backtrace::trace(|frame| {
            self.0.push(frame.ip() as usize);
            self.0.len() < CALLS + 2
        });
    }

    /// Its frames that are the program's own, innermost first: the call at `location`, and what led there. None when that call is not on
    /// this stack. Of a program without line tables the innermost frame that is neither this library's nor Rust's is taken for it.
    pub(crate) fn frames(&self, location: &Location<'_>) -> Vec<Called> {
        let mut frames = Vec::new();
        for call in self.0.iter().skip(2) {
            backtrace::resolve(*call as *mut c_void, |symbol| {
                if let Some(name) = symbol.name() {
                    let file = symbol.filename().map(|file| file.to_string_lossy().into_owned()).unwrap_or_default();
                    frames.push(Called { function: format!("{name:#}"), file, line: symbol.lineno().unwrap_or(0) });
                }
            });
        }
        own(frames, location)
    }
}

/// One frame of a stack.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Called {
    function: String,
    file: String,
    line: u32,
}

impl Called {
    /// As it is told.
    pub(crate) fn frame(&self) -> Frame<'_> {
        Frame { file: &self.file, line: self.line, function: &self.function }
    }

    fn is_at(&self, location: &Location<'_>) -> bool {
        self.line == location.line() && self.file.ends_with(location.file())
    }
}

/// See [`Calls::frames`].
fn own(frames: Vec<Called>, location: &Location<'_>) -> Vec<Called> {
    let by_name = || {
        let has_lines = frames.iter().any(|frame| frame.line > 0 && !is_library(&frame.function));
        frames.iter().position(|frame| !is_library(&frame.function)).filter(|_| !has_lines)
    };
    let Some(first) = frames.iter().position(|frame| frame.is_at(location)).or_else(by_name) else { return Vec::new() };
    // Compilers know files by where they were built, and locations by where they lie in their package.
    let root = frames[first].file.strip_suffix(location.file()).unwrap_or_default().to_owned();
    // What lies beside the caller is the program's, whatever it is called.
    let home = frames[first].file.rsplit_once('/').map(|(home, _)| format!("{home}/")).filter(|_| frames[first].is_at(location));
    let mut told: Vec<Called> = Vec::new();
    // Of a closure, whose function is named by the frame behind it.
    let mut closure: Option<usize> = None;
    for (at, frame) in frames.into_iter().enumerate().skip(first) {
        if let Some(of) = closure.take() {
            let bare = told[of].function.replacen("closure#", "closure_env#", 1);
            if let Some(owner) = path_before(&frame.function, &format!("::{bare}")) {
                told[of].function = format!("{owner}::{}", told[of].function);
            }
        }
        let is_own = home.as_ref().is_some_and(|home| frame.file.starts_with(home));
        if at != first && !is_own && (is_library(&frame.function) || is_rusts(&frame.file)) {
            continue;
        }
        let file = frame.file.strip_prefix(&root).unwrap_or(&frame.file).to_owned();
        if is_bare_closure(&frame.function) {
            closure = Some(told.len());
        }
        told.push(Called { function: path_of(&frame.function), file, ..frame });
        if told.len() == MAX_STACK {
            break;
        }
    }
    if let Some(innermost) = told.first_mut() {
        (innermost.file, innermost.line) = (location.file().to_owned(), location.line());
    }
    told
}

/// Files of Rust's own libraries, whose functions reduced debug information names without their path.
fn is_rusts(file: &str) -> bool {
    file.starts_with("/rustc/") || file.contains("/rustlib/src/rust/library/")
}

/// Stacks that have been told, with their numbers; none of those that cannot be known.
#[derive(Debug, Default)]
pub(crate) struct Known(HashMap<Calls, Option<u32>, foldhash::fast::FixedState>);

impl Known {
    /// What is known of a stack, if anything is: its number, if it has one. Beyond as many as are remembered, none has.
    pub(crate) fn number(&self, calls: &Calls) -> Option<Option<u32>> {
        self.0.get(calls).copied().or((self.0.len() >= MOST).then_some(None))
    }

    /// Remembers it, in no more memory than it has calls.
    pub(crate) fn add(&mut self, mut calls: Calls, number: Option<u32>) {
        calls.0.shrink_to_fit();
        self.0.insert(calls, number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &str, file: &str, line: u32) -> Called {
        Called { function: function.to_owned(), file: file.to_owned(), line }
    }

    fn told(frames: &[Called]) -> Vec<(&str, &str, u32)> {
        frames.iter().map(|frame| (frame.function.as_str(), frame.file.as_str(), frame.line)).collect()
    }

    #[test]
    fn what_led_to_a_place_is_told_without_this_library_and_rusts_own() {
        let here = Location::caller();
        let at = format!("/build/app/{}", here.file());
        let frames = vec![
            frame("backtrace::trace", "/cargo/backtrace.rs", 3),
            frame("plasmon::put", "/build/plasmon/object.rs", 40),
            frame("app::keep::<u8>", &at, here.line()),
            frame("core::ops::function::FnOnce::call_once", "/rustc/function.rs", 250),
            frame("app::Store::fill", "/build/app/src/store.rs", 9),
            frame("rayon::join", "/cargo/rayon.rs", 5),
            frame("try_for_each<core::ops::range::Range<u8>>", "/rustc/ab12/library/core/src/iter/traits/iterator.rs", 5),
            frame("app::main", "/build/app/src/main.rs", 2),
            frame("std::rt::lang_start", "/rustc/rt.rs", 1),
            frame("main", "", 0),
        ];
        assert_eq!(
            told(&own(frames.clone(), here)),
            [
                ("app::keep", here.file(), here.line()),
                ("app::Store::fill", "src/store.rs", 9),
                ("rayon::join", "/cargo/rayon.rs", 5),
                ("app::main", "src/main.rs", 2)
            ]
        );
        // A program that is called as this library is.
        let beside = format!("{}/main.rs", at.rsplit_once('/').unwrap().0);
        let named = vec![
            frame("plasmon::put", "/build/plasmon/object.rs", 40),
            frame("plasmon::keep", &at, here.line()),
            frame("plasmon::main", &beside, 2),
        ];
        assert_eq!(own(named, here).len(), 2);
        // Somebody else asks for what was called from there.
        assert_eq!(own(frames[3..].to_vec(), here), []);
        assert_eq!(own(Vec::new(), here), []);
    }

    #[test]
    fn without_line_tables_functions_are_told_by_name() {
        let here = Location::caller();
        let frames =
            ["plasmon::put", "app::keep", "core::ops::FnOnce::call_once", "app::main", "main"].map(|name| frame(name, "", 0)).to_vec();
        assert_eq!(told(&own(frames, here)), [("app::keep", here.file(), here.line()), ("app::main", "", 0)]);
    }

    #[test]
    fn a_closure_is_named_with_its_function() {
        let here = Location::caller();
        let frames = vec![
            frame("{closure#1}", here.file(), here.line()),
            frame("call_once<fn(u8), (app::part::fill::{closure_env#1}, u8)>", "/rustc/function.rs", 9),
            frame("app::part::fill", "src/part.rs", 4),
        ];
        let own = own(frames, here);
        assert_eq!(told(&own)[0].0, "app::part::fill::{closure#1}");
        assert_eq!(told(&own).last().unwrap().0, "app::part::fill");
    }

    #[test]
    fn beyond_as_many_stacks_as_are_remembered_none_is_looked_into() {
        let mut known = Known::default();
        let calls = |of: usize| Calls(vec![of]);
        assert_eq!(known.number(&calls(1)), None);
        known.add(calls(1), Some(7));
        known.add(calls(2), None);
        assert_eq!((known.number(&calls(1)), known.number(&calls(2)), known.number(&calls(3))), (Some(Some(7)), Some(None), None));
        (3..=MOST).for_each(|of| known.add(calls(of), Some(1)));
        assert_eq!(known.number(&calls(MOST + 1)), Some(None));
    }
}
