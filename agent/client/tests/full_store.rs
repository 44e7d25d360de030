//! A store without room: who waits, who is called upon, and what is said to those who asked in vain.

mod support;

use plasmon::{Error, ObjectRef};
use plasmon_protocol::record::EventKind;
use support::{Flag, Viewer, alone, at, check, content, eventually, start_without_disk};

#[plasmon::remote]
fn make_full(length: u64) -> Vec<u64> {
    content(length, length as usize)
}

/// Puts as soon as there is room. An attempt ends after two seconds; on a busy machine the room may come later.
fn put_at_last(numbers: &[u64]) -> ObjectRef<[u64]> {
    (0..20).find_map(|_| plasmon::put(numbers).ok()).expect("room comes")
}

#[test]
fn a_full_store_says_who_holds_it() {
    alone(|| {
        let info = start_without_disk(1.0, 8 << 20);
        let mut viewer = Viewer::here();
        let (most, most_at) = at!([plasmon::put(&content(1, 1 << 18)[..]).unwrap(), plasmon::put(&content(1, 1 << 18)[..]).unwrap()]);
        let (some, some_at) = at!(plasmon::put(&content(2, 3 << 17)[..]).unwrap());
        let (few, few_at) = at!(plasmon::put(&content(3, 1 << 14)[..]).unwrap());
        let least = plasmon::put(&content(4, 10)[..]).unwrap();
        let numbers = content(5, 1 << 18);
        let (full, full_at) = at!(plasmon::put(&numbers[..]).unwrap_err());
        let Error::ObjectStoreFull { asked, free, capacity, site, holders } = &full else { panic!("{full}") };
        assert_eq!((asked.0, capacity.0), (2 << 20, info.capacity));
        // What is idle may have come back since.
        let since = viewer.report().ledger().free_bytes;
        assert!(free.0 > 0 && free.0 <= since && since < asked.0, "{free} of {since} are free");
        let name = "a_full_store_says_who_holds_it";
        let short = |place: support::Place| format!("{name} full_store.rs:{}", place.line);
        assert_eq!(*site, short(full_at));
        let told: Vec<_> = holders.iter().map(|holder| (holder.site.clone(), holder.bytes.0, holder.objects)).collect();
        assert_eq!(told, [(short(most_at), 4 << 20, 2), (short(some_at), 3 << 20, 1), (short(few_at), 1 << 17, 1)]);
        assert!(full.to_string().contains("2 MiB asked") && full.to_string().contains("of 8 MiB free"), "{full}");
        assert_eq!(viewer.events_of(EventKind::StoreFull), 1);
        // More than there is at all is refused at once, whatever its size.
        for length in [(1 << 20) + 1, usize::MAX / 16, usize::MAX] {
            let error = plasmon::create::<u64>(length).unwrap_err();
            assert!(matches!(error, Error::ObjectStoreFull { .. }), "{error}");
        }
        // Nothing was harmed, and room that comes free serves.
        drop(some);
        let fits = plasmon::put(&numbers[..]).unwrap();
        for object in most.iter().chain([&few, &least, &fits]) {
            check(&plasmon::get(object).unwrap()).unwrap();
        }
        drop((most, few, least, fits));
        viewer.until_empty();
    });
}

#[test]
fn a_create_waits_for_room() {
    alone(|| {
        start_without_disk(1.0, 8 << 20);
        let mut viewer = Viewer::here();
        let first = plasmon::put(&content(1, 3 << 18)[..]).unwrap();
        let second = std::thread::spawn(|| put_at_last(&content(2, 3 << 18)));
        viewer.until("a create waits", |report| report.store.creates_queued == 1);
        drop(first);
        let second = second.join().unwrap();
        check(&plasmon::get(&second).unwrap()).unwrap();
        drop(second);
        viewer.until_empty();
    });
}

#[test]
fn a_result_without_room_is_an_error_of_the_task() {
    alone(|| {
        start_without_disk(1.0, 8 << 20);
        let mut viewer = Viewer::here();
        let held = plasmon::put(&content(1, 3 << 18)[..]).unwrap();
        let result = make_full.remote(3 << 18).unwrap();
        let error = plasmon::get(&result).unwrap_err();
        assert!(matches!(error, Error::ObjectStoreFull { .. }), "{error}");
        drop((held, result));
        let result = make_full.remote(3 << 18).unwrap();
        check(&plasmon::get(&result).unwrap()).unwrap();
        drop(result);
        viewer.until_empty();
    });
}

#[test]
fn idle_memory_of_others_is_called_back() {
    alone(|| {
        let info = start_without_disk(2.0, 16 << 20);
        let mut viewer = Viewer::here();
        // The agent tidies up at times, too.
        eventually("driver and workers keep some memory warm", || {
            let results: Vec<_> = (0..8).map(|length| make_full.remote(10 + length * 3000).unwrap()).collect();
            results.iter().for_each(|result| check(&plasmon::get(result).unwrap()).unwrap());
            let puts: Vec<_> = (0..50).map(|seed| plasmon::put(&content(seed, 2000)[..]).unwrap()).collect();
            drop((results, puts));
            viewer.until_empty().ledger().slack_bytes > 0
        });
        let whole = put_at_last(&content(1, info.capacity as usize / 8));
        assert_eq!(viewer.report().ledger().slack_bytes, 0);
        check(&plasmon::get(&whole).unwrap()).unwrap();
        drop(whole);
        viewer.until_empty();
        assert!(viewer.events_of(EventKind::LeasesRecalled) > 0);
    });
}

#[plasmon::remote]
fn abandon(length: u64, flag: &str) -> Result<u64, Error> {
    let draft = plasmon::create::<u64>(length as usize)?;
    Flag::named(flag).wait();
    drop(draft);
    Ok(length)
}

#[test]
fn a_draft_that_a_worker_abandons_is_room_for_others() {
    alone(|| {
        let info = start_without_disk(1.0, 16 << 20);
        let mut viewer = Viewer::here();
        let task = abandon.remote(info.capacity / 16, "go").unwrap();
        viewer.until("the draft is made", |report| report.ledger().creating_bytes == info.capacity / 2);
        Flag::named("go").raise();
        plasmon::get(&task).unwrap();
        drop(task);
        let whole = put_at_last(&content(1, info.capacity as usize / 8));
        check(&plasmon::get(&whole).unwrap()).unwrap();
        drop(whole);
        viewer.until_empty();
    });
}
