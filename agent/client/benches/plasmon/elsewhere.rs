//! References and objects in other processes than those that made them.

use std::hint::black_box;
use std::time::Instant;

use plasmon::{ObjectRef, get, put};
use serde::{Deserialize, Serialize};

use crate::daemon::{Daemon, rest};
use crate::objects::VIEWS;
use crate::sample::{Sample, each, in_turns};
use crate::shared::source;
use crate::table::{Goal, Unit};
use crate::{Bench, Outcome};

const CAPACITY: u64 = 512 << 20;
/// References in one object.
const MANY: usize = 10_000;

/// A process that reads what another one has put.
struct Reader;

#[plasmon::actor]
impl Reader {
    fn new() -> Self {
        Self
    }

    /// Nanoseconds of each of these, got for the first time by this process, and of each pointer to as much of its own memory.
    fn read(&mut self, objects: Vec<ObjectRef<[u8]>>) -> (f64, f64) {
        let own: Vec<Box<[u8]>> = objects.iter().map(|_| source(64).into_boxed_slice()).collect();
        let mut views = Vec::with_capacity(objects.len());
        let begin = Instant::now();
        for object in &objects {
            let Ok(view) = get(black_box(object)) else { return (f64::NAN, f64::NAN) };
            black_box(view[0]);
            views.push(view);
        }
        let took = begin.elapsed();
        let begin = Instant::now();
        for pointer in black_box(&own) {
            black_box(pointer[0]);
        }
        let floor = begin.elapsed();
        let each = |took: std::time::Duration| took.as_nanos() as f64 / objects.len() as f64;
        (each(took), each(floor))
    }
}

/// A list of references, or of as many numbers.
#[derive(Serialize, Deserialize)]
struct List<T>(Vec<T>);

pub(crate) fn elsewhere(bench: &mut Bench) -> Outcome<()> {
    let daemon = Daemon::start(&bench.scratch, CAPACITY, &[])?;
    daemon.connect()?;
    from_another(bench)?;
    inside(bench)?;
    Ok(plasmon::shutdown()?)
}

fn from_another(bench: &mut Bench) -> Outcome<()> {
    let reader = Reader::remote()?;
    reader.ready()?;
    let source = source(64);
    let mut floors = Vec::new();
    let [took] = in_turns([&mut || {
        let objects: Vec<ObjectRef<[u8]>> = (0..VIEWS).map(|_| put(&source[..])).collect::<Result<_, _>>()?;
        let (took, floor) = get(&reader.read(objects)?)?;
        floors.push(floor);
        rest();
        Ok(took)
    }])?;
    let floor = Sample::of(floors);
    let floor = Some(("pointer dereference in that process", &floor));
    bench.table.row("get of an object that another process put, first", &took, Unit::Nanoseconds, floor, Goal::Above(50.0));
    Ok(())
}

/// One object that holds ten thousand references.
fn inside(bench: &mut Bench) -> Outcome<()> {
    let held: Vec<ObjectRef<[u8]>> = (0..MANY).map(|_| put(&[7; 64][..])).collect::<Result<_, _>>()?;
    let list = List(held);
    let numbers = List((0..MANY).map(|number| [number as u64; 3]).collect::<Vec<_>>());
    let (whole, plain) = (put(&list)?, put(&numbers)?);
    rest();
    let [wrote, plainly] = in_turns([
        &mut || {
            let mut object = None;
            let took = each(1, || {
                object = Some(put(&list)?);
                Ok(())
            });
            drop(object);
            rest();
            took
        },
        &mut || each(1, || Ok(put(&numbers)?)),
    ])?;
    // From here on the objects are held by the list alone, and each get takes them anew.
    drop(list);
    let [read, plain_read] = in_turns([
        &mut || {
            let took = each(1, || Ok(get(&whole)?));
            rest();
            took
        },
        &mut || each(1, || Ok(get(&plain)?)),
    ])?;
    let (wrote_beside, read_beside) =
        (Some(("as many numbers of that size", &plainly)), Some(("as many numbers of that size", &plain_read)));
    // Ray 2.50 publishes 75 ms for the get.
    bench.table.row("put of an object with 10,000 references", &wrote, Unit::Milliseconds, wrote_beside, Goal::AtMost(7.5));
    bench.table.row("get of an object with 10,000 references", &read, Unit::Milliseconds, read_beside, Goal::AtMost(7.5));
    Ok(())
}
