//! What programs do: one step of one client's, as chance has it. Everything here is what an honest library may send.

use plasmon_protocol::error::Error;
use plasmon_protocol::id::ObjectKey;
use plasmon_protocol::local::{self, Argument, ENDLESS, Ending, MAX_STACK, RetryExceptions, SMALL, ToAgent, Value, Work};
use plasmon_protocol::record::SiteKind;
use plasmon_protocol::resources::{Amount, Demand};

use super::client::{Client, Reading, Request, Running, View, YIELDS};
use super::model::wants::CUSTOM;
use super::random::Random;

/// What goes with a task or a call.
pub(super) struct Prepared<'a> {
    pub(super) arguments: Vec<Argument<'a>>,
    pub(super) returns: Vec<ObjectKey>,
    /// Put for it alone.
    pub(super) block: Option<ObjectKey>,
}

impl Client {
    /// One step of the program, and of the library's own thread.
    pub(crate) fn act(&mut self, view: View<'_>, random: &mut Random) {
        if self.recalled && random.chance(70) {
            self.recalled = false;
            for lease in self.idle_leases(view) {
                self.give_back(lease);
            }
        }
        if self.leaving {
            self.leave(view, random);
        } else if self.worker {
            self.work(view, random);
        } else {
            self.drive(view, random);
        }
        if random.chance(80) {
            self.publish();
        }
    }

    /// Told to end: some say goodbye, and none starts anything but what an actor's destructor does.
    fn leave(&mut self, view: View<'_>, random: &mut Random) {
        if self.actor.is_some() && !self.said_bye && random.chance(50) {
            self.drive(view, random);
        }
        if !self.said_bye && random.chance(50) {
            self.said_bye = true;
            self.write(&ToAgent::Bye);
            self.publish();
        }
    }

    fn work(&mut self, view: View<'_>, random: &mut Random) {
        if self.tasks.is_empty() {
            // Between tasks only what the last one left in globals is let go; what an actor has stored, more rarely.
            if self.actor.is_none() || random.chance(20) {
                self.let_go(random);
            }
            return;
        }
        // Calls that run side by side don't give back what they don't have.
        let alone = self.actor.is_none_or(|calls| calls == 1);
        // What was sent ahead comes after what runs.
        let which = if alone { 0 } else { random.below(self.tasks.len() as u64) as usize };
        self.tasks.swap(0, which);
        let running = &mut self.tasks[0];
        let task = running.key;
        if !running.started {
            self.begin();
        } else if running.blocked {
            if random.chance(50) {
                running.blocked = false;
                self.write(&ToAgent::Unblocked);
            }
        } else {
            match random.weighted(&[40, 25, 35]) {
                0 => {
                    // Only a submission takes it; what else comes first leaves it as it is.
                    if !alone && self.actor.is_some() && random.chance(60) {
                        self.write(&ToAgent::Submits { task });
                    }
                    self.drive(view, random);
                }
                1 if alone && random.chance(30) => {
                    running.blocked = true;
                    self.write(&ToAgent::Blocked);
                    self.ask_for_value(view, random);
                }
                1 => self.open_arguments(view, random),
                _ => self.go_on(view, random),
            }
        }
    }

    /// A task's function takes the references out of its arguments.
    fn open_arguments(&mut self, view: View<'_>, random: &mut Random) {
        let Some(task) = self.tasks.first().and_then(|running| view.model.tasks.get(&running.key)) else { return };
        // The actor's own handle is none of its arguments.
        let itself = task.role.actor();
        let holds: Vec<ObjectKey> = task.holds.iter().copied().filter(|key| Some(*key) != itself).collect();
        for _ in 0..random.between(1, 3) {
            if let Some(key) = random.pick(&holds) {
                self.add_handle(key);
            }
        }
    }

