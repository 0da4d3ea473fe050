#![forbid(unsafe_code)]
//! Builds the child's program: operations, the data they refer to, and what each is called.

use std::ffi::{CString, c_char};

use wxc_child::op::{Bytes, Op, Program, Slot, Slots, Step, Text, Texts, Vector};

use super::RuntimeError;

/// A program that grows.
#[derive(Debug, Default)]
pub(super) struct Builder {
    steps: Vec<Step>,
    labels: Vec<String>,
    data: Vec<u8>,
    texts: Vec<Text>,
    /// Offsets into `data`; `None` ends a vector.
    vectors: Vec<Option<u32>>,
    slots: u16,
}

/// Numbers of the program fit by construction: nobody plans four billion bytes.
fn number(length: usize) -> Result<u32, RuntimeError> {
    u32::try_from(length).map_err(|_| RuntimeError::Refused { reason: "it is longer than 4 GiB".to_owned() })
}

impl Builder {
    pub(super) fn text(&mut self, text: impl Into<Vec<u8>>) -> Result<Text, RuntimeError> {
        let text = CString::new(text).map_err(|error| RuntimeError::Refused {
            reason: format!("there is a NUL byte in {:?}", String::from_utf8_lossy(&error.into_vec())),
        })?;
        let start = number(self.data.len())?;
        self.data.extend_from_slice(text.as_bytes_with_nul());
        Ok(Text(start))
    }

    pub(super) fn texts<T: Into<Vec<u8>>>(
        &mut self,
        texts: impl IntoIterator<Item = T>,
    ) -> Result<Texts, RuntimeError> {
        let texts = texts.into_iter().map(|text| self.text(text)).collect::<Result<Vec<_>, _>>()?;
        let start = number(self.texts.len())?;
        self.texts.extend_from_slice(&texts);
        Ok(Texts { start, count: number(texts.len())? })
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<Bytes, RuntimeError> {
        let start = number(self.data.len())?;
        self.data.extend_from_slice(bytes);
        Ok(Bytes { start, count: number(bytes.len())? })
    }

    pub(super) fn vector<T: Into<Vec<u8>>>(
        &mut self,
        items: impl IntoIterator<Item = T>,
    ) -> Result<Vector, RuntimeError> {
        let offsets = items
            .into_iter()
            .map(|item| self.text(item).map(|text| Some(text.0)))
            .collect::<Result<Vec<_>, _>>()?;
        let start = number(self.vectors.len())?;
        self.vectors.extend(offsets);
        self.vectors.push(None);
        Ok(Vector(start))
    }

    pub(super) fn slots(&mut self, count: u16) -> Result<Slots, RuntimeError> {
        let first = self.slots;
        let next = first.checked_add(count).filter(|next| usize::from(*next) <= wxc_child::op::SLOTS);
        self.slots = next.ok_or_else(|| RuntimeError::Refused {
            reason: format!("it has more than {} mounts and terminals", wxc_child::op::SLOTS),
        })?;
        Ok(Slots { first, count })
    }

    pub(super) fn slot(&mut self) -> Result<Slot, RuntimeError> {
        self.slots(1).map(|slots| Slot(slots.first))
    }

    /// One operation that must succeed.
    pub(super) fn step(&mut self, label: impl Into<String>, op: Op) {
        self.steps.push(Step { op, otherwise: None });
        self.labels.push(label.into());
    }

    /// Operations of one thing to do; when it is optional and one fails, the rest of them is skipped.
    pub(super) fn steps(&mut self, label: &str, optional: bool, ops: &[Op]) -> Result<(), RuntimeError> {
        let after = number(self.steps.len() + ops.len())?;
        for op in ops {
            self.steps.push(Step { op: *op, otherwise: optional.then_some(after) });
            self.labels.push(label.to_owned());
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Compiled {
        let Self { steps, labels, data, texts, vectors, .. } = self;
        Compiled { steps, labels, data, texts, vectors }
    }
}

/// A complete program and the words for its steps.
#[derive(Debug)]
pub(super) struct Compiled {
    steps: Vec<Step>,
    labels: Vec<String>,
    data: Vec<u8>,
    texts: Vec<Text>,
    vectors: Vec<Option<u32>>,
}

impl Compiled {
    /// The program as the child sees it, with `fds` in its first slots.
    pub(super) fn with<T>(&self, fds: &[i32], socket: i32, run: impl FnOnce(&Program<'_>) -> T) -> T {
        let vectors: Vec<*const c_char> = self
            .vectors
            .iter()
            .map(|offset| match offset {
                Some(offset) => self.data.as_ptr().wrapping_add(*offset as usize).cast(),
                None => std::ptr::null(),
            })
            .collect();
        run(&Program {
            steps: &self.steps,
            data: &self.data,
            texts: &self.texts,
            vectors: &vectors,
            fds,
            socket,
        })
    }

    /// The child's record in words.
    pub(super) fn explain(&self, failure: wxc_child::report::Failure) -> RuntimeError {
        let step = failure.step as usize;
        let what = self.labels.get(step).map_or("something that was not planned", String::as_str);
        RuntimeError::Step {
            step: failure.step.saturating_add(1),
            of: u32::try_from(self.labels.len()).unwrap_or(u32::MAX),
            what: what.to_owned(),
            call: failure.fault.call.name().to_owned(),
            errno: failure.fault.errno,
        }
    }

    /// What is done, in order.
    #[cfg(test)]
    pub(super) fn labels(&self) -> &[String] {
        &self.labels
    }
}

#[cfg(test)]
mod tests {
    use wxc_child::report::{Call, Failure, Fault};

    use super::*;

    #[test]
    fn an_optional_thing_is_skipped_as_a_whole() {
        let mut builder = Builder::default();
        builder.step("first", Op::Undumpable);
        builder.steps("second", true, &[Op::Keyring, Op::Loopback]).unwrap();
        builder.step("third", Op::Pivot);
        let program = builder.finish();
        let jumps = program
            .with(&[], -1, |program| program.steps.iter().map(|step| step.otherwise).collect::<Vec<_>>());
        assert_eq!(jumps, [None, Some(3), Some(3), None]);
        let fault = Fault { call: Call::Keyctl, errno: libc::ENOSPC };
        let error = program.explain(Failure { step: 1, fault, skipped: true });
        assert_eq!(error.to_string(), "step 2 of 4: second: No space left on device");
    }

    #[test]
    fn vectors_end_and_texts_hold_no_nul() {
        let mut builder = Builder::default();
        builder.vector(["a", "b"]).unwrap();
        let second = builder.vector(["c"]).unwrap();
        assert!(builder.text("a\0b").is_err());
        let program = builder.finish();
        program.with(&[], -1, |program| {
            let nulls: Vec<_> = program.vectors.iter().map(|pointer| pointer.is_null()).collect();
            assert_eq!(nulls, [false, false, true, false, true]);
            assert!(!program.vectors[second.0 as usize].is_null());
        });
    }

    #[test]
    fn there_are_as_many_places_as_the_child_has() {
        let mut builder = Builder::default();
        let all = u16::try_from(wxc_child::op::SLOTS).unwrap();
        builder.slots(all).unwrap();
        assert!(builder.slot().is_err());
    }
}
