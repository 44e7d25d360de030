//! A place that fails when told to, for tests: it wraps any other. In an agent it is switched on by [`VARIABLE`].
//!
//! | what it is told | what it does |
//! |---|---|
//! | `write:3:EIO:once` | the third write is refused with this error |
//! | `any:5:ENOSPC:always` | the fifth operation of any kind is refused, and all later ones |
//! | `write:1:short:once` | half of the bytes go out; of a read, half come in, as if the file ended there |
//! | `slow:50ms` | each operation takes so much longer |
//! | `file:PATH` | what the file says, looked at before each operation; counting begins anew when it changes |
//!
//! Several are separated by commas; `off` and nothing are no fault.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use plasmon_protocol::error::Error;
use plasmon_protocol::id::SpillFileId;
use rustix::io::Errno;

use super::target::{NewFile, OldFile, SpillTarget, refused};
use crate::spill::job::{DiskRoom, Failure};

/// The environment variable that tells an agent's places to fail.
pub const VARIABLE: &str = "PLASMON_SPILL_FAULT";

/// What a place is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// To begin a file.
    Create,
    /// To write a piece.
    Write,
    /// To finish a file.
    Sync,
    /// To open a file.
    Open,
    /// To read.
    Read,
    /// To remove a file.
    Delete,
    /// To tell its room.
    Room,
}

/// Names in the order of [`Operation`].
const OPERATIONS: [(&str, Operation); 7] = [
    ("create", Operation::Create),
    ("write", Operation::Write),
    ("sync", Operation::Sync),
    ("open", Operation::Open),
    ("read", Operation::Read),
    ("delete", Operation::Delete),
    ("room", Operation::Room),
];

const ERRORS: [(&str, Errno); 8] = [
    ("EIO", Errno::IO),
    ("ENOSPC", Errno::NOSPC),
    ("EDQUOT", Errno::DQUOT),
    ("EROFS", Errno::ROFS),
    ("EACCES", Errno::ACCESS),
    ("EMFILE", Errno::MFILE),
    ("ESTALE", Errno::STALE),
    ("ETIMEDOUT", Errno::TIMEDOUT),
];

/// How an operation fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Refused(Errno),
    Short,
}

/// One operation that fails, or all from one on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Fault {
    /// Of any kind when `None`.
    operation: Option<Operation>,
    /// Counted from 1.
    number: u64,
    way: Way,
    once: bool,
}

/// Which operations fail, and how slow all are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Plan {
    faults: Vec<Fault>,
    slow: Duration,
    file: Option<PathBuf>,
}

impl FromStr for Plan {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut plan = Self::default();
        for part in text.trim().split(',').map(str::trim).filter(|part| !part.is_empty() && *part != "off") {
            let invalid = || Error::invalid(VARIABLE, part, "it is not such as write:3:EIO:once, slow:50ms or file:PATH");
            let (kind, rest) = part.split_once(':').ok_or_else(invalid)?;
            match kind {
                "slow" => {
                    let milliseconds = rest.strip_suffix("ms").and_then(|number| number.parse().ok()).ok_or_else(invalid)?;
                    plan.slow = Duration::from_millis(milliseconds);
                }
                "file" => plan.file = Some(PathBuf::from(rest)),
                _ => plan.faults.push(fault(kind, rest).ok_or_else(invalid)?),
            }
        }
        Ok(plan)
    }
}

fn fault(kind: &str, rest: &str) -> Option<Fault> {
    let operation = match kind {
        "any" => None,
        _ => Some(OPERATIONS.iter().find(|(name, _)| *name == kind)?.1),
    };
    let mut words = rest.split(':');
    let number = words.next()?.parse().ok().filter(|number| *number > 0)?;
    let way = match words.next()? {
        "short" => Way::Short,
        name => Way::Refused(ERRORS.iter().find(|(word, _)| *word == name)?.1),
    };
    let once = match words.next()? {
        "once" => true,
        "always" => false,
        _ => return None,
    };
    words.next().is_none().then_some(Fault { operation, number, way, once })
}

