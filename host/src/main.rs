//! The doorway: which role this process has.

use std::process::ExitCode;

fn main() -> ExitCode {
    let role = wxc::runtime::roles::dispatch().or_else(wxc::unpack::dispatch);
    role.unwrap_or(ExitCode::FAILURE)
}
