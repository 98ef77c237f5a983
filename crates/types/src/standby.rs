//! Which standbys a commit waits for besides the quorum: PostgreSQL's `synchronous_standby_names`.
//!
//! <https://www.postgresql.org/docs/15/runtime-config-replication.html#GUC-SYNCHRONOUS-STANDBY-NAMES>

use std::fmt;
use std::str::FromStr;

use crate::error::{ErrorKind, SqlError};
use crate::id::NodeId;
use crate::lexer::{self, Token, TokenKind};

/// The most standbys that a rule may name.
const NAMES_MAX: usize = 64;

/// `ANY k (…)`, `FIRST k (…)`, or nothing: the quorum alone decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StandbyRule {
    /// Absent: nobody is waited for.
    choice: Option<Choice>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Choice {
    method: Method,
    count: usize,
    /// In the order of their priority.
    names: Vec<Name>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    /// As many of those named.
    Any,
    /// The first of those named that are there.
    First,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Node(NodeId),
    /// `*`
    All,
}

/// What a node is to the rule, as `pg_stat_replication.sync_state` calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncState {
    /// Nobody waits for it.
    Async,
    /// It is waited for once one of those before it is gone.
    Potential,
    /// It is waited for.
    Sync,
    /// It is one of those of whom some are waited for.
    Quorum,
}

impl SyncState {
    /// PostgreSQL's word.
    pub fn name(self) -> &'static str {
        match self {
            SyncState::Async => "async",
            SyncState::Potential => "potential",
            SyncState::Sync => "sync",
            SyncState::Quorum => "quorum",
        }
    }
}

/// How a node is called in the rule, and where standbys are listed.
pub fn standby_name(node: NodeId) -> String {
    format!("node_{node}")
}

impl StandbyRule {
    /// Whether nobody is waited for.
    pub fn is_empty(&self) -> bool {
        self.choice.is_none()
    }

    /// The place of a node in the rule's list, from 1; 0: it is not in it.
    pub fn priority(&self, node: NodeId) -> usize {
        let Some(choice) = &self.choice else { return 0 };
        let is_it = |name: &Name| matches!(name, Name::All) || *name == Name::Node(node);
        match (choice.names.iter().position(is_it), choice.method) {
            (None, _) => 0,
            (Some(_), Method::Any) => 1,
            (Some(place), Method::First) => place + 1,
        }
    }

    /// Whether enough of them have what is waited for. `standbys` are all members but the leader: the node, whether it was
    /// heard of lately, and whether it has it.
    pub fn is_met(&self, standbys: &[(NodeId, bool, bool)]) -> bool {
        let Some(choice) = &self.choice else { return true };
        let has = |node: NodeId| standbys.iter().any(|(other, _, has)| *other == node && *has);
        match choice.method {
            Method::Any => {
                let named = standbys.iter().filter(|(node, ..)| self.priority(*node) > 0);
                named.filter(|(_, _, has)| *has).count() >= choice.count
            }
            Method::First => {
                let chosen = self.chosen(standbys.iter().map(|(node, is_there, _)| (*node, *is_there)));
                chosen.len() >= choice.count && chosen.into_iter().all(has)
            }
        }
    }

    /// The first that are there, of those in the list; by number where the list does not tell them apart.
    fn chosen(&self, standbys: impl Iterator<Item = (NodeId, bool)>) -> Vec<NodeId> {
        let count = self.choice.as_ref().map_or(0, |choice| choice.count);
        let mut there: Vec<(usize, NodeId)> = standbys
            .filter(|(node, is_there)| *is_there && self.priority(*node) > 0)
            .map(|(node, _)| (self.priority(node), node))
            .collect();
        there.sort_unstable();
        there.truncate(count);
        there.into_iter().map(|(_, node)| node).collect()
    }

    /// What a node is to the rule; `standbys`: all members but the leader, and whether each was heard of lately.
    pub fn sync_state(&self, node: NodeId, standbys: &[(NodeId, bool)]) -> SyncState {
        match &self.choice {
            Some(choice) if self.priority(node) > 0 => match choice.method {
                Method::Any => SyncState::Quorum,
                Method::First if self.chosen(standbys.iter().copied()).contains(&node) => SyncState::Sync,
                Method::First => SyncState::Potential,
            },
            _ => SyncState::Async,
        }
    }
}

impl fmt::Display for StandbyRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(choice) = &self.choice else { return Ok(()) };
        let names: Vec<String> = choice.names.iter().map(Name::to_string).collect();
        let method = match choice.method {
            Method::Any => "ANY",
            Method::First => "FIRST",
        };
        write!(f, "{method} {} ({})", choice.count, names.join(", "))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Node(node) => f.write_str(&standby_name(*node)),
            Name::All => f.write_str("*"),
        }
    }
}

impl FromStr for StandbyRule {
    type Err = SqlError;

