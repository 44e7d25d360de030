use plasmon_protocol::resources::Demand;
use proptest::prelude::*;

use super::*;
use crate::scheduler::shape::Shapes;

fn part(shape: &Shape, what: What) -> Part<'_> {
    Part { shape, what, devices: &[] }
}

fn node() -> Resources {
    let custom = [("db".into(), Amount::ONE)].into();
    Resources { cpus: Amount::whole(2), gpus: Amount::ZERO, memory_bytes: 1000, custom }
}

#[test]
fn what_lacks_is_told_with_its_amount() {
    let mut reserved = Reserved::new(Offer::new(&node()));
    let mut shapes = Shapes::new(reserved.offer());
    let offer = reserved.offer().clone();
    let large = shapes.intern(&Demand { cpus: Amount::ONE, memory: 700, ..Demand::default() }, &offer);
    assert!(reserved.fits(&large) && reserved.how_many(&large) == 1);
    reserved.take(part(&large, What::All));
    assert!(!reserved.fits(&large));
    let lacks: Vec<String> = reserved.lacks(&large).iter().map(Lack::describe).collect();
    assert_eq!(lacks, ["400 B memory"]);
    assert_eq!(reserved.sum().to_string(), "1 CPU, 700 B memory");
    // A blocked task gives its CPU back, and nothing else.
    reserved.give(part(&large, What::Cpus));
    assert_eq!(reserved.sum().to_string(), "700 B memory");
    reserved.give(part(&large, What::AllButCpus));
    assert!(reserved.is_unused());
}

#[test]
fn what_the_node_will_never_have_is_told() {
    let offer = Offer::new(&node());
    let custom = [("db".into(), Amount::whole(2)), ("gate".into(), Amount::ONE)].into();
    let asked = Resources { cpus: Amount::whole(4), gpus: Amount::ONE, memory_bytes: 5, custom };
    let (wanted, had) = offer.shortfall(&asked);
    assert_eq!(wanted, "4 CPU, 1 GPU, 2 db, 1 gate");
    assert_eq!(had, "2 CPU, 0 GPU, 1 db, 0 gate");
}

proptest! {
    /// Whatever is taken when it fits and given back, nothing is over-committed and nothing is left at the end.
    #[test]
    fn nothing_is_over_committed_or_lost(steps in prop::collection::vec((0_usize..8, 0_u32..4, 0_u64..1200, 0_u32..2), 1..200)) {
        let mut reserved = Reserved::new(Offer::new(&node()));
        let offer = reserved.offer().clone();
        let mut shapes = Shapes::new(&offer);
        let mut taken: Vec<Arc<Shape>> = Vec::new();
        for (which, cpus, memory, db) in steps {
            let custom = if db == 0 { vec![] } else { vec![("db", Amount::ONE)] };
            let shape = shapes.intern(&Demand { cpus: Amount::whole(cpus), memory, custom, ..Demand::default() }, &offer);
            let fits = reserved.fits(&shape);
            prop_assert_eq!(fits, reserved.lacks(&shape).is_empty());
            prop_assert_eq!(fits, reserved.how_many(&shape) > 0);
            if fits {
                reserved.take(part(&shape, What::All));
                taken.push(shape);
            } else if which < taken.len() {
                reserved.give(part(&taken.swap_remove(which), What::All));
            }
            let (used, _) = reserved.sums();
            prop_assert!(used.iter().zip(&offer.amounts).all(|(used, total)| used <= total));
        }
        for shape in taken {
            reserved.give(part(&shape, What::All));
        }
        prop_assert!(reserved.is_unused());
    }
}
