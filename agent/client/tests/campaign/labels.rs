//! The points inside the client library at which processes die, and how often they are passed first.

use crate::support::Random;

/// A point, who dies there, and at most how many passes it survives: a point that every put passes is left alone longer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Label {
    pub(crate) who: &'static str,
    pub(crate) name: &'static str,
    most: u64,
}

const fn driver(name: &'static str, most: u64) -> Label {
    Label { who: "driver", name, most }
}

const fn worker(name: &'static str, most: u64) -> Label {
    Label { who: "worker", name, most }
}

/// Every point that the load passes.
pub(crate) const LABELS: &[Label] = &[
    driver("hello_sent", 1),
    driver("welcomed", 1),
    driver("mapped", 1),
    driver("slots_given", 1),
    driver("leased", 6),
    driver("writable", 6),
    driver("mid_copy", 60),
    driver("copied", 60),
    driver("drafted", 4),
    driver("sealed", 3),
    driver("released", 3),
    driver("staged", 20),
    driver("mid_ring_write", 400),
    driver("before_publication", 400),
    driver("before_wake", 300),
    driver("get_asked", 10),
    driver("pin_answered", 10),
    driver("pin_unclaimed", 2),
    driver("mid_pin", 100),
    driver("pinned", 60),
    driver("mid_unpin", 60),
    driver("unpinned", 60),
    driver("borrowed", 20),
    driver("views_kept", 3),
    driver("handle_dropped", 100),
    driver("before_submit", 20),
    driver("submitted", 20),
    driver("actor_asked", 1),
    driver("actor_found", 4),
    driver("bye_said", 1),
    worker("booted", 1),
    worker("hello_sent", 1),
    worker("welcomed", 1),
    worker("mapped", 1),
    worker("task_started", 6),
    worker("before_output", 4),
    worker("output_sent", 4),
    worker("before_ended", 4),
    worker("slots_given", 1),
    worker("leased", 1),
    worker("writable", 1),
    worker("mid_copy", 8),
    worker("copied", 8),
    worker("staged", 2),
    worker("mid_ring_write", 40),
    worker("before_publication", 40),
    worker("before_wake", 20),
    worker("blocked", 1),
    worker("get_asked", 1),
    worker("pin_answered", 1),
    worker("mid_pin", 2),
    worker("pinned", 2),
    worker("mid_unpin", 2),
    worker("unpinned", 2),
    worker("borrowed", 2),
    worker("handle_dropped", 3),
    worker("before_submit", 1),
    worker("submitted", 1),
    worker("actor_ready", 1),
    worker("actor_over", 1),
    worker("bye_said", 1),
];

impl Label {
    /// As the order to die there, some time.
    pub(crate) fn order(self, random: &mut Random) -> String {
        format!("{}:{}:{}", self.who, self.name, 1 + random.below(self.most))
    }

    /// As the order to die there at once.
    pub(crate) fn at_once(self) -> String {
        format!("{}:{}:1", self.who, self.name)
    }

    /// As in the log of deaths.
    pub(crate) fn line(self) -> String {
        format!("{} {}", self.who, self.name)
    }
}
