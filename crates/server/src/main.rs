//! The command line: reads it, starts what it asks for, and turns the end into an exit code.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tracing::level_filters::LevelFilter;
use verbatim::app::{App, AppError};
use verbatim::commands::client::actions::{self, Action};
use verbatim::commands::client::{jobs, result, submit};
use verbatim::commands::terminal::{Output, print_error};
use verbatim::commands::{PlanError, completions, models, structure, transcribe, version, watch};
use verbatim::settings::{Cli, Command, LogFilter, LogSettings, ServeSettings, explain};
use verbatim::telemetry;
use verbatim_structure::LoadError;

/// The engine takes and gives back buffers of some megabytes for every window. The system's allocator leaves
/// holes between them, by which a process grew 7 MB with every hour of audio (docs/performance.md). Huge pages
/// are off (`no_thp`): the kernel takes longer to find and clear them than they save.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Bad arguments and bad settings, as clap has it.
const USAGE_ERROR: u8 = 2;

/// What a shell makes of a program that SIGPIPE has ended: 128 and the signal's number.
const NOBODY_READS: u8 = 128 + 13;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let mut out = Output::stdout();
    let done = match cli.command {
        Some(command) => run(command, &cli.log, &mut out),
        None if cli.version => {
            version::run(cli.verbose, &mut out).map(|()| ExitCode::SUCCESS).map_err(Into::into)
        }
        None => Cli::missing_command().exit(),
    };
    if out.is_closed() {
        return ExitCode::from(NOBODY_READS);
    }
    done.unwrap_or_else(|error| {
        print_error(format_args!("{error:#}"));
        if error.is::<PlanError>() { ExitCode::from(USAGE_ERROR) } else { ExitCode::FAILURE }
    })
}

fn run(command: Command, log: &LogSettings, out: &mut Output) -> anyhow::Result<ExitCode> {
    let default = match command {
        Command::Serve(_) => LevelFilter::INFO,
        _ => LevelFilter::WARN,
    };
    let filter = log.log_level.clone().unwrap_or_else(|| LogFilter::level(default));
    telemetry::init(&filter, log.log_format);
    match command {
        Command::Serve(settings) => serve(settings).map(|()| ExitCode::SUCCESS),
        Command::Transcribe(settings) => transcribe::run(&settings, out).map(exit_code),
        Command::Watch(settings) => watch::run(&settings, out).map(exit_code),
        Command::Submit(settings) => submit::run(&settings, out).map(exit_code),
        Command::Jobs(settings) => jobs::run(&settings, out).map(|()| ExitCode::SUCCESS),
        Command::Result(settings) => result::run(&settings, out).map(|()| ExitCode::SUCCESS),
        Command::Cancel(settings) => actions::run(Action::Cancel, &settings, out).map(exit_code),
        Command::Retry(settings) => actions::run(Action::Retry, &settings, out).map(exit_code),
        Command::Delete(settings) => actions::run(Action::Delete, &settings, out).map(exit_code),
        Command::Structure(settings) => structure::run(&settings, out).map(|()| ExitCode::SUCCESS),
        Command::Models(settings) => models::run(&settings, out).map(exit_code),
        Command::Completions(settings) => {
            completions::run(settings.shell, out).map(|()| ExitCode::SUCCESS).map_err(Into::into)
        }
        Command::Man(settings) => completions::write_man(&settings, out).map(|()| ExitCode::SUCCESS),
    }
}

fn exit_code(all_well: bool) -> ExitCode {
    if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Says in one sentence what is wrong with a value; leaves everything else, `--help` included, to clap.
fn refuse(error: &clap::Error) -> ExitCode {
    match explain(error) {
        Some(sentence) => {
            print_error(sentence);
            ExitCode::from(USAGE_ERROR)
        }
        None => error.exit(),
    }
}

fn serve(settings: ServeSettings) -> anyhow::Result<()> {
    telemetry::log_panics();
    let runtime = Runtime::new().context("cannot start")?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let models_dir = settings.model.models_dir.clone();
        let app = App::start(settings).await.map_err(|error| match error {
            AppError::NotFetched { .. }
            | AppError::Structure(LoadError::NoPipeline { .. })
            | AppError::Model(_)
            | AppError::Vad(_) => models_dir.explain(error),
            error => error.into(),
        })?;
        tracing::info!(address = %app.address(), "listening");
        tokio::select! {
            _ = terminate.recv() => tracing::info!("stopping: SIGTERM"),
            _ = interrupt.recv() => tracing::info!("stopping: SIGINT"),
        }
        app.shut_down().await;
        tracing::info!("stopped");
        anyhow::Ok(())
    })?;
    // Threads that still decode or compute end with the process.
    runtime.shutdown_background();
    Ok(())
}
