//! `wxc plugin test` for hooks and templates: good ones pass, and a faulty one is told what is wrong with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use wxc_tests::{Env, fixtures, guest, needs, root};

/// An environment with a directory for scratch.
fn with_scratch() -> Env {
    let env = Env::new();
    fs::create_dir(env.file("scratch")).unwrap();
    env
}

/// Nothing is left of what was tried.
fn nothing_left(env: &Env) {
    let left: Vec<_> = fs::read_dir(env.file("scratch")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Everything passes; returns the cases that were skipped, each with its reason.
fn passes(env: &Env, words: &[&str]) -> Vec<String> {
    let all = ["plugin", "test"].iter().chain(words).copied();
    let (options, answers) =
        words.split_at(words.iter().position(|word| *word == "--").unwrap_or(words.len()));
    let all: Vec<&str> = all.take(2).chain(options.iter().copied()).chain(["--pool", "scratch"]).collect();
    let out = env.wxc(all.into_iter().chain(answers.iter().copied())).within(300).ok();
    assert!(out.trim_end().lines().last().is_some_and(|total| total.contains(" 0 failed")), "{out}");
    nothing_left(env);
    out.lines().filter(|line| line.starts_with("skipped")).map(str::to_owned).collect()
}

/// A component of `tests/`, which has one fault or none.
fn faulty(kind: &str) -> PathBuf {
    let source = root().join(format!("tests/faulty-{kind}"));
    let component = root().join(format!("target/fixtures/{kind}-faulty.wasm"));
    guest::built(&source, &format!("{kind}_faulty"), &source.join("plugin.toml"), &component)
}

fn faulty_hook() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| faulty("hook"))
}

fn faulty_template() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| faulty("template"))
}

#[test]
fn hooks_that_come_with_wxc_pass() {
    needs!(root, userns);
    let env = with_scratch();
    let skipped = passes(&env, &["hook-environment", "--told", "LANG=C.UTF-8", "--told", "EDITOR="]);
    assert!(skipped.iter().all(|line| line.contains("never wants to be called for")), "{skipped:?}");
    let skipped = passes(&env, &["hook-policy", "-s", "memory-limit=true"]);
    assert!(skipped.iter().all(|line| line.contains("never wants to be called for")), "{skipped:?}");
    assert!(skipped.iter().all(|line| !line.contains("validate")), "{skipped:?}");
}

#[test]
fn a_hook_with_everything_passes() {
    needs!(root, userns, wasm_target);
    let env = with_scratch();
    assert_eq!(passes(&env, &[faulty_hook().to_str().unwrap()]), Vec::<String>::new());
}

#[test]
fn templates_that_come_with_wxc_pass() {
    needs!(root, busybox);
    let env = with_scratch();
    let tree = fixtures::busybox().to_str().unwrap();
    let skipped = passes(&env, &["template-local", "--", "--directory", tree]);
    assert!(skipped.iter().all(|line| line.contains("no catalogue")), "{skipped:?}");
    passes(&env, &["template-host"]);
    passes(&env, &["template-busybox"]);
    // What needs an answer is skipped without one, and everything else is tried.
    let skipped = passes(&env, &["template-oci"]);
    assert!(
        skipped.iter().any(|line| line.contains("resolve ") && line.contains("behind --")),
        "{skipped:?}"
    );
    assert!(!skipped.iter().any(|line| line.contains("resolve-hostile")), "{skipped:?}");
}

#[test]
fn a_template_of_an_archive_passes() {
    needs!(root, wasm_target);
    let env = with_scratch();
    let archive = env.file("archive.tar.xz");
    fs::write(&archive, fixtures::packed(&[("metadata", "good"), ("rootfs/etc/x", "x")])).unwrap();
    let plugin = faulty_template().to_str().unwrap();
    let skipped = passes(&env, &[plugin, "--", "--archive", archive.to_str().unwrap(), "--note", "hello"]);
    assert_eq!(skipped, Vec::<String>::new());
}

/// Each fault of `tests/faulty-hook`: what it is called there, the case that finds it, and what is said about it.
const HOOK_FAULTS: &[(&str, &str, &str)] = &[
    ("wishes-run", "wishes-quiet", "commands.command.run"),
    ("wishes-misplaced", "wishes", "nothing can be changed or judged at"),
    ("wishes-change", "wishes-stable", "it wants something else after it has acted"),
    ("adjust-panics", "adjust-odd", "whose name has dots: "),
    ("adjust-slow", "adjust-large", "does not end within its budget"),
    ("adjust-runs", "adjust-quiet", "commands.command.run"),
    ("adjust-keeps", "adjust-quiet", "store.set"),
    ("adjust-random", "adjust-twice", "proposes something else"),
    ("adjust-undeclared", "adjust", "does not declare the change set-hostname"),
    ("adjust-nonsense", "adjust-accepted", "memory.max"),
    ("adjust-contradicts", "adjust-accepted", "contradicts itself about the variable HOOKED"),
    ("validate-panics", "validate-odd", "nothing but what there has to be"),
    ("validate-slow", "validate-large", "does not end within its budget"),
    ("validate-runs", "validate-quiet", "commands.command.run"),
    ("validate-random", "validate-twice", "validate says something else"),
    ("verdict-empty", "validate-sentence", "does not say why"),
    ("verdict-lines", "validate-sentence", "no sentence on one line"),
    ("act-panics", "act-odd", "odd words in what belongs to the event"),
    ("act-token", "act", "a token longer than 65536 bytes"),
    ("undo-fails", "undo", "it cannot be taken back"),
    ("undo-panics", "undo-foreign", "an empty token"),
    ("undo-once", "undo-twice", "there is nothing left to take back"),
];

