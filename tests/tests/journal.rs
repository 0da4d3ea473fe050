//! What is unfinished: told by the doctor, settled by the next command, left alone while somebody works on it.

use std::fs;
use std::time::Duration;

use wxc_tests::failpoints::{self, Fault};
use wxc_tests::mount::Mount;
use wxc_tests::world::world;
use wxc_tests::{Env, needs};

/// Killed while it tidies up after a kill, a command still leaves what the next one can finish.
#[test]
fn settling_can_be_interrupted_as_well() {
    needs!(root, userns, busybox);
    let env = Env::new();
    fs::create_dir_all(env.file("tree/etc")).unwrap();
    fs::write(env.file("tree/etc/file"), "content").unwrap();
    let tree = env.file("tree").display().to_string();
    let create = ["create", "web", "-t", "local", "--", "--directory", &tree];
    let before = {
        env.wxc(create).ok();
        env.wxc(["destroy", "web"]).ok();
        world(&env)
    };
    let broken = || {
        let killed = failpoints::with_fault(&env, &create, Fault::Kill, "create.complete");
        assert_eq!(killed.code(), 137, "{}", killed.told());
    };
    broken();
    let repair = ["doctor", "web", "--repair"];
    for site in failpoints::sites(&env, &repair) {
        broken();
        let killed = failpoints::with_fault(&env, &repair, Fault::Kill, &site);
        assert_eq!(killed.code(), 137, "{site}: {}", killed.told());
        env.wxc(["doctor", "--repair"]).ok();
        assert_eq!(world(&env), before, "{site}");
    }
}

/// What had lent itself to clones is made writable again before an operation begins, of which there is no record.
#[test]
fn a_note_that_was_cut_short_is_found_and_swept() {
    needs!(root, userns, busybox);
    let env = Env::new();
    let lent = || {
        env.busybox("web", &["-B", "overlay"]);
        env.wxc(["copy", "-s", "web", "copy"]).ok();
        env.wxc(["destroy", "copy"]).ok();
    };
    let snapshot = ["snapshot", "web", "one"];
    lent();
    let sites = failpoints::sites(&env, &snapshot);
    env.wxc(["destroy", "-s", "web"]).ok();
    let mut found = 0;
    // The first that is written is the note, and then the record.
    for site in sites.iter().take(6) {
        lent();
        let killed = failpoints::with_fault(&env, &snapshot, Fault::Kill, site);
        assert_eq!(killed.code(), 137, "{site}: {}", killed.told());
        let part = env.container("web").join(".rootfs.volume.part");
        if part.exists() {
            found += 1;
            let doctor = env.wxc(["doctor"]).run();
            assert!(
                doctor.code() == 1 && doctor.stdout.contains("before it put this file"),
                "{}",
                doctor.told()
            );
        }
        env.wxc(["doctor", "--repair"]).ok();
        assert!(!part.exists(), "{site}");
        env.wxc(["doctor"]).ok();
        env.wxc(["destroy", "-s", "web"]).ok();
    }
    assert!(found > 0, "{sites:?}");
}

/// A helper of a killed command ends after it, and what it had mounted later still: the next command waits for that.
#[test]
fn what_is_still_mounted_is_waited_for() {
    needs!(root, userns, busybox, disks);
    let env = Env::on("ext4");
    fs::create_dir_all(env.file("tree/etc")).unwrap();
    let tree = env.file("tree").display().to_string();
    let create = ["create", "web", "-t", "local", "-B", "loop", "--size", "16M", "--", "--directory", &tree];
    let sites = failpoints::sites(&env, &create);
    env.wxc(["destroy", "web"]).ok();
    let last = sites.iter().rfind(|site| site.starts_with("create.complete")).expect("a create is completed");
    let killed = failpoints::with_fault(&env, &create, Fault::Kill, last);
    assert_eq!(killed.code(), 137, "{}", killed.told());
    let mounted = Mount::inside(&env.container("web").join("rootdev"), "loop");
    let again = env.wxc(create).spawn();
    std::thread::sleep(Duration::from_millis(1500));
    drop(mounted);
    let output = again.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && told.contains("removed what an interrupted create had left"),
        "{told}"
    );
    env.wxc(["destroy", "web"]).ok();
    env.wxc(["doctor"]).ok();
}

