//! How processes come: workers that the core wants are started, drivers connect, and both say hello.

use std::io;
use std::sync::Arc;

use plasmon_memory::process::Pidfd;
use plasmon_protocol::id::{JobId, ProcessId};
use plasmon_protocol::local::{AgentHello, VERSION};
use rustix::event::epoll;

use super::{Kind, Shell, token};
use crate::node::listener::{self, Equipment, Newcomer};
use crate::node::peer::Peer;
use crate::node::workers;

/// How long accepting rests after the system refused a descriptor, milliseconds.
const ACCEPT_REST_MS: u64 = 100;
/// Connections that have not said hello; more are turned away.
const MAX_NEWCOMERS: usize = 256;

impl Shell {
    pub(super) fn start_worker(&mut self, worker: ProcessId, job: JobId) {
        let started = match self.effects.programs.get(&job).cloned() {
            Some(program) => workers::start(&program, worker, &self.identity.logs).and_then(|(channel, pid)| {
                let pidfd = Pidfd::open(pid)?;
                channel.set_nonblocking(true)?;
                let newcomer = Newcomer { channel, worker: Some((worker, pid)), since_ms: self.clock.now_ms() };
                epoll::add(&self.epoll, pidfd.fd(), token(Kind::StartingEnd, worker.0), epoll::EventFlags::IN)?;
                self.starting.insert(worker, pidfd);
                self.await_hello(newcomer)
            }),
            None => Err(io::Error::other("its job has ended")),
        };
        if let Err(error) = started {
            tracing::warn!(worker = worker.0, %error, "a worker does not start");
            self.starting.remove(&worker);
            self.core.on_process_lost(worker, &format!("not started: {error}").into(), &mut self.effects);
        }
    }

    pub(super) fn await_hello(&mut self, newcomer: Newcomer) -> io::Result<()> {
        let number = self.next_newcomer;
        self.next_newcomer = self.next_newcomer.wrapping_add(1);
        epoll::add(&self.epoll, newcomer.channel.fd(), token(Kind::Newcomer, number), epoll::EventFlags::IN)?;
        self.newcomers.insert(number, newcomer);
        Ok(())
    }

    pub(super) fn accept(&mut self) {
        loop {
            let channel = match self.listener.accept() {
                Ok(channel) => channel,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    // Out of descriptors, most likely: it would be reported again at once, and for ever.
                    tracing::warn!(%error, "connections wait");
                    let _ = epoll::delete(&self.epoll, self.listener.fd());
                    self.listen_again_ms = Some(self.clock.now_ms() + ACCEPT_REST_MS);
                    return;
                }
            };
            if self.newcomers.len() >= MAX_NEWCOMERS {
                continue;
            }
            let newcomer = Newcomer { channel, worker: None, since_ms: self.clock.now_ms() };
            if newcomer.channel.set_nonblocking(true).is_ok()
                && let Err(error) = self.await_hello(newcomer)
            {
                tracing::warn!(%error, "a connection is not served");
            }
        }
    }

    /// Connections that never said hello are closed; accepting goes on after its rest.
    pub(super) fn lose_silent(&mut self) {
        let now_ms = self.clock.now_ms();
        self.newcomers.retain(|_, newcomer| newcomer.overdue_ms().is_none_or(|at| at > now_ms));
        if self.listen_again_ms.is_some_and(|at| at <= now_ms) {
            let added = epoll::add(&self.epoll, self.listener.fd(), token(Kind::Listener, 0), epoll::EventFlags::IN);
            self.listen_again_ms = added.is_err().then_some(now_ms + ACCEPT_REST_MS);
        }
    }

    pub(super) fn on_newcomer(&mut self, number: u32) {
        let Some(newcomer) = self.newcomers.remove(&number) else { return };
        let packet = match newcomer.channel.recv() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.newcomers.insert(number, newcomer);
                return;
            }
            Ok(Some(packet)) => packet,
            // Gone without a word; a started worker's end is seen by its pidfd.
            Ok(None) | Err(_) => return,
        };
        let _ = epoll::delete(&self.epoll, newcomer.channel.fd());
        let (bytes, descriptors) = packet;
        match listener::introduce(&newcomer, &bytes, descriptors) {
            Ok(introduction) => {
                if let Err(error) = self.admit(newcomer, introduction) {
                    tracing::warn!(%error, "a client is not let in");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a client is turned away");
                listener::turn_away(&newcomer.channel, error);
            }
        }
    }

    pub(super) fn admit(&mut self, newcomer: Newcomer, introduction: listener::Introduction) -> io::Result<()> {
        let equipment = Equipment::make(self.sites)?;
        let hello = introduction.hello;
        let name = hello.executable.rsplit('/').next().unwrap_or("program").to_owned();
        let (process, job) = match newcomer.worker {
            Some((worker, _)) => {
                let job = self.core.process(worker).map(|worker| worker.job);
                let Some(job) = job.filter(|job| self.core.has_job(*job)) else { return Ok(()) };
                (worker, job)
            }
            None => self.core.on_driver_connected(hello.pid, &name),
        };
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
        epoll::add(&self.epoll, introduction.pidfd.fd(), token(Kind::End, process.0), epoll::EventFlags::IN)?;
        epoll::add(&self.epoll, newcomer.channel.fd(), token(Kind::Channel, process.0), epoll::EventFlags::IN)?;
        let handed = equipment.hand_over(&newcomer.channel, answer, self.effects.pool().fd(), self.effects.slots().fd(), &self.bell);
        let peer = Peer {
            link: equipment.link,
            channel: Some(newcomer.channel),
            pidfd: introduction.pidfd,
            doorbell: equipment.doorbell,
            backlog: std::collections::VecDeque::new(),
            touched: false,
            dropped: false,
            hung_up_ms: None,
            child: newcomer.worker.is_some(),
        };
        self.effects.peers.insert(process, peer);
        if let Some(program) = introduction.program {
            self.effects.programs.insert(job, Arc::new(program));
        }
        if newcomer.worker.is_some() {
            self.starting.remove(&process);
            self.core.on_worker_connected(process, hello.pid, &mut self.effects);
        }
        self.watch();
        if handed.is_err() {
            self.lose(process, &"gone before it was let in".into());
        }
        Ok(())
    }
}
