//! Pages about the contract, made from the WIT files: everything that is there, with what is said of it, since when it is
//! there, and which worlds have it.

mod interface;
mod name;
mod world;

use std::path::Path;

use wit_parser::{Docs, PackageId, Resolve, Stability};

/// The packages, each after those it uses.
pub const PACKAGES: &[&str] = &["host", "storage", "template", "hook"];

/// What is said of permissions, which the contract does not know: of an interface, in the words of `wxc plugin show`; `None`
/// where importing it is no permission.
pub type Explain<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The page of each package: its name and its text.
///
/// # Errors
/// When the WIT files cannot be read.
pub fn pages(root: &Path, explain: Explain<'_>) -> Result<Vec<(String, String)>, String> {
    let mut resolve = Resolve::default();
    let mut packages = Vec::new();
    for name in PACKAGES {
        let folder = root.join("wit").join(name);
        let (package, _) =
            resolve.push_dir(&folder).map_err(|error| format!("{}: {error:#}", folder.display()))?;
        packages.push((*name, package));
    }
    Ok(packages.iter().map(|(name, id)| ((*name).to_owned(), page(&resolve, *id, name, explain))).collect())
}

fn page(resolve: &Resolve, id: PackageId, name: &str, explain: Explain<'_>) -> String {
    let package = &resolve.packages[id];
    let mut text = format!(
        "<!-- Made from wit/{name} by book/src/reference.rs; change it there and run the tests with WXC_BLESS=1. -->\n\n# {}\n",
        code(&package.name.to_string()),
    );
    push(&mut text, &prose(&package.docs));
    push(&mut text, &table_of_contents(resolve, id, explain));
    for interface in package.interfaces.values() {
        text.push_str(&interface::section(resolve, *interface, explain));
    }
    for world in package.worlds.values() {
        text.push_str(&world::section(resolve, *world, explain));
    }
    text
}

fn table_of_contents(resolve: &Resolve, id: PackageId, explain: Explain<'_>) -> String {
    let package = &resolve.packages[id];
    let mut rows = String::from("| interface | what it is | importing it is a permission |\n|---|---|---|\n");
    for (name, interface) in &package.interfaces {
        let what = first_sentence(&resolve.interfaces[*interface].docs);
        let permission = match explain(name) {
            Some(text) if world::is_imported(resolve, *interface) => cell(&text),
            _ if world::is_imported(resolve, *interface) => "no".into(),
            _ => "it is exported".into(),
        };
        rows.push_str(&format!("| [{}](#{name}) | {what} | {permission} |\n", code(name)));
    }
    if !package.worlds.is_empty() {
        rows.push_str("\n| world | what it is for |\n|---|---|\n");
    }
    for (name, world) in &package.worlds {
        rows.push_str(&format!(
            "| [{}](#world-{name}) | {} |\n",
            code(name),
            first_sentence(&resolve.worlds[*world].docs)
        ));
    }
    rows
}

/// A part of its own, with an empty line before it.
fn push(text: &mut String, part: &str) {
    if !part.is_empty() {
        text.push('\n');
        text.push_str(part);
        if !part.ends_with('\n') {
            text.push('\n');
        }
    }
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

/// Documentation as it is written.
fn prose(docs: &Docs) -> String {
    docs.contents.as_deref().unwrap_or_default().trim().to_owned()
}

/// Documentation in a cell of a table, on one line.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn first_sentence(docs: &Docs) -> String {
    let text = cell(&prose(docs));
    text.split_once(". ").map_or(text.clone(), |(first, _)| format!("{first}."))
}

