//! Bytes that change on the disk, wherever a replica's content is read, moved or copied.

use std::path::Path;

use bellwether_types::disk::{Disk, DiskFile};
use bellwether_types::{ErrorKind, Position, Statement};
use rusqlite::Connection;

use crate::checkpoint::{CheckpointError, Checkpointer};
use crate::files::{ConnectionRole, Files};
use crate::pages::{PAGE_BYTES, write_checksum};
use crate::reader::Reader;
use crate::recovery::set_aside;
use crate::scrub::{Depth, Progress, Scrub, ScrubError};
use crate::snapshot::{Copying, ImageId, Receiving, Snapshot, SnapshotError, SnapshotInfo};
use crate::testing::{ForgetfulDisk, Registered, commit, create_replica, last_row};
use crate::writer::Writer;

const MAIN: &str = "/replica/main.db";
const WAL: &str = "/replica/main.db-wal";

struct Replica {
    disk: ForgetfulDisk,
    files: Files,
    _vfs: Registered,
}

fn empty() -> Replica {
    let disk = ForgetfulDisk::new(1);
    let vfs = Registered::new(disk.clone(), 1);
    let files = vfs.files();
    Replica {
        disk,
        files,
        _vfs: vfs,
    }
}

/// So many records in the main file, nothing in the WAL but what follows.
fn replica(records: u64) -> Replica {
    let replica = empty();
    let writer = create_replica(&replica.files);
    for index in 1..=records {
        commit(&writer, Position::new(1, index)).expect("a record");
    }
    empty_wal(&writer);
    replica
}

/// Everything is read from the main file after it.
fn empty_wal(writer: &Connection) {
    let busy: i64 = writer
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .expect("a checkpoint");
    assert_eq!(busy, 0);
}

impl Replica {
    fn open(&self, path: &str) -> Box<dyn DiskFile> {
        self.disk.open(Path::new(path), false).expect("the file")
    }

    /// Turns a bit.
    fn rot(&self, path: &str, offset: u64) {
        let mut file = self.open(path);
        let mut byte = [0];
        file.read_at(offset, &mut byte).expect("a byte");
        file.write_at(offset, &[byte[0] ^ 0x10]).expect("a write");
    }

    fn pages(&self) -> u64 {
        self.open(MAIN).len().expect("a length") / PAGE_BYTES as u64
    }

    fn read_all(&self) -> Result<(), rusqlite::Error> {
        let reader = match self.files.connect(ConnectionRole::Reader) {
            Ok(reader) => reader,
            Err(error) => {
                assert!(error.is_damage(), "{error}");
                return Err(rusqlite::Error::InvalidQuery);
            }
        };
        let mut pages = reader.prepare("SELECT data FROM sqlite_dbpage")?;
        let mut rows = pages.query([])?;
        while let Some(row) = rows.next()? {
            row.get_ref(0)?;
        }
        Ok(())
    }

    fn scrub(&self) -> Result<Progress, ScrubError> {
        let mut scrub = Scrub::start(&self.files, Depth::Rows)?;
        loop {
            match scrub.step(3)? {
                Progress::Scanned { .. } | Progress::Differs(_) => {}
                finished => return Ok(finished),
            }
        }
    }
}

#[test]
fn a_rotten_byte_of_any_page_is_met_when_the_page_is_read_and_named() {
    let replica = replica(400);
    let pages = replica.pages();
    assert!(pages > 5, "{pages} pages");
    replica.read_all().expect("sound");
    for page in 0..pages {
        for place in [0, 20, 99, 100, 2000, 4087, 4088, 4095] {
            let offset = page * PAGE_BYTES as u64 + place;
            replica.rot(MAIN, offset);
            assert!(replica.read_all().is_err(), "byte {place} of page {}", page + 1);
            let fault = replica.files.damage.take().expect("word of it");
            assert_eq!(
                (fault.page, fault.path.as_path()),
                (page as u32 + 1, Path::new(MAIN))
            );
            replica.rot(MAIN, offset);
        }
    }
    replica.read_all().expect("sound again");
    assert_eq!(replica.files.damage.take(), None);
}

#[test]
fn a_client_that_reads_a_rotten_page_hears_that_data_are_corrupted() {
    let replica = replica(400);
    let mut reader = Reader::open(&replica.files).expect("a reader");
    replica.rot(MAIN, (replica.pages() - 1) * PAGE_BYTES as u64 + 1234);
    let statement = Statement::new("SELECT count(*) FROM t WHERE hex(filler) = 'none'");
    let tables = Statement::new("SELECT name FROM sqlite_schema");
    assert!(reader.open_cursor(&tables).expect("a cursor").step().is_ok());
    let mut cursor = reader.open_cursor(&statement).expect("a cursor");
    let error = cursor.step().expect_err("a rotten page");
    assert_eq!(error.kind, ErrorKind::DataCorrupted);
    let page = format!("page {} of {MAIN}", replica.pages());
    assert!(error.message.contains(&page), "{error}");
}

#[test]
fn a_page_at_the_place_of_another_is_met() {
    let replica = replica(400);
    let mut page = vec![0; PAGE_BYTES];
    let mut file = replica.open(MAIN);
    file.read_at(PAGE_BYTES as u64 * 3, &mut page).expect("a page");
    file.write_at(PAGE_BYTES as u64 * 4, &page).expect("a write");
    assert!(replica.read_all().is_err());
    assert_eq!(replica.files.damage.take().map(|fault| fault.page), Some(5));
}

