//! OpenPGP (RFC 9580). The library does the arithmetic; which key may vouch at all is decided here: its own certificate holds, it is
//! for signing, and it is neither expired nor revoked.

use pgp::composed::{
    CleartextSignedMessage, Deserializable as _, DetachedSignature, SignedPublicKey, SignedPublicSubKey,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType};
use pgp::types::{Fingerprint, KeyDetails, KeyId, Tag, VerifyingKey};

use super::question::{Form, Question, TrustError, Vouched};

/// Digests that nobody can find a second document for.
const STRONG: [HashAlgorithm; 5] = [
    HashAlgorithm::Sha256,
    HashAlgorithm::Sha384,
    HashAlgorithm::Sha512,
    HashAlgorithm::Sha3_256,
    HashAlgorithm::Sha3_512,
];
/// Seconds that another machine's clock may be ahead of ours.
const AHEAD: u64 = 24 * 3600;
/// Most signatures of one document; Debian's have three.
const MOST: usize = 32;
const ARMOR: &[u8] = b"-----BEGIN PGP PUBLIC KEY BLOCK-----";

/// `now` is in seconds since 1970.
pub(super) fn check(question: &Question, content: &[u8], now: u64) -> Result<Vouched, TrustError> {
    let keys = keys(question)?;
    match question.form {
        Form::Detached => {
            let signatures = detached(&question.signature)?;
            let signer = signer(&keys, &signatures, content, now)?;
            Ok(Vouched { signer, content: Vec::new() })
        }
        Form::Clear => {
            let malformed = |why: String| TrustError::Malformed { why };
            let text = std::str::from_utf8(content).map_err(|_| malformed("no text".into()))?;
            let (message, _) = CleartextSignedMessage::from_string(text.trim_start())
                .map_err(|error| malformed(error.to_string()))?;
            let signed = message.signed_text();
            let signatures: Vec<&Signature> = message.signatures().iter().take(MOST).collect();
            let signer = signer(&keys, &signatures, signed.as_bytes(), now)?;
            // Lines end as they did before they were signed.
            let mut content = signed.replace("\r\n", "\n").into_bytes();
            if content.last().is_some_and(|last| *last != b'\n') {
                content.push(b'\n');
            }
            Ok(Vouched { signer, content })
        }
    }
}

/// All keys of a ring's files, in binary or in one or more blocks of text.
fn keys(question: &Question) -> Result<Vec<SignedPublicKey>, TrustError> {
    let mut keys = Vec::new();
    let mut why = None;
    for file in &question.ring {
        for block in blocks(file) {
            let parsed = if block.starts_with(ARMOR) {
                SignedPublicKey::from_armor_many(block).map(|(keys, _)| keys)
            } else {
                SignedPublicKey::from_bytes_many(block)
            };
            // A key of a kind that is not known yet makes the others no worse.
            match parsed {
                Ok(found) => found.for_each(|key| match key {
                    Ok(key) => keys.push(key),
                    Err(error) => why = Some(error.to_string()),
                }),
                Err(error) => why = Some(error.to_string()),
            }
        }
    }
    if keys.is_empty() {
        let why = why.map_or_else(String::new, |why| format!(": {why}"));
        return Err(TrustError::Ring {
            name: question.name.clone(),
            why: format!("there is no OpenPGP key in it{why}"),
        });
    }
    Ok(keys)
}

/// A file in pieces that each begin with the head of a block of text; a binary file is one piece.
fn blocks(file: &[u8]) -> Vec<&[u8]> {
    let starts: Vec<usize> =
        file.windows(ARMOR.len()).enumerate().filter(|(_, at)| *at == ARMOR).map(|(at, _)| at).collect();
    if starts.is_empty() {
        return vec![file];
    }
    let ends = starts.iter().skip(1).copied().chain([file.len()]);
    starts.iter().zip(ends).filter_map(|(start, end)| file.get(*start..end)).collect()
}

