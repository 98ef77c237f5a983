//! SQL's PREPARE and EXECUTE. What PREPARE makes is a prepared statement like those of the extended protocol, which can
//! bind it, too. EXECUTE binds values to one as Bind does: constants at once; other arguments are first computed by a
//! query of their own, each once, where no column of the statement can be seen.

use std::sync::{Arc, OnceLock};

use bellwether_types::lexer::{self, Token, TokenKind};
use bellwether_types::{CommandTag, ErrorKind, SqlError, Statement, Value, ValueRef};

use super::execute::highest_parameter;
use super::extended::{MAX_STATEMENTS, count_parameters, of_parameter};
use super::{Connection, Prepared, Purpose, Step, Transaction};
use crate::command::{Command, Execute, Prepare};
use crate::dialect::{cast_constant, cast_name};
use crate::types::{Format, Type, parameter};

/// What an EXECUTE comes to.
pub(super) enum Call {
    /// This statement with these parameters.
    Ready {
        prepared: Arc<Prepared>,
        parameters: Vec<Value>,
    },
    /// Something must be asked first; then the same is tried again.
    After(Step),
}

impl Prepared {
    /// For CommandComplete; `None`: it is a command that the connection carries out itself.
    pub(super) fn verb(&self) -> Option<&str> {
        match &self.command {
            Command::Sql { verb } => Some(verb),
            _ => None,
        }
    }

    /// The type that was said for the parameter at `index`, from 0, if values can be cast to it.
    fn declared_type(&self, index: usize) -> Option<Type> {
        Type::from_oid(*self.client_types.get(index)?)
    }

    /// A value as Bind would give it: a text whose type was not said is read as what is inferred.
    fn bound(&self, index: usize, value: Value) -> Result<Value, SqlError> {
        match (value, self.declared_type(index)) {
            (Value::Text(text), None) => {
                parameter::decode(self.parameter_type(index), Format::Text, text.as_bytes())
                    .map_err(|error| of_parameter(index, error))
            }
            (value, _) => Ok(value),
        }
    }

    /// The arguments' values, if all of them are constants.
    fn constants(&self, arguments: &[String]) -> Option<Vec<Value>> {
        let value = |(index, argument): (usize, &String)| {
            let constant = constant(argument)?;
            match self.declared_type(index) {
                Some(type_) => cast_constant(&constant, type_),
                None => Some(constant),
            }
        };
        arguments.iter().enumerate().map(value).collect()
    }

    /// The query that computes the arguments.
    fn query_of(&self, arguments: &[String]) -> String {
        let item = |(index, argument): (usize, &String)| match self.declared_type(index) {
            Some(type_) => format!("({argument})::{}", cast_name(type_)),
            None => format!("({argument})"),
        };
        let items: Vec<String> = arguments.iter().enumerate().map(item).collect();
        format!("SELECT {}", items.join(", "))
    }
}

/// A text, a number with or without a sign, TRUE, FALSE, NULL.
fn constant(sql: &str) -> Option<Value> {
    let mut tokens = lexer::significant(sql);
    let mut token = tokens.next()?;
    let is_signed = token.is_operator("-") || token.is_operator("+");
    let is_negative = token.is_operator("-");
    if is_signed {
        token = tokens.next().filter(|token| token.kind == TokenKind::Number)?;
    }
    if tokens.next().is_some() {
        return None;
    }
    match token.kind {
        TokenKind::Text => Some(Value::Text(token.unquoted())),
        TokenKind::Number => number(&token, is_negative),
        _ if token.is_word("NULL") => Some(Value::Null),
        _ if token.is_word("TRUE") => Some(Value::Integer(1)),
        _ if token.is_word("FALSE") => Some(Value::Integer(0)),
        _ => None,
    }
}

/// As SQLite reads it; `None`: only SQLite does.
fn number(token: &Token<'_>, is_negative: bool) -> Option<Value> {
    let text = match is_negative {
        true => format!("-{}", token.text),
        false => token.text.to_owned(),
    };
    match text.parse() {
        Ok(number) => Some(Value::Integer(number)),
        Err(_) => text
            .parse()
            .ok()
            .filter(|real: &f64| real.is_finite())
            .map(Value::Real),
    }
}

/// Why the arguments of an EXECUTE were not computed.
pub(super) fn not_one_row() -> SqlError {
    let message = "set-returning functions are not allowed in EXECUTE parameters";
    SqlError::new(ErrorKind::NotSupported, message)
        .with_hint("Write them into the statement that is prepared.")
}

impl Connection {
    /// A new statement may have this name, and there is room for it.
    pub(super) fn check_statement_name(&self, name: &str) -> Result<(), SqlError> {
        let is_known = self.statements.contains_key(name);
        if is_known && !name.is_empty() {
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(SqlError::new(ErrorKind::DuplicateStatement, message));
        }
        if !is_known && self.statements.len() >= MAX_STATEMENTS {
            return Err(
                SqlError::new(ErrorKind::ProgramLimit, "too many prepared statements")
                    .with_hint("DEALLOCATE those that are no longer used."),
            );
        }
        Ok(())
    }

