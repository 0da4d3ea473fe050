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

/// `Sat, 09 Aug 2025 10:03:24 UTC` as `20250809T100324`, which grows with time.
pub fn moment(date: &str) -> Option<String> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = date.split([' ', ',']).filter(|word| !word.is_empty()).skip(1);
    let (day, month, year, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let day: u32 = day.parse().ok()?;
    let month = MONTHS.iter().position(|known| *known == month)? + 1;
    let time: String = time.split(':').collect();
    let digits = |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    (digits(year, 4) && digits(&time, 6) && (1..=31).contains(&day))
        .then(|| format!("{year}{month:02}{day:02}T{time}"))
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

    #[test]
    fn moments_are_in_order() {
        assert_eq!(moment("Sat, 09 Aug 2025 10:03:24 UTC").unwrap(), "20250809T100324");
        for bad in
            ["", "x", "Sat, 09 Foo 2025 10:03:24 UTC", "Sat, 99 Aug 2025 10:03:24", "Sat, 09 Aug 2025 1:2"]
        {
            assert_eq!(moment(bad), None, "{bad}");
        }
    }
}
