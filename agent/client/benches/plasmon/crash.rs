//! A program that is killed: how long what it held is still shown.

use plasmon_memory::process::Pidfd;
use plasmon_protocol::column::Table;
use plasmon_protocol::stream::{Body, Request, View, Window};
use rustix::event::{PollFd, PollFlags, poll};

use crate::daemon::Daemon;
use crate::program::Program;
use crate::sample::{Sample, each};
use crate::table::{Goal, Unit};
use crate::viewer::Connection;
use crate::{Bench, Outcome};

const CAPACITY: u64 = 256 << 20;
/// References that it holds.
const REFERENCES: usize = 10_000;
/// Programs that are killed, so that one in a hundred is one.
const DEATHS: usize = 100;

pub(crate) fn crash(bench: &mut Bench) -> Outcome<()> {
    let daemon = Daemon::start(&bench.scratch, CAPACITY, &[])?;
    let mut viewer = Connection::open(daemon.session())?;
    let (mut gone, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..DEATHS {
        let mut program = Program::holding(&daemon, REFERENCES)?;
        await_end(&program.kill()?)?;
        gone.push(each(1, || {
            while rows(&mut viewer)? > 0 {}
            Ok(())
        })?);
        // What is left of that time when nobody has died: asking once.
        floor.push(each(1, || rows(&mut viewer))?);
    }
    let (gone, floor) = (Sample::of(gone), Sample::of(floor));
    let floor = Some(("one look at the table", &floor));
    let metric = format!("a program with {REFERENCES} references is killed, until its rows are gone");
    bench.table.row(&metric, &gone, Unit::Milliseconds, floor, Goal::Open);
    let worst = Sample::of(vec![gone.quantile(0.99)]);
    bench.table.row("the same, p99 of 100 deaths", &worst, Unit::Milliseconds, floor, Goal::AtMost(20.0));
    Ok(())
}

/// Waits until the process's descriptor can be read.
fn await_end(process: &Pidfd) -> Outcome<()> {
    poll(&mut [PollFd::from_borrowed_fd(process.fd(), PollFlags::IN)], None)?;
    Ok(())
}

/// References that are shown at this moment.
fn rows(viewer: &mut Connection) -> Outcome<u64> {
    let view = View { window: Window { start: 0, len: 1 }, ..View::of(Table::References) };
    viewer.send(&Request::Subscribe { id: 1, view })?;
    loop {
        if let Body::Snapshot { totals, .. } = viewer.frame()?.body {
            return Ok(totals.rows);
        }
    }
}
