//! TLS at the doors: a certificate given or made, read again when its files change.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};
use sha2::{Digest, Sha256, Sha384, Sha512};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::secret::check_private;
use super::stream::Stream;

/// What clients of PostgreSQL say they will speak inside TLS; those that begin with TLS must.
const ALPN_POSTGRESQL: &[u8] = b"postgresql";
const ALPN_HTTP: &[u8] = b"http/1.1";

/// How often files are looked at, while clients come.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// A made certificate lasts for so many days: nobody trusts it by its date.
const MADE_DAYS: u64 = 3650;

/// Files in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, then those that lead to its root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why there is no TLS.
#[derive(Debug)]
pub enum TlsError {
    /// A file cannot be read or written.
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The key can be read by other users.
    Readable {
        /// Which.
        path: PathBuf,
    },
    /// A file's content is not what it should be.
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No certificate could be made.
    Making(String),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::Io { path, error } => write!(f, "{}: {error}", path.display()),
            TlsError::Readable { path } => {
                write!(
                    f,
                    "{}: other users can read this private key; chmod 600 it",
                    path.display()
                )
            }
            TlsError::Content { path, reason } => write!(f, "{}: {reason}", path.display()),
            TlsError::Making(reason) => write!(f, "no certificate could be made: {reason}"),
        }
    }
}

impl std::error::Error for TlsError {}

/// Which door a connection came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// PostgreSQL's.
    Pg,
    /// HTTP's.
    Http,
    /// The other nodes'.
    Peer,
}

/// One certificate, ready for every door.
struct Identity {
    pg: Arc<ServerConfig>,
    http: Arc<ServerConfig>,
    peer: Arc<ServerConfig>,
    /// The certificate's hash, as `tls-server-end-point` has it.
    binding: Option<Vec<u8>>,
}

struct Loaded {
    stamps: Stamps,
    looked: Instant,
    identity: Arc<Identity>,
}

type Stamps = [Option<SystemTime>; 2];

/// The node's certificate.
pub(crate) struct Tls {
    files: TlsFiles,
    loaded: Mutex<Loaded>,
}

impl Tls {
    pub fn open(files: TlsFiles) -> Result<Tls, TlsError> {
        let stamps = files.stamps();
        let identity = Arc::new(Identity::read(&files)?);
        let looked = Instant::now();
        Ok(Tls {
            files,
            loaded: Mutex::new(Loaded {
                stamps,
                looked,
                identity,
            }),
        })
    }

    /// The certificate as it is now. One that cannot be read leaves the last one in use, and is told in the log.
    fn identity(&self) -> Arc<Identity> {
        let mut loaded = self.loaded.lock().expect("no holder of this lock panics");
        if loaded.looked.elapsed() >= LOOK_PERIOD {
            loaded.looked = Instant::now();
            let stamps = self.files.stamps();
            if stamps != loaded.stamps {
                loaded.stamps = stamps;
                match Identity::read(&self.files) {
                    Ok(identity) => {
                        tracing::info!(certificate = %self.files.certificate.display(), "the TLS certificate was read again");
                        loaded.identity = Arc::new(identity);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the TLS certificate has changed and cannot be used: the old one stays")
                    }
                }
            }
        }
        Arc::clone(&loaded.identity)
    }

    /// The server's half of the handshake, and the certificate's hash for channel binding. `begins`: the client
    /// began with TLS; at PostgreSQL's door it must then have said what it will speak inside.
    pub async fn accept(
        &self,
        stream: TcpStream,
        door: Door,
        begins: bool,
    ) -> io::Result<(Stream, Option<Vec<u8>>)> {
        let identity = self.identity();
        let config = match door {
            Door::Pg => &identity.pg,
            Door::Http => &identity.http,
            Door::Peer => &identity.peer,
        };
        let stream = TlsAcceptor::from(Arc::clone(config)).accept(stream).await?;
        if door == Door::Pg && begins && stream.get_ref().1.alpn_protocol() != Some(ALPN_POSTGRESQL) {
            let reason = "a direct TLS connection without ALPN \"postgresql\"";
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        Ok((Stream::Tls(Box::new(stream.into())), identity.binding.clone()))
    }
}

/// The connecting half between nodes. Whatever certificate the other node has is taken: who it is, it proves by the
/// cluster's secret over this very channel ([`super::secret`]).
pub(crate) async fn connect_to_peer(stream: TcpStream, address: IpAddr) -> io::Result<Stream> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    let stream = TlsConnector::from(Arc::new(config))
        .connect(ServerName::from(address), stream)
        .await?;
    Ok(Stream::Tls(Box::new(stream.into())))
}

