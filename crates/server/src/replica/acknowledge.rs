//! When clients hear of their commits: the durability that they ask for, and the standbys that the cluster waits for.
//!
//! A transaction of durability `on` comes here committed, and without a rule goes on at once. One that is answered earlier
//! comes when its record is proposed. Whoever waits when the reign ends hears `Unknown`: it asks again under its request id,
//! and waits then for what the next leader's standbys have.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bellwether_http::Metrics;
use bellwether_node::Progress;
use bellwether_session::settings::ClusterValues;
use bellwether_types::{Durability, ErrorKind, LogIndex, RequestId, SqlError, StandbyRule, Term};
use tokio::sync::watch;

use super::Refusal;

/// Standbys that miss no more are back.
const BACK_MISSING_MAX: u64 = 64;

/// What a client waits for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Awaited {
    pub request: RequestId,
    /// The reign in which it was executed or found.
    pub term: Term,
    pub index: LogIndex,
    pub durability: Durability,
}

/// Of one replica.
pub(crate) struct Acknowledger {
    name: &'static str,
    /// As the machine's driver tells it.
    progress: watch::Sender<Progress>,
    cluster: watch::Receiver<ClusterValues>,
    /// Commits go on without the standbys, until they are back.
    is_degraded: watch::Sender<bool>,
    metrics: Arc<Metrics>,
}

impl Acknowledger {
    pub fn new(
        name: &'static str,
        cluster: watch::Receiver<ClusterValues>,
        metrics: Arc<Metrics>,
    ) -> Arc<Acknowledger> {
        Arc::new(Acknowledger {
            name,
            progress: watch::Sender::default(),
            cluster,
            is_degraded: watch::Sender::new(false),
            metrics,
        })
    }

    /// From the machine's driver: `note` brings it up to date, and tells whether anything has changed.
    pub fn update(&self, note: impl FnOnce(&mut Progress) -> bool) {
        self.progress.send_if_modified(note);
    }

    /// Whom commits wait for besides the quorum.
    pub fn rule(&self) -> StandbyRule {
        self.cluster.borrow().synchronous_standby_names.clone()
    }

    /// Whether commits go on without them.
    pub fn is_degraded(&self) -> bool {
        *self.is_degraded.borrow()
    }

    /// Whether word from others is waited for before a transaction of this durability is answered: they tell at once then.
    pub fn asks_progress(&self, durability: Durability) -> bool {
        matches!(durability, Durability::RemoteWrite | Durability::RemoteApply)
    }

    /// Resolves when it may be answered; `stop`: the client does not wait any longer.
    pub async fn wait(
        self: &Arc<Self>,
        awaited: Awaited,
        stop: impl Future<Output = ()>,
    ) -> Result<(), Refusal> {
        if awaited.durability == Durability::On && self.cluster.borrow().synchronous_standby_names.is_empty()
        {
            return Ok(());
        }
        let began = Instant::now();
        let mut stop = std::pin::pin!(stop);
        let mut progress = self.progress.subscribe();
        let mut cluster = self.cluster.clone();
        let mut is_degraded = self.is_degraded.subscribe();
        loop {
            let values = cluster.borrow_and_update().clone();
            let goes_without = *is_degraded.borrow_and_update();
            let rule = match goes_without {
                true => StandbyRule::default(),
                false => values.synchronous_standby_names.clone(),
            };
            {
                let progress = progress.borrow_and_update();
                if progress.reign != Some(awaited.term) {
                    return Err(Refusal::Unknown);
                }
                if progress.allows(awaited.index, awaited.durability, &rule) {
                    return Ok(());
                }
            }
            let patience = Duration::from_millis(u64::from(values.sync_degrade_after.0));
            let may_degrade = !patience.is_zero() && !rule.is_empty();
            tokio::select! {
                changed = progress.changed() => if changed.is_err() {
                    return Err(Refusal::Unknown);
                },
                // Nobody changes the rule of the system database: its sender is gone.
                Ok(()) = cluster.changed() => {}
                _ = is_degraded.changed() => {}
                () = &mut stop => {
                    let is_committed = progress.borrow().commit >= awaited.index;
                    return Err(Refusal::Failed(wait_cancelled(awaited.request, is_committed)));
                }
                () = tokio::time::sleep_until((began + patience).into()), if may_degrade => {
                    self.degrade(&rule, awaited);
                }
            }
        }
    }

    /// Never silently: a line in the log, a metric, a column of `pg_stat_replication`.
    fn degrade(self: &Arc<Self>, rule: &StandbyRule, awaited: Awaited) {
        if self.is_degraded.send_replace(true) {
            return;
        }
        self.metrics.sync_degradations.increment();
        self.metrics.sync_degraded.increment();
        tracing::error!(
            database = self.name,
            %rule,
            "synchronous standbys are missing: commits go on with the quorum alone"
        );
        tokio::spawn(Arc::clone(self).recover(awaited));
    }

    /// Until the standbys are back, with what was not waited for; or the reign is over.
    async fn recover(self: Arc<Self>, awaited: Awaited) {
        let mut cluster = self.cluster.clone();
        let mut progress = self.progress.subscribe();
        loop {
            let rule = cluster.borrow_and_update().synchronous_standby_names.clone();
            let is_over = |progress: &Progress| {
                let are_back = progress.allows(awaited.index, Durability::On, &rule)
                    && progress.is_current(&rule, BACK_MISSING_MAX);
                progress.reign != Some(awaited.term) || are_back
            };
            tokio::select! {
                _ = progress.wait_for(is_over) => break,
                Ok(()) = cluster.changed() => {}
            }
        }
        self.is_degraded.send_replace(false);
        self.metrics.sync_degraded.decrement();
        tracing::info!(
            database = self.name,
            "commits wait for synchronous standbys again"
        );
    }
}

/// 40003: its client does not wait any longer. Whether a quorum has it is known, or not.
pub(super) fn wait_cancelled(request: RequestId, is_committed: bool) -> SqlError {
    let what = match is_committed {
        true => "A quorum has committed it; not all nodes of synchronous_standby_names have it yet.",
        false => "It was executed, and may yet be committed.",
    };
    SqlError::new(
        ErrorKind::UnknownOutcome,
        "canceling wait for synchronous replication due to user request",
    )
    .with_detail(format!("This was transaction {request}. {what}"))
    .with_hint(how_to_ask(request))
}

/// The hint to a transaction of unknown outcome.
pub(crate) fn how_to_ask(request: RequestId) -> String {
    format!("Before you try it again, ask what became of it: SELECT pg_xact_status('{request}').")
}
