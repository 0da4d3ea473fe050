//! Programs of the host as hooks, as LXC runs them.

use std::fs;
use std::path::Path;

use wxc_tests::{Env, needs, until};

#[test]
fn programs_of_the_host_run_as_with_lxc_where_the_administrator_allows_it() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("web", &[]);
    let out = env.file("out");
    let program = env.file("hook.sh");
    let script = "#!/bin/sh\necho \"$# $* type=$LXC_HOOK_TYPE name=$LXC_NAME pid=${LXC_PID:+yes} target=$LXC_TARGET secret=$SECRET\" >> \"$1\"\necho said\necho complained >&2\n";
    fs::write(&program, script).unwrap();
    let line = format!("[\"sh {} {}\"]", program.display(), out.display());
    for point in ["pre-start", "start-host", "stop", "post-stop"] {
        env.wxc(["config", "set", "web", &format!("hooks.exec.{point}"), &line]).ok();
    }
    let said = env.wxc(["start", "web"]).fails(1);
    assert!(said.contains("administrator does not allow") && said.contains("wxc.toml"), "{said}");
    assert!(!out.exists());

    env.configure("[hooks.exec]\nenabled = true\n");
    let plan = env.wxc(["start", "web", "--plan"]).ok();
    assert!(plan.contains("(unconfined)") && !out.exists(), "{plan}");
    assert!(env.wxc(["info", "web"]).ok().contains("exec (unconfined)"));
    assert!(env.wxc(["plugin", "list"]).ok().contains("UNCONFINED"));
    env.wxc(["start", "web"]).env("SECRET", "x").ok();
    env.wxc(["stop", "-k", "web"]).ok();
    let file = out.display().to_string();
    // The namespaces that it gets at `stop` are other ones each time.
    let plain = |line: &str| {
        let words = line.split(' ').filter(|word| !word.contains(":/proc/"));
        words.collect::<Vec<_>>().join(" ").replace(&file, "FILE")
    };
    let lines: Vec<String> = fs::read_to_string(&out).unwrap().lines().map(plain).collect();
    assert_eq!(
        lines,
        [
            "4 FILE web lxc pre-start type= name=web pid= target= secret=",
            "4 FILE web lxc start-host type= name=web pid=yes target= secret=",
            "11 FILE web lxc stop type= name=web pid=yes target=stop secret=",
            "4 FILE web lxc post-stop type= name=web pid=yes target=stop secret=",
        ]
    );
    let log = fs::read_to_string(env.container("web").join("hooks.log")).unwrap();
    assert!(log.contains("    said\n    complained\n"), "{log}");

    env.wxc([
        "config",
        "set",
        "web",
        "hooks.exec.clone",
        &line.replacen("sh ", "LXC_HOOK_TYPE=$LXC_SRC_NAME sh ", 1),
    ])
    .ok();
    env.wxc(["copy", "web", "copied"]).ok();
    let text = fs::read_to_string(&out).unwrap();
    assert!(text.lines().last().unwrap().contains("copied lxc clone type=web name=copied"), "{text}");
    env.wxc(["config", "set", "web", "hooks.exec.destroy", "[\"false\"]"]).ok();
    let said = env.wxc(["destroy", "web"]).fails(1);
    assert!(said.contains("\"false\"") && said.contains("exit code 1"), "{said}");
    env.wxc(["config", "unset", "web", "hooks.exec.destroy"]).ok();

    fs::remove_file(&out).unwrap();
    env.wxc(["config", "set", "web", "hooks.exec.version", "1"]).ok();
    env.wxc(["start", "web"]).ok();
    let text = fs::read_to_string(&out).unwrap();
    assert!(text.starts_with(&format!("1 {file} type=pre-start name=web")), "{text}");
}

