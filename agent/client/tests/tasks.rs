//! Remote functions: what goes in, what comes out, what runs when, and what happens when it does not work.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use plasmon::{Error, ObjectRef, TaskOptions};
use serde::{Deserialize, Serialize};
use support::{alone, at, start};

#[plasmon::remote]
fn add(one: i64, other: i64) -> i64 {
    one + other
}

#[plasmon::remote]
fn sum(inside: Vec<ObjectRef<i64>>) -> Result<i64, Error> {
    inside.iter().map(plasmon::get).sum()
}

#[plasmon::remote]
fn total(numbers: &[u64]) -> u64 {
    numbers.iter().sum()
}

#[plasmon::remote]
fn count_up(length: u64) -> Vec<u64> {
    (0..length).collect()
}

#[plasmon::remote]
fn drafted(length: u64) -> Result<plasmon::Draft<[u32]>, Error> {
    let mut draft = plasmon::create(length as usize)?;
    draft.iter_mut().zip(0..).for_each(|(number, index)| *number = index);
    Ok(draft)
}

#[plasmon::remote(num_returns = 3)]
fn split(text: &str, at: usize) -> (String, String, Vec<u8>) {
    (text[..at].to_owned(), text[at..].to_owned(), text.as_bytes().to_vec())
}

#[plasmon::remote]
fn shout(text: &str) -> String {
    text.to_uppercase()
}

