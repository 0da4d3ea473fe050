//! Extended attributes: what is accepted from an image.
//!
//! Kept are `user.*`, access control lists and file capabilities. Everything else either grants something
//! to whoever mounts the tree (`trusted.*`, overlay's own), labels it for the host's security modules, or
//! is unknown.

use super::request::IdMapMode;

/// Longest name and largest value (xattr(7)).
const NAME_MAX: usize = 255;
const VALUE_MAX: usize = 64 << 10;

/// The file capability's attribute.
const CAPABILITY: &[u8] = b"security.capability";
/// The binary lists of acl(5).
pub(crate) const ACL_ACCESS: &[u8] = b"system.posix_acl_access";
pub(crate) const ACL_DEFAULT: &[u8] = b"system.posix_acl_default";

/// The value to store, or `None` for an attribute that an image may not set.
pub(crate) fn accept(name: &[u8], value: &[u8], ids: &IdMapMode) -> Option<Vec<u8>> {
    if name.len() > NAME_MAX || name.contains(&0) || value.len() > VALUE_MAX {
        return None;
    }
    match name {
        CAPABILITY => capability(value),
        ACL_ACCESS | ACL_DEFAULT => acl(value, ids).then(|| value.to_vec()),
        // An overlay that is mounted with `userxattr` believes these.
        _ if name.starts_with(b"user.overlay.") => None,
        _ => (name.starts_with(b"user.") && name.len() > 5).then(|| value.to_vec()),
    }
}

/// A capability as version 2 (linux/capability.h), whose root is that of the tree. Version 3 names a root
/// user by a host's id, which means nothing here; the kernel adds the right one when it has to.
fn capability(value: &[u8]) -> Option<Vec<u8>> {
    const EFFECTIVE: u32 = 1;
    let magic = u32::from_le_bytes(value.get(..4)?.try_into().ok()?);
    let version = magic & 0xff00_0000;
    let right = matches!((version, value.len()), (0x0200_0000, 20) | (0x0300_0000, 24));
    if !right || magic & !0xff00_0000 & !EFFECTIVE != 0 {
        return None;
    }
    let mut plain = (0x0200_0000 | (magic & EFFECTIVE)).to_le_bytes().to_vec();
    plain.extend_from_slice(&value[4..20]);
    Some(plain)
}

/// Whether a binary list is well-formed and names only the container's own ids (linux/posix_acl_xattr.h).
fn acl(value: &[u8], ids: &IdMapMode) -> bool {
    const USER: u16 = 0x02;
    const GROUP: u16 = 0x08;
    let Some((head, entries)) = value.split_at_checked(4) else { return false };
    if head != 2u32.to_le_bytes() || entries.is_empty() || entries.len() % 8 != 0 {
        return false;
    }
    entries.chunks_exact(8).all(|entry| {
        let tag = u16::from_le_bytes([entry[0], entry[1]]);
        let bits = u16::from_le_bytes([entry[2], entry[3]]);
        let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
        let known = match tag {
            USER => ids.owner(id.into(), 0).is_ok(),
            GROUP => ids.owner(0, id.into()).is_ok(),
            0x01 | 0x04 | 0x10 | 0x20 => true,
            _ => false,
        };
        known && bits & !7 == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: IdMapMode = IdMapMode::AsIs { max: 65536 };

    #[test]
    fn only_harmless_names_pass() {
        for name in [
            "trusted.overlay.opaque",
            "trusted.x",
            "user.overlay.redirect",
            "security.selinux",
            "security.ima",
            "system.nfs4_acl",
            "user.",
            "",
            "user.a\0b",
        ] {
            assert_eq!(accept(name.as_bytes(), b"y", &IDS), None, "{name}");
        }
        assert_eq!(accept(b"user.note", b"\0\n", &IDS), Some(b"\0\n".to_vec()));
        assert_eq!(accept(b"user.note", &vec![0; 70000], &IDS), None);
    }

    #[test]
    fn a_capability_loses_its_foreign_root() {
        let v2: Vec<u8> = [&[1, 0, 0, 2][..], &[9; 16]].concat();
        let v3: Vec<u8> = [&[1, 0, 0, 3][..], &[9; 16], &100_000u32.to_le_bytes()].concat();
        assert_eq!(accept(CAPABILITY, &v2, &IDS), Some(v2.clone()));
        assert_eq!(accept(CAPABILITY, &v3, &IDS), Some(v2.clone()));
        for bad in [&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0][..], &v2[..19], &v3[..20], &[], &[2, 0, 0, 2]] {
            assert_eq!(accept(CAPABILITY, bad, &IDS), None, "{bad:?}");
        }
    }

    #[test]
    fn a_list_names_only_ids_of_the_container() {
        let list = |tag: u16, bits: u16, id: u32| {
            let mut v = 2u32.to_le_bytes().to_vec();
            v.extend(tag.to_le_bytes());
            v.extend(bits.to_le_bytes());
            v.extend(id.to_le_bytes());
            v
        };
        assert!(accept(ACL_ACCESS, &list(2, 7, 1000), &IDS).is_some());
        assert!(accept(ACL_ACCESS, &list(1, 7, u32::MAX), &IDS).is_some());
        assert!(accept(ACL_ACCESS, &list(2, 7, 65536), &IDS).is_none());
        assert!(accept(ACL_ACCESS, &list(3, 7, 0), &IDS).is_none());
        assert!(accept(ACL_ACCESS, &list(2, 8, 0), &IDS).is_none());
        assert!(accept(ACL_DEFAULT, b"\x02\0\0\0", &IDS).is_none());
    }
}
