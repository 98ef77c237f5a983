//! The cluster's secret: what a node proves to another before anything else is said.
//!
//! Both sides draw a nonce and show that they know the secret by an HMAC over everything said so far, each under a
//! label of its own, so that no proof can be sent back as the other's. Inside TLS the transcript begins with the
//! channel's own key material: a proof is worth nothing on another channel, so the certificate need not be known.

use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Of a nonce, of a proof and of a channel's key material.
pub(crate) const PROOF_BYTES: usize = 32;

/// Fewer cannot be random enough; a file that is larger is no secret.
const LENGTHS: std::ops::RangeInclusive<usize> = 32..=4096;

/// A cluster's. Never printed.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why a file holds no secret.
#[derive(Debug)]
pub enum BadSecret {
    /// It cannot be read.
    Io(io::Error),
    /// Other users of the machine can read it.
    Readable,
    /// Too short or too long.
    Length(usize),
}

impl fmt::Display for BadSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadSecret::Io(error) => write!(f, "{error}"),
            BadSecret::Readable => write!(f, "other users can read it; chmod 600 it"),
            BadSecret::Length(bytes) => write!(
                f,
                "it has {bytes} bytes, where a secret has from {} to {}; make one with: openssl rand -hex 32",
                LENGTHS.start(),
                LENGTHS.end()
            ),
        }
    }
}

impl std::error::Error for BadSecret {}

/// Who proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The one who connects.
    Connector,
    /// The one who listens.
    Acceptor,
}

impl Side {
    fn label(self) -> &'static [u8] {
        match self {
            Side::Connector => b"bellwether peer connector 1\0",
            Side::Acceptor => b"bellwether peer acceptor 1\0",
        }
    }
}

impl Secret {
    /// Reads a file; blanks and newlines around its content do not count.
    pub fn read(path: &Path) -> Result<Secret, BadSecret> {
        check_private(path)
            .map_err(BadSecret::Io)?
            .then_some(())
            .ok_or(BadSecret::Readable)?;
        let content = std::fs::read(path).map_err(BadSecret::Io)?;
        let secret = content.trim_ascii();
        if !LENGTHS.contains(&secret.len()) {
            return Err(BadSecret::Length(secret.len()));
        }
        Ok(Secret(secret.to_vec()))
    }

    /// One that everybody knows.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn known(secret: &[u8]) -> Secret {
        Secret(secret.to_vec())
    }

    /// The proof of a side, for this transcript.
    pub(crate) fn prove(&self, side: Side, transcript: &[&[u8]]) -> [u8; PROOF_BYTES] {
        self.mac(side, transcript).finalize().into_bytes().into()
    }

    /// Whether a proof is right; compared in constant time.
    pub(crate) fn is_proof(&self, proof: &[u8], side: Side, transcript: &[&[u8]]) -> bool {
        self.mac(side, transcript).verify_slice(proof).is_ok()
    }

    /// Keys the verifiers of roles that do not exist: the same at every node.
    pub(crate) fn mock_key(&self) -> [u8; PROOF_BYTES] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(b"bellwether mock verifiers 1\0");
        mac.finalize().into_bytes().into()
    }

    fn mac(&self, side: Side, transcript: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(side.label());
        for part in transcript {
            // With lengths, so that no two transcripts look alike.
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        mac
    }
}

/// Whether a file of secrets is closed to other users; a group may read it, as Debian's `ssl-cert` does.
pub(super) fn check_private(path: &Path) -> io::Result<bool> {
    const OTHERS_OR_GROUP_WRITES: u32 = 0o037;
    Ok(std::fs::metadata(path)?.permissions().mode() & OTHERS_OR_GROUP_WRITES == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &str, mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("secret");
        std::fs::write(&path, content).expect("writable");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("ours");
        (dir, path)
    }

    #[test]
    fn a_secret_is_read_unless_it_is_short_or_others_can_read_it() {
        let good = "0123456789abcdef0123456789abcdef";
        let (_dir, path) = file(&format!(" {good}\n"), 0o600);
        assert_eq!(Secret::read(&path).expect("private and long").0, good.as_bytes());
        let (_dir, path) = file(good, 0o644);
        assert!(matches!(Secret::read(&path), Err(BadSecret::Readable)));
        let (_dir, path) = file("short", 0o600);
        assert!(matches!(Secret::read(&path), Err(BadSecret::Length(5))));
        assert!(matches!(
            Secret::read(Path::new("/nowhere")),
            Err(BadSecret::Io(_))
        ));
    }

    #[test]
    fn a_proof_is_of_one_secret_one_side_and_one_transcript() {
        let (ours, other) = (Secret(vec![1; 32]), Secret(vec![2; 32]));
        let proof = ours.prove(Side::Connector, &[b"ab", b"c"]);
        assert!(ours.is_proof(&proof, Side::Connector, &[b"ab", b"c"]));
        assert!(!other.is_proof(&proof, Side::Connector, &[b"ab", b"c"]));
        assert!(!ours.is_proof(&proof, Side::Acceptor, &[b"ab", b"c"]));
        assert!(!ours.is_proof(&proof, Side::Connector, &[b"a", b"bc"]));
        assert!(!ours.is_proof(&proof[..31], Side::Connector, &[b"ab", b"c"]));
        assert!(!ours.is_proof(&[], Side::Connector, &[b"ab", b"c"]));
    }
}
