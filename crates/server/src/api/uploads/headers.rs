//! The names of the protocol's headers, and their values.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

use super::error::UploadError;

/// The version of the protocol.
pub(super) const VERSION: &str = "1.0.0";

/// The extensions of the protocol that are implemented.
pub(super) const EXTENSIONS: &str =
    "creation,creation-with-upload,creation-defer-length,termination,expiration,checksum";

pub(super) const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");
pub(super) const TUS_CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("tus-checksum-algorithm");
pub(super) const TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
pub(super) const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
pub(super) const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
pub(super) const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
pub(super) const UPLOAD_CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");
pub(super) const UPLOAD_DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
pub(super) const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
pub(super) const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
pub(super) const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
pub(super) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");

/// The only type of a body with bytes of an upload.
const OFFSET_OCTET_STREAM: &str = "application/offset+octet-stream";

/// The value of a header as text; `None` if the header is missing.
pub(super) fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, UploadError> {
    let value = headers.get(name).map(HeaderValue::to_str).transpose();
    value.map_err(|_| UploadError::malformed(format!("The header {name} is not plain text.")))
}

/// The value of a header as a number of bytes; `None` if the header is missing.
pub(super) fn bytes(headers: &HeaderMap, name: &HeaderName) -> Result<Option<u64>, UploadError> {
    let Some(text) = text(headers, name)? else { return Ok(None) };
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if is_plain => Ok(Some(number)),
        _ => Err(UploadError::malformed(format!("“{text}” in {name} is not a number of bytes."))),
    }
}

/// Whether the body holds bytes of an upload. Fails if it holds something else.
pub(super) fn carries_bytes(headers: &HeaderMap) -> Result<bool, UploadError> {
    let kind = headers.get(header::CONTENT_TYPE);
    let is_ours = kind.is_some_and(|kind| kind == OFFSET_OCTET_STREAM);
    let has_body = bytes(headers, &header::CONTENT_LENGTH)?.unwrap_or_default() > 0
        || headers.contains_key(header::TRANSFER_ENCODING);
    if has_body && !is_ours {
        return Err(UploadError::MediaType);
    }
    Ok(is_ours)
}

/// Fails unless the body is said to hold bytes of an upload.
pub(super) fn require_bytes(headers: &HeaderMap) -> Result<(), UploadError> {
    if carries_bytes(headers)? { Ok(()) } else { Err(UploadError::MediaType) }
}

/// Adds until when the upload is kept.
pub(super) fn insert_expiry(headers: &mut HeaderMap, expires: Timestamp) -> Result<(), UploadError> {
    let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&expires).map_err(UploadError::internal)?;
    headers.insert(UPLOAD_EXPIRES, HeaderValue::try_from(date).map_err(UploadError::internal)?);
    Ok(())
}
