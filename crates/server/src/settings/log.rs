//! Which log lines are written, and how they look.

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line, for programs
    Json,
}

/// Which log lines are written.
#[derive(Debug, Clone, PartialEq)]
pub struct LogFilter(Targets);

impl LogFilter {
    /// Our own lines from `level` on, and those of libraries from warnings on.
    pub fn level(level: LevelFilter) -> Self {
        let ours = Targets::new().with_target("verbatim", level);
        Self(ours.with_default(level.min(LevelFilter::WARN)))
    }

    /// A level, or a list of `module=level` with at most one level for all the rest.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |piece: &str| {
            format!("“{piece}” is not one of trace, debug, info, warn, error or off, nor module=level")
        };
        let mut filter: Option<Targets> = None;
        let mut modules = Vec::new();
        for piece in text.split(',').map(str::trim) {
            let (module, level) = match piece.split_once('=') {
                Some((module, level)) => (Some(module.trim()), level.trim()),
                None => (None, piece),
            };
            // `LevelFilter` would take an empty text and numbers, too.
            let is_word = !level.is_empty() && level.bytes().all(|b| b.is_ascii_alphabetic());
            let level: LevelFilter = level.parse().ok().filter(|_| is_word).ok_or_else(|| wrong(piece))?;
            match module {
                Some("") => return Err(wrong(piece)),
                Some(module) => modules.push((module.to_owned(), level)),
                None if filter.is_some() => return Err(format!("“{text}” has two levels for all the rest")),
                None => filter = Some(Self::level(level).0),
            }
        }
        let filter = filter.unwrap_or_else(|| Self::level(LevelFilter::INFO).0);
        Ok(Self(filter.with_targets(modules)))
    }

    /// As tracing filters by them.
    pub fn targets(&self) -> &Targets {
        &self.0
    }

    #[cfg(test)]
    fn enables(&self, target: &str, level: tracing::Level) -> bool {
        self.0.would_enable(target, &level)
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_level_is_for_our_own_lines_and_libraries_stay_quiet() {
        let filter = LogFilter::parse("DEBUG").unwrap();
        assert!(filter.enables("verbatim::work", Level::DEBUG));
        assert!(!filter.enables("verbatim::work", Level::TRACE));
        assert!(filter.enables("sqlx::query", Level::WARN));
        assert!(!filter.enables("sqlx::query", Level::INFO));
        assert!(!LogFilter::parse("error").unwrap().enables("sqlx::query", Level::WARN));
        assert!(!LogFilter::parse("off").unwrap().enables("verbatim::work", Level::ERROR));
    }

    #[test]
    fn modules_have_levels_of_their_own() {
        let filter = LogFilter::parse("warn, sqlx=debug,verbatim::api=trace").unwrap();
        assert!(filter.enables("sqlx::query", Level::DEBUG));
        assert!(filter.enables("verbatim::api", Level::TRACE));
        assert!(!filter.enables("verbatim::work", Level::INFO));
    }

    #[test]
    fn what_is_no_level_is_refused() {
        for text in ["", "loud", "info,", "sqlx=", "=info", "sqlx=loud", "3", "info,warn"] {
            assert!(LogFilter::parse(text).is_err(), "{text}");
        }
    }
}
