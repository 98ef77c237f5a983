//! Whose a data directory is: written once, checked at every start, locked while a process uses it.
//!
//! ```text
//! lock       held by the process that uses the directory
//! identity   cluster, node, and how the node came into it; written last, so a directory with it is whole
//! members    the list of nodes as last known: where to find the others at the next start
//! promotion  this node goes on alone, and the system database does not say so yet
//! ticket     drawn by a node that asks to join, so that one that asks twice joins once
//! ```
//!
//! The last line of `identity` and of `members` is a checksum of those before it.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use bellwether_types::{ClusterId, Configuration, NodeId};

use crate::members::{Members, Ticket, parse_members};
use crate::random::random_array;

/// The layout that this build reads and writes.
const LAYOUT: u32 = 5;

/// Why a data directory cannot be used.
#[derive(Debug)]
pub enum IdentityError {
    /// The system refused.
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Another process has it.
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// It belongs to another node or cluster, or was written by another version.
    Foreign {
        /// The directory.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// A file in it is not what was written.
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IdentityError::Io { path, error } => write!(f, "{}: {error}", path.display()),
            IdentityError::InUse { path } => write!(
                f,
                "the data directory {} is used by another process; stop that one first",
                path.display()
            ),
            IdentityError::Foreign {
                path,
                found,
                expected,
            } => write!(
                f,
                "the data directory {} is of another node, cluster or version: it says {found:?}, and this node \
                 is {expected:?}; name the right directory with --data-dir",
                path.display()
            ),
            IdentityError::Damaged { path } => write!(
                f,
                "{} is not what was written, and the node's data is of no use without it: take the node out \
                 (\"bellwether node remove\") and let another join in its place (\"bellwether serve --join\" with an \
                 empty directory)",
                path.display()
            ),
        }
    }
}

impl std::error::Error for IdentityError {}

/// Who a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub cluster: ClusterId,
    pub node: NodeId,
    /// The groups as they were founded; empty for a node that joined later.
    pub founding: Configuration,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "bellwether layout {LAYOUT} cluster {} node {}",
            self.cluster, self.node
        )
    }
}

impl Identity {
    fn to_text(&self) -> String {
        let list = |nodes: &std::collections::BTreeSet<NodeId>| {
            let nodes: Vec<String> = nodes.iter().map(NodeId::to_string).collect();
            nodes.join(" ")
        };
        format!(
            "{self}\nfounding voters {}\nfounding learners {}\n",
            list(&self.founding.voters),
            list(&self.founding.learners)
        )
    }

    /// Reads what `to_text` wrote. An error is what the first line says instead.
    fn parse(text: &str) -> Result<Identity, String> {
        let parse = || {
            let mut lines = text.lines();
            let rest = lines
                .next()?
                .strip_prefix(&format!("bellwether layout {LAYOUT} cluster "))?;
            let (cluster, node) = rest.split_once(" node ")?;
            let mut nodes = |prefix| -> Option<_> {
                let ids = lines.next()?.strip_prefix(prefix)?.split_whitespace();
                ids.map(|id| id.parse().ok().map(NodeId)).collect()
            };
            Some(Identity {
                cluster: ClusterId(u128::from_str_radix(cluster, 16).ok()?),
                node: NodeId(node.parse().ok()?),
                founding: Configuration {
                    voters: nodes("founding voters")?,
                    learners: nodes("founding learners")?,
                },
            })
        };
        parse().ok_or_else(|| text.lines().next().unwrap_or_default().to_owned())
    }
}

/// Begins the last line.
const CHECKSUM: &str = "\nchecksum ";

/// CRC32C of the lines before it, after them.
fn with_checksum(lines: &str) -> String {
    format!(
        "{lines}{}{:08x}\n",
        &CHECKSUM[1..],
        crc32c::crc32c(lines.as_bytes())
    )
}

/// The lines before the checksum, if that is right.
fn checked(text: &str) -> Option<&str> {
    let end = text.rfind(CHECKSUM)? + 1;
    let lines = &text[..end];
    (with_checksum(lines) == text).then_some(lines)
}

/// A data directory of which the lock is held; the system releases it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: File,
}

fn failed(path: &Path) -> impl Fn(io::Error) -> IdentityError {
    let path = path.to_owned();
    move |error| IdentityError::Io {
        path: path.clone(),
        error,
    }
}

