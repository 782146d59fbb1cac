//! Errors in OpenAI's form: `{"error": {"message", "type", "param", "code"}}`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

use crate::api::intake::IntakeError;
use crate::api::waiting::WaitError;

/// An error of a request.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum OpenAiError {
    Wait(WaitError),
    /// A parameter has a value that cannot be had here.
    Unsupported {
        param: &'static str,
        message: String,
    },
    /// There is no such model.
    NoModel(String),
}

impl From<IntakeError> for OpenAiError {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::UnknownModel(message) => Self::NoModel(message),
            error => Self::Wait(error.into()),
        }
    }
}

impl From<WaitError> for OpenAiError {
    fn from(error: WaitError) -> Self {
        Self::Wait(error)
    }
}

#[derive(Debug, Serialize)]
struct Body<'a> {
    message: String,
    r#type: &'a str,
    param: Option<&'a str>,
    code: Option<&'a str>,
}

impl OpenAiError {
    fn parts(&self) -> (StatusCode, Body<'_>) {
        const REQUEST: &str = "invalid_request_error";
        const SERVER: &str = "server_error";
        let (status, message, kind, param, code) = match self {
            Self::Unsupported { param, message } => {
                (StatusCode::BAD_REQUEST, message.clone(), REQUEST, Some(*param), Some("unsupported_value"))
            }
            Self::NoModel(message) => {
                (StatusCode::NOT_FOUND, message.clone(), REQUEST, Some("model"), Some("model_not_found"))
            }
            Self::Wait(WaitError::Failed(sentence)) => {
                (StatusCode::INTERNAL_SERVER_ERROR, sentence.clone(), SERVER, None, None)
            }
            // It may have been another client's, which this request has joined: sent again, it makes a new one.
            Self::Wait(WaitError::Cancelled(sentence)) => {
                (StatusCode::SERVICE_UNAVAILABLE, sentence.clone(), SERVER, None, None)
            }
            Self::Wait(WaitError::Intake(error)) => {
                let status = match error.status() {
                    StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
                    status => status,
                };
                let kind = if status.is_server_error() { SERVER } else { REQUEST };
                (status, error.to_string(), kind, None, None)
            }
        };
        (status, Body { message, r#type: kind, param, code })
    }

    /// Logs an error of the server.
    pub(super) fn log(&self) {
        if let Self::Wait(error) = self {
            error.log();
        }
    }

    /// The body of the answer, and the last event of a stream that fails.
    pub(super) fn json(&self) -> Value {
        json!({ "error": self.parts().1 })
    }
}

impl IntoResponse for OpenAiError {
    fn into_response(self) -> Response {
        self.log();
        let status = self.parts().0;
        let mut response = (status, Json(self.json())).into_response();
        // A job that has failed would fail again: the SDKs are not to send the file once more.
        if matches!(self, Self::Wait(WaitError::Failed(_))) {
            response.headers_mut().insert("x-should-retry", HeaderValue::from_static("false"));
        }
        response
    }
}
