//! A multipart form as a stream of parts, on top of `multer`: with limits to what is held in memory, to
//! what is sent in all, and to how long a client may be silent.

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

/// What may arrive without anything coming of it, in bytes: a part's headers, or what stands before the
/// first part. The parser takes all that is there in one go, so this is well above what a socket holds.
const HELD_BYTES: usize = 8 << 20;

/// The longest text of a field, in bytes.
const TEXT_BYTES: usize = 8 << 10;

/// How long a client may send nothing.
const STALL: Duration = Duration::from_secs(120);

/// The parts of one request, in the order they come.
#[derive(Debug)]
pub(super) struct Form<'b> {
    parts: multer::Multipart<'b>,
    held: Held,
}

/// How much the parser has taken since it last gave anything back, in bytes.
#[derive(Debug, Clone, Default)]
struct Held(Arc<AtomicUsize>);

impl Held {
    fn add(&self, bytes: usize) -> Result<(), IntakeError> {
        if self.0.fetch_add(bytes, Ordering::Relaxed) + bytes > HELD_BYTES {
            return Err(IntakeError::Refused("The form cannot be read: it has endless headers.".into()));
        }
        Ok(())
    }

    fn release(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

impl<'b> Form<'b> {
    /// Takes at most `most_bytes` of the body.
    pub(super) fn new(body: &'b mut BodyDataStream, boundary: String, most_bytes: u64) -> Self {
        let held = Held::default();
        let holding = held.clone();
        let mut total: u64 = 0;
        let chunks = body.map(move |chunk| -> Result<Bytes, BoxError> {
            let chunk = chunk?;
            total += chunk.len() as u64;
            if total > most_bytes {
                return Err(IntakeError::Refused("The request is too large.".into()).into());
            }
            holding.add(chunk.len())?;
            Ok(chunk)
        });
        Self { parts: multer::Multipart::new(chunks, boundary), held }
    }

    /// The next part, after what is left of the one before.
    pub(super) async fn next_part(&mut self) -> Result<Option<(Disposition, Part<'b>)>, IntakeError> {
        let field = in_time(self.parts.next_field()).await?;
        self.held.release();
        Ok(field.map(|field| {
            let disposition = field.headers().get(header::CONTENT_DISPOSITION);
            let disposition = Disposition::parse(disposition.map_or(&[], |value| value.as_bytes()));
            (disposition, Part { field, held: self.held.clone() })
        }))
    }
}

/// One part's content.
#[derive(Debug)]
pub(super) struct Part<'b> {
    field: multer::Field<'b>,
    held: Held,
}

impl Part<'_> {
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, IntakeError> {
        let chunk = in_time(self.field.chunk()).await?;
        self.held.release();
        Ok(chunk)
    }

    /// The whole content as text; `name` is the field's.
    pub(super) async fn text(mut self, name: &str) -> Result<String, IntakeError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > TEXT_BYTES {
                return Err(IntakeError::Invalid(format!("The field “{name}” is longer than 8 kB.")));
            }
        }
        String::from_utf8(bytes)
            .map_err(|_| IntakeError::Invalid(format!("The field “{name}” is not UTF-8.")))
    }
}

async fn in_time<T>(reading: impl Future<Output = Result<T, multer::Error>>) -> Result<T, IntakeError> {
    match timeout(STALL, reading).await {
        Ok(read) => Ok(read?),
        Err(_) => Err(IntakeError::Stalled(STALL.as_secs())),
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

    async fn read(body: &mut BodyDataStream, most_bytes: u64) -> Result<Vec<u8>, IntakeError> {
        let mut form = Form::new(body, "x".into(), most_bytes);
        let mut content = Vec::new();
        while let Some((_, mut part)) = form.next_part().await? {
            while let Some(chunk) = part.chunk().await? {
                content.extend_from_slice(&chunk);
            }
        }
        Ok(content)
    }

    #[tokio::test]
    async fn a_part_comes_whole_however_it_is_cut() {
        let whole = [HEAD, b"a\r\n--b\r\n--x--\r\n"].concat();
        for size in [1, 3, 1000] {
            let whole: &'static [u8] = whole.clone().leak();
            assert_eq!(read(&mut body(whole.chunks(size)), 1000).await.unwrap(), b"a\r\n--b", "{size}");
        }
    }

    #[tokio::test]
    async fn a_form_that_breaks_off_is_refused() {
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
    async fn endless_headers_are_not_gathered_in_memory() {
        static NOISE: [u8; 1 << 20] = [b'a'; 1 << 20];
        for before in [&b""[..], b"--x\r\nContent-Type: "] {
            let endless = std::iter::once(before).chain(std::iter::repeat_n(&NOISE[..], 100));
            let error = read(&mut body(endless), u64::MAX).await.unwrap_err();
            assert!(error.to_string().contains("endless headers"), "{error:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_given_up() {
        let silent = Body::from_stream(stream::pending::<Result<Bytes, IntakeError>>());
        let error = read(&mut silent.into_data_stream(), 1000).await.unwrap_err();
        assert_eq!(error, IntakeError::Stalled(120));
    }
}
