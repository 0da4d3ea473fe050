#![forbid(unsafe_code)]
//! Plan -> the child's program, in the order in which it has to happen.
//!
//! The order is the meaning of this file; each reason stands at its step. Everything that can fail
//! because of the plan alone fails here, before anything is touched.

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use wxc_child::op::{Bytes, Create, Op, ROOT, Slot, Slots};
use wxc_child::sync::Point;

use super::RuntimeError;
use super::caps::{self, CapabilitySet};
use super::idmap;
use super::program::{Builder, Compiled};
use super::seccomp;
use super::sources::{Layers, Root, Source, Sources, attribute_bits, cleared_bits};
use crate::plan::{
    DeviceNode, MountSource, MountStep, Namespace, NamespaceAction, NodeKind, Plan, RootSource,
};
use crate::sys::mount::RDONLY;
use crate::sys::overlay;

/// What init's standard streams are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Streams<'a> {
    /// The container's console.
    Console,
    /// These fds: input, output, error.
    Fds([BorrowedFd<'a>; 3]),
}

/// What is not in the plan.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) streams: Streams<'a>,
    /// Somebody sits at the console: make it init's controlling terminal.
    pub(super) controlling: bool,
    /// Namespaces that the child has to join by itself, in order: `CLONE_NEW*` and fd.
    pub(super) join: Vec<(i32, BorrowedFd<'a>)>,
}

/// The program, and what the monitor has to know about it.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) program: Compiled,
    /// What the child inherits in its first slots.
    pub(super) fds: Vec<i32>,
    /// Masters and slaves, one after the other, that arrive at [`Point::Mounted`]: the console's
    /// first, then the ttys'.
    pub(super) terminals: usize,
}

/// Compiles a plan.
pub(super) fn compile(plan: &Plan, sources: &Sources, request: &Request<'_>) -> Result<Child, RuntimeError> {
    let mut compiler = Compiler { plan, builder: Builder::default(), fds: Vec::new() };
    // Slots that are given come first; the root's is the first of all.
    let root = match &sources.root {
        Root::Ready(tree) => tree.fd.as_raw_fd(),
        _ => -1,
    };
    compiler.give_number(root)?;
    let mut below = Vec::new();
    if let Root::Overlay { pool, memory, .. } = &sources.root {
        below.push((compiler.give(pool.fd.as_fd())?, "pool"));
        if let Some(memory) = memory {
            below.push((compiler.give(memory.fd.as_fd())?, "memory for changes"));
        }
    }
    let mounts = compiler.give_all(&sources.mounts)?;
    let nodes = compiler.give_all(&sources.nodes)?;
    let join = request.join.iter().map(|(flags, fd)| Ok((*flags, compiler.give(*fd)?)));
    let join = join.collect::<Result<Vec<_>, RuntimeError>>()?;
    let streams = match request.streams {
        Streams::Console => None,
        Streams::Fds([input, output, error]) => {
            Some([compiler.give(input)?, compiler.give(output)?, compiler.give(error)?])
        }
    };

    compiler.begin(&join)?;
    compiler.own_sources(sources, &mounts, &nodes)?;
    compiler.become_root()?;
    compiler.settings()?;
    compiler.root(sources, below)?;
    compiler.mounts(&mounts)?;
    if ["mount", "autodev"].iter().any(|event| plan.hooks.is_due(event)) {
        let root = Slots { first: ROOT.0, count: 1 };
        compiler.meet("wait for hooks of the mounts", Point::Mount, root);
    }
    compiler.nodes(&nodes)?;
    let terminals = compiler.terminals()?;
    compiler.finish_root(terminals)?;
    let streams = streams.unwrap_or_else(|| {
        let console = Slot(terminals.first + 1);
        [console; 3]
    });
    compiler.become_init(streams, request.controlling)?;
    let Compiler { builder, fds, .. } = compiler;
    Ok(Child { program: builder.finish(), fds, terminals: usize::from(terminals.count) })
}

struct Compiler<'a> {
    plan: &'a Plan,
    builder: Builder,
    fds: Vec<i32>,
}

