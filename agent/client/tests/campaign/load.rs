//! The mixed load of one thread: puts, nested references, tasks, actors, views, all from one seed, all checked.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use plasmon::{ActorOptions, Pinned, TaskOptions};

use crate::content::{Ids, Series, Tree};
use crate::item::{Item, What};
use crate::support::Random;
use crate::tasks::{grow, hoard, look, look_inside, make, mix, mixed, pass_on, relay, stumble, write};
use crate::trouble::{Trouble, passes};
use crate::vault::{BOARD, Own, Vault, deposit, shared};

/// Items held at most.
const HELD: usize = 24;
/// Tasks that are not waited for yet, at most.
const PENDING: usize = 10;
/// Views held at most.
const VIEWS: usize = 4;
/// How long an object that is there may be refused once everybody is at rest, and the disk works.
const RECOVERY: Duration = Duration::from_secs(20);

/// What one thread does and holds.
pub(crate) struct Load {
    random: Random,
    held: Vec<Item>,
    views: Vec<(Pinned<[u64]>, Series)>,
    /// Objects that are held for long, so many, whether they fit into the store or not.
    stock: Vec<Item>,
    stocked: usize,
    pub(crate) counts: Counts,
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Counts {
    /// Objects whose bytes were read and found right.
    pub(crate) verified: u64,
    /// Calls and tasks that met a typed error which a death explains.
    pub(crate) refused: u64,
    /// Calls that found no room, or a disk that failed.
    pub(crate) full: u64,
}

impl Load {
    pub(crate) fn new(seed: u64, stocked: usize) -> Self {
        Self { random: Random(seed), held: Vec::new(), views: Vec::new(), stock: Vec::new(), stocked, counts: Counts::default() }
    }

    /// One thing of many.
    ///
    /// # Errors
    /// What broke a promise; the agent's death.
    pub(crate) fn step(&mut self) -> Result<(), Trouble> {
        match self.any() {
            Err(Trouble::Typed(error)) if passes(&error) => self.counts.full += 1,
            Err(Trouble::Typed(error)) if error.code() != "agent_died" => self.counts.refused += 1,
            other => other?,
        }
        while self.held.len() > HELD {
            let index = self.random.below(self.held.len() as u64) as usize;
            drop(self.held.swap_remove(index));
        }
        if self.held.iter().filter(|item| item.is_pending()).count() > PENDING
            && let Some(index) = self.held.iter().position(Item::is_pending)
        {
            self.verify(index)?;
        }
        Ok(())
    }

    fn any(&mut self) -> Result<(), Trouble> {
        if self.stock.len() < self.stocked {
            self.add_to_stock()?;
        }
        match self.random.below(100) {
            0..14 => self.put(),
            14..18 => self.use_stock(),
            18..24 => self.create(),
            24..33 => self.plant(),
            33..48 => self.look_at_one(),
            48..54 => self.view(),
            54..57 => self.let_views_go(),
            57..59 => self.burst(),
            59..60 => self.wait(),
            60..62 => self.turn_away(),
            62..66 => self.clone_and_drop(),
            66..73 => self.use_vault(),
            73..78 => self.use_board(),
            _ => self.submit(),
        }
    }

    fn put(&mut self) -> Result<(), Trouble> {
        let series = Series::any(&mut self.random);
        let reference = plasmon::put(&series.numbers()[..])?;
        self.held.push(Item::put(What::Numbers(reference, series)));
        Ok(())
    }

    fn add_to_stock(&mut self) -> Result<(), Trouble> {
        let series = Series { seed: self.random.next(), length: 10_000 + self.random.below(10_000) as u32 };
        let reference = plasmon::put(&series.numbers()[..])?;
        self.stock.push(Item::put(What::Numbers(reference, series)));
        Ok(())
    }

    /// Reads what may have been away for long. Sometimes one goes, and another one comes.
    fn use_stock(&mut self) -> Result<(), Trouble> {
        let Some(index) = (!self.stock.is_empty()).then(|| self.random.below(self.stock.len() as u64) as usize) else { return Ok(()) };
        if self.random.below(8) == 0 {
            drop(self.stock.swap_remove(index));
            return Ok(());
        }
        let (mut ids, item) = (Ids::new(), &mut self.stock[index]);
        item.verify(&mut ids)?;
        self.counts.full += u64::from(item.is_refused());
        self.counts.verified += 1;
        Ok(())
    }

