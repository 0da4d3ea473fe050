#![allow(
    unsafe_code,
    missing_debug_implementations,
    unreachable_pub,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
//! The generated halves of the contract, and nothing else.
//!
//! WIT has no optional exports, so each optional interface has a world of its own here, and whether
//! a component has it is found out by looking at its exports. All worlds share the types of
//! [`host`], so that a value from one can be given to another.

/// What guests may import of this version of wxc.
pub(super) mod host {
    wasmtime::component::bindgen!({
        path: ["../wit/host", "../wit/storage", "../wit/template", "../wit/hook"],
        inline: "
            package wxc:imports@0.1.0;
            world host {
                import wxc:host/types@0.1.0;
                import wxc:host/handles@0.1.0;
                import wxc:host/log@0.1.0;
                import wxc:host/progress@0.1.0;
                import wxc:host/settings@0.1.0;
                import wxc:host/tree@0.1.0;
                import wxc:host/loop-devices@0.1.0;
                import wxc:host/commands@0.1.0;
                import wxc:host/subvolumes@0.1.0;
                import wxc:host/store@0.1.0;
                import wxc:host/fetch@0.1.0;
                import wxc:host/trust@0.1.0;
                import wxc:host/rootfs@0.1.0;
                import wxc:host/run-inside@0.1.0;
                import wxc:host/notify@0.1.0;
                import wxc:host/records@0.1.0;
                import wxc:storage/scope@0.1.0;
                import wxc:template/inputs@0.1.0;
                import wxc:template/host-system@0.1.0;
                import wxc:hook/scope@0.1.0;
            }
        ",
        world: "wxc:imports/host",
        imports: { default: trappable },
        additional_derives: [PartialEq, Eq, serde::Serialize, serde::Deserialize],
        with: {
            "wxc:host/handles.directory": crate::plugin::host::handles::Directory,
            "wxc:host/handles.block-device": crate::plugin::host::handles::BlockDevice,
            "wxc:host/handles.container-root": crate::plugin::host::rootfs::ContainerRoot,
            "wxc:host/handles.running-container": crate::plugin::host::run_inside::RunningContainer,
            "wxc:host/run-inside.program": crate::plugin::host::run_inside::Program,
            "wxc:host/commands.command": crate::plugin::host::commands::Command,
            "wxc:host/fetch.request": crate::plugin::host::fetch::Request,
            "wxc:host/notify.message": crate::plugin::host::notify::Message,
            "wxc:host/fetch.response": crate::plugin::host::fetch::Response,
        },
    });
}

macro_rules! export_world {
    ($(#[$doc:meta])* $module:ident, $paths:tt, $wit:literal, $world:literal, { $($with:tt)* }) => {
        $(#[$doc])*
        pub(super) mod $module {
            wasmtime::component::bindgen!({
                path: $paths,
                inline: $wit,
                world: $world,
                imports: { default: trappable },
                additional_derives: [PartialEq, Eq, serde::Serialize, serde::Deserialize],
                with: {
                    "wxc:host/types": crate::plugin::bindings::host::wxc::host::types,
                    $($with)*
                },
            });
        }
    };
}

export_world!(
    /// The core of a storage backend.
    volumes, ["../wit/host", "../wit/storage"],
    "package wxc:exports@0.1.0; world volumes { export wxc:storage/volumes@0.1.0; }",
    "wxc:exports/volumes", {}
);
export_world!(
    /// Optional: clones.
    clones, ["../wit/host", "../wit/storage"],
    "package wxc:exports@0.1.0; world clones { export wxc:storage/clones@0.1.0; }",
    "wxc:exports/clones",
    { "wxc:storage/types": crate::plugin::bindings::volumes::wxc::storage::types, }
);
export_world!(
    /// Optional: snapshots.
    snapshots, ["../wit/host", "../wit/storage"],
    "package wxc:exports@0.1.0; world snapshots { export wxc:storage/snapshots@0.1.0; }",
    "wxc:exports/snapshots",
    { "wxc:storage/types": crate::plugin::bindings::volumes::wxc::storage::types, }
);
export_world!(
    /// Optional: snapshots of what is mounted and not written.
    snapshots_at_rest, ["../wit/host", "../wit/storage"],
    "package wxc:exports@0.1.0; world resting { export wxc:storage/snapshots-at-rest@0.1.0; }",
    "wxc:exports/resting",
    { "wxc:storage/types": crate::plugin::bindings::volumes::wxc::storage::types, }
);
export_world!(
    /// Optional: limits on volumes.
    sizes, ["../wit/host", "../wit/storage"],
    "package wxc:exports@0.1.0; world sizes { export wxc:storage/sizes@0.1.0; }",
    "wxc:exports/sizes",
    { "wxc:storage/types": crate::plugin::bindings::volumes::wxc::storage::types, }
);
export_world!(
    /// Optional: devices that have to be attached.
    devices, ["../wit/host", "../wit/storage"],
    "package wxc:exports@0.1.0; world devices { export wxc:storage/devices@0.1.0; }",
    "wxc:exports/devices",
    { "wxc:storage/types": crate::plugin::bindings::volumes::wxc::storage::types, }
);
export_world!(
    /// Optional: volumes that get another name.
    renames, ["../wit/host", "../wit/storage"],
    "package wxc:exports@0.1.0; world renames { export wxc:storage/renames@0.1.0; }",
    "wxc:exports/renames",
    { "wxc:storage/types": crate::plugin::bindings::volumes::wxc::storage::types, }
);
export_world!(
    /// A template.
    template, ["../wit/host", "../wit/template"],
    "package wxc:exports@0.1.0; world template { export wxc:template/template@0.1.0; }",
    "wxc:exports/template", {}
);
export_world!(
    /// A hook.
    hook, ["../wit/host", "../wit/hook"],
    "package wxc:exports@0.1.0; world hook { export wxc:hook/hook@0.1.0; }",
    "wxc:exports/hook", {}
);
