use super::super::tests::{GIB, in_v1, in_v2, root, v1, v2, write};
use super::*;

const LIMITS: Limits = Limits { share: 0.95, min_free: None };

fn read(root: &tempfile::TempDir) -> Reading {
    Gauge::open_under(root.path(), LIMITS).unwrap().read().unwrap()
}

fn inputs(root: &tempfile::TempDir) -> (u64, u64, u64, String) {
    let reading = read(root);
    (reading.total_bytes, reading.used_bytes, reading.file_cache_bytes, reading.source)
}

#[test]
fn without_a_limit_the_machine_counts() {
    let root = root();
    assert_eq!(inputs(&root), (16 * GIB, 4 * GIB, 0, "machine".to_owned()));
    assert_eq!(read(&root).threshold_bytes, (16.0 * GIB as f64 * 0.95) as u64);
    in_v2(&root, "/a");
    v2(&root, "/a", "max\n", 14 * GIB, 0);
    assert_eq!(inputs(&root).3, "machine");
    // A limit that the machine itself cannot keep is none, however full the group is.
    v2(&root, "/a", &format!("{}\n", 32 * GIB), 14 * GIB, 0);
    assert_eq!(inputs(&root), (16 * GIB, 4 * GIB, 0, "machine".to_owned()));
}

#[test]
fn the_cache_of_files_is_not_used_in_a_group_of_version_1() {
    let root = root();
    in_v1(&root, "/job");
    v1(&root, "/job", &format!("{}\n", 4 * GIB), 3 * GIB, GIB);
    assert_eq!(inputs(&root), (4 * GIB, 2 * GIB, GIB, "cgroup v1".to_owned()));
    // Pages in use are cache like the others; shared memory is not, though the kernel counts it as `cache`.
    let stat = format!("cache {}\nshmem {GIB}\ntotal_shmem {GIB}\ntotal_active_file {GIB}\ntotal_inactive_file {}\n", 3 * GIB, GIB / 2);
    write(&root, "sys/fs/cgroup/memory/job/memory.stat", &stat);
    assert_eq!(inputs(&root), (4 * GIB, 3 * GIB / 2, 3 * GIB / 2, "cgroup v1".to_owned()));
    // Read one after the other, the numbers may not fit each other.
    write(&root, "sys/fs/cgroup/memory/job/memory.usage_in_bytes", "4096\n");
    assert_eq!(inputs(&root), (4 * GIB, 0, 4096, "cgroup v1".to_owned()));
}

#[test]
fn the_cache_of_files_is_not_used_in_a_group_of_version_2() {
    let root = root();
    in_v2(&root, "/a/b");
    v2(&root, "/a/b", &format!("{}\n", 4 * GIB), 3 * GIB, GIB);
    let stat = format!("anon 1\nfile {}\nshmem {GIB}\ninactive_file {GIB}\nactive_file {}\n", 3 * GIB, GIB / 2);
    write(&root, "sys/fs/cgroup/a/b/memory.stat", &stat);
    write(&root, "sys/fs/cgroup/a/b/memory.pressure", "some avg10=12.50 avg60=1.00 avg300=0.10 total=9\nfull avg10=3.00 total=1\n");
    assert_eq!(inputs(&root), (4 * GIB, 3 * GIB / 2, 3 * GIB / 2, "cgroup v2".to_owned()));
    assert_eq!(read(&root).stalled_percent, Some(12.5));
    assert!(read(&root).formula().contains("3 GiB of usage - 1.50 GiB of file cache (cgroup v2)"), "{}", read(&root).formula());
}

#[test]
fn whatever_is_too_full_counts_before_what_is_small() {
    let root = root();
    in_v2(&root, "/a/b");
    v2(&root, "/a/b", &format!("{}\n", 4 * GIB), GIB, 0);
    v2(&root, "/a", &format!("{}\n", 8 * GIB), 2 * GIB, 0);
    assert_eq!(inputs(&root).0, 4 * GIB);
    // The group around it is shared with others, who fill it.
    v2(&root, "/a", &format!("{}\n", 8 * GIB), 8 * GIB - 4096, 0);
    assert_eq!(inputs(&root).0, 8 * GIB);
    assert!(read(&root).is_over());
    // And so can the machine be.
    write(&root, "proc/meminfo", "MemTotal: 16777216 kB\nMemAvailable: 1024 kB\n");
    assert_eq!(inputs(&root), (16 * GIB, 16 * GIB - (1 << 20), 0, "machine".to_owned()));
}

#[test]
fn pressure_is_read_where_it_is_told() {
    assert_eq!(stalled("some avg10=0.31 avg60=0.00 avg300=0.00 total=12\nfull avg10=9.00"), Some(0.31));
    for odd in ["", "full avg10=1.00", "some avg60=1.00", "some avg10=x", "some avg10=NaN"] {
        assert_eq!(stalled(odd), None, "{odd}");
    }
    let root = root();
    assert_eq!(read(&root).stalled_percent, None);
    write(&root, "proc/pressure/memory", "some avg10=1.00 avg60=0.00 avg300=0.00 total=12\n");
    assert_eq!(read(&root).stalled_percent, Some(1.0));
}

#[test]
fn this_machine_is_read() {
    let reading = Gauge::open(LIMITS).unwrap().read().unwrap();
    assert!(reading.used_bytes > 0 && reading.threshold_bytes < reading.total_bytes, "{reading:?}");
}
