#![forbid(unsafe_code)]
//! Command templates: from words with `{placeholders}` to arguments, and nothing that was not approved.
//!
//! Every placeholder has a type, and none of the types admits what a program could take for an option
//! or for a second argument. What a plugin fills in is text of one argument; where the arguments
//! are, and which, is the manifest's alone.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::IpAddr;

use super::volume_id::is_volume_id;

/// What a placeholder stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// The pool, bound by the administrator.
    Pool,
    /// The setting of the placeholder's name.
    Setting,
    /// A volume id, in the alphabet that LVM and others take.
    Volume,
    /// A name below the pool's.
    Dataset,
    /// One plain name.
    Name,
    /// A little more than a name: what options and properties are made of.
    Word,
    /// One of these.
    Choice(Vec<String>),
    /// Bytes.
    Size,
    /// A number.
    Count,
    /// A file of the pool.
    File,
    /// A block device.
    Device,
    /// An address, with the length of its network if one likes.
    Address,
    /// The network namespace of the container that the call is about.
    Network,
    /// A program that prints what it is told.
    Printer,
}

/// A piece of an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Placeholder { name: String, kind: Type },
}

/// A template, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine(Vec<Vec<Piece>>);

/// What a placeholder was filled with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// By `set-text`.
    Text(String),
    /// By `set-number`.
    Number(u64),
    /// By `set-file`: the name that the program gets.
    File(String),
    /// By `set-device`: its node.
    Device(String),
}

/// What is not the plugin's to fill: what the administrator bound, and what the host brings.
#[derive(Debug, Clone, Copy)]
pub struct Bound<'a> {
    /// The name of the pool, where it has one.
    pub pool: Option<&'a str>,
    /// The plugin's settings.
    pub settings: &'a BTreeMap<String, Option<String>>,
    /// A name that leads to the network namespace of the container, in a call that is about one.
    pub network: Option<&'a str>,
    /// A name that leads to the printer.
    pub printer: Option<&'a str>,
}

/// Numbers above are not exact in every language a guest may be written in.
const MOST: u64 = 1 << 53;

impl CommandLine {
    /// Takes a template apart.
    ///
    /// # Errors
    /// A sentence for the plugin's author.
    pub fn parse(argv: &[String]) -> Result<Self, String> {
        let arguments: Vec<Vec<Piece>> = argv.iter().map(|word| pieces(word)).collect::<Result<_, _>>()?;
        let mut types: BTreeMap<&str, &Type> = BTreeMap::new();
        for piece in arguments.iter().flatten() {
            if let Piece::Placeholder { name, kind } = piece
                && types.insert(name, kind).is_some_and(|other| other != kind)
            {
                return Err(format!("the placeholder {{{name}}} has two types"));
            }
        }
        Ok(Self(arguments))
    }

    /// The names of its placeholders of type `setting`.
    pub fn settings(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flatten().filter_map(|piece| match piece {
            Piece::Placeholder { name, kind: Type::Setting } => Some(name.as_str()),
            _ => None,
        })
    }

    /// Whether something has to be brought for it.
    #[must_use]
    pub fn wants(&self, wanted: &Type) -> bool {
        let mut all = self.0.iter().flatten();
        all.any(|piece| matches!(piece, Piece::Placeholder { kind, .. } if kind == wanted))
    }

    /// Its arguments, filled in.
    ///
    /// # Errors
    /// A sentence that says which placeholder got what it cannot take, or nothing.
    pub fn fill(&self, values: &BTreeMap<String, Value>, bound: Bound<'_>) -> Result<Vec<OsString>, String> {
        let names = self.0.iter().flatten().filter_map(|piece| match piece {
            Piece::Placeholder { name, .. } => Some(name),
            Piece::Text(_) => None,
        });
        let names: Vec<&String> = names.collect();
        if let Some(other) = values.keys().find(|name| !names.contains(name)) {
            return Err(format!("the template has no placeholder {{{other}}}"));
        }
        let argument = |pieces: &Vec<Piece>| {
            let texts = pieces.iter().map(|piece| match piece {
                Piece::Text(text) => Ok(text.clone()),
                Piece::Placeholder { name, kind } => kind
                    .accept(name, values.get(name), bound)
                    .map_err(|why| format!("the placeholder {{{name}}} {why}")),
            });
            Ok(OsString::from(texts.collect::<Result<String, String>>()?))
        };
        self.0.iter().map(argument).collect()
    }
}

