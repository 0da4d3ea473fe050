//! The cgroups of this machine, whatever its layout is.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::Duration,
};

use wxc::{
    config::{cgroup::Limits, ids::HostId},
    plan::{self, CgroupPlan, CgroupWrite},
    runtime::cgroup::{self, CgroupError, Cgroups},
};

const LONG: Duration = Duration::from_secs(5);

/// A plan with names that no other test and no container has.
fn plan_for(test: &str, limits: &str) -> (CgroupPlan, plan::facts::CgroupFacts) {
    let facts = cgroup::discover();
    let limits: Limits = toml_edit::de::from_str(limits).unwrap();
    let plan = CgroupPlan {
        layout: facts.layout,
        payload: format!("wxc-test.payload.{test}.{}", std::process::id()),
        monitor: format!("wxc-test.monitor.{test}.{}", std::process::id()),
        writes: plan::cgroup::writes(&limits, &facts).unwrap(),
        devices: vec![],
        delegate: true,
    };
    (plan, facts)
}

/// Cgroups that are gone when the test ends, however it ends.
struct Made(Cgroups);

impl Made {
    fn new(test: &str, limits: &str) -> Self {
        let (plan, facts) = plan_for(test, limits);
        let made = Self(Cgroups::create(&plan, &facts).unwrap());
        made.0.apply(&plan.writes).unwrap();
        made
    }

    fn payload(&self, controller: &str, file: &str) -> String {
        let path = self.0.place_of(controller).unwrap().payload.join(file);
        fs::read_to_string(path).unwrap().trim().to_owned()
    }

    fn v2(&self) -> Option<PathBuf> {
        self.0.unified().map(|place| place.payload.clone())
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let _killed = self.0.kill(LONG);
        let _removed = self.0.remove();
    }
}

/// A shell in the container's cgroups that waits until it is killed.
fn guest(cgroups: &Cgroups, script: &str) -> Child {
    let child = Command::new("sh")
        .args(["-c", &format!("read go; {script}")])
        .stdin(std::process::Stdio::piped())
        .spawn();
    let mut child = child.unwrap();
    cgroups.enter(child.id().cast_signed()).unwrap();
    // It starts its script when it is inside: at the end of its input.
    drop(child.stdin.take());
    child
}

fn root_and_cgroups(test: &str) -> bool {
    crate::root(test) && {
        let present = cgroup::discover().layout != plan::CgroupLayout::Absent;
        if !present {
            crate::say(&format!("skipped: {test} needs cgroups"));
        }
        present
    }
}

#[test]
fn limits_are_in_force_and_usage_is_counted() {
    if !root_and_cgroups("limits_are_in_force") {
        return;
    }
    let limits =
        "memory.max = '64M'\npids.max = 50\ncpu = { weight = 200, quota = '50ms' }\ncpuset.cpus = 0\n";
    let made = Made::new("limits", limits);
    let v2 = made.0.place_of("memory").unwrap().unified;
    let file = |v1: &'static str, unified: &'static str| if v2 { unified } else { v1 };
    assert_eq!(made.payload("memory", file("memory.limit_in_bytes", "memory.max")), "67108864");
    assert_eq!(made.payload("pids", "pids.max"), "50");
    assert_eq!(made.payload("cpuset", "cpuset.cpus"), "0");
    if !v2 {
        assert_eq!(made.payload("cpu", "cpu.shares"), "2048");
        assert_eq!(made.payload("cpu", "cpu.cfs_quota_us"), "50000");
    }
    let mut child = guest(&made.0, "while :; do :; done");
    std::thread::sleep(Duration::from_millis(300));
    let statistics = made.0.statistics();
    let memory = statistics.memory.unwrap();
    assert_eq!(memory.max, Some(64 << 20));
    assert!(statistics.tasks.unwrap() >= 1, "{statistics:?}");
    let cpu = statistics.cpu.unwrap();
    assert!(cpu > Duration::from_millis(20) && cpu < Duration::from_secs(2), "{statistics:?}");
    made.0.kill(LONG).unwrap();
    assert!(!child.wait().unwrap().success());
    made.0.remove().unwrap();
    assert!(made.0.places.iter().all(|place| !place.payload.exists()));
}