/// No fd at all.
const NOTHING: Slots = Slots { first: 0, count: 0 };

/// Where the child finds the source of a mount; `None`: it is skipped or needs none.
type Given = Vec<Option<Slot>>;

impl Compiler<'_> {
    fn give_number(&mut self, fd: i32) -> Result<Slot, RuntimeError> {
        self.fds.push(fd);
        self.builder.slot()
    }

    fn give(&mut self, fd: BorrowedFd<'_>) -> Result<Slot, RuntimeError> {
        self.give_number(fd.as_raw_fd())
    }

    fn give_all(&mut self, sources: &[Source]) -> Result<Given, RuntimeError> {
        sources
            .iter()
            .map(|source| match source {
                Source::Ready(tree) => self.give(tree.fd.as_fd()).map(Some),
                Source::Child { .. } => self.give_number(-1).map(Some),
                Source::None | Source::Skipped => Ok(None),
            })
            .collect()
    }

    /// Meets the monitor, which gets what is in `send`.
    fn meet(&mut self, label: &str, point: Point, send: Slots) {
        self.builder.step(label, Op::Meet { point, send, receive: NOTHING });
    }

    fn namespace(&self, kind: Namespace) -> bool {
        self.plan.namespaces.iter().any(|step| step.kind == kind && step.action == NamespaceAction::New)
    }

    fn begin(&mut self, join: &[(i32, Slot)]) -> Result<(), RuntimeError> {
        let builder = &mut self.builder;
        // First: a monitor that is killed from now on leaves nothing behind.
        builder.step("ask to end with the monitor", Op::DieWithParent { signal: libc::SIGKILL });
        let op = Op::Meet { point: Point::Born, send: NOTHING, receive: NOTHING };
        builder.step("wait for ids, cgroups and network", op);
        for (flags, slot) in join {
            builder.step("join a namespace", Op::Enter { namespaces: *slot, flags: *flags });
        }
        if self.namespace(Namespace::Time) {
            let (monotonic, boottime) = self.plan.time.map_or((0, 0), |time| (time.monotonic, time.boottime));
            let text = format!("monotonic {monotonic} 0\nboottime {boottime} 0\n");
            let offsets = self.builder.bytes(text.as_bytes())?;
            // Before the ids change: the file belongs to whom this process belongs to.
            self.builder.step("set the clock's offsets", Op::TimeNamespace { offsets });
        }
        Ok(())
    }

    /// Without rights over the host's mounts, the sources are opened here: the namespaces are the
    /// container's already, and the ids still the caller's.
    fn own_sources(&mut self, sources: &Sources, mounts: &Given, nodes: &Given) -> Result<(), RuntimeError> {
        if let Root::Child { path } = &sources.root {
            self.tree(ROOT, path, true, "open the rootfs")?;
        }
        let all = sources.mounts.iter().chain(&sources.nodes).zip(mounts.iter().chain(nodes));
        for (source, slot) in all {
            if let (Source::Child { path, recursive }, Some(slot)) = (source, slot) {
                self.tree(*slot, path, *recursive, &format!("open {}", path.display()))?;
            }
        }
        let plan = self.plan;
        for (node, slot) in plan.nodes.iter().zip(nodes) {
            // The monitor has looked at those it opened.
            if let Some(mount) = slot.filter(|slot| !self.is_given(*slot)) {
                let op = Op::CheckDevice { mount, block: node.block, device: device(node) };
                self.builder.step(format!("check the device {}", node.host.display()), op);
            }
        }
        Ok(())
    }

    fn tree(&mut self, into: Slot, path: &Path, recursive: bool, label: &str) -> Result<(), RuntimeError> {
        let path = self.builder.text(path.as_os_str().as_encoded_bytes())?;
        self.builder.step(label, Op::Tree { into, path, recursive });
        Ok(())
    }

    fn become_root(&mut self) -> Result<(), RuntimeError> {
        let groups = groups(&mut self.builder, self.plan, &[])?;
        let op = Op::Ids { user: 0, group: 0, groups };
        self.builder.step("become root of the container", op);
        self.builder.step("refuse to be traced", Op::Undumpable);
        // The change of ids has undone it.
        let op = Op::DieWithParent { signal: libc::SIGKILL };
        self.builder.step("ask to end with the monitor", op);
        if self.namespace(Namespace::Cgroup) {
            // Only now: the cgroup that one is in becomes the root of the namespace.
            let op = Op::Unshare { flags: libc::CLONE_NEWCGROUP };
            self.builder.step("make the cgroup namespace", op);
        }
        Ok(())
    }

    fn settings(&mut self) -> Result<(), RuntimeError> {
        let plan = self.plan;
        if plan.security.keyring {
            self.builder.step("take a session keyring", Op::Keyring);
        }
        if self.namespace(Namespace::Uts) && !plan.init.hostname.is_empty() {
            let name = self.builder.bytes(plan.init.hostname.as_bytes())?;
            let label = format!("set the host name to {}", plan.init.hostname);
            self.builder.step(label, Op::Hostname { name });
        }
        if self.namespace(Namespace::Net) {
            self.builder.step("bring the loopback device up", Op::Loopback);
        }
        // Through the host's /proc, which shows each process its own namespaces' settings: the
        // container's is not there yet, and may be read-only when it is.
        for setting in &plan.sysctls {
            let path = self.builder.text(format!("/proc/sys/{}", setting.key))?;
            let data = self.builder.bytes(setting.value.as_bytes())?;
            let label = format!("set {} to {}", setting.key, setting.value);
            self.builder.step(label, Op::WriteProc { path, data });
        }
        Ok(())
    }

    fn root(&mut self, sources: &Sources, below: Vec<(Slot, &str)>) -> Result<(), RuntimeError> {
        // Without ties to the host: what is unmounted here must not be unmounted there.
        let op = Op::Propagation { flag: libc::MS_SLAVE, recursive: true };
        self.builder.step("separate the mounts from the host's", op);
        // What is made below gets exactly the mode that the plan says.
        self.builder.step("clear the umask", Op::Umask { mask: 0 });
        if self.plan.hooks.is_due("pre-mount") {
            self.meet("wait for hooks before the mounts", Point::PreMount, NOTHING);
        }
        let options = match &sources.root {
            Root::Overlay { layers, .. } => Some(layer_options(layers)),
            Root::ChildOverlay => Some(self.own_layers()),
            Root::Ready(_) | Root::Child { .. } => None,
        };
        for (mount, what) in below {
            // Kernels before 6.15 take layers from mounts that are attached somewhere only.
            self.builder.step(format!("put the {what} in reach"), Op::Cover { mount });
        }
        if let Some(options) = options {
            let fstype = self.builder.text("overlay")?;
            let options = self.builder.texts(options)?;
            let op = Op::Filesystem { into: ROOT, fstype, options, attributes: 0 };
            self.builder.step("mount the overlay as rootfs", op);
        }
        let op = match &self.plan.hooks.rootfs {
            None => Op::Cover { mount: ROOT },
            // Programs of the host see both trees, and have to know the root by a path.
            Some(path) => {
                let path = self.builder.text(path.as_os_str().as_encoded_bytes())?;
                Op::Place { mount: ROOT, path }
            }
        };
        self.builder.step("put the rootfs in place", op);
        Ok(())
    }

    /// Layers by path, for who may not make mounts on the host.
    fn own_layers(&self) -> Vec<String> {
        let RootSource::Overlay { pool, lower, upper } = &self.plan.rootfs.source else {
            return Vec::new();
        };
        let path = |relative: &Path| pool.join(relative).display().to_string();
        // Colons separate layers; a backslash takes their meaning away.
        let escaped = |path: String| path.replace('\\', "\\\\").replace(':', "\\:");
        let lower = lower.iter().map(|layer| escaped(path(layer))).collect();
        let upper = upper.as_ref().map(|side| (path(&side.upper), path(&side.work)));
        texts_of(overlay::options(lower, upper))
    }

    fn mounts(&mut self, given: &Given) -> Result<(), RuntimeError> {
        let plan = self.plan;
        for (step, slot) in plan.mounts.iter().zip(given) {
            self.mount(step, *slot)?;
        }
        Ok(())
    }

    fn mount(&mut self, step: &MountStep, given: Option<Slot>) -> Result<(), RuntimeError> {
        let target = self.builder.text(step.target.as_os_str().as_encoded_bytes())?;
        let create = match step.create {
            None => Create::Nothing,
            Some(NodeKind::Directory) => Create::Directory,
            Some(NodeKind::File) => Create::File,
        };
        let attributes = attribute_bits(step.attributes);
        let place = format!("{}{}", step.target.display(), step.whose());
        match &step.source {
            MountSource::Bind { path, recursive, .. } => {
                let Some(mount) = given else { return Ok(()) };
                let label = format!("bind {} on /{place}", path.display());
                let recursive = *recursive;
                let ops = [
                    Op::Attributes {
                        mount,
                        set: attributes,
                        clear: cleared_bits(step.attributes),
                        recursive,
                    },
                    Op::Attach { mount, target, create },
                ];
                // The monitor's own mounts have their attributes already.
                let ops = if self.is_given(mount) { &ops[1..] } else { &ops[..] };
                self.builder.steps(&label, step.optional, ops)
            }
            MountSource::Inside { path, recursive } => {
                let label = format!("bind the container's /{} on /{place}", path.display());
                let path = self.builder.text(path.as_os_str().as_encoded_bytes())?;
                let recursive = *recursive;
                let op = Op::Inside { path, target, create, set: attributes, recursive };
                self.builder.steps(&label, step.optional, &[op])
            }
            MountSource::Filesystem { fstype, source, options } => {
                let label = format!("mount {fstype} on /{place}");
                let mount = self.builder.slot()?;
                let mut pairs = Vec::new();
                if !source.is_empty() {
                    pairs.extend(["source", source.as_str()]);
                }
                pairs.extend(options.iter().flat_map(|o| [o.key.as_str(), o.value.as_str()]));
                let fstype = self.builder.text(fstype.as_str())?;
                let options = self.builder.texts(pairs)?;
                let ops = [
                    Op::Filesystem { into: mount, fstype, options, attributes },
                    Op::Attach { mount, target, create },
                ];
                self.builder.steps(&label, step.optional, &ops)
            }
        }
    }

    fn is_given(&self, slot: Slot) -> bool {
        self.fds.get(usize::from(slot.0)).is_some_and(|fd| *fd >= 0)
    }

    fn nodes(&mut self, given: &Given) -> Result<(), RuntimeError> {
        let plan = self.plan;
        for (index, node) in plan.nodes.iter().enumerate() {
            let label = format!("make /dev/{}", node.name);
            let path = self.builder.text(format!("dev/{}", node.name))?;
            let op = match given.get(index) {
                // Its own node, with the host's ids.
                None => {
                    let kind = if node.block { libc::S_IFBLK } else { libc::S_IFCHR };
                    let mode = kind | node.mode & 0o7777;
                    Op::Node { path, mode, device: device(node) }
                }
                Some(Some(mount)) => Op::Attach { mount: *mount, target: path, create: Create::File },
                Some(None) => continue,
            };
            self.builder.steps(&label, node.optional, &[op])?;
        }
        Ok(())
    }

    fn terminals(&mut self) -> Result<Slots, RuntimeError> {
        let console = &self.plan.console;
        let mut targets = Vec::new();
        if console.console {
            targets.push("dev/console".to_owned());
        }
        targets.extend((1..=console.ttys).map(|number| format!("dev/tty{number}")));
        let count = u16::try_from(targets.len() * 2)
            .map_err(|_| RuntimeError::Refused { reason: "it has too many terminals".to_owned() })?;
        let slots = self.builder.slots(count)?;
        for (index, target) in (0u16..).zip(targets) {
            let master = Slot(slots.first + 2 * index);
            let slave = Slot(master.0 + 1);
            let label = format!("make the terminal /{target}");
            let target = Some(self.builder.text(target)?);
            self.builder.step(label, Op::Terminal { master, slave, target, owner: None });
        }
        Ok(slots)
    }

    fn finish_root(&mut self, terminals: Slots) -> Result<(), RuntimeError> {
        let plan = self.plan;
        for link in &plan.links {
            let label = format!("link /{} to {}", link.path.display(), link.target.display());
            let path = self.builder.text(link.path.as_os_str().as_encoded_bytes())?;
            let target = self.builder.text(link.target.as_os_str().as_encoded_bytes())?;
            self.builder.step(label, Op::Link { path, target });
        }
        if plan.rootfs.read_only {
            // Last: what was mounted on may have had to be made.
            let op = Op::Attributes { mount: ROOT, set: RDONLY, clear: 0, recursive: false };
            self.builder.step("make the rootfs read-only", op);
        }
        self.meet("hand the terminals over", Point::Mounted, terminals);
        self.builder.step("make the container's root the root", Op::Pivot);
        // As after a boot: a peer group of the container's own, so that its services can share.
        let op = Op::Propagation { flag: libc::MS_SHARED, recursive: true };
        self.builder.step("share the mounts inside", op);
        if ["start", "start-host"].iter().any(|event| plan.hooks.is_due(event)) {
            // Programs of the container run meanwhile, and may look at this process.
            self.builder.step("let go of what is the monitor's", Op::CloseOthers);
        }
        self.meet("wait for permission to go", Point::Ready, NOTHING);
        Ok(())
    }

    fn become_init(&mut self, streams: [Slot; 3], controlling: bool) -> Result<(), RuntimeError> {
        let plan = self.plan;
        let (init, security) = (&plan.init, &plan.security);
        let builder = &mut self.builder;
        if let Some(persona) = &init.personality {
            builder.step(format!("take the personality {persona}"), personality(persona)?);
        }
        builder.step("set the umask", Op::Umask { mask: 0o022 });

        let keep = CapabilitySet::from_names(&security.capabilities)
            .map_err(|error| RuntimeError::part("read the capabilities", &error, None))?
            .0;
        let last =
            caps::last().map_err(|error| RuntimeError::part("limit the capabilities", &error, None))?;
        builder.step("limit the bounding set", Op::Bounding { keep, last: last.into() });
        let filter = filter(builder, plan)?;
        // A filter needs CAP_SYS_ADMIN or no_new_privs, and the former may go with the ids.
        if let (Some(op), false) = (filter, security.no_new_privs) {
            builder.step("load the system-call filter", op);
        }
        let groups = groups(builder, plan, &init.groups)?;
        let op = Op::Ids { user: init.user, group: init.group, groups };
        builder.step(format!("become user {}, group {}", init.user, init.group), op);
        builder.step("limit the capabilities", Op::Capabilities { keep });
        let op = Op::DieWithParent { signal: libc::SIGKILL };
        builder.step("ask to end with the monitor", op);
        if security.no_new_privs {
            builder.step("forbid new privileges", Op::NoNewPrivs);
            if let Some(op) = filter {
                builder.step("load the system-call filter", op);
            }
        }
        let path = builder.text(init.cwd.as_os_str().as_encoded_bytes())?;
        builder.step(format!("change to the directory {}", init.cwd.display()), Op::Chdir { path });
        if init.stub {
            builder.step("start the command under a small init", Op::Supervise);
            builder.step("ask to end with the small init", op);
        }
        let terminal = (controlling || init.stub).then(|| self.console(streams)).flatten();
        let builder = &mut self.builder;
        builder.step("begin a session", Op::Session { terminal });
        let [input, output, error] = streams;
        builder.step("connect the standard streams", Op::Stdio { input, output, error });
        builder.step("let all signals through", Op::Signals);
        builder.step("close what is the monitor's", Op::CloseOnExec);
        let environment = plan.init.environment.iter().map(|e| format!("{}={}", e.key, e.value));
        let envp = builder.vector(environment)?;
        execute(builder, &init.argv, search_path(plan), envp)
    }

    /// The console, if it is what the standard streams are.
    fn console(&self, streams: [Slot; 3]) -> Option<Slot> {
        streams.first().copied().filter(|slot| !self.is_given(*slot))
    }
}

