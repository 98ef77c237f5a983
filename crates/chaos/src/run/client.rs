//! One client: it does one operation after the other at its node, and connects again when it must.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::cluster::Node;
use crate::history::{Kind, Operation};
use crate::recorder::{Recorder, Who};
use crate::session::{Consistency, Promise, Session, Trouble};
use crate::workload::{Generator, perform};

/// How long a node is left alone that lets nobody in.
const BEFORE_CONNECTING_AGAIN: Duration = Duration::from_millis(50);

pub(super) struct Client {
    pub node: Node,
    pub door: SocketAddr,
    pub promise: Promise,
    /// From one operation's beginning to the next one's, at least.
    pub interval: Duration,
    pub generator: Generator,
    pub recorder: Arc<Recorder>,
}

impl Client {
    /// Until it is stopped, and then to the end of what it is at. An error is the history's file.
    pub async fn work(mut self, mut stopped: watch::Receiver<bool>) -> io::Result<()> {
        let mut turns = interval(self.interval);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut connected: Option<(Session, Who)> = None;
        loop {
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => return Ok(()),
                _ = turns.tick() => {}
            }
            let Some((session, who)) = &connected else {
                connected = self.connect().await;
                continue;
            };
            let operation = self.generator.draw();
            let goes_on = match record(session, *who, &operation, &self.recorder).await? {
                Ok(told) => {
                    self.generator.learn(&told);
                    true
                }
                Err(trouble) => trouble.is_definite,
            };
            if !goes_on || session.is_closed() {
                connected = None;
            }
        }
    }

    /// Another connection is another process: what a session has seen ends with it.
    async fn connect(&self) -> Option<(Session, Who)> {
        let Ok(session) = Session::open(self.door, self.promise).await else {
            sleep(BEFORE_CONNECTING_AGAIN).await;
            return None;
        };
        let who = Who {
            process: self.recorder.new_process(),
            node: self.node,
            strong: self.promise.reads != Consistency::Session,
        };
        Some((session, who))
    }
}

/// Does an operation, with a line before and one after. The inner error is the operation's.
pub(super) async fn record(
    session: &Session,
    who: Who,
    operation: &Operation,
    recorder: &Recorder,
) -> io::Result<Result<Operation, Trouble>> {
    recorder.client(who, Kind::Invoke, operation.clone(), None)?;
    let ended = perform(session, operation).await;
    match &ended {
        Ok(told) => recorder.client(who, Kind::Ok, told.clone(), None)?,
        Err(trouble) => {
            let kind = if trouble.is_definite {
                Kind::Fail
            } else {
                Kind::Info
            };
            recorder.client(who, kind, operation.clone(), Some(trouble.to_string()))?;
        }
    }
    Ok(ended)
}
