//! Histories as files of JSON lines (`docs/histories.md`). Each event is written before the run goes on, so that what
//! a run that was killed leaves can be read.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use super::History;
use super::event::{Event, FORMAT, FaultEvent, Header};

/// Why a file could not be read as a history.
#[derive(Debug)]
pub enum ReadError {
    /// The file.
    Io(io::Error),
    /// The first line is no header of [`FORMAT`].
    NoHeader(String),
    /// A line is no event.
    NoEvent {
        /// From 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Io(error) => error.fmt(f),
            ReadError::NoHeader(reason) => write!(f, "line 1 is no header of {FORMAT}: {reason}"),
            ReadError::NoEvent { line, reason } => write!(f, "line {line} is no event: {reason}"),
        }
    }
}

impl std::error::Error for ReadError {}

/// Reads a whole history. A last line without its end is left out: the run was killed while it was written.
pub fn read(path: &Path) -> Result<History, ReadError> {
    read_from(BufReader::new(File::open(path).map_err(ReadError::Io)?))
}

/// As [`read`], of anything.
pub fn read_from(mut input: impl BufRead) -> Result<History, ReadError> {
    let mut line = String::new();
    input.read_line(&mut line).map_err(ReadError::Io)?;
    let header: Header =
        serde_json::from_str(&line).map_err(|error| ReadError::NoHeader(error.to_string()))?;
    if header.format != FORMAT {
        return Err(ReadError::NoHeader(format!("it is of {:?}", header.format)));
    }
    let mut history = History {
        header,
        events: Vec::new(),
        faults: Vec::new(),
        is_cut_short: false,
    };
    for number in 2.. {
        line.clear();
        if input.read_line(&mut line).map_err(ReadError::Io)? == 0 {
            break;
        }
        if let Err(reason) = history.take(&line) {
            if line.ends_with('\n') {
                return Err(ReadError::NoEvent { line: number, reason });
            }
            history.is_cut_short = true;
        }
    }
    Ok(history)
}

impl History {
    /// One line; blank ones are allowed, for files written by hand.
    fn take(&mut self, line: &str) -> Result<(), String> {
        if line.trim().is_empty() {
            return Ok(());
        }
        match serde_json::from_str::<Event>(line) {
            Ok(event) => self.events.push(event),
            Err(error) => match serde_json::from_str::<FaultEvent>(line) {
                Ok(fault) => self.faults.push(fault),
                Err(_) => return Err(error.to_string()),
            },
        }
        Ok(())
    }
}

/// Writes a history line by line.
#[derive(Debug)]
pub struct Writer {
    file: File,
}

impl Writer {
    /// A new file with its header.
    pub fn create(path: &Path, header: &Header) -> io::Result<Writer> {
        let mut writer = Writer {
            file: File::create(path)?,
        };
        writer.write(header)?;
        Ok(writer)
    }

    /// Appends a line, in one call of the system.
    pub fn write(&mut self, line: &impl serde::Serialize) -> io::Result<()> {
        let mut text = serde_json::to_vec(line).map_err(io::Error::other)?;
        text.push(b'\n');
        self.file.write_all(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = r#"{"format":"bellwether-history-1","workload":"set","seed":1,"nodes":3,"clients":6,"seconds":5,"version":"x","settings":{},"faults":[]}"#;
    const ADD: &str = r#"{"index":0,"type":"invoke","process":0,"node":1,"f":"add","value":7,"time":5}"#;
    const KILL: &str =
        r#"{"index":1,"type":"info","process":"nemesis","f":"kill-leader","value":"node 1","time":6}"#;

    fn read_text(text: &str) -> Result<History, ReadError> {
        read_from(text.as_bytes())
    }

    #[test]
    fn a_file_reads_back_as_it_was_written() {
        let history = read_text(&format!("{HEADER}\n{ADD}\n{KILL}\n")).expect("a history");
        assert_eq!((history.events.len(), history.faults.len()), (1, 1));
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("history.jsonl");
        let mut writer = Writer::create(&path, &history.header).expect("created");
        writer.write(&history.events[0]).expect("written");
        writer.write(&history.faults[0]).expect("written");
        assert_eq!(
            std::fs::read_to_string(&path).expect("text"),
            format!("{HEADER}\n{ADD}\n{KILL}\n")
        );
        assert_eq!(read(&path).expect("a history"), history);
    }

    #[test]
    fn a_torn_last_line_is_left_out_and_told() {
        let history = read_text(&format!("{HEADER}\n{ADD}\n{}", &KILL[..30])).expect("a history");
        assert_eq!((history.events.len(), history.is_cut_short), (1, true));
    }

    #[test]
    fn what_is_no_history_is_refused_with_its_line() {
        let wrong = read_text(&format!("{HEADER}\n{ADD}\nnonsense\n{KILL}\n")).expect_err("no event");
        assert!(wrong.to_string().starts_with("line 3 is no event"), "{wrong}");
        let other = HEADER.replace("history-1", "history-9");
        let wrong = read_text(&other).expect_err("another format");
        assert!(wrong.to_string().contains("history-9"), "{wrong}");
    }
}
