//! What a template makes of an image's metadata.

use super::Case;
use super::lab::Lab;
use crate::conformance::calls::{loud, survives};
use crate::conformance::report::{Step, must, same};
use crate::conformance::rules;
use crate::plugin::template::Template as _;
use crate::plugin::template::types::{Member, Moment};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "finish",
        claim: "finish says which files to render and which settings to write",
        rule: &rules::FINISH,
        run: finish,
    },
    Case { name: "finish-twice", claim: "finish says the same again", rule: &rules::FINISH_PURE, run: twice },
    Case {
        name: "finish-quiet",
        claim: "finish needs nothing but its arguments",
        rule: &rules::FINISH_PURE,
        run: quiet,
    },
    Case {
        name: "finish-moments",
        claim: "at later moments there are files or an error, and no crash",
        rule: &rules::AGAIN,
        run: moments,
    },
    Case {
        name: "finish-members",
        claim: "metadata that is missing, empty or garbage is no reason to crash",
        rule: &rules::ERROR,
        run: members,
    },
];

fn finish(lab: &Lab<'_>) -> Step {
    let (asked, _) = lab.asked()?;
    let manifest = lab.resolved(&asked)?;
    let members = lab.members(&asked, &manifest)?;
    let finished = asked.template.finish(Moment::Create, &asked.request, &manifest, &members);
    finished.map(drop).map_err(|error| lab.denied(error))
}

fn twice(lab: &Lab<'_>) -> Step {
    let (asked, _) = lab.asked()?;
    let manifest = lab.resolved(&asked)?;
    let members = lab.members(&asked, &manifest)?;
    let finish = || asked.template.finish(Moment::Create, &asked.request, &manifest, &members);
    let first = finish().map_err(|error| lab.denied(error))?;
    for _ in 0..2 {
        same(&finish()?, &first, "finish says something else when it is asked again")?;
    }
    Ok(())
}

fn quiet(lab: &Lab<'_>) -> Step {
    let (asked, calls) = lab.asked()?;
    let manifest = lab.resolved(&asked)?;
    let members = lab.members(&asked, &manifest)?;
    drop(calls.take());
    asked
        .template
        .finish(Moment::Create, &asked.request, &manifest, &members)
        .map_err(|error| lab.denied(error))?;
    let loud = loud(&calls, &[]);
    must(loud.is_empty(), "finish calls what it must not need", || format!("{loud:?}"))
}

fn moments(lab: &Lab<'_>) -> Step {
    let (asked, _) = lab.asked()?;
    let manifest = lab.resolved(&asked)?;
    let members = lab.members(&asked, &manifest)?;
    let later = [(Moment::Copy, "copy"), (Moment::Rename, "rename"), (Moment::Start, "start")];
    for (moment, word) in later {
        let finished = asked.template.finish(moment, &asked.request, &manifest, &members);
        survives(finished, &format!("the moment `{word}`"))?;
    }
    Ok(())
}

fn members(lab: &Lab<'_>) -> Step {
    let (asked, _) = lab.asked()?;
    let manifest = lab.resolved(&asked)?;
    let good = lab.members(&asked, &manifest)?;
    let with = |content: &[u8]| -> Vec<Member> {
        good.iter().map(|m| Member { name: m.name.clone(), content: content.to_vec() }).collect()
    };
    let garbage: Vec<u8> = (0..=255).rev().cycle().take(8192).collect();
    let foreign = vec![Member { name: "nobody/asked/for.this".into(), content: b"x".to_vec() }];
    for (what, members) in [
        ("no members", vec![]),
        ("empty members", with(b"")),
        ("members of garbage", with(&garbage)),
        ("members of brackets", with(b"{[{[\"")),
        ("a member that it did not ask for", foreign),
    ] {
        let finished = asked.template.finish(Moment::Create, &asked.request, &manifest, &members);
        survives(finished, what)?;
    }
    Ok(())
}
