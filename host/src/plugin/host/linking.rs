#![forbid(unsafe_code)]
//! The table of interfaces. What is not in it cannot be imported, and what was not granted is not linked:
//! the component then fails before any code of it runs.

use std::collections::BTreeSet;

use wasmtime::component::{HasSelf, Linker};

use super::State;
use crate::plugin::bindings::host::wxc;
use crate::plugin::grants::interface_of_ours;
use crate::plugin::wasi;

pub(in crate::plugin) type Add = fn(&mut Linker<State>) -> wasmtime::Result<()>;

/// One interface that this wxc offers.
struct Offer {
    /// Without its version: the linker knows which versions fit.
    name: &'static str,
    add: Add,
}

macro_rules! offers {
    ($($name:literal => $($path:ident)::+),* $(,)?) => {
        &[$(Offer {
            name: $name,
            add: |linker| $($path)::+::add_to_linker::<_, HasSelf<_>>(linker, |state: &mut State| state),
        }),*]
    };
}

static OFFERS: &[Offer] = offers! {
    "wxc:host/types" => wxc::host::types,
    "wxc:host/handles" => wxc::host::handles,
    "wxc:host/log" => wxc::host::log,
    "wxc:host/progress" => wxc::host::progress,
    "wxc:host/settings" => wxc::host::settings,
    "wxc:host/tree" => wxc::host::tree,
    "wxc:host/loop-devices" => wxc::host::loop_devices,
    "wxc:host/commands" => wxc::host::commands,
    "wxc:host/subvolumes" => wxc::host::subvolumes,
    "wxc:host/store" => wxc::host::store,
    "wxc:host/fetch" => wxc::host::fetch,
    "wxc:host/trust" => wxc::host::trust,
    "wxc:host/rootfs" => wxc::host::rootfs,
    "wxc:host/run-inside" => wxc::host::run_inside,
    "wxc:host/notify" => wxc::host::notify,
    "wxc:host/records" => wxc::host::records,
    "wxc:storage/scope" => wxc::storage::scope,
    "wxc:template/inputs" => wxc::template::inputs,
    "wxc:template/host-system" => wxc::template::host_system,
    "wxc:hook/scope" => wxc::hook::scope,
};

/// Interfaces of types alone: nothing to call, nothing to link.
const TYPES_ONLY: &[&str] = &["wxc:storage/types", "wxc:template/types", "wxc:hook/types"];

/// Why an import cannot be linked.
#[derive(Debug)]
pub(in crate::plugin) enum Unlinked {
    /// Not offered, with a reason where there is one.
    NotOffered(String, Option<&'static str>),
    /// wasmtime refused: a fault of this program.
    Engine(wasmtime::Error),
}

/// Whether an import can be linked at all.
pub(in crate::plugin) fn offered(import: &str) -> bool {
    let (name, version) = import.split_once('@').unwrap_or((import, ""));
    let here = TYPES_ONLY.contains(&name) || OFFERS.iter().any(|o| o.name == name);
    wasi::answers(name) || (here && version.starts_with("0.1."))
}

/// The offers that the imports name, if all of them are there.
pub(in crate::plugin) fn chosen(imports: &[String]) -> Result<Vec<Add>, Unlinked> {
    let mut seen = BTreeSet::new();
    let mut chosen = Vec::new();
    for import in imports {
        let (name, version) = import.split_once('@').unwrap_or((import, ""));
        if TYPES_ONLY.contains(&name) || wasi::answers(name) || !seen.insert(name) {
            continue;
        }
        let Some(offer) = OFFERS.iter().find(|o| o.name == name) else {
            return Err(Unlinked::NotOffered(import.clone(), None));
        };
        if interface_of_ours(import).is_some() && !version.starts_with("0.1.") {
            return Err(Unlinked::NotOffered(import.clone(), Some("this wxc offers version 0.1 of it")));
        }
        chosen.push(offer.add);
    }
    Ok(chosen)
}

/// Links what the imports name, if all of it is offered. Grants were checked before.
pub(in crate::plugin) fn link(linker: &mut Linker<State>, imports: &[String]) -> Result<(), Unlinked> {
    for add in chosen(imports)? {
        add(linker).map_err(Unlinked::Engine)?;
    }
    wasi::link(linker, imports).map_err(Unlinked::Engine)
}
