//! NOTIFY: each line of the ledger is told to whoever listens, by a trigger.

use std::sync::LazyLock;

use bellwether_types::{
    Arity, Call, ErrorKind, Extension, Facts, Notification, ScalarFunction, SqlError, ValueRef,
};

pub(crate) const TRIGGER: &str =
    "CREATE TRIGGER ledger_tells AFTER INSERT ON ledger BEGIN SELECT tell(new.mark); END";

/// The function that the trigger calls.
pub(crate) static EXTENSION: LazyLock<Extension> = LazyLock::new(|| Extension {
    functions: vec![FUNCTIONS],
    tables: Vec::new(),
});

const FUNCTIONS: &[ScalarFunction] = &[ScalarFunction {
    name: "tell",
    arguments: Arity::exactly(1),
    call: Call::Notify(tell),
}];

fn tell(arguments: &[ValueRef<'_>], _: &Facts) -> Result<Notification, SqlError> {
    match arguments {
        [ValueRef::Integer(mark)] => Ok(Notification {
            sender: 0,
            channel: "ledger".to_owned(),
            payload: mark.to_string(),
        }),
        _ => Err(SqlError::new(ErrorKind::Internal, "a mark is a number")),
    }
}

/// The marks that notifications tell of.
pub(crate) fn marks(notifications: &[Notification]) -> Vec<i64> {
    notifications
        .iter()
        .map(|notification| notification.payload.parse().expect("written by `tell`"))
        .collect()
}
