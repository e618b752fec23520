//! A zlib reader that insists on the end of the stream. flate2's own readers
//! take a stream cut short for one that ended, and with it its checksum for seen.

use flate2::{Decompress, FlushDecompress, Status};
use std::io::{self, BufRead, Read};

pub(super) struct Inflate<R> {
    input: R,
    state: Decompress,
    ended: bool,
}

impl<R: BufRead> Inflate<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            state: Decompress::new(true),
            ended: false,
        }
    }

    /// After the last byte was read: whether the stream was whole, its checksum
    /// right, and nothing follows it.
    pub(super) fn finish(mut self) -> Result<(), io::Error> {
        if self.read(&mut [0])? > 0 {
            return Err(bad("it is longer than its header says"));
        }
        if !self.input.fill_buf()?.is_empty() {
            return Err(bad("garbage follows it"));
        }
        Ok(())
    }

    fn step(&mut self, out: &mut [u8]) -> io::Result<usize> {
        // Empty at the end of the input, where the state may still hold output.
        let input = self.input.fill_buf()?;
        let (in_before, out_before) = (self.state.total_in(), self.state.total_out());
        let status = self.state.decompress(input, out, FlushDecompress::None);
        let status = status.map_err(|e| bad(&e.to_string()))?;
        let consumed = (self.state.total_in() - in_before) as usize;
        let written = (self.state.total_out() - out_before) as usize;
        self.input.consume(consumed);
        self.ended = status == Status::StreamEnd;
        if consumed == 0 && written == 0 && !self.ended {
            return Err(bad("it is cut short"));
        }
        Ok(written)
    }
}

impl<R: BufRead> Read for Inflate<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while !self.ended && !out.is_empty() {
            let written = self.step(out)?;
            if written > 0 {
                return Ok(written);
            }
        }
        Ok(0)
    }
}

fn bad(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_string())
}
