//! Medians of interleaved rounds.

use std::time::Instant;

use crate::Outcome;

/// Rounds that count.
pub(crate) const ROUNDS: usize = 21;
/// Rounds before, which warm everything up.
const WARM_UP: usize = 3;

/// What the rounds of one thing measured, sorted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample(Vec<f64>);

impl Sample {
    pub(crate) fn of(mut rounds: Vec<f64>) -> Self {
        rounds.sort_by(f64::total_cmp);
        Self(rounds)
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The first and the third.
    pub(crate) fn quartiles(&self) -> (f64, f64) {
        (self.quantile(0.25), self.quantile(0.75))
    }

    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let place = share * self.0.len().saturating_sub(1) as f64;
        let at = |place: f64| self.0.get(place as usize).copied().unwrap_or(f64::NAN);
        let (below, above) = (at(place.floor()), at(place.ceil()));
        below + (above - below) * place.fract()
    }
}

/// Something that is measured once a round.
pub(crate) type Measured<'a> = &'a mut dyn FnMut() -> Outcome<f64>;

/// Measures several things in turns: forwards in one round, backwards in the next, so that none profits from what the machine
/// does meanwhile.
pub(crate) fn in_turns<const N: usize>(things: [Measured<'_>; N]) -> Outcome<[Sample; N]> {
    let mut rounds: [Vec<f64>; N] = std::array::from_fn(|_| Vec::new());
    for round in 0..WARM_UP + ROUNDS {
        for turn in 0..N {
            let index = if round % 2 == 0 { turn } else { N - 1 - turn };
            let measured = things[index]()?;
            if round >= WARM_UP {
                rounds[index].push(measured);
            }
        }
    }
    Ok(rounds.map(Sample::of))
}

/// Nanoseconds that each of `count` takes, which `batch` does all of.
pub(crate) fn each<T>(count: usize, batch: impl FnOnce() -> Outcome<T>) -> Outcome<f64> {
    let begin = Instant::now();
    let done = batch()?;
    let took = begin.elapsed();
    drop(std::hint::black_box(done));
    Ok(took.as_nanos() as f64 / count as f64)
}
