//! The grammar of CALL: procedures of the schema `bellwether`, of nodes' numbers.

use bellwether_types::lexer::{Token, TokenKind};
use bellwether_types::{ErrorKind, NodeId, SqlError};

use super::Command;
use super::reader::Reader;
use crate::cluster::{ClusterCommand, NodeChange, Verify};

/// Hands leadership over.
const SWITCHOVER: &str = "bellwether.switchover";

/// Empties the ledger.
const FORGET_LOST_WRITES: &str = "bellwether.forget_lost_writes";

/// Looks for damage.
const VERIFY: &str = "bellwether.verify";

impl<'a, I: Iterator<Item = Token<'a>>> Reader<'a, I> {
    /// After CALL.
    pub(super) fn call(&mut self) -> Result<Command, SqlError> {
        let name = self.setting_name()?;
        let changes = NodeChange::ALL.into_iter();
        let known = changes.map(|change| (change, format!("bellwether.{}", change.procedure())));
        let change = known.into_iter().find(|(_, known)| *known == name);
        let command = match change {
            _ if name == SWITCHOVER => {
                self.expect_operator("(")?;
                let to = match self.operator(")") {
                    true => None,
                    false => Some(self.last_node()?),
                };
                ClusterCommand::Switchover { to }
            }
            _ if name == FORGET_LOST_WRITES => {
                self.expect_operator("(")?;
                self.expect_operator(")")?;
                ClusterCommand::ForgetLostWrites
            }
            _ if name == VERIFY => ClusterCommand::Verify(self.verify()?),
            Some((change, _)) => {
                self.expect_operator("(")?;
                let node = self.last_node()?;
                ClusterCommand::Node { node, change }
            }
            None => return Err(undefined(&name)),
        };
        Ok(Command::Cluster(Box::new(command)))
    }

    /// Any of its words.
    fn verify(&mut self) -> Result<Verify, SqlError> {
        let mut verify = Verify::default();
        self.expect_operator("(")?;
        if self.operator(")") {
            return Ok(verify);
        }
        loop {
            let wanted = match self.any_word(&["FULL", "REPAIR", "GENTLY"]) {
                Some("FULL") => &mut verify.full,
                Some("REPAIR") => &mut verify.repair,
                Some(_) => &mut verify.gently,
                None => return Err(self.unexpected()),
            };
            *wanted = true;
            if self.operator(")") {
                return Ok(verify);
            }
            self.expect_operator(",")?;
        }
    }

    fn last_node(&mut self) -> Result<NodeId, SqlError> {
        let node = self.node()?;
        self.expect_operator(")")?;
        Ok(node)
    }

    fn expect_operator(&mut self, operator: &str) -> Result<(), SqlError> {
        match self.operator(operator) {
            true => Ok(()),
            false => Err(self.unexpected()),
        }
    }

    fn node(&mut self) -> Result<NodeId, SqlError> {
        let number = self.tokens.next_if(|token| token.kind == TokenKind::Number);
        let Some(number) = number else {
            return Err(self.unexpected());
        };
        match number.text.parse() {
            Ok(node) if node > 0 => Ok(NodeId(node)),
            _ => {
                let message = format!("{} is no node's number", number.text);
                Err(SqlError::new(ErrorKind::InvalidSetting, message)
                    .with_hint("They are whole numbers from 1: see \"bellwether node list\"."))
            }
        }
    }
}

fn undefined(name: &str) -> SqlError {
    let changes = NodeChange::ALL.map(|change| format!("bellwether.{}(node), ", change.procedure()));
    SqlError::new(
        ErrorKind::UndefinedFunction,
        format!("procedure {name} does not exist"),
    )
    .with_hint(format!(
        "There are {}{SWITCHOVER}(), {SWITCHOVER}(node), {FORGET_LOST_WRITES}() and {VERIFY}([full, repair, gently]).",
        changes.concat()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn procedures_are_called_by_name_with_a_node() {
        for change in NodeChange::ALL {
            let sql = format!("call bellwether . {} (12);", change.procedure());
            let node = NodeId(12);
            let expected = ClusterCommand::Node { node, change };
            assert_eq!(
                Command::parse(&sql).expect("a call"),
                Command::Cluster(Box::new(expected)),
                "{sql}"
            );
        }
    }

    #[test]
    fn a_switchover_may_name_who_is_to_lead() {
        for (sql, to) in [
            ("CALL bellwether.switchover()", None),
            ("CALL bellwether.switchover(2)", Some(NodeId(2))),
        ] {
            let expected = Command::Cluster(Box::new(ClusterCommand::Switchover { to }));
            assert_eq!(Command::parse(sql).expect("a call"), expected, "{sql}");
        }
    }

    #[test]
    fn a_verification_says_how_in_words() {
        for (sql, [full, repair, gently]) in [
            ("CALL bellwether.verify()", [false; 3]),
            ("call bellwether.verify(full)", [true, false, false]),
            ("CALL bellwether.verify(gently, repair, full)", [true; 3]),
        ] {
            let verify = Verify { full, repair, gently };
            let expected = Command::Cluster(Box::new(ClusterCommand::Verify(verify)));
            assert_eq!(Command::parse(sql).expect("a call"), expected, "{sql}");
        }
        for sql in [
            "CALL bellwether.verify(all)",
            "CALL bellwether.verify(full repair)",
        ] {
            let error = Command::parse(sql).expect_err(sql);
            assert_eq!(error.kind, ErrorKind::Syntax, "{sql}: {error}");
        }
    }

    #[test]
    fn what_is_no_call_is_refused_with_what_there_is() {
        for (sql, kind) in [
            ("CALL remove_node(1)", ErrorKind::UndefinedFunction),
            (
                "CALL bellwether.remove_everything(1)",
                ErrorKind::UndefinedFunction,
            ),
            ("CALL bellwether.remove_node(0)", ErrorKind::InvalidSetting),
            ("CALL bellwether.remove_node(1.5)", ErrorKind::InvalidSetting),
            ("CALL bellwether.remove_node('1')", ErrorKind::Syntax),
            ("CALL bellwether.remove_node()", ErrorKind::Syntax),
            ("CALL bellwether.remove_node(1, 2)", ErrorKind::Syntax),
            ("CALL bellwether.remove_node(1) now", ErrorKind::Syntax),
        ] {
            let error = Command::parse(sql).expect_err(sql);
            assert_eq!(error.kind, kind, "{sql}: {error}");
        }
    }
}
