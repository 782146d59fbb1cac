//! The values of the protocol's headers.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

use super::error::UploadError;
use super::protocol::UPLOAD_EXPIRES;

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