/// On this machine a controller that no v1 hierarchy took; elsewhere all of them.
#[test]
fn a_controller_of_the_v2_tree_is_enabled_down_to_the_container() {
    if !root_and_cgroups("a_controller_of_the_v2_tree") {
        return;
    }
    let facts = cgroup::discover();
    let has = |name: &String| facts.unified().is_some_and(|unified| unified.controllers.contains(name));
    let pages = Path::new("/sys/kernel/mm/hugepages/hugepages-2048kB").exists();
    if !pages || !has(&"hugetlb".to_owned()) {
        return crate::say("skipped: a_controller_of_the_v2_tree needs hugetlb in the v2 tree");
    }
    let made = Made::new("hugetlb", "hugetlb = { 2MB = '4M' }");
    assert_eq!(made.payload("hugetlb", "hugetlb.2MB.max"), "4194304");
}

#[test]
fn everything_is_frozen_thawed_and_killed() {
    if !root_and_cgroups("everything_is_frozen") {
        return;
    }
    let made = Made::new("freeze", "");
    let mut child = guest(&made.0, "sleep 100 & sleep 100 & wait");
    made.0.freeze(LONG).unwrap();
    if let Some(v2) = made.v2() {
        assert!(fs::read_to_string(v2.join("cgroup.events")).unwrap().contains("frozen 1"));
    }
    made.0.freeze(LONG).unwrap();
    made.0.thaw(LONG).unwrap();
    made.0.freeze(LONG).unwrap();
    // What is frozen can be killed, too.
    made.0.kill(LONG).unwrap();
    assert!(!child.wait().unwrap().success());
    made.0.kill(LONG).unwrap();
}

#[test]
fn v1_alone_can_freeze_and_kill() {
    if !root_and_cgroups("v1_alone") {
        return;
    }
    let (plan, mut facts) = plan_for("legacy", "");
    facts.hierarchies.retain(|hierarchy| !hierarchy.unified);
    if facts.hierarchies.is_empty() {
        return crate::say("skipped: v1_alone needs v1 hierarchies");
    }
    let made = Made(Cgroups::create(&plan, &facts).unwrap());
    let mut child = guest(&made.0, "sleep 100 & sleep 100 & wait");
    made.0.freeze(LONG).unwrap();
    assert_eq!(made.payload("freezer", "freezer.state"), "FROZEN");
    made.0.kill(LONG).unwrap();
    assert!(!child.wait().unwrap().success());
    assert!(made.0.statistics().cpu.is_some());
    made.0.remove().unwrap();
}

#[test]
fn the_guest_gets_its_part_and_no_limit_file() {
    if !root_and_cgroups("the_guest_gets_its_part") {
        return;
    }
    let made = Made::new("delegate", "");
    let Some(v2) = made.v2() else { return crate::say("skipped: delegation needs a v2 tree") };
    made.0.delegate(HostId(123_456), HostId(123_457)).unwrap();
    let owner = |file: &str| fs::metadata(v2.join(file)).unwrap().uid();
    for file in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
        assert_eq!(owner(file), 123_456, "{file}");
    }
    for file in ["cgroup.max.depth", "cgroup.max.descendants", "cgroup.freeze", "cgroup.kill"] {
        assert_eq!(owner(file), 0, "{file}");
    }
    // The guest makes cgroups of its own, and puts itself into one.
    fs::create_dir_all(v2.join("init.scope/a b/\u{e9}")).unwrap();
    let mut child = guest(&made.0, "sleep 100");
    fs::write(v2.join("init.scope/a b/cgroup.procs"), child.id().to_string()).unwrap();
    assert!(matches!(made.0.remove(), Err(CgroupError::Remove { .. })), "a process is left");
    made.0.kill(LONG).unwrap();
    child.wait().unwrap();
    made.0.remove().unwrap();
    assert!(!v2.exists());
    let deep = v2.join("x/".repeat(70));
    fs::create_dir(&v2).unwrap();
    made.0.delegate(HostId(123_456), HostId(123_457)).unwrap();
    assert!(fs::create_dir_all(deep).is_err(), "the depth is bounded");
    made.0.remove().unwrap();
}

