//! The header `Content-Disposition` of answers that are files.

use axum::http::HeaderValue;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// How a browser takes a file: `inline` or `attachment`, and its name, of any letters (RFC 6266).
pub(super) fn content_disposition(kind: &str, name: &str) -> HeaderValue {
    let text = format!("{kind}; filename*=UTF-8''{}", utf8_percent_encode(name, NON_ALPHANUMERIC));
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("attachment"))
}
