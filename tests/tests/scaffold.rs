//! `wxc plugin new`: what it writes is built by the commands that it writes down, and works in a container.
//!
//! The README of a new plugin has two blocks of commands, `sh build` and `sh use`. The tests do what stands there.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use wxc_tests::{Env, Run, guest, needs, root};

/// A new plugin, installed after its block of use. Its name is one that nobody else has, because plugins are the machine's.
struct Scaffold {
    env: Env,
    kind: &'static str,
    lang: &'static str,
    word: String,
}

impl Scaffold {
    fn new(kind: &'static str, lang: &'static str) -> Self {
        Self::named(kind, lang, lang)
    }

    fn named(kind: &'static str, lang: &'static str, word: &str) -> Self {
        let word = format!("{word}-t{}", std::process::id());
        let new = Self { env: Env::new(), kind, lang, word };
        new.env
            .wxc(["plugin", "new", &new.word, "--kind", kind, "--lang", lang, "--directory", "plugin"])
            .ok();
        new.tools();
        new
    }

    fn name(&self) -> String {
        format!("{}-{}", self.kind, self.word)
    }

    fn folder(&self) -> PathBuf {
        self.env.file("plugin")
    }

    /// What its language's package manager would fetch, from where it is already.
    fn tools(&self) {
        match self.lang {
            "rust" => {
                fs::create_dir_all(target()).unwrap();
                symlink(target(), self.folder().join("target")).unwrap();
                fs::copy(root().join("plugins/Cargo.lock"), self.folder().join("Cargo.lock")).unwrap();
            }
            "js" => symlink(guest::node_modules(), self.folder().join("node_modules")).unwrap(),
            _ => {}
        }
    }

    /// The commands of a block of its README.
    fn commands(&self, block: &str) -> Vec<String> {
        let page = fs::read_to_string(self.folder().join("README.md")).unwrap();
        let body = page.split_once(&format!("```sh {block}\n")).and_then(|(_, rest)| rest.split_once("```"));
        body.unwrap_or_else(|| panic!("no block {block}")).0.lines().map(str::to_owned).collect()
    }

    /// A line for the shell, in its directory, with this machine's tools and this wxc.
    fn shell(&self, line: &str) -> Run {
        let of_machine = |name: &str| std::env::var_os(name);
        let wxc = wxc_tests::env::wxc().parent().unwrap().to_owned();
        let search = std::env::split_paths(&of_machine("PATH").unwrap_or_default()).collect::<Vec<_>>();
        let search = std::env::join_paths(std::iter::once(wxc).chain(search)).unwrap();
        let mut command = self.env.program(Path::new("/bin/sh"), ["-ec", line]).into_command();
        command.current_dir(self.folder()).env("PATH", search).env("RUSTUP_TOOLCHAIN", guest::toolchain());
        command.env("COMPONENTIZE", guest::componentize_py());
        for name in ["HOME", "CARGO_HOME", "RUSTUP_HOME"] {
            if let Some(value) = of_machine(name) {
                command.env(name, value);
            }
        }
        Run::new(command).within(600)
    }

    fn build(&self) {
        for line in self.commands("build") {
            let suite = line == "make test" || line.starts_with("wxc plugin test");
            let out = self.shell(&line).ok();
            assert!(!suite || out.contains(" 0 failed"), "{out}");
        }
    }

    /// Does what stands under "Install and use it"; what each command said.
    fn used(&self) -> Vec<String> {
        self.commands("use").iter().map(|line| self.shell(line).ok()).collect()
    }
}

impl Drop for Scaffold {
    fn drop(&mut self) {
        let mut destroy = self.env.wxc(["destroy", "-f", "web"]).into_command();
        let _gone = destroy.output();
        let mut remove = self.env.wxc(["plugin", "remove", "--force", &self.name()]).into_command();
        let _gone = remove.output();
        if self.lang == "rust" {
            forget(&target(), &self.name(), 4);
        }
    }
}