#[test]
fn a_second_container_of_the_name_gets_a_number() {
    if !root_and_cgroups("a_second_container") {
        return;
    }
    let first = Made::new("twice", "");
    let second = Made::new("twice", "");
    for (first, second) in first.0.places.iter().zip(&second.0.places) {
        assert_eq!(second.payload.to_str().unwrap(), format!("{}-1", first.payload.display()));
    }
    // Nothing was left of the attempt with the name that was taken.
    let json = serde_json::to_string(&first.0).unwrap();
    assert_eq!(serde_json::from_str::<Cgroups>(&json).unwrap(), first.0, "what the state file holds");
}

#[test]
fn a_refused_limit_names_key_file_and_value() {
    if !root_and_cgroups("a_refused_limit") {
        return;
    }
    let made = Made::new("refused", "");
    let write = |controller: &str, file: &str, value: &str| {
        let key = "cgroup.some.key".to_owned();
        let write =
            CgroupWrite { controller: controller.into(), file: file.into(), value: value.into(), key };
        made.0.apply(&[write]).unwrap_err()
    };
    let refused = write("pids", "pids.max", "many");
    assert!(matches!(refused, CgroupError::Limit { .. }));
    let text = refused.to_string();
    assert!(text.starts_with("cgroup.some.key: the kernel does not take \"many\" for /"), "{text}");
    assert!(text.contains("pids.max: Invalid argument"), "{text}");
    assert!(matches!(write("pids", "pids.maximum", "1"), CgroupError::NoFile { .. }));
    let absent = write("rdma-of-2050", "rdma.max", "1");
    assert!(matches!(absent, CgroupError::NoController { .. }) && absent.hint().is_some());
}