/// Checks that the other side has the key of the certificate that it shows, and nothing else about it.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl TlsFiles {
    fn stamps(&self) -> Stamps {
        let modified = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
        [modified(&self.certificate), modified(&self.key)]
    }

    /// Those in the data directory, made for these addresses if they are not there.
    pub(crate) fn made_in(data_dir: &Path, addresses: &[IpAddr]) -> Result<TlsFiles, TlsError> {
        let dir = data_dir.join("tls");
        let files = TlsFiles {
            certificate: dir.join("server.crt"),
            key: dir.join("server.key"),
        };
        if !files.certificate.exists() || !files.key.exists() {
            let names = addresses
                .iter()
                .map(ToString::to_string)
                .chain(["localhost".to_owned()]);
            let (certificate, key) = make(names.collect())?;
            fs::create_dir_all(&dir).map_err(failed(&dir))?;
            // The key first: a certificate says that both are there.
            write_new(&files.key, &key).map_err(failed(&files.key))?;
            write_new(&files.certificate, &certificate).map_err(failed(&files.certificate))?;
            tracing::info!(certificate = %files.certificate.display(), "made a self-signed TLS certificate");
        }
        Ok(files)
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> TlsError {
    let path = path.to_owned();
    move |error| TlsError::Io {
        path: path.clone(),
        error,
    }
}

/// Certificate and key in PEM.
fn make(names: Vec<String>) -> Result<(String, String), TlsError> {
    let making = |error: rcgen::Error| TlsError::Making(error.to_string());
    let mut parameters = rcgen::CertificateParams::new(names).map_err(making)?;
    let mut name = rcgen::DistinguishedName::new();
    name.push(rcgen::DnType::CommonName, "bellwether");
    parameters.distinguished_name = name;
    let now = SystemTime::now();
    let day = Duration::from_secs(86_400);
    parameters.not_before = (now - day).into();
    parameters.not_after = (now + day * MADE_DAYS as u32).into();
    let key = rcgen::KeyPair::generate().map_err(making)?;
    let certificate = parameters.self_signed(&key).map_err(making)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// A file that only we can read, whole or not at all.
fn write_new(path: &Path, content: &str) -> io::Result<()> {
    let aside = path.with_extension("new");
    let mut file = fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&aside)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    fs::rename(&aside, path)
}

impl Identity {
    fn read(files: &TlsFiles) -> Result<Identity, TlsError> {
        let content = |path: &Path, reason: String| TlsError::Content {
            path: path.to_owned(),
            reason,
        };
        if !check_private(&files.key).map_err(failed(&files.key))? {
            return Err(TlsError::Readable {
                path: files.key.clone(),
            });
        }
        let chain = CertificateDer::pem_file_iter(&files.certificate)
            .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>())
            .map_err(|error| content(&files.certificate, error.to_string()))?;
        let first = chain
            .first()
            .ok_or_else(|| content(&files.certificate, "no certificate is in it".to_owned()))?;
        let binding = certificate_hash(first);
        let key = PrivateKeyDer::from_pem_file(&files.key)
            .map_err(|error| content(&files.key, error.to_string()))?;
        let config = |alpn: Option<&[u8]>, versions: &[&'static rustls::SupportedProtocolVersion]| {
            let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_protocol_versions(versions)?
                .with_no_client_auth()
                .with_single_cert(chain.clone(), key.clone_key())?;
            config.alpn_protocols = alpn.map(<[u8]>::to_vec).into_iter().collect();
            Ok::<_, rustls::Error>(Arc::new(config))
        };
        let all = rustls::ALL_VERSIONS;
        let configs = config(Some(ALPN_POSTGRESQL), all).and_then(|pg| {
            Ok((
                pg,
                config(Some(ALPN_HTTP), all)?,
                config(None, &[&rustls::version::TLS13])?,
            ))
        });
        let (pg, http, peer) = configs.map_err(|error| content(&files.certificate, error.to_string()))?;
        Ok(Identity {
            pg,
            http,
            peer,
            binding,
        })
    }
}

