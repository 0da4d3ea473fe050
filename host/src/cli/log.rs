#![forbid(unsafe_code)]
//! The log: by level, to a file (`-o`, `-l`) and with `-v` to standard error.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::sync::Mutex;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::args::{Global, LogLevel};
use super::report::Failure;

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

/// Both places a line may go to.
struct Writers {
    file: Option<Mutex<std::fs::File>>,
    terminal: bool,
}

struct Line<'a>(&'a Writers);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.terminal {
            io::stderr().lock().write_all(line)?;
        }
        if let Some(file) = &self.0.file {
            file.lock().map_err(|_| io::Error::other("the log is poisoned"))?.write_all(line)?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Writers {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

/// Sets the log up; without `-o` and `-v` nothing is written and events cost next to nothing.
///
/// # Errors
/// The log file cannot be opened.
pub(super) fn set_up(global: &Global) -> Result<(), Failure> {
    let file = match &global.log_file {
        None => None,
        Some(path) => {
            Some(Mutex::new(OpenOptions::new().create(true).append(true).open(path).map_err(|error| {
                Failure::new(format!("cannot open the log file {}: {error}", path.display()))
                    .hint("name another file with -o, or leave it out")
            })?))
        }
    };
    let terminal = match global.verbose {
        0 => None,
        1 => Some(LevelFilter::INFO),
        2 => Some(LevelFilter::DEBUG),
        _ => Some(LevelFilter::TRACE),
    };
    if file.is_none() && terminal.is_none() {
        return Ok(());
    }
    let to_file = file.as_ref().map(|_| LevelFilter::from(global.log_level));
    let level = to_file.max(terminal).unwrap_or(LevelFilter::OFF);
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        .with_writer(Writers { file, terminal: terminal.is_some() })
        .finish();
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|error| Failure::new(format!("cannot set up the log: {error}")))
}
