//! A store as plasma builds it, for comparison in the same language: one server process with one thread, which is asked over a unix
//! socket. A put creates (and waits), copies, seals (and waits) and releases; a get asks (and waits) and releases. The server keeps
//! nothing but a table of places, so it is faster than any that has more to do.

use std::collections::HashMap;
use std::hint::black_box;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitCode, Stdio};

use command_fds::{CommandFdExt, FdMapping};
use plasmon::{ObjectRef, get as fetch, put as store};
use plasmon_memory::channel::inherit;
use plasmon_memory::pool::WriteRange;
use rustix::process::Signal;

use crate::daemon::{Daemon, rest};
use crate::sample::{each, in_turns};
use crate::shared::{copy, resident, source};
use crate::table::{Goal, Unit};
use crate::{Bench, Outcome, ROLE};

/// The server's socket.
const SOCKET: i32 = 3;
const CAPACITY: u64 = 256 << 20;
/// Objects in one round.
const OBJECTS: usize = 1000;

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
enum Ask {
    Create = 1,
    Seal = 2,
    Get = 3,
    Release = 4,
    Delete = 5,
}

/// Every message, both ways: what, which object, and how large it is or where.
type Message = [u64; 3];

fn send(socket: &mut UnixStream, message: Message) -> std::io::Result<()> {
    let mut bytes = [0; 24];
    bytes.chunks_exact_mut(8).zip(message).for_each(|(room, word)| room.copy_from_slice(&word.to_le_bytes()));
    socket.write_all(&bytes)
}

fn receive(socket: &mut UnixStream) -> std::io::Result<Message> {
    let mut bytes = [0; 24];
    socket.read_exact(&mut bytes)?;
    let mut words = bytes.chunks_exact(8).map(|word| word.try_into().map_or(0, u64::from_le_bytes));
    Ok(std::array::from_fn(|_| words.next().unwrap_or(0)))
}

/// What the server does, until its socket closes.
pub(crate) fn serve() -> ExitCode {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let Ok(socket) = inherit(SOCKET) else { return ExitCode::FAILURE };
    let mut socket = UnixStream::from(socket);
    // Where each object is, how large, whether it is sealed, and how many use it.
    let mut table: HashMap<u64, (u64, u64, bool, u32)> = HashMap::new();
    let mut next = 0;
    while let Ok([ask, object, size]) = receive(&mut socket) {
        let answer = match ask {
            ask if ask == Ask::Create as u64 => {
                table.insert(object, (next, size, false, 1));
                next += size.next_multiple_of(64);
                table.get(&object).map(|entry| entry.0)
            }
            ask if ask == Ask::Seal as u64 => table.get_mut(&object).map(|entry| {
                entry.2 = true;
                entry.0
            }),
            ask if ask == Ask::Get as u64 => table.get_mut(&object).filter(|entry| entry.2).map(|entry| {
                entry.3 += 1;
                entry.0
            }),
            ask if ask == Ask::Release as u64 => {
                table.entry(object).and_modify(|entry| entry.3 -= 1);
                continue;
            }
            _ => {
                table.remove(&object);
                continue;
            }
        };
        if send(&mut socket, [ask, object, answer.unwrap_or(u64::MAX)]).is_err() {
            break;
        }
    }
    ExitCode::SUCCESS
}

/// A client of it.
struct Plasma {
    child: Child,
    socket: UnixStream,
    memory: WriteRange,
    last: u64,
}

impl Plasma {
    fn start() -> Outcome<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.env(ROLE, "plasma").stdin(Stdio::null());
        command.fd_mappings(vec![FdMapping { parent_fd: OwnedFd::from(theirs), child_fd: SOCKET }])?;
        Ok(Self { child: command.spawn()?, socket: ours, memory: resident(16 << 20)?, last: 0 })
    }

    fn ask(&mut self, ask: Ask, object: u64, size: u64) -> Outcome<u64> {
        send(&mut self.socket, [ask as u64, object, size])?;
        let [_, _, place] = receive(&mut self.socket)?;
        if place == u64::MAX { Err("the server does not know the object".into()) } else { Ok(place) }
    }

    fn put(&mut self, bytes: &[u8]) -> Outcome<u64> {
        self.last += 1;
        let object = self.last;
        self.ask(Ask::Create, object, bytes.len() as u64)?;
        copy(&mut self.memory, bytes)?;
        self.ask(Ask::Seal, object, 0)?;
        send(&mut self.socket, [Ask::Release as u64, object, 0])?;
        Ok(object)
    }

    fn get(&mut self, object: u64) -> Outcome<u64> {
        let place = self.ask(Ask::Get, object, 0)?;
        send(&mut self.socket, [Ask::Release as u64, object, 0])?;
        Ok(place)
    }

    fn delete(&mut self, object: u64) -> Outcome<()> {
        Ok(send(&mut self.socket, [Ask::Delete as u64, object, 0])?)
    }
}

impl Drop for Plasma {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn compare(bench: &mut Bench) -> Outcome<()> {
    let daemon = Daemon::start(&bench.scratch, CAPACITY, &[])?;
    daemon.connect()?;
    let source = source(64);
    let mut plasma = Plasma::start()?;
    let [ours, theirs] = in_turns([
        &mut || {
            each(OBJECTS, || {
                for _ in 0..OBJECTS {
                    drop(store(black_box(&source[..]))?);
                }
                Ok(())
            })
        },
        &mut || {
            each(OBJECTS, || {
                for _ in 0..OBJECTS {
                    let object = plasma.put(black_box(&source))?;
                    plasma.delete(object)?;
                }
                Ok(())
            })
        },
    ])?;
    let floor = Some(("create, seal, release, delete over a unix socket", &theirs));
    bench.table.row("put + drop 64 B, beside plasma's way", &ours, Unit::Nanoseconds, floor, Goal::Ratio(0.05));
    let references: Vec<ObjectRef<[u8]>> = (0..OBJECTS).map(|_| store(&source[..])).collect::<Result<_, _>>()?;
    let objects: Vec<u64> = (0..OBJECTS).map(|_| plasma.put(&source)).collect::<Result<_, _>>()?;
    rest();
    let [ours, theirs] = in_turns([
        &mut || {
            let took = each(OBJECTS, || {
                for reference in &references {
                    black_box(fetch(black_box(reference))?[0]);
                }
                Ok(())
            });
            rest();
            took
        },
        &mut || {
            each(OBJECTS, || {
                for object in &objects {
                    black_box(plasma.get(*object)?);
                }
                Ok(())
            })
        },
    ])?;
    let floor = Some(("get, release over a unix socket", &theirs));
    bench.table.row("get 64 B, beside plasma's way", &ours, Unit::Nanoseconds, floor, Goal::Ratio(0.1));
    drop(references);
    Ok(plasmon::shutdown()?)
}
