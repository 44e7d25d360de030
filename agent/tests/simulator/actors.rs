//! What programs do with actors: create, call, look for and kill them. Their handles are references like any other, so that they
//! are passed, stored and dropped where references are.

use plasmon_protocol::local::{self, CallRetries, ENDLESS, RetryExceptions, ToAgent};
use plasmon_protocol::resources::{Amount, Demand};

use super::client::{Client, Request, View};
use super::program::{Prepared, some_demand};
use super::random::Random;

/// Names that actors are given; nobody has the last.
const NAMES: [&str; 4] = ["counter", "queue", "zoe", "nobody"];

impl Client {
    pub(super) fn direct(&mut self, view: View<'_>, random: &mut Random) {
        match random.weighted(&[22, 70, 4, 8]) {
            0 => self.create_actor(view, random),
            1 => self.call_actor(view, random),
            2 => {
                if let Some(actor) = random.pick(&self.actors(view)) {
                    let (no_restart, site) = (random.chance(60), self.sites);
                    self.write(&ToAgent::KillActor { actor, no_restart, site });
                }
            }
            _ => {
                // The name may become free, or be taken, right before.
                match random.below(3) {
                    0 => random.pick(&self.actors(view)).into_iter().for_each(|actor| self.drop_handle(actor, random)),
                    1 => self.create_actor(view, random),
                    _ => {}
                }
                let (request, site) = (self.request(Request::Find), self.sites);
                self.write(&ToAgent::FindActor { request, name: random.pick(&NAMES).unwrap_or_default(), site });
            }
        }
    }

    fn create_actor(&mut self, view: View<'_>, random: &mut Random) {
        let inline = vec![3; random.below(40) as usize];
        let Some(actor) = self.name(view, random) else { return };
        let Some(Prepared { arguments, block, .. }) = self.prepare(&[1], &inline, view, random) else {
            self.unname(actor);
            return;
        };
        let name = if random.chance(50) { random.pick(&NAMES[..3]).unwrap_or_default() } else { "" };
        let detached = random.chance(if name.is_empty() { 5 } else { 60 });
        // One that can never be would outlive everybody.
        let placed =
            if detached { Demand::of_cpus(Amount::of_parts(random.below(2) * 5000).unwrap_or_default()) } else { some_demand(random) };
        let held = Demand { cpus: if random.chance(60) { Amount::ZERO } else { placed.cpus }, ..placed.clone() };
        let options = local::Actor {
            name,
            detached,
            max_concurrency: random.pick(&[1, 1, 1, 2, 3]).unwrap_or(1),
            placed,
            held,
            max_restarts: random.pick(&[0, 0, 1, 2, ENDLESS]).unwrap_or(0),
            max_task_retries: random.pick(&[0, 0, 1, ENDLESS]).unwrap_or(0),
        };
        let (number, site) = (self.last_task, self.sites);
        // Until it is known whether the name was free, nothing is done with the handle.
        let request = if name.is_empty() { 0 } else { self.request(Request::Name(actor)) };
        self.write(&ToAgent::CreateActor { number, request, actor, function: "app::Counter::new", arguments, options, site });
        self.created.insert(actor);
        self.sent(if name.is_empty() { vec![actor] } else { Vec::new() }, block);
    }

    fn call_actor(&mut self, view: View<'_>, random: &mut Random) {
        let Some(actor) = random.pick(&self.actors(view)) else { return };
        let inline = vec![5; random.below(40) as usize];
        // A burst, so that order can be lost.
        for _ in 0..random.between(1, 3) {
            let Some(Prepared { arguments, returns, block }) = self.prepare(&[20, 70, 10], &inline, view, random) else { return };
            let (number, site) = (self.last_task, self.sites);
            let retries = CallRetries {
                max_task_retries: random.pick(&[None, None, Some(0), Some(2), Some(ENDLESS)]).unwrap_or(None),
                retry_exceptions: random
                    .pick(&[RetryExceptions::Never, RetryExceptions::Never, RetryExceptions::Listed, RetryExceptions::Always])
                    .unwrap_or_default(),
            };
            let message =
                ToAgent::Call { number, actor, function: "app::Counter::add", arguments, returns: returns.clone(), retries, site };
            self.write(&message);
            self.sent(returns, block);
        }
    }
}
