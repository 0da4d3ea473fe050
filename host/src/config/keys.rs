#![forbid(unsafe_code)]
//! The table of all configuration keys: one row per key.
//!
//! `wxc config`, the suggestions for a mistyped key, `docs/configuration.md` and a test per row come
//! from here; the types come from the structs, and the tests hold the two together.

/// One key of `container.toml`.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Dotted; `#` stands for a position in a list (from 0), `*` for names that are free.
    pub path: &'static str,
    /// How a value given as one word on a command line becomes TOML.
    pub kind: Kind,
    /// What may be written, in words.
    pub form: &'static str,
    /// What holds when it is missing, as TOML; empty when nothing does.
    pub default: &'static str,
    /// A value other than the default, as TOML.
    pub example: &'static str,
    /// The key of LXC with this meaning; empty if there is none.
    pub lxc: &'static str,
    /// One line.
    pub doc: &'static str,
}

/// The TOML type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Flag,
    Number,
    Text,
    /// A number if it looks like one, else text.
    NumberOrText,
    Texts,
    Numbers,
    /// Words of a command line.
    Command,
}

use Kind::{Command, Flag, Number, NumberOrText, Numbers, Text, Texts};

const fn row(
    path: &'static str,
    kind: Kind,
    form: &'static str,
    [default, example]: [&'static str; 2],
    lxc: &'static str,
    doc: &'static str,
) -> Key {
    Key { path, kind, form, default, example, lxc, doc }
}

const SIZE: &str = "a size: `512M`";
const SPAN: &str = "a duration: `30s`";
const YES_NO: &str = "`true` or `false`";
const SIGNAL: &str = "a signal: `SIGTERM`, `15` or `SIGRTMIN+3`";
const CHOICE: &str = "`new`, `keep`, or the path of one to join";
const RANGES: &str = "a list of `CONTAINER:HOST:COUNT`";
const CAPABILITIES: &str = "a list of capabilities";
const DEVICE_ACCESS: &str = "a list of `c MAJOR:MINOR rwm`, `b ...` or `a`";
const SIZE_OR_MAX: &str = "a size or `max`";
const COUNT_OR_MAX: &str = "a number or `max`";
const WEIGHT: &str = "a number from 1 to 10000";
const LINES: &str = "a list of lines for the shell";
const TIME: &str = "a time: `50ms`";

/// In the order of the file.
#[rustfmt::skip]
pub static KEYS: &[Key] = &[
    row("hostname", Text, "a host name", ["", r#""web.example""#], "lxc.uts.name", "Host name inside; the container's name when missing."),
    row("arch", Text, "`x86_64`, `i686`, `aarch64`, `armv7l`, `riscv64`, `ppc64le` or `s390x`", ["", r#""i686""#], "lxc.arch", "The architecture of the guest; matters for 32-bit guests, which then see a 32-bit machine."),
    row("privileged", Flag, YES_NO, ["false", "true"], "lxc.idmap (absent)", "Root inside is root of the host: no user namespace."),
    row("profiles", Texts, "a list of names", ["[]", r#"["web", "gpu"]"#], "", "Profiles of wxc.toml whose hooks the container has, too; a later one is stronger, and the container's own are strongest."),
    row("ephemeral", Flag, YES_NO, ["false", "true"], "lxc.ephemeral", "Destroy the container when it stops, but not when it reboots."),

    row("template.name", Text, "a name", ["", r#""local""#], "", "The template that made the container. For information only, as all of `template`."),
    row("template.version", Text, "a version", ["", r#""0.1.0""#], "", "The version of that template."),
    row("template.image", Text, "text", ["", r#""debian.tar.zst""#], "", "What was unpacked, in the template's words."),
    row("template.digest", Text, "text", ["", r#""sha256:00ff""#], "", "The digest of what was unpacked."),
    row("template.server", Text, "an address", ["", r#""https://images.example.org""#], "", "The server that it came from; empty where none was asked."),
    row("template.signer", Text, "a fingerprint", ["", r#""0123ABCD""#], "", "The key that vouched for it; empty where only the server did."),
    row("template.created", Text, "a time", ["", r#""2026-01-31T12:00:00Z""#], "", "When the container was made."),

    row("rootfs.storage", Text, "a name", [r#""dir""#, r#""btrfs""#], "lxc.rootfs.path (its type)", "The storage plugin that keeps the root file system."),
    row("rootfs.volume", Text, "a name", ["", r#""web""#], "lxc.rootfs.path (its path)", "The volume in the plugin's pool; the container's name when missing."),
    row("rootfs.read-only", Flag, YES_NO, ["false", "true"], "lxc.rootfs.options = ro", "Nothing below `/` can be written, except where something else is mounted."),
    row("rootfs.in-memory", Flag, YES_NO, ["false", "true"], "none", "What is written is kept in memory, over the volume, and gone when the container stops."),

    row("ids.users", Texts, RANGES, ["", r#"["0:1000000000:65536"]"#], "lxc.idmap = u", "User ids of the container and of the host behind them; given at creation."),
    row("ids.groups", Texts, RANGES, ["", r#"["0:1000000000:65536"]"#], "lxc.idmap = g", "The same for groups; when one of the two is missing it is as the other."),

    row("init.command", Command, "a program and its arguments", [r#"["/sbin/init"]"#, r#"["/bin/busybox", "init"]"#], "lxc.init.cmd", "The first process."),
    row("init.user", Number, "a user id inside", ["0", "1000"], "lxc.init.uid", "The user it runs as."),
    row("init.group", Number, "a group id inside", ["0", "1000"], "lxc.init.gid", "The group it runs as."),
    row("init.groups", Numbers, "a list of group ids", ["[]", "[10, 20]"], "lxc.init.groups", "Further groups."),
    row("init.cwd", Text, "an absolute path inside", [r#""/""#, r#""/srv""#], "lxc.init.cwd", "Its working directory."),
    row("init.stub", Flag, YES_NO, ["false", "true"], "", "A small init of wxc is process 1, reaps orphans and forwards signals; `command` is its child."),

    row("environment.set.*", Text, "text", ["", r#""C.UTF-8""#], "lxc.environment = K=V", "A variable of init's environment, which is empty otherwise."),
    row("environment.keep", Texts, "a list of variables", ["[]", r#"["TERM"]"#], "lxc.environment = K", "Variables passed on from whoever starts the container."),

    row("namespaces.pid", Text, CHOICE, [r#""new""#, r#""keep""#], "lxc.namespace.keep/share.pid", "Process ids. Keeping the host's needs `privileged`."),
    row("namespaces.uts", Text, CHOICE, [r#""new""#, r#""keep""#], "lxc.namespace.keep/share.uts", "Host name."),
    row("namespaces.ipc", Text, CHOICE, [r#""new""#, r#""keep""#], "lxc.namespace.keep/share.ipc", "System V IPC and POSIX message queues."),
    row("namespaces.net", Text, CHOICE, [r#""new""#, r#""/run/netns/blue""#], "lxc.namespace.keep/share.net", "Network. To share the host's, `[[network]] type = \"none\"` says the same as `keep`."),
    row("namespaces.cgroup", Text, CHOICE, [r#""new""#, r#""keep""#], "lxc.namespace.keep/share.cgroup", "The view of cgroups."),
    row("namespaces.boottime-offset", Number, "seconds", ["", "3600"], "lxc.time.offset.boot", "Added to CLOCK_BOOTTIME (uptime) inside; makes a time namespace."),
    row("namespaces.monotonic-offset", Number, "seconds", ["", "-60"], "lxc.time.offset.monotonic", "Added to CLOCK_MONOTONIC inside; makes a time namespace."),

    row("cgroup.memory.max", NumberOrText, SIZE_OR_MAX, ["", r#""512M""#], "lxc.cgroup2.memory.max", "Memory above which processes of the container are killed."),
    row("cgroup.memory.high", NumberOrText, SIZE_OR_MAX, ["", r#""400M""#], "lxc.cgroup2.memory.high", "Memory above which its processes are slowed down; cgroups v2 only."),
    row("cgroup.memory.low", NumberOrText, SIZE, ["", r#""64M""#], "lxc.cgroup2.memory.low", "Memory that is spared when the host needs some."),
    row("cgroup.memory.swap", NumberOrText, SIZE_OR_MAX, ["", r#""0""#], "lxc.cgroup2.memory.swap.max", "Swap space, without the memory."),
    row("cgroup.cpu.weight", Number, WEIGHT, ["", "200"], "lxc.cgroup2.cpu.weight", "Share of the processors when they are busy; usually 100."),
    row("cgroup.cpu.max", NumberOrText, "a percentage or `max`", ["", r#""150%""#], "lxc.cgroup2.cpu.max", "Processor time that may be used; `150%` is one and a half processors."),
    row("cgroup.cpu.quota", NumberOrText, "a time or `max`", ["", r#""150ms""#], "lxc.cgroup2.cpu.max (first)", "Processor time in each period; `150ms` of `100ms` is one and a half processors."),
    row("cgroup.cpu.period", NumberOrText, TIME, ["", r#""50ms""#], "lxc.cgroup2.cpu.max (second)", "Length of the period, 1 ms to 1 s; 100 ms when only a quota is given."),
    row("cgroup.cpuset.cpus", NumberOrText, "processors: `0-3,6`", ["", r#""0-1""#], "lxc.cgroup2.cpuset.cpus", "The processors it may use."),
    row("cgroup.cpuset.mems", NumberOrText, "memory nodes: `0`", ["", r#""0""#], "lxc.cgroup2.cpuset.mems", "The memory nodes it may use."),
    row("cgroup.pids.max", NumberOrText, COUNT_OR_MAX, ["", "1000"], "lxc.cgroup2.pids.max", "Processes and threads."),
    row("cgroup.devices.allow", Texts, DEVICE_ACCESS, ["[]", r#"["c 188:* rw"]"#], "lxc.cgroup2.devices.allow", "Devices that may be used, besides the harmless ones that every container has."),
    row("cgroup.devices.deny", Texts, DEVICE_ACCESS, ["[]", r#"["c 10:229 rwm"]"#], "lxc.cgroup2.devices.deny", "Devices that may not be used, whatever else says so."),
    row("cgroup.io.weight", Number, WEIGHT, ["", "50"], "lxc.cgroup2.io.weight", "Share of busy block devices; usually 100."),
    row("cgroup.io.devices.#.device", Text, "`MAJOR:MINOR`", ["", r#""8:0""#], "lxc.cgroup2.io.max", "The block device that this entry limits."),
    row("cgroup.io.devices.#.read-bps", NumberOrText, SIZE_OR_MAX, ["", r#""20M""#], "lxc.cgroup2.io.max = rbps", "Bytes read per second."),
    row("cgroup.io.devices.#.write-bps", NumberOrText, SIZE_OR_MAX, ["", r#""20M""#], "lxc.cgroup2.io.max = wbps", "Bytes written per second."),
    row("cgroup.io.devices.#.read-iops", NumberOrText, COUNT_OR_MAX, ["", "500"], "lxc.cgroup2.io.max = riops", "Reads per second."),
    row("cgroup.io.devices.#.write-iops", NumberOrText, COUNT_OR_MAX, ["", "500"], "lxc.cgroup2.io.max = wiops", "Writes per second."),
    row("cgroup.hugetlb.*", NumberOrText, SIZE_OR_MAX, ["", r#""64M""#], "lxc.cgroup2.hugetlb.SIZE.max", "Huge pages, by page size as the kernel spells it: `2MB`."),
    row("cgroup.raw", Texts, "a list of `FILE=VALUE`", ["[]", r#"["memory.oom.group=1"]"#], "lxc.cgroup2.FILE", "Written to files of the cgroup as they are, after everything else."),

    row("security.drop-capabilities", Texts, CAPABILITIES, ["[]", r#"["net_raw"]"#], "lxc.cap.drop", "Taken away, besides those that every container lacks."),
    row("security.keep-capabilities", Texts, CAPABILITIES, ["", r#"["setuid", "setgid"]"#], "lxc.cap.keep", "The only ones left; instead of `drop-capabilities`."),
    row("security.seccomp", Text, "`default` or `off`", [r#""default""#, r#""off""#], "lxc.seccomp.profile", "The filter of system calls."),
    row("security.deny-syscalls", Texts, "a list of system calls", ["[]", r#"["ptrace"]"#], "lxc.seccomp.profile", "Refused with EPERM, besides those that the filter refuses; named as in syscalls(2)."),
    row("security.no-new-privileges", Flag, YES_NO, ["false", "true"], "lxc.no_new_privs", "Set-user-id programs inside gain nothing."),
    row("security.keyring", Flag, YES_NO, ["true", "false"], "lxc.keyring.session", "A session keyring of its own."),

    row("rlimits.*", NumberOrText, "a number, `unlimited`, or `SOFT:HARD`", ["", r#""1024:4096""#], "lxc.prlimit.RES", "A limit of each process, named as in prlimit(1): `nofile`, `core`, `nproc`."),
    row("sysctl.*", NumberOrText, "a number or text", ["", r#""1""#], "lxc.sysctl.KEY", "A kernel setting of the container's namespaces, as in `net.ipv4.ip_forward`."),

    row("console.ttys", Number, "a number up to 63", ["4", "2"], "lxc.tty.max", "How many of `/dev/tty1`, `/dev/tty2`, ... there are."),
    row("console.buffer", NumberOrText, "a size, a power of two; `0` for none", [r#""128K""#, r#""1M""#], "lxc.console.buffer.size", "How much of the console is kept in memory for those who look later."),
    row("console.log", Text, "a file", ["", r#""console.log""#], "lxc.console.logfile", "File that gets everything, relative to the container's directory."),
    row("console.log-size", NumberOrText, SIZE, ["", r#""10M""#], "lxc.console.size", "Size at which the log starts anew."),
    row("console.log-rotate", Flag, YES_NO, ["false", "true"], "lxc.console.rotate", "Keep the log before that one as `FILE.1`."),

    row("stop.halt", NumberOrText, SIGNAL, ["", r#""SIGTERM""#], "lxc.signal.halt", "Asks init to halt. Missing: SIGRTMIN+3 if init handles that (systemd), else SIGPWR."),
    row("stop.reboot", NumberOrText, SIGNAL, [r#""SIGINT""#, r#""SIGTERM""#], "lxc.signal.reboot", "Asks init to reboot."),
    row("stop.kill", NumberOrText, SIGNAL, [r#""SIGKILL""#, r#""SIGTERM""#], "lxc.signal.stop", "Ends init without asking."),
    row("stop.timeout", NumberOrText, SPAN, [r#""1m""#, r#""10s""#], "", "How long init may take to halt."),

    row("autostart.enabled", Flag, YES_NO, ["false", "true"], "lxc.start.auto", "Start with the host."),
    row("autostart.order", Number, "a number", ["0", "10"], "lxc.start.order", "Lower starts earlier and stops later."),
    row("autostart.delay", NumberOrText, SPAN, [r#""0s""#, r#""5s""#], "lxc.start.delay", "Wait after the start, before the next container."),
    row("autostart.groups", Texts, "a list of words", ["[]", r#"["onboot"]"#], "lxc.group", "Groups that can be started and stopped together."),

    row("hooks.exec.enabled", Flag, YES_NO, ["true", "false"], "", "Programs of the host at LXC's hook points, outside any sandbox. They run only where `[hooks.exec] enabled = true` stands in wxc.toml."),
    row("hooks.exec.version", Number, "`0` or `1`", ["0", "1"], "lxc.hook.version", "How they are told what happens: 0 with arguments, 1 with variables alone."),
    row("hooks.exec.timeout", NumberOrText, SPAN, [r#""10s""#, r#""30s""#], "", "The most time that one may take; then it is ended with its whole process group."),
    row("hooks.exec.pre-start", Texts, LINES, ["[]", r#"["/usr/local/bin/open-volume"]"#], "lxc.hook.pre-start", "Before anything is set up."),
    row("hooks.exec.pre-mount", Texts, LINES, ["[]", r#"["/usr/local/bin/unlock"]"#], "lxc.hook.pre-mount", "In the container's namespaces, with the host's files, before anything is mounted."),
    row("hooks.exec.mount", Texts, LINES, ["[]", r#"["mount --bind /srv $LXC_ROOTFS_MOUNT/srv #"]"#], "lxc.hook.mount", "The same when everything is mounted, at `LXC_ROOTFS_MOUNT`."),
    row("hooks.exec.autodev", Texts, LINES, ["[]", r#"["mkdir $LXC_ROOTFS_MOUNT/dev/net #"]"#], "lxc.hook.autodev", "The same after that; `/dev` has no devices yet."),
    row("hooks.exec.start", Texts, LINES, ["[]", r#"["/etc/before-init"]"#], "lxc.hook.start", "In the container, of its own files, before init."),
    row("hooks.exec.start-host", Texts, LINES, ["[]", r#"["/usr/local/bin/move-device"]"#], "lxc.hook.start-host", "When everything is ready and init waits for permission."),
    row("hooks.exec.stop", Texts, LINES, ["[]", r#"["/usr/local/bin/count"]"#], "lxc.hook.stop", "When init is gone."),
    row("hooks.exec.post-stop", Texts, LINES, ["[]", r#"["/usr/local/bin/close-volume"]"#], "lxc.hook.post-stop", "When everything is released."),
    row("hooks.exec.network-up", Texts, LINES, ["[]", r#"["/usr/local/bin/plug"]"#], "lxc.net.N.script.up", "When a network interface was made; once for each."),
    row("hooks.exec.network-down", Texts, LINES, ["[]", r#"["/usr/local/bin/unplug"]"#], "lxc.net.N.script.down", "Before it is removed; once for each."),
    row("hooks.exec.clone", Texts, LINES, ["[]", r#"["/usr/local/bin/new-name"]"#], "lxc.hook.clone", "When the container was made by copying another; a failure unmakes it."),
    row("hooks.exec.destroy", Texts, LINES, ["[]", r#"["/usr/local/bin/last-copy"]"#], "lxc.hook.destroy", "Before it is destroyed; a failure refuses that."),
    row("hooks.*.enabled", Flag, YES_NO, ["", "false"], "", "A hook plugin: `policy` means `hook-policy`. Missing: as wxc.toml has it, else on."),
    row("hooks.*.order", Number, "a number", ["", "10"], "", "Lower is called first; instead of what the plugin itself wishes."),
    row("hooks.*.settings.*", Text, "text", ["", r#""C.UTF-8""#], "", "What the plugin is told about this container; its README says what it reads."),
    row("labels.*", Text, "text", ["", r#""shop""#], "", "A word of your own by which people and hooks tell containers apart."),

    row("mounts.#.source", Text, "a path of the host, or what the file system calls its device", ["", r#""/srv/data""#], "lxc.mount.entry (1)", "What is mounted; relative paths are below the container's directory."),
    row("mounts.#.target", Text, "a path inside", ["", r#""/srv""#], "lxc.mount.entry (2)", "Where; never through symbolic links."),
    row("mounts.#.type", Text, "`bind` or a file system", [r#""bind""#, r#""tmpfs""#], "lxc.mount.entry (3)", "A path of the host, or a new instance of a file system."),
    row("mounts.#.options", Texts, "a list of `KEY=VALUE`", ["[]", r#"["size=64M"]"#], "lxc.mount.entry (4)", "Options of the file system; a bind has none."),
    row("mounts.#.create", Text, "`no`, `dir` or `file`", [r#""no""#, r#""dir""#], "lxc.mount.entry create=", "What to make at the target when nothing is there."),
    row("mounts.#.optional", Flag, YES_NO, ["false", "true"], "lxc.mount.entry optional", "A failure is a warning."),
    row("mounts.#.recursive", Flag, YES_NO, ["true", "false"], "lxc.mount.entry rbind", "Mounts below the source come along."),
    row("mounts.#.idmapped", Flag, YES_NO, ["false", "true"], "lxc.mount.entry idmap=container", "Root inside owns what root owns outside."),
    row("mounts.#.read-only", Flag, YES_NO, ["false", "true"], "lxc.mount.entry ro", "Nothing can be written."),
    row("mounts.#.nosuid", Flag, YES_NO, ["false", "true"], "lxc.mount.entry nosuid", "Set-user-id bits mean nothing."),
    row("mounts.#.nodev", Flag, YES_NO, ["false", "true"], "lxc.mount.entry nodev", "Device nodes mean nothing."),
    row("mounts.#.noexec", Flag, YES_NO, ["false", "true"], "lxc.mount.entry noexec", "Nothing can be executed."),
    row("mounts.#.nosymfollow", Flag, YES_NO, ["false", "true"], "lxc.mount.entry nosymfollow", "Symbolic links on it lead nowhere."),
    row("mounts.#.access-time", Text, "`inherit`, `noatime`, `nodiratime`, `relatime` or `strictatime`", [r#""inherit""#, r#""noatime""#], "lxc.mount.entry noatime", "When reading a file changes its time of access; unless told as where the mount comes from."),

    row("network.#.type", Text, "`empty`, `none` or `veth`", ["", r#""veth""#], "lxc.net.N.type", "Loopback alone, the host's network, or a pair of virtual devices."),
    row("network.#.name", Text, "a name of up to 15 characters", ["", r#""wan0""#], "lxc.net.N.name", "Name inside; `eth0`, `eth1`, ... when missing."),
    row("network.#.host-name", Text, "a name of up to 15 characters", ["", r#""veth-web""#], "lxc.net.N.veth.pair", "Name of the end that stays on the host; chosen when missing."),
    row("network.#.bridge", Text, "a bridge of the host", ["", r#""br0""#], "lxc.net.N.link", "The existing bridge that the host's end is put into."),
    row("network.#.mac", Text, "a hardware address", ["", r#""10:66:6a:00:00:01""#], "lxc.net.N.hwaddr", "Hardware address inside."),
    row("network.#.mtu", Number, "a number from 68 to 65535", ["", "1400"], "lxc.net.N.mtu", "Largest packet."),
    row("network.#.down", Flag, YES_NO, ["false", "true"], "lxc.net.N.flags (without up)", "Leave the device down, for the guest to bring up."),
    row("network.#.addresses", Texts, "a list of `ADDRESS/PREFIX`", ["[]", r#"["10.0.3.5/24"]"#], "lxc.net.N.ipv4.address, ipv6.address", "Addresses inside."),
    row("network.#.gateways", Texts, "a list of addresses", ["[]", r#"["10.0.3.1"]"#], "lxc.net.N.ipv4.gateway, ipv6.gateway", "Gateways of the default routes, at most one per family."),
    row("network.#.routes", Texts, "a list of `DESTINATION via GATEWAY`", ["[]", r#"["10.1.0.0/16 via 10.0.3.254"]"#], "", "Further routes inside."),
];

/// What a step of a path can be.
fn step_matches(pattern: &str, step: &str) -> bool {
    match pattern {
        "#" => step.parse::<usize>().is_ok(),
        "*" => true,
        pattern => pattern == step,
    }
}

/// How far `path` follows a row.
#[derive(Debug, Clone, Copy)]
pub enum Found {
    /// It is this row.
    Key(&'static Key),
    /// It is a table or list on the way to rows.
    Table,
}

/// The row of `path`, or whether there are rows below it.
#[must_use]
pub fn find(path: &[&str]) -> Option<Found> {
    // Asked for each key of each file: most rows are out of the question by their first letter.
    let first = path.first()?.bytes().next();
    KEYS.iter().filter(|key| key.path.bytes().next() == first).find_map(|key| follow(key, path))
}

fn follow(key: &'static Key, path: &[&str]) -> Option<Found> {
    let mut pattern = key.path.split('.').peekable();
    for step in path {
        match pattern.next()? {
            // The rest is one free name: `sysctl.net.ipv4.ip_forward`.
            "*" if pattern.peek().is_none() => return Some(Found::Key(key)),
            expected if step_matches(expected, step) => {}
            _ => return None,
        }
    }
    Some(if pattern.next().is_none() { Found::Key(key) } else { Found::Table })
}

/// Is `path` a list whose elements are tables: `mounts`, `network`, `cgroup.io.devices`?
#[must_use]
pub fn is_list_of_tables(path: &[&str]) -> bool {
    let element: Vec<&str> = path.iter().copied().chain(["0"]).collect();
    let free = path.iter().any(|step| step_matches("#", step))
        && path.last().is_some_and(|s| s.parse::<usize>().is_ok());
    !free && matches!(find(&element), Some(Found::Table))
}

/// What was probably meant by `path`, whose last step is unknown.
#[must_use]
pub fn suggest(path: &[&str]) -> Option<String> {
    let (last, before) = path.split_last()?;
    let siblings = KEYS.iter().filter_map(|key| {
        let steps: Vec<&str> = key.path.split('.').collect();
        let fits = steps.len() > before.len()
            && before.iter().zip(&steps).all(|(step, pattern)| step_matches(pattern, step));
        fits.then(|| steps[before.len()]).filter(|next| !matches!(*next, "#" | "*"))
    });
    let full = |next: &str| before.iter().copied().chain([next]).collect::<Vec<_>>().join(".");
    let joined = path.join(".");
    super::suggest::nearest(last, siblings)
        .map(full)
        .or_else(|| by_lxc_name(&joined))
        .or_else(|| elsewhere(last))
}

/// The key for someone who writes LXC's.
fn by_lxc_name(path: &str) -> Option<String> {
    let row = KEYS.iter().find(|key| !key.lxc.is_empty() && key.lxc.split([' ', ',']).next() == Some(path));
    row.map(|key| key.path.to_string())
}

/// The right word in the wrong table: `memory` for `cgroup.memory`.
fn elsewhere(last: &str) -> Option<String> {
    KEYS.iter().find_map(|key| {
        let steps: Vec<&str> = key.path.split('.').collect();
        let at = steps.iter().position(|step| *step == last)?;
        Some(steps[..=at].join("."))
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Container, edit, toml};

    /// The row's path with a position and a name in it.
    fn concrete(key: &Key) -> String {
        let name = match key.path {
            "environment.set.*" => "LANG",
            "rlimits.*" => "nofile",
            "sysctl.*" => "net.ipv4.ip_forward",
            "cgroup.hugetlb.*" => "2MB",
            "hooks.*.settings.*" => return "hooks.environment.settings.LANG".into(),
            _ => "policy",
        };
        key.path.replace('#', "0").replace('*', name)
    }

    /// A file in which this key alone may be set.
    fn around(key: &Key) -> &'static str {
        match key.path {
            path if path.starts_with("mounts.#.options") => "[[mounts]]\ntype = \"tmpfs\"\ntarget = \"/t\"\n",
            path if path.starts_with("mounts") => "[[mounts]]\nsource = \"/s\"\ntarget = \"/t\"\n",
            path if path.starts_with("network") => "[[network]]\ntype = \"veth\"\n",
            path if path.starts_with("cgroup.io.devices") => "[[cgroup.io.devices]]\ndevice = \"7:0\"\n",
            path if path.starts_with("console.log-") => "[console]\nlog = \"l\"\n",
            path if path.starts_with("ids") => "[ids]\nusers = [\"0:5:65536\"]\ngroups = [\"0:5:65536\"]\n",
            "namespaces.pid" => "privileged = true\n",
            _ => "",
        }
    }

    fn container(text: &str) -> Container {
        toml::parse(text, Path::new("x")).unwrap()
    }

    #[test]
    fn every_key_can_be_set_read_back_and_unset() {
        for key in KEYS {
            let (path, before) = (concrete(key), around(key));
            let value = match key.example.parse::<toml_edit::Value>().unwrap() {
                toml_edit::Value::String(text) => text.into_value(),
                other => other.to_string(),
            };
            let text = edit::set(before, Path::new("x"), &path, &value)
                .unwrap_or_else(|error| panic!("{path}: {error}"));
            let shown = edit::get(&text, Path::new("x"), &path).unwrap();
            assert_eq!((shown.value, shown.set), (value, true), "{path}");
            let is_required =
                matches!(key.path, "mounts.#.target" | "network.#.type" | "cgroup.io.devices.#.device")
                    || key.path.starts_with("ids");
            let same = container(&text) == container(before);
            assert!(!same || key.path == "network.#.type", "{path} changes nothing");
            if !is_required && !before.contains(&format!("{} =", path.rsplit('.').next().unwrap())) {
                let unset = edit::unset(&text, Path::new("x"), &path).unwrap();
                assert_eq!(container(&unset), container(before), "{path}");
            }
        }
    }

    #[test]
    fn every_default_is_the_one_that_holds() {
        for key in KEYS.iter().filter(|key| !key.default.is_empty()) {
            let (path, before) = (concrete(key), around(key));
            let value = match key.default.parse::<toml_edit::Value>().unwrap() {
                toml_edit::Value::String(text) => text.into_value(),
                other => other.to_string(),
            };
            if key.path == "mounts.#.type" {
                continue; // Its surroundings name it.
            }
            let text = edit::set(before, Path::new("x"), &path, &value).unwrap();
            assert_eq!(container(&text), container(before), "{path} = {value}");
        }
    }

    #[test]
    fn every_field_has_a_row() {
        // Everything that the types know, written out: serde's message lists the fields of a table.
        for table in [
            "",
            "template",
            "rootfs",
            "ids",
            "init",
            "environment",
            "namespaces",
            "cgroup",
            "cgroup.memory",
            "cgroup.cpu",
            "cgroup.cpuset",
            "cgroup.pids",
            "cgroup.io",
            "hooks.exec",
            "hooks.policy",
            "security",
            "console",
            "stop",
            "autostart",
        ] {
            let text = match table {
                "" => "no-such-key = 1\n".to_string(),
                table => format!("[{table}]\nno-such-key = 1\n"),
            };
            let message = toml_edit::de::from_str::<Container>(&text).unwrap_err().message().to_string();
            let fields = message.split('`').skip(3).step_by(2);
            let mut seen = 0;
            for field in fields {
                seen += 1;
                let path: Vec<&str> = table.split('.').filter(|s| !s.is_empty()).chain([field]).collect();
                assert!(find(&path).is_some(), "{} has no row", path.join("."));
            }
            assert!(seen > 0, "{table}: {message}");
        }
    }

    #[test]
    fn paths_are_unique_and_rows_complete() {
        for (index, key) in KEYS.iter().enumerate() {
            assert!(!KEYS[..index].iter().any(|other| other.path == key.path), "{}", key.path);
            assert!(
                key.doc.ends_with('.') && !key.form.is_empty() && !key.example.is_empty(),
                "{}",
                key.path
            );
        }
    }
}
