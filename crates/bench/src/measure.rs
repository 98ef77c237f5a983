//! The plan: every workload with every number of clients at every peer, in rounds that take turns, so that a machine
//! that grows warm or busy does so for all of them. The peers that have no turn idle.

use crate::failure::Failure;
use crate::ledger::Ledger;
use crate::machine;
use crate::outcome::Outcome;
use crate::peer::{Kind, Peer};
use crate::pgbench::Load;
use crate::script::Variables;
use crate::workload::{LAST_EVENT, Workload};

/// A workload with a number of clients, and who runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// What runs.
    pub workload: Workload,
    /// How many clients run it.
    pub clients: u32,
    /// Those of the peers that take part.
    pub peers: Vec<Kind>,
}

/// What to measure, and for how long.
#[derive(Debug, Clone)]
pub struct Plan {
    /// In this order.
    pub cases: Vec<Case>,
    /// How often the peers take turns.
    pub rounds: u32,
    /// Of each run.
    pub seconds: u32,
    /// Of a first round that is not measured; zero for none.
    pub warm_up_seconds: u32,
    /// Of a last round, in which system calls are counted and nothing else; zero for none.
    pub counting_seconds: u32,
}

/// A turn of one peer.
pub struct Round {
    /// Processes that wanted to run when it began, a mean over the minute before; the rounds before are among them.
    pub load_before: Option<f64>,
    /// What came out.
    pub outcome: Outcome,
}

/// The rounds of one workload with one number of clients at one peer.
pub struct Measurement {
    /// What ran.
    pub workload: Workload,
    /// How many clients there were.
    pub clients: u32,
    /// Where.
    pub peer: Kind,
    /// In order.
    pub rounds: Vec<Round>,
    /// The round in which system calls were counted.
    pub counted: Option<Outcome>,
}

/// Everything that was found.
pub struct Findings {
    /// Peers of one workload and number of clients beside each other.
    pub measurements: Vec<Measurement>,
    /// What the ledgers have to say; empty when all is well.
    pub complaints: Vec<String>,
}

/// What a script's variables are before its client begins. `last_event` is the greatest key used so far.
pub fn variables(clients: u32, last_event: i64) -> Variables {
    Variables::from([
        ("n".to_owned(), 0),
        ("base".to_owned(), last_event),
        ("clients".to_owned(), clients.into()),
    ])
}

/// A peer, and what its clients were told.
struct Entrant {
    peer: Peer,
    ledger: Ledger,
}

impl Plan {
    /// Makes the tables, runs everything, checks the ledgers. `tell` hears of each run.
    pub async fn run(&self, peers: Vec<Peer>, tell: impl Fn(String)) -> Result<Findings, Failure> {
        let mut entrants = Vec::new();
        for mut peer in peers {
            tell(format!("{}: making tables", peer.kind().name()));
            peer.make_tables().await?;
            let ledger = Ledger::default();
            entrants.push(Entrant { peer, ledger });
        }
        let mut measurements = Vec::new();
        for case in &self.cases {
            measurements.extend(self.take_turns(case, &mut entrants, &tell).await?);
        }
        let mut complaints = Vec::new();
        for Entrant { peer, ledger } in &mut entrants {
            let name = peer.kind().name();
            tell(format!("{name}: checking what was acknowledged"));
            let found = ledger.complaints(peer).await?;
            complaints.extend(found.into_iter().map(|complaint| format!("{name}: {complaint}")));
        }
        Ok(Findings {
            measurements,
            complaints,
        })
    }

    async fn take_turns(
        &self,
        case: &Case,
        entrants: &mut [Entrant],
        tell: &impl Fn(String),
    ) -> Result<Vec<Measurement>, Failure> {
        let takes_part = |entrant: &&mut Entrant| case.peers.contains(&entrant.peer.kind());
        let mut entrants: Vec<&mut Entrant> = entrants.iter_mut().filter(takes_part).collect();
        let empty = |entrant: &&mut Entrant| Measurement {
            workload: case.workload,
            clients: case.clients,
            peer: entrant.peer.kind(),
            rounds: Vec::new(),
            counted: None,
        };
        let mut measurements: Vec<Measurement> = entrants.iter().map(empty).collect();
        if self.warm_up_seconds > 0 {
            for entrant in &mut entrants {
                entrant.run(case, self.warm_up_seconds, Vec::new()).await?;
            }
        }
        for round in 1..=self.rounds {
            for (entrant, measurement) in entrants.iter_mut().zip(&mut measurements) {
                let load_before = machine::load();
                let outcome = entrant.run(case, self.seconds, Vec::new()).await?;
                tell(format!(
                    "{} with {} clients at {}, round {round} of {}: {:.0}/s{}",
                    case.workload.name(),
                    case.clients,
                    measurement.peer.name(),
                    self.rounds,
                    outcome.tps,
                    trouble(&outcome),
                ));
                measurement.rounds.push(Round { load_before, outcome });
            }
        }
        if self.counting_seconds > 0 {
            for (entrant, measurement) in entrants.iter_mut().zip(&mut measurements) {
                let processes = entrant.peer.processes();
                if !processes.is_empty() {
                    let outcome = entrant.run(case, self.counting_seconds, processes).await?;
                    measurement.counted = Some(outcome);
                }
            }
        }
        Ok(measurements)
    }
}

impl Entrant {
    async fn run(
        &mut self,
        case: &Case,
        seconds: u32,
        counted_processes: Vec<u32>,
    ) -> Result<Outcome, Failure> {
        let leader = self.peer.leader().await?;
        let last_event = self.peer.number(leader, LAST_EVENT).await?;
        let load = Load {
            workload: case.workload,
            clients: case.clients,
            seconds,
            variables: variables(case.clients, last_event),
            counted_processes,
        };
        let outcome = self.peer.run(&load).await?;
        self.ledger.enter(case.workload, &outcome);
        Ok(outcome)
    }
}

/// What of a run is no rate and must not be overlooked.
fn trouble(outcome: &Outcome) -> String {
    let mut trouble = String::new();
    if outcome.failed > 0 {
        trouble += &format!(", {} FAILED", outcome.failed);
    }
    if outcome.clients_lost > 0 {
        trouble += &format!(", {} CLIENTS GAVE UP", outcome.clients_lost);
    }
    if outcome.leader_changed {
        trouble += ", THE LEADER CHANGED";
    }
    for error in &outcome.errors {
        trouble += &format!("\n    {error}");
    }
    trouble
}
