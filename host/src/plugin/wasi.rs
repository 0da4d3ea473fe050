#![forbid(unsafe_code)]
//! What the toolchains of guests import of WASI 0.2, answered by a world that is empty.
//!
//! Standard output and error go into the log, standard input is at its end, the environment and the arguments are empty, there are
//! no directories and no terminals, `exit` ends the call. A C library asks for all of these when it writes its first line, so each has
//! an answer. The clocks and random numbers are real. Functions that none of
//! this needs end the guest when they are called, and so does every function of sockets, which the libraries of interpreters import
//! whether anybody calls them or not. HTTP is not offered at all: what a plugin may reach is a permission, and this is none.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wasmtime::StoreContextMut;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, LinkerInstance, Resource, ResourceType, Val};

use super::host::{Misuse, State};

/// Packages that are answered; any other is not offered.
const ANSWERED: &[&str] =
    &["wasi:cli/", "wasi:io/", "wasi:clocks/", "wasi:random/", "wasi:filesystem/", "wasi:sockets/"];

/// Whether an import is part of this small WASI.
pub(super) fn answers(import: &str) -> bool {
    ANSWERED.iter().any(|package| import.starts_with(package))
}

/// An output stream: into the log.
struct Stream;

/// An input stream: at its end.
struct Input;

/// What a stream is waited for with.
struct Pollable;

type Caller<'a> = StoreContextMut<'a, State>;

