//! A storage plugin that misbehaves: what it does in `create` is the name of the volume.
#![deny(unsafe_code)]

#[allow(unsafe_code, reason = "generated component glue")]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../../../wit/host", "../../../../wit/storage"],
        inline: "
            package test:hostile;
            world plugin { include wxc:storage/storage-plugin@0.1.0; import wxc:host/fetch@0.1.0; import wxc:host/rootfs@0.1.0; }
        ",
        world: "test:hostile/plugin",
        generate_all,
    });
    export!(Hostile with_types_in self);
    use super::Hostile;
}

use bindings::exports::wxc::storage::volumes::Guest;
use bindings::wxc::host::types::{Error, ErrorKind};
use bindings::wxc::host::{log, settings, tree};
use bindings::wxc::storage::scope;
use bindings::wxc::storage::types::{Access, Mount, MountSource, Phase, Place, Pool, Volume, VolumeUsage};

struct Hostile;

/// What it tries with programs and devices of the host; `None` for what is none of these.
#[cfg(feature = "commands")]
fn outside(pool: &bindings::wxc::host::handles::Directory, attempt: &str) -> Option<Result<(), Error>> {
    use bindings::wxc::host::commands::Command;
    use bindings::wxc::host::loop_devices;
    let run = |command: Command| command.run().map(drop);
    let name = |text: &str| {
        let command = Command::new("say");
        command.set_text("what", text);
        run(command)
    };
    Some(match attempt {
        "undeclared" => run(Command::new("rm")),
        "option" => name("--help"),
        "two-arguments" => name("a b"),
        "unfilled" => run(Command::new("say")),
        "another-placeholder" => {
            let command = Command::new("say");
            command.set_text("what", "hello");
            command.set_text("more", "hello");
            run(command)
        }
        "wrong-type" => {
            let command = Command::new("say");
            command.set_number("what", 1);
            run(command)
        }
        "twice" => {
            let command = Command::new("say");
            command.set_text("what", "hello");
            run_twice(&command)
        }
        "program-missing" => run(Command::new("missing")),
        "program-fails" => run(Command::new("fails")),
        "program-late" => run(Command::new("late")),
        "environment" => {
            let seen = Command::new("environment").run().map(|outcome| outcome.stdout);
            seen.and_then(|text| Err(failed(String::from_utf8_lossy(&text).replace('\n', ";"))))
        }
        "file" | "file-config" | "file-above" | "file-fifo" | "file-link" | "file-home" => {
            let command = Command::new("show");
            command.set_file("file", pool, place(attempt));
            let seen = command.run().map(|outcome| outcome.stdout);
            seen.and_then(|text| Err(failed(String::from_utf8_lossy(&text).into_owned())))
        }
        "loop-config" | "loop-above" | "loop-fifo" | "loop-home" => {
            loop_devices::attach(pool, place(&attempt.replace("loop", "file")), false).map(drop)
        }
        "loop-find-config" => loop_devices::find(pool, place("file-config")).map(drop),
        _ => return None,
    })
}

#[cfg(feature = "subvolumes")]
fn subvolume(pool: &bindings::wxc::host::handles::Directory, attempt: &str) -> Option<Result<(), Error>> {
    use bindings::wxc::host::subvolumes;
    let (verb, place) = attempt.split_once('-')?;
    let path = match place {
        "above" => "../secret",
        "absolute" => "/etc",
        "link" => "web/rootfs/link/sub",
        "config" => "web/container.toml",
        "journal" => ".journal",
        _ => "web",
    };
    Some(match verb {
        "make" => subvolumes::create(pool, path),
        "remove" => subvolumes::remove(pool, path),
        "flag" => subvolumes::set_read_only(pool, path, true),
        "limit" => subvolumes::set_limit(pool, path, Some(1)),
        "from" => subvolumes::snapshot(pool, path, "web/rootfs.new", false, true),
        "to" => subvolumes::snapshot(pool, "web/rootfs", path, false, true),
        "list" => subvolumes::all(pool, path, None, 9).map(drop),
        _ => return None,
    })
}

#[cfg(feature = "commands")]
fn run_twice(command: &bindings::wxc::host::commands::Command) -> Result<(), Error> {
    command.run()?;
    command.run().map(drop)
}

#[cfg(feature = "commands")]
fn place(attempt: &str) -> &'static str {
    match attempt {
        "file-config" => "web/container.toml",
        "file-above" => "../secret",
        "file-fifo" => "web/rootfs/fifo",
        "file-link" => "web/rootfs/link",
        "file-home" => "web",
        _ => "web/rootfs/evil",
    }
}

fn volume(id: &str) -> Volume {
    Volume { id: id.into(), phase: Phase::Writable, parent: None, operation: None }
}

fn failed(message: String) -> Error {
    Error { kind: ErrorKind::Failed, message }
}

