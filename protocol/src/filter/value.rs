//! What stands behind a column's name: an operator and a value of the column's kind.

use std::cmp::Ordering;

use super::{contains, equals, fold};
use crate::column::{Cell, Kind};
use crate::size::Bytes;

/// How a cell is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Operator {
    /// `:`, a part of a text, or the same number.
    Has,
    /// `=`
    Is,
    /// `!=`
    IsNot,
    /// `>`
    Above,
    /// `<`
    Below,
    /// `>=`
    AtLeast,
    /// `<=`
    AtMost,
}

impl Operator {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Has => ":",
            Self::Is => "=",
            Self::IsNot => "!=",
            Self::Above => ">",
            Self::Below => "<",
            Self::AtLeast => ">=",
            Self::AtMost => "<=",
        }
    }

    fn allows(self, order: Ordering) -> bool {
        match self {
            Self::Has | Self::Is => order.is_eq(),
            Self::IsNot => order.is_ne(),
            Self::Above => order.is_gt(),
            Self::Below => order.is_lt(),
            Self::AtLeast => order.is_ge(),
            Self::AtMost => order.is_le(),
        }
    }
}

/// A comparison of one cell with a fixed value.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Test {
    /// With a folded text; only `Has`, `Is` and `IsNot`.
    Text(Operator, String),
    /// With bytes, growth or a count, which all fit.
    Integer(Operator, i128),
    /// With a number.
    Number(Operator, f64),
    /// With an age in milliseconds; the same age is one that rounds down to it in this unit.
    Age(Operator, u64, u64),
}

/// What is wrong, and what to do when it is not the value that is.
type Refusal = (String, Option<&'static str>);

impl Test {
    pub(super) fn parse(kind: Kind, operator: Operator, value: &str) -> Result<Self, Refusal> {
        let bad = || (format!("'{value}' is no {}", Self::noun(kind)), None);
        match kind {
            Kind::Text => match operator {
                Operator::Has | Operator::Is | Operator::IsNot => Ok(Self::Text(operator, fold(value))),
                _ => Err((format!("'{}' does not compare texts such as", operator.word()), Some("use ':' or '=' with a text"))),
            },
            Kind::Bytes => {
                integer(value, bytes).filter(|number| *number >= 0).map(|number| Self::Integer(operator, number)).ok_or_else(bad)
            }
            Kind::Growth => integer(value, bytes).map(|number| Self::Integer(operator, number)).ok_or_else(bad),
            Kind::Count => {
                integer(value, count).filter(|number| *number >= 0).map(|number| Self::Integer(operator, number)).ok_or_else(bad)
            }
            Kind::Number => {
                let number = value.strip_suffix('%').unwrap_or(value).parse().ok().filter(|number: &f64| number.is_finite());
                number.map(|number| Self::Number(operator, number)).ok_or_else(bad)
            }
            Kind::Since => duration(value).map(|(age, unit)| Self::Age(operator, age, unit)).ok_or_else(bad),
        }
    }

    pub(super) fn holds(&self, cell: &Cell<'_>, now_ms: u64) -> bool {
        match (self, cell) {
            (Self::Text(Operator::Has, wanted), Cell::Text(text)) => contains(text, wanted),
            (Self::Text(Operator::IsNot, wanted), Cell::Text(text)) => !equals(text, wanted),
            (Self::Text(_, wanted), Cell::Text(text)) => equals(text, wanted),
            (Self::Integer(operator, wanted), Cell::Bytes(number) | Cell::Count(number)) => {
                operator.allows(i128::from(*number).cmp(wanted))
            }
            (Self::Integer(operator, wanted), Cell::Growth(number)) => operator.allows(i128::from(*number).cmp(wanted)),
            (Self::Number(operator, wanted), Cell::Number(number)) => {
                number.partial_cmp(wanted).is_some_and(|order| operator.allows(order))
            }
            (Self::Age(operator, wanted, unit), Cell::Since(since)) => {
                let age = now_ms.saturating_sub(*since);
                match operator {
                    Operator::Has | Operator::Is | Operator::IsNot => operator.allows((age / unit).cmp(&(wanted / unit))),
                    _ => operator.allows(age.cmp(wanted)),
                }
            }
            _ => false,
        }
    }

    /// When its outcome for a cell next changes with time alone, milliseconds since the Unix epoch.
    pub(super) fn changes_at(&self, cell: &Cell<'_>, now_ms: u64) -> Option<u64> {
        let (Self::Age(operator, wanted, unit), Cell::Since(since)) = (self, cell) else { return None };
        let rounded = wanted / unit * unit;
        let ages = match operator {
            Operator::Has | Operator::Is | Operator::IsNot => [rounded, rounded.saturating_add(*unit)],
            Operator::Above | Operator::AtMost => [wanted.saturating_add(1); 2],
            Operator::Below | Operator::AtLeast => [*wanted; 2],
        };
        ages.into_iter().map(|age| since.saturating_add(age)).find(|at| *at > now_ms)
    }

    /// Whether it asks for another text.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Text(Operator::IsNot, _))
    }

    /// Whether a column of these words could ever pass, or fail, by this; any text can where there are none.
    pub(super) fn concerns(&self, words: &[&str]) -> bool {
        match self {
            _ if words.is_empty() => true,
            Self::Text(Operator::Has, wanted) => words.iter().any(|word| contains(word, wanted)),
            Self::Text(_, wanted) => words.iter().any(|word| equals(word, wanted)),
            _ => true,
        }
    }

    /// What a value of this kind is called.
    fn noun(kind: Kind) -> &'static str {
        match kind {
            Kind::Text => "text",
            Kind::Bytes => "size",
            Kind::Growth => "change of a size",
            Kind::Count => "whole number",
            Kind::Number => "number",
            Kind::Since => "age",
        }
    }

    /// How values of this kind are written.
    pub(super) fn example(kind: Kind) -> &'static str {
        match kind {
            Kind::Text => "write a part of the text, quoted if it has spaces",
            Kind::Bytes => "write a size such as 4096, 1m or 1.5GiB",
            Kind::Growth => "write a change such as 1m or -64KiB",
            Kind::Count => "write a whole number such as 12 or 10k",
            Kind::Number => "write a number such as 0.5 or 50%",
            Kind::Since => "write an age such as 500ms, 5s, 10m, 1h30m or 2d",
        }
    }
}

