#![forbid(unsafe_code)]
//! `scan` is the truth: all of it, in order, and nothing else.

use std::fs;
use std::os::unix::fs::symlink;

use super::{Case, Need, Run};
use crate::conformance::lab::{Lab, unchanged};
use crate::conformance::report::{Step, Stop, fault, here, must, same};
use crate::conformance::rules;
use crate::plugin::storage::{Access, Phase, Storage as _};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "scan-empty",
        needs: Need::Core,
        claim: "an empty pool has no volumes",
        rule: &rules::SCAN,
        run: Run::Once(scan_empty),
    },
    Case {
        name: "scan-all",
        needs: Need::Core,
        claim: "scan lists every volume with its phase",
        rule: &rules::SCAN,
        run: Run::Once(scan_all),
    },
    Case {
        name: "scan-sorted",
        needs: Need::Core,
        claim: "scan sorts by the bytes of the ids",
        rule: &rules::SCAN_SORTED,
        run: Run::Once(scan_sorted),
    },
    Case {
        name: "scan-pages",
        needs: Need::Core,
        claim: "pages of every length from every place make up the whole",
        rule: &rules::SCAN_SORTED,
        run: Run::Once(scan_pages),
    },
    Case {
        name: "scan-pure",
        needs: Need::Core,
        claim: "scan changes nothing",
        rule: &rules::SCAN,
        run: Run::Once(scan_pure),
    },
    Case {
        name: "scan-strangers",
        needs: Need::Core,
        claim: "what is in the pool and no volume is not listed and not touched",
        rule: &rules::HIDDEN,
        run: Run::Once(scan_strangers),
    },
    Case {
        name: "scan-lxc",
        needs: Need::Core,
        claim: "the plain root of a container of LXC's is a writable volume",
        rule: &rules::SCAN,
        run: Run::Once(scan_lxc),
    },
];

fn scan_empty(lab: &Lab<'_>) -> Step {
    same(&lab.ids()?, &Vec::new(), "scan of an empty pool lists something")?;
    // The directory of a container that has no volume yet.
    lab.home("web")?;
    lab.home("web@before")?;
    same(&lab.ids()?, &Vec::new(), "an empty directory is listed as a volume")
}

fn scan_all(lab: &Lab<'_>) -> Step {
    for id in ["web", "db@s0", ".images@0a1b"] {
        lab.sealed(id, id)?;
    }
    for id in ["db", "web.2", "W"] {
        lab.create(id)?;
    }
    let seen: Vec<(String, Phase)> = lab.scan()?.into_iter().map(|v| (v.id, v.phase)).collect();
    let volume = |id: &str, phase| (id.to_owned(), phase);
    let wanted = [
        volume(".images@0a1b", Phase::Sealed),
        volume("W", Phase::Writable),
        volume("db", Phase::Writable),
        volume("db@s0", Phase::Sealed),
        volume("web", Phase::Sealed),
        volume("web.2", Phase::Writable),
    ];
    let known = |volume: &(String, Phase)| seen.contains(volume);
    let missing: Vec<_> = wanted.iter().filter(|volume| !known(volume)).collect();
    must(missing.is_empty(), "scan does not list what is there", || {
        format!("{missing:?} is not in {seen:?}")
    })?;
    same(&seen, &wanted.to_vec(), "scan lists what is not there")
}

/// Ids whose order by bytes is not the one of any dictionary, directory or tree: `-` and `.` come before `@`, that before letters.
const ODD: [&str; 8] = ["A", "Z", "a", "a-b", "a.b", "a0", "b", "B"];

fn scan_sorted(lab: &Lab<'_>) -> Step {
    let mut wanted: Vec<String> = ODD.map(str::to_owned).to_vec();
    for id in ["a@z", "a@b", "a-b@s", ".images@00", ".images@ff", "a.b@s"] {
        wanted.push(id.to_owned());
    }
    for id in &wanted {
        lab.create(id)?;
    }
    wanted.sort();
    same(&lab.ids()?, &wanted, "scan lists the volumes in another order, or not all of them")
}

fn scan_pages(lab: &Lab<'_>) -> Step {
    let mut all: Vec<String> = ["a", "a@s", "b", "b.c", "c", ".images@0"].map(str::to_owned).to_vec();
    for id in &all {
        lab.create(id)?;
    }
    all.sort();
    // From the beginning, after each volume, and after names that are not there.
    let absent = [".images@00", "a-", "a@a", "bb", "zz"].map(str::to_owned);
    let starts = std::iter::once(None).chain(all.iter().map(Some)).chain(absent.iter().map(Some));
    for after in starts {
        let rest: Vec<&String> = all.iter().filter(|id| after.is_none_or(|after| *id > after)).collect();
        for limit in 1..=all.len() + 1 {
            let page =
                lab.storage.scan(after.map(String::as_str), u32::try_from(limit).unwrap_or(u32::MAX))?;
            let seen: Vec<&String> = page.iter().map(|volume| &volume.id).collect();
            let wanted = &rest[..rest.len().min(limit)];
            let place = after.map_or("the beginning", String::as_str);
            must(seen == wanted, "a page of scan has not what comes next", || {
                format!("{limit} after {place}: {seen:?} where {wanted:?} was expected")
            })
            .map_err(|stop| {
                if seen.len() < wanted.len() { stop.breaking(&rules::SCAN_LAST) } else { stop }
            })?;
        }
    }
    Ok(())
}

fn scan_pure(lab: &Lab<'_>) -> Step {
    lab.filled("web", "kept")?;
    lab.sealed(".images@0a1b", "kept")?;
    let before = lab.picture(&lab.pool)?;
    lab.scan()?;
    unchanged(&before, &lab.picture(&lab.pool)?, "scan changes the pool")
}

fn scan_strangers(lab: &Lab<'_>) -> Step {
    lab.create("web")?;
    let made = || -> std::io::Result<()> {
        let at = |path: &str| lab.pool.join(path);
        for directory in
            [".journal/web/rootfs", "half", "web/logs/rootfs", "lost+found/rootfs", ".images/.part/rootfs"]
        {
            fs::create_dir_all(at(directory))?;
        }
        for file in ["notes.txt", "rootfs", "web/container.toml", "web/lock", "half/config"] {
            fs::write(at(file), "not storage")?;
        }
        symlink("web", at("link"))?;
        symlink("/", at("half/rootfs-link"))?;
        fs::create_dir_all(at("loop"))?;
        symlink("../web/rootfs", at("loop/rootfs"))
    };
    made().map_err(here)?;
    let before = lab.picture(&lab.pool)?;
    same(&lab.ids()?, &vec!["web".to_owned()], "scan lists what is no volume")?;
    unchanged(&before, &lab.picture(&lab.pool)?, "scan changes what is not the backend's")
}

fn scan_lxc(lab: &Lab<'_>) -> Step {
    fs::create_dir_all(lab.pool.join("old/rootfs/etc")).map_err(here)?;
    fs::write(lab.pool.join("old/rootfs/words"), "old").map_err(here)?;
    let Some(volume) = lab.listed("old")? else {
        return Err(Stop::Skip("it does not take over plain directories".into()));
    };
    if volume.phase != Phase::Writable {
        return fault("a container that LXC made is not writable", format!("{volume:?}"));
    }
    lab.root("old", Access::ReadWrite)?;
    lab.holds("old", "old", "a container that LXC made shows other files")?;
    lab.remove("old")?;
    same(&lab.ids()?, &Vec::new(), "it is still listed after its removal")
}
