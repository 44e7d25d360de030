//! How long a key takes to a whole frame on the terminal, with a real agent that has 1,000,000 references: `make bench` ends with it.
//!
//! The dashboard runs in a pseudo-terminal, as it runs for people. A frame has come when its last byte has: the end of the synchronized
//! update. The goal is 20 ms for every key.

#![expect(clippy::print_stdout, reason = "a benchmark says what it measured")]

use std::error::Error;
use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use plasmon::{ObjectRef, Options, put};
use portable_pty::{CommandBuilder, PtySize, native_pty_system};

const ROWS: usize = 1_000_000;
const ROUNDS: usize = 40;
/// Nothing came for so long: what was before the key has been drawn.
const QUIET: Duration = Duration::from_millis(60);
const PATIENCE: Duration = Duration::from_secs(60);
const END: &[u8] = b"\x1b[?2026l";

/// What is pressed, in this order again and again, and what it asks for.
const KEYS: &[(&str, &str)] = &[
    ("j", "the row below"),
    ("\x06", "a screen further"),
    ("G", "the last of a million rows"),
    ("g", "the first"),
    ("b", "fold them by type"),
    ("bbbb", "and unfold them"),
    ("\r", "an object"),
    ("\x1b[D", "back"),
    ("3", "another view"),
    ("2", "back to the rows"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let place = tempfile::tempdir()?;
    Options::new().object_store_memory(512 << 20).temp_dir(place.path()).init()?;
    let source = [7_u8; 64];
    let held: Vec<ObjectRef<[u8]>> = (0..ROWS).map(|_| put(&source[..])).collect::<Result<_, _>>()?;

    let pty = native_pty_system().openpty(PtySize { rows: 50, cols: 160, pixel_width: 0, pixel_height: 0 })?;
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_plasmon"));
    command.env("PLASMON_TEMP_DIR", place.path());
    command.env("TERM", "xterm-256color");
    let mut output = pty.master.try_clone_reader()?;
    let mut keyboard = pty.master.take_writer()?;
    let mut dashboard = pty.slave.spawn_command(command)?;
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 1 << 16];
        while let Ok(read @ 1..) = output.read(&mut bytes) {
            if tell.send((Instant::now(), bytes[..read].to_vec())).is_err() {
                break;
            }
        }
    });
    until(&told, |text| text.contains("live"))?;
    keyboard.write_all(b"2")?;
    until(&told, |text| text.contains("LOCAL_REFERENCE"))?;

    let mut times = vec![Vec::with_capacity(ROUNDS); KEYS.len()];
    for _ in 0..ROUNDS {
        for ((key, _), times) in KEYS.iter().zip(&mut times) {
            while told.recv_timeout(QUIET).is_ok() {}
            let pressed = Instant::now();
            keyboard.write_all(key.as_bytes())?;
            let mut seen = Vec::new();
            loop {
                let (at, bytes) = told.recv_timeout(PATIENCE)?;
                seen.extend(bytes);
                if seen.windows(END.len()).any(|part| part == END) {
                    times.push(at - pressed);
                    break;
                }
            }
        }
    }
    keyboard.write_all(b"q")?;
    dashboard.wait()?;
    println!("key to frame with {ROWS} references behind, milliseconds: median, 90th of 100, longest of {ROUNDS}");
    for ((_, what), times) in KEYS.iter().zip(&mut times) {
        times.sort();
        let ms = |at: usize| times[at].as_secs_f64() * 1e3;
        println!("  {what:<28} {:>6.1} {:>6.1} {:>6.1}", ms(ROUNDS / 2), ms(ROUNDS * 9 / 10), ms(ROUNDS - 1));
    }
    let mut all: Vec<Duration> = times.concat();
    all.sort();
    let within = all.iter().filter(|time| **time <= Duration::from_millis(20)).count();
    println!("  within 20 ms: {within} of {}", all.len());
    drop(held);
    Ok(plasmon::shutdown()?)
}

/// Waits for a picture.
fn until(told: &Receiver<(Instant, Vec<u8>)>, seen: impl Fn(&str) -> bool) -> Result<(), Box<dyn Error>> {
    let mut text = String::new();
    let deadline = Instant::now() + PATIENCE;
    while !seen(&text) {
        match told.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok((_, bytes)) => text.push_str(&String::from_utf8_lossy(&bytes)),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Err(format!("waited in vain: {text}").into()),
        }
    }
    Ok(())
}
