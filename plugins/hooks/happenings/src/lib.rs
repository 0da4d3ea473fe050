//! What hooks that tell of events have in common: the words of events, and an event as JSON.
#![deny(unsafe_code)]

/// The types of the contract, once for whoever is built with this.
#[allow(unsafe_code, reason = "generated component glue")]
pub mod contract {
    wit_bindgen::generate!({
        path: ["wit/host", "wit/hook"],
        inline: "
            package wxc:happenings;
            world types { import wxc:host/types@0.1.0; import wxc:hook/types@0.1.0; }
        ",
        world: "wxc:happenings/types",
        generate_all,
    });
}

/// An event as JSON.
mod document;
/// The words of events.
mod events;

pub use document::{document, line};
pub use events::{chosen, word};