#[test]
fn a_child_is_born_in_the_v1_cgroups_and_its_parent_comes_back() {
    if !root_and_cgroups("a_child_is_born") {
        return;
    }
    let made = Made::new("born", "");
    let own = || fs::read_to_string("/proc/thread-self/cgroup").unwrap();
    let before = own();
    let mut child = made.0.spawn_inside(|_v2| Command::new("sleep").arg("100").spawn().unwrap()).unwrap();
    assert_eq!(own(), before);
    for place in made.0.places.iter().filter(|place| !place.unified) {
        let tasks = fs::read_to_string(place.payload.join("cgroup.procs")).unwrap();
        assert_eq!(tasks.trim(), child.id().to_string(), "{}", place.payload.display());
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn what_enters_a_guest_with_controllers_gets_a_leaf() {
    if !root_and_cgroups("what_enters_a_guest") {
        return;
    }
    let facts = cgroup::discover();
    if !facts.unified().is_some_and(|unified| unified.controllers.contains(&"hugetlb".to_owned())) {
        return crate::say("skipped: what_enters_a_guest needs hugetlb in the v2 tree");
    }
    let made = Made::new("leaf", "hugetlb = { 2MB = '4M' }");
    let v2 = made.v2().unwrap();
    made.0.delegate(HostId(123_456), HostId(123_456)).unwrap();
    // What systemd does with the tree that it was given.
    fs::write(v2.join("cgroup.subtree_control"), "+hugetlb").unwrap();
    for _twice in 0..2 {
        let child = guest(&made.0, "sleep 100").id().to_string();
        let attached = fs::read_to_string(v2.join("wxc.attached/cgroup.procs")).unwrap();
        assert!(attached.lines().any(|pid| pid == child));
    }
    assert_eq!(fs::metadata(v2.join("wxc.attached")).unwrap().uid(), 123_456);
}

#[test]
fn a_monitor_that_has_to_leave_its_cgroup_gets_one() {
    if !root_and_cgroups("a_monitor_that_has_to_leave") {
        return;
    }
    let (plan, mut facts) = plan_for("monitor", "");
    for hierarchy in &mut facts.hierarchies {
        hierarchy.caller_elsewhere = true;
    }
    let made = Made(Cgroups::create(&plan, &facts).unwrap());
    let monitors: Vec<&PathBuf> = made.0.places.iter().filter_map(|place| place.monitor.as_ref()).collect();
    assert!(!monitors.is_empty());
    let mut child = Command::new("sleep").arg("100").spawn().unwrap();
    for monitor in &monitors {
        fs::write(monitor.join("cgroup.procs"), child.id().to_string()).unwrap();
    }
    assert!(made.0.remove().is_err(), "a monitor lives in it");
    child.kill().unwrap();
    child.wait().unwrap();
    made.0.remove().unwrap();
    assert!(monitors.iter().all(|path| !path.exists()));
}

/// Set for the part of the next test that runs in a process of its own.
const INSIDE: &str = "WXC_TEST_INSIDE_A_DELEGATED_CGROUP";

/// As below `systemd-run --scope -p Delegate=yes`: the caller's own cgroup is not the root, so it
/// may not hold processes when its children have limits.
#[test]
fn in_a_delegated_cgroup_the_monitor_makes_room_for_controllers() {
    if std::env::var_os(INSIDE).is_some() {
        return make_room();
    }
    if !root_and_cgroups("in_a_delegated_cgroup") {
        return;
    }
    let facts = cgroup::discover();
    let Some(unified) = facts.unified().filter(|unified| unified.controllers.contains(&"hugetlb".to_owned()))
    else {
        return crate::say("skipped: in_a_delegated_cgroup needs hugetlb in the v2 tree");
    };
    let base = unified.directory().join(format!("wxc-test.base.{}", std::process::id()));
    fs::create_dir(&base).unwrap();
    let test = "cgroups::in_a_delegated_cgroup_the_monitor_makes_room_for_controllers";
    let mut child = Command::new("sh")
        .args(["-c", "read go; exec \"$0\" --exact \"$1\" --nocapture < /dev/null"])
        .arg(std::env::current_exe().unwrap())
        .arg(test)
        .env(INSIDE, "1")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    fs::write(base.join("cgroup.procs"), child.id().to_string()).unwrap();
    drop(child.stdin.take());
    let status = child.wait().unwrap();
    let left: Vec<_> = fs::read_dir(&base).unwrap().flatten().filter(|e| e.path().is_dir()).collect();
    let names: Vec<_> = left.iter().map(fs::DirEntry::file_name).collect();
    for entry in left {
        fs::remove_dir(entry.path()).unwrap();
    }
    fs::remove_dir(&base).unwrap();
    assert!(status.success());
    assert_eq!(names, ["wxc.leaving"], "nothing else is left, and that once for all containers");
}

fn make_room() {
    let unified = |facts: &plan::facts::CgroupFacts| facts.unified().unwrap().clone();
    let (plan, facts) = plan_for("room", "hugetlb = { 2MB = '4M' }");
    let base = unified(&facts).directory();
    assert!(base.ends_with(unified(&facts).own) && base.join("cgroup.type").exists(), "not the root");

    let mut neighbour = Command::new("sleep").arg("100").spawn().unwrap();
    let error = Cgroups::create(&plan, &facts).unwrap_err();
    assert!(
        matches!(error, CgroupError::Prepare { .. }) && error.hint().unwrap().contains("Delegate=yes"),
        "{error}"
    );
    neighbour.kill().unwrap();
    neighbour.wait().unwrap();

    let cgroups = Cgroups::create(&plan, &facts).unwrap();
    cgroups.apply(&plan.writes).unwrap();
    let place = cgroups.unified().unwrap().clone();
    assert!(place.controllers.contains(&"hugetlb".to_owned()));
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    assert!(own.lines().any(|line| line.starts_with("0::") && line.contains(&plan.monitor)), "{own}");
    cgroups.remove().unwrap();
    assert!(!place.payload.exists() && !place.monitor.unwrap().exists());
}
