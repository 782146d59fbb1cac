//! `verbatim submit`: uploads files, and on request waits for their results.

use std::io::{self, Write};
use std::path::Path;

use super::error::ClientError;
use super::follow::until_completed;
use super::remembered::RememberedUploads;
use super::server::Server;
use super::source::SourceFile;
use super::upload::upload;
use super::{result, waiting};
use crate::commands::output::Plan;
use crate::commands::terminal::{print_error, print_note};
use crate::jobs::JobId;
use crate::settings::{SubmitSettings, uploads_file};

/// Uploads every file, prints the ids of their jobs, and with `--wait` writes the results as they come. False if
/// something failed with one of the files; the others are sent all the same.
///
/// Ids go to standard output, except where the results go there.
pub fn run(settings: &SubmitSettings, out: &mut impl Write) -> anyhow::Result<bool> {
    let plan = Plan::new(&settings.files, &settings.format, settings.output.as_deref());
    let plan = settings.wait.then_some(plan).transpose()?;
    let server = Server::new(&settings.server.server, &settings.server.connection)?;
    waiting()?.block_on(submit(settings, &server, plan.as_ref(), out))
}

async fn submit(
    settings: &SubmitSettings,
    server: &Server,
    plan: Option<&Plan>,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    let remembered = RememberedUploads::new(uploads_file());
    let options = settings.job.named();
    let mut jobs = Vec::new();
    // All are sent before the first is waited for, so that the server has work meanwhile.
    for (index, file) in settings.files.iter().enumerate() {
        let sent = match SourceFile::open(file) {
            Ok(source) => upload(server, &source, &options, &remembered).await,
            Err(error) => Err(error),
        };
        match sent {
            Ok(job) => {
                match plan.is_some_and(Plan::is_stdout) {
                    true => print_note(format_args!("{job} {}", file.display())),
                    false => {
                        writeln!(out, "{job}")?;
                        out.flush()?;
                    }
                }
                jobs.push((index, job));
            }
            Err(error) => print_failure(file, &error.into()),
        }
    }
    let mut done = 0;
    for (index, job) in jobs {
        let written = match plan {
            Some(plan) => write(server, job, plan, index, out).await,
            None => Ok(()),
        };
        match written {
            Ok(()) => done += 1,
            Err(error) if is_closed(&error) => return Err(error),
            Err(error) => print_failure(&settings.files[index], &error),
        }
    }
    Ok(done == settings.files.len())
}

/// Waits until a job has ended, and writes its result.
async fn write(
    server: &Server,
    job: JobId,
    plan: &Plan,
    input: usize,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    until_completed(server, job).await?;
    result::write(server, job, plan, input, out).await
}

/// Whether the reader of standard output has closed it, so that nothing more can be written.
fn is_closed(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Says what is wrong with a file; errors that are about the file itself name it already.
fn print_failure(file: &Path, error: &anyhow::Error) {
    match error.downcast_ref() {
        Some(ClientError::File { .. } | ClientError::Unsuitable { .. } | ClientError::Changed(_)) => {
            print_error(error)
        }
        _ => print_error(format_args!("{}: {error:#}", file.display())),
    }
}
