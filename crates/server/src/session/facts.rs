//! What the session's functions and catalog tables tell about it, wherever its statements run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bellwether_session::Settings;
use bellwether_session::settings::SESSION_TOKEN;
use bellwether_types::{ClusterId, Facts, LostWrite, ReplicationFacts, RequestId};
use tokio::sync::watch;

use crate::lock::Roles;

/// Made anew when a setting has changed: sessions run many statements under the same.
pub(crate) struct SessionFacts {
    facts: Arc<Facts>,
    cluster: ClusterId,
    /// Of the settings that the facts tell; `None`: none yet.
    revision: Option<u64>,
    roles: Option<watch::Receiver<Arc<Roles>>>,
}

impl SessionFacts {
    /// Of a session that begins now, at a node that has run for a while; all but the settings is known.
    pub fn new(cluster: ClusterId, uptime_us: i64, facts: Facts) -> SessionFacts {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_us = i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX);
        SessionFacts {
            facts: Arc::new(Facts {
                server_started_at_us: now_us - uptime_us,
                session_started_at_us: now_us,
                ..facts
            }),
            cluster,
            revision: None,
            roles: None,
        }
    }

    /// Tells of these roles from here on.
    pub fn follow(&mut self, mut roles: watch::Receiver<Arc<Roles>>) {
        roles.mark_changed();
        self.roles = Some(roles);
    }

    /// Tells this from here on.
    pub fn set_replication(&mut self, replication: ReplicationFacts) {
        Arc::make_mut(&mut self.facts).replication = Arc::new(replication);
    }

    /// Tells these from here on, and no others.
    pub fn set_lost_writes(&mut self, lost: Vec<LostWrite>) {
        Arc::make_mut(&mut self.facts).lost_writes = Arc::new(lost);
    }

    /// Tells this from here on; `is_writing`: it has been given to the leader.
    pub fn set_transaction(&mut self, request: RequestId, is_writing: bool) {
        let facts = Arc::make_mut(&mut self.facts);
        facts.transaction = request.to_string();
        facts.has_writer = is_writing;
    }

    /// Tells these from here on, and no others.
    pub fn set_outcomes(&mut self, outcomes: BTreeMap<String, String>) {
        Arc::make_mut(&mut self.facts).outcomes = outcomes;
    }

    /// Whose session it is.
    pub fn user(&self) -> &str {
        &self.facts.user
    }

    /// As they are now.
    pub fn current(&mut self, settings: &Settings) -> Arc<Facts> {
        if self.revision.replace(settings.revision()) != Some(settings.revision()) {
            let fresh = Settings::new(self.cluster, &self.facts.user).show_all();
            let all = settings.show_all();
            // Both list the same settings in the same order. What was seen grows with every commit.
            let changed = all
                .into_iter()
                .zip(fresh)
                .filter(|(now, fresh)| now.1 != fresh.1 && now.0 != SESSION_TOKEN);
            let facts = Arc::make_mut(&mut self.facts);
            facts.settings = changed
                .map(|((name, value, _), _)| (name.to_ascii_lowercase(), value))
                .collect();
            facts.is_in_recovery = facts
                .settings
                .get("in_hot_standby")
                .is_some_and(|value| value == "on");
        }
        if let Some(roles) = &mut self.roles
            && roles.has_changed().unwrap_or(false)
        {
            let known = Arc::clone(&roles.borrow_and_update().facts);
            Arc::make_mut(&mut self.facts).roles = known;
        }
        Arc::clone(&self.facts)
    }
}

#[cfg(test)]
mod tests {
    use bellwether_session::SetScope;

    use super::*;

    #[test]
    fn facts_follow_the_settings() {
        let cluster = ClusterId(7);
        let mut settings = Settings::new(cluster, "ada");
        let of = Facts {
            user: "ada".to_owned(),
            ..Facts::default()
        };
        let mut facts = SessionFacts::new(cluster, 0, of);
        let first = facts.current(&settings);
        assert!(first.settings.is_empty() && !first.is_in_recovery);
        assert!(
            Arc::ptr_eq(&first, &facts.current(&settings)),
            "nothing has changed"
        );
        settings
            .set(SetScope::Session, "application_name", "flock")
            .expect("a setting");
        settings.set_in_hot_standby(true);
        let second = facts.current(&settings);
        assert_eq!(second.settings["application_name"], "flock");
        assert!(second.is_in_recovery);
    }
}
