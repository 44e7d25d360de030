//! How processes come: workers that the core wants are started, drivers connect, and both say hello.

use std::ffi::OsString;
use std::io;
use std::sync::Arc;

use plasmon_memory::process::Pidfd;
use plasmon_protocol::error::Error;
use plasmon_protocol::id::{JobId, ProcessId};
use plasmon_protocol::local::{AgentHello, VERSION};
use rustix::event::epoll;

use super::{Kind, Shell, token};
use crate::node::descriptors;
use crate::node::line::Line;
use crate::node::listener::{self, Equipment, Introduction, Newcomer};
use crate::node::peer::Peer;
use crate::node::spawner::Errand;
use crate::node::workers::Started;

/// How often it is looked whether accepting can go on, while it rests, milliseconds. An end of a client is looked at once.
const ACCEPT_REST_MS: u64 = 1000;
/// How long a connection may be silent while open files are near their limit, milliseconds.
const SILENT_MS: u64 = 1000;
/// Connections that are not let in yet; more are turned away.
const MAX_NEWCOMERS: usize = 256;

/// A worker that has not said hello.
#[derive(Debug, Default)]
pub(super) struct Starting {
    /// Its life; none while it is not started.
    pub(super) pidfd: Option<Pidfd>,
    /// Why it may not stay, once it may not.
    pub(super) reason: Option<String>,
}

/// A driver that said hello and whose environment is being read.
pub(super) type Introduced = (Newcomer, Introduction);

impl Shell {
    pub(super) fn start_worker(&mut self, worker: ProcessId, job: JobId, devices: Box<[u32]>) {
        let program = self.effects.programs.get(&job).filter(|_| !self.is_ending()).cloned();
        let Some(program) = program else {
            self.core.on_process_lost(worker, "not started: its job has ended", &mut self.effects);
            return;
        };
        self.starting.insert(worker, Starting::default());
        // The thread ends only with the agent.
        let _ = self.errands.send(Errand::Worker { worker, program, devices });
    }

    pub(super) fn on_started(&mut self, worker: ProcessId, started: io::Result<Started>) {
        let Started { line, pid, pidfd } = match started {
            Ok(started) => started,
            Err(error) => {
                tracing::warn!(worker = worker.0, %error, "a worker does not start");
                self.starting.remove(&worker);
                self.core.on_process_lost(worker, format!("not started: {error}"), &mut self.effects);
                return;
            }
        };
        let watched = epoll::add(&self.epoll, pidfd.fd(), token(Kind::StartingEnd, worker.0), epoll::EventFlags::IN)
            .map_err(io::Error::from)
            .and_then(|()| self.await_hello(Newcomer { line, worker: Some((worker, pid)), since_ms: self.clock.now_ms() }));
        match (watched, self.starting.get_mut(&worker)) {
            (Ok(()), Some(starting)) => {
                if starting.reason.is_some() {
                    // Not wanted any more, since it was asked for.
                    let _ = pidfd.kill();
                }
                starting.pidfd = Some(pidfd);
            }
            (Ok(()), None) => self.bury(pidfd),
            (Err(error), _) => {
                tracing::warn!(worker = worker.0, %error, "a worker cannot be watched");
                self.bury(pidfd);
                self.starting.remove(&worker);
                self.core.on_process_lost(worker, format!("not watched: {error}"), &mut self.effects);
            }
        }
    }

    /// Ends a child whose end nobody will see.
    fn bury(&mut self, pidfd: Pidfd) {
        // It may not be watched at all.
        let _ = epoll::delete(&self.epoll, pidfd.fd());
        let _ = self.errands.send(Errand::Bury(pidfd));
    }

    fn await_hello(&mut self, newcomer: Newcomer) -> io::Result<()> {
        let number = self.next_newcomer;
        self.next_newcomer = self.next_newcomer.wrapping_add(1);
        epoll::add(&self.epoll, newcomer.line.fd(), token(Kind::Newcomer, number), epoll::EventFlags::IN)?;
        self.newcomers.insert(number, newcomer);
        Ok(())
    }

    pub(super) fn accept(&mut self) {
        loop {
            if !self.may_accept() {
                return self.rest_accepting("open files are near their limit");
            }
            let channel = match self.listener.accept() {
                Ok(channel) => channel,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // One that went before it was taken.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                // It would be reported again at once, and for ever.
                Err(error) => return self.rest_accepting(&error.to_string()),
            };
            if !self.make_place() {
                continue;
            }
            let newcomer = Newcomer { line: Line::new(channel), worker: None, since_ms: self.clock.now_ms() };
            let served = newcomer.line.set_nonblocking(true).and_then(|()| self.await_hello(newcomer));
            if let Err(error) = served {
                tracing::warn!(%error, "a connection is not served");
            }
        }
    }

