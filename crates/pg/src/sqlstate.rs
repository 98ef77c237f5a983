//! Kinds of errors as SQLSTATEs: the one place. Codes are PostgreSQL's (appendix A of its manual); where it has
//! none for a situation, the one that drivers treat rightly was chosen and the reason stands beside it.

use bellwether_types::ErrorKind;

/// The five characters that drivers look at.
pub fn sqlstate(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Syntax => "42601",
        ErrorKind::UndefinedTable => "42P01",
        ErrorKind::UndefinedColumn => "42703",
        ErrorKind::UndefinedFunction => "42883",
        ErrorKind::DuplicateTable => "42P07",
        ErrorKind::DuplicateColumn => "42701",
        ErrorKind::AmbiguousColumn => "42702",
        ErrorKind::UniqueViolation => "23505",
        ErrorKind::NotNullViolation => "23502",
        ErrorKind::ForeignKeyViolation => "23503",
        ErrorKind::CheckViolation => "23514",
        ErrorKind::IntegrityViolation => "23000",
        ErrorKind::DatatypeMismatch => "42804",
        ErrorKind::InvalidText => "22P02",
        ErrorKind::OutOfRange => "22003",
        ErrorKind::NotUtf8 => "22021",
        ErrorKind::NotSupported => "0A000",
        ErrorKind::Forbidden => "42501",
        ErrorKind::ReadOnly => "25006",
        ErrorKind::ProgramLimit => "54000",
        ErrorKind::TooManyConnections => "53300",
        ErrorKind::TransactionFailed => "25P02",
        ErrorKind::TransactionState => "25P01",
        ErrorKind::UndefinedSavepoint => "3B001",
        ErrorKind::Serialization => "40001",
        ErrorKind::LockTimeout => "55P03",
        ErrorKind::IdleInTransaction => "25P03",
        // One code for three ways to be cut short, as in PostgreSQL; the message tells them apart.
        ErrorKind::Cancelled | ErrorKind::StatementTimeout | ErrorKind::WaitTimeout => "57014",
        // object_not_in_prerequisite_state: what WAIT FOR LSN says after a promotion.
        ErrorKind::WrongBranch | ErrorKind::WrongState => "55000",
        // cannot_connect_now: libpq then tries the next host.
        ErrorKind::NoLeader => "57P03",
        // statement_completion_unknown.
        ErrorKind::UnknownOutcome => "40003",
        // transaction_resolution_unknown, a class of connections: it is the last word on one.
        ErrorKind::UnknownResolution => "08007",
        ErrorKind::TransactionLost => "40000",
        ErrorKind::ShuttingDown => "57P01",
        ErrorKind::UndefinedDatabase => "3D000",
        ErrorKind::InvalidAuthorization => "28000",
        ErrorKind::InvalidPassword => "28P01",
        // undefined_object and duplicate_object: PostgreSQL has no codes of their own for roles.
        ErrorKind::UndefinedRole => "42704",
        ErrorKind::UndefinedNode | ErrorKind::UndefinedSlot => "42704",
        ErrorKind::DuplicateSlot => "42710",
        ErrorKind::TooManySlots => "53400",
        ErrorKind::InvalidName => "42602",
        ErrorKind::LogCut => "58P01",
        ErrorKind::ClusterSetting => "55P02",
        ErrorKind::DuplicateRole => "42710",
        ErrorKind::RoleInUse => "55006",
        ErrorKind::UndefinedSetting => "42704",
        ErrorKind::InvalidSetting => "22023",
        ErrorKind::UndefinedStatement => "26000",
        ErrorKind::UndefinedCursor => "34000",
        ErrorKind::DuplicateStatement => "42P05",
        ErrorKind::DuplicateCursor => "42P03",
        ErrorKind::BadCopy => "22P04",
        ErrorKind::Protocol | ErrorKind::WrongParameterCount => "08P01",
        ErrorKind::DiskFull => "53100",
        ErrorKind::DataCorrupted => "XX001",
        ErrorKind::Io => "58030",
        ErrorKind::OutOfMemory => "53200",
        ErrorKind::Internal => "XX000",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_well_formed_code() {
        for &kind in ErrorKind::ALL {
            let code = sqlstate(kind);
            assert!(
                code.len() == 5 && code.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn what_clients_retry_on_is_what_they_look_for() {
        for (kind, code) in [
            (ErrorKind::Serialization, "40001"),
            (ErrorKind::UnknownOutcome, "40003"),
            (ErrorKind::UnknownResolution, "08007"),
            (ErrorKind::NoLeader, "57P03"),
            (ErrorKind::UniqueViolation, "23505"),
            (ErrorKind::LockTimeout, "55P03"),
            (ErrorKind::NotSupported, "0A000"),
        ] {
            assert_eq!(sqlstate(kind), code);
        }
    }
}
