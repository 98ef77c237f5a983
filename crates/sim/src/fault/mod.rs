//! What goes wrong, and when.
//!
//! # The fault model
//!
//! **Processes** are killed, one or all at once, and start again; killed ones lose nothing that the kernel has.
//! **Power** fails, at one node or at all: what was not synced vanishes, survives or tears, write by write, file by
//! file or all of it. Processes are **paused**, and go on as if no time had passed.
//!
//! **Disks** are full for a while (no file can be made or grow), fail a sync (what it was to make durable is durable or not, and
//! a later sync does not help), are slow. The node stops itself where duty says so, and is started again.
//!
//! **Networks** lose, delay, double and reorder messages all the time, sometimes much more; a node is cut off, in
//! both directions or in one; two nodes cannot talk while others can (a partial partition).
//!
//! **Operators** hand leadership over, to heirs that may be down or cut off; they let nodes join, replace others, leave,
//! and lose and get their votes, several at a time, also when those are down. A node that left goes on running.
//!
//! **Wall clocks** jump, forward and back, and differ between nodes by minutes from the start. Monotonic clocks do
//! not.
//!
//! A slow disk followed by a power loss is one fault of its own: only then is SQLite ahead of the log. And the power
//! fails at **crash points**: moments that are too short to be hit by chance, where two things must be durable in
//! order.
//!
//! **Bits rot** in what was synced long ago. In a log: whoever reads it stops, and does not start before the byte
//! reads right again (from a mirror, or by hand); not the last frames, which a crash may tear. In a database: in a
//! table that nobody reads, for SQLite's pages have no checksums, and a row that changed is served until somebody
//! looks. It stays until the replica is seeded anew.
//!
//! Messages are not garbled (their transport would be checksummed).
//!
//! Everything ends in time for the cluster to become whole again; then all of it loses power once more.

mod inject;

use crate::clock::Time;
use crate::random::Random;

/// Which node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Whoever leads when the fault begins; any if nobody does.
    Leader,
    /// Somebody else.
    Follower,
    /// Anybody.
    Any,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// kill -9; started again at the end.
    Kill(Who),
    /// Without power until the end.
    PowerLoss(Who),
    /// All are killed at once, and start again one by one.
    KillAll,
    /// All lose power at once.
    PowerLossAll,
    /// SIGSTOP, SIGCONT at the end.
    Pause(Who),
    /// Cut off from all others.
    Isolate(Who),
    /// Hears, but is not heard.
    Mute(Who),
    /// Is heard, but hears nothing.
    Deaf(Who),
    /// Two nodes cannot talk; a third can talk with both.
    Split,
    /// Many messages are lost, doubled, late.
    Noise,
    /// Nothing grows.
    FullDisk(Who),
    /// The next sync fails.
    FailSync(Who),
    /// Syncs take many times as long.
    SlowDisk(Who),
    /// The same, and then the power fails.
    SlowDiskThenPowerLoss(Who),
    /// Cut off, and when it is back, the power fails as soon as others have replaced what it alone had in its log.
    IsolateThenPowerLoss(Who),
    /// The power fails at whichever node reaches this point first.
    PowerLossAt(CrashPoint),
    /// The wall clock is set.
    ClockJump(Who),
    /// A byte of the log is another, until the end.
    RotInLog(Who),
    /// A byte of the database is another, for ever.
    RotInDatabase(Who),
    /// An operator hands leadership over, be the heir well or not.
    Transfer,
    /// An operator changes who is in the cluster.
    Members(Change),
}

/// An operator's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A new node is to vote.
    Join,
    /// A new node is to learn.
    JoinToLearn,
    /// A new node takes the place of this one.
    Replace(Who),
    /// This one goes.
    Leave(Who),
    /// This one has no vote any more.
    Demote(Who),
    /// The first that learns is to vote.
    Promote,
}

/// A moment at which a power loss matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashPoint {
    /// Another leader's entries replaced some in the log, and are not synced.
    LogReplaced,
    /// A vote is written, and not synced.
    VoteWritten,
    /// SQLite committed a record that the log here does not hold durably.
    SqliteAhead,
    /// SQLite committed.
    Committed,
    /// A checkpoint is made, and its consequences are not drawn.
    Checkpointed,
    /// A checkpoint is made while SQLite has records that the log here does not hold durably.
    CheckpointedAhead,
    /// The front of the log was cut.
    LogCut,
    /// A snapshot is in SQLite's place, and the log is still the old one.
    SnapshotPlaced,
}