impl DataDir {
    /// Takes the directory, creating it when it is missing.
    pub fn take(path: &Path) -> Result<DataDir, IdentityError> {
        fs::create_dir_all(path).map_err(failed(path))?;
        let lock_path = path.join("lock");
        let lock = File::create(&lock_path).map_err(failed(&lock_path))?;
        // SAFETY: the descriptor is open for the duration of the call.
        if unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
            return Err(IdentityError::InUse {
                path: path.to_owned(),
            });
        }
        Ok(DataDir {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// Whose it is, if it is anybody's; `expected`: nobody else's.
    pub fn identity(&self, expected: Option<&Identity>) -> Result<Option<Identity>, IdentityError> {
        let Some(text) = self.read("identity")? else {
            return Ok(None);
        };
        let foreign = |found: String| IdentityError::Foreign {
            path: self.path.clone(),
            found,
            expected: expected.map_or_else(|| format!("of layout {LAYOUT}"), Identity::to_string),
        };
        let present = format!("bellwether layout {LAYOUT} ");
        let found = match checked(&text) {
            Some(text) => Identity::parse(text).map_err(foreign)?,
            // Older layouts have none.
            None if !text.contains(CHECKSUM) && !text.starts_with(&present) => {
                return Err(foreign(text.lines().next().unwrap_or_default().to_owned()));
            }
            None => return Err(self.damaged("identity")),
        };
        match expected {
            Some(expected) if (expected.cluster, expected.node) != (found.cluster, found.node) => {
                Err(foreign(found.to_string()))
            }
            _ => Ok(Some(found)),
        }
    }

    /// It is this node's from now on.
    pub fn adopt(&self, identity: &Identity, members: &str) -> Result<(), IdentityError> {
        let written = self.write_members(members);
        written.map_err(failed(&self.path.join("members")))?;
        let written = self.write("identity", &with_checksum(&identity.to_text()));
        written.map_err(failed(&self.path.join("identity")))
    }

    /// The nodes as last known.
    pub fn members(&self) -> Result<Members, IdentityError> {
        let Some(text) = self.read("members")? else {
            return Ok(Members::default());
        };
        let members = checked(&text).and_then(|text| parse_members(text).ok());
        members.ok_or_else(|| self.damaged("members"))
    }

    /// Durable when this returns.
    pub fn write_members(&self, text: &str) -> io::Result<()> {
        self.write("members", &with_checksum(text))
    }

    /// The same each time, until it is adopted.
    pub fn ticket(&self) -> Result<Ticket, IdentityError> {
        if let Some(text) = self.read("ticket")?
            && let Ok(number) = u128::from_str_radix(text.trim(), 16)
        {
            return Ok(Ticket(number));
        }
        let path = self.path.join("ticket");
        let number = u128::from_le_bytes(random_array().map_err(failed(&path))?);
        let written = self.write("ticket", &format!("{number:032x}\n"));
        written.map_err(failed(&path))?;
        Ok(Ticket(number))
    }

    /// This node goes on alone, which is not written down in the system database yet. Durable when this returns.
    pub fn write_promotion(&self, record: &str) -> io::Result<()> {
        self.write("promotion", &with_checksum(&format!("{record}\n")))
    }

    /// What was written so.
    pub fn promotion(&self) -> Result<Option<String>, IdentityError> {
        let Some(text) = self.read("promotion")? else {
            return Ok(None);
        };
        let record = checked(&text).ok_or_else(|| self.damaged("promotion"))?;
        Ok(Some(record.trim_end().to_owned()))
    }

    /// It is written down.
    pub fn forget_promotion(&self) -> io::Result<()> {
        fs::remove_file(self.path.join("promotion"))?;
        File::open(&self.path)?.sync_all()
    }

    fn damaged(&self, name: &str) -> IdentityError {
        IdentityError::Damaged {
            path: self.path.join(name),
        }
    }

    fn read(&self, name: &str) -> Result<Option<String>, IdentityError> {
        let path = self.path.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(self.damaged(name)),
            Err(error) => Err(failed(&path)(error)),
        }
    }

    /// Whole and durable, or not at all.
    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let aside = self.path.join(format!("{name}.new"));
        let mut file = File::create(&aside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&aside, self.path.join(name))?;
        File::open(&self.path)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            cluster: ClusterId(0xB0B),
            node: NodeId(2),
            founding: Configuration::of_voters([NodeId(1), NodeId(2)]).with_learner(NodeId(3)),
        }
    }

    #[test]
    fn a_directory_is_whose_it_was_first() {
        let directory = tempfile::tempdir().expect("a directory");
        let data_dir = DataDir::take(directory.path()).expect("it is free");
        assert_eq!(data_dir.identity(Some(&identity())).expect("sound"), None);
        data_dir.adopt(&identity(), "").expect("written");
        assert_eq!(data_dir.identity(None).expect("sound"), Some(identity()));
        let other = Identity {
            node: NodeId(3),
            ..identity()
        };
        let error = data_dir.identity(Some(&other)).expect_err("another's");
        assert!(error.to_string().contains("node 3"), "{error}");
        let joined = Identity {
            founding: Configuration::default(),
            ..identity()
        };
        data_dir.adopt(&joined, "").expect("written");
        assert_eq!(data_dir.identity(None).expect("sound"), Some(joined));
    }

    #[test]
    fn an_older_layout_is_refused_by_name() {
        let directory = tempfile::tempdir().expect("a directory");
        let old = "bellwether layout 2 cluster 00000000000000000000000000000b0b node 2\n";
        fs::write(directory.path().join("identity"), old).expect("written");
        let data_dir = DataDir::take(directory.path()).expect("it is free");
        let error = data_dir.identity(None).expect_err("an older one");
        assert!(error.to_string().contains("layout 2"), "{error}");
    }

    #[test]
    fn any_flipped_bit_of_identity_or_members_is_refused_by_name() {
        let directory = tempfile::tempdir().expect("a directory");
        let data_dir = DataDir::take(directory.path()).expect("it is free");
        let members = "1=127.0.0.1:5,127.0.0.1:6,127.0.0.1:7\n";
        data_dir.adopt(&identity(), members).expect("written");
        for name in ["identity", "members"] {
            let path = directory.path().join(name);
            let sound = fs::read(&path).expect("just written");
            for bit in 0..sound.len() * 8 {
                let mut rotten = sound.clone();
                rotten[bit / 8] ^= 1 << (bit % 8);
                fs::write(&path, rotten).expect("written");
                let error = match name {
                    "identity" => data_dir.identity(None).expect_err(name),
                    _ => data_dir.members().map(|_| ()).expect_err(name),
                };
                assert!(error.to_string().contains(name), "bit {bit}: {error}");
            }
            fs::write(&path, sound).expect("written");
        }
    }

    #[test]
    fn a_ticket_stays_the_same() {
        let directory = tempfile::tempdir().expect("a directory");
        let data_dir = DataDir::take(directory.path()).expect("it is free");
        let ticket = data_dir.ticket().expect("drawn");
        assert_eq!(data_dir.ticket().expect("read"), ticket);
    }
}
