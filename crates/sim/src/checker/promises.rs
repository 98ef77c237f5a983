//! Persist before telling (the driver's first duty): a vote or an acknowledgement that is sent is durable. And what
//! was durable is there at the next start, but for what a later term replaced.

use std::collections::BTreeMap;

use bellwether_types::{LogIndex, Term};

use super::visibility::DurableLogs;
use super::{Checker, Verdict};
use crate::clock::Time;
use crate::observation::{Observation, Promise};

#[derive(Default)]
pub(super) struct Promises {
    logs: DurableLogs,
}

impl Checker for Promises {
    fn name(&self) -> &'static str {
        "promises"
    }

    fn observe(&mut self, _: Time, observation: &Observation) -> Verdict {
        if let Observation::Started {
            node,
            hard_state,
            base,
            entries,
            ..
        } = observation
            && let Some(before) = self.logs.0.get(node)
        {
            let found: BTreeMap<LogIndex, Term> = entries
                .iter()
                .map(|entry| (entry.position.index, entry.position.term))
                .collect();
            before
                .check_kept(*hard_state, *base, &found)
                .map_err(|what| format!("node {node} started without what it had: {what}"))?;
        }
        self.logs.observe(observation);
        let Observation::Promised { node, promise } = observation else {
            return Ok(());
        };
        let Some(log) = self.logs.0.get(node) else {
            return Err(format!("node {node} promised {promise:?} before it started"));
        };
        let kept = match promise {
            Promise::Holds { through } => log.last() >= *through,
            Promise::Vote { term, candidate } => {
                let durable = log.hard_state;
                durable.term > *term || (durable.term == *term && durable.vote == Some(*candidate))
            }
        };
        match kept {
            true => Ok(()),
            false => Err(format!(
                "node {node} promised {promise:?}, its disk has entries through {} and {:?}",
                log.last(),
                log.hard_state
            )),
        }
    }
}
