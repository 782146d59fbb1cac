//! `POST /process-audio` and `POST /process-video`: as `POST /process`, but answer with the result once the job has
//! ended.

use axum::Json;
use axum::extract::{Request, State};
use serde_json::value::RawValue;

use super::error::ApiError;
use super::parameters::Parameters;
use crate::api::ApiState;
use crate::api::intake::Demands;
use crate::api::waiting::{OnDisconnect, wait_for_result};
use crate::jobs::FileType;

pub(super) async fn process_audio(
    State(state): State<ApiState>,
    request: Request,
) -> Result<Json<Box<RawValue>>, ApiError> {
    process(state, request, FileType::Audio).await
}

pub(super) async fn process_video(
    State(state): State<ApiState>,
    request: Request,
) -> Result<Json<Box<RawValue>>, ApiError> {
    process(state, request, FileType::Video).await
}

async fn process(
    state: ApiState,
    request: Request,
    expected: FileType,
) -> Result<Json<Box<RawValue>>, ApiError> {
    let received = state.intake.receive(request, Parameters::from_query).await?;
    let demands = Demands { file_type: Some(expected), ..Demands::default() };
    let created = state.intake.create(received, demands).await?;
    let result = wait_for_result(&state, created, OnDisconnect::Cancel).await?;
    RawValue::from_string(result).map(Json).map_err(ApiError::internal)
}
