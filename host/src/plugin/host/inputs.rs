#![forbid(unsafe_code)]
//! `wxc:template/inputs`: small pieces of what the user named.

use super::State;
use super::failure::failure;
use super::log::printable;
use crate::plugin::bindings::host::wxc::host::types::{Error, ErrorKind};
use crate::plugin::bindings::host::wxc::template::inputs::{Given, Host};

/// Longest piece.
const LONGEST: u32 = 1 << 20;

/// Why a piece cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputError {
    /// It is not there.
    Missing,
    /// It is longer than what was asked for.
    Long,
    /// Anything else, as a sentence.
    Failed(String),
}

/// What the user named with parameters of kind `file` and `directory`.
pub trait Inputs: std::fmt::Debug + Send + Sync {
    /// A regular file of at most `limit` bytes: below a directory, or a member of an archive; with an empty path the file that was
    /// named itself.
    ///
    /// # Errors
    /// It cannot be had.
    fn read(&self, parameter: &str, path: &str, limit: u32) -> Result<Vec<u8>, InputError>;
}

impl Host for State {
    fn read(&mut self, input: Given, limit: u32) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        let called = self.called("inputs.read", &(&input, limit))?;
        self.answer(called, |state| Ok(state.input(&input, limit)))
    }
}

impl State {
    fn input(&self, input: &Given, limit: u32) -> Result<Vec<u8>, Error> {
        let Some(inputs) = self.scope.inputs.clone() else {
            return Err(failure(ErrorKind::Denied, "this call may read nothing of the user's"));
        };
        let Given { parameter, path } = input;
        super::place::parts(path)?;
        let of = printable(parameter);
        let name = if path.is_empty() { format!("--{of}") } else { format!("{} of --{of}", printable(path)) };
        inputs.read(parameter, path, limit.min(LONGEST)).map_err(|error| match error {
            InputError::Missing => failure(ErrorKind::NotFound, format!("there is no {name}")),
            InputError::Long => failure(ErrorKind::Exhausted, format!("{name} is longer than {limit} bytes")),
            InputError::Failed(why) => failure(ErrorKind::Failed, format!("cannot read {name}: {why}")),
        })
    }
}