/// What it tries with servers; `None` for what is none of these.
#[cfg(feature = "fetch")]
fn ask(attempt: &str) -> Option<Result<(), Error>> {
    use bindings::wxc::host::fetch::Request;
    let request = Request::new("https://images.example.org/x");
    match attempt {
        "undeclared" => {}
        "another-host" => request.set_header("Host", "metadata.internal"),
        "two-headers" => request.set_header("accept", "a\r\nhost: b"),
        "no-digest" => request.expect(&bindings::wxc::host::types::Digest {
            algorithm: bindings::wxc::host::types::DigestAlgorithm::Sha256,
            hex: "../../x".into(),
        }),
        _ => return None,
    }
    Some(request.send().map(drop))
}

#[allow(unconditional_recursion, reason = "that is what it is for")]
fn deep(n: u64) -> u64 {
    std::hint::black_box(n) + deep(n + 1)
}

impl Guest for Hostile {
    fn open() -> Result<Pool, Error> {
        #[cfg(feature = "rootfs")]
        {
            use bindings::wxc::host::{handles::ContainerRoot, rootfs};
            let read = |root: &ContainerRoot| rootfs::read(root, "etc/shadow", 1).map(drop);
            std::hint::black_box(read as fn(&ContainerRoot) -> Result<(), Error>);
        }
        Ok(Pool { total: 1, available: 1, metadata_available: None })
    }

    fn scan(_after: Option<String>, limit: u32) -> Result<Vec<Volume>, Error> {
        Ok((0..=limit).map(|_| volume("same")).collect())
    }

    fn create(_operation: String, id: String, _size: Option<u64>) -> Result<Volume, Error> {
        let pool = scope::pool()?;
        #[cfg(feature = "fetch")]
        if let Some(tried) = ask(&id) {
            return tried.map(|()| volume(&id));
        }
        #[cfg(feature = "subvolumes")]
        if let Some(tried) = subvolume(&pool, &id) {
            return tried.map(|()| volume(&id));
        }
        #[cfg(feature = "commands")]
        if let Some(tried) = outside(&pool, &id) {
            return tried.map(|()| volume(&id));
        }
        match id.as_str() {
            "loop" => loop {
                std::hint::black_box(());
            },
            "memory" => {
                let mut all = Vec::new();
                loop {
                    all.push(std::hint::black_box(vec![1_u8; 1 << 20]));
                }
            }
            "stack" => Err(failed(deep(0).to_string())),
            "panic" => panic!("on purpose"),
            "handles" => {
                let mut all = Vec::new();
                loop {
                    all.push(scope::pool()?);
                }
            }
            "calls" => loop {
                log::emit(log::Level::Trace, "again");
            },
            "result" => Err(failed("x".repeat(32 << 20))),
            "escapes" => Err(failed("\x1b[2J\nroot@host# ".to_owned())),
            "setting" => Err(failed(settings::get("undeclared").unwrap_or_default())),
            "other" => Ok(volume("another")),
            "above" => tree::read(&pool, "../secret", 100).map(|_| volume(&id)),
            "absolute" => tree::read(&pool, "/etc/passwd", 100).map(|_| volume(&id)),
            "through-link" => tree::read(&pool, "web/rootfs/link/passwd", 100).map(|_| volume(&id)),
            "config" => {
                tree::write(&pool, "web/container.toml", b"privileged = true", 0o644).map(|()| volume(&id))
            }
            "config-by-handle" => {
                let web = tree::open(&pool, "web")?;
                tree::write(&web, "container.toml", b"privileged = true", 0o644).map(|()| volume(&id))
            }
            "config-by-rename" => {
                tree::rename(&pool, "web/rootfs/evil", "web/container.toml").map(|()| volume(&id))
            }
            "device" => tree::read(&pool, "web/rootfs/fifo", 100).map(|_| volume(&id)),
            "container" => tree::remove_tree(&pool, "web").map(|()| volume(&id)),
            _ => Ok(volume(&id)),
        }
    }

    fn seal(_operation: String, id: String) -> Result<Volume, Error> {
        // Says it is done, and is not.
        Ok(volume(&id))
    }

    fn mounts(id: String, _access: Access) -> Result<Vec<Mount>, Error> {
        let path = match id.as_str() {
            "above" => "../../etc",
            "config" => "web/container.toml",
            "container" => "web",
            _ => "web/rootfs",
        };
        let options = if id == "options" { vec!["suid,dev".to_owned()] } else { Vec::new() };
        let source = MountSource::Tree(Place { handle: "pool".into(), path: path.into() });
        Ok(vec![Mount { source, target: String::new(), read_only: false, options }])
    }

    fn usage(_id: String) -> Result<VolumeUsage, Error> {
        Ok(VolumeUsage { exclusive: None, referenced: None, entries: None })
    }

    fn remove(_operation: String, _id: String) -> Result<(), Error> {
        Ok(())
    }
}
