//! Commands about the cluster: read here, carried out by the driver.

use bellwether_types::{ErrorKind, SqlError};

use super::{Connection, Request, Step, Transaction, Waiting};
use crate::cluster::ClusterCommand;

impl Connection {
    /// They take effect at once and at every node, and so cannot be part of a transaction that may be undone.
    pub(super) fn govern(&mut self, command: &ClusterCommand) -> Result<Step, SqlError> {
        if self.transaction != Transaction::None {
            let message = format!("{} cannot run inside a transaction block", command.tag());
            return Err(SqlError::new(ErrorKind::TransactionState, message));
        }
        self.waiting = Waiting::Cluster(command.tag());
        Ok(Step::Ask(Request::Govern(Box::new(command.clone()))))
    }
}
