//! The grammar of ALTER SYSTEM and ALTER DATABASE, as far as they are about settings.

use bellwether_types::lexer::Token;
use bellwether_types::{ErrorKind, SqlError};

use super::Command;
use super::reader::Reader;
use crate::cluster::{ClusterCommand, SettingChange, SettingOf};

impl<'a, I: Iterator<Item = Token<'a>>> Reader<'a, I> {
    /// After ALTER; `None`: it is not about settings.
    pub(super) fn settings_of(&mut self) -> Result<Option<Command>, SqlError> {
        let of = match self.any_word(&["SYSTEM", "DATABASE"]) {
            Some("SYSTEM") => SettingOf::System,
            Some(_) => SettingOf::Database(self.name()?),
            None => return Ok(None),
        };
        let change = match self.any_word(&["SET", "RESET"]) {
            Some("SET") => match self.set()? {
                Command::Set {
                    name,
                    value: Some(value),
                    ..
                } => SettingChange::Set { name, value },
                Command::Set { name, .. } => SettingChange::Reset(name),
                _ => return Err(one_at_a_time()),
            },
            Some(_) => match self.reset()? {
                Command::Reset(name) => SettingChange::Reset(name),
                _ => SettingChange::ResetAll,
            },
            None => {
                let message = "only SET and RESET of ALTER DATABASE are supported";
                return Err(SqlError::new(ErrorKind::NotSupported, message));
            }
        };
        Ok(Some(Command::Cluster(Box::new(ClusterCommand::Setting {
            of,
            change,
        }))))
    }
}

fn one_at_a_time() -> SqlError {
    SqlError::new(
        ErrorKind::NotSupported,
        "this SET is not a setting of a cluster or a database",
    )
    .with_hint("Name one setting and its value.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(sql: &str) -> ClusterCommand {
        match Command::parse(sql).expect(sql) {
            Command::Cluster(command) => *command,
            other => panic!("{sql}: {other:?}"),
        }
    }

    fn set(of: SettingOf, name: &str, value: &str) -> ClusterCommand {
        let change = SettingChange::Set {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        ClusterCommand::Setting { of, change }
    }

    #[test]
    fn settings_of_the_cluster_are_set_and_reset() {
        assert_eq!(
            parse("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (*)'"),
            set(SettingOf::System, "synchronous_standby_names", "ANY 1 (*)")
        );
        assert_eq!(
            parse("alter system set Bellwether.Sync_Degrade_After TO '10s';"),
            set(SettingOf::System, "bellwether.sync_degrade_after", "10s")
        );
        for (sql, change) in [
            (
                "ALTER SYSTEM RESET lock_timeout",
                SettingChange::Reset("lock_timeout".to_owned()),
            ),
            (
                "ALTER SYSTEM SET lock_timeout = DEFAULT",
                SettingChange::Reset("lock_timeout".to_owned()),
            ),
            ("ALTER SYSTEM RESET ALL", SettingChange::ResetAll),
        ] {
            let of = SettingOf::System;
            assert_eq!(parse(sql), ClusterCommand::Setting { of, change }, "{sql}");
        }
    }

    #[test]
    fn settings_of_a_database_are_set() {
        assert_eq!(
            parse("ALTER DATABASE postgres SET synchronous_commit TO remote_apply"),
            set(
                SettingOf::Database("postgres".to_owned()),
                "synchronous_commit",
                "remote_apply"
            )
        );
        let error = Command::parse("ALTER DATABASE postgres RENAME TO mysql").expect_err("a rename");
        assert_eq!(error.kind, ErrorKind::NotSupported);
    }
}