#[plasmon::remote]
fn nothing() {}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
enum Shape {
    Point,
    Circle { radius: f32 },
    Named(String, Vec<Option<i8>>),
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Drawing {
    shapes: Vec<Shape>,
    names: BTreeMap<String, (u128, char)>,
}

#[plasmon::remote]
fn reverse(drawing: &Drawing, times: u8) -> Drawing {
    let mut drawing = drawing.clone();
    (0..times).for_each(|_| drawing.shapes.reverse());
    drawing
}

#[plasmon::remote]
fn refuse(word: &str) -> Result<u32, String> {
    Err(format!("no {word} today"))
}

const PANIC_LINE: u32 = line!() + 4;
#[plasmon::remote]
fn fall(word: &str) -> u32 {
    if !word.is_empty() {
        panic!("fell over {word}");
    }
    0
}

#[plasmon::remote(num_returns = 2)]
fn refuse_both() -> Result<(u32, u32), String> {
    Err("neither".to_owned())
}

#[test]
fn tasks_wait_for_the_results_that_they_need() {
    alone(|| {
        start(2.0);
        let mut chain = add.remote(0, 0).unwrap();
        for _ in 0..50 {
            chain = add.remote(&chain, 1).unwrap();
        }
        assert_eq!(plasmon::get(&chain).unwrap(), 50);
        let top = add.remote(1, 2).unwrap();
        let (left, right) = (add.remote(&top, 10).unwrap(), add.remote(20, &top).unwrap());
        let bottom = add.remote(&left, &right).unwrap();
        assert_eq!(plasmon::get(&bottom).unwrap(), 36);
        assert_eq!(plasmon::get(&add.remote(&top, &top).unwrap()).unwrap(), 6);
        // An argument that is given away goes with the task, not before it.
        let given = add.remote(add.remote(add.remote(1, 1).unwrap(), 1).unwrap(), 1).unwrap();
        assert_eq!(plasmon::get(&given).unwrap(), 4);
        let many: Vec<_> = (0..100).map(|number| add.remote(number, 1).unwrap()).collect();
        assert_eq!(plasmon::get(&sum.remote(many).unwrap()).unwrap(), 5050);
    });
}

#[test]
fn values_of_any_size_and_kind_go_in_and_out() {
    alone(|| {
        start(2.0);
        let drawing = Drawing {
            shapes: vec![Shape::Point, Shape::Circle { radius: 0.5 }, Shape::Named("a\u{1f980}".to_owned(), vec![Some(-1), None])],
            names: BTreeMap::from([("x".to_owned(), (u128::MAX, 'ß'))]),
        };
        let turned = plasmon::get(&reverse.remote(drawing.clone(), 1).unwrap()).unwrap();
        assert_eq!(turned.shapes[2], Shape::Point);
        assert_eq!(plasmon::get(&reverse.remote(plasmon::put(&drawing).unwrap(), 2).unwrap()).unwrap(), drawing);
        assert_eq!(plasmon::get(&nothing.remote().unwrap()), Ok(()));
        for length in [0, 1, 1000, 1024, 1025, 70_000, 300_000, 5 << 20] {
            let text = "xyz0".repeat(length / 4 + 1)[..length].to_owned();
            assert_eq!(plasmon::get(&shout.remote(text.clone()).unwrap()).unwrap(), text.to_uppercase(), "{length}");
            assert_eq!(plasmon::get(&shout.remote(&text[..]).unwrap()).unwrap().len(), length);
        }
        for length in [0, 1, 127, 128, 129, 10_000, 1 << 20] {
            let numbers: Vec<u64> = (0..length).collect();
            let wanted = numbers.iter().sum::<u64>();
            assert_eq!(plasmon::get(&total.remote(&numbers[..]).unwrap()).unwrap(), wanted);
            assert_eq!(plasmon::get(&total.remote(numbers.clone()).unwrap()).unwrap(), wanted);
            assert_eq!(plasmon::get(&total.remote(plasmon::put(&numbers[..]).unwrap()).unwrap()).unwrap(), wanted);
            let made = count_up.remote(length).unwrap();
            assert_eq!(plasmon::get(&made).unwrap()[..], numbers[..]);
            assert_eq!(plasmon::get(&total.remote(&made).unwrap()).unwrap(), wanted);
            assert_eq!(plasmon::get(&drafted.remote(length).unwrap()).unwrap().len() as u64, length);
        }
        assert_eq!(plasmon::get(&drafted.remote(100_000).unwrap()).unwrap()[99_999], 99_999);
        // A remote function is an ordinary one, too.
        assert_eq!(add.call(20, 22), 42);
        assert_eq!(refuse.call("bread").unwrap_err(), "no bread today");
    });
}

#[test]
fn a_task_has_several_results() {
    alone(|| {
        start(1.0);
        let (head, tail, bytes) = split.remote("hello world", 5).unwrap();
        assert_eq!(plasmon::get(&tail).unwrap(), " world");
        assert_eq!(plasmon::get(&head).unwrap(), "hello");
        assert_eq!(plasmon::get(&bytes).unwrap()[..], *b"hello world");
        let loud = shout.remote(&tail).unwrap();
        drop((head, tail, bytes));
        assert_eq!(plasmon::get(&loud).unwrap(), " WORLD");
        // Results that nobody wants any more are dropped by whoever makes them.
        let (_, tail, _) = split.remote("ab", 1).unwrap();
        assert_eq!(plasmon::get(&tail).unwrap(), "b");
        let (one, other) = refuse_both.remote().unwrap();
        assert_eq!(plasmon::get(&one).unwrap_err(), plasmon::get(&other).unwrap_err());
        drop((loud, tail, one, other));
        support::Viewer::here().until_empty();
    });
}

#[test]
fn an_error_value_is_told_with_name_process_and_site() {
    alone(|| {
        start(1.0);
        let (failed, call) = at!(refuse.remote("bread").unwrap());
        let error = plasmon::get(&failed).unwrap_err();
        let Error::TaskFailed { task, name, pid, site, message, .. } = &error else { panic!("{error}") };
        assert_eq!(message, "no bread today");
        assert_eq!(name, "tasks::refuse");
        assert!(site.ends_with(&format!("tasks.rs:{}", call.line)), "{site}");
        assert!(*pid != 0 && *pid != std::process::id());
        let row = support::Viewer::here().tasks().into_iter().find(|row| row.task_id == *task).unwrap();
        assert_eq!((row.worker_pid, row.error), (Some(*pid), Some(error.to_string())));
        // Whoever asks, and however often: the same error. Waiting for it is no error.
        assert_eq!(plasmon::get(&failed).unwrap_err(), error);
        assert_eq!(plasmon::get_timeout(&failed, Duration::ZERO).unwrap_err(), error);
        let (ready, rest) = plasmon::wait(std::slice::from_ref(&failed), 1, None).unwrap();
        assert_eq!((ready.len(), rest.len()), (1, 0));
        // The worker serves on.
        assert_eq!(plasmon::get(&total.remote(count_up.remote(3).unwrap()).unwrap()), Ok(3));
    });
}

#[plasmon::remote]
fn next(number: u32) -> u32 {
    number + 1
}

#[test]
fn errors_pass_through_the_tasks_that_need_the_result() {
    alone(|| {
        start(2.0);
        let failed = refuse.remote("milk").unwrap();
        let mut last = next.remote(&failed).unwrap();
        for _ in 0..5 {
            last = next.remote(&last).unwrap();
        }
        let error = plasmon::get(&last).unwrap_err();
        assert!(matches!(&error, Error::TaskFailed { name, .. } if name == "tasks::refuse"), "{error}");
        assert_eq!(plasmon::get(&failed).unwrap_err(), error);
        // The error is there already when this one is submitted.
        assert_eq!(plasmon::get(&next.remote(&last).unwrap()).unwrap_err(), error);
        drop((failed, last));
        support::Viewer::here().until_empty();
    });
}

#[test]
fn a_long_error_is_cut_and_not_lost() {
    alone(|| {
        start(1.0);
        for kind in ["ß", "€"] {
            let Err(Error::TaskFailed { message, .. }) = plasmon::get(&refuse.remote(kind.repeat(1 << 20)).unwrap()) else { panic!() };
            assert!(message.starts_with("no ß") || message.starts_with("no €"));
            assert!((4000..=4096).contains(&message.len()), "{}", message.len());
        }
        let Err(Error::TaskPanicked { message, .. }) = plasmon::get(&fall.remote("x".repeat(1 << 20)).unwrap()) else { panic!() };
        assert!(message.starts_with("fell over x") && message.len() <= 4096);
    });
}

#[test]
fn a_value_that_does_not_serialise_is_refused_with_its_type() {
    #[derive(Deserialize)]
    struct Shy;
    impl Serialize for Shy {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("it would rather not"))
        }
    }
    alone(|| {
        start(1.0);
        let error = plasmon::put(&Shy).unwrap_err();
        assert!(matches!(&error, Error::Encode { kind, .. } if kind.contains("Shy")), "{error}");
        // What was written before the refusal is forgotten.
        let inner = plasmon::put(&1_u8).unwrap();
        assert!(plasmon::put(&(inner.clone(), Shy)).is_err());
        drop(inner);
        support::Viewer::here().until_empty();
    });
}

