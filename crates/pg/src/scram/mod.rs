//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, the server's side (RFC 5802, 7677, 5929), as PostgreSQL speaks it.
//!
//! The driver brings nonce, salt and verifier: nothing here draws at random or reads a clock. An [`Exchange`] takes
//! the two messages of a client, in order, and says what to answer. A role without a verifier gets one made up
//! ([`Verifier::mock`]) and is refused at the end, as with a wrong password: same messages, same work.
//! Channel binding is `tls-server-end-point`, the only type PostgreSQL's clients use.
//! Does not count tries or slow them down: that is the driver's.

mod verifier;

use base64::prelude::{BASE64_STANDARD, Engine};
use bellwether_types::{ErrorKind, SqlError};
use subtle::ConstantTimeEq;

use crate::backend::Authentication;
pub use verifier::{ITERATIONS, MAX_ITERATIONS, SALT_BYTES, Verifier};
use verifier::{Key, hash, keyed_hash};

const PLAIN: &str = "SCRAM-SHA-256";
const PLUS: &str = "SCRAM-SHA-256-PLUS";
const BINDING_TYPE: &str = "tls-server-end-point";

/// Bytes of our half of the nonce, as in PostgreSQL.
pub const NONCE_BYTES: usize = 18;

/// One login.
#[derive(Debug)]
pub struct Exchange {
    verifier: Verifier,
    is_known: bool,
    nonce: String,
    /// The hash of our certificate, where channel binding is possible.
    binding: Option<Vec<u8>>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    First,
    Final {
        /// What the client must repeat in base64: its header, and with PLUS our certificate's hash.
        bound: Vec<u8>,
        /// The client's nonce and ours.
        nonce: String,
        /// The messages that both sides sign, up to the last.
        messages: String,
    },
    Over,
}

/// What to answer to a client's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send this, by [`Connection::challenge`](crate::Connection::challenge), and wait for the next message.
    Ask(Authentication),
    /// The client knows the password. The server's signature goes out with the welcome.
    Proven {
        /// For [`Welcome::signature`](crate::connection::Welcome::signature).
        signature: Vec<u8>,
    },
    /// It does not, or the role has none.
    Refused,
}

impl Exchange {
    /// A login with this verifier; `is_known` is false for one that was made up. `binding` is the hash of the
    /// server's certificate, when the connection is inside TLS and the certificate has one.
    pub fn new(
        verifier: Verifier,
        is_known: bool,
        nonce: [u8; NONCE_BYTES],
        binding: Option<Vec<u8>>,
    ) -> Exchange {
        Exchange {
            verifier,
            is_known,
            nonce: BASE64_STANDARD.encode(nonce),
            binding,
            stage: Stage::First,
        }
    }

    /// What to offer the client first.
    pub fn offer(&self) -> Authentication {
        let plus = self.binding.as_ref().map(|_| PLUS.to_owned());
        Authentication::Sasl(plus.into_iter().chain([PLAIN.to_owned()]).collect())
    }

    /// Whether the next message is the client's proof: the moment to let those wait who have failed before.
    pub fn awaits_proof(&self) -> bool {
        matches!(self.stage, Stage::Final { .. })
    }

    /// Takes the content of a client's password message. An error ends the login.
    pub fn handle(&mut self, message: &[u8]) -> Result<Step, SqlError> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::First => self.first(message),
            Stage::Final {
                bound,
                nonce,
                messages,
            } => self.last(message, &bound, &nonce, messages),
            Stage::Over => Err(malformed("The exchange is over.")),
        }
    }

    fn first(&mut self, message: &[u8]) -> Result<Step, SqlError> {
        let (mechanism, message) = split_initial(message)?;
        let wants_plus = match mechanism {
            PLAIN => false,
            PLUS if self.binding.is_some() => true,
            _ => {
                let message = "client selected an invalid SASL authentication mechanism";
                return Err(SqlError::new(ErrorKind::Protocol, message));
            }
        };
        let first = ClientFirst::parse(message)?;
        match first.flag {
            Flag::Bound(BINDING_TYPE) if wants_plus => {}
            Flag::Bound(other) if wants_plus => {
                let message = format!("unsupported SCRAM channel-binding type \"{other}\"");
                return Err(SqlError::new(ErrorKind::Protocol, message));
            }
            Flag::NotSupported if !wants_plus => {}
            Flag::NotOffered if !wants_plus && self.binding.is_none() => {}
            // Somebody between us took PLUS out of our offer.
            Flag::NotOffered if !wants_plus => return Err(downgraded()),
            _ => return Err(malformed("The channel-binding flag does not fit the mechanism.")),
        }
        let nonce = format!("{}{}", first.nonce, self.nonce);
        let salt = BASE64_STANDARD.encode(&self.verifier.salt);
        let answer = format!("r={nonce},s={salt},i={}", self.verifier.iterations);
        let mut bound = first.header.as_bytes().to_vec();
        if wants_plus {
            bound.extend(self.binding.iter().flatten());
        }
        self.stage = Stage::Final {
            bound,
            nonce,
            messages: format!("{},{answer}", first.bare),
        };
        Ok(Step::Ask(Authentication::SaslContinue(answer.into_bytes())))
    }

    fn last(&self, message: &[u8], bound: &[u8], nonce: &str, messages: String) -> Result<Step, SqlError> {
        let last = ClientFinal::parse(text(message)?)?;
        if last.bound != BASE64_STANDARD.encode(bound) {
            return Err(SqlError::new(
                ErrorKind::InvalidAuthorization,
                "SCRAM channel binding check failed",
            )
            .with_detail("The client is connected to another TLS certificate than this server's."));
        }
        if last.nonce != nonce {
            return Err(malformed("Nonce does not match."));
        }
        let signed = format!("{messages},{}", last.without_proof);
        let signature = keyed_hash(&self.verifier.stored_key, &[signed.as_bytes()]);
        let mut client_key = last.proof;
        client_key
            .iter_mut()
            .zip(signature)
            .for_each(|(key, mask)| *key ^= mask);
        // The same work for a role that does not exist.
        let fits: bool = hash(&client_key).ct_eq(&self.verifier.stored_key).into();
        let signature = keyed_hash(&self.verifier.server_key, &[signed.as_bytes()]);
        if !(fits & self.is_known) {
            return Ok(Step::Refused);
        }
        let signature = format!("v={}", BASE64_STANDARD.encode(signature)).into_bytes();
        Ok(Step::Proven { signature })
    }
}

