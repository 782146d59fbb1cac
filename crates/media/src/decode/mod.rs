//! The sound of a file as a stream of samples: [`stream`] runs ffmpeg, [`packets`] reads its output, [`clock`] says where
//! in the recording each packet belongs, [`timeline`] joins them without gaps, and [`downmix`] mixes their channels.

mod clock;
mod downmix;
mod packets;
mod stream;
mod timeline;

pub use self::stream::PcmStream;