/// Where plugins in Rust are built, so that what they have in common is built once.
fn target() -> PathBuf {
    root().join("target/fixtures/plugins")
}

/// Removes what was built of a crate whose name nobody uses again.
fn forget(folder: &Path, name: &str, depth: u32) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, file) = (entry.path(), entry.file_name().to_string_lossy().replace('-', "_"));
        if file.contains(&name.replace('-', "_")) {
            let _gone = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
        } else if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            forget(&path, name, depth - 1);
        }
    }
}

fn storage(lang: &'static str) {
    let new = Scaffold::new("storage", lang);
    new.build();
    new.used();
    let env = &new.env;
    assert!(env.container("web").join("rootfs/etc/hostname").exists());
    let note = fs::read_to_string(env.container("web").join("rootfs.volume")).unwrap();
    assert!(note.starts_with("writable "), "{note}");
    assert_eq!(env.inside("web", "echo kept > /root/word; hostname"), "web");
    env.wxc(["stop", "web"]).ok();
    env.wxc(["snapshot", "web", "before"]).ok();
    env.wxc(["copy", "web", "copy"]).ok();
    env.wxc(["start", "copy"]).ok();
    assert_eq!(env.inside("copy", "cat /root/word"), "kept");
    let said = env.wxc(["plugin", "remove", &new.name()]).fails(1);
    assert!(said.contains("copy, web"), "{said}");
    env.wxc(["destroy", "-f", "copy"]).ok();
    env.wxc(["destroy", "-s", "web"]).ok();
    assert!(!env.container("web").exists() && !env.container("copy").exists());
    env.wxc(["plugin", "remove", &new.name()]).ok();
}

fn template(lang: &'static str) {
    let new = Scaffold::new("template", lang);
    new.build();
    let said = new.used();
    assert_eq!(said.last().unwrap().trim(), "hello");
    let env = &new.env;
    assert_eq!(env.inside("web", "busybox hostname; busybox cat /etc/hostname"), "web\nweb");
    assert_eq!(env.inside("web", "busybox stat -c %a /tmp"), "1777");
    // Its init is told to halt in its own word.
    env.wxc(["stop", "web", "-t", "20"]).ok();
    let toml = fs::read_to_string(env.container("web").join("container.toml")).unwrap();
    assert!(toml.contains("SIGUSR1"), "{toml}");
    let help = env.wxc(["create", "-t", &new.word, "--", "--help"]).ok();
    assert!(help.contains("--program") && help.contains("--greeting"), "{help}");
}

fn hook(lang: &'static str) {
    let new = Scaffold::new("hook", lang);
    new.build();
    let said = new.used();
    let name = new.name();
    assert!(
        said.iter().any(|text| text.contains(&format!("{name}: set-variable ROLE=database"))),
        "{said:?}"
    );
    let env = &new.env;
    let starts = || {
        let file = env.container("web").join(".plugin-state").join(&name).join("starts");
        fs::read_to_string(file).unwrap_or_default()
    };
    // Its first program is wxc's own small init, which nobody can look into.
    let all = env.inside("web", "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'");
    assert!(all.lines().any(|line| line == "ROLE=database"), "{all}");
    assert_eq!(starts(), "1");
    let log = fs::read_to_string(env.container("web").join("hooks.log")).unwrap();
    assert!(log.contains("web: start number 1"), "{log}");
    env.wxc(["stop", "-k", "web"]).ok();

    // A start that fails is not counted: what the hook did is undone.
    env.wxc(["start", "web", "-s", "init.command=[\"/no/such\"]", "-s", "init.stub=false"]).run();
    assert_eq!((starts().as_str(), env.state("web").as_str()), ("1", "STOPPED"));
    env.wxc(["start", "web"]).ok();
    assert_eq!(starts(), "2");
    env.wxc(["stop", "-k", "web"]).ok();

    // What is no role, and none where one is required.
    let role = format!("hooks.{}.settings.role", new.word);
    env.wxc(["config", "set", "web", &role, "two words"]).ok();
    let said = env.wxc(["start", "web"]).fails(1);
    assert!(said.contains(&name) && said.contains("a-z"), "{said}");
    env.wxc(["config", "set", "web", &role, ""]).ok();
    let plan = env.wxc(["start", "web", "--plan"]).ok();
    assert!(!plan.contains("ROLE"), "{plan}");
    env.configure(&format!("[plugins.{name}]\nrequired = true\n"));
    let said = env.wxc(["start", "web"]).fails(1);
    assert!(said.contains("needs a role"), "{said}");
    assert_eq!(starts(), "2");
}

