//! What a read promises: the values of `bellwether.read_consistency`.

use std::fmt;
use std::str::FromStr;

use bellwether_types::{ErrorKind, SqlError};

/// What a read promises.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Guarantee {
    /// Linearizable: it sees every write that was acknowledged, to anyone, before it began.
    Strong,
    /// Read-your-writes, monotonic reads, monotonic writes, writes-follow-reads: by the session's token.
    #[default]
    Session,
    /// Whatever this replica has.
    Eventual,
}

impl Guarantee {
    /// All, from the strongest.
    pub const ALL: [Guarantee; 3] = [Guarantee::Strong, Guarantee::Session, Guarantee::Eventual];

    /// As the setting spells it.
    pub fn name(self) -> &'static str {
        match self {
            Guarantee::Strong => "strong",
            Guarantee::Session => "session",
            Guarantee::Eventual => "eventual",
        }
    }
}

/// Names that will mean a guarantee and do not yet. A value that is built moves from here to [`Guarantee`].
const PLANNED: [&str; 5] = ["user", "window", "owner", "bounded", "prefix"];

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Guarantee {
    type Err = SqlError;

    fn from_str(text: &str) -> Result<Guarantee, SqlError> {
        let name = text.trim().to_ascii_lowercase();
        if let Some(guarantee) = Guarantee::ALL
            .into_iter()
            .find(|guarantee| guarantee.name() == name)
        {
            return Ok(guarantee);
        }
        let hint = "Available values: strong, session, eventual.";
        if PLANNED.contains(&name.as_str()) {
            let message = format!("read consistency \"{name}\" is not supported yet");
            return Err(SqlError::new(ErrorKind::NotSupported, message).with_hint(hint));
        }
        let message = format!("invalid value for parameter \"bellwether.read_consistency\": \"{text}\"");
        Err(SqlError::new(ErrorKind::InvalidSetting, message).with_hint(hint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_guarantee_is_printed_as_it_is_parsed() {
        for guarantee in Guarantee::ALL {
            assert_eq!(guarantee.to_string().to_uppercase().parse(), Ok(guarantee));
        }
    }

    #[test]
    fn a_planned_guarantee_is_not_supported_and_a_made_up_one_is_invalid() {
        for name in PLANNED {
            let error = name.parse::<Guarantee>().expect_err(name);
            assert_eq!(error.kind, ErrorKind::NotSupported, "{name}");
        }
        assert_eq!(
            "fast".parse::<Guarantee>().expect_err("made up").kind,
            ErrorKind::InvalidSetting
        );
    }
}
