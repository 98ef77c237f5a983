//! Commands about the cluster as a whole, carried out wherever the leaders are.

use std::sync::Arc;
use std::time::Duration;

use bellwether_pg::cluster::{ClusterCommand, NodeChange, SettingChange, SettingOf};
use bellwether_session::Settings;
use bellwether_session::settings::{ClusterValues, LOG_FORMAT, SESSION_TOKEN, is_of_cluster};
use bellwether_types::{
    Configuration, DatabaseId, ErrorKind, LogFormat, NodeId, SqlError, Statement, UnknownLogFormat, Value,
};

use crate::forward::no_leader;
use crate::ledger;
use crate::lock::change_role;
use crate::members::{Member, Standing};
use crate::node::Node;
use crate::replica::Refusal;
use crate::session::FAILOVER_WAIT;
use crate::system;
use crate::verify::verify;

/// Does it in the name of `actor`; what there is to tell of it. What a node is to be is written down first; this returns when
/// all groups of this node are so, and who cancels it cancels only the waiting.
pub(crate) async fn govern(
    node: &Arc<Node>,
    actor: &str,
    command: ClusterCommand,
    settings: &Settings,
) -> Result<Vec<String>, SqlError> {
    match command {
        ClusterCommand::Role(command) => change_role(node, actor, command, settings).await?,
        ClusterCommand::Setting { of, change } => {
            check_superuser(node, actor, "changing settings of others").await?;
            return change_settings(node, &of, change, settings).await;
        }
        ClusterCommand::Switchover { to } => {
            check_superuser(node, actor, "bellwether.switchover").await?;
            return switch_over(node, to, settings).await;
        }
        ClusterCommand::ForgetLostWrites => {
            check_superuser(node, actor, "bellwether.forget_lost_writes").await?;
            let forgotten = ledger::forget(node, settings).await?;
            return Ok(vec![format!("{forgotten} lost writes are forgotten")]);
        }
        ClusterCommand::Verify(how) => {
            check_superuser(node, actor, "verify").await?;
            return verify(node, how).await;
        }
        ClusterCommand::Node { node: which, change } => {
            check_superuser(node, actor, &format!("bellwether.{}", change.procedure())).await?;
            let standing = match change {
                NodeChange::Promote => Standing::Voter,
                NodeChange::Demote => Standing::Learner,
                NodeChange::Remove => Standing::Removed,
            };
            want(node, which, standing, settings).await?;
            wait_until_so(node, which, standing).await?;
        }
    }
    Ok(Vec::new())
}

/// Every database's leader hands over: to this node, or all to the same one.
async fn switch_over(
    node: &Node,
    mut to: Option<NodeId>,
    settings: &Settings,
) -> Result<Vec<String>, SqlError> {
    let drain = Duration::from_millis(u64::from(settings.values().drain_timeout.0));
    let mut told = Vec::new();
    for replica in node.replicas.iter() {
        let leader = replica.wait_leader(FAILOVER_WAIT).await;
        let (leader, _) = leader.ok_or_else(no_leader)?;
        let next = match leader {
            leader if Some(leader) == to => leader,
            leader if leader == node.identity.node => replica.hand_over(to, drain).await?,
            leader => match node.forward.hand_over(leader, replica.database, to, drain).await {
                Ok(next) => next,
                Err(Refusal::Failed(error)) => return Err(error),
                Err(Refusal::NotLeader | Refusal::Unknown) => return Err(no_leader()),
            },
        };
        to = to.or(Some(next));
        told.push(format!("node {next} leads the database {}", replica.name));
    }
    Ok(told)
}

/// Written down in the system database; new sessions begin so, and what holds for everybody holds as soon as it is read.
async fn change_settings(
    node: &Arc<Node>,
    of: &SettingOf,
    change: SettingChange,
    settings: &Settings,
) -> Result<Vec<String>, SqlError> {
    if let Some(format) = log_format_in(of, &change)? {
        return change_log_format(node, of, format, settings).await;
    }
    let (table, database) = match of {
        SettingOf::System => ("settings", None),
        SettingOf::Database(name) => ("database_settings", Some(database(node, name).await?)),
    };
    let is_here = match database {
        Some(_) => " AND database = $2",
        None => "",
    };
    let database = database.map(|id| Value::Integer(i64::from(id.0)));
    let statement = match change {
        SettingChange::Set { name, value } => {
            let name = name.to_ascii_lowercase();
            check_setting(node, of, &name, &value)?;
            let columns = [Value::Text(name), Value::Text(value)];
            let values = match database {
                Some(_) => "($3, $1, $2)",
                None => "($1, $2)",
            };
            let sql = format!("INSERT OR REPLACE INTO {table} VALUES {values}");
            Statement::bound(sql, columns.into_iter().chain(database).collect())
        }
        SettingChange::Reset(name) => {
            let name = Value::Text(name.to_ascii_lowercase());
            let sql = format!("DELETE FROM {table} WHERE name = $1{is_here}");
            Statement::bound(sql, [name].into_iter().chain(database).collect())
        }
        SettingChange::ResetAll => {
            let sql = format!("DELETE FROM {table} WHERE $1{is_here}");
            Statement::bound(sql, [Value::Integer(1)].into_iter().chain(database).collect())
        }
    };
    system::change(node, vec![statement], settings).await?;
    node.lock.book.read(node.system()).await?;
    Ok(Vec::new())
}

