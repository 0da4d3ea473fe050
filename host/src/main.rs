#![forbid(unsafe_code)]
//! The doorway: which role this process plays, and nothing else.

use std::process::ExitCode;

/// musl's own gives memory back to the kernel block by block: a third of the time of a short command.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    // Helpers first: they are to be small, and see nothing of the command line.
    wxc::runtime::roles::dispatch()
        .or_else(wxc::unpack::dispatch)
        .or_else(wxc::fetch::dispatch)
        .or_else(wxc::trust::dispatch)
        .unwrap_or_else(wxc::cli::main)
}
