//! A memory control group around the test's process and all that it starts.

use std::fs;
use std::path::{Path, PathBuf};

/// The group; left and removed when dropped.
pub(crate) struct Group {
    path: PathBuf,
    parent: PathBuf,
    /// Version 2, with one tree for everything.
    unified: bool,
}

impl Group {
    /// Makes a group with a limit in bytes and moves this process into it. `None`, and the reason in stderr, where that is not possible.
    pub(crate) fn enter(limit: u64) -> Option<Self> {
        let refused = |cause: &str| eprintln!("NOT TESTED: no memory control group can be made: {cause}");
        if !rustix::process::geteuid().is_root() {
            refused("this is not root");
            return None;
        }
        let memberships = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mut causes = String::new();
        for line in memberships.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let (base, unified) = match controllers {
                "" => (Path::new("/sys/fs/cgroup"), true),
                controllers if controllers.split(',').any(|name| name == "memory") => (Path::new("/sys/fs/cgroup/memory"), false),
                _ => continue,
            };
            for parent in [base.join(path.trim_start_matches('/')), base.to_owned()] {
                match Self::make(&parent, unified, limit) {
                    Ok(group) => return Some(group),
                    Err(error) => causes += &format!("{}: {error}; ", parent.display()),
                }
            }
        }
        refused(&causes);
        None
    }

    fn make(parent: &Path, unified: bool, limit: u64) -> std::io::Result<Self> {
        if unified {
            let _ = fs::write(parent.join("cgroup.subtree_control"), "+memory");
        }
        let path = parent.join(format!("plasmon-test-{}", std::process::id()));
        fs::create_dir(&path)?;
        let group = Self { path, parent: parent.to_owned(), unified };
        // When the file is not there, neither is the controller; the group goes as it came.
        let file = group.path.join(if unified { "memory.max" } else { "memory.limit_in_bytes" });
        fs::OpenOptions::new().write(true).open(&file)?;
        fs::write(&file, limit.to_string())?;
        fs::write(group.path.join("cgroup.procs"), std::process::id().to_string())?;
        Ok(group)
    }

    /// How many processes of it the kernel has killed for want of memory.
    pub(crate) fn kills(&self) -> u64 {
        let file = self.path.join(if self.unified { "memory.events" } else { "memory.oom_control" });
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")).and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::write(self.parent.join("cgroup.procs"), std::process::id().to_string());
        if let Err(error) = fs::remove_dir(&self.path) {
            eprintln!("{} stays: {error}", self.path.display());
        }
    }
}
