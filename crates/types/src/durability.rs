//! When COMMIT is answered: PostgreSQL's `synchronous_commit`, and whom it waits for.
//!
//! <https://www.postgresql.org/docs/15/runtime-config-wal.html#GUC-SYNCHRONOUS-COMMIT>

use std::fmt;
use std::str::FromStr;

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::error::{ErrorKind, SqlError};

/// From weak to strong. Below `On` an answered transaction can be lost with the leader; the next one waits for it all the
/// same, so without a quorum nothing goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Durability {
    /// Once it is executed and its record is proposed: no disk has it yet.
    Off = 0,
    /// Once the leader's log has it on disk.
    Local = 1,
    /// Once the chosen standbys have received it, whether or not it is on their disks.
    RemoteWrite = 2,
    /// Once a quorum has it on disk, and the chosen standbys do: it survives the loss of any minority.
    #[default]
    On = 3,
    /// As `On`, and reads at the chosen standbys see it.
    RemoteApply = 4,
}

impl Durability {
    /// From weak to strong.
    pub const ALL: [Durability; 5] = [
        Durability::Off,
        Durability::Local,
        Durability::RemoteWrite,
        Durability::On,
        Durability::RemoteApply,
    ];

    /// As `synchronous_commit` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Durability::Off => "off",
            Durability::Local => "local",
            Durability::RemoteWrite => "remote_write",
            Durability::On => "on",
            Durability::RemoteApply => "remote_apply",
        }
    }

    /// Whether it is answered before the quorum has it.
    pub fn is_early(self) -> bool {
        self < Durability::On
    }

    /// Appends one byte.
    pub fn encode(self, out: &mut Encoder) {
        out.u8(self as u8);
    }

    /// Reads what `encode` wrote.
    pub fn decode(input: &mut Decoder<'_>) -> Result<Durability, DecodeError> {
        let number = input.u8()?;
        Durability::ALL
            .into_iter()
            .find(|durability| *durability as u8 == number)
            .ok_or(DecodeError::UnknownTag {
                what: "durability",
                tag: u64::from(number),
            })
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Durability {
    type Err = SqlError;

    /// Also what PostgreSQL reads as a Boolean.
    fn from_str(text: &str) -> Result<Durability, SqlError> {
        let word = text.trim().to_ascii_lowercase();
        if let Some(named) = Durability::ALL.into_iter().find(|named| named.name() == word) {
            return Ok(named);
        }
        match word.as_str() {
            "true" | "yes" | "1" => Ok(Durability::On),
            "false" | "no" | "0" => Ok(Durability::Off),
            _ => {
                let message = format!("invalid value for parameter \"synchronous_commit\": \"{text}\"");
                Err(SqlError::new(ErrorKind::InvalidSetting, message)
                    .with_hint("Available values: local, remote_write, remote_apply, on, off."))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_one_name_and_one_byte() {
        for durability in Durability::ALL {
            assert_eq!(durability.to_string().parse(), Ok(durability));
            let mut out = Encoder::new();
            durability.encode(&mut out);
            let bytes = out.into_vec();
            assert_eq!(Durability::decode(&mut Decoder::new(&bytes)), Ok(durability));
        }
        assert!(Durability::decode(&mut Decoder::new(&[9])).is_err());
    }

    #[test]
    fn booleans_are_on_and_off() {
        assert_eq!(" TRUE ".parse(), Ok(Durability::On));
        assert_eq!("0".parse(), Ok(Durability::Off));
        assert!("quorum".parse::<Durability>().is_err());
    }
}
