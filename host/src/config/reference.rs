#![forbid(unsafe_code)]
//! `docs/configuration.md`, made from the table of keys.

use std::fmt::Write;

use super::keys::{KEYS, Key};

const HEAD: &str = "\
# container.toml

<!-- Made from host/src/config/keys.rs; change it there and run the tests with WXC_BLESS=1. -->

Every container has a file `container.toml` in its directory. What is not in it has its default; keys that
do not exist are refused with their line and the nearest that does. `wxc config set NAME KEY VALUE` changes
one key, keeps comments, and checks the whole; `wxc config validate NAME` checks what an editor left.

In the tables below, `#` is a position in a list, counted from 0, and `*` a name of your choice.

Sizes are written with `K`, `M`, `G` or `T` (times 1024), durations with `ms`, `s`, `m`, `h` or `d`.
No value may contain a line break or another control character, but for line breaks and tabs in `init.command`, in variables and in settings of hooks.

```toml
hostname = \"web\"

[cgroup]
memory.max = \"512M\"
pids.max = 1000

[[network]]
type = \"veth\"
bridge = \"br0\"
addresses = [\"10.0.3.5/24\"]
gateways = [\"10.0.3.1\"]

[[mounts]]
source = \"/srv/data\"
target = \"/srv\"
read-only = true
idmapped = true
```

A container's *name* is that of its directory: letters, digits, `.`, `_` and `-`, the first a letter or
digit, the last no dot, at most 63.
";

/// The whole page.
#[must_use]
pub fn markdown() -> String {
    let mut page = HEAD.to_string();
    let mut section = None;
    for key in KEYS {
        let own = key.path.split_once('.').map_or("", |(table, _)| table);
        if section != Some(own) {
            section = Some(own);
            start(&mut page, own);
        }
        row(&mut page, key);
    }
    page
}

fn start(page: &mut String, table: &str) {
    let title = match table {
        "" => "The container".into(),
        list @ ("mounts" | "network") => format!("`[[{list}]]`"),
        table => format!("`[{table}]`"),
    };
    // Writing to a String cannot fail.
    let _ = write!(page, "\n## {title}\n\n| key | value | default | LXC | |\n|---|---|---|---|---|\n");
}

fn row(page: &mut String, key: &Key) {
    let code = |text: &str| if text.is_empty() { String::new() } else { format!("`{text}`") };
    let (form, doc) = (key.form, key.doc);
    let _ = writeln!(page, "| `{}` | {form} | {} | {} | {doc} |", key.path, code(key.default), code(key.lxc));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_what_the_table_says() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
        if std::env::var_os("WXC_BLESS").is_some() {
            std::fs::write(file, markdown()).unwrap();
        }
        let page = std::fs::read_to_string(file).unwrap();
        assert!(page == markdown(), "docs/configuration.md is not what keys.rs says: run with WXC_BLESS=1");
    }

    #[test]
    fn its_example_is_right() {
        let example = HEAD.split("```").nth(1).and_then(|block| block.strip_prefix("toml\n")).unwrap();
        let container = crate::config::toml::parse(example, std::path::Path::new("x"));
        assert!(container.is_ok(), "{container:?}");
    }
}