    /// Whether there are descriptors for one more client, beside those that are on their way in.
    fn has_descriptors(&self) -> bool {
        let on_their_way = (self.newcomers.len() + self.introduced.len()) as u64;
        let clients = (self.effects.peers.len() + self.starting.len()) as u64 + on_their_way;
        descriptors::suffice(64 + u64::from(self.viewers) + clients * descriptors::CLIENT, on_their_way)
    }

    /// Whether there is room for one more client. Connections that have been silent for a while make room for it.
    fn may_accept(&mut self) -> bool {
        while !self.has_descriptors() {
            let silent = self.longest_silent().filter(|(since_ms, _)| since_ms + SILENT_MS <= self.clock.now_ms());
            let Some((_, number)) = silent else { return false };
            // It may have spoken, and not been heard yet.
            self.on_newcomer(number);
            self.close_silent(number, "no hello came, and open files are near their limit");
        }
        true
    }

    fn rest_accepting(&mut self, cause: &str) {
        let _ = epoll::delete(&self.epoll, self.listener.fd());
        if self.listen_again_ms.is_none() {
            tracing::warn!(cause, "clients that connect wait");
        }
        self.listen_again_ms = Some(self.clock.now_ms() + ACCEPT_REST_MS);
    }

    /// Goes on accepting, if it rests and there is room.
    fn accept_again(&mut self) {
        if self.may_accept() && epoll::add(&self.epoll, self.listener.fd(), token(Kind::Listener, 0), epoll::EventFlags::IN).is_ok() {
            self.listen_again_ms = None;
            tracing::info!("clients that connect are taken again");
        } else {
            self.listen_again_ms = Some(self.clock.now_ms() + ACCEPT_REST_MS);
        }
    }

    /// A client's descriptors are free again.
    pub(super) fn descriptors_came_free(&mut self) {
        if self.listen_again_ms.is_some() {
            self.listen_again_ms = Some(self.clock.now_ms());
        }
    }

    /// Whether there is place for one more connection. Silent ones do not keep others out: where there is none, those that have been
    /// silent for longest are closed.
    fn make_place(&mut self) -> bool {
        while self.newcomers.len() + self.introduced.len() >= MAX_NEWCOMERS {
            let Some((_, number)) = self.longest_silent() else { return false };
            // It may have spoken, and not been heard yet.
            self.on_newcomer(number);
            self.close_silent(number, "no hello came, and others want to connect");
        }
        true
    }

    /// Since when, and its number.
    fn longest_silent(&self) -> Option<(u64, u32)> {
        let drivers = self.newcomers.iter().filter(|(_, newcomer)| newcomer.worker.is_none());
        drivers.map(|(number, newcomer)| (newcomer.since_ms, *number)).min()
    }

    fn close_silent(&mut self, number: u32, cause: &str) {
        if let Some(newcomer) = self.newcomers.remove(&number) {
            self.not_let_in(&newcomer, cause);
        }
    }

    fn not_let_in(&mut self, newcomer: &Newcomer, cause: &str) {
        tracing::warn!(cause, "a client is not let in");
        self.core.on_refused(newcomer.pid(), cause);
        self.descriptors_came_free();
    }

    /// Connections that never said hello are closed; accepting goes on after its rest.
    pub(super) fn lose_silent(&mut self) {
        let now_ms = self.clock.now_ms();
        let overdue = |newcomer: &Newcomer| newcomer.overdue_ms().is_some_and(|at| at <= now_ms);
        let silent: Vec<u32> = self.newcomers.iter().filter(|(_, newcomer)| overdue(newcomer)).map(|(number, _)| *number).collect();
        for number in silent {
            match self.newcomers.get(&number).and_then(|newcomer| newcomer.worker) {
                Some((worker, _)) => {
                    self.newcomers.remove(&number);
                    self.condemn(worker, "no hello came in time");
                }
                None => self.close_silent(number, "no hello came in time"),
            }
        }
        if self.listen_again_ms.is_some_and(|at| at <= now_ms) {
            self.accept_again();
        }
    }

