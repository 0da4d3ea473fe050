#![forbid(unsafe_code)]
//! `wxc plugin`.

use std::process::ExitCode;

use super::args::Plugin;
use super::context::{self, Context};
use super::output::{Output, plain};
use super::report::Failure;
use super::table;
use crate::config::hooks::EXEC;
use crate::container::Error;
use crate::container::plugins::{kept_by, records};
use crate::plugin::admin::{About, Listed, Shown};
use crate::plugin::compare::Differences;
use crate::plugin::grants::Permission;
use crate::plugin::{Kind, PluginError, Plugins};

/// The permission to keep a log.
const RECORDS: &str = "records";

pub(super) fn plugin(context: &Context, command: Plugin) -> Result<ExitCode, Failure> {
    let plugins = context.plugins();
    match command {
        Plugin::List { json } => {
            list(context, &plugins.list(), context::settings()?.hooks.exec.enabled, json)
        }
        Plugin::Show { name, json } => {
            let mut shown = plugins.show(&name).map_err(failed)?;
            if shown.permissions.iter().any(|asked| asked.permission.subject() == RECORDS) {
                shown.records = Some(records(&context.host()?, &shown.name));
            }
            if json { context.out.json(&shown) } else { show(context, &shown) }
        }
        Plugin::Install { from, grant } => super::plugin_install::install(context, &plugins, &from, grant)?,
        Plugin::Upgrade(args) => super::plugin_install::upgrade(context, &plugins, &args)?,
        Plugin::Enable { name } => {
            let changed = plugins.set_disabled(&name, false).map_err(failed)?;
            context.out.say(format_args!("{name} is enabled{}", if changed { "" } else { " already" }));
        }
        Plugin::Disable { name, force } => {
            if !force {
                refuse_while_keeping(context, &plugins, &name)?;
            }
            let changed = plugins.set_disabled(&name, true).map_err(failed)?;
            context.out.say(format_args!("{name} is disabled{}", if changed { "" } else { " already" }));
        }
        Plugin::Grant { name, permissions } => granted(context, &plugins, &name, &parse(&permissions)?)?,
        Plugin::Revoke { name, permissions } => {
            plugins.revoke(&name, &parse(&permissions)?).map_err(failed)?;
            context.out.say(format_args!("revoked"));
        }
        Plugin::Remove { name, force } => {
            if !force {
                refuse_while_needed(context, &plugins, &name)?;
            }
            let path = plugins.remove(&name).map_err(failed)?;
            context.out.say(format_args!("removed {}", path.display()));
        }
        Plugin::New(args) => return super::plugin_new::new(context, &args),
        Plugin::Pack { built, manifest, output } => {
            let (out, shown) = plugins.pack(&built, &manifest, output.as_deref()).map_err(failed)?;
            let about = &shown.about;
            context.out.say(format_args!(
                "wrote {}: {} {}",
                out.display(),
                plain(&shown.name),
                plain(&about.version)
            ));
            for interface in &shown.not_offered {
                context
                    .out
                    .say(format_args!("it imports {}, which this wxc does not offer", plain(interface)));
            }
        }
        Plugin::Test(args) => return super::plugin_test::test(context, &plugins, args),
        Plugin::Replay(args) => return super::plugin_replay::replay(context, &plugins, &args),
    }
    Ok(ExitCode::SUCCESS)
}

/// Storage is where its containers are: they would be there, and nobody could open them. One that stands in for a
/// built-in leaves that one in its place.
fn refuse_while_needed(context: &Context, plugins: &Plugins, name: &str) -> Result<(), Failure> {
    let needed = plugins.show(name).is_ok_and(|s| s.about.kind == Kind::Storage && !s.replaces_built_in);
    if needed { refuse_if_it_keeps(context, name, "remove") } else { Ok(()) }
}

/// The same when nobody may load any plugin of this name.
fn refuse_while_keeping(context: &Context, plugins: &Plugins, name: &str) -> Result<(), Failure> {
    let needed = plugins.show(name).is_ok_and(|shown| shown.about.kind == Kind::Storage);
    if needed { refuse_if_it_keeps(context, name, "disable") } else { Ok(()) }
}

fn refuse_if_it_keeps(context: &Context, name: &str, verb: &str) -> Result<(), Failure> {
    let kept = kept_by(&context.host()?, name)?;
    if kept.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("plugin {name} keeps {}: without it they cannot be used", kept.join(", ")))
        .hint(format!("destroy them, or copy them to another storage (wxc copy NAME NEW -B dir), or {verb} it all the same with --force")))
}

pub(super) fn failed(error: PluginError) -> Failure {
    Failure::from(Error::Plugin(error))
}

fn parse(words: &[String]) -> Result<Vec<Permission>, Failure> {
    words
        .iter()
        .map(|word| {
            Permission::try_from(word.clone()).map_err(|error| {
                Failure::new(format!("{word:?} is not a permission: {error}"))
                    .hint("`wxc plugin show NAME` lists the permissions of a plugin")
            })
        })
        .collect()
}

pub(super) fn granted(
    context: &Context,
    plugins: &Plugins,
    name: &str,
    permissions: &[Permission],
) -> Result<(), Failure> {
    let given = plugins.grant(name, permissions).map_err(failed)?;
    for permission in given {
        context.out.say(format_args!("granted {permission}: {}", plain(&permission.explain())));
    }
    Ok(())
}

