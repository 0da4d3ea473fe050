#![forbid(unsafe_code)]
//! `container.toml`: text to [`Container`], with every mistake named by file, line, column and key.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml_edit::{Document, Item, Key, TableLike, Value};

use super::error::{ConfigError, Problem};
use super::keys::{self, Found};
use super::{Container, validate};

/// Largest file that is read: a configuration is a page or two.
pub const MAX_FILE: usize = 1 << 20;

/// Read and check a configuration. `file` is only for messages.
///
/// # Errors
/// All unknown keys at once; else the first value of the wrong type; else all rules that are broken.
pub fn parse(text: &str, file: &Path) -> Result<Container, ConfigError> {
    let container = parse_unchecked(text, file)?;
    let broken = validate::check(&container);
    if broken.is_empty() {
        return Ok(container);
    }
    let place = Document::parse(text).ok();
    let problems = broken.into_iter().map(|rule| {
        let span = place.as_ref().and_then(|document| span_of(document.as_item(), &rule.key));
        problem(text, span, rule.key, rule.message, Some(rule.hint))
    });
    Err(ConfigError { file: file.into(), problems: problems.collect() })
}

/// The same without the rules across keys: what is merged with something else before it is whole.
///
/// # Errors
/// As [`parse`].
pub fn parse_unchecked(text: &str, file: &Path) -> Result<Container, ConfigError> {
    read(text, file, true)
}

/// Another file of this form, of which the type alone knows the keys.
///
/// # Errors
/// As [`parse`], an unknown key in the words of serde.
pub fn typed<T: DeserializeOwned>(text: &str, file: &Path) -> Result<T, ConfigError> {
    read(text, file, false)
}

fn read<T: DeserializeOwned>(text: &str, file: &Path, known_keys: bool) -> Result<T, ConfigError> {
    let fail = |problems| Err(ConfigError { file: file.into(), problems });
    if text.len() > MAX_FILE {
        let message = format!("the file has {} bytes; at most {MAX_FILE} are read", text.len());
        return fail(vec![problem(text, None, String::new(), message, None)]);
    }
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let message = one_line(error.message());
            return fail(vec![problem(text, error.span(), String::new(), message, None)]);
        }
    };
    let mut walk = Walk { text, problems: Vec::new(), path: Vec::new(), known_keys };
    walk.table(document.as_table());
    if !walk.problems.is_empty() {
        return fail(walk.problems);
    }
    drop(walk);
    T::deserialize(toml_edit::de::Deserializer::from(document)).or_else(|error| {
        // Taken apart above; read again only to say where: a list of a thousand containers reads as many of these.
        let document = Document::parse(text).ok();
        let key = document.zip(error.span()).and_then(|(document, span)| key_at(document.as_item(), &span));
        let key = key.unwrap_or_default();
        let steps: Vec<&str> = key.split('.').collect();
        let hint = match keys::find(&steps) {
            Some(Found::Key(row)) if known_keys => {
                Some(format!("{} is {}, for example {}", row.path, row.form, row.example))
            }
            _ => None,
        };
        fail(vec![problem(text, error.span(), key, one_line(error.message()), hint)])
    })
}

/// Messages of the parser have several lines, the first of which says it.
fn one_line(message: &str) -> String {
    message.lines().collect::<Vec<_>>().join(", ")
}

fn problem(
    text: &str,
    span: Option<Range<usize>>,
    key: String,
    message: String,
    hint: Option<String>,
) -> Problem {
    let (line, column) = span.map_or((0, 0), |span| position(text, span.start));
    Problem { line, column, key, message, hint }
}

/// Line and column, both from 1, the column in characters.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}

/// Looks for unknown keys and control characters.
struct Walk<'a> {
    text: &'a str,
    problems: Vec<Problem>,
    path: Vec<Cow<'a, str>>,
    /// The keys are those of the table of keys.
    known_keys: bool,
}

impl<'a> Walk<'a> {
    fn table(&mut self, table: &'a dyn TableLike) {
        for (name, item) in table.iter() {
            self.path.push(name.into());
            let span = table.key(name).and_then(Key::span);
            self.key(item, span);
            self.path.pop();
        }
    }

    fn key(&mut self, item: &'a Item, span: Option<Range<usize>>) {
        let path: Vec<&str> = self.path.iter().map(AsRef::as_ref).collect();
        if path.last().is_some_and(|name| name.chars().any(char::is_control)) {
            let key = path.join(".").escape_debug().to_string();
            let message = "a key cannot contain control characters".to_string();
            return self.problems.push(problem(self.text, span, key, message, None));
        }
        if self.known_keys && keys::find(&path).is_none() {
            let hint = keys::suggest(&path).map(|key| format!("did you mean `{key}`?"));
            let hint = hint.or_else(|| Some("`wxc config keys` lists all keys".into()));
            let message = "unknown key".to_string();
            return self.problems.push(problem(self.text, span, path.join("."), message, hint));
        }
        self.item(item);
    }