#[test]
fn a_record_that_cannot_be_read_is_kept_and_told() {
    needs!(root, userns, busybox);
    let env = Env::new();
    env.busybox("web", &[]);
    let newer = r#"{"format":9,"operation":"fold-1","containers":["web"],"intent":{"fold":{}}}"#;
    for (text, why) in [("{\"format\":1,\"oper", "damaged"), (newer, "a newer wxc")] {
        let record = env.path().join(".journal/web.fold-1.json");
        fs::write(&record, text).unwrap();
        let told = env.wxc(["start", "web"]).fails(1);
        assert!(told.contains(why) && told.contains("wxc doctor web"), "{told}");
        let doctor = env.wxc(["doctor", "--repair"]).run();
        assert_eq!(doctor.code(), 1, "{}", doctor.told());
        assert!(doctor.stdout.contains(why), "{}", doctor.told());
        assert_eq!(fs::read_to_string(&record).unwrap(), text);
        // Others are not held up by it.
        env.busybox("other", &[]);
        env.wxc(["destroy", "other"]).ok();
        fs::remove_file(&record).unwrap();
    }
    env.wxc(["doctor"]).ok();
    env.wxc(["destroy", "web"]).ok();
}

#[test]
fn a_record_of_a_container_made_anew_harms_nothing() {
    needs!(root, userns, busybox);
    let env = Env::new();
    env.busybox("web", &[]);
    let keep = fs::read_dir(env.container("web").join("rootfs")).unwrap().count();
    // As if power had failed before the removal of the records was on the disk.
    for verb in ["create", "destroy"] {
        let text = format!(
            r#"{{"format":1,"operation":"{verb}-1-1","containers":["web"],"intent":{{"{verb}":{{"name":"web","storage":"dir"}}}}}}"#
        );
        fs::write(env.path().join(format!(".journal/web.{verb}-1-1.json")), text).unwrap();
    }
    let found = env.wxc(["doctor", "--json"]).run();
    let report: serde_json::Value = serde_json::from_str(&found.stdout).unwrap();
    assert_eq!((found.code(), report["findings"].as_array().unwrap().len()), (1, 2), "{}", found.told());
    assert_eq!(report["findings"][0]["problem"], "unfinished");
    env.wxc(["doctor", "--repair"]).ok();
    env.wxc(["doctor"]).ok();
    assert_eq!(fs::read_dir(env.container("web").join("rootfs")).unwrap().count(), keep);
    assert_eq!(fs::read_dir(env.path().join(".journal")).unwrap().count(), 0);
}

#[test]
fn what_somebody_works_on_is_left_alone() {
    needs!(root, userns, busybox);
    let env = Env::new();
    env.busybox("busy", &[]);
    fs::create_dir(env.container("half")).unwrap();
    fs::write(env.container("half").join(".partial"), "").unwrap();
    // A living command holds the lock.
    let key = fs::read_dir(env.run_dir()).unwrap().flatten().next().unwrap().path();
    let lock = fs::File::create(key.join("half.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let out = env.wxc(["doctor", "--repair"]).run();
    assert_eq!(out.code(), 0, "{}", out.told());
    assert!(out.stderr.contains("half was left out"), "{}", out.told());
    assert!(env.container("half").exists());
    drop(lock);
    let out = env.wxc(["doctor"]).run();
    assert!(out.code() == 1 && out.stdout.contains("--repair would: remove it"), "{}", out.told());
    env.wxc(["doctor", "half", "--repair"]).ok();
    assert!(!env.container("half").exists());
}

#[test]
fn storage_without_its_configuration_is_told_and_kept() {
    needs!(root, userns, busybox);
    let env = Env::new();
    env.busybox("lost", &[]);
    fs::remove_file(env.container("lost").join("container.toml")).unwrap();
    let out = env.wxc(["doctor", "--repair"]).run();
    assert!(out.code() == 1 && out.stdout.contains("container.toml"), "{}", out.told());
    assert!(env.container("lost").join("rootfs/bin").exists());
    env.busybox("gone", &[]);
    fs::remove_dir_all(env.container("gone").join("rootfs")).unwrap();
    let out = env.wxc(["doctor", "gone"]).run();
    assert!(out.code() == 1 && out.stdout.contains("is not there"), "{}", out.told());
}
