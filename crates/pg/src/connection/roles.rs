//! Commands about roles: read here, carried out by the driver.

use bellwether_types::{ErrorKind, SqlError};

use super::{Connection, Request, Step, Transaction, Waiting};
use crate::role::RoleCommand;

impl Connection {
    /// They take effect at once and at every node, and so cannot be part of a transaction that may be undone.
    pub(super) fn change_role(&mut self, command: &RoleCommand) -> Result<Step, SqlError> {
        if self.transaction != Transaction::None {
            let message = format!("{} cannot run inside a transaction block", command.tag());
            return Err(SqlError::new(ErrorKind::TransactionState, message));
        }
        self.waiting = Waiting::Role(command.tag());
        Ok(Step::Ask(Request::ChangeRole(Box::new(command.clone()))))
    }
}
