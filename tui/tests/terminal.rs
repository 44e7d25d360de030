//! The real backend into a terminal emulator: what arrives is what was drawn, and the terminal is left as it was found.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "support/actors.rs"]
mod actors;
#[path = "support/agent.rs"]
mod agent;
#[path = "support/sample.rs"]
mod sample;
#[path = "support/stage.rs"]
mod stage;
#[path = "support/storage.rs"]
mod storage;
#[path = "support/why.rs"]
mod why;

use std::io::{self, Write};
use std::num::NonZero;
use std::sync::{Arc, Mutex};

use plasmon_tui::terminal::{Screen, Tty, leave};
use plasmon_tui::view::theme::Theme;
use stage::Stage;

/// A writer whose bytes can be looked at.
#[derive(Clone, Default)]
struct Tape(Arc<Mutex<Vec<u8>>>);

impl Write for Tape {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Tape {
    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

fn emulator() -> vt100::Parser {
    vt100::Parser::new(NonZero::new(40).unwrap(), NonZero::new(120).unwrap(), 0)
}

/// The sample's sites, drawn through escape sequences.
fn drawn(color: bool) -> (Vec<u8>, Stage) {
    crossterm::style::force_color_output(true);
    let mut stage = Stage::new(120, 40);
    stage.keys("3");
    let tape = Tape::default();
    let mut tty = Tty::fixed(tape.clone(), Theme::new(color), 120, 40).unwrap();
    tty.draw(&stage.app).unwrap();
    (tape.bytes(), stage)
}

#[test]
fn what_arrives_is_what_was_drawn() {
    let (bytes, stage) = drawn(true);
    let mut parser = emulator();
    parser.process(&bytes);
    let screen = parser.screen();
    let arrived: Vec<String> = screen.rows(0, 120).map(|row| row.trim_end().to_owned()).collect();
    let expected: Vec<String> = stage.text().lines().map(str::to_owned).collect();
    assert_eq!(arrived, expected);
    assert!(screen.alternate_screen() && screen.hide_cursor() && screen.bracketed_paste());
    let text = String::from_utf8(bytes).unwrap();
    let (begin, end) = (text.find("\u{1b}[?2026h").unwrap(), text.rfind("\u{1b}[?2026l").unwrap());
    assert!(begin < text.find("plasmon").unwrap() && text.rfind("quit").unwrap() < end, "the drawing is one update");
}

#[test]
fn without_colour_no_colour_is_sent() {
    let (bytes, _) = drawn(false);
    let mut parser = emulator();
    parser.process(&bytes);
    for row in 0..40 {
        for column in 0..120 {
            let cell = parser.screen().cell(row, column).unwrap();
            assert_eq!((cell.fgcolor(), cell.bgcolor()), (vt100::Color::Default, vt100::Color::Default), "{row} {column}");
        }
    }
    let selected = (0..40).any(|row| parser.screen().cell(row, 4).is_some_and(vt100::Cell::inverse));
    assert!(selected, "the selected row is set off by reversing it");
}

#[test]
fn the_terminal_is_left_as_it_was_found() {
    let (mut bytes, _) = drawn(true);
    leave(&mut bytes).unwrap();
    let mut parser = emulator();
    parser.process(b"$ plasmon\r\n");
    parser.process(&bytes);
    let screen = parser.screen();
    assert!(!screen.alternate_screen() && !screen.hide_cursor() && !screen.bracketed_paste());
    assert_eq!(screen.contents().trim_end(), "$ plasmon");
    assert_eq!(screen.fgcolor(), vt100::Color::Default);
}

#[test]
fn an_unchanged_screen_costs_next_to_nothing() {
    let mut stage = Stage::new(120, 40);
    stage.keys("3");
    let tape = Tape::default();
    let mut tty = Tty::fixed(tape.clone(), Theme::new(true), 120, 40).unwrap();
    tty.draw(&stage.app).unwrap();
    let before = tape.bytes().len();
    tty.draw(&stage.app).unwrap();
    let again = tape.bytes().len() - before;
    assert!(again < 100, "{again} bytes for nothing");
}

#[test]
fn drawing_anew_writes_everything_and_asks_nothing() {
    let mut stage = Stage::new(120, 40);
    stage.keys("3");
    let tape = Tape::default();
    let mut tty = Tty::fixed(tape.clone(), Theme::new(true), 120, 40).unwrap();
    tty.draw(&stage.app).unwrap();
    let mut parser = emulator();
    parser.process(&tape.bytes());
    parser.process(b"\x1b[5;5Hwritten by somebody else");
    let before = tape.bytes().len();
    tty.redraw().unwrap();
    tty.draw(&stage.app).unwrap();
    let anew = tape.bytes()[before..].to_vec();
    parser.process(&anew);
    let arrived: Vec<String> = parser.screen().rows(0, 120).map(|row| row.trim_end().to_owned()).collect();
    let expected: Vec<String> = stage.text().lines().map(str::to_owned).collect();
    assert_eq!(arrived, expected);
    assert!(!String::from_utf8(anew).unwrap().contains("\x1b[6n"), "no question for the cursor's place");
}