    /// The next result, or the end.
    pub(crate) fn go_on(&mut self, view: View<'_>, random: &mut Random) {
        let Some(running) = self.tasks.first().copied() else { return };
        let (task, missing, yields) = (running.key, running.returns.saturating_sub(running.outputs), running.yields);
        if yields && self.asks_for_room(random) {
            return;
        }
        if missing == 0 || random.chance(8) {
            let ending = match (missing, random.below(if missing == 0 { 10 } else { 4 })) {
                (_, 1..) if yields => Ending::Exhausted,
                (_, 0) => Ending::Failed { message: "no".to_owned(), listed: random.chance(50), value: Vec::new() },
                (_, 1) => Ending::Panicked { message: "no".to_owned(), place: "a.rs:1:1".to_owned() },
                (1.., _) => Ending::Refused(Error::UnknownFunction { name: "f".to_owned(), executable: "x".to_owned() }),
                (0, _) => Ending::Finished,
            };
            // What an actor has got in a call, it may store.
            let stores = self.actor.is_some() || running.work != Work::Task;
            if random.chance(if stores { 15 } else { 70 }) {
                for key in self.held() {
                    self.drop_handle(key, random);
                }
            }
            for key in self.pins.keys().copied().collect::<Vec<_>>() {
                for _ in 0..self.pins.get(&key).copied().unwrap_or(0) {
                    self.drop_pin(key);
                }
            }
            for key in self.viewed() {
                self.drop_view(key, random);
            }
            self.end_task(ending);
            return;
        }
        let memory = if random.chance(50) { self.room(random.below(3000), true, view) } else { None };
        let bytes = vec![task.number as u8; random.below(40) as usize];
        let value = memory.map_or(Value::Inline(&bytes), Value::Memory);
        self.stage(random);
        if let Some(running) = self.tasks.first_mut() {
            let result = view.model.tasks.get(&task).and_then(|task| task.returns.get(running.outputs as usize));
            self.written.extend(result.copied().zip(memory));
            running.outputs += 1;
        }
        self.write(&ToAgent::Output { task, value });
    }

    fn drive(&mut self, view: View<'_>, random: &mut Random) {
        let lets_go = if self.hoards { 5 } else { 22 };
        match random.weighted(&[22, 10, 3, lets_go, 8, 8, 16, 10, 3, 14, 4, 2, 2, 16, 6, 10, 8, 3, 10]) {
            0 => {
                self.put(random.below(3000), random.chance(40), false, view, random);
            }
            1 => {
                let most = view.model.capacity / 2;
                self.put(random.between(SMALL.min(most / 4), most), false, false, view, random);
            }
            2 => {
                self.put(0, random.chance(30), false, view, random);
            }
            3 => self.let_go(random),
            4 => self.clone_handle(view, random),
            5 => match random.pick(&self.mappable(view)) {
                Some(key) if self.handles.contains_key(&key) && random.chance(70) => self.add_view(key, view),
                Some(key) => self.add_pin(key, view),
                None => {}
            },
            6 => {
                let (pins, views) = (self.pins.keys().copied().collect::<Vec<_>>(), self.viewed());
                match random.pick(&pins).filter(|_| views.is_empty() || random.chance(50)) {
                    Some(key) => self.drop_pin(key),
                    None => random.pick(&views).into_iter().for_each(|key| self.drop_view(key, random)),
                }
            }
            7 => self.ask_for_value(view, random),
            8 => {
                let waiting: Vec<u32> =
                    self.requests.iter().filter(|(_, waiting)| matches!(waiting, Request::Value(_))).map(|(request, _)| *request).collect();
                if let Some(request) = random.pick(&waiting) {
                    // The answer may be under way: the entry stays until it comes or for ever.
                    if let Some(Request::Value(key)) = self.requests.get(&request).copied() {
                        self.requests.insert(request, Request::Abandoned(key));
                    }
                    self.write(&ToAgent::Cancel { request });
                }
            }
            // Many alike at once are what is sent ahead.
            9 => (0..if self.plain { random.between(1, 4) } else { 1 }).for_each(|_| self.submit(view, random)),
            10 => {
                if let Some(lease) = random.pick(&self.idle_leases(view)) {
                    self.give_back(lease);
                }
            }
            11 => self.name_site(random),
            12 => self.ask_for_slots(),
            13 => self.direct(view, random),
            14 => {
                if let Some(key) = random.pick(&self.mappable(view)) {
                    self.begin_read(key, Reading::Moment, view);
                }
            }
            15 => self.end_read(random),
            18 => self.extend(view, random),
            17 => {
                if let Some(key) = random.pick(&self.held()) {
                    let site = self.sites;
                    self.write(&ToAgent::CancelTask { key, force: random.chance(40), site });
                }
            }
            _ => {
                let away = self.away(view);
                if let Some(key) = random.pick(&away) {
                    self.ask_for(key, random);
                }
            }
        }
    }

