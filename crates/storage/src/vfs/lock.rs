//! The five lock levels of a main file (SQLite's "File Locking And Concurrency", §3), among one process's handles.

use rusqlite::ffi;

/// How much of a main file a handle holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    #[default]
    None,
    /// Reads; any number of handles.
    Shared,
    /// Means to write; one handle, beside readers.
    Reserved,
    /// Waits for the readers to leave; no new ones come in.
    Pending,
    /// Alone.
    Exclusive,
}

impl Level {
    /// Of SQLite's number; anything unknown is the strongest.
    pub(super) fn of(number: i32) -> Level {
        match number {
            ffi::SQLITE_LOCK_NONE => Level::None,
            ffi::SQLITE_LOCK_SHARED => Level::Shared,
            ffi::SQLITE_LOCK_RESERVED => Level::Reserved,
            ffi::SQLITE_LOCK_PENDING => Level::Pending,
            _ => Level::Exclusive,
        }
    }
}

/// What all handles of one file hold together.
#[derive(Debug, Default)]
pub(super) struct Locks {
    /// Handles at `Shared` or above.
    readers: usize,
    /// The level of the one handle above `Shared`, if any.
    writer: Option<Level>,
}

impl Locks {
    /// Raises a handle from `held` to `wanted`; answers the level it has then, which is lower when another handle
    /// stands in the way (SQLITE_BUSY), and may be `Pending` on the way to `Exclusive`.
    pub(super) fn raise(&mut self, held: Level, wanted: Level) -> Level {
        if wanted <= held {
            return held;
        }
        if held == Level::None {
            if self.writer >= Some(Level::Pending) {
                return Level::None;
            }
            self.readers += 1;
            // SQLite asks for Shared first; a handle that asks for more gets it by the same call.
            return self.raise(Level::Shared, wanted);
        }
        if held == Level::Shared && self.writer.is_some() {
            return held;
        }
        let reached = match wanted {
            Level::Exclusive if self.readers > 1 => Level::Pending,
            other => other,
        };
        self.writer = Some(reached);
        reached
    }

    /// Lowers a handle from `held` to `wanted`, which is `None` or `Shared`.
    pub(super) fn lower(&mut self, held: Level, wanted: Level) -> Level {
        if wanted >= held {
            return held;
        }
        if held > Level::Shared {
            self.writer = None;
        }
        if wanted == Level::None && held >= Level::Shared {
            self.readers -= 1;
        }
        wanted
    }

    /// Whether some handle means to write.
    pub(super) fn is_reserved(&self) -> bool {
        self.writer.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_share_and_a_writer_waits_for_them() {
        let mut locks = Locks::default();
        assert_eq!(locks.raise(Level::None, Level::Shared), Level::Shared);
        assert_eq!(locks.raise(Level::None, Level::Shared), Level::Shared);
        assert_eq!(locks.raise(Level::Shared, Level::Reserved), Level::Reserved);
        assert_eq!(
            locks.raise(Level::Shared, Level::Reserved),
            Level::Shared,
            "one writer only"
        );
        assert_eq!(
            locks.raise(Level::Reserved, Level::Exclusive),
            Level::Pending,
            "a reader is still there"
        );
        assert_eq!(
            locks.raise(Level::None, Level::Shared),
            Level::None,
            "no new readers"
        );
        assert_eq!(locks.lower(Level::Shared, Level::None), Level::None);
        assert_eq!(locks.raise(Level::Pending, Level::Exclusive), Level::Exclusive);
        assert_eq!(locks.lower(Level::Exclusive, Level::None), Level::None);
        assert!(!locks.is_reserved());
        assert_eq!(locks.raise(Level::None, Level::Shared), Level::Shared);
    }
}