#[derive(Debug, Default)]
struct State {
    plan: Plan,
    /// What the plan's file said last, and the plan that this is.
    seen: Option<(String, Plan)>,
    /// Operations so far, by kind.
    counts: [u64; OPERATIONS.len()],
}

/// The switch of a [`Failing`] place, or of several.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<State>>);

impl Faults {
    /// Faults as `text` tells.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the part that makes no sense.
    pub fn new(text: &str) -> Result<Self, Error> {
        let faults = Self::default();
        faults.switch(text)?;
        Ok(faults)
    }

    /// What the environment tells; `None` when it tells nothing.
    ///
    /// # Errors
    /// As for [`Faults::new`].
    pub fn from_environment() -> Result<Option<Self>, Error> {
        std::env::var(VARIABLE).ok().filter(|text| !text.is_empty()).map(|text| Self::new(&text)).transpose()
    }

    /// From now on, faults as `text` tells. Counting begins anew.
    ///
    /// # Errors
    /// As for [`Faults::new`]; nothing changes then.
    pub fn switch(&self, text: &str) -> Result<(), Error> {
        *self.state() = State { plan: text.parse()?, ..State::default() };
        Ok(())
    }

    /// Operations since the last switch.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().counts.iter().sum()
    }

    /// Operations of one kind since the last switch.
    #[must_use]
    pub fn count(&self, operation: Operation) -> u64 {
        self.state().counts.get(operation as usize).copied().unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an operation, and says how it fails, if so.
    fn meet(&self, operation: Operation) -> Option<Way> {
        let mut state = self.state();
        state.look();
        if let Some(count) = state.counts.get_mut(operation as usize) {
            *count += 1;
        }
        let total: u64 = state.counts.iter().sum();
        let plan = state.seen.as_ref().map_or(&state.plan, |(_, plan)| plan);
        let met = plan.faults.iter().find(|fault| {
            let count = match fault.operation {
                Some(of) if of == operation => state.counts.get(of as usize).copied().unwrap_or_default(),
                Some(_) => return false,
                None => total,
            };
            count == fault.number || (!fault.once && count > fault.number)
        });
        let (way, slow) = (met.map(|fault| fault.way), plan.slow);
        drop(state);
        std::thread::sleep(slow);
        way
    }

    /// Refuses an operation on `name`, if it is the one.
    fn check(&self, operation: Operation, what: &str, name: &str) -> Result<(), Failure> {
        match self.meet(operation) {
            Some(Way::Refused(error)) => Err(refused(what, &name, error)),
            Some(Way::Short) => Err(refused(what, &name, Errno::IO)),
            None => Ok(()),
        }
    }
}

impl State {
    /// Looks into the plan's file. What makes no sense there is no fault: it may be half written.
    fn look(&mut self) {
        let Some(path) = &self.plan.file else { return };
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if self.seen.as_ref().is_none_or(|(seen, _)| *seen != text) {
            let plan = text.parse().unwrap_or_default();
            self.seen = Some((text, plan));
            self.counts = Default::default();
        }
    }
}

/// A place that fails as its [`Faults`] tell.
pub struct Failing {
    inner: Arc<dyn SpillTarget>,
    faults: Faults,
}

impl Failing {
    /// Wraps `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn SpillTarget>, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

impl SpillTarget for Failing {
    fn create(&self, file: SpillFileId, bytes: u64) -> Result<Box<dyn NewFile>, Failure> {
        let name = self.name(file);
        self.faults.check(Operation::Create, "make", &name)?;
        let inner = self.inner.create(file, bytes)?;
        Ok(Box::new(FailingNew { inner, faults: self.faults.clone(), name }))
    }

    fn open(&self, file: SpillFileId) -> Result<Box<dyn OldFile>, Failure> {
        let name = self.name(file);
        self.faults.check(Operation::Open, "open", &name)?;
        let inner = self.inner.open(file)?;
        Ok(Box::new(FailingOld { inner, faults: self.faults.clone(), name }))
    }

