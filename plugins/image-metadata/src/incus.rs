//! Metadata of images of Incus and LXD: `metadata.yaml`, and templates of files in the language of Django.

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Value};
use words::architecture::of_kernel;
use words::setting::{inside, quoted};
use yaml_rust2::parser::{Event, EventReceiver, Parser};
use yaml_rust2::{Yaml, YamlLoader};

use crate::error;
use crate::host_types::{Error, ErrorKind, Pair};
use crate::template_types::{Finished, Member, Moment, Node, Rendered, Request};

const METADATA: &str = "metadata.yaml";
const TEMPLATES: &str = "templates/";
/// Most files that an image renders.
const MOST_FILES: usize = 100;
/// Steps that a template may take.
const STEPS: u64 = 200_000;

/// What is read of the metadata.
pub fn members() -> Vec<String> {
    vec![METADATA.into(), TEMPLATES.into()]
}

/// Whether this is metadata of this kind.
pub fn is_here(members: &[Member]) -> bool {
    members.iter().any(|member| member.name == METADATA)
}

/// A file that an image wants rendered.
struct Template<'a> {
    path: &'a str,
    when: Vec<Moment>,
    source: &'a str,
    create_only: bool,
    properties: BTreeMap<&'a str, &'a str>,
    user: u32,
    group: u32,
    permissions: u32,
}

/// Whether there are any.
struct Aliases(bool);

impl EventReceiver for Aliases {
    fn on_event(&mut self, event: Event) {
        self.0 |= matches!(event, Event::Alias(_));
    }
}

pub fn finish(moment: Moment, request: &Request, members: &[Member]) -> Result<Finished, Error> {
    let text = members.iter().find(|member| member.name == METADATA).map(|member| &member.content);
    let text = text.map_or("".into(), |content| String::from_utf8_lossy(content));
    let bad = |why: String| error(ErrorKind::Integrity, format!("{METADATA} of the image: {why}"));
    // Each alias is another copy of what it means, and copies of copies fill any memory.
    let mut aliases = Aliases(false);
    Parser::new_from_str(&text).load(&mut aliases, true).map_err(|why| bad(why.to_string()))?;
    if aliases.0 {
        return Err(bad("it has aliases, which nobody needs there".into()));
    }
    let documents = YamlLoader::load_from_str(&text).map_err(|why| bad(why.to_string()))?;
    let metadata = documents.into_iter().next().unwrap_or(Yaml::Null);
    let architecture = metadata["architecture"].as_str().unwrap_or_default();
    let mut settings = Vec::new();
    if !architecture.is_empty() {
        settings.push(Pair { name: "arch".into(), value: quoted(of_kernel(architecture)) });
    }
    let templates = templates(&metadata);
    let mut again: Vec<Moment> = Vec::new();
    for other in templates.iter().flat_map(|template| &template.when).filter(|when| **when != Moment::Create)
    {
        if !again.contains(other) {
            again.push(*other);
        }
    }
    let due = templates.iter().filter(|template| template.when.contains(&moment));
    let files =
        due.map(|template| rendered(moment, request, members, template)).collect::<Result<Vec<_>, _>>()?;
    // Seconds since 1970; zero where its maker has no opinion.
    let expires = metadata["expiry_date"].as_i64().and_then(|at| u64::try_from(at).ok()).filter(|at| *at > 0);
    Ok(Finished { settings, files: files.into_iter().flatten().collect(), again, message: None, expires })
}

fn templates(metadata: &Yaml) -> Vec<Template<'_>> {
    let Some(all) = metadata["templates"].as_hash() else { return Vec::new() };
    let number = |value: &Yaml| value.as_i64().and_then(|id| u32::try_from(id).ok()).unwrap_or(0);
    all.iter()
        .filter_map(|(path, how)| {
            let when = how["when"].as_vec().map_or(&[] as &[Yaml], Vec::as_slice);
            let properties = how["properties"].as_hash().into_iter().flatten();
            Some(Template {
                path: path.as_str()?,
                when: when.iter().filter_map(|word| self::moment(word.as_str()?)).collect(),
                source: how["template"].as_str()?,
                create_only: how["create_only"].as_bool().unwrap_or(false),
                properties: properties
                    .filter_map(|(name, value)| Some((name.as_str()?, value.as_str()?)))
                    .collect(),
                user: number(&how["uid"]),
                group: number(&how["gid"]),
                permissions: mode(&how["mode"]),
            })
        })
        .take(MOST_FILES)
        .collect()
}

