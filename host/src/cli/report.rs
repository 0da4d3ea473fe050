#![forbid(unsafe_code)]
//! Where every failure ends: message, causes, hints, exit code. Reported once, here.

use std::error::Error;
use std::process::ExitCode;

use super::output;
use crate::container;

/// A failure as a person reads it (docs/messages.md).
#[derive(Debug)]
pub struct Failure {
    message: String,
    causes: Vec<String>,
    hints: Vec<String>,
    code: u8,
}

impl Failure {
    /// A failure of the command line itself: nothing was tried.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), causes: Vec::new(), hints: Vec::new(), code: 1 }
    }

    /// What to do next; a sentence or a command.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Another exit code than 1.
    #[must_use]
    pub fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// An error with its chain of sources.
    #[must_use]
    pub fn from_error(error: &dyn Error) -> Self {
        let message = error.to_string();
        let mut causes: Vec<String> = Vec::new();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            // A layer that only wraps says the same sentence again; once is enough.
            if !message.contains(&text) && !causes.iter().any(|known| known.contains(&text)) {
                causes.push(text);
            }
            source = cause.source();
        }
        Self { message, causes, hints: Vec::new(), code: 1 }
    }

    /// Prints it and gives the exit code.
    #[must_use]
    pub fn report(self) -> ExitCode {
        output::error(&self.message, &self.causes, &self.hints);
        ExitCode::from(self.code)
    }
}

impl From<container::Error> for Failure {
    fn from(error: container::Error) -> Self {
        let mut failure = Self::from_error(&error).code(error.exit_code());
        failure.hints = error.hints();
        failure
    }
}