    fn create(&mut self) -> Result<(), Trouble> {
        let series = Series::any(&mut self.random);
        let mut draft = plasmon::create::<u64>(series.length as usize)?;
        let numbers = series.numbers();
        let (first, second) = numbers.split_at(numbers.len() / 2);
        draft[..first.len()].copy_from_slice(first);
        if self.random.below(3) == 0 {
            // Given up half-way.
            return Ok(());
        }
        draft[first.len()..].copy_from_slice(second);
        self.held.push(Item::put(What::Numbers(draft.seal()?, series)));
        Ok(())
    }

    fn plant(&mut self) -> Result<(), Trouble> {
        let (seed, depth) = (self.random.next(), self.random.below(3) as u32);
        let tree = Tree::plant(seed, depth)?;
        self.held.push(Item::put(What::Tree(tree, seed, depth)));
        Ok(())
    }

    fn look_at_one(&mut self) -> Result<(), Trouble> {
        if self.held.is_empty() {
            return Ok(());
        }
        let index = self.random.below(self.held.len() as u64) as usize;
        self.verify(index)
    }

    fn verify(&mut self, index: usize) -> Result<(), Trouble> {
        let mut ids = Ids::new();
        let item = &mut self.held[index];
        let pending = item.is_pending();
        item.verify(&mut ids)?;
        self.counts.refused += u64::from(pending && item.is_failed());
        self.counts.full += u64::from(item.is_refused());
        self.counts.verified += ids.len() as u64;
        Ok(())
    }

    /// Begins to get what is not there yet, or not in memory, and takes no answer: what came of it goes back.
    fn turn_away(&mut self) -> Result<(), Trouble> {
        let stock = self.stock.first().map(|item| &item.what);
        let (reference, series) = match stock {
            Some(What::Numbers(reference, series)) if self.random.below(4) == 0 => (reference.clone(), *series),
            _ => {
                let series = Series { seed: self.random.next(), length: 9000 };
                let reference = make.remote(series)?;
                self.held.push(Item::pending(What::Numbers(reference.clone(), series)));
                (reference, series)
            }
        };
        let mut got = (&reference).into_future();
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(got) = Pin::new(&mut got).poll(&mut context) {
            return series.check(&got?);
        }
        if self.random.below(2) == 0 {
            // The answer is there, or on its way.
            plasmon::wait(&[reference], 1, Some(RECOVERY))?;
        }
        std::thread::sleep(Duration::from_micros(self.random.below(8000)));
        drop(got);
        Ok(())
    }

    /// Holds a view into an object, whose last reference may go before it.
    fn view(&mut self) -> Result<(), Trouble> {
        let series = Series::any(&mut self.random);
        let view = match self.numbers() {
            Some((reference, series)) => (plasmon::get(&reference)?, series),
            None => (plasmon::get(&plasmon::put(&series.numbers()[..])?)?, series),
        };
        if self.views.len() >= VIEWS {
            self.let_views_go()?;
        }
        self.views.push(view);
        Ok(())
    }

    /// The memory under a view is as it was, however long ago it was taken.
    fn let_views_go(&mut self) -> Result<(), Trouble> {
        self.views.drain(..).try_for_each(|(view, series)| series.check(&view))
    }

    /// Many small objects, in the same memory again and again.
    fn burst(&mut self) -> Result<(), Trouble> {
        for _ in 0..50 {
            let series = Series { seed: self.random.next(), length: 8 };
            let reference = plasmon::put(&series.numbers()[..])?;
            series.get(&reference, &mut Ids::new())?;
            self.counts.verified += 1;
        }
        Ok(())
    }