/// Programs of the host are no plugin; they stand in the list because they do what hooks do, and nothing confines them.
fn list(context: &Context, plugins: &[Listed], programs: bool, json: bool) {
    if json {
        let exec = serde_json::json!({ "name": EXEC, "place": "wxc.toml", "unconfined": true });
        let rows: Vec<serde_json::Value> = plugins
            .iter()
            .map(|listed| match &listed.about {
                Ok(about) => serde_json::json!({ "name": listed.name, "place": listed.place, "path": listed.path, "about": about }),
                Err(error) => serde_json::json!({ "name": listed.name, "place": listed.place, "problem": error.to_string() }),
            })
            .chain(programs.then_some(exec))
            .collect();
        context.out.json(&rows);
        return;
    }
    let exec =
        [EXEC, "hook", "", "granted", "wxc.toml", "UNCONFINED: programs of the host at LXC's hook points"];
    let rows: Vec<Vec<String>> = plugins
        .iter()
        .map(|listed| {
            let place =
                listed.path.as_ref().map_or_else(|| "built in".into(), |path| path.display().to_string());
            let mut row = vec![listed.name.clone()];
            match &listed.about {
                Ok(about) => row.extend([
                    about.kind.to_string(),
                    plain(&about.version),
                    state(about).to_owned(),
                    place,
                    plain(&about.description),
                ]),
                Err(error) => {
                    row.extend(["?".into(), "?".into(), "unusable".into(), place, plain(&error.to_string())])
                }
            }
            row
        })
        .chain(programs.then(|| exec.map(str::to_owned).to_vec()))
        .collect();
    context.out.line(table::columns(&["NAME", "KIND", "VERSION", "STATE", "FROM", "DESCRIPTION"], &rows));
}

/// Whether it can be used, in a word.
fn state(about: &About) -> &'static str {
    match (about.disabled, about.granted) {
        (true, _) => "disabled",
        (false, true) => "granted",
        (false, false) => "not granted",
    }
}

/// One screen: what it is, what it can do, everything it can ever touch.
fn show(context: &Context, shown: &Shown) {
    let out = context.out;
    let about = &shown.about;
    out.line(format_args!("{} {} ({} plugin)", shown.name, plain(&about.version), about.kind));
    out.line(format_args!("  {}", plain(&about.description)));
    let place =
        shown.path.as_ref().map_or_else(|| "built into wxc".into(), |path| path.display().to_string());
    let replaces = if shown.replaces_built_in { ", in place of the one that is built in" } else { "" };
    out.line(format_args!("from:      {place}{replaces}"));
    out.line(format_args!("digest:    {}", about.digest));
    if let Some(source) = &about.source {
        out.line(format_args!("origin:    {} ({})", plain(&source.origin), plain(&source.installed)));
        let vouched = source.vouched.as_ref().map_or_else(|| "nobody".to_owned(), ToString::to_string);
        out.line(format_args!("vouched:   {}", plain(&vouched)));
    }
    if about.disabled {
        out.line(format_args!(
            "state:     disabled; nobody loads it until: wxc plugin enable {}",
            shown.name
        ));
    }
    if !shown.authors.is_empty() {
        out.line(format_args!("authors:   {}", plain(&shown.authors.join(", "))));
    }
    if let Some(license) = &shown.license {
        out.line(format_args!("license:   {}", plain(license)));
    }
    out.line("can (exports):");
    for ability in &shown.abilities {
        out.line(format_args!("  {}: {}", ability.interface, ability.words));
    }
    out.line("may touch (imports and manifest):");
    if shown.permissions.is_empty() {
        out.line("  nothing: it computes answers from what it is given");
    }
    for permission in &shown.permissions {
        let state = if permission.granted { "granted" } else { "NOT granted" };
        out.line(format_args!("  {}: {} [{state}]", permission.permission, plain(&permission.words)));
        if let Some(reason) = &permission.reason {
            out.line(format_args!("    reason: {}", plain(reason)));
        }
    }
    if let Some(records) = &shown.records {
        out.line(format_args!("records:   {}", records.display()));
    }
    for setting in &shown.settings {
        let default =
            setting.default.as_ref().map(|d| format!(" [default: {}]", plain(d))).unwrap_or_default();
        out.line(format_args!("setting {}: {}{default}", setting.key, plain(&setting.doc)));
    }
    if let Some(differences) = &shown.differences {
        different(out, "against the one that is here", differences);
    }
}

/// What another version has that this one has not, and the other way round.
pub(super) fn different(out: Output, what: &str, differences: &Differences) {
    let Differences { from, to, same_file, lines, .. } = differences;
    if *same_file {
        out.line(format_args!("{what}: it is the same file"));
        return;
    }
    out.line(format_args!("{what}: {} to {}", plain(from), plain(to)));
    for line in lines {
        out.line(format_args!("  {}", plain(line)));
    }
    if lines.is_empty() {
        out.line("  it can do the same, and asks for the same");
    }
}

pub(super) fn permissions(context: &Context, shown: &Shown) {
    for permission in shown.permissions.iter().filter(|permission| !permission.granted) {
        context.out.say(format_args!("it asks for {}: {}", permission.permission, plain(&permission.words)));
    }
}
