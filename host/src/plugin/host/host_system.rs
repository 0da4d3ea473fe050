#![forbid(unsafe_code)]
//! `wxc:template/host-system`: which directories of the host there are to show.

use std::path::Path;

use super::State;
use crate::plugin::bindings::host::wxc::host::types::Error;
use crate::plugin::bindings::host::wxc::template::host_system::{Host, HostDirectory};

impl Host for State {
    fn directories(&mut self) -> wasmtime::Result<Result<Vec<HostDirectory>, Error>> {
        let called = self.called("host-system.directories", &())?;
        self.answer(called, |state| {
            let granted = state.scope.host_directories.clone();
            Ok(Ok(granted.iter().filter_map(|path| look(path)).collect()))
        })
    }
}

/// What is at a path of the host, when it is a directory or a link to one. A link is not resolved: `/bin` is
/// to be a link inside as well.
fn look(path: &str) -> Option<HostDirectory> {
    let here = Path::new(path);
    let link = match std::fs::read_link(here) {
        Ok(target) => Some(target.into_os_string().into_string().ok()?),
        Err(_) => None,
    };
    here.is_dir().then(|| HostDirectory { path: path.to_owned(), link })
}
