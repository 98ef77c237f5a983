//! The list of nodes as this node has it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bellwether_types::{Configuration, ErrorKind, NodeId, Position, SqlError, Statement, Value};
use tokio::sync::watch;

use super::{Addresses, InvalidMember, Member, Standing};
use crate::identity::DataDir;
use crate::node::Node;
use crate::replica::ReplicaHandle;
use crate::system::query;

/// A change is looked for so often even if nobody tells of one.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// All nodes at one position of the system database, those that were removed among them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Members {
    by_node: BTreeMap<NodeId, Member>,
}

impl FromIterator<Member> for Members {
    fn from_iter<T: IntoIterator<Item = Member>>(members: T) -> Members {
        Members {
            by_node: members.into_iter().map(|member| (member.node, member)).collect(),
        }
    }
}

impl Members {
    /// One that is still there.
    pub fn get(&self, node: NodeId) -> Option<&Member> {
        self.by_node
            .get(&node)
            .filter(|member| member.standing != Standing::Removed)
    }

    /// Those that are still there.
    pub fn present(&self) -> impl Iterator<Item = &Member> {
        self.by_node
            .values()
            .filter(|member| member.standing != Standing::Removed)
    }

    /// All, by number.
    pub fn all(&self) -> impl Iterator<Item = &Member> {
        self.by_node.values()
    }

    pub fn is_removed(&self, node: NodeId) -> bool {
        self.by_node
            .get(&node)
            .is_some_and(|member| member.standing == Standing::Removed)
    }

    /// What every group is wanted to be.
    pub fn wanted(&self) -> Configuration {
        self.present()
            .fold(Configuration::default(), |wanted, member| match member.standing {
                Standing::Voter => wanted.with_voter(member.node),
                _ => wanted.with_learner(member.node),
            })
    }
}

/// The list in a file: a member a line.
pub(crate) fn write_members(members: &Members) -> String {
    members.all().map(|member| format!("{member}\n")).collect()
}

/// Reads what [`write_members`] wrote.
pub(crate) fn parse_members(text: &str) -> Result<Members, InvalidMember> {
    text.lines().map(str::parse).collect()
}

/// What this node knows of the others; changes wake receivers.
pub(crate) struct MemberBook {
    current: watch::Sender<Arc<Members>>,
    /// One at a time reads it anew, so that what is kept in the file is never older than what was.
    reading: tokio::sync::Mutex<()>,
    /// The file knows better than the system database.
    is_frozen: AtomicBool,
}

impl MemberBook {
    /// As the file of this node had it.
    pub fn new(members: Members, is_frozen: bool) -> MemberBook {
        MemberBook {
            current: watch::Sender::new(Arc::new(members)),
            reading: tokio::sync::Mutex::default(),
            is_frozen: AtomicBool::new(is_frozen),
        }
    }

    /// The system database has what only the file had.
    pub fn unfreeze(&self) {
        self.is_frozen.store(false, Ordering::Release);
    }

    pub fn current(&self) -> Arc<Members> {
        Arc::clone(&self.current.borrow())
    }

    pub fn subscribe(&self) -> watch::Receiver<Arc<Members>> {
        self.current.subscribe()
    }

    /// Takes over what this node's replica of the system database has, and keeps it in the file.
    pub async fn read(&self, system: &ReplicaHandle, data_dir: &DataDir) -> Result<(), SqlError> {
        let _turn = self.reading.lock().await;
        if self.is_frozen.load(Ordering::Acquire) {
            return Ok(());
        }
        let members = load(system).await?;
        // A replica that begins anew knows nobody for a while.
        if members.by_node.is_empty() || *self.current.borrow().as_ref() == members {
            return Ok(());
        }
        let text = write_members(&members);
        let written = tokio::task::block_in_place(|| data_dir.write_members(&text));
        written.map_err(|error| {
            SqlError::new(ErrorKind::Internal, "the list of nodes could not be kept")
                .with_detail(error.to_string())
        })?;
        self.current.send_replace(Arc::new(members));
        Ok(())
    }
}

/// Keeps the book up to date; until stopped.
pub(crate) async fn follow(node: Arc<Node>) {
    let system = Arc::clone(node.system());
    let mut seen = Position::ZERO;
    while !node.stop.is_asked() {
        let applied = system.published.applied();
        match node.members.read(&system, &node.data_dir).await {
            Ok(()) => seen = applied,
            Err(error) if error.kind == ErrorKind::UndefinedTable => seen = applied,
            Err(error) => {
                tracing::warn!(%error, "the list of nodes could not be read");
                tokio::time::sleep(LOOK_PERIOD).await;
            }
        }
        if node.members.current().is_removed(node.identity.node) {
            return node.stop.fail(removed());
        }
        let next = Position {
            index: seen.index.next(),
            ..seen
        };
        tokio::select! {
            () = node.stop.asked() => {}
            _ = system.wait_applied(next, LOOK_PERIOD) => {}
        }
    }
}

/// What a node says that learns that it is in the cluster no more.
pub(crate) fn removed() -> String {
    "this node was removed from the cluster; to let it join as a new one, start it with an empty --data-dir and --join \
     (and --salvage with this directory, if the cluster went on without it by \"bellwether promote\")"
        .to_owned()
}

async fn load(system: &ReplicaHandle) -> Result<Members, SqlError> {
    let statement = Statement::new("SELECT id, peer, pg, http, standing FROM nodes ORDER BY id");
    let rows = query(system, &statement).await?;
    let members = rows.iter().map(|row| member(row));
    let members: Option<Members> = members.collect();
    members.ok_or_else(|| SqlError::new(ErrorKind::Internal, "a line of the list of nodes cannot be read"))
}

fn member(row: &[Value]) -> Option<Member> {
    let [
        Value::Integer(node),
        Value::Text(peer),
        Value::Text(pg),
        Value::Text(http),
        Value::Text(standing),
    ] = row
    else {
        return None;
    };
    Some(Member {
        node: NodeId(u64::try_from(*node).ok()?),
        addresses: Addresses {
            peer: peer.parse().ok()?,
            pg: pg.parse().ok()?,
            http: http.parse().ok()?,
        },
        standing: standing.parse().ok()?,
    })
}