/// A row: the test, what it does, the language, and what building that takes.
macro_rules! scaffolds {
    ($($name:ident: $kind:ident($lang:literal) needs $need:ident;)+) => {
        $(#[test]
        fn $name() {
            needs!(root, checkout, userns, busybox, cgroups, $need);
            $kind($lang);
        })+
    };
}

scaffolds! {
    storage_in_rust: storage("rust") needs wasm_target;
    storage_in_c: storage("c") needs c_compiler;
    storage_in_python: storage("python") needs python_guests;
    storage_in_javascript: storage("js") needs js_guests;
    a_template_in_rust: template("rust") needs wasm_target;
    a_template_in_c: template("c") needs c_compiler;
    a_template_in_python: template("python") needs python_guests;
    a_template_in_javascript: template("js") needs js_guests;
    a_hook_in_rust: hook("rust") needs wasm_target;
    a_hook_in_c: hook("c") needs c_compiler;
    a_hook_in_python: hook("python") needs python_guests;
    a_hook_in_javascript: hook("js") needs js_guests;
}

/// What a hook in Python does for some roles, instead of what it does.
const CURIOUS: &str = r#"
        if word == "files":
            word = f"{os.path.exists('/etc/passwd')}-{os.listdir('/') if os.path.exists('/proc') else 0}-{len(os.environ)}"
        if word == "net":
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        if word == "oops":
            raise RuntimeError("not caught")
"#;

#[test]
fn an_interpreter_finds_nothing_of_the_machine() {
    needs!(root, checkout, userns, busybox, cgroups, python_guests);
    let new = Scaffold::named("hook", "python", "curious");
    let file = new.folder().join("app.py");
    let text = fs::read_to_string(&file).unwrap();
    let line = "        word = role_of(context)\n";
    assert_eq!(text.matches(line).count(), 1);
    let text = text.replace(line, &format!("{line}{CURIOUS}"));
    fs::write(&file, text.replace("\nimport role\n", "\nimport os\nimport role\nimport socket\n")).unwrap();
    // What an editor is given is in nobody's way.
    new.shell("make bindings && test -d bindings/wit_world && make check && make").ok();
    let env = &new.env;
    env.wxc(["plugin", "install", "--grant", &format!("plugin/{}.wasm", new.name())]).ok();
    env.busybox("web", &[]);
    let with = |role: &str| {
        env.wxc(["config", "set", "web", &format!("hooks.{}.settings.role", new.word), role]).ok();
        env.wxc(["-v", "start", "web", "--plan"]).run()
    };
    let said = with("files");
    assert!(said.stdout.contains("ROLE=False-0-0"), "{}", said.told());
    // Nor is there a way out; and what Python says of a fault is in the log.
    let said = with("net");
    assert!(!said.status.success() && said.stderr.contains("grants nothing here"), "{}", said.told());
    let said = with("oops");
    assert!(!said.status.success() && said.stderr.contains("Traceback"), "{}", said.told());
    assert!(said.stderr.contains("not caught"), "{}", said.told());
}

