//! Seals rows as they come, sorts them, and writes them in the order in which they lie.

use super::Row;
use crate::keyspace::Place;
use crate::materialized::{Database, MaterializedError};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of a piece of memory for rows: one that had to grow would be copied, and memory that is new is slow.
const PIECE_BYTES: usize = 1 << 20;
const READ_BYTES: usize = 64 << 10;
/// Bytes that are written before they are made durable: one sync of gigabytes would stall the log beside it.
const SYNC_BYTES: usize = 128 << 20;
const WRITE_BYTES: usize = 1 << 20;

/// In which of the databases, and where in it.
type Spot = (u32, Place);

/// Some of the rows.
pub(super) struct Sorter {
    directory: PathBuf,
    gathered_bytes: usize,
    databases: Vec<Arc<Database>>,
    rows: Vec<Gathered>,
    /// Sealed bytes in the order in which they came: full pieces, the one that is being filled, and those that wait to be filled again.
    pieces: Vec<Vec<u8>>,
    piece: usize,
    /// Sorted rows on the disk: a file, and where in it each run ends.
    spilled: Option<File>,
    runs: Vec<u64>,
}

/// Where a row lies, which of two in one place came first, and where its sealed bytes are meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Gathered {
    spot: Spot,
    piece: usize,
    start: usize,
    end: usize,
}

impl Sorter {
    /// With room in memory for so many bytes; what does not fit lies in `directory`.
    pub(super) fn new(directory: &Path, gathered_bytes: usize) -> Sorter {
        let (databases, rows, piece, spilled, runs) = Default::default();
        Sorter {
            directory: directory.to_owned(),
            gathered_bytes,
            databases,
            rows,
            pieces: vec![Vec::new()],
            piece,
            spilled,
            runs,
        }
    }

    /// Takes rows.
    pub(super) fn take_all(&mut self, rows: Vec<Row>) -> Result<(), MaterializedError> {
        rows.iter().try_for_each(|row| self.take(row))
    }

    fn take(&mut self, row: &Row) -> Result<(), MaterializedError> {
        let Row { database, place, key, value } = row;
        let known = self.databases.iter().rposition(|known| Arc::ptr_eq(known, database));
        let number = known.unwrap_or_else(|| {
            self.databases.push(database.clone());
            self.databases.len() - 1
        });
        if self.pieces[self.piece].len() >= PIECE_BYTES {
            self.piece += 1;
            if self.piece == self.pieces.len() {
                self.pieces.push(Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 16));
            }
        }
        let blobs = &mut self.pieces[self.piece];
        let start = blobs.len();
        database.keyspace.seal_row_into(place, key, value, &*database.entropy, blobs);
        // Nobody has four thousand million environments.
        let spot = (u32::try_from(number).unwrap_or(u32::MAX), *place);
        self.rows.push(Gathered { spot, piece: self.piece, start, end: blobs.len() });
        if self.piece * PIECE_BYTES + blobs.len() + self.rows.len() * size_of::<Gathered>() >= self.gathered_bytes {
            self.spill().map_err(|source| self.failed(source))?;
        }
        Ok(())
    }

    /// Writes everything.
    pub(super) fn finish(mut self) -> Result<(), MaterializedError> {
        if self.spilled.is_some() {
            self.spill().map_err(|source| self.failed(source))?;
            // What is read back takes its place.
            self.pieces = Vec::new();
            return self.merge();
        }
        self.rows.sort_unstable();
        for row in std::mem::take(&mut self.rows) {
            self.databases[row.spot.0 as usize].insert(&row.spot.1, self.blob(&row))?;
        }
        Ok(())
    }

    /// Holds one row at a time, and of each run no more than its reader does.
    fn merge(mut self) -> Result<(), MaterializedError> {
        let Some(file) = self.spilled.take() else { return Ok(()) };
        let starts = std::iter::once(0).chain(self.runs.iter().copied());
        let run = |(at, end): (u64, &u64)| BufReader::with_capacity(READ_BYTES, Run { file: &file, at, end: *end });
        let mut runs: Vec<_> = starts.zip(&self.runs).map(run).collect();
        let head = |run: &mut _, number: usize| {
            let head = read_head(run).map_err(|source| self.failed(source))?;
            Ok(head.map(|(spot, len)| Reverse((spot, number, len))))
        };
        let mut next = BinaryHeap::with_capacity(runs.len());
        for (number, run) in runs.iter_mut().enumerate() {
            next.extend(head(run, number)?);
        }
        let (mut blob, mut unsynced) = (Vec::new(), 0);
        while let Some(Reverse(((database, place), number, len))) = next.pop() {
            let (run, database) = (&mut runs[number], &self.databases[database as usize]);
            blob.resize(len, 0);
            run.read_exact(&mut blob).map_err(|source| self.failed(source))?;
            database.insert(&place, &blob)?;
            unsynced += len;
            if unsynced >= SYNC_BYTES {
                database.make_durable()?;
                unsynced = 0;
            }
            next.extend(head(run, number)?);
        }
        Ok(())
    }

    /// Lays what is gathered on the disk, sorted.
    fn spill(&mut self) -> io::Result<()> {
        self.rows.sort_unstable();
        let file = match self.spilled.take() {
            Some(file) => file,
            None => tempfile::tempfile_in(&self.directory)?,
        };
        let mut run = BufWriter::with_capacity(WRITE_BYTES, file);
        for row in &self.rows {
            let ((number, place), blob) = (row.spot, self.blob(row));
            run.write_all(&number.to_le_bytes())?;
            run.write_all(&place)?;
            run.write_all(&u32::try_from(blob.len()).map_err(io::Error::other)?.to_le_bytes())?;
            run.write_all(blob)?;
        }
        let mut file = run.into_inner().map_err(io::IntoInnerError::into_error)?;
        self.runs.push(file.stream_position()?);
        self.spilled = Some(file);
        self.rows.clear();
        self.pieces.iter_mut().for_each(Vec::clear);
        self.piece = 0;
        Ok(())
    }

    fn blob(&self, row: &Gathered) -> &[u8] {
        &self.pieces[row.piece][row.start..row.end]
    }

    fn failed(&self, source: io::Error) -> MaterializedError {
        MaterializedError::Io { doing: "sorting rows in", path: self.directory.clone(), source }
    }
}

/// A part of a file.
struct Run<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for Run<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(bytes.len());
        let read = self.file.read_at(&mut bytes[..left], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// Where the next row of a run lies, and how long it is; its bytes follow.
fn read_head(run: &mut impl BufRead) -> io::Result<Option<(Spot, usize)>> {
    // A run ends between two rows.
    if run.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let (mut number, mut place, mut len) = ([0; 4], Place::default(), [0; 4]);
    run.read_exact(&mut number)?;
    run.read_exact(&mut place)?;
    run.read_exact(&mut len)?;
    Ok(Some(((u32::from_le_bytes(number), place), u32::from_le_bytes(len) as usize)))
}