/// `None`: the change is not about the log's format.
fn log_format_in(of: &SettingOf, change: &SettingChange) -> Result<Option<LogFormat>, SqlError> {
    let (name, format) = match change {
        SettingChange::Set { name, value } => (name, Some(value)),
        SettingChange::Reset(name) => (name, None),
        SettingChange::ResetAll => return Ok(None),
    };
    if !name.eq_ignore_ascii_case(LOG_FORMAT) {
        return Ok(None);
    }
    if *of == SettingOf::System {
        let message = format!("parameter \"{LOG_FORMAT}\" is a database's");
        return Err(SqlError::new(ErrorKind::ClusterSetting, message)
            .with_hint(format!("ALTER DATABASE postgres SET {LOG_FORMAT} = …")));
    }
    match format {
        None => Ok(Some(LogFormat::default())),
        Some(value) => parse_log_format(value).map(Some),
    }
}

fn parse_log_format(value: &str) -> Result<LogFormat, SqlError> {
    value.parse().map_err(|UnknownLogFormat| {
        let names: Vec<&str> = LogFormat::ALL.into_iter().map(LogFormat::name).collect();
        let message = format!("invalid value for parameter \"{LOG_FORMAT}\": \"{value}\"");
        SqlError::new(ErrorKind::InvalidSetting, message)
            .with_hint(format!("Available values: {}.", names.join(", ")))
    })
}

/// The switch is a record of the database's own log: what comes after it is written so.
async fn change_log_format(
    node: &Arc<Node>,
    of: &SettingOf,
    format: LogFormat,
    settings: &Settings,
) -> Result<Vec<String>, SqlError> {
    let SettingOf::Database(name) = of else {
        return Ok(Vec::new());
    };
    let id = database(node, name).await?;
    let replica = node.replicas.get(id).ok_or_else(|| no_replica(name))?;
    let statement = Statement::new(format!("PRAGMA bellwether_log_format = {format}"));
    system::change_database(node, replica, vec![statement], settings).await?;
    Ok(Vec::new())
}

fn no_replica(name: &str) -> SqlError {
    let message = format!("this node has no replica of database \"{name}\"");
    SqlError::new(ErrorKind::UndefinedDatabase, message)
}

async fn database(node: &Node, name: &str) -> Result<DatabaseId, SqlError> {
    let roles = node.lock.book.read(node.system()).await?;
    let found = roles.databases.get(name).map(|database| database.id);
    found.ok_or_else(|| {
        let message = format!("database \"{name}\" does not exist");
        SqlError::new(ErrorKind::UndefinedDatabase, message)
    })
}

/// What nobody could use is refused now, not when it is.
fn check_setting(node: &Node, of: &SettingOf, name: &str, value: &str) -> Result<(), SqlError> {
    if name == SESSION_TOKEN {
        let message = format!("parameter \"{name}\" is a session's own");
        return Err(SqlError::new(ErrorKind::InvalidSetting, message));
    }
    match of {
        SettingOf::System if is_of_cluster(name) => ClusterValues::default().assign(name, value),
        _ => Settings::new(node.identity.cluster, "").start(name, value),
    }
}

async fn check_superuser(node: &Node, actor: &str, what: &str) -> Result<(), SqlError> {
    let roles = node.lock.book.read(node.system()).await?;
    if roles.roles.get(actor).is_some_and(|role| role.superuser) {
        return Ok(());
    }
    let message = format!("permission denied: {what} is for superusers");
    Err(SqlError::new(ErrorKind::Forbidden, message))
}

async fn want(
    node: &Arc<Node>,
    which: NodeId,
    standing: Standing,
    settings: &Settings,
) -> Result<(), SqlError> {
    node.members.read(node.system(), &node.data_dir).await?;
    let members = node.members.current();
    let Some(member) = members.get(which) else {
        let message = match members.is_removed(which) {
            true if standing == Standing::Removed => return Ok(()),
            true => format!("node {which} was removed from the cluster"),
            false => format!("there is no node {which} in the cluster"),
        };
        return Err(SqlError::new(ErrorKind::UndefinedNode, message)
            .with_hint("See \"bellwether node list\". A node joins with \"bellwether serve --join\"."));
    };
    let votes = |member: &&Member| member.standing == Standing::Voter && member.node != which;
    if standing != Standing::Voter && members.present().filter(votes).count() == 0 {
        let message = format!("node {which} is the only one that votes");
        return Err(SqlError::new(ErrorKind::WrongState, message)
            .with_hint("Let another node join, or promote a learner, first."));
    }
    if member.standing == standing {
        return Ok(());
    }
    // Two at a time must not take the last votes: looked at again where it is executed.
    let statement = Statement::bound(
        "UPDATE nodes SET standing = $1 WHERE id = $2 AND ($1 = 'voter' OR EXISTS \
         (SELECT 1 FROM nodes WHERE standing = 'voter' AND id <> $2))",
        vec![
            Value::Text(standing.name().to_owned()),
            Value::Integer(which.0.cast_signed()),
        ],
    );
    system::change(node, vec![statement], settings).await?;
    node.members.read(node.system(), &node.data_dir).await
}

/// A node that removes itself stops before.
async fn wait_until_so(node: &Node, which: NodeId, standing: Standing) -> Result<(), SqlError> {
    let is_so = |group: &Configuration| match standing {
        Standing::Voter => group.voters.contains(&which),
        Standing::Learner => group.learners.contains(&which),
        Standing::Removed => !group.contains(which),
    };
    for replica in node.replicas.iter() {
        let mut group = replica.group.clone();
        tokio::select! {
            () = node.stop.asked() => {}
            // An error: the replica has stopped, and the node will.
            _ = group.wait_for(|group| is_so(&group.configuration)) => {}
        }
    }
    Ok(())
}
