//! What the plugin tests share.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::path::{Path, PathBuf};

use wxc::plugin::{FailureKind, Places, PluginError};

/// The compiler that the build put beside the program.
pub(crate) fn compiler() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_wxc")).with_file_name("wxc-compile")
}

/// Places in a directory of the test's own: nothing of this machine is looked at.
pub(crate) fn places(top: &Path) -> Places {
    Places {
        given: None,
        installed: top.join("installed"),
        system: top.join("system"),
        cache: top.join("cache"),
        grants: top.join("grants.toml"),
        compiler: Some(compiler()),
    }
}

/// The kind of failure that a plugin reported.
pub(crate) fn failure(result: Result<impl std::fmt::Debug, PluginError>) -> FailureKind {
    let error = result.expect_err("must fail");
    error.failure().unwrap_or_else(|| panic!("{error}"))
}