    fn wait(&mut self) -> Result<(), Trouble> {
        let series = Series::short(&mut self.random);
        let references = (0..3).map(|_| make.remote(series)).collect::<Result<Vec<_>, _>>()?;
        let (ready, rest) = plasmon::wait(&references, 1 + self.random.below(3) as usize, None)?;
        if ready.len() + rest.len() != 3 || ready.is_empty() {
            return Err(Trouble::Wrong(format!("{} are ready and {} are not, of 3", ready.len(), rest.len())));
        }
        self.held.extend(ready.into_iter().map(|reference| Item::pending(What::Numbers(reference, series))));
        Ok(())
    }

    fn clone_and_drop(&mut self) -> Result<(), Trouble> {
        if let Some((reference, series)) = self.numbers() {
            drop(reference.clone());
            self.held.push(Item::put(What::Numbers(reference, series)));
        }
        if self.held.len() > HELD / 2 {
            let index = self.random.below(self.held.len() as u64) as usize;
            drop(self.held.swap_remove(index));
        }
        Ok(())
    }

    /// A slice object that is held and has a value.
    fn numbers(&mut self) -> Option<(crate::content::Numbers, Series)> {
        let from = self.random.below(self.held.len().max(1) as u64) as usize;
        let (before, after) = self.held.split_at(from.min(self.held.len()));
        after.iter().chain(before).find_map(|item| match &item.what {
            What::Numbers(reference, series) if item.is_value() => Some((reference.clone(), *series)),
            _ => None,
        })
    }

    /// One call of an actor that is this load's alone.
    fn use_vault(&mut self) -> Result<(), Trouble> {
        let series = Series::short(&mut self.random);
        let Some(index) = self.held.iter().position(|item| matches!(&item.what, What::Vault(_)) && !item.is_failed()) else {
            let options = ActorOptions::new().max_concurrency(1 + 2 * self.random.below(2) as u32);
            self.held.push(Item::pending(What::Vault(Own::new(Vault::options(options).remote()?))));
            return Ok(());
        };
        let held = self.numbers();
        let What::Vault(own) = &mut self.held[index].what else { return Ok(()) };
        let (call, number) = match (self.random.below(16), held) {
            (0..5, Some(entry)) => own.store(entry)?,
            (0..8, _) => own.store((make.remote(series)?, series))?,
            (8..11, _) => return own.make(series),
            (11..13, _) => own.read()?,
            (13, _) => return own.shelve(),
            (14, _) => return Ok(plasmon::kill(&own.handle(&mut Ids::new())?)?),
            _ => {
                drop(self.held.swap_remove(index));
                return Ok(());
            }
        };
        self.held.push(Item::pending(What::Number(call, number)));
        Ok(())
    }

    /// One call of the actor that all programs share.
    fn use_board(&mut self) -> Result<(), Trouble> {
        let board = plasmon::get_actor::<Vault>(BOARD)?;
        let series = Series::short(&mut self.random);
        match (self.random.below(8), self.numbers()) {
            (0..4, _) => {
                let mut ids = Ids::new();
                for (reference, series) in plasmon::get(&board.give()?)? {
                    match shared(series, &reference, &mut ids) {
                        Ok(()) => {}
                        // Its maker died, as it may have.
                        Err(Trouble::Typed(error)) if passes(&error) => self.counts.full += 1,
                        Err(Trouble::Typed(error)) if error.code() != "agent_died" => self.counts.refused += 1,
                        other => return other,
                    }
                }
                self.counts.verified += ids.len() as u64;
                return Ok(());
            }
            (4, Some(entry)) => drop(board.store(vec![entry])?),
            (4..6, _) => drop(board.store(vec![(make.remote(series)?, series)])?),
            (6, _) => self.held.push(Item::pending(What::Count(deposit.remote(&board, series)?))),
            _ => self.held.push(Item::pending(What::Count(board.store(vec![(plasmon::put(&series.numbers()[..])?, series)])?))),
        }
        Ok(())
    }

