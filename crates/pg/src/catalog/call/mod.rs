//! Functions over the catalog and about the session.

mod describe;
mod name;
mod notify;
mod privilege;
mod session;
mod size;
mod type_name;

use bellwether_types::{
    Arity, Call, Facts, ObjectId, ScalarFunction, Schema, SizeOf, SqlError, Value, ValueRef,
};

use crate::types::Type;
pub(super) use type_name::type_name;

type Args<'a, 'v> = &'a [ValueRef<'v>];
type Answer = Result<Value, SqlError>;

const fn of_schema(
    name: &'static str,
    arguments: Arity,
    call: fn(Args<'_, '_>, &Schema, &Facts) -> Answer,
) -> ScalarFunction {
    ScalarFunction {
        name,
        arguments,
        call: Call::Schema(call),
    }
}

const fn of_session(
    name: &'static str,
    arguments: Arity,
    call: fn(Args<'_, '_>, &Facts) -> Answer,
) -> ScalarFunction {
    ScalarFunction {
        name,
        arguments,
        call: Call::Session(call),
    }
}

/// Of one that looks at roles, or at this build.
const fn of_node(
    name: &'static str,
    arguments: Arity,
    call: fn(Args<'_, '_>, &Facts) -> Answer,
) -> ScalarFunction {
    ScalarFunction {
        name,
        arguments,
        call: Call::Node(call),
    }
}

const fn of_size(
    name: &'static str,
    arguments: Arity,
    call: fn(Args<'_, '_>, &Schema) -> Option<SizeOf>,
) -> ScalarFunction {
    ScalarFunction {
        name,
        arguments,
        call: Call::Size(call),
    }
}

/// There is nothing to tell: NULL, as PostgreSQL answers for what is not there.
const fn nothing(name: &'static str, min: u8, max: u8) -> ScalarFunction {
    of_session(name, Arity::between(min, max), |_, _| Ok(Value::Null))
}

const NONE: Arity = Arity::exactly(0);
const ONE: Arity = Arity::exactly(1);
const TWO: Arity = Arity::exactly(2);

