//! The directory of a cluster on this machine: `node-1` … `node-N`, and a lock.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bellwether_types::{ClusterId, NodeId};

use crate::failure::Failure;

/// How many nodes a fresh cluster has: the fewest that survive the loss of one.
const DEFAULT_NODES: u16 = 3;

/// A node's log file is moved aside at the node's start when it is larger; so one cluster keeps at most twice
/// this and what one run of it writes, per node.
const ROTATE_LOG_BYTES: u64 = 16 << 20;

/// The directory, locked for as long as this value lives. The system frees the lock when the process dies.
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Creates it when it is not there. Refuses one that another `up` uses.
    pub fn open(path: PathBuf) -> Result<DataDir, Failure> {
        let unusable = |error: io::Error| {
            Failure::new(format!("the data directory {} cannot be used", path.display()))
                .because(error)
                .hint("choose another with --data-dir")
        };
        fs::create_dir_all(&path).map_err(unusable)?;
        let lock_path = path.join("up.lock");
        let lock = File::options()
            .create(true)
            .write(true)
            .truncate(false)
            .open(lock_path)
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(
                    Failure::new(format!("the data directory {} is in use", path.display()))
                        .because("another `bellwether up` runs a cluster on it")
                        .hint("stop that one, or choose another directory with --data-dir"),
                );
            }
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        // Children run in the same directory, but a message about a relative path helps nobody.
        let path = path.canonicalize().map_err(unusable)?;
        Ok(DataDir { path, _lock: lock })
    }

    /// Refuses a directory with a cluster in it, for an option that says how one is founded.
    pub fn check_empty(&self, option: &str) -> Result<(), Failure> {
        match self.path.join("node-1").is_dir() {
            false => Ok(()),
            true => Err(Failure::new(format!("{option} says how a cluster is founded"))
                .because(format!("{} holds one already", self.path.display()))
                .hint(format!(
                    "leave {option} away to start it: it stays what it is, and \"bellwether node\" changes who votes"
                ))),
        }
    }

    /// How many nodes to start: what was asked for, which must agree with what is there.
    pub fn nodes(&self, asked: Option<u16>) -> Result<u16, Failure> {
        let present = (1..=u16::MAX)
            .take_while(|node| self.path.join(format!("node-{node}")).is_dir())
            .count() as u16;
        match (asked, present) {
            (None, 0) => Ok(DEFAULT_NODES),
            (None, present) => Ok(present),
            (Some(asked), 0) => Ok(asked),
            (Some(asked), present) if asked == present => Ok(asked),
            (Some(asked), present) => Err(Failure::new(format!(
                "--nodes {asked} does not fit the data directory"
            ))
            .because(format!(
                "{} holds a cluster of {present} nodes",
                self.path.display()
            ))
            .hint(format!(
                "leave --nodes away to start those {present}, or choose another --data-dir"
            ))),
        }
    }

    /// The cluster's id: drawn at random and kept in the file `cluster` when there is none yet.
    pub fn cluster(&self) -> Result<ClusterId, Failure> {
        let path = self.path.join("cluster");
        let unusable =
            |error: io::Error| Failure::new(format!("{} cannot be used", path.display())).because(error);
        match fs::read_to_string(&path) {
            Ok(text) => u128::from_str_radix(text.trim(), 16).map(ClusterId).map_err(|_| {
                Failure::new(format!("{} does not hold a cluster's id", path.display())).because(
                    "it should be 32 hexadecimal digits, as its nodes' /status has them under \"cluster\"",
                )
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => found(&path).map_err(unusable),
            Err(error) => Err(unusable(error)),
        }
    }

    /// The file with what the nodes prove to one another: drawn at random when there is none yet.
    pub fn secret(&self) -> Result<PathBuf, Failure> {
        let path = self.path.join("secret");
        let made = if path.exists() { Ok(()) } else { make_secret(&path) };
        made.map_err(|error| Failure::new(format!("{} cannot be used", path.display())).because(error))?;
        Ok(path)
    }

    /// Where a node keeps its data; created when it is not there.
    pub fn node_dir(&self, node: NodeId) -> Result<NodeDir, Failure> {
        let path = self.path.join(format!("node-{node}"));
        fs::create_dir_all(&path)
            .map_err(|error| Failure::new(format!("{} cannot be created", path.display())).because(error))?;
        Ok(NodeDir { path })
    }
}

/// Draws an id and writes it to `path`: whole and durable, or not at all, since nodes remember it.
fn found(path: &Path) -> io::Result<ClusterId> {
    let mut random = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    let cluster = ClusterId(u128::from_le_bytes(random));
    let unfinished = path.with_extension("new");
    let mut file = File::create(&unfinished)?;
    writeln!(file, "{cluster}")?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    File::open(path.parent().unwrap_or(path))?.sync_all()?;
    Ok(cluster)
}

/// Draws a secret and writes it to `path`, whole or not at all, for this user's eyes only.
fn make_secret(path: &Path) -> io::Result<()> {
    let mut random = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    let secret: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let unfinished = path.with_extension("new");
    let mut options = File::options();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)?;
    writeln!(file, "{secret}")?;
    file.sync_all()?;
    fs::rename(&unfinished, path)
}