/// The child inherits the layers under the same numbers, and so knows them by the same names.
fn layer_options(layers: &Layers) -> Vec<String> {
    let name = |fd: &OwnedFd| overlay::name(fd.as_fd());
    let lower = layers.lower.iter().map(name).collect();
    texts_of(overlay::options(lower, layers.upper.as_ref().map(|(upper, work)| (name(upper), name(work)))))
}

/// Keys and values in turn; a flag has an empty one.
fn texts_of(options: Vec<(&str, overlay::Value)>) -> Vec<String> {
    options.into_iter().flat_map(|(key, value)| [key.to_owned(), value.unwrap_or_default()]).collect()
}

/// Supplementary groups for [`Op::Ids`]; `None` where they cannot be chosen.
pub(super) fn groups(
    builder: &mut Builder,
    plan: &Plan,
    groups: &[u32],
) -> Result<Option<Bytes>, RuntimeError> {
    if plan.ids.as_ref().is_some_and(|map| !idmap::allows_groups(map)) {
        return Ok(None);
    }
    let bytes: Vec<u8> = groups.iter().flat_map(|group| group.to_ne_bytes()).collect();
    builder.bytes(&bytes).map(Some)
}

/// Executes `argv`, looking it up along `path` unless it has a slash.
pub(super) fn execute(
    builder: &mut Builder,
    argv: &[String],
    path: &str,
    envp: wxc_child::op::Vector,
) -> Result<(), RuntimeError> {
    let Some(program) = argv.first().filter(|program| !program.is_empty()) else {
        return Err(RuntimeError::Refused { reason: "there is no program to execute".to_owned() });
    };
    let programs = if program.contains('/') {
        builder.texts([program.as_str()])?
    } else {
        let candidates = path.split(':').filter(|directory| directory.starts_with('/'));
        builder.texts(candidates.map(|directory| format!("{directory}/{program}")))?
    };
    let argv = builder.vector(argv.iter().map(String::as_str))?;
    builder.step(format!("execute {program}"), Op::Exec { programs, argv, envp });
    Ok(())
}