/// Text and placeholders of one word; `{{` and `}}` are braces.
fn pieces(word: &str) -> Result<Vec<Piece>, String> {
    let (mut pieces, mut text, mut rest) = (Vec::new(), String::new(), word);
    while let Some(at) = rest.find(['{', '}']) {
        text.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            text.push_str(brace);
            rest = after;
            continue;
        }
        let (inside, after) = rest
            .split_once('}')
            .filter(|_| brace == "{")
            .ok_or_else(|| format!("{word:?}: a lone {brace}"))?;
        let (name, kind) = inside.split_once(':').unwrap_or((inside, inside));
        if !super::manifest::is_name(name) {
            return Err(format!("{word:?}: {name:?} is not the name of a placeholder"));
        }
        let kind = Type::parse(kind).ok_or_else(|| format!("{word:?}: there is no type {kind:?}"))?;
        if !text.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut text)));
        }
        pieces.push(Piece::Placeholder { name: name.to_owned(), kind });
        rest = after;
    }
    text.push_str(rest);
    if !text.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

impl Type {
    fn parse(word: &str) -> Option<Self> {
        if let Some(words) = word.strip_prefix("choice(").and_then(|rest| rest.strip_suffix(')')) {
            let words: Vec<String> = words.split('|').map(str::to_owned).collect();
            return words.iter().all(|word| is_plain(word, 255, WORD)).then_some(Self::Choice(words));
        }
        Some(match word {
            "pool" => Self::Pool,
            "setting" => Self::Setting,
            "volume" => Self::Volume,
            "dataset" => Self::Dataset,
            "name" => Self::Name,
            "word" => Self::Word,
            "size" => Self::Size,
            "count" => Self::Count,
            "file" => Self::File,
            "device" => Self::Device,
            "address" => Self::Address,
            "network" => Self::Network,
            "printer" => Self::Printer,
            _ => return None,
        })
    }

    /// What the program sees of a value.
    fn accept(&self, name: &str, value: Option<&Value>, bound: Bound<'_>) -> Result<String, String> {
        let pool = || bound.pool.ok_or("stands for the pool, and no pool is bound");
        match (self, value) {
            (Self::Pool, None) => Ok(pool()?.to_owned()),
            (Self::Setting, None) => match bound.settings.get(name) {
                Some(Some(set)) if is_name(set) => Ok(set.clone()),
                Some(Some(set)) => Err(format!("stands for a setting, and {set:?} is not a name")),
                _ => Err("stands for a setting that has no value".into()),
            },
            (Self::Network, None) => Ok(bound
                .network
                .ok_or("stands for a container's network, and there is none in this call")?
                .into()),
            (Self::Printer, None) => {
                Ok(bound.printer.ok_or("stands for a program that is not there")?.into())
            }
            (Self::Pool | Self::Setting | Self::Network | Self::Printer, Some(_)) => {
                Err("is not for the plugin to fill".into())
            }
            (_, None) => Err("was not filled".into()),
            (Self::Volume, Some(Value::Text(id))) if is_volume_id(id) => Ok(volume(id)),
            (Self::Dataset, Some(Value::Text(below))) if is_dataset(below) => {
                Ok(format!("{}/{below}", pool()?))
            }
            (Self::Name, Some(Value::Text(text))) if is_name(text) => Ok(text.clone()),
            (Self::Word, Some(Value::Text(text))) if is_plain(text, 256, WORD) && !text.contains("..") => {
                Ok(text.clone())
            }
            (Self::Address, Some(Value::Text(text))) => {
                address(text).ok_or_else(|| format!("cannot be {text:?}: it is no address"))
            }
            (Self::Choice(words), Some(Value::Text(text))) if words.contains(text) => Ok(text.clone()),
            (Self::Size | Self::Count, Some(Value::Number(number))) if *number < MOST => {
                Ok(number.to_string())
            }
            (Self::File, Some(Value::File(path))) | (Self::Device, Some(Value::Device(path))) => {
                Ok(path.clone())
            }
            (_, Some(Value::Text(text))) => Err(format!("cannot be {text:?}")),
            (_, Some(Value::Number(number))) => Err(format!("cannot be the number {number}")),
            (_, Some(Value::File(_))) => Err("cannot be a file".into()),
            (_, Some(Value::Device(_))) => Err("cannot be a device".into()),
        }
    }
}

