//! How long clients wait when a leader is lost: again and again it is killed, frozen or cut off, or relieved by order,
//! while clients write, and the time to the next acknowledgement through a surviving node is taken.
//!
//! What is measured, of writes through the nodes that stay, from just before the blow:
//! - `first`: to the end of the longest pause between two acknowledgements. The statement may have been on its way when
//!   the blow fell; answers that the old leader had already given may come before the pause and do not count.
//! - `fresh`: to the first acknowledgement after that pause of a write that was begun after the blow.
//!
//! Every acknowledged write is looked for at the end, at every node.

pub mod chart;
mod ledger;
pub mod results;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::cluster::{self, Cluster, Node};
use crate::failure::Failure;
use crate::link::Flow;
use crate::patience::Patience;
use crate::random::Random;
use crate::session::{Promise, Session};
use ledger::{Ack, Ledger};
use results::{How, Results, Round};

/// A node that does not answer a write for so long counts as hung.
const PATIENCE: Duration = Duration::from_secs(30);

/// Acknowledgements before each blow since the one before, and after it, so that the load is at work.
const ACKS: usize = 60;

/// A writer's pause between two writes: load enough to meet every moment, without competing for the processor.
const BETWEEN_WRITES: Duration = Duration::from_millis(5);

/// Before a write is tried again.
const BEFORE_RETRY: Duration = Duration::from_millis(10);

/// Longest time of quiet before a blow, drawn anew each time, so that blows meet every phase of what nodes do in turn.
const QUIET_MS: usize = 500;

const TABLE: &str = "CREATE TABLE writes (id INTEGER PRIMARY KEY, node INTEGER NOT NULL)";

/// What is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The program.
    pub program: PathBuf,
    /// Of the cluster.
    pub nodes: u16,
    /// At each node.
    pub writers_per_node: u16,
    /// How often.
    pub times: u32,
    /// What happens to the leader.
    pub how: How,
    /// For the quiet before each blow.
    pub seed: u64,
    /// Where nodes' logs go.
    pub logs: PathBuf,
}

impl Plan {
    /// Runs all rounds. `say` gets a line for each.
    pub async fn run(&self, say: impl Fn(&str)) -> Result<Results, Failure> {
        let mut cluster = Cluster::start(cluster::Options {
            program: self.program.clone(),
            nodes: self.nodes,
            logs: self.logs.clone(),
            on_small_disks: false,
        })
        .await?;
        let version = prepare(&mut cluster).await?;
        let ledger = Arc::new(Ledger::default());
        let mut writers = JoinSet::new();
        for node in cluster.all() {
            for _ in 0..self.writers_per_node {
                writers.spawn(write(cluster.door(node), node, Arc::clone(&ledger)));
            }
        }
        let mut random = Random::new(self.seed);
        let mut rounds = Vec::new();
        for number in 1..=self.times {
            sleep(Duration::from_millis(random.below(QUIET_MS) as u64)).await;
            let round = self.round(&mut cluster, &ledger).await?;
            say(&format!("{number} of {}: {round}", self.times));
            rounds.push(round);
        }
        ledger.stop();
        while let Some(ended) = writers.join_next().await {
            ended.expect("no writer panics");
        }
        cluster.wait_until_whole().await?;
        let lost = lost(&cluster, &ledger).await?;
        cluster.compare().await?;
        Ok(Results {
            how: self.how,
            nodes: self.nodes.into(),
            writers: u64::from(self.nodes * self.writers_per_node),
            seed: self.seed,
            version,
            acknowledged: ledger.acknowledged().len(),
            lost,
            rounds,
        })
    }

    /// One blow, and all well again.
    async fn round(&self, cluster: &mut Cluster, ledger: &Ledger) -> Result<Round, Failure> {
        cluster.wait_until_whole().await?;
        acks_since(ledger, Instant::now(), &cluster.all()).await?;
        let leader = cluster
            .leader()
            .await
            .ok_or_else(|| Failure::new("nobody leads a whole cluster"))?;
        let survivors = match self.how {
            How::Switchover => cluster.all(),
            How::Kill | How::Freeze | How::Cut | How::Stop => cluster.all_but(leader),
        };
        let blow = Instant::now();
        self.strike(leader, cluster).await?;
        let next = cluster.wait_for_leader(Some(leader), PATIENCE).await;
        let next = next.ok_or_else(|| Failure::new(format!("nobody succeeds node {leader}")))?;
        acks_since(ledger, Instant::now(), &survivors).await?;
        cluster.heal().await?;
        let acks = ledger.since(blow, &survivors);
        let (first, fresh) =
            recovery(blow, &acks).ok_or_else(|| Failure::new("no write was acknowledged"))?;
        let ms = |ack: &Ack| ack.acked.duration_since(blow).as_secs_f64() * 1e3;
        Ok(Round {
            leader,
            next,
            first_ms: ms(first),
            first_was_begun_before: first.begun < blow,
            first_attempts: first.attempts,
            fresh_ms: ms(fresh),
            retried: acks.iter().filter(|ack| ack.attempts > 1).count(),
        })
    }

