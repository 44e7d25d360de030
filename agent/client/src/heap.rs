//! The most that this process's heap had since it was last asked, for workers that tell what their tasks use.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::time::Duration;

/// Tasks that are shorter are not worth a look: it costs some ten microseconds, and nobody fills much memory in so little time.
pub(crate) const WORTH_A_LOOK: Duration = Duration::from_millis(5);

/// Larger than the kernel's text about a process.
const BUFFER: usize = 8 * 1024;

struct Meter {
    status: File,
    /// Written to, the kernel forgets the peak that it has seen so far. Not every system lets a process do so.
    forget: Option<File>,
}

fn meter() -> Option<&'static Meter> {
    static METER: OnceLock<Option<Meter>> = OnceLock::new();
    let open = || {
        let forget = File::options().write(true).open("/proc/self/clear_refs").ok();
        Some(Meter { status: File::open("/proc/self/status").ok()?, forget })
    };
    METER.get_or_init(open).as_ref()
}

/// The largest heap since the last call, bytes; where the kernel does not let its peak be forgotten, the heap of this moment. `None` when it
/// cannot be read.
pub(crate) fn take_peak() -> Option<u64> {
    let meter = meter()?;
    let mut buffer = [0; BUFFER];
    let length = meter.status.read_at(&mut buffer, 0).ok()?;
    let text = std::str::from_utf8(buffer.get(..length)?).ok()?;
    // The write says which peak: that of the resident set.
    let forgets = meter.forget.as_ref().is_some_and(|forget| forget.write_at(b"5", 0).is_ok());
    peak(text, forgets)
}

/// The peak of the resident set less what of it is shared; what was shared then is hardly more than what is now.
fn peak(status: &str, forgets: bool) -> Option<u64> {
    let field = |name| {
        let line = status.lines().find_map(|line: &str| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    };
    let now = field("RssAnon:")?;
    if !forgets {
        return Some(now);
    }
    let shared = field("RssFile:").unwrap_or(0) + field("RssShmem:").unwrap_or(0);
    Some(field("VmHWM:").map_or(now, |peak| peak.saturating_sub(shared).max(now)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_texts_are_read() {
        let status =
            "Name:\tapp\nVmHWM:\t    9000 kB\nVmRSS:\t    5000 kB\nRssAnon:\t    2000 kB\nRssFile:\t    1000 kB\nRssShmem:\t 2000 kB\n";
        assert_eq!(peak(status, true), Some(6000 * 1024));
        assert_eq!(peak(status, false), Some(2000 * 1024));
        assert_eq!(peak("RssAnon:\t 2 kB\n", true), Some(2048));
        assert_eq!(peak("Name:\tapp\n", true), None);
    }

    #[test]
    fn a_peak_is_seen_after_it_is_over_and_once() {
        const MUCH: usize = 64 << 20;
        take_peak().unwrap();
        let much = std::hint::black_box(vec![1_u8; MUCH]);
        drop(much);
        let Some(Meter { forget: Some(_), .. }) = meter() else { return };
        let with = take_peak().unwrap();
        assert!(with >= MUCH as u64, "{with}");
        let without = take_peak().unwrap();
        assert!(without < with - MUCH as u64 / 2, "{without} after {with}");
    }
}
