//! Fences between a side that is hot and one that is not: the other one has the kernel make every running thread of the hot side pass a
//! full barrier (`membarrier`, <https://man7.org/linux/man-pages/man2/membarrier.2.html>; a switch to another thread is one too), so that
//! the hot side only keeps the compiler from reordering. Of the two, either the hot side's later loads see what the other one stored before
//! its barrier, or that one's later loads see what the hot side stored before. Loom knows no such pair: it gets a full fence on both sides.

#[cfg(not(loom))]
pub(crate) use kernel::{heavy, heavy_for_all, is_heavy_for_all, light, register, register_for_all};

#[cfg(loom)]
pub(crate) use crate::sync::full as light;
#[cfg(loom)]
pub(crate) use crate::sync::full as heavy;

#[cfg(not(loom))]
mod kernel {
    use std::sync::atomic::{Ordering, compiler_fence, fence};
    use std::time::Duration;

    use rustix::thread::{MembarrierCommand, membarrier};

    /// Longer than any processor keeps a store to itself.
    const DRAINED: Duration = Duration::from_millis(1);

    /// The hot side's half.
    #[inline]
    pub(crate) fn light() {
        compiler_fence(Ordering::SeqCst);
    }

    /// Lets this process use [`heavy`] for its own threads; false where the system has it not, or forbids it.
    pub(crate) fn register() -> bool {
        membarrier(MembarrierCommand::RegisterPrivateExpedited).is_ok()
    }

    /// The other half, for threads of this process, which is registered.
    pub(crate) fn heavy() {
        pass(MembarrierCommand::PrivateExpedited);
    }

    /// Makes this process one whose threads pass [`heavy_for_all`], whoever calls it; false as for [`register`].
    pub(crate) fn register_for_all() -> bool {
        membarrier(MembarrierCommand::RegisterGlobalExpedited).is_ok()
    }

    /// Whether this process can have others pass a barrier.
    pub(crate) fn is_heavy_for_all() -> bool {
        membarrier(MembarrierCommand::GlobalExpedited).is_ok()
    }

    /// The other half, for threads of all processes that are registered for it.
    pub(crate) fn heavy_for_all() {
        pass(MembarrierCommand::GlobalExpedited);
    }

    fn pass(command: MembarrierCommand) {
        fence(Ordering::SeqCst);
        // Whoever asks found out before that it works. Should a sandbox forbid it since, time does the same.
        if membarrier(command).is_err() {
            std::thread::sleep(DRAINED);
        }
        fence(Ordering::SeqCst);
    }
}
