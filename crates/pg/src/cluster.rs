//! Commands about the cluster as a whole. They take effect at once and for all, so none is part of a transaction.

use bellwether_types::NodeId;

use crate::role::RoleCommand;

/// One of them. The driver carries it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterCommand {
    /// CREATE ROLE, GRANT and their like.
    Role(RoleCommand),
    /// ALTER SYSTEM and ALTER DATABASE, SET and RESET.
    Setting {
        /// Whose.
        of: SettingOf,
        /// What becomes of them.
        change: SettingChange,
    },
    /// CALL of one of our procedures about a node.
    Node {
        /// Which.
        node: NodeId,
        /// What becomes of it.
        change: NodeChange,
    },
    /// `CALL bellwether.switchover`: another node leads.
    Switchover {
        /// Which; `None`: whoever misses least.
        to: Option<NodeId>,
    },
    /// `CALL bellwether.forget_lost_writes()`: what the ledger has is dealt with.
    ForgetLostWrites,
    /// `CALL bellwether.verify`: every node looks at what it has, and all are compared.
    Verify(Verify),
}

/// How closely to look, and what follows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verify {
    /// At every page, row and index, too.
    pub full: bool,
    /// What is wrong is made right where that is known.
    pub repair: bool,
    /// With pauses, so that others hardly notice.
    pub gently: bool,
}

/// Whose settings are changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingOf {
    /// The cluster's: those that hold for everybody, and where every session begins.
    System,
    /// Where sessions in this database begin.
    Database(String),
}

/// What becomes of settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingChange {
    /// SET; lists are one text with commas.
    Set {
        /// Which.
        name: String,
        /// To what.
        value: String,
    },
    /// RESET, and SET … TO DEFAULT.
    Reset(String),
    /// RESET ALL.
    ResetAll,
}

/// What becomes of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeChange {
    /// `bellwether.promote_node`: it votes.
    Promote,
    /// `bellwether.demote_node`: it has no vote any more, and goes on as a learner.
    Demote,
    /// `bellwether.remove_node`: it is in the cluster no more.
    Remove,
}

impl NodeChange {
    /// All procedures.
    pub const ALL: [NodeChange; 3] = [NodeChange::Promote, NodeChange::Demote, NodeChange::Remove];

    /// The procedure's name in the schema `bellwether`.
    pub fn procedure(self) -> &'static str {
        match self {
            NodeChange::Promote => "promote_node",
            NodeChange::Demote => "demote_node",
            NodeChange::Remove => "remove_node",
        }
    }
}

impl ClusterCommand {
    /// For CommandComplete.
    pub fn tag(&self) -> &'static str {
        match self {
            ClusterCommand::Role(command) => command.tag(),
            ClusterCommand::Setting { of, .. } => match of {
                SettingOf::System => "ALTER SYSTEM",
                SettingOf::Database(_) => "ALTER DATABASE",
            },
            _ => "CALL",
        }
    }
}
