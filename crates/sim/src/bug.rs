//! Mistakes that a driver, a front door or a writer could make. One of them is planted in a run to see that a
//! checker finds it. They live in the simulator's driver only: no product code knows them.

/// A planted mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// The machine is told that a write is durable before the sync.
    AckBeforeFsync,
    /// When a sync is done, the newest write given out is called durable, also one that came after the sync began.
    SendBeforePersist,
    /// The hard state is not written.
    VoteWithoutPersisting,
    /// The hard state is written before the entries whose commit index it has.
    HardStateBeforeEntries,
    /// A failed sync is taken for a successful one.
    IgnoreFailedSync,
    /// A follower applies what it has in its log, committed or not.
    ApplyUncommitted,
    /// The leader COMMITs and answers when its own disk has the record.
    CommitBeforeQuorum,
    /// A leader that lost its leadership COMMITs the group that it holds.
    KeepGroupAfterFollow,
    /// A checkpoint moves everything that SQLite has, also what the log does not hold durably.
    CheckpointPastLog,
    /// The log is cut up to what is applied, without a checkpoint.
    CutLogPastCheckpoint,
    /// SQLite's WAL is not cut back to the log at start.
    ForgetWalCut,
    /// A retried transaction gets a new request id.
    ExecuteRetryTwice,
    /// A node that believes to lead answers strong reads without asking anyone.
    StrongReadAtDeposedLeader,
    /// A session's token is not waited for.
    IgnoreToken,
    /// One follower leaves out a record now and then.
    SkipRecord,
    /// A transaction whose outcome is not known in time is reported as failed.
    UnknownReportedAsFailed,
    /// Clients are answered when the record is proposed.
    AnswerBeforeCommit,
    /// A read reuses the snapshot that its connection had open before.
    ReadFromOldSnapshot,
    /// A leader that hands over COMMITs the group whose proposal was refused.
    KeepGroupWhenHandingOver,
    /// The leader forgets a session while its transaction is tried again.
    EndSessionTooEarly,
    /// What an interactive transaction read before its first write is not compared.
    ForgetPriorReads,
    /// What an optimistic transaction was answered is not compared.
    ForgetAnswers,
    /// An interactive transaction whose client is gone is committed.
    CommitVanished,
    /// The leader runs VACUUM when it is proposed.
    VacuumBeforeCommit,
    /// Entries for which the log finds no space are taken for written.
    IgnoreFullDisk,
    /// After a snapshot the log goes on one record too late.
    SkipRecordAfterSnapshot,
    /// What the scrub finds is not told.
    IgnoreScrub,
    /// A log that is damaged is replaced by an empty one, and the node goes on voting.
    ForgetDamagedLog,
    /// The checksums of SQLite's pages are not compared.
    IgnorePageChecksums,
    /// Listeners are told when the record is proposed.
    TellBeforeCommit,
    /// A follower leaves out what a record tells, now and then.
    LoseNotifications,
    /// Whoever waits for standbys is answered when a quorum has its transaction.
    IgnoreStandbyRule,
    /// Who asks for the leader's disk is answered before its sync.
    AnswerLocalBeforeFsync,
    /// Who asks for the standbys to have applied it is answered when it is on their disks.
    AnswerApplyAtFsync,
    /// A session that was answered early goes on without a look at what became of that.
    ForgetEarlyPosition,
    /// At start the group is what the log says, whatever SQLite keeps of entries that were cut from it.
    ForgetConfiguration,
    /// An image tells of the group as it was founded.
    ImageOfFounders,
    /// One follower runs statements of the log at a time of its own.
    ReplayAtAnotherTime,
    /// One follower runs statements of the log without the switches of their session.
    ReplayWithoutSession,
}

impl Bug {
    /// All, in the order of the declaration.
    pub const ALL: [Bug; 39] = [
        Bug::AckBeforeFsync,
        Bug::SendBeforePersist,
        Bug::VoteWithoutPersisting,
        Bug::HardStateBeforeEntries,
        Bug::IgnoreFailedSync,
        Bug::ApplyUncommitted,
        Bug::CommitBeforeQuorum,
        Bug::KeepGroupAfterFollow,
        Bug::CheckpointPastLog,
        Bug::CutLogPastCheckpoint,
        Bug::ForgetWalCut,
        Bug::ExecuteRetryTwice,
        Bug::StrongReadAtDeposedLeader,
        Bug::IgnoreToken,
        Bug::SkipRecord,
        Bug::UnknownReportedAsFailed,
        Bug::AnswerBeforeCommit,
        Bug::ReadFromOldSnapshot,
        Bug::KeepGroupWhenHandingOver,
        Bug::EndSessionTooEarly,
        Bug::ForgetPriorReads,
        Bug::ForgetAnswers,
        Bug::CommitVanished,
        Bug::VacuumBeforeCommit,
        Bug::IgnoreFullDisk,
        Bug::SkipRecordAfterSnapshot,
        Bug::IgnoreScrub,
        Bug::ForgetDamagedLog,
        Bug::IgnorePageChecksums,
        Bug::TellBeforeCommit,
        Bug::LoseNotifications,
        Bug::IgnoreStandbyRule,
        Bug::AnswerLocalBeforeFsync,
        Bug::AnswerApplyAtFsync,
        Bug::ForgetEarlyPosition,
        Bug::ForgetConfiguration,
        Bug::ImageOfFounders,
        Bug::ReplayAtAnotherTime,
        Bug::ReplayWithoutSession,
    ];

    /// As the command line has it: `ack-before-fsync`.
    pub fn name(self) -> String {
        let mut name = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_ascii_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }

    /// The inverse of [`Bug::name`].
    pub fn of_name(name: &str) -> Option<Bug> {
        Bug::ALL.into_iter().find(|bug| bug.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_is_found_by_its_name() {
        assert_eq!(Bug::AckBeforeFsync.name(), "ack-before-fsync");
        for bug in Bug::ALL {
            assert_eq!(Bug::of_name(&bug.name()), Some(bug));
        }
    }
}
