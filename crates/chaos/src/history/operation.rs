//! What a client asks for and is told, of all workloads.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An operation. When it is invoked, what only the database knows is `None`; when it is `ok`, it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "f", content = "value", rename_all = "kebab-case")]
pub enum Operation {
    /// list-append: one transaction.
    Txn(Vec<Step>),
    /// register: key, and the value that was read. An `ok` read of `None` found no value yet.
    Read(i64, Option<i64>),
    /// register: key and value.
    Write(i64, i64),
    /// register: key, then the value that must be there and the value that replaces it. `fail` when another is there.
    Cas(i64, (i64, i64)),
    /// bank: from one account to another. `fail` when there is not enough.
    Transfer {
        /// Whose balance shrinks.
        from: i64,
        /// Whose balance grows.
        to: i64,
        /// At least 1.
        amount: i64,
    },
    /// bank: account and balance of every account.
    Balances(Option<Vec<(i64, i64)>>),
    /// set: one element, which nobody else adds.
    Add(i64),
    /// set: every element, in any order.
    Elements(Option<Vec<i64>>),
}

/// A step of a transaction over lists; Elle's notation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "RawStep", into = "RawStep")]
pub enum Step {
    /// Key and element: the element is put at the list's end. No other step appends it to that key.
    Append(i64, i64),
    /// Key and the whole list, `None` until it is known.
    Read(i64, Option<Vec<i64>>),
}

/// `["append", key, element]`, `["r", key, list]`.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum RawStep {
    Append(AppendWord, i64, i64),
    Read(ReadWord, i64, Option<Vec<i64>>),
}

#[derive(Serialize, Deserialize)]
enum AppendWord {
    #[serde(rename = "append")]
    Append,
}

#[derive(Serialize, Deserialize)]
enum ReadWord {
    #[serde(rename = "r")]
    Read,
}

impl From<RawStep> for Step {
    fn from(raw: RawStep) -> Step {
        match raw {
            RawStep::Append(AppendWord::Append, key, element) => Step::Append(key, element),
            RawStep::Read(ReadWord::Read, key, list) => Step::Read(key, list),
        }
    }
}

impl From<Step> for RawStep {
    fn from(step: Step) -> RawStep {
        match step {
            Step::Append(key, element) => RawStep::Append(AppendWord::Append, key, element),
            Step::Read(key, list) => RawStep::Read(ReadWord::Read, key, list),
        }
    }
}

impl Operation {
    /// Whether it changes anything when it succeeds. One that does not has certainly done nothing, however it ended.
    pub fn writes(&self) -> bool {
        match self {
            Operation::Txn(steps) => steps.iter().any(|step| matches!(step, Step::Append(..))),
            Operation::Write(..) | Operation::Cas(..) | Operation::Transfer { .. } | Operation::Add(_) => {
                true
            }
            Operation::Read(..) | Operation::Balances(_) | Operation::Elements(_) => false,
        }
    }
}

/// For the reader of a verdict: long lists are shown by their ends.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operation::Txn(steps) => {
                let steps: Vec<String> = steps.iter().map(Step::to_string).collect();
                f.write_str(&steps.join(", "))
            }
            Operation::Read(key, None) => write!(f, "read {key}: nothing"),
            Operation::Read(key, Some(value)) => write!(f, "read {key}: {value}"),
            Operation::Write(key, value) => write!(f, "write {key}: {value}"),
            Operation::Cas(key, (old, new)) => write!(f, "cas {key}: {old} to {new}"),
            Operation::Transfer { from, to, amount } => write!(f, "transfer {amount} from {from} to {to}"),
            Operation::Balances(None) => f.write_str("balances"),
            Operation::Balances(Some(balances)) => write!(f, "balances {balances:?}"),
            Operation::Add(element) => write!(f, "add {element}"),
            Operation::Elements(None) => f.write_str("elements"),
            Operation::Elements(Some(elements)) => write!(f, "elements {}", shown(elements)),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Append(key, element) => write!(f, "append {element} to {key}"),
            Step::Read(key, None) => write!(f, "read {key}"),
            Step::Read(key, Some(list)) => write!(f, "read {key}: {}", shown(list)),
        }
    }
}

/// Not more of a list than fits on a line.
fn shown(list: &[i64]) -> String {
    const AT_EACH_END: usize = 16;
    if list.len() <= 2 * AT_EACH_END {
        return format!("{list:?}");
    }
    let (first, last) = (&list[..AT_EACH_END], &list[list.len() - AT_EACH_END..]);
    format!("{first:?} … {last:?} ({} in all)", list.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(operation: &Operation) -> String {
        serde_json::to_string(operation).expect("JSON")
    }

    #[test]
    fn operations_are_written_as_documented_and_read_back() {
        let txn = Operation::Txn(vec![
            Step::Append(1, 5),
            Step::Read(2, None),
            Step::Read(1, Some(vec![4, 5])),
        ]);
        for (operation, text) in [
            (
                txn,
                r#"{"f":"txn","value":[["append",1,5],["r",2,null],["r",1,[4,5]]]}"#,
            ),
            (Operation::Read(3, None), r#"{"f":"read","value":[3,null]}"#),
            (Operation::Write(3, 4), r#"{"f":"write","value":[3,4]}"#),
            (Operation::Cas(3, (4, 5)), r#"{"f":"cas","value":[3,[4,5]]}"#),
            (
                Operation::Transfer {
                    from: 1,
                    to: 2,
                    amount: 3,
                },
                r#"{"f":"transfer","value":{"from":1,"to":2,"amount":3}}"#,
            ),
            (Operation::Balances(None), r#"{"f":"balances","value":null}"#),
            (
                Operation::Balances(Some(vec![(0, 10)])),
                r#"{"f":"balances","value":[[0,10]]}"#,
            ),
            (Operation::Add(7), r#"{"f":"add","value":7}"#),
            (
                Operation::Elements(Some(vec![7])),
                r#"{"f":"elements","value":[7]}"#,
            ),
        ] {
            assert_eq!(json(&operation), text);
            assert_eq!(
                serde_json::from_str::<Operation>(text).expect("reads back"),
                operation
            );
        }
    }

    #[test]
    fn what_is_no_step_is_refused() {
        for text in [r#"["append",1]"#, r#"["w",1,2]"#, r#"["r",1,2]"#, "7"] {
            serde_json::from_str::<Step>(text).expect_err(text);
        }
    }

    #[test]
    fn a_long_list_is_shown_by_its_ends() {
        let text = Operation::Elements(Some((0..1_000).collect())).to_string();
        assert!(text.len() < 250 && text.ends_with("999] (1000 in all)"), "{text}");
    }
}