/// The same of `tests/faulty-template`.
const TEMPLATE_FAULTS: &[(&str, &str, &str)] = &[
    ("options-store", "options-stable", "store.get"),
    ("options-random", "options-stable", "other ones when it is asked again"),
    ("options-silent", "options-help", "an option without help"),
    ("options-nothing", "options-help", "nothing to choose"),
    ("options-default", "options", "none of its choices"),
    ("options-number", "options", "is not a whole number"),
    ("search-panics", "search-incomplete", "template.search crashed"),
    ("search-foreign", "search-answers", "there is no option --flavor"),
    ("search-order", "search", "a search for 1 images has other ones"),
    ("search-many", "search", "more candidates than were asked for"),
    ("resolve-panics", "resolve-unanswered", "with no answers"),
    ("resolve-trusts", "resolve-hostile", "with --note \"%00%2e%2e\""),
    ("resolve-architecture", "resolve-architecture", "sparc64 instead of"),
    ("resolve-digest", "resolve", "hexadecimal digits"),
    ("finish-moment", "finish-moments", "with the moment `rename`"),
    ("finish-parses", "finish-members", "with no members"),
    ("finish-store", "finish-quiet", "store.get"),
    ("finish-random", "finish-twice", "finish says something else"),
    ("finish-setuid", "finish", "permissions 4755 are not allowed"),
];

fn each_is_found(env: &Env, plugin: &Path, faults: &[(&str, &str, &str)], answers: &[&str]) {
    for (fault, case, words) in faults {
        let set = format!("fault={fault}");
        let plugin = plugin.to_str().unwrap();
        let all = ["plugin", "test", plugin, "--pool", "scratch", "--case", case, "-s", &set];
        let output = env.wxc(all.iter().chain(answers)).within(300).run();
        assert_eq!(output.code(), 1, "{fault}: {}", output.told());
        let found = output.stdout.contains(&format!("FAILED   {case}")) && output.stdout.contains(words);
        assert!(found, "{fault}: {}", output.told());
        assert!(output.stdout.contains("breaks: wit/"), "{fault}: {}", output.told());
    }
    nothing_left(env);
}

#[test]
fn each_fault_of_a_hook_is_found_and_named() {
    needs!(root, userns, wasm_target);
    each_is_found(&with_scratch(), faulty_hook(), HOOK_FAULTS, &[]);
}

#[test]
fn each_fault_of_a_template_is_found_and_named() {
    needs!(root, wasm_target);
    let env = with_scratch();
    let archive = env.file("archive.tar.xz");
    fs::write(&archive, fixtures::packed(&[("metadata", "good")])).unwrap();
    let answers = ["--", "--archive", archive.to_str().unwrap()];
    each_is_found(&env, faulty_template(), TEMPLATE_FAULTS, &answers);
}

/// The tables above are the lists of the faults that there are, and each case has one that it finds.
#[test]
fn no_fault_and_no_case_is_forgotten() {
    needs!(checkout);
    for (kind, faults) in [("hook", HOOK_FAULTS), ("template", TEMPLATE_FAULTS)] {
        let text = fs::read_to_string(root().join(format!("tests/faulty-{kind}/src/lib.rs"))).unwrap();
        let named = text.split("fault(\"").skip(1).filter_map(|rest| rest.split('"').next());
        let (mut named_faults, mut named_cases) = (0, 0);
        for fault in named {
            named_faults += 1;
            assert!(faults.iter().any(|(name, _, _)| *name == fault), "{fault} is in no line of the table");
        }
        let folder = root().join(format!("host/src/conformance/{kind}s"));
        for file in fs::read_dir(folder).unwrap() {
            let text = fs::read_to_string(file.unwrap().path()).unwrap();
            let cases =
                text.split("    Case {\n        name: \"").skip(1).filter_map(|rest| rest.split('"').next());
            for case in cases {
                named_cases += 1;
                assert!(
                    faults.iter().any(|(_, finds, _)| *finds == case),
                    "nothing shows that {case} can fail"
                );
            }
        }
        // Written otherwise, they would not be found, and nothing would be missed.
        assert!(named_faults > 10 && named_cases > 10, "{kind}: {named_faults} faults, {named_cases} cases");
    }
}

#[test]
fn what_is_for_another_kind_is_refused() {
    needs!(root);
    let env = with_scratch();
    let said = env.wxc(["plugin", "test", "storage-dir", "--told", "a=b", "--pool", "scratch"]).fails(1);
    assert!(said.contains("--told, which is for hooks"), "{said}");
    let said =
        env.wxc(["plugin", "test", "hook-policy", "--pool", "scratch", "--", "--release", "x"]).fails(1);
    assert!(said.contains("which are for templates"), "{said}");
    let said = env.wxc(["plugin", "test", "hook-policy", "--case", "adjust-twise"]).fails(1);
    assert!(said.contains("did you mean adjust-twice?"), "{said}");
}
