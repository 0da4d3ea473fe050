#![forbid(unsafe_code)]
//! `wxc:storage/scope`: which handles the running call gets.

use wasmtime::component::Resource;

use super::State;
use super::failure::failure;
use super::handles::Directory;
use super::place::Zone;
use crate::plugin::bindings::host::wxc::host::handles::{ByteSink, ByteSource};
use crate::plugin::bindings::host::wxc::host::types::{Error, ErrorKind};
use crate::plugin::bindings::host::wxc::storage::scope::Host;

impl Host for State {
    fn pool(&mut self) -> wasmtime::Result<Result<Resource<Directory>, Error>> {
        let called = self.called("scope.pool", &())?;
        self.answer_handle(called, |state| {
            let Some(pool) = &state.scope.pool else {
                return Ok(Err(failure(ErrorKind::Denied, "this pool is not a directory")));
            };
            let fd = pool.try_clone()?;
            state.mint(Directory { fd, zone: Zone::default() }).map(Ok)
        })
    }

    fn outgoing(&mut self) -> wasmtime::Result<Result<Resource<ByteSink>, Error>> {
        let called = self.called("scope.outgoing", &())?;
        self.answer_handle(called, |_| Ok(Err(failure(ErrorKind::Denied, "this call sends nothing"))))
    }

    fn incoming(&mut self) -> wasmtime::Result<Result<Resource<ByteSource>, Error>> {
        let called = self.called("scope.incoming", &())?;
        self.answer_handle(called, |_| Ok(Err(failure(ErrorKind::Denied, "this call receives nothing"))))
    }
}
