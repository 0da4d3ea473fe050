//! What goes between a guest and the host in one call: taken down, or answered from what was taken down before.
//!
//! A host function says what it was asked ([`State::called`]) and answers through [`State::answer`]. Where nothing is taken
//! down, both cost a comparison. When a record is played, the function itself is not run: the answer is the recorded one, so
//! nothing of the host is touched, and a guest that asks something else than it did then is ended there.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use wasmtime::component::Resource;

use super::{Misuse, State};
use crate::plugin::bindings::host::wxc::host::types::Error;

/// Most bytes of text that are taken down of one call.
const LONGEST: usize = 8 << 20;
/// What an entry takes besides its text.
const ENTRY: usize = 64;

/// One call of a host function.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostCall {
    /// Interface and function, such as `store.get`.
    pub call: String,
    /// What the guest gave, in order; handles by their numbers.
    pub arguments: Box<RawValue>,
    /// What it got; nothing where the guest was ended by this call.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "said_at_all")]
    pub answer: Option<Box<RawValue>>,
}

/// What is there is an answer, also where that is nothing: `null` is what a function without a result says.
fn said_at_all<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

/// Where a guest went another way than it did when it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Parting {
    /// Which host call it was, counted from one, without those that only speak.
    pub at: usize,
    /// What was called then; nothing where the record has no further call.
    pub then: Option<String>,
    /// What is called now; nothing where no call was made any more.
    pub now: Option<String>,
}

/// What is taken down, or played.
#[derive(Debug)]
pub(in crate::plugin) struct Tape(Mutex<Inner>);

#[derive(Debug)]
enum Inner {
    Recording { calls: Vec<HostCall>, left: usize, cut: bool },
    Playing { calls: Vec<HostCall>, next: usize, parting: Option<Parting>, reached_end: bool },
}

/// The guest cannot be played any further. What that means stands in the tape.
#[derive(Debug, thiserror::Error)]
#[error("the record does not go on here")]
pub(in crate::plugin) struct EndOfTape;

/// A call that was counted.
#[must_use]
#[derive(Debug)]
pub(in crate::plugin) enum Called {
    /// The host function runs.
    Live,
    /// This is its answer.
    Played(Box<RawValue>),
}

/// Functions that tell the guest nothing which its record does not hold elsewhere: a guest may call them more or less often.
fn only_speaks(call: &str) -> bool {
    matches!(call, "log.emit" | "progress.phase" | "progress.report" | "settings.get" | "settings.all")
        || call.ends_with(".drop")
}

impl Tape {
    /// One on which calls are taken down.
    pub(in crate::plugin) fn recording() -> Self {
        Self(Mutex::new(Inner::Recording { calls: Vec::new(), left: LONGEST, cut: false }))
    }

