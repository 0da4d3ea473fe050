//! The marked part of a text: only it is ever changed.

const BEGIN: &str = "# Begin: written by wxc (hook-resolver) at each start";
const END: &str = "# End: written by wxc";

/// Where the block goes in a text that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// What is first counts: nameservers.
    Top,
    /// What a person wrote above is stronger: hosts.
    Bottom,
}

/// The text with these lines as its block, and without one where there are no lines. Every block of ours goes, wherever
/// somebody moved or copied it; the new one stands where the first was. Somebody who has removed the end mark keeps what is below.
pub fn set(text: &str, lines: &[String], place: Place) -> String {
    let (mut kept, mut at) = (Vec::new(), None);
    let mut rest: Vec<&str> = text.split_inclusive('\n').collect();
    let is = |mark: &'static str| move |line: &&str| line.trim_end() == mark;
    while let Some(begin) = rest.iter().position(is(BEGIN)) {
        let behind = rest.split_off(begin);
        kept.append(&mut rest);
        at.get_or_insert(kept.len());
        let end = behind.iter().position(is(END)).unwrap_or_default();
        rest = behind[end + 1..].to_vec();
    }
    kept.append(&mut rest);
    if lines.is_empty() {
        return kept.concat();
    }
    let below = kept.split_off(at.unwrap_or(if place == Place::Top { 0 } else { kept.len() }));
    let mut above = kept.concat();
    if !above.is_empty() && !above.ends_with('\n') {
        above.push('\n');
    }
    format!("{above}{BEGIN}\n{}\n{END}\n{}", lines.join("\n"), below.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|&line| line.to_owned()).collect()
    }

    #[test]
    fn a_block_comes_stays_changes_and_goes_and_the_rest_is_as_it_was() {
        for (place, index) in [(Place::Top, 0), (Place::Bottom, 4)] {
            let own = "# mine\n\n127.0.0.1\tlocalhost \nlast\n";
            let one = set(own, &lines(&["a", "b"]), place);
            assert_eq!(one.lines().position(|line| line == BEGIN), Some(index), "{one}");
            assert_eq!(set(&one, &lines(&["a", "b"]), place), one);
            let other = set(&one, &lines(&["c"]), place);
            assert!(other.contains("\nc\n") && !other.contains("\na\n"), "{other}");
            assert_eq!(set(&other, &[], place), own);
        }
        assert_eq!(set("no end", &lines(&["a"]), Place::Top), format!("{BEGIN}\na\n{END}\nno end"));
        assert_eq!(set("no end", &lines(&["a"]), Place::Bottom), format!("no end\n{BEGIN}\na\n{END}\n"));
        assert_eq!(
            (set("", &[], Place::Top), set("a\r\nb", &[], Place::Top)),
            (String::new(), "a\r\nb".into())
        );
    }

    #[test]
    fn it_stays_where_somebody_moved_it_and_is_there_once() {
        let block = format!("{BEGIN}\nold\n{END}\n");
        let moved = format!("one\n{block}two\n{block}three\n");
        assert_eq!(
            set(&moved, &lines(&["new"]), Place::Top),
            format!("one\n{BEGIN}\nnew\n{END}\ntwo\nthree\n")
        );
    }

    #[test]
    fn without_its_end_nothing_below_is_lost() {
        let broken = format!("{BEGIN}\nmine\n");
        assert_eq!(set(&broken, &[], Place::Top), "mine\n");
    }
}
