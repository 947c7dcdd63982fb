use std::io::{self, Read, Write};
use std::ops::ControlFlow;

use super::protocol as p;
use super::volatile::Durability;

/// What a connection does with the requests of its client.
pub(super) trait Target {
    /// Fills `buffer` from `offset`. Like all of these, fails with `ConnectionAborted` when there is
    /// no disk any more.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
    /// Stores `data` at `offset`.
    fn write(&self, offset: u64, data: Vec<u8>, durability: Durability) -> io::Result<()>;
    /// Makes a range read as zeroes.
    fn zero(&self, range: (u64, u64), durability: Durability, discard: bool) -> io::Result<()>;
    /// Makes everything written so far durable.
    fn flush(&self) -> io::Result<()>;
    /// The size in bytes.
    fn size(&self) -> u64;
}

struct Request {
    flags: u16,
    command: u16,
    cookie: [u8; 8],
    offset: u64,
    length: u32,
}

/// Answers requests until the client disconnects.
pub(super) fn serve(
    input: &mut impl Read,
    output: &mut impl Write,
    target: &impl Target,
) -> io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(request) = next_request(input)? {
        if let ControlFlow::Break(()) = answer(&request, input, output, target, &mut buffer)? {
            break;
        }
    }
    Ok(())
}

fn next_request(input: &mut impl Read) -> io::Result<Option<Request>> {
    let mut header = [0; 28];
    match input.read_exact(&mut header) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut rest = &header[..];
    if take(&mut rest) != p::REQUEST_MAGIC.to_be_bytes() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "NBD request without its magic"));
    }
    Ok(Some(Request {
        flags: u16::from_be_bytes(take(&mut rest)),
        command: u16::from_be_bytes(take(&mut rest)),
        cookie: take(&mut rest),
        offset: u64::from_be_bytes(take(&mut rest)),
        length: u32::from_be_bytes(take(&mut rest)),
    }))
}

/// The next `N` bytes of a header whose length was checked by its array type.
fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let mut taken = [0; N];
    let (head, tail) = rest.split_at(N);
    taken.copy_from_slice(head);
    *rest = tail;
    taken
}

/// Why a request is not carried out.
enum Refusal {
    /// The protocol's error number for it.
    Number(u32),
    /// The disk failed.
    Failed(io::Error),
}

fn answer(
    request: &Request,
    input: &mut impl Read,
    output: &mut impl Write,
    target: &impl Target,
    buffer: &mut Vec<u8>,
) -> io::Result<ControlFlow<()>> {
    let durability =
        if request.flags & p::CMD_FLAG_FUA == 0 { Durability::AtFlush } else { Durability::AtOnce };
    let inside = request
        .offset
        .checked_add(u64::from(request.length))
        .is_some_and(|end| end <= target.size());
    let range = (request.offset, u64::from(request.length));
    buffer.clear();
    buffer.extend(p::SIMPLE_REPLY_MAGIC.to_be_bytes());
    buffer.extend([0; 4]);
    buffer.extend(request.cookie);
    let outcome = match request.command {
        p::CMD_READ if request.length > p::MAX_PAYLOAD => Err(Refusal::Number(p::EINVAL)),
        p::CMD_READ | p::CMD_TRIM if !inside => Err(Refusal::Number(p::EINVAL)),
        p::CMD_READ => {
            buffer.resize(16 + request.length as usize, 0);
            target.read(request.offset, &mut buffer[16..]).map_err(Refusal::Failed)
        }
        p::CMD_WRITE => {
            if request.length > p::MAX_PAYLOAD {
                // The payload cannot be skipped in reasonable time: hang up, as the protocol allows.
                return Err(io::Error::new(io::ErrorKind::InvalidData, "NBD write too long"));
            }
            let mut data = vec![0; request.length as usize];
            input.read_exact(&mut data)?;
            if inside {
                target.write(request.offset, data, durability).map_err(Refusal::Failed)
            } else {
                Err(Refusal::Number(p::ENOSPC))
            }
        }
        p::CMD_WRITE_ZEROES if !inside => Err(Refusal::Number(p::ENOSPC)),
        p::CMD_WRITE_ZEROES => target.zero(range, durability, false).map_err(Refusal::Failed),
        p::CMD_TRIM => target.zero(range, durability, true).map_err(Refusal::Failed),
        p::CMD_FLUSH => target.flush().map_err(Refusal::Failed),
        p::CMD_DISC => return Ok(ControlFlow::Break(())),
        _ => Err(Refusal::Number(p::EINVAL)),
    };
    let number = match outcome {
        Ok(()) => 0,
        Err(Refusal::Number(number)) => number,
        // The disk has no power: there is nobody to answer.
        Err(Refusal::Failed(error)) if error.kind() == io::ErrorKind::ConnectionAborted => {
            return Err(error);
        }
        Err(Refusal::Failed(_)) => p::EIO,
    };
    if number != 0 {
        buffer.truncate(16);
        buffer[4..8].copy_from_slice(&number.to_be_bytes());
    }
    output.write_all(buffer)?;
    Ok(ControlFlow::Continue(()))
}