/// A magnitude with an optional sign.
fn integer(text: &str, magnitude: impl Fn(&str) -> Option<u64>) -> Option<i128> {
    match text.strip_prefix('-') {
        Some(rest) => magnitude(rest).map(|number| -i128::from(number)),
        None => magnitude(text.strip_prefix('+').unwrap_or(text)).map(i128::from),
    }
}

fn bytes(text: &str) -> Option<u64> {
    text.parse::<Bytes>().ok().map(|bytes| bytes.0)
}

fn count(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|char: char| char.is_ascii_alphabetic());
    let scale = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 1,
        "k" => 1_000,
        "m" => 1_000_000,
        "g" => 1_000_000_000,
        _ => return None,
    };
    digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse::<u64>().ok())??.checked_mul(scale)
}

/// Milliseconds, and those of the smallest unit named. Parts such as `1h30m` add up.
pub(super) fn duration(text: &str) -> Option<(u64, u64)> {
    let mut rest = text;
    let mut total = 0_u64;
    let mut smallest = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.find(|char: char| !char.is_ascii_digit() && char != '.').filter(|len| *len > 0)?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|char: char| !char.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let unit = match unit.to_ascii_lowercase().as_str() {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        let part = match number.parse::<u64>() {
            Ok(whole) => whole.checked_mul(unit)?,
            Err(_) => {
                let part = number.parse::<f64>().ok()? * unit as f64;
                // Beyond this a fraction is not exact, and no age is that long.
                (part < 9e15).then_some(part.round() as u64)?
            }
        };
        total = total.checked_add(part)?;
        smallest = smallest.min(if number.contains('.') { 1 } else { unit });
        rest = tail;
    }
    (smallest != u64::MAX).then_some((total, smallest))
}
