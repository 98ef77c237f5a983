//! What others shipped, and tests of others found: each as the faults that bring it out, over a few seeds. Nothing is
//! found here; with the mistake planted that leads there, it is. `docs/anomalies.md` says what was found where.

use bellwether_sim::bug::Bug;
use bellwether_sim::clock::Time;
use bellwether_sim::fault::{CrashPoint, Fault, Faults, Planned, Who};
use bellwether_sim::report::{Counts, Report};
use bellwether_sim::{Options, run};

/// That nothing is found in.
const CLEAN_SEEDS: u64 = 2;

/// In one of which the planted mistake is found.
const SEEDS_PER_BUG: u64 = 20;

const fn from_to(from: u64, to: u64, fault: Fault) -> Planned {
    Planned {
        at: Time::from_secs(from),
        until: Time::from_secs(to),
        fault,
    }
}

fn run_with(faults: &'static [Planned], seed: u64, bug: Option<Bug>) -> Report {
    run(Options {
        faults: Faults::Planned(faults),
        bug,
        // What comes of a mistake is to be found, not the mistake itself.
        promises: bug.is_none(),
        ..Options::new(seed)
    })
}

/// Nothing is found, and with each of these mistakes something is.
#[track_caller]
fn only_mistakes_are_found(faults: &'static [Planned], mistakes: &[Bug]) {
    for seed in 1..=CLEAN_SEEDS {
        let report = run_with(faults, seed, None);
        println!("{report}");
        assert_eq!(report.violation, None, "seed {seed}");
        assert_eq!(report.counts.faults, faults.len() as u64, "seed {seed}");
    }
    for &mistake in mistakes {
        let found = (1..=SEEDS_PER_BUG)
            .find_map(|seed| Some((seed, run_with(faults, seed, Some(mistake)).violation?)));
        let (seed, violation) = found.unwrap_or_else(|| panic!("{} is not found", mistake.name()));
        println!("{}: seed {seed}: {violation}", mistake.name());
    }
}

#[test]
fn a_healthy_cluster_shows_transactions_in_one_order_wherever_they_are_read() {
    only_mistakes_are_found(
        &[],
        &[Bug::ReadFromOldSnapshot, Bug::ApplyUncommitted, Bug::IgnoreToken],
    );
}

#[test]
fn nothing_acknowledged_is_lost_when_all_lose_power_again_and_again() {
    const FAULTS: [Planned; 5] = [
        from_to(10, 11, Fault::PowerLossAll),
        from_to(12, 13, Fault::KillAll),
        from_to(14, 15, Fault::PowerLossAll),
        from_to(20, 24, Fault::IsolateThenPowerLoss(Who::Leader)),
        from_to(25, 26, Fault::PowerLossAll),
    ];
    only_mistakes_are_found(&FAULTS, &[Bug::AckBeforeFsync, Bug::CommitBeforeQuorum]);
}

#[test]
fn nothing_is_lost_or_split_by_power_loss_a_pause_and_bits_that_rot() {
    const FAULTS: [Planned; 6] = [
        from_to(8, 11, Fault::PowerLoss(Who::Leader)),
        from_to(9, 12, Fault::Pause(Who::Any)),
        from_to(15, 20, Fault::RotInLog(Who::Any)),
        from_to(22, 25, Fault::RotInDatabase(Who::Follower)),
        from_to(26, 29, Fault::PowerLoss(Who::Leader)),
        from_to(33, 36, Fault::RotInDatabase(Who::Follower)),
    ];
    only_mistakes_are_found(&FAULTS, &[Bug::SendBeforePersist, Bug::IgnorePageChecksums]);
}

#[test]
fn every_session_keeps_its_guarantees_at_every_durability_over_failovers() {
    const FAULTS: [Planned; 3] = [
        from_to(8, 12, Fault::Isolate(Who::Leader)),
        from_to(20, 24, Fault::Isolate(Who::Leader)),
        from_to(32, 36, Fault::Isolate(Who::Leader)),
    ];
    only_mistakes_are_found(&FAULTS, &[Bug::ForgetEarlyPosition, Bug::IgnoreToken]);
}

