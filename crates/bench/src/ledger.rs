//! What clients were told, held against what the database holds: an acknowledged write that is missing, or one that
//! happened twice, makes every other number worthless.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::patience::Patience;
use crate::peer::Peer;
use crate::workload::Workload;

/// How long a follower may take to have what the leader has.
const PATIENCE: Duration = Duration::from_secs(30);

/// Of one peer, since its tables were made.
#[derive(Debug, Default)]
pub struct Ledger(BTreeMap<Workload, Tally>);

/// Transactions of one workload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    acknowledged: u64,
    in_doubt: u64,
}

impl Tally {
    /// Why so many effects cannot be.
    fn complaint(self, effects: i64) -> Option<String> {
        let least = i128::from(self.acknowledged);
        let most = least + i128::from(self.in_doubt);
        let effects = i128::from(effects);
        if effects < least {
            Some(format!(
                "LOST {} of {least} acknowledged transactions",
                least - effects
            ))
        } else if effects > most {
            Some(format!(
                "{} transactions took effect that no client had ended ({least} acknowledged, {} in doubt)",
                effects - most,
                self.in_doubt
            ))
        } else {
            None
        }
    }
}

impl Ledger {
    /// Enters a run, the warm-up too.
    pub fn enter(&mut self, workload: Workload, outcome: &Outcome) {
        let Some(workload) = workload.writes_as() else {
            return;
        };
        let tally = self.0.entry(workload).or_default();
        tally.acknowledged += outcome.writes;
        tally.in_doubt += outcome.in_doubt();
    }

    /// What every replica of the peer gets wrong; nothing, it is to be hoped.
    pub async fn complaints(&self, peer: &mut Peer) -> Result<Vec<String>, Failure> {
        let leader = peer.leader().await?;
        let mut complaints = Vec::new();
        for (workload, tally) in &self.0 {
            let Some(effect) = workload.effect() else { continue };
            let effects = peer.number(leader, effect).await?;
            let complaint = tally.complaint(effects);
            complaints.extend(complaint.map(|complaint| format!("{}: {complaint}", workload.name())));
            complaints.extend(behind(peer, leader, *workload, effect, effects).await?);
            let mut sums = Vec::new();
            for sql in workload.equal_sums() {
                sums.push(peer.number(leader, sql).await?);
            }
            if sums.windows(2).any(|pair| pair[0] != pair[1]) {
                complaints.push(format!("{}: sums differ: {sums:?}", workload.name()));
            }
        }
        Ok(complaints)
    }
}

/// Asks every other replica until its number is the leader's.
async fn behind(
    peer: &mut Peer,
    leader: usize,
    workload: Workload,
    effect: &str,
    expected: i64,
) -> Result<Vec<String>, Failure> {
    let mut complaints = Vec::new();
    for replica in (0..peer.replicas()).filter(|replica| *replica != leader) {
        let patience = Patience::of(PATIENCE);
        loop {
            let found = peer.number(replica, effect).await?;
            if found == expected {
                break;
            }
            if !patience.lasts().await {
                complaints.push(format!(
                    "{}: replica {} has {found} where the leader has {expected}",
                    workload.name(),
                    replica + 1
                ));
                break;
            }
        }
    }
    Ok(complaints)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_lie_between_what_was_acknowledged_and_what_may_have_happened() {
        let tally = Tally {
            acknowledged: 10,
            in_doubt: 2,
        };
        for effects in 10..=12 {
            assert_eq!(tally.complaint(effects), None);
        }
        let lost = tally.complaint(9).expect("one is missing");
        assert!(lost.contains("LOST 1 of 10"), "{lost}");
        let twice = tally.complaint(13).expect("one is too many");
        assert!(twice.starts_with("1 transactions"), "{twice}");
    }
}