/// SASLInitialResponse: the mechanism's name, a length, the mechanism's first message.
fn split_initial(message: &[u8]) -> Result<(&str, &str), SqlError> {
    let split = || {
        let end = message.iter().position(|&byte| byte == 0)?;
        let (length, rest) = message[end + 1..].split_first_chunk::<4>()?;
        let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
        (length == rest.len()).then_some((&message[..end], rest))
    };
    let (mechanism, rest) =
        split().ok_or_else(|| malformed("The initial response is cut off or missing."))?;
    Ok((text(mechanism)?, text(rest)?))
}

/// What the client says about channel binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flag<'a> {
    /// `n`: it cannot.
    NotSupported,
    /// `y`: it could, and thinks that we cannot.
    NotOffered,
    /// `p`: of this type.
    Bound(&'a str),
}

/// client-first-message.
struct ClientFirst<'a> {
    flag: Flag<'a>,
    /// Flag and authorization identity, with their commas.
    header: &'a str,
    /// What follows: the part that is signed.
    bare: &'a str,
    nonce: &'a str,
}

impl ClientFirst<'_> {
    fn parse(message: &str) -> Result<ClientFirst<'_>, SqlError> {
        let (flag, rest) = message
            .split_once(',')
            .ok_or_else(|| malformed("A comma is missing."))?;
        let (identity, bare) = rest
            .split_once(',')
            .ok_or_else(|| malformed("A comma is missing."))?;
        let flag = match flag {
            "n" => Flag::NotSupported,
            "y" => Flag::NotOffered,
            other => Flag::Bound(
                other
                    .strip_prefix("p=")
                    .ok_or_else(|| malformed("The channel-binding flag is none of n, y, p."))?,
            ),
        };
        if !identity.is_empty() {
            let message = "client uses authorization identity, but it is not supported";
            return Err(SqlError::new(ErrorKind::NotSupported, message));
        }
        if bare.starts_with("m=") {
            let message = "client requires an unsupported SCRAM extension";
            return Err(SqlError::new(ErrorKind::NotSupported, message));
        }
        let mut attributes = bare.split(',');
        // The name is the startup message's, as in PostgreSQL; libpq leaves it empty.
        attribute(&mut attributes, "n=")?;
        let nonce = attribute(&mut attributes, "r=")?;
        if nonce.is_empty() || !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(malformed("Non-printable characters in SCRAM nonce."));
        }
        Ok(ClientFirst {
            flag,
            header: &message[..message.len() - bare.len()],
            bare,
            nonce,
        })
    }
}

/// client-final-message.
struct ClientFinal<'a> {
    bound: &'a str,
    nonce: &'a str,
    proof: Key,
    without_proof: &'a str,
}

impl ClientFinal<'_> {
    fn parse(message: &str) -> Result<ClientFinal<'_>, SqlError> {
        let (without_proof, proof) = message
            .rsplit_once(",p=")
            .ok_or_else(|| malformed("The proof is missing."))?;
        let proof = BASE64_STANDARD.decode(proof).ok();
        let proof = proof.and_then(|proof| Key::try_from(proof).ok());
        let mut attributes = without_proof.split(',');
        Ok(ClientFinal {
            bound: attribute(&mut attributes, "c=")?,
            nonce: attribute(&mut attributes, "r=")?,
            proof: proof.ok_or_else(|| malformed("The proof is not 32 bytes in base64."))?,
            without_proof,
        })
    }
}

fn attribute<'a>(attributes: &mut impl Iterator<Item = &'a str>, name: &str) -> Result<&'a str, SqlError> {
    let value = attributes
        .next()
        .and_then(|attribute| attribute.strip_prefix(name));
    value.ok_or_else(|| malformed(&format!("Expected attribute \"{}\".", &name[..1])))
}

fn text(bytes: &[u8]) -> Result<&str, SqlError> {
    std::str::from_utf8(bytes).map_err(|_| malformed("It is not UTF-8."))
}

fn malformed(detail: &str) -> SqlError {
    SqlError::new(ErrorKind::Protocol, "malformed SCRAM message").with_detail(detail)
}

fn downgraded() -> SqlError {
    SqlError::new(
        ErrorKind::InvalidAuthorization,
        "SCRAM channel binding negotiation error",
    )
    .with_detail(
        "The client supports SCRAM channel binding but thinks the server does not, and this server does.",
    )
}

#[cfg(test)]
mod tests;