    /// A new object; `None` when there is no name or no room yet.
    pub(super) fn put(&mut self, bytes: u64, nested: bool, hidden: bool, view: View<'_>, random: &mut Random) -> Option<ObjectKey> {
        let chunk = bytes <= SMALL.min(view.model.capacity / 16);
        let key = self.name(view, random)?;
        let Some(memory) = self.room(bytes, chunk, view) else {
            self.unname(key);
            return None;
        };
        if nested {
            self.stage(random);
        }
        let site = random.below(u64::from(self.sites) + 1) as u32;
        self.written.push((key, memory));
        self.write(&ToAgent::Put { key, memory, site, hidden });
        self.handles.insert(key, 1);
        Some(key)
    }

    /// References for the next message that takes them.
    pub(super) fn stage(&mut self, random: &mut Random) {
        let held = self.held();
        for _ in 0..random.below(3) {
            let references: Vec<ObjectKey> = (0..random.below(4)).filter_map(|_| random.pick(&held)).collect();
            self.write(&ToAgent::Stage { references });
        }
    }

    fn let_go(&mut self, random: &mut Random) {
        let held = self.held();
        for _ in 0..random.between(1, 3) {
            if let Some(key) = random.pick(&held)
                && self.handles.contains_key(&key)
            {
                self.drop_handle(key, random);
            }
        }
    }

    /// A handle more: a clone, or one read out of a value.
    fn clone_handle(&mut self, view: View<'_>, random: &mut Random) {
        let from = if random.chance(50) { self.readable(view) } else { self.held() };
        if let Some(key) = random.pick(&from) {
            self.add_handle(key);
        }
    }

    fn ask_for_value(&mut self, view: View<'_>, random: &mut Random) {
        let reach = if random.chance(30) { self.reach(view) } else { self.held() };
        if let Some(key) = random.pick(&reach) {
            self.ask_for(key, random);
        }
    }

    fn ask_for(&mut self, key: ObjectKey, random: &mut Random) {
        let request = self.request(Request::Value(key));
        let message = if random.chance(60) { ToAgent::Get { request, key, site: self.sites } } else { ToAgent::Wait { request, key } };
        self.write(&message);
    }

    /// Whether a generator waits for room, or has to ask for some before it goes on.
    fn asks_for_room(&mut self, random: &mut Random) -> bool {
        let Some(Running { key, returns, outputs, closed, .. }) = self.tasks.first().copied() else { return false };
        let asked = self.requests.iter().find(|(_, request)| **request == Request::Room(key)).map(|(request, _)| *request);
        if let Some(request) = asked {
            if random.chance(90) {
                return true;
            }
            // It ends without an answer, which may be under way.
            self.write(&ToAgent::Cancel { request });
            return false;
        }
        if outputs < returns || closed || random.chance(20) {
            return false;
        }
        let request = self.request(Request::Room(key));
        self.write(&ToAgent::Room { request, task: key, results: outputs + 1 });
        true
    }

    /// Makes room for more results of a generator, or says that no more are wanted.
    fn extend(&mut self, view: View<'_>, random: &mut Random) {
        let Some(number) = random.pick(&self.generators) else { return };
        let names: Vec<ObjectKey> = (0..random.below(4)).filter_map(|_| self.name(view, random)).collect();
        self.write(&ToAgent::Extend { number, returns: names.clone(), site: self.sites });
        self.sent(names, None);
    }

