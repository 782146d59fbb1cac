//! A multipart form as a stream of parts, on top of `multer`. It limits the bytes buffered in memory, the size of the
//! body, and the time in which a client sends nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::BoxError;
use axum::body::{BodyDataStream, Bytes};
use axum::http::header;
use futures_util::StreamExt;
use tokio::time::timeout;

use super::error::IntakeError;
use super::filename::Disposition;

/// The most bytes that the parser may take in before it gives out the next part or chunk: headers of a part, or bytes
/// before the first part. The parser takes all bytes that have arrived at once, so this is well above what a socket
/// buffers.
const MAX_BUFFERED_BYTES: usize = 8 << 20;

/// The longest text of a field, in bytes.
const MAX_TEXT_BYTES: usize = 8 << 10;

/// How long a client may send nothing before its request is refused.
pub(in crate::api) const STALL_TIMEOUT: Duration = Duration::from_secs(120);

/// The parts of one request, in the order in which they arrive.
#[derive(Debug)]
pub(super) struct Form<'b> {
    parts: multer::Multipart<'b>,
    buffered: BufferedBytes,
}

/// Counts the bytes that the parser has taken in since it last gave out a part or a chunk.
#[derive(Debug, Clone, Default)]
struct BufferedBytes(Arc<AtomicUsize>);

impl BufferedBytes {
    fn add(&self, bytes: usize) -> Result<(), IntakeError> {
        if self.0.fetch_add(bytes, Ordering::Relaxed) + bytes > MAX_BUFFERED_BYTES {
            return Err(IntakeError::Refused("The form cannot be read: it has endless headers.".into()));
        }
        Ok(())
    }

    fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

impl<'b> Form<'b> {
    /// Reads at most `max_bytes` of the body; a longer body is refused.
    pub(super) fn new(body: &'b mut BodyDataStream, boundary: String, max_bytes: u64) -> Self {
        let buffered = BufferedBytes::default();
        let counter = buffered.clone();
        let mut total: u64 = 0;
        let chunks = body.map(move |chunk| -> Result<Bytes, BoxError> {
            let chunk = chunk?;
            total += chunk.len() as u64;
            if total > max_bytes {
                return Err(IntakeError::Refused("The request is too large.".into()).into());
            }
            counter.add(chunk.len())?;
            Ok(chunk)
        });
        Self { parts: multer::Multipart::new(chunks, boundary), buffered }
    }

    /// The next part; `None` at the end of the form. Skips what was not read of the part before.
    pub(super) async fn next_part(&mut self) -> Result<Option<(Disposition, Part<'b>)>, IntakeError> {
        let field = with_timeout(self.parts.next_field()).await?;
        self.buffered.reset();
        Ok(field.map(|field| {
            let disposition = field.headers().get(header::CONTENT_DISPOSITION);
            let disposition = Disposition::parse(disposition.map_or(&[], |value| value.as_bytes()));
            (disposition, Part { field, buffered: self.buffered.clone() })
        }))
    }
}

/// One part's content.
#[derive(Debug)]
pub(super) struct Part<'b> {
    field: multer::Field<'b>,
    buffered: BufferedBytes,
}

impl Part<'_> {
    /// The next bytes; `None` at the end of the part.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, IntakeError> {
        let chunk = with_timeout(self.field.chunk()).await?;
        self.buffered.reset();
        Ok(chunk)
    }

    /// The whole content as text, at most 8 kB of UTF-8. `name` is the field's name, for the error.
    pub(super) async fn text(mut self, name: &str) -> Result<String, IntakeError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MAX_TEXT_BYTES {
                return Err(IntakeError::Invalid(format!("The field “{name}” is longer than 8 kB.")));
            }
        }
        String::from_utf8(bytes)
            .map_err(|_| IntakeError::Invalid(format!("The field “{name}” is not UTF-8.")))
    }
}

/// Fails with [`IntakeError::Stalled`] after [`STALL_TIMEOUT`].
async fn with_timeout<T>(future: impl Future<Output = Result<T, multer::Error>>) -> Result<T, IntakeError> {
    match timeout(STALL_TIMEOUT, future).await {
        Ok(read) => Ok(read?),
        Err(_) => Err(IntakeError::Stalled(STALL_TIMEOUT.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use futures_util::stream;

    use super::*;

    fn body(chunks: impl IntoIterator<Item = &'static [u8]>) -> BodyDataStream {
        let chunks: Vec<_> =
            chunks.into_iter().map(|chunk| Ok::<_, IntakeError>(Bytes::from(chunk))).collect();
        Body::from_stream(stream::iter(chunks)).into_data_stream()
    }

    const HEAD: &[u8] = b"--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n";

    async fn read(body: &mut BodyDataStream, max_bytes: u64) -> Result<Vec<u8>, IntakeError> {
        let mut form = Form::new(body, "x".into(), max_bytes);
        let mut content = Vec::new();
        while let Some((_, mut part)) = form.next_part().await? {
            while let Some(chunk) = part.chunk().await? {
                content.extend_from_slice(&chunk);
            }
        }
        Ok(content)
    }

    #[tokio::test]
    async fn a_part_is_whole_however_its_body_is_split_into_chunks() {
        let whole = [HEAD, b"a\r\n--b\r\n--x--\r\n"].concat();
        for size in [1, 3, 1000] {
            let whole: &'static [u8] = whole.clone().leak();
            assert_eq!(read(&mut body(whole.chunks(size)), 1000).await.unwrap(), b"a\r\n--b", "{size}");
        }
    }

    #[tokio::test]
    async fn a_form_without_its_end_is_refused() {
        for cut in [&b""[..], b"--x", HEAD, b"--x\r\nContent-Disp"] {
            let error = read(&mut body([cut]), 1000).await.unwrap_err();
            assert!(matches!(error, IntakeError::Refused(_)), "{error:?}");
        }
    }

    #[tokio::test]
    async fn a_form_of_more_than_its_limit_is_refused() {
        let error = read(&mut body([HEAD, b"0123456789"]), 60).await.unwrap_err();
        assert_eq!(error, IntakeError::Refused("The request is too large.".into()));
    }

    #[tokio::test]
    async fn endless_headers_are_not_buffered_in_memory() {
        static NOISE: [u8; 1 << 20] = [b'a'; 1 << 20];
        for before in [&b""[..], b"--x\r\nContent-Type: "] {
            let endless = std::iter::once(before).chain(std::iter::repeat_n(&NOISE[..], 100));
            let error = read(&mut body(endless), u64::MAX).await.unwrap_err();
            assert!(error.to_string().contains("endless headers"), "{error:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_nothing_is_refused() {
        let silent = Body::from_stream(stream::pending::<Result<Bytes, IntakeError>>());
        let error = read(&mut silent.into_data_stream(), 1000).await.unwrap_err();
        assert_eq!(error, IntakeError::Stalled(120));
    }
}