/// What a name may have after its first letter or digit.
const NAME: &str = "._-";
/// What a word may.
const WORD: &str = "._:,=+%/-";

/// Letters, digits and `more`, the first a letter or digit: never an option.
fn is_plain(text: &str, most: usize, more: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
    text.len() <= most && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(good)
}

/// Whether a program may be given this as a name.
#[must_use]
pub fn is_name(text: &str) -> bool {
    is_plain(text, 128, NAME)
}

/// As everybody writes it, whatever the plugin wrote: an address, and the length of its network where it has one.
fn address(text: &str) -> Option<String> {
    let Some((address, prefix)) = text.split_once('/') else {
        return Some(text.parse::<IpAddr>().ok()?.to_string());
    };
    let (address, prefix): (IpAddr, u8) = (address.parse().ok()?, prefix.parse().ok()?);
    let longest = if address.is_ipv4() { 32 } else { 128 };
    (prefix <= longest).then(|| format!("{address}/{prefix}"))
}

fn is_dataset(text: &str) -> bool {
    let (path, snapshot) =
        text.split_once('@').map_or((text, None), |(path, snapshot)| (path, Some(snapshot)));
    let parts = path.split('/').chain(snapshot);
    path.split('/').count() <= 8 && parts.into_iter().all(is_name)
}

