//! Numbers that have just changed: an arrow behind each says which way.

use std::cmp::Ordering;

use super::format::width;
use super::paint::Paint;
use super::theme::Role;

/// The numbers that a text shows: `1.50G`, `97 %`, `1,204`, `134M in 5 files`.
fn magnitudes(text: &str) -> Vec<f64> {
    let mut numbers = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(|char: char| char.is_ascii_digit()) {
        let minus = rest[..start].ends_with('-');
        let tail = &rest[start..];
        let end = tail.find(|char: char| !(char.is_ascii_digit() || matches!(char, '.' | ','))).unwrap_or(tail.len());
        let digits: String = tail[..end].trim_end_matches(['.', ',']).chars().filter(|char| *char != ',').collect();
        let unit = match tail[end..].chars().next() {
            Some('k' | 'K') => 1e3,
            Some('M') => 1e6,
            Some('G') => 1e9,
            Some('T') => 1e12,
            _ => 1.0,
        };
        numbers.extend(digits.parse::<f64>().ok().map(|number| if minus { -number * unit } else { number * unit }));
        rest = &tail[end..];
    }
    numbers
}

/// Whether the first number that differs from what was shown before rose or fell; nothing where other words stood there.
#[must_use]
pub fn trend(now: &str, before: &str) -> Option<Ordering> {
    if now == before {
        return None;
    }
    let (now, before) = (magnitudes(now), magnitudes(before));
    if now.len() != before.len() {
        return None;
    }
    now.iter().zip(&before).find_map(|(now, before)| now.partial_cmp(before).filter(|order| order.is_ne()))
}

impl Paint<'_> {
    /// Marks in one cell that a figure is another than before.
    pub fn trend(&mut self, x: u16, y: u16, now: &str, before: Option<&str>) {
        let sign = match before.and_then(|before| trend(now, before)) {
            Some(Ordering::Greater) => "↑",
            Some(Ordering::Less) => "↓",
            _ => return,
        };
        self.text(x, y, 1, sign, Role::Accent);
    }

    /// A figure, and behind it which way it went; where it ends.
    pub fn figure(&mut self, x: u16, y: u16, max: u16, (now, before): (&str, Option<&str>), role: Role) -> u16 {
        let end = self.text(x, y, max, now, role);
        if max > width(now) {
            self.trend(end, y, now, before);
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_compared_by_what_they_show() {
        assert_eq!(trend("1.50G", " 999M"), Some(Ordering::Greater));
        assert_eq!(trend("9 %", "97 %"), Some(Ordering::Less));
        assert_eq!(trend("1,204", "1,203"), Some(Ordering::Greater));
        assert_eq!(trend("+12.0M ▲", "-12.0M ▼"), Some(Ordering::Greater));
        assert_eq!(trend("134M in 5 files, 86 % live", "134M in 5 files, 87 % live"), Some(Ordering::Less), "the first that differs");
        assert_eq!(trend("1 CPU, 2 GiB", "1 CPU"), None, "other words");
        assert_eq!(trend("-", "4"), None);
        assert_eq!(trend("7", "7"), None);
        assert_eq!(magnitudes("a.rs:12, 3."), [12.0, 3.0]);
    }
}
