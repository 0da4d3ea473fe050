//! An absolute path whose last part may have stars.

/// Which files are meant: a directory, and names in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// Without a slash at its end, so empty for the root.
    pub directory: String,
    name: String,
}

impl Pattern {
    /// Takes a path apart. The host would keep `..` from leading out of the container; it is refused because nobody means it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let relative = text.strip_prefix('/').ok_or_else(|| format!("{text:?} does not begin with a /"))?;
        if relative.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(format!("{text:?} is not the path of a file"));
        }
        let (directory, name) = text.rsplit_once('/').unwrap_or_default();
        if directory.contains('*') {
            return Err(format!("{text:?} has a star in a directory, where none can be"));
        }
        Ok(Self { directory: directory.to_owned(), name: name.to_owned() })
    }

    /// Whether a name in the directory is meant. A star stands for any text.
    pub fn matches(&self, name: &str) -> bool {
        fits(&self.name, name)
    }
}

fn fits(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(left) = name.strip_prefix(head) else { return false };
    // The shortest text for a star leaves the most to those behind it; the last one takes what is left before the end.
    let Some((middle, _)) = rest.split_once('*') else { return left.ends_with(rest) };
    left.find(middle).is_some_and(|at| fits(rest, &left[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, name, good) in [
            ("/etc/a", "a", true),
            ("/etc/a", "ab", false),
            ("/etc/ssh_host_*", "ssh_host_rsa_key", true),
            ("/etc/ssh_host_*_key", "ssh_host_rsa_key", true),
            ("/etc/ssh_host_*_key", "ssh_host_rsa_key.pub", false),
            ("/etc/*", "anything", true),
            ("/etc/a*b*c", "a-b-b-c", true),
            ("/etc/a*b*c", "a-c-b", false),
            ("/etc/*a", "aa", true),
            ("/etc/a*a", "a", false),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(name), good, "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_no_path_of_a_file_is_refused() {
        for bad in ["", "a", "/", "/etc/", "/etc/../x", "//x", "/*/x", "/./x"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Pattern::parse("/x").unwrap().directory, "");
    }
}