    async fn strike(&self, leader: Node, cluster: &mut Cluster) -> Result<(), Failure> {
        match self.how {
            How::Stop => cluster.stop(leader).await?,
            How::Switchover => drop(cluster.switch_over(1).await),
            How::Kill => drop(cluster.kill(leader)),
            How::Freeze => drop(cluster.pause(leader)),
            How::Cut => {
                cluster.set_door(leader, Flow::Held);
                cluster
                    .network()
                    .part(&[leader], &cluster.all_but(leader), Flow::Held);
            }
        }
        Ok(())
    }
}

/// The acknowledgement that ends the longest pause after a blow, and the first from there on whose write was begun
/// after it. Acknowledgements are in order.
fn recovery(blow: Instant, acks: &[Ack]) -> Option<(&Ack, &Ack)> {
    let begins = std::iter::once(blow).chain(acks.iter().map(|ack| ack.acked));
    let pauses = begins
        .zip(acks)
        .map(|(begin, ack)| ack.acked.duration_since(begin));
    let (at, _) = pauses.enumerate().max_by_key(|(_, pause)| *pause)?;
    let fresh = acks[at..].iter().find(|ack| ack.begun >= blow)?;
    Some((&acks[at], fresh))
}

async fn prepare(cluster: &mut Cluster) -> Result<String, Failure> {
    let session = cluster.session(1).await?;
    let made = session.execute(TABLE).await;
    made.map_err(|trouble| Failure::new("a table cannot be made").because(trouble))?;
    cluster.compare().await?;
    Ok(session.version)
}

/// Waits for [`ACKS`] acknowledgements after a moment, of writes through some nodes.
async fn acks_since(ledger: &Ledger, moment: Instant, nodes: &[Node]) -> Result<(), Failure> {
    let patience = Patience::of(PATIENCE);
    while ledger.since(moment, nodes).len() < ACKS {
        if !patience.lasts().await {
            let what = format!("fewer than {ACKS} writes through nodes {nodes:?} were acknowledged");
            return Err(Failure::new(what).because(format!("for {} s", PATIENCE.as_secs())));
        }
    }
    Ok(())
}

/// One client: it writes one row after the other and tries each until it is acknowledged.
async fn write(door: std::net::SocketAddr, node: Node, ledger: Arc<Ledger>) {
    let mut session: Option<Session> = None;
    while let Some(id) = ledger.next_id() {
        let begun = Instant::now();
        let sql = format!(
            "INSERT INTO writes VALUES ({id}, {node}) ON CONFLICT (id) DO UPDATE SET node = excluded.node"
        );
        for attempts in 1.. {
            let connected = match session.take().filter(|session| !session.is_closed()) {
                Some(session) => Ok(session),
                None => Session::open(door, Promise::STRONG).await,
            };
            let written = match connected {
                Ok(connected) => session.insert(connected).execute(&sql).await,
                Err(trouble) => Err(trouble),
            };
            match written {
                Ok(_) => {
                    ledger.enter(Ack {
                        id,
                        node,
                        begun,
                        acked: Instant::now(),
                        attempts,
                    });
                    break;
                }
                Err(_) if ledger.is_stopped() => return,
                Err(_) => sleep(BEFORE_RETRY).await,
            }
        }
        sleep(BETWEEN_WRITES).await;
    }
}

/// Acknowledged writes that some node does not have.
async fn lost(cluster: &Cluster, ledger: &Ledger) -> Result<Vec<i64>, Failure> {
    let acknowledged = ledger.acknowledged();
    let mut lost = Vec::new();
    for node in cluster.all() {
        let answer = cluster
            .session(node)
            .await?
            .execute("SELECT id FROM writes")
            .await;
        let there = answer.and_then(|answer| answer.integers(0));
        let there = there.map_err(|trouble| Failure::new("writes cannot be counted").because(trouble))?;
        let there: std::collections::HashSet<i64> = there.into_iter().collect();
        lost.extend(acknowledged.iter().filter(|id| !there.contains(id)));
    }
    lost.sort_unstable();
    lost.dedup();
    Ok(lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_the_old_leader_do_not_end_the_pause() {
        let blow = Instant::now();
        let at = |ms: u64| blow + Duration::from_millis(ms);
        let ack = |begun: Instant, acked_ms| Ack {
            id: 0,
            node: 1,
            begun,
            acked: at(acked_ms),
            attempts: 1,
        };
        let before = blow - Duration::from_millis(1);
        let acks = [
            ack(before, 1),
            ack(before, 2),
            ack(before, 700),
            ack(at(3), 705),
            ack(at(701), 706),
        ];
        let (first, fresh) = recovery(blow, &acks).expect("it recovered");
        assert_eq!((first.acked, fresh.acked), (at(700), at(705)));
        assert!(recovery(blow, &[]).is_none());
    }
}