/// The directory of one node.
#[derive(Debug, Clone)]
pub struct NodeDir {
    path: PathBuf,
}

impl NodeDir {
    /// Itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the node writes to stderr.
    pub fn log_path(&self) -> PathBuf {
        self.path.join("log.txt")
    }

    /// Opens the log for appending.
    pub fn open_log(&self) -> std::io::Result<File> {
        let path = self.log_path();
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > ROTATE_LOG_BYTES) {
            fs::rename(&path, self.path.join("log.1.txt"))?;
        }
        File::options().create(true).append(true).open(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(result: Result<impl Sized, Failure>) -> String {
        match result {
            Ok(_) => panic!("it was accepted"),
            Err(failure) => failure.to_string(),
        }
    }

    #[test]
    fn a_directory_has_one_supervisor_at_a_time() {
        let parent = tempfile::tempdir().expect("a directory");
        let path = parent.path().join("data");
        let first = DataDir::open(path.clone()).expect("fresh");
        assert!(refused(DataDir::open(path.clone())).contains("is in use"));
        drop(first);
        DataDir::open(path).expect("free again");
    }

    #[test]
    fn a_cluster_keeps_its_number_of_nodes() {
        let parent = tempfile::tempdir().expect("a directory");
        let data_dir = DataDir::open(parent.path().to_owned()).expect("fresh");
        assert_eq!(data_dir.nodes(None).expect("fresh"), 3);
        assert_eq!(data_dir.nodes(Some(5)).expect("fresh"), 5);
        for node in 1..=5 {
            data_dir.node_dir(NodeId(node)).expect("created");
        }
        assert_eq!(data_dir.nodes(None).expect("as it is"), 5);
        assert!(refused(data_dir.nodes(Some(3))).contains("holds a cluster of 5 nodes"));
    }

    #[test]
    fn a_cluster_keeps_its_id_and_another_directory_has_another() {
        let parent = tempfile::tempdir().expect("a directory");
        let open = |name: &str| DataDir::open(parent.path().join(name)).expect("fresh");
        let first = open("one").cluster().expect("founded");
        assert_eq!(open("one").cluster().expect("as it is"), first);
        assert_ne!(open("two").cluster().expect("founded"), first);
        fs::write(parent.path().join("two/cluster"), "nonsense").expect("written");
        assert!(refused(open("two").cluster()).contains("does not hold a cluster's id"));
    }

    #[test]
    fn a_data_directory_that_is_a_file_is_refused() {
        let parent = tempfile::tempdir().expect("a directory");
        let path = parent.path().join("file");
        fs::write(&path, "x").expect("written");
        assert!(refused(DataDir::open(path)).contains("cannot be used"));
    }

    #[test]
    fn a_large_log_is_moved_aside_and_a_small_one_goes_on() {
        let parent = tempfile::tempdir().expect("a directory");
        let node_dir = NodeDir {
            path: parent.path().to_owned(),
        };
        let log = node_dir.open_log().expect("fresh");
        log.set_len(ROTATE_LOG_BYTES).expect("grown");
        assert_eq!(
            node_dir
                .open_log()
                .expect("open")
                .metadata()
                .expect("there")
                .len(),
            ROTATE_LOG_BYTES
        );
        log.set_len(ROTATE_LOG_BYTES + 1).expect("grown");
        assert_eq!(
            node_dir
                .open_log()
                .expect("open")
                .metadata()
                .expect("there")
                .len(),
            0
        );
    }
}
