//! Keys that sign what a test's server has, made by GnuPG.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A GnuPG with one key. Its agent ends with it.
#[derive(Debug)]
pub struct Keys {
    // Not the test's own directory: names of sockets are short.
    home: tempfile::TempDir,
    /// Fingerprint of the key.
    pub fingerprint: String,
}

impl Drop for Keys {
    fn drop(&mut self) {
        let mut end = Command::new("gpgconf");
        let _gone = end.args(["--kill", "all"]).env("GNUPGHOME", self.home.path()).status();
    }
}

impl Keys {
    /// A new key.
    ///
    /// # Panics
    /// When there is no gpg.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "it makes a key")]
    pub fn new() -> Self {
        let home = tempfile::Builder::new().prefix("wxc-gpg").tempdir().unwrap();
        let mut keys = Self { home, fingerprint: String::new() };
        keys.gpg(&["--quick-gen-key", "a test's images", "ed25519", "sign", "never"], b"");
        let listed = String::from_utf8(keys.gpg(&["--with-colons", "--list-keys"], b"")).unwrap();
        let line = listed.lines().find(|line| line.starts_with("fpr:")).unwrap();
        line.split(':').nth(9).unwrap().clone_into(&mut keys.fingerprint);
        keys
    }

    fn gpg(&self, args: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = Command::new("gpg")
            .args(["--batch", "--quiet", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""])
            .args(args)
            .env("GNUPGHOME", self.home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("gpg is installed by cargo xtask setup");
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "gpg {args:?}");
        output.stdout
    }

    /// Another key beside the first, which is still the one that signs.
    pub fn add(&self) {
        self.gpg(&["--quick-gen-key", "somebody else", "ed25519", "sign", "never"], b"");
    }

    /// What `GNUPGHOME` has to be for a `gpg` that has the key.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// A file with the public key.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        let path = self.home.path().join("public.asc");
        fs::write(&path, self.gpg(&["--armor", "--export"], b"")).unwrap();
        path
    }

    /// A signature beside these bytes.
    #[must_use]
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.gpg(&["--armor", "--detach-sign"], bytes)
    }

    /// A signature around them.
    #[must_use]
    pub fn clear(&self, bytes: &[u8]) -> Vec<u8> {
        self.gpg(&["--clear-sign"], bytes)
    }
}
