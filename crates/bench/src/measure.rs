//! The plan: every workload with every number of clients at every peer, in rounds that take turns, so that a machine
//! that grows warm or busy does so for all of them.

use crate::failure::Failure;
use crate::ledger::Ledger;
use crate::outcome::Outcome;
use crate::peer::Peer;
use crate::pgbench::Load;
use crate::script::{Script, Variables};
use crate::workload::{LAST_EVENT, SETUP, Workload};

/// What to measure, and for how long.
#[derive(Debug, Clone)]
pub struct Plan {
    /// In this order.
    pub workloads: Vec<Workload>,
    /// Numbers of clients.
    pub clients: Vec<u32>,
    /// How often the peers take turns.
    pub rounds: u32,
    /// Of each run.
    pub seconds: u32,
    /// Before each run, not measured; zero for none.
    pub warm_up_seconds: u32,
}

/// The rounds of one workload with one number of clients at one peer.
pub struct Measurement {
    /// What ran.
    pub workload: Workload,
    /// How many clients there were.
    pub clients: u32,
    /// Where.
    pub peer: &'static str,
    /// In order.
    pub rounds: Vec<Outcome>,
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

impl Plan {
    /// Makes the tables, runs everything, checks the ledgers. `tell` hears of each run.
    pub async fn run(&self, peers: &mut [Peer], tell: impl Fn(String)) -> Result<Findings, Failure> {
        let setup = Script::parse(SETUP)
            .map_err(|error| Failure::new("the set-up script is not understood").because(error))?;
        let statements: Vec<&str> = setup.statements().collect();
        let mut ledgers = Vec::new();
        for peer in &mut *peers {
            tell(format!("{}: making tables", peer.name()));
            peer.execute(&statements).await?;
            ledgers.push(Ledger::default());
        }
        let mut measurements = Vec::new();
        for workload in &self.workloads {
            for clients in &self.clients {
                measurements.extend(
                    self.take_turns(*workload, *clients, peers, &mut ledgers, &tell)
                        .await?,
                );
            }
        }
        let mut complaints = Vec::new();
        for (peer, ledger) in peers.iter_mut().zip(&ledgers) {
            tell(format!("{}: checking what was acknowledged", peer.name()));
            let found = ledger.complaints(peer).await?;
            complaints.extend(
                found
                    .into_iter()
                    .map(|complaint| format!("{}: {complaint}", peer.name())),
            );
        }
        Ok(Findings {
            measurements,
            complaints,
        })
    }

    async fn take_turns(
        &self,
        workload: Workload,
        clients: u32,
        peers: &mut [Peer],
        ledgers: &mut [Ledger],
        tell: &impl Fn(String),
    ) -> Result<Vec<Measurement>, Failure> {
        let empty = |peer: &Peer| Measurement {
            workload,
            clients,
            peer: peer.name(),
            rounds: Vec::new(),
        };
        let mut measurements: Vec<Measurement> = peers.iter().map(empty).collect();
        for round in 1..=self.rounds {
            for ((peer, ledger), measurement) in peers.iter_mut().zip(&mut *ledgers).zip(&mut measurements) {
                if self.warm_up_seconds > 0 {
                    run(peer, ledger, workload, clients, self.warm_up_seconds).await?;
                }
                let outcome = run(peer, ledger, workload, clients, self.seconds).await?;
                tell(format!(
                    "{} with {clients} clients at {}, round {round} of {}: {:.0}/s{}",
                    workload.name(),
                    peer.name(),
                    self.rounds,
                    outcome.tps,
                    trouble(&outcome),
                ));
                measurement.rounds.push(outcome);
            }
        }
        Ok(measurements)
    }
}

async fn run(
    peer: &mut Peer,
    ledger: &mut Ledger,
    workload: Workload,
    clients: u32,
    seconds: u32,
) -> Result<Outcome, Failure> {
    let leader = peer.leader().await?;
    let load = Load {
        workload,
        clients,
        seconds,
        variables: variables(clients, peer.number(leader, LAST_EVENT).await?),
    };
    let outcome = peer.run(&load).await?;
    ledger.enter(workload, &outcome);
    Ok(outcome)
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
