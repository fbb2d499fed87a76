//! What the objects of a journal hold: lines of JSON, which a person can read with any tool. The last line says how many
//! there are, and authenticates them by a key of the installation.

use aws_lc_rs::hmac;
use bytes::Bytes;
use lazuli_db::dump::Cell;
use serde::{Deserialize, Serialize};

use super::field::{Field, base64};

/// The version of the format that this program writes.
pub(super) const VERSION: u32 = 1;
/// What follows the lines in the last one.
const END: &str = r#"{"end":"#;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The first one.
    Head(Head),
    /// Rows of a table.
    Rows(Rows),
    /// A blob that a manifest names.
    Blob(KnownBlob),
    /// A manifest.
    Manifest(Body),
    /// A change.
    Operation(Logged),
}

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A part of a snapshot: all rows, in the order of their tables.
    Snapshot,
    /// The end of a snapshot, written last.
    Complete,
    /// Changes after it.
    Segment,
}

/// Which record it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Names the installation.
    pub journal: String,
    /// Of the format.
    pub version: u32,
    /// What it is.
    pub kind: Kind,
    /// A snapshot with the segments after it.
    pub generation: u64,
    /// Counts parts, or segments, from 1 on.
    pub number: u64,
    /// The last operation before it, or, of a snapshot, that is in it.
    pub after: i64,
    /// When it was written, in microseconds since the epoch.
    pub written_at: i64,
    /// Parts of the snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<u64>,
    /// Operations that are in a snapshot though they had no number yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub included: Vec<String>,
}

/// Rows of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names in the text")]
pub struct Rows {
    /// The table.
    pub table: String,
    /// Its columns.
    pub columns: Vec<String>,
    /// A value for each column.
    pub rows: Vec<Vec<Field>>,
}

impl Rows {
    /// The rows as the database takes them.
    pub(super) fn cells(self) -> (String, Vec<String>, Vec<Vec<Cell>>) {
        let cells = |row: Vec<Field>| row.into_iter().map(|field| field.0).collect();
        let rows = self.rows.into_iter().map(cells).collect();
        (self.table, self.columns, rows)
    }
}

/// What the database knew of a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownBlob {
    /// Whose.
    pub registry: i64,
    /// Its digest.
    pub digest: String,
    /// Its length in bytes.
    pub size: i64,
    /// Its bytes, if it is kept in the database.
    #[serde(default, with = "base64", skip_serializing_if = "Option::is_none")]
    pub content: Option<Vec<u8>>,
}

/// The bytes of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// Its digest.
    pub digest: String,
    /// The bytes; a manifest is text.
    pub text: String,
}

/// An operation of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logged {
    /// Its identifier, in hexadecimal digits.
    pub id: String,
    /// Its number.
    pub sequence: i64,
    /// Whose registry.
    pub registry: i64,
    /// Whose repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// What was done.
    pub kind: String,
    /// The details, as the log has them.
    pub payload: String,
    /// Identifiers of the operations whose effect it removes.
    #[serde(default, with = "base64", skip_serializing_if = "Option::is_none")]
    pub observed: Option<Vec<u8>>,
    /// By whom.
    pub principal: String,
    /// In which request.
    pub request: String,
    /// When, in microseconds since the epoch.
    pub created_at: i64,
}

#[derive(Serialize, Deserialize)]
struct End {
    end: Sum,
}

#[derive(Serialize, Deserialize)]
struct Sum {
    lines: u64,
    mac: String,
}

/// Why a record cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Its end is missing.
    #[error("it is not whole")]
    NotWhole,
    /// It does not have the bytes that were written, or they were written with another key.
    #[error("it was altered, or written with another master key")]
    Altered,
    /// It is of a newer program.
    #[error("it was written by a newer version (format {0})")]
    Newer(u32),
    /// A line is not what it should be.
    #[error("line {line}: {problem}")]
    Malformed {
        /// Counted from 1 on.
        line: usize,
        /// What is wrong.
        problem: String,
    },
}

/// A record that is being written.
pub(super) struct Writer {
    text: Vec<u8>,
    lines: u64,
}

impl Writer {
    pub(super) fn new(head: Head) -> Self {
        let mut writer = Self {
            text: Vec::new(),
            lines: 0,
        };
        writer.push(&Line::Head(head));
        writer
    }

    pub(super) fn push(&mut self, line: &Line) {
        // Texts and numbers always have a JSON form.
        if serde_json::to_writer(&mut self.text, line).is_ok() {
            self.text.push(b'\n');
            self.lines += 1;
        }
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    pub(super) fn finish(mut self, key: &hmac::Key) -> Bytes {
        end(&mut self.text, self.lines, key);
        self.text.into()
    }
}

/// Adds the last line.
pub(super) fn end(text: &mut Vec<u8>, lines: u64, key: &hmac::Key) {
    let sum = Sum {
        lines,
        mac: hex(hmac::sign(key, text).as_ref()),
    };
    if serde_json::to_writer(&mut *text, &End { end: sum }).is_ok() {
        text.push(b'\n');
    }
}

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Which one.
    pub head: Head,
    /// What follows.
    pub lines: Vec<Line>,
}

impl Record {
    /// Reads a record, and checks that it is what was written with this key.
    pub(super) fn read(text: &[u8], key: &hmac::Key) -> Result<Self, RecordError> {
        let malformed = |line: usize, problem: &dyn std::fmt::Display| RecordError::Malformed {
            line: line + 1,
            problem: problem.to_string(),
        };
        let body = text.strip_suffix(b"\n").ok_or(RecordError::NotWhole)?;
        let start = body.iter().rposition(|byte| *byte == b'\n');
        let (lines, last) = body.split_at(start.map_or(0, |at| at + 1));
        if !last.starts_with(END.as_bytes()) {
            return Err(RecordError::NotWhole);
        }
        let End { end } = serde_json::from_slice(last).map_err(|_| RecordError::NotWhole)?;
        let mac = unhex(&end.mac).ok_or(RecordError::Altered)?;
        hmac::verify(key, lines, &mac).map_err(|_| RecordError::Altered)?;
        let mut read = Vec::new();
        let texts = lines.split(|byte| *byte == b'\n').filter(|l| !l.is_empty());
        for (number, line) in texts.enumerate() {
            if number == 0 {
                check_version(line).map_err(RecordError::Newer)?;
            }
            read.push(serde_json::from_slice(line).map_err(|error| malformed(number, &error))?);
        }
        if read.len() as u64 != end.lines {
            return Err(RecordError::NotWhole);
        }
        let mut read = read.into_iter();
        let Some(Line::Head(head)) = read.next() else {
            return Err(malformed(0, &"the head is missing"));
        };
        Ok(Self {
            head,
            lines: read.collect(),
        })
    }
}

impl Record {
    /// Whether a text is a record that was written with this key.
    pub fn check(text: &[u8], key: &[u8; 32]) -> Result<(), RecordError> {
        Self::read(text, &super::mac_key(key)).map(drop)
    }
}

/// A newer format need not be readable beyond its number.
fn check_version(line: &[u8]) -> Result<(), u32> {
    let head = serde_json::from_slice::<serde_json::Value>(line).ok();
    let version = head.and_then(|head| head.get("head")?.get("version")?.as_u64());
    match version.and_then(|version| u32::try_from(version).ok()) {
        Some(version) if version > VERSION => Err(version),
        _ => Ok(()),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok())
        .collect()
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