    /// One that is played.
    pub(in crate::plugin) fn playing(calls: &[HostCall]) -> Self {
        let calls = calls.iter().filter(|call| !only_speaks(&call.call)).cloned().collect();
        Self(Mutex::new(Inner::Playing { calls, next: 0, parting: None, reached_end: false }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was taken down, and whether it was too much to be taken down whole.
    pub(in crate::plugin) fn taken(&self) -> (Vec<HostCall>, bool) {
        match &mut *self.inner() {
            Inner::Recording { calls, cut, .. } => (std::mem::take(calls), *cut),
            Inner::Playing { .. } => (Vec::new(), false),
        }
    }

    /// Where the guest went another way.
    pub(in crate::plugin) fn parting(&self) -> Option<Parting> {
        match &*self.inner() {
            Inner::Playing { parting, .. } => parting.clone(),
            Inner::Recording { .. } => None,
        }
    }

    /// Whether the guest came to the host call by which the recorded one was ended.
    pub(in crate::plugin) fn ended_as_then(&self) -> bool {
        matches!(&*self.inner(), Inner::Playing { reached_end: true, .. })
    }

    /// The first recorded host call that was not made.
    pub(in crate::plugin) fn left_over(&self) -> Option<(usize, String)> {
        match &*self.inner() {
            Inner::Playing { calls, next, .. } => calls.get(*next).map(|call| (*next + 1, said(call))),
            Inner::Recording { .. } => None,
        }
    }

    fn called(&self, name: &'static str, arguments: &impl Serialize) -> wasmtime::Result<Called> {
        match &mut *self.inner() {
            Inner::Recording { cut: true, .. } => Ok(Called::Live),
            Inner::Recording { calls, left, cut } => {
                match text(arguments, left) {
                    Some(arguments) => {
                        calls.push(HostCall { call: name.to_owned(), arguments, answer: None })
                    }
                    None => *cut = true,
                }
                Ok(Called::Live)
            }
            Inner::Playing { calls, next, parting, reached_end } => {
                let now = HostCall { call: name.to_owned(), arguments: raw(arguments)?, answer: None };
                let then = calls.get(*next);
                let same =
                    then.filter(|then| then.call == now.call && equal(&then.arguments, &now.arguments));
                let Some(same) = same else {
                    *parting = Some(Parting { at: *next + 1, then: then.map(said), now: Some(said(&now)) });
                    return Err(EndOfTape.into());
                };
                *next += 1;
                match &same.answer {
                    Some(answer) => Ok(Called::Played(answer.clone())),
                    None => {
                        *reached_end = true;
                        Err(EndOfTape.into())
                    }
                }
            }
        }
    }

    fn answered(&self, answer: &impl Serialize) {
        if let Inner::Recording { calls, left, cut: cut @ false } = &mut *self.inner() {
            match (text(answer, left), calls.last_mut()) {
                (Some(answer), Some(call)) => call.answer = Some(answer),
                _ => *cut = true,
            }
        }
    }

    fn is_played(&self) -> bool {
        matches!(&*self.inner(), Inner::Playing { .. })
    }
}

impl State {
    /// A host function was called: counts it, and takes it down or finds out what it answered when it was recorded.
    pub(in crate::plugin) fn called(
        &mut self,
        name: &'static str,
        arguments: &impl Serialize,
    ) -> wasmtime::Result<Called> {
        self.count()?;
        match &self.scope.tape {
            None => Ok(Called::Live),
            Some(tape) => tape.called(name, arguments),
        }
    }

    /// The answer: what `body` makes, or what was recorded.
    pub(in crate::plugin) fn answer<R: Serialize + DeserializeOwned>(
        &mut self,
        called: Called,
        body: impl FnOnce(&mut Self) -> wasmtime::Result<R>,
    ) -> wasmtime::Result<R> {
        self.answer_as(called, body, |tape, answer| tape.answered(answer), |answer| answer)
    }

    /// The same for a function that makes a handle.
    pub(in crate::plugin) fn answer_new<T: 'static>(
        &mut self,
        called: Called,
        body: impl FnOnce(&mut Self) -> wasmtime::Result<Resource<T>>,
    ) -> wasmtime::Result<Resource<T>> {
        self.answer_as(
            called,
            body,
            |tape, handle: &Resource<T>| tape.answered(&handle.rep()),
            Resource::new_own,
        )
    }

    /// The same for one that makes a handle or fails.
    pub(in crate::plugin) fn answer_handle<T: 'static>(
        &mut self,
        called: Called,
        body: impl FnOnce(&mut Self) -> wasmtime::Result<Result<Resource<T>, Error>>,
    ) -> wasmtime::Result<Result<Resource<T>, Error>> {
        let told = |tape: &Tape, answer: &Result<Resource<T>, Error>| {
            tape.answered(&answer.as_ref().map(Resource::rep));
        };
        self.answer_as(called, body, told, |answer: Result<u32, Error>| answer.map(Resource::new_own))
    }

    /// The same for one that looks for a handle.
    pub(in crate::plugin) fn answer_found<T: 'static>(
        &mut self,
        called: Called,
        body: impl FnOnce(&mut Self) -> wasmtime::Result<Result<Option<Resource<T>>, Error>>,
    ) -> wasmtime::Result<Result<Option<Resource<T>>, Error>> {
        let told = |tape: &Tape, answer: &Result<Option<Resource<T>>, Error>| {
            tape.answered(&answer.as_ref().map(|found| found.as_ref().map(Resource::rep)));
        };
        self.answer_as(called, body, told, |answer: Result<Option<u32>, Error>| {
            answer.map(|found| found.map(Resource::new_own))
        })
    }

    fn answer_as<R, D: DeserializeOwned>(
        &mut self,
        called: Called,
        body: impl FnOnce(&mut Self) -> wasmtime::Result<R>,
        tell: impl FnOnce(&Tape, &R),
        from_told: impl FnOnce(D) -> R,
    ) -> wasmtime::Result<R> {
        match called {
            Called::Played(answer) => {
                let why = |error| Misuse(format!("its record holds an answer of another kind: {error}"));
                Ok(from_told(serde_json::from_str(answer.get()).map_err(why)?))
            }
            Called::Live => {
                let answer = body(self)?;
                if let Some(tape) = &self.scope.tape {
                    tell(tape, &answer);
                }
                Ok(answer)
            }
        }
    }