/// All of them, to be registered in SQLite.
pub const FUNCTIONS: &[ScalarFunction] = &[
    of_session("format_type", TWO, type_name::format_type),
    of_session("pg_get_expr", Arity::between(2, 3), describe::expression),
    of_schema("pg_get_indexdef", ONE, describe::index),
    of_schema("pg_get_indexdef", Arity::exactly(3), describe::index_column),
    of_schema("pg_get_constraintdef", Arity::between(1, 2), describe::constraint),
    of_schema("pg_get_viewdef", Arity::between(1, 2), describe::view),
    of_schema("pg_get_ruledef", Arity::between(1, 2), describe::rule),
    of_schema("pg_get_triggerdef", Arity::between(1, 2), describe::trigger),
    nothing("pg_get_functiondef", 1, 1),
    nothing("pg_get_function_arguments", 1, 1),
    nothing("pg_get_function_identity_arguments", 1, 1),
    nothing("pg_get_function_result", 1, 1),
    nothing("pg_get_function_sqlbody", 1, 1),
    nothing("pg_get_partkeydef", 1, 1),
    nothing("pg_get_partition_constraintdef", 1, 1),
    nothing("pg_get_statisticsobjdef", 1, 1),
    nothing("pg_get_statisticsobjdef_columns", 1, 1),
    of_schema("pg_get_serial_sequence", TWO, name::serial_sequence),
    nothing("pg_get_replica_identity_index", 1, 1),
    nothing("obj_description", 1, 2),
    nothing("col_description", 2, 2),
    nothing("shobj_description", 2, 2),
    of_schema("pg_relation_filenode", ONE, describe::filenode),
    of_schema("pg_relation_is_publishable", ONE, describe::is_publishable),
    of_schema("pg_table_is_visible", ONE, describe::is_table_visible),
    of_session("pg_type_is_visible", ONE, privilege::always),
    of_session("pg_function_is_visible", ONE, privilege::always),
    of_session("pg_operator_is_visible", ONE, privilege::always),
    of_session("pg_opclass_is_visible", ONE, privilege::always),
    of_session("pg_opfamily_is_visible", ONE, privilege::always),
    of_session("pg_collation_is_visible", ONE, privilege::always),
    of_session("pg_conversion_is_visible", ONE, privilege::always),
    of_session("pg_statistics_obj_is_visible", ONE, privilege::always),
    of_session("pg_ts_config_is_visible", ONE, privilege::always),
    of_session("pg_ts_dict_is_visible", ONE, privilege::always),
    of_session("pg_ts_parser_is_visible", ONE, privilege::always),
    of_session("pg_ts_template_is_visible", ONE, privilege::always),
    of_node("pg_get_userbyid", ONE, name::user_by_id),
    of_schema("regclassin", ONE, name::class_in),
    of_schema("regclassout", ONE, name::class_out),
    of_schema("to_regclass", ONE, name::to_class),
    of_session("regtypein", ONE, name::type_in),
    of_session("regtypeout", ONE, name::type_out),
    of_session("to_regtype", ONE, name::to_type),
    of_session("regnamespacein", ONE, name::namespace_in),
    of_session("regnamespaceout", ONE, name::namespace_out),
    of_session("to_regnamespace", ONE, name::to_namespace),
    of_node("regrolein", ONE, name::role_in),
    of_node("regroleout", ONE, name::role_out),
    of_node("to_regrole", ONE, name::to_role),
    of_session("regprocin", ONE, name::function_in),
    of_session("regprocout", ONE, name::function_out),
    of_session("to_regproc", ONE, name::to_function),
    of_session("regprocedurein", ONE, name::function_in),
    of_session("regprocedureout", ONE, name::function_out),
    of_session("regoperin", ONE, name::operator_in),
    of_session("regoperout", ONE, name::operator_out),
    of_session("regoperatorin", ONE, name::operator_in),
    of_session("regoperatorout", ONE, name::operator_out),
    of_node("has_table_privilege", Arity::between(2, 3), privilege::table),
    of_node("has_any_column_privilege", Arity::between(2, 3), privilege::table),
    of_node("has_column_privilege", Arity::between(3, 4), privilege::column),
    of_node("has_schema_privilege", Arity::between(2, 3), privilege::schema),
    of_node(
        "has_database_privilege",
        Arity::between(2, 3),
        privilege::database,
    ),
    of_node(
        "has_sequence_privilege",
        Arity::between(2, 3),
        privilege::sequence,
    ),
    of_session("has_function_privilege", Arity::between(2, 3), privilege::always),
    of_session("has_type_privilege", Arity::between(2, 3), privilege::always),
    of_session("has_language_privilege", Arity::between(2, 3), privilege::always),
    of_session(
        "has_tablespace_privilege",
        Arity::between(2, 3),
        privilege::always,
    ),
    of_session("has_server_privilege", Arity::between(2, 3), privilege::always),
    of_session(
        "has_foreign_data_wrapper_privilege",
        Arity::between(2, 3),
        privilege::always,
    ),
    of_node("pg_has_role", Arity::between(2, 3), privilege::has_role),
    of_session("pg_column_is_updatable", Arity::exactly(3), privilege::always),
    of_session("row_security_active", ONE, privilege::never),
    of_session("pg_is_other_temp_schema", ONE, privilege::never),
    of_size("pg_relation_size", Arity::between(1, 2), size::relation),
    of_size("pg_table_size", ONE, size::relation),
    of_size("pg_indexes_size", ONE, size::indexes),
    of_size("pg_total_relation_size", ONE, size::with_indexes),
    of_size("pg_database_size", ONE, size::database),
    nothing("pg_tablespace_size", 1, 1),
    of_session("pg_size_pretty", ONE, size::pretty),
    of_session("pg_tablespace_location", ONE, session::tablespace_location),
    of_session("pg_encoding_to_char", ONE, session::encoding_to_char),
    of_session("pg_char_to_encoding", ONE, session::char_to_encoding),
    of_session("getdatabaseencoding", NONE, session::encoding),
    of_session("pg_client_encoding", NONE, session::encoding),
    of_node("version", NONE, session::version),
    of_session("current_database", NONE, session::database),
    of_session("current_schema", NONE, session::schema),
    of_session("current_schemas", ONE, session::schemas),
    of_session("current_user", NONE, session::user),
    of_session("session_user", NONE, session::user),
    of_session("current_setting", Arity::between(1, 2), session::setting),
    of_session("set_config", Arity::exactly(3), session::set_config),
    // There are no advisory locks, so none is left to be let go of: pools ask for it.
    nothing("pg_advisory_unlock_all", 0, 0),
    of_session("pg_backend_pid", NONE, session::backend_pid),
    of_session("pg_is_in_recovery", NONE, session::is_in_recovery),
    of_session("pg_current_xact_id", NONE, session::transaction),
    of_session(
        "pg_current_xact_id_if_assigned",
        NONE,
        session::transaction_if_writing,
    ),
    of_session("pg_xact_status", ONE, session::transaction_status),
    of_session("pg_postmaster_start_time", NONE, session::server_started),
    of_session("pg_conf_load_time", NONE, session::server_started),
    of_session("pg_my_temp_schema", NONE, session::no_object),
    of_session("inet_server_addr", NONE, session::server_address),
    of_session("inet_server_port", NONE, session::server_port),
    of_session("inet_client_addr", NONE, session::client_address),
    of_session("inet_client_port", NONE, session::client_port),
    ScalarFunction {
        name: "pg_notify",
        arguments: TWO,
        call: Call::Notify(notify::notify),
    },
];

