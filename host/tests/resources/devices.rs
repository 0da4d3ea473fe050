//! Device rules against the kernel, as a process inside would feel them.

use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use wxc::{
    plan::{self, CgroupPlan, DeviceRule, devices::parse},
    runtime::{
        cgroup::{self, Cgroups},
        devices,
    },
};

struct Made(Cgroups);

impl Drop for Made {
    fn drop(&mut self) {
        let _killed = self.0.kill(Duration::from_secs(5));
        let _removed = self.0.remove();
    }
}

fn make(test: &str, unified: bool, rules: &[DeviceRule]) -> Option<Made> {
    let mut facts = cgroup::discover();
    facts.hierarchies.retain(|hierarchy| hierarchy.unified == unified);
    let plan = CgroupPlan {
        layout: facts.layout,
        payload: format!("wxc-test.payload.{test}.{}", std::process::id()),
        monitor: format!("wxc-test.monitor.{test}.{}", std::process::id()),
        writes: vec![],
        devices: rules.to_vec(),
        delegate: false,
    };
    let possible = facts
        .hierarchies
        .iter()
        .any(|h| h.writable && (unified || h.controllers.contains(&"devices".into())));
    (facts.layout != plan::CgroupLayout::Absent && possible)
        .then(|| Made(Cgroups::create(&plan, &facts).unwrap()))
}

/// Which of these shell commands succeed in the cgroup?
fn attempts(made: &Made, commands: &[&str]) -> Vec<bool> {
    let run = |command: &&str| {
        let mut child = Command::new("sh")
            .args(["-c", &format!("read go; {command}")])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        made.0.enter(child.id().cast_signed()).unwrap();
        drop(child.stdin.take());
        child.wait().unwrap().success()
    };
    commands.iter().map(run).collect()
}

fn rules_are_felt(test: &str, unified: bool) {
    if !crate::root(test) {
        return;
    }
    let rules: Vec<DeviceRule> = [("a", false), ("c *:* m", true), ("c 1:3 rwm", true), ("c 1:5 r", true)]
        .iter()
        .map(|(text, allow)| parse(text, *allow).unwrap())
        .collect();
    let Some(made) = make(test, unified, &rules) else {
        return crate::say(&format!("skipped: {test} needs a device controller of this generation"));
    };
    match devices::apply(&made.0, &rules) {
        Err(error @ devices::DeviceError::Program { .. }) if unified => {
            return crate::say(&format!("skipped: {test}: {error}"));
        }
        result => result.unwrap(),
    }
    let directory = tempfile::tempdir().unwrap();
    let node = directory.path().join("node");
    let mknod = format!("mknod {} c 1 11", node.display());
    let block = format!("mknod {} b 7 99", directory.path().join("block").display());
    let felt = attempts(
        &made,
        &[
            "echo > /dev/null",
            "head -c 1 < /dev/zero",
            "echo > /dev/zero",
            "head -c 1 < /dev/urandom",
            &mknod,
            &block,
        ],
    );
    assert_eq!(felt, [true, true, false, false, true, false]);
    assert!(fs::symlink_metadata(&node).is_ok());
}

#[test]
fn rules_on_the_v2_tree() {
    rules_are_felt("devices-v2", true);
}

#[test]
fn rules_on_v1() {
    rules_are_felt("devices-v1", false);
}

#[test]
fn the_verifier_takes_every_shape_of_rule() {
    if !crate::root("the_verifier_takes_every_shape") {
        return;
    }
    let texts = ["a *:* r", "b 8:* w", "c *:3 m", "c 1:3 rw", "b 8:1 rwm", "a 5:1 rm", "c 1048575:1048575 r"];
    let rules: Vec<DeviceRule> =
        texts.iter().flat_map(|text| [true, false].map(|allow| parse(text, allow).unwrap())).collect();
    let Some(made) = make("verifier", true, &rules) else {
        return crate::say("skipped: the_verifier_takes_every_shape needs a v2 tree");
    };
    for end in 1..=rules.len() {
        match devices::apply(&made.0, &rules[..end]) {
            Err(error @ devices::DeviceError::Program { .. }) if end == 1 => {
                return crate::say(&format!("skipped: no such programs on this kernel: {error}"));
            }
            result => result.unwrap(),
        }
    }
}
