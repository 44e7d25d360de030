//! `plasmon memory` as a whole process, from its start to its end, beside a process that does nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use plasmon::{ObjectRef, put};

use crate::daemon::{Daemon, rest};
use crate::sample::{each, in_turns};
use crate::shared::source;
use crate::table::{Goal, Unit};
use crate::{Bench, Outcome};

const CAPACITY: u64 = 256 << 20;

pub(crate) fn report(bench: &mut Bench) -> Outcome<()> {
    let Some(program) = Daemon::installed().map(|daemon| daemon.with_file_name("plasmon")).filter(|path| path.is_file()) else {
        bench.table.leave_out("plasmon memory, whole process", "the program plasmon was not built beside this one; `make bench` builds it");
        return Ok(());
    };
    for (count, most_ms) in [(10, 20.0), (50_000, 150.0)] {
        let daemon = Daemon::start(&bench.scratch, CAPACITY, &[])?;
        daemon.connect()?;
        let source = source(64);
        let held: Vec<ObjectRef<[u8]>> = (0..count).map(|_| put(&source[..])).collect::<Result<_, _>>()?;
        rest();
        let home = home_of(daemon.session())?;
        let [took, floor] = in_turns([&mut || each(1, || ran(Command::new(&program).arg("memory").env("TMPDIR", &home))), &mut || {
            each(1, || ran(&mut Command::new("true")))
        }])?;
        let floor = Some(("a process that does nothing", &floor));
        let metric = format!("plasmon memory, {count} references, whole process");
        bench.table.row(&metric, &took, Unit::Milliseconds, floor, Goal::AtMost(most_ms));
        drop(held);
        plasmon::shutdown()?;
    }
    Ok(())
}

/// The directory for temporary files that a session lies in.
fn home_of(session: &Path) -> Outcome<PathBuf> {
    Ok(session.parent().and_then(Path::parent).ok_or("a session lies in two directories")?.to_owned())
}

fn ran(command: &mut Command) -> Outcome<()> {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}
