#![forbid(unsafe_code)]
//! `wxc:host/settings`: the plugin's own configuration.

use super::{Misuse, State};
use crate::plugin::bindings::host::wxc::host::settings::Host;
use crate::plugin::bindings::host::wxc::host::types::Pair;

impl Host for State {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        self.spoken("settings.get", &(&key,), |state| match state.scope.settings.get(&key) {
            Some(value) => Ok(value.clone()),
            // Not `None`: a misspelt key would then look like one that nobody has set.
            None => {
                Err(Misuse(format!("it asked for the setting {key:?}, which its manifest does not declare"))
                    .into())
            }
        })
    }

    fn all(&mut self) -> wasmtime::Result<Vec<Pair>> {
        self.spoken("settings.all", &(), |state| {
            let set = state.scope.settings.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
            Ok(set.map(|(name, value)| Pair { name: name.clone(), value: value.clone() }).collect())
        })
    }
}
