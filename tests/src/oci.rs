//! OCI images, made of layers that a test writes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::server::sha256;

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layered {
    Plain,
    Gzip,
    Zstd,
}

/// An entry of a layer.
#[derive(Debug, Clone)]
pub enum Entry<'a> {
    File(&'a str, &'a str),
    Directory(&'a str),
    Link(&'a str, &'a str),
    Hardlink(&'a str, &'a str),
}

/// A layer's archive, without compression.
///
/// # Panics
/// When a name does not fit.
#[must_use]
pub fn layer(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        let (name, content) = match entry {
            Entry::File(name, content) => (name, content.as_bytes()),
            Entry::Directory(name) => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_mode(0o755);
                (name, &b""[..])
            }
            Entry::Link(name, target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_link_name_literal(target).unwrap();
                (name, &b""[..])
            }
            Entry::Hardlink(name, target) => {
                header.set_entry_type(tar::EntryType::Link);
                header.set_link_name_literal(target).unwrap();
                (name, &b""[..])
            }
        };
        header.set_size(content.len() as u64);
        // As it is: the library would refuse what a test is about.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        archive.append(&header, content).unwrap();
    }
    archive.into_inner().unwrap()
}

/// An image in the making: a layout in a directory.
#[derive(Debug)]
pub struct Image {
    directory: PathBuf,
    layers: Vec<Value>,
    diff_ids: Vec<String>,
    manifests: Vec<Value>,
}

impl Image {
    /// An empty layout.
    ///
    /// # Panics
    /// When there is something already.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        fs::create_dir_all(directory.join("blobs/sha256")).unwrap();
        fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let (layers, diff_ids, manifests) = (Vec::new(), Vec::new(), Vec::new());
        Self { directory: directory.to_owned(), layers, diff_ids, manifests }
    }

    /// Where a blob is.
    #[must_use]
    pub fn blob(&self, digest: &str) -> PathBuf {
        self.directory.join("blobs/sha256").join(digest.trim_start_matches("sha256:"))
    }

    fn put(&self, kind: &str, bytes: &[u8]) -> Value {
        let digest = format!("sha256:{}", sha256(bytes));
        fs::write(self.blob(&digest), bytes).unwrap();
        json!({ "mediaType": kind, "digest": digest, "size": bytes.len() })
    }

    /// One more layer.
    ///
    /// # Panics
    /// When there is no gzip or zstd.
    pub fn layer(&mut self, plain: &[u8], layered: Layered) -> &mut Self {
        self.diff_ids.push(format!("sha256:{}", sha256(plain)));
        let pack = |program: &str| {
            let file = self.directory.join("plain");
            fs::write(&file, plain).unwrap();
            let packed = Command::new(program).arg("-c").arg(&file).stdout(Stdio::piped()).output().unwrap();
            fs::remove_file(file).unwrap();
            assert!(packed.status.success());
            packed.stdout
        };
        let (ending, bytes) = match layered {
            Layered::Plain => ("", plain.to_vec()),
            Layered::Gzip => ("+gzip", pack("gzip")),
            Layered::Zstd => ("+zstd", pack("zstd")),
        };
        let layer = self.put(&format!("application/vnd.oci.image.layer.v1.tar{ending}"), &bytes);
        self.layers.push(layer);
        self
    }

    /// What the next image says of its layers, for tests that lie.
    pub fn claim(&mut self, diff_ids: Vec<String>) {
        self.diff_ids = diff_ids;
    }

    /// What the layers are so far.
    #[must_use]
    pub fn diff_ids(&self) -> Vec<String> {
        self.diff_ids.clone()
    }

    /// Names an image of the layers so far, for a machine. Returns the digest of its manifest.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn image(&mut self, name: Option<&str>, machine: &str, config: &Value) -> String {
        let configuration = json!({
            "architecture": machine, "os": "linux", "config": config, "created": "2026-07-22T05:24:00Z",
            "rootfs": { "type": "layers", "diff_ids": self.diff_ids }
        });
        let configuration =
            self.put("application/vnd.oci.image.config.v1+json", configuration.to_string().as_bytes());
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": configuration, "layers": self.layers
        });
        let mut manifest =
            self.put("application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes());
        let digest = manifest["digest"].as_str().unwrap().to_owned();
        if let Some(name) = name {
            manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
        }
        manifest["platform"] = json!({ "os": "linux", "architecture": machine });
        self.manifests.push(manifest);
        self.index();
        digest
    }

    /// Puts all images so far into one of several machines.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn join(&mut self, name: &str) {
        let index = json!({ "schemaVersion": 2, "manifests": self.manifests });
        let mut index = self.put("application/vnd.oci.image.index.v1+json", index.to_string().as_bytes());
        index["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
        self.manifests = vec![index];
        self.index();
    }

    fn index(&self) {
        let index = json!({ "schemaVersion": 2, "manifests": self.manifests });
        fs::write(self.directory.join("index.json"), index.to_string()).unwrap();
    }
}

/// This machine, in the words of these images.
#[must_use]
pub fn machine() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
