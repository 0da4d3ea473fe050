#![forbid(unsafe_code)]
//! Rules about hooks and labels.

use super::{Rules, is_plain_word};
use crate::config::Container;
use crate::config::hooks::Exec;

pub(super) fn all(container: &Container, rules: &mut Rules) {
    for name in container.hooks.plugins.keys() {
        // The grammar of plugins' names.
        let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        rules.must(
            name.len() <= 63
                && name.starts_with(|c: char| c.is_ascii_lowercase())
                && name.bytes().all(letter),
            &format!("hooks.{name}"),
            format!("\"{name}\" is not the name of a hook"),
            "`wxc plugin list` shows the hooks there are",
        );
    }
    for name in container.hooks.plugins.keys().filter_map(|name| name.strip_prefix("hook-")) {
        rules.must(
            !container.hooks.plugins.contains_key(name),
            &format!("hooks.hook-{name}"),
            format!("`{name}` means the same hook, and one of the two would be overlooked"),
            "keep one of the two tables",
        );
    }
    programs(&container.hooks.exec, rules);
    for name in container.labels.keys() {
        rules.must(
            is_plain_word(name),
            &format!("labels.{name}"),
            format!("\"{name}\" is not the name of a label"),
            "use letters, digits, '.', '_' and '-'",
        );
    }
}

fn programs(exec: &Exec, rules: &mut Rules) {
    rules.must(
        exec.version <= 1,
        "hooks.exec.version",
        format!("there is no version {}", exec.version),
        "0 has arguments as LXC gives them, 1 has variables alone",
    );
    rules.must(
        exec.timeout.0 > 0,
        "hooks.exec.timeout",
        "no program ends in no time",
        "give it a second or more",
    );
    for (point, lines) in exec.points() {
        for (index, line) in lines.iter().enumerate() {
            rules.must(
                !line.trim().is_empty(),
                &format!("hooks.exec.{point}.{index}"),
                "there is no program in this line",
                "write the path of a program, with its arguments behind it",
            );
        }
    }
}