fn moment(word: &str) -> Option<Moment> {
    match word {
        "create" => Some(Moment::Create),
        "copy" => Some(Moment::Copy),
        "rename" => Some(Moment::Rename),
        "start" => Some(Moment::Start),
        _ => None,
    }
}

fn word(moment: Moment) -> &'static str {
    match moment {
        Moment::Create => "create",
        Moment::Copy => "copy",
        Moment::Rename => "rename",
        Moment::Start => "start",
    }
}

/// Permission bits, written as octal digits; no image makes a program that gives others' power.
fn mode(value: &Yaml) -> u32 {
    let digits = match value {
        Yaml::String(text) => text.clone(),
        Yaml::Integer(number) => number.to_string(),
        _ => String::new(),
    };
    u32::from_str_radix(digits.trim_start_matches("0o"), 8).map_or(0o644, |mode| mode & 0o777)
}

/// What a template can use.
fn context(moment: Moment, request: &Request, template: &Template<'_>, path: &str) -> Value {
    let empty = || Value::from_pairs([] as [(&str, Value); 0]);
    let instance = Value::from_pairs([
        ("name", request.container.as_str()),
        ("architecture", &request.architecture),
        ("privileged", if request.privileged { "true" } else { "false" }),
        ("ephemeral", "false"),
        ("type", "container"),
    ]);
    Value::from_pairs([
        ("trigger", Value::from(word(moment))),
        ("path", Value::from(path)),
        ("container", instance.clone()),
        ("instance", instance),
        // A container has no free settings.
        ("config", empty()),
        ("devices", empty()),
        ("properties", Value::from_pairs(template.properties.iter().map(|(name, value)| (*name, *value)))),
    ])
}

fn rendered(
    moment: Moment,
    request: &Request,
    members: &[Member],
    template: &Template<'_>,
) -> Result<Option<Rendered>, Error> {
    let Some(path) = inside(template.path) else { return Ok(None) };
    let name = format!("{TEMPLATES}{}", template.source);
    let bad = |why: String| error(ErrorKind::Integrity, format!("{name} of the image: {why}"));
    let Some(source) = members.iter().find(|member| member.name == name) else {
        return Err(bad("it is not there, and metadata.yaml names it".into()));
    };
    let source = std::str::from_utf8(&source.content).map_err(|_| bad("it is no text".into()))?;
    let text = render(source, &context(moment, request, template, &path)).map_err(bad)?;
    Ok(Some(Rendered {
        path,
        node: Node::File(text.into_bytes()),
        permissions: template.permissions,
        user: template.user,
        group: template.group,
        keep_existing: template.create_only,
    }))
}

fn render(source: &str, context: &Value) -> Result<String, String> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
    environment.set_syntax(syntax.map_err(|why| why.to_string())?);
    environment.set_fuel(Some(STEPS));
    // What is not there is empty, and what would be in it, too.
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Chainable);
    // A container has no free settings: what the template thinks best holds.
    environment.add_function("config_get", |_: String, default: Option<Value>| {
        default.unwrap_or_else(|| Value::from(""))
    });
    environment.render_str(&filters(source), context).map_err(|why| why.to_string())
}

/// Filters with an argument as Django writes them (`|default:"x"`), as Jinja does (`|default("x")`), inside of tags.
fn filters(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(begin) = ["{{", "{%"].iter().filter_map(|tag| rest.find(tag)).min() {
        let Some(length) = rest[begin..].find("}}").into_iter().chain(rest[begin..].find("%}")).min() else {
            break;
        };
        out.push_str(&rest[..begin]);
        tag(&operators(&rest[begin..begin + length]), &mut out);
        rest = &rest[begin + length..];
    }
    out.push_str(rest);
    out
}

