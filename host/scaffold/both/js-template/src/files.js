// The files of the root, as tables. Nothing here calls wxc, so it is tested with Node.js.
import { bytes } from "./utf8.js";

const BUSYBOX = "/bin/busybox";

// Directories and their permissions, each after the one it is in.
const DIRECTORIES = [
  ["/bin", 0o755],
  ["/dev", 0o755],
  ["/etc", 0o755],
  ["/proc", 0o555],
  ["/root", 0o700],
  ["/run", 0o755],
  ["/sbin", 0o755],
  ["/sys", 0o555],
  ["/tmp", 0o1777],
  ["/usr", 0o755],
  ["/usr/bin", 0o755],
  ["/usr/sbin", 0o755],
  ["/var", 0o755],
];

// Names of the program before its first start; then it makes the others itself.
const NAMES = ["/bin/sh", "/sbin/init"];

// For busybox's init: all its names at the start, and a shell on the console.
const INITTAB = "::sysinit:/bin/busybox --install -s\nconsole::askfirst:/bin/sh\n";

// Everything in the root of a container of this name. `program` is the parameter with which the user names the program.
export function all(container, greeting, program) {
  const texts = [
    ["/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"],
    ["/etc/group", "root:x:0:\n"],
    ["/etc/hostname", `${container}\n`],
    ["/etc/hosts", `127.0.0.1 localhost\n127.0.1.1 ${container}\n`],
    ["/etc/inittab", INITTAB],
    ["/etc/motd", `${greeting}\n`],
  ];
  return [
    ...DIRECTORIES.map(([path, mode]) => rendered(path, { tag: "directory" }, mode)),
    // The host puts the file there that the user, or the machine, has given: its path is never seen here.
    rendered(BUSYBOX, { tag: "given", val: { parameter: program, path: "" } }, 0o755),
    ...NAMES.map((path) => rendered(path, { tag: "symlink", val: BUSYBOX }, 0o777)),
    ...texts.map(([path, text]) => rendered(path, { tag: "file", val: bytes(text) }, 0o644)),
  ];
}

function rendered(path, node, permissions) {
  return { path, node, permissions, user: 0, group: 0, keepExisting: false };
}
