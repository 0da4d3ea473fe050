//! The files of a fresh root, as tables: directories, links and the few files of `/etc` that programs ask for.

use crate::accounts;
use crate::bindings::wxc::template::host_system::HostDirectory;
use crate::bindings::wxc::template::types::{Node, Rendered};

/// Directories and their permissions: the top of the file system hierarchy, and what programs expect in `/var`.
const DIRECTORIES: &[(&str, u32)] = &[
    ("/dev", 0o755),
    ("/etc", 0o755),
    ("/home", 0o755),
    ("/media", 0o755),
    ("/mnt", 0o755),
    ("/opt", 0o755),
    ("/proc", 0o555),
    ("/root", 0o700),
    ("/run", 0o755),
    ("/run/lock", 0o1777),
    ("/srv", 0o755),
    ("/sys", 0o555),
    ("/tmp", 0o1777),
    ("/var", 0o755),
    ("/var/cache", 0o755),
    ("/var/lib", 0o755),
    ("/var/log", 0o755),
    ("/var/mail", 0o755),
    ("/var/spool", 0o755),
    ("/var/tmp", 0o1777),
];

/// Links and where they lead.
const LINKS: &[(&str, &str)] = &[
    ("/etc/mtab", "../proc/self/mounts"),
    ("/etc/os-release", "../usr/lib/os-release"),
    ("/var/lock", "../run/lock"),
    ("/var/run", "../run"),
];

/// Names are looked up in files before the network is asked.
const NSSWITCH: &str = "\
passwd: files
group: files
shadow: files
hosts: files dns
networks: files
protocols: files
services: files
";

/// The search path that init's environment has as well, for those who start a login shell.
const PROFILE: &str = "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n";

/// The tree without the host's part.
pub fn base() -> Vec<Rendered> {
    let directories = DIRECTORIES.iter().map(|(path, mode)| rendered(path, Node::Directory, *mode));
    let links = LINKS.iter().map(|(path, target)| rendered(path, Node::Symlink((*target).into()), 0o777));
    directories.chain(links).collect()
}

/// What stands where the host has a directory: the place to show it at, or the same link.
pub fn of_host(directory: HostDirectory) -> Rendered {
    let node = directory.link.map_or(Node::Directory, Node::Symlink);
    rendered(&directory.path, node, 0o755)
}

/// The files of `/etc`. An empty machine id is one that systemd fills in at the first start (machine-id(5)).
pub fn etc(name: &str) -> Vec<Rendered> {
    let hosts = format!("127.0.0.1 localhost\n127.0.1.1 {name}\n::1 localhost ip6-localhost ip6-loopback\n");
    let files = [
        ("/etc/group", accounts::group(), 0o644),
        ("/etc/hostname", format!("{name}\n"), 0o644),
        ("/etc/hosts", hosts, 0o644),
        ("/etc/machine-id", String::new(), 0o444),
        ("/etc/nsswitch.conf", NSSWITCH.into(), 0o644),
        ("/etc/passwd", accounts::passwd(), 0o644),
        ("/etc/profile", PROFILE.into(), 0o644),
        ("/etc/shadow", accounts::shadow(), 0o600),
        ("/etc/shells", "/bin/sh\n".into(), 0o644),
    ];
    files.into_iter().map(|(path, text, mode)| rendered(path, Node::File(text.into_bytes()), mode)).collect()
}

fn rendered(path: &str, node: Node, permissions: u32) -> Rendered {
    Rendered { path: path.into(), node, permissions, user: 0, group: 0, keep_existing: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(path: &str, link: Option<&str>) -> Rendered {
        of_host(HostDirectory { path: path.into(), link: link.map(Into::into) })
    }

    #[test]
    fn links_of_the_host_stay_links() {
        assert!(matches!(directory("/bin", Some("usr/bin")).node, Node::Symlink(to) if to == "usr/bin"));
        assert!(matches!(directory("/usr", None).node, Node::Directory));
    }

    #[test]
    fn every_path_is_absolute_and_rendered_once_below_a_directory_of_its_own() {
        let files: Vec<_> = base().into_iter().chain(etc("web")).collect();
        let mut seen: Vec<&str> = vec![""];
        for file in &files {
            let (above, name) = file.path.rsplit_once('/').unwrap();
            assert!(!name.is_empty() && !seen.contains(&file.path.as_str()), "{}", file.path);
            assert!(seen.contains(&above), "{} comes before its directory", file.path);
            seen.push(&file.path);
        }
    }

    #[test]
    fn the_name_is_in_its_files() {
        let text = |wanted: &str| {
            let file = etc("web").into_iter().find(|file| file.path == wanted).unwrap();
            let Node::File(bytes) = file.node else { panic!("{wanted} is no file") };
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!(text("/etc/hostname"), "web\n");
        assert!(text("/etc/hosts").contains("127.0.1.1 web\n"));
    }
}
