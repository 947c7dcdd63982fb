use std::io::{self, Read, Write};

use super::SECTOR;
use super::protocol as p;

/// What the client wants after the handshake.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Agreed {
    /// Go on to the transmission phase.
    Transmission,
    /// The client only asked, and said goodbye.
    Goodbye,
}

/// Carries out the fixed newstyle negotiation for one unnamed export of `size` bytes.
pub(super) fn negotiate(
    input: &mut impl Read,
    stream: &mut impl Write,
    size: u64,
) -> io::Result<Agreed> {
    let mut hello = Vec::with_capacity(18);
    hello.extend(p::NEGOTIATION_MAGIC);
    hello.extend(p::OPTION_MAGIC);
    hello.extend((p::FLAG_FIXED_NEWSTYLE | p::FLAG_NO_ZEROES).to_be_bytes());
    stream.write_all(&hello)?;
    let client_flags = read_u32(input)?;
    if client_flags & !(p::CLIENT_FIXED_NEWSTYLE | p::CLIENT_NO_ZEROES) != 0 {
        return Err(broken("unknown client flags"));
    }
    let no_zeroes = client_flags & p::CLIENT_NO_ZEROES != 0;
    loop {
        let mut magic = [0; 8];
        input.read_exact(&mut magic)?;
        if magic != p::OPTION_MAGIC {
            return Err(broken("option without its magic number"));
        }
        let option = read_u32(input)?;
        let length = read_u32(input)?;
        if length > p::MAX_OPTION {
            return Err(broken("option data too long"));
        }
        let mut data = vec![0; length as usize];
        input.read_exact(&mut data)?;
        match option {
            p::OPT_EXPORT_NAME if data.is_empty() => {
                let mut answer = Vec::from(size.to_be_bytes());
                answer.extend(p::EXPORT_FLAGS.to_be_bytes());
                if !no_zeroes {
                    answer.extend([0; 124]);
                }
                stream.write_all(&answer)?;
                return Ok(Agreed::Transmission);
            }
            // This option has no error reply: the protocol asks to hang up.
            p::OPT_EXPORT_NAME => return Err(broken("unknown export name")),
            p::OPT_ABORT => {
                reply(stream, option, p::REP_ACK, &[])?;
                return Ok(Agreed::Goodbye);
            }
            p::OPT_LIST if data.is_empty() => {
                reply(stream, option, p::REP_SERVER, &0_u32.to_be_bytes())?;
                reply(stream, option, p::REP_ACK, &[])?;
            }
            p::OPT_INFO | p::OPT_GO => match export_name(&data) {
                Some([]) => {
                    describe(stream, option, size)?;
                    if option == p::OPT_GO {
                        return Ok(Agreed::Transmission);
                    }
                }
                Some(_) => reply(stream, option, p::REP_ERR_UNKNOWN, b"only the default export")?,
                None => reply(stream, option, p::REP_ERR_INVALID, b"malformed option")?,
            },
            p::OPT_LIST => reply(stream, option, p::REP_ERR_INVALID, b"LIST takes no data")?,
            _ => reply(stream, option, p::REP_ERR_UNSUP, &[])?,
        }
    }
}

/// The name in an INFO or GO option: u32 length, name, u16 count, count times u16.
fn export_name(data: &[u8]) -> Option<&[u8]> {
    let (length, rest) = data.split_first_chunk::<4>()?;
    let (name, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    let (count, requests) = rest.split_first_chunk::<2>()?;
    (requests.len() == 2 * usize::from(u16::from_be_bytes(*count))).then_some(name)
}

fn describe(stream: &mut impl Write, option: u32, size: u64) -> io::Result<()> {
    let mut export = Vec::from(p::INFO_EXPORT.to_be_bytes());
    export.extend(size.to_be_bytes());
    export.extend(p::EXPORT_FLAGS.to_be_bytes());
    reply(stream, option, p::REP_INFO, &export)?;
    let mut blocks = Vec::from(p::INFO_BLOCK_SIZE.to_be_bytes());
    blocks.extend(&SECTOR.to_be_bytes()[4..]);
    blocks.extend(4096_u32.to_be_bytes());
    blocks.extend(p::MAX_PAYLOAD.to_be_bytes());
    reply(stream, option, p::REP_INFO, &blocks)?;
    reply(stream, option, p::REP_ACK, &[])
}

fn reply(stream: &mut impl Write, option: u32, kind: u32, data: &[u8]) -> io::Result<()> {
    let length = u32::try_from(data.len()).map_err(|_| broken("reply too long"))?;
    let mut message = Vec::with_capacity(20 + data.len());
    message.extend(p::OPTION_REPLY_MAGIC.to_be_bytes());
    message.extend(option.to_be_bytes());
    message.extend(kind.to_be_bytes());
    message.extend(length.to_be_bytes());
    message.extend(data);
    stream.write_all(&message)
}

fn read_u32(stream: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

fn broken(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("NBD client: {reason}"))
}