    pub(super) fn on_newcomer(&mut self, number: u32) {
        let Some(newcomer) = self.newcomers.remove(&number) else { return };
        let packet = match newcomer.line.recv() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.newcomers.insert(number, newcomer);
                return;
            }
            Ok(Some(packet)) => packet,
            // Gone without a word; a started worker's end is seen by its pidfd.
            Ok(None) => return self.descriptors_came_free(),
            Err(error) => return self.not_let_in(&newcomer, &error.to_string()),
        };
        let _ = epoll::delete(&self.epoll, newcomer.line.fd());
        let (bytes, descriptors) = packet;
        match listener::introduce(&newcomer, &bytes, descriptors) {
            Ok(introduction) if newcomer.worker.is_some() => self.admit(newcomer, introduction),
            Ok(introduction) => {
                if let Some(error) = self.core.refuses_drivers() {
                    return self.refuse(&newcomer, error);
                }
                let pid = introduction.hello.pid;
                self.introduced.insert(number, (newcomer, introduction));
                let _ = self.errands.send(Errand::Environment { newcomer: number, pid });
            }
            Err(error) => self.refuse(&newcomer, error),
        }
    }

    pub(super) fn on_environment(&mut self, number: u32, environment: Vec<(OsString, OsString)>) {
        let Some((newcomer, mut introduction)) = self.introduced.remove(&number) else { return };
        if let Some(program) = &mut introduction.program {
            program.environment = environment;
        }
        self.admit(newcomer, introduction);
    }

    /// Tells a client why it is not let in.
    fn refuse(&mut self, newcomer: &Newcomer, error: Error) {
        self.not_let_in(newcomer, &error.to_string());
        listener::turn_away(&newcomer.line, error);
    }

    fn admit(&mut self, newcomer: Newcomer, introduction: Introduction) {
        let equipment = match Equipment::make(self.sites.wanted()) {
            Ok(equipment) => equipment,
            Err(error) => {
                match newcomer.worker {
                    Some((worker, _)) => self.condemn(worker, &format!("no shared memory for it: {error}")),
                    None => self.refuse(&newcomer, Error::system("make the shared memory of one more client", error)),
                }
                return;
            }
        };
        let hello = introduction.hello;
        let name = hello.executable.rsplit('/').next().unwrap_or("program").to_owned();
        let (process, job) = match newcomer.worker {
            Some((worker, _)) => {
                let job = self.core.process(worker).map(|worker| worker.job);
                let Some(job) = job.filter(|job| self.core.has_job(*job)) else { return };
                (worker, job)
            }
            None => self.core.on_driver_connected(hello.pid, &name),
        };
        if let Some(program) = introduction.program {
            self.effects.programs.insert(job, Arc::new(program));
        }
        let answer = AgentHello {
            version: VERSION,
            node: self.core.node_id(),
            process,
            job,
            agent_pid: std::process::id(),
            starter: self.identity.starter.clone(),
            session: self.identity.session.display().to_string(),
            capacity: self.effects.pool().capacity(),
            slots: self.effects.slots().len(),
        };
        let joined = epoll::add(&self.epoll, introduction.pidfd.fd(), token(Kind::End, process.0), epoll::EventFlags::IN)
            .and_then(|()| epoll::add(&self.epoll, newcomer.line.fd(), token(Kind::Channel, process.0), epoll::EventFlags::IN))
            .map_err(io::Error::from)
            .and_then(|()| Ok((self.effects.pool().fd()?, self.effects.slots().fd()?)))
            .and_then(|(pool, slots)| equipment.hand_over(&newcomer.line, answer, pool, slots, &self.bell));
        if let Err(error) = joined {
            match newcomer.worker {
                Some(_) => self.condemn(process, &format!("not let in: {error}")),
                None => {
                    // Gone, or too much is under way to unprivileged users' processes; the one who is still there is told.
                    self.lose(process, format!("not let in: {error}"));
                    self.refuse(&newcomer, Error::system("hand over shared memory", error));
                }
            }
            return;
        }
        let peer = Peer {
            link: equipment.link,
            line: Some(newcomer.line),
            pidfd: introduction.pidfd,
            doorbell: equipment.doorbell,
            reader_bell: equipment.reader_bell,
            backlog: std::collections::VecDeque::new(),
            unread: (Vec::new(), 0),
            touched: false,
            gone: false,
            dropped: false,
            reason: None,
            hung_up_ms: None,
            child: newcomer.worker.is_some(),
        };
        self.effects.peers.insert(process, peer);
        if newcomer.worker.is_some() {
            self.starting.remove(&process);
            self.core.on_worker_connected(process, hello.pid, &mut self.effects);
        }
        self.watch();
    }

    /// Ends a worker that has not said hello; its own end follows.
    pub(super) fn condemn(&mut self, worker: ProcessId, reason: &str) {
        let Some(starting) = self.starting.get_mut(&worker) else { return };
        starting.reason.get_or_insert_with(|| reason.to_owned());
        if let Some(pidfd) = &starting.pidfd {
            let _ = pidfd.kill();
        }
    }
}
