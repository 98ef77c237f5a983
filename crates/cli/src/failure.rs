//! Why a command failed, for the person who typed it.

use std::fmt;

/// Printed as `error: what`, then why and a hint on lines of their own.
#[derive(Debug)]
pub struct Failure {
    what: String,
    why: Option<String>,
    hint: Option<String>,
}

impl Failure {
    /// What failed, one line, lower case.
    pub fn new(what: impl Into<String>) -> Failure {
        Failure {
            what: what.into(),
            why: None,
            hint: None,
        }
    }

    /// With the reason.
    #[must_use]
    pub fn because(mut self, why: impl fmt::Display) -> Failure {
        self.why = Some(why.to_string());
        self
    }

    /// With what the server says besides.
    #[must_use]
    pub fn with(mut self, detail: Option<&str>, hint: Option<&str>) -> Failure {
        self.why = detail.map(str::to_owned);
        self.hint = hint.map(str::to_owned);
        self
    }

    /// With what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        if let Some(why) = &self.why {
            write!(f, "\n  {}", why.replace('\n', "\n  "))?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}
