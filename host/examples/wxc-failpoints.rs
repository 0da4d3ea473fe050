#![forbid(unsafe_code)]
//! `wxc` as its crash tests run it: with places to be killed at (`sys::failpoint`).

use std::process::ExitCode;

fn main() -> ExitCode {
    wxc::runtime::roles::dispatch()
        .or_else(wxc::unpack::dispatch)
        .or_else(wxc::fetch::dispatch)
        .or_else(wxc::trust::dispatch)
        .unwrap_or_else(wxc::cli::main)
}
