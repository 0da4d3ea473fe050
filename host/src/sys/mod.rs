//! Every syscall wrapper of the host and, with `host/child`, all of its unsafe code.