/// `web+before` for `web@before`, `_images+DIGEST` for `.images@DIGEST`: unambiguous, because no container's
/// name has a plus or begins with an underscore.
fn volume(id: &str) -> String {
    let id = id.replace('@', "+");
    id.strip_prefix('.').map_or(id.clone(), |rest| format!("_{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(argv: &[&str]) -> Result<CommandLine, String> {
        CommandLine::parse(&argv.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    fn fill(argv: &[&str], values: &[(&str, Value)]) -> Result<Vec<OsString>, String> {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let settings = BTreeMap::from([
            ("thin-pool".to_owned(), Some("thin0".to_owned())),
            ("sly".to_owned(), Some("--yes".to_owned())),
            ("unset".to_owned(), None),
        ]);
        let bound =
            Bound { pool: Some("vg0"), settings: &settings, network: Some("/n"), printer: Some("/p") };
        line(argv).unwrap().fill(&values, bound)
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn a_template_becomes_exactly_its_arguments() {
        let argv = ["lvcreate", "--virtualsize", "{size}b", "{pool}/{thin-pool:setting}", "{volume}", "{{}}"];
        let filled = fill(&argv, &[("size", Value::Number(4096)), ("volume", text(".images@0a"))]).unwrap();
        assert_eq!(filled, ["lvcreate", "--virtualsize", "4096b", "vg0/thin0", "_images+0a", "{}"]);
        let argv = ["zfs", "-o", "wxc:operation={operation:word}", "{dataset}", "{how:choice(on|off)}"];
        let values =
            [("operation", text("create-1-2")), ("dataset", text("containers/web@s")), ("how", text("off"))];
        assert_eq!(
            fill(&argv, &values).unwrap(),
            ["zfs", "-o", "wxc:operation=create-1-2", "vg0/containers/web@s", "off"]
        );
    }

    #[test]
    fn no_value_is_an_option_a_path_or_two_arguments() {
        for kind in ["name", "word", "volume", "dataset", "choice(on|off)"] {
            let argv = ["tool", &format!("{{x:{kind}}}")];
            for bad in
                ["-rf", "--all", "", "/etc", "a b", "a\nb", "a;b", "$(x)", "a*", "../x", "a/../b", "é", "a\0"]
            {
                let answer = fill(&argv, &[("x", text(bad))]);
                assert!(answer.as_ref().is_err_and(|why| why.contains("{x}")), "{kind} {bad:?} {answer:?}");
            }
        }
        assert!(fill(&["tool", "{x:name}"], &[("x", text("a/b"))]).is_err());
        assert!(fill(&["tool", "{x:word}"], &[("x", text("a/b"))]).is_ok());
    }

    #[test]
    fn every_type_takes_its_own_kind_of_value_only() {
        let values = [text("1"), Value::Number(1), Value::File("/f".into()), Value::Device("/d".into())];
        for (kind, good) in
            [("name", 0), ("word", 0), ("volume", 0), ("size", 1), ("count", 1), ("file", 2), ("device", 3)]
        {
            for (index, value) in values.iter().enumerate() {
                let answer = fill(&["tool", &format!("{{x:{kind}}}")], &[("x", value.clone())]);
                assert_eq!(answer.is_ok(), index == good, "{kind} {value:?}");
            }
        }
        assert!(fill(&["tool", "{size}"], &[("size", Value::Number(1 << 53))]).is_err());
    }

    #[test]
    fn what_the_administrator_binds_is_not_the_plugins() {
        assert!(fill(&["tool", "{pool}"], &[("pool", text("vg1"))]).is_err());
        assert!(fill(&["tool", "{thin-pool:setting}"], &[("thin-pool", text("x"))]).is_err());
        assert!(fill(&["tool", "{sly:setting}"], &[]).is_err());
        assert!(fill(&["tool", "{unset:setting}"], &[]).is_err());
        let nothing = Bound { pool: None, settings: &BTreeMap::new(), network: None, printer: None };
        for word in ["{pool}", "{network}", "{printer}"] {
            assert!(line(&["tool", word]).unwrap().fill(&BTreeMap::new(), nothing).is_err());
        }
    }

    #[test]
    fn what_the_host_brings_is_not_the_plugins() {
        let argv = ["nsenter", "--net={network}", "{printer}"];
        assert_eq!(fill(&argv, &[]).unwrap(), ["nsenter", "--net=/n", "/p"]);
        for name in ["network", "printer"] {
            assert!(
                fill(&argv, &[(name, text("/proc/1/ns/net"))]).unwrap_err().contains("not for the plugin")
            );
        }
        assert!(line(&argv).unwrap().wants(&Type::Network) && !line(&argv).unwrap().wants(&Type::Pool));
    }

    #[test]
    fn an_address_is_one_and_nothing_else() {
        for (written, seen) in
            [("10.0.3.7", "10.0.3.7"), ("10.0.3.7/24", "10.0.3.7/24"), ("FD00:0::1/64", "fd00::1/64")]
        {
            assert_eq!(fill(&["ip", "{x:address}"], &[("x", text(written))]).unwrap(), ["ip", seen]);
        }
        for bad in [
            "",
            "-1",
            "10.0.3",
            "10.0.3.7/33",
            "10.0.3.7/",
            "fd00::1/129",
            "10.0.3.7/24/1",
            "10.0.3.7 dev eth0",
        ] {
            assert!(fill(&["ip", "{x:address}"], &[("x", text(bad))]).unwrap_err().contains("{x}"), "{bad}");
        }
    }

    #[test]
    fn what_is_missing_or_too_much_is_said() {
        assert_eq!(fill(&["tool", "{size}"], &[]).unwrap_err(), "the placeholder {size} was not filled");
        assert!(
            fill(&["tool"], &[("size", Value::Number(1))]).unwrap_err().contains("no placeholder {size}")
        );
    }

    #[test]
    fn broken_templates_are_refused() {
        for bad in ["{", "}", "{size", "{Size}", "{}", "{x:any}", "{x:choice(-a)}", "{x:choice()}", "{ x }"] {
            assert!(line(&["tool", bad]).is_err(), "{bad}");
        }
        assert!(line(&["tool", "{x:name}", "{x:word}"]).is_err());
    }
}
