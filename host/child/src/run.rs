//! The loop: the next operation, one call after the other; on an error a record, and the end.

use core::ffi::{CStr, c_char};

use crate::abi::{self, MountAttr};
use crate::call::{self, CLOSE_RANGE_CLOEXEC};
use crate::op::{Bytes, Create, Op, Program, ROOT, SLOTS, Slot, Slots, Text, Texts, Vector};
use crate::report::{Call, Failure, Fault, Outcome};
use crate::resolve;
use crate::sync::{MAX_FDS, Point};

/// The exit status of a child that could not do what it was made for; the record says why.
const FAILED: i32 = 125;

/// Carries out `program` and leaves by exec or `_exit`.
pub fn run(program: &Program<'_>) -> ! {
    /// Even a panic must not return into the parent's code.
    struct Guard;
    impl Drop for Guard {
        fn drop(&mut self) {
            call::exit(FAILED);
        }
    }
    let _guard = Guard;
    let mut child = Child { program, slots: [-1; SLOTS], socket: program.socket };
    for (slot, fd) in child.slots.iter_mut().zip(program.fds) {
        *slot = *fd;
    }
    let mut at = 0;
    while let Some(step) = usize::try_from(at).ok().and_then(|at| program.steps.get(at)) {
        match (child.step(step.op), step.otherwise) {
            (Ok(()), _) => at += 1,
            (Err(fault), Some(next)) => {
                child.report(Failure { step: at, fault, skipped: true });
                at = next;
            }
            (Err(fault), None) => {
                child.report(Failure { step: at, fault, skipped: false });
                call::exit(FAILED);
            }
        }
    }
    // A program ends with exec; one that does not was wrong.
    let fault = Fault::new(Call::Program, libc::ENOEXEC);
    child.report(Failure { step: at, fault, skipped: false });
    call::exit(FAILED)
}

/// The state of a run: little more than a table of fds.
struct Child<'a> {
    program: &'a Program<'a>,
    slots: [i32; SLOTS],
    socket: i32,
}