    fn submit(&mut self) -> Result<(), Trouble> {
        let options = TaskOptions::new().max_retries([0, 3, 8][self.random.below(3) as usize]);
        let series = Series::any(&mut self.random);
        let seed = series.seed;
        let held = self.numbers();
        let what = match (self.random.below(20), held) {
            (0..3, _) => What::Numbers(make.options(options).remote(series)?, series),
            (3..5, _) => What::Numbers(write.options(options).remote(series)?, series),
            (5..8, _) => What::Number(mix.options(options).remote(seed)?, mixed(seed)),
            (8..10, Some((numbers, series))) => What::Number(look.options(options).remote(&numbers, series)?, mixed(series.seed)),
            (8..10, None) => What::Number(look.options(options).remote(&series.numbers()[..], series)?, mixed(seed)),
            (10..12, Some((numbers, one))) => {
                let other = plasmon::put(&series.numbers()[..])?;
                What::Number(look_inside.options(options).remote(vec![numbers, other], vec![one, series])?, 2)
            }
            (12..14, Some((numbers, one))) => {
                let other = make.options(options).remote(series)?;
                What::Passed(pass_on.options(options).remote(vec![other, numbers])?, vec![series, one])
            }
            (10..16, _) => What::Grown(grow.options(options).remote(seed, 1)?, seed, 1),
            (16..18, _) => What::Relayed(relay.options(options).remote(series, (seed % 3) as u32)?, series),
            (18, Some((numbers, series))) => {
                let millis = self.random.below(15);
                What::Number(hoard.options(options).remote(&numbers, series, millis)?, mixed(series.seed))
            }
            _ => What::Number(stumble.options(options).remote(seed)?, mixed(seed)),
        };
        if self.random.below(8) > 0 {
            self.held.push(Item::pending(what));
        }
        // Else nobody wants the result.
        Ok(())
    }

    /// Waits for every task, verifies everything that is held, and tells all objects that it keeps alive.
    ///
    /// # Errors
    /// What broke a promise; the agent's death.
    pub(crate) fn settle(&mut self) -> Result<Ids, Trouble> {
        let deadline = Instant::now() + RECOVERY;
        while self.stock.len() < self.stocked {
            match self.add_to_stock() {
                Err(Trouble::Typed(error)) if passes(&error) && Instant::now() < deadline => self.counts.full += 1,
                Err(Trouble::Typed(error)) if passes(&error) => return Err(Trouble::Wrong(format!("room never comes: {error}"))),
                done => done?,
            }
        }
        let mut ids = Ids::new();
        for item in self.held.iter_mut().chain(&mut self.stock) {
            let pending = item.is_pending();
            let deadline = Instant::now() + RECOVERY;
            item.verify(&mut ids)?;
            // Room comes when others let go, and the disk works again.
            while item.is_refused() && !item.is_failed() {
                self.counts.full += 1;
                if Instant::now() >= deadline {
                    item.give_up()?;
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
                item.verify(&mut ids)?;
            }
            self.counts.refused += u64::from(pending && item.is_failed());
        }
        for (view, series) in &self.views {
            series.check(view)?;
            ids.insert(view.id());
        }
        self.counts.verified += ids.len() as u64;
        Ok(ids)
    }

    /// Lets half of the stock go, before others take its place.
    pub(crate) fn sell(&mut self) {
        self.stock.drain(..self.stock.len() / 2);
    }

    /// Whether everything is as it must be after the agent's death: views show what they showed, everything else says what happened.
    ///
    /// # Errors
    /// What is not.
    pub(crate) fn without_agent(&mut self) -> Result<(), String> {
        for (view, series) in &self.views {
            series.check(view).map_err(Trouble::told)?;
        }
        let codes = [
            plasmon::put(&1_u8).err().map(|error| error.code()),
            plasmon::put(&vec![0_u64; 20_000][..]).err().map(|error| error.code()),
            plasmon::create::<u64>(100).err().map(|error| error.code()),
            mix.remote(1).err().map(|error| error.code()),
        ];
        if codes != [Some("agent_died"); 4] || plasmon::is_initialized() {
            return Err(format!("without an agent calls say {codes:?}"));
        }
        match self
            .held
            .iter_mut()
            .chain(&mut self.stock)
            .map(|item| item.verify(&mut Ids::new()))
            .find(|end| !matches!(end, Err(Trouble::Typed(_))))
        {
            Some(other) => Err(format!("without an agent an object says {other:?}")),
            None => Ok(()),
        }
    }
}
