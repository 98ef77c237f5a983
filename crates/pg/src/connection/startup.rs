//! From the first byte to the first ReadyForQuery.

use bellwether_session::Settings;
use bellwether_types::{ErrorKind, SqlError};

use super::{Connection, Phase, Request, Startup, Step, Waiting, Welcome};
use crate::backend::{Authentication, Severity};
use crate::frontend::{Frontend, Opening, tag};
use crate::input::SHORT_LIMIT_BYTES;
use crate::sqlstate::sqlstate;

/// What the client wants, until it is let in.
#[derive(Debug)]
pub(super) struct Pending {
    startup: Startup,
    /// Settings in the order sent, `options` after the others.
    options: Vec<(String, String)>,
}

impl Connection {
    pub(super) fn step_opening(&mut self) -> Option<Step> {
        let frame = match self.input.opening() {
            Ok(frame) => frame?,
            Err(error) => {
                self.abort(&error.into());
                return Some(Step::Done);
            }
        };
        let body = self.input.body(&frame).to_vec();
        self.input.consume(&frame);
        Some(match Opening::decode(&body) {
            Ok(Opening::SslRequest) if self.config.offers_tls => self.agree_to_tls(),
            Ok(Opening::SslRequest | Opening::GssRequest) => {
                self.output.refuse_encryption();
                self.must_flush = true;
                Step::Done
            }
            Ok(Opening::Cancel(key)) => {
                self.phase = Phase::Closed;
                Step::Ask(Request::Cancel(key))
            }
            Ok(Opening::Startup { minor, parameters }) => match self.start(minor, &parameters) {
                Ok(startup) => Step::Ask(Request::Authenticate(startup)),
                Err(error) => {
                    self.abort(&error);
                    Step::Done
                }
            },
            Err(error) => {
                self.abort(&error.into());
                Step::Done
            }
        })
    }

    /// What is in the buffer already was sent in clear, perhaps by somebody between the client and us: it must not
    /// be taken for what the client says inside TLS.
    fn agree_to_tls(&mut self) -> Step {
        if !self.input.is_empty() {
            let message = "received unencrypted data after SSL request";
            let error = SqlError::new(ErrorKind::Protocol, message).with_detail(
                "This could be either a client-software bug or evidence of an attempted attack.",
            );
            self.abort(&error);
            return Step::Done;
        }
        self.output.agree_to_encryption();
        self.must_flush = true;
        Step::Ask(Request::StartTls)
    }

    /// All that is received from now on comes by way of TLS.
    pub fn tls_started(&mut self) {
        self.config.offers_tls = false;
    }

