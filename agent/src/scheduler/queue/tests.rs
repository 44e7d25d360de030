use plasmon_protocol::id::ProcessId;
use plasmon_protocol::resources::{Amount, Demand, Resources};

use super::*;
use crate::scheduler::resources::Offer;
use crate::scheduler::shape::Shapes;

const JOB: JobId = JobId(1);

fn task(number: u32) -> TaskKey {
    TaskKey { process: ProcessId(1), number }
}

fn shapes() -> [Arc<Shape>; 2] {
    let offer = Offer::new(&Resources { cpus: Amount::whole(4), ..Resources::default() });
    let mut shapes = Shapes::new(&offer);
    [1, 4].map(|cpus| shapes.intern(&Demand::of_cpus(Amount::whole(cpus)), &offer))
}

fn orders(queue: &ReadyQueue) -> Vec<u64> {
    let mut after = None;
    std::iter::from_fn(|| {
        let head = queue.head_after(JOB, after, |_| u64::MAX)?;
        after = Some((head.order, head.queue));
        Some(head.order)
    })
    .collect()
}

#[test]
fn the_heads_of_all_queues_come_in_their_order() {
    let [small, large] = shapes();
    let mut queue = ReadyQueue::default();
    for (order, shape, arguments) in [(3, &small, false), (5, &small, true), (4, &large, false), (6, &small, false)] {
        queue.push(JOB, shape, arguments, order, task(order as u32));
    }
    assert_eq!(orders(&queue), [3, 4, 5]);
    // One that is tried again stands where it stood.
    queue.push(JOB, &small, false, 1, task(1));
    assert_eq!(orders(&queue), [1, 4, 5]);
    assert!(queue.remove(JOB, (small.number, false), 3) && !queue.remove(JOB, (small.number, false), 3));
    let head = queue.head_after(JOB, None, |_| u64::MAX).unwrap();
    queue.start(JOB, &head);
    assert_eq!((orders(&queue), queue.len()), (vec![4, 5, 6], 3));
    for (key, order) in [((small.number, false), 6), ((large.number, false), 4), ((small.number, true), 5)] {
        assert!(queue.remove(JOB, key, order));
    }
    assert!(queue.is_empty() && queue.jobs() == 0);
}

/// What a task of that shape was found to lack.
fn cpus(shape: &Shape) -> Option<Need> {
    Some((0, shape.cpus().parts()))
}

#[test]
fn heads_that_did_not_fit_are_not_looked_at_before_what_they_lack_is_free() {
    let [small, large] = shapes();
    let mut queue = ReadyQueue::default();
    for (order, shape, arguments) in [(1, &small, false), (2, &large, false), (3, &small, true), (4, &small, false)] {
        queue.push(JOB, shape, arguments, order, task(order as u32));
    }
    let look = |queue: &ReadyQueue, free: u32| {
        let mut after = None;
        let heads = std::iter::from_fn(|| {
            let head = queue.head_after(JOB, after, |_| Amount::whole(free).parts())?;
            after = Some((head.order, head.queue));
            Some(head.order)
        });
        heads.collect::<Vec<_>>()
    };
    assert_eq!(look(&queue, 0), [1, 2, 3], "nobody knows yet");
    for (shape, arguments) in [(&small, false), (&large, false), (&small, true)] {
        queue.blocked(JOB, (shape.number, arguments), cpus(shape));
    }
    assert_eq!((look(&queue, 0), look(&queue, 1), look(&queue, 4)), (vec![], vec![1, 3], vec![1, 2, 3]));
    // The next of a queue is another task.
    let head = queue.head_after(JOB, None, |_| Amount::ONE.parts()).unwrap();
    queue.start(JOB, &head);
    assert_eq!(look(&queue, 0), [4]);
    assert!(queue.remove(JOB, (large.number, false), 2));
    queue.blocked(JOB, (small.number, false), cpus(&small));
    assert_eq!((look(&queue, 0), look(&queue, 4)), (vec![], vec![3, 4]));
    queue.push(JOB, &small, false, 0, task(9));
    assert_eq!(look(&queue, 0), [0]);
    // What is kept for its arguments may have to be let go.
    let head = queue.head_after(JOB, Some((0, (small.number, false))), |_| u64::MAX).unwrap();
    queue.watch(JOB, &head);
    assert_eq!(look(&queue, 0), [0, 3]);
    // It lacks something else now, and then nothing that can be told.
    queue.blocked(JOB, (small.number, true), Some((1, 1)));
    assert_eq!((look(&queue, 0), look(&queue, 1)), (vec![0], vec![0, 3]));
    queue.blocked(JOB, (small.number, true), None);
    assert_eq!(look(&queue, 0), [0, 3]);
}

#[test]
fn a_task_that_let_many_pass_is_impatient_until_it_goes() {
    let [small, large] = shapes();
    let mut queue = ReadyQueue::default();
    queue.push(JOB, &large, false, 0, task(1));
    queue.blocked(JOB, (large.number, false), cpus(&large));
    for order in 1..=PATIENCE {
        assert!(queue.impatient(|_| true).is_none(), "after {order}");
        queue.push(JOB, &small, false, order, task(1 + order as u32));
        let head = queue.head_after(JOB, Some((0, (large.number, false))), |_| u64::MAX).unwrap();
        queue.blocked(JOB, (large.number, false), cpus(&large));
        queue.start(JOB, &head);
    }
    assert_eq!(queue.impatient(|_| true).unwrap().task, task(1));
    // Who cannot be helped is not asked about again until there is hope.
    assert!(queue.impatient(|_| false).is_none() && queue.impatient(|_| true).is_none());
    assert_eq!(queue.impatient_now(|_| true).unwrap().task, task(1));
    queue.hope();
    assert_eq!(queue.impatient(|_| true).unwrap().task, task(1));
    assert!(queue.impatient(|_| false).is_none());
    assert!(queue.remove(JOB, (large.number, false), 0));
    queue.hope();
    assert!(queue.impatient(|_| true).is_none() && queue.impatient_now(|_| true).is_none());
}

#[test]
fn jobs_take_turns() {
    let [small, _] = shapes();
    let mut queue = ReadyQueue::default();
    for job in [2, 5, 9] {
        queue.push(JobId(job), &small, false, u64::from(job), task(job));
    }
    assert_eq!([0, 2, 5, 9, 4].map(|after| queue.job_after(JobId(after)).unwrap().0), [2, 5, 9, 2, 5]);
}
