//! Reads ffmpeg's output: packets of samples, each with its time in the recording.
//!
//! The container is SMJPEG, the simplest one that ffmpeg can write in which sound has times: a header, then chunks of
//! a tag, a time in milliseconds, a size and samples. (Raw samples have no times, Matroska and NUT no negative ones.)
//! Times have 32 bits and wrap around. A malicious file may have taken control of ffmpeg, so its output is not
//! trusted: every size is limited, and output in another format is an error.

use std::io::{self, Read};

const MAGIC: &[u8; 8] = b"\0\nSMJPEG";

/// The maximum size of a description of the stream or a line of text, in bytes.
const MAX_HEADER_BYTES: u32 = 64 << 10;

/// The maximum size of a packet, in bytes. A frame of the common codecs has at most 300,000 samples per channel.
const MAX_PACKET_BYTES: u32 = 32 << 20;

/// A packet of samples.
#[derive(Debug, PartialEq)]
pub(super) struct Packet {
    /// Milliseconds modulo 2^32.
    pub(super) time: u32,
    /// The samples of all channels, interleaved.
    pub(super) samples: Vec<i16>,
}

/// Reads packets with `channels` channels. An output that ends early, even within a packet, is no error: the exit
/// status of ffmpeg shows whether something is missing.
#[derive(Debug)]
pub(super) struct Packets<R> {
    source: R,
    channels: usize,
    header_read: bool,
}

impl<R: Read> Packets<R> {
    pub(super) fn new(source: R, channels: usize) -> Self {
        Self { source, channels, header_read: false }
    }

    pub(super) fn source(&self) -> &R {
        &self.source
    }

    pub(super) fn into_source(self) -> R {
        self.source
    }

    /// The next packet, or `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Packet>> {
        let packet = self.read();
        match packet {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            packet => packet,
        }
    }

    fn read(&mut self) -> io::Result<Option<Packet>> {
        if !self.header_read {
            self.read_header()?;
            self.header_read = true;
        }
        match &self.bytes()? {
            b"sndD" => {}
            b"DONE" => return Ok(None),
            _ => return Err(malformed("a chunk that is no sound")),
        }
        let time = self.number()?;
        let size = self.number()?;
        if size > MAX_PACKET_BYTES || !(size as usize).is_multiple_of(2 * self.channels) {
            return Err(malformed("a packet of an impossible size"));
        }
        let mut bytes = Vec::new();
        if self.source.by_ref().take(u64::from(size)).read_to_end(&mut bytes)? < size as usize {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let samples = bytes.as_chunks().0.iter().map(|sample| i16::from_le_bytes(*sample)).collect();
        Ok(Some(Packet { time, samples }))
    }

    fn read_header(&mut self) -> io::Result<()> {
        if self.bytes()? != *MAGIC {
            return Err(malformed("another format"));
        }
        let [_version, _duration] = [self.number()?, self.number()?];
        loop {
            match &self.bytes()? {
                b"_TXT" => self.skip()?,
                b"_SND" => self.read_format()?,
                b"HEND" => return Ok(()),
                _ => return Err(malformed("an unknown header")),
            }
        }
    }

    fn skip(&mut self) -> io::Result<()> {
        let size = self.number()?;
        if size > MAX_HEADER_BYTES {
            return Err(malformed("a header of an impossible size"));
        }
        io::copy(&mut self.source.by_ref().take(u64::from(size)), &mut io::sink())?;
        Ok(())
    }

    fn read_format(&mut self) -> io::Result<()> {
        let size = self.number()?;
        let [_rate_high, _rate_low, bits, channels] = self.bytes()?;
        let codec: [u8; 4] = self.bytes()?;
        if size != 8 || bits != 16 || usize::from(channels) != self.channels || codec != *b"NONE" {
            return Err(malformed("sound in another form"));
        }
        Ok(())
    }

    fn number(&mut self) -> io::Result<u32> {
        Ok(u32::from_be_bytes(self.bytes()?))
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.source.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} came out of ffmpeg"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(channels: u8) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([0; 8]);
        bytes.extend(b"_TXT\0\0\0\x05hello_SND\0\0\0\x08\x3e\x80\x10");
        bytes.push(channels);
        bytes.extend(b"NONEHEND");
        bytes
    }

    fn packet(time: u32, samples: &[i16]) -> Vec<u8> {
        let mut bytes = b"sndD".to_vec();
        bytes.extend(time.to_be_bytes());
        bytes.extend((samples.len() as u32 * 2).to_be_bytes());
        bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        bytes
    }

    /// All packets, and the error after them, if any.
    fn read(bytes: &[u8], channels: usize) -> (Vec<Packet>, Option<io::Error>) {
        let (mut packets, mut read) = (Packets::new(bytes, channels), Vec::new());
        loop {
            match packets.next() {
                Ok(Some(packet)) => read.push(packet),
                Ok(None) => return (read, None),
                Err(error) => return (read, Some(error)),
            }
        }
    }

    fn two_packets() -> Vec<u8> {
        [header(2), packet(7, &[1, -2, 300, -400]), packet(u32::MAX, &[5, 6]), b"DONE".to_vec()].concat()
    }

    #[test]
    fn packets_have_their_times_and_samples() {
        let (packets, error) = read(&two_packets(), 2);
        assert!(error.is_none());
        assert_eq!(packets.len(), 2);
        assert_eq!(packets[0], Packet { time: 7, samples: vec![1, -2, 300, -400] });
        assert_eq!(packets[1], Packet { time: u32::MAX, samples: vec![5, 6] });
    }

    #[test]
    fn truncated_output_has_the_complete_packets() {
        let whole = two_packets();
        for length in 0..whole.len() {
            let (packets, error) = read(&whole[..length], 2);
            assert!(error.is_none(), "{length}: {error:?}");
            assert!(packets.len() <= 2);
        }
    }

    #[test]
    fn output_in_another_format_is_refused() {
        let huge = [&header(1)[..], b"sndD\0\0\0\0\xff\xff\xff\xfe"].concat();
        let odd = [&header(2)[..], b"sndD\0\0\0\0\0\0\0\x02\0\0"].concat();
        let text = [&MAGIC[..], &[0; 8], b"_TXT\xff\xff\xff\xff"].concat();
        let video = [&header(1)[..], b"vidD\0\0\0\0\0\0\0\0"].concat();
        for (bytes, channels) in
            [(huge, 1), (odd, 2), (text, 1), (video, 1), (header(6), 2), (vec![7; 99], 1)]
        {
            let (packets, error) = read(&bytes, channels);
            assert!(packets.is_empty());
            assert_eq!(error.unwrap().kind(), io::ErrorKind::InvalidData);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            noise in proptest::collection::vec(any::<u8>(), 0..200),
            at in 0_usize..80,
            with in any::<u8>(),
        ) {
            read(&noise, 2);
            read(&[header(2), noise].concat(), 2);
            let mut changed = two_packets();
            let at = at % changed.len();
            changed[at] = with;
            read(&changed, 2);
        }
    }
}