/// Since when something is there.
fn since(stability: &Stability) -> String {
    match stability {
        Stability::Stable { since, deprecated: None, .. } => format!("Since {since}."),
        Stability::Stable { since, deprecated: Some(until), .. } => {
            format!("Since {since}; deprecated since {until}.")
        }
        Stability::Unstable { feature, .. } => format!("Not stable: behind the feature `{feature}`."),
        Stability::Unknown => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const HOST: &str = "
/// What may be asked.
package wxc:host@0.1.2;

/// Plain data.
@since(version = 0.1.0)
interface types {
  /// Why. Closed.
  @since(version = 0.1.0)
  enum error-kind {
    /// This | that.
    invalid,
  }
  /// A failure.
  @since(version = 0.1.0)
  record error {
    /// What to do.
    kind: error-kind,
  }
}

/// Doors.
@since(version = 0.1.0)
interface doors {
  @since(version = 0.1.0)
  use types.{error};
  /// One door.
  @since(version = 0.1.0)
  resource door {
    /// Finds it.
    @since(version = 0.1.0)
    constructor(name: string);
    /// Opens it.
    @since(version = 0.1.2)
    open: func(wide: option<bool>) -> result<list<error>, error>;
  }
  /// Slams one.
  @since(version = 0.1.0)
  slam: func(door: borrow<door>) -> result;
}
";
    const PLUGIN: &str = "
package wxc:NAME@0.1.0;

/// What it does.
@since(version = 0.1.0)
interface work {
  @since(version = 0.1.0)
  use wxc:host/types@0.1.2.{error};
  /// How it went.
  @since(version = 0.1.0)
  variant end {
    /// Well.
    well,
    /// Not well.
    badly(error),
  }
  /// Does it.
  @since(version = 0.1.0)
  run: func() -> end;
}

/// Every one.
@since(version = 0.1.0)
world plugin {
  @since(version = 0.1.0)
  import wxc:host/doors@0.1.2;
  @since(version = 0.1.0)
  export work;
}
";

    fn made() -> Vec<(String, String)> {
        let top = tempfile::tempdir().unwrap();
        for name in PACKAGES {
            let text = if *name == "host" { HOST.to_owned() } else { PLUGIN.replace("NAME", name) };
            let folder = top.path().join("wit").join(name);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("all.wit"), text).unwrap();
        }
        pages(top.path(), &|name| (name == "doors").then(|| "open doors".to_owned())).unwrap()
    }

    #[test]
    fn everything_of_an_interface_is_on_its_page() {
        let pages = made();
        let (name, host) = &pages[0];
        assert_eq!(name, "host");
        for part in [
            "# `wxc:host@0.1.2`\n\nWhat may be asked.\n",
            "| [`doors`](#doors) | Doors. | open doors |\n",
            "| [`types`](#types) | Plain data. | no |\n",
            "| `invalid` | This \\| that. |\n",
            "### enum `types.error-kind`\n\nWhy. Closed.\n\nSince 0.1.0.\n",
            "| `kind` | [`error-kind`](#enum-typeserror-kind) | What to do. |\n",
            "### resource `doors.door`\n",
            "```wit\nconstructor(name: string);\n```\n",
            "```wit\nopen: func(wide: option<bool>) -> result<list<error>, error>;\n```\n",
            "Opens it.\n\nSince 0.1.2.\n",
            "```wit\nslam: func(door: borrow<door>) -> result;\n```\n",
            "Importing it is a permission: *open doors*.",
            "Imported by the worlds [`storage/plugin`](storage.md#world-plugin), [`template/plugin`](template.md#world-plugin), [`hook/plugin`](hook.md#world-plugin).",
        ] {
            assert!(host.contains(part), "there is no {part:?} in:\n{host}");
        }
    }

    #[test]
    fn worlds_say_what_they_have_and_links_lead_to_other_pages() {
        let pages = made();
        let (_, hook) = &pages[3];
        for part in [
            "| [`work`](#work) | What it does. | it is exported |\n",
            "| `badly` | [`error`](host.md#record-typeserror) | Not well. |\n",
            "## world `plugin`\n",
            "| export | [`work`](#work) | |\n",
            "| import | [`wxc:host/doors`](host.md#doors) | open doors |\n",
        ] {
            assert!(hook.contains(part), "there is no {part:?} in:\n{hook}");
        }
    }

    #[test]
    fn links_of_a_page_lead_to_its_headings() {
        let pages = made();
        for (name, text) in &pages {
            for link in crate::markdown::links(text) {
                let (path, fragment) = link.relative().unwrap();
                let page = if path.is_empty() { name } else { path.trim_end_matches(".md") };
                let (_, target) = pages.iter().find(|(name, _)| name == page).unwrap();
                let anchors = crate::markdown::anchors(target);
                assert!(anchors.contains(fragment.unwrap()), "{name}: {} of {anchors:?}", link.target);
            }
        }
    }
}
