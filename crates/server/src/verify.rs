//! `CALL bellwether.verify`: every node looks at what it has on its disk, and all are compared at one position.
//!
//! Each node reads its log and its database in snapshots of its own, and tells at the end what its records have kept of
//! each table, and at which position it read that. Under a load these positions differ. Every record says what it made of
//! the tables that it touched; so what a node told is brought forward, with the records of the log here, to the latest
//! position that any node told. There all must be equal: no writer waits, and none is taken for a difference.
//!
//! Does not decide who is right when sound nodes differ: that is told, and left to people.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bellwether_http::{Kept, Place, Verified};
use bellwether_log::{LogReader, ReadError};
use bellwether_pg::cluster::Verify;
use bellwether_types::codec::{DecodeError, Decoder, Encoder};
use bellwether_types::{Fingerprint, NodeId, Payload, Position, SqlError};
use tokio::task::JoinSet;

use crate::node::Node;
use crate::replica::ReplicaHandle;

/// A node that is at it says so this often.
pub(crate) const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// A node that says nothing for so long is lost.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(10);

/// How long this node may take to apply what another has.
const APPLIED_WITHIN: Duration = Duration::from_secs(30);

/// Bytes of log in memory while positions are brought together.
const READ_BYTES: usize = 4 << 20;

/// What to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// What records have kept.
    Kept,
    /// The log, too.
    Log,
    /// Every page, row and index, too.
    Full,
}

/// What to look at, and what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scope {
    pub detail: Detail,
    pub repair: bool,
    pub gently: bool,
}

impl Scope {
    const KEPT: Scope = Scope {
        detail: Detail::Kept,
        repair: false,
        gently: false,
    };

    fn of(how: Verify) -> Scope {
        Scope {
            detail: match how.full {
                true => Detail::Full,
                false => Detail::Log,
            },
            repair: how.repair,
            gently: how.gently,
        }
    }

    /// Between two steps.
    pub fn pause(&self, pause: Duration) {
        if self.gently {
            std::thread::park_timeout(pause);
        }
    }

    pub fn encode(&self, out: &mut Encoder) {
        out.u8(self.detail as u8);
        out.bool(self.repair);
        out.bool(self.gently);
    }

    pub fn decode(input: &mut Decoder<'_>) -> Result<Scope, DecodeError> {
        let detail = match input.u8()? {
            0 => Detail::Kept,
            1 => Detail::Log,
            2 => Detail::Full,
            other => {
                return Err(DecodeError::UnknownTag {
                    what: "detail of a verification",
                    tag: u64::from(other),
                });
            }
        };
        Ok(Scope {
            detail,
            repair: input.bool()?,
            gently: input.bool()?,
        })
    }
}

/// Ends the work when nobody waits for it any more.
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// What this node finds in its replicas, after it has mended what it was asked to.
pub(crate) async fn verify_here(node: &Node, scope: Scope) -> Vec<Verified> {
    let wanted = Wanted(Arc::new(AtomicBool::new(true)));
    let mut found = Vec::new();
    for replica in node.replicas.iter() {
        let mut verified = look(node, replica, scope, &wanted).await;
        if scope.repair && !verified.faults.is_empty() {
            let mended = replica.mend(&verified).await;
            let before = std::mem::take(&mut verified.faults);
            verified = look(node, replica, scope, &wanted).await;
            match (mended, verified.faults.is_empty()) {
                (Err(why), _) => verified.found(Place::Unreadable, format!("not repaired: {why}")),
                (Ok(()), true) => verified.repaired = before,
                (Ok(()), false) => {}
            }
        }
        found.push(verified);
    }
    found
}

