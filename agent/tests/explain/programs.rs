//! Random programs: at every step every explanation is bounded, the same twice, and never a panic; and what is called a deadlock is one.

use plasmon_agent::telemetry::tables::Tables;
use plasmon_protocol::explain::Subject;
use plasmon_protocol::id::{ObjectKey, ProcessId, TaskKey};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::node::{Client, MIB, NODE, Node, demand};

/// One step, with numbers that choose among what there is.
type Step = (u8, usize, usize, u64);

#[derive(Default)]
struct Program {
    running: Vec<(TaskKey, Client)>,
    blocked: Vec<TaskKey>,
    results: Vec<ObjectKey>,
    tasks: Vec<TaskKey>,
}

impl Program {
    fn step(&mut self, node: &mut Node, driver: &mut Client, (what, which, other, amount): Step) {
        let some = |list: &[ObjectKey], at: usize| list.get(at % list.len().max(1)).copied();
        match what % 6 {
            0 | 1 => {
                let needs: Vec<ObjectKey> = some(&self.results, which).into_iter().filter(|_| what % 2 == 0).collect();
                // A third of them by tasks that run.
                let at = other % (3 * self.running.len().max(1));
                let by = self.running.get_mut(at).map_or(&mut *driver, |(_, client)| client);
                let (task, result) = node.submit(by, "f", demand((amount % 4) as u32, amount * 60 * MIB), &needs);
                self.tasks.push(task);
                self.results.push(result);
            }
            2 => {
                node.connect(1_000 + self.tasks.len() as u32 * 10);
                if let Some(task) = node.sent() {
                    let client = node.begins(task);
                    self.running.push((task, client));
                }
            }
            3 => {
                let Some(key) = some(&self.results, which) else { return };
                let at = other % self.running.len().max(1);
                let Some((task, client)) = self.running.get_mut(at) else { return node.gets(driver, key) };
                let pending = Tables::objects(&node.core)
                    .iter()
                    .any(|row| row.object_id == key.on(NODE) && row.state == plasmon_protocol::record::ObjectState::Pending);
                if pending && !self.blocked.contains(task) {
                    node.gets(client, key);
                    node.blocks(client);
                    self.blocked.push(*task);
                }
            }
            _ => {
                let free = |(task, _): &(TaskKey, Client)| !self.blocked.contains(task);
                let Some(at) = self.running.iter().position(free) else { return };
                let (task, client) = self.running.remove(at);
                node.ends(&client, task);
            }
        }
    }

    /// Everything that can begin begins, and everything that runs and is not blocked ends, until nothing more does.
    fn runs_out(&mut self, node: &mut Node) {
        loop {
            node.connect(100_000 + self.tasks.len() as u32);
            let begun = node.sent().map(|task| (task, node.begins(task)));
            self.running.extend(begun);
            let free = self.running.iter().position(|(task, _)| !self.blocked.contains(task));
            if let Some((task, client)) = free.map(|at| self.running.remove(at)) {
                node.ends(&client, task);
            } else if begun.is_none() {
                break;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_explanation_of_a_random_program_is_sound(steps in vec(any::<Step>().prop_map(|(a, b, c, d)| (a, b, c, d % 12)), 1..80)) {
        let mut node = Node::new();
        let mut driver = node.driver(100);
        let mut program = Program::default();
        for step in steps {
            program.step(&mut node, &mut driver, step);
            node.passes(10);
            node.samples();
            let told = node.explain(Subject::Everything).unwrap();
            for task in &program.tasks {
                node.explain(Subject::Task(task.on(NODE)));
            }
            for key in program.results.iter().take(5) {
                node.explain(Subject::Object(key.on(NODE)));
            }
            node.explain(Subject::Process(ProcessId(1)));
            // A ring has a blocked process in it: nothing else can hold what others wait for and wait itself.
            for cycle in &told.cycles {
                prop_assert!(cycle.nodes.iter().any(|id| id.starts_with("process:")), "{}", cycle.sentence);
                prop_assert!(!program.blocked.is_empty(), "{}", cycle.sentence);
            }
        }
        let before = node.explain(Subject::Everything).unwrap();
        program.runs_out(&mut node);
        let after = node.explain(Subject::Everything).unwrap();
        for cycle in &before.cycles {
            for id in cycle.nodes.iter().filter(|id| !id.starts_with("resource:")) {
                prop_assert!(after.node(id).is_some_and(|node| node.stuck), "{id} of {}\n{}", cycle.sentence, after.text(0));
            }
        }
        prop_assert_eq!(node.core.check(), Ok(()));
    }
}
