#![forbid(unsafe_code)]
//! `wxc:hook/scope`: the handles that a call of a hook gets.

use wasmtime::component::Resource;

use super::State;
use super::rootfs::ContainerRoot;
use super::run_inside::RunningContainer;
use crate::plugin::bindings::host::wxc::hook::scope::Host;
use crate::plugin::bindings::host::wxc::host::types::Error;

impl Host for State {
    fn root(&mut self) -> wasmtime::Result<Result<Resource<ContainerRoot>, Error>> {
        let called = self.called("scope.root", &())?;
        self.answer_handle(called, Self::mint_root)
    }

    fn running(&mut self) -> wasmtime::Result<Result<Resource<RunningContainer>, Error>> {
        let called = self.called("scope.running", &())?;
        self.answer_handle(called, Self::mint_running)
    }
}
