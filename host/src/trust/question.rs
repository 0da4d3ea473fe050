//! What is asked of the helper, and its answer. Bytes are framed by their lengths, four bytes in little-endian order.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

/// Longest piece: no ring and no document that a template reads is longer.
const LONGEST: u64 = 65 << 20;

/// How something is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// The signature is beside it.
    Detached,
    /// The signature is around it.
    Clear,
}

/// Who vouches for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouched {
    /// Fingerprint of the key, as the tool that made it shows it: upper-case digits, or `SHA256:` and so on for SSH.
    pub signer: String,
    /// What was signed, of a clear-text signature; empty for a detached one.
    pub content: Vec<u8>,
}

/// Why nobody vouches for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum TrustError {
    /// The administrator keeps no such ring.
    #[error("there is no key ring {name}: {why}")]
    NoRing { name: String, why: String },
    /// A ring that cannot be used.
    #[error("the key ring {name} cannot be used: {why}")]
    Ring { name: String, why: String },
    /// What is there is no signature.
    #[error("this is no signature: {why}")]
    Malformed { why: String },
    /// A key made it that is not in the ring.
    #[error("it is signed by a key that is not in the key ring ({keys})")]
    Unknown { keys: String },
    /// It does not hold.
    #[error("the signature does not hold: {why}")]
    Bad { why: String },
    /// The process that looks at it failed.
    #[error("the process that checks signatures {why}")]
    Helper { why: String },
}

/// Everything that a check depends on, but for what is signed: that can be long, and is a file of its own.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) form: Form,
    /// Name of the ring, for messages.
    pub(super) name: String,
    /// Its files.
    pub(super) ring: Vec<Vec<u8>>,
    /// Empty for a clear-text signature.
    pub(super) signature: Vec<u8>,
}

/// The part of it that is no bytes.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    form: Form,
    name: String,
    files: usize,
}

impl Question {
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let head = Head { form: self.form, name: self.name.clone(), files: self.ring.len() };
        write_piece(out, &serde_json::to_vec(&head)?)?;
        for file in &self.ring {
            write_piece(out, file)?;
        }
        write_piece(out, &self.signature)
    }

    pub(super) fn read(from: &mut impl Read) -> io::Result<Self> {
        let head: Head = serde_json::from_slice(&read_piece(from)?)?;
        let ring = (0..head.files).map(|_| read_piece(from)).collect::<io::Result<_>>()?;
        let signature = read_piece(from)?;
        Ok(Self { form: head.form, name: head.name, ring, signature })
    }
}

/// What the helper says: the fingerprint or what is wrong, then what was signed.
pub(super) fn write_answer(out: &mut impl Write, answer: &Result<Vouched, TrustError>) -> io::Result<()> {
    let said: Result<&str, &TrustError> = answer.as_ref().map(|vouched| vouched.signer.as_str());
    write_piece(out, &serde_json::to_vec(&said)?)?;
    write_piece(out, answer.as_ref().map_or(&[], |vouched| vouched.content.as_slice()))
}

pub(super) fn read_answer(from: &mut impl Read) -> io::Result<Result<Vouched, TrustError>> {
    let said: Result<String, TrustError> = serde_json::from_slice(&read_piece(from)?)?;
    let content = read_piece(from)?;
    Ok(said.map(|signer| Vouched { signer, content }))
}

fn write_piece(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).ok().filter(|length| u64::from(*length) <= LONGEST);
    let length = length.ok_or_else(|| io::Error::other("it is longer than what is ever signed"))?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(bytes)
}

fn read_piece(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u64::from(u32::from_le_bytes(length));
    let mut bytes = Vec::new();
    if length > LONGEST || from.by_ref().take(length).read_to_end(&mut bytes)? as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_and_its_answer_survive_the_way() {
        let asked = Question {
            form: Form::Detached,
            name: "ours".into(),
            ring: vec![vec![1, 2], vec![0; 70_000]],
            signature: b"s".to_vec(),
        };
        let mut bytes = Vec::new();
        asked.write(&mut bytes).unwrap();
        let read = Question::read(&mut bytes.as_slice()).unwrap();
        assert_eq!((read.ring, read.signature), (asked.ring, b"s".to_vec()));
        bytes.pop();
        Question::read(&mut bytes.as_slice()).unwrap_err();
        for answer in [
            Ok(Vouched { signer: "A1".into(), content: b"text\n".to_vec() }),
            Err(TrustError::Unknown { keys: "B2".into() }),
        ] {
            let mut bytes = Vec::new();
            write_answer(&mut bytes, &answer).unwrap();
            assert_eq!(read_answer(&mut bytes.as_slice()).unwrap(), answer);
        }
    }
}
