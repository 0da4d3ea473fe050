#![forbid(unsafe_code)]
//! `wxc plugin install` and `upgrade`.

use super::args::{PluginFrom, PluginUpgrade, PluginVouching};
use super::context::Context;
use super::output::plain;
use super::plugin::{different, failed, granted, permissions};
use super::report::Failure;
use crate::container::arrival::{self, Wanted};
use crate::plugin::Plugins;
use crate::plugin::book::{Source, Vouched};
use crate::plugin::install::{Parcel, Upgrade, Upgraded};

pub(super) fn install(
    context: &Context,
    plugins: &Plugins,
    from: &PluginFrom,
    grant: bool,
) -> Result<(), Failure> {
    let parcel = parcel(context, &wanted(&from.from, &from.vouching))?;
    let shown = plugins.bring(&parcel).map_err(failed)?;
    context.out.say(format_args!("installed {} {}", plain(&shown.name), plain(&shown.about.version)));
    if let Some(vouched) = &parcel.vouched {
        context.out.say(format_args!("vouched for by {}", plain(&vouched.to_string())));
    }
    if grant {
        return granted(context, plugins, &shown.name, &[]);
    }
    if !shown.about.granted {
        permissions(context, &shown);
        context.out.say(format_args!("it can be used after: wxc plugin grant {}", shown.name));
    }
    Ok(())
}

pub(super) fn upgrade(context: &Context, plugins: &Plugins, args: &PluginUpgrade) -> Result<(), Failure> {
    let name = &args.name;
    let upgraded = if args.back {
        plugins.back(name).map_err(failed)?
    } else {
        let source = plugins.source_of(name).map_err(failed)?;
        let parcel = parcel(context, &other(args, source.as_ref())?)?;
        let how = Upgrade {
            grant: args.grant,
            allow_downgrade: args.allow_downgrade,
            new_keys: args.vouching.key.is_some(),
        };
        plugins.upgrade(name, &parcel, how).map_err(failed)?
    };
    if args.json {
        context.out.json(&upgraded);
    } else {
        told(context, name, &upgraded);
    }
    Ok(())
}

fn told(context: &Context, name: &str, upgraded: &Upgraded) {
    let differences = &upgraded.differences;
    different(context.out, name, differences);
    if !differences.same_file {
        context.out.say(format_args!(
            "upgraded {name} from {} to {}",
            plain(&differences.from),
            plain(&differences.to)
        ));
    }
    for permission in &upgraded.missing {
        context.out.say(format_args!("not granted: {permission}: {}", plain(&permission.explain())));
    }
    if !upgraded.missing.is_empty() {
        context.out.say(format_args!(
            "it can be used after: wxc plugin grant {name}; or go back: wxc plugin upgrade --back {name}"
        ));
    }
}

/// What is wanted of an upgrade: where nothing is said, the same as when it was installed.
fn other(args: &PluginUpgrade, source: Option<&Source>) -> Result<Wanted, Failure> {
    if let Some(from) = &args.from {
        return Ok(wanted(from, &args.vouching));
    }
    let Some(source) = source.filter(|source| arrival::is_address(&source.origin)) else {
        let why = source.map_or_else(
            || format!("it is not known where {} came from", args.name),
            |file| {
                format!("{} came from the file {}, and files are not looked at again", args.name, file.origin)
            },
        );
        return Err(Failure::new(why)
            .hint(format!("name a file or an address: wxc plugin upgrade {} FILE", args.name)));
    };
    let mut wanted = wanted(&source.origin, &args.vouching);
    if let (None, None, Some(Vouched::Signature { keys, signature, .. })) =
        (&wanted.digest, &wanted.signature, &source.vouched)
    {
        wanted.signature = Some(signature.clone());
        wanted.keys = wanted.keys.or_else(|| Some(keys.clone()));
    }
    Ok(wanted)
}

fn wanted(from: &str, vouching: &PluginVouching) -> Wanted {
    Wanted {
        from: from.to_owned(),
        digest: vouching.digest.clone(),
        signature: vouching.signature.clone(),
        keys: vouching.key.clone(),
    }
}

fn parcel(context: &Context, wanted: &Wanted) -> Result<Parcel, Failure> {
    super::interrupt::listen();
    Ok(arrival::get(&context.host()?, wanted)?)
}
