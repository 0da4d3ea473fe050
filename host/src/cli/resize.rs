#![forbid(unsafe_code)]
//! `wxc resize`.

use std::process::ExitCode;

use super::args::Resize;
use super::context::{self, Context};
use super::report::Failure;
use super::{human, interrupt};
use crate::container::resize::{self, Wanted};

pub(super) fn resize(context: &Context, args: &Resize) -> Result<ExitCode, Failure> {
    let host = context.host()?;
    let name = context::parse_name(&args.name)?;
    let wanted = parse(&args.size)?;
    interrupt::listen();
    let resized = resize::resize(&host, &name, wanted)?;
    drop(host);
    if args.json {
        context.out.json(&resized);
        return Ok(ExitCode::SUCCESS);
    }
    let words = |limit: Option<u64>| limit.map_or_else(|| "as much as there is".into(), human::bytes);
    let (before, after) = (words(resized.before), words(resized.after));
    context.out.say(format_args!("{name} may take up {after} (it was {before})"));
    Ok(ExitCode::SUCCESS)
}

/// `20G`, `+5G`, or `none`.
fn parse(word: &str) -> Result<Wanted, Failure> {
    let size = |word: &str| {
        let hint = "20G is a size, +5G adds to the one there is, none lifts the limit";
        context::size(word).map_err(|failure| failure.hint(hint))
    };
    match (word, word.strip_prefix('+')) {
        ("none", _) => Ok(Wanted::Unlimited),
        (_, Some(more)) => size(more).map(Wanted::More),
        (_, None) => size(word).map(Wanted::Bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_absolute_added_or_none() {
        assert_eq!(parse("2G").ok(), Some(Wanted::Bytes(2 << 30)));
        assert_eq!(parse("+512M").ok(), Some(Wanted::More(512 << 20)));
        assert_eq!(parse("none").ok(), Some(Wanted::Unlimited));
        assert!(parse("large").is_err() && parse("+").is_err());
    }
}