async fn look(node: &Node, replica: &Arc<ReplicaHandle>, scope: Scope, wanted: &Wanted) -> Verified {
    let (own, stop) = (node.identity.node, Arc::clone(&node.stop));
    let (looking, is_wanted) = (Arc::clone(replica), Arc::clone(&wanted.0));
    let is_wanted = move || is_wanted.load(Ordering::Relaxed) && !stop.is_asked();
    let looked = tokio::task::spawn_blocking(move || looking.look(own, scope, is_wanted)).await;
    looked.unwrap_or_else(|error| {
        let mut verified = Verified::new(own, Some(replica.name.to_owned()));
        verified.found(Place::Unreadable, format!("the look at it has failed: {error}"));
        verified
    })
}

/// Asks all nodes; what each has found, a line of JSON for each replica.
pub(crate) async fn verify(node: &Arc<Node>, how: Verify) -> Result<Vec<String>, SqlError> {
    node.members.read(node.system(), &node.data_dir).await?;
    let mut found = ask_all(node, Scope::of(how)).await;
    for replica in node.replicas.iter() {
        compare(node, replica, &mut found).await;
    }
    let json = |verified: Verified| {
        let verified = Verified {
            kept: Vec::new(),
            ..verified
        };
        serde_json::to_string(&verified).expect("it has only text keys")
    };
    Ok(found.into_iter().map(json).collect())
}

async fn ask_all(node: &Arc<Node>, scope: Scope) -> Vec<Verified> {
    let mut asking = JoinSet::new();
    for member in node.members.current().present() {
        let (node, asked) = (Arc::clone(node), member.node);
        asking.spawn(async move {
            if asked == node.identity.node {
                return verify_here(&node, scope).await;
            }
            node.forward.verify(asked, scope).await.unwrap_or_else(|why| {
                let mut verified = Verified::new(asked, None);
                verified.found(Place::Unreadable, format!("the node {why}"));
                vec![verified]
            })
        });
    }
    let mut found: Vec<Verified> = asking.join_all().await.into_iter().flatten().collect();
    found.sort_by(|a, b| (a.node, &a.database).cmp(&(b.node, &b.database)));
    found
}

/// What a node's records have kept, brought to the position where nodes are compared.
type Sums = BTreeMap<u32, Fingerprint>;

/// Compares the replicas of one database, of those nodes that can be looked at, and writes down what differs.
async fn compare(node: &Arc<Node>, replica: &Arc<ReplicaHandle>, found: &mut [Verified]) {
    // What they told when they had looked at everything may be long ago.
    let told = ask_all(node, Scope::KEPT).await;
    let of_this = |verified: &&Verified| {
        verified.database.as_deref() == Some(replica.name) && verified.faults.is_empty()
    };
    let told: Vec<Verified> = told.iter().filter(of_this).cloned().collect();
    let Some(at) = told.iter().map(|verified| verified.position).max() else {
        return;
    };
    let names: BTreeMap<u32, String> = told
        .iter()
        .flat_map(|verified| &verified.kept)
        .map(|kept| (kept.table, kept.name.clone()))
        .collect();
    let mut sums: BTreeMap<NodeId, Result<Sums, String>> = BTreeMap::new();
    if replica.wait_applied(at, APPLIED_WITHIN).await {
        let log = replica.log();
        let forward = move || {
            let forward = |told: Verified| (told.node, bring_forward(log.clone(), &told, at));
            told.into_iter().map(forward).collect()
        };
        sums = tokio::task::spawn_blocking(forward).await.unwrap_or_default();
    }
    let most = most_frequent(&sums);
    for verified in found
        .iter_mut()
        .filter(|verified| verified.database.as_deref() == Some(replica.name))
    {
        match sums.get(&verified.node) {
            Some(Ok(own)) => {
                verified.position = at;
                verified.fingerprint = own
                    .values()
                    .fold(Fingerprint::default(), |sum, table| sum.plus(*table));
                for what in differences(own, &most, &names) {
                    verified.found(
                        Place::Nodes,
                        format!("at {at} {what} is not what other nodes have"),
                    );
                }
            }
            Some(Err(why)) => verified.found(Place::Unreadable, format!("not compared: {why}")),
            // Why is told already, or will be by whoever asks again.
            None if !verified.faults.is_empty() => {}
            None => verified.found(Place::Unreadable, "not compared: it could not be looked at again"),
        }
    }
}

