use std::fs;

use super::*;

pub(super) const GIB: u64 = 1 << 30;

/// A directory that stands for `/`: 16 GiB of memory, 12 of them available.
pub(super) fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    write(&root, "proc/meminfo", "MemTotal:       16777216 kB\nMemFree:         1048576 kB\nMemAvailable:   12582912 kB\n");
    root
}

pub(super) fn write(root: &tempfile::TempDir, path: &str, text: &str) {
    let path = root.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

pub(super) fn v1(root: &tempfile::TempDir, group: &str, limit: &str, usage: u64, idle: u64) {
    let at = format!("sys/fs/cgroup/memory{group}");
    write(root, &format!("{at}/memory.limit_in_bytes"), limit);
    write(root, &format!("{at}/memory.usage_in_bytes"), &format!("{usage}\n"));
    write(root, &format!("{at}/memory.stat"), &format!("inactive_file 1\ntotal_inactive_file {idle}\n"));
}

pub(super) fn v2(root: &tempfile::TempDir, group: &str, limit: &str, usage: u64, idle: u64) {
    let at = format!("sys/fs/cgroup{group}");
    write(root, &format!("{at}/memory.max"), limit);
    write(root, &format!("{at}/memory.current"), &format!("{usage}\n"));
    write(root, &format!("{at}/memory.stat"), &format!("file 9\ninactive_file {idle}\nactive_file 7\n"));
}

pub(super) fn in_v1(root: &tempfile::TempDir, group: &str) {
    write(root, "proc/self/cgroup", &format!("4:memory:{group}\n0::/\n"));
    write(
        root,
        "proc/self/mountinfo",
        "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
    );
}

pub(super) fn in_v2(root: &tempfile::TempDir, group: &str) {
    write(root, "proc/self/cgroup", &format!("0::{group}\n"));
    write(root, "proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
}

fn read(root: &tempfile::TempDir) -> (u64, u64, String) {
    let machine = Machine::read_under(root.path()).unwrap();
    assert!(machine.cpus >= 1.0);
    (machine.total_bytes, machine.available_bytes, machine.source.to_string())
}

#[test]
fn without_control_groups_the_machine_counts() {
    let root = root();
    assert_eq!(read(&root), (16 * GIB, 12 * GIB, "machine".to_owned()));
    in_v1(&root, "/job");
    v1(&root, "/job", "9223372036854771712\n", GIB, 0);
    v1(&root, "", "9223372036854771712\n", GIB, 0);
    assert_eq!(read(&root), (16 * GIB, 12 * GIB, "machine".to_owned()));
}

#[test]
fn a_version_1_limit_bounds_both_numbers() {
    let root = root();
    in_v1(&root, "/job/step");
    v1(&root, "/job/step", &format!("{}\n", 4 * GIB), 3 * GIB, GIB);
    v1(&root, "/job", &format!("{}\n", 6 * GIB), 3 * GIB, 0);
    v1(&root, "", "9223372036854771712\n", 3 * GIB, 0);
    assert_eq!(read(&root), (4 * GIB, 2 * GIB, "cgroup v1".to_owned()));
}

#[test]
fn the_tightest_level_counts_for_each_number() {
    let root = root();
    in_v2(&root, "/a/b");
    v2(&root, "/a/b", &format!("{}\n", 4 * GIB), GIB, 0);
    v2(&root, "/a", &format!("{}\n", 8 * GIB), 7 * GIB, GIB / 2);
    // The parent has more in all and less to give, and the root group has no files.
    assert_eq!(read(&root), (4 * GIB, 3 * GIB / 2, "cgroup v2".to_owned()));
}

#[test]
fn head_room_follows_the_files() {
    let root = root();
    in_v2(&root, "/a");
    v2(&root, "/a", "max\n", 3 * GIB, 0);
    let head_room = HeadRoom::open_under(root.path()).unwrap();
    assert_eq!(head_room.bytes(), 12 * GIB);
    v2(&root, "/a", &format!("{}\n", 4 * GIB), 3 * GIB, 0);
    assert_eq!(head_room.bytes(), GIB);
    // Above its limit, as happens when a limit is lowered: nothing is left, and nothing wraps around.
    v2(&root, "/a", &format!("{}\n", 2 * GIB), 3 * GIB, 0);
    assert_eq!(head_room.bytes(), 0);
    v2(&root, "/a", &format!("{}\n", 15 * GIB), 0, 0);
    assert_eq!(head_room.bytes(), 12 * GIB);
    write(&root, "proc/meminfo", "MemTotal: 16777216 kB\nMemFree: 1024 kB\n");
    assert_eq!(head_room.bytes(), 1024 * 1024);
}

#[test]
fn an_unreadable_machine_is_named() {
    let root = tempfile::tempdir().unwrap();
    assert!(HeadRoom::open_under(root.path()).unwrap_err().to_string().contains("proc/meminfo"));
    write(&root, "proc/meminfo", "MemFree: 1 kB\n");
    assert!(Machine::read_under(root.path()).unwrap_err().to_string().contains("MemTotal"));
}

#[test]
fn this_machine_is_read() {
    let machine = Machine::read().unwrap();
    assert!(machine.available_bytes > 0 && machine.available_bytes <= machine.total_bytes, "{machine}");
    assert!(HeadRoom::open().unwrap().bytes() > 0);
}
