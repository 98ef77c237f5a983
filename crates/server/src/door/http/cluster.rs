//! What all nodes say of themselves, asked over the connections between nodes.

use std::sync::Arc;
use std::time::Duration;

use bellwether_http::MemberView;
use tokio::task::JoinSet;

use crate::node::Node;

/// A node that does not answer in this time is unreachable.
const PATIENCE: Duration = Duration::from_millis(500);

/// Asks all at once. Whoever comes meanwhile waits for the turn: however often this is asked for, each node is asked
/// by one at a time.
pub(super) async fn ask_all(node: &Node) -> Vec<MemberView> {
    let _turn = node.asking_all.lock().await;
    let mut asked = JoinSet::new();
    for member in node.members.current().present().copied() {
        let own = (member.node == node.identity.node).then(|| node.status());
        let forward = Arc::clone(&node.forward);
        asked.spawn(async move {
            let status = match own {
                Some(own) => Some(own),
                None => tokio::time::timeout(PATIENCE, forward.status(member.node))
                    .await
                    .unwrap_or(None),
            };
            MemberView {
                node: member.node,
                pg_host: member.addresses.pg.ip().to_string(),
                pg_port: member.addresses.pg.port(),
                http: member.addresses.http.to_string(),
                status,
            }
        });
    }
    let mut members = asked.join_all().await;
    members.sort_by_key(|member| member.node);
    members
}
