//! Figures and texts in a fixed number of cells.

use std::borrow::Cow;

use plasmon_protocol::size::cells;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The width of a text in cells.
#[must_use]
pub fn width(text: &str) -> u16 {
    u16::try_from(text.width()).unwrap_or(u16::MAX)
}

/// At most `max` cells of a text; what is cut from its end shows as `…`.
#[must_use]
pub fn cut(text: &str, max: u16) -> Cow<'_, str> {
    if width(text) <= max {
        return Cow::Borrowed(text);
    }
    let mut used = 0;
    let mut kept = String::new();
    for char in text.chars() {
        let next = used + char.width().unwrap_or(0);
        if next + 1 > usize::from(max) {
            break;
        }
        used = next;
        kept.push(char);
    }
    if max > 0 {
        kept.push('…');
    }
    Cow::Owned(kept)
}

/// At most `max` cells of a path or id: the end is what tells it from others.
#[must_use]
pub fn cut_start(text: &str, max: u16) -> Cow<'_, str> {
    if width(text) <= max {
        return Cow::Borrowed(text);
    }
    let mut used = 0;
    let mut kept = Vec::new();
    for char in text.chars().rev() {
        let next = used + char.width().unwrap_or(0);
        if next + 1 > usize::from(max) {
            break;
        }
        used = next;
        kept.push(char);
    }
    let start = if max > 0 { "…" } else { "" };
    Cow::Owned(start.chars().chain(kept.into_iter().rev()).collect())
}

/// At most `max` cells of a text that may end with a place in brackets or a line of code: what is in brackets goes first, then the end
/// of what stands before the place, for the place is what tells it from others.
#[must_use]
pub fn fitted(text: &str, max: u16) -> Cow<'_, str> {
    if width(text) <= max {
        return Cow::Borrowed(text);
    }
    let is_place = |word: &str| {
        let line = word.rsplit_once(':').map_or("", |(_, line)| line);
        !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit())
    };
    let last = |text: &str| text.rsplit(' ').next().is_some_and(is_place);
    let bare = text.strip_suffix(')').and_then(|text| text.rsplit_once(" (")).map(|(bare, _)| bare);
    let text = bare.filter(|bare| last(bare)).unwrap_or(text);
    let text =
        text.strip_prefix('(').and_then(|text| text.split_once(") ")).map(|(_, bare)| bare).filter(|bare| last(bare)).unwrap_or(text);
    match text.rsplit_once(' ').filter(|(_, place)| is_place(place)) {
        Some((name, place)) if width(text) > max && width(place) + 3 <= max => {
            Cow::Owned(format!("{} {place}", cut(name, max - width(place) - 1)))
        }
        _ => cut(text, max),
    }
}

/// A size in as few cells as it needs, at most five: `180M`.
#[must_use]
pub fn size(bytes: u64) -> String {
    cells(bytes).trim_start().to_owned()
}

/// A change of a size, eight cells: ` +12.0M ▲`.
#[must_use]
pub fn growth(bytes: i64) -> String {
    match bytes {
        0 => "0  ".to_owned(),
        1.. => format!("+{} ▲", size(bytes.unsigned_abs())),
        _ => format!("-{} ▼", size(bytes.unsigned_abs())),
    }
}

/// A number of things in at most five cells: `99999`, ` 123k`, `1.23M`.
#[must_use]
pub fn count(number: u64) -> String {
    let scaled = |value: f64, unit: char| match value {
        value if value < 9.995 => format!("{value:.2}{unit}"),
        value if value < 99.95 => format!("{value:.1}{unit}"),
        value => format!("{value:.0}{unit}"),
    };
    match number {
        0..100_000 => number.to_string(),
        100_000..999_500 => scaled(number as f64 / 1e3, 'k'),
        999_500..999_500_000 => scaled(number as f64 / 1e6, 'M'),
        999_500_000..999_500_000_000 => scaled(number as f64 / 1e9, 'G'),
        _ => scaled(number as f64 / 1e12, 'T'),
    }
}

/// A number of things in full, in groups of three: `1,312,004`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 row`, `1,312 rows`.
#[must_use]
pub fn things(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { many })
}

