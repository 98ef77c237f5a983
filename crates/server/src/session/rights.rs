//! What a session's role may do, looked up again when roles change.

use std::sync::Arc;

use bellwether_types::lexer::{self, TokenKind};
use bellwether_types::{ErrorKind, SqlError};
use tokio::sync::watch;

use crate::lock::{Rights, Roles};
use crate::node::Node;

/// PRAGMAs by which a node changes what is in the database's own log, and how its superuser asks for it.
const OURS: [(&str, &str); 2] = [
    (
        "bellwether_log_format",
        "A superuser can ALTER DATABASE … SET bellwether.log_format.",
    ),
    (
        "bellwether_slot",
        "A superuser can CALL bellwether.create_slot, drop_slot and advance_slot.",
    ),
];

/// A session's rights.
pub(super) struct HeldRights {
    user: String,
    roles: watch::Receiver<Arc<Roles>>,
    rights: Rights,
}

impl HeldRights {
    pub fn new(node: &Node, user: &str) -> HeldRights {
        let mut roles = node.lock.book.subscribe();
        let rights = roles.borrow_and_update().rights(user);
        HeldRights {
            user: user.to_owned(),
            roles,
            rights,
        }
    }

    fn now(&mut self) -> Rights {
        // An error would mean that the node is gone.
        if self.roles.has_changed().unwrap_or(false) {
            self.rights = self.roles.borrow_and_update().rights(&self.user);
        }
        self.rights
    }

    pub fn may_write(&mut self) -> bool {
        self.now() == Rights::Write
    }

    /// 42501 for a statement beyond the role's rights, before it is executed or sent anywhere.
    pub fn check(&mut self, sql: &str, reads: bool) -> Result<(), SqlError> {
        let rights = self.now();
        let verb = || lexer::verb(sql).unwrap_or_default();
        let ours = OURS.iter().find(|(name, _)| lexer::mentions(sql, name));
        if let Some((name, hint)) = ours
            && verb() == "PRAGMA"
        {
            let message = format!("permission denied: PRAGMA {name} is not for clients");
            return Err(SqlError::new(ErrorKind::Forbidden, message).with_hint(*hint));
        }
        if !reads && rights < Rights::Write {
            let message = format!("permission denied: {} is not for role \"{}\"", verb(), self.user);
            return Err(SqlError::new(ErrorKind::Forbidden, message)
                .with_detail("The role may not write.")
                .with_hint(format!(
                    "A superuser can GRANT pg_write_all_data TO {}.",
                    self.user
                )));
        }
        if rights < Rights::Read && !is_without_tables(sql) {
            let message = format!("permission denied: role \"{}\" may not read tables", self.user);
            return Err(SqlError::new(ErrorKind::Forbidden, message).with_hint(format!(
                "A superuser can GRANT pg_read_all_data or pg_write_all_data TO {}.",
                self.user
            )));
        }
        Ok(())
    }
}

/// Whether a statement cannot name a table: SQLite's grammar has them in a SELECT behind FROM, JOIN (which follows a
/// FROM) and IN only. Doubt is a no.
fn is_without_tables(sql: &str) -> bool {
    matches!(lexer::verb(sql).as_deref(), Some("SELECT" | "VALUES"))
        && lexer::significant(sql).all(|token| match token.kind {
            TokenKind::Word => !["FROM", "IN", "TABLE"].iter().any(|word| token.is_word(word)),
            TokenKind::Invalid => false,
            _ => true,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_name_a_table_is_known() {
        for sql in [
            "SELECT 1",
            "select version()",
            "VALUES (1), (2)",
            "SELECT 'from t'",
            "SELECT \"from\"",
        ] {
            assert!(is_without_tables(sql), "{sql}");
        }
        for sql in [
            "SELECT * FROM t",
            "SELECT 1 IN t",
            "SELECT (SELECT a/**/FROM t)",
            "WITH t AS (SELECT 1) SELECT * FROM t",
            "PRAGMA table_info(t)",
            "EXPLAIN SELECT 1",
            "DELETE FROM t",
            "SELECT 1; SELECT * FROM t",
            "TABLE t",
        ] {
            assert!(!is_without_tables(sql), "{sql}");
        }
    }
}
