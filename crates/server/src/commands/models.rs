//! `verbatim models list | fetch | check`: lists, downloads and verifies model files.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use url::Url;

use crate::models::{Hub, KnownModel, Manifest, State, check, quick_check};
use crate::settings::{ModelsCommand, ModelsSettings};
use crate::units::format_size;

/// The time between the first two attempts of a download; it doubles from attempt to attempt.
const RETRY_DELAY: Duration = Duration::from_secs(2);

/// Runs the command. False if a model that was checked is missing or damaged.
pub fn run(settings: &ModelsSettings, out: &mut impl Write) -> anyhow::Result<bool> {
    let manifest = Manifest::built_in().map_err(anyhow::Error::msg)?;
    let dir = &settings.models_dir;
    match &settings.command {
        ModelsCommand::List => list(&manifest, dir, out).map(|()| true),
        ModelsCommand::Fetch { names, hub } => {
            let models = manifest.find(names).map_err(anyhow::Error::msg)?;
            fetch(&models, dir, hub.hf_endpoint.clone(), out).map(|()| true)
        }
        ModelsCommand::Check { names } => {
            let models = manifest.find(names).map_err(anyhow::Error::msg)?;
            check_all(&manifest, &models, dir, out)
        }
    }
}

fn list(manifest: &Manifest, dir: &Path, out: &mut impl Write) -> anyhow::Result<()> {
    for model in &manifest.models {
        let state = match quick_check(model, dir)? {
            State::Missing => "missing".to_owned(),
            State::Damaged(reason) => format!("damaged: {reason}"),
            State::Present => "present".to_owned(),
        };
        writeln!(out, "{:<20} {:>8}  {state}", model.name, format_size(model.size()))?;
    }
    Ok(())
}

/// Fetches models, with a progress bar. Writes a line for each to `out`.
pub(super) fn fetch(
    models: &[&KnownModel],
    dir: &Path,
    endpoint: Url,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let hub = Hub::new(endpoint, RETRY_DELAY)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for model in models {
        let fetched = runtime.block_on(hub.fetch(model, dir, bar));
        fetched.with_context(|| format!("{} could not be fetched", model.name))?;
        writeln!(out, "{} is in {}", model.name, model.dir(dir).display())?;
    }
    Ok(())
}

/// A progress bar on standard error; drawn only on a terminal.
fn bar(name: &str, bytes: Option<u64>) -> ProgressBar {
    let template = "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(bytes.unwrap_or(0)).with_style(style).with_message(name.to_owned())
}

/// Checks the named models; without names, every model of which files are present. False if one is missing or damaged.
fn check_all(
    manifest: &Manifest,
    named: &[&KnownModel],
    dir: &Path,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    let mut all_ok = true;
    let every: Vec<_> = manifest.models.iter().collect();
    for model in if named.is_empty() { &every } else { named } {
        let state = match check(model, dir)? {
            State::Missing if named.is_empty() => continue,
            State::Present => "well".to_owned(),
            State::Missing => "missing".to_owned(),
            State::Damaged(reason) => format!("damaged: {reason}"),
        };
        all_ok &= state == "well";
        writeln!(out, "{:<20} {state}", model.name)?;
        out.flush()?;
    }
    Ok(all_ok)
}
