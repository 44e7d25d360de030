//! Deaths while objects are spilled: nothing is left, and nobody else loses anything.

use plasmon::Options;
use rustix::process::Signal;

use super::store::{Known, MIB, files_below, spill_dir, spill_files, start};
use crate::support::{Child, Flag, Random, Standalone, Viewer, alone, attach, eventually, publish, role};

/// Makes and drops objects until it is killed, with the first ones held.
fn churn(seed: u64) {
    attach();
    let mut random = Random(seed);
    let mut held: Vec<Known> = Vec::new();
    for index in 0.. {
        held.push(Known::put(seed << 32 | index, random.below(2 * MIB) as usize));
        if held.len() > 20 {
            held.swap_remove(random.below(20) as usize);
        }
        held[random.below(held.len() as u64) as usize].check();
        if index == 30 {
            Flag::named(&format!("churning-{seed}")).say("");
        }
    }
}

#[test]
fn owners_killed_while_they_are_spilled_leave_nothing() {
    alone(|| {
        if let Some(seed) = role().and_then(|role| role.strip_prefix("owner-").map(str::to_owned)) {
            return churn(seed.parse().unwrap());
        }
        let info = start(8 * MIB, |_| {});
        publish(&info);
        let mine: Vec<Known> = (0..16).map(|seed| Known::put(seed, MIB as usize)).collect();
        let mut viewer = Viewer::here();
        for round in 0..4 {
            let owners: Vec<(u64, Child)> =
                (0..2).map(|owner| (round * 2 + owner + 1, Child::start(&format!("owner-{}", round * 2 + owner + 1)))).collect();
            owners.iter().for_each(|(seed, _)| drop(Flag::named(&format!("churning-{seed}")).wait()));
            owners.into_iter().for_each(|(_, owner)| owner.kill());
            viewer.until("only what this process holds is left", |report| {
                let spill = &report.store.spill;
                report.store.objects == 16 && spill.live_bytes <= 16 * MIB && spill.writing_bytes == 0
            });
            mine.iter().for_each(Known::check);
        }
        drop(mine);
        viewer.until("nothing is left, on disk neither", |report| report.is_empty() && report.store.spill.files == 0);
        eventually("no file is left", || spill_files().is_empty());
    });
}

#[test]
fn an_interrupted_agent_takes_its_files_along() {
    alone(|| {
        if Standalone::was_here() {
            return;
        }
        for signal in [Signal::INT, Signal::TERM] {
            let arguments = format!("--spill-dir {} --object-store-memory 8MiB --drain-timeout 1", spill_dir().display());
            let agent = Standalone::start(&arguments);
            Options::new().address(agent.session.clone()).init().unwrap();
            let objects: Vec<Known> = (0..24).map(|seed| Known::put(seed, MIB as usize)).collect();
            assert!(!spill_files().is_empty());
            agent.signal(signal);
            agent.succeed();
            assert_eq!(files_below(&spill_dir()), [] as [std::path::PathBuf; 0]);
            drop(objects);
            let _ = plasmon::shutdown();
        }
    });
}

#[test]
fn objects_are_dropped_while_they_are_made_and_spilled() {
    alone(|| {
        start(8 * MIB, |_| {});
        let makers: Vec<_> = (0..3_u64)
            .map(|maker| {
                std::thread::spawn(move || {
                    let mut last: Option<Known> = None;
                    for index in 0..60 {
                        // A draft that never becomes an object, one that does and is dropped at once, one that lives for a round.
                        drop(plasmon::create::<u8>(MIB as usize).unwrap());
                        drop(Known::put(maker << 32 | index, 700_000));
                        if let Some(known) = last.replace(Known::put(maker << 40 | index, 500_000)) {
                            known.check();
                        }
                    }
                })
            })
            .collect();
        makers.into_iter().for_each(|maker| maker.join().unwrap());
        Viewer::here().until("nothing is left, on disk neither", |report| report.is_empty() && report.store.spill.files == 0);
        eventually("no file is left", || spill_files().is_empty());
    });
}
