//! What the campaign's workers run. Whatever they return follows from their arguments.

use std::time::Duration;

use plasmon::{Draft, ObjectRef};

use crate::content::{Ids, Numbers, Series, Tree};
use crate::trouble::{STUMBLED, Trouble};

/// A number that follows from another.
pub(crate) fn mixed(seed: u64) -> u64 {
    seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17)
}

/// A result small enough to travel in messages.
#[plasmon::remote]
pub(crate) fn mix(seed: u64) -> u64 {
    mixed(seed)
}

/// A result that is copied into the store.
#[plasmon::remote]
pub(crate) fn make(series: Series) -> Vec<u64> {
    series.numbers()
}

/// A result that is written in place.
#[plasmon::remote]
pub(crate) fn write(series: Series) -> Result<Draft<[u64]>, String> {
    let mut draft = plasmon::create(series.length as usize).map_err(|error| Trouble::from(error).told())?;
    draft.copy_from_slice(&series.numbers());
    Ok(draft)
}

/// Reads its argument.
#[plasmon::remote]
pub(crate) fn look(numbers: &[u64], series: Series) -> Result<u64, String> {
    series.check(numbers).map_err(Trouble::told)?;
    Ok(mixed(series.seed))
}

/// Reads what is inside its argument.
#[plasmon::remote]
pub(crate) fn look_inside(inside: Vec<Numbers>, series: Vec<Series>) -> Result<u64, String> {
    let mut ids = Ids::new();
    inside.iter().zip(&series).try_for_each(|(reference, series)| series.get(reference, &mut ids)).map_err(Trouble::told)?;
    Ok(inside.len() as u64)
}

/// Hands on what is inside its argument.
#[plasmon::remote]
pub(crate) fn pass_on(inside: Vec<Numbers>) -> Vec<Numbers> {
    inside
}

/// Returns a reference to what it put.
#[plasmon::remote]
pub(crate) fn grow(seed: u64, depth: u32) -> Result<ObjectRef<Tree>, String> {
    Tree::plant(seed, depth).map_err(Trouble::told)
}

/// Returns a reference to the result of a task of its own, which it does not wait for, through as many tasks as there are hops.
#[plasmon::remote]
pub(crate) fn relay(series: Series, hops: u32) -> Result<Numbers, String> {
    let told = |error| Trouble::from(error).told();
    match hops {
        0 => make.remote(series).map_err(told),
        _ => plasmon::get(&relay.remote(series, hops - 1).map_err(told)?).map_err(told),
    }
}

/// Holds references of every kind for a while.
#[plasmon::remote]
pub(crate) fn hoard(numbers: &[u64], series: Series, millis: u64) -> Result<u64, String> {
    let told = |error| Trouble::from(error).told();
    let view = plasmon::get(&plasmon::put(&series.numbers()[..]).map_err(told)?).map_err(told)?;
    let tree = Tree::plant(series.seed, 1).map_err(Trouble::told)?;
    let draft = plasmon::create::<u64>(10_000).map_err(told)?;
    std::thread::sleep(Duration::from_millis(millis));
    series.check(&view).and_then(|()| series.check(numbers)).map_err(Trouble::told)?;
    Tree::get(&tree, series.seed, 1, &mut Ids::new()).map_err(Trouble::told)?;
    drop(draft);
    Ok(mixed(series.seed))
}

/// Panics.
#[plasmon::remote]
pub(crate) fn stumble(seed: u64) -> u64 {
    if seed == mixed(seed) { seed } else { std::panic::panic_any(STUMBLED) }
}