#[test]
fn a_panic_is_told_with_its_message_and_place() {
    alone(|| {
        start(1.0);
        let (fallen, call) = at!(fall.remote("a stone").unwrap());
        let error = plasmon::get(&fallen).unwrap_err();
        let Error::TaskPanicked { name, pid, site, message, place, .. } = &error else { panic!("{error}") };
        assert_eq!((name.as_str(), message.as_str()), ("tasks::fall", "fell over a stone"));
        assert!(place.contains(&format!("tasks.rs:{PANIC_LINE}:")), "{place}");
        assert!(site.ends_with(&format!("tasks.rs:{}", call.line)), "{site}");
        // The worker has survived it.
        let rows = support::Viewer::here().processes();
        assert!(rows.iter().any(|row| row.pid == *pid));
        assert_eq!(plasmon::get(&fall.remote("").unwrap()), Ok(0));
        assert_eq!(support::Viewer::here().processes().len(), rows.len());
    });
}

#[test]
fn a_function_that_the_program_does_not_have_is_named() {
    alone(|| {
        start(1.0);
        let handed = plasmon::macros::submit("tasks::forgotten", TaskOptions::new(), Vec::new(), 1).unwrap();
        let result: ObjectRef<u32> = handed.into_iter().next().unwrap().typed();
        let error = plasmon::get(&result).unwrap_err();
        let Error::UnknownFunction { name, executable } = &error else { panic!("{error}") };
        assert_eq!(name, "tasks::forgotten");
        assert!(executable.contains("tasks"), "{executable}");
    });
}

#[test]
fn wrong_types_and_bad_arguments_are_errors_of_the_task() {
    alone(|| {
        start(1.0);
        let text = plasmon::put(&"text".to_owned()).unwrap();
        let handed =
            plasmon::macros::submit("tasks::add", TaskOptions::new(), vec![plasmon::IntoArgument::into_argument(&text)], 1).unwrap();
        let result: ObjectRef<i64> = handed.into_iter().next().unwrap().typed();
        let error = plasmon::get(&result).unwrap_err();
        assert!(matches!(error, Error::Decode { .. } | Error::Invalid { .. }), "{error}");
        assert_eq!(plasmon::get(&add.remote(1, 1).unwrap()).unwrap(), 2);
    });
}
