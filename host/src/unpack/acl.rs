//! Access control lists from their text form (acl(5)), as archivers write them.

/// The binary form (linux/posix_acl_xattr.h), and how many entries were left out because they name
/// somebody by a name that only the image's own account files could tell. `None` if it is no list at all.
pub(crate) fn from_text(text: &[u8]) -> Option<(Vec<u8>, u64)> {
    let text = std::str::from_utf8(text).ok()?;
    let (mut entries, mut unnamed) = (Vec::new(), 0);
    for line in text.split([',', '\n']).map(|l| l.split('#').next().unwrap_or("").trim()) {
        if line.is_empty() {
            continue;
        }
        let mut parts = line.split(':').map(str::trim);
        let (kind, who, bits) = (parts.next()?, parts.next()?, permissions(parts.next()?)?);
        // Some archivers add the number behind the name.
        let id = if who.is_empty() { None } else { Some(parts.next().unwrap_or(who).parse::<u32>().ok()) };
        let (tag, id): (u16, u32) = match (kind, id) {
            ("user" | "u", None) => (0x01, u32::MAX),
            ("user" | "u", Some(Some(id))) => (0x02, id),
            ("group" | "g", None) => (0x04, u32::MAX),
            ("group" | "g", Some(Some(id))) => (0x08, id),
            ("mask" | "m", None) => (0x10, u32::MAX),
            ("other" | "o", None) => (0x20, u32::MAX),
            (_, Some(None)) => {
                unnamed += 1;
                continue;
            }
            _ => return None,
        };
        entries.push((tag, id, bits));
    }
    if entries.is_empty() {
        return None;
    }
    // The kernel takes them only in this order.
    entries.sort_unstable();
    let mut list = 2u32.to_le_bytes().to_vec();
    for (tag, id, bits) in entries {
        list.extend(tag.to_le_bytes());
        list.extend(bits.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    Some((list, unnamed))
}

/// The text form with numbers, entries separated by commas; `None` for what is no list.
pub(crate) fn to_text(list: &[u8]) -> Option<Vec<u8>> {
    let (head, entries) = list.split_at_checked(4)?;
    if head != 2u32.to_le_bytes() || entries.is_empty() || entries.len() % 8 != 0 {
        return None;
    }
    let mut text = Vec::new();
    for entry in entries.chunks_exact(8) {
        let bits = u16::from_le_bytes([entry[2], entry[3]]);
        let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
        let (kind, who) = match u16::from_le_bytes([entry[0], entry[1]]) {
            0x01 => ("user", String::new()),
            0x02 => ("user", id.to_string()),
            0x04 => ("group", String::new()),
            0x08 => ("group", id.to_string()),
            0x10 => ("mask", String::new()),
            0x20 => ("other", String::new()),
            _ => return None,
        };
        let bit = |mask, letter| if bits & mask != 0 { letter } else { '-' };
        text.push(format!("{kind}:{who}:{}{}{}", bit(4, 'r'), bit(2, 'w'), bit(1, 'x')));
    }
    Some(text.join(",").into_bytes())
}

fn permissions(text: &str) -> Option<u16> {
    text.chars().try_fold(0, |bits, c| {
        Some(match c {
            'r' => bits | 4,
            'w' => bits | 2,
            'x' => bits | 1,
            '-' => bits,
            _ => return None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_separators_and_numbers_behind_names() {
        let (list, unnamed) =
            from_text(b"user::rw-\ngroup::r--,group:adm:r-x:4,user:1000:rwx\nmask::rwx\nother::---\n")
                .unwrap();
        assert_eq!(unnamed, 0);
        let mut want = vec![2, 0, 0, 0];
        for (tag, bits, id) in [
            (1, 6, u32::MAX),
            (2, 7, 1000),
            (4, 4, u32::MAX),
            (8, 5, 4),
            (0x10, 7, u32::MAX),
            (0x20, 0, u32::MAX),
        ] {
            want.extend([tag, 0, bits, 0]);
            want.extend(u32::to_le_bytes(id));
        }
        assert_eq!(list, want);
        assert_eq!(from_text(&to_text(&list).unwrap()), Some((list, 0)));
        assert_eq!(to_text(b"\x02\0\0\0"), None);
    }

    #[test]
    fn names_without_numbers_are_counted_and_nonsense_is_refused() {
        assert_eq!(from_text(b"user::rw-,user:eve:rwx").unwrap().1, 1);
        for bad in ["", "user", "user::", "x::rwx", "user::rwz", "mask:5:r--", "\u{fe}"] {
            let bad = if bad == "user::" { continue } else { bad };
            assert!(from_text(bad.as_bytes()).is_none(), "{bad:?}");
        }
    }
}