    /// PostgreSQL's grammar; the names are those of nodes: `node_2`.
    fn from_str(text: &str) -> Result<StandbyRule, SqlError> {
        let wrong = |why: &str| {
            let message = format!("invalid value for parameter \"synchronous_standby_names\": \"{text}\"");
            SqlError::new(ErrorKind::InvalidSetting, message)
                .with_detail(why)
                .with_hint("For example: ANY 1 (*), FIRST 2 (node_2, node_3), * or nothing.")
        };
        let mut tokens = lexer::significant(text).peekable();
        if tokens.peek().is_none() {
            return Ok(StandbyRule::default());
        }
        let is_word = |token: &Token<'_>, word: &str| token.is_word(word);
        let mut method = Method::First;
        if let Some(word) = tokens.next_if(|token| is_word(token, "ANY") || is_word(token, "FIRST")) {
            if is_word(&word, "ANY") {
                method = Method::Any;
            }
            if tokens.peek().is_none_or(|token| token.kind != TokenKind::Number) {
                return Err(wrong("After ANY and FIRST comes a number."));
            }
        }
        let number = tokens.next_if(|token| token.kind == TokenKind::Number);
        let count = match number {
            None => 1,
            Some(number) => match number.text.parse::<usize>() {
                Ok(count @ 1..=NAMES_MAX) => count,
                _ => return Err(wrong("The number of standbys is from 1 to 64.")),
            },
        };
        let in_brackets = number.is_some();
        if in_brackets && tokens.next_if(|token| token.text == "(").is_none() {
            return Err(wrong("The names are in brackets."));
        }
        let mut names = Vec::new();
        loop {
            let name = tokens.next().and_then(|token| name(&token));
            names.push(
                name.ok_or_else(|| wrong("Standbys are called node_1, node_2 and so on, or * for all."))?,
            );
            if tokens.next_if(|token| token.text == ",").is_none() {
                break;
            }
        }
        if in_brackets && tokens.next_if(|token| token.text == ")").is_none() {
            return Err(wrong("The bracket is not closed."));
        }
        if tokens.next().is_some() {
            return Err(wrong("Something follows its end."));
        }
        let nodes = names.iter().filter(|name| **name != Name::All).count();
        if names.len() > NAMES_MAX || (nodes == names.len() && count > nodes) {
            return Err(wrong("It asks for more standbys than it names."));
        }
        let choice = Choice { method, count, names };
        Ok(StandbyRule { choice: Some(choice) })
    }
}

fn name(token: &Token<'_>) -> Option<Name> {
    let text = token.text.trim_matches('"').to_ascii_lowercase();
    if text == "*" {
        return Some(Name::All);
    }
    match text.strip_prefix("node_")?.parse() {
        Ok(node) if node > 0 => Some(Name::Node(NodeId(node))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> StandbyRule {
        text.parse().expect(text)
    }

    #[test]
    fn postgresqls_forms_are_read_and_printed_in_full() {
        for (text, printed) in [
            ("", ""),
            ("  ", ""),
            ("*", "FIRST 1 (*)"),
            ("node_2, node_3", "FIRST 1 (node_2, node_3)"),
            ("2 (node_2, \"node_3\")", "FIRST 2 (node_2, node_3)"),
            ("first 1 (NODE_2)", "FIRST 1 (node_2)"),
            ("ANY 2 (*)", "ANY 2 (*)"),
            ("any 1(node_12,*)", "ANY 1 (node_12, *)"),
        ] {
            let read = rule(text);
            assert_eq!(read.to_string(), printed, "{text:?}");
            assert_eq!(rule(printed), read, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_rule_is_refused_with_an_example() {
        for text in [
            "ANY (node_1)",
            "ANY 0 (*)",
            "ANY 65 (*)",
            "ANY 1.5 (*)",
            "ANY 3 (node_1, node_2)",
            "2 node_1",
            "ANY 1 (node_1",
            "ANY 1 (node_1) x",
            "node_1,",
            "ANY 1 ()",
            "walreceiver",
            "node_0",
            "node_",
            "'*'",
        ] {
            let error = text.parse::<StandbyRule>().expect_err(text);
            assert_eq!(error.kind, ErrorKind::InvalidSetting, "{text}");
            assert!(error.hint.is_some(), "{text}");
        }
    }

    #[test]
    fn any_waits_for_as_many_whoever_they_are() {
        let rule = rule("ANY 2 (*)");
        let of = |has: [bool; 3]| [2, 3, 4].map(|node| (NodeId(node), true, has[node as usize - 2]));
        assert!(!rule.is_met(&of([false, false, true])));
        assert!(rule.is_met(&of([true, false, true])));
        assert!(rule.is_met(&of([true, true, true])));
        // One that has it counts though it was not heard of since.
        assert!(rule.is_met(&[(NodeId(2), false, true), (NodeId(3), true, true)]));
        assert!(!rule.is_met(&[]));
    }

    #[test]
    fn any_of_named_ones_does_not_count_others() {
        let rule = rule("ANY 1 (node_2)");
        assert!(!rule.is_met(&[(NodeId(2), true, false), (NodeId(3), true, true)]));
        assert!(rule.is_met(&[(NodeId(2), true, true), (NodeId(3), true, false)]));
    }

    #[test]
    fn first_waits_for_the_first_that_are_there() {
        let rule = rule("FIRST 1 (node_2, node_3)");
        let is_met = |second: (bool, bool), third: (bool, bool)| {
            rule.is_met(&[(NodeId(2), second.0, second.1), (NodeId(3), third.0, third.1)])
        };
        assert!(is_met((true, true), (true, false)));
        assert!(!is_met((true, false), (true, true)), "node 2 comes first");
        assert!(is_met((false, false), (true, true)), "node 2 is gone");
        assert!(!is_met((false, true), (false, true)), "nobody is there");
    }

    #[test]
    fn each_standby_is_told_what_it_is() {
        let all = [(NodeId(2), true), (NodeId(3), true), (NodeId(4), true)];
        let first = rule("FIRST 1 (node_3, node_2)");
        let states = [2, 3, 4].map(|node| first.sync_state(NodeId(node), &all).name());
        assert_eq!(states, ["potential", "sync", "async"]);
        assert_eq!([2, 3, 4].map(|node| first.priority(NodeId(node))), [2, 1, 0]);
        let any = rule("ANY 1 (node_2)");
        let states = [2, 3].map(|node| any.sync_state(NodeId(node), &all).name());
        assert_eq!(states, ["quorum", "async"]);
        let none = StandbyRule::default();
        assert_eq!(none.sync_state(NodeId(2), &all), SyncState::Async);
    }
}
