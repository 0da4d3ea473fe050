#![forbid(unsafe_code)]
//! A container in the foreground, for `start -F`; and how an exit becomes an exit code.

use std::io::IsTerminal;
use std::process::ExitCode;

use super::report::Failure;
use crate::config::Name;
use crate::container::{Error, Host};
use crate::runtime::state::Exit;
use crate::runtime::{Launched, foreground};

/// Whether a person sits here: what is typed and what is shown are a terminal.
pub(super) fn has_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// Stays with it until it ends.
pub(super) fn accompany(launched: &Launched, host: &Host, name: &Name) -> Result<ExitCode, Failure> {
    let run = host.layout.run_directory(name);
    let exit = foreground::accompany(launched, &run, name.as_str()).map_err(Error::from)?;
    Ok(code(exit))
}

/// The exit code of a command: its own, or 128 + the signal that ended it.
pub(super) fn code(exit: Exit) -> ExitCode {
    ExitCode::from(u8::try_from(exit.status()).unwrap_or(u8::MAX))
}

/// Of a command that never ran: what a shell would say, 127 or 126, when that is why.
pub(super) fn failed(error: Error) -> Failure {
    match error {
        Error::Runtime(error) => {
            let code = error.exit_status();
            Failure::from(Error::Runtime(error)).code(code)
        }
        other => other.into(),
    }
}
