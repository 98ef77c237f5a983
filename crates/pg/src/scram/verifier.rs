//! What is kept of a password: enough to recognise it, not enough to log in with.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// PostgreSQL's default, which RFC 7677 names as the least.
pub const ITERATIONS: u32 = 4096;

/// More would let one login by HTTP keep a core for seconds.
pub const MAX_ITERATIONS: u32 = 1_000_000;

/// Salt of a new verifier, as in PostgreSQL.
pub const SALT_BYTES: usize = 16;

/// The longest salt that is taken with a verifier made elsewhere.
const MAX_SALT_BYTES: usize = 256;

const PREFIX: &str = "SCRAM-SHA-256$";

/// SHA-256's output.
pub(super) type Key = [u8; 32];

/// A password's verifier (RFC 5802, section 3), printed as PostgreSQL prints it:
/// `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    pub(super) iterations: u32,
    pub(super) salt: Vec<u8>,
    pub(super) stored_key: Key,
    pub(super) server_key: Key,
}

impl Verifier {
    /// Of a password. Takes milliseconds: that is its purpose. `salt` must be random.
    pub fn new(password: &str, salt: [u8; SALT_BYTES]) -> Verifier {
        Verifier::derive(password, &salt, ITERATIONS)
    }

    pub(super) fn derive(password: &str, salt: &[u8], iterations: u32) -> Verifier {
        let mut salted = Key::default();
        pbkdf2::pbkdf2_hmac::<Sha256>(&prepare(password), salt, iterations, &mut salted);
        Verifier {
            iterations,
            salt: salt.to_vec(),
            stored_key: hash(&keyed_hash(&salted, &[b"Client Key"])),
            server_key: keyed_hash(&salted, &[b"Server Key"]),
        }
    }

    /// For a role that has none: what its client is told does not give that away. The same `key` and name make the
    /// same verifier, at every node and every try; no password fits it.
    pub fn mock(key: &[u8], role: &str) -> Verifier {
        let of = |what: &[u8]| keyed_hash(key, &[what, role.as_bytes()]);
        Verifier {
            iterations: ITERATIONS,
            salt: of(b"mock salt ")[..SALT_BYTES].to_vec(),
            stored_key: of(b"mock stored key "),
            server_key: of(b"mock server key "),
        }
    }

    /// Reads what [`Verifier`] prints; `None` for anything else, also for PostgreSQL's own with limits beyond ours.
    pub fn parse(text: &str) -> Option<Verifier> {
        let (head, keys) = text.strip_prefix(PREFIX)?.split_once('$')?;
        let (iterations, salt) = head.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let key = |text| Key::try_from(BASE64_STANDARD.decode(text).ok()?).ok();
        let verifier = Verifier {
            iterations: iterations.parse().ok()?,
            salt: BASE64_STANDARD.decode(salt).ok()?,
            stored_key: key(stored_key)?,
            server_key: key(server_key)?,
        };
        let is_usable = (1..=MAX_ITERATIONS).contains(&verifier.iterations)
            && (1..=MAX_SALT_BYTES).contains(&verifier.salt.len());
        is_usable.then_some(verifier)
    }

    /// Whether it is this password's. For doors where the password itself arrives; takes as long as `new`.
    pub fn is_of(&self, password: &str) -> bool {
        let other = Verifier::derive(password, &self.salt, self.iterations);
        other.stored_key.ct_eq(&self.stored_key).into()
    }
}

/// As it is stored and as `CREATE ROLE … PASSWORD` takes it.
impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
        let (salt, stored, server) = (text(&self.salt), text(&self.stored_key), text(&self.server_key));
        write!(f, "{PREFIX}{}:{salt}${stored}:{server}", self.iterations)
    }
}

/// A verifier lets whoever has it try passwords: it is no thing for logs.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(…)")
    }
}

/// SASLprep (RFC 4013). What it forbids is taken byte by byte, as PostgreSQL and its clients do.
fn prepare(password: &str) -> Vec<u8> {
    match stringprep::saslprep(password) {
        Ok(prepared) => prepared.as_bytes().to_vec(),
        Err(_) => password.as_bytes().to_vec(),
    }
}

pub(super) fn hash(bytes: &[u8]) -> Key {
    Sha256::digest(bytes).into()
}

pub(super) fn keyed_hash(key: &[u8], parts: &[&[u8]]) -> Key {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Salt and password of RFC 7677, section 3.
    fn of_the_rfc() -> Verifier {
        let salt = BASE64_STANDARD
            .decode("W22ZaJ0SNY7soEsUEjb6gQ==")
            .expect("base64");
        Verifier::derive("pencil", &salt, 4096)
    }

    #[test]
    fn a_verifier_reads_back_as_it_prints() {
        let verifier = of_the_rfc();
        // The keys that follow from the RFC's proof and signature, as PostgreSQL computes them too.
        let text = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
                    wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
        assert_eq!(verifier.to_string(), text);
        assert_eq!(Verifier::parse(text), Some(verifier));
    }

    #[test]
    fn a_password_is_recognised_and_another_is_not() {
        let verifier = of_the_rfc();
        assert!(verifier.is_of("pencil"));
        assert!(!verifier.is_of("Pencil"));
        assert!(!Verifier::mock(b"key", "ada").is_of(""));
    }

    #[test]
    fn passwords_that_look_alike_after_saslprep_are_one() {
        let salt = [7; SALT_BYTES];
        // RFC 4013, section 3: a soft hyphen goes, a Roman numeral nine becomes letters.
        assert_eq!(Verifier::new("I\u{ad}X", salt), Verifier::new("IX", salt));
        assert_eq!(Verifier::new("\u{2168}", salt), Verifier::new("IX", salt));
        // What it forbids is a password all the same.
        assert!(Verifier::new("bell\u{7}", salt).is_of("bell\u{7}"));
    }

    #[test]
    fn what_is_no_verifier_is_told_apart() {
        let good = of_the_rfc().to_string();
        for bad in [
            "",
            "pencil",
            "md5a3556571e93b0d20722ba62be61e8c2d",
            &good[..good.len() - 1],
            &good.replace("4096", "0"),
            &good.replace("4096", "4294967295"),
            &good.replace("SHA-256", "SHA-1"),
            &good.replace("W22ZaJ0SNY7soEsUEjb6gQ==", ""),
            &format!("{good}x"),
        ] {
            assert_eq!(Verifier::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_role_that_does_not_exist_has_the_same_salt_at_every_try() {
        assert_eq!(
            Verifier::mock(b"key", "ada").salt,
            Verifier::mock(b"key", "ada").salt
        );
        assert_ne!(
            Verifier::mock(b"key", "ada").salt,
            Verifier::mock(b"key", "bob").salt
        );
        assert_ne!(
            Verifier::mock(b"key", "ada").salt,
            Verifier::mock(b"other", "ada").salt
        );
    }

    #[test]
    fn a_verifier_does_not_end_up_in_logs() {
        assert_eq!(format!("{:?}", of_the_rfc()), "Verifier(…)");
    }
}
