//! A snapshot message as it is carried: the bytes of [`Message::encode`], of which nobody needs to have all in memory.
//!
//! Raft's message is written without its rows ([`head`]), and the rows follow. To protobuf that is one message: of a
//! field that comes twice the parts are merged. A node of the version before reads it so, and sends one in which the
//! rows stand in the middle; [`parse`] finds them in either.

use super::message::{Body, Message, Unintelligible, VERSION};
use prost_for_raft::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

/// Numbers of protobuf fields: raft's snapshot in its message, and the rows in that.
const SNAPSHOT: u32 = 9;
const DATA: u32 = 1;
/// Of [`Body::Snapshot`] in postcard.
const BODY: u32 = 1;
/// All but the rows is small: a place in the log, and the membership.
const REST: usize = 1 << 20;

/// What is sent before the rows, of which there are so many bytes. `None` for another message.
pub fn head(message: &Message, rows: u64) -> Option<Vec<u8>> {
    let Body::Snapshot(raft) = &message.body else {
        return None;
    };
    let inner = key_len(DATA) as u64 + encoded_len_varint(rows) as u64 + rows;
    let mut before = raft.clone();
    encode_key(SNAPSHOT, WireType::LengthDelimited, &mut before);
    encode_varint(inner, &mut before);
    encode_key(DATA, WireType::LengthDelimited, &mut before);
    encode_varint(rows, &mut before);
    let whole = before.len() as u64 + rows;
    let envelope = (message.from, message.to, BODY, whole);
    let mut head = postcard::to_extend(&envelope, vec![VERSION]).expect("numbers encode");
    head.append(&mut before);
    Some(head)
}

/// The message without its rows, and where in the source these are.
pub fn parse(source: &mut (impl Read + Seek)) -> Result<(Message, Range<u64>), Unintelligible> {
    let mut parser = Parser {
        source,
        rest: Vec::new(),
        rows: None,
    };
    match parser.byte()? {
        VERSION => {}
        version => return Err(Unintelligible::Version(version)),
    }
    let [from, to, body, size] = [(); 4].map(|()| parser.varint());
    let (from, to, body, size) = (from?, to?, body?, size?);
    if body != u64::from(BODY) {
        return Err(garbled("it is no snapshot"));
    }
    let end = parser.at()?.checked_add(size);
    let end = end.ok_or_else(|| garbled("its size is beyond all bounds"))?;
    parser.fields(end, true)?;
    if parser.byte().is_ok() {
        return Err(garbled("it goes on after its end"));
    }
    let rows = parser.rows.ok_or_else(|| garbled("it has no rows"))?;
    let body = Body::Snapshot(parser.rest);
    Ok((Message { from, to, body }, rows))
}

struct Parser<'s, S> {
    source: &'s mut S,
    rest: Vec<u8>,
    rows: Option<Range<u64>>,
}

impl<S: Read + Seek> Parser<'_, S> {
    /// Keeps the fields up to `end`, but for the rows. `outer`: of raft's message, not of the snapshot in it.
    fn fields(&mut self, end: u64, outer: bool) -> Result<(), Unintelligible> {
        while self.at()? < end {
            let key = self.varint()?;
            let field = u32::try_from(key >> 3).map_err(|_| garbled("a field has no number"))?;
            match (key & 7, outer, field) {
                (2, true, SNAPSHOT) => {
                    let within = self.range(end)?;
                    self.fields(within.end, false)?;
                }
                (2, false, DATA) if self.rows.is_none() => {
                    let rows = self.range(end)?;
                    self.source.seek(SeekFrom::Start(rows.end)).map_err(io)?;
                    self.rows = Some(rows);
                }
                (2, false, DATA) => return Err(garbled("it has rows twice")),
                (wire, ..) => self.keep(key, wire, end, outer)?,
            }
        }
        match self.at()? == end {
            true => Ok(()),
            false => Err(garbled("a field is longer than what it is in")),
        }
    }

    fn keep(&mut self, key: u64, wire: u64, end: u64, outer: bool) -> Result<(), Unintelligible> {
        let mut field = Vec::new();
        encode_varint(key, &mut field);
        match wire {
            0 => encode_varint(self.varint()?, &mut field),
            2 => {
                let range = self.range(end)?;
                let length = range.end - range.start;
                encode_varint(length, &mut field);
                self.copy(length, &mut field)?;
            }
            1 => self.copy(8, &mut field)?,
            5 => self.copy(4, &mut field)?,
            _ => return Err(garbled("a field is of no known kind")),
        }
        if !outer {
            encode_key(SNAPSHOT, WireType::LengthDelimited, &mut self.rest);
            encode_varint(field.len() as u64, &mut self.rest);
        }
        self.rest.append(&mut field);
        match self.rest.len() <= REST {
            true => Ok(()),
            false => Err(garbled("it is large without its rows")),
        }
    }

    fn copy(&mut self, length: u64, to: &mut Vec<u8>) -> Result<(), Unintelligible> {
        if length > REST as u64 {
            return Err(garbled("it is large without its rows"));
        }
        let read = (&mut *self.source).take(length).read_to_end(to);
        match read.map_err(io)? as u64 == length {
            true => Ok(()),
            false => Err(garbled("it is cut short")),
        }
    }

    /// What a length stands before.
    fn range(&mut self, end: u64) -> Result<Range<u64>, Unintelligible> {
        let length = self.varint()?;
        let start = self.at()?;
        let to = start.checked_add(length).filter(|to| *to <= end);
        let to = to.ok_or_else(|| garbled("a field is longer than what it is in"))?;
        Ok(start..to)
    }

    fn varint(&mut self) -> Result<u64, Unintelligible> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(garbled("a number has no end"))
    }

    fn byte(&mut self) -> Result<u8, Unintelligible> {
        let mut byte = [0];
        self.source.read_exact(&mut byte).map_err(io)?;
        Ok(byte[0])
    }

    fn at(&mut self) -> Result<u64, Unintelligible> {
        self.source.stream_position().map_err(io)
    }
}