/// Links each WASI interface that is imported, at the version it is imported with.
pub(super) fn link(linker: &mut Linker<State>, imports: &[String]) -> wasmtime::Result<()> {
    for import in imports.iter().filter(|i| answers(i)) {
        let name = import.split('@').next().unwrap_or(import);
        let mut instance = linker.instance(import)?;
        match name {
            "wasi:cli/environment" => environment(&mut instance)?,
            "wasi:cli/exit" => exit(&mut instance)?,
            "wasi:cli/stdout" => {
                instance.func_wrap("get-stdout", |_: Caller<'_>, ()| Ok((stream(1),)))?;
            }
            "wasi:cli/stderr" => {
                instance.func_wrap("get-stderr", |_: Caller<'_>, ()| Ok((stream(2),)))?;
            }
            "wasi:cli/stdin" => {
                instance.func_wrap("get-stdin", |_: Caller<'_>, ()| Ok((Resource::<Input>::new_own(0),)))?;
            }
            "wasi:cli/terminal-stdin" => nothing(&mut instance, "get-terminal-stdin")?,
            "wasi:cli/terminal-stdout" => nothing(&mut instance, "get-terminal-stdout")?,
            "wasi:cli/terminal-stderr" => nothing(&mut instance, "get-terminal-stderr")?,
            "wasi:filesystem/preopens" => {
                instance.func_new("get-directories", |_, _, _, out| {
                    out[0] = Val::List(Vec::new());
                    Ok(())
                })?;
            }
            "wasi:io/streams" => {
                streams(&mut instance)?;
                input(&mut instance)?;
            }
            "wasi:io/poll" => poll(&mut instance)?,
            "wasi:clocks/monotonic-clock" => monotonic_clock(&mut instance)?,
            "wasi:clocks/wall-clock" => wall_clock(&mut instance)?,
            "wasi:random/insecure-seed" => {
                let seed = |mut store: Caller<'_>, ()| {
                    Ok(((random_number(&mut store)?, random_number(&mut store)?),))
                };
                instance.func_wrap("insecure-seed", seed)?;
            }
            "wasi:random/random" | "wasi:random/insecure" => random(&mut instance)?,
            _ => {}
        }
    }
    Ok(())
}

/// Resources of which no guest ever gets one: descriptors, terminals.
struct Absent;

/// What answered interfaces have besides: types that have to be there, and functions that end the guest when
/// they are called.
pub(super) fn stub_the_rest(
    linker: &mut Linker<State>,
    component: &Component,
    imports: &[String],
) -> wasmtime::Result<()> {
    if !imports.iter().any(|i| answers(i)) {
        return Ok(());
    }
    let engine = linker.engine().clone();
    let mut known: Vec<ResourceType> = Vec::new();
    for (import, item) in component.component_type().imports(&engine) {
        let ComponentItem::ComponentInstance(interface) = item.ty else { continue };
        let ours = !answers(import);
        let mut instance = if ours { None } else { Some(linker.instance(import)?) };
        for (name, item) in interface.exports(&engine) {
            match (item.ty, &mut instance) {
                // The first interface that has a type defines it; the others only use it.
                (ComponentItem::Resource(resource), instance) if !known.contains(&resource) => {
                    known.push(resource);
                    if let Some(instance) = instance {
                        let absent = ResourceType::host::<Absent>();
                        ignore_defined(instance.resource(name, absent, |_, _| Ok(())));
                    }
                }
                (ComponentItem::ComponentFunc(_), Some(instance)) => {
                    let what = format!("it called {import} {name}, which grants nothing here");
                    let stub =
                        move |_: Caller<'_>, _, _: &[Val], _: &mut [Val]| Err(Misuse(what.clone()).into());
                    ignore_defined(instance.func_new(name, stub));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// A name that is taken was linked by [`link`], and stays what it is.
fn ignore_defined(result: wasmtime::Result<()>) {
    if let Err(taken) = result {
        tracing::trace!(%taken, "linked before");
    }
}

fn stream(number: u32) -> Resource<Stream> {
    Resource::new_own(number)
}

fn environment(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    instance.func_wrap("get-environment", |_: Caller<'_>, ()| Ok((Vec::<(String, String)>::new(),)))?;
    instance.func_wrap("get-arguments", |_: Caller<'_>, ()| Ok((Vec::<String>::new(),)))?;
    instance.func_wrap("initial-cwd", |_: Caller<'_>, ()| Ok((None::<String>,)))
}

fn exit(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    instance.func_wrap("exit", |_: Caller<'_>, (status,): (Result<(), ()>,)| -> wasmtime::Result<()> {
        let how = if status.is_ok() { "success" } else { "failure" };
        Err(Misuse(format!("it exited (with {how}) in the middle of a call")).into())
    })
}

/// `stream-error`, written by hand as wasmtime's dynamic values know it.
fn closed() -> Val {
    Val::Result(Err(Some(Box::new(Val::Variant("closed".into(), None)))))
}

fn streams(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    instance.resource("output-stream", ResourceType::host::<Stream>(), |_, _| Ok(()))?;
    // A result with a variant and a resource in it has no static type here, so these are dynamic.
    instance.func_new("[method]output-stream.check-write", |store, _, args, out| {
        give_back(store, args)?;
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
            give_back(store, args)
        })?;
    }
    let subscribe = |_: Caller<'_>, (_,): (Resource<Stream>,)| Ok((Resource::<Pollable>::new_own(1),));
    instance.func_wrap("[method]output-stream.subscribe", subscribe)?;
    for name in ["flush", "blocking-flush"] {
        instance.func_new(&format!("[method]output-stream.{name}"), |store, _, args, out| {
            out[0] = Val::Result(Ok(None));
            give_back(store, args)
        })?;
    }
    Ok(())
}

/// A stream that has nothing more to give, from the start.
fn input(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    instance.resource("input-stream", ResourceType::host::<Input>(), |_, _| Ok(()))?;
    for name in ["read", "blocking-read", "skip", "blocking-skip"] {
        instance.func_new(&format!("[method]input-stream.{name}"), |store, _, args, out| {
            out[0] = closed();
            give_back(store, args)
        })?;
    }
    let subscribe = |_: Caller<'_>, (_,): (Resource<Input>,)| Ok((Resource::<Pollable>::new_own(1),));
    instance.func_wrap("[method]input-stream.subscribe", subscribe)
}

/// A function without arguments that answers an option with none.
fn nothing(instance: &mut LinkerInstance<'_, State>, name: &str) -> wasmtime::Result<()> {
    instance.func_new(name, |_, _, _, out| {
        out[0] = Val::Option(None);
        Ok(())
    })
}

/// Ends the loan of the stream that a method was called on: a dynamic handle is not dropped by itself.
fn give_back(store: Caller<'_>, args: &[Val]) -> wasmtime::Result<()> {
    match args.first() {
        Some(Val::Resource(stream)) => stream.resource_drop(store),
        _ => Ok(()),
    }
}

/// An output stream is ready at any time, so nobody ever waits here.
fn poll(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    instance.resource("pollable", ResourceType::host::<Pollable>(), |_, _| Ok(()))?;
    instance.func_wrap("[method]pollable.ready", |_: Caller<'_>, (_,): (Resource<Pollable>,)| Ok((true,)))?;
    instance.func_wrap("[method]pollable.block", |_: Caller<'_>, (_,): (Resource<Pollable>,)| Ok(()))
}

fn monotonic_clock(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    let start = Instant::now();
    instance.func_wrap("now", move |mut store: Caller<'_>, ()| {
        Ok((chanced(&mut store, "wasi.monotonic-clock", |()| Ok(nanoseconds(start.elapsed())))?,))
    })?;
    instance.func_wrap("resolution", |_: Caller<'_>, ()| Ok((1_u64,)))
}

fn wall_clock(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    let record = |time: Duration| {
        Val::Record(vec![
            ("seconds".into(), Val::U64(time.as_secs())),
            ("nanoseconds".into(), Val::U32(time.subsec_nanos())),
        ])
    };
    instance.func_new("now", move |mut store, _, _, out| {
        let now = |()| Ok(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        out[0] = record(chanced(&mut store, "wasi.wall-clock", now)?);
        Ok(())
    })?;
    instance.func_new("resolution", move |_, _, _, out| {
        out[0] = record(Duration::from_nanos(1));
        Ok(())
    })
}

fn random(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    let bytes = |mut store: Caller<'_>, (length,): (u64,)| Ok((random_bytes(&mut store, length)?,));
    let number = |mut store: Caller<'_>, ()| Ok((random_number(&mut store)?,));
    instance.func_wrap("get-random-bytes", bytes)?;
    instance.func_wrap("get-random-u64", number)?;
    instance.func_wrap("get-insecure-random-bytes", bytes)?;
    instance.func_wrap("get-insecure-random-u64", number)
}

/// Something that is otherwise each time: in a record it is what it was.
fn chanced<R: serde::Serialize + serde::de::DeserializeOwned>(
    store: &mut Caller<'_>,
    name: &'static str,
    body: impl FnOnce(()) -> wasmtime::Result<R>,
) -> wasmtime::Result<R> {
    let state = store.data_mut();
    let called = state.called(name, &())?;
    state.answer(called, |_| body(()))
}

fn random_number(store: &mut Caller<'_>) -> wasmtime::Result<u64> {
    Ok(u64::from_le_bytes(random_bytes(store, 8)?.try_into().unwrap_or_default()))
}

fn random_bytes(store: &mut Caller<'_>, length: u64) -> wasmtime::Result<Vec<u8>> {
    chanced(store, "wasi.random", |()| some_random_bytes(length))
}

fn some_random_bytes(length: u64) -> wasmtime::Result<Vec<u8>> {
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
