use proptest::prelude::*;

use super::*;

const NONE: SiteId = SiteId(0);

/// A place that nothing is known of the callers of.
fn intern(sites: &mut Sites, kind: SiteKind, file: &str, line: u32, function: &str, client: &mut Cost) -> SiteId {
    sites.intern(kind, file, line, function, NONE, client).unwrap()
}

#[test]
fn a_place_is_one_site_and_learns_its_name_once() {
    let (mut sites, mut client) = (Sites::default(), Cost::default());
    let a = intern(&mut sites, SiteKind::PutObject, "src/a.rs", 3, "", &mut client);
    assert_eq!(intern(&mut sites, SiteKind::PutObject, "src/a.rs", 3, "app::f", &mut client), a);
    let cost = client;
    assert_eq!(intern(&mut sites, SiteKind::PutObject, "src/a.rs", 3, "app::g", &mut client), a);
    assert_eq!(client, cost);
    assert_eq!(sites.get(a).short(), "f a.rs:3");
    assert_ne!(intern(&mut sites, SiteKind::TaskCall, "src/a.rs", 3, "", &mut client), a);
}

#[test]
fn a_site_has_within_it_what_was_called_from_there_and_the_unknown_one_nothing() {
    let (mut sites, mut client) = (Sites::default(), Cost::default());
    let outer = intern(&mut sites, SiteKind::PutObject, "a", 1, "", &mut client);
    sites.intern(SiteKind::PutObject, "b", 1, "", outer, &mut client).unwrap();
    intern(&mut sites, SiteKind::PutObject, "c", 1, "", &mut client);
    assert_eq!(sites.within(outer), [false, true, true, false]);
    assert_eq!(sites.within(NONE), [true, false, false, false]);
}

#[test]
fn growth_looks_back_one_minute() {
    let mut sites = Sites::default();
    let id = intern(&mut sites, SiteKind::PutObject, "a", 1, "", &mut Cost::default());
    for second in 0..200_u64 {
        sites.weigh(id, |weight| weight.bytes += 10);
        sites.sample(second * 1000);
    }
    assert_eq!(sites.figures(199_000)[1].growth.0, 600);
    assert_eq!(sites.figures(400_000)[1].growth.0, 0);
}

/// What everything interned takes, as [`Sites::afford`] counts it.
fn texts(sites: &Sites) -> usize {
    sites.entries.iter().map(|entry| 2 * entry.site.file.len() + entry.site.function.len()).sum()
}

#[test]
fn made_up_places_share_one_entry_of_their_kind_in_the_end() {
    let mut sites = Sites::default();
    for line in 0..MAX_SITES as u32 + 10 {
        // Each from a client of its own: no client's share is the limit.
        intern(&mut sites, SiteKind::PutObject, "a", line, "", &mut Cost::default());
    }
    let (put, task) = (SiteKind::PutObject, SiteKind::TaskCall);
    let other = intern(&mut sites, put, "b", 1, "", &mut Cost::default());
    assert_eq!(sites.get(other).to_string(), "(put object) (other)");
    assert_eq!(intern(&mut sites, put, "c", 7, "f", &mut Cost::default()), other);
    assert_eq!(sites.get(other).function, "");
    assert_eq!(sites.get(sites.index[&(put, Box::from(OTHER), 0, NONE)]).kind, put);
    let tasks = intern(&mut sites, task, "b", 1, "", &mut Cost::default());
    assert_eq!((sites.get(tasks).kind, sites.get(tasks).short()), (task, "(other)".to_owned()));
}

#[test]
fn long_texts_of_one_client_leave_room_for_others() {
    let (mut sites, mut hog) = (Sites::default(), Cost::default());
    let long = "x".repeat(4096);
    let mut shared = 0;
    for line in 0..MAX_SITES as u32 {
        let id = intern(&mut sites, SiteKind::PutObject, &long, line, &long, &mut hog);
        shared += usize::from(sites.get(id).file == OTHER);
    }
    assert!(shared > 60_000, "{shared}");
    assert!(texts(&sites) <= CLIENT_COST + ENTRY_COST);
    let honest = intern(&mut sites, SiteKind::PutObject, "src/a.rs", 3, "app::f", &mut Cost::default());
    assert_eq!(sites.get(honest).short(), "f a.rs:3");
    // Names that come later are on the same account.
    let mut late = Cost::default();
    for line in 0..20_000 {
        let id = intern(&mut sites, SiteKind::TaskCall, "b", line, "", &mut late);
        sites.name(id, &long, &mut late);
    }
    assert!(texts(&sites) <= 2 * CLIENT_COST + ENTRY_COST, "{}", texts(&sites));
    // Nor is it any better with many of them.
    for client in 0..20_u32 {
        let mut cost = Cost::default();
        for line in 0..2000 {
            intern(&mut sites, SiteKind::PutObject, &format!("{client}{long}"), line, "", &mut cost);
        }
    }
    assert!(texts(&sites) <= ALL_COST, "{}", texts(&sites));
}

