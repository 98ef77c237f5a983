//! Looks at everything that a replica has on its disk, when asked to, and mends what is wrong with it.
//!
//! The log is read from its files, not from what is kept in memory; SQLite's file is read as the scrub does
//! (`bellwether_storage::scrub`), in snapshots of its own, so that writers are not held up and never taken for damage.

use std::time::Duration;

use bellwether_http::{Kept, Place, Verified};
use bellwether_log::{LogReader, ReadError};
use bellwether_node::Event;
use bellwether_storage::scrub::{Depth, Progress, Scrub, ScrubError};
use bellwether_types::{Fingerprint, NodeId};
use tokio::sync::oneshot;

use super::ReplicaHandle;
use super::driver::Input;
use crate::verify::{Detail, Scope};

/// Rows and pages between two looks whether anybody still wants to know: some milliseconds.
const STEP_ROWS: u64 = 2_000;

/// After each step, when others are not to notice.
const GENTLE_PAUSE: Duration = Duration::from_millis(20);

/// A replica with more faults than this is not looked at further.
const FAULTS_MAX: usize = 20;

/// How long a replica may take to notice that it is damaged.
const NOTICED_WITHIN: Duration = Duration::from_secs(5);

/// How long a copy of another replica may take to come and be put in place.
const SEEDED_WITHIN: Duration = Duration::from_secs(600);

/// How long SQLite may take to hold what the log is to give up; a reader may keep checkpoints back.
const CUT_WITHIN: Duration = Duration::from_secs(60);

/// Between two attempts.
const CUT_PAUSE: Duration = Duration::from_millis(100);

impl ReplicaHandle {
    /// A reader of its log.
    pub fn log(&self) -> LogReader {
        self.log.lock().expect("no holder of this lock panics").clone()
    }

    /// Looks. Takes long, and blocks.
    pub fn look(&self, node: NodeId, scope: Scope, is_wanted: impl Fn() -> bool) -> Verified {
        let mut verified = Verified::new(node, Some(self.name.to_owned()));
        if scope.detail != Detail::Kept {
            self.look_at_log(scope, &mut verified);
        }
        if self.reign.borrow().seeding {
            verified.found(Place::Unreadable, "it is being seeded anew from another node");
            return verified;
        }
        match self.look_at_database(scope, &mut verified, is_wanted) {
            Ok(()) => {}
            Err(error) if error.is_damage() => verified.found(Place::Database, error),
            Err(error) => verified.found(Place::Unreadable, error),
        }
        verified
    }

    fn look_at_log(&self, scope: Scope, verified: &mut Verified) {
        match self.log().check(|| scope.pause(GENTLE_PAUSE)) {
            Ok(checked) => {
                verified.log_entries = checked.entries;
                verified.log_bytes = checked.bytes;
            }
            Err(ReadError::Corrupt { file, offset, flaw }) => {
                verified.found(Place::Log, format!("{} at byte {offset}: {flaw}", file.display()));
            }
            Err(error) => verified.found(Place::Unreadable, error),
        }
    }

    fn look_at_database(
        &self,
        scope: Scope,
        verified: &mut Verified,
        is_wanted: impl Fn() -> bool,
    ) -> Result<(), ScrubError> {
        let mut scrub = Scrub::start(self.readers.files(), Depth::RowsAndIndexes)?;
        while scope.detail == Detail::Full && verified.faults.len() < FAULTS_MAX && is_wanted() {
            match scrub.step(STEP_ROWS)? {
                Progress::Scanned { .. } => scope.pause(GENTLE_PAUSE),
                Progress::Differs(difference) => verified.found(Place::Database, difference),
                Progress::Finished {
                    pages, tables, rows, ..
                } => {
                    (verified.pages, verified.tables, verified.rows) = (pages, tables, rows);
                    break;
                }
            }
        }
        let kept = scrub.kept()?;
        verified.position = kept.position;
        for (table, name, fingerprint) in kept.tables {
            if fingerprint != Fingerprint::default() {
                verified.kept.push(Kept {
                    table: table.0,
                    name,
                    fingerprint,
                });
            }
        }
        Ok(())
    }

    /// Mends what was found, as far as it is known how; an error says what is left to do.
    pub async fn mend(&self, verified: &Verified) -> Result<(), String> {
        if verified.has_fault_in(Place::Log) {
            self.mend_log().await?;
        }
        if verified.has_fault_in(Place::Database) || self.reign.borrow().seeding {
            self.mend_database().await?;
        }
        Ok(())
    }

    /// What the log has lost is in SQLite's file, or will be after its next checkpoint: it goes on in a new segment, and gives
    /// up those before.
    async fn mend_log(&self) -> Result<(), String> {
        let (reply, rolled) = oneshot::channel();
        let is_asked = self.drive.offer(Input::Roll(reply));
        let through = match is_asked {
            true => rolled.await.ok(),
            false => None,
        };
        let through = through.ok_or("the log does not answer; start the node again")?;
        let cut = async {
            let log = self.log();
            while log.first() <= through {
                self.offer(Event::Retain { from: through.next() });
                tokio::time::sleep(CUT_PAUSE).await;
            }
        };
        let cut = tokio::time::timeout(CUT_WITHIN, cut).await;
        cut.map_err(|_| {
            "SQLite does not hold yet what the log is to give up; end long transactions".to_owned()
        })
    }

    /// It is seeded from another replica; if it leads it hands over first.
    async fn mend_database(&self) -> Result<(), String> {
        if self.group.borrow().configuration.members().count() < 2 {
            return Err("there is no other replica to seed it from".to_owned());
        }
        let mut reign = self.reign.clone();
        tracing::error!(
            database = self.name,
            "found to be damaged by a verification: it is seeded anew"
        );
        self.offer(Event::Damaged);
        // It may have been noticed, and done, before: then this waits in vain, and what is found next tells.
        let _ = tokio::time::timeout(NOTICED_WITHIN, reign.wait_for(|reign| reign.seeding)).await;
        let seeded = reign.wait_for(|reign| !reign.seeding);
        match tokio::time::timeout(SEEDED_WITHIN, seeded).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err("no other node has given a copy yet; see \"bellwether status\"".to_owned()),
        }
    }
}