#[test]
fn a_program_that_fails_or_hangs_is_ended_with_all_it_started_and_cannot_order_its_own_container() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.busybox("web", &[]);
    env.configure("[hooks.exec]\nenabled = true\n");
    let pids = env.file("pids");
    let hang = format!("sleep 300 & echo $! > {}; sleep 300;", pids.display());
    let set = |line: &str| {
        env.wxc(["config", "set", "web", "hooks.exec.start-host", &serde_json::json!([line]).to_string()])
            .ok();
    };
    env.wxc(["config", "set", "web", "hooks.exec.timeout", "500ms"]).ok();
    set(&hang);
    let said = env.wxc(["start", "web"]).fails(1);
    assert!(said.contains("start-host") && said.contains("500 ms"), "{said}");
    let pid = fs::read_to_string(&pids).unwrap();
    until("what it left is gone", 10, || (!Path::new("/proc").join(pid.trim()).exists()).then_some(()));
    assert_eq!(env.state("web"), "STOPPED");

    set("echo this is why; exit 3 #");
    let said = env.wxc(["start", "web"]).fails(1);
    assert!(said.contains("exit code 3: this is why"), "{said}");

    // Its own container is locked by the start that waits for it.
    env.wxc(["config", "set", "web", "hooks.exec.timeout", "20s"]).ok();
    let out = env.file("out");
    let wxc = wxc_tests::env::wxc().display();
    let path = env.path().display().to_string();
    let run = env.run_dir().display().to_string();
    let own = format!(
        "WXC_RUN_DIR={run} {wxc} -P {path} stop -k web > {0} 2>&1; WXC_RUN_DIR={run} {wxc} -P {path} destroy -f web >> {0} 2>&1; true #",
        out.display()
    );
    set(&own);
    let since = std::time::Instant::now();
    env.wxc(["start", "web"]).ok();
    assert!(since.elapsed().as_secs() < 15);
    let text = fs::read_to_string(&out).unwrap();
    assert_eq!(text.matches("from a hook of web").count(), 2, "{text}");
    assert_eq!(env.state("web"), "RUNNING");
}

#[test]
fn programs_of_the_host_run_where_lxc_runs_them() {
    needs!(root, userns, busybox, cgroups);
    let env = Env::new();
    env.configure("[hooks.exec]\nenabled = true\n");
    for (name, options) in [("web", &[][..]), ("boss", &["--privileged"][..])] {
        env.busybox(name, options);
        let out = env.file(&format!("{name}.out"));
        let set = |point: &str, line: &str| {
            let line = serde_json::json!([line]).to_string();
            env.wxc(["config", "set", name, &format!("hooks.exec.{point}"), &line]).ok();
        };
        let container = env.container(name).display().to_string();
        set("pre-mount", "test ! -e $LXC_ROOTFS_MOUNT/etc && test -e /usr/share/doc #");
        let mount = "mkdir -p $LXC_ROOTFS_MOUNT/srv/doc; mount --bind /usr/share/doc $LXC_ROOTFS_MOUNT/srv/doc; echo $(id -u) \"$@\" > $LXC_ROOTFS_MOUNT/etc/at-mount; true";
        set("mount", mount);
        set("autodev", "test ! -e $LXC_ROOTFS_MOUNT/dev/null && mkdir $LXC_ROOTFS_MOUNT/dev/net #");
        set(
            "start",
            "echo $LXC_NAME $(id -u) $(grep -c . /etc/at-mount) > /etc/at-start; ls /usr/share/doc >> /etc/at-start; true",
        );
        set(
            "stop",
            &format!(
                "echo \"$@\" $LXC_NET_NS >> {0}; readlink $(echo $* | tr ' ' '\\n' | sed -n s/^net://p) >> {0}; true",
                out.display()
            ),
        );
        set("clone", "echo $LXC_SRC_NAME \"$@\" > $LXC_ROOTFS_MOUNT/etc/cloned; true");
        env.wxc(["start", name]).ok();
        let seen = env.inside(name, "cat /etc/at-mount /etc/at-start; ls -d /srv/doc/* | head -n 1; ls -d /dev/net; readlink /proc/1/ns/net");
        let lines: Vec<&str> = seen.lines().collect();
        assert_eq!(lines[0], format!("0 {name} lxc mount"), "{seen}");
        // Only the container's own documents: there are none.
        assert_eq!(lines[1], format!("{name} 0 1"), "{seen}");
        assert!(lines[2].starts_with("/srv/doc/") && lines[3] == "/dev/net", "{seen}");
        let net = lines[4].to_owned();
        // Nothing of it is on the host.
        assert!(fs::read_dir(Path::new(&container).join("rootfs/srv/doc")).unwrap().next().is_none());
        env.wxc(["stop", "-k", name]).ok();
        until("the hook at its end ran", 20, || {
            fs::read_to_string(&out).is_ok_and(|text| text.lines().count() == 2).then_some(())
        });
        let text = fs::read_to_string(&out).unwrap();
        assert!(text.starts_with(&format!("{name} lxc stop ")) && text.contains(" mnt:/proc/"), "{text}");
        assert_eq!(text.lines().last().unwrap(), net, "{text}");
        let copied = format!("{name}-2");
        env.wxc(["copy", name, &copied, "--", "one", "t w o"]).ok();
        let cloned = fs::read_to_string(env.container(&copied).join("rootfs/etc/cloned")).unwrap();
        assert_eq!(cloned.trim(), format!("{name} {copied} lxc clone one t w o"));

        // A failure amid the mounts leaves nothing.
        set("autodev", "echo not today; exit 4 #");
        let said = env.wxc(["start", name]).fails(1);
        assert!(said.contains("autodev") && said.contains("exit code 4: not today"), "{said}");
        assert_eq!(env.state(name), "STOPPED");
    }
}
