//! From the image's configuration to settings: what is started, as whom, where, with which variables, and how it is asked to end.

use words::setting::{inside, list, quoted};

use crate::bindings::wxc::host::types::{Error, Pair};
use crate::bindings::wxc::template::types::{Finished, Member, Node, Rendered, Request};
use crate::spec::{self, Configuration, Execution};

/// Under which name the host hands it over.
const CONFIG: &str = "config";
/// Where programs are, if the image does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Most variables.
/// Programs that look after all others, and only do so as the first one.
const INITS: [&str; 5] =
    ["/sbin/init", "/usr/sbin/init", "/lib/systemd/systemd", "/usr/lib/systemd/systemd", "/bin/systemd"];
const MOST: usize = 1000;

pub fn finish(request: &Request, members: &[Member]) -> Result<Finished, Error> {
    let member = members.iter().find(|member| member.name == CONFIG);
    let configuration: Configuration =
        spec::parse("the configuration of the image", member.map_or(&[], |member| &member.content))?;
    let execution = configuration.config.unwrap_or_default();
    let command = command(&execution);
    let message = command.is_empty().then(|| {
        format!(
            "The image does not say what to start: wxc config set {} init.command /bin/sh",
            request.container
        )
    });
    Ok(Finished {
        settings: settings(&execution, &command),
        files: files(&request.container, execution.working_dir.as_deref()),
        again: Vec::new(),
        message,
        expires: None,
    })
}

fn command(execution: &Execution) -> Vec<&String> {
    execution.entrypoint.iter().flatten().chain(execution.cmd.iter().flatten()).collect()
}

fn settings(execution: &Execution, command: &[&String]) -> Vec<Pair> {
    let mut settings = Vec::new();
    let mut set = |name: &str, value: String| settings.push(Pair { name: name.into(), value });
    if !command.is_empty() {
        set("init.command", list(command.iter().map(|word| word.as_str())));
    }
    // Programs of images are no init: they reap nobody, and have no handlers for signals. But for those that are one, and want to be first.
    let is_init = command.first().is_some_and(|program| INITS.contains(&program.as_str()));
    set("init.stub", if is_init { "false" } else { "true" }.into());
    let signal = execution.stop_signal.as_deref().filter(|signal| !signal.is_empty()).unwrap_or("SIGTERM");
    set("stop.halt", if signal.bytes().all(|b| b.is_ascii_digit()) { signal.into() } else { quoted(signal) });
    let user = execution.user.as_deref().filter(|user| !user.is_empty());
    if let Some(user) = user {
        let (user, group) = user.split_once(':').map_or((user, None), |(user, group)| (user, Some(group)));
        set("init.user", quoted(user));
        if let Some(group) = group.filter(|group| !group.is_empty()) {
            set("init.group", quoted(group));
        }
    }
    if let Some(directory) = execution.working_dir.as_deref().and_then(inside) {
        set("init.cwd", quoted(&directory));
    }
    let variables = execution.env.iter().flatten().filter_map(|line| line.split_once('='));
    let mut variables: Vec<(&str, &str)> =
        variables.filter(|(name, value)| is_name(name) && !value.contains(is_odd)).take(MOST).collect();
    if !variables.iter().any(|(name, _)| *name == "PATH") {
        variables.push(("PATH", PATH));
    }
    // The last one counts.
    for at in 0..variables.len() {
        let (name, value) = variables[at];
        if !variables[at + 1..].iter().any(|(later, _)| *later == name) {
            set(&format!("environment.set.{name}"), quoted(value));
        }
    }
    settings
}

/// Whether it can be a variable. Programs take more for one than a shell does: `discovery.type`, `a-b`.
fn is_name(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_graphic() && !matches!(b, b'=' | b'"' | b'\'' | b'\\');
    let begins = name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
    begins && name.len() <= 256 && name.bytes().all(good)
}

/// What no variable of a container may hold.
fn is_odd(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t')
}

fn files(container: &str, directory: Option<&str>) -> Vec<Rendered> {
    let file = |path: &str, node, permissions, keep_existing| Rendered {
        path: path.into(),
        node,
        permissions,
        user: 0,
        group: 0,
        keep_existing,
    };
    let hosts =
        format!("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 {container}\n");
    let mut files = vec![
        file("/etc/hostname", Node::File(format!("{container}\n").into_bytes()), 0o644, false),
        file("/etc/hosts", Node::File(hosts.into_bytes()), 0o644, true),
    ];
    // An image may begin in a directory that it does not have.
    files.extend(directory.and_then(inside).map(|path| file(&path, Node::Directory, 0o755, true)));
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(config: &str) -> Vec<(String, String)> {
        let member = Member {
            name: CONFIG.into(),
            content: format!("{{\"rootfs\":{{}},\"config\":{config}}}").into(),
        };
        let request = Request {
            container: "web".into(),
            architecture: "x86_64".into(),
            privileged: false,
            answers: Vec::new(),
        };
        let finished = finish(&request, &[member]).unwrap();
        finished.settings.into_iter().map(|pair| (pair.name, pair.value)).collect()
    }

    #[test]
    fn an_image_says_how_it_is_started() {
        let settings = of(
            r#"{"Entrypoint":["/e","a b"],"Cmd":["c\"d"],"User":"www:100","WorkingDir":"/srv/./x/","StopSignal":"SIGQUIT",
            "Env":["A=b=c","PATH=/bin","A=last","BAD NAME=x","9=x","E=a\nb","F=\u001b[2J","discovery.type=single-node"]}"#,
        );
        let expected = [
            ("init.command", r#"["/e", "a b", "c\"d"]"#),
            ("init.stub", "true"),
            ("stop.halt", "\"SIGQUIT\""),
            ("init.user", "\"www\""),
            ("init.group", "\"100\""),
            ("init.cwd", "\"/srv/x\""),
            ("environment.set.PATH", "\"/bin\""),
            ("environment.set.A", "\"last\""),
            ("environment.set.E", "\"a\\nb\""),
            ("environment.set.discovery.type", "\"single-node\""),
        ];
        assert_eq!(settings, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let of_init = of(r#"{"Cmd":["/sbin/init"]}"#);
        assert!(of_init.contains(&("init.stub".into(), "false".into())));
        let bare = of("{}");
        assert!(bare.contains(&("environment.set.PATH".into(), format!("\"{PATH}\""))));
        assert!(!bare.iter().any(|(name, _)| name == "init.command"));
        assert!(!of(r#"{"WorkingDir":"/../x"}"#).iter().any(|(name, _)| name == "init.cwd"));
    }
}
