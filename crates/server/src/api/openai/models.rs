//! `/v1/models`: the models that can be asked for, and `whisper-1` for the default one.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;

use super::error::OpenAiError;
use crate::api::ApiState;
use crate::jobs::options::OPENAI_MODEL;

#[derive(Debug, Serialize)]
pub(super) struct Model {
    id: String,
    object: &'static str,
    /// Seconds since 1970. Model files carry no time of their own, so this is always the first second.
    created: u64,
    owned_by: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Models {
    object: &'static str,
    data: Vec<Model>,
}

fn model_of(id: String) -> Model {
    Model { id, object: "model", created: 0, owned_by: "verbatim" }
}

pub(super) async fn list(State(state): State<ApiState>) -> Json<Models> {
    let names = state.intake.recognizers.names();
    let data = std::iter::once(OPENAI_MODEL.to_owned()).chain(names).map(model_of).collect();
    Json(Models { object: "list", data })
}

pub(super) async fn model(
    State(state): State<ApiState>,
    Path(id): Path<String>,
) -> Result<Json<Model>, OpenAiError> {
    let recognizers = &state.intake.recognizers;
    if id == OPENAI_MODEL || recognizers.knows(&id) {
        return Ok(Json(model_of(id)));
    }
    let known = recognizers.names().join(", ");
    Err(OpenAiError::NoModel(format!("There is no model “{id}” here; there are: {known}.")))
}
