//! Settings of log lines: which are written, and in which format.

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

/// Which log lines are written, by module and level.
#[derive(Debug, Clone, PartialEq)]
pub struct LogFilter(Targets);

impl LogFilter {
    /// Verbatim's own lines from `level` on, and lines of libraries from warnings on.
    pub fn level(level: LevelFilter) -> Self {
        let ours = Targets::new().with_target("verbatim", level);
        Self(ours.with_default(level.min(LevelFilter::WARN)))
    }

    /// Parses a level, or a list of `module=level` with at most one level for all other modules.
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
            // `LevelFilter` would also accept an empty text and numbers.
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

    /// The filter in the form that `tracing` uses.
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
    fn a_level_applies_to_our_own_lines_and_libraries_log_warnings() {
        let filter = LogFilter::parse("DEBUG").unwrap();
        assert!(filter.enables("verbatim::work", Level::DEBUG));
        assert!(!filter.enables("verbatim::work", Level::TRACE));
        assert!(filter.enables("sqlx::query", Level::WARN));
        assert!(!filter.enables("sqlx::query", Level::INFO));
        assert!(!LogFilter::parse("error").unwrap().enables("sqlx::query", Level::WARN));
        assert!(!LogFilter::parse("off").unwrap().enables("verbatim::work", Level::ERROR));
    }

    #[test]
    fn modules_may_have_levels_of_their_own() {
        let filter = LogFilter::parse("warn, sqlx=debug,verbatim::api=trace").unwrap();
        assert!(filter.enables("sqlx::query", Level::DEBUG));
        assert!(filter.enables("verbatim::api", Level::TRACE));
        assert!(!filter.enables("verbatim::work", Level::INFO));
    }

    #[test]
    fn invalid_levels_are_refused() {
        for text in ["", "loud", "info,", "sqlx=", "=info", "sqlx=loud", "3", "info,warn"] {
            assert!(LogFilter::parse(text).is_err(), "{text}");
        }
    }
}