/// What most have; of equally many, what the first has.
fn most_frequent(sums: &BTreeMap<NodeId, Result<Sums, String>>) -> Sums {
    let sound: Vec<&Sums> = sums.values().flatten().collect();
    let count = |one: &Sums| sound.iter().filter(|other| **other == one).count();
    let most = sound.iter().rev().max_by_key(|one| count(one));
    most.map(|most| (**most).clone()).unwrap_or_default()
}

fn differences(own: &Sums, most: &Sums, names: &BTreeMap<u32, String>) -> Vec<String> {
    let tables = own
        .keys()
        .chain(most.keys().filter(|table| !own.contains_key(*table)));
    let differ = tables.filter(|table| own.get(*table) != most.get(*table));
    let name = |table: &u32| match names.get(table) {
        _ if *table == 0 => "the schema".to_owned(),
        Some(name) if !name.is_empty() => format!("table {name:?}"),
        _ => format!("table number {table}"),
    };
    differ.map(name).collect()
}

/// What a node that told this has at `at`, which it had not reached or just had.
fn bring_forward(mut log: LogReader, told: &Verified, at: Position) -> Result<Sums, String> {
    let mut sums: Sums = told
        .kept
        .iter()
        .map(
            |Kept {
                 table, fingerprint, ..
             }| (*table, *fingerprint),
        )
        .collect();
    let mut next = told.position.index.next();
    if log
        .term_at(told.position.index)
        .is_some_and(|term| term != told.position.term)
    {
        return Err(format!(
            "its position {} is of no record of this cluster",
            told.position
        ));
    }
    for part in log.parts(next, at.index.next(), READ_BYTES) {
        let entries = part.map_err(|error| match error {
            ReadError::Cut { .. } => "it is too far behind".to_owned(),
            error => error.to_string(),
        })?;
        for entry in entries {
            next = entry.position.index.next();
            if entry.payload.is_empty() {
                continue;
            }
            match Payload::from_bytes(&entry.payload) {
                Ok(Payload::Record(record)) => {
                    sums.extend(record.fingerprints.iter().map(|(table, sum)| (table.0, *sum)));
                }
                Ok(_) => {}
                Err(error) => return Err(format!("entry {} cannot be read: {error}", entry.position)),
            }
        }
    }
    if next <= at.index {
        return Err("the log here ends before".to_owned());
    }
    sums.retain(|_, sum| *sum != Fingerprint::default());
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(tables: &[(u32, u128)]) -> Sums {
        tables
            .iter()
            .map(|(table, sum)| (*table, Fingerprint(*sum)))
            .collect()
    }

    #[test]
    fn what_fewer_have_differs_and_is_named() {
        let (sound, other) = (sums(&[(0, 1), (1, 5)]), sums(&[(0, 1), (1, 6), (2, 7)]));
        let all = [(1, other.clone()), (2, sound.clone()), (3, sound.clone())];
        let all = all.map(|(node, sums)| (NodeId(node), Ok(sums))).into();
        let most = most_frequent(&all);
        assert_eq!(most, sound);
        let names = [(1, "t".to_owned())].into();
        assert_eq!(
            differences(&other, &most, &names),
            ["table \"t\"", "table number 2"]
        );
        assert!(differences(&sound, &most, &names).is_empty());
    }

    #[test]
    fn a_scope_reads_back() {
        for detail in [Detail::Kept, Detail::Log, Detail::Full] {
            let scope = Scope {
                detail,
                repair: true,
                gently: false,
            };
            let mut out = Encoder::new();
            scope.encode(&mut out);
            let read = Scope::decode(&mut Decoder::new(out.as_slice()));
            assert_eq!(read.expect("just written"), scope);
        }
    }
}
