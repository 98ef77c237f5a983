//! What the nodes' answers say about the cluster as a whole, and what of it has changed.

use bellwether_http::{NodeStatus, Role};
use bellwether_types::{NodeId, Term};

use crate::ask::NoStatus;

/// The database whose leader is told: what a fresh cluster has and clients connect to.
pub const DATABASE: &str = "postgres";

/// Answers in a row without a leader before it is told: an election in between is over by then.
const LEADERLESS_ANSWERS: u32 = 3;

/// One node's answer.
pub type Answer = Result<NodeStatus, NoStatus>;

/// A leader and its reign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reign {
    /// Who.
    pub leader: NodeId,
    /// Since which term.
    pub term: Term,
}

/// The leader by its own word. Of two that think so, the later term's is right (the other is about to notice).
pub fn reign(answers: &[Answer]) -> Option<Reign> {
    let reigns = answers.iter().flatten().filter_map(|status| {
        let database = status.database(DATABASE)?;
        (database.role == Role::Leader).then_some(Reign {
            leader: status.node,
            term: database.term,
        })
    });
    reigns.max_by_key(|reign| reign.term)
}

/// Whether every node answers, has the database open, and one leads.
pub fn all_ready(answers: &[Answer]) -> bool {
    reign(answers).is_some() && answers.iter().all(is_open)
}

fn is_open(answer: &Answer) -> bool {
    answer
        .as_ref()
        .is_ok_and(|status| status.database(DATABASE).is_some_and(|database| database.serving))
}

/// What is still missing, one line.
pub fn progress(answers: &[Answer]) -> String {
    let open = answers.iter().filter(|answer| is_open(answer)).count();
    let leader = match reign(answers) {
        Some(reign) => format!("node {} leads", reign.leader),
        None => "no leader yet".to_owned(),
    };
    format!("waiting: {open} of {} nodes are up, {leader}", answers.len())
}

/// Remembers what was told last.
#[derive(Debug, Default)]
pub struct Roles {
    told: Option<Reign>,
    leaderless: u32,
}

impl Roles {
    /// What to tell after these answers, if anything. An older reign than the one told is not news.
    pub fn handle_answers(&mut self, answers: &[Answer]) -> Option<String> {
        let Some(reign) = reign(answers) else {
            self.leaderless += 1;
            let tell = self.leaderless == LEADERLESS_ANSWERS;
            return tell
                .then(|| "no node leads: writes wait until more than half of the nodes are up".to_owned());
        };
        let was_leaderless = std::mem::take(&mut self.leaderless) >= LEADERLESS_ANSWERS;
        let news = match self.told {
            Some(told) => reign.term > told.term || (was_leaderless && reign == told),
            None => true,
        };
        if !news {
            return None;
        }
        self.told = Some(reign);
        Some(format!("node {} leads since term {}", reign.leader, reign.term))
    }
}

#[cfg(test)]
mod tests {
    use bellwether_http::DatabaseStatus;
    use bellwether_types::{Fingerprint, LogIndex, Position};

    use super::*;

    fn node(number: u64, role: Role, term: u64) -> Answer {
        Ok(NodeStatus {
            node: NodeId(number),
            version: String::new(),
            cluster: String::new(),
            uptime_ms: 0,
            databases: vec![DatabaseStatus {
                name: DATABASE.to_owned(),
                role,
                term: Term(term),
                leader: None,
                position: Position::ZERO,
                commit: Position::ZERO,
                applied: Position::ZERO,
                lag_records: None,
                lag_bytes: None,
                lag_ms: None,
                fingerprint: Fingerprint(0),
                log_first: LogIndex(1),
                log_bytes: 0,
                serving: true,
                problem: None,
                seeding: None,
            }],
            lost_writes: 0,
            members: Vec::new(),
        })
    }

    fn down() -> Answer {
        Err(NoStatus::Unreachable(
            std::io::ErrorKind::ConnectionRefused.into(),
        ))
    }

    #[test]
    fn a_cluster_is_ready_when_all_are_up_and_one_leads() {
        let leader = || node(1, Role::Leader, 2);
        assert!(all_ready(&[leader(), node(2, Role::Follower, 2)]));
        assert!(!all_ready(&[leader(), down()]));
        assert!(!all_ready(&[
            node(1, Role::Candidate, 2),
            node(2, Role::Follower, 2)
        ]));
        assert_eq!(
            progress(&[leader(), down()]),
            "waiting: 1 of 2 nodes are up, node 1 leads"
        );
    }

    #[test]
    fn a_new_leader_is_told_once_and_a_deposed_one_that_has_not_noticed_never() {
        let mut roles = Roles::default();
        let first = [node(1, Role::Leader, 4), node(2, Role::Follower, 4)];
        assert_eq!(
            roles.handle_answers(&first).as_deref(),
            Some("node 1 leads since term 4")
        );
        assert_eq!(roles.handle_answers(&first), None);
        let both = [node(1, Role::Leader, 4), node(2, Role::Leader, 5)];
        assert_eq!(
            roles.handle_answers(&both).as_deref(),
            Some("node 2 leads since term 5")
        );
        assert_eq!(roles.handle_answers(&first), None);
    }

    #[test]
    fn the_lack_of_a_leader_is_told_when_it_lasts_and_so_is_its_end() {
        let mut roles = Roles::default();
        let led = [node(1, Role::Leader, 4), down(), down()];
        roles.handle_answers(&led);
        let leaderless = [node(1, Role::Candidate, 4), down(), down()];
        let told: Vec<bool> = (0..5)
            .map(|_| roles.handle_answers(&leaderless).is_some())
            .collect();
        assert_eq!(told, [false, false, true, false, false]);
        assert!(roles.handle_answers(&led).is_some());
    }
}
