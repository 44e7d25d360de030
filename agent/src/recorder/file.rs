//! The file of a recording that never ends: it grows at its end, and loses whole segments at its front.

use std::collections::VecDeque;
use std::fs::{self, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use plasmon_protocol::recording::{KEPT_MS, Lines};
use rustix::fs::OFlags;

/// See the module.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    file: fs::File,
    len: u64,
    limit: u64,
    /// Where each segment begins: on the agent's clock, and in the file.
    segments: VecDeque<(u64, u64)>,
}

fn open(path: &Path) -> io::Result<fs::File> {
    let nofollow = OFlags::NOFOLLOW.bits().cast_signed();
    OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).custom_flags(nofollow).open(path)
}

impl File {
    /// An empty one, which will have at most `limit` bytes.
    pub(super) fn create(path: &Path, limit: u64) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: open(path)?, len: 0, limit, segments: VecDeque::new() })
    }

    /// Adds lines of this instant; the first ones begin a segment. What is older than it must be is dropped when a segment begins, if that
    /// is worth the copying; and what must be for the limit's sake is dropped at any time.
    pub(super) fn append(&mut self, lines: &Lines, at_ms: u64) -> io::Result<()> {
        let bytes = lines.text.len() as u64;
        if bytes == 0 {
            return Ok(());
        }
        let mut drop_to = 0;
        if lines.begins {
            let begins = self.segments.iter().skip(1).map(|(begins_ms, at)| (begins_ms + KEPT_MS, *at));
            let old = begins.take_while(|(until_ms, _)| *until_ms <= at_ms).last().map_or(0, |(_, at)| at);
            if old > self.len / 4 {
                drop_to = old;
            }
        }
        if self.len - drop_to + bytes > self.limit {
            // More than it takes: the next lines need room too.
            let wanted = (self.len + bytes).saturating_sub(self.limit / 4 * 3);
            let rest = if lines.begins { self.len } else { self.segments.back().map_or(0, |(_, at)| *at) };
            drop_to = self.segments.iter().map(|(_, at)| *at).find(|at| *at >= wanted).unwrap_or(rest).max(drop_to);
        }
        if drop_to > 0 {
            self.drop_front(drop_to)?;
        }
        if lines.begins {
            self.segments.push_back((at_ms, self.len));
        }
        self.file.write_all(lines.text.as_bytes())?;
        self.len += bytes;
        Ok(())
    }

    /// Replaces the file by one without its first bytes; whoever reads sees the one or the other, whole.
    fn drop_front(&mut self, bytes: u64) -> io::Result<()> {
        let draft = self.path.with_extension("new");
        let mut file = open(&draft)?;
        self.file.seek(SeekFrom::Start(bytes))?;
        self.len = io::copy(&mut self.file, &mut file)?;
        fs::rename(&draft, &self.path)?;
        self.file = file;
        self.segments.retain(|(_, at)| *at >= bytes);
        self.segments.iter_mut().for_each(|(_, at)| *at -= bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(text: &str, begins: bool) -> Lines {
        Lines { text: text.to_owned(), begins, left_out: 0 }
    }

    #[test]
    fn what_is_old_is_dropped_by_whole_segments() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("recording");
        let mut file = File::create(&path, 1 << 20).unwrap();
        for minute in 0..60_u64 {
            let at_ms = minute * 60_000;
            file.append(&lines(&format!("begin {minute}\n"), true), at_ms).unwrap();
            file.append(&lines(&format!("more {minute}\n"), false), at_ms + 30_000).unwrap();
            let text = fs::read_to_string(&path).unwrap();
            let kept: Vec<&str> = text.lines().collect();
            assert!(kept[0].starts_with("begin "), "{text}");
            assert_eq!(*kept.last().unwrap(), format!("more {minute}"));
            let first: u64 = kept[0]["begin ".len()..].parse().unwrap();
            // Ten minutes are there once they have been; never twice as many.
            assert!(first <= minute.saturating_sub(10) && minute - first < 20, "{first} at {minute}");
            assert_eq!(kept.len() as u64, 2 * (minute - first + 1));
        }
    }

    #[test]
    fn a_full_place_is_an_error() {
        let mut file = File::create(Path::new("/dev/full"), 1 << 20).unwrap();
        assert_eq!(file.append(&lines("x\n", true), 1).unwrap_err().raw_os_error(), Some(rustix::io::Errno::NOSPC.raw_os_error()));
    }

    #[test]
    fn a_link_is_not_followed_and_the_file_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let place = tempfile::tempdir().unwrap();
        let (path, link) = (place.path().join("recording"), place.path().join("link"));
        File::create(&path, 1).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(File::create(&link, 1).is_err());
    }

    proptest! {
        /// Whatever is written when: the file begins with a segment, is never larger than its limit, and ends with what was written last.
        #[test]
        fn the_limit_holds(steps in proptest::collection::vec((1_usize..2_500, any::<bool>(), 0_u64..200_000), 1..60)) {
            const LIMIT: u64 = 10_000;
            let place = tempfile::tempdir().unwrap();
            let path = place.path().join("recording");
            let mut file = File::create(&path, LIMIT).unwrap();
            let (mut at_ms, mut segment) = (0, 0);
            for (step, (bytes, begins, later)) in steps.into_iter().enumerate() {
                at_ms += later;
                // As the recorder does: no segment takes more than a quarter, before its last lines.
                let begins = begins || step == 0 || segment > LIMIT as usize / 4;
                let text = format!("{}{}\n", if begins { 'B' } else { 'm' }, "x".repeat(bytes));
                segment = if begins { text.len() } else { segment + text.len() };
                file.append(&lines(&text, begins), at_ms).unwrap();
                let found = fs::read_to_string(&path).unwrap();
                prop_assert!(found.len() as u64 <= LIMIT, "{}", found.len());
                prop_assert!(found.starts_with('B') && found.ends_with(&text));
                prop_assert_eq!(found.len() as u64, file.len);
                let begun: Vec<u64> = file.segments.iter().map(|(_, at)| *at).collect();
                let lines = found.split_inclusive('\n').scan(0, |at, line| { let begin = *at; *at += line.len() as u64; Some((begin, line)) });
                prop_assert_eq!(begun, lines.filter(|(_, line)| line.starts_with('B')).map(|(at, _)| at).collect::<Vec<_>>());
            }
        }
    }
}
