//! Debian packages (deb(5)): an ar archive, whose member `data.tar` is a tree.

use std::io::{self, Read};

use super::error::UnpackError;

/// What every ar archive begins with (ar(5)), as far as it is looked at.
pub(crate) const MAGIC: &[u8] = b"!<arch>\n";
/// Bytes of a member's header.
const HEADER: usize = 60;
/// What its header ends with.
const END: &[u8] = b"`\n";
/// The tree, with the ending of its compression behind that.
const TREE: &str = "data.tar";
/// Most members before it: the version, the control archive, and what a signer adds.
const MEMBERS: usize = 16;
/// Most bytes of them together.
const BEFORE: u64 = 64 << 20;

/// The tree of a package, compressed as it is.
pub(crate) fn tree<R: Read>(mut source: R) -> Result<io::Take<R>, UnpackError> {
    let broken = |e: io::Error| UnpackError::archive(b"the package", e.to_string());
    let damaged = |why: &str| UnpackError::archive(b"the package", why);
    let mut magic = [0; MAGIC.len()];
    source.read_exact(&mut magic).map_err(broken)?;
    let mut before = 0;
    for _ in 0..MEMBERS {
        let mut header = [0; HEADER];
        match source.read_exact(&mut header) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => break,
            other => other.map_err(broken)?,
        }
        let text = |range: std::ops::Range<usize>| std::str::from_utf8(&header[range]).map(str::trim_end);
        let (Ok(name), Ok(size), true) = (text(0..16), text(48..58), header[58..] == *END) else {
            return Err(damaged("the header of a member is malformed"));
        };
        let digits = !size.is_empty() && size.bytes().all(|b| b.is_ascii_digit());
        let size: u64 = size
            .parse()
            .ok()
            .filter(|_| digits)
            .ok_or_else(|| damaged("the size of a member is malformed"))?;
        // As System V writes names.
        let name = name.trim_end_matches('/');
        if name == TREE || name.strip_prefix(TREE).is_some_and(|rest| rest.starts_with('.')) {
            return Ok(source.take(size));
        }
        // Members begin at even places.
        let padded = size.saturating_add(size % 2);
        before += padded;
        if before > BEFORE {
            return Err(UnpackError::limit(b"the package", BEFORE, "bytes before its tree"));
        }
        let skipped = io::copy(&mut source.by_ref().take(padded), &mut io::sink()).map_err(broken)?;
        if skipped != padded {
            return Err(damaged("it is cut off"));
        }
    }
    Err(damaged("it holds no data.tar"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, content: &[u8]) -> Vec<u8> {
        let mut bytes =
            format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, content.len()).into_bytes();
        assert_eq!(bytes.len(), HEADER);
        bytes.extend(content);
        if content.len() % 2 == 1 {
            bytes.push(b'\n');
        }
        bytes
    }

    fn read(members: &[Vec<u8>]) -> Result<Vec<u8>, UnpackError> {
        let bytes = [MAGIC.to_vec(), members.concat()].concat();
        let mut content = Vec::new();
        tree(bytes.as_slice())?.read_to_end(&mut content).unwrap();
        Ok(content)
    }

    #[test]
    fn the_tree_is_found_behind_other_members() {
        let others = [member("debian-binary", b"2.0\n"), member("control.tar.xz", b"odd")];
        let with = |name: &str| read(&[&others[..], &[member(name, b"tree"), member("_gpg", b"x")]].concat());
        assert_eq!(with("data.tar.xz").unwrap(), b"tree");
        assert_eq!(with("data.tar").unwrap(), b"tree");
        assert_eq!(with("data.tar.zst/").unwrap(), b"tree");
        assert!(with("data.tarball").unwrap_err().to_string().contains("no data.tar"));
    }

    #[test]
    fn no_damage_makes_it_panic_or_read_on() {
        let good = [member("debian-binary", b"2.0\n"), member("data.tar", b"tree")].concat();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0xff;
            drop(read(&[bad]));
            drop(read(&[good[..at].to_vec()]));
        }
        let huge = [&b"x               0           0     0     100644  9999999999`\n"[..], b"x"].concat();
        assert!(read(&[huge]).is_err());
        assert!(read(&vec![member("x", b""); 100]).is_err());
    }
}
