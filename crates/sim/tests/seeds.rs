//! The simulator itself: clean seeds are clean and worth their name, a seed is a run, and every planted bug is found.

use std::sync::Mutex;
use std::thread;

use bellwether_sim::bug::Bug;
use bellwether_sim::report::Report;
use bellwether_sim::{Options, run};

/// Most need one or two; those of SQLite being ahead of the log need a rare crash, a dozen seeds on average.
const SEEDS_PER_BUG: u64 = 100;

/// Runs each on one of two threads; seeds in different threads do not see each other.
fn run_all<T: Send, R: Send>(jobs: Vec<T>, each: impl Fn(T) -> R + Sync) -> Vec<R> {
    let jobs = Mutex::new(jobs);
    let take = || jobs.lock().expect("no thread panics with it").pop();
    let work = || {
        let mut done = Vec::new();
        while let Some(job) = take() {
            done.push(each(job));
        }
        done
    };
    thread::scope(|scope| {
        let workers = [scope.spawn(work), scope.spawn(work)];
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("a worker ends"))
            .collect()
    })
}

#[test]
fn ten_seeds_hold_all_that_is_promised() {
    let reports = run_all((1..=10).collect(), |seed| run(Options::new(seed)));
    for report in reports {
        println!("{report}");
        assert_eq!(report.violation, None, "seed {}", report.seed);
        assert_eq!(report.counts.lack(), None, "seed {}", report.seed);
    }
}

#[test]
fn the_same_seed_is_the_same_run_and_another_is_another() {
    let reports = run_all(vec![7, 7, 8], |seed| run(Options::new(seed)));
    let (same, other): (Vec<Report>, Vec<Report>) = reports.into_iter().partition(|report| report.seed == 7);
    assert_eq!(same[0], same[1]);
    assert_ne!(same[0].trace_hash, other[0].trace_hash);
}

#[test]
fn every_planted_bug_is_caught() {
    let find = |bug: Bug| {
        let with_bug = |seed| Options {
            bug: Some(bug),
            ..Options::new(seed)
        };
        let caught = (1..=SEEDS_PER_BUG).find_map(|seed| Some((seed, run(with_bug(seed)).violation?)));
        (bug, caught)
    };
    let mut results = run_all(Bug::ALL.to_vec(), find);
    results.sort_by_key(|(bug, _)| *bug);
    for (bug, caught) in &results {
        match caught {
            Some((seed, violation)) => println!("{:28} seed {seed:>3}  {violation}", bug.name()),
            None => println!("{:28} not caught", bug.name()),
        }
    }
    let missed: Vec<Bug> = results
        .iter()
        .filter(|(_, caught)| caught.is_none())
        .map(|(bug, _)| *bug)
        .collect();
    assert_eq!(missed, [], "not caught in {SEEDS_PER_BUG} seeds");
}