    fn submit(&mut self, view: View<'_>, random: &mut Random) {
        let inline = vec![7; random.below(40) as usize];
        let yields = random.chance(if self.plain { 2 } else { 20 });
        let results: &[u64] = if yields { &[1] } else { &[5, 70, 25] };
        let Some(prepared) = self.prepare(results, &inline, view, random) else { return };
        if yields {
            self.generators.push(self.last_task);
        }
        let demand = if self.plain { Demand::of_cpus(Amount::ONE) } else { some_demand(random) };
        let max_retries = random.pick(&[0, 0, 1, 2, ENDLESS]).unwrap_or(0);
        let timeout_ms = random.pick(&[0, 0, 0, 60, 2000]).unwrap_or(0);
        use RetryExceptions::{Always, Listed, Never};
        let retry_exceptions = random.pick(&[Never, Never, Never, Always, Listed]).unwrap_or_default();
        let message = ToAgent::Submit {
            number: self.last_task,
            function: if yields { YIELDS } else { "app::work" },
            arguments: prepared.arguments,
            returns: prepared.returns.clone(),
            options: local::Task { demand, max_retries, retry_exceptions, timeout_ms },
            site: self.sites,
        };
        self.write(&message);
        self.sent(prepared.returns, prepared.block);
    }

    /// What goes with a task or a call: its number, its arguments, with references inside some of them, and names for so many
    /// results as are likely. `None` when there are no names.
    pub(super) fn prepare<'a>(&mut self, results: &[u64], inline: &'a [u8], view: View<'_>, random: &mut Random) -> Option<Prepared<'a>> {
        let block =
            if random.chance(if self.plain { 1 } else { 15 }) { self.put(random.below(3000), false, true, view, random) } else { None };
        let held = self.held();
        let mut arguments = Vec::new();
        for _ in 0..random.below(3) {
            match random.pick(&held).filter(|key| random.chance(if self.plain { 10 } else { 65 }) && Some(*key) != block) {
                Some(key) => arguments.push(Argument::Object(key)),
                None => arguments.push(Argument::Inline(inline)),
            }
        }
        arguments.extend(block.map(Argument::Block));
        let wanted = random.weighted(results);
        let mut returns = Vec::new();
        for _ in 0..wanted {
            let Some(key) = self.name(view, random) else { break };
            returns.push(key);
        }
        if returns.len() < wanted {
            for key in returns {
                self.unname(key);
            }
            self.sent(Vec::new(), block);
            return None;
        }
        if random.chance(30) {
            self.stage(random);
        }
        self.last_task += 1 + u32::from(random.chance(5));
        Some(Prepared { arguments, returns, block })
    }

    /// The message is written: its results are held, the block that was put for it is its alone.
    pub(super) fn sent(&mut self, returns: Vec<ObjectKey>, block: Option<ObjectKey>) {
        self.handles.extend(returns.into_iter().map(|key| (key, 1)));
        if let Some(key) = block {
            self.drop_block(key);
        }
    }

    /// A name that no message carried is free again.
    pub(super) fn unname(&mut self, key: ObjectKey) {
        self.used.remove(&key.slot);
    }

    fn name_site(&mut self, random: &mut Random) {
        if self.sites > 0 && random.chance(30) {
            let site = random.between(1, u64::from(self.sites)) as u32;
            self.write(&ToAgent::SiteName { site, function: "app::main" });
            return;
        }
        self.sites += 1;
        let function = if random.chance(50) { "app::main" } else { "" };
        let kind = random.pick(SiteKind::ALL).unwrap_or_default();
        // Few are deep: a frame too many is refused.
        let caller = if random.chance(30) { random.below(u64::from(self.sites.min(MAX_STACK as u32))) as u32 } else { 0 };
        self.write(&ToAgent::Site { site: self.sites, kind, file: "src/app.rs", line: random.below(9) as u32, function, caller });
    }
}

/// What a task may ask for: mostly CPUs, at times more than any node has.
pub(super) fn some_demand(random: &mut Random) -> Demand<'static> {
    let parts = |random: &mut Random, of: &[u64]| Amount::of_parts(random.pick(of).unwrap_or(0)).unwrap_or_default();
    let mut demand = Demand::of_cpus(parts(random, &[0, 5000, 10_000, 10_000, 10_000, 20_000]));
    if random.chance(3) {
        demand.cpus = Amount::whole(1000);
    }
    if random.chance(20) {
        demand.memory = random.between(1, 600);
    }
    if random.chance(10) {
        demand.gpus = parts(random, &[2500, 5000, 10_000, 20_000]);
    }
    if random.chance(10) {
        demand.custom.push((if random.chance(95) { CUSTOM } else { "gate" }, parts(random, &[1, 10_000, 20_000])));
    }
    demand
}
