#![allow(missing_docs, clippy::unwrap_used)]
#[inline(never)]
fn alone<F: FnOnce()>(f: F) { f() }
fn inner() { 
    backtrace::trace(|frame| { backtrace::resolve_frame(frame, |s| eprintln!("{:?} {:?}:{:?}", s.name().map(|n| format!("{n:#}")), s.filename(), s.lineno())); true });
}
#[test]
fn probe() { alone(|| { let v: Vec<u8> = Vec::new(); drop(v); inner(); }); }
