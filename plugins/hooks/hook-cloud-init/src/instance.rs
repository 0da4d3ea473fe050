//! Which instance a container is. cloud-init does once for each instance what is done once for a machine: users, host keys, packages.

/// Longest that is made a directory's name by cloud-init.
const LONGEST: usize = 128;

/// An id that cloud-init can make a directory of.
pub fn id(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    let plain = begins && text.len() <= LONGEST && text.chars().all(good);
    plain
        .then(|| text.to_owned())
        .ok_or_else(|| format!("{text:?} is not an id of letters, digits, `-`, `_` and `.`"))
}

/// The id in a text that [`super::seed::meta_data`] has made. The guest may have changed it, and then has what it wanted.
pub fn read(meta_data: &str) -> Option<String> {
    let value = meta_data.lines().find_map(|line| line.strip_prefix("instance-id:"))?;
    id(value.trim().trim_matches(['"', '\''])).ok()
}

/// An id that the tree has not been yet: its name, or with a number behind it. `taken` says which ones it has been.
pub fn fresh<E>(name: &str, taken: impl Fn(&str) -> Result<bool, E>) -> Result<String, E> {
    // Beyond any tree's history, the last one is as good as the next.
    let numbered = (2..1000).map(|number| format!("{name}-{number}"));
    for id in std::iter::once(name.to_owned()).chain(numbered) {
        if !taken(&id)? {
            return Ok(id);
        }
    }
    Ok(format!("{name}-1000"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_read_from_what_is_there() {
        assert_eq!(read("local-hostname: x\ninstance-id: \"web-2\"\n").as_deref(), Some("web-2"));
        assert_eq!(read("instance-id: iid-1").as_deref(), Some("iid-1"));
        for bad in ["", "instance-id: \"\"", "instance-id: ../x", "x-instance-id: a"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_tree_is_no_instance_twice() {
        let been = |id: &str| Ok::<_, ()>(["web", "web-2"].contains(&id));
        assert_eq!(fresh("web", been), Ok("web-3".into()));
        assert_eq!(fresh("db", been), Ok("db".into()));
        assert_eq!(fresh("web", |_| Ok::<_, ()>(true)), Ok("web-1000".into()));
        // Who cannot look does not know that it is a new one.
        assert_eq!(fresh("web", |id| if id == "web" { Ok(true) } else { Err("unread") }), Err("unread"));
    }
}