    fn item(&mut self, item: &'a Item) {
        match item {
            Item::Table(table) => self.table(table),
            Item::ArrayOfTables(tables) => {
                for (index, table) in tables.iter().enumerate() {
                    self.path.push(index.to_string().into());
                    self.table(table);
                    self.path.pop();
                }
            }
            Item::Value(value) => self.value(value),
            Item::None => {}
        }
    }

    /// Programs and variables are written over several lines, as scripts for a shell are; and so is what hooks hand on.
    fn may_hold(&self, c: char) -> bool {
        let path: Vec<&str> = self.path.iter().map(AsRef::as_ref).collect();
        let lines = matches!(
            path[..],
            ["init", "command", ..] | ["environment", "set", ..] | ["hooks", _, "settings", _]
        );
        lines && matches!(c, '\n' | '\t')
    }

    fn value(&mut self, value: &'a Value) {
        match value {
            Value::InlineTable(table) => self.table(table),
            Value::Array(array) => {
                for (index, value) in array.iter().enumerate() {
                    self.path.push(index.to_string().into());
                    self.value(value);
                    self.path.pop();
                }
            }
            Value::String(text) if text.value().chars().any(|c| c.is_control() && !self.may_hold(c)) => {
                let message = "the value contains a line break or another control character".to_string();
                let key = self.path.join(".");
                self.problems.push(problem(self.text, text.span(), key, message, None));
            }
            _ => {}
        }
    }
}

/// The items directly below one, with the step that leads there.
fn children(item: &Item) -> Vec<(String, Child<'_>)> {
    match item {
        Item::Table(table) => table.iter().map(|(name, item)| (name.into(), Child::Item(item))).collect(),
        Item::ArrayOfTables(tables) => {
            let tables = tables.iter().enumerate();
            tables.map(|(index, table)| (index.to_string(), Child::Table(table))).collect()
        }
        Item::Value(value) => values_below(value),
        Item::None => Vec::new(),
    }
}

