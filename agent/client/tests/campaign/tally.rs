//! What has happened so far, for people.

use std::time::{Duration, Instant};

/// How often progress is told.
const PROGRESS: Duration = Duration::from_secs(5);

/// Counts of one campaign.
pub(crate) struct Tally {
    began: Instant,
    told: Instant,
    goal: u64,
    /// Mean time between kills, twice, microseconds.
    pub(crate) pace_us: u64,
    /// Workers killed at random moments.
    pub(crate) workers: u64,
    /// Drivers killed at random moments.
    pub(crate) drivers: u64,
    /// Workers and drivers that died at a labelled point.
    pub(crate) labelled: u64,
    /// Agents killed.
    pub(crate) agents: u64,
    /// Of them, those that died at a labelled point.
    pub(crate) agents_at_points: u64,
    /// Objects whose bytes were read and found right.
    pub(crate) verified: u64,
    /// Calls and tasks that met a typed error which a death explains.
    pub(crate) refused: u64,
    /// Calls that found no room, or a disk that failed.
    pub(crate) full: u64,
    /// How often the disk was told to fail.
    pub(crate) faults: u64,
    /// What the first part's agent spilled, and what came back, bytes.
    pub(crate) spilled: u64,
    pub(crate) restored: u64,
    /// Files of dead agents, which the next ones have swept.
    pub(crate) swept: u64,
    /// Drivers killed that had started the agent.
    pub(crate) starters: u64,
    rounds: u64,
    /// Time in which nobody was killed, because everybody came to rest and was looked at.
    pub(crate) resting: Duration,
    /// The agent's own memory before and after, bytes.
    pub(crate) heap_before: u64,
    pub(crate) heap_after: u64,
}

impl Tally {
    pub(crate) fn begin(goal: u64) -> Self {
        let now = Instant::now();
        Self {
            began: now,
            told: now,
            goal,
            pace_us: 12_000,
            workers: 0,
            drivers: 0,
            labelled: 0,
            agents: 0,
            agents_at_points: 0,
            verified: 0,
            refused: 0,
            full: 0,
            faults: 0,
            spilled: 0,
            restored: 0,
            swept: 0,
            starters: 0,
            rounds: 0,
            resting: Duration::ZERO,
            heap_before: 0,
            heap_after: 0,
        }
    }

    /// Workers and drivers killed at random moments.
    pub(crate) fn at_random(&self) -> u64 {
        self.workers + self.drivers
    }

    /// All of them.
    pub(crate) fn kills(&self) -> u64 {
        self.at_random() + self.labelled
    }

    /// A round is over, with so many objects held at its end.
    pub(crate) fn round(&mut self, held: usize, labelled: u64) {
        self.rounds += 1;
        self.labelled = labelled;
        if self.told.elapsed() >= PROGRESS {
            self.told = Instant::now();
            let rate = self.kills() as f64 / self.began.elapsed().as_secs_f64();
            let (random, rounds, verified) = (self.at_random(), self.rounds, self.verified);
            println!(
                "campaign: {random} of {} killed, {labelled} more at points; round {rounds}: {held} objects held, {verified} reads right; {} MiB spilled; {rate:.0} kills/s, {:.0} % at rest",
                self.goal,
                self.spilled >> 20,
                100.0 * self.resting.as_secs_f64() / self.began.elapsed().as_secs_f64()
            );
        }
    }

    /// An agent was killed, and all is well.
    pub(crate) fn round_of_agents(&mut self) {
        if self.told.elapsed() >= PROGRESS {
            self.told = Instant::now();
            println!("campaign: {} agents killed", self.agents);
        }
    }

    /// Everything, in a few lines.
    pub(crate) fn summary(&self) -> String {
        let (seconds, mib) = (self.began.elapsed().as_secs(), |bytes: u64| bytes as f64 / f64::from(1 << 20));
        format!(
            "campaign: {} kills of workers and drivers ({} workers and {} drivers at random moments, {} at labelled points) and {} of agents ({} at labelled points), {} of agents' starters\n\
             campaign: {} rounds in {seconds} s; {} reads right, 0 wrong; {} typed errors, {} more for want of room or disk; 0 lost, 0 leaked; the agent's heap {:.1} MiB before, {:.1} after\n\
             campaign: {:.1} MiB spilled and {:.1} MiB restored; the disk failed {} times on purpose; {} files of dead agents swept",
            self.kills(),
            self.workers,
            self.drivers,
            self.labelled,
            self.agents,
            self.agents_at_points,
            self.starters,
            self.rounds,
            self.verified,
            self.refused,
            self.full,
            mib(self.heap_before),
            mib(self.heap_after),
            mib(self.spilled),
            mib(self.restored),
            self.faults,
            self.swept,
        )
    }
}
