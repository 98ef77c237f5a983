//! Changes of who is in the cluster and who leads it, as an operator makes them, and the way back.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Child;
use std::time::Duration;

use super::{Cluster, Node, WHOLE_WITHIN, ports, spawn, status};
use crate::failure::Failure;
use crate::patience::Patience;
use crate::session::{Promise, Session};

/// For a change: a group is changed one voter at a time, each when it has what is committed.
const CHANGED_WITHIN: Duration = Duration::from_secs(60);

/// What is to be undone.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Who has no vote.
    demoted: Option<Node>,
    joined: Option<Joined>,
    /// Nodes that have joined, ever.
    count: u64,
}

/// A node beyond those that founded the cluster. Nothing is between it and the others.
#[derive(Debug)]
struct Joined {
    child: Child,
    node: Node,
}

impl Changes {
    pub fn end(&mut self) {
        if let Some(mut joined) = self.joined.take() {
            // Either fails when it has ended by itself.
            joined.child.kill().ok();
            joined.child.wait().ok();
        }
    }
}

impl Cluster {
    /// Lets leadership go round so many times in a row, as long as there is somebody who can lead. Who led then.
    pub async fn switch_over(&self, times: usize) -> Vec<Node> {
        let mut leaders = Vec::new();
        for _ in 0..times {
            // Refused while nobody else has everything: just after another fault.
            if self.call("CALL bellwether.switchover()").await.is_ok() {
                leaders.extend(self.leader().await);
            }
        }
        leaders
    }

    /// Takes a node's vote.
    pub async fn demote(&mut self, node: Node) -> Result<(), Failure> {
        // Also of a change that fails half-way.
        self.changes.demoted = Some(node);
        self.call(&format!("CALL bellwether.demote_node({node})")).await
    }

    /// A further node joins by asking that one, and gets a vote. Its number.
    pub async fn join(&mut self, by: Node) -> Result<Node, Failure> {
        self.changes.count += 1;
        let name = format!("joined-{}", self.changes.count);
        let first = ports::free_ports(3)?;
        let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let http = at(first + 2);
        let mut command = self.serve(&name, [at(first), at(first + 1), http]);
        command.args(["--join", &self.process(by).peer.to_string()]);
        let child = spawn(command, &self.options.logs.join(format!("{name}.log")))?;
        // Its number is told when it is a member.
        let joined = self.changes.joined.insert(Joined { child, node: 0 });
        let patience = Patience::of(CHANGED_WITHIN);
        loop {
            let replica = status::replica(http).await;
            if let Some(replica) = replica.filter(|replica| replica.serving && replica.role != "learner") {
                joined.node = replica.node;
                return Ok(replica.node);
            }
            if let Ok(Some(status)) = joined.child.try_wait() {
                return Err(Failure::new(format!("a node that joins has ended: {status}")));
            }
            if !patience.lasts().await {
                let what = format!(
                    "a node that joins has no vote after {} s",
                    CHANGED_WITHIN.as_secs()
                );
                return Err(Failure::new(what));
            }
        }
    }

    /// Each node that founded the cluster has its vote, and there are no others.
    pub(super) async fn undo_changes(&mut self) -> Result<(), Failure> {
        if let Some(node) = self.changes.demoted.take() {
            self.call(&format!("CALL bellwether.promote_node({node})"))
                .await?;
        }
        let Some(joined) = &self.changes.joined else {
            return Ok(());
        };
        self.call(&format!("CALL bellwether.remove_node({})", joined.node))
            .await?;
        let patience = Patience::of(WHOLE_WITHIN);
        while let Some(joined) = &mut self.changes.joined {
            if let Ok(Some(_)) = joined.child.try_wait() {
                self.changes.joined = None;
            } else if !patience.lasts().await {
                let what = format!("node {} does not end although it is removed", joined.node);
                return Err(Failure::new(what));
            }
        }
        Ok(())
    }

    /// At any node that is there.
    async fn call(&self, sql: &str) -> Result<(), Failure> {
        let failed = |trouble| Failure::new(sql.to_owned()).because(trouble);
        let session = Session::open_within(self.door(1), Promise::STRONG, CHANGED_WITHIN).await;
        let called = session.map_err(failed)?.execute_within(sql, CHANGED_WITHIN).await;
        called.map(drop).map_err(failed)
    }
}
