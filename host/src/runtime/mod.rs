#![forbid(unsafe_code)]
//! Carries a [`Plan`](crate::plan::Plan) out: the monitor, its child, and everything that talks to
//! them.
//!
//! Nothing here decides anything; what a start does is written in the plan.

/// Capabilities as bits of the kernel.
pub mod caps;
/// Control groups: limits, freezing, killing, statistics.
pub mod cgroup;
/// Rules on the use of devices.
pub mod devices;
/// Network devices, addresses and routes.
pub mod net;
/// A system-call policy as a program for the kernel.
pub mod seccomp;
