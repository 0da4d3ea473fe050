#![forbid(unsafe_code)]
//! From what a guest says to plain Rust, where the contract allows it, and the one word that goes the other way.

use super::wit;
use super::{Access, Phase, Volume};
use crate::plugin::volume_id::{is_operation_id, is_volume_id};

/// A volume as a guest tells of it.
pub(super) fn volume(volume: wit::Volume) -> Result<Volume, String> {
    let ids = [Some(&volume.id), volume.parent.as_ref()];
    if let Some(id) = ids.into_iter().flatten().find(|id| !is_volume_id(id)) {
        return Err(format!("{id:?} is not a volume id"));
    }
    if let Some(operation) = volume.operation.as_ref().filter(|o| !is_operation_id(o)) {
        return Err(format!("{operation:?} is not an operation id"));
    }
    let wit::Volume { id, phase, parent, operation } = volume;
    let phase = match phase {
        wit::Phase::Incomplete => Phase::Incomplete,
        wit::Phase::Writable => Phase::Writable,
        wit::Phase::Sealed => Phase::Sealed,
        wit::Phase::Removing => Phase::Removing,
    };
    Ok(Volume { id, phase, parent, operation })
}

/// The volume that was asked for, in the phase that the verb promises.
pub(super) fn volume_in(told: wit::Volume, id: &str, phase: Phase) -> Result<Volume, String> {
    let volume = volume(told)?;
    if volume.id != id || volume.phase != phase {
        return Err(format!(
            "volume {id} should be {phase:?}, and it says {} is {:?}",
            volume.id, volume.phase
        ));
    }
    Ok(volume)
}

pub(super) fn wit_access(access: Access) -> wit::Access {
    match access {
        Access::ReadOnly => wit::Access::ReadOnly,
        Access::ReadWrite => wit::Access::ReadWrite,
    }
}
