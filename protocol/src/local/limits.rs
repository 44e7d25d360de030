//! How large things are that both sides share, and how many there can be.

/// Objects begin at multiples of this many bytes (two cache lines would be wasteful, less would split numbers).
pub const ALIGNMENT: u64 = 64;
/// Leases begin and end at multiples of this many bytes: what `mprotect` can flip.
pub const PAGE: u64 = 4096;
/// The largest chunk for small objects, bytes.
pub const CHUNK: u64 = 256 << 10;
/// Objects above this size get a lease of their own, bytes.
pub const SMALL: u64 = CHUNK / 4;
/// Values up to this size travel inside messages instead of the pool, bytes.
pub const INLINE: usize = 1 << 10;
/// Slots are leased in blocks of this many.
pub const SLOT_BLOCK: u32 = 1024;
/// Leases that one process can hold at once.
pub const MAX_LEASES: usize = 1 << 16;
/// Call sites that one client may define; what comes after them is the unknown one, 0.
pub const MAX_SITES: u32 = 65_536;
/// Frames of one stack: how many call sites may follow each other by [`super::ToAgent::Site`]'s `caller`. The outermost ones are left out.
pub const MAX_STACK: usize = 64;
/// References in one [`super::ToAgent::Stage`].
pub const MAX_STAGED: usize = 1000;
/// References that a message can take, in as many [`super::ToAgent::Stage`] as it needs: those inside one object, or inside one task's arguments.
pub const MAX_INSIDE: usize = 1 << 20;
/// Arguments of one task: as many references fit the message to its worker, beside what is inlined.
pub const MAX_TASK_ARGUMENTS: usize = 4000;
/// Answers that one process waits for at once.
pub const MAX_REQUESTS: usize = 1 << 20;
/// The longest string of a message, bytes; longer ones are cut by the sender.
pub const MAX_TEXT: usize = 4096;
/// The longest name of an actor, bytes.
pub const MAX_NAME: usize = 256;
/// The longest error value that a task's error carries, bytes.
pub const MAX_RAISED: usize = 12 << 10;
/// What the arguments that workers are started with may be in all, bytes.
pub const MAX_ARGUMENTS: usize = 32 << 10;
/// Calls that an actor can run side by side.
pub const MAX_CONCURRENCY: u32 = 1000;
/// Results of a generator for which its submitter makes room at once.
pub const GENERATOR_BATCH: u32 = 8;
/// As often as it takes.
pub const ENDLESS: u32 = u32::MAX;

/// What a message takes of a text: [`MAX_TEXT`] bytes, in whole characters.
#[must_use]
pub fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}
