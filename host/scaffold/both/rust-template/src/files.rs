//! The files of the root, as tables. Nothing here calls wxc, so `cargo test` runs it natively.

use crate::PROGRAM;
use crate::bindings::wxc::template::types::{Given, Node, Rendered};

const BUSYBOX: &str = "/bin/busybox";

/// Directories and their permissions, each after the one it is in.
const DIRECTORIES: &[(&str, u32)] = &[
    ("/bin", 0o755),
    ("/dev", 0o755),
    ("/etc", 0o755),
    ("/proc", 0o555),
    ("/root", 0o700),
    ("/run", 0o755),
    ("/sbin", 0o755),
    ("/sys", 0o555),
    ("/tmp", 0o1777),
    ("/usr", 0o755),
    ("/usr/bin", 0o755),
    ("/usr/sbin", 0o755),
    ("/var", 0o755),
];

/// Names of the program before its first start; then it makes the others itself.
const NAMES: &[&str] = &["/bin/sh", "/sbin/init"];

/// For busybox's init: all its names at the start, and a shell on the console.
const INITTAB: &str = "::sysinit:/bin/busybox --install -s\nconsole::askfirst:/bin/sh\n";

/// Everything in the root of a container of this name.
pub fn all(container: &str, greeting: &str) -> Vec<Rendered> {
    let texts = [
        ("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n".to_owned()),
        ("/etc/group", "root:x:0:\n".to_owned()),
        ("/etc/hostname", format!("{container}\n")),
        ("/etc/hosts", format!("127.0.0.1 localhost\n127.0.1.1 {container}\n")),
        ("/etc/inittab", INITTAB.to_owned()),
        ("/etc/motd", format!("{greeting}\n")),
    ];
    // The host puts the file there that the user, or the machine, has given: its path is never seen here.
    let program = Node::Given(Given { parameter: PROGRAM.into(), path: String::new() });
    let directories = DIRECTORIES.iter().map(|(path, mode)| rendered(path, Node::Directory, *mode));
    let names = NAMES.iter().map(|path| rendered(path, Node::Symlink(BUSYBOX.into()), 0o777));
    let texts =
        texts.into_iter().map(|(path, text)| rendered(path, Node::File(text.into_bytes()), 0o644));
    directories.chain([rendered(BUSYBOX, program, 0o755)]).chain(names).chain(texts).collect()
}

fn rendered(path: &str, node: Node, permissions: u32) -> Rendered {
    Rendered { path: path.into(), node, permissions, user: 0, group: 0, keep_existing: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_directory_comes_after_it() {
        let files = all("web", "hello");
        for (at, file) in files.iter().enumerate() {
            let parent = file.path.rsplit_once('/').map_or("", |(parent, _)| parent);
            assert!(
                parent.is_empty() || files[..at].iter().any(|other| other.path == parent),
                "{}",
                file.path
            );
        }
    }
}