    /// Described first, so that a statement that cannot be compiled is refused now.
    pub(super) fn prepare(&mut self, prepare: &Prepare) -> Result<Step, SqlError> {
        self.check_statement_name(&prepare.name)?;
        let parameter_count = count_parameters(&prepare.sql, &prepare.types)?;
        let Some(description) = self.description.take() else {
            return Ok(self.ask_description(&prepare.sql, Some(prepare.start)));
        };
        let prepared = Prepared {
            sql: prepare.sql.clone(),
            command: Command::Sql {
                verb: lexer::verb(&prepare.sql).unwrap_or_default(),
            },
            client_types: prepare.types.clone(),
            parameter_count,
            described: OnceLock::from(description),
        };
        self.statements.insert(prepare.name.clone(), Arc::new(prepared));
        self.complete_command(CommandTag::plain("PREPARE"));
        Ok(Step::Done)
    }

    /// EXECUTE in a simple query.
    pub(super) fn execute(&mut self, execute: &Execute, is_last: bool) -> Result<Step, SqlError> {
        if self.transaction == Transaction::None && !is_last {
            return Ok(Step::AskFirst(self.begin_implicit()));
        }
        let (prepared, parameters) = match self.call(execute)? {
            Call::Ready { prepared, parameters } => (prepared, parameters),
            Call::After(step) => return Ok(step),
        };
        let statement = Statement::bound(prepared.sql.clone(), parameters);
        let verb = prepared.verb().unwrap_or_default();
        Ok(Step::Ask(
            self.ask_rows(self.run(statement, verb), Purpose::Execute),
        ))
    }

    /// The statement that an EXECUTE names.
    pub(super) fn statement_to_execute(&self, name: &str) -> Result<Arc<Prepared>, SqlError> {
        let prepared = self.statement(name)?;
        if prepared.verb().is_none() {
            let message = format!("prepared statement \"{name}\" cannot be run by EXECUTE");
            return Err(SqlError::new(ErrorKind::NotSupported, message)
                .with_hint("Bind it by the protocol, or send its text."));
        }
        Ok(prepared)
    }

    /// What an EXECUTE binds to its statement.
    pub(super) fn call(&mut self, execute: &Execute) -> Result<Call, SqlError> {
        let prepared = self.statement_to_execute(&execute.name)?;
        let (count, given) = (prepared.parameter_count, execute.arguments.len());
        if given != count {
            let message = format!(
                "wrong number of parameters for prepared statement \"{}\"",
                execute.name
            );
            return Err(SqlError::new(ErrorKind::WrongParameterCount, message)
                .with_detail(format!("Expected {count} parameters but got {given}.")));
        }
        if count > 0
            && !prepared.all_types_said()
            && let Some(ask) = self.describe_first(&prepared)?
        {
            return Ok(Call::After(ask));
        }
        let values = match self.computed.take() {
            Some(values) => values,
            None => match prepared.constants(&execute.arguments) {
                Some(values) => values,
                None => return self.compute(&prepared, &execute.arguments).map(Call::After),
            },
        };
        if values.len() != count {
            return Err(SqlError::new(
                ErrorKind::Internal,
                "the arguments of EXECUTE were answered with other columns",
            ));
        }
        let values = values.into_iter().enumerate();
        let parameters = values
            .map(|(index, value)| prepared.bound(index, value))
            // Types may be declared for more than there are.
            .take(highest_parameter(&prepared.sql))
            .collect::<Result<_, _>>()?;
        Ok(Call::Ready { prepared, parameters })
    }

    /// Has the arguments computed. They read no table, so that it is no matter when.
    fn compute(&mut self, prepared: &Prepared, arguments: &[String]) -> Result<Step, SqlError> {
        let query = prepared.query_of(arguments);
        let begins_query = |token: Token<'_>| {
            ["SELECT", "VALUES", "TABLE"]
                .iter()
                .any(|word| token.is_word(word))
        };
        if lexer::significant(&query).skip(1).any(begins_query) {
            let message = "cannot use subquery in EXECUTE parameter";
            return Err(SqlError::new(ErrorKind::NotSupported, message)
                .with_hint("Write it into the statement that is prepared."));
        }
        if highest_parameter(&query) > 0 {
            let message = "there are no parameters in the arguments of EXECUTE";
            return Err(SqlError::new(ErrorKind::WrongParameterCount, message)
                .with_hint("Bind the values to the prepared statement itself, by its name."));
        }
        self.settings.begin();
        let run = self.run(Statement::new(query), "SELECT");
        Ok(Step::AskFirst(self.ask_rows(run, Purpose::Arguments)))
    }

    /// A row of computed arguments: there is to be one.
    pub(super) fn take_arguments<'v>(
        &mut self,
        row: impl IntoIterator<Item = ValueRef<'v>>,
    ) -> Result<(), SqlError> {
        if self.computed.is_some() {
            return Err(not_one_row());
        }
        let values = row.into_iter().map(ValueRef::to_value);
        let values = values.collect::<Result<Vec<_>, _>>()?;
        if values.iter().map(Value::size_bytes).sum::<usize>() > self.config.max_message_bytes {
            let message = "the arguments of EXECUTE are longer than a message may be";
            return Err(SqlError::new(ErrorKind::ProgramLimit, message));
        }
        self.computed = Some(values);
        Ok(())
    }
}
