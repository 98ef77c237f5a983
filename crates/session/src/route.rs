//! Where a read may be answered: this replica now, this replica later, or the leader.

use bellwether_types::{ErrorKind, Position, SqlError};

use crate::guarantee::Guarantee;

/// What a replica is to its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It leads.
    Leader,
    /// It votes and follows.
    Follower,
    /// It follows without a vote.
    Learner,
}

/// What the node knows of its own replica when a read arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicaState {
    /// Its role.
    pub role: Role,
    /// What readers of this replica see.
    pub applied: Position,
    /// Whether a leader is known; true at the leader itself.
    pub leader_known: bool,
    /// Whether its content may be read at all: false while it is seeded, or when it was found damaged.
    pub serving: bool,
}

/// What to do with a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Answer from this replica.
    Serve,
    /// Answer from this replica once it has applied `position`; within `bellwether.wait_timeout`, else ask the
    /// leader.
    Wait {
        /// What the session has seen.
        position: Position,
    },
    /// Ask the group for its commit position (a quorum confirms the leader), wait for it here, then answer; within
    /// `bellwether.wait_timeout`, else ask the leader.
    ReadIndex,
    /// Let the leader answer.
    AskLeader,
    /// No answer.
    Refuse(Refusal),
}

/// Why a read gets no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The leader is needed and none is known. Passing: an election is running.
    NoLeader,
    /// The session has seen a position that cannot be in this replica's log, whatever it will apply.
    WrongBranch {
        /// What the session has seen.
        seen: Position,
        /// What this replica has.
        applied: Position,
    },
}

impl From<Refusal> for SqlError {
    fn from(refusal: Refusal) -> SqlError {
        match refusal {
            Refusal::NoLeader => SqlError::new(ErrorKind::NoLeader, "no leader is known at the moment")
                .with_hint("An election may be running: try again."),
            Refusal::WrongBranch { seen, applied } => SqlError::new(
                ErrorKind::WrongBranch,
                "the session has seen a position of another branch of the log",
            )
            .with_detail(format!("Seen was {seen}, this replica has {applied}."))
            .with_hint("Reset bellwether.session_token to go on without what was seen."),
        }
    }
}

/// Decides for a read under `guarantee` in a session that has seen `seen` of this database
/// ([`Position::ZERO`]: nothing).
pub fn route(guarantee: Guarantee, seen: Position, replica: &ReplicaState) -> Decision {
    if replica.serving && guarantee == Guarantee::Session && contradicts(seen, replica.applied) {
        return Decision::Refuse(Refusal::WrongBranch {
            seen,
            applied: replica.applied,
        });
    }
    let leads = replica.role == Role::Leader;
    let to_leader = |decision| match replica.leader_known || leads {
        true => decision,
        false => Decision::Refuse(Refusal::NoLeader),
    };
    match guarantee {
        // A leader whose replica does not serve has nobody to ask; it will give up leadership.
        _ if !replica.serving && leads => Decision::Refuse(Refusal::NoLeader),
        _ if !replica.serving => to_leader(Decision::AskLeader),
        Guarantee::Strong => to_leader(Decision::ReadIndex),
        Guarantee::Session if seen > replica.applied => Decision::Wait { position: seen },
        Guarantee::Session | Guarantee::Eventual => Decision::Serve,
    }
}

/// Whether two positions cannot both be committed in one log, where terms never decrease with the index.
fn contradicts(one: Position, other: Position) -> bool {
    let (older, newer) = if one.term <= other.term {
        (one, other)
    } else {
        (other, one)
    };
    older != Position::ZERO && older.term < newer.term && older.index >= newer.index
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Position = Position {
        term: bellwether_types::Term(2),
        index: bellwether_types::LogIndex(5),
    };
    const NOW: Position = Position {
        term: bellwether_types::Term(2),
        index: bellwether_types::LogIndex(8),
    };
    const NEW: Position = Position {
        term: bellwether_types::Term(2),
        index: bellwether_types::LogIndex(9),
    };

    /// One line per combination: role, leader known, serving, then for a session that has seen an older
    /// position than applied, the same, a newer: strong / session / eventual.
    fn table() -> String {
        let mut lines = String::new();
        for role in [Role::Leader, Role::Follower, Role::Learner] {
            for leader_known in [true, false] {
                for serving in [true, false] {
                    let replica = ReplicaState {
                        role,
                        applied: NOW,
                        leader_known,
                        serving,
                    };
                    let cells: Vec<String> = Guarantee::ALL
                        .into_iter()
                        .map(|guarantee| {
                            let cell = [Position::ZERO, OLD, NOW, NEW]
                                .map(|seen| letter(route(guarantee, seen, &replica)));
                            format!("{guarantee} {}", cell.iter().collect::<String>())
                        })
                        .collect();
                    let leader = if leader_known { "known" } else { "unknown" };
                    let content = if serving { "serving" } else { "damaged" };
                    lines += &format!("{role:?}, leader {leader}, {content}: {}\n", cells.join(", "));
                }
            }
        }
        lines
    }

    fn letter(decision: Decision) -> char {
        match decision {
            Decision::Serve => 'S',
            Decision::Wait { position } if position == NEW => 'W',
            Decision::Wait { .. } => '!',
            Decision::ReadIndex => 'I',
            Decision::AskLeader => 'A',
            Decision::Refuse(Refusal::NoLeader) => 'N',
            Decision::Refuse(Refusal::WrongBranch { .. }) => 'B',
        }
    }

    #[test]
    fn every_combination_is_decided_as_tabled() {
        let expected = "\
Leader, leader known, serving: strong IIII, session SSSW, eventual SSSS
Leader, leader known, damaged: strong NNNN, session NNNN, eventual NNNN
Leader, leader unknown, serving: strong IIII, session SSSW, eventual SSSS
Leader, leader unknown, damaged: strong NNNN, session NNNN, eventual NNNN
Follower, leader known, serving: strong IIII, session SSSW, eventual SSSS
Follower, leader known, damaged: strong AAAA, session AAAA, eventual AAAA
Follower, leader unknown, serving: strong NNNN, session SSSW, eventual SSSS
Follower, leader unknown, damaged: strong NNNN, session NNNN, eventual NNNN
Learner, leader known, serving: strong IIII, session SSSW, eventual SSSS
Learner, leader known, damaged: strong AAAA, session AAAA, eventual AAAA
Learner, leader unknown, serving: strong NNNN, session SSSW, eventual SSSS
Learner, leader unknown, damaged: strong NNNN, session NNNN, eventual NNNN
";
        assert_eq!(table(), expected);
    }

    #[test]
    fn a_position_that_cannot_be_in_this_log_is_never_waited_for_nor_taken_as_reached() {
        let replica = ReplicaState {
            role: Role::Follower,
            applied: Position::new(4, 40),
            leader_known: true,
            serving: true,
        };
        for (term, index, refused) in [
            (3, 39, false),
            (3, 40, true),
            (3, 50, true),
            (5, 40, true),
            (5, 39, true),
            (5, 41, false),
        ] {
            let decision = route(Guarantee::Session, Position::new(term, index), &replica);
            assert_eq!(
                letter(decision) == 'B',
                refused,
                "seen {term}/{index}: {decision:?}"
            );
        }
        assert_eq!(
            route(Guarantee::Eventual, Position::new(3, 50), &replica),
            Decision::Serve
        );
        let empty = ReplicaState {
            applied: Position::ZERO,
            ..replica
        };
        assert_eq!(
            letter(route(Guarantee::Session, Position::new(1, 1), &empty)),
            '!'
        );
    }
}
