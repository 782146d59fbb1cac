//! `GET /`: the name and version of the service, and its endpoints.

use axum::Json;
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(super) struct Index {
    name: &'static str,
    version: &'static str,
    endpoints: &'static [Endpoint],
}

#[derive(Debug, Serialize)]
pub(super) struct Endpoint {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    description: &'static str,
}

pub(super) const ENDPOINTS: [Endpoint; 27] = [
    endpoint("GET", "/", "This list"),
    endpoint("GET", "/health", "Whether the service is well, and how busy it is"),
    endpoint("POST", "/process", "Submit an audio or video file; answers with a job id at once"),
    endpoint("POST", "/process-audio", "Submit an audio file and wait for its result"),
    endpoint("POST", "/process-video", "Submit a video file and wait for its result"),
    endpoint("POST", "/uploads", "Begin an upload that can be resumed (tus 1.0); answers with its address"),
    endpoint("HEAD", "/uploads/{job_id}", "How much of an upload has arrived"),
    endpoint("PATCH", "/uploads/{job_id}", "Send more of an upload; with its last byte it becomes a job"),
    endpoint("DELETE", "/uploads/{job_id}", "Give an upload up"),
    endpoint("GET", "/status/{job_id}", "How far a job is"),
    endpoint("GET", "/result/{job_id}", "The result of a completed job"),
    endpoint("GET", "/jobs", "All jobs, the newest first"),
    endpoint("GET", "/jobs/processing", "The jobs that are being processed"),
    endpoint("GET", "/jobs/{job_id}", "How far a job is"),
    endpoint("DELETE", "/jobs/{job_id}", "Remove a job and all that belongs to it"),
    endpoint("POST", "/jobs/{job_id}/cancel", "End a job that has not ended"),
    endpoint("POST", "/jobs/{job_id}/retry", "Do a failed or cancelled job anew"),
    endpoint("GET", "/jobs/{job_id}/events", "What happens to a job, as server-sent events"),
    endpoint("GET", "/jobs/{job_id}/segments", "The transcript of a job so far"),
    endpoint("POST", "/v1/audio/transcriptions", "Transcribe as OpenAI's API does"),
    endpoint("POST", "/v1/audio/translations", "Translate as OpenAI's API does"),
    endpoint("GET", "/v1/models", "The models, as OpenAI's API lists them"),
    endpoint("GET", "/v1/models/{id}", "One model"),
    endpoint("POST", "/asr", "Transcribe as whisper-asr-webservice does"),
    endpoint("POST", "/detect-language", "Detect the language as whisper-asr-webservice does"),
    endpoint("GET", "/status", "The version, as whisper-asr-webservice tells it"),
    endpoint("POST", "/inference", "Transcribe as whisper.cpp's server does"),
];

const fn endpoint(method: &'static str, path: &'static str, description: &'static str) -> Endpoint {
    Endpoint { method, path, description }
}

pub(super) async fn index() -> Json<Index> {
    Json(Index { name: "Verbatim", version: env!("CARGO_PKG_VERSION"), endpoints: &ENDPOINTS })
}