/// What calls of these functions are described as; text where nothing is said.
pub fn result_type(name: &str) -> Option<Type> {
    if !FUNCTIONS.iter().any(|function| function.name == name) {
        return None;
    }
    Some(match name {
        "pg_relation_is_publishable"
        | "pg_has_role"
        | "pg_column_is_updatable"
        | "row_security_active"
        | "pg_is_other_temp_schema"
        | "pg_is_in_recovery" => Type::Bool,
        _ if name.ends_with("_is_visible") || name.starts_with("has_") => Type::Bool,
        _ if (name.starts_with("reg") && name.ends_with("in")) || name.starts_with("to_reg") => Type::Oid,
        "pg_relation_filenode" | "pg_my_temp_schema" => Type::Oid,
        "pg_backend_pid" | "pg_char_to_encoding" | "inet_server_port" | "inet_client_port" => Type::Int4,
        "pg_get_userbyid"
        | "current_database"
        | "current_schema"
        | "current_user"
        | "session_user"
        | "pg_encoding_to_char"
        | "getdatabaseencoding"
        | "pg_client_encoding" => Type::Name,
        "current_schemas" => Type::NameArray,
        "pg_postmaster_start_time" | "pg_conf_load_time" => Type::Timestamptz,
        _ if name.ends_with("_size") => Type::Int8,
        _ => Type::Text,
    })
}

/// An argument as a number, which may be written as text.
fn number_of(value: ValueRef<'_>) -> Option<i64> {
    match value {
        ValueRef::Integer(number) => Some(number),
        ValueRef::Text(_) => value.as_str()?.trim().parse().ok(),
        _ => None,
    }
}

/// An argument as an object's number.
fn id_of(value: ValueRef<'_>) -> Option<ObjectId> {
    number_of(value)
        .and_then(|number| u32::try_from(number).ok())
        .map(ObjectId)
}

/// NULL for what is not there.
fn maybe(value: Option<Value>) -> Answer {
    Ok(value.unwrap_or_default())
}