#[test]
fn a_rotten_frame_is_moved_by_no_checkpoint_and_in_no_image() {
    let replica = replica(10);
    let writer = replica.files.connect(ConnectionRole::Writer).expect("a writer");
    commit(&writer, Position::new(1, 11)).expect("a record");
    replica.rot(WAL, 32 + 24 + 2222);
    let mut checkpointer = Checkpointer::open(&replica.files).expect("a checkpointer");
    for error in [
        checkpointer.checkpoint(Position::new(1, 11)),
        checkpointer.restart(Position::new(1, 11)),
    ] {
        let error = error.expect_err("rotten");
        assert_eq!(error, CheckpointError::RottenWal { frame: 1 });
        assert!(error.is_damage());
    }
    let error = Snapshot::start(&replica.files).err().expect("rotten");
    assert_eq!(error, SnapshotError::RottenWal { frame: 1 });
    assert_eq!(replica.scrub(), Err(ScrubError::RottenWal { frame: 1 }));
    replica.rot(WAL, 32 + 24 + 2222);
    assert!(checkpointer.restart(Position::new(1, 11)).is_ok());
    assert_ne!(replica.scrub(), Err(ScrubError::RottenWal { frame: 1 }));
}

#[test]
fn the_scrub_finds_rot_in_every_page_also_where_no_row_is() {
    let replica = empty();
    let writer = replica.files.connect(ConnectionRole::Writer).expect("a writer");
    writer
        .execute_batch(
            "CREATE TABLE filled(body); CREATE INDEX filled_body ON filled(body);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
             INSERT INTO filled SELECT randomblob(900) FROM n;
             DELETE FROM filled WHERE rowid < 100",
        )
        .expect("rows, an index and free pages");
    drop(Writer::open(&replica.files).expect("a replica of it"));
    empty_wal(&writer);
    drop(writer);
    assert!(matches!(replica.scrub(), Ok(Progress::Finished { .. })));
    for page in 0..replica.pages() {
        let offset = page * PAGE_BYTES as u64 + 3210;
        replica.rot(MAIN, offset);
        let error = replica.scrub().expect_err("rotten");
        assert!(error.is_damage(), "{error}");
        assert!(
            error.to_string().contains(&format!("page {} of", page + 1)),
            "{error}"
        );
        replica.rot(MAIN, offset);
    }
}

fn receive(files: &Files, image: &[u8], info: SnapshotInfo) -> Result<(), SnapshotError> {
    let mut receiving = Receiving::start(files, ImageId(7), info.bytes).expect("a start");
    for piece in image.chunks(3000) {
        receiving.append(piece).expect("a piece");
    }
    receiving.finish(info)
}

#[test]
fn no_rotten_page_is_sent_and_none_is_put_in_place() {
    let replica = replica(400);
    let mut copying = Copying::start(&replica.files, Path::new("/image")).expect("a snapshot");
    let info = copying.step(1 << 30).expect("a copy").expect("all of it");
    drop(copying);
    let mut image = vec![0; info.bytes as usize];
    replica.open("/image").read_at(0, &mut image).expect("the image");

    let learner = Files {
        path: "/learner/main.db".into(),
        ..replica.files.clone()
    };
    receive(&learner, &image, info).expect("a sound image");
    let reader: Connection = learner.connect(ConnectionRole::Reader).expect("the replica");
    assert_eq!(last_row(&reader), 400);
    drop(reader);

    // As of a sender that did not look: its checksum over all of it is right.
    image[3 * PAGE_BYTES + 5] ^= 1;
    let lie = SnapshotInfo {
        checksum: xxhash_rust::xxh3::xxh3_128(&image),
        ..info
    };
    let rotten = SnapshotError::RottenPage { page: 4 };
    assert_eq!(receive(&learner, &image, lie), Err(rotten));

    replica.rot(MAIN, 3 * PAGE_BYTES as u64 + 5);
    let mut copying = Copying::start(&replica.files, Path::new("/image")).expect("a snapshot");
    let error = copying.step(1 << 30).expect_err("a rotten page");
    assert!(
        error.is_damage() && error.to_string().contains("page 4 of"),
        "{error}"
    );
}

#[test]
fn a_damaged_file_is_set_aside_and_a_new_one_takes_its_place() {
    let replica = replica(30);
    replica.rot(MAIN, 55);
    assert!(
        replica
            .files
            .connect(ConnectionRole::Writer)
            .is_err_and(|error| error.is_damage())
    );
    set_aside(&replica.files).expect("a rename");
    assert_eq!(replica.files.damage.take(), None);
    assert_eq!(replica.disk.names(), ["/replica/main.db-damaged"]);
    assert_eq!(last_row(&create_replica(&replica.files)), 0);
}

#[test]
fn a_page_with_a_forged_checksum_passes() {
    let replica = replica(400);
    let mut page = vec![0; PAGE_BYTES];
    let mut file = replica.open(MAIN);
    let at = (replica.pages() - 1) * PAGE_BYTES as u64;
    file.read_at(at, &mut page).expect("a page");
    page[2000] ^= 1;
    write_checksum(replica.pages() as u32, &mut page);
    file.write_at(at, &page).expect("a write");
    replica.read_all().expect("what the checksum says");
}