#[test]
fn a_stack_shares_its_frames_and_has_an_end() {
    let (mut sites, mut cost) = (Sites::default(), Cost::default());
    let main = sites.intern(SiteKind::Frame, "main.py", 9, "main", NONE, &mut cost).unwrap();
    let left = sites.intern(SiteKind::PutObject, "a.py", 1, "f", main, &mut cost).unwrap();
    let right = sites.intern(SiteKind::PutObject, "a.py", 1, "f", NONE, &mut cost).unwrap();
    assert_ne!(left, right, "the same place, called from elsewhere");
    assert_eq!(sites.intern(SiteKind::Frame, "main.py", 9, "main", NONE, &mut cost), Some(main));
    assert_eq!(sites.get(left).stack(), "(put object) f a.py:1 | main main.py:9");
    assert_eq!(sites.stack(left).iter().map(|site| site.id).collect::<Vec<_>>(), [left, main]);
    assert!(sites.stack(NONE).is_empty());
    let mut caller = NONE;
    for _ in 0..MAX_STACK {
        caller = sites.intern(SiteKind::Frame, "deep.py", 1, "deep", caller, &mut cost).unwrap();
    }
    assert_eq!(sites.get(caller).frames().count(), MAX_STACK);
    assert_eq!(sites.intern(SiteKind::Frame, "deep.py", 1, "deep", caller, &mut cost), None);
}

#[test]
fn too_many_stacks_leave_their_innermost_frames_a_place() {
    let (mut sites, mut cost) = (Sites::default(), Cost::default());
    for line in 0..MAX_SITES as u32 {
        let main = sites.intern(SiteKind::Frame, "main.py", line, "main", NONE, &mut cost).unwrap();
        sites.intern(SiteKind::PutObject, "a.py", 1, "f", main, &mut cost).unwrap();
    }
    assert!(sites.entries.len() < MAX_SITES);
    for line in 1..=3000 {
        let main = sites.intern(SiteKind::Frame, "main.py", MAX_SITES as u32, "main", NONE, &mut cost).unwrap();
        let inner = sites.intern(SiteKind::Frame, "inner.py", line, "g", main, &mut cost).unwrap();
        let put = sites.intern(SiteKind::PutObject, "b.py", line, "f", inner, &mut cost).unwrap();
        assert_eq!(sites.get(put).stack(), format!("(put object) f b.py:{line}"));
        assert_eq!(sites.intern(SiteKind::PutObject, "b.py", line, "f", NONE, &mut cost), Some(put));
    }
}

#[test]
fn a_name_that_comes_late_is_in_every_stack() {
    let (mut sites, mut cost) = (Sites::default(), Cost::default());
    let main = sites.intern(SiteKind::Frame, "main.rs", 9, "", NONE, &mut cost).unwrap();
    let middle = sites.intern(SiteKind::Frame, "main.rs", 5, "app::middle", main, &mut cost).unwrap();
    let put = sites.intern(SiteKind::PutObject, "main.rs", 2, "app::put", middle, &mut cost).unwrap();
    sites.name(main, "app::main", &mut cost);
    assert!(sites.take_renamed() && !sites.take_renamed());
    assert_eq!(sites.get(put).stack(), "(put object) app::put main.rs:2 | app::middle main.rs:5 | app::main main.rs:9");
}

proptest! {
    /// Figures are what a walk over every object and its stack finds; and whoever follows has them.
    #[test]
    fn a_frame_holds_what_was_called_from_there(deeds in proptest::collection::vec((0_usize..12, 0_usize..12, 0_u64..100, 1_usize..5), 1..200)) {
        let (mut sites, mut cost) = (Sites::default(), Cost::default());
        let (mut ids, mut objects, mut replica) = (vec![NONE], Vec::<(SiteId, u64, u64)>::new(), Vec::<Figures>::new());
        for (step, (deed, which, bytes, most)) in deeds.into_iter().enumerate() {
            let now_ms = 1_000 + step as u64 * 700;
            match deed {
                0..3 => ids.extend(sites.intern(SiteKind::Frame, "a", step as u32, "", ids[which % ids.len()], &mut cost)),
                3..7 => {
                    let site = ids[which % ids.len()];
                    sites.enter(site, now_ms);
                    sites.weigh(site, |weight| weight.bytes += bytes);
                    objects.push((site, bytes, now_ms));
                }
                7..9 if !objects.is_empty() => {
                    let (site, bytes, born) = objects.swap_remove(which % objects.len());
                    sites.leave(site, born, bytes);
                }
                9 => sites.sample(now_ms),
                _ => {
                    let (changed, complete) = sites.take_changed(replica.is_empty(), most, now_ms);
                    replica.resize(replica.len().max(sites.end() as usize), Figures::default());
                    changed.iter().for_each(|(id, figures)| replica[id.0 as usize] = *figures);
                    prop_assert!(!complete || replica == sites.figures(now_ms));
                }
            }
            let figures = sites.figures(now_ms);
            for id in &ids {
                let own = objects.iter().filter(|(site, ..)| site == id);
                let held: Vec<_> = objects.iter().filter(|(site, ..)| site == id || sites.stack(*site).iter().any(|frame| frame.id == *id)).collect();
                let told = figures[id.0 as usize];
                prop_assert_eq!(told.own.bytes, own.map(|(_, bytes, _)| bytes).sum::<u64>());
                prop_assert_eq!((told.held.objects, told.held.bytes), (held.len() as u64, held.iter().map(|(_, bytes, _)| bytes).sum()));
                prop_assert_eq!(told.oldest_ms, held.iter().map(|(_, _, born)| *born).min());
            }
        }
    }
}
