//! Labelled points at which a process can be made to die, for tests of what death leaves behind. Without the feature `failpoints`,
//! as in every release, a point is no code at all.
//!
//! `PLASMON_FAILPOINT` is a list of orders, separated by commas: `WHO:LABEL:COUNT` or `WHO:LABEL:COUNT:PID`, where `WHO` is `driver` or
//! `worker`. Such a process kills itself (or the process `PID`) with SIGKILL when it passes the point `LABEL` for the `COUNT`th time.
//! Each death is a line `WHO LABEL` in the file `PLASMON_FAILPOINT_LOG`, if that is set.

use plasmon_memory::copy::{FAR, copy_slice_past_caches};

use crate::writer::Reach;

#[cfg(feature = "failpoints")]
pub(crate) use armed::{become_worker, install, pass};

/// A point: passed by, unless an order names it.
macro_rules! failpoint {
    ($label:literal) => {
        #[cfg(feature = "failpoints")]
        $crate::failpoint::pass($label)
    };
}

/// Copies an object's bytes into their room.
#[inline]
pub(crate) fn copy(room: &mut [u8], bytes: &[u8]) {
    copy_by(room, bytes, <[u8]>::copy_from_slice);
}

#[inline]
fn copy_by(room: &mut [u8], bytes: &[u8], copy: impl Fn(&mut [u8], &[u8])) {
    #[cfg(feature = "failpoints")]
    let (room, bytes) = {
        let half = bytes.len() / 2;
        let ((first, room), (begin, bytes)) = (room.split_at_mut(half), bytes.split_at(half));
        copy(first, begin);
        failpoint!("mid_copy");
        (room, bytes)
    };
    copy(room, bytes);
}

/// Bytes that are copied behind the backing at once.
const STEP: usize = 2 << 20;

/// The same behind the backing, as far as that comes.
#[inline]
pub(crate) fn copy_behind(room: &mut [u8], bytes: &[u8], reach: &Reach<'_>) {
    if bytes.len() < FAR && reach.is_all() { copy(room, bytes) } else { copy_long(room, bytes, reach) }
}

fn copy_long(room: &mut [u8], bytes: &[u8], reach: &Reach<'_>) {
    let by = if bytes.len() < FAR { <[u8]>::copy_from_slice } else { copy_slice_past_caches };
    if reach.is_all() {
        return copy_by(room, bytes, by);
    }
    let mut at = 0;
    for (room, bytes) in room.chunks_mut(STEP).zip(bytes.chunks(STEP)) {
        if !reach.comes(at..at + bytes.len()) {
            return;
        }
        copy_by(room, bytes, by);
        at += bytes.len();
    }
}

#[cfg(feature = "failpoints")]
mod armed {
    use std::fs::File;
    use std::io::Write;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use rustix::process::{Pid, Signal, getpid, kill_process};

    const ORDERS: &str = "PLASMON_FAILPOINT";
    const LOG: &str = "PLASMON_FAILPOINT_LOG";

    static WORKER: AtomicBool = AtomicBool::new(false);

    struct Order {
        who: &'static str,
        label: String,
        /// Passes that are left until it is carried out.
        left: AtomicU64,
        /// Who dies; this process without it.
        victim: Option<Pid>,
    }

    /// This process passes the point `label`.
    pub(crate) fn pass(label: &str) {
        static THESE: OnceLock<Vec<Order>> = OnceLock::new();
        for order in THESE.get_or_init(orders).iter().filter(|order| order.label == label) {
            if order.left.fetch_sub(1, Ordering::Relaxed) == 1 {
                carry_out(order);
            }
        }
    }

    /// Orders to workers are this process's. Before its first point.
    pub(crate) fn become_worker() {
        WORKER.store(true, Ordering::Relaxed);
    }

    /// Points inside the memory crate are passed here too. Only for clients: an agent in the same executable has no points.
    pub(crate) fn install() {
        plasmon_memory::failpoint::install(pass);
    }

    fn orders() -> Vec<Order> {
        let who = if WORKER.load(Ordering::Relaxed) { "worker" } else { "driver" };
        let list = std::env::var(ORDERS).unwrap_or_default();
        list.split(',').filter_map(|order| order.strip_prefix(who)?.strip_prefix(':')).filter_map(|order| parse(who, order)).collect()
    }

    fn parse(who: &'static str, order: &str) -> Option<Order> {
        let mut parts = order.split(':');
        let (label, count) = (parts.next()?.to_owned(), parts.next()?.parse().ok()?);
        let victim = parts.next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
        Some(Order { who, label, left: AtomicU64::new(count), victim })
    }

    fn carry_out(order: &Order) {
        if let Some(path) = std::env::var_os(LOG)
            && let Ok(mut log) = File::options().append(true).create(true).open(path)
        {
            // One write: lines of several processes don't mix.
            let _ = log.write_all(format!("{} {}\n", order.who, order.label).as_bytes());
        }
        let _ = kill_process(order.victim.unwrap_or_else(getpid), Signal::KILL);
    }
}
