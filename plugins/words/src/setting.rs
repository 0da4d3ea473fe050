//! Values and names that are good for a configuration, of texts that an image brings.

/// A value as a string of TOML, to the letter: what no configuration may hold is the host's to refuse, and not anybody's to leave out.
#[must_use]
pub fn quoted(value: &str) -> String {
    let mut quoted = String::from('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted += "\\n",
            '\t' => quoted += "\\t",
            c if c.is_control() => quoted += &format!("\\u{:04x}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// Values as a list of TOML.
#[must_use]
pub fn list<'a>(values: impl IntoIterator<Item = &'a str>) -> String {
    let values: Vec<String> = values.into_iter().map(quoted).collect();
    format!("[{}]", values.join(", "))
}

/// Whether it is the name of a variable that a shell would take.
#[must_use]
pub fn is_variable(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let begins = name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
    begins && name.len() <= 256 && name.bytes().all(good)
}

/// A path as the contract wants it; none for the root itself and for one that leads out of it.
#[must_use]
pub fn inside(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let good = !parts.is_empty() && !parts.contains(&"..") && !path.contains(char::is_control);
    good.then(|| format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_ends_its_line_or_its_quotes() {
        assert_eq!(quoted("a\"b\\c\nd\0\t"), r#""a\"b\\c\nd\u0000\t""#);
        assert_eq!(list(["a", "b\""]), r#"["a", "b\""]"#);
    }

    #[test]
    fn names_and_paths() {
        assert!(is_variable("PATH") && is_variable("_1"));
        for bad in ["", "1X", "A B", "A=", "\u{e9}"] {
            assert!(!is_variable(bad), "{bad}");
        }
        assert_eq!(inside("a//./b/"), Some("/a/b".into()));
        for bad in ["", "/", "..", "/a/../b", "/a\nb"] {
            assert_eq!(inside(bad), None, "{bad}");
        }
    }
}