/// Operators as Go writes them, as Jinja does; not what stands in quotes.
fn operators(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut quote, mut rest) = (None, text);
    while let Some(c) = rest.chars().next() {
        let mut taken = c.len_utf8();
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            _ => {}
        }
        let word = match quote {
            Some(_) => None,
            None if rest.starts_with("&&") => Some((" and ", 2)),
            None if rest.starts_with("||") => Some((" or ", 2)),
            None if c == '!' && !rest.starts_with("!=") => Some((" not ", 1)),
            None => None,
        };
        match word {
            Some((word, length)) => {
                out.push_str(word);
                taken = length;
            }
            None => out.push(c),
        }
        rest = &rest[taken..];
    }
    out
}

fn tag(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(bar) = rest.find('|') {
        let (before, after) = rest.split_at(bar + 1);
        let name = after.len()
            - after.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_' || c == ' ').len();
        out.push_str(before);
        out.push_str(&after[..name]);
        rest = &after[name..];
        let Some(argument) = rest.strip_prefix(':') else { continue };
        let quote = argument.chars().next().filter(|c| matches!(c, '"' | '\''));
        let end = match quote {
            Some(quote) => argument[1..].find(quote).map(|at| at + 2),
            None => Some(
                argument.find(|c: char| !c.is_alphanumeric() && !"_.".contains(c)).unwrap_or(argument.len()),
            ),
        };
        let Some(end) = end else { continue };
        out.push('(');
        out.push_str(&argument[..end]);
        out.push(')');
        rest = &argument[end..];
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request {
            container: "web".into(),
            architecture: "x86_64".into(),
            privileged: false,
            answers: Vec::new(),
        }
    }

    fn member(name: &str, content: &str) -> Member {
        Member { name: name.into(), content: content.into() }
    }

    const YAML: &str = r#"
architecture: amd64
creation_date: 1700000000
properties: {os: Debian, description: "a \u001b[2J"}
templates:
  /etc/hostname:
    when: [create, copy]
    template: hostname.tpl
    properties: {}
  /etc/hosts:
    when:
    - create
    - copy
    template: hosts.tpl
  /etc/motd:
    when: [start]
    create_only: true
    template: motd.tpl
    properties: {default: "none"}
    uid: 5
    gid: 6
    mode: "4755"
  /../../etc/passwd:
    when: [create]
    template: hostname.tpl
"#;

    fn image() -> Vec<Member> {
        vec![
            member("metadata.yaml", YAML),
            member("templates/hostname.tpl", "{{ container.name }}\n"),
            member(
                "templates/hosts.tpl",
                "127.0.1.1\t{{ instance.name }}\n{% if trigger == \"copy\" %}# copied\n{% endif %}",
            ),
            member(
                "templates/motd.tpl",
                "{% if config_get(\"user.motd\", \"\") == \"\" %}{{ config_get(\"a\", properties.default) }}{% endif %} {{ nothing|default:\"d\" }} {{ instance.name|upper }}\n",
            ),
        ]
    }

    #[test]
    fn what_the_language_of_incus_has_is_understood() {
        let metadata = "templates: {/x: {when: [create], template: x.tpl}}";
        let rendered = |source: &str| {
            let image = [member("metadata.yaml", metadata), member("templates/x.tpl", source)];
            let finished = finish(Moment::Create, &request(), &image).unwrap();
            match &finished.files[0].node {
                Node::File(text) => String::from_utf8(text.clone()).unwrap(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(rendered("{{ config.user.foo.bar|default:'x' }}"), "x");
        assert_eq!(
            rendered("{% if trigger == \"create\" && !nothing || false %}a && !b{% endif %}"),
            "a && !b"
        );
        assert_eq!(rendered("{% if \"a&&b\" != 'x' %}yes{% endif %}"), "yes");
        assert_eq!(rendered("{{ instance.name|default:\"d\"|upper }}"), "WEB");
    }

    #[test]
    fn files_are_rendered_at_their_moments() {
        let texts = |moment| {
            let finished = finish(moment, &request(), &image()).unwrap();
            let text = |file: Rendered| match file.node {
                Node::File(content) => (file.path, String::from_utf8(content).unwrap()),
                _ => panic!("no file"),
            };
            finished.files.into_iter().map(text).collect::<Vec<_>>()
        };
        let pair = |path: &str, text: &str| (path.to_owned(), text.to_owned());
        assert_eq!(
            texts(Moment::Create),
            [pair("/etc/hostname", "web\n"), pair("/etc/hosts", "127.0.1.1\tweb\n")]
        );
        assert_eq!(texts(Moment::Copy)[1].1, "127.0.1.1\tweb\n# copied\n");
        assert_eq!(texts(Moment::Start), [pair("/etc/motd", "none d WEB\n")]);
        assert_eq!(texts(Moment::Rename), []);
        let finished = finish(Moment::Start, &request(), &image()).unwrap();
        assert_eq!(finished.again, [Moment::Copy, Moment::Start]);
        assert_eq!(finished.settings[0].value, "\"x86_64\"");
        let file = &finished.files[0];
        assert_eq!((file.user, file.group, file.permissions, file.keep_existing), (5, 6, 0o755, true));
    }

    #[test]
    fn hostile_metadata_is_refused_or_says_nothing() {
        let with = |yaml: &str, template: &str| {
            finish(
                Moment::Create,
                &request(),
                &[member("metadata.yaml", yaml), member("templates/x", template)],
            )
        };
        let using = "templates: {/etc/x: {when: [create], template: x}}";
        assert_eq!(with(using, "{{ 1 + 1 }}").unwrap().files.len(), 1);
        for endless in [
            "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
            "{{",
            "{% if %}",
        ] {
            let error = with(using, endless).unwrap_err();
            assert!(error.message.contains("templates/x"), "{}", error.message);
        }
        // No file of the machine's can be named: there is nothing that reads one.
        for reading in
            ["{% include \"/etc/passwd\" %}", "{% extends \"/etc/passwd\" %}", "{{ open(\"/etc/passwd\") }}"]
        {
            assert!(with(using, reading).is_err(), "{reading}");
        }
        assert!(with("templates: {/etc/x: {when: [create], template: ../../etc/passwd}}", "").is_err());
        for empty in
            ["", "a", "- 1", "templates: 5", "templates: {5: 6}", "templates: {/etc/x: {template: x}}"]
        {
            assert!(with(empty, "").unwrap().files.is_empty(), "{empty}");
        }
        for broken in ["a: [", "\t- x: {", "a: *unknown"] {
            assert!(with(broken, "").is_err(), "{broken}");
        }
        let deep = "[".repeat(100_000);
        assert!(with(&deep, "").is_err());
    }

    #[test]
    fn copies_of_copies_are_refused() {
        let mut yaml = String::from("a0: &a0 [x]\n");
        for level in 1..64 {
            yaml += &format!("a{level}: &a{level} [*a{0}, *a{0}, *a{0}]\n", level - 1);
        }
        let refused = finish(Moment::Create, &request(), &[member(METADATA, &yaml)]).unwrap_err();
        assert!(refused.message.contains("aliases"), "{}", refused.message);
    }

    #[test]
    fn filters_of_django_are_those_of_jinja() {
        for (django, jinja) in [
            ("{{ a|default:\"b\" }}", "{{ a|default(\"b\") }}"),
            ("{{ a|default:b.c|upper }} x|y:z", "{{ a|default(b.c)|upper }} x|y:z"),
            ("{{ a }}{% if b|length:3 %}", "{{ a }}{% if b|length(3) %}"),
            ("{{ a|default:\"b }}", "{{ a|default:\"b }}"),
            ("no tag |x:1", "no tag |x:1"),
        ] {
            assert_eq!(filters(django), jinja);
        }
    }
}
