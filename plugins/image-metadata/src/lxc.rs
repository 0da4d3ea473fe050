//! From an image's own configuration to settings of the container.
//!
//! Images of LXC's servers bring lines that `lxc-create` appends to the container's configuration, hooks included. Here a
//! line counts when its key has a counterpart that no image can do harm with; the rest is left out.

use words::setting::{inside, is_variable, list, quoted};

use crate::host_types::Pair;
use crate::template_types::{Finished, Member, Node, Rendered, Request, Substitution};

/// The newest dialect of the lists and the metadata that is understood.
const LEVEL: u32 = 7;
/// Most files in which words are replaced.
const MOST_FILES: usize = 100;
/// Longest message for the user.
const MESSAGE: usize = 4096;

/// Members of the metadata that are read.
const READ: [&str; 4] = ["config", "templates", "create-message", "expiry"];

/// Their names in every dialect.
pub fn members() -> Vec<String> {
    READ.iter().flat_map(|name| names(name, true).into_iter().chain(names(name, false))).collect()
}

/// The names of a member, best first: for this kind of container, of this dialect.
fn names(name: &str, privileged: bool) -> [String; 4] {
    let kind = if privileged { "system" } else { "user" };
    [format!("{name}-{kind}.{LEVEL}"), format!("{name}-{kind}"), format!("{name}.{LEVEL}"), name.to_owned()]
}

fn text(members: &[Member], name: &str, privileged: bool) -> String {
    let find = |name: &String| members.iter().find(|member| member.name == *name);
    let found = names(name, privileged).iter().find_map(find);
    found.map_or_else(String::new, |member| String::from_utf8_lossy(&member.content).into_owned())
}

pub fn finish(request: &Request, members: &[Member]) -> Finished {
    let config = text(members, "config", request.privileged);
    let message = text(members, "create-message", request.privileged).replace("LXC_NAME", &request.container);
    let message: String = message.trim().chars().take(MESSAGE).collect();
    Finished {
        settings: settings(&config),
        files: files(&text(members, "templates", request.privileged), &request.container),
        again: Vec::new(),
        message: (!message.is_empty()).then_some(message),
        // Seconds since 1970.
        expires: text(members, "expiry", request.privileged).trim().parse().ok(),
    }
}

/// What a line of the configuration becomes.
fn settings(config: &str) -> Vec<Pair> {
    let mut settings: Vec<Pair> = Vec::new();
    for line in config.lines() {
        let Some((key, value)) = line.split_once('=').map(|(key, value)| (key.trim(), value.trim())) else {
            continue;
        };
        let setting = match key {
            "lxc.arch" => Some(("arch".to_owned(), quoted(value))),
            "lxc.init.cmd" | "lxc.init_cmd" => {
                Some(("init.command".to_owned(), list(value.split_whitespace())))
            }
            "lxc.init.cwd" => Some(("init.cwd".to_owned(), quoted(value))),
            "lxc.init.uid" | "lxc.init_uid" => number("init.user", value),
            "lxc.init.gid" | "lxc.init_gid" => number("init.group", value),
            "lxc.tty.max" | "lxc.tty" => number("console.ttys", value),
            "lxc.signal.halt" | "lxc.haltsignal" => Some(("stop.halt".to_owned(), quoted(value))),
            "lxc.signal.reboot" | "lxc.rebootsignal" => Some(("stop.reboot".to_owned(), quoted(value))),
            "lxc.environment" => value
                .split_once('=')
                .filter(|(name, _)| is_variable(name))
                .map(|(name, value)| (format!("environment.set.{name}"), quoted(value))),
            _ => None,
        };
        if let Some((name, value)) = setting {
            settings.retain(|known| known.name != name);
            settings.push(Pair { name, value });
        }
    }
    settings
}

fn number(name: &str, value: &str) -> Option<(String, String)> {
    let number: u32 = value.parse().ok()?;
    Some((name.to_owned(), number.to_string()))
}

/// The files in which the container's name takes the place of a word.
fn files(list: &str, container: &str) -> Vec<Rendered> {
    let paths = list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let file = |path: String| Rendered {
        path,
        node: Node::Substitute(Substitution {
            words: vec![Pair { name: "LXC_NAME".into(), value: container.to_owned() }],
        }),
        permissions: 0o644,
        user: 0,
        group: 0,
        keep_existing: false,
    };
    paths.filter_map(inside).take(MOST_FILES).map(file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_says_how_it_runs_and_nothing_else() {
        let config = "# a comment\nlxc.arch = x86_64\nlxc.include = /etc/passwd\nlxc.hook.pre-start = /bin/evil\n\
                      lxc.mount.entry = / mnt none bind 0 0\nlxc.init.cmd = /bin/a \"b\nlxc.environment = A=b=c\n\
                      lxc.environment = 1X=y\nlxc.tty.max = 4\nlxc.tty.max = many\nlxc.cap.keep = sys_admin\nnonsense\n";
        let settings = settings(config);
        let shown: Vec<(&str, &str)> = settings.iter().map(|p| (p.name.as_str(), p.value.as_str())).collect();
        assert_eq!(
            shown,
            [
                ("arch", "\"x86_64\""),
                ("init.command", "[\"/bin/a\", \"\\\"b\"]"),
                ("environment.set.A", "\"b=c\""),
                ("console.ttys", "4"),
            ]
        );
    }

    #[test]
    fn the_dialect_for_the_container_comes_first() {
        let member = |name: &str| Member { name: name.into(), content: name.as_bytes().to_vec() };
        let all = [member("config"), member("config.7"), member("config-user"), member("config-system.7")];
        assert_eq!(text(&all, "config", false), "config-user");
        assert_eq!(text(&all, "config", true), "config-system.7");
        assert_eq!(text(&all[..2], "config", true), "config.7");
        assert_eq!(text(&[], "config", true), "");
        assert!(members().len() <= 32 && members().contains(&"create-message-user.7".to_owned()));
    }

    #[test]
    fn when_it_is_out_of_date_is_a_number() {
        let request = Request {
            container: "web".into(),
            architecture: "x86_64".into(),
            privileged: false,
            answers: Vec::new(),
        };
        let said = |content: &str| {
            finish(&request, &[Member { name: "expiry".into(), content: content.into() }]).expires
        };
        assert_eq!((said("1700000000\n"), said("soon"), said("-1")), (Some(1_700_000_000), None, None));
    }

    #[test]
    fn words_are_replaced_in_named_files() {
        let files = files("/etc/hosts\n\n# no\n./etc//hostname\n/../../etc/passwd\n/\n", "web");
        assert_eq!(
            files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(),
            ["/etc/hosts", "/etc/hostname"]
        );
    }
}
