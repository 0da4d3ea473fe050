#![forbid(unsafe_code)]
//! Where this machine gets its own packages from (sources.list(5)): what makes a Debian asks the same mirror.

use std::fs;
use std::path::{Path, PathBuf};

/// Longest file that is read.
const LONGEST: u64 = 1 << 20;

/// One line of a list, or one stanza.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Source {
    places: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
}

/// Where the system's own packages come from.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) mirror: Option<String>,
    /// The mirror of its security updates.
    pub(super) security: Option<String>,
}

/// Of the system itself, by a directory `etc`; nothing where apt is not used.
pub(super) fn sources_of(etc: &Path) -> Found {
    let release = read(&etc.join("os-release")).unwrap_or_default();
    let codename = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let codename = codename.map(|name| name.trim_matches('"').to_owned()).filter(|name| !name.is_empty());
    let mut files = vec![etc.join("apt/sources.list")];
    let more = fs::read_dir(etc.join("apt/sources.list.d")).into_iter().flatten().flatten();
    let mut more: Vec<PathBuf> = more.map(|entry| entry.path()).collect();
    more.sort();
    files.extend(more);
    let sources: Vec<Source> = files.iter().flat_map(|file| sources(file)).collect();
    let web = |place: &&String| place.starts_with("http://") || place.starts_with("https://");
    // Others have suites of their own names, and security has one with more behind it.
    let place = |is_wanted: &dyn Fn(&str) -> bool| {
        let own = |source: &&Source| {
            source.suites.iter().any(|suite| is_wanted(suite))
                && source.components.iter().any(|component| component == "main")
        };
        let found = sources.iter().filter(own).flat_map(|source| &source.places).find(web);
        found.map(|place| place.trim_end_matches('/').to_owned())
    };
    Found {
        mirror: place(&|suite| codename.as_ref().is_none_or(|name| suite == name)),
        security: place(&|suite| {
            let release = suite.strip_suffix("-security");
            release.is_some_and(|release| codename.as_ref().is_none_or(|name| release == name))
        }),
    }
}

fn read(path: &Path) -> Option<String> {
    let small = path.metadata().is_ok_and(|meta| meta.is_file() && meta.len() <= LONGEST);
    small.then(|| fs::read_to_string(path).ok()).flatten()
}

fn sources(file: &Path) -> Vec<Source> {
    let text = read(file).unwrap_or_default();
    match file.extension().and_then(|ending| ending.to_str()) {
        Some("list") => text.lines().filter_map(line).collect(),
        Some("sources") => text.split("\n\n").filter_map(stanza).collect(),
        _ => Vec::new(),
    }
}

/// `deb [ option=value ] place suite component...`
fn line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb")?.trim_start_matches(['\t', ' ']);
    if rest.len() == line.len() - 3 {
        return None;
    }
    let rest = match rest.strip_prefix('[') {
        Some(options) => options.split_once(']')?.1,
        None => rest,
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(Source { places: vec![words.next()?], suites: vec![words.next()?], components: words.collect() })
}

/// Fields as in the files of packages.
fn stanza(text: &str) -> Option<Source> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        match line.split_once(':').filter(|_| !line.starts_with([' ', '\t'])) {
            Some((name, value)) => fields.push((name.to_ascii_lowercase(), value.trim().to_owned())),
            None => {
                if let Some((_, value)) = fields.last_mut() {
                    value.push(' ');
                    value.push_str(line.trim());
                }
            }
        }
    }
    let field = |name: &str| -> Vec<String> {
        let found = fields.iter().find(|(known, _)| known == name);
        found.map_or_else(Vec::new, |(_, value)| value.split_whitespace().map(str::to_owned).collect())
    };
    let on = field("enabled").first().is_none_or(|word| word != "no");
    let binary = field("types").iter().any(|kind| kind == "deb");
    (on && binary).then(|| Source {
        places: field("uris"),
        suites: field("suites"),
        components: field("components"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(list: &str, sources: &str) -> Option<String> {
        both(list, sources).mirror
    }

    fn both(list: &str, sources: &str) -> Found {
        let top = tempfile::tempdir().unwrap();
        let directory = top.path().join("apt/sources.list.d");
        fs::create_dir_all(&directory).unwrap();
        fs::write(top.path().join("os-release"), "ID=debian\nVERSION_CODENAME=trixie\n").unwrap();
        fs::write(top.path().join("apt/sources.list"), list).unwrap();
        fs::write(directory.join("a.sources"), sources).unwrap();
        fs::write(directory.join("b.list.save"), "deb http://old.example/debian trixie main\n").unwrap();
        sources_of(top.path())
    }

    #[test]
    fn the_systems_own_archive_is_found_in_both_forms() {
        let other = "# x\ndeb [arch=amd64 signed-by=/k] https://apt.example/x stable main\ndeb-src http://s.example/debian trixie main\n";
        let list = format!("{other}deb [ trusted=yes ] http://m.example/debian/ trixie main contrib\n");
        assert_eq!(found(&list, ""), Some("http://m.example/debian".into()));
        let sources = "Types: deb\nURIs: http://sec.example/debian\nSuites: trixie-security\nComponents: main\n\n\
                       Types: deb deb-src\n# a comment\nURIs: cdrom:x\n https://m.example/debian\nSuites: trixie trixie-updates\nComponents: main\n";
        assert_eq!(found(other, sources), Some("https://m.example/debian".into()));
        assert_eq!(both(other, sources).security, Some("http://sec.example/debian".into()));
        assert_eq!(both(&list, "").security, None);
        assert_eq!(found(other, &sources.replace("Types: deb deb-src", "Enabled: no\nTypes: deb")), None);
        for bad in ["", "deb", "deb [", "deb http://x", "debhttp://x trixie main", ":", "URIs"] {
            assert_eq!(found(bad, bad), None, "{bad}");
        }
    }
}
