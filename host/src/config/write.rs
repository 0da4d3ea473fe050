#![forbid(unsafe_code)]
//! A fresh `container.toml`: what differs from the defaults, and where to read on.

use super::{Container, Name};

/// The text of the file for a new container. Comments that a person adds later survive, because
/// changes go through [`super::edit`].
///
/// # Errors
/// Never for a container that was parsed; a path that is not UTF-8 cannot stand in TOML.
pub fn fresh(container: &Container, name: &Name) -> Result<String, toml_edit::ser::Error> {
    let body = toml_edit::ser::to_string_pretty(container)?;
    let head = format!(
        "# Container {name}, made by wxc {}.\n\
         # What is not here has its default: `wxc config show -a {name}` shows everything,\n\
         # `wxc config keys` explains each key, `wxc config set {name} KEY VALUE` changes one and checks it.\n",
        env!("CARGO_PKG_VERSION")
    );
    Ok(if body.is_empty() { head } else { format!("{head}\n{body}") })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::ids::{HostId, IdMap};
    use crate::config::mounts::Mount;
    use crate::config::network::{Network, NetworkKind};
    use crate::config::toml::parse;

    fn name() -> Name {
        "web".parse().unwrap()
    }

    #[test]
    fn a_default_container_is_only_a_header() {
        let text = fresh(&Container::default(), &name()).unwrap();
        assert!(text.lines().all(|line| line.starts_with('#')), "{text}");
        assert_eq!(parse(&text, Path::new("x")).unwrap(), Container::default());
    }

    #[test]
    fn what_is_written_is_read_back_and_easy_on_the_eye() {
        let mut container = Container {
            ids: IdMap::single(HostId(1_000_000_000), 65_536),
            mounts: vec![Mount::bind("/srv/data", "/srv")],
            network: vec![Network { bridge: Some("br0".into()), ..Network::new(NetworkKind::Veth) }],
            ..Container::default()
        };
        container.environment.set.insert("LANG".into(), "C.UTF-8".into());
        container.sysctl.0.insert("net.ipv4.ip_forward".into(), "1".into());
        container.cgroup.memory.max = Some(crate::config::cgroup::Limit::At("512M".parse().unwrap()));
        let text = fresh(&container, &name()).unwrap();
        assert_eq!(parse(&text, Path::new("x")).unwrap(), container);
        let body: Vec<&str> = text.lines().skip(4).collect();
        assert_eq!(
            body.join("\n"),
            r#"[ids]
users = ["0:1000000000:65536"]
groups = ["0:1000000000:65536"]

[environment.set]
LANG = "C.UTF-8"

[cgroup.memory]
max = "512M"

[sysctl]
"net.ipv4.ip_forward" = "1"

[[mounts]]
source = "/srv/data"
target = "/srv"

[[network]]
type = "veth"
bridge = "br0""#
        );
    }
}