/// The hash that `tls-server-end-point` binds to (RFC 5929, section 4.1): of the whole certificate, by the hash of
/// its own signature's algorithm, SHA-256 standing in for older ones. `None` where that has no such hash (Ed25519)
/// or is not known: then there is no channel binding.
fn certificate_hash(certificate: &[u8]) -> Option<Vec<u8>> {
    // Certificate ::= SEQUENCE { tbsCertificate SEQUENCE, signatureAlgorithm SEQUENCE { OBJECT IDENTIFIER … } … }
    let (_, whole, _) = der_element(certificate)?;
    let (_, _, after_content) = der_element(whole)?;
    let (_, algorithm, _) = der_element(after_content)?;
    let (_, oid, _) = der_element(algorithm)?;
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    const ECDSA_SHA2: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
    let (family, last) = oid.split_at_checked(oid.len().checked_sub(1)?)?;
    match (family, last[0]) {
        // md5, sha1, sha256.
        (RSA, 4 | 5 | 11) | (ECDSA_SHA2, 2) => Some(Sha256::digest(certificate).to_vec()),
        (RSA, 12) | (ECDSA_SHA2, 3) => Some(Sha384::digest(certificate).to_vec()),
        (RSA, 13) | (ECDSA_SHA2, 4) => Some(Sha512::digest(certificate).to_vec()),
        _ => None,
    }
}

/// Tag, content and rest of the first element of DER (X.690).
fn der_element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (
                length
                    .iter()
                    .fold(0, |length, byte| length << 8 | usize::from(*byte)),
                rest,
            )
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> [IpAddr; 1] {
        [IpAddr::from([127, 0, 0, 1])]
    }

    #[test]
    fn a_made_certificate_stays_and_its_key_is_private() {
        let dir = tempfile::tempdir().expect("a directory");
        let files = TlsFiles::made_in(dir.path(), &loopback()).expect("made");
        let made = fs::read(&files.certificate).expect("there");
        assert!(check_private(&files.key).expect("there"));
        TlsFiles::made_in(dir.path(), &loopback()).expect("as it is");
        assert_eq!(fs::read(&files.certificate).expect("there"), made);
        let tls = Tls::open(files).expect("it fits its key");
        assert_eq!(
            tls.identity().binding.as_ref().map(Vec::len),
            Some(32),
            "ECDSA with SHA-256"
        );
    }

    #[test]
    fn a_key_that_others_can_read_and_a_certificate_that_is_none_are_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a directory");
        let files = TlsFiles::made_in(dir.path(), &loopback()).expect("made");
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o644)).expect("ours");
        assert!(matches!(
            Tls::open(files.clone()).err(),
            Some(TlsError::Readable { .. })
        ));
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).expect("ours");
        fs::write(&files.certificate, "nonsense").expect("ours");
        assert!(matches!(Tls::open(files).err(), Some(TlsError::Content { .. })));
    }

    #[test]
    fn the_hash_follows_the_signatures_algorithm() {
        let certificate = |oid: &[u8]| {
            let oid = [&[0x06, oid.len() as u8], oid].concat();
            let algorithm = [&[0x30, oid.len() as u8], &oid[..]].concat();
            let content = [&[0x30, 0x01, 0x00], &algorithm[..]].concat();
            [&[0x30, content.len() as u8], &content[..]].concat()
        };
        let length = |oid: &[u8]| certificate_hash(&certificate(oid)).map(|hash| hash.len());
        assert_eq!(
            length(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b]),
            Some(32)
        );
        assert_eq!(
            length(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d]),
            Some(64)
        );
        assert_eq!(
            length(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03]),
            Some(48)
        );
        assert_eq!(length(&[0x2b, 0x65, 0x70]), None, "Ed25519");
        assert_eq!(length(&[]), None);
        let whole = certificate(&[0x2b, 0x65, 0x70]);
        (0..whole.len()).for_each(|end| assert_eq!(certificate_hash(&whole[..end]), None));
    }
}
