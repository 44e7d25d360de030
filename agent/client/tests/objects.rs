//! A whole program, short: init, objects, tasks, shutdown.

mod support;

use std::collections::HashSet;
use std::time::Duration;

use plasmon::{Error, ObjectRef};
use support::{alone, check, content, start, start_sized};

#[plasmon::remote]
fn double(numbers: &[f64]) -> Vec<f64> {
    numbers.iter().map(|number| number * 2.0).collect()
}

#[plasmon::remote]
fn add(one: i64, other: i64) -> i64 {
    one + other
}

/// An id ends with the object's slot.
#[test]
fn slots_of_objects_that_are_gone_serve_others_beside_objects_that_stay() {
    alone(|| {
        start(2.0);
        let kept: Vec<ObjectRef<u64>> = (0..5_000).map(|number| plasmon::put(&number).unwrap()).collect();
        let mut slots = HashSet::new();
        for number in 0..400_000_u64 {
            let hex = plasmon::put(&number).unwrap().hex();
            slots.insert(hex[hex.len() - 8..].to_owned());
            if number % 1_000 == 0 {
                // Until then the agent has read of all that went before.
                assert_eq!(plasmon::get(&add.remote(1, 1).unwrap()).unwrap(), 2);
            }
        }
        // Without another look at the old ones they would be several times as many, and ever more.
        assert!(slots.len() < 30_000, "{} slots", slots.len());
        drop(kept);
        plasmon::shutdown().unwrap();
    });
}

#[test]
fn an_object_longer_than_what_is_backed_ahead_is_whole() {
    alone(|| {
        start_sized(1.0, 512 << 20);
        let numbers = content(7, 20 << 20);
        let objects = [(); 2].map(|()| plasmon::put(&numbers[..]).unwrap());
        for object in &objects {
            check(&plasmon::get(object).unwrap()).unwrap();
        }
        drop(objects);
        plasmon::shutdown().unwrap();
    });
}

#[test]
fn a_program_from_init_to_shutdown() {
    alone(|| {
        let info = start(2.0);
        let numbers: Vec<f64> = (0..1000).map(f64::from).collect();
        let put = plasmon::put(&numbers[..]).unwrap();
        assert_eq!(*plasmon::get(&put).unwrap(), numbers[..]);
        let text = plasmon::put(&"a value".to_owned()).unwrap();
        assert_eq!(plasmon::get(&text).unwrap(), "a value");
        let empty = plasmon::put(&[0_u8; 0][..]).unwrap();
        assert!(plasmon::get(&empty).unwrap().is_empty());
        let doubled: ObjectRef<[f64]> = double.remote(&put).unwrap();
        assert_eq!(plasmon::get(&doubled).unwrap()[999], 1998.0);
        let sum = add.remote(1, 2).unwrap();
        let more = add.remote(&sum, 39).unwrap();
        assert_eq!(plasmon::get(&more).unwrap(), 42);
        let mut draft = plasmon::create::<u32>(100_000).unwrap();
        draft.iter_mut().enumerate().for_each(|(index, number)| *number = index as u32);
        let made = draft.seal().unwrap();
        assert_eq!(plasmon::get(&made).unwrap()[99_999], 99_999);
        let (ready, rest) = plasmon::wait(&[sum.clone(), more.clone()], 2, Some(Duration::from_secs(30))).unwrap();
        assert_eq!((ready.len(), rest.len()), (2, 0));
        assert!(matches!(plasmon::put(&vec![0_u8; 80 << 20][..]), Err(Error::ObjectStoreFull { .. })));
        assert!(serde_json::to_string(&put).unwrap_err().to_string().contains("outside of an object"));
        let session = info.session.clone();
        assert!(session.exists());
        drop((put, text, empty, doubled, sum, more, made, ready));
        plasmon::shutdown().unwrap();
        assert!(!session.exists());
    });
}