fn detached(bytes: &[u8]) -> Result<Vec<Signature>, TrustError> {
    let armored = bytes.trim_ascii_start().starts_with(b"-----BEGIN");
    let parsed = if armored {
        DetachedSignature::from_armor_many(bytes).map(|(all, _)| all)
    } else {
        DetachedSignature::from_bytes_many(bytes)
    };
    let mut signatures = Vec::new();
    let mut why = "there is none in it".to_owned();
    match parsed {
        Ok(all) => all.take(MOST).for_each(|one| match one {
            Ok(one) => signatures.push(one.signature),
            Err(error) => why = error.to_string(),
        }),
        Err(error) => why = error.to_string(),
    }
    if signatures.is_empty() { Err(TrustError::Malformed { why }) } else { Ok(signatures) }
}

/// The key of the ring that made one of the signatures; or what is wrong with the best of them.
fn signer<S: std::borrow::Borrow<Signature>>(
    keys: &[SignedPublicKey],
    signatures: &[S],
    content: &[u8],
    now: u64,
) -> Result<String, TrustError> {
    let mut unknown = Vec::new();
    let mut bad = None;
    for signature in signatures.iter().map(std::borrow::Borrow::borrow) {
        let mut known = false;
        for key in keys {
            match judge(key, signature, content, now) {
                Some(Ok(())) => return Ok(shown(&key.fingerprint())),
                Some(Err(why)) => {
                    known = true;
                    bad = Some(format!("key {}: {why}", shown(&key.fingerprint())));
                }
                None => {}
            }
        }
        if !known {
            unknown.push(issuer(signature));
        }
    }
    match bad {
        Some(why) => Err(TrustError::Bad { why }),
        None => Err(TrustError::Unknown { keys: unknown.join(", ") }),
    }
}

/// Whether a certificate vouches with this signature; `None` when it is none of its keys'.
fn judge(
    key: &SignedPublicKey,
    signature: &Signature,
    content: &[u8],
    now: u64,
) -> Option<Result<(), String>> {
    if names(signature, &key.primary_key) {
        let valid = || {
            if !primary_flags(key).is_none_or(|own| own.key_flags().sign()) {
                return Err("it is not for signing".to_owned());
            }
            holds(signature, &key.primary_key, content, now)
        };
        return Some(certificate(key, now).and_then(|()| valid()));
    }
    let subkey = key.public_subkeys.iter().find(|subkey| names(signature, &subkey.key))?;
    Some(certificate(key, now).and_then(|()| {
        may_sign(key, subkey, now)?;
        holds(signature, &subkey.key, content, now)
    }))
}

/// Whether the signature says that this key made it. What it says is only a hint: the arithmetic decides.
fn names(signature: &Signature, key: &impl KeyDetails) -> bool {
    let (prints, ids): (Vec<&Fingerprint>, Vec<&KeyId>) =
        (signature.issuer_fingerprint(), signature.issuer_key_id());
    if prints.is_empty() && ids.is_empty() {
        return true;
    }
    prints.contains(&&key.fingerprint()) || ids.contains(&&key.legacy_key_id())
}

fn issuer(signature: &Signature) -> String {
    let print = signature.issuer_fingerprint().first().map(|print| shown(print));
    let id = || signature.issuer_key_id().first().map(|id| id.to_string().to_uppercase());
    print.or_else(id).unwrap_or_else(|| "it does not say which".into())
}

fn shown(fingerprint: &Fingerprint) -> String {
    fingerprint.to_string().to_uppercase()
}