/// The time since an instant, in at most four cells: `14s`, `3m`, `23h`, `5d`; nothing for the instant 0.
#[must_use]
pub fn age(now_ms: u64, then_ms: u64) -> String {
    if then_ms == 0 { String::new() } else { span(now_ms.saturating_sub(then_ms)) }
}

/// A length of time in at most four cells.
#[must_use]
pub fn span(ms: u64) -> String {
    match ms / 1000 {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m", seconds / 60),
        seconds @ 3600..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", (seconds / 86_400).min(999)),
    }
}

/// A length of time with both its parts: `42s`, `14m`, `2h 07m`, `3d 04h`.
#[must_use]
pub fn long_span(ms: u64) -> String {
    match ms / 1000 {
        seconds @ 0..3600 => span(seconds * 1000),
        seconds @ 3600..86_400 => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
        seconds => format!("{}d {:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// How long something took, to three digits: `0.21s`, `14.2s`, `3m`.
#[must_use]
pub fn took(ms: u64) -> String {
    match ms {
        0..10_000 => format!("{:.2}s", ms as f64 / 1000.0),
        10_000..60_000 => format!("{:.1}s", ms as f64 / 1000.0),
        _ => span(ms),
    }
}

/// The time of day, `hh:mm:ss`.
#[must_use]
pub fn clock(at_ms: u64, utc_offset_ms: i64) -> String {
    let seconds = at_ms.saturating_add_signed(utc_offset_ms) / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// A share, `40 %`; a share that is neither nothing nor all never rounds to either.
#[must_use]
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 || part == 0 {
        return "0 %".to_owned();
    }
    let share = (part as f64 * 100.0 / whole as f64).round();
    match share {
        share if share < 1.0 => "<1 %".to_owned(),
        share if share >= 100.0 && part < whole => "99 %".to_owned(),
        share => format!("{share:.0} %"),
    }
}

/// A number of CPUs: `2`, `0.5`.
#[must_use]
pub fn cpus(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_by_cells_and_never_within_a_character() {
        assert_eq!(cut("remember", 8), "remember");
        assert_eq!(cut("remember", 5), "reme…");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("x", 0), "");
        assert_eq!(cut_start("src/bin/demo.rs", 8), "…demo.rs");
        assert_eq!(cut_start("日本語", 4), "…語");
        let place = "remember demo.rs:142 (put object)";
        let lengths = [40, 33, 32, 20, 19, 14, 13, 5, 0];
        let cut = lengths.map(|max| fitted(place, max).into_owned());
        let bare = "remember demo.rs:142";
        assert_eq!(fitted("worker 4730 died (exit code 101)", 20), "worker 4730 died (e…", "no place");
        assert_eq!(cut, [place, place, bare, bare, "rememb… demo.rs:142", "r… demo.rs:142", "remember dem…", "reme…", ""]);
    }

    #[test]
    fn figures_keep_their_width() {
        for number in [0, 9, 99_999, 100_000, 999_499, 999_500, 1_234_567, 99_950_000, 999_499_999, 1_000_000_000, 10_u64.pow(12)] {
            assert!(count(number).len() <= 5, "{number}: {}", count(number));
        }
        assert_eq!(count(1_234_567), "1.23M");
        assert_eq!(grouped(1_312_004), "1,312,004");
        assert_eq!(things(1, "row", "rows"), "1 row");
        assert_eq!(growth(12 << 20), "+12.0M ▲");
        assert_eq!(growth(-(180 << 20)), "-180M ▼");
        assert!(width(&growth(i64::MIN)) <= 8);
        assert_eq!([0, 59_999, 60_000, 3_600_000, 172_800_000].map(span), ["0s", "59s", "1m", "1h", "2d"]);
        assert_eq!(clock(1_000, -2_000), "00:00:00");
        assert_eq!(clock(50_602_000, 0), "14:03:22");
        assert_eq!([percent(0, 9), percent(1, 1000), percent(999, 1000), percent(1000, 1000)], ["0 %", "<1 %", "99 %", "100 %"]);
        assert_eq!(long_span(7_620_000), "2h 07m");
        assert_eq!(cpus(2.0), "2");
        assert_eq!(cpus(0.5), "0.5");
    }
}
