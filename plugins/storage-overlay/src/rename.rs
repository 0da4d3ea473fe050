//! Names: the host renames a container's directory, and here follow the notes that name what is in it.

use crate::bindings::wxc::host::types::Error;
use crate::bindings::wxc::storage::types::Volume;
use crate::note::{Next, Note};
use crate::pool::Pool;
use crate::{layout, volume};

pub fn rename(pool: &impl Pool, id: &str, new: &str) -> Result<Volume, Error> {
    let renamed = |name: String| match name.strip_prefix(id) {
        Some("") => new.to_owned(),
        Some(rest) if rest.starts_with('@') => format!("{new}{rest}"),
        _ => name,
    };
    for other in volume::all(pool)? {
        if pool.read(&layout::note(&other))?.is_none() {
            continue;
        }
        let note = Note::load(pool, &other)?;
        let next = note.next.clone().map(|next| Next { parent: renamed(next.parent), ..next });
        let changed = Note { parent: note.parent.clone().map(renamed), next, ..note.clone() };
        if changed != note {
            changed.save(pool, &other)?;
        }
    }
    volume::get(pool, new)
}