#[test]
fn voters_that_slept_or_lost_power_elect_nobody_who_lacks_a_commit() {
    const FAULTS: [Planned; 5] = [
        from_to(6, 10, Fault::Pause(Who::Follower)),
        from_to(9, 13, Fault::Isolate(Who::Leader)),
        from_to(16, 18, Fault::PowerLossAt(CrashPoint::VoteWritten)),
        from_to(17, 21, Fault::Isolate(Who::Leader)),
        from_to(24, 28, Fault::IsolateThenPowerLoss(Who::Leader)),
    ];
    only_mistakes_are_found(&FAULTS, &[Bug::VoteWithoutPersisting]);
}

#[test]
fn a_commit_that_is_tried_again_at_the_next_leader_is_executed_once() {
    const FAULTS: [Planned; 4] = [
        from_to(8, 10, Fault::Kill(Who::Leader)),
        from_to(16, 19, Fault::Isolate(Who::Leader)),
        from_to(24, 26, Fault::Kill(Who::Leader)),
        from_to(32, 35, Fault::Pause(Who::Leader)),
    ];
    only_mistakes_are_found(&FAULTS, &[Bug::ExecuteRetryTwice, Bug::CommitVanished]);
}

#[test]
fn an_outcome_that_cannot_be_known_in_time_is_not_called_a_failure() {
    const FAULTS: [Planned; 4] = [
        from_to(6, 19, Fault::Isolate(Who::Leader)),
        from_to(21, 34, Fault::Isolate(Who::Leader)),
        from_to(36, 49, Fault::Isolate(Who::Leader)),
        from_to(37, 49, Fault::Noise),
    ];
    only_mistakes_are_found(&FAULTS, &[Bug::UnknownReportedAsFailed]);
}

#[test]
fn a_leader_that_slept_answers_no_strong_read_from_before() {
    const FAULTS: [Planned; 4] = [
        from_to(8, 11, Fault::Pause(Who::Leader)),
        from_to(16, 20, Fault::Mute(Who::Leader)),
        from_to(24, 28, Fault::Isolate(Who::Leader)),
        from_to(32, 35, Fault::Pause(Who::Leader)),
    ];
    only_mistakes_are_found(&FAULTS, &[Bug::StrongReadAtDeposedLeader]);
}

#[test]
fn clocks_that_jump_move_no_promise() {
    const FAULTS: [Planned; 6] = [
        from_to(8, 9, Fault::ClockJump(Who::Leader)),
        from_to(12, 13, Fault::ClockJump(Who::Follower)),
        from_to(16, 18, Fault::Kill(Who::Leader)),
        from_to(17, 18, Fault::ClockJump(Who::Any)),
        from_to(24, 25, Fault::ClockJump(Who::Leader)),
        from_to(28, 31, Fault::Isolate(Who::Leader)),
    ];
    only_mistakes_are_found(&FAULTS, &[Bug::KeepGroupAfterFollow, Bug::IgnoreToken]);
}

/// Of one node, for most of the run, and everybody else well.
const LONG_FAULTS: [&[Planned]; 12] = [
    &[from_to(8, 50, Fault::Kill(Who::Leader))],
    &[from_to(8, 50, Fault::Kill(Who::Follower))],
    &[from_to(8, 50, Fault::Pause(Who::Leader))],
    &[from_to(8, 50, Fault::Isolate(Who::Leader))],
    &[from_to(8, 50, Fault::Isolate(Who::Follower))],
    &[from_to(8, 50, Fault::Mute(Who::Leader))],
    &[from_to(8, 50, Fault::Deaf(Who::Leader))],
    &[from_to(8, 50, Fault::Deaf(Who::Follower))],
    &[from_to(8, 50, Fault::Split)],
    &[from_to(8, 50, Fault::FullDisk(Who::Follower))],
    &[from_to(8, 50, Fault::SlowDisk(Who::Follower))],
    &[from_to(8, 50, Fault::RotInLog(Who::Follower))],
];

#[test]
fn after_any_single_fault_the_others_go_on() {
    let counts = |faults| -> Counts {
        let report = run_with(faults, 2, None);
        assert_eq!(report.violation, None, "{faults:?}");
        report.counts
    };
    let undisturbed = counts(&[]).writes;
    for faults in LONG_FAULTS {
        let writes = counts(faults).writes;
        println!(
            "{:30} {:3} %",
            format!("{:?}", faults[0].fault),
            100 * writes / undisturbed
        );
        assert!(
            writes * 100 > undisturbed * 40,
            "{faults:?}: {writes} of {undisturbed} writes"
        );
    }
}
