//! The table of results.

use std::fmt;

use serde::Serialize;

use crate::Outcome;
use crate::sample::Sample;

/// In what a figure is told. Times are measured in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unit {
    Nanoseconds,
    Microseconds,
    Milliseconds,
    /// From the time that one takes.
    PerSecond,
    Mebibytes,
    /// From the nanoseconds that one takes.
    MebibytesPerSecond,
    Percent,
    Bytes,
    /// How often.
    Times,
}

impl Unit {
    fn word(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::Microseconds => "us",
            Self::Milliseconds => "ms",
            Self::PerSecond => "/s",
            Self::Mebibytes => "MiB",
            Self::MebibytesPerSecond => "MiB/s",
            Self::Percent => "%",
            Self::Bytes => "B",
            Self::Times => "",
        }
    }

    fn of(self, measured: f64) -> f64 {
        let value = match self {
            Self::Nanoseconds | Self::Mebibytes | Self::Percent | Self::Bytes | Self::Times => measured,
            Self::Microseconds => measured / 1e3,
            Self::Milliseconds => measured / 1e6,
            Self::PerSecond | Self::MebibytesPerSecond => 1e9 / measured,
        };
        rounded(value)
    }
}

/// Four digits are more than any of these figures deserves.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10_f64.powi(3 - value.abs().log10().floor() as i32);
    (value * scale).round() / scale
}

/// How good a figure must be.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Goal {
    /// At most this many times the floor.
    Ratio(f64),
    /// At least this many times the floor, which is then a speed.
    AtLeastRatio(f64),
    /// At most this much above the floor.
    Above(f64),
    AtMost(f64),
    AtLeast(f64),
    /// Told for information.
    Open,
}

#[derive(Serialize, Debug)]
struct Row {
    metric: String,
    value: f64,
    unit: &'static str,
    floor: String,
    ratio: Option<f64>,
    goal: String,
    met: bool,
    #[serde(skip)]
    quartiles: (f64, f64),
}

/// All rows, and what there are no rows of.
#[derive(Default, Debug)]
pub(crate) struct Table {
    rows: Vec<Row>,
    left_out: Vec<String>,
}

impl Table {
    /// Adds what was measured, beside its floor with the floor's name.
    pub(crate) fn row(&mut self, metric: &str, sample: &Sample, unit: Unit, floor: Option<(&str, &Sample)>, goal: Goal) {
        let value = unit.of(sample.median());
        let (one, other) = sample.quartiles();
        let (one, other) = (unit.of(one), unit.of(other));
        let least = floor.map(|(_, floor)| unit.of(floor.median()));
        let ratio = least.map(|least| rounded(value / least));
        let word = unit.word();
        let floor = floor.zip(least).map_or_else(|| "-".to_owned(), |((name, _), least)| format!("{} {word}: {name}", number(least)));
        let (goal, met) = match goal {
            Goal::Ratio(most) => (format!("<= {most}"), ratio.is_some_and(|ratio| ratio <= most)),
            Goal::AtLeastRatio(least) => (format!(">= {least}"), ratio.is_some_and(|ratio| ratio >= least)),
            Goal::Above(most) => (format!("+ <= {most} {word}"), value - least.unwrap_or(0.0) <= most),
            Goal::AtMost(most) => (format!("<= {most} {word}"), value <= most),
            Goal::AtLeast(least) => (format!(">= {} {word}", number(least)), value >= least),
            Goal::Open => ("-".to_owned(), true),
        };
        let quartiles = (one.min(other), one.max(other));
        self.rows.push(Row { metric: metric.to_owned(), value, unit: word, floor, ratio, goal, met, quartiles });
    }

    /// Names a row that this machine, or this build, does not allow.
    pub(crate) fn leave_out(&mut self, metric: &str, cause: &str) {
        self.left_out.push(format!("{metric}: {cause}"));
    }

    /// As the README has it.
    pub(crate) fn markdown(&self) -> String {
        let mut text = "| what | figure | beside | ratio | goal |\n|---|---|---|---|---|\n".to_owned();
        for row in &self.rows {
            let ratio = row.ratio.map_or_else(String::new, number);
            let floor = if row.floor == "-" { "" } else { &row.floor };
            let goal = match (row.goal.as_str(), row.met) {
                ("-", _) => String::new(),
                (goal, true) => goal.to_owned(),
                (goal, false) => format!("**{goal}, missed**"),
            };
            let line = format!("| {} | {} {} | {floor} | {ratio} | {goal} |", row.metric, number(row.value), row.unit);
            text.push_str(&line.replace("  ", " "));
            text.push('\n');
        }
        text.push_str(&format!("\n{}\n", self.verdict()));
        for left_out in &self.left_out {
            text.push_str(&format!("Left out: {left_out}.\n"));
        }
        text
    }

    fn verdict(&self) -> String {
        let goals = self.rows.iter().filter(|row| row.goal != "-");
        format!("{} of {} goals met.", goals.clone().filter(|row| row.met).count(), goals.count())
    }

    pub(crate) fn json(&self) -> Outcome<String> {
        Ok(serde_json::to_string_pretty(&self.rows)? + "\n")
    }
}

/// With thousands apart, and no more digits than it has.
fn number(value: f64) -> String {
    if value.abs() < 1000.0 {
        return format!("{value}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["metric", "value", "unit", "quartiles", "ratio", "goal", "met", "floor"].map(str::to_owned);
        let lines = self.rows.iter().map(|row| {
            let ratio = row.ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}"));
            let quartiles = format!("{} .. {}", number(row.quartiles.0), number(row.quartiles.1));
            let met = match (row.goal.as_str(), row.met) {
                ("-", _) => "",
                (_, true) => "yes",
                (_, false) => "NO",
            };
            let metric = row.metric.clone();
            [metric, number(row.value), row.unit.to_owned(), quartiles, ratio, row.goal.clone(), met.to_owned(), row.floor.clone()]
        });
        let lines: Vec<[String; 8]> = std::iter::once(head).chain(lines).collect();
        let widths: [usize; 8] = std::array::from_fn(|column| lines.iter().map(|line| line[column].len()).max().unwrap_or(0));
        for line in &lines {
            let mut text = String::new();
            for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
                let cell = if matches!(column, 1 | 4) { format!("{cell:>width$}  ") } else { format!("{cell:<width$}  ") };
                text.push_str(&cell);
            }
            writeln!(f, "{}", text.trim_end())?;
        }
        writeln!(f, "\n{}", self.verdict())?;
        for left_out in &self.left_out {
            writeln!(f, "left out: {left_out}")?;
        }
        Ok(())
    }
}
