//! Fetches models on first use, once the user has agreed.

use std::io;
use std::path::Path;

use crate::commands::models;
use crate::commands::terminal::ask;
use crate::models::{Kind, KnownModel, Manifest};
use crate::settings::LocalSettings;
use crate::units::format_size;

/// The files of a Whisper model in CTranslate2's format that the engine cannot do without.
const NEEDED: [&str; 3] = ["model.bin", "config.json", "tokenizer.json"];

/// Fetches the Whisper model of the settings, and with it the one of voice activity, if they are not here or only in
/// part. Asks before on a terminal, unless the settings say to fetch. Does nothing where the model is no known one,
/// where nobody can be asked, and where the answer is no: the start of the engine then says what is missing.
pub(in crate::commands) fn fetch_missing(settings: &LocalSettings) -> anyhow::Result<()> {
    let (model, dir) = (&settings.model.whisper_model, &settings.model.models_dir);
    if model.is_path() || is_whole(&settings.model.whisper_path()) {
        return Ok(());
    }
    let manifest = Manifest::built_in().map_err(anyhow::Error::msg)?;
    let Some(whisper) = manifest.whisper(model.name()) else { return Ok(()) };
    // First, because it is small, and of no use are all others without it.
    let vad = manifest.models.iter().find(|model| model.kind == Kind::Vad);
    let missing: Vec<&KnownModel> =
        vad.filter(|_| !settings.model.vad_path().exists()).into_iter().chain([whisper]).collect();
    if !settings.fetch {
        let size = format_size(missing.iter().map(|model| model.size()).sum());
        let (name, dir, hub) = (&whisper.name, dir.display(), &settings.hub.hf_endpoint);
        if ask(format_args!("The model {name} is not in {dir}. Fetch it from {hub} ({size})?")) != Some(true)
        {
            return Ok(());
        }
    }
    // Standard output is for transcripts.
    models::fetch(&missing, dir, settings.hub.hf_endpoint.clone(), &mut io::stderr())
}

/// Whether a model is at a path: a file, or a folder with what the engine needs.
fn is_whole(path: &Path) -> bool {
    path.is_file() || NEEDED.iter().all(|name| path.join(name).is_file())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_model_is_whole_as_a_file_or_as_a_folder_with_all_that_is_needed() {
        let dir = TempDir::new().unwrap();
        let (file, folder) = (dir.path().join("ggml-base.bin"), dir.path().join("base"));
        assert!(!is_whole(&file) && !is_whole(&folder));
        fs::write(&file, "ggml").unwrap();
        fs::create_dir(&folder).unwrap();
        for name in ["model.bin.part", "config.json", "tokenizer.json"] {
            fs::write(folder.join(name), "{}").unwrap();
        }
        assert!(is_whole(&file) && !is_whole(&folder));
        fs::rename(folder.join("model.bin.part"), folder.join("model.bin")).unwrap();
        assert!(is_whole(&folder));
    }
}