/// All of them.
const CRASH_POINTS: [CrashPoint; 8] = [
    CrashPoint::LogReplaced,
    CrashPoint::VoteWritten,
    CrashPoint::SqliteAhead,
    CrashPoint::Committed,
    CrashPoint::Checkpointed,
    CrashPoint::CheckpointedAhead,
    CrashPoint::LogCut,
    CrashPoint::SnapshotPlaced,
];

/// A fault and its time.
#[derive(Debug, Clone, Copy)]
pub struct Planned {
    /// When it begins.
    pub at: Time,
    /// When it ends.
    pub until: Time,
    /// What.
    pub fault: Fault,
}

/// Where a run's faults come from.
#[derive(Debug, Clone, Copy, Default)]
pub enum Faults {
    /// The seed.
    #[default]
    Drawn,
    /// Just these: a scenario. The seed is for everything else. They end before [`LAST`].
    Planned(&'static [Planned]),
}

impl Faults {
    pub(crate) fn of_run(self, random: &mut Random) -> Vec<Planned> {
        match self {
            Faults::Drawn => draw(random),
            Faults::Planned(planned) => planned.to_vec(),
        }
    }
}

/// Faults begin after this: the tables are there then.
const FIRST: Time = Time::from_secs(3);
/// And end before this.
pub const LAST: Time = Time::from_secs(52);

/// A run's faults: at least seven, two of which the leader cannot survive as such.
fn draw(random: &mut Random) -> Vec<Planned> {
    let count = random.range(7, 14);
    let mut faults: Vec<Planned> = (0..count)
        .map(|number| {
            let fault = match number {
                0 | 1 => deposing(random),
                _ => any(random),
            };
            plan(fault, random)
        })
        .collect();
    faults.sort_by_key(|planned| planned.at);
    faults
}

fn plan(fault: Fault, random: &mut Random) -> Planned {
    let longest_us = match fault {
        Fault::KillAll | Fault::PowerLossAll => 1_500_000,
        Fault::FailSync(_) | Fault::ClockJump(_) | Fault::Transfer | Fault::Members(_) => 100_000,
        _ => 4_500_000,
    };
    let at = Time(random.range(FIRST.0, LAST.0 - 5_000_000));
    let shortest_us = longest_us / 5;
    Planned {
        at,
        until: at.plus_us(random.range(shortest_us, longest_us)),
        fault,
    }
}

fn deposing(random: &mut Random) -> Fault {
    let who = Who::Leader;
    *random.pick(&[
        Fault::Kill(who),
        Fault::PowerLoss(who),
        Fault::Isolate(who),
        Fault::SlowDiskThenPowerLoss(who),
        Fault::IsolateThenPowerLoss(who),
    ])
}

fn change(who: Who, random: &mut Random) -> Change {
    random.weighted(&[
        (3, Change::Join),
        (2, Change::JoinToLearn),
        (5, Change::Replace(who)),
        (3, Change::Leave(who)),
        (2, Change::Demote(who)),
        (3, Change::Promote),
    ])
}

fn any(random: &mut Random) -> Fault {
    let who = *random.pick(&[Who::Leader, Who::Leader, Who::Follower, Who::Any]);
    let point = *random.pick(&CRASH_POINTS);
    let change = change(who, random);
    random.weighted(&[
        (4, Fault::Kill(who)),
        (4, Fault::PowerLoss(who)),
        (2, Fault::KillAll),
        (4, Fault::PowerLossAll),
        (3, Fault::Pause(who)),
        (4, Fault::Isolate(who)),
        (2, Fault::Mute(who)),
        (2, Fault::Deaf(who)),
        (3, Fault::Split),
        (3, Fault::Noise),
        (3, Fault::FullDisk(who)),
        (3, Fault::FailSync(who)),
        (2, Fault::SlowDisk(who)),
        (3, Fault::SlowDiskThenPowerLoss(who)),
        (3, Fault::IsolateThenPowerLoss(who)),
        (8, Fault::PowerLossAt(point)),
        (2, Fault::ClockJump(who)),
        (5, Fault::Transfer),
        (2, Fault::RotInLog(who)),
        (6, Fault::RotInDatabase(who)),
        (12, Fault::Members(change)),
    ])
}
