//! Signatures as other tools make them: GnuPG and OpenSSH.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use wxc::trust::{Form, Ring, TrustError, Vouched, verify_with};

const TEXT: &[u8] = b"some text\nof two lines \n";

/// A GnuPG of the test's own. Its agent ends with it.
struct Gpg {
    home: tempfile::TempDir,
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let mut end = Command::new("gpgconf");
        end.args(["--kill", "all"]).env("GNUPGHOME", self.home.path());
        let _gone = end.status();
    }
}

impl Gpg {
    fn new() -> Self {
        let home = tempfile::Builder::new().prefix("gpg").tempdir_in("/tmp").unwrap();
        Self { home }
    }

    fn run(&self, args: &[&str], input: &[u8]) -> Output {
        let mut child = Command::new("gpg")
            .args(["--batch", "--quiet", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""])
            .args(args)
            .env("GNUPGHOME", self.home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("gpg is installed by cargo xtask setup");
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "gpg {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// A key of this name; its fingerprint.
    fn key(&self, name: &str, kind: &str, usage: &str, expires: &str) -> String {
        self.run(&["--quick-gen-key", name, kind, usage, expires], b"");
        let listed = self.run(&["--with-colons", "--list-keys", &format!("={name}")], b"").stdout;
        let listed = String::from_utf8(listed).unwrap();
        let line = listed.lines().find(|line| line.starts_with("fpr:")).unwrap();
        line.split(':').nth(9).unwrap().to_owned()
    }

    fn ring(&self, names: &[&str], armored: bool) -> Ring {
        let mut args = vec!["--export"];
        if armored {
            args.push("--armor");
        }
        args.extend(names);
        let file =
            self.home.path().join(format!("ring-{}{armored}", names.join("-").replace(['=', ' '], "")));
        fs::write(&file, self.run(&args, b"").stdout).unwrap();
        Ring { name: "ours".into(), files: vec![file] }
    }

    fn sign(&self, by: &str, more: &[&str]) -> Vec<u8> {
        self.run(&[more, &["--local-user", by, "--detach-sign"]].concat(), TEXT).stdout
    }

    fn clear(&self, by: &str) -> Vec<u8> {
        self.run(&["--local-user", by, "--clear-sign"], TEXT).stdout
    }
}

fn check(ring: &Ring, form: Form, content: &[u8], signature: &[u8]) -> Result<Vouched, TrustError> {
    verify_with(Path::new(env!("CARGO_BIN_EXE_wxc")), ring, form, content, signature)
}

fn detached(ring: &Ring, signature: &[u8]) -> Result<String, TrustError> {
    check(ring, Form::Detached, TEXT, signature).map(|vouched| vouched.signer)
}

fn bad(result: Result<String, TrustError>, why: &str) {
    match result {
        Err(TrustError::Bad { why: found }) => assert!(found.contains(why), "{found}"),
        other => panic!("{other:?} instead of {why:?}"),
    }
}

#[test]
fn signatures_of_gnupg_hold_for_the_keys_of_the_ring() {
    let gpg = Gpg::new();
    for (name, kind) in [("one", "ed25519"), ("two", "rsa2048"), ("three", "nistp256")] {
        let print = gpg.key(name, kind, "sign", "never");
        for armored in [false, true] {
            let ring = gpg.ring(&[name], armored);
            assert_eq!(detached(&ring, &gpg.sign(name, &[])), Ok(print.clone()), "{kind}");
            assert_eq!(detached(&ring, &gpg.sign(name, &["--armor"])), Ok(print.clone()), "{kind}");
            let other = check(&ring, Form::Detached, b"other text\n", &gpg.sign(name, &[]));
            bad(other.map(|vouched| vouched.signer), "not what was signed");
        }
    }
    // Of many keys, and of a document that two have signed.
    let all = gpg.ring(&["one", "two"], true);
    assert!(detached(&all, &gpg.sign("two", &[])).is_ok());
    let (first, second) = (gpg.sign("three", &[]), gpg.sign("one", &[]));
    assert!(detached(&all, &[first.clone(), second].concat()).is_ok());
    assert!(matches!(detached(&all, &first), Err(TrustError::Unknown { .. })));
    // Two blocks of text in one file are one ring.
    let blocks = ["one", "three"].map(|name| fs::read(&gpg.ring(&[name], true).files[0]).unwrap()).concat();
    let file = gpg.home.path().join("blocks");
    fs::write(&file, blocks).unwrap();
    assert!(detached(&Ring { name: "blocks".into(), files: vec![file] }, &first).is_ok());
}

#[test]
fn what_stands_around_a_signed_text_is_not_signed() {
    let gpg = Gpg::new();
    let print = gpg.key("one", "ed25519", "sign", "never");
    let ring = gpg.ring(&["one"], false);
    let signed = gpg.clear("one");
    let clear = |document: &[u8]| check(&ring, Form::Clear, document, b"");
    let vouched = clear(&signed).unwrap();
    // Blanks at the ends of lines are not signed (RFC 9580, 7.2).
    assert_eq!((vouched.signer, vouched.content), (print, b"some text\nof two lines\n".to_vec()));
    let text = String::from_utf8(signed.clone()).unwrap();
    assert!(clear(format!("more\n{text}").as_bytes()).is_err());
    assert!(clear(format!("{text}more\n").as_bytes()).is_err());
    assert!(clear(text.replace("two lines", "2 lines").as_bytes()).is_err());
    assert!(clear(&signed[..signed.len() / 2]).is_err());
    assert!(clear(TEXT).is_err());
}

#[test]
fn a_key_that_may_not_vouch_does_not() {
    let gpg = Gpg::new();
    let past = ["--faked-system-time", "20200101T000000!"];
    gpg.key("good", "ed25519", "sign", "never");
    // Expired: the key, and the signature alone.
    gpg.run(&[&past[..], &["--quick-gen-key", "old", "ed25519", "sign", "1y"]].concat(), b"");
    bad(detached(&gpg.ring(&["old"], false), &gpg.sign("old", &past)), "expired");
    let short = gpg.sign("old", &[&past[..], &["--default-sig-expire", "1d"]].concat());
    bad(detached(&gpg.ring(&["old"], false), &short), "expired");
    let ring = gpg.ring(&["good"], false);
    // A digest that can be forged.
    bad(
        detached(&ring, &gpg.sign("good", &["--digest-algo", "SHA1", "--allow-weak-digest-algos"])),
        "forged",
    );
    // From another machine's future.
    bad(detached(&ring, &gpg.sign("good", &["--faked-system-time", "20990101T000000!"])), "future");
    // Not for signing documents.
    gpg.key("certifier", "ed25519", "cert", "never");
    let certifier = gpg.ring(&["certifier"], false);
    assert!(matches!(detached(&certifier, &gpg.sign("good", &[])), Err(TrustError::Unknown { .. })));
    // Revoked.
    let print = gpg.key("gone", "ed25519", "sign", "never");
    let signature = gpg.sign("gone", &[]);
    assert!(detached(&gpg.ring(&["gone"], false), &signature).is_ok());
    let prepared = gpg.home.path().join(format!("openpgp-revocs.d/{print}.rev"));
    let revocation = fs::read_to_string(prepared).unwrap().replace(":-----BEGIN", "-----BEGIN");
    gpg.run(&["--import"], revocation.as_bytes());
    bad(detached(&gpg.ring(&["gone"], false), &signature), "revoked");
}

#[test]
fn a_subkey_signs_for_its_certificate() {
    let gpg = Gpg::new();
    let print = gpg.key("one", "ed25519", "cert", "never");
    gpg.run(&["--quick-add-key", &print, "ed25519", "sign", "never"], b"");
    let signature = gpg.sign("one", &[]);
    let ring = gpg.ring(&["one"], false);
    assert_eq!(detached(&ring, &signature), Ok(print.clone()));
    bad(check(&ring, Form::Detached, b"x", &signature).map(|v| v.signer), "not what was signed");
    // The certificate expires: so does what its subkeys say.
    let old = Gpg::new();
    let past = ["--faked-system-time", "20200101T000000!"];
    old.run(&[&past[..], &["--quick-gen-key", "one", "ed25519", "cert", "1y"]].concat(), b"");
    let listed = String::from_utf8(old.run(&["--with-colons", "--list-keys"], b"").stdout).unwrap();
    let line = listed.lines().find(|line| line.starts_with("fpr:")).unwrap();
    let print = line.split(':').nth(9).unwrap();
    old.run(&[&past[..], &["--quick-add-key", print, "ed25519", "sign", "never"]].concat(), b"");
    bad(detached(&old.ring(&["one"], false), &old.sign("one", &past)), "expired");
}

#[test]
fn signatures_of_openssh_hold_for_the_keys_of_the_ring() {
    let dir = tempfile::tempdir().unwrap();
    let key = |name: &str, kind: &str| -> PathBuf {
        let path = dir.path().join(name);
        let made = Command::new("ssh-keygen")
            .args(["-q", "-N", "", "-C", "a test", "-t", kind, "-f"])
            .arg(&path)
            .status()
            .expect("ssh-keygen is installed by cargo xtask setup");
        assert!(made.success());
        path
    };
    let sign = |key: &Path, namespace: &str| {
        let mut child = Command::new("ssh-keygen")
            .args(["-q", "-Y", "sign", "-n", namespace, "-f"])
            .arg(key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(TEXT).unwrap();
        child.wait_with_output().unwrap().stdout
    };
    let keys = [key("a", "ed25519"), key("b", "ecdsa"), key("c", "rsa")];
    let public = |key: &Path| fs::read_to_string(key.with_extension("pub")).unwrap();
    // As in allowed_signers: somebody's name and options come first.
    let lines = format!(
        "# ours\n\n{}someone@example.org namespaces=\"file\" {}{}",
        public(&keys[0]),
        public(&keys[1]),
        public(&keys[2])
    );
    let file = dir.path().join("ring.ssh");
    fs::write(&file, lines).unwrap();
    let ring = Ring { name: "ours".into(), files: vec![file.clone()] };
    for key in &keys {
        let signature = sign(key, "file");
        let signer = detached(&ring, &signature).unwrap();
        assert!(signer.starts_with("SHA256:"), "{signer}");
        assert!(check(&ring, Form::Detached, b"x", &signature).is_err());
        bad(detached(&ring, &sign(key, "git")), "and not for");
    }
    let stranger = key("d", "ed25519");
    assert!(matches!(detached(&ring, &sign(&stranger, "file")), Err(TrustError::Unknown { .. })));
    fs::write(&file, public(&stranger)).unwrap();
    assert!(matches!(detached(&ring, &sign(&keys[0], "file")), Err(TrustError::Unknown { .. })));
}

#[test]
fn nonsense_is_said_to_be_nonsense() {
    let gpg = Gpg::new();
    gpg.key("one", "ed25519", "sign", "never");
    let ring = gpg.ring(&["one"], false);
    let good = gpg.sign("one", &[]);
    for cut in 0..good.len() {
        assert!(detached(&ring, &good[..cut]).is_err(), "{cut} bytes");
    }
    let armored = gpg.sign("one", &["--armor"]);
    let mut random = armored.clone();
    random.reverse();
    for bytes in [
        &random[..],
        b"",
        b"-----BEGIN PGP SIGNATURE-----\n",
        b"-----BEGIN SSH SIGNATURE-----\n",
        &[0xff; 999],
    ] {
        match detached(&ring, bytes) {
            Err(TrustError::Malformed { .. } | TrustError::Unknown { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    let empty = gpg.home.path().join("empty");
    fs::write(&empty, "no keys\n").unwrap();
    let nobody = Ring { name: "nobody".into(), files: vec![empty, "/nonexistent".into()] };
    assert!(matches!(detached(&nobody, &good), Err(TrustError::Ring { .. })));
    let nobody = Ring { files: nobody.files[..1].to_vec(), ..nobody };
    let said = detached(&nobody, &good).unwrap_err().to_string();
    assert!(said.contains("nobody") && said.contains("no OpenPGP key"), "{said}");
}