#[derive(Clone, Copy)]
enum Child<'a> {
    Item(&'a Item),
    Table(&'a toml_edit::Table),
    Value(&'a Value),
}

fn values_below(value: &Value) -> Vec<(String, Child<'_>)> {
    match value {
        Value::InlineTable(table) => {
            table.iter().map(|(name, value)| (name.into(), Child::Value(value))).collect()
        }
        Value::Array(array) => {
            let values = array.iter().enumerate();
            values.map(|(index, value)| (index.to_string(), Child::Value(value))).collect()
        }
        _ => Vec::new(),
    }
}

impl Child<'_> {
    fn span(&self) -> Option<Range<usize>> {
        match self {
            Self::Item(item) => item.span(),
            Self::Table(table) => table.span(),
            Self::Value(value) => value.span(),
        }
    }

    fn children(&self) -> Vec<(String, Child<'_>)> {
        match self {
            Self::Item(item) => children(item),
            Self::Table(table) => table.iter().map(|(name, item)| (name.into(), Child::Item(item))).collect(),
            Self::Value(value) => values_below(value),
        }
    }
}

/// Where the value of a dotted key stands, or the nearest table around it.
fn span_of(root: &Item, key: &str) -> Option<Range<usize>> {
    fn down(child: Child<'_>, rest: &str) -> Option<Range<usize>> {
        let own = child.span();
        let next = child.children().into_iter().find_map(|(step, child)| {
            let rest = rest.strip_prefix(step.as_str())?;
            (rest.is_empty() || rest.starts_with('.')).then(|| down(child, rest.trim_start_matches('.')))
        });
        next.flatten().or(own)
    }
    down(Child::Item(root), key)
}

/// The dotted key of the innermost value around `span`.
fn key_at(root: &Item, span: &Range<usize>) -> Option<String> {
    fn down(child: Child<'_>, span: &Range<usize>, path: &mut Vec<String>) -> bool {
        for (step, next) in child.children() {
            path.push(step);
            if down(next, span, path) {
                return true;
            }
            path.pop();
        }
        let inside = |own: Range<usize>| own.start <= span.start && span.end <= own.end;
        child.span().is_some_and(inside)
    }
    let mut path = Vec::new();
    (down(Child::Item(root), span, &mut path) && !path.is_empty()).then(|| path.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> ConfigError {
        parse(text, Path::new("container.toml")).unwrap_err()
    }

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(parse("", Path::new("x")).unwrap(), Container::default());
    }

    #[test]
    fn an_unknown_key_is_named_with_its_place_and_the_nearest() {
        let error = error("hostname = \"web\"\n[rootfs]\n  readonly = true\n");
        assert_eq!(error.to_string(), "container.toml:3:3: rootfs.readonly: unknown key");
        assert_eq!(error.hint(), Some("did you mean `rootfs.read-only`?"));
    }

    #[test]
    fn all_unknown_keys_are_named_at_once() {
        let error =
            error("hostnam = \"web\"\nmemory = \"1G\"\n[[network]]\ntype = \"empty\"\nbrigde = \"b\"\n");
        let keys: Vec<&str> = error.problems.iter().map(|p| p.key.as_str()).collect();
        assert_eq!(keys, ["hostnam", "memory", "network.0.brigde"]);
        let hints: Vec<&str> = error.problems.iter().filter_map(|p| p.hint.as_deref()).collect();
        assert_eq!(
            hints,
            ["did you mean `hostname`?", "did you mean `cgroup.memory`?", "did you mean `network.0.bridge`?"]
        );
    }

    #[test]
    fn who_writes_lxc_is_told_the_key() {
        assert_eq!(error("lxc.uts.name = \"x\"").problems[0].key, "lxc");
        assert_eq!(keys::suggest(&["lxc", "uts", "name"]).as_deref(), Some("hostname"));
    }

    #[test]
    fn a_wrong_type_is_named_with_its_place_and_what_was_expected() {
        let error = error("[init]\nuser = \"root\"\n");
        assert_eq!(
            error.to_string(),
            "container.toml:2:8: init.user: invalid type: string \"root\", expected u32"
        );
        assert_eq!(error.hint(), Some("init.user is a user id inside, for example 1000"));
    }

    #[test]
    fn a_value_of_the_wrong_form_is_quoted_at_the_place_of_its_list() {
        let error = error("[security]\ndrop-capabilities = [\"net_raw\", \"sys_admim\"]\n");
        let problem = &error.problems[0];
        assert_eq!((problem.line, problem.column), (2, 21));
        assert_eq!(problem.key, "security.drop-capabilities");
        assert!(
            problem.message.contains("\"sys_admim\" is not a capability; did you mean \"sys_admin\"?"),
            "{}",
            problem.message
        );
    }

    #[test]
    fn an_error_of_syntax_has_a_place() {
        let error = error("hostname = \"web\nprivileged = true\n");
        assert_eq!(error.problems[0].line, 1, "{error}");
    }

    #[test]
    fn control_characters_are_refused_everywhere() {
        for text in [
            "hostname = \"a\\nb\"",
            "init.command = [\"/sbin/init\", \"a\\u0000b\"]",
            "environment.set = { A = \"x\\u001by\" }",
            "environment.set = { \"A\\nB\" = \"x\" }",
            "hooks.exec.stop = [\"a\\nb\"]",
            "hooks.seed.settings = { \"a\\nb\" = \"x\" }",
            "hooks.seed.settings.data = \"a\\rb\"",
            "[[mounts]]\nsource = \"/srv\"\ntarget = \"/a\\tb\"",
        ] {
            let error = error(text);
            assert!(error.to_string().contains("control character"), "{text}: {error}");
        }
    }

    #[test]
    fn a_script_for_a_shell_has_lines() {
        let text = "init.command = [\"/bin/sh\", \"-c\", \"echo one\\n\\techo two\\n\"]\nenvironment.set = { A = \"x\\ny\" }\nhooks.seed.settings.data = \"#!/bin/sh\\ntrue\\n\"\n";
        let container = parse(text, Path::new("x")).unwrap();
        assert_eq!(container.init.command[2], "echo one\n\techo two\n");
        assert_eq!(container.environment.set["A"], "x\ny");
        assert_eq!(container.hooks.plugins["seed"].settings["data"].0, "#!/bin/sh\ntrue\n");
    }

    #[test]
    fn a_broken_rule_points_to_its_key() {
        let error = error("\n[console]\nttys = 99\n");
        assert_eq!((error.problems[0].line, error.problems[0].column), (3, 8), "{error}");
    }

    #[test]
    fn a_huge_file_is_not_read() {
        let text = "#".repeat(MAX_FILE + 1);
        assert!(error(&text).to_string().contains("at most"));
    }
}
