//! Decodes the sound of a file to a stream of samples. [`stream`] runs ffmpeg, [`packets`] reads its output,
//! [`clock`] finds the place of each packet in the recording, [`timeline`] joins the packets without gaps, and
//! [`downmix`] mixes their channels. [`distinct`] tells which channels differ.

mod clock;
mod distinct;
mod downmix;
mod packets;
mod stream;
mod timeline;

pub use self::distinct::distinct_channels;
pub use self::stream::PcmStream;
