#![forbid(unsafe_code)]
//! `wxc console`.

use std::process::ExitCode;

use super::args::Console;
use super::context::{self, Context};
use super::foreground::has_terminal;
use super::report::Failure;
use crate::container::{Error, watch};
use crate::runtime::foreground;
use crate::runtime::terminal::Ending;

pub(super) fn console(context: &Context, args: &Console) -> Result<ExitCode, Failure> {
    let escape = escape(&args.escape)?;
    let host = context.host()?;
    let name = context::name(&args.target)?;
    let client = watch::connect(&host, &name)?;
    if args.show_log {
        context.out.raw(&client.console_log(false).map_err(Error::from)?);
        return Ok(ExitCode::SUCCESS);
    }
    if has_terminal() {
        let what = if args.tty == 0 { "the console".to_string() } else { format!("tty{}", args.tty) };
        let shown = args.escape.to_lowercase();
        context.out.say(format_args!("connected to {what} of {name}; {shown} and then q leaves"));
    }
    let ending = foreground::visit(&client, Some(args.tty), Some(escape)).map_err(Error::from)?;
    match ending {
        Ending::Escaped => context.out.say(format_args!("\r\nleft {name}, which goes on")),
        Ending::Ended => context.out.say(format_args!("\r\nthe console of {name} was closed")),
    }
    Ok(ExitCode::SUCCESS)
}

/// `^a`, or the character itself.
fn escape(word: &str) -> Result<u8, Failure> {
    let byte = match word.as_bytes() {
        [b'^', letter] if (0x40..0x80).contains(letter) => Some(letter.to_ascii_uppercase() & 0x1f),
        [byte] => Some(*byte),
        _ => None,
    };
    byte.ok_or_else(|| {
        Failure::new(format!("{word:?} is no escape character"))
            .hint("write it as ^a, or give a single character")
    })
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn control_characters_are_written_with_a_caret() {
        assert_eq!(escape("^a").unwrap(), 1);
        assert_eq!(escape("^]").unwrap(), 0x1d);
        assert_eq!(escape("x").unwrap(), b'x');
        assert!(escape("").is_err() && escape("^ab").is_err() && escape("^1").is_err());
    }
}