    /// A function that only speaks: it runs in any case, because it touches nothing.
    pub(in crate::plugin) fn spoken<R: Serialize>(
        &mut self,
        name: &'static str,
        arguments: &impl Serialize,
        body: impl FnOnce(&mut Self) -> wasmtime::Result<R>,
    ) -> wasmtime::Result<R> {
        self.count()?;
        let tape = self.scope.tape.clone().filter(|tape| !tape.is_played());
        if let Some(tape) = &tape {
            let _live = tape.called(name, arguments)?;
        }
        let answer = body(self)?;
        if let Some(tape) = &tape {
            tape.answered(&answer);
        }
        Ok(answer)
    }

    /// A handle was dropped; one of a record has nothing behind it.
    pub(in crate::plugin) fn dropped<T: Send + 'static>(
        &mut self,
        name: &'static str,
        handle: Resource<T>,
    ) -> wasmtime::Result<()> {
        let number = handle.rep();
        self.spoken(name, &(number,), |state| {
            if state.scope.tape.as_ref().is_none_or(|tape| !tape.is_played()) {
                state.table.delete(handle)?;
            }
            Ok(())
        })
    }
}

/// A value as text, as long as there is room.
fn text(value: &impl Serialize, left: &mut usize) -> Option<Box<RawValue>> {
    let mut out = Limited { bytes: Vec::new(), left: left.checked_sub(ENTRY)? };
    serde_json::to_writer(&mut out, value).ok()?;
    *left = out.left;
    RawValue::from_string(String::from_utf8(out.bytes).ok()?).ok()
}

fn raw(value: &impl Serialize) -> wasmtime::Result<Box<RawValue>> {
    Ok(serde_json::value::to_raw_value(value)?)
}

/// Whoever has laid out a record anew has not changed it.
fn equal(a: &RawValue, b: &RawValue) -> bool {
    let value = |raw: &RawValue| serde_json::from_str::<serde_json::Value>(raw.get()).ok();
    a.get() == b.get() || value(a) == value(b)
}

/// A call in words, not all of a long one.
fn said(call: &HostCall) -> String {
    const LONGEST: usize = 400;
    let arguments = call.arguments.get();
    let inner = arguments.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(arguments);
    let end = inner.floor_char_boundary(LONGEST);
    let dots = if end < inner.len() { "…" } else { "" };
    format!("{}({}{dots})", call.call, &inner[..end])
}

struct Limited {
    bytes: Vec<u8>,
    left: usize,
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(name: &'static str, argument: &str, answer: &str) -> Vec<HostCall> {
        let tape = Tape::recording();
        assert!(matches!(tape.called(name, &(argument,)).unwrap(), Called::Live));
        tape.answered(&answer);
        tape.taken().0
    }

    #[test]
    fn what_was_taken_down_answers_the_same_question_only() {
        let calls = taken("store.get", "key", "value");
        let tape = Tape::playing(&calls);
        let Called::Played(answer) = tape.called("store.get", &("key",)).unwrap() else { panic!("live") };
        assert_eq!(answer.get(), "\"value\"");
        assert!(tape.parting().is_none() && tape.left_over().is_none());
        let tape = Tape::playing(&calls);
        tape.called("store.get", &("other",)).unwrap_err();
        let parting = tape.parting().unwrap();
        assert_eq!((parting.at, parting.then.as_deref()), (1, Some("store.get(\"key\")")));
        assert_eq!(parting.now.as_deref(), Some("store.get(\"other\")"));
    }

    #[test]
    fn nothing_is_an_answer_and_none_is_not() {
        let read = |text: &str| serde_json::from_str::<HostCall>(text).unwrap().answer.is_some();
        assert!(read("{\"call\": \"x\", \"arguments\": [], \"answer\": null}"));
        assert!(!read("{\"call\": \"x\", \"arguments\": []}"));
        let tape =
            Tape::playing(&[HostCall { call: "x.y".into(), arguments: raw(&()).unwrap(), answer: None }]);
        tape.called("x.y", &()).unwrap_err();
        assert!(tape.ended_as_then() && tape.parting().is_none());
    }

    #[test]
    fn what_only_speaks_is_not_played() {
        let calls = taken("log.emit", "x", "");
        assert!(Tape::playing(&calls).left_over().is_none());
    }

    #[test]
    fn too_much_is_cut_and_takes_no_room() {
        let tape = Tape::recording();
        let long = "x".repeat(LONGEST);
        assert!(matches!(tape.called("store.set", &(&long,)).unwrap(), Called::Live));
        assert!(matches!(tape.called("store.get", &("a",)).unwrap(), Called::Live));
        tape.answered(&"b");
        let (calls, cut) = tape.taken();
        assert!(cut && calls.is_empty());
    }
}
