#![forbid(unsafe_code)]
//! `wxc export` and `wxc import`.

use std::io::{IsTerminal as _, stdin, stdout};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::args::{Export, Import, Packing};
use super::context::{self, Context};
use super::report::Failure;
use super::{human, interrupt, output};
use crate::container::snapshot;
use crate::container::transfer::export::{self, ExportRequest, To};
use crate::container::transfer::import::{self, ImportRequest};
use crate::unpack::Compression;

/// Stands for standard input or output.
pub(super) const STREAM: &str = "-";

pub(super) fn export(context: &Context, args: &Export) -> Result<ExitCode, Failure> {
    let mut words = args.words.iter();
    let word = args.name_option.as_ref().or_else(|| words.next()).map_or("", String::as_str);
    let file = words.next().filter(|word| *word != STREAM).map(PathBuf::from);
    if let Some(word) = words.next() {
        return Err(Failure::new(format!("{word:?} is one word too many"))
            .hint("name the container and the file, and nothing else")
            .code(2));
    }
    let (name, snapshot) = match word.split_once('@') {
        Some((name, snapshot)) => (name, Some(snapshot::parse_name(snapshot)?)),
        None => (word, None),
    };
    let request = ExportRequest {
        name: context::parse_name(name)?,
        snapshot,
        snapshots: !args.no_snapshots,
        compression: compression(args.compression, file.as_deref()),
    };
    if file.is_none() {
        check_stream(args.json, "wxc export", word)?;
    }
    let host = context.host()?;
    interrupt::listen();
    let out = stdout();
    let to = match &file {
        Some(path) => To::File { path, replace: args.force },
        None => To::Stream(out.as_fd()),
    };
    let exported = export::export(&host, &request, to)?;
    // The bar goes away before the words come.
    drop(host);
    for note in &exported.notes {
        context.out.say(format_args!("note: {}", output::plain(note)));
    }
    if args.json {
        context.out.json(&exported);
        return Ok(ExitCode::SUCCESS);
    }
    let snapshots = match exported.snapshots.len() {
        0 => String::new(),
        1 => " with 1 snapshot".into(),
        n => format!(" with {n} snapshots"),
    };
    let size = exported.bytes.map_or_else(String::new, |bytes| format!(" ({})", human::bytes(bytes)));
    let file = file.map_or("standard output".into(), |file| file.display().to_string());
    context.out.say(format_args!("exported {word}{snapshots} to {}{size}", output::plain(&file)));
    Ok(ExitCode::SUCCESS)
}

/// Refuses to fill a terminal, or to mix the export with words about it.
pub(super) fn check_stream(json: bool, verb: &str, word: &str) -> Result<(), Failure> {
    if stdout().is_terminal() {
        return Err(Failure::new("an export is not for a terminal to show")
            .hint(format!("name a file ({verb} {word} {word}.tar.zst), or hand it on: {verb} {word} | ..."))
            .code(2));
    }
    if json {
        return Err(Failure::new("standard output cannot take both the export and JSON about it")
            .hint(format!("name a file: {verb} {word} {word}.tar.zst --json"))
            .code(2));
    }
    Ok(())
}

pub(super) fn compression(asked: Option<Packing>, file: Option<&Path>) -> Compression {
    match asked {
        Some(Packing::None) => Compression::None,
        Some(Packing::Zstd) => Compression::Zstd,
        Some(Packing::Gzip) => Compression::Gzip,
        Some(Packing::Xz) => Compression::Xz,
        None => match file.and_then(Path::extension).and_then(|suffix| suffix.to_str()) {
            Some("tar") => Compression::None,
            Some("gz" | "tgz") => Compression::Gzip,
            Some("xz" | "txz") => Compression::Xz,
            _ => Compression::Zstd,
        },
    }
}

pub(super) fn import(context: &Context, args: &Import) -> Result<ExitCode, Failure> {
    let name = args.name.as_ref().or(args.name_option.as_ref());
    let request = ImportRequest {
        name: name.map(|word| context::parse_name(word)).transpose()?,
        storage: args.storage.clone(),
        storage_set: context::pairs(&args.storage_set)?,
        size: args.size.as_ref().map(|word| context::size(word)).transpose()?,
        set: context::pairs(&args.set)?,
        trust_config: args.trust_config,
        new_identity: args.new_identity,
        snapshots: !args.no_snapshots,
    };
    let path = args.file.as_deref().filter(|path| *path != Path::new(STREAM));
    if path.is_none() && stdin().is_terminal() {
        return Err(Failure::new("there is nothing to import on a terminal")
            .hint("name the file that wxc export wrote, or hand it on: ssh HOST wxc export NAME | wxc import")
            .code(2));
    }
    let host = context.host()?;
    interrupt::listen();
    let imported = match path {
        Some(path) => import::import(&host, &request, import::open(path)?.as_fd(), path)?,
        None => import::import(&host, &request, stdin().as_fd(), Path::new("standard input"))?,
    };
    drop(host);
    for note in &imported.notes {
        context.out.say(format_args!("note: {}", output::plain(note)));
    }
    if !imported.left_out.is_empty() {
        context.out.say(format_args!(
            "note: left out of the configuration, which comes from elsewhere: {}; look at them and set them \
             yourself, or import it with --trust-config",
            output::plain(&imported.left_out.join(", "))
        ));
    }
    if args.json {
        context.out.json(&imported);
        return Ok(ExitCode::SUCCESS);
    }
    let snapshots = match imported.snapshots.len() {
        0 => String::new(),
        1 => ", with 1 snapshot".into(),
        n => format!(", with {n} snapshots"),
    };
    context.out.say(format_args!(
        "imported {} (on {}{snapshots}) in {}",
        imported.name,
        imported.storage,
        imported.directory.display()
    ));
    context.out.say(format_args!("start it: wxc start {}", imported.name));
    Ok(ExitCode::SUCCESS)
}
