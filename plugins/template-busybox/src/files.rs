//! The files of the root. The program itself makes its other names when the system starts for the first time, and those that
//! somebody may call before that are here.

use crate::PROGRAM;
use crate::bindings::wxc::template::types::{Given, Node, Rendered};

const DIRECTORIES: &[(&str, u32)] = &[
    ("/bin", 0o755),
    ("/dev", 0o755),
    ("/etc", 0o755),
    ("/etc/init.d", 0o755),
    ("/home", 0o755),
    ("/mnt", 0o755),
    ("/proc", 0o555),
    ("/root", 0o700),
    ("/run", 0o755),
    ("/sbin", 0o755),
    ("/selinux", 0o755),
    ("/sys", 0o555),
    ("/tmp", 0o1777),
    ("/usr", 0o755),
    ("/usr/bin", 0o755),
    ("/usr/sbin", 0o755),
    ("/usr/share", 0o755),
    ("/usr/share/udhcpc", 0o755),
    ("/var", 0o755),
    ("/var/log", 0o755),
];

/// Names of the program before it has made the others: `wxc attach` may be sooner than the first boot. Debian's
/// busybox has all of these; one that lacks some says so when they are called.
const NAMES: &[(&str, &str)] = &[
    (
        "/bin",
        "cat chmod chown cp date dd df dmesg echo false grep gunzip gzip hostname kill ln ls mkdir mknod mktemp mount mv ping ps \
         pwd rm rmdir sed sh sleep stat stty sync tar touch true umount uname vi",
    ),
    ("/sbin", "halt ifconfig init ip poweroff reboot route sysctl"),
    (
        "/usr/bin",
        "[ awk basename cut dirname du env expr find free head id less nc printf readlink realpath sort tail tee test timeout top \
         tr uniq uptime wc wget which whoami xargs yes",
    ),
];

const TABLE: &str =
    "::sysinit:/etc/init.d/rcS\ntty1::respawn:/bin/getty -L tty1 115200 vt100\nconsole::askfirst:/bin/sh\n";

/// All other names, names for this machine, an address.
const START: &str = "#!/bin/sh
/bin/busybox --install -s
/bin/syslogd 2>/dev/null
/bin/hostname -F /etc/hostname
if [ -d /sys/class/net/eth0 ]; then
\t/sbin/ip link set eth0 up 2>/dev/null || /bin/busybox ip link set eth0 up
\t/bin/busybox udhcpc -b -i eth0 -s /usr/share/udhcpc/default.script >/dev/null 2>&1
fi
";

/// What udhcpc tells about an address.
const LEASE: &str = "#!/bin/sh
case \"$1\" in
deconfig)
\t/bin/busybox ip addr flush dev $interface
\t;;
renew|bound)
\t/bin/busybox ip addr flush dev $interface
\t/bin/busybox ip addr add $ip/${mask:-24} dev $interface
\tfor gateway in $router; do
\t\t/bin/busybox ip route add default via $gateway dev $interface
\t\tbreak
\tdone
\t: > /etc/resolv.conf
\t[ -n \"$domain\" ] && echo \"search $domain\" >> /etc/resolv.conf
\tfor server in $dns; do
\t\techo \"nameserver $server\" >> /etc/resolv.conf
\tdone
\t;;
esac
";

pub fn all(container: &str) -> Vec<Rendered> {
    let program = Given { parameter: PROGRAM.into(), path: String::new() };
    let directories = DIRECTORIES.iter().map(|(path, mode)| rendered(path, Node::Directory, *mode));
    let paths =
        NAMES.iter().flat_map(|(place, names)| names.split(' ').map(move |name| format!("{place}/{name}")));
    let names = paths.map(|path| rendered(&path, Node::Symlink("/bin/busybox".into()), 0o777));
    let hosts = format!("127.0.0.1 localhost\n127.0.1.1 {container}\n");
    let texts = [
        ("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n".to_owned(), 0o644),
        // Nobody logs in with a password until one is set.
        ("/etc/shadow", "root:*:::::::\n".to_owned(), 0o600),
        ("/etc/group", "root:x:0:\n".to_owned(), 0o644),
        ("/etc/hostname", format!("{container}\n"), 0o644),
        ("/etc/hosts", hosts, 0o644),
        ("/etc/inittab", TABLE.to_owned(), 0o644),
        ("/etc/init.d/rcS", START.to_owned(), 0o744),
        ("/usr/share/udhcpc/default.script", LEASE.to_owned(), 0o744),
    ];
    let texts =
        texts.into_iter().map(|(path, text, mode)| rendered(path, Node::File(text.into_bytes()), mode));
    let program = rendered("/bin/busybox", Node::Given(program), 0o755);
    directories.chain([program]).chain(names).chain(texts).collect()
}

fn rendered(path: &str, node: Node, permissions: u32) -> Rendered {
    Rendered { path: path.into(), node, permissions, user: 0, group: 0, keep_existing: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_directory_comes_after_it() {
        let files = all("web");
        for (at, file) in files.iter().enumerate() {
            let parent = file.path.rsplit_once('/').map_or("", |(parent, _)| parent);
            let before = files[..at].iter().any(|other| other.path == parent);
            assert!(parent.is_empty() || before, "{}", file.path);
        }
    }
}
