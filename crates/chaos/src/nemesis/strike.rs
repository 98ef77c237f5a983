//! How each fault is struck. All are ended by the cluster's `heal`.

use std::time::Duration;

use super::Fault;
use crate::cluster::{Cluster, Node};
use crate::failure::Failure;
use crate::link::Flow;
use crate::random::Random;

/// Of each piece of bytes between two nodes: several heartbeats, and less than an election's timeout.
const LATENESS: Duration = Duration::from_millis(150);

/// In a row.
const SWITCHOVERS: usize = 5;

/// For a leader to be there, when it is to be struck.
const LEADER_WITHIN: Duration = Duration::from_secs(3);

/// What was struck, for a person; `None`: there was nothing to strike, as nobody led or the node did not run.
pub type Struck = Option<String>;

/// Breaks something.
pub async fn strike(fault: Fault, cluster: &mut Cluster, random: &mut Random) -> Result<Struck, Failure> {
    let mut nodes = cluster.all();
    random.shuffle(&mut nodes);
    let (any, minority) = (nodes[0], &nodes[..(nodes.len() - 1) / 2]);
    match fault {
        Fault::KillNode => Ok(kill(cluster, &[any])),
        Fault::KillMinority => Ok(kill(cluster, minority)),
        Fault::KillAll => Ok(kill(cluster, &nodes)),
        Fault::PauseNode => Ok(cluster.pause(any).then(|| format!("node {any}"))),
        Fault::PartHalves => Ok(part(cluster, minority, &nodes[minority.len()..], random)),
        Fault::PartOneWay => Ok(part_one_way(cluster, any, &nodes[1..], random)),
        Fault::PartBridge => Ok(part_bridge(cluster, &nodes, random)),
        Fault::PartRing => Ok(part_ring(cluster, &nodes)),
        Fault::SlowNetwork => Ok(slow(cluster, &nodes)),
        Fault::LoseAnswers => {
            let doors = &nodes[..1 + random.below(nodes.len())];
            doors
                .iter()
                .for_each(|node| cluster.set_answers(*node, Flow::Swallowed));
            Ok(Some(format!("clients of nodes {}", listed(doors))))
        }
        Fault::FillDisk if random.percent(50) => {
            cluster.fill_disk(any)?;
            Ok(Some(format!("node {any}")))
        }
        Fault::Switchover => {
            let leaders = cluster.switch_over(SWITCHOVERS).await;
            Ok((!leaders.is_empty()).then(|| format!("to nodes {}", listed(&leaders))))
        }
        Fault::MemberDemote => {
            cluster.demote(any).await?;
            Ok(Some(format!("node {any}")))
        }
        Fault::MemberJoin => Ok(Some(format!("node {}", cluster.join(any).await?))),
        Fault::KillLeader
        | Fault::KillSuccessors
        | Fault::PauseLeader
        | Fault::PartLeader
        | Fault::FillDisk => match cluster.wait_for_leader(None, LEADER_WITHIN).await {
            Some(leader) => strike_leader(fault, leader, cluster, random).await,
            None => Ok(None),
        },
    }
}

async fn strike_leader(
    fault: Fault,
    leader: Node,
    cluster: &mut Cluster,
    random: &mut Random,
) -> Result<Struck, Failure> {
    match fault {
        Fault::PauseLeader => Ok(cluster.pause(leader).then(|| format!("node {leader}"))),
        Fault::PartLeader => Ok(part(cluster, &[leader], &cluster.all_but(leader), random)),
        Fault::FillDisk => {
            cluster.fill_disk(leader)?;
            Ok(Some(format!("node {leader}")))
        }
        Fault::KillSuccessors => {
            let mut struck = kill(cluster, &[leader]).unwrap_or_default();
            if let Some(next) = cluster.wait_for_leader(Some(leader), LEADER_WITHIN).await {
                cluster.kill(next);
                struck += &format!(", then {next}");
            }
            Ok(Some(struck))
        }
        _ => Ok(kill(cluster, &[leader])),
    }
}

fn kill(cluster: &mut Cluster, nodes: &[Node]) -> Struck {
    let killed: Vec<Node> = nodes.iter().copied().filter(|node| cluster.kill(*node)).collect();
    (!killed.is_empty()).then(|| format!("nodes {}", listed(&killed)))
}

/// Half of the partitions are silent, as those of a network are; the others close connections, as a firewall may.
fn silent_or_loud(random: &mut Random) -> (Flow, &'static str) {
    if random.percent(50) {
        (Flow::Held, "silently")
    } else {
        (Flow::Refused, "loudly")
    }
}

fn part(cluster: &Cluster, these: &[Node], those: &[Node], random: &mut Random) -> Struck {
    let (flow, how) = silent_or_loud(random);
    cluster.network().part(these, those, flow);
    Some(format!("nodes {} from {}, {how}", listed(these), listed(those)))
}

/// Silently: a connection that is closed is closed both ways.
fn part_one_way(cluster: &Cluster, node: Node, others: &[Node], random: &mut Random) -> Struck {
    let is_deaf = random.percent(50);
    for &other in others {
        let (from, to) = if is_deaf { (other, node) } else { (node, other) };
        cluster.network().set(from, to, Flow::Held);
    }
    let what = if is_deaf {
        "hears nobody"
    } else {
        "is heard by nobody"
    };
    Some(format!("node {node} {what}"))
}

fn part_bridge(cluster: &Cluster, nodes: &[Node], random: &mut Random) -> Struck {
    let (bridge, sides) = nodes.split_first()?;
    let (these, those) = sides.split_at(sides.len() / 2);
    let (flow, how) = silent_or_loud(random);
    cluster.network().part(these, those, flow);
    let (these, those) = (listed(these), listed(those));
    Some(format!(
        "nodes {these} from {those}, {how}; node {bridge} sees both"
    ))
}

fn part_ring(cluster: &Cluster, nodes: &[Node]) -> Struck {
    for (at, this) in nodes.iter().enumerate() {
        for (beside, that) in nodes.iter().enumerate() {
            let distance = at.abs_diff(beside);
            let is_neighbour = distance <= 1 || distance == nodes.len() - 1;
            if !is_neighbour {
                cluster.network().set(*this, *that, Flow::Held);
            }
        }
    }
    Some(format!("ring of nodes {}", listed(nodes)))
}

fn slow(cluster: &Cluster, nodes: &[Node]) -> Struck {
    for (at, this) in nodes.iter().enumerate() {
        for that in &nodes[at + 1..] {
            cluster.network().part(&[*this], &[*that], Flow::Slow(LATENESS));
        }
    }
    Some(format!("{} ms between all nodes", LATENESS.as_millis()))
}

fn listed(nodes: &[Node]) -> String {
    let nodes: Vec<String> = nodes.iter().map(Node::to_string).collect();
    nodes.join(" ")
}
