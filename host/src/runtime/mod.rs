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
/// Plan -> the child's program.
mod compile;
/// What can go wrong.
pub mod error;
/// The loop of the monitor.
mod events;
/// Data for the next process, in sealed memory.
mod handover;
/// Another process of wxc, in a role.
mod helper;
/// The maps of a user namespace.
mod idmap;
/// The command's side of a start.
pub mod launch;
/// Packets with fds.
mod message;
/// The process that stays.
mod monitor;
/// Operations, their data, and what they are called.
mod program;
/// What else this program can be than a command.
pub mod roles;
/// The directory of a running container.
mod run_directory;
/// A system-call policy as a program for the kernel.
pub mod seccomp;
/// Detached mounts that the monitor makes for the child.
mod sources;
/// The clone and the conversation with the child.
mod spawn;
/// States of a container.
pub mod state;

pub use error::RuntimeError;
pub use launch::{LaunchOptions, Launched, launch};
pub use state::{Exit, State};
