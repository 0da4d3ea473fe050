//! What was found out before: a list of packages takes a second to read, and says the same each time.

use crate::bindings::wxc::host::store;

/// Most of what is remembered; the host has room for 64.
const MOST: usize = 32;
/// Bytes of one.
const LONGEST: usize = 64 << 10;

/// A package that is needed: in which release and where it is, how long, its digest, and whether it is of the base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    pub release: usize,
    pub filename: String,
    pub size: u64,
    pub sha256: String,
    pub base: bool,
}

/// What was needed for this question, if somebody has asked it before.
pub fn recall(question: &str) -> Option<Vec<Needed>> {
    let bytes = store::get(&key(question)).ok()??;
    read(question, std::str::from_utf8(&bytes).ok()?)
}

/// Remembers the answer. That is a favour: nobody depends on it.
pub fn remember(question: &str, answer: &[Needed]) {
    let text = written(question, answer);
    if text.len() > LONGEST {
        return;
    }
    let keys = store::keys().unwrap_or_default();
    let old = keys.iter().filter(|known| **known != key(question));
    for known in old.take((keys.len() + 1).saturating_sub(MOST)) {
        let _gone = store::remove(known);
    }
    let _kept = store::set(&key(question), text.as_bytes());
}

/// A short name for a question (FNV-1a); the answer says which one it is for.
fn key(question: &str) -> String {
    let hash = question.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("needed-{hash:016x}")
}

fn written(question: &str, answer: &[Needed]) -> String {
    let line = |one: &Needed| {
        format!("{} {} {} {} {}\n", one.release, one.filename, one.size, one.sha256, u8::from(one.base))
    };
    let lines: String = answer.iter().map(line).collect();
    format!("{question}\n{lines}")
}

fn read(question: &str, text: &str) -> Option<Vec<Needed>> {
    let (first, rest) = text.split_once('\n')?;
    let line = |line: &str| {
        let mut words = line.split(' ');
        let (release, filename) = (words.next()?.parse().ok()?, words.next()?.to_owned());
        let (size, sha256) = (words.next()?.parse().ok()?, words.next()?.to_owned());
        Some(Needed { release, filename, size, sha256, base: words.next()? == "1" })
    };
    (first == question).then(|| rest.lines().map(line).collect::<Option<_>>()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_for_its_own_question() {
        let one =
            |base| Needed { release: 1, filename: "pool/a.deb".into(), size: 5, sha256: "ab".into(), base };
        let answer = vec![one(true), one(false)];
        let text = written("trixie amd64", &answer);
        assert_eq!(read("trixie amd64", &text), Some(answer));
        assert_eq!(read("trixie arm64", &text), None);
        assert_eq!(read("trixie amd64", &text.replace(" 5 ", " x ")), None);
        assert_ne!(key("a"), key("b"));
    }
}
