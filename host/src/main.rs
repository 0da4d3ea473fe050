//! The doorway: which role this process has.

use std::process::ExitCode;

fn main() -> ExitCode {
    wxc::unpack::dispatch().unwrap_or(ExitCode::FAILURE)
}
