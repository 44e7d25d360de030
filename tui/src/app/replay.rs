//! Moving in a recording: where one stands, how fast it plays, and the marks that one can go to. Its clock is the recorded agent's.

use super::{App, Effect, Mood};
use crate::keys::Action;
use crate::recording::{Mark, Timeline, Weight};

/// How much faster than life it can play.
const SPEEDS: [u64; 5] = [1, 2, 5, 10, 60];
/// A step, milliseconds.
const STEP_MS: u64 = 1_000;
/// A leap, milliseconds.
const LEAP_MS: u64 = 10_000;
/// How often the screen moves while it plays, milliseconds.
const FRAME_MS: u64 = 100;

/// Where one is in a recording.
#[derive(Clone, Debug)]
pub struct Replay {
    /// What there is.
    pub timeline: Timeline,
    /// The instant that is shown, on the recorded agent's clock.
    pub at_ms: u64,
    /// Whether it moves by itself.
    pub playing: bool,
    speed: usize,
}

impl Replay {
    /// At the end, which is what one wants to see first: the last thing that is known.
    #[must_use]
    pub fn new(timeline: Timeline) -> Self {
        Self { at_ms: timeline.end_ms, timeline, playing: false, speed: 0 }
    }

    /// How much faster than life it plays.
    #[must_use]
    pub fn speed(&self) -> u64 {
        SPEEDS.get(self.speed).copied().unwrap_or(1)
    }

    /// Goes on by this much of the viewer's time. Stops at the end.
    fn advance(&mut self, ms: u64) {
        if self.playing {
            self.at_ms = self.at_ms.saturating_add(ms.saturating_mul(self.speed())).min(self.timeline.end_ms);
            self.playing = self.at_ms < self.timeline.end_ms;
        }
    }

    /// Marks that one can go to: what asks for attention; where nothing does, all.
    fn stops(&self) -> impl DoubleEndedIterator<Item = &Mark> {
        let all = !self.timeline.marks.iter().any(|mark| mark.weight > Weight::Work);
        self.timeline.marks.iter().filter(move |mark| all || mark.weight > Weight::Work)
    }

    /// The mark that one stands at, if any: the gravest, the last of those.
    #[must_use]
    pub fn mark(&self) -> Option<&Mark> {
        self.timeline.marks.iter().filter(|mark| mark.at_ms == self.at_ms).max_by_key(|mark| mark.weight)
    }

    fn act(&mut self, action: Action) -> bool {
        let (begin, end) = (self.timeline.begin_ms, self.timeline.end_ms);
        let before = self.at_ms;
        match action {
            Action::Play => {
                // From the end there is no way but from the beginning.
                if !self.playing && self.at_ms >= end {
                    self.at_ms = begin;
                }
                self.playing = !self.playing && begin < end;
                return true;
            }
            Action::Faster => self.speed = (self.speed + 1).min(SPEEDS.len() - 1),
            Action::Slower => self.speed = self.speed.saturating_sub(1),
            Action::StepBack => self.at_ms = self.at_ms.saturating_sub(STEP_MS).max(begin),
            Action::StepOn => self.at_ms = self.at_ms.saturating_add(STEP_MS).min(end),
            Action::LeapBack => self.at_ms = self.at_ms.saturating_sub(LEAP_MS).max(begin),
            Action::LeapOn => self.at_ms = self.at_ms.saturating_add(LEAP_MS).min(end),
            Action::Begin => self.at_ms = begin,
            Action::End => self.at_ms = end,
            Action::NextMark => {
                let next = self.stops().map(|mark| mark.at_ms).find(|at_ms| *at_ms > before);
                self.at_ms = next.unwrap_or(before);
            }
            Action::PreviousMark => {
                let previous = self.stops().map(|mark| mark.at_ms).rfind(|at_ms| *at_ms < before);
                self.at_ms = previous.unwrap_or(before);
            }
            _ => return false,
        }
        true
    }
}

impl App {
    /// Makes it the dashboard of a recording.
    #[must_use]
    pub fn of_recording(mut self, timeline: Timeline) -> Self {
        let replay = Replay::new(timeline);
        self.live.history.up_to(&replay.timeline.samples, replay.at_ms);
        self.replay = Some(replay);
        self
    }

    /// Where one is in the recording, if it is one.
    #[must_use]
    pub fn replay(&self) -> Option<&Replay> {
        self.replay.as_ref()
    }

    /// What a key asks for in a recording; `false` when it is something else.
    pub(super) fn replay_act(&mut self, action: Action, effects: &mut Vec<Effect>) -> bool {
        // What holds a live picture still holds a recorded one still, too.
        let action = if action == Action::Freeze { Action::Play } else { action };
        let Some(replay) = &mut self.replay else { return false };
        let before = replay.at_ms;
        if !replay.act(action) {
            return false;
        }
        if matches!(action, Action::NextMark | Action::PreviousMark) {
            let flash = match replay.mark() {
                _ if replay.at_ms == before => (Mood::Refused, "no mark lies there".to_owned()),
                Some(mark) => (Mood::Done, mark.text.to_string()),
                None => (Mood::Done, String::new()),
            };
            self.flash(flash.0, flash.1);
        }
        self.moved(before, effects);
        true
    }

    /// The viewer's clock went on by this much.
    pub(super) fn replay_on(&mut self, ms: u64, effects: &mut Vec<Effect>) {
        if let Some(replay) = &mut self.replay {
            let before = replay.at_ms;
            replay.advance(ms);
            self.moved(before, effects);
        }
    }

    fn moved(&mut self, before_ms: u64, effects: &mut Vec<Effect>) {
        if let Some(replay) = &self.replay
            && replay.at_ms != before_ms
        {
            self.live.at_ms = replay.at_ms;
            self.live.history.up_to(&replay.timeline.samples, replay.at_ms);
            effects.push(Effect::Seek(replay.at_ms));
        }
    }

    /// How often a replay moves the screen by itself, milliseconds.
    pub(super) fn replay_clock_ms(&self) -> Option<u64> {
        self.replay.as_ref().filter(|replay| replay.playing).map(|_| FRAME_MS)
    }

    /// The part of the screen that the views are laid out for: all of it, without the time line of a recording.
    #[must_use]
    pub fn canvas(&self) -> (u16, u16) {
        (self.size.0, self.size.1.saturating_sub(self.time_line()))
    }

    /// Lines of the time line.
    #[must_use]
    pub fn time_line(&self) -> u16 {
        u16::from(self.replay.is_some())
    }
}
