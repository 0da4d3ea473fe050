//! Records of extended headers (pax(1)): `"%d %s=%s\n"`, the length counting itself.
//!
//! Parsed here and not with the `tar` crate's iterator, which splits at newlines: the value of an
//! attribute is binary and may hold any byte.

/// Key and value.
type Record<'a> = (&'a [u8], &'a [u8]);

/// The records in order; a malformed one ends with an error.
pub(crate) fn records(mut data: &[u8]) -> Result<Vec<Record<'_>>, &'static str> {
    const BAD: &str = "an extended header is malformed";
    let mut found = Vec::new();
    while !data.is_empty() {
        // Some writers fill the header with zeros up to a block.
        if data.iter().all(|b| *b == 0) {
            break;
        }
        let space = data.iter().take(20).position(|b| *b == b' ').ok_or(BAD)?;
        let length = decimal(&data[..space]).and_then(|n| usize::try_from(n).ok()).ok_or(BAD)?;
        if length <= space + 1 || length > data.len() || data[length - 1] != b'\n' {
            return Err(BAD);
        }
        let body = &data[space + 1..length - 1];
        let equals = body.iter().position(|b| *b == b'=').ok_or(BAD)?;
        found.push((&body[..equals], &body[equals + 1..]));
        data = &data[length..];
    }
    Ok(found)
}

/// A record as it is written.
pub(crate) fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    // The length counts its own digits.
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [format!("{length} ").as_bytes(), key, b"=", value, b"\n"].concat()
}

/// The name of an attribute within a key, as GNU tar writes it: an equals sign would end the key.
pub(crate) fn quote(name: &[u8]) -> Vec<u8> {
    let quoted = |b: &u8| match b {
        b'=' => b"%3D".to_vec(),
        b'%' => b"%25".to_vec(),
        b => vec![*b],
    };
    name.iter().flat_map(quoted).collect()
}

/// The way back.
pub(crate) fn unquote(mut name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(name.len());
    while let Some((first, rest)) = name.split_first() {
        let (byte, rest) = match rest {
            [b'3', b'D', rest @ ..] if *first == b'%' => (b'=', rest),
            [b'2', b'5', rest @ ..] if *first == b'%' => (b'%', rest),
            _ => (*first, rest),
        };
        plain.push(byte);
        name = rest;
    }
    plain
}

/// Digits only: no sign, no space, no overflow.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Seconds with an optional sign and fraction, as seconds and nanoseconds rounded down.
pub(crate) fn time(text: &[u8]) -> Option<(i64, i64)> {
    let (negative, text) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    let dot = text.iter().position(|b| *b == b'.').unwrap_or(text.len());
    let seconds = i64::try_from(decimal(&text[..dot])?).ok()?;
    let mut digits: Vec<u8> = text.get(dot + 1..).unwrap_or_default().iter().copied().take(9).collect();
    digits.resize(9, b'0');
    let nanos = i64::try_from(decimal(&digits)?).ok()?;
    Some(match (negative, nanos) {
        (false, _) => (seconds, nanos),
        (true, 0) => (-seconds, 0),
        (true, _) => (-seconds - 1, 1_000_000_000 - nanos),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_hold_newlines_and_equals() {
        let data = b"11 path=a\nb\n9 k=\0=\n\n";
        assert_eq!(records(b"12 path=a\nb\n").unwrap(), vec![(&b"path"[..], &b"a\nb"[..])]);
        assert_eq!(records(b"8 k=\0=\n\n").unwrap(), vec![(&b"k"[..], &b"\0=\n"[..])]);
        assert!(records(data).is_err());
    }

    #[test]
    fn lies_about_length_are_errors() {
        for bad in [
            "5 a=b\n",
            "99 a=b\n",
            "-6 a=b\n",
            "x",
            "6 a b\n",
            "0 a=b\n",
            "99999999999999999999 a=b\n",
            "2 \n",
        ] {
            assert!(records(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert_eq!(records(b"6 a=b\n\0\0\0").unwrap().len(), 1);
        assert_eq!(records(b"6 a=b\n").unwrap().len(), 1);
    }

    #[test]
    fn times() {
        assert_eq!(time(b"12.5"), Some((12, 500_000_000)));
        assert_eq!(time(b"-0.25"), Some((-1, 750_000_000)));
        assert_eq!(time(b"-3"), Some((-3, 0)));
        assert_eq!(time(b"1.1234567899999"), Some((1, 123_456_789)));
        for bad in ["", ".", "1e9", "99999999999999999999", "1.x", "--1"] {
            assert_eq!(time(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for length in [0, 1, 2, 3, 88, 89, 90, 91, 92, 93, 985, 986, 987, 988, 989, 990, 70_000] {
            let value = vec![b'\n'; length];
            let text = [record(b"a.b", &value), record(b"path", b"x")].concat();
            assert_eq!(records(&text).unwrap(), [(&b"a.b"[..], &value[..]), (b"path", b"x")], "{length}");
        }
        for name in ["user.a=b", "user.%3D", "user.100%", "%", "plain"] {
            assert_eq!(unquote(&quote(name.as_bytes())), name.as_bytes());
        }
    }
}