#[test]
fn names_get_their_kind_and_nothing_that_is_there_is_touched() {
    let env = Env::new();
    let new = |words: &[&str]| {
        env.wxc(["plugin", "new"].iter().chain(words).copied().chain(["--kind", "hook", "--lang", "c"]))
    };
    let said = new(&["x"]).run();
    assert!(said.status.success() && said.stderr.contains("hook-x/README.md"), "{}", said.told());
    let manifest = |folder: &str| fs::read_to_string(env.file(folder).join("plugin.toml")).unwrap();
    assert!(manifest("hook-x").contains("name = \"hook-x\""));
    new(&["hook-y"]).ok();
    assert!(manifest("hook-y").contains("name = \"hook-y\""));

    fs::write(env.file("hook-x/mine"), "").unwrap();
    let said = new(&["x"]).fails(1);
    assert!(said.contains("hook-x") && said.contains("--directory"), "{said}");
    fs::create_dir(env.file("empty")).unwrap();
    new(&["z", "--directory", "empty"]).ok();
    assert!(manifest("empty").contains("name = \"hook-z\""));
    let said = new(&["z", "--directory", "no/such/place"]).fails(1);
    assert!(said.contains("no/such/place") && said.contains("make that directory first"), "{said}");
    for wrong in ["X", "a b", "", "../x", &"x".repeat(60)] {
        let said = new(&[wrong]).fails(1);
        assert!(said.contains("not a plugin name"), "{wrong}: {said}");
    }
    let mut command = new(&["here", "--directory", "."]).into_command();
    fs::create_dir(env.file("desk")).unwrap();
    command.current_dir(env.file("desk"));
    let said = Run::new(command).fails(1);
    assert!(said.contains("the current directory"), "{said}");
    let said = env.wxc(["plugin", "new", "x", "--kind", "hook", "--lang", "cobol"]).fails(2);
    assert!(said.contains("cobol") && said.contains("rust"), "{said}");
    let said =
        env.wxc(["plugin", "new", "x", "--kind", "hook", "--lang", "go", "--directory", "go"]).fails(1);
    assert!(said.contains("Go module") && said.contains("--lang rust") && !env.file("go").exists(), "{said}");
    // Nothing half done is left anywhere.
    let left = |folder: PathBuf| {
        let entries = fs::read_dir(folder).unwrap().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".part")).count()
    };
    assert_eq!(left(env.file("")), 0);
}

/// What is generated for C is what the generator makes of the contract. `WXC_BLESS=1` writes it anew.
#[test]
fn what_is_generated_for_c_is_that_of_the_contract() {
    needs!(checkout, c_guests);
    let env = Env::new();
    let bless = std::env::var_os("WXC_BLESS").is_some();
    for kind in ["storage", "template", "hook"] {
        env.wxc(["plugin", "new", "x", "--kind", kind, "--lang", "c", "--directory", kind]).ok();
        let made = env.file("made").join(kind);
        let words: [OsString; 6] = [
            "c".into(),
            env.file(kind).join("wit").into(),
            "--world".into(),
            "plugin".into(),
            "--out-dir".into(),
            made.clone().into(),
        ];
        Run::host(guest::wit_bindgen().unwrap().to_str().unwrap(), words).ok();
        for entry in fs::read_dir(&made).unwrap().flatten() {
            let kept = root().join(format!("host/scaffold/both/c-{kind}/bindings")).join(entry.file_name());
            if bless {
                fs::copy(entry.path(), &kept).unwrap();
            }
            let same = fs::read(entry.path()).unwrap() == fs::read(&kept).unwrap_or_default();
            assert!(
                same,
                "{} is not what wit-bindgen makes of wit/: run this test with WXC_BLESS=1",
                kept.display()
            );
        }
    }
}

/// The versions that the READMEs name are those that are tested.
#[test]
fn the_generator_that_is_named_is_the_one_that_is_tested() {
    needs!(checkout);
    let read = |file: &str| fs::read_to_string(root().join(file)).unwrap();
    let page = read("host/scaffold/lang/c/README-2.md");
    let named =
        page.split("wit-bindgen-cli --version ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    assert!(read("xtask/src/tools.rs").contains(&format!("version: \"{named}\"")), "{named}");
    for kind in ["storage", "template", "hook"] {
        let header = read(&format!("host/scaffold/both/c-{kind}/bindings/plugin.h"));
        assert!(header.contains(&format!("`wit-bindgen` {named}.")), "{named}");
    }
}