/// Where programs are when the environment does not say.
pub(super) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn search_path(plan: &Plan) -> &str {
    let set = plan.init.environment.iter().find(|setting| setting.key == "PATH");
    set.map_or(DEFAULT_PATH, |setting| setting.value.as_str())
}

/// The filter as an operation, if there is one.
pub(super) fn filter(builder: &mut Builder, plan: &Plan) -> Result<Option<Op>, RuntimeError> {
    let program = seccomp::program(&plan.security.seccomp)
        .map_err(|error| RuntimeError::part("compile the system-call policy", &error, None))?;
    let Some(program) = program else { return Ok(None) };
    let bytes: Vec<u8> = program
        .iter()
        .flat_map(|instruction| {
            let [a, b] = instruction.code.to_ne_bytes();
            let [c, d, e, f] = instruction.k.to_ne_bytes();
            [a, b, instruction.jt, instruction.jf, c, d, e, f]
        })
        .collect();
    Ok(Some(Op::Seccomp { filter: builder.bytes(&bytes)? }))
}

/// personality(2): `PER_LINUX32`, `PER_LINUX`.
pub(super) fn personality(name: &str) -> Result<Op, RuntimeError> {
    match name {
        "linux32" | "x86" | "i686" => Ok(Op::Personality { persona: 0x0008 }),
        "linux" | "linux64" | "x86_64" | "amd64" => Ok(Op::Personality { persona: 0 }),
        _ => Err(RuntimeError::Refused { reason: format!("there is no personality {name:?}") }),
    }
}

fn device(node: &DeviceNode) -> u64 {
    rustix::fs::makedev(node.major, node.minor)
}