fn garbled(why: &str) -> Unintelligible {
    Unintelligible::Garbled(why.to_owned())
}

fn io(error: io::Error) -> Unintelligible {
    Unintelligible::Garbled(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost_for_raft::Message as _;
    use raft::eraftpb::{ConfState, Message as RaftMessage, MessageType, Snapshot};
    use std::io::Cursor;

    fn raft_message(rows: &[u8]) -> RaftMessage {
        let mut snapshot = Snapshot::default();
        let metadata = snapshot.mut_metadata();
        (metadata.index, metadata.term) = (1 << 40, 7);
        metadata.set_conf_state(ConfState::from((vec![1, 2], vec![300])));
        snapshot.data = rows.to_vec();
        let mut message = RaftMessage {
            to: 300,
            from: 2,
            term: 7,
            commit: 12,
            ..RaftMessage::default()
        };
        message.set_msg_type(MessageType::MsgSnapshot);
        message.set_snapshot(snapshot);
        message
    }

    fn carrying(message: &RaftMessage) -> Message {
        Message {
            from: message.from,
            to: message.to,
            body: Body::Snapshot(message.encode_to_vec()),
        }
    }

    fn raft_of(message: &Message) -> RaftMessage {
        let Body::Snapshot(bytes) = &message.body else {
            panic!("{message:?}");
        };
        RaftMessage::decode(bytes.as_slice()).expect("raft's")
    }

    fn carried(rows: &[u8]) -> Vec<u8> {
        let message = carrying(&raft_message(b""));
        let mut bytes = head(&message, rows.len() as u64).expect("a snapshot");
        bytes.extend_from_slice(rows);
        bytes
    }

    #[test]
    fn to_the_version_before_it_is_one_message() {
        for rows in [&b""[..], b"r", &[7; 300]] {
            let decoded = Message::decode(&carried(rows)).expect("decodes");
            assert_eq!(raft_of(&decoded), raft_message(rows));
        }
    }

    /// From this version and from the one before.
    #[test]
    fn the_rows_are_found() {
        for rows in [&b"r"[..], &[7; 300]] {
            let before = carrying(&raft_message(rows)).encode();
            for bytes in [carried(rows), before] {
                let (message, range) = parse(&mut Cursor::new(&bytes)).expect("parses");
                let range = range.start as usize..range.end as usize;
                assert_eq!(bytes[range], *rows);
                assert_eq!(raft_of(&message), raft_message(b""));
                assert_eq!((message.from, message.to), (2, 300));
            }
        }
    }

    #[test]
    fn what_is_cut_or_goes_on_is_refused() {
        let mut bytes = carried(&[7; 300]);
        for cut in 0..bytes.len() {
            let parsed = parse(&mut Cursor::new(&bytes[..cut]));
            let whole = parsed.is_ok_and(|(_, rows)| rows.end <= cut as u64);
            assert!(!whole, "{cut}");
        }
        bytes.push(0);
        parse(&mut Cursor::new(&bytes)).expect_err("it goes on");
    }

    #[test]
    fn lengths_that_are_lies_take_no_memory() {
        let message = Message {
            from: 1,
            to: 2,
            body: Body::Snapshot(vec![0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        };
        parse(&mut Cursor::new(message.encode())).expect_err("a lie");
    }
}
