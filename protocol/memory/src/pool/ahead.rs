//! Pages are entered while others are written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::{ALONE, Pool};

/// A thread that enters the parts of a range into the page table while its begin is written already: it is about as fast as the copy
/// behind it, which would fault once for each page otherwise.
#[derive(Debug)]
pub(super) struct Ahead {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ahead {
    /// The first bytes are entered before this returns; all of them where there is no thread to be had.
    pub(super) fn begin(pool: &Arc<Pool>, missing: Vec<(u64, u64)>) -> Option<Self> {
        let steps = |missing: Vec<(u64, u64)>| {
            let step = |(offset, length)| (0..length).step_by(ALONE as usize).map(move |at| (offset + at, ALONE.min(length - at)));
            missing.into_iter().flat_map(step)
        };
        let mut rest = steps(missing.clone());
        let first = rest.next()?;
        pool.segment.map_ahead(first.0, first.1);
        let (stop, of) = (Arc::new(AtomicBool::new(false)), Arc::clone(pool));
        let stopped = Arc::clone(&stop);
        let enter = move || {
            // A wish: should it come too late for some, they are faulted in.
            rest.take_while(|_| !stopped.load(Ordering::Relaxed)).for_each(|(offset, length)| of.segment.map_ahead(offset, length));
        };
        match std::thread::Builder::new().name("plasmon ahead".to_owned()).spawn(enter) {
            Ok(thread) => Some(Self { stop, thread: Some(thread) }),
            Err(_) => {
                steps(missing).skip(1).for_each(|(offset, length)| pool.segment.map_ahead(offset, length));
                None
            }
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
