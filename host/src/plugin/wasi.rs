#![forbid(unsafe_code)]
//! What the toolchains of guests import of WASI 0.2, answered by a world that is empty.
//!
//! Standard output and error go into the log, the environment and the arguments are empty, there are
//! no directories, `exit` ends the call. The clocks and random numbers are real. Functions that none of
//! this needs end the guest when they are called. Sockets and HTTP are not offered at all: what a
//! plugin may reach is a permission, and this is none.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wasmtime::StoreContextMut;
use wasmtime::component::{Component, Linker, LinkerInstance, Resource, ResourceType, Val};

use super::host::{Misuse, State};

/// Packages that are answered; any other is not offered.
const ANSWERED: &[&str] = &["wasi:cli/", "wasi:io/", "wasi:clocks/", "wasi:random/", "wasi:filesystem/"];

/// Whether an import is part of this small WASI.
pub(super) fn answers(import: &str) -> bool {
    ANSWERED.iter().any(|package| import.starts_with(package))
}

/// An output stream: into the log, at one of two levels.
struct Stream;

/// Links each WASI interface that is imported, at the version it is imported with.
pub(super) fn link(linker: &mut Linker<State>, imports: &[String]) -> wasmtime::Result<()> {
    for import in imports.iter().filter(|i| answers(i)) {
        let name = import.split('@').next().unwrap_or(import);
        let mut instance = linker.instance(import)?;
        match name {
            "wasi:cli/environment" => environment(&mut instance)?,
            "wasi:cli/exit" => exit(&mut instance)?,
            "wasi:cli/stdout" => {
                instance.func_wrap("get-stdout", |_: StoreContextMut<'_, State>, ()| Ok((stream(1),)))?;
            }
            "wasi:cli/stderr" => {
                instance.func_wrap("get-stderr", |_: StoreContextMut<'_, State>, ()| Ok((stream(2),)))?;
            }
            "wasi:io/streams" => streams(&mut instance)?,
            "wasi:clocks/monotonic-clock" => monotonic_clock(&mut instance)?,
            "wasi:clocks/wall-clock" => wall_clock(&mut instance)?,
            "wasi:random/random" | "wasi:random/insecure" => random(&mut instance)?,
            _ => {}
        }
    }
    Ok(())
}

/// The functions of answered interfaces that were not linked by [`link`] end the guest when called.
pub(super) fn stub_the_rest(
    linker: &mut Linker<State>,
    component: &Component,
    imports: &[String],
) -> wasmtime::Result<()> {
    // Every interface of ours was linked or refused before, so nothing else can be stubbed by this.
    if imports.iter().any(|i| answers(i)) {
        linker.define_unknown_imports_as_traps(component)
    } else {
        Ok(())
    }
}

fn stream(number: u32) -> Resource<Stream> {
    Resource::new_own(number)
}

fn environment(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    instance.func_wrap("get-environment", |_: StoreContextMut<'_, State>, ()| {
        Ok((Vec::<(String, String)>::new(),))
    })?;
    instance.func_wrap("get-arguments", |_: StoreContextMut<'_, State>, ()| Ok((Vec::<String>::new(),)))?;
    instance.func_wrap("initial-cwd", |_: StoreContextMut<'_, State>, ()| Ok((None::<String>,)))
}

fn exit(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    instance.func_wrap(
        "exit",
        |_: StoreContextMut<'_, State>, (status,): (Result<(), ()>,)| -> wasmtime::Result<()> {
            let how = if status.is_ok() { "success" } else { "failure" };
            Err(Misuse(format!("it exited (with {how}) in the middle of a call")).into())
        },
    )
}

/// `stream-error`, written by hand as wasmtime's dynamic values know it.
fn closed() -> Val {
    Val::Result(Err(Some(Box::new(Val::Variant("closed".into(), None)))))
}

fn streams(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    instance.resource("output-stream", ResourceType::host::<Stream>(), |_, _| Ok(()))?;
    // A result with a variant and a resource in it has no static type here, so these are dynamic.
    instance.func_new("[method]output-stream.check-write", |_, _, _, out| {
        out[0] = Val::Result(Ok(Some(Box::new(Val::U64(4096)))));
        Ok(())
    })?;
    for name in ["write", "blocking-write-and-flush"] {
        instance.func_new(&format!("[method]output-stream.{name}"), |mut store, _, args, out| {
            out[0] = match args.get(1) {
                Some(Val::List(bytes)) => {
                    let bytes = bytes.iter().filter_map(|b| if let Val::U8(b) = b { Some(*b) } else { None });
                    store.data_mut().print(&bytes.collect::<Vec<u8>>())?;
                    Val::Result(Ok(None))
                }
                _ => closed(),
            };
            Ok(())
        })?;
    }
    for name in ["flush", "blocking-flush"] {
        instance.func_new(&format!("[method]output-stream.{name}"), |_, _, _, out| {
            out[0] = Val::Result(Ok(None));
            Ok(())
        })?;
    }
    Ok(())
}

fn monotonic_clock(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    let start = Instant::now();
    instance
        .func_wrap("now", move |_: StoreContextMut<'_, State>, ()| Ok((nanoseconds(start.elapsed()),)))?;
    instance.func_wrap("resolution", |_: StoreContextMut<'_, State>, ()| Ok((1_u64,)))
}

fn wall_clock(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    let record = |time: Duration| {
        Val::Record(vec![
            ("seconds".into(), Val::U64(time.as_secs())),
            ("nanoseconds".into(), Val::U32(time.subsec_nanos())),
        ])
    };
    instance.func_new("now", move |_, _, _, out| {
        out[0] = record(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        Ok(())
    })?;
    instance.func_new("resolution", move |_, _, _, out| {
        out[0] = record(Duration::from_nanos(1));
        Ok(())
    })
}

fn random(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    let bytes = |_: StoreContextMut<'_, State>, (length,): (u64,)| Ok((random_bytes(length)?,));
    let number = |_: StoreContextMut<'_, State>, ()| {
        let bytes = random_bytes(8)?;
        Ok((u64::from_le_bytes(bytes.try_into().unwrap_or_default()),))
    };
    instance.func_wrap("get-random-bytes", bytes)?;
    instance.func_wrap("get-random-u64", number)?;
    instance.func_wrap("get-insecure-random-bytes", bytes)?;
    instance.func_wrap("get-insecure-random-u64", number)
}

fn random_bytes(length: u64) -> wasmtime::Result<Vec<u8>> {
    /// More at once is not for keys or seeds.
    const MOST: u64 = 64 << 10;
    let length = usize::try_from(length.min(MOST))?;
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(bytes)
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
