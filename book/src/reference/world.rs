//! A world: what it exports and imports, and the other way round, which worlds an interface is in.

use wit_parser::{InterfaceId, PackageId, Resolve, World, WorldId, WorldItem, WorldKey};

use super::interface::row;
use super::name::{page, short};
use super::{Explain, cell, code, prose, push, since};

pub(super) fn section(resolve: &Resolve, id: WorldId, explain: Explain<'_>) -> String {
    let world = &resolve.worlds[id];
    let Some(here) = world.package else { return String::new() };
    let mut text = format!("\n## world {}\n", code(&world.name));
    push(&mut text, &prose(&world.docs));
    push(&mut text, &since(&world.stability));
    let mut rows = String::from("| | interface | permission |\n|---|---|---|\n");
    for (word, items) in [("export", &world.exports), ("import", &world.imports)] {
        for (key, item) in items {
            rows.push_str(&match interface(item) {
                Some(interface) => {
                    let name = short(resolve, interface);
                    let permission = explain(&name).filter(|_| word == "import").unwrap_or_default();
                    row(&[word.into(), link(resolve, interface, here), cell(&permission)])
                }
                None => row(&[word.into(), code(&key_of(key)), String::new()]),
            });
        }
    }
    push(&mut text, &rows);
    text
}

/// Whether some world imports it.
pub(super) fn is_imported(resolve: &Resolve, id: InterfaceId) -> bool {
    resolve.worlds.iter().any(|(_, world)| imports(world, id))
}

/// Sentences with the worlds that import and export an interface.
pub(super) fn those_with(resolve: &Resolve, id: InterfaceId, here: PackageId) -> Vec<String> {
    let sentence = |word: &str, has: fn(&World, InterfaceId) -> bool| {
        let worlds = resolve.worlds.iter().filter(|(_, world)| has(world, id));
        let worlds: Vec<String> = worlds.filter_map(|(_, world)| world_link(resolve, world, here)).collect();
        let noun = if worlds.len() == 1 { "world" } else { "worlds" };
        (!worlds.is_empty()).then(|| format!("{word} by the {noun} {}.", worlds.join(", ")))
    };
    [sentence("Exported", exports), sentence("Imported", imports)].into_iter().flatten().collect()
}

fn imports(world: &World, id: InterfaceId) -> bool {
    world.imports.values().any(|item| interface(item) == Some(id))
}

fn exports(world: &World, id: InterfaceId) -> bool {
    world.exports.values().any(|item| interface(item) == Some(id))
}

fn interface(item: &WorldItem) -> Option<InterfaceId> {
    match item {
        WorldItem::Interface { id, .. } => Some(*id),
        WorldItem::Function(_) | WorldItem::Type { .. } => None,
    }
}

fn key_of(key: &WorldKey) -> String {
    match key {
        WorldKey::Name(name) => name.clone(),
        WorldKey::Interface(_) => String::new(),
    }
}

/// An interface with its package where that is another one.
fn link(resolve: &Resolve, id: InterfaceId, here: PackageId) -> String {
    let name = short(resolve, id);
    let page = page(resolve, id, here);
    let package = resolve.interfaces[id].package.filter(|package| *package != here);
    let shown = match package.map(|package| &resolve.packages[package].name) {
        Some(package) => format!("{}:{}/{name}", package.namespace, package.name),
        None => name.clone(),
    };
    format!("[{}]({page}#{name})", code(&shown))
}

fn world_link(resolve: &Resolve, world: &World, here: PackageId) -> Option<String> {
    let package = world.package?;
    let (page, shown) = if package == here {
        (String::new(), world.name.clone())
    } else {
        let name = &resolve.packages[package].name.name;
        (format!("{name}.md"), format!("{name}/{}", world.name))
    };
    Some(format!("[{}]({page}#world-{})", code(&shown), world.name))
}
