//! The control groups around this process that may limit its memory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::{BUFFER, Source, read_whole};

/// Of the two designs of control groups, which.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Version {
    V1,
    V2,
}

/// One control group: this process's own, or one that contains it.
#[derive(Debug)]
pub(super) struct Level {
    version: Version,
    limit: File,
    usage: File,
    stat: Option<File>,
    /// Tells how long its processes wait for memory, where the kernel does.
    pub(super) pressure: PathBuf,
}

impl Level {
    pub(super) fn source(&self) -> Source {
        match self.version {
            Version::V1 => Source::CgroupV1,
            Version::V2 => Source::CgroupV2,
        }
    }

    /// The limit in bytes now; `None` when there is none. It may change while the process runs.
    pub(super) fn limit(&self) -> Option<u64> {
        number(&self.limit)
    }

    /// What the kernel charges to the group, in bytes: heaps, shared memory, and the cache of files.
    pub(super) fn usage(&self) -> Option<u64> {
        number(&self.usage)
    }

    /// The part of the usage that is cache of files, which the kernel drops before it refuses anything. Shared memory, as an object
    /// store's, is none of it, though the kernel's `cache` counts it there. Bytes.
    pub(super) fn file_cache(&self) -> u64 {
        let names = match self.version {
            Version::V1 => ["total_inactive_file", "total_active_file"],
            Version::V2 => ["inactive_file", "active_file"],
        };
        let mut buffer = [0; BUFFER];
        let Some(text) = self.stat.as_ref().and_then(|file| read_whole(file, &mut buffer)) else { return 0 };
        names.iter().filter_map(|name| stat_field(text, name)).fold(0, u64::saturating_add)
    }

    /// The lesser of `least` and what this group still has. A limit that is not below the machine's `total` cannot bind.
    pub(super) fn room(&self, total: u64, least: u64) -> u64 {
        let Some(limit) = self.limit().filter(|limit| *limit < total) else { return least };
        let Some(usage) = number(&self.usage) else { return least };
        let room = limit.saturating_sub(usage);
        if room >= least {
            return least;
        }
        // The usage counts cache that the kernel drops before it refuses anything. The file is the dearest one: read last.
        least.min(room.saturating_add(self.idle_cache().min(usage)))
    }

    fn idle_cache(&self) -> u64 {
        let name = match self.version {
            Version::V1 => "total_inactive_file",
            Version::V2 => "inactive_file",
        };
        let mut buffer = [0; BUFFER];
        self.stat.as_ref().and_then(|file| read_whole(file, &mut buffer)).and_then(|text| stat_field(text, name)).unwrap_or(0)
    }

    fn open(version: Version, directory: &Path) -> Option<Self> {
        let (limit, usage) = match version {
            Version::V1 => ("memory.limit_in_bytes", "memory.usage_in_bytes"),
            Version::V2 => ("memory.max", "memory.current"),
        };
        Some(Self {
            version,
            limit: File::open(directory.join(limit)).ok()?,
            usage: File::open(directory.join(usage)).ok()?,
            stat: File::open(directory.join("memory.stat")).ok(),
            pressure: directory.join("memory.pressure"),
        })
    }
}

/// Every group around this process that has memory files, innermost first. `root` stands for `/`.
pub(super) fn open_levels(root: &Path) -> Vec<Level> {
    let (Ok(memberships), Ok(mountinfo)) =
        (fs::read_to_string(root.join("proc/self/cgroup")), fs::read_to_string(root.join("proc/self/mountinfo")))
    else {
        return Vec::new();
    };
    directories(&memberships, &mountinfo)
        .into_iter()
        .filter_map(|(version, directory)| Level::open(version, &root.join(directory.strip_prefix("/").ok()?)))
        .collect()
}