    fn delete(&self, file: SpillFileId) -> Result<(), Failure> {
        self.faults.check(Operation::Delete, "remove", &self.name(file))?;
        self.inner.delete(file)
    }

    fn room(&self) -> Result<Option<DiskRoom>, Failure> {
        self.faults.check(Operation::Room, "read the free space of", "the place")?;
        self.inner.room()
    }

    fn name(&self, file: SpillFileId) -> String {
        self.inner.name(file)
    }

    fn in_order(&self) -> bool {
        self.inner.in_order()
    }
}

struct FailingNew {
    inner: Box<dyn NewFile>,
    faults: Faults,
    name: String,
}

impl NewFile for FailingNew {
    fn write(&self, at: u64, bytes: &[u8]) -> Result<(), Failure> {
        match self.faults.meet(Operation::Write) {
            None => self.inner.write(at, bytes),
            Some(Way::Refused(error)) => Err(refused("write", &self.name, error)),
            Some(Way::Short) => {
                let half = bytes.len() / 8192 * 4096;
                self.inner.write(at, bytes.get(..half).unwrap_or_default())?;
                Err(Failure::Io(format!("write {}: {half} of {} bytes went out", self.name, bytes.len())))
            }
        }
    }

    fn finish(self: Box<Self>) -> Result<(), Failure> {
        self.faults.check(Operation::Sync, "sync", &self.name)?;
        self.inner.finish()
    }
}

struct FailingOld {
    inner: Box<dyn OldFile>,
    faults: Faults,
    name: String,
}

impl OldFile for FailingOld {
    fn read(&self, at: u64, into: &mut [u8]) -> Result<usize, Failure> {
        match self.faults.meet(Operation::Read) {
            None => self.inner.read(at, into),
            Some(Way::Refused(error)) => Err(refused("read", &self.name, error)),
            Some(Way::Short) => self.inner.read(at, into).map(|count| count / 2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_read_and_nonsense_is_refused() {
        for text in ["", "off", "write:3:EIO:once", "any:1:short:always, slow:5ms", "file:/x"] {
            assert!(Faults::new(text).is_ok(), "{text}");
        }
        for text in ["write", "write:0:EIO:once", "write:1:EWHAT:once", "write:1:EIO", "write:1:EIO:once:more", "fly:1:EIO:once", "slow:5"]
        {
            let error = Faults::new(text).unwrap_err().to_string();
            assert!(error.contains(VARIABLE) && error.contains(text), "{error}");
        }
    }

    #[test]
    fn the_right_operations_fail() {
        let faults = Faults::new("write:2:EIO:once,read:2:ENOSPC:always").unwrap();
        let met = |operation| (0..4).map(|_| faults.meet(operation).is_some()).collect::<Vec<_>>();
        assert_eq!(met(Operation::Write), [false, true, false, false]);
        assert_eq!(met(Operation::Read), [false, true, true, true]);
        assert_eq!(met(Operation::Delete), [false; 4]);
        assert_eq!((faults.count(Operation::Write), faults.operations()), (4, 12));
        faults.switch("any:3:EIO:once").unwrap();
        assert_eq!(met(Operation::Room), [false, false, true, false]);
    }

    #[test]
    fn a_file_switches_while_it_runs() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("faults");
        let faults = Faults::new(&format!("file:{}", path.display())).unwrap();
        let meet = || faults.meet(Operation::Write);
        assert_eq!(meet(), None);
        std::fs::write(&path, "write:2:EROFS:always\n").unwrap();
        assert_eq!([meet(), meet(), meet()], [None, Some(Way::Refused(Errno::ROFS)), Some(Way::Refused(Errno::ROFS))]);
        std::fs::write(&path, "nonsense").unwrap();
        assert_eq!(meet(), None);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(meet(), None);
    }
}
