#![forbid(unsafe_code)]
//! `wxc doctor`.

use std::io::Write as _;
use std::process::ExitCode;

use serde::Serialize;

use super::args::Doctor;
use super::context::{self, Context};
use super::foreground;
use super::output;
use super::report::Failure;
use crate::container::doctor::{self, Finding};

/// One finding, and what became of it.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    finding: Finding,
    repaired: bool,
    /// Why a repair failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<String>,
}

#[derive(Serialize)]
struct All {
    path: std::path::PathBuf,
    findings: Vec<Shown>,
    busy: Vec<crate::config::Name>,
}

pub(super) fn doctor(context: &Context, args: &Doctor) -> Result<ExitCode, Failure> {
    let host = context.host()?;
    let word = args.name.as_ref().or(args.name_option.as_ref());
    let name = word.map(|word| context::parse_name(word)).transpose()?;
    let report = doctor::examine(&host, name.as_ref())?;
    let asking = !args.yes && !args.json && foreground::has_terminal();
    let treat = |finding: Finding| {
        let wanted = args.repair
            && match &finding.repair {
                None => false,
                Some(_) if args.yes => true,
                Some(what) if asking => agreed(&finding, what),
                // Nobody is there to say that it may go.
                Some(_) => !finding.removes_data(),
            };
        let result = if wanted { doctor::repair(&host, &finding) } else { Ok(()) };
        let failed = result.err().map(|error| crate::container::journal::chain(&error));
        Shown { repaired: wanted && failed.is_none(), finding, failed }
    };
    let findings: Vec<Shown> = report.findings.into_iter().map(treat).collect();
    let all = All { path: report.path, findings, busy: report.busy };
    if args.json {
        context.out.json(&all);
    } else {
        print(context, &all, args.repair);
    }
    let healthy = all.findings.iter().all(|shown| shown.repaired);
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Asks whether this is to be done.
fn agreed(finding: &Finding, what: &str) -> bool {
    let (at, explanation) = (finding.at.display().to_string(), &finding.explanation);
    let question = output::plain(&format!("{at}: {explanation}\n  {what}? [y/N] ")).to_string();
    let mut answer = String::new();
    let mut out = std::io::stderr();
    let asked = out.write_all(question.as_bytes()).and_then(|()| out.flush());
    let heard = asked.and_then(|()| std::io::stdin().read_line(&mut answer));
    heard.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

fn print(context: &Context, all: &All, repair: bool) {
    let line = |text: String| context.out.line(output::plain(&text));
    for Shown { finding, repaired, failed } in &all.findings {
        line(format!("{}: {}", finding.at.display(), finding.explanation));
        match (&finding.repair, failed) {
            (_, Some(why)) => line(format!("  could not be repaired: {why}")),
            (Some(what), None) if *repaired => line(format!("  repaired: {what}")),
            (Some(what), None) if finding.removes_data() => line(format!("  --repair --yes would: {what}")),
            (Some(what), None) => line(format!("  --repair would: {what}")),
            (None, None) => {}
        }
    }
    for name in &all.busy {
        context.out.say(format_args!("note: {name} was left out, another command works on it"));
    }
    if all.findings.is_empty() {
        context.out.say(format_args!("nothing is wrong in {}", all.path.display()));
    } else if !repair && all.findings.iter().any(|shown| shown.finding.repair.is_some()) {
        context.out.say("hint: wxc doctor --repair does what is said");
    }
}