/// The directories of the memory-limiting groups around a process, innermost first, from its `cgroup` and `mountinfo`.
fn directories(memberships: &str, mountinfo: &str) -> Vec<(Version, PathBuf)> {
    let mounts: Vec<Mount> = mountinfo.lines().filter_map(Mount::parse).collect();
    let mut found = Vec::new();
    for (version, path) in memberships.lines().filter_map(membership) {
        let Some(mount) = mounts.iter().find(|mount| mount.version == version) else { continue };
        // In a container the mount may show only a part of the tree, and the path may lie outside of it: then the mount point is the
        // nearest group that can be seen.
        let inside = path.strip_prefix(&mount.root).ok().filter(|inside| !inside.starts_with("..")).unwrap_or(Path::new(""));
        let own = mount.point.join(inside);
        found.extend(own.ancestors().take_while(|level| level.starts_with(&mount.point)).map(|level| (version, level.to_owned())));
    }
    found
}

/// A line `ID:CONTROLLERS:PATH` when that tree can limit memory.
fn membership(line: &str) -> Option<(Version, &Path)> {
    let mut fields = line.splitn(3, ':');
    let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let version = match controllers {
        "" => Version::V2,
        _ if controllers.split(',').any(|name| name == "memory") => Version::V1,
        _ => return None,
    };
    Some((version, Path::new(path)))
}

/// One mounted tree of control groups that can limit memory.
#[derive(PartialEq, Eq, Debug)]
struct Mount {
    version: Version,
    /// The group that the mount point shows.
    root: PathBuf,
    point: PathBuf,
}

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let (root, point) = (place.next()?, place.next()?);
        let mut kind = kind.split(' ');
        let version = match kind.next()? {
            "cgroup2" => Version::V2,
            "cgroup" if kind.nth(1)?.split(',').any(|option| option == "memory") => Version::V1,
            _ => return None,
        };
        Some(Self { version, root: unescape(root), point: unescape(point) })
    }
}

/// The kernel writes blanks and backslashes of a path as three octal digits.
fn unescape(text: &str) -> PathBuf {
    let plain = [(r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", r"\")]
        .iter()
        .fold(text.to_owned(), |text, (octal, plain)| text.replace(octal, plain));
    PathBuf::from(plain)
}

fn number(file: &File) -> Option<u64> {
    let mut buffer = [0; BUFFER];
    // Without a limit, version 2 says `max`.
    read_whole(file, &mut buffer)?.trim().parse().ok()
}

fn stat_field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_up_to_the_mount_point_is_found() {
        let memberships = "9:name=systemd:/x\n4:cpu,memory:/a/b\n1:cpu:/c\n0::/\n";
        let mountinfo = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
            35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:7 master:1 - cgroup cgroup rw,memory\n";
        let expected = ["/sys/fs/cgroup/memory/a/b", "/sys/fs/cgroup/memory/a", "/sys/fs/cgroup/memory"];
        assert_eq!(directories(memberships, mountinfo), expected.map(|path| (Version::V1, PathBuf::from(path))));

        let mountinfo = "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(
            directories("0::/user.slice/my session\n", mountinfo),
            ["/sys/fs/cgroup/user.slice/my session", "/sys/fs/cgroup/user.slice", "/sys/fs/cgroup"]
                .map(|path| (Version::V2, PathBuf::from(path)))
        );
    }

    #[test]
    fn a_container_sees_only_its_part_of_the_tree() {
        let mountinfo = r"35 31 0:32 /docker/ab /sys/fs/cg\040m rw - cgroup cgroup rw,memory";
        let whole = [(Version::V1, PathBuf::from("/sys/fs/cg m"))];
        assert_eq!(directories("4:memory:/docker/ab", mountinfo), whole);
        assert_eq!(directories("4:memory:/docker/other", mountinfo), whole);
        assert_eq!(directories("4:memory:/docker/ab/in", mountinfo)[0].1, Path::new("/sys/fs/cg m/in"));
        let mountinfo = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
        assert_eq!(directories("0::/../../outside", mountinfo), [(Version::V2, PathBuf::from("/sys/fs/cgroup"))]);
    }

    #[test]
    fn malformed_lines_are_passed_over() {
        assert!(directories("x\n4:memory\n", "no dash\n1 2 - cgroup\n1 2 3 / /m rw - cgroup x\n - \n").is_empty());
        assert_eq!(stat_field("inactive_file_x 3\ninactive_file 5\n", "inactive_file"), Some(5));
        assert_eq!(stat_field("inactive_file five\n", "inactive_file"), None);
    }
}
