//! What must be true of every run. A checker sees observations and nothing else: no replica, no workload's state, no
//! fault. The first violation ends the run.

mod acknowledged;
mod agreement;
mod bounds;
mod commit_order;
mod conservation;
mod durability;
mod fingerprint;
mod history;
mod linearizable;
mod notifications;
mod promises;
mod serializable;
mod session;
mod visibility;

use std::fmt;

use bellwether_types::Configuration;

use crate::clock::Time;
use crate::observation::Observation;
use crate::rule::Rule;

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Who found it.
    pub checker: &'static str,
    /// When.
    pub at: Time,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.checker, self.at, self.what)
    }
}

/// What a checker answers.
pub type Verdict = Result<(), String>;

/// One rule.
pub trait Checker {
    /// As printed.
    fn name(&self) -> &'static str;

    /// Looks at what happened.
    fn observe(&mut self, at: Time, observation: &Observation) -> Verdict;

    /// Looks at the whole, when the run is over.
    fn finish(&mut self) -> Verdict {
        Ok(())
    }
}

/// All of them.
pub struct Checkers {
    all: Vec<Box<dyn Checker>>,
}

impl Checkers {
    /// For a cluster founded by these, whose commits wait by this rule. `promises`: with the checker of duty 1, which sees most bugs of writing and
    /// sending at once and so hides how well the others do.
    pub fn new(founding: Configuration, rule: Rule, promises: bool) -> Checkers {
        let mut all: Vec<Box<dyn Checker>> = vec![
            Box::new(agreement::Agreement::default()),
            Box::new(visibility::Visibility::new(founding.clone())),
            Box::new(acknowledged::Acknowledged::new(founding, rule)),
            Box::new(fingerprint::Fingerprints::default()),
            Box::new(durability::Durability::default()),
            Box::new(linearizable::Linearizable::default()),
            Box::new(session::Sessions::default()),
            Box::new(conservation::Conservation::default()),
            Box::new(commit_order::CommitOrder::default()),
            Box::new(serializable::Serializable::default()),
            Box::new(notifications::Notifications::default()),
            Box::new(bounds::Bounds),
        ];
        if promises {
            all.insert(0, Box::new(promises::Promises::default()));
        }
        Checkers { all }
    }

    /// Shows an observation to all.
    pub fn observe(&mut self, at: Time, observation: &Observation) -> Result<(), Violation> {
        for checker in &mut self.all {
            checker.observe(at, observation).map_err(|what| Violation {
                checker: checker.name(),
                at,
                what,
            })?;
        }
        Ok(())
    }

    /// The run is over.
    pub fn finish(&mut self, at: Time) -> Result<(), Violation> {
        for checker in &mut self.all {
            checker.finish().map_err(|what| Violation {
                checker: checker.name(),
                at,
                what,
            })?;
        }
        Ok(())
    }
}
