//! The sound of an upload.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use verbatim_media::{MediaError, PcmStream, Tracks};

use super::source::Sound;
use crate::blobs::OpenBlob;

/// An upload that is read several times.
pub(super) type SharedUpload = Arc<OpenBlob>;

/// The samples of an upload, which stays open meanwhile.
pub(super) struct UploadSound {
    pcm: PcmStream,
    /// What `pcm` may open again.
    _upload: SharedUpload,
}

impl UploadSound {
    /// Opens these tracks of the upload, or finds them out. Longer sound than `longest` is an error.
    pub(super) fn open(
        upload: SharedUpload,
        tracks: Option<Tracks>,
        longest: Duration,
    ) -> Result<Self, MediaError> {
        let pcm = match tracks {
            Some(tracks) => PcmStream::open_tracks(&upload.path(), tracks, longest)?,
            None => PcmStream::open(&upload.path(), longest)?,
        };
        Ok(Self { pcm, _upload: upload })
    }
}

impl Iterator for UploadSound {
    type Item = io::Result<Vec<f32>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.pcm.next()
    }
}

impl Sound for UploadSound {
    fn damage(&self) -> Option<&str> {
        self.pcm.damage()
    }
}
