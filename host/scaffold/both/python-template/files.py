"""The files of the root, as tables. Nothing here calls wxc, so it is tested with any Python."""

BUSYBOX = "/bin/busybox"

# Directories and their permissions, each after the one it is in.
DIRECTORIES = [
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
]

# Names of the program before its first start; then it makes the others itself.
NAMES = ["/bin/sh", "/sbin/init"]

# For busybox's init: all its names at the start, and a shell on the console.
INITTAB = "::sysinit:/bin/busybox --install -s\nconsole::askfirst:/bin/sh\n"


def texts(container, greeting):
    return [
        ("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
        ("/etc/group", "root:x:0:\n"),
        ("/etc/hostname", f"{container}\n"),
        ("/etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {container}\n"),
        ("/etc/inittab", INITTAB),
        ("/etc/motd", f"{greeting}\n"),
    ]
