//! Who goes when memory runs out: Ray's order, and nobody for nothing. Only workers are ever among the candidates.

use plasmon_protocol::id::ProcessId;
use plasmon_protocol::size::Bytes;

/// An idle worker is a victim from so many bytes of its own on, or from [`MARGIN_PERCENT`] of the memory where that is less.
const IDLE_BYTES: u64 = 1 << 30;
/// How much more is freed than would do, percent of the memory; so that the next round is not due at once.
const MARGIN_PERCENT: u64 = 5;
/// The same in bytes, at most.
const MARGIN_BYTES: u64 = 3 << 30;

/// What a worker's end would cost, the least first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Standing {
    /// It was told to end, and has not.
    Leaving,
    /// It has no work.
    Idle,
    /// Its work would be done again.
    Retriable,
    /// Its work would be lost.
    Lasting,
}

/// A worker that could be ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// The worker.
    pub process: ProcessId,
    /// What its end would cost.
    pub standing: Standing,
    /// Since when it has had its work, milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// What its end would free, bytes.
    pub bytes: u64,
}

impl Candidate {
    /// Why it is its turn, in a few words. `total`: the memory, bytes.
    #[must_use]
    pub fn why(&self, total: u64) -> String {
        match self.standing {
            Standing::Leaving => "it was told to end".to_owned(),
            Standing::Idle => format!("idle with more than {}", Bytes(idle_limit(total))),
            Standing::Retriable => "the newest whose work is tried again".to_owned(),
            Standing::Lasting => "the newest, and no work that is tried again is left".to_owned(),
        }
    }
}

/// How much memory there is, how much is used, and how much may be. Bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Demand {
    /// In all.
    pub total: u64,
    /// In use.
    pub used: u64,
    /// Above this somebody has to go.
    pub threshold: u64,
}

impl Demand {
    /// Bytes that should come free: what is used above the threshold, and a margin. 0 when nothing need.
    #[must_use]
    pub fn goal(&self) -> u64 {
        match self.used.checked_sub(self.threshold) {
            None | Some(0) => 0,
            Some(over) => over.saturating_add((self.total / 100 * MARGIN_PERCENT).min(MARGIN_BYTES)),
        }
    }
}

/// The candidates whose turn may come, in the order of their turns: those that leave anyway, idle ones with much memory (largest
/// first), those whose work is tried again (newest first), the rest (newest first).
#[must_use]
pub fn ranking(candidates: &[Candidate], total: u64) -> Vec<Candidate> {
    let limit = idle_limit(total);
    let mut ranked: Vec<Candidate> =
        candidates.iter().filter(|candidate| candidate.standing != Standing::Idle || candidate.bytes > limit).copied().collect();
    let newest = |candidate: &Candidate| match candidate.standing {
        Standing::Leaving | Standing::Idle => candidate.bytes,
        Standing::Retriable | Standing::Lasting => candidate.since_ms,
    };
    ranked.sort_by(|one, other| {
        let by_standing = one.standing.cmp(&other.standing);
        by_standing.then_with(|| newest(other).cmp(&newest(one))).then_with(|| other.process.cmp(&one.process))
    });
    ranked
}

/// Who goes now: as many of the [`ranking`] as it takes to reach the goal, less those without whom it is reached as well. Where all
/// of them together would not do, somebody else has the memory: then they go one at a time.
#[must_use]
pub fn victims(candidates: &[Candidate], demand: &Demand) -> Vec<Candidate> {
    let goal = demand.goal();
    if goal == 0 {
        return Vec::new();
    }
    let ranked = ranking(candidates, demand.total);
    let sum = |chosen: &[Candidate]| chosen.iter().fold(0_u64, |sum, candidate| sum.saturating_add(candidate.bytes));
    if sum(&ranked) < goal {
        return ranked.into_iter().take(1).collect();
    }
    let mut freed = 0_u64;
    let mut chosen: Vec<Candidate> = ranked
        .into_iter()
        .take_while(|candidate| {
            let wanted = freed < goal;
            freed = freed.saturating_add(candidate.bytes);
            wanted
        })
        .collect();
    // The last that was taken is needed always; of those before it, the smallest are spared first.
    let mut smallest: Vec<Candidate> = chosen.clone();
    smallest.sort_by_key(|candidate| (candidate.bytes, std::cmp::Reverse(candidate.standing)));
    for candidate in smallest {
        if sum(&chosen) - candidate.bytes >= goal {
            chosen.retain(|other| other.process != candidate.process);
        }
    }
    chosen
}

fn idle_limit(total: u64) -> u64 {
    (total / 100 * MARGIN_PERCENT).min(IDLE_BYTES)
}

#[cfg(test)]
mod tests;
