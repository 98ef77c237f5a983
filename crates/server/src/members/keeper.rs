//! Makes groups as the list of nodes wants them, step by step, wherever this node leads one.

use std::sync::Arc;
use std::time::Duration;

use crate::node::Node;
use crate::replica::ReplicaHandle;

/// Between looks. A step takes a commit, and a node that joins must catch up first.
const LOOK_PERIOD: Duration = Duration::from_millis(100);

/// Looks after one group; until stopped.
pub(crate) async fn keep(node: Arc<Node>, replica: Arc<ReplicaHandle>) {
    loop {
        tokio::select! {
            () = node.stop.asked() => return,
            () = tokio::time::sleep(LOOK_PERIOD) => {}
        }
        if !replica.reign.borrow().leading {
            continue;
        }
        let is_kept = |group: &crate::replica::Group| {
            group.is_recorded && group.configuration == node.members.current().wanted()
        };
        if is_kept(&replica.group.borrow()) {
            continue;
        }
        // An old list would take back what was done since.
        let system = node.system();
        if !system.confirm_read().await {
            continue;
        }
        if let Err(error) = node.members.read(system, &node.data_dir).await {
            tracing::debug!(%error, "the list of nodes cannot be read");
        }
        let wanted = node.members.current().wanted();
        if !wanted.voters.is_empty() {
            replica.step_towards(wanted);
        }
    }
}
