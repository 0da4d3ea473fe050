#![forbid(unsafe_code)]
//! `wxc:host/trust`: signatures, checked with key rings that a guest can name and never sees.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::sync::{Mutex, PoisonError};

use super::State;
use super::failure::failure;
use crate::plugin::bindings::host::wxc::host::trust::{Host, SignedText};
use crate::plugin::bindings::host::wxc::host::types::{Error, ErrorKind};
use crate::trust::{Form, Ring, TrustError, Vouched, verify, verify_file};

/// Key rings of one command, by the names that a plugin uses, and whose signatures held.
#[derive(Debug, Default)]
pub struct Verifier {
    rings: BTreeMap<String, Result<Ring, TrustError>>,
    /// With the name of the ring.
    signers: Mutex<BTreeSet<(String, String)>>,
}

impl Verifier {
    /// Rings by name; a name that the plugin declares and that leads nowhere is told when it is used.
    #[must_use]
    pub fn new(rings: BTreeMap<String, Result<Ring, TrustError>>) -> Self {
        Self { rings, signers: Mutex::default() }
    }

    /// Whether a signature of this key held in this command, as one of this ring, or of any.
    #[must_use]
    pub fn has_seen(&self, ring: Option<&str>, signer: &str) -> bool {
        let signers = self.signers.lock().unwrap_or_else(PoisonError::into_inner);
        signers.iter().any(|(of, known)| known == signer && ring.is_none_or(|ring| ring == of))
    }

    /// Checks a signature beside a file, however long that is; returns the fingerprint of the key.
    ///
    /// # Errors
    /// There is no such ring, or nobody of it vouches for the file.
    pub fn check_file(&self, ring: &str, file: &File, signature: &[u8]) -> Result<String, TrustError> {
        let none = || TrustError::NoRing { name: ring.to_owned(), why: "nobody keeps one".to_owned() };
        let keys = self.rings.get(ring).ok_or_else(none)?.as_ref().map_err(Clone::clone)?;
        let signer = verify_file(keys, file, signature)?;
        self.remember(ring, &signer);
        Ok(signer)
    }

    /// Whose signatures held, with the names of their rings.
    pub(in crate::plugin) fn seen(&self) -> Vec<(String, String)> {
        self.signers.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// One that has seen these already, and has no rings.
    pub(in crate::plugin) fn having_seen(signers: &[(String, String)]) -> Self {
        Self { rings: BTreeMap::new(), signers: Mutex::new(signers.iter().cloned().collect()) }
    }

    fn remember(&self, ring: &str, signer: &str) {
        let mut signers = self.signers.lock().unwrap_or_else(PoisonError::into_inner);
        signers.insert((ring.to_owned(), signer.to_owned()));
    }
}

impl Host for State {
    fn has_keyring(&mut self, keyring: String) -> wasmtime::Result<bool> {
        let called = self.called("trust.has-keyring", &(&keyring,))?;
        self.answer(called, |state| {
            let verifier = state.scope.verifier.as_ref();
            Ok(verifier.is_some_and(|verifier| matches!(verifier.rings.get(&keyring), Some(Ok(_)))))
        })
    }

    fn verify(
        &mut self,
        keyring: String,
        content: Vec<u8>,
        signature: Vec<u8>,
    ) -> wasmtime::Result<Result<String, Error>> {
        let called = self.called("trust.verify", &(&keyring, &content, &signature))?;
        self.answer(called, |state| {
            Ok(state.check(&keyring, Form::Detached, &content, &signature).map(|vouched| vouched.signer))
        })
    }

    fn verify_clear(
        &mut self,
        keyring: String,
        document: Vec<u8>,
    ) -> wasmtime::Result<Result<SignedText, Error>> {
        let called = self.called("trust.verify-clear", &(&keyring, &document))?;
        self.answer(called, |state| {
            let vouched = state.check(&keyring, Form::Clear, &document, &[]);
            Ok(vouched.map(|vouched| SignedText { signer: vouched.signer, content: vouched.content }))
        })
    }
}

impl State {
    fn check(&self, keyring: &str, form: Form, content: &[u8], signature: &[u8]) -> Result<Vouched, Error> {
        let Some(verifier) = self.scope.verifier.as_ref() else {
            return Err(failure(ErrorKind::Denied, "this call may have no signature checked"));
        };
        let ring = match verifier.rings.get(keyring) {
            Some(ring) => ring.as_ref().map_err(told)?,
            None => {
                let message = format!("the manifest declares no key ring {keyring:?}");
                return Err(failure(ErrorKind::Denied, message));
            }
        };
        let vouched = verify(ring, form, content, signature).map_err(|error| told(&error))?;
        tracing::debug!(plugin = %self.plugin, keyring, signer = vouched.signer, "a signature holds");
        verifier.remember(keyring, &vouched.signer);
        Ok(vouched)
    }
}

/// In the words of the contract.
fn told(error: &TrustError) -> Error {
    let kind = match error {
        TrustError::NoRing { .. } => ErrorKind::Unsupported,
        TrustError::Unknown { .. } => ErrorKind::NotFound,
        TrustError::Malformed { .. } | TrustError::Bad { .. } => ErrorKind::Integrity,
        TrustError::Ring { .. } | TrustError::Helper { .. } => ErrorKind::Failed,
    };
    failure(kind, error.to_string())
}
