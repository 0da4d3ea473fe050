//! Signatures as `ssh-keygen -Y sign -n file` makes them (PROTOCOL.sshsig of OpenSSH). A ring is a file of public keys, a line for
//! each: as in `id_ed25519.pub`, `authorized_keys` or `allowed_signers`.

use ssh_key::{HashAlg, PublicKey, SshSig};

use super::question::{Form, Question, TrustError, Vouched};

const BEGIN: &[u8] = b"-----BEGIN SSH SIGNATURE-----";
/// What a signature is for: the same as with every tool that signs files.
const NAMESPACE: &str = "file";
/// What the name of a kind of key begins with.
const KINDS: [&str; 3] = ["ssh-", "ecdsa-", "sk-"];

pub(super) fn is_signature(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(BEGIN)
}

pub(super) fn check(question: &Question, content: &[u8]) -> Result<Vouched, TrustError> {
    let malformed = |why: String| TrustError::Malformed { why };
    if question.form == Form::Clear {
        return Err(malformed("an SSH signature is beside what it signs".into()));
    }
    let signature = SshSig::from_pem(&question.signature).map_err(|error| malformed(error.to_string()))?;
    let fingerprint = |key: &PublicKey| key.fingerprint(HashAlg::Sha256).to_string();
    let keys = question.ring.iter().flat_map(|file| keys(file));
    let Some(key) = keys.into_iter().find(|key| key.key_data() == signature.public_key()) else {
        return Err(TrustError::Unknown {
            keys: fingerprint(&PublicKey::from(signature.public_key().clone())),
        });
    };
    if signature.namespace() != NAMESPACE {
        let why = format!("it is for {:?} and not for {NAMESPACE:?}", signature.namespace());
        return Err(TrustError::Bad { why });
    }
    key.verify(NAMESPACE, content, &signature)
        .map_err(|_| TrustError::Bad { why: format!("key {}", fingerprint(&key)) })?;
    Ok(Vouched { signer: fingerprint(&key), content: Vec::new() })
}

/// The keys of a file; a line that is none is somebody's comment.
fn keys(file: &[u8]) -> Vec<PublicKey> {
    let text = String::from_utf8_lossy(file);
    let key = |line: &str| {
        let line = line.trim();
        let starts = line.match_indices(' ').map(|(at, _)| at + 1).chain([0]);
        let mut kinds = starts.filter(|at| KINDS.iter().any(|kind| line[*at..].starts_with(kind)));
        kinds.find_map(|at| PublicKey::from_openssh(&line[at..]).ok())
    };
    text.lines().filter(|line| !line.trim_start().starts_with('#')).filter_map(key).collect()
}
