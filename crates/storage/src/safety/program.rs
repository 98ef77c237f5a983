//! The compiled statement, as EXPLAIN lists it (<https://sqlite.org/opcode.html>): the main program, then those of its
//! triggers and foreign-key actions.

use std::collections::{BTreeMap, BTreeSet};

use crate::database::Database;
use crate::error::SqliteError;
use crate::statement::Prepared;

/// What is of interest in it.
#[derive(Debug, Default)]
pub(super) struct Program {
    /// Scalar functions, as SQLite calls them.
    pub(super) functions: BTreeSet<String>,
    /// Aggregates and window functions.
    pub(super) aggregates: BTreeSet<String>,
    /// It counts rows, and ends when there are enough.
    pub(super) limits: bool,
    pub(super) uses_virtual_table: bool,
    /// The statement itself.
    pub(super) main: Part,
    /// Its triggers and foreign-key actions.
    pub(super) fired: Part,
    /// Rowids are given in tables, by whether these are AUTOINCREMENT.
    gives: BTreeSet<bool>,
}

/// What a program does, or several.
#[derive(Debug, Default)]
pub(super) struct Part {
    /// It goes from row to row of a table or an index.
    pub(super) scans: bool,
    /// And gives rowids as it goes, or fires what may.
    pub(super) gives_while_scanning: bool,
}

/// One program while it is read.
#[derive(Default)]
struct Reading {
    /// By cursor: whether it is on a table or an index, not on what the statement keeps for itself.
    cursors: BTreeMap<i64, bool>,
    /// Where rowids are given, or a program is fired.
    gives: Vec<i64>,
    /// From where to where it goes round.
    loops: Vec<(i64, i64)>,
    scans: bool,
    is_read: bool,
}

/// One instruction.
struct Instruction<'a> {
    address: i64,
    opcode: &'a str,
    p1: i64,
    p2: i64,
    p3: i64,
    p4: &'a str,
}

impl Program {
    pub(super) fn of(database: &Database, sql: &str) -> Result<Program, SqliteError> {
        let mut program = Program::default();
        let mut listing = Prepared::internal(database, &format!("EXPLAIN {sql}"))?;
        let mut reading = Reading::default();
        let mut is_main = true;
        while listing.step()? {
            let instruction = Instruction {
                address: listing.integer(0),
                opcode: listing.string(1).unwrap_or_default(),
                p1: listing.integer(2),
                p2: listing.integer(3),
                p3: listing.integer(4),
                p4: listing.string(5).unwrap_or_default(),
            };
            if instruction.address == 0 && reading.is_read {
                program.add(std::mem::take(&mut reading), is_main);
                is_main = false;
            }
            program.read(&mut reading, &instruction);
        }
        program.add(reading, is_main);
        Ok(program)
    }

    fn read(&mut self, reading: &mut Reading, instruction: &Instruction<'_>) {
        let Instruction {
            address,
            p1,
            p2,
            p3,
            p4,
            ..
        } = *instruction;
        // `name(count)`; the count is −1 for any.
        let function = || p4.split('(').next().unwrap_or_default().to_owned();
        let on_table = reading.cursors.get(&p1).copied().unwrap_or(true);
        reading.loops.extend(
            (p2 < address)
                .then_some((p2, address))
                .filter(|_| instruction.jumps()),
        );
        reading.is_read = true;
        match instruction.opcode {
            "Function" | "PureFunc" => drop(self.functions.insert(function())),
            "AggStep" | "AggStep1" | "AggInverse" | "AggValue" | "AggFinal" => {
                self.aggregates.insert(function());
            }
            "OpenRead" | "OpenWrite" | "ReopenIdx" => drop(reading.cursors.insert(p1, true)),
            "OpenEphemeral" | "OpenAutoindex" | "OpenPseudo" | "OpenDup" | "SorterOpen" => {
                reading.cursors.insert(p1, false);
            }
            "Next" | "Prev" => reading.scans |= on_table,
            "DecrJumpZero" | "IfNotZero" | "IfPos" | "OffsetLimit" => self.limits = true,
            "Program" => reading.gives.push(address),
            // P3 is where AUTOINCREMENT's last is kept.
            "NewRowid" if on_table => {
                reading.gives.push(address);
                self.gives.insert(p3 > 0);
            }
            "VOpen" | "VFilter" | "VNext" | "VUpdate" | "VBegin" => self.uses_virtual_table = true,
            _ => {}
        }
    }

    fn add(&mut self, reading: Reading, is_main: bool) {
        let part = if is_main { &mut self.main } else { &mut self.fired };
        let is_round = |at: &i64| reading.loops.iter().any(|(from, to)| (from..=to).contains(&at));
        part.scans |= reading.scans;
        part.gives_while_scanning |= reading.scans && reading.gives.iter().any(is_round);
    }

    /// In tables that are AUTOINCREMENT, or that are not.
    pub(super) fn gives_rowids(&self, is_autoincrement: bool) -> bool {
        self.gives.contains(&is_autoincrement)
    }

    pub(super) fn gives_any_rowids(&self) -> bool {
        !self.gives.is_empty()
    }
}

impl Instruction<'_> {
    /// Whether it may go on at P2; of those that go back, without the one that begins the statement (from where Init has
    /// jumped).
    fn jumps(&self) -> bool {
        if self.opcode == "Goto" && self.p2 == 1 {
            return false;
        }
        matches!(
            self.opcode,
            "Next" | "Prev" | "VNext" | "SorterNext" | "Goto" | "RowSetRead"
        )
    }
}
