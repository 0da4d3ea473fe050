#![forbid(unsafe_code)]
//! The doorway: which role this process plays, and nothing else.

use std::process::ExitCode;

#[global_allocator]
static HEAP: wxc::sys::heap::Heap = wxc::sys::heap::Heap::new();

fn main() -> ExitCode {
    // Helpers first: they are to be small, and see nothing of the command line.
    wxc::runtime::roles::dispatch()
        .or_else(wxc::unpack::dispatch)
        .or_else(wxc::fetch::dispatch)
        .or_else(wxc::trust::dispatch)
        .unwrap_or_else(|| {
            HEAP.hurry();
            wxc::cli::main()
        })
}
