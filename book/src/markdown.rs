//! What a page links to, and what can be linked to in it.

use std::collections::BTreeSet;
use std::ops::Range;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// A link, or the place of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// As it is written: an address, a path, a fragment.
    pub target: String,
    /// Its line in the page, from 1.
    pub line: usize,
    /// Where the whole link is in the text.
    pub range: Range<usize>,
}

impl Link {
    /// The path and the fragment of a link within the repository; `None` for an address elsewhere.
    #[must_use]
    pub fn relative(&self) -> Option<(&str, Option<&str>)> {
        if self.target.contains("://") || self.target.starts_with("mailto:") {
            return None;
        }
        Some(match self.target.split_once('#') {
            Some((path, fragment)) => (path, Some(fragment)),
            None => (&self.target, None),
        })
    }
}

/// All links of a page.
#[must_use]
pub fn links(text: &str) -> Vec<Link> {
    events(text)
        .filter_map(|(event, range)| match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                let line = text[..range.start].matches('\n').count() + 1;
                Some(Link { target: dest_url.into_string(), line, range })
            }
            _ => None,
        })
        .collect()
}

/// The fragments that a link may have: one for each heading, by the rules that GitHub and mdBook share.
#[must_use]
pub fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut heading: Option<String> = None;
    for (event, _) in events(text) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(part) | Event::Code(part) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&part);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                let slug = slug(&heading.take().unwrap_or_default());
                // The second of a name gets `-1`, as everywhere.
                let names = std::iter::once(slug.clone()).chain((1..).map(|n| format!("{slug}-{n}")));
                for name in names {
                    if anchors.insert(name) {
                        break;
                    }
                }
            }
            _ => {}
        }
    }
    anchors
}

/// The fragment of a heading.
#[must_use]
pub fn slug(heading: &str) -> String {
    let heading = heading.trim().to_lowercase();
    let kept = heading.chars().filter_map(|c| match c {
        c if c.is_alphanumeric() || matches!(c, '-' | '_') => Some(c),
        c if c.is_whitespace() => Some('-'),
        _ => None,
    });
    kept.collect()
}

/// The text with other targets for some links.
#[must_use]
pub fn retargeted(text: &str, mut new: impl FnMut(&Link) -> Option<String>) -> String {
    let mut out = String::new();
    let mut done = 0;
    for link in links(text) {
        let Some(target) = new(&link) else { continue };
        let written = format!("({})", link.target);
        // From behind: what is shown of a link may have brackets, too.
        let Some(at) = text[link.range.clone()].rfind(&written) else { continue };
        let at = link.range.start + at;
        if at < done {
            continue;
        }
        out.push_str(&text[done..at]);
        out.push_str(&format!("({target})"));
        done = at + written.len();
    }
    out + &text[done..]
}

fn events(text: &str) -> impl Iterator<Item = (Event<'_>, Range<usize>)> {
    Parser::new_ext(text, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH).into_offset_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_and_what_only_looks_like_one_is_not() {
        let text = "# A\n\n[x](a.md#b) `[y](c.md)`\n\n```\n[z](d.md)\n```\n\n| a |\n|---|\n| [t](e) |\n\n[r]\n\n[r]: f.md\n";
        let found: Vec<_> = links(text).into_iter().map(|link| (link.target, link.line)).collect();
        assert_eq!(found, [("a.md#b".into(), 3), ("e".into(), 11), ("f.md".into(), 13)]);
    }

    #[test]
    fn a_link_within_the_repository_has_a_path_and_a_fragment() {
        let relative = |target: &str| {
            let link = Link { target: target.into(), line: 1, range: 0..0 };
            link.relative().map(|(path, fragment)| (path.to_owned(), fragment.map(str::to_owned)))
        };
        assert_eq!(relative("https://x.y/#z"), None);
        assert_eq!(relative("#in-c"), Some((String::new(), Some("in-c".into()))));
        assert_eq!(relative("../a.md"), Some(("../a.md".into(), None)));
    }

    #[test]
    fn headings_become_fragments_as_on_github() {
        let text = "# `plugin.toml`, the manifest\n\n## [a](b.md) `[fetch]`\n\n## One: two\n\n## One: two\n\n```\n# no\n```\n";
        let expected = ["a-fetch", "one-two", "one-two-1", "plugintoml-the-manifest"];
        assert_eq!(anchors(text).into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn targets_are_replaced_where_they_stand() {
        let text = "[(x)](x) and `[x](x)` and [y](y)";
        let new = retargeted(text, |link| (link.target == "x").then(|| "x/README.md".to_owned()));
        assert_eq!(new, "[(x)](x/README.md) and `[x](x)` and [y](y)");
    }
}
