//! Fields of Debian's text files (deb822(5)): a name, a colon, a value; what begins with a blank goes on with the one before.

/// The stanzas of a file.
pub fn stanzas(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n\n").filter(|stanza| !stanza.trim().is_empty())
}

/// The fields of a stanza, each with the lines that belong to it.
pub fn fields(stanza: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = stanza;
    std::iter::from_fn(move || {
        loop {
            if rest.is_empty() {
                return None;
            }
            // The field ends before the next line that begins with something.
            let mut end = 0;
            loop {
                end += rest[end..].find('\n').map_or(rest.len() - end, |at| at + 1);
                if !rest[end..].starts_with([' ', '\t']) {
                    break;
                }
            }
            let (field, after) = rest.split_at(end);
            rest = after;
            if let Some((name, value)) = field.split_once(':') {
                return Some((name, value.trim()));
            }
        }
    })
}

/// The value of one.
pub fn field<'a>(stanza: &'a str, name: &str) -> Option<&'a str> {
    fields(stanza).find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_go_on_over_lines() {
        let text = "A: 1\nB:\n x y\n z\nC: \n\nA: 2\n\n\n";
        let all: Vec<_> = stanzas(text).collect();
        assert_eq!(all.len(), 2);
        assert_eq!(fields(all[0]).collect::<Vec<_>>(), [("A", "1"), ("B", "x y\n z"), ("C", "")]);
        assert_eq!((field(all[1], "a"), field(all[1], "b")), (Some("2"), None));
        for odd in ["", "\n", " x", "no colon", ":", "a:b\nno\nc:d"] {
            drop(fields(odd).collect::<Vec<_>>());
        }
    }
}
