use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use super::protocol::MAX_PAYLOAD;
use super::volatile::Durability;

/// What a guest did to its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// Wrote data.
    Write(Durability),
    /// Wrote zeroes without sending them.
    Zero(Durability),
    /// Declared a range unused.
    Discard,
    /// Asked for everything so far to be made durable, and was answered.
    Flush,
}

impl EventKind {
    fn code(self) -> u8 {
        match self {
            Self::Write(Durability::AtFlush) => 1,
            Self::Write(Durability::AtOnce) => 2,
            Self::Zero(Durability::AtFlush) => 3,
            Self::Zero(Durability::AtOnce) => 4,
            Self::Discard => 5,
            Self::Flush => 6,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Write(Durability::AtFlush),
            2 => Self::Write(Durability::AtOnce),
            3 => Self::Zero(Durability::AtFlush),
            4 => Self::Zero(Durability::AtOnce),
            5 => Self::Discard,
            6 => Self::Flush,
            _ => return None,
        })
    }
}

/// One entry of a [`Recording`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Since the recording began.
    pub at: Duration,
    /// What was done.
    pub kind: EventKind,
    /// Where, in bytes; 0 for a flush.
    pub offset: u64,
    /// How much, in bytes; 0 for a flush.
    pub length: u64,
    /// The data of a write, else empty.
    pub data: Vec<u8>,
}

const MAGIC: [u8; 8] = *b"HFWRLOG1";
const HEADER: usize = 8 + 8 + 8 + 1;

/// Writes a [`Recording`].
#[derive(Debug)]
pub struct Recorder {
    file: BufWriter<File>,
    begun: Instant,
}

impl Recorder {
    /// Begins a recording at `path`, whose times count from `begun`.
    pub fn create(path: &Path, begun: Instant) -> io::Result<Self> {
        let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
        file.write_all(&MAGIC)?;
        Ok(Self { file, begun })
    }

    pub(super) fn append(
        &mut self,
        kind: EventKind,
        offset: u64,
        length: u64,
        data: &[u8],
    ) -> io::Result<()> {
        let microseconds = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut header = Vec::with_capacity(HEADER);
        header.push(kind.code());
        header.extend(microseconds.to_le_bytes());
        header.extend(offset.to_le_bytes());
        header.extend(length.to_le_bytes());
        self.file.write_all(&header)?;
        self.file.write_all(data)
    }
}

/// Every write and flush of a device in order, as recorded to a file.
#[derive(Debug)]
pub struct Recording {
    file: BufReader<File>,
}

impl Recording {
    /// Opens the recording at `path` at its first event.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
        let mut magic = [0; MAGIC.len()];
        file.read_exact(&mut magic)?;
        if magic != MAGIC {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a write recording"));
        }
        Ok(Self { file })
    }

    /// How many events the recording at `path` has.
    pub fn count_events(path: &Path) -> io::Result<u64> {
        let mut recording = Self::open(path)?;
        let mut count = 0;
        while recording.next_event()?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    /// The next event, or `None` at the end. An event cut off at the end of the file is no event.
    pub fn next_event(&mut self) -> io::Result<Option<Event>> {
        let Some((mut event, data_length)) = self.header()? else { return Ok(None) };
        event.data.resize(data_length as usize, 0);
        match self.file.read_exact(&mut event.data) {
            Ok(()) => Ok(Some(event)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// An event without its data, and how many bytes of data follow.
    fn header(&mut self) -> io::Result<Option<(Event, u32)>> {
        let mut header = [0; HEADER];
        match self.file.read_exact(&mut header) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&header[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        let (offset, length) = (number(9), number(17));
        let kind = EventKind::from_code(header[0]).ok_or_else(damaged)?;
        let data_length = match kind {
            EventKind::Write(_) => {
                u32::try_from(length).ok().filter(|n| *n <= MAX_PAYLOAD).ok_or_else(damaged)?
            }
            _ => 0,
        };
        let at = Duration::from_micros(number(1));
        Ok(Some((Event { at, kind, offset, length, data: Vec::new() }, data_length)))
    }
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "damaged write recording")
}