impl Child<'_> {
    fn report(&self, failure: Failure) {
        // Nobody is left to tell about a failure to tell.
        let _ = call::send(self.socket, &failure.encode(), &[]);
    }

    fn step(&mut self, op: Op) -> Outcome<()> {
        match op {
            Op::Meet { point, send, receive } => self.meet(point, send, receive),
            Op::DieWithParent { signal } => call::die_with_parent(signal).map(drop),
            Op::Undumpable => call::undumpable().map(drop),
            // 0: the one that writes.
            Op::JoinCgroup { processes } => call::write(self.fd(processes)?, b"0"),
            Op::Enter { namespaces, flags } => call::setns(self.fd(namespaces)?, flags).map(drop),
            Op::Unshare { flags } => call::unshare(flags).map(drop),
            Op::TimeNamespace { offsets } => self.time_namespace(offsets),
            Op::Sibling => self.sibling(),
            Op::Ids { user, group, groups } => {
                if let Some(groups) = groups {
                    call::set_groups(self.bytes(groups)?)?;
                }
                call::set_ids(user, group).map(drop)
            }
            Op::Session { terminal } => {
                call::setsid()?;
                match terminal {
                    Some(slot) => call::controlling_terminal(self.fd(slot)?).map(drop),
                    None => Ok(()),
                }
            }
            Op::Keyring => call::session_keyring().map(drop),
            Op::Hostname { name } => call::set_hostname(self.bytes(name)?).map(drop),
            Op::Personality { persona } => call::personality(persona).map(drop),
            Op::WriteProc { path, data } => self.write_proc(path, data),
            Op::Loopback => call::loopback_up(),

            Op::Propagation { flag, recursive } => {
                let attributes = MountAttr { set: 0, clear: 0, propagation: flag, userns: 0 };
                call::mount_setattr(libc::AT_FDCWD, c"/", recursive, attributes).map(drop)
            }
            Op::Tree { into, path, recursive } => self.tree(into, path, recursive),
            Op::Filesystem { into, fstype, options, attributes } => {
                self.filesystem(into, fstype, options, attributes)
            }
            Op::Attributes { mount, set, clear, recursive } => {
                let attributes = MountAttr { set, clear, propagation: 0, userns: 0 };
                call::mount_setattr(self.fd(mount)?, c"", recursive, attributes).map(drop)
            }
            Op::Cover { mount } => self.place(mount, c"/"),
            Op::Place { mount, path } => self.place(mount, self.text(path)?),
            Op::OpenRoot => {
                let flags = libc::O_PATH | libc::O_DIRECTORY;
                let root = call::open(libc::AT_FDCWD, c"/", flags, 0)?;
                self.keep(ROOT, root)
            }
            Op::Attach { mount, target, create } => {
                let target = resolve::target(self.fd(ROOT)?, self.text(target)?, create)?;
                call::move_mount(self.fd(mount)?, target)?;
                call::close(target);
                self.empty(mount)
            }
            Op::Inside { path, target, create, set, recursive } => {
                self.inside(path, target, create, set, recursive)
            }
            Op::Directory { path, mode } => {
                let made = resolve::directories(self.fd(ROOT)?, self.text(path)?, mode)?;
                call::close(made);
                Ok(())
            }
            Op::Node { path, mode, device } => {
                let path = self.text(path)?;
                resolve::make_last(self.fd(ROOT)?, path, |parent, name| {
                    call::make_node(parent, name, mode, device)
                })
            }
            Op::CheckDevice { mount, block, device } => self.check_device(mount, block, device),
            Op::Link { path, target } => self.link(path, target),
            Op::Terminal { master, slave, target, owner } => self.terminal(master, slave, target, owner),
            Op::Pivot => self.pivot(),

            Op::Chdir { path } => self.chdir(self.text(path)?),
            Op::ChdirAny { paths } => self.chdir_any(paths),
            Op::Stdio { input, output, error } => self.stdio([input, output, error]),
            Op::Hand { slot, number } => self.hand(slot, number),
            Op::Umask { mask } => {
                call::umask(mask);
                Ok(())
            }
            Op::Bounding { keep, last } => bounding(keep, last),
            Op::Capabilities { keep } => {
                call::clear_ambient()?;
                call::limit_capabilities(keep).map(drop)
            }
            Op::NoNewPrivs => call::no_new_privs().map(drop),
            Op::Seccomp { filter } => call::seccomp(self.bytes(filter)?).map(drop),
            Op::Signals => {
                call::default_signals();
                call::block_signals(false).map(drop)
            }
            Op::CloseOnExec => call::close_range(3, u32::MAX, CLOSE_RANGE_CLOEXEC).map(drop),
            Op::CloseOthers => self.close_others(),
            Op::Supervise => self.supervise(),
            Op::Exec { programs, argv, envp } => self.exec(programs, argv, envp),
            Op::ExecFile { file, argv, envp } => {
                let (argv, envp) = (self.vector(argv)?, self.vector(envp)?);
                Err(call::execute_file(self.fd(file)?, argv, envp))
            }
        }
    }

    // What the program's numbers stand for.

    fn wrong() -> Fault {
        Fault::new(Call::Program, libc::EFAULT)
    }

    fn fd(&self, slot: Slot) -> Outcome<i32> {
        match self.slots.get(usize::from(slot.0)) {
            Some(fd) if *fd >= 0 => Ok(*fd),
            _ => Err(Fault::new(Call::Program, libc::EBADF)),
        }
    }

    fn keep(&mut self, slot: Slot, fd: i32) -> Outcome<()> {
        let place = self.slots.get_mut(usize::from(slot.0)).ok_or(Self::wrong())?;
        *place = fd;
        Ok(())
    }

    /// What was in the slot is used up.
    fn empty(&mut self, slot: Slot) -> Outcome<()> {
        call::close(self.fd(slot)?);
        self.keep(slot, -1)
    }

    fn range(&mut self, slots: Slots) -> Outcome<&mut [i32]> {
        let first = usize::from(slots.first);
        self.slots.get_mut(first..first + usize::from(slots.count)).ok_or(Self::wrong())
    }

    fn bytes(&self, bytes: Bytes) -> Outcome<&'_ [u8]> {
        let start = bytes.start as usize;
        self.program.data.get(start..start + bytes.count as usize).ok_or(Self::wrong())
    }

    fn text(&self, text: Text) -> Outcome<&'_ CStr> {
        let rest = self.program.data.get(text.0 as usize..).ok_or(Self::wrong())?;
        CStr::from_bytes_until_nul(rest).map_err(|_| Self::wrong())
    }

    fn texts(&self, texts: Texts) -> Outcome<&'_ [Text]> {
        let start = texts.start as usize;
        self.program.texts.get(start..start + texts.count as usize).ok_or(Self::wrong())
    }

    fn vector(&self, vector: Vector) -> Outcome<*const *const c_char> {
        let rest = self.program.vectors.get(vector.0 as usize..).ok_or(Self::wrong())?;
        if call::vector_ends(rest) { Ok(rest.as_ptr()) } else { Err(Self::wrong()) }
    }

    // The operations that are more than one call.

    fn meet(&mut self, point: Point, send: Slots, receive: Slots) -> Outcome<()> {
        let socket = self.socket;
        call::send(socket, &[point as u8], self.range(send)?)?;
        let mut answer = [0; 2];
        let mut fds = [-1; MAX_FDS];
        let (length, count) = call::receive(socket, &mut answer, &mut fds)?;
        if length == 0 {
            // The parent has ended or given up: nobody will read a report.
            call::exit(FAILED);
        }
        if answer.get(..length).and_then(Point::decode) != Some(point) || count != usize::from(receive.count)
        {
            return Err(Fault::new(Call::Rendezvous, libc::EPROTO));
        }
        for (slot, fd) in self.range(receive)?.iter_mut().zip(fds) {
            *slot = fd;
        }
        Ok(())
    }

    fn sibling(&self) -> Outcome<()> {
        // The new process cannot name itself from outside, so the one that makes it sends the
        // pidfd, in its place, before it ends.
        let mut fd = -1;
        match call::fork(Some(&mut fd))? {
            0 => Ok(()),
            _ => {
                call::send(self.socket, &[Point::Entered as u8], &[fd])?;
                call::exit(0)
            }
        }
    }

    fn write_proc(&self, path: Text, data: Bytes) -> Outcome<()> {
        write_proc(self.text(path)?, self.bytes(data)?)
    }

    fn time_namespace(&self, offsets: Bytes) -> Outcome<()> {
        const CLONE_NEWTIME: i32 = 0x80;
        // Offsets can be written as long as nobody is in the namespace; unshare(2) makes it for
        // children only, so this process has to move in by itself.
        call::unshare(CLONE_NEWTIME)?;
        write_proc(c"/proc/self/timens_offsets", self.bytes(offsets)?)?;
        let path = c"/proc/self/ns/time_for_children";
        let namespace = call::open(libc::AT_FDCWD, path, libc::O_RDONLY, 0)?;
        call::setns(namespace, CLONE_NEWTIME)?;
        call::close(namespace);
        Ok(())
    }

    fn tree(&mut self, into: Slot, path: Text, recursive: bool) -> Outcome<()> {
        let tree = call::open_tree(libc::AT_FDCWD, self.text(path)?, recursive)?;
        self.keep(into, tree)
    }

    fn filesystem(&mut self, into: Slot, fstype: Text, options: Texts, attributes: u64) -> Outcome<()> {
        let context = call::fsopen(self.text(fstype)?)?;
        for pair in self.texts(options)?.chunks_exact(2) {
            let [key, value] = *pair else { return Err(Self::wrong()) };
            let (key, value) = (self.text(key)?, self.text(value)?);
            if value.is_empty() {
                call::fsconfig_flag(context, key)?;
            } else {
                call::fsconfig_string(context, key, value)?;
            }
        }
        call::fsconfig_create(context)?;
        let mount = call::fsmount(context, attributes)?;
        call::close(context);
        self.keep(into, mount)
    }

    fn place(&self, mount: Slot, path: &CStr) -> Outcome<()> {
        let target = call::open(libc::AT_FDCWD, path, libc::O_PATH | libc::O_DIRECTORY, 0)?;
        call::move_mount(self.fd(mount)?, target)?;
        call::close(target);
        Ok(())
    }

    fn inside(&mut self, path: Text, target: Text, create: Create, set: u64, recursive: bool) -> Outcome<()> {
        let root = self.fd(ROOT)?;
        let source = resolve::open(root, self.text(path)?, libc::O_PATH, resolve::STRICT)?;
        let mount = call::open_tree(source, c"", recursive)?;
        call::close(source);
        let attributes = MountAttr { set, clear: 0, propagation: 0, userns: 0 };
        // Not of what comes along: /proc/sys/net stays writable in a read-only /proc/sys.
        call::mount_setattr(mount, c"", false, attributes)?;
        let target = resolve::target(root, self.text(target)?, create)?;
        call::move_mount(mount, target)?;
        call::close(target);
        call::close(mount);
        Ok(())
    }

    fn check_device(&mut self, mount: Slot, block: bool, device: u64) -> Outcome<()> {
        let (mode, found) = call::status(self.fd(mount)?)?;
        let kind = if block { libc::S_IFBLK } else { libc::S_IFCHR };
        if mode & libc::S_IFMT != kind || found != device {
            return Err(Fault::new(Call::Check, libc::ENODEV));
        }
        Ok(())
    }

    fn link(&mut self, path: Text, target: Text) -> Outcome<()> {
        let (path, target) = (self.text(path)?, self.text(target)?);
        let made =
            resolve::make_last(self.fd(ROOT)?, path, |parent, name| call::make_link(target, parent, name));
        match made {
            Err(fault) if fault.errno == libc::EEXIST => Ok(()),
            other => other,
        }
    }

    fn terminal(
        &mut self,
        master: Slot,
        slave: Slot,
        target: Option<Text>,
        owner: Option<u32>,
    ) -> Outcome<()> {
        let root = self.fd(ROOT)?;
        // Through the instance's own ptmx, not /dev/ptmx, which is the container's to choose; and
        // the slave through the master, not by its number: a path could lead elsewhere.
        let flags = libc::O_RDWR | libc::O_NOCTTY;
        let fd = resolve::open(root, c"dev/pts/ptmx", flags, resolve::STRICT)?;
        if call::filesystem(fd)? != abi::DEVPTS_SUPER_MAGIC {
            return Err(Fault::new(Call::Check, libc::ENODEV));
        }
        call::unlock_terminal(fd)?;
        let peer = call::terminal_peer(fd)?;
        if let Some(owner) = owner {
            call::change_owner(peer, owner)?;
        }
        if let Some(target) = target {
            let mount = call::open_tree(peer, c"", false)?;
            let target = resolve::target(root, self.text(target)?, Create::File)?;
            call::move_mount(mount, target)?;
            call::close(target);
            call::close(mount);
        }
        self.keep(master, fd)?;
        self.keep(slave, peer)
    }

    fn pivot(&mut self) -> Outcome<()> {
        let old = call::open(libc::AT_FDCWD, c"/", libc::O_PATH | libc::O_DIRECTORY, 0)?;
        call::change_directory(self.fd(ROOT)?)?;
        call::pivot_root()?;
        // The old root now covers the new one, and may itself be covered. Nothing that is unmounted
        // here may be unmounted on the host: its mounts were made slaves before.
        call::change_directory(old)?;
        call::detach_working_directory()?;
        while call::detach_working_directory().is_ok() {}
        // Whoever enters these namespaces gets the topmost mount: it must be the container's root.
        // `/..` is looked up as they do, `/` is not.
        if call::mount_id(c"/..")? != call::mount_id(c"/")? {
            return Err(Fault::new(Call::Check, libc::EXDEV));
        }
        call::close(old);
        call::change_directory(self.fd(ROOT)?).map(drop)
    }

    /// Not by chdir(2): a path like `/proc/self/fd/7` would lead to what a forgotten fd is.
    fn chdir(&self, path: &CStr) -> Outcome<()> {
        let root = call::open(libc::AT_FDCWD, c"/", libc::O_PATH | libc::O_DIRECTORY, 0)?;
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let directory = resolve::open(root, path, flags, resolve::INSIDE)?;
        call::change_directory(directory)?;
        call::close(directory);
        call::close(root);
        Ok(())
    }

    fn chdir_any(&self, paths: Texts) -> Outcome<()> {
        let mut outcome = Err(Self::wrong());
        for path in self.texts(paths)? {
            outcome = self.chdir(self.text(*path)?);
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    fn stdio(&mut self, slots: [Slot; 3]) -> Outcome<()> {
        for (slot, number) in slots.into_iter().zip(0..) {
            self.hand(slot, number)?;
        }
        Ok(())
    }

    /// Whoever has the number already moves out of the way, if it is one of ours.
    fn hand(&mut self, slot: Slot, number: i32) -> Outcome<()> {
        let fd = self.fd(slot)?;
        if fd != number {
            if self.socket == number {
                self.socket = call::lift(number, 64)?;
            }
            for (index, other) in self.slots.iter_mut().enumerate() {
                if *other == number && index != usize::from(slot.0) {
                    *other = call::lift(number, 64)?;
                }
            }
        }
        call::duplicate(fd, number).map(drop)
    }

    fn close_others(&mut self) -> Outcome<()> {
        let mut first = 3;
        // The next fd in use, again and again: slots are few and in no order.
        loop {
            let used = self.slots.iter().copied().chain([self.socket]).filter(|fd| *fd >= first);
            let Some(next) = used.min() else { break };
            if next > first {
                call::close_range(first.cast_unsigned(), (next - 1).cast_unsigned(), 0)?;
            }
            first = next + 1;
        }
        call::close_range(first.cast_unsigned(), u32::MAX, 0).map(drop)
    }

    fn supervise(&mut self) -> Outcome<()> {
        // Before the fork: the child must not end before its end can be noticed.
        call::block_signals(true)?;
        match call::fork(None)? {
            0 => call::block_signals(false).map(drop),
            child => {
                // The parent's end of file must mean that the child executed its program. And no
                // terminal may stay open through this process.
                let _ = call::close_range(0, u32::MAX, 0);
                crate::supervise::supervise(child)
            }
        }
    }

    fn exec(&self, programs: Texts, argv: Vector, envp: Vector) -> Outcome<()> {
        let (argv, envp) = (self.vector(argv)?, self.vector(envp)?);
        let mut worst = Fault::new(Call::Exec, libc::ENOENT);
        for program in self.texts(programs)? {
            let fault = call::execute(self.text(*program)?, argv, envp);
            match fault.errno {
                libc::ENOENT | libc::ENOTDIR => {}
                // As execvp(3): remember that there was one, and look further.
                libc::EACCES => worst = fault,
                _ => return Err(fault),
            }
        }
        Err(worst)
    }
}

fn write_proc(path: &CStr, data: &[u8]) -> Outcome<()> {
    let flags = libc::O_WRONLY | libc::O_NOFOLLOW | libc::O_NOCTTY;
    let file = call::open(libc::AT_FDCWD, path, flags, 0)?;
    if call::filesystem(file)? != abi::PROC_SUPER_MAGIC {
        return Err(Fault::new(Call::Check, libc::ENODEV));
    }
    call::write(file, data)?;
    call::close(file);
    Ok(())
}

fn bounding(keep: u64, last: u32) -> Outcome<()> {
    for capability in 0..=last.min(63) {
        if keep & (1 << capability) == 0 {
            call::drop_bounding(capability)?;
        }
    }
    Ok(())
}