    fn start(&mut self, minor: u16, parameters: &[(&str, &str)]) -> Result<Startup, SqlError> {
        let is_extension = |name: &str| name.starts_with("_pq_.");
        let unknown: Vec<&str> = parameters
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| is_extension(name))
            .collect();
        if minor > 0 || !unknown.is_empty() {
            self.output.negotiate_protocol_version(0, &unknown);
        }
        let mut user = None;
        let mut database = None;
        let mut options = Vec::new();
        let mut command_line = "";
        for &(name, value) in parameters.iter().filter(|(name, _)| !is_extension(name)) {
            match name {
                "user" => user = Some(value.to_owned()),
                "database" => database = Some(value.to_owned()).filter(|name| !name.is_empty()),
                "options" => command_line = value,
                "replication" if matches!(value, "" | "false" | "off" | "no" | "0") => {}
                "replication" => {
                    return Err(SqlError::new(
                        ErrorKind::NotSupported,
                        "replication connections are not supported",
                    ));
                }
                _ => options.push((name.to_owned(), value.to_owned())),
            }
        }
        let user = user.filter(|user| !user.is_empty()).ok_or_else(|| {
            SqlError::new(
                ErrorKind::InvalidAuthorization,
                "no PostgreSQL user name specified in startup packet",
            )
        })?;
        options.extend(parse_command_line(command_line)?);
        let startup = Startup {
            database: database.unwrap_or_else(|| user.clone()),
            user,
        };
        self.startup = Some(Pending {
            startup: startup.clone(),
            options,
        });
        self.phase = Phase::Authenticating;
        self.waiting = Waiting::Authentication;
        Ok(startup)
    }

    /// The client's answer to a challenge.
    pub(super) fn step_authentication(&mut self) -> Option<Step> {
        let frame = match self.input.message(SHORT_LIMIT_BYTES) {
            Ok(frame) => frame?,
            Err(error) => {
                self.abort(&error.into());
                return Some(Step::Done);
            }
        };
        let body = self.input.body(&frame).to_vec();
        self.input.consume(&frame);
        Some(match Frontend::decode(frame.tag, &body) {
            Ok(Frontend::Password(answer)) => {
                self.waiting = Waiting::Authentication;
                Step::Ask(Request::Password(answer.to_vec()))
            }
            Ok(Frontend::Terminate) => {
                self.phase = Phase::Closed;
                Step::Ask(Request::Terminate)
            }
            Ok(_) | Err(_) => {
                let expected = char::from(tag::PASSWORD);
                let message = format!(
                    "expected a password message ('{expected}'), got type {}",
                    frame.tag
                );
                self.abort(&SqlError::new(ErrorKind::Protocol, message));
                Step::Done
            }
        })
    }

    /// Answers `Authenticate` or `Password`: ask for (more) proof.
    pub fn challenge(&mut self, step: &Authentication) {
        if self.is_closed() {
            return;
        }
        debug_assert!(
            matches!(self.waiting, Waiting::Authentication),
            "nobody waits to be let in"
        );
        self.waiting = Waiting::Nothing;
        self.output.authentication(step);
        self.must_flush = true;
    }

    /// Answers `Authenticate` or `Password`: come in. The client's options may still be wrong; then it is told so
    /// and the connection is closed.
    pub fn accept(&mut self, welcome: &Welcome) {
        if self.is_closed() {
            return;
        }
        debug_assert!(
            matches!(self.waiting, Waiting::Authentication),
            "nobody waits to be let in"
        );
        self.waiting = Waiting::Nothing;
        let Some(pending) = self.startup.take() else {
            return;
        };
        self.settings = Settings::new(self.config.cluster, &pending.startup.user);
        self.settings.set_in_hot_standby(welcome.in_hot_standby);
        // The role's defaults are a superuser's word, whoever it is that logs in.
        for (name, value) in &welcome.defaults {
            // It was checked when it was set; a version that does not know it any more must not lock the role out.
            if let Err(error) = self.settings.start(name, value) {
                self.output
                    .notice(Severity::Warning, sqlstate(error.kind), &error);
            }
        }
        self.settings.set_superuser(welcome.is_superuser);
        for (name, value) in &pending.options {
            if let Err(error) = self.settings.start(name, value) {
                return self.abort(&error);
            }
        }
        self.phase = Phase::Open;
        if let Some(signature) = &welcome.signature {
            let last = Authentication::SaslFinal(signature.clone());
            self.output.authentication(&last);
        }
        self.output.authentication(&Authentication::Ok);
        self.report_settings();
        self.output.backend_key_data(welcome.key);
        self.ready();
    }
}

/// `-c name=value`, `-cname=value` and `--name=value`, as the server's command line has them. A backslash takes
/// the meaning from the character after it.
fn parse_command_line(text: &str) -> Result<Vec<(String, String)>, SqlError> {
    let mut words = split_words(text).into_iter();
    let mut options = Vec::new();
    while let Some(word) = words.next() {
        let invalid = || {
            SqlError::new(
                ErrorKind::InvalidSetting,
                format!("invalid connection option \"{word}\": expected -c name=value"),
            )
        };
        let assignment = match word.strip_prefix("--").or(word.strip_prefix("-c")) {
            Some("") if word == "-c" => words.next().ok_or_else(invalid)?,
            Some(rest) if !rest.is_empty() => rest.to_owned(),
            _ => return Err(invalid()),
        };
        let (name, value) = assignment.split_once('=').ok_or_else(invalid)?;
        options.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(options)
}

fn split_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = None::<String>;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character.is_ascii_whitespace() {
            words.extend(word.take());
            continue;
        }
        let character = if character == '\\' {
            characters.next()
        } else {
            Some(character)
        };
        word.get_or_insert_default().extend(character);
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_a_command_line() {
        let parsed = parse_command_line(r"-c a.b=1  -cc=x\ y --statement-timeout=5s").expect("valid");
        let expected = [("a.b", "1"), ("c", "x y"), ("statement_timeout", "5s")];
        assert_eq!(
            parsed,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
        for text in ["-c", "x", "-c a", "-d a=b", "--"] {
            assert!(parse_command_line(text).is_err(), "{text}");
        }
    }
}