/// The signature itself.
fn holds(signature: &Signature, key: &impl VerifyingKey, content: &[u8], now: u64) -> Result<(), String> {
    if !matches!(signature.typ(), Some(SignatureType::Binary | SignatureType::Text)) {
        return Err("it signs something else than a document".into());
    }
    if !signature.hash_alg().is_some_and(|hash| STRONG.contains(&hash)) {
        return Err("its digest can be forged".into());
    }
    let made = signature.created().map(seconds).ok_or("it does not say when it was made")?;
    if made > now + AHEAD {
        return Err("it was made in the future: look at this machine's clock".into());
    }
    if expires(made, signature.signature_expiration_time()).is_some_and(|end| end <= now) {
        return Err("it has expired".into());
    }
    signature.verify(key, content).map_err(|_| "these bytes are not what was signed".into())
}

/// Whether the certificate as a whole may vouch for anything.
fn certificate(key: &SignedPublicKey, now: u64) -> Result<(), String> {
    let primary = &key.primary_key;
    if key.details.revocation_signatures.iter().any(|revoked| revoked.verify_key(primary).is_ok()) {
        return Err("it is revoked".into());
    }
    let own = primary_flags(key).ok_or("it does not say of itself what it is for")?;
    if expires(seconds(primary.created_at()), own.key_expiration_time()).is_some_and(|end| end <= now) {
        return Err("it has expired".into());
    }
    Ok(())
}

/// The newest of a certificate's statements about its own primary key.
fn primary_flags(key: &SignedPublicKey) -> Option<&Signature> {
    let primary = &key.primary_key;
    let of_users = key.details.users.iter().filter(|user| !is_revoked(user, key)).flat_map(|user| {
        let good = |own: &&Signature| {
            own.is_certification()
                && names(own, primary)
                && own.verify_certification(primary, Tag::UserId, &user.id).is_ok()
        };
        user.signatures.iter().filter(good)
    });
    let direct = key.details.direct_signatures.iter();
    let direct = direct.filter(|own| names(own, primary) && own.verify_key(primary).is_ok());
    of_users.chain(direct).max_by_key(|own| own.created().map(seconds))
}

fn is_revoked(user: &pgp::types::SignedUser, key: &SignedPublicKey) -> bool {
    user.signatures.iter().any(|own| {
        own.typ() == Some(SignatureType::CertRevocation)
            && names(own, &key.primary_key)
            && own.verify_certification(&key.primary_key, Tag::UserId, &user.id).is_ok()
    })
}

/// Whether a subkey belongs to the certificate, agrees to that, and is for signing.
fn may_sign(key: &SignedPublicKey, subkey: &SignedPublicSubKey, now: u64) -> Result<(), String> {
    let primary = &key.primary_key;
    let own = |typ| {
        let holds = |own: &&Signature| {
            own.typ() == Some(typ) && own.verify_subkey_binding(primary, &subkey.key).is_ok()
        };
        subkey.signatures.iter().filter(holds).max_by_key(|own| own.created().map(seconds))
    };
    if own(SignatureType::SubkeyRevocation).is_some() {
        return Err("its subkey is revoked".into());
    }
    let binding = own(SignatureType::SubkeyBinding).ok_or("its subkey does not belong to it")?;
    if !binding.key_flags().sign() {
        return Err("its subkey is not for signing".into());
    }
    // Otherwise anybody could claim another's key as a subkey of their own.
    let agreed = binding
        .embedded_signature()
        .is_some_and(|back| back.verify_primary_key_binding(&subkey.key, primary).is_ok());
    if !agreed {
        return Err("its subkey does not say that it belongs to it".into());
    }
    let end = expires(seconds(subkey.key.created_at()), binding.key_expiration_time());
    if end.is_some_and(|end| end <= now) {
        return Err("its subkey has expired".into());
    }
    Ok(())
}

fn seconds(at: pgp::types::Timestamp) -> u64 {
    u64::from(at.as_secs())
}

/// When something ends that began at `from`; never, where nothing is said or nothing but zero.
fn expires(from: u64, after: Option<pgp::types::Duration>) -> Option<u64> {
    after.map(|after| u64::from(after.as_secs())).filter(|after| *after > 0).map(|after| from + after)
}
